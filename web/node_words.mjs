// What a node has to say for good, in a widget of our own: the line of its result, its answer, what was left out. It is
// neither kept in workflows nor sent. The statements come from the server; here they are kept by workflow and node, so
// that a workflow that is opened again shows them.

import { followPalette } from "./colours.mjs";
import { make } from "./dom.mjs";
import {
  addElementWidget, areVueNodes, ask, dropProgressText, graphId, keepHeight, nodesById, onCached, onStatements, tellMedia,
  typeOf, viewAddress,
} from "./host.mjs";
import { beginHover, drawGrid, isCopy, isImage, noteShown } from "./previews.mjs";
import { addBadge } from "./takes.js";
import { t } from "./words.js";

export const NAME = "nemo_result";
const HIGHEST = 180; // pixels; what is longer scrolls
const HIGHEST_GRID = 420;
const MOST = 500;
const PROGRESS = 80; // the most that the text of a node's progress takes, in pixels

const kept = new Map(); // by workflow and node: {statement, cached, restored}
const cachedIn = new Map(); // by prompt: ids of the nodes that ComfyUI did not run again
const begun = new Map(); // by workflow: the prompt whose statements stand there
const restored = new Set(); // the workflows whose earlier statements were asked for

const key = (graph, node) => `${graph} ${node}`;

/** Takes a statement; all that earlier runs of the same workflow said goes, but for what was not run again. */
export function take(statement, cached) {
  const { graph = "", node, prompt } = statement;
  if (!cached && begun.get(graph) !== prompt) {
    begun.set(graph, prompt);
    const left = new Set(cachedIn.get(prompt) ?? []);
    for (const [name, entry] of kept) {
      if (entry.statement.graph !== graph || entry.statement.prompt === prompt) continue;
      if (left.has(entry.statement.node)) entry.cached = true;
      else kept.delete(name);
    }
  }
  kept.set(key(graph, node), { statement, cached });
  if (kept.size > MOST) kept.delete(kept.keys().next().value);
  showAll();
}

function keepCached(prompt, nodes) {
  cachedIn.set(prompt, nodes);
  if (cachedIn.size > 20) cachedIn.delete(cachedIn.keys().next().value);
}

/** Takes what the nodes of the open workflow said before this page was loaded, once for each workflow. */
export async function restore() {
  const graph = graphId();
  if (!graph || restored.has(graph)) return;
  restored.add(graph);
  try {
    const { statements } = await ask(`statements?graph=${encodeURIComponent(graph)}`);
    for (const statement of statements) {
      if (kept.has(key(graph, statement.node))) continue;
      kept.set(key(graph, statement.node), { statement, cached: false, restored: true });
      begun.set(graph, statement.prompt); // of the newest: the next run clears them all
    }
    showAll();
  } catch {
    // an older server, or none: the nodes begin empty
  }
}

/** Writes what is known into the nodes of the open workflow. */
export function showAll() {
  const graph = graphId();
  for (const [id, node] of nodesById()) {
    const type = typeOf(node);
    if (node.subgraph) sumUp(node, id);
    if (!String(type ?? "").startsWith("Nemo")) continue;
    const found = kept.get(key(graph, id)) ?? kept.get(key("", id));
    showIn(node, found?.statement.class === type ? found : null);
  }
}

/** What nodes of ours inside of a subgraph said: what failed first, else the last video, else what came last; nothing
 * while one of them is at work. */
function findInside(id) {
  const inside = [...kept].filter(([name]) => name.startsWith(`${key(graphId(), id)}:`)).map(([, entry]) => entry);
  if (inside.some(({ statement }) => statement.state === "running")) return null;
  const told = inside.filter(({ statement }) => statement.line || statement.text);
  const failed = told.find(({ statement }) => statement.state === "failed");
  return failed ?? told.findLast(({ statement }) => statement.videos?.length) ?? told.at(-1) ?? null;
}

/** Shows on a subgraph what nodes inside of it said, with the video; as a badge where the front end has no such widget. */
function sumUp(node, id) {
  const found = findInside(id);
  showIn(node, found && { ...found, alone: true });
  if (node.nemoSummed || !found || node.widgets?.some((each) => each.name === NAME)) return;
  node.nemoSummed = true;
  addBadge(node, () => findInside(id)?.statement.line ?? "");
}

function showIn(node, entry) {
  if (entry?.statement.state === "running" && node.nemoRun !== entry.statement.prompt) {
    node.nemoRun = entry.statement.prompt;
    const height = promptOf(node)?.computedHeight; // before the progress takes of its room
    if (!(Math.abs(height - node.nemoPromptHeight) < PROGRESS)) node.nemoPromptHeight = height;
    node.nemoBefore = null; // as high as it is without a result, below
  }
  const shown = entry && entry.statement.state !== "running" ? entry : null;
  const mark = shown ? JSON.stringify(shown) : "";
  if ((node.nemoShown ?? "") === mark) return;
  node.nemoShown = mark;
  if (shown) dropProgressText(node);
  if (shown) takeBackProgress(node);
  if (!node.nemoElement) {
    if (!shown) return;
    const element = make("div", { class: "nemo-video-result", "aria-live": "polite" });
    node.nemoElement = element;
    // The wheel scrolls long text, not the canvas.
    element.addEventListener("wheel", (event) => element.scrollHeight > element.clientHeight && event.stopPropagation());
    if (!addElementWidget(node, NAME, element, () => node.nemoHeight ?? 0)) return;
  }
  node.nemoElement.replaceChildren(...(shown ? parts(shown) : []));
  node.nemoElement.dataset.state = shown?.statement.state ?? "";
  if (shown?.statement.videos?.length && !shown.alone) {
    tellMedia(node, shown.statement.videos.every(isImage) ? "image" : "video");
    keepPrompt(node);
  }
  fit(node);
  if (!shown) node.nemoBefore ??= node.size?.[1];
}

/** Takes back what the page made of the node for the text of its progress, which is gone; a person's own size stays. */
function takeBackProgress(node) {
  const over = node.size?.[1] - node.nemoBefore;
  if (node.nemoBefore && over > 0 && over < PROGRESS && !areVueNodes()) node.setSize?.([node.size[0], node.nemoBefore]);
  node.nemoBefore = null;
}

function parts({ statement, cached, restored, alone }) {
  const { state, line, text, skipped = [], videos = [], error } = statement;
  const found = [];
  const head = [line, cached && state === "done" ? t("result.cached") : ""].filter(Boolean).join(" · ");
  if (head) found.push(make("div", { class: "nemo-line" }, head));
  if (error?.hint) found.push(make("div", {}, error.hint));
  if (error?.money) found.push(make("div", { class: "nemo-quiet" }, error.money));
  if (text) found.push(make("div", { class: "nemo-text" }, text));
  if (skipped.length) {
    found.push(make("ul", { class: "nemo-skipped" }, ...skipped.map((each) => make("li", {}, each.text))));
  }
  const captioned = (video) => fileLine(video, videos.length > 1);
  // After a reload, and on a subgraph, the page has no player of its own.
  const grid = drawGrid(videos, captioned, restored || alone);
  found.push(...(grid ? [grid] : videos.map(captioned)));
  noteShown(videos);
  return found;
}

function fileLine(video, several) {
  const link = make("a", { href: viewAddress(video), target: "_blank", rel: "noopener" }, ...breakable(video.filename));
  link.title = video.filename;
  const about = several ? `${video.about} · ${video.bytes}` : "";
  const whole = about.replace(/(\d) (?=\S)/g, "$1\u00a0"); // a number stays with its unit
  const told = [whole, isCopy(video) && t("result.preview"), video.note].filter(Boolean);
  return make("div", { class: "nemo-quiet nemo-file" }, link, ...told.map((each) => ` · ${each}`));
}

/** A file's name that breaks after its hyphens and underscores where it must, and keeps its suffix. */
function breakable(name) {
  return name.split(/(?<=[-_])(?=[^-_.])/).flatMap((part, index) => (index ? [make("wbr"), part] : [part]));
}

// The node grows and shrinks by what the text takes, so that prompts keep their height.
function fit(node) {
  const element = node.nemoElement;
  const before = node.nemoHeight ?? 0;
  const width = Math.max((node.size?.[0] ?? 240) - 20, 120);
  node.nemoHeight = element.childNodes.length ? Math.min(measure(element, width), element.querySelector(".nemo-grid") ? HIGHEST_GRID : HIGHEST) : 0;
  element.hidden = !node.nemoHeight;
  if (areVueNodes()) {
    element.style.minHeight = `${node.nemoHeight}px`;
    return;
  }
  const grown = taken(node.nemoHeight) - taken(before);
  if (!grown || !node.size) return;
  const prompt = node.widgets.some((each) => each.type === "customtext");
  const least = node.computeSize?.()[1] ?? 0; // without a prompt the room that is there is used first
  grow(node, prompt ? grown : Math.max(least - node.size[1], 0));
}

/**
 * Makes a node higher (lower) by so many pixels, for what is kept in no workflow. Its size there is without them: a
 * node that is opened again, without its player, would give them to the prompt, and grow with every run. `grown` is what
 * the page itself made of it for its player.
 */
function grow(node, by, grown = 0) {
  if (!by && !grown) return node.setDirtyCanvas?.(true, true);
  if (!node.nemoKept) {
    node.nemoKept = true;
    const usual = node.onSerialize;
    node.onSerialize = function (kept) {
      usual?.call(this, kept);
      if (this.nemoGrown && kept?.size) kept.size = [kept.size[0], kept.size[1] - this.nemoGrown];
    };
  }
  node.nemoGrown = (node.nemoGrown ?? 0) + by + grown;
  node.setSize?.([node.size[0], node.size[1] + by]);
  node.nemoSeen = node.size[1];
  node.setDirtyCanvas?.(true, true);
}

const promptOf = (node) => node.widgets?.find((each) => each.type === "customtext");

// The page adds its own player some time after the run, in the room of the prompt, and shares what is free between them:
// the prompt is held at the height that it had, so that the node grows by the player's own height.
function keepPrompt(node) {
  const prompt = promptOf(node);
  const height = node.nemoPromptHeight;
  if (!prompt || !height || areVueNodes()) return;
  keepHeight(node, prompt, height);
  let looks = 0;
  node.nemoSeen = node.size?.[1];
  const look = () => {
    const least = node.computeSize?.()[1] ?? 0;
    if (node.size) {
      grow(node, Math.max(least - node.size[1], 0), node.size[1] - node.nemoSeen);
    }
    looks += 1;
    if (looks < 24) setTimeout(look, 250);
  };
  setTimeout(look, 100);
}

const taken = (height) => (height ? height + 16 : 0); // with the margins, and the space between two widgets

/** How high a copy of the element is at that width, in pixels. */
function measure(element, width) {
  const copy = element.cloneNode(true);
  copy.hidden = false;
  for (const film of copy.querySelectorAll("video, img")) film.removeAttribute("src"); // nothing is loaded twice
  Object.assign(copy.style, { position: "absolute", visibility: "hidden", width: `${width}px`, height: "auto" });
  document.body.append(copy);
  const height = copy.scrollHeight;
  copy.remove();
  return height + 2;
}

export function beginNodeWords() {
  followPalette();
  onStatements(take);
  onCached(keepCached);
  beginHover();
  const style = new URL("./node.css", import.meta.url).href;
  document.head.append(make("link", { rel: "stylesheet", href: style }));
}


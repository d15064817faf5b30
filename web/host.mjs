// ComfyUI as the panel needs it: the routes, messages, questions. Each use is guarded: an older front end may lack it.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { language, t } from "./words.js";

/** What the server refused, in its words: the message is what happened, `hint` what to do. */
export class Refusal extends Error {
  constructor(what, { id = "", hint = "", charged = "no" } = {}) {
    super(what);
    Object.assign(this, { id, hint, charged });
  }
}

/** Asks a /nemo route: GET without a body, else POST. Throws Refusal, or AbortError when the signal says so. */
export async function ask(path, { body, signal } = {}) {
  const route = `/nemo/${path}${path.includes("?") ? "&" : "?"}lang=${language()}`;
  const options = { cache: "no-store", signal, headers: pageHeader() };
  if (body !== undefined) {
    options.method = "POST";
    Object.assign(options.headers, { "Content-Type": "application/json", "X-NemoVideo": "1" });
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await api.fetchApi(route, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Refusal(t("error.offline"), { id: "offline" });
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw new Refusal(answer.error || t("error.status", { status: response.status }), answer);
}

// Nodes answer in the page's language. ComfyUI's settings hold it only where it is not the browser's own.
function pageHeader() {
  const locale = app.extensionManager?.setting?.get?.("Comfy.Locale") ?? language();
  return /^[\w-]+$/.test(api.clientId ?? "") ? { "X-NemoVideo-Page": `${api.clientId} ${locale}` } : {};
}

/** A refusal as one text: what happened, the money where it matters, what to do. */
export function words(error) {
  const money = ["maybe", "yes"].includes(error.charged) ? t(`error.charged.${error.charged}`) : "";
  return [error.message, money, error.hint].filter(Boolean).join("\n");
}

export function tell(severity, detail) {
  const life = severity === "error" ? 15_000 : 5_000;
  app.extensionManager?.toast?.add?.({ severity, summary: "NemoVideo", detail, life });
}

/** Does it and tells a refusal; whether it went well. Every other error goes on. */
export async function attempt(action) {
  try {
    await action();
    return true;
  } catch (error) {
    if (error instanceof Refusal) tell("error", words(error));
    else if (error.name !== "AbortError") throw error;
    return false;
  }
}

/** Asks a person; true only for a yes. */
export async function confirmed(message, type = "default") {
  const dialog = app.extensionManager?.dialog;
  if (typeof dialog?.confirm !== "function") return window.confirm(message);
  return (await dialog.confirm({ title: t("confirm.title"), message, type })) === true;
}

/** The address of a file that ComfyUI serves. */
export function viewAddress({ filename, subfolder, type }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder: subfolder ?? "", type: type ?? "output" })}`);
}

/** Calls back whenever the server says that a job moved; returns what ends it. */
export function onJobs(listener) {
  api.addEventListener?.("nemo.jobs", listener);
  return () => api.removeEventListener?.("nemo.jobs", listener);
}

/** Calls back after ComfyUI's language changed; returns what ends it. */
export function onLanguage(listener) {
  const settings = app.ui?.settings;
  const late = () => setTimeout(listener);
  settings?.addEventListener?.("Comfy.Locale.change", late);
  return () => settings?.removeEventListener?.("Comfy.Locale.change", late);
}

/** Calls back when ComfyUI's connection to its server broke (`false`) and when it is back (`true`); returns what ends it. */
export function onConnection(listener) {
  const gone = () => listener(false);
  const back = () => listener(true);
  api.addEventListener?.("reconnecting", gone);
  api.addEventListener?.("reconnected", back);
  return () => {
    api.removeEventListener?.("reconnecting", gone);
    api.removeEventListener?.("reconnected", back);
  };
}

/** Calls back when a prompt ended, however it did. */
export function onPromptEnd(listener) {
  for (const name of ["execution_success", "execution_error", "execution_interrupted"]) {
    api.addEventListener?.(name, listener);
  }
}

/** The whole graph that is open. */
export function rootGraph() {
  return app.rootGraph ?? app.graph;
}

export function canvas() {
  return app.canvas;
}

/** Opens a graph, as it was drawn or, where that is not known, as it was sent; a Refusal where the front end cannot. */
export async function openGraph({ workflow, prompt }, name) {
  if (workflow && typeof app.loadGraphData === "function") await app.loadGraphData(workflow, true, true, name);
  else if (prompt && typeof app.loadApiJson === "function") await app.loadApiJson(prompt, name);
  else throw new Refusal(t("error.no-graph"));
}

/** Selects a node and brings it into view. */
export function showNode(node) {
  app.canvas?.selectNode?.(node);
  app.canvas?.centerOnNode?.(node);
}

/** Whether the front end has the icons that its buttons show. */
export function hasIcons() {
  const icon = document.createElement("i");
  icon.className = "pi pi-copy";
  document.body.append(icon);
  const drawn = getComputedStyle(icon, "::before").content;
  icon.remove();
  return !["none", "normal", ""].includes(drawn);
}

/** Calls back with each statement of a node, {node, prompt, graph, class, state, …}; `cached` is set where it is of an
 * earlier run whose result ComfyUI kept, which may have been another workflow's: then it is told of the node here. */
export function onStatements(listener) {
  api.addEventListener?.("nemo.node", ({ detail }) => listener({ ...detail, graph: named(detail.graph) }, false));
  api.addEventListener?.("executed", ({ detail }) => {
    for (const each of detail?.output?.nemo ?? []) {
      const cached = each.prompt !== detail.prompt_id;
      const here = cached ? { node: String(detail.node), graph: graphId() } : { graph: named(each.graph) };
      listener({ ...each, ...here }, cached);
    }
  });
}

/** Calls back with (prompt id, node ids) of what ComfyUI does not run again. */
export function onCached(listener) {
  api.addEventListener?.("execution_cached", ({ detail }) => listener(detail?.prompt_id, detail?.nodes ?? []));
}

/** Calls back with ComfyUI's own report of a node that failed: {prompt_id, node_id, node_type, exception_message}. */
export function onExecutionError(listener) {
  api.addEventListener?.("execution_error", ({ detail }) => listener(detail ?? {}));
}

/** A workflow's id; "" for the zeros of one that was cleared, which name none. */
const named = (id) => (/^[0-]*$/.test(String(id ?? "")) ? "" : String(id));

/** The id of the open workflow; "" where the front end gives none. */
export function graphId() {
  return named(rootGraph()?.id);
}

/** The nodes of the open workflow with their ids as the server has them: `12`, inside of subgraphs `12:3`. */
export function nodesById(graph = rootGraph(), before = "") {
  return (graph?.nodes ?? graph?._nodes ?? []).flatMap((node) => {
    const id = `${before}${node.id}`;
    return [[id, node], ...(node.subgraph ? nodesById(node.subgraph, `${id}:`) : [])];
  });
}

export function typeOf(node) {
  return node?.comfyClass ?? node?.constructor?.comfyClass ?? node?.type;
}

/** Whether nodes are drawn by Vue, which lays out their widgets by itself. */
export function areVueNodes() {
  return Boolean(globalThis.LiteGraph?.vueNodesMode);
}

/** A widget of the page's own elements, which is neither kept in workflows nor sent; null where there is no such kind. */
export function addElementWidget(node, name, element, height) {
  const margin = 6;
  const whole = () => (height() ? height() + 2 * margin : 0); // a front end takes the margin off what it gives
  const options = {
    serialize: false, hideOnZoom: false, margin, getMinHeight: whole, getMaxHeight: whole, getValue: () => "",
    setValue: () => {},
  };
  const widget = node.addDOMWidget?.(name, name, element, options);
  if (!widget) return null;
  widget.serialize = false;
  // Vue nodes share their free room among widgets that tell a size, whatever it is: there it tells none.
  const size = () => ({ minHeight: whole(), maxHeight: whole(), minWidth: 0 });
  Object.defineProperty(widget, "computeLayoutSize", { configurable: true, get: () => (areVueNodes() ? undefined : size) });
  keepAmongPromoted(node, widget);
  return widget;
}

// Some front ends (1.45) make the list of a subgraph's widgets again out of what it promotes, and forget what was added.
function keepAmongPromoted(node, widget) {
  const list = node._getPromotedViews;
  if (typeof list !== "function") return;
  node._getPromotedViews = function () {
    const found = list.call(this);
    return found.includes(widget) ? found : [...found, widget];
  };
}

/** Tells the page that a node shows videos, or images (`kind`): the first Vue nodes take what is not told for images. */
export function tellMedia(node, kind) {
  if (node.previewMediaType !== kind) node.previewMediaType = kind;
}

/** Keeps a text field of a node at a height, in pixels, when widgets that come later share the room with it; until a person
 * resizes the node. */
export function keepHeight(node, widget, height) {
  if (!widget.options) return;
  let held = true;
  const least = () => {
    if (app.canvas?.resizing_node === node) held = false;
    return held ? height : undefined;
  };
  Object.assign(widget.options, { getMinHeight: least, getMaxHeight: least });
}

/** Takes away the text of a node's progress, which some front ends leave standing after the run. */
export function dropProgressText(node) {
  const widget = node.widgets?.find((each) => each.name === "$$node-text-preview");
  if (!widget) return;
  if (typeof node.removeWidget === "function") node.removeWidget(widget);
  else widget.value = "";
}

export function queue() {
  return app.queuePrompt?.(0);
}

const LOOK = 12; // pixels between two looks
const NOTICE = 48; // room for what some front ends show for a moment below their bar, and no pointer meets

/** How far from the top, in pixels, an element of the right side covers nothing but the graph; null where it nowhere does. */
export function findFreeTop(element) {
  const surface = app.canvas?.canvas;
  const { left, right, height } = element.getBoundingClientRect();
  if (!surface || !height) return null;
  const isGraph = (hit) => hit === surface || hit?.contains(surface) || hit?.closest("[data-node-id], .lg-node, .dom-widget");
  const isFree = (y) =>
    [left + 4, (left + right) / 2, right - 4].every((x) =>
      isGraph(document.elementsFromPoint(x, y).find((hit) => !element.contains(hit))),
    );
  const last = window.innerHeight - LOOK;
  for (let top = LOOK, free = 0; top < last; top += LOOK) {
    free = isFree(top) ? free + LOOK : 0;
    if (free > height + NOTICE) return top - free + LOOK + NOTICE;
  }
  return null;
}

const GAP = 12; // pixels between an element and a dialog
const NARROWEST = 220; // pixels; less room beside a dialog is not used
const MASKS = ".p-dialog-mask, .p-overlay-mask";

/** Where an element of the right side can be seen and pressed while a dialog of the page dims all the rest: { top, width,
 * level }, in pixels and as a z-index; null where there is no dialog, or no room beside, below or above it. Older front ends
 * tell a failed node in a dialog. */
export function findPlaceAtDialog(element) {
  const dialogs = [...document.querySelectorAll("[role='dialog'], [role='alertdialog']")].filter(
    (each) => each.checkVisibility?.() && each.closest(MASKS),
  );
  if (!dialogs.length) return null;
  const taken = dialogs.map((each) => each.getBoundingClientRect());
  const level = Math.max(...dialogs.map((each) => Number(getComputedStyle(each.closest(MASKS)).zIndex) || 0)) + 1;
  const own = element.getBoundingClientRect();
  const margin = window.innerWidth - own.right;
  const beside = window.innerWidth - Math.max(...taken.map((each) => each.right)) - GAP - margin;
  if (beside >= NARROWEST) return { top: own.top, width: `${beside}px`, level };
  const below = Math.max(...taken.map((each) => each.bottom)) + GAP;
  const above = Math.min(...taken.map((each) => each.top)) - GAP - own.height;
  const top = [below, above].find((each) => each >= 0 && each + own.height <= window.innerHeight);
  return top === undefined ? null : { top, width: "", level };
}

// A message of our own for each of our nodes that fails: what happened, what to do, the money, and one action.

import { make } from "./dom.mjs";
import { findFreeTop, findPlaceAtDialog, nodesById, onExecutionError, onStatements, queue, showNode } from "./host.mjs";
import { newTake, takeWords } from "./takes.js";
import { t } from "./words.js";

const MOST = 3;
const SOON = 400; // the page's own message of a failed node comes a little later
const LATER = 1500; // and dialogs come and go
const told = new Set(); // by prompt and node
let box = null;
let placing = 0;

/** The actions by name: what each does with the error and its node. `open` opens the sidebar at a part of it. */
function actions(open) {
  const go = (error, part) => (error.link ? window.open(error.link, "_blank", "noopener") : open(part));
  return {
    "top-up": (error) => go(error, "account"),
    register: (error) => go(error, "account"),
    upgrade: (error) => go(error, "account"),
    token: () => open("profiles"),
    profiles: () => open("profiles"),
    panel: () => open("jobs"),
    retry: () => queue(),
    "retry-free": () => queue(),
    take: (_, node) => (node && newTake(node) ? queue() : node && showNode(node)),
    show: (error, node) => {
      if (!node) return;
      unfold(node, `${error.what} ${error.hint}`);
      showNode(node);
    },
    reload: () => window.location.reload(),
  };
}

/** Unfolds the inputs of a node that few need, where a text speaks of one of them. */
function unfold(node, text) {
  if (node.widgets?.some((each) => each.options?.advanced && text.includes(each.name))) node.showAdvanced = true;
}

export const ACTIONS = Object.keys(actions());

/** What stands on the button of an action: of another take, with its price, as on its node. */
const wordsOf = (action, node) => (action === "take" && takeWords(node)) || t(`act.${action}`);

/** Shows an error: {what, hint, money, action, link}; `node` is the graph's, where it is open. */
export function showError(error, node, title, open) {
  if (!box?.isConnected) {
    box = make("div", { class: "nemo-video-errors", role: "alert" });
    document.body.append(box);
  }
  const close = () => element.remove();
  const act = () => {
    close();
    actions(open)[error.action]?.(error, node);
  };
  const offered = ACTIONS.includes(error.action) && (node || !["show", "take"].includes(error.action));
  const element = make(
    "section",
    { class: "nemo-video-error", "data-id": error.id ?? "" },
    make("button", { type: "button", class: "nemo-close", "aria-label": t("jobs.close"), onclick: close }, "×"),
    make("strong", {}, title),
    make("p", {}, error.what),
    error.hint ? make("p", {}, error.hint) : null,
    error.money ? make("p", { class: "nemo-money", "data-charged": error.charged ?? "" }, error.money) : null,
    offered
      ? make("button", { type: "button", class: "nemo-act", onclick: act }, wordsOf(error.action, node))
      : null,
  );
  box.append(element);
  while (box.childElementCount > MOST) box.firstElementChild.remove();
  clearTimeout(placing);
  placing = setTimeout(() => place(SOON));
  return element;
}

/** Keeps the messages where they cover neither the Run button nor a message or dialog of the page's own, until they are
 * closed. */
function place(pause) {
  if (!box?.childElementCount) return;
  if (!box.matches(":hover")) {
    const beside = findPlaceAtDialog(box);
    const top = beside?.top ?? findFreeTop(box);
    if (top !== null) box.style.insetBlockStart = `${top}px`; // without room they stay where they are, below a dialog
    box.style.maxWidth = beside?.width ?? "";
    box.style.zIndex = beside?.level ?? "";
  }
  placing = setTimeout(() => place(LATER), pause);
}

/** Of ComfyUI's own report, where the server's statement did not come: its message without the class's name. */
export function readMessage(message) {
  const lines = String(message ?? "").split("\n").map((line) => line.trim()).filter(Boolean);
  const [first = "", ...rest] = lines;
  return { id: "", what: first.replace(/^[\w./\\-]*\.?[A-Z]\w*(Error|Exception)?:\s+/, ""), hint: rest.join(" "), action: "show" };
}

export function beginErrors(open) {
  const tell = (id, type, prompt, error) => {
    const mark = `${prompt} ${id}`;
    if (told.has(mark)) return;
    told.add(mark);
    const node = nodesById().find(([each, found]) => each === id && found.type === type)?.[1];
    showError(error, node, node?.title ?? "NemoVideo", open).dataset.node = `${type} ${id}`;
  };
  const forget = (type, id) => {
    for (const each of [...(box?.children ?? [])]) if (each.dataset.node === `${type} ${id}`) each.remove();
  };
  onStatements((statement, cached) => {
    if (statement.state === "running") return forget(statement.class, statement.node);
    if (statement.state === "failed" && !cached) tell(statement.node, statement.class, statement.prompt, statement.error);
  });
  onExecutionError(({ node_id, node_type, prompt_id, exception_message }) => {
    // The server's own statement comes first; where none came, this says what ComfyUI knows.
    if (!String(node_type ?? "").startsWith("Nemo")) return;
    tell(String(node_id), node_type, prompt_id, readMessage(exception_message));
  });
}

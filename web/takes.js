// "New take": another seed, so that a paid node runs again. The button stands last, and neither workflows nor prompts
// hold it.

import { EN, t, ZH } from "./words.js";

// The nodes that pay, and the kind of step that each pays for.
export const KINDS = {
  NemoGenerateVideo: "generate",
  NemoEditVideo: "edit",
  NemoChat: "chat",
  NemoImageToVideo: "generate",
};
export const PAID = new Set(Object.keys(KINDS));
// The first Vue nodes show a button's name, not its label: the name is the word, too. It is kept nowhere.
const NAMES = [EN["take.button"], ZH["take.button"]];
const HIGHEST = 0x7fffffff;

export function isPaid(node) {
  return PAID.has(node?.comfyClass ?? node?.constructor?.comfyClass ?? node?.type);
}

/** A seed in 0…2147483647 other than `old`. */
export function otherSeed(old) {
  const drawn = crypto.getRandomValues(new Uint32Array(1))[0] & HIGHEST;
  return drawn === Number(old) ? (drawn + 1) & HIGHEST : drawn;
}

/** Gives the node another seed; false where its seed comes through a link. */
export function newTake(node, canvas) {
  const widget = node.widgets?.find((each) => each.name === "seed");
  const input = node.inputs?.find((each) => each.widget?.name === "seed");
  if (!widget || (input && input.link != null)) return false;
  node.graph?.beforeChange?.();
  widget.value = otherSeed(widget.value);
  widget.callback?.(widget.value, canvas, node);
  node.graph?.afterChange?.();
  node.setDirtyCanvas?.(true, true);
  return true;
}

/** Adds the button after all other widgets; `press` is called with the node. */
export function addButton(node, press) {
  if (typeof node.addWidget !== "function" || !node.widgets?.some((each) => each.name === "seed")) return;
  const button = node.addWidget("button", t("take.button"), null, () => press(node), { serialize: false });
  if (!button) return;
  button.serialize = false; // out of widgets_values; `options.serialize` keeps it out of the prompt
  button.label = t("take.button");
}

function buttonOf(node) {
  return node.widgets?.find((each) => each.type === "button" && NAMES.includes(each.name));
}

/**
 * A badge at a node whose text is asked for whenever it is drawn; nothing where the front end has none. Vue nodes ask
 * again when what was read meanwhile changes: the value of the button, which means nothing else and is kept nowhere.
 */
export function addBadge(node, text) {
  const Badge = globalThis.LGraphBadge;
  if (typeof Badge !== "function" || !Array.isArray(node.badges)) return;
  const draw = () => [buttonOf(node)?.value, new Badge({ text: text(), fgColor: "#e8e8e8", bgColor: "#40404a" })][1];
  node.badges.push(draw);
}

/** What stands on a node's button: what another take costs, too, where that is known; "" where there is none. */
export function takeWords(node) {
  return buttonOf(node)?.label ?? "";
}

/** Whether the button says this price already, or there is none. */
export function isNamed(node, price) {
  const button = buttonOf(node);
  return !button || button.nemoPrice === price;
}

/** Says at the button what another take costs; `price` is in words, "" where it is not known. */
export function namePrice(node, price) {
  const button = buttonOf(node);
  if (!button) return;
  if (button.nemoPrice !== price) button.value = (Number(button.value) || 0) + 1;
  button.nemoPrice = price;
  button.label = price ? t("take.price", { price }) : t("take.button");
  button.tooltip = button.options.tooltip = t("take.tip");
}

/** Writes the buttons' words again after a change of language. */
export function relabel(nodes) {
  for (const node of nodes) {
    const button = isPaid(node) && buttonOf(node);
    if (button) button.label = t("take.button");
  }
}

// The price before the run, at nodes that pay: "≈ 100 credits", "≈ 300 credits" for three items, "free" on the local
// preview. By profile and by what was charged here before, as the server tells; after the run the result line has the
// true figure.

import { follow } from "./accounts.mjs";
import { ask, graphId, nodesById, onPromptEnd, onStatements, rootGraph, typeOf } from "./host.mjs";
import { isNamed, isPaid, KINDS, namePrice } from "./takes.js";
import { t } from "./words.js";

const ONE_EACH = "one video per image";
const STEPS = 40; // links that are followed at most

let prices = { default: "", profiles: {} };
const counts = new Map(); // items of a node's last run, by workflow and node

const value = (node, name) => node?.widgets?.find((each) => each.name === name)?.value;
const linkOf = (node, name) => {
  const id = node?.inputs?.find((each) => each.name === name)?.link;
  const links = (node?.graph ?? rootGraph())?.links;
  return id == null ? null : (links?.get?.(id) ?? links?.[id] ?? null);
};
const before = (node, name) => {
  const link = linkOf(node, name);
  return link ? (node.graph ?? rootGraph())?.getNodeById?.(link.origin_id) : null;
};

/** The name of the input by which a node follows on another one of ours, or passes on what comes in. */
const wayOf = (node) => {
  const ways = typeOf(node) === "Reroute" ? (node.inputs ?? []).map((each) => each.name) : ["session", "auth"];
  return ways.find((name) => linkOf(node, name));
};

const INPUTS = -10; // the id that a subgraph's own inputs have as the origin of links inside

/** What stands in the field of a subgraph that feeds a field of a node inside; null where it cannot be seen. */
function fieldOutside(node, name) {
  const link = linkOf(node, name);
  if (Number(link?.origin_id) !== INPUTS) return null;
  const given = node.graph?.inputs?.[link.origin_slot]?.name;
  const outer = nodesById().find(([, each]) => each.subgraph && each.subgraph === node.graph)?.[1];
  return linkOf(outer, given) ? null : (value(outer, given) ?? null);
}

/**
 * The profile that a node will run with, by its own widget, by that of the subgraph around it, or by the Auth node before
 * it; "" where nothing is connected yet, null where it cannot be seen.
 */
export function profileOf(node) {
  let at = node;
  for (let step = 0; step < STEPS; step += 1) {
    const own = value(at, "profile");
    if (own !== undefined) return linkOf(at, "profile") ? fieldOutside(at, "profile") : String(own);
    const way = wayOf(at);
    if (way === undefined) return String(typeOf(at) ?? "").startsWith("Nemo") ? "" : null;
    at = before(at, way);
    if (!at) return null; // out of a subgraph, say
  }
  return null;
}

/** What a node pays for: a chat right behind an upload asks for the first video. */
function kindsOf(node) {
  const kinds = [KINDS[typeOf(node)]];
  if (kinds[0] === "chat" && String(typeOf(before(node, "session"))).startsWith("NemoUpload")) kinds.push("generate");
  return kinds;
}

/** A node that is muted or bypassed takes nothing. */
const isOff = (node) => [2, 4].includes(node.mode);

/** How many images come from a node, where that can be seen; else null. */
function images(node, depth = 0) {
  if (!node || depth > STEPS) return null;
  const type = typeOf(node);
  if (type === "LoadImage") return 1;
  if (type === "NemoSampleImage") return Number(value(node, "images") ?? 1);
  if (type === "ImageBatch") {
    const both = ["image1", "image2"].map((name) => images(before(node, name), depth + 1));
    return both.includes(null) ? null : both[0] + both[1];
  }
  if (type === "RepeatImageBatch") {
    const one = images(before(node, "image"), depth + 1);
    return one === null ? null : one * Number(value(node, "amount") ?? 1);
  }
  return null;
}

/** How many items the next run of a node will have: as the graph shows, else as in its last run, else one. */
export function itemsOf(node, id) {
  let at = node;
  for (let step = 0; at && step < STEPS; step += 1) {
    const mode = value(at, "batch_mode");
    if (mode === ONE_EACH) {
      const seen = images(before(at, "image"));
      if (seen) return seen;
      break;
    }
    if (mode !== undefined) return 1; // all images in one video
    at = before(at, "session");
  }
  return counts.get(`${graphId()} ${id}`) ?? 1;
}

/** The price of a node's next run in words; "" where it is not known, and where the node does not run. */
export function priceOf(node, id = String(node.id)) {
  const profile = profileOf(node);
  const known = profile === null || isOff(node) ? undefined : prices.profiles[profile || prices.default];
  if (!known) return "";
  if (known.free) return t("price.free");
  const each = kindsOf(node).map((kind) => Number(known[kind] ?? NaN));
  if (!each.every((price) => price >= 0)) return "";
  return t("price.about", { credits: Math.round(Math.max(...each) * itemsOf(node, id)) });
}

/** The same for the node's badge; what stands on its button follows, whatever it was that changed the price. */
export function showPrice(node) {
  const price = priceOf(node, node.nemoPath);
  if (!isNamed(node, price)) queueMicrotask(() => namePrice(node, price));
  return price;
}

async function read() {
  try {
    prices = await ask("prices");
  } catch {
    return; // an older server, or none: no price is better than a wrong one
  }
  refresh();
}

/** Writes the prices of the open workflow again. */
export function refresh() {
  for (const [id, node] of nodesById()) {
    if (!isPaid(node)) continue;
    node.nemoPath = id; // inside of a subgraph, too
    namePrice(node, priceOf(node, id));
    node.setDirtyCanvas?.(true, false);
  }
}

/** Reads again when profiles were added, deleted or changed in this page. */
function followProfiles() {
  let before = null;
  follow(({ default: first, profiles }) => {
    const now = JSON.stringify([first, profiles.map((each) => [each.name, each.address])]);
    if (before !== null && before !== now) read();
    before = now;
  });
}

export function beginPrices() {
  followProfiles();
  onStatements((statement) => {
    if (statement.state === "done" && statement.items) counts.set(`${statement.graph} ${statement.node}`, statement.items);
  });
  onPromptEnd(read);
  return read();
}

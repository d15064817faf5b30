// The price before the run, at nodes that pay: "≈ 100 credits", "≈ 300 credits" for three items, "free" on the local
// preview. By profile and by what was charged here before, as the server tells; after the run the result line has the
// true figure.

import { ask, graphId, nodesById, onPromptEnd, onStatements, rootGraph, typeOf } from "./host.mjs";
import { isPaid, KINDS, namePrice } from "./takes.js";
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

/** The profile that a node will run with, by its own widget or by the Auth node before it; "" where it is not seen. */
export function profileOf(node) {
  let at = node;
  for (let step = 0; at && step < STEPS; step += 1) {
    const own = value(at, "profile");
    if (own !== undefined) return linkOf(at, "profile") ? "" : String(own);
    at = before(at, "session") ?? before(at, "auth");
  }
  return "";
}

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

/** The price of a node's next run in words; "" before the server's prices are there. */
export function priceOf(node, id = String(node.id)) {
  const profile = profileOf(node) || prices.default;
  const known = prices.profiles[profile] ?? prices.profiles[prices.default];
  if (!known) return "";
  if (known.free) return t("price.free");
  return t("price.about", { credits: Math.round(known[KINDS[typeOf(node)]] * itemsOf(node, id)) });
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
    namePrice(node, priceOf(node, id));
    node.setDirtyCanvas?.(true, false);
  }
}

export function beginPrices() {
  onStatements((statement) => {
    if (statement.state === "done" && statement.items) counts.set(`${statement.graph} ${statement.node}`, statement.items);
  });
  onPromptEnd(read);
  return read();
}

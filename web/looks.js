// How our nodes look: the pack's colour, and inputs that few need folded away.

const COLOUR = { color: "#3a2c5e", bgcolor: "#2a2438" }; // 4.6 : 1 to the grey of a title

/** Colours a node. A saved workflow holds no colour of ours, and one that people choose goes before it. */
function colour(node) {
  Object.assign(node, COLOUR);
  const before = node.onSerialize;
  node.onSerialize = function (saved) {
    before?.call(this, saved);
    for (const name in COLOUR) if (saved[name] === COLOUR[name]) delete saved[name];
  };
}

/**
 * Folds what the server calls advanced, where nodes are drawn on the canvas (Vue nodes fold it themselves): "Show
 * Advanced" in the node's menu unfolds it. A workflow that sets one of them to something else opens unfolded.
 */
function fold(node) {
  const advanced = (node.widgets ?? []).filter((widget) => widget.options?.advanced);
  if (!advanced.length) return;
  for (const widget of advanced) {
    widget.advanced = true;
    // The canvas keeps a row for a folded widget; -4 takes back the gap between two rows, too.
    widget.computeSize = (width) => [width ?? 0, node.showAdvanced ? window.LiteGraph.NODE_WIDGET_HEIGHT : -4];
  }
  node.setSize?.([node.size[0], node.computeSize()[1]]);
  const usual = new Map(advanced.map((widget) => [widget, widget.value]));
  const before = node.onConfigure;
  node.onConfigure = function (...args) {
    before?.apply(this, args);
    if (advanced.some((widget) => widget.value !== usual.get(widget))) this.showAdvanced = true;
  };
}

const LEAST_WIDTH = 225; // pixels; the longest title of a node without widgets
const LEAST_WIDTH_VUE = 330; // the first Vue nodes have their badges in the title's row

/** Widens a node whose title would be cut; the canvas gives a node without widgets less. */
function widen(node) {
  const least = window.LiteGraph?.vueNodesMode ? LEAST_WIDTH_VUE : LEAST_WIDTH;
  if (node.size?.[0] < least) node.setSize?.([least, node.size[1]]);
}

/** To be called when a node of ours is made, before a workflow fills it in. */
export function dress(node) {
  colour(node);
  fold(node);
  widen(node);
}

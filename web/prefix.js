// %Node.widget% in filename_prefix. ComfyUI's front end fills it in for its own Save nodes only. %date:…%, %width%
// and %height% are left to the server.

const DELIVERS = new Set(["NemoExportRender", "NemoImageToVideo"]);
// What no file name may hold, as ComfyUI replaces it.
const FORBIDDEN = /[/?<>\\:*|"\x00-\x1F\x7F]/g;

/** All nodes of a graph, those inside subgraphs too. */
export function allNodes(graph, seen = new Set()) {
  if (!graph || seen.has(graph)) return [];
  seen.add(graph);
  return (graph.nodes ?? graph._nodes ?? []).flatMap((node) => [node, ...allNodes(node.subgraph, seen)]);
}

/** The prefix, each %Node.widget% replaced; a node goes by its property "Node name for S&R", else by its title. */
export function expandPrefix(text, nodes) {
  return String(text).replace(/%([^%]+)%/g, (whole, inside) => {
    const [name, widgetName, ...more] = inside.split(".");
    if (widgetName === undefined || more.length) return whole;
    const named = nodes.find((each) => each.properties?.["Node name for S&R"] === name);
    const node = named ?? nodes.find((each) => each.title === name);
    const widget = node?.widgets?.find((each) => each.name === widgetName);
    return widget ? String(widget.value ?? "").replace(FORBIDDEN, "_") : whole;
  });
}

/** Makes the node send its filename_prefix expanded; what the workflow keeps stays as written. */
export function expandOnSend(node, graph) {
  if (!DELIVERS.has(node?.comfyClass ?? node?.constructor?.comfyClass ?? node?.type)) return;
  const widget = node.widgets?.find((each) => each.name === "filename_prefix");
  if (!widget) return;
  const before = widget.serializeValue;
  widget.serializeValue = async function (...args) {
    const value = before ? await before.apply(this, args) : widget.value;
    return typeof value === "string" ? expandPrefix(value, allNodes(graph())) : value;
  };
}

// What ComfyUI loads with the page, as it does with every .js file of a pack: it registers, and fetches nothing. The
// panel and the settings, which are .mjs files, come when they are opened.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { dress } from "./looks.js";
import { nameOptions } from "./options.js";
import { allNodes, expandOnSend } from "./prefix.js";
import { addBadge, addButton, isPaid, newTake, relabel } from "./takes.js";
import { language, setLanguage, t } from "./words.js";

const TAB = "nemovideo";
const LAZY =
  "account_view accounts badge colours dom errors fields graph host job_actions job_card jobs_view node_words panel polling previews profiles_view recover settings token".split(" ");
const rootGraph = () => app.rootGraph ?? app.graph;
let panel = null;
let lazyChecked = null;

function locale() {
  return app.extensionManager?.setting?.get?.("Comfy.Locale") ?? app.ui?.settings?.getSettingValue?.("Comfy.Locale");
}

function tell(severity, detail) {
  app.extensionManager?.toast?.add?.({ severity, summary: "NemoVideo", detail, life: 5000 });
}

let problemTold = false;

// Where the pack's packages are not installed, the server puts the words for it among the options of our inputs.
function tellProblem(nodeData) {
  const inputs = Object.values({ ...nodeData?.input?.required, ...nodeData?.input?.optional });
  const problem = inputs.map((each) => each?.[1]?.nemo_problem).find(Boolean);
  if (!problem || problemTold) return;
  problemTold = true;
  const detail = problem[language()] ?? problem.en;
  app.extensionManager?.toast?.add?.({ severity: "error", summary: "NemoVideo", detail }); // stays until it is closed
}

function take(node) {
  if (!newTake(node, app.canvas)) tell("warn", t("take.linked"));
}

function takeSelected() {
  const paid = Object.values(app.canvas?.selected_nodes ?? {}).filter(isPaid);
  if (!paid.length) tell("info", t("take.none"));
  paid.forEach(take);
}

/** The graph's own modules: result lines, messages of failed nodes, prices; null before they are there. */
let graph = null;
let graphBegun = null;

// With the first node of ours: a page without any asks the server nothing. Should it fail, the nodes work as before.
function beginGraphOnce() {
  graphBegun ??= beginGraph().catch(() => {});
  return graphBegun;
}

const PATIENCE = 1500;

/** Whether a workflow holds nodes of ours, in its subgraphs, too. */
function hasOurs({ nodes, definitions } = {}) {
  const all = [...(nodes ?? []), ...(definitions?.subgraphs ?? []).flatMap((each) => each.nodes ?? [])];
  return all.some((node) => String(node?.type ?? "").startsWith("Nemo"));
}

async function beginGraph() {
  await checkLazy();
  const [words, errors, badge] = await Promise.all([
    import("./node_words.mjs"), import("./errors.mjs"), import("./badge.mjs"),
  ]);
  words.beginNodeWords();
  errors.beginErrors(openAt);
  graph = { words, badge };
  words.showAll();
  words.restore();
  await badge.beginPrices();
}

function drawGraph() {
  graph?.words.showAll();
  graph?.badge.refresh();
}

const refreshPrices = () => graph?.badge.refresh();
const PRICED = ["profile", "batch_mode", "images"];

// The canvas asks for the price whenever it draws; Vue nodes only when they are told that it may be another.
function followPrice(node) {
  const after = (owner, name) => {
    const usual = owner[name];
    owner[name] = function (...given) {
      queueMicrotask(refreshPrices);
      return usual?.apply(this, given);
    };
  };
  for (const widget of node.widgets ?? []) if (PRICED.includes(widget.name)) after(widget, "callback");
  after(node, "onConnectionsChange");
}

/** Opens the sidebar with one of its parts in view: account, profiles or jobs. */
function openAt(part) {
  openTab();
  setTimeout(() => panel?.querySelector(`.nv-${part}`)?.scrollIntoView({ block: "start" }), 500);
}

function openTab() {
  const { sidebarTab, command } = app.extensionManager ?? {};
  if (sidebarTab?.activeSidebarTabId !== TAB) command?.execute?.(`Workspace.ToggleSidebarTab.${TAB}`);
}

// ComfyUI forbids browsers to keep .js and .css files, but not .mjs files: after an update of the pack, old and new
// ones would meet. So each is checked with the server once in a page's life; the imports then find what is fresh.
function checkLazy() {
  const check = async (name) => {
    const response = await fetch(new URL(`./${name}.mjs`, import.meta.url), { cache: "no-cache" });
    await response.arrayBuffer(); // only what was read to its end is kept for the import
  };
  lazyChecked ??= Promise.all(LAZY.map(check));
  return lazyChecked;
}

/** A holder that its module fills as soon as it has arrived. */
function later(load, fill) {
  const holder = document.createElement("div");
  checkLazy()
    .then(load)
    .then(
      (module) => fill(module, holder),
      () => (holder.textContent = t("panel.failed")),
    );
  return holder;
}

// Only a page that shows a Recover node asks for jobs before the panel is opened.
function followJobs() {
  checkLazy()
    .then(() => import("./recover.mjs"))
    .then(
      (module) => module.followJobs(),
      () => {}, // the combo offers what it had when the page came
    );
}

// ComfyUI calls render again with the same container whenever it draws the sidebar.
function render(container) {
  if (panel?.parentNode === container) return;
  panel = later(() => import("./panel.mjs"), (module, holder) => holder.append(module.createPanel()));
  panel.style.height = "100%";
  container.replaceChildren(panel);
  const own = panel;
  // ComfyUI hands one container from tab to tab, without a word to the first: leave as soon as another moves in.
  const watch = new MutationObserver(() => {
    if (own.parentNode !== container || container.childNodes.length > 1) {
      watch.disconnect();
      own.remove();
    }
  });
  watch.observe(container, { childList: true });
}

function destroy() {
  panel?.remove();
  panel = null;
}

// The values live on the server; the setter of ComfyUI's settings file is never called.
function setting(id, group, kind) {
  return {
    id: `NemoVideo.${id}`,
    name: t(`settings.${kind}`),
    tooltip: t(`settings.${kind}.tip`),
    category: ["NemoVideo", t(`settings.${group}`), id],
    defaultValue: "",
    type: () => later(() => import("./settings.mjs"), (module, holder) => holder.append(module.createSetting(kind))),
  };
}

function menuItem(node) {
  return { content: t("take.button"), callback: () => take(node) };
}

function changeLanguage() {
  if (!setLanguage(locale())) return;
  relabel(allNodes(rootGraph()));
  drawGraph();
}

setLanguage(locale());

app.registerExtension({
  name: "nemo.video",
  commands: [
    { id: "NemoVideo.Open", icon: "pi pi-video", label: () => t("command.open"), function: openTab },
    { id: "NemoVideo.NewTake", icon: "pi pi-refresh", label: () => t("command.take"), function: takeSelected },
  ],
  menuCommands: [{ path: ["Extensions", "NemoVideo"], commands: ["NemoVideo.Open", "NemoVideo.NewTake"] }],
  // Shown from the last to the first.
  settings: [
    setting("DayLimit", "limits", "day-limit"),
    setting("RunLimit", "limits", "run-limit"),
    setting("Token", "account", "token"),
    setting("Profile", "account", "profile"),
  ],
  setup() {
    setLanguage(locale());
    // Without any listener ComfyUI's socket reports the event as an unknown one. The panel adds its own.
    api.addEventListener?.("nemo.jobs", () => {});
    app.ui?.settings?.addEventListener?.("Comfy.Locale.change", () => queueMicrotask(changeLanguage));
    app.extensionManager?.registerSidebarTab?.({
      id: TAB,
      icon: "pi pi-video",
      title: "NemoVideo",
      label: "Nemo\u00adVideo", // too wide for the bar of front ends that show labels: where it may break
      tooltip: t("tab.tooltip"),
      type: "custom",
      render,
      destroy,
    });
  },
  // Also for front ends before getNodeMenuItems, which ask the node's class.
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (String(nodeData?.name ?? "").startsWith("Nemo")) tellProblem(nodeData);
    if (!isPaid({ type: nodeData?.name }) || typeof app.collectNodeMenuItems === "function") return;
    const before = nodeType.prototype.getExtraMenuOptions;
    nodeType.prototype.getExtraMenuOptions = function (canvas, options) {
      const given = before?.apply(this, [canvas, options]);
      options.push(menuItem(this));
      return given;
    };
  },
  getNodeMenuItems(node) {
    return isPaid(node) ? [menuItem(node)] : [];
  },
  // Vue nodes take the badges that a node has when it is drawn first: the prices come before, where that is soon.
  async beforeConfigureGraph(data) {
    if (hasOurs(data)) await Promise.race([beginGraphOnce(), new Promise((done) => setTimeout(done, PATIENCE))]);
  },
  afterConfigureGraph() {
    drawGraph();
    graph?.words.restore();
  },
  nodeCreated(node) {
    expandOnSend(node, rootGraph);
    if (String(node.comfyClass ?? "").startsWith("Nemo")) beginGraphOnce();
    if (isPaid(node)) {
      addButton(node, take);
      addBadge(node, () => graph?.badge.showPrice(node) ?? "");
      queueMicrotask(refreshPrices);
    }
    if (!String(node.comfyClass ?? "").startsWith("Nemo")) return;
    nameOptions(node);
    dress(node);
    followPrice(node);
    if (node.comfyClass === "NemoRecover") followJobs();
  },
});

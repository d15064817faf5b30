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
  const options = { cache: "no-store", signal };
  if (body !== undefined) {
    options.method = "POST";
    options.headers = { "Content-Type": "application/json", "X-NemoVideo": "1" };
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

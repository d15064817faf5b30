// What can be done with a job: small buttons with pictures, and words where something is collected or stopped.

import { button, copyText, make, show, webAddress, write } from "./dom.mjs";
import { openWorkflow, takeAgain } from "./graph.mjs";
import { ask, attempt, confirmed, Refusal, tell, viewAddress } from "./host.mjs";
import { t } from "./words.js";

/** {element, update(job, name)}; `current()` is the job as it is now. */
export function actionRow(current, { changed, gone }) {
  const post = (what) => ask(`jobs/${encodeURIComponent(current().id)}/${what}`, { body: {} });
  const small = (name, action) => icon(button("", action, { class: "nv-tool" }), name);
  const actions = {
    resume: [
      button(t("jobs.resume"), () => attempt(async () => changed((await post("resume")).job))),
      "jobs.resume",
      (job) => job.resumable && !job.running,
    ],
    stop: [
      button("", () =>
        attempt(async () => {
          const { job, text } = await post("cancel");
          changed(job);
          tell("info", text);
        }),
      ),
      (job) => t(`jobs.stop.${job.stops}`),
      (job) => job.running && job.stops,
    ],
    download: [
      icon(make("a", { class: "nv-tool", download: "" }), "download"),
      "jobs.download",
      (job) => job.video,
    ],
    folder: [small("folder-open", () => attempt(() => post("open-folder"))), "jobs.open-folder", (job) => job.folder],
    copy: [
      small("copy", async () => {
        if (await copyText(current().prompt)) tell("success", t("jobs.copied"));
        else tell("warn", t("jobs.not-copied"));
      }),
      "jobs.copy",
      (job) => job.prompt,
    ],
    workflow: [small("sitemap", () => attempt(() => openWorkflow(current()))), "jobs.workflow", (job) => job.video],
    take: [small("refresh", () => attempt(() => takeAgain(current()))), takeWords, (job) => !job.running],
    page: [
      small("external-link", () => attempt(async () => openPage((await post("project-page")).url))),
      "jobs.project-page",
      (job) => job.page && !job.running,
    ],
    forget: [
      small("trash", async () => {
        if (!(await confirmed(t("jobs.forget.ask")))) return;
        if (await attempt(() => post("forget"))) gone();
      }),
      "jobs.forget",
      (job) => !job.running,
    ],
  };
  const element = make("div", { class: "nv-actions" }, ...Object.values(actions).map(([each]) => each));
  const update = (job, name) => {
    for (const [each, text, fits] of Object.values(actions)) {
      const shown = Boolean(fits(job));
      show(each, shown);
      if (!shown) continue;
      const action = typeof text === "string" ? t(text) : text(job);
      write(each.querySelector(".nv-word") ?? each, action);
      label(each, action, name);
    }
    if (!job.video) return;
    actions.download[0].href = viewAddress(job.video);
    actions.download[0].download = job.video.filename;
  };
  return { element, update };
}

/** What another take of a job costs, as far as that is known from this one. */
function takeWords(job) {
  const known = job.spent && job.certainty === "exact" ? t("price.about", { credits: job.spent }) : "";
  const price = job.free ? t("price.free") : known;
  return price ? t("take.price", { price }) : t("take.button");
}

/** Puts one of ComfyUI's icons into a button; its word is shown where the front end has no such icons. */
function icon(element, name) {
  element.append(make("i", { class: `pi pi-${name}`, "aria-hidden": "true" }), make("span", { class: "nv-word" }));
  return element;
}

/** Names a button by what it does and to which job, for those who hear it. */
export function label(element, action, name) {
  element.setAttribute("aria-label", t("jobs.label", { action, job: name }));
  if (element.title !== action) element.title = action;
}

/** Opens the claim link in a new tab, which gets no hold of this page; it is kept nowhere. */
async function openPage(url) {
  const address = webAddress(url);
  if (!address) throw new Refusal(t("error.no-link"));
  // A browser opens tabs only shortly after a click, and the answer may have taken longer.
  if (navigator.userActivation?.isActive === false && !(await confirmed(t("jobs.project-page.ready")))) return;
  window.open(address, "_blank", "noopener,noreferrer");
}

// One job: picture, prompt, state, progress, money, and what can be done with it. Updated in place, so that a playing
// video plays on and the keyboard's focus stays.

import { button, make, show, webAddress, write } from "./dom.mjs";
import { ask, attempt, confirmed, Refusal, tell, viewAddress } from "./host.mjs";
import { moment, t } from "./words.js";

/** The id of the state's words: a job that owes nothing any more is delivered, or it was a question and is answered. */
export function stateOf(job) {
  if (job.running) return "running";
  if (job.state !== "done" || job.unfinished) return job.state;
  return job.delivered ? "delivered" : "answered";
}

/** {element, update(job)}; `changed(job)` tells the list of a new state, `gone()` that it was forgotten. */
export function jobCard({ changed, gone }) {
  let job = null;
  const picture = make("img", { alt: "", loading: "lazy" });
  const thumb = make("button", { type: "button", class: "nv-thumb", "aria-label": t("jobs.play") }, picture);
  const prompt = make("p", { class: "nv-prompt" });
  const facts = make("p", { class: "nv-quiet nv-facts" });
  const state = make("span", { class: "nv-state" });
  const error = make("p", { class: "nv-trouble" });
  const progress = progressBar();
  const stage = make("div", { class: "nv-stage" });
  const actions = actionRow(() => job, { changed, gone, play: () => play() });
  thumb.addEventListener("click", () => play());
  const body = make("div", { class: "nv-body" }, prompt, make("p", { class: "nv-line" }, state), facts);
  const head = make("div", { class: "nv-head" }, thumb, body);
  const element = make("li", { class: "nv-job" }, head, progress.element, error, actions.element, stage);

  const play = () => (job.video ? player(stage, job.video) : null);

  const update = (next) => {
    const other = JSON.stringify(job?.video) !== JSON.stringify(next.video);
    job = next;
    element.dataset.job = job.id;
    element.dataset.state = stateOf(job);
    write(prompt, job.prompt || t("jobs.no-prompt"));
    prompt.title = job.prompt;
    write(state, t(`jobs.state.${stateOf(job)}`));
    write(facts, factsOf(job));
    write(error, job.error);
    show(error, Boolean(job.error));
    thumb.disabled = !job.video;
    progress.update(job.running);
    actions.update(job);
    if (other) stage.replaceChildren();
  };
  return { element, update, picture: () => loadPicture(picture, job) };
}

function factsOf(job) {
  const money = job.spent == null ? "" : t("jobs.credits", { credits: job.spent });
  const parts = [t(`jobs.kind.${job.kind}`), money, moment(new Date(job.created * 1000)), job.profile];
  return parts.filter(Boolean).join(" · ");
}

/** The job's thumbnail, once; a job without one stays as it is. */
async function loadPicture(image, job) {
  if (image.src || !job.picture || image.dataset.asked) return;
  image.dataset.asked = "yes";
  try {
    const answer = await ask(`jobs/${encodeURIComponent(job.id)}/picture`);
    if (/^data:image\/(jpeg|png|webp);base64,/.test(answer.image)) image.src = answer.image;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

function progressBar() {
  const fill = make("div", { class: "nv-fill" });
  const range = { "aria-valuemin": 0, "aria-valuemax": 100 };
  const bar = make("div", { role: "progressbar", "aria-label": t("jobs.progress"), ...range }, fill);
  const text = make("p", {});
  const element = make("div", { class: "nv-progress" });
  const update = (running) => {
    show(element, Boolean(running));
    if (!running) return element.replaceChildren();
    if (!element.childNodes.length) element.append(bar, text);
    const percent = Math.round(100 * Math.min(1, Math.max(0, running.fraction)));
    fill.style.width = `${percent}%`;
    bar.setAttribute("aria-valuenow", percent);
    bar.setAttribute("aria-valuetext", `${percent}% ${running.text}`);
    write(text, running.text);
  };
  return { element, update };
}

/** Shows the video under the card, or takes it away again. */
function player(stage, video) {
  if (stage.childNodes.length) return stage.replaceChildren();
  const address = viewAddress(video);
  const aside = { target: "_blank", rel: "noopener noreferrer" };
  const link = make("a", { class: "nv-link", href: address, ...aside }, t("jobs.open-file"));
  const isPicture = /\.(gif|webp|png)$/i.test(video.filename);
  const film = isPicture
    ? make("img", { src: address, alt: "" })
    : make("video", { src: address, controls: true, autoplay: true, loop: true, playsinline: true });
  film.addEventListener("error", () => film.replaceWith(make("p", { class: "nv-quiet" }, t("jobs.no-player"))));
  const close = button(t("jobs.close"), () => stage.replaceChildren());
  return stage.replaceChildren(film, make("div", { class: "nv-actions" }, link, close));
}

function actionRow(current, { changed, gone, play }) {
  const post = (what) => ask(`jobs/${encodeURIComponent(current().id)}/${what}`, { body: {} });
  const buttons = {
    play: button(t("jobs.play"), play),
    resume: button(t("jobs.resume"), () => attempt(async () => changed((await post("resume")).job))),
    cancel: button(t("jobs.cancel"), () =>
      attempt(async () => {
        const { job, text } = await post("cancel");
        changed(job);
        tell("info", text);
      }),
    ),
    folder: button(t("jobs.open-folder"), () => attempt(() => post("open-folder"))),
    page: button(t("jobs.project-page"), () => attempt(async () => openPage((await post("project-page")).url))),
    forget: button(t("jobs.forget"), async () => {
      if (!(await confirmed(t("jobs.forget.ask")))) return;
      if (await attempt(() => post("forget"))) gone();
    }),
  };
  const element = make("div", { class: "nv-actions" }, ...Object.values(buttons));
  const update = (job) => {
    show(buttons.play, Boolean(job.video));
    show(buttons.resume, job.resumable && !job.running);
    show(buttons.cancel, Boolean(job.running) || (job.unfinished && job.state === "sent"));
    show(buttons.folder, Boolean(job.path));
    show(buttons.page, job.page);
    show(buttons.forget, !job.running);
  };
  return { element, update };
}

/** Opens the claim link in a new tab, which gets no hold of this page; it is kept nowhere. */
async function openPage(url) {
  const address = webAddress(url);
  if (!address) throw new Refusal(t("error.no-link"));
  // A browser opens tabs only shortly after a click, and the answer may have taken longer.
  if (navigator.userActivation?.isActive === false && !(await confirmed(t("jobs.project-page.ready")))) return;
  window.open(address, "_blank", "noopener,noreferrer");
}

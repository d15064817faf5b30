// One job: picture, prompt, state, money, progress, and what can be done with it. Updated in place, so that a playing
// video plays on and the keyboard's focus stays.

import { button, make, show, write } from "./dom.mjs";
import { ask, Refusal, viewAddress } from "./host.mjs";
import { actionRow, label } from "./job_actions.mjs";
import { profileName } from "./options.js";
import { moment, t } from "./words.js";

const SHORT = 40;
const FITS = 110; // an error of so many half-width characters is shown whole
const FILMS = /\.(mp4|mov|webm|mkv)$/i;
const PICTURES = /\.(gif|webp|png)$/i;

/** The id of the state's words: a job that owes nothing any more is delivered, or it was a question and is answered. */
export function stateOf(job) {
  if (job.running) return "running";
  if (job.state !== "done" || job.unfinished) return job.state;
  return job.delivered ? "delivered" : "answered";
}

/** What people know a job by: the beginning of its prompt, and when it was asked for. */
export function nameOf(job) {
  const words = job.prompt.trim().replace(/\s+/g, " ") || t("jobs.no-prompt");
  const short = words.length > SHORT ? `${words.slice(0, SHORT - 1).trimEnd()}…` : words;
  return `${short}, ${moment(new Date(job.created * 1000))}`;
}

/**
 * {element, update(job, name), picture()}; `changed(job)` tells the list of a new state, `gone()` that it was forgotten.
 * `name` is what the labels of its buttons call it.
 */
export function jobCard({ changed, gone }) {
  let job = null;
  let called = "";
  const image = make("img", { alt: "", loading: "lazy" });
  const thumb = make("button", { type: "button", class: "nv-thumb", "aria-expanded": "false" }, image);
  const prompt = make("p", { class: "nv-prompt" });
  const state = make("p", { class: "nv-state" });
  const facts = make("p", { class: "nv-quiet nv-facts" });
  const error = errorText();
  const progress = progressBar();
  const stage = make("div", { class: "nv-stage" });
  const actions = actionRow(() => job, { changed, gone });
  const parts = [thumb, prompt, state, facts, progress.element, actions.element, ...error.elements, stage];
  const element = make("li", { class: "nv-job" }, ...parts);
  const play = () => {
    if (!job.video) return;
    player(stage, job.video, called);
    thumb.setAttribute("aria-expanded", String(stage.childNodes.length > 0));
  };
  thumb.addEventListener("click", play);
  playOnHover(thumb, () => job.video);

  const update = (next, name = nameOf(next)) => {
    const other = JSON.stringify(job?.video) !== JSON.stringify(next.video);
    job = next;
    called = name;
    element.dataset.job = job.id;
    element.dataset.state = job.asks ? "asks" : stateOf(job);
    write(prompt, job.prompt || t("jobs.no-prompt"));
    prompt.title = job.prompt;
    write(state, job.asks ? t("jobs.asks") : t(`jobs.state.${stateOf(job)}`));
    state.title = state.textContent;
    write(facts, factsOf(job));
    facts.title = facts.textContent;
    show(facts, !job.running); // its progress tells time and price
    error.update(job.error, job.asks, name);
    label(thumb, t("jobs.play"), name);
    thumb.disabled = !job.video;
    progress.update(job.running, name);
    actions.update(job, name);
    if (!other) return;
    stage.replaceChildren();
    thumb.setAttribute("aria-expanded", "false");
    if (image.dataset.asked) picture(); // of the result now, or no longer
  };
  const picture = () => loadPicture(image, job);
  return { element, update, picture };
}

function factsOf(job) {
  const kind = job.kind === "generate" ? "" : t(`jobs.kind.${job.kind}`);
  const parts = [moneyOf(job), moment(new Date(job.created * 1000)), kind, profileName(job.profile)];
  return parts.filter(Boolean).join(" · ");
}

const MONEY = { exact: "jobs.credits", "at most": "jobs.credits.most", unknown: "jobs.credits.least" };

/** What a job took, as sure as it is known. */
function moneyOf(job) {
  if (job.free) return t("jobs.money.free");
  if (job.spent != null) return t(MONEY[job.certainty] ?? "jobs.credits", { credits: job.spent });
  if (job.running || ["planned", "refused"].includes(job.state)) return ""; // nothing taken, as the state says
  return t(job.state === "done" ? "jobs.money.unknown" : "jobs.money.perhaps");
}

/** The job's thumbnail; asked for again only when its video came or went. A job without one stays as it is. */
async function loadPicture(image, job) {
  const wanted = job.video ? `${job.video.subfolder}/${job.video.filename}` : "upload";
  if (!job.picture || image.dataset.asked === wanted) return;
  image.dataset.asked = wanted;
  try {
    const answer = await ask(`jobs/${encodeURIComponent(job.id)}/picture`);
    if (/^data:image\/(jpeg|png|webp);base64,/.test(answer.image)) image.src = answer.image;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

/** Plays the video in the picture's place, silent, while the pointer or the keyboard's focus is on it. */
function playOnHover(thumb, video) {
  let film = null;
  const stop = () => {
    film?.removeAttribute("src"); // else it is loaded to its end
    film?.remove();
    film = null;
  };
  const start = () => {
    const shown = video();
    if (film || !shown || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    if (PICTURES.test(shown.filename)) film = make("img", { alt: "" });
    else if (FILMS.test(shown.filename)) film = make("video", { autoplay: true, loop: true, playsinline: true });
    else return;
    film.muted = true;
    film.addEventListener("error", stop);
    film.src = viewAddress(shown);
    thumb.append(film);
  };
  for (const name of ["pointerenter", "focus"]) thumb.addEventListener(name, start);
  for (const name of ["pointerleave", "blur"]) thumb.addEventListener(name, stop);
}

/** Why it failed: two lines of it, and the rest on request; a question is shown whole. */
function errorText() {
  const text = make("p", { class: "nv-trouble" });
  const more = button("", () => unfold(!text.classList.contains("nv-whole")), { class: "nv-why", hidden: true });
  let called = "";
  const unfold = (whole) => {
    const action = t(whole ? "jobs.less" : "jobs.why");
    text.classList.toggle("nv-whole", whole);
    more.setAttribute("aria-expanded", String(whole));
    write(more, action);
    label(more, action, called);
  };
  let shown = null;
  const update = (error, asks, name) => {
    if (called !== name) label(more, more.textContent, (called = name));
    if (shown === error) return;
    shown = error;
    write(text, error);
    const fits = [...error].reduce((sum, each) => sum + (each > "\u2e7f" ? 2 : 1), 0) <= FITS;
    unfold(fits || Boolean(asks));
    show(text, Boolean(error));
    show(more, !fits && !asks);
  };
  return { elements: [text, more], update };
}

function progressBar() {
  const fill = make("div", { class: "nv-fill" });
  const bar = make("div", { role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
  const text = make("p", {});
  const element = make("div", { class: "nv-progress" });
  const update = (running, name) => {
    show(element, Boolean(running));
    if (!running) return element.replaceChildren();
    if (!element.childNodes.length) element.append(bar, text);
    const percent = Math.round(100 * Math.min(1, Math.max(0, running.fraction)));
    fill.style.width = `${percent}%`;
    bar.setAttribute("aria-label", t("jobs.label", { action: t("jobs.progress"), job: name }));
    bar.setAttribute("aria-valuenow", percent);
    bar.setAttribute("aria-valuetext", `${percent}% ${running.text}`);
    write(text, running.text);
  };
  return { element, update };
}

/** Shows the video under the card of a job that is called `name`, or takes it away again. */
function player(stage, video, name) {
  if (stage.childNodes.length) return stage.replaceChildren();
  const address = viewAddress(video);
  const aside = { target: "_blank", rel: "noopener noreferrer" };
  const link = make("a", { class: "nv-link", href: address, ...aside }, t("jobs.open-file"));
  const film = PICTURES.test(video.filename)
    ? make("img", { src: address, alt: "" })
    : make("video", { src: address, controls: true, autoplay: true, loop: true, playsinline: true });
  film.addEventListener("error", () => film.replaceWith(make("p", { class: "nv-quiet" }, t("jobs.no-player"))));
  const close = button(t("jobs.close"), () => stage.replaceChildren());
  label(link, t("jobs.open-file"), name);
  label(close, t("jobs.close"), name);
  return stage.replaceChildren(film, make("div", { class: "nv-row" }, link, close));
}

// The list of jobs with its search.

import { make, show, write } from "./dom.mjs";
import { jobCard } from "./job_card.mjs";
import { t } from "./words.js";

/** {element, update(jobs), running(), leave()} */
export function jobsView({ refresh }) {
  const cards = new Map(); // id -> {element, update, picture}
  let jobs = [];
  const search = make("input", {
    type: "search",
    placeholder: t("jobs.search"),
    "aria-label": t("jobs.search"),
    oninput: () => filter(),
  });
  const nothing = make("p", { class: "nv-quiet nv-empty", role: "status" });
  const list = make("ul", { class: "nv-jobs" });
  const title = t("jobs.title");
  const element = make("section", { "aria-label": title }, make("h3", {}, title), search, nothing, list);
  const seen = watchSight((id) => cards.get(id)?.picture());

  const put = (job) => {
    if (cards.has(job.id)) return cards.get(job.id).update(job);
    const gone = () => {
      forget(job.id);
      refresh();
    };
    const changed = (next) => {
      cards.get(next.id)?.update(next);
      refresh();
    };
    const card = jobCard({ changed, gone });
    card.update(job);
    cards.set(job.id, card);
    seen?.observe(card.element);
  };
  const forget = (id) => {
    const card = cards.get(id);
    if (!card) return;
    seen?.unobserve(card.element);
    card.element.remove();
    cards.delete(id);
  };
  const filter = () => {
    const wanted = search.value.trim().toLowerCase();
    const matching = jobs.filter((job) => job.prompt.toLowerCase().includes(wanted));
    const shown = new Set(matching.map((job) => job.id));
    for (const job of jobs) show(cards.get(job.id).element, shown.has(job.id));
    write(nothing, jobs.length ? t("jobs.no-match") : t("jobs.none"));
    show(nothing, !matching.length);
    show(search, jobs.length > 0);
  };
  const update = (next) => {
    jobs = next;
    jobs.forEach(put);
    const ids = new Set(jobs.map((job) => job.id));
    for (const id of [...cards.keys()]) if (!ids.has(id)) forget(id);
    // An element that is already in its place stays untouched: moving one would stop its video.
    jobs.forEach((job, index) => {
      const card = cards.get(job.id).element;
      if (list.children[index] !== card) list.insertBefore(card, list.children[index] ?? null);
    });
    filter();
  };
  return { element, update, running: () => jobs.some((job) => job.running), leave: () => seen?.disconnect() };
}

/** Tells the id of each card that comes into view, for its picture; at once where browsers cannot say. */
function watchSight(arrived) {
  if (typeof IntersectionObserver !== "function") return null;
  return new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) arrived(target.dataset.job);
  });
}

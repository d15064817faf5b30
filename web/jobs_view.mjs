// The list of jobs: videos to collect on top, then the newest, older ones page by page, and a search over all.

import { button, make, show, write } from "./dom.mjs";
import { ask } from "./host.mjs";
import { jobCard, nameOf } from "./job_card.mjs";
import { t } from "./words.js";

const FILTERS = ["all", "working", "ready", "failed"];
const PAGE = 50;
const TYPING = 250;

/** {element, read(signal), running(), leave()}; `ended(profiles)` tells of jobs that came to their end. */
export function jobsView({ refresh, ended }) {
  const cards = new Map(); // id -> {element, update, picture}
  const asked = { pages: 1, mark: "", which: "all" };
  let shown = { jobs: [], pinned: new Set(), next: "", searched: "", which: "all", counts: null, now: 0 };
  let typing = 0;
  const search = make("input", {
    type: "search",
    placeholder: t("jobs.search"),
    "aria-label": t("jobs.search"),
    oninput: () => {
      filter(); // at once among those at hand; the server looks through all
      clearTimeout(typing);
      typing = setTimeout(() => again({ pages: 1 }), TYPING);
    },
  });
  const filters = filterRow((which) => {
    filters.update(which, shown.counts);
    return again({ pages: 1, which });
  });
  const nothing = make("p", { class: "nv-quiet nv-empty", role: "status" });
  const owing = make("ul", { class: "nv-jobs", "data-what": "pinned" });
  const pinned = make("div", { class: "nv-pinned" }, make("h4", {}, t("jobs.pinned")), owing);
  const list = make("ul", { class: "nv-jobs" });
  const more = button(t("jobs.more"), () => again({ pages: asked.pages + 1 }), { class: "nv-more" });
  const title = t("jobs.title");
  const parts = [make("h3", {}, title), search, filters.element, nothing, pinned, list, more];
  const element = make("section", { "aria-label": title }, ...parts);
  const seen = watchSight((id) => cards.get(id)?.picture());

  const again = (changes) => {
    Object.assign(asked, { mark: "", ...changes });
    return refresh();
  };
  const wanted = () => search.value.trim();

  const put = (job, name) => {
    if (cards.has(job.id)) return cards.get(job.id).update(job, name);
    const gone = () => {
      forget(job.id);
      again({});
    };
    const changed = (next) => {
      cards.get(next.id)?.update(next);
      again({});
    };
    const card = jobCard({ changed, gone });
    card.update(job, name);
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
    const words = wanted().toLowerCase();
    const found = shown.searched === wanted(); // then the server has judged, by its own rules
    const fits = (job) => found || job.prompt.toLowerCase().includes(words) || job.id.startsWith(words);
    const matching = new Set(shown.jobs.filter(fits).map((job) => job.id));
    for (const job of shown.jobs) show(cards.get(job.id).element, matching.has(job.id));
    const narrowed = shown.which === "all" ? "jobs.none" : "jobs.none-here";
    write(nothing, t(shown.jobs.length || wanted() ? "jobs.no-match" : narrowed));
    show(nothing, !matching.size);
    const some = shown.jobs.length > 0 || Boolean(wanted()) || asked.which !== "all";
    show(search, some);
    show(filters.element, some);
    filters.update(asked.which, shown.counts);
    show(pinned, shown.jobs.some((job) => shown.pinned.has(job.id) && matching.has(job.id)));
    show(more, Boolean(shown.next));
  };
  const update = (next) => {
    const before = shown;
    shown = next;
    putAll(shown.jobs);
    const ids = new Set(shown.jobs.map((job) => job.id));
    for (const id of [...cards.keys()]) if (!ids.has(id)) forget(id);
    place(owing, shown.jobs.filter((job) => shown.pinned.has(job.id)));
    place(list, shown.jobs.filter((job) => !shown.pinned.has(job.id)));
    filter();
    const over = findEnded(before, shown);
    if (over.length) ended([...new Set(over.map((job) => job.profile))]);
  };
  const putAll = (jobs) => {
    const names = new Map(jobs.map((job) => [job.id, nameOf(job)]));
    const counts = new Map();
    for (const name of names.values()) counts.set(name, (counts.get(name) ?? 0) + 1);
    for (const job of jobs) {
      const name = names.get(job.id);
      put(job, counts.get(name) > 1 ? `${name}, ${job.id}` : name); // two of a batch sound alike
    }
  };
  // An element that is already in its place stays untouched: moving one would stop its video.
  const place = (where, jobs) =>
    jobs.forEach((job, index) => {
      const card = cards.get(job.id).element;
      if (where.children[index] !== card) where.insertBefore(card, where.children[index] ?? null);
    });

  const page = (signal, more) => {
    const query = new URLSearchParams({ limit: PAGE, ...more });
    if (wanted()) query.set("search", wanted());
    if (asked.which !== "all") query.set("filter", asked.which);
    return ask(`jobs?${query}`, { signal });
  };
  /** Reads the pages that are shown, unless the server says that nothing has changed since. */
  const read = async (signal) => {
    const searched = wanted();
    const { which } = asked;
    const first = await page(signal, asked.mark ? { seen: asked.mark } : {});
    if (signal.aborted) return;
    if (first.unchanged) return tellRunning(first.running);
    const jobs = new Map(first.jobs.map((job) => [job.id, job]));
    let last = first;
    for (let count = 1; count < asked.pages && last.next; count += 1) {
      last = await page(signal, { after: last.next });
      if (signal.aborted) return;
      for (const job of last.jobs) if (!jobs.has(job.id)) jobs.set(job.id, job);
    }
    if (searched !== wanted() || which !== asked.which) return; // asked for something else meanwhile: it will come
    asked.mark = first.mark ?? "";
    update({
      jobs: [...jobs.values()],
      pinned: new Set(first.pinned ?? []),
      next: last.next ?? "",
      searched: first.search ?? "",
      which,
      counts: first.counts ?? null,
      now: first.now ?? 0,
    });
  };
  const tellRunning = (running) => {
    for (const job of shown.jobs) job.running = running[job.id] ?? null;
    putAll(shown.jobs);
  };
  const leave = () => {
    clearTimeout(typing);
    seen?.disconnect();
  };
  return { element, read, running: () => shown.jobs.some((job) => job.running), leave };
}

/** Whether something may still be charged for a job: it runs here, or its message is out. */
function isUnderWay(job) {
  return Boolean(job.running) || ["sent", "unknown"].includes(job.state);
}

/** The jobs that came to their end, or whose charge was seen, between two answers: the account may have less now. */
function findEnded(before, now) {
  if (!before.now) return []; // what is there when the list opens has not ended just now
  const known = new Map(before.jobs.map((job) => [job.id, job]));
  const over = now.jobs.filter((job) => {
    const old = known.get(job.id);
    if (!old) return !isUnderWay(job) && job.changed >= before.now; // it began and ended between two looks
    return (isUnderWay(old) && !isUnderWay(job)) || old.spent !== job.spent;
  });
  if (before.which !== now.which || before.searched !== now.searched) return over;
  const ids = new Set(now.jobs.map((job) => job.id));
  return [...over, ...before.jobs.filter((job) => isUnderWay(job) && !ids.has(job.id))]; // it left this filter
}

/** One button for each of FILTERS, with how many jobs it shows: {element, update(which, counts)}. */
function filterRow(choose) {
  const buttons = new Map(FILTERS.map((which) => [which, button(t(`jobs.filter.${which}`), () => choose(which))]));
  const element = make("div", { class: "nv-filters", role: "group", "aria-label": t("jobs.filter") }, ...buttons.values());
  const update = (chosen, counts) => {
    for (const [which, each] of buttons) {
      each.setAttribute("aria-pressed", String(which === chosen));
      write(each, [t(`jobs.filter.${which}`), counts?.[which]].filter((part) => part !== undefined).join(" "));
    }
  };
  return { element, update };
}

/** Tells the id of each card that comes into view, for its picture; at once where browsers cannot say. */
function watchSight(arrived) {
  if (typeof IntersectionObserver !== "function") return null;
  return new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) arrived(target.dataset.job);
  });
}

// The sidebar's panel. It begins when it enters the page and ends, with everything it began, when it leaves.

import { askAgain, follow, load } from "./accounts.mjs";
import { accountView } from "./account_view.mjs";
import { followPalette } from "./colours.mjs";
import { button, make, show, styles, write } from "./dom.mjs";
import { hasIcons, onConnection, onJobs, onLanguage, Refusal, words } from "./host.mjs";
import { jobsView } from "./jobs_view.mjs";
import { poll } from "./polling.mjs";
import { profilesView } from "./profiles_view.mjs";
import { moment, t } from "./words.js";

const CALM = 5000;
const LIVELY = 1000;
const AWAY = 3000;
const TROUBLED = 15000;

class Panel extends HTMLElement {
  connectedCallback() {
    this.begin();
  }

  disconnectedCallback() {
    this.end();
  }

  begin() {
    followPalette();
    this.leaving = new AbortController();
    this.troubles = { profiles: "", jobs: "" };
    this.awaySince = null;
    this.jobs = jobsView({ refresh: () => this.polling.now(), ended: (profiles) => this.readAccounts(profiles) });
    this.trouble = make("p", { class: "nv-trouble", role: "alert", hidden: true });
    this.notice = make("p", { class: "nv-trouble", "data-what": "notice", hidden: true });
    const account = accountView();
    const profiles = profilesView();
    const label = t("panel.refresh");
    const again = button("↻", () => this.readAll(), { class: "nv-icon", "aria-label": label, title: label });
    const head = make("header", { class: "nv-row nv-spread" }, make("h2", {}, "NemoVideo"), again);
    const box = make("div", { class: "nemo-video nv-panel" }, styles(), head, this.notice, this.trouble);
    box.classList.toggle("nv-worded", !hasIcons());
    box.append(account.element, profiles.element, this.jobs.element);
    this.replaceChildren(box);
    const reader = (answer) => {
      write(this.notice, answer.notice ?? "");
      show(this.notice, Boolean(answer.notice));
      [account, profiles].forEach((view) => view.update(answer));
    };
    this.polling = poll(() => this.readJobs(), () => this.pause());
    this.ends = [
      follow(reader),
      onJobs(() => this.polling.now()),
      onLanguage(() => this.restart()),
      onConnection(() => this.polling.now()),
    ];
    this.guard("profiles", load());
  }

  end() {
    this.leaving?.abort();
    this.polling?.end();
    this.ends?.forEach((each) => each());
    this.jobs?.leave();
    this.replaceChildren();
  }

  restart() {
    this.end();
    this.begin();
  }

  pause() {
    if (this.awaySince) return AWAY;
    if (this.troubles.jobs) return TROUBLED;
    return this.jobs.running() ? LIVELY : CALM;
  }

  readAll() {
    this.polling.now();
    return this.readAccounts();
  }

  /** Reads the profiles and the credits that were shown, of all or of these profiles. */
  async readAccounts(profiles) {
    await Promise.all([this.guard("profiles", load()), askAgain(profiles)]);
  }

  readJobs() {
    return this.guard("jobs", this.jobs.read(this.leaving.signal));
  }

  /** Notes since when the server is away; the words for it. */
  goAway() {
    this.awaySince ??= new Date();
    return t("error.away", { time: moment(this.awaySince) });
  }

  /** The server answers again: what it said before may be out of date. */
  comeBack() {
    this.awaySince = null;
    this.troubles = { profiles: "", jobs: "" };
    this.readAll();
  }

  /** Shows why reading failed until it goes well again. */
  async guard(what, reading) {
    try {
      await reading;
      this.troubles[what] = "";
      if (this.awaySince) this.comeBack();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refusal)) throw error;
      this.troubles[what] = error.id === "offline" ? this.goAway() : words(error);
    }
    const told = new Set(Object.values(this.troubles).filter(Boolean));
    write(this.trouble, [...told].join("\n"));
    show(this.trouble, told.size > 0);
  }
}

export function createPanel() {
  if (!customElements.get("nemo-video-panel")) customElements.define("nemo-video-panel", Panel);
  return document.createElement("nemo-video-panel");
}

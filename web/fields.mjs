// Fields that both the panel and the settings show.

import { change } from "./accounts.mjs";
import { make } from "./dom.mjs";
import { attempt, tell } from "./host.mjs";
import { profileName } from "./options.js";
import { t } from "./words.js";

const HIGHEST = 1_000_000;

/** The choice of the default profile: {element, update(answer)}. */
export function defaultChoice() {
  const element = make("select", { "aria-label": t("account.profile") });
  let answer = null;
  element.addEventListener("change", async () => {
    if (!(await attempt(() => change("default", { name: element.value }))) && answer) element.value = answer.default;
  });
  const update = (next) => {
    answer = next;
    const names = next.profiles.map((each) => each.name);
    if (names.join("\n") !== [...element.options].map((each) => each.value).join("\n")) {
      element.replaceChildren(...names.map((name) => make("option", { value: name }, profileName(name))));
    }
    element.value = next.default;
  };
  return { element, update };
}

/** A limit of a profile, `run_limit` or `day_limit`, saved when it changes: {element, update(profile)}. */
export function limitField(key) {
  const label = t(key === "run_limit" ? "profiles.run-limit" : "profiles.day-limit");
  const range = { min: 0, max: HIGHEST, step: 1, inputmode: "numeric", disabled: true }; // until it has a profile
  const element = make("input", { type: "number", "aria-label": label, ...range });
  let profile = null;
  element.addEventListener("change", async () => {
    const value = Math.min(HIGHEST, Math.max(0, Math.round(Number(element.value) || 0)));
    const { name } = profile;
    if (await attempt(() => change("save", { name, [key]: value }))) tell("success", t("profiles.saved"));
    else element.value = profile[key];
  });
  const update = (next) => {
    const other = profile?.name !== next.name;
    profile = next;
    element.disabled = false;
    if (other || document.activeElement !== element) element.value = next[key];
  };
  return { element, update };
}

// The profiles: each with its token, its limits, and what can be done with it; and a new one.

import { change } from "./accounts.mjs";
import { creditsLine } from "./account_view.mjs";
import { button, make, show, write } from "./dom.mjs";
import { limitField } from "./fields.mjs";
import { attempt, confirmed, Refusal, words } from "./host.mjs";
import { profileName } from "./options.js";
import { tokenField } from "./token.mjs";
import { t } from "./words.js";

/** {element, update(answer)} */
export function profilesView() {
  const rows = new Map();
  const list = make("div", { class: "nv-profiles" });
  const element = make("details", { class: "nv-card" }, make("summary", {}, t("profiles.title")), list, adder());
  const update = (answer) => {
    const names = new Set(answer.profiles.map((each) => each.name));
    for (const [name, row] of rows) {
      if (names.has(name)) continue;
      row.element.remove();
      rows.delete(name);
    }
    for (const profile of answer.profiles) {
      if (!rows.has(profile.name)) {
        rows.set(profile.name, profileRow());
        list.append(rows.get(profile.name).element);
      }
      rows.get(profile.name).update(profile, profile.name === answer.default);
    }
  };
  return { element, update };
}

function profileRow() {
  let name = "";
  const title = make("span", { class: "nv-name" });
  const mark = make("span", { class: "nv-mark" }, t("profiles.default"));
  const address = make("dd", {});
  const kind = make("dd", {});
  const trouble = make("p", { class: "nv-trouble" });
  const credits = creditsLine({ unbidden: false });
  const token = tokenField();
  const limits = [limitField("run_limit"), limitField("day_limit")];
  const makeDefault = button(t("profiles.make-default"), () => attempt(() => change("default", { name })));
  const remove = button(t("profiles.delete"), async () => {
    const sure = await confirmed(t("profiles.delete.ask", { name }), "delete");
    if (sure) await attempt(() => deleteProfile(name));
  });
  const terms = [t("profiles.address"), t("profiles.kind")].map((term) => make("dt", {}, term));
  const facts = make("dl", {}, terms[0], address, terms[1], kind);
  const limited = limitsBox(limits);
  const body = [trouble, facts, credits.element, token.element, limited];
  const actions = make("div", { class: "nv-actions" }, makeDefault, remove);
  const element = make("details", { class: "nv-profile" }, make("summary", {}, title, mark), ...body, actions);
  const update = (profile, isDefault) => {
    name = profile.name;
    element.dataset.profile = name;
    write(title, profileName(name));
    write(address, profile.address || t("profiles.local"));
    write(kind, t(`account.${profile.account}`));
    write(trouble, profile.problem);
    show(trouble, Boolean(profile.problem));
    show(mark, isDefault);
    show(makeDefault, !isDefault);
    show(remove, !profile.builtin);
    show(limited, profile.account !== "local"); // what is free has no limits
    for (const part of [credits, token, ...limits]) part.update(profile);
  };
  return { element, update };
}

/** Asks once more where the profile's free account still holds credits or jobs, which go with it. */
async function deleteProfile(name) {
  try {
    await change("delete", { name });
  } catch (error) {
    if (!(error instanceof Refusal) || error.id !== "token-gives-up") throw error;
    const sure = await confirmed(`${words(error)}\n${t("profiles.force")}`, "delete");
    if (sure) await change("delete", { name, force: true });
  }
}

function limitsBox([run, day]) {
  return make(
    "fieldset",
    {},
    make("legend", {}, t("profiles.limits")),
    make("label", { class: "nv-field" }, t("profiles.run-limit"), run.element),
    make("label", { class: "nv-field" }, t("profiles.day-limit"), day.element),
  );
}

/** The form for a profile of one's own. */
function adder() {
  const name = make("input", { type: "text", maxlength: 64, autocomplete: "off", spellcheck: "false" });
  const address = make("input", { type: "url", placeholder: "https://", autocomplete: "off", spellcheck: "false" });
  const add = button(t("profiles.add.do"), async () => {
    const body = { name: name.value.trim(), address: address.value.trim() };
    if (!body.name || !body.address) return (body.name ? address : name).focus();
    if (await attempt(() => change("save", body))) name.value = address.value = "";
  });
  return make(
    "details",
    { class: "nv-profile" },
    make("summary", {}, t("profiles.add")),
    make("label", { class: "nv-field" }, t("profiles.name"), name),
    make("label", { class: "nv-field" }, t("profiles.address"), address),
    make("div", { class: "nv-actions" }, add),
  );
}

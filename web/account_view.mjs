// The account of the default profile: its kind, credits, how long the free token lasts, where to sign up.

import { askCredits, knownCredits, theDefault } from "./accounts.mjs";
import { button, make, show, webAddress, write } from "./dom.mjs";
import { defaultChoice } from "./fields.mjs";
import { Refusal, words } from "./host.mjs";
import { moment, t } from "./words.js";

// Only these are asked for unbidden: asking for a new account would open one, and the local preview always has enough.
const ASKED_AT_OPENING = new Set(["registered", "anonymous"]);

/** {element, update(answer)} */
export function accountView() {
  const choice = defaultChoice();
  const kind = make("p", { "data-what": "account" });
  const expiry = make("p", { class: "nv-quiet" });
  const trouble = make("p", { class: "nv-trouble" });
  const credits = creditsLine();
  const element = make(
    "section",
    { class: "nv-card", "aria-label": t("account.title") },
    make("label", { class: "nv-field" }, t("account.profile"), choice.element),
    kind,
    trouble,
    credits.element,
    expiry,
  );
  const update = (answer) => {
    choice.update(answer);
    const profile = theDefault(answer);
    if (!profile) return;
    write(kind, t(`account.${profile.account}`));
    write(trouble, profile.problem);
    write(expiry, expiryWords(profile.expires));
    show(trouble, Boolean(profile.problem));
    show(expiry, Boolean(profile.expires));
    credits.update(profile);
  };
  return { element, update };
}

function expiryWords(expires) {
  const date = new Date(expires ?? NaN);
  if (Number.isNaN(date.getTime())) return "";
  return t(date.getTime() < Date.now() ? "account.expired" : "account.expires", { time: moment(date) });
}

/** The credits of a profile with the button that asks: {element, update(profile)}. */
export function creditsLine({ unbidden = true } = {}) {
  let profile = null;
  const amount = make("span", { "data-what": "credits", role: "status" });
  const register = make("a", { class: "nv-link", target: "_blank", rel: "noopener noreferrer" }, t("account.register"));
  const query = async (again) => {
    const { name } = profile;
    write(amount, t("account.asking"));
    const refused = await askCredits(name, { again }).then(() => null, refusal);
    if (profile.name !== name) return;
    fill(knownCredits(name));
    if (refused) write(amount, words(refused)); // here, not as a message: nobody may have asked
  };
  const label = t("account.ask");
  const asker = button(label, () => query(true), { "aria-label": label, title: label });
  const row = make("div", { class: "nv-row nv-money", hidden: true }, amount, asker); // until it has a profile
  const element = make("div", { class: "nv-credits" }, row, register);
  const fill = (answer) => {
    const held = answer?.frozen ? ` · ${t("account.frozen", { frozen: number(answer.frozen) })}` : "";
    write(amount, answer ? t("account.available", { available: number(answer.available) }) + held : "");
    write(asker, answer ? "↻" : label);
    asker.classList.toggle("nv-icon", Boolean(answer));
    const address = webAddress(answer?.register ?? "");
    if (address) register.href = address;
    show(register, Boolean(address));
  };
  const update = (next) => {
    const other = profile?.name !== next.name || profile?.ending !== next.ending;
    profile = next;
    show(row, !["local", "missing"].includes(next.account) && !next.problem);
    if (other || knownCredits(next.name)) fill(knownCredits(next.name));
    if (other && unbidden && ASKED_AT_OPENING.has(next.account) && !next.problem) query(false);
  };
  return { element, update };
}

/** A rejection's refusal; any other error goes on. */
function refusal(error) {
  if (error instanceof Refusal) return error;
  throw error;
}

function number(value) {
  return Number(value).toLocaleString();
}

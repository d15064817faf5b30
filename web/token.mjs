// The field for a token. What is pasted goes to the server once and is cleared at once; only its ending comes back.

import { change } from "./accounts.mjs";
import { button, make, show, write } from "./dom.mjs";
import { attempt, confirmed, Refusal, tell, words } from "./host.mjs";
import { profileName } from "./options.js";
import { t } from "./words.js";

/** What a profile's token is known by. */
export function tokenWords({ source, ending, token_env: variable }) {
  if (source === "environment") {
    const id = ending ? "profiles.token.environment" : "profiles.token.environment.hidden";
    return t(id, { ending, variable: variable || "NEMO_TOKEN" });
  }
  if (source === "file") return ending ? t("profiles.token.file", { ending }) : t("profiles.token.hidden");
  return t("profiles.token.none");
}

/** Sends a token, which the server tries out; asks first where credits or jobs of a free account would be given up. */
async function send(name, token) {
  try {
    return await change("token", { name, token });
  } catch (error) {
    if (!(error instanceof Refusal) || error.id !== "token-gives-up") throw error;
    const question = `${words(error)}\n${t("token.force.ask")}`;
    if (!(await confirmed(question, "overwrite"))) throw new Refusal(t("token.unchanged"));
    return change("token", { name, token, force: true });
  }
}

/** The field of a profile: {element, update(profile)}. */
export function tokenField() {
  let profile = null;
  const input = make("input", {
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    "data-1p-ignore": true,
    "data-lpignore": "true",
    placeholder: t("token.paste"),
    "aria-label": t("token.paste"),
  });
  const save = button(t("token.save"), async () => {
    const token = input.value.trim();
    input.value = "";
    if (!token) return;
    write(state, t("token.checking"));
    const sent = await attempt(async () => told(await send(profile.name, token)));
    if (!sent) update(profile); // nothing has changed
  });
  const told = ({ untried }) => {
    if (untried) tell("warn", `${t("token.untried")} ${untried}`);
    else tell("success", t("token.saved"));
  };
  const remove = button(t("token.remove"), async () => {
    const { name } = profile;
    if (!(await confirmed(t("token.remove.ask", { name: profileName(name) }), "delete"))) return;
    if (await attempt(() => send(name, ""))) tell("success", t("token.removed"));
  });
  const state = make("p", { class: "nv-quiet", "data-what": "token" });
  const note = make("p", { class: "nv-quiet" }, t("token.kept"));
  const submit = (event) => {
    event.preventDefault(); // the browser must not send the form: it would put the token into the page's address
    save.click();
  };
  const row = make("form", { class: "nv-row", autocomplete: "off", onsubmit: submit }, input, save);
  const element = make("div", { class: "nv-token", hidden: true }, state, row, remove, note); // until it has a profile
  const update = (next) => {
    if (profile && profile.name !== next.name) input.value = "";
    profile = next;
    show(element, true);
    const local = next.account === "local";
    write(state, local ? t("token.not-needed") : tokenWords(next));
    show(row, !local && next.source !== "environment");
    show(note, !local && next.source !== "environment");
    show(remove, !local && next.source === "file");
  };
  return { element, update };
}

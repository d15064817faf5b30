// NemoVideo's entries on ComfyUI's settings page. ComfyUI's own settings file holds none of these values.

import { follow, load, theDefault } from "./accounts.mjs";
import { followPalette } from "./colours.mjs";
import { make, styles, write } from "./dom.mjs";
import { defaultChoice, limitField } from "./fields.mjs";
import { Refusal, words } from "./host.mjs";
import { tokenField } from "./token.mjs";

const FIELDS = {
  profile: () => defaultChoice(),
  token: () => ofDefault(tokenField()),
  "run-limit": () => ofDefault(limitField("run_limit")),
  "day-limit": () => ofDefault(limitField("day_limit")),
};
let loading = null;

function ofDefault({ element, update }) {
  return { element, update: (answer) => theDefault(answer) && update(theDefault(answer)) };
}

// The entries of a page appear together: they share one request.
function loadOnce() {
  loading ??= load().finally(() => (loading = null));
  return loading;
}

class Setting extends HTMLElement {
  connectedCallback() {
    followPalette();
    const field = FIELDS[this.kind]();
    const trouble = make("p", { class: "nv-trouble", role: "alert" });
    const box = make("div", { class: "nemo-video nv-setting" }, styles(), field.element, trouble);
    this.replaceChildren(box);
    this.leave = follow(field.update);
    loadOnce().catch((error) => {
      if (!(error instanceof Refusal)) throw error;
      write(trouble, words(error));
    });
  }

  disconnectedCallback() {
    this.leave?.();
    this.replaceChildren();
  }
}

/** The entry `kind`: profile, token, run-limit or day-limit. */
export function createSetting(kind) {
  if (!customElements.get("nemo-video-setting")) customElements.define("nemo-video-setting", Setting);
  const element = document.createElement("nemo-video-setting");
  element.kind = kind;
  return element;
}

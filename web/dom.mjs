// Elements from data. Text is always a text node and every attribute is set by name: no markup is ever parsed.

/** An element with attributes, `on<event>` listeners and children (elements or text). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else if (value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Sets a text only where it changed, so that nothing blinks and a selection stays. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows or hides. */
export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/** A button that is out of use while its action runs. */
export function button(content, action, attributes = {}) {
  const element = make("button", { type: "button", ...attributes }, content);
  element.addEventListener("click", async () => {
    if (element.getAttribute("aria-disabled") === "true") return;
    element.setAttribute("aria-disabled", "true"); // not `disabled`: that would throw the keyboard's focus away
    try {
      await action(element);
    } finally {
      element.removeAttribute("aria-disabled");
    }
  });
  return element;
}

/** The address if it is one of the web, else "". */
export function webAddress(text) {
  try {
    const url = new URL(text);
    return url.protocol === "https:" ? url.href : "";
  } catch {
    return "";
  }
}

/** The style sheet, to stand inside what it styles, so that it leaves with it. */
export function styles() {
  return make("link", { rel: "stylesheet", href: new URL("./nemo.css", import.meta.url).href });
}

/** Copies a text; whether it went well. Where the page is not a secure one, browsers copy only what is selected. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make("textarea", { readonly: true, style: "position: fixed; opacity: 0" });
    const focused = document.activeElement;
    field.value = text;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return copied;
  }
}

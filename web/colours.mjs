// Colours of our texts, computed from the palette that the page has, whichever it is: each has a contrast of 4.5 to 1 at
// least on its ground. Style sheets read them as --nemo-…; what the palette gives is kept wherever it can be read.

const LEAST = 4.6; // some more than 4.5, since colours are whole numbers
const STEPS = 10;
const GROUNDS = { menu: ["--comfy-menu-bg", "#353535"], field: ["--comfy-input-bg", "#222"] };
// Each wanted colour with the share of it that is mixed into the ground's text.
const WANTED = {
  text: ["--input-text", "#ddd", 1],
  alert: ["--error-text", "#ff4444", 0.45],
  link: ["--p-primary-color", "#4a90d9", 0.45],
};
let pen = null;
let following = false;

/** [red, green, blue] of 0..255 of any colour that CSS knows, over black; null where it is none. */
export function parseColour(text) {
  pen ??= Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  if (!pen || !CSS.supports("color", text)) return null;
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, 1, 1);
  pen.fillStyle = text;
  pen.fillRect(0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

/** How light a colour is, 0..1 (WCAG 2, relative luminance). */
function lightOf(colour) {
  const [red, green, blue] = colour.map((each) => {
    const share = each / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

export function contrast(one, other) {
  const [low, high] = [lightOf(one), lightOf(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

const mix = (one, other, share) => one.map((each, index) => Math.round(each * share + other[index] * (1 - share)));

/** The colour nearest to `wanted` that can be read on `ground`: it is moved towards black or white, whichever helps. */
export function readable(wanted, ground) {
  const end = contrast([0, 0, 0], ground) > contrast([255, 255, 255], ground) ? [0, 0, 0] : [255, 255, 255];
  for (let step = 0; step < STEPS; step += 1) {
    const tried = mix(end, wanted, step / STEPS);
    if (contrast(tried, ground) >= LEAST) return tried;
  }
  return end;
}

function read(style, [name, otherwise]) {
  return parseColour(style.getPropertyValue(name).trim() || otherwise) ?? parseColour(otherwise);
}

/** The colours of texts by their names, for the palette of that computed style. */
export function computeColours(style) {
  const found = {};
  for (const [place, names] of Object.entries(GROUNDS)) {
    const ground = read(style, names);
    const text = readable(read(style, WANTED.text), ground);
    for (const [name, [variable, otherwise, share]] of Object.entries(WANTED)) {
      found[`--nemo-${place}-${name}`] = readable(mix(read(style, [variable, otherwise]), text, share), ground);
    }
    found[`--nemo-${place}-quiet`] = readable(mix(text, ground, 0.8), ground);
  }
  return Object.fromEntries(Object.entries(found).map(([name, colour]) => [name, `rgb(${colour.join(" ")})`]));
}

function apply() {
  const root = document.documentElement;
  for (const [name, colour] of Object.entries(computeColours(getComputedStyle(document.body ?? root)))) {
    if (root.style.getPropertyValue(name) !== colour) root.style.setProperty(name, colour);
  }
}

/** Computes the colours now, and again whenever the page's palette changes. */
export function followPalette() {
  if (following) return;
  following = true;
  apply();
  const watch = new MutationObserver(() => setTimeout(apply));
  for (const each of [document.documentElement, document.body]) {
    watch.observe(each, { attributes: true, attributeFilter: ["style", "class"] });
  }
  document.head.addEventListener("load", apply, true); // a style sheet that comes late
}

// The films of a node. Several stand as a grid, where the page itself shows only the first; each has its name and size.
// They are muted and play, in a loop, while the pointer is over them, and so does the page's own preview of them.

import { make } from "./dom.mjs";
import { areVueNodes, viewAddress } from "./host.mjs";

const MOST = 500;
const ours = new Set(); // addresses' queries of what nodes of ours show

const queryOf = (address) => {
  const given = new URL(address, document.baseURI).searchParams;
  return ["type", "subfolder", "filename"].map((name) => given.get(name) ?? "").join("/");
};

const playsMatroska = () => document.createElement("video").canPlayType("video/x-matroska") !== "";

/** Whether this browser shows the small copy of a video in the place of the file. */
export const isCopy = (video) => Boolean(video.preview ?? (video.stand_in && !playsMatroska()));

/** What the page shows of a video: {filename, subfolder, type} of the file, or of the small copy that browsers can play. */
export const shownOf = (video) => (isCopy(video) ? (video.preview ?? video.stand_in) : video);

/** Whether the page shows it as an image: a GIF. */
export const isImage = (video) => /\.gif$/i.test(shownOf(video).filename);

/** Notes that a node shows these, so that the page's own players of them play on hover. */
export function noteShown(videos) {
  for (const video of videos) ours.add(queryOf(viewAddress(shownOf(video))));
  while (ours.size > MOST) ours.delete(ours.values().next().value);
}

/** A grid of several videos with a caption each; null where there is one, or where the page has pages for them. What the
 * page's own player cannot play, or what it does not show (`alone`), is drawn here, too. */
export function drawGrid(videos, caption, alone = false) {
  const own = videos.length && (alone || videos.some((video) => !video.preview && isCopy(video)));
  if (!own && (videos.length < 2 || areVueNodes())) return null;
  return make("div", { class: "nemo-grid" }, ...videos.map((video) => make("figure", {}, draw(video, videos.length < 2), caption(video))));
}

function draw(video, controls) {
  const shown = shownOf(video);
  const address = viewAddress(shown);
  if (isImage(video)) return make("img", { src: address, alt: video.filename });
  const film = make("video", { src: address, loop: true, playsInline: true, controls, preload: "metadata" });
  film.setAttribute("aria-label", video.filename);
  film.muted = true;
  return film;
}

function play(event) {
  const film = event.target?.closest?.("video");
  if (!film?.paused || film.contains(event.relatedTarget) || !ours.has(queryOf(film.currentSrc || film.src))) return;
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  if (!film.nemoHeard) film.muted = true; // once: after that the player's own button decides
  film.nemoHeard = true;
  film.loop = true;
  film.play()?.catch(() => {});
  film.addEventListener("pointerleave", () => film.pause(), { once: true });
}

export function beginHover() {
  document.addEventListener("pointerover", play, { capture: true, passive: true });
}

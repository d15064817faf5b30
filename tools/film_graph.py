"""Film the graph of README's moving picture in a running ComfyUI. `python -m tools.film_graph ADDRESS docs/graph.webp`

ComfyUI needs the pack and its local preview; the film shows template 01 with the sample photograph, the run, and the
result as it plays. Needs playwright (extra `browser`) and a chromium on the PATH.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import shutil
import urllib.request
import uuid
from pathlib import Path
from typing import Any, Final

from PIL import Image

from .make_templates import WORKFLOWS

VIEW: Final = (1000, 880)
SHOWN: Final = (880, 774)
PROMPT: Final = "slow push-in towards the cabin, 4 seconds"
WAITING_FRAMES: Final = 24
FILM_FRAMES: Final = 40
WAITING_MS, FILM_MS, LAST_MS = 160, 100, 1500

SETTINGS: Final = {
    "Comfy.Locale": "en",
    "Comfy.TutorialCompleted": True,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Graph.CanvasMenu": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
    "Comfy.NodeBadge.NodeIdBadgeMode": "None",
}
KEEP_PLAYERS: Final = """
window.films = [];
const make = document.createElement.bind(document);
document.createElement = (tag, options) => {
  const element = make(tag, options);
  if (String(tag).toLowerCase() === "video") films.push(element);
  return element;
};
window.film = () => [...films, ...document.querySelectorAll("video")].filter((each) => each.duration > 1).pop();
"""
SEEK: Final = """async (seconds) => {
  const player = film();
  const seen = new Promise((done) => player.addEventListener("seeked", done, { once: true }));
  player.currentTime = seconds;
  await Promise.race([seen, new Promise((done) => setTimeout(done, 3000))]);
  app.canvas.setDirty(true, true);
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""
COUNT_RUNS: Final = "async () => Object.keys(await (await fetch('/api/history')).json()).length"


def upload_photo(address: str, name: str) -> None:
    """Put the sample photograph into ComfyUI's input folder."""
    border = uuid.uuid4().hex
    head = f'--{border}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'
    tail = f'\r\n--{border}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{border}--\r\n'
    body = head.encode() + (WORKFLOWS / "sample_photo.jpg").read_bytes() + tail.encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={border}"}
    asked = urllib.request.Request(f"{address}/upload/image", body, headers)  # noqa: S310 -- our own argument
    urllib.request.urlopen(asked).close()  # noqa: S310 -- as above


def arrange_graph(photo: str) -> dict[str, Any]:
    """Template 01 without its note: Load Image with the photograph, and Image to Video beside it."""
    text = (WORKFLOWS / "01 Your picture to video - NemoVideo.json").read_text(encoding="utf-8")
    graph: dict[str, Any] = json.loads(text)
    graph["id"] = str(uuid.uuid4())  # what nodes said before is kept by workflow
    graph["nodes"] = [node for node in graph["nodes"] if node["type"] != "MarkdownNote"]
    for node in graph["nodes"]:
        if node["type"] == "LoadImage":
            node |= {"widgets_values": [photo, "image"], "pos": [0, 0], "size": [420, 400]}
        else:
            node |= {"pos": [470, 0], "size": [440, 300]}
            node["widgets_values"][0] = PROMPT
            node["widgets_values"][3] = uuid.uuid4().int % 1000  # a new seed, so that it runs
    return graph


def take_frames(page: Any, graph: dict[str, Any]) -> tuple[list[bytes], list[bytes]]:
    """Screenshots (PNG) of the run, and of the result as it plays."""
    page.evaluate("async (graph) => { await app.loadGraphData(graph, true, true, 'Image to video'); }", graph)
    page.evaluate("() => { app.canvas.ds.scale = 0.95; app.canvas.ds.offset = [85, 212]; }")
    page.evaluate("() => app.canvas.setDirty(true, true)")
    page.wait_for_timeout(3000)
    before = page.evaluate(COUNT_RUNS)
    run = [page.screenshot() for _ in range(3)]
    page.evaluate("() => { app.queuePrompt(0); }")
    while page.evaluate(COUNT_RUNS) == before:
        run.append(page.screenshot())
    page.wait_for_function("film()?.readyState > 1", timeout=60_000)
    page.wait_for_timeout(7000)  # the message of a finished run goes
    page.evaluate("() => film().pause()")
    played = []
    for number in range(FILM_FRAMES):
        page.evaluate(SEEK, number / 10 + 0.01)
        played.append(page.screenshot())
    return run, played


def save_film(run: list[bytes], played: list[bytes], target: Path) -> None:
    """One animated WebP: the run, shortened to `WAITING_FRAMES`, then the result at its own speed."""
    step = max(len(run) / WAITING_FRAMES, 1)
    chosen = [run[int(index * step)] for index in range(min(WAITING_FRAMES, len(run)))]
    frames = [
        Image.open(io.BytesIO(each)).convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS) for each in chosen + played
    ]
    lengths = [WAITING_MS] * len(chosen) + [FILM_MS] * (len(played) - 1) + [LAST_MS]
    frames[0].save(target, save_all=True, append_images=frames[1:], duration=lengths, loop=0, quality=72, method=6)


def main() -> None:
    """Film into the named file."""
    parser = argparse.ArgumentParser(description="Film the graph of README's moving picture.")
    parser.add_argument("address", help="where ComfyUI runs, such as http://127.0.0.1:8188")
    parser.add_argument("target", type=Path, help="the WebP file to write")
    asked = parser.parse_args()
    upload_photo(asked.address, "cabin.jpg")
    with importlib.import_module("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--autoplay-policy=no-user-gesture-required", "--no-sandbox"],
        )
        page = browser.new_page(viewport={"width": VIEW[0], "height": VIEW[1]}, color_scheme="dark")
        page.add_init_script(KEEP_PLAYERS)
        for _ in range(2):  # once more, in the language and with the settings that were set
            page.goto(asked.address)
            page.wait_for_function("window.app?.graph && window.app?.extensionManager", timeout=120_000)
            page.wait_for_timeout(4000)
            for name, value in SETTINGS.items():
                page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])
        run, played = take_frames(page, arrange_graph("cabin.jpg"))
        browser.close()
    save_film(run, played, asked.target)


if __name__ == "__main__":
    main()

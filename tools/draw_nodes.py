"""Draw each node for its help page, from a running ComfyUI: `python -m tools.draw_nodes http://127.0.0.1:8188`

Each picture carries a small graph with the node in it, as ComfyUI's own pictures do: dragged into the graph, it opens.
A node stands there as after a run, with an example of what it says then.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any, Final

from PIL import Image, PngImagePlugin

from nemo_client import say
from nemo_client._studio.timeline import describe_timeline

DOCS: Final = Path(__file__).parent.parent / "web" / "docs"
SETTINGS: Final = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Minimap.Visible": False,
    "Comfy.VueNodes.Enabled": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
    "Comfy.ColorPalette": "dark",
}
BEGIN: Final = ["NemoAuth>auth>NemoUploadImage", "NemoSampleImage>image>NemoUploadImage"]
MADE: Final = [*BEGIN, "NemoUploadImage>session>NemoGenerateVideo"]
GRAPHS: Final[dict[str, list[str]]] = {
    "NemoAuth": [*MADE, "NemoGenerateVideo>session>NemoExportRender"],
    "NemoUploadImage": [*MADE, "NemoGenerateVideo>session>NemoExportRender"],
    "NemoUploadMedia": [
        "NemoAuth>auth>NemoUploadMedia",
        "NemoUploadMedia>session>NemoGenerateVideo",
        "NemoGenerateVideo>session>NemoExportRender",
    ],
    "NemoGenerateVideo": [*MADE, "NemoGenerateVideo>session>NemoExportRender"],
    "NemoEditVideo": [
        *MADE,
        "NemoGenerateVideo>session>NemoEditVideo",
        "NemoEditVideo>session>NemoExportRender",
    ],
    "NemoExportRender": [*MADE, "NemoGenerateVideo>session>NemoExportRender"],
    "NemoImageToVideo": ["LoadImage>IMAGE>NemoImageToVideo:image"],
    "NemoChat": [*MADE, "NemoGenerateVideo>session>NemoChat", "NemoChat>session>NemoExportRender"],
    "NemoCredits": ["NemoAuth>auth>NemoCredits"],
    "NemoTimeline": [
        *MADE,
        "NemoGenerateVideo>session>NemoTimeline",
        "NemoTimeline>picture>PreviewImage:images",
        "NemoGenerateVideo>session>NemoExportRender",
    ],
    "NemoRecover": ["NemoRecover>last_frame>PreviewImage:images"],
    "NemoSampleImage": ["NemoSampleImage>image>NemoImageToVideo"],
}
"""The cables of each page's graph: node, output, node, and the input where its name is another."""

DRAFT: Final = {
    "t": [
        {"tt": 0, "sg": [{"st": 0, "d": 5000}], "m": {"title": "lake"}},
        {"tt": 1, "sg": [{"st": 0, "d": 5000}], "m": {"title": "Lo-fi"}},
    ]
}


def describe_result(kind: str, language: str) -> dict[str, str]:
    """What a node of this class says after a run, as the extension is told; empty where it says nothing."""
    free = say("progress.free", language)
    film = f"{say('progress.elapsed', language, seconds='5')} · 1080p · 3.1 MB"
    lines = {"NemoImageToVideo": f"{film} · {free}", "NemoExportRender": film, "NemoRecover": film}
    lines |= {"NemoGenerateVideo": free, "NemoEditVideo": free}
    texts = {
        "NemoCredits": say("credits", language, available=900, frozen=0, total=900),
        "NemoTimeline": describe_timeline(DRAFT, language),
        "NemoChat": say("chat.export-free", language),
    }
    return {"line": lines.get(kind, ""), "text": texts.get(kind, "")}


SHOW: Final = """async ([focus, said]) => {
  const { api } = await import("/scripts/api.js");
  const node = window.app.graph._nodes[0];
  const detail = { node: String(node.id), prompt: focus, graph: "", class: focus, state: "done", ...said };
  api.dispatchEvent(new CustomEvent("nemo.node", { detail }));
  await new Promise((done) => setTimeout(done, 300));
  return [node.size[0], node.size[1]];
}"""
BUILD: Final = """([focus, cables]) => {
  const { app, LiteGraph } = window;
  app.graph.clear();
  app.nodeOutputs = {}; // pictures of a node that had the same number
  const made = {}, column = {};
  const get = (kind, at) => {
    if (made[kind]) return made[kind];
    const node = (made[kind] = LiteGraph.createNode(kind));
    column[at] = column[at] ?? 300;
    node.pos = [60 + at * 440, column[at]];
    column[at] += node.size[1] + 90;
    app.graph.add(node);
    node.at = at;
    return node;
  };
  for (const cable of cables) {
    const [from, output, end] = cable.split(">");
    const [to, input] = end.split(":");
    const source = get(from, 0), target = get(to, source.at + 1);
    const index = (slots, name) => slots.findIndex((slot) => slot.name === name);
    source.connect(index(source.outputs, output), target, index(target.inputs, input ?? output));
  }
  const saved = app.graph.serialize();
  const node = made[focus] ?? get(focus, 0);
  app.graph._nodes.filter((each) => each !== node).forEach((each) => app.graph.remove(each));
  node.pos = [300, 200];
  app.canvas.deselectAll?.();
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset[0] = app.canvas.ds.offset[1] = 0;
  app.canvas.setDirty(true, true);
  return [JSON.stringify(saved), node.size[0], node.size[1]];
}"""


def draw_nodes(page: Any, language: str) -> None:
    """All nodes in one language."""
    for kind, cables in GRAPHS.items():
        graph, width, height = page.evaluate(BUILD, [kind, cables])
        page.wait_for_timeout(700)
        said = describe_result(kind, language)
        if any(said.values()):
            width, height = page.evaluate(SHOW, [kind, said])
            page.wait_for_timeout(700)
        taken = page.screenshot(clip={"x": 292, "y": 140, "width": width + 16, "height": height + 68})
        with Image.open(io.BytesIO(taken)) as picture:
            small = picture.convert("RGB").quantize(128)
        notes = PngImagePlugin.PngInfo()
        notes.add_text("workflow", json.dumps(json.loads(graph)))  # in ASCII, as a PNG's plain texts are
        small.save(DOCS / kind / f"{language}.png", pnginfo=notes, optimize=True)


def main() -> None:
    """Ask the ComfyUI of the first argument."""
    from playwright.sync_api import sync_playwright

    address = sys.argv[1].rstrip("/")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for language in ("en", "zh"):
            body = json.dumps({**SETTINGS, "Comfy.Locale": language}).encode()
            headers = {"Content-Type": "application/json"}
            urllib.request.urlopen(urllib.request.Request(f"{address}/settings", body, headers)).close()  # noqa: S310
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            page.goto(address)
            page.wait_for_function("window.app?.graph && window.app.canvas && window.LiteGraph", timeout=90_000)
            page.wait_for_timeout(3000)
            page.keyboard.press("Escape")
            draw_nodes(page, language)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()

"""The graph editor in a real ComfyUI and a real browser: when `COMFYUI_PATH` names a checkout and Chromium is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from nemo_client import local
from tests.support.comfyui_process import ComfyUI, checkout
from tests.support.waiting import PATIENT_SECONDS
from tools.make_templates import TEMPLATES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.skipif(checkout() is None, reason="COMFYUI_PATH names no ComfyUI checkout"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
]

WORKFLOWS = Path(__file__).parent.parent.parent / "workflows"
TWINS = {template.title: template.twin for template in TEMPLATES}
NAMES = sorted(TWINS)
NEWEST = "comfyui-frontend-package"
ROOTS = [each for each in os.environ.get("COMFYUI_FRONT_END_ROOTS", "").split(os.pathsep) if each]
"""Front ends to try instead: the `static` folders of other releases of the package."""
VUE = bool(os.environ.get("COMFYUI_VUE_NODES"))
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False, "Comfy.VueNodes.Enabled": VUE}
# ComfyUI's own page says these of itself.
OWN_WORDS = (
    "deprecated",
    "before initialization",
    "Failed to load resource",
    "Security Policy",
    "Autofocus",
    "[ComfyUI Notice]",
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.LocalBackend]:
    """The local backend in the place of the cloud."""
    with local.open(tmp_path_factory.mktemp("cloud"), credits=1000) as backend:
        yield backend


def newest_front_end(folder: Path) -> tuple[str, ...]:
    """Options for the newest front end that the package index has today; skips, with a message, where pip gets none."""
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), NEWEST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENT_SECONDS, check=False)
    static = folder / "comfyui_frontend_package" / "static"
    if not (static / "index.html").is_file():
        pytest.skip(f"pip could not get {NEWEST}: {done.stderr.strip()[-200:]}")
    return ("--front-end-root", str(static))


@pytest.fixture(scope="module", params=ROOTS or ["installed", "newest"])
def comfyui(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cloud: local.LocalBackend
) -> Iterator[ComfyUI]:
    """One server for all tests of this module, with a home directory of its own; once for each front end.

    The newest one tells us first what the host changes next.
    """
    options = ("--front-end-root", request.param) if ROOTS else ()
    if request.param == "newest":
        options = newest_front_end(tmp_path_factory.mktemp("newest"))
    base = tmp_path_factory.mktemp("comfyui")
    keep = {name: value for name, value in os.environ.items() if not name.startswith("NEMO_")}
    environment = {**keep, "NEMO_HOME": str(base / "home"), "NEMO_API_URL": cloud.url}
    example = (checkout() or WORKFLOWS) / "input" / "example.png"  # ComfyUI's own, the default of Load Image
    (base / "base" / "input").mkdir(parents=True)
    shutil.copy(example, base / "base" / "input")
    with ComfyUI(base / "base", environment, options) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


class Editor:
    """ComfyUI's page with a graph."""

    def __init__(self, comfyui: ComfyUI, browser: Any, language: str = "en") -> None:
        self._comfyui = comfyui
        comfyui.post("/settings", {**SETTINGS, "Comfy.Locale": language})
        self._context = browser.new_context(viewport={"width": 1600, "height": 1000})
        self.page = self._context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.text} {message.location.get('url', '')}"))
        self.page.on("pageerror", lambda error: self.said.append(error.stack or str(error)))
        self.page.goto(comfyui.url)
        self.page.wait_for_function("window.app?.graph && window.app.canvas && window.LiteGraph", timeout=90_000)
        self.page.wait_for_timeout(2500)
        self.page.keyboard.press("Escape")

    def close(self) -> None:
        self._context.close()

    def complaints(self) -> list[str]:
        """What stood on the console, without what ComfyUI's page says of itself."""
        own = [line for line in self.said if "/assets/" in line or any(words in line for words in OWN_WORDS)]
        return [line for line in self.said if line not in own or "nemo" in line.lower()]

    def open(self, workflow: dict[str, Any]) -> None:
        self.page.evaluate("graph => window.app.loadGraphData(graph)", workflow)
        self.page.wait_for_timeout(800)

    def prompt(self) -> dict[str, Any]:
        """What the page would send to POST /prompt."""
        found: dict[str, Any] = self.page.evaluate("async () => (await window.app.graphToPrompt()).output")
        return found

    def set(self, **values: Any) -> None:
        """Set the widgets of these names, on whatever nodes have them."""
        self.page.evaluate(
            """values => {
              for (const node of window.app.graph._nodes)
                for (const widget of node.widgets ?? [])
                  if (widget.name in values) widget.value = values[widget.name];
            }""",
            values,
        )

    def run(self) -> dict[str, Any]:
        """Queue what is open; its entry in the history."""
        before = set(self._comfyui.get("/history"))
        self.page.evaluate("() => window.app.queuePrompt(0)")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            time.sleep(0.3)
            history = self._comfyui.get("/history")
            fresh = [entry for name, entry in history.items() if name not in before]
            if fresh and not self._comfyui.get("/queue")["queue_running"]:
                entry: dict[str, Any] = fresh[0]
                return entry
        raise AssertionError("the prompt did not end")

    def panel(self) -> Any:
        """The sidebar tab, opened."""
        if not self.page.locator("nemo-video-panel, .nemo-video-panel").count():
            # A class on front ends before 1.58, a test id since.
            self.page.locator(".nemovideo-tab-button, [data-testid=nemovideo-tab-button]").first.click()
        self.page.wait_for_selector(".nv-job, .nv-trouble:visible, .nv-empty:visible", timeout=20_000)
        return self.page.locator("nemo-video-panel, .nemo-video-panel").first


@pytest.fixture(scope="module")
def editor(comfyui: ComfyUI, browser: Any) -> Iterator[Editor]:
    made = Editor(comfyui, browser)
    yield made
    made.close()


def workflow(name: str) -> dict[str, Any]:
    title = next((title for title, twin in TWINS.items() if twin == name), name)  # of a twin, its first template
    graph: dict[str, Any] = json.loads((WORKFLOWS / f"{title}.json").read_text())
    return graph


def twin(name: str) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads((WORKFLOWS / "api" / f"{TWINS.get(name, name)}.json").read_text())
    return graph


def unfinished_job(comfyui: ComfyUI) -> None:
    """A video that was made and never exported."""
    graph = twin("credits_and_timeline")
    del graph["8"]  # its export
    graph["4"]["inputs"] |= {"prompt": "slow pan to the right, 1 second", "seed": 7}
    assert comfyui.run(graph).history["status"]["status_str"] == "success"


@pytest.mark.parametrize("name", NAMES)
def test_each_template_opens_and_runs(name: str, comfyui: ComfyUI, editor: Editor) -> None:
    """No missing nodes; the page sends exactly the twin; a playable file comes of it."""
    if TWINS[name] == "into_video_helper_suite" and "VHS_LoadVideoPath" not in comfyui.get("/object_info"):
        pytest.skip("VideoHelperSuite is not installed")
    if TWINS[name] == "recover_a_job":
        unfinished_job(comfyui)
    editor.open(workflow(name))
    types = editor.page.evaluate("() => window.app.graph._nodes.map(node => node.type)")
    missing = editor.page.evaluate(
        "() => window.app.graph._nodes.map(n => n.type).filter(type => !window.LiteGraph.registered_node_types[type])"
    )
    sent = editor.prompt()
    editor.set(quality="low", resolution="480p")  # quicker to render

    entry = editor.run()

    assert missing == []
    assert sorted(types) == sorted(["MarkdownNote", *(node["class_type"] for node in twin(name).values())])
    assert sent.keys() == twin(name).keys()
    for key, node in twin(name).items():
        own = node["inputs"] if node["class_type"].startswith("Nemo") else {**sent[key]["inputs"], **node["inputs"]}
        assert sent[key]["inputs"] == own, "ComfyUI's own nodes may have more inputs in other versions"
    assert entry["status"]["status_str"] == "success", entry["status"]
    shown = [ui for ui in entry["outputs"].values() if ui.get("animated")]
    for file in (file for ui in shown for file in ui["images"]):
        path = comfyui.base / "output" / file["subfolder"] / file["filename"]
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) >= 24
    assert shown or any("text" in ui for ui in entry["outputs"].values())


def test_the_template_browser_finds_them_all(comfyui: ComfyUI) -> None:
    """Under the pack's name, each with its picture."""
    found = comfyui.get("/workflow_templates")["nemo-video"]

    assert sorted(found) == NAMES
    for name in NAMES:
        picture = comfyui.get(f"/api/workflow_templates/nemo-video/{urllib.parse.quote(name)}.jpg")
        assert picture.startswith(b"\xff\xd8")


def test_a_dropped_video_brings_its_graph_back(editor: Editor) -> None:
    """As with ComfyUI's own Save Video: the workflow stands in the file."""
    editor.open(workflow("image_to_video"))
    editor.set(quality="low", resolution="480p")
    entry = editor.run()
    (ui,) = [each for each in entry["outputs"].values() if each.get("animated")]
    editor.page.evaluate("() => window.app.graph.clear()")

    editor.page.evaluate(
        """async address => {
          const data = await (await fetch(address)).arrayBuffer();
          await window.app.handleFile(new File([data], "clip.mp4", { type: "video/mp4" }));
        }""",
        "/api/view?" + urllib.parse.urlencode(ui["images"][0]),
    )
    editor.page.wait_for_timeout(1500)

    types = editor.page.evaluate("() => window.app.graph._nodes.map(node => node.type)")
    assert {"NemoExportRender", "NemoImageToVideo"} & set(types)


def test_a_new_take_changes_the_seed_and_nothing_else(editor: Editor) -> None:
    """The button is no widget of the workflow: what is saved and sent has the same shape as before."""
    editor.open(workflow("image_to_video_in_one_node"))
    before, saved = editor.prompt(), editor.page.evaluate("() => window.app.graph.serialize()")
    editor.page.evaluate(
        """() => {
          const node = window.app.graph._nodes.find(each => each.type === "NemoImageToVideo");
          node.widgets.find(each => each.type === "button").callback();
        }"""
    )
    after, again = editor.prompt(), editor.page.evaluate("() => window.app.graph.serialize()")

    old, new = before["2"]["inputs"], after["2"]["inputs"]
    assert old.pop("seed") != new.pop("seed")
    assert old == new
    widgets = [[node.get("widgets_values") for node in graph["nodes"]] for graph in (saved, again)]
    assert [len(values or []) for values in widgets[0]] == [len(values or []) for values in widgets[1]]


def test_the_sidebar_shows_a_job_that_moves(comfyui: ComfyUI, editor: Editor) -> None:
    """While it runs: its prompt, a line of text and a bar; afterwards that it is there."""
    editor.open(workflow("image_to_video_in_one_node"))
    prompt = "a slow push-in of 8 seconds for the sidebar"
    editor.set(prompt=prompt)
    panel = editor.panel()
    editor.page.evaluate("() => window.app.queuePrompt(0)")
    card = panel.locator(".nv-job", has_text=prompt)
    card.wait_for(timeout=30_000)
    bar = card.locator("progress, [role=progressbar]")
    bar.first.wait_for(timeout=30_000)
    seen: set[str] = set()
    deadline = time.monotonic() + 90
    shown = ["at work"]
    while time.monotonic() < deadline and shown:
        shown = bar.evaluate_all("bars => bars.map(bar => String(bar.value ?? bar.ariaValueNow))")
        seen.update(shown)
        time.sleep(0.2)

    assert len(seen) >= 2, seen
    card.locator(".nv-job-state, .nv-mark, *", has_text="saved").first.wait_for(timeout=60_000)
    assert comfyui.get("/nemo/jobs")["jobs"][0]["delivered"] is True


def test_a_token_that_was_pasted_works_and_cannot_be_read_back(
    comfyui: ComfyUI, editor: Editor, cloud: local.LocalBackend
) -> None:
    """On the settings page: it lies in a file of the server (0600), and the browser sees its last four characters."""
    page = editor.page
    page.evaluate("() => window.app.extensionManager.command.execute('Comfy.ShowSettingsDialog')")
    page.get_by_text("NemoVideo", exact=True).last.click()
    page.locator("nemo-video-setting select").first.select_option("nemo")
    field = page.locator("nemo-video-setting input[type=password]").first
    field.fill(cloud.token)
    field.press("Enter")
    page.locator("nemo-video-setting", has_text=cloud.token[-4:]).first.wait_for(timeout=10_000)

    storage = "JSON.stringify([{...localStorage}, {...sessionStorage}, location.href, document.cookie])"
    kept = page.evaluate(storage + " + document.body.outerHTML")
    fields = page.evaluate("() => [...document.querySelectorAll('input')].map(each => each.value).join()")
    page.locator("nemo-video-setting select").first.select_option("local preview")
    page.keyboard.press("Escape")
    answers = [json.dumps(comfyui.get(path)) for path in ("/nemo/profiles", "/nemo/jobs", "/settings", "/history")]
    stored = comfyui.base.parent / "home" / "credentials.json"
    assert comfyui.post("/nemo/credits", {"profile": "nemo"})["available"] == 1000
    assert cloud.token not in kept + fields + "".join(answers)
    assert cloud.token not in comfyui.log.read_text()
    assert cloud.token in stored.read_text()
    assert stored.stat().st_mode & 0o777 == 0o600


def test_help_pages_open(comfyui: ComfyUI) -> None:
    """For each node, in both languages, where the page looks for them."""
    names = [name for name in comfyui.get("/object_info") if name.startswith("Nemo")]

    for name in names:
        english = comfyui.get(f"/extensions/nemo-video/docs/{name}/en.md").decode()
        chinese = comfyui.get(f"/extensions/nemo-video/docs/{name}/zh.md").decode()
        assert english.startswith("# ")
        assert re.search("[\u4e00-\u9fff]", chinese)


def test_the_page_in_chinese_shows_no_english_leftovers(comfyui: ComfyUI, browser: Any) -> None:
    """Names of nodes, inputs and outputs, and the sidebar; only names and values of combos stay as they are."""
    editor = Editor(comfyui, browser, "zh")
    try:
        nodes = editor.page.evaluate(
            """() => Object.keys(window.LiteGraph.registered_node_types).filter(type => type.startsWith("Nemo"))
              .map(type => {
                const node = window.LiteGraph.createNode(type);
                const slots = [...(node.inputs ?? []), ...(node.outputs ?? []), ...(node.widgets ?? [])];
                return [node.title, ...slots.map(slot => slot.label ?? slot.localized_name ?? slot.name)];
              })"""
        )
        panel = editor.panel().inner_text()
    finally:
        editor.close()
        comfyui.post("/settings", {"Comfy.Locale": "en"})

    assert len(nodes) == 12
    words = [text for node in nodes for text in node]
    leftovers = [text for text in words if not re.search("[\u4e00-\u9fff]", text.replace("NemoVideo", ""))]
    assert leftovers == []
    known = {"NemoVideo", "nemo", "local", "preview", "URL", "https", "API", "MP4"}
    prompts = {word for job in comfyui.get("/nemo/jobs")["jobs"] for word in re.findall("[A-Za-z]+", job["prompt"])}
    assert set(re.findall("[A-Za-z]{3,}", panel)) - known - prompts <= set(), panel


def lines(editor: Editor) -> dict[str, str]:
    """What stands in the result widgets of the open graph, by the nodes' types."""
    found: dict[str, str] = editor.page.evaluate(
        """() => Object.fromEntries(window.app.graph._nodes
          .map(node => [node.type, node.widgets?.find(each => each.name === "nemo_result")?.element.innerText])
          .filter(each => each[1]))"""
    )
    return found


def test_results_stay_in_the_nodes_and_in_no_workflow(editor: Editor) -> None:
    """Length, size and bytes of the video; cleared at the start of a run; neither saved nor sent."""
    editor.open(workflow("image_to_video_in_one_node"))
    before, saved = editor.prompt(), editor.page.evaluate("() => JSON.stringify(window.app.graph.serialize())")
    height = editor.page.evaluate("() => window.app.graph._nodes.find(n => n.type === 'NemoImageToVideo').widgets[0].y")
    editor.set(quality="low", resolution="480p", prompt="a slow pan of 2 seconds, for the result line")
    editor.run()
    editor.page.wait_for_timeout(1500)

    shown = lines(editor)["NemoImageToVideo"]
    assert re.match(r"2 s · 480p · [\d.]+ [kM]B · nothing charged", shown), shown
    assert before.keys() == editor.prompt().keys()
    after = editor.page.evaluate("() => JSON.stringify(window.app.graph.serialize())")
    assert "nothing charged" not in after
    count = [len(node.get("widgets_values") or []) for node in json.loads(after)["nodes"]]
    assert count == [len(node.get("widgets_values") or []) for node in json.loads(saved)["nodes"]]
    assert height is not None


def test_results_are_there_after_a_reload_with_their_video(editor: Editor) -> None:
    """Of nodes with and without previews; the page itself shows none then."""
    editor.open(workflow("image_to_video"))
    editor.set(quality="low", resolution="480p", prompt="a slow pan of 1 second, for the reload")
    editor.run()
    editor.page.wait_for_timeout(1500)
    before = lines(editor)
    editor.page.reload()
    editor.page.wait_for_function("window.app?.graph && window.app.canvas && window.LiteGraph", timeout=90_000)
    editor.page.locator(".nemo-video-result video").first.wait_for(timeout=20_000)
    editor.page.keyboard.press("Escape")
    after = lines(editor)

    assert after.keys() == before.keys()
    assert {"NemoUploadImage", "NemoGenerateVideo", "NemoExportRender"} <= after.keys()
    for name, line in before.items():
        assert line.split("\n")[0] == after[name].split("\n")[0]


OUTER_SHOWN = """() => {
  const outer = window.app.graph._nodes.find(node => node.subgraph);
  return outer.widgets.find(each => each.name === "nemo_result")?.element.innerText ?? "";
}"""


def test_a_subgraph_shows_the_video_and_the_error_of_the_node_inside(editor: Editor) -> None:
    """Outside, where it can be seen without entering it; and what is saved holds nothing of it."""
    graph = json.loads((WORKFLOWS.parent / "subgraphs" / "NemoVideo - image to video.json").read_text())
    editor.open(graph)
    editor.page.evaluate(
        """() => {
          const [outer] = window.app.graph._nodes;
          const sample = window.LiteGraph.createNode("NemoSampleImage");
          window.app.graph.add(sample);
          sample.connect(0, outer, 0);
          for (const widget of outer.subgraph.nodes[0].widgets)
            Object.assign(widget, { quality: { value: "low" }, resolution: { value: "480p" } }[widget.name]);
        }"""
    )
    saved = editor.page.evaluate("() => window.app.graph.serialize().nodes.map(each => each.widgets_values)")
    editor.set(prompt="a slow pan of 1 second, in a subgraph")
    editor.run()
    film = editor.page.locator(".nemo-video-result video").first
    film.wait_for(state="attached" if VUE else "visible", timeout=20_000)
    done, again = editor.page.evaluate(OUTER_SHOWN), editor.prompt()
    after = editor.page.evaluate("() => window.app.graph.serialize().nodes.map(each => each.widgets_values)")
    editor.set(prompt=" ")
    editor.run()
    editor.page.locator(".nemo-video-error").last.wait_for(timeout=10_000)

    assert re.match(r"1 s · 480p · [\d.]+ [kM]B · nothing charged", done), done
    assert "The prompt is empty." in editor.page.evaluate(OUTER_SHOWN)
    assert [len(values or []) for values in saved] == [len(values or []) for values in after]
    assert "nemo_result" not in json.dumps(again)
    editor.page.locator(".nemo-video-error .nemo-close").last.click()


def test_an_error_can_be_read_and_acted_on_beside_the_page_s_own_dialog(editor: Editor) -> None:
    """Front ends up to 1.37 tell a failed node in a dialog that dims all the rest."""
    editor.open(workflow("image_to_video_in_one_node"))
    editor.set(prompt=" ")
    editor.run()
    editor.page.locator(".nemo-video-error").last.wait_for(timeout=10_000)
    editor.page.wait_for_timeout(2500)  # the page's own dialog, and a look at it
    editor.page.locator(".nemo-video-error .nemo-act").last.click(timeout=5000)

    assert editor.page.locator(".nemo-video-error").count() == 0
    editor.page.keyboard.press("Escape")


def test_a_failed_node_shows_words_and_one_action(editor: Editor) -> None:
    """In a message of our own, which leads to the node."""
    editor.open(workflow("image_to_video_in_one_node"))
    editor.set(prompt=" ")
    editor.run()
    message = editor.page.locator(".nemo-video-error").last
    message.wait_for(timeout=10_000)

    text = message.inner_text()
    assert "The prompt is empty." in text
    assert "Nothing was charged." in text
    assert message.locator(".nemo-act").inner_text() == "Show node"
    message.locator(".nemo-close").click()


def test_paid_nodes_say_what_a_run_costs(editor: Editor) -> None:
    """By the profile that they will run with, on the node's badge and at its New take."""
    editor.open(workflow("image_to_video_in_one_node"))
    prices = {}
    for profile in ("local preview", "nemo"):
        editor.set(profile=profile)
        editor.page.wait_for_timeout(300)
        prices[profile] = editor.page.evaluate(
            """() => {
              const node = window.app.graph._nodes.find(each => each.type === "NemoImageToVideo");
              return (node.badges ?? []).map(each => (typeof each === "function" ? each() : each).text);
            }"""
        )

    assert prices["local preview"][-1] == "free"
    assert re.fullmatch(r"≈ \d+ credits", prices["nemo"][-1])


ITEMS_AND_HEIGHT = """() => {
  const node = window.app.graph._nodes.find(each => each.type === "NemoImageToVideo");
  const prompt = node.widgets.find(each => each.name === "prompt");
  const shown = prompt.element ?? prompt.inputEl;
  const badges = (node.badges ?? []).map(each => (typeof each === "function" ? each() : each).text);
  return { badge: badges.at(-1), height: shown.offsetHeight, prompt: prompt.computedHeight };
}"""


def test_three_items_cost_three_times_as_much(editor: Editor) -> None:
    """One video per image: as many as the graph shows."""
    editor.open(workflow("image_to_video_in_one_node"))
    shown = []
    for mode in ("all images in one video", "one video per image"):
        editor.set(profile="nemo", images=3, batch_mode=mode)
        editor.page.wait_for_timeout(300)
        shown.append(editor.page.evaluate(ITEMS_AND_HEIGHT)["badge"])

    prices = [int(re.fullmatch(r"≈ (\d+) credits", badge)[1]) for badge in shown]  # type: ignore[index]
    assert prices[1] == 3 * prices[0]


@pytest.mark.skipif(not VUE, reason="COMFYUI_VUE_NODES is not set: the canvas draws the nodes")
def test_several_videos_are_turned_over_where_vue_draws_the_nodes(editor: Editor) -> None:
    """The page's own dots turn from one to the next, and a list names them all; each plays on hover, muted."""
    editor.open(workflow("image_to_video_in_one_node"))
    prompt = "a slow pan of 1 second, to be turned over"
    editor.set(quality="low", resolution="480p", images=3, batch_mode="one video per image", prompt=prompt)
    editor.run()
    film = editor.page.locator("[data-node-id] video").last
    film.wait_for(timeout=20_000)
    named = editor.page.locator(".nemo-video-result .nemo-file").all_inner_texts()
    shown = []
    for number in (1, 2, 3):
        editor.page.get_by_label(re.compile(rf"\b{number} of 3")).first.dispatch_event("click")
        editor.page.wait_for_timeout(500)
        shown.append(film.evaluate("film => new URL(film.currentSrc || film.src).searchParams.get('filename')"))
    film.dispatch_event("pointerover")
    editor.page.wait_for_timeout(500)

    assert len(named) == len(set(shown)) == 3
    assert {line.split(" · ")[0] for line in named} == set(shown)
    assert film.evaluate("film => ({ paused: film.paused, muted: film.muted })") == {"paused": False, "muted": True}


@pytest.mark.skipif(VUE, reason="Vue nodes turn over several videos by themselves")
def test_several_videos_stand_as_a_grid_and_play_on_hover(editor: Editor) -> None:
    """Each with its name and size, an avi as its small copy, muted and looping; the prompt keeps its height."""
    editor.open(workflow("image_to_video_in_one_node"))
    prompt = "a slow pan of 1 second, for the grid"
    editor.set(
        quality="low", resolution="480p", format="avi", images=3, batch_mode="one video per image", prompt=prompt
    )
    before = editor.page.evaluate(ITEMS_AND_HEIGHT)
    entry = editor.run()
    (ui,) = [each for each in entry["outputs"].values() if each.get("animated")]
    editor.page.wait_for_timeout(6500)
    after = editor.page.evaluate(ITEMS_AND_HEIGHT)
    films = editor.page.locator(".nemo-video-result .nemo-grid video")
    captions = editor.page.locator(".nemo-video-result .nemo-grid .nemo-file").all_inner_texts()
    state = "film => ({ paused: film.paused, muted: film.muted, loop: film.loop, wide: film.videoWidth })"
    films.nth(1).wait_for()
    still = films.nth(1).evaluate(state)
    films.nth(1).dispatch_event("pointerover")
    editor.page.wait_for_timeout(500)
    over = films.nth(1).evaluate(state)
    films.nth(1).dispatch_event("pointerleave")

    assert [each["type"] for each in ui["images"]] == ["temp"] * 3
    assert len(captions) == 3
    assert all(
        re.search(r"\.avi · [\d.]+\ss · 480p · [\d.]+\s[kM]B · shown as a small copy", each) for each in captions
    ), captions
    assert (still["paused"], over["paused"], over["muted"], over["loop"]) == (True, False, True, True)
    assert over["wide"] > 0
    assert films.nth(1).evaluate(state)["paused"]
    assert after["height"] == pytest.approx(before["height"], abs=8), (before, after)


def test_save_video_takes_a_gif_of_ours(editor: Editor) -> None:
    """ComfyUI's own node with its defaults, behind ours."""
    editor.open(workflow("image_to_video_in_one_node"))
    editor.set(quality="low", resolution="480p", format="gif", prompt="a slow pan of 1 second, as a gif")
    editor.page.evaluate(
        """() => {
          const from = window.app.graph._nodes.find(each => each.type === "NemoImageToVideo");
          const to = window.LiteGraph.createNode("SaveVideo");
          window.app.graph.add(to);
          from.connect(0, to, 0);
        }"""
    )
    entry = editor.run()

    assert entry["status"]["status_str"] == "success", entry["status"]
    names = [file["filename"] for ui in entry["outputs"].values() for file in ui.get("images", ())]
    assert {Path(name).suffix for name in names} == {".gif", ".mp4"}


def test_nothing_stands_on_the_console(editor: Editor) -> None:
    """After all of the above."""
    assert editor.complaints() == []

"""The workflows: both forms name nodes and inputs that exist, say the same, and run.

Nodes that are not ours are named in a table here, with what ComfyUI (and VideoHelperSuite) declare; that they run there
is shown in test_browser.py.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from operator import mul
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.nodes._arrays import picture
from tests.nodes._host import Host
from tools.make_templates import EXTRA, SUBGRAPH, TEMPLATES, build_graph, build_subgraph, read_slots

FOLDER = Path(__file__).parent.parent.parent / "workflows"
SUBGRAPHS = FOLDER.parent / "subgraphs"
TWINS = {template.title: template.twin for template in TEMPLATES}
NAMES = sorted(TWINS)
GRAPHS = sorted(set(TWINS.values()))

Nodes = dict[str, type[Any]]


def api_form(name: str) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads((FOLDER / "api" / f"{TWINS[name]}.json").read_text())
    return graph


def nodes_of(graph: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes that the server runs: all but notes."""
    return [node for node in graph["nodes"] if node["type"] != "MarkdownNote"]


def graph_form(name: str) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return graph


# Of ComfyUI itself: inputs in their order, each a widget or a link; outputs by name and type.
OTHERS: dict[str, tuple[dict[str, str], list[tuple[str, str]]]] = {
    "LoadImage": ({"image": "widget"}, [("IMAGE", "IMAGE"), ("MASK", "MASK")]),
    "ImageFromBatch": ({"image": "link", "batch_index": "widget", "length": "widget"}, [("IMAGE", "IMAGE")]),
    "GetVideoComponents": (
        {"video": "link"},
        [("images", "IMAGE"), ("audio", "AUDIO"), ("fps", "FLOAT"), ("bit_depth", "INT")],
    ),
    "SaveImage": ({"images": "link", "filename_prefix": "widget"}, []),
    "PreviewImage": ({"images": "link"}, []),
    "VHS_LoadVideoPath": (
        dict.fromkeys(
            [
                "video", "force_rate", "custom_width", "custom_height", "frame_load_cap", "skip_first_frames",
                "select_every_nth", "format",
            ],
            "widget",
        ),
        [("IMAGE", "IMAGE"), ("frame_count", "INT"), ("audio", "AUDIO"), ("video_info", "VHS_VIDEOINFO")],
    ),
}  # fmt: skip
SINKS = {"SaveImage", "PreviewImage"}


def declared(kind: str, nodes: Nodes) -> dict[str, str]:
    """The inputs of a node in their order, each `widget` or `link`."""
    if kind in OTHERS:
        return OTHERS[kind][0]
    inputs = nodes[kind].INPUT_TYPES()
    both = {**inputs.get("required", {}), **inputs.get("optional", {})}
    return {name: "widget" if is_widget(spec) else "link" for name, spec in both.items()}


def is_widget(spec: Any) -> bool:
    return isinstance(spec[0], list) or spec[0] in ("STRING", "INT", "FLOAT", "BOOLEAN")


def test_templates_and_graphs_are_those_of_the_table() -> None:
    """Nothing lies in the folders that the table does not name, and each graph has its template."""
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == NAMES
    assert sorted(path.stem for path in (FOLDER / "api").glob("*.json")) == GRAPHS


def test_templates_are_what_the_tool_writes() -> None:
    """`python -m tools.make_templates` changes nothing: places and notes are changed there."""
    slots = read_slots()

    for template in TEMPLATES:
        assert graph_form(template.title) == build_graph(template, slots), template.title
    assert json.loads((SUBGRAPHS / f"{SUBGRAPH}.json").read_text(encoding="utf-8")) == build_subgraph(slots)


def test_titles_are_read_as_titles_and_stand_in_order() -> None:
    """The file's name is the title in the browser: words with spaces, the pack's name, a number by which they sort."""
    for index, template in enumerate(TEMPLATES, 1):
        assert re.fullmatch(rf"{index:02} [A-Za-z ]{{5,24}} - NemoVideo(\.app)?", template.title)
        assert template.title.endswith(".app") == bool(template.app)  # ComfyUI knows apps by this
    first = api_form(TEMPLATES[0].title)

    assert "LoadImage" in {node["class_type"] for node in first.values()}


@pytest.mark.parametrize("name", NAMES)
def test_each_template_has_a_square_picture(name: str) -> None:
    """NAME.jpg beside NAME.json, as the template browser looks for it."""
    with Image.open(FOLDER / f"{name}.jpg") as picture:
        assert picture.size == (480, 480)


@pytest.mark.parametrize("name", NAMES)
def test_each_template_has_a_note_of_three_lines_in_both_languages(name: str) -> None:
    """What it does, what it costs, what to change."""
    (note,) = [node for node in graph_form(name)["nodes"] if node["type"] == "MarkdownNote"]
    english, chinese = note["widgets_values"][0].split("\n\n")

    heads = [re.findall(r"^- \*\*(.+?)\*\*", each, re.MULTILINE) for each in (english, chinese)]
    assert heads == [["What it does", "What it costs", "What to change"], ["功能", "费用", "可改之处"]]
    assert english.isascii()


@pytest.mark.parametrize("name", NAMES)
def test_no_node_stands_on_another_and_no_cable_runs_behind_one(name: str) -> None:
    """Cables are curves from the right of a node to the left of another; both ends draw out by a quarter of the way."""
    graph = graph_form(name)
    boxes = {node["id"]: (*node["pos"], *node["size"]) for node in graph["nodes"]}

    for one, other in itertools.combinations(boxes.values(), 2):
        assert stand_apart(one, other)
    for _, source, slot, target, entry, _ in graph["links"]:
        for x, y in curve(boxes[source], slot, boxes[target], entry):
            for other, (left, top, width, height) in boxes.items():
                behind = left < x < left + width and top - 30 < y < top + height
                assert other in (source, target) or not behind, f"{source} to {target} behind {other}"


def stand_apart(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two boxes (left, top, width, height, with 30 more above for the title) have no point in common."""
    (left, top, width, height), (x, y, wide, high) = one, other
    return x >= left + width or left >= x + wide or y - 30 >= top + height or top - 30 >= y + high


def curve(source: tuple[int, ...], slot: int, target: tuple[int, ...], entry: int) -> list[tuple[float, float]]:
    """Points of a cable."""
    start = (source[0] + source[2], source[1] + 14 + 20 * slot)
    end = (target[0], target[1] + 14 + 20 * entry)
    out = 0.25 * math.dist(start, end)
    xs, ys = (start[0], start[0] + out, end[0] - out, end[0]), (start[1], start[1], end[1], end[1])
    weights = [
        ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3) for t in (step / 40 for step in range(41))
    ]
    return [(sum(map(mul, each, xs)), sum(map(mul, each, ys))) for each in weights]


def test_the_app_template_shows_fields_that_exist() -> None:
    """App mode takes fields by node and name, and shows the output of a node."""
    (template,) = [each for each in TEMPLATES if each.app]
    graph = graph_form(template.title)
    twin = api_form(template.title)

    assert graph["extra"]["linearMode"] is True
    for key, field in graph["extra"]["linearData"]["inputs"]:
        assert field in twin[str(key)]["inputs"]
    assert [twin[str(key)]["class_type"] for key in graph["extra"]["linearData"]["outputs"]] == ["NemoImageToVideo"]


def test_a_paid_video_is_always_delivered() -> None:
    """No graph generates a video and leaves it at the backend."""
    for name in GRAPHS:
        graph: dict[str, Any] = json.loads((FOLDER / "api" / f"{name}.json").read_text())
        kinds = {node["class_type"] for node in graph.values()}

        assert "NemoGenerateVideo" not in kinds or "NemoExportRender" in kinds, name


def test_the_subgraph_has_picture_prompt_and_profile_outside(nodes: Nodes) -> None:
    """Its ends are inputs and outputs of the node inside. A video's preview cannot be promoted: it stays inside."""
    graph = json.loads((SUBGRAPHS / f"{SUBGRAPH}.json").read_text(encoding="utf-8"))
    (outer,), (inside,) = graph["nodes"], graph["definitions"]["subgraphs"]
    node = nodes["NemoImageToVideo"]

    assert [each["name"] for each in outer["inputs"]] == ["image", "prompt", "profile"]
    assert [(each["name"], each["type"]) for each in outer["outputs"]] == list(
        zip(node.RETURN_NAMES, node.RETURN_TYPES, strict=True)
    )
    assert outer["properties"]["proxyWidgets"] == [["-1", "prompt"], ["-1", "profile"]]
    assert outer["type"] == inside["id"]
    assert [each["type"] for each in inside["nodes"]] == ["NemoImageToVideo"]


@pytest.mark.parametrize("name", NAMES)
def test_the_api_form_names_what_exists(name: str, nodes: Nodes) -> None:
    """Node ids and input names exist, every required input is there, combos hold values of their lists."""
    for node in api_form(name).values():
        kind = node["class_type"]
        known = declared(kind, nodes)
        assert set(node["inputs"]) <= set(known)
        if kind in OTHERS:
            assert set(node["inputs"]) == set(known)
            continue
        inputs = nodes[kind].INPUT_TYPES()
        assert set(inputs["required"]) <= set(node["inputs"])
        for key, value in node["inputs"].items():
            spec = {**inputs["required"], **inputs.get("optional", {})}[key]
            assert not isinstance(spec[0], list) or isinstance(value, list) or value in spec[0]


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_say_the_same(name: str, nodes: Nodes) -> None:
    """Widgets stand in the graph form in the order in which the node declares them."""
    api = api_form(name)
    graph = graph_form(name)
    links = {link[0]: [str(link[1]), link[2]] for link in graph["links"]}

    for node in nodes_of(graph):
        twin = api[str(node["id"])]
        values = node["widgets_values"]
        names = [key for key, kind in declared(node["type"], nodes).items() if kind == "widget"]
        widgets = dict(values) if isinstance(values, dict) else dict(zip(names, values, strict=True))
        extra = EXTRA.get(node["type"], {})
        assert {key: widgets.pop(key) for key in extra} == extra
        wired = {each["name"]: links[each["link"]] for each in node["inputs"] if each["link"] is not None}
        assert twin["class_type"] == node["type"]
        assert {**widgets, **wired} == twin["inputs"]
        outputs = [(each["name"], each["type"]) for each in node["outputs"]]
        if node["type"] in nodes:
            ours = nodes[node["type"]]
            assert outputs == list(zip(ours.RETURN_NAMES, ours.RETURN_TYPES, strict=True))
        else:
            assert outputs[: len(OTHERS[node["type"]][1])] == OTHERS[node["type"]][1]
    assert {str(node["id"]) for node in nodes_of(graph)} == set(api)


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_tells_nothing_of_its_maker(name: str) -> None:
    """No token, no path, no job id: people share these files."""
    text = (FOLDER / f"{name}.json").read_text() + (FOLDER / "api" / f"{TWINS[name]}.json").read_text()

    assert "nmv_" not in text
    assert "/home/" not in text
    assert '"NemoRecover"' not in text or '"latest unfinished"' in text


@pytest.mark.parametrize("name", GRAPHS)
def test_it_runs_for_anyone_at_once(name: str, nodes: Nodes, host: Host) -> None:
    """On the local preview and the sample image, without a key; shortened here to one second and made small."""
    api: dict[str, Any] = json.loads((FOLDER / "api" / f"{name}.json").read_text())
    if name == "recover_a_job":
        interrupted(nodes, host)
    done: dict[str, Any] = {}
    shown: list[dict[str, Any]] = []
    for key in sorted(api, key=int):
        kind = api[key]["class_type"]
        inputs = {each: wired(value, done) for each, value in api[key]["inputs"].items()}
        if kind in OTHERS:
            done[key] = () if kind in SINKS else (picture(batch=1 if kind == "LoadImage" else 4), None, 30.0, 8)
            continue
        small = {"duration": 1, "quality": "low", "resolution": "480p"}
        inputs |= {each: value for each, value in small.items() if each in inputs}
        node = nodes[kind]
        if not getattr(node, "INPUT_IS_LIST", False):  # ComfyUI maps such nodes over lists
            inputs = {each: value[0] if isinstance(value, list) else value for each, value in inputs.items()}
        answer = host.run(node, key, **inputs)
        done[key] = answer["result"] if isinstance(answer, dict) else answer
        shown += [answer["ui"]] if isinstance(answer, dict) else []

    assert shown
    for file in (file for ui in shown for file in ui.get("images", ())):
        assert (Path(host.folder(file["type"])) / file["subfolder"] / file["filename"]).is_file()


def wired(value: Any, done: dict[str, Any]) -> Any:
    return done[value[0]][value[1]] if isinstance(value, list) else value


def interrupted(nodes: Nodes, host: Host) -> None:
    """Make a job that was never exported."""
    (auth, _) = host.run(nodes["NemoAuth"], profile="local preview", language="auto")
    (sessions,) = host.run(
        nodes["NemoUploadImage"], auth=auth, image=picture(96, 72), batch_mode="all images in one video"
    )
    wish = {"prompt": "slow push-in", "aspect_ratio": "auto", "duration": 1, "seed": 0}
    host.run(nodes["NemoGenerateVideo"], session=sessions, **wish)

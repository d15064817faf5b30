"""The workflows: both forms name nodes and inputs that exist, say the same, and run.

Nodes that are not ours are named in a table here, with what ComfyUI (and VideoHelperSuite) declare; that they run there
is shown in test_browser.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.nodes._arrays import picture
from tests.nodes._host import Host

FOLDER = Path(__file__).parent.parent.parent / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))

Nodes = dict[str, type[Any]]


def api_form(name: str) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads((FOLDER / "api" / f"{name}.json").read_text())
    return graph


def graph_form(name: str) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return graph


# Of ComfyUI itself: inputs in their order, each a widget or a link; outputs by name and type.
OTHERS: dict[str, tuple[dict[str, str], list[tuple[str, str]]]] = {
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


@pytest.mark.parametrize("name", NAMES)
def test_each_workflow_has_its_twin_and_picture(name: str) -> None:
    """A template is NAME.json with NAME.jpg, and workflows/api/NAME.json is the same graph for POST /prompt."""
    assert (FOLDER / f"{name}.jpg").is_file()
    assert (FOLDER / "api" / f"{name}.json").is_file()


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

    for node in graph["nodes"]:
        twin = api[str(node["id"])]
        values = node["widgets_values"]
        names = [key for key, kind in declared(node["type"], nodes).items() if kind == "widget"]
        widgets = values if isinstance(values, dict) else dict(zip(names, values, strict=True))
        wired = {each["name"]: links[each["link"]] for each in node["inputs"] if each["link"] is not None}
        assert twin["class_type"] == node["type"]
        assert {**widgets, **wired} == twin["inputs"]
        outputs = [(each["name"], each["type"]) for each in node["outputs"]]
        if node["type"] in nodes:
            ours = nodes[node["type"]]
            assert outputs == list(zip(ours.RETURN_NAMES, ours.RETURN_TYPES, strict=True))
        else:
            assert outputs[: len(OTHERS[node["type"]][1])] == OTHERS[node["type"]][1]
    assert {str(node["id"]) for node in graph["nodes"]} == set(api)


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_tells_nothing_of_its_maker(name: str) -> None:
    """No token, no path, no job id: people share these files."""
    text = (FOLDER / f"{name}.json").read_text() + (FOLDER / "api" / f"{name}.json").read_text()

    assert "nmv_" not in text
    assert "/home/" not in text
    assert '"NemoRecover"' not in text or '"latest unfinished"' in text


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_for_anyone_at_once(name: str, nodes: Nodes, host: Host) -> None:
    """On the local preview and the sample image, without a key; shortened here to one second and made small."""
    api = api_form(name)
    if name == "recover_a_job":
        interrupted(nodes, host)
    done: dict[str, Any] = {}
    shown: list[dict[str, Any]] = []
    for key in sorted(api, key=int):
        kind = api[key]["class_type"]
        inputs = {each: wired(value, done) for each, value in api[key]["inputs"].items()}
        if kind in OTHERS:
            done[key] = () if kind in SINKS else (picture(batch=4), None, 30.0, 8)
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

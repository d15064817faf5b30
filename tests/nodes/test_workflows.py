"""The workflows: both forms name nodes and inputs that exist, say the same, and run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ._host import Host

FOLDER = Path(__file__).parent.parent.parent / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))

Nodes = dict[str, type[Any]]


def api_form(name: str) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads((FOLDER / "api" / f"{name}.json").read_text())
    return graph


def graph_form(name: str) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return graph


def declared(node: type[Any]) -> dict[str, Any]:
    inputs = node.INPUT_TYPES()
    return {**inputs.get("required", {}), **inputs.get("optional", {})}


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
        known = declared(nodes[node["class_type"]])
        required = nodes[node["class_type"]].INPUT_TYPES()["required"]
        assert set(node["inputs"]) <= set(known)
        assert set(required) <= set(node["inputs"])
        for key, value in node["inputs"].items():
            if isinstance(known[key][0], list):
                assert value in known[key][0]


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_say_the_same(name: str, nodes: Nodes) -> None:
    """Widgets stand in the graph form in the order in which the node declares them."""
    api = api_form(name)
    graph = graph_form(name)
    links = {link[0]: [str(link[1]), link[2]] for link in graph["links"]}

    for node in graph["nodes"]:
        twin = api[str(node["id"])]
        known = declared(nodes[node["type"]])
        widgets = dict(
            zip([key for key, spec in known.items() if is_widget(spec)], node["widgets_values"], strict=True)
        )
        wired = {each["name"]: links[each["link"]] for each in node["inputs"] if each["link"] is not None}
        assert twin["class_type"] == node["type"]
        assert {**widgets, **wired} == twin["inputs"]
        assert [each["name"] for each in node["outputs"]] == list(nodes[node["type"]].RETURN_NAMES)
        assert [each["type"] for each in node["outputs"]] == list(nodes[node["type"]].RETURN_TYPES)
    assert {str(node["id"]) for node in graph["nodes"]} == set(api)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_for_anyone_at_once(name: str, nodes: Nodes, host: Host) -> None:
    """On the local preview and the sample image, without a key; shortened here to one second."""
    api = api_form(name)
    done: dict[str, Any] = {}
    for key in sorted(api, key=int):
        node = nodes[api[key]["class_type"]]
        inputs: dict[str, Any] = {}
        for each, value in api[key]["inputs"].items():
            wired = isinstance(value, list)
            inputs[each] = done[value[0]][value[1]] if wired else value
            if each == "duration":
                inputs[each] = 1
        answer = host.run(node, key, **inputs)
        done[key] = answer["result"] if isinstance(answer, dict) else answer
        ui = answer.get("ui") if isinstance(answer, dict) else None

    assert ui is not None
    shown = ui["images"][0]
    assert (Path(host.folder(shown["type"])) / shown["subfolder"] / shown["filename"]).is_file()

"""What nodes tell the graph editor of themselves: how they are found, which inputs are folded, what a 0 means."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

WEB = Path(__file__).parent.parent.parent / "web"
WORDS_FOR_IMAGE_TO_VIDEO = ("image to video", "i2v", "animate", "mp4", "video")

Nodes = dict[str, type[Any]]


def inputs_of(node: type[Any]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The inputs that people see, with their options."""
    types = node.INPUT_TYPES()
    return {name: (each[0], each[1]) for name, each in {**types["required"], **types.get("optional", {})}.items()}


def widgets_of(node: type[Any]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The inputs that are fields, not links."""
    fields = ("STRING", "INT", "FLOAT", "BOOLEAN")
    return {name: each for name, each in inputs_of(node).items() if isinstance(each[0], list) or each[0] in fields}


def names_of_values(table: str) -> dict[str, dict[str, str]]:
    """A table of `options.js`: names by the input and by the value."""
    code = (WEB / "options.js").read_text(encoding="utf-8")
    found = re.search(rf"^const {table} = (\{{.*?^\}});", code, re.MULTILINE | re.DOTALL)
    assert found
    read: dict[str, dict[str, str]] = json.loads(re.sub(r"([{,]\s*)([\w-]+):", r'\1"\2":', found[1]))
    return read


def test_each_node_is_found_by_words_of_its_own(nodes: Nodes) -> None:
    """Search looks through aliases beside names; they are plain words in small letters, in both languages."""
    for node_id, node in nodes.items():
        aliases = node.SEARCH_ALIASES

        assert len(set(aliases)) == len(aliases) >= 5, node_id
        assert all(alias == alias.lower().strip() and alias for alias in aliases), node_id
        assert any(not alias.isascii() for alias in aliases), node_id


@pytest.mark.parametrize("words", WORDS_FOR_IMAGE_TO_VIDEO)
def test_what_newcomers_type_finds_image_to_video_and_no_other_node_of_ours(words: str, nodes: Nodes) -> None:
    """Among aliases the front end cannot tell which one is meant first."""
    assert [node_id for node_id, node in nodes.items() if words in node.SEARCH_ALIASES] == ["NemoImageToVideo"]


def test_image_to_video_shows_six_inputs_and_folds_the_others(nodes: Nodes) -> None:
    """Front ends that know `advanced` fold such inputs away."""
    shown = [name for name, each in widgets_of(nodes["NemoImageToVideo"]).items() if not each[1].get("advanced")]

    assert shown == ["prompt", "aspect_ratio", "duration", "seed", "filename_prefix", "profile"]


def test_a_folded_input_has_a_default_that_does_for_most(nodes: Nodes) -> None:
    """What few need is folded on every node that has it; how many videos a batch makes is folded in one place only."""
    folded = {
        (node_id, name): each
        for node_id, node in nodes.items()
        for name, each in inputs_of(node).items()
        if each[1].get("advanced")
    }

    assert {name for _, name in folded} == {
        "batch_mode", "encoding", "format", "language", "max_credits", "on_item_error", "quality", "resolution",
    }  # fmt: skip
    assert [node_id for node_id, name in folded if name == "batch_mode"] == ["NemoImageToVideo"]
    assert all("default" in each[1] for each in folded.values())


def test_a_tooltip_is_short_and_a_zero_that_is_no_amount_is_told_first(nodes: Nodes) -> None:
    """Vue nodes show the number itself, so the tooltip begins with what it means."""
    for node_id, node in nodes.items():
        for name, (_, options) in inputs_of(node).items():
            assert len(options["tooltip"]) <= 200, f"{node_id} {name}"
            assert options["tooltip"].startswith("0 = ") == (name in ("duration", "max_credits")), f"{node_id} {name}"
        assert len(node.DESCRIPTION) <= 125, node_id


@pytest.mark.parametrize("table", ["EN", "ZH"])
def test_names_of_values_are_for_values_that_exist(table: str, nodes: Nodes) -> None:
    """A value that no node has would never be named; labels never change values."""
    known: dict[str, set[str]] = {}
    for node in nodes.values():
        for name, (kind, _) in widgets_of(node).items():
            values = set(kind) if isinstance(kind, list) else {"true", "false"} if kind == "BOOLEAN" else set()
            known.setdefault(name, set()).update(values)

    for name, labels in names_of_values(table).items():
        assert set(labels) <= known[name], name
        assert len(set(labels.values())) == len(labels), name
    assert set(names_of_values("EN")) <= set(names_of_values("ZH"))

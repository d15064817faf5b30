"""A new member of a list that several files know is forgotten in none of them (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import nemo_client
from nemo_client import FORMATS
from nemo_client._cli import app
from nemo_client._errors import CODES
from nemo_client._files import containers
from nemo_client._journal.money import ESTIMATES
from nemo_client._journal.steps import DEFAULTS, PAID, Kind
from nemo_client._studio.message_stream import find_stage
from nemo_client._studio.progress import FIRST_GUESS, Stage
from nemo_client._text import messages, router
from nemo_client.local.render import formats

ROOT = Path(__file__).parent.parent.parent


def table_of(path: str, name: str) -> Any:
    """A table of plain values in a file of the nodes, which load inside of ComfyUI alone."""
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(each, ast.Name) and each.id == name for each in targets):
            return ast.literal_eval(node.value)  # type: ignore[attr-defined]
    raise AssertionError(f"{path} has no {name}")


def paid_nodes() -> dict[str, str]:
    """The nodes that pay, and the kind of step of each, as the page has them."""
    text = (ROOT / "web" / "takes.js").read_text(encoding="utf-8")
    return dict(re.findall(r'(\w+): "(\w+)"', text[text.index("KINDS = {") : text.index("PAID")]))


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_written_drawn_and_asked_for(name: str) -> None:
    """By the client's recipes, the local preview, the shell's help, and people's words."""
    assert name in formats.MIME_TYPES
    assert name in containers._RECIPES or name == "gif"
    assert name in containers._DEMUXERS.values() or name in ("mov", "webm")
    assert name in app._FORMATS
    assert router._CONTAINER.search(f"export it as {name}")
    assert tuple(formats.MIME_TYPES) == FORMATS


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_has_a_public_error_with_words_and_an_action(code: int) -> None:
    """So that it is caught by name, read in both languages, and helped with in the page."""
    error = CODES[code]

    assert getattr(nemo_client, error.__name__, None) is error
    assert all(error.default_id in messages.load_texts(lang) for lang in messages.LANGUAGES)
    assert error.__name__ in table_of("nodes/_comfy/actions.py", "BY_CLASS")


@pytest.mark.parametrize("stage", get_args(Stage))
def test_a_stage_has_a_span_and_words(stage: str) -> None:
    """On a node's bar, and in both languages."""
    assert stage in table_of("nodes/_comfy/status.py", "_SPANS")
    assert all(f"stage.{stage}" in messages.load_texts(lang) for lang in messages.LANGUAGES)


@pytest.mark.parametrize("kind", sorted(PAID))
def test_a_paid_kind_has_a_price_a_stage_and_a_node(kind: Kind) -> None:
    """What it is expected to cost and to take, how it is shown, and which node pays for it."""
    assert kind in DEFAULTS
    assert kind in ESTIMATES
    assert kind in FIRST_GUESS
    assert find_stage(kind) == kind
    assert kind in get_args(Stage)
    assert kind in paid_nodes().values()
    assert set(paid_nodes().values()) <= PAID

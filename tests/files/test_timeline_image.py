"""The timeline as a picture: to scale, with thumbnails, bounded for any draft."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from nemo_client._files.timeline_image import _COLORS, _LEFT, _RIGHT, MAX_TRACKS, WIDTH, Shot, draw_timeline

FULL = WIDTH - _LEFT - _RIGHT


def draft(*segments: dict[str, Any], kind: int = 0, length: int = 10_000) -> dict[str, Any]:
    return {"t": [{"tt": kind, "sg": list(segments)}], "d": length, "m": {"width": 1920, "height": 1080}}


def columns(picture: np.ndarray[Any, Any], color: tuple[int, int, int]) -> tuple[int, int]:
    """The first and the last column that hold the color."""
    found = np.flatnonzero((picture == color).all(axis=2).any(axis=0))
    return int(found[0]), int(found[-1])


def test_bars_are_drawn_to_scale() -> None:
    """From 2.5 s to 7.5 s of 10 s: a quarter in, half as wide as the whole."""
    picture = draw_timeline(draft({"st": 2500, "d": 5000, "m": {}}))

    first, last = columns(picture, _COLORS["video"])
    assert abs(first - (_LEFT + FULL / 4)) <= 3
    assert abs(last - (_LEFT + FULL * 3 / 4)) <= 3


def test_each_kind_of_track_has_its_color() -> None:
    """Video, sound, titles, and what a newer backend may add."""
    for kind, name in ((0, "video"), (1, "audio"), (7, "text"), (42, "other")):
        columns(draw_timeline(draft({"st": 0, "d": 1000, "m": {}}, kind=kind)), _COLORS[name])


def test_thumbnails_stand_in_their_bars() -> None:
    """The second bar's picture at the left of the second bar."""
    red = Image.new("RGB", (64, 48), (250, 0, 0))
    picture = draw_timeline(draft({"st": 0, "d": 5000}, {"st": 5000, "d": 5000}), [Shot(1, red)])

    first, last = columns(picture, (250, 0, 0))
    assert _LEFT + FULL / 2 < first < last < _LEFT + FULL


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {},
        {"t": "no list"},
        {"t": [{"tt": 0, "sg": [{"st": -5, "d": -1}, {"st": "x"}, None, {"st": 10**30, "d": 1}]}]},
        {"t": [{"tt": 0, "sg": [{"st": 0, "d": 1, "m": {"title": "\u202eabc\n" * 500}}]}]},
        {"t": [{"tt": 7, "sg": [{"d": 5, "m": {"text": "早安 🎬 مرحبا"}}] * 3000}] * 500, "d": 10**9},
    ],
)
def test_any_draft_makes_a_picture_of_bounded_size(odd: Any) -> None:
    """The draft is the backend's own; nothing in it may fail or fill the memory."""
    picture = draw_timeline(odd, lang="zh")

    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (WIDTH, 3)
    assert picture.shape[0] <= 100 + 110 * MAX_TRACKS

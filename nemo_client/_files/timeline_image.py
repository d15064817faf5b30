"""A draft as a picture, drawn to scale: a ruler in seconds, tracks as bars, thumbnails, titles. Pure but for fonts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps

from .._wire import draft as drafts
from ..local.shared.fonts import choose_face

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

WIDTH: Final = 1280
MAX_TRACKS: Final = 12
MAX_BARS: Final = 200
_LEFT, _RIGHT, _TOP, _RULER, _GAP = 132, 24, 56, 30, 10
_HEIGHTS: Final = {"video": 96, "audio": 44, "text": 40, "other": 40}
_COLORS: Final = {
    "video": (64, 122, 201), "audio": (58, 148, 106), "text": (191, 122, 48), "other": (120, 120, 132),
}  # fmt: skip
_PAPER, _LINE, _INK, _SOFT = (24, 25, 29), (52, 54, 62), (236, 237, 240), (150, 154, 166)
_STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_MAX_TICKS: Final = 14


@dataclass(frozen=True)
class Shot:
    """A thumbnail: the picture, and the bar of the video track that it belongs to (counted from 0)."""

    bar: int
    picture: Image.Image


def draw_timeline(draft: drafts.Draft | None, shots: Sequence[Shot] = (), lang: str = "en") -> npt.NDArray[np.uint8]:
    """The picture, uint8 [H, W, 3]: as wide as `WIDTH`, as high as its tracks need; bounded for any draft."""
    tracks = list(islice(drafts.list_bars(draft, MAX_BARS), MAX_TRACKS))
    heights = [_HEIGHTS[track.kind] for track in tracks]
    height = _TOP + _RULER + sum(heights) + _GAP * (len(tracks) + 1)
    image = Image.new("RGB", (WIDTH, height), _PAPER)
    pen = _Pen(ImageDraw.Draw(image), max(drafts.measure_duration_ms(draft), 1))
    pen.words(_compose_heading(draft, lang), _LEFT, 18, 22, _INK, WIDTH - _LEFT - _RIGHT)
    pen.ruler(height)
    top = _TOP + _RULER + _GAP
    first = True
    for track, size in zip(tracks, heights, strict=True):
        pen.words(track.name(lang), 18, top + size // 2 - 9, 16, _SOFT, _LEFT - 30)
        for number, bar in enumerate(track.bars):
            shot = next((each.picture for each in shots if each.bar == number), None) if first else None
            _draw_bar(image, pen, bar, (top, size), _COLORS[track.kind], shot if track.kind == "video" else None)
        first = first and track.kind != "video"
        top += size + _GAP
    return np.asarray(image)


def _compose_heading(draft: drafts.Draft | None, lang: str) -> str:
    size = drafts.read_size(draft)
    seconds = f"{drafts.measure_duration_ms(draft) / 1000:.1f} s"
    return " · ".join([seconds, *([f"{size[0]} x {size[1]}"] if size else []), drafts.format_track_count(draft, lang)])


class _Pen:
    """Draws on the picture, with times in ms."""

    def __init__(self, draw: ImageDraw.ImageDraw, length: float) -> None:
        self.draw = draw
        self._length = length

    def x(self, ms: float) -> int:
        share = min(max(ms / self._length, 0.0), 1.0)
        return _LEFT + round(share * (WIDTH - _LEFT - _RIGHT))

    def ruler(self, height: int) -> None:
        seconds = self._length / 1000
        step = next((each for each in _STEPS if seconds / each <= _MAX_TICKS), seconds / _MAX_TICKS)
        for tick in range(int(seconds / step + 1e-9) + 1):
            x = self.x(tick * step * 1000)
            self.draw.line((x, _TOP + _RULER - 6, x, height - _GAP), fill=_LINE)
            self.words(f"{tick * step:g}s", x - 8, _TOP + 2, 14, _SOFT, 60)

    def words(self, text: str, x: float, y: float, size: int, color: tuple[int, int, int], width: float) -> None:
        """A line of text, cut to `width` pixels."""
        font = _load_font(text, size)
        self.draw.text((x, y), _cut_text(text, font, width), font=font, fill=color)


@lru_cache(maxsize=512)
def _load_font(text: str, size: int) -> FreeTypeFont:
    """A font that can draw the text; a draft often has the same title on many segments."""
    return choose_face(text)[0].at(size)


def _cut_text(text: str, font: FreeTypeFont, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…" if text else ""


def _draw_bar(
    image: Image.Image, pen: _Pen, bar: Any, place: tuple[int, int], color: tuple[int, int, int],
    shot: Image.Image | None,
) -> None:  # fmt: skip
    """One segment: a rounded bar from its start to its end, its thumbnail at the left, title and times beside it."""
    (top, height), start, end = place, pen.x(bar.start), pen.x(bar.end)
    width = max(end - start, 3)
    pen.draw.rounded_rectangle((start, top, start + width - 1, top + height - 1), 7, color, _PAPER, 2)
    at = start + 8
    if shot is not None and width > 40:
        wide = min(round(height * 1.6), width - 8)
        image.paste(ImageOps.fit(shot.convert("RGB"), (wide, height - 8)), (start + 4, top + 4))
        at = start + wide + 12
    room = start + width - at - 8
    if room <= 24:
        return
    if height >= 60:
        pen.words(bar.title, at, top + height // 2 - 24, 18, _INK, room)
        pen.words(bar.times, at, top + height // 2 + 2, 14, _INK, room)
    else:
        text = f"{bar.title}   {bar.times}" if bar.title else bar.times
        pen.words(text, at, top + height // 2 - 10, 15, _INK, room)

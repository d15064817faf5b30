"""Titles and the badge, drawn once as overlays: white with a dark outline and a soft shadow, wrapped to the frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ..shared.fonts import Face, choose_face, missing_glyphs
from .errors import RenderError
from .motion import Size
from .overlay import Overlay, overlay
from .plan import Caption

__all__ = ["BADGE", "FADE_MS", "badge", "missing_glyphs", "refuse_missing", "strength", "title_overlay", "wrap"]

BADGE = "local preview"
FADE_MS = 250.0

# Shares of the frame's short side or of the width and height that a title may take.
_TITLE_SIZE, _SMALLEST_SIZE, _BADGE_SIZE = 0.085, 0.03, 0.024
_WIDTH, _HEIGHT = 0.86, 0.4
_EDGE = 0.09
_OUTLINE, _SPACING = 0.075, 0.2
_Colour = tuple[int, int, int, int]
_SHADOW, _EDGE_COLOUR, _PLATE, _BADGE_COLOUR = (0, 0, 0, 150), (16, 16, 16, 235), (0, 0, 0, 96), (255, 255, 255, 190)
# Punctuation that may not begin a line of Chinese or Japanese.
_CLOSING = "，。、；：？！）》」』】…—,.;:?!)%ーっゃゅょッャュョ"


@dataclass(frozen=True)
class _Layout:
    """A text broken into lines that fit at one size."""

    text: str
    font: ImageFont.FreeTypeFont
    outline: int
    spacing: int
    box: tuple[int, int, int, int]


def refuse_missing(captions: Sequence[Caption]) -> None:
    """Raise RenderError when this machine has no font for one of the texts, naming what is missing."""
    for caption in captions:
        if missing := missing_glyphs(caption.text):
            raise RenderError(
                f"no single font on this machine has all of the title {caption.text[:40]!r}, missing: {missing[:40]}; "
                "install a font that has them (for Chinese, Japanese and Korean: Noto Sans CJK) or change the title"
            )


def title_overlay(caption: Caption, frame: Size, occupied: Sequence[Overlay] = ()) -> Overlay:
    """`caption` as an overlay for a frame of `frame` pixels, moved clear of the overlays that are already on screen."""
    layout = _fit_text(caption.text, frame)
    shadow = max(1, round(layout.font.size * 0.06))
    left, top, right, bottom = layout.box
    size = _even_up(right - left + 8 * shadow), _even_up(bottom - top + 8 * shadow)
    at = 4 * shadow - left, 4 * shadow - top
    behind = _write_text(layout, size, (at[0] + shadow, at[1] + shadow), fill=_SHADOW, edge=_SHADOW)
    art = behind.filter(ImageFilter.GaussianBlur(shadow))
    art = Image.alpha_composite(art, _write_text(layout, size, at, fill=(255, 255, 255, 255), edge=_EDGE_COLOUR))
    x = max(0, (frame[0] - size[0]) // 4 * 2)
    placed = _place_art(art, x, _find_row(caption.position, size[1], frame), frame)
    return _clear_of(occupied, placed, up=caption.position != "top", frame=frame)


def badge(frame: Size) -> Overlay:
    """The note that says what this video is, small in the lower right corner."""
    font = Face().at(max(8, round(min(frame) * _BADGE_SIZE)))
    left, top, right, bottom = (int(edge) for edge in font.getbbox(BADGE))
    pad = max(2, round(font.size * 0.45))
    size = _even_up(right - left + 2 * pad), _even_up(bottom - top + 2 * pad)
    art = Image.new("RGBA", size)
    ImageDraw.Draw(art).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=pad, fill=_PLATE)
    layout = _Layout(BADGE, font, 0, 0, (left, top, right, bottom))
    at = (pad - left, pad - top)
    art = Image.alpha_composite(art, _write_text(layout, size, at, fill=_BADGE_COLOUR, edge=_BADGE_COLOUR))
    gap = max(2, round(min(frame) * 0.02))
    x, y = (max(0, (frame[axis] - size[axis] - gap) // 2 * 2) for axis in (0, 1))
    return _place_art(art, x, y, frame)


def strength(caption: Caption, moment: float) -> float:
    """How visible a title is at `moment`: it fades in and out, within its own time."""
    fade = min(FADE_MS, (caption.end - caption.start) / 4)
    return max(0.0, min(1.0, (moment - caption.start) / fade, (caption.end - moment) / fade))


def wrap(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines no wider than `width`: broken at spaces, and anywhere in scripts that do not write them."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for piece in _split_pieces(paragraph):
            if line and font.getlength((line + piece).rstrip()) > width:
                lines.append(line.rstrip())
                line = piece.lstrip()
            else:
                line += piece
            while font.getlength(line.rstrip()) > width and len(line) > 1:
                fits = next(n for n in range(len(line) - 1, 0, -1) if n == 1 or font.getlength(line[:n]) <= width)
                lines.append(line[:fits])
                line = line[fits:]
        lines.append(line.rstrip())
    return [line for line in lines if line]


def _split_pieces(text: str) -> list[str]:
    """What must stay on one line: a word with the space behind it, one ideograph with its closing punctuation."""
    pieces: list[str] = []
    for character in text:
        alone = ord(character) >= 0x2E80
        glued = pieces and (character in _CLOSING or character == " ")
        inside = pieces and not alone and not pieces[-1].endswith(" ") and ord(pieces[-1][-1]) < 0x2E80
        if glued or inside:
            pieces[-1] += character
        else:
            pieces.append(character)
    return pieces


def _fit_text(text: str, frame: Size) -> _Layout:
    """The largest layout, from the usual title size down, that fits; the smallest one when none does."""
    face, _ = choose_face(text)
    smallest = max(8, round(min(frame) * _SMALLEST_SIZE))
    size = max(smallest, round(min(frame) * _TITLE_SIZE))
    while True:
        layout = _laid_out(text, face.at(size), frame)
        if size <= smallest or layout.box[3] - layout.box[1] <= frame[1] * _HEIGHT:
            return layout
        size = max(smallest, math.floor(size * 0.9))


def _laid_out(text: str, font: ImageFont.FreeTypeFont, frame: Size) -> _Layout:
    outline, spacing = max(1, round(font.size * _OUTLINE)), round(font.size * _SPACING)
    lines = "\n".join(wrap(text, font, frame[0] * _WIDTH - 2 * outline))
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = draw.multiline_textbbox(
        (0, 0), lines, font=font, spacing=spacing, align="center", stroke_width=outline
    )
    box = math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
    return _Layout(lines, font, outline, spacing, box)


def _write_text(layout: _Layout, size: Size, at: tuple[float, float], *, fill: _Colour, edge: _Colour) -> Image.Image:
    art = Image.new("RGBA", size)
    ImageDraw.Draw(art).multiline_text(
        at,
        layout.text,
        fill=fill,
        font=layout.font,
        spacing=layout.spacing,
        align="center",
        stroke_width=layout.outline,
        stroke_fill=edge,
    )
    return art


def _place_art(art: Image.Image, left: int, top: int, frame: Size) -> Overlay:
    """`art` as an overlay at an even corner, cut where it would leave the frame."""
    levels = np.asarray(art)[: frame[1] - top, : frame[0] - left]
    return overlay(levels[..., 0], levels[..., 3], left, top)


def _find_row(position: str, height: int, frame: Size) -> int:
    edge = round(frame[1] * _EDGE)
    rows = {"top": edge, "center": (frame[1] - height) // 2, "bottom": frame[1] - edge - height}
    return max(0, rows[position] // 2 * 2)


def _clear_of(occupied: Sequence[Overlay], own: Overlay, *, up: bool, frame: Size) -> Overlay:
    """Moved up (or down) past those that are in its way; left where it is when there is no room."""
    top = own.top
    for other in sorted(occupied, key=lambda one: one.top, reverse=up):
        if top < other.top + other.size[1] and other.top < top + own.size[1]:
            top = other.top - own.size[1] if up else other.top + other.size[1]
    inside = top >= 0 and top + own.size[1] <= frame[1]
    return replace(own, top=top // 2 * 2) if inside else own


def _even_up(value: float) -> int:
    return math.ceil(value / 2) * 2

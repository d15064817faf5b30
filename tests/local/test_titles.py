"""Titles: legible, inside the frame, and never empty boxes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from nemo_client.local.render.errors import RenderError
from nemo_client.local.render.overlay import crossfade, overlay
from nemo_client.local.render.plan import Caption
from nemo_client.local.render.titles import badge, missing_glyphs, refuse_missing, strength, title_overlay, wrap
from nemo_client.local.shared import fonts

FRAME = (640, 360)

has_cjk = pytest.mark.skipif(bool(missing_glyphs("城市")), reason="this machine has no font for Chinese")


@pytest.fixture
def no_system_fonts(monkeypatch):
    """A machine that has only the font Pillow carries."""
    monkeypatch.setattr(fonts, "_system_faces", lambda: ())


def _painted(art, ground=90, frame=FRAME):
    planes = tuple(np.full(shape, level, np.uint8) for shape, level in (
        ((frame[1], frame[0]), ground), ((frame[1] // 2, frame[0] // 2), 100), ((frame[1] // 2, frame[0] // 2), 150)
    ))  # fmt: skip
    art.blend(planes)
    return planes


@pytest.mark.parametrize("ground", [16, 128, 235], ids=["on black", "on grey", "on white"])
def test_a_title_is_legible_on_any_ground(ground):
    """White letters and a dark outline: both stand out, whatever lies below."""
    luma = _painted(title_overlay(Caption("Urban Dreams", 0, 1000), FRAME), ground)[0]

    assert (luma >= 230).sum() > 500
    assert (luma <= 40).sum() > 500


def test_a_title_takes_its_colour_from_no_picture():
    """Where letters are opaque the chroma is neutral."""
    luma, blue, red = _painted(title_overlay(Caption("HHHHHHHH", 0, 1000), FRAME))

    inside = luma[::2, ::2] >= 234
    assert inside.any()
    assert np.abs(blue[inside].astype(int) - 128).max() <= 14
    assert np.abs(red[inside].astype(int) - 128).max() <= 11


def test_a_long_title_is_wrapped_inside_the_frame():
    """Two hundred characters fit, in smaller letters."""
    art = title_overlay(Caption("word " * 40, 0, 1000), FRAME)

    assert art.left > 0
    assert art.top > 0
    assert art.left + art.size[0] < FRAME[0]
    assert art.top + art.size[1] < FRAME[1]


@has_cjk
def test_chinese_is_drawn_and_wrapped_between_characters():
    """Lines break anywhere but before closing punctuation."""
    font = fonts.choose_face("城市之梦，夜色")[0].at(20)

    lines = wrap("城市之梦，夜色", font, 20 * 4.2)

    assert lines == ["城市之", "梦，夜色"]
    assert (_painted(title_overlay(Caption("城市之梦", 0, 1000), FRAME))[0] >= 230).sum() > 500


@has_cjk
def test_two_characters_that_differ_look_different():
    """What is drawn are glyphs, not one box for every character."""
    first, second = (title_overlay(Caption(text, 0, 1000), FRAME) for text in ("城", "梦"))

    assert first.luma.shape != second.luma.shape or not np.array_equal(first.luma, second.luma)


def test_words_are_broken_only_when_they_do_not_fit_a_line():
    """Spaces first, then a word that is longer than a line; line breaks of the text stay."""
    font = ImageFont.load_default(20)

    lines = wrap("one two\nincomprehensibilities", font, 90)

    assert lines[0] == "one two"
    assert "".join(lines[1:]) == "incomprehensibilities"
    assert all(font.getlength(line) <= 90 for line in lines)


def test_what_no_font_has_is_named(no_system_fonts):
    """With Pillow's own font alone, Chinese is missing and Latin is not."""
    assert missing_glyphs("Dreams") == ""
    assert missing_glyphs("Dreams 城市 城") == "城市"


def test_a_title_that_cannot_be_drawn_is_refused(no_system_fonts):
    """The reason names the characters and what would help."""
    with pytest.raises(RenderError, match=r"城市.*install a font"):
        refuse_missing([Caption("城市 dreams", 0, 1000)])


def test_invisible_characters_need_no_glyph(no_system_fonts):
    """Spaces, joiners and line breaks draw nothing anyway."""
    assert missing_glyphs("a b\nc\u200dd\u00a0e") == ""


def test_titles_on_screen_together_do_not_cover_each_other():
    """The second one moves above the first."""
    first = title_overlay(Caption("first", 0, 1000), FRAME)
    second = title_overlay(Caption("second", 0, 1000), FRAME, [first])

    assert second.top + second.size[1] <= first.top


def test_a_title_fades_in_and_out():
    """Invisible at its ends, whole in between."""
    caption = Caption("x", 1000, 3000)

    assert [strength(caption, moment) for moment in (1000, 1125, 2000, 2875, 3000)] == [0, 0.5, 1, 0.5, 0]


@pytest.mark.parametrize("frame", [(1920, 1080), (1080, 1920), (160, 90), (16, 16)])
def test_the_badge_is_modest(frame):
    """It covers a corner, never more than a few hundredths of an ordinary frame."""
    art = badge(frame)

    assert art.left + art.size[0] <= frame[0]
    assert art.top + art.size[1] <= frame[1]
    if min(frame) > 100:
        assert art.size[0] * art.size[1] < 0.015 * frame[0] * frame[1]


def test_an_overlay_blends_by_its_opacity():
    """Opaque white is 235, half of it lies between, and nothing outside its rectangle changes."""
    grey = np.full((4, 4), 255, np.uint8)
    alpha = np.zeros((4, 4), np.uint8)
    alpha[:, 2:] = 255
    art = overlay(grey, alpha, 2, 2)
    planes = tuple(np.full(shape, 16, np.uint8) for shape in ((8, 8), (4, 4), (4, 4)))

    art.blend(planes, 0.5)

    assert planes[0][3].tolist() == [16, 16, 16, 16, 126, 126, 16, 16]


def test_a_cross_fade_mixes_by_its_share():
    """A quarter of the upper and three quarters of the lower."""
    below, above = np.full((130, 3), 200, np.uint8), np.full((130, 3), 100, np.uint8)

    crossfade((below,), (above,), 0.25)

    assert (below == 175).all()

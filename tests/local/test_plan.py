"""The judgement of drafts: what is understood, what is tolerated, what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_client.local.render.errors import RenderError
from nemo_client.local.render.plan import MAX_SEGMENTS, MAX_TEXT, Motion, plan
from tests.local._render_helpers import draft, segment, sound, title


def test_a_full_draft_becomes_shots_sounds_and_captions():
    """Each known track type becomes its own kind of piece, with times in milliseconds."""
    judged = plan(
        draft(segment(length=5000, motion="push_in"), audio=[sound(5000)], text=[title("Hi", 3000)], length=5000)
    )

    assert [(shot.asset, shot.start, shot.end, shot.motion) for shot in judged.shots] == [
        ("photo", 0, 5000, Motion("push_in", 0.25))
    ]
    assert [(one.asset, one.volume, one.end) for one in judged.sounds] == [(None, 0.35, 5000)]
    assert [(one.text, one.end) for one in judged.captions] == [("Hi", 3000)]
    assert (judged.duration, judged.frames) == (5000, 150)


def test_segments_without_a_start_follow_one_another_overlapped_by_their_fade():
    """A missing `st` puts a segment behind the one before; a fading one begins before that one ends."""
    judged = plan(draft(segment(length=2000), segment(length=2000, fade=500), segment(length=1000)))

    assert [(shot.start, shot.end) for shot in judged.shots] == [(0, 2000), (1500, 3500), (3500, 4500)]


def test_a_shot_holds_until_its_successor_has_faded_in():
    """A cross-fade that was not given an overlap mixes with the held last frame, not with nothing."""
    judged = plan(draft(segment(start=0, length=1000), segment(start=1000, length=1000, fade=400)))

    assert [shot.until for shot in judged.shots] == [1400, 2000]


def test_unknown_keys_and_track_types_are_left_alone():
    """Drafts carry more than is drawn here."""
    given = draft(segment(sparkle={"deep": [1]}))
    given["t"].append({"tt": 42, "sg": "whatever"})
    given["zz"] = object()

    assert len(plan(given).shots) == 1


def test_a_draft_without_a_size_or_rate_gets_the_usual_ones():
    """The metadata of a draft may be missing."""
    given = draft(segment())
    del given["m"]

    output = plan(given).output

    assert (output.width, output.height, output.fps) == (1920, 1080, 30)


@pytest.mark.parametrize(
    ("size", "resolution", "expected"),
    [
        ((1080, 1920), None, (1080, 1920)),
        ((1080, 1920), "720p", (720, 1280)),
        ((1920, 1080), "480p", (854, 480)),
        ((2560, 1080), "1080p", (1920, 810)),
        ((7680, 4320), None, (1920, 1080)),
        ((853, 479), None, (852, 480)),
        ((100_000, 10), None, (1920, 16)),
    ],
    ids=["draft", "portrait", "landscape", "wide", "8k", "odd", "sliver"],
)
def test_the_resolution_is_the_short_side_and_sides_are_even(size, resolution, expected):
    """The long side never exceeds 1920 pixels, whatever the draft or the wish says."""
    output = plan(draft(segment(), size=size), resolution=resolution).output

    assert (output.width, output.height) == expected


def test_a_gif_stays_small_unless_asked_otherwise():
    """Full HD at 30 frames a second would be hundreds of megabytes."""
    given = draft(segment(), size=(1920, 1080))

    small, asked = plan(given, format="gif").output, plan(given, format="gif", resolution="720p", fps=25).output

    assert (small.width, small.height, small.fps) == (854, 480, 15)
    assert (asked.width, asked.height, asked.fps) == (1280, 720, 25)


@pytest.mark.parametrize(
    ("fps", "expected"),
    [(24, Fraction(24)), (29.97, Fraction(30000, 1001)), (23.976, Fraction(24000, 1001)), (12.5, Fraction(25, 2))],
)
def test_frame_rates_are_exact_fractions(fps, expected):
    """Broadcast rates mean their fraction, not their rounded decimal."""
    assert plan(draft(segment()), fps=fps).output.fps == expected


BAD = {
    "no tracks": ({}, "nothing to render"),
    "no segments": (draft(), "nothing to render"),
    "tracks are text": ({"t": "abc"}, "not a list"),
    "a track is a number": ({"t": [7]}, "not an object"),
    "a segment is null text": ({"t": [{"tt": 0, "sg": ["x"]}]}, "not an object"),
    "no asset": (draft(segment(asset=None)), "no picture"),
    "an asset that is a list": (draft(segment(asset=["a"])), "no picture"),
    "a negative start": (draft(segment(start=-5)), "start is -5"),
    "a start that is text": (draft(segment(start="0")), "not a number"),
    "a start that is true": (draft(segment(start=True)), "not a number"),
    "not a number": (draft(segment(length=float("nan"))), "not a number"),
    "infinite": (draft(segment(length=float("inf"))), "duration is inf"),
    "astronomical": (draft(segment(length=10**400)), "duration is 1000"),
    "eleven minutes": (draft(segment(length=660_000)), "duration is 660000"),
    "eleven minutes in parts": (draft(*[segment(length=66_000)] * 10), "longer than 10 minutes"),
    "a long draft": (draft(segment(), length=660_000), "draft's duration"),
    "many segments": (draft(*[segment(length=1)] * (MAX_SEGMENTS + 1)), "201 segments"),
    "many tracks": ({"t": [{"tt": 42}] * 65}, "65 tracks"),
    "a long title": (draft(segment(), text=[title("x" * (MAX_TEXT + 1))]), "201 characters"),
    "an unknown motion": (draft(segment(motion="barrel_roll")), "barrel_roll"),
    "a motion that is a list": (draft(segment(motion=["push_in"])), "knows no camera motion"),
    "an absurd zoom": (draft(segment(motion="push_in", amount=1000)), "amount is 1000"),
    "an unknown transition": (draft(segment(transition={"type": "explode"})), "explode"),
    "a loud volume": (draft(segment(), audio=[sound(volume=99)]), "volume is 99"),
    "an audio asset that is a path object": (draft(segment(), audio=[sound(asset=5)]), "id"),
    "a rate of zero": (draft(segment(), fps=0), "frame rate is 0"),
    "a rate of a thousand": (draft(segment(), fps=1000), "frame rate is 1000"),
    "no width": (draft(segment(), size=(0, 100)), "width is 0"),
}


@pytest.mark.parametrize(("given", "words"), BAD.values(), ids=BAD)
def test_a_bad_draft_is_refused_with_words(given, words):
    """Whatever is wrong ends in a RenderError whose reason names it."""
    with pytest.raises(RenderError, match=words) as caught:
        plan(given)

    assert caught.value.reason == str(caught.value)


@pytest.mark.parametrize(
    ("wish", "words"),
    [({"format": "exe"}, "exe"), ({"quality": "best"}, "best"), ({"resolution": "4k"}, "4k"), ({"fps": 240}, "240")],
    ids=["format", "quality", "resolution", "fps"],
)
def test_an_unknown_wish_is_refused_with_what_is_known(wish, words):
    """Formats, qualities, resolutions and rates outside of what can be made are named."""
    with pytest.raises(RenderError, match=words):
        plan(draft(segment()), **wish)


_keys = st.sampled_from(["t", "tt", "sg", "st", "d", "m", "asset", "motion", "type", "transition", "fps"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a", "push_in"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=5),
    max_leaves=25,
)


@settings(deadline=None, max_examples=25)
@given(st.dictionaries(st.sampled_from(["t", "d", "m", "x"]), _json, max_size=4))
def test_no_json_does_anything_but_plan_or_refuse(given):
    """Any JSON at all either plans or raises RenderError."""
    try:
        judged = plan(given)
    except RenderError:
        return

    assert 0 < judged.duration <= 600_000

"""Drafts: ready or not, the same or not, and what people are told of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_client._wire.draft import (
    MAX_TITLE,
    canonicalize,
    describe_changes,
    digest_draft,
    digest_segments,
    is_ready,
    is_same,
    list_media_ids,
    measure_duration_ms,
    read_size,
    summarize_timeline,
)


def segment(title: str = "", ms: float | None = 5000, **more: Any) -> dict[str, Any]:
    meta = {"title": title, **more.pop("m", {})} if title else more.pop("m", {})
    return {**({} if ms is None else {"d": ms}), **({"m": meta} if meta else {}), **more}


def track(kind: Any, *segments: Any) -> dict[str, Any]:
    return {"tt": kind, "sg": list(segments)}


def example() -> dict[str, Any]:
    """The draft of the summary that the backend's description gives."""
    return {
        "t": [
            track(0, segment("city timelapse", 10000)),
            track(1, segment("Lo-fi", 10000, m={"volume": 0.35})),
            track(7, segment("Urban Dreams", 3000)),
        ],
        "d": 10000,
        "m": {"width": 1080, "height": 1920},
    }


def deep(depth: int) -> dict[str, Any]:
    value: Any = {}
    for _ in range(depth):
        value = {"t": [value]}
    return dict(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
DRAFT_KEYS = ["t", "tt", "sg", "d", "m", "st", "id", "title", "volume", "width", "height", "generated_media", "url"]
drafts = st.dictionaries(
    st.sampled_from(DRAFT_KEYS),
    st.recursive(
        json_values | st.sampled_from([0, 1, 7, 2500, 10**400, 1e300, "🎬", "\ud83d"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(DRAFT_KEYS), inner, max_size=5),
        max_leaves=10,
    ),
    max_size=4,
)

# --- Facts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draft", "ready"),
    [
        (example(), True),
        ({"t": [track(0), track(99, {})]}, True),
        ({"t": [track(0)]}, False),
        ({"t": []}, False),
        ({}, False),
        (None, False),
        ({"t": 5}, False),
        ({"t": [5, None, {"sg": "abc"}, {"sg": {"a": 1}}]}, False),
    ],
)
def test_a_draft_is_ready_when_some_track_has_a_segment(draft: Any, ready: bool) -> None:
    """Whatever the type of the track; a text in place of the list is no segment."""
    assert is_ready(draft) is ready


def test_the_duration_is_the_drafts_own_or_the_end_of_the_last_segment() -> None:
    """In milliseconds; a track of several segments is as long as they are, one that starts later ends later."""
    assert measure_duration_ms(example()) == 10000
    assert (
        measure_duration_ms({"t": [track(0, segment(ms=2000), segment(ms=3000)), track(7, segment(ms=500, st=6000))]})
        == 6500
    )
    assert measure_duration_ms({"d": True, "t": [track(0, segment(ms=None))]}) == 0
    assert (
        measure_duration_ms({"d": float("nan")})
        == measure_duration_ms({"d": 10**400})
        == measure_duration_ms(None)
        == 0
    )


def test_the_size_is_what_the_draft_says() -> None:
    """Width and height, or nothing."""
    assert read_size(example()) == (1080, 1920)
    assert read_size({"m": {"width": 1080.0, "height": 1920.0}}) == (1080, 1920)
    assert (
        read_size({"m": {"width": 1080}}) is read_size({"m": {"width": "1080", "height": 0}}) is read_size({}) is None
    )


# --- Identity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"d": 5}, {"d": 5.0}),
        ({"d": 0.0}, {"d": -0.0}),
        ({"u": "https://cdn.example/a.mp4?sig=1"}, {"u": "https://cdn.example/a.mp4?sig=2"}),
        ({"u": "https://cdn.example/a.mp4?sig=1"}, {"u": "https://cdn.example/a.mp4"}),
        (None, {}),
        ({"a": [1]}, {"a": (1,)}),
    ],
)
def test_alike_drafts_have_one_digest(a: Any, b: Any) -> None:
    """Order of keys, form of numbers and a link signed again are no change."""
    assert digest_draft(a) == digest_draft(b)
    assert is_same(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"d": 5}, {"d": 6}),
        ({"d": 5}, {"d": "5"}),
        ({"d": 1}, {"d": True}),
        ({"d": None}, {}),
        ({"u": "https://cdn.example/a.mp4?x"}, {"u": "https://cdn.example/b.mp4?x"}),
        ({"u": "https://cdn.example/a.mp4?x#t=1"}, {"u": "https://cdn.example/a.mp4?x#t=2"}),
        ({"title": "Really? Yes"}, {"title": "Really? No"}),
        ({"title": "see https://a.example/?a b"}, {"title": "see https://a.example/?c d"}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": "1,2"}, {"a": [1, 2]}),
    ],
)
def test_unlike_drafts_have_two_digests(a: Any, b: Any) -> None:
    """Questions in titles are no queries; a fragment says which part is meant."""
    assert digest_draft(a) != digest_draft(b)
    assert not is_same(a, b)


def test_the_segments_digest_sees_the_timeline_only() -> None:
    """Late analyses and settings around the tracks do not count, a segment does."""
    draft, around, inside = example(), example(), example()
    around.update(d=1, analysis={"score": 1})
    inside["t"][0]["sg"][0]["d"] = 9000

    assert digest_segments(draft) == digest_segments(around)
    assert digest_draft(draft) != digest_draft(around)
    assert not is_same(draft, around)
    assert digest_segments(draft) != digest_segments(inside)
    assert digest_segments(None) == digest_segments({})


def test_the_canonical_form_is_json() -> None:
    """Sorted, ASCII, without spaces; large numbers as integers."""
    draft = {"b": [1.0, 1e20, 0.5, None, True], "a": {"ü": "🎬"}}

    assert canonicalize(draft) == '{"a":{"\\u00fc":"\\ud83c\\udfac"},"b":[1,100000000000000000000,0.5,null,true]}'
    assert json.loads(canonicalize(draft)) == draft


def test_no_depth_and_no_number_is_too_much() -> None:
    """JSON may be nested far more deeply than Python recurses, and hold integers that it refuses to write."""
    assert digest_draft(deep(20_000)) != digest_draft(deep(20_001))
    assert is_same(deep(20_000), deep(20_000))
    assert not is_same(deep(20_000), deep(20_001))
    assert digest_draft({"d": 10**6000}) != digest_draft({"d": 10**6000 + 1})
    assert describe_changes(deep(20_000), deep(20_001)) != ""


@given(drafts)
@settings(max_examples=50, deadline=None)
def test_the_canonical_form_survives_json(draft: dict[str, Any]) -> None:
    """What was written to a file and read again is the same draft; so is the canonical form itself."""
    again = json.loads(json.dumps(draft, allow_nan=True))

    assert canonicalize(again) == canonicalize(draft)


# --- Media --------------------------------------------------------------------------------------------------------


def test_media_are_named_by_id_hash_or_address() -> None:
    """In this order; the address without query and fragment; what has no name is no evidence."""
    state = {
        "generated_media": [
            {"id": "m1", "hash": "h1", "url": "https://cdn.example/1"},
            {"hash": "h2", "url": "https://cdn.example/2"},
            {"type": "video", "url": "https://cdn.example/3?sig=a#t"},
            {"id": 7},
            {"poster": "https://cdn.example/4?sig=a"},
            "https://cdn.example/5?sig=a",
            {"status": "running"},
            {"id": True, "hash": ""},
            None,
        ]
    }

    expected = {"m1", "h2", "7", *(f"https://cdn.example/{n}" for n in (3, 4, 5))}
    assert list_media_ids(state) == expected


@pytest.mark.parametrize("media", [None, 5, "x", {}, {"a": {"id": "m1"}}])
def test_media_of_any_shape_are_tolerated(media: Any) -> None:
    """A mapping is read by its values; anything else is empty."""
    assert list_media_ids({"generated_media": media}) == ({"m1"} if isinstance(media, dict) and media else frozenset())
    assert list_media_ids(None) == frozenset()


# --- Summary ------------------------------------------------------------------------------------------------------


def test_the_summary_has_the_given_format() -> None:
    """Word for word as the description has it."""
    assert summarize_timeline(example()) == (
        "Timeline (3 tracks): 1. Video: city timelapse (0-10s) 2. BGM: Lo-fi (0-10s, 35%) "
        '3. Title: "Urban Dreams" (0-3s)'
    )


def test_the_summary_in_chinese() -> None:
    """The same facts in the other language."""
    assert summarize_timeline(example(), "zh-CN") == (
        "时间线（3 条轨道）：1. 视频：city timelapse（0-10秒） 2. 背景音乐：Lo-fi（0-10秒，35%） "
        "3. 标题：“Urban Dreams”（0-3秒）"
    )


@pytest.mark.parametrize(
    ("tracks", "summary"),
    [
        ([], "Timeline (0 tracks)"),
        ([track(0)], "Timeline (1 track): 1. Video: empty"),
        ([track(0, segment("a", 2500))], "Timeline (1 track): 1. Video: a (0-2.5s)"),
        ([track(0, segment("a", 3333))], "Timeline (1 track): 1. Video: a (0-3.33s)"),
        ([track(0, segment("a"), segment("b"))], "Timeline (1 track): 1. Video: a (0-5s), b (5-10s)"),
        ([track(0, segment("a", st=1000), segment("b"))], "Timeline (1 track): 1. Video: a (1-6s), b (6-11s)"),
        ([track(0, segment("a", st="1000"))], "Timeline (1 track): 1. Video: a (0-5s)"),
        ([track(0, segment())], "Timeline (1 track): 1. Video (0-5s)"),
        ([track(42, segment("x"))], "Timeline (1 track): 1. Track: x (0-5s)"),
        ([track("0", segment("x"))], "Timeline (1 track): 1. Track: x (0-5s)"),
        ([track(0, segment("a", None))], "Timeline (1 track): 1. Video: a"),
        ([track(0, None)], "Timeline (1 track): 1. Video: ?"),
        ([track(1, segment("a", m={"volume": 1}))], "Timeline (1 track): 1. BGM: a (0-5s, 100%)"),
        ([track(1, segment("a", m={"volume": "loud"}))], "Timeline (1 track): 1. BGM: a (0-5s)"),
        ([track(7, segment(m={"text": "Hi"}))], 'Timeline (1 track): 1. Title: "Hi" (0-5s)'),
        (
            [track(0, *[segment(str(n), 1000) for n in range(8)])],
            "Timeline (1 track): 1. Video: 0 (0-1s), 1 (1-2s), 2 (2-3s), 3 (3-4s), 4 (4-5s), 5 (5-6s), 2 more",
        ),
    ],
)
def test_the_summary_of_other_timelines(tracks: list[Any], summary: str) -> None:
    """Several segments, no titles, wrong types, unknown tracks, more than fits."""
    assert summarize_timeline({"t": tracks}) == summary


def test_titles_are_cut_and_cleaned() -> None:
    """One line, no control or direction characters, a bounded length; emoji stay whole."""
    shown = summarize_timeline({"t": [track(7, segment("a\u202eb\x1b[31m\n\n c\u200b\ud83d 👩\u200d🚀" + "x" * 500))]})

    assert shown.startswith('Timeline (1 track): 1. Title: "ab[31m c 👩\u200d🚀xxx')
    assert shown.endswith('…" (0-5s)')
    assert len(shown) < MAX_TITLE + 50


def test_a_summary_of_thousands_of_tracks_is_short() -> None:
    """It is shown in a node and in a shell."""
    many = {"t": [track(0, *[segment("x" * 1000) for _ in range(50)]) for _ in range(2000)]}

    summary = summarize_timeline(many)
    assert summary.startswith("Timeline (2000 tracks): 1. Video: ")
    assert len(summary) < 20_000


# --- Changes ------------------------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], object]

CHANGES: list[tuple[str, Change, str, str]] = [
    ("nothing", lambda d: None, "", ""),
    (
        "title removed",
        lambda d: d["t"].pop(),
        'Removed Title "Urban Dreams" (0-3s).',
        "移除了标题“Urban Dreams”（0-3秒）。",
    ),
    (
        "segment added",
        lambda d: d["t"][2]["sg"].append(segment("The End", 2000)),
        'Added Title "The End" (3-5s).',
        "添加了标题“The End”（3-5秒）。",
    ),
    (
        "title reworded",
        lambda d: d["t"][2]["sg"][0]["m"].update(title="Night"),
        'Title: "Urban Dreams" is now "Night".',
        "标题：“Urban Dreams”改为“Night”。",
    ),
    (
        "volume",
        lambda d: d["t"][1]["sg"][0]["m"].update(volume=0.2),
        'BGM "Lo-fi": volume 20% (was 35%).',
        "背景音乐“Lo-fi”：音量20%（原为35%）。",
    ),
    (
        "longer",
        lambda d: (d["t"][0]["sg"][0].update(d=15000), d.update(d=15000)),
        'Video "city timelapse" is longer: 15s (was 10s). The video is 15s long (was 10s).',
        "视频“city timelapse”变长：15秒（原为10秒）。视频时长15秒（原为10秒）。",
    ),
    (
        "shorter",
        lambda d: d["t"][2]["sg"][0].update(d=1500),
        'Title "Urban Dreams" is shorter: 1.5s (was 3s).',
        "标题“Urban Dreams”变短：1.5秒（原为3秒）。",
    ),
    (
        "moved",
        lambda d: d["t"][2]["sg"][0].update(st=2000),
        'Title "Urban Dreams" starts at 2s (was 0s).',
        "标题“Urban Dreams”从2秒开始（原为0秒）。",
    ),
    (
        "size",
        lambda d: d["m"].update(width=1920, height=1080),
        "The picture is 1920x1080 (was 1080x1920).",
        "画面为 1920x1080（原为 1080x1920）。",
    ),
    (
        "setting of a segment",
        lambda d: d["t"][0]["sg"][0].update(effect="blur"),
        'Video "city timelapse": other settings changed.',
        "视频“city timelapse”：其他设置有变化。",
    ),
    ("setting of the draft", lambda d: d.update(x=1), "Other settings changed.", "其他设置有变化。"),
    (
        "track added",
        lambda d: d["t"].append(track(1, segment("Rain", 4000))),
        'Added BGM "Rain" (0-4s).',
        "添加了背景音乐“Rain”（0-4秒）。",
    ),
    ("empty track", lambda d: d["t"].append(track(5)), "Added an empty track: Track.", "添加了一条空轨道：轨道。"),
]


@pytest.mark.parametrize(("change", "english", "chinese"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_a_change_is_told_in_plain_words(change: Change, english: str, chinese: str) -> None:
    """One sentence a change, in the language asked for."""
    after = example()
    change(after)

    assert describe_changes(example(), after) == english
    assert describe_changes(example(), after, "zh-CN") == chinese


def test_a_first_draft_is_all_new() -> None:
    """After a generation that answered nothing."""
    assert describe_changes(None, example()) == (
        'Added Video "city timelapse" (0-10s). Added BGM "Lo-fi" (0-10s). Added Title "Urban Dreams" (0-3s). '
        "The picture is 1080x1920."
    )


def test_segments_are_known_by_id_even_when_all_else_changed() -> None:
    """A renamed and longer segment is one segment, not one removed and one added."""
    before = {"t": [track(0, segment("a", id="1"), segment("b", id="2"))]}
    after = {"t": [track(0, segment("b", id="2"), segment("c", 6000, id="1"))]}

    assert describe_changes(before, after) == (
        'Video: "a" is now "c". Video "c" is longer: 6s (was 5s). Video: the order changed. '
        "The video is 11s long (was 10s)."
    )


def test_what_follows_a_longer_segment_is_not_told_as_moved() -> None:
    """Starts that shift by another segment's growth go without saying."""
    before = {"t": [track(0, segment("a", st=0), segment("b", st=5000))], "d": 9}
    after = {"t": [track(0, segment("a", 7000, st=0), segment("b", st=7000))], "d": 9}

    assert describe_changes(before, after) == 'Video "a" is longer: 7s (was 5s).'


def test_a_link_signed_anew_is_no_change() -> None:
    """Between two reads of the state nothing happened."""
    before = {"t": [track(0, segment("a", u="https://cdn.example/a?sig=1"))]}
    after = {"t": [track(0, segment("a", u="https://cdn.example/a?sig=2"))]}

    assert describe_changes(before, after) == ""


def test_many_changes_are_counted_instead_of_listed() -> None:
    """A reply is for reading."""
    told = describe_changes({}, {"t": [track(7, *[segment(f"t{n}") for n in range(20)])]})

    assert told.count("Added") == 7
    assert told.endswith("13 more changes.")


@given(drafts, drafts, st.sampled_from(["en", "zh", ""]))
@settings(max_examples=60, deadline=None)
def test_no_draft_raises_and_none_is_changed(before: dict[str, Any], after: dict[str, Any], lang: str) -> None:
    """Wild JSON in every function; the words are empty exactly when the canonical drafts are equal."""
    kept = copy.deepcopy((before, after))

    told = describe_changes(before, after, lang)
    assert (told == "") == (canonicalize(before) == canonicalize(after))
    assert summarize_timeline(after, lang).encode()
    assert told.encode() is not None
    assert isinstance(is_ready(after), bool)
    assert measure_duration_ms(after) >= 0
    assert read_size(after) is None or min(read_size(after) or (0,)) > 0
    assert all(isinstance(name, str) for name in list_media_ids(after))
    assert digest_segments(after) == digest_segments(copy.deepcopy(after))
    assert repr((before, after)) == repr(kept)

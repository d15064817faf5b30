"""Any JSON as a draft: summaries, readiness and changes never raise, and agree with each other."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from nemo_client._journal.records import dump_facts, load_facts
from nemo_client._wire.draft import (
    MAX_TITLE,
    canonicalize,
    describe_changes,
    digest_draft,
    digest_segments,
    format_track_count,
    is_ready,
    is_same,
    list_bars,
    list_media_ids,
    measure_duration_ms,
    read_size,
    summarize_timeline,
)
from tests.support.fuzz import examples, json_of, odd_numbers, odd_texts, scalars

KEYS = st.sampled_from(
    [
        "t", "tt", "sg", "d", "m", "st", "id", "title", "name", "text", "content", "volume", "width", "height",
        "url", "hash", "cdn_url", "generated_media", "draft", "motion", "transition", "asset", "kind", "fps",
        "\ud83d", "",
    ]
)  # fmt: skip
places = st.integers(-10, 20_000) | odd_numbers | scalars
segment = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "b", 1, None]),
        "st": places,
        "d": places,
        "m": st.fixed_dictionaries({}, optional={"title": odd_texts, "volume": odd_numbers, "x": json_of(KEYS, 3)}),
        "extra": json_of(KEYS, 4),
    },
)
track = st.fixed_dictionaries(
    {"tt": st.sampled_from([0, 1, 7, 0.0, "0", 99, None, True, [0]])},
    optional={"sg": st.lists(segment | scalars, max_size=8) | scalars, "id": scalars},
)
drafts = st.fixed_dictionaries(
    {"t": st.lists(track | scalars, max_size=6) | scalars}, optional={"d": places, "m": json_of(KEYS, 6)}
) | st.dictionaries(KEYS, json_of(KEYS), max_size=5)
LANGUAGES = st.sampled_from(["en", "zh-CN", "auto", "", "ja"])


@given(drafts, LANGUAGES)
@examples(30)
@example({"t": [{"tt": 10**400, "sg": [{"d": float("nan")}]}], "d": float("inf")}, "en")
def test_any_draft_has_a_summary(draft: Any, lang: str) -> None:
    """Bounded, on one line, and the draft stays as it was."""
    before = copy.deepcopy(draft)

    words = summarize_timeline(draft, lang)

    assert "\n" not in words
    assert len(words) < 40_000
    words.encode("utf-8")
    assert measure_duration_ms(draft) >= 0
    assert read_size(draft) is None or min(read_size(draft) or ()) >= 1
    assert is_ready(draft) in (True, False)
    assert format_track_count(draft, lang)
    for drawn in list_bars(draft):
        assert drawn.name(lang)
        assert all(bar.end >= bar.start and len(bar.title) <= MAX_TITLE for bar in drawn.bars)
    assert repr(draft) == repr(before)


@given(drafts, drafts, LANGUAGES)
@examples(25)
def test_what_changed_is_empty_exactly_when_nothing_did(before: Any, after: Any, lang: str) -> None:
    """By the canonical form, which the digest stands for."""
    for one, other in ((before, after), (before, copy.deepcopy(before))):
        words = describe_changes(one, other, lang)

        assert (words == "") == is_same(one, other) == (digest_draft(one) == digest_draft(other))
        assert is_same(one, other) == (canonicalize(one) == canonicalize(other))
        assert len(words) < 4000
        if digest_segments(one) != digest_segments(other):
            assert digest_draft(one) != digest_draft(other)


@given(drafts)
@examples(25)
@example({"d": float("nan"), "title": "half \ud83d"})
def test_a_draft_survives_the_journal(draft: Any) -> None:
    """What came out of a paid message is never lost because a database or JSON dislikes a value in it."""
    text = dump_facts({"draft": draft, "baseline": {"draft": draft}})

    text.encode("utf-8")
    again = load_facts(text)["draft"]
    assert canonicalize(again) == canonicalize(draft)


@given(json_of(KEYS))
@examples(25)
def test_media_are_named_whatever_stands_there(state: Any) -> None:
    """Names are texts, and the same entries give the same names."""
    found = list_media_ids(state if isinstance(state, dict) else {"generated_media": state})

    assert all(isinstance(name, str) and name for name in found)
    assert canonicalize(state) == canonicalize(json.loads(json.dumps(state)))

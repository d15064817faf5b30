"""Any JSON as a draft for the renderer, and any words for the director: a plan within bounds, or a refusal in words."""

from __future__ import annotations

import unicodedata
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from nemo_client.local.agent import director
from nemo_client.local.render import plan
from nemo_client.local.render.errors import RenderError
from nemo_client.local.render.formats import FORMATS
from tests.support.fuzz import examples, json_of, odd_numbers, odd_texts, scalars

KEYS = st.sampled_from(
    ["title", "asset", "kind", "motion", "transition", "volume", "text", "position", "type", "amount", "d", "x"]
)
number = st.integers(0, 20_000) | odd_numbers | scalars
meta = st.fixed_dictionaries(
    {},
    optional={
        "asset": st.sampled_from(["a1", "", None, 7, "../../etc/passwd", ["a"]]),
        "title": odd_texts,
        "text": odd_texts,
        "kind": scalars,
        "motion": st.fixed_dictionaries(
            {}, optional={"type": st.sampled_from(plan.MOTIONS) | scalars, "amount": number}
        ),
        "transition": st.fixed_dictionaries(
            {}, optional={"type": st.sampled_from(["cut", "cross_fade"]) | scalars, "d": number}
        ),
        "volume": number,
        "position": st.sampled_from(plan.POSITIONS) | scalars,
        "extra": json_of(KEYS, 4),
    },
)
segment = st.fixed_dictionaries({}, optional={"st": number, "d": number, "m": meta | scalars, "path": odd_texts})
track = st.fixed_dictionaries(
    {"tt": st.sampled_from([0, 1, 7, 0.0, 7.0, True, "0", 99, None, [0]])},
    optional={"sg": st.lists(segment | scalars, max_size=6) | scalars},
)
drafts = st.fixed_dictionaries(
    {"t": st.lists(track, max_size=5) | scalars},
    optional={
        "d": number,
        "m": st.fixed_dictionaries({}, optional={"width": number, "height": number, "fps": number, "title": odd_texts})
        | scalars,
    },
)
choices = {
    "format": st.sampled_from(FORMATS) | odd_texts,
    "quality": st.sampled_from(plan.QUALITIES) | odd_texts,
    "resolution": st.none() | st.sampled_from([*plan.RESOLUTIONS, "auto", ""]) | odd_texts,
    "fps": st.none() | st.sampled_from([24, 29.97, 60]) | odd_numbers,
}


def check(made: plan.Plan) -> None:
    output = made.output
    assert output.width % 2 == output.height % 2 == 0
    assert min(output.width, output.height) >= plan.MIN_SIDE
    assert max(output.width, output.height) <= plan.MAX_LONG_SIDE
    assert 1 <= output.fps <= plan.MAX_FPS
    assert 0 < made.duration <= plan.MAX_DURATION_MS
    assert 1 <= made.frames <= plan.MAX_DURATION_MS / 1000 * plan.MAX_FPS
    assert len(made.shots) + len(made.sounds) + len(made.captions) <= plan.MAX_SEGMENTS
    for shot in made.shots:
        assert isinstance(shot.asset, str)
        assert shot.asset
        assert 0 <= shot.start < shot.end <= shot.until
        assert 0 <= shot.fade <= shot.end - shot.start
        assert 0 <= shot.motion.amount <= plan.MAX_AMOUNT
    for caption in made.captions:
        assert 0 < len(caption.text) <= plan.MAX_TEXT
        assert not any(c != "\n" and unicodedata.category(c)[0] == "C" for c in caption.text)
        assert caption.position in plan.POSITIONS


@given(drafts, st.fixed_dictionaries({}, optional=choices))
@examples(40)
@example({"t": [{"tt": 0.0, "sg": [{"m": {"asset": "a"}}]}]}, {})  # a track type that equals a known one
@example({"t": [{"tt": 0, "sg": [{"d": 10**5000, "m": {"asset": "a"}}]}]}, {})  # a number too long to write
def test_any_draft_is_a_bounded_plan_or_a_refusal(draft: Any, wishes: dict[str, Any]) -> None:
    """Nothing behind the plan sees the draft: names of assets, text, numbers within bounds, and nothing else."""
    try:
        made: plan.Plan | None = plan.plan(draft, **wishes)
    except RenderError as error:
        made = None
        words = error.reason
    if made is None:
        assert len(words) < 500
    else:
        check(made)


WORDS = st.sampled_from(
    [
        "5", "10 seconds", "秒", "0.001", "99999", "1e9", "pan left", "向左", "push in", "zoom out",
        "title", "标题", '"Hi"', "“你好”", "no music", "不要音乐", "volume", "50%", "-5%", "500%",
        "louder", "remove", "删除", "clip 2", "第二张", "last", "最后", "every", "16:9", "9:16", "竖屏",
        "fade", "cut", "转场", "faster", "慢", "twice", "again", "generate", "重新生成", "add", "添加",
        "all", ".", "each", "in turn", "then", ",", "。", "\n", '"' + "x" * 300 + '"', "\ud83d",
        "\0", "../../x", "{}", "%s", "🎬", "hello", "?",
    ]
)  # fmt: skip
messages = st.lists(WORDS | st.text(max_size=3), max_size=9).map(" ".join)


def asset(name: str, kind: str, **rest: Any) -> Any:
    known = {"id": name, "kind": kind, "filename": f"{name}.bin", "width": 640, "height": 480, "duration": None}
    return {**known, "fps": None, "rotation": 0, **rest}


ASSETS = [
    asset("a1", "image"),
    asset("a2", "image", width=1, height=20_000),
    asset("v1", "video", duration=0.04, fps=30.0),
    asset("v2", "video", duration=10_000.0, width=None, height=None),
    asset("s1", "audio", width=None, height=None, duration=3.0),
]


@given(
    st.lists(st.tuples(messages, st.integers(0, 5)), min_size=1, max_size=4),
    st.lists(st.sampled_from(ASSETS), max_size=5, unique_by=id),
)
@examples(30)
@example([("10 seconds", 2)], [ASSETS[0], ASSETS[3]])  # beside a long clip the photo was shorter than its fade
@example([("0.5 seconds", 1), ("add the new photo", 2)], ASSETS[:2])  # so was the clip that the new one fades into
def test_whatever_is_said_makes_a_draft_that_can_be_rendered(said: list[tuple[str, int]], assets: list[Any]) -> None:
    """Message upon message, each on the draft that the one before left; the director's drafts are never refused."""
    draft: Any = {}
    there = 0
    for message, count in said:
        there = max(there, count)  # more may be uploaded meanwhile
        scene = director.Scene(assets[:there], draft, "en", "project", lambda text: "")
        made = director.plan(message, scene)
        assert made.reply
        made.reply.encode("utf-8", "replace")
        for stage in made.stages:
            draft = stage.draft
            check(plan.plan(draft))
            known = {each["id"] for each in assets}
            assert {shot.asset for shot in plan.plan(draft).shots} <= known

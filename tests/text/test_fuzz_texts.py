"""Any words: routed, translated and composed without an exception, and never into something that charges unasked."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nemo_client import InputError
from nemo_client._journal.steps import make_step_key, normalize_text
from nemo_client._studio.types import GenerationRequest
from nemo_client._text.gui_translator import route, translate
from nemo_client._text.prompts import compose_prompt, detect_language
from nemo_client._wire.client import MAX_MESSAGE_CHARACTERS, encode_message
from tests.support.fuzz import examples, odd_texts

PIECES = st.sampled_from(
    [
        "export", "please", "导出", "视频", "credits", "积分", "余额", "status", "状态", "upload", "上传",
        "the", "my", "video", "you can", "click", "点击", "the Export button", "“生成”按钮", "drag",
        "拖拽", "the clip", "to the timeline", "open", "打开", "account", " ", "\n", "\n- ", "1. ",
        ". ", "。", "，", ", ", "; ", "!", "?", "…", "and", "then", "if", "如果", "Next:", "\t",
        "\r\n", '"', "“", "”", "'", "「", "」", "(", ")", "**", "`", "https://a.test/x?y=1",
        "a.mp4", "C:\\a b.mp4", "/home/x.png", "preview in the timeline", "check your account",
        "查看账单", "dragon", "a door opens", "I", "我", "🎬", "\ud83d", "\0",
    ]
)  # fmt: skip
texts = st.lists(PIECES | st.text(max_size=4), max_size=14).map(lambda parts: "".join(f"{part}" for part in parts))
spaced = st.lists(PIECES, max_size=14).map(" ".join)
any_text = texts | spaced | odd_texts | st.text(max_size=60)
URL = re.compile(r"https?://[^\s，。；！？、\"'<>()\[\]]+")


@given(any_text)
@examples(40)
def test_any_message_has_one_who_answers_it(message: str) -> None:
    """Deterministic, whatever surrounds it."""
    intent = route(message)

    assert intent in ("export", "credits", "state", "upload", "agent")
    assert route(f"  {message}\n") == route(f"{message}") == intent


@given(any_text, st.sampled_from(["en", "zh-CN", "auto", ""]))
@examples(40)
def test_any_answer_is_translated_once(reply: str, lang: str) -> None:
    """Again changes nothing; links stay; what would cost is only proposed."""
    done = translate(reply, lang)

    assert translate(done.text, lang).text == done.text
    assert set(done.actions) <= {"export", "state", "timeline", "credits"}
    assert len(done.actions) == len(set(done.actions))
    assert all(0 < len(each) <= 220 for each in done.proposals)
    assert bool(done.text) or not reply.strip()
    for link in URL.findall(reply):
        if link == "https://a.test/x?y=1":
            assert link in done.text


@given(any_text, st.sampled_from([0, 1, 5, 7.5, 600]), st.sampled_from(["auto", "16:9"]), st.integers(0, 2**31 - 1))
@examples(40)
@example("half \ud83d", 5, "16:9", 0)
def test_any_prompt_is_a_message_and_a_key(prompt: str, duration: float, ratio: str, seed: int) -> None:
    """Lone surrogates, NUL and control characters included; a blank one is refused before anything is sent."""
    try:
        wish = GenerationRequest(prompt, ratio, duration, seed)
    except InputError:
        assert not prompt.strip()
        return

    assert detect_language(wish.prompt)
    text = compose_prompt(normalize_text(wish.prompt), duration=duration, aspect_ratio=ratio)
    payload = encode_message("s", text)
    payload.decode("utf-8")
    assert make_step_key("nemo https://x", "", "generate", {"prompt": prompt, "seed": seed}).startswith("generate-")


@given(st.integers(1, 3))
@examples(3, 3)
def test_a_prompt_of_a_megabyte_is_refused_with_its_length(times: int) -> None:
    """Before anything is planned; and what is long is looked at in linear time."""
    prompt = "slow push-in, click the button. 点击导出。 " * (30_000 * times)

    assert route(prompt) == "agent"
    assert detect_language(prompt)
    with pytest.raises(InputError, match=f"at most {MAX_MESSAGE_CHARACTERS}"):
        encode_message("s", compose_prompt(prompt))

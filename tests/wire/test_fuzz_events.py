"""Any bytes as an event stream: the same events however they are cut, nothing raised, nothing kept without bound."""

from __future__ import annotations

import importlib.util
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nemo_client._wire.sse import EventTooLarge, SseDecoder, Text, Unknown, parse_event
from nemo_client._wire.turn import MAX_CALLS, MAX_NAME_CHARACTERS, MAX_REPLY_CHARACTERS, Turn
from tests.support import fuzz_decoder
from tests.support.fuzz import damaged, examples, json_of

KEYS = st.sampled_from(
    [
        "type", "content", "parts", "text", "thought", "partial", "role", "turnComplete", "functionCall", "name",
        "id", "functionResponse", "response", "args", "result", "status", "longRunningToolIds", "actions",
        "stateDelta", "error", "error_details", "errorCode", "errorMessage", "code", "message", "author",
        "invocationId", "draft",
    ]
)  # fmt: skip
TYPES = st.sampled_from(["text", "tool_call", "tool_result", "heartbeat", "ping", "error", "done", ""])
LINES = st.sampled_from(
    [
        b"data:", b"data: ", b"data", b"\n", b"\r\n", b"\r", b": ping\n", b":\n\n", b"id: 1\n", b"event: x\n",
        b"retry: 5\n", b"\xef\xbb\xbf", b"\xff", b"\0", b"data: {\n", b"data: }\n\n", b"data: [DONE]\n\n", b"\n\n\n",
        b"dat", b"a: 1",
    ]
)  # fmt: skip
part = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=9),
        "thought": st.booleans(),
        "functionCall": st.fixed_dictionaries({"name": TYPES}, optional={"id": st.sampled_from(["a", "b"])}),
        "functionResponse": st.fixed_dictionaries(
            {"name": TYPES, "response": json_of(KEYS, 4)}, optional={"id": st.sampled_from(["a", "b"])}
        ),
    },
)
agent_event = st.fixed_dictionaries(
    {"content": st.fixed_dictionaries({"parts": st.lists(part, max_size=4)})},
    optional={"partial": st.booleans(), "turnComplete": st.booleans(), "longRunningToolIds": st.just(["a"])},
)
typed_event = st.fixed_dictionaries(
    {"type": TYPES}, optional={"content": st.text(max_size=9), "name": TYPES, "args": json_of(KEYS, 4), "result": part}
)
events = agent_event | typed_event | st.dictionaries(KEYS, json_of(KEYS, 8), max_size=5) | json_of(KEYS, 10)


def framed(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=True).encode("utf-8", "surrogatepass")
    return b"data: " + text + b"\n\n"


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Events of both dialects, keep-alives and strange lines, in any order, some of them damaged."""
    pieces = draw(st.lists(events.map(framed) | LINES | st.binary(max_size=12), max_size=8))
    return draw(damaged(b"".join(pieces)))


def decoded(pieces: list[bytes], limit: int) -> tuple[list[str], bool]:
    """All payloads, and whether an event was too large."""
    decoder, payloads = SseDecoder(limit=limit), []
    try:
        for piece in pieces:
            payloads += decoder.feed(piece)
        return payloads + decoder.close(), False
    except EventTooLarge:
        return payloads, True


@given(streams(), st.lists(st.integers(0, 2000), max_size=8), st.sampled_from([40, 200, 1 << 20]))
@examples(20)
@example(b"data: {}", [1, 3, 8], 40)
def test_any_cut_of_any_bytes_gives_the_same_payloads(stream: bytes, cuts: list[int], limit: int) -> None:
    """Also byte by byte, and also up to the event that is too large."""
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(places)]

    whole = decoded([stream], limit)

    assert decoded(pieces, limit) == whole
    assert decoded([stream[i : i + 1] for i in range(len(stream))], limit) == whole
    assert all(len(payload) <= limit for payload in whole[0])


@given(st.lists(streams(), max_size=3))
@examples(20)
def test_any_payload_is_events_and_any_events_are_a_turn(parts: list[bytes]) -> None:
    """Neither raises; what people see can be written, and the turn stays within its bounds."""
    turn = Turn()
    for payload in decoded(parts, 1 << 20)[0]:
        found = parse_event(payload)
        assert found
        for event in found:
            assert not isinstance(event, Unknown) or event.raw == payload
            turn.add(event)
            turn.reply.encode("utf-8")

    assert len(turn.reply) <= MAX_REPLY_CHARACTERS
    assert len(turn.tools) <= MAX_CALLS
    assert len(turn.open_calls) <= MAX_CALLS + 1
    assert all(len(name) <= MAX_NAME_CHARACTERS for name in turn.tools)
    assert not any(c != "\n" and c != "\t" and ord(c) < 32 for c in turn.reply)


@given(st.lists(st.text(max_size=6), max_size=8), st.data())
@examples(20)
def test_pieces_of_a_text_are_the_text(words: list[str], data: st.DataObject) -> None:
    """Whether a whole text repeats them or not, nothing of an answer is lost or doubled."""
    text = "".join(words)
    pieces, whole = Turn(), Turn()
    for word in words:
        pieces.add(Text(word, partial=True))
    whole.add(Text(text))
    if data.draw(st.booleans()):
        pieces.add(Text(text))

    assert pieces.reply.split() == whole.reply.split() or any(word[-1:] in ".!?" for word in words)


@given(st.binary(max_size=80) | streams())
@examples(15)
def test_the_coverage_guided_target_holds_for_bytes_alone(data: bytes) -> None:
    """`python -m tests.support.fuzz_decoder` runs it under atheris, which is no dependency of the tests."""
    fuzz_decoder.check(data)


@pytest.mark.parametrize("seed", fuzz_decoder.seeds(), ids=range(len(fuzz_decoder.seeds())))
def test_the_recordings_are_its_seeds(seed: bytes) -> None:
    """Each of them, however it is cut."""
    for cut in range(1, 31):
        fuzz_decoder.check(bytes([cut]) + seed[1:])


@pytest.mark.skipif(importlib.util.find_spec("atheris") is not None, reason="atheris is here, and would begin")
def test_without_atheris_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """And ends."""
    assert fuzz_decoder.main(["fuzz_decoder"]) == 2
    assert "pip install atheris" in capsys.readouterr().err

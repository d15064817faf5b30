"""Bytes -> events -> turn: every cut of the recordings, the specification's examples, and whatever else may come."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_client._safety.json_limits import MAX_DEPTH
from nemo_client._wire.sse import (
    MAX_EVENT_BYTES,
    AgentEvent,
    EventTooLarge,
    Heartbeat,
    SseDecoder,
    StateDelta,
    StreamFailure,
    Text,
    ToolCall,
    ToolResult,
    TurnEnd,
    Unknown,
    parse_event,
)
from nemo_client._wire.turn import Turn
from tests.support.waiting import measure_growth

WIRE = Path(__file__).parent / "recordings"
RECORDINGS = ["generate", "chinese", "silent-edit", "error-in-stream"]


def recording(name: str) -> bytes:
    return (WIRE / f"{name}.sse").read_bytes()


def decoded(chunks: Iterable[bytes]) -> list[str]:
    decoder = SseDecoder()
    return [payload for chunk in chunks for payload in decoder.feed(chunk)] + decoder.close()


def turn_of(payloads: Iterable[str]) -> Turn:
    turn = Turn()
    for payload in payloads:
        for event in parse_event(payload):
            turn.add(event)
    return turn


def folded(*events: AgentEvent) -> Turn:
    turn = Turn()
    for event in events:
        turn.add(event)
    return turn


def typed(name: str) -> list[str]:
    """A recording said in the typed dialect: pieces of text instead of whole ones, calls and results without ids."""
    said: list[dict[str, Any]] = [{"type": "heartbeat"}]
    payloads = [json.loads(payload) for payload in decoded([recording(name)])]
    pieces = any(payload.get("partial") for payload in payloads)
    for payload in payloads:
        if "error" in payload:
            said.append({"type": "error", "message": payload["error"]})
        for part in payload.get("content", {}).get("parts", []):
            if "functionCall" in part:
                said.append({"type": "tool_call", **{k: part["functionCall"][k] for k in ("name", "args")}})
            elif "functionResponse" in part:
                said.append(
                    {
                        "type": "tool_result",
                        "name": part["functionResponse"]["name"],
                        "result": part["functionResponse"]["response"],
                    }
                )
            elif not part.get("thought") and (payload.get("partial") or not pieces):
                said.append({"type": "text", "content": part["text"]})
    return [json.dumps(event, ensure_ascii=False) for event in said]


def as_stream(payloads: Iterable[str]) -> bytes:
    return b"".join(f"data: {payload}\n\n".encode() for payload in payloads)


def reference(data: bytes) -> list[str]:
    """The specification word for word, on the whole stream at once; comments count as keep-alives."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    *lines, _ = re.split(r"\r\n|\n|\r", text)
    payloads: list[str] = []
    buffer: list[str] = []
    for line in lines:
        field, _, value = line.partition(":")
        if not line:
            payloads += ["\n".join(buffer)] if buffer else []
            buffer = []
        elif line.startswith(":"):
            payloads.append("")
        elif field == "data":
            buffer.append(value.removeprefix(" "))
    return payloads


# --- Cuts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_cut_in_two_anywhere_gives_the_same_events(name: str, line_end: str) -> None:
    """No offset of the bytes, inside a character or between CR and LF, changes what is read."""
    data = recording(name).replace(b"\n", line_end.encode())
    whole = decoded([recording(name)])

    assert len(whole) == recording(name).count(b"\n\n")
    for cut in range(len(data) + 1):
        assert decoded([data[:cut], data[cut:]]) == whole, cut


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_byte_by_byte_gives_the_same_events(name: str, line_end: str) -> None:
    """The smallest chunks a socket can give, with empty ones between them."""
    data = recording(name).replace(b"\n", line_end.encode())

    chunks = [chunk for i in range(len(data)) for chunk in (data[i : i + 1], b"")]
    assert decoded(chunks) == decoded([recording(name)])


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_typed_dialect_cut_anywhere_gives_the_same_events(name: str) -> None:
    """The other dialect goes through the same decoder."""
    data = as_stream(typed(name))

    for cut in range(len(data) + 1):
        assert decoded([data[:cut], data[cut:]]) == typed(name), cut


BITS = [
    "data",
    "data:",
    "data: ",
    ":",
    ": ping",
    "event: x",
    "id: 1",
    "retry: 5",
    " ",
    "x",
    "{}",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
]
bits = st.sampled_from([*map(str.encode, BITS), b"\xef\xbb\xbf", "好".encode(), "🎬".encode()[:2], b"\xff", b"\x00"])


@given(st.lists(bits, max_size=40), st.lists(st.integers(0, 200), max_size=6))
@settings(max_examples=100, deadline=None)
def test_any_bytes_in_any_cut_are_read_as_the_specification_says(parts: list[bytes], offsets: list[int]) -> None:
    """Against the specification's algorithm on the whole stream, whatever the bytes and the cuts."""
    data = b"".join(parts)
    cuts = [0, *sorted(min(offset, len(data)) for offset in offsets), len(data)]
    decoder = SseDecoder()

    payloads = [p for a, b in pairwise(cuts) for p in decoder.feed(data[a:b])]
    assert payloads == reference(data)


# --- The specification's examples ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event",
            ["", "first event", "second event"],
        ),
        ("data\n\ndata\ndata\n\ndata:", ["", "\n"]),
        ("data:test\n\ndata: test\n\n", ["test", "test"]),
        ("event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n", ["73857293", "2153"]),
    ],
    ids=["several data lines", "comment, id and unfinished event", "empty data", "one space", "named events"],
)
def test_the_examples_of_the_specification(stream: str, payloads: list[str]) -> None:
    """From "9.2.6 Interpreting an event stream"; a comment is told as a keep-alive here."""
    assert decoded([stream.encode()]) == payloads


def test_a_byte_order_mark_counts_at_the_start_only() -> None:
    """One BOM at the start is skipped; a later one makes the field unknown; a second one is no BOM."""
    bom = b"\xef\xbb\xbf"

    assert decoded([bom[:1], bom[1:2], bom[2:] + b"data: a\n\n"]) == ["a"]
    assert decoded([b"data: a\n\n" + bom + b"data: b\n\n"]) == ["a"]
    assert decoded([bom + bom + b"data: a\n\n"]) == []
    assert decoded([bom[:2]]) == []


def test_keep_alives_are_visible_at_once() -> None:
    """A comment needs no blank line to be told, an empty data line its event's end; neither ends an open event."""
    decoder = SseDecoder()

    assert decoder.feed(b": ping\n") == [""]
    assert decoder.feed(b"data:\n\n") == [""]
    assert decoder.feed(b"data: a\n: ping\ndata: b\n") == [""]
    assert decoder.feed(b"\n") == ["a\nb"]


@pytest.mark.parametrize(
    ("rest", "delivered"),
    [
        (b'data: {"a": 1}', ['{"a": 1}']),
        (b'data: {"a": 1}\n', ['{"a": 1}']),
        (b'data: {"a":\ndata: 1}\n', ['{"a":\n1}']),
        (b'data: {"a": 1', []),
        (b"data: 12", []),
        (b"data: [1]", []),
        (b"data:", []),
        (b": ping", []),
        (b"", []),
    ],
)
def test_a_last_event_without_its_end_is_delivered_if_it_is_whole(rest: bytes, delivered: list[str]) -> None:
    """There is no end marker, so a complete JSON object counts; half an object, or "1" of "12", never does."""
    decoder = SseDecoder()

    assert decoder.feed(b"data: first\n\n" + rest) == ["first"]
    assert decoder.close() == delivered
    assert decoder.close() == []


# --- Bounds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream", [b"data: " + b"x" * 95, b"data: " + b"x" * 60 + b"\ndata: " + b"x" * 60, b":" + b"x" * 100]
)
def test_an_event_larger_than_the_limit_is_refused_in_any_cut(stream: bytes) -> None:
    """Long data, many data lines and long comments are all bounded, whether the end came or not."""
    for end in (b"", b"\n\n"):
        for cut in range(1, len(stream)):
            decoder = SseDecoder(limit=100)
            with pytest.raises(EventTooLarge, match="100 bytes"):
                _ = [decoder.feed(chunk) for chunk in (stream[:cut], stream[cut:] + end)]
            with pytest.raises(EventTooLarge):
                decoder.feed(b"data: a\n\n")


def test_what_came_before_a_large_event_is_not_lost() -> None:
    """Events that the same chunk completed are returned; the next call tells of the large one."""
    decoder = SseDecoder(limit=20)

    assert decoder.feed(b"data: {}\n\ndata: " + b"x" * 20) == ["{}"]
    with pytest.raises(EventTooLarge):
        decoder.close()


def test_an_event_of_the_limit_passes() -> None:
    """The limit is 16 MiB, and it is inclusive."""
    assert MAX_EVENT_BYTES == 16 * 1024 * 1024
    assert SseDecoder(limit=10).feed(b"data: 1234\n\n") == ["1234"]


def test_a_large_event_in_tiny_chunks_takes_linear_time() -> None:
    """Four times the bytes in chunks of 32 take about four times as long, not sixteen times."""

    def decode(text: str) -> None:
        data = b"data: " + text.encode() + b"\n\n"
        decoder = SseDecoder()
        for i in range(0, len(data), 32):
            decoder.feed(data[i : i + 32])

    assert measure_growth(decode, "x" * 250_000, "x" * 1_000_000) < 10


# --- Events -------------------------------------------------------------------------------------------------------


def test_an_agent_event_is_told_in_its_order() -> None:
    """Texts of one kind are joined; a call, a result, the delta and the end of the turn are events of their own."""
    event = {
        "content": {
            "parts": [
                {"text": "Let me ", "thought": True},
                {"text": "see.", "thought": True},
                {"text": "One "},
                {"text": "moment"},
                {"functionCall": {"id": "c1", "name": "cut", "args": {"n": 1}}},
                {"functionResponse": {"id": "c0", "name": "find", "response": {"ok": True}}},
                {"text": "Done"},
            ],
            "role": "model",
        },
        "actions": {"stateDelta": {"draft": {}}},
        "longRunningToolIds": ["c1"],
        "turnComplete": True,
    }

    assert parse_event(json.dumps(event)) == [
        Text("Let me see.", thought=True),
        Text("One moment"),
        ToolCall("c1", "cut", {"n": 1}, long_running=True),
        ToolResult("c0", "find", {"ok": True}),
        Text("Done"),
        StateDelta({"draft": {}}),
        TurnEnd(),
    ]


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        ('{"type":"text","content":"Hi"}', Text("Hi", partial=True)),
        ('{"type":"tool_call","name":"cut","args":{"n":1}}', ToolCall("", "cut", {"n": 1})),
        ('{"type":"tool_call","id":"e7","name":"cut"}', ToolCall("", "cut", {})),
        ('{"type":"tool_result","name":"cut","result":"ok"}', ToolResult("", "cut", "ok")),
        ('{"type":"heartbeat"}', Heartbeat()),
        ('{"type":"error","message":"overloaded"}', StreamFailure("overloaded")),
        ("", Heartbeat()),
        (" \n", Heartbeat()),
        ('{"author":"nemo_agent","content":null}', Heartbeat()),
        ('{"content":{"role":"user","parts":[{"text":"my own words"}]}}', Heartbeat()),
        ('{"error":"boom","error_details":{"type":"X"}}', StreamFailure("boom", {"type": "X"})),
        ('{"error":{"message":"boom"}}', StreamFailure("boom")),
        ('{"errorCode":"SAFETY","errorMessage":"blocked"}', StreamFailure("blocked", {"code": "SAFETY"})),
        ('{"code":2001,"message":"no credits"}', StreamFailure("no credits", {"code": 2001})),
    ],
)
def test_one_payload_of_either_dialect(payload: str, event: AgentEvent) -> None:
    """The dialect is decided by each event; ids of typed events are the events' own and join nothing."""
    assert parse_event(payload) == [event]


@pytest.mark.parametrize(
    "payload",
    [
        "not json",
        "[DONE]",
        "null",
        "5",
        '{"a":1}',
        '{"type":"text"}',
        '{"type":"text","content":5}',
        '{"type":"tool_call","name":["x"]}',
        '{"type":"dance"}',
        '{"content":5}',
        '{"content":{"parts":{}}}',
        '{"content":{"parts":[5]}}',
        '{"content":{"parts":[{"text":5}]}}',
        '{"content":{"parts":[{"functionCall":5}]}}',
        '{"content":{"parts":[{"functionResponse":{}}]}}',
        '{"actions":5}',
        '{"actions":{"stateDelta":[1]}}',
        '{"a":' * 10_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        '{"type":"tool_call","name":"x","args":' + "[" * 10_000 + "]" * 10_000 + "}",
        '{"actions":{"stateDelta":' + '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH + "}}",
        '{"content":{"parts":[{"text":"' + "1" * 5000,
    ],
    ids=lambda payload: payload[:40],
)
def test_what_nobody_understands_is_unknown(payload: str) -> None:
    """No JSON, wrong types, wild nesting: one `Unknown` with the whole payload, no exception."""
    assert parse_event(payload) == [Unknown(payload)]


def test_what_is_readable_beside_what_is_not_is_read() -> None:
    """One piece of a wrong type does not take the others with it; the call below must not be overlooked."""
    payload = '{"content":{"parts":[{"text":1},{"text":"Hi"},{"functionCall":{"name":"cut"}}]},"actions":[]}'

    assert parse_event(payload) == [Unknown(payload), Text("Hi"), ToolCall("", "cut"), Unknown(payload)]


def test_calls_of_partial_events_wait_for_the_whole_one() -> None:
    """A partial event may give its call another id than the whole one, and a call counted twice never closes."""
    partial = '{"partial":true,"content":{"parts":[{"text":"a"},{"functionCall":{"id":"x","name":"cut"}}]}}'

    assert parse_event(partial) == [Text("a", partial=True)]


KEYS = """type content parts text thought functionCall functionResponse id name args response actions stateDelta partial
turnComplete longRunningToolIds error error_details code message errorCode role result""".split()  # noqa: SIM905 - a list of words
WORDS = ["text", "tool_call", "tool_result", "heartbeat", "error", "user", "\ud83d", ""]
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), values, max_size=6), max_size=4))
@settings(max_examples=50, deadline=None)
def test_no_event_of_any_shape_raises(events: list[dict[str, Any]]) -> None:
    """Every payload gives at least one event, and every turn can be read as UTF-8 text."""
    turn = Turn()

    for event in events:
        found = parse_event(json.dumps(event))
        assert found
        for one in found:
            turn.add(one)
    assert turn.reply.encode() is not None
    assert len(turn.open_calls) <= len(turn.tools)


@given(st.text(max_size=60))
def test_no_text_raises(text: str) -> None:
    """Whatever stands in a data line."""
    assert parse_event(text)


# --- Turns --------------------------------------------------------------------------------------------------------

EXPECTED = {
    "generate": (
        "I'll animate your photo with a slow push-in.\n\n"
        "Your video is ready! Preview it in the timeline panel, or click Export to save it.",
        ["generate_video_with_seedance", "edit_multitrack"],
    ),
    "chinese": ("好的，已为图片添加缓慢推进的镜头 🎬。点击导出按钮即可下载。", []),
    "silent-edit": ("", ["edit_multitrack"]),
    "error-in-stream": ("", ["generate_video_with_seedance"]),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_folds_into_its_turn(name: str) -> None:
    """Pieces are said once, thoughts not at all; the failed run leaves its call open."""
    turn = turn_of(decoded([recording(name)]))

    reply, tools = EXPECTED[name]
    assert turn.reply == reply
    assert turn.tools == tools
    assert turn.ended == (name in ("generate", "chinese"))
    if name == "error-in-stream":
        assert turn.failure is not None
        assert turn.failure.message == "RuntimeError: upstream model overloaded"
        assert turn.failure.details["error_type"] == "RuntimeError"
        assert [call.id for call in turn.open_calls] == ["call_5"]
        assert turn.open_calls[0].long_running
    else:
        assert turn.failure is None
        assert turn.open_calls == ()


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_typed_dialect_folds_into_the_same_turn(name: str) -> None:
    """The same reply, tools and open calls, matched by name."""
    mine, theirs = turn_of(typed(name)), turn_of(decoded([recording(name)]))

    # The last words of the Chinese recording come in the whole text only.
    assert mine.reply == theirs.reply if name != "chinese" else theirs.reply.startswith(mine.reply)
    assert mine.tools == theirs.tools
    assert [call.name for call in mine.open_calls] == [call.name for call in theirs.open_calls]
    assert bool(mine.failure) == bool(theirs.failure)


def test_pieces_without_their_whole_are_the_reply_of_a_broken_stream() -> None:
    """What was said before the break is not lost, wherever the break is."""
    assert folded(Text("I'll ", partial=True), Text("animate ", partial=True)).reply == "I'll animate"


def test_a_whole_that_does_not_repeat_the_pieces_stands_beside_them() -> None:
    """Nothing that was said is dropped for a text that says something else."""
    assert folded(Text("First", partial=True), Text("Second.")).reply == "First\n\nSecond."


def test_a_whole_that_goes_on_where_the_pieces_ended_replaces_them() -> None:
    """The Chinese recording: the whole text is longer than its pieces."""
    assert folded(Text("好的，", partial=True), Text("好的，完成。")).reply == "好的，完成。"


def test_pieces_after_a_tool_are_a_paragraph_of_their_own() -> None:
    """In the typed dialect nothing else parts the words before a tool from those after it."""
    turn = folded(
        Text("Working on it.", partial=True),
        ToolCall("", "cut"),
        ToolResult("", "cut"),
        Text("Done. ", partial=True),
        Text("Enjoy!", partial=True),
        Text("Have a look.", partial=True),
    )

    assert turn.reply == "Working on it.\n\nDone. Enjoy! Have a look."


def test_a_piece_that_repeats_all_pieces_is_no_second_answer() -> None:
    """A typed stream may end with the whole text under the same type as its pieces."""
    assert folded(*(Text(t, partial=True) for t in ("One ", "two.", "One two."))).reply == "One two."


def test_two_halves_of_a_character_become_one_and_a_lone_half_is_replaced() -> None:
    """JSON can carry half of an emoji; a reply is always writable as UTF-8."""
    assert folded(Text("\ud83c", partial=True), Text("\udfac", partial=True)).reply == "🎬"
    assert folded(Text("a\ud83c")).reply == "a\ufffd"


@pytest.mark.parametrize(
    ("texts", "reply"),
    [
        (["Your video is ready!", "I encountered a temporary issue. Please try again later."], "Your video is ready!"),
        (["Done. I've encountered a temporary issue while working."], "Done."),
        (["音乐已添加。", "抱歉，我遇到了一个临时问题，请稍后再试。"], "音乐已添加。"),
        (["I encountered a temporary issue. Please try again."], "I encountered a temporary issue. Please try again."),
        (
            ["Hm. I encountered a temporary issue with the music. I used another song instead."],
            "Hm. I encountered a temporary issue with the music. I used another song instead.",
        ),
        (["She says: when I encountered a temporary issue"], "She says: when I encountered a temporary issue"),
    ],
    ids=["own text", "last sentence", "chinese", "all there is", "more follows", "inside a sentence"],
)
def test_the_noise_after_a_normal_answer_is_dropped(texts: list[str], reply: str) -> None:
    """Only where it trails an answer; where it is the answer, it stays."""
    assert folded(*map(Text, texts)).reply == reply


def test_results_close_calls_by_id() -> None:
    """Two calls of one tool: the one that answered is the one that is closed; a repeated call is one call."""
    turn = folded(
        ToolCall("a", "cut"), ToolCall("b", "cut"), ToolCall("b", "cut"), ToolResult("b", "cut"), ToolResult("z", "cut")
    )

    assert [call.id for call in turn.open_calls] == ["a"]
    assert turn.tools == ["cut", "cut"]


def test_results_without_ids_close_calls_of_their_name_in_order() -> None:
    """The oldest of the name first; a result of another name closes nothing."""
    turn = folded(
        ToolCall("", "cut"), ToolCall("", "cut", long_running=True), ToolResult("", "mix"), ToolResult("", "cut")
    )

    assert [call.long_running for call in turn.open_calls] == [True]


def test_an_id_on_one_side_only_is_matched_by_name() -> None:
    """An event stream may lose the id of a call or of its result."""
    assert folded(ToolCall("a", "cut"), ToolResult("", "cut")).open_calls == ()
    assert folded(ToolCall("", "cut"), ToolResult("a", "cut")).open_calls == ()


def test_a_long_running_call_stays_open_on_its_ticket() -> None:
    """Its first answer says "pending"; taking that for the result would end a paid step too early."""
    call = ToolCall("a", "generate", long_running=True)

    waiting = folded(call, ToolResult("a", "generate", {"status": "pending"}))
    assert waiting.open_calls == (call,)
    waiting.add(ToolResult("a", "generate", {"status": "success"}))
    assert not waiting.open_calls
    assert folded(ToolCall("a", "cut"), ToolResult("a", "cut", {"status": "pending"})).open_calls == ()


def test_the_first_failure_is_the_one_that_is_told() -> None:
    """Later ones are consequences; signs of life and unknown payloads change nothing."""
    turn = folded(Heartbeat(), Unknown("?"), StreamFailure("first"), StreamFailure("second"))

    assert turn.failure == StreamFailure("first")
    assert (turn.reply, turn.tools, turn.ended) == ("", [], False)

"""Bytes of `/run_sse` -> typed agent events; no I/O.

Three stages, each usable alone:

    bytes --SseDecoder--> payloads (str) --parse_event--> AgentEvent ... --turn.Turn--> the result of the turn

The stream speaks two dialects, agent events (`content.parts`) and typed events (`type`); which one is decided
event by event. Nothing here raises on what the backend says: what cannot be read is `Unknown`, and so is JSON
beyond the limits of `_safety.json_limits`. The one exception is `EventTooLarge`, the bound on memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .._safety.json_limits import BadJson, parse_json

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""The largest event (and the longest single line) that a decoder keeps, in bytes."""

_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """One event of the stream is larger than the decoder keeps; the rest of the stream cannot be read."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"an event of the stream is larger than {limit} bytes")
        self.limit = limit


class SseDecoder:
    """Incremental decoder of server-sent events; any cut of the bytes gives the same payloads.

    It follows the WHATWG specification ("Interpreting an event stream": LF, CRLF and CR, one BOM at the start,
    several data lines joined by LF), with two additions that this backend needs:

    - A comment line gives `""` at once, like an event with empty data: both are keep-alives, and the caller sees
      that the line is alive. `event:`, `id:` and `retry:` mean nothing here.
    - The specification discards a last event without its blank line. This stream has no end marker, so a last
      event whose data is one complete JSON object is delivered by `close()`. A truncated object cannot parse, so
      nothing half-read gets through.

    Time and memory are linear in the bytes, however they are cut.
    """

    def __init__(self, *, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._start = b""  # the first bytes, until it is clear whether they are a BOM
        self._after_cr = False  # the LF of a CRLF that was cut in two may still come
        self._failed = False
        self._special = True  # one of these three rare conditions holds
        self._tail: bytes | bytearray = b""  # the line that is not ended yet
        self._data: list[bytes] = []  # the data of the event that is not ended yet
        self._size = 0  # the bytes of its lines

    def feed(self, chunk: bytes) -> list[str]:
        """The payloads of the events that `chunk` completes, in order; `""` is a keep-alive.

        Raises `EventTooLarge`; events that the same chunk completed before the large one are returned first, and
        the next call raises.
        """
        if self._special:
            chunk = self._take_beginning(chunk)
        if b"\r" in chunk:  # a CR ends its line at once
            self._special = self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        payloads: list[str] = []
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines:
            if self._tail:
                lines[0] = bytes(self._tail) + lines[0]
            self._tail = rest
            self._take(lines, payloads)
        elif isinstance(self._tail, bytearray):
            self._tail += rest
        else:
            self._tail = bytearray(self._tail + rest)  # growing in place keeps a long line linear
        if self._failed or self._size + len(self._tail) > self._limit:
            self._fail(payloads)
        return payloads

    @property
    def pending(self) -> bool:
        """Whether an event was begun and is not ended: a stream that breaks here was cut in the middle of one."""
        return bool(self._data or self._tail)

    def close(self) -> list[str]:
        """The last event, if it lacks only its end (see the class); the decoder holds nothing afterwards.

        Raises `EventTooLarge` when the last `feed` met it and had other events to return.
        """
        if self._failed:
            raise EventTooLarge(self._limit)
        payloads: list[str] = []
        self._take([bytes(self._tail), b""], payloads)
        self._tail = b""
        return [payload for payload in payloads if isinstance(_parse_object(payload), dict)]

    def _take_beginning(self, chunk: bytes) -> bytes:
        """`chunk` without a BOM at the stream's start, and without the LF that belongs to the CR before it."""
        if self._failed:
            raise EventTooLarge(self._limit)
        if self._after_cr:
            self._after_cr = self._special = not chunk
            return chunk.removeprefix(b"\n")
        chunk = self._start + chunk
        self._start, self._special = b"", len(chunk) < len(_BOM) and _BOM.startswith(chunk)
        if self._special:
            self._start = chunk
            return b""
        return chunk.removeprefix(_BOM)

    def _take(self, lines: list[bytes], payloads: list[str]) -> None:
        """Take whole lines and put what they complete into `payloads`."""
        data, size, limit = self._data, self._size, self._limit
        for line in lines:
            if line[:6] == b"data: " and size + len(line) <= limit:  # nearly every line is this or empty
                data.append(line[6:])
                size += len(line)
            elif not line:
                if data:
                    payload = data.pop() if len(data) == 1 else b"\n".join(data)
                    payloads.append(payload.decode("utf-8", "replace"))
                    data.clear()
                    size = 0
            elif size + len(line) > limit:
                self._failed = True
                break
            elif line[:5] == b"data:" or line == b"data":
                data.append(line[5:])
                size += len(line)
            elif line[:1] == b":":
                payloads.append("")
        self._size = size

    def _fail(self, payloads: list[str]) -> None:
        self._failed = self._special = True
        self._tail, self._data, self._size = b"", [], 0
        if not payloads:
            raise EventTooLarge(self._limit)


@dataclass(frozen=True, slots=True)
class Text:
    """Words of the agent; a `thought` is not for people. A `partial` one is a piece that a whole one may repeat.

    Texts of the typed dialect are `partial`, and `typed`: nothing says that they are whole, and nothing repeats them.
    """

    text: str
    partial: bool = False
    thought: bool = False
    typed: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The agent started a tool. `id` is `""` where the stream gives none (always, in the typed dialect)."""

    id: str
    name: str
    args: dict[str, Any] = field(default_factory=dict)
    long_running: bool = False


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool answered; `response` is its JSON as it came."""

    id: str
    name: str
    response: Any = None


@dataclass(frozen=True, slots=True)
class StateDelta:
    """Keys of the session's state that changed (`draft`, `generated_media` ...); never empty."""

    delta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StreamFailure:
    """The run failed after HTTP 200. `details` holds what else came: `error_details`, an error code."""

    message: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the model stopped, given as an error code (`STOP`, `MAX_TOKENS` …): no failure.

    ADK puts the finish reason there where an event has no content.
    """

    code: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life and nothing else."""


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The agent said that its turn is complete (`turnComplete`); not every turn says so."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A payload, or a part of one, that neither dialect explains; `raw` is the whole payload."""

    raw: str


AgentEvent = Text | ToolCall | ToolResult | StateDelta | StreamFailure | Finish | Heartbeat | TurnEnd | Unknown

USUAL_ENDS = frozenset(
    {
        "STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED", "STOP_SEQUENCE", "END_TURN", "LENGTH", "NO_CONTENT",
        "NO_RESPONSE", "EMPTY", "EMPTY_CONTENT", "EMPTY_RESPONSE",
    }
)  # fmt: skip
"""Finish reasons of an answer that is whole, or was cut by its length, or had nothing to add."""

OTHER_ENDS = frozenset(
    {
        "SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "NO_IMAGE", "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "CONTENT_FILTER", "UNKNOWN_ERROR", "UNKNOWN",
    }
)  # fmt: skip
"""Finish reasons that leave an answer unsaid: a failure, but none of work that was done before."""


def parse_event(data: str) -> list[AgentEvent]:
    """What one payload says, in its order; at least one event, and never an exception.

    One agent event may hold several (text, calls, a state delta, the end of the turn). Its consecutive texts of
    one kind are joined. Calls in `partial` events are left out: the whole event repeats them, under another id.
    """
    if not data or data.isspace():
        return [Heartbeat()]
    value = _parse_object(data)
    if not isinstance(value, dict):
        return [Unknown(data)]
    if isinstance(value.get("type"), str) and not isinstance(value.get("content"), dict):
        typed = _parse_typed(value)
        return [typed] if typed is not None else _parse_last_typed(value) or [Unknown(data)]
    value = _spell_as_documented(value)
    bare = _parse_bare(value)
    if bare is not None:
        return [bare]
    failure = _finish(value) or _find_failure(value)
    events: list[AgentEvent] = [failure] if isinstance(failure, StreamFailure) else []
    known = failure is not None or not value.keys().isdisjoint(_ENVELOPE)
    for event in _parse_agent(value):
        events.append(Unknown(data) if event is None else event)
    if isinstance(failure, Finish):  # it says why what stands beside it ends
        events.append(failure)
    if events:
        return events
    return [Heartbeat() if known else Unknown(data)]


# An agent event is told by these keys; one without anything else is a sign of life.
_ENVELOPE = frozenset({"content", "actions", "partial", "turnComplete", "invocationId", "author"})


def _parse_object(data: str) -> Any:
    """The JSON value, or None for what is no JSON or beyond its limits."""
    try:
        return parse_json(data)
    except BadJson:
        return None


def _find_failure(value: dict[str, Any]) -> StreamFailure | None:
    """What failed, in an event without `type`: `error`, ADK's `errorCode`, or an envelope with a code."""
    details = value.get("error_details")
    facts = dict(_read_mapping(details))
    error = value.get("error") or value.get("errorMessage") or value.get("errorCode")
    facts |= {name: error[name] for name in ("code", "status") if isinstance(error, dict) and name in error}
    code = value.get("errorCode") or value.get("code")
    if isinstance(code, (int, str)) and code not in (0, 200, ""):
        facts.setdefault("code", code)
        if "content" not in value:
            error = error or value.get("message") or str(code)
    return StreamFailure(_find_words(error), facts) if error else None


def _finish(value: dict[str, Any]) -> Finish | None:
    """The finish reason that an event carries as its error code."""
    code = value.get("errorCode")
    if not isinstance(code, str) or value.get("error"):
        return None
    name = end_name(code)
    message = value.get("errorMessage")
    words = repair_surrogates(message) if isinstance(message, str) else ""
    return Finish(name) if name in USUAL_ENDS or (name in OTHER_ENDS and _NO_CONTENT.search(words)) else None


def end_name(code: str) -> str:
    """A finish reason as it is listed here, whatever stands before it and however it is written."""
    return re.sub(r"[\s-]+", "_", code.rpartition(".")[2].strip()).upper()


_NO_CONTENT = re.compile(r"\b(no|empty|without|missing) (content|response|candidates?|text|parts?)\b", re.IGNORECASE)


def _parse_bare(value: dict[str, Any]) -> Text | None:
    """Words without a `type`: `{"text": …}`, or `{"content": …}` with a plain string."""
    if not value.keys().isdisjoint(_ENVELOPE - {"content"}) or value.get("role") == "user" or _find_failure(value):
        return None
    said = [value[name] for name in ("text", "content") if isinstance(value.get(name), str)]
    return Text(said[0], partial=True, thought=value.get("thought") is True, typed=True) if said else None


def _find_words(error: Any) -> str:
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        error = error["message"]
    return repair_surrogates(error if isinstance(error, str) else json.dumps(error, ensure_ascii=False))


def _parse_typed(value: dict[str, Any]) -> AgentEvent | None:
    kind, name = value["type"], value.get("name")
    if kind in ("heartbeat", "ping"):
        return Heartbeat()
    if kind == "error":
        error = value.get("error") or value.get("message") or value.get("content") or "error"
        told = {**(error if isinstance(error, dict) else {}), **value}
        facts = {"code": told["code"]} if isinstance(told.get("code"), (int, str)) else {}
        return StreamFailure(_find_words(error), facts)
    if kind == "text":
        said = [value[name] for name in ("content", "text") if isinstance(value.get(name), str)]
        text = next((each for each in said if each), said[0] if said else None)
        return None if text is None else Text(text, partial=True, thought=value.get("thought") is True, typed=True)
    if not isinstance(name, str) or not name:
        return None
    # Ids of typed events are the events' own, so calls and results meet by name.
    if kind == "tool_call":
        return ToolCall("", name, _read_arguments(value.get("args")))
    if kind == "tool_result":
        return ToolResult("", name, value.get("result"))
    return None


LAST_LINE = "[DONE]"
"""What closes the streams of many servers; it is no JSON."""
_LAST_TYPES = frozenset(
    {
        "done", "end", "ended", "complete", "completed", "finish", "finished", "stop", "message_stop", "turn_end",
        "turn_complete", "turn_completed", "stream_end", "end_of_stream", "eos", "close", "final", "final_answer",
    }
)  # fmt: skip
"""Typed events that say that the turn is over, with its last words or without any."""


def _parse_last_typed(value: dict[str, Any]) -> list[AgentEvent]:
    """The end of the turn, told by a type of event; empty for any other one."""
    if re.sub(r"[\s.-]+", "_", str(value["type"]).strip().lower()) not in _LAST_TYPES or _find_failure(value):
        return []
    said = next((value[name] for name in ("content", "text") if isinstance(value.get(name), str) and value[name]), "")
    return [Text(said, partial=True, typed=True), TurnEnd()] if said else [TurnEnd()]


_SPELLINGS = {
    "turn_complete": "turnComplete", "long_running_tool_ids": "longRunningToolIds", "error_code": "errorCode",
    "error_message": "errorMessage", "invocation_id": "invocationId",
}  # fmt: skip
"""Keys of agent events as the server's own models spell them, where it does not translate them."""


def _spell_as_documented(value: dict[str, Any]) -> dict[str, Any]:
    if _SPELLINGS.keys().isdisjoint(value):
        return value
    return {**{known: value[name] for name, known in _SPELLINGS.items() if name in value}, **value}


def _parse_agent(value: dict[str, Any]) -> Iterable[AgentEvent | None]:
    """The events of an agent event; None for each piece of it that has a wrong type."""
    content = value.get("content")
    if isinstance(content, dict):
        yield from _list_parts(value, content)
    elif content is not None:
        yield None
    actions = value.get("actions")
    delta = actions.get("stateDelta", actions.get("state_delta")) if isinstance(actions, dict) else None
    if isinstance(delta, dict) and delta:
        yield StateDelta(delta)
    elif (actions is not None and not isinstance(actions, dict)) or not isinstance(delta, dict | None):
        yield None
    if value.get("turnComplete") is True:
        yield TurnEnd()


def _list_parts(value: dict[str, Any], content: dict[str, Any]) -> Iterable[AgentEvent | None]:
    parts = content.get("parts")
    if not isinstance(parts, list):
        if parts is not None:
            yield None
        return
    partial = value.get("partial") is True
    lasting = value.get("longRunningToolIds")
    texts: list[str] = []
    thought = False
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            if texts and thought != (part.get("thought") is True):
                yield Text("".join(texts), partial, thought)
                texts = []
            thought = part.get("thought") is True
            if text and content.get("role") != "user":  # the user's own words are no answer
                texts.append(text)
            continue
        if texts:
            yield Text("".join(texts), partial, thought)
            texts = []
        if not isinstance(part, dict) or text is not None:
            yield None
        else:
            yield from _tool_part(part, partial, lasting if isinstance(lasting, list) else [])
    if texts:
        yield Text("".join(texts), partial, thought)


def _tool_part(part: dict[str, Any], partial: bool, lasting: list[Any]) -> Iterable[AgentEvent | None]:
    call = part.get("functionCall", part.get("function_call"))
    result = part.get("functionResponse", part.get("function_response"))
    for value in (call, result):
        if value is not None and not (isinstance(value, dict) and (_read_id(value) or _read_name(value))):
            yield None
            return
    if call is not None and not partial:
        yield ToolCall(_read_id(call), _read_name(call), _read_arguments(call.get("args")), _read_id(call) in lasting)
    if result is not None:
        yield ToolResult(_read_id(result), _read_name(result), result.get("response"))


def _read_id(value: dict[str, Any]) -> str:
    found = value.get("id")
    return found if isinstance(found, str) else ""


def _read_name(value: dict[str, Any]) -> str:
    found = value.get("name")
    return found if isinstance(found, str) else ""


def _read_mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_arguments(value: Any) -> dict[str, Any]:
    """A call's arguments; some models give them as JSON text."""
    return _read_mapping(_parse_object(value) if isinstance(value, str) else value)


def repair_surrogates(text: str) -> str:
    """`text` without lone surrogates (JSON can carry them); two halves that meet become their character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text

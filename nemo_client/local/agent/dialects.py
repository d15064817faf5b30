"""The agent's events, and how the two dialects of the stream write them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# The three ways to say "still here"; none of them is an event.
HEARTBEATS = (b": ping\n\n", b"data:\n\n", b'data: {"type":"heartbeat"}\n\n')


@dataclass(frozen=True)
class Thought:
    text: str


@dataclass(frozen=True)
class Piece:
    """A piece of a text that a later `Say` repeats whole."""

    text: str


@dataclass(frozen=True)
class Say:
    text: str
    last: bool = False


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    id: str
    name: str
    response: Mapping[str, Any]
    delta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    message: str


Event = Thought | Piece | Say | Call | Result | Failure


class AgentDialect:
    """Agent events as the recordings have them: content parts, partial texts, tool calls, state deltas."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._invocation = f"e-{uuid.uuid4()}"

    def encode(self, event: Event) -> bytes:
        if isinstance(event, Failure):
            return _make_frame(_encode_failure(event, self._clock()))
        if isinstance(event, Thought):
            return self._encode_event([{"text": event.text, "thought": True}])
        if isinstance(event, Piece):
            return self._encode_event([{"text": event.text}], extra={"partial": True})
        if isinstance(event, Say):
            return self._encode_event([{"text": event.text}], extra={"turnComplete": True} if event.last else {})
        if isinstance(event, Call):
            call = {"functionCall": {"id": event.id, "args": event.args, "name": event.name}}
            return self._encode_event([call], extra={"longRunningToolIds": [event.id]})
        result = {"functionResponse": {"id": event.id, "name": event.name, "response": event.response}}
        return self._encode_event([result], role="user", delta=event.delta)

    def _encode_event(
        self,
        parts: Sequence[Mapping[str, Any]],
        *,
        role: str = "model",
        delta: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> bytes:
        return _make_frame(
            {
                "content": {"parts": parts, "role": role},
                **(extra or {}),
                "invocationId": self._invocation,
                "author": "nemo_agent",
                "actions": {
                    "stateDelta": delta or {},
                    "artifactDelta": {},
                    "requestedAuthConfigs": {},
                    "requestedToolConfirmations": {},
                },
                "nodeInfo": {"path": ""},
                "id": str(uuid.uuid4()),
                "timestamp": self._clock(),
            }
        )


class TypedDialect:
    """`{"type": "text" | "tool_call" | "tool_result"}`: whole texts only, no thoughts, no state."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def encode(self, event: Event) -> bytes:
        if isinstance(event, Failure):
            return _make_frame(_encode_failure(event, self._clock()))
        if isinstance(event, Say):
            return _make_frame({"type": "text", "content": event.text})
        if isinstance(event, Call):
            return _make_frame({"type": "tool_call", "name": event.name, "args": event.args})
        if isinstance(event, Result):
            return _make_frame({"type": "tool_result", "name": event.name, "result": event.response})
        return b""


def _encode_failure(event: Failure, now: float) -> dict[str, Any]:
    kind, _, message = event.message.partition(": ")
    details = {"error_type": kind, "error_message": message or kind, "timestamp": now}
    return {"error": event.message, "error_details": details}


def _make_frame(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return b"data: " + text.encode("utf-8", "replace") + b"\n\n"

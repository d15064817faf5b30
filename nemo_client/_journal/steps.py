"""Steps: how a request is named, and which way its state may go. Pure.

A step key is the name of a request: two requests with one key are the same request from any caller, so the
all-in-one node, the single nodes, the shell and batches build keys here. The table of moves is the contract of
how nothing is paid twice; the journal does what it says by compare-and-set.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, Literal

from .._errors import NemoError

KEY_VERSION: Final = 1

Kind = Literal["upload", "generate", "edit", "chat", "export"]

PAID: Final[frozenset[Kind]] = frozenset({"generate", "edit", "chat"})

DEFAULTS: Final[Mapping[Kind, Mapping[str, object]]] = {
    "upload": {"language": "auto", "encoding": "auto"},
    "generate": {"aspect_ratio": "auto", "duration": 0, "seed": 0, "ends": False},
    "edit": {"seed": 0},
    "chat": {"seed": 0, "follow": False},
    "export": {"format": "mp4", "quality": "high", "resolution": "auto"},
}
"""Inputs at these values are left out of the key, so that an input added later does not change old keys."""


def make_step_key(profile_id: str, before: str, kind: Kind, inputs: Mapping[str, object]) -> str:
    """The key of a step: a hash of key version, profile, the key before, kind, and inputs without defaults.

    Text counts in NFC with LF, `5` equals `5.0`. Not inputs: credit limits, file names, accounts, ports.
    """
    defaults = DEFAULTS[kind]
    counted = {name: value for name, value in inputs.items() if name not in defaults or value != defaults[name]}
    canonical = json.dumps(
        [KEY_VERSION, profile_id, before, kind, _to_plain(counted)],
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
        allow_nan=False,
    )
    return f"{kind}-{hashlib.sha256(canonical.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def make_upload_key(profile_id: str, before: str, fingerprints: Sequence[str], language: str) -> str:
    """The key of an upload of media with these fingerprints."""
    return make_step_key(profile_id, before, "upload", {"media": list(fingerprints), "language": language})


def parse_kind(key: str) -> str:
    """The kind that a key was made for."""
    return key.split("-", 1)[0]


def normalize_text(text: str) -> str:
    """Text as it counts in keys and goes out: NFC, LF line ends."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def _to_plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return normalize_text(value) if isinstance(value, str) else value


class State(str, Enum):
    """Where an attempt at a step stands."""

    PLANNED = "planned"
    SENT = "sent"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    LOST = "lost"


class Event(str, Enum):
    """What can happen to an attempt."""

    TAKE_OVER = "take over"
    """The owner died before sending; another goes on."""
    RELEASE = "release"
    """Not sent after all: no credits, over a limit, session busy, cancelled."""
    SEND = "send"
    """Baseline stored; the row is on disk as sent before the POST goes out."""
    REFUSE = "refuse"
    """Not one byte of the body was written, or a whole answer that is a refusal.

    Only who would have sent it can know; also when others have taken it for dead meanwhile."""
    FINISH = "finish"
    """The work was done; the evidence is stored."""
    DECLINE = "decline"
    """A clean answer that made nothing."""
    BREAK = "break"
    """The stream broke, or any other answer."""
    OWNER_DIED = "owner died"
    EVIDENCE = "evidence"
    """A later read of the state shows the result."""
    CLEAR = "clear"
    """The horizon passed, nothing changed, the balance is as before, no other message of the account."""
    EXPIRE = "expire"
    """The horizon passed, anything else."""
    ASK_AGAIN = "ask again"
    RESEND = "resend"
    """On the user's explicit word, after the horizon: pays again."""


MOVES: Final[Mapping[tuple[State, Event], State]] = {
    (State.PLANNED, Event.TAKE_OVER): State.PLANNED,
    (State.PLANNED, Event.RELEASE): State.PLANNED,
    (State.PLANNED, Event.SEND): State.SENT,
    (State.SENT, Event.REFUSE): State.REFUSED,
    (State.SENT, Event.FINISH): State.DONE,
    (State.SENT, Event.DECLINE): State.FAILED,
    (State.SENT, Event.BREAK): State.UNKNOWN,
    (State.SENT, Event.OWNER_DIED): State.UNKNOWN,
    (State.UNKNOWN, Event.REFUSE): State.REFUSED,
    (State.UNKNOWN, Event.EVIDENCE): State.DONE,
    (State.UNKNOWN, Event.CLEAR): State.FAILED,
    (State.UNKNOWN, Event.EXPIRE): State.LOST,
    (State.LOST, Event.EVIDENCE): State.DONE,
    (State.FAILED, Event.EVIDENCE): State.DONE,
    (State.REFUSED, Event.ASK_AGAIN): State.PLANNED,
    (State.FAILED, Event.ASK_AGAIN): State.FAILED,
    (State.LOST, Event.ASK_AGAIN): State.LOST,
    (State.FAILED, Event.RESEND): State.PLANNED,
    (State.LOST, Event.RESEND): State.PLANNED,
}

FREE_MOVES: Final[Mapping[tuple[State, Event], State]] = {
    **MOVES,
    (State.FAILED, Event.ASK_AGAIN): State.PLANNED,
    (State.UNKNOWN, Event.ASK_AGAIN): State.PLANNED,
    (State.LOST, Event.ASK_AGAIN): State.PLANNED,
    (State.SENT, Event.ASK_AGAIN): State.PLANNED,
    (State.DONE, Event.ASK_AGAIN): State.PLANNED,
    (State.PLANNED, Event.ASK_AGAIN): State.PLANNED,
}
"""Free steps (uploads, exports, all of a free backend) are simply repeated."""

NEW_ATTEMPT: Final = frozenset({Event.ASK_AGAIN, Event.RESEND})
"""Events that, where they lead to `planned`, begin another attempt."""

GIVES_BACK: Final = frozenset({Event.RELEASE, Event.REFUSE, Event.DECLINE, Event.CLEAR, Event.EXPIRE})
"""Events after which a step's session stands where it did before it: its message made nothing, or never went out."""


class IllegalMove(NemoError):
    """An event that its state does not allow; a defect of the caller, never of the wire."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__("unexpected", kind="IllegalMove", reason=f"{event.value} in state {state.value}")


def advance(state: State, event: Event, *, free: bool = False) -> State:
    """The state after `event`; `IllegalMove` where the table has no such move."""
    try:
        return (FREE_MOVES if free else MOVES)[state, event]
    except KeyError:
        raise IllegalMove(state, event) from None


REFUSALS: Final = frozenset({400, 401, 402, 403, 404, 413, 422, 429, 1001, 1002, 2001})
"""Codes of a whole, non-stream answer to a message that prove that nothing was charged."""

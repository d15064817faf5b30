"""Attempts, the facts they carry, and deliveries: the journal's rows as values. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict

from .._safety.json_limits import MAX_DEPTH, MAX_VALUES, BadJson, parse_json
from .money import Money
from .steps import PAID, State, parse_kind

if TYPE_CHECKING:
    from sqlalchemy import Row

_AROUND_DRAFTS: Final = 10

DAY_SECONDS: Final = 24 * 3600.0

IN_FLIGHT_STATES: Final = (State.SENT.value, State.UNKNOWN.value)
"""The message went out, and its result is not known yet."""
UNSENT_STATES: Final = (State.PLANNED.value, State.REFUSED.value)
"""No message went out, or it was refused: nothing can have been charged."""
OPEN: Final = (State.PLANNED.value, *IN_FLIGHT_STATES)
"""The outcome is still owed."""


class StoredFacts(TypedDict, total=False):
    """The keys of `Facts` as they are written to disk; each is frozen. Writers make facts with it, readers use `Facts`.

    Of a message: `text` as it went out, `baseline` (see `_studio.reconcile.Baseline`), `alone` (no other message of
    the account was in flight), `draft` and `reply` it ended with, `money` (see `Money`), `question` to the user,
    `spoke_last` (the turn ended in words), `error` (the id of the reason, or the backend's words), `opened` (a session
    without uploads). Of an upload: `media` as (fingerprint, kept name, MIME type), `names` on the wire, `language`
    setting, `spoken` language, `older` keys of earlier versions. Of an export: `wanted` (destination, host, output),
    `render_id`, and `submitted_as` where the backend gave another id.
    """

    text: str
    baseline: Mapping[str, Any]
    alone: bool
    draft: Mapping[str, Any] | None
    reply: str
    money: Mapping[str, Any]
    question: Mapping[str, Any]
    spoke_last: bool
    error: str
    opened: bool
    media: Sequence[tuple[str, str, str]]
    names: Sequence[str]
    language: str
    spoken: str
    older: Sequence[str]
    wanted: Mapping[str, Any] | None
    render_id: str
    submitted_as: str


class Facts(dict[str, Any]):
    """What an attempt knows: plain JSON under the keys of `StoredFacts`, read through typed properties."""

    @property
    def has_text(self) -> bool:
        """Whether the text of a message was recorded; a step that was attached from elsewhere has none."""
        return "text" in self

    @property
    def text(self) -> str:
        """The message as it went out; empty where it is not known."""
        return str(self.get("text") or "")

    @property
    def baseline(self) -> Mapping[str, Any] | None:
        """Session and account before the message was sent, as JSON; None where nothing was sent."""
        return self.get("baseline") or None

    @property
    def alone(self) -> bool:
        """Whether no other paid message of the account was in flight when this one was sent."""
        return bool(self.get("alone"))

    @property
    def draft(self) -> dict[str, Any]:
        """The draft that the step ended with; empty where there is none."""
        return self.get("draft") or {}

    @property
    def has_reply(self) -> bool:
        """Whether the backend's answer was recorded, be it empty."""
        return "reply" in self

    @property
    def reply(self) -> str:
        """The backend's answer in words."""
        return str(self.get("reply") or "")

    @property
    def has_money(self) -> bool:
        """Whether the step has ended with a record of what it took."""
        return "money" in self

    @property
    def money(self) -> Money:
        """What the step took; nothing known where nothing was recorded."""
        return Money.from_json(self.get("money"))

    @property
    def question(self) -> object:
        """The question that the backend ended with, as JSON; None where it asked none."""
        return self.get("question")

    @property
    def spoke_last(self) -> bool | None:
        """Whether the turn ended in words; None where an earlier version did not record it."""
        return self.get("spoke_last")

    @property
    def error(self) -> str:
        """Why the attempt failed or is not known: a text's id or the backend's words; empty for no reason."""
        return str(self.get("error") or "")

    @property
    def opened(self) -> bool:
        """Whether this step stands for a session that was opened without any upload."""
        return bool(self.get("opened"))

    @property
    def media(self) -> Sequence[tuple[str, str, str]]:
        """What an upload sent, each as fingerprint, name of the kept file, and MIME type."""
        return list(self.get("media", ()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of an upload's files on the wire; those of older versions were the names of the kept files."""
        names = self.get("names") or [kept for _, kept, _ in self.media]
        return tuple(str(each) for each in names)

    @property
    def language(self) -> str:
        """The language setting of an upload."""
        return str(self.get("language", "auto"))

    @property
    def spoken(self) -> str:
        """The language that an upload's session was opened in."""
        return str(self.get("spoken") or "en")

    @property
    def older(self) -> tuple[str, ...]:
        """The keys that earlier versions gave this upload."""
        return tuple(str(each) for each in self.get("older", ()))

    @property
    def wanted(self) -> Mapping[str, Any] | None:
        """Where an export was asked for, on which host, and as what; None where that was not recorded."""
        return self.get("wanted")

    @property
    def render_id(self) -> str:
        """The id to ask the backend by for this render; empty where none was submitted."""
        return str(self.get("render_id") or "")

    @property
    def submitted_as(self) -> str:
        """The id under which the render was submitted, where the backend gave it another one; else empty."""
        return str(self.get("submitted_as") or "")


@dataclass(frozen=True)
class Attempt:
    """One try at a step, at one place. `epoch` counts its changes, for compare-and-set.

    `facts` is what the step needs to go on or to report (draft, reply, money, the render's id); a plain mapping that is
    given becomes `Facts`. Times are seconds since 1970 by this machine; `sent` is when the message or the render went
    out, `spent` credits.
    """

    key: str
    number: int
    state: State
    profile: str
    before: str = ""
    account: str = ""
    session_id: str = ""
    task_id: str = ""
    run: str = ""
    owner: str = ""
    free: bool = False
    hidden: bool = False
    epoch: int = 0
    created: float = 0.0
    changed: float = 0.0
    sent: float | None = None
    spent: float | None = None
    facts: Facts = field(default_factory=Facts)
    id: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.facts, Facts):
            object.__setattr__(self, "facts", Facts(self.facts))

    @property
    def kind(self) -> str:
        """upload, generate, edit, chat or export."""
        return parse_kind(self.key)

    @property
    def paid(self) -> bool:
        """Whether sending it can charge."""
        return self.kind in PAID and not self.free

    @property
    def money_text(self) -> str:
        """What its facts say of money, as JSON; empty where they say nothing."""
        money = self.facts.get("money")
        return dump_facts(money) if money else ""

    @property
    def open(self) -> bool:
        """Whether its outcome is still owed."""
        return self.state.value in OPEN

    @property
    def in_flight(self) -> bool:
        """Whether it was sent, and its result is not known yet."""
        return self.state.value in IN_FLIGHT_STATES


_FIELDS: Final = tuple(each.name for each in fields(Attempt))


@dataclass(frozen=True)
class Delivery:
    """A file that was delivered on `host`; `facts` holds its checksum and what it was seen to be."""

    path: Path
    delivered: float
    facts: Mapping[str, Any]
    host: str


def row_from_attempt(attempt: Attempt) -> dict[str, Any]:
    """The values of an attempt's row, without its id."""
    values = {name: getattr(attempt, name) for name in _FIELDS if name != "id"}
    return {
        **values,
        "kind": attempt.kind,
        "state": attempt.state.value,
        "money_text": attempt.money_text,
        "facts": dump_facts(attempt.facts),
    }


def dump_facts(facts: Mapping[str, Any]) -> str:
    """Facts as a column holds them. A draft may hold halves of characters, which no database takes: escaped."""
    text = json.dumps(facts, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(facts, ensure_ascii=True)
    return text


def load_facts(text: str) -> dict[str, Any]:
    """The facts that `dump_facts` wrote, two drafts with what is around them; `BadJson` for a damaged row."""
    facts = parse_json(text, depth=MAX_DEPTH + _AROUND_DRAFTS, values=3 * MAX_VALUES)
    if not isinstance(facts, dict):
        raise BadJson("no JSON object", "why.not-json")
    return facts


def attempt_from_row(row: Row[Any]) -> Attempt:
    """The attempt that a row holds; its other columns repeat what the key and the facts say."""
    values = {name: row._mapping[name] for name in _FIELDS}
    return Attempt(**{**values, "state": State(values["state"]), "facts": load_facts(values["facts"])})

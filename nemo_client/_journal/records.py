"""Attempts and deliveries: the journal's rows as values. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .._safety.json_limits import MAX_DEPTH, MAX_VALUES, BadJson, parse_json
from .steps import PAID, State, parse_kind

if TYPE_CHECKING:
    from sqlalchemy import Row

_AROUND_DRAFTS: Final = 10

OPEN: Final = (State.PLANNED.value, State.SENT.value, State.UNKNOWN.value)


@dataclass(frozen=True)
class Attempt:
    """One try at a step, at one place. `epoch` counts its changes, for compare-and-set.

    `facts` is plain JSON: what the step needs to go on or to report (draft, reply, money, the render's id). Times are
    seconds since 1970 by this machine; `sent` is when the message or the render went out, `spent` credits.
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
    facts: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0

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
    """The facts that `facts_text` wrote, two drafts with what is around them; `BadJson` for a damaged row."""
    facts = parse_json(text, depth=MAX_DEPTH + _AROUND_DRAFTS, values=3 * MAX_VALUES)
    if not isinstance(facts, dict):
        raise BadJson("no JSON object")
    return facts


def attempt_from_row(row: Row[Any]) -> Attempt:
    """The attempt that a row holds; its other columns repeat what the key and the facts say."""
    values = {name: row._mapping[name] for name in _FIELDS}
    return Attempt(**{**values, "state": State(values["state"]), "facts": load_facts(values["facts"])})

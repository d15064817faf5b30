"""Attempts and deliveries: the journal's rows as values. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._steps import PAID, State, kind_of

if TYPE_CHECKING:
    from sqlalchemy import Row

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
        return kind_of(self.key)

    @property
    def paid(self) -> bool:
        """Whether sending it can charge."""
        return self.kind in PAID and not self.free

    @property
    def open(self) -> bool:
        """Whether its outcome is still owed."""
        return self.state.value in OPEN


@dataclass(frozen=True)
class Delivery:
    """A file that was delivered on this host; `facts` holds its checksum and what it was seen to be."""

    path: Path
    delivered: float
    facts: Mapping[str, Any]


def columns(attempt: Attempt) -> dict[str, Any]:
    """The values of an attempt's row, without its id."""
    values = {each.name: getattr(attempt, each.name) for each in fields(attempt) if each.name != "id"}
    return {
        **values,
        "state": attempt.state.value,
        "facts": json.dumps(attempt.facts, ensure_ascii=False, allow_nan=False),
    }


def attempt_of(row: Row[Any]) -> Attempt:
    """The attempt that a row holds."""
    values = dict(row._mapping)
    return Attempt(**{**values, "state": State(values["state"]), "facts": json.loads(values["facts"])})

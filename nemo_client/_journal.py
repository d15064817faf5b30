"""The record of steps: what was asked for, where it was carried out, how far it came.

`Journal` is the seam: everything that must be remembered goes through it, and it is written before the wire.
`MemoryJournal` keeps the record for the life of the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ._errors import SessionBusy
from ._steps import NEW_ATTEMPT, PAID, Event, State, advance, kind_of


@dataclass(frozen=True)
class Attempt:
    """One try at a step, at one place. `epoch` counts its changes, for compare-and-set.

    `facts` holds what the step needs to go on or to report: the draft, the reply, money, the render's id, the
    delivered file. Times are seconds since 1970 by this machine.
    """

    key: str
    number: int
    state: State
    profile: str
    before: str = ""
    account: str = ""
    session_id: str = ""
    task_id: str = ""
    free: bool = False
    epoch: int = 0
    created: float = 0.0
    changed: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

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
        """Whether its outcome, or its delivery, is still owed."""
        return self.state in (State.PLANNED, State.SENT, State.UNKNOWN)


class Journal(Protocol):
    """What the Studio remembers through. All methods are atomic."""

    async def latest(self, key: str, session_id: str | None = None) -> Attempt | None:
        """The newest attempt at a step, or None; with `session_id`, the newest one in that session."""

    async def begin(self, attempt: Attempt) -> Attempt:
        """Record a planned attempt; `SessionBusy` if one with this key and number exists already."""

    async def move(self, attempt: Attempt, event: Event, **changes: Any) -> Attempt:
        """Advance by the table if `attempt` is still the record's newest version, else `SessionBusy`.

        `changes` are fields of the attempt; `facts` are merged into those it has. An event that begins another
        attempt gives that one, with these facts alone.
        """

    async def claim(self, session_id: str, at: str, by: str) -> bool:
        """Make `by` the session's head if it is `at` now (an unclaimed session stands at the step that opened it)."""

    async def yield_claim(self, session_id: str, at: str, by: str) -> None:
        """Undo a claim whose step was not sent."""

    async def open_attempts(self, account: str) -> list[Attempt]:
        """Attempts of an account whose outcome is still owed."""

    async def undelivered(self, account: str) -> list[Attempt]:
        """Finished paid steps of an account that no delivered export shows yet."""

    async def paid_since(self, profile: str, moment: float) -> list[Attempt]:
        """Attempts at paid steps of a profile that were sent, and not refused, after `moment`."""


class MemoryJournal:
    """A journal that lives as long as the process. For free work and for tests."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._attempts: dict[str, list[Attempt]] = {}
        self._heads: dict[str, str] = {}
        self._clock = clock

    async def latest(self, key: str, session_id: str | None = None) -> Attempt | None:
        for attempt in reversed(self._attempts.get(key, [])):
            if session_id is None or attempt.session_id == session_id:
                return attempt
        return None

    async def begin(self, attempt: Attempt) -> Attempt:
        tries = self._attempts.setdefault(attempt.key, [])
        if any(known.number == attempt.number for known in tries):
            raise SessionBusy("session-busy")
        now = self._clock()
        tries.append(replace(attempt, created=now, changed=now))
        return tries[-1]

    async def move(self, attempt: Attempt, event: Event, **changes: Any) -> Attempt:
        tries = self._attempts[attempt.key]
        index = next(i for i, known in enumerate(tries) if known.number == attempt.number)
        if tries[index].epoch != attempt.epoch:
            raise SessionBusy("session-busy")
        state = advance(attempt.state, event, free=not attempt.paid)
        added = changes.pop("facts", {})
        if event in NEW_ATTEMPT and state is State.PLANNED:
            # A paid step has one next attempt, whoever begins it; free ones may be repeated side by side.
            number = (attempt if attempt.paid else tries[-1]).number + 1
            return await self.begin(replace(attempt, number=number, state=state, epoch=0, facts=added, **changes))
        facts = {**attempt.facts, **added}
        moved = replace(attempt, state=state, epoch=attempt.epoch + 1, changed=self._clock(), facts=facts, **changes)
        tries[index] = moved
        return moved

    async def claim(self, session_id: str, at: str, by: str) -> bool:
        if self._heads.get(session_id, at) not in (at, by):
            return False
        self._heads[session_id] = by
        return True

    async def yield_claim(self, session_id: str, at: str, by: str) -> None:
        if self._heads.get(session_id) == by:
            self._heads[session_id] = at

    async def open_attempts(self, account: str) -> list[Attempt]:
        return [tries[-1] for tries in self._attempts.values() if tries[-1].account == account and tries[-1].open]

    async def undelivered(self, account: str) -> list[Attempt]:
        newest = {key: tries[-1] for key, tries in self._attempts.items()}
        shown: set[str] = set()
        for each in newest.values():
            key = each.before if each.kind == "export" and each.state is State.DONE else ""
            while key and key not in shown:
                shown.add(key)
                key = newest[key].before if key in newest else ""
        done = [each for each in newest.values() if each.account == account and each.state is State.DONE]
        return [each for each in done if each.paid and each.key not in shown]

    async def paid_since(self, profile: str, moment: float) -> list[Attempt]:
        every = [each for tries in self._attempts.values() for each in tries if each.profile == profile and each.paid]
        return [
            each
            for each in every
            if each.state not in (State.PLANNED, State.REFUSED) and float(each.facts.get("sent", 0.0)) > moment
        ]

"""What became of a message, by the evidence in its session's state.

The stream alone decides nothing: the state is read until it shows the work, alike in two reads; "changed" alone is
no evidence. After a break the caller is told early, and the state is read on while the program lives.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from . import _drafts
from ._attempts import Attempt
from ._desk import Desk
from ._errors import LostRace, NemoError, SessionGone, SignInError
from ._flights import Flight
from ._models import State as SessionState
from ._money import FREE, Money, charged, known_balance
from ._outcomes import Baseline, Message, ended, not_known
from ._progress import Progress
from ._steps import Event, State

logger = logging.getLogger("nemo_client")

HORIZON_SECONDS: Final = 20 * 60.0
READ_SECONDS: Final = 60.0
UNCHANGED_READS: Final = 5
CONFIRM_SECONDS: Final = 10.0
FREE_CONFIRM_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 2.0
QUIET_READS: Final = 5
LATE_READS: Final = 60
TOLD_SECONDS: Final = 0.1
"""Whoever waits is told first, before anything goes on in the background."""


class Settler:
    """Finds out what became of messages, for one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def settle(
        self, attempt: Attempt, message: Message, baseline: Baseline, flight: Flight, *, first: float
    ) -> Attempt:
        """Read the state until it shows the result; after five unchanged reads hand back `unknown`."""
        flight.report(Progress("settle"))
        for read in range(UNCHANGED_READS):
            await self._desk.sleep(first if read == 0 else READ_SECONDS)
            ended_as = await self._read(attempt, message, baseline)
            if ended_as is not None and ended_as.state is not State.DONE:
                raise ended(ended_as)
            if ended_as is not None:
                return ended_as
        self.later(attempt, message, baseline)
        raise not_known(attempt)

    async def look(self, attempt: Attempt, message: Message, baseline: Baseline) -> Attempt | None:
        """One free read for another message of the session: the attempt as it ended, or None while it is not known."""
        return await self._read(attempt, message, baseline)

    async def _read(self, attempt: Attempt, message: Message, baseline: Baseline) -> Attempt | None:
        """One read: the attempt as it ended, or None while that is not known. Only a state that was read counts."""
        try:
            shown = await self.shown(attempt, baseline)
        except (SignInError, SessionGone) as error:
            error.charged = "maybe"
            raise
        except LostRace:
            raise
        except NemoError as error:
            logger.info("the state could not be read (%s)", error.id)
            return None
        if shown is None and self._desk.wall() - sent_at(attempt) > HORIZON_SECONDS:
            return await self._expired(attempt, message, baseline)
        return shown

    def later(self, attempt: Attempt, message: Message, baseline: Baseline) -> None:
        """Report early, settle late: the caller is told, and the state is read on while the program lives."""
        if attempt.paid:
            self._desk.flights.chore(message.key, lambda: self._read_on(attempt, message, baseline))

    async def _read_on(self, attempt: Attempt, message: Message, baseline: Baseline) -> None:
        await asyncio.sleep(TOLD_SECONDS)
        for _ in range(LATE_READS):
            await self._desk.sleep(READ_SECONDS)
            newest = await self._desk.journal.latest(message.key)
            if newest is None or (newest.number, newest.epoch) != (attempt.number, attempt.epoch):
                return  # somebody else has settled it
            if await self._read(attempt, message, baseline) is not None:
                return

    async def _expired(self, attempt: Attempt, message: Message, baseline: Baseline) -> Attempt:
        """The horizon passed and nothing changed: not charged if the balance says so, else lost."""
        money = await self.money(attempt, baseline)
        if money.spent != 0 or money.certainty != "exact":
            return await self._desk.journal.move(attempt, Event.EXPIRE, **paid_facts(money))
        return await self._desk.journal.move(attempt, Event.CLEAR, **paid_facts(money, error="result-none"))

    async def not_sent(self, attempt: Attempt, why: str) -> None:
        """Refused for certain, also where others call it unknown by now: who would have sent it knows better."""
        try:
            await self._desk.journal.move(attempt, Event.REFUSE, facts={"error": why})
        except LostRace:
            newest = await self._desk.journal.latest(attempt.key)
            if newest is None or newest.number != attempt.number or newest.state is not State.UNKNOWN:
                raise
            await self._desk.journal.move(newest, Event.REFUSE, facts={"error": why})

    async def found(self, attempt: Attempt, baseline: Baseline) -> Attempt | None:
        """As `shown`; a state that cannot be read shows nothing."""
        try:
            return await self.shown(attempt, baseline)
        except LostRace:
            raise
        except NemoError as error:
            logger.info("the state could not be read (%s)", error.id)
            return None

    async def shown(self, attempt: Attempt, baseline: Baseline) -> Attempt | None:
        """The attempt as done, if the state shows its work, and shows the same a little later.

        The state counts only while no later message went out in the session; after that, what was stored before that
        message does.
        """
        later = await self._desk.journal.sent_after(attempt)
        if later is not None:
            return await self._shown_before(later, attempt, baseline)
        state = await self._desk.client.state(attempt.session_id)
        if not baseline.shows_work(state):
            return None
        await self._desk.sleep(CONFIRM_SECONDS if attempt.paid else FREE_CONFIRM_SECONDS)
        again = await self._desk.client.state(attempt.session_id)
        if _drafts.segments_digest(again.draft or {}) != _drafts.segments_digest(state.draft or {}):
            return None
        return await self.done(attempt, Event.EVIDENCE, baseline, again, str(attempt.facts.get("reply") or ""))

    async def _shown_before(self, later: Attempt, attempt: Attempt, baseline: Baseline) -> Attempt | None:
        """The attempt as done, if what was there before a later message shows its work."""
        if not later.facts.get("baseline"):
            return None
        then = Baseline.from_json(later.facts["baseline"])
        if not baseline.left_by(then):
            return None
        state = SessionState(draft=dict(then.draft or {}))
        return await self.done(attempt, Event.EVIDENCE, baseline, state, str(attempt.facts.get("reply") or ""))

    async def at_work(self, attempt: Attempt, baseline: Baseline) -> bool:
        """Whether more is reserved than before: then the stream ended early, and the work goes on without it."""
        if not attempt.paid or baseline.credits is None or not attempt.facts.get("alone"):
            return False
        try:
            return (await self._desk.client.balance()).frozen > baseline.credits.frozen
        except NemoError:
            return False

    async def untouched(self, attempt: Attempt, baseline: Baseline) -> bool:
        """Whether two reads show no work and no charge; what cannot be read shows nothing."""
        for read in range(2):
            if read:
                await self._desk.sleep(CONFIRM_SECONDS if attempt.paid else FREE_CONFIRM_SECONDS)
            try:
                state = await self._desk.client.state(attempt.session_id)
                balance = await self._desk.client.balance() if attempt.paid else None
            except NemoError as error:
                logger.info("state and balance could not be read (%s)", error.id)
                return False
            fresh = _drafts.media_ids(state.raw) - baseline.media
            if fresh or _drafts.segments_digest(state.draft or {}) != baseline.segments:
                return False
            if balance is not None and (baseline.credits is None or balance.held < baseline.credits.held):
                return False
        return True

    async def quiet_state(self, attempt: Attempt) -> SessionState:
        """The state once two reads agree on the draft; the second stage of a generation can come late."""
        state = await self._desk.client.state(attempt.session_id)
        for _ in range(0 if attempt.free else QUIET_READS):
            await self._desk.sleep(QUIET_SECONDS)
            again = await self._desk.client.state(attempt.session_id)
            if _drafts.digest(again.draft or {}) == _drafts.digest(state.draft or {}):
                return again
            state = again
        return state

    async def done(
        self, attempt: Attempt, event: Event, baseline: Baseline, state: SessionState, reply: str, **more: Any
    ) -> Attempt:
        """The attempt as done, with its draft, reply and money, and `more` facts."""
        made = _drafts.digest(state.draft or {}) != _drafts.digest(baseline.draft or {})
        money = await self.money(attempt, baseline, made=made)
        changes = paid_facts(money, reply=reply, draft=state.draft, **more)
        try:
            return await self._desk.journal.move(attempt, event, **changes)
        except LostRace:  # taken for dead meanwhile: the result counts all the same
            newest = await self._desk.journal.latest(attempt.key)
            if newest is None or newest.number != attempt.number:  # another attempt: what it comes to is its own matter
                raise
            if newest.state is State.DONE:
                return newest
            return await self._desk.journal.move(newest, Event.EVIDENCE, **changes)

    async def money(self, attempt: Attempt, baseline: Baseline, *, made: bool = False) -> Money:
        """What the attempt took, and how sure that is; alone on the account as far as this journal knows.

        For work that was `made` a charge may come until the horizon: before it, a balance that has not fallen is none.
        """
        if attempt.free:
            return FREE
        try:
            after = known_balance(await self._desk.client.balance())
        except NemoError:
            after = None
        since = await self._desk.journal.paid_since(attempt.profile, sent_at(attempt) - 0.001)
        alone = bool(attempt.facts.get("alone")) and all(other.key == attempt.key for other in since)
        late = made and self._desk.wall() - sent_at(attempt) <= HORIZON_SECONDS
        return charged(baseline.credits, after, alone=alone, late=late)


def paid_facts(money: Money, **facts: Any) -> dict[str, Any]:
    """What the journal keeps of an end: the money in numbers of its own, the rest as facts."""
    return {"spent": money.sure, "facts": {"money": money.to_json(), **facts}}


def sent_at(attempt: Attempt) -> float:
    """When it went out, as far as is known; seconds since 1970."""
    return attempt.changed if attempt.sent is None else attempt.sent

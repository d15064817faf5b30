"""One message that may charge, from the plan to what became of it.

The order is the whole point: the attempt is planned, the baseline stored, the row recorded as sent, and only then
does the POST go out, once, without any retry. Afterwards the evidence in the session's state decides, not the
stream alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import _drafts
from ._desk import Desk
from ._errors import (
    ApiError,
    BadAnswer,
    ConnectError,
    LimitError,
    NemoError,
    NoCredits,
    NothingMade,
    ResultUnknown,
    TransportError,
)
from ._events import Heartbeat, Turn
from ._flights import Flight
from ._handles import SessionHandle
from ._journal import Attempt
from ._models import Credits
from ._models import State as SessionState
from ._money import ESTIMATES, FREE, Money, admits, charged
from ._progress import Caller, Progress
from ._steps import REFUSALS, Event, Kind, State

STREAM_SECONDS: Final = 16 * 60.0
HORIZON_SECONDS: Final = 20 * 60.0
FIRST_READ_SECONDS: Final = 30.0
READ_SECONDS: Final = 60.0
UNCHANGED_READS: Final = 5
CONFIRM_SECONDS: Final = 10.0
QUIET_SECONDS: Final = 2.0
QUIET_READS: Final = 5


@dataclass(frozen=True)
class Message:
    """A message to a session: its step key, its kind, where it follows on, and its text as it goes out."""

    key: str
    kind: Kind
    after: SessionHandle
    text: str


@dataclass(frozen=True)
class Baseline:
    """What the session and the account were like before a message was sent."""

    segments: str
    media: frozenset[str]
    draft: Mapping[str, Any] | None
    credits: Credits | None

    def shows_work(self, state: SessionState) -> bool:
        """Whether `state` holds new media or other segments, in a draft that can be exported.

        "Changed" alone is no evidence: re-signed addresses and late analyses change a state, too.
        """
        if not _drafts.is_ready(state.draft or {}):
            return False
        fresh = _drafts.media_ids(state.raw) - self.media
        return bool(fresh) or _drafts.segments_digest(state.draft or {}) != self.segments


Place = Callable[[Message], Awaitable[SessionHandle]]


class Messenger:
    """Sends messages for one desk. `place` claims the session, or forks where only uploads lie behind."""

    def __init__(self, desk: Desk, place: Place) -> None:
        self._desk = desk
        self._place = place

    async def carry_out(self, message: Message, flight: Flight, caller: Caller) -> Attempt:
        """The finished attempt at `message`: found in the journal, settled, or sent now."""
        known = await self._desk.journal.latest(message.key)
        if known is not None:
            settled = await self._continue(known, message, flight)
            if settled is not None:
                return settled
        place = await self._place(message)
        attempt = await self._planned(known, message, place)
        try:
            attempt, baseline = await self._commit(attempt, place, flight, caller)
        except BaseException:
            await self._desk.journal.yield_claim(place.session_id, message.after.key, message.key)
            raise
        flight.committed = attempt.paid
        return await self._send(attempt, message, baseline, flight)

    async def _continue(self, known: Attempt, message: Message, flight: Flight) -> Attempt | None:
        """The attempt if it is done or can be settled now; None if a new try may be made; raises what it ended with."""
        if known.state is State.UNKNOWN and known.paid:
            known = await self._settle(known, message, _baseline_of(known), flight, first=0.0)
        if known.state is State.DONE:
            flight.report(Progress(_stage(message.kind), reused=True))
            return known
        if known.paid and known.state in (State.FAILED, State.LOST):
            raise _ended(known)
        return None

    async def _planned(self, known: Attempt | None, message: Message, place: SessionHandle) -> Attempt:
        where: dict[str, Any] = {
            "session_id": place.session_id,
            "task_id": place.task_id,
            "account": (await self._desk.token()).account,
        }
        if known is None:
            return await self._desk.journal.begin(
                Attempt(
                    message.key, 1, State.PLANNED, self._desk.profile.name,
                    before=message.after.key, free=self._desk.profile.free, **where,
                )
            )  # fmt: skip
        if known.state is State.PLANNED:
            return await self._desk.journal.move(known, Event.TAKE_OVER, **where)
        return await self._desk.journal.move(known, Event.ASK_AGAIN, **where)

    async def _commit(
        self, attempt: Attempt, place: SessionHandle, flight: Flight, caller: Caller
    ) -> tuple[Attempt, Baseline]:
        """Read the baseline, check the money, and record the attempt as sent."""
        journal = self._desk.journal
        flight.report(Progress("plan"))
        try:
            state = await self._desk.client.state(place.session_id)
            async with self._desk.admission:
                credits = None if attempt.free else await self._desk.client.balance()
                await self._admit(attempt, credits, caller)
                draft = state.draft or {}
                baseline = Baseline(_drafts.segments_digest(draft), _drafts.media_ids(state.raw), state.draft, credits)
                return await journal.move(attempt, Event.SEND, facts={"baseline": baseline}), baseline
        except (Exception, asyncio.CancelledError):
            await journal.move(attempt, Event.RELEASE)
            raise

    async def _admit(self, attempt: Attempt, credits: Credits | None, caller: Caller) -> None:
        if credits is None:
            return
        estimate = ESTIMATES[attempt.kind]
        profile = self._desk.profile
        for limit, name in ((caller.max_credits, "max_credits"), (profile.run_limit, "run_limit")):
            if 0 < limit < estimate:
                raise LimitError("limit", estimate=f"{estimate:g}", limit=limit, limit_name=name)
        others = await self._desk.journal.open_attempts(attempt.account)
        sent = [ESTIMATES[other.kind] for other in others if other.state is not State.PLANNED and other.paid]
        if not admits(credits, estimate, sent, seen=False):
            raise await self._desk.no_credits(credits)

    async def _send(self, attempt: Attempt, message: Message, baseline: Baseline, flight: Flight) -> Attempt:
        turn = Turn()
        try:
            await asyncio.wait_for(self._read(attempt, message, turn, flight), STREAM_SECONDS)
        except (ConnectError, ApiError, BadAnswer) as error:
            if not _refused(error):
                return await self._broken(attempt, message, baseline, flight)
            await self._desk.journal.move(attempt, Event.REFUSE, facts={"error": error.id})
            await self._desk.journal.yield_claim(attempt.session_id, message.after.key, message.key)
            if isinstance(error, NoCredits):
                raise await self._desk.no_credits(baseline.credits) from error
            raise
        except (TransportError, asyncio.TimeoutError):
            return await self._broken(attempt, message, baseline, flight)
        except asyncio.CancelledError:
            await self._desk.journal.move(attempt, Event.BREAK)
            raise
        if turn.failure is not None:
            return await self._failed_inside(attempt, message, baseline, turn)
        return await self._conclude(attempt, message, baseline, turn, flight)

    async def _read(self, attempt: Attempt, message: Message, turn: Turn, flight: Flight) -> None:
        """Read the stream to its end; every byte is a sign of life."""
        clock, stage = self._desk.clock, _stage(message.kind)
        started = heard = clock()
        ticker = asyncio.ensure_future(self._tick(lambda: (started, heard), turn, stage, flight))
        try:
            async with self._desk.client.run(attempt.session_id, message.text) as events:
                async for event in events:
                    heard = clock()
                    if not isinstance(event, Heartbeat):
                        turn.add(event)
                        flight.report(Progress(stage, tool=_tool(turn), elapsed=heard - started))
        finally:
            ticker.cancel()

    async def _tick(self, times: Callable[[], tuple[float, float]], turn: Turn, stage: Any, flight: Flight) -> None:
        while True:
            await asyncio.sleep(1.0)
            started, heard = times()
            now = self._desk.clock()
            flight.report(Progress(stage, tool=_tool(turn), elapsed=now - started, quiet=now - heard))

    async def _broken(self, attempt: Attempt, message: Message, baseline: Baseline, flight: Flight) -> Attempt:
        """The message may be out and at work: nothing is sent again, the state is read instead."""
        attempt = await self._desk.journal.move(attempt, Event.BREAK)
        if attempt.free:
            raise ResultUnknown("stream-broken")
        return await self._settle(attempt, message, baseline, flight, first=FIRST_READ_SECONDS)

    async def _failed_inside(self, attempt: Attempt, message: Message, baseline: Baseline, turn: Turn) -> Attempt:
        """An error inside the stream: one read of state and balance is enough to report."""
        attempt = await self._desk.journal.move(attempt, Event.BREAK)
        state = await self._desk.client.state(attempt.session_id)
        if baseline.shows_work(state) and await self._confirmed(attempt, state):
            return await self._done(attempt, Event.EVIDENCE, baseline, state, turn.reply)
        reason = str(getattr(turn.failure, "message", "") or "?")
        raise ResultUnknown("stream-failure", reason=reason)

    async def _settle(
        self, attempt: Attempt, message: Message, baseline: Baseline, flight: Flight, *, first: float
    ) -> Attempt:
        """Read the state until it shows the result; after five unchanged reads hand back `unknown`."""
        flight.report(Progress("settle"))
        for read in range(UNCHANGED_READS):
            await self._desk.sleep(first if read == 0 else READ_SECONDS)
            try:
                state = await self._desk.client.state(attempt.session_id)
                if baseline.shows_work(state) and await self._confirmed(attempt, state):
                    return await self._done(attempt, Event.EVIDENCE, baseline, state, "")
            except TransportError:
                continue
            if self._desk.wall() - attempt.changed > HORIZON_SECONDS:
                return await self._expired(attempt, baseline)
        raise ResultUnknown("result-unknown")

    async def _expired(self, attempt: Attempt, baseline: Baseline) -> Attempt:
        """The horizon passed and nothing changed: not charged if the balance says so, else lost."""
        money = await self._money(attempt, baseline)
        event = Event.CLEAR if money.spent == 0 and money.certainty == "exact" else Event.EXPIRE
        return await self._desk.journal.move(attempt, event, facts={"money": money})

    async def _confirmed(self, attempt: Attempt, seen: SessionState) -> bool:
        """Whether a second read a little later shows the same segments."""
        await self._desk.sleep(CONFIRM_SECONDS)
        again = await self._desk.client.state(attempt.session_id)
        return _drafts.segments_digest(again.draft or {}) == _drafts.segments_digest(seen.draft or {})

    async def _conclude(
        self, attempt: Attempt, message: Message, baseline: Baseline, turn: Turn, flight: Flight
    ) -> Attempt:
        """After a clean end: what was made, by the quiet state."""
        try:
            state = await self._quiet_state(attempt)
        except NemoError:
            return await self._broken(attempt, message, baseline, flight)
        changed = _drafts.digest(state.draft or {}) != _drafts.digest(baseline.draft or {})
        made = changed and _drafts.is_ready(state.draft or {})
        if message.kind == "chat" and not turn.open_calls:
            return await self._done(attempt, Event.FINISH, baseline, state, turn.reply)
        if made and (not turn.open_calls or baseline.shows_work(state)):
            reply = turn.reply or _drafts.what_changed(baseline.draft or {}, state.draft or {})
            return await self._done(attempt, Event.FINISH, baseline, state, reply)
        if turn.open_calls:
            return await self._broken(attempt, message, baseline, flight)
        return await self._declined(attempt, message, baseline, turn.reply)

    async def _quiet_state(self, attempt: Attempt) -> SessionState:
        """The state once two reads agree on the draft; the second stage of a generation can come late."""
        state = await self._desk.client.state(attempt.session_id)
        for _ in range(0 if attempt.free else QUIET_READS):
            await self._desk.sleep(QUIET_SECONDS)
            again = await self._desk.client.state(attempt.session_id)
            if _drafts.digest(again.draft or {}) == _drafts.digest(state.draft or {}):
                return again
            state = again
        return state

    async def _declined(self, attempt: Attempt, message: Message, baseline: Baseline, reply: str) -> Attempt:
        money = await self._money(attempt, baseline)
        attempt = await self._desk.journal.move(attempt, Event.DECLINE, facts={"money": money, "reply": reply})
        await self._desk.journal.yield_claim(attempt.session_id, message.after.key, message.key)
        raise _ended(attempt)

    async def _done(
        self, attempt: Attempt, event: Event, baseline: Baseline, state: SessionState, reply: str
    ) -> Attempt:
        money = await self._money(attempt, baseline)
        facts = {"money": money, "reply": reply, "draft": state.draft}
        return await self._desk.journal.move(attempt, event, facts=facts)

    async def _money(self, attempt: Attempt, baseline: Baseline) -> Money:
        if attempt.free:
            return FREE
        try:
            after = await self._desk.client.balance()
        except NemoError:
            after = None
        others = [other for other in await self._desk.journal.open_attempts(attempt.account) if other.paid]
        return charged(baseline.credits, after, alone=all(other.key == attempt.key for other in others))


def _refused(error: ConnectError | ApiError | BadAnswer) -> bool:
    """Whether an answer proves that the message was not worked on."""
    if isinstance(error, ConnectError):
        return True
    code = error.code if isinstance(error, ApiError) else error.status
    return (code in REFUSALS or error.status in REFUSALS) and not 200 <= code < 400


def _ended(attempt: Attempt) -> NemoError:
    """What a finished attempt that made nothing is reported as, now and whenever it is asked for again."""
    money: Money | None = attempt.facts.get("money")
    if attempt.state is State.LOST:
        return ResultUnknown("result-lost")
    spent = money.spent if money else None
    reply = " ".join(str(attempt.facts.get("reply") or "…").split())[:500]
    return NothingMade("nothing-made", charged="maybe" if spent is None else "yes" if spent else "no", reply=reply)


def _baseline_of(attempt: Attempt) -> Baseline:
    baseline = attempt.facts["baseline"]
    assert isinstance(baseline, Baseline)  # noqa: S101 - stored by _commit
    return baseline


def _stage(kind: Kind) -> Any:
    return kind if kind in ("generate", "edit", "chat") else "generate"


def _tool(turn: Turn) -> str:
    return turn.tools[-1] if turn.tools else ""

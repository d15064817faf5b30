"""One message that may charge, from the plan to what became of it.

The order is the whole point: the attempt is planned, the baseline stored, the row recorded as sent, and only then
does the POST go out, once, without any retry. Afterwards the evidence in the session's state decides, not the
stream alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from .._errors import (
    Cancelled,
    Charged,
    ConnectionBroken,
    DiskError,
    InputError,
    JournalAway,
    LimitError,
    LostRace,
    NemoError,
    NoCredits,
    ResultUnknown,
    SessionBusy,
    SessionGone,
    SignInError,
    TooLate,
)
from .._journal.db_thread import AWAY_SECONDS, retry_window
from .._journal.job_rows import make_job_id
from .._journal.leases import read_monotonic_mark
from .._journal.money import ESTIMATES, Money, count_for_limits, covers_estimate, estimate_price, known_balance
from .._journal.records import Attempt
from .._journal.steps import Event, State
from .._safety.redaction import sanitize_for_display
from .._wire import draft as drafts
from .._wire.schemas import Credits
from .._wire.schemas import State as SessionState
from .._wire.turn import Turn
from .context import StudioContext
from .handles import SessionHandle
from .in_flight import InFlightRequest
from .message_stream import Stream, stage_of
from .progress import Caller, Progress
from .reconcile import (
    FREE_CONFIRM_SECONDS,
    HORIZON_SECONDS,
    Baseline,
    Message,
    Reconciler,
    build_paid_facts,
    is_refusal,
    make_end_error,
    not_known,
    says_no_credits,
)
from .sessions import GONE, Sessions

logger = logging.getLogger("nemo_client")

STREAM_SECONDS: Final = 16 * 60.0
FIRST_READ_SECONDS: Final = 30.0
NOTHING_PAUSES: Final = (10.0, 30.0)
"""When the state is read after a clean end without a word, in seconds each: it is told within a minute."""
LATE_PAUSES: Final = (3.0, 5.0, 10.0, 15.0, 20.0, 30.0)
"""When the state is read where a result was told of that it does not show yet."""
RACES: Final = 10
WAIT_SECONDS: Final = 0.5
STUCK_SECONDS: Final = 60.0


class NotSent(InputError):
    """A message that would have to be sent, which none of those who wait for it asked for."""


class MessageSender:
    """Sends messages for one desk, in the places that its `sessions` find or open for them."""

    def __init__(self, desk: StudioContext, sessions: Sessions) -> None:
        self._desk = desk
        self._sessions = sessions
        self._settler = Reconciler(desk)
        self._streams = asyncio.Semaphore(desk.profile.streams)

    async def join(self, message: Message, caller: Caller) -> Attempt:
        """As `carry_out`, together with all who ask for the same.

        Where the limit of another one ended the work that was joined, or that it only collects, it is tried within
        this caller's own.
        """
        mine = False

        def start(flight: InFlightRequest) -> Awaitable[Attempt]:
            nonlocal mine
            mine = True
            return self.carry_out(message, flight, caller)

        while True:
            try:
                return await self._desk.flights.join(message.key, start, caller)
            except (LimitError, NotSent):
                if mine:
                    raise

    async def carry_out(self, message: Message, flight: InFlightRequest, caller: Caller) -> Attempt:
        """The finished attempt at `message`: found in the journal, settled, waited for, or sent now."""
        left = False
        for _ in range(RACES):
            try:
                return await self._carried_out(message, flight, caller)
            except LostRace:  # another process moved the attempt in between: look again
                flight.committed = False
            except SessionGone as error:
                if left or not await self._leave(message, error):
                    raise
                left = True
                flight.committed = False
        await self._desk.journal.give_back(message.key)
        raise SessionBusy("session-busy")

    async def _leave(self, message: Message, error: SessionGone) -> bool:
        """Whether a message that met 1002 may go on in a new session: nothing was paid for in the one that is lost."""
        newest = await self._desk.journal.latest(message.key)
        unsent = newest is not None and newest.state in (State.PLANNED, State.REFUSED)
        if error.code != GONE or newest is None or not unsent:
            return False
        return await self._sessions.leave(message, newest.session_id)

    async def _carried_out(self, message: Message, flight: InFlightRequest, caller: Caller) -> Attempt:
        known = await self._desk.journal.latest(message.key)
        if known is not None:
            settled = await self._continue(known, message, flight)
            if settled is not None:
                return settled
            known = await self._desk.journal.latest(message.key)
        if not self._desk.profile.free and all(each.only_collects for each in flight.callers or (caller,)):
            raise NotSent("resume-unsent", job=make_job_id(message.key))
        with contextlib.ExitStack() as line:
            try:
                place = await self._sessions.place(message)
                attempt = await self._planned(known, message, place)
                attempt, baseline = await self._commit(attempt, message, flight, caller, line)
            except LostRace:
                raise
            except (Exception, asyncio.CancelledError):
                flight.committed = False
                with contextlib.suppress(DiskError):  # the first error is the one to tell
                    await self._desk.journal.give_back(message.key)
                raise
            try:
                return await self._sent(attempt, message, baseline, flight, line)
            except NemoError:
                with contextlib.suppress(DiskError):
                    newest = await self._desk.journal.latest(message.key)
                    if newest is not None and newest.state is State.REFUSED:  # its share is free for others again
                        caller.budget.release(message.key)
                raise

    async def _continue(self, known: Attempt, message: Message, flight: InFlightRequest) -> Attempt | None:
        """The attempt if it is done or can be settled now; None if a new try may be made; raises what it ended with."""
        known = await self._free_of_others(known, flight)
        if known.state is State.DONE:
            flight.report(Progress(stage_of(message.kind), reused=True))
            return known
        if known.state is State.SENT:  # its owner is gone, and with it the stream
            known = await self._desk.journal.move(known, Event.OWNER_DIED)
        if not known.paid:
            return await self._settler.found(known, _baseline_of(known)) if known.state is State.UNKNOWN else None
        if known.state is State.UNKNOWN:
            return await self._settler.settle(known, message, _baseline_of(known), flight, first=0.0)
        if known.state in (State.FAILED, State.LOST):  # no verdict is repeated without a look
            late = await self._settler.found(known, _baseline_of(known))
            if late is None:
                raise make_end_error(known)
            await self._desk.journal.claim(late.session_id, message.after.key, message.key)
            return late
        return None

    async def _free_of_others(self, known: Attempt, flight: InFlightRequest) -> Attempt:
        """The attempt once no other living process works on it: the same request is sent once, and waited for.

        A process that lives but has stopped renewing its lease holds its lock all the same; after STUCK_SECONDS its
        process id is named, for nothing may be taken from it.
        """
        stuck = 0.0
        while known.state in (State.PLANNED, State.SENT):
            life = await self._desk.journal.life(known)
            if life in ("ours", "dead"):
                return known
            if life == "stuck" and stuck >= STUCK_SECONDS:
                raise SessionBusy("owner-stuck", pid=await self._desk.journal.owner_pid(known))
            stuck = stuck + WAIT_SECONDS if life == "stuck" else 0.0
            flight.report(Progress("wait"))
            await self._desk.sleep(WAIT_SECONDS)
            known = await self._desk.journal.latest(known.key) or known
        return known

    async def _planned(self, known: Attempt | None, message: Message, place: SessionHandle) -> Attempt:
        where: dict[str, Any] = {
            "session_id": place.session_id,
            "task_id": place.task_id,
            "account": (await self._desk.token()).account,
            "facts": {"text": message.text},
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

    async def _my_turn(self, flight: InFlightRequest, line: contextlib.ExitStack) -> None:
        """Wait, planned, until fewer than the profile's number of streams are read; `line` gives the place free."""
        if self._streams.locked():
            flight.report(Progress("queue"))
        await self._streams.acquire()
        line.callback(self._streams.release)

    async def _commit(
        self, attempt: Attempt, message: Message, flight: InFlightRequest, caller: Caller, line: contextlib.ExitStack
    ) -> tuple[Attempt, Baseline]:
        """When its turn comes, read the baseline, check the money, and record the attempt as sent."""
        try:
            await self._my_turn(flight, line)
            flight.report(Progress("plan"))
            state = await self._desk.client.state(attempt.session_id)
            state, files = await self._sessions.with_pictures(message, attempt.session_id, state)
            credits = None if attempt.free else await self._read_balance(caller)
            flight.usual = await self._desk.journal.usual_seconds(self._desk.profile.name, attempt.kind)
            draft = state.draft or {}
            media = drafts.list_media_ids(state.raw)
            baseline = Baseline(drafts.digest_segments(draft), media, state.draft, credits, files)
            if not flight.callers:  # whoever asked for it has left: nothing is spent for nobody
                raise Cancelled("cancelled")
            flight.committed = attempt.paid  # before the record says so: no cancel may come in between
            flight.recorded = read_monotonic_mark()
            return await self._admitted(attempt, baseline, flight, caller), baseline
        except (Exception, asyncio.CancelledError):
            caller.budget.release(attempt.key)
            try:
                await self._release(attempt)
            except JournalAway:  # it may be there as sent, and only this process knows that it was not
                self._desk.flights.chore(f"release {attempt.key}", lambda: self._release_later(attempt))
            raise

    async def _read_balance(self, caller: Caller) -> Credits | None:
        """The balance; None where it is unlimited, or cannot be read and no limit needs it."""
        profile = self._desk.profile
        try:
            return known_balance(await self._desk.client.balance())
        except SignInError:
            raise
        except NemoError as error:
            if caller.budget.limit or profile.run_limit or profile.day_limit:
                raise
            logger.info("the balance could not be read (%s)", error.id)
            return None

    async def _tell_charges(self, account: str, credits: Credits | None, caller: Caller) -> bool:
        """Note charges that came after their work was done; whether one is still to come."""
        if credits is None:
            return False
        settled = self._desk.wall() - HORIZON_SECONDS
        told, more = await self._desk.journal.tell_charges(account, credits.held, settled)
        for key, spent in told.items():
            caller.budget.correct(key, spent)
        return more

    async def _admitted(self, attempt: Attempt, baseline: Baseline, flight: InFlightRequest, caller: Caller) -> Attempt:
        """The attempt as sent, in one transaction with the check of credits and limits."""
        journal, profile = self._desk.journal, self._desk.profile
        owing = await self._tell_charges(attempt.account, baseline.credits, caller)
        kinds = {attempt.kind, *ESTIMATES}
        seen = {kind: await journal.charges(profile.name, kind) for kind in kinds} if attempt.paid else {}
        expected = {kind: estimate_price(kind, charges) for kind, charges in seen.items()}
        flight.price = expected.get(attempt.kind, 0.0)
        facts: dict[str, Any] = {"baseline": baseline.to_json()}

        def admit(opened: Sequence[Attempt], day: Sequence[Attempt]) -> None:
            facts["alone"] = not opened and not owing
            if attempt.free:
                return
            self._check_limits(expected, attempt.kind, attempt.key, day, caller)
            others = [expected[other.kind] for other in opened]
            credits, mine, known = baseline.credits, expected[attempt.kind], bool(seen[attempt.kind])
            if credits is not None and not covers_estimate(credits, mine, others, seen=known):
                raise NoCredits(code=2001)
            caller.budget.take(attempt.key, expected[attempt.kind])

        try:
            return await journal.commit(attempt, admit, facts=facts, run=caller.run)
        except NoCredits as error:
            raise await self._desk.no_credits(baseline.credits) from error

    async def _release(self, attempt: Attempt) -> None:
        """Nothing was sent: a planned attempt is let go, and one that was recorded as sent is taken back.

        Only by its epoch is the record known to be this one's: another Studio of this process has the same owner, and
        a message of its own that is out must never be called refused.
        """
        newest = await self._desk.journal.latest(attempt.key)
        if newest is None or newest.number != attempt.number:
            return
        own = {
            (State.PLANNED, attempt.epoch): Event.RELEASE,
            (State.SENT, attempt.epoch + 1): Event.REFUSE,
            (State.UNKNOWN, attempt.epoch + 2): Event.REFUSE,  # and taken for dead since
        }
        event = own.get((newest.state, newest.epoch))
        if event is not None:
            with contextlib.suppress(LostRace):  # the first error is the one to tell
                await self._desk.journal.move(newest, event)

    async def _release_later(self, attempt: Attempt) -> None:
        with retry_window():
            await self._release(attempt)

    def _check_limits(
        self, expected: Mapping[str, float], kind: str, key: str, day: Sequence[Attempt], caller: Caller
    ) -> None:
        """`LimitError` if this message would pass its own limit, or the profile's for a run or the last 24 hours."""
        profile = self._desk.profile
        day = day if profile.run_limit or profile.day_limit else ()
        costs = [(each, count_for_limits(each.kind, each.facts.money, expected)) for each in day]
        limits = (
            (caller.budget.limit, "max_credits", caller.budget.without(key)),
            (profile.run_limit, "run_limit", sum(taken for each, taken in costs if each.run == caller.run)),
            (profile.day_limit, "day_limit", sum(taken for _, taken in costs)),
        )
        for limit, name, gone in limits:
            if 0 < limit < gone + expected[kind]:
                raise LimitError(
                    "limit", estimate=f"{expected[kind]:g}", limit=limit, limit_name=name, spent=f"{gone:g}"
                )

    async def _sent(
        self,
        attempt: Attempt,
        message: Message,
        baseline: Baseline,
        flight: InFlightRequest,
        line: contextlib.ExitStack,
    ) -> Attempt:
        """Send it, and record what it came to, however long the journal's database may be away meanwhile."""
        with retry_window(lambda: flight.report(Progress("record"))) as patience:
            try:
                return await self._send(attempt, message, baseline, flight, line)
            except JournalAway as error:
                minutes = f"{AWAY_SECONDS / 60:g}"
                charged: Charged = "maybe" if attempt.paid else "no"
                raise DiskError("journal-unwritten", charged=charged, minutes=minutes) from error
            except asyncio.CancelledError:
                patience.end()
                raise

    async def _send(
        self,
        attempt: Attempt,
        message: Message,
        baseline: Baseline,
        flight: InFlightRequest,
        line: contextlib.ExitStack,
    ) -> Attempt:
        stream = Stream(self._desk, attempt, message, baseline, flight)
        turn = stream.turn
        try:
            with line:  # only the stream counts, not what follows it
                shown = await self._listen(stream, flight)
        except TooLate:
            await self._held_back(attempt, message)
            raise LostRace from None
        except NemoError as error:
            if is_refusal(error):
                raise await self._refusal(attempt, message, baseline, error) from error
            return await self._cut(attempt, message, baseline, turn, flight, error.id)
        except asyncio.TimeoutError:
            return await self._cut(attempt, message, baseline, turn, flight, "stream-too-long")
        except (Exception, asyncio.CancelledError):
            await self._move_on(attempt)
            raise
        if turn.failure is not None:
            return await self._failed_inside(attempt, message, baseline, turn)
        if shown is not None and turn.question is None:  # the stream is read on, and the result is there
            return await self._settler.done(attempt, Event.FINISH, baseline, shown, turn.reply, **_said(turn))
        return await self._conclude(attempt, message, baseline, turn, flight)

    async def _listen(self, stream: Stream, flight: InFlightRequest) -> SessionState | None:
        """Read the stream to its end (None), or until its result can be taken: then it is read on in the background.

        Nothing but the cap ends it; `asyncio.TimeoutError` says that it was passed.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + STREAM_SECONDS
        reading = asyncio.ensure_future(stream.read(partial(self._desk.journal.keeps, flight.recorded)))
        watching = asyncio.ensure_future(stream.watch())
        try:
            await asyncio.wait({reading, watching}, timeout=STREAM_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done() and watching.done():
                if (error := watching.exception()) is None:
                    self._desk.flights.read_on(reading, end - clock())
                    return watching.result()
                logger.error("the watch over a stream ended with %s", type(error).__name__)
                await asyncio.wait({reading}, timeout=max(end - clock(), 0.0))
            if not reading.done():
                raise asyncio.TimeoutError
            reading.result()
            return None
        finally:
            await self._desk.flights.end({reading, watching})

    async def _move_on(self, attempt: Attempt) -> None:
        """This Studio is being closed: what becomes of the message is not known; nobody waits for a database."""
        with retry_window() as patience, contextlib.suppress(JournalAway):  # others see that its owner has gone
            patience.end()
            await self._desk.journal.move(attempt, Event.BREAK)

    async def _refusal(self, attempt: Attempt, message: Message, baseline: Baseline, error: NemoError) -> NemoError:
        with contextlib.suppress(JournalAway):  # that nothing was charged is worth more than a record of it
            await self._settler.not_sent(attempt, error.id)
        return await self._desk.no_credits(baseline.credits) if isinstance(error, NoCredits) else error

    async def _held_back(self, attempt: Attempt, message: Message) -> None:
        """It stood still between its record and its message: others may have taken it for dead, so it asks anew."""
        logger.info("the message was held back: its record had become too old")
        await self._settler.not_sent(attempt, "held-back")

    async def _cut(
        self, attempt: Attempt, message: Message, baseline: Baseline, turn: Turn, flight: InFlightRequest, why: str
    ) -> Attempt:
        """The stream broke, or its cap was passed. Where all was said by then, that is the answer."""
        if turn.failure is not None:
            return await self._failed_inside(attempt, message, baseline, turn)
        said = turn.over if why == "stream-too-long" else turn.whole
        if said and (turn.ended or turn.question or message.kind == "chat"):
            logger.info("the stream ended with %s after the whole answer", why)
            return await self._conclude(attempt, message, baseline, turn, flight)
        return await self._broken(attempt, message, baseline, turn, flight, why, at_once=said)

    async def _broken(
        self, attempt: Attempt, message: Message, baseline: Baseline, turn: Turn, flight: InFlightRequest, why: str,
        *, at_once: bool = False,
    ) -> Attempt:  # fmt: skip
        """The message may be out and at work: nothing is sent again, the state is read instead."""
        logger.info("the message ended with %s", why)
        attempt = await self._unknown(attempt, turn, why)
        if not attempt.paid:
            await self._desk.sleep(FREE_CONFIRM_SECONDS)
            found = await self._settler.found(attempt, baseline)
            if found is not None:
                return found
            raise ConnectionBroken("answer-broken", host=self._desk.client.http.host, call="the message")
        first = 0.0 if at_once else FIRST_READ_SECONDS
        return await self._settler.settle(attempt, message, baseline, flight, first=first)

    async def _unknown(self, attempt: Attempt, turn: Turn, why: str) -> Attempt:
        """The attempt as unknown, with why and with what was said: whoever settles it tells that."""
        facts = {"error": why, "reply": turn.reply, **_said(turn)}
        return await self._desk.journal.move(attempt, Event.BREAK, facts=facts)

    async def _failed_inside(self, attempt: Attempt, message: Message, baseline: Baseline, turn: Turn) -> Attempt:
        """An error inside the stream: one read of state and balance is enough to report."""
        reason = sanitize_for_display(str(getattr(turn.failure, "message", ""))) or "?"
        attempt = await self._unknown(attempt, turn, reason)
        done = await self._settler.found(attempt, baseline)
        if done is not None:
            return done
        made = len(turn.tools) > len(turn.open_calls)
        if says_no_credits(turn.failure) and not made and await self._settler.untouched(attempt, baseline):
            raise await self._refusal(attempt, message, baseline, NoCredits(code=2001))
        money = await self._settler.money(attempt, baseline)
        taken = bool(money.spent) and money.certainty == "exact"
        self._settler.later(attempt, message, baseline)
        raise ResultUnknown(
            "stream-failure", charged="yes" if taken else "maybe" if attempt.paid else "no", reason=reason
        )

    async def _conclude(
        self, attempt: Attempt, message: Message, baseline: Baseline, turn: Turn, flight: InFlightRequest
    ) -> Attempt:
        """After a clean end: what was made, by the quiet state."""
        try:
            state = await self._settler.quiet_state(attempt)
        except NemoError as error:
            return await self._broken(attempt, message, baseline, turn, flight, error.id)
        answered = not turn.silent and not turn.open_calls
        changed = drafts.digest_draft(state.draft or {}) != drafts.digest_draft(baseline.draft or {})
        made = changed and drafts.is_ready(state.draft or {})
        if message.kind == "chat" and answered:
            if not made and attempt.paid and (turn.made_something or baseline.has_new_media(state)):
                return await self._late(attempt, message, baseline, turn)
            return await self._settler.done(attempt, Event.FINISH, baseline, state, turn.reply, **_said(turn))
        if made and (not turn.open_calls or baseline.shows_work(state)):
            return await self._settler.done(attempt, Event.FINISH, baseline, state, turn.reply, **_said(turn))
        if turn.open_calls or (turn.question is None and await self._settler.at_work(attempt, baseline)):
            return await self._broken(attempt, message, baseline, turn, flight, "no-answer")
        if not answered:
            return await self._nothing_said(attempt, message, baseline, turn)
        return await self._made_nothing(attempt, message, baseline, turn, state)

    async def _nothing_said(self, attempt: Attempt, message: Message, baseline: Baseline, turn: Turn) -> Attempt:
        """A clean end without anything readable: a gateway that ends an idle stream looks the same."""
        attempt = await self._unknown(attempt, turn, "answered-nothing")
        return await self._look_for(attempt, message, baseline, NOTHING_PAUSES)

    async def _late(self, attempt: Attempt, message: Message, baseline: Baseline, turn: Turn) -> Attempt:
        """The stream told of success, and the state does not show it yet: never a failure, but a matter of time."""
        attempt = await self._unknown(attempt, turn, "result-late")
        return await self._look_for(attempt, message, baseline, LATE_PAUSES)

    async def _look_for(
        self, attempt: Attempt, message: Message, baseline: Baseline, pauses: Sequence[float]
    ) -> Attempt:
        """Read the state after each of these pauses; what does not show by then is settled in the background."""
        for pause in pauses if attempt.paid else (FREE_CONFIRM_SECONDS,):
            await self._desk.sleep(pause)
            found = await self._settler.found(attempt, baseline)
            if found is not None:
                return found
        self._settler.later(attempt, message, baseline)
        raise not_known(attempt)

    async def _made_nothing(
        self, attempt: Attempt, message: Message, baseline: Baseline, turn: Turn, state: SessionState
    ) -> Attempt:
        """A clean answer, and no draft of it: declined, unless anything tells that something was made."""
        money = await self._settler.money(attempt, baseline)
        fell = bool(money.spent) and money.certainty == "exact" and turn.question is None
        if attempt.paid and (fell or turn.tells_of_success or baseline.has_new_media(state)):
            return await self._late(attempt, message, baseline, turn)
        return await self._declined(attempt, message, money, turn)

    async def _declined(self, attempt: Attempt, message: Message, money: Money, turn: Turn) -> Attempt:
        changes = build_paid_facts(money, reply=turn.reply, **_said(turn))
        attempt = await self._desk.journal.move(attempt, Event.DECLINE, **changes)
        raise make_end_error(attempt)


def _baseline_of(attempt: Attempt) -> Baseline:
    return Baseline.from_json(attempt.facts["baseline"])


def _said(turn: Turn) -> dict[str, Any]:
    """What the journal keeps of a turn beside its reply: whether it ended in words, and what it asks the user."""
    asked = {"question": turn.question.to_json()} if turn.question else {}
    return {"spoke_last": turn.spoke_last, **asked}

"""One paid send: planned, recorded as sent, POSTed once, and reconciled with what the session's state shows.

The order is the whole point: the attempt is planned, the baseline stored, the row recorded as sent, and only then
does the POST go out, once, without any retry. Afterwards the evidence in the session's state decides, not the
stream alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from .._errors import (
    ApiError,
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
    TooLate,
)
from .._journal.db_thread import retry_window
from .._journal.job_rows import make_job_id
from .._journal.leases import read_monotonic_mark
from .._journal.money import Money
from .._journal.records import Attempt, Facts, StoredFacts
from .._journal.steps import Event, IllegalMove, State
from .._safety.redaction import sanitize_for_display
from .._text.messages import Phrase
from .._wire import draft as drafts
from .._wire.schemas import State as SessionState
from .._wire.turn import Turn
from .admission import Admission
from .context import RACE_TRIES, StudioContext
from .handles import SessionHandle
from .in_flight import InFlightRequest
from .message_stream import MessageStream, find_stage
from .progress import Caller, Progress
from .reconcile import (
    Baseline,
    Message,
    Reconciler,
    build_paid_facts,
    is_refusal,
    make_end_error,
    make_unknown_error,
    says_no_credits,
)
from .sessions import GONE, Sessions, is_session_gone

logger = logging.getLogger("nemo_client")

SPOKEN_LOOKS: Final = 3
"""How often the state is read where a chat promises a video in words alone, or was charged before there is one."""
WAIT_SECONDS: Final = 0.5
STUCK_SECONDS: Final = 60.0


class NotSent(InputError):
    """A message that would have to be sent, while all callers only collect results."""


class MessageSender:
    """Sends messages for one Studio, in the sessions that `sessions` claims or opens for them."""

    def __init__(self, context: StudioContext, sessions: Sessions) -> None:
        self._context = context
        self._sessions = sessions
        self._reconciler = Reconciler(context)
        self._streams = asyncio.Semaphore(context.profile.streams)

    async def send(self, message: Message, caller: Caller) -> Attempt:
        """The finished attempt at `message`, shared by all callers that ask for the same at a time.

        Where the limit of another caller ended the shared work, or that caller only collects, it is tried again within
        this caller's own limit.
        """
        mine = False

        def start(request: InFlightRequest) -> Awaitable[Attempt]:
            nonlocal mine
            mine = True
            paid_send = PaidSend(
                self._context, self._sessions, self._reconciler, self._streams, message, request, caller
            )
            return paid_send.carry_out()

        while True:
            try:
                return await self._context.in_flight.join(message.key, start, caller)
            except (LimitError, NotSent):
                if mine:
                    raise


@dataclass(repr=False, eq=False)
class PaidSend:
    """One message on its way: what is sent, for which caller, and how far it has come.

    `attempt` is the journal's row as this send last wrote it, from the plan on; `baseline` what things were like before
    the message; `turn` what its stream brought; `stream_slot` the place among the profile's streams, given back by
    closing it.
    """

    context: StudioContext
    sessions: Sessions
    reconciler: Reconciler
    streams: asyncio.Semaphore
    message: Message
    request: InFlightRequest
    caller: Caller
    attempt: Attempt = field(init=False)
    baseline: Baseline = field(init=False)
    turn: Turn = field(init=False)
    stream_slot: contextlib.ExitStack = field(init=False)
    posted: bool = False  # the message may be with the backend; never sent again in this call

    async def carry_out(self) -> Attempt:
        """The finished attempt: found in the journal, reconciled, waited for, or sent now."""
        left_session = False
        for _ in range(RACE_TRIES):
            try:
                with await self._wait_for_neighbours():
                    return await self._find_or_send()
            except (LostRace, IllegalMove) as error:  # another process moved the attempt in between: look again
                if self.posted and await self._is_record_gone():
                    raise ResultUnknown("record-gone", charged="maybe" if self.attempt.paid else "no") from error
                if isinstance(error, IllegalMove):
                    raise
                self.request.committed = False
            except SessionGone as error:
                if left_session or not await self._leave_session(error):
                    raise
                left_session = True
                self.request.committed = False
        await self.context.journal.give_back(self.message.key)
        raise SessionBusy("session-busy")

    async def _wait_for_neighbours(self) -> AbstractContextManager[None]:
        """Once no other Studio of this process, with the same journal, is at this message: its turn, to be held.

        They are one owner, so no record tells that the other's stream is still read.
        """
        while (turn := self.context.journal.take_turn(self.message.key)) is None:
            self.request.report(Progress("wait"))
            await self.context.sleep(WAIT_SECONDS)
        return turn

    async def _is_record_gone(self) -> bool:
        """Whether the journal forgot that this was sent, as a database does that was restored from an older copy."""
        newest = await self._find_newest()
        return newest is None or newest.number < self.attempt.number or newest.state is State.PLANNED

    async def _find_or_send(self) -> Attempt:
        known = await self._find_newest()
        if known is not None:
            finished = await self._continue(known)
            if finished is not None:
                return finished
            known = await self._find_newest()
        if not self.context.profile.free and all(each.only_collects for each in self.request.callers or (self.caller,)):
            raise NotSent("resume-unsent", job=make_job_id(self.message.key))
        with contextlib.ExitStack() as self.stream_slot:
            try:
                await self._plan(known, await self.sessions.claim_session(self.message))
                await self._commit()
            except LostRace:
                raise
            except (Exception, asyncio.CancelledError):
                self.request.committed = False
                with contextlib.suppress(DiskError):  # the first error is the one to report
                    await self.context.journal.give_back(self.message.key)
                raise
            try:
                return await self._send_and_record()
            except NemoError:
                await self._return_share()
                raise

    async def _find_newest(self) -> Attempt | None:
        return await self.context.journal.latest(self.message.key)

    async def _leave_session(self, error: SessionGone) -> bool:
        """Whether a message that met 1002 may go on in a new session: nothing was paid for in the one that is lost."""
        newest = await self._find_newest()
        unsent = newest is not None and newest.state in (State.PLANNED, State.REFUSED)
        if error.code != GONE or newest is None or not unsent:
            return False
        return await self.sessions.leave_session(self.message, newest.session_id)

    async def _return_share(self) -> None:
        """What a refused message had taken of the caller's limit is free for others again."""
        with contextlib.suppress(DiskError):
            newest = await self._find_newest()
            if newest is not None and newest.state is State.REFUSED:
                self.caller.budget.release(self.message.key)

    # An attempt that the journal knows

    async def _continue(self, known: Attempt) -> Attempt | None:
        """The attempt if it is done or can be reconciled now; None if a new try may be made; raises its end."""
        known = await self._wait_for_others(known)
        if known.state is State.DONE:
            self.request.report(Progress(find_stage(self.message.kind), reused=True))
            return known
        if known.state is State.SENT:  # its owner is gone, and with it the stream
            known = await self.context.journal.move(known, Event.OWNER_DIED)
        if known.state is State.UNKNOWN:
            baseline = _read_baseline(known)
            if not known.paid:
                return await self.reconciler.find_result(known, baseline)
            return await self.reconciler.reconcile(known, baseline, self.request, first=0.0)
        if known.paid and known.state in (State.FAILED, State.LOST):  # no verdict is repeated without a look
            late = await self.reconciler.find_result(known, _read_baseline(known))
            if late is None:
                raise make_end_error(known)
            await self.context.journal.claim(late.session_id, self.message.after.key, self.message.key)
            return late
        return None

    async def _wait_for_others(self, known: Attempt) -> Attempt:
        """The attempt once no other living process works on it: the same request is sent once, and waited for.

        A process that lives but has stopped renewing its lease holds its lock all the same; after STUCK_SECONDS its
        process id is named, for nothing may be taken from it.
        """
        stuck = 0.0
        while known.state in (State.PLANNED, State.SENT):
            life = await self.context.journal.life(known)
            if life in ("ours", "dead"):
                return known
            if life == "stuck" and stuck >= STUCK_SECONDS:
                raise SessionBusy("owner-stuck", pid=await self.context.journal.owner_pid(known))
            stuck = stuck + WAIT_SECONDS if life == "stuck" else 0.0
            self.request.report(Progress("wait"))
            await self.context.sleep(WAIT_SECONDS)
            known = await self.context.journal.latest(known.key) or known
        return known

    # Before the POST

    async def _plan(self, known: Attempt | None, place: SessionHandle) -> None:
        """Record the attempt as planned in the claimed session: a first one, one taken over, or another try."""
        where: dict[str, Any] = {
            "session_id": place.session_id,
            "task_id": place.task_id,
            "account": (await self.context.token()).account,
            "facts": Facts(StoredFacts(text=self.message.text)),
        }
        if known is None:
            self.attempt = await self.context.journal.begin(
                Attempt(
                    self.message.key, 1, State.PLANNED, self.context.profile.name,
                    before=self.message.after.key, free=self.context.profile.free, **where,
                )
            )  # fmt: skip
            return
        event = Event.TAKE_OVER if known.state is State.PLANNED else Event.ASK_AGAIN
        self.attempt = await self.context.journal.move(known, event, **where)

    async def _acquire_stream(self) -> None:
        """Wait, planned, until fewer than the profile's number of streams are read."""
        if self.streams.locked():
            self.request.report(Progress("queue"))
        await self.streams.acquire()
        self.stream_slot.callback(self.streams.release)

    async def _commit(self) -> None:
        """When its turn comes, read the baseline, check the money, and record the attempt as sent."""
        attempt, request = self.attempt, self.request
        admission = Admission(self.context, self.caller)
        try:
            await self._acquire_stream()
            request.report(Progress("plan"))
            state = await self._read_state_before(attempt.session_id)
            state, files = await self.sessions.restore_uploads(self.message, attempt.session_id, state)
            credits = None if attempt.free else await admission.read_balance()
            segments, media = drafts.digest_segments(state.draft or {}), drafts.list_media_ids(state.raw)
            self.baseline = Baseline(segments, media, state.draft, credits, files)
            if not request.callers:  # all callers have left: nothing is spent without one
                request.given_up = True  # a caller who comes now waits for its end, and begins again
                raise Cancelled("cancelled")
            request.committed = attempt.paid  # before the record says so: no cancel may come in between
            request.recorded = read_monotonic_mark()
            self.attempt = await admission.record_as_sent(attempt, self.baseline, request)
            self.context.note_sent(self.attempt)
        except (Exception, asyncio.CancelledError):
            self.caller.budget.release(attempt.key)
            try:
                await release_attempt(self.context, attempt)
            except JournalAway:  # it may be there as sent, and only this process knows that it was not
                self.context.in_flight.run_in_background(
                    f"release {attempt.key}", lambda: _release_in_retry_window(self.context, attempt)
                )
            raise

    async def _read_state_before(self, session_id: str) -> SessionState:
        """The state that the baseline is made of.

        `LostRace` where a session that was claimed without a look is another account's: then it is looked at.
        """
        try:
            return await self.context.client.state(session_id)
        except ApiError as error:
            if error.code != GONE and is_session_gone(error) and self.sessions.forget_answer(session_id):
                raise LostRace from error
            raise

    # The POST and its stream

    async def _send_and_record(self) -> Attempt:
        """Send it, and record its result, however long the journal's database may be away meanwhile."""
        with retry_window(lambda: self.request.report(Progress("record")), self.context.journal.timings) as window:
            try:
                return await self._send()
            except JournalAway as error:
                minutes = f"{self.context.journal.timings.away / 60:g}"
                charged: Charged = "maybe" if self.attempt.paid else "no"
                raise DiskError("journal-unwritten", charged=charged, minutes=minutes) from error
            except DiskError as error:  # full, locked or broken, on this machine
                charged = "maybe" if self.attempt.paid and self.posted else "no"
                raise DiskError("journal-unwritable", charged=charged, path=error.facts.get("path", "?")) from error
            except asyncio.CancelledError:
                window.end()
                raise

    async def _send(self) -> Attempt:
        stream = MessageStream(self.context, self.attempt, self.message, self.baseline, self.request)
        self.turn = stream.turn
        try:
            self.posted = True
            with self.stream_slot:  # only the stream counts, not what follows it
                state = await self._read_stream(stream)
        except TooLate:
            self.posted = False
            await self._record_as_held_back()
            raise LostRace from None
        except NemoError as error:
            if is_refusal(error) and not isinstance(error, DiskError):  # this machine's disk is no answer
                self.posted = False
                raise await self._record_refusal(error) from error
            return await self._end_cut_stream(error.id)
        except asyncio.TimeoutError:
            return await self._end_cut_stream("stream-too-long")
        except (Exception, asyncio.CancelledError):
            await self._record_as_abandoned()
            raise
        if self.turn.failure is not None:
            return await self._end_failed_stream()
        answered = self.message.kind != "chat" and state is not None and not self.baseline.shows_work(state)
        if state is not None and self.turn.question is None and not answered:  # the stream is read on
            return await self._finish(state)
        return await self._end_whole_stream()

    async def _read_stream(self, stream: MessageStream) -> SessionState | None:
        """Read the stream to its end (None), or until its result can be taken: then it is read on in the background.

        Nothing but the cap ends it; `asyncio.TimeoutError` says that it was passed.
        """
        clock = asyncio.get_running_loop().time
        cap = self.context.timings.stream
        end = clock() + cap
        may_go = partial(self.context.journal.keeps, self.request.recorded)
        reading = asyncio.ensure_future(stream.send_and_read(may_go))
        watching = asyncio.ensure_future(stream.wait_for_result())
        try:
            await asyncio.wait({reading, watching}, timeout=cap, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done() and watching.done():
                if (error := watching.exception()) is None:
                    self.context.in_flight.read_on(reading, end - clock())
                    return watching.result()
                logger.error("the watch over a stream ended with %s", type(error).__name__)
                await asyncio.wait({reading}, timeout=max(end - clock(), 0.0))
            if not reading.done():
                raise asyncio.TimeoutError
            reading.result()
            return None
        finally:
            await self.context.in_flight.cancel_and_wait({reading, watching})

    async def _record_as_abandoned(self) -> None:
        """This Studio is being closed: the result is not known, and closing waits for no database."""
        timings = self.context.journal.timings
        with retry_window(timings=timings) as window, contextlib.suppress(JournalAway):  # others see its owner gone
            window.end()
            await self.context.journal.move(self.attempt, Event.BREAK)

    async def _record_as_held_back(self) -> None:
        """It stood still between its record and its POST: others may have taken it for dead, so it is planned again."""
        logger.info("the message was held back: its record had become too old")
        await self.reconciler.record_refusal(self.attempt, "held-back")

    async def _record_refusal(self, error: NemoError) -> NemoError:
        with contextlib.suppress(JournalAway):  # that nothing was charged is worth more than a record of it
            await self.reconciler.record_refusal(self.attempt, error.id)
        return await self.context.no_credits(self.baseline.credits) if isinstance(error, NoCredits) else error

    # After the stream

    async def _end_cut_stream(self, why: str) -> Attempt:
        """The stream broke, or its cap was passed. Where the answer was complete by then, it counts."""
        turn = self.turn
        if turn.failure is not None:
            return await self._end_failed_stream()
        complete = turn.over if why == "stream-too-long" else turn.whole
        if complete and (turn.ended or turn.question or self.message.kind == "chat"):
            logger.info("the stream ended with %s after the whole answer", why)
            return await self._end_whole_stream()
        return await self._reconcile(why, at_once=complete)

    async def _reconcile(self, why: str, *, at_once: bool = False) -> Attempt:
        """The message may have arrived and be at work: nothing is sent again, the state is read instead."""
        logger.info("the message ended with %s", why)
        await self._record_as_unknown(why)
        if not self.attempt.paid:
            await self.context.sleep(self.context.timings.free_confirm)
            found = await self.reconciler.find_result(self.attempt, self.baseline)
            if found is not None:
                return found
            raise ConnectionBroken("answer-broken", host=self.context.client.http.host, call=Phrase("call.message"))
        first = 0.0 if at_once else self.context.timings.first_read
        return await self.reconciler.reconcile(self.attempt, self.baseline, self.request, first=first)

    async def _record_as_unknown(self, why: str) -> None:
        """The attempt as unknown, with the reason and the reply so far, for the process that reconciles it."""
        facts = StoredFacts(error=why, reply=self.turn.reply)
        self.attempt = await self.context.journal.move(
            self.attempt, Event.BREAK, facts={**facts, **_build_turn_facts(self.turn)}
        )

    async def _end_failed_stream(self) -> Attempt:
        """An error inside the stream: one read of state and balance is enough to report."""
        turn = self.turn
        reason = sanitize_for_display(str(getattr(turn.failure, "message", ""))) or "?"
        await self._record_as_unknown(reason)
        found = await self.reconciler.find_result(self.attempt, self.baseline)
        if found is not None:
            return found
        made = len(turn.tools) > len(turn.open_calls)
        if (
            says_no_credits(turn.failure)
            and not made
            and await self.reconciler.is_untouched(self.attempt, self.baseline)
        ):
            raise await self._record_refusal(NoCredits(code=2001))
        money = await self.reconciler.measure_money(self.attempt, self.baseline)
        charged: Charged = "yes" if money.sure else "maybe" if self.attempt.paid else "no"
        self.reconciler.reconcile_in_background(self.attempt, self.baseline)
        raise ResultUnknown("stream-failure", charged=charged, reason=reason)

    async def _end_whole_stream(self) -> Attempt:
        """After a clean end: what was made, by the quiet state."""
        attempt, baseline, turn = self.attempt, self.baseline, self.turn
        try:
            state = await self.reconciler.read_quiet_state(attempt, longer=turn.made_much)
        except NemoError as error:
            return await self._reconcile(error.id)
        answered = not turn.silent and not turn.open_calls
        changed = not drafts.is_same(state.draft, baseline.draft)
        made = changed and drafts.is_ready(state.draft or {})
        if self.message.kind == "chat" and answered:
            if not made and attempt.paid and (turn.made_something or baseline.has_new_media(state)):
                return await self._wait_for_result("result-late", self.context.timings.late_pauses)
            return await self._finish(state if made else await self._look_for_promised(state))
        if made and (not turn.open_calls or baseline.shows_work(state)):
            return await self._finish(state)
        if turn.open_calls or (turn.question is None and await self.reconciler.is_still_working(attempt, baseline)):
            return await self._reconcile("no-answer")
        if not answered:  # a gateway that ends an idle stream looks the same
            return await self._wait_for_result("answered-nothing", self.context.timings.nothing_pauses)
        return await self._end_without_draft(state)

    async def _look_for_promised(self, state: SessionState) -> SessionState:
        """The state with the work that a chat's answer tells of, where it comes within a few looks; else as it is."""
        if not self.attempt.paid or not (self.turn.tells_of_success or await self._is_charged_for_no_video()):
            return state
        for pause in self.context.timings.late_pauses[:SPOKEN_LOOKS]:
            await self.context.sleep(pause)
            try:
                if self.baseline.shows_work(await self.context.client.state(self.attempt.session_id)):
                    return await self.reconciler.read_quiet_state(self.attempt)
            except NemoError as error:
                logger.info("the state could not be read (%s)", error.id)
        return state

    async def _is_charged_for_no_video(self) -> bool:
        """Whether the balance fell in a session without a video: an answer that costs promises one, most often."""
        if drafts.is_ready(self.baseline.draft):
            return False
        return bool((await self.reconciler.measure_money(self.attempt, self.baseline)).spent)

    async def _finish(self, state: SessionState) -> Attempt:
        facts = _build_turn_facts(self.turn)
        return await self.reconciler.finish(
            self.attempt, Event.FINISH, self.baseline, state, self.turn.reply, facts=facts
        )

    async def _wait_for_result(self, why: str, pauses: Sequence[float]) -> Attempt:
        """Unknown for now: read the state after each of these pauses, then go on in the background.

        A tool may have reported success that the state does not show yet: that is no failure, but a matter of time.
        """
        await self._record_as_unknown(why)
        for pause in pauses if self.attempt.paid else (self.context.timings.free_confirm,):
            await self.context.sleep(pause)
            found = await self.reconciler.find_result(self.attempt, self.baseline)
            if found is not None:
                return found
        self.reconciler.reconcile_in_background(self.attempt, self.baseline)
        raise make_unknown_error(self.attempt)

    async def _end_without_draft(self, state: SessionState) -> Attempt:
        """A clean answer, and no draft of it: declined, unless there is a sign that something was made."""
        money, turn = await self.reconciler.measure_money(self.attempt, self.baseline), self.turn
        fell = bool(money.sure) and turn.question is None
        if self.attempt.paid and (fell or turn.tells_of_success or self.baseline.has_new_media(state)):
            return await self._wait_for_result("result-late", self.context.timings.late_pauses)
        raise await self._record_as_declined(money)

    async def _record_as_declined(self, money: Money) -> NemoError:
        """Record that the backend answered and made nothing; the error that says so."""
        facts = StoredFacts(reply=self.turn.reply)
        changes = build_paid_facts(money, {**facts, **_build_turn_facts(self.turn)})
        return make_end_error(await self.context.journal.move(self.attempt, Event.DECLINE, **changes))


async def release_attempt(context: StudioContext, attempt: Attempt) -> None:
    """Nothing was sent: a planned attempt is let go, and one that was recorded as sent is taken back.

    Only its epoch tells that the record is this send's own: another Studio of this process has the same owner, and a
    message that it has sent must never be called refused.
    """
    newest = await context.journal.latest(attempt.key)
    if newest is None or newest.number != attempt.number:
        return
    own = {
        (State.PLANNED, attempt.epoch): Event.RELEASE,
        (State.SENT, attempt.epoch + 1): Event.REFUSE,
        (State.UNKNOWN, attempt.epoch + 2): Event.REFUSE,  # and taken for dead since
    }
    event = own.get((newest.state, newest.epoch))
    if event is not None:
        with contextlib.suppress(LostRace):  # the first error is the one to report
            await context.journal.move(newest, event)


async def _release_in_retry_window(context: StudioContext, attempt: Attempt) -> None:
    with retry_window(timings=context.journal.timings):
        await release_attempt(context, attempt)


def _read_baseline(attempt: Attempt) -> Baseline:
    """The baseline of an attempt that was sent; each one has it."""
    return Baseline.from_json(attempt.facts.baseline or {})


def _build_turn_facts(turn: Turn) -> StoredFacts:
    """What the journal keeps of a turn beside its reply: whether it ended in words, and what it asks the user."""
    facts = StoredFacts(spoke_last=turn.spoke_last)
    if turn.question:
        facts["question"] = turn.question.to_json()
    return facts

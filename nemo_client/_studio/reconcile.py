"""Reconciles a sent message: finds its result by comparing session and balance with the baseline before it.

`Message`, `Baseline` and the errors that an end is reported as are pure; the `Reconciler` reads and records.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .._config.profiles import CLOUD, LOCAL
from .._errors import (
    ApiError,
    Charged,
    ConnectError,
    LocalError,
    LostRace,
    NemoError,
    NothingMade,
    QuestionAsked,
    ResultUnknown,
    SessionGone,
    SignInError,
)
from .._journal.job_rows import make_job_id
from .._journal.journal import Journal
from .._journal.money import FREE, Money, known_balance, measure_charge
from .._journal.records import Attempt, StoredFacts
from .._journal.steps import REFUSALS, Event, Kind, State
from .._safety.redaction import sanitize_for_display
from .._text import prompts
from .._text.gui_translator import translate
from .._text.questions import read_inquiry
from .._wire import draft as drafts
from .._wire.schemas import Credits
from .._wire.schemas import State as SessionState
from .._wire.sse import StreamFailure
from .context import StudioContext
from .handles import SessionHandle
from .in_flight import InFlightRequest
from .jobs import Job
from .progress import Progress


@dataclass(frozen=True)
class Message:
    """A message to a session: its step key, its kind, where it follows on, and its text as it goes out.

    `words` are the user's own of it, by which its language is told; empty where `text` is all of them.
    """

    key: str
    kind: Kind
    after: SessionHandle
    text: str
    words: str = ""


@dataclass(frozen=True)
class Baseline:
    """What the session and the account were like before a message was sent; `files` are the uploads it listed."""

    segments: str
    media: frozenset[str]
    draft: Mapping[str, Any] | None
    credits: Credits | None
    files: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data, for the journal."""
        return {
            "segments": self.segments,
            "media": sorted(self.media),
            "draft": self.draft,
            "credits": self.credits.model_dump(mode="json") if self.credits else None,
            "files": sorted(self.files),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Baseline:
        """The baseline that `to_json` wrote."""
        credits = Credits.model_validate(data["credits"]) if data.get("credits") else None
        files = frozenset(data.get("files", ()))
        return cls(data["segments"], frozenset(data["media"]), data.get("draft"), credits, files)

    @classmethod
    def from_attempt(cls, attempt: Attempt) -> Baseline | None:
        """The baseline that was recorded before the attempt was sent; None where nothing was."""
        return None if attempt.facts.baseline is None else cls.from_json(attempt.facts.baseline)

    def shows_work(self, state: SessionState) -> bool:
        """Whether `state` holds new media or other segments, in a draft that can be exported.

        "Changed" alone is no evidence: re-signed addresses and late analyses change a state, too.
        """
        if not drafts.is_ready(state.draft or {}):
            return False
        return self.has_new_media(state) or drafts.digest_segments(state.draft or {}) != self.segments

    def has_new_media(self, state: SessionState) -> bool:
        """Whether `state` lists generated media that were not there before, in a draft or not."""
        return bool(drafts.list_media_ids(state.raw) - self.media)

    def is_followed_by(self, later: Baseline) -> bool:
        """As `shows_work`, by what things were like before a later message of the session."""
        if not drafts.is_ready(later.draft or {}):
            return False
        return bool(later.media - self.media) or later.segments != self.segments


def make_unknown_error(attempt: Attempt) -> ResultUnknown:
    """What an attempt whose result is not known is reported as, by why that is so."""
    why = attempt.facts.error
    text_id = {"stream-too-long": "stream-capped"}.get(why, why)
    text_id = text_id if text_id in ("answered-nothing", "result-late", "stream-capped") else "result-unknown"
    return ResultUnknown(text_id, charged="maybe" if attempt.paid else "no", why=why)


def is_refusal(error: NemoError) -> bool:
    """Whether an error proves that the message was not worked on (a web page or half an answer does not).

    Nor does any answer of a server in trouble, whatever code it brings.
    """
    if isinstance(error, (ConnectError, LocalError)):
        return True
    if not isinstance(error, ApiError) or error.status in (408, 425) or error.status >= 500:
        return False
    return error.code in REFUSALS or error.status in REFUSALS


def says_no_credits(failure: StreamFailure | None) -> bool:
    """Whether a failure inside of a stream is 2001: as its code, wherever that stands, or in its words."""
    if failure is None:
        return False
    places: list[Any] = [failure.details]
    while places:
        place = places.pop()
        if isinstance(place, Mapping):
            codes = [place.get(name) for name in _CODE_NAMES]
            if any(str(code).strip() == "2001" for code in codes if not isinstance(code, bool)):
                return True
            places += [each for each in place.values() if isinstance(each, (Mapping, list))]
        else:
            places += [each for each in place if isinstance(each, (Mapping, list))]
    return bool(_SAID_2001.search(failure.message))


_CODE_NAMES: Final = ("code", "error_code", "errorCode", "status")
_SAID_2001: Final = re.compile(r"(?<![\d.])2001(?![\d.]\d|\d)")


def _remove_page_orders(reply: str) -> str:
    """An answer without orders to click on a page that its reader does not see."""
    return translate(reply, prompts.detect_language(reply)).text


def make_end_error(attempt: Attempt) -> NemoError:
    """What a finished attempt that made nothing is reported as, now and whenever it is asked for again."""
    money = attempt.facts.money
    if attempt.state is State.LOST:
        return ResultUnknown("result-lost")
    if not is_answered(attempt):
        return _make_nothing_error(attempt.key)
    job = make_job_id(attempt.key)
    sure = money.spent == 0 or money.certainty == "exact"
    reply = sanitize_for_display(_remove_page_orders(attempt.facts.reply), 500)
    taken: Charged = "maybe" if money.spent is None or not sure else "yes" if money.spent else "no"
    error = _make_question_error(attempt, reply, taken) or NothingMade(
        "nothing-made", charged=taken, reply=reply or "…"
    )
    error.session, error.job = make_handle(attempt, "auto"), job
    if drafts.is_ready((attempt.facts.baseline or {}).get("draft")):
        error.holds = "before"
    return error


def make_kept_question(attempt: Attempt) -> NothingMade | None:
    """What a message asked that made a video as well, as an error to show; None where it asked nothing."""
    error = _make_question_error(attempt, sanitize_for_display(_remove_page_orders(attempt.facts.reply), 500), "yes")
    if error is not None:
        error.session, error.job, error.holds = make_handle(attempt, "auto"), make_job_id(attempt.key), "now"
    return error


def _make_nothing_error(key: str) -> NothingMade:
    nothing = NothingMade("result-none")
    nothing.job = make_job_id(key)
    return nothing


def _make_question_error(attempt: Attempt, reply: str, charged: Charged) -> NothingMade | None:
    """The question that a message ended with, as an error; None where it asked none."""
    if attempt.facts.question is None:
        return None
    inquiry = read_inquiry(attempt.facts.question)
    question = " ".join(filter(None, [reply, inquiry.line])) or "…"
    error = QuestionAsked("question-asked", charged=charged, question=question, reply=reply)
    error.title, error.questions = inquiry.title, inquiry.questions
    error.options, error.example = inquiry.options, inquiry.example
    return error


def compose_reply(attempt: Attempt, language: str) -> tuple[str, str]:
    """What a finished message answered, with what it asks, and what it changed in the draft, in words.

    A turn that changed a draft and ended without a word tells what changed, also where a sentence stood before the
    work.
    """
    facts = attempt.facts
    reply = facts.reply
    if facts.question:
        asked = read_inquiry(facts.question).line
        reply = "\n\n".join(filter(None, [reply, asked]))
    spoke_last = bool(reply) if facts.spoke_last is None else facts.spoke_last
    if facts.baseline is None or not facts.draft or spoke_last:
        return reply, ""
    if language == "auto":
        language = prompts.detect_language(facts.text)
    changes = drafts.describe_changes(facts.baseline.get("draft") or {}, facts.draft, language)
    return reply, "" if changes in reply else changes


async def outcome_of(journal: Journal, job: Job) -> NemoError | None:
    """The error of a job that made nothing, or the question of one that waits for an answer; else None.

    Facts are long: they are read only if they tell more than the job does.
    """
    if job.state == State.LOST.value:
        return ResultUnknown("result-lost")
    if job.state == State.FAILED.value and job.error == "result-none":
        return _make_nothing_error(job.key)
    attempt = await journal.latest(job.key)
    if attempt is None:
        return None
    if attempt.state is State.DONE:
        return make_kept_question(attempt)
    return make_end_error(attempt) if attempt.state in (State.FAILED, State.LOST) else None


def chat_command(profile: str, session_id: str, message: str = "") -> str:
    """The shell command that says `message` in a session (or asks for one), to be typed as it stands."""
    where = {CLOUD: [], LOCAL: ["--local"]}.get(profile, ["--profile", profile])
    return shlex.join(["nemo-video", "chat", *filter(None, [message]), "--session", session_id, *where])


def answer_command(error: NothingMade) -> str:
    """The shell command that answers the backend in the session that asked; empty where nothing was asked.

    It begins with the first of the options that were offered, else with a word to be replaced.
    """
    if error.session is None:
        return ""
    example = error.example if isinstance(error, QuestionAsked) else ""
    return chat_command(error.session.profile, error.session.session_id, example or "ANSWER")


def is_answered(attempt: Attempt) -> bool:
    """Whether the backend answered this message and made nothing: it asked something, or declined.

    Its answer lies in the session, so what is said next is said there and nowhere else.
    """
    return attempt.state is State.FAILED and attempt.facts.has_reply and attempt.facts.error != "result-none"


def make_handle(attempt: Attempt, language: str) -> SessionHandle:
    """The handle of a finished step."""
    return SessionHandle(attempt.profile, language, attempt.key, attempt.session_id, attempt.task_id, attempt.account)


logger = logging.getLogger("nemo_client")

UNCHANGED_READS: Final = 5
SECOND_STAGE: Final = 2.5
"""How much longer a draft has to be quiet where several tools made something."""
QUIET_READS: Final = 5
LATE_READS: Final = 60
REPORT_SECONDS: Final = 0.1
"""Callers are told first, before anything goes on in the background."""


class Reconciler:
    """Reconciles messages that were sent with what session and balance show, for one Studio."""

    def __init__(self, context: StudioContext) -> None:
        self._context = context

    async def reconcile(
        self, attempt: Attempt, baseline: Baseline, request: InFlightRequest, *, first: float
    ) -> Attempt:
        """Read the state until it shows the result; after five unchanged reads hand back `unknown`."""
        request.report(Progress("settle"))
        for read in range(UNCHANGED_READS):
            await self._context.sleep(first if read == 0 else self._context.timings.next_read)
            ended = await self.read_once(attempt, baseline)
            if ended is not None and ended.state is not State.DONE:
                raise make_end_error(ended)
            if ended is not None:
                return ended
        self.reconcile_in_background(attempt, baseline)
        raise make_unknown_error(attempt)

    async def read_once(self, attempt: Attempt, baseline: Baseline) -> Attempt | None:
        """One free read: the attempt as it ended, or None while that is not known. Only a state that was read counts.

        Raises `SignInError` and `SessionGone`, after which no further read can help.
        """
        try:
            done = await self.confirm_result(attempt, baseline)
        except (SignInError, SessionGone) as error:
            error.charged = "maybe"
            raise
        except LostRace:
            raise
        except NemoError as error:
            logger.info("the state could not be read (%s)", error.id)
            return None
        if done is None and self._context.seconds_since_sent(attempt) > self._context.timings.horizon:
            return await self._expire(attempt, baseline)
        return done

    def reconcile_in_background(self, attempt: Attempt, baseline: Baseline) -> None:
        """Report early, reconcile late: the caller has its answer, and the state is read on while the program lives."""
        if attempt.paid:
            self._context.in_flight.run_in_background(attempt.key, lambda: self._read_on(attempt, baseline))

    async def _read_on(self, attempt: Attempt, baseline: Baseline) -> None:
        await asyncio.sleep(REPORT_SECONDS)
        for _ in range(LATE_READS):
            await self._context.sleep(self._context.timings.next_read)
            newest = await self._context.journal.latest(attempt.key)
            if newest is None or (newest.number, newest.epoch) != (attempt.number, attempt.epoch):
                return  # it was reconciled elsewhere
            if await self.read_once(attempt, baseline) is not None:
                return

    async def _expire(self, attempt: Attempt, baseline: Baseline) -> Attempt:
        """The horizon passed and nothing changed: not charged if the balance says so, else lost."""
        money = await self.measure_money(attempt, baseline)
        if money.sure != 0:
            return await self._context.journal.move(attempt, Event.EXPIRE, **build_paid_facts(money))
        facts = StoredFacts(error="result-none")
        return await self._context.journal.move(attempt, Event.CLEAR, **build_paid_facts(money, facts))

    async def record_refusal(self, attempt: Attempt, why: str) -> None:
        """Refused for certain, also where other processes took it for unknown by now: its sender knows better."""
        facts = StoredFacts(error=why)
        try:
            await self._context.journal.move(attempt, Event.REFUSE, facts=facts)
        except LostRace:
            newest = await self._context.journal.latest(attempt.key)
            if newest is None or newest.number != attempt.number or newest.state is not State.UNKNOWN:
                raise
            await self._context.journal.move(newest, Event.REFUSE, facts=facts)

    async def find_result(self, attempt: Attempt, baseline: Baseline) -> Attempt | None:
        """As `confirm_result`; a state that cannot be read shows nothing."""
        try:
            return await self.confirm_result(attempt, baseline)
        except LostRace:
            raise
        except NemoError as error:
            logger.info("the state could not be read (%s)", error.id)
            return None

    async def confirm_result(self, attempt: Attempt, baseline: Baseline) -> Attempt | None:
        """The attempt as done, if the state shows its work, and shows the same a little later.

        The state counts only while no later message went out in the session; after that, what was stored before that
        message does.
        """
        later = await self._context.journal.sent_after(attempt)
        if later is not None:
            return await self._confirm_by_baseline(later, attempt, baseline)
        state = await self._context.client.state(attempt.session_id)
        if not baseline.shows_work(state):
            return None
        await self._pause_to_confirm(attempt)
        again = await self._context.client.state(attempt.session_id)
        if drafts.digest_segments(again.draft or {}) != drafts.digest_segments(state.draft or {}):
            return None
        return await self.finish(attempt, Event.EVIDENCE, baseline, again, attempt.facts.reply)

    async def _pause_to_confirm(self, attempt: Attempt) -> None:
        timings = self._context.timings
        await self._context.sleep(timings.confirm if attempt.paid else timings.free_confirm)

    async def _confirm_by_baseline(self, later: Attempt, attempt: Attempt, baseline: Baseline) -> Attempt | None:
        """The attempt as done, if the baseline of a later message shows its work."""
        then = Baseline.from_attempt(later)
        if then is None or not baseline.is_followed_by(then):
            return None
        state = SessionState(draft=dict(then.draft or {}))
        return await self.finish(attempt, Event.EVIDENCE, baseline, state, attempt.facts.reply)

    async def is_still_working(self, attempt: Attempt, baseline: Baseline) -> bool:
        """Whether more is reserved than before: then the stream ended early, and the work goes on without it."""
        if not attempt.paid or baseline.credits is None or not attempt.facts.alone:
            return False
        try:
            return (await self._context.client.balance()).frozen > baseline.credits.frozen
        except NemoError:
            return False

    async def is_untouched(self, attempt: Attempt, baseline: Baseline) -> bool:
        """Whether two reads show no work and no charge; what cannot be read shows nothing."""
        for read in range(2):
            if read:
                await self._pause_to_confirm(attempt)
            try:
                state = await self._context.client.state(attempt.session_id)
                balance = await self._context.client.balance() if attempt.paid else None
            except NemoError as error:
                logger.info("state and balance could not be read (%s)", error.id)
                return False
            if baseline.has_new_media(state) or drafts.digest_segments(state.draft or {}) != baseline.segments:
                return False
            if balance is not None and (baseline.credits is None or balance.held < baseline.credits.held):
                return False
        return True

    async def read_quiet_state(self, attempt: Attempt, *, longer: bool = False) -> SessionState:
        """The state once two reads agree on the draft; the second stage of a generation can come late.

        They lie `longer` apart where several tools made something: the last one's work may not be there yet.
        """
        state = await self._context.client.state(attempt.session_id)
        for _ in range(0 if attempt.free else QUIET_READS):
            await self._context.sleep(self._context.timings.quiet * (SECOND_STAGE if longer else 1.0))
            again = await self._context.client.state(attempt.session_id)
            if drafts.is_same(again.draft, state.draft):
                return again
            state = again
        return state

    async def finish(
        self, attempt: Attempt, event: Event, baseline: Baseline, state: SessionState, reply: str,
        *, facts: StoredFacts | None = None,
    ) -> Attempt:  # fmt: skip
        """The attempt as done, with its draft, reply and money, and further `facts`."""
        made = not drafts.is_same(state.draft, baseline.draft)
        money = await self.measure_money(attempt, baseline, made=made)
        ended = StoredFacts(reply=reply, draft=state.draft)
        changes = build_paid_facts(money, {**ended, **(facts or {})})
        try:
            return await self._context.journal.move(attempt, event, **changes)
        except LostRace:  # taken for dead meanwhile: the result counts all the same
            newest = await self._context.journal.latest(attempt.key)
            if newest is None or newest.number != attempt.number:  # another attempt has an end of its own
                raise
            if newest.state is State.DONE:
                return newest
            return await self._context.journal.move(newest, Event.EVIDENCE, **changes)

    async def measure_money(self, attempt: Attempt, baseline: Baseline, *, made: bool = False) -> Money:
        """What the attempt took, and how sure that is; alone on the account as far as this journal knows.

        For work that was `made` a charge may come until the horizon: before it, a balance that has not fallen is none.
        """
        if attempt.free:
            return FREE
        try:
            after = known_balance(await self._context.client.balance())
        except NemoError:
            after = None
        alone = attempt.facts.alone and not await self._context.journal.is_joined(attempt)
        late = made and self._context.seconds_since_sent(attempt) <= self._context.timings.horizon
        return measure_charge(baseline.credits, after, alone=alone, late=late)


def build_paid_facts(money: Money, facts: StoredFacts | None = None) -> dict[str, Any]:
    """The changes by which an attempt ends: the money in a column of its own and among the facts."""
    return {"spent": money.sure, "facts": {"money": money.to_json(), **(facts or {})}}

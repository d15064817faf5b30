"""Studio: upload -> generate -> edit -> export as resumable steps. What nodes, shell and batches all call.

A step is named by its key, carried out once, and found again by the same request from any caller, also after a crash.
One Studio works for one profile in one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .._config.client_id import read_client_id
from .._config.credentials import AccountTokens, FixedToken, Token, TokenSource
from .._config.free_accounts import FreeUsers
from .._config.paths import ensure_home, find_home
from .._config.profiles import LOCAL, Profile, find_profile
from .._config.timings import Timings, timings_in_use
from .._errors import DiskError, InputError, Kept, NemoError, NothingMade, RenderFailed, ResultUnknown, SessionGone
from .._files.images import Media, UploadStore
from .._files.save import Destination
from .._journal.job_rows import make_job_id
from .._journal.journal import Journal, choose_writable_journal
from .._journal.money import FREE, Money, estimate_price, known_balance, sum_money
from .._journal.records import Attempt, StoredFacts
from .._journal.retention import run_upkeep
from .._journal.steps import PAID, Event, Kind, State, make_step_key, make_upload_key, normalize_text
from .._safety.redaction import Secret
from .._text import messages, prompts
from .._text.choices import LANGUAGES, WHEN_CHANGED
from .._text.messages import Phrase
from .._wire import draft as drafts
from .._wire.client import NemoClient, encode_message, renew_client_id
from .._wire.http import Http, Sleep
from .._wire.rate_limiter import RateLimiter
from .._wire.schemas import Credits
from .account_guard import MayReplace
from .admission import record_late_charges
from .attach import SessionAttacher
from .context import StudioContext
from .edits import STOP, Edits, count_earlier_payment
from .handles import SessionHandle
from .jobs import Job
from .paid_message import MessageSender
from .progress import Caller, Progress
from .reconcile import Message, compose_reply, is_answered, make_handle
from .render import Render, Renderer
from .sessions import Sessions, Upload
from .timeline import TimelineView, build_timeline_view, describe_timeline
from .types import GenerationRequest, MessageResult, Output, Video, check_choice

if TYPE_CHECKING:
    from .._batch.item import BatchItem
    from .._batch.runner import BatchResult
    from ..local import LocalBackend


class Studio:
    """Everything from a picture to a video file, for one profile.

    Create it with `Studio.open`, use it as an async context manager, and keep it as long as its event loop runs.
    """

    def __init__(self, desk: StudioContext, backend: LocalBackend | None = None, own: Journal | None = None) -> None:
        context = self._context = desk  # the parameter keeps the name that callers know
        self._own_journal = own
        self._backend = backend
        self._sessions = Sessions(context)
        self._sender = MessageSender(context, self._sessions)
        self._renderer = Renderer(context)
        self._edits = Edits(context, self._sessions, self._look_and_carry_out)
        self._attacher = SessionAttacher(context, self._sessions)

    @classmethod
    async def open(
        cls,
        name: str = LOCAL,
        *,
        directory: Path | None = None,
        journal: Journal | None = None,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        timings: Timings | None = None,
    ) -> Studio:
        """A Studio for the profile `name`, with its files in `directory` (default: the home directory).

        Starts the local preview backend if that is what the profile means. Raises `InputError` for an unknown
        profile and `DiskError` for a home directory that cannot be used.
        """
        timings = timings or timings_in_use()
        place = ensure_home(find_home(directory))  # first: where it cannot be read, that is what is wrong
        chosen = find_profile(name, directory)
        own_id = await asyncio.to_thread(read_client_id, place)
        own = None if journal is not None else Journal.open(place, wall=wall, timings=timings.journal)
        asked = journal or own
        assert asked is not None  # noqa: S101 - one of the two
        journal = await choose_writable_journal(asked, place, free=chosen.free)
        if journal is not asked:
            if own is not None:
                await own.close()
            own = journal
        await run_upkeep(journal, place, wall())
        backend = None
        tokens: TokenSource
        if chosen.free:
            backend = await asyncio.to_thread(_open_local, place, timings.preview)
            chosen = Profile(chosen.name, backend.url, backend.url, free=True, machine=journal.machine)
            tokens = FixedToken(Token(Secret(backend.token), "local", "local"))
        else:
            tokens = AccountTokens(
                chosen,
                place,
                sign_up=lambda: client.anonymous_token(),
                may_replace=MayReplace(journal),
                new_client_id=lambda: renew_client_id(client, place),
                now=lambda: None,
                today=lambda: client.http.server_now(),
            )
        free_users = FreeUsers(place)
        http = Http(chosen, own_id, tokens, sleep=sleep, clock=clock, free_users=free_users, timings=timings.wire)
        client = NemoClient(http)
        record = journal
        context = StudioContext(
            chosen,
            place,
            client,
            journal,
            UploadStore(place),
            sleep,
            clock,
            lambda: wall() + record.skew,
            timings=timings.studio,
        )
        return cls(context, backend, own)

    async def open_beside(self, profile: str) -> Studio:
        """Another Studio, for another profile, with this one's journal; closed by its own `aclose`."""
        return await type(self).open(profile, journal=self._context.journal)

    async def __aenter__(self) -> Studio:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop what runs here and close the connections. Drain paid messages in flight before."""
        try:
            await self._context.in_flight.stop()
            await self._context.client.http.tokens.finish_sign_up()
            await self._context.client.aclose()
        finally:
            if self._own_journal is not None:
                await self._own_journal.close()
            if self._backend is not None:
                await asyncio.to_thread(self._backend.close)

    @property
    def profile(self) -> Profile:
        """The profile this Studio works for."""
        return self._context.profile

    @property
    def journal(self) -> Journal:
        """The record of every step, shared by all who use this home directory."""
        return self._context.journal

    @property
    def limiter(self) -> RateLimiter:
        """How many pieces of work go on here side by side: batches and lists begin theirs through it."""
        return self._context.client.http.limiter

    lane = limiter
    """Its name in earlier versions."""

    @property
    def committed(self) -> int:
        """How many paid messages are in flight."""
        return self._context.in_flight.committed

    def is_paid_for(self, caller: Caller) -> bool:
        """Whether a paid message that this caller waits for is in flight."""
        return self._context.in_flight.is_paid_for(caller)

    async def drain(self, *, only_committed: bool = True, read_on: bool = True) -> None:
        """Read the streams of paid messages in flight to their end, or wait for all that is under way.

        `read_on` includes those whose result is known already, which can go on for a quarter of an hour.
        """
        await self._context.in_flight.drain(only_committed=only_committed, read_on=read_on)

    def running(self) -> dict[str, Progress]:
        """How what is under way stands, by step key; an export counts for the message behind it."""
        return self._context.in_flight.running()

    def list_callers(self) -> dict[str, tuple[Caller, ...]]:
        """Who waits for what is under way, by the same step keys."""
        return self._context.in_flight.list_callers()

    async def credits(self) -> Credits:
        """The account's balance. Charges that came after their work was finished are recorded with their jobs."""
        balance = await self._context.client.balance()
        if not self._context.profile.free:
            with contextlib.suppress(DiskError):  # the balance is known all the same
                account = (await self._context.token()).account
                await record_late_charges(self._context, account, known_balance(balance))
        return balance

    async def estimate_seconds(self) -> float | None:
        """How many seconds a generation and its export usually take here; None where none was seen."""
        kinds = ("generate", "export")
        seen = [await self._context.journal.usual_seconds(self._context.profile.name, kind) for kind in kinds]
        return sum(each or 0.0 for each in seen) if any(seen) else None

    async def estimate_price(self) -> float:
        """Credits that a generation is expected to take, by what was seen here."""
        return estimate_price("generate", await self._context.journal.charges(self._context.profile.name, "generate"))

    async def begin_spending(self) -> tuple[float, Money]:
        """Now (seconds since 1970) and the balance, as money of which nothing is spent yet: for `measure_spending`."""
        return self._context.wall(), FREE if self._context.profile.free else Money((await self.credits()).held)

    async def measure_spending(self, moment: float, start: Money, run: str) -> Money:
        """What the account took since `begin_spending`: exact where only messages of this run went out meanwhile."""
        if self._context.profile.free:
            return FREE
        balance = await self.credits()
        account = (await self._context.token()).account
        joined = await self._context.journal.other_runs_since(account, run, moment)
        spent = None if start.before is None else start.before - balance.held
        return Money(start.before, balance.held, spent, "at most" if joined else "exact")

    async def registration_link(self) -> str:
        """Where an anonymous account becomes a registered one; empty for any other."""
        return self._context.client.http.registration_link(await self._context.token())

    async def upload(
        self,
        media: Sequence[Media],
        *,
        language: str = "auto",
        prompt: str = "",
        onto: SessionHandle | None = None,
        caller: Caller | None = None,
        page: str = "",
    ) -> SessionHandle:
        """Upload to a new session, or `onto` one. Free; not repeated while its session lives.

        At `auto` the session speaks the language of `prompt`, where that is known and certain, else that of the `page`
        it is asked for from, else English.
        """
        if not media:
            raise InputError("image-empty")
        if onto is None:
            check_choice("language", language, LANGUAGES)
        before = _check_usable(onto).key if onto else ""
        language = onto.language if onto else language
        key = make_upload_key(self._context.profile.id, before, [each.fingerprint for each in media], language)
        spoken = prompts.choose_spoken_language(language, prompt, page)
        older = await self._make_older_upload_keys(key, before, media, language)
        wanted = Upload(key, tuple(media), language, spoken, onto, older)
        known = await self._sessions.find_older_upload(wanted)
        if known is not None:
            return make_handle(known, language)
        return await self._upload_media(wanted, caller or Caller())

    async def _upload_media(self, wanted: Upload, caller: Caller) -> SessionHandle:
        key, media, language = wanted.key, wanted.media, wanted.language
        done = await self._context.in_flight.join(key, lambda request: self._sessions.upload(wanted, request), caller)
        # A known upload's bytes may be gone by now, and a fork needs them.
        kept = [await asyncio.to_thread(self._context.uploads.keep, each) for each in media]
        self._sessions.remember_media(key, kept)
        return make_handle(done, language)

    async def open_session(self, language: str = "auto", prompt: str = "") -> SessionHandle:
        """A new session without any upload; at `auto` in the language of `prompt`, where that is certain. Free."""
        return await self._attacher.open_session(language, prompt)

    async def attach_session(self, session_id: str, language: str = "auto", message: str = "") -> SessionHandle:
        """A handle of a session as it stands now, also of one that the journal does not know. Free.

        With the `message` that is to be sent there: where that very message came last, or another one is still in
        flight, the handle is of the step before, so that nothing is sent twice. Raises `SessionGone` if the backend
        does not know the session, `SessionBusy` if its newest message is not settled.
        """
        return await self._attacher.attach_session(session_id, language, message)

    async def generate(
        self, session: SessionHandle, wish: GenerationRequest, *, caller: Caller | None = None
    ) -> MessageResult:
        """Generate a video in a session. Paid; sent at most once for the same request."""
        text = prompts.compose_prompt(
            normalize_text(wish.prompt), duration=wish.duration, aspect_ratio=wish.aspect_ratio, ends=wish.ends
        )
        return await self._send_message("generate", session, wish.inputs, text, caller, words=wish.prompt)

    async def edit(
        self,
        session: SessionHandle,
        instruction: str,
        *,
        seed: int = 0,
        when_changed: str = STOP,
        caller: Caller | None = None,
    ) -> MessageResult:
        """Change the draft of a session. Paid; sent at most once for the same request.

        `when_changed` says what happens where this place was edited before with other words: `stop`,
        `edit the newest state`, or `generate again (pays)`.
        """
        if not instruction.strip():
            raise InputError("prompt-empty")
        check_choice("when_changed", when_changed, WHEN_CHANGED)
        text, caller = normalize_text(instruction), caller or Caller()
        inputs: dict[str, object] = {"instruction": text, "seed": seed}
        return await self._continue_session("edit", _check_usable(session), inputs, text, when_changed, caller)

    async def chat(
        self,
        session: SessionHandle,
        message: str,
        *,
        seed: int = 0,
        caller: Caller | None = None,
        when_changed: str = STOP,
    ) -> MessageResult:
        """Send a message for the agent as it is; what it makes of it is kept, whether it made a draft or not.

        The handle of an item that the backend asked about is answered in the session that asked. `when_changed` as in
        `edit`: with `edit the newest state` one place carries a conversation, message after message.
        """
        if not message.strip():
            raise InputError("prompt-empty")
        check_choice("when_changed", when_changed, WHEN_CHANGED)
        text, caller = normalize_text(message), caller or Caller()
        inputs: dict[str, object] = {"message": text, "seed": seed}
        return await self._continue_session(
            "chat", await self._check_answerable(session), inputs, text, when_changed, caller
        )

    async def _continue_session(
        self, kind: Kind, session: SessionHandle, inputs: dict[str, object], text: str, when_changed: str,
        caller: Caller,
    ) -> MessageResult:  # fmt: skip
        """Send a message where `when_changed` says that it goes on; its price counts what was paid to come there."""
        start, before = await self._edits.find_start(session, kind, inputs, when_changed, caller)
        with count_earlier_payment(before):
            turned = await self._send_message(kind, start, inputs, text, caller)
        return turned if before.sure == 0 else replace(turned, money=sum_money([before, turned.taken]), reused=False)

    async def paid_in(self, run: str) -> Kept | None:
        """What a run (a ComfyUI prompt, a shell command, a batch) paid for and got; None where that is nothing."""
        made = (
            [] if self._context.profile.free else await self._context.journal.made_in(self._context.profile.name, run)
        )
        paid = [(key, exact, at_most) for key, exact, at_most in made if exact != 0]
        if not paid:
            return None
        most = [at_most if exact is None else exact for _, exact, at_most in paid]
        known = [each for each in most if each is not None]
        spent = f"{sum(known):g}" if len(known) == len(most) else "?"
        sure = all(exact is not None for _, exact, _ in paid)
        return Kept(spent, tuple(make_job_id(key) for key, _, _ in paid), sure=sure)

    async def taken_by(self, key: str, run: str) -> Money:
        """What the message of a step took in a run, by the journal; nothing where it went out in another run."""
        step = await self._context.journal.latest(key)
        return step.facts.money if step is not None and step.run == run and not step.free else FREE

    async def newest(self, session: SessionHandle) -> SessionHandle:
        """The newest finished step of the handle's session, where a conversation that one place carries stands now."""
        return await self._edits.find_newest(_check_usable(session))

    async def _check_answerable(self, handle: SessionHandle) -> SessionHandle:
        """The handle of a usable item, or of one that failed because the backend answered and made nothing."""
        if not handle.error:
            return handle
        failed = await self._context.journal.latest(handle.key, handle.session_id)
        return replace(handle, error="") if failed is not None and is_answered(failed) else _check_usable(handle)

    async def export(
        self,
        session: SessionHandle,
        destination: Destination,
        output: Output | None = None,
        *,
        caller: Caller | None = None,
    ) -> Video:
        """Render the draft of this handle's step and deliver the file. Free.

        The same request finds the delivered file again if its content is unchanged.
        """
        output, caller = output or Output(), caller or Caller()
        source = await self._sessions.find_attempt(_check_usable(session))
        draft = await self._find_draft(source)
        inputs: dict[str, object] = {
            "format": output.format,
            "quality": output.quality,
            "resolution": output.resolution,
        }
        key = make_step_key(self._context.profile.id, session.key, "export", inputs)
        render = Render(key, session.key, source.session_id, source.task_id, source.account, draft, output)
        place = f"{key} {destination.folder} {destination.stem}"
        try:
            delivered = await self._context.in_flight.join(
                place, lambda request: self._renderer.deliver(render, destination, request), caller, about=session.key
            )
        except SessionGone as error:
            raise await self._sessions.make_gone_error(source) from error
        checked, note = delivered.checked, ""
        if delivered.word:
            facts = {"was": delivered.was, "asked": output.format}
            note = messages.say(delivered.word, messages.choose_language(session.language), **facts)
        return Video(
            delivered.path, source.session_id, source.task_id, delivered.render_id, checked.sha256, checked.size,
            checked.width, checked.height, checked.duration, checked.fps, delivered.suffix,
            reply=_join_reply(*compose_reply(source, session.language)),
            timeline=describe_timeline(draft, session.language),
            money=await self._sum_money_behind(source), reused=delivered.reused, note=note,
        )  # fmt: skip

    async def _find_draft(self, source: Attempt) -> Mapping[str, Any]:
        """The draft of a step; where it has none yet, the one its session has got since, as long as nothing followed.

        A chat may end with words before the video that it promises is there.
        """
        draft: Mapping[str, Any] = source.facts.draft
        if drafts.is_ready(draft):
            return draft
        if source.kind in PAID and await self._context.journal.sent_after(source) is None:
            with contextlib.suppress(NemoError):  # what cannot be read shows nothing
                draft = (await self._context.client.state(source.session_id)).draft or {}
        if not drafts.is_ready(draft):
            raise RenderFailed("not-ready")
        return draft

    async def animate(
        self,
        media: Sequence[Media],
        wish: GenerationRequest,
        destination: Destination,
        output: Output | None = None,
        *,
        language: str = "auto",
        caller: Caller | None = None,
        page: str = "",
    ) -> Video:
        """The whole way: upload, generate, export. `page` is the language of the page it is asked for from."""
        caller = caller or Caller()
        caller.later = await self._context.guess_seconds("export") or 0.0
        session = await self.upload(media, language=language, prompt=wish.prompt, page=page, caller=caller)
        turned = await self.generate(session, wish, caller=caller)
        caller.later = 0.0
        with count_earlier_payment(turned.taken):  # the export is free, what it shows was paid for in this run
            video = await self.export(turned.session, destination, output, caller=caller)
        return replace(video, reused=turned.reused)

    def batch(
        self,
        items: Iterable[BatchItem | Mapping[str, Any]],
        folder: Path | str,
        *,
        jobs: int = 0,
        max_credits: int = 0,
    ) -> AsyncGenerator[BatchResult, None]:
        """Carry out many items, `jobs` at once (0: as many as the profile allows), into `folder`, as they end.

        A failed item is a result with its `error`. What keeps the rest from being begun (`max_credits` for all of
        them, the account's credits, signing in, the disk) is raised at the end, once all that was begun has ended.
        """
        from .._batch.runner import run_batch

        return run_batch(self, items, folder, jobs=jobs, max_credits=max_credits)

    async def collect(
        self,
        job: Job,
        destination: Destination,
        output: Output | None = None,
        *,
        caller: Caller | None = None,
    ) -> Video:
        """The video of a job in any state: reconciled, or sent if it never was, then rendered and delivered.

        Where an export of it was asked for before, its destination and output count, else the ones given.
        """
        caller = caller or Caller()
        turned = await self.finish_job(job, caller=caller)
        place, output = await self.find_wanted_export(job) or (destination, output)
        destination = replace(place or destination, tags=destination.tags)
        return await self.export(turned.session, destination, output, caller=caller)

    async def finish_job(self, job: Job, *, caller: Caller | None = None) -> MessageResult:
        """The result of a job's message: found in the journal, reconciled, waited for, or sent now if it never was."""
        attempt = await self._find_attempt(job)
        journal = self._context.journal
        before = await journal.latest(attempt.before, attempt.session_id) or await journal.latest(attempt.before)
        if before is None:
            raise InputError("handle-unknown")
        message = Message(job.key, cast(Kind, attempt.kind), make_handle(before, "auto"), attempt.facts.text)
        return await self._carry_out(message, caller or Caller(), attempt)

    async def find_wanted_export(self, job: Job) -> tuple[Destination | None, Output] | None:
        """Where an export of the job was asked for, and as what; None if none was.

        The destination is None where that was a folder of another machine.
        """
        host = self._context.journal.host
        for export in await self._context.journal.exports_of(job.key):
            wanted = export.facts.wanted
            if wanted:
                here = wanted.get("host", host) == host
                return Destination.from_json(wanted["destination"]) if here else None, Output(**wanted["output"])
        return None

    async def resend(self, job: Job, *, caller: Caller | None = None) -> MessageResult:
        """Send the message of a failed or lost job once more, on the user's word: it pays again.

        Where a last look finds the result after all, that is it, and nothing is sent.
        """
        attempt = await self.may_resend(job)
        try:
            return await self.finish_job(job, caller=caller)
        except (NothingMade, ResultUnknown, SessionGone):
            attempt = await self._find_attempt(job)
            if attempt.state not in (State.FAILED, State.LOST):
                raise
        await self._context.journal.move(attempt, Event.RESEND, facts=StoredFacts(text=attempt.facts.text))
        return await self.finish_job(job, caller=caller)

    async def may_resend(self, job: Job) -> Attempt:
        """The attempt that `resend` would follow; `InputError` where it is too early, or needless."""
        attempt = await self._find_attempt(job)
        if attempt.state in (State.PLANNED, State.REFUSED, State.DONE):
            raise InputError("job-not-lost", state=Phrase(f"state.{attempt.state.value}"))
        left = self._context.timings.horizon - self._context.seconds_since_sent(attempt)
        if attempt.paid and left > 0:
            raise InputError("job-open", minutes=math.ceil(left / 60))
        return attempt

    async def stop(self, job: Job) -> bool:
        """Stop the renders of a job that are running (free); whether there was one. Paid work goes on."""
        stopped = False
        for export in await self._context.journal.exports_of(job.key):
            stopped = await self._renderer.stop(export) or stopped
        return stopped

    async def project_page(self, job: Job) -> str:
        """The address that opens the job's project in a browser, made now: a secret for the person who asks."""
        if self._context.profile.free or not (job.session_id and job.task_id):
            raise InputError("page-none", job=job.id)
        return await self._context.client.project_page(job.task_id, job.session_id)

    async def _find_attempt(self, job: Job) -> Attempt:
        attempt = await self._context.journal.latest(job.key)
        if attempt is None:
            raise InputError("job-unknown", job=job.id)
        return attempt

    async def timeline(self, session: SessionHandle, language: str = "auto") -> str:
        """The timeline of this handle's step, in words."""
        source = await self._sessions.find_attempt(_check_usable(session))
        return describe_timeline(source.facts.draft, session.language if language == "auto" else language)

    async def view(self, session: SessionHandle, language: str = "auto") -> TimelineView:
        """The timeline of this handle's step in words, as a picture, and as the draft itself. No network."""
        source = await self._sessions.find_attempt(_check_usable(session))
        return await build_timeline_view(self._context, source, session.language if language == "auto" else language)

    async def _send_message(
        self,
        kind: Kind,
        session: SessionHandle,
        inputs: dict[str, object],
        text: str,
        caller: Caller | None,
        *,
        words: str = "",
    ) -> MessageResult:
        after, caller = _check_usable(session), caller or Caller()
        encode_message(after.session_id, text)  # an `InputError` for what is too long, before anything is planned

        def key_after(key: str) -> str:
            return make_step_key(self._context.profile.id, key, kind, inputs)

        own = key_after(after.key)
        found = await self._context.journal.latest_of_first(own, after.key)
        known, behind = (found, None) if found is not None and found.key == own else (None, found)
        place = await self._find_known_place(known, behind, after, caller, key_after)
        if place.key != after.key:
            known = await self._context.journal.latest(key_after(place.key))
        message = Message(key_after(place.key), kind, place, text, words)
        return await self._carry_out(message, caller, known)

    async def _find_known_place(
        self,
        known: Attempt | None,
        behind: Attempt | None,
        after: SessionHandle,
        caller: Caller,
        key_after: Callable[[str], str],
    ) -> SessionHandle:
        """Where a step follows on: behind the upload of an earlier version, as long as it is known there.

        `known` is the newest attempt at it behind `after`, `behind` the one at the step of `after`.
        """
        replacement = self._sessions.find_replacement(after)
        if known is not None and (replacement is None or known.state is State.DONE or known.open):
            return after
        if replacement is not None:
            return await self._upload_media(replacement, caller)
        return await self._sessions.find_known_place(behind, after.language, key_after) or after

    async def _make_older_upload_keys(
        self, key: str, before: str, media: Sequence[Media], language: str
    ) -> tuple[str, ...]:
        """The keys that earlier versions gave an upload: by other fingerprints, or behind another upload."""
        befores = [before, *(await self._sessions.find_older_keys(before) if before else ())]
        given = [[each.fingerprint for each in media], [each.older or each.fingerprint for each in media]]
        keys = [
            make_upload_key(self._context.profile.id, each, prints, language) for each in befores for prints in given
        ]
        return tuple(dict.fromkeys(each for each in keys if each != key))

    async def _carry_out(self, message: Message, caller: Caller, known: Attempt | None) -> MessageResult:
        """Send a message, or find its result; `known` is its newest attempt before."""
        language = message.after.language
        done = await self._sender.send(message, caller)
        money = done.facts.money
        if money.sure is not None:
            caller.budget.correct(message.key, money.sure)
        # What was begun again within a run finds its own work: that is what this run took.
        own = done.run == caller.run and self._context.payers.setdefault((caller.run, message.key), caller) is caller
        reply, changes = compose_reply(done, language)
        return MessageResult(
            make_handle(done, language),
            _join_reply(reply, changes),
            describe_timeline(done.facts.draft, language),
            money,
            reused=known is not None and known.state is State.DONE and not own,
            changes=changes,
        )

    async def _look_and_carry_out(self, message: Message, caller: Caller) -> MessageResult:
        return await self._carry_out(message, caller, await self._context.journal.latest(message.key))

    async def _sum_money_behind(self, attempt: Attempt) -> Money:
        """What all steps up to this one took together."""
        parts: list[Money] = []
        step: Attempt | None = attempt
        while step is not None:
            if step.facts.has_money:
                parts.insert(0, step.facts.money)
            step = await self._context.journal.latest(step.before) if step.before else None
        return sum_money(parts)


def _open_local(directory: Path, options: Mapping[str, Any]) -> LocalBackend:
    from .. import local

    return local.open(directory / "local", **options)


def _join_reply(reply: str, changes: str) -> str:
    return "\n\n".join(filter(None, [reply, changes]))


def _check_usable(handle: SessionHandle) -> SessionHandle:
    """The handle, or the error that it carries for an item of a list that failed."""
    if handle.error:
        raise InputError("item-failed", reason=handle.error)
    return handle

"""One render, from its id to a saved file: submitted once, polled, downloaded, checked.

Rendering is free, so what fails here may be repeated without asking; but never blindly: the id is recorded before
its POST, and after an ambiguous answer that id is asked for first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from .._errors import (
    ApiError,
    BadAnswer,
    ConnectionBroken,
    JournalAway,
    LostRace,
    NemoError,
    PlanError,
    RateLimited,
    RenderFailed,
    SessionBusy,
    SignInError,
    TransportError,
)
from .._files.containers import Ready, prepare_video
from .._files.fetch import fetch_video
from .._files.metadata import copy_delivered
from .._files.save import (
    Checked,
    Destination,
    hash_file,
    iterate_free_names,
    no_free_name,
    open_temporary_file,
    save_video_as,
)
from .._files.temp_files import remove_abandoned_parts
from .._journal.db_thread import retry_window
from .._journal.records import Attempt, Facts, StoredFacts
from .._journal.steps import Event, State
from .._safety.redaction import sanitize_for_display
from .._wire.http import is_segment
from .._wire.render_status import ProgressScale
from .._wire.retry import is_away, pause_of
from .._wire.schemas import RenderJob
from .context import RACE_TRIES, StudioContext
from .in_flight import InFlightRequest
from .poll_schedule import LONGEST_TOLD, PollSchedule
from .progress import Progress
from .types import Output

logger = logging.getLogger("nemo_client")

RENDER_MINUTES: Final = 30
CANCEL_SECONDS: Final = 10.0
UNHEARD_SECONDS: Final = 30.0
"""How long a render that was accepted may not be known yet."""
UNKNOWN_SECONDS: Final = 120.0
"""How long a status that is not known may stand still."""
WHOLE_SECONDS: Final = 10.0
"""After how much of that its file is tried, where the answer names one."""
REPEATED_ID: Final = 409
ASKED_LOOKS: Final = 3
ASKED_PAUSE: Final = 2.0
RATE_LIMITED_TRIES: Final = 4
LOST_LOOKS: Final = 8
LOOKS_A_SECOND: Final = 20.0
"""How many looks all renders of a Studio take together in a second, about."""


@dataclass(frozen=True)
class Render:
    """What to render: the export's step key, the session, the draft of its step, and how."""

    key: str
    before: str
    session_id: str
    task_id: str
    account: str
    draft: Mapping[str, Any]
    output: Output


@dataclass(frozen=True)
class Delivered:
    """A video in its place."""

    path: Path
    render_id: str
    checked: Checked
    reused: bool
    word: str = ""
    """The id of a text where the file is not the one that the backend was asked for."""
    was: str = ""

    @property
    def suffix(self) -> str:
        """What the file is, by its name."""
        return self.path.suffix.lstrip(".")


class Renderer:
    """Renders and delivers exports for one Studio."""

    def __init__(self, context: StudioContext) -> None:
        self._context = context
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._watched = 0

    async def deliver(self, render: Render, destination: Destination, request: InFlightRequest) -> Delivered:
        """The video of `render` at `destination`: the file that is there, a copy of it, or a new render.

        One at a time for one render: the next destination gets a copy of what the first one fetched.
        """
        turn = self._turns.setdefault(render.key, asyncio.Lock())
        async with turn:
            for _ in range(RACE_TRIES):
                with contextlib.suppress(LostRace):  # another process renders the same: look again
                    return await self._deliver_once(render, destination, request)
            raise SessionBusy("session-busy")

    async def _deliver_once(self, render: Render, destination: Destination, request: InFlightRequest) -> Delivered:
        known = await self._context.journal.latest(render.key)
        if known is not None and await self._may_be_there(known):
            there = await self._find_delivered(known, destination, render.output.format)
            if there is not None:
                if known.state is State.SENT:  # its process died right after the file had its name
                    await asyncio.to_thread(remove_abandoned_parts, destination.folder)
                    await self._context.journal.move(known, Event.FINISH)
                request.report(Progress("done", reused=True))
                return there
        attempt = await self._plan_attempt(known, render, destination)
        try:
            return await self._render_with_retry(attempt, render, destination, request)
        except asyncio.CancelledError:
            if request.given_up:  # anything else only detaches, and the render is continued later
                await self.stop(attempt)
            raise

    async def _may_be_there(self, known: Attempt) -> bool:
        """Whether a file of it may lie in its place; that of another process which lives is that one's."""
        if known.state is State.SENT:
            return await self._context.journal.life(known) in ("ours", "dead")
        return known.state is State.DONE

    async def _plan_attempt(self, known: Attempt | None, render: Render, destination: Destination) -> Attempt:
        """A planned attempt; a render of an earlier attempt that is still out is taken over with its id.

        A first attempt has no `id` yet: it is recorded as it is sent.
        """
        there = {"destination": destination.to_json(), "host": self._context.journal.host}
        wanted = StoredFacts(wanted={**there, "output": asdict(render.output)})
        if known is None:
            return Attempt(
                render.key, 1, State.PLANNED, self._context.profile.name, before=render.before,
                account=render.account, session_id=render.session_id, task_id=render.task_id,
                owner=self._context.journal.owner_id, free=self._context.profile.free, facts=Facts(wanted),
            )  # fmt: skip
        if known.state is State.PLANNED and await self._context.journal.life(known) in ("ours", "dead"):
            return await self._context.journal.move(known, Event.TAKE_OVER, facts=wanted)
        if known.facts.render_id:
            wanted["render_id"] = known.facts.render_id
        return await self._context.journal.move(known, Event.ASK_AGAIN, facts=wanted)

    async def _render_with_retry(
        self, attempt: Attempt, render: Render, destination: Destination, request: InFlightRequest
    ) -> Delivered:
        """Render and fetch; once more under a new id when that fails (API description: "Errors", last line)."""
        try:
            return await self._render_once(attempt, render, destination, request)
        except (RenderFailed, ApiError, BadAnswer) as error:
            newest = await self._context.journal.latest(render.key)
            if not _is_worth_retrying(error) or (newest is not None and newest.facts.error == "cancelled"):
                raise
            logger.info("the render is tried once more (%s)", error.id)
        attempt = await self._context.journal.latest(render.key) or attempt
        attempt = await self._begin_retry(attempt)
        return await self._render_once(attempt, render, destination, request)

    async def _render_once(
        self, attempt: Attempt, render: Render, destination: Destination, request: InFlightRequest
    ) -> Delivered:
        try:
            attempt, job = await self._start_render(attempt, render)
            with retry_window(timings=self._context.journal.timings) as patience:
                try:
                    return await self._fetch_and_save(attempt, job, render.output.format, destination, request)
                except asyncio.CancelledError:
                    patience.end()
                    raise
        except NemoError as error:
            with contextlib.suppress(JournalAway):  # the first error is the one to tell
                await self._record_failure(attempt, error)
            raise

    async def _fetch_and_save(
        self, attempt: Attempt, job: RenderJob, suffix: str, destination: Destination, request: InFlightRequest
    ) -> Delivered:
        """Watch, fetch, check, land and record a render that was submitted."""
        job = await self._wait_until_completed(attempt, job, request)
        with open_temporary_file(destination, suffix) as temporary:
            checked = await self._fetch_file(job, temporary, request)
            request.report(Progress("check"))
            path, ready = await self._convert_and_save(attempt, temporary, checked, destination, suffix)
        with contextlib.suppress(LostRace):  # taken for dead meanwhile: the file is in its place all the same
            await self._context.journal.move(attempt, Event.FINISH)
        return Delivered(path, job.id, ready.checked, False, ready.word, ready.was)

    async def _fetch_file(self, job: RenderJob, temporary: Path, request: InFlightRequest) -> Checked:
        """The file; of a render whose status is not understood it is only tried."""
        try:
            return await fetch_video(self._context.client, job, temporary, _make_reporter(request), self._context.clock)
        except (RenderFailed, TransportError) as error:
            if job.status == "unknown":
                raise _make_unknown_status_error(job) from error
            raise

    async def _convert_and_save(
        self, attempt: Attempt, video: Path, checked: Checked, destination: Destination, suffix: str
    ) -> tuple[Path, Ready]:
        """Make of a whole video the container that was asked for, with the destination's tags, and land it."""
        with contextlib.ExitStack() as stack:
            opened = prepare_video(video, checked, destination, suffix)
            writing = asyncio.ensure_future(asyncio.to_thread(stack.enter_context, opened))
            try:
                ready = await asyncio.shield(writing)
            except asyncio.CancelledError:  # its files go only when it no longer writes
                await asyncio.wait({writing})
                raise
            named = destination.sized(ready.checked.width, ready.checked.height)
            return await self._save_file(attempt, ready.path, named, ready.suffix, ready.checked), ready

    async def _save_file(
        self, attempt: Attempt, temporary: Path, destination: Destination, suffix: str, checked: Checked
    ) -> Path:
        """Give the file its name, which is recorded first: should this process die now, the file is known."""
        names = iterate_free_names(destination, suffix)
        while (target := await asyncio.to_thread(next, names, None)) is not None:
            await self._context.journal.deliver(attempt, target, asdict(checked))
            if await asyncio.to_thread(save_video_as, temporary, target, destination.root):
                return target
        raise no_free_name(destination)

    async def _find_delivered(self, known: Attempt, destination: Destination, suffix: str) -> Delivered | None:
        """A delivered file of this render whose content is unchanged: itself if its name fits, else a copy."""
        intact: list[Delivered] = []
        for each in await self._context.journal.deliveries(known.key):  # of other hosts, too: a folder may be shared
            checked = Checked(**each.facts)
            if await asyncio.to_thread(_is_intact, each.path, checked):
                found = Delivered(each.path, known.facts.render_id, checked, reused=True)
                if found.suffix != suffix:
                    found = replace(found, word="container-named", was=found.suffix)
                if destination.sized(checked.width, checked.height).owns(each.path, found.suffix):
                    return found
                intact.append(found)
        if not intact:
            return None
        first = intact[0]
        named = destination.sized(first.checked.width, first.checked.height)
        copied = await asyncio.to_thread(copy_delivered, first.path, first.checked, named, first.suffix)
        if copied is None:
            return None
        copy, checked = copied
        await self._context.journal.deliver(known, copy, asdict(checked))
        return replace(first, path=copy, checked=checked)

    async def _record_failure(self, attempt: Attempt, error: NemoError) -> None:
        """A render that failed is given up; one that may still run, or lies ready, keeps its id for the next try."""
        newest = await self._context.journal.latest(attempt.key)
        if newest is None or newest.owner != attempt.owner:  # another process tries it, too
            return
        if newest.state is State.SENT and isinstance(error, RenderFailed):
            with contextlib.suppress(LostRace):  # the first error is the one to tell
                await self._context.journal.move(newest, Event.DECLINE, facts=StoredFacts(error=error.id, render_id=""))

    async def _start_render(self, attempt: Attempt, render: Render) -> tuple[Attempt, RenderJob]:
        """The render that is running already, else one that is submitted now; its `id` is the one to ask by."""
        kept = attempt.facts.render_id
        if kept:
            attempt = await self._context.journal.move(attempt, Event.SEND)
            job = await self._read_render(kept)
            if job is not None and job.status not in ("failed", "cancelled"):
                return attempt, job.model_copy(update={"id": kept})
            attempt = await self._begin_retry(attempt)
        return await self._submit_render(attempt, render)

    async def _begin_retry(self, attempt: Attempt) -> Attempt:
        """Another try of the same, which keeps only what was wanted."""
        wanted = StoredFacts(wanted=attempt.facts.wanted)
        return await self._context.journal.move(attempt, Event.ASK_AGAIN, facts=wanted)

    async def _submit_render(self, attempt: Attempt, render: Render) -> tuple[Attempt, RenderJob]:
        """Submit it; after a break its id is asked for, and then another one is used, for as long as that is worth it.

        A server that is away comes back within half a minute or so; a line that broke is tried once more at least.
        """
        started, tries, timings = self._context.clock(), 0, self._context.client.http.timings
        while True:
            render_id, tries = f"render_{uuid.uuid4().hex}", tries + 1
            attempt = await self._record_as_sent(attempt, StoredFacts(render_id=render_id))
            try:
                job = await self._context.client.submit_render(
                    render_id, render.session_id, render.draft, render.output.to_wire()
                )
                return await self._record_given_id(attempt, job)
            except (ConnectionBroken, BadAnswer, ApiError) as error:
                ambiguous = not isinstance(error, ApiError) or error.code == REPEATED_ID
                found = await self._read_render(render_id) if ambiguous else None
                if found is not None:
                    return attempt, found.model_copy(update={"id": render_id})
                over = tries > 1 and self._context.clock() - started >= timings.patient
                if over or not is_away(error):
                    raise
                pause = pause_of(error, tries, timings)
            await self._context.sleep(pause)
            attempt = await self._begin_retry(attempt)

    async def _record_as_sent(self, attempt: Attempt, facts: StoredFacts) -> Attempt:
        if attempt.id:
            return await self._context.journal.move(attempt, Event.SEND, facts=facts)
        return await self._context.journal.begin_sent(attempt, facts)

    async def _record_given_id(self, attempt: Attempt, job: RenderJob) -> tuple[Attempt, RenderJob]:
        """Keep the id that the backend gave the render, where that is one of its own."""
        own = attempt.facts.render_id
        if job.id in ("", own):
            return attempt, job.model_copy(update={"id": own})
        logger.info("the backend calls the render by an id of its own")
        attempt = await self._context.journal.move(
            attempt, Event.ASK_AGAIN, facts=StoredFacts(wanted=attempt.facts.wanted)
        )
        facts = StoredFacts(render_id=job.id, submitted_as=own)
        return await self._context.journal.move(attempt, Event.SEND, facts=facts), job

    async def _read_render(self, render_id: str) -> RenderJob | None:
        """The render of that id, or None if the backend has none; a new one is known some seconds late."""
        for look in range(ASKED_LOOKS):
            if look:
                await self._context.sleep(ASKED_PAUSE)
            try:
                return await self._context.client.render(render_id)
            except RateLimited as error:
                if look == ASKED_LOOKS - 1:
                    raise
                await self._context.sleep(pause_of(error, RATE_LIMITED_TRIES))
            except (SignInError, PlanError):
                raise
            except ApiError as error:
                if error.code != 404:
                    return None
        return None

    async def _wait_until_completed(self, attempt: Attempt, job: RenderJob, request: InFlightRequest) -> RenderJob:
        """Look at the render until it is completed, at the moments of its schedule."""
        usual = await self._context.guess_seconds("export")
        names = [name for name in (job.id, attempt.facts.submitted_as) if name and is_segment(name)]
        self._watched += 1
        try:
            return await self._poll_render(names, job, request, usual)
        finally:
            self._watched -= 1

    async def _ask_why(self, render_id: str) -> str:
        """Why a render failed whose submission was answered so without a reason; empty where it is not told."""
        with contextlib.suppress(NemoError):
            return (await self._context.client.render(render_id)).error
        return ""

    async def _poll_render(
        self, names: list[str], job: RenderJob, request: InFlightRequest, usual: float | None
    ) -> RenderJob:
        started = self._context.clock()
        schedule, scale, doubt = PollSchedule(usual), ProgressScale(), Doubt()
        misses, unknown_since = 0, None
        slower, asked_why = 0.0, False
        while True:
            elapsed = self._context.clock() - started
            if job.status == "completed":
                return job
            if job.status in ("failed", "cancelled"):
                why = job.error if job.error or asked_why else await self._ask_why(names[0])
                raise RenderFailed("render-failed", reason=sanitize_for_display(why or job.said) or job.status)
            if elapsed > RENDER_MINUTES * 60:
                raise ConnectionBroken("render-timeout", minutes=RENDER_MINUTES)
            percent = scale.clamp_percent(job.told_progress)
            if doubt.judge(job, percent, elapsed):
                return job
            schedule.scale = self._poll_scale()
            schedule.observe(elapsed, percent)
            request.report(_make_progress(job, percent, elapsed, schedule.left(elapsed)))
            await self._context.sleep(max(schedule.pause(elapsed), slower))
            asked, slower = self._context.clock() - started, 0.0
            try:
                job, misses = (await self._context.client.render(names[0])).model_copy(update={"id": names[0]}), 0
                asked_why = True
                unknown_since = None
            except TransportError:
                misses += 1
                if misses >= LOST_LOOKS:
                    raise
            except RateLimited as error:
                slower = pause_of(error, RATE_LIMITED_TRIES, self._context.client.http.timings)
            except (SignInError, PlanError):
                raise
            except ApiError as error:
                unknown_since = asked if unknown_since is None else unknown_since
                _check_unknown(error, asked - unknown_since)
                names.append(names.pop(0))

    def _poll_scale(self) -> float:
        """What pauses are multiplied by now; many renders share LOOKS_A_SECOND."""
        timings = self._context.timings
        scale = timings.free_poll_scale if self._context.profile.free else timings.poll_scale
        return scale * max(self._watched / LOOKS_A_SECOND / (LONGEST_TOLD * scale), 1.0)

    async def stop(self, attempt: Attempt) -> bool:
        """The user gave up: stop the render (free), waiting a bounded time for the backend's word."""
        newest = await self._context.journal.latest(attempt.key)
        if newest is None or newest.state is not State.SENT:
            return False
        render_id = newest.facts.render_id
        await self._context.journal.move(newest, Event.DECLINE, facts=StoredFacts(error="cancelled"))
        try:
            await asyncio.wait_for(self._context.client.cancel_render(render_id), CANCEL_SECONDS)
        except (NemoError, asyncio.TimeoutError) as error:
            logger.info("the render could not be stopped (%s)", type(error).__name__)
        return True


def _is_worth_retrying(error: NemoError) -> bool:
    """A failure that another id may get past, unlike those that say what is wrong (plan, sign-in, session).

    Nor one that was waited for already, nor a render that goes on.
    """
    if isinstance(error, BadAnswer):
        return not is_away(error) and error.id != "render-word"
    return isinstance(error, RenderFailed) or type(error) is ApiError


class Doubt:
    """What to make of a render whose status is a word that is not known: looked at again, but not without end."""

    def __init__(self) -> None:
        self._last: tuple[str, float | None] | None = None
        self._since = 0.0

    def judge(self, job: RenderJob, percent: float | None, elapsed: float) -> bool:
        """Whether its file may be fetched; raises what is told where it stood still for too long."""
        if job.status != "unknown":
            self._last = None
            return False
        if self._last != (job.said, percent):
            self._last, self._since = (job.said, percent), elapsed
        stood = elapsed - self._since
        if stood >= UNKNOWN_SECONDS:
            raise _make_unknown_status_error(job)
        return stood >= WHOLE_SECONDS and bool(job.url)


def _make_unknown_status_error(job: RenderJob) -> BadAnswer:
    return BadAnswer("render-word", said=sanitize_for_display(job.said)[:80] or "?")


def _check_unknown(error: ApiError, seconds: float) -> None:
    """Raise what an answer means that is no status: a render is not known in its first seconds."""
    if error.code == 0:
        raise RenderFailed("render-failed", reason=error.facts.get("reason") or "?") from error
    if error.code != 404 or seconds >= UNHEARD_SECONDS:
        raise error


def _make_progress(job: RenderJob, percent: float | None, elapsed: float, left: float | None) -> Progress:
    """What people see of it: a word that is not known is shown as it is, and never as a finished render."""
    strange = job.status == "unknown" and bool(job.said)
    known = percent is not None and not (strange and percent >= 100)
    fraction = percent / 100 if known and percent is not None else None
    return Progress(
        "render", fraction, tool=sanitize_for_display(job.said)[:60] if strange else "", elapsed=elapsed, left=left
    )


def _make_reporter(request: InFlightRequest) -> Callable[[int, int | None], None]:
    def on_bytes(have: int, total: int | None) -> None:
        request.report(Progress("download", have / total if total else None))

    return on_bytes


def _is_intact(path: Path, checked: Checked) -> bool:
    try:
        return path.is_file() and path.stat().st_size == checked.size and hash_file(path) == checked.sha256
    except OSError:
        return False

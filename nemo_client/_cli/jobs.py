"""`nemo-video jobs`: lists earlier requests, and resumes, cancels, forgets or resends one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size

from .._config.credentials import find_account_id
from .._config.paths import ensure_home, find_home
from .._config.profiles import find_profile
from .._errors import Cancelled, InputError, NemoError, RenderFailed
from .._files.images import UploadStore
from .._files.save import Destination
from .._journal.journal import Journal
from .._studio.jobs import Job, find_job, find_own_uploads, list_jobs
from .._studio.studio import Studio
from .._studio.types import MessageResult, Output
from .._text.messages import say
from .animate import Delivery, check_writable, in_plain_words, show_delivered, video_to_json
from .output import Outcome, strip_controls
from .runtime import Run

PROMPT_CELLS: Final = 40
BALANCE_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Wanted:
    """Which job was meant, and where its video shall go, as it was typed."""

    job: str = ""
    output: str = ""


def _open_journal() -> Journal:
    """The journal alone: no profile, no network."""
    return Journal.open(ensure_home(find_home()))


async def show_jobs(run: Run, limit: int, everything: bool) -> Outcome:
    """The newest jobs as a table, newest first."""
    async with _open_journal() as journal:
        await _look_for_late_charges(run, journal)
        jobs = await list_jobs(journal, limit=limit, hidden=everything)
    lang = run.screen.lang
    data = {"jobs": [job.to_json() for job in jobs]}
    if not jobs:
        return Outcome("", data, (say("jobs.none", lang),))
    rows = [f"  {say('jobs.head', lang)}".split(","), *(_make_row(job, lang) for job in jobs)]
    notes = (say("jobs.unfinished", lang),) if any(job.unfinished for job in jobs) else ()
    return Outcome(_format_table(rows), data, notes=notes)


async def _look_for_late_charges(run: Run, journal: Journal) -> None:
    """Read the balance of each account that owes a charge, so that the list tells it; without one nothing is asked.

    Only where this machine still has the account's token. What cannot be read now stays as it is.
    """
    for name, account in await journal.find_uncharged():
        with contextlib.suppress(NemoError, asyncio.TimeoutError):
            if find_account_id(find_profile(name), find_home()) == account:
                studio = await run.studio_of(name)
                await asyncio.wait_for(studio.credits(), BALANCE_SECONDS)


def _make_row(job: Job, lang: str) -> list[str]:
    mark = "* " if job.unfinished else "  "
    return [
        mark + job.id,
        job.time,
        _describe_state(job, lang),
        _credits(job),
        _shorten_prompt(job),
        _describe_video(job, lang),
    ]


def _credits(job: Job) -> str:
    """What it took, with a mark where that is a bound; `?` where it is not known."""
    if job.unsent:
        return "0"
    return "?" if job.spent is None else ("≤ " if job.certainty == "at most" else "") + f"{job.spent:g}"


def _describe_state(job: Job, lang: str) -> str:
    """How it stands, in plain words."""
    state = job.state
    if state == "done" and not job.unfinished:
        state = "delivered" if job.delivered else "answered"
    words = say(f"job.state.{state}", lang)
    return f"{words}, {say('job.forgotten', lang)}" if job.hidden else words


def _shorten_prompt(job: Job) -> str:
    words = strip_controls(" ".join(job.prompt.split()))
    return words if cell_len(words) <= PROMPT_CELLS else set_cell_size(words, PROMPT_CELLS - 1).rstrip() + "…"


def _describe_video(job: Job, lang: str) -> str:
    return job.video if not job.video or os.path.exists(job.video) else say("job.gone", lang, path=job.video)


def _format_table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(set_cell_size, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


async def look_up_job(wanted: str) -> Job:
    """The job that was meant."""
    async with _open_journal() as journal:
        return await find_job(journal, wanted)


async def resume(run: Run, wanted: Wanted) -> Outcome:
    """The video of a job, wherever it stands; pays only for what was never sent."""
    job = await look_up_job(wanted.job)
    studio = await _open_job_studio(run, job)
    output, destination = await _plan_destination(studio, job, wanted)
    if job.unsent and not studio.profile.free:
        run.screen.remark(say("jobs.sends", run.screen.lang, job=job.id))
    turned = run.note_result(await studio.finish_job(job, caller=run.caller))
    return await _export_or_answer(run, turned, destination, output)


async def _open_job_studio(run: Run, job: Job) -> Studio:
    """The Studio of the job's own profile."""
    run.profile, run.session_id, run.job_id = job.profile, job.session_id, job.id
    return await run.studio()


async def _plan_destination(studio: Studio, job: Job, wanted: Wanted) -> tuple[Output, Destination]:
    """Where it goes now: as typed, else as it was wanted before, else into the current folder. Tried out."""
    destination, output = await studio.find_wanted_export(job) or (None, Output())
    if destination is None or wanted.output:
        delivery = Delivery(wanted.output, "", output.quality, output.resolution, output.format)
        output, destination = delivery.plan([f"video-{job.id}"])
    check_writable(destination, output.format)
    return output, destination


async def _export_or_answer(run: Run, turned: MessageResult, destination: Destination, output: Output) -> Outcome:
    """The video of what a message made, or its answer where it made none."""
    try:
        video = await run.call_free(
            lambda studio: studio.export(turned.session, destination, output, caller=run.caller)
        )
    except RenderFailed as error:
        if error.id != "not-ready" or not turned.reply:
            raise
        words = in_plain_words(turned, run).text
        return Outcome(words, video_to_json(turned.session, reply=words, money=turned.money, reused=turned.reused))
    return show_delivered(run, turned, video)


async def cancel(run: Run, wanted: str) -> Outcome:
    """Stop the renders of a job, and say what cannot be stopped."""
    job = await look_up_job(wanted)
    stopped = await (await _open_job_studio(run, job)).stop(job)
    if job.in_flight:
        text_id = "jobs.out"
    else:
        text_id = "jobs.stopped" if stopped else "jobs.idle-kept" if job.state == "done" else "jobs.idle"
    text = say(text_id, run.screen.lang, job=job.id, command=run.make_job_command())
    return Outcome(text, {"job": job.id, "state": job.state, "stopped": stopped})


async def show_project_page(run: Run, wanted: str) -> Outcome:
    """The address of a job's project page, made now and printed once. No program is given it: others see arguments."""
    job = await look_up_job(wanted)
    address = await (await _open_job_studio(run, job)).project_page(job)
    return Outcome(address, {"job": job.id, "url": address}, notes=(say("jobs.page", run.screen.lang),))


async def forget(run: Run, wanted: str) -> Outcome:
    """Take a job off the list; what was uploaded for it alone goes, unless its message is still out."""
    job = await look_up_job(wanted)
    run.job_id = job.id
    lang, deleted = run.screen.lang, 0
    async with _open_journal() as journal:
        if not job.in_flight:
            deleted = UploadStore(find_home()).forget(await find_own_uploads(journal, job))
        await journal.hide(job.key)
    text = say("jobs.hidden-open" if job.in_flight else "jobs.hidden", lang, job=job.id, command=run.make_job_command())
    notes = (say("jobs.uploads", lang, count=deleted),) if deleted else ()
    return Outcome(text, {"job": job.id, "state": job.state, "uploads_deleted": deleted}, notes=notes)


def resend(run: Run, wanted: Wanted, yes: bool) -> Outcome:
    """Send a message once more, which pays again, when the user has agreed; then deliver its video."""
    job = run.do(_find_resendable(run, wanted.job))
    if not yes:
        _ask_for_consent(run, job)
    return run.do(_resend_job(run, job, wanted))


async def _find_resendable(run: Run, wanted: str) -> Job:
    job = await look_up_job(wanted)
    await (await _open_job_studio(run, job)).may_resend(job)
    return job


def _ask_for_consent(run: Run, job: Job) -> None:
    """Ask at the terminal; `InputError` where there is no terminal, `Cancelled` where the answer is no."""
    lang = run.screen.lang
    if not sys.stdin.isatty():
        raise InputError("jobs-yes", job=job.id)
    run.screen.warn(say("jobs.pays", lang, job=job.id, prompt=_shorten_prompt(job)))
    run.screen.ask(say("jobs.ask", lang) + " ")
    answer = ""
    with contextlib.suppress(EOFError):
        answer = input()
    if answer.strip().casefold() not in ("y", "yes"):
        raise Cancelled("cancelled")


async def _resend_job(run: Run, job: Job, wanted: Wanted) -> Outcome:
    studio = await _open_job_studio(run, job)
    output, destination = await _plan_destination(studio, job, wanted)
    turned = run.note_result(await studio.resend(job, caller=run.caller))
    return await _export_or_answer(run, turned, destination, output)

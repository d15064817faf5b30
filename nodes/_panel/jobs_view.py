"""Jobs as the browser shows them, and its actions on them. Runs on the network thread.

Looking never acts: no Studio is opened for it, nothing is sent, and no journal is made where there is none.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from ...nemo_client import FORMATS
from .._comfy import host, inputs, packages, run
from .._comfy.status import compute_fraction

if TYPE_CHECKING:
    from ...nemo_client import Caller, Job, Journal, NemoError, Profile, Progress, Studio

logger = logging.getLogger("nemo_client")

EVENT: Final = "nemo.jobs"
LOOK_SECONDS: Final = 1.0
LEAVE_SECONDS: Final = 5.0
WATCH_SECONDS: Final = 60.0
"""So long after the list was last asked for, browsers are still told when a job moves."""
THUMBNAIL_SIDE: Final = 160
THUMBNAILS: Final = 200
PLACES: Final = 2000
_ID: Final = re.compile(r"[0-9a-f]{8}")
_ERRORS: Final = {"unknown": "board.unknown", "lost": "board.lost", "failed": "board.failed"}
_REFUSED: Final = ("no-credits", "token-refused", "rate-limit", "session-gone", "plan-other")
"""Refusals that the journal names, whose cards say what to do."""
_BARE: Final = ("result-none", "result-lost")
"""Ends without a word of the backend's: the list says how to go on from the list."""


def is_id(text: str) -> bool:
    """Whether a text is the id of a job."""
    return _ID.fullmatch(text) is not None


@dataclass
class _Resume:
    """A job that is collected in the background, and the result."""

    item: run.Item
    started: float
    task: asyncio.Task[None] | None = None
    error: NemoError | None = None

    @property
    def is_going_on(self) -> bool:
        """Whether it is still being collected."""
        return self.task is not None and not self.task.done()


@dataclass
class _Around:
    """What is known beside the journal, at one moment."""

    running: Mapping[str, Progress] = field(default_factory=dict)
    items: Mapping[str, run.Item] = field(default_factory=dict)
    collected: Collection[str] = ()
    errors: Mapping[str, NemoError] = field(default_factory=dict)
    pictures: Mapping[str, Path] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """Which jobs are asked for: so many, with this in their prompt or id, of this filter, after the one of this id.

    `seen` is the `mark` of the answer that the page has already.
    """

    limit: int = 50
    search: str = ""
    which: str = "all"
    after: str = ""
    seen: str = ""


class Board:
    """The jobs of the journal with what is under way here."""

    def __init__(self) -> None:
        self._resumes: dict[tuple[Journal, str], _Resume] = {}
        self._places: dict[tuple[Journal, str], Path] = {}
        self._thumbnails: OrderedDict[tuple[Path, float], str] = OrderedDict()
        self._studios: WeakSet[Studio] = WeakSet()
        self._watching: asyncio.Task[None] | None = None
        self._asked = 0.0
        self._acts = 0
        self._answered: dict[tuple[Journal, str, float], NemoError | None] = {}
        self._born = uuid.uuid4().hex
        self._ids: dict[str, str] = {}

    async def jobs(self, page: Page, lang: str) -> dict[str, Any]:
        """A page of jobs; as long as the list is asked for now and then, browsers are told when one moves.

        The first page begins with those that still owe a video (`pinned` names them), then come the newest. `next` is
        what `after` is to be for the page that follows, and `counts` says how many there are of each filter. `mark`
        stands for all that was read: a page that names it as `seen` is told what runs, as long as nothing has changed.
        """
        self._asked = time.monotonic()
        if self._watching is None or self._watching.done():
            self._watching = asyncio.ensure_future(self._watch_journals())
        if not await asyncio.to_thread(run.is_journal):
            return {"jobs": [], "now": time.time()}
        running = self._list_running()
        mark = await self._make_mark(page, running)
        if page.seen and page.seen == mark:
            items = self._find_items()
            told = {
                self._ids[key]: _describe_progress(each, items.get(key), lang)
                for key, each in running.items()
                if key in self._ids
            }
            return {"unchanged": True, "running": told, "now": time.time(), "mark": mark}
        found = await self._describe_page(page, running)
        return {**found, "jobs": await self._describe_jobs(found["jobs"], lang), "now": time.time(), "mark": mark}

    async def _make_mark(self, page: Page, running: Mapping[str, Progress]) -> str:
        """Changes with the journal, with what is done here, and once a minute: files may go without a word."""
        changed = await run.get_network().journal().change_mark()
        here = (self._acts, sorted((key, each.stage) for key, each in running.items()), int(time.time() // 60))
        return hashlib.sha256(repr((self._born, replace(page, seen=""), changed, here)).encode()).hexdigest()[:32]

    async def _describe_page(self, page: Page, running: Mapping[str, Progress]) -> dict[str, Any]:
        from ...nemo_client import count_jobs, list_jobs, list_owed

        journal, first = run.get_network().journal(), not page.after
        pinned: list[Job] = []
        if first and page.which == "all" and not page.search:
            pinned = await list_owed(journal, limit=page.limit // 2) if page.limit > 1 else []
        found = await list_jobs(
            journal, limit=page.limit + 1, search=page.search, which=page.which, after=page.after, running=running
        )
        above = {job.key for job in pinned}
        others = [job for job in found if job.key not in above]
        shown = others[: page.limit - len(pinned)]
        more = len(found) > page.limit or len(shown) < len(others)
        answer: dict[str, Any] = {
            "jobs": [*pinned, *shown],
            "pinned": [job.id for job in pinned],
            "next": shown[-1].id if more and shown else "",
            "search": page.search.strip(),
        }
        if first:
            answer["counts"] = await count_jobs(journal, search=page.search, running=running)
        return answer

    async def find(self, wanted: str) -> Job:
        """The job of that id; `InputError` where there is none."""
        from ...nemo_client import InputError

        if not is_id(wanted) or not await asyncio.to_thread(run.is_journal):
            raise InputError("job-unknown", job=wanted[:16])
        job = await run.get_network().find_listed_job(wanted)
        if job.id != wanted:  # a word of a prompt
            raise InputError("job-unknown", job=wanted)
        return job

    async def view(self, wanted: str, lang: str) -> dict[str, Any]:
        """One job as it is now."""
        return (await self._describe_jobs([await self.find(wanted)], lang))[0]

    async def picture(self, wanted: str) -> str:
        """The thumbnail of a job as a data URL: a frame of its video where that lies in its place, else its upload."""
        from ...nemo_client import InputError

        path = self._places.get((run.get_network().journal(), wanted))  # else 50 thumbnails would be 50 searches
        if path is None:
            path = await self._find_picture(await self.find(wanted))
        stamp = await asyncio.to_thread(_stamp_file, path or Path())
        if path is None or stamp is None:
            raise InputError("picture-none", job=wanted)
        if (path, stamp) not in self._thumbnails:
            try:
                small = await asyncio.to_thread(_make_thumbnail, path)
            except InputError as error:
                raise InputError("picture-none", job=wanted) from error
            self._thumbnails[path, stamp] = f"data:image/jpeg;base64,{base64.b64encode(small).decode('ascii')}"
            if len(self._thumbnails) > THUMBNAILS:
                self._thumbnails.popitem(last=False)
        self._thumbnails.move_to_end((path, stamp))
        return self._thumbnails[path, stamp]

    async def _find_picture(self, job: Job) -> Path | None:
        from ...nemo_client import pictures_of

        if await _is_served(job.video):
            return Path(job.video)
        return (await pictures_of(run.get_network().journal(), [job])).get(job.key)

    async def workflow(self, wanted: str) -> dict[str, Any]:
        """The graph that a delivered video of a job carries: as it was drawn, and as it was sent (either may be None).

        `InputError` where it carries none: metadata was off, the format has no place for it, or no graph made it.
        """
        from ...nemo_client import InputError

        job = await self.find(wanted)
        path = Path(job.video)
        if not await _is_served(job.video):
            raise InputError("folder-none", job=job.id)
        found = await asyncio.to_thread(_read_graph, path)
        if not any(found.values()):
            raise InputError("workflow-none", job=job.id, name=path.name)
        return found

    async def resume(self, wanted: str, lang: str) -> dict[str, Any]:
        """Collect a job in the background, once at a time. One that was never sent is not sent from here: that pays."""
        from ...nemo_client import Budget, InputError, Progress, profile

        job = await self.find(wanted)
        key = (run.get_network().journal(), job.key)
        if job.key not in self._list_running():
            known = await asyncio.to_thread(profile, job.profile)
            if job.unsent and not known.free:
                raise InputError("resume-unsent", job=job.id)
            entry = _Resume(run.Item("", Budget()), time.monotonic())
            # The message may turn out refused meanwhile: it is not sent again from here.
            entry.item.caller.only_collects = not known.free
            entry.item.caller.take(Progress("settle"))
            entry.task = asyncio.ensure_future(_collect_job(job, entry.item.caller))
            entry.task.add_done_callback(lambda task: self._finish_collecting(task, key, entry))
            self._resumes[key] = entry
            self._acts += 1
        return {"job": await self.view(job.id, lang)}

    async def cancel(self, wanted: str, lang: str) -> dict[str, Any]:
        """Stop the renders of a job and its collecting here, and say what goes on."""
        from ...nemo_client import LostRace, say

        job = await self.find(wanted)
        studio = await run.get_network().studio(job.profile)
        try:
            stopped = await studio.stop(job)
        except LostRace:  # it finished at that very moment
            stopped = False
        self._acts += 1
        entry = self._resumes.pop((run.get_network().journal(), job.key), None)
        if entry is not None and entry.task is not None and not entry.task.done():
            entry.item.caller.gave_up = True
            entry.task.cancel()
            await asyncio.wait({entry.task}, timeout=LEAVE_SECONDS)
        if job.in_flight:
            text = "board.out"
        else:
            text = "board.stopped" if stopped else "board.idle-kept" if job.unfinished else "board.idle"
        return {"job": await self.view(job.id, lang), "text": say(text, lang, job=job.id)}

    async def forget(self, wanted: str) -> None:
        """Take a job off the list, and delete the uploads that no other one needs; none while it runs."""
        from ...nemo_client import forget_job

        job = await self.find(wanted)
        await forget_job(run.get_network().journal(), job, keep_uploads=job.key in self._list_running())
        self._acts += 1

    async def project_page(self, wanted: str) -> str:
        """The address of a job's project page: a secret, made now, for the answer alone."""
        from ...nemo_client import InputError, profile

        job = await self.find(wanted)
        if (await asyncio.to_thread(profile, job.profile)).free:
            raise InputError("page-none", job=job.id)
        return await (await run.get_network().studio(job.profile)).project_page(job)

    def _finish_collecting(self, task: asyncio.Task[None], key: tuple[Journal, str], entry: _Resume) -> None:
        self._acts += 1
        error = None if task.cancelled() else task.exception()
        if error is not None:
            entry.error = translate_error(error)
        elif self._resumes.get(key) is entry:
            del self._resumes[key]

    async def _describe_jobs(self, jobs: Sequence[Job], lang: str) -> list[dict[str, Any]]:
        from ...nemo_client import pictures_of

        if not jobs:
            return []
        journal = run.get_network().journal()
        errors = {key: each.error for (place, key), each in self._resumes.items() if place is journal and each.error}
        pictures = await pictures_of(journal, jobs)
        errors = {**await self._read_answers(journal, jobs), **errors}
        collected = {key for (place, key), each in self._resumes.items() if place is journal and each.is_going_on}
        around = _Around(self._list_running(), self._find_items(), collected, errors, pictures)
        views = await asyncio.to_thread(_describe_jobs, jobs, around, lang)
        if len(self._places) > PLACES or len(self._ids) > PLACES:
            self._places.clear()
            self._ids.clear()
        for job, view in zip(jobs, views, strict=True):
            self._ids[job.key] = job.id
            if view["picture"]:
                self._places[journal, job.id] = Path(job.video) if view["video"] else pictures[job.key]
        return views

    async def _read_answers(self, journal: Journal, jobs: Sequence[Job]) -> dict[str, NemoError]:
        """What the backend asked or said, of jobs that failed or wait to be collected; each is read once."""
        from ...nemo_client import outcome_of

        found: dict[str, NemoError] = {}
        for job in jobs:
            if job.state == "failed" or (job.state == "done" and job.unfinished):
                place = (journal, job.key, job.changed)
                if place not in self._answered:
                    answer = self._answered[place] = await outcome_of(journal, job)
                    if answer is not None:
                        answer.on_page = True
                    if len(self._answered) > PLACES:
                        self._answered.pop(next(iter(self._answered)))
                error = self._answered.get(place)
                if error is not None:
                    found[job.key] = error
        return found

    def _list_running(self) -> dict[str, Progress]:
        """What is under way in this process, by step key; what is collected here is, whatever it waits for."""
        found = {
            key: shown
            for (journal, key), entry in self._resumes.items()
            if entry.is_going_on
            and journal is run.get_network().journal()
            and (shown := entry.item.tell_progress(entry.started, time.monotonic())) is not None
        }
        self._studios.update(
            run.get_network().list_open_studios()
        )  # one whose profile has changed works on until it is done, unseen elsewhere
        for studio in self._studios:
            found.update(studio.running())
        return found

    def _find_items(self) -> dict[str, run.Item]:
        """What nodes and this list wait for, by step key: a card says what its node says."""
        callers = {key: each for studio in self._studios for key, each in studio.list_callers().items()}
        return {key: item for key, each in callers.items() if (item := run.find_item(each)) is not None}

    async def _watch_journals(self) -> None:
        """Tell browsers when a job starts, moves or ends; no disk and no database is read for it.

        It ends when the list was not asked for in a while: no page shows it.
        """
        before: Any = None
        while time.monotonic() - self._asked < WATCH_SECONDS:
            network = run.get_network()
            running = {(key, progress.stage) for key, progress in self._list_running().items()}
            states = {(job.id, job.state, job.delivered, job.video) for job in network.jobs}
            now = (running, states, self._acts)
            if before is not None and now != before:
                host.send_event(EVENT)
            before = now
            await asyncio.sleep(LOOK_SECONDS)


async def _collect_job(job: Job, caller: Caller) -> None:
    studio = await run.get_network().studio(job.profile)
    await studio.collect(job, host.make_destination(inputs.PREFIX[1]["default"]), caller=caller)


def translate_error(error: BaseException) -> NemoError:
    """An error as people shall read it; an unexpected one is logged, without secrets."""
    from ...nemo_client import NemoError, redact, traceback_of

    error = packages.describe(error) or error
    if isinstance(error, NemoError):
        error.on_page = True
        return error
    logger.error("unexpected %s\n%s", type(error).__name__, traceback_of(error))
    return NemoError("unexpected", charged="maybe", kind=type(error).__name__, reason=redact(str(error))[:300])


def _describe_jobs(jobs: Sequence[Job], around: _Around, lang: str) -> list[dict[str, Any]]:
    """Jobs as plain data. Blocks: looks at files."""
    from ...nemo_client import NemoError, profiles

    try:
        around.profiles = profiles()
    except NemoError as error:
        logger.debug("the profiles could not be read: %s", error.id)
    return [_describe_job(job, around, lang) for job in jobs]


def _describe_job(job: Job, around: _Around, lang: str) -> dict[str, Any]:
    path = job.video if job.video and os.path.isfile(job.video) else ""
    video = host.find_view(Path(path)) if path else None
    running = around.running.get(job.key)
    profile = around.profiles.get(job.profile)
    picture = around.pictures.get(job.key)
    error = around.errors.get(job.key)
    return {
        "id": job.id,
        "label": job.label,
        "kind": job.kind,
        "state": job.state,
        "profile": job.profile,
        "prompt": job.prompt,
        "created": job.created,
        "changed": job.changed,
        "spent": job.spent,
        "certainty": job.certainty,
        "free": profile is not None and profile.free,
        "error": "" if running or path else _word_error(job, error, lang),
        "asks": job.state == "failed" and error is not None and error.id.startswith("question-asked") and not running,
        "delivered": job.delivered,
        "unfinished": job.unfinished,
        "video": video,
        "path": path,
        "picture": video is not None or (picture is not None and picture.is_file()),
        "running": _describe_progress(running, around.items.get(job.key), lang) if running else None,
        "stops": _what_stops(job, running, job.key in around.collected),
        "resumable": profile is not None and running is None and _is_resumable(job, path, profile.free),
        "page": profile is not None and not profile.free and bool(job.session_id and job.task_id),
    }


def _what_stops(job: Job, running: Progress | None, collected: bool) -> str:
    """What the cancel of a running job stops: its `render`, the `waiting` for a message in flight, a `start`, or "".

    A message in flight cannot be called back. What a node waits for is stopped where it was queued.
    """
    if running is None:
        return ""
    if job.state == "done":
        return "render"
    if not collected:
        return ""
    return "waiting" if job.in_flight else "start"


async def _is_served(video: str) -> bool:
    """Whether a delivered file lies in ComfyUI's output folder."""
    return bool(video) and await asyncio.to_thread(host.find_view, Path(video)) is not None


def _stamp_file(path: Path) -> float | None:
    """When a file was written; None where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _make_thumbnail(path: Path) -> bytes:
    from ...nemo_client import make_video_thumbnail, thumbnail

    films = path.suffix.lower() in _FILMS
    return make_video_thumbnail(path, THUMBNAIL_SIDE) if films else thumbnail(path, THUMBNAIL_SIDE)


_FILMS: Final = tuple(f".{each}" for each in FORMATS)


def _read_graph(path: Path) -> dict[str, Any]:
    """The tags `workflow` and `prompt` of a file as JSON objects, None where there is none. Blocks."""
    from ...nemo_client import read_graph_tags

    try:
        tags = {name.lower(): value for name, value in read_graph_tags(path).items()}  # Matroska knows capitals only
    except Exception as error:  # noqa: BLE001 - PyAV's errors, whichever its release raises: a file without tags
        logger.debug("the tags of a video could not be read (%s)", type(error).__name__)
        tags = {}
    return {name: _parse_object(tags.get(name, "")) for name in ("workflow", "prompt")}


def _parse_object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


def _describe_progress(progress: Progress, item: run.Item | None, lang: str) -> dict[str, Any]:
    """How a job stands: as its node says it, where one waits for it, else how far the whole way is."""
    if item is not None and item.shown is not None:
        progress, fraction = item.shown
    else:
        fraction = compute_fraction(progress)
        progress = progress if progress.fraction is None else replace(progress, fraction=fraction)
    return {
        "text": progress.text(lang),
        "fraction": round(fraction, 4),
        "elapsed": progress.elapsed,
        "left": progress.left,
    }


def _word_error(job: Job, error: NemoError | None, lang: str) -> str:
    """Why a job is not there, and how it goes on from the list; the money stands in a line of its own on its card."""
    from ...nemo_client import say

    if error is not None and error.id not in _BARE:
        holds = getattr(error, "holds", "")
        return " ".join(filter(None, [error.describe(lang), say(f"board.kept.{holds}", lang) if holds else ""]))
    if job.state == "refused":
        return say(f"board.refused.{job.error}" if job.error in _REFUSED else "board.refused", lang)
    return say(_ERRORS[job.state], lang) if job.state in _ERRORS else ""


def _is_resumable(job: Job, path: str, free: bool) -> bool:
    """Whether collecting it may bring a video: one that is owed, or one whose file is gone."""
    if job.unsent:
        return free and job.unfinished
    return job.unfinished or job.state == "lost" or bool(job.video and not path)

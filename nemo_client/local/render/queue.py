"""Render jobs: a draft becomes a file on a thread, and any process can ask how far it is.

A job is a folder, made once: a second job with its id is refused. It names the backend that works on it, so that a
job whose process died reads as failed, and any backend on the same directory can tell how a job stands or cancel it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..sessions.accounts import Account
from ..sessions.ledger import Ledger
from ..sessions.store import Store
from ..shared.disk import DIRECTORY_MODE, Owner, private_directory, private_opener, read_json, replace_file, write_json
from ..shared.replies import ApiError
from ..shared.settings import Renderer, Settings, renderer_in_use
from .formats import FORMATS, QUALITIES

FINAL = ("completed", "failed")
MAX_WAITING = 200
SAVE_SECONDS = 0.5
LOOK_SECONDS = 0.1
SCRIPTED_STEP_SECONDS = 0.02
CANCELLED = "The render was cancelled"
DIED = "The program that rendered this has ended; render again"

_RENDER_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")

_log = logging.getLogger("nemo_client.local")


@dataclass
class _Job:
    """A job that this backend works on. The record is what its file says; progress runs ahead of it.

    The draft waits as JSON text: as objects it would take many times the room.
    """

    record: dict[str, Any]
    folder: Path
    draft: str
    assets: Mapping[str, Path]
    output: Mapping[str, Any]
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: float = 0.0  # 0..1, as the renderer says
    started: float | None = None
    saved: float = 0.0
    looked: float = 0.0


class Renders:
    def __init__(self, settings: Settings, store: Store, owner: Owner, ledger: Ledger) -> None:
        self._settings = settings
        self._store = store
        self._owner = owner
        self._ledger = ledger
        self._jobs_directory = private_directory(settings.directory / "jobs")
        self._lock = threading.Lock()
        self._live: dict[str, _Job] = {}
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    # --- asked by the API -----------------------------------------------------------------------------------------

    def submit(self, body: dict[str, Any], account: Account) -> dict[str, Any]:
        """Accept a render (ApiError 400, 409, 429 or 1002) and queue it."""
        render, draft, output = _check_request(body)
        text = json.dumps(draft, sort_keys=True)
        most = self._settings.limits.draft_characters
        if len(text) > most:
            raise ApiError(413, f"The draft has more than {most} characters")
        session = self._store.load(str(body.get("sessionId")), account)
        folder = self._find_folder(render)
        with self._lock:
            if len(self._live) >= MAX_WAITING:
                raise ApiError(429, f"{MAX_WAITING} renders are waiting already")
        try:
            folder.mkdir(mode=DIRECTORY_MODE)
            folder.chmod(DIRECTORY_MODE)
        except FileExistsError:
            raise ApiError(409, "This render id is already used") from None
        record = {
            "id": render,
            "session": session["id"],
            "account": account.user_id,
            "owner": self._owner.id,
            "status": "pending",
            "progress": 0,
            "error": None,
            "format": output["format"],
            "name": f"render-{folder.name}.{output['format']}",
            "title": session["task_name"],
        }
        job = _Job(record, folder, text, self._store.asset_paths(session), output)
        self._save_job(job)
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._ledger.append("render", id=render, session=session["id"], account=account.user_id, draft=digest)
        with self._lock:
            self._live[render] = job
        self._hire_thread()
        self._waiting.put(job)
        return dict(record)

    def status(self, render: str, account: Account) -> dict[str, Any]:
        """The job's record with its progress now (ApiError 404 when this account has no such job)."""
        with self._lock:
            job = self._live.get(render)
            if job and job.record["account"] == account.user_id:
                return self._describe_job(job)
        record = read_json(self._find_folder(render) / "job.json") if _RENDER_ID.fullmatch(render) else None
        if record is None or record["account"] != account.user_id:
            raise ApiError(404, "There is no such render")
        if record["status"] not in FINAL and not self._owner.alive(record["owner"]):
            record |= {"status": "failed", "error": DIED}
        return record

    def cancel(self, render: str, account: Account) -> dict[str, Any]:
        """Stop a job that is not finished; the backend that works on it may be another one."""
        record = self.status(render, account)
        if record["status"] in FINAL:
            return record
        with self._lock:
            job = self._live.get(render)
        if job:
            job.cancelled.set()
            self._finish_job(job, error=CANCELLED)
            return dict(job.record)
        with open(self._find_folder(render) / "cancel", "wb", opener=private_opener):
            pass
        return record

    def output(self, record: Mapping[str, Any]) -> Path:
        return self._store.renders / str(record["name"])

    def close(self) -> None:
        """Stop everything that runs; what was not finished reads as failed from now on."""
        with self._lock:
            jobs = list(self._live.values())
        for job in jobs:
            job.cancelled.set()
            self._finish_job(job, error=DIED)
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(timeout=5)

    # --- on the rendering threads ---------------------------------------------------------------------------------

    def _hire_thread(self) -> None:
        with self._lock:
            if len(self._threads) < min(self._settings.render_threads, len(self._live)):
                # Daemons, because a program that ends must not wait for a render that no client will fetch.
                thread = threading.Thread(target=self._work_jobs, name="nemo-local-render", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _work_jobs(self) -> None:
        while (job := self._waiting.get()) is not None:
            if not job.cancelled.is_set():
                try:
                    self._carry_out(job)
                except OSError as error:  # its folder is gone, or the disk is full: the next job takes no harm
                    _log.warning("a render's record could not be written (%s)", type(error).__name__)
                    with self._lock:
                        self._live.pop(job.record["id"], None)

    def _carry_out(self, job: _Job) -> None:
        job.started = time.monotonic()
        self._set_state(job, status="processing")
        target = self._store.renders / str(job.record["name"])
        part = target.with_name(f"part-{target.name}")
        error: str | None = None
        try:
            with open(part, "wb", opener=private_opener):  # the encoder would make a file that others may read
                pass
            self._draw_job(job, part)
            self._wait_for_script(job)
            if not self._is_cancelled(job):
                replace_file(part, target)
        except Exception as problem:  # noqa: BLE001 - whatever a renderer raises fails its job, not the thread
            error = _word_reason(problem)
        finally:
            part.unlink(missing_ok=True)
        self._finish_job(job, error=CANCELLED if job.cancelled.is_set() else error)
        if job.record["status"] == "failed":
            target.unlink(missing_ok=True)  # cancelled in the moment in which it appeared

    def _draw_job(self, job: _Job, part: Path) -> None:
        render = self._settings.renderer or renderer_in_use() or _load_renderer()

        def progress(done: float) -> None:
            job.done = done
            if time.monotonic() - job.saved > SAVE_SECONDS:
                self._save_job(job)

        render(
            json.loads(job.draft),
            job.assets,
            part,
            format=job.output["format"],
            quality=job.output["quality"],
            resolution=job.output["resolution"],
            fps=job.output["fps"],
            progress=progress,
            cancelled=lambda: self._is_cancelled(job),
        )
        job.done = 1.0

    def _wait_for_script(self, job: _Job) -> None:
        """Last at least as long as `render_seconds` says."""
        while not self._is_cancelled(job) and self._count_elapsed(job) < self._settings.render_seconds:
            job.cancelled.wait(SCRIPTED_STEP_SECONDS)

    def _is_cancelled(self, job: _Job) -> bool:
        """Whether anybody wants the job to stop; another process says so by a file."""
        now = time.monotonic()
        if not job.cancelled.is_set() and now - job.looked > LOOK_SECONDS:
            job.looked = now
            if (job.folder / "cancel").exists():
                job.cancelled.set()
        return job.cancelled.is_set()

    def _finish_job(self, job: _Job, *, error: str | None) -> None:
        """Settle the job once: a second call (by a cancelled job's thread) changes nothing."""
        if error is None:
            self._set_state(job, status="completed", progress=100)
        else:
            self._set_state(job, status="failed", error=error)
        with self._lock:
            self._live.pop(job.record["id"], None)

    # --- records --------------------------------------------------------------------------------------------------

    def _set_state(self, job: _Job, **facts: Any) -> None:
        with self._lock:
            if job.record["status"] in FINAL:
                return
            job.record.update(facts)
        self._save_job(job)

    def _save_job(self, job: _Job) -> None:
        job.saved = time.monotonic()
        with self._lock:
            write_json(job.folder / "job.json", self._describe_job(job))

    def _describe_job(self, job: _Job) -> dict[str, Any]:
        """The job's record as it stands; its progress is news until it is finished."""
        if job.record["status"] in FINAL:
            return dict(job.record)
        return {**job.record, "progress": self._shape_progress(job)}

    def _count_elapsed(self, job: _Job) -> float:
        return 0.0 if job.started is None else time.monotonic() - job.started

    def _shape_progress(self, job: _Job) -> int:
        """0 to 99 while it runs, in the shape the settings ask for."""
        done = job.done
        if self._settings.render_seconds:
            done = min(done, self._count_elapsed(job) / self._settings.render_seconds)
        if self._settings.render_progress == "stepped":
            done = int(done * 4) / 4
        elif self._settings.render_progress == "stuck_at_99":
            done *= 2
        return max(0, min(99, int(done * 100)))

    def _find_folder(self, render: str) -> Path:
        return self._jobs_directory / hashlib.sha256(render.encode("utf-8", "replace")).hexdigest()[:32]


def _load_renderer() -> Renderer:
    from .render import render  # loads PyAV: only when something is rendered

    return render


def _word_reason(problem: Exception) -> str:
    """Words for people: the renderer's own, else only what kind of failure it was."""
    reason = getattr(problem, "reason", None)
    if isinstance(reason, str):
        return reason
    if isinstance(problem, OSError) and problem.strerror:
        return f"The video could not be written: {problem.strerror}"
    _log.error("A render failed", exc_info=problem)
    return f"The renderer failed ({type(problem).__name__})"


def _check_request(body: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Id, draft and output of a submission (ApiError 400 when one of them cannot be rendered)."""
    render, draft, output = body.get("id"), body.get("draft"), body.get("output")
    if not isinstance(render, str) or not _RENDER_ID.fullmatch(render):
        raise ApiError(400, "'id' must be 1 to 128 letters, digits, dots, dashes or underscores")
    tracks = draft.get("t") if isinstance(draft, dict) else None
    if not isinstance(draft, dict) or not isinstance(tracks, list):
        raise ApiError(400, "'draft' must be a draft with tracks")
    if not any(isinstance(track, dict) and track.get("sg") for track in tracks):
        raise ApiError(400, "The draft is empty: no track has a segment")
    wanted = output if isinstance(output, dict) else {}
    format, quality = wanted.get("format", "mp4"), wanted.get("quality", "high")
    resolution, fps = wanted.get("resolution"), wanted.get("fps")
    if format not in FORMATS or quality not in QUALITIES:
        raise ApiError(400, f"'output' knows the formats {', '.join(FORMATS)} and the qualities {', '.join(QUALITIES)}")
    if not isinstance(resolution, str | None) or isinstance(fps, bool) or not isinstance(fps, int | float | None):
        raise ApiError(400, "'output.resolution' must be a text and 'output.fps' a number")
    return render, draft, {"format": format, "quality": quality, "resolution": resolution, "fps": fps}

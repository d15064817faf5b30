"""Jobs as people see them: the messages in the journal, found again by a short id, a word of the prompt, or by time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from .._config.paths import find_home
from .._errors import InputError
from .._files.images import UploadStore
from .._journal import job_rows
from .._journal.database import Database
from .._journal.journal import Journal
from .._journal.leases import Owner
from .._journal.money import CERTAINTIES, ESTIMATES, Certainty, estimate_price
from .._journal.queries import select_media_behind, select_newest_files, split_into_portions
from .._journal.records import IN_FLIGHT_STATES, OPEN, UNSENT_STATES
from .._journal.schema import ATTEMPTS, JOBS
from .._journal.steps import PAID, State, parse_kind

LATEST = "latest unfinished"
EVERY = 1_000_000
SEARCH_CHARACTERS: Final = 200
FILTERS: Final = ("all", "working", "ready", "failed")
"""What a list may be narrowed to: everything, messages in flight, videos to collect, failed ones."""

_ID: Final = re.compile(r"[0-9a-f]{4,40}")
"""The beginning of a step's hash: eight digits tell jobs apart for people, more where two of many share those."""
_FAILED: Final = (State.FAILED.value, State.LOST.value, State.REFUSED.value)


@dataclass(frozen=True)
class Job:
    """One request and its state. Times are seconds since 1970, `spent` is in credits (None: not known).

    `certainty` says how sure `spent` is: `exact`, `at most` (the account was used for something else meanwhile) or
    `unknown`. `state` is the journal's. `delivered` says that its video, or that of a later edit, was saved; `video` is
    the path on this machine. `unfinished` says that a video is still to be collected: the request is in flight or
    unknown, or its video was never saved. `hidden` jobs were forgotten by the user.
    """

    id: str
    key: str
    kind: str
    state: str
    profile: str
    prompt: str
    created: float
    changed: float
    session_id: str
    task_id: str
    spent: float | None
    error: str
    delivered: bool
    unfinished: bool
    hidden: bool
    video: str
    certainty: Certainty = "unknown"

    @property
    def label(self) -> str:
        """Id and time, without the prompt: what the Recover node offers (prompts do not belong into workflows)."""
        return f"{self.id} {self.time}"

    @property
    def time(self) -> str:
        """When it was asked for, in local time."""
        return f"{datetime.fromtimestamp(self.created, timezone.utc).astimezone():%Y-%m-%d %H:%M}"

    @property
    def in_flight(self) -> bool:
        """Whether its message was sent, and the result is not known yet."""
        return self.state in IN_FLIGHT_STATES

    @property
    def unsent(self) -> bool:
        """Whether no message went out for it, or a refused one: nothing can have been charged."""
        return self.state in UNSENT_STATES

    def to_json(self) -> dict[str, object]:
        """As plain JSON data, for scripts."""
        return asdict(self)


async def list_jobs(
    journal: Journal,
    *,
    limit: int = 50,
    hidden: bool = False,
    search: str = "",
    which: str = "all",
    after: str = "",
    running: Collection[str] = (),
) -> list[Job]:
    """The newest jobs, newest first.

    `search` is a part of the prompt, or the beginning of an id. `which` is one of `FILTERS`; jobs that are `running` in
    this process count as working. `after` is the id of a job: only older ones are returned.
    """
    if which not in FILTERS:
        raise InputError("value", name="filter", value=which[:80], expected=", ".join(FILTERS))
    query = _filter_by_search(_ROWS if hidden else _ROWS.where(JOBS.c.hidden.is_(False)), search)
    if which != "all":
        query = query.where(_is_in_filter(which, running))
    return await _read_jobs(journal, lambda connection: _filter_older(query, after).order_by(*_NEWEST).limit(limit))


async def list_owed(journal: Journal, *, limit: int = 50) -> list[Job]:
    """The jobs with a video to collect, newest first: in flight, unknown, or made and not saved."""
    query = _ROWS.where(JOBS.c.owes, JOBS.c.hidden.is_(False))
    return await _read_jobs(journal, lambda _: query.order_by(*_NEWEST).limit(limit))


async def count_jobs(journal: Journal, *, search: str = "", running: Collection[str] = ()) -> dict[str, int]:
    """How many jobs match each of `FILTERS`."""

    def count(connection: Connection) -> dict[str, int]:
        sums = [sa.func.count(sa.case((_is_in_filter(which, running), 1))).label(which) for which in FILTERS]
        shown: Any = sa.select(*sums).select_from(JOBS).where(JOBS.c.listed, JOBS.c.hidden.is_(False))
        return dict(connection.execute(_filter_by_search(shown, search)).one()._mapping)

    return await journal.read_lists(count)


async def find_job(journal: Journal, wanted: str) -> Job:
    """The job that `wanted` means, among all jobs; like `pick_job`, which searches a given list."""
    text = wanted.strip() or LATEST
    first = text.split(" ", 1)[0].lower()
    found: list[Job] = []
    if text.lower() in (LATEST, "latest"):
        shown = _ROWS.where(JOBS.c.hidden.is_(False))
        found = await _read_jobs(journal, lambda _: shown.where(_UNFINISHED).order_by(*_NEWEST).limit(1))
    elif _ID.fullmatch(first):
        begins = _ROWS.where(_begins_with(first))
        found = await _read_jobs(journal, lambda _: begins.order_by(*_NEWEST).limit(_NAMED + 1))
    if not found and text.lower() not in (LATEST, "latest"):
        named = _ROWS.where(JOBS.c.hidden.is_(False), _has_words(text))
        found = await _read_jobs(journal, lambda _: named.order_by(*_NEWEST).limit(1))
    return _take_only_one(found, text)


_NAMED: Final = 5
_ROWS: Final = (
    sa.select(
        JOBS.c.key, JOBS.c.attempt, JOBS.c.short, JOBS.c.created, JOBS.c.delivered, JOBS.c.made, JOBS.c.spent,
        JOBS.c.error, JOBS.c.text, (JOBS.c.epoch != ATTEMPTS.c.epoch).label("stale"),
        ATTEMPTS.c.state, ATTEMPTS.c.hidden, ATTEMPTS.c.profile, ATTEMPTS.c.changed, ATTEMPTS.c.session_id,
        ATTEMPTS.c.task_id, ATTEMPTS.c.spent.label("exact"), ATTEMPTS.c.money_text,
    )
    .join(ATTEMPTS, ATTEMPTS.c.id == JOBS.c.attempt)
    .where(JOBS.c.listed)
)  # fmt: skip
_NEWEST: Final = (JOBS.c.created.desc(), JOBS.c.attempt.desc())
_MADE: Final = sa.and_(ATTEMPTS.c.state == State.DONE.value, JOBS.c.made)
_UNFINISHED: Final = sa.and_(JOBS.c.delivered.is_(False), sa.or_(ATTEMPTS.c.state.in_(OPEN), _MADE))


def _is_in_filter(which: str, running: Collection[str]) -> sa.ColumnElement[bool]:
    """Whether a row belongs to one of FILTERS."""
    if which == "working":
        return sa.or_(JOBS.c.state.in_(IN_FLIGHT_STATES), JOBS.c.key.in_(sorted(running)))
    if which == "ready":
        return sa.and_(JOBS.c.owes, JOBS.c.state == State.DONE.value)
    return JOBS.c.state.in_(_FAILED) if which == "failed" else sa.true()


def _filter_by_search(query: sa.Select[Any], search: str) -> sa.Select[Any]:
    text = search.strip()[:SEARCH_CHARACTERS]
    first = text.split(" ", 1)[0].lower()
    if _ID.fullmatch(first):
        return query.where(sa.or_(_begins_with(first), _has_words(text)))
    return query.where(_has_words(text)) if text else query


def _has_words(text: str) -> sa.ColumnElement[bool]:
    return JOBS.c.words.contains(job_rows.fold_text(text[:SEARCH_CHARACTERS]), autoescape=True)


def _begins_with(first: str) -> sa.ColumnElement[bool]:
    """Ids with this beginning, in a form that an index serves in any database: they are of hexadecimal digits."""
    if len(first) > job_rows.ID_CHARACTERS:
        return sa.or_(*(sa.and_(JOBS.c.key >= f"{kind}-{first}", JOBS.c.key < f"{kind}-{first}g") for kind in PAID))
    return sa.and_(JOBS.c.short >= first, JOBS.c.short < first + "g")


def _filter_older(query: sa.Select[Any], after: str) -> sa.Select[Any]:
    if not after:
        return query
    place = sa.select(JOBS.c.created, JOBS.c.attempt).where(JOBS.c.short == after).order_by(*_NEWEST).limit(1)
    return query.where(sa.tuple_(JOBS.c.created, JOBS.c.attempt) < place.scalar_subquery())


async def _read_jobs(journal: Journal, query: Callable[[Connection], sa.Select[Any]]) -> list[Job]:
    """The jobs of the rows that are found. A row that an older program left behind is made again before."""

    def read(connection: Connection) -> tuple[list[int], list[Job]]:
        rows = connection.execute(query(connection)).all()
        stale = [row.attempt for row in rows if row.stale]
        return stale, _make_jobs(connection, rows, journal.host)

    stale, jobs = await journal.read_lists(read)
    if stale:
        await journal.renew_lists(stale)
        _, jobs = await journal.read_lists(read)
    return jobs


def _make_jobs(connection: Connection, rows: Sequence[sa.Row[Any]], host: str) -> list[Job]:
    exports = _exports_behind(connection, [row.key for row in rows])
    files = select_newest_files(connection, [key for some in exports.values() for key in some], host)
    return [_make_job(row, [files[key] for key in exports[row.key] if key in files]) for row in rows]


def _exports_behind(connection: Connection, keys: Sequence[str]) -> dict[str, list[str]]:
    """The keys of the finished exports behind each of these steps, the one that changed last first."""
    found: dict[str, list[str]] = {key: [] for key in keys}
    for some in split_into_portions(keys):
        query = sa.select(ATTEMPTS.c.before, ATTEMPTS.c.key).where(ATTEMPTS.c.before.in_(some))
        query = query.where(ATTEMPTS.c.key.startswith("export-"), ATTEMPTS.c.state == State.DONE.value)
        for row in connection.execute(query.order_by(ATTEMPTS.c.changed.desc())):
            found[row.before].append(row.key)
    return found


def _make_job(row: sa.Row[Any], landed: Sequence[str]) -> Job:
    owed = row.state in OPEN or (row.state == State.DONE.value and bool(row.made))
    return Job(
        row.short, row.key, parse_kind(row.key), row.state, row.profile, row.text, row.created, row.changed,
        row.session_id, row.task_id, row.spent, row.error, bool(row.delivered), owed and not row.delivered,
        bool(row.hidden), landed[0] if landed else "", _read_certainty(row),
    )  # fmt: skip


def _read_certainty(row: sa.Row[Any]) -> Certainty:
    """How sure a row's credits are. An older program wrote no `money_text`: then the two numbers tell."""
    if row.spent is None:
        return "unknown"
    if row.exact is not None:
        return "exact"
    told = json.loads(row.money_text).get("certainty") if row.money_text else "at most"
    return next((each for each in CERTAINTIES if each == told), "at most")


async def find_own_uploads(journal: Journal, job: Job) -> set[str]:
    """Names of the kept uploads that this job follows on, and no other job that is shown or still open."""

    def read(connection: Connection) -> set[str]:
        names = {name for name, _ in _drop_addresses(select_media_behind(connection, [job.key])[job.key])}
        return {name for name in names if not job_rows.is_used_by_others(connection, name, job.key)}

    return await journal.read_lists(read)


async def list_uploads_behind(journal: Journal, keys: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """(name, MIME type) of the kept uploads that each of these steps follows on, the nearest first."""

    def read(database: Database, _: Owner) -> Mapping[str, list[list[str]]]:
        with database.reading() as connection:
            return select_media_behind(connection, keys)

    return {key: _drop_addresses(media) for key, media in (await journal.work(read)).items()}


def _drop_addresses(media: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    return [(name, mime) for fingerprint, name, mime in media if not fingerprint.startswith("url:")]


def pick_job(jobs: Sequence[Job], wanted: str) -> Job:
    """The job that `wanted` means: `latest unfinished`, an id (or its beginning, or a label), or a word of its prompt.

    Raises `InputError` if there is none, or if several ids match.
    """
    text = wanted.strip() or LATEST
    if text.lower() in (LATEST, "latest"):
        found = [job for job in jobs if job.unfinished and not job.hidden][:1]
    else:
        first = text.split(" ", 1)[0].lower()
        found = [job for job in jobs if len(first) >= 4 and job.key.split("-", 1)[-1].startswith(first)]
        found = found or [job for job in jobs if text.lower() in job.prompt.lower() and not job.hidden][:1]
    return _take_only_one(found, text)


def _take_only_one(found: Sequence[Job], text: str) -> Job:
    if not found:
        error = InputError("job-unknown", job=text[:80])
        if text.lower() in (LATEST, "latest"):
            error.text_id = "job-none-waiting"
        raise error
    if len(found) > 1:
        told = {job.id for job in found[:_NAMED]}
        length = job_rows.ID_CHARACTERS * (1 if len(told) == len(found[:_NAMED]) else 2)
        jobs = ", ".join(job.key.split("-", 1)[1][:length] for job in found[:_NAMED])
        raise InputError("job-ambiguous", job=text[:80], jobs=jobs)
    return found[0]


async def find_pictures(journal: Journal, jobs: Sequence[Job], directory: Path | None = None) -> dict[str, Path]:
    """The path of each job's kept picture, by the job's key: the nearest picture uploaded before it."""
    uploads = await list_uploads_behind(journal, [job.key for job in jobs])
    folder = find_home(directory)
    return {
        key: UploadStore(folder).place(names[0])
        for key, found in uploads.items()
        if (names := [name for name, mime in found if mime.startswith("image/")])
    }


async def forget_job(journal: Journal, job: Job, directory: Path | None = None, *, keep_uploads: bool = False) -> int:
    """Remove a job from the lists and delete what was kept for it alone. Returns the number of deleted files.

    The job stays known, so that its request is not paid twice. Nothing is deleted while its request is in flight or
    unknown.
    """
    deleted = 0
    if not job.in_flight and not keep_uploads:
        deleted = UploadStore(find_home(directory)).forget(await find_own_uploads(journal, job))
    await journal.hide(job.key)
    return deleted


async def estimate_prices(journal: Journal | None, profile: str) -> dict[str, float]:
    """Estimated credits for each kind of paid step: the median of what they cost here, else the usual price."""
    seen = {kind: [] if journal is None else await journal.charges(profile, kind) for kind in ESTIMATES}
    return {kind: estimate_price(kind, charges) for kind, charges in seen.items()}

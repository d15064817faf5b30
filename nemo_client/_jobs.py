"""Jobs as people see them: the messages in the journal, found again by a short id, a word of the prompt, or by time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from . import _drafts
from ._attempts import OPEN, Attempt
from ._database import Database
from ._errors import InputError
from ._journal import Journal
from ._money import Money
from ._owners import Owner
from ._queries import exports_behind, media_behind, newest_files
from ._steps import State

LATEST = "latest unfinished"
ID_CHARACTERS = 8
EVERY = 1_000_000


@dataclass(frozen=True)
class Job:
    """One message and what became of it. Times are seconds since 1970, `spent` credits (None: not known).

    `state` is the journal's. `delivered` says that a video of it, or of an edit after it, lies in its place; `video`
    is where (on this host). `unfinished` says that a video is still owed: the message is out or unknown, or it made
    something that was never delivered. `hidden` ones were forgotten on the user's word.
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

    @property
    def label(self) -> str:
        """Id and time, without the prompt: what the Recover node offers (prompts do not belong into workflows)."""
        return f"{self.id} {self.time}"

    @property
    def time(self) -> str:
        """When it was asked for, in local time."""
        return f"{datetime.fromtimestamp(self.created, timezone.utc).astimezone():%Y-%m-%d %H:%M}"

    def to_json(self) -> dict[str, object]:
        """As plain JSON data, for scripts."""
        return asdict(self)


async def list_jobs(journal: Journal, *, limit: int = 50, hidden: bool = False) -> list[Job]:
    """The newest jobs, newest first."""
    newest: dict[str, Attempt] = {}
    for attempt in await journal.recent(limit=limit, hidden=hidden):
        known = newest.get(attempt.key)
        if "text" in attempt.facts and (known is None or attempt.number > known.number):  # else taken up, never sent
            newest[attempt.key] = attempt

    def read(database: Database, owner: Owner) -> tuple[dict[str, list[Attempt]], dict[str, str]]:
        with database.reading() as connection:
            exports = exports_behind(connection, list(newest))
            keys = [each.key for some in exports.values() for each in some]
            return exports, newest_files(connection, keys, owner.host)

    exports, files = await journal.work(read)
    shown = _shown(newest, (key for key, found in exports.items() if any(each.state is State.DONE for each in found)))
    return [_job(attempt, exports[key], files, key in shown) for key, attempt in newest.items()]


def _shown(steps: Mapping[str, Attempt], delivered: Iterable[str]) -> set[str]:
    """The steps whose work a delivered video shows: its own, and those that it follows on."""
    shown: set[str] = set()
    for start in delivered:
        key = start
        while key in steps and key not in shown:
            shown.add(key)
            key = steps[key].before
    return shown


def _job(attempt: Attempt, exports: Sequence[Attempt], files: Mapping[str, str], delivered: bool) -> Job:
    landed = [files[each.key] for each in exports if each.state is State.DONE and each.key in files]
    return Job(
        id_of(attempt.key), attempt.key, attempt.kind, attempt.state.value, attempt.profile,
        str(attempt.facts["text"] or ""), attempt.created, attempt.changed, attempt.session_id, attempt.task_id,
        Money.from_json(attempt.facts.get("money")).spent, str(attempt.facts.get("error") or ""), delivered,
        not delivered and _owed(attempt), attempt.hidden, landed[0] if landed else "",
    )  # fmt: skip


def _owed(attempt: Attempt) -> bool:
    """Whether a video may come of it; a conversation that changed nothing owes none."""
    if attempt.state is not State.DONE:
        return attempt.open
    draft, baseline = attempt.facts.get("draft") or {}, attempt.facts.get("baseline") or {}
    return _drafts.is_ready(draft) and _drafts.digest(draft) != _drafts.digest(baseline.get("draft"))


async def uploads_behind(journal: Journal, job: Job) -> set[str]:
    """Names of the kept uploads that this job follows on, and no other job that is shown or still open."""
    jobs = await list_jobs(journal, limit=EVERY, hidden=True)
    others = {each.key for each in jobs if not each.hidden or each.state in OPEN} - {job.key}
    found = await uploads_of(journal, [job.key, *others])
    mine = {name for name, _ in found.pop(job.key)}
    return mine.difference(name for uploads in found.values() for name, _ in uploads)


async def uploads_of(journal: Journal, keys: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """(name, MIME type) of the kept uploads that each of these steps follows on, the nearest first."""

    def read(database: Database, _: Owner) -> dict[str, list[list[str]]]:
        with database.reading() as connection:
            return media_behind(connection, keys)

    found = await journal.work(read)
    return {
        key: [(name, mime) for fingerprint, name, mime in media if not fingerprint.startswith("url:")]
        for key, media in found.items()
    }


def id_of(key: str) -> str:
    """The short id of a step."""
    return key.split("-", 1)[1][:ID_CHARACTERS]


def pick_job(jobs: Sequence[Job], wanted: str) -> Job:
    """The job that `wanted` means: `latest unfinished`, an id (or its beginning, or a label), or a word of its prompt.

    Raises `InputError` where there is none, or more than one that ids cannot tell apart.
    """
    text = wanted.strip() or LATEST
    if text.lower() in (LATEST, "latest"):
        found = [job for job in jobs if job.unfinished and not job.hidden][:1]
    else:
        first = text.split(" ", 1)[0].lower()
        found = [job for job in jobs if len(first) >= 4 and job.id.startswith(first)]
        found = found or [job for job in jobs if text.lower() in job.prompt.lower() and not job.hidden][:1]
    if not found:
        raise InputError("job-unknown", job=text[:80])
    if len(found) > 1:
        raise InputError("job-ambiguous", job=text[:80], jobs=", ".join(job.id for job in found[:5]))
    return found[0]

"""Jobs as people see them: the messages in the journal, found again by a short id, a word of the prompt, or by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from ._attempts import Attempt
from ._errors import InputError
from ._journal import Journal
from ._money import Money
from ._steps import State

LATEST = "latest unfinished"
ID_CHARACTERS = 8


@dataclass(frozen=True)
class Job:
    """One message and what became of it. Times are seconds since 1970, `spent` credits (None: not known).

    `state` is the journal's; `delivered` says that a file of it lies in its place, then `video` is where (here).
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
    video: str

    @property
    def unfinished(self) -> bool:
        """Whether a video is still owed: the message is out or unknown, or it was done and never delivered."""
        return not self.delivered and self.state in ("planned", "sent", "unknown", "done")

    @property
    def label(self) -> str:
        """Id and time, without the prompt: what the Recover node offers (prompts do not belong into workflows)."""
        when = datetime.fromtimestamp(self.created, timezone.utc).astimezone()
        return f"{self.id} {when:%Y-%m-%d %H:%M}"

    def to_json(self) -> dict[str, object]:
        """As plain JSON data, for scripts."""
        return {**asdict(self), "unfinished": self.unfinished}


async def list_jobs(journal: Journal, *, limit: int = 50, hidden: bool = False) -> list[Job]:
    """The newest jobs, newest first."""
    newest: dict[str, Attempt] = {}
    for attempt in await journal.recent(limit=limit, hidden=hidden):
        known = newest.get(attempt.key)
        if known is None or attempt.number > known.number:
            newest[attempt.key] = attempt
    return [await _job(journal, attempt) for attempt in newest.values()]


async def _job(journal: Journal, attempt: Attempt) -> Job:
    exports = await journal.exports_of(attempt.key)
    files = [each for export in exports for each in await journal.deliveries(export.key)]
    return Job(
        id_of(attempt.key), attempt.key, attempt.kind, attempt.state.value, attempt.profile,
        str(attempt.facts.get("text") or ""), attempt.created, attempt.changed, attempt.session_id, attempt.task_id,
        Money.from_json(attempt.facts.get("money")).spent, str(attempt.facts.get("error") or ""),
        any(export.state is State.DONE for export in exports), str(files[0].path) if files else "",
    )  # fmt: skip


def id_of(key: str) -> str:
    """The short id of a step."""
    return key.split("-", 1)[1][:ID_CHARACTERS]


def pick_job(jobs: Sequence[Job], wanted: str) -> Job:
    """The job that `wanted` means: `latest unfinished`, an id (or its beginning, or a label), or a word of its prompt.

    Raises `InputError` where there is none, or more than one that ids cannot tell apart.
    """
    text = wanted.strip()
    if text.lower() in ("", LATEST, "latest"):
        found = [job for job in jobs if job.unfinished][:1]
    else:
        first = text.split(" ", 1)[0].lower()
        found = [job for job in jobs if len(first) >= 4 and job.id.startswith(first)]
        found = found or [job for job in jobs if text.lower() in job.prompt.lower()][:1]
    if not found:
        raise InputError("job-unknown", job=text[:80])
    if len(found) > 1:
        raise InputError("job-ambiguous", job=text[:80], jobs=", ".join(job.id for job in found[:5]))
    return found[0]

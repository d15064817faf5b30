"""Journals of any size for the benchmarks: finished jobs of three steps each, made in bulk.

Each job is an upload, a paid generation with its draft, and a delivered export, as a Studio leaves them. The exports of
the newest few failed, so that something is owed.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from nemo_client._journal.database import Database

PROFILE = "nemo"
ACCOUNT = "user-1"
JOB_SECONDS = 600.0
INSERT = (
    'INSERT INTO attempts (id, "key", number, state, epoch, owner, profile, "before", account, session_id, task_id,'
    " run, free, hidden, created, changed, sent, spent, facts)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def key(kind: str, job: int) -> str:
    """The key of a step of a job."""
    return f"{kind}-{job * 2654435761 % 2**40:040x}"


def late(jobs: int) -> int:
    """How many jobs were not delivered."""
    return min(10, jobs // 2)


def fill(folder: Path, rows: int, *, draft: int = 0) -> int:
    """Make a journal of about `rows` rows in `folder`; returns its number of jobs. Drafts have `draft` bytes more."""
    database = Database(None, folder)
    with database.writing():
        pass
    database.close()
    jobs = max(rows // 3, 1)
    with contextlib.closing(sqlite3.connect(folder / "journal.sqlite3")) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-200000")
        indices = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'attempts' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indices:  # made again at the end, which is much quicker
            connection.execute(f"DROP INDEX {name}")
        connection.executemany(INSERT, _attempts(jobs, draft))
        connection.executemany("INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?)", _deliveries(jobs))
        owed = ((job * 3 + 2, key("generate", job), ACCOUNT) for job in range(jobs - late(jobs), jobs))
        connection.executemany("INSERT INTO owed VALUES (?, ?, ?)", owed)
        for _, sql in indices:
            connection.execute(sql)
        connection.commit()
    return jobs


def _attempts(jobs: int, more: int) -> Iterator[tuple[object, ...]]:
    draft: dict[str, object] = {
        "t": [{"tt": 0, "sg": [{"st": 0, "d": 5000, "m": {"asset": "a" * 32, "kind": "image"}}]}],
        "id": "d" * 32,
        **({"more": "x" * more} if more else {}),
    }
    money = {"before": 300.0, "after": 220.0, "spent": 80.0, "certainty": "exact"}
    made = json.dumps({"text": "a cat in the rain", "baseline": {"draft": None}, "money": money, "draft": draft})
    begin = time.time() - jobs * JOB_SECONDS
    for job in range(jobs):
        at, session = begin + job * JOB_SECONDS, f"session-{job}"
        steps = (
            ("upload", "", 1, None, "{}"),
            ("generate", "upload", 0, 80.0, made),
            ("export", "generate", 1, None, "{}"),
        )
        for number, (kind, before, free, spent, facts) in enumerate(steps, 1):
            broken = kind == "export" and job >= jobs - late(jobs)
            yield (
                job * 3 + number, key(kind, job), 1, "failed" if broken else "done", 2, "owner-1", PROFILE,
                key(before, job) if before else "", ACCOUNT, session, f"task-{job}", "", free, 0,
                at + number, at + number + 60, at + number, spent, facts,
            )  # fmt: skip


def _deliveries(jobs: int) -> Iterator[tuple[object, ...]]:
    now = time.time()
    for job in range(jobs - late(jobs)):
        yield (job + 1, job * 3 + 3, "host", f"/videos/{job}.mp4", now, "{}")

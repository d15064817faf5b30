"""Jobs in a journal without a backend, as many as a test needs, and what is read from the database meanwhile."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from nemo_client import Journal
from nemo_client._journal.database import Database
from nemo_client._journal.records import Attempt
from nemo_client._journal.schema import ATTEMPTS
from nemo_client._journal.steps import Event, State

MEDIA = [["pixels:ab", "ab.jpg", "image/jpeg"]]
DRAFT = {"t": [{"tt": 0, "sg": [{"st": 0, "d": 5000}]}]}
LONG = {**DRAFT, "note": "x" * 30_000}


def key(kind: str, number: int) -> str:
    """A key as steps have it; the job's id is the number in hexadecimal digits."""
    return f"{kind}-{number:08x}{'0' * 32}"


def planned(kind: str, number: int, before: str = "", text: str | None = "a lake", **rest: Any) -> Attempt:
    facts = {} if text is None else {"text": text}
    given = {"account": "me", "session_id": f"s-{number}", "task_id": "t", "facts": facts, **rest}
    return Attempt(key(kind, number), 1, State.PLANNED, "nemo", before=before, **given)


async def made(
    journal: Journal, number: int, before: str = "", *, kind: str = "generate", asks: Any = None, **rest: Any
) -> str:
    """A finished message that made a video, and asked something beside it; its key."""
    sent = await journal.move(await journal.begin(planned(kind, number, before, **rest)), Event.SEND)
    money = {"spent": 100.0, "certainty": "exact"}
    facts = {"draft": LONG, "money": money, **({"question": asks} if asks else {})}
    await journal.move(sent, Event.FINISH, facts=facts, spent=100.0)
    return sent.key


async def delivered(journal: Journal, number: int, before: str) -> None:
    """A finished export of what a message made."""
    export = await journal.begin(planned("export", number, before, text=None, free=True))
    sent = await journal.move(export, Event.SEND)
    await journal.deliver(sent, Path(f"/videos/{number}.mp4"), {})
    await journal.move(sent, Event.FINISH)


async def uploaded(journal: Journal, number: int, before: str = "", media: Any = MEDIA) -> str:
    step = await journal.finished(planned("upload", number, before, text=None, free=True), {"media": media})
    return step.key


class Read:
    """What was read from the database meanwhile: statements, rows, and the longest text in one."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.rows = 0
        self.longest = 0


@contextlib.contextmanager
def counted() -> Iterator[Read]:
    """Counts what SQLite itself hands out, for any caller: every row of every statement."""
    read = Read()

    def fetched(cursor: Any, row: tuple[Any, ...]) -> tuple[Any, ...]:
        read.rows += 1
        read.longest = max([read.longest, *(len(value) for value in row if isinstance(value, str))])
        return row

    def heard(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        read.statements.append(statement)
        if isinstance(cursor, sqlite3.Cursor):  # in another database only the statements are counted
            cursor.row_factory = fetched

    sa.event.listen(sa.Engine, "before_cursor_execute", heard)
    try:
        yield read
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", heard)


async def fill(journal: Journal, jobs: int, facts: Any = None, start: int = 0x10000000) -> None:
    """Delivered jobs of one upload each, as an older program left them: without the rows that lists read."""
    await journal.latest("generate-x")
    text = json.dumps(facts or {"text": "a cat", "draft": DRAFT, "money": {"spent": 80.0, "certainty": "exact"}})
    shared = {
        "number": 1,
        "state": "done",
        "epoch": 2,
        "owner": "o",
        "profile": "nemo",
        "account": "me",
        "task_id": "t",
    }
    shared |= {"run": "", "hidden": False, "created": 4e9, "changed": 4e9, "sent": 4e9, "spent": None}

    def rows() -> Iterator[dict[str, Any]]:
        for each in range(jobs):
            number = start + each
            last = ""
            for kind, told in (("upload", json.dumps({"media": MEDIA})), ("generate", text), ("export", "{}")):
                row = {**shared, "key": key(kind, number), "before": last, "free": kind != "generate", "facts": told}
                last = row["key"]
                yield {**row, "session_id": f"s-{number}"}

    def write(database: Database, _: Any) -> None:
        with database.writing() as connection:
            connection.execute(ATTEMPTS.insert(), list(rows()))

    await journal.work(write)

"""The journal's database: migrations, damage, what it does where it cannot write, and who may read it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from nemo_client import DiskError, Journal, Studio
from nemo_client._config.timings import JournalTimings
from nemo_client._journal import database as database_module
from nemo_client._journal import schema
from nemo_client._journal.database import Database
from nemo_client._journal.records import Attempt
from nemo_client._journal.steps import Event, State
from tests.support.waiting import PATIENT_SECONDS

JOURNALS = Path(__file__).parent.parent / "journal" / "journals"


def planned(key: str = "generate-9", **rest: Any) -> Attempt:
    return Attempt(key, 1, State.PLANNED, "nemo", account="me", **rest)


def old_journal(directory: Path, number: int) -> Path:
    directory.mkdir(mode=0o700)
    path = directory / "journal.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((JOURNALS / f"{number}.sql").read_text(encoding="utf-8"))
    return path


def asked(path: Path, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("number", range(1, len(schema.MIGRATIONS)))
async def test_every_older_journal_opens_and_keeps_what_it_knew(tmp_path: Path, number: int) -> None:
    """Rows of all kinds are read as they were written, and the work in them goes on."""
    old_journal(tmp_path / "old", number)
    journal = Journal(tmp_path / "old")

    made = await journal.latest("generate-1")
    assert made is not None
    assert (made.state, made.spent, made.facts["text"], made.facts["draft"]) == (
        State.DONE,
        80.0,
        "a café",
        {"id": "d-1"},
    )
    assert [each.key for each in await journal.recent()] == ["edit-2", "edit-1", "generate-1"]
    assert await journal.charges("nemo", "generate") == [80.0]
    assert not await journal.claim("s-1", "upload-1", "generate-2")
    unknown = await journal.latest("edit-1")
    assert unknown is not None
    assert (await journal.move(unknown, Event.EVIDENCE)).state is State.DONE
    await journal.close()


@pytest.mark.parametrize("number", range(1, 3))
async def test_what_an_older_journal_owes_is_known(tmp_path: Path, number: int) -> None:
    """Finished paid steps behind no delivered export, in the same account; and what attempts took at most."""
    path = old_journal(tmp_path / "old", number)
    more = [
        ("generate-2", "done", "upload-1", "user-1", 0, '{"money": {"spent": 70.0, "certainty": "at most"}}'),
        ("edit-3", "done", "generate-2", "user-1", 0, "{}"),
        ("export-3", "done", "edit-3", "user-1", 1, "{}"),
        ("edit-4", "done", "generate-2", "user-1", 0, '{"money": null}'),
        ("export-4", "failed", "edit-4", "user-1", 1, "{}"),
        ("chat-5", "done", "edit-4", "user-1", 1, "{}"),
        ("generate-6", "done", "upload-1", "user-2", 0, "{}"),
    ]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for key, state, before, account, free, facts in more:
            connection.execute(
                "INSERT INTO attempts (key, number, state, epoch, owner, profile, before, account, session_id, task_id,"
                " run, free, hidden, created, changed, sent, facts)"
                " VALUES (?, 1, ?, 2, 'o', 'nemo', ?, ?, 's-1', 't', '', ?, 0, 1.0, 2.0, 2e9, ?)",
                (key, state, before, account, free, facts),
            )
        connection.commit()
    journal = Journal(tmp_path / "old")

    assert [each.key for each in await journal.undelivered("user-1")] == ["edit-4"]
    assert [each.key for each in await journal.undelivered("user-2")] == ["generate-6"]
    taken = {each.key: dict(each.facts) for each in await journal.paid_since("nemo", 1.9e9)}
    assert taken == {"generate-2": {"money": {"spent": 70.0}}, "edit-3": {}, "edit-4": {}, "generate-6": {}}
    await journal.close()


def test_every_schema_has_its_journal_here() -> None:
    """Who adds a migration adds a dump of the schema before it."""
    assert {path.stem for path in JOURNALS.glob("*.sql")} == {str(n) for n in range(1, len(schema.MIGRATIONS))}


def test_an_old_journal_becomes_what_a_new_one_is(tmp_path: Path) -> None:
    """Migrations end in one and the same schema, wherever they began."""
    definitions = "SELECT type, name, replace(sql, '\t', '') FROM sqlite_master ORDER BY name"
    old = old_journal(tmp_path / "old", 1)
    for directory in ("old", "new"):
        database = Database(None, tmp_path / directory)
        with database.reading():
            pass
        database.close()

    assert asked(old, definitions) == asked(tmp_path / "new" / "journal.sqlite3", definitions)


@pytest.mark.parametrize("number", range(1, len(schema.MIGRATIONS)))
async def test_kinds_are_whole_names_and_money_is_a_column_in_every_older_journal(tmp_path: Path, number: int) -> None:
    """`edit` and `edition` begin alike, and are two kinds; a program without the column still names its rows' kind."""
    path = old_journal(tmp_path / "old", number)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        row = (
            "SELECT 'edition-1', number, state, epoch, owner, profile, before, account, session_id, task_id, run, free,"
        )
        connection.execute(
            "INSERT INTO attempts (key, number, state, epoch, owner, profile, before, account, session_id, task_id,"
            " run, free, hidden, created, changed, sent, spent, facts)"
            f" {row} hidden, created, changed, sent, 10.0, '{{' FROM attempts WHERE key = 'edit-1'"
        )
        connection.commit()
    journal = Journal(tmp_path / "old")

    assert await journal.charges("nemo", "edit") == []
    assert [each.key for each in await journal.recent()] == ["edit-2", "edit-1", "generate-1"]
    await journal.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:  # as a program of that schema does
        connection.execute(
            "INSERT INTO attempts (key, number, state, epoch, owner, profile, before, account, session_id, task_id,"
            " run, free, hidden, created, changed, facts)"
            " VALUES ('export-9', 1, 'done', 2, 'o', 'nemo', 'edit-1', 'user-1', 's-1', 't', '', 1, 0, 1.0, 2.0, '{}')"
        )
        connection.commit()
    assert asked(path, "SELECT key, kind FROM attempts ORDER BY key") == [
        ("edit-1", "edit"), ("edit-2", "edit"), ("edition-1", "edition"), ("export-1", "export"),
        ("export-9", "export"), ("generate-1", "generate"), ("upload-1", "upload"),
    ]  # fmt: skip
    ((money,),) = asked(path, "SELECT money_text FROM attempts WHERE key = 'generate-1'")
    assert json.loads(money) == {"before": 300.0, "after": 220.0, "spent": 80.0, "certainty": "exact"}


@pytest.mark.parametrize("number", range(len(schema.MIGRATIONS)))
def test_a_column_that_is_added_the_obvious_way_works_for_new_and_for_old_journals(tmp_path: Path, number: int) -> None:
    """One more column in the table and one more migration: no older migration may have made it already."""
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "import sqlalchemy as sa\n"
        "from nemo_client._journal import database as _database, schema as _schema\n"
        "from nemo_client._journal.records import Attempt\n"
        "from nemo_client._journal.journal import Journal\n"
        "from nemo_client._journal.steps import State\n"
        "for table in (_schema.ATTEMPTS, _schema.SESSIONS, _schema.OWED, _schema.DELIVERIES, _schema.OWNERS):\n"
        "    table.append_column(sa.Column('mood', sa.String(8), nullable=False, server_default='calm'))\n"
        "def mood(connection):\n"
        "    for name in ('attempts', 'sessions', 'owed', 'deliveries', 'owners'):\n"
        "        connection.exec_driver_sql(\n"
        "            f\"ALTER TABLE {name} ADD COLUMN mood VARCHAR(8) NOT NULL DEFAULT 'calm'\"\n"
        "        )\n"
        "_schema.MIGRATIONS = _database.MIGRATIONS = (*_schema.MIGRATIONS, ('moods', mood))\n"
        "async def main():\n"
        "    journal = Journal(Path(sys.argv[1]))\n"
        "    begun = await journal.begin(Attempt('generate-9', 1, State.PLANNED, 'nemo', account='me'))\n"
        "    assert await journal.latest('generate-9') == begun\n"
        "    await journal.close()\n"
        "asyncio.run(main())\n"
    )
    path = old_journal(tmp_path / "home", number) if number else tmp_path / "home" / "journal.sqlite3"

    subprocess.run([sys.executable, "-c", code, str(path.parent)], check=True, timeout=PATIENT_SECONDS)
    assert asked(path, "SELECT DISTINCT mood FROM attempts") == [("calm",)]


def test_migrations_are_recorded_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails, or a crash in it, undoes itself alone; the next opening goes on from there. A new one is whole
    or empty."""

    def half(connection: sa.Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE extra (id INTEGER)")
        connection.exec_driver_sql("CREATE TABLE extra (id INTEGER)")

    known = tuple(schema.MIGRATIONS)
    older = old_journal(tmp_path / "old", 2)
    with monkeypatch.context() as broken:
        for module in (schema, database_module):
            broken.setattr(module, "MIGRATIONS", (*known, ("half", half)))
        for folder in (tmp_path, older.parent):
            database = Database(None, folder)
            with pytest.raises(DiskError) as caught, database.reading():
                pass
            assert caught.value.id == "journal-unusable"
            database.close()
    assert asked(tmp_path / "journal.sqlite3", "SELECT * FROM sqlite_master") == []
    assert asked(older, "SELECT number FROM migrations") == [(n + 1,) for n in range(len(known))]
    database = Database(None, tmp_path)
    with database.writing():
        pass
    assert asked(tmp_path / "journal.sqlite3", "SELECT number FROM migrations") == [(n + 1,) for n in range(len(known))]
    assert asked(tmp_path / "journal.sqlite3", "SELECT * FROM sqlite_master WHERE name = 'extra'") == []
    with database.writing() as connection:
        assert schema.read_schema_version(connection) == len(known)
    database.close()


def test_many_may_open_a_journal_for_the_first_time_at_once(tmp_path: Path) -> None:
    """Each migration is applied once, the first one that comes; threads and processes."""
    code = (
        "import sys; from pathlib import Path; from nemo_client._journal.database import Database\n"
        "with Database(None, Path(sys.argv[1])).writing(): pass"
    )
    failures: list[BaseException] = []

    def opened() -> None:
        database = Database(None, tmp_path)
        try:
            with database.writing():
                pass
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)
        finally:
            database.close()

    others = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    threads = [threading.Thread(target=opened) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [each.wait(60) for each in others] == [0, 0]
    assert failures == []
    assert len(asked(tmp_path / "journal.sqlite3", "SELECT * FROM migrations")) == len(schema.MIGRATIONS)


# --- Newer, damaged, unwritable, full -------------------------------------------------------------------------------


def newer(directory: Path) -> None:
    database = Database(None, directory)
    with database.writing() as connection:
        connection.execute(schema.MIGRATED.insert().values(number=99, name="from the future", applied=0.0))
    database.close()


async def test_a_journal_of_a_newer_program_is_read_and_not_paid_with(tmp_path: Path) -> None:
    """Its rules for paid steps are not known here. Free steps go on as far as the schema lets them."""
    old_journal(tmp_path / "home", 1)
    newer(tmp_path / "home")
    journal = Journal(tmp_path / "home")

    assert [each.key for each in await journal.recent()] == ["edit-2", "edit-1", "generate-1"]
    waiting = await journal.latest("edit-2")
    assert waiting is not None
    for attempt in (
        journal.begin(planned()),
        journal.commit(waiting, lambda opened, day: None),
        journal.move(waiting, Event.SEND),
    ):
        with pytest.raises(DiskError) as caught:
            await attempt
        assert caught.value.id == "journal-too-new"
    free = await journal.begin(planned("upload-9"))
    assert (await journal.move(free, Event.SEND)).state is State.SENT
    await journal.close()


@pytest.mark.parametrize(
    "change",
    ["ALTER TABLE attempts RENAME COLUMN facts TO told", "UPDATE attempts SET state = 'paused'"],
    ids=["columns", "states"],
)
async def test_what_cannot_be_read_of_a_newer_journal_is_said_so(tmp_path: Path, change: str) -> None:
    """Never a raw error of a library."""
    path = old_journal(tmp_path / "home", 1)
    newer(tmp_path / "home")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
        connection.commit()
    journal = Journal(tmp_path / "home")

    with pytest.raises(DiskError) as caught:
        await journal.latest("edit-1")
    assert caught.value.id in ("journal-too-new", "journal-unusable")
    await journal.close()


def garbled(path: Path) -> None:
    path.write_bytes(b"this was a journal once" * 500)


def torn(path: Path) -> None:
    """Whole at its beginning, garbage behind: opens, and fails when rows are read."""
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))


@pytest.mark.parametrize("damage", [garbled, torn])
async def test_a_damaged_journal_is_set_aside_and_told(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """It knew what was paid. Its bytes are kept with what SQLite had beside it; only then a new one begins."""
    path = old_journal(tmp_path / "home", 1)
    damage(path)
    before = path.read_bytes()
    (tmp_path / "home" / "journal.sqlite3-journal").write_bytes(b"")
    journal = Journal(tmp_path / "home")

    for _ in range(2):  # a list that is refreshed beside everything may pass over it: the next step says it again
        with pytest.raises(DiskError) as caught:
            await journal.recent()
        assert caught.value.id == "journal-damaged"
    with pytest.raises(DiskError) as told:
        await journal.begin(planned())
    assert (told.value.id, told.value.charged) == ("journal-damaged", "maybe")
    kept = path.with_name(told.value.facts["kept"])
    assert kept.read_bytes() == before
    assert not path.exists()
    assert (await journal.begin(planned())).state is State.PLANNED
    await journal.close()


async def test_a_studio_tells_of_a_damaged_journal_when_it_opens(tmp_path: Path) -> None:
    """On the free local preview, too: otherwise the next paid run would find a new journal and wonder."""
    garbled(old_journal(tmp_path / "home", 1))

    with pytest.raises(DiskError) as caught:
        await Studio.open(directory=tmp_path / "home")
    assert caught.value.id == "journal-damaged"
    async with await Studio.open(directory=tmp_path / "home"):
        pass


async def test_a_read_only_journal_is_read_and_stops_what_writes(tmp_path: Path) -> None:
    """Looking at jobs needs no writing."""
    path = old_journal(tmp_path / "home", 1)
    with contextlib.closing(sqlite3.connect(path)):
        await _closed(Journal(tmp_path / "home"))  # brings it up to date
    journal = Journal(tmp_path / "home", f"sqlite:///file:{path}?mode=ro&uri=true")

    assert len(await journal.recent()) == 3
    with pytest.raises(DiskError) as caught:
        await journal.begin(planned())
    assert caught.value.id == "journal-unusable"
    await journal.close()


async def _closed(journal: Journal) -> None:
    await journal.recent()
    await journal.close()


@pytest.mark.parametrize("place", ["a folder", "a file in the way"])
async def test_a_journal_that_cannot_be_opened_is_a_disk_error(tmp_path: Path, place: str) -> None:
    """Typed, so that paid steps stop."""
    home = tmp_path / "home"
    if place == "a folder":
        (home / "journal.sqlite3").mkdir(parents=True)
    else:
        home.write_text("")
    journal = Journal(home)

    with pytest.raises(DiskError):
        await journal.begin(planned())
    with contextlib.suppress(DiskError):
        await journal.close()


async def test_a_full_disk_is_a_disk_error_and_changes_nothing(tmp_path: Path) -> None:
    """The attempt is as it was, so nothing was sent."""

    def no_room(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA max_page_count=1")  # SQLite takes the present size where that is more

    journal = Journal(tmp_path)
    seen = await journal.begin(planned())
    await journal.close()
    sa.event.listen(sa.Engine, "connect", no_room)
    try:
        journal = Journal(tmp_path)
        with pytest.raises(DiskError) as caught:
            await journal.commit(seen, lambda opened, day: None, facts={"baseline": "x" * 1_000_000})
        assert caught.value.id == "disk-full"
        assert await journal.latest(seen.key) == seen
        with contextlib.suppress(DiskError):
            await journal.close()
    finally:
        sa.event.remove(sa.Engine, "connect", no_room)


async def test_the_local_preview_goes_on_without_a_journal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An unwritable journal stops paid steps, not free ones; one warning says that nothing is recorded."""
    home = tmp_path / "home"
    (home / "journal.sqlite3").mkdir(parents=True)

    with caplog.at_level(logging.WARNING, "nemo_client"):
        async with await Studio.open(directory=home) as studio:
            attempt = await studio._context.journal.begin(planned("upload-1", free=True))
    assert attempt.state is State.PLANNED
    assert [record.message[:14] for record in caplog.records] == ["free work goes"]


# --- How SQLite is used ---------------------------------------------------------------------------------------------


def test_every_write_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    """synchronous=FULL (2), with a rollback journal whatever the version of SQLite."""
    database = Database(None, tmp_path)

    with database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    """0600 for the journal and what SQLite keeps beside it, 0700 for a home that is made."""
    database = Database(None, tmp_path / "home")

    with database.writing() as connection:
        connection.execute(schema.ACCOUNTS.insert().values(account="me", admissions=1))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "home").iterdir()}
    assert len(modes) >= 2
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    database.close()


def test_a_writer_takes_the_journal_before_it_reads(tmp_path: Path) -> None:
    """BEGIN IMMEDIATE: a second writer waits, readers do not, and who waits too long is told."""
    timings = JournalTimings(busy=0.1)
    first, second = Database(None, tmp_path, timings), Database(None, tmp_path, timings)
    with second.reading():
        pass

    with first.writing():
        with second.reading() as connection:
            assert schema.read_schema_version(connection) == len(schema.MIGRATIONS)
        started = time.monotonic()
        with pytest.raises(DiskError) as caught, second.writing():
            raise AssertionError("two writers at once")
        assert time.monotonic() - started >= 0.1
    assert caught.value.id == "journal-unusable"
    with second.writing():
        pass
    first.close()
    second.close()


def test_a_journal_that_was_taken_away_is_noticed(tmp_path: Path) -> None:
    """A record in a file that no one finds again would be none: the write fails, the next one begins again."""
    database = Database(None, tmp_path / "home")
    with database.writing():
        pass
    (tmp_path / "home" / "journal.sqlite3").rename(tmp_path / "elsewhere")

    with pytest.raises(DiskError), database.writing() as connection:
        connection.execute(schema.ACCOUNTS.insert().values(account="me", admissions=1))
    with database.writing() as connection:
        connection.execute(schema.ACCOUNTS.insert().values(account="me", admissions=1))
    assert asked(tmp_path / "home" / "journal.sqlite3", "SELECT account FROM accounts") == [("me",)]
    database.close()


@pytest.mark.parametrize(
    "url",
    [
        "nodialect://user:hunter2@host/db",
        "sqlite+nodriver://user:hunter2@host/db",
        "postgresql://user:hunter2@host:port/db",
        "postgresql+nodriver://user:hunter2@host/db",
        "hunter2",
        "sqlite:////nowhere/hunter2/journal",
    ],
)
def test_a_password_in_the_url_is_never_shown(tmp_path: Path, url: str) -> None:
    """Not in the error, nor in what a traceback prints, nor in any repr."""
    journal = Journal(tmp_path, url)

    with pytest.raises(DiskError) as caught:
        asyncio.run(journal.begin(planned()))
    shown = "".join(traceback.format_exception(caught.value)) if "nowhere" not in url else str(caught.value)
    assert "hunter2" not in shown + repr(caught.value) + repr(journal) + repr(journal._database)
    assert "NEMO_JOURNAL_URL" in str(caught.value)


def test_prompts_are_not_in_the_errors_of_the_database(tmp_path: Path) -> None:
    """Tracebacks end up in logs and reports."""
    database, wish = Database(None, tmp_path), "-".join(["my", "secret", "wish"])

    with pytest.raises(DiskError) as caught, database.writing() as connection:
        connection.execute(sa.text("INSERT INTO nowhere VALUES (:prompt)"), {"prompt": wish})
    assert wish not in "".join(traceback.format_exception(caught.value))
    database.close()

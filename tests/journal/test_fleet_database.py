"""The journal in PostgreSQL: what its transactions can be trusted with, and what happens where they cannot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from nemo_client import DiskError, Journal, SessionBusy
from nemo_client._config.timings import JournalTimings
from nemo_client._errors import JournalAway
from nemo_client._journal import database as database_module
from nemo_client._journal import postgres as postgres_module
from nemo_client._journal import schema
from nemo_client._journal.database import Database
from nemo_client._journal.db_thread import retry_window
from nemo_client._journal.records import Attempt
from nemo_client._journal.retention import run_upkeep
from nemo_client._journal.steps import Event, State
from tests.support.postgres import (
    PASSWORD,
    Network,
    Server,
    a_server,
    needs_postgres,
    network,
    pooler,
    postgres,
    unique,
    url,
)
from tests.support.waiting import PATIENT_SECONDS

__all__ = ["network", "postgres", "url"]
pytestmark = [needs_postgres, pytest.mark.long]
ROOT = Path(__file__).parent.parent.parent


def planned(key: str = "generate-1", **rest: Any) -> Attempt:
    return Attempt(key, 1, State.PLANNED, "nemo", **{"account": "me", **rest})


def admit(opened: Any, day: Any) -> None:
    """Everything may go out."""


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


# --- What a transaction is worth ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "effective"),
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")],
)
def test_every_commit_waits_for_the_disk(tmp_path: Path, postgres: Server, setting: str, effective: str) -> None:
    """Whatever the server is set to, and nothing of it outlives the transaction."""
    name = postgres.database()
    postgres.say(f"ALTER DATABASE {name} SET synchronous_commit = {setting}")
    database = Database(postgres.url(name), tmp_path)

    with database.writing() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == effective
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
        driver = connection.connection.driver_connection
    with database.reading() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"
        assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
    assert driver is not None
    assert [row[0] for row in driver.execute("SHOW synchronous_commit")] == [setting]
    assert [row[0] for row in driver.execute("SHOW lock_timeout")] == ["0"]
    database.close()


def test_a_database_that_forgets_is_refused(tmp_path: Path, postgres: Server, url: str) -> None:
    """`fsync = off` is quick because a crash may lose the record of a message in flight."""
    database = Database(url, tmp_path)
    with database.writing():
        pass
    postgres.say("ALTER SYSTEM SET fsync = off")
    postgres.say("SELECT pg_reload_conf()")
    try:
        deadline = time.monotonic() + 5
        while postgres.say("SHOW fsync") != [("off",)] and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(DiskError, match="fsync is off") as caught, database.writing():
            pass
    finally:
        postgres.say("ALTER SYSTEM RESET fsync")
        postgres.say("SELECT pg_reload_conf()")
    assert caught.value.id == "journal-unusable"
    database.close()


def test_a_standby_is_refused(tmp_path: Path, postgres: Server) -> None:
    """For reading, too: what it shows is old, and who goes by it sends twice."""
    with a_server() as other:
        other.stop()
        (other.data / "standby.signal").touch()
        shutil.chown(other.data / "standby.signal", *_owner(other.data))
        other.start()
        database = Database(other.url(), tmp_path)
        for begun in (database.writing(), database.reading()):
            with pytest.raises(JournalAway, match="standby"), begun:
                pass
        database.close()


def _owner(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_uid, info.st_gid


def test_a_read_only_database_is_read_and_stops_what_writes(tmp_path: Path, postgres: Server, url: str) -> None:
    """An operator's word (a full disk, a move to another server) is not overruled."""
    database = Database(url, tmp_path)
    with database.writing():
        pass
    database.close()
    postgres.say(f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")
    database = Database(url, tmp_path)

    with database.reading() as connection:
        assert schema.read_schema_version(connection) == len(schema.MIGRATIONS)
    with pytest.raises(JournalAway, match="read-only"), database.writing():
        pass
    database.close()


def test_an_encoding_that_cannot_hold_every_prompt_is_refused(tmp_path: Path, postgres: Server) -> None:
    """Else the reply of a message that is paid could not be written."""
    name = postgres.database("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    database = Database(postgres.url(name), tmp_path)

    with pytest.raises(DiskError, match="UTF8"), database.writing():
        pass
    database.close()


@pytest.mark.parametrize("given", ["mysql://me:hunter2@127.0.0.1/db", "postgresql+psycopg2://me:hunter2@127.0.0.1/db"])
def test_other_databases_and_drivers_are_not_tried(tmp_path: Path, given: str) -> None:
    """What was not proven there is not promised."""
    with pytest.raises(DiskError) as caught, Database(given, tmp_path).writing():
        pass
    assert caught.value.id == "journal-unusable"
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


async def test_times_are_the_databases(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is an hour ahead neither gives a message up too early nor counts another day."""
    ahead = SimpleNamespace(**{**vars(time), "time": lambda: time.time() + 3600})
    monkeypatch.setattr(database_module, "time", ahead)
    journal = Journal(tmp_path, url, wall=ahead.time)
    await journal.check()
    begun = await journal.begin(planned())

    assert abs(begun.created - time.time()) < 5
    assert abs(journal.skew + 3600) < 5
    await journal.close()


# --- Migrations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("older", [0, 1, 2])
def test_twenty_processes_may_open_a_journal_at_once(tmp_path: Path, postgres: Server, older: int) -> None:
    """New or of an older program: each migration is applied once, and all twenty go on."""
    name = postgres.database()
    database = Database(postgres.url(name), tmp_path)
    engine = postgres_module.create_postgres_engine(postgres.url(name), JournalTimings())
    if older:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            schema.migrate(connection, 1.0, older)
            connection.commit()
    engine.dispose()
    code = (
        "import sys, threading; from pathlib import Path; from nemo_client._journal.database import Database\n"
        "import sqlalchemy.dialects.postgresql.psycopg\n"
        "databases = [Database(sys.argv[1], Path(sys.argv[2])) for _ in range(5)]\n"
        "failed = []\n"
        "def opened(database):\n"
        "    try:\n"
        "        with database.writing() as connection: connection.exec_driver_sql('SELECT count(*) FROM owed')\n"
        "    except BaseException as error: failed.append(repr(error))\n"
        "threads = [threading.Thread(target=opened, args=(each,)) for each in databases]\n"
        "sys.stdin.readline()\n"
        "for each in threads: each.start()\n"
        "for each in threads: each.join()\n"
        "print(failed or 'good')"
    )
    others = [
        subprocess.Popen(
            [sys.executable, "-c", code, postgres.url(name), str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for each in others:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()

    assert [each.communicate(timeout=PATIENT_SECONDS)[0].strip() for each in others] == ["good"] * 4
    applied = postgres.say("SELECT number FROM migrations ORDER BY number", name)
    assert applied == [(number,) for number in range(1, len(schema.MIGRATIONS) + 1)]
    deadlocks = postgres.say(f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{name}'")  # noqa: S608
    assert deadlocks == [(0,)]  # they wait for each other in one place
    database.close()


async def test_a_newer_program_in_the_fleet_is_noticed_at_once(tmp_path: Path, postgres: Server, url: str) -> None:
    """Not only by those that open the journal afterwards: the rules for paid steps have changed under this one."""
    journal = Journal(tmp_path, url)
    waiting = await journal.begin(planned())
    postgres.say("INSERT INTO migrations VALUES (99, 'from the future', 0)", name_of(url))

    with pytest.raises(DiskError) as caught:
        await journal.commit(waiting, admit)
    assert caught.value.id == "journal-too-new"
    assert (await journal.begin(planned("upload-1"))).state is State.PLANNED
    await journal.close()


def test_rows_are_counted_in_64_bits(tmp_path: Path, postgres: Server, url: str) -> None:
    """A large fleet writes two thousand million rows within months."""
    database = Database(url, tmp_path)
    with database.writing():
        pass
    database.close()

    wide = "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE data_type = 'bigint'"
    found = {row[0] for row in postgres.say(wide, name_of(url))}
    assert {"attempts.id", "deliveries.id", "deliveries.attempt", "owed.attempt", "at_most.attempt"} <= found


# --- Connections that break -----------------------------------------------------------------------------------------


def end_all(server: Server, url: str) -> None:
    theirs = "datname = current_database() AND pid <> pg_backend_pid()"
    server.say(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {theirs}", name_of(url))  # noqa: S608


async def test_a_connection_that_broke_meanwhile_is_replaced(tmp_path: Path, postgres: Server, url: str) -> None:
    """A server that was restarted, or a firewall that forgets: no one notices."""
    journal = Journal(tmp_path, url)
    begun = await journal.begin(planned())
    end_all(postgres, url)

    sent = await journal.commit(begun, admit)
    end_all(postgres, url)
    assert (await journal.latest("generate-1")) == sent
    end_all(postgres, url)
    with journal._database.reading() as connection:
        assert schema.read_schema_version(connection) == len(schema.MIGRATIONS)
    await journal.close()


async def test_work_whose_connection_breaks_in_the_middle_is_done_again(
    tmp_path: Path, postgres: Server, url: str
) -> None:
    """Nothing of it was committed."""
    journal, ended = Journal(tmp_path, url), []
    begun = await journal.begin(planned())

    def breaking(opened: Any, day: Any) -> None:
        if not ended:
            ended.append(True)
            end_all(postgres, url)

    sent = await journal.commit(begun, breaking)

    assert (sent.state, sent.epoch) == (State.SENT, 1)
    assert await journal.latest("generate-1") == sent
    await journal.close()


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_commit_that_is_not_answered_is_looked_up(
    tmp_path: Path, postgres: Server, url: str, network: Network, drop: str
) -> None:
    """Made or not: the step is recorded once, and known to be; a move that was made is no other machine's."""
    journal = Journal(tmp_path, postgres.url(name_of(url), network.port))
    await journal.begin(planned("edit-1"))
    network.drop_commit = drop
    begun = await journal.begin(planned())
    network.drop_commit = drop
    sent = await journal.commit(begun, admit)
    network.drop_commit = drop
    done = await journal.move(sent, Event.FINISH, spent=80.0)
    network.drop_commit = drop
    await journal.deliver(done, tmp_path / "a.mp4", {})

    assert network.drop_commit == ""
    assert (begun.epoch, sent.epoch, done.epoch) == (0, 1, 2)
    assert await journal.latest("generate-1") == done
    assert len(await journal.deliveries("generate-1")) == 1
    assert postgres.say("SELECT count(*) FROM attempts", name_of(url)) == [(2,)]
    await journal.close()


async def test_an_unanswered_commit_does_not_make_another_studios_message_ours(
    tmp_path: Path, url: str, postgres: Server, network: Network
) -> None:
    """Two Studios of one process have one owner: only what this very work wrote counts as its own."""
    journal = Journal(tmp_path, postgres.url(name_of(url), network.port))
    begun = await journal.begin(planned())
    await journal.commit(begun, admit)
    journal._held = False  # so its row is written once more, in the same work
    network.drop_commit = "after"

    with pytest.raises(SessionBusy):
        await journal.commit(begun, admit)
    assert network.drop_commit == ""
    await journal.close()


async def test_transactions_that_met_are_done_again(tmp_path: Path, url: str) -> None:
    """Serialization failures and deadlocks undo one of them, which then simply comes later."""
    journal, met = Journal(tmp_path, url), []
    await journal.check()

    def work(database: Database, _: Any) -> str:
        with database.writing() as connection:
            if len(met) < 3:
                met.append(len(met))
                code = ("40001", "40P01")[len(met) % 2]
                connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$")
            return "done"

    assert await journal.work(work) == "done"
    assert met == [0, 1, 2]
    await journal.close()


async def test_a_client_that_stops_in_a_transaction_holds_nobody_up(tmp_path: Path, url: str) -> None:
    """The server ends it, and so the lock on the account is free. The stopped one wakes up and writes nothing."""
    timings = JournalTimings(idle=1)
    first, second = Journal(tmp_path, url, timings=timings), Journal(tmp_path, url, timings=timings)
    held, other = await first.begin(planned()), await second.begin(planned("generate-2"))
    inside, go_on = threading.Event(), threading.Event()

    def stopped(opened: Any, day: Any) -> None:
        inside.set()
        go_on.wait(PATIENT_SECONDS)

    late = asyncio.ensure_future(first.commit(held, stopped))
    await asyncio.to_thread(inside.wait, PATIENT_SECONDS)
    assert (await second.commit(other, admit)).state is State.SENT
    await second.move(held, Event.TAKE_OVER)
    go_on.set()

    with pytest.raises(SessionBusy):
        await late
    await first.close()
    await second.close()


async def test_a_database_that_falls_silent_is_given_up(
    tmp_path: Path, url: str, postgres: Server, network: Network
) -> None:
    """A network that swallows everything breaks no connection: else the journal's thread would wait for ever."""
    timings = JournalTimings(silent=0.4, connect=2)
    journal = Journal(tmp_path, postgres.url(name_of(url), network.port), timings=timings)
    begun = await journal.begin(planned())
    network.swallow()

    with pytest.raises(JournalAway):
        await journal.commit(begun, admit)
    network.open()
    await asyncio.sleep(timings.rest)
    assert (await journal.commit(begun, admit)).state is State.SENT
    await journal.close()


async def test_who_is_patient_gets_what_it_wrote_once_the_database_is_back(
    tmp_path: Path, url: str, postgres: Server, network: Network
) -> None:
    """And who is not hears at once that nothing is sent. A database that is away is not asked by each step again."""
    sleeps: list[float] = []

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 3:
            network.open()
        await asyncio.sleep(0.4)

    journal = Journal(tmp_path, postgres.url(name_of(url), network.port), sleep=sleep)
    sent = await journal.commit(await journal.begin(planned()), admit)
    network.cut()
    with pytest.raises(JournalAway) as caught:
        await journal.begin(planned("generate-2"))
    assert (caught.value.id, caught.value.charged, sleeps) == ("journal-away", "no", [])
    with retry_window() as patience:
        done = await journal.move(sent, Event.FINISH, spent=80.0)

    assert done.state is State.DONE
    assert len(sleeps) >= 3
    assert not patience.waiting
    assert await journal.latest("generate-1") == done
    assert await journal.latest("generate-2") is None
    await journal.close()


async def test_patience_ends(tmp_path: Path, url: str, postgres: Server, network: Network) -> None:
    """Bounded, and at once where the program is about to end; closing needs no database."""
    journal = Journal(tmp_path, postgres.url(name_of(url), network.port), sleep=lambda _: asyncio.sleep(0.01))
    sent = await journal.commit(await journal.begin(planned()), admit)
    network.cut()

    with retry_window(timings=JournalTimings(away=0.2)), pytest.raises(JournalAway):
        await journal.move(sent, Event.FINISH)
    with retry_window() as patience:
        patience.end()
        with pytest.raises(JournalAway):
            await journal.move(sent, Event.FINISH)
    await journal.close()


async def test_machines_that_share_a_name_but_no_folder_go_by_the_lease(tmp_path: Path, url: str) -> None:
    """Two containers on one host: a lock file that is not here says nothing about who lives."""
    first, second = Journal(tmp_path / "one", url), Journal(tmp_path / "two", url)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert first.host == second.host
    held = await first.begin(planned())
    assert first._owner._lock is not None
    first._owner.lock_path.unlink()

    assert await second.life(held) == "alive"
    with second._database.writing() as connection:
        connection.execute(schema.OWNERS.update().values(lease_until=0.0))
    assert await second.life(held) == "dead"
    await first.close()
    await second.close()


async def test_two_machines_may_tidy_up_at_once(tmp_path: Path, url: str, postgres: Server) -> None:
    """Each does its upkeep once a day when it starts: who comes second waits, and goes on."""
    journal, other = Journal(tmp_path, url, wall=lambda: 1.7e9), Database(url, tmp_path)
    export = await journal.begin(planned("export-1", free=True, before="generate-1"))
    export = await journal.move(await journal.move(export, Event.SEND), Event.FINISH)
    await journal.deliver(export, tmp_path / "a.mp4", {})
    with other.writing() as connection:
        connection.execute(schema.TIDIED.insert().values(key="export-1"))
        tidying = asyncio.ensure_future(run_upkeep(journal, tmp_path, 1.8e9))
        deadline = time.monotonic() + 10
        while not postgres.say("SELECT 1 FROM pg_locks WHERE NOT granted") and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await tidying

    assert postgres.say("SELECT key FROM tidied", name_of(url)) == [("export-1",)]
    await journal.close()
    other.close()


async def test_a_lease_lasts_from_when_it_is_written(tmp_path: Path, url: str) -> None:
    """By the clock of that moment: a transaction that waited for a lock must not write one that is over already."""
    database = Database(url, tmp_path)
    with database.writing() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.3)")
        began = connection.exec_driver_sql("SELECT extract(epoch from now())::float8").scalar() or 0.0
        now = connection.execute(sa.select(database_module.read_database_clock(connection))).scalar() or 0.0
    assert now - began >= 0.3
    database.close()


# --- Passwords, poolers ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


@pytest.mark.parametrize(
    "form",
    [
        "postgresql+psycopg://nemo:{word}@127.0.0.1:{port}/postgres",
        "postgresql://nemo:{word}@127.0.0.1:{port}/postgres",
        "postgres://nemo@127.0.0.1:{port}/postgres?password={word}",
        "postgresql+psycopg://nemo:{word}@127.0.0.1:1/postgres",
        "postgresql+psycopg://nemo:{word}@{word}.invalid:{port}/postgres",
        "postgresql+psycopg://nemo:{word}@127.0.0.1:{port}/{word}",
        "postgresql+psycopg://nemo:{word}@127.0.0.1:{port}/postgres?sslmode=verify-full",
    ],
)
async def test_a_password_is_never_shown(
    tmp_path: Path, postgres: Server, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in errors, tracebacks, logs or any repr, as it is or as it is written in the URL."""
    word = "s3cret%21wrd"
    given = form.format(word=word, port=postgres.port)
    journal = Journal(tmp_path, given)

    with everything_logged(caplog), pytest.raises(DiskError) as caught:
        await journal.begin(planned())
    await journal.close()
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value) + repr(caught.value)
    shown += caplog.text + repr(journal) + repr(journal._database) + repr(vars(caught.value))
    assert word not in shown
    assert "s3cret!wrd" not in shown


async def test_a_pooler_between_is_not_noticed(tmp_path: Path, postgres: Server, url: str) -> None:
    """pgbouncer in transaction mode: each transaction may reach another connection, which keeps nothing of it."""
    with pooler(postgres) as port:
        journals = [Journal(tmp_path, postgres.url(name_of(url), port)) for _ in range(4)]

        async def work(journal: Journal) -> None:
            for _ in range(10):
                sent = await journal.commit(await journal.begin(planned(unique("generate"))), admit)
                done = await journal.move(sent, Event.FINISH, spent=80.0)
                assert await journal.latest(done.key) == done

        await asyncio.gather(*map(work, journals))
        assert len(await journals[0].recent()) == 40
        for journal in journals:
            await journal.close()


# --- How quick it is ------------------------------------------------------------------------------------------------


async def test_what_is_often_asked_uses_an_index(tmp_path: Path, postgres: Server, url: str) -> None:
    """In PostgreSQL as in SQLite: with many rows, none of these reads the whole table."""
    journal = Journal(tmp_path, url)
    await journal.check()
    fill = """
        INSERT INTO attempts (key, number, state, epoch, owner, profile, before, account, session_id, task_id, run,
            free, hidden, created, changed, sent, spent, facts)
        SELECT kind || '-' || n, 1, 'done', 2, 'o', 'nemo', 'upload-' || n, 'me', 's' || n, 't', '', false, false, n, n,
            n, 80, '{}' FROM generate_series(1, 20000) n, unnest(ARRAY['upload', 'generate', 'export']) kind
    """
    postgres.say(fill, name_of(url))
    postgres.say("ANALYZE", name_of(url))
    seen: list[tuple[str, Any]] = []
    engine = journal._database._engine
    assert engine is not None

    def heard(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH", "DELETE", "UPDATE")) and "attempts" in statement:
            seen.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", heard)
    await journal.latest("generate-x")
    await journal.latest("generate-x", "s")
    await journal.recent()
    await journal.charges("nemo", "generate")
    await journal.charges("nemo", "chat")
    await journal.exports_of("generate-x")
    await journal.open_attempts("me")
    await journal.paid_since("nemo", 30000.0)
    await journal.undelivered("me")
    await journal.usual_seconds("nemo", "chat")
    export = await journal.begin(planned("export-new", before="generate-x", account="you"))
    await journal.move(await journal.move(export, Event.SEND), Event.FINISH)
    sa.event.remove(engine, "before_cursor_execute", heard)

    assert len(seen) >= 12
    for statement, parameters in seen:
        with journal._database.reading() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()
        assert not any("Seq Scan on attempts" in line for line in plan), (statement, plan)
    await journal.close()


def test_the_programs_for_these_tests_leave_nothing_behind() -> None:
    """A server of a test is gone with it."""
    with a_server() as server:
        assert server.say("SELECT 1") == [(1,)]
    assert not server.directory.exists()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), 1)

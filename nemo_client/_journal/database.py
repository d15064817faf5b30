"""The journal's database: a SQLite file by default, PostgreSQL by URL. The only place that knows SQLite.

SQLite runs with `synchronous=FULL`; writing transactions begin IMMEDIATE, so that two processes never both read and
then both write. It keeps a rollback journal, never WAL: SQLite before 3.51.3 can corrupt a WAL database when two
connections checkpoint and write at one moment, and WAL needs shared memory, which network file systems lack.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from .._config.paths import JOURNAL_FILE, ensure_home
from .._config.timings import JournalTimings, timings_in_use
from .._errors import DiskError, JournalAway
from .._safety.json_limits import BadJson
from .._safety.private_files import FILE_MODE, restrict_file
from .._text.messages import Phrase
from . import postgres
from .schema import MIGRATIONS, migrate, read_schema_version

"""After a connection that did not come about, the next one is tried no sooner: many steps may wait for it."""
_OPENINGS: Final = 10
_BROKEN: Final = ("malformed", "not a database", "file is encrypted")


class Database:
    """Transactions on the journal's database. Blocking; used from the journal's own thread."""

    def __init__(self, url: str | None, directory: Path, timings: JournalTimings | None = None) -> None:
        """`url` is SQLAlchemy's; None means `journal.sqlite3` in `directory`.

        `skew` is how many seconds the database's clock is ahead of this machine's, where it has one of its own.
        """
        self._timings = timings or timings_in_use().journal
        self.path = None if url else directory / JOURNAL_FILE
        self._url = url or f"sqlite:///{self.path}"
        self._engine: Engine | None = None
        self._kept: Connection | None = None
        self._damage: DiskError | None = None
        self.shared = postgres.is_postgres(self._url)
        self._rest_until, self._why = 0.0, ""
        self._counter: _ChangeCounter | None = None
        self.too_new = False
        self.skew = 0.0

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One writing transaction, on disk when the block ends; a `DiskError` where that cannot be."""
        with self._transaction(write=True) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._transaction(write=False) as connection:
            yield connection

    def change_mark(self) -> str:
        """A word that is another one after each commit of any process; it may change without one. Reads no rows.

        PostgreSQL's snapshot names all transactions that write, also those of its other databases.
        """
        if self.path is not None:
            if self._counter is None:
                self._counter = _ChangeCounter(self.path, self._timings.busy)
            return self._counter.read()
        asked = "SELECT txid_current_snapshot()::text" if self.shared else "SELECT total_changes()"
        with self.reading() as connection:
            return str(connection.exec_driver_sql(asked).scalar())

    def close(self) -> None:
        """Close all connections; the next transaction opens them again."""
        if self._counter is not None:
            self._counter.close()
        kept, self._kept = self._kept, None
        if kept is not None and not kept.in_transaction():
            kept.close()
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        committing = False
        try:
            engine = self._open(write=write)
            with self._begin_transaction(engine, write=write) as connection:
                yield connection
                committing = True
        except IntegrityError as error:
            if self.too_new:  # a column that this program does not know must be filled
                raise self.make_too_new_error() from error
            raise
        except SQLAlchemyError as error:
            raise self._explain_failure(error, committing) from (error if isinstance(error, DBAPIError) else None)
        except (KeyError, TypeError, ValueError) as error:
            if self.too_new:  # what rows hold by then is not known here
                raise self.make_too_new_error() from error
            if isinstance(error, BadJson):
                raise DiskError("journal-unusable", path=self._name, reason=Phrase("why.row-damaged")) from error
            raise

    @contextmanager
    def _begin_transaction(self, engine: Engine, *, write: bool, prepared: bool = True) -> Iterator[Connection]:
        """A transaction that has begun, and is committed when the block ends."""
        if self.shared:
            with self._connect_trusted(engine, write=write, prepared=prepared) as connection, connection.begin():
                yield connection
            return
        kept = self._kept
        if kept is None or kept.closed or kept.invalidated or kept.in_transaction():
            kept = engine.connect()
            if prepared and self._kept is None and self.path is not None:
                self._kept = kept
        try:
            with kept.execution_options(nemo_write=write).begin():
                yield kept
        finally:
            if kept is not self._kept:
                kept.close()

    def _connect_trusted(self, engine: Engine, *, write: bool, prepared: bool) -> Connection:
        """A connection to a PostgreSQL server that can be trusted with it, in its transaction."""
        connection, begun = self._connect_and_begin(engine, write=write, prepared=prepared)
        if begun.reason:
            connection.invalidate()  # the next one may reach another server
            connection.close()
            if begun.passing:
                raise JournalAway(path=self._name, reason=begun.reason)
            raise DiskError("journal-unusable", path=self._name, reason=begun.reason)
        if prepared:
            self.too_new = begun.newest > len(MIGRATIONS)
        self.skew = begun.clock - time.time()
        return connection

    def _connect_and_begin(self, engine: Engine, *, write: bool, prepared: bool) -> tuple[Connection, postgres.Begun]:
        """A connection with its transaction; one of the pool that broke meanwhile is replaced, once."""
        if time.monotonic() < self._rest_until:
            raise JournalAway(path=self._name, reason=self._why)
        driver = engine.dialect.loaded_dbapi
        for used in (True, False):
            try:
                connection = engine.connect()
            except DBAPIError as error:
                self._rest_until = time.monotonic() + self._timings.rest
                self._why = str(self._explain_failure(error).facts.get("reason", "?"))
                raise
            try:
                return connection, postgres.begin_transaction(
                    connection, write=write, prepared=prepared, timings=self._timings
                )
            except driver.Error as error:
                connection.invalidate()
                connection.close()
                if not used or not postgres.is_connection_lost(error):
                    raise self._explain_failure(error) from error
                engine.dispose()  # its other connections are no better
        raise AssertionError("unreachable")

    def make_too_new_error(self) -> DiskError:
        """The error for a journal that a newer program has changed."""
        return DiskError("journal-too-new", path=self._name)

    def _open(self, *, write: bool) -> Engine:
        """The engine of a database that is there and has this program's tables.

        Damage is told until a writer has heard of it: what only looks (a list that is refreshed beside everything)
        may pass over an error, and a new journal must not begin unnoticed.
        """
        if self._damage is not None:
            told, self._damage = self._damage, None if write else self._damage
            raise told
        if self._engine is None:
            self._make_file()
            engine = self._create_engine()
            try:
                self._prepare(engine)
            except BaseException:
                engine.dispose()
                raise
            self._engine = engine
        return self._engine

    def _make_file(self) -> None:
        """The database's file, private to its owner from the first moment; SQLite gives its siblings the same mode."""
        if self.path is None:
            return
        if self.path.exists():
            restrict_file(self.path)
            return
        ensure_home(self.path.parent)
        try:
            self.path.touch(mode=FILE_MODE)
            self.path.chmod(FILE_MODE)
        except OSError as error:
            raise DiskError("journal-unusable", path=self._name, reason=error.strerror or "?") from error

    def _create_engine(self) -> Engine:
        try:
            if self.shared:
                return postgres.create_postgres_engine(self._url, self._timings)
            return _create_sqlite_engine(self._url, self._timings.busy)
        except sa.exc.NoSuchModuleError:
            reason: str = Phrase("why.database-unsupported")
        except (ImportError, SQLAlchemyError, ValueError) as error:
            # Not chained, and only its type is told: such an error quotes the URL, which can hold a password.
            reason = (
                Phrase("why.no-driver", driver=error.name) if isinstance(error, ImportError) else type(error).__name__
            )
        raise DiskError("journal-unusable", path=self._name, reason=reason)

    def _prepare(self, engine: Engine) -> None:
        """Apply the migrations that are missing, each in a transaction of its own, to a new journal all in one.

        A current journal is only read.

        Where many open a new journal at once, all but one fail at its first table, and look again.
        """
        for opening in range(1, _OPENINGS + 1):
            try:
                with self._begin_transaction(engine, write=False, prepared=False) as connection:
                    applied = read_schema_version(connection)
                while applied < len(MIGRATIONS):
                    with self._begin_transaction(engine, write=True, prepared=False) as connection:
                        applied = migrate(connection, time.time())
                break
            except SQLAlchemyError:
                with self._begin_transaction(engine, write=False, prepared=False) as connection:
                    now = read_schema_version(connection)
                if now <= applied or opening == _OPENINGS:  # else another process was quicker
                    raise
        self.too_new = applied > len(MIGRATIONS)

    def _set_aside(self, path: Path) -> DiskError:
        """A damaged journal is kept under another name, with what SQLite has beside it: it says what was paid."""
        self.close()
        kept = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
        try:
            path.replace(kept)
            for sibling in ("-journal", "-wal", "-shm"):  # they belong to it; a new journal must not be rolled back
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(path.name + sibling).replace(kept.with_name(kept.name + sibling))
        except OSError as error:
            return DiskError("journal-unusable", path=self._name, reason=error.strerror or "?")
        self._damage = DiskError("journal-damaged", charged="maybe", path=path, kept=kept.name)
        return self._damage

    @property
    def _name(self) -> Path | str:
        """What the journal is called in errors: never the URL, which can hold a password."""
        return self.path or "NEMO_JOURNAL_URL"

    def _explain_failure(self, error: Exception, committing: bool = False) -> DiskError:
        cause = getattr(error, "orig", None) or error
        reason = str(cause if isinstance(error, DBAPIError) or self.shared else type(error).__name__)
        reason = _without_secrets(reason.split("\n", 1)[0], self._url)[:200]
        if self.path is not None:
            if any(word in reason for word in _BROKEN):
                return self._set_aside(self.path)
            self.close()  # the file may have been replaced or removed; the next transaction looks again
        if self.shared and isinstance(error, DBAPIError) and postgres.is_conflict(error):
            return Conflict("journal-unusable", path=self._name, reason=reason)
        if self.shared and postgres.is_connection_lost(cause):
            return JournalAway(path=self._name, reason=reason, unsure=committing)
        if "full" in reason:
            return DiskError("disk-full", path=self._name)
        return DiskError("journal-unusable", path=self._name, reason=reason)


class _ChangeCounter:
    """A connection of its own that only asks SQLite's change counter: it counts what other connections commit."""

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._opened = 0

    def read(self) -> str:
        """The counter, with what tells this connection and this file from others."""
        try:
            info = self._path.stat()
            if self._connection is None or self._file != (info.st_dev, info.st_ino):
                self._open(info)
            assert self._connection is not None  # noqa: S101 - opened just now
            (counted,) = self._connection.execute("PRAGMA data_version").fetchone()
        except (OSError, sqlite3.Error):  # who reads the journal hears why; until then it counts as changed
            self.close()
            self._opened += 1
            return f"{self._opened}"
        return f"{self._opened} {counted}"

    def _open(self, info: os.stat_result) -> None:
        self.close()
        address = f"{self._path.absolute().as_uri()}?mode=ro"
        self._connection = sqlite3.connect(
            address, timeout=self._busy_seconds, isolation_level=None, uri=True, check_same_thread=False
        )
        self._file, self._opened = (info.st_dev, info.st_ino), self._opened + 1

    def close(self) -> None:
        """Let go of the file; the next look opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Conflict(DiskError):
    """Two transactions met, and this one was undone: it can simply be done again."""


def read_database_clock(connection: Connection) -> sa.ColumnElement[float]:
    """Seconds since 1970 by the database's own clock, so that machines need not agree on theirs.

    That of the moment at which it is asked: a transaction may have waited for a lock since it began.
    """
    if connection.dialect.name == "sqlite":
        return sa.literal_column("(julianday('now') - 2440587.5) * 86400.0", sa.Float)
    return sa.literal_column("extract(epoch from clock_timestamp())::float8", sa.Float)


def _create_sqlite_engine(url: str, busy_seconds: float) -> Engine:
    parts = sa.make_url(url)
    if parts.get_backend_name() != "sqlite":
        raise sa.exc.NoSuchModuleError(parts.get_backend_name())
    pool = (
        sa.pool.QueuePool if parts.database else sa.pool.StaticPool
    )  # a database in memory lives in its one connection
    engine = sa.create_engine(url, poolclass=pool, hide_parameters=True)  # prompts have no place in logs

    @event.listens_for(engine, "connect")
    def set_up_connection(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's transactions, not the driver's guesses
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(busy_seconds * 1000)}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA wal_autocheckpoint=0")
        with contextlib.suppress(
            sqlite3.OperationalError
        ):  # an older program has it open in WAL: so it stays until then
            cursor.execute("PRAGMA journal_mode=DELETE")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        write = connection.get_execution_options().get("nemo_write", True)
        words = "BEGIN IMMEDIATE" if write else "BEGIN"
        driver: Any = connection.connection.dbapi_connection
        try:
            driver.execute(words)  # as it is: SQLAlchemy's way takes longer than SQLite's
        except sqlite3.Error as error:
            raise sa.exc.OperationalError(words, None, error, hide_parameters=True) from error

    return engine


def _without_secrets(text: str, url: str) -> str:
    for secret in postgres.list_url_secrets(url):
        text = text.replace(secret, "…")
    return text

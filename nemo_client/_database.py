"""The journal's database: a SQLite file by default, another one by URL. The only place that knows SQLite.

SQLite runs with `synchronous=FULL`; writing transactions begin IMMEDIATE, so that two processes never both read and
then both write. WAL is used only where it is safe: versions before 3.51.3 can corrupt a WAL database when two
connections checkpoint and write at one moment, and WAL needs shared memory, which network file systems lack.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from ._config import ensure_home
from ._errors import DiskError
from ._schema import MIGRATIONS, migrate, version

BUSY_SECONDS: Final = 30.0
SAFE_WAL: Final = (3, 51, 3)
_NETWORK: Final = ("nfs", "cifs", "smb", "9p", "fuse", "afs", "ncp", "lustre", "ceph", "gluster", "virtiofs", "drvfs")
_BROKEN: Final = ("malformed", "not a database", "file is encrypted")


class Database:
    """Transactions on the journal's database. Blocking; used from the journal's own thread."""

    def __init__(self, url: str | None, directory: Path) -> None:
        """`url` is SQLAlchemy's; None means `journal.sqlite3` in `directory`."""
        self.path = None if url else directory / "journal.sqlite3"
        self._url = url or f"sqlite:///{self.path}"
        self._engine: Engine | None = None
        self.too_new = False

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

    def close(self) -> None:
        """Close all connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        try:
            engine = self._open()
            with engine.connect().execution_options(nemo_write=write) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            if isinstance(error, sa.exc.IntegrityError):
                raise
            raise self._unusable(error) from error

    def _open(self) -> Engine:
        if self._engine is not None:
            return self._engine
        existed = self.path is not None and self.path.exists()
        if self.path is not None and not existed:
            ensure_home(self.path.parent)
            self.path.touch(mode=0o600)
        try:
            self._engine = self._prepared()
        except DatabaseError as error:
            if not (existed and any(word in str(error) for word in _BROKEN)):
                raise
            raise self._set_aside() from error
        return self._engine

    def _prepared(self) -> Engine:
        engine = _engine(self._url)
        with engine.connect().execution_options(nemo_write=True) as connection, connection.begin():
            self.too_new = version(connection) > len(MIGRATIONS)
            if not self.too_new:
                migrate(connection, time.time())
        return engine

    def _set_aside(self) -> DiskError:
        """A corrupt journal is kept under another name, never recreated in silence: it says what was paid."""
        assert self.path is not None  # noqa: S101 - only SQLite files are set aside
        kept = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        self.path.replace(kept)
        return DiskError("journal-damaged", charged="maybe", path=self.path, kept=kept.name)

    def _unusable(self, error: SQLAlchemyError) -> DiskError:
        original = getattr(error, "orig", None)
        reason = str(original or type(error).__name__).split("\n", 1)[0][:200]
        if isinstance(error, OperationalError) and "full" in reason:
            return DiskError("disk-full", path=self.path or "the journal")
        return DiskError("journal-unusable", path=self.path or "NEMO_JOURNAL_URL", reason=reason)


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True)
    path = sa.make_url(url).database
    pool = sa.pool.QueuePool if path else sa.pool.StaticPool  # a database in memory lives in its one connection
    engine = sa.create_engine(url, poolclass=pool)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's transactions, not the driver's guesses
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
        cursor.execute("PRAGMA foreign_keys=ON")
        if wal_is_safe(sqlite3.sqlite_version_info, path):
            cursor.execute("PRAGMA journal_mode=WAL")
        else:
            cursor.execute("PRAGMA journal_mode=DELETE")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        write = connection.get_execution_options().get("nemo_write", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def wal_is_safe(sqlite_version: tuple[int, ...], path: str | os.PathLike[str] | None) -> bool:
    """Whether write-ahead logging may be used on this file with this SQLite."""
    if sqlite_version < SAFE_WAL or not path:
        return False
    return sys.platform != "linux" or not _file_system(os.path.realpath(path)).startswith(_NETWORK)


def _file_system(path: str) -> str:
    """The type of the file system that holds `path`, from the kernel's table of mounts."""
    best, kind = "", ""
    try:
        with open("/proc/mounts", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                _, place, each, *_ = line.split(" ")
                place = place.replace("\\040", " ")
                if len(place) >= len(best) and (path == place or path.startswith(place.rstrip("/") + "/")):
                    best, kind = place, each
    except OSError:
        return "nfs"  # not known to be safe
    return kind

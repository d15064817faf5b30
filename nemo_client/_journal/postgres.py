"""PostgreSQL as the journal's database: how each transaction begins there, and what its errors mean.

Nothing here outlives a transaction on the server (no prepared statements, no session settings, no advisory locks), so
a pooler that gives each transaction another connection may stand in between. What makes a transaction trustworthy is
set and looked at in the very round trip that begins it, since the next one may reach another server.
"""

from __future__ import annotations

import selectors
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar
from urllib.parse import quote, quote_plus

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from .._config.timings import JournalTimings
from .._text.messages import Phrase

_T = TypeVar("_T")

SCHEMES: Final = ("postgresql+psycopg", "postgresql", "postgres")
LOCK_SECONDS: Final = 20

_BEGIN: Final = """BEGIN ISOLATION LEVEL {isolation}; SELECT
set_config('synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true),
pg_is_in_recovery(), current_setting('transaction_read_only'), current_setting('fsync'),
current_setting('server_encoding'), extract(epoch from clock_timestamp())::float8, {newest},
set_config('lock_timeout', '{lock}s', true),
set_config('idle_in_transaction_session_timeout', '{idle}s', true)"""
_WRITING: Final = "READ COMMITTED"
"""Each statement sees what was committed before it; what must not change meanwhile is locked or compared."""
_READING: Final = "REPEATABLE READ, READ ONLY"
_NEWEST: Final = "(SELECT max(number) FROM migrations)"

_CONFLICT_CODES: Final = ("40001", "40P01")
_AWAY_CODES: Final = ("57P", "08", "53300", "25P03", "25006", "55P03")
_REFUSED: Final = ("authentication", "pg_hba", "does not exist", "permission denied", "no such user", "certificate")


@dataclass(frozen=True)
class Begun:
    """What the server said as a transaction began: its clock (seconds since 1970), and its newest migration.

    `reason` says why it cannot be used, empty where it can; `passing` that another server, or this one later, may do.
    """

    clock: float
    newest: int
    reason: str = ""
    passing: bool = False


def is_postgres(url: str) -> bool:
    """Whether a database's URL is one of PostgreSQL."""
    return url.split("://", 1)[0].lower() in SCHEMES


def list_url_secrets(url: str) -> list[str]:
    """What must not be shown of a URL: passwords, as they are and as they are written there."""
    parts = sa.make_url(url)
    words = [parts.password, *(parts.query.get(name) for name in ("password", "sslpassword", "passfile"))]
    flat = [str(each) for word in words if word for each in ([word] if isinstance(word, str) else word)]
    return sorted({form for word in flat for form in (word, quote(word, safe=""), quote_plus(word))}, key=len)[::-1]


def create_postgres_engine(url: str, timings: JournalTimings) -> Engine:
    """The engine of a PostgreSQL URL; connects only later. `ImportError` where there is no driver."""
    parts = sa.make_url(url).set(drivername="postgresql+psycopg")
    # The last one in milliseconds. TCP finds a connection that a firewall forgot before it is used.
    limits = {"connect_timeout": timings.connect, "keepalives_idle": 30, "tcp_user_timeout": 30_000}
    asked = {name: value for name, value in limits.items() if name not in parts.query}
    engine = sa.create_engine(
        parts,
        pool_size=1,  # the journal's thread is one
        max_overflow=8,
        hide_parameters=True,  # prompts have no place in logs
        use_native_hstore=False,
        connect_args={"autocommit": True, "prepare_threshold": None, **asked},  # BEGIN is said here
    )

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, settings: Any) -> Any:
        connection = _load_connection_class().connect(*arguments, **settings)
        connection.silent_seconds = timings.silent
        return connection

    return engine


@cache
def _load_connection_class() -> type[Any]:
    """The driver's connection, with a bound on how long it waits for the server.

    TCP's own time-outs end a connection whose other machine is gone. They do not where something between answers for
    it (a proxy, a pooler), or where the server stands still: then the driver would never return, and the journal's
    only thread with it.
    """
    import psycopg

    class BoundedConnection(psycopg.Connection[Any]):
        silent_seconds: float | None = JournalTimings.silent

        def wait(self, gen: Generator[int, Any, _T], *_: Any, **__: Any) -> _T:
            """Run what the driver does with its socket; `OperationalError` after `silent_seconds` without a byte."""
            try:
                wanted = next(gen)
                while True:
                    ready = _wait_for_socket(self.pgconn.socket, wanted, self.silent_seconds)
                    if not ready:
                        self.pgconn.finish()  # so that undoing the transaction does not wait once more
                        raise psycopg.OperationalError(f"the database has said nothing for {self.silent_seconds:g} s")
                    wanted = gen.send(ready)
            except StopIteration as end:
                result: _T = end.value
                return result

    return BoundedConnection


def _wait_for_socket(handle: int, wanted: int, seconds: float | None) -> int:
    """Which of the events `wanted` a socket is ready for, in the flags of `selectors`; 0 where none came in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(handle, wanted)
        return sum(events for _, events in selector.select(seconds))


def begin_transaction(connection: Connection, *, write: bool, prepared: bool, timings: JournalTimings) -> Begun:
    """Begin a transaction, and read what the server says of itself. Raises the driver's own errors.

    `prepared` says that the journal's tables are there.
    """
    isolation, newest = _WRITING if write else _READING, _NEWEST if prepared else "0"
    driver: Any = connection.connection.driver_connection
    driver.silent_seconds = timings.silent
    cursor = driver.execute(_BEGIN.format(isolation=isolation, newest=newest, lock=LOCK_SECONDS, idle=timings.idle))
    while cursor.nextset():
        pass
    if not prepared:
        driver.silent_seconds = None  # a migration takes its time
    synchronous, standby, read_only, fsync, encoding, clock, number, *_ = cursor.fetchone()
    reason, passing = "", bool(standby) or (write and read_only != "off")
    if standby:
        reason = Phrase("why.standby")
    elif passing:
        reason = Phrase("why.read-only")
    elif write and synchronous not in ("on", "remote_apply"):
        reason = Phrase("why.commit-not-synchronous")
    elif fsync != "on":
        reason = Phrase("why.fsync-off")
    elif encoding != "UTF8":
        reason = Phrase("why.not-utf8")
    return Begun(float(clock), int(number or 0), reason, passing)


def is_conflict(error: DBAPIError) -> bool:
    """Whether the transaction met another one, was undone, and can simply be done again."""
    return getattr(error.orig, "sqlstate", None) in _CONFLICT_CODES


def is_connection_lost(error: BaseException | None) -> bool:
    """Whether a driver's error says that the database cannot be reached, or cannot be used at the moment."""
    code = getattr(error, "sqlstate", None)
    if code:
        return str(code).startswith(_AWAY_CODES)
    text = str(error)
    return type(error).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout") and not (
        "FATAL" in text and any(word in text for word in _REFUSED)
    )

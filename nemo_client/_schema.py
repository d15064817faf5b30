"""The journal's tables, and how older journals become this one.

Migrations are append-only: each is applied once, in order, together with its record, in one transaction. A landed
migration is never changed; the tests keep a journal of every schema there was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Connection, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

METADATA: Final = MetaData()

MIGRATED: Final = Table(
    "migrations",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(80), nullable=False),
    Column("applied", Float, nullable=False),
)

OWNERS: Final = Table(
    "owners",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("host", String(128), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("lock", Text, nullable=False),
    Column("lease_until", Float, nullable=False),
)

ATTEMPTS: Final = Table(
    "attempts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("key", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("profile", String(80), nullable=False),
    Column("before", String(64), nullable=False),
    Column("account", String(128), nullable=False),
    Column("session_id", String(512), nullable=False),
    Column("task_id", String(512), nullable=False),
    Column("run", String(128), nullable=False),
    Column("free", Boolean, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("sent", Float),
    Column("spent", Float),
    Column("facts", Text, nullable=False),
    Index("attempts_key_number", "key", "number", unique=True),
    Index("attempts_account_state", "account", "state"),
    Index("attempts_profile_sent", "profile", "sent"),
    Index("attempts_before", "before"),
    Index("attempts_changed", "changed"),
)

SESSIONS: Final = Table(
    "sessions",
    METADATA,
    Column("session_id", String(512), primary_key=True),
    Column("head", String(64), nullable=False),
)

ACCOUNTS: Final = Table(
    "accounts",
    METADATA,
    Column("account", String(128), primary_key=True),
    Column("admissions", Integer, nullable=False),
)

DELIVERIES: Final = Table(
    "deliveries",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("attempt", Integer, ForeignKey("attempts.id"), nullable=False),
    Column("host", String(128), nullable=False),
    Column("path", Text, nullable=False),
    Column("delivered", Float, nullable=False),
    Column("facts", Text, nullable=False),
    Index("deliveries_attempt", "attempt"),
)

TIDIED: Final = Table(
    "tidied",
    METADATA,
    Column("key", String(64), primary_key=True),
)
"""Delivered exports whose old drafts, replies and evidence are gone already."""

KIND_CODE: Final = sa.literal_column('substr("key", 1, 4)', String)
"""The beginning of an attempt's kind, written as the index has it, else the index is not used."""

Migration = tuple[str, Callable[[Connection], None]]


def _first(connection: Connection) -> None:
    """Everything there was at the beginning."""
    for table in (OWNERS, ATTEMPTS, SESSIONS, ACCOUNTS, DELIVERIES):
        table.create(connection)


def _lists_and_upkeep(connection: Connection) -> None:
    """Indices for the lists of jobs and charges, and what upkeep remembers.

    As text: an `Index` of the table above would be made by the first migration, too.
    """
    connection.exec_driver_sql("CREATE INDEX attempts_created ON attempts (created)")
    connection.exec_driver_sql('CREATE INDEX attempts_profile_kind ON attempts (profile, substr("key", 1, 4))')
    TIDIED.create(connection)


MIGRATIONS: Final[Sequence[Migration]] = (
    ("owners, attempts, sessions, accounts, deliveries", _first),
    ("indices for lists, upkeep", _lists_and_upkeep),
)


def version(connection: Connection) -> int:
    """The number of the last migration that was applied; 0 for an empty database."""
    if not sa.inspect(connection).has_table(MIGRATED.name):
        return 0
    newest = connection.execute(sa.select(sa.func.max(MIGRATED.c.number))).scalar()
    return int(newest or 0)


def migrate(connection: Connection, now: float) -> None:
    """Apply the next missing migration, if there is one, with its record, in the transaction of `connection`."""
    applied = version(connection)
    if applied >= len(MIGRATIONS):
        return
    if applied == 0:
        MIGRATED.create(connection, checkfirst=True)
    name, change = MIGRATIONS[applied]
    change(connection)
    connection.execute(MIGRATED.insert().values(number=applied + 1, name=name, applied=now))

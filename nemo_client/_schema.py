"""The journal's tables, and how older journals become this one.

Migrations are append-only: each is applied once, in order, together with its record, in one transaction. A landed
migration is never changed; the tests keep a journal of every schema there was.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

METADATA: Final = MetaData()
_Number: Final = BigInteger().with_variant(Integer, "sqlite")
"""Rows are counted in 64 bits everywhere; SQLite's own numbers are that, if they are called INTEGER."""

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
    Column("id", _Number, primary_key=True),
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
    Column("admissions", _Number, nullable=False),
)

DELIVERIES: Final = Table(
    "deliveries",
    METADATA,
    Column("id", _Number, primary_key=True),
    Column("attempt", _Number, ForeignKey("attempts.id"), nullable=False),
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

OWED: Final = Table(
    "owed",
    METADATA,
    Column("attempt", _Number, ForeignKey("attempts.id"), primary_key=True),
    Column("key", String(64), nullable=False),
    Column("account", String(128), nullable=False),
    Index("owed_key", "key"),
    Index("owed_account", "account"),
)
"""Finished paid attempts that no delivered export shows yet; found here, not by walking all steps there ever were."""

AT_MOST: Final = Table(
    "at_most",
    METADATA,
    Column("attempt", _Number, ForeignKey("attempts.id"), primary_key=True),
    Column("spent", Float, nullable=False),
)
"""What attempts took at most, where it is not known exactly (`attempts.spent`): limits count it, and facts are long."""

IDENTITY: Final = Table("identity", METADATA, Column("id", String(32), primary_key=True))
"""One row: what tells this journal from every other one, so that machines can see whether they share it."""

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
    connection.exec_driver_sql(f"CREATE INDEX attempts_profile_kind ON attempts (profile, {_by_kind(connection)})")
    TIDIED.create(connection)


def _by_kind(connection: Connection) -> str:
    """The kind, and then the newest: in SQLite, the number of a row is part of every index."""
    return 'substr("key", 1, 4)' if connection.dialect.name == "sqlite" else 'substr("key", 1, 4), id'


_OWED_BY_NOW: Final = """
INSERT INTO owed (attempt, "key", account)
WITH RECURSIVE shown ("key", account) AS (
    SELECT "before", account FROM attempts WHERE state = 'done' AND substr("key", 1, 4) = 'expo'
    UNION
    SELECT attempts."before", attempts.account FROM attempts
    JOIN shown ON attempts."key" = shown."key" AND attempts.account = shown.account WHERE attempts.state = 'done'
)
SELECT id, "key", account FROM attempts
WHERE state = 'done' AND NOT free AND substr("key", 1, 4) IN ('gene', 'edit', 'chat')
AND ("key", account) NOT IN (SELECT "key", account FROM shown)
"""


def _no_walks(connection: Connection) -> None:
    """What is owed and what was taken at most as rows of their own, and an index for charges that are known."""
    connection.exec_driver_sql(
        f"CREATE INDEX attempts_charged ON attempts (profile, {_by_kind(connection)}) WHERE spent > 0"
    )
    OWED.create(connection)
    AT_MOST.create(connection)
    connection.exec_driver_sql(_OWED_BY_NOW)
    unsure = sa.select(ATTEMPTS.c.id, ATTEMPTS.c.facts).where(ATTEMPTS.c.spent.is_(None), ATTEMPTS.c.free.is_(False))
    for row in connection.execute(unsure.where(ATTEMPTS.c.sent.is_not(None), ATTEMPTS.c.state != "sent")).all():
        money = json.loads(row.facts).get("money") or {}
        if money.get("spent") is not None:
            connection.execute(AT_MOST.insert().values(attempt=row.id, spent=money["spent"]))


def _its_own_name(connection: Connection) -> None:
    """A name that no other journal has."""
    IDENTITY.create(connection)
    connection.execute(IDENTITY.insert().values(id=uuid.uuid4().hex))


MIGRATIONS: Final[Sequence[Migration]] = (
    ("owners, attempts, sessions, accounts, deliveries", _first),
    ("indices for lists, upkeep", _lists_and_upkeep),
    ("what is owed, what was taken at most", _no_walks),
    ("what tells it from other journals", _its_own_name),
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
    if connection.dialect.name == "postgresql":  # whoever comes second waits here, and has nothing left to do
        connection.exec_driver_sql("LOCK TABLE migrations IN EXCLUSIVE MODE")
        if version(connection) > applied:
            return
    name, change = MIGRATIONS[applied]
    change(connection)
    connection.execute(MIGRATED.insert().values(number=applied + 1, name=name, applied=now))

"""The journal's tables, and how older journals become this one.

Migrations are append-only: each is applied once, in order, together with its record, in one transaction. A landed
migration is never changed; the tests keep a journal of every schema there was. So a migration is written as SQL of its
own and never names the tables below: they are those of today, and a column that is added to them later must not be
made by an older migration, too.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
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
    Column("kind", String(16), nullable=False),
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
    Column("money_text", Text, nullable=False),
    Column("facts", Text, nullable=False),
)
"""`money_text` is what `facts` say of money, as JSON; empty where they say nothing: facts are long."""

SESSIONS: Final = Table(
    "sessions",
    METADATA,
    Column("session_id", String(512), primary_key=True),
    Column("head", String(64), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("point", String(64), nullable=False),
)
"""Where a session stands: the step that claimed it last (`head`), who claimed it, and the step it stood at before.

`owner` and `point` are empty where a program claimed it that did not record them yet.
"""

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
)
"""Finished paid attempts that no delivered export shows yet; found here, not by walking all steps there ever were."""

AT_MOST: Final = Table(
    "at_most",
    METADATA,
    Column("attempt", _Number, ForeignKey("attempts.id"), primary_key=True),
    Column("spent", Float, nullable=False),
)
"""What attempts took at most, where it is not known exactly (`attempts.spent`): limits count it, and facts are long."""

UNCHARGED: Final = Table(
    "uncharged",
    METADATA,
    Column("attempt", _Number, primary_key=True, autoincrement=False),
    Column("account", String(128), nullable=False),
    Column("held", Float, nullable=False),
    Column("sent", Float, nullable=False),
    Column("alone", Boolean, nullable=False),
)
"""Ended paid attempts whose charge was not seen yet: the balance before (`held`), and when they were sent."""

JOBS: Final = Table(
    "jobs",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("attempt", _Number, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("short", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("delivered", Boolean, nullable=False),
    Column("made", Boolean, nullable=False),
    Column("owes", Boolean, nullable=False),
    Column("spent", Float),
    Column("error", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("words", Text, nullable=False),
)
"""A message as lists show it: what they need of its newest attempt's facts, which are long. See `_journal.job_rows`."""

UPLOADED: Final = Table(
    "uploaded",
    METADATA,
    Column("name", String(255), primary_key=True),
    Column("key", String(64), primary_key=True),
)
"""The upload steps that sent a kept file, found by the file's name."""

NOTED: Final = Table("noted", METADATA, Column("attempt", _Number, primary_key=True))
"""One row: up to this attempt, every one that `jobs` and `uploaded` should know was looked at."""

IDENTITY: Final = Table("identity", METADATA, Column("id", String(32), primary_key=True))
"""One row: what tells this journal from every other one, so that machines can see whether they share it."""

Migration = tuple[str, Callable[[Connection], None]]


def _execute_statements(connection: Connection, *statements: str) -> None:
    """Carry out statements; `{big}` and `{serial}` stand for 64-bit numbers and for row numbers of that size."""
    sqlite = connection.dialect.name == "sqlite"
    names = {"big": "INTEGER", "serial": "INTEGER"} if sqlite else {"big": "BIGINT", "serial": "BIGSERIAL"}
    for statement in statements:
        connection.exec_driver_sql(statement.format(**names))


def _make_table(name: str, *parts: str) -> str:
    """The statement that creates a table, letter by letter as the first journals have it."""
    return f"CREATE TABLE {name} (\n\t" + ", \n\t".join(parts) + "\n)"


_OF_ATTEMPTS: Final = "FOREIGN KEY(attempt) REFERENCES attempts (id)"

_FIRST: Final = (
    _make_table(
        "owners",
        "id VARCHAR(64) NOT NULL",
        "host VARCHAR(128) NOT NULL",
        "pid INTEGER NOT NULL",
        "lock TEXT NOT NULL",
        "lease_until FLOAT NOT NULL",
        "PRIMARY KEY (id)",
    ),
    _make_table(
        "attempts",
        "id {serial} NOT NULL",
        '"key" VARCHAR(64) NOT NULL',
        "number INTEGER NOT NULL",
        "state VARCHAR(16) NOT NULL",
        "epoch INTEGER NOT NULL",
        "owner VARCHAR(64) NOT NULL",
        "profile VARCHAR(80) NOT NULL",
        '"before" VARCHAR(64) NOT NULL',
        "account VARCHAR(128) NOT NULL",
        "session_id VARCHAR(512) NOT NULL",
        "task_id VARCHAR(512) NOT NULL",
        "run VARCHAR(128) NOT NULL",
        "free BOOLEAN NOT NULL",
        "hidden BOOLEAN NOT NULL",
        "created FLOAT NOT NULL",
        "changed FLOAT NOT NULL",
        "sent FLOAT",
        "spent FLOAT",
        "facts TEXT NOT NULL",
        "PRIMARY KEY (id)",
    ),
    'CREATE UNIQUE INDEX attempts_key_number ON attempts ("key", number)',
    "CREATE INDEX attempts_account_state ON attempts (account, state)",
    "CREATE INDEX attempts_profile_sent ON attempts (profile, sent)",
    'CREATE INDEX attempts_before ON attempts ("before")',
    "CREATE INDEX attempts_changed ON attempts (changed)",
    _make_table(
        "sessions", "session_id VARCHAR(512) NOT NULL", "head VARCHAR(64) NOT NULL", "PRIMARY KEY (session_id)"
    ),
    _make_table("accounts", "account VARCHAR(128) NOT NULL", "admissions {big} NOT NULL", "PRIMARY KEY (account)"),
    _make_table(
        "deliveries",
        "id {serial} NOT NULL",
        "attempt {big} NOT NULL",
        "host VARCHAR(128) NOT NULL",
        "path TEXT NOT NULL",
        "delivered FLOAT NOT NULL",
        "facts TEXT NOT NULL",
        "PRIMARY KEY (id)",
        _OF_ATTEMPTS,
    ),
    "CREATE INDEX deliveries_attempt ON deliveries (attempt)",
)


def _create_first_tables(connection: Connection) -> None:
    """Everything there was at the beginning."""
    _execute_statements(connection, *_FIRST)


def _lists_and_upkeep(connection: Connection) -> None:
    """Indices for the lists of jobs and charges, and what upkeep remembers."""
    _execute_statements(
        connection,
        "CREATE INDEX attempts_created ON attempts (created)",
        f"CREATE INDEX attempts_profile_kind ON attempts (profile, {_newest_of(connection, _CODE)})",
        _make_table("tidied", '"key" VARCHAR(64) NOT NULL', 'PRIMARY KEY ("key")'),
    )


_CODE: Final = 'substr("key", 1, 4)'


def _newest_of(connection: Connection, kind: str) -> str:
    """The kind, and then the newest: in SQLite, the number of a row is part of every index."""
    return kind if connection.dialect.name == "sqlite" else f"{kind}, id"


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
_UNSURE: Final = """
SELECT id, facts FROM attempts WHERE spent IS NULL AND NOT free AND sent IS NOT NULL AND state <> 'sent'
"""


def _no_walks(connection: Connection) -> None:
    """What is owed and what was taken at most as rows of their own, and an index for charges that are known."""
    _execute_statements(
        connection,
        f"CREATE INDEX attempts_charged ON attempts (profile, {_newest_of(connection, _CODE)}) WHERE spent > 0",
        _make_table(
            "owed",
            "attempt {big} NOT NULL",
            '"key" VARCHAR(64) NOT NULL',
            "account VARCHAR(128) NOT NULL",
            "PRIMARY KEY (attempt)",
            _OF_ATTEMPTS,
        ),
        'CREATE INDEX owed_key ON owed ("key")',
        "CREATE INDEX owed_account ON owed (account)",
        _make_table("at_most", "attempt {big} NOT NULL", "spent FLOAT NOT NULL", "PRIMARY KEY (attempt)", _OF_ATTEMPTS),
        _OWED_BY_NOW,
    )
    for row in connection.exec_driver_sql(_UNSURE).all():
        money = json.loads(row.facts).get("money") or {}
        if money.get("spent") is not None:
            values = {"attempt": row.id, "spent": money["spent"]}
            connection.execute(sa.text("INSERT INTO at_most (attempt, spent) VALUES (:attempt, :spent)"), values)


def _its_own_name(connection: Connection) -> None:
    """A name that no other journal has."""
    _execute_statements(connection, _make_table("identity", "id VARCHAR(32) NOT NULL", "PRIMARY KEY (id)"))
    connection.execute(sa.text("INSERT INTO identity (id) VALUES (:id)"), {"id": uuid.uuid4().hex})


_NAME_KIND: Final[Mapping[str, Sequence[str]]] = {
    "sqlite": (
        "UPDATE attempts SET kind = substr(\"key\", 1, instr(\"key\" || '-', '-') - 1)",
        "CREATE TRIGGER attempts_kind AFTER INSERT ON attempts WHEN new.kind = '' BEGIN UPDATE attempts"
        " SET kind = substr(\"key\", 1, instr(\"key\" || '-', '-') - 1) WHERE id = new.id; END",
    ),
    "postgresql": (
        "UPDATE attempts SET kind = split_part(\"key\", '-', 1)",
        "CREATE OR REPLACE FUNCTION attempts_kind() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.kind = '' THEN"
        " new.kind := split_part(new.\"key\", '-', 1); END IF; RETURN new; END $$",
        "CREATE TRIGGER attempts_kind BEFORE INSERT ON attempts FOR EACH ROW EXECUTE PROCEDURE attempts_kind()",
    ),
}
"""Whole names in the rows there are, and in those that an older program, still at work beside this one, will add."""

_SOME_PAID: Final = """
SELECT id, facts FROM attempts
WHERE id > :last AND sent IS NOT NULL AND kind IN ('generate', 'edit', 'chat') ORDER BY id LIMIT 500
"""


def _whole_kinds_and_owned_claims(connection: Connection) -> None:
    """Kinds as whole names, money as a column, claims with their owner and point, charges that come late."""
    _execute_statements(
        connection,
        "DROP INDEX attempts_profile_kind",
        "DROP INDEX attempts_charged",
        "ALTER TABLE attempts ADD COLUMN kind VARCHAR(16) NOT NULL DEFAULT ''",
        "ALTER TABLE attempts ADD COLUMN money_text TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE sessions ADD COLUMN owner VARCHAR(64) NOT NULL DEFAULT ''",
        "ALTER TABLE sessions ADD COLUMN point VARCHAR(64) NOT NULL DEFAULT ''",
        *_NAME_KIND[connection.dialect.name],
        f"CREATE INDEX attempts_profile_kind ON attempts (profile, {_newest_of(connection, 'kind')})",
        f"CREATE INDEX attempts_charged ON attempts (profile, {_newest_of(connection, 'kind')}) WHERE spent > 0",
        "CREATE INDEX attempts_run ON attempts (run)",
        "CREATE INDEX sessions_head ON sessions (head)",
        _make_table(
            "uncharged",
            "attempt {big} NOT NULL",
            "account VARCHAR(128) NOT NULL",
            "held FLOAT NOT NULL",
            "sent FLOAT NOT NULL",
            "alone BOOLEAN NOT NULL",
            "PRIMARY KEY (attempt)",
        ),
        "CREATE INDEX uncharged_account ON uncharged (account)",
    )
    _execute_statements(connection, _GIVE_BACK)
    _copy_money(connection)


_GIVE_BACK: Final = """
UPDATE sessions SET head = (SELECT "before" FROM attempts WHERE "key" = head ORDER BY number DESC LIMIT 1)
WHERE (SELECT state FROM attempts WHERE "key" = head ORDER BY number DESC LIMIT 1) IN ('refused', 'failed', 'lost')
"""
"""Attempts that made nothing no longer hold their session."""


def _copy_money(connection: Connection) -> None:
    """What facts say of money into its column; some rows at a time, since facts are long."""
    last = 0
    while rows := connection.execute(sa.text(_SOME_PAID), {"last": last}).all():
        known = [{"id": row.id, "money": money} for row in rows if (money := _money_in(row.facts))]
        if known:
            connection.execute(sa.text("UPDATE attempts SET money_text = :money WHERE id = :id"), known)
        last = rows[-1].id


def _money_in(facts: str) -> str:
    """What facts say of money, as JSON; empty where they say nothing, or are damaged: that is told when it is read."""
    try:
        told = json.loads(facts)
    except ValueError:
        return ""
    money = told.get("money") if isinstance(told, dict) else None
    return json.dumps(money, ensure_ascii=True) if money else ""


_LISTS: Final = (
    'CREATE TABLE jobs ("key" VARCHAR(64) NOT NULL PRIMARY KEY, attempt {big} NOT NULL, epoch INTEGER NOT NULL,'
    " short VARCHAR(16) NOT NULL, state VARCHAR(16) NOT NULL, hidden BOOLEAN NOT NULL, created FLOAT NOT NULL,"
    " listed BOOLEAN NOT NULL, delivered BOOLEAN NOT NULL, made BOOLEAN NOT NULL, owes BOOLEAN NOT NULL, spent FLOAT,"
    " error TEXT NOT NULL, text TEXT NOT NULL, words TEXT NOT NULL)",
    "CREATE INDEX jobs_short ON jobs (short)",
    "CREATE INDEX jobs_created ON jobs (created, attempt)",
    "CREATE INDEX jobs_owes ON jobs (created, attempt) WHERE owes",
    'CREATE TABLE uploaded (name VARCHAR(255) NOT NULL, "key" VARCHAR(64) NOT NULL, PRIMARY KEY (name, "key"))',
    "CREATE TABLE noted (attempt {big} NOT NULL PRIMARY KEY)",
    "INSERT INTO noted (attempt) VALUES (0)",
    "CREATE INDEX attempts_session ON attempts (session_id)",
)


def _rows_for_lists(connection: Connection) -> None:
    """What lists of jobs show, as rows of their own. They are filled when a list is read first: that takes a while."""
    _execute_statements(connection, *_LISTS)


MIGRATIONS: Final[Sequence[Migration]] = (
    ("owners, attempts, sessions, accounts, deliveries", _create_first_tables),
    ("indices for lists, upkeep", _lists_and_upkeep),
    ("what is owed, what was taken at most", _no_walks),
    ("what tells it from other journals", _its_own_name),
    ("whole kinds, money, owners of claims, late charges", _whole_kinds_and_owned_claims),
    ("what lists of jobs show", _rows_for_lists),
)


def read_schema_version(connection: Connection) -> int:
    """The number of the last migration that was applied; 0 for an empty database."""
    if not sa.inspect(connection).has_table(MIGRATED.name):
        return 0
    newest = connection.execute(sa.select(sa.func.max(MIGRATED.c.number))).scalar()
    return int(newest or 0)


def migrate(connection: Connection, now: float, newest: int | None = None) -> int:
    """Apply the next missing migration in the transaction of `connection`; to an empty database all up to `newest`.

    The number of the last migration that is applied now.
    """
    applied = read_schema_version(connection)
    if applied >= len(MIGRATIONS):
        return applied
    if applied == 0:
        MIGRATED.create(connection, checkfirst=True)
    if connection.dialect.name == "postgresql":  # the second process waits here, and finds everything done
        connection.exec_driver_sql("LOCK TABLE migrations IN EXCLUSIVE MODE")
        meanwhile = read_schema_version(connection)
        if meanwhile > applied:
            return meanwhile
    last = applied + 1 if applied else newest or len(MIGRATIONS)
    for number in range(applied, last):
        name, change = MIGRATIONS[number]
        change(connection)
        connection.execute(MIGRATED.insert().values(number=number + 1, name=name, applied=now))
    return last

"""What upkeep must keep, read from the journal in portions: in short transactions that nobody waits for.

Reading takes a while, and steps go on meanwhile: from open to done, where a paid one is owed, to delivered. Each is on
record before the one before it ends (a delivery before its export is done, and only that takes a step from `owed`).
So who reads what is open first, then what is owed, then what was delivered, meets every step that was needed when he
began, wherever it goes; what was begun since has a greater number, and is read at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from ._attempts import OPEN, facts_of
from ._config import LOCAL
from ._database import Database
from ._queries import kinds, portions
from ._schema import ATTEMPTS, DELIVERIES, OWED, TIDIED
from ._steps import PAID, State

_T = TypeVar("_T")

PORTION: Final = 5_000
"""Rows that are looked at in one transaction."""

_OPEN: Final = sa.select(ATTEMPTS.c.key, ATTEMPTS.c.state, ATTEMPTS.c.owner).where(
    ATTEMPTS.c.account == sa.bindparam("known"), ATTEMPTS.c.state.in_(OPEN)
)
_FIRST: Final = sa.select(sa.func.min(ATTEMPTS.c.account))
_NEXT: Final = _FIRST.where(ATTEMPTS.c.account > sa.bindparam("known"))


@dataclass(frozen=True)
class Opened:
    """The names of uploads behind open steps, and the newest attempt's number at that moment."""

    names: set[str]
    newest: int


def open_steps(connection: Connection) -> list[Any]:
    """Key, state and owner of all attempts whose outcome is owed: account by account, as the index has them."""
    found: list[Any] = []
    account = connection.execute(_FIRST).scalar()
    while account is not None:
        found += connection.execute(_OPEN, {"known": account}).all()
        account = connection.execute(_NEXT, {"known": account}).scalar()
    return found


def opened(database: Database) -> Opened:
    """What open steps need now."""
    with database.reading() as connection:
        newest = connection.execute(sa.select(sa.func.max(ATTEMPTS.c.id))).scalar()
        return Opened(names_behind(connection, (row.key for row in open_steps(connection))), int(newest or 0))


def begun_since(database: Database, before: Opened) -> set[str]:
    """The names of uploads behind steps that are open now, or that were begun since, however far they came."""
    with database.reading() as connection:
        later = connection.execute(sa.select(ATTEMPTS.c.key).where(ATTEMPTS.c.id > before.newest)).scalars()
        return names_behind(connection, [*later, *(row.key for row in open_steps(connection))])


def names_needed(database: Database, horizon: float) -> Iterator[set[str]]:
    """The names of uploads behind all that is not delivered, or was after the horizon; a portion at a time."""

    def names(connection: Connection, rows: Sequence[Row[Any]]) -> set[str]:
        return names_behind(connection, (row[0] for row in rows))

    def names_of_unshown(connection: Connection, rows: Sequence[Row[Any]]) -> set[str]:
        return names_behind(connection, _unshown(connection, {row.key for row in rows}))

    yield from _walk(database, OWED.c.attempt, sa.select(OWED.c.key), names)
    for kind in sorted(PAID):  # of the built-in backend, which owes nothing: its rows alone have no other record
        free = sa.select(ATTEMPTS.c.key).where(ATTEMPTS.c.free, ATTEMPTS.c.state == State.DONE.value)
        yield from _walk(database, ATTEMPTS.c.id, free, names_of_unshown, ATTEMPTS.c.profile == LOCAL, kinds(kind))
    late = sa.select(ATTEMPTS.c.before).join(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
    yield from _walk(database, DELIVERIES.c.id, late.where(DELIVERIES.c.delivered >= horizon), names)


def exports_due(database: Database, horizon: float) -> Iterator[list[tuple[str, str]]]:
    """Exports last delivered before the horizon that are not tidied, with the step they show, unless it is needed.

    A portion at a time, in the order of their deliveries.
    """
    due = (
        sa.select(ATTEMPTS.c.key, ATTEMPTS.c.before)
        .join(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
        .outerjoin(TIDIED, TIDIED.c.key == ATTEMPTS.c.key)
        .where(DELIVERIES.c.delivered < horizon, TIDIED.c.key.is_(None))
    )

    def read(connection: Connection, rows: Sequence[Row[Any]]) -> list[tuple[str, str]]:
        kept = needed(connection, {row.before for row in rows}, horizon)
        return [key for key in dict.fromkeys((row.key, row.before) for row in rows) if key[1] not in kept]

    return _walk(database, DELIVERIES.c.id, due.order_by(DELIVERIES.c.id), read)


def needed(connection: Connection, keys: Iterable[str], horizon: float) -> set[str]:
    """Those of these steps that are open or were delivered after the horizon, or one after them."""
    wanted = sa.or_(ATTEMPTS.c.state.in_(OPEN), DELIVERIES.c.delivered >= horizon)
    keys, found = set(keys), set[str]()
    for some in portions(sorted(keys)):
        own = sa.select(ATTEMPTS.c.key).outerjoin(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
        found.update(connection.execute(own.where(ATTEMPTS.c.key.in_(some), wanted)).scalars())
    return found | _before_any(connection, keys - found, wanted)


def names_behind(connection: Connection, keys: Iterable[str]) -> set[str]:
    """The names of files that were sent by these steps and all before them, in any of their attempts."""
    found: set[str] = set()
    sent = sa.case((kinds("upload"), ATTEMPTS.c.facts), else_="").label("sent")
    for row in _steps_back(connection, keys, sent):
        if row.sent:
            found.update(str(entry[1]) for entry in facts_of(row.sent).get("media", []))
    return found


def before_each(connection: Connection, keys: Iterable[str]) -> dict[str, str]:
    """The step before each of these and of all that lie before them."""
    return {row.key: row.before for row in _steps_back(connection, keys)}


def _steps_back(connection: Connection, keys: Iterable[str], *more: sa.ColumnElement[Any]) -> Iterator[Row[Any]]:
    """The attempts of these steps and of all before them, without their facts, which are long."""
    ahead, seen = set(keys), {""}
    while ahead := ahead - seen:
        seen |= ahead
        further = set()
        for some in portions(sorted(ahead)):
            query = sa.select(ATTEMPTS.c.key, ATTEMPTS.c.before, *more).where(ATTEMPTS.c.key.in_(some))
            for row in connection.execute(query):
                further.add(row.before)
                yield row
        ahead = further


def _unshown(connection: Connection, keys: set[str]) -> set[str]:
    """Those of these steps that no finished export shows, directly or through a later step."""
    return keys - _before_any(connection, keys, sa.and_(kinds("export"), ATTEMPTS.c.state == State.DONE.value))


def _before_any(connection: Connection, keys: Iterable[str], wanted: sa.ColumnElement[bool]) -> set[str]:
    """Those of these steps that some wanted attempt, or delivery, comes after.

    One generation after the other, all side by side: to a recursive query PostgreSQL reads the whole table.
    """
    found: set[str] = set()
    seen: dict[str, set[str]] = {}
    ahead = {key: {key} for key in keys}  # a step, and which of them it comes after
    while ahead:
        after: dict[str, set[str]] = {}
        for some in portions(sorted(ahead)):
            query = sa.select(ATTEMPTS.c.before, ATTEMPTS.c.key, sa.func.coalesce(wanted, sa.false()).label("wanted"))
            query = query.outerjoin(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
            for row in connection.execute(query.where(ATTEMPTS.c.before.in_(some))):
                after.setdefault(row.key, set()).update(ahead[row.before])
                if row.wanted:
                    found |= ahead[row.before]
        ahead = {key: new for key, these in after.items() if (new := these - found - seen.get(key, set()))}
        for key, new in ahead.items():
            seen.setdefault(key, set()).update(new)
    return found


def _walk(
    database: Database,
    number: sa.Column[Any],
    query: sa.Select[Any],
    read: Callable[[Connection, Sequence[Row[Any]]], _T],
    *among: sa.ColumnElement[bool],
) -> Iterator[_T]:
    """What `read` makes of the rows that `query` finds; PORTION of the table's rows (or of those `among`) at a time."""
    last = 0
    while True:
        numbers = sa.select(number).where(number > last, *among).order_by(number).limit(PORTION).subquery()
        with database.reading() as connection:
            end = connection.execute(sa.select(sa.func.max(numbers.c[0]))).scalar()
            if end is None:
                return
            found = read(connection, connection.execute(query.where(number > last, number <= end, *among)).all())
        yield found
        last = int(end)

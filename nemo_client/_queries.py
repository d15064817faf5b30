"""What is read from the journal beside single attempts: what is out, what was paid, what is owed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from ._attempts import Attempt, attempt_of
from ._schema import ATTEMPTS, DELIVERIES, KIND_CODE
from ._steps import PAID, State, kind_of

_AT_ONCE: Final = 500


def kinds(*names: str) -> sa.ColumnElement[bool]:
    """Attempts of these kinds, in the form that the index knows."""
    return KIND_CODE.in_(sorted(name[:4] for name in names))


def open_paid(connection: Connection, account: str) -> list[Attempt]:
    """An account's paid attempts that are out."""
    query = sa.select(ATTEMPTS).where(
        ATTEMPTS.c.account == account, ATTEMPTS.c.state.in_((State.SENT.value, State.UNKNOWN.value))
    )
    return [each for each in map(attempt_of, connection.execute(query)) if each.paid]


def paid_since(connection: Connection, profile: str, moment: float) -> list[Attempt]:
    """A profile's paid attempts that were sent, and not refused, after `moment`."""
    unsent = (State.PLANNED.value, State.REFUSED.value)
    query = sa.select(ATTEMPTS).where(
        ATTEMPTS.c.profile == profile, ATTEMPTS.c.sent > moment, ATTEMPTS.c.state.not_in(unsent), kinds(*PAID)
    )
    return [each for each in map(attempt_of, connection.execute(query)) if each.paid]


def charges(connection: Connection, profile: str, kind: str, newest: int) -> list[float]:
    """What the newest finished steps of a kind took, in credits, where that is known for sure."""
    query = (
        sa.select(ATTEMPTS.c.spent)
        .where(ATTEMPTS.c.profile == profile, kinds(kind), ATTEMPTS.c.spent > 0)
        .order_by(ATTEMPTS.c.id.desc())
        .limit(newest)
    )
    return [float(spent) for (spent,) in connection.execute(query)]


def seconds(connection: Connection, profile: str, kind: str, newest: int) -> list[float]:
    """How long the newest finished steps of a kind took, from the wire to their end."""
    query = (
        sa.select(ATTEMPTS.c.changed - ATTEMPTS.c.sent)
        .where(ATTEMPTS.c.profile == profile, kinds(kind), ATTEMPTS.c.state == State.DONE.value)
        .where(ATTEMPTS.c.sent.is_not(None))
        .order_by(ATTEMPTS.c.id.desc())
        .limit(newest)
    )
    return [float(taken) for (taken,) in connection.execute(query)]


def undelivered(connection: Connection, account: str) -> list[Attempt]:
    """Finished paid steps of an account that no delivered export shows yet.

    The steps are walked without their facts, which are long; only what is owed is read whole.
    """
    done = (ATTEMPTS.c.account == account, ATTEMPTS.c.state == State.DONE.value)
    light = sa.select(ATTEMPTS.c.id, ATTEMPTS.c.key, ATTEMPTS.c.before, ATTEMPTS.c.free).where(*done)
    rows = connection.execute(light.order_by(ATTEMPTS.c.id)).all()
    before = {row.key: row.before for row in rows}
    shown = steps_behind((row.before for row in rows if kind_of(row.key) == "export"), before)
    owed = [row.id for row in rows if kind_of(row.key) in PAID and not row.free and row.key not in shown]
    found: list[Attempt] = []
    for start in range(0, len(owed), _AT_ONCE):
        some = sa.select(ATTEMPTS).where(ATTEMPTS.c.id.in_(owed[start : start + _AT_ONCE])).order_by(ATTEMPTS.c.id)
        found += map(attempt_of, connection.execute(some))
    return found


def steps_behind(keys: Iterable[str], before: Mapping[str, str]) -> set[str]:
    """These steps and all that lie before them; `before` names each step's predecessor."""
    found: set[str] = set()
    for key in keys:
        while key and key not in found:
            found.add(key)
            key = before.get(key, "")
    return found


def exports_behind(connection: Connection, keys: Sequence[str]) -> dict[str, list[Attempt]]:
    """The exports behind each of these steps, newest first."""
    found: dict[str, list[Attempt]] = {key: [] for key in keys}
    for some in _portions(keys):
        query = sa.select(ATTEMPTS).where(ATTEMPTS.c.before.in_(some), kinds("export"))
        for export in map(attempt_of, connection.execute(query.order_by(ATTEMPTS.c.changed.desc()))):
            found[export.before].append(export)
    return found


def newest_files(connection: Connection, keys: Sequence[str], host: str) -> dict[str, str]:
    """Where the newest file that was delivered on `host` of each of these exports lies, as far as there is one."""
    found: dict[str, str] = {}
    for some in _portions(keys):
        query = (
            sa.select(ATTEMPTS.c.key, DELIVERIES.c.path)
            .join(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
            .where(ATTEMPTS.c.key.in_(some), DELIVERIES.c.host == host)
            .order_by(DELIVERIES.c.id)
        )
        found.update((row.key, row.path) for row in connection.execute(query))
    return found


def media_behind(connection: Connection, keys: Sequence[str]) -> dict[str, list[list[str]]]:
    """(fingerprint, name, MIME type) of what was uploaded before each of these steps, the nearest upload first.

    All steps go back side by side, without their facts, which are long.
    """
    before: dict[str, str] = {}
    ahead = set(keys)
    while ahead:
        for some in _portions(sorted(ahead)):
            query = sa.select(ATTEMPTS.c.key, ATTEMPTS.c.before).where(ATTEMPTS.c.key.in_(some))
            before.update((row.key, row.before) for row in connection.execute(query.order_by(ATTEMPTS.c.number)))
        ahead = {before[key] for key in ahead if before.get(key)} - before.keys()
    media: dict[str, Any] = {}
    for some in _portions([key for key in before if kind_of(key) == "upload"]):
        query = sa.select(ATTEMPTS.c.key, ATTEMPTS.c.facts).where(ATTEMPTS.c.key.in_(some))
        rows = connection.execute(query.order_by(ATTEMPTS.c.number))
        media.update((row.key, json.loads(row.facts).get("media", [])) for row in rows)
    return {key: [each for step in _back(key, before) for each in media.get(step, ())] for key in keys}


def _back(key: str, before: Mapping[str, str]) -> Iterator[str]:
    seen: set[str] = set()
    while key and key not in seen:
        yield key
        seen.add(key)
        key = before.get(key, "")


def _portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at once as a query may name."""
    return (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))

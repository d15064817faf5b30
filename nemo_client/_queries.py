"""What is read from the journal beside single attempts: what is out, what was paid, what is owed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from ._attempts import Attempt, attempt_of
from ._schema import ATTEMPTS, KIND_CODE
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

"""Queries over several attempts: those in flight, what was paid, what is owed, claims of sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar, overload

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from .records import (
    DAY_SECONDS,
    IN_FLIGHT_STATES,
    OPEN,
    UNSENT_STATES,
    Attempt,
    Delivery,
    Facts,
    attempt_from_row,
    dump_facts,
    load_facts,
)
from .schema import ACCOUNTS, AT_MOST, ATTEMPTS, DELIVERIES, IDENTITY, OWED, OWNERS, SESSIONS, UNCHARGED
from .steps import PAID, State, parse_kind

_T = TypeVar("_T")

_AT_ONCE: Final = 500
_NOTHING: Final = sa.literal_column("0", sa.Float)
"""Written out: as a parameter, the index of known charges could not be used."""


def where_kind_in(*names: str) -> sa.ColumnElement[bool]:
    """Attempts of these kinds."""
    return ATTEMPTS.c.kind.in_(sorted(names))


_LIGHT: Final = (
    sa.select(
        ATTEMPTS.c.id, ATTEMPTS.c.key, ATTEMPTS.c.number, ATTEMPTS.c.state, ATTEMPTS.c.profile, ATTEMPTS.c.account,
        ATTEMPTS.c.run, ATTEMPTS.c.sent, sa.func.coalesce(ATTEMPTS.c.spent, AT_MOST.c.spent),
    )
    .outerjoin_from(ATTEMPTS, AT_MOST, AT_MOST.c.attempt == ATTEMPTS.c.id)
    .where(ATTEMPTS.c.free.is_(False), where_kind_in(*PAID))
)  # fmt: skip


# Made once: each paid message asks both, and building such a query costs as much as running it.
_OPEN_PAID: Final = _LIGHT.where(ATTEMPTS.c.account == sa.bindparam("account"), ATTEMPTS.c.state.in_(IN_FLIGHT_STATES))
_PAID_SINCE: Final = _LIGHT.where(
    ATTEMPTS.c.profile == sa.bindparam("profile"), ATTEMPTS.c.sent > sa.bindparam("moment"),
    ATTEMPTS.c.state.not_in(UNSENT_STATES),
)  # fmt: skip


_MADE_IN: Final = (
    sa.select(ATTEMPTS.c.key, ATTEMPTS.c.spent, AT_MOST.c.spent)
    .outerjoin_from(ATTEMPTS, AT_MOST, AT_MOST.c.attempt == ATTEMPTS.c.id)
    .where(
        ATTEMPTS.c.free.is_(False), where_kind_in(*PAID), ATTEMPTS.c.state == State.DONE.value,
        ATTEMPTS.c.profile == sa.bindparam("profile"), ATTEMPTS.c.sent > sa.bindparam("moment"),
        ATTEMPTS.c.run == sa.bindparam("run"),
    )
    .order_by(ATTEMPTS.c.id)
)  # fmt: skip


_QUEUE: Final = (
    ACCOUNTS.update().where(ACCOUNTS.c.account == sa.bindparam("known")).values(admissions=ACCOUNTS.c.admissions + 1)
)
_FIRST: Final = sa.text("INSERT INTO accounts (account, admissions) VALUES (:known, 0) ON CONFLICT DO NOTHING")


def select_identity(connection: Connection) -> str:
    """What tells this journal from every other one."""
    return str(connection.execute(sa.select(IDENTITY.c.id)).scalar_one())


def lock_account(connection: Connection, name: str) -> None:
    """One admission at a time for an account (or a profile): its row is locked until the transaction ends."""
    while connection.execute(_QUEUE, {"known": name}).rowcount == 0:
        connection.execute(_FIRST, {"known": name})  # waits for another transaction that inserts it, too


_MADE_NOTHING: Final = (State.REFUSED.value, State.FAILED.value, State.LOST.value)

Lives = Callable[[str], bool]
"""Whether an owner lives, by its id."""


# Made once, as those above: one video asks each of them, some several times.
_SESSION: Final = sa.select(SESSIONS).where(SESSIONS.c.session_id == sa.bindparam("session_id"))
_LOCKED_SESSION: Final = _SESSION.with_for_update()
_ADD_SESSION: Final = SESSIONS.insert()
_ADD_OWED: Final = OWED.insert()
_ADD_DELIVERY: Final = DELIVERIES.insert()
_UNCHARGED: Final = (
    sa.select(UNCHARGED).where(UNCHARGED.c.account == sa.bindparam("account")).order_by(UNCHARGED.c.sent)
)
_LATEST: Final = (
    sa.select(ATTEMPTS).where(ATTEMPTS.c.key == sa.bindparam("key")).order_by(ATTEMPTS.c.number.desc()).limit(1)
)
_LATEST_IN_SESSION: Final = _LATEST.where(ATTEMPTS.c.session_id == sa.bindparam("session_id"))
_IS_JOINED: Final = (
    sa.select(ATTEMPTS.c.id)
    .where(
        ATTEMPTS.c.account + "" == sa.bindparam("account"),  # no index of it: what was written since is less
        ATTEMPTS.c.free.is_(False), where_kind_in(*PAID), ATTEMPTS.c.key != sa.bindparam("key"),
        ATTEMPTS.c.state.not_in(UNSENT_STATES),
        sa.or_(
            sa.and_(ATTEMPTS.c.changed >= sa.bindparam("moment"), ATTEMPTS.c.sent >= sa.bindparam("moment")),
            ATTEMPTS.c.id > sa.bindparam("attempt"),
        ),
    )
    .limit(1)
)  # fmt: skip
_LAST_SENT: Final = sa.select(sa.func.max(ATTEMPTS.c.sent)).where(
    ATTEMPTS.c.session_id == sa.bindparam("session_id"), where_kind_in(*PAID),
    ATTEMPTS.c.id != sa.bindparam("attempt"),
)  # fmt: skip
_CHARGES: Final = (
    sa.select(ATTEMPTS.c.spent)
    .where(
        ATTEMPTS.c.profile == sa.bindparam("profile"), ATTEMPTS.c.kind == sa.bindparam("kind"),
        ATTEMPTS.c.spent > _NOTHING,
    )
    .order_by(ATTEMPTS.c.id.desc())
    .limit(sa.bindparam("newest"))
)  # fmt: skip
_DURATIONS: Final = (
    sa.select(ATTEMPTS.c.changed - ATTEMPTS.c.sent)
    .where(
        ATTEMPTS.c.profile == sa.bindparam("profile"), ATTEMPTS.c.kind == sa.bindparam("kind"),
        ATTEMPTS.c.state == State.DONE.value,
        ATTEMPTS.c.sent.is_not(None), ATTEMPTS.c.changed >= ATTEMPTS.c.sent,  # by a clock that was not set back
    )
    .order_by(ATTEMPTS.c.id.desc())
    .limit(sa.bindparam("newest"))
)  # fmt: skip
_TAKEN_BESIDE: Final = _LIGHT.where(
    ATTEMPTS.c.account + "" == sa.bindparam("account"),  # by the time alone: all that an account ever had is more
    ATTEMPTS.c.id != sa.bindparam("attempt"),
    ATTEMPTS.c.changed >= sa.bindparam("moment"),
    ATTEMPTS.c.state.in_((State.DONE.value, State.FAILED.value, State.LOST.value)),
)  # fmt: skip


def _make_owed_behind() -> sa.Delete:
    behind = sa.select(sa.bindparam("key", type_=sa.String).label("key")).cte("behind", recursive=True)
    step = sa.select(ATTEMPTS.c.before).join(behind, ATTEMPTS.c.key == behind.c.key)
    ours = (ATTEMPTS.c.account == sa.bindparam("owing"), ATTEMPTS.c.state == State.DONE.value)
    behind = behind.union(step.where(*ours))
    owed = OWED.delete().where(OWED.c.account == sa.bindparam("owing"))
    return owed.where(OWED.c.key.in_(sa.select(behind.c.key)))


_OWED_BEHIND: Final = _make_owed_behind()


def select_latest(connection: Connection, key: str, session_id: str | None = None) -> Attempt | None:
    """The newest attempt at a step, or None; with `session_id`, the newest one in that session."""
    if session_id is None:
        row = connection.execute(_LATEST, {"key": key}).first()
    else:
        row = connection.execute(_LATEST_IN_SESSION, {"key": key, "session_id": session_id}).first()
    return None if row is None else attempt_from_row(row)


def claim_session(connection: Connection, session_id: str, at: str, by: str, owner: str, lives: Lives) -> bool:
    """Make `by` the session's head if it stands at `at`; an `IntegrityError` where two make it known.

    A claim that is void counts as given back: then the session stands where it did before it.
    """
    row = _lock_session(connection, session_id)
    mine = {"head": by, "owner": owner}
    if row is None:
        connection.execute(_ADD_SESSION, {"session_id": session_id, "point": at, **mine})
        return True
    if row.head == by:  # the same step, by any process: its attempt says which
        values = mine
    elif at in (row.head, _void_point(connection, row, owner, lives)):
        values = {**mine, "point": at}
    else:
        return False
    same = (SESSIONS.c.session_id == session_id, SESSIONS.c.head == row.head, SESSIONS.c.owner == row.owner)
    return connection.execute(SESSIONS.update().where(*same).values(**values)).rowcount == 1


def _lock_session(connection: Connection, session_id: str) -> Row[Any] | None:
    """A session's row, which no other transaction changes, nor commits a message in, before this one ends."""
    return connection.execute(_LOCKED_SESSION, {"session_id": session_id}).first()


def _void_point(connection: Connection, claim: Row[Any], asker: str, lives: Lives) -> str | None:
    """Where a session stands whose claim is void; None where the claim counts.

    It is void where its owner no longer lives, and its step has no attempt, or one that did not go out. A free step is
    repeated, however far it came.
    """
    light = sa.select(
        ATTEMPTS.c.state, ATTEMPTS.c.owner, ATTEMPTS.c.free, ATTEMPTS.c.before, ATTEMPTS.c.session_id
    )  # fmt: skip
    holder = connection.execute(light.where(ATTEMPTS.c.key == claim.head).order_by(ATTEMPTS.c.number.desc())).first()
    if holder is not None and holder.session_id not in ("", claim.session_id):  # it was carried out elsewhere
        holder = None
    if holder is not None and (holder.state == State.DONE.value if holder.free else holder.state not in UNSENT_STATES):
        return None
    if claim.owner or holder is not None:
        alive = lives(claim.owner or holder.owner)  # type: ignore[union-attr]
    else:  # an older program's: any that lives may hold it
        alive = any(lives(other) for other in connection.execute(sa.select(OWNERS.c.id)).scalars() if other != asker)
    if alive:
        return None
    return claim.point or (holder.before if holder is not None else "") or _newest_done(connection, claim.session_id)


def _newest_done(connection: Connection, session_id: str) -> str:
    """The newest step that was carried out in a session; empty where there is none."""
    done = (ATTEMPTS.c.session_id == session_id, ATTEMPTS.c.state == State.DONE.value, ATTEMPTS.c.kind != "export")
    query = sa.select(ATTEMPTS.c.key).where(*done).order_by(ATTEMPTS.c.id.desc()).limit(1)
    return str(connection.execute(query).scalar() or "")


def select_head(connection: Connection, session_id: str, asker: str, lives: Lives) -> str:
    """The key of the step that a session stands at; empty where it is unclaimed. A void claim does not count."""
    row = connection.execute(_SESSION, {"session_id": session_id}).first()
    return "" if row is None else str(_void_point(connection, row, asker, lives) or row.head)


def holds_claim(connection: Connection, attempt: Attempt) -> bool:
    """Whether an attempt's step holds its session, or none does; locked until the transaction ends."""
    row = _lock_session(connection, attempt.session_id)
    return row is None or row.head == attempt.key


def release_claim(connection: Connection, session_id: str, at: str, by: str) -> None:
    """Set the session's head back to `at` if it is `by`."""
    mine = (SESSIONS.c.session_id == session_id, SESSIONS.c.head == by)
    connection.execute(SESSIONS.update().where(*mine).values(head=at, owner="", point=""))


def end_claim(connection: Connection, ended: Attempt) -> None:
    """A step that made nothing leaves its session where that stood before it."""
    mine = (SESSIONS.c.session_id == ended.session_id, SESSIONS.c.head == ended.key)
    point = connection.execute(sa.select(SESSIONS.c.point).where(*mine)).scalar()
    if point is not None:
        release_claim(connection, ended.session_id, point or ended.before, ended.key)


def retake_claim(connection: Connection, done: Attempt) -> None:
    """Make a step that has a result after all its session's head, unless others went on there meanwhile."""
    points = {done.before}
    earlier = sa.select(ATTEMPTS.c.before, ATTEMPTS.c.state).order_by(ATTEMPTS.c.number.desc()).limit(1)
    point = done.before
    while (row := connection.execute(earlier.where(ATTEMPTS.c.key == point)).first()) and row.before not in points:
        if row.state not in _MADE_NOTHING:
            break
        point = row.before
        points.add(point)
    free = (SESSIONS.c.session_id == done.session_id, SESSIONS.c.head.in_(sorted(points)))
    connection.execute(SESSIONS.update().where(*free).values(head=done.key, owner="", point=point))


def give_claims_back(connection: Connection, by: str, owner: str) -> None:
    """Undo this owner's claims of a step, unless its message is in flight or others carry it out."""
    mine = (SESSIONS.c.head == by, SESSIONS.c.owner == owner, SESSIONS.c.point != "")
    for claim in connection.execute(sa.select(SESSIONS).where(*mine)).all():
        there = (ATTEMPTS.c.key == by, ATTEMPTS.c.session_id == claim.session_id)
        newest = sa.select(ATTEMPTS.c.state, ATTEMPTS.c.owner).where(*there).order_by(ATTEMPTS.c.number.desc())
        row = connection.execute(newest.limit(1)).first()
        let_go = row is not None and row.state == State.PLANNED.value and row.owner in ("", owner)
        if row is None or let_go or row.state in _MADE_NOTHING:
            release_claim(connection, claim.session_id, claim.point, by)


def select_deliveries(connection: Connection, key: str) -> list[Delivery]:
    """What was delivered of a step on any host, newest first."""
    query = (
        sa.select(DELIVERIES)
        .join(ATTEMPTS, ATTEMPTS.c.id == DELIVERIES.c.attempt)
        .where(ATTEMPTS.c.key == key)
        .order_by(DELIVERIES.c.id.desc())
    )
    rows = connection.execute(query)
    return [Delivery(Path(row.path), row.delivered, load_facts(row.facts), row.host) for row in rows]


def insert_delivery(connection: Connection, attempt: Attempt, delivery: Delivery, *, again: bool) -> None:
    """Record a delivery; `again` where an earlier transaction may have done so, without an answer."""
    values = {"attempt": attempt.id, "path": str(delivery.path)}
    same = sa.select(DELIVERIES.c.id).where(*(DELIVERIES.c[name] == value for name, value in values.items()))
    if not again or connection.execute(same).first() is None:
        more = {"host": delivery.host, "delivered": delivery.delivered, "facts": dump_facts(delivery.facts)}
        connection.execute(_ADD_DELIVERY, {**values, **more})


def select_owner_pid(connection: Connection, owner: str) -> int:
    """The process id of an owner, 0 if it is not known."""
    return int(connection.execute(sa.select(OWNERS.c.pid).where(OWNERS.c.id == owner)).scalar() or 0)


def select_newest_number(connection: Connection, key: str) -> int:
    """The number of a step's newest attempt, 0 where there is none."""
    return int(connection.execute(sa.select(sa.func.max(ATTEMPTS.c.number)).where(ATTEMPTS.c.key == key)).scalar() or 0)


def rewrite_attempt(connection: Connection, attempt: Attempt) -> bool:
    """Write an attempt's newest version once more, if it is that: so its record is as safe as this transaction."""
    known = (ATTEMPTS.c.key == attempt.key, ATTEMPTS.c.number == attempt.number, ATTEMPTS.c.epoch == attempt.epoch)
    mine = ATTEMPTS.update().where(*known, ATTEMPTS.c.owner == attempt.owner).values(owner=attempt.owner)
    return connection.execute(mine).rowcount == 1


class LazyAttempts(Sequence[Attempt]):
    """Attempts that are read on the first access, once."""

    def __init__(self, read: Callable[[], list[Attempt]]) -> None:
        self._read = read
        self._found: list[Attempt] | None = None

    def _load(self) -> list[Attempt]:
        if self._found is None:
            self._found = self._read()
        return self._found

    def __len__(self) -> int:
        return len(self._load())

    @overload
    def __getitem__(self, index: int) -> Attempt: ...

    @overload
    def __getitem__(self, index: slice) -> list[Attempt]: ...

    def __getitem__(self, index: int | slice) -> Attempt | list[Attempt]:
        return self._load()[index]


def lazy_last_day(connection: Connection, profile: str, now: float) -> LazyAttempts:
    """A profile's paid attempts of the last 24 hours, for its limits; one admission of the profile looks at a time."""

    def read() -> list[Attempt]:
        lock_account(connection, f"profile {profile}")  # its accounts may be several
        return _add_baselines_of_chats(connection, select_paid_since(connection, profile, now - DAY_SECONDS))

    return LazyAttempts(read)


def select_open_paid(connection: Connection, account: str) -> list[Attempt]:
    """An account's paid attempts in flight, without their facts but for the baselines of chats."""
    rows = connection.execute(_OPEN_PAID, {"account": account}).all()
    return _add_baselines_of_chats(connection, [_attempt_from_light_row(row) for row in rows])


def _add_baselines_of_chats(connection: Connection, attempts: Sequence[Attempt]) -> list[Attempt]:
    """The same; a chat whose charge is not known comes with its baseline, which tells what it is expected to take."""
    asked = [each.id for each in attempts if each.kind == "chat" and not each.facts]
    baselines: dict[int, Facts] = {}
    for some in split_into_portions(asked):
        rows = connection.execute(sa.select(ATTEMPTS.c.id, ATTEMPTS.c.facts).where(ATTEMPTS.c.id.in_(some)))
        baselines.update((row.id, Facts(baseline=load_facts(row.facts).get("baseline"))) for row in rows)
    return [replace(each, facts=baselines[each.id]) if each.id in baselines else each for each in attempts]


def select_paid_since(connection: Connection, profile: str, moment: float) -> list[Attempt]:
    """A profile's paid attempts that were sent, and not refused, after `moment`.

    Of their facts only what limits count: `money.spent`, be it exact or at most.
    """
    return [
        _attempt_from_light_row(row) for row in connection.execute(_PAID_SINCE, {"profile": profile, "moment": moment})
    ]


def select_made_in(
    connection: Connection, profile: str, run: str, moment: float
) -> list[tuple[str, float | None, float | None]]:
    """The finished paid steps that a run sent after `moment`, oldest first: key, credits if exact, else at most."""
    rows = connection.execute(_MADE_IN, {"profile": profile, "run": run, "moment": moment})
    return [(key, exact, at_most) for key, exact, at_most in rows]


def is_joined(connection: Connection, attempt: Attempt) -> bool:
    """Whether another paid message of an attempt's account went out since it did.

    Also one with an earlier time, by a clock that was set back: it was planned later.
    """
    moment = attempt.changed if attempt.sent is None else attempt.sent
    asked = {"account": attempt.account, "key": attempt.key, "moment": moment, "attempt": attempt.id}
    return connection.execute(_IS_JOINED, asked).first() is not None


def find_other_runs(connection: Connection, account: str, run: str, moment: float) -> bool:
    """Whether a paid message of an account that does not belong to this run went out after `moment`."""
    query = sa.select(ATTEMPTS.c.id).where(
        ATTEMPTS.c.account + "" == account, ATTEMPTS.c.run != run, ATTEMPTS.c.free.is_(False), where_kind_in(*PAID),
        ATTEMPTS.c.state.not_in(UNSENT_STATES), ATTEMPTS.c.changed > moment, ATTEMPTS.c.sent > moment,
    )  # fmt: skip
    return connection.execute(query.limit(1)).first() is not None


def find_time_to_send(connection: Connection, attempt: Attempt, now: float) -> float:
    """When a message goes out, for the record: now, but never before the session's last one.

    A clock can be set back; what went out later in a session is told by these times.
    """
    if not attempt.paid:
        return now
    latest = connection.execute(_LAST_SENT, {"session_id": attempt.session_id, "attempt": attempt.id}).scalar()
    return now if latest is None or latest < now else float(latest) + _A_MOMENT


_A_MOMENT: Final = 0.001


def select_sent_after(connection: Connection, attempt: Attempt) -> Attempt | None:
    """The first message that went out in an attempt's session after it, with its facts, or None."""
    moment = attempt.changed if attempt.sent is None else attempt.sent
    query = (
        sa.select(ATTEMPTS)
        .where(ATTEMPTS.c.session_id == attempt.session_id, ATTEMPTS.c.sent > moment)  # by whichever profile
        .where(ATTEMPTS.c.key != attempt.key, where_kind_in(*PAID))
        .where(ATTEMPTS.c.state.not_in(UNSENT_STATES))
        .order_by(ATTEMPTS.c.sent, ATTEMPTS.c.id)
        .limit(1)
    )
    row = connection.execute(query).first()
    return None if row is None else attempt_from_row(row)


def _attempt_from_light_row(row: Sequence[Any]) -> Attempt:
    """An attempt without its facts, which are long, but with what it took."""
    primary, key, number, state, profile, account, run, sent, taken = row
    facts = Facts() if taken is None else Facts(money={"spent": taken})
    return Attempt(key, number, State(state), profile, account=account, run=run, sent=sent, id=primary, facts=facts)


def select_charges(connection: Connection, profile: str, kind: str, newest: int) -> list[float]:
    """What the newest finished steps of a kind took, in credits, where that is known for sure."""
    rows = connection.execute(_CHARGES, {"profile": profile, "kind": kind, "newest": newest})
    return [float(spent) for (spent,) in rows]


def select_durations(connection: Connection, profile: str, kind: str, newest: int) -> list[float]:
    """How long the newest finished steps of a kind took, from the wire to their end."""
    rows = connection.execute(_DURATIONS, {"profile": profile, "kind": kind, "newest": newest})
    return [float(taken) for (taken,) in rows]


_SHORT: Final = sa.select(*(column for column in ATTEMPTS.c if column.name not in ("facts", "money_text")))
"""Attempts without their facts, which are long."""


def select_open(connection: Connection, account: str) -> list[Attempt]:
    """Attempts of an account whose outcome is still owed, without their facts."""
    query = _SHORT.where(ATTEMPTS.c.account == account, ATTEMPTS.c.state.in_(OPEN))
    return [_attempt_without_facts(row) for row in connection.execute(query.order_by(ATTEMPTS.c.id))]


def select_undelivered(connection: Connection, account: str) -> list[Attempt]:
    """Finished paid steps of an account that no delivered export shows yet, without their facts."""
    query = _SHORT.join(OWED, OWED.c.attempt == ATTEMPTS.c.id).where(OWED.c.account == account)
    return [_attempt_without_facts(row) for row in connection.execute(query.order_by(ATTEMPTS.c.id))]


def _attempt_without_facts(row: Row[Any]) -> Attempt:
    values = {name: value for name, value in row._mapping.items() if name != "kind"}
    return Attempt(**{**values, "state": State(row.state)})


def record_end(connection: Connection, attempt: Attempt) -> None:
    """Keep in rows of their own what an attempt that was just written is owed, shows, and took at most."""
    if attempt.state is State.DONE and attempt.paid:
        connection.execute(_ADD_OWED, {"attempt": attempt.id, "key": attempt.key, "account": attempt.account})
    elif attempt.state is State.DONE and attempt.kind == "export":
        _settle_owed(connection, attempt)
    write_uncharged(connection, attempt)
    write_at_most(connection, attempt, _sum_taken_beside(connection, attempt))


def write_at_most(connection: Connection, attempt: Attempt, beside: float = 0.0) -> None:
    """Keep in a row of its own what an attempt took at most, where that is all that is known.

    Limits add these up. So what others are counted for that ended `beside` it, in the same drop of the balance, is not
    counted once more.
    """
    spent = (attempt.facts.get("money") or {}).get("spent")
    if attempt.paid and attempt.spent is None and spent is not None:
        connection.execute(AT_MOST.delete().where(AT_MOST.c.attempt == attempt.id))
        connection.execute(AT_MOST.insert().values(attempt=attempt.id, spent=max(spent - beside, 0.0)))


def _sum_taken_beside(connection: Connection, attempt: Attempt) -> float:
    """What the account's other messages count for that ended while this one was in flight."""
    if not attempt.paid or attempt.sent is None or attempt.spent is not None:
        return 0.0
    others = {"account": attempt.account, "attempt": attempt.id, "moment": attempt.sent}
    ended = [_attempt_from_light_row(row) for row in connection.execute(_TAKEN_BESIDE, others)]
    return sum(float(each.facts["money"]["spent"]) for each in ended if each.facts)


def write_uncharged(connection: Connection, attempt: Attempt) -> None:
    """Keep in mind that the charge of a finished attempt was not seen yet: the next look at the balance may tell it."""
    money, before = attempt.facts.get("money") or {}, (attempt.facts.get("baseline") or {}).get("credits")
    if not attempt.paid or attempt.state is not State.DONE or not before or attempt.sent is None:
        return
    held = float(before.get("available", 0)) + float(before.get("frozen", 0))
    if money.get("spent") is None and money.get("after") is not None:
        values = {"attempt": attempt.id, "account": attempt.account, "held": held, "sent": attempt.sent}
        connection.execute(UNCHARGED.insert().values(alone=bool(attempt.facts.get("alone")), **values))


def select_uncharged(connection: Connection, account: str) -> list[Row[Any]]:
    """An account's finished attempts whose charge was not seen yet, the oldest first."""
    return list(connection.execute(_UNCHARGED, {"account": account}))


def select_uncharged_accounts(connection: Connection) -> list[tuple[str, str]]:
    """(profile, account) of all finished attempts whose charge was not seen yet, each once."""
    query = sa.select(ATTEMPTS.c.profile, UNCHARGED.c.account).join(ATTEMPTS, ATTEMPTS.c.id == UNCHARGED.c.attempt)
    return [(profile, account) for profile, account in connection.execute(query.distinct())]


def find_charges(
    connection: Connection, account: str, held: float, settled_before: float
) -> list[tuple[Attempt, float, bool]]:
    """Attempts whose charge the balance tells by now: what each took, and whether that is exact.

    A charge that was seen counts; that there is none is known only for what was sent before `settled_before`. Where
    others used the account meanwhile, what is left of the drop is shared out once nothing of it can still come.
    """
    rows = select_uncharged(connection, account)
    if not rows:
        return []
    late = {row.attempt for row in rows}
    since = _LIGHT.where(
        ATTEMPTS.c.account == account, ATTEMPTS.c.sent >= rows[0].sent, ATTEMPTS.c.state.not_in(UNSENT_STATES)
    )
    others = [each for each in map(_attempt_from_light_row, connection.execute(since)) if each.id not in late]
    old = all(row.sent < settled_before for row in rows)
    drop = rows[0].held - held
    alone = len(rows) == 1 and not others and rows[0].alone
    if alone and drop == 0 and not old:
        return []
    if not alone:
        if not old or any(each.in_flight for each in others):
            return []
        drop -= sum(float(each.facts["money"]["spent"]) for each in others if each.facts)
    connection.execute(UNCHARGED.delete().where(UNCHARGED.c.attempt.in_(sorted(late))))
    if drop < 0:  # topped up meanwhile: it will not be known
        return []
    query = sa.select(ATTEMPTS).where(ATTEMPTS.c.id.in_(sorted(late)))
    return [(attempt_from_row(row), drop / len(rows), alone) for row in connection.execute(query)]


def _settle_owed(connection: Connection, export: Attempt) -> None:
    """The steps behind an export, back to the first, are owed no longer."""
    connection.execute(_OWED_BEHIND, {"key": export.before, "owing": export.account})


def select_failed_after(connection: Connection, key: str) -> list[Attempt]:
    """The newest attempts of messages after a step that made nothing, the newest first."""
    query = sa.select(ATTEMPTS).where(
        ATTEMPTS.c.before == key, ATTEMPTS.c.state == State.FAILED.value, where_kind_in(*PAID)
    )
    return [attempt_from_row(row) for row in connection.execute(query.order_by(ATTEMPTS.c.sent.desc()))]


def count_messages_since(connection: Connection, attempt: Attempt) -> int:
    """How many other messages went out in an attempt's session after its own."""
    query = sa.select(sa.func.count()).where(
        ATTEMPTS.c.session_id == attempt.session_id, ATTEMPTS.c.sent > attempt.sent, ATTEMPTS.c.id != attempt.id,
        where_kind_in(*PAID), ATTEMPTS.c.state.not_in(UNSENT_STATES),
    )  # fmt: skip
    return int(connection.execute(query).scalar() or 0)


def select_steps_behind(keys: Iterable[str], before: Mapping[str, str]) -> set[str]:
    """These steps and all that lie before them; `before` names each step's predecessor."""
    found: set[str] = set()
    for key in keys:
        while key and key not in found:
            found.add(key)
            key = before.get(key, "")
    return found


def select_newest_files(connection: Connection, keys: Sequence[str], host: str) -> dict[str, str]:
    """Where the newest file that was delivered on `host` of each of these exports lies, as far as there is one."""
    found: dict[str, str] = {}
    for some in split_into_portions(keys):
        query = (
            sa.select(ATTEMPTS.c.key, DELIVERIES.c.path)
            .join(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
            .where(ATTEMPTS.c.key.in_(some), DELIVERIES.c.host == host)
            .order_by(DELIVERIES.c.id)
        )
        found.update((row.key, row.path) for row in connection.execute(query))
    return found


def select_delivered_among(connection: Connection, paths: Sequence[str]) -> set[str]:
    """Those of these paths under which a video was delivered, on any host."""
    found: set[str] = set()
    for some in split_into_portions(paths):
        found.update(connection.execute(sa.select(DELIVERIES.c.path).where(DELIVERIES.c.path.in_(some))).scalars())
    return found


def select_paid_among(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Those of these steps that are not paid again: they are done, or their message is never sent again by itself."""
    found: set[str] = set()
    states = [each.value for each in (State.DONE, State.SENT, State.UNKNOWN, State.LOST)]
    for some in split_into_portions(keys):
        query = sa.select(ATTEMPTS.c.key).where(ATTEMPTS.c.key.in_(some), ATTEMPTS.c.state.in_(states))
        found.update(connection.execute(query).scalars())
    return found


def select_media_behind(connection: Connection, keys: Sequence[str]) -> dict[str, list[list[str]]]:
    """(fingerprint, name, MIME type) of what was uploaded before each of these steps, the nearest upload first.

    All steps go back side by side, without their facts, which are long.
    """
    before: dict[str, str] = {}
    ahead = set(keys)
    while ahead:
        for some in split_into_portions(sorted(ahead)):
            query = sa.select(ATTEMPTS.c.key, ATTEMPTS.c.before).where(ATTEMPTS.c.key.in_(some))
            before.update((row.key, row.before) for row in connection.execute(query.order_by(ATTEMPTS.c.number)))
        ahead = {before[key] for key in ahead if before.get(key)} - before.keys()
    media: dict[str, Any] = {}
    for some in split_into_portions([key for key in before if parse_kind(key) == "upload"]):
        query = sa.select(ATTEMPTS.c.key, ATTEMPTS.c.facts).where(ATTEMPTS.c.key.in_(some))
        rows = connection.execute(query.order_by(ATTEMPTS.c.number))
        media.update((row.key, load_facts(row.facts).get("media", [])) for row in rows)
    return {key: [each for step in _walk_back(key, before) for each in media.get(step, ())] for key in keys}


def _walk_back(key: str, before: Mapping[str, str]) -> Iterator[str]:
    seen: set[str] = set()
    while key and key not in seen:
        yield key
        seen.add(key)
        key = before.get(key, "")


def split_into_portions(things: Sequence[_T], size: int = _AT_ONCE) -> Iterator[Sequence[_T]]:
    """As many at once as a query may name."""
    return (things[start : start + size] for start in range(0, len(things), size))

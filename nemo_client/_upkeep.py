"""Upkeep: what the journal and the kept uploads may forget, and when. Once a day, when a Studio opens.

Key, state, session and charge are kept for ever, and so is the draft of a delivered export. Other drafts, replies,
evidence and uploads go KEEP_DAYS after delivery, never while a step that needs them is open.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from ._attempts import OPEN, facts_of, facts_text
from ._config import write_private
from ._database import Database, clock
from ._errors import DiskError
from ._journal import Journal
from ._owners import Owner, holds
from ._queries import kinds, steps_behind
from ._schema import ATTEMPTS, DELIVERIES, OWNERS, TIDIED
from ._steps import PAID, State, kind_of

logger = logging.getLogger("nemo_client")

DAY: Final = 24 * 3600.0
KEEP_DAYS: Final = 90
UPLOADS_BYTES: Final = 5 * 1024**3
FRESH_SECONDS: Final = 3600.0
"""Uploads this young may belong to a request that has no row in the journal yet."""
EXPORTS_AT_ONCE: Final = 200
_TIDY: Final = sa.text('INSERT INTO tidied ("key") VALUES (:key) ON CONFLICT DO NOTHING')
"""Another machine of a fleet may be at it, too."""


async def writable(journal: Journal, directory: Path, *, free: bool) -> Journal:
    """The journal that a Studio works with: for free work one in memory where the one on disk cannot be written.

    A damaged journal is told here whoever opens it, else a new one would begin unnoticed.
    """
    try:
        await journal.check()
    except DiskError as error:
        if error.id == "journal-damaged":
            raise
        if free:
            logger.warning("free work goes on without a record of it: %s", error.text("en"))
            return Journal(directory, "sqlite://")
    return journal


async def upkeep(journal: Journal, directory: Path, now: float, *, limit: int = UPLOADS_BYTES) -> None:
    """Forget what may be forgotten, unless that was done less than a day ago. Never fails."""
    stamp = directory / "upkeep"
    try:
        if 0 <= now - _read(stamp) < DAY:
            return
        write_private(stamp, f"{now:.0f}\n")
        await journal.work(lambda database, owner: _tidied(database, owner, directory / "uploads", now, limit))
    except (DiskError, OSError) as error:
        logger.info("no upkeep today (%s)", error.id if isinstance(error, DiskError) else error.strerror)


def _read(stamp: Path) -> float:
    try:
        return float(stamp.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return float("-inf")


def _tidied(database: Database, owner: Owner, uploads: Path, now: float, limit: int) -> None:
    if database.too_new:
        return
    horizon = now - KEEP_DAYS * DAY
    with database.writing() as connection:
        for key, before in _old_exports(connection, horizon):
            _forget_behind(connection, before, horizon)
            connection.execute(_TIDY, {"key": key})
    with database.writing() as connection:
        _forget_owners(connection, owner)
    _forget_uploads(database, uploads, now, limit)


def _old_exports(connection: Connection, horizon: float) -> list[tuple[str, str]]:
    """Exports that were last delivered before the horizon, oldest first, with the step they show."""
    query = (
        sa.select(ATTEMPTS.c.key, ATTEMPTS.c.before)
        .join(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
        .where(ATTEMPTS.c.key.not_in(sa.select(TIDIED.c.key)))
        .group_by(ATTEMPTS.c.key, ATTEMPTS.c.before)
        .having(sa.func.max(DELIVERIES.c.delivered) < horizon)
        .order_by(sa.func.max(DELIVERIES.c.delivered))
        .limit(EXPORTS_AT_ONCE)
    )
    rows = connection.execute(query).all()
    return [(row.key, row.before) for row in rows if not _needed(connection, row.before, horizon)]


def _needed(connection: Connection, key: str, horizon: float) -> bool:
    """Whether the step or one after it is open, or was delivered after the horizon."""
    below = sa.select(sa.literal(key, sa.String).label("key")).cte("below", recursive=True)
    below = below.union(sa.select(ATTEMPTS.c.key).where(ATTEMPTS.c.before == below.c.key))
    query = (
        sa.select(ATTEMPTS.c.id)
        .join(below, ATTEMPTS.c.key == below.c.key)
        .outerjoin(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
        .where(sa.or_(ATTEMPTS.c.state.in_(OPEN), DELIVERIES.c.delivered >= horizon))
    )
    return connection.execute(query.limit(1)).first() is not None


def _forget_behind(connection: Connection, key: str, horizon: float) -> None:
    """Take evidence, replies and drafts that no delivered export shows from a step and those before it."""
    walked: set[str] = set()
    while key and key not in walked:
        walked.add(key)
        if kind_of(key) in PAID and (len(walked) == 1 or not _needed(connection, key, horizon)):
            _forget_facts(connection, key)
        key = str(connection.execute(sa.select(ATTEMPTS.c.before).where(ATTEMPTS.c.key == key)).scalar() or "")


def _forget_facts(connection: Connection, key: str) -> None:
    shown = sa.select(ATTEMPTS.c.id).join(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
    shown = shown.where(ATTEMPTS.c.before == key, kinds("export")).limit(1)
    gone = {"baseline", "reply"} if connection.execute(shown).first() else {"baseline", "reply", "draft"}
    rows = connection.execute(sa.select(ATTEMPTS.c.id, ATTEMPTS.c.facts).where(ATTEMPTS.c.key == key)).all()
    for row in rows:
        facts: dict[str, Any] = facts_of(row.facts)
        kept = {name: value for name, value in facts.items() if name not in gone}
        if kept != facts:
            text = facts_text(kept)
            connection.execute(ATTEMPTS.update().where(ATTEMPTS.c.id == row.id).values(facts=text))


def _forget_owners(connection: Connection, ours: Owner) -> None:
    """Rows of owners that are dead and that no attempt in planned or sent still names.

    Another host's owner is dead a day after its lease, since a machine that slept comes back.
    """
    names = sa.select(ATTEMPTS.c.owner).where(ATTEMPTS.c.state.in_((State.PLANNED.value, State.SENT.value)))
    query = sa.select(OWNERS).where(OWNERS.c.id != ours.id, OWNERS.c.id.not_in(names))
    now = connection.execute(sa.select(clock(connection))).scalar() or 0.0
    for row in connection.execute(query).all():
        lock = Path(row.lock)
        here = ours.sees(row.host, lock)
        if holds(lock) if here else row.lease_until > now - DAY:
            continue
        connection.execute(OWNERS.delete().where(OWNERS.c.id == row.id))
        if here:
            lock.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Kept:
    path: Path
    size: int
    since: float


def _forget_uploads(database: Database, folder: Path, now: float, limit: int) -> None:
    """Remove kept uploads that are delivered and old, and the oldest of too many; never those of open jobs."""
    files = sorted(_kept_files(folder, now), key=lambda each: each.since)
    old = [each for each in files if each.since < now - KEEP_DAYS * DAY]
    total = sum(each.size for each in files)
    if not old and total <= limit:
        return
    opened, owed = _names_in_use(database, now - KEEP_DAYS * DAY)
    for each in files:
        name = each.path.name
        aged = each in old and name not in owed
        excess = total > limit and each.since < now - FRESH_SECONDS
        if name not in opened and (aged or excess):
            each.path.unlink(missing_ok=True)
            total -= each.size


def _kept_files(folder: Path, now: float) -> Iterator[_Kept]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        try:
            info = path.stat()
        except FileNotFoundError:
            continue
        if path.name.startswith("."):  # half written
            if info.st_mtime < now - DAY:
                path.unlink(missing_ok=True)
        elif path.is_file():
            yield _Kept(path, info.st_size, info.st_mtime)


def _names_in_use(database: Database, horizon: float) -> tuple[set[str], set[str]]:
    """The names of uploads behind open steps; and behind all that is not delivered, or was after the horizon."""
    light = sa.select(ATTEMPTS.c.key, ATTEMPTS.c.before, ATTEMPTS.c.state, ATTEMPTS.c.free)
    recent = (
        sa.select(ATTEMPTS.c.key)
        .join(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
        .where(DELIVERIES.c.delivered >= horizon)
    )
    with database.reading() as connection:
        rows = connection.execute(light).all()
        fresh = set(connection.execute(recent).scalars())
        before = {row.key: row.before for row in rows}
        done = [row for row in rows if row.state == State.DONE.value]
        shown = steps_behind((row.key for row in done if kind_of(row.key) == "export"), before)
        unshown = [row.key for row in done if kind_of(row.key) in PAID and row.key not in shown]
        opened = steps_behind((row.key for row in rows if row.state in OPEN), before)
        owed = opened | steps_behind([*unshown, *fresh], before)
        return _names(connection, opened), _names(connection, owed)


def _names(connection: Connection, keys: set[str]) -> set[str]:
    """The names of the files that these uploads sent."""
    found: set[str] = set()
    for key in keys:
        if kind_of(key) == "upload":
            for facts in connection.execute(sa.select(ATTEMPTS.c.facts).where(ATTEMPTS.c.key == key)).scalars():
                found.update(str(entry[1]) for entry in facts_of(facts).get("media", []))
    return found

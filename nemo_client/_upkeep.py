"""Upkeep: what the journal and the kept uploads may forget, and when. Once a day, when a Studio opens.

Key, state, session and charge are kept for ever, and so is the draft of a delivered export. Other drafts, replies,
evidence and uploads go KEEP_DAYS after delivery, never while a step that needs them is open.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from ._attempts import facts_of, facts_text
from ._config import write_private
from ._database import Database, clock
from ._errors import DiskError
from ._journal import Journal
from ._needed import before_each, begun_since, exports_due, names_needed, needed, open_steps, opened
from ._owners import Owner, holds
from ._queries import kinds, portions, steps_behind
from ._schema import ATTEMPTS, DELIVERIES, OWNERS
from ._steps import PAID, State, kind_of

logger = logging.getLogger("nemo_client")

DAY: Final = 24 * 3600.0
KEEP_DAYS: Final = 90
UPLOADS_BYTES: Final = 5 * 1024**3
FRESH_SECONDS: Final = 3600.0
"""Uploads this young may belong to a request that has no row in the journal yet."""
EXPORTS_AT_ONCE: Final = 200
"""In one transaction, so that nobody waits long for it."""
WRITING_SECONDS: Final = 20.0
"""What a day's upkeep may take with forgetting what is in rows; at a millisecond or so each, for some ten thousand."""
_TIDY: Final = sa.text('INSERT INTO tidied ("key") VALUES (:key) ON CONFLICT DO NOTHING')
"""Another machine of a fleet may be at it, too."""
_FORGET: Final = (
    ATTEMPTS.update()
    .where(ATTEMPTS.c.id == sa.bindparam("known_id"), ATTEMPTS.c.epoch == sa.bindparam("known_epoch"))
    .values(facts=sa.bindparam("kept"))
)


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


async def upkeep(
    journal: Journal, directory: Path, now: float, *, limit: int = UPLOADS_BYTES, seconds: float = WRITING_SECONDS
) -> None:
    """Forget what may be forgotten, unless that was done less than a day ago. Never fails."""
    stamp = directory / "upkeep"
    try:
        if 0 <= now - _read(stamp) < DAY:
            return
        write_private(stamp, f"{now:.0f}\n")
        uploads = directory / "uploads"
        await journal.work(lambda database, owner: _tidied(database, owner, uploads, now, limit, seconds))
    except (DiskError, OSError) as error:
        logger.info("no upkeep today (%s)", error.id if isinstance(error, DiskError) else error.strerror)


def _read(stamp: Path) -> float:
    try:
        return float(stamp.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return float("-inf")


def _tidied(database: Database, owner: Owner, uploads: Path, now: float, limit: int, seconds: float) -> None:
    if database.too_new:
        return
    _forget_exports(database, now - KEEP_DAYS * DAY, seconds)
    _forget_owners(database, owner)
    _forget_uploads(database, uploads, now, limit)


def _forget_exports(database: Database, horizon: float, seconds: float) -> None:
    """Forget what lies behind the exports that are due, until so many seconds were spent with writing.

    Those that are needed are sorted out where nobody waits: they take nothing of that time from the others.
    """
    left = seconds
    for due in exports_due(database, horizon):
        for some in portions(due, EXPORTS_AT_ONCE):
            begin = time.monotonic()
            with database.writing() as connection:
                _forget_behind(connection, some, horizon)
            left -= time.monotonic() - begin
            if left <= 0:
                logger.info("upkeep goes on tomorrow: there is more to forget than fits into %.0f s", seconds)
                return


def _forget_behind(connection: Connection, exports: Sequence[tuple[str, str]], horizon: float) -> None:
    """Take evidence, replies and drafts that no delivered export shows from the steps behind these exports."""
    before = before_each(connection, (step for _, step in exports))
    paid = (step for step in before if kind_of(step) in PAID)
    kept = needed(connection, [*paid, *(step for _, step in exports)], horizon)  # one may have been begun just now
    ready = {key: step for key, step in exports if step not in kept}
    behind = steps_behind(ready.values(), before)
    _forget_facts(connection, [key for key in behind if kind_of(key) in PAID and key not in kept])
    if ready:
        connection.execute(_TIDY, [{"key": key} for key in sorted(ready)])


def _forget_facts(connection: Connection, keys: Sequence[str]) -> None:
    """In the order of their numbers: of two machines that are at it, one waits for the other, never both."""
    shown: set[str] = set()
    numbers: list[int] = []
    for some in portions(keys):
        delivered = sa.select(ATTEMPTS.c.before).join(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
        shown.update(connection.execute(delivered.where(ATTEMPTS.c.before.in_(some), kinds("export"))).scalars())
        numbers += connection.execute(sa.select(ATTEMPTS.c.id).where(ATTEMPTS.c.key.in_(some))).scalars()
    for few in portions(sorted(numbers), EXPORTS_AT_ONCE):
        query = sa.select(ATTEMPTS.c.id, ATTEMPTS.c.key, ATTEMPTS.c.epoch, ATTEMPTS.c.facts)
        changed = []
        for row in connection.execute(query.where(ATTEMPTS.c.id.in_(few)).order_by(ATTEMPTS.c.id)):
            facts: dict[str, Any] = facts_of(row.facts)
            gone = {"baseline", "reply"} if row.key in shown else {"baseline", "reply", "draft"}
            kept = {name: value for name, value in facts.items() if name not in gone}
            if kept != facts:
                changed.append({"known_id": row.id, "known_epoch": row.epoch, "kept": facts_text(kept)})
        if changed:
            connection.execute(_FORGET, changed)


def _forget_owners(database: Database, ours: Owner) -> None:
    """Rows of owners that are dead and that no attempt in planned or sent still names.

    Another host's owner is dead a day after its lease, since a machine that slept comes back. One without a row counts
    as dead, too: it does no harm that a dead one's last attempt may be missed.
    """
    with database.reading() as connection:
        names = {row.owner for row in open_steps(connection) if row.state != State.UNKNOWN.value}
    with database.writing() as connection:
        now = connection.execute(sa.select(clock(connection))).scalar() or 0.0
        for row in connection.execute(sa.select(OWNERS).where(OWNERS.c.id != ours.id)).all():
            lock = Path(row.lock)
            here = ours.sees(row.host, lock)
            if row.id in names or (holds(lock) if here else row.lease_until > now - DAY):
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
    """Remove the oldest of too many kept uploads, and those that are delivered and old; never those of open jobs.

    What is owed and what was delivered lately is looked through only where old ones are left.
    """
    files = sorted(_kept_files(folder, now), key=lambda each: each.since)
    horizon = now - KEEP_DAYS * DAY
    total = sum(each.size for each in files)
    if not files or (files[0].since >= horizon and total <= limit):
        return
    before = opened(database)
    old: dict[str, _Kept] = {}
    for each in files:
        if each.path.name in before.names:
            continue
        if total > limit and each.since < now - FRESH_SECONDS:
            total -= each.size if _removed(each) else 0
        elif each.since < horizon:
            old[each.path.name] = each
    for names in names_needed(database, horizon) if old else ():
        for name in names & old.keys():
            del old[name]
        if not old:
            return
    later = begun_since(database, before) if old else set()
    for name in old.keys() - later:
        _removed(old[name])


def _removed(kept: _Kept) -> bool:
    """Remove a file, unless it was taken up again since it was listed.

    Under another name first: who takes it up at this very moment is seen, or finds it gone and keeps it anew.
    """
    aside = kept.path.with_name(f".{kept.path.name}.gone")
    try:
        if kept.path.stat().st_mtime > kept.since:
            return False
        kept.path.replace(aside)
        if aside.stat().st_mtime > kept.since:
            aside.replace(kept.path)
            return False
        aside.unlink()
    except FileNotFoundError:  # another process removes it, too
        return False
    return True


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

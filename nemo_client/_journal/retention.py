"""Upkeep: deletes what is older than KEEP_DAYS and not needed, in portions of short transactions.

Reading takes a while, and steps move on meanwhile, from open to owed to delivered; each is recorded before the one
before it ends. Read open, then owed, then delivered: a step moving on meanwhile is still seen. Steps that begin later
have a greater number and are read at the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from .._config.paths import write_private_file
from .._config.profiles import LOCAL
from .._errors import DiskError
from .database import Database, read_database_clock
from .journal import Journal
from .leases import Owner, is_locked
from .queries import select_steps_behind, split_into_portions, where_kind_in
from .records import DAY_SECONDS, OPEN, dump_facts, load_facts
from .schema import ATTEMPTS, DELIVERIES, OWED, OWNERS, TIDIED
from .steps import PAID, State, parse_kind

logger = logging.getLogger("nemo_client")

_T = TypeVar("_T")

KEEP_DAYS: Final = 90
UPLOADS_BYTES: Final = 5 * 1024**3
FRESH_SECONDS: Final = 3600.0
"""Uploads this young may belong to a request that has no row in the journal yet."""
PORTION: Final = 5_000
"""Rows that are looked at in one transaction."""
EXPORTS_AT_ONCE: Final = 200
"""Exports that one transaction forgets: others wait for it."""
WRITING_SECONDS: Final = 20.0
"""What a day's upkeep may take with forgetting what is in rows; at a millisecond or so each, for some ten thousand."""

_TIDY: Final = sa.text('INSERT INTO tidied ("key") VALUES (:key) ON CONFLICT DO NOTHING')
"""Another machine of a fleet may be at it, too."""
_FORGET: Final = (
    ATTEMPTS.update()
    .where(ATTEMPTS.c.id == sa.bindparam("known_id"), ATTEMPTS.c.epoch == sa.bindparam("known_epoch"))
    .values(facts=sa.bindparam("kept"))
)

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


def select_opened(database: Database) -> Opened:
    """What open steps need now."""
    with database.reading() as connection:
        newest = connection.execute(sa.select(sa.func.max(ATTEMPTS.c.id))).scalar()
        return Opened(list_names_behind(connection, (row.key for row in open_steps(connection))), int(newest or 0))


def select_begun_since(database: Database, before: Opened) -> set[str]:
    """The names of uploads behind steps that are open now, or that were begun since, however far they came."""
    with database.reading() as connection:
        later = connection.execute(sa.select(ATTEMPTS.c.key).where(ATTEMPTS.c.id > before.newest)).scalars()
        return list_names_behind(connection, [*later, *(row.key for row in open_steps(connection))])


def list_needed_names(database: Database, horizon: float, portion: int = PORTION) -> Iterator[set[str]]:
    """The names of uploads behind all that is not delivered, or was after the horizon; a portion at a time."""

    def names(connection: Connection, rows: Sequence[Row[Any]]) -> set[str]:
        return list_names_behind(connection, (row[0] for row in rows))

    def names_of_unshown(connection: Connection, rows: Sequence[Row[Any]]) -> set[str]:
        return list_names_behind(connection, _select_unshown(connection, {row.key for row in rows}))

    yield from _read_in_portions(database, portion, OWED.c.attempt, sa.select(OWED.c.key), names)
    for kind in sorted(PAID):  # of the built-in backend, which owes nothing: its rows alone have no other record
        free = sa.select(ATTEMPTS.c.key).where(ATTEMPTS.c.free, ATTEMPTS.c.state == State.DONE.value)
        yield from _read_in_portions(
            database, portion, ATTEMPTS.c.id, free, names_of_unshown, ATTEMPTS.c.profile == LOCAL, where_kind_in(kind)
        )
    late = sa.select(ATTEMPTS.c.before).join(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
    delivered = late.where(DELIVERIES.c.delivered >= horizon)
    yield from _read_in_portions(database, portion, DELIVERIES.c.id, delivered, names)


def select_exports_due(database: Database, horizon: float, portion: int = PORTION) -> Iterator[list[tuple[str, str]]]:
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
        kept = collect_needed(connection, {row.before for row in rows}, horizon)
        return [key for key in dict.fromkeys((row.key, row.before) for row in rows) if key[1] not in kept]

    return _read_in_portions(database, portion, DELIVERIES.c.id, due.order_by(DELIVERIES.c.id), read)


def collect_needed(connection: Connection, keys: Iterable[str], horizon: float) -> set[str]:
    """Those of these steps that are open or were delivered after the horizon, or one after them."""
    wanted = sa.or_(ATTEMPTS.c.state.in_(OPEN), DELIVERIES.c.delivered >= horizon)
    keys, found = set(keys), set[str]()
    for some in split_into_portions(sorted(keys)):
        own = sa.select(ATTEMPTS.c.key).outerjoin(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
        found.update(connection.execute(own.where(ATTEMPTS.c.key.in_(some), wanted)).scalars())
    return found | _select_before_any(connection, keys - found, wanted)


def list_names_behind(connection: Connection, keys: Iterable[str]) -> set[str]:
    """The names of files that were sent by these steps and all before them, in any of their attempts."""
    found: set[str] = set()
    sent = sa.case((where_kind_in("upload"), ATTEMPTS.c.facts), else_="").label("sent")
    for row in _walk_back(connection, keys, sent):
        if row.sent:
            found.update(str(entry[1]) for entry in load_facts(row.sent).get("media", []))
    return found


def select_before_each(connection: Connection, keys: Iterable[str]) -> dict[str, str]:
    """The step before each of these and of all that lie before them."""
    return {row.key: row.before for row in _walk_back(connection, keys)}


def _walk_back(connection: Connection, keys: Iterable[str], *more: sa.ColumnElement[Any]) -> Iterator[Row[Any]]:
    """The attempts of these steps and of all before them, without their facts, which are long."""
    ahead, seen = set(keys), {""}
    while ahead := ahead - seen:
        seen |= ahead
        further = set()
        for some in split_into_portions(sorted(ahead)):
            query = sa.select(ATTEMPTS.c.key, ATTEMPTS.c.before, *more).where(ATTEMPTS.c.key.in_(some))
            for row in connection.execute(query):
                further.add(row.before)
                yield row
        ahead = further


def _select_unshown(connection: Connection, keys: set[str]) -> set[str]:
    """Those of these steps that no finished export shows, directly or through a later step."""
    return keys - _select_before_any(
        connection, keys, sa.and_(where_kind_in("export"), ATTEMPTS.c.state == State.DONE.value)
    )


def _select_before_any(connection: Connection, keys: Iterable[str], wanted: sa.ColumnElement[bool]) -> set[str]:
    """Those of these steps that some wanted attempt, or delivery, comes after.

    One generation after the other, all side by side: to a recursive query PostgreSQL reads the whole table.
    """
    found: set[str] = set()
    seen: dict[str, set[str]] = {}
    ahead = {key: {key} for key in keys}  # a step, and which of them it comes after
    while ahead:
        after: dict[str, set[str]] = {}
        for some in split_into_portions(sorted(ahead)):
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


def _read_in_portions(
    database: Database,
    portion: int,
    number: sa.Column[Any],
    query: sa.Select[Any],
    read: Callable[[Connection, Sequence[Row[Any]]], _T],
    *among: sa.ColumnElement[bool],
) -> Iterator[_T]:
    """What `read` makes of the rows that `query` finds: `portion` of the table's rows (or of those `among`) at once."""
    last = 0
    while True:
        numbers = sa.select(number).where(number > last, *among).order_by(number).limit(portion).subquery()
        with database.reading() as connection:
            end = connection.execute(sa.select(sa.func.max(numbers.c[0]))).scalar()
            if end is None:
                return
            found = read(connection, connection.execute(query.where(number > last, number <= end, *among)).all())
        yield found
        last = int(end)


@dataclass(frozen=True)
class UpkeepBounds:
    """How much one day's upkeep keeps and does: bytes of uploads, seconds of writing, rows and exports at a time."""

    limit: int = UPLOADS_BYTES
    seconds: float = WRITING_SECONDS
    portion: int = PORTION
    exports_at_once: int = EXPORTS_AT_ONCE


USUAL_BOUNDS: Final = UpkeepBounds()


async def run_upkeep(journal: Journal, directory: Path, now: float, *, bounds: UpkeepBounds = USUAL_BOUNDS) -> None:
    """Forget what may be forgotten, unless that was done less than a day ago. Never fails."""
    stamp = directory / "upkeep"
    try:
        if 0 <= now - _read_stamp(stamp) < DAY_SECONDS:
            return
        write_private_file(stamp, f"{now:.0f}\n")
        uploads = directory / "uploads"
        await journal.work(lambda database, owner: _forget_all(database, owner, uploads, now, bounds))
    except (DiskError, OSError) as error:
        logger.info("no upkeep today (%s)", error.id if isinstance(error, DiskError) else error.strerror)


def _read_stamp(stamp: Path) -> float:
    try:
        return float(stamp.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return float("-inf")


def _forget_all(database: Database, owner: Owner, uploads: Path, now: float, bounds: UpkeepBounds) -> None:
    if database.too_new:
        return
    _forget_exports(database, now - KEEP_DAYS * DAY_SECONDS, bounds)
    _forget_owners(database, owner)
    _forget_uploads(database, uploads, now, bounds)


def _forget_exports(database: Database, horizon: float, bounds: UpkeepBounds = USUAL_BOUNDS) -> None:
    """Forget what lies behind the exports that are due, until `bounds.seconds` were spent with writing.

    Those that are needed are sorted out in reading transactions, which count for nothing of that time.
    """
    left = bounds.seconds
    for due in select_exports_due(database, horizon, bounds.portion):
        for some in split_into_portions(due, bounds.exports_at_once):
            begin = time.monotonic()
            with database.writing() as connection:
                _forget_behind(connection, some, horizon, bounds.exports_at_once)
            left -= time.monotonic() - begin
            if left <= 0:
                logger.info("upkeep goes on tomorrow: there is more to forget than fits into %.0f s", bounds.seconds)
                return


def _forget_behind(connection: Connection, exports: Sequence[tuple[str, str]], horizon: float, at_once: int) -> None:
    """Take evidence, replies and drafts that no delivered export shows from the steps behind these exports."""
    before = select_before_each(connection, (step for _, step in exports))
    paid = (step for step in before if parse_kind(step) in PAID)
    kept = collect_needed(
        connection, [*paid, *(step for _, step in exports)], horizon
    )  # one may have been begun just now
    ready = {key: step for key, step in exports if step not in kept}
    behind = select_steps_behind(ready.values(), before)
    _forget_facts(connection, [key for key in behind if parse_kind(key) in PAID and key not in kept], at_once)
    if ready:
        connection.execute(_TIDY, [{"key": key} for key in sorted(ready)])


def _forget_facts(connection: Connection, keys: Sequence[str], at_once: int) -> None:
    """In the order of their numbers: of two machines that are at it, one waits for the other, never both."""
    shown: set[str] = set()
    numbers: list[int] = []
    for some in split_into_portions(keys):
        delivered = sa.select(ATTEMPTS.c.before).join(DELIVERIES, DELIVERIES.c.attempt == ATTEMPTS.c.id)
        shown.update(
            connection.execute(delivered.where(ATTEMPTS.c.before.in_(some), where_kind_in("export"))).scalars()
        )
        numbers += connection.execute(sa.select(ATTEMPTS.c.id).where(ATTEMPTS.c.key.in_(some))).scalars()
    for few in split_into_portions(sorted(numbers), at_once):
        query = sa.select(ATTEMPTS.c.id, ATTEMPTS.c.key, ATTEMPTS.c.epoch, ATTEMPTS.c.facts)
        changed = []
        for row in connection.execute(query.where(ATTEMPTS.c.id.in_(few)).order_by(ATTEMPTS.c.id)):
            facts: dict[str, Any] = load_facts(row.facts)
            gone = {"baseline", "reply"} if row.key in shown else {"baseline", "reply", "draft"}
            kept = {name: value for name, value in facts.items() if name not in gone}
            if kept != facts:
                changed.append({"known_id": row.id, "known_epoch": row.epoch, "kept": dump_facts(kept)})
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
        now = connection.execute(sa.select(read_database_clock(connection))).scalar() or 0.0
        for row in connection.execute(sa.select(OWNERS).where(OWNERS.c.id != ours.id)).all():
            lock = Path(row.lock)
            here = ours.can_try_lock(row.host, lock)
            if row.id in names or (is_locked(lock) if here else row.lease_until > now - DAY_SECONDS):
                continue
            connection.execute(OWNERS.delete().where(OWNERS.c.id == row.id))
            if here:
                lock.unlink(missing_ok=True)


@dataclass(frozen=True)
class _KeptFile:
    path: Path
    size: int
    since: float


def _forget_uploads(database: Database, folder: Path, now: float, bounds: UpkeepBounds) -> None:
    """Remove the oldest of too many kept uploads, and those that are delivered and old; never those of open jobs.

    What is owed and what was delivered lately is looked through only where old ones are left.
    """
    files = sorted(_list_kept_files(folder, now), key=lambda each: each.since)
    horizon = now - KEEP_DAYS * DAY_SECONDS
    total = sum(each.size for each in files)
    if not files or (files[0].since >= horizon and total <= bounds.limit):
        return
    before = select_opened(database)
    old: dict[str, _KeptFile] = {}
    for each in files:
        if each.path.name in before.names:
            continue
        if total > bounds.limit and each.since < now - FRESH_SECONDS:
            total -= each.size if _remove_upload(each) else 0
        elif each.since < horizon:
            old[each.path.name] = each
    for names in list_needed_names(database, horizon, bounds.portion) if old else ():
        for name in names & old.keys():
            del old[name]
        if not old:
            return
    later = select_begun_since(database, before) if old else set()
    for name in old.keys() - later:
        _remove_upload(old[name])


def _remove_upload(kept: _KeptFile) -> bool:
    """Remove a file, unless it was used again since it was listed.

    Renamed first: a use at this moment is seen by its time, or finds the file gone and keeps it again.
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
    except FileNotFoundError:  # another process removes it as well
        return False
    return True


def _list_kept_files(folder: Path, now: float) -> Iterator[_KeptFile]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        try:
            info = path.stat()
        except FileNotFoundError:
            continue
        if path.name.startswith("."):  # half written
            if info.st_mtime < now - DAY_SECONDS:
                path.unlink(missing_ok=True)
        elif path.is_file():
            yield _KeptFile(path, info.st_size, info.st_mtime)

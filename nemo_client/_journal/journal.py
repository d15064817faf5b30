"""The durable record of steps: what was asked for, where it was carried out, how far it came.

It is written before the wire. The table of moves in `steps` says which way an attempt may go; here each move is one
compare-and-set on the attempt's epoch, so that of two processes that both believe it is theirs only one goes on. No
transaction spans the network, and all of it runs on a thread of its own, so that a disk's sync never stalls a stream.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from .._config.paths import JOURNAL_FILE
from .._config.timings import JournalTimings, timings_in_use
from .._errors import DiskError, JournalAway, LostRace
from . import job_rows, queries
from .database import Database, read_database_clock
from .db_thread import DatabaseThread
from .leases import UNOWNED, Mark, Owner, is_locked, read_monotonic_mark, seconds_since
from .records import DAY_SECONDS, Attempt, Delivery, Facts, attempt_from_row, row_from_attempt
from .schema import ATTEMPTS, OWNERS
from .steps import GIVES_BACK, NEW_ATTEMPT, PAID, Event, State, advance

logger = logging.getLogger("nemo_client")

_T = TypeVar("_T")
Life = Literal["ours", "alive", "stuck", "dead"]

# Made once: building a statement of twenty columns costs as much as running it.
_INSERT: Final = ATTEMPTS.insert()
_UPDATE: Final = ATTEMPTS.update().where(
    ATTEMPTS.c.id == sa.bindparam("known_id"), ATTEMPTS.c.epoch == sa.bindparam("known_epoch")
)

RUN_SECONDS: Final = 7 * DAY_SECONDS
"""How far back the messages of one run are looked for."""

NEWEST_CHARGES: Final = 50
NEWEST_DURATIONS: Final = 20
"""How many finished steps of a kind tell what the next one is expected to take."""

_NEVER: Final[Mark] = (float("-inf"), float("-inf"))


def find_journal_url() -> str | None:
    """The URL of the journal's database, where it is not a file (NEMO_JOURNAL_URL)."""
    return os.environ.get("NEMO_JOURNAL_URL") or None


class Journal(DatabaseThread):
    """The record of all requests, in one database. Every method is one transaction."""

    def __init__(
        self,
        directory: Path,
        url: str | None = None,
        *,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        timings: JournalTimings | None = None,
    ) -> None:
        """`url` is another database (SQLAlchemy's form); by default a SQLite file in `directory`."""
        self.timings = timings or timings_in_use().journal
        self._database = Database(url, directory, self.timings)
        self._owner = Owner(directory)
        super().__init__("nemo-journal", sleep)
        self._given_wall = wall
        self._held = self._closed = False
        self._renewed = _NEVER
        self._renewals: asyncio.Task[None] | None = None
        self._turns: dict[str, _Turn] = {}
        self._turns_lock = threading.Lock()
        self._noted: int | None = None
        self._noted_on_disk = 0

    @classmethod
    def open(
        cls, directory: Path, *, wall: Callable[[], float] = time.time, timings: JournalTimings | None = None
    ) -> Journal:
        """The journal of a home directory: the database that NEMO_JOURNAL_URL names, else a file in `directory`.

        Nothing is read or made before it is used. Close it, or use it as an async context manager.
        """
        return cls(directory, find_journal_url(), wall=wall, timings=timings)

    @staticmethod
    def exists(directory: Path) -> bool:
        """Whether there may be a record already: reading must not make one. Blocks, for one look at the disk."""
        return find_journal_url() is not None or (directory / JOURNAL_FILE).exists()

    async def __aenter__(self) -> Journal:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def host(self) -> str:
        """The name of this machine in the journal."""
        return self._owner.host

    @property
    def machine(self) -> str:
        """What sets this home directory apart from others with this journal; empty where there are none."""
        return self._owner.place if self._database.shared else ""

    @property
    def owner_id(self) -> str:
        """The name of this process in the journal."""
        return self._owner.id

    @property
    def skew(self) -> float:
        """Seconds that the database's clock is ahead of this machine's; 0 for a file."""
        return self._database.skew

    def keeps(self, since: Mark) -> bool:
        """Whether what was recorded at `since` holds: no other process can have taken this one for dead by now."""
        return seconds_since(since) < self.timings.lease * 2 / 3

    def _read_wall(self) -> float:
        return self._given_wall() + self._database.skew

    async def close(self) -> None:
        """Give up ownership and close the database; not to be used afterwards."""
        if not self._closed:
            self._closed = True
            if self._renewals is not None:
                self._renewals.cancel()
            try:
                await self._do(self._close)
            finally:
                self._thread.shutdown(wait=False)

    async def check(self) -> None:
        """Raise the `DiskError` that paid work would meet: unwritable, damaged, or of a newer program."""

        def check() -> None:
            with self._database.writing():
                if self._database.too_new:
                    raise self._database.make_too_new_error()

        await self._do(check)

    async def work(self, work: Callable[[Database, Owner], _T]) -> _T:
        """Upkeep: do `work` in transactions of its own, on the journal's thread."""
        return await self._do(work, self._database, self._owner)

    async def latest(self, key: str, session_id: str | None = None) -> Attempt | None:
        """The newest attempt at a step, or None; with `session_id`, the newest one in that session."""
        return await self._read_rows(lambda connection: queries.select_latest(connection, key, session_id))

    async def latest_of_first(self, *keys: str) -> Attempt | None:
        """The newest attempt at the first of these steps that has one, or None, in one transaction."""

        def read(connection: Connection) -> Attempt | None:
            found = (queries.select_latest(connection, key) for key in keys)
            return next((each for each in found if each is not None), None)

        return await self._read_rows(read)

    async def placements(self, key: str) -> list[Attempt]:
        """The finished attempts at a step, newest first: each is a place where it was carried out."""
        query = sa.select(ATTEMPTS).where(ATTEMPTS.c.key == key, ATTEMPTS.c.state == State.DONE.value)
        return await self._select_attempts(query.order_by(ATTEMPTS.c.number.desc()))

    async def is_followed(self, key: str) -> bool:
        """Whether any step was begun behind this one."""
        query = sa.select(ATTEMPTS.c.id).where(ATTEMPTS.c.before == key).limit(1)
        return await self._read_rows(lambda connection: connection.execute(query).first() is not None)

    async def begin(self, attempt: Attempt) -> Attempt:
        """Record a planned attempt as ours; `LostRace` if one with this key and number exists already."""
        return await self._do(self._begin, attempt)

    async def begin_sent(self, attempt: Attempt, facts: Mapping[str, Any]) -> Attempt:
        """Record an attempt at a free step as ours and, with these `facts` more, as sent, in one transaction."""
        return await self._do(self._record_begun_and_sent, attempt, facts)

    async def move(self, attempt: Attempt, event: Event, **changes: Any) -> Attempt:
        """Advance by the table if `attempt` is still the record's newest version, else `LostRace`.

        `changes` are fields of the attempt; `facts` are merged into those it has. An event that begins another
        attempt gives that one, with these facts alone. The process that moves an attempt owns it; RELEASE leaves it
        without an owner.
        """
        return await self._do(self._move, attempt, event, changes)

    async def finished(self, attempt: Attempt, facts: Mapping[str, Any], **where: Any) -> Attempt:
        """Record a free step that is done already: begun (again, if `attempt` is on record), sent and finished."""
        return await self._do(self._record_finished, attempt, facts, where)

    async def commit(
        self, attempt: Attempt, admit: Callable[[Sequence[Attempt], Sequence[Attempt]], None], **changes: Any
    ) -> Attempt:
        """Admission and SEND in one transaction; `LostRace` where another step holds its session by now.

        `admit` is given the account's other open paid attempts and the profile's paid ones of the last 24 hours, and
        raises where the message must not go out; then nothing is changed. Both come without their facts, but for what
        they took (`money.spent`), and the baseline of a chat of which that is not known; a free attempt is given none.
        Those of the day are read if they are looked at.
        """
        return await self._do(self._commit, attempt, admit, changes)

    async def claim(self, session_id: str, at: str, by: str) -> bool:
        """Make `by` the session's head if it is `at` now (an unclaimed session stands at the step that opened it).

        A claim of another step counts as long as its owner lives, or its message may be in flight; else the session
        stands where it did before that claim.
        """
        return await self._do(self._claim, session_id, at, by)

    async def head(self, session_id: str) -> str:
        """The key of the step that a session stands at; empty where it is unclaimed. Void claims do not count."""
        return await self._read_rows(
            lambda connection: queries.select_head(
                connection, session_id, self._owner.id, partial(self._is_alive, connection)
            )
        )

    async def yield_claim(self, session_id: str, at: str, by: str) -> None:
        """Undo a claim whose step was not sent."""
        await self._do(self._yield_claim, session_id, at, by)

    async def give_back(self, by: str) -> None:
        """Undo this process's claims of a step, unless its message is in flight or others carry it out."""
        await self._do(self._give_back, by)

    async def life(self, attempt: Attempt) -> Life:
        """Whether the attempt's owner is this process, another that lives, one that lives but is stuck, or dead."""
        return await self._do(self._read_life, attempt.owner)

    async def owner_pid(self, attempt: Attempt) -> int:
        """The process id of the attempt's owner, 0 if it is not known."""
        return await self._read_rows(lambda connection: queries.select_owner_pid(connection, attempt.owner))

    async def tell_charges(self, account: str, held: float, settled_before: float) -> tuple[dict[str, float], bool]:
        """Note what the account's balance, `held` now, says of charges that came after their work was done.

        What it says, by step, and whether a charge is still to come. A zero counts for what was sent before
        `settled_before` only.
        """
        return await self._do(self._tell_charges, account, held, settled_before)

    async def find_uncharged(self) -> list[tuple[str, str]]:
        """(profile, account) of the finished steps whose charge was not seen yet, each once."""
        return await self._read_rows(queries.select_uncharged_accounts)

    async def open_attempts(self, account: str) -> list[Attempt]:
        """Attempts of an account whose outcome is still owed, without their facts."""
        return await self._read_rows(lambda connection: queries.select_open(connection, account))

    async def undelivered(self, account: str) -> list[Attempt]:
        """Finished paid steps of an account that no delivered export shows yet, without their facts."""
        return await self._read_rows(lambda connection: queries.select_undelivered(connection, account))

    async def paid_since(self, profile: str, moment: float) -> list[Attempt]:
        """Attempts at paid steps of a profile that were sent, and not refused, after `moment`."""
        return await self._read_rows(lambda connection: queries.select_paid_since(connection, profile, moment))

    async def other_runs_since(self, account: str, run: str, moment: float) -> bool:
        """Whether a paid message of an account that does not belong to this run went out after `moment`."""
        return await self._read_rows(lambda connection: queries.find_other_runs(connection, account, run, moment))

    async def made_in(self, profile: str, run: str) -> list[tuple[str, float | None, float | None]]:
        """What a run of the last week paid for and got, oldest first: key, credits if exact, else at most."""
        moment = self._read_wall() - RUN_SECONDS
        return await self._read_rows(lambda connection: queries.select_made_in(connection, profile, run, moment))

    async def is_joined(self, attempt: Attempt) -> bool:
        """Whether another paid message of the attempt's account went out since it did, by whichever profile."""
        return await self._read_rows(lambda connection: queries.is_joined(connection, attempt))

    async def sent_after(self, attempt: Attempt) -> Attempt | None:
        """The first message that went out in the attempt's session after it, or None."""
        return await self._read_rows(lambda connection: queries.select_sent_after(connection, attempt))

    async def charges(self, profile: str, kind: str, newest: int = NEWEST_CHARGES) -> list[float]:
        """What the newest finished steps of that kind took, in credits, where that is known for sure."""
        return await self._read_rows(lambda connection: queries.select_charges(connection, profile, kind, newest))

    async def usual_seconds(self, profile: str, kind: str, newest: int = NEWEST_DURATIONS) -> float | None:
        """How long a step of that kind takes on this machine: the median of the newest finished ones."""
        taken = await self._read_rows(lambda connection: queries.select_durations(connection, profile, kind, newest))
        return median(taken) if taken else None

    async def read_history(
        self, profile: str, charged: Collection[str], kind: str, account: str
    ) -> tuple[dict[str, list[float]], float | None, bool]:
        """What a message's admission goes by, in one transaction.

        The `charges` of each of the kinds `charged`, the `usual_seconds` of `kind`, and whether `account` has charges
        that were not seen yet, which `tell_charges` may tell.
        """

        def read(connection: Connection) -> tuple[dict[str, list[float]], list[float], bool]:
            charges = {each: queries.select_charges(connection, profile, each, NEWEST_CHARGES) for each in charged}
            taken = queries.select_durations(connection, profile, kind, NEWEST_DURATIONS)
            return charges, taken, bool(queries.select_uncharged(connection, account))

        charges, taken, uncharged = await self._read_rows(read)
        return charges, median(taken) if taken else None, uncharged

    async def deliver(self, attempt: Attempt, path: Path, facts: Mapping[str, Any]) -> None:
        """Record a file that lies in its place on this host."""
        await self._do(self._deliver, attempt, path, facts)

    async def deliveries(self, key: str) -> list[Delivery]:
        """What was delivered of a step, newest first; on other hosts, too."""
        return await self._read_rows(lambda connection: queries.select_deliveries(connection, key))

    async def delivered_among(self, paths: Sequence[str]) -> set[str]:
        """Those of these paths under which a video was delivered."""
        return await self._read_rows(lambda connection: queries.select_delivered_among(connection, paths))

    async def paid_among(self, keys: Sequence[str]) -> set[str]:
        """Those of these steps that are not paid again: they are done, or open."""
        return await self._read_rows(lambda connection: queries.select_paid_among(connection, keys))

    async def recent(self, *, limit: int = 50, hidden: bool = False) -> list[Attempt]:
        """The newest attempts at steps that matter to people (paid kinds), newest first."""
        query = sa.select(ATTEMPTS).where(queries.where_kind_in(*PAID))
        if not hidden:
            query = query.where(ATTEMPTS.c.hidden.is_(False))
        return await self._select_attempts(query.order_by(ATTEMPTS.c.created.desc(), ATTEMPTS.c.id.desc()).limit(limit))

    async def exports_of(self, key: str) -> list[Attempt]:
        """The exports behind a step, newest first."""
        query = sa.select(ATTEMPTS).where(ATTEMPTS.c.before == key, queries.where_kind_in("export"))
        return await self._select_attempts(query.order_by(ATTEMPTS.c.changed.desc()))

    async def steps_in(self, session_id: str) -> list[Attempt]:
        """The attempts at paid kinds of steps in a session, newest first."""
        query = sa.select(ATTEMPTS).where(ATTEMPTS.c.session_id == session_id, queries.where_kind_in(*PAID))
        return await self._select_attempts(query.order_by(ATTEMPTS.c.created.desc(), ATTEMPTS.c.id.desc()))

    async def read_lists(self, read: Callable[[Connection], _T]) -> _T:
        """What `read` finds in the rows that lists are made of, once those that are missing are there.

        Missing are what another program wrote: an older one, or a database from before there were such rows.
        """
        found: list[_T] = []

        def reading() -> bool:
            if self._note_missing():
                return False
            with self._database.reading() as connection:
                found[:] = [read(connection)]
            return True

        while not await self._do(reading):
            pass
        return found[0]

    def take_turn(self, key: str) -> AbstractContextManager[None] | None:
        """The turn to carry out a step, to be held meanwhile; None while another Studio with this journal has it.

        One whose event loop has stopped has it no longer.
        """
        turn = _Turn(key, self._turns)
        with self._turns_lock:
            other = self._turns.get(key)
            if other is not None and other.loop.is_running():
                return None
            self._turns[key] = turn
        return turn

    async def renew_lists(self, numbers: Sequence[int]) -> None:
        """Make the rows of these attempts again: an older program went on with them."""

        def renew() -> None:
            with self._database.writing() as connection:
                job_rows.write_missing_rows(connection, numbers)

        await self._do(renew)

    async def change_mark(self) -> str:
        """A word that is another one after each change of the journal, by whichever process. Reads no rows."""
        return await self._do(self._database.change_mark)

    async def failed_after(self, key: str) -> list[Attempt]:
        """Attempts of messages after a step that made nothing, newest first."""
        return await self._read_rows(lambda connection: queries.select_failed_after(connection, key))

    async def messages_since(self, attempt: Attempt) -> int:
        """How many other messages went out in the attempt's session after it did."""
        return await self._read_rows(lambda connection: queries.count_messages_since(connection, attempt))

    async def hide(self, key: str) -> None:
        """Leave a tombstone: the step stays known (so that it is not paid again), but is no longer shown."""
        await self._do(self._hide, key)

    # On the journal's own thread from here on.

    def _after_work(self) -> None:
        if self._held and not self._closed:
            self._keep_alive()

    def _after_undo(self) -> None:
        self._renewed = _NEVER

    def _keep_alive(self) -> None:
        """Renew the lease as long as this event loop turns, whether steps are written or a stream is waited for."""
        loop, task = asyncio.get_running_loop(), self._renewals
        if task is None or task.done() or task.get_loop() is not loop:
            self._renewals = loop.create_task(self._keep_renewing())

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(self.timings.renew)
            try:
                await self.renew()
            except DiskError as error:  # the steps themselves will say so
                logger.info("the lease could not be renewed (%s)", error.id)

    async def _select_attempts(self, query: sa.Select[Any]) -> list[Attempt]:
        return await self._read_rows(lambda connection: [attempt_from_row(row) for row in connection.execute(query)])

    async def _read_rows(self, read: Callable[[Connection], _T]) -> _T:
        def reading() -> _T:
            with self._database.reading() as connection:
                return read(connection)

        return await self._do(reading)

    def _begin(self, attempt: Attempt) -> Attempt:
        self._become_owner()
        try:
            with self._database.writing() as connection:
                if attempt.paid and self._database.too_new:
                    raise self._database.make_too_new_error()
                self._renew_if_due(connection)
                return self._find_confirmed(connection) or self._record_begin(connection, attempt)
        except IntegrityError as error:
            raise LostRace from error

    def _record_finished(self, attempt: Attempt, facts: Mapping[str, Any], where: Mapping[str, Any]) -> Attempt:
        self._become_owner()
        try:
            with self._database.writing() as connection:
                self._renew_if_due(connection)
                if confirmed := self._find_confirmed(connection):
                    return confirmed
                if attempt.id:
                    begun = self._apply_event(connection, attempt, Event.ASK_AGAIN, dict(where))
                else:
                    begun = self._record_begin(connection, replace(attempt, **where))
                begun = self._apply_event(connection, begun, Event.SEND, {})
                return self._apply_event(connection, begun, Event.FINISH, {"facts": facts})
        except IntegrityError as error:
            raise LostRace from error

    def _record_begun_and_sent(self, attempt: Attempt, facts: Mapping[str, Any]) -> Attempt:
        self._become_owner()
        try:
            with self._database.writing() as connection:
                self._renew_if_due(connection)
                if confirmed := self._find_confirmed(connection):
                    return confirmed
                begun = self._record_begin(connection, attempt)
                return self._apply_event(connection, begun, Event.SEND, {"facts": facts})
        except IntegrityError as error:
            raise LostRace from error

    def _record_begin(self, connection: Connection, attempt: Attempt) -> Attempt:
        now = self._read_wall()
        return self._insert(connection, replace(attempt, created=now, changed=now, owner=self._owner.id))

    def _insert(self, connection: Connection, attempt: Attempt) -> Attempt:
        result = connection.execute(_INSERT, row_from_attempt(attempt))
        primary = result.inserted_primary_key
        written = self._transaction.written = replace(attempt, id=int(primary[0]) if primary else 0)
        job_rows.write_row(connection, written)
        return written

    def _find_confirmed(self, connection: Connection) -> Attempt | None:
        """What this piece of work wrote already, where a commit that was not answered turns out to be on disk."""
        unsure = self._transaction.unsure
        return unsure if unsure is not None and queries.rewrite_attempt(connection, unsure) else None

    def _move(self, attempt: Attempt, event: Event, changes: dict[str, Any]) -> Attempt:
        self._become_owner()
        try:
            with self._database.writing() as connection:
                self._renew_if_due(connection)
                return self._find_confirmed(connection) or self._apply_event(connection, attempt, event, changes)
        except IntegrityError as error:
            raise LostRace from error

    def _apply_event(self, connection: Connection, attempt: Attempt, event: Event, changes: dict[str, Any]) -> Attempt:
        state = advance(attempt.state, event, free=not attempt.paid)
        if attempt.paid and self._database.too_new and event in (Event.SEND, *NEW_ATTEMPT):
            raise self._database.make_too_new_error()
        changes = dict(changes)
        added = changes.pop("facts", {})
        now = self._read_wall()
        if event in NEW_ATTEMPT and state is State.PLANNED:
            # A paid step has one next attempt for all processes; free ones may be repeated side by side.
            number = attempt.number if attempt.paid else queries.select_newest_number(connection, attempt.key)
            again = replace(
                attempt, number=number + 1, state=state, epoch=0, facts=added, sent=None, spent=None, hidden=False,
                created=now, changed=now, owner=self._owner.id,
            )  # fmt: skip
            return self._insert(connection, replace(again, **changes))
        sent = {"sent": queries.find_time_to_send(connection, attempt, now)} if event is Event.SEND else {}
        moved = replace(
            attempt, state=state, epoch=attempt.epoch + 1, changed=now, facts=Facts({**attempt.facts, **added}),
            owner=UNOWNED if event is Event.RELEASE else self._owner.id, **{**sent, **changes},
        )  # fmt: skip
        known = {"known_id": attempt.id, "known_epoch": attempt.epoch}
        if connection.execute(_UPDATE, {**row_from_attempt(moved), **known}).rowcount != 1:
            raise LostRace
        if event in GIVES_BACK:  # in one transaction: the next owner makes its own claim
            queries.end_claim(connection, moved)
        elif event is Event.EVIDENCE and attempt.state in (State.LOST, State.FAILED):  # it gave its session back then
            queries.retake_claim(connection, moved)
        queries.record_end(connection, moved)
        job_rows.write_row(connection, moved)
        self._transaction.written = moved
        return moved

    def _tell_charges(self, account: str, held: float, settled_before: float) -> tuple[dict[str, float], bool]:
        with self._database.reading() as connection:
            if not queries.select_uncharged(connection, account):  # nearly always
                return {}, False
        charges: dict[str, float] = {}
        with self._database.writing() as connection:
            for attempt, spent, exact in queries.find_charges(connection, account, held, settled_before):
                money = {**attempt.facts["money"], "spent": spent, "certainty": "exact" if exact else "at most"}
                known = replace(
                    attempt, spent=spent if exact else None, facts=Facts({**attempt.facts, "money": money})
                )  # fmt: skip
                connection.execute(
                    _UPDATE, {**row_from_attempt(known), "known_id": attempt.id, "known_epoch": attempt.epoch}
                )
                queries.write_at_most(connection, known)
                job_rows.write_row(connection, known)
                charges[attempt.key] = spent
            return charges, bool(queries.select_uncharged(connection, account))

    def _commit(
        self,
        attempt: Attempt,
        admit: Callable[[Sequence[Attempt], Sequence[Attempt]], None],
        changes: dict[str, Any],
    ) -> Attempt:
        self._become_owner()
        try:
            with self._database.writing() as connection:
                self._renew_if_due(connection)
                if (confirmed := self._find_confirmed(connection)) is not None:
                    return confirmed
                if attempt.paid and self._database.too_new:
                    raise self._database.make_too_new_error()
                if not queries.holds_claim(connection, attempt):  # another step was given the session meanwhile
                    raise LostRace
                if not attempt.paid:
                    admit((), ())
                    return self._apply_event(connection, attempt, Event.SEND, changes)
                queries.lock_account(connection, attempt.account)
                opened = [
                    each for each in queries.select_open_paid(connection, attempt.account) if each.id != attempt.id
                ]
                admit(opened, queries.lazy_last_day(connection, attempt.profile, self._read_wall()))
                return self._apply_event(connection, attempt, Event.SEND, changes)
        except IntegrityError as error:
            raise LostRace from error

    def _claim(self, session_id: str, at: str, by: str) -> bool:
        self._become_owner()
        try:
            return self._try_claim(session_id, at, by)
        except IntegrityError:  # the first two claims of a session met: now there is a head to compare with
            return self._try_claim(session_id, at, by)

    def _try_claim(self, session_id: str, at: str, by: str) -> bool:
        with self._database.writing() as connection:
            self._renew_if_due(connection)
            lives = partial(self._is_alive, connection)
            return queries.claim_session(connection, session_id, at, by, self._owner.id, lives)

    def _give_back(self, by: str) -> None:
        if self._held:
            with self._database.writing() as connection:
                queries.give_claims_back(connection, by, self._owner.id)

    def _yield_claim(self, *claim: str) -> None:
        with self._database.writing() as connection:
            queries.release_claim(connection, *claim)

    def _deliver(self, attempt: Attempt, path: Path, facts: Mapping[str, Any]) -> None:
        delivery = Delivery(path, self._read_wall(), facts, self.host)
        with self._database.writing() as connection:
            queries.insert_delivery(connection, attempt, delivery, again=self._transaction.tries > 1)

    def _hide(self, key: str) -> None:
        with self._database.writing() as connection:
            connection.execute(ATTEMPTS.update().where(ATTEMPTS.c.key == key).values(hidden=True))
            job_rows.hide_job(connection, key)

    def _note_missing(self) -> bool:
        """Add some of the rows that lists miss; whether there may be more. A journal that is only read stays so."""
        with self._database.reading() as connection:
            newest = job_rows.select_last_number(connection)
            if self._noted is None:
                self._noted = self._noted_on_disk = job_rows.read_noted(connection)
            if newest <= self._noted or self._database.too_new:
                return False
            until = min(newest, self._noted + job_rows.LOOKED_AT_ONCE)
            missing = job_rows.find_missing(connection, self._noted, until)
        if len(missing) > job_rows.MISSING_AT_ONCE:
            missing = missing[: job_rows.MISSING_AT_ONCE]
            until = missing[-1]
        if missing or until - self._noted_on_disk > job_rows.FAR_BEHIND:
            try:
                with self._database.writing() as connection:
                    job_rows.write_missing_rows(connection, missing)
                    job_rows.write_noted(connection, until)
            except JournalAway:
                raise
            except DiskError as error:
                logger.info("lists may lack jobs: the journal cannot be written (%s)", error.id)
                return False
            self._noted_on_disk = until
        self._noted = until
        return until < newest

    # Ownership.

    def _become_owner(self) -> None:
        """Become an owner that others can see: the lock first, then the row."""
        if self._held:
            return
        self._owner.hold()
        gone = self._owner.sweep()
        with self._database.writing() as connection:
            if gone:
                connection.execute(OWNERS.delete().where(OWNERS.c.id.in_(gone)))
            self._write_lease(connection)
        self._held = True

    async def renew(self) -> None:
        """Renew the lease. Done every `timings.renew` seconds by itself, from the first step on."""

        def renewed() -> None:
            if self._held:
                with self._database.writing() as connection:
                    self._write_lease(connection)

        await self._do(renewed)

    def _renew_if_due(self, connection: Connection) -> None:
        if seconds_since(self._renewed) >= self.timings.renew:
            self._write_lease(connection)

    def _write_lease(self, connection: Connection) -> None:
        """The owner's row, made again where others took this process for dead (a machine that slept)."""
        now = read_monotonic_mark()
        mine = {
            "host": self._owner.host,
            "pid": self._owner.pid,
            "lock": str(self._owner.lock_path),
            "lease_until": read_database_clock(connection) + sa.literal(self.timings.lease, sa.Float),
        }
        if connection.execute(OWNERS.update().where(OWNERS.c.id == self._owner.id).values(**mine)).rowcount == 0:
            connection.execute(OWNERS.insert().values(id=self._owner.id, **mine))
        self._renewed = now

    def _read_life(self, owner: str) -> Life:
        with self._database.reading() as connection:
            return self._find_life(connection, owner)

    def _is_alive(self, connection: Connection, owner: str) -> bool:
        return self._find_life(connection, owner) != "dead"

    def _find_life(self, connection: Connection, owner: str) -> Life:
        if owner == self._owner.id:
            return "ours"
        leased = (OWNERS.c.lease_until > read_database_clock(connection)).label("leased")
        row = connection.execute(sa.select(OWNERS, leased).where(OWNERS.c.id == owner)).first()
        if row is None:
            return "dead"
        if not self._owner.can_try_lock(row.host, Path(row.lock)):
            return "alive" if row.leased else "dead"
        return ("alive" if row.leased else "stuck") if is_locked(Path(row.lock)) else "dead"

    def _close(self) -> None:
        try:
            gone = [self._owner.id] if self._held else []
            self._owner.release()
            self._held = False
            gone += self._owner.sweep()  # here, too, for a run that found everything done and wrote nothing
            if gone:
                with self._database.writing() as connection:
                    connection.execute(OWNERS.delete().where(OWNERS.c.id.in_(gone)))
        except JournalAway as error:  # the lease ends by itself
            logger.info("the journal's database is away (%s)", error.facts.get("reason"))
        finally:
            self._database.close()


class _Turn(AbstractContextManager[None]):
    """Who carries out a step in this process, until it leaves."""

    def __init__(self, key: str, turns: dict[str, _Turn]) -> None:
        self.loop = asyncio.get_running_loop()
        self._key = key
        self._turns = turns

    def __exit__(self, *_: object) -> None:
        if self._turns.get(self._key) is self:
            del self._turns[self._key]


async def choose_writable_journal(journal: Journal, directory: Path, *, free: bool) -> Journal:
    """`journal`, or for free work one in memory where `journal` cannot be written.

    A damaged journal is raised here in any case, else a new one would begin unnoticed.
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

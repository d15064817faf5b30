"""The journal among several owners: compare-and-set, claims, admission, leases, upkeep, and how quick it is."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from sqlalchemy.dialects import sqlite

from nemo_client import Cancelled, Journal, LimitError, NoCredits, SessionBusy, list_jobs
from nemo_client._config.timings import JournalTimings
from nemo_client._journal import queries
from nemo_client._journal.money import covers_estimate
from nemo_client._journal.records import DAY_SECONDS as DAY
from nemo_client._journal.records import Attempt
from nemo_client._journal.retention import UpkeepBounds, run_upkeep
from nemo_client._journal.schema import ATTEMPTS, OWNERS, TIDIED
from nemo_client._journal.steps import Event, IllegalMove, State
from nemo_client._wire.schemas import Credits
from tests.support.backend import memory_journal, until

_T = TypeVar("_T")
_names = itertools.count()


def planned(key: str = "generate-1", **rest: Any) -> Attempt:
    return Attempt(key, 1, State.PLANNED, "nemo", **{"account": "me", **rest})


def died(journal: Journal) -> None:
    """What a killed process leaves: its row, and a file whose lock is not held."""
    lock = journal._owner._lock
    if lock is not None:
        lock.release()


def rows(journal: Journal, query: sa.Select[Any]) -> list[Any]:
    def read() -> list[Any]:
        with journal._database.reading() as connection:
            return list(connection.execute(query))

    return journal._thread.submit(read).result()


# --- Two owners in any order ----------------------------------------------------------------------------------------

KEYS = ("generate-1", "edit-1", "chat-1")
OWNERS_AT_WORK = st.integers(0, 1)


class TwoOwners(RuleBasedStateMachine):
    """Two processes on one journal, with versions of any age, that begin, move, commit, claim and die."""

    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.home = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///file:two{next(_names)}?mode=memory&cache=shared&uri=true"
        self.owners = [self.fresh(), self.fresh()]
        self.newest: dict[tuple[str, int], int] = {}
        self.sends: dict[str, int] = dict.fromkeys(KEYS, 0)
        self.excuses: dict[str, int] = dict.fromkeys(KEYS, 1)
        self.out: set[tuple[str, int]] = set()
        self.done: set[tuple[str, int]] = set()
        self.head: str | None = None
        self.point = ""
        self.claimer: Journal | None = None

    def fresh(self) -> Journal:
        return Journal(Path(self.home.name), self.url)

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        for owner in self.owners:
            self.run(owner.close())
        self.run(asyncio.sleep(0))
        self.loop.close()
        self.home.cleanup()

    @rule(target=versions, who=OWNERS_AT_WORK, key=st.sampled_from(KEYS))
    def begin(self, who: int, key: str) -> Attempt:
        """One of all that begin a step has it."""
        try:
            begun = self.run(self.owners[who].begin(planned(key)))
        except SessionBusy:
            assert (key, 1) in self.newest
            known = self.run(self.owners[who].latest(key))
            assert known is not None
            return known
        assert (key, 1) not in self.newest
        self.newest[key, 1] = 0
        return begun

    @rule(target=versions, who=OWNERS_AT_WORK, seen=versions, event=st.sampled_from(Event))
    def move(self, who: int, seen: Attempt, event: Event) -> Attempt:
        """Only the newest version goes on, and only where the table lets it."""
        return self.moved(seen, event, lambda: self.owners[who].move(seen, event))

    @rule(target=versions, who=OWNERS_AT_WORK, seen=versions)
    def commit(self, who: int, seen: Attempt) -> Attempt:
        """The commit as sent is such a move."""
        return self.moved(seen, Event.SEND, lambda: self.owners[who].commit(seen, lambda opened, day: None))

    def moved(self, seen: Attempt, event: Event, work: Callable[[], Coroutine[Any, Any, Attempt]]) -> Attempt:
        place = (seen.key, seen.number)
        try:
            after = self.run(work())
        except (SessionBusy, IllegalMove):
            return seen
        if after.number != seen.number:
            assert (after.key, after.number) not in self.newest, "one next attempt"
        else:
            assert self.newest[place] == seen.epoch, "an old version went on"
        assert place not in self.done or seen.state is not State.DONE, "done was left"
        self.newest[after.key, after.number] = after.epoch
        self.sends[seen.key] += event is Event.SEND
        self.excuses[seen.key] += event in (Event.REFUSE, Event.RESEND)
        if event is Event.SEND:
            self.out.add(place)
        if event is Event.REFUSE:
            self.out.discard(place)
        if after.state is State.DONE:
            self.done.add(place)
        return after

    @rule(target=versions, who=OWNERS_AT_WORK, key=st.sampled_from(KEYS))
    def take_over(self, who: int, key: str) -> Attempt:
        """As a message does it: what a dead owner planned is taken, what it sent is unknown."""
        known = self.run(self.owners[who].latest(key))
        if known is None:
            return self.begin(who, key)
        event = {State.PLANNED: Event.TAKE_OVER, State.SENT: Event.OWNER_DIED}.get(known.state)
        if event is None or self.run(self.owners[who].life(known)) != "dead":
            return known
        return self.moved(known, event, lambda: self.owners[who].move(known, event))

    @rule(who=OWNERS_AT_WORK)
    def die(self, who: int) -> None:
        """Killed; another process takes its place, and knows what the journal knows."""
        gone, self.owners[who] = self.owners[who], self.fresh()
        self.run(self.owners[who].recent())  # a shared database in memory lives as long as somebody has it open
        died(gone)
        gone._held = False
        self.run(gone.close())

    @rule(who=OWNERS_AT_WORK, at=st.sampled_from(["upload-1", *KEYS]), by=st.sampled_from(KEYS))
    def claim(self, who: int, at: str, by: str) -> None:
        """A session's head moves from where the writer stands, and never from anywhere else.

        A claim whose owner died before it sent anything is none: then the writer stands where it was taken.
        """
        void = self.point if self.head is not None and self.is_void() else None
        got = self.run(self.owners[who].claim("s", at, by))
        assert got == (self.head in (None, at, by) or void == at)
        if got:
            self.point = self.point if self.head == by else at
            self.head, self.claimer = by, self.owners[who]

    def is_void(self) -> bool:
        if self.claimer is None or self.claimer in self.owners:
            return False
        newest = self.run(self.owners[0].latest(self.head or ""))
        return newest is None or newest.state in (State.PLANNED, State.REFUSED)

    @rule(who=OWNERS_AT_WORK, at=st.sampled_from(["upload-1", *KEYS]), by=st.sampled_from(KEYS))
    def give_back(self, who: int, at: str, by: str) -> None:
        """Only who holds the claim can undo it."""
        self.run(self.owners[who].yield_claim("s", at, by))
        if self.head == by:
            self.head, self.claimer = at, None

    @invariant()
    def paid_once(self) -> None:
        """Between two sends lies a refusal or the user's word, and what was sent is never told as not charged."""
        assert all(self.sends[key] <= self.excuses[key] for key in KEYS)
        found = {(row.key, row.number): State(row.state) for row in rows(self.owners[0], sa.select(ATTEMPTS))}
        assert set(found) == set(self.newest)
        assert all(found[place] is State.DONE for place in self.done)
        assert not [place for place in self.out if found[place] in (State.PLANNED, State.REFUSED)]
        for key in KEYS:
            alive = [n for (k, n), state in found.items() if k == key and state in (State.PLANNED, State.SENT)]
            assert len(alive) <= 1, "two attempts of one step at work"


TestTwoOwners = pytest.mark.long(TwoOwners.TestCase)
TestTwoOwners.settings = settings(
    max_examples=10, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


def at_once(count: int, work: Callable[[int], Coroutine[Any, Any, _T]]) -> list[_T | Exception]:
    """What `count` owners came to that start at one moment, each in a thread with a loop of its own."""
    results: list[_T | Exception] = []
    start = threading.Barrier(count)

    def one(number: int) -> None:
        start.wait()
        try:
            results.append(asyncio.run(work(number)))
        except Exception as error:  # noqa: BLE001 - handed back
            results.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_eight_owners_on_a_hundred_credits_send_one_message(tmp_path: Path) -> None:
    """Each sees those that were admitted before it, so they cannot all pass on one balance."""

    def admit(opened: Sequence[Attempt], day: Sequence[Attempt]) -> None:
        if not covers_estimate(Credits(available=100, frozen=0), 100, [100.0] * len(opened), seen=False):
            raise NoCredits(code=2001)

    async def owner(number: int) -> Attempt:
        journal = Journal(tmp_path)
        try:
            return await journal.commit(await journal.begin(planned(f"generate-{number}")), admit)
        finally:
            await journal.close()

    results = at_once(8, owner)

    assert [each.state for each in results if isinstance(each, Attempt)] == [State.SENT]
    assert sum(isinstance(each, NoCredits) for each in results) == 7


def test_of_owners_that_ask_for_one_step_one_sends(tmp_path: Path) -> None:
    """All see the same planned attempt; the compare-and-set lets one of them go on. The same with claims."""

    async def begun() -> Attempt:
        return await Journal(tmp_path).begin(planned())

    seen = asyncio.run(begun())

    async def owner(number: int) -> bool:
        journal = Journal(tmp_path)
        try:
            assert (await journal.commit(seen, lambda opened, day: None)).state is State.SENT
            return await journal.claim("s", "upload-1", f"generate-{number}")
        finally:
            await journal.close()

    async def claimer(number: int) -> bool:
        claimers.append(Journal(tmp_path))  # they live on: with its owner, a claim without a message ends
        return await claimers[-1].claim("t", "upload-1", f"generate-{number}")

    claimers: list[Journal] = []
    results = at_once(8, owner)
    assert [each for each in results if not isinstance(each, SessionBusy)] == [True]
    assert sorted(map(bool, at_once(8, claimer))) == [False] * 7 + [True]
    for journal in claimers:
        asyncio.run(journal.close())


async def test_a_claim_of_a_dead_owner_is_void_where_nothing_went_out(tmp_path: Path) -> None:
    """Before its attempt exists and while that is planned or refused; not once it was sent."""
    for number, events in enumerate(([], ["begin"], ["begin", Event.SEND, Event.REFUSE], ["begin", Event.SEND])):
        session, first = f"s{number}", Journal(tmp_path)
        key, other = f"edit-{number}", f"edit-other-{number}"
        assert await first.claim(session, "generate-1", key)
        attempt = planned(key, session_id=session, before="generate-1")
        for event in events:
            attempt = await (first.begin(attempt) if event == "begin" else first.move(attempt, event))
        if Event.REFUSE in events:  # claimed once more, to ask again
            assert await first.claim(session, "generate-1", key)
        second = Journal(tmp_path)

        assert not await second.claim(session, "generate-1", other)
        assert await second.head(session) == key
        died(first)
        out = attempt.state is State.SENT
        assert await second.head(session) == (key if out else "generate-1")
        assert not await second.claim(session, "upload-1", other)
        assert await second.claim(session, "generate-1", other) is not out
        assert await second.head(session) == (key if out else other)
        first._held = False
        await first.close()
        await second.close()


async def test_a_claim_that_is_void_is_taken_once(tmp_path: Path) -> None:
    """Of many that find it void one has it: the others compare with what it set."""
    gone = Journal(tmp_path)
    assert await gone.claim("s", "generate-1", "edit-gone")
    died(gone)

    async def claimer(number: int) -> bool:
        journal = Journal(tmp_path)
        alive.append(journal)
        return await journal.claim("s", "generate-1", f"edit-{number}")

    alive: list[Journal] = []
    results = await asyncio.to_thread(at_once, 8, claimer)

    assert sorted(map(bool, results)) == [False] * 7 + [True]
    gone._held = False
    for journal in (*alive, gone):
        await journal.close()


async def test_what_is_sent_holds_its_session_still(tmp_path: Path) -> None:
    """One that was taken for dead, so that another step was given its session, sends nothing."""
    first, second = Journal(tmp_path), Journal(tmp_path)
    assert await first.claim("s", "generate-1", "edit-1")
    begun = await first.begin(planned("edit-1", session_id="s", before="generate-1"))
    died(first)
    assert await second.claim("s", "generate-1", "edit-2")

    with pytest.raises(SessionBusy):
        await first.commit(begun, lambda opened, day: None)
    newest = await second.latest("edit-1")
    assert newest is not None
    assert newest.state is State.PLANNED
    for journal in (first, second):
        journal._held = False
        await journal.close()


@pytest.mark.parametrize("event", [Event.CLEAR, Event.EXPIRE, Event.REFUSE])
async def test_what_came_to_nothing_gives_its_session_back(tmp_path: Path, event: Event) -> None:
    """In one transaction with its end; a late result takes it up again, unless another step went on meanwhile."""
    journal = Journal(tmp_path)
    assert await journal.claim("s", "generate-1", "edit-1")
    attempt = await journal.begin(planned("edit-1", session_id="s", before="generate-1"))
    for step in (Event.SEND, Event.BREAK, event):
        attempt = await journal.move(attempt, step)

    assert await journal.head("s") == "generate-1"
    if attempt.state is State.LOST:
        await journal.move(attempt, Event.EVIDENCE)
        assert await journal.head("s") == "edit-1"
    await journal.close()


async def test_admission_is_given_the_run_and_the_last_day() -> None:
    """What raises there leaves the attempt planned."""
    now = [1_800_000_000.0]
    journal = Journal(Path(tempfile.mkdtemp()), "sqlite://", wall=lambda: now[0])
    given: list[list[str]] = []

    def admit(opened: Sequence[Attempt], day: Sequence[Attempt]) -> None:
        given.append([f"{each.key} {each.run}" for each in day])
        if sum(each.run == "r" for each in day) >= 2:
            raise LimitError("limit", estimate="1", limit=1, limit_name="run_limit", spent="1")

    for number in range(2):
        sent = await journal.commit(await journal.begin(planned(f"edit-{number}", run="r")), admit)
        await journal.move(sent, Event.FINISH)
        now[0] += 3600
    third = await journal.begin(planned("edit-2", run="r"))
    with pytest.raises(LimitError):
        await journal.commit(third, admit)
    assert await journal.latest("edit-2") == third
    now[0] += 24 * 3600
    await journal.commit(third, admit)

    assert given == [[], ["edit-0 r"], ["edit-0 r", "edit-1 r"], []]
    await journal.close()


async def test_admission_counts_what_was_taken_at_most() -> None:
    """A charge that is not known exactly counts all the same, without reading drafts; a free message is given none."""
    journal = memory_journal()
    given: list[list[Any]] = []

    def admit(opened: Sequence[Attempt], day: Sequence[Attempt]) -> None:
        given.append([(each.kind, dict(each.facts)) for each in day])

    endings = {"edit-exact": ("exact", 40.0), "edit-most": ("at most", 60.0), "edit-unknown": ("unknown", None)}
    for key, (certainty, spent) in endings.items():
        sent = await journal.commit(await journal.begin(planned(key)), admit)
        money = {"spent": spent, "certainty": certainty}
        sure = spent if certainty == "exact" else None
        await journal.move(sent, Event.FINISH, spent=sure, facts={"money": money, "draft": {"x": "y" * 1000}})
    await journal.commit(await journal.begin(planned("chat-paid")), admit)
    await journal.commit(await journal.begin(planned("chat-free", free=True)), admit)

    spent = [("edit", {"money": {"spent": 40.0}}), ("edit", {"money": {"spent": 60.0}}), ("edit", {})]
    assert given == [[], spent[:1], spent[:2], spent, []]
    await journal.close()


# --- Owners ---------------------------------------------------------------------------------------------------------


async def test_an_owner_lives_as_long_as_it_holds_its_lock(tmp_path: Path) -> None:
    """On one host the lock decides; a lease that ran out means that its holder is stuck, not dead."""
    first, second = Journal(tmp_path), Journal(tmp_path)
    seen = await first.begin(planned())

    assert await first.life(seen) == "ours"
    assert await second.life(seen) == "alive"
    assert await second.owner_pid(seen) == os.getpid()
    with first._database.writing() as connection:
        connection.execute(OWNERS.update().values(lease_until=0.0))
    assert await second.life(seen) == "stuck"
    died(first)
    assert await second.life(seen) == "dead"
    first._held = False
    await first.close()
    await second.close()


async def test_a_closed_journal_leaves_no_owner_behind(tmp_path: Path) -> None:
    """Its row and its lock file go with it."""
    first, second = Journal(tmp_path), Journal(tmp_path)
    seen = await first.begin(planned())
    await first.close()

    assert await second.life(seen) == "dead"
    assert rows(second, sa.select(OWNERS)) == []
    assert list((tmp_path / "owners").iterdir()) == []
    await second.close()


async def test_between_hosts_the_lease_decides_by_the_clock_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines whose own clocks are an hour apart agree on who lives."""
    hosts = []
    for host, off in (("one", -3600.0), ("two", 3600.0)):
        monkeypatch.setenv("NEMO_HOST_ID", host)
        hosts.append(Journal(tmp_path, wall=lambda off=off: time.time() + off))  # type: ignore[misc]
    first, second = hosts
    seen, other = await first.begin(planned()), await second.begin(planned("edit-1"))

    assert (await second.life(seen), await first.life(other)) == ("alive", "alive")
    with first._database.writing() as connection:
        connection.execute(OWNERS.update().where(OWNERS.c.host == "one").values(lease_until=0.0))
    assert (await second.life(seen), await first.life(other)) == ("dead", "alive")
    for journal in hosts:
        await journal.close()


async def test_a_lease_is_renewed_while_nothing_is_written(tmp_path: Path) -> None:
    """A stream is read for minutes. Where others took the process for dead and cleared its row, it comes back."""
    journal = Journal(tmp_path, timings=JournalTimings(renew=0.01))
    seen = await journal.begin(planned())
    other = Journal(tmp_path)
    with other._database.writing() as connection:
        connection.execute(OWNERS.delete())
    assert await other.life(seen) == "dead"

    await until(lambda: rows(other, sa.select(OWNERS)))
    assert await other.life(seen) == "alive"
    await journal.close()
    await asyncio.sleep(0.03)
    assert rows(other, sa.select(OWNERS)) == []
    await other.close()


# --- Upkeep ---------------------------------------------------------------------------------------------------------

NOW = 1_800_000_000.0
DRAFT = {"id": "d"}


class Kept:
    """A home directory with a journal and uploads, at times that the tests say."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = NOW
        self.bounds = UpkeepBounds()
        self.journal = Journal(directory, wall=lambda: self.now)
        (directory / "uploads").mkdir(parents=True)

    async def step(self, key: str, before: str = "", *events: Event, **facts: Any) -> Attempt:
        free = key.startswith(("upload", "export"))
        attempt = await self.journal.begin(planned(key, before=before, free=free))
        for number, event in enumerate(events):
            last = number == len(events) - 1
            changes = {"facts": facts, **({} if free else {"spent": 80.0})} if last else {}
            attempt = await self.journal.move(attempt, event, **changes)
        return attempt

    async def done(self, key: str, before: str = "", **facts: Any) -> Attempt:
        return await self.step(key, before, Event.SEND, Event.FINISH, **facts)

    async def message(self, key: str, before: str) -> Attempt:
        money = {"before": 300.0, "after": 220.0, "spent": 80.0, "certainty": "exact"}
        return await self.done(key, before, text="a cat", baseline={"x": 1}, reply="yes", draft=DRAFT, money=money)

    async def delivered(self, key: str, before: str, days_ago: float) -> None:
        export = await self.done(key, before)
        self.now = NOW - days_ago * DAY
        await self.journal.deliver(export, self.directory / f"{key}.mp4", {})
        self.now = NOW

    def file(self, name: str, days_ago: float, size: int = 10) -> None:
        path = self.directory / "uploads" / name
        path.write_bytes(b"x" * size)
        os.utime(path, (NOW - days_ago * DAY,) * 2)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in (self.directory / "uploads").iterdir())

    async def facts(self, key: str) -> set[str]:
        found = await self.journal.latest(key)
        assert found is not None
        assert (found.state, found.session_id, found.spent) == (State.DONE, "", 80.0)
        return set(found.facts)

    async def upkeep(self, days_later: float = 0.0, **rest: Any) -> None:
        bounds = replace(self.bounds, **rest)
        await run_upkeep(self.journal, self.directory, NOW + days_later * DAY, bounds=bounds)


@pytest.fixture
async def kept(tmp_path: Path) -> Any:
    made = Kept(tmp_path / "home")
    yield made
    await made.journal.close()


ALL = {"text", "baseline", "reply", "draft", "money"}


async def test_what_was_delivered_long_ago_keeps_its_charge_and_the_draft_that_was_shown(kept: Kept) -> None:
    """Evidence, replies and the drafts in between go; the prompt, the money and the exported draft stay."""
    await kept.done("upload-1", media=[["pixels:1", "a.jpg", "image/jpeg"]])
    await kept.message("generate-1", "upload-1")
    await kept.message("edit-1", "generate-1")
    await kept.delivered("export-1", "edit-1", days_ago=91)
    await kept.message("generate-2", "upload-1")
    await kept.delivered("export-2", "generate-2", days_ago=89)
    await kept.message("generate-3", "upload-1")

    await kept.upkeep()

    assert await kept.facts("edit-1") == {"text", "draft", "money"}
    assert await kept.facts("generate-1") == {"text", "money"}
    assert await kept.facts("generate-2") == await kept.facts("generate-3") == ALL
    assert rows(kept.journal, sa.select(TIDIED.c.key)) == [("export-1",)]


async def test_nothing_is_forgotten_behind_open_steps(kept: Kept) -> None:
    """A step whose outcome is owed may still need what lies before it."""
    await kept.message("generate-1", "upload-1")
    await kept.message("edit-1", "generate-1")
    await kept.delivered("export-1", "edit-1", days_ago=200)
    unsure = await kept.step("edit-2", "generate-1", Event.SEND, Event.BREAK)

    await kept.upkeep()
    assert await kept.facts("generate-1") == ALL
    assert await kept.facts("edit-1") == {"text", "draft", "money"}
    await kept.journal.move(unsure, Event.EVIDENCE)


async def test_uploads_go_ninety_days_after_delivery(kept: Kept) -> None:
    """Never those of open or undelivered work, nor of what was delivered since; half-written ones after a day."""
    for name, age in (("old", 100), ("open", 100), ("owed", 100), ("late", 100), ("alone", 100), ("young", 80)):
        await kept.done(f"upload-{name}", media=[["pixels:1", f"{name}.jpg", "image/jpeg"]])
        kept.file(f"{name}.jpg", age)
    kept.file(".x.part", 2)
    kept.file(".y.part", 0.5)
    await kept.message("generate-old", "upload-old")
    await kept.delivered("export-old", "generate-old", days_ago=95)
    await kept.step("generate-open", "upload-open", Event.SEND, Event.BREAK)
    await kept.message("generate-owed", "upload-owed")
    await kept.message("generate-late", "upload-late")
    await kept.delivered("export-late", "generate-late", days_ago=80)

    await kept.upkeep()

    assert kept.files == [".y.part", "late.jpg", "open.jpg", "owed.jpg", "young.jpg"]


async def test_too_many_uploads_go_oldest_first(kept: Kept) -> None:
    """Open jobs are exempt from the bound, and so is what was kept a moment ago, by a request without a row yet."""
    for number, age in enumerate((5, 4, 3, 2, 0.01)):
        await kept.done(f"upload-{number}", media=[["pixels:1", f"{number}.jpg", "image/jpeg"]])
        kept.file(f"{number}.jpg", age)
    await kept.step("generate-0", "upload-0", Event.SEND)

    await kept.upkeep(limit=30)
    assert kept.files == ["0.jpg", "3.jpg", "4.jpg"]
    await kept.upkeep(days_later=1.5, limit=5)
    assert kept.files == ["0.jpg"]


async def test_upkeep_is_done_once_a_day(kept: Kept) -> None:
    """A Studio that opens again looks at one small file."""
    await kept.upkeep()
    kept.file("a.jpg", 100)
    await kept.upkeep(days_later=0.9)
    assert kept.files == ["a.jpg"]
    await kept.upkeep(days_later=1.1)
    assert kept.files == []


async def test_dead_owners_are_cleared_away(kept: Kept) -> None:
    """But for those that a planned or sent attempt still names; another host's only a day after its lease."""
    await kept.step("upload-1", "", Event.SEND, Event.FINISH)
    mine = rows(kept.journal, sa.select(OWNERS.c.id))[0].id
    with kept.journal._database.writing() as connection:
        here = kept.journal._owner.host
        for name, host, lease in (
            ("gone", here, 0.0),
            ("named", here, 0.0),
            ("far", "far", time.time() - 2 * DAY),
            ("asleep", "far", time.time() - DAY / 2),
        ):
            lock = kept.directory / "owners" / f"{name}.lock"
            lock.touch()
            connection.execute(OWNERS.insert().values(id=name, host=host, pid=1, lock=str(lock), lease_until=lease))
        connection.execute(ATTEMPTS.update().values(state="sent", owner="named"))

    await kept.upkeep()

    assert {row.id for row in rows(kept.journal, sa.select(OWNERS.c.id))} == {mine, "named", "asleep"}
    assert not (kept.directory / "owners" / "gone.lock").exists()
    assert (kept.directory / "owners" / "named.lock").exists()


async def test_upkeep_never_fails(kept: Kept) -> None:
    """A Studio opens all the same: here a folder lies in the place of the file that holds the day of the last one."""
    (kept.directory / "upkeep").mkdir(parents=True)

    await kept.upkeep()


# --- How quick it is ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A journal of 100,000 rows."""
    yield from fill_journal(tmp_path_factory.mktemp("crowded"), 33_334)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Path]:
    """A journal of 300 rows: how SQLite reads does not depend on their number."""
    yield from fill_journal(tmp_path / "filled", 100)


def fill_journal(home: Path, chains: int) -> Iterator[Path]:
    """A journal of uploads, generations with their drafts, and delivered exports."""

    async def fill() -> None:
        journal = Journal(home)
        await journal.recent()
        facts = json.dumps({"text": "a cat", "draft": {"x": "y" * 400}, "money": {"spent": 80.0}})
        with journal._database.writing() as connection:
            connection.execute(ATTEMPTS.insert(), [row for n in range(chains) for row in chain(n, facts)])
        await journal.close()

    def chain(number: int, facts: str) -> Iterator[dict[str, Any]]:
        key, shared = f"{number:040x}", {"number": 1, "state": "done", "epoch": 2, "owner": "o", "profile": "nemo"}
        when = 1_700_000_000.0 + number
        shared |= {"account": "me", "session_id": key, "task_id": "t", "run": "", "hidden": False, "created": when}
        shared |= {"changed": when, "sent": when}
        yield {**shared, "key": f"upload-{key}", "before": "", "free": True, "spent": None, "facts": "{}"}
        before = f"upload-{key}"
        yield {**shared, "key": f"generate-{key}", "before": before, "free": False, "spent": 80.0, "facts": facts}
        before = f"generate-{key}"
        yield {**shared, "key": f"export-{key}", "before": before, "free": True, "spent": None, "facts": "{}"}

    asyncio.run(fill())
    yield home
    with contextlib.suppress(OSError):
        (home / "journal.sqlite3").unlink()


async def median_ms(work: Callable[[int], Coroutine[Any, Any, Any]], times: int) -> float:
    taken = []
    for number in range(times):
        started = time.perf_counter()
        await work(number)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


@pytest.mark.nightly
@pytest.mark.long
async def test_a_hundred_thousand_rows_slow_nothing_down(crowded: Path) -> None:
    """Bounds ten times what a quiet machine takes: they catch a missing index, not a busy neighbour."""
    journal = Journal(crowded)

    assert await median_ms(lambda n: journal.latest(f"generate-{n * 997:040x}"), 30) < 10
    assert await median_ms(lambda n: journal.charges("nemo", ("generate", "chat")[n % 2]), 10) < 15
    assert await median_ms(lambda n: journal.recent(), 5) < 30
    assert await median_ms(lambda n: journal.begin(planned(f"generate-new{n}", account="you")), 20) < 30
    assert await median_ms(lambda n: journal.undelivered("me"), 5) < 20
    assert await median_ms(lambda n: journal.usual_seconds("nemo", "export"), 10) < 15
    assert await median_ms(lambda n: list_jobs(journal), 5) < 100
    assert await journal.undelivered("me") == []
    await journal.close()


async def test_what_is_often_asked_uses_an_index(filled: Path) -> None:
    """Whatever the machine: none of these reads the whole table or sorts it."""
    journal = Journal(filled)
    seen: list[tuple[str, Any]] = []

    def heard(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH")) and "attempts" in statement:
            seen.append((statement, parameters))

    await journal.latest("generate-x")
    engine = journal._database._engine
    assert engine is not None
    sa.event.listen(engine, "before_cursor_execute", heard)
    await journal.latest("generate-x")
    await journal.latest("generate-x", "s")
    await journal.recent()
    await journal.charges("nemo", "chat")
    await journal.exports_of("generate-x")
    await journal.open_attempts("me")
    await journal.paid_since("nemo", 1.0)
    await journal.undelivered("me")
    await journal.usual_seconds("nemo", "chat")
    export = await journal.begin(planned("export-new", before="generate-x", account="you"))
    await journal.move(await journal.move(export, Event.SEND), Event.FINISH)

    assert len(seen) == 10
    for statement, parameters in list(seen):
        with journal._database.reading() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        scans = [row.detail for row in plan if row.detail.startswith(("SCAN attempts", "SCAN owed", "SCAN at_most"))]
        assert not any("USING INDEX" not in each for each in scans), statement
    owed = [statement for statement, _ in seen if re.match(r"SELECT.*(JOIN owed|account = \?)", statement, re.DOTALL)]
    assert len(owed) == 2, "what an account still owes"
    assert not any("facts" in statement for statement in owed), "facts are long"
    await journal.close()


async def test_who_asks_a_closed_journal_is_told_that_the_program_was_closed() -> None:
    """A caller who was between two steps when its Studio was closed: no RuntimeError, and no "Nothing was charged"."""
    journal = memory_journal()
    await journal.check()
    await journal.close()

    with pytest.raises(Cancelled) as caught:
        await journal.latest("generate-x")
    assert (caught.value.id, caught.value.charged) == ("closed-detached", "maybe")


async def test_a_journal_in_memory_needs_no_file() -> None:
    """As tests and the free preview use it."""
    journal = memory_journal()
    await journal.check()
    await journal.close()


async def test_what_a_message_takes_beside_others_is_read_by_the_time_alone(tmp_path: Path) -> None:
    """Not by its account: a year of that account's messages would be read at each commit and each end."""
    journal = Journal(tmp_path)
    await journal.check()
    asked = {"account": "user-1", "attempt": 1, "moment": 0.0}
    plan = sa.text(f"EXPLAIN QUERY PLAN {_sql_of(queries._TAKEN_BESIDE.params(**asked))}")

    with journal._database.reading() as connection:
        steps = " ".join(str(row[3]) for row in connection.execute(plan))
    await journal.close()

    assert "attempts_changed" in steps


def _sql_of(statement: sa.Select[Any]) -> str:
    return str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))

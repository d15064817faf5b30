"""What a journal carries: paid steps and whole videos, of several processes, in PostgreSQL and in SQLite, on a disk.

    python -m benchmarks.fleet [--smoke] [--json FILE]

The server runs on this machine with Debian's settings, beside the processes that ask it: its processor time is given
by itself, so that what it would do alone can be reckoned. A paid step is three transactions, as the Messenger makes
them; each waits for the disk. Where PostgreSQL is not installed, only SQLite is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import _postgres
from benchmarks._figures import Figure, main
from benchmarks._paying import PROFILE, planned
from benchmarks._walks import upkeep_of, walks
from benchmarks.concurrency import STREAMS, serving, waiting_crowd
from nemo_client import Journal
from nemo_client._journal.money import ESTIMATES, Money, count_for_limits
from nemo_client._journal.records import Attempt
from nemo_client._journal.steps import Event

ROOT = Path(__file__).parent.parent
PROCESSES = (1, 2, 4, 8)
SECONDS = 10.0
OTHERS = (0, 1_000, 10_000)
"""Paid messages of the same account that are out, or paid steps of the profile's last day."""
ROWS = 1_000_000
AT_ONCE = 32
TABLES = ("attempts", "deliveries", "sessions", "owed", "at_most", "accounts", "tidied")
_BULK = """
INSERT INTO attempts ("key", number, state, epoch, owner, profile, "before", account, session_id, task_id, run, free,
    hidden, created, changed, sent, spent, facts)
SELECT 'generate-' || substr(md5('{name}' || n) || md5('-' || n), 1, 40), 1, '{state}', 2, 'gone', '{profile}',
    'upload-' || substr(md5(n || '{name}') || md5('+' || n), 1, 40), '{account}', 'session ' || n, 'task ' || n, 'run',
    false, false, {at}, {at}, {at}, 80.0, '{{"text": "a slow push-in", "money": {{"spent": 80.0}}, "reply": "'
    || md5('a' || n) || md5('b' || n) || md5('c' || n) || md5('d' || n) || repeat('x', 600) || '"}}'
FROM generate_series(1, {rows}) n
"""
_DELIVERED = """
INSERT INTO attempts ("key", number, state, epoch, owner, profile, "before", account, session_id, task_id, run, free,
    hidden, created, changed, sent, facts)
SELECT 'export-' || substr("key", 10), 1, state, 2, owner, profile, "key", account, session_id, task_id, run, true,
    false, created, changed, sent, '{{}}'
FROM attempts WHERE id % {late} = 0 AND state = 'done';
INSERT INTO deliveries (attempt, host, path, delivered, facts)
SELECT id, 'host', '/videos/' || id || '.mp4', {now} - CASE WHEN free THEN 91 ELSE 1 END * 86400.0, '{{}}'
FROM attempts WHERE free OR id % {late} > 0
"""
FORGOTTEN = 50
"""One of so many was delivered 90 days ago."""


@dataclass(frozen=True)
class Ran:
    """Steps that so many processes took: milliseconds of each one's transactions, and what they cost."""

    processes: int
    wall: float
    taken: Sequence[Sequence[float]]
    cpu: float
    server_cpu: float = 0.0
    wal: float = 0.0
    connections: int = 0

    @property
    def rate(self) -> float:
        """Paid steps a second."""
        return len(self.taken) / self.wall

    @property
    def transactions(self) -> int:
        return 3 * len(self.taken)

    @property
    def words(self) -> str:
        """Transactions a second, and how long one takes."""
        every = [each for step in self.taken for each in step]
        begin, commit, finish = (statistics.median(each) for each in zip(*self.taken, strict=True))
        return (
            f"{3 * self.rate:.0f} transactions/s, one takes {statistics.median(every):.1f} ms (95 %: "
            f"{statistics.quantiles(every, n=20)[-1]:.1f}); planned {begin:.1f}, sent {commit:.1f}, done {finish:.1f}"
        )


class Crew:
    """Processes that do what they are told, at the same time."""

    def __init__(self, size: int) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "benchmarks._paying"]
        self._all = [subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) for _ in range(size)]

    def ready(self, orders: Sequence[dict[str, Any]]) -> None:
        """Give as many as there are orders each its own, and wait until they are ready for it."""
        self._used = self._all[: len(orders)]
        for process, order in zip(self._used, orders, strict=True):
            _tell(process, json.dumps(order))
        for process in self._used:
            if _heard(process) != "ready":
                raise RuntimeError("a process of the benchmark has ended")

    def go(self) -> list[Any]:
        """Let them begin, and wait for what they report."""
        for process in self._used:
            _tell(process, "go")
        return [json.loads(_heard(process)) for process in self._used]

    def close(self) -> None:
        """End them."""
        for process in self._all:
            process.kill()
            process.communicate()


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None  # noqa: S101 - asked for above
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None  # noqa: S101 - asked for above
    return process.stdout.readline().strip()


@dataclass(frozen=True)
class Bench:
    """What the measurements work with; `address` is that of a backend that charges, for the environment."""

    crew: Crew
    folder: Path
    seconds: float
    address: dict[str, str]
    server: _postgres.Server | None = None

    def steps(self, accounts: Sequence[str], database: str = "", home: str = "") -> Ran:
        """Steps of one process for each of `accounts`: in the server's database, or in one SQLite file in `home`."""
        server = self.server
        orders = [
            {"work": "steps", "url": server and server.url(database), "account": account, "seconds": self.seconds,
             "home": str(self.folder / (home or f"home{number}"))}
            for number, account in enumerate(accounts)
        ]  # fmt: skip
        self.crew.ready(orders)
        cpu, wal = (server.cpu(), server.written()) if server else (0.0, 0)
        connections = _connections(server, database) if server else 0
        begin = time.perf_counter()
        reports = self.crew.go()
        found = Ran(
            len(accounts), time.perf_counter() - begin, [each for report in reports for each in report["taken"]],
            sum(report["cpu"] for report in reports),
        )  # fmt: skip
        if server is None:
            return found
        more = {"server_cpu": server.cpu() - cpu, "wal": float(server.written() - wal), "connections": connections}
        return replace(found, **more)

    def videos(self, count: int, database: str = "") -> tuple[dict[str, float], dict[str, float]]:
        """So many videos: what each asked for, and by how much each made the journal grow."""
        server, home = self.server, self.folder / "videos"
        url = server.url(database) if server else ""
        environment = {**self.address, "NEMO_HOME": str(home), "NEMO_JOURNAL_URL": url}
        order = {"work": "videos", "home": str(home), "environment": environment, "pauses": 0.02, "count": count,
                 "at_once": AT_ONCE}  # fmt: skip
        self.crew.ready([order])
        before = _sizes(home, server, database)
        (seen,) = self.crew.go()
        after = _sizes(home, server, database)
        asked = {name: seen[name] / count for name in seen}
        return asked, {name: (after[name] - before[name]) / count for name in after}


def _connections(server: _postgres.Server, database: str) -> int:
    found = server.say(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'")  # noqa: S608 - our own
    return int(found[0][0])


def _sizes(home: Path, server: _postgres.Server | None, database: str) -> dict[str, float]:
    if server is None:
        return {"file": float((home / "journal.sqlite3").stat().st_size)}
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)  # noqa: S608 - our own names
    sizes = " + ".join(f"pg_total_relation_size('{table}')" for table in TABLES)
    (found,) = server.say(f"SELECT {counts}, {sizes}", database)
    named = dict(zip((*TABLES, "size"), map(float, found), strict=True))
    return {**named, "cpu": server.cpu(), "wal": float(server.written())}


def sync_of_disk(folder: Path, times: int, load: str) -> Figure:
    """What everything here waits for: 8 KiB written and on the disk."""
    taken = []
    with open(folder / "sync", "wb", buffering=0) as file:
        for _ in range(times):
            begin = time.perf_counter()
            file.write(os.urandom(8192))
            getattr(os, "fdatasync", os.fsync)(file.fileno())
            taken.append((time.perf_counter() - begin) * 1000)
    most = statistics.quantiles(taken, n=20)[-1]
    note = f"{_postgres.file_system(folder) or 'unknown'} file system, 95 %: {most:.2f}; load {load} at the start"
    return Figure("8 KiB on this disk", statistics.median(taken), None, "ms", "", None, note)


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def in_sqlite(bench: Bench, counts: Sequence[int], videos: int) -> list[Figure]:
    """Steps of several processes in one file, and what a video asks for and leaves there."""
    figures = []
    for count in counts:
        seen = bench.steps([f"account {each}" for each in range(count)], home=f"sqlite{count}")
        figures.append(Figure(f"SQLite, {_processes(count)}", seen.rate, None, "steps/s", "", None, seen.words))
    asked, left = bench.videos(videos)
    writes, reads = asked["writing"], asked["reading"]
    note = f"and {asked.get('looks', 0):.1f} looks at its render, which takes no time here"
    return [
        *figures,
        Figure("a video: writing transactions", writes, None, "", "<= 8", writes < 8.5),
        Figure("a video: reading transactions", reads, None, "", "<= 11", reads < 11.5),
        Figure("a video: requests", asked["requests"], None, "", "", None, note),
        _client(asked, "SQLite"),
        Figure("a video: SQLite's file", left["file"] / 1024, None, "KiB", "", None),
    ]


def _client(asked: dict[str, float], where: str) -> Figure:
    note = f"{AT_ONCE} at once in one process: {1 / asked['wall']:.1f} videos/s"
    return Figure(f"a video: CPU of its client, {where}", asked["cpu"] * 1000, None, "ms", "", None, note)


def in_postgres(bench: Bench, counts: Sequence[int]) -> list[Figure]:
    """Steps of several processes in one database, with accounts of their own and with one."""
    own = [bench.steps([f"account {each}" for each in range(count)], _database(bench)) for count in counts]
    one = [bench.steps(["one"] * count, _database(bench)) for count in counts if count > 1]
    most = own[-1]
    each, connections = 1000 / most.transactions, most.connections / most.processes
    at = f"{_processes(most.processes)}, accounts of their own"
    return [
        *(_steps(seen, "accounts of their own") for seen in own),
        *(_steps(seen, "one account") for seen in one),
        Figure("PostgreSQL: its CPU", most.server_cpu * each, None, "ms/transaction", "", None, at),
        Figure("PostgreSQL: client's CPU", most.cpu * each, None, "ms/transaction", "", None, at),
        Figure("PostgreSQL: connections", connections, None, "a process", "1", connections == 1, at),
    ]


def _steps(seen: Ran, where: str) -> Figure:
    name = f"PostgreSQL, {_processes(seen.processes)}, {where}"
    return Figure(name, seen.rate, None, "steps/s", "", None, seen.words)


def _processes(count: int) -> str:
    return f"{count} process{'es' if count > 1 else ''}"


def _server(bench: Bench) -> _postgres.Server:
    assert bench.server is not None  # noqa: S101 - only called where there is one
    return bench.server


def _database(bench: Bench) -> str:
    return _server(bench).database()


def whole_videos(bench: Bench, count: int) -> list[Figure]:
    """What a video leaves in PostgreSQL, and what that costs."""
    asked, left = bench.videos(count, _database(bench))
    rows = ", ".join(f"{name} {left[name]:.1f}" for name in TABLES if left[name])
    return [
        Figure("a video: CPU of PostgreSQL", left["cpu"] * 1000, None, "ms", "", None),
        _client(asked, "PostgreSQL"),
        Figure("a video: tables and indexes", left["size"] / 1024, None, "KiB", "", None, f"rows: {rows}"),
        Figure("a video: write-ahead log", left["wal"] / 1024, None, "KiB", "", None),
    ]


def streams() -> Figure:
    """What it costs to read a stream, among as many as a process reads by default."""
    taken = waiting_crowd(STREAMS, False).waiting_cpu / STREAMS * 1000
    return Figure("a stream that is read: CPU", taken, None, "ms/s", "", None, f"{STREAMS} in one process")


def admissions(bench: Bench, others: Sequence[int], times: int) -> list[Figure]:
    """What it takes to admit a message where others of its account are out, and where the day is counted."""
    out = [asyncio.run(_admitted(bench, count, times, counting=False)) for count in others]
    days = [count for count in others if count]
    day = [asyncio.run(_admitted(bench, count, times, counting=True)) for count in days]
    limits = "run_limit or day_limit is set"
    return [
        Figure(f"admission, {count:,} out on its account", taken, None, "ms", "", None)
        for count, taken in zip(others, out, strict=True)
    ] + [
        Figure(f"admission, a day of {count:,} counted", taken, None, "ms", "", None, limits)
        for count, taken in zip(days, day, strict=True)
    ]


async def _admitted(bench: Bench, others: int, times: int, *, counting: bool) -> float:
    """Milliseconds of an admission among others: messages in flight, or (`counting`) those that the day took."""
    server, database = _server(bench), _database(bench)
    state, account = ("done", "another") if counting else ("sent", "one")

    def admit(opened: Sequence[Attempt], day: Sequence[Attempt]) -> None:
        """As the Messenger reckons; the day is read only where there is a limit to be held."""
        sum(ESTIMATES[other.kind] for other in opened)
        if counting:
            sum(count_for_limits(each.kind, Money.from_json(each.facts.get("money"))) for each in day)

    journal, taken = Journal(bench.folder / "admitting", server.url(database)), []
    try:
        await journal.check()
        fill(server, database, others, state=state, account=account)
        for _ in range(times):
            attempt = await journal.begin(planned("one"))
            begin = time.perf_counter()
            sent = await journal.commit(attempt, admit)
            taken.append((time.perf_counter() - begin) * 1000)
            await journal.move(sent, Event.DECLINE)
    finally:
        await journal.close()
    return statistics.median(taken)


def fill(server: _postgres.Server, database: str, rows: int, *, state: str, account: str, at: str = "") -> None:
    """So many paid attempts, made in bulk; sent now, if not `at` another moment."""
    now = at or f"{time.time():.0f}"
    told = _BULK.format(name=f"{database}{state}", state=state, profile=PROFILE, account=account, at=now, rows=rows)
    server.say(told, database)
    server.say("ANALYZE", database)


def among_rows(bench: Bench, rows: int, count: int) -> list[Figure]:
    """The same steps in a database that holds many already, right after a checkpoint."""
    server, database = _server(bench), _database(bench)
    asyncio.run(_made(Journal(bench.folder / "filling", server.url(database))))
    fill(server, database, rows, state="done", account="another", at="1700000000 + n")
    server.say("CHECKPOINT")
    seen = bench.steps([f"account {each}" for each in range(count)], database)
    server.say(_DELIVERED.format(now=time.time(), late=FORGOTTEN), database)
    name = f"PostgreSQL, {_processes(count)}, among {rows:,} rows"
    log, words = seen.wal / len(seen.taken) / 1024, "most of it whole pages, after a checkpoint"
    return [
        _steps(seen, f"among {rows:,} rows"),
        Figure(f"{name}: log", log, None, "KiB/step", "", None, words),
        *upkeep_of(server.url(database), bench.folder, rows),
    ]


async def _made(journal: Journal) -> None:
    """Make the tables."""
    await journal.check()
    await journal.close()


def run(smoke: bool) -> list[Figure]:
    """SQLite, and PostgreSQL where it is installed."""
    counts, seconds, videos = ((2,), 0.1, 2) if smoke else (PROCESSES, SECONDS, 300)
    load = _load()
    figures = [] if smoke else [streams()]
    crew = Crew(counts[-1])
    try:
        with _postgres.disk_folder() as folder, serving(0.05, pace=0) as address:
            figures = [sync_of_disk(folder, 20 if smoke else 500, load), *figures]
            bench = Bench(crew, folder, seconds, address)
            figures += in_sqlite(bench, (1,) if smoke else (1, counts[-1]), videos)
            figures += walks(folder, *((10, 10) if smoke else (30_000, 30_000)))
            if why := _postgres.missing():
                return [*figures, Figure("PostgreSQL", 0.0, None, "", "", None, f"not measured: {why}")]
            with _postgres.server() as server:
                bench = replace(bench, server=server)
                figures += in_postgres(bench, counts)
                figures += admissions(bench, (5,) if smoke else OTHERS, 3 if smoke else 50)
                figures += whole_videos(bench, videos)
                return figures + among_rows(bench, 1_000 if smoke else ROWS, counts[-1])
    finally:
        crew.close()


if __name__ == "__main__":
    sys.exit(main(run, __doc__))

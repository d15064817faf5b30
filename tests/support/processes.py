"""Clients and a backend that are real processes, and what the backend's ledger says of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.ledger import LedgerReport, read_ledger
from tests.support.waiting import PATIENT_SECONDS

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = PATIENT_SECONDS


class Nursery:
    """A process that has everything loaded and forks the others."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._count = 0
        self._talk = threading.Lock()
        self._errors = (directory / "nursery.txt").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.process_client"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        self._pids: set[int] = set()

    def start(self, **order: Any) -> Child:
        """Start a process; its report is a file."""
        self._count += 1
        report = self.directory / f"report-{self._count}.json"
        pid = self._ask({**order, "report": str(report)})["pid"]
        self._pids.add(pid)
        return Child(self, pid, report)

    def wait(self, pid: int) -> dict[str, int]:
        """How it ended, or that it was stopped."""
        end = self._ask({"do": "wait", "pid": pid})
        if "stopped" not in end:
            self._pids.discard(pid)
        return end

    def _ask(self, order: Mapping[str, Any]) -> dict[str, int]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._talk:
            stdin.write(json.dumps(order).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        if not line:
            raise AssertionError((self.directory / "nursery.txt").read_text())
        answer: dict[str, int] = json.loads(line)
        return answer

    def close(self) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(PATIENT_SECONDS)
        self._errors.close()


@dataclass
class Child:
    """A process of the nursery."""

    nursery: Nursery
    pid: int
    report: Path

    def wait(self) -> dict[str, int]:
        return self.nursery.wait(self.pid)

    def send(self, sent: signal.Signals) -> None:
        os.kill(self.pid, sent)

    def result(self) -> dict[str, Any]:
        """What the process came to, once it has ended; a crash of it is one of the test."""
        end = self.wait()
        found: dict[str, Any] = json.loads(self.report.read_text()) if self.report.exists() else {}
        assert "crash" not in found, found["crash"]
        return {**end, **found}


@dataclass
class Service:
    """A backend in a process of its own."""

    nursery: Nursery
    directory: Path
    url: str
    token: str
    control: int

    @property
    def ledger(self) -> LedgerReport:
        return read_ledger(self.directory)

    def fault(self, kind: str, endpoint: str, **rest: Any) -> None:
        self._control("POST", [{"kind": kind, "endpoint": endpoint, **rest}])

    def clear(self) -> None:
        self._control("DELETE", [])

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """The agent finishes nothing within this block, however slow the test is."""
        self._control("PUT", True)
        try:
            yield
        finally:
            self._control("PUT", False)

    def _control(self, method: str, faults: list[dict[str, Any]] | bool) -> None:
        address = f"http://127.0.0.1:{self.control}"
        request = urllib.request.Request(address, json.dumps(faults).encode(), method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=PATIENT_SECONDS
        ) as answer:
            assert answer.status == 200


@contextlib.contextmanager
def service(directory: Path, *, generation_seconds: float = 0.2) -> Iterator[Service]:
    """A backend at work, and a nursery beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    nursery = Nursery(directory)
    try:
        place = directory / "backend"
        child = nursery.start(do="serve", directory=str(place), generation_seconds=generation_seconds)
        deadline = time.monotonic() + START_SECONDS
        while not child.report.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        told = json.loads(child.report.read_text())
        assert "crash" not in told, told["crash"]
        yield Service(nursery, place, told["url"], told["token"], told["control"])
    finally:
        nursery.close()


@dataclass
class Request:
    """One request as its user sees it: a home directory, a folder for the video, and time that goes on."""

    service: Service
    directory: Path
    later: float = 0.0
    t0: float = field(default_factory=time.time)
    seen: int = 0

    def __post_init__(self) -> None:
        self.seen = len(self.service.ledger.entries)
        self.directory.mkdir(parents=True, exist_ok=True)

    def start(self, *, host: str = "", **order: Any) -> Child:
        """A client that asks for it."""
        clock = {"t0": self.t0, "later": self.later, "folder": str(self.folder)}
        return self.service.nursery.start(do="animate", env=self.environment(host), **{**clock, **order})

    def step(self, **order: Any) -> dict[str, Any]:
        """One step on a session in a process of its own, to the end of that."""
        clock = {"t0": self.t0, "later": self.later}
        child = self.service.nursery.start(do="step", env=self.environment(""), **clock, **order)
        return child.result()

    def environment(self, host: str) -> dict[str, str]:
        """What a client on that machine finds in its environment."""
        return {
            "NEMO_HOME": str(self.directory / "home"),
            "NEMO_API_URL": self.service.url,
            "NEMO_WEB_URL": "https://web.test",
            "NEMO_TOKEN": self.service.token,
            **({"NEMO_HOST_ID": host} if host else {}),
        }

    def run(self, **order: Any) -> dict[str, Any]:
        """Ask for it in a process of its own, to the end of that."""
        return self.start(**order).result()

    @property
    def folder(self) -> Path:
        return self.directory / "videos"

    @property
    def ledger(self) -> LedgerReport:
        """What the backend was asked, and what it took, since this request began."""
        return LedgerReport(self.service.ledger.entries[self.seen :])

    def quiet_ledger(self) -> LedgerReport:
        """The same, once the work on its messages has ended (a message's charge comes at its end)."""
        deadline = time.monotonic() + PATIENT_SECONDS
        while any((self.service.directory / "runs").glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.ledger

    @property
    def states(self) -> list[str]:
        """The states of the journal's attempts at the message, oldest first."""
        path = self.directory / "home" / "journal.sqlite3"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path, timeout=PATIENT_SECONDS)) as database:
            rows = database.execute("SELECT state FROM attempts WHERE key LIKE 'generate-%' ORDER BY number")
            return [state for (state,) in rows]

    def newest(self, kind: str) -> str:
        """The state of the newest attempt at a step of that kind; empty where there is none."""
        path = self.directory / "home" / "journal.sqlite3"
        with closing(sqlite3.connect(path, timeout=PATIENT_SECONDS)) as database:
            query = "SELECT state FROM attempts WHERE kind = ? ORDER BY id DESC LIMIT 1"
            row = database.execute(query, (kind,)).fetchone()
            return str(row[0]) if row else ""

    def leftovers(self) -> list[str]:
        """Files that a process which is gone should not leave behind."""
        found = [*self.folder.glob(".nemo-*"), *(self.directory / "home").rglob("*.part")]
        found += (self.directory / "home" / "owners").glob("*")
        return sorted(str(path.relative_to(self.directory)) for path in found)

    def videos(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*") if not path.name.startswith("."))

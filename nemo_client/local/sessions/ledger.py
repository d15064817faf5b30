"""What the backend was asked and what it took for it, line by line, on disk.

Append-only JSON lines, each forced to the disk before the answer goes out: it says after any crash how many messages
arrived and how many credits were taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..shared.disk import Lock, private_opener

LEDGER_NAME = "ledger.jsonl"


def parse_entries(data: bytes) -> list[dict[str, Any]]:
    """The entries of whole lines; a line cut by a crash is left out."""
    entries = []
    for line in data.split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
        except ValueError:  # the torn line of a crash, ended by the next writer
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


class Ledger:
    """The writing side, shared by threads and processes; keeps the sum of charges an account."""

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self._path = directory / LEDGER_NAME
        self._lock = Lock(directory / "ledger.lock")
        self._clock = clock
        self._read_up_to = 0
        self._spent: dict[str, int] = {}

    def append(self, kind: str, **facts: Any) -> None:
        line = json.dumps({"kind": kind, "time": self._clock(), **facts}).encode() + b"\n"
        with self._lock.hold(), open(self._path, "a+b", opener=private_opener) as file:
            if file.tell() and not self._ends_whole():
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _ends_whole(self) -> bool:
        with open(self._path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def sum_spent(self, account: str) -> int:
        """The credits taken from `account` so far, by any process; only what is new is read."""
        with self._lock.hold():
            self._catch_up()
            return self._spent.get(account, 0)

    def _catch_up(self) -> None:
        try:
            with open(self._path, "rb") as file:
                file.seek(self._read_up_to)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read_up_to += len(whole)
        for entry in parse_entries(whole):
            if entry.get("kind") == "charge":
                account = entry["account"]
                self._spent[account] = self._spent.get(account, 0) + entry["amount"]

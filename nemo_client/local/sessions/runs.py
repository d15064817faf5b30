"""Messages being worked on: one a session, and the credits they hold.

A run reserves its price (`frozen`) when it starts and is charged when its work is written; a run whose process died
holds nothing any more.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..shared.disk import Lock, Owner, private_directory, read_json, write_json
from .accounts import Account
from .ledger import Ledger

# What an account that is never charged reads as its balance.
STEADY_BALANCE = 1000


class SessionBusy(Exception):
    """The session already works on a message."""


class NotEnoughCredits(Exception):
    def __init__(self, price: int, available: int) -> None:
        super().__init__(f"{price} credits are needed, {available} are available")
        self.price = price
        self.available = available


@dataclass(frozen=True)
class Run:
    id: str
    session: str
    account: Account


@dataclass(frozen=True)
class Balance:
    available: int
    frozen: int


class Runs:
    """The table of running messages, a file a session, shared by every backend on the same directory."""

    def __init__(self, directory: Path, owner: Owner, ledger: Ledger) -> None:
        self._directory = private_directory(directory / "runs")
        self._lock = Lock(directory / "runs.lock")
        self._owner = owner
        self._ledger = ledger

    def begin(self, session: str, account: Account) -> Run:
        """Claim `session` for one message (SessionBusy if another one is being worked on)."""
        with self._lock.hold():
            if self._read_running(self._find_path(session)) is not None:
                raise SessionBusy
            run = Run(uuid.uuid4().hex, session, account)
            self._write_run(run, 0)
        return run

    def reserve(self, run: Run, price: int) -> None:
        """Freeze `price` on the run's account (NotEnoughCredits if it is not available)."""
        with self._lock.hold():
            if run.account.granted is None or not price:
                return
            available = self._compute_balance(run.account).available
            if available < price:
                raise NotEnoughCredits(price, available)
            self._write_run(run, price)

    def charge(self, run: Run, amount: int, reason: str) -> None:
        """Turn the reservation into a charge; an account without a limit is never charged."""
        with self._lock.hold():
            if run.account.granted is None or not amount:
                return
            self._write_run(run, 0)
            self._record_charge(run.account, amount, reason, session=run.session, run=run.id)

    def _record_charge(self, account: Account, amount: int, reason: str, **where: str | None) -> None:
        self._ledger.append("charge", account=account.user_id, amount=amount, reason=reason, **where)

    def end(self, run: Run) -> None:
        """Give the session free; what is still reserved is released."""
        with self._lock.hold():
            self._find_path(run.session).unlink(missing_ok=True)

    def balance(self, account: Account) -> Balance:
        with self._lock.hold():
            return self._compute_balance(account)

    def _compute_balance(self, account: Account) -> Balance:
        if account.granted is None:
            return Balance(STEADY_BALANCE, 0)
        entries = (self._read_running(path) for path in self._directory.glob("*.json"))
        frozen = sum(entry["amount"] for entry in entries if entry and entry["account"] == account.user_id)
        left = account.granted - self._ledger.sum_spent(account.user_id)
        return Balance(max(0, left - frozen), frozen)

    def _read_running(self, path: Path) -> dict[str, Any] | None:
        entry = read_json(path)
        return entry if entry and self._owner.alive(entry["owner"]) else None

    def _write_run(self, run: Run, amount: int) -> None:
        entry = {"id": run.id, "account": run.account.user_id, "amount": amount, "owner": self._owner.id}
        write_json(self._find_path(run.session), entry)

    def _find_path(self, session: str) -> Path:
        return self._directory / f"{session}.json"

"""What a local backend's ledger says: which messages arrived, and how many credits were taken for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_client.local.sessions.ledger import LEDGER_NAME, parse_entries


@dataclass(frozen=True)
class LedgerReport:
    """Everything a backend's ledger says, oldest first; each entry is the line's JSON object."""

    entries: tuple[Mapping[str, Any], ...]

    def of(self, kind: str) -> tuple[Mapping[str, Any], ...]:
        return tuple(entry for entry in self.entries if entry.get("kind") == kind)

    @property
    def messages(self) -> tuple[Mapping[str, Any], ...]:
        """Messages that were accepted: `id`, `session`, `account`, `text`, `time`."""
        return self.of("message")

    @property
    def refused(self) -> tuple[Mapping[str, Any], ...]:
        """Messages that were refused before any work: `session`, `account`, `code`, `time`."""
        return self.of("refused")

    @property
    def charges(self) -> tuple[Mapping[str, Any], ...]:
        """Credits taken: `amount`, `reason`, `account`, `session`, `run`, `time`."""
        return self.of("charge")

    @property
    def renders(self) -> tuple[Mapping[str, Any], ...]:
        """Renders that were accepted: `id`, `session`, `account`, `draft` (SHA-256), `time`."""
        return self.of("render")

    @property
    def uploads(self) -> tuple[Mapping[str, Any], ...]:
        """Files that were taken in: `session`, `filename`, `hash`, `time`."""
        return self.of("upload")

    @property
    def sessions(self) -> tuple[Mapping[str, Any], ...]:
        return self.of("session")

    @property
    def credits_taken(self) -> int:
        """The sum of all charges, those of a scripted other spender not counted."""
        return sum(entry["amount"] for entry in self.charges if entry["reason"] != "other")


def read_ledger(directory: Path) -> LedgerReport:
    """Read the ledger of the backend that works in `directory`; a line cut by a crash is left out."""
    try:
        data = (Path(directory) / LEDGER_NAME).read_bytes()
    except FileNotFoundError:
        return LedgerReport(())
    return LedgerReport(tuple(parse_entries(data)))

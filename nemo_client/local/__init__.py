"""The local preview backend: the video backend's HTTP API on this machine, free, offline and without an account.

It moves the uploaded pictures as the prompt's words say, and renders real files. For planning a shot before paying
for it, for demos, and, with scripted faults, for tests. It shares no code with the client: it is an independent
reading of the API.

    with nemo_client.local.open(directory) as backend:
        ...  # backend.url, backend.token
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .server.server import LocalBackend, open
    from .sessions.ledger import LedgerReport, read_ledger
    from .shared.faults import Fault, Faults

__all__ = ["Fault", "Faults", "LedgerReport", "LocalBackend", "open", "read_ledger"]

_HOMES = {
    "Fault": "shared.faults",
    "Faults": "shared.faults",
    "LedgerReport": "sessions.ledger",
    "LocalBackend": "server.server",
    "open": "server.server",
    "read_ledger": "sessions.ledger",
}


def __getattr__(name: str) -> object:
    """Loaded on first use: importing this package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)

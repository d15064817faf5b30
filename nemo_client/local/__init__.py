"""The local preview backend: the video backend's HTTP API on this machine, free, offline and without an account.

It moves the uploaded pictures as the prompt's words say, and renders real files. For planning a shot before paying
for it, for demos, and for tests. It shares no code with the client: it is an independent reading of the API.

    with nemo_client.local.open(directory) as backend:
        ...  # backend.url, backend.token
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .server.server import LocalBackend, open

__all__ = ["LocalBackend", "open"]

_TESTS = {
    "Fault": "faults",
    "Faults": "faults",
    "LedgerReport": "ledger",
    "read_ledger": "ledger",
}
"""Names that were public here. They serve tests alone, lie in `tests/support`, and load from a checkout."""


def __getattr__(name: str) -> object:
    """Loaded on first use: importing this package costs nothing."""
    import importlib

    if name in __all__:
        return getattr(importlib.import_module(".server.server", __name__), name)
    if name in _TESTS:
        try:
            return getattr(importlib.import_module(f"tests.support.{_TESTS[name]}"), name)
        except ImportError as error:  # installed without the tests
            raise AttributeError(f"{name} comes with the tests of a checkout, which are not here") from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Patience with a journal whose database is away: what is out already is worth waiting for, nothing else is.

Inside of `patient()` the journal tries again, for AWAY_SECONDS in all, and keeps what it has to write in memory.
Outside of it, the first failure is told: nothing that costs credits is begun without a record.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Final

AWAY_SECONDS: Final = 10 * 60.0
PAUSE_SECONDS: Final = 2.0


class Patience:
    """How long to go on trying; counted from the first failure of a row."""

    def __init__(self, on_wait: Callable[[], None] | None = None) -> None:
        self._on_wait = on_wait
        self._since: float | None = None
        self._over = False

    @property
    def waiting(self) -> bool:
        """Whether the last try failed."""
        return self._since is not None

    def pause(self) -> float | None:
        """Seconds until the next try, or None where there is none any more."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if self._over or now - self._since > AWAY_SECONDS:
            self._over = True
            return None
        if self._on_wait is not None:
            self._on_wait()
        return PAUSE_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all come back at one moment

    def worked(self) -> None:
        """The database is there again."""
        self._since = None

    def end(self) -> None:
        """Wait no longer: this process is about to end."""
        self._over = True


_CURRENT: Final[ContextVar[Patience | None]] = ContextVar("nemo_patience", default=None)


def current() -> Patience | None:
    """The patience of whoever asks, if there is any."""
    return _CURRENT.get()


@contextlib.contextmanager
def patient(on_wait: Callable[[], None] | None = None) -> Iterator[Patience]:
    """Within this block, the journal's work waits for its database. `on_wait` is called at each failure."""
    made = Patience(on_wait)
    before = _CURRENT.set(made)
    try:
        yield made
    finally:
        _CURRENT.reset(before)

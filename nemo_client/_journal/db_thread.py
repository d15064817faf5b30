"""Patience with a journal whose database is away: what is out already is worth waiting for, nothing else is.

Inside of `patient()` the journal tries again, for AWAY_SECONDS in all, and keeps what it has to write in memory.
Outside of it, the first failure is told: nothing that costs credits is begun without a record.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from .._errors import JournalAway
from .database import Conflict
from .records import Attempt

AWAY_SECONDS: Final = 10 * 60.0
PAUSE_SECONDS: Final = 2.0


class RetryWindow:
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


_CURRENT: Final[ContextVar[RetryWindow | None]] = ContextVar("nemo_patience", default=None)


def current_retry_window() -> RetryWindow | None:
    """The patience of whoever asks, if there is any."""
    return _CURRENT.get()


@contextlib.contextmanager
def retry_window(on_wait: Callable[[], None] | None = None) -> Iterator[RetryWindow]:
    """Within this block, the journal's work waits for its database. `on_wait` is called at each failure."""
    made = RetryWindow(on_wait)
    before = _CURRENT.set(made)
    try:
        yield made
    finally:
        _CURRENT.reset(before)


logger = logging.getLogger("nemo_client")

_T = TypeVar("_T")
_CONFLICTS: Final = 8
_PAUSE: Final = 0.02


@dataclass
class Transaction:
    """One piece of work, however often it is tried. `written` is what its present transaction wrote of an attempt;
    `unsure` is what an earlier one wrote whose commit was never answered: it may be there or not."""

    written: Attempt | None = None
    unsure: Attempt | None = None
    tries: int = 0


class DatabaseThread:
    """One thread on which all work is done, one after the other. Each piece of work may be done twice: where a
    transaction of it was undone, or may have been."""

    def __init__(self, name: str, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._sleep = sleep
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._trial = Transaction()

    async def _do(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do `work` on the thread; again and again where the database is away and who asks is `patient`."""
        trial, patience = Transaction(), current_retry_window()
        while True:
            try:
                result = await self._once(trial, work, *arguments)
            except JournalAway as error:
                pause = patience.pause() if patience is not None else None
                if pause is None:
                    raise
                logger.info("the journal's database is away (%s); trying again", error.facts.get("reason"))
                await self._sleep(pause)
            else:
                if patience is not None:
                    patience.worked()
                return result

    async def _once(self, trial: Transaction, work: Callable[..., _T], *arguments: Any) -> _T:
        """A cancelled waiter waits for the transaction: it must know what was written."""
        future = asyncio.wrap_future(self._thread.submit(self._tried, trial, work, *arguments))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise
        finally:
            self._after_work()

    def _tried(self, trial: Transaction, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do it; once more where the connection broke, and a few times where two transactions met."""
        broken = False
        for meeting in range(_CONFLICTS):
            self._trial, trial.written = trial, None
            trial.tries += 1
            try:
                return work(*arguments)
            except Conflict:
                self._undone()
                if meeting == _CONFLICTS - 1:
                    raise
                time.sleep(random.uniform(0.0, _PAUSE * 2**meeting))  # noqa: S311 - so that they do not meet again
            except JournalAway as error:
                self._undone()
                if error.unsure and trial.written is not None:
                    trial.unsure = trial.written
                if broken:
                    raise
                broken = True
        raise AssertionError("unreachable")

    def _after_work(self) -> None:
        """Called in the event loop after each piece of work."""

    def _undone(self) -> None:
        """Called on the thread where a transaction was undone, or may have been."""

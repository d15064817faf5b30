"""The journal's own thread, and how long work on it is tried again while the database is away.

Inside of `retry_window()` work is tried again for `timings.away` seconds in all, and what it has to write stays in
memory: its message is in flight already. Outside of it the first failure is raised: nothing that costs credits begins
without a record.
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

from .._config.timings import JournalTimings, timings_in_use
from .._errors import Cancelled, JournalAway
from .database import Conflict
from .records import Attempt

logger = logging.getLogger("nemo_client")

_T = TypeVar("_T")

_CONFLICT_TRIES: Final = 8
_CONFLICT_PAUSE_SECONDS: Final = 0.02


class RetryWindow:
    """How long to go on trying, counted from the first of consecutive failures."""

    def __init__(self, on_wait: Callable[[], None] | None = None, timings: JournalTimings | None = None) -> None:
        self._on_wait = on_wait
        self._timings = timings or timings_in_use().journal
        self._since: float | None = None
        self._over = False

    @property
    def waiting(self) -> bool:
        """Whether the last try failed."""
        return self._since is not None

    def record_failure(self) -> float | None:
        """Seconds until the next try; None where the window is over."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if self._over or now - self._since > self._timings.away:
            self._over = True
            return None
        if self._on_wait is not None:
            self._on_wait()
        spread = random.uniform(0.5, 1.0)  # noqa: S311 - so that not all come back at one moment
        return self._timings.away_pause * spread

    def record_success(self) -> None:
        """The database is there again."""
        self._since = None

    def end(self) -> None:
        """Wait no longer: this process is about to end."""
        self._over = True


_CURRENT: Final[ContextVar[RetryWindow | None]] = ContextVar("nemo_retry_window", default=None)


def current_retry_window() -> RetryWindow | None:
    """The retry window that the running code is in, if any."""
    return _CURRENT.get()


@contextlib.contextmanager
def retry_window(
    on_wait: Callable[[], None] | None = None, timings: JournalTimings | None = None
) -> Iterator[RetryWindow]:
    """Within this block, the journal's work waits for its database. `on_wait` is called at each failure."""
    window = RetryWindow(on_wait, timings)
    before = _CURRENT.set(window)
    try:
        yield window
    finally:
        _CURRENT.reset(before)


@dataclass
class Transaction:
    """One piece of work, however often it is tried.

    `written` is what the present try wrote of an attempt. `unsure` is what an earlier one wrote whose commit was never
    answered: it may be on disk or not.
    """

    written: Attempt | None = None
    unsure: Attempt | None = None
    tries: int = 0


class DatabaseThread:
    """One thread on which all work is done, one piece after the other.

    A piece of work may be done twice: where a transaction of it was undone, or may have been.
    """

    def __init__(self, name: str, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._sleep = sleep
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._transaction = Transaction()

    async def _do(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do `work` on the thread; again while the database is away and the retry window of the caller lasts."""
        transaction, window = Transaction(), current_retry_window()
        while True:
            try:
                result = await self._submit(transaction, work, *arguments)
            except JournalAway as error:
                pause = window.record_failure() if window is not None else None
                if pause is None:
                    raise
                logger.info("the journal's database is away (%s); trying again", error.facts.get("reason"))
                await self._sleep(pause)
            else:
                if window is not None:
                    window.record_success()
                return result

    async def _submit(self, transaction: Transaction, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do `work` on the thread. A cancelled caller waits for the transaction: it must know what was written.

        `Cancelled` where the thread was closed meanwhile; what the caller did before may have cost credits.
        """
        try:
            submitted = self._thread.submit(self._try_work, transaction, work, *arguments)
        except RuntimeError:
            raise Cancelled("closed-detached", charged="maybe") from None
        future = asyncio.wrap_future(submitted)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise
        finally:
            self._after_work()

    def _try_work(self, transaction: Transaction, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do it; once more where the connection broke, and a few times where two transactions met."""
        broken = False
        for tries in range(_CONFLICT_TRIES):
            self._transaction, transaction.written = transaction, None
            transaction.tries += 1
            try:
                return work(*arguments)
            except Conflict:
                self._after_undo()
                if tries == _CONFLICT_TRIES - 1:
                    raise
                pause = random.uniform(0.0, _CONFLICT_PAUSE_SECONDS * 2**tries)  # noqa: S311 - not to meet again
                time.sleep(pause)
            except JournalAway as error:
                self._after_undo()
                if error.unsure and transaction.written is not None:
                    transaction.unsure = transaction.written
                if broken:
                    raise
                broken = True
        raise AssertionError("unreachable")

    def _after_work(self) -> None:
        """Called in the event loop after each piece of work."""

    def _after_undo(self) -> None:
        """Called on the thread where a transaction was undone, or may have been."""

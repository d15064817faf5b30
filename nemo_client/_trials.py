"""Work on a database, from a thread of its own: tried again where that is harmless, or where who asks is patient."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ._attempts import Attempt
from ._database import Conflict
from ._errors import JournalAway
from ._patience import current

logger = logging.getLogger("nemo_client")

_T = TypeVar("_T")
_CONFLICTS: Final = 8
_PAUSE: Final = 0.02


@dataclass
class Trial:
    """One piece of work, however often it is tried. `written` is what its present transaction wrote of an attempt;
    `unsure` is what an earlier one wrote whose commit was never answered: it may be there or not."""

    written: Attempt | None = None
    unsure: Attempt | None = None
    tries: int = 0


class Worker:
    """One thread on which all work is done, one after the other. Each piece of work may be done twice: where a
    transaction of it was undone, or may have been."""

    def __init__(self, name: str, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._sleep = sleep
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._trial = Trial()

    async def _do(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do `work` on the thread; again and again where the database is away and who asks is `patient`."""
        trial, patience = Trial(), current()
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

    async def _once(self, trial: Trial, work: Callable[..., _T], *arguments: Any) -> _T:
        """A cancelled waiter waits for the transaction: it must know what was written."""
        future = asyncio.wrap_future(self._thread.submit(self._tried, trial, work, *arguments))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise
        finally:
            self._after_work()

    def _tried(self, trial: Trial, work: Callable[..., _T], *arguments: Any) -> _T:
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

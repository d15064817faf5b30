"""Limits how many requests of a profile run at once, by what the backend answers.

It begins as wide as the profile allows. An answer 429 (or one that asks for a pause) halves it, and nothing new
begins before the pause has passed; from then on it grows again by one every few seconds: additive increase,
multiplicative decrease. The items of a batch and those of a node's lists go through the same limiter.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from .._config.timings import WireTimings
from .._errors import BadAnswer, NemoError, RateLimited
from .retry import LONGEST_PAUSE, RATE_LIMIT_PAUSE

logger = logging.getLogger("nemo_client")

_T = TypeVar("_T")

_USUAL: Final = WireTimings()
PATIENCE: Final = 5
"""How often one piece of work is begun again after a rate limit."""


class RateLimiter:
    """Pieces of work of one profile: `most` of them at once, fewer after a rate limit. For one event loop."""

    def __init__(
        self,
        most: int,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        grow_seconds: float = _USUAL.grow,
    ) -> None:
        self.most = most
        self.running = 0
        self._sleep = sleep
        self._clock = clock
        self._grow_seconds = grow_seconds
        self._door = asyncio.Lock()
        self._left = asyncio.Event()
        self._width: float = most
        self._opens = -math.inf

    @property
    def width(self) -> int:
        """How many may be under way now."""
        return max(1, int(min(self._width + self._count_growth(), self.most)))

    def _count_growth(self) -> float:
        return max(self._clock() - self._opens, 0.0) // self._grow_seconds if self._opens > -math.inf else 0.0

    def widen(self, most: int) -> None:
        """Let at least so many through, where the user asked for it."""
        if most > self.most:
            self._width += most - self.most
            self.most = most

    def note(self, error: NemoError) -> None:
        """Let fewer through if `error` is the backend's wish for a pause; a burst of such answers counts once."""
        if not asks_for_pause(error):
            return
        asked = getattr(error, "retry_after", None)
        pause = min(RATE_LIMIT_PAUSE if asked is None else asked, LONGEST_PAUSE)
        now = self._clock()
        if now >= self._opens:
            self._width = max(1.0, min(self.width, max(self.running, 1)) / 2)
            logger.info("the backend asks for a pause of %.0f s: %d at once from then on", pause, self.width)
        self._opens = max(self._opens, now + pause)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until this piece of work may begin, in the order of asking; its end lets the next one in."""
        async with self._door:
            while (seconds := self._compute_closed_seconds()) > 0:
                await self._wait(seconds)
            self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._left.set()

    async def carry_out(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """`work` when its turn comes; begun again where the backend refused it for the rate alone.

        Such a refusal proves that nothing was worked on, so that nothing is paid twice.
        """
        for _ in range(PATIENCE):
            async with self.turn():
                try:
                    return await work()
                except RateLimited as error:
                    if not asks_for_pause(error):
                        raise
                    self.note(error)
        async with self.turn():
            return await work()

    async def pause(self, seconds: float) -> None:
        """Wait a while before trying again, by the same time as all else here."""
        if seconds > 0:
            await self._sleep(seconds)

    def _compute_closed_seconds(self) -> float:
        """Seconds until more may begin by time alone; 0 if now, infinite if something else has to end first."""
        now = self._clock()
        if now < self._opens:
            return self._opens - now
        if self.running < self.width:
            return 0.0
        if self.width >= self.most:
            return math.inf
        return self._grow_seconds - (now - self._opens) % self._grow_seconds

    async def _wait(self, seconds: float) -> None:
        """Until a piece of work ends, or so many seconds have passed."""
        self._left.clear()
        waiting: set[asyncio.Future[object]] = {asyncio.ensure_future(self._left.wait())}
        if seconds < math.inf:
            waiting.add(asyncio.ensure_future(self._sleep(seconds)))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()


def asks_for_pause(error: NemoError) -> bool:
    """Whether an answer asks to go slower; the limit on sign-ups is another matter, and lasts for days."""
    if isinstance(error, RateLimited):
        return error.id != "sign-up-limit"
    return isinstance(error, BadAnswer) and error.retry_after is not None

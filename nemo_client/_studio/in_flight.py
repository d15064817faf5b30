"""Requests in flight, by step key: the same request made twice is one piece of work with two waiters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Set
from typing import Any, TypeVar, cast

from .._errors import Cancelled
from .._journal.leases import Mark, read_monotonic_mark
from .progress import Caller, Progress

logger = logging.getLogger("nemo_client")

_T = TypeVar("_T")


class InFlightRequest:
    """One piece of work and its callers; it goes on when they leave.

    `about` is the step that it counts for, as people see it.
    `committed` is set when a paid message goes out: from then on a cancel detaches, it does not stop the work.
    `given_up` is set when its last waiter gave it up and it was told to stop. `usual` is how many seconds such work
    takes here, `price` how many credits, each None where that is not known. `recorded` is the moment right before its
    message was put on record.
    """

    def __init__(self, about: str = "") -> None:
        self.about = about
        self.callers: list[Caller] = []
        self.task: asyncio.Task[Any] | None = None
        self.committed = False
        self.given_up = False
        self.latest: Progress | None = None
        self.reported = 0.0
        self.usual: float | None = None
        self.price: float | None = None
        self.recorded: Mark = read_monotonic_mark()

    def estimate_left(self, elapsed: float) -> float | None:
        """About how many seconds are left after `elapsed`; None once it takes longer than usual."""
        return self.usual - elapsed if self.usual and elapsed < self.usual else None

    def report(self, progress: Progress) -> None:
        """Tell every waiter, from the loop: one that fails at it must not break the work, which may be paid."""
        loop = asyncio.get_running_loop()
        self.latest, self.reported = progress, loop.time()
        for caller in self.callers:
            loop.call_soon(caller.take, progress)

    def give_up(self) -> None:
        """Tell the work to stop; it cleans up after itself."""
        if self.task is not None and not self.given_up:
            self.given_up = True
            self.task.cancel()


class InFlightRequests:
    """The requests in flight of one Studio, in one event loop."""

    def __init__(self) -> None:
        self._requests: dict[str, InFlightRequest] = {}
        self._background: dict[str, asyncio.Task[None]] = {}
        self._readings: dict[asyncio.Future[None], asyncio.Task[None]] = {}

    def read_on(self, reading: asyncio.Future[None], seconds: float) -> None:
        """Go on reading a stream whose result is known, for so many seconds at the most."""
        task = self._readings[reading] = asyncio.ensure_future(_read_bounded(reading, seconds))
        task.add_done_callback(lambda done: self._end_reading(reading, done))

    def _end_reading(self, reading: asyncio.Future[None], task: asyncio.Task[None]) -> None:
        self._readings.pop(reading, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.info("a stream whose result was known ended with %s", type(error).__name__)

    async def cancel_and_wait(self, tasks: Set[asyncio.Future[Any]]) -> None:
        """Cancel these, and wait until they have ended, but for streams that are read on."""
        ending = {task for task in tasks if task not in self._readings and not task.done()}
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        for task in tasks - self._readings.keys():
            _ = task.cancelled() or task.exception()  # retrieved, so that asyncio does not log it

    def run_in_background(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do `work` beside everything else while this lives, once at a time for one key."""
        if key not in self._background:
            task = self._background[key] = asyncio.ensure_future(work())
            task.add_done_callback(lambda done: self._end_background(key, done))

    def _end_background(self, key: str, task: asyncio.Task[None]) -> None:
        self._background.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("%s ended with %s", key, type(error).__name__)

    async def join(
        self, key: str, start: Callable[[InFlightRequest], Awaitable[_T]], caller: Caller, *, about: str = ""
    ) -> _T:
        """Wait for the work `key`, starting it if it is not under way; it counts for the step `about` (else `key`).

        A cancelled waiter leaves. When the last one leaves because the user gave up, work that was not committed
        is cancelled (it cleans up after itself); in all other cases it goes on, for the next caller.
        """
        request = await self._find_living(key)
        if request is None:
            request = self._requests[key] = InFlightRequest(about or key)
            request.task = asyncio.ensure_future(start(request))
            request.task.add_done_callback(lambda task: self._end_request(key, task))
        elif request.latest is not None:
            caller.take(request.latest)
        request.callers.append(caller)
        assert request.task is not None  # noqa: S101 - set five lines up, or when it was started
        try:
            return cast(_T, await asyncio.shield(request.task))
        except asyncio.CancelledError:
            if request.task.cancelled() and not caller.gave_up:
                if request.committed:  # closed while the message is with the backend
                    raise Cancelled("closed-detached", charged="maybe") from None
                raise Cancelled("cancelled") from None
            raise
        finally:
            request.callers.remove(caller)
            caller.goes_on = caller.gave_up and request.committed
            if caller.gave_up and not request.callers and not request.committed:
                request.give_up()

    async def _find_living(self, key: str) -> InFlightRequest | None:
        """The request to join, once one that is being stopped is out of the way."""
        while (request := self._requests.get(key)) is not None and request.given_up and request.task is not None:
            await asyncio.wait({request.task})
        return request

    def _end_request(self, key: str, task: asyncio.Task[Any]) -> None:
        self._requests.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("%s ended with %s", key, type(error).__name__)

    def running(self) -> dict[str, Progress]:
        """How the work under way stands now, by the step that it counts for."""
        now = asyncio.get_running_loop().time()
        return {
            request.about: request.latest.later(now - request.reported)
            for request in self._requests.values()
            if request.latest is not None
        }

    def list_callers(self) -> dict[str, tuple[Caller, ...]]:
        """Who waits for the work under way, by the step that it counts for."""
        return {request.about: tuple(request.callers) for request in self._requests.values()}

    def is_paid_for(self, caller: Caller) -> bool:
        """Whether a paid message that `caller` waits for is in flight."""
        return any(request.committed and caller in request.callers for request in self._requests.values())

    @property
    def committed(self) -> int:
        """How many paid messages are in flight."""
        return sum(request.committed for request in self._requests.values())

    async def drain(self, *, only_committed: bool = True, read_on: bool = True) -> None:
        """Wait until paid work in flight (or all work) has ended.

        And, with `read_on`, until streams have ended whose result is known already.
        """
        while tasks := [
            *(
                request.task
                for request in self._requests.values()
                if request.task is not None and (request.committed or not only_committed)
            ),
            *(self._readings.values() if read_on else ()),
        ]:
            await asyncio.wait(tasks)
            await asyncio.sleep(0)  # what has ended is taken out by then

    async def stop(self) -> None:
        """Cancel everything that was not given up before (which is at its end), and wait until it has ended."""
        requests = [request for request in self._requests.values() if request.task is not None]
        for request in requests:
            if request.task is not None and not request.given_up:
                request.task.cancel()
        for task in (*self._background.values(), *self._readings.values()):
            task.cancel()
        tasks = [request.task for request in requests if request.task is not None]
        if ending := [*tasks, *self._background.values(), *self._readings.values()]:
            await asyncio.wait(ending)


async def _read_bounded(reading: asyncio.Future[None], seconds: float) -> None:
    await asyncio.wait_for(reading, max(seconds, 0.0))

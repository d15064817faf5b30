"""Many items side by side: bounded, each profile in a lane of its own, one failure costs its item alone.

What is not an item's own fault is not held against it: an item that met a limit waits for those before it, one that
met a broken connection comes again later, and where nothing can go on (no credits, signed out, a full disk, a backend
that is away) nothing new begins, and the rest is left for the next run.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from .._config.profiles import Profile
from .._errors import (
    ApiError,
    Cancelled,
    DiskError,
    InputError,
    LimitError,
    NemoError,
    NoCredits,
    RateLimited,
    RenderFailed,
    ResultUnknown,
    SessionBusy,
    TransportError,
)
from .._journal.money import Money, Tally
from .._studio.progress import Budget, Caller
from .._wire.rate_limiter import RateLimiter
from .item import BatchItem, assign_names, parse_item
from .item_task import Animator, ItemTask, stops_whole_batch

TRIES: Final = 3
AGAIN_SECONDS: Final = (0.0, 2.0, 10.0)
AWAY: Final = 8
"""A backend is taken for away after so many broken connections in a row, or two a worker, without a video between."""


class Executor(Protocol):
    """Where the items of a profile are carried out: a Studio of this process, or workers elsewhere."""

    @property
    def profile(self) -> Profile: ...

    @property
    def lane(self) -> RateLimiter: ...

    async def carry_out(self, errand: ItemTask) -> tuple[dict[str, Any], Money]:
        """Its line, and what it took now; raises what it failed with."""
        ...

    def give_up(self, out: Mapping[ItemTask, asyncio.Task[Any] | None]) -> int:
        """Give up what is under way and not paid for; how many go on."""
        ...


@dataclass(frozen=True)
class LocalExecutor:
    """A Studio of this process, as a place."""

    studio: Animator

    @property
    def profile(self) -> Profile:
        """Whose items go there."""
        return self.studio.profile

    @property
    def lane(self) -> RateLimiter:
        """How many of them at once."""
        return self.studio.lane

    async def carry_out(self, errand: ItemTask) -> tuple[dict[str, Any], Money]:
        """Its line, and what it took now; raises what it failed with."""
        return await errand.run(self.studio)

    def give_up(self, out: Mapping[ItemTask, asyncio.Task[Any] | None]) -> int:
        """Give up what is under way and not paid for; how many go on."""
        going_on = 0
        for errand, task in list(out.items()):
            if errand.paid_stage and not self.profile.free:
                going_on += 1
            elif task is not None:
                errand.caller.gave_up = True
                task.cancel()
        return going_on


ExecutorFor = Callable[[str], Awaitable[Executor]]
"""The place of a profile's name; the empty name is the batch's own."""


@dataclass(frozen=True)
class BatchResult:
    """How an item ended: `line` is plain data, as `results.jsonl` has it; `error` what it failed with."""

    item: BatchItem
    folder: Path
    line: Mapping[str, Any]
    error: NemoError | None = None

    @property
    def state(self) -> str:
        """`done`, `failed`, `unknown` (sent, no result seen yet) or `stopped` (not begun, or not to its end)."""
        return str(self.line["state"])

    @property
    def video(self) -> Path | None:
        """Where the video is."""
        return self.folder / self.line["video"] if self.line["video"] else None


class Batch:
    """Items at work. Iterate over `results()` once; `stop` begins nothing new."""

    def __init__(
        self, items: Iterable[BatchItem], place_of: ExecutorFor, folder: Path, *, jobs: int = 0, caller: Caller
    ) -> None:
        """`jobs` at once for each profile (0: as many as it allows); all messages go out on the word of `caller`."""
        self.items = list(items)
        self.folder = folder.expanduser().absolute()
        self.jobs = jobs
        self.caller = caller
        self.place_of = place_of
        self.stopping = False
        self.tally = Tally()
        self.counts = {"done": 0, "failed": 0, "unknown": 0, "stopped": 0}
        self.readers = asyncio.Semaphore(os.cpu_count() or 1)
        self.firsts: dict[str, str] = {}
        self._ended: asyncio.Queue[BatchResult | None] = asyncio.Queue()
        self._groups = [_Group(self, name, items) for name, items in _by_profile(self.items).items()]

    @property
    def running(self) -> int:
        """How many items are under way."""
        return sum(len(group.out) for group in self._groups)

    async def results(self) -> AsyncGenerator[BatchResult, None]:
        """The items as they end; at last raises what kept the rest from being begun, if anything did."""
        work = asyncio.ensure_future(self._work())
        try:
            while (result := await self._ended.get()) is not None:
                yield result
            await work
        finally:
            work.cancel()
            await asyncio.wait({work})
        for group in self._groups:
            if group.error is not None:
                raise group.error

    async def _work(self) -> None:
        try:
            await asyncio.gather(*(group.work() for group in self._groups))
        finally:
            self._ended.put_nowait(None)

    def stop(self) -> int:
        """Begin nothing new. What is paid for goes on to its end, all else is given up; how many go on."""
        self.stopping = True
        return sum(group.give_up() for group in self._groups)

    def halt(self) -> None:
        """Begin nothing new for any profile, and give nothing up."""
        for group in self._groups:
            group.queue.clear()

    def end(self, errand: ItemTask, line: Mapping[str, Any], money: Money | None, error: NemoError | None) -> None:
        """An item has ended."""
        self.counts[line["state"]] += 1
        if money is not None or line["charged"] != "no":
            self.tally.add(money or Money())
        self._ended.put_nowait(BatchResult(errand.item, self.folder, line, error))


class _Group:
    """The items of one profile."""

    def __init__(self, batch: Batch, profile: str, items: Iterable[BatchItem]) -> None:
        self._batch = batch
        self._profile = profile
        self.queue = deque(
            ItemTask(item, batch.folder, batch.caller, readers=batch.readers, firsts=batch.firsts) for item in items
        )
        self.out: dict[ItemTask, asyncio.Task[Any] | None] = {}
        self.error: NemoError | None = None
        self._place: Executor | None = None
        self._tight = asyncio.Condition()
        self._ends = 0
        self._streak = 0
        self._workers: list[asyncio.Task[None]] = []

    async def work(self) -> None:
        """Carry out all items."""
        try:
            place = await self._batch.place_of(self._profile)
        except NemoError as error:
            self._stop(error)
            return
        self._place = place
        lane = place.lane
        lane.widen(self._batch.jobs)
        many = min(self._batch.jobs or lane.most, len(self.queue))
        self._workers = [asyncio.ensure_future(self._worker(place)) for _ in range(many)]
        try:
            for ended in await asyncio.gather(*self._workers, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
        finally:
            for each in self._workers:
                each.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)

    async def _worker(self, place: Executor) -> None:
        while self.queue:
            errand = self.queue.popleft()
            self.out[errand], ends = asyncio.current_task(), self._ends
            try:
                error = await self._tried(place, errand)
            finally:
                del self.out[errand]
            if isinstance(error, (LimitError, NoCredits)) and error.charged == "no":
                await self._wait_for_room(errand, error, ends)
                continue
            if error is not None:
                self._failed(errand, error)
            self._ends += 1
            async with self._tight:
                self._tight.notify()

    async def _tried(self, place: Executor, errand: ItemTask) -> NemoError | None:
        """Carry an item out; what it failed with, if it did."""
        lane = place.lane
        await lane.pause(AGAIN_SECONDS[min(errand.tries, len(AGAIN_SECONDS) - 1)])
        try:
            line, money = await lane.carry_out(lambda: place.carry_out(errand))
        except NemoError as error:
            if isinstance(error, Cancelled) and self._batch.stopping:
                raise asyncio.CancelledError from error
            return error
        self._streak = 0
        self._batch.end(errand, line, money, None)
        return None

    def _failed(self, errand: ItemTask, error: NemoError) -> None:
        """Try again what may turn out better; else the item, or the whole group, has ended with this error."""
        self._streak = self._streak + 1 if isinstance(error, TransportError) else 0
        over = self._batch.stopping or self.error is not None
        if stops_whole_batch(error):
            self._batch.end(errand, errand.failed(error), None, error)
            self._stop(error)
            if isinstance(error, DiskError):
                self._batch.halt()
        elif is_worth_retrying(error) and errand.tries < TRIES and not over:
            self.queue.append(errand)
        else:
            self._batch.end(errand, errand.failed(error), None, error)
        if self._streak >= max(AWAY, 2 * len(self._workers)):
            self._stop(error)

    async def _wait_for_room(self, errand: ItemTask, error: NemoError, ends: int) -> None:
        """It did not fit beside what was under way: again once something of that has ended, if anything was.

        `ends` is how much had ended when it was begun: where more has by now, it may fit already.
        """
        if self.error is not None or self._batch.stopping:
            return
        errand.tries = 0
        async with self._tight:
            if self._ends != ends:
                self.queue.appendleft(errand)
            elif self.out:
                self.queue.appendleft(errand)
                await self._tight.wait()
            else:
                self._stop(error)
                self._tight.notify_all()

    def _stop(self, error: NemoError) -> None:
        """Begin nothing more here."""
        self.error = self.error or error
        self.queue.clear()

    def give_up(self) -> int:
        """Begin nothing new, and give up what is not paid for; how many items go on."""
        self.queue.clear()
        return self._place.give_up(self.out) if self._place is not None else 0


def is_worth_retrying(error: NemoError) -> bool:
    """Whether the same request may end otherwise a little later; never pays twice, by the journal."""
    if isinstance(error, ResultUnknown):
        return error.id == "stream-failure"  # what became of it is read from the state
    if isinstance(error, RenderFailed):
        return error.id != "not-ready"
    unknown_code = type(error) is ApiError
    return unknown_code or isinstance(error, (TransportError, RateLimited, SessionBusy))


def _by_profile(items: Iterable[BatchItem]) -> dict[str, list[BatchItem]]:
    groups: dict[str, list[BatchItem]] = {}
    for item in items:
        groups.setdefault(item.profile, []).append(item)
    return groups


async def run_batch(
    self: Animator,
    items: Iterable[BatchItem | Mapping[str, Any]],
    folder: Path | str,
    *,
    jobs: int = 0,
    max_credits: int = 0,
) -> AsyncGenerator[BatchResult, None]:
    """Carry out many items, `jobs` at once (0: as many as the profile allows), into `folder`, as they end.

    A failed item is a result with its `error`. What keeps the rest from being begun (`max_credits` for all of them,
    the account's credits, signing in, the disk) is raised at the end, once all that was begun has ended.
    """
    name = self.profile.name

    async def mine(asked: str) -> Executor:
        return LocalExecutor(self)

    wanted = assign_names(map(parse_item, items))
    for item in wanted:
        if item.profile not in ("", name):
            raise InputError("value", name="profile", value=item.profile, expected=f"{name!r}, or none")
    work = Batch(wanted, mine, Path(folder), jobs=jobs, caller=Caller(budget=Budget(max_credits)))
    async with aclosing(work.results()) as results:
        async for result in results:
            yield result

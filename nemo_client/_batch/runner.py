"""The batch runner: many items at once, through one executor for each profile; one failure costs its item alone.

An item that met a limit waits until one before it ends, and one that met a broken connection is tried again later.
Where nothing can go on (no credits, signed out, a full disk, an unreachable backend) nothing new is started, and the
rest is left for the next run.
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
from .._text.messages import Phrase
from .._wire.rate_limiter import RateLimiter
from .item import BatchItem, assign_names, parse_item
from .item_task import Animator, ItemTask, stops_whole_batch

MAX_ATTEMPTS: Final = 3
RETRY_DELAYS: Final = (0.0, 2.0, 10.0)
MAX_BROKEN_CONNECTIONS: Final = 8
"""A backend counts as unreachable after so many broken connections in a row (or two for each worker, where that is
more) without a finished item between them."""


class Executor(Protocol):
    """Carries out the items of one profile: in this process (`LocalExecutor`) or on a cluster (`DaskExecutor`)."""

    @property
    def profile(self) -> Profile: ...

    @property
    def limiter(self) -> RateLimiter: ...

    async def carry_out(self, item_task: ItemTask) -> tuple[dict[str, Any], Money]:
        """Carry out an item: its result line, and what it cost now. Raises the `NemoError` that it failed with."""
        ...

    def cancel_unpaid(self, in_progress: Mapping[ItemTask, asyncio.Task[Any] | None]) -> int:
        """Cancel the items in progress that are not paid for; how many go on."""
        ...


@dataclass(frozen=True)
class LocalExecutor:
    """Carries out items with a Studio of this process."""

    studio: Animator

    @property
    def profile(self) -> Profile:
        """The profile of the items."""
        return self.studio.profile

    @property
    def limiter(self) -> RateLimiter:
        """How many of them at once."""
        return self.studio.limiter

    async def carry_out(self, item_task: ItemTask) -> tuple[dict[str, Any], Money]:
        """Carry out an item: its result line, and what it cost now. Raises the `NemoError` that it failed with."""
        return await item_task.run(self.studio)

    def cancel_unpaid(self, in_progress: Mapping[ItemTask, asyncio.Task[Any] | None]) -> int:
        """Cancel the items in progress that are not paid for; how many go on."""
        continuing = 0
        for item_task, task in list(in_progress.items()):
            if item_task.paid_stage and not self.profile.free:
                continuing += 1
            elif task is not None:
                item_task.caller.gave_up = True
                task.cancel()
        return continuing


ExecutorFor = Callable[[str], Awaitable[Executor]]
"""Finds the executor for a profile's name; the empty name means the batch's own profile."""


@dataclass(frozen=True)
class BatchResult:
    """How an item ended: `line` is its line of `results.jsonl`, `error` the error it failed with, or None."""

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
    """A batch being carried out. Iterate over `results()` once; `stop` starts nothing new."""

    def __init__(
        self, items: Iterable[BatchItem], executor_for: ExecutorFor, folder: Path, *, jobs: int = 0, caller: Caller
    ) -> None:
        """`jobs` at once for each profile (0: as many as it allows); all messages count to the budget of `caller`."""
        self.items = list(items)
        self.folder = folder.expanduser().absolute()
        self.jobs = jobs
        self.caller = caller
        self.executor_for = executor_for
        self.stopping = False
        self.tally = Tally()
        self.counts = {"done": 0, "failed": 0, "unknown": 0, "stopped": 0}
        self.readers = asyncio.Semaphore(os.cpu_count() or 1)
        self.first_names: dict[str, str] = {}
        self._ended: asyncio.Queue[BatchResult | None] = asyncio.Queue()
        self._groups = [_ProfileGroup(self, name, items) for name, items in _group_by_profile(self.items).items()]

    @property
    def running(self) -> int:
        """How many items are in progress."""
        return sum(len(group.in_progress) for group in self._groups)

    async def results(self) -> AsyncGenerator[BatchResult, None]:
        """The results, in the order in which items end; then raises what kept the rest from being started, if so."""
        work = asyncio.ensure_future(self._run_groups())
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

    async def _run_groups(self) -> None:
        try:
            await asyncio.gather(*(group.run() for group in self._groups))
        finally:
            self._ended.put_nowait(None)

    def stop(self) -> int:
        """Start nothing new and cancel what is not paid for; how many paid items go on to their end."""
        self.stopping = True
        return sum(group.cancel_unpaid() for group in self._groups)

    def clear_queues(self) -> None:
        """Start nothing new for any profile; items in progress go on."""
        for group in self._groups:
            group.queue.clear()

    def record_result(
        self, item_task: ItemTask, line: Mapping[str, Any], money: Money | None, error: NemoError | None
    ) -> None:
        """Count an item that ended, and hand its result on."""
        self.counts[line["state"]] += 1
        if money is not None or line["charged"] != "no":
            self.tally.add(money or Money())
        self._ended.put_nowait(BatchResult(item_task.item, self.folder, line, error))


class _ProfileGroup:
    """The items of one profile: their queue, the workers that take from it, and when they stop."""

    def __init__(self, batch: Batch, profile: str, items: Iterable[BatchItem]) -> None:
        self._batch = batch
        self._profile = profile
        self.queue = deque(
            ItemTask(item, batch.folder, batch.caller, readers=batch.readers, first_names=batch.first_names)
            for item in items
        )
        self.in_progress: dict[ItemTask, asyncio.Task[Any] | None] = {}
        self.error: NemoError | None = None
        self._executor: Executor | None = None
        self._room = asyncio.Condition()
        self._ended_count = 0
        self._broken_in_a_row = 0
        self._workers: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Carry out all items of the group."""
        try:
            executor = await self._batch.executor_for(self._profile)
        except NemoError as error:
            self._stop_group(error)
            return
        self._executor = executor
        limiter = executor.limiter
        limiter.widen(self._batch.jobs)
        count = min(self._batch.jobs or limiter.most, len(self.queue))
        self._workers = [asyncio.ensure_future(self._run_worker(executor)) for _ in range(count)]
        try:
            for ended in await asyncio.gather(*self._workers, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
        finally:
            for each in self._workers:
                each.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)

    async def _run_worker(self, executor: Executor) -> None:
        while self.queue:
            item_task = self.queue.popleft()
            ended_before = self._ended_count
            try:
                await self._attempt(executor, item_task)
            except NemoError as error:
                if isinstance(error, (LimitError, NoCredits)) and error.charged == "no":
                    await self._retry_when_room(item_task, error, ended_before)
                    continue
                self._handle_failure(item_task, error)
            self._ended_count += 1
            async with self._room:
                self._room.notify()

    async def _attempt(self, executor: Executor, item_task: ItemTask) -> None:
        """Carry out an item once and record its result; raises the `NemoError` that it failed with."""
        self.in_progress[item_task] = asyncio.current_task()
        try:
            line, money = await self._carry_out(executor, item_task)
        finally:
            del self.in_progress[item_task]
        self._broken_in_a_row = 0
        self._batch.record_result(item_task, line, money, None)

    async def _carry_out(self, executor: Executor, item_task: ItemTask) -> tuple[dict[str, Any], Money]:
        limiter = executor.limiter
        await limiter.pause(RETRY_DELAYS[min(item_task.attempts, len(RETRY_DELAYS) - 1)])
        try:
            return await limiter.carry_out(lambda: executor.carry_out(item_task))
        except NemoError as error:
            if isinstance(error, Cancelled) and self._batch.stopping:
                raise asyncio.CancelledError from error
            raise

    def _handle_failure(self, item_task: ItemTask, error: NemoError) -> None:
        """Queue the item again where another attempt may succeed; else record the failure, or stop the whole group."""
        self._broken_in_a_row = self._broken_in_a_row + 1 if isinstance(error, TransportError) else 0
        over = self._batch.stopping or self.error is not None
        if stops_whole_batch(error):
            self._batch.record_result(item_task, item_task.make_failure_line(error), None, error)
            self._stop_group(error)
            if isinstance(error, DiskError):
                self._batch.clear_queues()
        elif is_worth_retrying(error) and item_task.attempts < MAX_ATTEMPTS and not over:
            self.queue.append(item_task)
        else:
            self._batch.record_result(item_task, item_task.make_failure_line(error), None, error)
        if self._broken_in_a_row >= max(MAX_BROKEN_CONNECTIONS, 2 * len(self._workers)):
            self._stop_group(error)

    async def _retry_when_room(self, item_task: ItemTask, error: NemoError, ended_before: int) -> None:
        """Queue an item again that did not fit the limit beside those in progress, once one of them has ended.

        `ended_before` is how many had ended when the item was started: where more have by now, it may fit already.
        Where nothing is in progress, the limit itself is the reason, and the group stops.
        """
        if self.error is not None or self._batch.stopping:
            return
        item_task.attempts = 0
        async with self._room:
            if self._ended_count != ended_before:
                self.queue.appendleft(item_task)
            elif self.in_progress:
                self.queue.appendleft(item_task)
                await self._room.wait()
            else:
                self._stop_group(error)
                self._room.notify_all()

    def _stop_group(self, error: NemoError) -> None:
        """Start nothing more of this group."""
        self.error = self.error or error
        self.queue.clear()

    def cancel_unpaid(self) -> int:
        """Start nothing new, and cancel what is not paid for; how many items go on."""
        self.queue.clear()
        return self._executor.cancel_unpaid(self.in_progress) if self._executor is not None else 0


def is_worth_retrying(error: NemoError) -> bool:
    """Whether the same request may succeed a little later. The journal keeps a repeated one from paying twice."""
    if isinstance(error, ResultUnknown):
        return error.id == "stream-failure"  # the state tells what the message made
    if isinstance(error, RenderFailed):
        return error.id != "not-ready"
    unknown_code = type(error) is ApiError
    return unknown_code or isinstance(error, (TransportError, RateLimited, SessionBusy))


def _group_by_profile(items: Iterable[BatchItem]) -> dict[str, list[BatchItem]]:
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

    A failed item is a result with its `error`. What keeps the rest from being started (`max_credits` for all of them,
    the account's credits, signing in, the disk) is raised at the end, once every item that was started has ended.
    """
    name = self.profile.name

    async def executor_for(_: str) -> Executor:
        return LocalExecutor(self)

    wanted = assign_names(map(parse_item, items))
    for item in wanted:
        if item.profile not in ("", name):
            raise InputError(
                "value", name="profile", value=item.profile, expected=Phrase("expected.or-none", name=repr(name))
            )
    work = Batch(wanted, executor_for, Path(folder), jobs=jobs, caller=Caller(budget=Budget(max_credits)))
    async with aclosing(work.results()) as results:
        async for result in results:
            yield result

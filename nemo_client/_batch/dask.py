"""The executor that carries out a batch's items on a Dask cluster, which does scheduling, retries and dashboards.

An item that is started again, because its worker died, finds in the journal what was paid, so nothing is paid twice.
What passes through the scheduler is plain data: items (with their prompts and the names of profiles), paths, result
lines. Tokens and addresses of backends never do: each worker has its own.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import os
import uuid
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import CancelledError as FutureCancelled
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .._config.profiles import Profile
from .._config.timings import timings_in_use
from .._errors import Cancelled, ClusterError, LimitError, NemoError, ResultUnknown
from .._journal.journal import Journal
from .._journal.money import FREE, Money
from .._safety.redaction import scrub
from .._studio.progress import Budget
from .._wire.rate_limiter import RateLimiter
from .._wire.upload import disk_error
from .item import BatchItem
from .item_task import ItemTask, pick_worst_charge
from .worker import (
    collect_terms,
    error_from_dict,
    find_own_worker,
    inspect_environment,
    open_own_journal,
    require_same_terms,
)

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger("nemo_client")

WORKER_SECONDS: Final = 60.0
"""How long to wait for the first worker."""
INSPECT_SECONDS: Final = 60.0
CLEANUP_SECONDS: Final = 12.0
WATCH_SECONDS: Final = 2.0
ABANDONED_SECONDS: Final = 120.0
"""A batch gives up on a cluster that has had no worker for so long."""
ABANDONED_STOPPING_SECONDS: Final = 6.0
"""The same, where the batch is being stopped."""
RETRIES: Final = 2
"""How often Dask may try an item elsewhere that could not be started; a worker's death counts by Dask's own rule."""
ITEMS_PER_THREAD: Final = 1.1
"""Items submitted for each thread of the workers (Dask's own `worker-saturation`): one waits there when one ends."""

TOPIC: Final = "nemo-video"
"""Topic of the events by which workers report that an item is paid for: run, item, worker."""

PriceEstimate = Callable[[], Awaitable[float]]
"""Gives the credits that an item is expected to cost."""


async def run_order(order: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out an order on the Dask worker that runs this: see `Worker.carry_out`."""
    from distributed import get_worker

    worker = get_worker()
    paid = [order["terms"]["run"], order["item"]["output"], worker.address]
    answer = await find_own_worker().carry_out(order, worker.address, lambda: worker.log_event(TOPIC, paid))
    return {**answer, "worker": worker.address}


async def inspect_worker_process(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the worker that runs this finds of a batch's terms."""
    return await find_own_worker().inspect(asked)


async def cancel_unpaid(run: str) -> None:
    """Cancel what is not paid for on the worker that runs this, and start nothing more there."""
    find_own_worker().cancel_unpaid(run)


async def release(run: str) -> None:
    """Close what a batch needed on the worker that runs this."""
    await find_own_worker().release(run)


class Cluster:
    """The workers behind one scheduler, for one batch. Use it as an async context manager."""

    def __init__(self, address: str, folder: Path, run: str, limit: int = 0) -> None:
        """`folder` is the batch's; `run` names it; `limit` is what all of its items may cost, in credits (0 = any).

        `running` are the submitted items by name; `paying_workers` names the worker that reported an item as paid for.
        """
        self.address = address
        self.folder = folder
        self.run = run
        self.threads = 0
        self.workers = 0
        self.terms: Mapping[str, Any] = {}
        self.running: dict[str, ItemTask] = {}
        self.paying_workers: dict[str, str] = {}
        self.budget = Budget(limit)
        self._stopping = False
        self._abandoned = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._order_numbers = itertools.count(1)
        self._client: Client | None = None
        self._mark: Path | None = None

    async def __aenter__(self) -> Cluster:
        self._client = await _connect(self.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._mark is not None:
            with suppress(OSError):
                await asyncio.to_thread(self._mark.unlink, missing_ok=True)
        with suppress(Exception):  # all results are in; a worker that cannot be reached closes all by itself
            await asyncio.wait_for(self.client.run(release, self.run, on_error="ignore"), CLEANUP_SECONDS)
        with suppress(Exception):
            await asyncio.wait_for(self.client.close(), CLEANUP_SECONDS)

    @property
    def client(self) -> Client:
        """Dask's client, while this is open."""
        assert self._client is not None  # noqa: S101 - used as a context manager
        return self._client

    async def validate_workers(self, items: Sequence[BatchItem], *, dry: bool = False) -> None:
        """Compare every worker with this machine before anything is paid; a `ClusterError` where one differs.

        `dry` writes no mark file, so that it is not checked whether workers see the batch's folder.
        """
        try:
            await self.client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise ClusterError("cluster-empty", address=self.address, seconds=f"{WORKER_SECONDS:g}") from error
        pictures = (each for item in items for each in item.image if "://" not in each)
        asked = {
            "mark": "" if dry else str(await asyncio.to_thread(self._write_mark)),
            "picture": _make_absolute(next(pictures, "")),
            "names": sorted({item.profile for item in items}),
        }
        self.terms = collect_terms(await inspect_this_machine(asked), asked, self.run)
        reports = await self._inspect_workers(asked)
        for worker, report in reports.items():
            if isinstance(report, BaseException):
                raise ClusterError("cluster-missing", worker=worker, reason=_describe_cause(report)) from report
            require_same_terms(self.terms, report, worker)
        threads = await self.client.nthreads()
        self.workers, self.threads = len(threads), sum(threads.values())
        self.client.subscribe_topic(TOPIC, self._note_payment)
        self._watch = asyncio.ensure_future(self._watch_workers())

    def _write_mark(self) -> Path:
        """Write the file that every worker has to see in the batch's folder; this batch holds the folder's lock."""
        mark = self.folder / f".nemo-batch-{self.run}.mark"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(".nemo-batch-*.mark"):  # of a run that was killed
                left.unlink(missing_ok=True)
            mark.touch()
        except OSError as error:
            raise disk_error(error, mark) from error
        self._mark = mark
        return mark

    async def _inspect_workers(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        try:
            reports = await asyncio.wait_for(
                self.client.run(inspect_worker_process, asked, on_error="return"), INSPECT_SECONDS
            )
        except Exception as error:
            raise ClusterError("cluster-away", address=self.address, reason=_describe_cause(error)) from error
        return dict(reports)

    def _note_payment(self, event: tuple[float, Any]) -> None:
        """Note the worker that reports an item as paid for."""
        run, name, worker = event[1]
        if run == self.run and name in self.running:
            self.running[name].paid_stage = True
            self.paying_workers[name] = worker

    def make_executor(self, profile: Profile, estimate_price: PriceEstimate) -> DaskExecutor:
        """The executor of a profile's items."""
        limiter = RateLimiter(max(1, math.ceil(self.threads * ITEMS_PER_THREAD)))
        return DaskExecutor(self, profile, limiter, estimate_price)

    def stop(self) -> None:
        """Let all workers, present and later ones, cancel what is not paid for; each order still gets its answer."""
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
            self._watch = asyncio.ensure_future(self._watch_workers())

    async def _watch_workers(self) -> None:
        """Tell every worker of a stop, and set `_abandoned` once there has been no worker for too long."""
        empty = 0.0
        while True:
            if self._stopping:
                with suppress(Exception):
                    await asyncio.wait_for(self.client.run(cancel_unpaid, self.run, on_error="ignore"), CLEANUP_SECONDS)
            await asyncio.sleep(WATCH_SECONDS)
            present = {}
            with suppress(Exception):
                present = await asyncio.wait_for(self.client.nthreads(), CLEANUP_SECONDS)
            if not present and not empty:
                logger.warning("no worker is left at %s; waiting for one", self.address)
            empty = 0.0 if present else empty + WATCH_SECONDS
            if empty >= (ABANDONED_STOPPING_SECONDS if self._stopping else ABANDONED_SECONDS):
                self._abandoned.set()

    async def submit_order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Let a worker of Dask's choice carry out an order; its answer. Raises what kept an answer from coming."""
        from distributed import KilledWorker

        key, future = f"nemo-video-{self.run[:8]}-{next(self._order_numbers)}", None
        try:
            future = self.client.submit(run_order, {**order, "terms": self.terms}, key=key, pure=False, retries=RETRIES)
            return await self._await_answer(future)
        except asyncio.CancelledError:
            if future is not None:
                with suppress(Exception):
                    await asyncio.wait_for(future.cancel(), CLEANUP_SECONDS)
            raise
        except NemoError:
            raise
        except KilledWorker as error:
            raise ResultUnknown("worker-lost") from error
        except FutureCancelled as error:
            raise ClusterError("cluster-lost", charged="maybe", address=self.address) from error
        except Exception as error:
            reason = _describe_cause(error)
            raise ClusterError("cluster-failed", charged="maybe", address=self.address, reason=reason) from error

    async def _await_answer(self, future: Any) -> dict[str, Any]:
        """The worker's answer; a `ClusterError` once the cluster is abandoned."""
        waiting = {asyncio.ensure_future(future.result()), asyncio.ensure_future(self._abandoned.wait())}
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if isinstance(answer := each.result(), Mapping):
                    return dict(answer)
            raise ClusterError("cluster-deserted", charged="maybe", address=self.address)
        finally:
            for each in waiting:
                each.cancel()


@dataclass(frozen=True)
class DaskExecutor:
    """Carries out the items of one profile on the workers of a cluster."""

    cluster: Cluster
    profile: Profile
    limiter: RateLimiter
    estimate_price: PriceEstimate

    async def carry_out(self, item_task: ItemTask) -> tuple[dict[str, Any], Money]:
        """Carry out an item: its result line, and what it cost now. Raises the `NemoError` that it failed with."""
        item, cluster = item_task.item, self.cluster
        item_task.start_attempt(self.profile)
        request = await asyncio.to_thread(lambda: item.request)
        sent = replace(item, image=tuple(map(_make_absolute, item.image)), profile=self.profile.name)
        order = {"item": sent.to_json(), "folder": str(item_task.folder), "limit": cluster.budget.limit}
        cluster.running[item.name] = item_task
        try:
            answer = await self._submit_within_budget(item.name, order)
            if "error" in answer:
                raise self._rebuild_error(item_task, answer)
        except NemoError as error:
            error.charged = "no" if self.profile.free else error.charged
            item_task.note_failure(error)
            raise
        finally:
            del cluster.running[item.name]
            cluster.paying_workers.pop(item.name, None)
        line, money = dict(answer["line"]), Money.from_json(answer["money"])
        if first := item_task.register_key(line["key"]):
            line |= {"duplicate_of": first, "credits": 0.0, "charged": "no"}
            money = FREE
        self._settle_budget(item.name, line["charged"], money)
        return {**line, "item": item.name, "image": list(item.image), "request": request}, money

    async def _submit_within_budget(self, name: str, order: Mapping[str, Any]) -> dict[str, Any]:
        """A worker's answer; submitted again where the item did not fit the limit, and others need less by now."""
        while True:
            others = await self._reserve(name)
            answer = await self.cluster.submit_order({**order, "gone": others})
            did_not_fit = answer.get("error", {}).get("type") == LimitError.__name__
            if not did_not_fit or self.cluster.budget.without(name) >= others:
                return answer

    def _rebuild_error(self, item_task: ItemTask, answer: Mapping[str, Any]) -> NemoError:
        """The error of an answer, with what is known of its charge on all workers that had the item."""
        error, name = error_from_dict(answer["error"]), item_task.item.name
        charged = pick_worst_charge(answer["charged"], error.charged)
        if charged == "no" and self.cluster.paying_workers.get(name, answer["worker"]) != answer["worker"]:
            charged = "maybe"  # another worker had sent its message, and died
            error = ResultUnknown("worker-lost") if isinstance(error, Cancelled) else error
        error.charged = charged
        if charged != "no" and answer["key"]:
            item_task.key = answer["key"]
        item_task.taken = answer.get("taken")
        self._settle_budget(name, pick_worst_charge(item_task.charged, charged), Money())
        return error

    def cancel_unpaid(self, in_progress: Mapping[ItemTask, asyncio.Task[Any] | None]) -> int:
        """Cancel the items that are not paid for, on every worker; how many go on, as far as is known yet."""
        self.cluster.stop()
        return 0 if self.profile.free else sum(item_task.paid_stage for item_task in in_progress)

    async def _reserve(self, name: str) -> float:
        """Reserve the item's expected price in the budget; the credits that all other items take of it."""
        budget = self.cluster.budget
        if not budget.limit:
            return 0.0
        expected = 0.0 if self.profile.free else await self.estimate_price()
        others = budget.without(name)
        budget.take(name, expected)
        return others

    def _settle_budget(self, name: str, charged: str, money: Money) -> None:
        """Replace the item's reservation by its price, as far as that is known."""
        if charged == "no":
            self.cluster.budget.release(name)
        elif money.sure is not None:
            self.cluster.budget.correct(name, money.sure)


async def _connect(address: str) -> Client:
    try:
        import distributed
    except ImportError as error:
        raise ClusterError("cluster-extra") from error
    if os.environ.get("NEMO_DEBUG", "") in ("", "0"):
        for name in ("asyncio", *logging.root.manager.loggerDict):
            if name.split(".")[0] in ("asyncio", "distributed", "tornado"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # failures are reported here, in one line
    client, seconds = None, timings_in_use().batch.connect
    try:
        with warnings.catch_warnings():  # Dask warns of other versions of packages; ours is compared on its own
            warnings.simplefilter("ignore")
            client = distributed.Client(
                address, asynchronous=True, timeout=seconds, set_as_default=False,
                name=f"nemo-{uuid.uuid4().hex}",
            )  # fmt: skip
            return await asyncio.wait_for(client, seconds + 1)
    except BaseException as error:
        if client is not None:
            with suppress(Exception):
                await asyncio.wait_for(client.close(timeout=1), 3)
        if not isinstance(error, Exception):
            raise
        raise ClusterError("cluster-away", address=address, reason=_describe_cause(error)) from error


async def inspect_this_machine(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What this machine, which starts the batch, finds of its own terms."""
    journals: list[Journal] = []

    def open_journal() -> Journal:
        if not journals:
            journals.append(open_own_journal())
        return journals[0]

    try:
        return await inspect_environment(asked, open_journal)
    finally:
        for each in journals:
            await each.close()


def _make_absolute(image: str) -> str:
    """A picture's absolute path, for other machines; an address stays as it is."""
    return image if not image or "://" in image else os.path.abspath(os.path.expanduser(image))


def _describe_cause(error: BaseException) -> str:
    text = scrub(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__

"""A batch's items on the workers of a Dask cluster, which does the scheduling, retries and dashboards.

An item that is begun again, since its worker died in the middle, meets the journal, so nothing is paid twice. What
passes through the scheduler is plain data: items (with their prompts and the names of profiles), paths, result lines.
Tokens and addresses of backends never do: each worker has its own.
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
from concurrent.futures import CancelledError as Dropped
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .._config.profiles import Profile
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
    explain_difference,
    find_own_worker,
    inspect_environment,
    own_journal_for,
)

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger("nemo_client")

CONNECT_SECONDS: Final = 15.0
WORKER_SECONDS: Final = 60.0
"""How long to wait for a first worker."""
LOOK_SECONDS: Final = 60.0
REST_SECONDS: Final = 12.0
WATCH_SECONDS: Final = 2.0
DESERTED_SECONDS: Final = 120.0
"""A cluster without any worker for so long is given up; within a few seconds where the batch is being stopped."""
STOPPING_SECONDS: Final = 6.0
RETRIES: Final = 2
"""How often Dask may try an item elsewhere that could not even be begun; a worker's death counts by its own rule."""
AHEAD: Final = 1.1
"""Items out for each thread of the workers, as Dask's own rule: the next one is at hand when one ends."""

TOPIC: Final = "nemo-video"
"""Of the events by which workers tell that an item is paid for: run, item, worker."""

Expected = Callable[[], Awaitable[float]]
"""Credits that an item is expected to take."""


async def run_order(order: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker does with an order: see `Worker.carry_out`."""
    from distributed import get_worker

    worker = get_worker()
    paid = [order["terms"]["run"], order["item"]["output"], worker.address]
    answer = await find_own_worker().carry_out(order, worker.address, lambda: worker.log_event(TOPIC, paid))
    return {**answer, "worker": worker.address}


async def inspect_worker_process(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker finds by a batch's terms."""
    return await find_own_worker().look(asked)


async def give_up(run: str) -> None:
    """Let a worker give up what is not paid for, and begin nothing more."""
    find_own_worker().give_up(run)


async def release(run: str) -> None:
    """Let a worker give back what a batch needed."""
    await find_own_worker().release(run)


class Cluster:
    """The workers behind one scheduler, for one batch. Use it as an async context manager."""

    def __init__(self, address: str, folder: Path, run: str, limit: int = 0) -> None:
        """`folder` is the batch's; `run` names it; `limit` is what all of its items may cost, in credits (0 = any).

        `out` are the items that are with the cluster, `paying` the workers that told of a message for one of them.
        """
        self.address = address
        self.folder = folder
        self.run = run
        self.threads = 0
        self.workers = 0
        self.terms: Mapping[str, Any] = {}
        self.out: dict[str, ItemTask] = {}
        self.paying: dict[str, str] = {}
        self.budget = Budget(limit)
        self._stopping = False
        self._deserted = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._client: Client | None = None
        self._mark: Path | None = None

    async def __aenter__(self) -> Cluster:
        self._client = await _connected(self.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._mark is not None:
            with suppress(OSError):
                await asyncio.to_thread(self._mark.unlink, missing_ok=True)
        with suppress(Exception):  # all is done and told; a worker that cannot be asked gives all back by itself
            await asyncio.wait_for(self.client.run(release, self.run, on_error="ignore"), REST_SECONDS)
        with suppress(Exception):
            await asyncio.wait_for(self.client.close(), REST_SECONDS)

    @property
    def client(self) -> Client:
        """Dask's client, while this is open."""
        assert self._client is not None  # noqa: S101 - used as a context manager
        return self._client

    async def muster(self, items: Sequence[BatchItem], *, dry: bool = False) -> None:
        """Let every worker look at itself, before anything is paid; a `ClusterError` where one differs.

        `dry` leaves the folder alone, and what only it could show unseen.
        """
        try:
            await self.client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise ClusterError("cluster-empty", address=self.address, seconds=f"{WORKER_SECONDS:g}") from error
        pictures = (each for item in items for each in item.image if "://" not in each)
        asked = {
            "mark": "" if dry else str(await asyncio.to_thread(self._marked)),
            "picture": _absolute(next(pictures, "")),
            "names": sorted({item.profile for item in items}),
        }
        self.terms = collect_terms(await _own(asked), asked, self.run)
        reports = await self._asked(asked)
        for worker, report in reports.items():
            if isinstance(report, BaseException):
                raise ClusterError("cluster-missing", worker=worker, reason=_reason(report)) from report
            if (difference := explain_difference(self.terms, report, worker)) is not None:
                raise difference
        threads = await self.client.nthreads()
        self.workers, self.threads = len(threads), sum(threads.values())
        self.client.subscribe_topic(TOPIC, self._paid)
        self._watch = asyncio.ensure_future(self._watched())

    def _marked(self) -> Path:
        """A file that every worker has to see in the batch's folder, which this batch holds."""
        mark = self.folder / f".nemo-batch-{self.run}.mark"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(".nemo-batch-*.mark"):  # by one that was killed
                left.unlink(missing_ok=True)
            mark.touch()
        except OSError as error:
            raise disk_error(error, mark) from error
        self._mark = mark
        return mark

    async def _asked(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        try:
            reports = await asyncio.wait_for(
                self.client.run(inspect_worker_process, asked, on_error="return"), LOOK_SECONDS
            )
        except Exception as error:
            raise ClusterError("cluster-away", address=self.address, reason=_reason(error)) from error
        return dict(reports)

    def _paid(self, event: tuple[float, Any]) -> None:
        """A worker tells that an item is paid for from now on."""
        run, name, worker = event[1]
        if run == self.run and name in self.out:
            self.out[name].paid_stage = True
            self.paying[name] = worker

    def place(self, profile: Profile, expected: Expected) -> DaskExecutor:
        """Where the items of a profile are carried out."""
        return DaskExecutor(self, profile, RateLimiter(max(1, math.ceil(self.threads * AHEAD))), expected)

    def stop(self) -> None:
        """Let the workers give up what is not paid for, those that come later as well; each item is answered."""
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
            self._watch = asyncio.ensure_future(self._watched())

    async def _watched(self) -> None:
        """See to it that every worker knows of a stop, and that nobody waits for workers that do not come."""
        empty = 0.0
        while True:
            if self._stopping:
                with suppress(Exception):
                    await asyncio.wait_for(self.client.run(give_up, self.run, on_error="ignore"), REST_SECONDS)
            await asyncio.sleep(WATCH_SECONDS)
            there = {}
            with suppress(Exception):
                there = await asyncio.wait_for(self.client.nthreads(), REST_SECONDS)
            if not there and not empty:
                logger.warning("no worker is left at %s; waiting for one", self.address)
            empty = 0.0 if there else empty + WATCH_SECONDS
            if empty >= (STOPPING_SECONDS if self._stopping else DESERTED_SECONDS):
                self._deserted.set()

    async def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """An order, carried out by a worker of Dask's choice; its answer. Raises what kept it from one."""
        from distributed import KilledWorker

        key, future = f"nemo-video-{self.run[:8]}-{next(self._numbers)}", None
        try:
            future = self.client.submit(run_order, {**order, "terms": self.terms}, key=key, pure=False, retries=RETRIES)
            return await self._answer(future)
        except asyncio.CancelledError:
            if future is not None:
                with suppress(Exception):
                    await asyncio.wait_for(future.cancel(), REST_SECONDS)
            raise
        except NemoError:
            raise
        except KilledWorker as error:
            raise ResultUnknown("worker-lost") from error
        except Dropped as error:
            raise _maybe(ClusterError("cluster-lost", address=self.address)) from error
        except Exception as error:
            raise _maybe(ClusterError("cluster-failed", address=self.address, reason=_reason(error))) from error

    async def _answer(self, future: Any) -> dict[str, Any]:
        """What the worker answers, unless all of them have gone for good."""
        waiting = {asyncio.ensure_future(future.result()), asyncio.ensure_future(self._deserted.wait())}
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if isinstance(answer := each.result(), Mapping):
                    return dict(answer)
            raise _maybe(ClusterError("cluster-deserted", address=self.address))
        finally:
            for each in waiting:
                each.cancel()


@dataclass(frozen=True)
class DaskExecutor:
    """The workers of a cluster, as the place of one profile's items."""

    cluster: Cluster
    profile: Profile
    lane: RateLimiter
    expected: Expected

    async def carry_out(self, errand: ItemTask) -> tuple[dict[str, Any], Money]:
        """Its line, and what it took now; raises what it failed with."""
        item, cluster = errand.item, self.cluster
        errand.begin(self.profile)
        request = await asyncio.to_thread(lambda: item.request)
        sent = replace(item, image=tuple(map(_absolute, item.image)), profile=self.profile.name)
        order = {"item": sent.to_json(), "folder": str(errand.folder), "limit": cluster.budget.limit}
        cluster.out[item.name] = errand
        try:
            answer = await self._fitted(item.name, order)
            if "error" in answer:
                raise self._failed(errand, answer)
        except NemoError as error:
            error.charged = "no" if self.profile.free else error.charged
            errand.note(error)
            raise
        finally:
            del cluster.out[item.name]
            cluster.paying.pop(item.name, None)
        line, money = dict(answer["line"]), Money.from_json(answer["money"])
        if first := errand.known_as(line["key"]):
            line |= {"duplicate_of": first, "credits": 0.0, "charged": "no"}
            money = FREE
        self._settle(item.name, line["charged"], money)
        return {**line, "item": item.name, "image": list(item.image), "request": request}, money

    async def _fitted(self, name: str, order: Mapping[str, Any]) -> dict[str, Any]:
        """A worker's answer; asked once more where it did not fit beside others that have given their share back."""
        while True:
            gone = await self._reserved(name)
            answer = await self.cluster.ask({**order, "gone": gone})
            did_not_fit = answer.get("error", {}).get("type") == LimitError.__name__
            if not did_not_fit or self.cluster.budget.without(name) >= gone:
                return answer

    def _failed(self, errand: ItemTask, answer: Mapping[str, Any]) -> NemoError:
        error, name = error_from_dict(answer["error"]), errand.item.name
        charged = pick_worst_charge(answer["charged"], error.charged)
        if charged == "no" and self.cluster.paying.get(name, answer["worker"]) != answer["worker"]:
            charged = "maybe"  # another worker had sent its message, and died
            error = ResultUnknown("worker-lost") if isinstance(error, Cancelled) else error
        error.charged = charged
        if charged != "no" and answer["key"]:
            errand.known_as(answer["key"])
        self._settle(name, pick_worst_charge(errand.charged, charged), Money())
        return error

    def give_up(self, out: Mapping[ItemTask, asyncio.Task[Any] | None]) -> int:
        """Give up what is under way and not paid for, on whichever worker; how many go on, as far as is known yet."""
        self.cluster.stop()
        return 0 if self.profile.free else sum(errand.paid_stage for errand in out)

    async def _reserved(self, name: str) -> float:
        """Count the item with what it is expected to take; what all others count for."""
        budget = self.cluster.budget
        if not budget.limit:
            return 0.0
        expected = 0.0 if self.profile.free else await self.expected()
        gone = budget.without(name)
        budget.take(name, expected)
        return gone

    def _settle(self, name: str, charged: str, money: Money) -> None:
        """Count the item with what it took, as far as that is known."""
        if charged == "no":
            self.cluster.budget.release(name)
        elif money.sure is not None:
            self.cluster.budget.correct(name, money.sure)


async def _connected(address: str) -> Client:
    try:
        import distributed
    except ImportError as error:
        raise ClusterError("cluster-extra") from error
    if os.environ.get("NEMO_DEBUG", "") in ("", "0"):
        for name in ("asyncio", *logging.root.manager.loggerDict):
            if name.split(".")[0] in ("asyncio", "distributed", "tornado"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is told here, in a line
    client = None
    try:
        with warnings.catch_warnings():  # of other versions of packages there, of which only ours matters here
            warnings.simplefilter("ignore")
            client = distributed.Client(
                address, asynchronous=True, timeout=CONNECT_SECONDS, set_as_default=False,
                name=f"nemo-{uuid.uuid4().hex}",
            )  # fmt: skip
            return await asyncio.wait_for(client, CONNECT_SECONDS + 1)
    except BaseException as error:
        if client is not None:
            with suppress(Exception):
                await asyncio.wait_for(client.close(timeout=1), 3)
        if not isinstance(error, Exception):
            raise
        raise ClusterError("cluster-away", address=address, reason=_reason(error)) from error


async def _own(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What this machine finds by its own terms."""
    journals: list[Journal] = []

    def journal() -> Journal:
        if not journals:
            journals.append(own_journal_for())
        return journals[0]

    try:
        return await inspect_environment(asked, journal)
    finally:
        for each in journals:
            await each.close()


def _absolute(image: str) -> str:
    """A picture as other machines find it; an address stays as it is."""
    return image if not image or "://" in image else os.path.abspath(os.path.expanduser(image))


def _reason(error: BaseException) -> str:
    text = scrub(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def _maybe(error: ClusterError) -> ClusterError:
    error.charged = "maybe"
    return error

"""A worker of a cluster: it carries out a batch's items in its own process, with its own token and profiles.

What comes in and goes out is plain data; the scheduler is known to `_batch.dask` alone. Before its first item a worker
checks itself against the batch's terms: same program, same folder, same journal, same accounts. Where they differ, no
paid work is started.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from .. import _errors
from .._config.client_id import VERSION
from .._config.credentials import find_account_id
from .._config.paths import ensure_home, find_home
from .._config.profiles import find_profile
from .._config.timings import BatchTimings, timings_in_use
from .._errors import Cancelled, ClusterError, DiskError, NemoError
from .._journal import queries
from .._journal.journal import Journal
from .._journal.leases import find_host_name
from .._journal.money import FREE, Money
from .._safety.redaction import redact, scrub
from .._studio.progress import Budget, Caller, Progress
from .._studio.studio import Studio
from .._text.messages import Phrase
from .item import BatchItem
from .item_task import ItemTask

logger = logging.getLogger("nemo_client")

CLOSING_SECONDS: Final = 25.0
"""How long a worker that is asked to close reads paid streams on; Kubernetes gives it 30."""
OTHER_ITEMS: Final = "others"

ReportPayment = Callable[[], None]
"""Called once, as soon as an item is paid for."""


async def inspect_environment(asked: Mapping[str, Any], journal: Callable[[], Journal]) -> dict[str, Any]:
    """What this process finds of a batch's terms: program, host, folder, picture, profiles, accounts and journal.

    `asked` names the mark file, a picture, and the profiles. `journal` opens the one that paid work is recorded in; it
    is not opened where every profile is free.
    """
    found = _describe_process()
    found["folder"] = await asyncio.to_thread(_is_file, asked["mark"])
    found["picture"] = await asyncio.to_thread(_is_file, asked["picture"])
    await _add_accounts(found, asked["names"], journal)
    return found


def _describe_process() -> dict[str, Any]:
    return {"version": VERSION, "host": find_host_name()}


async def _add_accounts(found: dict[str, Any], names: Iterable[str], journal: Callable[[], Journal]) -> None:
    """Add the paid profiles of these names as they are here, and the journal that keeps them from paying twice."""
    directory = find_home()
    known = [await asyncio.to_thread(find_profile, name, directory) for name in names]
    paid = [each for each in known if not each.free]
    found["profiles"] = {each.name: compute_fingerprint(each.id) for each in paid}
    accounts = {each.name: await asyncio.to_thread(find_account_id, each, directory) for each in paid}
    found["accounts"] = {name: compute_fingerprint(account) for name, account in accounts.items()}
    found["journal"], found["shared"] = "", True
    if paid:
        await journal().check()
        found["journal"] = await _read_identity(journal())
        found["shared"] = bool(journal().machine)


def collect_terms(found: Mapping[str, Any], asked: Mapping[str, Any], run: str) -> dict[str, Any]:
    """The terms of a batch: what the machine that starts it found of itself; `require_same_terms` compares them."""
    for name, account in found["accounts"].items():
        if not account:
            raise ClusterError("cluster-no-account", profile=name)
    return {**found, **asked, "run": run}


def require_same_terms(terms: Mapping[str, Any], found: Mapping[str, Any], worker: str) -> None:
    """Raise a `ClusterError` that says why a worker which `found` this of itself cannot take part."""
    if found["version"] != terms["version"]:
        raise ClusterError("cluster-version", worker=worker, theirs=found["version"], ours=terms["version"])
    if "error" in found:
        error = error_from_dict(found["error"])
        raise ClusterError("cluster-worker", worker=worker, reason=error.text())
    if not found["folder"]:
        raise ClusterError("cluster-folder", worker=worker, folder=str(Path(terms["mark"]).parent))
    if not found["picture"]:
        raise ClusterError("cluster-folder", worker=worker, folder=terms["picture"])
    _require_same_accounts(terms, found, worker)
    if terms["profiles"]:  # else every profile is free, and needs no journal in common
        _require_same_journal(terms, found, worker)


def _require_same_accounts(terms: Mapping[str, Any], found: Mapping[str, Any], worker: str) -> None:
    for name, address in terms["profiles"].items():
        if found["profiles"].get(name) != address:
            raise ClusterError("cluster-profile", worker=worker, profile=name)
        account = found["accounts"][name]
        if account != terms["accounts"][name]:
            text_id = "cluster-other-account" if account else "cluster-worker-account"
            raise ClusterError(text_id, worker=worker, profile=name)


def _require_same_journal(terms: Mapping[str, Any], found: Mapping[str, Any], worker: str) -> None:
    if not (terms["shared"] and found["shared"]) and found["host"] != terms["host"]:
        raise ClusterError("cluster-file-journal", worker=worker)
    if found["journal"] != terms["journal"]:
        raise ClusterError("cluster-journal", worker=worker)


def compute_fingerprint(text: str) -> str:
    """A hash by which two accounts, or two profiles' addresses, can be compared; empty for none."""
    return hashlib.sha256(f"nemo-video crew {text}".encode()).hexdigest()[:16] if text else ""


@dataclass(eq=False)
class _RunningItem:
    """An item in progress for the batch `run`."""

    run: str
    item_task: ItemTask
    task: asyncio.Task[Any] | None = None
    free: bool = False


@dataclass
class Worker:
    """Carries out items in this process: a Studio for each profile, all with one journal. For one event loop."""

    timings: BatchTimings = field(default_factory=lambda: timings_in_use().batch)
    open_journal: Callable[[], Journal] = field(default_factory=lambda: open_own_journal)
    _studios: dict[str, asyncio.Task[Studio]] = field(default_factory=dict)
    _journal: Journal | None = None
    _validated_runs: set[str] = field(default_factory=set)
    _stopped_runs: set[str] = field(default_factory=set)
    _running: list[_RunningItem] = field(default_factory=list)
    _readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(os.cpu_count() or 1))
    _idle: asyncio.TimerHandle | None = None
    _closing: asyncio.Task[None] | None = None

    async def carry_out(self, order: Mapping[str, Any], worker: str, report_payment: ReportPayment) -> dict[str, Any]:
        """Carry out an order of `_batch.dask`: its result line and money, or its error, as plain data.

        An error is returned: a raised one would travel with its traceback, whose frames can hold secrets.
        """
        work = self._begin_item(order, report_payment)
        item_task = work.item_task
        try:
            line, money = await self._run_item(work, order["terms"], worker)
            return {"line": line, "money": money.to_json()}
        except NemoError as error:
            ended = error
        except Exception as error:
            logger.exception("unexpected %s", type(error).__name__)
            facts = {"kind": type(error).__name__, "reason": redact(str(error))[:300] or "?"}
            ended = NemoError("unexpected", charged="maybe", **facts)
        finally:
            self._finish_item(work)
        return {
            "error": error_to_dict(ended),
            "key": item_task.key,
            "profile": item_task.profile,
            "charged": item_task.charged,
            "taken": item_task.taken,
        }

    def _begin_item(self, order: Mapping[str, Any], report_payment: ReportPayment) -> _RunningItem:
        reported = False

        def progress(_: Progress) -> None:
            nonlocal reported
            if item_task.paid_stage and not reported:
                reported = True
                report_payment()

        run, budget = str(order["terms"]["run"]), Budget(order["limit"])
        budget.take(OTHER_ITEMS, order["gone"])
        caller = Caller(progress, budget, run)
        item_task = ItemTask(BatchItem.from_json(order["item"]), Path(order["folder"]), caller, readers=self._readers)
        work = _RunningItem(run, item_task)
        self._running.append(work)
        if self._idle is not None:
            self._idle.cancel()
        return work

    def _finish_item(self, work: _RunningItem) -> None:
        self._running.remove(work)
        if not self._running:
            self._idle = asyncio.get_running_loop().call_later(self.timings.idle, self._close_when_idle)

    def _close_when_idle(self) -> None:
        """Close what is open if no item has come meanwhile."""
        if not self._running:
            self._closing = asyncio.ensure_future(_close_resources(*self._detach_resources()))

    async def _validate_terms(self, terms: Mapping[str, Any], worker: str) -> None:
        """Check this worker once for each batch, including one that joined after the batch had started."""
        if terms["run"] in self._stopped_runs:
            raise Cancelled("cancelled")
        if terms["run"] not in self._validated_runs:
            require_same_terms(terms, await self.inspect(terms), worker)
            self._validated_runs.add(str(terms["run"]))

    async def inspect(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What this process finds of a batch's terms, as plain data; what kept it from looking stands as `error`."""
        try:
            return await inspect_environment(asked, self._open_journal)
        except NemoError as error:
            return {**_describe_process(), "error": error_to_dict(error)}

    def _open_journal(self) -> Journal:
        if self._journal is None:
            self._journal = self.open_journal()
        return self._journal

    async def _open_studio(self, name: str) -> Studio:
        if name not in self._studios:
            self._studios[name] = asyncio.ensure_future(Studio.open(name, journal=self._open_journal()))
        opening = self._studios[name]
        try:
            return await asyncio.shield(opening)
        except Exception:
            if self._studios.get(name) is opening:  # the next item tries again
                del self._studios[name]
            raise

    async def _run_item(
        self, work: _RunningItem, terms: Mapping[str, Any], worker: str
    ) -> tuple[dict[str, Any], Money]:
        await self._validate_terms(terms, worker)
        item_task = work.item_task
        studio = await self._open_studio(item_task.item.profile)
        if work.run in self._stopped_runs:
            raise Cancelled("cancelled")
        work.free = studio.profile.free
        work.task = task = asyncio.ensure_future(studio.limiter.carry_out(lambda: item_task.run(studio)))
        try:
            line, money = await task
        except asyncio.CancelledError:
            if item_task.caller.gave_up:
                raise Cancelled("cancelled") from None
            with suppress(asyncio.TimeoutError):  # the worker is being closed, and hanging up would not undo a charge
                await asyncio.wait_for(studio.drain(read_on=False), CLOSING_SECONDS)
            raise
        return await self._attribute_to_run(line, money, work.run)

    async def _attribute_to_run(self, line: dict[str, Any], money: Money, run: str) -> tuple[dict[str, Any], Money]:
        """The line and money with what this batch paid, whichever worker sent the message: that one may have died.

        The video is delivered: where the journal cannot be read now, line and money stay as they are.
        """
        try:
            step = await self._open_journal().latest(line["key"])
        except DiskError:
            return line, money
        if step is None or step.free:
            return line, money
        mine = step.run == run
        money = Money.from_json(step.facts.get("money")) if mine else FREE
        charged = "no" if money.sure == 0 else "yes"
        return {**line, "credits": money.sure, "charged": charged, "reused": line["reused"] or not mine}, money

    def cancel_unpaid(self, run: str) -> None:
        """Cancel the items of a batch that are not paid for, and start none of it any more."""
        self._stopped_runs.add(run)
        for work in self._running:
            if work.run == run and work.task is not None and (work.free or not work.item_task.paid_stage):
                work.item_task.caller.gave_up = True
                work.task.cancel()

    async def release(self, run: str) -> None:
        """Forget a batch that has ended; close what is open where no other batch has items here."""
        self.cancel_unpaid(run)
        self._validated_runs.discard(run)
        self._stopped_runs.discard(run)
        if not self._running:
            await self.close()

    async def close(self) -> None:
        """Close connections and leases. A later item opens them again."""
        await _close_resources(*self._detach_resources())

    def _detach_resources(self) -> tuple[list[asyncio.Task[Studio]], Journal | None]:
        """Take out all that is open at once, so that an item that comes now gets none of it."""
        studios, self._studios = list(self._studios.values()), {}
        journal, self._journal = self._journal, None
        if self._idle is not None:
            self._idle.cancel()
        return studios, journal


async def _close_resources(studios: Iterable[asyncio.Task[Studio]], journal: Journal | None) -> None:
    for opening in studios:
        with suppress(NemoError, OSError):
            studio = await opening
            await studio.drain(read_on=False)  # closing a paid stream may end the paid work
            await studio.aclose()
    if journal is not None:
        await journal.close()


_WORKERS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Worker]] = WeakKeyDictionary()


def find_own_worker() -> Worker:
    """The worker of the running event loop."""
    return _WORKERS.setdefault(asyncio.get_running_loop(), Worker())


def error_to_dict(error: NemoError) -> dict[str, Any]:
    """An error as plain data, without anything secret."""
    facts = {name: value if isinstance(value, int | float | None) else scrub(str(value)) for name, value in
             error.facts.items()}  # fmt: skip
    phrases = {name: value.to_json() for name, value in error.facts.items() if isinstance(value, Phrase)}
    pause = getattr(error, "retry_after", None)
    return {
        "type": type(error).__name__,
        "id": error.id,
        "charged": error.charged,
        "facts": facts,
        "phrases": phrases,
        "pause": pause,
    }


def error_from_dict(data: Mapping[str, Any]) -> NemoError:
    """The error that `error_to_dict` wrote."""
    kind = getattr(_errors, str(data["type"]), NemoError)
    if not (isinstance(kind, type) and issubclass(kind, NemoError)):
        kind = NemoError
    phrases = {name: Phrase.from_json(value) for name, value in data.get("phrases", {}).items()}
    facts = {**data["facts"], **phrases}
    try:
        error = kind(data["id"], **facts)
    except TypeError:  # a class that chooses its text itself
        error = NemoError(data["id"], **facts)
    error.charged = data["charged"]
    if data["pause"] is not None and hasattr(error, "retry_after"):
        error.retry_after = data["pause"]
    return error


def open_own_journal() -> Journal:
    """The journal of this process's environment."""
    return Journal.open(ensure_home(find_home()))


async def _read_identity(journal: Journal) -> str:
    def read(database: Any, _: object) -> str:
        with database.reading() as connection:
            known = queries.select_identity(connection)
        if database.path is None:
            return known
        file = database.path.stat()  # a copy of it has the same id
        return f"{known} {file.st_dev} {file.st_ino}"

    return await journal.work(read)


def _is_file(path: object) -> bool:
    try:
        return not path or Path(str(path)).is_file()
    except (OSError, ValueError):
        return False

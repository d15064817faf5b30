"""A worker of a cluster: it carries out a batch's items in its own process, with its own token and profiles.

What comes in and goes out is plain data; no scheduler is known here (`_batch.dask` knows one). Before its first item a
worker looks at itself by the batch's terms: same program, same folder, same journal, same accounts. Nothing that is
paid for begins where they differ.
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
from .._errors import Cancelled, ClusterError, DiskError, NemoError
from .._journal import queries
from .._journal.journal import Journal
from .._journal.leases import find_host_name
from .._journal.money import FREE, Money
from .._safety.redaction import redact, scrub
from .._studio.progress import Budget, Caller, Progress
from .._studio.studio import Studio
from .item import BatchItem
from .item_task import ItemTask

logger = logging.getLogger("nemo_client")

IDLE_SECONDS: Final = 300.0
"""A worker that got no item for so long gives its connections back; the next item opens them anew."""
CLOSING_SECONDS: Final = 25.0
"""So long a worker that is asked to close reads paid streams on; Kubernetes gives it 30."""
OTHERS: Final = "others"

Tell = Callable[[], None]
"""Told once, as soon as an item is paid for."""


async def inspect_environment(asked: Mapping[str, Any], journal: Callable[[], Journal]) -> dict[str, Any]:
    """How this process stands to a batch's terms: the same names, as they are here, or the `error` of looking.

    `journal` gives the one that paid work is recorded in; it is not asked for where all is free.
    """
    found: dict[str, Any] = {"version": VERSION, "host": find_host_name()}
    try:
        found["folder"] = await asyncio.to_thread(_is_file, asked["mark"])
        found["picture"] = await asyncio.to_thread(_is_file, asked["picture"])
        await _add_accounts(found, asked["names"], journal)
    except NemoError as error:
        found["error"] = error_to_dict(error)
    return found


async def _add_accounts(found: dict[str, Any], names: Iterable[str], journal: Callable[[], Journal]) -> None:
    """What the paid profiles of these names are here, and the journal that keeps them from paying twice."""
    place = find_home()
    known = [await asyncio.to_thread(find_profile, name, place) for name in names]
    paid = [each for each in known if not each.free]
    found["profiles"] = {each.name: compute_fingerprint(each.id) for each in paid}
    accounts = {each.name: await asyncio.to_thread(find_account_id, each, place) for each in paid}
    found["accounts"] = {name: compute_fingerprint(account) for name, account in accounts.items()}
    found["journal"], found["shared"] = "", True
    if paid:
        await journal().check()
        found["journal"] = await _identity(journal())
        found["shared"] = bool(journal().machine)


def collect_terms(found: Mapping[str, Any], asked: Mapping[str, Any], run: str) -> dict[str, Any]:
    """The terms of a batch: as the machine that begins it found itself, to be compared with `differs`."""
    if "error" in found:
        raise error_from_dict(found["error"])
    for name, account in found["accounts"].items():
        if not account:
            raise ClusterError("cluster-no-account", profile=name)
    return {**found, **asked, "run": run}


def explain_difference(terms: Mapping[str, Any], found: Mapping[str, Any], worker: str) -> NemoError | None:
    """Why a worker that found itself so cannot take part; None where it can."""
    if found["version"] != terms["version"]:
        return ClusterError("cluster-version", worker=worker, theirs=found["version"], ours=terms["version"])
    if "error" in found:
        error = error_from_dict(found["error"])
        return ClusterError("cluster-worker", worker=worker, reason=error.text())
    if not found["folder"]:
        return ClusterError("cluster-folder", worker=worker, folder=str(Path(terms["mark"]).parent))
    if not found["picture"]:
        return ClusterError("cluster-folder", worker=worker, folder=terms["picture"])
    for name, address in terms["profiles"].items():
        if found["profiles"].get(name) != address:
            return ClusterError("cluster-profile", worker=worker, profile=name)
        account = found["accounts"][name]
        if account != terms["accounts"][name]:
            text_id = "cluster-other-account" if account else "cluster-worker-account"
            return ClusterError(text_id, worker=worker, profile=name)
    if not terms["profiles"]:
        return None  # all of it is free
    if not (terms["shared"] and found["shared"]) and found["host"] != terms["host"]:
        return ClusterError("cluster-file-journal", worker=worker)
    return ClusterError("cluster-journal", worker=worker) if found["journal"] != terms["journal"] else None


def compute_fingerprint(text: str) -> str:
    """A name for an account, or for where a profile leads, by which two can be compared; empty for none."""
    return hashlib.sha256(f"nemo-video crew {text}".encode()).hexdigest()[:16] if text else ""


@dataclass(eq=False)
class _Work:
    """An item under way for a batch's `run`."""

    run: str
    errand: ItemTask
    task: asyncio.Task[Any] | None = None
    free: bool = False


@dataclass
class Worker:
    """What works in this process: a Studio for each profile, all with one journal. For one event loop."""

    _studios: dict[str, asyncio.Task[Studio]] = field(default_factory=dict)
    _journal: Journal | None = None
    _agreed: set[str] = field(default_factory=set)
    _stopped: set[str] = field(default_factory=set)
    _out: list[_Work] = field(default_factory=list)
    _readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(os.cpu_count() or 1))
    _idle: asyncio.TimerHandle | None = None
    _closing: asyncio.Task[None] | None = None

    async def carry_out(self, order: Mapping[str, Any], worker: str, tell: Tell) -> dict[str, Any]:
        """Carry out an item, an order of `_batch.dask`: its line and what it took, or the error it ended with."""
        work = self._taken_on(order, tell)
        errand = work.errand
        try:
            line, money = await self._carried_out(work, order["terms"], worker)
            return {"line": line, "money": money.to_json()}
        except NemoError as error:
            ended = error
        except Exception as error:  # whose traceback, with what lies on its frames, must not travel
            logger.exception("unexpected %s", type(error).__name__)
            facts = {"kind": type(error).__name__, "reason": redact(str(error))[:300] or "?"}
            ended = NemoError("unexpected", charged="maybe", **facts)
        finally:
            self._let_go(work)
        return {"error": error_to_dict(ended), "key": errand.key, "profile": errand.profile, "charged": errand.charged}

    def _taken_on(self, order: Mapping[str, Any], tell: Tell) -> _Work:
        told_of = False

        def progress(_: Progress) -> None:
            nonlocal told_of
            if errand.paid_stage and not told_of:
                told_of = True
                tell()

        run, budget = str(order["terms"]["run"]), Budget(order["limit"])
        budget.take(OTHERS, order["gone"])
        caller = Caller(progress, budget, run)
        errand = ItemTask(BatchItem.from_json(order["item"]), Path(order["folder"]), caller, readers=self._readers)
        work = _Work(run, errand)
        self._out.append(work)
        if self._idle is not None:
            self._idle.cancel()
        return work

    def _let_go(self, work: _Work) -> None:
        self._out.remove(work)
        if not self._out:
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._rest)

    def _rest(self) -> None:
        """There was no item for a while; one may just have come."""
        if not self._out:
            self._closing = asyncio.ensure_future(_closed(*self._handed_over()))

    async def _agree(self, terms: Mapping[str, Any], worker: str) -> None:
        """Look once for each batch, also where this worker came after it had begun."""
        if terms["run"] in self._stopped:
            raise Cancelled("cancelled")
        if terms["run"] not in self._agreed:
            if (error := explain_difference(terms, await self.look(terms), worker)) is not None:
                raise error
            self._agreed.add(str(terms["run"]))

    async def look(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """How this process stands to a batch's terms."""
        return await inspect_environment(asked, self._own_journal)

    def _own_journal(self) -> Journal:
        if self._journal is None:
            self._journal = own_journal_for()
        return self._journal

    async def _studio(self, name: str) -> Studio:
        if name not in self._studios:
            self._studios[name] = asyncio.ensure_future(Studio.open(name, journal=self._own_journal()))
        opening = self._studios[name]
        try:
            return await asyncio.shield(opening)
        except Exception:
            if self._studios.get(name) is opening:  # the next item tries again
                del self._studios[name]
            raise

    async def _carried_out(self, work: _Work, terms: Mapping[str, Any], worker: str) -> tuple[dict[str, Any], Money]:
        await self._agree(terms, worker)
        errand = work.errand
        studio = await self._studio(errand.item.profile)
        if work.run in self._stopped:
            raise Cancelled("cancelled")
        work.free = studio.profile.free
        work.task = task = asyncio.ensure_future(studio.lane.carry_out(lambda: errand.run(studio)))
        try:
            line, money = await task
        except asyncio.CancelledError:
            if errand.caller.gave_up:
                raise Cancelled("cancelled") from None
            with suppress(asyncio.TimeoutError):  # this worker is being closed: hanging up would not undo a charge
                await asyncio.wait_for(studio.drain(read_on=False), CLOSING_SECONDS)
            raise
        return await self._of_this_run(line, money, work.run)

    async def _of_this_run(self, line: dict[str, Any], money: Money, run: str) -> tuple[dict[str, Any], Money]:
        """What this very batch paid for it, by whichever worker: one that died may have sent the message.

        The video is there: a journal that cannot be read now changes nothing about that.
        """
        try:
            step = await self._own_journal().latest(line["key"])
        except DiskError:
            return line, money
        if step is None or step.free:
            return line, money
        mine = step.run == run
        money = Money.from_json(step.facts.get("money")) if mine else FREE
        charged = "no" if money.sure == 0 else "yes"
        return {**line, "credits": money.sure, "charged": charged, "reused": line["reused"] or not mine}, money

    def give_up(self, run: str) -> None:
        """Give up what is not paid for of a batch, and begin nothing of it any more."""
        self._stopped.add(run)
        for work in self._out:
            if work.run == run and work.task is not None and (work.free or not work.errand.paid_stage):
                work.errand.caller.gave_up = True
                work.task.cancel()

    async def release(self, run: str) -> None:
        """A batch has ended: give up what is left of it, and give back what nobody else needs."""
        self.give_up(run)
        self._agreed.discard(run)
        self._stopped.discard(run)
        if not self._out:
            await self.close()

    async def close(self) -> None:
        """Give connections and leases back. What comes later opens them anew."""
        await _closed(*self._handed_over())

    def _handed_over(self) -> tuple[list[asyncio.Task[Studio]], Journal | None]:
        """All that is open, taken out of here in one go, so that no item that comes now gets any of it."""
        studios, self._studios = list(self._studios.values()), {}
        journal, self._journal = self._journal, None
        if self._idle is not None:
            self._idle.cancel()
        return studios, journal


async def _closed(studios: Iterable[asyncio.Task[Studio]], journal: Journal | None) -> None:
    for opening in studios:
        with suppress(NemoError, OSError):
            studio = await opening
            await studio.drain(read_on=False)  # a stream that is hung up may end the work that is paid for
            await studio.aclose()
    if journal is not None:
        await journal.close()


_CREWS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Worker]] = WeakKeyDictionary()


def find_own_worker() -> Worker:
    """The crew of the running event loop."""
    return _CREWS.setdefault(asyncio.get_running_loop(), Worker())


def error_to_dict(error: NemoError) -> dict[str, Any]:
    """An error as plain data, without anything secret."""
    facts = {name: value if isinstance(value, int | float | None) else scrub(str(value)) for name, value in
             error.facts.items()}  # fmt: skip
    pause = getattr(error, "retry_after", None)
    return {"type": type(error).__name__, "id": error.id, "charged": error.charged, "facts": facts, "pause": pause}


def error_from_dict(data: Mapping[str, Any]) -> NemoError:
    """The error that `told` told of."""
    kind = getattr(_errors, str(data["type"]), NemoError)
    if not (isinstance(kind, type) and issubclass(kind, NemoError)):
        kind = NemoError
    try:
        error = kind(data["id"], **data["facts"])
    except TypeError:  # of a kind that makes its own words
        error = NemoError(data["id"], **data["facts"])
    error.charged = data["charged"]
    if data["pause"] is not None and hasattr(error, "retry_after"):
        error.retry_after = data["pause"]
    return error


def own_journal_for() -> Journal:
    """The journal of this process's environment."""
    return Journal(ensure_home(find_home()), os.environ.get("NEMO_JOURNAL_URL") or None)


async def _identity(journal: Journal) -> str:
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

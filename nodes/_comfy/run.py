"""Runs client work under ComfyUI: the network's own thread, interrupts, progress, errors in words.

The pack's network lives on one background thread with an event loop of its own: an ordinary node (a sampler) blocks
ComfyUI's loop for seconds, which would starve streams, and the work must survive a cancelled sibling. A node only
waits for its future there and looks every 0.2 s whether the user cancelled. This is the only place that knows how
ComfyUI cancels:

- the user's Cancel sets a flag and cancels nothing: what sees it stops the work and raises ComfyUI's interrupt;
- a `CancelledError` with the flag clear means that a sibling failed: nothing new is started, paid work goes on;
- a `CancelledError` of our own must never reach ComfyUI, it would end its worker.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from . import host, packages, statements
from .handles import check_handles, fill_in, find_language
from .status import Countdown, advance, compute_own_fraction

if TYPE_CHECKING:
    from ...nemo_client import Budget, Caller, Job, Journal, MessageResult, Money, Profile, Progress, Studio, Video

logger = logging.getLogger("nemo_client")

_T = TypeVar("_T")

LOOK_SECONDS: Final = 0.2
LEAVE_SECONDS: Final = 0.1
SNAPSHOT_SECONDS: Final = 2.0
FIRST_SNAPSHOT_SECONDS: Final = 0.1
STATE_SECONDS: Final = 2.0

Work = Callable[["Studio", "Item"], Awaitable[_T]]


class Network:
    """The background thread: its loop, one Studio a profile, and the snapshot that INPUT_TYPES reads."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.profiles: tuple[str, ...] = ()
        self.default = ""
        self._seen = threading.Event()
        self._studios: dict[str, tuple[Profile, Journal, asyncio.Task[Studio]]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._journals: dict[tuple[Path, str | None], Journal] = {}
        self.jobs: tuple[Job, ...] = ()
        self._profiles_seen: tuple[object, ...] = ()
        self._jobs_seen: tuple[Journal, str] | None = None
        threading.Thread(target=self._run_loop, name="nemo-network", daemon=True).start()

    def submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run `work` on the network thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def profile_names(self) -> list[str]:
        """Names of the profiles as last seen; waits a moment for the very first look."""
        from ...nemo_client import CLOUD, LOCAL

        self._seen.wait(FIRST_SNAPSHOT_SECONDS)
        return list(self.profiles or (CLOUD, LOCAL))

    def default_profile(self) -> str:
        """The profile that new nodes begin with, as last seen."""
        from ...nemo_client import LOCAL

        self._seen.wait(FIRST_SNAPSHOT_SECONDS)
        return self.default or LOCAL

    def job_labels(self) -> list[str]:
        """What the Recover node offers: ids and times as last seen, without prompts."""
        from ...nemo_client import LATEST

        self._seen.wait(FIRST_SNAPSHOT_SECONDS)
        return [LATEST, *(job.label for job in self.jobs)]

    def job_state(self, wanted: str) -> str:
        """What stands behind a choice of the Recover node now, for IS_CHANGED; never raises, and waits a bounded time.

        Any job of the journal can be chosen, so it is looked up there; as last seen where that takes too long.
        """
        from ...nemo_client import NemoError, pick_job

        async def find() -> Job:
            if not await asyncio.to_thread(is_journal):
                return pick_job((), wanted)
            return await self.find_listed_job(wanted)

        finding = self.submit(find())
        try:
            job = finding.result(STATE_SECONDS)
        except (NemoError, ImportError, TimeoutError, FutureTimeoutError) as error:
            finding.cancel()
            try:
                job = pick_job(() if isinstance(error, NemoError) else self.jobs, wanted)
            except NemoError:
                return ""
        return f"{job.id} {job.state} {job.delivered} {Path(job.video).is_file() if job.video else ''}"

    async def find_listed_job(self, wanted: str) -> Job:
        """The job that `wanted` means, from the journal as it is now."""
        from ...nemo_client import find_job

        return await find_job(self.journal(), wanted)

    def journal(self) -> Journal:
        """The journal of the home directory, one for this process; on the network thread."""
        from ...nemo_client import Journal, home

        place = (home(), os.environ.get("NEMO_JOURNAL_URL") or None)
        if place not in self._journals:
            self._journals[place] = Journal.open(home())
        return self._journals[place]

    async def studio(self, name: str) -> Studio:
        """The Studio of a profile; another one when the profile was changed on disk or in the environment."""
        from ...nemo_client import Studio, profile

        await asyncio.to_thread(packages.check_packages)  # before anything is sent
        wanted, journal = await asyncio.to_thread(profile, name), self.journal()
        known = self._studios.get(name)
        if known is None or known[:2] != (wanted, journal) or (known[2].done() and known[2].exception()):
            if known is not None:
                self._retire_studio(known[2])
            opening = asyncio.ensure_future(Studio.open(name, journal=journal))
            known = self._studios[name] = (wanted, journal, opening)
        return await asyncio.shield(known[2])

    def _retire_studio(self, opened: asyncio.Task[Studio]) -> None:
        """Close a Studio whose profile has changed, once what is under way there has ended."""
        from ...nemo_client import NemoError

        async def closed() -> None:
            try:
                studio = await opened
                try:
                    await studio.drain(only_committed=False)
                finally:
                    await studio.aclose()
            except NemoError as error:
                logger.debug("a Studio did not close: %s", error.id)

        task = asyncio.ensure_future(closed())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def list_open_studios(self) -> list[Studio]:
        """The Studios that are open; on the network thread."""
        tasks = [task for _, _, task in self._studios.values() if task.done() and not task.cancelled()]
        return [task.result() for task in tasks if task.exception() is None]

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._watching = self.loop.create_task(self._watch())
        self.loop.run_forever()

    async def _watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(SNAPSHOT_SECONDS)

    async def look(self) -> None:
        """Read profiles and jobs where they have changed; what cannot be read keeps its last good state.

        While nothing changes, only a file's time and the journal's change counter are looked at.
        """
        from ...nemo_client import NemoError

        for read in (self._look_at_profiles, self._look_at_jobs):
            try:
                await read()
            except NemoError as error:
                logger.debug("profiles or jobs could not be read: %s", error.id)
            except ImportError as error:
                logger.debug("profiles or jobs could not be read: %s", error)
        self._seen.set()

    async def _look_at_profiles(self) -> None:
        from ...nemo_client import default_profile, profiles

        stamp = await asyncio.to_thread(_stamp_profiles)
        if stamp != self._profiles_seen:
            self._profiles_seen = stamp
            self.default = await asyncio.to_thread(default_profile)
            self.profiles = tuple(await asyncio.to_thread(profiles))

    async def _look_at_jobs(self) -> None:
        from ...nemo_client import list_jobs, list_owed

        if not await asyncio.to_thread(is_journal):
            return
        journal = self.journal()
        seen = (journal, await journal.change_mark())
        if seen != self._jobs_seen:
            both = (*await list_owed(journal), *await list_jobs(journal))
            self.jobs = tuple({job.key: job for job in both}.values())
            self._jobs_seen = seen


def _stamp_profiles() -> tuple[object, ...]:
    """What is another value after each change of what profiles are read from. Blocks, for one look at the disk."""
    from ...nemo_client import home

    place = home()
    try:
        info = (place / "profiles.json").stat()
    except OSError:
        written: tuple[int, ...] = ()
    else:
        written = (info.st_mtime_ns, info.st_size, info.st_ino)
    return place, written, *(os.environ.get(name) for name in ("NEMO_API_URL", "NEMO_WEB_URL"))


def is_journal() -> bool:
    """Whether there is a journal to look into: looking must not make one. Blocks."""
    from ...nemo_client import Journal, home

    return Journal.exists(home())


_network: Network | None = None
_starting = threading.Lock()


def get_network() -> Network:
    """The pack's network thread, started when it is first needed."""
    global _network
    with _starting:
        if _network is None:
            _network = Network()
        return _network


async def run_on_network(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Await something short on the network thread, from a node."""
    await asyncio.sleep(0)
    return await asyncio.wrap_future(get_network().submit(work()))


class Item:
    """One piece of work of a node, on the network thread: its caller, its latest progress, and what it took."""

    def __init__(self, run_id: str, budget: Budget, kind: str = "") -> None:
        from ...nemo_client import Caller

        self._kind = kind
        self._countdown = Countdown()
        self.latest: Progress | None = None
        self.told = time.monotonic()
        self.fraction = 0.0
        self.shown: tuple[Progress, float] | None = None
        self._parts: list[Money] = []
        self.caller = Caller(self._store_progress, budget, run_id) if run_id else Caller(self._store_progress, budget)

    def _store_progress(self, progress: Progress) -> None:
        self.latest = progress
        self.told = time.monotonic()
        self.fraction = max(self.fraction, compute_own_fraction(self._kind, progress))

    def note_result(self, result: MessageResult | Video) -> None:
        """Note what a result took now: nothing where it was found in the journal."""
        from ...nemo_client import FREE

        self._parts.append(FREE if result.reused else result.money)

    @property
    def money(self) -> Money | None:
        """What all of it took; None where nothing was sent that could."""
        from ...nemo_client import together

        return together(self._parts) if self._parts else None

    def tell_progress(self, started: float, now: float) -> Progress | None:
        """The latest progress as it stands `now`: the node's own time, an estimate that runs down, and one fraction.

        It is kept as `shown`, with how far the item is (0..1), for the panel: a card says what its node says.
        """
        if self.latest is None:
            return None
        latest = advance(self.latest, now - self.told)
        self.fraction = max(self.fraction, min(compute_own_fraction(self._kind, latest), 0.99))
        left = self._countdown.show(latest.stage, latest.left, now)
        fraction = None if self.latest.fraction is None else self.fraction  # one figure for the text and the bar
        told = replace(self.latest, elapsed=now - started, quiet=latest.quiet, left=left, fraction=fraction)
        self.shown = told, self.fraction
        return told


def find_item(callers: Iterable[Caller]) -> Item | None:
    """The piece of work that takes the progress of one of these callers; None where none does."""
    takers = (getattr(caller.on_progress, "__self__", None) for caller in callers)
    return next((each for each in takers if isinstance(each, Item)), None)


class Outcomes(list[_T | Exception]):
    """Results and errors, in the order of the work; `paid` says that something of it was, or may have been, charged."""

    def __init__(self, outcomes: Sequence[_T | Exception], paid: bool) -> None:
        super().__init__(outcomes)
        self.paid = paid


async def run_one(profile: str, work: Work[_T], *, language: str = "auto", max_credits: int = 0) -> _T:
    """Carry out one piece of work; its result, or its error in words."""
    results = await run_all(profile, [work], language=language, max_credits=max_credits)
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


async def run_all(
    profile: str | Sequence[str], works: list[Work[_T]], *, language: str = "auto", max_credits: int = 0
) -> Outcomes[_T]:
    """Carry out pieces of work side by side, for one profile or one each; results and errors in their order.

    Raises ComfyUI's interrupt within a second of the user's cancel. The first suspension empties the inputs that
    ComfyUI would put into an error's report.
    """
    await asyncio.sleep(0)
    host.check_home()
    from ...nemo_client import Budget

    prompt_id, node_id = host.find_running_node()
    budget = Budget(max_credits)
    items = [Item(prompt_id, budget, statements.current().kind) for _ in works]
    display = host.Display(node_id)
    started = time.monotonic()
    profiles = profile if isinstance(profile, (list, tuple)) else [profile] * len(works)
    each = zip(profiles, works, items, strict=True)
    futures: list[Future[_T]] = [get_network().submit(_carry_out_item(name, work, item)) for name, work, item in each]
    waiting = {asyncio.wrap_future(future): item for future, item in zip(futures, items, strict=True)}
    try:
        await _watch_items(waiting, items, display, started, language)
    except asyncio.CancelledError:
        if not host.is_interrupted():
            _leave_futures(futures)
            raise
        await _give_up(futures, items, node_id, language)
    except host.get_interrupt_type():
        await _give_up(futures, items, node_id, language)
    errors = [_translate_error(future, language) for future in futures]
    if any(errors):
        from .earlier_payments import name_what_is_kept

        await name_what_is_kept(errors, profiles, prompt_id)
    _note_items(statements.current(), time.monotonic() - started, items, errors)
    if len(items) > 1 or errors[0] is None:
        display.show(_word_result(time.monotonic() - started, items, errors, language), 1.0)
    results = [future.result() if error is None else error for future, error in zip(futures, errors, strict=True)]
    return Outcomes(results, any(item.money is not None and item.money.sure != 0 for item in items))


def _note_items(
    statement: statements.Statement, seconds: float, items: list[Item], errors: list[Exception | None]
) -> None:
    """Put into a node's statement what its items came to."""
    statement.seconds, statement.count = seconds, len(items)
    statement.money += [item.money for item in items if item.money is not None]
    statement.skipped += [(number, error) for number, error in enumerate(errors, 1) if error is not None]


async def _carry_out_item(profile: str, work: Work[_T], item: Item) -> _T:
    studio = await get_network().studio(profile)
    return await studio.limiter.carry_out(lambda: work(studio, item))


async def _watch_items(
    waiting: dict[asyncio.Future[Any], Item], items: list[Item], display: host.Display, started: float, language: str
) -> None:
    """Wait until all is done, showing progress; raises ComfyUI's interrupt when the user cancels."""
    while waiting:
        done, _ = await asyncio.wait(waiting, timeout=LOOK_SECONDS)
        for each in done:
            _ = each.cancelled() or each.exception()  # looked at; its own future tells it
            waiting.pop(each).fraction = 1.0
        if host.is_interrupted():
            raise host.get_interrupt_type()
        text = _word_line(items, list(waiting.values()), started, language)
        if waiting and text:
            display.show(text, _count_fraction(items))


def _count_fraction(items: Sequence[Item]) -> float:
    """How far all items together are, 0..1."""
    return sum(item.fraction for item in items) / len(items)


def _word_line(items: list[Item], waiting: list[Item], started: float, language: str) -> str:
    """Stage, elapsed, about what is left, and the price; for several items how many are done, and the slowest."""
    done = len(items) - len(waiting)
    now = time.monotonic()
    told = [(item.fraction, seen) for item in waiting if (seen := item.tell_progress(started, now)) is not None]
    if not told:
        return ""
    _, seen = min(told, key=lambda each: each[0])
    prices = [item.latest.price for item in items if item.latest and item.latest.price]
    if seen.fraction is not None:  # one figure for the text and the bar
        seen = replace(seen, fraction=_count_fraction(items))
    line = replace(seen, price=sum(prices) or None).text(find_text_language(language))
    return line if len(items) == 1 else f"{done}/{len(items)} · {line}"


def _word_result(seconds: float, items: list[Item], errors: list[Exception | None], language: str) -> str:
    """The result in words: the time, what was paid, and the items that failed, each with its reason."""
    from ...nemo_client import Progress, Tally, say

    lang = find_text_language(language)
    lines = [Progress("done", elapsed=seconds).text(lang)]
    paid = [item.money for item in items if item.money is not None]
    if paid:
        lines[0] += " · " + statements.word_tally(Tally(paid), lang)
    failed = [(number, error) for number, error in enumerate(errors, 1) if error is not None]
    if failed and len(items) > 1:
        lines[0] = say("progress.some", lang, done=len(items) - len(failed), total=len(items)) + " · " + lines[0]
        lines += [say("progress.failed", lang, number=number, reason=str(error)) for number, error in failed]
    return "\n".join(lines)


def _leave_futures(futures: list[Future[Any]]) -> None:
    """Stop waiting: nothing new is started, what is paid for goes on."""
    for future in futures:
        future.cancel()


async def _give_up(futures: list[Future[Any]], items: list[Item], node_id: str, language: str) -> None:
    """The user cancelled: stop what can be stopped, say what goes on, and raise ComfyUI's interrupt."""
    from ...nemo_client import say

    for item in items:
        item.caller.gave_up = True
    _leave_futures(futures)
    committed = await asyncio.wrap_future(get_network().submit(_is_out(items)))
    text = say("cancelled-detached" if committed else "cancelled", find_text_language(language))
    host.send_text(text, node_id)
    statements.current().cancel(text)
    raise host.get_interrupt_type()


async def _is_out(items: Sequence[Item]) -> bool:
    """Whether paid work of these items goes on, once they had a moment to leave. What other nodes pay for is theirs."""
    await asyncio.sleep(LEAVE_SECONDS)
    studios = get_network().list_open_studios()
    return any(item.caller.goes_on or any(studio.is_paid_for(item.caller) for studio in studios) for item in items)


def _translate_error(future: Future[Any], language: str) -> Exception | None:
    """The error of finished work as people shall read it, or None."""
    from ...nemo_client import Cancelled, NemoError, redact, traceback_of

    if future.cancelled():
        return Cancelled("cancelled")
    error = future.exception()
    if error is None:
        return None
    error = packages.describe(error) or error
    if not isinstance(error, NemoError):
        logger.error("unexpected %s\n%s", type(error).__name__, traceback_of(error))
        error = NemoError("unexpected", charged="maybe", kind=type(error).__name__, reason=redact(str(error))[:300])
    error.lang = find_text_language(language)
    error.on_page = True
    return error.with_traceback(None)


def show_answer(text: str) -> None:
    """Put the node's own answer under it, in the place of its progress, and for good."""
    statements.current().text = text
    host.send_text(text, host.find_running_node()[1])


def say_for_handle(text_id: str, language: str, **facts: Any) -> str:
    """A text of the table in the language of a handle."""
    from ...nemo_client import say

    return say(text_id, find_text_language(language), **facts)


def find_text_language(language: str) -> str | None:
    """The language of a handle as texts take it; where that is `auto`, ComfyUI's own; None where none is chosen."""
    return (host.find_page_language() or None) if language == "auto" else language


@contextmanager
def localize_errors(language: str) -> Iterator[None]:
    """Errors that leave this block are in the language of a handle, and come without what caused them.

    ComfyUI logs the traceback of every error with all that are chained to it: two pages to say that credits are
    missing. What an expected error means is in its text; how it came about is told where debugging is on.
    """
    from ...nemo_client import NemoError, traceback_of

    try:
        yield
    except (NemoError, ImportError) as caught:
        error = packages.describe(caught) or caught
        if not isinstance(error, NemoError):
            raise
        error.lang = error.lang or find_text_language(language)
        error.on_page = True
        if caught.__cause__ is not None or caught.__context__ is not None:
            logger.debug("%s\n%s", error.id, traceback_of(caught))
        if error is not caught:
            raise error from None
        error.__cause__ = error.__context__ = None
        error.__suppress_context__ = True
        raise


@contextmanager
def without_session() -> Iterator[None]:
    """Errors of a node without a session of its own name the nodes by which the backend is answered."""
    from ...nemo_client import NothingMade

    try:
        yield
    except NothingMade as error:
        if error.session is not None:
            images = {"question-asked": "question-asked-image", "nothing-made": "nothing-made-image"}
            error.reword(images.get(error.id, error.id))
        raise


def word_errors(function: Callable[..., Awaitable[_T]]) -> Callable[..., Awaitable[_T]]:
    """A node's function whose errors are in the language of its handle, wherever in it they come from.

    What it has to say for good goes out with its result (`statements`).
    """

    @functools.wraps(function)
    async def told(self: Any, **inputs: Any) -> _T:
        language = find_language(inputs)
        with statements.open_statement(type(self).__name__, find_text_language(language)) as statement:
            with localize_errors(language):
                try:
                    inputs = fill_in(type(self), inputs)
                    check_handles(inputs)
                    result = await function(self, **inputs)
                except Exception as error:
                    from .earlier_payments import name_what_the_run_paid

                    await name_what_the_run_paid(error)
                    raise
            return cast(_T, statements.attach(result, statement))

    return told

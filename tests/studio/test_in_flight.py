"""Requests in flight: one piece of work for many who wait, and its result when they leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from nemo_client import Caller, Cancelled, InputError, Progress
from nemo_client._studio.in_flight import InFlightRequest, InFlightRequests
from tests.support.backend import Seen


class Work:
    """Work that is started, goes on when told, and remembers how it ended."""

    def __init__(self, *, cleans: bool = False) -> None:
        self.started = 0
        self.stopped = 0
        self.go_on = asyncio.Event()
        self.cleaned = asyncio.Event()
        self._cleans = cleans

    async def __call__(self, flight: InFlightRequest) -> str:
        self.started += 1
        number = self.started
        flight.report(Progress("generate", 0.5))
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            if self._cleans:
                await self.cleaned.wait()
            raise
        return f"result {number}"


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


def waiting(
    flights: InFlightRequests, work: Callable[[InFlightRequest], Awaitable[str]], caller: Caller | None = None
) -> asyncio.Task[str]:
    return asyncio.ensure_future(flights.join("key", work, caller or Caller()))


async def test_two_who_ask_the_same_share_one_piece_of_work() -> None:
    """ComfyUI runs two identical async nodes twice; the second one also sees how far it is."""
    flights, work, late = InFlightRequests(), Work(), Seen()
    first = waiting(flights, work)
    await settle()
    second = waiting(flights, work, Caller(late))
    await settle()
    work.go_on.set()

    assert [await first, await second] == ["result 1", "result 1"]
    assert work.started == 1
    assert late.stages == ["generate"]


async def test_work_that_ended_is_not_joined() -> None:
    """The journal answers for what is over."""
    flights, work = InFlightRequests(), Work()
    work.go_on.set()

    assert await waiting(flights, work) == "result 1"
    assert await waiting(flights, work) == "result 2"


async def test_all_who_wait_get_the_error() -> None:
    """It is the same error, and no one's is lost."""
    flights = InFlightRequests()

    async def fail(_: InFlightRequest) -> str:
        await asyncio.sleep(0)
        raise InputError("prompt-empty")

    both = await asyncio.gather(waiting(flights, fail), waiting(flights, fail), return_exceptions=True)
    assert [type(error) for error in both] == [InputError, InputError]


@pytest.mark.parametrize(
    ("gave_up", "committed", "goes_on"),
    [(True, False, False), (True, True, True), (False, False, True), (False, True, True)],
)
async def test_a_cancel_stops_only_what_the_user_gave_up_before_it_was_paid(
    gave_up: bool, committed: bool, goes_on: bool
) -> None:
    """A failing sibling, a time-out, or a cancel after the message went out only detach."""
    flights, work, caller = InFlightRequests(), Work(), Caller()

    async def start(flight: InFlightRequest) -> str:
        flight.committed = committed
        return await work(flight)

    task = waiting(flights, start, caller)
    await settle()
    caller.gave_up = gave_up
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle()

    assert work.stopped == (not goes_on)
    assert flights.committed == (committed and goes_on)
    if goes_on:
        collected = waiting(flights, start)
        work.go_on.set()
        assert await collected == "result 1"


async def test_work_goes_on_while_anybody_waits() -> None:
    """One of two giving up changes nothing for the other."""
    flights, work, quitter = InFlightRequests(), Work(), Caller()
    first, second = waiting(flights, work, quitter), waiting(flights, work)
    await settle()
    quitter.gave_up = True
    first.cancel()
    await settle()
    work.go_on.set()

    assert await second == "result 1"
    assert work.stopped == 0


async def test_who_asks_while_it_is_being_stopped_gets_new_work() -> None:
    """Queue right after Cancel: the new request must not die with the old one."""
    flights, work, quitter = InFlightRequests(), Work(cleans=True), Caller()
    first = waiting(flights, work, quitter)
    await settle()
    quitter.gave_up = True
    first.cancel()
    await settle()
    again, too = waiting(flights, work), waiting(flights, work)
    await settle()
    assert work.started == 1
    work.cleaned.set()
    await settle()
    work.go_on.set()

    assert [await again, await too] == ["result 2", "result 2"]


async def test_who_waits_for_work_that_is_stopped_under_him_is_told() -> None:
    """Closing the Studio is not the waiter's own cancel."""
    flights, work = InFlightRequests(), Work()
    task = waiting(flights, work)
    await settle()
    await flights.stop()

    with pytest.raises(Cancelled) as caught:
        await task
    assert caught.value.exit_code == 130


async def test_closing_lets_what_was_given_up_clean_up() -> None:
    """A render is cancelled at the backend even if the program ends at once: a second cancel would cut that off."""
    flights, work, caller = InFlightRequests(), Work(cleans=True), Caller()
    task = waiting(flights, work, caller)
    await settle()
    caller.gave_up = True
    task.cancel()
    await settle()
    closing = asyncio.ensure_future(flights.stop())
    await settle()

    assert not closing.done()
    work.cleaned.set()
    await closing
    assert work.stopped == 1


async def test_draining_waits_for_paid_work_only() -> None:
    """A program that ends reads paid streams to their end."""
    flights, paid, free = InFlightRequests(), Work(), Work()

    async def start(flight: InFlightRequest) -> str:
        flight.committed = True
        return await paid(flight)

    tasks = [waiting(flights, start), asyncio.ensure_future(flights.join("other", free, Caller()))]
    await settle()
    draining = asyncio.ensure_future(flights.drain())
    await settle()
    assert not draining.done()
    paid.go_on.set()
    await draining

    assert free.stopped == 0
    await flights.stop()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_waiter_that_fails_at_its_progress_does_not_break_the_work() -> None:
    """The stream of a paid message is read on, whatever a caller's function does."""
    flights, work, told = InFlightRequests(), Work(), []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))

    def fail(_: Progress) -> None:
        raise ValueError("a caller's own mistake")

    task = waiting(flights, work, Caller(fail))
    await settle()
    work.go_on.set()

    assert await task == "result 1"
    assert [type(error) for error in told] == [ValueError]


async def test_nothing_is_left_behind() -> None:
    """No task survives, however its callers left."""
    flights, work = InFlightRequests(), Work()
    before = asyncio.all_tasks()
    tasks = [waiting(flights, work) for _ in range(3)]
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await flights.stop()
    await settle()

    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress("upload", 0.456), "Uploading 46%"),
        (Progress("generate", tool="edit_multitrack", elapsed=12.3), "Generating: editing the video · 12 s"),
        (Progress("generate", elapsed=200, quiet=130), "Generating · Still working · 200 s"),
        (Progress("render", 0.5, elapsed=9.6, left=10.4), "Rendering 50% · 10 s · about 10 s left"),
        (Progress("plan", price=100.0), "Checking credits · about 100 credits"),
        (Progress("done", reused=True), "Done (already made)"),
    ],
)
def test_progress_is_one_line(progress: Progress, line: str) -> None:
    """What people see in the graph and in the shell."""
    assert progress.text("en") == line


def test_an_estimate_that_has_run_down_is_none() -> None:
    """ "About 0 s left" for half a minute would be a lie."""
    told = Progress("render", 0.5, elapsed=10, left=8)

    assert (told.later(3).elapsed, told.later(3).left) == (13, 5)
    assert told.later(7.5).left is None
    assert "left" not in told.later(60).text("en")

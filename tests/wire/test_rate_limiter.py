"""Lanes: how much goes on side by side, and how that follows the backend's wish for a pause."""

from __future__ import annotations

import asyncio

import pytest

from nemo_client import BadAnswer, InputError, RateLimited
from nemo_client._config.timings import WireTimings
from nemo_client._wire.rate_limiter import PATIENCE, RateLimiter
from tests.support.backend import Clock, until


def make_limiter(most: int = 8, clock: Clock | None = None) -> RateLimiter:
    clock = clock or Clock()
    return RateLimiter(most, sleep=clock.sleep, clock=clock.time)


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def test_no_more_than_its_width_are_under_way() -> None:
    """The others wait, and begin in the order of asking as those before them end."""
    narrow, began, may_end = make_limiter(2), list[int](), asyncio.Event()

    async def work(number: int) -> None:
        began.append(number)
        await may_end.wait()

    tasks = [asyncio.ensure_future(narrow.carry_out(lambda number=number: work(number))) for number in range(5)]
    await settle()
    at_first = list(began)
    may_end.set()
    await asyncio.gather(*tasks)

    assert at_first == [0, 1]
    assert began == [0, 1, 2, 3, 4]
    assert narrow.running == 0


def test_a_rate_limit_halves_it_and_a_burst_counts_once() -> None:
    """Multiplicative decrease: of what was under way, not of what might have been."""
    clock = Clock()
    wide = make_limiter(64, clock)
    wide.running = 40
    for _ in range(5):
        wide.note(RateLimited(retry_after=4))
    once = wide.width
    clock.now += 4
    wide.note(RateLimited(retry_after=4))

    assert once == 20
    assert wide.width == 10


def test_it_grows_by_one_every_few_seconds_up_to_what_it_was() -> None:
    """Additive increase, from the end of the pause on."""
    clock = Clock()
    wide = make_limiter(8, clock)
    wide.running = 8
    wide.note(RateLimited(retry_after=10))
    seen = []
    for step in (0, 10, WireTimings.grow, WireTimings.grow, 100):
        clock.now += step
        seen.append(wide.width)

    assert seen == [4, 4, 5, 6, 8]


@pytest.mark.parametrize(
    ("error", "narrower"),
    [
        (RateLimited(), True),
        (RateLimited("sign-up-limit"), False),
        (BadAnswer("api-server", status=503, retry_after=3), True),
        (BadAnswer("api-server", status=503), False),
        (InputError("prompt-empty"), False),
    ],
    ids=["429", "sign-up", "503 with Retry-After", "503", "ours"],
)
def test_only_a_wish_for_a_pause_narrows_it(error: RateLimited | BadAnswer | InputError, narrower: bool) -> None:
    """The limit on sign-ups lasts for days, and other errors say nothing about the rate."""
    wide = make_limiter(8)
    wide.running = 8
    wide.note(error)

    assert (wide.width < 8) is narrower


async def test_nothing_begins_before_the_pause_has_passed() -> None:
    """As long as the backend asked for, and no longer."""
    clock = Clock()
    wide, began = make_limiter(8, clock), clock.now
    wide.note(RateLimited(retry_after=7))

    async def work() -> float:
        return clock.now - began

    assert await wide.carry_out(work) == 7


async def test_work_refused_for_its_rate_is_begun_again_a_bounded_number_of_times() -> None:
    """Such a refusal proves that nothing was worked on; a backend that never gives way is told at last."""
    clock = Clock()
    wide, tries = make_limiter(8, clock), 0

    async def work() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise RateLimited(retry_after=2)
        return "made"

    async def never() -> str:
        nonlocal tries
        tries += 1
        raise RateLimited(retry_after=2)

    assert await wide.carry_out(work) == "made"
    tries = 0
    with pytest.raises(RateLimited):
        await wide.carry_out(never)
    assert tries == PATIENCE + 1


async def test_who_leaves_the_line_takes_no_place() -> None:
    """A waiter that is cancelled neither blocks the next one nor counts as under way."""
    narrow, may_end = make_limiter(1), asyncio.Event()
    first = asyncio.ensure_future(narrow.carry_out(may_end.wait))
    await settle()
    second = asyncio.ensure_future(narrow.carry_out(may_end.wait))
    third = asyncio.ensure_future(narrow.carry_out(may_end.wait))
    await settle()
    second.cancel()
    may_end.set()
    await asyncio.gather(first, third)

    assert second.cancelled()
    assert narrow.running == 0


async def test_a_lane_that_was_narrowed_lets_more_in_as_time_passes() -> None:
    """Not only as others end: work can take minutes."""
    clock = Clock()
    wide, may_end = make_limiter(2, clock), asyncio.Event()
    wide.running = 2
    wide.note(RateLimited(retry_after=1))
    wide.running = 0
    tasks = [asyncio.ensure_future(wide.carry_out(may_end.wait)) for _ in range(2)]
    await until(lambda: wide.running == 2)
    may_end.set()
    await asyncio.gather(*tasks)

    assert sum(clock.slept) == pytest.approx(1 + WireTimings.grow)


def test_the_user_s_own_number_may_be_larger_than_the_profile_s() -> None:
    """`--jobs` is the user's word; a smaller one is for the batch alone."""
    wide = make_limiter(8)
    wide.widen(20)
    wide.widen(3)

    assert wide.width == 20

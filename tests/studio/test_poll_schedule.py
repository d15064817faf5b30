"""When to look at a render: how much later than its end it is noticed, and how many looks that takes."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import pytest

from nemo_client._studio.poll_schedule import PollSchedule

SECONDS = [5 + 0.5 * step for step in range(171)]  # 5 to 90

Shape = Callable[[float], float | None]

TOLD: dict[str, Shape] = {
    "linear": lambda share: 99.9 * share,
    "whole percents": lambda share: float(int(99.9 * share)),
    "steps of 10 %": lambda share: 10.0 * int(10 * share),
    "steps of 20 %": lambda share: 20.0 * int(5 * share),
    "steps of 25 %": lambda share: 25.0 * int(4 * share),
    "slower and slower": lambda share: 99 * share**0.5,
    "quicker and quicker": lambda share: 99 * share**2,
}
UNTOLD: dict[str, Shape] = {
    "stuck at 99": lambda share: min(99.0, 99 * share / 0.7),
    "stuck from half": lambda share: float(min(99, int(200 * share))),
    "none told": lambda share: None,
    "always 0": lambda share: 0.0,
}


def watch(shape: Shape, length: float, schedule: PollSchedule) -> tuple[float, int]:
    """Seconds by which the end of a render of `length` seconds is noticed late, and the looks until then."""
    now, looks, told = 0.0, 0, shape(0.0)
    while True:
        schedule.observe(now, told)
        now += schedule.pause(now)
        looks += 1
        if now >= length:
            return now - length, looks
        told = shape(now / length)


@pytest.mark.parametrize("name", TOLD)
def test_an_end_that_progress_foretells_is_noticed_within_half_a_second(name: str) -> None:
    """At the median; and never later than DESIGN allows, with no more looks."""
    seen = [watch(TOLD[name], length, PollSchedule()) for length in SECONDS]

    assert median(late for late, _ in seen) <= 0.5
    assert max(late for late, _ in seen) <= 3.3
    assert max(looks for _, looks in seen) <= 50


@pytest.mark.parametrize("name", UNTOLD)
def test_an_end_that_nothing_foretells_is_noticed_within_seconds(name: str) -> None:
    """Progress that stands still from some moment on tells nothing from then on."""
    seen = [watch(UNTOLD[name], length, PollSchedule()) for length in SECONDS]

    assert median(late for late, _ in seen) <= 1.7
    assert max(late for late, _ in seen) <= 3.3
    assert max(looks for _, looks in seen) <= 50


def test_progress_that_starts_late_is_noticed_as_soon_and_costs_some_looks() -> None:
    """A render that waits in a queue for two fifths of its time."""
    seen = [watch(lambda share: max(0.0, 99 * (share - 0.4) / 0.6), length, PollSchedule()) for length in SECONDS]

    assert median(late for late, _ in seen) <= 0.5
    assert max(late for late, _ in seen) <= 3.3
    assert max(looks for _, looks in seen) <= 60


@pytest.mark.parametrize("percent", [None, 0.0, 40.0, 99.0])
@pytest.mark.parametrize("usual", [None, 0.3, 60.0])
def test_the_first_look_comes_after_half_a_second(percent: float | None, usual: float | None) -> None:
    """Whatever earlier renders took, and whatever the submission said already."""
    schedule = PollSchedule(usual)
    schedule.observe(0.0, percent)

    assert schedule.pause(0.0) == 0.5


@pytest.mark.parametrize("name", ["linear", "none told"])
def test_a_hundred_short_renders_are_noticed_no_later_than_the_first(name: str) -> None:
    """What earlier ones were seen to take, lateness included, does not make the next look later."""
    shape = (TOLD | UNTOLD)[name]
    taken: list[float] = []
    late: list[float] = []
    for _ in range(100):
        schedule = PollSchedule(median(taken[-20:]) if taken else None)
        late.append(watch(shape, 0.3, schedule)[0])
        taken.append(0.3 + late[-1])

    assert late[0] == pytest.approx(0.2)
    assert max(late) == late[0]


def test_a_render_taken_over_at_half_is_expected_by_its_pace_since_then() -> None:
    """Its clock starts when it is looked at first, not when it began."""
    schedule = PollSchedule()
    schedule.observe(0.0, 50.0)
    schedule.observe(10.0, 60.0)

    assert schedule.left(10.0) == pytest.approx(40)


def test_earlier_renders_say_how_long_is_left_until_progress_does() -> None:
    """Then progress does, and neither is ever below zero."""
    schedule = PollSchedule(usual=40.0)
    schedule.observe(0.0, 0.0)
    assert schedule.left(10.0) == 30
    assert schedule.left(50.0) == 0

    schedule.observe(50.0, 50.0)
    assert schedule.left(50.0) == pytest.approx(50)
    assert schedule.left(200.0) == 0
    assert PollSchedule().left(10.0) is None


def test_pauses_are_never_nothing_and_never_long() -> None:
    """A render that is stuck for an hour is asked for gently; a cancel is never far off."""
    schedule, now = PollSchedule(), 0.0
    while now < 3600:
        schedule.observe(now, 99.0)
        pause = schedule.pause(now)
        assert 0.5 <= pause <= 3.0
        now += pause


def test_progress_that_goes_back_or_away_is_left_out() -> None:
    """The estimate rests on the best that was seen."""
    schedule = PollSchedule()
    for elapsed, percent in ((0.0, None), (1.0, 10.0), (5.0, 50.0), (6.0, 20.0), (6.5, None)):
        schedule.observe(elapsed, percent)

    assert schedule.left(6.5) == pytest.approx(3.5)
    assert schedule.left(12.0) == 0
    assert schedule.pause(6.5) == pytest.approx(1.75)


def test_a_free_backend_is_watched_closely() -> None:
    """It stands on this machine, where a look costs nothing and a render seconds."""
    seen = [watch(TOLD["linear"], length / 10, PollSchedule(scale=0.2)) for length in SECONDS]

    assert median(late for late, _ in seen) <= 0.1
    assert max(late for late, _ in seen) <= 0.6

"""When to look at a render: how much later than its end it is noticed, and how many looks that takes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from statistics import median

import pytest

from nemo_client._studio.poll_schedule import Habits, Pace

SECONDS = [5 + 0.5 * step for step in range(171)]  # 5 to 90

Shape = Callable[[float], float | None]

SHAPES: dict[str, Shape] = {
    "linear": lambda share: 99.9 * share,
    "whole percents": lambda share: float(int(99.9 * share)),
    "steps of 10 %": lambda share: 10.0 * int(10 * share),
    "steps of 20 %": lambda share: 20.0 * int(5 * share),
    "steps of 25 %": lambda share: 25.0 * int(4 * share),
    "stuck at 99": lambda share: min(99.0, 99 * share / 0.7),
    "stuck from half": lambda share: float(min(99, int(200 * share))),
    "none told": lambda share: None,
    "always 0": lambda share: 0.0,
    "slow start": lambda share: max(0.0, 99 * (share - 0.4) / 0.6),
    "slower and slower": lambda share: 99 * share**0.5,
    "quicker and quicker": lambda share: 99 * share**2,
}


def watched(shape: Shape, length: float, pace: Pace) -> tuple[float, int]:
    """Seconds by which the end was noticed late, and the looks it took."""
    now, looks, told = 0.0, 0, shape(0.0)
    while True:
        pace.observe(now, told)
        now += pace.pause(now)
        looks += 1
        if now >= length:
            return now - length, looks
        told = shape(now / length)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


FIXED = [math.ceil(length / 5) * 5 - length for length in SECONDS]
FIXED_LOOKS = [float(math.ceil(length / 5)) for length in SECONDS]


@pytest.mark.parametrize("name", ["linear", "whole percents", "steps of 10 %", "steps of 20 %", "steps of 25 %"])
def test_the_end_is_noticed_soon_with_no_more_looks_than_a_poll_of_5_s(name: str) -> None:
    """Half of all renders within about half a second and all within three, for progress that is told evenly."""
    seen = [watched(SHAPES[name], length, Pace()) for length in SECONDS]

    assert median(late for late, _ in seen) <= (0.55 if name == "steps of 25 %" else 0.5)
    assert max(late for late, _ in seen) <= 3.0
    assert mean([float(looks) for _, looks in seen]) <= mean(FIXED_LOOKS)


# Late on average and at the most, and looks on average; a fixed poll of 5 s: 2.2 s, 4.5 s, 9.9 looks.
@pytest.mark.parametrize(
    ("name", "late", "worst", "looks"),
    [("stuck at 99", 1.5, 3.0, 13.5), ("stuck from half", 1.5, 3.0, 15), ("none told", 2.8, 5.6, 9.9),
     ("always 0", 2.8, 5.6, 9.9), ("slow start", 1.8, 5.2, 9.9), ("slower and slower", 1.4, 3.0, 9.9),
     ("quicker and quicker", 1.6, 5.2, 9.9)],
)  # fmt: skip
def test_progress_that_tells_little_costs_seconds_not_minutes(
    name: str, late: float, worst: float, looks: float
) -> None:
    """Where it is not told, or misleads, no order of looks can do much better without more of them."""
    seen = [watched(SHAPES[name], length, Pace()) for length in SECONDS]

    assert mean([each for each, _ in seen]) <= late
    assert max(each for each, _ in seen) <= worst
    assert mean([float(each) for _, each in seen]) <= looks


@pytest.mark.parametrize("name", ["stuck at 99", "stuck from half"])
def test_a_backend_that_sticks_is_known_after_the_first_render(name: str) -> None:
    """How much longer than told earlier renders took says when to look."""
    habits, seen = Habits(), []
    for length in random.Random(1).sample(SECONDS, len(SECONDS)):  # noqa: S311 - lengths, not secrets
        pace = Pace(stretch=habits.stretch)
        late, looks = watched(SHAPES[name], length, pace)
        habits.learn(pace, length + late)
        seen.append((late, float(looks)))

    assert median(late for late, _ in seen) <= 0.5
    assert max(late for late, _ in seen[10:]) <= 3.0
    assert mean([looks for _, looks in seen]) <= mean(FIXED_LOOKS)


def test_a_render_that_ends_as_told_teaches_nothing() -> None:
    """Nor does one that was stuck from the first look on, which says nothing of when it should have ended."""
    habits = Habits()
    even, stuck = Pace(), Pace()
    late, _ = watched(SHAPES["linear"], 40, even)
    habits.learn(even, 40 + late)
    for elapsed in (1.0, 2.0, 3.0):
        stuck.observe(elapsed, 99.0)
    habits.learn(stuck, 4.0)

    assert habits.stretch is None


def test_a_known_length_helps_where_no_progress_is_told() -> None:
    """`usual` is what such renders took before on this machine."""
    seen = [watched(SHAPES["none told"], length, Pace(usual=length * share)) for length in SECONDS
            for share in (0.92, 1.0, 1.08)]  # fmt: skip

    assert mean([late for late, _ in seen]) < 1.0
    assert mean([float(looks) for _, looks in seen]) <= mean(FIXED_LOOKS)


def test_the_time_of_a_look_itself_is_no_progress() -> None:
    """A slow answer shows what was true when it was asked for, or later."""
    pace = Pace()
    pace.observe(0.0, 0.0)
    pace.observe(13.0, 10.0, asked=10.0)  # between 10 and 13 s it stood between 10 and 20 %

    assert pace.left(13.0) == pytest.approx((50 + 130) / 2 - 13, abs=0.1)


def test_pauses_are_never_nothing_and_never_long() -> None:
    """A render that is stuck for an hour is asked for gently; a cancel is never far off."""
    pace = Pace()
    now, looks = 0.0, 0
    while now < 3600:
        pace.observe(now, 99.0)
        pause = pace.pause(now)
        assert 0.4 <= pause <= 8.0
        now, looks = now + pause, looks + 1

    assert looks < 1500


def test_progress_that_goes_back_or_away_is_left_out() -> None:
    """The estimate rests on the best that was seen."""
    pace = Pace()
    for elapsed, percent in ((1.0, 10.0), (5.0, 50.0), (6.0, 20.0), (6.5, None)):
        pace.observe(elapsed, percent)

    assert pace.left(6.5) == pytest.approx(2.7, abs=0.1)
    assert pace.left(12.0) == 0


def test_a_free_backend_is_watched_closely() -> None:
    """It stands on this machine, where a look costs nothing and a render seconds."""
    seen = [watched(SHAPES["linear"], length / 10, Pace(fair=0.5, quickest=0.1)) for length in SECONDS]

    assert mean([late for late, _ in seen]) < 0.1

"""When to look at a render: how much later than its end it is noticed, and how many looks that takes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from nemo_client._polling import Pace

SECONDS = [5 + 0.5 * step for step in range(171)]  # 5 to 90

Shape = Callable[[float], float | None]

SHAPES: dict[str, Shape] = {
    "linear": lambda share: 99.9 * share,
    "whole percents": lambda share: float(int(99.9 * share)),
    "stepped": lambda share: 25.0 * int(4 * share),
    "stuck at 99": lambda share: min(99.0, 99 * share / 0.7),
    "none told": lambda share: None,
    "always 0": lambda share: 0.0,
    "slow start": lambda share: max(0.0, 99 * (share - 0.4) / 0.6),
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


# Late on average and looks on average, over renders of 5 to 90 s; a fixed poll of 5 s: 2.2 s late, 10 looks.
@pytest.mark.parametrize(
    ("name", "late", "looks"),
    [("linear", 0.3, 11.5), ("whole percents", 0.3, 11.5), ("stepped", 1.4, 19), ("stuck at 99", 1.2, 16),
     ("none told", 1.3, 23), ("always 0", 1.3, 23), ("slow start", 1.4, 16.5)],
)  # fmt: skip
def test_the_end_is_noticed_within_about_a_second_at_few_looks(name: str, late: float, looks: float) -> None:
    """Better than a fixed pause of 5 s in all shapes of progress, and at about its price where progress is told."""
    seen = [watched(SHAPES[name], length, Pace()) for length in SECONDS]
    fixed = [math.ceil(length / 5) * 5 - length for length in SECONDS]

    assert mean([each for each, _ in seen]) <= late < mean(fixed)
    assert mean([float(each) for _, each in seen]) <= looks
    assert max(each for each, _ in seen) <= 5.0


def test_a_known_length_helps_where_no_progress_is_told() -> None:
    """`usual` is what such renders took before on this machine."""
    seen = [watched(SHAPES["none told"], length, Pace(usual=length * 1.02)) for length in SECONDS]

    assert mean([late for late, _ in seen]) < 1.0


def test_pauses_are_never_nothing_and_never_long() -> None:
    """A render that is stuck for an hour is asked for gently; a cancel is never far off."""
    pace = Pace()
    now, looks = 0.0, 0
    while now < 3600:
        pace.observe(now, 99.0)
        pause = pace.pause(now)
        assert 0.4 <= pause <= 6.0
        now, looks = now + pause, looks + 1

    assert looks < 1500


def test_progress_that_goes_back_or_away_is_left_out() -> None:
    """The estimate rests on the best that was seen."""
    pace = Pace()
    for elapsed, percent in ((1.0, 10.0), (2.0, 50.0), (3.0, 20.0), (3.5, None)):
        pace.observe(elapsed, percent)

    assert pace.left(3.5) == pytest.approx(0.5)
    assert pace.left(9.0) == 0


def test_a_free_backend_is_watched_closely() -> None:
    """It stands on this machine, where a look costs nothing and a render seconds."""
    seen = [watched(SHAPES["linear"], length / 10, Pace(fair=0.5, quickest=0.1)) for length in SECONDS]

    assert mean([late for late, _ in seen]) < 0.1

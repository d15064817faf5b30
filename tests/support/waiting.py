"""Waiting for what happens beside a test. The limit is only there so that a failure ends: it never decides a result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

PATIENT_SECONDS = 300.0  # far above what the busiest machine took, below the time limit of a test

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, pause: float = 0.02, said: Callable[[], object] | None = None) -> T:
    """What `condition` returns once it is true. Raises AssertionError, with `said()`, after PATIENT_SECONDS."""
    deadline = time.monotonic() + PATIENT_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, said() if said else "it did not happen"
        time.sleep(pause)
    return found


async def wait_until_async(condition: Callable[[], T], *, pause: float = 0.02) -> T:
    """The same on an event loop."""
    deadline = time.monotonic() + PATIENT_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(pause)
    return found


def measure_growth(work: Callable[[str], object], text: str, more: str) -> float:
    """How many times the work of `text` the work of `more` is, in processor time of this thread alone."""

    def measure(given: str) -> float:
        started = time.thread_time()
        work(given)
        return time.thread_time() - started

    return (min(measure(more) for _ in range(2)) + 0.02) / (min(measure(text) for _ in range(2)) + 0.02)

"""Watching renders: many of them share the looks, and one after another is noticed as soon as the first."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest

from nemo_client._config.timings import StudioTimings
from nemo_client._studio.in_flight import InFlightRequest
from nemo_client._studio.poll_schedule import LONGEST_TOLD
from nemo_client._studio.render import LOOKS_A_SECOND, Renderer
from nemo_client._wire.schemas import RenderJob
from tests.support.backend import Clock, Cloud, cloud

__all__ = ["cloud"]


@pytest.mark.parametrize("watched", [1, 40, 100, 1000])
async def test_many_renders_share_the_looks(watched: int, cloud: Callable[..., Cloud]) -> None:
    """Up to forty are each looked at as one alone; more take no more than so many looks a second together."""
    async with cloud().studio() as studio:
        renderer = studio._renderer
        renderer._watched = watched
        scale = renderer._poll_scale()

    assert scale == 1.0 or watched > LOOKS_A_SECOND * LONGEST_TOLD
    assert watched / (LONGEST_TOLD * scale) <= LOOKS_A_SECOND


class Renders:
    """A backend in virtual time whose renders take `length` seconds each and tell no progress."""

    def __init__(self, clock: Clock, length: float) -> None:
        self.clock, self.length, self.ends = clock, length, 0.0

    def submit(self) -> RenderJob:
        self.ends = self.clock.now + self.length
        return RenderJob(id="render-1", status="processing")

    async def render(self, render_id: str) -> RenderJob:
        return RenderJob(id=render_id, status="completed" if self.clock.now >= self.ends else "processing")


async def test_a_hundred_short_renders_in_a_row_are_noticed_no_later_than_the_first() -> None:
    """What earlier ones took is known to the next, which does not look later for that."""
    clock = Clock()
    renders = Renders(clock, 0.3)
    desk: Any = SimpleNamespace(
        clock=clock.time,
        sleep=clock.sleep,
        client=renders,
        profile=SimpleNamespace(free=False),
        timings=StudioTimings(),
    )
    renderer, late = Renderer(desk), list[float]()
    for _ in range(100):
        usual = 0.3 + median(late[-20:]) if late else None
        job = renders.submit()
        await renderer._poll_render([job.id], job, InFlightRequest(), usual)
        late.append(clock.now - renders.ends)

    assert late[0] == pytest.approx(0.2)
    assert max(late) <= late[0] + 1e-6

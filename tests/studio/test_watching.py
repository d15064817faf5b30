"""Watching renders: many of them share the looks, and what one taught counts for the next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nemo_client import Destination, Studio, Video, Wish
from nemo_client._studio.render import LOOKS_A_SECOND
from tests.support.backend import Cloud, cloud, draw, picture

__all__ = ["cloud"]


@pytest.mark.parametrize("watched", [1, 50, 100, 1000])
async def test_many_renders_share_the_looks(watched: int, cloud: Callable[..., Cloud]) -> None:
    """One is looked at every 5 s or oftener; all together take no more than so many looks a second."""
    async with cloud().studio() as studio:
        renderer = studio._renderer
        renderer._watched = watched
        fair, quickest = renderer._fair_pauses()

    assert fair >= 5.0
    assert fair == 5.0 or watched > 5 * LOOKS_A_SECOND
    assert watched / fair <= LOOKS_A_SECOND
    assert quickest == pytest.approx(fair * 0.08)


async def test_a_render_that_sticks_at_99_teaches_how_much_longer_the_next_will_take(
    cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    """What was learnt counts for this Studio's renders from then on."""
    backend = cloud(render_seconds=0.4, render_progress="stuck_at_99", renderer=draw)
    async with backend.studio() as studio:
        before = studio._renderer._habits.stretch
        await exported(studio, 1, tmp_path)
        after = studio._renderer._habits.stretch

    assert before is None
    assert after is not None
    assert after[1] > 1
    assert studio._renderer._watched == 0


async def exported(studio: Studio, number: int, folder: Path) -> Video:
    session = await studio.upload([picture(number)])
    made = await studio.generate(session, Wish("slow push-in", duration=2))
    return await studio.export(made.session, Destination(folder, f"video-{number}"))

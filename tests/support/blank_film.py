"""A renderer for tests that ask what comes of a film, not what it shows: the same container, size and length, blank.

Drawing is most of what such tests would cost. The local preview's own writer makes the file, once in a process for
each kind; a test that looks at pictures or sound, or cancels in the middle, is marked `drawn` and gets the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import av
import numpy as np

_FILMS: dict[tuple[object, ...], bytes] = {}


def render_blank(
    draft: Mapping[str, object],
    assets: Mapping[str, Path],
    target: Path,
    *,
    progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
    **output: object,
) -> None:
    """Write the film that the local preview would, without a picture. Raises RenderError where it would."""
    from nemo_client.local.render.render import RenderCancelled, _with_kinds, plan

    planned = _with_kinds(plan(draft, **output), assets)
    if cancelled():
        raise RenderCancelled
    progress(0.5)
    kind = (planned.output, planned.frames, planned.title)
    if kind not in _FILMS:
        _write_film(planned, target)
        _FILMS[kind] = target.read_bytes()
    target.write_bytes(_FILMS[kind])
    progress(1.0)


def _write_film(planned: object, target: Path) -> None:
    from nemo_client.local.render.encode import open_writer
    from nemo_client.local.render.music import RATE
    from nemo_client.local.render.plan import Plan

    assert isinstance(planned, Plan)
    output = planned.output
    writer = open_writer(target, output, planned.title)
    grey = np.full((output.height * 3 // 2, output.width), 120, np.uint8)
    try:
        for index in range(planned.frames):
            writer.video(av.VideoFrame.from_ndarray(grey, format="yuv420p"))
            if writer.has_sound:
                begin, end = (round(count * RATE / output.fps) for count in (index, index + 1))
                writer.audio(np.zeros((2, end - begin), np.float32))
        writer.finish()
    finally:
        writer.abandon()

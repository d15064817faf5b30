"""The timeline of a step as people see it: a line of words, a picture drawn to scale, and the draft itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .._errors import InputError
from .._files.images import read_pixels
from .._files.save import LOCAL_ONLY
from .._journal.records import Attempt
from .._journal.steps import State
from .._text import messages
from .._wire import draft as drafts
from .context import StudioContext

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    from .._files.timeline_image import Shot

MAX_SHOTS: Final = 24


@dataclass(frozen=True)
class TimelineView:
    """A timeline: `summary` in words, `picture` as uint8 [H, W, 3] RGB, `draft` as JSON text."""

    summary: str
    picture: npt.NDArray[np.uint8] = field(repr=False)
    draft: str = field(repr=False)


async def build_timeline_view(context: StudioContext, step: Attempt, language: str) -> TimelineView:
    """The timeline of a finished step. No network: thumbnails come from what lies on this machine."""
    draft = step.facts.draft
    video = await _find_video(context, step.key)
    pictures = [] if video else await _find_pictures(context, step)
    picture = await asyncio.to_thread(_draw, draft, video, pictures, _choose_language(language))
    return TimelineView(describe_timeline(draft, language), picture, json.dumps(draft, ensure_ascii=False, indent=1))


def describe_timeline(draft: drafts.Draft, language: str) -> str:
    """The timeline in one line, in the language of a handle."""
    return drafts.summarize_timeline(draft, _choose_language(language))


def _choose_language(language: str) -> str:
    return messages.choose_language(None if language == "auto" else language)


async def _find_video(context: StudioContext, key: str) -> Path | None:
    """A delivered video of exactly this step."""
    for export in await context.journal.exports_of(key):
        if export.state is State.DONE:
            for each in await context.journal.deliveries(export.key):
                if each.host == context.journal.host and each.path.is_file():
                    return each.path
    return None


async def _find_pictures(context: StudioContext, step: Attempt) -> list[Path]:
    """The kept pictures that lie behind a step, first upload first."""
    found: list[Path] = []
    walk: Attempt | None = step
    while walk is not None:
        for entry in reversed(walk.facts.media if walk.kind == "upload" else ()):
            media = context.uploads.find(*entry)
            if media is not None and isinstance(media.content, Path) and media.mime.startswith("image/"):
                found.insert(0, media.content)
        walk = await context.journal.latest(walk.before) if walk.before else None
    return found


def _draw(draft: dict[str, Any], video: Path | None, pictures: Sequence[Path], language: str) -> npt.NDArray[np.uint8]:
    from .._files.timeline_image import draw_timeline

    return draw_timeline(draft, _make_shots(draft, video, pictures), language)


def _make_shots(draft: dict[str, Any], video: Path | None, pictures: Sequence[Path]) -> list[Shot]:
    """Thumbnails: frames of the delivered video, else the uploaded pictures where each has a segment of its own."""
    from PIL import Image

    from .._files.timeline_image import Shot

    first = next((track.bars for track in drafts.list_bars(draft) if track.kind == "video"), ())[:MAX_SHOTS]
    if video is not None:
        frames = _read_frames(video, [(bar.start + bar.end) / 2000 for bar in first])
        return [Shot(number, frame) for number, frame in enumerate(frames) if frame is not None]
    shots = []
    for number, path in enumerate(pictures if len(pictures) == len(first) else ()):
        with contextlib.suppress(InputError):
            shots.append(Shot(number, Image.fromarray(read_pixels(path))))
    return shots


def _read_frames(video: Path, moments: Sequence[float]) -> list[Image.Image | None]:
    """The frames at these seconds, None where there is none."""
    import av

    found: list[Image.Image | None] = []
    with (
        contextlib.suppress(av.FFmpegError, OSError, IndexError),
        av.open(str(video), options=LOCAL_ONLY) as container,
    ):
        stream = container.streams.video[0]
        for moment in moments:
            container.seek(int(moment * av.time_base), backward=True)
            late = (each for each in container.decode(stream) if each.time is not None and each.time >= moment)
            frame = next(late, None)
            found.append(frame.to_image() if frame is not None else None)
    return found

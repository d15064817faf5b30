"""A draft becomes a file: plan it, draw frames on a few threads while the encoder works, mix the sound beside it.

`render` blocks and belongs on a worker thread. Frames are drawn ahead of the encoder, but never more than a few: a
long video needs no more memory than a short one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import av

from .encode import Writer, open_writer
from .errors import RenderCancelled, RenderError
from .frames import Painter, Stage
from .music import RATE
from .plan import Plan, Shot, plan
from .sounds import Mixer
from .titles import refuse_missing

__all__ = ["RenderCancelled", "RenderError", "render"]

THREADS = 2
# Frames drawn or being drawn that the encoder has not taken yet.
FRAMES_AHEAD = THREADS + 2
_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif")

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def render(
    draft: Mapping[str, object],
    assets: Mapping[str, Path],
    target: Path,
    *,
    format: str = "mp4",
    quality: str = "high",
    resolution: str | None = None,
    fps: float | None = None,
    progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Write the video that `draft` describes to `target`; `assets` maps the draft's asset ids to files.

    `progress` hears shares from 0 to 1, never less than before; `cancelled` is asked at every frame. When this raises,
    RenderError for whatever is wrong and RenderCancelled when asked to stop, nothing is left at `target`.
    """
    judged = plan(draft, format=format, quality=quality, resolution=resolution, fps=fps)
    judged = _with_kinds(judged, assets)
    refuse_missing(judged.captions)
    try:
        _write_film(judged, assets, target, progress, cancelled)
    except BaseException as error:
        with suppress(OSError):
            target.unlink(missing_ok=True)
        if isinstance(error, (OSError, av.error.FFmpegError)):
            raise RenderError(f"the video could not be written: {_word_error(error)}") from error
        raise


def ahead(
    pool: Executor, work: Callable[[_In], _Out], inputs: Iterable[_In], limit: int
) -> Generator[_Out, None, None]:
    """`work` of each input, in order, computed on `pool`; at most `limit` are begun and not yet handed out."""
    begun: deque[Future[_Out]] = deque()
    try:
        for given in inputs:
            begun.append(pool.submit(work, given))
            if len(begun) == limit:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()


def _write_film(
    judged: Plan,
    assets: Mapping[str, Path],
    target: Path,
    progress: Callable[[float], None],
    cancelled: Callable[[], bool],
) -> None:
    with ExitStack() as stack:
        painters = stack.enter_context(ThreadPoolExecutor(THREADS, thread_name_prefix="nemo-preview"))
        loader = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="nemo-preview-load"))
        stage = stack.enter_context(Stage(judged, assets, loader))
        mixer = stack.enter_context(Mixer(judged, assets))
        scenes = map(stage.scene, range(judged.frames))
        frames = ahead(painters, Painter().paint, scenes, FRAMES_AHEAD)
        stack.callback(frames.close)
        writer = open_writer(target, judged.output, judged.title)
        try:
            for index, frame in enumerate(frames):
                if cancelled():
                    raise RenderCancelled
                writer.video(frame)
                _sound_until(writer, mixer, judged, index)
                progress((index + 1) / (judged.frames + 1))
            writer.finish()
        finally:
            writer.abandon()
    progress(1.0)


def _sound_until(writer: Writer, mixer: Mixer, judged: Plan, index: int) -> None:
    """Add the sound of frame `index`."""
    if writer.has_sound:
        begin, end = (round(count * RATE / judged.output.fps) for count in (index, index + 1))
        writer.audio(mixer.take(end - begin))


def _with_kinds(judged: Plan, assets: Mapping[str, Path]) -> Plan:
    """Check that every asset is at hand; where the draft does not say whether it is a clip, its file does."""
    wanted = [(shot.asset, shot.title) for shot in judged.shots]
    wanted += [(one.asset, one.title) for one in judged.sounds if one.asset is not None]
    for asset, title in wanted:
        if asset not in assets or not assets[asset].is_file():
            raise RenderError(f"the upload behind {title or 'a segment'} is not here any more")
    return replace(judged, shots=tuple(_with_kind(shot, assets[shot.asset]) for shot in judged.shots))


def _with_kind(shot: Shot, path: Path) -> Shot:
    if shot.kind in ("image", "video"):
        return shot
    return replace(shot, kind="image" if path.suffix.lower() in _IMAGES else "video")


def _word_error(error: BaseException) -> str:
    """What an operating system error says, without the file's name."""
    return (getattr(error, "strerror", None) or type(error).__name__).lower()

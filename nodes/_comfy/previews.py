"""What ComfyUI's page shows of delivered videos: each file itself, or a small mp4 where browsers cannot play the file.

Such a preview lies in ComfyUI's temp folder and is only shown (`type` "temp"); the delivered file stays as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import host

if TYPE_CHECKING:
    from ...nemo_client import Video

logger = logging.getLogger("nemo_client")

UNPLAYABLE: Final = ("avi",)
"""Formats that no browser plays."""
SOME_PLAY: Final = ("mkv",)
"""Formats that some browsers play and others do not: the page chooses."""
STILL: Final = "gif"
"""The format that pages show as a picture, which cannot stand among videos."""
HEIGHT: Final = 360
SECONDS: Final = 60


def build_ui(videos: Sequence[Video]) -> dict[str, Any]:
    """The previews of a node as ComfyUI's `ui` has them: `images`, and `animated` where they are videos. Blocks."""
    still = bool(videos) and all(video.format == STILL for video in videos)
    ui: dict[str, Any] = {"images": [find_preview(video, still) for video in videos]}
    if not still:
        ui["animated"] = (True,)
    return ui


def find_preview(video: Video, still: bool = False) -> dict[str, str]:
    """How the page names what it shows of a video: the file, or its preview. `still`: shown as a picture. Blocks.

    Without a page (a prompt that names no client) it is the file: scripts fetch what is named here.
    """
    own = host.make_view(video.path)
    if still or video.format not in (*UNPLAYABLE, STILL) or host.find_client() is None:
        return own
    return make_preview(video.path) or own


def list_shown(videos: Sequence[Video], images: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """What a node's statement tells of each preview; `stand_in` is a small mp4 for browsers that need one. Blocks."""
    return [
        {**image, "stand_in": make_preview(video.path)}
        if video.format in SOME_PLAY and host.find_client() is not None
        else {**image}
        for video, image in zip(videos, images, strict=True)
    ]


def make_preview(path: Path) -> dict[str, str] | None:
    """A small mp4 of a film in the temp folder, made once for each state of the file; None where that fails. Blocks."""
    part = None
    try:
        state = path.stat()
        digest = hashlib.sha256(f"{path}\0{state.st_mtime_ns}\0{state.st_size}".encode("utf-8", "surrogatepass"))
        folder = host.find_temp_folder()
        target = folder / f"NemoVideo_{digest.hexdigest()[:16]}.mp4"
        if not target.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(f".{os.getpid()}.{os.urandom(4).hex()}.part")
            _write_preview(path, part)
            os.replace(part, target)
    except (OSError, ValueError, LookupError, RuntimeError, TypeError, host.find_encoder_error()) as error:
        logger.debug("no preview of a video (%s)", type(error).__name__)
        return None
    finally:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    return {"filename": target.name, "subfolder": "", "type": "temp"}


def _write_preview(source: Path, target: Path) -> None:
    """Write the first minute of a film as H.264 without sound, at most HEIGHT pixels high (even sizes)."""
    import av

    with (
        av.open(str(source)) as film,
        av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as made,
    ):
        pictures = film.streams.video[0]
        rate = pictures.average_rate or 24
        scale = min(1.0, HEIGHT / pictures.height)
        width, height = (max(2, round(side * scale / 2) * 2) for side in (pictures.width, pictures.height))
        stream = made.add_stream("h264", rate=rate, options={"preset": "veryfast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, frame in enumerate(film.decode(pictures)):
            if number >= SECONDS * rate:
                break
            small = frame.reformat(width=width, height=height, format="yuv420p")
            small.pts, small.time_base = number, 1 / rate
            made.mux(stream.encode(small))
        made.mux(stream.encode(None))

"""Small pictures of kept pictures and of finished videos, for lists."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageOps

from .._errors import InputError
from .colors import in_srgb
from .large_pictures import MAX_PIXELS, open_sent
from .save import LOCAL_ONLY

if TYPE_CHECKING:
    import av.container

_JPEG_QUALITY: Final = 80
_SHOWN_AT: Final = 0.3
"""Where in a video its picture is taken from, as a share of its length: many begin with a fade from black."""
MAX_FRAMES: Final = 300
"""Frames that are decoded at the most to come to that moment from the key frame before it."""


def make_picture_thumbnail(path: Path, side: int) -> bytes:
    """A kept picture as a small upright JPEG, at most `side` pixels wide and high. Blocks."""
    try:
        with path.open("rb") as file, open_sent(file, (side, side)) as image:
            image.thumbnail((side, side))
            profile = image.info.get("icc_profile")
            turned = ImageOps.exif_transpose(image)
            upright = (in_srgb(turned, profile) or turned).convert("RGBA")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise InputError("not-an-image", name=path.name) from error
    out = io.BytesIO()
    white = Image.new("RGBA", upright.size, "white")
    Image.alpha_composite(white, upright).convert("RGB").save(out, "JPEG", quality=_JPEG_QUALITY)
    return out.getvalue()


def make_video_thumbnail(path: Path, side: int) -> bytes:
    """A frame of a video or GIF as a small JPEG, at most `side` pixels wide and high. Blocks.

    Raises `InputError` if there is no frame.
    """
    import av

    try:
        with av.open(str(path), options=LOCAL_ONLY) as container:
            stream = container.streams.video[0]
            if stream.width * stream.height > MAX_PIXELS:
                raise InputError("image-too-large", width=stream.width, height=stream.height, limit=MAX_PIXELS // 10**6)
            frame = _find_frame(container)
            if frame is None:
                raise InputError("not-an-image", name=path.name)
            share = min(1.0, side / max(frame.width, frame.height))
            small = frame.reformat(max(2, round(frame.width * share)), max(2, round(frame.height * share)))
            image = Image.fromarray(small.to_ndarray(format="rgb24"))
    except (av.FFmpegError, OSError, ValueError, LookupError) as error:
        raise InputError("not-an-image", name=path.name) from error
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_JPEG_QUALITY)
    return out.getvalue()


def _find_frame(container: av.container.InputContainer) -> av.VideoFrame | None:
    """The frame at the moment that is shown, or the nearest before it that can be had cheaply."""
    import av

    stream = container.streams.video[0]
    moment = (container.duration or 0) / av.time_base * _SHOWN_AT
    if moment > 0:
        container.seek(int(moment * av.time_base), backward=True)
    found = None
    for count, frame in enumerate(container.decode(stream)):
        found = frame
        if count >= MAX_FRAMES or frame.time is None or frame.time >= moment:
            break
    return found

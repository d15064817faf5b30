"""A video file as a picture for every moment, read forward once.

Each moment shows the newest frame that has begun by then; after the end the last frame stays. Frames are converted
only when shown. What the file says of its colours, shape of pixels and rotation is honoured; high dynamic range is
shown without tone mapping.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from ..shared.media_file import DAMAGE, open_media
from .errors import RenderError
from .motion import Camera, Size
from .pictures import HEADROOM, Picture
from .plan import Motion
from .sampler import MARGIN, Plane, plane_view, single

MAX_PIXELS = 8192 * 4320
_BT709, _BT601, _UNKNOWN = 1, (5, 6), 2


class Clip:
    """An open video file; a context manager."""

    def __init__(self, path: Path, frame: Size, motion: Motion) -> None:
        self._frame = frame
        self._motion = motion
        self._margin = MARGIN if motion.kind != "static" else 0
        self._scaler = VideoReformatter()
        self._container = _open_container(path)
        if not self._container.streams.video:
            self._container.close()
            raise RenderError("a clip has no pictures in it")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
            self._container.close()
            raise RenderError("a clip is too large to be rendered here")
        aspect = stream.sample_aspect_ratio
        self._aspect = float(aspect) if aspect else 1.0
        self._frames: Iterator[av.VideoFrame] = iter(self._container.decode(stream))
        self._zero: float | None = None
        self._shown: av.VideoFrame | None = None
        self._next: av.VideoFrame | None = None
        self._picture: Picture | None = None

    def __enter__(self) -> Clip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def at(self, seconds: float) -> Picture:
        """The picture at `seconds` after the clip's first frame; moments must not go back."""
        if self._shown is None:
            self._shown, self._next = self._read_frame(), self._read_frame()
        while self._next is not None and self._compute_moment(self._next) <= seconds + 1e-6:
            self._shown, self._next, self._picture = self._next, self._read_frame(), None
        if self._shown is None:
            raise RenderError("a clip has no picture that can be decoded")
        if self._picture is None:
            self._picture = self._convert_frame(self._shown)
        return self._picture

    def _read_frame(self) -> av.VideoFrame | None:
        try:
            frame = next(self._frames, None)
        except DAMAGE:
            # A damaged end is an end: what was decoded before it stays on screen.
            return None
        if frame is not None and self._zero is None:
            self._zero = frame.time or 0.0
        return frame

    def _compute_moment(self, frame: av.VideoFrame) -> float:
        return (frame.time or 0.0) - (self._zero or 0.0)

    def _convert_frame(self, frame: av.VideoFrame) -> Picture:
        turns = round(frame.rotation / 90) % 4
        size = self._compute_size(frame, sideways=turns % 2 == 1)
        scaled = self._scaler.reformat(
            frame,
            width=size[0],
            height=size[1],
            format="yuv420p",
            src_colorspace=_find_colorspace(frame),
            dst_colorspace=Colorspace.ITU709,
            src_color_range=frame.color_range or ColorRange.UNSPECIFIED,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
            **single(),
        )
        planes = [np.rot90(plane_view(scaled, index), turns) for index in range(3)]
        luma, blue, red = (Plane.pad(np.ascontiguousarray(plane), self._margin) for plane in planes)
        return Picture((luma, blue, red))

    def _compute_size(self, frame: av.VideoFrame, *, sideways: bool) -> Size:
        """How large a frame is needed, before it is turned, to fill the video's frame at the camera's closest."""
        shape, goal = (max(1, round(frame.width * self._aspect)), frame.height), self._frame
        if sideways:
            goal = goal[::-1]
        scale = max(goal[0] / shape[0], goal[1] / shape[1])
        if self._margin:
            scale *= Camera(self._motion, shape[::-1] if sideways else shape, self._frame).closest * HEADROOM
        # What is cut off at each side is a whole number of chroma samples, so a still camera only copies.
        width, height = (
            own + 4 * max(0, round((side * scale - own) / 4)) for side, own in zip(shape, goal, strict=True)
        )
        if width * height > MAX_PIXELS:
            raise RenderError("a clip is too long and narrow to fill the frame")
        return width, height


def _open_container(path: Path) -> av.container.InputContainer:
    try:
        return open_media(path)
    except DAMAGE as error:
        raise RenderError("a clip cannot be opened; it may be damaged") from error


def _find_colorspace(frame: av.VideoFrame) -> Colorspace:
    """What the frame says, else what players assume: BT.601 for small pictures, BT.709 for large ones."""
    if frame.colorspace == _BT709 or (frame.colorspace not in _BT601 and frame.height >= 720):
        return Colorspace.ITU709
    return Colorspace.ITU601

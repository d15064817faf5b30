"""Frames and sound into a file, through PyAV: the containers, codecs and tags.

H.264 and AAC in MP4, MOV, MKV and AVI; VP9 and Opus in WebM; GIF without sound, each frame with its own palette, so
that no frame waits for all the others. Video is 4:2:0, BT.709, limited range, tagged so, at a constant frame rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import av
import av.filter
from av.audio.stream import AudioStream
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from .music import RATE, Samples
from .plan import Output
from .sampler import single

COMMENT = "local preview: drawn on this machine to plan a shot, not made by the video model"

_BT709 = 1
_LIMITED = 1


@dataclass(frozen=True)
class _Recipe:
    container: str
    video: str
    audio: str
    options: Mapping[str, str]
    container_options: Mapping[str, str]


_X264 = {"preset": "veryfast"}
_VP9 = {"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "tile-columns": "2", "b": "0"}
_FASTSTART = {"movflags": "+faststart"}
# AVI has no presentation times: frames are stored in the order in which they are shown, and nothing is moved later to
# make room for the sound encoder's lead-in.
_IN_ORDER = {"avoid_negative_ts": "disabled"}
_RECIPES = {
    "mp4": _Recipe("mp4", "libx264", "aac", _X264, _FASTSTART),
    "mov": _Recipe("mov", "libx264", "aac", _X264, _FASTSTART),
    "mkv": _Recipe("matroska", "libx264", "aac", _X264, {}),
    "avi": _Recipe("avi", "libx264", "aac", {**_X264, "bf": "0"}, _IN_ORDER),
    "webm": _Recipe("webm", "libvpx-vp9", "libopus", _VP9, {}),
}
_CRF = {
    "libx264": {"high": "18", "medium": "23", "low": "28"},
    "libvpx-vp9": {"high": "24", "medium": "31", "low": "38"},
}
_AUDIO_BITS = {"high": 160_000, "medium": 128_000, "low": 96_000}
_GIF_COLOURS = {"high": 256, "medium": 128, "low": 64}


class Writer(Protocol):
    """A file being written, frame by frame; `finish` makes it whole, `abandon` only lets go of it."""

    has_sound: bool

    def video(self, frame: av.VideoFrame) -> None:
        """Add the next frame."""

    def audio(self, samples: Samples) -> None:
        """Add the next samples, float32 [2, n] at 48 kHz."""

    def finish(self) -> None:
        """Flush the encoders and close the file."""

    def abandon(self) -> None:
        """Close the file as it is."""


def open_writer(target: Path, output: Output, title: str) -> Writer:
    """A writer for `target`; the format is the output's, whatever the file is called."""
    if output.format == "gif":
        return _GifWriter(target, output)
    return _VideoWriter(target, output, title)


class _VideoWriter:
    has_sound = True

    def __init__(self, target: Path, output: Output, title: str) -> None:
        recipe = _RECIPES[output.format]
        self._container = av.open(str(target), "w", format=recipe.container, options=dict(recipe.container_options))
        self._container.metadata.update({"comment": COMMENT, **({"title": title} if title else {})})
        options = {**recipe.options, "crf": _CRF[recipe.video][output.quality]}
        self._video = cast(VideoStream, self._container.add_stream(recipe.video, rate=output.fps, options=options))
        self._video.width, self._video.height, self._video.pix_fmt = output.width, output.height, "yuv420p"
        codec = self._video.codec_context
        # PyAV asks for slices by default; whole frames side by side compress better and are not slower.
        codec.thread_type = "FRAME"
        codec.color_range = _LIMITED
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        self._audio = cast(AudioStream, self._container.add_stream(recipe.audio, rate=RATE, layout="stereo"))
        self._audio.bit_rate = _AUDIO_BITS[output.quality]
        self._interval = 1 / output.fps
        self._frames = 0
        self._samples = 0

    def video(self, frame: av.VideoFrame) -> None:
        """Encode the next frame."""
        frame.pts, frame.time_base = self._frames, self._interval
        self._frames += 1
        self._container.mux(self._video.encode(frame))

    def audio(self, samples: Samples) -> None:
        """Encode the next samples."""
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._samples, Fraction(1, RATE)
        self._samples += samples.shape[1]
        self._container.mux(self._audio.encode(frame))

    def finish(self) -> None:
        """Write what the encoders still hold, and the index."""
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close without flushing; the file is of no use, so nothing that goes wrong with it matters."""
        with suppress(OSError, av.error.FFmpegError):
            self._container.close()


class _GifWriter:
    has_sound = False

    def __init__(self, target: Path, output: Output) -> None:
        self._container = av.open(str(target), "w", format="gif", options={"loop": "0"})
        self._stream = self._container.add_stream("gif", rate=output.fps)
        self._stream.width, self._stream.height, self._stream.pix_fmt = output.width, output.height, "pal8"
        self._interval = 1 / output.fps
        self._graph = _palette_graph(output)
        self._frames = 0

    def video(self, frame: av.VideoFrame) -> None:
        """Reduce the next frame to 256 colours of its own and encode it."""
        rgb = frame.reformat(
            format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG, **single()
        )
        rgb.pts, rgb.time_base = self._frames, self._interval
        self._frames += 1
        self._graph.push(rgb)
        self._drain_packets()

    def audio(self, samples: Samples) -> None:
        """A GIF has no sound."""

    def finish(self) -> None:
        """Write what the filters and the encoder still hold."""
        self._graph.push(None)
        self._drain_packets()
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close without flushing; the file is of no use, so nothing that goes wrong with it matters."""
        with suppress(OSError, av.error.FFmpegError):
            self._container.close()

    def _drain_packets(self) -> None:
        while True:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            if isinstance(frame, av.VideoFrame):
                self._container.mux(self._stream.encode(frame))


def _palette_graph(output: Output) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=output.width, height=output.height, format=av.VideoFormat("rgb24"), time_base=1 / output.fps
    )
    split = graph.add("split")
    palette = graph.add("palettegen", f"stats_mode=single:max_colors={_GIF_COLOURS[output.quality]}")
    use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=3")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    palette.link_to(use, 0, 1)
    split.link_to(use, 1, 0)
    use.link_to(sink)
    graph.configure()
    return graph

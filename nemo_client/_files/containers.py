"""The container of a finished video: what it is by its bytes, and how it becomes the one that was asked for.

A file is never saved under a suffix that is not its own. Packets are copied into the wanted container where that
holds them (nothing is lost); else the picture is encoded again, since that format was asked for; else the file is
named as what it is.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from .._errors import DiskError, RenderFailed
from .metadata import add_stream_like, write_tags
from .save import LOCAL_ONLY, Checked, Destination, check_video, open_temporary_file

logger = logging.getLogger("nemo_client")

_FAILURES: Final = (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError)  # of PyAV's releases
_ROUNDING_SECONDS: Final = 0.25
_HEAD_BYTES: Final = 4096
_QUICKTIME: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_MUXERS: Final = {"mkv": "matroska"}
_DEMUXERS: Final = {
    "mov": "mp4", "matroska": "mkv", "avi": "avi", "gif": "gif", "mpegts": "ts", "flv": "flv", "ogg": "ogv",
}  # fmt: skip
_HOLDS: Final[Mapping[str, frozenset[str]]] = {
    "mp4": frozenset(["h264", "hevc", "av1", "vp9", "mpeg4", "aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"]),
    "mov": frozenset(["h264", "hevc", "mpeg4", "mjpeg", "prores", "aac", "mp3", "alac", "pcm_s16le", "pcm_s16be"]),
    "webm": frozenset(["vp8", "vp9", "av1", "opus", "vorbis"]),
    "avi": frozenset(["mpeg4", "mjpeg", "mp3", "ac3", "pcm_s16le"]),
    "gif": frozenset({"gif"}),
}
"""What a container holds so that players play it; Matroska holds everything. AVI knows no order but the shown one."""


@dataclass(frozen=True)
class _Recipe:
    """How a picture and its sound are encoded for a container."""

    video: str
    audio: str
    options: Mapping[str, str]
    container: Mapping[str, str]


_X264: Final = {"preset": "veryfast", "crf": "18"}
_VP9: Final = {"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "crf": "24", "b": "0"}
_RECIPES: Final = {
    "mp4": _Recipe("libx264", "aac", _X264, {"movflags": "+faststart"}),
    "mov": _Recipe("libx264", "aac", _X264, {"movflags": "+faststart"}),
    "mkv": _Recipe("libx264", "aac", _X264, {}),
    "avi": _Recipe("libx264", "aac", {**_X264, "bf": "0"}, {"avoid_negative_ts": "disabled"}),
    "webm": _Recipe("libvpx-vp9", "libopus", _VP9, {}),
}


@dataclass(frozen=True)
class Ready:
    """A file that can be landed: what it turned out to be, its true suffix, and the id of a word about it."""

    path: Path
    checked: Checked
    suffix: str
    word: str = ""
    was: str = ""


def container_of(path: Path) -> str:
    """The suffix that the bytes of a file call for; empty where they are none that is known."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[:4] == b"GIF8":
        return "gif"
    if head[:4] == b"RIFF":
        return "avi" if head[8:12] == b"AVI " else ""
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "webm" if b"webm" in head[:64] else "mkv"
    if head[4:8] == b"ftyp":
        return "mov" if head[8:12] == b"qt  " else "mp4"
    if head[4:8] in _QUICKTIME:
        return "mov"
    if head[:1] == b"\x47" and head[188:189] == b"\x47":
        return "ts"
    if head[4:5] == b"\x47" and head[196:197] == b"\x47":
        return "m2ts"
    return {b"FLV": "flv", b"Ogg": "ogv"}.get(head[:3], "")


def _ask_demuxer(path: Path) -> str:
    """The suffix for a video whose first bytes tell none, by what reads it: a stream may begin in its middle."""
    import av

    with contextlib.suppress(av.FFmpegError, *_FAILURES), av.open(str(path), options=LOCAL_ONLY) as container:
        return _DEMUXERS.get(container.format.name.split(",")[0], "")
    return ""


@contextmanager
def prepare_video(video: Path, checked: Checked, destination: Destination, suffix: str) -> Iterator[Ready]:
    """The whole video as it is to be landed: in the container that was asked for, with the destination's tags."""
    with ExitStack() as stack:
        fitted = stack.enter_context(as_asked(video, checked, destination, suffix))
        opened = write_tags(fitted.path, fitted.checked, destination, fitted.suffix)
        path, found = stack.enter_context(opened)
        yield Ready(path, found, fitted.suffix, fitted.word, fitted.was)


@contextmanager
def as_asked(video: Path, checked: Checked, destination: Destination, suffix: str) -> Iterator[Ready]:
    """The video in the container `suffix`, as another temporary file where it came in another one."""
    was = container_of(video) or _ask_demuxer(video)
    with ExitStack() as stack:
        if was in (suffix, ""):
            yield Ready(video, checked, suffix)
            return
        logger.info("the video came as %s, not as %s", was, suffix)
        for change, word in ((_copy_packets, ""), (_encode_again, "container-converted")):
            try:
                copy = stack.enter_context(open_temporary_file(destination, suffix))
                found = change(video, copy, checked, suffix)
            except Unfit:
                continue
            except DiskError as error:
                logger.warning("the video stays what it is (%s)", error.id)
                break
            yield Ready(copy, found, suffix, word, was)
            return
        yield Ready(video, checked, was, "container-named", was)


class Unfit(Exception):
    """The container does not hold what is in the file, or it cannot be made here. Handled inside."""


def _copy_packets(video: Path, copy: Path, checked: Checked, suffix: str) -> Checked:
    """Copy the packets into another container; `Unfit` where that would lose or disorder any."""
    import av

    try:
        with av.open(str(video), options=LOCAL_ONLY) as have:
            streams = [stream for stream in have.streams if stream.type in ("video", "audio")]
            holds = _HOLDS.get(suffix)
            if holds is not None and not all(stream.codec_context.name in holds for stream in streams):
                raise Unfit
            options = dict(_RECIPES[suffix].container) if suffix in ("mp4", "mov") else {}
            with av.open(str(copy), "w", format=_MUXERS.get(suffix, suffix), options=options) as out:
                out.metadata.update(have.metadata)
                ours = {stream.index: add_stream_like(out, stream) for stream in streams}
                for packet in have.demux(streams):
                    if packet.size:  # the end of a stream is an empty one
                        packet.stream = ours[packet.stream.index]
                        out.mux(packet)
    except (av.FFmpegError, *_FAILURES) as error:
        raise Unfit from error
    return _as_good(copy, checked, suffix, exact=True)


def _encode_again(video: Path, copy: Path, checked: Checked, suffix: str) -> Checked:
    """Encode picture and sound again for another container; `Unfit` where the encoders are not there."""
    import av

    try:
        if suffix == "gif":
            _encode_gif(video, copy, checked)
        else:
            _encode_frames(video, copy, _RECIPES[suffix], suffix)
    except (av.FFmpegError, *_FAILURES) as error:
        raise Unfit from error
    return _as_good(copy, checked, suffix, exact=False)


def _as_good(copy: Path, checked: Checked, suffix: str, *, exact: bool) -> Checked:
    """What the copy turned out to be; `Unfit` if that is less than the original, or another container."""
    try:
        found = check_video(copy)
    except RenderFailed as error:
        raise Unfit from error
    near = 0 if exact else 1  # encoders take even sizes only
    same = abs(found.width - checked.width) <= near and abs(found.height - checked.height) <= near
    shorter = checked.duration - found.duration >= _ROUNDING_SECONDS
    if not same or shorter or container_of(copy) != suffix:
        raise Unfit
    return found


def _encode_frames(video: Path, copy: Path, recipe: _Recipe, suffix: str) -> None:
    """Decode all and encode it as the recipe says, each picture at its own time."""
    import av

    with (
        av.open(str(video), options=LOCAL_ONLY) as have,
        av.open(str(copy), "w", format=_MUXERS.get(suffix, suffix), options=dict(recipe.container)) as out,
    ):
        source = have.streams.video[0]
        source.thread_type = "AUTO"
        rate = source.average_rate or source.base_rate or Fraction(25)
        picture: Any = out.add_stream(recipe.video, rate=rate, options=dict(recipe.options))
        picture.width, picture.height = source.width - source.width % 2, source.height - source.height % 2
        picture.pix_fmt = "yuv420p"
        streams: list[Any] = [source]
        sound: Any = None
        if have.streams.audio:
            heard: Any = have.streams.audio[0]
            hertz = 48_000 if recipe.audio == "libopus" else heard.codec_context.sample_rate
            sound = out.add_stream(recipe.audio, rate=hertz, layout="stereo")
            streams.append(heard)
        last = -1
        for packet in have.demux(streams):
            for frame in packet.decode():
                if packet.stream.type == "audio":
                    out.mux(sound.encode(frame))
                    continue
                shown = frame.reformat(width=picture.width, height=picture.height, format="yuv420p")
                moment = float(frame.time or 0) * float(rate)
                shown.pts = last = max(round(moment), last + 1)
                shown.time_base = 1 / Fraction(rate)
                out.mux(picture.encode(shown))
        out.mux(picture.encode(None))
        if sound is not None:
            out.mux(sound.encode(None))


def _encode_gif(video: Path, copy: Path, checked: Checked) -> None:
    """Each picture with a palette of its own, at most 25 a second."""
    import av

    with (
        av.open(str(video), options=LOCAL_ONLY) as have,
        av.open(str(copy), "w", format="gif", options={"loop": "0"}) as out,
    ):
        source = have.streams.video[0]
        rate = Fraction(min(source.average_rate or Fraction(25), Fraction(25)))
        picture: Any = out.add_stream("gif", rate=rate)
        picture.width, picture.height, picture.pix_fmt = checked.width, checked.height, "pal8"
        graph = _palette_graph(checked, rate)
        last = -1
        for frame in have.decode(source):
            moment = round(float(frame.time or 0) * float(rate))
            if moment <= last:
                continue
            shown: Any = frame.reformat(width=checked.width, height=checked.height, format="rgb24")
            shown.pts, shown.time_base, last = moment, 1 / rate, moment
            graph.push(shown)
            _drain_encoder(graph, picture, out)
        graph.push(None)
        _drain_encoder(graph, picture, out)
        out.mux(picture.encode(None))


def _palette_graph(checked: Checked, rate: Fraction) -> Any:
    import av
    import av.filter

    graph = av.filter.Graph()
    pixels = av.VideoFormat("rgb24")
    source = graph.add_buffer(width=checked.width, height=checked.height, format=pixels, time_base=1 / rate)
    split, sink = graph.add("split"), graph.add("buffersink")
    palette, use = graph.add("palettegen", "stats_mode=single"), graph.add("paletteuse", "new=1:dither=bayer")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    palette.link_to(use, 0, 1)
    split.link_to(use, 1, 0)
    use.link_to(sink)
    graph.configure()
    return graph


def _drain_encoder(graph: Any, picture: Any, out: Any) -> None:
    with contextlib.suppress(BlockingIOError, EOFError):
        while True:
            out.mux(picture.encode(graph.pull()))

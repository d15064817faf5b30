"""Tags in a finished video: what made it, as ComfyUI's own Save Video writes it, without touching picture or sound."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ._errors import RenderFailed
from ._landing import Checked, Destination, check_video, temporary_file

logger = logging.getLogger("nemo_client")

TAGGED: Final = frozenset({"mp4", "mov", "mkv", "webm"})
"""The formats that hold such tags; avi and gif have no place for them."""
_ROUNDING_SECONDS: Final = 0.25
_MOVFLAGS: Final = {"movflags": "use_metadata_tags+faststart"}  # any name for a tag; the index first, for browsers


@contextmanager
def tagged(video: Path, checked: Checked, destination: Destination, suffix: str) -> Iterator[tuple[Path, Checked]]:
    """The video with the destination's tags, as another temporary file; itself where it cannot hold them."""
    if not destination.tags or suffix not in TAGGED:
        yield video, checked
        return
    with temporary_file(destination, suffix) as copy:
        made = _copied(video, copy, destination.tags, suffix)
        also = _checked(copy, checked) if made else None
        yield (video, checked) if also is None else (copy, also)


def _checked(copy: Path, original: Checked) -> Checked | None:
    """What the copy turned out to be; None if it is less than the original."""
    try:
        found = check_video(copy)
    except RenderFailed:
        return None
    same = (found.width, found.height) == (original.width, original.height)
    return found if same and abs(found.duration - original.duration) < _ROUNDING_SECONDS else None


def _copied(source: Path, target: Path, tags: Mapping[str, str], suffix: str) -> bool:
    """Copy the packets and add the tags; whether that worked, since a video without tags is a video all the same."""
    import av

    kind = {"mkv": "matroska"}.get(suffix, suffix)
    try:
        with (
            av.open(str(source), options={"protocol_whitelist": "file"}) as have,
            av.open(str(target), "w", format=kind, options=_MOVFLAGS if suffix in ("mp4", "mov") else {}) as out,
        ):
            for name, value in {**have.metadata, **tags}.items():
                out.metadata[name] = value
            streams = {}
            for stream in have.streams:
                if stream.type in ("video", "audio", "subtitle") and getattr(stream, "codec_context", None) is not None:
                    streams[stream.index] = _like(out, stream)
            for packet in have.demux():
                if packet.stream.index in streams and packet.size:  # the end of a stream is an empty one
                    packet.stream = streams[packet.stream.index]
                    out.mux(packet)
    except (av.FFmpegError, OSError, ValueError, TypeError) as error:
        logger.info("the video keeps no workflow (%s)", type(error).__name__)
        return False
    return True


def _like(out: Any, stream: Any) -> Any:
    try:
        return out.add_stream_from_template(template=stream, opaque=True)
    except TypeError:  # releases of PyAV before 15 have no `opaque`
        return out.add_stream_from_template(template=stream)

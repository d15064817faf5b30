"""Tags in a finished video: what made it, as ComfyUI's own Save Video writes it, without touching picture or sound."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from .._errors import DiskError, RenderFailed
from .._text.messages import Phrase
from .save import LOCAL_ONLY, Checked, Destination, check_video, open_temporary_file, save_copy, save_video

logger = logging.getLogger("nemo_client")

TAGGED: Final = frozenset({"mp4", "mov", "mkv", "webm"})
"""The formats that hold such tags; avi and gif have no place for them."""
_ROUNDING_SECONDS: Final = 0.25
_FAILURES: Final = (OSError, ValueError, TypeError, LookupError, AttributeError)  # what PyAV's releases raise
_MOVFLAGS: Final = {"movflags": "use_metadata_tags+faststart"}  # any name for a tag; the index first, for browsers


@contextmanager
def write_tags(video: Path, checked: Checked, destination: Destination, suffix: str) -> Iterator[tuple[Path, Checked]]:
    """The video with the destination's tags, as another temporary file; itself where that fails or cannot hold them."""
    import av

    ready = (video, checked)
    with ExitStack() as stack:
        if destination.tags and suffix in TAGGED:
            try:
                copy = stack.enter_context(open_temporary_file(destination, suffix))
                ready = copy, _with_tags(video, copy, checked, destination.tags, suffix)
            except (av.FFmpegError, *_FAILURES, DiskError, RenderFailed) as error:
                logger.warning("the video keeps no workflow (%s)", type(error).__name__)
                stack.close()  # what it took of a full disk is needed
        yield ready


def copy_delivered(
    source: Path, checked: Checked, destination: Destination, suffix: str
) -> tuple[Path, Checked] | None:
    """Deliver a file that lies here already once more, with this destination's tags in the place of any other graph's.

    None where its tags cannot be taken out: another workflow must not go along, and rendering again is free. Blocks.
    """
    import av

    try:
        with open_temporary_file(destination, suffix) as copy:
            if suffix not in TAGGED or read_graph_tags(source) == dict(destination.tags):
                return save_copy(source, destination, suffix), checked
            found = _with_tags(source, copy, checked, destination.tags, suffix)
            return save_video(copy, destination, suffix), found
    except (av.FFmpegError, *_FAILURES, RenderFailed) as error:
        logger.warning("the video is rendered again, since its workflow cannot be taken out (%s)", type(error).__name__)
        return None


def read_graph_tags(path: Path) -> dict[str, str]:
    """The metadata that a graph left in a video: JSON objects, lists and texts, which no encoder writes. Blocks."""
    import av

    with av.open(str(path), options=LOCAL_ONLY) as container:
        return {name: value for name, value in container.metadata.items() if _is_of_a_graph(value)}


def _is_of_a_graph(value: str) -> bool:
    return value[:1] in ("{", "[", '"')


def _with_tags(video: Path, copy: Path, checked: Checked, tags: Mapping[str, str], suffix: str) -> Checked:
    """Make the copy; what it turned out to be. Raises if it is less than the original."""
    _copy_with_tags(video, copy, tags, suffix)
    found = check_video(copy)
    same = (found.width, found.height) == (checked.width, checked.height)
    if not same or abs(found.duration - checked.duration) >= _ROUNDING_SECONDS:
        raise RenderFailed("video-broken", reason=Phrase("why.end-missing"))
    return found


def _copy_with_tags(source: Path, target: Path, tags: Mapping[str, str], suffix: str) -> None:
    """Copy the packets, one at a time, and add the tags."""
    import av

    kind = {"mkv": "matroska"}.get(suffix, suffix)
    with (
        av.open(str(source), options=LOCAL_ONLY) as have,
        av.open(str(target), "w", format=kind, options=_MOVFLAGS if suffix in ("mp4", "mov") else {}) as out,
    ):
        kept = {name: value for name, value in have.metadata.items() if not _is_of_a_graph(value)}
        for name, value in {**kept, **tags}.items():
            out.metadata[name] = value
        streams = {}
        for stream in have.streams:
            if stream.type in ("video", "audio", "subtitle") and getattr(stream, "codec_context", None) is not None:
                streams[stream.index] = add_stream_like(out, stream)
        for packet in have.demux():
            if packet.stream.index in streams and packet.size:  # the end of a stream is an empty one
                packet.stream = streams[packet.stream.index]
                out.mux(packet)


def add_stream_like(out: Any, stream: Any) -> Any:
    """A stream of `out` that takes the packets of `stream` as they are."""
    try:
        return out.add_stream_from_template(template=stream, opaque=True)
    except TypeError:  # releases of PyAV before 15 have no `opaque`
        return out.add_stream_from_template(template=stream)

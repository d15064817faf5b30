"""What an uploaded file is, judged by its name and by its first bytes, and how large, long and fast it is.

The container format is forced by the bytes seen: left to guess, FFmpeg would also open play lists, which name
other files and addresses.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from ..shared.large import TooManyPixels, decode_picture, open_picture
from ..shared.replies import UNSUPPORTED_FILE, ApiError

SUPPORTED = "mp4 mov avi webm mkv · jpg png gif webp · mp3 wav m4a aac"

_KINDS = {
    "image": ("jpg", "jpeg", "png", "gif", "webp"),
    "video": ("mp4", "mov", "avi", "webm", "mkv"),
    "audio": ("mp3", "wav", "m4a", "aac"),
}
_KIND_OF = {suffix: kind for kind, suffixes in _KINDS.items() for suffix in suffixes}
_FAMILIES = {
    "image": {"png", "jpeg", "gif", "webp"},
    "video": {"mp4", "avi", "matroska"},
    "audio": {"mp3", "wav", "aac", "mp4"},
}
_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "gif": ".gif", "webp": ".webp"}
_SIDEWAYS = {5, 6, 7, 8}  # EXIF orientations that turn a picture by 90 degrees
_ORIENTATION = 0x0112

# What Pillow's readers raise on damaged files, beyond OSError.
_BROKEN_IMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    UnidentifiedImageError,
)


@dataclass(frozen=True)
class Media:
    """A file's kind and measures; sizes as seen upright, `suffix` as its content says."""

    kind: str
    suffix: str
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    fps: float | None = None


def make_unsupported_error(filename: str, why: str) -> ApiError:
    return ApiError(UNSUPPORTED_FILE, f"{filename}: {why}. Supported: {SUPPORTED}")


def suffix_of(filename: str) -> str:
    return filename.rpartition(".")[2].lower() if "." in filename else ""


def has_known_suffix(filename: str) -> bool:
    return suffix_of(filename) in _KIND_OF


def probe(path: Path, filename: str) -> Media:
    """Measure the file (ApiError 4001 unless both its name and its content are supported)."""
    suffix = suffix_of(filename)
    kind = _KIND_OF.get(suffix)
    if kind is None:
        raise make_unsupported_error(filename, "this file type is not supported")
    with open(path, "rb") as file:
        family = sniff(file.read(16))
    if family not in _FAMILIES[kind]:
        raise make_unsupported_error(filename, f"its content is not {kind} of a supported type")
    return _probe_image(path, filename, family) if kind == "image" else _probe_av(path, filename, kind, family)


def sniff(head: bytes) -> str:
    """The family of formats that the first 16 bytes of a file announce, "" for none of ours."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(b"RIFF"):
        return {b"WEBP": "webp", b"AVI ": "avi", b"WAVE": "wav"}.get(head[8:12], "")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mp4"
    if head.startswith(b"ID3"):
        return "mp3"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac"
    return "mp3" if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 else ""


def _probe_image(path: Path, filename: str, family: str) -> Media:
    try:
        with open_picture(path) as image:
            width, height = image.size
            if image.getexif().get(_ORIENTATION) in _SIDEWAYS:
                width, height = height, width
            decode_picture(image)
    except TooManyPixels as error:
        raise make_unsupported_error(filename, f"{error} are more pixels than can be opened here") from None
    except _BROKEN_IMAGE:
        raise make_unsupported_error(filename, "this picture is damaged") from None
    return Media("image", _SUFFIXES[family], width, height)


def _probe_av(path: Path, filename: str, kind: str, family: str) -> Media:
    import av  # here, because loading it takes as long as starting the backend

    try:
        # PyAV has no stricter way to say "this file and nothing else" than FFmpeg's own option.
        with av.open(str(path), format=family, container_options={"protocol_whitelist": "file"}) as container:
            streams = container.streams.video if kind == "video" else container.streams.audio
            if not streams:
                raise make_unsupported_error(filename, f"there is no {kind} in it")
            duration = container.duration / av.time_base if container.duration else None
            if kind == "audio":
                return Media("audio", f".{suffix_of(filename)}", duration=duration)
            stream = container.streams.video[0]
            rate = float(stream.average_rate) if stream.average_rate else None
            width, height = _compute_shown_size(container, stream)
            return Media("video", f".{suffix_of(filename)}", width, height, duration, rate)
    except (av.error.FFmpegError, OSError, ValueError):
        raise make_unsupported_error(filename, f"this {kind} is damaged") from None


def _compute_shown_size(container: Any, stream: Any) -> tuple[int, int]:
    """The size as people see it: the shape of the pixels counts, and the way the film was held."""
    shape = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
    width, height = stream.width, stream.height
    if shape:
        width = max(1, round(width * shape))
    frame = next(iter(container.decode(stream)), None)
    turned = frame is not None and round(frame.rotation / 90) % 2 == 1
    return (height, width) if turned else (width, height)

"""What is uploaded: pictures by their pixels, other files by their bytes, addresses by their text.

A picture counts in step keys by its upright 8-bit pixels, never by its encoded bytes: a JPEG given to the shell and
the same picture as an IMAGE in a graph are one request. Everything here blocks; call it from a thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import mmap
import os
import re
import struct
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Literal
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from .._errors import FileTooLarge, InputError, UnsupportedFile
from .._safety.private_files import FILE_MODE, make_private_folder, sync_to_disk
from .._safety.redaction import redact
from .._safety.safe_open import open_file
from .._text.messages import UPLOAD_FORMATS, Phrase, describe_os_error
from .._wire.upload import UploadPart, disk_error
from .colors import in_srgb
from .large_pictures import (
    DECODING,
    MAX_HEIC_PIXELS,
    MAX_PIXELS,
    check_memory,
    check_pixels,
    check_ratio,
    is_large,
    is_moving_webp,
    open_unbounded,
    read_orientation,
    shrink_file,
    shrink_image,
    shrink_pixels,
    silence_pillow,
    skip_previews,
)
from .media_check import check_media
from .picture_check import UNREADABLE, decode_frames, is_gif_whole, is_large_whole
from .side_data import END_OF_JPEG, KINDS, Data, without_side_data
from .temp_files import create_part_file, remove_abandoned_parts

Encoding = Literal["auto", "png", "jpeg", "webp"]
Pixels = npt.NDArray[np.uint8]

MAX_UPLOAD_BYTES: Final = 200 * 1024 * 1024
MAX_JPEG_SIDE: Final = 65_500
# Steps between the levels that JPEG keeps, by frequency (brightness, then colour). No content, noise neither, comes out
# below 42 dB of its original; "quality 95" keeps smooth pictures as well, but noise only to 36 dB.
JPEG_STEPS: Final = tuple([min(1 + (x + y) // 2, most) for y in range(8) for x in range(8)] for most in (5, 3))
KEEP_METADATA: Final = "NEMO_KEEP_METADATA"
"""Set to 1, pictures that need no other form go out as the files are, with all that stands in them."""
PNG_LEVEL: Final = 1
MAX_NAME_BYTES: Final = 80
MARK_DIGITS: Final = 8
NAMELESS: Final = "image"
NAMES_OF_NONE: Final = ("image", "video", "audio")
WEBP_EFFORT: Final = 0

_UNFIT: Final = frozenset('<>:"/\\|?*;%')
"""What file systems, headers or addresses read as something else."""

_MIME: Final = {
    "mp4": "video/mp4", "mov": "video/quicktime", "avi": "video/x-msvideo", "webm": "video/webm",
    "mkv": "video/x-matroska", "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif",
    "webp": "image/webp", "mp3": "audio/mpeg", "wav": "audio/wav", "m4a": "audio/mp4", "aac": "audio/aac",
}  # fmt: skip
AS_THEY_ARE: Final = ("jpeg", "png")
"""Formats that go as they are, whatever their size in pixels, where they hold no bomb."""
_STILLS: Final = frozenset({"jpg", "jpeg", "png", "webp"})
_CONVERTED: Final = frozenset({"heic", "heif", "avif", "jxl", "bmp", "tif", "tiff"})
_MOVING: Final = ("gif", "png", "webp")  # more pictures in one file are pages elsewhere
_READ: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # not what starts other programs, as EPS does
_BEGINS: Final = {
    b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png", b"GIF87a": "gif", b"GIF89a": "gif", b"II*\0": "tiff",
    b"MM\0*": "tiff", b"BM": "bmp", b"ID3": "mp3", b"\xff\x0a": "jxl", b"\0\0\0\x0cJXL \r\n\x87\n": "jxl",
}  # fmt: skip
_BRANDS: Final = {
    b"M4A ": "m4a", b"M4B ": "m4a", b"qt  ": "mov", b"avif": "avif", b"avis": "avif", b"heic": "heic", b"heix": "heic",
    b"hevc": "heic", b"heim": "heic", b"heis": "heic", b"mif1": "heic", b"msf1": "heic",
}  # fmt: skip
_PLUGINS: Final = {
    "avif": ("AVIF", "pillow_avif", "pillow-avif-plugin"),
    "jxl": ("JXL", "pillow_jxl", "pillow-jxl-plugin"),
}
"""By suffix: Pillow's name of a format, and the module and package that read it where Pillow itself does not."""
_QUICKTIME: Final = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_FAMILIES: Final = {
    "jpg": ("jpg", "jpeg"), "tiff": ("tif", "tiff"), "heic": ("heic", "heif", "avif"), "mp4": ("mp4", "mov", "m4a"),
    "m4a": ("m4a", "mp4", "mov"), "mov": ("mov", "mp4", "m4a"), "webm": ("webm", "mkv"), "mkv": ("mkv", "webm"),
    "mp3": ("mp3", "aac", "wav"),
}  # fmt: skip
"""Suffixes under which what the first bytes announce goes as well."""
_HEIC_SIZE: Final = re.compile(rb"\0\0\0\x14ispe\0\0\0\0(.{8})", re.DOTALL)
_OF_CONTENT: Final = re.compile(r"[0-9a-f]{64}\.\w+")
_HEIC_BRANDS: Final = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


@dataclass(frozen=True)
class Media:
    """Something to upload. `fingerprint` is what step keys use; the content is bytes, a file, or a `url`.

    `name` is the name that is sent: that of the file, so that prompts can use it, with eight digits of the fingerprint,
    by which the project's state is searched. `kept` is the name of the kept copy, by its own hash. `sha256` is that of
    the file that was checked: nothing else is uploaded in its place. `plain` names the format whose metadata is removed
    before it is sent, except its `orientation`. `older` is the fingerprint of earlier versions, if it differs.
    `notice` tells the user that less is sent than was given.
    """

    fingerprint: str = field(repr=False)
    name: str
    mime: str = ""
    content: bytes | Path = field(default=b"", repr=False)
    url: str = field(default="", repr=False)
    sha256: str = field(default="", repr=False, compare=False)
    plain: str = field(default="", repr=False, compare=False)
    orientation: int = field(default=1, repr=False, compare=False)
    older: str = field(default="", repr=False, compare=False)
    kept: str = field(default="", repr=False, compare=False)
    notice: Phrase | None = field(default=None, repr=False, compare=False)

    @property
    def kept_name(self) -> str:
        """The name under which its bytes are kept in the home directory."""
        return self.kept or self.name

    @property
    def mark(self) -> str:
        """The eight digits that its name on the wire ends with; empty for an address."""
        return "" if self.url else mark_of(self.fingerprint)

    @property
    def part(self) -> UploadPart:
        """This file as a part of a multipart upload, without side data."""
        content = b"".join(_chunks(self)) if self.plain else self.content
        return UploadPart(self.name, self.mime, content)


def mark_of(fingerprint: str) -> str:
    """Eight digits of the hash in a fingerprint."""
    return fingerprint.rsplit(":", 1)[-1][:MARK_DIGITS]


def wire_name(stem: str, fingerprint: str, suffix: str, nameless: str = NAMELESS) -> str:
    """`<stem>-<hash8>.<suffix>`, at most MAX_NAME_BYTES: letters of all scripts stay, what headers or paths read goes.

    Where nothing is left that can be said, it is `nameless`.
    """
    plain = unicodedata.normalize("NFC", stem.encode("utf-8", "ignore").decode("utf-8"))
    spaced = "".join(" " if _is_blank(each) else each for each in plain)
    clean = "".join(each for each in spaced if each not in _UNFIT and not unicodedata.category(each).startswith("C"))
    clean = " ".join(clean.split()).strip(". -") or nameless
    end = f"-{mark_of(fingerprint)}.{suffix}"
    room = MAX_NAME_BYTES - len(end.encode())
    return (clean.encode()[:room].decode("utf-8", "ignore").rstrip(". -") or nameless) + end


def is_nameless(name: str) -> bool:
    """Whether a name on the wire is that of no file: of pixels or sound out of a graph."""
    stem, _, _ = name.rpartition("-")
    return stem in ("", *NAMES_OF_NONE)


def _is_blank(character: str) -> bool:
    return character.isspace() or unicodedata.category(character).startswith("Z")


def from_pixels(pixels: Pixels, encoding: Encoding = "auto", stem: str = NAMELESS, *, shrink: bool = False) -> Media:
    """A picture from upright 8-bit pixels, shape [H, W, C] with C = 1, 3 or 4; `stem` is its name.

    `auto` encodes opaque pictures as JPEG (4:4:4, at least 42 dB: no visible loss) and others as PNG. The encoding is
    part of the key only if it was chosen. Several threads may encode at once. More than MAX_PIXELS raise `InputError`,
    or, with `shrink`, are sent smaller with a `notice`; the key is that of the given pixels.
    """
    if shrink and is_large(pixels.shape[1], pixels.shape[0]):
        return _from_shrunk_pixels(pixels, stem, stem, encoding)
    pixels = _plain(pixels)
    fingerprint = pixels_fingerprint(pixels)
    suits_jpeg = pixels.shape[2] == 3 and max(pixels.shape) <= MAX_JPEG_SIDE
    kind = encoding if encoding != "auto" else ("jpeg" if suits_jpeg else "png")
    if kind == "jpeg" and pixels.shape[2] == 4:
        raise InputError("mask-jpeg")
    content = _encode(Image.fromarray(pixels), kind)
    suffix = "jpg" if kind == "jpeg" else kind
    name = wire_name(stem, fingerprint, suffix)
    check_size(name, len(content))
    chosen = "" if encoding == "auto" else f"{encoding}:"
    kept = f"{hashlib.sha256(content).hexdigest()}.{suffix}"
    return Media(chosen + fingerprint, name, f"image/{kind}", content, kept=kept)


def _from_shrunk_pixels(pixels: Pixels, stem: str, called: str, encoding: Encoding = "auto") -> Media:
    """As `from_pixels`, with fewer pixels than were given, by which it counts; `called` is how people know it."""
    small = shrink_pixels(pixels)
    media = from_pixels(small, encoding, stem)
    chosen = "" if encoding == "auto" else f"{encoding}:"
    fingerprint = chosen + pixels_fingerprint(_plain(pixels, bounded=False))
    name = wire_name(stem, fingerprint, Path(media.name).suffix.lstrip("."))
    notice = _tell_shrunk(called, (pixels.shape[1], pixels.shape[0]), (small.shape[1], small.shape[0]))
    return replace(media, fingerprint=fingerprint, name=name, notice=notice)


def from_file(path: Path, inside: Path | None = None) -> Media:
    """A file to upload. Pictures are checked, turned upright and converted if the backend needs it.

    With `inside`, a real folder, the file must be in it when it is opened: links that lead outside are refused. Raises
    `InputError` for what cannot be sent.
    """
    with _open_readable(path, inside) as file:
        return _from_opened(file, path)


def is_picture_file(path: Path) -> bool:
    """Whether the first bytes of a file are those of a picture."""
    try:
        with open_file(path) as file:
            found = _sniff_format(file)
    except OSError:
        return False
    return found == "gif" or found in _STILLS or found in _CONVERTED


@dataclass(frozen=True)
class Judged:
    """What a file counts as when it is sent: `fingerprint`, `older` and `notice` as those of `Media`."""

    fingerprint: str
    older: str = ""
    notice: Phrase | None = None


def check_file(path: Path) -> str:
    """The fingerprint that `from_file` would give, with nothing encoded; raises what that would, and more.

    Stills are decoded, films and sound read to their end.
    """
    return judge_file(path).fingerprint


def judge_file(path: Path) -> Judged:
    """As `check_file`, with all that is known of the file beforehand."""
    with _open_readable(path, None) as file:
        suffix = _kind_of(file, path)
        if suffix in _STILLS or suffix in _CONVERTED:
            still = _look_at_still(file, path)
            if still.pixels is not None and still.notice is None:
                return Judged(pixels_fingerprint(still.pixels), still.older)
            return Judged(f"file:{_digest(file, path)}", notice=still.notice)
        _check_other(file, path, suffix)
        return Judged(f"file:{_digest(file, path)}")


def _from_opened(file: BinaryIO, path: Path) -> Media:
    suffix = _kind_of(file, path)
    if suffix in _STILLS or suffix in _CONVERTED:
        return _still(file, path)
    if _is_known(file):  # what is none that is known here is the backend's to judge
        _check_other(file, path, suffix)
    return _as_it_is(file, path, suffix, _MIME[suffix])


def _check_other(file: BinaryIO, path: Path, suffix: str) -> None:
    """A film, a sound or a GIF that is damaged is told before it is sent."""
    kind = _type_of(suffix)
    if kind != "image":
        check_media(file, path.name, suffix, kind)
    elif _sniff_format(file) != suffix:
        raise InputError("not-an-image", name=path.name)
    elif not is_gif_whole(file):
        raise InputError("image-damaged", name=path.name)


def _as_it_is(file: BinaryIO, path: Path, suffix: str, mime: str, fingerprint: str = "") -> Media:
    """A file that goes out byte for byte; it counts by these bytes where no other fingerprint is given."""
    digest = _digest(file, path)
    fingerprint = fingerprint or f"file:{digest}"
    name = wire_name(path.stem, fingerprint, suffix, mime.partition("/")[0])
    return Media(fingerprint, name, mime, path, sha256=digest, kept=f"{digest}.{suffix}")


def _as_pixels_are(file: BinaryIO, path: Path, kind: str, fingerprint: str = "", orientation: int = 1) -> Media:
    """A picture whose pixels go out byte for byte, without side data; `ValueError` where that cannot be taken out."""
    media = _as_it_is(file, path, "jpg" if kind == "jpeg" else kind, f"image/{kind}", fingerprint)
    if kind not in KINDS or os.environ.get(KEEP_METADATA, "").strip() in ("1", "true", "yes"):
        return media
    file.seek(0)
    digest = hashlib.sha256()
    for piece in without_side_data(file.read(), kind, orientation):
        digest.update(piece)
    kept = f"{digest.hexdigest()}{Path(media.name).suffix}"
    return replace(media, plain=kind, orientation=orientation, kept=kept)


def _kind_of(file: BinaryIO, path: Path) -> str:
    """The suffix of a file that can be sent, judged by its first bytes.

    By its name where these tell nothing, or contradict what kind of thing it is called: that is no other spelling.
    """
    given = path.suffix.lower().lstrip(".")
    suffix = given if given in _MIME or given in _CONVERTED else ""
    found = _sniff_format(file)
    if found and suffix not in _FAMILIES.get(found, (found,)) and (not suffix or _type_of(found) == _type_of(suffix)):
        suffix = found
    if not suffix:
        raise UnsupportedFile(
            code=4001, name=path.name, formats=f"{UPLOAD_FORMATS} (HEIC, AVIF, BMP and TIFF are converted)"
        )
    size = os.fstat(file.fileno()).st_size
    if suffix not in _CONVERTED:
        check_size(path.name, size)
    if size == 0 and suffix not in _STILLS | _CONVERTED:
        raise InputError("file-unreadable", name=path.name, reason=Phrase("why.empty"))
    return suffix


def _type_of(suffix: str) -> str:
    return "image" if suffix in _CONVERTED else _MIME[suffix].partition("/")[0]


def _sniff_format(file: BinaryIO) -> str:
    """The suffix for what a file's first bytes announce; empty where they tell nothing for sure."""
    try:
        head = file.read(64)
        file.seek(0)
    except OSError:
        return ""
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "mp4")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm" if b"webm" in head else "mkv"
    if head.startswith(b"RIFF"):
        return {b"WEBP": "webp", b"AVI ": "avi", b"WAVE": "wav"}.get(head[8:12], "")
    return next((suffix for begin, suffix in _BEGINS.items() if head.startswith(begin)), "")


def _is_known(file: BinaryIO) -> bool:
    """Whether a file begins as films and sounds do, those that `_sniff_format` does not tell apart included."""
    head = file.read(8)
    file.seek(0)
    sound = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    return bool(_sniff_format(file)) or sound or head[4:8] in _QUICKTIME


def from_url(url: str) -> Media:
    """An http(s) address that the backend downloads; its key is the address."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
    except ValueError:
        host = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise InputError("url", url=redact(url)[:120])
    return Media(f"url:{url.strip()}", parts.path.rsplit("/", 1)[-1][:80] or host, url=url.strip())


def check_size(name: str, size: int) -> None:
    """`FileTooLarge` (4002) above the backend's limit, before anything is sent."""
    if size > MAX_UPLOAD_BYTES:
        raise FileTooLarge(code=4002, name=name, size_mb=f"{size / 2**20:.0f}", limit_mb=MAX_UPLOAD_BYTES // 2**20)


def pixels_fingerprint(pixels: Pixels) -> str:
    """`pixels:HxWxC:sha256` of plain pixels (RGB, or RGBA where something is transparent)."""
    shape = "x".join(str(side) for side in pixels.shape)
    return f"pixels:{shape}:{hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()}"


def _plain(pixels: Pixels, *, bounded: bool = True) -> Pixels:
    """RGB, or RGBA where some pixel is not opaque: the one form in which pictures are compared."""
    height, width, channels = pixels.shape
    if height < 1 or width < 1:
        raise InputError("image-empty")
    if bounded:
        check_pixels(width, height)
    if channels == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if channels == 4 and bool((pixels[..., 3] == 255).all()):
        pixels = pixels[..., :3]
    return np.ascontiguousarray(pixels)


def _encode(image: Image.Image, kind: str) -> bytes:
    with _scratch() as out:
        try:
            if kind == "jpeg":
                image.save(out, "JPEG", qtables=JPEG_STEPS, subsampling=0)
            elif kind == "png":
                image.save(out, "PNG", compress_level=PNG_LEVEL)
            else:
                image.save(out, "WEBP", lossless=True, quality=0, method=WEBP_EFFORT, exact=True)
            out.seek(0)
            return out.read()
        except (OSError, ValueError) as error:  # JPEG and WebP have a longest side
            if isinstance(error, OSError) and error.errno:
                raise disk_error(error, Path(tempfile.gettempdir())) from error
            size = f"{image.width} x {image.height}"
            raise InputError(
                "value", name="encoding", value=kind, expected=Phrase("expected.png", size=size)
            ) from error


def _scratch() -> IO[bytes]:
    """A file for encoded bytes, in memory where the system has such: only into a file Pillow lets other threads run."""
    try:
        if sys.platform == "linux":
            return os.fdopen(os.memfd_create("picture"), "w+b")
        return tempfile.TemporaryFile()
    except OSError:
        return io.BytesIO()


@dataclass(frozen=True)
class _Still:
    """A still that was decoded: its format, how it is held, whether its pixels are sent as they stand in the file.

    `pixels` is None for what is not turned into pixels here: animations, and pictures of too many pixels.
    """

    kind: str
    orientation: int
    as_is: bool
    pixels: Pixels | None = None
    older: str = ""
    notice: Phrase | None = None


def _still(file: BinaryIO, path: Path) -> Media:
    """A still: sent as it is where the backend can take it so, else encoded again from its upright pixels."""
    still = _look_at_still(file, path)
    if still.pixels is None:
        return _as_pixels_are(file, path, still.kind, orientation=still.orientation)
    if still.as_is:
        try:
            fingerprint = pixels_fingerprint(still.pixels)
            return replace(_as_pixels_are(file, path, still.kind, fingerprint), older=still.older)
        except ValueError:  # built in an odd way: its pixels are encoded again
            pass
    try:
        media = from_pixels(still.pixels, stem=path.stem)
    except FileTooLarge:  # its pixels take more bytes than its file: they go smaller
        return replace(_from_shrunk_pixels(still.pixels, path.stem, path.name), older=still.older)
    if still.notice is None:
        return replace(media, older=still.older)
    fingerprint = f"file:{_digest(file, path)}"
    name = wire_name(path.stem, fingerprint, Path(media.name).suffix.lstrip("."))
    return replace(media, fingerprint=fingerprint, name=name, notice=still.notice)


def _look_at_still(file: BinaryIO, path: Path) -> _Still:
    """The still, decoded; an `InputError` with the true reason where it is damaged.

    Side data that cannot be read costs nothing: then the pixels are read without it.
    """
    try:
        return _read_still_or_mend(file, path)
    except InputError as error:
        file.seek(0)
        if error.id == "not-an-image" and _sniff_format(file) in _STILLS | _CONVERTED | {"gif"}:
            raise InputError("image-damaged", name=path.name) from error
        raise


def _read_still_or_mend(file: BinaryIO, path: Path) -> _Still:
    try:
        return _read_still(file, file, path)
    except InputError as error:
        if error.id not in ("not-an-image", "image-too-large"):
            raise
        file.seek(0)
        kind = {"jpg": "jpeg"}.get(found := _sniff_format(file), found)
        if error.id == "image-too-large":
            return _look_at_large(file, path, kind, error) if kind in AS_THEY_ARE else _shrink_large(file, path, kind)
        if kind not in KINDS:
            raise
        return _read_still(io.BytesIO(_mend_file(file, kind, error)), file, path)


def _look_at_large(file: BinaryIO, path: Path, kind: str, error: InputError) -> _Still:
    """A phone's JPEG or PNG of more pixels than are decoded here: sent as it is, it counts by its bytes.

    Raises `error` for few bytes that would unpack to all the memory there is.
    """
    try:
        with open_unbounded(file, kind) as image:
            orientation = read_orientation(image, decode=False)
            check_ratio(image.size, os.fstat(file.fileno()).st_size, as_is=True)
        file.seek(0)
        whole = is_large_whole(file.read(), kind)
    except UNREADABLE as cause:
        raise error from cause
    if not whole:
        raise InputError("image-damaged", name=path.name)
    return _Still(kind, orientation, as_is=True)


def _shrink_large(file: BinaryIO, path: Path, kind: str) -> _Still:
    """A picture that is converted, and has more pixels than that is done with: shrunk, it counts by its bytes.

    Raises `InputError` before anything is decoded where that would take too much memory.
    """
    size = os.fstat(file.fileno()).st_size
    try:
        if kind == "heic":
            small, own = _shrink_heic(file, path, size)
        elif kind == "webp" and is_moving_webp(file.read(32)):
            return _Still(kind, 1, as_is=True)
        else:
            small, own = shrink_file(file, kind, size)
    except UNREADABLE as error:
        raise InputError("image-damaged", name=path.name) from error
    return _Still(kind, 1, False, _show_upright(small, path)[0], notice=_tell_shrunk(path.name, own, small.size))


def _tell_shrunk(name: str, own: tuple[int, int], small: tuple[int, int]) -> Phrase:
    """What people are told; `own` as the file stands, `small` upright."""
    if (own[0] < own[1]) != (small[0] < small[1]):
        own = own[1], own[0]
    return Phrase("image-shrunk", name=name, width=own[0], height=own[1], to_width=small[0], to_height=small[1])


def _shrink_heic(file: BinaryIO, path: Path, size: int) -> tuple[Image.Image, tuple[int, int]]:
    for each in _heic_sizes(file):
        check_ratio(each, size, as_is=False)
        check_memory(each, "heic")
    file.seek(0)
    with DECODING, _decode_heic(file, path, MAX_HEIC_PIXELS) as image:
        return shrink_image(image, read_orientation(image)), image.size


def _mend_file(file: BinaryIO, kind: str, error: InputError) -> bytes:
    """The picture without side data that is not needed, ended as it should be; raises `error` where pixels are missing.

    A JPEG that lacks more than its end marker shows other pixels once something else follows its data.
    """
    try:
        plain = b"".join(without_side_data(file.read(), kind, exif=True))
        if kind == "jpeg":
            other = plain.removesuffix(END_OF_JPEG) + b"\x5a\xa5" * 4096 + END_OF_JPEG
            with Image.open(io.BytesIO(plain)) as one, Image.open(io.BytesIO(other)) as two:
                if one.tobytes() != two.tobytes():
                    raise error
    except (*UNREADABLE, Image.DecompressionBombError, Image.DecompressionBombWarning) as cause:
        raise error from cause
    return plain


def _read_still(readable: BinaryIO, file: BinaryIO, path: Path) -> _Still:
    """The still that `readable` shows; what is sent of it comes from `file`."""
    heic = _is_heic(file)
    image = _open_heic(file, path) if heic else _open_image(readable, path)
    with image:
        kind = (image.format or "").lower()
        if kind == "mpo":  # a phone's JPEG with more pictures behind the first
            kind = "jpeg"
        try:
            moving = kind in _MOVING and bool(getattr(image, "is_animated", False))
            if kind == "gif" or moving:
                decode_frames(image)
                return _Still(kind, read_orientation(image), as_is=True)
        except UNREADABLE as error:
            raise InputError("not-an-image", name=path.name) from error
        orientation = read_orientation(image)
        plain_mode = image.mode in ("L", "RGB", "RGBA", "P", "LA", "1")
        pixels, older = _show_upright(image, path)
    return _Still(kind, orientation, kind in KINDS and orientation == 1 and plain_mode, pixels, older)


def read_pixels(path: Path) -> Pixels:
    """The upright pixels of a picture in sRGB: uint8 [H, W, C], RGB or RGBA."""
    with _open_readable(path, None) as file:
        heic = _is_heic(file)
        with _open_heic(file, path) if heic else _open_image(file, path) as image:
            return _show_upright(image, path)[0]


def _show_upright(image: Image.Image, path: Path) -> tuple[Pixels, str]:
    """The upright pixels in sRGB, and their fingerprint as earlier versions took it, without regard to the profile."""
    try:
        profile = image.info.get("icc_profile")
        image.load()
        upright = _turn_upright(image)
        if upright.mode.startswith("I") or upright.mode == "F":
            upright = Image.fromarray(_eight_bit_levels(upright, image.format == "TIFF"))
        alpha = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
        pixels = _plain(np.asarray(upright.convert("RGBA" if alpha else "RGB")))
        converted = in_srgb(upright, profile if isinstance(profile, bytes) else None)
        if converted is None:
            return pixels, ""
        return _plain(np.asarray(converted)), pixels_fingerprint(pixels)
    except UNREADABLE as error:
        raise InputError("not-an-image", name=path.name) from error


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except UNREADABLE:  # pixels are never lost to what stands beside them
        return image


def _eight_bit_levels(image: Image.Image, of_tiff: bool) -> Pixels:
    """Levels of more than eight bits, scaled by the range that they use: 1 (fractions), 255, 65535 or 32 bits."""
    values = np.asarray(image)
    if image.mode != "F" and not (image.mode == "I" and of_tiff):
        return (values.astype(np.uint32) >> 8).astype(np.uint8)
    levels = values.astype(np.float64)
    if not np.isfinite(levels).all():
        raise InputError("image-not-finite")
    most = float(levels.max(initial=0))
    ranges = (1.0, 255.0, 65535.0, 4294967295.0) if image.mode == "F" else (255.0, 65535.0, 4294967295.0)
    full = next((each for each in ranges if most <= each), most)
    return np.clip(np.rint(levels * (255 / full)), 0, 255).astype(np.uint8)


def _open_image(file: BinaryIO, path: Path) -> Image.Image:
    place = file.tell()
    formats = [*_READ, *_find_decoder(_sniff_format(file), path)]
    file.seek(place)
    known = [each for each in formats if each in _known_formats()]
    image = _open_checked(path, lambda: Image.open(file, formats=known))
    skip_previews(image)
    check_pixels(image.width, image.height)  # the file, which is not the picture's own, is looked at further
    return image


def _known_formats() -> frozenset[str]:
    Image.init()
    return frozenset(Image.OPEN)


def _find_decoder(kind: str, path: Path) -> list[str]:
    """The format that a plugin of Pillow reads; an `InputError` that names the plugin where there is none."""
    if kind not in _PLUGINS:
        return []
    form, module, package = _PLUGINS[kind]
    if form not in _known_formats():
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    if form not in _known_formats():
        raise InputError("decoder-missing", name=path.name, kind=form, package=package)
    return [form]


def _open_checked(path: Path, opener: Callable[[], Image.Image]) -> Image.Image:
    try:
        image = opener()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError("image-too-large", width="?", height="?", limit=MAX_PIXELS // 1_000_000) from error
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:  # not Pillow's own complaint about the content
            raise InputError("file-unreadable", name=path.name, reason=describe_os_error(error)) from error
        raise InputError("not-an-image", name=path.name) from error
    return image


def _open_heic(file: BinaryIO, path: Path) -> Image.Image:
    for size in _heic_sizes(file):  # what is cropped in the end is decoded as well
        check_pixels(*size)
    return _decode_heic(file, path, MAX_PIXELS)


def _decode_heic(file: BinaryIO, path: Path, most: int) -> Image.Image:
    """The picture of a HEIC, decoded, of `most` pixels."""
    try:
        import pillow_heif
    except ImportError as error:
        raise InputError("heic-extra", name=path.name) from error

    def opener() -> Image.Image:
        try:
            picture: Any = pillow_heif.open_heif(file)
            if picture.size[0] * picture.size[1] > most:
                check_pixels(*picture.size)
            image: Image.Image = picture.to_pillow()
        except (RuntimeError, LookupError) as error:  # how it tells some kinds of damage
            raise ValueError(str(error)) from error
        image.format = "HEIF"
        return image

    return _open_checked(path, opener)


def _heic_sizes(file: BinaryIO) -> list[tuple[int, int]]:
    """The sizes of all pictures in a HEIC: those that are put together, cropped or hidden in the end included."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return [struct.unpack(">II", found[1]) for found in _HEIC_SIZE.finditer(content)]


def _is_heic(file: BinaryIO) -> bool:
    """By content: phones hand out HEIC under other names, too."""
    try:
        head = file.read(12)
        file.seek(0)
    except OSError:
        return False
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


@contextmanager
def _open_readable(path: Path, inside: Path | None) -> Iterator[BinaryIO]:
    """The file, opened once for all that is looked at; an `InputError` where there is none that can be read."""
    silence_pillow()
    try:
        if not path.is_file():
            raise InputError("file-missing", name=path.name)
        file = open_file(path, inside)
    except OSError as error:
        raise InputError("file-unreadable", name=path.name, reason=describe_os_error(error)) from error
    with file:
        yield file


def _digest(file: BinaryIO, path: Path) -> str:
    digest = hashlib.sha256()
    try:
        file.seek(0)
        while chunk := file.read(1024 * 1024):
            digest.update(chunk)
    except OSError as error:
        raise InputError("file-unreadable", name=path.name, reason=describe_os_error(error)) from error
    return digest.hexdigest()


class UploadStore:
    """The bytes that were uploaded, by name, in the home directory (0600): forks and resumed runs repeat an upload
    when the graph no longer has the pixels."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "uploads"

    def keep(self, media: Media) -> Media:
        """Keep the bytes; the same media, now with a file of ours as its content.

        An `InputError` if the file cannot be read any more, or is no longer what was looked at.
        """
        if media.url:
            return media
        target = self._directory / media.kept_name
        try:
            make_private_folder(self._directory)
            try:
                os.utime(target)  # in use again: upkeep goes by age
            except FileNotFoundError:
                self._write(media, target)
        except OSError as error:
            raise disk_error(error, target) from error
        return replace(media, content=target, sha256="", plain="", kept=media.kept_name)

    def find(self, fingerprint: str, kept: str, mime: str, name: str = "") -> Media | None:
        """Kept media again, or None if it is no longer there; `name` is the one to send it under."""
        if fingerprint.startswith("url:"):
            return from_url(fingerprint.removeprefix("url:"))
        kept = Path(kept).name
        target = self._directory / kept
        if not target.is_file():
            return None
        media = Media(fingerprint, name or kept, mime, target, kept=kept)
        kind = mime.removeprefix("image/")
        return self._plain(media, kind) if kind in KINDS and not _OF_CONTENT.fullmatch(kept) else media

    def _plain(self, media: Media, kind: str) -> Media:
        """What an earlier version kept as the file was, without its side data: under another name."""
        assert isinstance(media.content, Path)  # noqa: S101 - kept media are files
        with _open_readable(media.content, None) as file:
            try:
                plain = _as_pixels_are(file, media.content, kind, media.fingerprint)
            except ValueError:
                return replace(from_pixels(read_pixels(media.content)), fingerprint=media.fingerprint)
        return self.keep(replace(plain, name=media.name, mime=media.mime))

    def place(self, name: str) -> Path:
        """Where kept bytes of that name lie, if they are still there."""
        return self._directory / Path(name).name

    def forget(self, names: Iterable[str]) -> int:
        """Delete kept bytes; how many there were. To upload them again, the picture itself is needed."""
        gone = 0
        for name in names:
            target = self._directory / Path(name).name
            try:
                if target.is_file():
                    target.unlink()
                    gone += 1
            except OSError as error:
                raise disk_error(error, target) from error
        return gone

    def _write(self, media: Media, target: Path) -> None:
        remove_abandoned_parts(self._directory)
        with create_part_file(self._directory, "upload", FILE_MODE) as temporary:
            digest = hashlib.sha256()
            with temporary.open("r+b") as out:
                for chunk in _chunks(media):
                    out.write(chunk)
                    digest.update(chunk)
                out.flush()
                sync_to_disk(out.fileno())
            if media.sha256 and not media.plain and media.sha256 != digest.hexdigest():
                raise _make_changed_error(media)
            temporary.replace(target)


def _chunks(media: Media) -> Iterator[Data]:
    """What is sent of it."""
    if media.plain:
        yield from without_side_data(_whole(media), media.plain, media.orientation)
        return
    yield from _source_chunks(media)


def _whole(media: Media) -> bytes:
    """The file that was looked at; an `InputError` if it is another one by now."""
    data = b"".join(_source_chunks(media))
    if media.sha256 and media.sha256 != hashlib.sha256(data).hexdigest():
        raise _make_changed_error(media)
    return data


def _make_changed_error(media: Media) -> InputError:
    return InputError("file-unreadable", name=media.name, reason=Phrase("why.changed-read"))


def _source_chunks(media: Media) -> Iterator[bytes]:
    if isinstance(media.content, bytes):
        yield media.content
        return
    try:
        with open_file(media.content) as source:
            while chunk := source.read(1024 * 1024):
                yield chunk
    except OSError as error:
        raise InputError("file-unreadable", name=media.content.name, reason=describe_os_error(error)) from error

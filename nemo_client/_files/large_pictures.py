"""Pictures of more pixels than are decoded whole here: which go as they are, which are shrunk, which are none. Blocks.

JPEG and PNG go as they are. What has to be converted (TIFF, HEIC, AVIF, BMP, WebP) is shrunk by a whole number, one
picture at a time, in at most MAX_DECODED_BYTES of memory. A file that holds more pixels than its bytes can tell (a
decompression bomb) is judged by its header alone.
"""

from __future__ import annotations

import io
import math
import os
import struct
import threading
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from .._errors import InputError
from .picture_check import UNREADABLE

MAX_PIXELS: Final = 89_000_000  # where Pillow begins to warn
SHRUNK_PIXELS: Final = 48_000_000
"""The most that is left of a picture that is shrunk: even noise with transparency fits the upload limit."""
MAX_DECODED_BYTES: Final = 2_100_000_000
_HUGE_PIXELS: Final = 400_000_000
_PIXELS_A_BYTE: Final = 400
"""Of one colour alone a PNG holds 344, a JPEG 170."""
_PIXELS_A_BYTE_OF_HUGE: Final = 50
_PIXELS_A_BYTE_OF_OTHERS: Final = 5_000
_BYTES_A_PIXEL: Final = {"jpeg": 5, "png": 5, "tiff": 5, "bmp": 5, "webp": 8, "heic": 8, "avif": 10, "jxl": 12}
"""At the peak of decoding, by format; measured, but for jxl."""
_SHARE_OF_ONE_CHANNEL: Final = 0.4
_ONE_CHANNEL: Final = ("1", "L", "P")
_BAND_ROWS: Final = 128
_SIDEWAYS: Final = (5, 6, 7, 8)
_ANIMATED: Final = 0x02
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

DECODING: Final = threading.Lock()
"""Held while a large picture is decoded: one at a time."""
MAX_HEIC_PIXELS: Final = MAX_DECODED_BYTES // _BYTES_A_PIXEL["heic"]


class _LargeTiff(TiffImagePlugin.TiffImageFile):
    """Without Pillow's limit on pixels, which this format looks at once more when it is decoded."""

    def load_prepare(self) -> None:
        if getattr(self, "_im", self) is None:
            self.im = Image.new(self.mode, getattr(self, "_tile_size", self.size)).im
        ImageFile.ImageFile.load_prepare(self)


_OPENERS: Final[dict[str, Callable[[BinaryIO], Image.Image]]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "tiff": _LargeTiff,
    "bmp": BmpImagePlugin.BmpImageFile,
}
"""Without Pillow's limit on pixels, of which nothing is decoded."""


def open_unbounded(file: BinaryIO, kind: str) -> Image.Image:
    """A JPEG, PNG, TIFF, BMP, AVIF or JPEG XL of any size, nothing of it decoded; what Pillow raises for others."""
    file.seek(0)
    if kind in _OPENERS:
        return _OPENERS[kind](file)
    image: Image.Image = Image.OPEN[kind.upper()][0](file, "")
    return image


def open_sent(file: BinaryIO, wanted: tuple[int, int]) -> Image.Image:
    """A picture as it was sent (JPEG, PNG, WebP or GIF); a JPEG is decoded at a fraction, where `wanted` is smaller.

    An `InputError` where more pixels are to be decoded than fit in memory; what Pillow raises where it is none.
    """
    silence_pillow()
    head = file.read(8)
    file.seek(0)
    kind = "jpeg" if head.startswith(b"\xff\xd8") else "png" if head.startswith(b"\x89PNG") else ""
    image = open_unbounded(file, kind) if kind else Image.open(file, formats=("WEBP", "GIF"))
    if is_large(*image.size):
        check_ratio(image.size, os.fstat(file.fileno()).st_size, as_is=True)
    image.draft("RGB", wanted)
    check_memory(image.size, kind or "webp")
    return image


def silence_pillow() -> None:
    """Keep what Pillow says of side data and sizes from stderr: both are judged here, and it helps no user."""
    for category in (UserWarning, Image.DecompressionBombWarning):
        warnings.filterwarnings("ignore", category=category, module=r"PIL\.")


def is_large(width: int, height: int) -> bool:
    """Whether a picture has more pixels than are decoded whole."""
    return width * height > MAX_PIXELS


def check_pixels(width: int, height: int) -> None:
    """An `InputError` above MAX_PIXELS."""
    if is_large(width, height):
        raise InputError("image-too-large", width=width, height=height, limit=MAX_PIXELS // 1_000_000)


def check_ratio(size: tuple[int, int], length: int, *, as_is: bool) -> None:
    """An `InputError` for a decompression bomb: more pixels than pictures of `length` bytes have.

    `as_is` is for a JPEG or PNG, which goes as it is.
    """
    pixels = size[0] * size[1]
    most = _PIXELS_A_BYTE if as_is else _PIXELS_A_BYTE_OF_OTHERS
    if as_is and pixels > _HUGE_PIXELS:
        most = _PIXELS_A_BYTE_OF_HUGE
    if pixels > most * length:
        raise InputError("image-too-large", width=size[0], height=size[1], limit=MAX_PIXELS // 1_000_000)


def check_memory(size: tuple[int, int], kind: str, times: float = 1) -> None:
    """An `InputError` for a picture that takes more memory to decode than MAX_DECODED_BYTES."""
    limit = int(MAX_DECODED_BYTES / (_BYTES_A_PIXEL[kind] * times))
    if size[0] * size[1] > limit:
        raise InputError("image-too-large", width=size[0], height=size[1], limit=limit // 1_000_000)


def choose_factor(width: int, height: int) -> int:
    """The whole number by which both sides are divided, so that at most SHRUNK_PIXELS are left."""
    return max(1, math.ceil(math.sqrt(width * height / SHRUNK_PIXELS)))


def shrink_file(file: BinaryIO, kind: str, length: int) -> tuple[Image.Image, tuple[int, int]]:
    """A TIFF, BMP, AVIF or WebP of `length` bytes, upright and shrunk, with its profile in `info`; and its own size.

    Raises `InputError` before anything is decoded where that takes too much memory, and what decoders raise (`OSError`,
    `ValueError` …) where it is damaged.
    """
    if kind == "webp":
        return _shrink_webp(file, length)
    with open_unbounded(file, kind) as image:
        skip_previews(image)
        turned = getattr(image, "tag_v2", {}).get(0x0112, 1) in _SIDEWAYS
        own = image.size
        check_ratio(own, length, as_is=False)
        check_memory(own, kind, (_SHARE_OF_ONE_CHANNEL if image.mode in _ONE_CHANNEL else 1) * (2 if turned else 1))
        with DECODING:
            image.load()
            return shrink_image(image, read_orientation(image)), own


def shrink_image(image: Image.Image, orientation: int = 1) -> Image.Image:
    """A picture that was decoded, smaller and upright, with its profile."""
    factor = choose_factor(*image.size)
    mode = {"1": "L", "P": "RGBA" if "transparency" in image.info else "RGB", "PA": "RGBA"}.get(image.mode, "")

    def read_band(top: int, bottom: int) -> Image.Image:
        band = image.crop((0, top, image.width, bottom))
        if image.mode.startswith("I;16"):
            return Image.fromarray((np.asarray(band) >> 8).astype(np.uint8))
        return band.convert(mode) if mode else band

    small = _reduce_in_bands(image.size, factor, read_band)
    return _finish(small, image.info.get("icc_profile"), orientation, image.format)


def _finish(small: Image.Image, profile: bytes | None, orientation: int, form: str | None) -> Image.Image:
    """A picture that was shrunk, upright, with its profile and the name of its format."""
    if orientation in _TURNS:
        small = small.transpose(_TURNS[orientation])
    if profile:
        small.info["icc_profile"] = profile
    small.format = form
    return small


def shrink_pixels(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pixels [H, W, C] of more than MAX_PIXELS, shrunk: uint8 [H / n, W / n, C]."""
    height, width, channels = pixels.shape

    def read_band(top: int, bottom: int) -> Image.Image:
        band = pixels[top:bottom]
        return Image.fromarray(np.ascontiguousarray(band[..., 0] if channels == 1 else band))

    small = np.asarray(_reduce_in_bands((width, height), choose_factor(width, height), read_band))
    return small[..., None] if small.ndim == 2 else small


def _reduce_in_bands(size: tuple[int, int], factor: int, read_band: Callable[[int, int], Image.Image]) -> Image.Image:
    """A picture of `size` divided by `factor`, from its rows: never twice whole in memory."""
    height = size[1]
    rows = _BAND_ROWS * factor
    first = read_band(0, min(rows, height)).reduce(factor)
    small = Image.new(first.mode, (first.width, -(-height // factor)))
    small.paste(first, (0, 0))
    for top in range(rows, height, rows):
        small.paste(read_band(top, min(top + rows, height)).reduce(factor), (0, top // factor))
    return small


def read_orientation(image: Image.Image, *, decode: bool = True) -> int:
    """EXIF's 1..8, else that of XMP; 1 where neither can be read.

    A PNG is decoded for it, as it may stand behind the pixels; not `decode`, what stands before them counts alone.
    """
    try:
        value = (image.getexif() if decode else Image.Image.getexif(image)).get(0x0112, 1)
    except UNREADABLE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


# --- TIFF -------------------------------------------------------------------------------------------------------------

MAX_PREVIEWS: Final = 16
_SUBFILE_TYPE: Final = 254  # of a page of a TIFF: its first bit is set for a smaller copy


def skip_previews(image: Image.Image) -> None:
    """Go on to the first page of a TIFF that is no smaller copy of another one (NewSubfileType), if there is one."""
    tags: Any = image
    if image.format != "TIFF":
        return
    try:
        pages = range(min(getattr(image, "n_frames", 1), MAX_PREVIEWS))
        if len(pages) > 1 and tags.tag_v2.get(_SUBFILE_TYPE, 0) & 1:
            for number in pages:
                image.seek(number)
                if not tags.tag_v2.get(_SUBFILE_TYPE, 0) & 1:
                    return
            image.seek(0)
    except UNREADABLE:
        return


# --- WebP -------------------------------------------------------------------------------------------------------------


def is_moving_webp(head: bytes) -> bool:
    """Whether the first bytes of a WebP tell of an animation."""
    return head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & _ANIMATED)


def read_webp_size(head: bytes) -> tuple[int, int]:
    """Width and height by the first 30 bytes of a WebP; `ValueError` where they do not tell."""
    name = head[12:16]
    if len(head) < 30 or name not in (b"VP8X", b"VP8L", b"VP8 "):
        raise ValueError("no WebP")
    if name == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if name == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _shrink_webp(file: BinaryIO, length: int) -> tuple[Image.Image, tuple[int, int]]:
    """By FFmpeg: Pillow holds sixteen bytes a pixel while it decodes this format."""
    file.seek(0)
    data = file.read()
    own = read_webp_size(data)
    check_ratio(own, length, as_is=False)
    check_memory(own, "webp")
    chunks = _read_webp_chunks(data)
    with DECODING:
        small = Image.fromarray(_decode_webp(data, choose_factor(*own)))
    small.info.update({name: chunks[key] for name, key in (("exif", b"EXIF"), ("xmp", b"XMP ")) if key in chunks})
    orientation = read_orientation(small)
    small.info.clear()
    return _finish(small, chunks.get(b"ICCP"), orientation, "WEBP"), own


def _read_webp_chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks beside the pixels of a WebP; `ValueError` for one that is cut."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data) + 1:  # a byte may be missing that only fills up
        raise ValueError("it ends early")
    found = {}
    place = 12
    while place + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, place)
        if name in (b"ICCP", b"EXIF", b"XMP "):
            found[name] = data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2
    return found


def _decode_webp(data: bytes, factor: int) -> npt.NDArray[np.uint8]:
    """The pixels of a WebP divided by `factor`, [H, W, 3 or 4]; `ValueError` where it cannot be decoded."""
    import av

    try:
        with av.open(io.BytesIO(data), format="webp_pipe", options={"protocol_whitelist": "file"}) as container:
            context = container.streams.video[0].codec_context
            context.thread_count = 1
            context.options = {"err_detect": "explode"}
            frame = next(container.decode(video=0))
            alpha = frame.format.name in ("yuva420p", "argb", "bgra", "rgba")
            small = frame.reformat(
                width=-(-frame.width // factor),
                height=-(-frame.height // factor),
                format="rgba" if alpha else "rgb24",
                interpolation="AREA",
            )
            pixels: npt.NDArray[np.uint8] = small.to_ndarray()
            return pixels
    except (av.FFmpegError, StopIteration, LookupError) as error:
        raise ValueError("it cannot be decoded") from error

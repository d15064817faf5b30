"""Opening pictures of any size: a phone's 200 megapixels are drawn small, bombs are refused by their header alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

from PIL import GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

MAX_PIXELS: Final = 256_000_000
"""The most that are decoded, five bytes each; of a JPEG, after it was drawn small."""
MAX_PIXELS_OF_SEVERAL: Final = 89_478_485
"""Of GIF and WebP, whose decoders hold several pictures at once."""
DRAWN_PIXELS: Final = 64_000_000
"""A JPEG of more pixels is drawn small."""
PIXELS_A_BYTE: Final = 400
"""More of them in a byte of a large picture are a decompression bomb."""

_OPENERS: Final[dict[str, Callable[[str], Image.Image]]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "gif": GifImagePlugin.GifImageFile,
}
"""Each decodes its own format alone, without Pillow's limit on pixels; nothing is decoded by opening."""
_BEGINS: Final = {b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n\x1a\n": "png", b"RIFF": "webp", b"GIF8": "gif"}


class TooManyPixels(ValueError):
    """A picture that would take too much memory to decode."""


def open_picture(path: Path) -> Image.Image:
    """The JPEG, PNG, WebP or GIF in `path`, nothing decoded yet, in its own size; close it.

    Raises TooManyPixels by its header alone, and what Pillow raises for damage.
    """
    for category in (UserWarning, Image.DecompressionBombWarning):  # what it says of side data helps no user
        warnings.filterwarnings("ignore", category=category, module=r"PIL\.")
    with path.open("rb") as file:
        head = file.read(30)
    kind = next((kind for begin, kind in _BEGINS.items() if head.startswith(begin)), "")
    if not kind:
        raise ValueError("no picture of these formats")
    if kind == "webp":
        _check(kind, *_read_webp_size(head))  # its reader takes the memory of all pixels at once
    image = _OPENERS[kind](str(path))
    try:
        pixels = image.width * image.height
        if pixels > DRAWN_PIXELS and pixels > PIXELS_A_BYTE * path.stat().st_size:
            raise TooManyPixels(f"{image.width} x {image.height}")
        if kind != "jpeg":
            _check(kind, *image.size)
    except BaseException:
        image.close()
        raise
    return image


def decode_picture(image: Image.Image, wanted: tuple[int, int] | None = None) -> None:
    """Decode a picture of `open_picture`: a JPEG at a fraction, not below `wanted` (or half of a large one).

    Raises TooManyPixels before it is decoded, and what Pillow raises for damage.
    """
    if wanted is not None:
        image.draft("RGB", wanted)
    elif image.width * image.height > DRAWN_PIXELS:
        image.draft("RGB", (image.width // 2, image.height // 2))
    _check((image.format or "").lower(), *image.size)
    image.load()


def _check(kind: str, width: int, height: int) -> None:
    if width * height > (MAX_PIXELS_OF_SEVERAL if kind in ("gif", "webp") else MAX_PIXELS):
        raise TooManyPixels(f"{width} x {height}")


def _read_webp_size(head: bytes) -> tuple[int, int]:
    """Width and height of a WebP; (1, 1) where they stand elsewhere, which its reader judges."""
    name = head[12:16]
    if name == b"VP8X" and len(head) == 30:
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if name == b"VP8L" and len(head) == 30:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 " and len(head) == 30:
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return 1, 1

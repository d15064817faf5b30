"""Checks that a picture sent byte for byte is complete: animations, and those too large to decode here. Blocks.

A missing end marker alone is no damage: every row is there.
"""

from __future__ import annotations

import io
import mmap
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from PIL import Image, JpegImagePlugin

from .side_data import END_OF_JPEG, ends_early, without_side_data

ANIMATION_PIXELS: Final = 300_000_000
"""How many pixels of an animation are decoded, from its first frame on; of the rest only the structure is looked at."""
UNREADABLE: Final = (OSError, ValueError, SyntaxError, EOFError, struct.error, LookupError, TypeError, OverflowError)
"""What Pillow and its plugins raise for damage; `ValueError` and `TypeError` come from odd tags."""
Sliceable = bytes | mmap.mmap
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_SHRUNK: Final = 8
_PIECE: Final = 1024 * 1024


def decode_frames(image: Image.Image) -> None:
    """Decode the frames of an animation, as many as the budget allows; what Pillow raises where one is damaged."""
    pixels = max(image.width * image.height, 1)
    for number in range(min(getattr(image, "n_frames", 1), ANIMATION_PIXELS // pixels)):
        image.seek(number)
        image.load()


def is_gif_whole(file: BinaryIO) -> bool:
    """Whether each picture of a GIF is there, as many as the budget allows decoded. Larger ones are not decoded."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        pictures, cut = _walk_gif(content)
    if not pictures:
        return False
    file.seek(0)
    try:
        with Image.open(file, formats=("GIF",)) as image:
            frames = image.n_frames
            decode_frames(image)
            decoded = frames * image.width * image.height <= ANIMATION_PIXELS
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return not cut
    except UNREADABLE:
        return False
    return frames >= pictures if decoded and cut != "frame" else not cut


def _walk_gif(data: Sliceable) -> tuple[int, str]:
    """How many pictures a GIF begins, and what it is cut in: `picture`, `frame` (before one), or nothing."""
    if len(data) < 13:
        return 0, "picture"
    place = 13 + _palette_bytes(data[10])
    pictures = 0
    while place < len(data) and data[place] in b"\x2c\x21":
        is_picture = data[place] == 0x2C
        cut = "picture" if is_picture else "frame" if data[place + 1 : place + 2] == b"\xf9" else ""
        pictures += is_picture
        if place + 10 > len(data):
            return pictures, cut
        place += 11 + _palette_bytes(data[place + 9]) if is_picture else 2
        while place < len(data) and data[place]:
            place += 1 + data[place]
        if place >= len(data):
            return pictures, cut
        place += 1
    return pictures, ""


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def is_large_whole(data: bytes, kind: str) -> bool:
    """Whether all rows of a JPEG or PNG are there; one with its end marker is taken without a look at its pixels."""
    if not ends_early(data, kind):
        return True
    return _is_jpeg_whole(data) if kind == "jpeg" else _is_png_whole(data)


def _is_jpeg_whole(data: bytes) -> bool:
    """Whether a JPEG shows the same pixels, drawn small, whatever follows its data."""
    plain = b"".join(without_side_data(data, "jpeg"))
    other = plain.removesuffix(END_OF_JPEG) + b"\x5a\xa5" * 4096 + END_OF_JPEG
    try:
        return _draw_small(plain) == _draw_small(other)
    except (OSError, ValueError, SyntaxError):
        return False


def _draw_small(data: bytes) -> bytes:
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
        image.draft("RGB", (image.width // _SHRUNK, image.height // _SHRUNK))
        pixels: bytes = image.tobytes()
        return pixels


def _is_png_whole(data: bytes) -> bool:
    """Whether the rows of a PNG unpack in full, without holding them."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _PNG_CHANNELS.get(colour, 4)
    wanted = sum(
        rows * (1 + (columns * bits + 7) // 8) for columns, rows in _passes(width, height, interlaced) if columns
    )
    unpacked = 0
    unpack = zlib.decompressobj()
    try:
        for piece in _png_pixels(data):
            unpacked += len(unpack.decompress(piece, _PIECE))
            while unpack.unconsumed_tail:
                unpacked += len(unpack.decompress(unpack.unconsumed_tail, _PIECE))
    except zlib.error:
        return False
    return bool(unpacked >= wanted)


def _passes(width: int, height: int, interlaced: int) -> Iterator[tuple[int, int]]:
    """Columns and rows of each pass of a PNG."""
    if not interlaced:
        yield width, height
        return
    for left, top, across, down in _ADAM7:
        yield max(0, -(-(width - left) // across)), max(0, -(-(height - top) // down))


def _png_pixels(data: bytes) -> Iterator[bytes]:
    place = 8
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + length]
        if name == b"IDAT":
            for start in range(0, len(body), _PIECE):
                yield body[start : start + _PIECE]
        place += 12 + length

"""Metadata of pictures (place, camera, other programs' notes), which is removed before they are sent.

Pixels are copied byte for byte; of what stands beside them only colour and orientation are kept, and what follows the
picture's end (a phone's film, a second picture) is left out. A missing end marker is added. Pure.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from typing import Final

Data = bytes | memoryview
KINDS: Final = ("jpeg", "png", "webp")
"""The formats whose side data can be taken out, as Pillow and MIME types name them."""

END_OF_JPEG: Final = b"\xff\xd9"
_SCAN_END: Final = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_KEPT_SEGMENTS: Final = {0xE0: b"JFIF\x00", 0xE2: b"ICC_PROFILE\x00", 0xEE: b"Adobe"}
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT: Final = frozenset(
    {b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi", b"sBIT", b"bKGD",
     b"acTL", b"fcTL", b"fdAT"}
)  # fmt: skip
_WEBP_KEPT: Final = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
_HAS_EXIF, _HAS_XMP = 0x08, 0x04


def without_side_data(data: Data, kind: str, orientation: int = 1, *, exif: bool = False) -> Iterator[Data]:
    """The file in pieces, of the formats in KINDS; `ValueError` for one that is not built as it should be.

    `exif` leaves all of EXIF in it, for a copy that is only read.
    """
    pieces = {"jpeg": _strip_jpeg, "png": _strip_png, "webp": _strip_webp}[kind]
    try:
        return iter(pieces(memoryview(data), orientation, exif))
    except (struct.error, IndexError) as error:
        raise ValueError("it ends early") from error


def ends_early(data: Data, kind: str) -> bool:
    """Whether a JPEG or PNG lacks its end marker."""
    view = memoryview(data)
    if kind == "png":
        place = 8
        while place + 12 <= len(view):
            length, name = struct.unpack_from(">I4s", view, place)
            if name == b"IEND":
                return False
            place += 12 + length
        return True
    return not any(marker == 0xD9 for marker in _list_markers(view))


def _list_markers(view: memoryview) -> Iterator[int]:
    """The markers of a JPEG, in their order; none behind a place where there should be one."""
    place = 2
    while place + 2 <= len(view) and view[place] == 0xFF:
        while place < len(view) and view[place] == 0xFF:
            place += 1
        if place == len(view):
            return
        marker = view[place]
        place += 1
        yield marker
        if marker == 0xD9:
            return
        if marker in _ALONE:
            continue
        if place + 2 > len(view):
            return
        place += struct.unpack_from(">H", view, place)[0]
        if marker == 0xDA:
            found = _SCAN_END.search(view, place)
            place = found.start() if found else len(view)


def _make_orientation_exif(orientation: int) -> bytes:
    """EXIF with nothing but the orientation; empty where the picture is upright."""
    if orientation not in range(2, 9):
        return b""
    return b"II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHIHHI", 0x0112, 3, 1, orientation, 0, 0)


def _strip_jpeg(data: memoryview, orientation: int, exif: bool) -> Sequence[Data]:
    if bytes(data[:2]) != b"\xff\xd8":
        raise ValueError("no JPEG")
    tiff = _make_orientation_exif(orientation)
    head = struct.pack(">BBH", 0xFF, 0xE1, len(tiff) + 8) + b"Exif\x00\x00" + tiff if tiff else b""
    pieces: list[Data] = [data[:2]]
    place = 2
    while place < len(data):
        if data[place] != 0xFF:
            raise ValueError("no marker")
        start = place
        while place < len(data) and data[place] == 0xFF:
            place += 1
        if place == len(data):
            break
        marker = data[place]
        place += 1
        if marker == 0xD9:
            break
        if marker in _ALONE:
            pieces.append(data[start:place])
            continue
        end = place + struct.unpack_from(">H", data, place)[0]
        if marker == 0xDA:
            found = _SCAN_END.search(data, end)
            end = found.start() if found else len(data)
        if head and marker != 0xE0:
            pieces.append(head)
            head = b""
        begin = bytes(data[place + 2 : place + 14])
        if _is_kept_segment(marker, begin) or (exif and marker == 0xE1 and begin.startswith(b"Exif\x00")):
            pieces.append(data[start:end])
        place = end
    return [*pieces, END_OF_JPEG]


def _is_kept_segment(marker: int, begin: bytes) -> bool:
    """Tables, frames and scans; of the programs' own segments only those that tell how colours are meant."""
    if marker == 0xFE:
        return False
    if not 0xE0 <= marker <= 0xEF:
        return True
    return begin.startswith(_KEPT_SEGMENTS.get(marker, b"-"))


def _strip_png(data: memoryview, orientation: int, exif: bool) -> Sequence[Data]:
    if bytes(data[:8]) != _PNG:
        raise ValueError("no PNG")
    pieces: list[Data] = [data[:8]]
    tiff = _make_orientation_exif(orientation)
    place = 8
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if name == b"IDAT" and tiff:
            pieces.append(_png_chunk(b"eXIf", tiff))
            tiff = b""
        if name in _PNG_KEPT or not name[0] & 0x20 or (exif and name == b"eXIf"):
            pieces.append(data[place:end])
        place = end
        if name == b"IEND":
            break
    return pieces


def _png_chunk(name: bytes, body: bytes) -> bytes:
    import zlib

    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _strip_webp(data: memoryview, orientation: int, exif: bool) -> Sequence[Data]:
    if bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"WEBP":
        raise ValueError("no WebP")
    end = min(len(data), 8 + struct.unpack_from("<I", data, 4)[0])
    tiff = _make_orientation_exif(orientation)
    pieces: list[Data] = []
    extended = False
    place = 12
    while place + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, place)
        after = place + 8 + length + length % 2
        if name == b"VP8X" and length >= 10:
            extended = True
            flags = data[place + 8] & ~(_HAS_EXIF | _HAS_XMP) | (_HAS_EXIF if tiff or exif else 0)
            pieces += [data[place : place + 8], bytes([flags]), data[place + 9 : after]]
        elif name in _WEBP_KEPT or (exif and name == b"EXIF"):
            pieces.append(data[place:after])
        place = after
    if tiff and extended:
        pieces.append(struct.pack("<4sI", b"EXIF", len(tiff)) + tiff)
    size = 4 + sum(len(each) for each in pieces)
    return [struct.pack("<4sI4s", b"RIFF", size, b"WEBP"), *pieces]

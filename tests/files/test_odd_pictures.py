"""Pictures of more kinds than people know they have: each looks as it should, upright, and tells nothing private."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from nemo_client import from_file, read_pixels
from nemo_client._files.images import check_file
from tests.files.test_pictures import P3, card, corners, near, profile, seen_through, sent_bytes

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
XMP_ELEMENT = b"<x:xmpmeta><rdf:Description><tiff:Orientation>6</tiff:Orientation></rdf:Description></x:xmpmeta>"


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_of_16_bits(image: Image.Image, given: bytes = b"") -> bytes:
    levels = np.asarray(image).astype(">u2") * 257
    head = struct.pack(">IIBBBBB", image.width, image.height, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    colour = chunk(b"iCCP", b"x\0\0" + zlib.compress(given)) if given else b""
    pieces = chunk(b"IHDR", head), colour, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def tiff_of_16_bits(image: Image.Image) -> bytes:
    data = (np.asarray(image).astype("<u2") * 257).astype("<u2").tobytes()
    tags = [
        (256, 3, 1, image.width), (257, 3, 1, image.height), (258, 3, 3, 122), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 128), (277, 3, 1, 3), (278, 3, 1, image.height), (279, 4, 1, len(data)),
    ]  # fmt: skip
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + table + struct.pack("<3H", 16, 16, 16) + data


def heic(image: Image.Image, *more: Image.Image, **options: Any) -> bytes:
    heif = pytest.importorskip("pillow_heif").from_pillow(image)
    for each in more:
        heif.add_from_pillow(each)
    out = io.BytesIO()
    heif.save(out, quality=95, **options)
    return out.getvalue()


def p3() -> Image.Image:
    image = seen_through(card(), P3)
    image.info["icc_profile"] = P3
    return image


def turned() -> Image.Image:
    return card().transpose(Image.Transpose.ROTATE_90)


def exif(orientation: int = 6) -> bytes:
    made = Image.Exif()
    made[0x0112] = orientation
    return made.tobytes()


def png_info(name: str, text: str, **options: Any) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(name, text, **options)
    return info


def before_end(png: bytes, *more: bytes) -> bytes:
    """A PNG with chunks behind its pixels."""
    return png[:-12] + b"".join(more) + png[-12:]


def lab() -> Image.Image:
    made = ImageCms.profileToProfile(
        card(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert made is not None
    return made


LOOKS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "JPEG for print": ("a.jpg", lambda: encoded(card().convert("CMYK"), "JPEG", quality=95)),
    "JPEG for print with a profile of another kind": (
        "a.jpg", lambda: encoded(card().convert("CMYK"), "JPEG", quality=95, icc_profile=P3)
    ),
    "PNG of 16 bits": ("a.png", lambda: png_of_16_bits(card())),
    "PNG of 16 bits in P3": ("a.png", lambda: png_of_16_bits(seen_through(card(), P3), P3)),
    "TIFF of 16 bits": ("a.tif", lambda: tiff_of_16_bits(card())),
    "TIFF in Lab": ("a.tif", lambda: encoded(lab(), "TIFF")),
    "TIFF in YCbCr": ("a.tif", lambda: encoded(card().convert("YCbCr"), "TIFF")),
    "PNG with a palette in P3": ("a.png", lambda: encoded(p3().quantize(8), "PNG", icc_profile=P3)),
    "PNG with a see-through palette in P3": (
        "a.png", lambda: encoded(p3().quantize(8), "PNG", icc_profile=P3, transparency=bytes([255] * 8))
    ),
    "two pictures of a phone in P3": (
        "a.jpg", lambda: encoded(p3(), "MPO", save_all=True, append_images=[card(32, 24)], icc_profile=P3, quality=95)
    ),
    "HEIC in P3": ("a.heic", lambda: heic(p3())),
    "HEIC of two pictures": ("a.heic", lambda: heic(card(), card(32, 24))),
    "moving AVIF": (
        "a.avif",
        lambda: encoded(card(), "AVIF", save_all=True, append_images=[card().rotate(90)], quality=95),
    ),
    "pages": ("a.tif", lambda: encoded(card(), "TIFF", save_all=True, append_images=[card().rotate(90)])),
    "JPEG with a profile of grey": ("a.jpg", lambda: encoded(card(), "JPEG", quality=95, icc_profile=GREY)),
    "half a profile": ("a.jpg", lambda: encoded(card(), "JPEG", quality=95, icc_profile=P3[:200])),
    "JPEG with fill bytes": (
        "a.jpg", lambda: encoded(card(), "JPEG", quality=95).replace(b"\xff\xdb", b"\xff" * 5 + b"\xdb")
    ),
    "orientation of PNG": ("a.png", lambda: encoded(turned(), "PNG", exif=exif())),
    "orientation behind the pixels": (
        "a.png", lambda: before_end(encoded(turned(), "PNG"), chunk(b"eXIf", exif()[6:]))
    ),
    "orientation of WebP": ("a.webp", lambda: encoded(turned(), "WEBP", exif=exif(), quality=95)),
    "orientation of AVIF": ("a.avif", lambda: encoded(turned(), "AVIF", exif=exif(), quality=95)),
    "orientation of HEIC": ("a.heic", lambda: heic(turned(), exif=exif())),
    "orientation in XMP of JPEG": ("a.jpg", lambda: encoded(turned(), "JPEG", xmp=XMP, quality=95)),
    "orientation in XMP's element": ("a.jpg", lambda: encoded(turned(), "JPEG", xmp=XMP_ELEMENT, quality=95)),
    "orientation in XMP of PNG": (
        "a.png", lambda: encoded(turned(), "PNG", pnginfo=png_info("XML:com.adobe.xmp", XMP.decode()))
    ),
    "orientation in XMP of WebP": ("a.webp", lambda: encoded(turned(), "WEBP", xmp=XMP, quality=95)),
    "orientation in XMP of TIFF": ("a.tif", lambda: encoded(turned(), "TIFF", tiffinfo={700: XMP})),
}  # fmt: skip
GREY = profile()[:16] + b"GRAY" + profile()[20:]


@pytest.mark.parametrize(("name", "data"), LOOKS.values(), ids=LOOKS)
def test_a_picture_is_sent_as_it_looks(name: str, data: Callable[[], bytes], tmp_path: Path) -> None:
    """Upright, in its colours; what is read of it and what is sent show the same, and a dry run knows its key."""
    path = tmp_path / name
    path.write_bytes(data())
    media = from_file(path)

    assert near(corners(read_pixels(path)), by=10)
    with Image.open(io.BytesIO(sent_bytes(media))) as sent:
        given = sent.info.get("icc_profile", b"")
        shown = sent if sent.mode in ("RGB", "CMYK") else sent.convert("RGBA").convert("RGB")
        if given == P3 and shown.mode == "RGB":
            srgb = ImageCms.createProfile("sRGB")
            shown = ImageCms.profileToProfile(shown, ImageCms.ImageCmsProfile(io.BytesIO(given)), srgb) or shown
        assert near(corners(np.asarray(shown.convert("RGB"))), by=10)
        assert sent.size == (64, 48)
    assert check_file(path) == media.fingerprint


def gps() -> bytes:
    made = Image.Exif()
    made[0x010F] = "PRIVATE maker"
    made.get_ifd(0x8825)[29] = "PRIVATE"
    return made.tobytes()


def jpeg() -> bytes:
    return encoded(card(), "JPEG", quality=95, exif=gps())


SECRETS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a phone's film behind its picture": ("a.jpg", lambda: jpeg() + b"\0\0\0\x18ftypmp42PRIVATE" * 9),
    "a comment behind the end": ("a.jpg", lambda: jpeg() + b"\xff\xfe\0\x09PRIVATE"),
    "a comment and captions in front": (
        "a.jpg", lambda: jpeg()[:2] + b"\xff\xfe\0\x09PRIVATE\xff\xed\0\x09PRIVATE" + jpeg()[2:]
    ),
    "a second end": ("a.jpg", lambda: jpeg() + b"PRIVATE\xff\xd9"),
    "a prompt, packed": ("a.png", lambda: encoded(card(), "PNG", pnginfo=png_info("prompt", "PRIVATE", zip=True))),
    "a workflow": ("a.png", lambda: encoded(card(), "PNG", pnginfo=png_info("workflow", "PRIVATE"))),
    "a time and an own chunk behind the pixels": (
        "a.png", lambda: before_end(encoded(card(), "PNG"), chunk(b"tEXt", b"a\0PRIVATE"), chunk(b"caBX", b"PRIVATE"))
    ),
    "what follows a PNG": ("a.png", lambda: encoded(card(), "PNG") + b"PRIVATE"),
    "WebP": ("a.webp", lambda: encoded(card(), "WEBP", quality=95, exif=gps(), xmp=b"PRIVATE")),
    "what follows a WebP": ("a.webp", lambda: encoded(card(), "WEBP", quality=95) + b"PRIVATE"),
    "AVIF": ("a.avif", lambda: encoded(card(), "AVIF", quality=95, exif=gps(), xmp=b"PRIVATE")),
    "HEIC": ("a.heic", lambda: heic(card(), exif=gps())),
    "TIFF": ("a.tif", lambda: encoded(card(), "TIFF", tiffinfo={270: "PRIVATE", 700: b"PRIVATE"})),
}  # fmt: skip


@pytest.mark.parametrize(("name", "data"), SECRETS.values(), ids=SECRETS)
def test_nothing_private_leaves_with_a_picture(name: str, data: Callable[[], bytes], tmp_path: Path) -> None:
    """Wherever it stands; the pixels stay."""
    path = tmp_path / name
    path.write_bytes(data())
    sent = sent_bytes(from_file(path))

    assert b"PRIVATE" not in sent
    with Image.open(io.BytesIO(sent)) as image:
        assert near(corners(np.asarray(image.convert("RGB"))), by=10)


@pytest.mark.parametrize("name", ["a.jp2", "a.j2k", "a.ico", "a.tga", "a.ppm"])
def test_other_formats_are_refused_in_words(name: str, tmp_path: Path) -> None:
    """Before anything is sent, with what can be."""
    card().save(tmp_path / name)

    for look in (check_file, from_file):
        with pytest.raises(Exception, match="HEIC, AVIF, BMP and TIFF are converted"):
            look(tmp_path / name)

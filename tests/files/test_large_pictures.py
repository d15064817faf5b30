"""Pictures of more pixels than are decoded whole: sent as they are or shrunk with a word, and bombs refused."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from nemo_client import InputError, from_file, from_pixels
from nemo_client._files import large_pictures as large
from nemo_client._files.images import check_file, judge_file
from nemo_client._files.thumbnails import make_picture_thumbnail
from nemo_client.local.render.errors import RenderError
from nemo_client.local.render.pictures import load_picture
from nemo_client.local.render.plan import Motion
from nemo_client.local.sessions.probe import probe
from nemo_client.local.shared.replies import ApiError
from tests.files.test_limits_media import heic_bomb, jpeg_bomb, png_bomb, webp_bomb
from tests.files.test_pictures import P3, card, corners, near, seen_through, sent_bytes


@pytest.fixture
def _low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The card of 64 x 48 is a large picture."""
    monkeypatch.setattr(large, "MAX_PIXELS", 3000)
    monkeypatch.setattr(large, "SHRUNK_PIXELS", 1000)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    if path.suffix == ".heic":
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.from_pillow(image).save(path, quality=95, **options)
    else:
        image.save(path, **options)
    return path


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(Image.new("L", image.size, 200))
    return image


LARGE: dict[str, tuple[str, Callable[[], Image.Image], dict[str, Any]]] = {
    "TIFF": ("a.tif", card, {}),
    "TIFF of a scanner": ("a.tiff", card, {"compression": "tiff_lzw"}),
    "TIFF for print": ("a.tif", lambda: card().convert("CMYK"), {"compression": "tiff_deflate"}),
    "TIFF with a palette": ("a.tif", lambda: card().quantize(8), {"compression": "packbits"}),
    "TIFF with transparency": ("a.tif", lambda: with_alpha(card()), {}),
    "BMP": ("a.bmp", card, {}),
    "WebP": ("a.webp", card, {"quality": 95}),
    "WebP without loss": ("a.webp", card, {"lossless": True}),
    "WebP with transparency": ("a.webp", lambda: with_alpha(card()), {"quality": 95}),
    "AVIF": ("a.avif", card, {"quality": 95}),
    "HEIC": ("a.heic", card, {}),
    "WebP under another name": ("a.jpg", card, {"format": "WEBP", "quality": 95}),
}


@pytest.mark.usefixtures("_low_limits")
@pytest.mark.parametrize(("name", "image", "options"), LARGE.values(), ids=LARGE)
def test_what_is_converted_is_shrunk_with_a_word(
    name: str, image: Callable[[], Image.Image], options: dict[str, Any], tmp_path: Path
) -> None:
    """It counts by its bytes, the look beforehand says the same, and the words tell both sizes."""
    path = save(tmp_path / name, image(), **options)
    media, judged = from_file(path), judge_file(path)

    with Image.open(io.BytesIO(sent_bytes(media))) as sent:
        assert sent.size == (32, 24)
        assert near(corners(np.asarray(sent.convert("RGB"))), by=14)
    assert media.fingerprint == judged.fingerprint == check_file(path)
    assert media.fingerprint.startswith("file:")
    assert media.notice is not None
    assert judged.notice == media.notice == f"{name} has 64 x 48 pixels and is uploaded smaller: 32 x 24."
    assert media.mark in media.name


@pytest.mark.usefixtures("_low_limits")
@pytest.mark.parametrize("name", ["a.tif", "a.webp", "a.avif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_it_is_upright_and_in_srgb(name: str, orientation: int, tmp_path: Path) -> None:
    """As a smaller picture would be; the words tell its size as people see it."""
    back = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    image = seen_through(card(), P3)
    turn = back[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / name
    (image.transpose(turn) if turn is not None else image).save(path, icc_profile=P3, exif=exif, quality=95)
    media = from_file(path)

    with Image.open(io.BytesIO(sent_bytes(media))) as sent:
        assert sent.size == (32, 24)
        assert near(corners(np.asarray(sent.convert("RGB"))), by=14)
    assert "64 x 48" in str(media.notice)


@pytest.mark.usefixtures("_low_limits")
@pytest.mark.parametrize("levels", [np.uint16, np.float32, np.int32])
def test_more_than_eight_bits_are_scaled_not_cut(levels: Any, tmp_path: Path) -> None:
    """A ramp stays a ramp."""
    ramp = np.tile(np.linspace(0, 65535, 64), (48, 1)).astype(levels)
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    with Image.open(io.BytesIO(sent_bytes(from_file(tmp_path / "a.tif")))) as sent:
        row = np.asarray(sent.convert("L"))[12].astype(int)

    assert (len(row), row[0] < 8, row[-1] > 246) == (32, True, True)


@pytest.mark.usefixtures("_low_limits")
@pytest.mark.parametrize("kind", ["tif", "webp", "avif", "bmp"])
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_half_a_large_picture_is_told(kind: str, share: float, tmp_path: Path) -> None:
    """It is not sent smaller instead."""
    noise = np.random.default_rng(2).integers(0, 256, (80, 80, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{kind}", **({"quality": 90} if kind in ("webp", "avif") else {}))
    data = (tmp_path / f"a.{kind}").read_bytes()
    (tmp_path / f"a.{kind}").write_bytes(data[: int(len(data) * share)])

    for look in (check_file, from_file):
        with pytest.raises(InputError) as caught:
            look(tmp_path / f"a.{kind}")
        assert caught.value.id == "image-damaged"


@pytest.mark.usefixtures("_low_limits")
def test_a_large_animation_goes_as_it_is(tmp_path: Path) -> None:
    """A shrunk one would not move."""
    card().save(tmp_path / "a.webp", save_all=True, append_images=[card().rotate(90)], duration=90)
    media = from_file(tmp_path / "a.webp")

    assert (media.mime, media.notice) == ("image/webp", None)
    with Image.open(io.BytesIO(sent_bytes(media))) as sent:
        assert getattr(sent, "n_frames", 1) == 2


@pytest.mark.usefixtures("_low_limits")
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_large_jpeg_or_png_goes_as_it_is_however_its_orientation_is_noted(kind: str, tmp_path: Path) -> None:
    """By XMP alone, too, which is taken out: so it is noted by EXIF."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    path = tmp_path / f"a.{kind.lower()}"
    if kind == "JPEG":
        card().save(path, xmp=xmp)
    else:
        from PIL import PngImagePlugin

        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        card().save(path, pnginfo=info)
    media = from_file(path)

    assert media.notice is None
    with Image.open(io.BytesIO(sent_bytes(media))) as sent:
        assert (sent.size, sent.getexif()[0x0112]) == ((64, 48), 6)
        assert b"xmpmeta" not in sent_bytes(media)


@pytest.mark.usefixtures("_low_limits")
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_out_of_a_graph_are_shrunk_where_that_is_asked_for(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They count as they were given, so that the same request is found whatever is sent for it."""
    pixels = np.random.default_rng(1).integers(0, 256, (60, 80, channels), np.uint8)
    media = from_pixels(pixels, shrink=True)

    assert media.notice is not None
    with Image.open(io.BytesIO(sent_bytes(media))) as sent:
        assert sent.size == (27, 20)
    with pytest.raises(InputError, match="pixels can be used"):
        from_pixels(pixels)
    monkeypatch.setattr(large, "MAX_PIXELS", 89_000_000)
    assert media.fingerprint == from_pixels(pixels).fingerprint


def test_pixels_that_take_more_bytes_than_can_be_sent_go_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is small packs them better than what it is converted to; it counts as it was."""
    monkeypatch.setattr(large, "SHRUNK_PIXELS", 1000)
    noise = np.random.default_rng(3).integers(0, 256, (48, 64, 4), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.tif")
    whole = from_file(tmp_path / "a.tif")
    monkeypatch.setattr("nemo_client._files.images.MAX_UPLOAD_BYTES", len(sent_bytes(whole)) - 1)
    media = from_file(tmp_path / "a.tif")

    assert media.fingerprint == whole.fingerprint == check_file(tmp_path / "a.tif")
    assert media.notice == "a.tif has 64 x 48 pixels and is uploaded smaller: 32 x 24."
    with Image.open(io.BytesIO(sent_bytes(media))) as sent:
        assert sent.size == (32, 24)


# --- Bombs ------------------------------------------------------------------------------------------------------------

MEGA = 1_000_000


@pytest.mark.parametrize(
    ("pixels", "length", "as_is", "bomb"),
    [
        (108, 5 * MEGA, True, False),
        (108, 337_000, True, False),  # of one colour
        (200, 8 * MEGA, True, False),
        (900, 150 * MEGA, True, False),  # a panorama
        (90, 11_000, True, True),
        (1000, 125_000, True, True),
        (900, 2_600_000, True, True),  # a gigapixel of one colour
        (4225, 700, True, True),
        (108, 25_000, False, False),
        (557, MEGA, False, False),  # a scanned drawing
        (108, 2_000, False, True),
        (268, 90, False, True),
    ],
)
def test_a_bomb_is_known_by_its_pixels_a_byte(pixels: int, length: int, as_is: bool, bomb: bool) -> None:
    """Not by the number of its pixels alone."""
    size = (pixels * 1000, 1000)
    if not bomb:
        large.check_ratio(size, length, as_is=as_is)
        return
    with pytest.raises(InputError, match="89 million"):
        large.check_ratio(size, length, as_is=as_is)


@pytest.mark.parametrize(
    ("kind", "megapixels"), [("tiff", 400), ("bmp", 400), ("webp", 200), ("heic", 200), ("avif", 200)]
)
def test_no_picture_takes_more_memory_than_two_gigabytes(kind: str, megapixels: int) -> None:
    """Phones' pictures fit; what does not is told before it is decoded."""
    large.check_memory((megapixels * 1000, 1000), kind)
    with pytest.raises(InputError) as caught:
        large.check_memory((1_500_000, 1000), kind)

    assert caught.value.id == "image-too-large"


@pytest.mark.usefixtures("_low_limits")
def test_large_pictures_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    """However many are read side by side."""
    card().save(tmp_path / "a.tif")
    done = threading.Event()

    def read() -> None:
        from_file(tmp_path / "a.tif")
        done.set()

    with large.DECODING:
        thread = threading.Thread(target=read)
        thread.start()
        assert not done.is_set()
    thread.join(60)
    assert done.is_set()


# --- The local preview ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(12_000, 9_000), (16_320, 12_240)], ids=["108 megapixels", "200 megapixels"])
def test_the_local_preview_takes_phones_pictures(
    size: tuple[int, int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Measured, drawn and shown as a thumbnail at a fraction, and not a word of Pillow's reaches stderr."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    Image.new("L", size, 200).save(path, exif=exif)
    with warnings.catch_warnings():
        warnings.resetwarnings()
        found = probe(path, "a.jpg")
        picture = load_picture(path, (480, 854), Motion("static"))
        small = make_picture_thumbnail(path, 64)

    assert (found.width, found.height) == size[::-1]
    assert picture.size == (480, 854)
    with Image.open(io.BytesIO(small)) as shown:
        assert shown.size == (48, 64)
    assert capfd.readouterr() == ("", "")


def test_the_local_preview_shrinks_a_png_that_it_decodes_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every mode; what comes of it is what a smaller picture shows."""
    monkeypatch.setattr("nemo_client.local.render.pictures.DRAWN_PIXELS", 1000)
    for number, image in enumerate((card(640, 480), card(640, 480).quantize(8), with_alpha(card(640, 480)))):
        image.save(tmp_path / f"{number}.png")
        picture = load_picture(tmp_path / f"{number}.png", (64, 48), Motion("static"))

        assert picture.size == (64, 48)


BOMBS: dict[str, Callable[[], bytes]] = {
    "png": lambda: png_bomb(40_000, 25_000),
    "jpg": lambda: jpeg_bomb(65_000, 65_000),
    "webp": lambda: webp_bomb(16_383, 16_383),
}


@pytest.mark.parametrize("suffix", BOMBS)
def test_the_local_preview_refuses_bombs_by_their_header(suffix: str, tmp_path: Path) -> None:
    """In words, and without Pillow's."""
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(BOMBS[suffix]())

    with pytest.raises(ApiError, match="more pixels than can be opened"):
        probe(path, path.name)
    with pytest.raises(RenderError, match="too many pixels"):
        load_picture(path, (64, 48), Motion("static"))
    with pytest.raises(InputError):
        make_picture_thumbnail(path, 64)


def test_a_heic_of_more_pixels_than_memory_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """Also where it says so of a part alone."""
    (tmp_path / "a.heic").write_bytes(heic_bomb(30_000, 30_000))

    with pytest.raises(InputError) as caught:
        from_file(tmp_path / "a.heic")
    assert caught.value.id == "image-too-large"


def test_a_phones_large_jpeg_shows_itself_whole(tmp_path: Path) -> None:
    """What goes out is what the file holds, whatever Pillow's own limit is."""
    path = tmp_path / "a.jpg"
    Image.new("L", (16_320, 12_240), 90).save(path)
    media = from_file(path)

    assert (media.notice, media.fingerprint) == (None, f"file:{media.sha256}")
    with JpegImagePlugin.JpegImageFile(io.BytesIO(sent_bytes(media))) as image:
        assert image.size == (16_320, 12_240)

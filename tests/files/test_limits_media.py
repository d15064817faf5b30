"""Pictures, films and files as no one means them: judged by what they say, before anything is decoded."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
import zlib
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import pytest
from PIL import Image

from nemo_client import InputError, Output, Studio, Wish, from_file, from_pixels, from_samples
from nemo_client._errors import RenderFailed
from nemo_client._files.images import MAX_PIXELS
from nemo_client._files.save import MAX_FRAME_PIXELS, Destination, _bound_decoder, check_video, read_last_frame
from tests.support.backend import write_video
from tests.support.memory import measured

needs_peak = pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read as Linux tells it")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def png_bomb(width: int, height: int) -> bytes:
    """A whole, valid PNG of one bit a pixel: a gigapixel takes 125 kB."""
    packed, row = zlib.compressobj(1), bytes(1 + (width + 7) // 8)
    rows = b"".join(packed.compress(row * 1000) for _ in range(height // 1000)) + packed.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def saved(kind: str, size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 90)).save(out, kind, **options)
    return out.getvalue()


def jpeg_bomb(width: int, height: int) -> bytes:
    """A JPEG whose header says another size."""
    data = bytearray(saved("JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_bomb(width: int, height: int) -> bytes:
    """A lossless WebP whose header says another size, fourteen bits a side at the most."""
    data = bytearray(saved("WEBP", lossless=True))
    at = data.index(b"\x2f", 20) + 1
    bits = int.from_bytes(data[at : at + 4], "little") >> 28
    data[at : at + 4] = ((bits << 28) | ((height - 1) << 14) | (width - 1)).to_bytes(4, "little")
    return bytes(data)


def gif_bomb(width: int, height: int) -> bytes:
    """A GIF of one pixel, in which a first picture lies that is far larger."""
    screen = struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    picture = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02D\x01\0"
    return b"GIF89a" + screen + picture + b";"


def heic_bomb(width: int, height: int, *, cropped: bool = False) -> bytes:
    """A HEIC whose properties say another size; `cropped`, that only a little of it is to be shown."""
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    try:
        pillow_heif.from_pillow(Image.new("RGB", (64, 48 if cropped else 64))).save(out)
    except (RuntimeError, ValueError, OSError) as error:
        pytest.skip(f"no HEIC encoder here: {error}")
    data = bytearray(out.getvalue())
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    assert (b"clap" in data) is cropped
    return bytes(data)


BOMBS = {
    "a gigapixel PNG": ("png", lambda: png_bomb(40_000, 25_000)),
    "a PNG where Pillow only warns": ("png", lambda: png_bomb(10_000, 9_000)),
    "a JPEG of 65,000 a side": ("jpg", lambda: jpeg_bomb(65_000, 65_000)),
    "a WebP of 16,383 a side": ("webp", lambda: webp_bomb(16_383, 16_383)),
    "a GIF of 65,535 a side": ("gif", lambda: gif_bomb(65_535, 65_535)),
    "a HEIC of 30,000 a side": ("heic", lambda: heic_bomb(30_000, 30_000)),
    "a HEIC that is cropped": ("heic", lambda: heic_bomb(30_000, 30_000, cropped=True)),
    "a HEIC under another name": ("jpg", lambda: heic_bomb(30_000, 30_000)),
}


@needs_peak
@pytest.mark.parametrize(("suffix", "made"), BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("pillows_limit", [True, False], ids=["", "without Pillow's own limit"])
def test_a_picture_of_too_many_pixels_is_never_decoded(
    suffix: str, made: Any, pillows_limit: bool, tmp_path: Path
) -> None:
    """Whatever another node pack has done to Pillow's limit, which first only warns."""
    bomb = tmp_path / f"bomb.{suffix}"
    bomb.write_bytes(made())

    said, megabytes = measured(f"""
import warnings
from pathlib import Path
from PIL import Image
from nemo_client import from_file
import nemo_client._files.images
warnings.simplefilter("ignore")
if not {pillows_limit}:
    Image.MAX_IMAGE_PIXELS = None
mark()
return from_file(Path({str(bomb)!r})).name
""")

    if suffix == "gif" and isinstance(said, str):  # sent as it is, never decoded
        assert megabytes < 60
        return
    assert said["error"] == "image-too-large", said
    assert "89 million" in said["text"]
    assert megabytes < 60


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (20_000, 3), (3, 65_501)], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_thin_and_tiny_pictures_can_be_sent(size: tuple[int, int], channels: int) -> None:
    """JPEG has a longest side; beyond it PNG takes over."""
    width, height = size
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, channels), np.uint8)

    media = from_pixels(pixels)

    with Image.open(io.BytesIO(media.content)) as image:  # type: ignore[arg-type]
        assert image.size == size


def test_pixels_beyond_the_limit_are_refused_before_they_are_copied() -> None:
    """An array that takes no memory itself."""
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (MAX_PIXELS // 1000 + 1, 1000, 3))

    with pytest.raises(InputError, match="at most 89 million"):
        from_pixels(huge)


@pytest.mark.parametrize("sides", [(0, 5), (5, 0), (0, 0)])
def test_a_picture_without_pixels_is_refused(sides: tuple[int, int]) -> None:
    """There is nothing to send."""
    with pytest.raises(InputError) as caught:
        from_pixels(np.zeros((*sides, 3), np.uint8))
    assert caught.value.id == "image-empty"


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000), (20_000, 100)], ids=str)
async def test_the_local_preview_animates_thin_and_tiny_pictures(size: tuple[int, int], tmp_path: Path) -> None:
    """The whole way, in its usual shapes."""
    width, height = size
    media = from_pixels(np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8))

    async with await Studio.open() as studio:
        video = await studio.animate(
            [media],
            Wish("slow push-in, no music", duration=0.2),
            Destination(tmp_path, "film"),
            Output("mp4", "low", "480p"),
        )

    assert min(video.width, video.height) >= 16
    assert read_last_frame(video.path).shape == (video.height, video.width, 3)


@pytest.mark.filterwarnings("ignore")  # Pillow also warns of damage
@pytest.mark.parametrize("cut", [0, 1, 10, 30, 100, -1, -20])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_cut_or_damaged_picture_is_one_typed_error(kind: str, cut: int, tmp_path: Path) -> None:
    """Or a picture, where the format can do without the rest."""
    data = bytearray(saved(kind))
    suffix = {"JPEG": "jpg", "TIFF": "tif"}.get(kind, kind.lower())
    files = [bytes(data[:cut]) if cut else b""]
    for at in range(0, len(data), max(len(data) // 25, 1)):
        files.append(bytes(data[:at]) + bytes([data[at] ^ 0xFF]) + bytes(data[at + 1 :]))

    for number, content in enumerate(files):
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(content)
        with contextlib.suppress(InputError):  # any other exception fails the test
            from_file(path)


def test_a_film_of_gigantic_pictures_is_not_decoded(tmp_path: Path) -> None:
    """Judged by what its header says."""
    film = tmp_path / "film.gif"
    side = 9000
    screen = struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    film.write_bytes(b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\0;")
    assert side * side > MAX_FRAME_PIXELS

    for look in (check_video, read_last_frame):
        with pytest.raises(RenderFailed) as caught:
            look(film)
        assert caught.value.id == "video-broken"


@pytest.mark.parametrize("rate", [0, -1, 10**9])
def test_sound_at_an_odd_rate_is_refused(rate: int) -> None:
    """A WAV file could not say it."""
    with pytest.raises(InputError):
        from_samples(np.zeros((1, 100), np.float32), rate)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_sound_that_is_no_number_is_refused(value: float) -> None:
    """Also where it becomes so when channels are mixed; what is only loud is clipped."""
    samples = np.full((5, 100), value, np.float32)

    with np.errstate(over="ignore"), pytest.raises(InputError, match="invalid values"):
        from_samples(samples, 48_000)


def test_a_film_is_judged_by_its_header_and_by_its_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each alone suffices: what a file says of its size is only what it says."""
    film = write_video(tmp_path / "film.mp4")
    monkeypatch.setattr("nemo_client._files.save.MAX_FRAME_PIXELS", 1000)

    for look in (check_video, read_last_frame):
        with pytest.raises(RenderFailed) as caught:
            look(film)
        assert caught.value.id == "video-broken"
    with pytest.raises(ValueError, match="too large"):
        _bound_decoder(cast("Any", SimpleNamespace(width=100, height=100, codec_context=SimpleNamespace())))
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        _bound_decoder(cast("Any", SimpleNamespace(width=1, height=1, codec_context=stream.codec_context)))
        with pytest.raises(av.FFmpegError):
            list(container.decode(stream))

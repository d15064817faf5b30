"""Damage is found before anything is sent: in films, sounds, animations and pictures too large to be decoded here."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from nemo_client import InputError, from_file
from nemo_client._files.images import check_file
from nemo_client._files.picture_check import is_large_whole
from tests.support.films import CONTAINERS, FILMS, SOUNDS, animation, film, sound


def judged(path: Path) -> str:
    """The id of the error before anything is sent, the same in a dry run and on the way to an upload; else empty."""
    found: list[InputError | None] = []
    for look in (check_file, from_file):
        try:
            look(path)
            found.append(None)
        except InputError as error:
            found.append(error)
    ids = [error.id if error else "" for error in found]
    assert ids[0] == ids[1]
    assert all(path.name in error.text(lang) for error in found if error for lang in ("en", "zh"))
    return ids[0]


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [*FILMS, *SOUNDS])
def test_whole_films_and_sounds_are_taken(suffix: str, tmp_path: Path) -> None:
    """Of every kind that the backend takes."""
    data = film(suffix) if suffix in FILMS else sound(suffix)

    assert judged(written(tmp_path / f"a.{suffix}", data)) == ""


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("suffix", [*FILMS, "mp3", "m4a", "aac", "wav"])
def test_a_film_or_sound_that_was_cut_is_told(suffix: str, share: float, tmp_path: Path) -> None:
    """Half a download is named, with the reason, wherever the cut is."""
    data = film(suffix) if suffix in FILMS else sound(suffix)

    found = judged(written(tmp_path / f"cut.{suffix}", data[: int(len(data) * share)]))

    assert found in ("media-cut", "media-unreadable", "media-broken")


@pytest.mark.parametrize("movflags", ["+faststart", "+frag_keyframe+empty_moov"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_cut_is_found_where_the_index_stands_in_front(movflags: str, share: float, tmp_path: Path) -> None:
    """Such a film opens as if nothing was missing."""
    data = film("mp4", movflags)

    assert judged(written(tmp_path / "a.mp4", data)) == ""
    assert judged(written(tmp_path / "a.mp4", data[: int(len(data) * share)])) == "media-cut"


@pytest.mark.parametrize("suffix", ["mkv", "webm", "avi"])
def test_a_film_without_the_index_at_its_end_is_whole(suffix: str, tmp_path: Path) -> None:
    """Every packet is there; players build the index themselves."""
    data = film(suffix)
    index = data.rfind(b"\x1c\x53\xbb\x6b") if suffix != "avi" else data.rfind(b"idx1")
    assert index > len(data) // 2

    assert judged(written(tmp_path / f"a.{suffix}", data[: index + 6])) == ""


@pytest.mark.parametrize("suffix", ["mp4", "mov", "avi", "webm"])
def test_key_frames_that_hold_no_picture_are_told(suffix: str, tmp_path: Path) -> None:
    """All packets are there, and nothing in them: a disk that lost the content, not the length."""
    data = bytearray(film(suffix, "+faststart") if suffix in ("mp4", "mov") else film(suffix))
    with av.open(io.BytesIO(bytes(data))) as container:
        places = [(each.pos, each.size) for each in container.demux(video=0) if each.size and each.pos]
    for place, size in places:
        if suffix == "webm":
            place = data.find(b"\xa3", place) + 8 if data[place] != 0xA3 else place + 8
            size = max(size - 16, 0)
        data[place : place + size] = b"\xff" * size

    assert judged(written(tmp_path / f"a.{suffix}", bytes(data))) in ("media-broken", "media-cut", "media-unreadable")


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm"])
def test_a_film_without_a_picture_is_told_so(suffix: str, tmp_path: Path) -> None:
    """Sound alone under a film's name."""
    codec = "libopus" if suffix == "webm" else "aac"
    out = io.BytesIO()
    with av.open(out, "w", format=CONTAINERS.get(suffix, suffix)) as container:
        track: Any = container.add_stream(codec, rate=48_000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), format="s16", layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = 48_000, 0, Fraction(1, 48_000)
        resampler = av.AudioResampler(track.codec_context.format or "fltp", "mono", 48_000, 960)
        for piece in resampler.resample(samples):
            container.mux(track.encode(piece))
        container.mux(track.encode(None))

    assert judged(written(tmp_path / f"song.{suffix}", out.getvalue())) == "media-no-picture"


def test_a_sound_of_unknown_length_or_with_tags_behind_it_is_whole(tmp_path: Path) -> None:
    """A recorder that never wrote its length, an ID3v1 tag, a byte that only fills up."""
    data = sound("wav")
    at = data.index(b"data") + 4
    for length in (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024):
        assert judged(written(tmp_path / "a.wav", data[:at] + struct.pack("<I", length) + data[at + 4 :])) == ""
    tag = b"TAG" + b"song".ljust(125, b"\0")
    for suffix in ("mp3", "aac"):
        assert judged(written(tmp_path / f"a.{suffix}", sound(suffix) + tag)) == ""


def test_a_wav_that_lacks_samples_is_told(tmp_path: Path) -> None:
    """Its head says how many there are."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(3)
        file.setframerate(48_000)
        file.writeframes(bytes(6 * 48_000))

    assert judged(written(tmp_path / "a.wav", out.getvalue()[:-600])) == "media-cut"


# --- Animations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.35, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_that_was_cut_is_told(kind: str, share: float, tmp_path: Path) -> None:
    """Its first frame shows nothing of it."""
    data = animation(kind)
    path = tmp_path / f"a.{kind.lower()}"

    assert judged(written(path, data)) == ""
    assert judged(written(path, data[: int(len(data) * share)])) == "image-damaged"


@pytest.mark.parametrize(("kind", "end"), [("GIF", 1), ("GIF", 2), ("PNG", 12)])
def test_an_animation_without_its_end_marker_is_whole(kind: str, end: int, tmp_path: Path) -> None:
    """All rows of all frames are there."""
    assert judged(written(tmp_path / f"a.{kind.lower()}", animation(kind)[:-end])) == ""


@pytest.mark.parametrize(
    "content", [b"GIF89a", b"GIF87a\x01\0\x01\0\0\0\0", b"GIF89a\x08\0\x08\0\x80\0\0" + bytes(6) + b";"]
)
def test_a_gif_without_a_picture_is_told(content: bytes, tmp_path: Path) -> None:
    """A head alone is no picture."""
    assert judged(written(tmp_path / "a.gif", content)) == "image-damaged"


# --- Pictures of more pixels than are decoded here -------------------------------------------------------------------


def large(kind: str) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((400, 300), 60).convert("RGB").save(out, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "left", "whole"),
    [
        ("jpeg", lambda data: data, True),
        ("jpeg", lambda data: data[:-2], True),
        ("jpeg", lambda data: data[: len(data) // 2], False),
        ("jpeg", lambda data: data[: len(data) * 97 // 100], False),
        ("png", lambda data: data, True),
        ("png", lambda data: data[:-12], True),
        ("png", lambda data: data[: len(data) // 2], False),
        ("png", lambda data: data[:-300], False),
    ],
)
def test_a_large_picture_is_judged_without_being_held(
    kind: str, left: Callable[[bytes], bytes], whole: bool, tmp_path: Path
) -> None:
    """Rows are counted, or drawn small: a missing end marker is no damage, missing rows are."""
    assert is_large_whole(left(large(kind.upper())), kind) is whole


def test_half_of_a_phones_108_megapixels_is_told(tmp_path: Path) -> None:
    """It goes as it is, but not half of it."""
    tile = np.random.default_rng(5).integers(0, 256, (90, 120), np.uint8)
    Image.fromarray(tile).resize((12_000, 9_000), Image.Resampling.BILINEAR).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()

    assert judged(written(tmp_path / "b.jpg", data[: len(data) * 8 // 10])) == "image-damaged"


# --- Pages ----------------------------------------------------------------------------------------------------------


def test_a_tiff_whose_preview_comes_first_is_its_picture(tmp_path: Path) -> None:
    """Cameras and scanners put a small one in front."""
    from nemo_client._files.images import read_pixels

    small, whole = Image.new("RGB", (16, 12), (9, 9, 9)), Image.new("RGB", (64, 48), (200, 40, 40))
    whole.encoderinfo = {"tiffinfo": {254: 0}}
    small.save(tmp_path / "a.tif", save_all=True, append_images=[whole], tiffinfo={254: 1})

    assert judged(tmp_path / "a.tif") == ""
    assert read_pixels(tmp_path / "a.tif").shape == (48, 64, 3)

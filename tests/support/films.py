"""Small films, sounds and animations of every kind that can be uploaded, made once."""

from __future__ import annotations

import io
import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

FILMS = {
    "mp4": ("libx264", {}), "mov": ("libx264", {"movflags": "+faststart"}), "mkv": ("libx264", {}),
    "webm": ("libvpx-vp9", {}), "avi": ("mpeg4", {}),
}  # fmt: skip
SOUNDS = {"mp3": "libmp3lame", "m4a": "aac", "aac": "aac", "wav": "pcm_s16le"}
CONTAINERS = {"mkv": "matroska", "m4a": "mp4", "aac": "adts"}


@cache
def film(suffix: str, movflags: str = "") -> bytes:
    """Two seconds of moving noise, so that its packets have some size."""
    codec, options = FILMS[suffix]
    given = {"movflags": movflags} if movflags else options
    return encoded(suffix, given, codec, None)


@cache
def sound(suffix: str) -> bytes:
    return encoded(suffix, {}, None, SOUNDS[suffix])


def encoded(suffix: str, options: dict[str, str], picture: str | None, heard: str | None) -> bytes:
    with (
        tempfile.TemporaryDirectory() as folder,
        av.open(f"{folder}/a", "w", format=CONTAINERS.get(suffix, suffix), options=options) as container,
    ):
        if picture:
            stream: Any = container.add_stream(picture, rate=25, options={"g": "12"})
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            noise = np.random.default_rng(3).integers(0, 256, (8, 64, 96, 3), np.uint8)
            for number in range(50):
                frame = av.VideoFrame.from_ndarray(noise[number % 8], format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame.reformat(format="yuv420p")))
            container.mux(stream.encode(None))
        if heard:
            track: Any = container.add_stream(heard, rate=44_100, layout="mono")
            tone = (np.sin(np.arange(88_200) / 16) * 9000).astype(np.int16)[None]
            samples = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 44_100, 0, Fraction(1, 44_100)
            resampler = av.AudioResampler(track.codec_context.format or "s16", "mono", 44_100, 1024)
            for piece in [*resampler.resample(samples), *resampler.resample(None)]:
                container.mux(track.encode(piece))
            container.mux(track.encode(None))
        container.close()
        return Path(folder, "a").read_bytes()


def animation(kind: str) -> bytes:
    pictures = [
        Image.effect_noise((64, 48), 20.0 + number).convert("P" if kind == "GIF" else "RGB") for number in range(5)
    ]
    out = io.BytesIO()
    pictures[0].save(out, kind, save_all=True, append_images=pictures[1:], duration=80)
    return out.getvalue()

"""Sound as something to upload: samples as a WAV file, the one form that loses nothing and is the same every time."""

from __future__ import annotations

import hashlib
import io
import math
import wave
from typing import Final

import numpy as np
import numpy.typing as npt

from ._errors import InputError
from ._media import Media, check_size, wire_name

MAX_CHANNELS: Final = 2


def from_samples(samples: npt.NDArray[np.float32], rate: int) -> Media:
    """A sound from samples, shape [channels, n], in -1..1, at `rate` Hz: 16-bit WAV.

    More than two channels are mixed to mono. Raises `InputError` for no samples or values that are no numbers, and
    `FileTooLarge` above the backend's limit. Blocks.
    """
    if samples.ndim != 2 or samples.shape[1] < 1 or not 1 <= rate <= 768_000:
        raise InputError("audio-shape", shape="x".join(str(side) for side in samples.shape), rate=rate)
    if samples.shape[0] > MAX_CHANNELS:
        samples = samples.mean(axis=0, keepdims=True)
    check_size("audio.wav", samples.size * 2)
    if not math.isfinite(float(samples.min())) or not math.isfinite(float(samples.max())):
        raise InputError("audio-not-finite")
    levels = np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(levels.shape[0])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(levels.T).tobytes())
    content = out.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    fingerprint = f"file:{digest}"
    return Media(fingerprint, wire_name("audio", fingerprint, "wav"), "audio/wav", content, kept=f"{digest}.wav")

"""Sound as something to upload: samples as a WAV file, the one form that loses nothing and is the same every time."""

from __future__ import annotations

import hashlib
import io
import math
import wave
from typing import Final

import numpy as np
import numpy.typing as npt

from .._errors import InputError
from .images import Media, check_size, wire_name

MAX_CHANNELS: Final = 2
LAYOUTS: Final[dict[int, tuple[str, ...]]] = {
    3: ("L", "R", "C"),
    4: ("L", "R", "Ls", "Rs"),
    5: ("L", "R", "C", "Ls", "Rs"),
    6: ("L", "R", "C", "LFE", "Ls", "Rs"),
    7: ("L", "R", "C", "LFE", "Cs", "Ls", "Rs"),
    8: ("L", "R", "C", "LFE", "Ls", "Rs", "Ls", "Rs"),
}
"""The channels of surround sound in the order of WAV and of FFmpeg's decoders."""

_HALF_POWER: Final = math.sqrt(0.5)
_WEIGHTS: Final = {"L": 1.0, "R": 0.0, "C": _HALF_POWER, "LFE": 0.0, "Ls": _HALF_POWER, "Rs": 0.0, "Cs": 0.5}
_MIRRORED: Final = {"L": "R", "R": "L", "Ls": "Rs", "Rs": "Ls"}


def from_samples(samples: npt.NDArray[np.float32], rate: int) -> Media:
    """A sound from samples in -1..1, shape [channels, n], at `rate` Hz, as 16-bit WAV.

    More than two channels are mixed to stereo. Raises `InputError` for no samples or values that are not numbers, and
    `FileTooLarge` above the backend's limit. Blocks.
    """
    if samples.ndim != 2 or samples.size < 1 or not 1 <= rate <= 768_000:
        raise InputError("audio-shape", shape="x".join(str(side) for side in samples.shape), rate=rate)
    older = ""
    if samples.shape[0] > MAX_CHANNELS:
        older = _compute_fingerprint(_as_wav(samples.mean(axis=0, keepdims=True), rate))
        samples = _in_stereo(samples)
    content = _as_wav(samples, rate)
    fingerprint = _compute_fingerprint(content)
    kept = f"{fingerprint.removeprefix('file:')}.wav"
    return Media(fingerprint, wire_name("audio", fingerprint, "wav"), "audio/wav", content, older=older, kept=kept)


def _as_wav(samples: npt.NDArray[np.float32], rate: int) -> bytes:
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
    return out.getvalue()


def _compute_fingerprint(content: bytes) -> str:
    return f"file:{hashlib.sha256(content).hexdigest()}"


def _in_stereo(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """More than two channels as two, by ITU-R BS.775: the centre to both, the surrounds to their sides, at -3 dB.

    The low-frequency channel is left out, as there. Scaled so that nothing can clip.
    """
    names = LAYOUTS.get(samples.shape[0])
    if names is None:  # no usual layout: all of it on both sides
        return np.repeat(samples.mean(axis=0, keepdims=True), 2, axis=0)
    left = np.array([_WEIGHTS[name] for name in names], np.float32)
    right = np.array([_WEIGHTS[_MIRRORED.get(name, name)] for name in names], np.float32)
    mixed: npt.NDArray[np.float32] = np.stack([left, right]) / max(left.sum(), 1.0) @ samples
    return mixed

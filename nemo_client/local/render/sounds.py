"""The sound of a plan: bed, uploaded audio and the clips' own sound, mixed block by block.

Samples are float32 [2, n] in -1..1 at 48 kHz. Files are decoded forward as the mix goes on and never held as a whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from ..shared.media_file import DAMAGE, open_media
from .errors import RenderError
from .music import RATE, Samples, bed
from .plan import Plan

MAX_AT_ONCE = 16
_EDGE_MS, _BED_EDGE_MS = 30.0, 1200.0


@dataclass
class _Voice:
    """One sound in the mix, in samples; `path` None is the bed."""

    path: Path | None
    start: int
    end: int
    volume: float
    fade_in: int
    fade_out: int
    required: bool = True
    reader: _Reader | None = None


class Mixer:
    """Makes the sound of a whole plan in order; a context manager, for the files it opens."""

    def __init__(self, plan: Plan, assets: Mapping[str, Path]) -> None:
        self._voices = _voices(plan, assets)
        self._position = 0
        self._open = ExitStack()

    def __enter__(self) -> Mixer:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take(self, count: int) -> Samples:
        """The next `count` samples."""
        mixed: Samples = np.zeros((2, count), np.float32)
        begin, end = self._position, self._position + count
        self._position = end
        sounding = [voice for voice in self._voices if voice.start < end and begin < voice.end]
        for voice in sounding[:MAX_AT_ONCE]:
            low, high = max(begin, voice.start), min(end, voice.end)
            mixed[:, low - begin : high - begin] += self._open_voice(voice, low, high)
        self._drop_ended(end)
        return np.clip(mixed, -1.0, 1.0)

    def _open_voice(self, voice: _Voice, low: int, high: int) -> Samples:
        if voice.path is None:
            samples = bed(low - voice.start, high - low)
        else:
            if voice.reader is None:
                voice.reader = self._open.enter_context(_Reader(voice.path, required=voice.required))
            samples = voice.reader.take(high - low)
        at = np.arange(low, high)
        rising = (at - voice.start + 1) / voice.fade_in
        falling = (voice.end - at) / voice.fade_out
        envelope = np.minimum(1.0, np.minimum(rising, falling)) * voice.volume
        return samples * envelope.astype(np.float32)

    def _drop_ended(self, position: int) -> None:
        for voice in self._voices:
            if voice.reader and voice.end <= position:
                voice.reader.close()
                voice.reader = None
        self._voices = [voice for voice in self._voices if voice.end > position]


class _Reader:
    """An audio file as stereo samples at 48 kHz, read forward; silence after its end."""

    def __init__(self, path: Path, *, required: bool) -> None:
        try:
            self._container = open_media(path)
        except DAMAGE as error:
            raise RenderError("an audio file cannot be opened; it may be damaged") from error
        self._blocks: Iterator[Samples] = iter(())
        self._left: deque[Samples] = deque()
        if self._container.streams.audio:
            self._blocks = self._decode_samples()
        elif required:
            self._container.close()
            raise RenderError("an audio file has no sound in it")

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def take(self, count: int) -> Samples:
        """The next `count` samples."""
        taken: Samples = np.zeros((2, count), np.float32)
        done = 0
        while done < count:
            block = self._left.popleft() if self._left else next(self._blocks, None)
            if block is None:
                break
            fits = min(count - done, block.shape[1])
            taken[:, done : done + fits] = block[:, :fits]
            done += fits
            if fits < block.shape[1]:
                self._left.appendleft(block[:, fits:])
        return taken

    def _decode_samples(self) -> Iterator[Samples]:
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
        try:
            for frame in self._container.decode(audio=0):
                frame.pts = None
                for resampled in resampler.resample(frame):
                    yield resampled.to_ndarray().astype(np.float32, copy=False)
        except DAMAGE:
            # A damaged end is an end, as in a player.
            return


def _voices(plan: Plan, assets: Mapping[str, Path]) -> list[_Voice]:
    voices = []
    for sound in plan.sounds:
        path = assets[sound.asset] if sound.asset is not None else None
        edge = _EDGE_MS if path else _BED_EDGE_MS
        voices.append(_open_voice(path, sound.start, min(sound.end, plan.duration), sound.volume, edge, edge))
    for shot in plan.shots:
        if shot.kind == "video":
            rise = max(_EDGE_MS, shot.fade)
            voice = _open_voice(assets[shot.asset], shot.start, shot.end, shot.volume, rise, _EDGE_MS)
            voice.required = False
            voices.append(voice)
    return [voice for voice in voices if voice.end > voice.start and voice.volume > 0]


def _open_voice(path: Path | None, start: float, end: float, volume: float, rise: float, fall: float) -> _Voice:
    first, last = (round(moment / 1000 * RATE) for moment in (start, end))
    longest = max(1, (last - first) // 3)
    fades = [min(longest, max(1, round(edge / 1000 * RATE))) for edge in (rise, fall)]
    return _Voice(path, first, last, volume, fades[0], fades[1])

"""A quiet bed of music, made from sines: slow chords, a soft bass, now and then a plucked note.

Every block is computed from its position alone, so any stretch of any length can be made without what came before.
Samples are float32 [2, n] in -1..1 at 48 kHz.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RATE = 48_000
Samples = npt.NDArray[np.float32]

# Four chords of four seconds, as semitones from A3 (220 Hz): Am7, Fmaj7, C, G6; the first note is the root.
_CHORDS = ((0, 3, 7, 10), (-4, 0, 3, 7), (3, 7, 10, 15), (-2, 2, 5, 10))
_CHORD_SECONDS = 4.0
_PLUCK_SECONDS = 1.0
_PLUCKS = (2, 1, 3, 2, 0, 3, 1, 2)
_PAD_LEVEL, _BASS_LEVEL, _PLUCK_LEVEL = 0.055, 0.09, 0.07


def bed(first: int, count: int) -> Samples:
    """`count` samples of the bed from sample `first` on."""
    mixed: Samples = np.zeros((2, count), np.float32)
    done = 0
    length = int(_CHORD_SECONDS * RATE)
    # Chord by chord, and each one's tail under the beginning of the next.
    while done < count:
        at = first + done
        run = min(count - done, length - at % length)
        moment = ((at % length) + np.arange(run)) / RATE
        bar = at // length
        part = _play_chord(bar, moment) + _play_plucks(bar, moment)
        if bar:
            part += _fade_chord(bar - 1, moment)
        mixed[:, done : done + run] = part
        done += run
    return mixed


def _play_chord(bar: int, moment: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The held chord: every note twice, a little apart in pitch, one to each side."""
    swell = 1.0 - np.exp(-moment / 0.6)
    return swell * _sum_tones(bar, moment)


def _fade_chord(bar: int, moment: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What still rings of the chord before."""
    fade = np.exp(-moment / 0.35) * (1.0 - np.exp(-_CHORD_SECONDS / 0.6))
    ring = moment < 2.5
    part: npt.NDArray[np.float64] = np.zeros((2, len(moment)))
    part[:, ring] = fade[ring] * _sum_tones(bar, moment[ring] + _CHORD_SECONDS)
    return part


def _sum_tones(bar: int, moment: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    chord = _CHORDS[bar % len(_CHORDS)]
    sides = np.zeros((2, len(moment)))
    for note in chord:
        for side, detune in enumerate((0.9985, 1.0015)):
            sides[side] += _PAD_LEVEL * np.sin(2 * np.pi * _compute_pitch(note) * detune * moment)
    return sides + _BASS_LEVEL * np.sin(2 * np.pi * _compute_pitch(chord[0] - 12) * moment)


def _play_plucks(bar: int, moment: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """One note of the chord, an octave up, each second; it has died away before the next."""
    chord = _CHORDS[bar % len(_CHORDS)]
    beat = (moment // _PLUCK_SECONDS).astype(np.int64)
    order = np.array([_compute_pitch(chord[_PLUCKS[(bar * 4 + step) % len(_PLUCKS)]] + 12) for step in range(4)])
    since = moment - beat * _PLUCK_SECONDS
    envelope = np.exp(-since * 5.0) * np.minimum(1.0, since / 0.008) * np.minimum(1.0, (1.0 - since) / 0.02)
    tone = np.sin(2 * np.pi * order[beat] * since)
    sides: npt.NDArray[np.float64] = _PLUCK_LEVEL * envelope * tone * np.array([[0.8], [1.0]])
    return sides


def _compute_pitch(semitone: int) -> float:
    return float(220.0 * 2 ** (semitone / 12))

"""What a draft of the local preview says, as values; and back into the draft's short keys.

Pure. A draft is `{"t": tracks, "d": ms, "m": {width, height, fps, title}}`; a track `{"tt": 0 video | 1 audio | 7
text, "sg": segments}`; a segment `{"st": start ms, "d": ms, "m": …}`. A segment with a transition overlaps the one
before by the transition's `d`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

FPS = 30
SHORT_SIDE = 1080
LONG_SIDE = 1920
RATIOS = ("9:16", "16:9", "1:1", "4:5", "3:4", "4:3", "21:9")

MIN_CLIP_MS = 500
TRANSITION_MS = 600
TITLE_MS = 3000
MUSIC_TITLE = "Lo-fi"
MUSIC_VOLUME = 0.35


@dataclass(frozen=True)
class Clip:
    title: str
    asset: str
    kind: str
    motion: str
    amount: float
    d: int  # ms
    transition: int = 0  # ms of cross-fade with the clip before; 0 is a cut


@dataclass(frozen=True)
class Timeline:
    clips: tuple[Clip, ...]
    name: str
    width: int
    height: int
    music: float | None = None  # volume
    sound: tuple[str, str] | None = None  # asset and name of an uploaded piece of music, instead of the quiet bed
    title: str | None = None

    @property
    def length(self) -> int:
        return sum(clip.d - clip.transition for clip in self.clips)

    @property
    def ratio(self) -> str:
        return nearest_ratio(self.width / self.height)

    def to_draft(self) -> dict[str, Any]:
        tracks: list[dict[str, Any]] = [{"tt": 0, "sg": self._write_video()}]
        length = self.length
        if self.music is not None:
            tracks.append({"tt": 1, "sg": [{"st": 0, "d": length, "m": self._write_music(self.music)}]})
        if self.title:
            words = {"title": self.title, "text": self.title}
            tracks.append({"tt": 7, "sg": [{"st": 0, "d": min(TITLE_MS, length), "m": words}]})
        size = {"width": self.width, "height": self.height, "fps": FPS, "title": self.name}
        return {"t": tracks, "d": length, "m": size}

    def _write_music(self, volume: float) -> dict[str, Any]:
        if self.sound is None:
            return {"title": MUSIC_TITLE, "volume": volume, "source": "bed"}
        asset, name = self.sound
        return {"title": name, "volume": volume, "source": "upload", "asset": asset}

    def _write_video(self) -> list[dict[str, Any]]:
        segments, start = [], 0
        for clip in self.clips:
            start -= clip.transition
            about: dict[str, Any] = {"title": clip.title, "asset": clip.asset, "kind": clip.kind}
            if clip.kind == "image" or clip.motion != "static":
                about["motion"] = {"type": clip.motion, "amount": clip.amount}
            if clip.transition:
                about["transition"] = {"type": "cross_fade", "d": clip.transition}
            segments.append({"st": start, "d": clip.d, "m": about})
            start += clip.d
        return segments


def from_draft(draft: Mapping[str, Any]) -> Timeline | None:
    """The timeline of a draft that `to_draft` wrote; None for the empty draft of a new session."""
    tracks = {track["tt"]: track["sg"] for track in draft.get("t", ())}
    if not tracks.get(0):
        return None
    sounds, titles = tracks.get(1), tracks.get(7)
    music = sounds[0]["m"] if sounds else {}
    return Timeline(
        clips=tuple(_read_clip(segment) for segment in tracks[0]),
        name=draft["m"]["title"],
        width=draft["m"]["width"],
        height=draft["m"]["height"],
        music=music.get("volume"),
        sound=(music["asset"], music["title"]) if "asset" in music else None,
        title=titles[0]["m"]["text"] if titles else None,
    )


def _read_clip(segment: Mapping[str, Any]) -> Clip:
    about = segment["m"]
    motion = about.get("motion", {"type": "static", "amount": 0.0})
    transition = about.get("transition", {"d": 0})["d"]
    return Clip(
        about["title"], about["asset"], about["kind"], motion["type"], motion["amount"], segment["d"], transition
    )


def size_of(ratio: str) -> tuple[int, int]:
    """Width and height of a ratio: the long side at most 1920, the short one at most 1080, both even."""
    across, down = (int(part) for part in ratio.split(":"))
    scale = min(LONG_SIDE / max(across, down), SHORT_SIDE / min(across, down))
    return round(across * scale / 2) * 2, round(down * scale / 2) * 2


def nearest_ratio(value: float) -> str:
    """The supported ratio whose shape is nearest to width / height = `value`."""

    def distance(ratio: str) -> float:
        across, down = (int(part) for part in ratio.split(":"))
        shape = across / down
        return max(shape / value, value / shape)

    return min(RATIOS, key=distance)


def with_length(clips: Sequence[Clip], total: int) -> tuple[Clip, ...]:
    """The same clips stretched or cut in proportion, so that together, overlaps counted, they last `total` ms."""
    total = max(total, MIN_CLIP_MS * len(clips))
    longest_fade = total // len(clips) // 3
    faded = [replace(clip, transition=min(clip.transition, longest_fade)) for clip in clips]
    return _stretch_clips(fit_clips(_stretch_clips(faded, total)), total)


def fit_clips(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """The same clips, each fading in for no more than a third of itself and of the one before."""
    shorter = [min(clip.d, before.d) for clip, before in zip(clips, (clips[0], *clips), strict=False)]
    return tuple(
        replace(clip, transition=min(clip.transition, least // 3)) for clip, least in zip(clips, shorter, strict=True)
    )


def _stretch_clips(clips: Sequence[Clip], total: int) -> tuple[Clip, ...]:
    """Lengths in proportion that sum to `total` and the fades; where that would be too short, the least there is."""
    left = total + sum(clip.transition for clip in clips)
    lengths: dict[int, int] = {}
    order = sorted(range(len(clips)), key=lambda number: clips[number].d)
    for place, number in enumerate(order):  # the shortest first: what the least takes, the longer ones give
        weight = sum(clips[other].d for other in order[place:])
        lengths[number] = max(MIN_CLIP_MS, round(clips[number].d * left / weight))
        left -= lengths[number]
    lengths[order[-1]] += left
    return tuple(replace(clip, d=lengths[number]) for number, clip in enumerate(clips))

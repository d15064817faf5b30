"""Changing a timeline by what a message asks for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..sessions.store import Asset
from .answers import seconds_text
from .phrases import LAST, LOUDER, NORMAL, QUIETER, Wishes
from .timeline import MUSIC_VOLUME, TRANSITION_MS, Clip, Timeline, fit_clips, size_of, with_length

MAX_CLIPS = 50
EACH_MS = 3000
AMOUNT_RANGE = (0.04, 0.6)
_PACE = {"slower": 0.6, "faster": 1.6}
_VOLUME_STEP = 0.15


@dataclass
class Change:
    """The timeline so far, what was done to it (name and facts), and the id of a sentence if it was refused."""

    timeline: Timeline
    done: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: str = ""

    def to(self, timeline: Timeline, name: str, **facts: Any) -> None:
        if timeline != self.timeline:
            self.timeline = timeline
            self.done.append((name, facts))


def apply(wishes: Wishes, timeline: Timeline, pictures: Sequence[Asset]) -> Change:
    """Do everything that is asked for, in an order in which each finds what it needs."""
    change = Change(timeline)
    _remove_clips(wishes, change)
    if change.refused:
        return change
    _append_clips(wishes, change, pictures)
    _change_frame(wishes, change)
    _change_motion(wishes, change)
    _change_fades(wishes, change)
    _change_length(wishes, change)
    _titles_and_music(wishes, change)
    return change


def _remove_clips(wishes: Wishes, change: Change) -> None:
    if "clip" in wishes.remove:
        clips = change.timeline.clips
        index = _find_index(wishes.clip, clips)
        if len(clips) == 1:
            change.refused = "only_clip"
            return
        if index is not None:
            left = [clip for number, clip in enumerate(clips) if number != index]
            left[0] = replace(left[0], transition=0)
            change.to(replace(change.timeline, clips=fit_clips(left)), "remove_clip", clip=index + 1)
    if "title" in wishes.remove:
        change.to(replace(change.timeline, title=None), "remove_title")
    if "music" in wishes.remove:
        change.to(replace(change.timeline, music=None), "remove_music")


def _find_index(clip: int | None, clips: Sequence[Clip]) -> int | None:
    """The place of the clip that is meant; None when there is no such clip."""
    if clip == LAST:
        return len(clips) - 1
    return clip - 1 if clip and 1 <= clip <= len(clips) else None


def _append_clips(wishes: Wishes, change: Change, pictures: Sequence[Asset]) -> None:
    clips = change.timeline.clips
    used = {clip.asset for clip in clips}
    fresh = [asset for asset in pictures if asset["id"] not in used][: MAX_CLIPS - len(clips)]
    if not wishes.append or not fresh:
        return
    like = clips[-1]
    fade = clips[-1].transition or TRANSITION_MS
    new = [
        Clip(asset["filename"], asset["id"], asset["kind"], like.motion, like.amount, EACH_MS, fade) for asset in fresh
    ]
    change.to(replace(change.timeline, clips=fit_clips((*clips, *new))), "append", count=len(new))


def _change_frame(wishes: Wishes, change: Change) -> None:
    if wishes.ratio:
        width, height = size_of(wishes.ratio)
        change.to(replace(change.timeline, width=width, height=height), "ratio", ratio=wishes.ratio)


def _change_motion(wishes: Wishes, change: Change) -> None:
    clips = change.timeline.clips
    only = _find_index(wishes.clip, clips) if "clip" not in wishes.remove else None
    if wishes.motions:
        moved = tuple(
            replace(clip, motion=wishes.motions[number % len(wishes.motions)], amount=wishes.amount or NORMAL)
            if only in (None, number)
            else clip
            for number, clip in enumerate(clips)
        )
        change.to(replace(change.timeline, clips=moved), "motion", motion=wishes.motions[0])
    elif wishes.pace:
        low, high = AMOUNT_RANGE
        factor = _PACE[wishes.pace]
        paced = tuple(
            replace(clip, amount=round(min(high, max(low, clip.amount * factor)), 3))
            if only in (None, number)
            else clip
            for number, clip in enumerate(clips)
        )
        change.to(replace(change.timeline, clips=paced), "pace", pace=wishes.pace)


def _change_fades(wishes: Wishes, change: Change) -> None:
    clips = change.timeline.clips
    if wishes.fade is None or len(clips) < 2:
        return
    fade = round(wishes.fade * 1000)
    faded = (clips[0], *(replace(clip, transition=fade) for clip in clips[1:]))
    whole = with_length(faded, change.timeline.length)
    name = "remove_fades" if fade == 0 else "fades"
    change.to(replace(change.timeline, clips=whole), name)


def _change_length(wishes: Wishes, change: Change) -> None:
    clips = change.timeline.clips
    total = wishes.seconds_each * len(clips) if wishes.seconds_each else wishes.seconds
    if total:
        timeline = replace(change.timeline, clips=with_length(clips, round(total * 1000)))
        change.to(timeline, "duration", seconds=seconds_text(timeline.length))


def _titles_and_music(wishes: Wishes, change: Change) -> None:
    if wishes.title:
        change.to(replace(change.timeline, title=wishes.title), "title", title=wishes.title)
    if wishes.music and change.timeline.music is None:
        change.to(replace(change.timeline, music=MUSIC_VOLUME), "music")
    volume = change.timeline.music
    if wishes.volume is None or volume is None:
        return
    if wishes.volume in (QUIETER, LOUDER):
        volume += _VOLUME_STEP if wishes.volume == LOUDER else -_VOLUME_STEP
    else:
        volume = wishes.volume
    volume = round(min(1.0, max(0.0, volume)), 2)
    change.to(replace(change.timeline, music=volume), "volume", volume=round(volume * 100))

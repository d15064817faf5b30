"""Words become a draft: a new one from uploaded pictures, or the one at hand changed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..sessions.store import Asset, upright_ratio
from . import answers
from .edits import Change, apply
from .phrases import GENTLE, LAST, NORMAL, Wishes, is_chinese, read
from .timeline import (
    MUSIC_TITLE,
    MUSIC_VOLUME,
    TRANSITION_MS,
    Clip,
    Timeline,
    from_draft,
    nearest_ratio,
    size_of,
    with_length,
)

DEFAULT_MS = 5000
EACH_MS = 3000
MAX_CLIPS = 50
SOUND_VOLUME = 0.8

Kind = Literal["generation", "edit", "answer"]


@dataclass(frozen=True)
class Scene:
    """What a message is about: the session's files and draft, its language and name."""

    assets: Sequence[Asset]
    draft: Mapping[str, Any]
    language: str
    name: str
    missing_glyphs: Callable[[str], str]


@dataclass(frozen=True)
class Stage:
    """One tool call of the agent, and the draft as it is after it. `clip` names the asset of a new raw clip."""

    tool: str
    args: Mapping[str, Any]
    draft: Mapping[str, Any]
    clip: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a message leads to. Only generations and edits have stages, and only they cost."""

    kind: Kind
    reply: str
    thought: str = ""
    intro: str = ""
    stages: tuple[Stage, ...] = field(default=())
    question: Mapping[str, Any] | None = None  # what the agent asks through its tool instead of working
    ticket: Mapping[str, Any] | None = None  # what that tool answers at once
    must_speak: bool = False  # the reply holds a warning, so a silent edit would lose it


def plan(message: str, scene: Scene) -> Plan:
    """What to do for `message`: generate, edit, or only answer (with a question when no picture was uploaded)."""
    wishes = read(message)
    chinese = is_chinese(message) or (scene.language.startswith("zh") and message.isascii() is False)
    pictures = [asset for asset in scene.assets if asset["kind"] != "audio"][:MAX_CLIPS]
    timeline = from_draft(scene.draft)
    if wishes.chat and not (wishes.edits or wishes.generate):
        return Plan("answer", answers.say("chat", chinese=chinese))
    if not pictures:
        return Plan("answer", answers.say("need_image", chinese=chinese))
    if timeline is None or wishes.generate:
        return _plan_generation(wishes, pictures, scene, chinese)
    return _plan_edit(wishes, timeline, pictures, scene, chinese)


def _plan_generation(wishes: Wishes, pictures: Sequence[Asset], scene: Scene, chinese: bool) -> Plan:
    raw = _raw_timeline(wishes, pictures, scene.name)
    whole = _with_music(replace(raw, title=wishes.title), wishes, scene)
    motion = answers.motion_name(raw.clips[0].motion, chinese=chinese)
    args = {"prompt": motion, "duration": raw.length / 1000, "ratio": raw.ratio}
    stages = [Stage("generate_video_with_seedance", args, raw.to_draft(), raw.clips[0].asset)]
    operations: list[dict[str, Any]] = []
    if whole.music is not None:
        operations.append({"op": "add_bgm", "name": whole.sound[1] if whole.sound else MUSIC_TITLE})
    if wishes.title:
        operations.append({"op": "add_title", "text": wishes.title})
    if operations:
        stages.append(Stage("edit_multitrack", {"ops": operations}, whole.to_draft()))
    warning = _glyph_warning(wishes.title, scene, chinese)
    what = f"{len(raw.clips)}张图片" if chinese else "photo" if len(raw.clips) == 1 else f"{len(raw.clips)} photos"
    return Plan(
        "generation",
        reply=answers.ready(whole, chinese=chinese) + warning,
        thought=f"{len(raw.clips)} clip(s), {raw.length / 1000:g} s, {raw.ratio}, {raw.clips[0].motion}.",
        intro=answers.say("intro", chinese=chinese, what=what, motion=motion),
        stages=tuple(stages),
        must_speak=True,
    )


def _with_music(timeline: Timeline, wishes: Wishes, scene: Scene) -> Timeline:
    """An uploaded piece of music, else the quiet bed, unless the message wants none."""
    if "music" in wishes.remove:
        return timeline
    uploaded = [(asset["id"], asset["filename"]) for asset in scene.assets if asset["kind"] == "audio"]
    sound = uploaded[-1] if uploaded else None
    volume = SOUND_VOLUME if sound else MUSIC_VOLUME
    if wishes.volume is not None and 0 <= wishes.volume <= 1:
        volume = wishes.volume
    return replace(timeline, music=volume, sound=sound)


def _raw_timeline(wishes: Wishes, pictures: Sequence[Asset], name: str) -> Timeline:
    shown = _leave_out(pictures, wishes.clip) if "clip" in wishes.remove and len(pictures) > 1 else list(pictures)
    motions = wishes.motions or ("push_in",)
    if len(shown) == 1 and wishes.in_turn and len(motions) > 1:
        shown = shown * len(motions)
    amount = wishes.amount or (NORMAL if wishes.motions else GENTLE)
    fade = TRANSITION_MS if wishes.fade is None else round(wishes.fade * 1000)
    clips = [
        Clip(
            title=asset["filename"],
            asset=asset["id"],
            kind=asset["kind"],
            motion=motions[number % len(motions)] if asset["kind"] == "image" or wishes.motions else "static",
            amount=amount,
            d=_natural_ms(asset, several=len(shown) > 1),
            transition=fade if number else 0,
        )
        for number, asset in enumerate(shown)
    ]
    total = sum(clip.d for clip in clips)
    if wishes.seconds_each:
        total = round(wishes.seconds_each * 1000) * len(clips)
    elif wishes.seconds:
        total = round(wishes.seconds * 1000)
    width, height = size_of(wishes.ratio or nearest_ratio(upright_ratio(shown[0]) or 16 / 9))
    return Timeline(with_length(clips, total), name, width, height)


def _natural_ms(asset: Asset, *, several: bool) -> int:
    if asset["kind"] == "video" and asset["duration"]:
        return max(1000, min(60_000, round(asset["duration"] * 1000)))
    return EACH_MS if several else DEFAULT_MS


def _leave_out(pictures: Sequence[Asset], clip: int | None) -> list[Asset]:
    index = len(pictures) - 1 if clip == LAST else (clip or 0) - 1
    return [asset for number, asset in enumerate(pictures) if number != index]


def _plan_edit(wishes: Wishes, timeline: Timeline, pictures: Sequence[Asset], scene: Scene, chinese: bool) -> Plan:
    if not wishes.edits:
        return Plan("answer", answers.say("nothing", chinese=chinese))
    change: Change = apply(wishes, timeline, pictures)
    if change.refused:
        return Plan("answer", answers.say(change.refused, chinese=chinese))
    if change.timeline == timeline:
        return Plan("answer", answers.say("unchanged", chinese=chinese))
    parts = [answers.word_done(name, chinese=chinese, **_name_facts(facts, chinese)) for name, facts in change.done]
    warning = _glyph_warning(wishes.title, scene, chinese)
    operations = [{"op": name, **facts} for name, facts in change.done]
    return Plan(
        "edit",
        reply=answers.say("edited", chinese=chinese, done=answers.join_parts(parts, chinese=chinese)) + warning,
        stages=(Stage("edit_multitrack", {"ops": operations}, change.timeline.to_draft()),),
        must_speak=bool(warning),
    )


def _name_facts(facts: Mapping[str, Any], chinese: bool) -> dict[str, Any]:
    return {
        name: answers.motion_name(value, chinese=chinese) if name == "motion" else value
        for name, value in facts.items()
    }


def _glyph_warning(title: str | None, scene: Scene, chinese: bool) -> str:
    missing = scene.missing_glyphs(title) if title else ""
    return answers.say("glyphs", chinese=chinese, glyphs=" ".join(missing)) if missing else ""

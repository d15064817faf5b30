"""What the scripted agent does in one turn: a list of steps, as plain JSON. No imports but the standard library's.

Steps
    {"say": text, "thought": false, "partial": false, "last": false}   a text; `last` sets turnComplete
    {"call": tool, "args": {}, "seconds": 0, "hold": false, "charge": 0, "draft": None, "media": [], "result": {},
     "late": None}
        a tool that works for `seconds`, or (`hold`) until the test lets it go; takes `charge` credits when it begins;
        puts `draft` and `media` into the state with its result, or, with `late`, that many seconds after its turn
    {"ask": {"title", "questions"}}     the pending call of `ask_question`, which ends the turn
    {"fail": text}                      an exception: an error inside the stream
    {"finish": code, "text": ""}        an event with `errorCode`
    {"linger": seconds}                 the connection stays open, silent, for so long after everything was said
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Step = dict[str, Any]


def draft(clips: int = 1, *, seconds: int = 5, music: bool = False, title: str = "") -> dict[str, Any]:
    """A draft in the backend's short keys: clips one after the other, and music and a title where they are wanted."""
    length = clips * seconds * 1000
    video = [
        {"id": f"clip-{n}", "st": n * seconds * 1000, "d": seconds * 1000, "m": {"title": f"clip {n + 1}"}}
        for n in range(clips)
    ]
    tracks: list[dict[str, Any]] = [{"tt": 0, "sg": video}]
    if music:
        tracks.append({"tt": 1, "sg": [{"id": "bgm", "st": 0, "d": length, "m": {"title": "Lo-fi"}}]})
    if title:
        tracks.append({"tt": 7, "sg": [{"id": "title", "st": 0, "d": 3000, "m": {"title": title}}]})
    return {"t": tracks, "d": length, "m": {"width": 720, "height": 1280}}


def generation(*, seconds: float = 0, hold: bool = False, clips: int = 1, title: str = "", **more: Any) -> list[Step]:
    """An introduction, the raw clip for 100 credits, its music, and a sentence: what a generation looks like."""
    work = {"seconds": seconds, "hold": hold, "charge": 100, "media": [f"media-{clips}{title}"], **more}
    return [
        {"say": "I will animate your picture."},
        {"call": "generate_video", "args": {"prompt": "push in"}, "draft": draft(clips, title=title), **work},
        {"call": "edit_multitrack", "args": {"ops": ["add_bgm"]}, "draft": draft(clips, music=True, title=title)},
        {"say": "Your video is ready! Click Export to save it.", "last": True},
    ]


def script_for(text: str) -> list[Step]:
    """The turn for a message that nothing was scripted for, by its words.

    `sleep 3`: a generation whose tool works 3 s. `just say …`: a text. `ask me`: a question. `fail`: an error.
    `silently`: an edit without a word. `title "…"`: an edit. Everything else is a generation.
    """
    lowered = text.lower()
    if "ask me" in lowered:
        options = [{"id": "slow", "label": "Slow"}, {"id": "fast", "label": "Fast"}]
        question = {"id": "pace", "prompt": "How fast shall the camera move?", "options": options}
        return [{"say": "One moment."}, {"ask": {"title": "The camera", "questions": [question]}}]
    if said := re.search(r"just say (.*)", text, re.IGNORECASE):
        return [{"say": said[1], "last": True}]
    if "fail" in lowered:
        return [{"call": "generate_video", "charge": 100}, {"fail": "upstream model overloaded"}]
    seconds = re.search(r"sleep (\d+(?:\.\d+)?)", lowered)
    if titled := re.search(r'title "(.*?)"', text):
        edit = {"call": "edit_multitrack", "charge": 50, "draft": draft(1, music=True, title=titled[1])}
        return [edit] if "silently" in lowered else [edit, {"say": "The title is there.", "last": True}]
    return generation(seconds=float(seconds[1]) if seconds else 0)


def calls_of(steps: Sequence[Step]) -> list[Step]:
    """The steps that are calls of a tool."""
    return [step for step in steps if "call" in step]

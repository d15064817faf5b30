"""Progress as typed events, and the callers that take it."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from .._text import messages
from .._text.vocabulary import READING_TOOL

Stage = Literal[
    "sign-up", "session", "encode", "upload", "wait", "queue", "plan", "generate", "edit", "chat", "settle", "record",
    "render", "download", "check", "done",
]  # fmt: skip


@dataclass(frozen=True)
class Progress:
    """How far a step is. `fraction` of this stage is in 0..1 or None; `tool` is the name of the backend's tool.

    `elapsed` and `quiet` (since the last sign of life) are in seconds, `left` is an estimate or None. `price`
    is the estimated cost in credits; None if it is not known yet, 0 if the step is free.
    """

    stage: Stage
    fraction: float | None = None
    tool: str = ""
    elapsed: float = 0.0
    quiet: float = 0.0
    left: float | None = None
    reused: bool = False
    price: float | None = None

    def later(self, seconds: float) -> Progress:
        """The same, so many seconds after it was told; an estimate that has run down is none."""
        left = None if self.left is None else self.left - seconds
        return replace(self, elapsed=self.elapsed + seconds, left=left if left and left >= 1 else None)

    def text(self, lang: str | None = None) -> str:
        """One line for people."""
        line = messages.say(f"stage.{self.stage}", lang)
        tool = self.tool.replace("_", " ") if self.stage == "render" else word_tool(self.tool, lang)
        if tool:
            line = messages.say("progress.tool", lang, stage=line, tool=tool)
        if self.reused:
            line = messages.say("progress.reused", lang, stage=line)
        if self.quiet >= STILL_WORKING_SECONDS:
            line += f" · {messages.say('progress.still', lang)}"
        if self.fraction is not None and self.stage in ("upload", "render", "download"):
            line += f" {self.fraction:.0%}"
        if self.elapsed >= 1:
            line += f" · {messages.say('progress.elapsed', lang, seconds=f'{self.elapsed:.0f}')}"
        if self.left is not None and self.left >= 1:
            line += f" · {messages.say('progress.left', lang, seconds=f'{self.left:.0f}')}"
        if self.price:
            line += f" · {messages.say('progress.price', lang, credits=f'{self.price:g}')}"
        return line


_TOOLS: Final = (
    (re.compile(r"music|audio|sound|bgm|voice|song|speech", re.IGNORECASE), "tool.sound"),
    (re.compile(r"title|text|caption|subtitle", re.IGNORECASE), "tool.titles"),
    (READING_TOOL, "tool.look"),
    (re.compile(r"edit|track|trim|cut|crop|effect|filter|transition|draft|timeline", re.IGNORECASE), "tool.edit"),
    (re.compile(r"video|clip|image|picture|generat|animat|render", re.IGNORECASE), "tool.video"),
)
"""What the backend's tools do, by words in their names; the first that fits counts."""


def word_tool(name: str, lang: str | None = None) -> str:
    """What a tool of the backend does, in plain words; empty for one that is not known: its name is for no people."""
    text_id = next((text_id for pattern, text_id in _TOOLS if name and pattern.search(name)), "")
    return messages.say(text_id, lang) if text_id else ""


FIRST_GUESS: Final = {"generate": 150.0, "edit": 30.0, "chat": 15.0, "export": 60.0}
"""Seconds that a step takes on the cloud, where none was seen on this machine yet (API description, "Endpoints")."""

STILL_WORKING_SECONDS = 120.0

OnProgress = Callable[[Progress], None]


def _ignore(_: Progress) -> None:
    return None


class Budget:
    """How many credits several callers may spend together (0 = no limit): the items of a list, or one run of a node.

    A message counts with its estimate once it is admitted, and with its true cost once that is known.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self._taken: dict[str, float] = {}
        self._sum = 0.0
        self._lock = threading.Lock()  # a message is admitted on the journal's thread

    def without(self, key: str) -> float:
        """What all messages but the step `key` count for."""
        with self._lock:
            return self._sum - self._taken.get(key, 0.0)

    def take(self, key: str, credits: float) -> None:
        """Count the step `key` with so many credits."""
        with self._lock:
            self._sum += credits - self._taken.get(key, 0.0)
            self._taken[key] = credits

    def correct(self, key: str, credits: float) -> None:
        """What the step `key` took in truth, if it was counted here."""
        with self._lock:
            if key in self._taken:
                self._sum += credits - self._taken[key]
                self._taken[key] = credits

    def release(self, key: str) -> None:
        """The step `key` was not sent."""
        with self._lock:
            self._sum -= self._taken.pop(key, 0.0)


@dataclass(eq=False)
class Caller:
    """The code that waits for a step: takes progress, says whether the user cancelled, and belongs to a run.

    `run` names the ComfyUI prompt, shell command or batch that the profile's limit counts for; `budget` is what this
    caller may spend, alone or together with others. Set `gave_up` before cancelling the task that waits: a user's
    cancel of the last waiter also stops the render, anything else only detaches. `goes_on` is set if a paid message
    was sent by then. `later` are the seconds of work that follow the step. With `only_collects` no message that costs
    credits is sent: a step that was never sent, or was refused, ends with `resume-unsent`.
    """

    on_progress: OnProgress = _ignore
    budget: Budget = field(default_factory=Budget)
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    gave_up: bool = False
    goes_on: bool = False
    later: float = 0.0
    only_collects: bool = False

    def take(self, progress: Progress) -> None:
        """Progress of the step waited for, told with what will follow it."""
        if self.later and progress.left is not None:
            progress = replace(progress, left=progress.left + self.later)
        self.on_progress(progress)

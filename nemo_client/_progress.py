"""Progress as typed events, and who is waiting for it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from . import _words

Stage = Literal[
    "sign-up", "session", "encode", "upload", "wait", "plan", "generate", "edit", "chat", "settle", "render",
    "download", "check", "done",
]  # fmt: skip


@dataclass(frozen=True)
class Progress:
    """How a step stands. `fraction` of this stage in 0..1 or None; `tool` is what the backend works with.

    `elapsed` and `quiet` (since the last sign of life) are seconds, `left` an estimate of seconds or None.
    """

    stage: Stage
    fraction: float | None = None
    tool: str = ""
    elapsed: float = 0.0
    quiet: float = 0.0
    left: float | None = None
    reused: bool = False

    def text(self, lang: str | None = None) -> str:
        """One line for people."""
        line = _words.say(f"stage.{self.stage}", lang)
        if self.tool:
            line = _words.say("progress.tool", lang, stage=line, tool=self.tool.replace("_", " "))
        if self.reused:
            line += f" ({_words.say('progress.reused', lang)})"
        if self.quiet >= STILL_WORKING_SECONDS:
            line += f" · {_words.say('progress.still', lang)}"
        if self.fraction is not None and self.stage in ("upload", "render", "download"):
            line += f" {self.fraction:.0%}"
        if self.elapsed >= 1:
            line += f" · {self.elapsed:.0f} s"
        if self.left is not None:
            line += f" (~{self.left:.0f} s)"
        return line


STILL_WORKING_SECONDS = 120.0

OnProgress = Callable[[Progress], None]


def _ignore(_: Progress) -> None:
    return None


@dataclass(eq=False)
class Caller:
    """One who waits for work: takes progress, says whether the user gave up, and belongs to a run.

    `run` names the ComfyUI prompt, shell command or batch that limits count for; `max_credits` is its own limit
    (0 = none). Set `gave_up` before cancelling the task that waits: a user's cancel of the last waiter also stops
    the render, anything else only detaches.
    """

    on_progress: OnProgress = _ignore
    max_credits: int = 0
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    gave_up: bool = False

"""The types of requests to a Studio and of their results."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from .._errors import InputError
from .._journal.money import FREE, Money
from .._journal.steps import normalize_text
from .._text.choices import FORMATS, QUALITIES, RATIOS, RESOLUTIONS
from .._text.messages import Phrase
from .handles import SessionHandle

MAX_DURATION: Final = 600


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """`InputError` unless `value` is one of `allowed`."""
    if value not in allowed:
        raise InputError("value", name=name, value=value, expected=", ".join(allowed))


@dataclass(frozen=True)
class Output:
    """How to export a video: format, quality, resolution."""

    format: str = "mp4"
    quality: str = "high"
    resolution: str = "auto"

    def __post_init__(self) -> None:
        check_choice("format", self.format, FORMATS)
        check_choice("quality", self.quality, QUALITIES)
        check_choice("resolution", self.resolution, RESOLUTIONS)

    def to_wire(self) -> dict[str, str]:
        """The render call's `output`."""
        wire = {"format": self.format, "quality": self.quality}
        return wire if self.resolution == "auto" else {**wire, "resolution": self.resolution}


@dataclass(frozen=True)
class GenerationRequest:
    """What a generation is asked for: the prompt as written, and what the widgets add.

    `duration` is in seconds (0 = automatic); `ends` says that the video ends on the last picture.
    """

    prompt: str
    aspect_ratio: str = "auto"
    duration: float = 0
    seed: int = 0
    ends: bool = False

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise InputError("prompt-empty")
        check_choice("aspect_ratio", self.aspect_ratio, RATIOS)
        if not 0 <= self.duration <= MAX_DURATION:
            raise InputError(
                "value",
                name="duration",
                value=self.duration,
                expected=Phrase("expected.duration", limit=MAX_DURATION),
            )

    @property
    def inputs(self) -> dict[str, object]:
        """What the step's key counts of it."""
        return {
            "prompt": normalize_text(self.prompt),
            "aspect_ratio": self.aspect_ratio,
            "duration": self.duration,
            "seed": self.seed,
            "ends": self.ends,
        }


@dataclass(frozen=True)
class MessageResult:
    """The result of a message: the project after it, the reply and the timeline in words, the money.

    `reply` ends with `changes`, what the message changed in the timeline, where that is shown.
    """

    session: SessionHandle
    reply: str
    timeline: str
    money: Money
    reused: bool = False
    changes: str = ""

    @property
    def spoken(self) -> str:
        """The backend's own words of the reply."""
        return self.reply[: len(self.reply) - len(self.changes)].rstrip() if self.changes else self.reply

    @property
    def taken(self) -> Money:
        """What it took now: nothing where it was found in the journal."""
        return FREE if self.reused else self.money


@dataclass(frozen=True)
class Video:
    """A saved video. `path` is absolute; `duration` is in seconds, sizes are in pixels and bytes.

    `reused` says that it was already made, so nothing was sent. `format` is the file's true format, and `note` says in
    words if that, or how it came about, differs from what was asked for.
    """

    path: Path
    session_id: str
    task_id: str
    render_id: str
    sha256: str
    size: int
    width: int
    height: int
    duration: float
    fps: float
    format: str
    reply: str = ""
    timeline: str = ""
    money: Money = field(default_factory=Money)
    reused: bool = False
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """As plain JSON data, without anything secret."""
        data = asdict(self)
        return {**data, "path": str(self.path)}

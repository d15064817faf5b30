"""What is asked of a Studio and what it hands back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from .._errors import InputError
from .._journal.money import FREE, Money
from .._journal.steps import normalize_text
from .._text.messages import Phrase
from .choices import FORMATS, QUALITIES, RATIOS, RESOLUTIONS
from .handles import SessionHandle

MAX_DURATION: Final = 600


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """`InputError` unless `value` is one of `allowed`."""
    if value not in allowed:
        raise InputError("value", name=name, value=value, expected=", ".join(allowed))


@dataclass(frozen=True)
class Output:
    """How a video is exported."""

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

    `duration` is in seconds; `ends` says that the last picture is the one to end on.
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
    """The result of a message: where the session stands now, the reply and the timeline for people, the money.

    `reply` ends with `changes`, what the message changed in the draft, where that is to be told.
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
    """A delivered video. `path` is absolute; `duration` in seconds, sizes in pixels and bytes.

    `reused` says that the paid work was found in the journal, so that nothing was sent for it. `format` is what the
    file is, and `note` says in words where that, or how it became so, is not what was asked for.
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

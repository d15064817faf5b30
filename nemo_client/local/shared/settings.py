"""What one local backend is told when it is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .behaviour import Behaviour

MAX_UPLOAD_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What one backend takes in, at the most."""

    request_bytes: int = 2 * 1024**3
    """All files of one upload request together."""
    body_seconds: float = 60.0
    """How long a JSON body, or the next part of an upload, may take to come."""
    messages: int = 2000
    """Messages that are being worked on."""
    accounts: int = 10_000
    """Anonymous users whose tokens have not ended."""
    draft_characters: int = 1_000_000
    """The draft of one render, as JSON."""
    render_bytes: int = 5 * 1024**3
    """Rendered files that are kept."""


USUAL_LIMITS = Limits()
MAX_MESSAGE_CHARACTERS = 20_000

DIALECTS = ("agent", "typed")
RENDER_ANSWERS = ("bare", "data")
PROGRESS_SHAPES = ("linear", "stepped", "stuck_at_99")


class Renderer(Protocol):
    """Draws a draft into a file; blocking, on a thread of its own.

    Raises an exception with a `reason` for people when the draft cannot be drawn.
    """

    def __call__(
        self,
        draft: Mapping[str, Any],
        assets: Mapping[str, Path],
        target: Path,
        *,
        format: str,
        quality: str,
        resolution: str | None,
        fps: float | None,
        progress: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> None: ...


_renderer_in_use: Renderer | None = None


def renderer_in_use() -> Renderer | None:
    """What `use_renderer` handed in; None stands for the built-in one."""
    return _renderer_in_use


@contextmanager
def use_renderer(renderer: Renderer) -> Iterator[None]:
    """Within this block, backends of this process that were given no renderer of their own draw with this one."""
    global _renderer_in_use
    before, _renderer_in_use = _renderer_in_use, renderer
    try:
        yield
    finally:
        _renderer_in_use = before


@dataclass(frozen=True, repr=False)
class Settings:
    """See `open` for what each means. Without a repr: it holds the token."""

    directory: Path
    host: str
    token: str
    credits: int | None
    anonymous: bool
    pace: float
    faults: Behaviour
    dialect: str
    render_answers: str
    private_urls: bool
    max_upload: int
    generation_seconds: float | None
    edit_seconds: float | None
    render_seconds: float
    render_progress: str
    render_threads: int
    renderer: Renderer | None
    missing_glyphs: Callable[[str], str] | None
    clock: Callable[[], float]
    limits: Limits = USUAL_LIMITS

    def __post_init__(self) -> None:
        for name, value, known in (
            ("dialect", self.dialect, DIALECTS),
            ("render_answers", self.render_answers, RENDER_ANSWERS),
            ("render_progress", self.render_progress, PROGRESS_SHAPES),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")


def render_threads() -> int:
    """One render at a time per core."""
    return os.cpu_count() or 1

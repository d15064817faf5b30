"""What can go wrong while a draft becomes a file, in words for people.

RenderError                 the draft or one of its assets cannot be rendered
└── RenderCancelled         the caller asked to stop
"""

from __future__ import annotations


class RenderError(Exception):
    """A render ended without a file; `reason` says why, in one sentence without file names of the server."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RenderCancelled(RenderError):
    """The caller's `cancelled` said yes; nothing is left at the target."""

    def __init__(self) -> None:
        super().__init__("the render was cancelled")

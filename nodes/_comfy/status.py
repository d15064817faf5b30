"""Progress of a node: its stages on one bar, moving between polls, and an estimate that does not jump."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...nemo_client import Progress

_TYPICAL_SECONDS: Final = 120.0
_SPANS: Final[dict[str, tuple[float, float]]] = {
    "sign-up": (0.0, 0.01),
    "session": (0.01, 0.02),
    "encode": (0.0, 0.02),
    "upload": (0.02, 0.1),
    "wait": (0.1, 0.11),
    "queue": (0.1, 0.11),
    "plan": (0.1, 0.11),
    "generate": (0.11, 0.55),
    "edit": (0.11, 0.55),
    "chat": (0.11, 0.55),
    "settle": (0.11, 0.55),
    "record": (0.55, 0.55),
    "render": (0.55, 0.95),
    "download": (0.95, 0.99),
    "check": (0.99, 1.0),
    "done": (1.0, 1.0),
}


_OWN: Final[dict[str, tuple[float, float]]] = {
    "NemoUploadImage": (0.0, 0.1),
    "NemoUploadMedia": (0.0, 0.1),
    "NemoGenerateVideo": (0.1, 0.55),
    "NemoEditVideo": (0.1, 0.55),
    "NemoExportRender": (0.55, 1.0),
}
"""The part of the whole way that is a node's own work; all of it for the others."""
SMOOTH_SECONDS: Final = 5.0
STANDS_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 3.0
FAR_TOO_SHORT: Final = 1.5


def compute_own_fraction(kind: str, progress: Progress) -> float:
    """How far the work of a node of this class is, 0..1: what other nodes do before and after it does not count."""
    start, end = _OWN.get(kind, (0.0, 1.0))
    return min(max((compute_fraction(progress) - start) / (end - start), 0.0), 1.0)


def advance(progress: Progress, seconds: float) -> Progress:
    """Progress so many seconds after it was told: where an estimate is known, its fraction moves on as that runs down.

    It closes at most nine tenths of the gap to the end: the end itself is told, never guessed.
    """
    fraction = progress.fraction
    if progress.left and progress.left > 0:
        if fraction is None:
            fraction, before = 0.0, progress.elapsed
            fraction = before / (before + progress.left)
        fraction += (1 - fraction) * min(seconds / progress.left, 1.0) * 0.9
    return replace(progress.later(seconds), fraction=fraction)


class Countdown:
    """What is shown of an estimate, in seconds: it runs down, moves to a shorter one smoothly, and never jumps up.

    Where the estimate grows, the shown one stands until that has come down to it. One that stands for `STANDS_SECONDS`
    and is far too short is not believed any more: nothing is shown, until it begins again `SILENT_SECONDS` later.
    Another stage begins again, too.
    """

    def __init__(self) -> None:
        self._stage = ""
        self._shown: float | None = None
        self._at = 0.0
        self._wrong: float | None = None

    def show(self, stage: str, left: float | None, now: float) -> float | None:
        """What to show `now` (seconds of a monotonic clock) of `left`; None where nothing is known."""
        gone, self._at = now - self._at, now
        if left is None or stage != self._stage or self._shown is None:
            self._stage, self._shown, self._wrong = stage, left, None
            return left
        if left < self._shown - gone:
            expected = self._shown - gone
            self._shown = expected + (left - expected) * (1 - math.exp(-gone / SMOOTH_SECONDS))
        else:
            self._shown = min(self._shown, left)
        if left <= FAR_TOO_SHORT * self._shown + 2:
            self._wrong = None
            return self._shown
        self._wrong = now if self._wrong is None else self._wrong
        stood = now - self._wrong
        if stood >= STANDS_SECONDS + SILENT_SECONDS:
            self._shown, self._wrong = left, None
        return self._shown if self._wrong is None or stood < STANDS_SECONDS else None


def compute_fraction(progress: Progress) -> float:
    """How far the whole way is, 0..1. Work that tells no percentage moves ever slower and never past its span.

    A stage without a span moves nothing: bars never go back, so they stay where they are.
    """
    start, end = _SPANS.get(progress.stage, (0.0, 0.0))
    within = progress.fraction
    if within is None and progress.left and progress.left > 0 and progress.elapsed > 0:
        within = progress.elapsed / (progress.elapsed + progress.left)
    if within is None:
        within = 1 - math.exp(-progress.elapsed / _TYPICAL_SECONDS)
    return start + (end - start) * min(max(within, 0.0), 1.0)

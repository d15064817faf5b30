"""How far the whole way is: the span of each stage on a node's bar."""

from __future__ import annotations

import math
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


def compute_fraction(progress: Progress) -> float:
    """How far the whole way is, 0..1. Work that tells no percentage moves ever slower and never past its span.

    A stage without a span moves nothing: bars never go back, so they stay where they are.
    """
    start, end = _SPANS.get(progress.stage, (0.0, 0.0))
    within = progress.fraction
    if within is None:
        within = 1 - math.exp(-progress.elapsed / _TYPICAL_SECONDS)
    return start + (end - start) * min(max(within, 0.0), 1.0)

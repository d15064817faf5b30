"""When to look at a render next: predicted from its progress instead of a fixed pause. Pure.

A fixed pause of p seconds notices the finish p/2 late on average. Here a look that shows progress gives an estimate
of the finish, and the next look comes after most of what is left: few looks far from the end, quick ones close to
it. Where looks show nothing new (progress in steps, stuck at 99, none told), pauses grow with time up to `UNSURE`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

FAIR_SECONDS: Final = 5.0
QUICKEST: Final = 0.4
UNSURE: Final = 2.5
SLOWEST: Final = 6.0
_SHARE_OF_REST: Final = 0.85
_SPARE_LOOKS: Final = 3.0


@dataclass
class Pace:
    """The looks at one render. `usual` is how long such renders took here, in seconds, where that is known.

    `fair` is the pause of the fixed poll that sets the budget: beyond its number of looks, those that show nothing
    new become rare. `quickest` is the shortest pause.
    """

    usual: float | None = None
    fair: float = FAIR_SECONDS
    quickest: float = QUICKEST
    _looks: int = 0
    _seen: list[tuple[float, float]] = field(default_factory=list)
    _fresh: bool = False

    def observe(self, elapsed: float, percent: float | None) -> None:
        """Note a look at `elapsed` seconds that showed `percent` (0..100, None where unknown)."""
        self._looks += 1
        self._fresh = percent is not None and (not self._seen or percent > self._seen[-1][1])
        if percent is not None and self._fresh:
            self._seen.append((elapsed, percent))

    def left(self, elapsed: float) -> float | None:
        """Estimated seconds until the finish, or None where there is nothing to go by."""
        if self._seen and self._seen[-1][1] > 0:
            when, percent = self._seen[-1]
            return max(when * 100 / percent - elapsed, 0.0)
        return max(self.usual - elapsed, 0.0) if self.usual else None

    def pause(self, elapsed: float) -> float:
        """Seconds until the next look."""
        left = self.left(elapsed)
        if left is not None and self._fresh:
            return min(max(left * _SHARE_OF_REST, self.quickest), SLOWEST)
        wanted = max(self.quickest, elapsed * 0.1 if left is None else left * _SHARE_OF_REST)
        overdrawn = self._looks - _SPARE_LOOKS - elapsed / self.fair
        return min(max(wanted, overdrawn * self.fair), UNSURE)

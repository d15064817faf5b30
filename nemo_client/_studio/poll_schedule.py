"""When to look at a render next, and how long it may still take. Pure; times are seconds since the first look.

A look is one small GET. Where progress is told, the pause is half of what is expected to be left (half of the time
that it is overdue, once it is), between SHORTEST and LONGEST_TOLD; where nothing is told, or nothing new, up to
LONGEST_UNTOLD: without any progress a tenth of the time that is gone when the look comes. How long earlier renders
took never decides when to look: it only answers how long this one may take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHORTEST: Final = 0.5
LONGEST_TOLD: Final = 2.0
LONGEST_UNTOLD: Final = 3.0
_SHARE_OF_LEFT: Final = 1 / 2
_SHARE_OF_GONE: Final = 1 / 9  # nine tenths are gone now


@dataclass
class PollSchedule:
    """The looks at one render.

    Attributes:
        usual: how many seconds such renders took here before, where that is known.
        scale: what every pause is multiplied by: below 1 for a backend on this machine, above 1 for many renders.
    """

    usual: float | None = None
    scale: float = 1.0
    _first: tuple[float, float] | None = None
    _newest: tuple[float, float] = (0.0, 0.0)
    _told_new: bool = False

    def observe(self, elapsed: float, percent: float | None) -> None:
        """Note a look after `elapsed` seconds that showed `percent` (0 to 100, None where it is not told)."""
        seen = (elapsed, percent or 0.0)
        if self._first is None:
            self._first = self._newest = seen
        self._told_new = seen[1] > self._newest[1]
        if self._told_new:
            self._newest = seen

    def left(self, elapsed: float) -> float | None:
        """Expected seconds until the end: by the progress, else by what is usual; None where neither is known."""
        end = self._expected_end() or self.usual
        return None if end is None else max(end - elapsed, 0.0)

    def pause(self, elapsed: float) -> float:
        """Seconds until the next look."""
        end = self._expected_end()
        wanted = elapsed * _SHARE_OF_GONE if end is None else abs(end - elapsed) * _SHARE_OF_LEFT
        longest = LONGEST_TOLD if self._told_new else LONGEST_UNTOLD
        return min(max(wanted, SHORTEST), longest) * self.scale

    def _expected_end(self) -> float | None:
        """When the render ends if it goes on as it went on average since the first look."""
        if self._first is None or self._newest[1] <= self._first[1]:
            return None
        (began, from_percent), (reached, percent) = self._first, self._newest
        return reached + (100.0 - percent) * (reached - began) / (percent - from_percent)

"""When to look at a render next: where the finish can be, from what its progress has said so far. Pure.

A fixed pause of p seconds notices the finish p/2 late on average. Here each look narrows the span in which the finish
can lie: progress of p percent after t seconds, in steps of s, puts it between 100 t/(p + s) and 100 t/p. Looks go to
the moments that halve this span (the next step of a progress in steps), then through what is left of it.

Nothing told means nothing to go by: whatever the order of n looks at a finish that may be anywhere in 5 to 90 s, it is
noticed 19/n s late or more on average. Then `usual`, and how much longer than told earlier renders took (`Habits`),
say where to look; without them pauses keep to the budget, and late ones to `UNSURE`.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

FAIR_SECONDS: Final = 5.0
QUICKEST: Final = 0.4
# Shares of `fair`, the pause of the fixed poll that sets the budget.
SLOWEST: Final = 1.6
UNSURE: Final = 0.6
_EARLY: Final = 0.2
_BLIND: Final = 1.2
_CLOSE: Final = 0.21
_SLACK: Final = 0.01

_GROWTH: Final = 0.7
_SPREAD: Final = 0.1
_SURE: Final = 0.02
_SPARE_LOOKS: Final = 0.5
_HINTED_LOOKS: Final = 1.5  # more, where something says where to look
_WHOLE: Final = 1000  # progress is counted in tenths of a percent
_STUCK: Final = 990

Span = tuple[float, float]


@dataclass
class _Seen:
    """A progress that was shown, and when a look showed it first and last."""

    tenths: int
    first: float
    last: float


@dataclass
class Habits:
    """How many times longer than their progress told the newest renders took that were stuck at its end."""

    _stretches: deque[Span] = field(default_factory=lambda: deque(maxlen=5))

    @property
    def stretch(self) -> Span | None:
        """The narrowest span that touches what each of them showed, a little widened; None where none was stuck."""
        if not self._stretches:
            return None
        least, most = sorted((max(low for low, _ in self._stretches), min(high for _, high in self._stretches)))
        return least * (1 - _SURE), most * (1 + _SURE)

    def learn(self, pace: Pace, elapsed: float) -> None:
        """Take note of a render that was seen finished at `elapsed`."""
        told = pace.overrun()
        if told is not None and told[0] > 0:
            self._stretches.append((pace.looked / told[1], elapsed / told[0]))


@dataclass
class Pace:
    """The looks at one render. `usual` is how long such renders took here, in seconds, where that is known.

    `fair` is the pause of the fixed poll that sets the budget: beyond its number of looks, those that show nothing
    new become rare. `quickest` is the shortest pause, `stretch` what `Habits` tells.
    """

    usual: float | None = None
    fair: float = FAIR_SECONDS
    quickest: float = QUICKEST
    stretch: Span | None = None
    looked: float = 0.0
    _looks: int = 0
    _step: int = _WHOLE
    _seen: list[_Seen] = field(default_factory=lambda: [_Seen(0, 0.0, 0.0)])

    def observe(self, elapsed: float, percent: float | None, asked: float | None = None) -> None:
        """Note a look at `elapsed` seconds that showed `percent` (0..100, None where unknown).

        `asked` is when the look went out, where the way there and back takes time.
        """
        asked = elapsed if asked is None else asked
        self._looks, self.looked = self._looks + 1, elapsed
        tenths = 0 if percent is None else int(percent * 10 + 1e-6)
        if tenths > self._seen[-1].tenths:
            self._step = math.gcd(self._step, tenths)
            self._seen.append(_Seen(tenths, elapsed, asked))
        elif tenths == self._seen[-1].tenths:
            self._seen[-1].last = asked

    def left(self, elapsed: float) -> float | None:
        """Estimated seconds until the finish, or None where there is nothing to go by."""
        span = self._told() or self._expected()
        return None if span is None else max(sum(span) / 2 - elapsed, 0.0)

    def pause(self, elapsed: float) -> float:
        """Seconds until the next look."""
        told, expected = self._told(), self._expected()
        if told is not None and elapsed < told[1]:
            wanted = self._narrowing(elapsed, *told)
        elif expected is not None and elapsed < expected[1]:
            wanted = self._through(elapsed, *expected, more=_HINTED_LOOKS)
        elif expected is not None:
            wanted = min(max((elapsed - expected[1]) * 0.2, self._debt(elapsed)), UNSURE * self.fair)
        elif self._looks <= 1:  # a short render is not to wait for the budget
            wanted = _EARLY * self.fair
        else:
            wanted = min(max(elapsed * _GROWTH, self._debt(elapsed)), _BLIND * self.fair)
        return min(max(wanted, self.quickest), SLOWEST * self.fair)

    def overrun(self) -> Span | None:
        """Where progress put the finish of a render that is stuck at its end since; None if it is not."""
        return self._span(stuck=False) if self._seen[-1].tenths >= _STUCK and self._told() is None else None

    def _span(self, *, stuck: bool = True) -> Span:
        """Between which moments the finish lies if progress is even; `stuck` counts how long it stands at its end."""
        last = max(
            _WHOLE * each.last / (each.tenths + self._step) for each in self._seen if stuck or each.tenths < _STUCK
        )
        first = min((_WHOLE * each.first / each.tenths for each in self._seen if each.tenths), default=math.inf)
        return (last if stuck else min(last, first)), first + _SLACK * self.fair

    def _told(self) -> Span | None:
        """The span, as long as all that was seen agrees with an even progress."""
        earliest, latest = self._span()
        earliest = max(earliest, self.looked)
        return (earliest, latest) if earliest < latest < math.inf else None

    def _expected(self) -> Span | None:
        """Where the finish may be if progress is not told, or not even."""
        overrun = self.overrun()
        if overrun is not None and self.stretch is not None:
            return overrun[0] * self.stretch[0], overrun[1] * self.stretch[1]
        due = self.usual
        if len(self._seen) > 1:  # not even: as quick from here on as it was last
            before, now = self._seen[-2:]
            ahead = now.first + (_WHOLE - now.tenths) * (now.first - before.first) / (now.tenths - before.tenths)
            due = ahead if due is None or ahead > self.looked else max(ahead, due)
        return None if due is None else (due * (1 - _SPREAD), due * (1 + _SPREAD))

    def _narrowing(self, now: float, earliest: float, latest: float) -> float:
        """To the look that tells most about the finish before it comes."""
        if latest - earliest <= _CLOSE * self.fair:
            return latest - now
        steps = _WHOLE / self._step
        if steps * (1 - earliest / latest) >= 2 and earliest > now + self.quickest:
            return earliest - now  # many steps tell the later the more
        apart = (earliest + latest) / 2 / steps
        step = math.floor((now + self.quickest) / apart) + 1
        if step < steps and step * apart <= earliest:
            return step * apart - now
        return self._through(now, earliest, latest)

    def _through(self, now: float, earliest: float, latest: float, more: float = 0.0) -> float:
        """Look through a span in which anything may happen, with what the budget leaves."""
        begin = max(now, earliest)
        looks = max(more - self._debt(begin) / self.fair, 1.0)
        return begin - now + min((latest - begin) / looks, UNSURE * self.fair)

    def _debt(self, elapsed: float) -> float:
        """How long the fixed poll would take for the looks that were too many; negative where some are left."""
        return (self._looks - _SPARE_LOOKS) * self.fair - elapsed

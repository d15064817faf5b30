"""Whether and when to repeat a call: one decision. Pure.

Only calls that may be repeated come here. A message that charges has no retry policy at all; it is reconciled.
"""

from __future__ import annotations

from typing import Final

from .._config.timings import WireTimings
from .._errors import BadAnswer, ConnectError, ConnectionBroken, NemoError, RateLimited

SECONDS: Final = 120.0
RATE_LIMIT_PAUSE: Final = 30.0
LONGEST_PAUSE: Final = 150.0
FINAL: Final = frozenset({"connect-tls", "connect-proxy", "proxy-setting", "certificates-broken"})
"""Failures that waiting does not mend."""
AWAY: Final = frozenset({408, 425, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530})
"""HTTP statuses of a server, or of what stands before it, that is away for a while."""

_SLOWEST_PAUSE: Final = 5.0
_AT_ONCE: Final = 3
"""How often `Retry-After: 0` is taken at its word; then pauses grow as without it."""
_SERVER_TROUBLE: Final = AWAY | {500}
_CUT: Final = "answer-not-json"  # something on the way ended it early, most often
_USUAL: Final = WireTimings()


def retry_pause(
    error: NemoError,
    tries: int,
    elapsed: float,
    *,
    repeatable: bool,
    limited: bool = False,
    reached: bool = False,
    timings: WireTimings = _USUAL,
) -> float | None:
    """Seconds to wait before the next try, or None to give up.

    `tries` counts those made, `elapsed` is seconds since the first; `repeatable` says that a second execution
    does no harm; `limited`, that a rate limit was waited out once: another one is waited out where the server says for
    how long, and that is within `timings.patient`; `reached`, that this backend has answered before, so that its
    address is right. A request of which nothing was written may always be repeated.
    """
    backoff = _compute_backoff(tries, timings)
    if isinstance(error, RateLimited):
        pause = _bound_wish(error.retry_after, RATE_LIMIT_PAUSE, 1)
        return pause if not limited or _is_told_when(error, tries, elapsed + pause, timings) else None
    if isinstance(error, ConnectError):
        lasting = error.id in FINAL or not (elapsed < timings.patient if reached else tries < timings.attempts)
        return None if lasting else backoff
    if not repeatable:
        return None
    if isinstance(error, BadAnswer):
        if error.status not in _SERVER_TROUBLE and error.id != _CUT:
            return None
        goes_on = _goes_on(error.status in AWAY, tries, elapsed, timings)
        return _bound_wish(error.retry_after, backoff, tries) if goes_on else None
    return backoff if isinstance(error, ConnectionBroken) and _goes_on(True, tries, elapsed, timings) else None


def is_away(error: NemoError) -> bool:
    """Whether it is a connection that broke, or the answer of a server that is away for a while."""
    if isinstance(error, BadAnswer):
        return error.status in AWAY
    return isinstance(error, ConnectionBroken)


def pause_of(error: NemoError, tries: int, timings: WireTimings = _USUAL) -> float:
    """The pause before the next try of what is tried again anyway: the server's own wish, else one that grows."""
    return _bound_wish(getattr(error, "retry_after", None), _compute_backoff(tries, timings), tries)


def _goes_on(away: bool, tries: int, elapsed: float, timings: WireTimings) -> bool:
    return elapsed < timings.patient if away else tries < timings.attempts and elapsed < SECONDS


def _is_told_when(error: RateLimited, tries: int, elapsed: float, timings: WireTimings) -> bool:
    """Whether the server says when to come again, and that is soon; "at once" is taken at its word a few times."""
    wish = error.retry_after
    return wish is not None and (wish > 0 or tries <= _AT_ONCE) and elapsed < timings.patient


def _bound_wish(wish: float | None, usual: float, tries: int) -> float:
    """The server's own wish, within bounds."""
    if wish is None or (wish <= 0 and tries > _AT_ONCE):
        return usual
    return min(max(wish, 0.0), LONGEST_PAUSE)


def _compute_backoff(tries: int, timings: WireTimings) -> float:
    return min(timings.first_pause * float(2 ** min(tries - 1, 10)), _SLOWEST_PAUSE)

"""Whether to try a call again, and when: one decision, pure.

Only calls that may be repeated come here. A message that charges has no retry policy at all; it is reconciled.
"""

from __future__ import annotations

from typing import Final

from ._errors import BadAnswer, ConnectError, ConnectionBroken, NemoError, RateLimited

ATTEMPTS: Final = 4
SECONDS: Final = 120.0
RATE_LIMIT_PAUSE: Final = 30.0
LONGEST_PAUSE: Final = 150.0
FINAL: Final = frozenset({"connect-tls", "connect-proxy", "proxy-setting", "certificates-broken"})
"""Failures that waiting does not mend."""

_FIRST_PAUSE: Final = 0.5
_SERVER_TROUBLE: Final = frozenset({408, 500, 502, 503, 504})
_CUT: Final = "answer-not-json"  # something on the way ended it early, most often


def retry_pause(
    error: NemoError, tries: int, elapsed: float, *, repeatable: bool, limited: bool = False
) -> float | None:
    """Seconds to wait before the next try, or None to give up.

    `tries` counts those made, `elapsed` is seconds since the first; `repeatable` says that a second execution
    does no harm; `limited`, that a rate limit was waited out once. A request of which nothing was written may
    always be repeated.
    """
    if isinstance(error, RateLimited):
        return None if limited else min(error.retry_after or RATE_LIMIT_PAUSE, LONGEST_PAUSE)
    if tries >= ATTEMPTS or elapsed >= SECONDS:
        return None
    if isinstance(error, ConnectError):
        return None if error.id in FINAL else _backoff(tries)
    if not repeatable:
        return None
    if isinstance(error, BadAnswer):
        if error.status not in _SERVER_TROUBLE and error.id != _CUT:
            return None
        return min(error.retry_after, LONGEST_PAUSE) if error.retry_after is not None else _backoff(tries)
    return _backoff(tries) if isinstance(error, ConnectionBroken) else None


def _backoff(tries: int) -> float:
    return _FIRST_PAUSE * float(2 ** (tries - 1))

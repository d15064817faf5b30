"""The one decision about trying again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_client import (
    ApiError,
    BadAnswer,
    ConnectError,
    ConnectionBroken,
    NemoError,
    NoCredits,
    RateLimited,
    SessionGone,
)
from nemo_client._config.timings import WireTimings
from nemo_client._wire.retry import LONGEST_PAUSE, retry_pause

REFUSED = ConnectError("connect-refused")
BROKEN = ConnectionBroken("answer-broken")


def test_a_rate_limit_is_waited_out_once() -> None:
    """429: one more try after 30 s, or after what the server asks for, within bounds; also for uploads."""
    assert retry_pause(RateLimited(), 1, 0, repeatable=False) == 30
    assert retry_pause(RateLimited(), 3, 500, repeatable=True) == 30
    assert retry_pause(RateLimited(retry_after=7), 1, 0, repeatable=True) == 7
    assert retry_pause(RateLimited(retry_after=9999), 1, 0, repeatable=True) == LONGEST_PAUSE
    assert retry_pause(RateLimited(), 2, 30, repeatable=True, limited=True) is None
    assert retry_pause(RateLimited(retry_after=7), 2, 7, repeatable=False, limited=True) == 7
    assert retry_pause(RateLimited(retry_after=7), 7, 40, repeatable=True, limited=True) is None
    assert retry_pause(RateLimited(retry_after=0), 3, 0, repeatable=True, limited=True) == 0
    assert retry_pause(RateLimited(retry_after=0), 4, 0, repeatable=True, limited=True) is None


def test_pauses_grow_and_end() -> None:
    """Attempts and time are both bounded."""
    pauses = [retry_pause(REFUSED, tries, 0, repeatable=True) for tries in range(1, WireTimings.attempts + 1)]

    assert pauses == [0.5, 1.0, 2.0, None]
    assert retry_pause(REFUSED, WireTimings.attempts, 3, repeatable=True, reached=True) == 4.0
    assert retry_pause(REFUSED, 9, WireTimings.patient, repeatable=True, reached=True) is None
    assert retry_pause(BROKEN, 9, WireTimings.patient, repeatable=True) is None


def test_only_repeatable_calls_are_repeated_after_a_break() -> None:
    """A connection that was never made did no harm; a broken one may have."""
    assert retry_pause(REFUSED, 1, 0, repeatable=False) == 0.5
    assert retry_pause(BROKEN, 1, 0, repeatable=False) is None
    assert retry_pause(BROKEN, 1, 0, repeatable=True) == 0.5


@pytest.mark.parametrize("text_id", ["connect-tls", "connect-proxy", "proxy-setting", "certificates-broken"])
def test_what_waiting_does_not_mend_is_told_at_once(text_id: str) -> None:
    """Certificates and proxies are wrong until somebody sets them right."""
    assert retry_pause(ConnectError(text_id), 1, 0, repeatable=True) is None


@pytest.mark.parametrize(
    ("status", "pause"), [(500, 0.5), (502, 0.5), (503, 0.5), (504, 0.5), (408, 0.5), (200, None), (404, None)]
)
def test_a_server_in_trouble_is_asked_again(status: int, pause: float | None) -> None:
    """A web page with 200 will not become data."""
    assert retry_pause(BadAnswer("answer-html", status=status), 1, 0, repeatable=True) == pause
    assert retry_pause(BadAnswer("answer-html", status=status), 1, 0, repeatable=False) is None


def test_an_answer_that_was_cut_is_asked_for_again() -> None:
    """HTTP 200 with half of its JSON comes from something on the way that ended it early."""
    cut = BadAnswer("answer-not-json", status=200)

    assert retry_pause(cut, 1, 0, repeatable=True) == 0.5
    assert retry_pause(cut, 1, 0, repeatable=False) is None


def test_a_servers_own_pause_counts() -> None:
    """`Retry-After` is honoured, with a cap."""
    assert retry_pause(BadAnswer("api-server", status=503, retry_after=4.0), 1, 0, repeatable=True) == 4.0
    assert retry_pause(BadAnswer("api-server", status=503, retry_after=1e9), 1, 0, repeatable=True) == LONGEST_PAUSE


@pytest.mark.parametrize("error", [ApiError(code=9999), NoCredits(), SessionGone(), NemoError("unexpected")], ids=repr)
def test_refusals_are_final(error: NemoError) -> None:
    """The backend said no."""
    assert retry_pause(error, 1, 0, repeatable=True) is None


@given(
    st.sampled_from([REFUSED, BROKEN, BadAnswer("api-server", status=503)]),
    st.integers(1, 9),
    st.floats(0, 500),
    st.booleans(),
)
def test_no_failure_is_retried_for_ever(error: NemoError, tries: int, elapsed: float, repeatable: bool) -> None:
    """Whatever happens, a call ends."""
    pause = retry_pause(error, tries, elapsed, repeatable=repeatable)

    in_time = tries < WireTimings.attempts or elapsed < WireTimings.patient
    assert pause is None or (0 < pause <= LONGEST_PAUSE and in_time)

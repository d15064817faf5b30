"""Credits: admission, charges, sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_client._journal.money import FREE, Money, count_for_limits, covers_estimate, measure_charge, sum_money
from nemo_client._wire.schemas import Credits


def balance(available: float, frozen: float = 0) -> Credits:
    return Credits(available=available, frozen=frozen)


@pytest.mark.parametrize(
    ("now", "others", "seen", "admitted"),
    [
        (balance(100), [], True, True),
        (balance(99), [], True, False),
        (balance(99), [], False, True),  # a guess must not lock anybody out
        (balance(0), [], False, False),
        (balance(-5), [], False, False),
        (balance(100), [100], False, False),  # not reserved yet
        (balance(0, 100), [100], False, False),
        (balance(100, 100), [100], False, True),
        (balance(150, 50), [100], False, True),
    ],
)
def test_a_balance_covers_what_is_out_and_what_comes(
    now: Credits, others: list[float], seen: bool, admitted: bool
) -> None:
    """`available + frozen - max(frozen, estimates of the open attempts)` must cover the estimate."""
    assert covers_estimate(now, 100, others, seen=seen) is admitted


@given(st.integers(0, 1000), st.integers(1, 12))
def test_branches_never_promise_more_than_there_is(available: int, branches: int) -> None:
    """However many start at once, those that pass are covered, but for the single guess."""
    passed: list[float] = []
    for _ in range(branches):
        if covers_estimate(balance(available), 100, passed, seen=False):
            passed.append(100)

    assert sum(passed) <= max(available, 100)


def test_a_charge_is_the_drop_of_what_is_held() -> None:
    """`frozen` alone is a reservation; with a top-up meanwhile, or while it is only reserved, nothing is known."""
    assert measure_charge(balance(300), balance(100, 100), alone=True) == Money(300, 100, 100, "exact")
    assert measure_charge(balance(300), balance(200), alone=False) == Money(300, 200, 100, "at most")
    assert measure_charge(balance(100), balance(500), alone=True) == Money(100, 500, None, "unknown")
    assert measure_charge(balance(300), balance(200, 100), alone=True) == Money(300, 200, None, "unknown")
    assert measure_charge(balance(300), balance(300), alone=True) == Money(300, 300, 0, "exact")
    assert measure_charge(balance(100), None, alone=True) == Money(100, None, None, "unknown")
    assert measure_charge(None, balance(100), alone=True) == Money(None, 100, None, "unknown")


def test_the_money_of_several_steps_is_their_sum_as_sure_as_the_least() -> None:
    """Results carry before, after, spent and how sure."""
    first, second = Money(300, 200, 100, "exact"), Money(200, 150, 50, "at most")

    assert sum_money([first, second]) == Money(300, 150, 150, "at most")
    assert sum_money([first, Money(200)]) == Money(300, 200, 100, "unknown")
    assert sum_money([FREE]) == Money(None, None, 0, "exact")
    assert sum_money([]).spent is None
    assert first.to_json() == {"before": 300, "after": 200, "spent": 100, "certainty": "exact"}


def test_limits_count_what_is_known_else_the_estimate() -> None:
    """A message whose charge is not known counts as a usual one."""
    assert count_for_limits("generate", Money(spent=80.0)) == 80
    assert count_for_limits("generate", Money()) == 100
    assert count_for_limits("edit", Money()) == 50

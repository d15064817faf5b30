"""Credits: what a step may cost, whether there is enough, and what it took. Pure.

The backend shows money only as a balance. A charge is a drop of `available + frozen`; `frozen` alone is a
reservation by running work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from .._wire.schemas import Credits

ESTIMATES: Final[Mapping[str, float]] = {"generate": 100.0, "edit": 50.0, "chat": 50.0}
"""Credits a step takes where none were seen on this machine yet (API description: "The event stream")."""

Certainty = Literal["exact", "at most", "unknown"]
CERTAINTIES: Final[tuple[Certainty, ...]] = ("exact", "at most", "unknown")


@dataclass(frozen=True)
class Money:
    """Credits before and after a step, what it cost, and how sure that is."""

    before: float | None = None
    after: float | None = None
    spent: float | None = None
    certainty: Certainty = "unknown"

    def to_json(self) -> dict[str, object]:
        """As plain JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Money:
        """The money that `to_json` wrote; nothing known where there is none."""
        return cls(**data) if isinstance(data, dict) else cls()

    @property
    def sure(self) -> float | None:
        """What it took, where that is known exactly."""
        return self.spent if self.certainty == "exact" else None


FREE: Final = Money(spent=0.0, certainty="exact")


def covers_estimate(balance: Credits, estimate: float, open_estimates: Sequence[float], *, seen: bool) -> bool:
    """Whether `balance` covers `estimate` beside the account's open attempts.

    Running work may or may not be reserved in `frozen` yet, so the larger of both counts. `seen` says that the
    estimate is one of this machine's; a guess must not lock anybody out, so an account's only open attempt then
    passes while anything is available.
    """
    free = balance.held - max(balance.frozen, sum(open_estimates))
    return free >= estimate or (not seen and not open_estimates and balance.available > 0)


UNLIMITED: Final = -1.0
"""What an account reads as its balance from which nothing is ever taken."""


def known_balance(balance: Credits) -> Credits | None:
    """The balance, or None where it says nothing about charges."""
    return None if balance.available == UNLIMITED else balance


def measure_charge(before: Credits | None, after: Credits | None, *, alone: bool, late: bool = False) -> Money:
    """What was taken between two balances; `alone` says that nothing else of ours used the account meanwhile.

    `late` says that a charge may still come: then a balance that has not fallen says nothing yet.
    """
    if before is None or after is None:
        return Money(before.available if before else None, after.available if after else None)
    spent = before.held - after.held
    if spent < 0 or (spent == 0 and (late or after.frozen > before.frozen)):  # topped up meanwhile, or not taken yet
        return Money(before.available, after.available)
    return Money(before.available, after.available, spent, "exact" if alone else "at most")


def count_for_limits(kind: str, money: Money, estimates: Mapping[str, float] = ESTIMATES) -> float:
    """What a message that went out counts for limits: what it took where that is known, else its estimate."""
    return money.spent if money.spent is not None else estimates[kind]


def estimate_price(kind: str, seen: Sequence[float]) -> float:
    """Credits that a step of this kind is expected to take: the median of what was seen, else the usual price."""
    return median(seen) if seen else ESTIMATES[kind]


def sum_money(parts: Sequence[Money]) -> Money:
    """The money of several steps, in order."""
    known = [part.spent for part in parts if part.spent is not None]
    certain: Certainty = "exact"
    for part in parts:
        if part.certainty == "unknown" or (part.certainty == "at most" and certain == "exact"):
            certain = part.certainty
    before = next((part.before for part in parts if part.before is not None), None)
    after = next((part.after for part in reversed(parts) if part.after is not None), None)
    return Money(before, after, sum(known) if known else None, certain)


class Tally:
    """The sum of what many steps cost, in constant memory.

    Steps that run side by side on one account see each other's charges, so the balances only bound the sum.
    """

    def __init__(self, parts: Iterable[Money] = ()) -> None:
        self.spent = 0.0
        self.certainty: Certainty = "exact"
        self.most: float | None = None
        self.left: float | None = None
        self._known = False
        for part in parts:
            self.add(part)

    def add(self, money: Money) -> None:
        """Count another piece."""
        self._known = self._known or money.spent is not None
        self.spent += money.spent or 0.0
        if money.spent is None or money.certainty == "unknown":
            self.certainty = "unknown"
        elif money.certainty == "at most" and self.certainty == "exact":
            self.certainty = "at most"
        if money.before is not None:
            self.most = money.before if self.most is None else max(self.most, money.before)
        if money.after is not None:
            self.left = money.after if self.left is None else min(self.left, money.after)

    @property
    def total(self) -> float:
        """Credits; no more than what the balances lost, where not each piece is known exactly."""
        if self.certainty == "exact" or self.most is None or self.left is None:
            return self.spent
        return min(self.spent, max(self.most - self.left, 0.0))

    @property
    def free(self) -> bool:
        """Whether nothing was taken, for sure."""
        return self.certainty == "exact" and self.spent == 0

    @property
    def shown(self) -> str:
        """The credits for people, with a mark where they are a bound; `?` where nothing is known."""
        if not self._known:
            return "?"
        return {"exact": "", "at most": "≤ ", "unknown": "≥ "}[self.certainty] + f"{self.total:g}"

"""Whether the account and the limits admit a paid message: checked in the transaction that records it as sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import LimitError, NemoError, NoCredits, SignInError
from .._journal.money import ESTIMATES, count_for_limits, covers_estimate, estimate_price, known_balance
from .._journal.records import Attempt, StoredFacts
from .._journal.steps import State
from .._text.messages import Phrase
from .._wire.draft import is_ready
from .._wire.schemas import Credits
from .context import StudioContext
from .in_flight import InFlightRequest
from .progress import Caller
from .reconcile import Baseline

logger = logging.getLogger("nemo_client")


class Admission:
    """Admits messages of one caller: reads the balance, estimates prices, keeps limits."""

    def __init__(self, context: StudioContext, caller: Caller) -> None:
        self._context = context
        self._caller = caller

    async def read_balance(self) -> Credits | None:
        """The balance; None where it is unlimited, or cannot be read and no limit needs it."""
        profile = self._context.profile
        try:
            return known_balance(await self._context.client.balance())
        except SignInError:
            raise
        except NemoError as error:
            if self._caller.budget.limit or profile.run_limit or profile.day_limit:
                raise
            logger.info("the balance could not be read (%s)", error.id)
            return None

    async def record_as_sent(self, attempt: Attempt, baseline: Baseline, request: InFlightRequest) -> Attempt:
        """The attempt as sent, in one transaction with the check of credits and limits.

        Raises `NoCredits` or `LimitError`, and then nothing is changed.
        """
        journal, profile, budget = self._context.journal, self._context.profile, self._caller.budget
        kinds = {attempt.kind, *ESTIMATES} if attempt.paid else set()
        asked = (profile.name, kinds, attempt.kind, attempt.account)
        seen, usual, uncharged = await journal.read_history(*asked)
        owing = uncharged and await self._record_late_charges(attempt.account, baseline.credits)
        if uncharged:  # what the balance told counts for the prices
            seen, usual, _ = await journal.read_history(*asked)
        request.usual = self._context.choose_seconds(attempt.kind, usual)
        expected = {kind: estimate_price(kind, charges) for kind, charges in seen.items()}
        mine = _choose_estimate(expected, attempt.kind, baseline.draft) if attempt.paid else 0.0
        request.price = mine
        facts = StoredFacts(baseline=baseline.to_json())

        def admit(opened: Sequence[Attempt], day: Sequence[Attempt]) -> None:
            opened = [each for each in opened if self._may_still_charge(each)]
            facts["alone"] = not opened and not owing
            if attempt.free:
                return
            self._check_limits(expected, mine, attempt, day)
            others = [_choose_estimate(expected, each.kind, _find_draft_before(each)) for each in opened]
            credits, known = baseline.credits, bool(seen[attempt.kind])
            if credits is not None and not covers_estimate(credits, mine, others, seen=known):
                raise NoCredits(code=2001)
            budget.take(attempt.key, mine)

        try:
            return await journal.commit(attempt, admit, facts=facts, run=self._caller.run)
        except NoCredits as error:
            raise await self._context.no_credits(baseline.credits) from error

    async def _record_late_charges(self, account: str, credits: Credits | None) -> bool:
        """Record charges that came after their work was finished; whether one is still to come."""
        charges, more = await record_late_charges(self._context, account, credits)
        for key, spent in charges.items():
            self._caller.budget.correct(key, spent)
        return more

    def _may_still_charge(self, opened: Attempt) -> bool:
        """Whether credits are to be kept for a message in flight: not for one that is unknown since the horizon.

        Its work is over by then and charged, be it that the session or the token is gone which would tell of it.
        """
        return opened.state is State.SENT or self._context.seconds_since_sent(opened) <= self._context.timings.horizon

    def _check_limits(
        self, expected: Mapping[str, float], estimate: float, attempt: Attempt, day: Sequence[Attempt]
    ) -> None:
        """`LimitError` if this message would pass its own limit, or the profile's for a run or the last 24 hours."""
        profile, caller = self._context.profile, self._caller
        day = day if profile.run_limit or profile.day_limit else ()

        def count(each: Attempt) -> float:
            usual = {each.kind: _choose_estimate(expected, each.kind, _find_draft_before(each))}
            return count_for_limits(each.kind, each.facts.money, usual)

        costs = [(each, count(each)) for each in day]
        limits = (
            (caller.budget.limit, "max_credits", caller.budget.without(attempt.key)),
            (profile.run_limit, "run_limit", sum(spent for each, spent in costs if each.run == caller.run)),
            (profile.day_limit, "day_limit", sum(spent for _, spent in costs)),
        )
        for limit, name, spent in limits:
            if 0 < limit < spent + estimate:
                raise LimitError(
                    "limit",
                    estimate=f"{estimate:g}",
                    limit=limit,
                    limit_name=Phrase(f"limit-name.{name}"),
                    place=Phrase(f"limit-place.{name}"),
                    spent=f"{spent:g}",
                    left=f"{max(limit - spent, 0):g}",
                )


def _choose_estimate(expected: Mapping[str, float], kind: str, draft: Mapping[str, Any] | None) -> float:
    """Credits that a message is expected to take: a chat before there is a `draft` asks for the first video."""
    if kind == "chat" and not is_ready(draft):
        return max(expected["chat"], expected["generate"])
    return expected[kind]


def _find_draft_before(attempt: Attempt) -> Mapping[str, Any] | None:
    baseline = attempt.facts.baseline
    return None if baseline is None else baseline.get("draft")


async def record_late_charges(
    context: StudioContext, account: str, credits: Credits | None
) -> tuple[dict[str, float], bool]:
    """Record what a balance of this account, read now, tells of charges that came after their work was finished.

    What each of these steps took, by key, and whether a charge is still to come. Each look at the balance tells it.
    """
    if credits is None:
        return {}, False
    return await context.journal.tell_charges(account, credits.held, context.wall() - context.timings.horizon)

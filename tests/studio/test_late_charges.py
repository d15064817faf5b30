"""Charges that come after the work is done, balances that say nothing, and what a run took."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nemo_client import Budget, Caller, Destination, LimitError, Money, NemoError, Studio, Tally, Wish
from nemo_client._config.timings import StudioTimings
from nemo_client._errors import LostRace
from nemo_client._journal.money import count_for_limits
from nemo_client._journal.steps import Event, State
from nemo_client._studio.reconcile import Baseline
from nemo_client._wire.schemas import Credits
from tests.support.backend import Cloud, cloud, picture

__all__ = ["cloud"]

WISH = Wish("slow push-in", duration=2)
Clouds = Callable[..., Cloud]


class Late:
    """The account's balance as a backend shows it that books a charge `seconds` after its work was done."""

    def __init__(self, backend: Cloud, studio: Studio, seconds: float) -> None:
        self.backend, self.seconds = backend, seconds
        self.booked: list[float] = []
        self._taken = 0.0
        self._read = studio._context.client.balance
        studio._context.client.balance = self.balance  # type: ignore[method-assign]

    async def balance(self) -> Credits:
        true = await self._read()
        now = self.backend.clock.time()
        taken = self.backend.ledger.credits_taken
        while self._taken < taken:
            self._taken += 100
            self.booked.append(now + self.seconds)
        hidden = 100.0 * sum(moment > now for moment in self.booked)
        return Credits(available=true.available + true.frozen + hidden, frozen=0)


async def test_a_limit_counts_what_was_not_charged_yet(cloud: Clouds) -> None:
    """Of five generations two fit into the limit, however late the balance falls."""
    backend = cloud()
    budget, passed = Budget(200), 0
    async with backend.studio() as studio:
        Late(backend, studio, 90.0)
        for seed in range(5):
            session = await studio.upload([picture(seed)])
            try:
                turned = await studio.generate(session, WISH, caller=Caller(budget=budget))
            except LimitError:
                continue
            passed += 1
            assert turned.money.sure is None, "no charge was seen yet"
        assert await studio._context.journal.charges("nemo", "generate") in ([], [100.0])

    assert passed == 2
    assert backend.ledger.credits_taken == 200


async def test_the_next_send_tells_what_the_one_before_took(cloud: Clouds) -> None:
    """Alone on the account, the later drop is that step's, exactly; the one after it begins from there."""
    backend = cloud()
    async with backend.studio() as studio:
        Late(backend, studio, 30.0)
        first = await studio.generate(await studio.upload([picture()]), WISH)
        assert (first.money.spent, first.money.certainty) == (None, "unknown")
        backend.clock.now += 60
        await studio.generate(await studio.upload([picture(2)]), WISH)
        told = await studio._context.journal.latest(first.session.key)

    assert told is not None
    assert (told.spent, told.facts["money"]["certainty"]) == (100, "exact")


async def test_side_by_side_each_is_a_bound_and_limits_count_the_sum_once(cloud: Clouds) -> None:
    """Three at once of 100 each: the balance fell by 300, and that is what the last day counts for."""
    backend = cloud()
    async with backend.studio() as studio:
        sessions = [await studio.upload([picture(shade)]) for shade in (10, 40, 70)]
        made = await asyncio.gather(*(studio.generate(each, WISH) for each in sessions))
        day = await studio._context.journal.paid_since("nemo", 0.0)
        counted = [count_for_limits(each.kind, Money.from_json(each.facts.get("money"))) for each in day]

    assert backend.ledger.credits_taken == 300
    assert sum(counted) == 300
    assert all(each.money.certainty != "exact" or each.money.spent == 100 for each in made)
    assert Tally(each.money for each in made).total == 300


async def test_a_zero_after_the_horizon_is_exact_and_no_usual_price(cloud: Clouds) -> None:
    """Nothing was taken for it in the end; the price of others is not guessed from that."""
    backend = cloud()
    async with backend.studio() as studio:
        late = Late(backend, studio, 1e9)
        first = await studio.generate(await studio.upload([picture()]), WISH)
        backend.clock.now += StudioTimings.horizon + 1
        await studio.generate(await studio.upload([picture(2)]), WISH)
        told = await studio._context.journal.latest(first.session.key)
        assert told is not None
        assert (told.spent, told.facts["money"]["certainty"]) == (0, "exact")
        assert await studio._context.journal.charges("nemo", "generate") == []
        assert late.booked


async def test_an_unreadable_balance_stops_nothing_where_no_limit_needs_it(cloud: Clouds) -> None:
    """The money is unknown then; with a limit, the reason is told and nothing is sent."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        backend.fault("http_500", "credits", count=None)
        with pytest.raises(NemoError):
            await studio.generate(session, WISH, caller=Caller(budget=Budget(500)))
        assert backend.sent("message") == 0
        turned = await studio.generate(session, WISH)

    assert (turned.money.spent, turned.money.certainty) == (None, "unknown")
    assert len(backend.ledger.messages) == 1


async def test_an_unlimited_account_is_none_without_credits(cloud: Clouds) -> None:
    """-1 is no balance; limits of one's own still count the usual price."""

    async def unlimited() -> Credits:
        return Credits(available=-1)

    backend = cloud()
    async with backend.studio() as studio:
        studio._context.client.balance = unlimited  # type: ignore[method-assign]
        session = await studio.upload([picture()])
        with pytest.raises(LimitError):
            await studio.generate(session, WISH, caller=Caller(budget=Budget(50)))
        turned = await studio.generate(session, WISH)

    assert (turned.money.before, turned.money.spent, turned.money.certainty) == (None, None, "unknown")


async def test_a_result_that_comes_late_is_never_told_as_another_attempt(cloud: Clouds) -> None:
    """The message was sent once more meanwhile: what this one made is not what that one will make."""
    backend = cloud()
    async with backend.studio() as studio:
        turned = await studio.generate(await studio.upload([picture()]), WISH)
        journal, reconciler = studio._context.journal, studio._sender._reconciler
        done = await journal.latest(turned.session.key)
        assert done is not None
        begun = await journal.begin(replace(done, key="generate-late", id=0, epoch=0, state=State.PLANNED))
        seen = attempt = await journal.move(begun, Event.SEND)
        for event in (Event.BREAK, Event.EXPIRE, Event.RESEND):
            attempt = await journal.move(attempt, event)
        baseline = Baseline.from_json(done.facts["baseline"])
        state = await studio._context.client.state(done.session_id)

        with pytest.raises(LostRace):
            await reconciler.finish(seen, Event.FINISH, baseline, state, "")
    assert attempt.number == seen.number + 1


async def test_what_is_begun_again_in_a_run_counts_what_it_paid(cloud: Clouds, tmp_path: Path) -> None:
    """A render's submission that is refused makes the work begin again: the generation was paid in this very run."""
    backend = cloud()
    async with backend.studio() as studio:
        caller = Caller()
        destination = Destination(tmp_path, "clip")
        session = await studio.upload([picture()])
        await studio.generate(session, WISH, caller=caller)
        again = await studio.animate([picture()], WISH, destination, caller=caller)
        other = await studio.animate([picture()], WISH, destination, caller=Caller(run=caller.run))
        later = await studio.animate([picture()], WISH, destination, caller=Caller())

    assert (again.reused, again.money.spent) == (False, 100)
    assert other.reused, "another node of the same run did not pay for it"
    assert later.reused

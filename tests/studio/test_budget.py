"""Limits that several messages share: what was not sent takes nothing, and one caller's limit is not another's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from nemo_client import (
    Budget,
    Caller,
    Journal,
    LimitError,
    NemoError,
    NoCredits,
    ResultUnknown,
    Studio,
    Turned,
    Wish,
    home,
)
from tests.support.backend import Cloud, Seen, cloud, picture

__all__ = ["cloud"]
WISH = Wish("slow push-in", duration=2)
Clouds = Callable[..., Cloud]


async def generated(studio: Studio, shade: int, budget: Budget) -> Turned:
    session = await studio.upload([picture(shade)])
    return await studio.generate(session, WISH, caller=Caller(budget=budget))


async def test_side_by_side_they_never_pass_their_limit(cloud: Clouds) -> None:
    """Eight items of 100 with 250 for all: two go out, whatever the order in which they come to the wire."""
    backend = cloud()
    budget = Budget(250)
    async with backend.studio() as studio:
        outcomes = await asyncio.gather(
            *(generated(studio, 10 * number, budget) for number in range(8)), return_exceptions=True
        )

    assert sum(isinstance(each, LimitError) for each in outcomes) == 6
    assert len(backend.ledger.messages) == 2


async def test_a_refused_message_gives_its_share_back(cloud: Clouds) -> None:
    """Nothing was charged for it, so the next item may have it."""
    backend = cloud()
    backend.fault("http_429", "message")
    budget = Budget(100)
    async with backend.studio() as studio:
        with pytest.raises(NemoError):
            await generated(studio, 10, budget)
        assert budget.without("") == 0

        assert (await generated(studio, 20, budget)).money.spent == 100


async def test_what_is_found_takes_nothing(cloud: Clouds) -> None:
    """An item that is in the journal leaves the whole limit to the others."""
    backend = cloud()
    async with backend.studio() as studio:
        await generated(studio, 10, Budget())
        budget = Budget(100)

        assert (await generated(studio, 10, budget)).reused
        assert (await generated(studio, 20, budget)).money.spent == 100


async def test_another_node_s_limit_is_not_mine(cloud: Clouds) -> None:
    """Two nodes of a graph ask for the same: the one with too small a limit fails, the other one gets its video."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        small, free = (
            asyncio.ensure_future(studio.generate(session, WISH, caller=Caller(budget=Budget(limit))))
            for limit in (50, 0)
        )
        await asyncio.wait({small, free})

    assert isinstance(small.exception(), LimitError)
    assert free.result().money.spent == 100
    assert len(backend.ledger.messages) == 1


async def test_what_one_process_left_another_may_do_at_once(cloud: Clouds) -> None:
    """A message that was planned and did not fit has no owner, also while the process that planned it lives."""
    backend = cloud()
    async with backend.studio() as first, backend.studio() as second:  # each with a journal of its own, as processes
        session = await first.upload([picture()])
        with pytest.raises(LimitError):
            await first.generate(session, WISH, caller=Caller(budget=Budget(50)))
        turned = await asyncio.wait_for(second.generate(session, WISH), 10)
        again = await asyncio.wait_for(first.generate(session, WISH), 10)

    assert (turned.money.spent, turned.reused, again.reused) == (100, False, True)
    assert len(backend.ledger.messages) == 1


async def test_what_is_let_go_gives_its_session_back_with_it(cloud: Clouds) -> None:
    """In one transaction: a claim that another process makes in between would be undone, and two would send there."""

    class Watched(Journal):
        async def yield_claim(self, *_: str) -> None:
            raise AssertionError("a claim is undone by itself")

    backend = cloud()
    async with Watched(home(), "sqlite://") as journal, backend.studio(journal=journal) as first:
        session = await first.upload([picture()])
        with pytest.raises(LimitError):
            await first.generate(session, WISH, caller=Caller(budget=Budget(50)))

        assert await first._context.journal.head(session.session_id) == session.key


async def test_a_chat_that_asks_for_the_first_video_is_priced_like_a_generation(cloud: Clouds) -> None:
    """Behind uploads alone it makes one; in a project that has a video it is an edit. Limits count the same."""
    backend = cloud()
    told = []
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(LimitError, match="about 100 credits"):
            await studio.chat(session, "make a video of it", caller=Caller(budget=Budget(60)))
        for message in ("make a video of it", "make the title larger"):
            seen = Seen()
            session = (await studio.chat(session, message, caller=Caller(seen))).session
            told.append({report.price for report in seen.reports if report.price})

    assert told[0] == {100}
    assert len(backend.ledger.messages) == 2


async def test_a_chat_in_flight_counts_like_the_generation_that_it_is(cloud: Clouds) -> None:
    """What credits and limits keep for it is what it was admitted with, whatever is asked for beside it."""
    backend = cloud(credits=180)
    backend.fault("refuse", "message")
    async with backend.studio() as studio:
        with pytest.raises(ResultUnknown):
            await studio.chat(await studio.upload([picture()]), "make a video of it")
        other = await studio.upload([picture(40)])
        with pytest.raises(NoCredits):
            await studio.generate(other, WISH)

    assert not backend.ledger.messages

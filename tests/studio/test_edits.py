"""Edits that were made before with other words: the three ways out, each paid once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nemo_client import Budget, Caller, InputError, LimitError, SessionBusy, SessionGone, SessionHandle, Studio, Wish
from tests.support.backend import Cloud, cloud, picture

__all__ = ["cloud"]

WISH = Wish("slow push-in", duration=2)
Clouds = Callable[..., Cloud]


async def generated(studio: Studio) -> SessionHandle:
    return (await studio.generate(await studio.upload([picture()]), WISH)).session


async def test_an_edit_with_other_words_stops_with_the_ways_out(cloud: Clouds) -> None:
    """The session holds the first edit; a second one there would not be the graph's second one."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        first = await studio.edit(at, "make it 4 seconds")

        with pytest.raises(SessionBusy, match="generate again") as caught:
            await studio.edit(at, "make it 6 seconds")
        again = await studio.edit(at, "make it 4 seconds")

    assert caught.value.charged == "no"
    assert (again.session, again.reused) == (first.session, True)
    assert backend.sent("message") == 2


async def test_it_can_go_on_from_the_newest_state(cloud: Clouds) -> None:
    """Both edits count then; queued again, the second is found and not made a third time."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        await studio.edit(at, 'add title "Morning"')
        second = await studio.edit(at, "make it 6 seconds", when_changed="edit the newest state")
        again = await studio.edit(at, "make it 6 seconds", when_changed="edit the newest state")

    assert "Morning" in second.timeline
    assert "0-6s" in second.timeline
    assert (again.session, again.reused) == (second.session, True)
    assert backend.ledger.credits_taken == 100 + 50 + 50


async def test_everything_before_it_can_be_made_again(cloud: Clouds) -> None:
    """In a session of its own, without the first edit, paid once for each changed instruction."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        await studio.edit(at, 'add title "Morning"')
        second = await studio.edit(at, "make it 6 seconds", when_changed="generate again (pays)")
        again = await studio.edit(at, "make it 6 seconds", when_changed="generate again (pays)")

    assert "Morning" not in second.timeline
    assert "0-6s" in second.timeline
    assert second.session.session_id != at.session_id
    assert (again.session, again.reused) == (second.session, True)
    assert backend.ledger.credits_taken == 2 * (100 + 50)


async def test_what_was_made_again_counts_for_its_price(cloud: Clouds) -> None:
    """The generation and the edit are told as one sum, and as nothing once they are found."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        await studio.edit(at, 'add title "Morning"')
        second = await studio.edit(at, "make it 6 seconds", when_changed="generate again (pays)")
        again = await studio.edit(at, "make it 6 seconds", when_changed="generate again (pays)")

    assert (second.money.spent, second.money.before, second.money.after) == (150, 850, 700)
    assert not second.reused
    assert again.taken.spent == 0


async def test_a_limit_met_on_the_way_says_that_something_was_charged(cloud: Clouds) -> None:
    """The generation was made again, the edit after it is above the limit: "nothing was charged" would be wrong."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        await studio.edit(at, 'add title "Morning"')
        caller = Caller(budget=Budget(120))
        with pytest.raises(LimitError) as caught:
            await studio.edit(at, "make it 6 seconds", when_changed="generate again (pays)", caller=caller)

    assert caught.value.charged == "yes"
    assert backend.ledger.credits_taken == 100 + 50 + 100


async def test_an_odd_choice_is_named(cloud: Clouds) -> None:
    """The message lists what there is."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        with pytest.raises(InputError, match="edit the newest state"):
            await studio.edit(at, "make it 4 seconds", when_changed="often")


async def test_what_was_paid_for_in_a_lost_session_is_named(cloud: Clouds) -> None:
    """Before anything is charged again, the error says what it was and what it took."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        backend.fault("lost_session", "*", count=None)
        with pytest.raises(SessionGone, match=r"slow push-in.*100 credits were paid for it") as caught:
            await studio.edit(at, "make it 4 seconds")

    assert caught.value.charged == "yes"
    assert backend.sent("message") == 1

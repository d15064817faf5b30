"""Clocks that are set, accounts that profiles share, Studios that share a journal: what the record then says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from nemo_client import (
    Caller,
    Journal,
    NoCredits,
    NothingMade,
    ResultUnknown,
    SessionGone,
    Studio,
    Turned,
    Wish,
    home,
)
from nemo_client._config.timings import StudioTimings
from nemo_client._journal.records import Attempt
from nemo_client._journal.steps import Event, State
from tests.support.backend import Clock, Cloud, cloud, memory_journal, picture, until

__all__ = ["cloud"]
WISH = Wish("slow push-in", duration=2)
Clouds = Callable[..., Cloud]


class SetClock:
    """A wall clock beside the one of `Cloud`: it goes on with that, and can be set."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ahead = 0.0

    def time(self) -> float:
        return self.clock.now + self.ahead


def open_with(backend: Cloud, wall: SetClock, **options: Any) -> Any:
    return Studio.open("nemo", sleep=backend.clock.sleep, clock=backend.clock.time, wall=wall.time, **options)


async def generated(studio: Studio, wish: Wish = WISH) -> Turned:
    return await studio.generate(await studio.upload([picture()]), wish)


async def newest(studio: Studio, kind: str) -> Attempt:
    return next(each for each in await studio.journal.recent() if each.kind == kind)


@pytest.mark.parametrize("hours", [2, -2])
async def test_a_clock_that_is_set_neither_ends_the_wait_nor_makes_it_longer(hours: int, cloud: Clouds) -> None:
    """The horizon is measured by the steady clock in the process that sent the message."""
    backend = cloud()
    wall = SetClock(backend.clock)
    backend.fault("refuse", "message")
    async with await open_with(backend, wall) as studio:
        with pytest.raises(ResultUnknown):
            await generated(studio)
        wall.ahead = hours * 3600.0
        with pytest.raises(ResultUnknown) as early:
            await generated(studio)
        waiting = await newest(studio, "generate")
        backend.clock.now += StudioTimings.horizon
        with pytest.raises(NothingMade):
            await generated(studio)

    assert (early.value.id, waiting.state) == ("result-unknown", State.UNKNOWN)
    assert backend.sent("message") == 1


async def test_a_clock_set_back_between_runs_makes_nobody_wait_for_it(cloud: Clouds) -> None:
    """Another process knows that the message went out before it met it."""
    backend = cloud()
    wall = SetClock(backend.clock)
    backend.fault("refuse", "message")
    async with await open_with(backend, wall) as studio:
        with pytest.raises(ResultUnknown):
            await generated(studio)
    wall.ahead = -10 * 24 * 3600.0
    async with await open_with(backend, wall) as studio:
        with pytest.raises(ResultUnknown):
            await generated(studio)
        backend.clock.now += StudioTimings.horizon
        with pytest.raises(NothingMade):
            await generated(studio)


async def test_a_message_is_recorded_behind_the_one_before_it_by_any_clock() -> None:
    """What went out later in a session tells of the earlier one; a clock that is set back turns nothing round."""
    now = 1000.0

    async with Journal(home(), "sqlite://", wall=lambda: now) as journal:
        sent = []
        for number, moment in enumerate([5000.0, 1000.0, 900.0]):
            now = moment
            begun = await journal.begin(
                Attempt(f"edit-{number}", 1, State.PLANNED, "nemo", session_id="s", account="a")
            )
            sent.append(await journal.move(begun, Event.SEND))
        elsewhere = await journal.begin(Attempt("edit-x", 1, State.PLANNED, "nemo", session_id="t", account="a"))
        elsewhere = await journal.move(elsewhere, Event.SEND)
        after = [await journal.sent_after(each) for each in sent]

    assert [each and each.key for each in after] == ["edit-1", "edit-2", None]
    assert elsewhere.sent == 900.0


async def test_a_message_that_stays_unknown_keeps_no_credits_after_the_horizon(cloud: Clouds) -> None:
    """Its session or its token is gone for ever: what it did is charged by then, and the rest is free to use."""
    backend = cloud(credits=120)
    backend.fault("refuse", "message")
    async with backend.studio() as studio:
        with pytest.raises(ResultUnknown):
            await generated(studio)
        backend.fault("lost_session", "state", count=None)
        with pytest.raises(SessionGone):
            await generated(studio)
        backend.faults.clear()
        other = await studio.upload([picture(40)])
        with pytest.raises(NoCredits):
            await studio.generate(other, WISH)
        backend.clock.now += StudioTimings.horizon
        turned = await studio.generate(other, WISH)
        unknown = [each for each in await studio.journal.recent() if each.state is State.UNKNOWN]

    assert (turned.money.spent, turned.money.certainty) == (100, "exact")
    assert len(unknown) == 1
    assert len(backend.ledger.messages) == 1


async def test_two_profiles_of_one_account_claim_no_exact_price_side_by_side(
    cloud: Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the other profile sent meanwhile is in the same balance."""
    backend = cloud()
    twin = {"api_url": backend.backend.url, "web_url": "https://web.test", "token_env": "TWIN_TOKEN"}
    home().mkdir(parents=True, exist_ok=True)
    (home() / "profiles.json").write_text(json.dumps({"profiles": {"twin": twin}}))
    monkeypatch.setenv("TWIN_TOKEN", backend.backend.token)
    time = backend.clock
    given: dict[str, Any] = {"sleep": time.sleep, "clock": time.time, "wall": time.time}
    async with backend.studio() as first, await Studio.open("twin", journal=first.journal, **given) as second:
        moment, start = await first.begin_spending()
        mine, other = await first.upload([picture()]), await second.upload([picture(40)])
        with backend.faults.hold():
            both = asyncio.gather(
                first.generate(mine, WISH, caller=Caller(run="one")),
                second.generate(other, WISH, caller=Caller(run="two")),
            )
            await until(lambda: backend.sent("message") == 2)
        moneys = [each.money for each in await both]
        batch = await first.measure_spending(moment - 1, start, "one")
        accounts = {each.account for each in await first.journal.recent()}

    assert len(accounts) == 1
    assert {each.certainty for each in moneys} <= {"at most", "unknown"}
    assert batch.certainty == "at most"


async def test_two_studios_with_one_journal_read_one_stream(cloud: Clouds) -> None:
    """They are one owner: the second waits for the first, and does not take its stream for a dead one."""
    backend = cloud()
    backend.clock.real = 0.02
    async with backend.studio() as first, backend.studio(journal=first.journal) as second:
        session = await first.upload([picture()])
        with backend.faults.hold():
            one = asyncio.ensure_future(first.generate(session, WISH))
            await until(lambda: backend.sent("message"))
            another = asyncio.ensure_future(second.generate(session, WISH))
            await asyncio.sleep(0.1)
        two = await another
        states = [each.epoch for each in await first.journal.recent()]

    assert (await one).session == two.session
    assert states == [2]
    assert (backend.sent("message"), backend.ledger.credits_taken) == (1, 100)


async def test_a_studio_whose_loop_has_ended_keeps_no_turn(cloud: Clouds) -> None:
    """Its stream is read no more: the message is settled by the next one who asks."""
    journal = memory_journal()

    async def take() -> object:
        return journal.take_turn("generate-x")

    await asyncio.to_thread(lambda: asyncio.run(take()))

    assert journal.take_turn("generate-x") is not None
    await journal.close()

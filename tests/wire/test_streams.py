"""Many messages at once: no more streams than the profile allows, and those that wait for their turn stay planned."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from nemo_client import Caller, InputError, Studio, Turned, Wish, home, profile
from nemo_client._config.profiles import STREAMS
from nemo_client._journal.steps import State
from nemo_client._wire.http import CALLS_AT_ONCE
from tests.support.backend import Cloud, Seen, cloud, picture, until

__all__ = ["cloud"]
Clouds = Callable[..., Cloud]


def allow(streams: object) -> None:
    """Let the profile `nemo` have so many streams."""
    home().mkdir(parents=True, exist_ok=True)
    (home() / "profiles.json").write_text(json.dumps({"profiles": {"nemo": {"streams": streams}}}))


def generating(studio: Studio, number: int, caller: Caller | None = None) -> asyncio.Task[Turned]:
    async def generate() -> Turned:
        session = await studio.upload([picture(number)])
        return await studio.generate(session, Wish("slow push-in", duration=2), caller=caller)

    return asyncio.ensure_future(generate())


async def states(studio: Studio) -> Counter[State]:
    return Counter(each.state for each in await studio._context.journal.recent())


async def test_only_so_many_streams_are_open_at_once(cloud: Clouds) -> None:
    """All come to their end, each with one message."""
    allow(2)
    backend = cloud(generation_seconds=0.1)
    async with backend.studio() as studio:
        client, out, most = studio._context.client, 0, 0
        run = client.run

        @contextlib.asynccontextmanager
        async def watched(*args: Any) -> Any:
            nonlocal out, most
            async with run(*args) as events:
                out += 1
                most = max(most, out)
                yield events
            out -= 1

        client.run = watched  # type: ignore[method-assign]
        done = await asyncio.gather(*(generating(studio, number) for number in range(6)))

    assert most == 2
    assert backend.sent("message") == len({each.session.key for each in done}) == 6


async def test_one_that_waits_is_planned_and_shown_as_waiting(cloud: Clouds) -> None:
    """Nothing is recorded as sent before its turn: a process that dies now leaves nothing in doubt."""
    allow(1)
    backend, second = cloud(), Seen()
    async with backend.studio() as studio:
        with backend.faults.hold():
            first = generating(studio, 1)
            await until(lambda: backend.sent("message"))
            other = generating(studio, 2, Caller(second))
            await until(lambda: "queue" in second.stages)
            meanwhile, sent = await states(studio), backend.sent("message")
        await asyncio.gather(first, other)

    assert meanwhile == {State.SENT: 1, State.PLANNED: 1}
    assert sent == 1
    assert backend.sent("message") == 2


async def test_a_cancel_while_waiting_sends_nothing_and_leaves_no_trace_in_the_line(cloud: Clouds) -> None:
    """Its place in the line and its claim of the session are free again; asked again it goes out."""
    allow(1)
    backend, seen = cloud(), Seen()
    async with backend.studio() as studio:
        with backend.faults.hold():
            first, caller = generating(studio, 1), Caller(seen)
            await until(lambda: backend.sent("message"))
            second = generating(studio, 2, caller)
            await until(lambda: "queue" in seen.stages)
            caller.gave_up = True
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
        await first
        after = await states(studio)
        sent = backend.sent("message")
        again = await generating(studio, 2)

    assert after == {State.DONE: 1, State.PLANNED: 1}
    assert sent == 1
    assert not again.reused
    assert backend.sent("message") == 2


async def test_one_that_all_have_left_while_it_waited_is_not_sent(cloud: Clouds) -> None:
    """A sibling's failure detaches it; when its turn comes no one waits for it any more, and nothing is spent."""
    allow(1)
    backend, seen = cloud(), Seen()
    async with backend.studio() as studio:
        with backend.faults.hold():
            first = generating(studio, 1)
            await until(lambda: backend.sent("message"))
            second = generating(studio, 2, Caller(seen))
            await until(lambda: "queue" in seen.stages)
            second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        await studio.drain(only_committed=False)

    assert backend.sent("message") == 1


async def test_a_refused_message_gives_its_turn_free(cloud: Clouds) -> None:
    """Each of the line is told its own refusal."""
    allow(1)
    backend = cloud(credits=0)
    async with backend.studio() as studio:
        ended = await asyncio.gather(*(generating(studio, number) for number in range(3)), return_exceptions=True)

    assert all(isinstance(each, Exception) for each in ended)


async def test_many_requests_wait_their_turn_before_the_pool(cloud: Clouds) -> None:
    """The pool's own line costs the square of its length."""
    backend = cloud()
    async with backend.studio() as studio:
        http, most, out = studio._context.client.http, 0, 0
        exchange = http._send_and_read

        async def watched(*args: Any) -> Any:
            nonlocal most, out
            out += 1
            most = max(most, out)
            try:
                return await exchange(*args)
            finally:
                out -= 1

        http._send_and_read = watched  # type: ignore[method-assign]
        await asyncio.gather(*(studio.credits() for _ in range(5 * CALLS_AT_ONCE)))

    assert most == CALLS_AT_ONCE


def test_streams_are_a_setting_of_the_profile() -> None:
    """64 unless told otherwise."""
    before = profile("nemo").streams
    allow(3)

    assert (before, profile("nemo").streams) == (STREAMS, 3)


@pytest.mark.parametrize("streams", [0, -1, True, "many", 1.5], ids=str)
def test_a_wrong_number_of_streams_is_told(streams: object) -> None:
    """It names the setting."""
    allow(streams)

    with pytest.raises(InputError) as caught:
        profile("nemo")
    assert "streams" in caught.value.facts["reason"]

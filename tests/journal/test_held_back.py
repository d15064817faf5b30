"""A message whose record has become too old is held back at the last moment, and asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from nemo_client import Journal, Wish, home
from nemo_client._errors import TooLate
from nemo_client._journal.leases import read_monotonic_mark, seconds_since
from nemo_client._journal.steps import State
from tests.support.backend import Cloud, always, answer, client_of, cloud, picture, serving

__all__ = ["cloud"]


async def test_not_one_byte_of_a_message_that_is_held_back_is_written() -> None:
    """It is asked once the connection is there, however long that took, and right before the body."""
    asked: list[int] = []

    async with serving(always(answer({}))) as server, client_of(server.url) as client:

        def may_go() -> bool:
            asked.append(server.connections)
            return False

        with pytest.raises(TooLate):
            async with client.run("s", "hello", may_go):
                raise AssertionError("it was sent")
        await asyncio.sleep(0.05)

    assert asked == [1]
    assert server.asked == []  # no whole request


async def test_what_was_held_back_is_asked_for_anew_and_paid_once(
    cloud: Callable[..., Cloud],
) -> None:
    """Refused for certain, then planned, admitted and sent like any other."""
    backend, answers = cloud(), [False, False, True]

    class Hesitant(Journal):
        def keeps(self, since: object) -> bool:
            return answers.pop(0)

    async with Hesitant(home(), "sqlite://") as journal, backend.studio(journal=journal) as studio:
        turned = await studio.generate(await studio.upload([picture()]), Wish("slow push-in", duration=2))
        recorded = sorted(await studio._context.journal.recent(), key=lambda each: each.number)

    assert answers == []
    assert [each.state for each in recorded] == [State.REFUSED, State.REFUSED, State.DONE]
    assert turned.money.spent == 100
    assert len(backend.ledger.messages) == 1


def test_a_record_counts_for_less_than_what_is_left_of_a_lease(tmp_path: Path) -> None:
    """The lease of who records a message is at most `renew` seconds old then."""
    journal = Journal(tmp_path)
    steady, wall = read_monotonic_mark()
    limit = journal.timings.lease * 2 / 3

    assert limit < journal.timings.lease - journal.timings.renew
    assert journal.keeps((steady - limit / 2, wall))
    assert not journal.keeps((steady - limit - 1, wall))
    journal._thread.shutdown()


def test_time_passes_while_a_machine_sleeps() -> None:
    """One clock stands then; the other can be set back. The larger difference counts."""
    since = (1000.0, 2_000_000_000.0)

    assert seconds_since(since, (1000.0, 2_000_003_600.0)) == 3600
    assert seconds_since(since, (1010.0, 1_000_000_000.0)) == 10

"""Sessions by their id, and what a shell asks of a Studio beside the steps themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nemo_client import SessionGone, Wish
from nemo_client._studio.jobs import list_jobs
from tests.support.backend import Cloud, cloud, picture

__all__ = ["cloud"]
Clouds = Callable[..., Cloud]
WISH = Wish("slow push-in", duration=2)


async def test_a_session_without_uploads_takes_messages_and_is_attached_again_by_its_id(cloud: Clouds) -> None:
    """A message that was sent there already is found behind the handle, so that nothing goes out twice."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.open_session("auto", "a cat on a boat")
        said = await studio.chat(session, "a cat on a boat")
        attached = await studio.attach_session(session.session_id, message="a cat on a boat")
        again = await studio.chat(attached, "a cat on a boat")

        assert (await studio.attach_session(session.session_id)).key == said.session.key
    assert attached.key == session.key
    assert again.reused
    assert len(backend.ledger.messages) == 1


async def test_a_session_that_the_backend_does_not_know_cannot_be_attached(cloud: Clouds) -> None:
    """It is asked for by a free read."""
    async with cloud().studio() as studio:
        with pytest.raises(SessionGone):
            await studio.attach_session("no-such-session")


async def test_a_job_is_finished_by_itself_and_names_its_wanted_export(cloud: Clouds) -> None:
    """What a generation made is found again by its job; no export was asked for yet."""
    backend = cloud()
    async with backend.studio() as studio:
        made = await studio.generate(await studio.upload([picture()]), WISH)
        (job,) = await list_jobs(studio.journal)

        assert (await studio.finish_job(job)).session.key == made.session.key
        assert await studio.find_wanted_export(job) is None
    assert len(backend.ledger.messages) == 1


async def test_spending_is_exact_where_only_this_run_sent_something(cloud: Clouds) -> None:
    """The balance before and after tells; a message of another run makes it an upper bound."""
    async with cloud().studio() as studio:
        moment, start = await studio.begin_spending()
        made = await studio.generate(await studio.upload([picture()]), WISH)
        attempt = await studio.journal.latest(made.session.key)
        assert attempt is not None

        own = await studio.measure_spending(moment - 1, start, attempt.run)
        other = await studio.measure_spending(moment - 1, start, "another run")

        assert (own.spent, own.certainty) == (100, "exact")
        assert (other.spent, other.certainty) == (100, "at most")
        assert await studio.estimate_price() == 100
        assert await studio.estimate_seconds() is not None

"""What is forgotten with a job: its kept uploads, unless another job needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from nemo_client import Studio, Wish, forget_job, home, list_jobs
from nemo_client._journal.schema import ATTEMPTS
from tests.support import backend
from tests.support.backend import Cloud

cloud = backend.cloud


async def made(studio: Studio, seed: int, shade: int = 90) -> str:
    """A generated video of a picture; its job's key."""
    turned = await studio.generate(await studio.upload([backend.picture(shade)]), Wish("slow push-in", seed=seed))
    return str(turned.session.key)


async def forget(studio: Studio, key: str) -> int:
    jobs = await list_jobs(studio._context.journal, hidden=True)
    return await forget_job(studio._context.journal, next(job for job in jobs if job.key == key))


async def becomes(studio: Studio, key: str, state: str) -> None:
    """As after a broken connection."""

    def write(database: Any, _: Any) -> None:
        with database.writing() as connection:
            connection.execute(sa.update(ATTEMPTS).where(ATTEMPTS.c.key == key).values(state=state))

    await studio._context.journal.work(write)


def kept() -> int:
    return len(list((home() / "uploads").iterdir()))


@pytest.mark.parametrize("state", ["sent", "unknown", "planned"])
async def test_what_an_open_job_needs_outlives_it_from_the_lists(state: str, cloud: Callable[..., Cloud]) -> None:
    """Forgotten while its message was out, it may yet have to repeat its upload; another job's end changes nothing."""
    async with cloud().studio() as studio:
        out, finished = await made(studio, 1), await made(studio, 2)
        await becomes(studio, out, state)
        await forget(studio, out)

        assert kept() == 1, "of a job that is out nothing is deleted"
        assert await forget(studio, finished) == 0
        assert kept() == 1
        await becomes(studio, out, "done")
        assert await forget(studio, out) == 1
    assert kept() == 0


async def test_each_job_s_own_pictures_go_with_it(cloud: Callable[..., Cloud]) -> None:
    """A shared one goes with the last."""
    async with cloud().studio() as studio:
        first, second, other = await made(studio, 1), await made(studio, 2), await made(studio, 3, shade=30)

        deleted = [(await forget(studio, key), kept()) for key in (first, other, second)]

    assert deleted == [(0, 2), (1, 1), (1, 0)]

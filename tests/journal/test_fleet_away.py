"""The fleet's database goes away in the middle: what is out is read on and recorded later, nothing new is sent."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from nemo_client import (
    Budget,
    Caller,
    ConnectionBroken,
    Destination,
    DiskError,
    InputError,
    Journal,
    NemoError,
    Output,
    Studio,
    Turned,
    Wish,
    list_jobs,
    pick_job,
)
from nemo_client._config.timings import timings_in_use
from nemo_client._errors import JournalAway
from nemo_client._journal.steps import Event, State
from tests.support.backend import Cloud, Seen, cloud, draw, picture, until
from tests.support.postgres import Network, Server, needs_postgres, network, postgres, url
from tests.support.timings import Shorten

__all__ = ["cloud", "network", "postgres", "url"]
pytestmark = [needs_postgres, pytest.mark.long]
WISH = Wish("slow push-in", duration=2)
Clouds = Callable[..., Cloud]


@pytest.fixture(autouse=True)
def _soon(shorten: Shorten) -> None:
    """The database is asked again quickly."""
    shorten(journal={"away_pause": 0.05, "rest": 0.02})


@pytest.fixture
def through(url: str, postgres: Server, network: Network) -> str:
    """The database's URL through a network that can be cut."""
    return postgres.url(url.rpartition("/")[2], network.port)


@contextlib.asynccontextmanager
async def machine(
    cloud: Cloud, place: Path, url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> AsyncIterator[Studio]:
    """A Studio on a machine of its own."""
    monkeypatch.setenv("NEMO_HOST_ID", name)
    journal = Journal(place / name, url, wall=cloud.clock.time)
    try:
        async with cloud.studio(directory=place / name, journal=journal) as studio:
            yield studio
    finally:
        await journal.close()


async def generated(studio: Studio, **rest: Any) -> Turned:
    return await studio.generate(await studio.upload([picture()]), WISH, **rest)


async def streaming(cloud: Cloud, studio: Studio, work: asyncio.Future[Any]) -> None:
    """Until the message is in flight."""
    await until(lambda: cloud.ledger.messages or work.done())
    assert not work.done()


def cut(network: Network, postgres: Server) -> None:
    network.cut()


def swallow(network: Network, postgres: Server) -> None:
    network.swallow()


def killed(network: Network, postgres: Server) -> None:
    postgres.stop()


@pytest.mark.parametrize("away", [cut, swallow, killed])
async def test_an_open_stream_is_read_to_its_end_and_recorded_when_the_database_is_back(
    cloud: Clouds, through: str, network: Network, postgres: Server, shorten: Shorten, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path, away: Callable[..., None],
) -> None:  # fmt: skip
    """Whether the server is killed, the network cut, or nothing comes through: the price and the result are kept."""
    shorten(journal={"silent": 0.5, "connect": 2})
    backend, seen = cloud(), Seen()
    async with machine(backend, tmp_path, through, monkeypatch, "one") as studio:
        session = await studio.upload([picture()])
        with backend.faults.hold():
            work = asyncio.ensure_future(studio.generate(session, WISH, caller=Caller(seen)))
            await streaming(backend, studio, work)
            await asyncio.to_thread(away, network, postgres)
        await until(lambda: "record" in seen.stages)
        assert not work.done()
        with pytest.raises(JournalAway) as caught:
            await studio.generate(session, dataclasses.replace(WISH, seed=2))
        if away is killed:
            await asyncio.to_thread(postgres.start)
        network.open()
        turned = await work

        assert (caught.value.id, caught.value.charged) == ("journal-away", "no")
        assert (turned.money.spent, turned.money.certainty) == (100, "exact")
        assert len(backend.ledger.messages) == 1
        recorded = await studio._context.journal.latest(turned.session.key)
        assert recorded is not None
        assert (recorded.state, recorded.spent) == (State.DONE, 100)
        other = await studio.generate(session, dataclasses.replace(WISH, seed=2))
        assert other.money.spent == 100


async def test_a_database_that_stays_away_is_told_and_the_result_is_found_later(
    cloud: Clouds, through: str, network: Network, shorten: Shorten, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Bounded: then an error says what to do. Asked again, also on another machine, nothing is sent twice."""
    shorten(journal={"away": 0.3})
    backend = cloud()
    async with machine(backend, tmp_path, through, monkeypatch, "one") as studio:
        with backend.faults.hold():
            work = asyncio.ensure_future(generated(studio))
            await streaming(backend, studio, work)
            network.cut()
        with pytest.raises(DiskError) as caught:
            await work
        network.open()
        await asyncio.sleep(2 * timings_in_use().journal.rest)
        assert (caught.value.id, caught.value.charged) == ("journal-unwritten", "maybe")
        assert "you won't pay twice" in str(caught.value).lower()
        again = await generated(studio)
        assert again.money.spent == 100
    async with machine(backend, tmp_path, through, monkeypatch, "two") as studio:
        assert (await generated(studio)).reused

    assert len(backend.ledger.messages) == 1
    assert backend.ledger.credits_taken == 100


@pytest.mark.parametrize("meanwhile", [State.SENT, State.UNKNOWN])
async def test_a_record_whose_answer_is_lost_sends_nothing_and_is_taken_back(
    cloud: Clouds, through: str, url: str, network: Network, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path, meanwhile: State,
) -> None:  # fmt: skip
    """The database goes as the message is put on record: it may be there as sent. Once it is back, it is not.

    Also where another machine has taken this one for dead meanwhile.
    """
    backend = cloud()
    async with machine(backend, tmp_path, through, monkeypatch, "one") as studio:
        session, journal = await studio.upload([picture()]), studio._context.journal
        commit = journal.commit

        async def unanswered(*arguments: Any, **rest: Any) -> Any:
            await commit(*arguments, **rest)
            network.cut()
            raise JournalAway(path="NEMO_JOURNAL_URL", reason="gone", unsure=True)

        journal.commit = unanswered  # type: ignore[method-assign]
        with pytest.raises(JournalAway):
            await studio.generate(session, WISH)
        assert len(backend.ledger.messages) == 0
        if meanwhile is State.UNKNOWN:
            other = Journal(tmp_path / "two", url)
            (left,) = await other.recent()
            await other.move(left, Event.OWNER_DIED)
            await other.close()
        journal.commit = commit  # type: ignore[method-assign]
        network.open()
        await until(lambda: not studio._context.in_flight._background)
        turned = await studio.generate(session, WISH)
        states = [each.state for each in sorted(await journal.recent(), key=lambda each: each.number)]

    assert turned.money.spent == 100
    assert states == [State.REFUSED, State.DONE]
    assert len(backend.ledger.messages) == 1


async def test_a_video_is_landed_and_recorded_when_the_database_is_back(
    cloud: Clouds, through: str, network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A render that is out is watched, fetched and delivered once."""
    backend, place = cloud(), Destination(tmp_path / "videos", "film")
    async with machine(backend, tmp_path, through, monkeypatch, "one") as studio:
        turned = await generated(studio)
        submit = studio._context.client.submit_render

        async def submitted(*arguments: Any) -> Any:
            job = await submit(*arguments)
            network.cut()
            asyncio.get_running_loop().call_later(0.4, network_opens)
            return job

        def network_opens() -> None:
            asyncio.get_running_loop().run_in_executor(None, network.open)

        studio._context.client.submit_render = submitted  # type: ignore[method-assign]
        video = await studio.export(turned.session, place)
        assert [path.name for path in place.folder.iterdir()] == [video.path.name]
        assert (await studio.export(turned.session, place)).reused

    assert len(backend.ledger.renders) == 1


async def test_a_closing_program_does_not_wait_for_the_database(
    cloud: Clouds, through: str, network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its lease ends by itself; the message in flight is settled by the next one that asks."""
    backend = cloud()
    async with machine(backend, tmp_path, through, monkeypatch, "one") as studio:
        with backend.faults.hold():
            work = asyncio.ensure_future(generated(studio))
            await streaming(backend, studio, work)
            network.cut()
            await asyncio.wait_for(studio.aclose(), timings_in_use().journal.away / 2)
        with pytest.raises((asyncio.CancelledError, NemoError)):
            await work


async def test_free_work_goes_on_without_its_record(
    through: str, network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The local preview needs no database; one line says that nothing is recorded, and not the password."""
    monkeypatch.setenv("NEMO_JOURNAL_URL", through)
    network.cut()
    with caplog.at_level(logging.WARNING, "nemo_client"):
        async with await Studio.open() as studio:
            assert studio.profile.free
    assert [record.message[:14] for record in caplog.records] == ["free work goes"]
    assert "hunter2" not in caplog.text


# --- Two machines ---------------------------------------------------------------------------------------------------


async def test_jobs_of_another_machine_are_shown_and_their_files_are_not(
    cloud: Clouds, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A path there means nothing here. Collected here, the video is fetched into a folder of this machine, as asked."""
    backend = cloud()
    there, here = Destination(tmp_path / "there", "film"), Destination(tmp_path / "here", "clip")
    async with machine(backend, tmp_path, url, monkeypatch, "one") as studio:
        made = await studio.animate([picture()], WISH, there, Output("webm"))
        (shown,) = await list_jobs(studio._context.journal)
    async with machine(backend, tmp_path, url, monkeypatch, "two") as studio:
        (job,) = await list_jobs(studio._context.journal)
        video = await studio.collect(pick_job([job], job.id), here)
        (mine,) = await list_jobs(studio._context.journal)

    assert (shown.video, shown.delivered) == (str(made.path), True)
    assert (job.id, job.video, job.delivered, job.spent) == (shown.id, "", True, 100)
    assert (video.path.parent, video.format) == (here.folder, "webm")
    assert mine.video == str(video.path)
    assert len(backend.ledger.renders) == 1


async def test_a_fork_on_another_machine_uses_the_pictures_that_are_given_there(
    cloud: Clouds, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same upload is known in the whole fleet; each machine keeps the bytes it was given, for its own forks."""
    backend = cloud()
    async with machine(backend, tmp_path, url, monkeypatch, "one") as studio:
        await generated(studio)
    async with machine(backend, tmp_path, url, monkeypatch, "two") as studio:
        session = await studio.upload([picture()])
        other = await studio.generate(session, dataclasses.replace(WISH, seed=2))

    assert other.session.session_id != session.session_id
    assert len(backend.ledger.uploads) == 2
    assert len(backend.ledger.messages) == 2


async def test_previews_are_made_on_each_machine(
    url: str, shorten: Shorten, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are free, and their sessions lie in a home directory: another machine's would be no use here."""
    shorten(preview={"pace": 0, "renderer": draw})
    monkeypatch.setenv("NEMO_JOURNAL_URL", url)
    videos = []
    for name in ("one", "two", "two"):
        monkeypatch.setenv("NEMO_HOST_ID", name)
        async with await Studio.open(directory=tmp_path / name) as studio:
            videos.append(await studio.animate([picture()], WISH, Destination(tmp_path / f"{name}-videos", "film")))
    journal = Journal(tmp_path, url)

    assert [video.path.parent.name for video in videos] == ["one-videos", "two-videos", "two-videos"]
    assert [video.reused for video in videos] == [False, False, True]
    assert len(await list_jobs(journal)) == 2
    await journal.close()


async def test_a_claim_stays_with_the_machine_that_took_the_step_over(
    cloud: Clouds, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that was taken for dead fails later: it does not give the session free under the other one's message."""
    backend = cloud()
    async with (
        machine(backend, tmp_path, url, monkeypatch, "one") as first,
        machine(backend, tmp_path, url, monkeypatch, "two") as second,
    ):
        session, theirs = await first.upload([picture()]), second._context.journal

        async def overtaken() -> Any:
            (planned,) = await theirs.recent()
            await theirs.move(planned, Event.TAKE_OVER)
            raise ConnectionBroken("answer-broken", host="h", call="balance", reason="?")

        first._context.client.balance = overtaken  # type: ignore[method-assign]
        within_limits = Caller(budget=Budget(500))  # with a limit, a balance that cannot be read stops it
        with pytest.raises(ConnectionBroken):
            await first.generate(session, WISH, caller=within_limits)
        (planned,) = await theirs.recent()
        assert await theirs.head(session.session_id) == planned.key


async def test_a_fork_where_the_pictures_are_not_says_so(
    cloud: Clouds, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A workflow that was carried to another machine, without its upload: nothing is sent, and the way out is named."""
    backend = cloud()
    async with machine(backend, tmp_path, url, monkeypatch, "one") as studio:
        session = await studio.upload([picture()])
        await studio.generate(session, WISH)
    async with machine(backend, tmp_path, url, monkeypatch, "two") as studio:
        with pytest.raises(InputError) as caught:
            await studio.generate(session, dataclasses.replace(WISH, seed=2))
    assert (caught.value.id, caught.value.charged) == ("uploads-elsewhere", "no")
    assert len(backend.ledger.messages) == 1

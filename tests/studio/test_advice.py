"""Error texts are promises: what each of them advises is done here, and works."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest

from nemo_client import (
    NemoError,
    NothingMade,
    RenderFailed,
    ResultUnknown,
    SessionBusy,
    SessionHandle,
    Studio,
    Wish,
    list_jobs,
)
from nemo_client._config.timings import StudioTimings
from nemo_client._journal.steps import State
from tests.support.backend import Cloud, cloud, picture

__all__ = ["cloud"]

WISH = Wish("slow push-in", duration=2)
Clouds = Callable[..., Cloud]
EDIT = "make it 4 seconds"


async def generated(studio: Studio) -> SessionHandle:
    return (await studio.generate(await studio.upload([picture()]), WISH)).session


async def edit_that_vanishes(backend: Cloud, studio: Studio, at: SessionHandle, *, lost: bool) -> NemoError:
    """An edit of which nothing came: lost where credits went meanwhile, else failed; the error that says so."""
    backend.fault("refuse", "message")
    if lost:
        backend.fault("other_spender", "credits", nth=2, amount=10)
    with pytest.raises(ResultUnknown):
        await studio.edit(at, EDIT)
    backend.clock.now += StudioTimings.horizon
    with pytest.raises(ResultUnknown if lost else NothingMade) as caught:
        await studio.edit(at, EDIT)
    return caught.value


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "failed"])
async def test_another_seed_sends_a_vanished_edit_again(lost: bool, cloud: Clouds) -> None:
    """As its text says; the session was given back, and no other one is opened."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        error = await edit_that_vanishes(backend, studio, at, lost=lost)
        turned = await studio.edit(at, EDIT, seed=1)

    assert "another seed" in str(error)
    assert "0-4s" in turned.timeline
    assert len(backend.ledger.sessions) == 1


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "failed"])
@pytest.mark.parametrize("how", ["stop", "edit the newest state", "a chat", "an upload"])
async def test_after_a_vanished_edit_everything_else_goes_on(how: str, lost: bool, cloud: Clouds) -> None:
    """Other words, the newest state, a chat, another picture: at the step before the edit, where the session stands."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        await edit_that_vanishes(backend, studio, at, lost=lost)
        if how == "a chat":
            after = (await studio.chat(at, "make it 3 seconds")).session
        elif how == "an upload":
            after = await studio.upload([picture(120)], onto=at)
        else:
            after = (await studio.edit(at, "make it 3 seconds", when_changed=how)).session

    assert after.session_id == at.session_id


async def test_a_later_edit_is_no_evidence_for_a_lost_one(cloud: Clouds) -> None:
    """What the draft shows by then is the later message's; the lost one stays lost."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        await edit_that_vanishes(backend, studio, at, lost=True)
        await studio.edit(at, EDIT, seed=1)
        with pytest.raises(ResultUnknown, match="no video came"):
            await studio.edit(at, EDIT)


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "failed"])
async def test_a_vanished_edit_can_be_sent_again_by_its_job(lost: bool, cloud: Clouds) -> None:
    """`jobs resend`, in the session where it was sent."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        await edit_that_vanishes(backend, studio, at, lost=lost)
        job = next(job for job in await list_jobs(studio._context.journal) if job.kind == "edit")
        turned = await studio.resend(job)

    assert "0-4s" in turned.timeline
    assert turned.session.session_id == at.session_id


@pytest.mark.parametrize("how", ["an edit", "the newest state", "a chat", "an upload"])
async def test_while_an_edit_is_unsettled_the_next_one_is_told_how_long(how: str, cloud: Clouds) -> None:
    """Not "already edited", not "at work": how many minutes, and the job; after these minutes it works."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        backend.fault("refuse", "message")
        with pytest.raises(ResultUnknown):
            await studio.edit(at, EDIT)
        await studio._context.in_flight.stop()  # nothing settles on in the background

        async def next_one() -> SessionHandle:
            if how == "a chat":
                return (await studio.chat(at, "make it 3 seconds")).session
            if how == "an upload":
                return await studio.upload([picture(120)], onto=at)
            changed = "edit the newest state" if how == "the newest state" else "stop"
            return (await studio.edit(at, "make it 3 seconds", when_changed=changed)).session

        with pytest.raises(SessionBusy) as caught:
            await next_one()
        told = re.search(r"Run again in (\d+) min, or run `nemo-video jobs resume (\w+)", str(caught.value))
        assert told is not None, str(caught.value)
        job = next(job for job in await list_jobs(studio._context.journal) if job.kind == "edit")
        assert told[2] == job.id
        assert int(told[1]) <= math.ceil(StudioTimings.horizon / 60)
        with pytest.raises(ResultUnknown):
            await studio.collect(job, None)  # type: ignore[arg-type] - it does not come that far
        await studio._context.in_flight.stop()
        backend.clock.now += int(told[1]) * 60
        after = await next_one()
        assert (await studio._context.journal.latest(job.key)).state is State.FAILED  # type: ignore[union-attr]

    assert after.session_id == at.session_id
    assert backend.sent("message") <= 3


async def test_a_failed_export_is_exported_by_queueing_again(cloud: Clouds) -> None:
    """Rendering is free, as its text says."""
    from nemo_client import Destination, home

    backend = cloud()
    backend.fault("answer", "render", status=500, count=9)
    async with backend.studio() as studio:
        at = await generated(studio)
        place = Destination(home() / "videos", "v", numbering="on collision")
        with pytest.raises(NemoError) as caught:
            await studio.export(at, place)
        backend.faults.clear()
        video = await studio.export(at, place)

    assert isinstance(caught.value, (RenderFailed, NemoError))
    assert video.path.is_file()
    assert backend.sent("message") == 1


async def test_a_question_that_no_option_fits_is_answered_in_other_words(cloud: Clouds) -> None:
    """ "Change the words, or use another seed", or answer: all three work, in the session that asked."""
    backend = cloud()
    backend.fault("ask_back", "message", count=1)
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(NothingMade, match="NemoVideo Chat in place of this node"):
            await studio.generate(session, WISH)
        answered = await studio.chat(session, "slowly")

    assert answered.session.session_id == session.session_id


# --- Every turn tells what changed ----------------------------------------------------------------------------------


async def test_a_silent_chat_tells_what_changed(cloud: Clouds) -> None:
    """About 30 % of edits end without a word; through a chat they told nothing at all."""
    backend = cloud()
    backend.fault("silent", "message", nth=2)
    async with backend.studio() as studio:
        turned = await studio.chat(await generated(studio), EDIT)
        again = await studio.chat(await generated(studio), EDIT)

    assert "4s" in turned.changes
    assert turned.reply.endswith(turned.changes)
    assert (again.reply, again.reused) == (turned.reply, True)

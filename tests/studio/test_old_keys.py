"""A request known under an earlier version's key is looked up there too: done or open it is taken, failed it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from nemo_client import BatchItem, Destination, ResultUnknown, Studio, Wish, from_file
from tests.support.backend import Cloud, cloud, until
from tests.support.old_keys import STATES, make_earlier, save_in_p3

__all__ = ["cloud"]
WISH = Wish("make it move slowly", duration=2)


async def ask_again(studio: Studio, way: str, path: Path, out: Path) -> tuple[str, str]:
    """The same request as it is made now: its session's id (a batch tells none), and how it ended."""
    if way == "batch":
        item = BatchItem((str(path),), WISH.prompt, duration=WISH.duration)
        async with aclosing(studio.batch([item], out)) as results:
            async for result in results:
                return "", result.state
    if way == "whole":
        video = await studio.animate([from_file(path)], WISH, Destination(out, "film"))
        return video.session_id, "done"
    turned = await studio.generate(await studio.upload([from_file(path)]), WISH)
    return turned.session.session_id, "done"


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("way", ["whole", "steps", "batch"])
async def test_an_earlier_request_is_taken_but_where_it_failed(
    state: str, way: str, cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    """By another process, twice: a result or a message that is out is found, a failure does not stand in the way."""
    backend, path = cloud(), save_in_p3(tmp_path / "a.png")
    async with backend.studio() as studio:
        handle = await make_earlier(studio, path, WISH, state, backend.fault)
    backend.faults.clear()
    for _ in range(2):
        async with backend.studio() as studio:
            session, ended = await ask_again(studio, way, path, tmp_path / "out")

        assert ended == "done"
        assert way == "batch" or (session == handle.session_id) == (state != "failed")
    assert len(backend.ledger.messages) == (2 if state == "failed" else 1)
    assert len(backend.ledger.charges) == 1


@pytest.mark.parametrize("way", ["whole", "steps", "batch"])
async def test_an_earlier_request_whose_result_cannot_be_seen_stays_unknown(
    way: str, cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    """Nothing is sent beside it, and it is told as perhaps charged; a later run collects it."""
    backend, path = cloud(), save_in_p3(tmp_path / "a.png")
    async with backend.studio() as studio:
        await make_earlier(studio, path, WISH, "unknown", backend.fault)
    async with backend.studio() as studio:
        if way == "batch":
            assert await ask_again(studio, way, path, tmp_path / "out") == ("", "unknown")
        else:
            with pytest.raises(ResultUnknown) as caught:
                await ask_again(studio, way, path, tmp_path / "out")
            assert caught.value.charged == "maybe"
    backend.faults.clear()
    async with backend.studio() as studio:
        _, ended = await ask_again(studio, way, path, tmp_path / "out")

    assert ended == "done"
    assert len(backend.ledger.messages) == len(backend.ledger.charges) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("whose", ["its own", "another's"])
@pytest.mark.parametrize("leaves", ["never", "by a cancel", "by letting go"])
async def test_a_batch_over_an_earlier_message_that_is_out_waits_for_it_or_leaves(
    whose: str, leaves: str, cloud: Callable[..., Cloud], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In this process or another's; a caller that stops listening stops at once, with no word of the interpreter's."""
    backend, path = cloud(), save_in_p3(tmp_path / "a.png")
    async with backend.studio() as one, backend.studio() as two:
        with backend.faults.hold():
            first = asyncio.ensure_future(make_earlier(one, path, WISH, "done", backend.fault))
            await until(lambda: len(backend.ledger.messages) == 1)
            item = BatchItem((str(path),), WISH.prompt, duration=WISH.duration)
            results = (one if whose == "its own" else two).batch([item], tmp_path / "out")
            asked: asyncio.Future[Any] = asyncio.ensure_future(anext(results))
            await asyncio.sleep(0.1)
        if leaves == "never":
            assert (await asked).state == "done"
        else:
            asked.cancel()
            await asyncio.wait({asked})
        if leaves == "by letting go":
            del results, asked
        else:
            await results.aclose()
        await first

    assert len(backend.ledger.messages) == len(backend.ledger.charges) == 1
    assert capfd.readouterr().err == ""

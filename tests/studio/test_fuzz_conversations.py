"""Several programs converse in one session at once, at random, while faults happen: the record is the backend's own."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nemo_client import Caller, Destination, Journal, NemoError, SessionHandle, Studio, Wish, home
from nemo_client._journal.records import Attempt
from nemo_client._journal.steps import State
from tests.support.backend import Cloud, cloud, picture

__all__ = ["cloud"]
Clouds = Callable[..., Cloud]

ANYWHERE: dict[str, dict[str, Any]] = {
    "refuse": {}, "close_before_headers": {}, "close_after_headers": {}, "close_at": {"at": 60}, "http_500": {},
    "html_502": {}, "http_429": {}, "http_504": {}, "expired_token": {}, "lost_session": {},
    "stall": {"seconds": 0.03, "at": "headers"}, "http_503_accepted": {}, "truncated_json": {},
}  # fmt: skip
OF_MESSAGES: dict[str, dict[str, Any]] = {
    "error_in_stream": {}, "clean_end": {}, "ask_back": {}, "silent": {}, "stop_on_hangup": {},
    "late_second_stage": {"seconds": 0.02},
}  # fmt: skip
ENDPOINTS = ("message", "message", "state", "credits", "upload", "render", "session")
EDITS = ("make it 4 seconds", "add music", "add a title")
CHATS = ("make a video of it", "make it 5 seconds", "hello")
CHANGED = ("stop", "edit the newest state", "generate again (pays)")


@dataclass
class Program:
    """One user with a Studio of their own, who asks, cancels, leaves and comes back."""

    backend: Cloud
    chance: random.Random
    start: SessionHandle
    folder: Path
    told: list[str] = field(default_factory=list)

    async def run(self, options: dict[str, Any]) -> None:
        at = self.start
        with contextlib.suppress(NemoError):
            async with self.backend.studio(**options) as studio:
                for _ in range(4):
                    at = await self._take_step(studio, at)
                    if self.chance.random() < 0.3:
                        self.backend.clock.now += self.chance.choice([50, 100, 1500])

    async def _take_step(self, studio: Studio, at: SessionHandle) -> SessionHandle:
        caller, chance = Caller(), self.chance
        task = asyncio.ensure_future(self._ask(studio, at, caller))
        if chance.random() < 0.4:
            await asyncio.sleep(chance.random() * 0.2)
            if chance.random() < 0.6:
                caller.gave_up = chance.random() < 0.5
                task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return at
        except NemoError as error:
            self.told.append(error.id)
            return at

    async def _ask(self, studio: Studio, at: SessionHandle, caller: Caller) -> SessionHandle:
        changed = self.chance.choice(CHANGED)
        what = self.chance.choice(["generate", "edit", "chat", "export", "upload"])
        if what == "generate":
            wish = Wish(self.chance.choice(["push", "pan"]), duration=2)
            return (await studio.generate(self.start, wish, caller=caller)).session
        if what == "edit":
            return (await studio.edit(at, self.chance.choice(EDITS), when_changed=changed, caller=caller)).session
        if what == "chat":
            return (await studio.chat(at, self.chance.choice(CHATS), when_changed=changed, caller=caller)).session
        if what == "upload":
            return await studio.upload([picture(self.chance.choice([3, 4]))], onto=at, caller=caller)
        await studio.export(at, Destination(self.folder, "film"), caller=caller)
        return at


def add_faults(backend: Cloud, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 4)):
        kind = chance.choice([*ANYWHERE, *OF_MESSAGES])
        endpoint = "message" if kind in OF_MESSAGES else chance.choice(ENDPOINTS)
        with contextlib.suppress(ValueError):  # not each fault is one of each endpoint
            more = {**ANYWHERE, **OF_MESSAGES}[kind]
            backend.fault(kind, endpoint, nth=chance.randint(1, 5), count=chance.choice([1, 1, 2]), **more)


def judge(backend: Cloud, rows: list[Attempt]) -> None:
    """What the backend took in is on record as sent, and another try follows only what was refused."""
    sent = Counter(
        (each.session_id, each.facts.text) for each in rows if each.state not in (State.PLANNED, State.REFUSED)
    )
    tries = defaultdict(list)
    for each in sorted(rows, key=lambda each: each.number):
        tries[each.key].append(each.state)

    assert not Counter((each["session"], each["text"]) for each in backend.ledger.messages) - sent
    assert {state for states in tries.values() for state in states[:-1]} <= {State.REFUSED}


@pytest.mark.long
@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(60))
async def test_nothing_is_sent_that_the_record_does_not_know(seed: int, cloud: Clouds, tmp_path: Path) -> None:
    """With one journal object or one file, with forks, cancels, closed Studios and faults at every endpoint."""
    chance = random.Random(seed)  # noqa: S311 - which case it is, and nothing secret
    backend = cloud(generation_seconds=chance.choice([0, 0.03, 0.1]), credits=100_000)
    backend.clock.real = 0.002
    async with Journal(home()) as journal:
        options: dict[str, Any] = {"journal": journal} if chance.random() < 0.6 else {}
        async with backend.studio(**options) as studio:
            start = await studio.upload([picture(1)])
        programs = [
            Program(backend, random.Random(seed * 100 + number), start, tmp_path)  # noqa: S311 - as above
            for number in range(chance.choice([1, 2, 3]))
        ]
        add_faults(backend, chance)
        await asyncio.gather(*(each.run(options) for each in programs))

        judge(backend, await journal.recent(limit=500))
    assert "unexpected" not in [text_id for each in programs for text_id in each.told]

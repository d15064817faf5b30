"""The work on one message: its events, its stages written and charged, and the frames of its stream.

The work is a task of its own: when the client hangs up it goes on to its end, unless the call's behaviour makes it
stop as the agent server does that the cloud is built on.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from ..sessions.runs import Run, Runs
from ..sessions.store import SessionRecord, Store
from ..sessions.views import Addresses, media_view
from ..shared.behaviour import CallBehaviour
from ..shared.replies import ApiError
from ..shared.settings import Settings
from .dialects import HEARTBEATS, AgentDialect, Call, Event, Failure, Piece, Result, Say, Thought, TypedDialect
from .director import Plan, Stage

PRICES = {"generation": 100, "edit": 50, "answer": 0}

# How long the work takes at pace 1: long enough to see progress, short enough to wait for.
USUAL_SECONDS = {"generation": 0.9, "edit": 0.5, "answer": 0.15}
HEARTBEAT_SECONDS = 0.25
MIN_HEARTBEAT_SECONDS = 0.05

_WORDS = re.compile(r"\s*\S+|\s+$")
_PIECES = 3

T = TypeVar("T")
Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Work:
    """One message being worked on, and the queue of its frames (an `EventSource`)."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        runs: Runs,
        *,
        run: Run,
        plan: Plan,
        behaviour: CallBehaviour,
        addresses: Addresses,
    ) -> None:
        self.silent = False
        self._settings = settings
        self._store = store
        self._runs = runs
        self._run = run
        self._plan = plan
        self._behaviour = behaviour
        self._addresses = addresses
        self._dialect = (AgentDialect if settings.dialect == "agent" else TypedDialect)(settings.clock)
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._untaken = 0
        self._beat = 0

    def start(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._task = spawn(self._carry_out())
        # Not in the task's `finally`: a task cancelled before its first step never gets there.
        self._task.add_done_callback(self._finish_stream)

    def _finish_stream(self, task: asyncio.Task[None]) -> None:
        # Not on another thread: this also runs while the program ends, when none can be started.
        self._runs.end(self._run)
        self._queue.put_nowait(None)

    # --- the listening side ---------------------------------------------------------------------------------------

    async def next(self) -> bytes | None:
        """The next frame, or a heartbeat when there is none for a while; None at the end."""
        self._mark_taken()
        interval = max(MIN_HEARTBEAT_SECONDS, HEARTBEAT_SECONDS * self._settings.pace)
        with contextlib.suppress(asyncio.TimeoutError):
            frame = await asyncio.wait_for(self._queue.get(), interval)
            self._untaken += 1
            return frame
        self._beat += 1
        return HEARTBEATS[self._beat % len(HEARTBEATS)]

    def _mark_taken(self) -> None:
        while self._untaken:
            self._untaken -= 1
            self._queue.task_done()

    def hung_up(self) -> None:
        """The client is gone."""
        if self._behaviour.stops_unheard:
            self._task.cancel()

    # --- the working side -----------------------------------------------------------------------------------------

    async def _carry_out(self) -> None:
        try:
            async for event in self._make_events():
                await self._send_event(event)
        except (ApiError, OSError) as error:
            await self._send_event(Failure(f"{type(error).__name__}: {error}"))

    async def _send_event(self, event: Event) -> None:
        if frame := self._dialect.encode(event):
            self._queue.put_nowait(frame)
            if self._behaviour.stops_unheard:
                await self._queue.join()

    async def _make_events(self) -> AsyncIterator[Event]:
        plan = self._plan
        if plan.thought:
            yield Thought(plan.thought)
        async for event in self._say_text(plan.intro, last=False):
            yield event
        if not plan.stages:
            await self._wait_share(0.5)
            if self._behaviour.failure is not None:
                yield Failure(self._behaviour.failure)
                return
        for number, stage in enumerate(plan.stages):
            if number and (late := self._behaviour.late_stage_seconds) is not None:
                self._spawn(self._write_later(stage, late))
                break
            call = f"call_{uuid.uuid4().hex[:12]}"
            yield Call(call, stage.tool, stage.args)
            await self._wait_share(0.2 if number else 0.5)
            if self._behaviour.failure is not None:
                await run_to_end(self._behaviour.fail, self._write_all, self._charge_price)
                yield Failure(self._behaviour.failure)
                return
            delta, response = await run_to_end(self._commit_stage, stage, number == 0)
            yield Result(call, stage.tool, response, delta)
        if plan.question is not None:
            call = f"call_{uuid.uuid4().hex[:12]}"
            yield Call(call, "ask_question", plan.question)
            if plan.ticket is not None:
                yield Result(call, "ask_question", plan.ticket)
        if not self.silent:
            async for event in self._say_text(self._behaviour.choose_reply(plan.reply), last=True):
                yield event

    async def _say_text(self, text: str, *, last: bool) -> AsyncIterator[Event]:
        """The text in a few pieces, then whole."""
        words = _WORDS.findall(text)
        size = max(1, -(-len(words) // _PIECES)) if len(words) > 1 else max(1, -(-len(text) // _PIECES))
        units = words if len(words) > 1 else list(text)
        for start in range(0, len(units), size):
            await self._wait_share(0.03)
            yield Piece("".join(units[start : start + size]))
        if text:
            yield Say(text, last)

    async def _wait_share(self, share: float) -> None:
        settings, kind = self._settings, self._plan.kind
        given = {"generation": settings.generation_seconds, "edit": settings.edit_seconds, "answer": None}[kind]
        seconds = USUAL_SECONDS[kind] * settings.pace if given is None else given
        await self._behaviour.work(seconds * share)

    def _write_all(self) -> None:
        for stage in self._plan.stages:
            self._write_stage(stage)

    def _commit_stage(self, stage: Stage, first: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """Write the stage into the session, charge with the first one; the event's state delta and response."""
        record = self._write_stage(stage)
        if first:
            self._charge_price()
        delta: dict[str, Any] = {"draft": record["draft"]}
        response: dict[str, Any] = {"ok": True}
        if stage.clip:
            media = media_view(record, self._addresses)
            delta["generated_media"] = media
            response = {"status": "success", "video_url": media[-1]["url"]}
        return delta, response

    def _write_stage(self, stage: Stage) -> SessionRecord:
        def change(record: SessionRecord) -> SessionRecord:
            record["draft"] = dict(stage.draft)
            if stage.clip:
                record["generated"].append({"id": f"clip_{uuid.uuid4().hex[:12]}", "asset": stage.clip})
            return record

        return self._store.update(self._run.session, self._run.account, change)

    def _charge_price(self) -> None:
        self._runs.charge(self._run, PRICES[self._plan.kind], self._plan.kind)

    async def _write_later(self, stage: Stage, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await run_to_end(self._write_stage, stage)


async def run_to_end(function: Callable[..., T], *args: Any) -> T:
    """Run on a thread, and to its end: a cancel comes through only when what was begun is whole."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await task
        raise

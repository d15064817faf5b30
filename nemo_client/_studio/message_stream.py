"""The event stream of one message: read until it ends, while the project's state is watched.

Silence is no end: a tool may work for minutes without a word, and the agent server stops the run of a client that hangs
up. So the stream is read to its end in any case; the callers may leave before with the result, where the free state
shows it and the agent has finished its answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from .._errors import NemoError
from .._journal.records import Attempt
from .._journal.steps import PAID
from .._wire import draft as drafts
from .._wire.schemas import State as SessionState
from .._wire.sse import Heartbeat
from .._wire.turn import Turn
from .context import StudioContext
from .in_flight import InFlightRequest
from .progress import STILL_WORKING_SECONDS, Progress
from .reconcile import Baseline, Message

logger = logging.getLogger("nemo_client")

FIRST_SECONDS: Final = 1.0


class MessageStream:
    """Reads one message's events into its `turn`, and finds out when its result can be taken."""

    def __init__(
        self, context: StudioContext, attempt: Attempt, message: Message, baseline: Baseline, request: InFlightRequest
    ) -> None:
        self.turn = Turn()
        self._context = context
        self._timings = context.timings
        self._attempt = attempt
        self._message = message
        self._baseline = baseline
        self._request = request
        self._started = self._heard = context.clock()

    async def send_and_read(self, may_go: Callable[[], bool]) -> None:
        """Send the message and read its stream to the end; heartbeats are no words."""
        self._started = self._heard = self._context.clock()
        self._report()  # from now on it is paid for
        ticker = asyncio.ensure_future(self._report_each_second())
        try:
            async with self._context.client.run(self._attempt.session_id, self._message.text, may_go) as events:
                async for event in events:
                    if not isinstance(event, Heartbeat):
                        self._heard = self._context.clock()
                        self.turn.add(event)
                        self._report()
        finally:
            ticker.cancel()

    async def wait_for_result(self) -> SessionState:
        """Wait until the callers may leave with the result; the state that shows it."""
        await asyncio.sleep(FIRST_SECONDS)
        shown, since, next_read, told = "", 0.0, 0.0, 0.0
        while True:
            await self._context.sleep(self._timings.look)
            now, over = self._context.clock(), self.turn.over
            silences = (now - self._heard) // STILL_WORKING_SECONDS
            if silences > told:  # each time it lasts so long again
                self._report()
            told = silences
            if now - self._heard < (self._timings.over if over else self._timings.silence):
                shown, next_read = "", 0.0
                continue
            if now < next_read:
                continue
            next_read = now + (self._timings.over_read if over else self._timings.silent_read)
            state = await self._read_state()
            if state is None:
                continue
            digest = drafts.digest_segments(state.draft or {})
            if digest != shown:
                shown, since = digest, now
            if now - since >= self._timings.alike and self._is_result(state, now - self._heard):
                return state

    def _is_result(self, state: SessionState, quiet: float) -> bool:
        """Whether the state, unchanged for a while, is the result of the turn.

        A generation's or an edit's result is a draft; a text alone is none, but an answer where the agent said that its
        turn is complete, and no tool told of success. A chat may end with words alone, and any turn with a question for
        the user.
        """
        turn = self.turn
        if turn.open_calls or turn.question is not None:
            return not turn.open_calls
        unspoken = quiet >= self._timings.unspoken
        if self._message.kind == "chat" and turn.reply and (turn.ended or (turn.over and unspoken)):
            return True
        if turn.ended and turn.reply and not turn.tells_of_success:
            return True
        return self._baseline.shows_work(state) and (turn.over or unspoken)

    async def _read_state(self) -> SessionState | None:
        try:
            return await self._context.client.state(self._attempt.session_id)
        except NemoError as error:
            logger.info("the state could not be read beside the stream (%s)", error.id)
            return None

    async def _report_each_second(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._report()

    def _report(self) -> None:
        now, request, tools = self._context.clock(), self._request, self.turn.tools
        elapsed = now - self._started
        request.report(
            Progress(
                find_stage(self._message.kind), tool=tools[-1] if tools else "", elapsed=elapsed,
                quiet=now - self._heard, left=request.estimate_left(elapsed), price=request.price,
            )
        )  # fmt: skip


def find_stage(kind: str) -> Any:
    """The stage that a message of this kind is shown as."""
    return kind if kind in PAID else "generate"

"""The agent behind `/run_sse`: a message is claimed, paid for, worked on, and told about event by event.

What happens then is `_work.py`'s. A refused message gets a JSON envelope instead of a stream: 1002 (HTTP 404), 2001
(HTTP 200), 409 while the session works on another message, 400 for a request of another shape.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Coroutine
from typing import Any

from ..sessions.accounts import Account
from ..sessions.ledger import Ledger
from ..sessions.runs import NotEnoughCredits, Run, Runs, SessionBusy
from ..sessions.store import Store
from ..sessions.views import Addresses
from ..shared.behaviour import CallBehaviour
from ..shared.replies import NO_CREDITS, ApiError, clean
from ..shared.settings import MAX_MESSAGE_CHARACTERS, Settings
from . import director
from .work import PRICES, Work

BUSY = 409

_log = logging.getLogger("nemo_client.local")


class Agent:
    """Accepts messages and carries them out; `close` stops what still runs."""

    def __init__(self, settings: Settings, store: Store, runs: Runs, ledger: Ledger) -> None:
        self._settings = settings
        self._store = store
        self._runs = runs
        self._ledger = ledger
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(
        self, body: dict[str, Any], account: Account, behaviour: CallBehaviour, addresses: Addresses
    ) -> Work:
        """Start the work on a message (ApiError when it is refused: then nothing was done and nothing charged)."""
        session, text = _parse_message(body)
        most = self._settings.limits.messages
        if len(self._tasks) >= most:
            raise ApiError(429, f"{most} messages are being worked on already")
        run, plan = await asyncio.to_thread(self._claim_session, session, text, account, behaviour)
        work = Work(
            self._settings, self._store, self._runs, run=run, plan=plan, behaviour=behaviour, addresses=addresses
        )
        work.silent = _is_silent(plan, text, behaviour)
        work.start(self._spawn_task)
        return work

    def _spawn_task(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._drop_task)
        return task

    def _drop_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            _log.error("A message's work failed", exc_info=task.exception())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _claim_session(
        self, session: str, text: str, account: Account, behaviour: CallBehaviour
    ) -> tuple[Run, director.Plan]:
        self._store.load(session, account)
        try:
            run = self._runs.begin(session, account)
        except SessionBusy:
            raise self._make_refusal(BUSY, "This session still works on a message", session, account) from None
        started = False
        try:
            plan = self._plan_work(session, text, account, behaviour)
            self._runs.reserve(run, PRICES[plan.kind])
            self._ledger.append("message", id=run.id, session=session, account=account.user_id, text=text)
            started = True
        except NotEnoughCredits as error:
            raise self._make_refusal(NO_CREDITS, f"Not enough credits: {error}", session, account) from None
        finally:
            if not started:
                self._runs.end(run)
        return run, plan

    def _plan_work(self, session: str, text: str, account: Account, behaviour: CallBehaviour) -> director.Plan:
        given: director.Plan | None = behaviour.plan(text)
        if given is not None:
            return given
        record = self._store.load(session, account)
        missing = self._settings.missing_glyphs or _missing_glyphs
        scene = director.Scene(record["assets"], record["draft"], record["language"], record["task_name"], missing)
        return director.plan(text, scene)

    def _make_refusal(self, code: int, message: str, session: str, account: Account) -> ApiError:
        self._ledger.append("refused", session=session, account=account.user_id, code=code)
        return ApiError(code, message)


def _missing_glyphs(text: str) -> str:
    from ..render.titles import missing_glyphs  # loads fonts: only where a title is asked for

    return missing_glyphs(text)


def _parse_message(body: dict[str, Any]) -> tuple[str, str]:
    """Session and text of a request in the agent server's shape (ApiError 400 for any other)."""
    if body.get("app_name") != "nemo_agent" or body.get("user_id") != "me":
        raise ApiError(400, "'app_name' must be 'nemo_agent' and 'user_id' must be 'me'")
    session, message = body.get("session_id"), body.get("new_message")
    parts = message.get("parts") if isinstance(message, dict) else None
    if not isinstance(session, str) or not isinstance(parts, list):
        raise ApiError(400, "'session_id' and 'new_message.parts' are needed")
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    text = "\n".join(part for part in texts if isinstance(part, str)).strip()
    if not text:
        raise ApiError(400, "The message has no text")
    if len(text) > MAX_MESSAGE_CHARACTERS:
        raise ApiError(400, f"The message is longer than {MAX_MESSAGE_CHARACTERS} characters")
    return session, clean(text)


def _is_silent(plan: director.Plan, text: str, behaviour: CallBehaviour) -> bool:
    """About a third of all edits answer no text: always the same third, chosen by the message's hash."""
    if plan.kind != "edit":
        return False
    chosen = hashlib.sha256(text.encode()).digest()[0] % 3 == 0
    return behaviour.is_silent(chosen and not plan.must_speak)

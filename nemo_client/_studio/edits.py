"""Where an edit or a chat continues if the same place was already edited with other words.

A graph is a function, a session is not: the backend's session holds the earlier edit. So a changed instruction stops
with the ways out, edits the newest state, or has everything before it made again in a session of its own, which pays
again, once for each changed instruction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from .._errors import InputError, NemoError, SessionBusy, SessionGone
from .._journal.money import FREE, Money, sum_money
from .._journal.records import Attempt
from .._journal.steps import PAID, Kind, State, make_step_key
from .._text.choices import WHEN_CHANGED
from .context import StudioContext
from .handles import SessionHandle
from .progress import Caller
from .reconcile import Message, make_handle
from .sessions import Sessions, Upload
from .types import MessageResult

STOP, NEWEST, AGAIN = WHEN_CHANGED

SendMessage = Callable[[Message, Caller], Awaitable[MessageResult]]


@contextmanager
def count_earlier_payment(taken: Money) -> Iterator[None]:
    """An error that leaves this block also says that something was paid before it, for the same request."""
    try:
        yield
    except NemoError as error:
        if taken.sure != 0 and error.charged == "no":
            error.charged = "yes" if taken.spent else "maybe"
        raise


class Edits:
    """Finds the handle at which an edit or a chat is to be made. `send` carries out a message."""

    def __init__(self, context: StudioContext, sessions: Sessions, send: SendMessage) -> None:
        self._context = context
        self._sessions = sessions
        self._send = send

    async def find_start(
        self, handle: SessionHandle, kind: Kind, inputs: dict[str, object], when_changed: str, caller: Caller
    ) -> tuple[SessionHandle, Money]:
        """`handle` itself, unless a writer went on from it with other words; then what `when_changed` says.

        And what was paid now to come there. Where only uploads lie behind the handle, an edit or a chat that stops at
        nothing is made in a session of its own; a conversation is carried on from its newest state all the same.
        """
        key = make_step_key(self._context.profile.id, handle.key, kind, inputs)
        if await self._context.journal.latest(key) is not None:
            return handle, FREE
        source = await self._sessions.find_attempt(handle)
        head = await self._find_head(source.session_id)
        at = await self._sessions.find_standing_step(handle.key)
        if head is None or head.key in (handle.key, key, at):
            return handle, FREE
        if source.kind == "upload" and not (kind == "chat" and when_changed == NEWEST):
            return handle, FREE
        if when_changed == AGAIN:
            return await self._make_again(source, handle.language, key, caller)
        if when_changed == STOP:
            changed = SessionBusy("chat-changed" if kind == "chat" else "edit-changed")
            raise changed if head.state is State.DONE else await self._sessions.make_unsettled_error(head)
        return await self._find_newest_place(handle, head, kind, inputs), FREE

    async def find_newest(self, handle: SessionHandle) -> SessionHandle:
        """The newest finished step of the handle's session; the handle itself where no step follows it."""
        source = await self._sessions.find_attempt(handle)
        head = await self._find_head(source.session_id)
        return handle if head is None or head.state is not State.DONE else make_handle(head, handle.language)

    async def _find_head(self, session_id: str) -> Attempt | None:
        """The step that a session stands at, reconciled by one read; None where no message went out yet."""
        journal = self._context.journal
        head = await journal.latest(await journal.head(session_id))
        if head is None or head.state in (State.PLANNED, State.REFUSED):  # the claim itself decides about these
            return None
        head = await self._sessions.reconcile_once(head)
        return await self._find_step(await self._sessions.find_standing_step(head.key), session_id)

    async def _find_newest_place(
        self, handle: SessionHandle, newest: Attempt, kind: Kind, inputs: dict[str, object]
    ) -> SessionHandle:
        """The session's newest step, or the one at which this very message was sent already."""
        step, session_id = newest, newest.session_id
        while step.key != handle.key and step.before:
            if step.key == make_step_key(self._context.profile.id, step.before, kind, inputs):
                return make_handle(await self._find_step(step.before, session_id), handle.language)
            step = await self._find_step(step.before, session_id)
        if newest.state is not State.DONE:
            raise await self._sessions.make_unsettled_error(newest)
        return make_handle(newest, handle.language)

    async def _make_again(
        self, source: Attempt, language: str, edit_key: str, caller: Caller
    ) -> tuple[SessionHandle, Money]:
        """Everything up to `source` once more in a session of its own; its keys add the edit's, so it is paid once."""
        chain = [source]
        while chain[0].before:
            chain.insert(0, await self._find_step(chain[0].before))
        uploads = [step for step in chain if step.kind == "upload"]
        if not uploads:
            raise InputError("handle-unknown")
        media = tuple(self._sessions.find_kept_media(*entry) for step in uploads for entry in step.facts.media)
        setting, spoken = uploads[0].facts.language, uploads[0].facts.spoken
        inputs: dict[str, object] = {
            "media": [each.fingerprint for each in media],
            "language": setting,
            "again": edit_key,
        }
        key = make_step_key(self._context.profile.id, "", "upload", inputs)
        wanted = Upload(key, media, setting, spoken)
        placed = await self._context.in_flight.join(key, lambda request: self._sessions.upload(wanted, request), caller)
        after, taken = make_handle(placed, language), FREE
        for step in chain:
            if step.kind in PAID:
                text = step.facts.text
                kind = step.kind
                key = make_step_key(self._context.profile.id, after.key, kind, {"text": text, "again": edit_key})
                with count_earlier_payment(taken):
                    turned = await self._send(Message(key, kind, after, text), caller)
                after, taken = turned.session, sum_money([taken, turned.taken])
        return after, taken

    async def _find_step(self, key: str, session_id: str = "") -> Attempt:
        """The newest attempt at a step, the one in that session first."""
        journal = self._context.journal
        found = (await journal.latest(key, session_id) if session_id else None) or await journal.latest(key)
        if found is None:
            raise SessionGone(code=1002)
        return found

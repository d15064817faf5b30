"""Where an edit goes on, when the same place was edited before with other words.

A graph is a function, a session is not: the backend's session holds the earlier edit. So a changed instruction stops
with the ways out, edits the newest state, or has everything before it made again in a session of its own, which pays
again, once for each changed instruction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from ._attempts import Attempt
from ._choices import WHEN_CHANGED
from ._desk import Desk
from ._errors import InputError, NemoError, SessionBusy, SessionGone
from ._handles import SessionHandle
from ._money import FREE, Money, together
from ._outcomes import Message
from ._progress import Caller
from ._results import Turned
from ._sessions import Sessions, Upload, handle_of
from ._steps import PAID, State, step_key

STOP, _, AGAIN = WHEN_CHANGED

Say = Callable[[Message, Caller], Awaitable[Turned]]


@contextmanager
def counting(taken: Money) -> Iterator[None]:
    """An error that leaves this block also says that something was paid before it, for the same request."""
    try:
        yield
    except NemoError as error:
        if taken.sure != 0 and error.charged == "no":
            error.charged = "yes" if taken.spent else "maybe"
        raise


class Edits:
    """Finds the handle at which an edit is to be made. `say` carries out a message."""

    def __init__(self, desk: Desk, sessions: Sessions, say: Say) -> None:
        self._desk = desk
        self._sessions = sessions
        self._say = say

    async def start(
        self, handle: SessionHandle, inputs: dict[str, object], when_changed: str, caller: Caller
    ) -> tuple[SessionHandle, Money]:
        """`handle` itself, unless a writer went on from it with other words; then what `when_changed` says.

        And what was paid now to come there.
        """
        key = self._key(handle.key, inputs)
        if await self._desk.journal.latest(key) is not None:
            return handle, FREE
        source = await self._sessions.recorded(handle)
        head = await self._desk.journal.head(source.session_id)
        if head in ("", handle.key, key) or source.kind == "upload":
            return handle, FREE
        if when_changed == STOP:
            raise SessionBusy("edit-changed")
        if when_changed == AGAIN:
            return await self._again(source, handle.language, key, caller)
        return await self._newest(handle, head, inputs), FREE

    def _key(self, before: str, inputs: dict[str, object]) -> str:
        return step_key(self._desk.profile.id, before, "edit", inputs)

    async def _newest(self, handle: SessionHandle, head: str, inputs: dict[str, object]) -> SessionHandle:
        """The session's newest step, or the one at which this very edit was made already."""
        newest = step = await self._step(head)
        while step.key != handle.key and step.before:
            if step.key == self._key(step.before, inputs):
                return handle_of(await self._step(step.before), handle.language)
            step = await self._step(step.before)
        if newest.state is not State.DONE:
            raise SessionBusy("session-busy")
        return handle_of(newest, handle.language)

    async def _again(
        self, source: Attempt, language: str, edit_key: str, caller: Caller
    ) -> tuple[SessionHandle, Money]:
        """Everything up to `source` once more in a session of its own; its keys add the edit's, so it is paid once."""
        chain = [source]
        while chain[0].before:
            chain.insert(0, await self._step(chain[0].before))
        uploads = [step for step in chain if step.kind == "upload"]
        if not uploads:
            raise InputError("handle-unknown")
        media = tuple(self._sessions.kept(*entry) for step in uploads for entry in step.facts["media"])
        setting, spoken = str(uploads[0].facts["language"]), str(uploads[0].facts["spoken"])
        inputs: dict[str, object] = {
            "media": [each.fingerprint for each in media],
            "language": setting,
            "again": edit_key,
        }
        key = step_key(self._desk.profile.id, "", "upload", inputs)
        wanted = Upload(key, media, setting, spoken)
        placed = await self._desk.flights.join(key, lambda flight: self._sessions.upload(wanted, flight), caller)
        after, taken = handle_of(placed, language), FREE
        for step in chain:
            if step.kind in PAID:
                text = str(step.facts.get("text") or "")
                kind = step.kind
                key = step_key(self._desk.profile.id, after.key, kind, {"text": text, "again": edit_key})
                with counting(taken):
                    turned = await self._say(Message(key, kind, after, text), caller)
                after, taken = turned.session, together([taken, turned.taken])
        return after, taken

    async def _step(self, key: str) -> Attempt:
        found = await self._desk.journal.latest(key)
        if found is None:
            raise SessionGone(code=1002)
        return found

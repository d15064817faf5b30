"""Sessions by their id: what lets a shell command go on where an earlier one, or another machine, stopped."""

from __future__ import annotations

from typing import cast

from ._attempts import Attempt
from ._handles import SessionHandle
from ._money import FREE
from ._steps import Event, State, step_key
from ._studio import Studio


class ShellStudio(Studio):
    """A Studio that also takes up sessions which its journal does not know."""

    @classmethod
    async def start(cls, profile: str) -> ShellStudio:
        """Open one for `profile`, as `Studio.open` does."""
        return cast(ShellStudio, await cls.open(profile))

    async def new_session(self, language: str) -> SessionHandle:
        """A session without any upload."""
        opened = await self._desk.client.create_session("en" if language == "auto" else language)
        return await self.take_up(opened.session_id, language)

    async def take_up(self, session_id: str, language: str = "auto") -> SessionHandle:
        """A handle of a session as it stands now; `SessionGone` if the backend does not know it. Free.

        Recorded as a step that was carried out elsewhere. It is of a kind that is never repeated, so that nothing
        is forked or sent again on its account.
        """
        state = await self._desk.client.state(session_id)
        journal, profile = self._desk.journal, self._desk.profile
        key = step_key(profile.id, "", "chat", {"session": session_id})
        known = await journal.latest(key)
        if known is None:
            account = (await self._desk.token()).account
            planned = Attempt(
                key, 1, State.PLANNED, profile.name,
                account=account, session_id=session_id, task_id=state.task_id, free=profile.free,
            )  # fmt: skip
            sent = await journal.move(await journal.begin(planned), Event.SEND)
            known = await journal.move(sent, Event.FINISH, facts={"draft": state.draft, "money": FREE.to_json()})
        return self._handle(known, language)

"""Sessions by their id: opened without an upload, or attached where the journal does not know them."""

from __future__ import annotations

from collections.abc import Sequence

from .._journal.money import FREE
from .._journal.records import Attempt, StoredFacts
from .._journal.steps import Event, State, make_step_key, normalize_text
from .._text.prompts import choose_spoken_language
from .._wire import draft as drafts
from .._wire.schemas import State as SessionState
from .context import StudioContext
from .handles import SessionHandle
from .reconcile import make_handle
from .sessions import Sessions


class SessionAttacher:
    """Makes handles of sessions that are named by their id, for a command that goes on where another one stopped."""

    def __init__(self, context: StudioContext, sessions: Sessions) -> None:
        self._context = context
        self._sessions = sessions

    async def open_session(self, language: str, prompt: str) -> SessionHandle:
        """A new session without any upload; at `auto` in the language of `prompt`, where that is certain."""
        spoken = choose_spoken_language(language, prompt)
        opened = await self._context.client.create_session(spoken)
        state = await self._context.client.state(opened.session_id)
        facts = StoredFacts(opened=True, language=language, spoken=spoken)
        return make_handle(await self._record_state(opened.session_id, state, [], facts), language)

    async def attach_session(self, session_id: str, language: str, message: str) -> SessionHandle:
        """A handle of the session as it stands now, or of the step before where `message` was its last message.

        See `Studio.attach_session`.
        """
        state = await self._context.client.state(session_id)
        journal = self._context.journal
        steps = await journal.steps_in(session_id)
        if message and steps and steps[0].facts.text != normalize_text(message):
            steps[0] = await self._sessions.reconcile_once(steps[0])
            if steps[0].paid and steps[0].in_flight:
                raise await self._sessions.make_unsettled_error(steps[0])
        if message and steps and (not _is_done(steps[0]) or steps[0].facts.text == normalize_text(message)):
            before = await journal.latest(steps[0].before, session_id) or await journal.latest(steps[0].before)
            if before is not None:
                return make_handle(before, language)
        done = [each for each in steps if _is_done(each)]
        here = await self._record_state(session_id, state, done)
        if message:  # the state is the new head, unless another message is in flight
            for each in done:
                await journal.claim(session_id, each.key, here.key)
        return make_handle(here, language)

    async def _record_state(
        self, session_id: str, state: SessionState, done: Sequence[Attempt], facts: StoredFacts | None = None
    ) -> Attempt:
        """The newest step of the session if it explains the draft, else a step recorded as done elsewhere.

        `facts` are noted with the latter. Its kind is never repeated, so nothing is forked or sent again for it.
        """
        drawn = drafts.digest_draft(state.draft)
        before = done[0].key if done else ""
        if done and drafts.digest_draft(done[0].facts.draft) == drawn:
            return done[0]
        journal, profile = self._context.journal, self._context.profile
        key = make_step_key(profile.id, before, "chat", {"session": session_id, "draft": drawn})
        known = await journal.latest(key)
        if known is not None:
            return known
        account = (await self._context.token()).account
        planned = Attempt(
            key, 1, State.PLANNED, profile.name,
            before=before, account=account, session_id=session_id, task_id=state.task_id, free=profile.free,
        )  # fmt: skip
        sent = await journal.move(await journal.begin(planned), Event.SEND)
        made = StoredFacts(draft=state.draft, money=FREE.to_json())
        return await journal.move(sent, Event.FINISH, facts={**made, **(facts or {})})


def _is_done(step: Attempt) -> bool:
    return step.state is State.DONE

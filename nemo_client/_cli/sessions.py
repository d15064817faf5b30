"""Sessions by their id: what lets a shell command go on where an earlier one, or another machine, stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from .._files.save import Destination
from .._journal.money import FREE, Money, estimate_price
from .._journal.records import Attempt
from .._journal.steps import Event, State, make_step_key, normalize_text
from .._studio.handles import SessionHandle
from .._studio.jobs import Job
from .._studio.progress import Caller
from .._studio.reconcile import make_handle
from .._studio.studio import Studio
from .._studio.types import MessageResult, Output
from .._text.prompts import spoken_language
from .._wire import draft as drafts
from .._wire.schemas import State as SessionState


class ShellStudio(Studio):
    """A Studio that also takes up sessions which its journal does not know, and jobs by themselves."""

    @classmethod
    async def start(cls, profile: str) -> ShellStudio:
        """Open one for `profile`, as `Studio.open` does."""
        return cast(ShellStudio, await cls.open(profile))

    async def beside(self, profile: str) -> ShellStudio:
        """Another one, for another profile, with the same journal."""
        return cast(ShellStudio, await self.open(profile, journal=self._context.journal))

    async def usual_seconds(self) -> float | None:
        """How long a generation and its export take here; None where none was seen."""
        kinds = ("generate", "export")
        seen = [await self._context.journal.usual_seconds(self.profile.name, kind) for kind in kinds]
        return sum(each or 0.0 for each in seen) if any(seen) else None

    async def usual_price(self) -> float:
        """Credits that a generation is expected to take, by what was seen here."""
        return estimate_price("generate", await self._context.journal.charges(self.profile.name, "generate"))

    async def began(self) -> tuple[float, Money]:
        """Now, by this Studio's clock, and the balance, as money of which nothing is spent yet."""
        return self._context.wall(), FREE if self.profile.free else Money((await self.credits()).held)

    async def spent_since(self, moment: float, start: Money, run: str) -> Money:
        """What the account took since `began`: exactly, where only messages of this run went out meanwhile."""
        if self.profile.free:
            return FREE
        balance = await self.credits()
        others = [each for each in await self._context.journal.paid_since(self.profile.name, moment) if each.run != run]
        spent = None if start.before is None else start.before - balance.held
        return Money(start.before, balance.held, spent, "at most" if others else "exact")

    async def go_on(self, job: Job, caller: Caller) -> MessageResult:
        """What a job's message came to: found, settled, waited for, or sent now if it never was."""
        return await self.finish_job(job, caller=caller)

    async def wanted(self, job: Job) -> tuple[Destination | None, Output] | None:
        """Where its video was wanted (None: on another machine), and as what, if that was said before."""
        return await self.find_wanted_export(job)

    async def new_session(self, language: str, prompt: str = "") -> SessionHandle:
        """A session without any upload; at `auto` in the language of its first message, where that is certain."""
        spoken = spoken_language(language, prompt)
        opened = await self._context.client.create_session(spoken)
        state = await self._context.client.state(opened.session_id)
        facts = {"opened": True, "language": language, "spoken": spoken}
        return make_handle(await self._as_it_stands(opened.session_id, state, [], facts), language)

    async def take_up(self, session_id: str, language: str = "auto", message: str = "") -> SessionHandle:
        """A handle of a session as it stands now; `SessionGone` if the backend does not know it. Free.

        With the `message` that shall be sent there: where that very message came last, or another one is still out,
        the handle is of the step before, so that nothing is sent twice.
        """
        state = await self._context.client.state(session_id)
        journal = self._context.journal
        steps = await journal.steps_in(session_id)
        if message and steps and steps[0].facts.get("text") != normalize_text(message):
            steps[0] = await self._sessions.reconcile_once(steps[0])
            if steps[0].paid and steps[0].state in (State.SENT, State.UNKNOWN):
                raise await self._sessions.make_unsettled_error(steps[0])
        if message and steps and (_not_over(steps[0]) or steps[0].facts.get("text") == normalize_text(message)):
            before = await journal.latest(steps[0].before, session_id) or await journal.latest(steps[0].before)
            if before is not None:
                return make_handle(before, language)
        done = [each for each in steps if each.state is State.DONE]
        here = await self._as_it_stands(session_id, state, done)
        if message:  # the state is the new head, unless another message is out
            for each in done:
                await journal.claim(session_id, each.key, here.key)
        return make_handle(here, language)

    async def _as_it_stands(
        self, session_id: str, state: SessionState, done: Sequence[Attempt], facts: Mapping[str, object] | None = None
    ) -> Attempt:
        """The newest step of the session if it explains its draft, else one that was carried out elsewhere.

        `facts` are noted with the latter. That one is of a kind that is never repeated, so that nothing is forked or
        sent again on its account.
        """
        drawn = drafts.digest_draft(state.draft)
        before = done[0].key if done else ""
        if done and drafts.digest_draft(done[0].facts.get("draft")) == drawn:
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
        return await journal.move(
            sent, Event.FINISH, facts={"draft": state.draft, "money": FREE.to_json(), **(facts or {})}
        )


def _not_over(step: Attempt) -> bool:
    """Whether a step's message is out, or made nothing: then the session still stands at the step before."""
    return step.state is not State.DONE

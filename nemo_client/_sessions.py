"""Where steps are carried out: uploads to sessions, the claim of a session, and the fork where it is taken.

A handle names a point in a session's history. One who writes there claims the session; where another branch was
quicker, or the session is gone, uploads are repeated into a new one from the kept bytes, since they are free. Where
paid steps lie behind, nothing is repeated.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from ._attempts import Attempt
from ._desk import Desk
from ._errors import ApiError, BadAnswer, ConnectionBroken, InputError, LostRace, SessionBusy, SessionGone
from ._flights import Flight
from ._handles import SessionHandle
from ._jobs import id_of
from ._media import Media
from ._outcomes import Baseline, Message, handle_of, is_answered
from ._progress import Progress
from ._settling import HORIZON_SECONDS, Settler, sent_at
from ._steps import Event, Kind, State

FILES_A_REQUEST: Final = 10
RACES: Final = 10


@dataclass(frozen=True)
class Upload:
    """What to upload: its step key, the media, the language setting, the one to speak, and the session to add to."""

    key: str
    media: tuple[Media, ...]
    language: str
    spoken: str
    onto: SessionHandle | None = None


class Sessions:
    """The sessions of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._settler = Settler(desk)

    async def upload(self, wanted: Upload, flight: Flight) -> Attempt:
        """The finished upload: the one that is known, unless another account made it, or a new one."""
        known = await self._desk.journal.latest(wanted.key)
        account = (await self._desk.token()).account
        if known is not None and known.state is State.DONE and known.account == account:
            flight.report(Progress("upload", 1.0, reused=True))
            return known
        kept = [await asyncio.to_thread(self._desk.uploads.keep, each) for each in wanted.media]
        if wanted.onto is None:
            flight.report(Progress("session"))
            opened = await self._desk.client.create_session(wanted.spoken)
            place = SessionHandle(self._desk.profile.name, wanted.spoken, "", opened.session_id, opened.task_id)
        else:
            place = await self.place(Message(wanted.key, "upload", wanted.onto, ""))
        try:
            await self._send_media(place.session_id, kept, flight)
        except (Exception, asyncio.CancelledError):
            if wanted.onto is not None:
                await self._desk.journal.yield_claim(place.session_id, wanted.onto.key, wanted.key)
            raise
        return await self._record(replace(wanted, media=tuple(kept)), place)

    async def _send_media(self, session_id: str, media: Sequence[Media], flight: Flight) -> None:
        """Send files, then addresses, in order; an ambiguous upload is looked for in the state, then repeated."""

        def on_bytes(sent: int, total: int | None) -> None:
            flight.report(Progress("upload", sent / total if total else None))

        flight.report(Progress("upload", 0.0))
        for batch in _batches(media):
            if batch[0].url:
                await self._desk.client.upload_urls(session_id, [each.url for each in batch])
                continue
            parts = [each.part for each in batch]
            try:
                await self._desk.client.upload_files(session_id, parts, on_bytes)
            except (ConnectionBroken, BadAnswer):
                state = json.dumps((await self._desk.client.state(session_id)).raw)
                missing = [part for part in parts if part.name not in state]
                if missing:
                    await self._desk.client.upload_files(session_id, missing, on_bytes)

    async def _record(self, upload: Upload, place: SessionHandle) -> Attempt:
        """Note where the upload lies now; a repeated one is another placement of the same step."""
        journal = self._desk.journal
        facts = {
            "media": [(each.fingerprint, each.name, each.mime) for each in upload.media],
            "language": upload.language,
            "spoken": upload.spoken,
        }
        where: dict[str, Any] = {
            "session_id": place.session_id,
            "task_id": place.task_id,
            "account": (await self._desk.token()).account,
        }
        for _ in range(RACES):
            try:
                known = await journal.latest(upload.key) or Attempt(
                    upload.key, 1, State.PLANNED, self._desk.profile.name, before=place.key, free=True
                )
                return await journal.finished(known, facts, **where)
            except LostRace:  # the same upload by another process; each keeps a placement of its own
                continue
        raise SessionBusy("session-busy")

    async def place(self, message: Message) -> SessionHandle:
        """Claim the session for a writing step, or fork at once where only uploads lie behind it.

        What may answer the backend's question goes to the session that asked, or nowhere.
        """
        after = message.after
        behind = await self.recorded(after)
        asked = await self._find_question(message, behind)
        behind = asked or behind
        alive = await self._alive(behind.session_id)
        if alive and await self._claim(behind.session_id, after.key, message.key):
            return handle_of(behind, after.language)
        if alive and await self._settle_head(behind.session_id):
            return await self.place(message)
        chain = [] if asked else await self._uploads_behind(behind)
        if not chain:
            raise await self._refusal(behind, asked) if alive else await self.gone(behind)
        fresh = await self._again(chain)
        await self._desk.journal.claim(fresh.session_id, after.key, message.key)
        return handle_of(fresh, after.language)

    async def _find_question(self, message: Message, behind: Attempt) -> Attempt | None:
        """The attempt whose answer by the backend this message replies to, if there is one.

        That is the one the handle names; for a chat also the newest one after the handle's step that is still open,
        in the handle's own session first.
        """
        if is_answered(behind):
            return behind
        if message.kind != "chat":
            return None
        journal = self._desk.journal
        found = [each for each in await journal.failed_after(behind.key) if is_answered(each)]
        for each in sorted(found, key=lambda each: each.session_id != behind.session_id):
            if each.key != message.key and not await journal.messages_since(each):
                return each
        return None

    async def _claim(self, session_id: str, at: str, by: str) -> bool:
        """Claim the session at the step `at`; attempts that made nothing leave it where it was before them."""
        journal = self._desk.journal
        if await journal.claim(session_id, at, by):
            return True
        head = await journal.head(session_id)
        if not head or await self.standing(head) != await self.standing(at):
            return False
        return await journal.claim(session_id, head, by)

    async def standing(self, key: str) -> str:
        """The step at which a session stands whose head is `key`: failed and lost attempts are passed over."""
        step = await self._desk.journal.latest(key)
        while step is not None and step.state in (State.FAILED, State.LOST) and step.before:
            key = step.before
            step = await self._desk.journal.latest(key)
        return key

    async def _settle_head(self, session_id: str) -> bool:
        """Whether the session's newest message was not settled and is now."""
        head = await self._desk.journal.latest(await self._desk.journal.head(session_id))
        if head is None or head.state not in (State.SENT, State.UNKNOWN):
            return False
        return (await self.look_again(head)).state not in (State.SENT, State.UNKNOWN)

    async def _refusal(self, behind: Attempt, asked: Attempt | None) -> SessionBusy:
        """Why a living session is not to be had: the message before is not settled, or others went on from there."""
        head = await self._desk.journal.latest(await self._desk.journal.head(behind.session_id))
        if head is not None and head.state in (State.PLANNED, State.SENT, State.UNKNOWN):
            return await self.unsettled(head)
        return SessionBusy("answer-refused" if asked else "fork-refused")

    async def look_again(self, attempt: Attempt) -> Attempt:
        """An attempt that may be settled by now, after one free look at its session's state."""
        if not attempt.paid or not attempt.facts.get("baseline"):
            return attempt
        if attempt.state is State.SENT and await self._desk.journal.life(attempt) == "dead":
            attempt = await self._desk.journal.move(attempt, Event.OWNER_DIED)
        if attempt.state is not State.UNKNOWN:
            return attempt
        baseline = Baseline.from_json(attempt.facts["baseline"])
        before = SessionHandle(attempt.profile, "auto", attempt.before, attempt.session_id, attempt.task_id)
        message = Message(attempt.key, cast(Kind, attempt.kind), before, str(attempt.facts.get("text") or ""))
        try:
            return await self._settler.look(attempt, message, baseline) or attempt
        except LostRace:
            return await self._desk.journal.latest(attempt.key) or attempt

    async def unsettled(self, head: Attempt) -> SessionBusy:
        """What to tell about a session whose newest message is not over."""
        if head.state is not State.UNKNOWN:
            return SessionBusy("session-busy")
        left = HORIZON_SECONDS - (self._desk.wall() - sent_at(head))
        return SessionBusy("session-unsettled", minutes=max(math.ceil(left / 60), 1), job=id_of(head.key))

    async def _alive(self, session_id: str) -> bool:
        """Whether the session is there and ours; after a change of the token, this free read is what tells."""
        try:
            await self._desk.client.state(session_id)
        except ApiError as error:
            if isinstance(error, SessionGone) or error.code in (403, 404):
                return False
            raise
        return True

    async def _uploads_behind(self, attempt: Attempt) -> list[Attempt]:
        """The uploads that lead to `attempt` and itself, oldest first; empty if anything else lies behind it."""
        chain = [attempt]
        while chain[0].kind == "upload" and chain[0].before:
            earlier = await self._desk.journal.latest(chain[0].before)
            if earlier is None:
                return []
            chain.insert(0, earlier)
        return chain if chain[0].kind == "upload" else []

    async def gone(self, attempt: Attempt) -> SessionGone:
        """The error for a session that the backend no longer knows; what was paid for in it is named."""
        paid: list[Attempt] = []
        step: Attempt | None = attempt
        while step is not None:
            if step.paid:
                paid.insert(0, step)
            step = await self._desk.journal.latest(step.before) if step.before else None
        if not paid:
            return SessionGone(code=1002)
        words = "; ".join(" ".join(str(each.facts.get("text") or each.kind).split())[:60] for each in paid)
        spent = sum(each.spent or 0.0 for each in paid)
        return SessionGone("session-gone-paid", code=1002, paid=words, spent=f"{spent:g}")

    async def _again(self, chain: Sequence[Attempt]) -> Attempt:
        """Repeat uploads into a new session from the kept bytes; the last one there."""
        spoken = str(chain[0].facts.get("spoken") or "en")
        opened = await self._desk.client.create_session(spoken)
        placed = chain[-1]
        for step in chain:
            media = tuple(self.kept(*entry) for entry in step.facts["media"])
            await self._send_media(opened.session_id, media, Flight())
            place = SessionHandle(step.profile, spoken, step.before, opened.session_id, opened.task_id)
            placed = await self._record(Upload(step.key, media, str(step.facts["language"]), spoken), place)
        return placed

    def kept(self, fingerprint: str, name: str, mime: str) -> Media:
        """Media that was uploaded before, from the kept bytes."""
        found = self._desk.uploads.find(fingerprint, name, mime)
        if found is None:
            raise InputError("uploads-elsewhere", name=name)
        return found

    async def recorded(self, handle: SessionHandle) -> Attempt:
        """The attempt that a handle stands for."""
        found = await self._desk.journal.latest(handle.key, handle.session_id) or await self._desk.journal.latest(
            handle.key
        )
        if found is None or not (found.state is State.DONE or is_answered(found)):
            raise InputError("handle-unknown")
        return found


def _batches(media: Sequence[Media]) -> list[list[Media]]:
    """Runs of files or of addresses, in order, at most FILES_A_REQUEST each."""
    batches: list[list[Media]] = []
    for each in media:
        if batches and bool(batches[-1][0].url) == bool(each.url) and len(batches[-1]) < FILES_A_REQUEST:
            batches[-1].append(each)
        else:
            batches.append([each])
    return batches

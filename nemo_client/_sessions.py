"""Where steps are carried out: uploads to sessions, the claim of a session, and the fork where it is taken.

A handle names a point in a session's history. One who writes there claims the session; where another branch was
quicker, or the session is gone, uploads are repeated into a new one from the kept bytes, since they are free. Where
paid steps lie behind, nothing is repeated.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ._attempts import Attempt
from ._desk import Desk
from ._errors import ApiError, BadAnswer, ConnectionBroken, InputError, LostRace, SessionBusy, SessionGone
from ._flights import Flight
from ._handles import SessionHandle
from ._media import Media
from ._outcomes import Message
from ._progress import Progress
from ._steps import State

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
        """Claim the session for a writing step, or fork at once where only uploads lie behind it."""
        after = message.after
        behind = await self.recorded(after)
        alive = await self._alive(behind.session_id)
        if alive and await self._desk.journal.claim(behind.session_id, after.key, message.key):
            return handle_of(behind, after.language)
        chain = await self._uploads_behind(behind)
        if not chain:
            raise SessionBusy("fork-refused") if alive else await self.gone(behind)
        fresh = await self._again(chain)
        await self._desk.journal.claim(fresh.session_id, after.key, message.key)
        return handle_of(fresh, after.language)

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
        if found is None or found.state is not State.DONE:
            raise InputError("handle-unknown")
        return found


def handle_of(attempt: Attempt, language: str) -> SessionHandle:
    """The handle of a finished step."""
    return SessionHandle(attempt.profile, language, attempt.key, attempt.session_id, attempt.task_id, attempt.account)


def _batches(media: Sequence[Media]) -> list[list[Media]]:
    """Runs of files or of addresses, in order, at most FILES_A_REQUEST each."""
    batches: list[list[Media]] = []
    for each in media:
        if batches and bool(batches[-1][0].url) == bool(each.url) and len(batches[-1]) < FILES_A_REQUEST:
            batches[-1].append(each)
        else:
            batches.append([each])
    return batches

"""Where steps are carried out: uploads to sessions, the claim of a session, and the fork where it is taken.

A handle names a point in a session's history. One who writes there claims the session; where another branch was
quicker, or the session is gone, uploads are repeated into a new one from the kept bytes, since they are free. Where
paid steps lie behind, nothing is repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from .._errors import (
    ApiError,
    BadAnswer,
    Charged,
    ConnectionBroken,
    DiskError,
    InputError,
    LostRace,
    SessionBusy,
    SessionGone,
)
from .._files.images import Media, is_nameless
from .._journal.job_rows import make_job_id
from .._journal.records import Attempt, StoredFacts
from .._journal.steps import Event, State
from .._text import prompts
from .._wire.schemas import State as SessionState
from .._wire.schemas import Uploaded
from .context import RACE_TRIES, StudioContext
from .handles import SessionHandle
from .in_flight import InFlightRequest
from .listed_uploads import find_listed, find_missing, lists_uploads, select_file_lists
from .progress import Progress
from .reconcile import Baseline, Message, Reconciler, is_answered, make_handle

logger = logging.getLogger("nemo_client")

_T = TypeVar("_T")

FILES_A_REQUEST: Final = 10
GONE: Final = 1002
REMEMBERED: Final = 1000
JUST_NOW_SECONDS: Final = 60.0
"""For so long a session that took an upload is claimed for a message without a look whether it is still there."""


@dataclass(frozen=True)
class Upload:
    """What to upload: its step key, the media, the language setting, the one to speak, and the session to add to.

    `older` are the keys that earlier versions gave it.
    """

    key: str
    media: tuple[Media, ...]
    language: str
    spoken: str
    onto: SessionHandle | None = None
    older: tuple[str, ...] = ()


class Sessions:
    """Opens, claims, forks and fills the sessions of one Studio."""

    def __init__(self, context: StudioContext) -> None:
        self._context = context
        self._reconciler = Reconciler(context)
        self._lost: set[str] = set()  # sessions of which a message or an upload said 1002
        self._replaced: OrderedDict[str, Upload] = OrderedDict()
        self._given: OrderedDict[str, tuple[Media, ...]] = OrderedDict()
        self._seen: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._behind: OrderedDict[str, Attempt] = OrderedDict()  # the step behind a message that is being sent
        self._answered: OrderedDict[str, float] = OrderedDict()  # when a session took an upload, by the clock

    async def upload(self, wanted: Upload, request: InFlightRequest) -> Attempt:
        """The finished upload: the one that is known, unless another account made it, or a new one.

        One that is known under another name is repeated under this one where nothing followed it yet: prompts say
        names. Where something did, its next step may be known, too; so that is left to the next new message.
        """
        latest = await self._context.journal.latest(wanted.key)
        known = await self._find_placement(wanted, latest)
        if known is not None:
            request.report(Progress("upload", 1.0, reused=True))
            return known
        kept = [await asyncio.to_thread(self._context.uploads.keep, each) for each in wanted.media]
        wanted = replace(wanted, media=tuple(kept))
        if wanted.onto is None:
            place = await self._open_session(wanted.spoken, [(wanted.media, "")], request)
            return await self._record_upload(wanted, place, latest)
        try:
            return await self._record_upload(wanted, await self._add_to_session(wanted, wanted.onto, request), latest)
        except (Exception, asyncio.CancelledError):
            with contextlib.suppress(DiskError):  # the first error is the one to tell
                await self._context.journal.give_back(wanted.key)
            raise

    async def find_older_keys(self, key: str) -> tuple[str, ...]:
        """The keys that earlier versions gave an upload."""
        known = await self._context.journal.latest(key)
        return known.facts.older if known is not None else ()

    async def find_older_upload(self, wanted: Upload) -> Attempt | None:
        """An upload that an earlier version made under another key, and that went on: what followed may be known.

        Where its next step is not, `find_replacement` puts the upload as it is made now in its place.
        """
        if not wanted.older or await self._context.journal.latest(wanted.key) is not None:
            return None
        account = (await self._context.token()).account
        for key in wanted.older:
            known = await self._context.journal.latest(key)
            ours = known is not None and known.state is State.DONE and known.account == account
            if ours and await self._context.journal.is_followed(key):
                _remember(self._replaced, key, wanted)
                return known
        return None

    def find_replacement(self, handle: SessionHandle) -> Upload | None:
        """The upload that stands for one of an earlier version from now on."""
        return self._replaced.get(handle.key)

    async def find_known_place(
        self, behind: Attempt | None, language: str, key_after: Callable[[str], str]
    ) -> SessionHandle | None:
        """The handle behind which an earlier version knew a step, done or open: it is taken, never paid again.

        `behind` is the newest attempt at the step that it follows on now.
        """
        for older in behind.facts.older if behind is not None else ():
            known = await self._context.journal.latest(key_after(older))
            if known is not None and (known.state is State.DONE or known.open):
                before = await self._context.journal.latest(older)
                return None if before is None else make_handle(before, language)
        return None

    def remember_media(self, key: str, media: Sequence[Media]) -> None:
        """Remember what was given for an upload: its bytes, and the names that its files have now."""
        _remember(self._given, key, tuple(media))

    async def _find_placement(self, wanted: Upload, latest: Attempt | None) -> Attempt | None:
        """The placement of a known upload, `latest` the newest of it, that stands for this one."""
        account = (await self._context.token()).account
        if latest is None or latest.state is not State.DONE or latest.account != account:
            return None
        if _has_names(latest, wanted.media):
            return latest
        for placed in await self._context.journal.placements(wanted.key):
            if placed.account == account and _has_names(placed, wanted.media):
                return placed
        return latest if await self._context.journal.is_followed(wanted.key) else None

    async def _open_session(
        self, spoken: str, uploads: Sequence[tuple[Sequence[Media], str]], request: InFlightRequest
    ) -> SessionHandle:
        """A new session with these uploads, which cost nothing: once more where it is lost before it was used."""
        for last in (False, True):
            request.report(Progress("session"))
            opened = await self._context.client.create_session(spoken)
            try:
                for media, _ in uploads:
                    await self._send_media(opened.session_id, media, request)
            except SessionGone as error:
                if last or error.code != GONE:
                    raise
                continue
            return SessionHandle(
                self._context.profile.name, spoken, uploads[-1][1] if uploads else "", opened.session_id, opened.task_id
            )
        raise AssertionError  # the loop returns or raises

    async def _add_to_session(self, wanted: Upload, onto: SessionHandle, request: InFlightRequest) -> SessionHandle:
        """Add to a session, or to a new one with the same uploads where it was taken, or is lost."""
        message = Message(wanted.key, "upload", onto, "")
        for last in (False, True):
            place = await self.claim_session(message)
            try:
                await self._send_media(place.session_id, wanted.media, request)
                return place
            except (Exception, asyncio.CancelledError) as error:
                with contextlib.suppress(DiskError):  # the first error is the one to tell
                    await self._context.journal.give_back(wanted.key)
                gone = isinstance(error, SessionGone) and error.code == GONE
                if last or not gone or not await self.leave_session(message, place.session_id):
                    raise
        raise AssertionError  # the loop returns or raises

    async def leave_session(self, message: Message, session_id: str) -> bool:
        """Give up a session that the backend said not to know; whether its uploads can be repeated in another one."""
        self._lost.add(session_id)
        behind = await self.find_attempt(message.after)
        asked = await self._find_question(message, behind)
        return asked is None and bool(await self._find_uploads_behind(behind))

    async def _send_media(self, session_id: str, media: Sequence[Media], request: InFlightRequest) -> None:
        """Send files, then addresses, in order; what the backend says not to have taken once more."""
        request.report(Progress("upload", 0.0))
        for batch in _split_into_requests(media):
            refused = await self._send_batch(session_id, batch, request)
            if refused:
                logger.info("%d files were not taken; they are sent once more", len(refused))
                refused = await self._send_batch(session_id, refused, request)
            if refused:
                raise ApiError("upload-refused", name=refused[0].name)
        _remember(self._answered, session_id, self._context.clock())

    async def _send_batch(self, session_id: str, batch: Sequence[Media], request: InFlightRequest) -> list[Media]:
        """Send files of one kind; those that were not taken. An ambiguous upload is looked for in the state first."""

        def on_bytes(sent: int, total: int | None) -> None:
            request.report(Progress("upload", sent / total if total else None))

        client = self._context.client

        async def send(some: Sequence[Media]) -> list[Media]:
            if some[0].url:
                return _find_refused(await client.upload_urls(session_id, [each.url for each in some]), some)
            return _find_refused(await client.upload_files(session_id, [each.part for each in some], on_bytes), some)

        try:
            return await send(batch)
        except (ConnectionBroken, BadAnswer):
            missing = find_missing((await client.state(session_id)).raw, batch)
            return await send(missing) if missing else []

    async def _record_upload(self, upload: Upload, place: SessionHandle, known: Attempt | None) -> Attempt:
        """Note where the upload lies now; a repeated one is another placement of the same step.

        `known` is its newest attempt by what was read before: where there is another one by now, it is read again.
        """
        journal = self._context.journal
        facts = StoredFacts(
            media=[(each.fingerprint, each.kept_name, each.mime) for each in upload.media],
            names=[each.name for each in upload.media],
            language=upload.language,
            spoken=upload.spoken,
        )
        if upload.older:
            facts["older"] = list(upload.older)
        where: dict[str, Any] = {
            "session_id": place.session_id,
            "task_id": place.task_id,
            "account": (await self._context.token()).account,
        }
        for _ in range(RACE_TRIES):
            try:
                begun = known or Attempt(
                    upload.key, 1, State.PLANNED, self._context.profile.name, before=place.key, free=True
                )
                return await journal.finished(begun, facts, **where)
            except LostRace:  # the same upload by another process; each keeps a placement of its own
                known = await journal.latest(upload.key)
        raise SessionBusy("session-busy")

    async def claim_session(self, message: Message) -> SessionHandle:
        """Claim the session for a writing step, or fork at once where only uploads lie behind it.

        What may answer the backend's question goes to the session that asked, or nowhere.
        """
        after = message.after
        behind = await self.find_attempt(after)
        _remember(self._behind, message.key, behind)
        asked = await self._find_question(message, behind)
        behind = asked or behind
        chain = [] if asked else await self._find_uploads_behind(behind)
        moved = await self._move_uploads(message, chain) if chain else None
        if moved is None:
            known = bool(chain) and await self._is_answered_just_now(message, behind)
            alive = known or await self._is_alive(behind.session_id)
            if alive and await self._claim_at(behind.session_id, after.key, message.key):
                return make_handle(behind, after.language)
            if alive and await self._reconcile_head(behind.session_id):
                return await self.claim_session(message)
            if not chain:
                raise await self._make_busy_error(behind, asked) if alive else await self.make_gone_error(behind)
            moved = await self._repeat_uploads(chain)
        await self._context.journal.claim(moved.session_id, after.key, message.key)
        return make_handle(moved, after.language)

    async def _move_uploads(self, message: Message, chain: Sequence[Attempt]) -> Attempt | None:
        """The uploads in a new session that speaks the user's language, and under the names that the files have now.

        None where the session fits already, or where the bytes are gone: then it stays. The language counts only where
        the setting is `auto` and the text is certain.
        """
        spoken = chain[0].facts.spoken
        automatic = message.after.language == "auto" and chain[0].facts.language == "auto"
        certain = prompts.certain_language(message.words or message.text) if automatic else ""
        renamed = any(not _has_names(step, self._given.get(step.key, ())) for step in chain)
        if not renamed and certain in ("", spoken):
            return None
        if any(self._find_uploaded(step) is None for step in chain):
            return None
        return await self._repeat_uploads(chain, certain or spoken)

    async def _find_question(self, message: Message, behind: Attempt) -> Attempt | None:
        """The attempt whose answer by the backend this message replies to, if there is one.

        That is the one the handle names; for a chat also the newest one after the handle's step that is still open,
        in the handle's own session first.
        """
        if is_answered(behind):
            return behind
        if message.kind != "chat":
            return None
        journal = self._context.journal
        found = [each for each in await journal.failed_after(behind.key) if is_answered(each)]
        for each in sorted(found, key=lambda each: each.session_id != behind.session_id):
            if each.key != message.key and not await journal.messages_since(each):
                return each
        return None

    async def _claim_at(self, session_id: str, at: str, by: str) -> bool:
        """Claim the session at the step `at`; attempts that made nothing leave it where it was before them."""
        journal = self._context.journal
        if await journal.claim(session_id, at, by):
            return True
        head = await journal.head(session_id)
        if not head or await self.find_standing_step(head) != await self.find_standing_step(at):
            return False
        return await journal.claim(session_id, head, by)

    async def find_standing_step(self, key: str) -> str:
        """The step at which a session stands whose head is `key`: failed and lost attempts are passed over."""
        step = await self._context.journal.latest(key)
        while step is not None and step.state in (State.FAILED, State.LOST) and step.before:
            key = step.before
            step = await self._context.journal.latest(key)
        return key

    async def _reconcile_head(self, session_id: str) -> bool:
        """Whether the session's newest message was unsettled and is reconciled now."""
        head = await self._context.journal.latest(await self._context.journal.head(session_id))
        if head is None or not head.paid or not head.in_flight:
            return False
        return not (await self.reconcile_once(head)).in_flight

    async def _make_busy_error(self, behind: Attempt, asked: Attempt | None) -> SessionBusy:
        """Why a living session cannot be claimed: its newest message is not settled, or another branch went on."""
        key = await self._context.journal.head(behind.session_id)
        head = await self._context.journal.latest(key)
        if key and head is None:  # a step that is about to begin
            return SessionBusy("session-busy")
        if head is not None and head.open:
            return await self.make_unsettled_error(head)
        return SessionBusy("answer-refused" if asked else "fork-refused")

    async def reconcile_once(self, attempt: Attempt) -> Attempt:
        """The attempt after one free read of its session's state, which may reconcile it."""
        baseline = Baseline.from_attempt(attempt)
        if not attempt.paid or baseline is None:
            return attempt
        if attempt.state is State.SENT and await self._context.journal.life(attempt) == "dead":
            with contextlib.suppress(LostRace):
                attempt = await self._context.journal.move(attempt, Event.OWNER_DIED)
        if attempt.state is not State.UNKNOWN:
            return attempt
        try:
            return await self._reconciler.read_once(attempt, baseline) or attempt
        except LostRace:
            return await self._context.journal.latest(attempt.key) or attempt

    async def make_unsettled_error(self, head: Attempt) -> SessionBusy:
        """What to tell about a session whose newest message is not over."""
        if head.state is not State.UNKNOWN:
            return SessionBusy("session-busy")
        left = self._context.timings.horizon - self._context.seconds_since_sent(head)
        return SessionBusy("session-unsettled", minutes=max(math.ceil(left / 60), 1), job=make_job_id(head.key))

    async def _is_answered_just_now(self, message: Message, behind: Attempt) -> bool:
        """Whether this Studio uploaded to the session a moment ago, as the account in use now; nothing was paid behind.

        Then no look is needed before the claim: the state is read behind it, as the baseline, and tells if it is gone.
        """
        answered = self._answered.get(behind.session_id)
        if message.kind == "upload" or answered is None or behind.session_id in self._lost:
            return False
        just_now = self._context.clock() - answered <= JUST_NOW_SECONDS
        return just_now and (await self._context.token()).account == behind.account

    def forget_answer(self, session_id: str) -> bool:
        """The session is gone after all: from now on it is looked at; whether it counted as there without a look."""
        return self._answered.pop(session_id, None) is not None

    async def _is_alive(self, session_id: str) -> bool:
        """Whether the session is there and ours; after a change of the token, this free read is what tells."""
        if session_id in self._lost:
            return False
        try:
            await self._context.client.state(session_id)
        except ApiError as error:
            if is_session_gone(error):
                return False
            raise
        return True

    async def _find_uploads_behind(self, attempt: Attempt) -> list[Attempt]:
        """The uploads that lead to `attempt` and itself, oldest first; empty if anything else lies behind it.

        A session that was opened without any upload stands there as the first.
        """
        chain = [attempt]
        while chain[0].kind == "upload" and chain[0].before:
            earlier = await self._context.journal.latest(chain[0].before)
            if earlier is None:
                return []
            chain.insert(0, earlier)
        return chain if chain[0].kind == "upload" or chain[0].facts.opened else []

    async def make_gone_error(self, attempt: Attempt) -> SessionGone:
        """The error for a session that the backend no longer knows; what was paid for in it is named."""
        paid: list[Attempt] = []
        step: Attempt | None = attempt
        while step is not None:
            if step.paid:
                paid.insert(0, step)
            step = await self._context.journal.latest(step.before) if step.before else None
        if not paid:
            return SessionGone(code=1002)
        words = "; ".join(" ".join((each.facts.text or each.kind).split())[:60] for each in paid)
        spent = sum(each.spent or 0.0 for each in paid)
        charged: Charged = "yes" if spent else "maybe" if any(each.spent is None for each in paid) else "no"
        return SessionGone("session-gone-paid", code=1002, charged=charged, paid=words, spent=f"{spent:g}")

    async def _repeat_uploads(self, chain: Sequence[Attempt], spoken: str = "") -> Attempt:
        """Repeat uploads into a new session from the kept bytes, in another language if one is given; the last one."""
        spoken = spoken or chain[0].facts.spoken
        again = [(self._load_uploaded(step), step.before) for step in chain]
        opened = await self._open_session(spoken, again, InFlightRequest())
        placed = chain[-1]
        for step, (media, before) in zip(chain, again, strict=True):
            if step.kind != "upload":  # opened without any upload
                placed = replace(step, session_id=opened.session_id, task_id=opened.task_id)
                continue
            place = replace(opened, key=before)
            wanted = Upload(step.key, media, step.facts.language, spoken, older=step.facts.older)
            placed = await self._record_upload(wanted, place, await self._context.journal.latest(step.key))
        return placed

    def _load_uploaded(self, step: Attempt) -> tuple[Media, ...]:
        """What an upload sent, from the kept bytes."""
        found = self._find_uploaded(step)
        if found is None:
            raise InputError("uploads-elsewhere", name=", ".join(step.facts.names))
        return found

    def _find_uploaded(self, step: Attempt) -> tuple[Media, ...] | None:
        """What an upload sent: as it was given last, with the names that its files have now, else as it is recorded."""
        given, uploads = self._given.get(step.key, ()), self._context.uploads
        found = [uploads.find(each.fingerprint, each.kept_name, each.mime, each.name) for each in given]
        if not found or None in found:
            pairs = zip(step.facts.media, step.facts.names, strict=True)
            found = [uploads.find(fingerprint, kept, mime, name) for (fingerprint, kept, mime), name in pairs]
        return None if None in found else tuple(each for each in found if each is not None)

    def find_kept_media(self, fingerprint: str, kept: str, mime: str) -> Media:
        """Media that was uploaded before, from the kept bytes."""
        found = self._context.uploads.find(fingerprint, kept, mime)
        if found is None:
            raise InputError("uploads-elsewhere", name=kept)
        return found

    async def restore_uploads(
        self, message: Message, session_id: str, state: SessionState
    ) -> tuple[SessionState, frozenset[str]]:
        """The session's state with all uploads that it listed before, and the marks of those that it lists.

        What an earlier state listed and this one does not is uploaded once more; an `ApiError` where that does not
        help. A state that lists no file at all proves nothing.
        """
        media, before = await self._find_expected(message, session_id)
        listed = find_listed(select_file_lists(state.raw), media.values())
        lost = [media[mark] for mark in media if mark in before - listed]
        if lost:
            logger.info("the session no longer lists %d of its files; they are sent once more", len(lost))
            await self._send_media(session_id, lost, InFlightRequest())
            state = await self._context.client.state(session_id)
            listed = find_listed(select_file_lists(state.raw), media.values())
            missing = [each for each in lost if each.mark not in listed]
            if missing and lists_uploads(state.raw):
                raise ApiError("upload-refused", name=missing[0].name)
        _remember(self._seen, session_id, listed | self._seen.get(session_id, frozenset()))
        return state, listed

    async def _find_expected(self, message: Message, session_id: str) -> tuple[dict[str, Media], frozenset[str]]:
        """The uploads behind a message by their marks, and the marks of those that some state of the session listed."""
        media: dict[str, Media] = {}
        listed = self._seen.get(session_id, frozenset())
        step: Attempt | None = self._behind.pop(message.key, None) or await self.find_attempt(message.after)
        while step is not None:
            if step.kind == "upload":
                for each in _iterate_sent_media(self._context, step):
                    media.setdefault(each.mark, each)
            elif step.session_id == session_id:
                listed |= frozenset((step.facts.baseline or {}).get("files", ()))
            step = await self._context.journal.latest(step.before) if step.before else None
        media.pop("", None)
        return media, listed

    async def find_attempt(self, handle: SessionHandle) -> Attempt:
        """The attempt that a handle stands for."""
        found = await self._context.journal.latest(handle.key, handle.session_id) or await self._context.journal.latest(
            handle.key
        )
        if found is None or not (found.state is State.DONE or is_answered(found)):
            raise InputError("handle-unknown")
        return found


def is_session_gone(error: ApiError) -> bool:
    """Whether an answer says that the backend does not know a session, or that it is another account's."""
    return isinstance(error, SessionGone) or error.code in (403, 404)


def _has_names(step: Attempt, media: Sequence[Media]) -> bool:
    """Whether an upload carries these names; a picture that never had one of its own is content with any."""
    names = step.facts.names
    if len(media) != len(names):
        return True
    return all(each.url or each.name == name or is_nameless(each.name) for each, name in zip(media, names, strict=True))


def _iterate_sent_media(context: StudioContext, step: Attempt) -> Iterator[Media]:
    """An upload's files as they were sent; where their bytes are gone, only a name is left of them."""
    for entry, name in zip(step.facts.media, step.facts.names, strict=True):
        fingerprint, kept, mime = entry
        yield context.uploads.find(fingerprint, kept, mime, name) or Media(
            fingerprint, name, mime, context.uploads.place(kept), kept=kept
        )


def _find_refused(said: Uploaded, batch: Sequence[Media]) -> list[Media]:
    """Those of a batch that an answer says not to have taken; all, where it does not tell which."""
    if not said.applied:
        return list(batch)
    told = [[each for each in batch if _is_name_of(name, each)] for name in said.failed]
    if not all(told):
        return list(batch)
    return [each for each in batch if any(each in some for some in told)]


def _is_name_of(name: str, media: Media) -> bool:
    return bool(name) and (name in (media.name, media.url) or bool(find_listed({"": name}, [media])))


def _remember(known: OrderedDict[str, _T], key: str, value: _T) -> None:
    """Note a value for a while: a Studio lives for as long as ComfyUI does."""
    known[key] = value
    known.move_to_end(key)
    while len(known) > REMEMBERED:
        known.popitem(last=False)


def _split_into_requests(media: Sequence[Media]) -> list[list[Media]]:
    """Runs of files or of addresses, in order, at most FILES_A_REQUEST each."""
    batches: list[list[Media]] = []
    for each in media:
        if batches and bool(batches[-1][0].url) == bool(each.url) and len(batches[-1]) < FILES_A_REQUEST:
            batches[-1].append(each)
        else:
            batches.append([each])
    return batches

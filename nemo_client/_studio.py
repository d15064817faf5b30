"""Studio: upload -> generate -> edit -> export as resumable steps. What nodes, shell and batches all call.

A step is named by its key, carried out once, and found again by the same request, whoever makes it and whatever
happened in between. One Studio works for one profile in one event loop.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import _drafts, _intents
from ._accounts import Account, FixedToken, Token, TokenSource, registration_link
from ._client import NemoClient
from ._config import LOCAL, Profile, client_id, ensure_home, home, profile
from ._desk import Desk
from ._errors import ConnectionBroken, InputError, RenderFailed, SessionBusy, SessionGone
from ._flights import Flight
from ._handles import SessionHandle
from ._http import Http, Sleep
from ._journal import Attempt, Journal, MemoryJournal
from ._landing import Destination
from ._media import Media, UploadStore
from ._messages import Message, Messenger
from ._models import Credits
from ._money import Money, together
from ._progress import Caller, Progress
from ._renders import Render, Renderer
from ._results import Output, Turned, Video, Wish
from ._steps import Event, Kind, State, kind_of, plain_text, step_key

if TYPE_CHECKING:
    from .local import LocalBackend

FILES_A_REQUEST: Final = 10


class Studio:
    """The whole way from a picture to a video file, for one profile.

    Make one with `Studio.open`, use it as an async context manager, and keep it for as long as its loop runs.
    """

    def __init__(self, desk: Desk, backend: LocalBackend | None = None) -> None:
        self._desk = desk
        self._backend = backend
        self._messenger = Messenger(desk, self._place)
        self._renderer = Renderer(desk)

    @classmethod
    async def open(
        cls,
        name: str = LOCAL,
        *,
        directory: Path | None = None,
        journal: Journal | None = None,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> Studio:
        """A Studio for the profile `name`, with its files in `directory` (default: the home directory).

        Starts the local preview backend if that is what the profile means. Raises `InputError` for an unknown
        profile and `DiskError` for a home directory that cannot be used.
        """
        chosen, place = profile(name, directory), ensure_home(home(directory))
        journal = journal or MemoryJournal(wall)
        backend = None
        tokens: TokenSource
        if chosen.free:
            backend = await asyncio.to_thread(_open_local, place)
            chosen = Profile(chosen.name, backend.url, backend.url, free=True)
            tokens = FixedToken(Token(backend.token, "local", "local"))
        else:
            tokens = Account(chosen, place, lambda: client.anonymous_token(), _MayReplace(journal))
        client = NemoClient(Http(chosen, client_id(place), tokens, sleep=sleep, clock=clock))
        desk = Desk(chosen, place, client, journal, UploadStore(place), sleep, clock, wall)
        return cls(desk, backend)

    async def __aenter__(self) -> Studio:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop what runs here and close the connections. Paid work that is out should be drained before."""
        await self._desk.flights.stop()
        await self._desk.client.aclose()
        if self._backend is not None:
            await asyncio.to_thread(self._backend.close)

    @property
    def profile(self) -> Profile:
        """The profile this Studio works for."""
        return self._desk.profile

    @property
    def committed(self) -> int:
        """How many paid messages are out and being read."""
        return self._desk.flights.committed

    async def drain(self) -> None:
        """Read the streams of paid messages that are out to their end."""
        await self._desk.flights.drain()

    async def credits(self) -> Credits:
        """The account's balance."""
        return await self._desk.client.balance()

    async def registration_link(self) -> str:
        """Where an anonymous account becomes a registered one; empty for any other."""
        token = await self._desk.token()
        return registration_link(self._desk.profile, token.user_id) if token.kind == "anonymous" else ""

    async def upload(
        self,
        media: Sequence[Media],
        *,
        language: str = "auto",
        prompt: str = "",
        onto: SessionHandle | None = None,
        caller: Caller | None = None,
    ) -> SessionHandle:
        """Upload to a new session, or `onto` one. Free; not repeated while its session lives.

        `prompt` decides the session's language at `auto`, where it is known already.
        """
        if not media:
            raise InputError("image-empty")
        before = _usable(onto).key if onto else ""
        language = onto.language if onto else language
        inputs: dict[str, object] = {"media": [each.fingerprint for each in media], "language": language}
        key = step_key(self._desk.profile.id, before, "upload", inputs)
        spoken = language if language != "auto" else _intents.language_of(prompt)

        async def start(flight: Flight) -> Attempt:
            return await self._upload(key, media, language, spoken, onto, flight)

        done = await self._desk.flights.join(key, start, caller or Caller())
        return self._handle(done, language)

    async def generate(self, session: SessionHandle, wish: Wish, *, caller: Caller | None = None) -> Turned:
        """Generate a video in a session. Paid; sent at most once for the same request."""
        prompt = plain_text(wish.prompt)
        inputs: dict[str, object] = {
            "prompt": prompt,
            "aspect_ratio": wish.aspect_ratio,
            "duration": wish.duration,
            "seed": wish.seed,
        }
        text = _intents.compose_prompt(prompt, duration=wish.duration, aspect_ratio=wish.aspect_ratio)
        return await self._say("generate", session, inputs, text, caller)

    async def edit(
        self, session: SessionHandle, instruction: str, *, seed: int = 0, caller: Caller | None = None
    ) -> Turned:
        """Change the draft of a session. Paid; sent at most once for the same request."""
        if not instruction.strip():
            raise InputError("prompt-empty")
        text = plain_text(instruction)
        return await self._say("edit", session, {"instruction": text, "seed": seed}, text, caller)

    async def chat(
        self, session: SessionHandle, message: str, *, seed: int = 0, caller: Caller | None = None
    ) -> Turned:
        """Send a message for the agent as it is; what it makes of it is kept, whether it made a draft or not."""
        if not message.strip():
            raise InputError("prompt-empty")
        text = plain_text(message)
        return await self._say("chat", session, {"message": text, "seed": seed}, text, caller)

    async def export(
        self,
        session: SessionHandle,
        destination: Destination,
        output: Output | None = None,
        *,
        caller: Caller | None = None,
    ) -> Video:
        """Render the draft of this handle's step and deliver the file. Free.

        The same request finds the delivered file again if its content is unchanged.
        """
        output, caller = output or Output(), caller or Caller()
        source = await self._recorded(_usable(session))
        draft: dict[str, Any] = source.facts.get("draft") or {}
        if not _drafts.is_ready(draft):
            raise RenderFailed("not-ready")
        inputs: dict[str, object] = {
            "format": output.format,
            "quality": output.quality,
            "resolution": output.resolution,
        }
        key = step_key(self._desk.profile.id, session.key, "export", inputs)
        render = Render(key, session.key, source.session_id, source.task_id, source.account, draft, output)
        place = f"{key} {destination.folder} {destination.stem}"
        delivered = await self._desk.flights.join(
            place, lambda flight: self._renderer.deliver(render, destination, flight), caller
        )
        checked = delivered.checked
        return Video(
            delivered.path, source.session_id, source.task_id, delivered.render_id, checked.sha256, checked.size,
            checked.width, checked.height, checked.duration, checked.fps, output.format,
            reply=str(source.facts.get("reply") or ""), timeline=_drafts.timeline_summary(draft, session.language),
            money=await self._money_behind(source), reused=delivered.reused,
        )  # fmt: skip

    async def animate(
        self,
        media: Sequence[Media],
        wish: Wish,
        destination: Destination,
        output: Output | None = None,
        *,
        language: str = "auto",
        caller: Caller | None = None,
    ) -> Video:
        """The whole way: upload, generate, export."""
        caller = caller or Caller()
        session = await self.upload(media, language=language, prompt=wish.prompt, caller=caller)
        turned = await self.generate(session, wish, caller=caller)
        return await self.export(turned.session, destination, output, caller=caller)

    async def timeline(self, session: SessionHandle) -> str:
        """The timeline of this handle's step, in words."""
        source = await self._recorded(_usable(session))
        return _drafts.timeline_summary(source.facts.get("draft") or {}, session.language)

    async def _say(
        self, kind: Kind, session: SessionHandle, inputs: dict[str, object], text: str, caller: Caller | None
    ) -> Turned:
        after, caller = _usable(session), caller or Caller()
        message = Message(step_key(self._desk.profile.id, after.key, kind, inputs), kind, after, text)
        known = await self._desk.journal.latest(message.key)
        done = await self._desk.flights.join(
            message.key, lambda flight: self._messenger.carry_out(message, flight, caller), caller
        )
        return Turned(
            self._handle(done, session.language),
            str(done.facts.get("reply") or ""),
            _drafts.timeline_summary(done.facts.get("draft") or {}, session.language),
            done.facts.get("money") or Money(),
            reused=known is not None and known.state is State.DONE,
        )

    async def _upload(
        self,
        key: str,
        media: Sequence[Media],
        language: str,
        spoken: str,
        onto: SessionHandle | None,
        flight: Flight,
    ) -> Attempt:
        known = await self._desk.journal.latest(key)
        account = (await self._desk.token()).account
        if known is not None and known.state is State.DONE and known.account == account:
            flight.report(Progress("upload", 1.0, reused=True))
            return known
        kept = [await asyncio.to_thread(self._desk.uploads.keep, each) for each in media]
        place = await self._session_for(key, onto, spoken, flight)
        await self._send_media(place.session_id, kept, flight)
        return await self._record_upload(key, kept, language, spoken, place)

    async def _session_for(self, key: str, onto: SessionHandle | None, spoken: str, flight: Flight) -> SessionHandle:
        if onto is not None:
            return await self._place(Message(key, "upload", onto, ""))
        flight.report(Progress("session"))
        opened = await self._desk.client.create_session(spoken)
        return SessionHandle(self._desk.profile.name, spoken, "", opened.session_id, opened.task_id)

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
            except ConnectionBroken:
                state = json.dumps((await self._desk.client.state(session_id)).raw)
                missing = [part for part in parts if part.name not in state]
                if missing:
                    await self._desk.client.upload_files(session_id, missing, on_bytes)

    async def _record_upload(
        self, key: str, media: Sequence[Media], language: str, spoken: str, place: SessionHandle
    ) -> Attempt:
        """Note where the upload lies now; a repeated one is another placement of the same step."""
        journal = self._desk.journal
        facts = {"media": [(each.fingerprint, each.name, each.mime) for each in media], "spoken": spoken}
        where: dict[str, Any] = {
            "session_id": place.session_id,
            "task_id": place.task_id,
            "account": (await self._desk.token()).account,
        }
        known = await journal.latest(key)
        if known is None:
            planned = Attempt(key, 1, State.PLANNED, self._desk.profile.name, before=place.key, free=True, **where)
            known = await journal.begin(planned)
        elif known.state is not State.PLANNED:
            known = await journal.move(known, Event.ASK_AGAIN, **where)
        sent = await journal.move(known, Event.SEND, **where)
        return await journal.move(sent, Event.FINISH, facts={**facts, "language": language})

    async def _place(self, message: Message) -> SessionHandle:
        """Claim the session for a writing step, or fork at once where only uploads lie behind it."""
        after = message.after
        behind = await self._recorded(after)
        alive = behind.account == (await self._desk.token()).account and await self._alive(behind.session_id)
        if alive and await self._desk.journal.claim(behind.session_id, after.key, message.key):
            return self._handle(behind, after.language)
        if kind_of(after.key) != "upload":
            raise SessionBusy("fork-refused") if alive else SessionGone(code=1002)
        fresh = await self._again(behind)
        await self._desk.journal.claim(fresh.session_id, after.key, message.key)
        return self._handle(fresh, after.language)

    async def _alive(self, session_id: str) -> bool:
        try:
            await self._desk.client.state(session_id)
        except SessionGone:
            return False
        return True

    async def _again(self, upload: Attempt) -> Attempt:
        """Repeat an upload, and those before it, into a new session from the kept bytes."""
        chain = [upload]
        while chain[0].before:
            earlier = await self._desk.journal.latest(chain[0].before)
            if earlier is None or earlier.kind != "upload":
                raise SessionBusy("fork-refused")
            chain.insert(0, earlier)
        spoken = str(chain[0].facts.get("spoken") or "en")
        opened = await self._desk.client.create_session(spoken)
        placed = upload
        for step in chain:
            media = [self._kept(*entry) for entry in step.facts["media"]]
            await self._send_media(opened.session_id, media, Flight())
            place = SessionHandle(step.profile, spoken, step.before, opened.session_id, opened.task_id)
            placed = await self._record_upload(step.key, media, str(step.facts["language"]), spoken, place)
        return placed

    def _kept(self, fingerprint: str, name: str, mime: str) -> Media:
        found = self._desk.uploads.find(fingerprint, name, mime)
        if found is None:
            raise SessionGone(code=1002)
        return found

    async def _recorded(self, handle: SessionHandle) -> Attempt:
        """The attempt that a handle stands for."""
        found = await self._desk.journal.latest(handle.key, handle.session_id) or await self._desk.journal.latest(
            handle.key
        )
        if found is None or found.state is not State.DONE:
            raise InputError("handle-unknown")
        return found

    async def _money_behind(self, attempt: Attempt) -> Money:
        """What all steps up to this one took together."""
        parts: list[Money] = []
        step: Attempt | None = attempt
        while step is not None:
            money = step.facts.get("money")
            if isinstance(money, Money):
                parts.insert(0, money)
            step = await self._desk.journal.latest(step.before) if step.before else None
        return together(parts)

    def _handle(self, attempt: Attempt, language: str) -> SessionHandle:
        return SessionHandle(
            self._desk.profile.name,
            language,
            attempt.key,
            attempt.session_id,
            attempt.task_id,
            attempt.account,
        )


class _MayReplace:
    """Whether an anonymous token may be replaced: no step of its account is open or undelivered."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def __call__(self, account: str) -> bool:
        return not await self._journal.open_attempts(account)


def _open_local(directory: Path) -> LocalBackend:
    from . import local

    return local.open(directory / "local")


def _usable(handle: SessionHandle) -> SessionHandle:
    """The handle, or the error that it carries for an item of a list that failed."""
    if handle.error:
        raise InputError("item-failed", reason=handle.error)
    return handle


def _batches(media: Sequence[Media]) -> list[list[Media]]:
    """Runs of files or of addresses, in order, at most FILES_A_REQUEST each."""
    batches: list[list[Media]] = []
    for each in media:
        if batches and bool(batches[-1][0].url) == bool(each.url) and len(batches[-1]) < FILES_A_REQUEST:
            batches[-1].append(each)
        else:
            batches.append([each])
    return batches

"""`nemo-video chat`: a conversation in one session, opened when a message needs it.

A request that is not for the agent never goes there: exports, credits and the timeline are free. What the agent asks
of a person who sits before its web page is translated; free parts are carried out, the others told with their command.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from .._errors import Cancelled, InputError, NemoError
from .._journal.money import FREE, Money
from .._studio.handles import SessionHandle
from .._studio.types import Video, check_choice
from .._text import router
from .._text.messages import say
from .._text.prompts import LANGUAGES
from .animate import (
    Delivery,
    describe_balance,
    describe_spending,
    in_plain_words,
    plan_export,
    read_media,
    show_proposals,
    video_to_json,
)
from .output import Outcome
from .runtime import Run

WAYS_OUT: Final = frozenset({"exit", "quit", "bye", ":q", "退出", "再见"})


@dataclass(frozen=True)
class Talk:
    """What `chat` was asked for, as it was typed."""

    delivery: Delivery
    images: Sequence[str] = ()
    session: str = ""
    language: str = "auto"


@dataclass
class _Answer:
    """What one message came to, until it is told."""

    said: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reply: str = ""
    timeline: str = ""
    money: Money = FREE
    video: Video | None = None
    reused: bool = False


class Chat:
    """The conversation of one command."""

    def __init__(self, run: Run, asked: Talk) -> None:
        self._run = run
        self._asked = asked
        self._session: SessionHandle | None = None

    async def turn(self, message: str) -> Outcome:
        """Carry out one message."""
        if not message.strip():
            raise InputError("prompt-empty")
        check_choice("--language", self._asked.language, LANGUAGES)
        answer = _Answer()
        request = router.read_request(message)
        if request.intent == "agent":
            await self._ask(message, answer, request)
        else:
            await self._carry_out(request, answer)
        data = video_to_json(
            self._session,
            answer.video,
            reply=answer.reply,
            timeline=answer.timeline,
            money=answer.money,
            reused=answer.reused,
        )
        return Outcome("\n".join(filter(None, answer.said)), data, notes=tuple(filter(None, answer.notes)))

    async def once(self, message: str) -> Outcome:
        """The only message of a command: also says how to go on."""
        outcome = await self.turn(message)
        if self._session is None:
            return outcome
        return replace(outcome, notes=(*outcome.notes, show_next_steps(self._run)))

    async def _carry_out(self, request: router.Request, answer: _Answer) -> None:
        """Answer a request, or several that are joined, without the agent."""
        if request.price:
            answer.said.append(say("chat.export-free", self._run.screen.lang))
        for intent in (*request.also, request.intent):
            if intent == "upload":
                await self._upload(request.files, answer)
            else:
                await self._act(intent, answer, request.export)

    async def _ask(self, message: str, answer: _Answer, request: router.Request) -> None:
        session = await self._opened(message)
        studio = await self._run.studio()
        turned = await studio.chat(session, message, caller=self._run.caller)
        self._session = turned.session
        self._run.turned(turned)
        spoken = in_plain_words(turned, self._run)
        answer.reply, answer.money, answer.reused = spoken.text, turned.money, turned.reused
        answer.timeline = turned.timeline
        answer.said.append(spoken.text)
        answer.notes += [*show_proposals(self._run, spoken), describe_spending(turned.money, self._run)]
        exports = ["export"] if request.export and "export" not in spoken.actions else []
        for action in (*spoken.actions, *exports):
            try:
                await self._act(action, answer, request.export)
            except NemoError as error:  # the answer is paid for: it is told all the same
                answer.notes.append(error.text(self._run.screen.lang))

    async def _act(self, action: str, answer: _Answer, wish: router.ExportWish | None = None) -> None:
        """Carry out something free: the credits, the export as it was asked for, or the state as a timeline."""
        studio = await self._run.studio()
        if action == "credits":
            balance = await studio.credits()
            answer.money = replace(answer.money, after=balance.available)
            answer.said.append(describe_balance(balance, self._run))
            answer.reply = answer.reply or "\n".join(answer.said)
        elif action == "export":
            output, destination = await plan_export(_worded(self._asked.delivery, wish), self._asked.images)
            if wish and wish.size_note:
                note = say(wish.size_note, self._run.screen.lang, asked=wish.asked, resolution=wish.resolution)
                answer.notes.append(note)
                answer.reply = answer.reply or note
            answer.video = await studio.export(await self._known(), destination, output, caller=self._run.caller)
            answer.timeline = answer.video.timeline
            answer.said += filter(None, (str(answer.video.path), answer.video.note))
        else:
            answer.timeline = await studio.timeline(await self._known())
            if answer.timeline not in answer.said:
                answer.said.append(answer.timeline)

    async def _upload(self, files: Sequence[str], answer: _Answer) -> None:
        """A message that names a file or addresses: they go to the session."""
        if not files:
            raise InputError("chat-upload")
        if self._asked.session or self._asked.images or self._session:
            await self._opened("")
        await self._add(files, "")
        answer.reply = say("shell.uploaded", self._run.screen.lang, count=len(files))
        answer.said.append(answer.reply)

    async def _known(self) -> SessionHandle:
        """The session, where there is one to go on with."""
        if not (self._session or self._asked.session or self._asked.images):
            raise InputError("chat-no-session")
        return await self._opened("")

    async def _opened(self, prompt: str) -> SessionHandle:
        """The session: the given one, with the given pictures, or a new one."""
        if self._session is None:
            studio = await self._run.studio()
            if self._asked.session:
                said = "" if self._asked.images else prompt
                self._at(await studio.take_up(self._asked.session, self._asked.language, said))
            if self._asked.images:
                await self._add(self._asked.images, prompt)
            elif not self._asked.session:
                self._at(await studio.new_session(self._asked.language, prompt))
        assert self._session is not None  # noqa: S101 - set by every way above
        return self._session

    async def _add(self, images: Sequence[str], prompt: str) -> None:
        media = await read_media(self._run, images)
        studio = await self._run.studio()
        self._at(
            await studio.upload(
                media, language=self._asked.language, prompt=prompt, onto=self._session, caller=self._run.caller
            )
        )

    def _at(self, session: SessionHandle) -> None:
        self._session = self._run.at(session)


def _worded(delivery: Delivery, wish: router.ExportWish | None) -> Delivery:
    """The delivery with what the message said of format, quality and size: it is newer than the command's options."""
    if wish is None:
        return delivery
    format, quality, resolution = wish.fill(delivery.format, delivery.quality, delivery.resolution)
    suffix = os.path.splitext(delivery.output)[1].lower().lstrip(".")
    if wish.format and suffix not in ("", wish.format) and not os.path.isdir(delivery.output):
        raise InputError("chat-output-format", suffix=suffix, format=wish.format)
    return replace(delivery, format=format, quality=quality, resolution=resolution)


def converse(run: Run, chat: Chat) -> None:
    """Message after message from the keyboard, until there is no more or a way out is typed."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() its line editing
    run.screen.remark(say("shell.converse", run.screen.lang))
    while True:
        try:
            message = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            run.screen.remark("")
            break
        if message.casefold() in WAYS_OUT:
            break
        if message:
            _turn(run, chat, message)
    if run.session_id:
        run.screen.remark(show_next_steps(run))


def show_next_steps(run: Run) -> str:
    """How to go on in the session of this command."""
    return say("shell.session", run.screen.lang, command=run.command())


def _turn(run: Run, chat: Chat, message: str) -> None:
    try:
        run.screen.show(run.do(chat.turn(message)))
    except Cancelled:
        raise
    except NemoError as error:
        run.screen.fail(run.failure(error))

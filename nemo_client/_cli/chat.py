"""`nemo-video chat`: a conversation in one session, opened when a message needs it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from .._errors import Cancelled, InputError, NemoError
from .._files.save import Destination
from .._journal.money import Money
from .._studio.conversation import Conversation
from .._studio.handles import SessionHandle
from .._studio.progress import Caller
from .._studio.studio import Studio
from .._studio.types import MessageResult, Output, Video, check_choice
from .._text.choices import LANGUAGES
from .._text.messages import say
from .._text.router import ExportWish
from .animate import Delivery, describe_spending, plan_export, read_media, show_proposal, video_to_json
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


class Chat:
    """The conversation of one command, in a session that is opened when a message needs it."""

    def __init__(self, run: Run, asked: Talk) -> None:
        self._run = run
        self._asked = asked
        self._conversation = Conversation(self, run.caller)

    async def answer(self, message: str) -> Outcome:
        """Carry out one message."""
        if not message.strip():
            raise InputError("prompt-empty")
        check_choice("--language", self._asked.language, LANGUAGES)
        answer = await self._conversation.carry_out(message)
        data = video_to_json(
            self._conversation.session,
            answer.video,
            reply=answer.reply,
            timeline=answer.timeline,
            money=answer.money,
            reused=answer.reused,
        )
        return Outcome("\n".join(answer.lines), data, notes=tuple(answer.notes))

    async def answer_once(self, message: str) -> Outcome:
        """Carry out the only message of a command, and say how to go on."""
        outcome = await self.answer(message)
        if self._conversation.session is None:
            return outcome
        return replace(outcome, notes=(*outcome.notes, show_next_steps(self._run)))

    async def open_studio(self) -> Studio:
        """The Studio of the command's profile."""
        return await self._run.studio()

    async def open_session(self, message: str) -> SessionHandle:
        """The given session, with the given pictures, or a new one for a message to the agent."""
        asked = self._asked
        if not (message or asked.session or asked.images):
            raise InputError("chat-no-session")
        session = None
        if asked.session:
            studio = await self._run.studio()
            attached = await studio.attach_session(asked.session, asked.language, "" if asked.images else message)
            session = self._run.note_session(attached)
        if asked.images:
            session = await self._upload(asked.images, session, message)
        if session is None:
            studio = await self._run.studio()
            session = self._run.note_session(await studio.open_session(asked.language, message))
        return session

    async def upload_files(self, files: Sequence[str]) -> str:
        """Upload what a message names, to the session where there is one."""
        if not files:
            raise InputError("chat-upload")
        conversation = self._conversation
        if self._asked.session or self._asked.images:
            await conversation.find_session()
        conversation.session = await self._upload(files, conversation.session)
        return self.say("shell.uploaded", count=len(files))

    async def export(self, session: SessionHandle, destination: Destination, output: Output, caller: Caller) -> Video:
        """Export; begun again where the backend asks to go slower."""
        return await self._run.call_free(lambda studio: studio.export(session, destination, output, caller=caller))

    async def plan_export(self, wish: ExportWish | None) -> tuple[Destination, Output]:
        """Where the video goes by the command's options, and as what by the message, else by them."""
        output, destination = await plan_export(_apply_wish(self._asked.delivery, wish), self._asked.images)
        return destination, output

    def note_result(self, result: MessageResult) -> None:
        """Note where the conversation stands and what it took; `Cancelled` if the user stopped it."""
        self._run.session_id = result.session.session_id
        self._run.note_result(result)

    def choose_language(self) -> str:
        """The language of the terminal."""
        return self._run.screen.lang

    def say(self, text_id: str, **facts: object) -> str:
        """A text in the language of the terminal."""
        return say(text_id, self._run.screen.lang, **facts)

    def describe_proposal(self, message: str) -> str:
        """The message that would cost, with the command for it."""
        return show_proposal(self._run, message)

    def describe_money(self, money: Money) -> str:
        """What the message took, and what is left."""
        return describe_spending(money, self._run)

    def describe_video(self, video: Video) -> str:
        """Its path, and what is to be said of its format."""
        return "\n".join(filter(None, (str(video.path), video.note)))

    def describe_error(self, error: NemoError) -> str:
        """The error in the language of the terminal."""
        return error.text(self._run.screen.lang)

    async def _upload(self, files: Sequence[str], session: SessionHandle | None, prompt: str = "") -> SessionHandle:
        media = await read_media(self._run, files)
        language, caller = self._asked.language, self._run.caller
        uploaded = await self._run.call_free(
            lambda studio: studio.upload(media, language=language, prompt=prompt, onto=session, caller=caller)
        )
        return self._run.note_session(uploaded)


def _apply_wish(delivery: Delivery, wish: ExportWish | None) -> Delivery:
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
            _show_answer(run, chat, message)
    if run.session_id:
        run.screen.remark(show_next_steps(run))


def show_next_steps(run: Run) -> str:
    """How to go on in the session of this command."""
    return say("shell.session", run.screen.lang, command=run.make_chat_command())


def _show_answer(run: Run, chat: Chat, message: str) -> None:
    try:
        run.screen.show(run.do(chat.answer(message)))
    except Cancelled:
        raise
    except NemoError as error:
        run.screen.fail(run.make_failure(error))

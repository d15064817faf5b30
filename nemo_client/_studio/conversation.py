"""A conversation in one session: what is free is answered here, everything else goes to the agent.

Requests for an export, the credits, the timeline or an upload never go to the agent. What the agent says of its web
page becomes actions, which are free and carried out, and proposals, which cost and are sent only where that is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from .._errors import NemoError
from .._files.save import Destination
from .._journal.money import FREE, Money, sum_money
from .._text.gui_translator import normalize, translate
from .._text.router import ExportWish, Request, read_request
from .edits import NEWEST, STOP
from .handles import SessionHandle
from .progress import Caller
from .studio import Studio
from .types import MessageResult, Output, Video


class ConversationHost(Protocol):
    """What a conversation asks of the node or command that it belongs to."""

    async def open_studio(self) -> Studio:
        """The Studio to work with."""

    async def open_session(self, message: str) -> SessionHandle:
        """The session to begin in. `message` goes to the agent next; it is empty for what is free."""

    async def upload_files(self, files: Sequence[str]) -> str:
        """Upload what a message names; what to answer."""

    async def export(self, session: SessionHandle, destination: Destination, output: Output, caller: Caller) -> Video:
        """Export, as patiently as the place does that."""

    async def plan_export(self, wish: ExportWish | None) -> tuple[Destination, Output]:
        """Where an export goes, and as what; `wish` is what the message says of it."""

    def note_result(self, result: MessageResult) -> None:
        """A message of this conversation is done."""

    def choose_language(self) -> str:
        """The language to answer in, or `auto`."""

    def say(self, text_id: str, **facts: object) -> str:
        """A text of the table, in the language to answer in."""

    def describe_proposal(self, message: str) -> str:
        """The line about a message that the agent proposes, costs credits, and was not sent."""

    def describe_money(self, money: Money) -> str:
        """The line about what the messages took; may be empty."""

    def describe_video(self, video: Video) -> str:
        """The line about an exported video."""

    def describe_error(self, error: NemoError) -> str:
        """The line about an error after something that is paid for: the answer comes out all the same."""


@dataclass(frozen=True)
class Entry:
    """A part of an answer: a line of it, or a note about it."""

    text: str
    is_note: bool = False


@dataclass
class Answer:
    """The answer to one chat message: the text for people, and the same as values."""

    entries: list[Entry] = field(default_factory=list)
    reply: str = ""
    timeline: str = ""
    money: Money = FREE
    video: Video | None = None
    reused: bool = False

    @property
    def lines(self) -> list[str]:
        """The answer itself, without the notes about it."""
        return [each.text for each in self.entries if not each.is_note]

    @property
    def notes(self) -> list[str]:
        """Proposals, money and errors."""
        return [each.text for each in self.entries if each.is_note]

    def add_line(self, text: str) -> None:
        """Add to the answer."""
        self._add(Entry(text))

    def add_note(self, text: str) -> None:
        """Add something about the answer."""
        self._add(Entry(text, is_note=True))

    def _add(self, entry: Entry) -> None:
        if entry.text:
            self.entries.append(entry)


class Conversation:
    """Sends messages one after the other to one project; opens the project when the first message needs it.

    Attributes:
        session: the project after the last message; None before there is one.
        seed, when_changed: see `Studio.chat`.
        max_messages: how many messages one `carry_out` sends to the agent at most, including the given one. Above 1,
            proposals in the answer to the given message are sent as well, each distinct one once.
    """

    def __init__(
        self,
        host: ConversationHost,
        caller: Caller,
        session: SessionHandle | None = None,
        *,
        seed: int = 0,
        when_changed: str = STOP,
        max_messages: int = 1,
    ) -> None:
        self.session = session
        self._host = host
        self._caller = caller
        self._seed = seed
        self._when_changed = when_changed
        self._max_messages = max_messages

    async def carry_out(self, message: str) -> Answer:
        """Answer one message. An error of what comes before anything is paid for is raised, a later one is told."""
        answer = Answer()
        request = read_request(message)
        if request.intent == "agent":
            await self._ask_agent(message, request, answer)
            return answer
        if request.price:
            answer.add_line(self._host.say("chat.export-free"))
        if self._when_changed == NEWEST:  # one place carries the whole conversation
            studio = await self._host.open_studio()
            self.session = await studio.newest(await self.find_session())
        for intent in (*request.also, request.intent):
            if intent == "upload":
                answer.reply = await self._host.upload_files(request.files)
                answer.add_line(answer.reply)
            else:
                await self._act(intent, request.export, answer)
        return answer

    async def find_session(self, message: str = "") -> SessionHandle:
        """The session of the conversation, asked for where there is none yet."""
        if self.session is None:
            self.session = await self._host.open_session(message)
        return self.session

    async def _ask_agent(self, message: str, request: Request, answer: Answer) -> None:
        """Send a message, send or tell what its answer proposes that costs, and carry out what is free."""
        actions, proposals = await self._send(message, answer)
        actions += await self._send_proposals(message, proposals, answer)
        answer.add_note(self._host.describe_money(answer.money))
        if request.export:
            actions.append("export")
        for action in dict.fromkeys(actions):
            try:
                await self._act(action, request.export, answer)
            except NemoError as error:
                answer.add_note(self._host.describe_error(error))

    async def _send_proposals(self, message: str, proposals: list[str], answer: Answer) -> list[str]:
        """Send proposals of an answer as far as that is wanted, each once, and tell the others; the free actions.

        Proposals in answers to proposals are only told: an agent that always has one more idea must not spend on
        and on.
        """
        sent = {normalize(message)}
        left = {normalize(each): each for each in reversed(proposals)}
        left = {key: left[key] for key in map(normalize, proposals) if key not in sent}
        actions: list[str] = []
        further: list[str] = []
        while left and len(sent) < self._max_messages:
            key, proposal = next(iter(left.items()))
            try:
                more, proposed = await self._send(proposal, answer)
            except NemoError as error:
                answer.add_note(self._host.describe_error(error))
                if error.charged != "no":
                    del left[key]
                break
            del left[key]
            sent.add(key)
            actions += more
            further += proposed
        for each in further:
            if normalize(each) not in sent:
                left.setdefault(normalize(each), each)
        for each in left.values():
            answer.add_note(self._host.describe_proposal(each))
        return actions

    async def _send(self, message: str, answer: Answer) -> tuple[list[str], list[str]]:
        """Send one message to the agent; the free actions and the paid messages that its answer asks for."""
        session = await self.find_session(message)
        studio = await self._host.open_studio()
        result = await studio.chat(
            session, message, seed=self._seed, caller=self._caller, when_changed=self._when_changed
        )
        self.session = result.session
        self._host.note_result(result)
        spoken = translate(result.spoken, self._host.choose_language())
        text = "\n\n".join(filter(None, [spoken.text, result.changes]))
        answer.money = sum_money([answer.money, result.money]) if answer.reply else result.money
        answer.reply = "\n\n".join(filter(None, [answer.reply, text]))
        answer.timeline, answer.reused = result.timeline, result.reused
        answer.add_line(text)
        return list(spoken.actions), list(spoken.proposals)

    async def _act(self, action: str, wish: ExportWish | None, answer: Answer) -> None:
        """Carry out something free: the credits, the export as it was asked for, or else the timeline."""
        studio = await self._host.open_studio()
        if action == "credits":
            balance = await studio.credits()
            answer.money = replace(answer.money, after=balance.available)
            answer.add_line(self._host.say("credits", **balance.shown))
            answer.reply = answer.reply or "\n".join(answer.lines)
        elif action == "export":
            await self._export(wish, answer)
        else:
            language = self._host.choose_language()
            answer.timeline = await studio.timeline(await self.find_session(), language)
            if answer.timeline not in answer.lines:
                answer.add_line(answer.timeline)

    async def _export(self, wish: ExportWish | None, answer: Answer) -> None:
        destination, output = await self._host.plan_export(wish)
        if wish and wish.size_note:
            note = self._host.say(wish.size_note, asked=wish.asked, resolution=wish.resolution)
            answer.add_note(note)
            answer.reply = answer.reply or note
        video = await self._host.export(await self.find_session(), destination, output, self._caller)
        answer.video, answer.timeline = video, video.timeline
        answer.add_line(self._host.describe_video(video))

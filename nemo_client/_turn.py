"""Agent events folded into one turn: what the agent said, did and left open. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from ._events import AgentEvent, StreamFailure, Text, ToolCall, ToolResult, TurnEnd, whole_characters
from ._phrases import AFTER_NOISE, NOISE
from ._questions import Inquiry, is_question, is_ticket, read_inquiry
from ._secret import scrub

MAX_REPLY_CHARACTERS: Final = 1_000_000
"""What is kept of an answer; a stream can go on for a quarter of an hour."""

MAX_CALLS: Final = 1000
"""How many calls of tools are kept, and as many open ones; more open ones are one that never closes."""

MAX_NAME_CHARACTERS: Final = 200

_UNFINISHED = frozenset({"pending", "queued", "submitted", "processing", "running", "in_progress"})


class Turn:
    """One answer of the agent, folded from its events in bounded memory; readable also after a broken stream.

    What an event tells of the state is not kept: the state itself is read afterwards.

    Attributes:
        tools: the names of the tools called, in order.
        failure: the first failure that the stream reported, or None.
        ended: whether the agent said that its turn is complete.
        question: what the agent asks the user by its last call, or None. Such a call is not open: it ends the turn.
    """

    def __init__(self) -> None:
        self.tools: list[str] = []
        self.failure: StreamFailure | None = None
        self.ended = False
        self.question: Inquiry | None = None
        self._answered = False  # the question, within the turn
        self._texts: list[str] = []  # whole texts
        self._said_before = 0  # how many of them stand before the last call
        self._pieces: list[str] = []  # pieces that no whole text has repeated yet
        self._length = 0  # of the pieces
        self._whole = 0  # characters of the whole texts
        self._open: list[ToolCall] = []
        self._beyond: tuple[ToolCall, ...] = ()  # what was opened when too many were

    @property
    def reply(self) -> str:
        """The answer for people: texts as paragraphs, without thoughts and trailing noise; `""` if silent."""
        texts = [*self._texts, _joined(self._pieces)]
        reply = "\n\n".join(stripped for text in texts if (stripped := text.strip()))
        whole = _CONTROLS.sub("", whole_characters(reply))  # pieces can make a token that none of them is
        return _without_noise(scrub(whole)[:MAX_REPLY_CHARACTERS])

    @property
    def spoke_last(self) -> bool:
        """Whether the agent said something after its last call; the backend's noise says nothing."""
        texts = [*self._texts[self._said_before :], _joined(self._pieces)]
        closing = "\n\n".join(stripped for text in texts if (stripped := text.strip()))
        return bool(closing) and _without_noise(f"It is done.\n\n{closing}") != "It is done."

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """The calls that have no result yet, oldest first."""
        return (*self._open, *self._beyond)

    def add(self, event: AgentEvent) -> None:
        """Take the next event of the turn."""
        if isinstance(event, Text):
            if not event.thought:
                self._add_text(event)
        elif isinstance(event, ToolCall):
            self._add_call(event)
        elif isinstance(event, ToolResult):
            self._end_pieces()
            self._close_call(event)
        elif isinstance(event, StreamFailure):
            self.failure = self.failure or event
        elif isinstance(event, TurnEnd):
            self.ended = True

    def _add_text(self, event: Text) -> None:
        if not event.text or self._whole + self._length > MAX_REPLY_CHARACTERS:
            return
        if event.partial:
            repeats = len(self._pieces) > 1 and len(event.text) == self._length
            if not (repeats and event.text == "".join(self._pieces)):
                self._pieces.append(event.text)
                self._length += len(event.text)
            return
        said = "".join(self._pieces)
        if said.startswith(event.text):  # the whole came before its last pieces, or a tool stands between
            self._set_pieces(said[len(event.text) :])
        elif event.text.startswith(said.rstrip()):
            self._set_pieces("")
        else:
            self._end_pieces()
        self._keep(event.text)

    def _keep(self, text: str) -> None:
        self._texts.append(text)
        self._whole += len(text)

    def _set_pieces(self, rest: str) -> None:
        self._pieces = [rest] if rest else []
        self._length = len(rest)

    def _end_pieces(self) -> None:
        """What was said before a tool is a paragraph of its own, repeated by a whole text or not."""
        if self._pieces:
            self._keep(_joined(self._pieces))
            self._set_pieces("")

    def _add_call(self, call: ToolCall) -> None:
        self._end_pieces()
        self._said_before = len(self._texts)
        if is_question(call.name):
            self._ask(call)
            return
        if self._answered:  # the agent got its answer and went on
            self.question, self._answered = None, False
        call = replace(call, id=call.id[:MAX_NAME_CHARACTERS], name=call.name[:MAX_NAME_CHARACTERS], args={})
        for index, known in enumerate(self._open):
            if call.id and known.id == call.id:
                self._open[index] = call
                return
        if len(self._open) < MAX_CALLS:
            self._open.append(call)
        else:
            self._beyond = (call,)
        if len(self.tools) < MAX_CALLS:
            self.tools.append(call.name)

    def _ask(self, call: ToolCall) -> None:
        """A call that hands a question to the user. It ends the turn, so it does not count as open."""
        self.question, self._answered = read_inquiry(call.args), False
        if len(self.tools) < MAX_CALLS:
            self.tools.append(call.name[:MAX_NAME_CHARACTERS])

    def _close_call(self, result: ToolResult) -> None:
        """By id; where one of the two has none, by name, the oldest first.

        A long-running call whose answer has a status such as "pending" stays open: the answer is its ticket.
        """
        own, name = result.id[:MAX_NAME_CHARACTERS], result.name[:MAX_NAME_CHARACTERS]
        if is_question(name):
            self._answered = not is_ticket(result.response)
            return
        match = [call for call in self._open if call.id and call.id == own] or [
            call for call in self._open if call.name == name and not (call.id and own)
        ]
        if not match:
            return
        status = result.response.get("status") if isinstance(result.response, dict) else None
        if match[0].long_running and isinstance(status, str) and status.lower() in _UNFINISHED:
            return
        self._open = [call for call in self._open if call is not match[0]]


def _joined(pieces: list[str]) -> str:
    """Pieces as one text. They carry their own spaces; only whole sentences need one between them."""
    out: list[str] = []
    last = ""
    for piece in pieces:
        if last in {".", "!", "?"} and piece[:1].isupper() and piece[1:2] not in {"", "."}:
            out.append(" ")
        out.append(piece)
        last = piece[-1:] or last
    return "".join(out)


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a terminal would obey them
_SENTENCE = re.compile(r"[^.!?。！？\n]*[.!?。！？\n]*")
_NOISE_WINDOW = 600


def _without_noise(reply: str) -> str:
    """`reply` without a last "I encountered a temporary issue ..." that follows a normal answer.

    The backend adds it to answers that are whole. It stays where it is all that was said, and where more than
    an apology follows it.
    """
    start = max(0, len(reply) - _NOISE_WINDOW)
    sentences = [m for m in _SENTENCE.finditer(reply, start) if m.group().strip()]
    for sentence in reversed(sentences):
        if NOISE.match(sentence.group()):
            return reply[: sentence.start()].rstrip() or reply
        if not AFTER_NOISE.match(sentence.group()):
            break
    return reply

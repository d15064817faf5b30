"""Agent events folded into one turn: what the agent said, did and left open. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from .._safety.redaction import scrub
from .._text.questions import Inquiry, is_question, is_ticket, read_inquiry
from .._text.vocabulary import AFTER_NOISE, MAKING_TOOL, NOISE, READING_TOOL, UNDONE, WORK_IS_DONE
from .sse import (
    LAST_LINE,
    OTHER_ENDS,
    AgentEvent,
    StreamFailure,
    Text,
    ToolCall,
    ToolResult,
    TurnEnd,
    Unknown,
    end_name,
    repair_surrogates,
)

MAX_REPLY_CHARACTERS: Final = 1_000_000
"""What is kept of an answer; a stream can go on for a quarter of an hour."""

MAX_CALLS: Final = 1000
"""How many calls of tools are kept, and as many open ones; more open ones are one that never closes."""

MAX_NAME_CHARACTERS: Final = 200

_NO_SUCCESS = frozenset(
    {"error", "failed", "failure", "fail", "rejected", "refused", "cancelled", "canceled", "aborted", "timeout",
     "denied", "invalid", "unavailable", "expired", "not_found"}
)  # fmt: skip
_UNFINISHED = frozenset({"pending", "queued", "submitted", "processing", "running", "in_progress"})


class Turn:
    """One answer of the agent, folded from its events in bounded memory; readable also after a broken stream.

    What an event tells of the state is not kept: the state itself is read afterwards.

    Attributes:
        tools: the names of the tools called, in order.
        succeeded: the names of the tools that told of success, in order.
        failure: the first failure that the stream reported, or None.
        ended: whether the agent said that its turn is complete.
        question: what the agent asks the user by its last call, or None. Such a call is not open: it ends the turn.
    """

    def __init__(self) -> None:
        self.tools: list[str] = []
        self.succeeded: list[str] = []
        self.failure: StreamFailure | None = None
        self.ended = False
        self.question: Inquiry | None = None
        self._answered = False  # the question, within the turn
        self._last: AgentEvent | None = None  # of those that say something
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
        texts = [*self._texts, _join_pieces(self._pieces)]
        reply = "\n\n".join(stripped for text in texts if (stripped := text.strip()))
        whole = _CONTROLS.sub("", repair_surrogates(reply))  # pieces can make a token that none of them is
        return _without_noise(scrub(whole)[:MAX_REPLY_CHARACTERS])

    @property
    def spoke_last(self) -> bool:
        """Whether the agent said something after its last call; the backend's noise says nothing."""
        texts = [*self._texts[self._said_before :], _join_pieces(self._pieces)]
        closing = "\n\n".join(stripped for text in texts if (stripped := text.strip()))
        return bool(closing) and _without_noise(f"It is done.\n\n{closing}") != "It is done."

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """The calls that have no result yet, oldest first."""
        return (*self._open, *self._beyond)

    @property
    def over(self) -> bool:
        """Whether all seems said: no call is open, and the agent said so, spoke last, or asks the user."""
        return not self.open_calls and (self.ended or self.question is not None or isinstance(self._last, Text))

    @property
    def whole(self) -> bool:
        """Whether what was said is whole, where the connection breaks now: nothing says that more was to come."""
        if not self.over or isinstance(self._last, Unknown):
            return False
        last = self._last
        if self.ended or self.question is not None or (isinstance(last, Text) and not last.partial):
            return True
        return isinstance(last, Text) and last.typed and bool(_ENDS_A_SENTENCE.search(last.text))

    @property
    def silent(self) -> bool:
        """Whether the stream held nothing that can be read: no words and no calls, be it that it said that it ends."""
        return not (self.reply or self.tools or self.succeeded)

    @property
    def tells_of_success(self) -> bool:
        """Whether the stream told that something was made: by a tool's result, or in a sentence."""
        made = any(not READING_TOOL.search(name) for name in self.succeeded)
        return made or says_it_is_done(self.reply)

    @property
    def made_something(self) -> bool:
        """Whether a tool that makes something, by its name, told of success."""
        return any(map(_makes_something, self.succeeded))

    @property
    def made_much(self) -> bool:
        """Whether tools that make something told of success more than once, as in the two stages of a generation."""
        return sum(_makes_something(name) for name in self.succeeded) > 1

    def add(self, event: AgentEvent) -> None:
        """Take the next event of the turn."""
        if isinstance(event, Unknown) and event.raw.strip() == LAST_LINE:
            event = TurnEnd()
        if isinstance(event, ToolCall | ToolResult | Unknown) or (isinstance(event, Text) and not event.thought):
            self._last = event
        if isinstance(event, Text):
            if not event.thought:
                self._add_text(event)
        elif isinstance(event, ToolCall):
            self._add_call(event)
        elif isinstance(event, ToolResult):
            self._end_pieces()
            self._close_call(event)
        elif isinstance(event, StreamFailure):
            self._add_failure(event)
        elif isinstance(event, TurnEnd):
            self.ended = True

    def _add_failure(self, failure: StreamFailure) -> None:
        """A finish reason that leaves an answer unsaid is no failure of the work that was done before it."""
        code = failure.details.get("code")
        if not (self.succeeded and isinstance(code, str) and end_name(code) in OTHER_ENDS):
            self.failure = self.failure or failure

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
            self._keep(_join_pieces(self._pieces))
            self._set_pieces("")

    def _add_call(self, call: ToolCall) -> None:
        self._end_pieces()
        self._said_before = len(self._texts)
        if is_question(call.name):
            self._note_question(call)
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

    def _note_question(self, call: ToolCall) -> None:
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
        if _is_success(result.response) and len(self.succeeded) < MAX_CALLS:
            self.succeeded.append((match[0].name if match else name) or name)
        if not match:
            return
        status = result.response.get("status") if isinstance(result.response, dict) else None
        if match[0].long_running and isinstance(status, str) and status.lower() in _UNFINISHED:
            return
        self._open = [call for call in self._open if call is not match[0]]


def _makes_something(tool: str) -> bool:
    return MAKING_TOOL.search(tool) is not None and READING_TOOL.search(tool) is None


def _is_success(response: object) -> bool:
    """Whether a tool's answer tells of success: no error, no word of failure, and not the ticket of work to come."""
    if not isinstance(response, dict):
        return response not in (None, False, "")
    if response.get("error") or response.get("errors") or response.get("isError") or response.get("is_error"):
        return False
    if any(response.get(name) is False for name in ("ok", "success", "succeeded")):
        return False
    words = [response.get(name) for name in ("status", "state", "result")]
    return not any(isinstance(word, str) and word.lower() in _NO_SUCCESS | _UNFINISHED for word in words)


def says_it_is_done(reply: str) -> bool:
    """Whether a sentence of an answer says that the work is done; one that says it is not, or not yet, does not."""
    sentences = (match.group() for match in _SENTENCE.finditer(reply) if match.group().strip())
    return any(WORK_IS_DONE.search(each) and not UNDONE.search(each) for each in sentences)


def _join_pieces(pieces: list[str]) -> str:
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
_ENDS_A_SENTENCE = re.compile(r"[.!?…。！？)）\]】\"”’'*`~]\s*$|[\U0001F300-\U0001FAFF\u2600-\u27BF]\uFE0F?\s*$")
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

"""A question that the agent asks through its tool `ask_question`: read tolerantly, bounded, told in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from .._safety.json_limits import BadJson, parse_json
from .._safety.redaction import scrub

MAX_QUESTIONS: Final = 20
MAX_OPTIONS: Final = 50
MAX_CHARACTERS: Final = 500

_NAME: Final = re.compile(r"(?:\w+[.:/])?ask_?(?:the_?)?(?:user_?)?(?:a_?)?questions?", re.IGNORECASE)
_PENDING: Final = frozenset(
    {
        *("pending", "queued", "submitted", "processing", "running", "in_progress", "success", "ok", "sent", "asked"),
        *("waiting", "waiting_for_user", "awaiting_user", "awaiting_input", "awaiting_answer"),
        *("input_required", "requires_input"),
    }
)
_TEXTS: Final = ("prompt", "question", "text", "label", "title", "name", "value", "id")
_UNPRINTED: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True)
class Option:
    """An answer that the agent offers."""

    id: str
    label: str


@dataclass(frozen=True)
class Question:
    """One question, with the answers it offers; any other answer can be typed as well."""

    id: str
    prompt: str
    options: tuple[Option, ...] = ()

    @property
    def line(self) -> str:
        """The question and its options on one line."""
        labels = " / ".join(option.label for option in self.options)
        return " ".join(filter(None, [self.prompt, f"[{labels}]" if labels else ""]))


@dataclass(frozen=True)
class Inquiry:
    """What the agent asks in one call: a title and one or more questions."""

    title: str = ""
    questions: tuple[Question, ...] = ()

    @property
    def line(self) -> str:
        """All of it on one line; empty where nothing of the call could be read."""
        lines = [question.line for question in self.questions]
        if len(lines) > 1:
            lines = [f"({number}) {line}" for number, line in enumerate(lines, 1)]
        asked = " ".join(lines)
        return f"{self.title}: {asked}" if self.title and asked else self.title or asked

    @property
    def options(self) -> tuple[Option, ...]:
        """The options of all its questions."""
        return tuple(option for question in self.questions for option in question.options)

    @property
    def example(self) -> str:
        """An answer in the words of the options, one for each question; empty where no question offers any."""
        return ", ".join(question.options[0].label for question in self.questions if question.options)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data, for the journal."""
        return asdict(self)


def is_question(tool: str) -> bool:
    """Whether a tool of this name hands a question to the user, and so ends the turn."""
    return _NAME.fullmatch(tool.strip()) is not None


def is_ticket(response: object) -> bool:
    """Whether what the tool answered only says that the question is out, not what the user answered."""
    if not isinstance(response, Mapping):
        return not response or (isinstance(response, str) and response.strip().lower() in _PENDING)
    if any(response.get(name) for name in ("answer", "answers", "selected")):
        return False
    status = response.get("status", response.get("result"))
    return not status or (isinstance(status, str) and status.strip().lower() in _PENDING)


def read_inquiry(data: object) -> Inquiry:
    """The question in a call's arguments, or in what `to_json` wrote; parts of wrong types are left out."""
    if isinstance(data, str):
        try:
            data = parse_json(data)
        except BadJson:
            return Inquiry(questions=_read_questions([data]))
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return Inquiry(questions=_read_questions(data))
    if not isinstance(data, Mapping):
        return Inquiry()
    given = data.get("questions", data.get("question"))
    if isinstance(given, str) or (given is None and any(data.get(name) for name in ("prompt", "options"))):
        given = [{**data, "prompt": given or data.get("prompt"), "title": ""}]
    elif isinstance(given, Mapping) and any(name in given for name in ("prompt", "question", "options")):
        given = [given]
    return Inquiry(_find_text(data.get("title")), _read_questions(given))


def _read_questions(given: object) -> tuple[Question, ...]:
    found = []
    for each in _list_items(given)[:MAX_QUESTIONS]:
        options = _read_options(each.get("options", each.get("choices"))) if isinstance(each, Mapping) else ()
        prompt = _find_label(each, _TEXTS[:5])
        if prompt or options:
            found.append(Question(_find_text(each.get("id")) if isinstance(each, Mapping) else "", prompt, options))
    return tuple(found)


def _read_options(given: object) -> tuple[Option, ...]:
    found = []
    for each in _list_items(given)[:MAX_OPTIONS]:
        label = _find_label(each, ("label", *_TEXTS))
        if label:
            found.append(Option(_find_text(each.get("id")) if isinstance(each, Mapping) else label, label))
    return tuple(found)


def _list_items(given: object) -> Sequence[Any]:
    if isinstance(given, Mapping):  # {"a": "Calm", "b": "Lively"}
        return [value if isinstance(value, Mapping) else {"id": key, "label": value} for key, value in given.items()]
    return given if isinstance(given, Sequence) and not isinstance(given, (str, bytes)) else ()


def _find_label(each: object, names: Sequence[str]) -> str:
    if not isinstance(each, Mapping):
        return _find_text(each)
    return next((text for name in names if (text := _find_text(each.get(name)))), "")


def _find_text(value: object) -> str:
    """A piece of text on one line, without what a terminal would obey or what looks like a token."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    text = str(value)[: MAX_CHARACTERS * 2].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join(scrub(_UNPRINTED.sub(" ", text)).split())[:MAX_CHARACTERS]

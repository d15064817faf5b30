"""Texts by id: `say` fills the text of an id with facts, in the language that is spoken.

The texts lie in `en.json`, `zh.json` …, one a line, in groups; each file is read when its language is first spoken.
Code never composes sentences; it names an id and gives facts. A text that a language lacks is taken from English, and
a fact that is missing shows as `?`, because a failure to word an error must not hide the error.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

DEFAULT_LANGUAGE: Final = "en"

UPLOAD_FORMATS: Final = "mp4 mov avi webm mkv, jpg png gif webp, mp3 wav m4a aac"

LANGUAGES: Final = ("en", "zh")
"""The languages that can be spoken; the texts of each lie in `LANGUAGE.json` beside this file."""

_tables: Final[dict[str, Mapping[str, str]]] = {}


class _Facts(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"


def choose_language(preferred: str | None = None) -> str:
    """The language to speak: `NEMO_LANG`, else `preferred` (a handle's), else English; only known ones count.

    A code counts up to its first separator: `zh-CN`, `zh_TW` and `zh_CN.UTF-8` are all `zh`.
    """
    for choice in (os.environ.get("NEMO_LANG"), preferred):
        if choice:
            short = choice.strip().replace("_", "-").split("-")[0].split(".")[0].lower()
            if short in LANGUAGES:
                return short
    return DEFAULT_LANGUAGE


def load_texts(lang: str) -> Mapping[str, str]:
    """The texts of a language of `LANGUAGES` by their ids; read once. Raises `OSError` or `ValueError` if it cannot."""
    if lang not in _tables:
        groups = json.loads(Path(__file__).with_name(f"{lang}.json").read_text(encoding="utf-8"))
        _tables[lang] = {text_id: text for group in groups.values() for text_id, text in group.items()}
    return _tables[lang]


def is_text(text_id: str) -> bool:
    """Whether there is a text of that id."""
    return _find_text(text_id, DEFAULT_LANGUAGE) is not None


def say(text_id: str, lang: str | None = None, /, **facts: object) -> str:
    """The text `text_id` with `facts` filled in, in the language that `choose_language(lang)` gives; never raises."""
    spoken = choose_language(lang)
    return fill_text(text_id, spoken, facts)


def fill_text(text_id: str, lang: str, facts: Mapping[str, object]) -> str:
    """As `say`, in just this language of `LANGUAGES`."""
    return _fill_template(_find_template(text_id, lang), facts, lang)


def what_and_hint(text_id: str, lang: str | None = None, /, **facts: object) -> tuple[str, str]:
    """Like `say`, in two parts: what happened (the text's first sentence), and what to do, which may be empty."""
    spoken = choose_language(lang)
    what, _, hint = _SENTENCE.sub("\n", _find_template(text_id, spoken), count=1).partition("\n")
    return _fill_template(what, facts, spoken), _fill_template(hint, facts, spoken)


def tells_way_on(text_id: str) -> bool:
    """Whether a text says by itself that going on costs nothing (more): no sentence of the money says it again."""
    return any(words in (_find_text(text_id, DEFAULT_LANGUAGE) or "") for words in ("you won't pay twice", ", free."))


# What the backend asks or answers ends by itself, wherever its own sentences do.
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|(?<=。)(?=.)|(?<=\{question\}) |(?<=\{reply\}) ")


def _find_template(text_id: str, spoken: str) -> str:
    return _find_text(text_id, spoken) or _find_text(text_id, DEFAULT_LANGUAGE) or text_id


def _find_text(text_id: str, lang: str) -> str | None:
    """The text, or None where the language lacks it, or its file cannot be read now (no file descriptor left)."""
    try:
        return load_texts(lang).get(text_id)
    except (OSError, ValueError):
        return None


def has_text(text_id: str) -> bool:
    """Whether there is a text of this id."""
    return _find_text(text_id, DEFAULT_LANGUAGE) is not None


def _fill_template(template: str, facts: Mapping[str, object], spoken: str) -> str:
    try:
        return template.format_map(_Facts(_translate_phrases(facts, spoken)))
    except (ValueError, AttributeError, LookupError, TypeError):  # `{width:d}` and the like on a missing fact
        return template


def _translate_phrases(facts: Mapping[str, object], lang: str) -> Mapping[str, object]:
    """The facts with those that are texts themselves (`Phrase`) in this language."""
    if lang == DEFAULT_LANGUAGE:
        return facts
    return {name: fact.translate(lang) if isinstance(fact, Phrase) else fact for name, fact in facts.items()}


class Phrase(str):
    """A fact of a text that is itself a text: an id with facts. As a `str` it is the English words.

    So it can be logged, compared and written as JSON; `say` translates it into the sentence's language.
    """

    id: str
    facts: dict[str, Any]

    def __new__(cls, text_id: str, /, **facts: Any) -> Phrase:
        phrase = super().__new__(cls, fill_text(text_id, DEFAULT_LANGUAGE, facts))
        phrase.id, phrase.facts = text_id, facts
        return phrase

    def translate(self, lang: str) -> str:  # type: ignore[override]
        """The words in a language of `LANGUAGES`."""
        return fill_text(self.id, lang, self.facts)

    def to_json(self) -> dict[str, Any]:
        """The id and the facts, for another process."""
        facts = {name: fact.to_json() if isinstance(fact, Phrase) else fact for name, fact in self.facts.items()}
        return {"id": self.id, "facts": facts}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Phrase:
        """The phrase that `to_json` wrote."""
        facts = {name: cls.from_json(fact) if isinstance(fact, dict) else fact for name, fact in data["facts"].items()}
        return cls(data["id"], **facts)


def describe_os_error(error: OSError, otherwise: str = "?") -> str:
    """Why the system, or our own check, refused something; `otherwise` where it does not say.

    Checks of `_safety`, which knows no texts, give the id of one as `reason_id`.
    """
    reason_id: str | None = getattr(error, "reason_id", None)
    return Phrase(reason_id) if reason_id else error.strerror or otherwise

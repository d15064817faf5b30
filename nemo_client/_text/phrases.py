"""Words of ours inside a sentence: the reason of a failure, what was being done, what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import messages


class Phrase(str):
    """A fact of a text that is itself a text: an id with facts. As a `str` it is the English words.

    So it can be logged, compared, and written as JSON like any other; `say` puts it into the sentence's language.
    """

    id: str
    facts: dict[str, Any]

    def __new__(cls, text_id: str, /, **facts: Any) -> Phrase:
        phrase = super().__new__(cls, messages.fill_text(text_id, messages.DEFAULT_LANGUAGE, facts))
        phrase.id, phrase.facts = text_id, facts
        return phrase

    def translate(self, lang: str) -> str:  # type: ignore[override]
        """The words in a language of `messages.LANGUAGES`."""
        return messages.fill_text(self.id, lang, self.facts)

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

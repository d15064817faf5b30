"""The words in what an answer tells of an error: a text, an object with one, or a list of what is wrong where. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NAMES: Final = ("message", "msg", "error", "detail", "reason", "description", "title")
_MOST: Final = 5
_OUTER_PLACES: Final = ("body", "query", "path", "header")


def as_mapping(value: object) -> Mapping[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def find_words(value: object, depth: int = 3) -> str:
    """The words in it, empty where there are none; not redacted."""
    if isinstance(value, str):
        return value.strip()
    if depth and isinstance(value, Mapping):
        return next((words for name in _NAMES if (words := find_words(value.get(name), depth - 1))), "")
    if depth and isinstance(value, (list, tuple)):
        told = (_with_place(each, find_words(each, depth - 1)) for each in value[:_MOST])
        return "; ".join(dict.fromkeys(words for words in told if words))
    return ""


def _with_place(entry: object, words: str) -> str:
    """`duration: value is not a valid integer`, where the entry names the place (FastAPI's `loc`)."""
    place = as_mapping(entry).get("loc")
    if not words or not isinstance(place, (list, tuple)):
        return words
    names = [str(each) for each in place if isinstance(each, (str, int))]
    inner = names[1:] if len(names) > 1 and names[0] in _OUTER_PLACES else names
    return f"{'.'.join(inner)}: {words}" if inner else words

"""Which uploads a session's state tells of: by name or hash, in its parsed values. Pure.

Escaped text is no place to look: a name in Chinese stands there as `\\u732b`, and in an address as `%E7%8C%AB`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from .._files.images import Media

_HASH = re.compile(r"[0-9a-f]{64}")


def find_listed(state: Mapping[str, Any], media: Iterable[Media]) -> frozenset[str]:
    """The marks of those media that the state names anywhere: by name, by the mark in a name, or by their hash."""
    text = "\n".join(_iterate_texts(state))
    return frozenset(each.mark for each in media if each.mark and _is_named(text, each))


def find_missing(state: Mapping[str, Any], media: Iterable[Media]) -> list[Media]:
    """Those media that the state does not name; an address counts only whole, since others end with the same name.

    What is sent twice costs nothing, and what is missing is paid for in vain.
    """
    media = list(media)
    listed, texts = find_listed(state, media), "\n".join(_iterate_texts(state))
    return [each for each in media if (unquote(each.url) not in texts if each.url else each.mark not in listed)]


def select_file_lists(state: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a state that lists files: a draft may still name one that is there no more."""
    if state.get("video_infos") is not None:
        return {"video_infos": state["video_infos"]}
    return {name: value for name, value in state.items() if name not in ("draft", "generated_media")}


def lists_uploads(state: Mapping[str, Any]) -> bool:
    """Whether the state lists any file at all; one that lists none proves nothing."""
    return isinstance(infos := state.get("video_infos"), (list, dict)) and bool(infos)


def _is_named(text: str, media: Media) -> bool:
    digest = _HASH.match(media.kept_name)
    if media.name in text or (digest is not None and digest[0] in text):
        return True
    return re.search(rf"(?<![0-9a-z]){media.mark}(?![0-9a-z])", text, re.IGNORECASE) is not None


def _iterate_texts(value: object) -> Iterator[str]:
    """All texts in a parsed value, addresses and forms of one letter made plain."""
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, Mapping):
            todo.extend(each.values())
        elif isinstance(each, list):
            todo.extend(each)
        elif isinstance(each, str):
            yield unicodedata.normalize("NFC", unquote(each) if "%" in each else each)

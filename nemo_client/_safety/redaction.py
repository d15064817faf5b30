"""Taking secrets out of what people or logs may see: tokens that are known, and what looks like one. Pure.

`register_secret` makes a token known; `scrub` takes tokens out of a text, `redact` the secrets of addresses as well.
"""

from __future__ import annotations

import base64
import hmac
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import AnyStr, Final, NoReturn

_SECRETS: Final = (
    re.compile(r"(?i)\b(bearer\s+)[^\s\"',;]+"),
    re.compile(r"(https?://)[^\s/@\"'<>]+@"),
)
# Matches addresses without a query, too, so that a text which is one long run of addresses stays linear.
_ADDRESS: Final = re.compile(r"(https?://[^\s\"'<>?#]+)([?#][^\s\"'<>]*)?")


def redact(text: str) -> str:
    """`text` without tokens, claim tokens, user names in addresses, and query strings (they can be signatures)."""
    text = _ADDRESS.sub(lambda found: f"{found[1]}{SHOWN}" if found[2] else found[1], scrub(text))
    for pattern in _SECRETS:
        text = pattern.sub(rf"\1{SHOWN}", text)
    return text


SENTENCE_CHARACTERS: Final = 300
MAX_SECRET_CHARACTERS: Final = 4096
"""A longer token is no token: it would not fit into a header that servers take."""
_SHOWN_FROM: Final = 10_000


def sanitize_for_display(text: str, most: int = SENTENCE_CHARACTERS) -> str:
    """Words of the backend's as they stand in a sentence of ours: redacted, printable, on one line, clipped."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:_SHOWN_FROM]).split())
    return redact(line)[:most]


def format_redacted_traceback(error: BaseException) -> str:
    """The traceback of an unexpected error for a log, without secrets."""
    return redact("".join(traceback.format_exception(error)))


SHOWN: Final = "…"
LEAST_CHARACTERS: Final = 8
BEGINNING: Final = 12
KNOWN: Final = 64
FOR_PEOPLE: Final = 64 * 1024
_OURS: Final = re.compile(r"((?:nmv|clm)_)[A-Za-z0-9._-]+")
_MORE: Final = r"[A-Za-z0-9._~+/=-]*"

_known: dict[str, None] = {}


class Secret:
    """A text that `repr`, `str`, JSON and pickle do not show. `reveal()` returns it."""

    __slots__ = ("_open",)

    def __init__(self, value: str) -> None:
        # No attribute holds it, so that nothing that lists attributes shows it.
        self._open: Callable[[], str] = lambda: value

    def reveal(self) -> str:
        """The value, for the place where it goes out. Never bind it to a name: an error's report shows those."""
        return self._open()

    def __repr__(self) -> str:
        return f"Secret({SHOWN!r})"

    def __str__(self) -> str:
        return SHOWN

    def __len__(self) -> int:
        return len(self._open())

    def __eq__(self, other: object) -> bool:
        """Also equal to the text itself, in constant time."""
        if not isinstance(other, (Secret, str)):
            return NotImplemented
        mine, theirs = (each._open() if isinstance(each, Secret) else each for each in (self, other))
        return hmac.compare_digest(mine.encode("utf-8", "surrogatepass"), theirs.encode("utf-8", "surrogatepass"))

    def __hash__(self) -> int:
        return hash(self._open())

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down")


@contextmanager
def isolate_secrets(keep: bool = False) -> Iterator[None]:
    """What becomes known in this block is forgotten after it; within it nothing else is known, unless `keep` is set."""
    before = dict(_known)
    if not keep:
        _known.clear()
    try:
        yield
    finally:
        _known.clear()
        _known.update(before)


def register_secret(secret: Secret) -> None:
    """Let `scrub` know of a token. The newest KNOWN are remembered."""
    if len(secret) >= LEAST_CHARACTERS:
        _known.pop(secret.reveal(), None)
        _known[secret.reveal()] = None
        while len(_known) > KNOWN:
            _known.pop(next(iter(_known)), None)


def scrub(text: str) -> str:
    """`text` for people without tokens: what looks like one of the API's, and the known ones.

    Those whole, their beginning alone, wrapped, encoded or escaped.
    """
    if len(text) <= FOR_PEOPLE:
        for value in list(_known):
            text = _list_spellings(value).sub(SHOWN, text)
    return _OURS.sub(rf"\1{SHOWN}", scrub_data(text))


def scrub_data(data: AnyStr) -> AnyStr:
    """`data` as it came over the wire without the known tokens as they are sent; quick, however long it is."""
    for value in list(_known):
        begun = value[:BEGINNING]
        if isinstance(data, str):
            data = re.sub(re.escape(begun) + _MORE, SHOWN, data) if begun in data else data
        elif begun.encode() in data:
            data = re.sub((re.escape(begun) + _MORE).encode(), SHOWN.encode(), data)
    return data


@lru_cache(maxsize=KNOWN)
def _list_spellings(value: str) -> re.Pattern[str]:
    """A token that is wrapped, percent-encoded or JSON-escaped, wholly or in part, in hexadecimal or in base64."""
    signs = (rf"(?:{re.escape(each)}|(?i:%{ord(each):02x}|\\u{ord(each):04x}))" for each in value)
    return re.compile("|".join([r"\s*".join(signs), f"(?i:{value.encode().hex()})", *_in_base64(value)]))


def _in_base64(value: str) -> list[str]:
    """What stands in base64 wherever it holds `value`, by how many bytes are before it; both alphabets."""
    found = []
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + value.encode("utf-8", "surrogatepass")).decode()
        core = whole[(before * 8 + 5) // 6 : (before + len(value)) * 8 // 6]
        found.append(re.escape(core).replace(r"\+", "[+-]").replace("/", "[/_]"))
    return found

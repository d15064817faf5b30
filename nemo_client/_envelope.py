"""An HTTP answer -> its data, or the typed exception that its code means. Pure.

The backend wraps answers as `{"code", "message", "data"}`, render answers as `{"success", "data", "error"}`, and
some come bare. Codes arrive in the envelope with HTTP 200, or as the HTTP status, or both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ._config import SENTENCE_CHARACTERS, shown
from ._errors import CODES, ApiError, BadAnswer, FileTooLarge, NemoError
from ._json import BadJson, parse
from ._words import FORMATS

REASON_CHARACTERS: Final = SENTENCE_CHARACTERS
_STATUS_CODES: Final = {401: 1001, 402: 402, 413: 4002, 415: 4001, 429: 429}
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_DIGITS: Final = re.compile(r"-?[0-9]{1,11}")
_WELL: Final = frozenset({"", "ok", "success"})
_NO: Final = (False, "false", "False")  # 0, too
_NAMES_CLIENT_ID: Final = re.compile(r"client[-_ ]?id", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """A whole answer. `call` names the request for people, `retry_after` is in seconds.

    What a server wrote stays out of `repr`: it can bring a token, or say ours back.
    """

    call: str
    host: str
    status: int
    content_type: str = field(repr=False)
    body: bytes = field(repr=False)
    retry_after: float | None = None


def open_envelope(answer: Answer, *, whole: bool = False, strict: bool = False) -> Any:
    """The data inside `answer` (the whole body where `whole` is set, for the render endpoints' two shapes).

    With `strict`, a web page is never taken for the backend's own refusal, whatever its HTTP status: it may come
    from anything on the way.
    """
    opened = _opened(answer, whole, strict)
    del answer  # an error leaves from where no variable holds what the server wrote
    if isinstance(opened, NemoError):
        raise opened
    return opened


def _opened(answer: Answer, whole: bool, strict: bool) -> Any:
    """What `open_envelope` returns, or raises."""
    if answer.status in _MOVED and not _is_page(answer):
        return _bad("answer-moved", answer)
    body = _parse(answer, strict)
    if isinstance(body, NemoError):
        return body
    if isinstance(body, Mapping):
        said = body.get("code")
        code = _code(said)
        if code is None and said is not None and answer.status < 300:
            return _bad("answer-wrong-shape", answer, reason=f"{'code'} is missing or of another type")
        if code is not None and not (code == 0 or (code == 200 and answer.status < 300)):
            return _refusal(answer, code, body)
        if body.get("success") in _NO:
            refused = answer.status if answer.status >= 400 else _code(body.get("error_code")) or 0
            return _refusal(answer, refused, body)
    if answer.status >= 400:
        return _refusal(answer, answer.status, body if isinstance(body, Mapping) else {})
    if answer.status >= 300:
        return _bad("answer-wrong-shape", answer, reason=f"HTTP {answer.status}")
    if whole or not isinstance(body, Mapping) or "data" not in body or not ({"code", "success"} & body.keys()):
        return body
    return body["data"]


def _parse(answer: Answer, strict: bool) -> Any:
    if answer.status == 204 or (not answer.body and answer.status < 300):
        return None
    try:
        return parse(answer.body)
    except BadJson:
        html = _is_page(answer)
        if answer.status in _STATUS_CODES and not strict:
            return {}
        if answer.status >= 400 and not html and (not answer.body or "json" not in answer.content_type):
            return {}  # plain words, or none at all: the status says it
        return _bad("answer-html" if html else "answer-not-json", answer)


def _is_page(answer: Answer) -> bool:
    return "html" in answer.content_type or answer.body.lstrip()[:1] == b"<"


def _refusal(answer: Answer, code: int, body: Mapping[str, Any]) -> NemoError:
    reason = _reason(body)
    if 500 <= code < 600:
        return _bad("api-server", answer, status=code)
    known = _STATUS_CODES.get(code, code)
    if known == 404 and "session" in reason.lower():
        known = 1002
    facts: dict[str, Any] = {"call": answer.call, "reason": reason or f"HTTP {answer.status}"}
    facts |= {"name": "A file", "formats": FORMATS}
    kind = CODES.get(known, ApiError)
    if known == 400 and not _NAMES_CLIENT_ID.search(reason):
        kind = ApiError
    text_id = "file-too-large-there" if kind is FileTooLarge else None
    return kind(text_id, code=known, status=answer.status, retry_after=answer.retry_after, **facts)


def _bad(text_id: str, answer: Answer, *, status: int | None = None, **facts: Any) -> BadAnswer:
    return BadAnswer(
        text_id,
        status=status or answer.status,
        retry_after=answer.retry_after,
        host=answer.host,
        call=answer.call,
        **facts,
    )


def _reason(body: Mapping[str, Any]) -> str:
    """The message of a refusal, redacted and clipped; it is shown to people."""
    for key in ("message", "error", "detail", "msg"):
        value = body.get(key)
        if isinstance(value, Mapping):
            value = value.get("message")
        if isinstance(value, str) and value.strip():
            return shown(value, REASON_CHARACTERS)
    return ""


def _code(value: object) -> int | None:
    """A code as the wire has it: a whole number of any spelling, or a word for success."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        word = value.strip().lower()
        return 0 if word in _WELL else int(word) if _DIGITS.fullmatch(word) else None
    return None

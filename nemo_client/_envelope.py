"""An HTTP answer -> its data, or the typed exception that its code means. Pure.

The backend wraps answers as `{"code", "message", "data"}`, render answers as `{"success", "data", "error"}`, and
some come bare. Codes arrive in the envelope with HTTP 200, or as the HTTP status, or both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ._config import redact
from ._errors import CODES, ApiError, BadAnswer, FileTooLarge, NemoError
from ._words import FORMATS

REASON_CHARACTERS: Final = 300
_STATUS_CODES: Final = {401: 1001, 402: 402, 413: 4002, 415: 4001, 429: 429}
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
    body = _parse(answer, strict)
    if isinstance(body, NemoError):
        return body
    if isinstance(body, Mapping):
        code = _number(body.get("code"))
        if code is not None and not (code == 0 or (code == 200 and answer.status < 300)):
            return _refusal(answer, code, body)
        if body.get("success") is False:
            return _refusal(
                answer, answer.status if answer.status >= 400 else _number(body.get("error_code")) or 0, body
            )
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
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        html = "html" in answer.content_type or answer.body.lstrip()[:1] == b"<"
        if answer.status in _STATUS_CODES and not strict:
            return {}
        if answer.status >= 400 and not html and (not answer.body or "json" not in answer.content_type):
            return {}  # plain words, or none at all: the status says it
        return _bad("answer-html" if html else "answer-not-json", answer)


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
            return redact(" ".join(value.split()))[:REASON_CHARACTERS]
    return ""


def _number(value: object) -> int | None:
    """A code as the wire has it: an int, or digits in a string."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.strip().lstrip("-").isdigit() and len(value) < 12:
        return int(value)
    return None

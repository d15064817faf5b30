"""An HTTP answer -> its data, or the typed exception that its code means. Pure.

The backend wraps answers as `{"code", "message", "data"}`, render answers as `{"success", "data", "error"}`, and
some come bare. Codes arrive in the envelope with HTTP 200, or as the HTTP status, or both. A code outside of the error
table counts as its HTTP status does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .._errors import (
    CODES,
    ApiError,
    BadAnswer,
    ClientIdRefused,
    FileTooLarge,
    NemoError,
    PlanError,
    SignInError,
    UnsupportedFile,
)
from .._safety.json_limits import BadJson, parse_json
from .._safety.redaction import SENTENCE_CHARACTERS, sanitize_for_display
from .._text.messages import UPLOAD_FORMATS, Phrase, has_text
from .reasons import as_mapping, find_words

REASON_CHARACTERS: Final = SENTENCE_CHARACTERS
_STATUS_CODES: Final = {401: 1001, 402: 402, 413: 4002, 415: 4001, 429: 429}
RENDERS: Final = frozenset({"render", "cancel", "download"})
"""Calls that the account's plan has to allow: 403 means there what 402 does."""
_SIGN_IN: Final = frozenset({1010, 1011})
"""What the vendor's own client takes for 1001; unlike that, they prove nothing about a message."""
_ELSEWHERE: Final = frozenset({"message", "upload", "session", "state", "balance"})
_OWN_CODES: Final = 1000  # smaller ones are HTTP statuses
_NOT_NOW: Final = frozenset({408, 425})
"""Refusals that say nothing about the request itself, so that they count as a server in trouble."""
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_DIGITS: Final = re.compile(r"-?[0-9]{1,11}")
_WELL: Final = frozenset({"", "ok", "success"})
_NO: Final = (False, "false", "False")  # 0, too
_NAMES_NOTHING: Final = re.compile(r"\bnot (?:be )?found\b|\bdoes not exist\b|\bno such\b|不存在|找不到", re.IGNORECASE)
_NAMES_CLIENT_ID: Final = re.compile(r"client[-_ ]?id", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """A whole answer. `call` is the id of the request (its words: `call.*` of the texts), `retry_after` is in seconds.

    What a server wrote stays out of `repr`: it can bring a token, or say ours back.
    """

    call: str
    host: str
    status: int
    content_type: str = field(repr=False)
    body: bytes = field(repr=False)
    retry_after: float | None = None


def name_call(call: str) -> str:
    """The words for a call of the backend, by its id: one of the texts `call.*`, or the text itself."""
    text_id = f"call.{call}"
    return Phrase(text_id) if has_text(text_id) else call


def open_envelope(answer: Answer, *, whole: bool = False, strict: bool = False) -> Any:
    """The data inside `answer` (the whole body where `whole` is set, for the render endpoints' two shapes).

    With `strict`, a web page is never taken for the backend's own refusal, whatever its HTTP status: it may come
    from anything on the way.
    """
    opened = _read_data(answer, whole, strict)
    del answer  # an error leaves from where no variable holds what the server wrote
    if isinstance(opened, NemoError):
        raise opened
    return opened


def _read_data(answer: Answer, whole: bool, strict: bool) -> Any:
    """What `open_envelope` returns, or raises."""
    if answer.status in _MOVED and not _is_page(answer):
        return _make_bad_answer("answer-moved", answer)
    body = _parse(answer, strict)
    if isinstance(body, NemoError):
        return body
    if isinstance(body, Mapping):
        said = body.get("code")
        code = _read_code(said)
        if code is None and said is not None and answer.status < 300:
            return _make_bad_answer("answer-wrong-shape", answer, reason=Phrase("why.field-wrong", field="code"))
        if code is not None and not (code == 0 or (code == 200 and answer.status < 300)):
            return _make_refusal(answer, code, body)
        if body.get("success") in _NO and not (whole and answer.status < 300 and _tells_a_status(body)):
            return _make_refusal(answer, _code_inside(body) or 0, body)
        if code is None and "success" not in body and _is_status(body.get("status")):
            return _make_refusal(answer, _code_inside(body) or 0, body)
    if answer.status >= 400:
        inside = _code_inside(body) if isinstance(body, Mapping) else None
        return _make_refusal(answer, inside or answer.status, body if isinstance(body, Mapping) else {})
    if answer.status >= 300:
        return _make_bad_answer("answer-wrong-shape", answer, reason=f"HTTP {answer.status}")
    if whole or not isinstance(body, Mapping) or "data" not in body or not ({"code", "success"} & body.keys()):
        return body
    return body["data"]


def _parse(answer: Answer, strict: bool) -> Any:
    if answer.status == 204 or (not answer.body and answer.status < 300):
        return None
    try:
        return parse_json(answer.body)
    except BadJson:
        html = _is_page(answer)
        if answer.status in _STATUS_CODES and not strict:
            return {}
        if answer.status >= 400 and not html and (not answer.body or "json" not in answer.content_type):
            return {}  # plain words, or none at all: the status says it
        error = _make_bad_answer("answer-html" if html else "answer-not-json", answer)
        if html and answer.status >= 500:  # a gateway's page about the server, not the network's to log in
            error.text_id = "api-server"
        return error


def _is_page(answer: Answer) -> bool:
    return "html" in answer.content_type or answer.body.lstrip()[:1] == b"<"


def _make_refusal(answer: Answer, said: int, body: Mapping[str, Any]) -> NemoError:
    code = _choose_code(said, answer.status)
    if 500 <= code < 600 or code in _NOT_NOW:
        return _make_bad_answer("api-server", answer, status=code)
    reason = _find_reason(body)
    if code == 0 and _NAMES_NOTHING.search(reason):
        code = 404
    if code == 404 and "session" in reason.lower():
        code = 1002
    if code == 403 and answer.call in RENDERS:
        code = 402
    facts: dict[str, Any] = {"call": name_call(answer.call), "reason": reason or f"HTTP {answer.status}"}
    facts |= {"name": Phrase("some-file"), "formats": UPLOAD_FORMATS}
    kind = SignInError if code in _SIGN_IN else CODES.get(code, ApiError)
    if kind is ClientIdRefused and not _NAMES_CLIENT_ID.search(reason):
        kind = ApiError
    status = said if 400 <= said < 600 and answer.status < 300 else answer.status
    return kind(_text_of(kind, answer, reason), code=code, status=status, retry_after=answer.retry_after, **facts)


def _choose_code(said: int, status: int) -> int:
    """The code that counts: one of the backend's own, else the HTTP status, be it said in the envelope or outside."""
    if said in _SIGN_IN or (said in CODES and said >= _OWN_CODES):
        return said
    if status >= 400 and (not 400 <= said < 600 or status >= 500 or status in _NOT_NOW):
        said = status
    return _STATUS_CODES.get(said, said)


def _text_of(kind: type[ApiError], answer: Answer, reason: str) -> str | None:
    """The id of the text where the usual one of its kind would name another place or remedy, or less than was said."""
    if kind is UnsupportedFile and reason:
        return "unsupported-file-there"
    if kind is FileTooLarge:
        return "file-too-large-there"
    return "plan-other" if kind is PlanError and answer.call in _ELSEWHERE else None


def _code_inside(body: Mapping[str, Any]) -> int | None:
    """A code that stands in the error's own object, or an HTTP status in the body, as frameworks put them there."""
    places = [body.get("error_code"), *(as_mapping(body.get(name)).get("code") for name in ("error", "detail"))]
    places += [body[name] for name in ("status", "statusCode", "status_code") if _is_status(body.get(name))]
    for found in places:
        code = _read_code(found) if found is not None else None
        if code:
            return code
    return None


def _is_status(value: object) -> bool:
    """Whether it is the status of an HTTP answer that failed, as a number."""
    return isinstance(value, int) and 400 <= value < 600


def _tells_a_status(body: Mapping[str, Any]) -> bool:
    """Whether it tells how a render stands, be it that it failed: that is an answer, not a refusal of the call."""
    inner = as_mapping(body.get("data"))
    return any(isinstance(place.get(name), str) for place in (body, inner) for name in ("status", "state"))


def _make_bad_answer(text_id: str, answer: Answer, *, status: int | None = None, **facts: Any) -> BadAnswer:
    return BadAnswer(
        text_id,
        status=status or answer.status,
        retry_after=answer.retry_after,
        host=answer.host,
        call=name_call(answer.call),
        **facts,
    )


def _find_reason(body: Mapping[str, Any]) -> str:
    """The message of a refusal, redacted and clipped; it is shown to people."""
    keys = ("message", "error", "detail", "msg", "errors", "error_message", "errorMessage", "reason")
    words = next((words for key in keys if (words := find_words(body.get(key)))), "")
    what_where = next((body[key] for key in ("detail", "errors") if isinstance(body.get(key), list)), None)
    if (more := find_words(what_where)) and more not in words:  # "Validation error" alone tells nothing
        words = f"{words}: {more}"
    return sanitize_for_display(words, REASON_CHARACTERS)


def _read_code(value: object) -> int | None:
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

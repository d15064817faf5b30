"""Envelopes and error codes of the API, and the reading of JSON bodies within bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from aiohttp import web

BAD_TOKEN = 1001
NO_SESSION = 1002
NO_CREDITS = 2001
UNSUPPORTED_FILE = 4001
FILE_TOO_LARGE = 4002

MAX_JSON_BYTES = 8 * 1024 * 1024
MAX_JSON_DEPTH = 100

# The API answers codes in the envelope, as the HTTP status, or both; this backend does some of each, on purpose.
HTTP_STATUS = {BAD_TOKEN: 401, NO_SESSION: 404, NO_CREDITS: 200, UNSUPPORTED_FILE: 200, FILE_TOO_LARGE: 413}


class ApiError(Exception):
    """A refusal that goes out as an envelope: `code`, `message`, and the HTTP `status` that carries it."""

    def __init__(self, code: int, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = HTTP_STATUS.get(code, code)
        self.headers = dict(headers or {})


@dataclass
class JsonReply:
    payload: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return json.dumps(self.payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@dataclass
class RawReply:
    """Bytes that are sent as they are: scripted answers."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FileReply:
    """A file, sent with ranges; `filename` makes it an attachment."""

    path: Path
    content_type: str
    filename: str | None = None


def success(data: Mapping[str, Any]) -> JsonReply:
    return JsonReply({"code": 0, "message": "success", "data": data})


def failure(error: ApiError, *, render: bool) -> JsonReply:
    """The envelope of a refusal; the render endpoints have one of their own."""
    if render:
        payload: dict[str, Any] = {"success": False, "code": error.code, "error": error.message}
    else:
        payload = {"code": error.code, "message": error.message, "data": None}
    return JsonReply(payload, error.status, error.headers)


async def json_body(request: web.Request, seconds: float) -> dict[str, Any]:
    """The request's JSON object, bounded in size, depth and time (else ApiError 400, 408 or 413).

    Only as `application/json` (else 415): a form, or a script of another site that was not asked for, cannot send that.
    """
    if request.content_type != "application/json":
        raise ApiError(415, "The request body must be application/json")
    try:
        raw = await asyncio.wait_for(request.read(), seconds)
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(413, f"The request is larger than {MAX_JSON_BYTES} bytes") from None
    except asyncio.TimeoutError:
        raise ApiError(408, "The request body did not come in time") from None
    try:
        value = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ApiError(400, "The request body is not valid JSON") from None
    if not isinstance(value, dict):
        raise ApiError(400, "The request body must be a JSON object")
    if deeper_than(value, MAX_JSON_DEPTH):
        raise ApiError(400, f"The request body is nested deeper than {MAX_JSON_DEPTH} levels")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def deeper_than(value: object, limit: int) -> bool:
    """Whether lists and objects are nested deeper than `limit`; walks level by level, without recursion."""
    level: list[object] = [value]
    for _ in range(limit):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return False
        level = below
    return any(isinstance(item, dict | list) for item in level)


def text_field(body: Mapping[str, Any], name: str, *, limit: int = 200) -> str:
    """A required text of the body, 1 to `limit` characters."""
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > limit:
        raise ApiError(400, f"'{name}' must be a text of 1 to {limit} characters")
    return clean(value)


def clean(text: str) -> str:
    """Lone surrogates cannot be written as UTF-8: they become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")

"""Scripted faults: what goes wrong, at which endpoint, on which call.

    open(directory, faults=Faults(Fault("close_at", "message", at=200), Fault("http_503", "state", count=3)))

A fault counts the calls of its endpoint from the moment it is added, and hits `count` of them from the `nth` on
(`count=None`: all that follow). Several faults may hit one call.

Connections
    refuse                reset as soon as the request's headers are there; nothing is done
    close_before_headers  closed before a byte of the answer; `accepted`: the request is carried out
    close_after_headers   closed after the answer's headers
    close_at              closed after byte `at` of the body, streams and files too
    stall                 nothing happens for `seconds`, `at` "request", at "headers", or after byte `at` of the body
Answers, with `accepted` (carried out, then answered like this), `retry_after`, `status`, `code`, `message`, `body`,
`content_type`, `headers`
    answer, http_500, html_502, http_503, http_503_accepted, http_429, http_504
    redirect              to `location`, with `status`
    truncated_json        the second half of the JSON is missing (in a stream: of its event number `event`)
    wrong_types           `field` ("data.session_id") holds `value`; without a field all of `data` does
    clock                 the `Date` header is `seconds` off
The agent's stream (endpoint "message")
    error_in_stream       an error event instead of the first tool's result; `charged`: the price is taken all the
                          same; `made`: the work is in the state all the same
    clean_end             the stream ends properly after `after` events; `works_on`: the work does not
    silence               nothing for `seconds` before event number `event`, but heartbeats each `ping` seconds
    keep_open             the connection stays open for `seconds` after the last event, as above
    reset_at_end          the connection is reset after the last event, in place of its end
    ask_back              the agent asks a question and does nothing
    ask_question          the agent calls its tool `ask_question` and does nothing; `title`, `questions` and `text` are
                          what it asks and says before; `ticket` is what the tool answers at once, if it does
    late_second_stage     a generation's second stage reaches the draft `seconds` after the stream's end
    stop_on_hangup        the work moves on only as its events are taken, and stops when the client hangs up
    silent, spoken        an edit answers without, or with, a text
State, money and identity
    resigned_urls         every URL has another signature each time; `draft`: the draft's clips have URLs, too
    late_analyses         an analysis more on each read
    other_spender         another program takes `amount` credits from the account first
    expired_token         1001, and an anonymous account's token is over
    lost_session          the session is gone for good
    duplicate_id          a fresh render id is refused as known
    expired_url           403 for an output address
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

ENDPOINTS = (
    "anonymous-token",
    "session",
    "claim-token",
    "upload",
    "message",
    "state",
    "credits",
    "render",
    "render-status",
    "render-cancel",
    "download",
    "files",
)
ANY_ENDPOINT = "*"

_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_EXPIRED = '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'

_ANSWER: dict[str, Any] = {
    "status": 200,
    "code": None,
    "message": "scripted answer",
    "body": None,
    "content_type": "application/json",
    "headers": {},
    "retry_after": None,
    "accepted": False,
}

# Every kind with its parameters' defaults; ... marks one that has to be given.
KINDS: Mapping[str, Mapping[str, Any]] = {
    "refuse": {},
    "close_before_headers": {"accepted": True},
    "close_after_headers": {},
    "close_at": {"at": ..., "reset": False},
    "stall": {"seconds": ..., "at": "request"},
    "answer": _ANSWER,
    "http_500": {**_ANSWER, "status": 500, "code": 500, "message": "Internal Server Error"},
    "html_502": {**_ANSWER, "status": 502, "body": _HTML, "content_type": "text/html"},
    "http_503": {**_ANSWER, "status": 503, "code": 503, "message": "Service Unavailable"},
    "http_503_accepted": {**_ANSWER, "status": 503, "code": 503, "message": "Overloaded", "accepted": True},
    "http_429": {**_ANSWER, "status": 429, "code": 429, "message": "Too Many Requests"},
    "http_504": {**_ANSWER, "status": 504, "body": "", "content_type": "text/plain"},
    "redirect": {**_ANSWER, "status": 307, "body": "", "location": ...},
    "truncated_json": {"event": 1},
    "wrong_types": {"field": "", "value": 7, "event": 1},
    "clock": {"seconds": 3600.0},
    "error_in_stream": {"charged": False, "made": False, "message": "RuntimeError: upstream model overloaded"},
    "clean_end": {"after": 1, "works_on": True},
    "silence": {"seconds": ..., "event": 1, "ping": 0.0},
    "keep_open": {"seconds": ..., "ping": 0.0},
    "reset_at_end": {},
    "ask_back": {},
    "ask_question": {
        "title": "Mood",
        "questions": (
            {
                "id": "mood",
                "prompt": "Which mood?",
                "options": ({"id": "a", "label": "Calm"}, {"id": "b", "label": "Lively"}),
            },
        ),
        "text": "",
        "ticket": None,
    },
    "late_second_stage": {"seconds": ...},
    "stop_on_hangup": {},
    "silent": {},
    "spoken": {},
    "resigned_urls": {"draft": False},
    "late_analyses": {},
    "other_spender": {"amount": ...},
    "expired_token": {**_ANSWER, "status": 401, "code": 1001, "message": "The token is wrong or expired"},
    "lost_session": {},
    "duplicate_id": {**_ANSWER, "status": 409, "code": 409, "message": "This render id is already used"},
    "expired_url": {**_ANSWER, "status": 403, "body": _EXPIRED, "content_type": "application/xml"},
}


class Fault:
    """One scripted fault; ValueError for a kind, an endpoint or a parameter that does not exist."""

    def __init__(
        self, kind: str, endpoint: str = ANY_ENDPOINT, *, nth: int = 1, count: int | None = 1, **parameters: Any
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"There is no fault {kind!r}; there are {', '.join(KINDS)}")
        if endpoint != ANY_ENDPOINT and endpoint not in ENDPOINTS:
            raise ValueError(f"There is no endpoint {endpoint!r}; there are {', '.join(ENDPOINTS)}")
        if unknown := set(parameters) - set(KINDS[kind]):
            raise ValueError(f"{kind} has no parameter {', '.join(sorted(unknown))}")
        self.kind = kind
        self.endpoint = endpoint
        self.nth = nth
        self.count = count
        self.parameters: dict[str, Any] = {**KINDS[kind], **parameters}
        if missing := [name for name, value in self.parameters.items() if value is ...]:
            raise ValueError(f"{kind} needs {', '.join(missing)}")
        self._calls = 0

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]

    def get(self, name: str) -> Any:
        return self.parameters.get(name)

    def meets(self, endpoint: str) -> bool:
        """Count this call if it is one of the fault's endpoint, and tell whether the fault hits it."""
        if self.endpoint not in (ANY_ENDPOINT, endpoint):
            return False
        self._calls += 1
        return self._calls >= self.nth and (self.count is None or self._calls < self.nth + self.count)


class Hits:
    """The faults that hit one call, by kind."""

    def __init__(self, faults: Mapping[str, Fault]) -> None:
        self._faults = faults

    def __contains__(self, kind: str) -> bool:
        return kind in self._faults

    def get(self, kind: str) -> Fault | None:
        return self._faults.get(kind)

    @property
    def answer(self) -> Fault | None:
        """The first fault that replaces the whole answer."""
        return next((fault for fault in self._faults.values() if "status" in fault.parameters), None)


class Faults:
    """A script of faults; may be changed from any thread while the backend runs."""

    def __init__(self, *faults: Fault) -> None:
        self._lock = threading.Lock()
        self._script = list(faults)
        self._fired: list[tuple[str, str]] = []

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._script.extend(faults)

    def clear(self) -> None:
        with self._lock:
            self._script.clear()

    @property
    def fired(self) -> tuple[tuple[str, str], ...]:
        """What has hit so far, as (kind, endpoint), oldest first."""
        with self._lock:
            return tuple(self._fired)

    def hits(self, endpoint: str) -> Hits:
        """Count one call of `endpoint`, and give the faults that hit it."""
        with self._lock:
            hit = {fault.kind: fault for fault in self._script if fault.meets(endpoint)}
            self._fired.extend((kind, endpoint) for kind in hit)
        return Hits(hit)

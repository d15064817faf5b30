"""Scripted faults: what goes wrong, at which endpoint, on which call.

    local.open(directory, faults=Faults(Fault("close_at", "message", at=200), Fault("http_503", "state", count=3)))

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
    says                  an edit or an answer says the first of `replies`, which is taken from them, else "Done."
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

import asyncio
import contextlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from email.utils import formatdate
from typing import Any

from aiohttp import web

from nemo_client.local.agent.dialects import HEARTBEATS
from nemo_client.local.agent.director import Plan
from nemo_client.local.agent.phrases import is_chinese
from nemo_client.local.server.sending import Reply, StreamReply
from nemo_client.local.shared.behaviour import Behaviour, CallBehaviour
from nemo_client.local.shared.disk import read_json, write_json
from nemo_client.local.shared.replies import ApiError, RawReply, json_body
from nemo_client.local.shared.writer import Writer, cut_connection

ASKED_BACK = (
    "Should the camera move slowly or quickly? Tell me, and I will start.",
    "镜头要慢一些还是快一些？告诉我，我就开始。",
)
LOOK_SECONDS = 0.05
RESET_SECONDS = 0.05
"""A reset takes with it what has not been read yet."""

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
    "says": {"replies": ...},
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


class Cut(ConnectionError):
    """A scripted fault has closed the connection: there is nothing more to send."""


class FaultyWriter(Writer):
    """Stalls or cuts the body at a byte."""

    def __init__(self, request: web.Request, response: web.StreamResponse, hits: Mapping[str, Fault]) -> None:
        super().__init__(request, response)
        self._sent = 0
        self._stall = _find_byte(hits.get("stall"))
        self._close = _find_byte(hits.get("close_at"))
        self._headers_only = "close_after_headers" in hits

    async def start(self) -> None:
        await super().start()
        if self._headers_only:
            self._cut(reset=False)
        await self._act_at_byte()

    async def write(self, data: bytes) -> None:
        """Send `data` up to the next scripted byte, do what is scripted there, and go on."""
        while data:
            stops = [int(fault["at"]) - self._sent for fault in (self._stall, self._close) if fault]
            step = min([stop for stop in stops if stop > 0], default=len(data))
            await super().write(data[:step])
            self._sent += len(data[:step])
            data = data[step:]
            await self._act_at_byte()

    async def _act_at_byte(self) -> None:
        if self._stall and self._sent >= int(self._stall["at"]):
            seconds, self._stall = self._stall["seconds"], None
            await asyncio.sleep(seconds)
        if self._close and self._sent >= int(self._close["at"]):
            self._cut(reset=self._close["reset"])

    def _cut(self, *, reset: bool) -> None:
        cut_connection(self.request, reset=reset)
        raise Cut


def _find_byte(fault: Fault | None) -> Fault | None:
    return fault if fault and isinstance(fault["at"], int) else None


class FaultyCall(CallBehaviour):
    """One call with the faults that hit it, by kind."""

    def __init__(self, hits: Mapping[str, Fault], free: threading.Event) -> None:
        self._hits = hits
        self._free = free
        replaced = next((fault for fault in hits.values() if "status" in fault.parameters), None)
        if replaced is not None:
            self.answer, self.carries_out = make_answer(replaced), bool(replaced["accepted"])
        if error := hits.get("error_in_stream"):
            self.failure = str(error["message"])
        if late := hits.get("late_second_stage"):
            self.late_stage_seconds = float(late["seconds"])
        end = hits.get("clean_end")
        self.ends_whole = bool(end and end["works_on"])
        self.stops_unheard = "stop_on_hangup" in hits or bool(end and not end["works_on"])

    async def meet(self, request: web.Request) -> web.StreamResponse | None:
        closed = self._hits.get("close_before_headers")
        if "refuse" in self._hits or (closed and not closed["accepted"]):
            cut_connection(request, reset="refuse" in self._hits)
            return web.Response()
        await self._stall("request")
        return None

    async def prepare(self, services: Any, call: Any) -> None:
        hits = self._hits
        if spender := hits.get("other_spender"):
            taken = {"account": call.account.user_id, "amount": int(spender["amount"]), "reason": "other"}
            await asyncio.to_thread(lambda: services.ledger.append("charge", session=None, run=None, **taken))
        if "late_analyses" in hits and (session := call.request.match_info.get("session")):
            await asyncio.to_thread(services.store.update, session, call.account, _add_analysis)
        if "expired_token" in hits:
            await asyncio.to_thread(_expire_account, services.accounts, call.account.user_id)
        if "lost_session" in hits:
            session = call.request.match_info.get("session")
            if session is None and call.request.can_read_body:
                body = await json_body(call.request, services.settings.limits.body_seconds)
                session = body.get("session_id") or body.get("sessionId")
            with suppress(ApiError):
                await asyncio.to_thread(services.store.update, str(session), call.account, _lose)

    def plan(self, text: str) -> Plan | None:
        if "ask_back" in self._hits:
            return Plan("answer", ASKED_BACK[is_chinese(text)])
        if asked := self._hits.get("ask_question"):
            question = {"title": asked["title"], "questions": list(asked["questions"])}
            return Plan("answer", "", intro=str(asked["text"]), question=question, ticket=asked["ticket"])
        return None

    async def work(self, seconds: float) -> None:
        await super().work(seconds)
        while not self._free.is_set():  # noqa: ASYNC110 - it is set on another thread
            await asyncio.sleep(0.005)

    def is_silent(self, usual: bool) -> bool:
        speaks = "spoken" in self._hits or "says" in self._hits
        return not speaks and ("silent" in self._hits or usual)

    def choose_reply(self, planned: str) -> str:
        says = self._hits.get("says")
        if says is None:
            return planned
        return str(says["replies"].pop(0)) if says["replies"] else "Done."

    def fail(self, write: Callable[[], None], charge: Callable[[], None]) -> None:
        error = self._hits["error_in_stream"]
        if error["made"]:
            write()
        if error["charged"]:
            charge()

    def sign_address(self, address: str) -> str:
        if "resigned_urls" not in self._hits:
            return address
        return f"{address}?Expires={int(time.time()) + 3600}&Signature={secrets.token_hex(8)}"

    def change_record(self, record: Any, addresses: Any) -> None:
        resigned = self._hits.get("resigned_urls")
        if resigned and resigned["draft"]:
            _sign_clips(record, addresses)

    async def before_headers(self, request: web.Request, reply: Reply) -> web.StreamResponse | None:
        await self._stall("headers")
        if "close_before_headers" not in self._hits:
            return None
        if isinstance(reply, StreamReply):
            reply.source.hung_up()
        cut_connection(request, reset=False)
        return web.Response()

    def change_response(self, response: web.StreamResponse) -> None:
        if clock := self._hits.get("clock"):
            response.headers["Date"] = formatdate(time.time() + clock["seconds"], usegmt=True)

    def change_body(self, body: bytes) -> bytes:
        if fault := self._hits.get("wrong_types"):
            value = json.loads(body)
            field = fault["field"] or ("content" if "content" in value else "data")
            _replace_field(value, field.split("."), fault["value"])
            body = json.dumps(value).encode()  # escaped: a fault can put half a character there
        if "truncated_json" in self._hits:
            body = body[: len(body) // 2]
        return body

    def make_writer(self, request: web.Request, response: web.StreamResponse) -> Writer:
        return FaultyWriter(request, response, self._hits)

    async def before_event(self, writer: Writer, number: int) -> None:
        silence = self._hits.get("silence")
        if silence and number == silence["event"]:
            await _send_nothing(writer, silence)

    def change_event(self, frame: bytes, number: int) -> bytes:
        for kind in ("truncated_json", "wrong_types"):
            if (fault := self._hits.get(kind)) and fault["event"] == number:
                return b"data: " + self.change_body(frame[len(b"data: ") :].rstrip()) + b"\n\n"
        return frame

    def ends_after(self, number: int) -> bool:
        end = self._hits.get("clean_end")
        return bool(end and number >= end["after"])

    async def after_events(self, writer: Writer) -> bool:
        if keep_open := self._hits.get("keep_open"):
            await _send_nothing(writer, keep_open)
        if "reset_at_end" not in self._hits:
            return False
        await asyncio.sleep(RESET_SECONDS)
        cut_connection(writer.request, reset=True)
        return True

    async def _stall(self, at: str) -> None:
        stall = self._hits.get("stall")
        if stall and stall["at"] == at:
            await asyncio.sleep(stall["seconds"])


async def _send_nothing(writer: Writer, fault: Fault) -> None:
    """Nothing for a while, or heartbeats alone; less where the client hangs up."""
    end = time.monotonic() + float(fault["seconds"])
    while (left := end - time.monotonic()) > 0 and not writer.hung_up:
        await asyncio.sleep(min(left, float(fault["ping"]) or LOOK_SECONDS))
        if fault["ping"]:
            await writer.write(HEARTBEATS[0])


def make_answer(fault: Fault) -> RawReply:
    """The answer that a fault gives instead of the real one; one with a code speaks both envelopes."""
    headers = {str(name): str(value) for name, value in fault["headers"].items()}
    if fault["retry_after"] is not None:
        headers["Retry-After"] = str(fault["retry_after"])
    if fault.get("location"):
        headers["Location"] = fault["location"]
    body = fault["body"]
    if body is None:
        code, message = fault["code"] or 0, fault["message"]
        body = json.dumps({"code": code, "message": message, "data": None, "success": not code, "error": message})
    return RawReply(body.encode(), fault["content_type"], fault["status"], headers)


def _expire_account(accounts: Any, user: str) -> None:
    """End an anonymous account's token now; its client may then sign up again."""
    with accounts._lock.hold():
        table = read_json(accounts._path) or {}
        for entry in table.values():
            if entry["user_id"] == user:
                entry["expires"] = accounts._clock()
        write_json(accounts._path, table)


def _lose(record: MutableMapping[str, Any]) -> None:
    record["lost"] = True


def _add_analysis(record: MutableMapping[str, Any]) -> None:
    record["analyses"].append({"id": f"late_{secrets.token_hex(4)}", "summary": "late analysis"})


def _sign_clips(record: MutableMapping[str, Any], addresses: Any) -> None:
    stored = {asset["id"]: asset["stored"] for asset in record["assets"]}
    for track in record["draft"].get("t", ()):
        for segment in track["sg"]:
            if (asset := segment["m"].get("asset")) in stored:
                segment["m"]["url"] = addresses.of(stored[asset])


def _replace_field(value: Any, path: list[str], new: object) -> None:
    """Put `new` at `path`; a path that the answer does not have is made."""
    for name in path[:-1]:
        if isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict):
            value = value.setdefault(name, {})
    if isinstance(value, dict):
        value[path[-1]] = new


class Faults(Behaviour):
    """A script of faults; may be changed from any thread while the backend runs."""

    def __init__(self, *faults: Fault) -> None:
        self._lock = threading.Lock()
        self._script = list(faults)
        self._fired: list[tuple[str, str]] = []
        self._free = threading.Event()
        self._free.set()
        self.calls: Counter[str] = Counter()
        """How many calls came to each endpoint, refused ones included."""

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """The agent finishes nothing within this block, however slow the test is."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

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

    def begin_call(self, endpoint: str) -> CallBehaviour:
        """Count one call of `endpoint`, and give the faults that hit it."""
        with self._lock:
            hit = {fault.kind: fault for fault in self._script if fault.meets(endpoint)}
            self._fired.extend((kind, endpoint) for kind in hit)
            self.calls[endpoint] += 1
        return FaultyCall(hit, self._free)

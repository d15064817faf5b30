"""The wire: headers on every request, answers opened, calls retried where that is harmless.

A token goes only to the origin of its own profile: every request is built from the profile's own address, and
redirects are not followed. How a connection is made, and where it may go, is `_wire.net.transport`'s business.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import json as json_text
import logging
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from .._config.client_id import SKILL, VERSION, detect_platform
from .._config.credentials import Token, TokenSource, build_registration_link, token_from_environment
from .._config.free_accounts import FreeUsers
from .._config.profiles import Profile
from .._config.timings import WireTimings, timings_in_use
from .._errors import (
    BadAnswer,
    ConnectError,
    ConnectionBroken,
    InputError,
    NemoError,
    NoCredits,
    PlanError,
    RateLimited,
    SignInError,
    TooLate,
)
from .._safety.redaction import redact, scrub_data
from .._text.messages import Phrase
from .decompression import Undecodable, decode_body, run_within
from .envelope import Answer, name_call, open_envelope
from .net.transport import ConnectionBackend, Transport
from .net.tunnels import CUT, describe_reason, iterate_causes
from .rate_limiter import RateLimiter
from .retry import retry_pause

logger = logging.getLogger("nemo_client")

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
READ_SECONDS: Final = 60.0
SLOWEST_UPLOAD: Final = 16 * 1024
"""Bytes a second; a body that is sent more slowly is given up."""
REFUSED_ONCE_PAUSE: Final = 1.0
"""Seconds after which a token that had worked is tried once more: one 401 can come from anything on the way."""
CALLS_AT_ONCE: Final = 16
UPLOADS_AT_ONCE: Final = 4

_STREAMED: Final = {"Accept": "text/event-stream", "Content-Type": "application/json", "Accept-Encoding": "identity"}

Sleep = Callable[[float], Awaitable[None]]
Body = Callable[[], AsyncIterator[bytes]]

_ours: contextvars.ContextVar[bool] = contextvars.ContextVar("nemo_client_request", default=False)
_TALKATIVE: Final = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks")


class _QuietOurRequests(logging.Filter):
    """Keeps the URLs of our requests (which can be signed), and answers' headers, out of the host's log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _ours.get()


_quiet = _QuietOurRequests()


@contextmanager
def silence_httpx() -> Iterator[None]:
    """While this is open, httpx logs nothing of what this task asks for."""
    mark = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(mark)


class HttpClient:
    """Sends requests through one `Transport`, and nothing more.

    What httpx's own client adds (cookies, redirects, sign-in, hooks) is not used here, and takes as long as the rest.
    """

    def __init__(self, transport: Transport, timeout: httpx.Timeout) -> None:
        self._transport = transport
        self._extensions = {"timeout": timeout.as_dict()}

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    def build_request(
        self,
        method: str,
        url: httpx.URL | str,
        *,
        headers: httpx.Headers | Mapping[str, str],
        content: AsyncIterator[bytes] | httpx.AsyncByteStream | bytes | None = None,
    ) -> httpx.Request:
        """A request of this client, with its time-outs and the headers that every one has."""
        given = [*_ALWAYS, *(headers if isinstance(headers, httpx.Headers) else httpx.Headers(headers)).raw]
        return httpx.Request(method, url, headers=given, content=content, extensions=self._extensions)

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The answer's beginning; its body is still to be read, and the answer to be closed."""
        response = await self._transport.handle_async_request(request)
        response.request = request
        return response


_ALWAYS: Final = (
    (b"Accept", b"*/*"),
    (b"Connection", b"keep-alive"),
    (b"User-Agent", f"python-httpx/{httpx.__version__}".encode()),
)


@lru_cache(maxsize=64)
def _parse_url(url: str) -> httpx.URL:
    """An address of the API; one video asks for most of its addresses several times, and httpx looks at each letter."""
    return httpx.URL(url)


def create_http_client(
    address: str,
    *,
    pooled: bool = True,
    judged: bool = False,
    read_seconds: float | None = READ_SECONDS,
    timings: WireTimings | None = None,
) -> HttpClient:
    """A client for the profile at `address`; `judged` where a backend says what to ask, as for downloads.

    `read_seconds` is how long the other side may be silent; None is as long as it likes.

    Proxies and certificates of the system count, through `net.transport` alone: httpx itself reads no environment.
    """
    connect = (timings or timings_in_use().wire).connect
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_quiet)
    road = ConnectionBackend(urlsplit(address).hostname or "", judged=judged, hold=pooled)
    return HttpClient(
        Transport(road, CALLS_AT_ONCE + UPLOADS_AT_ONCE if pooled else None),
        httpx.Timeout(READ_SECONDS, read=read_seconds, connect=connect, pool=None),
    )


class Http:
    """Requests to one profile's API. One instance lives in one event loop."""

    def __init__(
        self,
        profile: Profile,
        client_id: str,
        tokens: TokenSource,
        *,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        free_users: FreeUsers | None = None,
        timings: WireTimings | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self.profile = profile
        self.client_id = client_id
        self.tokens = tokens
        self.host = urlsplit(profile.api_url).hostname or ""
        self.sleep = sleep
        self.timings = timings or timings_in_use().wire
        self.limiter = RateLimiter(profile.streams, sleep=sleep, clock=clock, grow_seconds=self.timings.grow)
        self._max_answer_bytes = max_answer_bytes
        self._platform = detect_platform()
        self._clock = clock
        self._pooled: HttpClient | None = None
        self._streams: HttpClient | None = None
        # Requests wait here, not for a connection: at each step of any, httpcore's pool goes through all that wait for
        # one, times all connections. Uploads take minutes, and have a line of their own.
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self.server_date: float | None = None
        self._dated = 0.0
        self._free_users = free_users or FreeUsers()
        self._worked: Token | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        for client in (self._pooled, self._streams):
            if client is not None:
                await client.aclose()
        self._pooled = self._streams = None

    def headers(self, token: Token | None) -> httpx.Headers:
        """The headers of every request; without the three attribution headers an export fails with 402.

        The only place where a token is opened for the wire. `repr` of these headers does not show it.
        """
        headers = httpx.Headers(
            {
                "X-Client-Id": self.client_id,
                "X-Skill-Source": SKILL,
                "X-Skill-Version": VERSION,
                "X-Skill-Platform": self._platform,
                "Accept-Encoding": "gzip, deflate",
            }
        )
        if token is not None:
            if not token.sendable:
                raise SignInError(code=1001, profile=self.profile.name)
            headers["Authorization"] = f"Bearer {token.value.reveal()}"
        return headers

    async def call(
        self,
        name: str,
        method: str,
        path: str,
        *,
        json: object = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        signed_in: bool = True,
        repeatable: bool = True,
        whole: bool = False,
    ) -> Any:
        """One call with its retries: the answer's data, or a typed exception.

        `name` is the call's name for people; `body` makes the content for each try; `repeatable` says that a
        second execution does no harm; `whole` asks for the body with its envelope.
        """
        started, tries, limited = self._clock(), 0, False
        refused: list[Token] = []
        while True:
            tries += 1
            token = await self.tokens.token() if signed_in else None
            try:
                request = self._request(method, path, token, json, body, headers)
                line = self._uploads if body else self._calls
                data = open_envelope(await self._in_turn(line, name, request), whole=whole)
                self._worked = token or self._worked
                return data
            except SignInError as error:
                if token is None or not await self._other_token(token, refused):
                    self.explain_for_account(error, token)
                    raise
            except NemoError as error:
                if signed_in:
                    self.limiter.note(error)
                elapsed, reached = self._clock() - started, self.server_date is not None
                pause = retry_pause(
                    error,
                    tries,
                    elapsed,
                    repeatable=repeatable,
                    limited=limited,
                    reached=reached,
                    timings=self.timings,
                )
                if pause is None:
                    self.explain_for_account(error, token)
                    raise
                limited = limited or isinstance(error, RateLimited)
                logger.debug("%s failed (%s), again in %.1f s", name, error.id, pause)
                await self.sleep(pause)

    async def _other_token(self, token: Token, refused: list[Token]) -> bool:
        """After a 401: whether there is something to try, the same token once more or another one."""
        before, known = len(refused), token in refused
        refused.append(token)
        if not known and (token == self._worked or (before == 0 and token.kind == "user")):
            await self.sleep(REFUSED_ONCE_PAUSE)
            return True
        return len({each.account for each in refused}) == 1 and await self.tokens.renew(token) is not None

    def note_user(self, token: Token, user_id: str) -> None:
        """Remember whose token it is, where that is a free account: one given in a variable does not tell."""
        self._free_users.note(token.account, user_id)

    def free_user(self, token: Token) -> str | None:
        """The user id behind a free account's token, empty where it is not known; None for any other account."""
        if token.kind == "anonymous":
            return token.user_id
        return self._free_users.find_user_id(token.account)

    def registration_link(self, token: Token) -> str:
        """Where the free account of this token becomes a registered one; empty for any other account."""
        user = self.free_user(token)
        return "" if user is None else build_registration_link(self.profile, user)

    def explain_for_account(self, error: NemoError, token: Token | None) -> NemoError:
        """The error in the words that fit the account: the remedy for a free one is another one."""
        if isinstance(error, SignInError):
            error.facts["profile"] = self.profile.name
            error.facts["variable"] = self.profile.token_env or error.facts["variable"]
        if token is None:
            return error
        link = self.registration_link(token)
        if isinstance(error, SignInError) and error.id == SignInError.default_id:
            if link:
                given = token_from_environment(self.profile) == token
                error.reword("token-refused-env-free" if given else "token-refused-free", link=link)
        elif link and isinstance(error, PlanError):
            error.reword("plan-free" if error.id == PlanError.default_id else "plan-other-free", link=link)
        elif link and isinstance(error, NoCredits) and error.id == NoCredits.default_id:
            error.reword("no-credits-anonymous", link=link)
        if isinstance(error, (PlanError, NoCredits)):
            error.facts.setdefault("link", self.profile.web_url)
        return error

    def server_now(self) -> datetime | None:
        """The time by the server's own clock; None before its first answer. This machine's clock can be days off."""
        if self.server_date is None:
            return None
        return datetime.fromtimestamp(self.server_date + self._clock() - self._dated, timezone.utc)

    def _request(
        self,
        method: str,
        path: str,
        token: Token | None,
        json: object,
        body: Body | None,
        headers: Mapping[str, str] | None,
    ) -> httpx.Request:
        own = self.headers(token)
        if headers:
            own.update(headers)
        content: AsyncIterator[bytes] | bytes | None = body() if body else None
        if json is not None:  # escaped: a draft can hold halves of characters, and goes back as it came
            content = json_text.dumps(json, ensure_ascii=True, separators=(",", ":")).encode("ascii")
            own["Content-Type"] = "application/json"
        return self._client().build_request(
            method, _parse_url(self.profile.api_url + path), headers=own, content=content
        )

    def _client(self) -> HttpClient:
        if self._pooled is None:
            self._pooled = create_http_client(self.profile.api_url, timings=self.timings)
        return self._pooled

    async def _in_turn(self, line: asyncio.Semaphore, name: str, request: httpx.Request) -> Answer:
        async with line:
            return await self._send_and_read(name, request)

    async def _send_and_read(self, name: str, request: httpx.Request) -> Answer:
        """Send, and read the whole answer: `max_answer_bytes` of it at the most, and for a bounded time."""
        seconds = self.timings.answer + int(request.headers.get("content-length", 0)) / SLOWEST_UPLOAD
        with silence_httpx():
            try:
                return await run_within(seconds, self._await_answer(name, request))
            except asyncio.TimeoutError as error:
                raise ConnectionBroken("answer-timeout", host=self.host, call=name_call(name)) from error
            except httpx.HTTPError as error:
                raise translate_transport_error(error, name, self.host, body_started=True) from error

    async def _await_answer(self, name: str, request: httpx.Request) -> Answer:
        response = await send_request(self._client(), request)
        try:
            return await self.read_whole(name, response)
        finally:
            await response.aclose()

    async def read_whole(self, name: str, response: httpx.Response) -> Answer:
        """A whole answer in bounded memory, without our token where it says back what it was sent.

        What a sign-up brings stays as it is: it may be a token that is known here.
        """
        self._note_date(response.headers.get("date"))
        limit = self._max_answer_bytes
        body = await read_body(response, limit)
        if isinstance(body, Undecodable):
            raise undecodable_answer(body, name, self.host)
        if body is None:
            raise ConnectionBroken("answer-too-large", host=self.host, call=name_call(name), limit=limit)
        kind = response.headers.get("content-type", "").lower()
        pause = retry_after(response.headers)
        scrubbed = scrub_data if "authorization" in response.request.headers else bytes
        return Answer(name, self.host, response.status_code, kind, scrubbed(body.getvalue()), pause)

    @asynccontextmanager
    async def stream(
        self, name: str, path: str, payload: bytes, may_go: Callable[[], bool] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """POST `payload` on a connection opened for it, never a pooled one, and without any retry.

        A stale pooled connection would turn a harmless failure into one where the message may be out. Silence ends
        nothing: a tool that works for minutes says nothing meanwhile, and a client that hangs up stops it. Raises
        `ConnectError` only if not one byte of the body was written. `may_go` is asked at the last moment, once the
        connection is there and right before the first byte of the body; `TooLate` where it says no.
        """
        token = await self.tokens.token()
        if self._streams is None:
            self._streams = create_http_client(
                self.profile.api_url, pooled=False, read_seconds=None, timings=self.timings
            )
        body, length = _Watched(payload, may_go), {"Content-Length": str(len(payload))}
        url = _parse_url(self.profile.api_url + path)
        request = self._streams.build_request("POST", url, headers=length, content=body)
        request.headers.update(self.headers(token))
        request.headers.update(_STREAMED)
        with silence_httpx():
            try:
                response = await send_request(self._streams, request)
                self._note_date(response.headers.get("date"))
                try:
                    yield response
                finally:
                    await response.aclose()
            except httpx.HTTPError as error:
                raise translate_transport_error(error, name, self.host, body_started=body.started) from error

    def _note_date(self, value: str | None) -> None:
        if value:
            try:
                self.server_date, self._dated = _parse_moment(value), self._clock()
            except (ValueError, TypeError, OverflowError):
                logger.debug("a Date header could not be read")


async def send_request(client: HttpClient, request: httpx.Request) -> httpx.Response:
    """The answer's beginning.

    What goes wrong brings no frame from httpx and below, whose variables hold the headers as they are sent. Our token
    is taken out where the answer's headers say it back.
    """
    try:
        response = await client.send(request)
    except BaseException as error:
        for each in iterate_causes(error):
            each.__traceback__ = None
        raise error  # a bare `raise` would bring the frames back on Python 3.10
    said = response.headers.raw
    scrubbed = [(name, scrub_data(value)) for name, value in said]
    if scrubbed != said:
        response.headers = httpx.Headers(scrubbed)
    response.extensions.pop("reason_phrase", None)  # shown by `repr`, and the server's own words
    return response


async def read_body(
    response: httpx.Response, limit: int, watch: Callable[[], None] = lambda: None
) -> io.BytesIO | Undecodable | None:
    """The body, in something whose `repr` does not show it; None where it is larger than `limit` bytes.

    `Undecodable` is returned, without the frames whose variables hold what was said. `watch` is called at each piece,
    and may raise.
    """
    body = io.BytesIO()
    try:
        async for piece in decode_body(response):
            watch()
            if body.write(piece) and body.tell() > limit:
                return None
    except Undecodable as error:
        return Undecodable(error.encoding, known=error.known)
    return body


class _Watched(httpx.AsyncByteStream):
    """A body that knows whether a byte of it was asked for: before that, nothing of it can have been written."""

    def __init__(self, payload: bytes, may_go: Callable[[], bool] | None) -> None:
        self._payload = payload
        self._may_go = may_go
        self.started = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._may_go is not None and not self._may_go():
            raise TooLate
        self.started = True
        yield self._payload


def is_segment(value: str) -> bool:
    """Whether `value` can be one segment of a path."""
    return 0 < len(value) <= 512 and value not in (".", "..") and value.isprintable()


def quote_segment(value: str) -> str:
    """`value` as one segment of a path; ids come from the backend and must not change the path."""
    if not is_segment(value):
        raise InputError("value", name="id", value=value[:80], expected=Phrase("expected.id"))
    return quote(value, safe="")


def translate_transport_error(error: httpx.HTTPError, call: str, host: str, *, body_started: bool) -> NemoError:
    """An httpx exception as ours. With `body_started` false, nothing can have reached the backend.

    The other one is emptied: it holds the request with its headers, and quotes what a server wrote.
    """
    found = list(iterate_causes(error))
    failed = _as_ours(error, found, call, host, body_started)
    logger.debug("%s: %s", call, redact("; ".join(f"{type(each).__name__} {each}" for each in found)))
    for each in found:
        each.args, each.__traceback__, each.__cause__, each.__context__ = (), None, None, None
        vars(each).clear()
    return failed


def _as_ours(error: httpx.HTTPError, found: list[BaseException], call: str, host: str, body_started: bool) -> NemoError:
    facts: dict[str, Any] = {"host": host, "call": name_call(call), "reason": describe_reason(error)}
    if isinstance(error, httpx.ConnectTimeout):
        return ConnectError("connect-timeout", **facts)
    if isinstance(error, httpx.ConnectError) or not body_started:
        if any(isinstance(cause, socket.gaierror) for cause in found):
            return ConnectError("connect-dns", **facts)
        if any(isinstance(cause, ssl.SSLError) and not isinstance(cause, CUT) for cause in found):
            return ConnectError("connect-tls", **facts)
        return ConnectError("connect-refused", **facts)
    return ConnectionBroken("answer-timeout" if isinstance(error, httpx.TimeoutException) else "answer-broken", **facts)


def undecodable_answer(error: Undecodable, call: str, host: str) -> NemoError:
    """An answer in an encoding that was not asked for, or damaged on the way."""
    if error.known:
        return ConnectionBroken("answer-broken", host=host, call=name_call(call))
    reason = Phrase("why.encoding", encoding=error.encoding)
    return BadAnswer("answer-wrong-shape", host=host, call=name_call(call), reason=reason)


def retry_after(headers: httpx.Headers) -> float | None:
    """`Retry-After` in seconds, as a number or a date; a moment that has passed is now."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if _NUMBER.fullmatch(value):
        return max(float(value), 0.0)
    try:
        now = _parse_moment(headers["date"]) if "date" in headers else time.time()
        return max(_parse_moment(value) - now, 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


_NUMBER: Final = re.compile(r"[+-]?\d{1,8}(?:\.\d{1,9})?", re.ASCII)


def _parse_moment(value: str) -> float:
    """A header's date in seconds since 1970; without a zone it is UTC, as HTTP has it."""
    parsed = parsedate_to_datetime(value)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()

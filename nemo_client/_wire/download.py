"""Files from the backend: resumable downloads in constant memory."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

import httpx

from .._config.timings import WireTimings, timings_in_use
from .._errors import BadAnswer, ConnectError, ConnectionBroken, DiskError, NemoError, RenderFailed, TransportError
from .._safety.addresses import LIVABLE, Kind, classify_address, is_host, is_loopback, parse_literal_address
from .._safety.redaction import sanitize_for_display
from .._text.messages import Phrase
from .decompression import Decoder, Undecodable, run_within
from .envelope import Answer, open_envelope
from .http import (
    HttpClient,
    Sleep,
    create_http_client,
    read_body,
    retry_after,
    send_request,
    silence_httpx,
    translate_transport_error,
    undecodable_answer,
)
from .net.transport import MOVED, RestOfBody, find_rest_of_body, is_foreign
from .retry import AWAY, FINAL
from .upload import CHUNK, OnBytes, _Progress, disk_error

MAX_DOWNLOAD_BYTES: Final = 16 * 1024**3
DOWNLOAD_PAUSES: Final = (0.5, 4.5, 8.0, 10.0, 10.0)
"""Before each further try without a byte in between: half a minute in all."""
DOWNLOAD_TRIES: Final = len(DOWNLOAD_PAUSES) + 1
LONGEST_WISH: Final = 60.0
DOWNLOAD_IDLE_SECONDS: Final = 60.0
REDIRECTS: Final = 5
ADDRESS_CHARACTERS: Final = 160
BATCH: Final = 2 * 1024 * 1024
"""Bytes that go to the disk together, by one hop to another thread; two of them are in memory."""


class Download:
    """One resumable download of `url` into `target`, which is a temporary file of the caller's.

    The request carries no token: output addresses are signed by themselves, and a token goes only to its own
    origin. After a break it continues with Range and If-Range where the server gave a strong validator, else it
    starts over.
    """

    def __init__(
        self,
        url: str,
        target: Path,
        *,
        near: str,
        headers: Callable[[], Awaitable[httpx.Headers]] | None = None,
        on_bytes: OnBytes | None = None,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        idle_seconds: float = DOWNLOAD_IDLE_SECONDS,
        limit: int = MAX_DOWNLOAD_BYTES,
        timings: WireTimings | None = None,
    ) -> None:
        """`near` is the profile's own address; `headers` are added at `url` itself only, which is then the API's.

        `idle_seconds` without a byte are a break; more than `limit` bytes are refused.
        """
        self._url = check_url(resolve_address(url, near), near)
        self._idle_seconds = idle_seconds
        self._limit = limit
        self._timings = timings or timings_in_use().wire
        self._target = target
        self._near = near
        self._headers = headers
        self._on_bytes = on_bytes
        self._sleep = sleep
        self._clock = clock
        self._started = clock()
        self._state = _Progress()
        self._host = httpx.URL(self._url).host
        self._address = describe_address(self._url)
        self._wish: float | None = None

    async def run(self) -> int:
        """Fetch the file; its size in bytes. Tries again after breaks as long as bytes keep coming."""
        idle_tries = 0
        async with create_http_client(
            self._near, judged=True, read_seconds=self._idle_seconds, timings=self._timings
        ) as client:
            while True:
                before = self._state.have
                try:
                    with silence_httpx():
                        await self._once(client)
                    return self._state.have
                except (ConnectionBroken, httpx.HTTPError) as error:
                    self._check_pace(error)
                    idle_tries = 1 if self._state.have > before else idle_tries + 1
                    told = error if isinstance(error, NemoError) else self._translate_failure(error)
                    if idle_tries >= DOWNLOAD_TRIES or told.id in FINAL:
                        if told is error:
                            raise
                        raise told from error
                    pause = self._pause(idle_tries)
                await self._sleep(pause)

    def _pause(self, tries: int) -> float:
        """The server's own wish (none at all is taken at its word once), else a pause that grows."""
        wish, self._wish = self._wish, None
        if wish is not None and (wish > 0 or tries == 1):
            return min(wish, LONGEST_WISH)
        return DOWNLOAD_PAUSES[min(tries, len(DOWNLOAD_PAUSES)) - 1]

    def _translate_failure(self, error: httpx.HTTPError) -> NemoError:
        told = translate_transport_error(error, "download", self._host, body_started=True)
        if not isinstance(told, ConnectError):
            told.facts["host"] = self._address
        return told

    def _broken(self) -> ConnectionBroken:
        return ConnectionBroken("answer-broken", host=self._address, call=Phrase("call.download"))

    def _check_pace(self, broken: Exception | None = None) -> None:
        """Raise what is told of a download that trickles and never ends, whatever it is cut into."""
        timings, moved = self._timings, self._state.moved
        if self._clock() - self._started > timings.download + moved / timings.slowest_download:
            raise TransportError("answer-timeout", host=self._address, call=Phrase("call.download")) from broken

    async def _once(self, client: HttpClient) -> None:
        state = self._state
        if state.have and not state.validator:
            state.have = 0
        response = await self._open(client, _range(state))
        try:
            self._wish = retry_after(response.headers)
            if response.status_code == 416 and state.have == _length_of(response):
                return
            if response.status_code == 416:
                state.have, state.validator = 0, ""
                raise self._broken()
            if response.status_code == 206 and not _continues(response, state):
                state.have, state.validator = 0, ""
                raise self._broken()
            if response.status_code == 200:
                state.have = 0
            elif response.status_code != 206:
                await self._refuse(response)
            await self._check_kind(response)
            self._learn(response)
            await self._write(response)
        finally:
            await response.aclose()

    async def _refuse(self, response: httpx.Response) -> None:
        if response.status_code in AWAY or response.status_code in (429, 500):
            raise self._broken()
        await self._check_kind(response)
        raise RenderFailed("download-refused", status=response.status_code, address=self._address)

    async def _check_kind(self, response: httpx.Response) -> None:
        """A page is no video, and the API's own endpoint answers a refusal as data, perhaps with HTTP 200."""
        kind = response.headers.get("content-type", "").lower()
        if "html" in kind and response.status_code < 300:
            raise RenderFailed("download-page", address=self._address)
        if self._headers is None or "json" not in kind:
            return
        body = await read_body(response, CHUNK, self._check_pace) or io.BytesIO()
        if isinstance(body, Undecodable):
            raise undecodable_answer(body, "download", self._host)
        open_envelope(Answer("download", self._host, response.status_code, kind, body.getvalue()))
        raise BadAnswer(
            "answer-wrong-shape", host=self._host, call=Phrase("call.download"), reason=Phrase("why.data-not-video")
        )

    def _learn(self, response: httpx.Response) -> None:
        state = self._state
        state.total = _total_of(response, state.have)
        if state.total is not None and state.total > self._limit:
            raise RenderFailed("answer-too-large", host=self._address, call=Phrase("call.download"), limit=self._limit)
        tag = response.headers.get("etag", "")
        state.validator = "" if tag.startswith("W/") or _is_packed(response) else tag

    async def _write(self, response: httpx.Response) -> None:
        """Write the body as it comes, unpacked where a server has packed it unasked; bytes count as they were sent."""
        state = self._state
        with _open_at(self._target, state.have) as opened:
            file = BatchedFile(opened, self._target, state.total)
            try:
                await self._unpack(response, file)
                await file.flush()
            except (ConnectionBroken, httpx.HTTPError):
                await file.flush()  # the next try goes on behind it
                raise
            finally:
                await file.wait_for_writes()
        if state.total is not None and state.have < state.total:
            raise self._broken()

    async def _unpack(self, response: httpx.Response, file: BatchedFile) -> None:
        """Write the body's pieces; once it is known to be no packed one, straight from the connection."""
        packed = _is_packed(response)
        rest, unmarked = None if packed else find_rest_of_body(response), _Unmarked(self._state)
        unpack = Decoder(response.headers["content-encoding"]).feed if packed else unmarked.feed
        if self._state.have and not packed:
            unpack = _as_it_is
        chunks = response.aiter_raw()  # as it comes: what waited in a buffer is lost in a break
        async for chunk in chunks:  # kept: where httpcore's iterator ends, it closes the connection
            broken = False
            try:
                for piece in unpack(chunk):
                    await file.write(piece)
            except Undecodable:
                broken = True
            count = len(chunk)
            del chunk  # a server may say back what it was told, and a traceback shows variables
            self._count(count, file.written, broken=broken)
            if rest is not None:
                rest.left -= count
                if unpack is _as_it_is or unmarked.plain:
                    await self._copy(rest, file)
                    return

    async def _copy(self, rest: RestOfBody, file: BatchedFile) -> None:
        """What is still to come of a body of known length, from the connection into the file's own memory."""
        while rest.left > 0:
            count = await rest.read_into(file.room)
            self._count(count, file.written + count)
            await file.take(count)

    def _count(self, count: int, written: int, *, broken: bool = False) -> None:
        """Note `count` bytes more; raises what ends the download."""
        state = self._state
        state.have += count
        state.moved += count
        if broken:
            raise self._broken()
        self._check_pace()
        allowed = self._limit if state.total is None else state.total
        if state.have > allowed or written > self._limit:
            raise RenderFailed("answer-too-large", host=self._address, call=Phrase("call.download"), limit=allowed)
        if self._on_bytes:
            self._on_bytes(state.have, state.total)

    async def _open(self, client: HttpClient, headers: dict[str, str]) -> httpx.Response:
        """GET, following a few redirects; the caller's headers never go along to a redirect's target."""
        url = self._url
        own = await self._headers() if self._headers else httpx.Headers()
        for hop in range(REDIRECTS + 1):
            request = client.build_request("GET", url, headers=headers)
            if hop == 0:
                request.headers.update(own)
            response = await self._await_answer(client, request)
            location = response.extensions.get(MOVED, "")
            if response.status_code not in (301, 302, 303, 307, 308) or not location:
                return response
            await response.aclose()
            url = check_url(_join_address(url, location), self._near, encrypted=httpx.URL(url).scheme == "https")
        raise RenderFailed("download-foreign", reason=Phrase("why.redirects"))

    async def _await_answer(self, client: HttpClient, request: httpx.Request) -> httpx.Response:
        try:
            return await run_within(self._timings.answer, send_request(client, request))
        except asyncio.TimeoutError as error:
            raise ConnectionBroken("answer-timeout", host=self._address, call=Phrase("call.download")) from error


def resolve_address(url: str, near: str) -> str:
    """An output address as it is meant: without blanks around it, and whole where it is only a part of one.

    What lacks host or scheme is taken as an address of the profile's API, `near`.
    """
    text = _AROUND.sub("", url)
    if text and not _SCHEME.match(text):
        base = near if text.startswith("/") else near.rstrip("/") + "/"
        text = _join_address(base, text)
    return _BLANKS.sub(lambda blank: quote(blank[0]) if blank[0] == " " else "", text)


_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_AROUND: Final = re.compile(r"^[\s\ufeff\u200b\"'<]+|[\s\ufeff\u200b\"'>]+$")
_BLANKS: Final = re.compile(r"\s")


def describe_address(url: str) -> str:
    """Host and path of an address, for people: what follows can be a signature."""
    try:
        parsed = httpx.URL(url)
        return sanitize_for_display(f"{parsed.netloc.decode('ascii', 'replace')}{parsed.path}")[:ADDRESS_CHARACTERS]
    except (ValueError, httpx.InvalidURL):
        return "?"


def _is_packed(response: httpx.Response) -> bool:
    """Whether the body is encoded in a way that can be undone; any other name for it is taken for a mistake."""
    return response.headers.get("content-encoding", "").strip().lower() in ("gzip", "x-gzip", "deflate")


def _as_it_is(chunk: bytes) -> Iterator[bytes]:
    yield chunk


_GZIP_MARK: Final = b"\x1f\x8b\x08"


class _Unmarked:
    """Undoes gzip that no header tells of, by the first bytes: no video begins so. Such a body is never resumed."""

    def __init__(self, state: _Progress) -> None:
        self._state = state
        self._head = b""
        self._feed: Callable[[bytes], Iterator[bytes]] | None = None

    @property
    def plain(self) -> bool:
        """Whether the body is known not to be packed: what is still to come needs no look."""
        return self._feed is _as_it_is

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The pieces that `chunk` becomes."""
        if self._feed is None:
            chunk = self._head + chunk
            packed = chunk.startswith(_GZIP_MARK)
            if packed or _GZIP_MARK.startswith(chunk):
                self._state.validator = ""
            if not packed and _GZIP_MARK.startswith(chunk):  # too little to tell
                self._head = chunk
                return
            self._feed = Decoder("gzip").feed if packed else _as_it_is
        yield from self._feed(chunk)


def check_url(url: str, near: str, *, encrypted: bool = False) -> str:
    """`url` if a download for the profile at `near` may go there, as far as its text tells; `RenderFailed` if not.

    http(s) without user-info; https, unless the profile is on loopback and nothing was `encrypted` before; no one's
    own network but the profile's. Names are judged when they are connected to (`_wire.net.transport`).
    """
    try:
        parsed, own = httpx.URL(url), httpx.URL(near)
        host = parsed.raw_host.decode("ascii").strip("[]")
    except (ValueError, httpx.InvalidURL):
        raise RenderFailed("download-foreign", reason=Phrase("why.no-address")) from None
    if parsed.scheme not in ("http", "https") or not host or parsed.userinfo or "@" in parsed.netloc.decode("ascii"):
        raise RenderFailed("download-foreign", reason=Phrase("why.no-plain-address"))
    if not is_host(host) or not 0 <= (parsed.port or 0) < 65536:
        raise RenderFailed("download-foreign", reason=Phrase("why.no-address"))
    if parsed.scheme != "https" and (encrypted or not is_loopback(own.host)):
        raise RenderFailed("download-foreign", reason=Phrase("why.not-encrypted"))
    address = parse_literal_address(host)
    kind = "loopback" if is_loopback(host) else classify_address(address) if address else "public"
    if kind != "public" and (kind not in LIVABLE or _elsewhere(kind, own.host)):
        raise is_foreign(kind)
    return url


def _elsewhere(kind: Kind, near: str) -> bool:
    """Whether the profile's own address says that it does not live among those of that kind; a name does not."""
    if is_loopback(near):
        return kind != "loopback"
    own = parse_literal_address(near)
    return kind == "loopback" if own is None else classify_address(own) != kind


def _join_address(url: str, location: str) -> str:
    """Where a redirect leads to."""
    try:
        return str(httpx.URL(url).join(location))
    except (ValueError, httpx.InvalidURL):
        raise RenderFailed("download-foreign", reason=Phrase("why.no-address")) from None


def _range(state: _Progress) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if state.have:
        headers |= {"Range": f"bytes={state.have}-", "If-Range": state.validator}
    return headers


_CONTENT_RANGE: Final = re.compile(r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")


def _continues(response: httpx.Response, state: _Progress) -> bool:
    """Whether a 206 is the rest of the same file, whatever the server made of If-Range."""
    match = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
    start = int(match[1]) if match and match[1] else None
    return start == state.have and response.headers.get("etag", state.validator) == state.validator


def _length_of(response: httpx.Response) -> int | None:
    match = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
    return int(match[3]) if match and match[3] != "*" else None


def _total_of(response: httpx.Response, have: int) -> int | None:
    if response.status_code == 206:
        return _length_of(response)
    length = response.headers.get("content-length", "")
    return have + int(length) if length.isdigit() and len(length) < 19 else None


def _open_at(target: Path, position: int) -> BinaryIO:
    try:
        file = target.open("r+b" if position else "wb")
        if position:
            file.truncate(position)
            file.seek(position)
    except OSError as error:
        raise disk_error(error, target) from error
    return file


class BatchedFile:
    """A file that is written BATCH bytes at a time by a thread, while the next bytes are gathered in memory.

    Two buffers take turns, so that at most one batch waits for the disk. `written` counts what was given to it, and
    where it was opened.
    """

    def __init__(self, file: BinaryIO, target: Path, total: int | None) -> None:
        """`total` is the size that the file will have, where that is known: no more memory than that is taken."""
        self.written = file.tell()
        self._file = file
        self._target = target
        size = BATCH if total is None else max(min(BATCH, total), 1)
        self._buffers = [memoryview(bytearray(size)), memoryview(bytearray(size))]
        self._filled = 0
        self._writing: asyncio.Future[None] | None = None

    @property
    def room(self) -> memoryview:
        """Where the next bytes go; never empty. `take` says how many there are."""
        return self._buffers[0][self._filled :]

    async def take(self, count: int) -> None:
        """Count bytes that were put into `room`; a full buffer goes to the disk."""
        self._filled += count
        self.written += count
        if self._filled == len(self._buffers[0]):
            await self._hand_over()

    async def write(self, data: bytes) -> None:
        """Copy `data` into the file's buffers."""
        view = memoryview(data)
        while view:
            room = self.room
            count = min(len(room), len(view))
            room[:count] = view[:count]
            await self.take(count)
            view = view[count:]

    async def flush(self) -> None:
        """Wait until all is in the file; a `DiskError` where it cannot be written."""
        await self._hand_over()
        await self._wait()

    async def wait_for_writes(self) -> None:
        """Wait until nothing is being written any more, however that ended."""
        with contextlib.suppress(DiskError):
            await self._wait()

    async def _hand_over(self) -> None:
        await self._wait()
        full, self._filled = self._buffers[0][: self._filled], 0
        if full:
            self._buffers.reverse()
            loop = asyncio.get_running_loop()
            self._writing = loop.run_in_executor(None, _write_chunk, self._file, full, self._target)

    async def _wait(self) -> None:
        if self._writing is None:
            return
        try:
            await asyncio.shield(self._writing)
        except asyncio.CancelledError:  # the file is closed only when no thread writes to it
            await asyncio.wait({self._writing})
            raise
        finally:
            self._writing = None


def _write_chunk(file: BinaryIO, chunk: memoryview, target: Path) -> None:
    try:
        file.write(chunk)
        file.flush()  # here a full disk is told as one; closing the file would tell it too late
    except OSError as error:
        with contextlib.suppress(OSError):
            file.close()
        raise disk_error(error, target) from error

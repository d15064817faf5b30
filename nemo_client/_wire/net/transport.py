"""How a connection is made: to which address, through which proxy, with which certificates.

A `ConnectionBackend` stands below httpcore's connections, so every one of them comes by here: those of calls, streams
and downloads, redirects included. It finds the name itself, judges each address, and connects to the judged one; TLS
above it still asks for the name. So a name that is answered differently the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Final, cast

import httpcore
import httpx

from ..._errors import ConnectError, RenderFailed
from ..._safety.addresses import LIVABLE, Address, Kind, classify_address, is_loopback, parse_literal_address
from ..._text.messages import Phrase
from .proxies import choose_proxy
from .streams import SocketBackend, WholeWrites
from .tunnels import connect_via_proxy

NEXT_ADDRESS_SECONDS: Final = 0.25
"""Without an answer from one address, the next is tried beside it (RFC 8305)."""

KEEPALIVE_SECONDS: Final = 5.0

PROBES: Final[Mapping[str, int]] = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 10}
"""TCP keep-alive: the first probe after 30 s of silence (which also keeps the connection known to routers on the way),
then one each 15 s; a peer that answers none of ten is dead. `TCP_KEEPALIVE` is what macOS calls the first."""

MOVED: Final = "nemo_moved"
"""The extension of an answer that holds its `Location`. httpx does not see it: it would make a request of it even
where none is followed, and fail in its own ways at what is no address."""

_HERE: Final = ("127.0.0.1", "::1")

_Stream = httpcore.AsyncNetworkStream


def load_certificates() -> ssl.SSLContext:
    """The system's certificates beside those httpx brings (for interpreters that find none); always verifying."""
    return _load_certificates(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))


@lru_cache(maxsize=4)
def _load_certificates(file: str, directory: str) -> ssl.SSLContext:
    if file and not Path(file).is_file():
        raise ConnectError(
            "certificates-broken", variable="SSL_CERT_FILE", path=file, reason=Phrase("why.no-such-file")
        )
    if directory and not file and not any(Path(each).is_dir() for each in directory.split(os.pathsep)):
        missing = Phrase("why.no-such-folder")
        raise ConnectError("certificates-broken", variable="SSL_CERT_DIR", path=directory, reason=missing)
    try:
        context = httpx.create_ssl_context()
        context.load_default_certs()
    except OSError as error:  # an ssl.SSLError is one, too
        variable = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
        reason = Phrase("why.no-certificates") if isinstance(error, ssl.SSLError) else str(error.strerror)
        raise ConnectError("certificates-broken", variable=variable, path=file or directory, reason=reason) from error
    return context


class ConnectionBackend(httpcore.AsyncNetworkBackend):
    """Makes the connections for a profile that lives at the host `near`.

    Calls go to the profile's own address, wherever that is. `judged` connections go where the backend says: to public
    addresses, and to those of the kind that the profile itself has (loopback, private …). A profile on loopback gets
    there straight, never through a proxy, which would be given the token, and its calls never leave the machine.
    """

    def __init__(self, near: str, *, judged: bool, hold: bool = False) -> None:
        """With `hold`, small writes of a request go out together (`net.streams`)."""
        self._near = near
        self._judged = judged
        self._hold = hold
        self.local = is_loopback(near)
        self._plain: httpcore.AsyncNetworkBackend = httpcore.AnyIOBackend()

    def without_encryption(self) -> ConnectionBackend:
        """The same for connections that stay as they are: straight on their sockets, where the loop can wait so."""
        other = copy(self)
        if isinstance(self._plain, httpcore.AnyIOBackend) and sys.platform != "win32":
            other._plain = SocketBackend()
        return other

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> _Stream:
        """A connection to `host`, as httpcore asks for it."""
        proxy = None if self.local or is_loopback(host) else choose_proxy(host, port)
        if proxy is not None:
            address = parse_literal_address(host)
            if self._judged and address is not None:
                await self._select_allowed([address], timeout)
            return await connect_via_proxy(proxy, host, port, self._connect, load_certificates, timeout)
        if not self._judged and not self.local:
            return await self._connect(host, port, timeout)
        end = None if timeout is None else asyncio.get_running_loop().time() + timeout
        found = await self._select_allowed(await _find_addresses(host, port, timeout), timeout)
        left = None if end is None else max(end - asyncio.get_running_loop().time(), 0.001)
        return await _connect_first([str(each) for each in found], lambda each: self._connect(each, port, left))

    async def _connect(self, host: str, port: int, timeout: float | None) -> _Stream:
        """The one way in which connections are made: each has keep-alive, for a stream may be silent for minutes."""
        stream = WholeWrites(await self._plain.connect_tcp(host, port, timeout), hold=self._hold)
        keep_alive(stream.get_extra_info("socket"))
        return stream

    async def sleep(self, seconds: float) -> None:
        """As httpcore asks for it."""
        await asyncio.sleep(seconds)

    async def _select_allowed(self, found: list[Address], timeout: float | None) -> list[Address]:
        """Those of the addresses that may be connected to; `RenderFailed` where there is none."""
        kinds: set[Kind] = {"loopback"} if self.local else set()
        if self._judged:
            kinds.add("public")
        if not self.local and any(classify_address(each) != "public" for each in found):
            kinds |= await self._own_kinds(timeout)
        allowed = [each for each in found if classify_address(each) in kinds]
        if not allowed:
            raise is_foreign(classify_address(found[0]))
        return allowed

    async def _own_kinds(self, timeout: float | None) -> set[Kind]:
        """Where the profile itself lives, as far as that can be found from here; nowhere special if also in public."""
        with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
            kinds = {classify_address(each) for each in await _find_addresses(self._near, 443, timeout)}
            return kinds if kinds <= LIVABLE else set()
        return set()


def keep_alive(connection: Any) -> None:
    """Have the operating system look whether the other end of a socket still lives, as far as it can."""
    with contextlib.suppress(OSError, AttributeError):  # none of it is worth a connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in PROBES.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def is_foreign(kind: Kind) -> RenderFailed:
    """An address that nothing is fetched from, in words."""
    if kind in ("loopback", "unspecified"):
        return RenderFailed("download-foreign", reason=Phrase("why.own-machine"))
    if kind in LIVABLE:
        return RenderFailed("download-foreign", reason=Phrase("why.private-network"))
    return RenderFailed("download-foreign", reason=Phrase("why.not-public"))


async def _find_addresses(host: str, port: int, timeout: float | None) -> list[Address]:
    """The addresses of a host, one of each family in turn; `localhost` is this machine, whatever a resolver says."""
    known = parse_literal_address(host)
    if known is not None:
        return [known]
    if is_loopback(host):
        return [address for address in map(parse_literal_address, _HERE) if address is not None]
    loop = asyncio.get_running_loop()
    try:
        asked = loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answers = await asyncio.wait_for(asked, timeout)
    except asyncio.TimeoutError as error:
        raise httpcore.ConnectTimeout from error
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    addresses = [parse_literal_address(str(answer[4][0])) for answer in answers]
    each_once = list(dict.fromkeys(each for each in addresses if each is not None))
    first = [each for each in each_once if each.version == each_once[0].version]
    second = [each for each in each_once if each.version != each_once[0].version]
    return [each for each in chain.from_iterable(zip_longest(first, second)) if each is not None]


async def _connect_first(addresses: list[str], connect: Callable[[str], Awaitable[_Stream]]) -> _Stream:
    """The connection that is there first; a failure, or a moment without an answer, starts the next one."""
    waiting, pending, last = list(addresses), set[asyncio.Future[_Stream]](), None
    try:
        while waiting or pending:
            if waiting:
                pending.add(asyncio.ensure_future(connect(waiting.pop(0))))
            pause = NEXT_ADDRESS_SECONDS if waiting else None
            done, pending = await asyncio.wait(pending, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None:
                    pending |= done - {task}
                    return task.result()
                last = task.exception()
        raise last or httpcore.ConnectError()
    finally:
        for task in pending:
            task.cancel()
        for made in await asyncio.gather(*pending, return_exceptions=True):
            if isinstance(made, httpcore.AsyncNetworkStream):
                await made.aclose()


class Transport(httpx.AsyncBaseTransport):
    """What httpx sends by: connections along a `ConnectionBackend`, encrypted everywhere but on this machine."""

    def __init__(self, road: ConnectionBackend, most: int | None) -> None:
        """`most` connections are open at once and kept for a while; None is any number, and none is kept."""
        self._road = road
        self._most = most
        self._pools: dict[str, httpcore.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and answer once the headers are there."""
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=cast("AsyncIterator[bytes]", request.stream),
            extensions=request.extensions,
        )
        pool = self._choose_pool(url)
        with _as_httpx():
            answer = await pool.handle_async_request(asked)
        headers = [(name, value) for name, value in answer.headers if name.lower() != b"location"]
        moved = [value for name, value in answer.headers if name.lower() == b"location"]
        more = {**answer.extensions, MOVED: moved[0].decode("latin-1") if moved else ""}
        body = _Body(cast("AsyncIterator[bytes]", answer.stream))
        return httpx.Response(answer.status, headers=headers, stream=body, extensions=more)

    async def aclose(self) -> None:
        """Close the connections."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.aclose()

    def _choose_pool(self, url: httpx.URL) -> httpcore.AsyncConnectionPool:
        if url.scheme not in self._pools:
            if url.scheme != "https" and not self._road.local:
                raise ConnectError("connect-refused", host=url.host, reason=Phrase("why.not-encrypted"))
            self._pools[url.scheme] = httpcore.AsyncConnectionPool(
                ssl_context=load_certificates() if url.scheme == "https" else None,
                max_connections=self._most,
                max_keepalive_connections=self._most or 0,
                keepalive_expiry=KEEPALIVE_SECONDS,
                network_backend=self._road if url.scheme == "https" else self._road.without_encryption(),
            )
        return self._pools[url.scheme]


class RestOfBody:
    """What is still to come of an answer's body of known length, read from its connection into the reader's own room.

    Everything that httpcore has of it by then is the first piece of `aiter_raw`: h11 gives all that it holds at once.
    """

    def __init__(self, stream: WholeWrites, left: int, timeout: float | None) -> None:
        self.left = left
        self._stream = stream
        self._timeout = timeout

    async def read_into(self, room: memoryview) -> int:
        """Read into `room`; how many bytes came. Raises httpx's exceptions, also for an end that comes too early."""
        with _as_httpx():
            count = await self._stream.read_into(room[: self.left], self._timeout)
        if not count:
            raise httpx.RemoteProtocolError("the connection ended in a body")
        self.left -= count
        return count


def find_rest_of_body(response: httpx.Response) -> RestOfBody | None:
    """The body of an answer of which nothing was read yet; None where its length, or what it comes by, is not known."""
    stream, length = response.extensions.get("network_stream"), response.headers.get("content-length", "")
    plain = "transfer-encoding" not in response.headers and response.extensions.get("http_version") == b"HTTP/1.1"
    if not isinstance(stream, WholeWrites) or not plain or not length.isascii() or not length.isdigit():
        return None
    timeout = response.request.extensions.get("timeout", {}).get("read")
    return RestOfBody(stream, int(length), timeout) if len(length) < 19 else None


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


_NAMES: Final = (
    "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout", "TimeoutException", "ConnectError", "ReadError",
    "WriteError", "NetworkError", "LocalProtocolError", "RemoteProtocolError", "ProtocolError", "UnsupportedProtocol",
)  # fmt: skip
_SAME: Final[Mapping[type[Exception], type[httpx.TransportError]]] = {
    getattr(httpcore, name): getattr(httpx, name) for name in _NAMES
}


@contextmanager
def _as_httpx() -> Iterator[None]:
    """httpcore's exceptions as those of httpx, which have the same names."""
    try:
        yield
    except tuple(_SAME) as error:
        raise next(ours for theirs, ours in _SAME.items() if isinstance(error, theirs))(str(error)) from error
    except ssl.SSLCertVerificationError as error:  # older versions of httpcore hand these on as they are
        raise httpx.ConnectError(str(error)) from error
    except ssl.SSLError as error:
        raise httpx.NetworkError(str(error)) from error

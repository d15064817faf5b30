"""Through a proxy to a host: HTTP's CONNECT (RFC 9110, 9.3.6) and SOCKS5 (RFC 1928, RFC 1929).

Whatever goes wrong here happens before a byte of a request is written, so it is always a `ConnectError`. The wait for
the proxy is bounded as a whole, and so is what it may say.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address
from typing import Final

import httpcore
import httpx

from ..._errors import ConnectError
from ..._safety.addresses import parse_literal_address
from ..._text.messages import Phrase
from .proxies import Proxy

MAX_HEAD_BYTES: Final = 64 * 1024
_PIECE: Final = 4096

Connect = Callable[[str, int, float | None], Awaitable[httpcore.AsyncNetworkStream]]


class _Refused(Exception):
    """The proxy refused, or broke the protocol; `reason_id` and `facts` name the text that says it."""

    def __init__(self, reason_id: str, **facts: int) -> None:
        super().__init__(reason_id)
        self.reason_id = reason_id
        self.facts = facts


class _Talk:
    """What is said to a proxy; `left` tells how many seconds are left for all of it."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, left: Callable[[], float | None]) -> None:
        self._stream = stream
        self._left = left

    async def say(self, data: bytes) -> None:
        await self._stream.write(data, self._left())

    async def exactly(self, count: int) -> bytes:
        """The next `count` bytes, and nothing of what comes after them."""
        data = b""
        while len(data) < count:
            data += await self._read_some(count - len(data))
        return data

    async def head(self) -> bytes:
        """Up to the empty line that ends the headers of an HTTP answer."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self._read_some(_PIECE)
            if len(data) > MAX_HEAD_BYTES:
                raise _Refused("why.no-http")
        return data

    async def _read_some(self, most: int) -> bytes:
        data = await self._stream.read(most, self._left())
        if not data:
            raise _Refused("why.closed")
        return data


async def connect_via_proxy(
    proxy: Proxy,
    host: str,
    port: int,
    connect: Connect,
    certificates: Callable[[], ssl.SSLContext],
    timeout: float | None,
) -> httpcore.AsyncNetworkStream:
    """A connection to `host` by way of `proxy`, which finds the name; a `ConnectError` that says what was wrong."""
    left = _make_countdown(timeout)
    stream: httpcore.AsyncNetworkStream | None = None
    reached = False
    try:
        stream = await connect(proxy.host, proxy.port, left())
        if proxy.scheme == "https":
            stream = await stream.start_tls(certificates(), proxy.host, left())
        await (_connect_socks5 if proxy.scheme == "socks5" else _connect_http)(_Talk(stream, left), proxy, host, port)
        reached = True
    except _Refused as error:
        raise ConnectError(
            "connect-proxy", host=host, proxy=proxy.shown, reason=Phrase(error.reason_id, **error.facts)
        ) from None
    except httpcore.TimeoutException as error:
        reason: str = Phrase("why.no-answer")
        raise ConnectError("connect-proxy", host=host, proxy=proxy.shown, reason=reason) from error
    except (httpcore.NetworkError, ssl.SSLError) as error:
        reason = describe_reason(error)
        raise ConnectError("connect-proxy", host=host, proxy=proxy.shown, reason=reason) from error
    finally:
        if stream is not None and not reached:
            await stream.aclose()
    return stream


def _make_countdown(timeout: float | None) -> Callable[[], float | None]:
    clock = asyncio.get_running_loop().time
    end = None if timeout is None else clock() + timeout
    return lambda: None if end is None else max(end - clock(), 0.001)


async def _connect_http(talk: _Talk, proxy: Proxy, host: str, port: int) -> None:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", "User-Agent: nemo-video"]
    if proxy.basic:
        lines.append(f"Proxy-Authorization: Basic {proxy.basic.decode()}")
    await talk.say("\r\n".join([*lines, "", ""]).encode("ascii"))
    head, _, rest = (await talk.head()).partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] (\d{3})(?: |\r|$)", head)
    if status is None:
        raise _Refused("why.no-http")
    if status[1] == b"407":
        raise _Refused("why.asks-sign-in")
    if not status[1].startswith(b"2"):
        raise _Refused("why.answered-http", status=int(status[1]))
    if rest:  # the host behind it says nothing before it is spoken to
        raise _Refused("why.no-http")


_SOCKS_REPLIES: Final = {
    2: "why.not-allowed",
    3: "why.network-unreachable",
    4: "why.host-unreachable",
    5: "why.host-refused",
    6: "why.host-unreachable",
}


async def _connect_socks5(talk: _Talk, proxy: Proxy, host: str, port: int) -> None:
    await _sign_in(talk, proxy)
    address = parse_literal_address(host)
    if address is None:
        name = host.encode("ascii")
        target = b"\x03" + bytes([len(name)]) + name
    else:
        target = (b"\x01" if isinstance(address, IPv4Address) else b"\x04") + address.packed
    await talk.say(b"\x05\x01\x00" + target + port.to_bytes(2, "big"))
    version, reply, _, kind = await talk.exactly(4)
    if version != 5:
        raise _Refused("why.no-socks5")
    if reply:
        raise _Refused(_SOCKS_REPLIES.get(reply, "why.no-connection"))
    if kind not in (1, 3, 4):
        raise _Refused("why.no-socks5")
    length = {1: 4, 4: 16}.get(kind) or (await talk.exactly(1))[0]
    await talk.exactly(length + 2)  # where it connects from


async def _sign_in(talk: _Talk, proxy: Proxy) -> None:
    named = bool(proxy.user or proxy.password)
    await talk.say(b"\x05\x02\x00\x02" if named else b"\x05\x01\x00")
    version, method = await talk.exactly(2)
    if version != 5:
        raise _Refused("why.no-socks5")
    if method == 0:
        return
    if method != 2 or not named:
        raise _Refused("why.asks-sign-in")
    given = (bytes([len(each)]) + each for each in (proxy.user, proxy.password))
    await talk.say(b"\x01" + b"".join(given))
    if (await talk.exactly(2))[1]:
        raise _Refused("why.sign-in-refused")


CUT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError)
"""The other side ended a connection while it was being made."""


def iterate_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what lies behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_SYSTEM_REASONS: Final = {
    errno.ENETUNREACH: "why.no-network",
    errno.EHOSTUNREACH: "why.no-route",
}
"""The usual reasons in words of ours, since the operating system's are English only."""


def describe_reason(error: BaseException) -> str:
    """Why a connection failed: in our words for the usual reasons, else in the operating system's."""
    for cause in iterate_causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return str(cause.verify_message).rstrip(".")
        if isinstance(cause, CUT):
            return Phrase("why.closed")
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return cause.reason.replace("_", " ").lower()
        if isinstance(cause, ConnectionRefusedError):
            return Phrase("why.connection-refused")
        if isinstance(cause, OSError) and (known := _SYSTEM_REASONS.get(cause.errno or 0)):
            return Phrase(known)
        if isinstance(cause, OSError) and cause.strerror:  # asyncio puts words of its own there
            return os.strerror(cause.errno or 0) if "Connect call failed" in cause.strerror else cause.strerror
    if isinstance(error, (httpcore.NetworkError, httpx.ConnectError)):
        return Phrase("why.closed")
    return type(error).__name__

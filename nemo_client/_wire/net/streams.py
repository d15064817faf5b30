"""The bytes of a connection: fewer calls of the operating system, larger pieces, no copies where none are needed.

`WholeWrites` stands above any stream of httpcore. `SocketStream` is one for what is not encrypted, straight on a
non-blocking socket: bytes go from the caller's buffer to the socket and from there into the caller's.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

import httpcore

SMALL: Final = 16 * 1024
"""Bytes that are put together with what comes behind them: a request's headers and a body as small as most."""
PIECE: Final = 256 * 1024
"""The most bytes that are handed on at a time: the time-out of a write is one for each of them."""
READ: Final = 1024 * 1024


class WholeWrites(httpcore.AsyncNetworkStream):
    """A connection whose small writes go out together, at the next read or at the empty write that ends a request.

    With `hold` false every write goes out at once. What the connection is made of is looked up once: httpcore asks
    all idle connections at each step of any whether something came.
    """

    def __init__(self, inner: httpcore.AsyncNetworkStream, *, hold: bool) -> None:
        self._inner = inner
        self._hold = hold
        self._held = b""
        self._socket: Any = inner.get_extra_info("socket")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Up to `max_bytes`; empty at the end."""
        await self._flush(timeout)
        return await self._inner.read(max_bytes, timeout)

    async def read_into(self, room: memoryview, timeout: float | None = None) -> int:
        """Read into `room`; how many bytes came, 0 at the end."""
        await self._flush(timeout)
        if isinstance(self._inner, SocketStream):
            return await self._inner.read_into(room, timeout)
        data = await self._inner.read(min(len(room), PIECE), timeout)
        room[: len(data)] = data
        return len(data)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of `buffer`, or hold it until there is more to send with it."""
        if self._hold and buffer and len(self._held) + len(buffer) <= SMALL:
            self._held += buffer
            return
        await self._flush(timeout)
        await self._send(buffer, timeout)

    async def _flush(self, timeout: float | None) -> None:
        if self._held:
            held, self._held = self._held, b""
            await self._send(held, timeout)

    async def _send(self, buffer: bytes, timeout: float | None) -> None:
        if len(buffer) <= PIECE or isinstance(self._inner, SocketStream):  # which counts the silence between its sends
            await self._inner.write(buffer, timeout)
            return
        view = memoryview(buffer)
        for start in range(0, len(view), PIECE):
            await self._inner.write(view[start : start + PIECE], timeout)  # type: ignore[arg-type] # bytes-like

    async def aclose(self) -> None:
        """Close the connection; what is held is not sent."""
        self._held = b""
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same connection, encrypted."""
        await self._flush(timeout)
        inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return WholeWrites(inner, hold=self._hold)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks a connection for."""
        if info == "socket":
            return self._socket
        if info == "is_readable" and self._socket is not None:
            return is_readable(self._socket)
        return self._inner.get_extra_info(info)


def is_readable(connection: Any) -> bool:
    """Whether a read of this socket would give something at once: data, or its end. One that is closed is."""
    number = connection.fileno()
    if number < 0:
        return True
    if sys.platform == "win32":
        return bool(select.select([number], [], [], 0)[0])
    looking = select.poll()
    looking.register(number, select.POLLIN)
    return bool(looking.poll(0))


class SocketBackend(httpcore.AsyncNetworkBackend):
    """Makes `SocketStream`s; `host` is an address, for which no name has to be found."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to an address, as httpcore asks for it."""
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        stream = SocketStream(made)
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if (failed := made.connect_ex((host, port))) not in (0, errno.EINPROGRESS):
                raise OSError(failed, os.strerror(failed))
            if failed:
                await stream.wait_writable(timeout, httpcore.ConnectTimeout)
                if failed := made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(failed, os.strerror(failed))
        except OSError as error:
            made.close()
            raise httpcore.ConnectError(str(error)) from error
        except BaseException:
            made.close()
            raise
        return stream


class SocketStream(httpcore.AsyncNetworkStream):
    """A connection that is not encrypted, on a non-blocking socket of its own."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._waits: set[asyncio.Future[None]] = set()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Up to `max_bytes`; empty at the end."""
        data: bytes = await self._receive(lambda: self._socket.recv(max_bytes), timeout)
        return data

    async def read_into(self, room: memoryview, timeout: float | None = None) -> int:
        """Read into `room`; how many bytes came, 0 at the end."""
        count: int = await self._receive(lambda: self._socket.recv_into(room, min(len(room), READ)), timeout)
        return count

    async def _receive(self, receive: Callable[[], Any], timeout: float | None) -> Any:
        await asyncio.sleep(0)  # others come to their turn, however much lies ready here
        while True:
            try:
                return receive()
            except (BlockingIOError, InterruptedError):
                await self._wait_readable(timeout)
            except OSError as error:
                raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of `buffer`; `timeout` is for the silence of the other side."""
        left = memoryview(buffer)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except (BlockingIOError, InterruptedError):
                await self.wait_writable(timeout, httpcore.WriteTimeout)
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error

    async def _wait_readable(self, timeout: float | None) -> None:
        loop, number = asyncio.get_running_loop(), self._socket.fileno()
        if number < 0:
            raise httpcore.ReadError
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(number, _end_wait, ready)
        await self._wait_for(ready, timeout, httpcore.ReadTimeout, loop.remove_reader)

    async def wait_writable(self, timeout: float | None, late: type[Exception]) -> None:
        """Wait until something can be sent; raise `late` where that takes longer than `timeout` seconds."""
        loop, number = asyncio.get_running_loop(), self._socket.fileno()
        if number < 0:
            raise httpcore.WriteError
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(number, _end_wait, ready)
        await self._wait_for(ready, timeout, late, loop.remove_writer)

    async def _wait_for(
        self,
        ready: asyncio.Future[None],
        timeout: float | None,
        late: type[Exception],
        remove: Callable[[int], object],
    ) -> None:
        number, loop = self._socket.fileno(), asyncio.get_running_loop()
        timer = None if timeout is None else loop.call_later(timeout, _end_wait, ready, late)
        self._waits.add(ready)
        try:
            await ready
        finally:
            self._waits.discard(ready)
            if timer is not None:
                timer.cancel()
            if self._socket.fileno() == number:  # else it was closed meanwhile, and the number may be another's
                remove(number)

    async def aclose(self) -> None:
        """Close the connection; who still waits for it is told."""
        number = self._socket.fileno()
        if number < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(number)
        loop.remove_writer(number)
        self._socket.close()
        for each in self._waits:
            _end_wait(each, httpcore.ReadError)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Not here: encrypted connections are made by httpcore's own backend."""
        raise NotImplementedError

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks a connection for."""
        if info == "socket":
            return self._socket
        if info == "is_readable":
            return is_readable(self._socket)
        if info in ("client_addr", "server_addr"):
            return self._socket.getsockname() if info == "client_addr" else self._socket.getpeername()
        return None


def _end_wait(ready: asyncio.Future[None], failure: type[Exception] | None = None) -> None:
    if ready.done():
        return
    if failure is None:
        ready.set_result(None)
    else:
        ready.set_exception(failure())

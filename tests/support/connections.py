"""What the tests of connections share: names of our own, certificates, and small proxies, all on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Names:
    """A resolver that knows only what a test says; each name with its answers in turn, the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self._usual = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def set(self, name: str, *answers: list[str]) -> None:
        self.known[name] = list(answers)

    def _answer(self, host: Any, port: Any, *rest: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name)
            return self._usual(host, port, *rest, **options)
        self.asked.append(name)
        answers = self.known.get(name)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (
                socket.AF_INET6 if ":" in each else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (each, port),
            )
            for each in found
        ]


def has_ipv6() -> bool:
    """Whether this machine can listen on ::1; containers often cannot."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def served(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """What a server shows with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def trusted(monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, path: Path) -> None:
    """Let the environment name this authority's certificate, as a company's is named."""
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


@dataclass
class ProxyServer:
    """A proxy on loopback: what it was asked for, and where each `host:port` really leads."""

    routes: Mapping[str, int]
    url: str = ""
    port: int = 0
    targets: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    passed: bytearray = field(default_factory=bytearray)
    says: bytes | None = None
    silent: bool = False
    user: tuple[bytes, bytes] | None = None


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None = None) -> None:
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if kept is not None:
                    kept += data
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


async def _joined(proxy: ProxyServer, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_pipe(reader, there_writer, proxy.passed), _pipe(there_reader, writer))


@contextlib.asynccontextmanager
async def listening(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that talks in any way; its port."""
    talks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await talk(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    server = await asyncio.start_server(
        lambda reader, writer: talks.add(asyncio.ensure_future(one(reader, writer))), "127.0.0.1", 0, ssl=tls
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


@contextlib.asynccontextmanager
async def http_proxy(tls: ssl.SSLContext | None = None, **routes: int) -> AsyncIterator[ProxyServer]:
    """A proxy that knows CONNECT; `says` is its answer instead."""
    proxy = ProxyServer({name.replace("__", "."): port for name, port in routes.items()})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        proxy.heads.append(head)
        target = head.split(b" ")[1].decode()
        proxy.targets.append(target)
        if proxy.silent:
            await asyncio.sleep(60)
        writer.write(proxy.says or b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        if proxy.says is None:
            await _joined(proxy, proxy.routes[target.rpartition(":")[0]], reader, writer)

    async with listening(talk, tls) as port:
        proxy.port, proxy.url = port, f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        yield proxy


@contextlib.asynccontextmanager
async def socks_proxy(**routes: int) -> AsyncIterator[ProxyServer]:
    """A proxy that speaks SOCKS5, with a user name where `user` is set; `says` is its reply instead."""
    proxy = ProxyServer({name.replace("__", "."): port for name, port in routes.items()})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        proxy.heads.append(bytes([version]) + methods)
        if proxy.silent:
            await asyncio.sleep(60)
        method = 2 if proxy.user else 0
        writer.write(bytes([5, method if method in methods else 255]))
        if method and method in methods:
            _, length = await reader.readexactly(2)
            name = await reader.readexactly(length)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(bytes([1, (name, password) != proxy.user]))
        _, _, _, kind = await reader.readexactly(4)
        size = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        raw = await reader.readexactly(size)
        host = raw.decode() if kind == 3 else str(ipaddress.ip_address(raw))
        proxy.targets.append(f"{host}:{int.from_bytes(await reader.readexactly(2), 'big')}")
        writer.write(proxy.says or b"\x05\x00\x00\x03\x07in.test\x00\x50")
        await writer.drain()
        if proxy.says is None:
            await _joined(proxy, proxy.routes[host], reader, writer)

    async with listening(talk) as port:
        proxy.port, proxy.url = port, f"socks5://127.0.0.1:{port}"
        yield proxy

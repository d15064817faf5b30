"""A TCP proxy that does to bytes what no network should: flips, drops, doubles, cuts and delays."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

IDLE_SECONDS = 0.4
"""A silent connection is closed: who waits for bytes that were dropped must not wait for a minute."""

Kind = Literal["flip", "drop", "double", "put", "cut", "reset", "delay"]


@dataclass(frozen=True)
class Mischief:
    """One thing that happens to the bytes of connection number `connection`, from its byte `at` on."""

    connection: int
    upwards: bool
    at: int
    kind: Kind
    size: int = 1


@dataclass
class MutatingProxy:
    """A running proxy; `mischief` may be changed at any time, `done` is what has happened."""

    url: str = ""
    mischief: Sequence[Mischief] = ()
    done: list[Mischief] = field(default_factory=list)
    connections: int = 0


@contextlib.asynccontextmanager
async def mutating(host: str, port: int, mischief: Sequence[Mischief] = ()) -> AsyncIterator[MutatingProxy]:
    """A proxy before `host`:`port` on loopback."""
    proxy = MutatingProxy(mischief=mischief)
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(host, port)
            mine = [each for each in proxy.mischief if each.connection == number]
            ways = [
                asyncio.ensure_future(_pump(reader, far_writer, [each for each in mine if each.upwards], proxy)),
                asyncio.ensure_future(_pump(far_reader, writer, [each for each in mine if not each.upwards], proxy)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                for end in (writer, far_writer):
                    end.close()
                    with contextlib.suppress(OSError):
                        await end.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(talk(reader, writer, proxy.connections))
        proxy.connections += 1
        talks.add(task)
        task.add_done_callback(talks.discard)

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        listener.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await listener.wait_closed()


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, mischief: list[Mischief], proxy: MutatingProxy
) -> None:
    """Hand bytes on, with what shall happen to them, until the source ends or is silent."""
    passed = 0
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        while chunk := await asyncio.wait_for(source.read(65536), IDLE_SECONDS):
            here = [each for each in mischief if passed <= each.at < passed + len(chunk)]
            data = bytearray(chunk)
            for each in sorted(here, key=lambda one: -one.at):  # from the end: places before stay where they are
                proxy.done.append(each)
                at = each.at - passed
                if each.kind == "delay":
                    await asyncio.sleep(0.02 * each.size)
                elif each.kind == "reset":
                    sink.transport.abort()
                    return
                elif _spoil(data, at, each) == "cut":
                    sink.write(bytes(data))
                    await sink.drain()
                    return
            passed += len(chunk)
            sink.write(bytes(data))
            await sink.drain()
        with contextlib.suppress(OSError, RuntimeError):
            sink.write_eof()


def _spoil(data: bytearray, at: int, what: Mischief) -> str:
    if what.kind == "flip":
        data[at] ^= 1 << (what.size % 8)
    elif what.kind == "drop":
        del data[at : at + what.size]
    elif what.kind == "double":
        data[at:at] = data[at : at + what.size]
    elif what.kind == "put":
        data[at:at] = b"\r\n\0\xff{}"[: what.size]
    elif what.kind == "cut":
        del data[at:]
    return what.kind

"""Answers in bounded time and memory: encodings undone piece by piece, and waits that end.

httpx undoes `Content-Encoding` a chunk at a time, however large it gets, and any number of encodings on top of
each other: 64 KiB can become 60 GiB. And its time-outs are for a silent line; one byte a minute never ends.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, Final, TypeVar

import httpx

_T = TypeVar("_T")

PIECE: Final = 256 * 1024
"""The most bytes that an encoded answer becomes at a time."""

ENCODINGS: Final = ("gzip", "deflate")
_GZIP: Final = 16 + zlib.MAX_WBITS


class Undecodable(ValueError):
    """An encoding that was not asked for (`known` is false), or bytes that are none of theirs."""

    def __init__(self, encoding: str, *, known: bool) -> None:
        super().__init__(encoding)
        self.encoding = encoding
        self.known = known


class Decoder:
    """Undoes one `Content-Encoding`, in pieces of at most PIECE bytes; what is not encoded stays as it is."""

    def __init__(self, encoding: str) -> None:
        """Raises `Undecodable` for an encoding that is not one of ENCODINGS, or several on top of each other."""
        self._encoding = encoding.strip().lower()
        if self._encoding == "x-gzip":
            self._encoding = "gzip"
        if self._encoding not in ("", "identity", *ENCODINGS):
            raise Undecodable(self._encoding[:40], known=False)
        self._zlib = zlib.decompressobj(_GZIP if self._encoding == "gzip" else zlib.MAX_WBITS)
        self._head: bytes | None = b"" if self._encoding == "deflate" else None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that `data` becomes; raises `Undecodable` for bytes that are not encoded so."""
        if self._encoding in ("", "identity"):
            yield data
            return
        if self._head is not None:  # two bytes tell whether the wrapping that the name promises is there
            data = self._head + data
            self._head = data if len(data) < 2 else None
            if self._head is not None:
                return
            if (data[0] & 15, (data[0] << 8 | data[1]) % 31) != (zlib.DEFLATED, 0):
                self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
        full = False
        while data or full:
            piece = self._inflate(data)
            data = self._zlib.unconsumed_tail
            full = len(piece) == PIECE
            if piece:
                yield piece
            if self._zlib.eof:
                data, full = self._after_end(), False

    def _inflate(self, data: bytes) -> bytes:
        try:
            return self._zlib.decompress(data, PIECE)
        except zlib.error as error:
            raise Undecodable(self._encoding, known=True) from error

    def _after_end(self) -> bytes:
        """What follows the end: another member of a gzip file counts, anything else does not."""
        rest = self._zlib.unused_data
        if self._encoding != "gzip" or rest[:2] != b"\x1f\x8b":
            return b""
        self._zlib = zlib.decompressobj(_GZIP)
        return rest


async def decode_body(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body of a streamed answer in pieces that are never large; raises `Undecodable`."""
    decoder = Decoder(response.headers.get("content-encoding", ""))
    async for chunk in response.aiter_raw():
        for piece in decoder.feed(chunk):
            yield piece


async def run_within(seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
    """What `work` returns, or `asyncio.TimeoutError` after `seconds`; it has ended then.

    Unlike `asyncio.wait_for` before Python 3.12 it never loses a cancel that comes as the work ends.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(
        lambda ended: ended.cancelled() or ended.exception()
    )  # looked at, also where no caller waits
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    raise asyncio.TimeoutError

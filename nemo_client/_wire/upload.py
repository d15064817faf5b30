"""Files to the backend: streaming multipart bodies in constant memory."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .._errors import DiskError, InputError
from .._text.messages import Phrase, describe_os_error

CHUNK: Final = 1024 * 1024
AHEAD: Final = 2
"""Chunks that are read by one hop to another thread, while those before are sent: what the disk has to be asked for."""
_IN_MEMORY: Final = getattr(os, "RWF_NOWAIT", None) if hasattr(os, "preadv") else None
"""The flag of a read that is refused where it had to wait for the disk; None where the system has none (Linux has)."""

OnBytes = Callable[[int, int | None], None]
"""Called with bytes moved so far and the total, where that is known."""


@dataclass(frozen=True)
class UploadPart:
    """One file to send: its name on the wire, its type, and where its bytes are."""

    name: str
    mime: str
    source: Path | bytes

    @property
    def size(self) -> int:
        """Bytes; an `InputError` if the file is no longer there."""
        if isinstance(self.source, bytes):
            return len(self.source)
        try:
            return self.source.stat().st_size
        except OSError as error:
            raise self.make_unreadable_error(error) from error

    def make_unreadable_error(self, error: OSError) -> InputError:
        """The file cannot be read, in words."""
        return InputError("file-unreadable", name=self.name, reason=describe_os_error(error, type(error).__name__))


class Multipart:
    """A multipart body of parts named `files`, made chunk by chunk. `length` is known beforehand."""

    def __init__(self, parts: Sequence[UploadPart], on_bytes: OnBytes | None = None) -> None:
        self._boundary = f"nemo-{uuid.uuid4().hex}"
        self._parts = [(self._make_part_head(part), part, part.size) for part in parts]
        self._tail = f"--{self._boundary}--\r\n".encode()
        self._on_bytes = on_bytes
        self.length = sum(len(head) + size + 2 for head, _, size in self._parts) + len(self._tail)

    @property
    def headers(self) -> dict[str, str]:
        """Content-Type and Content-Length of this body."""
        return {
            "Content-Type": f"multipart/form-data; boundary={self._boundary}",
            "Content-Length": str(self.length),
        }

    def _make_part_head(self, part: UploadPart) -> bytes:
        name = re.sub(r'[\x00-\x1f"\\\x7f]', "_", part.name)
        return (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
            f"Content-Type: {part.mime}\r\n\r\n"
        ).encode()

    async def stream(self) -> AsyncIterator[bytes]:
        """The body; a file that shrinks or grows on the way is an error, since its length was announced."""
        sent = 0
        for head, part, size in self._parts:
            yield head
            async for chunk in _read(part, size):
                yield chunk
                sent += len(chunk)
                if self._on_bytes:
                    self._on_bytes(sent, self.length)
            yield b"\r\n"
        yield self._tail


async def _read(part: UploadPart, size: int) -> AsyncIterator[bytes]:
    if isinstance(part.source, bytes):
        for start in range(0, size, CHUNK):
            yield part.source[start : start + CHUNK]
        return
    left, grown = size, False
    try:
        with part.source.open("rb", buffering=0) as file:
            async with aclosing(_read_ahead(file, size)) as chunks:
                async for chunk in chunks:
                    left -= len(chunk)
                    yield chunk
            grown = not left and bool(file.read(1))
    except OSError as error:
        raise part.make_unreadable_error(error) from error
    if left or grown:
        raise InputError("file-unreadable", name=part.name, reason=Phrase("why.changed-sent"))


async def _read_ahead(file: io.FileIO, size: int) -> AsyncGenerator[bytes, None]:
    """Up to `size` bytes of a file, in chunks.

    What the system holds in memory is read where it is sent; for the rest a thread asks the disk, ahead of the sending.
    """
    position, coming = 0, None
    try:
        coming = _start_reading(file, size)
        while position < size:
            if coming is None:
                chunks = [file.read(min(CHUNK, size - position))]
                await asyncio.sleep(0)  # others come to their turn, however quickly this is sent
            else:
                chunks = await asyncio.shield(coming)
            if not any(chunks):
                return
            position += sum(map(len, chunks))
            coming = _start_reading(file, size - position)
            for chunk in chunks:
                yield chunk
            del chunks
    finally:
        if coming is not None and not coming.done():  # the file is closed only when no thread reads it
            await asyncio.wait({coming})


def _start_reading(file: io.FileIO, most: int) -> asyncio.Future[list[bytes]] | None:
    """Have a thread read the next chunks of the `most` bytes left; None where the first needs no wait for the disk."""
    if most <= 0 or _is_in_memory(file, min(CHUNK, most)):
        return None
    return asyncio.ensure_future(asyncio.to_thread(_read_chunks, file, most))


def _is_in_memory(file: io.FileIO, count: int) -> bool:
    """Whether the next `count` bytes are read without waiting for the disk, by their first and their last one."""
    if _IN_MEMORY is None:
        return False
    start, one = file.tell(), [bytearray(1)]
    try:
        return all(os.preadv(file.fileno(), one, place, _IN_MEMORY) for place in (start, start + count - 1))
    except OSError:  # it would wait, or the file system cannot tell
        return False


def _read_chunks(file: io.FileIO, most: int) -> list[bytes]:
    chunks: list[bytes] = []
    while most > 0 and len(chunks) < AHEAD and (chunk := file.read(min(CHUNK, most))):
        chunks.append(chunk)
        most -= len(chunk)
    return chunks


@dataclass
class _Progress:
    """How far a download is, and what it may be continued against."""

    have: int = 0
    moved: int = 0  # in all tries
    total: int | None = None
    validator: str = ""


def disk_error(error: OSError, path: Path) -> DiskError:
    """An OSError on `path` in words: full, or not writable and why."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)):
        return DiskError("disk-full", path=path)
    return DiskError("disk-unwritable", path=path, reason=describe_os_error(error, type(error).__name__))

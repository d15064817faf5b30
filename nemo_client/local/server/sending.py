"""How an answer goes out: JSON, files with ranges, and streams of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from aiohttp import web

from ..agent.dialects import HEARTBEATS
from ..shared.behaviour import CallBehaviour
from ..shared.replies import FileReply, JsonReply, RawReply
from ..shared.writer import cut_connection

FILE_CHUNK = 256 * 1024


class EventSource(Protocol):
    """Frames of an event stream, and what happens to the work when the client is gone."""

    async def next(self) -> bytes | None: ...

    def hung_up(self) -> None: ...


@dataclass
class StreamReply:
    source: EventSource


Reply = JsonReply | RawReply | FileReply | StreamReply


async def send(request: web.Request, reply: Reply, behaviour: CallBehaviour) -> web.StreamResponse:
    """Answer with `reply`; the response returned is already sent, or is closed."""
    if (closed := await behaviour.before_headers(request, reply)) is not None:
        return closed
    if isinstance(reply, JsonReply):
        reply = RawReply(behaviour.change_body(reply.body), status=reply.status, headers=reply.headers)
    if isinstance(reply, StreamReply):
        return await _send_stream(request, reply, behaviour)
    if isinstance(reply, FileReply):
        return await _send_file(request, reply, behaviour)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = reply.content_type
    response.content_length = len(reply.body)
    return await _send_body(request, response, _yield_once(reply.body), behaviour)


async def _yield_once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _send_body(
    request: web.Request, response: web.StreamResponse, chunks: AsyncIterator[bytes], behaviour: CallBehaviour
) -> web.StreamResponse:
    behaviour.change_response(response)
    writer = behaviour.make_writer(request, response)
    try:
        await writer.start()
        if request.method != "HEAD":
            async for chunk in chunks:
                await writer.write(chunk)
        await writer.end()
    except ConnectionError:
        cut_connection(request, reset=False)
    return response


async def _send_stream(request: web.Request, reply: StreamReply, behaviour: CallBehaviour) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    behaviour.change_response(response)
    writer = behaviour.make_writer(request, response)
    events = 0
    whole = False
    try:
        await writer.start()
        while (frame := await reply.source.next()) is not None and not writer.hung_up:
            if frame not in HEARTBEATS:
                events += 1
                await behaviour.before_event(writer, events)
                frame = behaviour.change_event(frame, events)
            await writer.write(frame)
            if behaviour.ends_after(events):
                whole = behaviour.ends_whole
                break
        else:
            whole = frame is None
        if await behaviour.after_events(writer):
            return response
        await writer.end()
    except ConnectionError:
        whole = False
        cut_connection(request, reset=False)
    finally:
        if not whole:
            reply.source.hung_up()
    return response


async def _send_file(request: web.Request, reply: FileReply, behaviour: CallBehaviour) -> web.StreamResponse:
    """A file with the ranges of RFC 9110, and a strong validator that If-Range is held against."""
    try:
        stat = await asyncio.to_thread(reply.path.stat)
    except OSError:
        gone = JsonReply({"code": 410, "message": "The file is gone", "data": None}, 410)
        return await send(request, gone, behaviour)
    etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    modified = formatdate(stat.st_mtime, usegmt=True)
    headers = {"ETag": etag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
    if reply.filename:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(reply.filename)}"
    status, start, stop = _choose_span(request, stat.st_size, etag, stat.st_mtime)
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{stat.st_size}"
    elif status == 416:
        headers["Content-Range"] = f"bytes */{stat.st_size}"
    response = web.StreamResponse(status=status, headers=headers)
    response.content_type = reply.content_type
    response.content_length = stop - start
    return await _send_body(request, response, _read_chunks(reply.path, start, stop), behaviour)


def _choose_span(request: web.Request, size: int, etag: str, modified: float) -> tuple[int, int, int]:
    """HTTP status, first byte and the byte after the last one."""
    condition = request.headers.get("If-Range")
    if "Range" not in request.headers or (condition and not _is_unchanged(condition, etag, modified)):
        return 200, 0, size
    try:
        wanted = request.http_range
    except ValueError:
        return 416, 0, 0
    start = wanted.start if wanted.start is not None else 0
    if start < 0:
        start = max(0, size + start)
    stop = size if wanted.stop is None else min(wanted.stop, size)
    return (206, start, stop) if start < stop else (416, 0, 0)


def _is_unchanged(condition: str, etag: str, modified: float) -> bool:
    if condition.startswith(('"', "W/")):
        return condition == etag
    try:
        return int(modified) <= parsedate_to_datetime(condition).timestamp()
    except (TypeError, ValueError):
        return False


async def _read_chunks(path: Path, start: int, stop: int) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(open, path, "rb")
    try:
        file.seek(start)
        while start < stop and (chunk := await asyncio.to_thread(file.read, min(FILE_CHUNK, stop - start))):
            start += len(chunk)
            yield chunk
    finally:
        file.close()

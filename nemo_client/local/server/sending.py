"""How an answer goes out: whole, or as scripted faults would have it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from aiohttp import web

from ..agent.dialects import HEARTBEATS
from ..shared.faults import Fault, Hits
from ..shared.replies import FileReply, JsonReply, RawReply

FILE_CHUNK = 256 * 1024
LOOK_SECONDS = 0.05
RESET_SECONDS = 0.05
"""A reset takes with it what has not been read yet."""


class Cut(Exception):
    """A scripted fault has closed the connection: there is nothing more to send."""


class EventSource(Protocol):
    """Frames of an event stream, and what happens to the work when the client is gone."""

    async def next(self) -> bytes | None: ...

    def hung_up(self) -> None: ...


@dataclass
class StreamReply:
    source: EventSource


Reply = JsonReply | RawReply | FileReply | StreamReply


class Wire:
    """A response's body, with the byte at which a fault stalls or cuts it."""

    def __init__(self, request: web.Request, response: web.StreamResponse, hits: Hits) -> None:
        self._request = request
        self._response = response
        self._sent = 0
        self._stall = _at_byte(hits.get("stall"))
        self._close = _at_byte(hits.get("close_at"))
        self._headers_only = "close_after_headers" in hits

    async def start(self) -> None:
        await self._response.prepare(self._request)
        if self._headers_only:
            await self._cut(reset=False)
        await self._points()

    async def write(self, data: bytes) -> None:
        """Send `data` up to the next scripted byte, do what is scripted there, and go on."""
        while data:
            stops = [int(fault["at"]) - self._sent for fault in (self._stall, self._close) if fault]
            step = min([stop for stop in stops if stop > 0], default=len(data))
            await self._response.write(data[:step])
            self._sent += len(data[:step])
            data = data[step:]
            await self._points()

    async def end(self) -> None:
        await self._response.write_eof()

    async def _points(self) -> None:
        if self._stall and self._sent >= int(self._stall["at"]):
            seconds, self._stall = self._stall["seconds"], None
            await asyncio.sleep(seconds)
        if self._close and self._sent >= int(self._close["at"]):
            await self._cut(reset=self._close["reset"])

    async def _cut(self, *, reset: bool) -> None:
        cut_connection(self._request, reset=reset)
        raise Cut

    @property
    def hung_up(self) -> bool:
        transport = self._request.transport
        return transport is None or transport.is_closing()


def _at_byte(fault: Fault | None) -> Fault | None:
    return fault if fault and isinstance(fault["at"], int) else None


def cut_connection(request: web.Request, *, reset: bool) -> None:
    """Close the socket: in order after what was sent, or (`reset`) at once."""
    if request.transport is not None:
        request.transport.abort() if reset else request.transport.close()


async def send(request: web.Request, reply: Reply, hits: Hits) -> web.StreamResponse:
    """Answer with `reply`; the response returned is already sent, or is closed."""
    if (stall := hits.get("stall")) and stall["at"] == "headers":
        await asyncio.sleep(stall["seconds"])
    if "close_before_headers" in hits:
        _abandon(reply)
        cut_connection(request, reset=False)
        return web.Response()
    if isinstance(reply, JsonReply):
        reply = RawReply(_mangled(reply.body, hits), status=reply.status, headers=reply.headers)
    if isinstance(reply, StreamReply):
        return await _send_stream(request, reply, hits)
    if isinstance(reply, FileReply):
        return await _send_file(request, reply, hits)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = reply.content_type
    response.content_length = len(reply.body)
    return await _send_body(request, response, _once(reply.body), hits)


def _abandon(reply: Reply) -> None:
    if isinstance(reply, StreamReply):
        reply.source.hung_up()


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _send_body(
    request: web.Request, response: web.StreamResponse, chunks: AsyncIterator[bytes], hits: Hits
) -> web.StreamResponse:
    shift_date(response, hits)
    wire = Wire(request, response, hits)
    try:
        await wire.start()
        if request.method != "HEAD":
            async for chunk in chunks:
                await wire.write(chunk)
        await wire.end()
    except (Cut, ConnectionError):
        cut_connection(request, reset=False)
    return response


async def _send_stream(request: web.Request, reply: StreamReply, hits: Hits) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    shift_date(response, hits)
    wire = Wire(request, response, hits)
    end = hits.get("clean_end")
    events = 0
    whole = False
    try:
        await wire.start()
        while (frame := await reply.source.next()) is not None and not wire.hung_up:
            is_event = frame not in HEARTBEATS
            events += is_event
            silence = hits.get("silence")
            if silence and is_event and events == silence["event"]:
                await _say_nothing(wire, silence)
            await wire.write(_mangled_frame(frame, hits, events) if is_event else frame)
            if end and events >= end["after"]:
                whole = bool(end["works_on"])
                break
        else:
            whole = frame is None
        if keep_open := hits.get("keep_open"):
            await _say_nothing(wire, keep_open)
        if "reset_at_end" in hits:
            await asyncio.sleep(RESET_SECONDS)
            cut_connection(request, reset=True)
            return response
        await wire.end()
    except (Cut, ConnectionError):
        whole = False
        cut_connection(request, reset=False)
    finally:
        if not whole:
            reply.source.hung_up()
    return response


async def _say_nothing(wire: Wire, fault: Fault) -> None:
    """Nothing for a while, or heartbeats alone; less where the client hangs up."""
    end = time.monotonic() + float(fault["seconds"])
    while (left := end - time.monotonic()) > 0 and not wire.hung_up:
        await asyncio.sleep(min(left, float(fault["ping"]) or LOOK_SECONDS))
        if fault["ping"]:
            await wire.write(HEARTBEATS[0])


async def _send_file(request: web.Request, reply: FileReply, hits: Hits) -> web.StreamResponse:
    """A file with the ranges of RFC 9110, and a strong validator that If-Range is held against."""
    try:
        stat = await asyncio.to_thread(reply.path.stat)
    except OSError:
        gone = JsonReply({"code": 410, "message": "The file is gone", "data": None}, 410)
        return await send(request, gone, hits)
    etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    modified = formatdate(stat.st_mtime, usegmt=True)
    headers = {"ETag": etag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
    if reply.filename:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(reply.filename)}"
    status, start, stop = _span(request, stat.st_size, etag, stat.st_mtime)
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{stat.st_size}"
    elif status == 416:
        headers["Content-Range"] = f"bytes */{stat.st_size}"
    response = web.StreamResponse(status=status, headers=headers)
    response.content_type = reply.content_type
    response.content_length = stop - start
    return await _send_body(request, response, _chunks(reply.path, start, stop), hits)


def _span(request: web.Request, size: int, etag: str, modified: float) -> tuple[int, int, int]:
    """HTTP status, first byte and the byte after the last one."""
    condition = request.headers.get("If-Range")
    if "Range" not in request.headers or (condition and not _unchanged(condition, etag, modified)):
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


def _unchanged(condition: str, etag: str, modified: float) -> bool:
    if condition.startswith(('"', "W/")):
        return condition == etag
    try:
        return int(modified) <= parsedate_to_datetime(condition).timestamp()
    except (TypeError, ValueError):
        return False


async def _chunks(path: Path, start: int, stop: int) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(open, path, "rb")
    try:
        file.seek(start)
        while start < stop and (chunk := await asyncio.to_thread(file.read, min(FILE_CHUNK, stop - start))):
            start += len(chunk)
            yield chunk
    finally:
        file.close()


def shift_date(response: web.StreamResponse, hits: Hits) -> None:
    if clock := hits.get("clock"):
        response.headers["Date"] = formatdate(time.time() + clock["seconds"], usegmt=True)


def _mangled_frame(frame: bytes, hits: Hits, number: int) -> bytes:
    for kind in ("truncated_json", "wrong_types"):
        if (fault := hits.get(kind)) and fault["event"] == number:
            return b"data: " + _mangled(frame[len(b"data: ") :].rstrip(), hits) + b"\n\n"
    return frame


def _mangled(body: bytes, hits: Hits) -> bytes:
    if fault := hits.get("wrong_types"):
        value = json.loads(body)
        field = fault["field"] or ("content" if "content" in value else "data")
        _replace(value, field.split("."), fault["value"])
        body = json.dumps(value).encode()  # escaped: a fault can put half a character there
    if "truncated_json" in hits:
        body = body[: len(body) // 2]
    return body


def _replace(value: Any, path: list[str], new: object) -> None:
    """Put `new` at `path`; a path that the answer does not have is made."""
    for name in path[:-1]:
        if isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict):
            value = value.setdefault(name, {})
    if isinstance(value, dict):
        value[path[-1]] = new


def scripted(fault: Fault) -> RawReply:
    """The answer that a fault gives instead of the real one; one with a code speaks both envelopes."""
    headers = {str(name): str(value) for name, value in fault["headers"].items()}
    if fault["retry_after"] is not None:
        headers["Retry-After"] = str(fault["retry_after"])
    if fault.get("location"):
        headers["Location"] = fault["location"]
    body = fault["body"]
    if body is None:
        code, message = fault["code"] or 0, fault["message"]
        body = json.dumps({"code": code, "message": message, "data": None, "success": not code, "error": message})
    return RawReply(body.encode(), fault["content_type"], fault["status"], headers)

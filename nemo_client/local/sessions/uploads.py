"""Taking in files: streamed to disk while their bytes are counted and hashed, then probed, then part of a session."""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import aiohttp
from aiohttp import web

from ..shared.disk import private_opener
from ..shared.replies import FILE_TOO_LARGE, ApiError, clean, json_body
from ..shared.settings import Settings
from .accounts import Account
from .fetch import fetch
from .ledger import Ledger
from .probe import Media, has_known_suffix, probe
from .store import MAX_ASSETS, Asset, SessionRecord, Store, new_asset_id

CHUNK = 256 * 1024
MAX_FILES = 50
MAX_FIELDS = 50
MAX_FIELD_BYTES = 64 * 1024
MAX_FILENAME = 120

_UNFIT = re.compile(r"[\x00-\x1f\x7f<>:\"|?*]")
_SUFFIX_OF_TYPE = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
}


@dataclass
class _Received:
    """A file on its way in: where its bytes lie and what they are."""

    filename: str
    path: Path
    sha256: str = ""
    size: int = 0
    media: Media | None = None


def plain_name(filename: str) -> str:
    """A file name to show: no folders, no control characters, at most 120 characters with its suffix."""
    name = _UNFIT.sub("", clean(filename).replace("\\", "/").rpartition("/")[2]).strip(". ") or "file"
    stem, dot, suffix = name.rpartition(".")
    if len(name) > MAX_FILENAME and dot and len(suffix) < 10:
        return f"{stem[: MAX_FILENAME - len(suffix) - 1]}.{suffix}"
    return name[:MAX_FILENAME]


class Uploads:
    def __init__(self, settings: Settings, store: Store, ledger: Ledger) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger

    async def receive(self, request: web.Request, session: str, account: Account) -> list[Asset]:
        """Everything the request brings, or nothing: one bad file refuses the whole request."""
        await asyncio.to_thread(self._store.load, session, account)
        is_json = request.content_type == "application/json"
        source = self._from_urls(request) if is_json else self._from_parts(request)
        received: list[_Received] = []
        try:
            async for item in source:
                received.append(item)
                if len(received) > MAX_FILES:
                    raise ApiError(400, f"One request brings at most {MAX_FILES} files")
                if sum(each.size for each in received) > self._settings.limits.request_bytes:
                    most = self._settings.limits.request_bytes
                    raise ApiError(FILE_TOO_LARGE, f"One request brings at most {most} bytes")
            if not received:
                raise ApiError(400, "The request brings no file: name the parts 'files'")
            return await asyncio.to_thread(self._keep_files, received, session, account)
        finally:
            for item in received:
                item.path.unlink(missing_ok=True)

    async def _from_parts(self, request: web.Request) -> AsyncIterator[_Received]:
        fields, seconds = 0, self._settings.limits.body_seconds
        try:
            reader = await request.multipart()
            while (part := await asyncio.wait_for(reader.next(), seconds)) is not None:
                if not isinstance(part, aiohttp.BodyPartReader):
                    raise ApiError(400, "Nested multipart bodies are not supported")
                if part.name != "files":
                    fields += 1
                    await _pass_over(part, fields)
                    continue
                chunks = _read_part(part)
                yield await self._write_file(plain_name(part.filename or "file"), chunks)
        except (ValueError, AssertionError, aiohttp.ClientPayloadError, aiohttp.http.HttpProcessingError):
            raise ApiError(400, "The multipart body cannot be read") from None
        except asyncio.TimeoutError:
            raise ApiError(408, "The next part of the multipart body did not come in time") from None

    async def _from_urls(self, request: web.Request) -> AsyncIterator[_Received]:
        body = await json_body(request, self._settings.limits.body_seconds)
        urls = body.get("urls")
        if body.get("source_type") != "url" or not isinstance(urls, list) or not 0 < len(urls) <= MAX_FILES:
            raise ApiError(400, f"'source_type' must be 'url', and 'urls' a list of 1 to {MAX_FILES} URLs")
        for url in urls:
            if not isinstance(url, str):
                raise ApiError(400, "'urls' must be a list of texts")
            async with AsyncExitStack() as stack:
                allowed = self._settings.private_urls
                response = await stack.enter_async_context(fetch(url, private_allowed=allowed))
                yield await self._write_file(_name_of(response), response.content.iter_chunked(CHUNK))

    async def _write_file(self, filename: str, chunks: AsyncIterator[bytes]) -> _Received:
        item = _Received(filename, self._store.incoming / f"{uuid.uuid4().hex}.part")
        digest, size, limit = hashlib.sha256(), 0, self._settings.max_upload
        with _remove_on_failure(item.path) as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise ApiError(FILE_TOO_LARGE, f"{filename} is larger than {limit} bytes")
                digest.update(chunk)
                file.write(chunk)
        item.sha256, item.size = digest.hexdigest(), size
        return item

    def _keep_files(self, received: list[_Received], session: str, account: Account) -> list[Asset]:
        for item in received:
            item.media = probe(item.path, item.filename)
        assets = [self._make_asset(item, item.media) for item in received if item.media]

        def add(record: SessionRecord) -> None:
            if len(record["assets"]) + len(assets) > MAX_ASSETS:
                raise ApiError(400, f"A session holds at most {MAX_ASSETS} files")
            record["assets"].extend(assets)
            record["analyses"].extend({"id": asset["id"], "summary": _describe_asset(asset)} for asset in assets)

        self._store.update(session, account, add)
        for asset in assets:
            self._ledger.append("upload", session=session, filename=asset["filename"], hash=asset["hash"])
        return assets

    def _make_asset(self, item: _Received, media: Media) -> Asset:
        return {
            "id": new_asset_id(),
            "filename": item.filename,
            "kind": media.kind,
            "stored": self._store.keep_upload(item.path, item.sha256, media.suffix),
            "hash": item.sha256,
            "width": media.width,
            "height": media.height,
            "duration": media.duration,
            "fps": media.fps,
        }


async def _pass_over(part: aiohttp.BodyPartReader, number: int) -> None:
    """Read a part that is no file of ours to its end, which must not be far."""
    size = 0
    while chunk := await part.read_chunk(CHUNK):
        size += len(chunk)
        if size > MAX_FIELD_BYTES or number > MAX_FIELDS:
            raise ApiError(
                413, f"The request has more than {MAX_FIELDS} other fields, or one of {MAX_FIELD_BYTES} bytes"
            )


async def _read_part(part: aiohttp.BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK):
        yield chunk


@contextmanager
def _remove_on_failure(path: Path) -> Iterator[BinaryIO]:
    whole = False
    try:
        with open(path, "xb", opener=private_opener) as file:
            yield file
        whole = True
    finally:
        if not whole:
            path.unlink(missing_ok=True)


def _name_of(response: aiohttp.ClientResponse) -> str:
    """A file name for what a URL gave: its last path segment, with a suffix by content type when it has none."""
    name = plain_name(unquote(response.url.path))
    if not has_known_suffix(name) and (suffix := _SUFFIX_OF_TYPE.get(response.content_type)):
        return plain_name(f"{name}.{suffix}")
    return name


def _describe_asset(asset: Asset) -> str:
    size = f", {asset['width']} x {asset['height']}" if asset["width"] else ""
    length = f", {asset['duration']:.1f} s" if asset["duration"] else ""
    return f"{asset['kind']}{size}{length}"

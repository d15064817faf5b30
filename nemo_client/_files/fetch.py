"""A finished render's file, by every way there is: its output address, then the API's download endpoint.

Storage shows a new file some seconds late, gateways send a page in its place, and signed addresses expire. Each way is
tried, and what it brought looked at, before anything is rendered again.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from .._errors import ApiError, NemoError, PlanError, RateLimited, RenderFailed, SignInError, TransportError
from .._wire.client import NemoClient
from .._wire.decompression import Decoder, Undecodable
from .._wire.download import MAX_DOWNLOAD_BYTES
from .._wire.schemas import RenderJob
from .._wire.upload import CHUNK, OnBytes, disk_error
from .save import Checked, check_video

logger = logging.getLogger("nemo_client")

SOON_PAUSES: Final = (1.0, 2.0)
"""Before the output address is asked again, where it does not show the file yet."""
EARLY_SECONDS: Final = 30.0
EARLY_PAUSE: Final = 4.0
_EARLY: Final = frozenset({401, 403, 404, 409, 410, 423, 425})
_GZIP: Final = b"\x1f\x8b\x08"

Way = Callable[[], Awaitable[object]]


async def fetch_video(
    client: NemoClient, job: RenderJob, target: Path, on_bytes: OnBytes | None, clock: Callable[[], float]
) -> Checked:
    """Download into `target` until a whole video lies there; raises what the most telling way ended with."""
    address: Way | None = (lambda: client.download(job.url, target, on_bytes)) if job.url else None
    endpoint: Way = lambda: client.download_render(job.id, target, on_bytes)  # noqa: E731 - the other way's twin
    pauses: tuple[float, ...] = SOON_PAUSES
    started = clock()
    while True:
        by_address = await _try_way(client, address, target, pauses) if address else None
        if isinstance(by_address, Checked):
            return by_address
        by_endpoint = await _try_way(client, endpoint, target, ())
        if isinstance(by_endpoint, Checked):
            return by_endpoint
        waits = any(_is_early(error) for error in (by_address, by_endpoint) if error is not None)
        if not waits or clock() - started >= EARLY_SECONDS:
            raise _most_telling(by_address, by_endpoint)
        pauses = ()
        await client.http.sleep(EARLY_PAUSE)


async def _try_way(
    client: NemoClient, way: Way, target: Path, pauses: tuple[float, ...]
) -> Checked | RenderFailed | TransportError | ApiError:
    """What lies in `target` after this way, or why it brought nothing; again after `pauses` where it is too early."""
    left = list(pauses)
    while True:
        try:
            await way()
            return await asyncio.to_thread(_inspect_file, target)
        except (RenderFailed, TransportError, ApiError) as error:
            logger.info("the video could not be fetched (%s)", error.id)
            if not left or not _is_early(error):
                return error
        await client.http.sleep(left.pop(0))


def _is_early(error: NemoError) -> bool:
    """Whether the file may just not be shown yet."""
    if isinstance(error, (SignInError, PlanError)):
        return isinstance(error, SignInError)
    if isinstance(error, ApiError):
        return isinstance(error, RateLimited) or error.code in _EARLY or error.code == 0
    return error.id == "download-refused" and error.facts.get("status") in _EARLY


def _most_telling(by_address: NemoError | None, by_endpoint: NemoError) -> NemoError:
    """The endpoint's word where it is about the account, else the output address's."""
    about_account = isinstance(by_endpoint, (SignInError, PlanError, RateLimited))
    return by_endpoint if by_address is None or about_account else by_address


def _inspect_file(target: Path) -> Checked:
    undo_gzip(target)
    return check_video(target)


def undo_gzip(path: Path) -> None:
    """Unpack a file that a server has packed unasked and unsaid; anything else stays as it is."""
    try:
        with path.open("r+b") as file, tempfile.TemporaryFile(dir=path.parent) as plain:
            if file.read(len(_GZIP)) != _GZIP:
                return
            file.seek(0)
            decoder, size = Decoder("gzip"), 0
            while chunk := file.read(CHUNK):
                for piece in decoder.feed(chunk):
                    size += plain.write(piece)
                    if size > MAX_DOWNLOAD_BYTES:
                        return
            file.seek(0)
            file.truncate()
            plain.seek(0)
            while chunk := plain.read(CHUNK):
                file.write(chunk)
    except (Undecodable, zlib.error):
        return
    except OSError as error:
        raise disk_error(error, path) from error

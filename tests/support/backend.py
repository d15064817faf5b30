"""What the client's tests share: a raw server, time that does not pass, and a local backend that charges."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nemo_client import Journal, Media, Progress, Studio, from_pixels, home, local
from nemo_client._config.credentials import FixedToken, Token
from nemo_client._config.profiles import Profile
from nemo_client._config.timings import timings_in_use
from nemo_client._wire.client import NemoClient
from nemo_client._wire.http import Http
from tests.support.faults import Fault, Faults
from tests.support.ledger import LedgerReport, read_ledger
from tests.support.waiting import wait_until_async

TOKEN = "nmv_usr_test"


@dataclass
class Asked:
    """One request as it came over the socket; `names` are those of its headers, each as often as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    names: tuple[str, ...]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Reply = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """A server without any HTTP library: what it does with a request is one function's business."""

    url: str = ""
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0


@contextlib.asynccontextmanager
async def serving(
    reply: Reply, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """A raw server that answers each request by `reply`, on loopback."""
    server = RawServer()
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                while not writer.is_closing():
                    asked = await _read(reader)
                    server.asked.append(asked)
                    await reply(asked, writer)
                    await writer.drain()
            finally:
                writer.close()
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        talks.add(asyncio.ensure_future(talk(reader, writer)))

    listener = await asyncio.start_server(connected, host, port, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{server.port}"
    try:
        yield server
    finally:
        listener.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await listener.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    names = tuple(line.partition(":")[0].lower() for line in lines[1:] if line)
    return Asked(method, path, headers, body, names)


def answer(body: bytes | Mapping[str, Any] | list[Any] = b"", status: int = 200, **headers: object) -> bytes:
    """A whole HTTP answer; underscores in the names of headers are hyphens."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("content_type", "application/json")
    headers.setdefault("content_length", len(body))
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status} Said", *lines, "", ""]).encode() + body


def always(*answers: bytes) -> Reply:
    """Give these answers in turn, the last one for ever."""
    left = list(answers)

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return reply


@dataclass
class Clock:
    """Time that passes only when somebody sleeps, of which it keeps a record. A sleep takes `real` seconds at most."""

    now: float = 1_800_000_000.0
    real: float = 0.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(min(seconds, self.real))

    def time(self) -> float:
        return self.now

    def count_waits(self, since: int) -> float:
        """Seconds slept after the first `since` sleeps, without the looks beside a stream: a slow machine has more."""
        return sum(each for each in self.slept[since:] if each != timings_in_use().studio.look)


@contextlib.asynccontextmanager
async def client_of(url: str, clock: Clock | None = None, tokens: Any = None) -> AsyncIterator[NemoClient]:
    """A client of `url` as the profile `nemo`, with a token of the user's own."""
    clock = clock or Clock()
    tokens = tokens or FixedToken(Token(TOKEN, "user"))
    client = NemoClient(
        Http(Profile("nemo", url, "https://web.test"), "client-1", tokens, sleep=clock.sleep, clock=clock.time)
    )
    try:
        yield client
    finally:
        await client.aclose()


async def until(happened: Callable[[], object]) -> None:
    """Look until it has happened."""
    await wait_until_async(happened, pause=0.01)


def bytes_of(path: Path) -> bytes:
    """A file's content, for tests that are coroutines."""
    return path.read_bytes()


def picture(shade: int = 90, height: int = 96, width: int = 64) -> Media:
    """A small picture with something to see; another `shade` is another picture."""
    pixels = np.full((height, width, 3), shade, np.uint8)
    pixels[height // 4 : height // 2, width // 4 : width // 2] = (200, 80, 20)
    return from_pixels(pixels)


@dataclass
class Seen:
    """A caller's progress, kept."""

    stages: list[str] = field(default_factory=list)
    reports: list[Progress] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        self.reports.append(progress)
        if self.stages[-1:] != [progress.stage]:
            self.stages.append(progress.stage)


def memory_journal() -> Journal:
    """A journal of its own, in memory."""
    return Journal(home(), "sqlite://")


class Cloud:
    """The local backend in the place of the cloud: it charges, so the client treats it as paid. And its ledger."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.faults = Faults()
        self.directory = directory
        self.clock = Clock(real=0.005)
        given = {"pace": 0, "faults": self.faults, "renderer": draw, "missing_glyphs": lambda text: "", **options}
        self.backend = local.open(directory, **given)
        monkeypatch.setenv("NEMO_API_URL", self.backend.url)
        monkeypatch.setenv("NEMO_WEB_URL", "https://web.test")
        if not options.get("anonymous"):
            monkeypatch.setenv("NEMO_TOKEN", self.backend.token)

    def fault(self, kind: str, endpoint: str = "*", **rest: Any) -> None:
        self.faults.add(Fault(kind, endpoint, **rest))

    @property
    def ledger(self) -> LedgerReport:
        return read_ledger(self.directory)

    def sent(self, endpoint: str) -> int:
        """How many requests of that endpoint came, refused ones included."""
        return sum(call["endpoint"] == endpoint for call in self.backend.calls)

    @contextlib.asynccontextmanager
    async def studio(self, **options: Any) -> AsyncIterator[Studio]:
        clock = self.clock
        opened = await Studio.open("nemo", sleep=clock.sleep, clock=clock.time, wall=clock.time, **options)
        async with opened:
            yield opened


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Cloud]]:
    """Opens the local backend as a cloud with 1000 credits, unless told otherwise."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Cloud:
            made = Cloud(tmp_path / "backend", monkeypatch, **{"credits": 1000, **options})
            stack.enter_context(made.backend)
            return made

        yield start


def draw(draft: Any, assets: Any, target: Path, *, format: str, progress: Any, cancelled: Any, **_: Any) -> None:
    """In the place of the built-in renderer: a real, tiny video file of the asked format, at once."""
    progress(0.5)
    write_video(target, format)
    progress(1.0)


def write_video(path: Path, format: str = "mp4", *, frames: int = 10, size: tuple[int, int] = (64, 96)) -> Path:
    """A small real video: `frames` frames at 10 a second that get brighter, with silence beside them.

    It is encoded once in a process: hundreds of tests ask for the same one.
    """
    made = (path.suffix, format, frames, size)
    if made in _VIDEOS:
        path.write_bytes(_VIDEOS[made])
        return path
    _encode_video(path, format, frames, size)
    _VIDEOS[made] = path.read_bytes()
    return path


_VIDEOS: dict[tuple[str, str, int, tuple[int, int]], bytes] = {}


def _encode_video(path: Path, format: str, frames: int, size: tuple[int, int]) -> None:
    import av

    codec = {"webm": "libvpx-vp9", "gif": "gif"}.get(format, "libx264")
    muxer = {"mkv": "matroska"}.get(format, format)
    with av.open(str(path), "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb8" if format == "gif" else "yuv420p"
        for number in range(frames):
            shade = 250 * number // max(frames - 1, 1)
            picture = np.full((size[1], size[0], 3), shade, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

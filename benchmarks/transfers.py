"""Uploads and downloads of large files: how fast, and in how much memory, against the curl program.

    python -m benchmarks.transfers [--smoke] [--json FILE]

One server in a process of its own, on loopback, serves both clients, which take turns. Seconds are those of the
transfer alone: curl's own `time_total`, and ours around the client's call; neither includes the start of a program.
Ours runs in a fresh process each time, through the same classes as the nodes: a streaming multipart body up, and down
the resumable download into a temporary file. Nobody waits for the disk (fsync): the product does so afterwards, when
the file lands, and it would only hide the difference.

Memory is the growth of the peak between the end of a small transfer and the end of the large one. Processor time is
that of all threads, of the program and of the system on its behalf: on a busy machine it holds where seconds do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._figures import Curve, Figure, main

MEGABYTE = 1_000_000
CHUNK = 1024 * 1024
ANSWER = b'{"code":0,"message":"ok","data":[]}'


def run(smoke: bool) -> list[Figure]:
    """Seconds and memory of one large file, up and down."""
    size, runs = (2 if smoke else 200) * MEGABYTE, 1 if smoke else 9
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as url:
        ways = {way: race(way, url, Path(name), size, runs) for way in ("upload", "download")}
    figures = []
    for way, ((ours, cpu), rival, growth) in ways.items():
        curl, curl_cpu = rival or (None, None)
        label = f"{way} of {size // MEGABYTE} MB"
        speed = None if curl is None else size / MEGABYTE / curl
        met = None if curl is None else curl / ours >= 0.8
        note = "curl is not installed" if curl is None else "rival: curl, the same server"
        figures.append(Figure(label, size / MEGABYTE / ours, speed, "MB/s", ">= 0.8 x", met, note))
        ours_a_gb, curl_a_gb = cpu / size * 1e9, None if curl_cpu is None else curl_cpu / size * 1e9
        figures.append(Figure(f"{label}, processor", ours_a_gb, curl_a_gb, "s/GB", "", None, note))
        figures.append(Figure(f"{label}, memory growth", growth, None, "MiB", "<= 16", growth <= 16))
    return figures


def curve(smoke: bool) -> list[Curve]:
    """Seconds by the size of the file."""
    sizes = [1, 2] if smoke else [1, 5, 20, 50, 100, 200]
    curves = []
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as url:
        for way in ("upload", "download"):
            times = []
            for size in sizes:
                runs = [ours(way, url, Path(name), size * MEGABYTE)["seconds"] for _ in range(1 if smoke else 3)]
                times.append(statistics.median(runs))
            curves.append(Curve(way, "file size in MB", sizes, times, "s"))
    return curves


Pair = tuple[float, float]
"""Seconds by the clock, and of the processor."""


def race(way: str, url: str, folder: Path, size: int, runs: int) -> tuple[Pair, Pair | None, float]:
    """Our seconds, curl's, and the growth of our memory in MiB; medians, but the worst of the memory."""
    mine: list[dict[str, float]] = []
    theirs: list[Pair] = []
    rival = shutil.which("curl")
    for turn in range(runs):
        if rival and turn % 2:
            theirs.append(curl(way, url, folder, size))
        mine.append(ours(way, url, folder, size))
        if rival and not turn % 2:
            theirs.append(curl(way, url, folder, size))
    seconds, cpu = (statistics.median(each[name] for each in mine) for name in ("seconds", "cpu"))
    rival_seconds = [statistics.median(each) for each in zip(*theirs, strict=True)]
    rivals = (rival_seconds[0], rival_seconds[1]) if theirs else None
    return (seconds, cpu), rivals, max(each["growth"] for each in mine)


def ours(way: str, url: str, folder: Path, size: int) -> dict[str, float]:
    """One transfer in a fresh process: seconds, and MiB of memory more."""
    command = [sys.executable, "-m", "benchmarks.transfers", way, url, str(folder), str(size)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def curl(way: str, url: str, folder: Path, size: int) -> Pair:
    """The seconds that curl says it took, and those of the processor that it used, its start among them."""
    command = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--write-out", "%{stderr}%{time_total}"]
    if way == "upload":
        command += ["--header", "Expect:", "--form", f"files=@{film(folder, size)};type=video/mp4", f"{url}/upload"]
    else:
        command += ["--output", str(folder / "curl.mp4"), f"{url}/{size}"]
    before = _processor_of_children()
    seconds = float(subprocess.run(command, check=True, capture_output=True).stderr)
    cpu = _processor_of_children() - before
    (folder / "curl.mp4").unlink(missing_ok=True)  # so that its way to the disk does not slow down who comes next
    return seconds, cpu


def _processor_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def film(folder: Path, size: int) -> Path:
    """A file of `size` bytes that compress badly, made once."""
    path = folder / f"{size}.mp4"
    if not path.exists():
        block = os.urandom(MEGABYTE)
        with path.open("wb") as file:
            for _ in range(-(-size // MEGABYTE)):
                file.write(block)
    return path


# --- Our side, in a process of its own ------------------------------------------------------------------------------


async def transfer(way: str, url: str, folder: Path, size: int) -> dict[str, float]:
    """A small transfer, so that everything is loaded, then the one that counts."""
    from nemo_client._config.credentials import FixedToken, Token
    from nemo_client._config.profiles import Profile
    from nemo_client._wire.client import NemoClient
    from nemo_client._wire.download import Download
    from nemo_client._wire.http import Http
    from nemo_client._wire.upload import UploadPart

    client = NemoClient(Http(Profile("nemo", url, url), "benchmark", FixedToken(Token("t", "user"))))
    target = folder / "ours.mp4"

    async def once(count: int) -> None:
        if way == "upload":
            await client.upload_files("s", [UploadPart("film.mp4", "video/mp4", film(folder, count))])
        elif await Download(f"{url}/{count}", target, near=url).run() != count:
            raise RuntimeError("a part of the file is missing")

    try:
        await once(MEGABYTE)
        film(folder, size)
        target.unlink(missing_ok=True)
        before, begin, cpu = peak(), time.perf_counter(), time.process_time()
        await once(size)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        return {"seconds": seconds, "cpu": cpu, "growth": peak() - before}
    finally:
        await client.aclose()
        target.unlink(missing_ok=True)


def peak() -> float:
    """The most memory that this process ever held, in MiB."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):  # unlike ru_maxrss, without what the parent held
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 1024)


# --- The server, in another -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The server's address."""
    command = [sys.executable, "-m", "benchmarks.transfers", "serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield f"http://127.0.0.1:{int(line)}"
        finally:
            process.terminate()


async def serve(folder: Path) -> None:
    """GET /<bytes> gives that many, POST takes whatever comes; for ever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await reply(head, reader, writer)
        writer.close()

    async def reply(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = head.split(" ", 2)[1]
        if head.startswith("POST"):
            left = int(head.lower().partition("content-length:")[2].split()[0])
            while left and (chunk := await reader.read(min(left, CHUNK))):
                left -= len(chunk)
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            writer.write(answer % (len(ANSWER), ANSWER))
            return
        size = int(path.rpartition("/")[2])
        with film(folder, size).open("rb") as file:
            answer = b'HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n'
            writer.write(answer % size)
            await writer.drain()
            await asyncio.get_running_loop().sendfile(writer.transport, file, 0, size)

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=CHUNK)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    role, *rest = sys.argv[1:] or [""]
    if role == "serve":
        asyncio.run(serve(Path(rest[0])))
    elif role in ("upload", "download"):
        print(json.dumps(asyncio.run(transfer(role, rest[0], Path(rest[1]), int(rest[2])))))
    else:
        sys.exit(main(run, __doc__))

"""A Dask cluster of real processes on loopback: a scheduler, workers with environments of their own, and batches."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_animate_and_chat import Ran
from tests.support.waiting import PATIENT_SECONDS

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = PATIENT_SECONDS
needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="dask.distributed is not installed (extra fleet)"
)
QUIET = {
    "DASK_DISTRIBUTED__WORKER__PRELOAD": "[]",
    "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass
class Dask:
    """A scheduler and its workers; all of them end with the block that opened it."""

    directory: Path
    environment: dict[str, str]
    address: str = ""
    logs: list[Path] = field(default_factory=list)
    processes: list[subprocess.Popen[Any]] = field(default_factory=list)

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        log = self.directory / f"log-{len(self.logs)}.txt"
        self.logs.append(log)
        command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
        with log.open("wb") as said:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**self.environment, **(environment or {})}, stdout=said, stderr=said
            )
        self.processes.append(process)
        return process

    def scheduler(self) -> subprocess.Popen[bytes]:
        place = self.directory / f"scheduler-{len(self.logs)}.json"
        process = self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(place))
        until(lambda: place.exists() and place.read_text().strip().endswith("}"), self)
        self.address = json.loads(place.read_text())["address"]
        return process

    def worker(
        self, address: str = "", *, threads: int = 4, nanny: bool = False, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """A worker, by itself unless told otherwise, so that one process is what is killed; it joins a little later."""
        arguments = (
            "--nanny" if nanny else "--no-nanny",
            "--nthreads",
            str(threads),
            "--host",
            "127.0.0.1",
            "--preload",
            "tests.support.hasty_worker",
        )
        scratch = ("--local-directory", str(self.directory / "scratch"))
        return self.start("worker", address or self.address, *arguments, *scratch, environment=environment)

    def joined(self, count: int) -> None:
        """Wait until so many workers have joined since the cluster was made."""
        until(lambda: self.said().count("Registered to:") >= count, self)

    def newcomer(self, **options: Any) -> subprocess.Popen[bytes]:
        """Another worker, once it has joined."""
        before = self.said().count("Registered to:")
        process = self.worker(**options)
        self.joined(before + 1)
        return process

    def said(self) -> str:
        """All that scheduler and workers have written."""
        return "\n".join(log.read_text(errors="replace") for log in self.logs)

    def begin(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """`nemo-video batch …` on this cluster, in a process of its own."""
        code = "import sys; from nemo_client._cli.main import main; sys.exit(main())"
        given = [str(each) for each in arguments]
        command = [sys.executable, "-c", code, "batch", *given, "--json"]
        if "--scheduler" not in given:
            command += ["--scheduler", self.address]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**self.environment, **environment},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def batch(self, *arguments: object, **environment: str) -> Ran:
        """The same, to its end."""
        return ended(self.begin(*arguments, **environment))


def ended(process: subprocess.Popen[str]) -> Ran:
    """How a batch ended, and what it said."""
    out, err = process.communicate(timeout=PATIENT_SECONDS)
    return Ran(process.returncode, out, err)


@contextlib.contextmanager
def cluster(directory: Path, environment: Mapping[str, str]) -> Iterator[Dask]:
    """A cluster without any process yet, in `directory`; `environment` is what all of them find."""
    directory.mkdir(parents=True, exist_ok=True)
    mine = {name: value for name, value in os.environ.items() if not name.startswith("NEMO_")}
    made = Dask(directory, {**mine, **QUIET, "PYTHONPATH": str(ROOT), **environment})
    try:
        yield made
    finally:
        for process in reversed(made.processes):
            process.kill()
        for process in made.processes:
            process.communicate(timeout=PATIENT_SECONDS)


def until(true: Any, dask: Dask | None = None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not true():
        assert time.monotonic() < deadline, dask.said() if dask else "it did not come"
        time.sleep(0.02)


@contextlib.contextmanager
def recorded(address: str) -> Iterator[tuple[str, bytearray]]:
    """Another address of a scheduler, and all that passes there in either direction."""
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    heard = bytearray()
    loop = asyncio.new_event_loop()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                heard.extend(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pass_on(reader, back), pass_on(there, writer))

    server = loop.run_until_complete(asyncio.start_server(talk, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
    finally:
        asyncio.run_coroutine_threadsafe(_close(server), loop).result(PATIENT_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _close(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)

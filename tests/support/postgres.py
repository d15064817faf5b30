"""A real PostgreSQL server for tests, a network to it that can be cut, and clients on several machines."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import PATIENT_SECONDS

PASSWORD = "hunter2"
_names = itertools.count(1)


def program(name: str) -> str | None:
    """Where a program of PostgreSQL is: in the path, or where Debian keeps it."""
    found = shutil.which(name)
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return found or (str(places[0]) if places else None)


def missing() -> str:
    """What keeps these tests from running here; empty where nothing does."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed (extra fleet)"
    if not (program("initdb") and program("pg_ctl")):
        return "PostgreSQL is not installed here"
    return ""


needs_postgres = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


def _as_nobody() -> tuple[list[str], int, int]:
    """How to start a program that refuses to run as root, and who it is then."""
    if os.geteuid() != 0:
        return [], os.getuid(), os.getgid()
    user = next(each for name in ("postgres", "nobody") if (each := _user(name)))
    ids = ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return ["setpriv", *ids], user.pw_uid, user.pw_gid


def _user(name: str) -> Any:
    import pwd  # not on Windows

    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name)
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """A PostgreSQL server on loopback, in a temporary directory."""

    directory: Path
    port: int = field(default_factory=free_port)
    prefix: list[str] = field(default_factory=lambda: _as_nobody()[0])

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def run(self, name: str, *arguments: str) -> None:
        """A program of PostgreSQL, as the server's user."""
        place = program(name)
        assert place is not None
        done = subprocess.run(
            [*self.prefix, place, *arguments],
            capture_output=True,
            text=True,
            cwd=self.directory,
            timeout=PATIENT_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def make(self) -> None:
        word = self.directory / "password"
        word.write_text(PASSWORD)
        os.chown(word, *_as_nobody()[1:])
        told = ("--auth=scram-sha-256", f"--pwfile={word}", "--encoding=UTF8", "--no-locale", "--no-instructions")
        self.run("initdb", "-D", str(self.data), "-U", "nemo", *told)

    def start(self) -> None:
        told = f"-p {self.port} -k '{self.directory}' -c listen_addresses=127.0.0.1 -c max_connections=80"
        self.run("pg_ctl", "-D", str(self.data), "-o", told, "-l", str(self.directory / "log"), "-w", "start")

    def stop(self) -> None:
        """End it as a crash would: connections break, and what was not committed is gone."""
        self.run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def url(self, database: str = "postgres", port: int = 0) -> str:
        return f"postgresql+psycopg://nemo:{PASSWORD}@127.0.0.1:{port or self.port}/{database}"

    def say(self, statement: str, database: str = "postgres") -> list[Any]:
        """Ask the server, beside everything else."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="nemo", password=PASSWORD, dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def database(self, options: str = "") -> str:
        """The name of a new, empty database."""
        name = f"journal{next(_names)}"
        self.say(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        return name


def _room() -> Path | None:
    memory = Path("/dev/shm")  # noqa: S108 - only the root: the directory below it is private
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else None


@contextlib.contextmanager
def a_server() -> Iterator[Server]:
    """A new server, gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="nemo-pg-", dir=_room()))
    os.chown(directory, *_as_nobody()[1:])
    server = Server(directory)
    try:
        server.make()
        server.start()
        yield server
    finally:
        with contextlib.suppress(AssertionError):  # it may be stopped already
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    if missing():
        pytest.skip(missing())
    with a_server() as server:
        yield server


@pytest.fixture
def url(postgres: Server) -> str:
    """The URL of an empty database."""
    return postgres.url(postgres.database())


class Network:
    """The way to a server, in a thread of its own: open, cut, or swallowing everything.

    `drop_commit` breaks the next connection that says COMMIT: "before" the server hears it, or "after" it, so that
    its answer is lost.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._through = asyncio.Event()
        self.drop_commit = ""
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener: asyncio.Server | None = None
        self.port = 0
        self.open()

    def open(self) -> None:
        """Let everything through again."""
        self._do(self._listen())

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self._do(self._cut())

    def swallow(self) -> None:
        """Keep the connections, and let nothing through any more."""
        self._loop.call_soon_threadsafe(self._through.clear)

    def close(self) -> None:
        self._through.set()
        self.cut()
        self._do(self._ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENT_SECONDS)

    async def _listen(self) -> None:
        self._through.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.01)

    async def _ended(self) -> None:
        talks = asyncio.all_tasks() - {asyncio.current_task()}
        for each in talks:
            each.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0.01)  # their transports close

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        answered = asyncio.Event()
        answered.set()
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(back)
            passes = {asyncio.ensure_future(self._ask(reader, back, answered)),
                      asyncio.ensure_future(self._answer(there, writer, answered))}  # fmt: skip
            _, left = await asyncio.wait(passes, return_when=asyncio.FIRST_COMPLETED)
            for each in left:
                each.cancel()
            await asyncio.gather(*passes, return_exceptions=True)
            back.transport.abort()
        except OSError:
            pass  # there is no server now
        finally:
            writer.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, answered: asyncio.Event) -> None:
        while data := await reader.read(65536):
            await self._through.wait()
            drop = self.drop_commit if b"COMMIT\0" in data else ""  # not "READ COMMITTED"
            if drop:
                self.drop_commit = ""
                answered.clear()
            if drop != "before":
                server.write(data)
                await server.drain()
            if drop:
                await asyncio.sleep(0.1 if drop == "after" else 0)  # the server makes it meanwhile
                return

    async def _answer(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, answered: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            await self._through.wait()
            await answered.wait()
            client.write(data)
            await client.drain()


@pytest.fixture
def network(postgres: Server) -> Iterator[Network]:
    made = Network(postgres.port)
    yield made
    made.close()


@contextlib.contextmanager
def pooler(server: Server) -> Iterator[int]:
    """The port of a pgbouncer in transaction mode, which gives each transaction another connection."""
    place = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if place is None:
        pytest.skip("pgbouncer is not installed here")
    port, folder = free_port(), server.directory
    (folder / "users.txt").write_text(f'"nemo" "{PASSWORD}"\n')
    (folder / "pooler.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = plain\nauth_file = {folder / 'users.txt'}\npool_mode = transaction\n"
        "default_pool_size = 3\nserver_round_robin = 1\nunix_socket_dir =\n"
    )
    process = subprocess.Popen(
        [*server.prefix, place, str(folder / "pooler.ini")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + PATIENT_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENT_SECONDS)


def unique(kind: str) -> str:
    """A key that no other test has."""
    return f"{kind}-{secrets.token_hex(8)}"

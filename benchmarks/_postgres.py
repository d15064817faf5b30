"""A PostgreSQL server for the benchmarks: on loopback, with its settings as they come and its data on a disk.

Its commits wait for that disk, so where the data lies decides what is measured: `on_disk` says what it is.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_WANTED = ("initdb", "postgres")
START_SECONDS = 60.0
_GUARDED = '"$@" & server=$!; read -r _; kill -QUIT $server; wait $server'
"""The server ends with this process, however that ends: then the input of this shell does."""


def missing() -> str:
    """What keeps a server from running here; empty where nothing does."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed (extra fleet)"
    if not all(map(_program, _WANTED)):
        return "PostgreSQL is not installed here"
    if os.name != "posix":
        return "servers are started on POSIX systems only"
    return ""


@contextlib.contextmanager
def disk_folder() -> Iterator[Path]:
    """A folder on a disk where there is one: what is made in memory waits for nothing."""
    lasting = Path("/var/tmp")  # noqa: S108 - only the root: what is made there is private
    root = lasting if lasting.is_dir() and os.access(lasting, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="nemo-fleet-", dir=root, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`; empty where the system does not tell."""
    with contextlib.suppress(OSError), open("/proc/mounts", encoding="utf-8", errors="replace") as mounts:
        return _find_file_system(mounts, os.path.realpath(folder))
    return ""


def _find_file_system(mounts: Iterable[str], path: str) -> str:
    """The type of the file system that holds `path`, by a table of mounts; of two at one place the later one."""
    best, kind = "", ""
    for line in mounts:
        _, place, each, *_ = line.split(" ")
        # Spaces, tabs, line ends and backslashes in the names of places stand there as octal numbers.
        place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place)
        if len(place) >= len(best) and (path == place or path.startswith(place.rstrip("/") + "/")):
            best, kind = place, each
    return kind


@dataclass
class Server:
    """A server in `folder`. It refuses to run as root, so it runs as another user where this process is root."""

    folder: Path
    password: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)
    port: int = field(default_factory=lambda: _free_port())
    _made: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Make its files and start it."""
        word = self.folder / "word"
        word.write_text(self.password)
        for path in (self.folder, word):
            os.chown(path, *_as_other()[1:])
        self._run("initdb", "--auth=scram-sha-256", f"--pwfile={word}", "-U", "nemo", "--encoding=UTF8", "--no-locale",
                  "--no-sync", "--no-instructions")  # fmt: skip
        command = [*_as_other()[0], "sh", "-c", _GUARDED, "sh", str(_program("postgres")), "-D", str(self._data),
                   "-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"]  # fmt: skip
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        self._wait()

    def _wait(self) -> None:
        """Until it answers."""
        import psycopg

        assert self._process is not None  # noqa: S101 - just started
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.say("SELECT 1")
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text(encoding="utf-8")[-2000:]) from error
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; its files go with the folder."""
        if self._process is not None:
            self._process.communicate(timeout=START_SECONDS)

    def url(self, database: str) -> str:
        """What NEMO_JOURNAL_URL would hold."""
        return f"postgresql+psycopg://nemo:{self.password}@127.0.0.1:{self.port}/{database}"

    def say(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Ask the server, beside everything else."""
        import psycopg

        known = {"host": "127.0.0.1", "port": self.port, "user": "nemo", "password": self.password}
        with psycopg.connect(**known, dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def database(self) -> str:
        """The name of a new, empty database."""
        self._made += 1
        self.say(f"CREATE DATABASE journal{self._made} TEMPLATE template0")
        return f"journal{self._made}"

    def cpu(self) -> float:
        """Seconds of CPU that all its processes took so far; 0 where the system does not tell."""
        first = (self._data / "postmaster.pid").read_text().split("\n", 1)[0]
        ticks = 0
        for place in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                told = place.read_text().rpartition(")")[2].split()
                if place.parent.name == first:
                    ticks += sum(map(int, told[11:15]))  # those that have ended are its own
                elif told[1] == first:
                    ticks += sum(map(int, told[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def written(self) -> int:
        """Bytes of its write-ahead log so far."""
        return int(self.say("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")[0][0])

    def _run(self, name: str, *arguments: str) -> None:
        command = [*_as_other()[0], str(_program(name)), "-D", str(self._data), *arguments]
        # Not through pipes: the server would keep them open.
        with open(self.folder / f"{name}.out", "w+", encoding="utf-8") as out:
            done = subprocess.run(command, stdout=out, stderr=out, cwd=self.folder, timeout=120, check=False)
            out.seek(0)
            if done.returncode:
                raise RuntimeError(f"{name}: {out.read()[-2000:]}")


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A new server with a folder of its own, gone afterwards."""
    with disk_folder() as folder:
        made = Server(folder)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def _program(name: str) -> str | None:
    """Where a program of PostgreSQL is: in the path, or where Debian keeps it."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(places[0]) if places else None)


def _as_other() -> tuple[list[str], int, int]:
    """How to start a program that refuses to run as root, and who it is then."""
    if os.geteuid() != 0:
        return [], os.getuid(), os.getgid()
    import pwd

    known = {each.pw_name: each for each in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    ids = ("--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups")
    return ["setpriv", *ids], user.pw_uid, user.pw_gid


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

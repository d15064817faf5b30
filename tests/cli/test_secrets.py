"""No secret leaves by the shell: each command as a process of its own, with the marked token through good and bad."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nemo_client import home, local
from nemo_client._cli.app import app
from tests.support.backend import draw
from tests.support.faults import Fault, Faults
from tests.support.marked_token import MARK, clean, files, requests, spelled, traces
from tests.support.samples import mark_all_but_every
from tests.support.waiting import PATIENT_SECONDS

pytestmark = pytest.mark.long  # each command is a process that loads everything

ROOT = Path(__file__).parent.parent.parent
SPELLINGS = " | ".join(spelled().values())
PAGE = f"<html><body><pre>Authorization: Bearer {MARK}\n{SPELLINGS}</pre></body></html>"
TROUBLE: dict[str, dict[str, Any]] = {
    "refused": {"status": 401, "code": 1001, "message": f"Bad token: {SPELLINGS}"},
    "a web page": {"status": 400, "body": PAGE, "content_type": "text/html"},
    "half an answer": {"body": f'{{"code": 0, "data": {{"seen": "{MARK}'},
}
# Everything is logged, with an error's variables, and the pauses are short.
PROGRAM = """
import logging, resource, signal, sys, traceback
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests themselves run in the background
limit = {limit}
if limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
def shown(self, info):
    report = traceback.TracebackException.from_exception(info[1], capture_locals=True)
    return "".join(report.format())
logging.Formatter.formatException = shown
logging.getLogger().setLevel(1)
for name in ("httpx", "httpcore", "asyncio", "sqlalchemy", "filelock"): logging.getLogger(name).setLevel(1)
from nemo_client._config.timings import use_timings
from tests.support.timings import make_timings
pauses = dict.fromkeys(("quiet", "next_read", "confirm", "first_read"), 0.02)
short = make_timings(studio={{**pauses, "horizon": 0.0}}, wire={{"first_pause": 0.01, "patient": 0.05}})
from nemo_client._cli.main import main
with use_timings(short): sys.exit(main())
"""


class Watch:
    """Looks at a process, and all it starts, while it runs: arguments, environment, and files that come and go."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.seen: dict[str, bytes] = {}
        self._process = process
        self._folder = folder
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        while self._process.poll() is None:
            for pid in _family(self._process.pid):
                for what in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self.seen[f"{what} of {pid}"] = Path(f"/proc/{pid}/{what}").read_bytes()
            for path in self._folder.rglob("*"):
                if path.name != "credentials.json" and str(path) not in self.seen:
                    with contextlib.suppress(OSError):
                        self.seen[str(path)] = path.read_bytes() if path.is_file() else b""
            time.sleep(0.05)


def _family(pid: int) -> list[int]:
    """A process and what it has started."""
    found = [pid]
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += _family(int(child))
    return found


@dataclass
class Shell:
    """`nemo-video` as people use it, in a folder of its own; all that it said is kept."""

    folder: Path
    backend: local.LocalBackend
    said: dict[str, str | bytes] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)

    def __call__(self, *argv: str, stdin: str = "", limit: int = 0, until: str = "") -> tuple[int, str]:
        """Run a command; its exit code and what it wrote to stdout. `until` it has said that, then Ctrl-C."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(limit=limit), *argv],
            cwd=self.folder,
            env={**environment, "NEMO_DEBUG": "1", "TMPDIR": str(self.folder.parent / "temporary")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with Watch(process, home()) as watch:
            if until:
                assert process.stdout is not None
                assert until.encode() in process.stdout.readline()
                time.sleep(0.1)
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(stdin.encode(), timeout=PATIENT_SECONDS)
        name = " ".join(argv[:2] if argv[0] == "jobs" else argv[:1])
        self.ran.add(name)
        self.said |= {f"{len(self.said)} {name} stdout": out, f"{len(self.said)} {name} stderr": err}
        self.said |= {f"{len(self.said)} {name} {place}": content for place, content in watch.seen.items()}
        return process.returncode, out.decode()

    def job(self) -> str:
        """The newest job."""
        _, out = self("jobs", "list", "--json")
        newest: str = json.loads(out)["jobs"][0]["id"]
        return newest

    def judge(self, tmp_path: Path, *, kept: bool = True) -> None:
        """The mark is in the credentials file (0600) and in `Authorization` alone."""
        clean(self.said)
        clean(requests(self.backend.calls))
        clean(files(tmp_path, but=["credentials.json"]))
        if kept:
            assert traces((home() / "credentials.json").read_bytes())
            assert (home() / "credentials.json").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """In an empty folder with a picture, before a backend whose user has the marked token."""
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(tmp_path / "here" / "harbour.png")
    options: dict[str, Any] = {"renderer": draw, "missing_glyphs": lambda text: ""}
    with local.open(tmp_path / "backend", token=MARK, credits=5000, pace=0, faults=Faults(), **options) as backend:
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        yield Shell(tmp_path / "here", backend)


def commands() -> set[str]:
    """Every command that there is, by its words."""
    named = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands if group.typer_instance else ():
            assert command.callback is not None
            named.add(f"{group.typer_instance.info.name} {command.name or command.callback.__name__}")
    return named


def test_no_command_shows_the_token_when_all_goes_well(shell: Shell, tmp_path: Path) -> None:
    """Not on stdout or stderr with all logs on, in files that come and go, in arguments or environments."""
    assert shell("login", stdin=f"{MARK}\n")[0] == 0
    assert shell("credits")[0] == 0
    assert shell("animate", "harbour.png", "--json", "--duration", "1")[0] == 0
    assert shell("chat", "what can you do?")[0] == 0
    job = shell.job()
    assert shell("jobs", "resume", job)[0] == 0
    assert shell("jobs", "cancel", job)[0] == 0
    assert shell("jobs", "resend", job, "--yes")[0] == 2
    assert shell("jobs", "forget", job)[0] == 0
    assert shell("batch", "harbour.png", "--duration", "1", "--output", "videos")[0] == 0
    assert shell("open", job)[0] == 0
    assert shell("login", "--new-anonymous")[0] == 2
    assert shell("serve", until="NEMO_API_URL=")[0] in (0, 130)

    assert shell.ran == commands()
    shell.judge(tmp_path)


def test_the_link_to_a_project_is_in_the_answer_to_who_asked_for_it_alone(shell: Shell, tmp_path: Path) -> None:
    """A claim token opens the project: it is made by `open`, and is in no log, file, journal or later answer."""
    assert shell("login", stdin=f"{MARK}\n")[0] == 0
    shell("chat", "what can you do?")
    job = shell.job()
    assert "claim-token" not in [call["endpoint"] for call in shell.backend.calls]

    code, out = shell("open", job)
    claim = out.strip().partition("?ct=")[2]
    shell("jobs", "list", "--json")

    assert code == 0
    assert len(claim) > 8
    places = shell.said | files(tmp_path / "here", tmp_path / "temporary", home())
    assert [place for place, said in places.items() if claim in str(said)] == [
        place for place, said in shell.said.items() if place.endswith(" open stdout")
    ]


@pytest.mark.parametrize("trouble", mark_all_but_every(3, list(TROUBLE), "nightly"))
def test_no_command_shows_the_token_when_the_backend_fails(trouble: str, shell: Shell, tmp_path: Path) -> None:
    """Whatever it says back, and although a shell's errors are read by other people."""
    assert shell("login", stdin=f"{MARK}\n")[0] == 0
    shell("chat", "what can you do?")
    job = shell.job()
    shell.backend.faults.add(Fault("answer", count=None, **TROUBLE[trouble]))

    for argv in (["credits"], ["animate", "harbour.png"], ["chat", "hello"]):
        assert shell(*argv)[0] in (3, 5)
    shell("jobs", "resume", job)
    shell("login", stdin=f"{MARK}\n")

    shell.judge(tmp_path)


@pytest.mark.parametrize(
    "typed",
    mark_all_but_every(4, [f"{MARK} x\n", f"{MARK}\x7f\n", MARK * 300, f"{MARK}\udcff\n"], "nightly"),
    ids=["two words", "a control character", "too long", "no text"],
)
def test_what_was_typed_at_login_and_is_no_token_is_not_repeated(typed: str, shell: Shell, tmp_path: Path) -> None:
    """It may well be one, with something beside it."""
    process_input = typed.encode("utf-8", "surrogateescape").decode("latin-1")

    assert shell("login", stdin=process_input)[0] == 2
    shell.judge(tmp_path, kept=False)


def test_a_full_disk_at_login_leaves_no_piece_of_it(shell: Shell, tmp_path: Path) -> None:
    """The half that was written goes again."""
    assert shell("login", stdin=f"{MARK}\n", limit=64)[0] == 6

    shell.judge(tmp_path, kept=False)
    assert not [path for path in home().iterdir() if "credentials.json" in path.name and path.suffix != ".lock"]


@pytest.mark.parametrize(
    "broken",
    mark_all_but_every(
        3,
        [
            lambda path: path.write_text(f'{{"tokens": {{"nemo": {{"token": "{MARK}"'),
            lambda path: path.write_text(json.dumps({"tokens": [MARK]})),
            lambda path: path.write_bytes(f'{{"tokens": "{MARK}'.encode() + b"\xff"),
        ],
        "nightly",
    ),
    ids=["cut", "another shape", "no text"],
)
def test_a_broken_credentials_file_is_not_printed(
    broken: Callable[[Path], object], shell: Shell, tmp_path: Path
) -> None:
    """The line names the file."""
    home().mkdir()
    path = home() / "credentials.json"
    path.touch(0o600)
    broken(path)

    assert shell("credits")[0] == 6
    assert shell("login", stdin="nmv_usr_another1\n")[0] == 6
    shell.judge(tmp_path)


def test_a_token_of_the_environment_stays_there(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is written down, and no file of credentials is made for it."""
    monkeypatch.setenv("NEMO_TOKEN", MARK)

    assert shell("animate", "harbour.png", "--duration", "1")[0] == 0

    shell.said = {place: said for place, said in shell.said.items() if " of " not in place}  # the user's own doing
    shell.judge(tmp_path, kept=False)
    assert not (home() / "credentials.json").exists()

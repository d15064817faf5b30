"""The home directory: private whatever the umask, and told in words where it cannot be used."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_client import Destination, DiskError, Output, Studio, Wish, home
from nemo_client._config.credentials import CredentialStore
from nemo_client._config.paths import ensure_home
from nemo_client._config.profiles import find_profile
from nemo_client._journal.database import Database
from nemo_client._safety.private_files import belongs_to_another_user
from tests.support import backend
from tests.support.disks import read_only, small_disk
from tests.support.timings import Shorten
from tests.support.waiting import PATIENT_SECONDS

PROGRAM = Path(__file__).parent.parent.joinpath("support", "home_run.py")
NOBODY = "65534"
posix = pytest.mark.skipif(os.name == "nt", reason="no such modes there")
as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder that every user can reach."""
    shared = Path("/dev/shm")  # noqa: S108 - only the root of a private folder
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def run(base: Path, mask: str = "022", user: str = "", **environment: str) -> dict[str, Any]:
    """What the program says."""
    given = {**os.environ, "PYTHONPATH": str(PROGRAM.parent.parent.parent), **environment}
    if "NEMO_HOME" not in environment:
        given.pop("NEMO_HOME", None)
    command = [sys.executable, str(PROGRAM), str(base), mask, *([user] if user else [])]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=PATIENT_SECONDS)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


# --- Private ----------------------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("mask", ["000", "277"])
@pytest.mark.long
def test_everything_in_it_is_its_owner_s_alone_whatever_the_umask(mask: str, base: Path) -> None:
    """0600 and 0700, with the journal, locks, uploads, tokens, and all that the local preview makes."""
    said = run(base, mask)

    found = {path.relative_to(base): path.lstat() for path in [base / "above", *(base / "above").rglob("*")]}
    wrong = {
        str(path): oct(stat.S_IMODE(info.st_mode))
        for path, info in found.items()
        if stat.S_IMODE(info.st_mode) != (0o700 if stat.S_ISDIR(info.st_mode) else 0o600)
    }
    assert wrong == {}
    assert said["told"] == {"local preview": {}, "nemo": {}}
    names = {path.name for path in found}
    assert {"credentials.json", "profiles.json", "client_id", "journal.sqlite3", "uploads", "owners", "key"} <= names
    assert {".mp4", ".jpg", ".lock", ".json"} <= {path.suffix for path in found}


@posix
def test_what_was_copied_there_is_made_private() -> None:
    """A backup that is restored, or a file from another machine, may be open to all."""
    ensure_home(home())
    journal, credentials = home() / "journal.sqlite3", home() / "credentials.json"
    credentials.write_text('{"version": 1, "tokens": {}}')
    journal.touch()
    for path in (journal, credentials):
        path.chmod(0o666)

    database = Database(None, home())
    with database.reading():
        pass
    database.close()
    CredentialStore(home()).read(find_profile("nemo"))

    assert [stat.S_IMODE(path.stat().st_mode) for path in (journal, credentials)] == [0o600, 0o600]


# --- Not usable -------------------------------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize(
    ("owner", "mode", "told"),
    [
        pytest.param(12345, 0o777, "it belongs to another user", id="of another user, open to all"),
        pytest.param(12345, 0o755, "Permission denied", id="of another user"),
        pytest.param(0, 0o700, "Permission denied", id="of root"),
        pytest.param(0, 0o777, "", id="of root, open to all, as volumes are"),
        pytest.param(int(NOBODY), 0o755, "", id="one's own"),
    ],
)
@pytest.mark.long
def test_another_user_s_is_refused(owner: int, mode: int, told: str, base: Path) -> None:
    """Its owner can put another file in the place of the one that says where a token goes."""
    place = base / "home"
    place.mkdir()
    os.chown(place, owner, owner)
    place.chmod(mode)

    said = run(base, user=NOBODY, NEMO_HOME=str(place))

    for words in said["told"].values():
        assert told in words.get("en", "")
        assert bool(words) == bool(told)
        if told:
            assert words["id"] == "home-unusable"
            assert "NEMO_HOME" in words["en"]
            assert "主目录" in words["zh"]
    assert said["messages"] == (0 if told else 1)
    assert bool(list(place.iterdir())) == (not told)


@as_root
@pytest.mark.long
def test_for_root_any_folder_will_do(base: Path) -> None:
    """As in a container, whose volume may belong to the user who runs it outside."""
    place = base / "home"
    place.mkdir()
    os.chown(place, 12345, 12345)

    assert run(base, NEMO_HOME=str(place))["told"] == {"local preview": {}, "nemo": {}}


@posix
@pytest.mark.parametrize(
    ("folder", "ours", "foreign"),
    [(1000, 1000, False), (1001, 1000, True), (0, 1000, False), (1001, 0, False), (501, 501, False)],
)
def test_whose_it_is_is_told_by_a_file_made_there(folder: int, ours: int, foreign: bool) -> None:
    """Not by this user's number: a disk of another machine may show all of its files as somebody's."""

    def of(user: int) -> os.stat_result:
        return os.stat_result((0o40700, 0, 0, 0, user, 0, 0, 0, 0, 0))

    assert belongs_to_another_user(of(folder), of(ours)) is foreign


async def told(profile_name: str, tmp_path: Path, shade: int) -> DiskError | None:
    """The error that a video ends with."""
    try:
        async with await Studio.open(profile_name) as studio:
            await studio.animate(
                [backend.picture(shade)],
                Wish("a", duration=1),
                Destination(tmp_path / "out", "x"),
                Output("mp4", "low", "480p"),
            )
    except DiskError as error:
        return error
    return None


cloud = backend.cloud


@pytest.fixture(autouse=True)
def _quick(shorten: Shorten) -> None:
    """The backend here is quiet at once."""
    shorten(studio={"quiet": 0.02, "poll_scale": 0.2})


@pytest.mark.parametrize("used", [False, True], ids=["new", "used before"])
@pytest.mark.parametrize("name", ["nemo", "local preview"])
async def test_a_read_only_one_is_told_and_nothing_is_sent(name: str, used: bool, cloud: Any, tmp_path: Path) -> None:
    """In both languages, with the way out; used again when it can be written, all is as before."""
    made = cloud()
    ensure_home(home())
    if used:
        assert await told(name, tmp_path, 1) is None
    before = len(made.ledger.messages)
    with read_only(home()):
        error = await told(name, tmp_path, 2)

    assert error is not None
    assert (error.id, error.charged, error.exit_code) == ("home-unusable", "no", 6)
    assert "Read-only file system" in error.text("en")
    assert "NEMO_HOME" in error.text("zh")
    assert len(made.ledger.messages) == before
    assert await told(name, tmp_path, 2) is None


@pytest.mark.parametrize("used", [False, True], ids=["new", "used before"])
@pytest.mark.parametrize("name", ["nemo", "local preview"])
async def test_a_full_one_is_told_and_nothing_is_sent(name: str, used: bool, cloud: Any, tmp_path: Path) -> None:
    """Before the message that costs credits; when there is room again, the same request goes on."""
    made = cloud()
    with small_disk(home(), "8m"):
        if used:
            assert await told(name, tmp_path, 1) is None
        before = len(made.ledger.messages)
        fill(home() / "filler")
        error = await told(name, tmp_path, 2)
        sent = len(made.ledger.messages)
        (home() / "filler").unlink()

        assert await told(name, tmp_path, 2) is None
    assert error is not None
    assert (error.id, error.charged, error.exit_code) == ("disk-full", "no", 6)
    assert "full" in error.text("en")
    assert "磁盘已满" in error.text("zh")
    assert sent == before


def fill(path: Path) -> None:
    """Take all the room there is."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(descriptor, b"x" * 4096):
            pass
    os.close(descriptor)


async def test_free_work_goes_on_where_only_the_journal_cannot_be_written(
    cloud: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And says so; paid work is stopped, before anything is sent."""
    made = cloud()
    (ensure_home(home()) / "journal.sqlite3").mkdir()

    assert await told("local preview", tmp_path, 1) is None
    error = await told("nemo", tmp_path, 2)

    assert error is not None
    assert (error.id, error.charged) == ("journal-unusable", "no")
    assert "free work goes on" in caplog.text
    assert len(made.ledger.messages) == 0


# --- Where it is ------------------------------------------------------------------------------------------------------


def journal_in(folder: Path) -> Path:
    """A folder with a journal in it."""
    folder.mkdir(parents=True)
    (folder / "journal.sqlite3").write_bytes(b"paid")
    (folder / "uploads").mkdir()
    return folder


ASK = """
import os, sys
from nemo_client import NemoError, home
from nemo_client._errors import DiskError  # loads the words while they can be read
user = int(sys.argv[1])
if user:
    os.setgid(user), os.setuid(user)
try:
    print(home())
except NemoError as error:
    sys.exit(error.text("en"))
"""


def ask_home(cwd: Path, user: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `home()` says in a process whose environment has nothing but this."""
    given = {"PYTHONPATH": str(PROGRAM.parent.parent.parent), "PATH": os.environ["PATH"], **environment}
    command = [sys.executable, "-c", ASK, str(user)]
    return subprocess.run(command, env=given, cwd=cwd, capture_output=True, text=True, check=False)


@as_root
@pytest.mark.parametrize("setting", [None, "~/videos", "~nobody-here/videos", "$HOME/videos", "${HOME}/videos"])
def test_a_user_whom_no_table_knows_is_told_to_set_nemo_home(setting: str | None, base: Path) -> None:
    """As `docker run --user 54321`, where HOME is unset: never a folder called `~` in the working directory."""
    os.chown(base, 54321, 54321)

    done = ask_home(base, 54321, **({"NEMO_HOME": setting} if setting else {}))

    assert done.returncode == 1
    assert "NEMO_HOME" in done.stderr
    assert "Nothing was charged" in done.stderr
    assert list(base.iterdir()) == []


@as_root
def test_the_journal_of_a_user_without_a_home_is_named_wherever_it_matters(base: Path) -> None:
    """It was begun below the working directory by earlier versions; who sets NEMO_HOME now is told to move it."""
    old = journal_in(base / "~" / ".config" / "nemovideo")
    for each in (base, *base.rglob("*")):
        os.chown(each, 54321, 54321)

    unset = ask_home(base, 54321)
    moved = ask_home(base, 54321, NEMO_HOME=str(base / "data"))
    command = moved.stderr.split("`")[1]
    subprocess.run(["bash", "-c", command], check=True)  # noqa: S607
    after = ask_home(base, 54321, NEMO_HOME=str(base / "data"))

    assert str(old) in unset.stderr
    assert str(old) in moved.stderr
    assert str(base / "data") in moved.stderr
    assert after.stdout.strip() == str(base / "data")
    assert (base / "data" / "journal.sqlite3").read_bytes() == b"paid"


@posix
@pytest.mark.parametrize("there", [False, True], ids=["new", "there already"])
@pytest.mark.parametrize("setting", ['"{}"', "'{}'", "{}\r", " {}", "{} \r\n", '"{}/it\'s"'], ids=ascii)
def test_an_empty_journal_is_never_begun_beside_one_of_the_old_reading(
    setting: str, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names both folders, and its command, as it stands, moves what is there."""
    monkeypatch.chdir(tmp_path)
    given = setting.format(tmp_path / "my data")
    clean = Path(given.strip(" \r\n\"'"))
    old = journal_in(Path(given).absolute())
    if there:
        clean.mkdir(parents=True)
        (clean / "profiles.json").write_text("{}")
    monkeypatch.setenv("NEMO_HOME", given)

    with pytest.raises(DiskError) as caught:
        home()
    facts = caught.value.facts
    subprocess.run(["bash", "-c", str(facts["command"])], check=True)  # noqa: S607

    assert (caught.value.id, caught.value.charged, facts["path"], facts["old"]) == ("home-moved", "no", clean, old)
    assert str(facts["command"]).isprintable()
    assert home() == clean
    assert (clean / "journal.sqlite3").read_bytes() == b"paid"
    assert (clean / "uploads").is_dir()
    assert (clean / "profiles.json").exists() == there


def test_where_both_have_a_journal_the_new_one_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing empty is begun then, and nothing would be gained by stopping."""
    monkeypatch.chdir(tmp_path)
    journal_in(Path(f'"{tmp_path}/new"').absolute())
    journal_in(tmp_path / "new")
    monkeypatch.setenv("NEMO_HOME", f'"{tmp_path}/new"')

    assert home() == tmp_path / "new"


# --- From an older program --------------------------------------------------------------------------------------------


async def test_a_journal_in_wal_gets_a_rollback_journal(tmp_path: Path, cloud: Any) -> None:
    """An older program kept it so where SQLite allowed it. While that one has the file open, work goes on in WAL."""
    cloud()
    assert await told("nemo", tmp_path, 1) is None
    with contextlib.closing(sqlite3.connect(home() / "journal.sqlite3")) as older:
        older.execute("PRAGMA journal_mode=WAL")
        older.execute("SELECT count(*) FROM attempts").fetchall()
        assert await told("nemo", tmp_path, 2) is None

    assert await told("nemo", tmp_path, 3) is None
    assert (home() / "journal.sqlite3").read_bytes()[18:20] == b"\1\1", "no WAL"


@pytest.mark.parametrize("setting", ["$HOME/videos", '"${HOME}/videos"'])
def test_a_home_that_an_env_file_left_unexpanded_is_the_users(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder called `$HOME` would be another one from each working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("NEMO_HOME", setting)

    assert home() == tmp_path / "me" / "videos"

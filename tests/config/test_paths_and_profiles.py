"""Profiles, the home directory, the client id, the platform, redaction; and handles."""

from __future__ import annotations

import copy
import json
import os
import stat
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nemo_client import (
    AuthHandle,
    DiskError,
    InputError,
    Profile,
    SessionHandle,
    default_profile,
    home,
    profile,
    profiles,
    redact,
)
from nemo_client._config.client_id import detect_platform, read_client_id
from nemo_client._config.credentials import token_from_environment
from nemo_client._config.paths import ensure_home, file_lock_for, write_private_file
from nemo_client._config.profiles import parse_origin
from nemo_client._safety.addresses import is_loopback
from tests.support.waiting import PATIENT_SECONDS

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def place() -> Path:
    return ensure_home(home())


def given(place: Path, entries: object) -> None:
    (place / "profiles.json").write_text(json.dumps(entries), encoding="utf-8")


def test_the_home_directory_is_the_vendors_unless_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Arguments, then NEMO_HOME, then ~/.config/nemovideo."""
    assert home(tmp_path / "a") == tmp_path / "a"
    assert home() == tmp_path / "home"
    monkeypatch.delenv("NEMO_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path / ".config" / "nemovideo"


def test_a_user_without_a_home_is_told_to_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run as users that no table knows; the platform can still be told."""
    monkeypatch.delenv("NEMO_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)

    with pytest.raises(DiskError, match="NEMO_HOME"):
        home()
    assert default_profile() == "local preview"
    assert detect_platform() == "unknown"


@pytest.mark.parametrize(
    "around",
    ['"{}"', "'{}'", "{}\r", '"{}"\r\n', " {} ", "\ufeff{}", "\t'{}' ", "“{}”", '"{}'],
    ids=ascii,
)
def test_what_env_files_leave_around_a_setting_is_cleaned(
    around: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Docker's env files keep quotes as they stand, and those saved on Windows a carriage return."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "NEMO_HOME": str(tmp_path / "my home"),
        "NEMO_API_URL": "https://api.test",
        "NEMO_WEB_URL": "https://web.test/",
        "NEMO_CLIENT_ID": "me-1",
        "NEMO_TOKEN": "nmv_usr_test",
    }.items():
        monkeypatch.setenv(name, around.format(value))
    token = token_from_environment(profile("nemo"))

    assert home() == tmp_path / "my home"
    assert (profile("nemo").api_url, profile("nemo").web_url) == ("https://api.test", "https://web.test")
    assert read_client_id(home()) == "me-1"
    assert token is not None
    assert token.value == "nmv_usr_test"


@pytest.mark.parametrize("empty", ["", '""', "''\r", " "], ids=ascii)
def test_an_empty_home_setting_counts_as_none(empty: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`NEMO_HOME=""` in an env file is two quotes, not a folder called so."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NEMO_HOME", empty)

    assert home() == tmp_path / ".config" / "nemovideo"


def test_the_home_directory_is_private(tmp_path: Path) -> None:
    """It holds tokens: no one else may look into it."""
    made = ensure_home(tmp_path / "deep" / "home")

    assert stat.S_IMODE(made.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "write", [lambda path: ensure_home(path), lambda path: write_private_file(path / "file", "text")]
)
def test_a_home_that_cannot_be_used_is_one_clear_error(write: object, tmp_path: Path) -> None:
    """A file where the folder should be: a `DiskError` that names it, exit code 6."""
    (tmp_path / "taken").write_text("")

    with pytest.raises(DiskError, match="taken") as caught:
        write(tmp_path / "taken" / "home")  # type: ignore[operator]
    assert caught.value.exit_code == 6


def test_private_files_are_replaced_whole(tmp_path: Path) -> None:
    """0600, and nothing but the file is left behind, even if it cannot be replaced."""
    write_private_file(tmp_path / "file", "one")
    write_private_file(tmp_path / "file", "two")
    (tmp_path / "folder").mkdir()

    with pytest.raises(DiskError):
        write_private_file(tmp_path / "folder", "three")
    assert (tmp_path / "file").read_text() == "two"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_there_are_always_the_cloud_and_the_local_preview() -> None:
    """Nothing has to be set up."""
    assert list(profiles()) == ["nemo", "local preview"]
    assert profile("nemo").api_url == "https://mega-api-prod.nemovideo.ai"
    assert profile("nemo").web_url == "https://nemovideo.com"
    assert profile("local preview").free


def test_the_environment_moves_the_cloud_profile_only(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NEMO_API_URL and NEMO_WEB_URL count for `nemo`; other profiles keep their own."""
    given(place, {"profiles": {"mine": {"api_url": "https://mine.test/", "token_env": "MY_TOKEN", "day_limit": 300}}})
    monkeypatch.setenv("NEMO_API_URL", "http://127.0.0.1:9/ ")
    monkeypatch.setenv("NEMO_WEB_URL", "https://web.test")

    assert profile("nemo").api_url == "http://127.0.0.1:9"
    assert profile("nemo").web_url == "https://web.test"
    assert profile("mine") == Profile("mine", "https://mine.test", token_env="MY_TOKEN", day_limit=300)


def test_a_file_can_limit_the_cloud_but_not_move_it(place: Path) -> None:
    """The token of `nemo` goes to its own host, whatever a file says; `local preview` stays what it is."""
    moved = {"api_url": "https://evil.test", "token_env": "OTHER", "run_limit": 200}
    given(place, {"profiles": {"nemo": moved, "local preview": moved}})

    assert profile("nemo").origin == "https://mega-api-prod.nemovideo.ai:443"
    assert (profile("nemo").run_limit, profile("nemo").token_env) == (200, "NEMO_TOKEN")
    assert profile("local preview") == Profile("local preview", free=True)


@pytest.mark.parametrize(
    "address",
    ["", "mine.test", "http://mine.test", "ftp://mine.test", "https://", "https://user:pw@mine.test",
     "https://mine.test?x=1", "https://mine.test#x", "https://mine.test:99999", "https://[::1", "file:///etc/passwd"],
)  # fmt: skip
def test_an_address_must_be_encrypted_or_on_this_machine(address: str, place: Path) -> None:
    """A token is never sent in the clear over a network, nor put into an address."""
    given(place, {"profiles": {"mine": {"api_url": address}}})

    with pytest.raises(InputError, match="'mine'"):
        profile("mine")


@pytest.mark.parametrize("address", ["", "http://example.test", "https://a:b@example.test"])
def test_a_bad_address_in_the_environment_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is none at all."""
    monkeypatch.setenv("NEMO_API_URL", address)

    if not address:
        assert profile("nemo").api_url.startswith("https://")
        return
    with pytest.raises(InputError, match="NEMO_API_URL"):
        profile("nemo")


@pytest.mark.parametrize(
    "entry",
    [{"api_url": "https://a.test", "run_limit": -1}, {"api_url": "https://a.test", "day_limit": "3"},
     {"api_url": "https://a.test", "run_limit": True}, {"api_url": "https://a.test", "token_env": "NOT A NAME"}],
)  # fmt: skip
def test_a_broken_profile_is_named(entry: object, place: Path) -> None:
    """A limit on money that cannot be understood must not count as none."""
    given(place, {"profiles": {"mine": entry}})

    with pytest.raises(InputError, match="'mine'"):
        profiles()


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"profiles": 3}', "\x00"])
def test_a_broken_file_is_named(text: str, place: Path) -> None:
    """One clear sentence, not a stack of JSON errors."""
    (place / "profiles.json").write_text(text)

    with pytest.raises(InputError, match=r"profiles\.json"):
        profiles()


def test_an_unknown_profile_lists_those_that_exist() -> None:
    """The way out is in the message."""
    with pytest.raises(InputError, match=r"'nope'.*'nemo', 'local preview'"):
        profile("nope")


@pytest.mark.parametrize(
    ("url", "same"),
    [("https://A.test", "https://a.test:443"), ("http://127.0.0.1:80/x", "http://127.0.0.1:80"),
     ("https://[::1]:8/", "https://[::1]:8")],
)  # fmt: skip
def test_origins_compare_by_scheme_host_and_port(url: str, same: str) -> None:
    """A stored token is used only at the origin that issued it, however that is written."""
    assert parse_origin(url) == same


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("x.localhost", True),
     ("10.0.0.1", False), ("example.test", False), ("localhost.example.test", False), ("", False), (None, False)],
)  # fmt: skip
def test_loopback_is_this_machine(host: str | None, here: bool) -> None:
    """Plain http is allowed there, and no proxy is used."""
    assert is_loopback(host) is here


def test_a_profiles_id_leaves_the_loopback_port_out() -> None:
    """The built-in backend and test servers have another port each time; keys must not change with it."""
    assert (
        Profile("mine", "http://127.0.0.1:1").id == Profile("mine", "http://127.0.0.1:2").id == "mine http://127.0.0.1"
    )
    assert Profile("mine", "https://a.test").id != Profile("mine", "https://a.test:8443").id
    assert Profile("anything", "http://127.0.0.1:1", free=True).id == "local"


def test_the_client_id_is_made_once_and_kept(place: Path) -> None:
    """A random UUID, the same for every request of this installation."""
    first = read_client_id(place)

    assert uuid.UUID(first).version == 4
    assert read_client_id(place) == first == (place / "client_id").read_text().strip()
    assert read_client_id(place, renew=True) != first
    assert read_client_id(place) != first


def test_the_vendors_client_id_is_taken_over(place: Path) -> None:
    """The file is where the vendor's tools keep theirs."""
    (place / "client_id").write_text("abc-123\n")

    assert read_client_id(place) == "abc-123"


@pytest.mark.parametrize("kept", ["", "x" * 65, "two words", "\xe9", "a\nb"])
def test_a_damaged_client_id_is_replaced(kept: str, place: Path) -> None:
    """At most 64 plain characters go into a header."""
    (place / "client_id").write_text(kept, encoding="utf-8")

    assert uuid.UUID(read_client_id(place)).version == 4


def test_a_given_client_id_counts_and_is_checked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NEMO_CLIENT_ID is used as it is, never renewed, never written."""
    monkeypatch.setenv("NEMO_CLIENT_ID", "given")
    assert read_client_id(place) == read_client_id(place, renew=True) == "given"
    assert not (place / "client_id").exists()

    monkeypatch.setenv("NEMO_CLIENT_ID", "x" * 65)
    with pytest.raises(InputError, match="NEMO_CLIENT_ID"):
        read_client_id(place)


def test_processes_that_start_at_once_share_one_client_id(place: Path) -> None:
    """Two ids would be two anonymous accounts."""
    code = (
        "from nemo_client import home; from nemo_client._config.client_id import read_client_id\n"
        "print(read_client_id(home()))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    printed = {process.communicate(timeout=PATIENT_SECONDS)[0].strip() for process in started}

    assert printed == {read_client_id(place)}


def test_a_client_id_that_another_process_made_meanwhile_counts(place: Path) -> None:
    """A caller that waited for the lock takes what is there then, also when a refused one is to be replaced."""
    for renew in (False, True):
        with ThreadPoolExecutor() as pool:
            with file_lock_for(place / "client_id"):
                asking = pool.submit(read_client_id, place, renew=renew)
                time.sleep(0.1)
                write_private_file(place / "client_id", f"theirs-{renew}")
            assert asking.result() == f"theirs-{renew}"


@pytest.mark.parametrize(
    ("path", "name"),
    [("~/.clawhub/skills/x/y.py", "clawhub"), ("~/.cursor/skills/x/y.py", "cursor"),
     ("~/.cursor/other/y.py", "unknown"),
     ("/opt/comfyui/custom_nodes/nemo/y.py", "unknown")],
)  # fmt: skip
def test_the_platform_is_told_by_install_path(path: str, name: str) -> None:
    """Without the attribution headers an export fails with 402."""
    assert detect_platform(Path(path).expanduser()) == name


@pytest.mark.parametrize(
    ("given", "sent"), [("mine", "mine"), (" a b\r\nX: 1é ", "abX:1"), ("\x01", "unknown"), ("", "unknown")]
)
def test_a_given_platform_cannot_add_headers(given: str, sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SKILL_SOURCE goes into a header: printable ASCII only."""
    monkeypatch.setenv("SKILL_SOURCE", given)

    assert detect_platform() == sent


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-1, next", "Authorization: Bearer …, next"),
        ("token nmv_usr_abc123 and clm_x-9", "token nmv_… and clm_…"),
        ("see https://cdn.test/a.mp4?sig=abc&x=1#t now", "see https://cdn.test/a.mp4… now"),
        ("https://me:secret@cdn.test/a", "https://…cdn.test/a"),
        ("plain words, 5?6", "plain words, 5?6"),
    ],
)
def test_secrets_are_redacted(text: str, shown: str) -> None:
    """Tokens, claim tokens, user-info and signatures never reach a log or an error."""
    assert redact(text) == shown
    assert redact(shown) == shown


def test_handles_are_data() -> None:
    """ComfyUI deep-copies and caches them; JSON keeps them; newer versions may add fields."""
    session = SessionHandle("nemo", "auto", "upload-1", "s1", "t1", "anon_1")

    assert copy.deepcopy(session) == session
    assert SessionHandle.from_json({**json.loads(json.dumps(session.to_json())), "later": 1}) == session
    assert AuthHandle.from_json({"profile": "nemo"}) == AuthHandle("nemo", "auto")
    with pytest.raises(AttributeError):
        session.key = "other"  # type: ignore[misc]

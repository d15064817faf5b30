"""Profiles as people set them up: the file, the stored tokens, and what shows of them."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from nemo_client import (
    Destination,
    InputError,
    LimitError,
    SignInError,
    Wish,
    check_given_up,
    default_profile,
    delete_profile,
    described,
    home,
    profile,
    save_profile,
    set_default,
    set_token,
)
from nemo_client._config.credentials import AccountTokens, CredentialStore, Token
from tests.support.backend import Cloud, cloud, picture

__all__ = ["cloud"]

SECRET = "nmv_usr_settings1"


def on_disk(name: str = "profiles.json") -> Any:
    return json.loads((home() / name).read_text(encoding="utf-8"))


def shown(name: str) -> dict[str, Any]:
    return next(asdict(each) for each in described() if each.name == name)


def test_a_profile_is_made_changed_and_deleted() -> None:
    """What is not given stays as it is; limits count at once."""
    save_profile("mine", address="https://mine.test/", run_limit=100)
    save_profile("mine", day_limit=300)

    assert (profile("mine").api_url, profile("mine").run_limit, profile("mine").day_limit) == (
        "https://mine.test", 100, 300,
    )  # fmt: skip
    assert (shown("mine")["builtin"], shown("mine")["address"]) == (False, "https://mine.test")
    delete_profile("mine")
    with pytest.raises(InputError, match="no profile"):
        profile("mine")


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_the_files_are_private_and_replaced_as_a_whole() -> None:
    """0600, and nothing is left beside them but their locks."""
    save_profile("mine", address="https://mine.test")
    set_token("mine", SECRET)

    for name in ("profiles.json", "credentials.json"):
        assert stat.S_IMODE((home() / name).stat().st_mode) == 0o600
    assert {each.name for each in home().iterdir()} <= {
        "profiles.json", "profiles.json.lock", "credentials.json", "credentials.json.lock",
    }  # fmt: skip


def test_what_the_file_holds_beside_it_is_kept() -> None:
    """The token's variable, the web page, and what a newer version wrote."""
    home().mkdir(parents=True)
    entry = {"api_url": "https://mine.test", "token_env": "MY_TOKEN", "web_url": "https://web.test", "new": [1]}
    (home() / "profiles.json").write_text(json.dumps({"profiles": {"mine": entry}, "newer": 3}), encoding="utf-8")

    save_profile("mine", address="https://mine.test", day_limit=5)

    assert on_disk() == {"profiles": {"mine": {**entry, "day_limit": 5}}, "newer": 3}


def test_the_address_of_a_token_from_the_environment_stays() -> None:
    """A script in the browser must not be able to have that token sent elsewhere."""
    home().mkdir(parents=True)
    entry = {"api_url": "https://mine.test", "token_env": "MY_TOKEN"}
    (home() / "profiles.json").write_text(json.dumps({"profiles": {"mine": entry}}), encoding="utf-8")

    with pytest.raises(InputError) as caught:
        save_profile("mine", address="https://evil.test")

    assert caught.value.id == "profile-pinned"
    assert profile("mine").api_url == "https://mine.test"


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        pytest.param("nemo", {"address": "https://evil.test"}, "profile-built-in", id="the cloud's address"),
        pytest.param("local preview", {"run_limit": 1}, "profile-free", id="limits where all is free"),
        pytest.param("a/b", {"address": "https://mine.test"}, "profile-broken", id="an odd name"),
        pytest.param("x" * 65, {"address": "https://mine.test"}, "profile-broken", id="a long name"),
        pytest.param("mine", {"address": "http://mine.test"}, "profile-broken", id="an open connection"),
        pytest.param("mine", {"address": "https://u:p@mine.test"}, "profile-broken", id="a password in the address"),
        pytest.param("mine", {}, "profile-broken", id="not an address"),
        pytest.param("nemo", {"run_limit": -1}, "profile-broken", id="a negative limit"),
        pytest.param("nemo", {"run_limit": 10**10}, "value", id="a huge limit"),
    ],
)
def test_what_cannot_be_used_is_not_kept(name: str, changes: dict[str, Any], expected: str) -> None:
    """Nothing is written, so that what works goes on working."""
    with pytest.raises(InputError) as caught:
        save_profile(name, **changes)

    assert caught.value.id == expected
    assert not (home() / "profiles.json").exists()


def test_a_broken_file_is_described_and_never_overwritten() -> None:
    """Its problem stands at every profile, since none can be used; a broken entry can be deleted."""
    home().mkdir(parents=True)
    (home() / "profiles.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"profiles\.json"):
        save_profile("mine", address="https://mine.test")
    assert [each.name for each in described()] == ["nemo", "local preview"]
    assert all("profiles.json" in each.problem for each in described())
    assert default_profile() == "local preview"

    (home() / "profiles.json").write_text('{"profiles": {"odd": {"api_url": 7}}}', encoding="utf-8")
    assert "'odd'" in shown("odd")["problem"]
    delete_profile("odd")

    assert all(each.problem == "" for each in described())


def test_the_default_is_the_local_preview_until_one_is_chosen() -> None:
    """And again when the chosen one is gone."""
    assert default_profile() == "local preview"
    save_profile("mine", address="https://mine.test")
    set_default("mine")
    assert default_profile() == "mine"
    with pytest.raises(InputError):
        set_default("other")
    delete_profile("mine")

    assert default_profile() == "local preview"
    assert "default" not in on_disk()


def test_a_token_shows_as_its_last_four_characters() -> None:
    """In what is described, in `repr`, nowhere whole."""
    set_token("nemo", f"  {SECRET}\n")

    assert (shown("nemo")["account"], shown("nemo")["source"], shown("nemo")["ending"]) == (
        "registered",
        "file",
        "ngs1",
    )
    assert SECRET not in repr(described())
    assert on_disk("credentials.json")["tokens"]["nemo"]["origin"] == "https://mega-api-prod.nemovideo.ai:443"
    set_token("nemo", "")
    assert (shown("nemo")["account"], shown("nemo")["source"], shown("nemo")["ending"]) == ("new", "none", "")


def test_a_short_token_shows_nothing() -> None:
    """Four characters of it would be most of it."""
    set_token("nemo", "shorty")

    assert (shown("nemo")["source"], shown("nemo")["ending"]) == ("file", "")


@pytest.mark.parametrize("text", ["two words", "tab\there", "line\nbreak", "\x00", "naïve", "x" * 4097])
def test_what_is_no_token_is_refused_without_being_told(text: str) -> None:
    """The error does not repeat it: it may be a password that was pasted by mistake."""
    with pytest.raises(InputError) as caught:
        set_token("nemo", text)

    assert caught.value.id == "token-odd"
    assert text not in str(caught.value)
    assert caught.value.facts == {}


def test_the_environment_goes_before_any_stored_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """So storing one there is refused, instead of being kept without effect."""
    monkeypatch.setenv("NEMO_TOKEN", "nmv_usr_environ")

    with pytest.raises(InputError, match="NEMO_TOKEN"):
        set_token("nemo", SECRET)

    assert (shown("nemo")["source"], shown("nemo")["ending"]) == ("environment", "iron")


def test_the_local_preview_takes_no_token() -> None:
    """It works on this machine alone."""
    with pytest.raises(InputError) as caught:
        set_token("local preview", SECRET)

    assert caught.value.id == "login-free"
    assert shown("local preview")["account"] == "local"


def test_a_profile_whose_variable_is_not_set_misses_its_token() -> None:
    """No account is signed up for it, so that is what has to be told."""
    home().mkdir(parents=True)
    entry = {"api_url": "https://mine.test", "token_env": "MY_TOKEN"}
    (home() / "profiles.json").write_text(json.dumps({"profiles": {"mine": entry}}), encoding="utf-8")

    assert (shown("mine")["account"], shown("mine")["token_env"]) == ("missing", "MY_TOKEN")


def test_a_deleted_profile_takes_its_token_along() -> None:
    """A profile of the same name made later starts without one."""
    save_profile("mine", address="https://mine.test")
    set_token("mine", SECRET)
    delete_profile("mine")

    assert SECRET not in (home() / "credentials.json").read_text(encoding="utf-8")


def test_another_address_does_not_get_the_token() -> None:
    """A stored token counts only for the origin that it was stored for."""
    save_profile("mine", address="https://mine.test")
    set_token("mine", SECRET)
    save_profile("mine", address="https://other.test")

    assert (shown("mine")["account"], shown("mine")["ending"]) == ("new", "")


def test_a_free_account_shows_when_it_ends() -> None:
    """As ISO 8601."""
    home().mkdir(parents=True)
    ends = datetime(2030, 1, 2, tzinfo=timezone.utc)
    CredentialStore(home()).write(profile("nemo"), Token("nmv_usr_freefree", "anonymous", "anon_1", ends))

    assert (shown("nemo")["account"], shown("nemo")["expires"]) == ("anonymous", "2030-01-02T00:00:00+00:00")


async def test_a_running_account_takes_up_what_the_settings_page_stored() -> None:
    """Without a restart; and a removed token is no longer used."""

    async def no_sign_up() -> Any:
        raise SignInError("token-missing", profile="nemo", variable="NEMO_TOKEN")

    async def yes(_: str = "") -> bool:
        return True

    set_token("nemo", "nmv_usr_first")
    account = AccountTokens(profile("nemo"), home(), no_sign_up, yes, yes)
    first = (await account.token()).value
    set_token("nemo", "nmv_usr_second")
    second = (await account.token()).value
    set_token("nemo", "")

    assert (first, second) == ("nmv_usr_first", "nmv_usr_second")
    for _ in range(2):
        with pytest.raises(SignInError):
            await account.token()


async def test_an_open_free_account_is_not_given_up_unasked(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generated video that was not delivered could never be fetched again."""
    made: Cloud = cloud(anonymous=True)
    told = []

    async def check(journal: Any) -> None:
        with pytest.raises(InputError) as caught:
            await check_given_up("nemo", journal)
        told.append((caught.value.id, caught.value.facts["jobs"]))

    async with made.studio() as studio:
        journal = studio._context.journal
        await check_given_up("nemo", journal)
        session = await studio.upload([picture()])
        await check(journal)
        turned = await studio.generate(session, Wish("slow push-in"))
        await check(journal)
        await studio.export(turned.session, Destination(home() / "out", "clip"))
        await check_given_up("nemo", journal)

    job = turned.session.key.split("-")[1][:8]
    assert told == [("token-gives-up", jobs) for jobs in ("-", job)], "its credits, then a video of it"


async def test_limits_that_are_saved_hold_for_the_next_message(cloud: Any) -> None:
    """In a Studio that is opened for the changed profile, which is what the network thread does."""
    made: Cloud = cloud()
    save_profile("nemo", run_limit=50)
    async with made.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(LimitError) as caught:
            await studio.generate(session, Wish("slow push-in"))
    save_profile("nemo", run_limit=0)
    async with made.studio() as studio:
        turned = await studio.generate(session, Wish("slow push-in"))

    assert caught.value.facts["limit_name"] == "run_limit"
    assert turned.money.spent == 100
    assert len(made.ledger.messages) == 1


async def test_the_project_page_is_a_claim_link(cloud: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Made when it is asked for, kept nowhere: neither in the journal nor in the log."""
    from nemo_client import list_jobs

    caplog.set_level(0)
    made: Cloud = cloud()
    async with made.studio() as studio:
        await studio.generate(await studio.upload([picture()]), Wish("slow push-in"))
        (job,) = await list_jobs(studio._context.journal)
        url = await studio.project_page(job)

    start, _, token = url.partition("?ct=")
    assert start == "https://web.test/workspace/claim"
    assert token.startswith("clm_")
    assert token not in caplog.text
    assert token.encode() not in (home() / "journal.sqlite3").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="starts processes by fork of this interpreter")
def test_two_processes_change_different_profiles_and_both_stay() -> None:
    """Each change reads the file again under its lock."""
    import subprocess

    code = "from nemo_client import save_profile; import sys; save_profile(sys.argv[1], address='https://mine.test')"
    started = [subprocess.Popen([sys.executable, "-c", code, f"p{number}"]) for number in range(4)]

    assert [each.wait(60) for each in started] == [0] * 4
    assert sorted(on_disk()["profiles"]) == ["p0", "p1", "p2", "p3"]


def test_paths_stay_inside_the_home_directory() -> None:
    """A name is a key in a file, never a part of a path."""
    with pytest.raises(InputError):
        save_profile("../../evil", address="https://mine.test")

    assert not list(Path(home()).glob("**/*evil*"))

"""Tokens: environment, disk, sign-up; kept privately, shared between processes, never replaced silently."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from nemo_client import (
    ClientIdRefused,
    ConnectionBroken,
    DiskError,
    NemoError,
    Profile,
    RateLimited,
    SignInError,
    Studio,
    account_text,
    home,
    local,
    profile,
)
from nemo_client._config.credentials import (
    AccountTokens,
    CredentialStore,
    Token,
    build_registration_link,
    token_from_environment,
)
from nemo_client._config.free_accounts import FreeUsers
from nemo_client._errors import ApiError
from nemo_client._wire.schemas import AnonymousToken
from tests.support.backend import until
from tests.support.faults import Fault, Faults
from tests.support.waiting import PATIENT_SECONDS

ROOT = Path(__file__).parent.parent.parent
NOW = datetime(2026, 8, 1, tzinfo=timezone.utc)
CLOUD = Profile("nemo", "https://api.test", "https://web.test", token_env="NEMO_TOKEN")


class Backend:
    """Signs up, as often as asked, with numbered tokens; raises what it is told to first."""

    def __init__(self, *errors: NemoError, renewable: bool = True) -> None:
        self.errors = list(errors)
        self.sign_ups = 0
        self.new_ids = 0
        self.renewable = renewable
        self.replaceable: bool | Callable[[str], bool] = True
        self.gate = asyncio.Event()
        self.gate.set()

    async def sign_up(self) -> AnonymousToken:
        self.sign_ups += 1
        number = self.sign_ups
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        return AnonymousToken(token=f"token-{number}", user_id=f"anon_{number}", expires_at=NOW + timedelta(days=7))

    async def may_replace(self, account: str) -> bool:
        return self.replaceable if isinstance(self.replaceable, bool) else self.replaceable(account)

    async def new_client_id(self) -> bool:
        self.new_ids += 1
        return self.renewable

    def account(self, profile: Profile = CLOUD, now: datetime = NOW) -> AccountTokens:
        return AccountTokens(profile, home(), self.sign_up, self.may_replace, self.new_client_id, lambda: now)


def kept() -> Any:
    return json.loads((home() / "credentials.json").read_text())["tokens"]


async def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """NEMO_TOKEN is the user's own: nothing is signed up, nothing is written."""
    backend = Backend()
    monkeypatch.setenv("NEMO_TOKEN", " mine ")

    token = await backend.account().token()

    assert (token.value, token.kind, backend.sign_ups) == ("mine", "user", 0)
    assert not (home() / "credentials.json").exists()


async def test_a_token_of_the_cloud_is_for_the_cloud_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another profile has a variable of its own, or none."""
    monkeypatch.setenv("NEMO_TOKEN", "mine")
    monkeypatch.setenv("NEMO_API_URL", "https://api.test")

    assert token_from_environment(profile("nemo")) is not None
    assert token_from_environment(Profile("other", "https://other.test")) is None
    with pytest.raises(SignInError, match="Set the environment variable OTHER_TOKEN"):
        await Backend().account(Profile("other", "https://other.test", token_env="OTHER_TOKEN")).token()


async def test_a_sign_up_is_kept_with_its_expiry_for_nobody_else_to_read() -> None:
    """The server gives one token a week, so it must outlive restarts; 0600."""
    backend = Backend()
    token = await backend.account().token()
    again = await Backend().account().token()

    assert token == again == Token("token-1", "anonymous", "anon_1", NOW + timedelta(days=7))
    assert kept()["nemo"]["expires_at"] == "2026-08-08T00:00:00+00:00"
    assert stat.S_IMODE((home() / "credentials.json").stat().st_mode) == 0o600
    assert backend.sign_ups == 1
    assert "token-1" not in repr(token)


async def test_an_expiry_that_is_not_told_is_a_week_from_now() -> None:
    """The token's life is documented."""
    backend = Backend()

    async def sign_up() -> AnonymousToken:
        return AnonymousToken(token="t")

    account = AccountTokens(CLOUD, home(), sign_up, backend.may_replace, backend.new_client_id, lambda: NOW)

    assert (await account.token()).expires_at == NOW + timedelta(days=7)


async def test_an_expired_token_is_replaced_before_it_is_refused() -> None:
    """After expiry the same client id may ask again."""
    await Backend().account().token()
    later = Backend()
    later.sign_ups = 1

    token = await later.account(now=NOW + timedelta(days=7)).token()

    assert token.value == "token-2"
    assert kept()["nemo"]["token"] == "token-2"


async def test_a_token_is_used_at_the_origin_that_issued_it_only() -> None:
    """The address of a profile can change; its old token must not go to the new one."""
    await Backend().account().token()
    elsewhere = Backend()
    elsewhere.sign_ups = 5

    moved = Profile("nemo", "https://other.test", token_env="NEMO_TOKEN")
    assert (await elsewhere.account(moved).token()).value == "token-6"


async def test_a_free_account_outlives_a_sign_up_at_another_address() -> None:
    """One try with NEMO_API_URL must not cost the credits and the open work of the account that is there."""
    cloud, elsewhere = Backend(), Backend()
    elsewhere.sign_ups = 5
    first = await cloud.account().token()
    moved = Profile("nemo", "https://other.test", token_env="NEMO_TOKEN")
    other = await elsewhere.account(moved).token()
    back = await cloud.account().token()
    again = await elsewhere.account(moved).token()
    store = CredentialStore(home())

    assert (back.value, again.value) == (first.value, other.value)
    assert (cloud.sign_ups, elsewhere.sign_ups) == (1, 6)
    assert (store.read(CLOUD), store.read(moved)) == (first, other)
    with store.locked():
        store.remove("nemo", CLOUD.origin)
        assert (store.read(CLOUD), store.read(moved)) == (None, other)
        store.remove("nemo")
    assert kept() == {}


async def test_a_refused_anonymous_token_is_renewed_where_nothing_is_owed() -> None:
    """1001; what another process got in the meantime is used first."""
    backend = Backend()
    account = backend.account()
    old = await account.token()
    new = await account.renew(old)
    late = await account.renew(old)

    assert new is not None
    assert (new.value, backend.sign_ups) == ("token-2", 2)
    assert late == new == await account.token()


async def test_where_the_time_is_not_known_no_token_has_expired() -> None:
    """1001 tells; this machine's clock may be days ahead, and there is one token a week."""
    await Backend().account().token()
    later = Backend()
    account = AccountTokens(CLOUD, home(), later.sign_up, later.may_replace, later.new_client_id, lambda: None)
    token = await account.token()

    assert (token.value, later.sign_ups) == ("token-1", 0)
    assert (await account.renew(token)).value == "token-1"  # type: ignore[union-attr]
    assert later.sign_ups == 1


@pytest.mark.parametrize("days", [-10, 0, 10])
async def test_a_wrong_clock_throws_no_good_token_away(
    days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine's or the server's: a stored token that seems long over is used until 1001 tells."""
    faults = Faults(Fault("clock", count=None, seconds=days * 24 * 3600.0))
    with local.open(tmp_path / "backend", anonymous=True, pace=0, faults=faults) as backend:
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        async with await Studio.open("nemo") as studio:
            first = await studio._context.token()
        cloud = profile("nemo")
        store = CredentialStore(home())
        with store.locked():  # as it looks from a clock that is ten days ahead
            store.write(cloud, replace(first, expires_at=datetime.now(timezone.utc) - timedelta(days=3)))
        async with await Studio.open("nemo") as studio:
            balance = await studio.credits()
            again = await studio._context.token()
        signed_up = [call for call in backend.calls if call["endpoint"] == "anonymous-token"]

    assert balance.available == 100
    assert len(signed_up) == 1
    assert again.value == first.value


async def test_a_token_with_open_work_is_not_replaced() -> None:
    """Its paid work would be lost; the error names the way to give it up."""
    backend = Backend()
    account = backend.account()
    old = await account.token()
    backend.replaceable = lambda account: account != "anon_1"

    with pytest.raises(SignInError, match="nemo-video login --new-anonymous"):
        await account.renew(old)
    with pytest.raises(SignInError, match="nemo-video login --new-anonymous"):
        await backend.account(now=NOW + timedelta(days=8)).token()
    assert kept()["nemo"]["token"] == "token-1"


async def test_the_users_own_token_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the one in the environment nor one that was stored."""
    monkeypatch.setenv("NEMO_TOKEN", "mine")
    backend = Backend()
    account = backend.account()
    assert await account.renew(await account.token()) is None

    monkeypatch.delenv("NEMO_TOKEN")
    store = CredentialStore(home())
    with store.locked():
        store.write(CLOUD, Token("stored", "user", "u1"))
    stored = await account.token()
    assert (stored.value, await account.renew(stored)) == ("stored", None)
    with pytest.raises(SignInError, match="'nemo' is wrong or has expired"):
        await account.renew(Token("stored", "anonymous", "u1"))
    assert backend.sign_ups == 0


async def test_two_who_need_a_token_at_once_sign_up_once() -> None:
    """In one process by a lock, between Studios of one home directory by the file."""
    backend = Backend()
    accounts = [backend.account() for _ in range(3)]
    tokens = await asyncio.gather(*(account.token() for account in accounts for _ in range(3)))

    assert {token.value for token in tokens} == {"token-1"}
    assert backend.sign_ups == 1


@pytest.mark.long
def test_two_processes_share_one_sign_up(tmp_path: Path) -> None:
    """The file lock holds between processes: one of them signs up, the others read what it got."""
    code = (
        "import asyncio; from nemo_client import Studio\n"
        "async def run():\n"
        "    async with await Studio.open('nemo') as studio:\n"
        "        print((await studio._context.token()).account)\n"
        "asyncio.run(run())"
    )
    with local.open(tmp_path / "backend", anonymous=True, pace=0) as backend:
        environment = {**os.environ, "NEMO_API_URL": backend.url}
        started = [
            subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        printed = {process.communicate(timeout=PATIENT_SECONDS)[0] for process in started}
        signed_up = [call for call in backend.calls if call["endpoint"] == "anonymous-token"]

    assert len(printed) == 1
    assert printed.pop().startswith("anon_")
    assert len(signed_up) == 1


async def test_a_refused_client_id_is_replaced_once() -> None:
    """400 at sign-up: a new client id, and once more."""
    backend = Backend(ApiError(code=400, status=400))

    assert (await backend.account().token()).value == "token-2"
    assert backend.new_ids == 1


@pytest.mark.parametrize("renewable", [True, False])
async def test_a_client_id_that_cannot_be_replaced_is_told(renewable: bool) -> None:
    """One that was given stays; a second refusal is final."""
    backend = Backend(ClientIdRefused(code=400), ClientIdRefused(code=400), renewable=renewable)

    with pytest.raises(ClientIdRefused, match="NEMO_CLIENT_ID") as caught:
        await backend.account().token()
    assert backend.sign_ups == (2 if renewable else 1)
    assert caught.value.code == 400


async def test_no_more_free_tokens_is_told_with_the_ways_out() -> None:
    """429 at sign-up: register, or work locally."""
    with pytest.raises(RateLimited, match=r"Register at https://web\.test/register .*'local preview'"):
        await Backend(RateLimited(code=429, status=429)).account().token()


@pytest.mark.parametrize("kind", [ApiError, SignInError, RateLimited], ids=lambda kind: kind.__name__)
async def test_a_refused_sign_up_names_the_ways_out_and_no_token(kind: type[ApiError]) -> None:
    """Whatever its code: there is no token yet that could be wrong, and running again changes nothing."""
    error = kind(code=403, status=403, reason="use its own token", call="sign-up")
    with pytest.raises(kind) as caught:
        await Backend(error).account().token()

    for lang in ("en", "zh"):
        assert "use its own token" not in caught.value.text(lang)
        assert "https://web.test/register" in caught.value.text(lang)
        assert "local preview" in caught.value.text(lang)
    caught.value.on_page = True
    assert "NemoVideo → Profiles" in caught.value.text("en")


async def test_other_errors_at_sign_up_are_themselves() -> None:
    """No network is no network."""
    with pytest.raises(ConnectionBroken):
        await Backend(ConnectionBroken("answer-broken")).account().token()


async def test_a_cancel_during_sign_up_does_not_lose_the_token() -> None:
    """Cancel in the first second must not lock anybody out for a week."""
    backend = Backend()
    backend.gate.clear()
    account = backend.account()
    asking = asyncio.ensure_future(account.token())
    await until(lambda: backend.sign_ups)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    backend.gate.set()
    await account.finish_sign_up()

    assert kept()["nemo"]["token"] == "token-1"
    assert (await account.token()).value == "token-1"


async def test_a_cancel_while_waiting_for_the_lock_leaves_it_free() -> None:
    """The next caller gets it."""
    store = CredentialStore(home())
    with store.locked():
        account = Backend().account()
        asking = asyncio.ensure_future(account.token())
        await asyncio.sleep(0.1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    await account.finish_sign_up()

    assert (await account.token()).value == "token-1"


async def test_a_token_that_cannot_be_kept_is_used_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk after the sign-up: lost to the next run, not to this one, and said so without the token."""
    full = DiskError("disk-full", path="credentials.json")

    def write(*_: object) -> None:
        raise full

    monkeypatch.setattr(CredentialStore, "write", write)

    assert (await Backend().account().token()).value == "token-1"
    assert "this run only" in caplog.text
    assert "token-1" not in caplog.text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tokens": 3}', "\x00\xff"])
async def test_a_damaged_file_is_told_and_left_alone(text: str) -> None:
    """It may hold a token that is worth something; a new sign-up over it would lose that."""
    home().mkdir(parents=True)
    (home() / "credentials.json").write_text(text, encoding="latin-1")
    backend = Backend()

    with pytest.raises(DiskError, match=r"damaged. Move it") as caught:
        await backend.account().token()
    assert (caught.value.exit_code, backend.sign_ups) == (6, 0)
    assert (home() / "credentials.json").read_text(encoding="latin-1") == text


@pytest.mark.parametrize("entry", [None, 3, {}, {"token": ""}, {"token": 7}, {"origin": "https://api.test:443"}])
async def test_an_odd_entry_counts_as_none(entry: object) -> None:
    """The rest of the file may be fine, and survives."""
    home().mkdir(parents=True)
    (home() / "credentials.json").write_text(json.dumps({"tokens": {"nemo": entry, "other": {"token": "o"}}}))

    assert (await Backend().account().token()).value == "token-1"
    assert kept()["other"] == {"token": "o"}


async def test_a_home_that_cannot_be_written_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is signed up that could not be kept."""
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("NEMO_HOME", str(tmp_path / "taken" / "home"))
    backend = Backend()

    with pytest.raises(DiskError, match="NEMO_HOME"):
        await backend.account().token()
    assert backend.sign_ups == 0


def test_an_account_has_a_name_that_is_no_secret() -> None:
    """The user id, else a keyed hash of the token."""
    named, unnamed = Token("secret", "user", "u1"), Token("secret", "user")

    assert named.account == "u1"
    assert unnamed.account == Token("secret", "user").account != Token("other", "user").account
    assert "secret" not in unnamed.account
    assert build_registration_link(CLOUD, "anon_1") == "https://web.test/register?bind=anon_1"
    assert build_registration_link(CLOUD, "") == "https://web.test/register"


async def test_what_is_known_of_an_account_is_told_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profile, kind, and when the token expires."""
    assert account_text(CLOUD) == "nemo: a free account is opened on first use"
    await Backend().account().token()
    assert account_text(CLOUD) == "nemo: free account, token until 2026-08-08 00:00 UTC"
    monkeypatch.setenv("NEMO_TOKEN", "mine")
    assert account_text(CLOUD) == "nemo: your own account"
    assert account_text(profile("local preview")) == "local preview: works on this machine, free, no account"


async def test_a_free_accounts_token_in_the_variable_is_known_in_later_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening a session tells whose it is; that is kept, without the token."""
    with local.open(tmp_path / "backend", anonymous=True, pace=0) as backend:
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        monkeypatch.setenv("NEMO_WEB_URL", "https://web.test")
        async with await Studio.open("nemo") as studio:
            token = await studio._context.token()
        monkeypatch.setenv("NEMO_TOKEN", token.value.reveal())
        (home() / "credentials.json").unlink()
        async with await Studio.open("nemo") as studio:
            assert await studio.registration_link() == ""
            await studio._context.client.create_session("en")
            link = await studio.registration_link()
        async with await Studio.open("nemo") as studio:
            later = await studio.registration_link()

    assert link == later == f"https://web.test/register?bind={token.user_id}"
    assert token.value.reveal() not in (home() / "free_accounts.json").read_text()


def test_a_damaged_record_of_free_accounts_costs_nothing(tmp_path: Path) -> None:
    """It is a convenience, and is written again."""
    (tmp_path / "free_accounts.json").write_text("{half")
    users = FreeUsers(tmp_path)
    assert users.find_user_id("token-1") is None
    users.note("token-1", "anon_1")
    users.note("token-2", "someone")

    assert (FreeUsers(tmp_path).find_user_id("token-1"), FreeUsers(tmp_path).find_user_id("token-2")) == (
        "anon_1",
        None,
    )

"""`nemo-video login`: whose credits a profile uses, kept on this machine."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ._accounts import Account, CredentialStore, FixedToken, Token, TokenSource, known_token, registration_link
from ._cli_run import Run
from ._cli_screen import Outcome
from ._client import NemoClient, renew_client_id
from ._config import Profile, client_id, ensure_home, home, lock_failed, profile
from ._errors import InputError, SignInError, TransportError
from ._http import Http
from ._jobs import id_of
from ._journal import Journal
from ._secret import Secret
from ._steps import State
from ._words import say

MAX_TOKEN_CHARACTERS: Final = 4096


@dataclass(frozen=True)
class Login:
    """What `login` was asked for, as it was typed. `yes` agrees to what is lost by it."""

    new_anonymous: bool = False
    yes: bool = False


def login(run: Run, asked: Login) -> Outcome:
    """Keep a token of the user's own, or sign up anew for a free account."""
    chosen = profile(run.profile)
    if chosen.free:
        raise InputError("login-free", name=chosen.name)
    if asked.new_anonymous:
        return run.do(_signed_up(run, chosen))
    token = _typed(run, chosen)
    return run.do(_kept(run, chosen, token, asked))


def _typed(run: Run, chosen: Profile) -> Token:
    """The token from a prompt that does not show it, or from a pipe; never from an argument, which others can see."""
    question = say("login.prompt", run.screen.lang, profile=chosen.name) + " "
    asked = sys.stdin.isatty()
    text = Secret((getpass.getpass(question, sys.stderr) if asked else sys.stdin.readline()).strip())
    token = Token(text, "user")
    if not text or not token.sendable or len(text) > MAX_TOKEN_CHARACTERS:
        raise InputError("token-odd")
    return token


async def _kept(run: Run, chosen: Profile, token: Token, asked: Login) -> Outcome:
    """Try the token out (a refused one is not kept), then keep it."""
    place = ensure_home(home())
    store = CredentialStore(place)
    before = await asyncio.to_thread(store.read, chosen)
    owed = await _owed(place, before)
    if owed and not asked.yes:
        raise InputError("login-gives-up", jobs=", ".join(owed))
    remarks = []
    try:
        await _tried(chosen, place, token)
    except TransportError as error:
        remarks.append(say("login.unchecked", run.screen.lang, reason=error.id))
    await asyncio.to_thread(_write, store, place, chosen, token)
    if known_token(chosen):
        remarks.append(say("login.before", run.screen.lang, variable=chosen.token_env))
    text = say("login.kept", run.screen.lang, profile=chosen.name, path=place / "credentials.json")
    return _outcome(run, chosen, text, token, owed, remarks)


async def _signed_up(run: Run, chosen: Profile) -> Outcome:
    """Another free account; the token before is replaced only when there is a new one."""
    if known_token(chosen):
        raise InputError("login-variable", variable=chosen.token_env)
    place = ensure_home(home())
    store = CredentialStore(place)
    before = await asyncio.to_thread(store.read, chosen)
    if before is not None and before.kind == "user":
        raise InputError("login-own", name=chosen.name, path=place / "credentials.json")
    owed = await _owed(place, before)
    token = await _new_token(chosen, place, before)
    link = registration_link(chosen, token.user_id)
    text = say("login.anonymous", run.screen.lang, profile=chosen.name, link=link)
    return _outcome(run, chosen, text, token, owed, [])


async def _new_token(chosen: Profile, place: Path, before: Token | None) -> Token:
    async def on_the_user_s_word(_: str) -> bool:
        return True

    account = Account(
        chosen, place, lambda: client.anonymous_token(), on_the_user_s_word, lambda: renew_client_id(client, place)
    )
    client = await _client(chosen, place, account)
    try:
        renewed = await account.renew(before) if before is not None else None
        return renewed or await account.token()
    finally:
        await account.settled()
        await client.aclose()


async def _client(chosen: Profile, place: Path, tokens: TokenSource) -> NemoClient:
    return NemoClient(Http(chosen, await asyncio.to_thread(client_id, place), tokens))


async def _tried(chosen: Profile, place: Path, token: Token) -> None:
    client = await _client(chosen, place, FixedToken(token))
    try:
        await client.balance()
    except SignInError as error:
        raise SignInError("login-refused", code=error.code, profile=chosen.name) from error
    finally:
        await client.aclose()


def _write(store: CredentialStore, place: Path, chosen: Profile, token: Token) -> None:
    try:
        with store.locked():
            store.write(chosen, token)
    except OSError as error:
        raise lock_failed(error, place) from error


async def _owed(place: Path, before: Token | None) -> list[str]:
    """Ids of the jobs that are out or not delivered under a free account, which nobody can reach without its token."""
    if before is None or before.kind != "anonymous":
        return []
    journal = Journal(place, os.environ.get("NEMO_JOURNAL_URL") or None)
    try:
        opened = [each for each in await journal.open_attempts(before.account) if each.state is not State.PLANNED]
        made = await journal.undelivered(before.account)
    finally:
        await journal.close()
    return sorted({id_of(each.key) for each in (*opened, *made) if each.paid})


def _outcome(run: Run, chosen: Profile, text: str, token: Token, owed: list[str], remarks: list[str]) -> Outcome:
    data = {
        "profile": chosen.name,
        "account": token.kind,
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "given_up": owed,
    }
    if owed:
        remarks = [*remarks, say("login.given-up", run.screen.lang, jobs=", ".join(owed))]
    return Outcome(text, data, tuple(remarks))

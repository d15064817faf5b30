"""`nemo-video login`: stores the token of a profile on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .._config.credentials import AccountTokens, CredentialStore, Token, build_registration_link, token_from_environment
from .._config.paths import ensure_home, find_home
from .._config.profile_store import check_token
from .._config.profiles import Profile, find_profile
from .._errors import Cancelled, InputError
from .._journal.journal import Journal
from .._safety.redaction import Secret
from .._studio.token_change import Change, Losses, examine_change, find_losses, open_client
from .._text.messages import say
from .._wire.client import renew_client_id
from .output import Outcome
from .runtime import Run

_TRIES: Final = 5


@dataclass(frozen=True)
class Login:
    """What `login` was asked for, as it was typed. `yes` agrees to what is lost by it."""

    new_anonymous: bool = False
    yes: bool = False


def login(run: Run, asked: Login) -> Outcome:
    """Keep a token of the user's own, or sign up for another free account."""
    chosen = find_profile(run.profile)
    if chosen.free:
        raise InputError("login-free", name=chosen.name)
    if asked.new_anonymous:
        losses = run.do(_losses_of_free_account(chosen))
        if losses.usable:  # else the account is over, and the option's name says what goes
            _ask_for_consent(run, losses, asked)
        return run.do(_sign_up_again(run, chosen, losses))
    token = _read_token(run, chosen)
    for _ in range(_TRIES):
        change = run.do(_examine_token(run, chosen, token))
        _ask_for_consent(run, change.losses, asked)
        if run.do(change.carry_out()):
            return _keep_token(run, change, token)
    raise InputError("token-changing", profile=chosen.name)


def _read_token(run: Run, chosen: Profile) -> Token:
    """The token from a prompt that does not show it, or from a pipe; never from an argument, which others can see."""
    question = say("login.prompt", run.screen.lang, profile=chosen.name) + " "
    asked = sys.stdin.isatty()
    text = Secret(getpass.getpass(question, sys.stderr) if asked else sys.stdin.readline())
    token = check_token(chosen.name, text, find_home())[1]
    if token is None:
        raise InputError("token-odd")
    return token


def _ask_for_consent(run: Run, losses: Losses, asked: Login) -> None:
    """Name what is lost and ask; `InputError` where no one can answer, `Cancelled` where the answer is no."""
    if not losses or asked.yes:
        return
    lang = run.screen.lang
    if not sys.stdin.isatty():
        raise InputError("login-gives-up", **losses.facts)
    run.screen.warn(say("login.gives-up", lang, **losses.facts))
    run.screen.ask(say("login.ask", lang) + " ")
    answer = ""
    with contextlib.suppress(EOFError):
        answer = input()
    if answer.strip().casefold() not in ("y", "yes"):
        raise Cancelled("cancelled")


async def _examine_token(run: Run, chosen: Profile, token: Token) -> Change:
    """The change, with the token tried out: a refused one is not kept."""
    place = ensure_home(find_home())
    async with Journal.open(place) as journal:
        return await examine_change(chosen, place, token, journal, lang=run.screen.lang)


def _keep_token(run: Run, change: Change, token: Token) -> Outcome:
    chosen, lang, remarks = change.which, run.screen.lang, []
    if change.untried:
        remarks.append(say("login.unchecked", lang, reason=change.untried))
    if token_from_environment(chosen):
        remarks.append(say("login.before", lang, variable=chosen.token_env))
    text = say("login.kept", lang, profile=chosen.name, path=change.place / "credentials.json")
    return _make_outcome(run, chosen, text, token, change.losses, remarks)


async def _losses_of_free_account(chosen: Profile) -> Losses:
    """What is lost with the stored free account; an `InputError` where none is stored, but a token of one's own."""
    if token_from_environment(chosen):
        raise InputError("login-variable", variable=chosen.token_env)
    place = ensure_home(find_home())
    before = await asyncio.to_thread(CredentialStore(place).read, chosen)
    if before is not None and before.kind == "user":
        raise InputError("login-own", name=chosen.name, path=place / "credentials.json")
    async with Journal.open(place) as journal:
        return await find_losses(chosen, place, before, journal)


async def _sign_up_again(run: Run, chosen: Profile, losses: Losses) -> Outcome:
    """Another free account; the token before is replaced only when there is a new one."""
    place = ensure_home(find_home())
    before = await asyncio.to_thread(CredentialStore(place).read, chosen)
    token = await _new_token(chosen, place, before)
    link = build_registration_link(chosen, token.user_id)
    text = say("login.anonymous", run.screen.lang, profile=chosen.name, link=link)
    return _make_outcome(run, chosen, text, token, losses, [])


async def _new_token(chosen: Profile, place: Path, before: Token | None) -> Token:
    async def on_the_user_s_word(_: str) -> bool:
        return True

    account = AccountTokens(
        chosen,
        place,
        sign_up=lambda: client.anonymous_token(),
        may_replace=on_the_user_s_word,
        new_client_id=lambda: renew_client_id(client, place),
    )
    client = await open_client(chosen, place, account)
    try:
        renewed = await account.renew(before) if before is not None else None
        return renewed or await account.token()
    finally:
        await account.finish_sign_up()
        await client.aclose()


def _make_outcome(run: Run, chosen: Profile, text: str, token: Token, losses: Losses, remarks: list[str]) -> Outcome:
    data = {
        "profile": chosen.name,
        "account": token.kind,
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "given_up": list(losses.jobs),
        "given_up_credits": losses.credits,
    }
    if losses.jobs:
        remarks = [*remarks, say("login.given-up", run.screen.lang, jobs=", ".join(losses.jobs))]
    if losses.credits:
        remarks = [*remarks, say("login.given-up-credits", run.screen.lang, credits=losses.credits)]
    return Outcome(text, data, tuple(remarks))

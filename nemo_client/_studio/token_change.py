"""Replaces a stored token: the new one is tested first, and what is lost with the old one is named.

A free account is lost with its token: the server gives one a week, and no one can sign in to it again without it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .._config.client_id import read_client_id
from .._config.credentials import CredentialStore, FixedToken, Token, TokenSource, token_from_environment
from .._config.paths import describe_lock_failure, ensure_home, find_home
from .._config.profile_store import check_token
from .._config.profiles import Profile, find_profile
from .._config.timings import timings_in_use
from .._errors import ApiError, ConnectionBroken, InputError, NemoError, SignInError, TransportError
from .._journal.journal import Journal
from .._safety.redaction import Secret
from .._text.messages import Phrase, what_and_hint
from .._wire.client import NemoClient
from .._wire.decompression import run_within
from .._wire.http import Http
from .account_guard import find_owed

_TRIES: Final = 5
"""How often the stored token may change while its successor is looked at, before that is given up."""


@dataclass(frozen=True)
class Losses:
    """What is out of reach once the stored free account is replaced: its credits, and its open or undelivered jobs.

    `credits` is None where they could not be read; `usable` says whether the backend still takes its token.
    """

    credits: float | None = 0
    jobs: tuple[str, ...] = ()
    usable: bool = False

    def __bool__(self) -> bool:
        return self.credits is None or self.credits > 0 or bool(self.jobs)

    @property
    def facts(self) -> dict[str, Any]:
        """As the texts name them."""
        return {"credits": "?" if self.credits is None else self.credits, "jobs": ", ".join(self.jobs) or "-"}


@dataclass(frozen=True)
class Change:
    """A token that may go in the place of `before`: what is lost by it, and why it could not be tried out, if so."""

    which: Profile
    place: Path
    token: Token | None
    before: Token | None
    losses: Losses
    untried: str = ""

    async def carry_out(self) -> bool:
        """Store or remove the token; False, with nothing changed, where another one was stored meanwhile."""
        return await asyncio.to_thread(self._write_token)

    def _write_token(self) -> bool:
        store = CredentialStore(self.place)
        try:
            with store.locked():
                if not _is_same(store.read(self.which), self.before):
                    return False
                if self.token is None:
                    store.remove(self.which.name, self.which.origin)
                elif not _is_same(self.token, self.before):  # the same one again keeps its kind and its expiry
                    store.write(self.which, self.token)
                return True
        except OSError as error:
            raise describe_lock_failure(error, self.place) from error


def _is_same(one: Token | None, other: Token | None) -> bool:
    return (one is None and other is None) or (one is not None and other is not None and one.value == other.value)


async def replace_token(
    name: str,
    text: str | Secret,
    journal: Journal,
    directory: Path | None = None,
    *,
    force: bool = False,
    lang: str | None = None,
) -> str:
    """Store a token for this profile after a balance request has worked with it; an empty one deletes the stored one.

    Raises `InputError` if it is not a token, `SignInError` if the backend refuses it, `TransportError` if it cannot be
    checked and would replace another, and, without `force`, `InputError` `token-gives-up` with what would be lost with
    a free account. The stored token stays in all these cases. Returns why it could not be checked, or an empty string.
    """
    place = find_home(directory)
    which, token = await asyncio.to_thread(check_token, name, text, place)
    if token_from_environment(which):
        raise InputError("login-variable", variable=which.token_env)
    for _ in range(_TRIES):
        change = await examine_change(which, place, token, journal, lang=lang)
        if change.losses and not force:
            raise InputError("token-gives-up", **change.losses.facts)
        if await change.carry_out():
            return change.untried
    raise InputError("token-changing", profile=which.name)


async def check_given_up(name: str, journal: Journal, directory: Path | None = None) -> None:
    """Raise `InputError` with what is lost together with the stored free account's token of this profile."""
    place = find_home(directory)
    which = await asyncio.to_thread(find_profile, name, place)
    before = None if which.free else await asyncio.to_thread(CredentialStore(place).read, which)
    losses = await find_losses(which, place, before, journal)
    if losses:
        raise InputError("token-gives-up", **losses.facts)


async def examine_change(
    which: Profile, place: Path, token: Token | None, journal: Journal, *, lang: str | None = None
) -> Change:
    """Try `token` out and look what the stored one holds. Nothing is changed; raises as `replace_token`."""
    ensure_home(place)
    before = await asyncio.to_thread(CredentialStore(place).read, which)
    untried = ""
    if token is not None:
        try:
            await _read_credits(which, place, token)
        except SignInError as error:
            raise SignInError("login-refused", code=error.code, status=error.status, profile=which.name) from error
        except (ApiError, TransportError) as error:
            untried = what_and_hint(error.text_id, lang, **error.facts)[0]
            if before is not None:
                raise TransportError("token-untried", profile=which.name, reason=untried) from error
    kept = token is not None and _is_same(token, before)
    losses = Losses() if kept else await find_losses(which, place, before, journal)
    return Change(which, place, token, before, losses, untried)


async def find_losses(which: Profile, place: Path, before: Token | None, journal: Journal) -> Losses:
    """What is lost with a stored token: nothing but with a free account's, since anyone else can sign in again."""
    if before is None or before.kind != "anonymous":
        return Losses()
    jobs = tuple(await find_owed(journal, before.account))
    try:
        return Losses(await _read_credits(which, place, before), jobs, usable=True)
    except SignInError:
        return Losses(0, jobs)
    except NemoError:
        return Losses(None, jobs)


async def _read_credits(which: Profile, place: Path, token: Token) -> float:
    """The balance of a token's account: the one call that shows whether a token is good, and costs nothing."""
    client = await open_client(which, place, FixedToken(token))
    try:
        available = (await run_within(timings_in_use().studio.token_check, client.balance())).available
        return int(available) if available == int(available) else available
    except asyncio.TimeoutError:
        raise ConnectionBroken("answer-timeout", host=client.http.host, call=Phrase("call.balance")) from None
    finally:
        await client.aclose()


async def open_client(which: Profile, place: Path, tokens: TokenSource) -> NemoClient:
    """A client of its own for a token that is not the profile's yet."""
    return NemoClient(Http(which, await asyncio.to_thread(read_client_id, place), tokens))

"""Profiles as people set them up: `profiles.json`, stored tokens, and how each profile stands.

Every change runs under the file's lock, with re-read, fsync and rename, and keeps what it does not know. Tokens go in
and are never given out again: what shows of one is its last four characters. Blocking; call it from a thread.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from .._errors import InputError, NemoError
from .._safety.redaction import MAX_SECRET_CHARACTERS, Secret, redact, scrub
from .._text.messages import Phrase, say
from .credentials import CredentialStore, Token, token_from_environment
from .paths import clean_setting, describe_lock_failure, ensure_home, file_lock_for, find_home, write_private_file
from .profiles import (
    CLOUD,
    LOCAL,
    PROFILES_FILE,
    Profile,
    find_profile,
    list_built_in_profiles,
    list_profiles,
    parse_profile,
    read_profiles_file,
)

MAX_LIMIT: Final = 1_000_000_000
ENDING_CHARACTERS: Final = 4
_ENDING_FROM: Final = 12

AccountStatus = Literal["local", "registered", "anonymous", "new", "missing"]
Source = Literal["environment", "file", "none"]


@dataclass(frozen=True)
class ProfileInfo:
    """A profile as the settings page shows it, without secrets.

    `account` is the kind of account (`new`: a free one is opened at the first use; `missing`: its token is not set),
    `source` says where the token comes from, `ending` is the token's last characters, `expires` is in ISO 8601.
    `problem` says in one line why the profile cannot be used, or is empty.
    """

    name: str
    builtin: bool
    free: bool
    address: str
    account: AccountStatus
    source: Source
    ending: str
    expires: str | None
    run_limit: int
    day_limit: int
    token_env: str
    problem: str


def describe_profiles(directory: Path | None = None, lang: str | None = None) -> list[ProfileInfo]:
    """All profiles for the settings page; if `profiles.json` is broken, the profiles it names, with what is wrong."""
    place = find_home(directory)
    problem: NemoError | None = None
    try:
        known = list_profiles(place)
    except InputError as error:
        known, problem = _map_by_name(place), error
    return [_describe_profile(each, place, problem, lang) for each in known.values()]


def _map_by_name(place: Path) -> dict[str, Profile]:
    try:
        entries = read_profiles_file(place / PROFILES_FILE)["profiles"]
    except InputError:
        entries = {}
    return {**{name[:64]: Profile(name[:64]) for name in entries}, **list_built_in_profiles()}


def _describe_profile(which: Profile, place: Path, problem: NemoError | None, lang: str | None) -> ProfileInfo:
    token: Token | None = None
    try:
        if problem is None:
            find_profile(which.name, place)
            token = token_from_environment(which) or CredentialStore(place).read(which)
    except NemoError as error:
        problem = error
    source: Source = "none" if token is None else "environment" if token_from_environment(which) else "file"
    return ProfileInfo(
        name=which.name,
        builtin=which.name in (CLOUD, LOCAL),
        free=which.free,
        address=redact(which.api_url),
        account=_describe_account(which, token),
        source=source,
        ending=token.value.reveal()[-ENDING_CHARACTERS:] if token and len(token.value) >= _ENDING_FROM else "",
        expires=token.expires_at.isoformat() if token and token.expires_at else None,
        run_limit=which.run_limit,
        day_limit=which.day_limit,
        token_env=which.token_env,
        problem=say(problem.text_id, lang, **problem.facts) if problem else "",
    )


def _describe_account(which: Profile, token: Token | None) -> AccountStatus:
    if which.free:
        return "local"
    if token is not None:
        return "anonymous" if token.kind == "anonymous" else "registered"
    return "missing" if which.token_env and which.name != CLOUD else "new"


def default_profile(directory: Path | None = None) -> str:
    """The profile of new nodes: the chosen one, else the local preview. Never raises."""
    try:
        place = find_home(directory)
        chosen = read_profiles_file(place / PROFILES_FILE).get("default")
        return chosen if isinstance(chosen, str) and chosen in list_profiles(place) else LOCAL
    except NemoError:
        return LOCAL


def set_default(name: str, directory: Path | None = None) -> None:
    """Set the profile that new nodes start with."""
    place = find_home(directory)
    with _change_profiles(place) as data:
        data["default"] = find_profile(name, place).name


def save_profile(
    name: str,
    directory: Path | None = None,
    *,
    address: str | None = None,
    run_limit: int | None = None,
    day_limit: int | None = None,
) -> None:
    """Create or change one of the user's own profiles; None leaves a value as it is. Limits are in credits, 0 = none.

    If the token comes from the environment, the address can only be changed in the file: the settings page must not be
    able to send that token elsewhere.
    """
    place = find_home(directory)
    if name == LOCAL:
        raise InputError("profile-free", name=name)
    with _change_profiles(place) as data:
        found = data["profiles"].get(name)
        entry: dict[str, Any] = dict(found) if isinstance(found, dict) else {}
        if address is not None:
            _set_address(name, entry, address.strip().rstrip("/"))
        for key, limit in (("run_limit", run_limit), ("day_limit", day_limit)):
            if limit is not None:
                entry[key] = limit
        if max(parse_profile(name, entry).run_limit, parse_profile(name, entry).day_limit) > MAX_LIMIT:
            raise InputError(
                "value", name="limit", value=MAX_LIMIT + 1, expected=Phrase("expected.at-most", limit=MAX_LIMIT)
            )
        data["profiles"][name] = entry


def _set_address(name: str, entry: dict[str, Any], address: str) -> None:
    before = (
        list_built_in_profiles()[CLOUD].api_url if name == CLOUD else str(entry.get("api_url", "")).strip().rstrip("/")
    )
    if address == before:
        return
    if not address.isprintable():  # nor can it be written: half a character, as JSON may hold it
        raise InputError("value", name="address", value=address[:80], expected="https://host")
    if name == CLOUD:
        raise InputError("profile-built-in", name=name)
    if entry.get("token_env"):
        raise InputError("profile-pinned", name=name, variable=str(entry["token_env"])[:128])
    entry["api_url"] = address


def delete_profile(name: str, directory: Path | None = None) -> None:
    """Delete one of the user's own profiles, and its stored token."""
    place = find_home(directory)
    if name in (CLOUD, LOCAL):
        raise InputError("profile-built-in", name=name)
    with _change_profiles(place) as data:
        if name not in data["profiles"]:
            raise InputError("profile-unknown", name=name[:64], names=", ".join(map(repr, data["profiles"])) or "-")
        _store_token(place, name, None, None)  # first: a token whose profile is gone would lie here unseen
        del data["profiles"][name]
        if data.get("default") == name:
            del data["default"]


def set_token(name: str, text: str | Secret, directory: Path | None = None) -> None:
    """Store a user's own token for this profile and its origin; an empty one deletes the stored one.

    Nothing is asked or checked: for a token that a person pastes, use `replace_token`. Raises `InputError` if it is not
    a token, or if the environment holds one, which comes first.
    """
    text = text if isinstance(text, Secret) else Secret(text)  # in the place of the plain one: a traceback shows it
    place = find_home(directory)
    which, token = check_token(name, text, place)
    if token_from_environment(which):
        raise InputError("login-variable", variable=which.token_env)
    _store_token(place, which.name, which, token)


def check_token(name: str, text: str | Secret, place: Path) -> tuple[Profile, Token | None]:
    """The profile, and the token without what was copied around it, None for an empty one; `InputError` for neither."""
    text = Secret(clean_setting(text.reveal() if isinstance(text, Secret) else text))  # in the place of the plain one
    token = Token(text, "user")
    which = find_profile(name, place)
    if which.free:
        raise InputError("login-free", name=which.name)
    if not token.sendable or len(text) > MAX_SECRET_CHARACTERS:
        raise InputError("token-odd")
    return which, token if text else None


def _store_token(place: Path, name: str, which: Profile | None, token: Token | None) -> None:
    store = CredentialStore(ensure_home(place))
    try:
        with store.locked():
            if token is None or which is None:
                store.remove(name, which.origin if which is not None else None)
            else:
                store.write(which, token)
    except OSError as error:
        raise describe_lock_failure(error, place) from error


def tokenless_environment(directory: Path | None = None) -> dict[str, str]:
    """This process's environment for another program: without tokens, and without the journal's password.

    If `profiles.json`, which names the tokens' variables, cannot be read, variables named like a secret are left out.
    """
    secret = {list_built_in_profiles()[CLOUD].token_env, "NEMO_JOURNAL_URL"}
    try:
        entries = read_profiles_file(find_home(directory) / PROFILES_FILE)["profiles"].values()
        secret |= {str(entry.get("token_env")) for entry in entries if isinstance(entry, dict)}
    except NemoError:
        secret |= {name for name in os.environ if _CALLED_SECRET.search(name)}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in secret and "nmv_" not in value and scrub(value) == value
    }


_CALLED_SECRET: Final = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|KEY|AUTH(?!ORITY)", re.IGNORECASE)
"""`XAUTHORITY` names a file that programs with a window need."""


@contextmanager
def _change_profiles(place: Path) -> Iterator[dict[str, Any]]:
    """What `profiles.json` holds, to be changed; written when the block ends without an error."""
    path = ensure_home(place) / PROFILES_FILE
    try:
        with file_lock_for(path):
            data = read_profiles_file(path)
            yield data
            write_private_file(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise describe_lock_failure(error, place) from error

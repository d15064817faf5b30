"""The token of a profile: from the environment, from disk, or by anonymous sign-up.

Tokens are kept in `credentials.json` (0600) with their expiry, because the server gives one a week and so a token
must outlive restarts. Every change runs under a file lock, with re-read, fsync and rename. A stored token is used
only at the origin that issued it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

from filelock import FileLock
from filelock import Timeout as LockTimeout

from .._errors import ApiError, ClientIdRefused, DiskError, RateLimited, SignInError
from .._safety.addresses import is_loopback
from .._safety.json_limits import parse_json
from .._safety.private_files import restrict_file
from .._safety.redaction import Secret, register_secret
from .._text import messages
from .paths import LOCK_SECONDS, clean_setting, describe_lock_failure, file_lock_for, find_home, write_private_file
from .profiles import Profile

logger = logging.getLogger("nemo_client")

Kind = Literal["user", "anonymous", "local"]
ANONYMOUS_DAYS: Final = 7
SIGN_UP_SECONDS: Final = 5.0
_EXPIRY_MARGIN: Final = timedelta(minutes=1)
_LOCK_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Token:
    """A token and what is known of it. `value` may be given as plain text."""

    value: Secret = field(repr=False)
    kind: Kind
    user_id: str = ""
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        if isinstance(self.value, str):
            object.__setattr__(self, "value", Secret(self.value))
        register_secret(self.value)

    @property
    def sendable(self) -> bool:
        """Whether it can stand in a header: visible ASCII."""
        return self.value.reveal().isascii() and self.value.reveal().isprintable() and " " not in self.value.reveal()

    @property
    def account(self) -> str:
        """What identifies the account: the user id, else a keyed hash of the token."""
        if self.user_id:
            return self.user_id
        digest = hmac.new(b"nemo-video account", self.value.reveal().encode(), hashlib.sha256)
        return "token-" + digest.hexdigest()[:24]

    def expired(self, now: datetime) -> bool:
        """Whether it is known to have run out."""
        return self.expires_at is not None and now + _EXPIRY_MARGIN >= self.expires_at


class CredentialStore:
    """`credentials.json` of a home directory. Blocking: call it from a thread where a loop must not wait."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "credentials.json"

    def locked(self) -> FileLock:
        """The lock that sign-up and every change hold."""
        return file_lock_for(self._path)

    def read(self, profile: Profile) -> Token | None:
        """The stored token of this profile, if its origin issued it."""
        entries = self._load()
        entry = entries.get(profile.name)
        if not isinstance(entry, Mapping) or entry.get("origin") != profile.origin:
            entry = entries.get(_name_aside(profile.name, profile.origin))
        if not isinstance(entry, Mapping) or entry.get("origin") != profile.origin:
            return None
        value = entry.get("token")
        if not isinstance(value, Secret) or not value:
            return None
        kind: Kind = "anonymous" if entry.get("kind") == "anonymous" else "user"
        return Token(value, kind, str(entry.get("user_id") or ""), _parse_moment(entry.get("expires_at")))

    def write(self, profile: Profile, token: Token) -> None:
        """Keep `token` for this profile; the caller holds the lock.

        A free account that another address gave under the same profile is set aside, and found there again: it cannot
        be signed in to without its token.
        """
        entries = self._load()
        before = entries.get(profile.name)
        if isinstance(before, Mapping) and before.get("kind") == "anonymous":
            origin = str(before.get("origin") or "")
            if origin != profile.origin and not is_loopback(urlsplit(origin).hostname or ""):
                entries[_name_aside(profile.name, origin)] = before
        entries.pop(_name_aside(profile.name, profile.origin), None)
        entries[profile.name] = {
            "token": token.value,
            "kind": token.kind,
            "user_id": token.user_id,
            "origin": profile.origin,
            "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        }
        self._save(entries)

    def remove(self, name: str, origin: str | None = None) -> bool:
        """Forget the token of the profile of that name, whether it had one; the caller holds the lock.

        With an `origin`, the one that it issued; else all, those that were set aside, too.
        """
        entries = self._load()
        gone = [each for each in entries if each == name or each.startswith(_name_aside(name, ""))]
        if origin is not None:
            gone = [each for each in gone if _is_of_origin(entries[each], origin)]
        for each in gone:
            del entries[each]
        if gone:
            self._save(entries)
        return bool(gone)

    def version(self) -> tuple[int, ...]:
        """Another value whenever the file was changed: every change replaces it."""
        try:
            info = self._path.stat()
        except OSError:
            return ()
        return (info.st_ino, info.st_mtime_ns, info.st_size)

    def _save(self, entries: Mapping[str, object]) -> None:
        kept = {"version": 1, "tokens": entries}
        write_private_file(
            self._path, Secret(json.dumps(kept, ensure_ascii=True, indent=1, default=Secret.reveal) + "\n")
        )
        for left in self._path.parent.glob(f".{self._path.name}.*"):  # by a process that was killed while it wrote
            with contextlib.suppress(OSError):
                left.unlink()

    def _load(self) -> dict[str, object]:
        try:
            if restrict_file(self._path):
                logger.warning("%s could be read by others on this machine; now only you can", self._path)
            entries = _read_sealed_entries(self._path)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DiskError("disk-unwritable", path=self._path, reason=error.strerror or str(error)) from error
        if entries is None:  # raised here, where no variable and no other error holds what was read
            raise DiskError("credentials-broken", path=self._path)
        return entries


def _name_aside(name: str, origin: str) -> str:
    """Under which name a free account of another address is kept; no profile has such a one."""
    return f"{name}#{origin}"


def _is_of_origin(entry: object, origin: str) -> bool:
    """Whether an entry is of that origin; one that cannot be read is of any."""
    return not isinstance(entry, Mapping) or entry.get("origin") in (origin, None)


def _read_sealed_entries(path: Path) -> dict[str, object] | None:
    """What the file holds, each token as a `Secret`; None where it is not what this program writes."""
    try:
        data: Any = parse_json(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    tokens = data.get("tokens") if isinstance(data, dict) else None
    return {name: _seal_entry(entry) for name, entry in tokens.items()} if isinstance(tokens, dict) else None


def _seal_entry(entry: object) -> object:
    if isinstance(entry, str):
        return Secret(entry)
    if isinstance(entry, dict) and isinstance(entry.get("token"), str):
        return {**entry, "token": Secret(entry["token"])}
    return entry


def _parse_moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


class SignUp(Protocol):
    """What the backend gives for an anonymous sign-up (`_wire.schemas.AnonymousToken`)."""

    @property
    def token(self) -> Secret: ...

    @property
    def user_id(self) -> str: ...

    @property
    def expires_at(self) -> datetime | None: ...


class TokenSource(Protocol):
    """Where the wire gets its token from."""

    async def token(self) -> Token:
        """The token to use now."""

    async def renew(self, refused: Token) -> Token | None:
        """Another token in the place of one that was refused (1001), or None where that is not allowed."""

    async def finish_sign_up(self) -> None:
        """Wait a little for a sign-up that is under way."""


class FixedToken:
    """A token that never changes: the local backend's, or one given by the caller."""

    def __init__(self, token: Token) -> None:
        self._token = token

    async def token(self) -> Token:
        return self._token

    async def renew(self, refused: Token) -> Token | None:
        return None

    async def finish_sign_up(self) -> None:
        return None


class AccountTokens:
    """The token of a cloud profile: environment, then disk, then anonymous sign-up (backend-api: "Base").

    `sign_up` calls the wire; `may_replace(account)` says whether no step of that account is open or undelivered;
    `new_client_id()` makes another client id after one was refused, and says whether there is another one. `now` is the
    time that expiry is judged by, None where only 1001 tells: no clock gives up a good token then. `today` is the
    server's own time, where it is known.
    """

    def __init__(
        self,
        profile: Profile,
        directory: Path,
        sign_up: Callable[[], Awaitable[SignUp]],
        may_replace: Callable[[str], Awaitable[bool]],
        new_client_id: Callable[[], Awaitable[bool]],
        now: Callable[[], datetime | None] = lambda: datetime.now(timezone.utc),
        today: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._profile = profile
        self._directory = directory
        self._store = CredentialStore(directory)
        self._sign_up = sign_up
        self._may_replace = may_replace
        self._new_client_id = new_client_id
        self._now = now
        self._today = today
        self._signing_up = asyncio.Lock()
        self._known: Token | None = None
        self._read: tuple[int, ...] = ()
        self._under_way: asyncio.Future[Token] | None = None

    async def token(self) -> Token:
        given = token_from_environment(self._profile)
        if given is not None:
            return given
        changed = self._store.version() != self._read  # by the settings page, `login`, or another process's sign-up
        if changed:
            self._known = None
        if self._known is None or self._has_expired(self._known):
            return await self._sign_up_again(refused=None)
        return self._known

    async def renew(self, refused: Token) -> Token | None:
        if refused.kind != "anonymous" or token_from_environment(self._profile) is not None:
            return None
        if not await self._may_replace(refused.account):
            raise SignInError("token-refused-anonymous", code=1001, profile=self._profile.name)
        return await self._sign_up_again(refused)

    async def finish_sign_up(self) -> None:
        if self._under_way is None:
            return
        _, left = await asyncio.wait({self._under_way}, timeout=SIGN_UP_SECONDS)
        for task in left:
            task.cancel()
            await asyncio.wait({task})

    def _has_expired(self, token: Token) -> bool:
        now = self._now()
        return now is not None and token.expired(now)

    async def _sign_up_again(self, refused: Token | None) -> Token:
        """As `_stored_or_new`. A cancel leaves it under way: a token that is not stored is lost for a week."""
        async with self._signing_up:
            self._under_way = asyncio.ensure_future(self._load_or_sign_up(refused))
            self._known = await asyncio.shield(self._under_way)
            return self._known

    async def _load_or_sign_up(self, refused: Token | None) -> Token:
        """The stored token unless it is gone or refused, else a new one, under the lock of the file."""
        lock = await self._acquire_lock()
        try:
            stored = await asyncio.to_thread(self._store.read, self._profile)
            if (
                stored is not None
                and not self._has_expired(stored)
                and (refused is None or stored.value != refused.value)
            ):
                return stored
            if stored is not None and stored.kind == "user":
                raise SignInError(code=1001, profile=self._profile.name)
            if stored is not None and not await self._may_replace(stored.account):
                raise SignInError("token-refused-anonymous", code=1001, profile=self._profile.name)
            if self._profile.token_env and self._profile.name != "nemo":
                raise SignInError(
                    "token-missing", code=1001, profile=self._profile.name, variable=self._profile.token_env
                )
            fresh = await self._new_token()
            try:
                await asyncio.to_thread(self._store.write, self._profile, fresh)
            except DiskError as error:  # a new one would be had in a week only
                logger.warning("the free token lasts for this run only: %s", error)
            return fresh
        finally:
            self._read = self._store.version()  # under the lock that every change holds: that of what was read
            lock.release()

    async def _acquire_lock(self) -> FileLock:
        """The lock of the file, held. Looked at again and again, since a wait in a thread could not be cancelled."""
        lock = await asyncio.to_thread(self._store.locked)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                lock.acquire(timeout=0)
                return lock
            except LockTimeout as error:
                if time.monotonic() >= deadline:
                    raise describe_lock_failure(error, self._directory) from error
            except OSError as error:
                raise describe_lock_failure(error, self._directory) from error
            await asyncio.sleep(_LOCK_LOOK_SECONDS)

    async def _new_token(self) -> Token:
        try:
            answer = await self._sign_up_or_renew_id()
        except RateLimited as error:
            link = build_registration_link(self._profile, "")
            raise RateLimited("sign-up-limit", code=429, status=error.status, link=link) from error
        except ClientIdRefused:
            raise
        except ApiError as error:  # whatever its code means elsewhere, there is no token here that it could be about
            error.reword("sign-up-refused", link=build_registration_link(self._profile, ""))
            raise
        today = self._now() or self._today() or datetime.now(timezone.utc)
        expires = answer.expires_at or today + timedelta(days=ANONYMOUS_DAYS)
        return Token(answer.token, "anonymous", answer.user_id, expires)

    async def _sign_up_or_renew_id(self) -> SignUp:
        """Sign up; once more under a new client id when that was refused (API description: 400)."""
        try:
            return await self._sign_up()
        except ApiError as error:
            if error.code != 400:
                raise
            if not await self._new_client_id():
                raise ClientIdRefused(
                    "client-id-refused", code=400, status=error.status, home=self._directory
                ) from error
        return await self._sign_up()


def token_from_environment(profile: Profile) -> Token | None:
    """The token that the environment gives for this profile, if any."""
    value = Secret(clean_setting(os.environ.get(profile.token_env, "")) if profile.token_env else "")
    return Token(value, "user") if value else None


def find_account_id(profile: Profile, directory: Path) -> str:
    """The account of a profile as far as this machine knows it, without signing up; empty where there is none."""
    token = token_from_environment(profile) or CredentialStore(directory).read(profile)
    return token.account if token is not None else ""


def account_text(profile: Profile, language: str = "auto", directory: Path | None = None) -> str:
    """A profile's account in words, without the network: profile, kind, and when its token expires."""
    lang = messages.choose_language(None if language == "auto" else language)
    text_id, facts = _account_facts(profile, find_home(directory))
    return messages.say(text_id, lang, profile=profile.name, **facts)


def _account_facts(profile: Profile, directory: Path) -> tuple[str, dict[str, str]]:
    if profile.free:
        return "account.local", {}
    if token_from_environment(profile):
        return "account.user", {}
    stored = CredentialStore(directory).read(profile)
    if stored is None:
        return "account.anonymous-new", {}
    if stored.kind == "user" or stored.expires_at is None:
        return "account.user", {}
    return "account.anonymous", {"expires": stored.expires_at.strftime("%Y-%m-%d %H:%M UTC")}


def build_registration_link(profile: Profile, user_id: str) -> str:
    """Where an anonymous account becomes a registered one (backend-api: 2001)."""
    return f"{profile.web_url}/register?bind={user_id}" if user_id else f"{profile.web_url}/register"

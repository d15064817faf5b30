"""Who a token belongs to: the backend's own token, and anonymous users with their credits."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..shared.disk import Lock, read_json, write_json
from ..shared.replies import BAD_TOKEN, ApiError

TOKEN_PREFIX = "nmv_usr_"  # noqa: S105 - how tokens of the API begin, not a token
ANONYMOUS_CREDITS = 100
ANONYMOUS_SECONDS = 7 * 24 * 3600
MAX_CLIENT_ID = 64
OWN_USER = "local"


@dataclass(frozen=True)
class Account:
    """A user of the backend; `granted` None means that nothing is ever charged."""

    user_id: str
    granted: int | None


def new_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(24)


def _hash_token(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Accounts:
    """Tokens to accounts. Anonymous tokens are kept on disk as digests only, so they outlive the process."""

    def __init__(
        self,
        directory: Path,
        token: str,
        *,
        credits: int | None,
        anonymous: bool,
        clock: Callable[[], float],
        most: int,
    ) -> None:
        """`most` is how many anonymous users there may be."""
        self._path = directory / "accounts.json"
        self._lock = Lock(directory / "accounts.lock")
        self._token = token
        self._own = Account(OWN_USER, credits)
        self._anonymous = anonymous
        self._clock = clock
        self._most = most

    def resolve(self, authorization: str | None) -> Account:
        """The account behind an `Authorization` header (ApiError 1001 for a wrong or expired token)."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and token:
            if hmac.compare_digest(_hash_token(token), _hash_token(self._token)):
                return self._own
            entry = self._find_entry(_hash_token(token)) if self._anonymous else None
            if entry and entry["expires"] > self._clock():
                return Account(entry["user_id"], ANONYMOUS_CREDITS)
        raise ApiError(BAD_TOKEN, "The token is wrong or expired")

    def _find_entry(self, digest: str) -> dict[str, Any] | None:
        for entry in (read_json(self._path) or {}).values():
            if hmac.compare_digest(entry["token"], digest):
                return dict(entry)
        return None

    def sign_up(self, client_id: str | None) -> dict[str, Any]:
        """A new anonymous user for `client_id`: one token a client in seven days (else ApiError 429)."""
        if not self._anonymous:
            raise ApiError(403, "This local preview backend has no anonymous sign-up; use its own token")
        if not client_id or len(client_id) > MAX_CLIENT_ID:
            raise ApiError(400, f"The header X-Client-Id (1 to {MAX_CLIENT_ID} characters) is missing")
        now = self._clock()
        token = new_token()
        with self._lock.hold():
            known = read_json(self._path) or {}
            table = {client: entry for client, entry in known.items() if entry["expires"] > now}
            key = _hash_token(client_id)
            if key in table:
                raise ApiError(429, "One anonymous token a client in 7 days")
            if len(table) >= self._most:
                raise ApiError(429, f"There are {self._most} anonymous users already")
            expires = now + ANONYMOUS_SECONDS
            user = f"anon_{secrets.token_hex(8)}"
            table[key] = {"user_id": user, "token": _hash_token(token), "expires": expires}
            write_json(self._path, table)
        moment = datetime.fromtimestamp(expires, timezone.utc).isoformat()
        return {"token": token, "user_id": user, "expires_at": moment, "credits": ANONYMOUS_CREDITS}

"""Sessions as files: who owns them, what was uploaded, the draft, what was generated."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from ..shared.disk import Lock, private_directory, private_opener, read_json, replace_file, write_json
from ..shared.replies import NO_SESSION, ApiError
from .accounts import Account

MAX_ASSETS = 200

_SESSION_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STORED_NAME = re.compile(r"[a-z]+-[0-9a-f]{32,64}\.[a-z0-9]{2,5}")
_STRIPES = 64

T = TypeVar("T")


class Asset(TypedDict):
    """An uploaded file of a session. `stored` names the file below `uploads/`; sizes are those seen upright."""

    id: str
    filename: str
    kind: str  # image, video or audio
    stored: str
    hash: str
    width: int | None
    height: int | None
    duration: float | None  # seconds
    fps: float | None


class SessionRecord(TypedDict):
    id: str
    task_id: str
    task_name: str
    language: str
    account: str
    created: float
    lost: bool
    assets: list[Asset]
    draft: dict[str, Any]
    generated: list[dict[str, str]]  # {"id", "asset"}
    analyses: list[dict[str, str]]


class Store:
    """Sessions, uploads and the addresses under which files may be fetched without a token."""

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self._sessions = private_directory(directory / "sessions")
        self.uploads = private_directory(directory / "uploads")
        self.renders = private_directory(directory / "renders")
        self.incoming = private_directory(directory / "incoming")
        self._clock = clock
        # A fixed number of locks: two sessions that share one only wait for each other a little.
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self._key = _load_signing_key(directory)

    def create(self, account: Account, task_name: str, language: str) -> SessionRecord:
        record: SessionRecord = {
            "id": str(uuid.uuid4()),
            "task_id": str(uuid.uuid4()),
            "task_name": task_name,
            "language": language,
            "account": account.user_id,
            "created": self._clock(),
            "lost": False,
            "assets": [],
            "draft": {},
            "generated": [],
            "analyses": [],
        }
        private_directory(self._sessions / record["id"])
        write_json(self._find_path(record["id"]), record)
        return record

    def load(self, session: str, account: Account) -> SessionRecord:
        """The session as it stands (ApiError 1002 when it is unknown, lost, or somebody else's)."""
        record: Any = read_json(self._find_path(session)) if _SESSION_ID.fullmatch(session) else None
        if record is None or record["lost"] or record["account"] != account.user_id:
            raise ApiError(NO_SESSION, "Session not found")
        found: SessionRecord = record
        return found

    def update(self, session: str, account: Account, change: Callable[[SessionRecord], T]) -> T:
        """Let `change` alter the record under the session's lock, and write it whole."""
        self.load(session, account)
        with self._stripes[hash(session) % _STRIPES], Lock(self._find_path(session).with_suffix(".lock")).hold():
            record = self.load(session, account)
            result = change(record)
            write_json(self._find_path(session), record)
        return result

    def _find_path(self, session: str) -> Path:
        return self._sessions / session / "session.json"

    def asset_paths(self, record: SessionRecord) -> dict[str, Path]:
        """Where the session's own files lie: the only files a draft of this session can name."""
        return {asset["id"]: self.uploads / asset["stored"] for asset in record["assets"]}

    def keep_upload(self, part: Path, sha256: str, suffix: str) -> str:
        """Move a received file to its place; the same bytes are stored once."""
        stored = f"upload-{sha256}{suffix}"
        replace_file(part, self.uploads / stored)
        return stored

    def file_path(self, name: str) -> str:
        """The path part of an address that needs no token: the name, behind a signature that cannot be guessed."""
        return f"/files/{self._sign_name(name)}/{name}"

    def find_signed_file(self, signature: str, name: str) -> Path:
        """The file behind such an address (ApiError 404 for any other)."""
        if not hmac.compare_digest(signature.encode(), self._sign_name(name).encode()):
            raise ApiError(404, "No such file")
        if not _STORED_NAME.fullmatch(name):
            raise ApiError(404, "No such file")
        return (self.renders if name.startswith("render-") else self.uploads) / name

    def _sign_name(self, name: str) -> str:
        return hmac.new(self._key, name.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]


def _load_signing_key(directory: Path) -> bytes:
    """The directory's key, made once: an address stays valid across restarts and for every backend on it."""
    path = directory / "key"
    with Lock(directory / "key.lock").hold():
        if not path.exists():
            part = path.with_suffix(".part")
            with open(part, "wb", opener=private_opener) as file:
                file.write(secrets.token_bytes(32))
            os.replace(part, path)
        key = path.read_bytes()
    if len(key) < 32:
        raise OSError(f"The key file {path.name} of the local preview is damaged; delete it")
    return key


def new_asset_id() -> str:
    return f"asset_{secrets.token_hex(8)}"


def upright_ratio(asset: Mapping[str, Any]) -> float | None:
    """Width over height of a picture or clip, None when unknown."""
    width, height = asset.get("width"), asset.get("height")
    return width / height if width and height else None

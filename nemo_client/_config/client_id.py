"""What requests say of this client: the client id, the version, the platform."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from pathlib import Path
from typing import Final

from .._errors import InputError
from .._text.messages import Phrase
from .paths import clean_setting, describe_lock_failure, file_lock_for, write_private_file

VERSION: Final = "0.1.0"
SKILL: Final = "image-to-video-model-ai"
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def read_client_id(directory: Path, *, renew: bool = False) -> str:
    """This installation's id: `NEMO_CLIENT_ID`, else the kept one, else a new UUID that is kept. Not a secret."""
    given = clean_setting(os.environ.get("NEMO_CLIENT_ID", ""))
    if given:
        if not _CLIENT_ID.fullmatch(given):
            raise InputError("value", name="NEMO_CLIENT_ID", value=given[:80], expected=Phrase("expected.client-id"))
        return given
    path = directory / "client_id"
    kept = _read_kept_id(path)
    if kept and not renew:
        return kept
    try:
        with file_lock_for(path):
            newer = _read_kept_id(path)
            if newer and newer != kept:  # another process was here in the meantime
                return newer
            fresh = str(uuid.uuid4())
            write_private_file(path, fresh + "\n")
            return fresh
    except OSError as error:
        raise describe_lock_failure(error, directory) from error


def _read_kept_id(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = path.read_text(encoding="ascii").strip()
        if _CLIENT_ID.fullmatch(kept):
            return kept
    return ""


def detect_platform(installed: Path | None = None) -> str:
    """The value of X-Skill-Platform: `SKILL_SOURCE`, else by install path, else `unknown`."""
    given = os.environ.get("SKILL_SOURCE", "").strip()
    if given:
        return re.sub(r"[^\x21-\x7e]", "", given)[:64] or "unknown"
    here = (installed or Path(__file__)).absolute()
    for folder, name in (("~/.clawhub", "clawhub"), ("~/.cursor/skills", "cursor")):
        if here.is_relative_to(os.path.expanduser(folder)):
            return name
    return "unknown"

"""The home directory: where everything is kept, and how its files are written and locked."""

from __future__ import annotations

import errno
import os
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .._errors import DiskError
from .._safety.private_files import belongs_to_another_user, make_private_folder, restrict_handle
from .._safety.redaction import Secret
from .._text.messages import Phrase

if TYPE_CHECKING:
    from filelock import FileLock

JOURNAL_FILE: Final = "journal.sqlite3"
_DEFAULT_HOME: Final = "~/.config/nemovideo"
_AROUND_SETTINGS: Final = " \t\r\n\v\f\xa0\ufeff\u200b\"'“”‘’"

LOCK_SECONDS: Final = 240.0
"""Longer than a sign-up with its pauses, which another process may be at."""


def find_home(directory: str | os.PathLike[str] | None = None) -> Path:
    """The home directory (`directory`, else `NEMO_HOME`, else `~/.config/nemovideo`); it is not created.

    Raises `DiskError` if the system knows no home of this user (a container's user without an entry): a folder named
    `~` would be another one from each working directory, and the same request would be paid twice.
    """
    if directory:
        return _expand_home(os.fspath(directory))
    place = _expand_home(clean_setting(os.environ.get("NEMO_HOME", "")) or _DEFAULT_HOME)
    _check_former_home(place)
    return place


def clean_setting(text: str) -> str:
    """The value of an environment variable without what env files leave around it: quotes, blanks, line ends."""
    return text.strip(_AROUND_SETTINGS)


def _expand_home(text: str) -> Path:
    """`text` as an absolute path, with the user's home in the place of `~` or `$HOME`, which env files leave as it is.

    A `DiskError` where there is none.
    """
    expanded = os.path.expandvars(text) if text.startswith(("$", "%")) else os.path.expanduser(text)
    if not text.startswith(("~", "$", "%")) or os.path.isabs(expanded):
        return Path(expanded).absolute()
    left = Path(expanded).absolute()
    if (left / JOURNAL_FILE).is_file():
        raise DiskError("home-none-journal", path=text, old=left)
    raise DiskError("home-none", path=text)


def _check_former_home(place: Path) -> None:
    """A `DiskError` where earlier versions read the same settings as another folder, and the journal is there.

    They took quotes and line ends as part of `NEMO_HOME`, and `~` as a folder's name for a user without a home. An
    empty journal beside that one would pay for the same requests again.
    """
    former = {Path(os.path.expanduser(os.environ.get("NEMO_HOME") or _DEFAULT_HOME)).absolute()}
    if not os.path.isabs(os.path.expanduser("~")) or not os.environ.get("NEMO_HOME"):
        former.add(Path(_DEFAULT_HOME).absolute())
    for old in sorted(former - {place}):
        if (old / JOURNAL_FILE).is_file() and not (place / JOURNAL_FILE).exists():
            raise DiskError("home-moved", path=place, old=old, command=_moving_command(old, place))


def _moving_command(old: Path, new: Path) -> str:
    """The shell's command that moves what lies in one folder into another."""
    if os.name == "nt":
        return f'move "{old}" "{new}"' if not new.exists() else f'robocopy "{old}" "{new}" /E /MOVE /XC /XN /XO'
    if new.exists():  # then `mv` would put the folder itself into it
        return f"mv -n {_quote_for_shell(old)}/* {_quote_for_shell(new)}/"
    return f"mkdir -p {_quote_for_shell(new.parent)} && mv {_quote_for_shell(old)} {_quote_for_shell(new)}"


def _quote_for_shell(path: Path) -> str:
    """A path as a shell reads it, also one with a line end in it, which would not survive being copied."""
    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_quote_letter, text)) + "'"


def _quote_letter(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    return letter if letter.isprintable() else "".join(f"\\{byte:03o}" for byte in os.fsencode(letter))


def ensure_home(path: Path) -> Path:
    """Create the home directory, private to its owner (0700); a `DiskError` where that does not work.

    One of another user is refused: what lies in it could be replaced, and so decide where a token goes.
    """
    try:
        make_private_folder(path)
        with tempfile.TemporaryFile(dir=path) as file:
            foreign = belongs_to_another_user(path.stat(), os.fstat(file.fileno()))
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)):
            raise DiskError("disk-full", path=path) from error
        raise DiskError("home-unusable", path=path, reason=error.strerror or str(error)) from error
    if foreign:
        raise DiskError("home-unusable", path=path, reason=Phrase("why.foreign-owner"))
    return path


def write_private_file(path: Path, text: str | Secret) -> None:
    """Replace `path` by a file that only its owner can read (0600), on disk before it appears."""
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            restrict_handle(handle)
            file.write(text.reveal() if isinstance(text, Secret) else text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)):
            raise DiskError("disk-full", path=path) from error
        raise DiskError("disk-unwritable", path=path, reason=error.strerror or str(error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def file_lock_for(path: Path) -> FileLock:
    """The lock that every change of `path` holds, also between processes; not acquired here."""
    from filelock import FileLock  # takes 50 ms, which ComfyUI's start does not pay

    ensure_home(path.parent)
    return FileLock(f"{path}.lock", timeout=LOCK_SECONDS, mode=0o600, thread_local=False)


def describe_lock_failure(error: OSError, directory: Path) -> DiskError:
    """A lock that could not be had, in words."""
    reason = Phrase("why.locked") if isinstance(error, TimeoutError) else error.strerror or str(error)
    return DiskError("home-unusable", path=directory, reason=reason)

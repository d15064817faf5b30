"""Folders and files for their owner alone, whatever the umask says. Blocking."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from typing import Final

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_NO_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES})


def make_private_folder(path: Path) -> Path:
    """Make a folder, and what is missing above it (0700); one that is there stays as it is. Raises `OSError`."""
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            each.mkdir(mode=FOLDER_MODE)
            each.chmod(FOLDER_MODE)  # the umask may have taken more than others' rights
    return path


def restrict_handle(descriptor: int) -> None:
    """An opened file of ours is its owner's alone (0600)."""
    if sys.platform != "win32":
        os.fchmod(descriptor, FILE_MODE)


def sync_to_disk(descriptor: int) -> None:
    """What was written is on the disk, or the `OSError` that says why not.

    A share that knows no such call, or refuses it, is taken as it is: what it has was written.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def restrict_file(path: Path) -> bool:
    """Take from others what they may do with a file of ours, as with one that was copied or restored from a backup.

    Whether there was anything to take.
    """
    with contextlib.suppress(OSError):
        info = path.stat()
        if sys.platform != "win32" and info.st_uid == os.geteuid() and stat.S_IMODE(info.st_mode) & 0o077:
            path.chmod(FILE_MODE)
            return True
    return False


def belongs_to_another_user(folder: os.stat_result, ours: os.stat_result) -> bool:
    """Whether a folder is some other user's, who could replace what is in it; `ours` is of a file just made there.

    Not by the user's number: disks of other machines may show all of it as somebody's. The system's own (root's) is
    no user's in particular, as volumes in containers are; and root is never checked.
    """
    return sys.platform != "win32" and 0 not in (folder.st_uid, ours.st_uid) and folder.st_uid != ours.st_uid

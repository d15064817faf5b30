"""Opening files so that no other one can be put in their place: what is judged is the opened file, not its name.

A path that was found to lie in a folder may lead elsewhere a moment later, when a link stands in it. So from a folder
down every step is taken from the directory opened before, without following links; where the system has no such calls
(Windows) it is asked where the opened file lies.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

STEPS: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
"""Whether this system can walk down from an opened directory."""

_DIRECTORY: Final = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
)  # a pipe in the place of a file must not wait for its other end
_FOLLOW_NOT: Final = getattr(os, "O_NOFOLLOW", 0)


class UnsafeFileError(PermissionError):
    """A file that is not what it was taken for. `reason_id` names the text that says why."""

    def __init__(self, number: int, words: str, reason_id: str) -> None:
        super().__init__(number, words)
        self.reason_id = reason_id


def open_file(path: Path, inside: Path | None = None) -> BinaryIO:
    """A regular file, opened for reading; an `OSError` for anything else.

    Given `inside`, a real folder, `path` must be a real path below it (as `os.path.realpath` says), and the opened file
    lies there, whatever happened since. Hard links are files like any other.
    """
    if inside is None:
        return _open_regular(os.open(path, _FILE))
    if not STEPS:
        file = _open_regular(os.open(path, _FILE))
        if not is_below(resolve_opened_path(file.fileno()), inside):
            file.close()
            raise UnsafeFileError(errno.EPERM, "it lies in another folder", "why.other-folder")
        return file
    with open_folder(path.parent, inside) as folder:
        return _open_regular(os.open(path.name, _FILE | _FOLLOW_NOT, dir_fd=folder))


@contextmanager
def open_folder(folder: Path, inside: Path, *, make: bool = False) -> Iterator[int]:
    """A descriptor of `folder`, `inside` or below it, reached without following links; missing ones are made if asked.

    Only where `STEPS` are possible. An `OSError` where a link or a file stands in the way.
    """
    parts = folder.relative_to(inside).parts
    current = os.open(inside, _DIRECTORY)
    try:
        for part in parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=current)
            below = os.open(part, _DIRECTORY | _FOLLOW_NOT, dir_fd=current)
            os.close(current)
            current = below
            if not stat.S_ISDIR(os.fstat(current).st_mode):
                raise UnsafeFileError(errno.ENOTDIR, "it is no folder", "why.no-folder")
        yield current
    finally:
        os.close(current)


def is_below(path: Path, folder: Path) -> bool:
    """Whether a real path is a real folder or lies below it; `..` in it never does."""
    return path.is_relative_to(folder) and ".." not in path.parts


def resolve_opened_path(descriptor: int) -> Path:
    """Where an opened file lies, by its descriptor."""
    if sys.platform == "win32":
        return _final_path_on_windows(descriptor)
    return Path(os.path.realpath(f"/dev/fd/{descriptor}"))


def _open_regular(descriptor: int) -> BinaryIO:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnsafeFileError(errno.EPERM, "it is not a regular file", "why.no-regular-file")
    return os.fdopen(descriptor, "rb")


def _final_path_on_windows(descriptor: int) -> Path:
    """By GetFinalPathNameByHandleW, whose answer is `\\\\?\\C:\\…`, or `\\\\?\\UNC\\…` for another machine."""
    if sys.platform != "win32":
        raise NotImplementedError
    import ctypes
    import msvcrt

    name = ctypes.create_unicode_buffer(32768)
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
    size = ctypes.windll.kernel32.GetFinalPathNameByHandleW(handle, name, len(name), 0)
    if not 0 < size < len(name):
        raise UnsafeFileError(errno.EPERM, "its place is not known", "why.place-unknown")
    return Path(name.value.replace("\\\\?\\UNC\\", "\\\\", 1).removeprefix("\\\\?\\"))

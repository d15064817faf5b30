"""Names of files that a workflow gives, and so a stranger: what is refused before the disk is looked at. Pure.

Where a name leads is judged elsewhere, by the file that was opened. Here are the names that mean something else than
a file (devices and streams of Windows, which are refused in what we write on every system, as a workflow travels), or
that show as something else than they are.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath, PureWindowsPath
from typing import Final

from ...nemo_client import clean_file_name, pasted

__all__ = ["clean_prefix", "display_file_name", "is_odd_prefix", "is_share", "means_no_file", "pasted"]

MAX_FOLDER_BYTES: Final = 255
MAX_STEM_BYTES: Final = 230
"""What file systems allow a name, less what comes behind it: the number, sizes, and the format."""
MAX_PREFIX_BYTES: Final = 1024
MAX_SHOWN: Final = 120

_NO_NAME: Final = '<>:"|?*'
_NO_LINE: Final = ("Cc", "Cs", "Zl", "Zp")
_ELSEWHERE: Final = re.compile(r"//[?.]/|[A-Za-z]:/|[A-Za-z][A-Za-z0-9+.-]+:/")
"""Devices and drives of Windows, and addresses: paths from a root, not names."""
_TURNS: Final = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DEVICE: Final = re.compile(r"(?:CON|PRN|AUX|NUL|CLOCK\$|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3])", re.I)


def display_file_name(name: str) -> str:
    """The last part of a path for people: in one line, and without what would turn its letters around."""
    last = re.split(r"[\\/]", name)[-1]
    return "".join(char if _is_plain(char) else "?" for char in last)[:MAX_SHOWN] or "?"


def is_share(path: PurePath) -> bool:
    """Whether a path names another machine (Windows): looking there would sign in at it, wherever a stranger says."""
    return path.drive.startswith("\\\\")


def means_no_file(spelling: str) -> bool:
    """Whether Windows takes a path for something else than the file of that name: a device, a stream, another name."""
    path = PureWindowsPath(spelling)
    parts = path.parts[1:] if path.anchor else path.parts
    return any(_is_odd_on_windows(part) for part in parts if part != "..")


def clean_prefix(relative: str) -> str:
    """A file name prefix, its tokens filled in and `/` between its folders, as every system can hold it.

    As the shell and batches clean names. Left as they are, for `is_odd_prefix` to refuse: a path of another place, and
    folders that some systems take for the one above (`.. `).
    """
    if _ELSEWHERE.match(relative):
        return relative
    return "/".join(_clean_part(part) for part in relative.split("/"))


def _clean_part(part: str) -> str:
    if part.strip(". ") == "":
        return part
    return clean_file_name(part, shorten=False) or "video"


def is_odd_prefix(relative: str) -> bool:
    """Whether a prefix of `clean_prefix` is no name for a file of ours."""
    if any(char in _NO_NAME or not _is_plain(char) for char in relative):
        return True
    *folders, stem = relative.rstrip("/").split("/")
    if stem in ("", ".", "..") or _is_device(stem) or len(stem.encode()) > MAX_STEM_BYTES:
        return True
    named = [folder for folder in folders if folder not in ("", ".", "..")]
    too_long = len(relative.encode()) > MAX_PREFIX_BYTES or any(len(each.encode()) > MAX_FOLDER_BYTES for each in named)
    return too_long or any(_is_odd_on_windows(each) for each in named)


def _is_plain(char: str) -> bool:
    """Whether a character stands in a line as itself: no control, no half of one, no turn of the direction."""
    return unicodedata.category(char) not in _NO_LINE and char not in _TURNS


def _is_odd_on_windows(part: str) -> bool:
    return part.endswith((".", " ")) or _is_device(part) or any(char in _NO_NAME or ord(char) < 32 for char in part)


def _is_device(part: str) -> bool:
    """A device's name, whatever stands behind the first dot or colon."""
    return _DEVICE.fullmatch(re.split(r"[.:]", part)[0].rstrip()) is not None

"""Paths as people write them: pasted with quotes, with the backslashes of Windows, as a `file:` address.

One reader for the shell, manifests and nodes, so that what works in one works in all.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_QUOTES: Final = "\"'`“”‘’„‚«»‹›"
_UNSEEN: Final = "\ufeff\u200b\u200c\u200d\u2060"


def clean_pasted_path(source: str) -> str:
    """A path as people paste it, without the quotes around it; a `file:` address of this machine becomes its path."""
    text = source.strip().strip(_QUOTES).strip()
    if text[:5].lower() != "file:":
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if parts.netloc.lower() not in ("", "localhost"):  # another machine
        return text
    path = unquote(parts.path)
    return path[1:] if re.match(r"/[A-Za-z]:", path) else path


def is_address(text: str) -> bool:
    """Whether a source is an address elsewhere, not a file of this machine, however it is written."""
    return "://" in text and "://" in clean_pasted_path(text)


def find_path(text: str, folder: Path | None = None) -> Path:
    """The path that `text` means, counted from `folder`: the first reading that is there, else the plainest one."""
    readings = [
        Path(os.path.abspath(os.path.join(folder or "", os.path.expanduser(each)))) for each in _list_readings(text)
    ]
    return next((each for each in readings if os.path.lexists(each)), readings[1])


def _list_readings(text: str) -> Iterator[str]:
    """As it stands, as it was pasted, with `/` for backslashes, and each with its letters composed and decomposed."""
    yield text
    plain = clean_pasted_path(text.strip(_UNSEEN))
    yield plain
    for each in dict.fromkeys((plain, plain.replace("\\", "/"))):
        yield each
        yield from (unicodedata.normalize(form, each) for form in ("NFC", "NFD"))


def find_meant(path: Path) -> Path | None:
    """A file beside one that is not there, whose name differs in case or in how its letters are composed alone."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return None
    wanted = _fold_name(path.name)
    return next((path.parent / name for name in sorted(names) if _fold_name(name) == wanted), None)


def _fold_name(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()

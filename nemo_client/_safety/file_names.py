"""Names for files that every system and share can hold. Pure.

One function for the shell, batches and nodes: what Windows reads as something else (devices, streams, wildcards, dots
and blanks at the end) is replaced on every system, since folders travel.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_NAME_BYTES: Final = 200
_FORBIDDEN: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029]+')
_UNSEEN: Final = re.compile("[\u200b\u200e\u200f\u061c\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_DEVICE: Final = re.compile(
    r"(?:CON|PRN|AUX|NUL|CLOCK\$|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE
)


def clean_file_name(name: str, *, shorten: bool = True) -> str:
    """A name (without folder and suffix) that every system accepts; empty if nothing is left.

    Letters of all scripts stay, in NFC. Forbidden characters become `_`; a name of a device gets a `_` in front.
    """
    plain = _FORBIDDEN.sub("_", _UNSEEN.sub("", unicodedata.normalize("NFC", name)))
    clean = (_shorten(plain) if shorten else plain).strip(" ").rstrip(". ")
    return f"_{clean}" if _DEVICE.fullmatch(clean.split(".")[0].rstrip()) else clean


def _shorten(name: str) -> str:
    """The name in at most MAX_NAME_BYTES, cut between letters."""
    data = name.encode("utf-8", "surrogatepass")
    return name if len(data) <= MAX_NAME_BYTES else data[:MAX_NAME_BYTES].decode("utf-8", "ignore")

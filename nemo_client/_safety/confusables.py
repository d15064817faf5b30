"""Names that look like other names: a small part of Unicode's confusables (UTS #39). Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

# Each letter with what looks like it, in Cyrillic, Greek, Armenian, Cherokee, Lisu and others, and among digits.
_LOOK: Final = {
    "a": "аαɑⲁ",
    "c": "сϲⅽᴄⲥ",
    "e": "еҽεєɛ℮ⲉ",
    "i": "іιıɩӏ1l|!ǀ",
    "m": "мⅿᴍṃⲙ",
    "n": "ոռпηⲛ",
    "o": "оοσօ0ᴏⲟ৹",
    "p": "рρϱⲣ",
    "r": "гᴦɼⲅ",
    "v": "νѵᴠⅴ",
    "w": "ԝωɯᴡա",
}
# Capitals whose small letters look like something else, or that have none.
_CAPITALS: Final = str.maketrans("ΑΕΙΜΝΟΡꓮꓲꓟꓠꓳꓰꓡꓑꓣꓦꓪꓚᎪᎬᎷᏞᏢᏙᏔᏟ", "aeimnopaimnoelprvwcaemlpvwc")
_PLAIN: Final = {ord(other): letter for letter, others in _LOOK.items() for other in others}


def looks_like(name: str, others: Iterable[str]) -> str | None:
    """The one of `others` that `name` can be mistaken for, itself included."""
    look = _look_of(name)
    return next((other for other in others if _look_of(other) == look), None)


def _look_of(name: str) -> str:
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).translate(_CAPITALS).casefold())
    plain = "".join(each for each in folded if not unicodedata.combining(each)).translate(_PLAIN)
    return re.sub(r"[\W_]+", " ", plain.replace("rn", "m").replace("vv", "w")).strip()

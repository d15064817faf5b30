"""Who answers a request in words: the export, the credits, the state, an upload, or the agent. English and Chinese."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Final, Literal

from . import requests_en as en
from . import requests_zh as zh
from .choices import FORMATS
from .grammar import Grammar, split_words
from .vocabulary import CJK, FILE_TYPES

Intent = Literal["export", "credits", "state", "upload", "agent"]
"""Who answers a request: the agent (it may charge), or one of the free endpoints."""

_FREE: Final[tuple[Intent, ...]] = ("state", "credits", "upload", "export")
_MAX_REQUEST: Final = 200
_MAX_WORDS: Final = 80
_MAX_FILES: Final = 8000

URL: Final = re.compile(r"https?://[!#-&(*-;=?-Z\\^-~]+", re.IGNORECASE)  # ASCII without quotes and closing brackets
_FILE: Final = re.compile(
    rf"(?:[a-z]:[\\/]|~?[\\/]|\.{{1,2}}[\\/])[^\n]*\.(?:{FILE_TYPES})|[^\s/]+\.(?:{FILE_TYPES})", re.IGNORECASE
)
# A link of its own; one with other letters only as far as the name of a file: text often follows without a blank.
_LINK: Final = re.compile(rf"{URL.pattern}|https?://[^\s，。；！？、\"'<>]+\.(?:{FILE_TYPES})", re.IGNORECASE)
_QUOTES: Final = "\"'“”‘’「」『』`"


@dataclass(frozen=True, slots=True)
class ExportWish:
    """How an export was asked for in words; `""` where the words say nothing.

    Attributes:
        format: one of `FORMATS`.
        quality: one of `QUALITIES`.
        resolution: one of `RESOLUTIONS`, the nearest to what was asked for.
        asked: the size as it was written, if it is not available: "4k".
    """

    format: str = ""
    quality: str = ""
    resolution: str = ""
    asked: str = ""

    def fill(self, format: str, quality: str, resolution: str) -> tuple[str, str, str]:
        """The three of an `Output`: what was said, else what is given here."""
        return self.format or format, self.quality or quality, self.resolution or resolution

    @property
    def size_note(self) -> str:
        """The id of the words that say in which size it is exported instead; `""` where it is the one asked for."""
        if not self.asked:
            return ""
        return "chat.largest-size" if self.resolution == f"{_HEIGHTS[-1]}p" else "chat.nearest-size"


@dataclass(frozen=True, slots=True)
class Request:
    """What a message asks for.

    Attributes:
        intent: who answers it.
        also: further free requests in the same message, in the order in which to carry them out before `intent`.
        export: how to export: for the intent "export", and for an edit that ends in "and export".
        price: whether it asks what an export costs.
        files: the addresses or the file that an upload names.
    """

    intent: Intent
    also: tuple[Intent, ...] = ()
    export: ExportWish | None = None
    price: bool = False
    files: tuple[str, ...] = ()


def route(message: str) -> Intent:
    """Who answers `message`.

    "agent", unless the whole message is a short request for an export, the credits, the status or an upload, however
    polite. A message of nothing but links or file names is an upload. Full-width text, traditional characters and any
    case are read alike.
    """
    return read_request(message).intent


def read_request(message: str) -> Request:
    """Who answers `message`, and what it asks for."""
    text = message.strip()
    if len(text) > _MAX_FILES:
        return Request("agent")
    if _gives_files(text):
        bare = text.strip(_QUOTES)
        return Request("upload", files=tuple(bare.split()) if "://" in bare else (bare,))
    if len(text) <= _MAX_REQUEST:
        request = _read_whole(text)
        if request:
            return request
    return Request("agent", export=_read_last_wish(text))


def _gives_files(text: str) -> bool:
    bare = text.strip(_QUOTES)
    return bool(text) and (_FILE.fullmatch(bare) is not None or all(map(_LINK.fullmatch, text.split())))


def _read_whole(text: str) -> Request | None:
    """The request, where every word of `text` is understood."""
    words, spelled, grammar = _prepare_words(text)
    if not words or len(words) > _MAX_WORDS:
        return None
    found = [intent for intent in _FREE if grammar.matches(intent, words)][:1]
    if not found and grammar.matches("all", words):  # several requests: those that cannot be left out
        found = [intent for intent in _FREE if not grammar.matches(f"all_but_{intent}", words)]
    if not found:
        return None
    wish = _read_wish(spelled) if found[-1] == "export" else None
    price = "credits" in found and grammar.matches("price", words)
    files = tuple(URL.findall(text)) if "upload" in found else ()
    return Request(found[-1], tuple(found[:-1]), wish, price, files)


_JOINT: Final = re.compile(r"[,;.!?\n，。；！？、]|\b(?:and|then)\b|&|然后|并且|并|再|接着|之后|最后|后", re.IGNORECASE)
_QUOTED: Final = re.compile(r"\"[^\"]*\"|“[^”]*”|「[^」]*」|『[^』]*』|(?<!\w)['‘][^'’]*['’](?!\w)")
_MAX_JOINTS: Final = 16
_BARE: Final = frozenset({"save", "render", "download", "output", "保存", "渲染", "下载", "输出"})


_BESIDE: Final = frozenset({",", "，", ";", "；", "and", "&", "并", "并且"})
"""What joins two wishes without saying which comes first."""


def _read_last_wish(text: str) -> ExportWish | None:
    """The export that a message for the agent asks for beside its edit: it comes after it.

    "make it warmer and export as gif", and the other way round: "export it and add subtitles".
    """
    start = max(0, len(text) - _MAX_REQUEST)
    quoted = [found.span() for found in _QUOTED.finditer(text)]

    def find_joints(begin: int) -> Iterator[re.Match[str]]:
        found = islice(_JOINT.finditer(text, max(1, begin)), _MAX_JOINTS)
        return (each for each in found if not any(left < each.end() < right for left, right in quoted))

    tails = [text[joint.end() :] for joint in find_joints(start)]
    heads = [text[: joint.start()] for joint in find_joints(0) if joint.group().casefold() in _BESIDE]
    return next(filter(None, map(_read_export, [*tails, *heads])), None)


def _read_export(part: str) -> ExportWish | None:
    """What a part of a message wishes to be exported; None where it is no request for that."""
    part = part.strip()
    if not part or len(part) > _MAX_REQUEST or part.casefold() in _BARE:
        return None
    words, spelled, grammar = _prepare_words(part)
    if words and len(words) <= _MAX_WORDS and grammar.matches("export", words):
        return _read_wish(spelled)
    return None


# --- What an export is asked to be ----------------------------------------------------------------------------------

_CONTAINER: Final = re.compile(rf"\b(?:mp 4|{'|'.join(FORMATS)})\b|动图", re.ASCII)
_HEIGHT: Final = re.compile(
    r"(?P<lines>\d{3,4})[pi]|\d{3,4}x(?P<high>\d{3,4})|(?P<k>\d{1,2}) ?k\b|(?P<bare>\b(?:1080|720|480)\b)"
    r"|(?P<full>full hd|fhd|全高清|蓝光|(?<!最)超清)|(?P<ultra>uhd|ultra hd|超高清)|(?P<sd>\bsd\b|标清)"
    r"|(?P<most>(?:largest|biggest|highest|max|maximum)(?: possible| available)? (?:size|resolution|res|version)"
    r"|\b(?:largest|biggest)\b|最大|最高清|最清晰|最高的?(?:尺寸|分辨率|清晰度))"
    r"|(?P<least>(?:smallest|lowest) (?:size|resolution|res)|最[小低](?:尺寸|分辨率|清晰度))",
    re.ASCII,
)
_QUALITY: Final = re.compile(
    r"(?P<low>\b(?:low|lower|lowest|small|smaller) (?:possible )?(?:quality|file|size|bitrate|gif|mp4)|\bsmaller\b"
    r"|低的?(?:画质|质量|品质|码率)|流畅|小一?点)"
    r"|(?P<medium>\b(?:medium|normal|standard) quality|(?:中等|普通|标准)的?(?:画质|质量|品质|码率))"
    r"|(?P<high>\b(?:high|higher|highest|best|good|great|top|max|maximum|original)(?: possible| available)?"
    r" (?:quality|definition)|\bh[dq]\b|(?:高|最好|最佳)的?(?:画质|质量|品质|码率)|高清|原画|无损)",
    re.ASCII,
)
_HEIGHTS: Final = (480, 720, 1080)
_K: Final = {"2": 1440, "4": 2160, "8": 4320}


def _read_wish(spelled: Sequence[str]) -> ExportWish:
    """Format, size and quality that were named; the last one counts ("convert the mp4 to gif")."""
    text = " ".join(spelled)
    text = re.sub(r"(?<=[\u3400-\u9fff]) | (?=[\u3400-\u9fff])", "", text)
    containers = _CONTAINER.findall(text)
    container = containers[-1].replace(" ", "").replace("动图", "gif") if containers else ""
    heights = list(_HEIGHT.finditer(text))
    level = _QUALITY.search(text)
    quality = (level.lastgroup if level else None) or ""
    if not heights:
        return ExportWish(container, quality)
    return ExportWish(container, quality, *_choose_nearest(heights[-1]))


def _choose_nearest(found: re.Match[str]) -> tuple[str, str]:
    """The size to export in, and the one asked for where there is none such."""
    named = found.groupdict()
    kind = found.lastgroup or ""
    heights = {"k": _K.get(named["k"] or "", 4320), "full": 1080, "ultra": 2160, "sd": 480, "most": 4320, "least": 0}
    asked = heights[kind] if kind in heights else int(named[kind])
    size = next((each for each in _HEIGHTS if each >= asked), _HEIGHTS[-1])
    return f"{size}p", "" if size == asked else found.group()


# --- Words ----------------------------------------------------------------------------------------------------------


def _prepare_words(text: str) -> tuple[list[str], list[str], Grammar]:
    """The words of `text` as the rules know them, as they are written, and the rules for their language."""
    plain = unicodedata.normalize("NFKC", URL.sub(" url ", text)).casefold().translate(zh.TO_SIMPLIFIED)
    plain = _CONTRACTION.sub(lambda found: f" {_CONTRACTED[found[1]]}", plain)
    plain = re.sub(r"(?<=\w)['’`](?=\w)", "", plain)
    plain = re.sub(r"(?<=\d)\s?[x×*]\s?(?=\d{3})", "x", plain)
    plain = re.sub(r"\b(\d{3,4}) (?=[pi]\b)", r"\1", plain)
    chinese = CJK.search(plain) is not None
    grammar = _load_grammar(chinese)
    words: list[str] = []
    for word in split_words(plain):
        words += [word] if chinese and len(word) == 1 else en.SHORT.get(word, word).split()
    return [_mend_word(word, grammar) for word in words], words, grammar


@cache
def _load_grammar(chinese: bool) -> Grammar:
    rules = zh.RULES if chinese else en.RULES
    units = {"state": "<state_unit>", "credits": "<credits_unit> | <price_unit>", "upload": "<upload_unit>"}
    units["export"] = "<exporting> | <giving>" if chinese else "<export_unit>"
    for left_out in ("", *units):
        name = f"all_but_{left_out}" if left_out else "all"
        choice = " | ".join(unit for intent, unit in units.items() if intent != left_out)
        rules += f"{name} = <junk>* ( ( {choice} ) <after>* )+\n"
    return Grammar(rules)


_CONTRACTED: Final = {"re": "are", "ll": "will", "ve": "have", "m": "am", "d": "would"}
_CONTRACTION: Final = re.compile(r"(?<=[a-z])['’`](re|ll|ve|m|d)\b")
_SIZE: Final = re.compile(r"(\d{3,4})p|(\d{3,4})x(\d{3,4})")


def _mend_word(word: str, grammar: Grammar) -> str:
    """A word as the rules spell it: typing errors and drawn-out letters mended, sizes as one word."""
    if word in grammar.words:
        return word
    size = _SIZE.fullmatch(word)
    if size:
        wide = size[1] or int(size[2]) > int(size[3])
        return "anysize" if wide else word
    if word in _TYPOS:
        return _TYPOS[word]
    for short in (re.sub(r"(.)\1{2,}", r"\1", word), re.sub(r"(.)\1{2,}", r"\1\1", word)):
        if short != word:
            short = en.SHORT.get(short, short)
            if short in grammar.words or short in _TYPOS:
                return _TYPOS.get(short, short)
    return word


def _misspell(word: str) -> Iterator[str]:
    """`word` with two letters swapped, one left out or one doubled; its first letter stays."""
    for at in range(1, len(word)):
        yield word[:at] + word[at + 1 :]
        yield word[: at + 1] + word[at:]
        if at + 1 < len(word):
            yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]


_OFTEN_MISTYPED: Final = "export download video upload credits balance timeline progress please render status exporting"
_REAL_WORDS: Final = frozenset({"stats", "stat", "vide", "sport", "rendr", "expo", "credit", "pleas"})
_TYPOS: Final = {
    wrong: word
    for word in _OFTEN_MISTYPED.split()
    for wrong in _misspell(word)
    if wrong not in _REAL_WORDS and wrong != word
}

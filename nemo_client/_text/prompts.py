"""What a prompt is: its language, and the sentence that a node's fields add to it."""

from __future__ import annotations

import re
import unicodedata

from . import vocabulary as ph
from .choices import LANGUAGES

_SCRIPTS = (
    # Characters that make about one word, so that scripts can be weighed against words.
    ("ja", re.compile(r"[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9f]"), 1.5),
    ("ko", re.compile(r"[\uac00-\ud7a3]"), 2.0),
    ("zh-CN", ph.CJK, 1.5),
    ("ru", re.compile(r"[\u0400-\u04ff]+"), 1.0),
)
_LINK = re.compile(r"https?://[^\s，。；！？、]+", re.IGNORECASE)  # of any script
_FILE = re.compile(r"\S+\.[A-Za-z0-9]{2,4}\b")
_OTHER_SCRIPTS = re.compile(r"[^\u0000-\u024f\u1e00-\u1eff\u2019]+")
_MAX_SAMPLE = 4000


def detect_language(text: str) -> str:
    """The language of `text` as a session wants it: en, zh-CN, ja, ko, es, fr, de, pt or ru; "en" when in doubt.

    Scripts are weighed against Latin words, without what stands in quotes ("add title “你好”" is English), Latin
    languages by their commonest words and accents.
    """
    text = unicodedata.normalize("NFC", _LINK.sub(" ", text[:_MAX_SAMPLE]))
    unquoted = ph.QUOTED.sub(" ", text)
    text = unquoted if any(map(str.isalpha, unquoted)) else text
    words = re.findall(r"[a-zà-öø-ÿœ¿¡ñß]+", text.lower())
    weights = {name: len(pattern.findall(text)) / size for name, pattern, size in _SCRIPTS}
    if weights["ja"] and weights["ja"] * 6 >= weights["zh-CN"]:  # Japanese is written in both scripts
        weights["ja"] += weights.pop("zh-CN")
    best = max(weights, key=lambda name: weights[name])
    if weights[best] and weights[best] >= len(words):
        return best
    return _detect_latin(words)


def _detect_latin(words: list[str]) -> str:
    scores = dict.fromkeys(ph.COMMON_WORDS, 0.0)
    for word in words:
        known = [name for name, common in ph.COMMON_WORDS.items() if word in common]
        for name in known:
            scores[name] += 1 / len(known)
        for name, accents in ph.ACCENTS.items():
            if any(accent in word for accent in accents):
                scores[name] += 0.5
    best = max(scores, key=lambda name: scores[name])  # English is first, so it wins a tie
    return best if scores[best] > 0.5 else "en"


def certain_language(text: str) -> str:
    """The language that `text` is surely in, of those that a session speaks; empty where that is not certain.

    Names, numbers, file names, addresses, quotations and single words decide nothing, nor do texts in two languages.
    """
    text = unicodedata.normalize("NFC", _LINK.sub(" ", text[:_MAX_SAMPLE]))
    text = _FILE.sub(" ", ph.QUOTED.sub(" ", text))
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", _OTHER_SCRIPTS.sub(" ", text))
    weights = {name: len(pattern.findall(text)) / size for name, pattern, size in _SCRIPTS}
    heaviest = max(weights.values())
    if heaviest and heaviest >= len(words):
        return _certain_script(text, weights)
    return _certain_latin(words) if len(words) >= 2 * heaviest else ""


def page_language(code: str) -> str:
    """The session's language for a page's (`zh-TW`, `pt-BR` …); empty where no session speaks it."""
    short = code.strip().replace("_", "-").split("-")[0].lower()
    return next((each for each in LANGUAGES[1:] if each.split("-")[0] == short), "")


def choose_spoken_language(setting: str, prompt: str = "", page: str = "") -> str:
    """What a new session speaks: the setting; at `auto` the prompt's language where certain, the page's, English."""
    if setting != "auto":
        return setting
    return certain_language(prompt) or page_language(page) or "en"


def _certain_script(text: str, weights: dict[str, float]) -> str:
    kana, han = weights["ja"] > 0, len(ph.CJK.findall(text))
    best = max(weights, key=lambda name: weights[name])
    if best in ("ja", "zh-CN"):
        if kana and weights["ja"] * 6 >= weights["zh-CN"]:
            return "ja" if _is_japanese(text, han) else ""
        return "zh-CN" if _is_chinese(text, han) else ""
    return best if (_is_korean(text) if best == "ko" else _is_russian(text)) else ""


def _is_japanese(text: str, han: int) -> bool:
    hiragana = len(re.findall(r"[ぁ-ゖ]", text))
    return hiragana >= 4 or (hiragana > 0 and han >= 1 and ph.JAPANESE_PARTICLES.search(text) is not None)


def _is_chinese(text: str, han: int) -> bool:
    """Not a place or a person: long enough, or with a word that only sentences have; nor Japanese without kana."""
    letters = ph.CJK.findall(text)
    if any(not (_is_in(each, "gb18030") and (_is_in(each, "gb2312") or _is_in(each, "big5"))) for each in letters):
        return False
    return (
        han >= 6
        or (han >= 3 and any(each in ph.CHINESE_WISHES for each in letters))
        or (han >= 4 and _describe_wishes(text))
    )


def _describe_wishes(text: str) -> bool:
    return any(each in text for each in ph.CHINESE_VERBS)


def _is_in(letter: str, charset: str) -> bool:
    try:
        letter.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def _is_korean(text: str) -> bool:
    words = re.findall(r"[\uac00-\ud7a3]+", text)
    if len(words) == 1:
        return len(words[0]) >= 4 and ph.KOREAN_WISHES.search(words[0]) is not None
    return len(words) >= 4 or any(len(each) > 1 and ph.KOREAN_ENDS.search(each) for each in words)


def _is_russian(text: str) -> bool:
    words = re.findall(r"[\u0400-\u04ff]+", text)
    if len(words) < 2 or ph.NO_RUSSIAN.search(text.lower()):
        return False
    return any(each.lower() in ph.RUSSIAN_WORDS for each in words) or any(each[0].islower() for each in words[1:])


def _certain_latin(words: list[str]) -> str:
    """By words that hold sentences together: two different ones, with no other language near."""
    lower = {each.lower().replace("’", "'") for each in words}
    hits = {name: lower & (small | said) for name, (small, said) in ph.TELLING_WORDS.items()}
    hits |= {name: lower & known for name, known in ph.OTHER_WORDS.items()}
    shared = {each: sum(each in found for found in hits.values()) for each in lower}
    scores = {name: sum(1 / shared[each] for each in found) for name, found in hits.items()}
    best = max(scores, key=lambda name: scores[name])
    rival = max(score for name, score in scores.items() if name != best)
    if best not in ph.TELLING_WORDS or len(hits[best]) < 2 or scores[best] < 1.2 or scores[best] < 1.5 * rival:
        return ""
    if len(hits[best]) < 0.15 * len(lower) or _is_title(words, best, hits[best]):
        return ""
    return best


def _is_title(words: list[str], language: str, known: set[str]) -> bool:
    """Whether it is a name that has small words in it: "The Lord of the Rings"."""
    small, _ = ph.TELLING_WORDS[language]
    others = [each for each in words if each.lower() not in known]
    mixed = not all(each.isupper() for each in words)
    return mixed and known <= small and len(words) <= 8 and bool(others) and all(each[0].isupper() for each in others)


def compose_prompt(prompt: str, *, duration: float = 0, aspect_ratio: str = "auto", ends: bool = False) -> str:
    """The message that goes out: the prompt as written (NFC, LF), then one line for what the widgets add.

    `duration` is in seconds, 0 leaves it to the backend; so does `aspect_ratio` "auto" (or ""). `ends` says that the
    last picture is the one to end on. The line is in the prompt's language.
    """
    text = unicodedata.normalize("NFC", prompt.replace("\r\n", "\n").replace("\r", "\n"))
    one, more, ratio, end, space = ph.PROMPT_LINES[detect_language(prompt)]
    said = []
    if duration > 0:
        said.append((one if duration == 1 else more).format(f"{duration:g}"))
    if aspect_ratio not in ("", "auto"):
        said.append(ratio.format(aspect_ratio))
    if ends:
        said.append(end)
    return f"{text.rstrip()}\n{space.join(said)}" if said else text

"""What goes out with a prompt: the language it is in, and the line that the widgets add. Pure."""

from __future__ import annotations

import re
import unicodedata

from . import _phrases as ph

_SCRIPTS = (
    # Characters that make about one word, so that scripts can be weighed against words.
    ("ja", re.compile(r"[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9f]"), 1.5),
    ("ko", re.compile(r"[\uac00-\ud7a3]"), 2.0),
    ("zh-CN", ph.CJK, 1.5),
    ("ru", re.compile(r"[\u0400-\u04ff]+"), 1.0),
)
_LINK = re.compile(r"https?://[^\s，。；！？、]+", re.IGNORECASE)  # of any script
_MAX_SAMPLE = 4000


def language_of(text: str) -> str:
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
    return _latin(words)


def _latin(words: list[str]) -> str:
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


def compose_prompt(prompt: str, *, duration: float = 0, aspect_ratio: str = "auto", ends: bool = False) -> str:
    """The message that goes out: the prompt as written (NFC, LF), then one line for what the widgets add.

    `duration` is in seconds, 0 leaves it to the backend; so does `aspect_ratio` "auto" (or ""). `ends` says that the
    last picture is the one to end on. The line is in the prompt's language.
    """
    text = unicodedata.normalize("NFC", prompt.replace("\r\n", "\n").replace("\r", "\n"))
    one, more, ratio, end, space = ph.PROMPT_LINES[language_of(prompt)]
    said = []
    if duration > 0:
        said.append((one if duration == 1 else more).format(f"{duration:g}"))
    if aspect_ratio not in ("", "auto"):
        said.append(ratio.format(aspect_ratio))
    if ends:
        said.append(end)
    return f"{text.rstrip()}\n{space.join(said)}" if said else text

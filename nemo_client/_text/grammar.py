"""Small grammars over words: a text of rules becomes matchers. Pure.

A rule is `name = what` on a line (a line that begins with a blank continues it), where `what` is made of words,
`<name>` of a rule above, `( … | … )` and `?`, `*`, `+`. Rules cannot refer to themselves, and a matcher works on the
set of all places it may have reached: it never runs back, and the steps grow with the words, not with the ways to read
them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

Matcher = Callable[[Sequence[str], int], int]
"""From the places reached so far to those reached behind the matched words; place `n` is bit `n`."""

_WORDS: Final = re.compile(r"[a-z0-9]+|[\u3400-\u9fff]|[^\W_]", re.IGNORECASE)
_SYMBOLS: Final = re.compile(r"<\w+>|[()|?*+]|[^\s()|?*+<>]+")


def split_words(text: str) -> list[str]:
    """The words of `text`: runs of Latin letters and digits, and every other letter by itself."""
    return _WORDS.findall(text)


class Grammar:
    """The rules of one language.

    Attributes:
        words: every word that stands in a rule.
    """

    def __init__(self, text: str) -> None:
        self.words: set[str] = set()
        self._rules: dict[str, Matcher] = {}
        for line in re.sub(r"\n[ \t]+", " ", text).split("\n"):
            name, found, body = line.partition(" = ")
            if found:
                self._rules[name.strip()] = self._parse(_SYMBOLS.findall(body))

    def matches(self, rule: str, words: Sequence[str]) -> bool:
        """Whether all of `words` is what the rule says."""
        return self._rules[rule](words, 1) >> len(words) & 1 == 1

    def _parse(self, symbols: list[str]) -> Matcher:
        symbols = [*symbols, ")"]
        matcher, rest = self._parse_choice(symbols, 0)
        if rest != len(symbols):
            raise ValueError(" ".join(symbols[rest:]))
        return matcher

    def _parse_choice(self, symbols: list[str], at: int) -> tuple[Matcher, int]:
        """Alternatives up to the closing bracket, and the place behind it."""
        choices: list[Matcher] = []
        phrases: list[list[str]] = []
        parts: list[Matcher | str] = []
        while True:
            symbol = symbols[at]
            at += 1
            if symbol in "|)":
                if all(isinstance(part, str) for part in parts):
                    phrases.append([word for part in parts for word in split_words(str(part))])
                else:
                    choices.append(_follow([self._as_matcher(part) for part in parts]))
                parts = []
                if symbol == ")":
                    break
            elif symbol in "?*+":
                parts[-1] = _REPEATS[symbol](self._as_matcher(parts[-1]))
            elif symbol == "(":
                part, at = self._parse_choice(symbols, at)
                parts.append(part)
            else:
                parts.append(self._rules[symbol[1:-1]] if symbol[0] == "<" else symbol)
        if phrases:
            choices.append(self._match_phrases(phrases))
        return choices[0] if len(choices) == 1 else _choose(choices), at

    def _as_matcher(self, part: Matcher | str) -> Matcher:
        return self._match_phrases([split_words(part)]) if isinstance(part, str) else part

    def _match_phrases(self, phrases: list[list[str]]) -> Matcher:
        """One of these phrases; they are kept by their first word."""
        by_first: dict[str, list[tuple[str, ...]]] = {}
        for phrase in phrases:
            self.words.update(phrase)
            by_first.setdefault(phrase[0], []).append(tuple(phrase))

        def match(words: Sequence[str], at: int) -> int:
            ends = 0
            for place in _match_places(at):
                for phrase in by_first.get(words[place], ()) if place < len(words) else ():
                    if tuple(words[place : place + len(phrase)]) == phrase:
                        ends |= 1 << place + len(phrase)
            return ends

        return match


def _match_places(bits: int) -> Iterator[int]:
    while bits:
        last = bits & -bits
        yield last.bit_length() - 1
        bits ^= last


def _follow(parts: list[Matcher]) -> Matcher:
    """One after the other."""

    def match(words: Sequence[str], at: int) -> int:
        for part in parts:
            at = at and part(words, at)
        return at

    return match


def _choose(parts: list[Matcher]) -> Matcher:
    def match(words: Sequence[str], at: int) -> int:
        ends = 0
        for part in parts:
            ends |= part(words, at)
        return ends

    return match


def _repeat(part: Matcher) -> Matcher:
    """Any number of times, none included; each place is entered once."""

    def match(words: Sequence[str], at: int) -> int:
        reached = new = at
        while new:
            new = part(words, new) & ~reached
            reached |= new
        return reached

    return match


def _repeat_once_or_more(part: Matcher) -> Matcher:
    more = _repeat(part)
    return lambda words, at: more(words, part(words, at))


def _make_optional(part: Matcher) -> Matcher:
    return lambda words, at: at | part(words, at)


_REPEATS: Final = {"*": _repeat, "+": _repeat_once_or_more, "?": _make_optional}

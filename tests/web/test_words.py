"""The extension's texts: both languages whole, each id used, each text plain."""

from __future__ import annotations

import re

import pytest

from nemo_client._text import messages
from tests.web._page import WEB

SOURCE = (WEB / "words.js").read_text(encoding="utf-8")
CODE = "\n".join(path.read_text(encoding="utf-8") for path in [*WEB.glob("*.js"), *WEB.glob("*.mjs")])
NAMES = re.compile(r"NemoVideo|ComfyUI|\{\w+\}")
ACCOUNTS = {"local", "registered", "anonymous", "new", "missing"}


def table(name: str) -> dict[str, str]:
    block = re.search(rf"export const {name} = \{{\n(.*?)\n\}};", SOURCE, re.DOTALL)
    assert block
    rows = [re.fullmatch(r'  "([\w.-]+)": "([^"]*)",', line) for line in block[1].splitlines()]
    assert None not in rows, "one text, one line"
    return {row[1]: row[2] for row in rows if row}


EN, ZH = table("EN"), table("ZH")
WHOLE = set(re.findall(r'\bt\(\s*"([^"]+)"', CODE)) | set(re.findall(r'\? "([\w.-]+)" : "[\w.-]+"', CODE)) & set(EN)
BEGUN = set(re.findall(r"\bt\(`([^`$]+)\$\{", CODE))


def test_both_languages_have_every_text() -> None:
    """The same ids in the same order."""
    assert list(EN) == list(ZH)


def test_every_text_that_is_shown_exists() -> None:
    """An id in the code is in the table; one that is put together has at least its beginning there."""
    assert WHOLE - set(EN) == set()
    assert [begun for begun in BEGUN if not any(name.startswith(begun) for name in EN)] == []


def test_every_text_is_shown() -> None:
    """No text without a place."""
    quoted = set(re.findall(r'"([\w.-]+)"', CODE.replace(SOURCE, "")))

    assert [name for name in EN if name not in quoted and not name.startswith(tuple(BEGUN))] == []


@pytest.mark.parametrize("name", list(EN))
def test_a_text_names_the_same_facts_in_both_languages(name: str) -> None:
    """What is filled in agrees, and Chinese holds no English word but names."""
    assert sorted(re.findall(r"\{\w+\}", EN[name])) == sorted(re.findall(r"\{\w+\}", ZH[name]))
    assert re.findall(r"[A-Za-z]+", NAMES.sub("", ZH[name])) == []
    assert not re.search("[\u4e00-\u9fff]", EN[name])


@pytest.mark.parametrize(("lang", "shown", "working"), [("en", EN, "working"), ("zh", ZH, "进行中")], ids=["en", "zh"])
def test_states_are_told_in_the_words_of_the_shell(lang: str, shown: dict[str, str], working: str) -> None:
    """The same state has the same words everywhere; only the panel sees jobs at work."""
    states = {key: text for key, text in messages.load_texts(lang).items() if key.startswith("job.state.")}
    mine = {key.replace("jobs.", "job."): text for key, text in shown.items() if key.startswith("jobs.state.")}

    assert mine == {**states, "job.state.running": working}


def test_kinds_of_accounts_and_jobs_have_their_words() -> None:
    """What the routes may answer is known here."""
    assert {f"account.{kind}" for kind in ACCOUNTS} <= set(EN)
    assert {f"jobs.kind.{kind}" for kind in ("generate", "edit", "chat")} <= set(EN)

"""Plain words: what people read is short, names places that exist, and speaks in the user's nouns."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nemo_client._text import messages

ROOT = Path(__file__).parent.parent.parent
CLIENT = ROOT / "nemo_client"
ENGLISH = messages.load_texts("en")
CHINESE = messages.load_texts("zh")

SHELL_GROUPS = {"The shell", "Jobs", "Signing in", "Batches, and their page"}
SHELL_IDS = ("cluster-", "batch", "shell.", "jobs", "login", "home-", "worker-", "proxy-", "connect-", "certificates-")

# Two lines in a node, without the facts that are filled in.
LINES = {"en": 165, "zh": 80}

# A private dialect, words of the program's inside, and words that stand where a verb could.
FORBIDDEN = {
    "en": r"""\b(shall|whoever|nobody|anew|thereby|whatever)\b | \bis\ out\b | \bbecame\ of\b | \bone\ an?\ \w+\b
              | \bgo(es)?\ on\b | \bowes?\b | \bbackend\b | \bdrafts?\b | \bpays?\ again\b | \bqueue\ again\b
              | \btried\ out\b | \bit\ is\ no\ (file|folder|whole|JSON|address|text)\b""",
    "zh": "后端|草稿|重新执行|尚欠|已交付|付费的工作",
}

# Inputs, outputs and widgets have these names in ComfyUI, so a text that speaks of a cable may say them.
CABLES = {"sessions-and-images"}


def groups() -> dict[str, dict[str, str]]:
    loaded: dict[str, dict[str, str]] = json.loads((CLIENT / "_text" / "en.json").read_text(encoding="utf-8"))
    return loaded


IN_NODES = sorted(
    text_id
    for group, texts in groups().items()
    if group not in SHELL_GROUPS
    for text_id in texts
    if not text_id.startswith(SHELL_IDS)
)


def without_facts(text: str) -> str:
    return re.sub(r"\{\w+[^}]*\}", "", text)


def what_is_said(text: str) -> str:
    """Without facts, and without values and commands that stand in quotes."""
    return re.sub(r"'[^']*'|`[^`]*`", "", without_facts(text))


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_what_stands_in_a_node_fits_two_lines(lang: str) -> None:
    """Longer texts are cut or push the picture out of sight."""
    texts = messages.load_texts(lang)
    lengths = {text_id: len(what_is_said(texts[text_id])) for text_id in IN_NODES}

    assert {text_id: length for text_id, length in lengths.items() if length > LINES[lang]} == {}


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_texts_keep_to_plain_words(lang: str) -> None:
    """The user's nouns (video, project, account, credits), present tense, active."""
    odd = re.compile(FORBIDDEN[lang], re.VERBOSE if lang == "en" else 0)
    found = {text_id: hit[0] for text_id, text in messages.load_texts(lang).items() if (hit := odd.search(text))}

    assert found == {}


def test_sessions_are_named_only_where_a_cable_is_meant() -> None:
    """The user's word is project."""
    told = {text_id for text_id, text in ENGLISH.items() if re.search(r"(?<!-)\bsessions?\b", without_facts(text))}

    assert told - CABLES == set()


def test_places_that_a_remedy_names_exist() -> None:
    """Buttons and tabs of the panel, nodes, commands, options and variables are where the text sends people."""
    words = (ROOT / "web" / "words.js").read_text(encoding="utf-8")
    buttons = set(re.findall(r'": "([^"]+)",', words))
    nodes = set(re.findall(r'": "(NemoVideo [^"]+)"', (ROOT / "nodes" / "__init__.py").read_text(encoding="utf-8")))
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("nemo_client", "nodes")
        for path in (ROOT / folder).rglob("*.py")
    )
    cli = "\n".join(path.read_text(encoding="utf-8") for path in (CLIENT / "_cli").glob("*.py"))
    commands = set(re.findall(r"^def (\w+)\(", cli, re.MULTILINE)) | set(re.findall(r'name="([a-z]+)"', cli))
    missing = []
    for text_id, text in ENGLISH.items():
        named = [
            *((tab, buttons) for tab in re.findall(r"NemoVideo → (\w+)", text)),
            *((button, buttons) for button in re.findall(r"[Pp]ress (New take|Resume|Cancel)", text)),
            *((node, nodes) for node in re.findall(r"NemoVideo (?:Upload (?:Image|File or URL)|[A-Z]\w+)", text)),
            *((command, commands) for command in re.findall(r"['`]nemo-video ([a-z]+)", text)),
        ]
        missing += [(text_id, place) for place, known in named if place not in known]
        missing += [(text_id, name) for name in re.findall(r"\bNEMO_[A-Z_]+", text) if f'"{name}"' not in sources]
        missing += [
            (text_id, option)
            for option in re.findall(r"(?<![\w-])--[a-z-]+", text)
            if option != "--help" and option[2:].replace("-", "_") not in cli and option != "--nthreads"
        ]

    assert missing == []


def test_chinese_names_the_same_places() -> None:
    """NemoVideo → 配置 where English sends people to NemoVideo → Profiles."""
    tabs = {"Profiles": "配置", "Jobs": "任务", "Account": "账户"}
    differing = {
        text_id
        for text_id, text in ENGLISH.items()
        for tab in re.findall(r"NemoVideo → (\w+)", text)
        if f"NemoVideo → {tabs[tab]}" not in CHINESE[text_id]
    }

    assert differing == set()
    assert all(f'"{name}"' in (ROOT / "web" / "words.js").read_text(encoding="utf-8") for name in tabs.values())

"""Plain words: what people read is short, names places that exist, and speaks in the user's nouns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from nemo_client._cli.app import app
from nemo_client._text import messages
from tools.make_templates import TEMPLATES

ROOT = Path(__file__).parent.parent.parent
CLIENT = ROOT / "nemo_client"
ENGLISH = messages.load_texts("en")
CHINESE = messages.load_texts("zh")

SHELL_GROUPS = {"The shell", "Jobs", "Signing in", "Batches, and their page"}
SHELL_IDS = ("cluster-", "batch", "shell.", "jobs", "login", "home-", "worker-", "proxy-", "connect-", "certificates-")

# Two lines in a node, without the facts that are filled in.
LINES = {"en": 165, "zh": 80}

# A private dialect, words of the program's inside, and words that stand where a verb could.
DIALECT = r"""\b(shall|whoever|nobody|anew|thereby|whatever|gone\ on|went\ on|goes?\ on|owes?)\b | \bis\ out\b
               | \bbe(came|comes)\ of\b | \bone\ an?\ \w+\b | \bpays?\ again\b | \bqueue\ again\b | \bsees\ to\ it\b
               | \btried\ out\b | \bit\ is\ no\ (file|folder|whole|JSON|address|text)\b | \bto\ (its|their)\ end\b
               | \bpaid\ work\b | \bwork\ that\ (is|was)\ paid\b"""
FORBIDDEN = {
    "en": DIALECT + r"| \bbackend\b | \bdrafts?\b",
    "zh": "后端|草稿|重新执行|尚欠|已交付|重新交付|付费的工作|加入队列|离开时的位置|任务日志|再次排队|您",
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


def texts_of_the_page(lang: str) -> dict[str, str]:
    """What ComfyUI's page shows beside the texts by id: words of the extension, of nodes, notes and help pages."""
    texts: dict[str, str] = {}
    for script in ("words.js", "options.js"):
        source = (ROOT / "web" / script).read_text(encoding="utf-8")
        table = source[source.index(f"const {lang.upper()} = ") :].split("\n};", 1)[0]
        texts |= {f"{script} {number}": line for number, line in enumerate(table.splitlines())}
    for path in (ROOT / "locales" / lang).glob("*.json"):
        texts |= {f"{path.name} {number}": line for number, line in enumerate(path.read_text("utf-8").splitlines())}
    for path in (ROOT / "web" / "docs").glob(f"*/{lang}.md"):
        texts |= {
            f"{path.parent.name} {number}": line for number, line in enumerate(path.read_text("utf-8").splitlines())
        }
    for template in TEMPLATES:
        texts |= {f"{template.title} {part}": text for part, text in enumerate(template.note[lang == "zh"])}
    return texts


DOCUMENTS = [ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "SECURITY", "CONTRIBUTING")]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_keep_to_plain_words(path: Path) -> None:
    """README, the documents, the release notes: no private dialect outside of code."""
    odd = re.compile(DIALECT, re.VERBOSE | re.IGNORECASE)
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)

    assert [hit[0] for hit in odd.finditer(text)] == []


def test_the_shell_s_help_keeps_to_plain_words() -> None:
    """Every command and option says what to do, in the imperative."""
    odd = re.compile(FORBIDDEN["en"], re.VERBOSE | re.IGNORECASE)
    helps = dict(find_helps(typer.main.get_command(app), "nemo-video"))

    assert len(helps) > 60
    assert {place: hit[0] for place, text in helps.items() if (hit := odd.search(text))} == {}
    assert [place for place, text in helps.items() if not re.fullmatch(r"[A-Za-z0-9'].*[.]", text)] == []


def find_helps(command: Any, place: str) -> Iterator[tuple[str, str]]:
    """What `--help` says of a command, its options and arguments, and of the commands below it."""
    yield place, " ".join((command.help or "").split())
    yield from ((f"{place} {each.name}", each.help) for each in command.params if getattr(each, "help", None))
    for name, each in getattr(command, "commands", {}).items():
        yield from find_helps(each, f"{place} {name}")


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_the_page_keeps_to_plain_words(lang: str) -> None:
    """As the texts by id; inputs and values are called what they are called."""
    odd = re.compile(FORBIDDEN[lang], re.VERBOSE | re.IGNORECASE if lang == "en" else 0)
    names = re.compile(r"`[^`]*`|generate again \(?pays\)?|\bdraft\b|\*\*草稿\*\*|草稿\"")
    found = {
        place: hit[0] for place, text in texts_of_the_page(lang).items() if (hit := odd.search(names.sub("", text)))
    }

    assert found == {}


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_texts_keep_to_plain_words(lang: str) -> None:
    """The user's nouns (video, project, account, credits), present tense, active."""
    odd = re.compile(FORBIDDEN[lang], re.VERBOSE | re.IGNORECASE if lang == "en" else 0)
    found = {text_id: hit[0] for text_id, text in messages.load_texts(lang).items() if (hit := odd.search(text))}

    assert found == {}


def test_sessions_are_named_only_where_a_cable_is_meant() -> None:
    """The user's word is project."""
    told = {text_id for text_id, text in ENGLISH.items() if re.search(r"(?<!-)\bsessions?\b", without_facts(text))}

    assert told - CABLES == set()


COMFYUI = {"Run", "Ctrl-C"}
"""What the page or the keyboard has without us."""


def find_buttons(text: str) -> list[str]:
    """What a text says to press: words from a capital letter on, up to a small word that follows a button's name."""
    return re.findall(r"[Pp]ress ([A-Z][\w-]*(?: (?!on\b|to\b|in\b|again\b|for\b)[a-z]+)?)", text)


def test_a_shell_command_in_a_node_has_a_place_on_the_page_beside_it() -> None:
    """People in ComfyUI may have no shell: `on-page.ID` says the same with a button or a tab."""
    named = {text_id for text_id in IN_NODES if "`nemo-video " in ENGLISH[text_id]}

    assert named
    assert {text_id for text_id in named if f"on-page.{text_id}" not in ENGLISH} == set()
    assert [text_id for text_id, text in ENGLISH.items() if text_id.startswith("on-page.") and "`nemo-" in text] == []
    assert [text_id for text_id, text in ENGLISH.items() if "'nemo-video " in text] == []


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_help_pages_name_buttons_and_tabs_that_exist(lang: str) -> None:
    """In the words that the page has for them."""
    words = (ROOT / "web" / "words.js").read_text(encoding="utf-8")
    table = words[words.index(f"const {lang.upper()} = ") :].split("\n};", 1)[0]
    known = {*re.findall(r'": "([^"]+)",', table), "运行", *COMFYUI}
    named = {}
    for place, text in texts_of_the_page(lang).items():
        tabs = re.findall(r"NemoVideo → (\w+)", text)
        buttons = re.findall("点击“([^”]+)”", text) if lang == "zh" else find_buttons(text)
        named |= {(place, name): name for name in (*tabs, *buttons)}

    assert named
    assert {place for place, name in named.items() if name not in known} == set()


def test_chinese_texts_name_buttons_in_the_words_of_the_page() -> None:
    """点击“再来一版” where the button reads 再来一版."""
    words = (ROOT / "web" / "words.js").read_text(encoding="utf-8")
    named = {(text_id, name) for text_id, text in CHINESE.items() for name in re.findall("点击“([^”]+)”", text)}

    assert named
    assert {(text_id, name) for text_id, name in named if f'"{name}"' not in words} == set()


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
            *((button, buttons | COMFYUI) for button in find_buttons(text)),
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

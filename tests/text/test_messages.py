"""The texts of every language, held against each other and against the code that fills them."""

from __future__ import annotations

import ast
import copy
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Formatter

import pytest

from nemo_client import InputError, Kept, NemoError, NoCredits
from nemo_client._studio.progress import Progress
from nemo_client._text import messages
from nemo_client._text.messages import Phrase
from tests.support.sources import parse_source

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

ROOT = Path(__file__).parent.parent.parent
CLIENT = ROOT / "nemo_client"
SOURCES = [*CLIENT.glob("_*/**/*.py"), *CLIENT.glob("*.py"), *(ROOT / "nodes").rglob("*.py")]
ENGLISH = messages.load_texts("en")
CHINESE = messages.load_texts("zh")

# Names that are the same in every language: ours, those of formats and protocols, and what people type or look up.
SAME = """
NemoVideo ComfyUI MP Hz JSON HTTP Host Content Type application profiles json TLS DNS SOCKS HEIC MB NaN ID Ctrl C y N x
HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY SSL_CERT_FILE HOST PORT socks XX
NEMO_WEB_URL SOCKS5 socks5 socks5h SQLite PostgreSQL postgresql psycopg fsync UTF8 profiles token_env
max_credits run_limit day_limit png s h
NEMO_TOKEN NEMO_HOME NEMO_CLIENT_ID NEMO_API_URL NEMO_ALLOWED_DIRS
http https client_id when_changed pip install nemo video CSV UTF Python RGB float jpeg webp localhost
m4a mp3 wav tcp tls Dask NEMO_HOSTS NEMO_JOURNAL_URL docs fleet md NAME
"""
NAMES = set(SAME.split())


@pytest.mark.parametrize(
    ("variable", "preferred", "spoken"),
    [
        ("", None, "en"),
        ("xx", "yy", "en"),
        ("en_GB.UTF-8", None, "en"),
        ("de", "en", "en"),
        ("", "zh-CN", "zh"),
        ("", "zh_TW", "zh"),
        ("", "ZH", "zh"),
        ("zh", "ja", "zh"),
        ("zh.UTF-8", None, "zh"),
        ("zh_CN.UTF-8", "en", "zh"),
        ("en", "zh-CN", "en"),
        ("", "ja", "en"),
    ],
)
def test_the_language_is_the_variable_s_then_the_handle_s_then_english(
    variable: str, preferred: str | None, spoken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`NEMO_LANG`, else the handle's language, else English; only languages with a table count."""
    monkeypatch.setenv("NEMO_LANG", variable)

    assert messages.choose_language(preferred) == spoken


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_a_file_of_texts_has_one_a_line_each_id_once_and_the_groups_of_the_english_one(lang: str) -> None:
    """So a change of a text is a change of one line, and the same text is found at the same place in each language."""
    source = (CLIENT / "_text" / f"{lang}.json").read_text(encoding="utf-8")
    groups = json.loads(source, object_pairs_hook=lambda pairs: pairs)
    english = json.loads((CLIENT / "_text" / "en.json").read_text(encoding="utf-8"))
    ids = [text_id for _, texts in groups for text_id, _ in texts]

    assert source == json.dumps(json.loads(source), ensure_ascii=False, indent=2) + "\n"
    assert len(ids) == len(set(ids)) == len(messages.load_texts(lang))
    assert {group: {text_id for text_id, _ in texts} for group, texts in groups} == {
        group: set(texts) for group, texts in english.items()
    }


@pytest.mark.skipif(tomllib is None, reason="Python 3.10 cannot read TOML")
def test_a_wheel_has_every_file_that_is_no_module() -> None:
    """`pip install` copies of those only what package-data names."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    named = {path for pattern in setuptools["package-data"]["nemo_client"] for path in CLIENT.glob(pattern)}
    files = {path for path in CLIENT.rglob("*") if path.is_file() and "__pycache__" not in path.parts}

    assert {path for path in files if path.suffix != ".py"} == named


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_every_text_is_one_line(lang: str) -> None:
    """The shell prints exactly one line for a failure."""
    assert {text_id for text_id, text in messages.load_texts(lang).items() if text != " ".join(text.split())} == set()


def test_chinese_has_every_text_and_no_other() -> None:
    """A text that is added in English is added here, too, and one that is gone is taken out."""
    missing = {text_id: text for text_id, text in ENGLISH.items() if text_id not in CHINESE}

    assert missing == {}
    assert set(CHINESE) - set(ENGLISH) == set()


def test_chinese_texts_take_the_same_facts() -> None:
    """A fact that a translation forgets is lost, and one that it invents shows as a question mark."""
    differing = {text_id: text for text_id, text in CHINESE.items() if facts(text) != facts(ENGLISH[text_id])}

    assert differing == {}


def facts(text: str) -> list[tuple[str, str | None, str | None]]:
    """The placeholders of a text with their formats, sorted."""
    return sorted(
        (name, form or "", conversion or "")
        for _, name, form, conversion in Formatter().parse(text)
        if name is not None
    )


def test_no_english_is_left_in_chinese_texts() -> None:
    """Latin letters appear only in names, in what is quoted from the screen, and in commands."""
    left = {text_id: words for text_id, text in CHINESE.items() if (words := english_in(text) - NAMES)}

    assert left == {}
    assert {text_id for text_id in CHINESE if CHINESE[text_id] == ENGLISH[text_id]} == set()


def english_in(text: str) -> set[str]:
    """Words of Latin letters outside of placeholders, quotes, commands and options."""
    return set(
        re.findall(r"[A-Za-z]\w*", re.sub(r"\{[^}]*\}|'[^']*'|`[^`]*`|--[a-z-]+( failed)?", " ", text), re.ASCII)
    )


def test_chinese_puts_in_backquotes_what_english_does() -> None:
    """They mark commands and code on the screen; they are no way around the list of names."""
    odd = {
        text_id: quoted
        for text_id, text in CHINESE.items()
        if (quoted := set(re.findall(r"`[^`]*`", text)) - set(re.findall(r"`[^`]*`", ENGLISH[text_id])))
    }

    assert odd == {}


def test_chinese_texts_are_punctuated_as_chinese() -> None:
    """A comma or full stop after a Chinese character is the wide one."""
    odd = {text_id: text for text_id, text in CHINESE.items() if re.search(r"[一-鿿][,.;:!?](?!\S)", text)}

    assert odd == {}


def test_quotes_of_the_screen_are_the_same_in_both() -> None:
    """Values of widgets and commands are quoted as they stand, since that is how people find them."""
    for text_id, text in CHINESE.items():
        quoted = set(re.findall(r"'([^'{]+)'", text))
        known = re.findall(r"[\w()-]+", ENGLISH[text_id])

        assert all(word in known for quote in quoted for word in re.findall(r"[\w()-]+", quote)), text_id


def test_facts_of_ours_are_phrases() -> None:
    """No module hands over English words as a fact: what is not from elsewhere is a text of its own, by its id."""
    internal = {"HTTP {}", "{} in state {}"}  # numbers, and a mistake of ours
    written = {text for path in SOURCES if "_text" not in path.parts for text in words_given(path)}

    assert written - internal == set()


def words_given(path: Path) -> Iterator[str]:
    """English words that a module hands over as facts; `{}` stands for what is filled in."""
    for node in ast.walk(parse_source(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            found = [each.value for each in node.keywords if each.arg in ("call", "reason", "expected", "what")]
        elif isinstance(node, ast.Assign) and [getattr(each, "id", "") for each in node.targets] == ["reason"]:
            found = [node.value, *(getattr(node.value, each, node) for each in ("body", "orelse"))]
        else:
            continue
        yield from (text for text in map(_constant, found) if " " in text)


def _constant(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return ""


def test_a_phrase_is_said_in_the_language_of_its_sentence() -> None:
    """With the phrases inside of it; words of the operating system and of the backend stay as they are."""
    reason = Phrase("why.no-whole-number", field=Phrase("limit-name.run_limit"))

    chinese = messages.say("disk-unwritable", "zh", path="/x", reason=reason)

    assert "每次运行的限额 run_limit 不是整数" in chinese
    assert "run_limit is not a whole number" in messages.say("disk-unwritable", "en", path="/x", reason=reason)
    assert "Read-only file system" in messages.say("disk-unwritable", "zh", path="/x", reason="Read-only file system")


@pytest.mark.parametrize("travel", [copy.copy, copy.deepcopy])
def test_a_phrase_is_its_english_words_wherever_it_goes(travel: Callable[[Phrase], Phrase]) -> None:
    """In JSON, in comparisons, in logs; a copy can still be translated."""
    phrase = travel(Phrase("why.field-wrong", field=Phrase("call.answer")))

    assert phrase == "answer is missing or of another type"
    assert json.loads(json.dumps({"reason": phrase})) == {"reason": str(phrase)}
    assert phrase.translate("zh") == Phrase.from_json(json.loads(json.dumps(phrase.to_json()))).translate("zh")
    assert phrase.translate("zh") == "回应 缺失或类型不符"


def test_an_error_speaks_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its caller's word, by the handle's language, or by the variable; money included."""
    error = NoCredits("no-credits", code=2001, available="5")
    expected = "积分不足（剩余 5）。请为账户充值，然后重新运行。 未扣除任何积分。"

    assert error.text("zh") == error.text("zh-CN") == expected
    error.lang = "zh-CN"
    assert str(error) == expected
    error.lang = None
    monkeypatch.setenv("NEMO_LANG", "zh")
    assert str(error) == expected


def test_the_facts_of_an_error_speak_chinese() -> None:
    """A reason of ours is translated, a file's name is not."""
    error = InputError("file-unreadable", name="it is empty.png", reason=Phrase("why.empty"))

    assert error.text("zh") == "无法读取 it is empty.png：文件为空。 未扣除任何积分。"


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_an_error_says_once_that_nothing_is_paid_twice(lang: str) -> None:
    """Whatever the run paid before it, alone and as the first of a list's errors, in all places where it is told."""
    words = {"en": r"pay twice|, free\.|not charged again", "zh": "不会重复扣费|免费。"}[lang]
    told: dict[str, str] = {}
    for text_id in (each for each in ENGLISH if "." not in each):
        paid = (None, Kept("100", ("1a2b",)), Kept("100", ("1a2b",), sure=False))
        for kept, on_page in itertools.product(paid, (False, True)):
            error, several = NemoError(text_id, charged="yes"), NemoError("items-failed", charged="yes")
            error.on_page = on_page
            several.first, several.facts["first"] = error, error.describe(lang)
            error.kept = several.kept = kept
            texts = [error.text(lang), several.text(lang)]
            told |= {text: text_id for text in texts if len(re.findall(words, text)) > 1}

    assert told == {}


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_an_error_says_once_what_was_charged(lang: str) -> None:
    """A text that names what was paid ends without the general sentence of the money."""
    error = NemoError("session-gone-paid", charged="yes", paid="a lake", spent="100")

    assert error.text(lang).count("100") == 1
    assert ENGLISH["money.yes"] not in error.text("en")
    assert {text_id for text_id, text in ENGLISH.items() if re.search(r"[Nn]othing was charged", text)} == {
        "money.no",
        "batch-money.no",
    }


def test_progress_speaks_chinese() -> None:
    """The line under a node follows the same rules as errors."""
    assert Progress("render", 0.5, elapsed=12).text("zh-CN").startswith("正在渲染 50%")
    assert Progress("render", 0.5).text("zh") == Progress("render", 0.5).text("zh-TW")


@pytest.mark.parametrize("lang", ["zh", "en", "xx", None])
def test_a_missing_fact_does_not_hide_a_text(lang: str | None) -> None:
    """Every text can be said without any fact."""
    for text_id in ENGLISH:
        assert messages.say(text_id, lang)
        assert NemoError(text_id).text(lang)


def test_the_texts_of_a_language_are_read_once_and_when_it_is_first_spoken() -> None:
    """ComfyUI's start reads no texts, and an English one never those in Chinese."""
    code = (
        "import sys\n"
        "sys.addaudithook(lambda event, given: event == 'open' and str(given[0]).endswith(('en.json', 'zh.json'))"
        " and print(str(given[0])[-7:]))\n"
        "from nemo_client import NemoError, say\n"
        "print('loaded'); say('plan'); say('plan'); str(NemoError('plan'))\n"
        "print('English'); say('plan', 'zh'); say('plan', 'zh-CN')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CLIENT.parent, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["loaded", "en.json", "English", "zh.json"]


def test_texts_that_cannot_be_read_do_not_hide_the_error() -> None:
    """With no file descriptor left the id is shown, and the texts again as soon as they can be read."""
    code = (
        "import resource, os\nfrom nemo_client import NemoError\n"
        "str(NemoError('plan').charged)\n"
        "most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, most)); print(str(NemoError('plan')))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, most)); print(str(NemoError('plan')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CLIENT.parent, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["plan money.no", f"{ENGLISH['plan']} {ENGLISH['money.no']}"]

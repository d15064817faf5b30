"""The pack's texts in the graph editor, in both languages: locales and help pages against the node classes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nemo_client import InputError
from tests.nodes._arrays import picture
from tests.nodes._host import Host

ROOT = Path(__file__).parent.parent.parent
WEB = ROOT / "web"
LANGUAGES = ("en", "zh")
FILES = ("main", "nodeDefs", "commands", "settings")

# What is called the same in Chinese: names, formats, values of widgets and what people type.
SAME = """
NemoVideo DNS TLS MB nemo local preview auto ComfyUI JSON MP4 mp4 GIF gif jpeg png http https URL date yyyy MM dd
stop skip edit the newest state generate again pays all images in one video per image true false
avi mkv Vue Windows export credits status upload VIDEO AUDIO IMAGE input output temp NEMO_ALLOWED_DIRS
"""
NAMES = set(SAME.split())


def locale(language: str, name: str) -> dict[str, Any]:
    """One file of `locales/`."""
    read: dict[str, Any] = json.loads((ROOT / "locales" / language / f"{name}.json").read_text(encoding="utf-8"))
    return read


def inputs_of(node: type[Any]) -> dict[str, Any]:
    """The inputs that people see, with their options."""
    types = node.INPUT_TYPES()
    return {**types.get("required", {}), **types.get("optional", {})}


def described(name: str, node: type[Any]) -> dict[str, Any]:
    """What a class says of itself, in the form in which the front end looks translations up."""
    outputs = zip(node.RETURN_NAMES, node.OUTPUT_TOOLTIPS, strict=True)
    return {
        "display_name": name,
        "description": node.DESCRIPTION,
        "inputs": {
            each: {"name": each, "tooltip": given[1].get("tooltip", "")} for each, given in inputs_of(node).items()
        },
        "outputs": {str(index): {"name": each, "tooltip": told} for index, (each, told) in enumerate(outputs)},
    }


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """All texts of a locale with their paths."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, f"{path}.{key}")
    else:
        yield path, value


def test_english_is_what_the_classes_say(pack: Any) -> None:
    """The English locale repeats the classes word for word, so that no one reads two versions of a text."""
    classes = pack.NODE_CLASS_MAPPINGS
    told = {node_id: described(pack.NODE_DISPLAY_NAME_MAPPINGS[node_id], node) for node_id, node in classes.items()}

    assert locale("en", "nodeDefs") == told


def test_chinese_is_complete(nodes: dict[str, type[Any]]) -> None:
    """Each node, input and output has its Chinese name and tooltip, and there is nothing else."""
    chinese = locale("zh", "nodeDefs")
    english = {path for path, _ in leaves(locale("en", "nodeDefs"))}
    translated = {path for path, text in leaves(chinese) if text and ".options." not in path}

    assert set(chinese) == set(nodes)
    assert english - translated == set()
    assert translated - english == set()


def test_translated_options_are_those_of_the_classes(nodes: dict[str, type[Any]]) -> None:
    """An option is looked up by its value; one that no class offers would never be found."""
    for node_id, entry in locale("zh", "nodeDefs").items():
        offered = inputs_of(nodes[node_id])
        for name, given in entry["inputs"].items():
            values = {"true", "false"} if offered[name][0] == "BOOLEAN" else set(offered[name][0])

            assert set(given.get("options", {})) <= values, f"{node_id} {name}"


@pytest.mark.parametrize("name", FILES)
def test_both_languages_have_the_same_keys(name: str) -> None:
    """A text that one language lacks would be shown in the other."""
    keys = [{path for path, _ in leaves(locale(each, name)) if ".options." not in path} for each in LANGUAGES]

    assert keys[0] == keys[1]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_holds_what_the_front_end_interprets(language: str, name: str) -> None:
    """Braces, bars and at signs are syntax in its messages, and a dot in a key would be a path."""
    for path, text in leaves(locale(language, name)):
        assert not set("{}|@") & set(text), path
        assert text == " ".join(text.split()), path
    for node_id, entry in locale(language, "nodeDefs").items():
        assert "." not in "".join([node_id, *entry["inputs"], *entry["outputs"]])


@pytest.mark.parametrize("name", FILES)
def test_no_english_is_left_in_chinese(name: str) -> None:
    """Latin words are names, formats and values of widgets."""
    left = {
        path: words
        for path, text in leaves(locale("zh", name))
        if not path.endswith((".NemoVideo", ".id"))
        and (words := set(re.findall(r"[A-Za-z]\w*", text, re.ASCII)) - NAMES)
    }

    assert left == {}


def test_the_extension_s_settings_and_commands_have_words() -> None:
    """Each id that the browser extension registers is in both locales, in the words of the extension's own table."""
    modules = [path for path in WEB.iterdir() if path.suffix in (".js", ".mjs")]
    extension = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    settings = {f"NemoVideo_{name}" for name in re.findall(r'\bsetting\("(\w+)"', extension)}
    commands = {f"NemoVideo_{name}" for name in re.findall(r'id: "NemoVideo\.(\w+)"', extension)}

    assert settings
    assert commands
    for language in LANGUAGES:
        assert set(locale(language, "settings")) == settings
        assert set(locale(language, "commands")) == commands
        for name in ("settings", "commands"):
            assert [text for _, text in leaves(locale(language, name)) if f'"{text}"' not in extension] == []


def page(node_id: str, language: str) -> str:
    """A node's help page."""
    return (WEB / "docs" / node_id / f"{language}.md").read_text(encoding="utf-8")


def listed_names(text: str) -> set[str]:
    """What the lists of inputs and outputs of a page begin with, as code."""
    parts = text.split("\n## ")
    return set(re.findall(r"^- `([^`]+)`", "\n".join(parts[1:3]), re.MULTILINE))


@pytest.mark.parametrize("language", LANGUAGES)
def test_help_pages_name_every_input_and_output(language: str, nodes: dict[str, type[Any]]) -> None:
    """Each node has a page, whose first two lists have a line for each input and output and for nothing else."""
    for node_id, node in nodes.items():
        named = {*inputs_of(node), *node.RETURN_NAMES}

        assert listed_names(page(node_id, language)) == named, node_id
    assert {each.name for each in (WEB / "docs").iterdir()} == set(nodes)


@pytest.mark.parametrize("language", LANGUAGES)
def test_help_pages_are_short_and_plain(language: str, pack: Any) -> None:
    """Each begins with its name, fits the narrow panel (no tables), holds no HTML and no link but a picture."""
    for node_id in pack.NODE_CLASS_MAPPINGS:
        text = page(node_id, language)

        assert text.startswith(f"# {locale(language, 'nodeDefs')[node_id]['display_name']}\n"), node_id
        assert len(text.splitlines()) <= 60, node_id
        assert not re.search(r"^\|", text, re.MULTILINE), node_id
        assert not re.search(r"<[a-zA-Z/]", text), node_id
        assert re.findall(r"\]\((?!https?:)(.+?)\)", text) == [f"{node_id}/{language}.png"], node_id


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_picture_of_a_help_page_carries_a_graph_with_its_node(language: str, nodes: dict[str, type[Any]]) -> None:
    """Dragged into the graph, the picture opens it; `tools/draw_nodes.py` draws them."""
    for node_id in nodes:
        with Image.open(WEB / "docs" / node_id / f"{language}.png") as picture:
            graph = json.loads(picture.info["workflow"])
            assert picture.width <= 500, node_id

        kinds = {each["type"] for each in graph["nodes"]}
        assert node_id in kinds
        assert "NemoGenerateVideo" not in kinds or "NemoExportRender" in kinds, "a paid video is always delivered"
        assert {kind for kind in kinds if kind.startswith("Nemo")} <= set(nodes)
        assert "nmv_" not in picture.info["workflow"]


def test_help_pages_have_the_same_parts_in_both_languages(nodes: dict[str, type[Any]]) -> None:
    """What one language tells, the other tells as well."""
    for node_id in nodes:
        english, chinese = page(node_id, "en"), page(node_id, "zh")

        assert english.count("\n## ") == chinese.count("\n## ") >= 4, node_id
        assert english.count("\n- ") == chinese.count("\n- "), node_id


def test_chinese_help_pages_are_chinese(nodes: dict[str, type[Any]]) -> None:
    """Outside of code, Latin words are names and formats."""
    for node_id in nodes:
        plain = re.sub(r"`[^`]*`|\]\(.*?\)", " ", page(node_id, "zh"))

        assert set(re.findall(r"[A-Za-z]\w*", plain, re.ASCII)) - NAMES == set(), node_id


def test_chinese_help_pages_use_the_names_of_the_graph(nodes: dict[str, type[Any]]) -> None:
    """Each line begins with the name that stands in the node, so that people find it there."""
    chinese = locale("zh", "nodeDefs")
    for node_id, node in nodes.items():
        entry = chinese[node_id]
        shown = {(name, given["name"]) for name, given in entry["inputs"].items()}
        shown |= {(name, entry["outputs"][str(index)]["name"]) for index, name in enumerate(node.RETURN_NAMES)}

        assert set(re.findall(r"^- `(\w+)` \*\*(.+?)\*\*：", page(node_id, "zh"), re.MULTILINE)) == shown, node_id


@pytest.mark.parametrize(("variable", "language"), [("", "zh-CN"), ("zh", "auto"), ("zh_CN.UTF-8", "en")])
def test_errors_and_progress_of_a_node_are_chinese(
    variable: str, language: str, nodes: dict[str, type[Any]], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the handle's language, or by the server's NEMO_LANG, which goes before it."""
    monkeypatch.setenv("NEMO_LANG", variable)
    auth, account = host.run(nodes["NemoAuth"], profile="local preview", language=language)
    image, mode = picture(32, 24), "all images in one video"
    (sessions,) = host.run(nodes["NemoUploadImage"], auth=auth, image=image, batch_mode=mode)
    with pytest.raises(InputError) as failure:
        host.run(nodes["NemoGenerateVideo"], session=sessions, prompt=" ", aspect_ratio="auto", duration=1, seed=0)

    assert account == "local preview：在本机运行，免费，无需账户"
    assert str(failure.value) == "提示词为空。请写明视频的内容。 未扣除任何积分。"
    assert host.texts
    assert not [text for _, text in host.texts if re.search(r"[A-Za-z]{2,}", text)]

"""The browser extension's files: plain modules, small, and nothing in them that could leak or inject."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.web._page import WEB

MODULES = sorted([*WEB.glob("*.js"), *WEB.glob("*.mjs")])
STYLES = sorted(WEB.glob("*.css"))
IMPORT = re.compile(r"""(?:\bfrom\s*|\bimport\s*\(?\s*)["']([^"']+)["']""")
HOST = {"../../scripts/app.js", "../../scripts/api.js"}
NEVER = re.compile(
    r"\b(eval|Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write|localStorage|sessionStorage|indexedDB"
    r"|document\.cookie|console|srcdoc|XMLHttpRequest|postMessage|setAttributeNS)\b|\son\w+="
)
MODULE_LINES, MODULE_BYTES, START_BYTES, ALL_BYTES = 300, 16_000, 40_000, 144_000


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def imports(path: Path) -> list[str]:
    return IMPORT.findall(text(path))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_imports_only_its_siblings_and_comfyui_s_public_modules(path: Path) -> None:
    """There is no build step: an import names a file beside it that exists, or app.js and api.js."""
    for name in imports(path):
        assert name in HOST or (name.startswith("./") and (WEB / name).is_file()), name


def begun() -> set[str]:
    """What the entry imports at once, itself included."""
    names, todo = set(), ["./nemo.js"]
    while todo:
        name = todo.pop()
        if name not in names | HOST:
            names.add(name)
            todo += re.findall(r"""\bfrom\s*["']([^"']+)["']""", text(WEB / name))
    return names


def test_js_files_come_with_the_page_and_mjs_files_when_they_are_opened() -> None:
    """ComfyUI imports every .js file of a pack at the start, and only those."""
    assert {f"./{path.name}" for path in WEB.rglob("*.js")} == begun()


def test_every_lazy_file_is_checked_for_freshness() -> None:
    """ComfyUI lets browsers keep .mjs files: the entry names each, to be checked before the first is imported."""
    named = re.search(r'const LAZY =\s+"([\w ]+)"\.split', text(WEB / "nemo.js"))

    assert named
    assert named[1].split() == sorted(path.stem for path in WEB.glob("*.mjs"))


def test_every_module_is_reached_from_the_entry() -> None:
    """Nothing lies about unused."""
    reached, todo = set(), [WEB / "nemo.js"]
    while todo:
        path = todo.pop()
        if path not in reached:
            reached.add(path)
            todo += [WEB / name for name in imports(path) if name not in HOST]

    assert {path.name for path in reached} == {path.name for path in MODULES}


def test_the_page_loads_little() -> None:
    """What the entry imports at once, without the panel and the settings, stays small."""
    assert sum((WEB / name).stat().st_size for name in begun()) < START_BYTES


@pytest.mark.parametrize("path", [*MODULES, *STYLES], ids=lambda path: path.name)
def test_a_file_is_small(path: Path) -> None:
    """One concern a file."""
    table = path.suffix == ".css" or path.name == "words.js"  # one line a text, in two languages
    assert len(text(path).splitlines()) <= (2 * MODULE_LINES if table else MODULE_LINES)
    assert path.stat().st_size < MODULE_BYTES


def test_all_of_it_is_small() -> None:
    """The whole extension, without the help pages."""
    assert sum(path.stat().st_size for path in [*MODULES, *STYLES]) < ALL_BYTES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_nothing_is_parsed_as_markup_or_code_and_nothing_is_kept(path: Path) -> None:
    """Prompts and errors are other people's text, and a token must not stay in the browser."""
    assert NEVER.findall(text(path)) == []


@pytest.mark.parametrize("path", [*MODULES, *STYLES], ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    """No address of another host, but for the beginning of one that people type."""
    assert re.findall(r"""https?://[^"'\s]+""", text(path)) == []
    assert "@import" not in text(path)
    assert "url(" not in text(path)


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_styles_touch_only_what_is_ours(path: Path) -> None:
    """Every rule is below `.nemo-video` or an element of ours."""
    plain = re.sub(r"/\*.*?\*/", "", text(path), flags=re.DOTALL)
    heads = re.findall(r"([^{}]+)\{", plain)

    for head in heads:
        for selector in re.split(r",(?![^()]*\))", head.strip()):
            assert selector.strip().startswith((".nemo-video", "nemo-video-", "@media")), selector

"""The house: who may import whom, what loading costs, and that names, texts and requirements agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nemo_client
from nemo_client import _errors
from nemo_client._text import messages
from tests.support.sources import parse_source

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

ROOT = Path(__file__).parent.parent.parent
CLIENT = ROOT / "nemo_client"
MODULES = sorted(path for path in CLIENT.rglob("*.py"))
NODES = sorted((ROOT / "nodes").rglob("*.py"))
LOCAL = sorted((CLIENT / "local").rglob("*.py"))
SPEAKERS = [path for path in (*MODULES, *NODES) if path not in LOCAL]

PACKAGES = ("_safety", "_text", "_errors", "_config", "_wire", "_journal", "_files", "_studio", "_batch", "_cli")
"""From the bottom up; a module imports only from its own package and from those before it."""

LATE = {("_studio", "_batch")}
"""Imports that run up inside a function: `Studio.batch` hands over to the runner."""

STARTS_LOCAL = {"_studio", "_cli"}
"""The packages that start the local preview backend; `_files.timeline_image` takes its fonts alone."""

HEAVY = ("httpx", "pydantic", "sqlalchemy", "numpy", "filelock", "PIL", "av", "aiohttp", "torch")


def imports(path: Path, *, at_load: bool = False) -> Iterator[tuple[str, str]]:
    """What a file imports, as (package or module, name); `at_load` leaves out what functions import and types."""
    todo: list[ast.AST] = [parse_source(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)
        if at_load and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_types(node)):
            continue
        todo.extend(ast.iter_child_nodes(node))


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imported_modules(path: Path, *, at_load: bool = False) -> set[tuple[str, ...]]:
    """The modules of this repository that a file imports, as paths from its root: `("nemo_client", "_wire", "sse")`."""
    found = set()
    package = path.relative_to(ROOT).parts[:-1]
    for module, name in imports(path, at_load=at_load):
        level = len(module) - len(module.lstrip("."))
        if level:
            whole = (*package[: len(package) - level + 1], *module[level:].split("."), name)
            whole = tuple(part for part in whole if part)
            is_module = (
                ROOT.joinpath(*whole).with_suffix(".py").exists() or ROOT.joinpath(*whole, "__init__.py").exists()
            )
            found.add(whole if is_module else whole[:-1])
    return found


def packages_of(path: Path, *, at_load: bool = False) -> set[str]:
    """The packages (or plain modules) directly in nemo_client that a file of it imports."""
    modules = imported_modules(path, at_load=at_load)
    return {module[1] for module in modules if module[0] == "nemo_client" and len(module) > 1}


def _for_types(path: Path) -> set[str]:
    """The packages that only the types of a file name."""
    tree = parse_source(path.read_text(encoding="utf-8"))
    blocks = [node for node in ast.walk(tree) if _is_for_types(node)]
    names = {
        part
        for block in blocks
        for each in ast.walk(block)
        if isinstance(each, ast.ImportFrom)
        for part in (each.module or "").split(".")
    }
    return names & set(PACKAGES)


def package_of(path: Path) -> str:
    """The package (or plain module) of nemo_client that a file lies in."""
    return path.relative_to(CLIENT).with_suffix("").parts[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_stands_below_it(package: str) -> None:
    """The errors know no other package, and only the top knows all."""
    below = {*PACKAGES[: PACKAGES.index(package)], package, "local"}

    for path in MODULES:
        if package_of(path) == package:
            late = {other for here, other in LATE if here == package}

            assert packages_of(path, at_load=True) <= below, f"{path.relative_to(ROOT)} imports upwards"
            assert packages_of(path) - _for_types(path) <= below | late, f"{path.relative_to(ROOT)} imports upwards"


def test_every_package_has_its_place() -> None:
    """A new package is put into the order above, and one that is gone is taken out."""
    assert {package_of(path) for path in MODULES} - {"__init__", "local"} == set(PACKAGES)


def test_the_journal_takes_shapes_alone_from_the_wire() -> None:
    """What is recorded does not depend on how it travels."""
    for path in (CLIENT / "_journal").glob("*.py"):
        taken = {module[2] for module in imported_modules(path) if module[:2] == ("nemo_client", "_wire")}

        assert taken <= {"draft", "schemas"}, path.name


@pytest.mark.parametrize("root", ["nemo_client", "nodes"])
def test_no_two_modules_import_each_other(root: str) -> None:
    """No circle, however long, among what is loaded."""
    graph = {
        path.relative_to(ROOT).with_suffix("").parts: imported_modules(path, at_load=True)
        for path in (MODULES if root == "nemo_client" else NODES)
        if path.name != "__init__.py"
    }
    while free := [module for module, uses in graph.items() if not uses & graph.keys() - {module}]:
        for module in free:
            del graph[module]

    assert sorted(graph) == []


def test_only_the_studio_and_the_shell_start_the_local_backend() -> None:
    """The client reaches the local backend as any other, over HTTP."""
    starters = {path for path in MODULES if path not in LOCAL and "local" in packages_of(path)}

    assert {package_of(path) for path in starters if path.stem != "timeline_image"} <= STARTS_LOCAL


def test_the_local_backend_imports_none_of_its_siblings() -> None:
    """Sharing the client's parsing would let one mistake hide the other."""
    for path in LOCAL:
        for module in imported_modules(path):
            assert module[:2] == ("nemo_client", "local"), f"{path.relative_to(ROOT)}: {module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CLIENT)))
def test_the_client_knows_nothing_of_comfyui(path: Path) -> None:
    """Relative imports of its own, the standard library, and the declared dependencies; nothing else."""
    allowed = set(sys.stdlib_module_names) | _declared() | {"__future__"}

    for module, _ in imports(path):
        assert module.startswith(".") or module.split(".")[0] in allowed, module
        assert module.split(".")[0] not in ("torch", "comfy", "comfy_api", "folder_paths", "server", "nodes")


@pytest.mark.parametrize("path", NODES, ids=lambda path: path.name)
def test_nodes_use_public_names_only_and_one_of_them_knows_the_host(path: Path) -> None:
    """The nodes see the client's public surface; only `_comfy/host.py` imports ComfyUI."""
    for module, name in imports(path):
        if module.endswith(".nemo_client"):
            assert name in nemo_client.__all__, name
        assert ".nemo_client." not in module, module
        if path.name != "host.py":
            assert module.split(".")[0] not in ("comfy", "comfy_api", "comfy_execution", "folder_paths", "server")


def _declared() -> set[str]:
    """The import names of the dependencies and of the extras, by pyproject."""
    renamed = {"Pillow": "PIL", "SQLAlchemy": "sqlalchemy", "pillow-heif": "pillow_heif"}
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    names = re.findall(r'"([A-Za-z][\w-]*)(?:\[\w+\])?[>=]', text)
    foundations = {"click", "yarl"}  # of typer and aiohttp
    return {renamed.get(name, name) for name in names} | foundations


def test_the_names_and_their_modules_agree() -> None:
    """`__all__` is what can be loaded lazily, sorted as ruff sorts it, and what type checkers are told."""
    names = nemo_client.__all__
    typed = {name for module, name in imports(CLIENT / "__init__.py") if module.startswith("._")}
    others = {where.partition(":")[2] or name for name, where in nemo_client._EXPORTS.items()}

    assert names == sorted(nemo_client._EXPORTS)
    assert typed == others


def test_public_classes_carry_the_short_name_of_the_package() -> None:
    """ComfyUI shows people the full type of an exception."""
    for name in nemo_client.__all__:
        found = getattr(nemo_client, name)

        assert not isinstance(found, type) or found.__module__ == "nemo_client"
    assert _errors.NoCredits.__module__ == "nemo_client"


def test_unknown_names_are_refused() -> None:
    """A misspelt name is an AttributeError, as for any module."""
    with pytest.raises(AttributeError, match="Studioo"):
        nemo_client.Studioo  # noqa: B018 - the look-up is what is tested


def loaded_by(code: str) -> set[str]:
    """The heavy packages that are there after `code` ran in a fresh interpreter."""
    shown = f"{code}; import sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", shown], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    """ComfyUI's start pays for the package's name alone, and for what its nodes import when they are loaded."""
    at_load = {
        name for path in NODES for module, name in imports(path, at_load=True) if module.endswith(".nemo_client")
    }

    assert loaded_by("import nemo_client") == set()
    assert loaded_by(f"from nemo_client import {', '.join(sorted(at_load | {'NemoError'}))}") == set()


@pytest.mark.skipif(tomllib is None, reason="Python 3.10 cannot read TOML")
def test_requirements_and_versions_agree_with_pyproject() -> None:
    """ComfyUI-Manager installs requirements.txt; pip and the registry read pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == project["dependencies"]
    assert project["version"] == nemo_client.VERSION == nemo_client.__version__


def texts_named(path: Path) -> Iterator[str]:
    """Every string of a file, and of f-strings the constant start followed by a star."""
    for node in ast.walk(parse_source(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr) and len(node.values) == 2 and isinstance(node.values[0], ast.Constant):
            yield f"{node.values[0].value}*"


def texts_asked_for(path: Path) -> Iterator[str]:
    """The ids that a file says or raises: first arguments of `say`, `Phrase` and of our exceptions."""
    raised = {name for name in nemo_client.__all__ if isinstance(getattr(nemo_client, name), type)}
    for node in ast.walk(parse_source(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0]
            is_error = called in raised and issubclass(getattr(nemo_client, called), nemo_client.NemoError)
            if (
                (called in ("say", "Phrase") or is_error)
                and isinstance(first, ast.Constant)
                and isinstance(first.value, str)
            ):
                yield first.value


def test_every_text_that_is_asked_for_exists() -> None:
    """No error and no line for people is without words."""
    asked = {text: path.name for path in SPEAKERS for text in texts_asked_for(path)}

    assert len(asked) > 40
    assert {text: place for text, place in asked.items() if text not in messages.load_texts("en")} == {}


def test_every_text_is_used() -> None:
    """A text that nothing says any more is taken out."""
    named = {text for path in SPEAKERS if not path.name.startswith("messages") for text in texts_named(path)}
    starts = tuple(text[:-1] for text in named if re.fullmatch(r"[a-z-]+\.(\w+\.)?\*", text))
    unused = {text for text in messages.load_texts("en") if text not in named and not text.startswith(starts)}

    assert unused == set()


def test_every_default_text_of_an_exception_exists() -> None:
    """Exceptions that name no text have one of their own."""
    for name in nemo_client.__all__:
        default = getattr(getattr(nemo_client, name), "default_id", None)

        assert default is None or default in messages.load_texts("en")

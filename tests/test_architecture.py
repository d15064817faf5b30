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
from nemo_client import _words

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

ROOT = Path(__file__).parent.parent
CLIENT = ROOT / "nemo_client"
MODULES = sorted(path for path in CLIENT.rglob("*.py"))
NODES = sorted((ROOT / "nodes").rglob("*.py"))
SPEAKERS = [*sorted(CLIENT.glob("*.py")), *NODES]

# From the bottom up; a module imports only from lines above its own, and those of one line not from each other.
LAYERS = """
_words_zh _choices _sidedata _colours _secret _addresses _lookalikes _confined _private _json _bounded _handles
_reasons _pasted
_words _questions
_errors
_config _proxies _phrases _grammar _requests_en _requests_zh _steps _owners _patience _postgres _schema _render_status
_router _models _events _drafts _prompts _retry _polling _progress _attempts _database _tunnels
_intents _money _envelope _accounts _free_users _flights _turn _queries _network _lanes
_trials _needed _job_rows
_journal
_http _results _jobs _parts _upkeep
_transfers _outcomes _profiles
_client _media _landing _timeline_picture
_tags _fetching _sound _tokens _listing _kept _items _batch_files _batch_page
_containers _manifest _errands _desk
_settling _streams
_renders _sessions
_messages _edits _views _batch
_studio
_crew
_cluster
"""
RANK = {name: rank for rank, line in enumerate(LAYERS.strip().splitlines()) for name in line.split()}
# Only the program of the shell, and what keeps the journal on disk, stand beside these layers.
ABOVE = re.compile(r"__init__|_cli(_\w+)?")
HEAVY = ("httpx", "pydantic", "sqlalchemy", "numpy", "filelock", "PIL", "av", "aiohttp", "torch")


def imports(path: Path, *, at_load: bool = False) -> Iterator[tuple[str, str]]:
    """What a file imports, as (package or module, name); `at_load` leaves out what functions import and types."""
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
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


def own(path: Path) -> set[str]:
    """The modules of nemo_client that a file directly in it imports, whatever for."""
    found = set()
    for module, name in imports(path):
        if module == ".":
            found.add(name)
        elif module.startswith("."):
            found.add(module[1:].split(".")[0])
    return found


def test_arrows_go_one_way() -> None:
    """A module imports only modules of lower layers, so the errors know nobody and only the top knows all."""
    for path in CLIENT.glob("*.py"):
        if not ABOVE.fullmatch(path.stem):
            wrong = {name for name in own(path) - {"local"} if RANK[name] >= RANK[path.stem]}

            assert not wrong, f"{path.stem} imports {wrong}"


def test_every_module_has_its_layer() -> None:
    """A new module is put into the drawing above, and one that is gone is taken out."""
    present = {path.stem for path in CLIENT.glob("*.py") if not ABOVE.fullmatch(path.stem)}

    assert present == set(RANK)


def test_only_the_studio_and_the_shell_start_the_local_backend() -> None:
    """The client reaches the local backend as any other, over HTTP."""
    starters = {path.stem for path in CLIENT.glob("*.py") if "local" in own(path)}

    assert starters - {"_timeline_picture"} <= {"_studio", "_cli_serve", "_cli"}  # that one takes fonts alone


def test_the_local_backend_imports_none_of_its_siblings() -> None:
    """Sharing the client's parsing would let one mistake hide the other."""
    for path in (CLIENT / "local").glob("*.py"):
        for module, name in imports(path):
            assert not module.startswith(("..", "nemo_client")), f"{path}: {module} {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CLIENT)))
def test_the_client_knows_nothing_of_comfyui(path: Path) -> None:
    """Relative imports of its own, the standard library, and the declared dependencies; nothing else."""
    allowed = set(sys.stdlib_module_names) | _declared() | {"__future__"}

    for module, _ in imports(path):
        assert module.startswith(".") or module.split(".")[0] in allowed, module
        assert module.split(".")[0] not in ("torch", "comfy", "comfy_api", "folder_paths", "server", "nodes")


@pytest.mark.parametrize("path", NODES, ids=lambda path: path.name)
def test_nodes_use_public_names_only_and_one_of_them_knows_the_host(path: Path) -> None:
    """The nodes see the client's public surface; only `_host` imports ComfyUI."""
    for module, name in imports(path):
        if module == "..nemo_client":
            assert name in nemo_client.__all__, name
        assert not module.startswith("..nemo_client."), module
        if path.name != "_host.py":
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

    assert set(names) == set(nemo_client._HOMES)
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert set(names) == typed


def test_public_classes_carry_the_short_name_of_the_package() -> None:
    """ComfyUI shows people the full type of an exception."""
    for name in nemo_client.__all__:
        found = getattr(nemo_client, name)

        assert not isinstance(found, type) or found.__module__ == "nemo_client"
    assert nemo_client._errors.NoCredits.__module__ == "nemo_client"


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
    at_load = {name for path in NODES for module, name in imports(path, at_load=True) if module == "..nemo_client"}

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
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr) and len(node.values) == 2 and isinstance(node.values[0], ast.Constant):
            yield f"{node.values[0].value}*"


def texts_asked_for(path: Path) -> Iterator[str]:
    """The ids that a file says or raises: first arguments of `say` and of our exceptions."""
    raised = {name for name in nemo_client.__all__ if isinstance(getattr(nemo_client, name), type)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0]
            is_error = called in raised and issubclass(getattr(nemo_client, called), nemo_client.NemoError)
            if (called == "say" or is_error) and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def test_every_text_that_is_asked_for_exists() -> None:
    """No error and no line for people is without words."""
    asked = {text: path.name for path in SPEAKERS for text in texts_asked_for(path)}

    assert len(asked) > 40
    assert {text: place for text, place in asked.items() if text not in _words.TEXTS["en"]} == {}


def test_every_text_is_used() -> None:
    """A text that nothing says any more is taken out."""
    named = {text for path in SPEAKERS if not path.name.startswith("_words") for text in texts_named(path)}
    starts = tuple(text[:-1] for text in named if re.fullmatch(r"[a-z-]+\.(\w+\.)?\*", text))
    unused = {text for text in _words.TEXTS["en"] if text not in named and not text.startswith(starts)}

    assert unused == set()


def test_every_default_text_of_an_exception_exists() -> None:
    """Exceptions that name no text have one of their own."""
    for name in nemo_client.__all__:
        default = getattr(getattr(nemo_client, name), "default_id", None)

        assert default is None or default in _words.TEXTS["en"]

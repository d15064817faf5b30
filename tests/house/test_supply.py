"""What the project depends on: declared, with a lower bound, loaded late where it is optional, and looked up in CI."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sources import parse_source
from tools.audit import Verdict, verdict
from tools.lowest import EXTRAS, NoBound, for_tests, for_users, lowest, project

ROOT = Path(__file__).parent.parent.parent
TABLE = project()
OPTIONAL = TABLE["optional-dependencies"]
OWN = {"nemo_client", "nodes", "tools", "benchmarks", "tests"}
HOST = {"torch", "comfy", "comfy_api", "comfy_execution", "folder_paths", "server"}  # whatever ComfyUI brings
RENAMED = {
    "Pillow": "PIL",
    "SQLAlchemy": "sqlalchemy",
    "pillow-heif": "pillow_heif",
    "httpx-sse": "httpx_sse",
    "google-adk": "google",
}
FOUNDATIONS = {
    "aiohttp": {"multidict", "yarl"},
    "typer": {"click"},
    "google-adk": {"fastapi", "uvicorn"},
}  # what these are made of, and hand out themselves
ELSEWHERE = {"torch", "atheris"}  # comes with ComfyUI or from `.ci/run`; runs where it can be built
SHELL = ROOT / "nemo_client" / "_cli"


def packages(*requirements: str) -> set[str]:
    """The names to import, of requirements as pyproject writes them."""
    names = {re.split(r"[\[><=;~! ]", each)[0] for each in requirements}
    return {RENAMED.get(name, name) for name in names}.union(*(FOUNDATIONS.get(name, set()) for name in names))


NEEDED = packages(*TABLE["dependencies"])
OF_USERS = packages(*for_users(TABLE)) - NEEDED
OF_WORK = packages(*(each for extra in ("dev", "benchmarks", "browser", "agent-server") for each in OPTIONAL[extra]))


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """The packages of others that a file imports, and whether it does so as soon as it is loaded."""
    todo: list[tuple[ast.AST, bool]] = [(parse_source(path.read_text(encoding="utf-8")), True)]
    while todo:
        node, at_load = todo.pop()
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in {each.split(".")[0] for each in names} - OWN:
            if name not in sys.stdlib_module_names:
                yield name, at_load
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_for_types(node)
        todo += [(child, at_load and not later) for child in ast.iter_child_nodes(node)]


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_what_is_installed_imports_nothing_undeclared() -> None:
    """The client and the nodes import their dependencies, their users' extras, and in nodes what ComfyUI brings."""
    for path in [ROOT / "__init__.py", *sources("nemo_client", "nodes")]:
        allowed = NEEDED | OF_USERS | (HOST if ROOT / "nodes" in path.parents else set())

        assert {name for name, _ in imported(path)} <= allowed, path


def test_what_is_optional_is_loaded_late() -> None:
    """Without an extra everything else works: only the shell's own modules need one as soon as they are loaded."""
    for path in [ROOT / "__init__.py", *sources("nemo_client", "nodes")]:
        if SHELL not in path.parents:
            early = {name for name, at_load in imported(path) if at_load}

            assert early.isdisjoint(OF_USERS | HOST), path


@pytest.mark.long
def test_tools_benchmarks_and_tests_import_nothing_undeclared() -> None:
    """What work on this repository needs stands in its extras, but for what only some machines have."""
    for path in sources("tools", "benchmarks", "tests"):
        assert {name for name, _ in imported(path)} <= NEEDED | OF_USERS | OF_WORK | ELSEWHERE, path


def test_everything_declared_is_used() -> None:
    """A dependency that nothing imports any more is one too many."""
    used = {name for path in sources("nemo_client", "nodes") for name, _ in imported(path)}

    assert NEEDED - {"multidict", "yarl"} <= used
    assert packages(*OPTIONAL["heic"], *OPTIONAL["cli"]) - {"click"} <= used


@pytest.mark.parametrize("requirement", [*for_users(TABLE), *for_tests(TABLE)])
def test_every_requirement_has_a_lower_bound_and_no_other(requirement: str) -> None:
    """An upper bound would fight ComfyUI's own; without a lower one no one knows what works."""
    assert len(lowest([requirement])) == 1


@pytest.mark.parametrize(
    "requirement",
    ["httpx", "httpx==0.27", "httpx>=0.27,<1", "httpx<1", "httpx~=0.27", "httpx @ file:///tmp/httpx", "httpx>=0.27; a"],
)
def test_a_requirement_of_another_form_is_refused(requirement: str) -> None:
    """Addresses, pins and upper bounds do not come in unnoticed."""
    with pytest.raises(NoBound, match="name>=version"):
        lowest([requirement])


def test_the_lowest_versions_are_the_bounds() -> None:
    """What `.ci/run` installs for its second round of tests."""
    assert lowest(["httpx[socks]>=0.27", "SQLAlchemy>=2.0.0"]) == ["httpx[socks]==0.27", "SQLAlchemy==2.0.0"]


def test_the_extras_of_users_are_known() -> None:
    """A new extra is either one of users, and tested at its lowest version, or one for work on this repository."""
    assert set(OPTIONAL) == {*EXTRAS, "agent-server", "benchmarks", "browser", "dev"}


def test_requirements_txt_is_pyproject_s_list() -> None:
    """ComfyUI-Manager installs the one, pip and the registry read the other."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()

    assert lines == TABLE["dependencies"]


HOLE = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"], "description": "…"}


def test_a_known_vulnerability_is_found() -> None:
    """It is named with the release that mends it, and `.ci/run` fails."""
    heard = verdict({"dependencies": [{"name": "a", "version": "1.0", "vulns": [HOLE]}]})

    assert heard.found == ("  a 1.0: PYSEC-1 CVE-1, fixed in 2.0",)
    assert "PYSEC-1" in heard.line


def test_an_audit_that_looked_nothing_up_says_so() -> None:
    """A database that is out of reach, or knows no package at all, is no clean bill of health."""
    unknown = verdict({"dependencies": [{"name": "a", "skip_reason": "not found"}]})

    assert "SKIPPED" in unknown.line
    assert "SKIPPED" in Verdict().line


def test_an_audit_says_how_much_it_looked_up() -> None:
    """Packages that the database does not know are not counted as sound."""
    heard = verdict({"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "?"}]})

    assert heard.line == "audit: no known vulnerability in 1 packages, 1 more are not in the database"
    assert not heard.found


def test_ci_audits_and_tests_the_lowest_versions() -> None:
    """Both stand in `.ci/run`, which is what must pass before a change lands."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert re.search(r"^ *\S+ tools/audit\.py ", script, re.MULTILINE)
    assert re.search(r"^ *\S+ tools/lowest\.py ", script, re.MULTILINE)

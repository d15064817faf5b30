"""What the documents say, held against the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from tests.support.waiting import PATIENT_SECONDS

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
SOURCES = [*(ROOT / "nemo_client").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]


def test_ci_runs_readme_s_test_command() -> None:
    """`.ci/run` holds the very line that README tells people to run."""
    commands = re.findall(r"^python3 -m venv .*pytest$", README, re.MULTILINE)

    assert len(commands) == 1
    assert commands[0] in (ROOT / ".ci" / "run").read_text()
    assert commands[0] in (ROOT / "CONTRIBUTING.md").read_text()


def test_every_setting_is_documented() -> None:
    """Variables that the code reads are in the table of docs/settings.md, and none that it does not read."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    read = set(re.findall(r"\"(NEMO_[A-Z_]+|SKILL_SOURCE)\"", code))
    told = set(re.findall(r"^\| .*", DOCS["settings.md"], re.MULTILINE))
    named = {name for row in told for name in re.findall(r"`(NEMO_[A-Z_]+|SKILL_SOURCE)`", row)}

    assert read - {"NEMO_AUTH", "NEMO_SESSION"} == named  # those two are types of inputs


def test_every_node_is_documented() -> None:
    """README's table names each node by its display name."""
    names = re.findall(r'": "(NemoVideo [^"]+)"', (ROOT / "nodes" / "__init__.py").read_text())

    assert names
    assert [name for name in names if f"| {name} |" not in README] == []


def test_every_command_is_documented() -> None:
    """Commands of the shell appear in docs/shell.md, and README and documents name none that is not there."""
    from nemo_client._cli.app import app

    commands = set(_commands(app))
    command = r"nemo-video ((?:jobs )?[a-z]\w*)"
    told = {
        name for text in (README, *DOCS.values()) for part in _code_parts(text) for name in re.findall(command, part)
    }

    assert set(re.findall(command, DOCS["shell.md"])) == commands
    assert told - commands == set()


def _code_parts(text: str) -> list[str]:
    """What stands in blocks of code and between backquotes."""
    return re.findall(r"```sh\n.*?```|`[^`\n]+`", text, re.DOTALL)


def _commands(app: typer.Typer) -> Iterator[str]:
    """The commands of a program, those of its groups with the group's name before them, and the groups."""
    for command in app.registered_commands:
        assert command.callback is not None
        yield command.name or command.callback.__name__
    for group in app.registered_groups:
        assert group.typer_instance is not None
        name = str(group.typer_instance.info.name)
        yield name
        yield from (f"{name} {each}" for each in _commands(group.typer_instance))


@pytest.mark.long
def test_the_python_example_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of docs/python.md, with its one path made absolute, prints where the file is."""
    (block,) = re.findall(r"```python\n(.*?)```", DOCS["python.md"], re.DOTALL)
    photo = ROOT / "workflows" / "sample_photo.jpg"
    script = tmp_path / "example.py"
    script.write_text(block.replace("workflows/sample_photo.jpg", str(photo)).replace("3 seconds", "1 second"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENT_SECONDS
    )

    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.split()[0]).name == "cabin.mp4"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_local_links_and_pictures_exist(page: Path) -> None:
    """What README and the documents show is there."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_index_names_every_document() -> None:
    """docs/README.md links each document, and README links the index."""
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", DOCS["README.md"]))

    assert linked == set(DOCS) - {"README.md"}
    assert "](docs/README.md)" in README


def test_readme_is_what_a_newcomer_needs_first() -> None:
    """Ten minutes' reading: reference lies in docs/, and the moving picture stays below 2 MB."""
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)

    assert len(README.splitlines()) <= 120
    assert (ROOT / picture).stat().st_size < 2_000_000
    assert re.findall(r"NEMO_[A-Z_]+|[Ee]xit codes?: 0", README) == []


def test_the_json_examples_parse() -> None:
    """`profiles.json` as docs/settings.md shows it is accepted."""
    (block,) = re.findall(r"```json\n(.*?)```", DOCS["settings.md"], re.DOTALL)

    assert "profiles" in json.loads(block)


def test_versions_agree() -> None:
    """pyproject.toml, the package and the header that is sent name one version."""
    from nemo_client import VERSION, __version__

    project = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)

    assert project is not None
    assert project[1] == VERSION == __version__
    assert f"## {VERSION}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_map_names_files_that_are_there() -> None:
    """CONTRIBUTING says where to change what: every file and folder of it exists, and every package is on it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:nemo_client|nodes|web|locales|tests|tools|benchmarks|workflows)/[\w./-]*)`", text))
    packages = {f"nemo_client/{path.parent.name}/" for path in ROOT.glob("nemo_client/*/__init__.py")}

    assert {name for name in named if not (ROOT / name).exists()} == set()
    assert packages <= named

"""What `docs/batch.md` says, held against the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from nemo_client._batch.item import PICTURES
from nemo_client._batch.manifest import COLUMNS, MANIFESTS
from nemo_client._cli.app import app
from tests.batch.test_runner import KEYS
from tests.cli.test_batch import ACCOUNT
from tests.support.waiting import PATIENT_SECONDS

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")


def rows(heading: str) -> set[str]:
    """The names in the first column of the table below a line that starts so."""
    table = TEXT[TEXT.index(heading) :].split("\n\n", 1)[0]
    return {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}


def test_the_columns_of_manifests_are_documented() -> None:
    """All of them, and none that is not there."""
    assert rows("| column |") == set(COLUMNS)


def test_the_keys_of_result_lines_are_documented() -> None:
    """All of them, and none that is not there; so are those of `--json`."""
    told = TEXT[TEXT.index("`--json` prints") :].split("The exit code")[0]

    assert rows("| key |") == KEYS
    assert set(re.findall(r"`(\w+)`", told)) - {"error"} == ACCOUNT


def test_the_kinds_of_sources_are_documented() -> None:
    """The suffixes of pictures and manifests."""
    assert ", ".join(PICTURES) in TEXT
    assert all(f"`{suffix}`" in TEXT for suffix in MANIFESTS)


def test_every_option_that_is_named_exists() -> None:
    """And each that `batch` has beside those of `animate` is named."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    own, animate = ({o for p in commands[name].params for o in p.opts} for name in ("batch", "animate"))
    named = set(re.findall(r"(--[a-z][a-z-]+)", TEXT))

    assert named <= own
    assert {name for name in own - animate if name.startswith("--")} <= named


@pytest.mark.long
def test_the_python_example_runs_as_written(tmp_path: Path) -> None:
    """With its picture's path made absolute, it makes two videos."""
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(block.replace("workflows/", f"{ROOT.as_posix()}/workflows/"), encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); exec(open({str(script)!r}, encoding='utf-8').read())"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENT_SECONDS
    )

    assert done.returncode == 0, done.stderr
    assert sorted(line.split()[:2] for line in done.stdout.splitlines()) == [["done", "pan"], ["done", "push"]]

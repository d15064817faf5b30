"""The benchmarks work; what they measure means nothing here, where everything is small and other tests run beside."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import growth
from benchmarks.__main__ import names
from benchmarks._figures import Curve, Figure, median_of, table, to_json
from tests.support.sources import parse_source
from tests.support.waiting import PATIENT_SECONDS

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def smoked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[subprocess.Popen[str], Path]]]:
    """The smoke run of each benchmark that is asked for, all at once: most wait for something most of the time."""
    asked = {str(item.callspec.params["name"]) for item in request.session.items if _is_smoke(item)}
    folder = tmp_path_factory.mktemp("smoke")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMFYUI_")}
    environment |= {"NEMO_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    running = {}
    for name in {*asked, "start"}:
        report = folder / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--smoke", "--json", str(report)]
        process = subprocess.Popen(
            command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        running[name] = (process, report)
    yield running
    for process, _ in running.values():
        process.kill()
        process.communicate()


def _is_smoke(item: Any) -> bool:
    return getattr(item, "originalname", "") == "test_a_benchmark_works"


@pytest.mark.long
@pytest.mark.nightly
@pytest.mark.parametrize("name", names())
def test_a_benchmark_works(smoked: dict[str, tuple[subprocess.Popen[str], Path]], name: str) -> None:
    """Its smoke run ends well, prints each figure, and writes them as JSON with the machine named."""
    process, report = smoked[name]
    out, errors = process.communicate(timeout=PATIENT_SECONDS)

    assert process.returncode == 0, errors
    written = json.loads(report.read_text(encoding="utf-8"))
    assert written["machine"]["cores"]
    assert written["figures"]
    for figure in written["figures"]:
        assert figure["name"] in out
        assert figure["ours"] >= 0 or name == "growth"


@pytest.mark.long
def test_the_pack_does_nothing_when_it_is_loaded(smoked: dict[str, tuple[subprocess.Popen[str], Path]]) -> None:
    """No file is written, no connection opened, no program or thread started."""
    process, report = smoked["start"]
    if process.poll() is None:
        process.communicate(timeout=PATIENT_SECONDS)
    written = json.loads(report.read_text(encoding="utf-8"))

    done = next(each for each in written["figures"] if each["name"] == "done at its load")
    assert done["ours"] == 0, done["note"]


@pytest.mark.parametrize("package", ["nemo_client", "nodes", "tools", "__init__.py"])
def test_nothing_of_the_product_imports_the_benchmarks(package: str) -> None:
    """They are not shipped with the client, and ComfyUI never loads them."""
    place = ROOT / package
    for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
        for node in ast.walk(parse_source(path.read_text(encoding="utf-8"))):
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(each.split(".")[0] == "benchmarks" for each in found), path


@pytest.mark.long
def test_functions_take_turns_and_may_measure_themselves() -> None:
    """What disturbs the machine meets all of them; a float that is returned counts as it is."""
    order: list[str] = []

    def first() -> float:
        order.append("first")
        return float(len(order))

    def second() -> float:
        order.append("second")
        return 5.0

    assert median_of(3, first, second) == [4.0, 5.0]
    assert order == ["first", "second", "second", "first", "first", "second"]
    assert median_of(1, lambda: None)[0] < 5


def test_a_table_says_what_is_met_and_what_nobody_judged() -> None:
    """And the JSON has the ratio, so that no one has to divide."""
    figures = [
        Figure("quick", 1.0, 4.0, "s", "<= 2 s", True),
        Figure("slow", 12345.6, 1.0, "s", "<= 2 s", False, "why"),
        Figure("alone", 0.5, None, "s", "", None, "no rival"),
    ]

    lines = table(figures).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["quick", "1", "4", "0.25", "s", "<=", "2", "s", "met"],
        ["slow", "12346", "1", "12346", "s", "<=", "2", "s", "NOT", "MET", "why"],
        ["alone", "0.5", "s", "-", "no", "rival"],
    ]
    rows: list[dict[str, Any]] = json.loads(to_json(figures))["figures"]
    assert [row["ratio"] for row in rows] == [0.25, 12345.6, None]


@pytest.mark.parametrize(("power", "met"), [(0.0, True), (1.0, True), (2.0, False)], ids=["flat", "linear", "square"])
def test_worse_than_linear_is_not_met(power: float, met: bool) -> None:
    """A curve is judged by its slope where it is largest, not by what it costs to begin with."""
    sizes = [1, 10, 100, 1000, 10000]

    found = growth.figure(Curve("curve", "things", sizes, [7 * size**power for size in sizes], "ms"))
    assert found.ours == pytest.approx(power)
    assert found.met is met

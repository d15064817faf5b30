"""What `docs/scaling.md` reckons, held against the figures beside it and against the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.__main__ import names
from nemo_client._config.profiles import STREAMS
from nemo_client._journal.retention import WRITING_SECONDS
from tools import scaling

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


@pytest.fixture
def cost() -> scaling.Costs:
    return scaling.costs(scaling.read(scaling.FIGURES)[0], 90.0)


def test_the_tables_are_those_that_the_figures_give(cost: scaling.Costs) -> None:
    """The page shows what `python -m tools.scaling` prints, word for word."""
    needed, limits = scaling.tables(cost, scaling.SCALES).strip().split("\n\n")

    assert needed in TEXT
    assert limits in TEXT


def test_the_figures_that_are_told_were_measured() -> None:
    """Each row of the page's first table has its figure, as the benchmark wrote it, to two digits."""
    figures = scaling.read(scaling.FIGURES)[0]
    table = TEXT[TEXT.index("| figure |") :].split("\n\n", 1)[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]

    assert len(rows) > 10
    assert [row for row in rows if row[1].split()[0] != scaling.short(figures[row[0]])] == []


def test_the_page_is_brought_up_to_date(cost: scaling.Costs) -> None:
    """From other figures come other numbers, in the rows that were there; from its own the same page."""
    figures = scaling.read(scaling.FIGURES)[0]
    twice = {name: 2 * each for name, each in figures.items()}
    other = scaling.update_tables(TEXT, twice, scaling.costs(twice, 90.0))

    assert scaling.update_tables(TEXT, figures, cost) == TEXT
    assert other.count("\n") == TEXT.count("\n")
    assert scaling.update_tables(other, figures, cost) == TEXT


def test_the_commands_are_there() -> None:
    """A benchmark that the page names exists; so does the picture."""
    assert set(re.findall(r"benchmarks\.([a-z]\w*)", TEXT)) <= set(names())
    assert (ROOT / "docs" / "scaling.png").stat().st_size > 10_000
    assert not json.loads(scaling.FIGURES.read_text(encoding="utf-8"))["smoke"]


def test_what_is_reckoned_with_is_what_the_client_does() -> None:
    """The constants are the client's own."""
    assert scaling.STREAMS == STREAMS
    assert scaling.WRITING == WRITING_SECONDS


@pytest.mark.parametrize("seconds", [1.0, 90.0, 600.0])
def test_a_limit_is_where_its_share_is_one(seconds: float) -> None:
    """All that are listed, the nearest first; the longer a video is in flight, the nearer they are."""
    figures = scaling.read(scaling.FIGURES)[0]
    found = scaling.limits(scaling.costs(figures, seconds))
    longer = {each.name: each.most for each in scaling.limits(scaling.costs(figures, seconds * 2))}

    assert [each.share(each.most) for each in found] == pytest.approx([1.0] * len(found), rel=1e-3)
    assert [each.most for each in found] == sorted(each.most for each in found)
    assert all(longer[each.name] <= each.most for each in found)


def test_admissions_of_one_account_grow_with_its_square(cost: scaling.Costs) -> None:
    """Each looks at all that are out: ten times the videos is a hundred times the work, once they are many."""
    assert cost.admitting(1e8) / cost.admitting(1e7) == pytest.approx(100, rel=0.05)
    assert cost.admitting(1e3) / cost.admitting(1e2) == pytest.approx(10, rel=0.05)


def test_numbers_have_two_digits() -> None:
    """No more than are known."""
    told = [scaling.short(each) for each in (0, 0.0123, 1.26, 13.4, 999.0, 1234567)]

    assert told == ["0", "0.012", "1.3", "13", "1,000", "1,200,000"]
    assert (scaling.size(1536), scaling.bits(0.5), scaling.bits(1157)) == ("1.5 KiB", "4.0 Mbit/s", "9.3 Gbit/s")

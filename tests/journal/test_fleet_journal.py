"""The journal's rules in PostgreSQL: the tests of the journal, of paid messages and of the Studio once more, there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from nemo_client import Journal
from tests.journal import test_journal, test_retention, test_steps
from tests.studio import test_jobs, test_paid_message, test_studio
from tests.support.backend import cloud
from tests.support.postgres import Server, needs_postgres, postgres, url

__all__ = ["cloud", "postgres", "url"]
pytestmark = [needs_postgres, pytest.mark.long, pytest.mark.nightly]

free, place, kept, small = test_studio.free, test_studio.place, test_journal.kept, test_retention.small
journal = test_jobs.journal

# Of SQLite alone, of what is not the journal's, or of loads that are measured elsewhere.
LEFT_OUT = (
    "memory",
    "hundred_thousand",
    "often_asked",
    "handle_from_elsewhere",
    "between_hosts",
    "uses_an_index",
    "the_mark_changes",
    "another_file",
    "columns_of_their_own",
    "cannot_be_written",
    "record_vanished",
)
WANTED = {
    test_journal: "",
    test_retention: "async",
    test_jobs: "async",
    test_steps: "async",
    test_paid_message: "async",
    test_studio: "async",
}


def _on_postgres(module: ModuleType, wanted: str) -> Iterator[tuple[str, Any]]:
    """The tests of a module that say something about the journal."""
    for name, found in vars(module).items():
        if not name.startswith("test_") or not inspect.isfunction(found) or any(word in name for word in LEFT_OUT):
            continue
        if not wanted or inspect.iscoroutinefunction(found):
            yield name, found


@pytest.fixture(autouse=True)
def _in_postgres(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every journal that is opened is this one."""
    monkeypatch.setenv("NEMO_JOURNAL_URL", url)
    journals: list[Journal] = []

    def opened(directory: Path, url_: str | None = None, **rest: Any) -> Journal:
        journals.append(Journal(directory, url, **rest))
        return journals[-1]

    for module in WANTED:
        if hasattr(module, "Journal"):
            monkeypatch.setattr(module, "Journal", opened)
        if hasattr(module, "memory_journal"):
            monkeypatch.setattr(module, "memory_journal", lambda: opened(tmp_path))
    yield
    for journal in journals:  # a file need not be closed, a connection has to
        journal._database.close()


for _module, _wanted in WANTED.items():
    for _name, _test in _on_postgres(_module, _wanted):
        globals()[_name] = _test


@pytest.fixture
def tables(postgres: Server, url: str) -> Callable[[], None]:
    """Empties all tables."""

    def emptied() -> None:
        postgres.say(
            "TRUNCATE owners, attempts, sessions, accounts, deliveries, tidied, owed, at_most", url.rpartition("/")[2]
        )

    return emptied


def test_two_owners_in_any_order(tmp_path: Path, url: str, tables: Callable[[], None]) -> None:
    """The same machine of states as on SQLite, with two processes on one database."""
    from hypothesis.stateful import run_state_machine_as_test

    class There(test_journal.TwoOwners):
        def __init__(self) -> None:
            super().__init__()
            if test_journal.rows(self.owners[0], test_journal.sa.select(test_journal.ATTEMPTS)) is not None:
                tables()

        def fresh(self) -> Journal:
            return Journal(Path(self.home.name), url)

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        There,
        settings=settings(
            max_examples=4, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


async def test_the_mark_changes_with_each_commit_of_any_machine(url: str, tmp_path: Path) -> None:
    """It names the snapshot; what other databases of the server write may change it as well."""
    here, there = Journal(tmp_path / "a", url), Journal(tmp_path / "b", url)
    await here.check()
    marks = [await here.change_mark()]
    for each in (here, there, here):
        await each.begin(test_jobs.planned("generate", len(marks)))
        marks.append(await here.change_mark())
    await here.hide(test_jobs.planned("generate", 1).key)
    marks.append(await there.change_mark())
    await here.close()
    await there.close()

    assert len(set(marks)) == len(marks)

"""Upkeep of a journal of any size, in portions, while others work: nothing that is needed goes, nothing starves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from nemo_client import Journal
from nemo_client._config.profiles import LOCAL
from nemo_client._files.images import Media, UploadStore
from nemo_client._journal import retention
from nemo_client._journal import retention as upkeep_module
from nemo_client._journal.records import DAY_SECONDS as DAY
from nemo_client._journal.records import Attempt
from nemo_client._journal.retention import KEEP_DAYS, UpkeepBounds
from nemo_client._journal.schema import ATTEMPTS, TIDIED
from nemo_client._journal.steps import Event, State
from tests.journal.test_journal import ALL, NOW, Kept, kept, planned, rows

__all__ = ["Journal", "kept"]
HORIZON = NOW - KEEP_DAYS * DAY


@pytest.fixture
def small(kept: Kept) -> None:
    """Portions of one row, and transactions of two exports."""
    kept.bounds = UpkeepBounds(portion=1, exports_at_once=2)


async def uploaded(kept: Kept, name: str, days_ago: float = 100) -> str:
    await kept.done(f"upload-{name}", media=[["pixels:1", f"{name}.jpg", "image/jpeg"]])
    kept.file(f"{name}.jpg", days_ago)
    return f"upload-{name}"


async def shown(kept: Kept, name: str, days_ago: float) -> None:
    """A job that was delivered."""
    await kept.message(f"generate-{name}", f"upload-{name}")
    await kept.delivered(f"export-{name}", f"generate-{name}", days_ago)


def tidied(kept: Kept) -> set[str]:
    return {row.key for row in rows(kept.journal, sa.select(TIDIED.c.key))}


def meanwhile(monkeypatch: pytest.MonkeyPatch, name: str, work: Callable[[Kept], None], kept: Kept) -> None:
    """Let `work` happen when that walk of upkeep has come to its end."""
    walk = getattr(upkeep_module, name)

    def walked(*given: Any) -> Iterator[Any]:
        found = list(walk(*given))
        work(kept)
        yield from found

    monkeypatch.setattr(upkeep_module, name, walked)


# --- Kept uploads ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
async def test_many_uploads_are_looked_for_a_portion_at_a_time(kept: Kept) -> None:
    """The ones that are needed lie in the first, the middle and the last portion; all others go."""
    for number in range(9):
        await uploaded(kept, f"{number}")
    for number in (0, 4, 8):
        await kept.message(f"generate-{number}", f"upload-{number}")
    for number, days_ago in ((1, 80.0), (2, 95.0), (5, 95.0), (6, 80.0), (7, 80.0)):
        await shown(kept, str(number), days_ago)
    await kept.step("generate-3", "upload-3", Event.SEND)

    await kept.upkeep()

    assert kept.files == ["0.jpg", "1.jpg", "3.jpg", "4.jpg", "6.jpg", "7.jpg", "8.jpg"]


@pytest.mark.usefixtures("small")
async def test_a_job_that_is_delivered_while_upkeep_reads_is_seen(kept: Kept) -> None:
    """It goes from what is owed to what was delivered: in that order they are read, so it is met in one of them."""
    for name in ("a", "b"):
        await uploaded(kept, name)
        await kept.message(f"generate-{name}", f"upload-{name}")
    before = retention.select_opened(kept.journal._database)

    names: set[str] = set()
    for number, each in enumerate(retention.list_needed_names(kept.journal._database, HORIZON, portion=1)):
        names |= each
        if number == 0:
            assert names == {"a.jpg"}
            await kept.delivered("export-b", "generate-b", days_ago=1)

    assert before.names == set()
    assert names == {"a.jpg", "b.jpg"}


async def test_a_step_that_begins_while_upkeep_reads_keeps_its_upload(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is still open at the end, or done already; or its number was given before, and it came late."""
    for name in ("a", "open", "done", "late"):
        await uploaded(kept, name)

    def begun(kept: Kept) -> None:
        with kept.journal._database.writing() as connection:
            for key, state, number in (("open", "sent", 101), ("done", "done", 102), ("late", "sent", -1)):
                values = {**_columns(planned(f"generate-{key}", before=f"upload-{key}")), "state": state, "id": number}
                connection.execute(ATTEMPTS.insert().values(**values))

    meanwhile(monkeypatch, "list_needed_names", begun, kept)
    await kept.upkeep()

    assert kept.files == ["done.jpg", "late.jpg", "open.jpg"]


def _columns(attempt: Attempt) -> dict[str, Any]:
    return {column.name: getattr(attempt, column.name) for column in ATTEMPTS.c if column.name != "id"} | {
        "facts": "{}"
    }


async def test_an_upload_that_is_taken_up_while_upkeep_reads_stays(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its age is looked at again before it goes."""
    for name in ("a", "b"):
        await uploaded(kept, name)
    path = kept.directory / "uploads" / "b.jpg"
    moved, rename = [], Path.replace

    def moving(path: Path, target: Path) -> Path:
        moved.append(path.name)
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", moving)
    meanwhile(monkeypatch, "list_needed_names", lambda _: os.utime(path, (NOW, NOW)), kept)
    await kept.upkeep()

    assert kept.files == ["b.jpg"]
    assert "b.jpg" not in moved


async def test_an_upload_that_is_taken_up_at_the_last_moment_stays(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at its age and its removal: it is put back."""
    await uploaded(kept, "a")
    rename = Path.replace

    def taken_up(path: Path, target: Path) -> Path:
        if path.name == "a.jpg":
            os.utime(path, (NOW, NOW))
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", taken_up)
    await kept.upkeep()

    assert kept.files == ["a.jpg"]


def test_an_upload_that_goes_while_it_is_taken_up_is_kept_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that takes it up has its bytes, and does not rely on a look a moment before."""
    store, media = UploadStore(tmp_path), Media("pixels:1", "a.jpg", "image/jpeg", b"bytes")
    store.keep(media)
    utime = os.utime

    def gone(path: Path) -> None:
        path.unlink()
        utime(path)

    monkeypatch.setattr(os, "utime", gone)

    assert (tmp_path / "uploads" / "a.jpg") == store.keep(media).content
    assert (tmp_path / "uploads" / "a.jpg").read_bytes() == b"bytes"


async def test_what_the_built_in_backend_made_and_nobody_fetched_keeps_its_upload(kept: Kept) -> None:
    """It costs nothing and is owed nowhere, so its own rows are read."""
    for name in ("a", "b", "c"):
        await uploaded(kept, name)
        free = replace(planned(f"generate-{name}", before=f"upload-{name}", free=True), profile=LOCAL)
        made = await kept.journal.begin(free)
        await kept.journal.move(await kept.journal.move(made, Event.SEND), Event.FINISH)
    await kept.delivered("export-a", "generate-a", days_ago=95)
    await kept.done("edit-c", "generate-c")
    await kept.delivered("export-c", "edit-c", days_ago=95)

    await kept.upkeep()

    assert kept.files == ["b.jpg"]


async def test_each_name_of_an_upload_counts(kept: Kept) -> None:
    """The same picture may have been sent from a file of another kind, under another name: a fork needs either."""
    first = await kept.done("upload-a", media=[["pixels:1", "a.png", "image/png"]])
    again = await kept.journal.move(first, Event.ASK_AGAIN)
    media = [["pixels:1", "a.jpg", "image/jpeg"]]
    await kept.journal.move(await kept.journal.move(again, Event.SEND), Event.FINISH, facts={"media": media})
    kept.file("a.png", 100)
    kept.file("a.jpg", 100)
    kept.file("b.jpg", 100)
    await kept.message("generate-a", "upload-a")

    await kept.upkeep()

    assert kept.files == ["a.jpg", "a.png"]


async def test_too_many_uploads_need_no_look_at_what_was_delivered(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who makes many videos has no old uploads left: the long walk is left out."""
    for number in range(3):
        await uploaded(kept, f"{number}", days_ago=100 - number)

    def walked(*_: object) -> Iterator[set[str]]:
        raise AssertionError("walked")

    monkeypatch.setattr(upkeep_module, "list_needed_names", walked)
    await kept.upkeep(limit=9)

    assert kept.files == []


async def test_no_question_of_upkeep_reads_a_whole_table(kept: Kept) -> None:
    """Each finds its rows by an index, or between two numbers: a database is silent no longer for more rows."""
    if kept.journal._database.path is None:
        return  # plans are read in SQLite
    for name, days_ago in (("a", 95.0), ("b", 80.0)):
        await uploaded(kept, name)
        await shown(kept, name, days_ago)
    await uploaded(kept, "c")
    seen: list[tuple[str, Any]] = []

    def heard(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            seen.append((statement, parameters))

    sa.event.listen(kept.journal._database._engine, "before_cursor_execute", heard)
    await kept.upkeep()

    assert kept.files == ["b.jpg"]
    assert len(seen) > 20
    for statement, parameters in list(seen):
        with kept.journal._database.reading() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        scans = [row.detail for row in plan if row.detail.startswith(("SCAN attempts", "SCAN deliv", "SCAN tidied"))]
        assert scans == [], statement


# --- What is forgotten in rows --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
async def test_all_that_is_due_is_forgotten_in_a_day(kept: Kept) -> None:
    """However many transactions that takes."""
    for number in range(7):
        await shown(kept, str(number), days_ago=91 + number)

    await kept.upkeep()

    assert tidied(kept) == {f"export-{number}" for number in range(7)}
    assert [await kept.facts(f"generate-{number}") for number in range(7)] == [{"text", "draft", "money"}] * 7


@pytest.mark.usefixtures("small")
async def test_what_does_not_fit_into_a_day_follows_the_next(kept: Kept) -> None:
    """After the time for writing upkeep stops, with what it has done; one transaction always fits."""
    for number in range(5):
        await shown(kept, str(number), days_ago=91)

    counts = []
    for day in range(4):
        await kept.upkeep(days_later=day * 1.1, seconds=0, portion=10)
        counts.append(len(tidied(kept)))

    assert counts == [2, 4, 5, 5]


@pytest.mark.usefixtures("small")
async def test_exports_that_are_needed_do_not_starve_those_behind_them(kept: Kept) -> None:
    """They were delivered first, and take nothing of the time for writing."""
    for number in range(6):
        await shown(kept, f"busy{number}", days_ago=200)
        await kept.step(f"edit-{number}", f"generate-busy{number}", Event.SEND, Event.BREAK)
    await shown(kept, "quiet", days_ago=91)

    await kept.upkeep(seconds=0)

    assert tidied(kept) == {"export-quiet"}
    assert await kept.facts("generate-quiet") == {"text", "draft", "money"}
    assert await kept.facts("generate-busy0") == ALL


async def test_a_step_that_begins_before_its_turn_keeps_what_lies_behind_it(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is needed is looked at again in the transaction that forgets."""
    for name in ("a", "b"):
        await shown(kept, name, days_ago=91)

    def begun(kept: Kept) -> None:
        with kept.journal._database.writing() as connection:
            values = {**_columns(planned("edit-a", before="generate-a")), "state": State.PLANNED.value}
            connection.execute(ATTEMPTS.insert().values(**values))

    meanwhile(monkeypatch, "select_exports_due", begun, kept)
    await kept.upkeep()

    assert await kept.facts("generate-a") == ALL
    assert await kept.facts("generate-b") == {"text", "draft", "money"}
    assert tidied(kept) == {"export-b"}


async def test_an_attempt_that_moves_meanwhile_is_not_overwritten(kept: Kept) -> None:
    """A database that lets others write beside it may do so between the look and the change."""
    await shown(kept, "a", days_ago=91)
    moved = []

    def move(connection: Any, cursor: Any, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE attempts SET facts") and not moved:
            moved.append(statement)
            cursor.connection.cursor().execute("UPDATE attempts SET epoch = epoch + 1")

    sa.event.listen(kept.journal._database._engine, "before_cursor_execute", move)
    await kept.upkeep()

    assert moved
    assert await kept.facts("generate-a") == ALL


async def test_a_delivery_of_today_keeps_what_an_old_one_would_let_go(kept: Kept) -> None:
    """The same export was delivered twice, or another one of the same step was."""
    await shown(kept, "a", days_ago=200)
    export = await kept.journal.latest("export-a")
    assert export is not None
    await kept.journal.deliver(export, kept.directory / "again.mp4", {})
    await shown(kept, "b", days_ago=200)
    await kept.delivered("export-b2", "generate-b", days_ago=10)

    await kept.upkeep()

    assert tidied(kept) == set()
    assert await kept.facts("generate-a") == await kept.facts("generate-b") == ALL

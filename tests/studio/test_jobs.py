"""Lists of jobs: any of them can be reached, and to read them costs no draft. Queries and bytes are counted."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nemo_client import InputError, Journal, count_jobs, find_job, forget_job, list_jobs, list_owed, pick_job
from nemo_client._journal.database import Database
from nemo_client._journal.schema import ATTEMPTS, JOBS
from nemo_client._journal.steps import Event
from nemo_client._studio.jobs import FILTERS, find_own_uploads
from tests.support.journal_jobs import DRAFT, LONG, counted, delivered, fill, key, made, planned, uploaded


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = Journal(tmp_path / "home")
    yield opened
    await opened.close()


# --- Every job can be reached -----------------------------------------------------------------------------------------


async def test_a_job_is_found_by_its_id_however_many_came_after_it(journal: Journal) -> None:
    """By the id, its beginning, a label of the Recover node; the first of 1,200 as well as the last."""
    first = await made(journal, 0xABCD0001, text="the very first")
    await fill(journal, 1200)

    for wanted in ("abcd0001", "abcd", "ABCD0001", "abcd0001 2025-01-01 10:00"):
        assert (await find_job(journal, wanted)).key == first
    assert (await find_job(journal, "VERY first")).key == first
    assert pick_job(await list_jobs(journal, limit=2000), "abcd0001") == await find_job(journal, "abcd0001")


@pytest.mark.parametrize("wanted", ["0badc0de", "no such word", "latest unfinished", "", "ab", "abcdz", "%", "_", "\0"])
async def test_what_is_no_job_is_one_clear_error(wanted: str, journal: Journal) -> None:
    """Characters that mean something to a database's search are letters as all others."""
    await delivered(journal, 9, await made(journal, 1, text="a lake"))

    with pytest.raises(InputError) as caught:
        await find_job(journal, wanted)

    assert caught.value.id == "job-unknown"
    assert ("is waiting to be collected" in str(caught.value)) == (wanted in ("latest unfinished", ""))


async def test_two_jobs_with_one_beginning_are_told(journal: Journal) -> None:
    """With their ids, so that one can be chosen."""
    for number in (0xABCD0001, 0xABCD0002):
        await made(journal, number)

    with pytest.raises(InputError) as caught:
        await find_job(journal, "abcd")

    assert (caught.value.id, caught.value.facts["jobs"]) == ("job-ambiguous", "abcd0002, abcd0001")


async def test_two_jobs_whose_short_ids_are_one_are_told_apart_by_more_of_it(journal: Journal) -> None:
    """Eight digits are few among ten thousand jobs: the error names more, and those are taken."""
    for end in ("a", "b"):
        await journal.begin(replace(planned("generate", 7), key=f"generate-{7:08x}{end * 32}"))

    with pytest.raises(InputError) as caught:
        await find_job(journal, "00000007")
    longer = str(caught.value.facts["jobs"]).split(", ")

    assert longer == ["00000007bbbbbbbb", "00000007aaaaaaaa"]
    assert [(await find_job(journal, each)).key[9:25] for each in longer] == longer
    assert pick_job(await list_jobs(journal), longer[0]).key[9:25] == longer[0]


async def test_the_newest_that_owes_a_video_is_found_among_many(journal: Journal) -> None:
    """Delivered ones and those that were forgotten owe none."""
    owing = await made(journal, 1)
    forgotten = await made(journal, 2)
    await journal.hide(forgotten)
    await fill(journal, 300)

    assert (await find_job(journal, "latest unfinished")).key == owing
    assert [job.key for job in await list_owed(journal)] == [owing]


async def test_pages_follow_one_another_without_gaps(journal: Journal) -> None:
    """Also where many were asked for in one moment."""
    await fill(journal, 25)
    whole = [job.id for job in await list_jobs(journal, limit=100)]
    pages: list[str] = []
    after = ""
    while page := await list_jobs(journal, limit=7, after=after):
        pages += [job.id for job in page]
        after = page[-1].id

    assert pages == whole
    assert len(whole) == 25


@pytest.mark.parametrize("search", ["HERON", "heron LIFTS", "graureiher am straße".upper(), "鹭", "50% off", "café"])
async def test_a_search_looks_through_all_prompts(search: str, journal: Journal) -> None:
    """Case does not count, nor how an accent is composed; signs are taken as they are."""
    wanted = await made(journal, 1, text="A heron lifts off, Graureiher am Straße, 一只鹭, 50% off, cafe\u0301")
    await fill(journal, 120)

    assert [job.key for job in await list_jobs(journal, limit=5, search=search)] == [wanted]


@pytest.mark.parametrize(
    "text", ["a\0b", "half \ud800 a character", "", "x" * 60_000, "line\r\none", "'; DROP TABLE jobs"]
)
async def test_any_prompt_can_be_listed(text: str, journal: Journal) -> None:
    """What a database does not take as text is shown as a mark; nothing fails for it."""
    await made(journal, 1, text=text)

    (job,) = await list_jobs(journal)

    assert len(job.prompt) == len(text)
    assert job.unfinished


# --- What lists show --------------------------------------------------------------------------------------------------


async def test_a_list_shows_how_each_job_stands(journal: Journal) -> None:
    """State, money, error, what is owed, where the video lies; a draft that was only taken up is no job."""
    upload = await uploaded(journal, 1)
    first = await made(journal, 2, upload)
    edit = await made(journal, 3, first, kind="edit")
    await delivered(journal, 4, edit)
    await made(journal, 5, upload)
    talk = await journal.move(await journal.begin(planned("chat", 6, first)), Event.SEND)
    await journal.move(talk, Event.FINISH, facts={"draft": DRAFT, "baseline": {"draft": DRAFT}, "money": {"spent": 0}})
    failed = await journal.move(await journal.begin(planned("generate", 7)), Event.SEND)
    await journal.move(failed, Event.DECLINE, facts={"error": "asked-back"})
    await journal.begin(planned("chat", 8, text=None))
    await journal.begin(planned("generate", 9))

    shown = {job.id: job for job in await list_jobs(journal)}
    owed = [job.id for job in await list_owed(journal)]

    assert [int(each, 16) for each in shown] == [9, 7, 6, 5, 3, 2]
    states = {int(job.id, 16): (job.state, job.delivered, job.unfinished) for job in shown.values()}
    assert states == {
        9: ("planned", False, True), 7: ("failed", False, False), 6: ("done", False, False), 5: ("done", False, True),
        3: ("done", True, False), 2: ("done", True, False),
    }  # fmt: skip
    assert (shown["00000007"].error, shown["00000005"].spent, shown["00000006"].spent) == ("asked-back", 100.0, 0.0)
    assert (shown["00000003"].video, shown["00000002"].video) == ("/videos/4.mp4", "")
    assert owed == ["00000005"], "what was never sent owes no video"


async def test_an_edit_after_another_upload_delivers_what_lies_before_it(journal: Journal) -> None:
    """The chain goes through uploads as well."""
    first = await made(journal, 1, await uploaded(journal, 11))
    edit = await made(journal, 2, await uploaded(journal, 12, first), kind="edit")
    await delivered(journal, 3, edit)

    assert [(job.delivered, job.unfinished) for job in await list_jobs(journal)] == [(True, False)] * 2


async def test_a_list_can_be_narrowed_and_counted(journal: Journal) -> None:
    """Messages that are out, videos to collect, what made nothing; what runs here counts as working."""
    out = await journal.move(await journal.begin(planned("generate", 1)), Event.SEND)
    ready = await made(journal, 2)
    await delivered(journal, 13, await made(journal, 3))
    lost = await journal.move(await journal.begin(planned("generate", 4)), Event.SEND)
    lost = await journal.move(lost, Event.BREAK)
    await journal.move(lost, Event.EXPIRE)
    hidden = await made(journal, 5)
    await journal.hide(hidden)

    found = {which: [job.key for job in await list_jobs(journal, which=which)] for which in FILTERS}

    assert found["working"] == [out.key]
    assert found["ready"] == [ready]
    assert found["failed"] == [lost.key]
    assert await count_jobs(journal) == {"all": 4, "working": 1, "ready": 1, "failed": 1}
    assert await count_jobs(journal, running=[ready]) == {"all": 4, "working": 2, "ready": 1, "failed": 1}
    with pytest.raises(InputError):
        await list_jobs(journal, which="none")


async def test_a_message_that_is_sent_again_is_the_newest_job(journal: Journal) -> None:
    """One job a request: its newest attempt, in the place of the older one."""
    sent = await journal.move(await journal.begin(planned("generate", 1)), Event.SEND)
    lost = await journal.move(await journal.move(sent, Event.BREAK), Event.EXPIRE)
    await made(journal, 2)
    await journal.hide(lost.key)
    await journal.move(lost, Event.RESEND, facts={"text": "a lake"})

    assert [(job.id, job.state, job.hidden) for job in await list_jobs(journal)] == [
        ("00000001", "planned", False),
        ("00000002", "done", False),
    ]


# --- What they cost ---------------------------------------------------------------------------------------------------


async def test_rows_of_an_older_program_are_taken_up(journal: Journal) -> None:
    """In portions; once, by the first reader; what they show is what the attempts say."""
    await made(journal, 1)
    await fill(journal, 450)

    jobs = await list_jobs(journal, limit=1000)
    with counted() as read:
        again = await list_jobs(journal, limit=1000)

    assert len(jobs) == 451
    assert again == jobs
    assert {(job.delivered, job.unfinished, job.spent) for job in jobs[:450]} == {(True, False, 80.0)}
    assert read.longest < 1000
    assert not any(statement.startswith("INSERT") for statement in read.statements)


async def test_what_an_older_program_did_with_a_job_is_seen(journal: Journal) -> None:
    """It moves attempts on and knows nothing of the rows for lists."""
    sent = await journal.move(await journal.begin(planned("generate", 1)), Event.SEND)

    def write(database: Database, _: Any) -> None:
        facts = json.dumps({"text": "a lake", "draft": DRAFT, "money": {"spent": 70.0}, "error": "late"})
        with database.writing() as connection:
            changed = {"state": "done", "epoch": sent.epoch + 1, "facts": facts}
            connection.execute(ATTEMPTS.update().where(ATTEMPTS.c.id == sent.id).values(**changed))

    await journal.work(write)
    (job,) = await list_jobs(journal)

    assert (job.state, job.unfinished, job.spent, job.error) == ("done", True, 70.0, "late")
    assert [each.id for each in await list_owed(journal)] == [job.id]


async def test_no_draft_is_read_for_a_list_a_look_up_or_to_forget(journal: Journal) -> None:
    """However many jobs there are: as many statements, and rows of that page or job alone."""
    upload = await uploaded(journal, 0xEE000001, media=[["pixels:cd", "cd.jpg", "image/jpeg"]])
    await made(journal, 0xEE000002, upload)
    works = {
        "list": lambda: list_jobs(journal, limit=20),
        "owed": lambda: list_owed(journal),
        "find": lambda: find_job(journal, "ee000002"),
        "search": lambda: list_jobs(journal, limit=20, search="ee000002"),
        "uploads": lambda: uploads_of_job(journal),
    }
    costs: list[dict[str, tuple[int, int]]] = []
    for start, jobs in ((0x20000000, 40), (0x30000000, 400)):
        await fill(journal, jobs, {"text": "a cat", "draft": LONG, "money": {"spent": 80.0}}, start)
        await list_jobs(journal)
        costs.append({})
        for name, work in works.items():
            with counted() as read:
                await work()
            assert read.longest < 1000, name
            costs[-1][name] = (len(read.statements), read.rows)

    assert costs[0] == costs[1], "the same among 40 and among 440 jobs"
    assert all(rows < 100 for _, rows in costs[0].values())


async def uploads_of_job(journal: Journal) -> set[str]:
    return await find_own_uploads(journal, await find_job(journal, "ee000002"))


async def test_a_shared_picture_is_kept_as_long_as_a_job_needs_it(journal: Journal) -> None:
    """Found by the file's name, however the job comes to it; a name that only a forgotten one has goes with it."""
    one = await made(journal, 1, await uploaded(journal, 11))
    later = await uploaded(journal, 12, await uploaded(journal, 13), [["pixels:cd", "cd.jpg", "image/jpeg"]])
    two = await made(journal, 2, later)
    jobs = {job.key: job for job in await list_jobs(journal)}

    assert await find_own_uploads(journal, jobs[one]) == set()
    assert await find_own_uploads(journal, jobs[two]) == {"cd.jpg"}
    await forget_job(journal, jobs[one])
    assert await find_own_uploads(journal, jobs[two]) == {"cd.jpg", "ab.jpg"}


async def test_what_uses_an_index_does_not_walk_the_table(journal: Journal) -> None:
    """A list, the owed ones and an id: neither reads all jobs nor sorts them."""
    await fill(journal, 30)
    await list_jobs(journal)
    with counted() as read:
        await list_jobs(journal, limit=5)
        await list_owed(journal)
        await find_job(journal, "10000001")
    asked = [statement for statement in read.statements if "FROM jobs" in statement]

    def plan(database: Database, _: Any) -> list[str]:
        with database.reading() as connection:
            return [
                row.detail
                for statement in asked
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (1,) * statement.count("?"))
            ]

    steps = await journal.work(plan)
    assert len(asked) >= 3
    assert not [step for step in steps if step.startswith("SCAN") and "USING INDEX" not in step], steps
    assert not [step for step in steps if "TEMP B-TREE" in step and "LAST TERM" not in step and "short" in step]


# --- Whether anything changed -----------------------------------------------------------------------------------------


async def test_the_mark_changes_with_each_commit_and_not_by_reading(tmp_path: Path, journal: Journal) -> None:
    """Of this process and of another one, in a file and in memory."""
    other = Journal(tmp_path / "home")
    memory = Journal(tmp_path / "home", "sqlite://")
    await journal.check()
    marks = [await journal.change_mark()]
    await list_jobs(journal)
    marks.append(await journal.change_mark())
    await made(journal, 1)
    marks.append(await journal.change_mark())
    await made(other, 2)
    marks.append(await journal.change_mark())
    await journal.hide(key("generate", 1))
    marks.append(await journal.change_mark())
    await list_jobs(other)
    marks.append(await journal.change_mark())
    beside = [await memory.change_mark()]
    await list_jobs(memory)
    beside.append(await memory.change_mark())
    await made(memory, 1)
    beside.append(await memory.change_mark())
    await other.close()
    await memory.close()

    assert marks[0] == marks[1]
    assert len(set(marks[1:5])) == 4
    assert marks[4] == marks[5]
    assert beside[0] == beside[1] != beside[2]


async def test_another_file_in_the_journal_s_place_is_a_change(tmp_path: Path, journal: Journal) -> None:
    """One that was set aside, or brought back from a backup."""
    await journal.check()
    path = tmp_path / "home" / "journal.sqlite3"
    before = await journal.change_mark()
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)
    after = await journal.change_mark()
    path.unlink()

    assert before != after
    assert await journal.change_mark() not in (before, after)


def test_rows_for_lists_are_columns_of_their_own(tmp_path: Path) -> None:
    """No list has to open the facts: everything it shows has its column."""
    database = Database(None, tmp_path)
    with database.reading():
        pass
    database.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(jobs)")]

    assert names == [column.name for column in JOBS.columns]

"""The whole way over a line that spoils bytes: a video or one of our errors, paid once, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nemo_client import Destination, Journal, NemoError, Studio, Video, Wish, home, local
from tests.support.backend import Clock, draw, picture
from tests.support.faults import Fault, Faults
from tests.support.fuzz import examples, scalars
from tests.support.ledger import LedgerReport, read_ledger
from tests.support.mutating_proxy import Mischief, mutating

pytestmark = pytest.mark.long  # many processes, or minutes of waiting

RUN_SECONDS = 30.0
WISH = Wish("slow push-in", duration=1)

mischiefs = st.lists(
    st.builds(
        Mischief,
        st.integers(0, 5),
        st.booleans(),
        st.integers(0, 400) | st.integers(0, 5000),
        st.sampled_from(["flip", "flip", "drop", "double", "put", "cut", "reset", "delay"]),
        st.integers(1, 12),
    ),
    max_size=4,
)


@dataclass
class Line:
    """A backend that charges, behind a line that can be spoilt."""

    backend: local.LocalBackend
    folder: Path
    runs: int = 0

    @property
    def ledger(self) -> LedgerReport:
        return read_ledger(self.backend.directory)


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    given: Any = {"renderer": draw, "missing_glyphs": lambda _: "", "faults": Faults()}
    with local.open(tmp_path / "backend", credits=10**9, pace=0, generation_seconds=0, **given) as backend:
        monkeypatch.setenv("NEMO_TOKEN", backend.token)
        yield Line(backend, tmp_path)


async def animated(line: Line, url: str, journal: Journal, clock: Clock, folder: Path) -> Video | NemoError:
    """One try at the whole way; the result."""
    os.environ["NEMO_API_URL"] = url  # the fixture puts it back
    studio = await Studio.open("nemo", journal=journal, sleep=clock.sleep, clock=clock.time, wall=clock.time)
    async with studio:
        try:
            return await studio.animate([picture(line.runs % 200)], WISH, Destination(folder, "film"))
        except NemoError as error:
            return error


async def twice(line: Line, mischief: Sequence[Mischief]) -> tuple[Video | NemoError, Video | NemoError, int]:
    """The whole way over the spoilt line, then the same request again over a good one; the tasks left behind."""
    others = asyncio.all_tasks()
    clock, folder = Clock(), Path(tempfile.mkdtemp(dir=line.folder))
    journal = Journal(home(), "sqlite://", wall=clock.time)
    parts = urlsplit(line.backend.url)
    try:
        async with mutating(str(parts.hostname), int(parts.port or 0), mischief) as proxy:
            first = await animated(line, proxy.url, journal, clock, folder)
            assert_video(first)
            proxy.mischief = ()
            clock.now += 3600
            again = await animated(line, proxy.url, journal, clock, folder)
            assert_video(again)
    finally:
        await journal.close()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(home() / "uploads", ignore_errors=True)
    return first, again, len(asyncio.all_tasks() - others)


def assert_video(outcome: Video | NemoError) -> None:
    if isinstance(outcome, Video):
        assert outcome.path.is_file()
        assert outcome.path.stat().st_size == outcome.size


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def settled(before: int) -> int:
    """How many descriptors are open more than `before`, once the backend has closed its own ends."""
    deadline = time.monotonic() + 3
    while (more := descriptors() - before) > 0 and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    return more


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
@given(mischiefs)
@examples(6, 3000)
@example([])
def test_a_line_that_spoils_bytes_costs_at_most_a_typed_error(line: Line, mischief: list[Mischief]) -> None:
    """Whatever happens to the bytes: one charge a request, an error of ours or a video, no task or descriptor left."""
    line.runs += 1
    before, charges = descriptors(), len(line.ledger.charges)

    first, again, left = asyncio.run(asyncio.wait_for(twice(line, mischief), RUN_SECONDS))

    assert isinstance(first, (Video, NemoError))
    assert isinstance(again, (Video, NemoError))
    assert getattr(first, "id", "") != "unexpected", str(first)
    assert len(line.ledger.charges) - charges <= 1
    assert len(line.ledger.messages) == len(line.ledger.charges)
    assert left == 0
    assert settled(before) <= 0


VALUES = (
    scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.sampled_from(["t", "sg", "id"]), scalars, max_size=3)
)
FIELDS = {
    "session": ["data", "data.session_id", "data.task_id", "code"],
    "upload": ["data", "data.files", "data.files.0.width", "data.files.0.cdn_url", "code"],
    "state": [
        "data", "data.state", "data.state.draft", "data.state.draft.t", "data.state.draft.t.0", "data.state.draft.d",
        "data.state.draft.t.0.sg", "data.state.draft.t.0.tt", "data.state.draft.t.0.sg.0.d", "data.state.draft.m",
        "data.state.generated_media", "data.state.video_infos", "data.session_id", "data.raw", "code", "message",
    ],
    "credits": ["data", "data.available", "data.frozen", "data.total", "code", "success"],
    "message": [
        "content", "content.parts", "content.parts.0.text", "partial", "error", "type", "actions", "actions.stateDelta",
    ],
    "render": ["data", "data.id", "data.status", "data.progress", "data.error", "success", "error", "code"],
    "render-status": ["status", "progress", "output", "output.url", "error", "data", "success", "id", "code"],
}  # fmt: skip
oddities = st.sampled_from([(place, field) for place, fields in FIELDS.items() for field in fields]).flatmap(
    lambda found: st.tuples(
        st.just(found[0]), st.just(found[1]), VALUES, st.sampled_from([1, 2, None]), st.integers(1, 4)
    )
)


async def answered_oddly(line: Line) -> tuple[Video | NemoError, Video | NemoError]:
    """The whole way with odd answers, then the same request again with good ones."""
    clock, folder = Clock(), Path(tempfile.mkdtemp(dir=line.folder))
    journal = Journal(home(), "sqlite://", wall=clock.time)
    try:
        first = await animated(line, line.backend.url, journal, clock, folder)
        line.backend.faults.clear()
        clock.now += 3600
        again = await animated(line, line.backend.url, journal, clock, folder)
        assert_video(first)
        assert_video(again)
    finally:
        await journal.close()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(home() / "uploads", ignore_errors=True)
    return first, again


@given(st.lists(oddities, min_size=1, max_size=3))
@examples(8, 3000)
@example([("credits", "data.available", True, None, 1)])
@example([("credits", "data.available", 1e308, None, 1), ("credits", "data.frozen", 1e308, None, 1)])
@example([("state", "data.state.draft.m", {"id": float("nan")}, None, 1)])
@example([("state", "data.raw", {}, None, 1)])
@example([("session", "data.session_id", "\ud800", None, 1)])
def test_answers_of_wrong_types_cost_at_most_a_typed_error(line: Line, odd: list[Any]) -> None:
    """Strings for numbers, null lists, missing fields, unknown tracks: no crash, and one charge a request."""
    line.runs += 1
    charges = len(line.ledger.charges)
    line.backend.faults.clear()
    for place, field, value, count, nth in odd:
        line.backend.faults.add(
            Fault("wrong_types", place, nth=nth, count=count, field=field, value=value, event=nth)
            if place == "message"
            else Fault("wrong_types", place, nth=nth, count=count, field=field, value=value)
        )

    first, again = asyncio.run(asyncio.wait_for(answered_oddly(line), RUN_SECONDS))

    for outcome in (first, again):
        assert isinstance(outcome, (Video, NemoError))
        assert getattr(outcome, "id", "") != "unexpected"
        str(outcome).encode("utf-8")
    assert len(line.ledger.charges) - charges <= 1

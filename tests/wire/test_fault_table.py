"""Every endpoint, every fault: it recovers, or ends in a typed error from which the same request goes on.

After each case the backend's own ledger is asked how many messages it received and what it took.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_client import (
    Destination,
    Journal,
    NemoError,
    NothingMade,
    RateLimited,
    ResultUnknown,
    SessionGone,
    Studio,
    Video,
    Wish,
    list_jobs,
    local,
)
from nemo_client._config.timings import StudioTimings
from nemo_client._files.save import check_video
from tests.support.backend import Clock, picture, write_video
from tests.support.faults import Fault, Faults
from tests.support.ledger import LedgerReport, read_ledger
from tests.support.samples import mark_all_but_every
from tests.support.waiting import PATIENT_SECONDS

RUNS = 6
CASES_A_JOURNAL = 32  # every step looks through what the journal holds: one for all cases takes a fifth longer
ELSEWHERE = "http://127.0.0.1:9/elsewhere"

# Everywhere: what may happen to any request.
EVERYWHERE: dict[str, tuple[str, dict[str, Any]]] = {
    "refused": ("refuse", {}),
    "closed before the headers": ("close_before_headers", {}),
    "closed after the headers": ("close_after_headers", {}),
    "closed in the middle": ("close_at", {"at": 60}),
    "stall": ("stall", {"seconds": 0.03, "at": "headers"}),
    "307": ("redirect", {"location": ELSEWHERE}),
    "500": ("http_500", {}),
    "502 with a web page": ("html_502", {}),
    "503 after it was accepted": ("http_503_accepted", {}),
    "503 with Retry-After": ("http_503", {"retry_after": 3}),
    "429 with Retry-After": ("http_429", {"retry_after": 3}),
    "504": ("http_504", {}),
    "another code": ("answer", {"code": 9999}),
    "truncated JSON": ("truncated_json", {}),
    "wrong types": ("wrong_types", {}),
    "the clock an hour off": ("clock", {"seconds": 3600}),
    "another spender": ("other_spender", {"amount": 10}),
    "expired token": ("expired_token", {}),
}
# Also for as long as it is not taken away.
LASTING = ("refused", "502 with a web page", "another code", "truncated JSON", "expired token")
# Endpoint, and the number of the call that is hit: a state is read before, as baseline, and after the message.
SPOTS = (
    ("anonymous-token", 1), ("session", 1), ("upload", 1), ("state", 3), ("credits", 2), ("message", 1), ("render", 1),
    ("render-status", 1), ("files", 1), ("download", 1),
)  # fmt: skip
EARLIER = (("state", 1), ("state", 2), ("credits", 1))
NOT_JSON = ("truncated JSON", "wrong types")
OF_AN_ACCOUNT = ("another spender", "expired token")

# What makes sense in one place only; the last value says what it ends with where that is no video.
PARTICULAR: tuple[tuple[str, str, int, dict[str, Any], type[NemoError] | None], ...] = (
    ("error_in_stream", "message", 1, {}, None),
    ("error_in_stream", "message", 1, {"charged": True}, None),
    ("error_in_stream", "message", 1, {"charged": True, "made": True}, None),
    ("clean_end", "message", 1, {}, None),
    ("clean_end", "message", 1, {"works_on": False}, None),
    ("clean_end", "message", 1, {"after": 3, "works_on": False}, None),
    ("ask_back", "message", 1, {}, None),
    ("late_second_stage", "message", 1, {"seconds": 0.02}, None),
    ("stop_on_hangup", "message", 1, {}, None),
    ("resigned_urls", "state", 1, {}, None),
    ("resigned_urls", "state", 1, {"draft": True}, None),
    ("late_analyses", "state", 1, {}, None),
    ("duplicate_id", "render", 1, {}, None),
    ("expired_url", "files", 1, {}, None),
    ("lost_session", "upload", 1, {}, None),
    ("lost_session", "state", 1, {}, None),
    ("lost_session", "state", 2, {}, SessionGone),
    ("lost_session", "message", 1, {}, None),
    ("lost_session", "state", 3, {}, SessionGone),
    ("lost_session", "render", 1, {}, SessionGone),
)


class Table:
    """One backend for all cases, one journal for many; each has a home, a picture and a month of its own."""

    def __init__(self, directory: Path) -> None:
        made = write_video(directory / "made.mp4")

        def draw(draft: Any, assets: Any, target: Path, **_: Any) -> None:
            self.waited.wait(PATIENT_SECONDS)  # what is ready when it is submitted is not asked for
            target.write_bytes(made.read_bytes())

        self.waited = threading.Event()
        self.submissions = 0
        self.directory = directory / "backend"
        self.faults = Faults()
        given = {"pace": 0, "credits": 1_000_000, "renderer": draw, "missing_glyphs": lambda text: ""}
        self.backend = local.open(self.directory, faults=self.faults, anonymous=True, **given)
        self.seen = self.cases = 0
        self.home = directory
        self.journal = Journal(directory, "sqlite://")

    @property
    def ledger(self) -> LedgerReport:
        """Of the present case alone."""
        return LedgerReport(read_ledger(self.directory).entries[self.seen :])

    def begin(self) -> None:
        self.faults.clear()
        self.waited.clear()
        self.submissions = self.faults.calls["render"]
        if self.cases % CASES_A_JOURNAL == CASES_A_JOURNAL - 1:
            asyncio.run(self.journal.close())
            self.journal = Journal(self.home, "sqlite://")
        self.cases += 1
        self.seen = len(read_ledger(self.directory).entries)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    table = Table(tmp_path_factory.mktemp("table"))
    with table.backend:
        yield table
        asyncio.run(table.journal.close())


@pytest.fixture
def table(shared: Table, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setenv("NEMO_API_URL", shared.backend.url)
    monkeypatch.setenv("NEMO_WEB_URL", "https://web.test")
    monkeypatch.setenv("NEMO_TOKEN", shared.backend.token)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # no machine ends here, and there are hundreds of cases
    shared.begin()
    return shared


class Case:
    """One request under a fault, asked for again and again as a patient user does."""

    def __init__(self, table: Table, folder: Path) -> None:
        self.table = table
        self.folder = folder
        self.clock = Clock(now=1_800_000_000.0 + table.cases * 30 * 24 * 3600.0, real=0.003)
        self.picture = picture(shade=table.cases % 250, height=48 + 2 * (table.cases // 250), width=32)
        self.errors: list[NemoError] = []
        self.resends = 0

    async def video(self) -> Video | None:
        """The video at last, or None where only errors came; the fault is taken away after the first one."""
        for _ in range(RUNS):
            try:
                return await self._run()
            except NemoError as error:
                self.errors.append(error)
                self.table.faults.clear()
                if isinstance(error, ResultUnknown):
                    self.clock.now += StudioTimings.horizon
        return None

    async def _wait(self, seconds: float) -> None:
        if self.table.faults.calls["render"] > self.table.submissions:
            self.table.waited.set()
        await self.clock.sleep(seconds)

    async def _run(self) -> Video:
        time = self.clock
        async with await Studio.open(
            "nemo", journal=self.table.journal, sleep=self._wait, clock=time.time, wall=time.time
        ) as studio:
            if self.errors and (isinstance(self.errors[-1], NothingMade) or self.errors[-1].id == "result-lost"):
                job = (await list_jobs(self.table.journal, limit=1))[0]
                self.resends += 1
                await studio.resend(job)
            session = await studio.upload([self.picture])
            try:
                turned = await studio.generate(session, Wish("slow push-in", duration=2))
            except NemoError as error:
                if self.table.ledger.credits_taken and error.charged == "no":
                    raise AssertionError(f"charged, and denied: {error}") from error
                raise
            return await studio.export(turned.session, Destination(self.folder, "clip"))

    def judge(self, video: Video | None) -> None:
        """Never more than one message and one charge without the user's word; and one whole file."""
        told = [f"{type(error).__name__}: {error}" for error in self.errors]
        ledger = self.table.ledger
        assert video is not None, told
        assert len(ledger.messages) <= 1 + self.resends, told
        assert ledger.credits_taken <= 100 * (1 + self.resends), told
        assert ledger.credits_taken >= 100
        assert check_video(video.path).sha256 == video.sha256
        assert list(self.folder.iterdir()) == [video.path]
        gone = sum(entry["amount"] for entry in ledger.charges)  # another spender's share cannot be told apart
        assert video.money.certainty != "exact" or video.money.spent in (100, gone), told


def cases() -> list[Any]:
    """Every endpoint with every fault once; for long, and at the earlier calls, with those that tell most."""
    once = [(endpoint, nth, name, 1) for endpoint, nth in SPOTS for name in EVERYWHERE]
    early = [(endpoint, nth, name, 1) for endpoint, nth in EARLIER for name in LASTING]
    lasting = [(endpoint, nth, name, None) for endpoint, nth in SPOTS for name in LASTING]
    return [
        pytest.param(*case, id=" ".join(str(each) for each in case))
        for case in once + early + lasting
        if not (case[0] in ("files", "download") and case[2] in NOT_JSON)
        if not (case[0] == "anonymous-token" and case[2] in OF_AN_ACCOUNT)
    ]


@pytest.mark.parametrize(("endpoint", "nth", "name", "count"), mark_all_but_every(4, cases(), "nightly"))
async def test_a_fault_anywhere_costs_no_second_charge(
    endpoint: str,
    nth: int,
    name: str,
    count: int | None,
    table: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It recovers by itself, or the same request goes on after a typed error."""
    kind, parameters = EVERYWHERE[name]
    case = Case(table, tmp_path / "videos")
    table.faults.add(Fault(kind, endpoint, nth=nth, count=count, **parameters))
    if endpoint == "anonymous-token":
        monkeypatch.delenv("NEMO_TOKEN")
    if endpoint == "download":  # where a video is fetched when its address fails
        table.faults.add(Fault("expired_url", "files", count=None))
    video = await case.video()

    assert (kind, endpoint) in table.faults.fired
    if video is None and endpoint == "anonymous-token":  # the token is lost on the way, and there is one a week
        assert type(case.errors[-1]) is RateLimited
        assert not table.ledger.messages
    else:
        case.judge(video)


@pytest.mark.parametrize(
    ("kind", "endpoint", "nth", "parameters", "ends"),
    PARTICULAR,
    ids=[f"{kind} {endpoint} {nth} {parameters or ''}" for kind, endpoint, nth, parameters, _ in PARTICULAR],
)
async def test_a_fault_of_one_place_costs_no_second_charge(
    kind: str,
    endpoint: str,
    nth: int,
    parameters: dict[str, Any],
    ends: type[NemoError] | None,
    table: Table,
    tmp_path: Path,
) -> None:
    """As above; where the paid session itself is gone there is no video, and no second message either."""
    case = Case(table, tmp_path / "videos")
    table.faults.add(Fault(kind, endpoint, nth=nth, **parameters))
    video = await case.video()

    if ends is None:
        case.judge(video)
    else:
        assert video is None
        assert {type(error) for error in case.errors} == {ends}
        assert len(table.ledger.messages) == 1
        assert table.ledger.credits_taken == 100

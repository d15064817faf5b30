"""`nemo-video batch --scheduler`: real Dask processes that share a journal, some of them killed, some of them wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.dask_cluster import Dask, cluster, ended, needs_dask, recorded, until
from tests.support.ledger import LedgerReport
from tests.support.postgres import PASSWORD, Server, missing, postgres
from tests.support.processes import Service, service
from tests.support.waiting import PATIENT_SECONDS

__all__ = ["postgres"]
pytestmark = [
    needs_dask,
    pytest.mark.long,
    pytest.mark.nightly,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the backend is forked"),
]
PRICE = 100


@dataclass
class Site:
    """A backend that charges, a cluster of two workers with one journal, and a folder for pictures."""

    service: Service
    dask: Dask
    directory: Path
    seen: int = 0

    @property
    def photos(self) -> Path:
        return self.directory / "photos"

    @property
    def videos(self) -> Path:
        return self.directory / "videos"

    @property
    def ledger(self) -> LedgerReport:
        """What the backend was asked, and what it took, since this test began."""
        return LedgerReport(self.service.ledger.entries[self.seen :])

    def fill(self, count: int) -> None:
        self.photos.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            seed = hash((str(self.directory), number)) % 2**24
            color = (seed % 256, seed // 256 % 256, seed // 65536)
            Image.new("RGB", (48, 36), color).save(self.photos / f"shot{number}.png")

    def begin(self, *more: object, **environment: str) -> subprocess.Popen[str]:
        return self.dask.begin(self.photos, "--output", self.videos, "--duration", 1, *more, **environment)

    def batch(self, *more: object, **environment: str) -> Any:
        return ended(self.begin(*more, **environment))

    def lines(self) -> dict[str, dict[str, Any]]:
        """The last line of each item."""
        path = self.videos / "results.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return {line["item"]: line for line in map(json.loads, text.splitlines())}

    def states(self) -> Counter[str]:
        return Counter(line["state"] for line in self.lines().values())

    def paid_once(self, count: int) -> None:
        """So many messages and charges, each for another session."""
        messages = Counter(each["session"] for each in self.ledger.messages)
        charges = Counter(each["session"] for each in self.ledger.charges)
        assert (len(messages), set(messages.values())) == (count, {1})
        assert (len(charges), set(charges.values())) == (count, {1})


def environment_of(place: Path, backend: Service, url: str) -> dict[str, str]:
    """What one machine has: its home directory, the shared journal, the account."""
    return {
        "NEMO_HOME": str(place / "home"),
        "NEMO_HOST_ID": "machine-one",
        "NEMO_JOURNAL_URL": url,
        "NEMO_API_URL": backend.url,
        "NEMO_WEB_URL": "https://web.test",
        "NEMO_TOKEN": backend.token,
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def backend(place: Path) -> Iterator[Service]:
    with service(place / "service", generation_seconds=0.3) as started:
        yield started


@pytest.fixture(scope="module")
def workers(request: pytest.FixtureRequest, place: Path, backend: Service) -> Iterator[Dask]:
    """A scheduler and two workers on one machine, with a journal in PostgreSQL; a file where there is none."""
    server: Server | None = None if missing() else request.getfixturevalue("postgres")
    url = server.url(server.database()) if server else ""
    with cluster(place / "dask", environment_of(place, backend, url)) as dask:
        dask.scheduler()
        for _ in range(2):
            dask.worker()
        dask.joined(2)
        yield dask


@pytest.fixture
def site(workers: Dask, backend: Service, tmp_path: Path) -> Site:
    backend.clear()
    return Site(backend, workers, tmp_path, len(backend.ledger.entries))


def test_workers_make_the_videos_and_identical_items_are_one_job(site: Site) -> None:
    """One charge each; the lines are those of a batch without a cluster, which finds all of it done."""
    site.fill(7)
    (site.photos / "twin.png").write_bytes((site.photos / "shot0.png").read_bytes())
    ran = site.batch()
    lines = site.lines()
    again = site.batch("--scheduler", "")

    assert (ran.code, ran.data["done"], ran.data["credits"]) == (0, 8, {"spent": 700, "certainty": "exact"}), ran.err
    site.paid_once(7)
    assert {line["image"][0] for line in lines.values()} == {str(path) for path in site.photos.iterdir()}
    assert all((site.videos / line["video"]).stat().st_size == line["size"] for line in lines.values())
    twins = [lines["shot0"]["duplicate_of"], lines["twin"]["duplicate_of"]]
    assert sorted(map(str, twins)) in (["None", "shot0"], ["None", "twin"])
    assert "workers 2, threads 8" in ran.err
    assert (again.code, again.data["done"], site.lines()) == (0, 8, lines)
    assert [path.name for path in site.videos.glob(".nemo-*") if path.suffix != ".lock"] == []


def test_a_worker_killed_in_the_middle_costs_no_second_charge(site: Site) -> None:
    """Dask gives its items to the other worker, where they meet the journal."""
    site.fill(12)
    site.service.fault("stall", "message", count=None, parameters={"seconds": 1.0, "at": "headers"})
    victim = site.dask.newcomer(threads=6)
    batch = site.begin()
    until(lambda: len(site.ledger.messages) >= 9)  # the other two have eight threads
    victim.send_signal(signal.SIGKILL)
    victim.wait(PATIENT_SECONDS)
    ran = ended(batch)

    assert (ran.code, site.states()) == (0, {"done": 12}), ran.err
    site.paid_once(12)
    assert ran.data["credits"]["spent"] == 1200


def test_ctrl_c_ends_what_is_paid_for_and_nothing_else(site: Site) -> None:
    """Here and on the workers; the same command goes on, and pays for what was never sent."""
    site.fill(16)
    site.service.fault("stall", "message", count=None, parameters={"seconds": 3.0, "at": "headers"})
    batch = site.begin()
    until(lambda: len(site.ledger.messages) >= 4)
    batch.send_signal(signal.SIGINT)
    ran = ended(batch)
    sent = len({each["session"] for each in site.ledger.messages})
    told = site.lines()
    site.service.clear()
    again = site.batch()

    assert ran.code == 130, ran.err
    assert 4 <= sent <= 8  # the ninth was with the cluster, and had not begun
    assert sum(line["charged"] != "no" for line in told.values()) == sent  # every one that is paid for has its line
    assert site.states() == {"done": 16}, again.err
    site.paid_once(16)


def test_max_credits_holds_for_all_workers_together(site: Site) -> None:
    """What does not fit is left for the next run."""
    site.fill(6)
    ran = site.batch("--max-credits", 4 * PRICE + 50)

    assert (ran.code, ran.data["done"], ran.data["left"]) == (4, 4, 2), ran.err
    assert "only 50 of your limit of 450" in ran.data["error"]["message"]
    site.paid_once(4)


def test_nothing_is_begun_where_workers_differ(site: Site) -> None:
    """Each worker looks at itself before the first paid step, and the first that differs is named."""
    site.fill(2)
    stranger = site.dask.newcomer(environment={"NEMO_TOKEN": "nmv_usr_other"})
    ran = site.batch()
    planned = site.batch("--dry-run")
    stranger.kill()
    stranger.wait(PATIENT_SECONDS)
    elsewhere = site.dask.newcomer(environment={"NEMO_JOURNAL_URL": "", "NEMO_HOST_ID": "two"})
    file = site.batch(NEMO_HOME=str(site.directory / "another home"), NEMO_JOURNAL_URL="")
    elsewhere.kill()
    elsewhere.wait(PATIENT_SECONDS)

    assert (ran.code, ran.data["error"]["id"], planned.code) == (5, "cluster-other-account", 5)
    assert "tcp://127.0.0.1:" in ran.data["error"]["message"]
    assert (file.code, file.data["error"]["id"])[1] in ("cluster-journal", "cluster-file-journal")
    assert not site.ledger.messages
    assert site.lines() == {}


def test_a_worker_that_comes_later_looks_at_itself_as_well(site: Site) -> None:
    """It sends nothing, and the batch stops; what the others had begun comes to its end."""
    site.fill(60)  # enough for as long as a worker takes to start; the batch ends when it has come
    site.service.fault("stall", "message", count=None, parameters={"seconds": 1.0, "at": "headers"})
    batch = site.begin("--jobs", 2)
    until(lambda: len(site.ledger.messages) >= 1)
    stranger = site.dask.newcomer(environment={"NEMO_TOKEN": "nmv_usr_other"})
    ran = ended(batch)
    stranger.kill()
    stranger.wait(PATIENT_SECONDS)

    assert ran.code == 5, ran.err
    assert site.states()["done"] == len(site.ledger.messages) == len(site.ledger.charges) < 60
    assert {line["error_id"] for line in site.lines().values()} == {None, "cluster-other-account"}


def test_no_token_passes_the_scheduler(site: Site) -> None:
    """Neither the machine that begins a batch nor its workers put one on the wire; prompts do pass."""
    token = site.service.token
    with recorded(site.dask.address) as (address, heard):
        worker = site.dask.newcomer(address=address, threads=40)
        site.fill(6)
        ran = site.batch("--prompt", "a lighthouse at dusk", "--scheduler", address)
        worker.kill()
        worker.wait(PATIENT_SECONDS)
    said = bytes(heard)

    assert ran.code == 0, ran.err
    assert b"a lighthouse at dusk" in said
    assert b"register-worker" in said  # the worker talks through it, too
    assert token.encode() not in said
    assert PASSWORD.encode() not in said
    assert token not in site.dask.said()


def test_nobody_waits_for_workers_that_are_gone(site: Site) -> None:
    """A first Ctrl-C ends it soon, and what had been sent is told as perhaps paid; the next run finds it."""
    site.fill(3)
    site.service.fault("stall", "message", count=None, parameters={"seconds": 1.0, "at": "headers"})
    with cluster(site.directory / "dask", site.dask.environment) as dask:
        dask.scheduler()
        worker = dask.newcomer(threads=3)
        batch = dask.begin(site.photos, "--output", site.videos, "--duration", 1)
        until(lambda: len(site.ledger.messages) >= 3)
        worker.kill()
        batch.send_signal(signal.SIGINT)
        ran = ended(batch)
    told = {(line["error_id"], line["state"], line["charged"]) for line in site.lines().values()}
    site.service.clear()
    again = site.batch()

    assert ran.code == 130, ran.err
    assert told == {("cluster-deserted", "stopped", "maybe")}
    assert "may have been charged" in ran.data["error"]["message"]
    assert (again.code, site.states()) == (0, {"done": 3}), again.err
    site.paid_once(3)


def test_a_second_ctrl_c_does_not_call_free_what_is_out(site: Site) -> None:
    """It leaves at once; the workers read on."""
    site.fill(3)
    site.service.fault("stall", "message", count=None, parameters={"seconds": 4.0, "at": "headers"})
    batch = site.begin()
    until(lambda: len(site.ledger.messages) >= 3)
    batch.send_signal(signal.SIGINT)
    time.sleep(0.3)
    batch.send_signal(signal.SIGINT)
    ran = ended(batch)
    again = site.batch()

    assert (ran.code, ran.data["error"]["charged"]) == (130, "maybe"), ran.err
    assert "Exception" not in ran.err
    assert again.code == 0, again.err
    site.paid_once(3)


def test_a_worker_that_is_asked_to_close_reads_paid_streams_first(site: Site) -> None:
    """Its nanny lets it for ten seconds; hanging up may end what is paid for."""
    site.fill(2)
    site.service.fault("stall", "message", count=None, parameters={"seconds": 3.0, "at": "headers"})
    with cluster(site.directory / "dask", site.dask.environment) as dask:
        dask.scheduler()
        worker = dask.newcomer(threads=2, nanny=True)
        batch = dask.begin(site.photos, "--output", site.videos, "--duration", 1)
        until(lambda: len(site.ledger.messages) >= 2)
        asked = time.monotonic()
        worker.terminate()
        worker.wait(20)
        took = time.monotonic() - asked
        batch.kill()
    site.service.clear()
    again = site.batch()

    assert took > 1.0
    assert again.code == 0, again.err
    site.paid_once(2)


def test_workers_and_a_scheduler_that_go_away_are_told_and_the_next_run_goes_on(site: Site) -> None:
    """What had been begun is in the journal: found by another run, one charge each."""
    site.fill(6)
    site.service.fault("stall", "message", count=None, parameters={"seconds": 1.0, "at": "headers"})
    once = {**site.dask.environment, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with cluster(site.directory / "dask", once) as dask:
        scheduler = dask.scheduler()
        first = dask.newcomer(threads=3)
        batch = dask.begin(site.photos, "--output", site.videos, "--duration", 1, "--jobs", 3)
        until(lambda: len(site.ledger.messages) >= 3)
        first.kill()
        until(lambda: len(site.lines()) == 3)
        dask.newcomer(threads=3)
        until(lambda: len(site.ledger.messages) >= 6)
        scheduler.kill()
        ran = ended(batch)
    told = {(line["error_id"], line["state"], line["charged"]) for line in site.lines().values()}
    site.service.clear()
    again = site.batch()

    assert ran.code == 5, ran.err
    assert told == {("worker-lost", "unknown", "maybe"), ("cluster-lost", "stopped", "maybe")}
    assert "is lost" in ran.data["error"]["message"]
    assert (again.code, site.states()) == (0, {"done": 6}), again.err
    site.paid_once(6)

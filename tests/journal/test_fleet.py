"""Several machines, one journal in PostgreSQL: the same step runs once, also where one is killed or stopped."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from nemo_client._config.timings import StudioTimings
from nemo_client._files.save import check_video
from tests.studio.test_killed import STEPS
from tests.support.postgres import Server, needs_postgres, postgres
from tests.support.processes import Child, Request, Service, service
from tests.support.waiting import wait_until

__all__ = ["postgres"]
pytestmark = [
    needs_postgres,
    pytest.mark.long,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="these clients are forked"),
]
LEASE_SECONDS = 1.0
LONG_LEASE_SECONDS = 30.0
WORKERS = 2
SENT = STEPS.index("_commit") + 1
UNKNOWN = "result-unknown"


@dataclass
class Fleet(Request):
    """One request on several machines: each has a home directory and a folder of its own, all have one journal."""

    server: Server | None = None
    name: str = ""

    def environment(self, host: str) -> dict[str, str]:
        assert self.server is not None
        there = {"NEMO_HOME": str(self.directory / host / "home"), "NEMO_JOURNAL_URL": self.server.url(self.name)}
        return {**super().environment(host), **there}

    def start(self, *, host: str = "one", **order: Any) -> Child:
        return super().start(host=host, **{"lease": LEASE_SECONDS, "folder": str(self.folder_of(host)), **order})

    def folder_of(self, host: str) -> Path:
        return self.directory / host / "videos"

    @property
    def states(self) -> list[str]:
        assert self.server is not None
        if self.server.say("SELECT to_regclass('attempts')", self.name) == [(None,)]:
            return []
        query = "SELECT state FROM attempts WHERE key LIKE 'generate-%' ORDER BY number"
        return [state for (state,) in self.server.say(query, self.name)]

    def leftovers(self) -> list[str]:
        found = [*self.directory.rglob(".nemo-*"), *self.directory.rglob("*.part")]
        return sorted(str(path.relative_to(self.directory)) for path in found)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Service]]:
    directory = tmp_path_factory.mktemp("fleet")
    with ExitStack() as stack:
        yield [stack.enter_context(service(directory / f"worker-{number}")) for number in range(WORKERS)]


@pytest.fixture
def fleet(services: list[Service], postgres: Server, tmp_path: Path) -> Fleet:
    return Fleet(services[0], tmp_path / "request", server=postgres, name=postgres.database())


def stopped(fleet: Fleet, when: str, work: str = "_commit", number: int = 1, **order: Any) -> Child:
    """A client that stopped right before or after one of its transactions."""
    child = fleet.start(strike={"signal": "STOP", "when": when, "work": work, "number": number}, **order)
    assert child.wait() == {"stopped": signal.SIGSTOP}
    return child


def continued(child: Child) -> dict[str, Any]:
    child.send(signal.SIGCONT)
    return child.result()


def paid_once(fleet: Fleet, *results: dict[str, Any]) -> None:
    """One message, one charge, and a whole video on each machine that asked."""
    ledger = fleet.quiet_ledger()
    assert len(ledger.messages) == 1
    assert ledger.credits_taken == 100
    for result in results:
        assert result.get("spent") == 100, result
        assert check_video(Path(result["video"])).sha256 == result["sha256"]


def test_machines_that_ask_for_the_same_at_once_share_one_message(fleet: Fleet) -> None:
    """One sends, the others wait for it; each gets the video into its own folder."""
    hosts = [f"machine-{number}" for number in range(6)]
    children = [fleet.start(host=host, lease=LONG_LEASE_SECONDS) for host in hosts]
    results = [child.result() for child in children]

    paid_once(fleet, *results)
    assert [Path(result["video"]).parent for result in results] == [fleet.folder_of(host) for host in hosts]
    assert fleet.states == ["done"]
    assert fleet.leftovers() == []


def test_what_another_machine_has_made_is_found_and_delivered_here(fleet: Fleet) -> None:
    """Later, nothing is sent, and nothing is rendered again; the file is fetched once more."""
    first = fleet.run(host="one")
    second = fleet.run(host="two")

    paid_once(fleet, first, second)
    assert second["reused"]
    assert len(fleet.ledger.renders) == 1
    assert Path(second["video"]).parent == fleet.folder_of("two")


def test_a_machine_killed_at_any_step_is_followed_by_another(
    services: list[Service], postgres: Server, tmp_path: Path
) -> None:
    """SIGKILL before and after each transaction: another machine takes over where it stood, and pays nothing again."""
    free: SimpleQueue[Service] = SimpleQueue()
    for each in services:
        free.put(each)
    numbers = itertools.count()

    def one(moment: tuple[int, str]) -> str:
        served = free.get()
        try:
            request = Fleet(served, tmp_path / f"{next(numbers)}", server=postgres, name=postgres.database())
            strike = {"signal": "KILL", "when": moment[1], "number": moment[0]}
            assert request.start(host="one", strike=strike).wait() == {"signal": signal.SIGKILL}
            result = request.run(host="two")
            if moment == (SENT, "after"):
                assert (result["error"], result["charged"]) == (UNKNOWN, "maybe")
                assert len(request.ledger.messages) == 0
                request.later += StudioTimings.horizon
                assert request.run(host="three")["error"] == "result-none"
                result = request.run(host="two", resend=True)
            paid_once(request, result)
        except (AssertionError, KeyError) as error:
            return f"{moment}: {error!r}"
        finally:
            free.put(served)
        return ""

    moments = [(number, when) for number in range(1, len(STEPS) + 1) for when in ("before", "after")]
    with ThreadPoolExecutor(WORKERS) as pool:
        failures = [failure for failure in pool.map(one, moments) if failure]
    assert not failures, "\n".join(failures)


def test_who_waits_for_a_machine_that_is_killed_takes_over(fleet: Fleet) -> None:
    """Its lease ends by the database's clock; nothing was sent, so the message goes out once."""
    first = stopped(fleet, "before", host="one")
    second = fleet.start(host="two")
    first.send(signal.SIGKILL)
    assert first.wait() == {"signal": signal.SIGKILL}

    paid_once(fleet, second.result())


def test_the_stream_of_a_killed_machine_is_settled_by_another(fleet: Fleet) -> None:
    """The message had arrived and was worked on: its result is found, and nothing is sent again."""
    first = fleet.start(host="one", strike={"kill_after": 0.15})
    assert first.wait() == {"signal": signal.SIGKILL}
    assert len(fleet.quiet_ledger().messages) == 1
    second = fleet.run(host="two")

    paid_once(fleet, second)
    assert fleet.states == ["done"]


def test_a_machine_that_stood_still_before_its_commit_sends_nothing(fleet: Fleet) -> None:
    """The other one has taken over and sent; continued, the first loses the compare-and-set and shares the result."""
    first = stopped(fleet, "before", host="one")
    second = fleet.run(host="two")
    paid_once(fleet, second)
    late = continued(first)

    paid_once(fleet, second, late)
    assert fleet.states == ["done"]


def test_a_machine_that_stood_still_between_record_and_message_holds_it_back(fleet: Fleet) -> None:
    """Others call it unknown by then. Who would have sent it knows that it did not, says so, and asks again: once."""
    first = stopped(fleet, "after", host="one")
    second = fleet.run(host="two")
    assert (second["error"], second["charged"]) == (UNKNOWN, "maybe")
    assert fleet.states == ["unknown"]
    late = continued(first)
    again = fleet.run(host="two")

    paid_once(fleet, late, again)
    assert fleet.states == ["refused", "done"]


def test_a_machine_that_stood_still_for_long_does_not_send_beside_the_users_word(fleet: Fleet) -> None:
    """Given up after the horizon, sent again on the user's word: the first one wakes up and only collects."""
    first = stopped(fleet, "after", host="one")
    assert fleet.run(host="two")["error"] == UNKNOWN
    fleet.later += StudioTimings.horizon
    assert fleet.run(host="two")["error"] == "result-none"
    resent = fleet.run(host="two", resend=True)
    late = continued(first)

    paid_once(fleet, resent, late)
    assert fleet.states == ["failed", "done"]


def test_a_machine_that_stood_still_after_its_message_changes_nothing(fleet: Fleet) -> None:
    """Its stream was settled by another: what it would write is compared, and the result is the same for both."""
    first = stopped(fleet, "before", work="_move", host="one")
    assert len(fleet.quiet_ledger().messages) == 1
    second = fleet.run(host="two")
    late = continued(first)

    paid_once(fleet, second, late)
    assert fleet.states == ["done"]


def test_a_living_machine_is_waited_for_however_long_its_stream_takes(
    services: list[Service], postgres: Server, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It renews its lease while it reads: no one takes its message for lost."""
    with service(tmp_path_factory.mktemp("slow"), generation_seconds=5.0) as slow:
        fleet = Fleet(slow, tmp_path / "request", server=postgres, name=postgres.database())
        first = fleet.start(host="one", lease=2.0)
        wait_until(lambda: fleet.states == ["sent"])
        second = fleet.start(host="two", lease=2.0)
        results = [first.result(), second.result()]

        paid_once(fleet, *results)
        assert fleet.states == ["done"]

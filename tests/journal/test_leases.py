"""Two processes, one request: one sends, and the other one waits, takes over, or says who is in the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_client._files.save import check_video
from nemo_client._journal.leases import Owner, is_locked
from tests.support.processes import Child, Request, Service, service

pytestmark = pytest.mark.long  # many processes, or minutes of waiting

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="these clients are forked")
LEASE_SECONDS = 1.0
LONG_LEASE_SECONDS = 30.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("owners")) as found:
        yield found


@pytest.fixture
def request_(served: Service, tmp_path: Path) -> Request:
    return Request(served, tmp_path / "request")


def stopped(request: Request, when: str, **order: Any) -> Child:
    """A client that stopped right before or after its commit as sent."""
    strike = {"signal": "STOP", "when": when, "work": "_commit", "number": 1}
    child = request.start(strike=strike, lease=LEASE_SECONDS, **order)
    assert child.wait() == {"stopped": signal.SIGSTOP}
    return child


def continued(child: Child) -> dict[str, Any]:
    child.send(signal.SIGCONT)
    return child.result()


def assert_paid_once(request: Request) -> None:
    ledger = request.quiet_ledger()
    assert len(ledger.messages) == 1
    assert ledger.credits_taken == 100


@forks
def test_an_owner_on_another_host_whose_lease_ended_before_the_commit_is_taken_over(request_: Request) -> None:
    """The second sends; continued, the first loses the compare-and-set, sends nothing, and shares the result."""
    first = stopped(request_, "before", host="one")
    second = request_.run(host="two", lease=LEASE_SECONDS)
    assert_paid_once(request_)
    late = continued(first)

    assert_paid_once(request_)
    assert (second["spent"], late["spent"]) == (100, 100)
    assert {second["video"], late["video"]} == {str(path) for path in request_.videos()}
    assert request_.states == ["done"]


@forks
def test_an_owner_on_another_host_that_stopped_after_the_commit_is_the_only_sender(request_: Request) -> None:
    """The second one is told that it is not known; continued, the first knows that it sent nothing, and asks again."""
    first = stopped(request_, "after", host="one")
    second = request_.run(host="two", lease=LEASE_SECONDS)
    assert (second["error"], second["charged"]) == ("result-unknown", "maybe")
    assert request_.states == ["unknown"]
    assert len(request_.ledger.messages) == 0
    late = continued(first)
    again = request_.run(host="two")

    assert_paid_once(request_)
    assert request_.states == ["refused", "done"]
    assert (late["spent"], again["spent"], again["reused"]) == (100, 100, True)
    assert check_video(Path(again["video"])).sha256 == again["sha256"]


@forks
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stopped_owner_on_this_host_keeps_its_lock_and_is_named(when: str, request_: Request) -> None:
    """After 60 s of waiting; nothing is taken from it, and continued it ends as if nothing had been."""
    first = stopped(request_, when)
    second = request_.run(lease=LEASE_SECONDS)
    assert (second["error"], second["pid"], second["charged"]) == ("owner-stuck", first.pid, "no")
    assert f"pid {first.pid}" in second["text"]
    assert len(request_.ledger.messages) == 0
    late = continued(first)

    assert late["spent"] == 100
    assert_paid_once(request_)
    assert request_.leftovers() == []


@forks
@pytest.mark.parametrize("hosts", [("", ""), ("one", "two")], ids=["one host", "two hosts"])
def test_two_that_ask_at_the_same_time_share_one_message(hosts: tuple[str, str], request_: Request) -> None:
    """ComfyUI and the shell side by side: each gets the video, whole."""
    children = [request_.start(host=host, lease=LONG_LEASE_SECONDS) for host in hosts]
    results = [child.result() for child in children]

    assert_paid_once(request_)
    assert [result.get("spent") for result in results] == [100, 100], results
    for result in results:
        assert check_video(Path(result["video"])).sha256 == result["sha256"]
    assert {result["video"] for result in results} == {str(path) for path in request_.videos()}
    assert request_.leftovers() == []


@forks
def test_who_waits_for_an_owner_that_is_killed_takes_over(request_: Request) -> None:
    """Its lock ends with it, on the same host at once: no lease is waited for."""
    first = request_.start(strike={"signal": "STOP", "when": "before", "work": "_commit", "number": 1})
    assert first.wait() == {"stopped": signal.SIGSTOP}
    second = request_.start()
    first.send(signal.SIGKILL)
    assert first.wait() == {"signal": signal.SIGKILL}

    assert second.result()["spent"] == 100
    assert_paid_once(request_)
    assert request_.leftovers() == []


def test_locks_of_owners_that_ended_are_swept(tmp_path: Path) -> None:
    """Those of living owners and of other hosts stay."""
    dead, other, alive, ours = (Owner(tmp_path, host) for host in ("here", "there", "here", "here"))
    for each in (dead, other, alive):
        each.hold()
    for each in (dead, other):
        assert each._lock is not None
        each._lock.release()  # as at the end of a process: the file stays
        each.lock_path.touch()
    ours.hold()
    ours.sweep()

    assert not dead.lock_path.exists()
    assert other.lock_path.exists()
    assert is_locked(alive.lock_path)
    assert is_locked(ours.lock_path)
    for each in (alive, ours):
        each.release()
    assert not ours.lock_path.exists()

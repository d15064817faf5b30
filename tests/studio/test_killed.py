"""Clients killed at every step boundary and at random moments: paid once, delivered once, nothing left behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from nemo_client._config.timings import StudioTimings
from nemo_client._files.save import check_video
from tests.support.fuzz import usually
from tests.support.processes import Request, Service, service

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="these clients are forked"),
]
WORKERS = 2
RANDOM_MOMENTS = usually(8, 50)
RANDOM_STOPPED = usually(2, 6)
PLACES = usually(20, 1000)
SEED = 20_260_101
RUNS = 6

STEPS = (
    "_record_finished",  # the upload: planned, sent and done in one
    "_claim", "_begin", "_commit", "_move",  # the message: its session, planned, sent, done
    "_record_begun_and_sent", "_deliver", "_move",  # the export: planned and sent in one, the name of its file, done
)  # fmt: skip
SENT = STEPS.index("_commit") + 1
BOUNDARIES = [(number, when) for number in range(1, len(STEPS) + 1) for when in ("before", "after")]


class Workers:
    """Backends, each for one request at a time."""

    def __init__(self, services: list[Service], directory: Path) -> None:
        self._free: SimpleQueue[Service] = SimpleQueue()
        for each in services:
            self._free.put(each)
        self._count = len(services)
        self._directory = directory
        self._numbers = itertools.count(1)

    def each(self, moments: list[Any], check: Callable[[Request, Any], None]) -> None:
        """Check all moments, several at a time; every failure is told with its moment."""

        def one(moment: Any) -> str:
            served = self._free.get()
            try:
                check(Request(served, self._directory / f"request-{next(self._numbers)}"), moment)
            except AssertionError as error:
                return f"{moment}: {error}"
            finally:
                served.clear()
                self._free.put(served)
            return ""

        with ThreadPoolExecutor(self._count) as pool:
            failures = [failure for failure in pool.map(one, moments) if failure]
        assert not failures, "\n\n".join(failures)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    directory = tmp_path_factory.mktemp("killed")
    with ExitStack() as stack:
        services = [stack.enter_context(service(directory / f"worker-{number}")) for number in range(WORKERS)]
        yield Workers(services, directory)


def killed_at(number: int, when: str) -> dict[str, Any]:
    return {"strike": {"signal": "KILL", "when": when, "number": number}}


def run_to_the_end(request: Request) -> list[dict[str, Any]]:
    """Ask again until there is a video, as a patient user does: later, and in the end with a resend."""
    told: list[dict[str, Any]] = []
    while not (told and "video" in told[-1]) and len(told) < RUNS:
        lost = bool(told) and told[-1]["error"] in ("result-none", "result-lost")
        if told and told[-1]["error"] == "result-unknown":
            request.later += StudioTimings.horizon
        told.append(request.run(resend=lost))
        if "error" in told[-1]:
            taken = request.quiet_ledger().credits_taken
            assert told[-1]["kind"] in ("ResultUnknown", "NothingMade"), told
            assert not (taken and told[-1]["charged"] == "no"), (told, taken)
    assert "video" in told[-1], told
    return told


def delivered_once(request: Request, told: list[dict[str, Any]]) -> None:
    """One file, whole, under the name that was told, and nothing else."""
    assert [str(path) for path in request.videos()] == [told[-1]["video"]]
    assert check_video(Path(told[-1]["video"])).sha256 == told[-1]["sha256"]
    assert request.leftovers() == []


def paid_once(request: Request, told: list[dict[str, Any]]) -> None:
    """One message, one charge, and no error on the way."""
    assert len(told) == 1, told
    assert len(request.ledger.messages) == 1
    assert request.ledger.credits_taken == 100
    assert told[-1]["spent"] == 100


def test_the_boundaries_are_those_of_a_whole_run(workers: Workers) -> None:
    """Every transaction that writes is one: a new one must be put into the list."""

    def check(request: Request, _: Any) -> None:
        told = request.run(count=True)

        assert told["steps"] == list(STEPS)
        paid_once(request, [told])
        delivered_once(request, [told])

    workers.each([0], check)


@pytest.mark.long
def test_killed_at_a_step_boundary_it_is_paid_once_and_delivered_once(workers: Workers) -> None:
    """Before the commit as sent, or once the work is known: the next run goes on from there, without a question."""

    def check(request: Request, moment: tuple[int, str]) -> None:
        assert request.run(**killed_at(*moment)) == {"signal": 9}
        told = run_to_the_end(request)

        paid_once(request, told)
        delivered_once(request, told)

    workers.each([moment for moment in BOUNDARIES if moment != (SENT, "after")], check)


@pytest.mark.long
def test_killed_between_the_commit_and_the_message_nothing_is_sent_by_itself(workers: Workers) -> None:
    """It cannot be known: first unknown, after the horizon not charged; the user's word sends it, and pays once."""

    def check(request: Request, _: Any) -> None:
        assert request.run(**killed_at(SENT, "after")) == {"signal": 9}
        first = request.run()
        assert (first["error"], first["charged"]) == ("result-unknown", "maybe")
        assert request.states == ["unknown"]
        assert len(request.ledger.messages) == 0
        request.later += StudioTimings.horizon
        told = run_to_the_end(request)

        assert [each.get("error") for each in told] == ["result-none", None]
        assert told[0]["charged"] == "no"
        assert request.states == ["failed", "done"]
        assert len(request.ledger.messages) == 1
        assert request.ledger.credits_taken == 100
        delivered_once(request, told)

    workers.each([0], check)


@pytest.mark.long
def test_killed_at_any_moment_it_is_paid_once_and_delivered_once(workers: Workers) -> None:
    """Whatever the moment: an error only where no message had arrived, and then only one is ever sent."""
    chance = random.Random(SEED)  # noqa: S311 - moments, not secrets

    def check(request: Request, share: float) -> None:
        request.run(kill_after=share * whole[0])
        arrived = len(request.quiet_ledger().messages)
        told = run_to_the_end(request)

        assert len(request.ledger.messages) == 1, told
        assert request.ledger.credits_taken == 100
        assert len(told) == 1 or not arrived, told
        delivered_once(request, told)

    whole: list[float] = []
    workers.each([0], lambda request, _: whole.append(request.run()["seconds"]))
    workers.each([(number + chance.random()) / RANDOM_MOMENTS for number in range(RANDOM_MOMENTS)], check)


OTHERS = {
    "generate": ("generate with another seed", "chat", "upload", "edit with other words"),
    "edit": ("edit with other words", "edit the newest state", "chat", "upload", "generate again"),
    "chat": ("chat with other words", "edit", "edit the newest state", "upload"),
}
TAKEN = ("fork-refused", "edit-changed", "chat-changed")
"""The session went on with the step that was killed: true, and the error names the ways out."""


@pytest.mark.long
@pytest.mark.parametrize("killed", OTHERS)
def test_killed_at_any_await_of_a_paid_step_every_other_request_on_its_session_works(
    workers: Workers, killed: str
) -> None:
    """What had not gone out is no hindrance. Where its outcome is not known, the session is busy until it is."""
    after = "upload" if killed == "generate" else "generate"

    def check(request: Request, moment: tuple[str, str]) -> None:
        place, other = moment
        ended = request.step(step=killed, after=after, watch=True, kill_at=place)
        reached.append(ended == {"signal": 9})
        if not reached[-1]:
            return
        state = request.newest(killed)
        told = request.step(step=other, after=after)
        if state in ("", "planned", "refused"):
            assert "error" not in told, (state, told)
        elif told.get("error") == "session-unsettled":
            assert request.newest(killed) == "unknown"
            assert told["charged"] == "no"
            request.later += StudioTimings.horizon
            told = request.step(step=other, after=after)
        assert told.get("error", "fork-refused") in TAKEN, (state, told)

    places: list[str] = []
    reached: list[bool] = []
    workers.each([0], lambda request, _: places.extend(request.step(step=killed, after=after, watch=True)["places"]))
    moments = [(place, OTHERS[killed][n % len(OTHERS[killed])]) for n, place in enumerate(places)]
    tried = moments[:: max(1, round(len(moments) / PLACES))]
    workers.each(tried, check)
    assert len(places) > 10
    assert sum(reached) > 0.8 * len(tried)


@pytest.mark.long
def test_killed_where_the_work_stops_with_its_client_it_is_never_sent_again_by_itself(workers: Workers) -> None:
    """A typed error, then the user's word: as many charges as the ledger says, and the error never hides one."""
    chance = random.Random(SEED)  # noqa: S311 - moments, not secrets

    def check(request: Request, moment: tuple[str, float]) -> None:
        request.service.fault("stop_on_hangup", "message")
        place, seconds = moment
        # Held, the agent is at work when the client is killed, however slow all of it is.
        with request.service.hold() if place == "at work" else contextlib.nullcontext():
            request.run(**killed_at(SENT + 1, "before") if place == "boundary" else {"strike": {"kill_after": seconds}})
        arrived = request.quiet_ledger()
        told = run_to_the_end(request)

        resent = sum(each.get("error") in ("result-none", "result-lost") for each in told)
        assert len(request.ledger.messages) == len(arrived.messages) + resent, told
        assert request.ledger.credits_taken == arrived.credits_taken + 100 * resent
        assert request.ledger.credits_taken in (100, 100 + arrived.credits_taken)
        delivered_once(request, told)
        resends.append(resent)

    moments: list[tuple[str, float]] = [("boundary", 0.0), ("at work", 0.0)]
    moments += [("arrived", 0.25 * chance.random()) for _ in range(RANDOM_STOPPED)]
    resends: list[int] = []
    workers.each(moments, check)
    assert sum(resends) > 0

"""A process for `benchmarks.fleet`: it takes paid steps in a journal, or makes whole videos, as it is told.

    python -m benchmarks._paying

Orders come as lines of JSON. It says "ready" once its journal is open and the first steps or videos are made, begins
to measure at the next line, and reports in a line of JSON. It ends with its input.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nemo_client import Destination, Journal, Studio, Wish
from nemo_client._journal.database import Database
from nemo_client._journal.records import Attempt
from nemo_client._journal.steps import Event, State

PROFILE = "nemo"
_BASELINE = {"segments": "4f" * 32, "media": [], "draft": {}, "credits": {"available": 1e5, "frozen": 0, "total": 1e5}}
_DRAFT = {
    "t": [{"tt": kind, "sg": [{"st": 0, "d": 5000, "m": {"asset": "a5" * 16, "kind": "image"}}]} for kind in (0, 1, 7)],
    "d": 5000,
    "m": {"width": 1080, "height": 1080, "fps": 30, "title": "project"},
}
_DONE = {"draft": _DRAFT, "reply": "Your video is ready. " * 8, "money": {"spent": 80.0, "certainty": "exact"}}


def planned(account: str) -> Attempt:
    """A paid step that nobody asked for before."""
    return Attempt(
        f"generate-{uuid.uuid4().hex}{uuid.uuid4().hex[:8]}", 1, State.PLANNED, PROFILE, before=f"upload-{'0' * 40}",
        account=account, session_id=str(uuid.uuid4()), task_id=str(uuid.uuid4()), facts={"text": "a slow push-in"},
    )  # fmt: skip


async def step(journal: Journal, account: str) -> tuple[float, float, float]:
    """A paid step as the Messenger records it: planned, admitted and sent, done; milliseconds of each."""
    marks = [time.perf_counter()]
    attempt = await journal.begin(planned(account))
    marks.append(time.perf_counter())
    attempt = await journal.commit(attempt, lambda opened, day: None, facts={"baseline": _BASELINE}, run="run")
    marks.append(time.perf_counter())
    await journal.move(attempt, Event.FINISH, facts=_DONE, spent=80.0)
    marks.append(time.perf_counter())
    began, sent, done = ((after - before) * 1000 for before, after in itertools.pairwise(marks))
    return began, sent, done


async def steps(order: dict[str, Any]) -> dict[str, Any]:
    """Paid steps, one after the other, for so many seconds."""
    journal = Journal(Path(order["home"]), order["url"])
    account = order["account"]
    try:
        await step(journal, account)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        taken, cpu = [], time.process_time()
        end = time.perf_counter() + order["seconds"]
        while time.perf_counter() < end:
            taken.append(await step(journal, account))
        return {"taken": taken, "cpu": time.process_time() - cpu}
    finally:
        await journal.close()


async def videos(order: dict[str, Any]) -> dict[str, Any]:
    """Whole videos, some at once: what the first one needs once does not count."""
    from benchmarks._crowd import picture

    os.environ.update(order["environment"])
    pauses, places = order["pauses"], asyncio.Semaphore(order["at_once"])
    async with await Studio.open(PROFILE, sleep=lambda seconds: asyncio.sleep(seconds * pauses)) as studio:

        async def video(number: int) -> None:
            async with places:
                place = Destination(Path(order["home"]) / "videos", f"video-{number}")
                await studio.animate([picture(number)], Wish("a slow push-in", duration=1), place)

        with counted() as seen:
            await video(0)
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            seen.clear()
            begin, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(video(number + 1) for number in range(order["count"])))
            return {**seen, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - begin}


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """The journal's transactions and the requests to the backend in this process, while this is open."""
    import httpx

    from nemo_client._wire.http import HttpClient

    seen: Counter[str] = Counter()
    real = {"writing": Database.writing, "reading": Database.reading}
    send = HttpClient.send

    def through(name: str, method: Any) -> Any:
        @functools.wraps(method)
        def counting(self: Any) -> Any:
            seen[name] += 1
            return method(self)

        return counting

    async def sending(self: Any, request: httpx.Request) -> httpx.Response:
        path = request.url.path  # a render's file may be told by its own address or through that of the render
        look = request.method == "GET" and "/render/" in path and not path.endswith("/download")
        seen["looks" if look else "requests"] += 1
        return await send(self, request)

    try:
        for name, method in real.items():
            setattr(Database, name, through(name, method))
        HttpClient.send = sending  # type: ignore[method-assign]
        yield seen
    finally:
        HttpClient.send = send  # type: ignore[method-assign]
        for name, method in real.items():
            setattr(Database, name, method)


def main() -> None:
    """Do what is ordered until there are no more orders."""
    works = {"steps": steps, "videos": videos}
    while line := sys.stdin.readline():
        order = json.loads(line)
        print(json.dumps(asyncio.run(works[order["work"]](order))), flush=True)


if __name__ == "__main__":
    main()

"""An hour of virtual time: client and backend on one event loop whose clock jumps to the next thing that is due.

Everything between them is real (sockets, HTTP, threads, files, SQLite) but the waiting: while no one computes, no
byte is under way and no thread works, the loop's clock moves to its next timer. Time-outs, heartbeats, pauses between
polls, and streams that stand still for minutes then take as long as on the cloud, by that clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from nemo_client import Studio
from nemo_client.local.server.server import _make_services
from nemo_client.local.sessions.ledger import Ledger
from nemo_client.local.shared.disk import Owner
from nemo_client.local.shared.settings import MAX_UPLOAD_BYTES, Settings
from tests.support.ledger import read_ledger
from tools._jobs import Job, by_job, files_of, judge, strays, tally
from tools._measure import held
from tools._weather import Weather, copying, tiny_video
from tools.endurance import LATER, Report, quiet, workplace

HOUR = 3600.0
ARRIVALS = 3000.0  # seconds in which the jobs come; the rest of the hour is for the last ones
SAMPLES = 600.0
BEGAN = 1_800_000_000.0
TOKEN = "virtual"  # noqa: S105 - made up
GENERATION_SECONDS = 200.0
RENDER_SECONDS = 45.0
HEARTBEATS = 40.0  # the backend's pace: one in ten seconds
IDLE_SECONDS = 240.0  # longer than any time-out of the client's
RENDERS = 64
LOOK_SECONDS = 0.05


class _Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type] - which class it is, the system decides
    """Waits for sockets as ever, but where it would only wait for a timer, it moves the loop's clock there."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if timeout is None or self.loop.busy():
            return super().select(LOOK_SECONDS)
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, which stands still while threads work for it."""

    def __init__(self) -> None:
        selector = _Jumping()
        selector.loop = self
        self.now = 0.0
        self.working = 0
        self.others: Callable[[], int] = lambda: 0
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def wall(self) -> float:
        """Seconds since 1970, by this clock."""
        return BEGAN + self.now

    def busy(self) -> bool:
        """Whether a thread works: one that was asked by `run_in_executor`, or one of `others`."""
        return self.working > 0 or self.others() > 0

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        self.working += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._worked)
        return future

    def _worked(self, _: Any) -> None:
        self.working -= 1


class SlowRenderer:
    """Renders take their time by the loop's clock."""

    def __init__(self, loop: VirtualLoop, made: Path) -> None:
        self._loop = loop
        self._copy = copying(made)
        self._lock = threading.Lock()
        self.waiting = 0

    def __call__(self, draft: Any, assets: Any, target: Path, **given: Any) -> None:
        """On a thread of the backend's."""
        for done in (0.25, 0.5, 0.75, 1.0):
            asyncio.run_coroutine_threadsafe(self._rest(RENDER_SECONDS / 4), self._loop).result()
            given["progress"](done * 0.99)
        self._copy(draft, assets, target, **given)

    async def _rest(self, seconds: float) -> None:
        self.waiting += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self.waiting -= 1


@contextlib.asynccontextmanager
async def backend_on(loop: VirtualLoop, directory: Path, weather: Weather) -> AsyncIterator[str]:
    """The local backend's services on this very loop; its address."""
    renderer = SlowRenderer(loop, tiny_video(directory))
    settings = Settings(
        directory=directory, host="127.0.0.1", token=TOKEN, credits=10**9, anonymous=False, pace=HEARTBEATS,
        faults=weather, dialect="agent", render_answers="bare", private_urls=False,
        max_upload=MAX_UPLOAD_BYTES, generation_seconds=GENERATION_SECONDS, edit_seconds=None, render_seconds=0.0,
        render_progress="linear", render_threads=RENDERS, renderer=renderer, missing_glyphs=lambda text: "",
        clock=loop.wall,
    )  # fmt: skip
    owner = Owner(directory / "owners")
    api, agent, renders = _make_services(settings, owner, Ledger(directory, loop.wall))
    loop.others = lambda: min(len(renders._live), RENDERS) - renderer.waiting
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(owner.release)
        runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=0.2)
        stack.callback(renders.close)
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(agent.close)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        await web.SockSite(runner, listener).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class Hour:
    """Jobs that come evenly, for an hour of the loop's clock."""

    def __init__(self, loop: VirtualLoop, folder: Path, jobs: int, weather: Weather) -> None:
        self._loop = loop
        self._folder = folder
        self._weather = weather
        self._share = weather.share
        self._jobs = [Job(0, number) for number in range(jobs)]
        self.report = Report(jobs)

    async def run(self) -> None:
        """The hour, an hour for those that are asked again, and the end of both sides."""
        before, began = held(), time.monotonic()
        async with backend_on(self._loop, self._folder / "backend", self._weather) as url:
            os.environ |= {"NEMO_API_URL": url, "NEMO_TOKEN": TOKEN}
            studio = await Studio.open("nemo", clock=self._loop.time, wall=self._loop.wall)
            async with studio:
                await self._bad_weather(studio)
                self.report.seconds.append(round(time.monotonic() - began, 1))
                self._judge()
                await self._good_weather(studio)
                self.report.seconds.append(round(time.monotonic() - began, 1))
        self._loop.others = lambda: 0
        self.report.left = held().beyond(before)
        self._sum_up()

    async def _bad_weather(self, studio: Studio) -> None:
        """Jobs come and go; what is held is noted now and then, once the first ones have gone."""
        step = ARRIVALS / max(len(self._jobs), 1)
        running = [
            asyncio.ensure_future(self._come(job, number * step, studio)) for number, job in enumerate(self._jobs)
        ]
        started = self._loop.time()
        while self._loop.time() - started < HOUR:
            await asyncio.sleep(SAMPLES)
            self.report.under_way.append(sum(not each.done() for each in running))
            self.report.held.append(held())
        await asyncio.wait(running)
        self._weather.share = 0.0
        self.report.virtual = round(self._loop.time() - started)
        self.report.ends.append(tally(self._jobs))
        self.report.faults = self._weather.tally

    async def _come(self, job: Job, late: float, studio: Studio) -> None:
        await asyncio.sleep(late)
        await job.run(studio, self._folder / "videos")

    async def _good_weather(self, studio: Studio) -> None:
        """Once the horizon has passed, the same requests again."""
        await quiet(studio, LOOK_SECONDS * 20)
        await asyncio.sleep(LATER)
        again = [job for job in self._jobs if job.last.video is None]
        await asyncio.gather(*(job.run(studio, self._folder / "videos") for job in again))
        await quiet(studio, LOOK_SECONDS * 20)
        self.report.asked_again.append(tally(again))
        self._judge()

    def _judge(self) -> None:
        self.report.broken += judge(self._jobs, by_job(read_ledger(self._folder / "backend")))

    def _sum_up(self) -> None:
        report = self.report
        report.charges = len(read_ledger(self._folder / "backend").charges)
        if report.left:
            report.broken.append(f"left behind: {report.left}")
        if lying := strays(self._folder / "videos", files_of(self._jobs)):
            report.broken.append(f"files that no one told of: {lying}")


def hour(jobs: int, share: float, seed: int) -> Report:
    """A run over an hour of virtual time."""
    with workplace() as folder:
        (folder / "backend").mkdir(mode=0o700)
        loop = VirtualLoop()
        work = Hour(loop, folder, jobs, Weather(share, IDLE_SECONDS, seed))
        try:
            loop.run_until_complete(work.run())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
        work.report.judge_growth(objects=max(500.0, jobs * 0.5), memory=2.0)
        return work.report

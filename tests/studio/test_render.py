"""Exports: submitted once, once more under a new id when that fails, fetched, checked, landed; cancelled for good."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from nemo_client import (
    BadAnswer,
    Caller,
    ConnectionBroken,
    Destination,
    DiskError,
    NemoError,
    PlanError,
    RenderFailed,
    SessionHandle,
    SignInError,
    Studio,
    Wish,
)
from nemo_client._wire.upload import disk_error
from tests.support.backend import Clock, Cloud, Seen, cloud, draw, picture, until

__all__ = ["cloud"]
Clouds = Callable[..., Cloud]


class Unrenderable(Exception):
    """What a local renderer says of a draft that it cannot draw."""

    reason = "no clip at 3 s"


class Renderer:
    """Draws; before that it fails, waits until it is set free, or writes half a file, as often as told."""

    def __init__(self, *troubles: str) -> None:
        self.troubles = list(troubles)
        self.started = 0
        self.cancelled = 0
        self.free = threading.Event()

    def __call__(self, draft: Any, assets: Any, target: Path, *, cancelled: Any, **rest: Any) -> None:
        self.started += 1
        trouble = self.troubles.pop(0) if self.troubles else ""
        if trouble == "fails":
            raise Unrenderable
        if trouble == "slow":
            while not self.free.wait(0.01):
                if cancelled():
                    self.cancelled += 1
                    return
        draw(draft, assets, target, cancelled=cancelled, **rest)
        if trouble == "damaged":
            target.write_bytes(target.read_bytes()[:700])


@pytest.fixture
def place(tmp_path: Path) -> Destination:
    return Destination(tmp_path / "out", "film")


async def made(studio: Studio) -> SessionHandle:
    return (await studio.generate(await studio.upload([picture()]), Wish("slow push-in", duration=2))).session


@pytest.fixture
async def ready(cloud: Clouds) -> AsyncIterator[Callable[..., Any]]:
    """Opens a cloud and a Studio on it with something to export."""
    opened: list[Studio] = []

    async def start(*troubles: str, **options: Any) -> tuple[Cloud, Studio, SessionHandle, Renderer]:
        renderer = Renderer(*troubles)
        backend = cloud(renderer=renderer, **options)
        studio = await Studio.open("nemo", sleep=backend.clock.sleep, clock=backend.clock.time, wall=backend.clock.time)
        opened.append(studio)
        return backend, studio, await made(studio), renderer

    yield start
    for studio in opened:
        await studio.aclose()


def left_behind(place: Destination) -> list[str]:
    return sorted(path.name for path in place.folder.iterdir()) if place.folder.exists() else []


@pytest.mark.parametrize("answers", ["bare", "data"])
async def test_both_forms_of_the_answer_are_read(answers: str, ready: Any, place: Destination) -> None:
    """Top-level `status` and `output.url`, or `data.status` and `data.outputUrl`."""
    backend, studio, session, _ = await ready(render_answers=answers)

    assert (await studio.export(session, place)).path.is_file()
    assert len(backend.ledger.renders) == 1


@pytest.mark.parametrize("kind", ["duplicate_id", "http_500", "html_502", "http_504", "truncated_json", "answer"])
async def test_a_submission_that_fails_is_made_once_more_under_a_new_id(
    kind: str, ready: Any, place: Destination
) -> None:
    """Rendering is free; what may have been accepted is asked for first."""
    backend, studio, session, _ = await ready()
    backend.fault(kind, "render", **({"code": 9999} if kind == "answer" else {}))
    video = await studio.export(session, place)

    ids = [render["id"] for render in backend.ledger.renders]
    assert video.render_id == ids[-1]
    assert len(ids) == len(set(ids)) == 1
    assert left_behind(place) == ["film_00001_.mp4"]


async def test_a_submission_that_fails_twice_is_told(ready: Any, place: Destination) -> None:
    """Not a third time by itself; queued again it goes on, without paying."""
    backend, studio, session, _ = await ready()
    backend.fault("http_500", "render", count=2)
    with pytest.raises(BadAnswer, match="Nothing was charged"):
        await studio.export(session, place)
    assert backend.sent("render") == 2
    assert left_behind(place) == []

    assert (await studio.export(session, place)).path.is_file()
    assert backend.ledger.credits_taken == 100


@pytest.mark.parametrize("kind", ["close_before_headers", "http_503_accepted", "close_after_headers"])
async def test_a_render_that_was_accepted_unheard_is_not_submitted_again(
    kind: str, ready: Any, place: Destination
) -> None:
    """The id was stored before its POST; it is asked for first."""
    backend, studio, session, renderer = await ready()
    backend.fault(kind, "render")
    await studio.export(session, place)

    assert len(backend.ledger.renders) == renderer.started == 1


async def test_a_render_that_fails_is_repeated_once(ready: Any, place: Destination) -> None:
    """Under a new id."""
    backend, studio, session, _ = await ready("fails")
    await studio.export(session, place)

    assert len({render["id"] for render in backend.ledger.renders}) == 2


async def test_a_render_that_fails_twice_says_why(ready: Any, place: Destination) -> None:
    """In the backend's words; free, so it may be queued again."""
    backend, studio, session, renderer = await ready("fails", "fails")
    with pytest.raises(RenderFailed, match=r"could not be rendered.*no clip at 3 s.*Nothing was charged"):
        await studio.export(session, place)
    assert left_behind(place) == []

    await studio.export(session, place)
    assert renderer.started == len(backend.ledger.renders) == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 402, "code": 402}, PlanError),
        ({"status": 401, "code": 1001}, SignInError),
        ({"status": 429, "code": 429}, NemoError),
    ],
)
async def test_what_another_id_does_not_help_is_told_at_once(
    fault: Any, error: Any, ready: Any, place: Destination
) -> None:
    """The plan, the token, the pace."""
    backend, studio, session, _ = await ready()
    backend.fault("answer", "render", count=None, **fault)
    with pytest.raises(error):
        await studio.export(session, place)

    assert backend.sent("render") <= 2
    assert backend.ledger.renders == ()


async def test_looks_that_fail_are_made_again(ready: Any, place: Destination) -> None:
    """The render goes on without being watched."""
    backend, studio, session, renderer = await ready()
    backend.fault("http_503", "render-status", count=9)
    backend.fault("truncated_json", "render-status", nth=11)
    await studio.export(session, place)

    assert renderer.started == 1


async def test_a_render_whose_watch_broke_is_taken_up_again(ready: Any, place: Destination) -> None:
    """Queue again: its id was kept, nothing is rendered twice."""
    backend, studio, session, renderer = await ready()
    backend.fault("close_before_headers", "render-status", count=None)
    with pytest.raises(ConnectionBroken):
        await studio.export(session, place)
    backend.faults.clear()
    await studio.export(session, place)

    assert renderer.started == len(backend.ledger.renders) == 1


async def test_a_render_without_end_is_left_after_half_an_hour(ready: Any, place: Destination) -> None:
    """It is kept; queued again it is looked for."""
    backend, studio, session, renderer = await ready("slow")
    backend.clock.real = 0.0
    with pytest.raises(ConnectionBroken, match=r"longer than 30 minutes. Run again"):
        await studio.export(session, place)
    assert backend.sent("render-status") < 1000
    backend.clock.real = 0.05
    renderer.free.set()
    video = await studio.export(session, place)

    assert renderer.started == 1
    assert video.render_id == backend.ledger.renders[0]["id"]


@pytest.mark.parametrize("kind", ["expired_url", "http_500", "close_before_headers"])
async def test_an_output_address_that_fails_is_replaced_by_the_download_endpoint(
    kind: str, ready: Any, place: Destination
) -> None:
    """Signed addresses expire."""
    backend, studio, session, _ = await ready()
    backend.fault(kind, "files", count=None)
    video = await studio.export(session, place)

    assert video.path.is_file()
    assert backend.sent("download") == 1


@pytest.mark.parametrize("at", [1, 500, 2000])
async def test_a_download_that_breaks_goes_on(at: int, ready: Any, place: Destination) -> None:
    """Byte for byte the same file."""
    backend, studio, session, _ = await ready()
    backend.fault("close_at", "files", at=at)
    video = await studio.export(session, place)
    (place.folder / "film_00001_.mp4").rename(place.folder / "first.mp4")
    again = await studio.export(session, place)

    assert video.sha256 == again.sha256
    assert left_behind(place) == ["film_00001_.mp4", "first.mp4"]


async def test_a_damaged_video_is_rendered_once_more_and_never_delivered(ready: Any, place: Destination) -> None:
    """Size and decodability are checked before the file appears."""
    backend, studio, session, _ = await ready("damaged")
    video = await studio.export(session, place)
    assert len(backend.ledger.renders) == 2
    assert left_behind(place) == [video.path.name]


async def test_a_video_that_stays_damaged_is_told(ready: Any, place: Destination) -> None:
    """Nothing half-written is left behind."""
    _, studio, session, _ = await ready("damaged", "damaged")
    with pytest.raises(RenderFailed, match="damaged"):
        await studio.export(session, place)
    assert left_behind(place) == []


async def test_a_full_disk_is_told_and_leaves_nothing(
    ready: Any, place: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 6; with room again, the finished render is fetched, not made again."""
    _, studio, session, renderer = await ready()

    def full(*_: Any) -> None:
        raise disk_error(OSError(28, "No space left on device"), place.folder)

    with monkeypatch.context() as patched:
        patched.setattr("nemo_client._wire.download._write_chunk", full)
        with pytest.raises(DiskError, match="disk is full") as caught:
            await studio.export(session, place)
    assert caught.value.exit_code == 6
    assert left_behind(place) == []

    assert (await studio.export(session, place)).path.is_file()
    assert renderer.started == 1


def told(**body: Any) -> dict[str, Any]:
    """The parameters of a fault that answers this, with HTTP 200."""
    return {"body": json.dumps(body), "status": 200}


@pytest.mark.parametrize("beside", [{"progress": 100}, {"progress": 40}, {}, {"progress": 1.0}], ids=str)
async def test_a_status_that_is_not_known_is_told_and_not_polled_without_end(
    beside: Any, ready: Any, place: Destination
) -> None:
    """Looked at again for two minutes, with its word and never as 100 %; nothing is rendered a second time."""
    backend, studio, session, renderer = await ready()
    backend.clock.real = 0.0
    backend.fault("answer", "render-status", count=None, **told(status="Compositing_2", **beside))
    seen, began = Seen(), backend.clock.now
    with pytest.raises(BadAnswer, match=r"ended with 'Compositing_2'.*Run again"):
        await studio.export(session, place, caller=Caller(seen))

    assert 100 <= backend.clock.now - began < 300
    assert renderer.started == backend.sent("render") == 1
    lines = [report.text("en") for report in seen.reports if report.stage == "render" and report.elapsed]
    assert all("Compositing 2" in line and "100%" not in line for line in lines if line)
    backend.faults.clear()
    await studio.export(session, place)
    assert renderer.started == 1


async def test_a_status_that_is_not_known_is_looked_at_again(ready: Any, place: Destination) -> None:
    """It may be a stage that this version has no name for."""
    backend, studio, session, renderer = await ready()
    for number in range(8):
        backend.fault("answer", "render-status", nth=1 + number, **told(status="stitching-3", progress=10 * number))
    await studio.export(session, place)

    assert renderer.started == 1


@pytest.mark.parametrize("late", [1, 5])
async def test_a_render_that_is_not_known_in_its_first_seconds_is_followed(
    late: int, ready: Any, place: Destination
) -> None:
    """404 is not its end yet."""
    backend, studio, session, renderer = await ready("slow")
    backend.fault("answer", "render-status", count=late, status=404, code=404, message="no such render")
    task = asyncio.ensure_future(studio.export(session, place))
    await until(lambda: backend.sent("render-status") > late)
    renderer.free.set()
    await task

    assert renderer.started == backend.sent("render") == 1


async def test_a_render_with_an_id_of_the_backends_own_is_followed(ready: Any, place: Destination) -> None:
    """Under that id, and where that is not known, under ours."""
    backend, studio, session, renderer = await ready()
    accepted = {"success": True, "data": {"id": "job-77", "status": "pending"}}
    backend.fault("answer", "render", accepted=True, **told(**accepted))
    await studio.export(session, place)

    asked = [call["path"].rsplit("/", 1)[-1] for call in backend.backend.calls if call["endpoint"] == "render-status"]
    assert asked[0] == "job-77"
    assert asked[-1] == backend.ledger.renders[0]["id"]
    assert renderer.started == 1


async def test_a_render_is_followed_to_its_end_under_the_backends_own_id(ready: Any, place: Destination) -> None:
    """The backend gave it an id of its own, and knows it under that one: looked at and fetched by it."""
    backend, studio, session, renderer = await ready("slow")
    accepted = {"success": True, "data": {"id": "job-77", "status": "pending"}}
    backend.fault("answer", "render", accepted=True, **told(**accepted))
    backend.fault("answer", "render-status", count=None, **told(success=True, data={"status": "processing"}))
    backend.clock.real = 0.05  # half an hour of looks takes longer than the renderer needs to begin
    task = asyncio.ensure_future(studio.export(session, place))
    await until(lambda: renderer.started)
    (ours,) = (each for each in backend.directory.glob("jobs/*") if each.is_dir())
    theirs = ours.with_name(hashlib.sha256(b"job-77").hexdigest()[:32])
    await asyncio.to_thread(theirs.symlink_to, ours)
    backend.faults.clear()
    renderer.free.set()
    video = await task

    asked = [call["path"].rsplit("/", 1)[-1] for call in backend.backend.calls if call["endpoint"] == "render-status"]
    assert set(asked) == {"job-77"}
    assert video.path.is_file()
    assert backend.sent("render") == 1


async def test_a_rate_limit_on_a_look_only_slows_it(ready: Any, place: Destination) -> None:
    """The render goes on."""
    backend, studio, session, renderer = await ready()
    backend.fault("http_429", "render-status", count=6, retry_after=3)
    await studio.export(session, place)

    assert renderer.started == backend.sent("render") == 1


async def test_one_401_on_a_look_is_asked_once_more(ready: Any, place: Destination) -> None:
    """In the middle of a job."""
    backend, studio, session, renderer = await ready()
    backend.fault("answer", "render-status", status=401, code=1001)
    await studio.export(session, place)

    assert renderer.started == backend.sent("render") == 1


@pytest.mark.parametrize(
    ("kind", "count", "rest"),
    [("refuse", 2, {}), ("close_before_headers", 3, {"accepted": False}), ("http_503", 6, {}), ("html_502", 5, {}),
     ("answer", 5, {"status": 529, "code": 529}), ("http_429", 1, {"retry_after": 0})],
)  # fmt: skip
async def test_a_submission_is_repeated_while_the_backend_is_away(
    kind: str, count: int, rest: Any, ready: Any, place: Destination
) -> None:
    """Asked for under its id first, then once more under a new one, for half a minute."""
    backend, studio, session, renderer = await ready()
    backend.fault(kind, "render", count=count, **rest)
    await studio.export(session, place)

    assert renderer.started == len(backend.ledger.renders) == 1
    assert backend.sent("render") == count + 1


async def test_a_repeated_id_is_asked_for(ready: Any, place: Destination) -> None:
    """409 can be the answer to what was accepted unheard before."""
    backend, studio, session, renderer = await ready()
    backend.fault("answer", "render", accepted=True, status=409, code=409, message="This id is already used")
    await studio.export(session, place)

    assert renderer.started == backend.sent("render") == 1


@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "error": "no clip at 3 s"},
        {"success": False, "data": {"status": "FAILED"}, "error": {"message": "no clip at 3 s"}},
        {"data": {"status": None, "error": "no clip at 3 s"}},
        {"data": {"state": "RenderStatus.EXPIRED", "message": "no clip at 3 s"}},
    ],
)
async def test_a_failure_is_told_in_every_form(body: Any, ready: Any, place: Destination) -> None:
    """With its reason, after the second render that failed."""
    backend, studio, session, renderer = await ready("slow", "slow")
    renderer.free.set()
    backend.fault("answer", "render-status", count=None, **told(**body))
    with pytest.raises(RenderFailed, match="no clip at 3 s"):
        await studio.export(session, place)

    assert backend.sent("render") == 2


# --- The file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404, 425])
async def test_storage_that_shows_the_file_some_seconds_late_is_asked_again(
    status: int, ready: Any, place: Destination
) -> None:
    """Nothing else is needed for it."""
    backend, studio, session, renderer = await ready()
    backend.fault("answer", "files", count=2, status=status, code=status)
    await studio.export(session, place)

    assert (renderer.started, backend.sent("files")) == (1, 3)


async def test_both_ways_are_tried_for_half_a_minute_before_anything_is_rendered_again(
    ready: Any, place: Destination
) -> None:
    """Storage and endpoint can both be late."""
    backend, studio, session, renderer = await ready()
    backend.fault("answer", "files", count=8, status=404, code=404)
    backend.fault("answer", "download", count=4, status=404, code=404)
    await studio.export(session, place)

    assert renderer.started == 1


PAGE = {"body": "<html>Sign in</html>", "status": 200}


@pytest.mark.parametrize(
    "instead",
    [
        {**PAGE, "content_type": "text/html"},
        {**PAGE, "content_type": "video/mp4"},
        {"body": "{}", "status": 200},
        {"body": "", "status": 200, "content_type": "video/mp4"},
        {"status": 402, "code": 402},
    ],
    ids=["a page", "a page that claims to be a video", "data", "nothing", "402"],
)
async def test_what_is_no_video_is_fetched_from_the_other_address(instead: Any, ready: Any, place: Destination) -> None:
    """The API's endpoint is asked next; nothing is rendered again."""
    backend, studio, session, renderer = await ready()
    backend.fault("answer", "files", count=None, **instead)
    video = await studio.export(session, place)

    assert (renderer.started, backend.sent("download")) == (1, 1)
    assert left_behind(place) == [video.path.name]


async def test_a_video_that_no_way_brings_names_the_address(ready: Any, place: Destination) -> None:
    """Host and path; rendered once more before that, for free."""
    backend, studio, session, renderer = await ready()
    backend.fault("answer", "files", count=None, status=404, code=404)
    backend.fault("answer", "download", count=None, status=404, code=404)
    with pytest.raises(RenderFailed, match=r"127\.0\.0\.1:\d+/\S+ .HTTP 404.*Nothing was charged"):
        await studio.export(session, place)

    assert renderer.started == 2


async def test_progress_is_the_renderers_own(ready: Any, place: Destination) -> None:
    """Percentages and an estimate, then the download's, then the check."""
    backend, studio, session, _ = await ready(render_seconds=3.0)
    backend.clock.real = 0.1
    seen = Seen()
    await studio.export(session, place, caller=Caller(seen))

    assert seen.stages == ["render", "download", "check"]
    fractions = [report.fraction for report in seen.reports if report.stage == "render" and report.fraction is not None]
    assert fractions == sorted(fractions)
    assert any(0 < fraction < 1 for fraction in fractions)


# --- Cancel ---------------------------------------------------------------------------------------------------------


async def exporting(
    studio: Studio, session: SessionHandle, place: Destination, renderer: Renderer, caller: Caller
) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(studio.export(session, place, caller=caller))
    await until(lambda: renderer.started)
    return task


async def test_a_users_cancel_reaches_the_render(ready: Any, place: Destination) -> None:
    """It is free to stop, and to begin again."""
    backend, studio, session, renderer = await ready("slow")
    caller = Caller()
    task = await exporting(studio, session, place, renderer, caller)
    caller.gave_up = True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    video = await studio.export(session, place)

    assert backend.sent("render-cancel") == renderer.cancelled == 1
    assert video.render_id == backend.ledger.renders[1]["id"]
    assert left_behind(place) == [video.path.name]


async def test_a_cancel_is_sent_even_when_the_program_ends_at_once(ready: Any, place: Destination) -> None:
    """Ctrl-C, then the Studio closes."""
    backend, studio, session, renderer = await ready("slow")
    caller = Caller()
    task = await exporting(studio, session, place, renderer, caller)
    caller.gave_up = True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await studio.aclose()

    assert backend.sent("render-cancel") == 1


async def test_anything_but_the_users_cancel_leaves_the_render_alone(ready: Any, place: Destination) -> None:
    """A failed sibling detaches; the render goes on and is collected."""
    backend, studio, session, renderer = await ready("slow")
    task = await exporting(studio, session, place, renderer, Caller())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    renderer.free.set()
    video = await studio.export(session, place)

    assert backend.sent("render-cancel") == 0
    assert renderer.started == 1
    assert video.path.is_file()


async def test_closing_leaves_the_render_to_the_next_studio(ready: Any, place: Destination) -> None:
    """Its id was kept before its POST."""
    backend, studio, session, renderer = await ready("slow")
    task = await exporting(studio, session, place, renderer, Caller())
    await studio.aclose()
    await asyncio.gather(task, return_exceptions=True)
    assert backend.sent("render-cancel") == 0
    renderer.free.set()

    clock = Clock(real=0.05)
    async with await Studio.open("nemo", sleep=clock.sleep, clock=clock.time) as second:
        await second.export(session, place)
    assert renderer.started == 1


async def test_a_backend_that_does_not_answer_the_cancel_holds_nobody_up(ready: Any, place: Destination) -> None:
    """The node has returned long before."""
    backend, studio, session, renderer = await ready("slow")
    backend.fault("refuse", "render-cancel", count=None)
    caller = Caller()
    task = await exporting(studio, session, place, renderer, caller)
    caller.gave_up = True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await studio.aclose()

    assert backend.sent("render-cancel") >= 1

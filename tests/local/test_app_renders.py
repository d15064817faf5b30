"""Renders and files: jobs from submission to the last byte."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time

import av
import httpx
import pytest

from tests.local.plain_client import ATTRIBUTION, PLAIN
from tests.support.ledger import read_ledger
from tests.support.waiting import PATIENT_SECONDS, wait_until

ANIMATE = "turn this image into a 5-second animated video clip with smooth motion"
DRAFT = {"t": [{"tt": 0, "sg": [{"st": 0, "d": 1000, "m": {}}]}], "d": 1000, "m": {}}


@pytest.fixture
def made(api):
    """A session with a video in it, and its user."""
    session = api.ready()
    api.say(session, ANIMATE)
    return api, session


def test_a_render_goes_from_pending_to_a_file(made):
    """The file is what the renderer was asked for, with the draft as it was sent and only the session's files."""
    api, session = made
    draft = {**api.state(session)["draft"], "unknown": {"kept": True}}
    submitted = api.render(session, draft, "render_1", format="webm", quality="low", resolution="720p", fps=25).json()
    url = api.finished("render_1")["output"]["url"]
    rendered = json.loads(api.get(url).text)

    assert submitted["success"] is True
    assert (submitted["data"]["id"], submitted["data"]["status"]) == ("render_1", "pending")
    assert rendered["draft"] == draft
    assert rendered["assets"] == [api.state(session)["video_infos"][0]["id"]]
    assert {name: rendered[name] for name in ("format", "quality", "resolution", "fps")} == {
        "format": "webm",
        "quality": "low",
        "resolution": "720p",
        "fps": 25,
    }
    assert url.endswith(".webm")
    (entry,) = read_ledger(api.backend.directory).renders
    assert (entry["id"], entry["session"]) == ("render_1", session)


def test_the_status_has_both_documented_shapes(start, connect):
    """Bare with `output.url`, or below `data` with `outputUrl`; the progress ends at 100."""
    for shape in ("bare", "data"):
        api = connect(start(render_answers=shape))
        session = api.ready()
        api.say(session, ANIMATE)
        render = api.render(session).json()["data"]["id"]
        wait_until(lambda api=api, render=render: "completed" in json.dumps(api.status(render)))
        answer = api.status(render)

        if shape == "bare":
            assert (answer["status"], answer["progress"], "data" in answer) == ("completed", 100, False)
            assert answer["output"]["url"].startswith(api.backend.url + "/files/")
        else:
            assert (answer["success"], answer["data"]["status"], answer["data"]["progress"]) == (True, "completed", 100)
            assert answer["data"]["outputUrl"].startswith(api.backend.url + "/files/")


@pytest.mark.parametrize("missing", list(ATTRIBUTION))
def test_a_render_without_attribution_is_402(made, missing):
    """Each of the three headers is needed; nothing is rendered."""
    api, session = made
    draft = api.state(session)["draft"]
    del api.http.headers[missing]
    answer = api.render(session, draft)

    assert (answer.status_code, answer.json()["success"], answer.json()["code"]) == (402, False, 402)
    assert read_ledger(api.backend.directory).renders == ()


def test_a_repeated_id_is_refused(made):
    """One job an id, for ever."""
    api, session = made
    first, second = api.render(session, render="render_1"), api.render(session, render="render_1")

    assert (first.status_code, second.status_code, second.json()["success"]) == (200, 409, False)
    assert len(read_ledger(api.backend.directory).renders) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": "../x"},
        {"id": ""},
        {"id": "x" * 129},
        {"draft": None},
        {"draft": {}},
        {"draft": {"t": []}},
        {"draft": {"t": [{"tt": 0, "sg": []}]}},
        {"draft": {"t": "x"}},
        {"output": {"format": "exe"}},
        {"output": {"quality": "best"}},
        {"output": {"format": {"a": 1}}},
        {"output": {"resolution": 720}},
        {"output": {"fps": True}},
    ],
    ids=str,
)
def test_a_wrong_submission_is_400(made, change):
    """A missing or empty draft, an id that is a path, an output no one knows."""
    api, session = made
    body = {"id": "render_1", "sessionId": session, "draft": DRAFT, "output": {"format": "mp4", "quality": "high"}}
    answer = api.http.post("/api/render/proxy/lambda", json={**body, **change})

    assert (answer.status_code, answer.json()["success"]) == (400, False)
    assert answer.json()["error"]


def test_a_render_needs_its_session_in_camel_case(made):
    """`sessionId` is the one such field; without it the session is unknown."""
    api, session = made
    body = {"id": "render_1", "session_id": session, "draft": DRAFT, "output": {}}

    assert api.http.post("/api/render/proxy/lambda", json=body).json()["code"] == 1002


def test_nobody_elses_render_is_shown(start, connect):
    """404 for a job of another account, for its status, its cancel and its file."""
    backend = start(anonymous=True)
    mine = connect(backend)
    token = httpx.post(backend.url + "/api/auth/anonymous-token", headers={"X-Client-Id": "a"}, **PLAIN).json()["data"][
        "token"
    ]
    other = connect(backend, token)
    session = mine.ready()
    mine.say(session, ANIMATE)
    mine.finished(mine.render(session, render="render_1").json()["data"]["id"])

    for path in ("lambda/render_1", "render_1/download", "lambda/nothing", "lambda/..%2Fx"):
        assert other.http.get(f"/api/render/proxy/{path}").status_code == 404
    assert other.http.post("/api/render/proxy/lambda/render_1/cancel").status_code == 404
    assert other.render(session, DRAFT).json()["code"] == 1002


class Refusal(Exception):
    reason = "The draft names a picture that is not there"


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (Refusal(), "The draft names a picture that is not there"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "The video could not be written: No space left on device"),
        (ZeroDivisionError("secret detail"), "The renderer failed (ZeroDivisionError)"),
    ],
    ids=["reason", "disk", "bug"],
)
def test_a_failing_renderer_fails_its_job(start, connect, problem, words):
    """With words for people; nothing is left of the file, and the next render works."""

    def fail(draft, assets, target, **options):
        target.write_bytes(b"half")
        if draft["d"] == 1000:
            raise problem

    api = connect(start(renderer=fail))
    session = api.session()
    failed = api.finished(api.render(session, DRAFT).json()["data"]["id"])
    assert (failed["status"], failed["error"]) == ("failed", words)
    assert list((api.backend.directory / "renders").iterdir()) == []
    assert api.http.get(f"/api/render/proxy/{failed['id']}/download").status_code == 409

    assert api.finished(api.render(session, {**DRAFT, "d": 2000}).json()["data"]["id"])["status"] == "completed"


def slow(draft, assets, target, *, progress, cancelled, **options):
    for step in range(1000):
        if cancelled():
            return
        progress(step / 1000)
        time.sleep(0.005)
    target.write_bytes(b"done")


def test_a_cancel_stops_the_renderer(start, connect):
    """At once for the asker, and within moments for the thread, which takes the next job."""
    api = connect(start(renderer=slow, threads=1))
    session = api.session()
    first, second = (api.render(session, DRAFT).json()["data"]["id"] for _ in range(2))
    wait_until(lambda: api.status(first)["progress"] > 2)
    assert api.status(second)["status"] == "pending"
    cancelled = api.http.post(f"/api/render/proxy/lambda/{first}/cancel").json()
    wait_until(lambda: api.status(second)["status"] == "processing")
    api.http.post(f"/api/render/proxy/lambda/{second}/cancel")

    assert (cancelled["success"], cancelled["data"]["status"]) == (True, "failed")
    assert api.status(first)["error"] == api.status(second)["error"] == "The render was cancelled"
    wait_until(lambda: not list((api.backend.directory / "renders").iterdir()))


def test_a_job_whose_folder_is_gone_costs_no_other_one(start, connect):
    """Someone tidies the home directory while a video is drawn: the thread takes the next job."""
    drawing, gone = threading.Event(), threading.Event()

    def draw(draft, assets, target, **options):
        drawing.set()
        gone.wait(PATIENT_SECONDS)
        target.write_bytes(b"done")

    api = connect(start(renderer=draw, threads=1))
    session = api.session()
    api.render(session, DRAFT)
    drawing.wait(PATIENT_SECONDS)
    for folder in (api.backend.directory / "jobs").iterdir():
        shutil.rmtree(folder)
    gone.set()

    assert api.finished(api.render(session, DRAFT).json()["data"]["id"])["status"] == "completed"


def test_a_job_that_waits_can_be_cancelled(start, connect):
    """It is never begun."""
    api = connect(start(renderer=slow, threads=1))
    session = api.session()
    api.render(session, DRAFT)
    waiting = api.render(session, DRAFT).json()["data"]["id"]

    assert api.http.post(f"/api/render/proxy/lambda/{waiting}/cancel").json()["data"]["status"] == "failed"


def test_a_cancel_after_the_end_changes_nothing(made):
    """A completed render stays completed."""
    api, session = made
    render = api.render(session).json()["data"]["id"]
    api.finished(render)

    assert api.http.post(f"/api/render/proxy/lambda/{render}/cancel").json()["data"]["status"] == "completed"
    assert api.status(render)["status"] == "completed"


def test_renders_run_side_by_side(start, connect):
    """As many as there are threads."""
    api = connect(start(renderer=slow, threads=2))
    session = api.session()
    renders = [api.render(session, DRAFT).json()["data"]["id"] for _ in range(3)]

    wait_until(lambda: [api.status(render)["status"] for render in renders] == ["processing", "processing", "pending"])


@pytest.mark.parametrize(
    ("shape", "seen"),
    [("linear", range(100)), ("stepped", (0, 25, 50, 75, 99)), ("stuck_at_99", range(100))],
)
def test_progress_has_the_shape_that_is_asked_for(start, connect, shape, seen):
    """Never falls, and 100 only when the file is there."""
    api = connect(start(render_seconds=0.4, render_progress=shape))
    session = api.session()
    render = api.render(session, DRAFT).json()["data"]["id"]
    shown = []
    while (answer := api.status(render))["status"] != "completed":
        shown.append(answer["progress"])

    assert shown == sorted(shown)
    assert set(shown) <= set(seen)
    if shape == "stuck_at_99":
        assert shown.count(99) > len(shown) / 4
    assert answer["progress"] == 100


@pytest.mark.drawn
def test_the_built_in_renderer_makes_a_video(start, connect, tmp_path):
    """From the words of a message to a file that decodes: size, length and sound as the draft says."""
    api = connect(start(renderer=None))
    session = api.ready((320, 180), (320, 180))
    api.say(session, "2 seconds, pan left, then zoom out, 16:9")
    answer = api.finished(api.render(session, resolution="480p", quality="low").json()["data"]["id"])
    (tmp_path / "out.mp4").write_bytes(api.get(answer["output"]["url"]).content)

    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (854, 480)
        assert stream.frames == 60
        assert len(container.streams.audio) == 1
    assert answer["progress"] == 100


def test_the_built_in_renderer_says_what_it_cannot_draw(start, connect):
    """A draft that names a file of no session fails with words."""
    api = connect(start(renderer=None))
    draft = {
        "t": [{"tt": 0, "sg": [{"st": 0, "d": 500, "m": {"asset": "../../key", "kind": "image"}}]}],
        "d": 500,
        "m": {},
    }
    answer = api.finished(api.render(api.session(), draft).json()["data"]["id"])

    assert answer["status"] == "failed"
    assert answer["error"]


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(made):
    """The address of a finished render, and its bytes."""
    api, session = made
    url = api.finished_file(session)
    return api, url, api.get(url).content


def test_the_download_endpoint_gives_the_same_file(file):
    """For when the address cannot be fetched; it asks for the token and names the file."""
    api, _, data = file
    render = api.backend.calls[-2]["path"].rpartition("/")[2]
    answer = api.http.get(f"/api/render/proxy/{render}/download")

    assert answer.content == data
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''project.mp4"


def test_an_address_cannot_be_guessed(file):
    """Another signature, another name or a path is 404."""
    api, url, _ = file
    name = url.rpartition("/")[2]
    signature = url.split("/")[-2]
    for path in (f"{'0' * 32}/{name}", f"{signature}/render-{'0' * 32}.mp4", f"{signature}/..%2F..%2Fkey", f"x/{name}"):
        assert api.get(f"{api.backend.url}/files/{path}").status_code == 404


def test_an_address_survives_a_restart(start, file):
    """Any backend on the directory serves it."""
    api, url, data = file
    path = url[len(api.backend.url) :]
    api.backend.close()

    assert api.get(start().url + path).content == data


def test_a_file_is_sent_in_ranges(file):
    """206 with the bytes asked for, from the front, the middle or the end; 416 beyond the end."""
    api, url, data = file
    whole = api.get(url)
    size = len(data)

    assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
    for asked, part in (("0-9", data[:10]), (f"{size - 5}-", data[-5:]), ("-7", data[-7:]), ("5-999999", data[5:])):
        answer = api.get(url, Range=f"bytes={asked}")
        assert (answer.status_code, answer.content) == (206, part)
        assert answer.headers["content-range"].endswith(f"/{size}")
    for asked in (f"{size}-", "9-5", "x"):
        answer = api.get(url, Range=f"bytes={asked}")
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize(("matches", "status"), [(True, 206), (False, 200)])
def test_a_range_holds_only_for_the_same_file(file, matches, status):
    """If-Range with its strong validator or its date continues; with another it starts over."""
    api, url, data = file
    headers = api.get(url).headers
    for validator in (headers["etag"], headers["last-modified"]):
        other = '"other"' if validator.startswith('"') else "Mon, 01 Jan 2001 00:00:00 GMT"
        answer = api.get(url, Range="bytes=5-", **{"If-Range": validator if matches else other})

        assert (answer.status_code, answer.content) == (status, data[5:] if matches else data)


def test_a_head_request_tells_the_size(file):
    """The headers of a GET, and no body."""
    _, url, data = file
    answer = httpx.head(url, **PLAIN)

    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(len(data)), b"")


def test_a_file_that_was_removed_is_410(file):
    """Not a broken connection."""
    api, url, _ = file
    for path in (api.backend.directory / "renders").iterdir():
        path.unlink()

    assert api.get(url).status_code == 410

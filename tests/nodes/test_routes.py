"""The /nemo routes, over a real server on a loopback socket: what they answer, refuse, start and never tell."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from PIL import Image

from nemo_client import Budget, Caller, Destination, LimitError, NemoError, Output, RenderFailed, Wish, home, list_jobs
from nemo_client._journal.steps import Event
from tests.nodes._host import Host
from tests.support import backend, journal_jobs
from tests.support.backend import Cloud
from tests.support.timings import Shorten
from tests.support.waiting import PATIENT_SECONDS, wait_until_async

SECRET = "nmv_usr_routes12"
cloud = backend.cloud


@dataclass
class Site:
    """ComfyUI's server with the pack's routes, and a browser that speaks to it."""

    browser: httpx.AsyncClient
    routes: Any
    run: Any
    answers: list[str] = field(default_factory=list)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        answer = await self.browser.request(method, path, **options)
        self.answers.append(answer.text)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"].startswith("application/json")
        return answer.status_code, answer.json()

    async def get(self, path: str) -> Any:
        status, data = await self.ask("GET", path)
        assert status == 200, data
        return data

    async def post(self, path: str, **body: Any) -> Any:
        status, data = await self.ask("POST", path, json=body)
        assert status == 200, data
        return data

    async def refused(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Status and id of an error, which is worded as the contract has it."""
        status, data = await self.ask(method, path, **options)
        assert set(data) == {"error", "hint", "id", "charged"}
        assert data["error"]
        assert "\n" not in data["error"] + data["hint"]
        return status, data["id"]

    async def network(self, work: Callable[[Any], Awaitable[Any]], profile: str = "nemo") -> Any:
        """Do `work` with the profile's Studio, as a node would."""

        async def there() -> Any:
            return await work(await self.run.get_network().studio(profile))

        return await asyncio.wrap_future(self.run.get_network().submit(there()))

    async def job(self, wanted: str = "") -> Any:
        jobs = (await self.get("/nemo/jobs"))["jobs"]
        return next(job for job in jobs if not wanted or job["id"] == wanted)

    async def until(self, happened: Callable[[Any], object]) -> Any:
        """The newest job, once it is as expected."""
        deadline = time.monotonic() + PATIENT_SECONDS
        while not happened(job := await self.job()):
            assert time.monotonic() < deadline, job
            await asyncio.sleep(0.05)
        return job


@pytest.fixture(autouse=True)
def _quick(shorten: Shorten) -> None:
    """The backend here is quiet at once."""
    shorten(studio={"quiet": 0.02})


@pytest.fixture
async def site(pack: Any, host: Host) -> AsyncIterator[Site]:
    """The routes as ComfyUI serves them: as they are, and again below /api."""
    modules = {
        name: sys.modules[f"{pack.__name__}.nodes.{name}"]
        for name in ("_panel.routes", "_panel.register", "_comfy.run")
    }
    modules["_panel.register"].register()
    app = web.Application(client_max_size=100 * 2**20)
    app.add_routes(host.routes)
    app.add_routes([web.route(each.method, f"/api{each.path}", each.handler) for each in host.routes])
    runner = web.AppRunner(app)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    port = runner.addresses[0][1]
    address, headers = f"http://127.0.0.1:{port}", {"X-NemoVideo": "1"}
    async with httpx.AsyncClient(
        base_url=address, headers=headers, trust_env=False, timeout=PATIENT_SECONDS
    ) as browser:
        yield Site(browser, modules["_panel.routes"], modules["_comfy.run"])
    await runner.cleanup()


async def generate(site: Site, seed: int = 0, profile: str = "nemo", prompt: str = "slow push-in") -> Any:
    """A generated, undelivered video."""

    async def work(studio: Any) -> Any:
        return await studio.generate(await studio.upload([backend.picture()]), Wish(prompt, seed=seed))

    return await site.network(work, profile)


# --- Who may ask, and how ---------------------------------------------------------------------------------------------


def test_without_comfyui_nothing_is_registered(pack: Any) -> None:
    """The pack loads in tests and scripts as well."""
    assert "server" not in sys.modules
    assert sys.modules[f"{pack.__name__}.nodes._panel.register"].register() is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"content": b'{"name": "nemo"}'}, (415, "body-not-json"), id="no type"),
        pytest.param({"data": {"name": "nemo"}}, (415, "body-not-json"), id="a form"),
        pytest.param({"text": '{"name": "nemo"}'}, (415, "body-not-json"), id="plain text"),
        pytest.param({"raw": b""}, (415, "body-not-json"), id="nothing"),
        pytest.param({"raw": b"{"}, (415, "body-not-json"), id="cut"),
        pytest.param({"raw": b"[]"}, (415, "body-not-json"), id="a list"),
        pytest.param({"raw": b"\xff\xfe\x00"}, (415, "body-not-json"), id="bytes"),
        pytest.param({"raw": b"[" * 60000}, (415, "body-not-json"), id="a deep nest"),
        pytest.param({"raw": b" " * 70000}, (413, "body-too-large"), id="too large"),
        pytest.param({"raw": b"{}"}, (400, "value"), id="no name"),
        pytest.param({"raw": b'{"name": 7}'}, (400, "value"), id="a number"),
        pytest.param({"raw": b'{"name": "nope"}'}, (404, "profile-unknown"), id="unknown"),
        pytest.param({"raw": b'{"name": "\\ud800"}'}, (404, "profile-unknown"), id="half a character"),
    ],
)
async def test_odd_bodies_are_refused_in_json(options: dict[str, Any], expected: tuple[int, str], site: Site) -> None:
    """With what was wrong and what to do."""
    if "text" in options:
        options = {"content": options["text"], "headers": {"Content-Type": "text/plain"}}
    if "raw" in options:
        options = {"content": options["raw"], "headers": {"Content-Type": "application/json; charset=utf-8"}}

    assert await site.refused("POST", "/api/nemo/profiles/default", **options) == expected


async def test_a_body_without_end_is_not_read_to_its_end(site: Site) -> None:
    """ComfyUI allows uploads of 100 MB and more; here 64 KiB are enough."""

    head = (
        "POST /nemo/credits HTTP/1.1\r\nHost: localhost\r\nX-NemoVideo: 1\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", site.browser.base_url.port)
    writer.write(head.encode() + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 17)
    answer = await asyncio.wait_for(reader.readuntil(b"}"), 5)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body-too-large" in answer


@pytest.mark.parametrize("lang", ["zh", "zh-TW"])
async def test_errors_are_told_in_the_language_of_the_page(lang: str, site: Site) -> None:
    """Chinese for all of `zh`, English for all others."""
    _, chinese = await site.ask("GET", f"/nemo/jobs/0badc0de/picture?lang={lang}")
    _, english = await site.ask("GET", "/nemo/jobs/0badc0de/picture?lang=fr")

    assert english == {
        "error": "There is no job '0badc0de'.", "hint": "Look for it in NemoVideo → Jobs.",
        "id": "job-unknown", "charged": "no",
    }  # fmt: skip
    assert not chinese["error"].isascii()


async def test_what_nobody_expected_is_one_line_without_secrets(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500, no traceback in the answer; the log has it, redacted."""

    async def broken(*_: Any) -> Any:
        raise RuntimeError(f"token {SECRET} at https://mine.test/x?sig=1")

    monkeypatch.setattr(site.routes.board, "jobs", broken)

    assert await site.refused("GET", "/nemo/jobs") == (500, "unexpected")
    assert "Traceback" in caplog.text
    assert SECRET not in caplog.text + "".join(site.answers)
    assert "sig=1" not in caplog.text + "".join(site.answers)


# --- Profiles ---------------------------------------------------------------------------------------------------------


async def test_profiles_are_listed_without_touching_anything(site: Site) -> None:
    """GET never acts: no one signs up for it, and nothing is set up."""
    data = await site.get("/nemo/profiles")
    assert await site.get("/api/nemo/jobs") == {"jobs": [], "now": pytest.approx(time.time(), abs=60)}

    assert data["default"] == "local preview"
    assert data["profiles"][0] == {
        "name": "nemo", "builtin": True, "free": False, "address": "https://mega-api-prod.nemovideo.ai",
        "account": "new", "source": "none", "ending": "", "expires": None, "run_limit": 0, "day_limit": 0,
        "token_env": "NEMO_TOKEN", "problem": "",
    }  # fmt: skip
    assert not any((home() / name).exists() for name in ("profiles.json", "credentials.json", "client_id", "local"))


async def test_a_profile_is_made_chosen_and_deleted(site: Site) -> None:
    """Each answer is the whole list again."""
    data = await site.post("/nemo/profiles/save", name="mine", address="https://mine.test", day_limit=300)
    assert [each["name"] for each in data["profiles"]] == ["nemo", "local preview", "mine"]
    assert (await site.post("/nemo/profiles/default", name="mine"))["default"] == "mine"

    data = await site.post("/nemo/profiles/delete", name="mine")

    assert (data["default"], len(data["profiles"])) == ("local preview", 2)
    assert await site.refused("POST", "/nemo/profiles/delete", json={"name": "nemo"}) == (400, "profile-built-in")


async def test_a_profile_whose_free_account_holds_something_is_deleted_after_a_yes(
    site: Site, cloud: Callable[..., Cloud]
) -> None:
    """The first answer names what goes with it; nothing has changed by then."""
    made = cloud(anonymous=True)
    await site.post("/nemo/profiles/save", name="mine", address=made.backend.url)
    held = (await site.post("/nemo/credits", profile="mine"))["available"]
    status, told = await site.ask("POST", "/nemo/profiles/delete", json={"name": "mine"})
    before = (await site.get("/nemo/profiles"))["profiles"]
    after = (await site.post("/nemo/profiles/delete", name="mine", force=True))["profiles"]

    assert (status, told["id"]) == (409, "token-gives-up")
    assert f"{held:g} credits" in told["error"] + told["hint"]
    assert [each["name"] for each in before][2:] == ["mine"]
    assert [each["name"] for each in after][2:] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"run_limit": -1},
        {"run_limit": True},
        {"day_limit": "5"},
        {"day_limit": 1.5},
        {"address": 7},
        {"name": "b", "address": "https://\ud800.test"},
    ],
    ids=str,
)
async def test_odd_values_are_refused(changes: dict[str, Any], site: Site) -> None:
    """Before anything is written."""
    body = json.dumps({"name": "nemo", **changes})
    headers = {"Content-Type": "application/json"}
    refused = await site.refused("POST", "/nemo/profiles/save", content=body, headers=headers)
    assert refused == (400, "value")
    assert not (home() / "profiles.json").exists()


async def test_a_pasted_token_cannot_be_read_back(
    site: Site, cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Stored for the profile's origin, shown as its last four characters; in no answer and no log."""
    caplog.set_level(0)
    cloud(token=SECRET)
    monkeypatch.delenv("NEMO_TOKEN")
    data = await site.post("/nemo/profiles/token", name="nemo", token=f' "{SECRET}" ')
    assert (data["profiles"][0]["ending"], data["profiles"][0]["source"]) == ("es12", "file")
    assert SECRET in (home() / "credentials.json").read_text(encoding="utf-8")
    for token in (f"{SECRET} x", "x" * 5000, 7, None, f"{SECRET}\u0000"):
        body = {"name": "nemo", "token": token}
        assert await site.refused("POST", "/nemo/profiles/token", json=body) == (400, "token-odd")

    data = await site.post("/nemo/profiles/token", name="nemo", token="")

    assert data["profiles"][0]["source"] == "none"
    assert SECRET not in "".join(site.answers) + caplog.text


async def test_a_token_beside_one_of_the_environment_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have no effect."""
    monkeypatch.setenv("NEMO_TOKEN", "nmv_usr_environ")

    body = {"name": "nemo", "token": SECRET}
    assert await site.refused("POST", "/nemo/profiles/token", json=body) == (400, "login-variable")


async def test_a_home_that_browsers_can_read_takes_no_token(
    site: Site, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing private is written into a folder that ComfyUI serves."""
    monkeypatch.setenv("NEMO_HOME", f"{host.folder('output')}/home")

    body = {"name": "nemo", "token": SECRET}
    assert await site.refused("POST", "/nemo/profiles/token", json=body) == (500, "home-served")


async def test_a_pasted_token_counts_at_once(site: Site, cloud: Callable[..., Cloud]) -> None:
    """A Studio that is open goes on with it; the credits of the free account before are named and asked about."""
    made = cloud(anonymous=True)
    before = await site.post("/nemo/credits", profile="nemo")
    body = {"name": "nemo", "token": made.backend.token}
    refused = await site.refused("POST", "/nemo/profiles/token", json=body)
    asked = site.answers[-1]
    await site.post("/nemo/profiles/token", **body, force=True)
    after = await site.post("/nemo/credits", profile="nemo")

    assert (before["available"], before["register"].startswith("https://web.test/register?bind=anon")) == (100, True)
    assert refused == (409, "token-gives-up")
    assert "100 credits" in asked
    assert (after["available"], after["register"]) == (1000, "")


async def test_a_free_account_with_open_work_is_given_up_only_on_the_user_s_word(
    site: Site, cloud: Callable[..., Cloud]
) -> None:
    """What it made could never be fetched again: its job is named, also where its token is only removed."""
    made = cloud(anonymous=True)
    await generate(site)
    job = (await site.job())["id"]
    own = made.backend.token

    for token in (own, ""):
        body = {"name": "nemo", "token": token}
        assert await site.refused("POST", "/nemo/profiles/token", json=body) == (409, "token-gives-up")
        assert job in site.answers[-1]
    data = await site.post("/nemo/profiles/token", name="nemo", token=own, force=True)

    assert data["profiles"][0]["account"] == "registered"


def stored() -> Any:
    return json.loads((home() / "credentials.json").read_text(encoding="utf-8"))["tokens"]["nemo"]


@pytest.mark.parametrize("token", ["nonsense", "nmv_usr_wrong", "https://web.test/me"])
@pytest.mark.parametrize("force", [False, True])
async def test_a_token_that_does_not_work_replaces_nothing(
    token: str, force: bool, site: Site, cloud: Callable[..., Cloud]
) -> None:
    """It is tried out first, whatever is agreed to: a free account is had once a week."""
    cloud(anonymous=True)
    await site.post("/nemo/credits", profile="nemo")
    before = stored()

    body = {"name": "nemo", "token": token, "force": force}
    refused = await site.refused("POST", "/nemo/profiles/token", json=body)

    assert refused == (400, "login-refused")
    assert stored() == before
    assert (await site.post("/nemo/credits", profile="nemo"))["available"] == 100


@pytest.mark.parametrize(
    "trouble",
    [
        {"kind": "answer", "status": 503, "code": 5000, "message": "away"},
        {"kind": "refuse"},
        {"kind": "answer", "body": "<html>Log in to the network</html>", "content_type": "text/html"},
        {"kind": "answer", "status": 429, "code": 429, "message": "slowly"},
    ],
    ids=["a server in trouble", "a broken connection", "a network's log-in page", "Too many requests"],
)
async def test_a_token_that_cannot_be_tried_out_replaces_nothing(
    trouble: dict[str, Any], site: Site, cloud: Callable[..., Cloud], shorten: Shorten
) -> None:
    """The stored one stays until the new one has worked; the reason is told."""
    shorten(studio={"token_check": 0.5})  # a person's patience
    made = cloud(anonymous=True)
    await site.post("/nemo/credits", profile="nemo")
    before = stored()
    made.fault(**{"endpoint": "credits", "count": None, **trouble})

    body = {"name": "nemo", "token": made.backend.token, "force": True}
    refused = await site.refused("POST", "/nemo/profiles/token", json=body)

    assert refused == (502, "token-untried")
    assert stored() == before


async def test_the_free_account_s_own_token_pasted_again_changes_nothing(
    site: Site, cloud: Callable[..., Cloud]
) -> None:
    """Nothing is lost by it, so nothing is asked; it stays a free account with the day it ends."""
    cloud(anonymous=True)
    await site.post("/nemo/credits", profile="nemo")
    before = stored()

    await site.post("/nemo/profiles/token", name="nemo", token=before["token"])

    assert stored() == before


async def test_saved_limits_hold_for_the_next_message(site: Site, cloud: Callable[..., Cloud]) -> None:
    """Without a restart, against any workflow."""
    made = cloud()
    await generate(site)
    await site.post("/nemo/profiles/save", name="nemo", day_limit=150)

    with pytest.raises(LimitError) as caught:
        await generate(site, seed=1)
    await site.post("/nemo/profiles/save", name="nemo", day_limit=0)
    await generate(site, seed=1)

    assert caught.value.facts["limit_name"] == "day_limit"
    assert len(made.ledger.messages) == 2


# --- Jobs -------------------------------------------------------------------------------------------------------------


async def test_a_job_shows_and_is_collected_without_paying_again(
    site: Site, host: Host, cloud: Callable[..., Cloud]
) -> None:
    """Made but not delivered; resumed, it lands in ComfyUI's output folder, and browsers are told."""
    made = cloud()
    await generate(site)
    job = await site.job()
    assert job == {
        **job, "kind": "generate", "state": "done", "profile": "nemo", "prompt": "slow push-in", "spent": 100,
        "error": "", "delivered": False, "unfinished": True, "video": None, "path": "", "picture": True,
        "running": None, "resumable": True, "page": True,
    }  # fmt: skip

    started = (await site.post(f"/nemo/jobs/{job['id']}/resume"))["job"]
    done = await site.until(lambda job: job["delivered"] and not job["running"])

    assert started["running"]["text"]
    assert set(started["running"]) == {"text", "fraction", "elapsed", "left"}
    assert done["video"] == {"filename": "NemoVideo_00001_.mp4", "subfolder": "video", "type": "output"}
    assert Path(done["path"]).is_file()  # noqa: ASYNC240 - a look at one file
    assert (done["error"], done["unfinished"], done["resumable"]) == ("", False, False)
    assert len(made.ledger.messages) == 1
    await backend.until(lambda: ("nemo.jobs", {}, None) in host.events)


async def test_a_job_whose_file_is_gone_is_delivered_again(site: Site, cloud: Callable[..., Cloud]) -> None:
    """For free; until then there is nothing to show."""
    cloud()
    await generate(site)
    wanted = (await site.job())["id"]
    await site.post(f"/nemo/jobs/{wanted}/resume")
    os.unlink((await site.until(lambda job: job["delivered"] and not job["running"]))["path"])

    gone = await site.job()
    await site.post(f"/nemo/jobs/{wanted}/resume")

    assert (gone["video"], gone["path"], gone["resumable"]) == (None, "", True)
    again = (await site.until(lambda job: job["path"] and not job["running"]))["video"]
    assert again["filename"].startswith("NemoVideo_")


async def test_the_picture_of_a_job_is_small(site: Site, cloud: Callable[..., Cloud]) -> None:
    """The upload behind it as a JPEG of at most 160 pixels; gone with the upload."""
    cloud()

    async def work(studio: Any) -> Any:
        return await studio.generate(await studio.upload([backend.picture(height=400, width=300)]), Wish("a"))

    await site.network(work)
    wanted = (await site.job())["id"]

    url = (await site.get(f"/nemo/jobs/{wanted}/picture"))["image"]
    with Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,")))) as image:
        assert (image.format, image.size) == ("JPEG", (120, 160))
    (kept,) = (home() / "uploads").iterdir()
    kept.write_bytes(b"no picture")
    site.routes.board._thumbnails.clear()
    assert await site.refused("GET", f"/nemo/jobs/{wanted}/picture") == (404, "picture-none")
    kept.unlink()
    assert (await site.job())["picture"] is False
    assert await site.refused("GET", f"/nemo/jobs/{wanted}/picture") == (404, "picture-none")


async def test_what_stopped_a_resume_shows_at_the_job(site: Site, cloud: Callable[..., Cloud]) -> None:
    """In the language that is asked for, until it is tried again."""
    made = cloud()
    await generate(site)
    made.fault("answer", "render", count=None, status=402, code=402, message="no")
    wanted = (await site.job())["id"]

    await site.post(f"/nemo/jobs/{wanted}/resume")
    failed = await site.until(lambda job: job["error"])
    chinese = (await site.get("/nemo/jobs?lang=zh-CN"))["jobs"][0]
    made.faults.clear()
    await site.post(f"/nemo/jobs/{wanted}/resume")

    assert "unlock export" in failed["error"]
    assert (failed["running"], failed["resumable"]) == (None, True)
    assert not chinese["error"].isascii()
    assert (await site.until(lambda job: job["delivered"]))["error"] == ""


async def deliver(site: Site, host: Host, *, suffix: str = "mp4", **tags: str) -> Any:
    """A job whose video lies in ComfyUI's output folder, with these tags."""

    async def work(studio: Any) -> Any:
        folder = Path(host.folder("output"))
        place = Destination(folder / "video", "clip", tags=tags, root=folder)
        return await studio.animate([backend.picture(shade=250)], Wish("slow push-in"), place, Output(format=suffix))

    await site.network(work)
    return await site.job()


@pytest.mark.parametrize("suffix", ["mp4", "webm", "gif"])
async def test_the_picture_of_a_delivered_job_is_one_of_its_video(
    suffix: str, site: Site, host: Host, cloud: Callable[..., Cloud]
) -> None:
    """A third into it, where it is grey; where the file is gone, of the upload again, which is white."""
    cloud()
    job = await deliver(site, host, suffix=suffix)

    of_result = await picture_of(site, job["id"])
    os.unlink(job["path"])
    await site.job()
    of_upload = await picture_of(site, job["id"])

    assert max(of_result.size) <= 160
    assert 40 < shade_of(of_result) < 120
    assert shade_of(of_upload) > 230


async def picture_of(site: Site, wanted: str) -> Image.Image:
    url = (await site.get(f"/nemo/jobs/{wanted}/picture"))["image"]
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))


def shade_of(image: Image.Image) -> int:
    return image.convert("L").resize((1, 1)).getpixel((0, 0))  # type: ignore[return-value]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "webm", "mkv"])
async def test_the_workflow_of_a_delivered_video_is_read_from_its_file(
    suffix: str, site: Site, host: Host, cloud: Callable[..., Cloud]
) -> None:
    """As it was drawn and as it was sent, other tags not; of a job without a delivered file there is none."""
    cloud()
    sent, drawn = {"1": {"class_type": "NemoGenerateVideo", "inputs": {}}}, {"nodes": [{"id": 1}]}
    tags = {"prompt": json.dumps(sent), "workflow": json.dumps(drawn), "note": '["else"]'}
    job = await deliver(site, host, suffix=suffix, **tags)

    found = await site.get(f"/nemo/jobs/{job['id']}/workflow")
    os.unlink(job["path"])

    assert found == {"workflow": drawn, "prompt": sent}
    assert await site.refused("GET", f"/nemo/jobs/{job['id']}/workflow") == (404, "folder-none")
    assert await site.refused("GET", "/nemo/jobs/0badc0de/workflow") == (404, "job-unknown")


@pytest.mark.parametrize(
    ("suffix", "tags"),
    [("mp4", {}), ("gif", {"workflow": '{"nodes": []}'}), ("mp4", {"workflow": "[1]"}), ("mp4", {"workflow": "{"})],
    ids=["no metadata", "a format without tags", "a list", "damaged"],
)
async def test_a_video_without_a_workflow_is_told(
    suffix: str, tags: dict[str, str], site: Site, host: Host, cloud: Callable[..., Cloud]
) -> None:
    """With the name of the file, and what helps instead."""
    cloud()
    job = await deliver(site, host, suffix=suffix, **tags)

    assert await site.refused("GET", f"/nemo/jobs/{job['id']}/workflow") == (404, "workflow-none")
    assert "clip_00001_" in site.answers[-1]


async def test_only_files_in_comfyui_s_output_folder_are_read(
    site: Site, cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    """One that the shell delivered elsewhere is neither shown nor read, however the journal knows it."""
    cloud()

    async def work(studio: Any) -> Any:
        place = Destination(tmp_path / "elsewhere", "clip", tags={"workflow": '{"nodes": [1]}'})
        return await studio.animate([backend.picture()], Wish("a"), place)

    await site.network(work)
    job = await site.job()

    assert (job["video"], job["folder"], job["delivered"]) == (None, False, True)
    assert await site.refused("GET", f"/nemo/jobs/{job['id']}/workflow") == (404, "folder-none")
    assert site.routes.board._places[site.run.get_network().journal(), job["id"]].suffix != ".mp4"


async def test_a_link_out_of_the_output_folder_is_not_followed(
    site: Site, host: Host, cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    """Whatever lies in the place of a delivered file by now."""
    cloud()
    job = await deliver(site, host, workflow='{"nodes": [1]}')
    outside = tmp_path / "outside.mp4"
    os.rename(job["path"], outside)
    os.symlink(outside, job["path"])

    assert (await site.job())["video"] is None
    assert await site.refused("GET", f"/nemo/jobs/{job['id']}/workflow") == (404, "folder-none")


async def test_credits_say_how_sure_they_are(site: Site) -> None:
    """Exact, at most (others used the account meanwhile), or not known: the three a job can have."""

    async def write(journal: Any) -> None:
        for number, money in enumerate(
            ({"spent": 100.0, "certainty": "exact"}, {"spent": 300.0, "certainty": "at most"}, {})
        ):
            sent = await journal.move(await journal.begin(journal_jobs.planned("generate", number)), Event.SEND)
            exact = money.get("spent") if money.get("certainty") == "exact" else None
            await journal.move(sent, Event.FINISH, facts={"draft": journal_jobs.LONG, "money": money}, spent=exact)

    await on_journal(site, write)
    jobs = (await site.get("/nemo/jobs"))["jobs"]

    assert [(job["spent"], job["certainty"]) for job in reversed(jobs)] == [
        (100, "exact"), (300, "at most"), (None, "unknown"),
    ]  # fmt: skip


async def test_what_a_cancel_would_stop_is_told(site: Site, cloud: Callable[..., Cloud]) -> None:
    """The render; the waiting here for a message in flight; nothing of what is not running."""
    made = cloud(renderer=slow)
    await generate(site)
    idle = await site.job()
    await site.post(f"/nemo/jobs/{idle['id']}/resume")
    rendering = await site.until(lambda job: job["running"] and "Rendering" in job["running"]["text"])
    await site.post(f"/nemo/jobs/{idle['id']}/cancel")

    async def write(journal: Any) -> None:
        sent = await journal.move(await journal.begin(journal_jobs.planned("generate", 7)), Event.SEND)
        await journal.move(sent, Event.BREAK)

    await on_journal(site, write)
    out = await site.job("00000007")
    made.fault("stall", "*", at="request", seconds=60, count=None)  # so that it still waits when it is cancelled
    waiting = (await site.post(f"/nemo/jobs/{out['id']}/resume"))["job"]
    after = await site.post(f"/nemo/jobs/{out['id']}/cancel")

    assert (idle["stops"], rendering["stops"], out["stops"], waiting["stops"]) == ("", "render", "", "waiting")
    assert (out["state"], after["job"]["stops"]) == ("unknown", "")
    assert "already paid for" in after["text"]
    assert made.sent("message") == 1


def slow(draft: Any, assets: Any, target: Path, *, progress: Any, cancelled: Any, **_: Any) -> None:
    """In the place of the renderer: never done, until it is cancelled."""
    progress(0.3)
    while not cancelled():
        time.sleep(0.02)


async def test_a_running_render_is_stopped(site: Site, cloud: Callable[..., Cloud]) -> None:
    """At the backend, too; the words say that what was paid for is kept."""
    made = cloud(renderer=slow)
    await generate(site)
    wanted = (await site.job())["id"]
    await site.post(f"/nemo/jobs/{wanted}/resume")
    running = await site.until(lambda job: job["running"] and "Rendering" in job["running"]["text"])

    again = await site.post(f"/nemo/jobs/{wanted}/resume")
    answer = await site.post(f"/nemo/jobs/{wanted}/cancel")
    idle = await site.post(f"/nemo/jobs/{wanted}/cancel")

    assert 0.5 < running["running"]["fraction"] < 0.8
    assert f"{running['running']['fraction']:.0%}" in running["running"]["text"], "one figure for the text and the bar"
    assert again["job"]["running"], "one at a time: the second finds the first"
    assert "was stopped" in answer["text"]
    assert (answer["job"]["running"], answer["job"]["resumable"], answer["job"]["error"]) == (None, True, "")
    assert "is not running" in idle["text"]
    assert made.sent("render") == made.sent("render-cancel") == 1


async def test_the_work_of_a_node_shows_as_running(site: Site, cloud: Callable[..., Cloud]) -> None:
    """Its message, then its export, both as progress of one job; the browser's cancel stops the render."""
    cloud(renderer=slow)

    async def work(studio: Any) -> Any:
        return await studio.animate([backend.picture()], Wish("a"), Destination(home() / "out", "clip"))

    node = asyncio.ensure_future(site.network(work))
    deadline = time.monotonic() + PATIENT_SECONDS
    while not (jobs := (await site.get("/nemo/jobs"))["jobs"]) or not jobs[0]["running"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    running = await site.until(lambda job: job["running"] and "Rendering" in job["running"]["text"])
    await site.post("/nemo/profiles/save", name="nemo", day_limit=1000)
    await site.network(lambda studio: studio.credits())  # another Studio, while the old one works on
    still = await site.job(running["id"])
    answer = await site.post(f"/nemo/jobs/{running['id']}/cancel")

    assert (bool(still["running"]), still["resumable"]) == (True, False)
    assert "was stopped" in answer["text"]
    with pytest.raises(RenderFailed):
        await node


@pytest.mark.parametrize("kind", ["NemoImageToVideo", "NemoExportRender"])
async def test_a_card_says_what_its_node_says(kind: str, site: Site, cloud: Callable[..., Cloud]) -> None:
    """The same text with the same per cent, by the part of the way that is the node's own work."""
    cloud(renderer=slow)
    item = site.run.Item("a-prompt", Budget(), kind)

    async def work(studio: Any) -> Any:
        return await studio.animate(
            [backend.picture()], Wish("a"), Destination(home() / "out", "clip"), caller=item.caller
        )

    node = asyncio.ensure_future(site.network(work))
    await wait_until_async(lambda: item.latest is not None and item.latest.stage == "render" and item.latest.fraction)
    now = time.monotonic()
    said = item.tell_progress(now - 5, now)
    told, fraction = item.shown
    item.fraction += 0.1  # the work goes on before the list is asked for
    card = await site.until(lambda job: job["running"] and "Rendering" in job["running"]["text"])
    await site.post(f"/nemo/jobs/{card['id']}/cancel")

    assert told is said
    assert card["running"]["text"] == said.text("en")
    assert card["running"]["fraction"] == pytest.approx(fraction, abs=1e-4)
    assert f"{fraction:.0%}" in said.text("en")
    assert (fraction > 0.5) is (kind == "NemoImageToVideo")
    with pytest.raises(RenderFailed):
        await node


@pytest.mark.parametrize(("state", "limit", "credits"), [("refused", 0, 10), ("planned", 1, 1000)])
async def test_a_message_that_was_never_sent_is_not_sent_from_here(
    state: str, limit: int, credits: int, site: Site, cloud: Callable[..., Cloud]
) -> None:
    """Resume never pays: a user who wants it sent queues the workflow."""
    made = cloud(credits=credits)
    await site.post("/nemo/profiles/save", name="nemo", run_limit=limit)
    with contextlib.suppress(NemoError):
        await generate(site)
    await site.post("/nemo/profiles/save", name="nemo", run_limit=0)
    job = await site.job()
    assert (job["state"], job["resumable"]) == (state, False)
    assert bool(job["error"]) == (state == "refused")

    wanted = job["id"]
    assert await site.refused("POST", f"/nemo/jobs/{wanted}/resume", json={}) == (409, "resume-unsent")
    assert len(made.ledger.messages) == 0


async def test_a_forgotten_job_is_gone_with_its_uploads(site: Site, cloud: Callable[..., Cloud]) -> None:
    """Those that another job needs stay."""
    cloud()
    await generate(site)
    await generate(site, seed=1)
    first, second = [job["id"] for job in (await site.get("/nemo/jobs"))["jobs"]]

    assert await site.post(f"/nemo/jobs/{first}/forget") == {"forgotten": True}
    left = len(list((home() / "uploads").iterdir()))
    await site.post(f"/nemo/jobs/{second}/forget")

    assert left == 1
    assert list((home() / "uploads").iterdir()) == []
    assert (await site.get("/nemo/jobs"))["jobs"] == []


async def test_the_project_page_is_answered_once(
    site: Site, cloud: Callable[..., Cloud], caplog: pytest.LogCaptureFixture
) -> None:
    """A claim link made for each one who asks, in this answer alone; the local preview has no pages."""
    caplog.set_level(0)
    cloud()
    await generate(site)
    await generate(site, profile="local preview")
    local, paid = (await site.get("/nemo/jobs"))["jobs"]

    url = (await site.post(f"/nemo/jobs/{paid['id']}/project-page"))["url"]

    token = url.removeprefix("https://web.test/workspace/claim?ct=")
    assert token.startswith("clm_")
    assert token not in caplog.text + json.dumps(await site.get("/nemo/jobs"))
    assert (paid["page"], local["page"]) == (True, False)
    path = f"/nemo/jobs/{local['id']}/project-page"
    assert await site.refused("POST", path, json={}) == (404, "page-none")
    assert (await site.browser.get(path)).status_code == 405, "GET never acts"


@pytest.fixture
def programs() -> Iterator[Path]:
    """A folder for programs; pytest's own may lie on a disk where nothing can be run."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="a stand-in for xdg-open")
async def test_a_folder_is_opened_for_who_sits_here(
    site: Site, cloud: Callable[..., Cloud], tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the machine's own program; for others, and without one, the hint holds the path."""
    cloud()
    await generate(site)
    path = f"/nemo/jobs/{(await site.job())['id']}/open-folder"
    assert await site.refused("POST", path, json={}) == (404, "folder-none")
    await site.post(path.replace("open-folder", "resume"))
    video = (await site.until(lambda job: job["path"] and not job["running"]))["path"]
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)

    status, told = await site.ask("POST", path, json={})
    assert (status, told["id"], video in told["hint"]) == (501, "folder-no-program", True)
    status, told = await site.ask("POST", path, json={}, headers={"X-Forwarded-For": "10.0.0.9"})
    assert (status, told["id"], video in told["hint"]) == (403, "folder-remote", True)
    program = programs / "xdg-open"
    program.write_text(
        f'#!/bin/sh\necho "$1" > {tmp_path}/opened.part && mv {tmp_path}/opened.part {tmp_path}/opened\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":0")
    assert await site.post(path) == {"opened": True}

    await backend.until((tmp_path / "opened").exists)
    assert (tmp_path / "opened").read_text().strip() == str(Path(video).parent)


@pytest.mark.parametrize(
    ("remote", "headers", "here"),
    [
        ("127.0.0.1", {}, True), ("::1", {}, True), ("::ffff:127.0.0.1", {}, True), ("10.0.0.9", {}, False),
        (None, {}, False), ("", {}, False), ("127.0.0.1", {"Forwarded": "for=10.0.0.9"}, False),
        ("127.0.0.1", {"Host": "localhost:8188"}, True), ("::1", {"Host": "[::1]:8188"}, True),
        ("127.0.0.1", {"Host": "comfy.test"}, False), ("127.0.0.1", {"Host": "10.0.0.7"}, False),
        ("127.0.0.1", {"Host": ""}, False), ("127.0.0.1", {"X-Forwarded-Host": "comfy.test"}, False),
    ],
)  # fmt: skip
def test_who_sits_here(remote: str | None, headers: dict[str, str], here: bool, pack: Any) -> None:
    """A loopback address, unless a proxy says that it speaks for another one."""
    assert sys.modules[f"{pack.__name__}.nodes._panel.folders"].is_here(remote, headers) is here


def test_windows_shows_a_folder_and_starts_nothing(pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened by itself, a folder `clips` beside a `clips.exe` may mean the program."""
    folders = sys.modules[f"{pack.__name__}.nodes._panel.folders"]
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(folders.sys, "platform", "win32")
    monkeypatch.setattr(folders.os, "startfile", lambda *what: asked.append(what), raising=False)

    folders.open_folder(tmp_path / "clips" / "a.mp4")

    assert asked == [(tmp_path / "clips", "explore")]


async def test_what_is_no_job_is_404(site: Site, cloud: Callable[..., Cloud]) -> None:
    """Ids only: no words of prompts, no beginnings."""
    cloud()
    await generate(site, prompt="a latest word")
    beginning = (await site.job())["id"][:7]

    for action in ("resume", "cancel", "forget", "open-folder", "project-page"):
        for wanted in ("0badc0de", "latest", "0BADC0DE", "..", beginning, beginning + "g", "%2e%2e%2fx", "a"):
            answer = await site.browser.post(f"/nemo/jobs/{wanted}/{action}", json={})
            assert answer.status_code == 404


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "201", "9" * 30, "000000001" + "9" * 30, "１"])
async def test_a_limit_is_a_number_of_jobs(limit: str, site: Site) -> None:
    """1 to 200."""
    assert await site.refused("GET", f"/nemo/jobs?limit={limit}") == (400, "value")


async def test_the_list_is_read_in_a_few_queries(site: Site, cloud: Callable[..., Cloud]) -> None:
    """However many jobs there are: it is read every second while something runs."""
    cloud(credits=10_000)
    counts = []
    for seed in range(4):
        await generate(site, seed=seed)
        journal = site.run.get_network().journal()
        asked: list[Any] = []
        submit = journal._thread.submit
        journal._thread.submit = lambda *work, submit=submit, asked=asked: asked.append(work) or submit(*work)
        jobs = await asyncio.wrap_future(site.run.get_network().submit(list_jobs(journal)))
        del journal._thread.submit
        counts.append((len(jobs), len(asked)))

    assert [jobs for jobs, _ in counts] == [1, 2, 3, 4]
    assert max(queries for _, queries in counts) <= 4


async def test_the_list_shows_what_the_backend_asks(site: Site, cloud: Callable[..., Cloud]) -> None:
    """A job that ended with a question is a card with the question, and how it is answered; not "use another seed"."""
    made = cloud()
    made.fault("ask_question", "message")
    with pytest.raises(NemoError):
        await generate(site)
    job = await site.job()

    assert job["state"] == "failed"
    assert job["asks"]
    assert "Mood: Which mood? [Calm / Lively]" in job["error"]
    assert "NemoVideo Chat" in job["error"]


async def test_a_question_beside_a_video_says_that_the_video_is_kept(site: Site, cloud: Callable[..., Cloud]) -> None:
    """A message that made a video and asked is ready to collect; one that only asked leaves the earlier one alone."""
    made = cloud()
    before = await generate(site)
    made.fault("ask_question", "message")
    with pytest.raises(NemoError):
        await site.network(lambda studio: studio.edit(before.session, "add a title"))
    asked = next(each for each in (await site.get("/nemo/jobs"))["jobs"] if each["kind"] == "edit")
    question = {"title": "", "questions": [{"id": "m", "prompt": "Which mood?", "options": []}]}
    await on_journal(site, lambda journal: journal_jobs.made(journal, 0xEE, asks=question))
    kept = next(each for each in (await site.get("/nemo/jobs?lang=zh"))["jobs"] if each["id"] == "000000ee")

    assert asked["asks"]
    assert asked["error"].endswith("The video made before this is unchanged and kept on its own card.")
    assert (kept["state"], kept["asks"], kept["resumable"]) == ("done", False, True)
    assert "Which mood?" in kept["error"]
    assert kept["error"].endswith("目前生成的视频已保留：点击“继续”即可免费保存。")


async def test_a_refused_job_says_why(site: Site, cloud: Callable[..., Cloud]) -> None:
    """Not only that it was refused."""
    made = cloud()
    made.fault("answer", "message", code=2001)
    with pytest.raises(NemoError):
        await generate(site)
    job = await site.job()

    assert job["state"] == "refused"
    assert job["error"].startswith("Not enough credits. Top up your account")


# --- All jobs ---------------------------------------------------------------------------------------------------------


async def on_journal(site: Site, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Do `work` with the journal that the routes read."""

    async def there() -> Any:
        return await work(site.run.get_network().journal())

    return await asyncio.wrap_future(site.run.get_network().submit(there()))


def ids(answer: Any) -> list[str]:
    return [job["id"] for job in answer["jobs"]]


async def test_what_owes_a_video_comes_first_however_old(site: Site) -> None:
    """Pinned on top of the first page, with Resume; the newest follow; older ones are told on the next pages, once."""

    async def write(journal: Any) -> None:
        await journal_jobs.made(journal, 0xEE000001)
        await journal_jobs.fill(journal, 120)

    await on_journal(site, write)
    pages = [await site.get("/nemo/jobs?limit=50")]
    while pages[-1]["next"]:
        pages.append(await site.get(f"/nemo/jobs?limit=50&after={pages[-1]['next']}"))

    assert ids(pages[0])[0] == "ee000001"
    assert pages[0]["pinned"] == ["ee000001"]
    assert pages[0]["jobs"][0]["resumable"]
    assert [len(page["jobs"]) for page in pages] == [50, 50, 22], "the one on top is told again in its place"
    assert len({each for page in pages for each in ids(page)}) == 121
    assert pages[0]["counts"] == {"all": 121, "working": 0, "ready": 1, "failed": 0}
    assert "counts" not in pages[1]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_small_pages_lose_nothing(limit: int, site: Site) -> None:
    """Also where more owe a video than one page holds."""

    async def write(journal: Any) -> None:
        await journal_jobs.fill(journal, 5)
        for number in range(1, 7):
            await journal_jobs.made(journal, number)

    await on_journal(site, write)
    answer = await site.get(f"/nemo/jobs?limit={limit}")
    seen = set(ids(answer))
    while answer["next"]:
        answer = await site.get(f"/nemo/jobs?limit={limit}&after={answer['next']}")
        assert len(answer["jobs"]) <= limit
        seen |= set(ids(answer))

    assert len(seen) == 11


async def test_the_search_and_the_filters_are_the_server_s(site: Site) -> None:
    """Over all jobs, not over those of a page; by a word of the prompt or the id."""

    async def write(journal: Any) -> None:
        await journal_jobs.made(journal, 0xEE000001, text="A heron lifts off")
        sent = await journal.move(await journal.begin(journal_jobs.planned("generate", 2)), Event.SEND)
        await journal.move(sent, Event.DECLINE, facts={"error": "asked-back"})
        await journal_jobs.fill(journal, 120)

    await on_journal(site, write)

    assert ids(await site.get("/nemo/jobs?search=HERON")) == ["ee000001"]
    assert ids(await site.get("/nemo/jobs?search=ee000001")) == ["ee000001"]
    assert ids(await site.get("/nemo/jobs?search=%25")) == []
    assert ids(await site.get("/nemo/jobs?filter=failed")) == ["00000002"]
    assert ids(await site.get("/nemo/jobs?filter=ready")) == ["ee000001"]
    assert (await site.get("/nemo/jobs?search=a cat&limit=5"))["counts"]["all"] == 120
    assert await site.refused("GET", "/nemo/jobs?filter=none") == (400, "value")
    assert await site.refused("GET", "/nemo/jobs?after=..") == (400, "value")


async def test_a_panel_that_knows_the_list_is_told_only_what_runs(site: Site) -> None:
    """As long as nothing changed nothing is read but the change counter; another page or search is read."""
    await on_journal(site, lambda journal: journal_jobs.made(journal, 1))
    await site.get("/nemo/jobs")
    first = await site.get("/nemo/jobs?limit=50")
    for _ in range(100):  # a minute may have passed just now, or the thread that keeps the combos fresh read something
        with journal_jobs.counted() as read:
            same = await site.get(f"/nemo/jobs?limit=50&seen={first['mark']}")
        if "jobs" not in same and not read.statements:
            break
        first = same if "jobs" in same else first
    statements = list(read.statements)
    other = await site.get(f"/nemo/jobs?limit=20&seen={first['mark']}")
    await on_journal(site, lambda journal: journal_jobs.made(journal, 2))
    changed = await site.get(f"/nemo/jobs?limit=50&seen={first['mark']}")

    assert same == {"unchanged": True, "running": {}, "mark": first["mark"], "now": pytest.approx(time.time(), abs=60)}
    assert statements == []
    assert ids(other) == ["00000001"]
    assert ids(changed) == ["00000002", "00000001"]


async def test_a_resume_collects_and_never_sends(site: Site, cloud: Callable[..., Cloud]) -> None:
    """In so many words: where the message turns out not to have gone, nothing goes out, however cheap it would be."""
    made = cloud()
    made.fault("answer", "message", status=200, code=2001, message="no")
    with contextlib.suppress(NemoError):
        await generate(site)
    job = (await list_jobs_of(site))[0]

    async def collect(studio: Any) -> Any:
        return await studio.collect(job, Destination(home() / "out", "clip"), caller=Caller(only_collects=True))

    with pytest.raises(NemoError) as caught:
        await site.network(collect)

    assert caught.value.id == "resume-unsent"
    assert (made.sent("message"), len(made.ledger.messages)) == (1, 0)


async def test_who_wants_it_sent_is_not_stopped_by_one_who_only_collects(
    site: Site, cloud: Callable[..., Cloud]
) -> None:
    """Both wait for the same message: it goes out once, for the one who asked for it."""
    cloud()
    with contextlib.suppress(NemoError):
        await site.post("/nemo/profiles/save", name="nemo", run_limit=1)
        await generate(site)
    await site.post("/nemo/profiles/save", name="nemo", run_limit=0)
    job = (await list_jobs_of(site))[0]

    async def both(studio: Any) -> Any:
        there = Destination(home() / "out", "clip")
        collecting = studio.collect(job, there, caller=Caller(only_collects=True))
        return await asyncio.gather(collecting, studio.collect(job, there), return_exceptions=True)

    collected, sent = await site.network(both)

    assert sent.path.is_file()
    assert getattr(collected, "id", "") == "resume-unsent" or collected.path == sent.path


async def list_jobs_of(site: Site) -> Any:
    return await on_journal(site, list_jobs)


def test_what_is_put_up_at_the_start_is_what_is_answered(pack: Any) -> None:
    """The paths stand in a small module of their own, so that the start does not read the handlers."""
    register, routes = (sys.modules[f"{pack.__name__}.nodes._panel.{name}"] for name in ("register", "routes"))

    assert list(register.PATHS) == [(method, path) for method, path, _ in (*routes.ROUTES, *routes.FILE_ROUTES)]

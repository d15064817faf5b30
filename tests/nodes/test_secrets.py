"""No secret leaves by the nodes or the routes: a marked token is searched in all that comes out of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from nemo_client import Wish, home, local, set_token, tokenless_environment
from nemo_client._safety.redaction import isolate_secrets
from tests.nodes import _arrays
from tests.nodes._host import Host
from tests.support.backend import bytes_of, draw, picture, until, write_video
from tests.support.faults import Fault, Faults
from tests.support.marked_token import CLAIM, MARK, Logs, clean, files, requests, spelled, told_by, traces
from tests.support.timings import Shorten
from tests.support.waiting import PATIENT_SECONDS

Nodes = dict[str, type[Any]]

QUICK = {"prompt": "slow push-in", "aspect_ratio": "auto", "duration": 1, "seed": 0}
SMALL = {"format": "mp4", "quality": "low", "resolution": "480p"}
ONE = "all images in one video"
SPELLINGS = " | ".join(spelled().values())
PAGE = f"<html><body><pre>Authorization: Bearer {MARK}\n{SPELLINGS}</pre></body></html>"
TROUBLE: dict[str, tuple[str, dict[str, Any]]] = {
    "refused": ("answer", {"status": 401, "code": 1001, "message": f"Bad token: {SPELLINGS}"}),
    "forbidden": ("answer", {"status": 403, "code": 403, "message": f"Not for {SPELLINGS}"}),
    "a web page": ("answer", {"status": 400, "body": PAGE, "content_type": "text/html"}),
    "half an answer": ("answer", {"body": f'{{"code": 0, "data": {{"seen": "{MARK}'}),
    "no connection": ("refuse", {}),
}
OFTEN = {"forbidden", "half an answer"}
"""Tried at every run; the others with the long tests."""
TROUBLES = [each if each in OFTEN else pytest.param(each, marks=pytest.mark.long) for each in TROUBLE]


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, shorten: Shorten, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pauses are short, and what is temporary is written where the search looks."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    shorten(
        wire={"first_pause": 0.01, "patient": 0.05},
        studio={"first_read": 0.05, "next_read": 0.02, "confirm": 0.02, "quiet": 0.02},
    )
    with isolate_secrets():
        yield


@pytest.fixture
def logs() -> Iterator[Logs]:
    with Logs() as kept:
        yield kept


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[local.LocalBackend]:
    """The local backend in the place of the cloud, whose user has the marked token: it is stored, as people do."""
    options: dict[str, Any] = {"renderer": draw, "missing_glyphs": lambda text: ""}
    with local.open(tmp_path / "backend", token=MARK, credits=5000, pace=0, faults=Faults(), **options) as opened:
        monkeypatch.setenv("NEMO_API_URL", opened.url)
        monkeypatch.setenv("NEMO_WEB_URL", "https://web.test")
        set_token("nemo", MARK)
        yield opened


@dataclass
class Kept:
    """All that came out."""

    shown: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str, value: object) -> None:
        self.shown[f"{len(self.shown)} {name}"] = f"{value!r} {_inside(value)}"

    def error(self, name: str, error: BaseException) -> None:
        self.shown |= {f"{len(self.shown)} {name}, {place}": text for place, text in told_by(error).items()}


def _inside(value: object) -> str:
    """What outputs hold: those of lists, tuples and dicts, and their attributes."""
    if isinstance(value, dict):
        return " ".join(map(_inside, value.values()))
    if isinstance(value, (list, tuple)):
        return " ".join(map(_inside, value))
    return f"{value!s} {vars(value) if hasattr(value, '__dict__') else ''}"


def judge(kept: Kept, logs: Logs, host: Host, backend: local.LocalBackend, tmp_path: Path) -> None:
    """The mark is in the credentials file (0600) and in `Authorization` alone."""
    clean({**kept.shown, "logs": logs.text, "texts": repr(host.texts), "events": repr(host.events)})
    clean(requests(backend.calls))
    clean(files(tmp_path, but=["credentials.json"]))
    assert traces((home() / "credentials.json").read_bytes())
    assert (home() / "credentials.json").stat().st_mode & 0o777 == 0o600


# --- Nodes ------------------------------------------------------------------------------------------------------------


def every_node(nodes: Nodes, host: Host) -> dict[str, Callable[[], Any]]:
    """Each node's run in one graph; what the later ones need is made now."""
    image = _arrays.picture(96, 72)
    write_video(Path(host.folder("input")) / "clip.mp4")
    auth = host.run(nodes["NemoAuth"], profile="nemo", language="auto")[0]
    uploaded = host.run(nodes["NemoUploadImage"], auth=auth, image=image, batch_mode=ONE)[0]
    others = host.run(nodes["NemoUploadImage"], auth=auth, image=_arrays.picture(80, 60), batch_mode=ONE)[0]
    made = [host.run(nodes["NemoGenerateVideo"], session=uploaded, **QUICK)[0][0]]
    prefix = {"filename_prefix": "video/NemoVideo", **SMALL}
    runs: dict[str, dict[str, Any]] = {
        "NemoAuth": {"profile": "nemo", "language": "auto"},
        "NemoUploadImage": {"auth": auth, "image": _arrays.picture(64, 48), "batch_mode": "one video per image"},
        "NemoUploadMedia": {"auth": auth, "source": "clip.mp4"},
        "NemoGenerateVideo": {"session": uploaded, **QUICK, "seed": 1},
        "NemoEditVideo": {"session": made, "instruction": "make it 4 seconds", "when_changed": "stop", "seed": 0},
        "NemoExportRender": {"session": made, **prefix},
        "NemoImageToVideo": {"image": image, **QUICK, "seed": 2, **prefix, "profile": "nemo"},
        "NemoChat": {"session": others[0], "message": "what can you do?", "seed": 0},
        "NemoCredits": {"auth": auth},
        "NemoTimeline": {"session": made[0]},
        "NemoRecover": {"job": "latest unfinished"},
        "NemoSampleImage": {},
    }
    assert set(runs) == set(nodes)
    return {name: lambda name=name, inputs=inputs: host.run(nodes[name], **inputs) for name, inputs in runs.items()}


def run_all(nodes: Nodes, host: Host, kept: Kept, before: Callable[[], object] = lambda: None) -> list[str]:
    """Run every node, keeping what it gives, shows and raises; the names of those that failed."""
    host.hidden = {"PROMPT": {"1": {"class_type": "NemoAuth"}}, "EXTRA_PNGINFO": {"workflow": {"nodes": []}}}
    runs = every_node(nodes, host)
    before()
    failed = []
    for name, run in runs.items():
        kept(f"{name} INPUT_TYPES", nodes[name].INPUT_TYPES() if hasattr(nodes[name], "INPUT_TYPES") else "")
        try:
            answer = run()
            kept(name, answer)
            kept(f"{name} ui", json.dumps(answer["ui"] if isinstance(answer, dict) and "ui" in answer else ""))
        except Exception as error:  # noqa: BLE001 - whatever leaves a node is shown to people
            failed.append(name)
            kept.error(name, error)
    return failed


def test_no_node_shows_the_token_when_all_goes_well(
    nodes: Nodes, host: Host, backend: local.LocalBackend, logs: Logs, tmp_path: Path
) -> None:
    """Not in outputs, texts, events, INPUT_TYPES, files and their metadata, the journal or a log; nor a claim token."""
    kept = Kept()

    assert run_all(nodes, host, kept) == []
    assert list(tmp_path.rglob("*.mp4"))
    judge(kept, logs, host, backend, tmp_path)
    assert not [call for call in backend.calls if call["endpoint"] == "claim-token"]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_no_node_shows_the_token_when_the_backend_fails(
    trouble: str, nodes: Nodes, host: Host, backend: local.LocalBackend, logs: Logs, tmp_path: Path
) -> None:
    """Whatever it says, and says back, from every endpoint: errors reach ComfyUI's history with their tracebacks."""
    kept = Kept()
    kind, parameters = TROUBLE[trouble]

    failed = run_all(nodes, host, kept, lambda: backend.faults.add(Fault(kind, count=None, **parameters)))

    assert {"NemoUploadImage", "NemoGenerateVideo", "NemoExportRender", "NemoCredits"} <= set(failed)
    judge(kept, logs, host, backend, tmp_path)


def test_what_nobody_expected_shows_no_token(
    nodes: Nodes, host: Host, backend: local.LocalBackend, logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of ours, or of a library, whose words hold the header: told and logged without it."""

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"Illegal header value b'Bearer {MARK}' ({SPELLINGS})")

    kept = Kept()
    failed = run_all(nodes, host, kept, lambda: monkeypatch.setattr("nemo_client._wire.http.Http._request", fails))

    assert "NemoCredits" in failed
    assert any("unexpected RuntimeError" in line for line in logs.lines)
    # The stand-in itself is no part of the pack, and quotes what it raises.
    kept.shown = {place: text for place, text in kept.shown.items() if "cause 1" not in place}
    judge(kept, logs, host, backend, tmp_path)


# --- Routes -----------------------------------------------------------------------------------------------------------


@dataclass
class Site:
    """ComfyUI's server with the pack's routes; every answer and every error behind one is kept."""

    browser: httpx.AsyncClient
    modules: Any
    kept: Kept

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        answer = await self.browser.request(method, path, **options)
        self.kept(f"{method} {path}", f"{answer.status_code} {answer.headers} {answer.text}")
        return answer.status_code, answer.json()

    async def post(self, path: str, **body: Any) -> tuple[int, Any]:
        return await self.ask("POST", path, json=body)

    async def generated(self) -> None:
        """A job that owes a video."""
        network = self.modules["_comfy.run"].get_network()

        async def work() -> None:
            studio = await network.studio("nemo")
            await studio.generate(await studio.upload([picture()]), Wish("slow push-in"))

        network.submit(work()).result(30)


@pytest.fixture
async def site(pack: Any, host: Host, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    names = ("_panel.routes", "_panel.register", "_comfy.run", "_panel.jobs_view", "_panel.folders")
    modules = {name: sys.modules[f"{pack.__name__}.nodes.{name}"] for name in names}
    kept = Kept()
    usual = modules["_panel.jobs_view"].translate_error

    def in_words(error: BaseException) -> Any:
        kept.error("behind an answer", error)
        return usual(error)

    monkeypatch.setattr(modules["_panel.jobs_view"], "translate_error", in_words)
    modules["_panel.register"].register()
    app = web.Application()
    app.add_routes(host.routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    own = {"X-NemoVideo": "1"}
    async with httpx.AsyncClient(base_url=url, headers=own, trust_env=False, timeout=PATIENT_SECONDS) as browser:
        yield Site(browser, modules, kept)
    await runner.cleanup()


@pytest.fixture
def opener(backend: local.LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file manager that writes down its arguments and its environment; a profile has its token in ours."""
    own = {"api_url": backend.url, "token_env": "MY_OWN_TOKEN"}
    (home() / "profiles.json").write_text(json.dumps({"profiles": {"own": own}}))
    monkeypatch.setenv("MY_OWN_TOKEN", MARK)
    program, told = tmp_path / "bin" / "xdg-open", tmp_path / "opened.txt"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n{{ tr "\\0" "\\n" < /proc/$$/cmdline; env; }} > {told}.new\nmv {told}.new {told}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":0")
    return told


async def every_route(site: Site) -> dict[str, int]:
    """Each route asked as the page asks it; its status by its last word."""
    _, listed = await site.ask("GET", "/nemo/jobs")
    job = listed["jobs"][0]["id"]
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/nemo/profiles", {}),
        ("POST", "/nemo/profiles/save", {"name": "mine", "address": "https://mine.test", "run_limit": 5}),
        ("POST", "/nemo/profiles/default", {"name": "nemo"}),
        ("POST", "/nemo/profiles/token", {"name": "mine", "token": MARK}),
        ("POST", "/nemo/profiles/delete", {"name": "mine"}),
        ("POST", "/nemo/profiles/token", {"name": "nemo", "token": MARK}),
        ("POST", "/nemo/credits", {"profile": "nemo"}),
        ("GET", "/nemo/prices", {}),
        ("GET", "/nemo/statements", {}),
        ("GET", "/nemo/jobs", {}),
        ("GET", f"/nemo/jobs/{job}/picture", {}),
        ("POST", f"/nemo/jobs/{job}/resume", {}),
        ("POST", f"/nemo/jobs/{job}/cancel", {}),
        ("GET", f"/nemo/jobs/{job}/workflow", {}),
        ("POST", f"/nemo/jobs/{job}/open-folder", {}),
        ("POST", f"/nemo/jobs/{job}/project-page", {}),
        ("POST", f"/nemo/jobs/{job}/forget", {}),
    ]
    routes = site.modules["_panel.routes"]
    known = {(method, path.replace("{id}", job)) for method, path, _ in (*routes.ROUTES, *routes.FILE_ROUTES)}
    assert {(method, path) for method, path, _ in asked} == known
    found = {}
    for method, path, body in asked:
        options = {"json": body} if method == "POST" else {}
        found[path.rsplit("/", 1)[-1]] = (await site.ask(method, path, **options))[0]
        if path.endswith("resume") and found["resume"] == 200:
            await _collected(site)
    return found


async def _collected(site: Site) -> None:
    """Wait until the job that is collected is delivered, or is no more at work."""
    for _ in range(400):
        job = (await site.browser.get("/nemo/jobs")).json()["jobs"][0]
        if job["delivered"] or not job["running"]:
            return
        await asyncio.sleep(0.02)


async def test_no_route_shows_the_token_and_one_the_claim_token(
    site: Site, host: Host, backend: local.LocalBackend, logs: Logs, tmp_path: Path, opener: Path
) -> None:
    """Not in answers, their headers, logs, files, or what a program gets that is started: a claim in its answer."""
    claim = {"body": json.dumps({"code": 0, "data": {"claim_token": CLAIM}})}
    backend.faults.add(Fault("answer", "claim-token", count=None, **claim))
    await site.generated()

    statuses = await every_route(site)

    assert statuses.pop("workflow") == 404, "no graph made the file"
    assert set(statuses.values()) == {200}, statuses
    await until(lambda: os.path.exists(opener))
    assert "PATH=" in bytes_of(opener).decode()
    judge(site.kept, logs, host, backend, tmp_path)
    pages = [place for place, text in site.kept.shown.items() if traces(text, CLAIM)]
    assert [place.rsplit("/", 1)[-1] for place in pages] == ["project-page"]
    clean({"logs": logs.text, **requests(backend.calls), **files(tmp_path)}, CLAIM)


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_no_route_shows_the_token_when_the_backend_fails(
    trouble: str, site: Site, host: Host, backend: local.LocalBackend, logs: Logs, tmp_path: Path
) -> None:
    """Whatever it says back; also not in the variables of an error that no one but a debugger sees."""
    await site.generated()
    kind, parameters = TROUBLE[trouble]
    backend.faults.add(Fault(kind, count=None, **parameters))

    statuses = await every_route(site)

    assert (statuses["credits"], statuses["project-page"]) == (502, 502)
    judge(site.kept, logs, host, backend, tmp_path)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(f'{{"name": "nemo", "token": "{MARK}', 415, id="cut"),
        pytest.param(f'["{MARK}"]', 415, id="a list"),
        pytest.param(f'"{MARK}"', 415, id="a text"),
        pytest.param(f'{{"name": "nemo", "token": "{MARK}\udcff"}}', 415, id="no text"),
        pytest.param(f'{{"name": "nemo", "token": "{MARK}", "more": "{"x" * 70_000}"}}', 413, id="too large"),
        pytest.param(f'{{"name": "nope", "token": "{MARK}"}}', 404, id="no such profile"),
        pytest.param(f'{{"name": "nemo", "token": "{MARK} x"}}', 400, id="no token"),
        pytest.param(f'{{"name": "local preview", "token": "{MARK}"}}', 400, id="a profile without one"),
    ],
)
async def test_a_pasted_token_that_is_refused_is_not_shown(
    raw: str, status: int, site: Site, host: Host, backend: local.LocalBackend, logs: Logs, tmp_path: Path
) -> None:
    """Neither in the answer nor in an error's variables: the body is read into what shows nothing."""
    body = raw.encode("utf-8", "surrogateescape")
    headers = {"Content-Type": "application/json"}

    found, _ = await site.ask("POST", "/nemo/profiles/token", content=body, headers=headers)

    assert found == status
    judge(site.kept, logs, host, backend, tmp_path)


async def test_a_body_that_breaks_off_is_not_shown(
    site: Site, host: Host, backend: local.LocalBackend, logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser goes away amid it, or is too slow."""
    monkeypatch.setattr(site.modules["_panel.routes"], "BODY_SECONDS", 0.1)

    async def slow() -> AsyncIterator[bytes]:
        yield f'{{"name": "nemo", "token": "{MARK}"'.encode()
        await asyncio.sleep(0.4)
        yield b"}"

    headers = {"Content-Type": "application/json"}
    found, told = await site.ask("POST", "/nemo/profiles/token", content=slow(), headers=headers)

    assert (found, told["id"]) == (415, "body-not-json")
    judge(site.kept, logs, host, backend, tmp_path)


def test_a_program_of_others_gets_no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Under whatever name a profile looks for it, and not the address of the journal, which can hold a password."""
    profiles = {"mine": {"api_url": "https://mine.test", "token_env": "MY_OWN_TOKEN"}, "odd": 7}
    home().mkdir()
    (home() / "profiles.json").write_text(json.dumps({"profiles": profiles}))
    for name in ("NEMO_TOKEN", "MY_OWN_TOKEN", "SOME_OTHER_NAME"):
        monkeypatch.setenv(name, MARK)
    monkeypatch.setenv("NEMO_JOURNAL_URL", "postgresql://me:secret@db.test/journal")

    found = tokenless_environment()

    assert not traces(repr(found))
    assert "NEMO_JOURNAL_URL" not in found
    assert found["NEMO_HOME"] == os.environ["NEMO_HOME"]
    monkeypatch.setenv("MY_OWN_TOKEN", "a-token-of-another-kind")
    monkeypatch.setenv("XAUTHORITY", "/home/me/.Xauthority")
    (home() / "profiles.json").write_text("{")
    broken = tokenless_environment()
    assert not {"NEMO_TOKEN", "MY_OWN_TOKEN"} & broken.keys()
    assert {"PATH", "XAUTHORITY", "NEMO_HOME"} <= broken.keys()

"""No secret leaves a real ComfyUI or a browser before it; when `COMFYUI_PATH` names a checkout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_client import local, set_token
from tests.nodes import test_real_comfyui
from tests.support.comfyui_process import ComfyUI, Run, checkout
from tests.support.faults import Fault, Faults
from tests.support.marked_token import CLAIM, MARK, clean, files, requests, spelled, traces
from tests.web import test_browser

pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.skipif(checkout() is None, reason="COMFYUI_PATH names no ComfyUI checkout"),
]

browser = test_browser.browser
SPELLINGS = " | ".join(spelled().values())
PAGE = f"<html><body><pre>Authorization: Bearer {MARK}\n{SPELLINGS}</pre></body></html>"
IN_THE_BROWSER = {
    "storage": "() => [{...localStorage}, {...sessionStorage}, location.href, document.cookie, history.state]",
    "document": "() => document.documentElement.outerHTML",
    "fields": "() => [...document.querySelectorAll('input, textarea')].map(each => each.value)",
    "workflow": "async () => [window.app.graph.serialize(), await window.app.graphToPrompt()]",
    "databases": """async () => {
      const found = [];
      for (const { name } of await indexedDB.databases()) {
        const opening = indexedDB.open(name);
        const database = await new Promise((done) => { opening.onsuccess = () => done(opening.result); });
        for (const store of database.objectStoreNames) {
          const asked = database.transaction(store).objectStore(store).getAll();
          found.push(name, store, await new Promise((done) => { asked.onsuccess = () => done(asked.result); }));
        }
        database.close();
      }
      return found;
    }""",
    "caches": """async () => {
      const found = [];
      for (const name of await caches.keys())
        for (const request of await (await caches.open(name)).keys()) found.push(name, request.url);
      return found;
    }""",
}
LOOKED_AT = (
    "/history",
    "/queue",
    "/object_info",
    "/settings",
    "/nemo/profiles",
    "/nemo/jobs",
    "/system_stats",
    "/internal/logs",
    "/api/jobs",
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.LocalBackend]:
    """The local backend in the place of the cloud, whose user has the marked token."""
    with local.open(tmp_path_factory.mktemp("cloud"), token=MARK, credits=5000, pace=0, faults=Faults()) as backend:
        claim = {"body": json.dumps({"code": 0, "data": {"claim_token": CLAIM}})}
        backend.faults.add(Fault("answer", "claim-token", count=None, **claim))
        yield backend


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory, cloud: local.LocalBackend) -> Iterator[ComfyUI]:
    """One server, which logs all it can, with the token stored in its home directory."""
    base = tmp_path_factory.mktemp("comfyui")
    keep = {name: value for name, value in os.environ.items() if not name.startswith("NEMO_")}
    own = {"NEMO_HOME": str(base / "home"), "NEMO_API_URL": cloud.url, "TMPDIR": str(base / "temporary")}
    (base / "temporary").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NEMO_API_URL", cloud.url)
        set_token("nemo", MARK, base / "home")
    with ComfyUI(base / "base", {**keep, **own}, ("--verbose", "DEBUG")) as server:
        yield server


def graph(**changes: dict[str, Any]) -> dict[str, Any]:
    """The repository's workflow on the profile with the token, and the nodes that only look."""
    made = test_real_comfyui.short(n1={"profile": "nemo"}, **changes)
    made["20"] = {"class_type": "NemoCredits", "inputs": {"auth": ["1", 0]}}
    made["21"] = {"class_type": "NemoTimeline", "inputs": {"session": ["4", 0]}}
    return made


def judge(run: Run, comfyui: ComfyUI, cloud: local.LocalBackend) -> None:
    """The mark is in the credentials file (0600) and in `Authorization` alone; no one has made a claim token."""
    base = comfyui.base.parent
    found: dict[str, str | bytes] = {
        "websocket": json.dumps(run.messages),
        "texts": json.dumps(run.texts),
        "history": json.dumps(run.history),
        "log": comfyui.log.read_bytes(),
    }
    for path in LOOKED_AT:
        answer = comfyui.get(path)
        found[path] = answer if isinstance(answer, bytes) else json.dumps(answer)
    pid = comfyui.pid
    for each in ("cmdline", "environ"):
        found[each] = Path(f"/proc/{pid}/{each}").read_bytes()
    for secret in (MARK, CLAIM):
        clean({**found, **requests(cloud.calls), **_files(base)}, secret)
    stored = base / "home" / "credentials.json"
    assert traces(stored.read_bytes())
    assert stored.stat().st_mode & 0o777 == 0o600
    assert not [call for call in cloud.calls if call["endpoint"] == "claim-token"]


def _files(base: Path) -> dict[str, bytes]:
    """What the server wrote, without the links to the pack and to other packs."""
    folders = [
        base / "home",
        base / "temporary",
        *(base / "base" / name for name in ("output", "temp", "user", "input")),
    ]
    return files(*folders, but=["credentials.json"])


def test_a_run_shows_no_token(comfyui: ComfyUI, cloud: local.LocalBackend) -> None:
    """In history, websocket, log at its most, files and their metadata, the journal."""
    run = comfyui.run(graph())

    assert run.history["status"]["status_str"] == "success", run.history["status"]
    judge(run, comfyui, cloud)


@pytest.mark.parametrize("endpoint", ["session", "message", "render", "credits"])
def test_an_error_shows_no_token(endpoint: str, comfyui: ComfyUI, cloud: local.LocalBackend) -> None:
    """`execution_error` carries the inputs, the error's type and words, and its traceback; the log all of it again."""
    said = {"status": 403, "code": 403, "message": f"Not for {SPELLINGS}"}
    if endpoint in ("session", "credits"):
        said = {"status": 403, "body": PAGE, "content_type": "text/html"}
    cloud.faults.add(Fault("answer", endpoint, count=None, **said))
    changes = {"n2": {"images": 2}} if endpoint == "session" else {"n4": {"prompt": f"pan left for {endpoint}"}}
    try:
        run = comfyui.run(graph(**changes))
    finally:
        cloud.faults.clear()

    assert ("answer", endpoint) in cloud.faults.fired
    assert run.of_type("execution_error"), run.history["status"]
    judge(run, comfyui, cloud)


def test_a_browser_keeps_no_token(comfyui: ComfyUI, cloud: local.LocalBackend, browser: Any) -> None:
    """What is pasted goes out in one request's body; no storage, address, field, workflow or answer has it then."""
    editor = test_browser.Editor(comfyui, browser)
    page, sent, answers = editor.page, [], []
    page.on("request", lambda request: sent.append((request.url, request.post_data or "")))
    page.on("response", lambda answer: answers.append(answer) if "/nemo/" in answer.url else None)
    try:
        page.evaluate("() => window.app.extensionManager.command.execute('Comfy.ShowSettingsDialog')")
        page.get_by_text("NemoVideo", exact=True).last.click()
        page.locator("nemo-video-setting select").first.select_option("nemo")
        field = page.locator("nemo-video-setting input[type=password]").first
        field.fill(MARK)
        field.press("Enter")
        page.wait_for_timeout(2500)
        page.locator("nemo-video-setting", has_text=MARK[-4:]).first.wait_for(timeout=10_000)
        kept = {name: json.dumps(page.evaluate(script)) for name, script in IN_THE_BROWSER.items()}
        page.keyboard.press("Escape")
        kept["its cookies and storage, as the browser has them"] = json.dumps(page.context.storage_state())
        bodies = {each.url: each.body() for each in answers}
    finally:
        editor.close()

    assert [url.split("?")[0].rsplit("/nemo/", 1)[-1] for url, body in sent if traces(body)] == ["profiles/token"]
    assert len(bodies) >= 2
    said = {"addresses": "\n".join(url for url, _ in sent), "console": "\n".join(editor.said)}
    clean({**kept, **bodies, **said, "log": comfyui.log.read_bytes(), **_files(comfyui.base.parent)})

"""Who may call the /nemo routes of a real ComfyUI: over its own socket, and from a browser under a rebound name."""

from __future__ import annotations

import http.client
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.comfyui_process import ComfyUI, checkout
from tests.support.waiting import PATIENT_SECONDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.skipif(checkout() is None, reason="COMFYUI_PATH names no ComfyUI checkout"),
]
ACT = {"Content-Type": "application/json", "X-NemoVideo": "1"}
EVIL = "evil.test"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested is a server for others


@pytest.fixture(scope="module", params=["here", "everywhere, with CORS"])
def comfyui(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyUI]:
    """ComfyUI as it starts by itself, and as it is opened for a network, with its option for other sites' pages."""
    base = tmp_path_factory.mktemp("comfyui")
    keep = {name: value for name, value in os.environ.items() if not name.startswith("NEMO_")}
    options = () if request.param == "here" else ("--listen", EVERYWHERE, "--enable-cors-header")
    with ComfyUI(base / "base", {**keep, "NEMO_HOME": str(base / "home")}, options) as server:
        yield server


def is_open(comfyui: ComfyUI) -> bool:
    return "--listen" in comfyui._options


def ask(comfyui: ComfyUI, method: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """One request to a route that looks or acts, with exactly these headers."""
    connection = http.client.HTTPConnection(urlsplit(comfyui.url).netloc, timeout=PATIENT_SECONDS)
    path = "/nemo/profiles" if method == "GET" else "/api/nemo/profiles/default"
    connection.putrequest(method, path, skip_host="Host" in headers)
    body = b"" if method == "GET" else b'{"name": "nemo"}'
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content) if content else {}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_rebound_name_is_answered_only_where_names_cannot_be_known(method: str, comfyui: ComfyUI) -> None:
    """ComfyUI itself lets it pass, as Host and Origin agree; under a loopback name all is well."""
    port = urlsplit(comfyui.url).port
    rebound = {"Host": f"{EVIL}:{port}", "Origin": f"http://{EVIL}:{port}", **ACT}

    status, told = ask(comfyui, method, rebound)
    usual, _ = ask(comfyui, method, {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}", **ACT})

    assert (status, told.get("id")) == ((200, None) if is_open(comfyui) else (403, "host-foreign"))
    assert usual == 200


def test_a_page_of_another_site_does_nothing_whatever_comfyui_allows(comfyui: ComfyUI) -> None:
    """Neither a form, nor JSON that a preflight let through: the answer to that one names no header of ours."""
    host = urlsplit(comfyui.url).netloc
    foreign = {"Host": host, "Origin": f"http://{EVIL}"}

    for headers in (foreign, {**foreign, "Content-Type": "application/json"}, {**foreign, **ACT}):
        assert ask(comfyui, "POST", headers)[0] == 403
    bare = {"Host": host, "Content-Type": "application/json"}
    assert ask(comfyui, "POST", bare) == (403, {**ask(comfyui, "POST", bare)[1], "id": "header-missing"})
    connection = http.client.HTTPConnection(host, timeout=PATIENT_SECONDS)
    preflight = {**foreign, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-nemovideo"}
    connection.request("OPTIONS", "/nemo/profiles/default", headers=preflight)
    allowed = connection.getresponse().headers.get("Access-Control-Allow-Headers", "")
    connection.close()
    assert "nemo" not in allowed.lower()
    assert "*" not in allowed


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_real_browser_under_a_rebound_name_learns_nothing(comfyui: ComfyUI) -> None:
    """A page of the name that a stranger lets point here is of the same site for the browser, and for ComfyUI."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    port = urlsplit(comfyui.url).port
    options = ["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {EVIL} 127.0.0.1"]
    script = """async () => {
        const act = {method: "POST", body: '{"name": "nemo"}',
                     headers: {"Content-Type": "application/json", "X-NemoVideo": "1", "X-Forwarded-Proto": "https"}};
        const comfy = await fetch("/system_stats");
        const looked = await fetch("/nemo/profiles");
        const acted = await fetch("/nemo/profiles/default", act);
        return [comfy.status, looked.status, acted.status];
    }"""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        seen = {}
        for name in (EVIL, "localhost"):
            page = browser.new_page()
            page.goto(f"http://{name}:{port}/system_stats")
            seen[name] = page.evaluate(script)
        browser.close()

    assert seen["localhost"] == [200, 200, 200]
    assert seen[EVIL] == ([200, 200, 200] if is_open(comfyui) else [200, 403, 403])


def test_the_page_itself_may_act(comfyui: ComfyUI) -> None:
    """What ComfyUI's page loads sends the header."""
    host_module = comfyui.get("/extensions/nemo-video/host.mjs")

    assert b'"X-NemoVideo": "1"' in host_module
    assert (Path(comfyui.base).parent / "home" / "profiles.json").is_file()

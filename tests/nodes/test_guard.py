"""Who may call the /nemo routes: by their rule, and over a real server on a loopback socket."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web
from multidict import CIMultiDict

from nemo_client import home
from tests.nodes._host import Host

HERE, LAN, ALL = "127.0.0.1", "192.168.1.5", "0.0.0.0,::"
TLS = {"Origin": "https://comfy.test", "Host": "comfy.test"}
REBOUND = {"Origin": "http://evil.test:8188", "Host": "evil.test:8188"}


@pytest.fixture
async def browser(pack: Any, host: Host) -> AsyncIterator[httpx.AsyncClient]:
    """What speaks to the pack's routes, with the header that ComfyUI's page sends."""
    sys.modules[f"{pack.__name__}.nodes._panel.register"].register()
    app = web.Application()
    app.add_routes(host.routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with httpx.AsyncClient(base_url=address, headers={"X-NemoVideo": "1"}, trust_env=False) as client:
        yield client
    await runner.cleanup()


def listen(monkeypatch: pytest.MonkeyPatch, where: str | None) -> None:
    monkeypatch.setattr(sys.modules["comfy.cli_args"].args, "listen", where)


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        pytest.param({}, "", id="no browser"),
        pytest.param({"Host": "localhost:8188"}, "", id="by name"),
        pytest.param({"Host": "comfy.localhost"}, "", id="a name below localhost"),
        pytest.param({"Host": "[::1]:8188"}, "", id="IPv6"),
        pytest.param({"Host": "10.0.0.7:8188"}, "", id="an address, through a proxy: no one rebinds one"),
        pytest.param({"Origin": "http://evil.test"}, "origin-foreign", id="another site"),
        pytest.param({"Origin": "null"}, "origin-foreign", id="a sandboxed page"),
        pytest.param({"Origin": "http://127.0.0.1:1"}, "origin-foreign", id="another port"),
        pytest.param({"Origin": "file:///x"}, "origin-foreign", id="a file"),
        pytest.param({"Origin": "http://[bad"}, "origin-foreign", id="not an address"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, "", id="our own page"),
        pytest.param({"Sec-Fetch-Site": "none"}, "", id="typed by a person"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, "origin-foreign", id="another page"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, "origin-foreign", id="a neighbour"),
        pytest.param({"Sec-Fetch-Site": "what"}, "origin-foreign", id="a value of no browser"),
        pytest.param(REBOUND, "host-foreign", id="a rebound name, Host and Origin agree"),
        pytest.param({"Host": "evil.test:8188"}, "host-foreign", id="a rebound name, no Origin"),
        pytest.param({"Host": "127.0.0.1.evil.test"}, "host-foreign", id="a name that begins like an address"),
        pytest.param({"Host": "localhost.evil.test"}, "host-foreign", id="a name that begins like localhost"),
        pytest.param({"Host": "evil-localhost"}, "host-foreign", id="a name that ends like localhost"),
        pytest.param({"Host": "127.0.0.1@evil.test"}, "host-foreign", id="a user's name in it"),
        pytest.param({"Host": "[::1]evil.test"}, "host-foreign", id="more behind an address"),
        pytest.param({"Host": ""}, "host-foreign", id="no name"),
        pytest.param({**REBOUND, "X-Forwarded-For": "10.0.0.7"}, "host-foreign", id="headers that a page may make up"),
        pytest.param(TLS, "", id="a proxy with a certificate for its name"),
        pytest.param({"Origin": "https://COMFY.test", "Host": "comfy.test"}, "", id="case does not count"),
        pytest.param({"Origin": "https://comfy.test", "Host": "comfy.test:443"}, "", id="the usual port is written"),
        pytest.param({**TLS, "Host": "comfy.test:80"}, "origin-foreign", id="not the usual port"),
        pytest.param({"Host": "comfy.test", "Sec-Fetch-Site": "same-origin"}, "", id="TLS, a GET has no Origin"),
    ],
)
async def test_only_our_own_page_may_ask_where_nobody_else_can_reach_us(
    headers: dict[str, str], refused: str, browser: httpx.AsyncClient
) -> None:
    """ComfyUI lets every name pass whose Origin agrees; a page that rebinds its name to this machine has both."""
    looked = await browser.get("/nemo/profiles", headers=headers)
    acted = await browser.post("/nemo/profiles/default", json={"name": "nemo"}, headers=headers)

    for answer in (looked, acted):
        assert (answer.status_code, answer.json().get("id", "")) == (403 if refused else 200, refused)
    assert (home() / "profiles.json").exists() == (not refused)


@pytest.mark.parametrize(
    ("listening", "hosts", "name", "refused"),
    [
        (HERE, "", "gpu.lan:8188", True),
        ("localhost", "", "gpu.lan:8188", True),
        ("127.2.2.2,127.3.3.3", "", "gpu.lan:8188", True),
        ("::1", "", "gpu.lan", True),
        (None, "", "gpu.lan", True),
        (LAN, "", "gpu.lan:8188", False),
        (ALL, "", "gpu.lan:8188", False),
        (f"{HERE},{LAN}", "", "gpu", False),
        (HERE, "comfy.lan, gpu.lan", "GPU.lan:8188", False),
        (HERE, "comfy.lan", "gpu.lan:8188", True),
        (ALL, "comfy.lan", "gpu.lan:8188", True),
        (ALL, "comfy.lan", "192.168.1.5:8188", False),
        (ALL, "comfy.lan", "localhost:8188", False),
    ],
)
async def test_who_listens_for_others_is_known_by_any_name_unless_names_are_given(
    listening: str | None,
    hosts: str,
    name: str,
    refused: bool,
    browser: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`--listen` keeps working under the names of a network; NEMO_HOSTS narrows that, or opens it for a plain proxy."""
    listen(monkeypatch, listening)
    monkeypatch.setenv("NEMO_HOSTS", hosts)

    answer = await browser.get("/nemo/profiles", headers={"Host": name, "Origin": f"http://{name}"})

    assert (answer.status_code, answer.json().get("id")) == ((403, "host-foreign") if refused else (200, None))
    if refused:
        assert name in answer.json()["error"]
        assert "NEMO_HOSTS" in answer.json()["hint"]


async def test_what_acts_needs_a_header_that_no_form_sends(browser: httpx.AsyncClient) -> None:
    """And that ComfyUI's CORS option does not let other sites send; looking needs none."""
    del browser.headers["X-NemoVideo"]

    looked = await browser.get("/nemo/profiles")
    acted = await browser.post("/nemo/profiles/default", json={"name": "nemo"})

    assert looked.status_code == 200
    assert (acted.status_code, acted.json()["id"]) == (403, "header-missing")
    assert "X-NemoVideo: 1" in acted.json()["hint"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_body_is_not_read(encoding: str, browser: httpx.AsyncClient) -> None:
    """A few kilobytes could be gigabytes; no page of ours compresses."""
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    body = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding](b'{"name": "nemo"}')

    answer = await browser.post("/nemo/profiles/default", content=body, headers=headers)

    assert (answer.status_code, answer.json()["id"]) == (415, "body-not-json")


@pytest.mark.parametrize("name", ["Host", "Origin", "Sec-Fetch-Site"])
def test_a_header_that_comes_twice_is_judged_twice(name: str, pack: Any) -> None:
    """A server in between may look at the other one."""
    guard = sys.modules[f"{pack.__name__}.nodes._panel.request_guard"]
    good = {"Host": "localhost", "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    headers = CIMultiDict([*good.items(), (name, {"Host": "evil.test"}.get(name, "http://evil.test"))])

    assert guard.check_request(CIMultiDict(good), acts=False, listens=HERE) == ""
    assert guard.check_request(headers, acts=False, listens=HERE) in ("origin-foreign", "host-foreign")

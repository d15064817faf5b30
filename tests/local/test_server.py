"""Opening and closing: quick, clean, and by itself at the end of a program."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from multidict import CIMultiDict

from nemo_client.local.server.gate import is_allowed, is_loopback
from tests.local.plain_client import PLAIN
from tests.support.waiting import PATIENT_SECONDS, wait_until

ROOT = Path(__file__).parents[2]
ANIMATE = "turn this image into a 5-second animated video clip with smooth motion"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested is that it has to be asked for


def test_it_listens_when_open_returns_and_not_after_close(start, connect):
    """No waiting, no lingering port."""
    backend = start()
    assert connect(backend).balance()["available"] == 1000
    backend.close()
    backend.close()

    with pytest.raises(httpx.ConnectError):
        connect(backend).balance()


def test_opening_takes_a_moment(start):
    """Tens of milliseconds once aiohttp is loaded."""
    start()
    times = []
    for _ in range(5):
        began = time.process_time()
        start()
        times.append(time.process_time() - began)

    assert min(times) < 0.1


def test_a_taken_port_is_an_error(start):
    """Raised by `open` itself."""
    port = int(start().url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        start(port=port)


@pytest.mark.parametrize("option", [{"dialect": "x"}, {"render_answers": "x"}, {"render_progress": "x"}], ids=str)
def test_an_unknown_option_is_an_error(start, option):
    """With the values that are known."""
    with pytest.raises(ValueError, match="must be one of"):
        start(**option)


def test_importing_it_loads_nothing_heavy():
    """Neither aiohttp nor PyAV nor Pillow: ComfyUI's start stays quick."""
    heavy = {"aiohttp", "av", "PIL", "numpy"}
    code = f"import sys; from nemo_client import local; sys.exit(bool({heavy} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_it_imports_none_of_its_siblings():
    """An independent reading of the API: sharing code with the client would let one mistake hide another."""
    code = (
        "import sys\n"
        "import importlib, pathlib\n"
        "for path in pathlib.Path('nemo_client/local').glob('*.py'):\n"
        "    importlib.import_module('nemo_client.local.' + path.stem)\n"
        "found = [n for n in sys.modules if n.startswith('nemo_client.') and not n.startswith('nemo_client.local')]\n"
        "sys.exit(', '.join(found) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("busy", ["message", "render"])
def test_a_program_that_forgets_to_close_still_ends(tmp_path, busy):
    """Quickly, without a traceback, and what ran reads as failed."""
    code = f"""
import json, sys, time, urllib.request
from pathlib import Path
from nemo_client import local

def slow(draft, assets, target, *, cancelled, **options):
    while not cancelled():
        time.sleep(0.01)

backend = local.open(Path({str(tmp_path)!r}), renderer=slow, generation_seconds=60)
headers = {{"Authorization": "Bearer " + backend.token, "Content-Type": "application/json",
            "X-Skill-Source": "a", "X-Skill-Version": "a", "X-Skill-Platform": "a"}}
def post(path, body):
    request = urllib.request.Request(backend.url + path, json.dumps(body).encode(), headers)
    return urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(request)
session = json.load(post("/api/tasks/me/with-session/nemo_agent",
                         {{"task_name": "p", "language": "en"}}))["data"]["session_id"]
if {busy!r} == "render":
    post("/api/render/proxy/lambda", {{"id": "r", "sessionId": session, "output": {{}},
                                      "draft": {{"t": [{{"tt": 0, "sg": [{{"d": 1}}]}}]}}}}).read()
else:
    post("/run_sse", {{"app_name": "nemo_agent", "user_id": "me", "session_id": session,
                      "new_message": {{"parts": [{{"text": "hello"}}]}}}}).readline()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True, timeout=PATIENT_SECONDS
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "owners").iterdir()) == []


def test_nothing_is_left_behind(start, connect):
    """No thread, no open file, after messages, renders, cuts and hang-ups."""

    def once():
        api = connect(start(generation_seconds=0.1))
        session = api.ready()
        with api.stream(session, ANIMATE) as answer:
            next(answer.iter_raw())
        wait_until(lambda: api.state(session)["draft"].get("t"))
        api.finished_file(session)
        api.http.close()
        api.backend.close()

    def count_files():
        gc.collect()
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc") else 0

    once()
    threads, files = set(threading.enumerate()), count_files()
    for _ in range(3):
        once()

    wait_until(lambda: set(threading.enumerate()) <= threads)
    wait_until(lambda: count_files() <= files)


def test_any_host_has_to_be_asked_for(start, caplog):
    """Loopback by default; another one is warned about, and known by its addresses, not by strange names."""
    with start(host=EVERYWHERE) as backend:
        assert backend.url.startswith("http://127.0.0.1:")
        assert "other machines can reach it" in caplog.text
        url, headers = backend.url + "/api/credits/balance/simple", {"Authorization": f"Bearer {backend.token}"}
        for host, status in (("192.168.0.7:1", 200), ("evil.example", 403)):
            answer = httpx.get(url, headers={**headers, "Host": host}, **PLAIN)
            assert answer.status_code == status


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_it_listens_on_ipv6(start, connect):
    """`::1` is loopback as well."""
    try:
        backend = start(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback address")

    assert backend.url.startswith("http://[::1]:")
    assert connect(backend).balance()["available"] == 1000


@pytest.mark.parametrize(
    ("host", "configured", "known"),
    [
        ("localhost", "127.0.0.1", True),
        ("LOCALHOST:80", "127.0.0.1", True),
        ("127.0.0.2:80", "127.0.0.1", True),
        ("[::1]:80", "127.0.0.1", True),
        ("box.lan:80", "box.lan", True),
        ("box.lan:80", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("10.0.0.1", EVERYWHERE, True),
        ("box.lan", EVERYWHERE, False),
        ("", "", False),
        ("[", "127.0.0.1", False),
    ],
)
def test_known_hosts(host, configured, known):
    """This machine's names and the one that was configured; on all interfaces any address, but no name."""
    assert is_allowed(CIMultiDict(Host=host), configured) is known


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), (EVERYWHERE, False), ("box", False)]
)
def test_loopback_is_known(host, loopback):
    """What needs no warning."""
    assert is_loopback(host) is loopback

"""What a real ComfyUI takes of the processor while nothing runs: one with the pack and 2,000 jobs, one without a pack.

    python -m benchmarks.idle [--smoke] [--json FILE]

`COMFYUI_PATH` names a ComfyUI checkout and `COMFYUI_PYTHON` its interpreter; without them there is nothing to measure.
Both servers stand idle beside each other, so that what the machine does besides meets both. Where Chromium and
playwright are there (extra `browser`), a page is open on each, at first with the panel closed, then open;
else a client asks for what an open panel asks every five seconds. Linux only: it reads /proc.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks._figures import Figure, main
from benchmarks._rows import fill

PACK = Path(__file__).parent.parent
JOBS = 2_000
DRAFT = 30_000
START_SECONDS = 240.0
SETTLE_SECONDS = 20.0
SECONDS = 120.0
PANEL_SECONDS = 5.0
TABS = ".nemovideo-tab-button, [data-testid=nemovideo-tab-button]"
CLOSED, OPEN = "ComfyUI at rest, panel closed", "ComfyUI at rest, panel open"


def run(smoke: bool) -> list[Figure]:
    """Two figures: what is taken by the server with the pack, beside the one without it."""
    checkout = Path(os.environ.get("COMFYUI_PATH") or "-")
    if smoke or not (checkout / "main.py").is_file() or not Path("/proc/self/stat").is_file():
        why = "small run" if smoke else "COMFYUI_PATH names no ComfyUI checkout"
        return [Figure(CLOSED, 0.0, None, "% of a core", "< 0.1 % more", None, why)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        ours, bare = Path(folder, "ours"), Path(folder, "bare")
        for base in (ours, bare):
            (base / "custom_nodes").mkdir(parents=True)
        (ours / "custom_nodes" / "nemo-video").symlink_to(PACK, target_is_directory=True)
        (ours / "home").mkdir()
        fill(ours / "home", 3 * JOBS, draft=DRAFT)
        servers = [stack.enter_context(_serve(checkout, base)) for base in (ours, bare)]
        return _measure(servers, stack)


def _measure(servers: list[tuple[str, int]], stack: contextlib.ExitStack) -> list[Figure]:
    """The shares of both servers, without and with an open panel."""
    pages = _open_pages([url for url, _ in servers], stack)
    what = f"{JOBS:,} jobs with drafts of {DRAFT // 1000} KB, {SECONDS:.0f} s"
    if pages:
        what += "; a page is open on each"
    rest = lambda: time.sleep(SECONDS)  # noqa: E731
    closed = _shares([pid for _, pid in servers], rest)
    if pages:
        pages[0].locator(TABS).first.click()
        pages[0].wait_for_selector(".nv-job", timeout=30_000)
        look: Callable[[], object] = lambda: pages[0].wait_for_timeout(SECONDS * 1000)  # noqa: E731
    else:
        look = lambda: _ask_as_a_panel(servers[0][0])  # noqa: E731
    opened = _shares([pid for _, pid in servers], look)
    return [
        _judge(CLOSED, closed, 0.1, what),
        _judge(OPEN, opened, 1.0, what),
    ]


def _judge(name: str, shares: list[float], most: float, note: str) -> Figure:
    ours, bare = shares
    return Figure(name, ours, bare, "% of a core", f"< {most} % more", ours - bare < most, note)


def _shares(pids: list[int], wait: Callable[[], object]) -> list[float]:
    """Per cent of a core that each process takes during the wait, after it settled."""
    time.sleep(SETTLE_SECONDS)
    begin, before = time.monotonic(), [_processor_seconds(pid) for pid in pids]
    wait()
    taken = time.monotonic() - begin
    return [100 * (_processor_seconds(pid) - earlier) / taken for pid, earlier in zip(pids, before, strict=True)]


def _processor_seconds(pid: int) -> float:
    """Of all threads of a process, by proc(5): fields 14 and 15, after the name in brackets."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _serve(checkout: Path, base: Path) -> Iterator[tuple[str, int]]:
    """A ComfyUI with this base directory: its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [os.environ.get("COMFYUI_PYTHON", sys.executable), "main.py", "--cpu", "--listen", "127.0.0.1"]
    command += ["--port", str(port), "--disable-auto-launch", "--disable-api-nodes", "--base-directory", str(base)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEMO_")}
    environment["NEMO_HOME"] = str(base / "home")
    with (base / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_it_answers(f"http://127.0.0.1:{port}", process, base / "log")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"{url}/system_stats", timeout=10).close()  # noqa: S310 - our own server
            return
        time.sleep(0.5)
    raise RuntimeError(f"ComfyUI did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _open_pages(urls: list[str], stack: contextlib.ExitStack) -> list[Any]:
    """A page of a browser on each server; empty where there is no browser to drive."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None or importlib.util.find_spec("playwright") is None:
        return []
    sync_api = importlib.import_module("playwright.sync_api")
    driver = stack.enter_context(sync_api.sync_playwright())
    browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
    stack.callback(browser.close)
    pages = []
    for url in urls:
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(url)
        page.wait_for_function("window.app?.graph && window.app.canvas", timeout=90_000)
        page.wait_for_timeout(3000)
        page.keyboard.press("Escape")
        pages.append(page)
    return pages


def _ask_as_a_panel(url: str) -> None:
    """What an open panel asks again and again, for SECONDS."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        urllib.request.urlopen(f"{url}/nemo/jobs?lang=en", timeout=30).close()  # noqa: S310 - our own server
        time.sleep(PANEL_SECONDS)


if __name__ == "__main__":
    sys.exit(main(run, __doc__))

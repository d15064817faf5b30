"""Every test has a home directory of its own, and no one's settings."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from nemo_client._safety.redaction import isolate_secrets
from nemo_client.local.shared.settings import use_renderer
from tests.support.timings import Shorten, make_shorten

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_TERMINAL = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - only the root: pytest makes private, numbered directories below it
_ROOM = 1 << 30

if importlib.util.find_spec("sniffio") is None:
    # httpcore tries to import it with every request; a failing import searches all paths, through pytest's own hook
    # on top. A name that is known to be missing fails at once, and says the same.
    sys.modules["sniffio"] = None  # type: ignore[assignment]


_FIRST = (
    "studio/test_agent_server.py", "cli/test_animate_and_chat.py", "studio/test_paid_message.py",
    "nodes/test_routes.py", "cli/test_jobs.py", "nodes/test_secrets.py", "cli/test_batch.py",
    "text/test_router_and_translator.py",
    "safety/test_secrets.py", "wire/test_limits.py", "studio/test_render.py", "studio/test_uploads.py",
    "nodes/test_files.py", "nodes/test_nodes.py", "wire/test_fault_table.py", "batch/test_runner.py",
    "studio/test_killed.py", "nodes/test_more_nodes.py", "files/test_limits_media.py",
)  # fmt: skip
"""Files that take longest: begun last, one of them would be waited for by itself."""


gc.disable()  # until all is collected: a million small objects come, and none of them goes


def pytest_collection_finish() -> None:
    """What was collected stays to the end: the garbage collector need not look at it before every few tests."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first."""
    tests = Path(__file__).parent
    ranks = {tests / name: rank for rank, name in enumerate(_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_configure() -> None:
    """Keep the tests' files in memory where there is room: a journal waits for the disk at every step.

    And let properties take their time: that a machine has other work to do is no fault of the code.
    """
    hypothesis.settings.register_profile("patient", deadline=None)
    hypothesis.settings.load_profile("patient")
    if _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


@pytest.fixture(autouse=True)
def _nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the settings of the user who runs it, nor depends on their terminal."""
    for name in list(os.environ):
        if (
            name.startswith(("NEMO_", "SKILL_SOURCE"))
            or name.upper() in _PROXIES
            or name in (*_TERMINAL, *_CERTIFICATES)
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NEMO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(autouse=True)
def _nobodys_tokens() -> Iterator[None]:
    """What a test calls a token (`xxxxxxxx…`) is an ordinary text in the next one."""
    with isolate_secrets(keep=True):
        yield


@pytest.fixture
def shorten() -> Iterator[Shorten]:
    """Hands in shorter waits to what the test opens from then on: `shorten(studio={"quiet": 0.0})`."""
    with contextlib.ExitStack() as stack:
        yield make_shorten(stack)


@pytest.fixture(autouse=True)
def _blank_films(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where a test does not look at what the local preview draws, nothing is drawn."""
    drawn = request.node.get_closest_marker("drawn") is not None
    with contextlib.nullcontext() if drawn else use_renderer(_render_blank):
        yield


def _render_blank(*given: Any, **options: Any) -> None:
    from tests.support.blank_film import render_blank  # loads PyAV: only where something is rendered

    render_blank(*given, **options)

"""Every test has a home directory of its own, and nobody's settings."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import hypothesis
import pytest

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_TERMINAL = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - only the root: pytest makes private, numbered directories below it
_ROOM = 1 << 30

if importlib.util.find_spec("sniffio") is None:
    # httpcore tries to import it with every request; a failing import searches all paths, through pytest's own hook
    # on top. A name that is known to be missing fails at once, and says the same.
    sys.modules["sniffio"] = None  # type: ignore[assignment]


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
    """No test reads or writes the settings of whoever runs it, nor depends on their terminal."""
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
def _blank_films(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test does not look at what the local preview draws, nothing is drawn."""
    if request.node.get_closest_marker("drawn") is None:
        monkeypatch.setattr("nemo_client.local.render.queue._renderer", _get_blank_renderer)


def _get_blank_renderer() -> object:
    from tests.support.blank_film import render_blank

    return render_blank

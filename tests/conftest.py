"""Every test has a home directory of its own, and nobody's settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_TERMINAL = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")


@pytest.fixture(autouse=True)
def _nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the settings of whoever runs it, nor depends on their terminal."""
    for name in list(os.environ):
        if name.startswith(("NEMO_", "SKILL_SOURCE")) or name.upper() in _PROXIES or name in _TERMINAL:
            monkeypatch.delenv(name)
    monkeypatch.setenv("NEMO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

"""Fixtures for the shell."""

from __future__ import annotations

import pytest

from tests.support.timings import Shorten


@pytest.fixture(autouse=True)
def _quick_waits(shorten: Shorten) -> None:
    """What failed is tried again sooner, and a render is looked at more often, than people need."""
    shorten(wire={"first_pause": 0.05}, studio={"poll_scale": 0.2})

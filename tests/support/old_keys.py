"""A Display P3 picture, and its request as an earlier version carried it out: under its unconverted pixels' key."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nemo_client import GenerationRequest, NemoError, SessionHandle, Studio, from_file
from tests.files.test_pictures import P3, card, seen_through
from tests.support.faults import Fault, Faults

STATES = ("done", "unknown", "failed")
"""How the earlier request stands: its video was made; its message is out and no state can be read; it only answered."""

SHORT: dict[str, dict[str, Any]] = {
    "studio": {"quiet": 0.0, "first_read": 0.0, "next_read": 0.0, "confirm": 0.0},
    "wire": {"first_pause": 0.0, "patient": 0.0, "grow": 0.05},
}
"""Waits for real clocks."""
AddFault = Callable[..., None]


def save_in_p3(path: Path) -> Path:
    """The card as a phone saves it."""
    seen_through(card(), P3).save(path, icc_profile=P3)
    return path


async def make_earlier(
    studio: Studio, path: Path, wish: GenerationRequest, state: str, fault: AddFault
) -> SessionHandle:
    """Carry the request out under its old key, to this state; the upload's handle. Take the faults away afterwards."""
    media = from_file(path)
    assert media.older
    handle = await studio.upload([replace(media, fingerprint=media.older, older="")])
    if state == "unknown":
        fault("close_before_headers", "message", accepted=True)
        fault("http_500", "state", nth=2, count=None)
    elif state == "failed":
        fault("ask_back", "message")
    with contextlib.suppress(NemoError):
        await studio.generate(handle, wish)
    return handle


def count_messages(backend: Any) -> int:
    """How many messages a backend was sent."""
    return sum(call["endpoint"] == "message" for call in backend.calls)


def adder_of(faults: Faults) -> AddFault:
    """What adds a fault to a backend's script."""
    return lambda *what, **more: faults.add(Fault(*what, **more))

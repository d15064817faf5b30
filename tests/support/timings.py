"""Waits that tests shorten: handed in to what is opened afterwards, never patched into a module."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nemo_client._config.timings import Timings, timings_in_use, use_timings

Shorten = Callable[..., None]
"""The fixture `shorten`: `shorten(studio={"quiet": 0.0}, wire={"attempts": 1})`, for the rest of the test."""


def make_timings(*, preview: Mapping[str, Any] | None = None, **rooms: Mapping[str, Any]) -> Timings:
    """The timings in use, with other values in these rooms; `preview` are options of `local.open`."""
    now = timings_in_use()
    changed = {room: replace(getattr(now, room), **dict(values)) for room, values in rooms.items()}
    return replace(now, preview={**now.preview, **(preview or {})}, **changed)


def make_shorten(stack: contextlib.ExitStack) -> Shorten:
    """Hands in shorter waits until `stack` ends."""

    def shorten(**rooms: Mapping[str, Any]) -> None:
        stack.enter_context(use_timings(make_timings(**rooms)))

    return shorten

"""What the parts of a Studio share: the profile, the wire, the journal, and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from .._config.credentials import Token
from .._config.profiles import Profile
from .._config.timings import StudioTimings, timings_in_use
from .._errors import NoCredits
from .._files.images import UploadStore
from .._journal.journal import Journal
from .._journal.records import Attempt
from .._wire.client import NemoClient
from .._wire.http import Sleep
from .._wire.schemas import Credits
from .in_flight import InFlightRequests
from .progress import FIRST_GUESS, Caller

RACE_TRIES: Final = 10
"""How often work is tried again that another process was quicker at."""


@dataclass
class StudioContext:
    """One profile's working place, in one event loop. `clock` is monotonic seconds, `wall` seconds since 1970."""

    profile: Profile
    home: Path
    client: NemoClient
    journal: Journal
    uploads: UploadStore
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    in_flight: InFlightRequests = field(default_factory=InFlightRequests)
    payers: WeakValueDictionary[tuple[str, str], Caller] = field(default_factory=WeakValueDictionary)
    """Which caller a paid step counts for, by run and key: one of them, however many ask for it within the run."""
    timings: StudioTimings = field(default_factory=lambda: timings_in_use().studio)
    _sent: dict[int, float] = field(default_factory=dict)
    _met: dict[int, float] = field(default_factory=dict)

    def note_sent(self, attempt: Attempt) -> None:
        """This Studio sends the attempt's message now: from here on `clock` tells how long that is ago."""
        self._sent[attempt.id] = self.clock()

    def seconds_since_sent(self, attempt: Attempt) -> float:
        """How long ago an attempt's message went out, as far as is known.

        The wall clock can be set meanwhile, so that counts only for what this Studio did not send itself; and that was
        sent before it was first met here, at the latest.
        """
        now = self.clock()
        if attempt.id in self._sent:
            return now - self._sent[attempt.id]
        met = self._met.setdefault(attempt.id, now) if attempt.id else now
        return max(self.wall() - find_sent_time(attempt), now - met)

    async def token(self) -> Token:
        """The token in use; signs up where there is none yet."""
        return await self.client.http.tokens.token()

    async def guess_seconds(self, kind: str) -> float | None:
        """How long a step of that kind takes here: as seen on this machine, else a first guess; None on this machine's.

        Rendering on this machine takes as long as it takes; there is no guess before the first.
        """
        return self.choose_seconds(kind, await self.journal.usual_seconds(self.profile.name, kind))

    def choose_seconds(self, kind: str, seen: float | None) -> float | None:
        """What was `seen` of such steps, else a first guess, as `guess_seconds` has it."""
        return seen if seen is not None or self.profile.free else FIRST_GUESS.get(kind)

    async def no_credits(self, balance: Credits | None) -> NoCredits:
        """The error for too few credits, with the numbers and the way to get more (API description: 2001)."""
        token = await self.token()
        available = "?" if balance is None else f"{balance.available:g}"
        link = self.client.http.registration_link(token)
        if link:
            return NoCredits("no-credits-anonymous", code=2001, available=available, link=link)
        return NoCredits(code=2001, available=available)


def find_sent_time(attempt: Attempt) -> float:
    """When it went out by the wall clock, as far as is known; seconds since 1970."""
    return attempt.changed if attempt.sent is None else attempt.sent

"""How long the client waits for what, and how often it looks: one object, handed in where a Studio or a journal opens.

A room reads its own part: `http.timings.answer`, `journal.timings.lease`, `context.timings.quiet`. Where other code
opens the Studio (the shell, a node, a worker of a cluster), `use_timings` says what it gets. Seconds throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class WireTimings:
    """Waits of `_wire`: connections, answers, retries and downloads."""

    connect: float = 15.0
    answer: float = 180.0
    """How long one call may take, besides its own body."""
    attempts: int = 4
    """How often a call is tried whose failure does not look like a server that is away."""
    patient: float = 45.0
    """A server that is being replaced, or a line that is down, is waited for this long: by time, not by a count."""
    first_pause: float = 0.5
    """Before the first further try; each later one doubles it."""
    grow: float = 5.0
    """After each of these, a rate limiter that lets fewer through lets one piece of work more through."""
    download: float = 15 * 60.0
    slowest_download: float = 16 * 1024.0
    """Bytes a second: a download that is slower than this for `download` seconds in all is given up."""


@dataclass(frozen=True)
class JournalTimings:
    """Waits of `_journal`: leases, locks, and a database that is away."""

    lease: float = 60.0
    renew: float = 15.0
    busy: float = 30.0
    """How long SQLite waits for another process's transaction."""
    rest: float = 1.0
    """How long a database that refused a connection is not asked again."""
    away: float = 10 * 60.0
    """How long the record of a message in flight is tried again while its database is away."""
    away_pause: float = 2.0
    connect: int = 5
    """To PostgreSQL, which takes whole seconds, two at the least."""
    silent: float = 30.0
    """How long PostgreSQL may say nothing within a transaction before its connection is given up."""
    idle: int = 20
    """After so many whole seconds PostgreSQL ends a transaction whose client stopped: others wait for its locks."""


@dataclass(frozen=True)
class StudioTimings:
    """Waits of `_studio`: a message's stream, the reads of its state afterwards, and renders."""

    stream: float = 16 * 60.0
    """The cap of a message's stream."""
    horizon: float = 20 * 60.0
    """After so long a message of which nothing is seen counts as lost, or as not charged."""
    first_read: float = 30.0
    """Between a broken stream and the first read of the state."""
    next_read: float = 60.0
    confirm: float = 10.0
    """Between the two reads that must show the same result."""
    free_confirm: float = 1.0
    quiet: float = 2.0
    """Between the reads that find a draft unchanged after the stream's end."""
    nothing_pauses: tuple[float, ...] = (10.0, 30.0)
    """Before each read after an answer without content."""
    late_pauses: tuple[float, ...] = (3.0, 5.0, 10.0, 15.0, 20.0, 30.0)
    """Before each read where a tool told of a result that the state does not show yet."""
    silence: float = 120.0
    """After so long without an event, the state is read beside the stream, now and then."""
    silent_read: float = 60.0
    over: float = 10.0
    """As long after the agent's last word the state is read, where all seems said."""
    over_read: float = 20.0
    alike: float = 60.0
    """A result is taken before the stream's end only where the state shows it alike for so long."""
    unspoken: float = 300.0
    """After so long without an event, a turn without a last word, and a chat's without a word that it was the last,
    count as over."""
    look: float = 2.0
    """Between two looks at how long the stream has been silent."""
    poll_scale: float = 1.0
    """What the pauses between two looks at a render are multiplied by."""
    free_poll_scale: float = 0.2
    """The same for a backend on this machine: it answers a look at no cost, and its renders take seconds."""
    token_check: float = 20.0
    """How long a token that is about to be kept is tried; a person waits for it."""


@dataclass(frozen=True)
class BatchTimings:
    """Waits of `_batch`: a Dask cluster and its workers."""

    connect: float = 15.0
    idle: float = 300.0
    """After so long without an item a worker closes its Studios and its journal."""


@dataclass(frozen=True)
class Timings:
    """All of them, and the options with which a Studio opens the local preview (`local.open`)."""

    wire: WireTimings = field(default_factory=WireTimings)
    journal: JournalTimings = field(default_factory=JournalTimings)
    studio: StudioTimings = field(default_factory=StudioTimings)
    batch: BatchTimings = field(default_factory=BatchTimings)
    preview: Mapping[str, Any] = field(default_factory=dict)


_in_use = Timings()


def timings_in_use() -> Timings:
    """What is opened in this process gets these, unless others are handed in."""
    return _in_use


@contextmanager
def use_timings(timings: Timings) -> Iterator[None]:
    """Within this block, what is opened in this process gets `timings`; what is open already keeps its own."""
    global _in_use
    before, _in_use = _in_use, timings
    try:
        yield
    finally:
        _in_use = before

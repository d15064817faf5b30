"""Progress of a batch: one moving line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column

from .._batch.results_file import RESULTS
from .._batch.runner import Batch, BatchResult
from .._text.messages import say
from .output import SPARSE_SECONDS, Screen, strip_controls

TOLD: Final = 20
"""So many failed items are told as they fail; the others stand in the results."""
_LOOK_SECONDS: Final = 0.5


class Board:
    """What is shown of a batch: items done, running and failed, credits, time left.

    Of `total` items `kept` were done before; `usual` is how many seconds one takes here, if that is known.
    """

    def __init__(self, screen: Screen, batch: Batch, total: int, kept: int, usual: float | None) -> None:
        self._screen = screen
        self._batch = batch
        self._total = total
        self._kept = kept
        self._usual = usual
        self._began = self._said = screen.clock()
        self._failed = 0
        self._bar: _Line | None = None

    @asynccontextmanager
    async def show_while_open(self) -> AsyncIterator[None]:
        """Show it while this is open."""
        ticking = None
        if not self._screen.quiet:
            if self._screen.console.is_terminal:
                self._bar = _Line(self._screen.console, self.line, self.share)
                self._bar.start()
            else:
                ticking = asyncio.ensure_future(self._redraw())
        try:
            yield
        finally:
            if ticking is not None:
                ticking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ticking
            if self._bar is not None:
                self._bar.stop()

    async def _redraw(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._screen.clock() - self._said >= SPARSE_SECONDS:
                self._said = self._screen.clock()
                self._screen.remark(self.line())

    def report_result(self, result: BatchResult) -> None:
        """An item has ended: a failure is told at once, up to a number of them."""
        if result.state == "done":
            return
        self._failed += 1
        lang = self._screen.lang
        if self._failed <= TOLD:
            words = " ".join(str(result.line[key]) for key in ("error", "what_to_do") if result.line[key])
            self._screen.remark(say("batch.item-failed", lang, item=result.item.name, reason=words))
        elif self._failed == TOLD + 1:
            self._screen.remark(say("batch.quieter", lang, results=RESULTS))

    def share(self) -> float:
        """How much of what is to be done has ended, in 0..1."""
        return sum(self._batch.counts.values()) / max(len(self._batch.items), 1)

    def line(self) -> str:
        """How it stands, in one line."""
        batch, lang = self._batch, self._screen.lang
        counts = batch.counts
        failed = counts["failed"] + counts["unknown"] + counts["stopped"]
        parts = [say("batch.done", lang, done=counts["done"] + self._kept, total=self._total)]
        parts.append(say("batch.running", lang, count=batch.running))
        if failed:
            parts.append(say("batch.failing", lang, count=failed))
        if not batch.tally.free:
            parts.append(say("batch.credits", lang, credits=batch.tally.shown))
        left = self._estimate_left()
        if left is not None and left >= 1:
            parts.append(say("batch.left", lang, time=format_duration(left)))
        return strip_controls(" · ".join(parts))

    def _estimate_left(self) -> float | None:
        """Seconds that the rest takes, by the pace so far, else by what such work takes here."""
        ended = sum(self._batch.counts.values())
        rest = len(self._batch.items) - ended
        elapsed = self._screen.clock() - self._began
        if ended >= 3:
            return elapsed / ended * rest
        if self._usual is None or not self._batch.running:
            return None
        return max(self._usual * -(-rest // self._batch.running) - elapsed, 0.0)


class _Line(Bars):
    """One line that is drawn again and again."""

    def __init__(self, console: Console, line: Callable[[], str], share: Callable[[], float]) -> None:
        self._words, self._share = line, share
        text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        super().__init__(SpinnerColumn(), BarColumn(24), text, console=console, transient=True)
        self.add_task(line(), total=1.0)

    def get_renderables(self) -> Iterable[RenderableType]:
        with self._lock:
            for task in self.task_ids:
                self.update(task, description=self._words(), completed=self._share())
        yield from super().get_renderables()


def format_duration(seconds: float) -> str:
    """`0:42`, `12:05` or `3:20:00`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

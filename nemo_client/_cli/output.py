"""What the shell shows: progress and remarks on stderr, the result alone on stdout."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column

from .._errors import NemoError
from .._safety.redaction import redact
from .._studio.progress import Progress, Stage
from .._text import messages

INTERRUPTED: Final = 130
SPARSE_SECONDS: Final = 30.0
MOST: Final = 0.99
_BARRED: Final[frozenset[Stage]] = frozenset({"upload", "render", "download"})
_PROGRAM: Final = "nemo-video"


@dataclass(frozen=True)
class Outcome:
    """The result of a command: `text` for stdout, `data` for `--json`, remarks and notes for people on stderr.

    Remarks stand before the text, notes after it. A batch whose items failed has an exit code of theirs.
    """

    text: str
    data: Mapping[str, object]
    remarks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    exit_code: int = 0


@dataclass(frozen=True)
class Failure:
    """What a command failed with, as it is told: one line, what is known about money, and the exit code."""

    id: str
    message: str
    charged: str
    exit_code: int


@dataclass
class Screen:
    """The terminal. On a tty progress is a bar that goes away again, else a line now and then, or nothing (`quiet`)."""

    as_json: bool = False
    quiet: bool = False
    clock: Callable[[], float] = time.monotonic
    lang: str = field(default_factory=messages.choose_language)
    command: str = _PROGRAM

    def __post_init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bar: _Bar | None = None
        self._stage: Stage | None = None
        self._said = 0.0
        self.told = False  # whether a result or a failure was shown

    def progress(self, progress: Progress) -> None:
        """Show how a step stands."""
        if self.quiet:
            return
        if self.console.is_terminal:
            if self._bar is None:
                self._bar = _Bar(self.console, self.clock, self.lang)
                self._bar.start()
            self._bar.show(progress)
        elif progress.stage != self._stage or self.clock() - self._said >= SPARSE_SECONDS:
            newly = progress.stage != self._stage  # then a percentage says nothing yet
            self._stage, self._said = progress.stage, self.clock()
            self._print_line((replace(progress, fraction=None) if newly else progress).text(self.lang))

    def hide_bar(self) -> None:
        """Take the bar away, until there is progress again."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._stage = None

    def remark(self, text: str) -> None:
        """A line for people, above the bar where there is one."""
        if not self.quiet:
            self._print_line(text)

    def warn(self, text: str) -> None:
        """A line that is shown even where people asked for quiet."""
        self._print_line(text)

    def ask(self, text: str) -> None:
        """A question on stderr, to be answered on its line."""
        self.hide_bar()
        self.console.print(strip_controls(text), soft_wrap=True, end="")

    def show(self, outcome: Outcome) -> None:
        """The result of a command."""
        self.hide_bar()
        self.told = True
        for remark in outcome.remarks:
            self.remark(remark)
        if self.as_json:
            self.write(json.dumps(outcome.data, ensure_ascii=True))
        elif outcome.text:
            self.write(outcome.text)
        for note in outcome.notes:
            self.remark(note)

    def fail(self, failure: Failure) -> int:
        """The failure of a command, in one line; its exit code."""
        self.hide_bar()
        self.told = True
        self.warn(f"{_PROGRAM}: {' '.join(failure.message.splitlines())}")
        if self.as_json:
            data = {"id": failure.id, "message": strip_controls(failure.message), "charged": failure.charged}
            with contextlib.suppress(NemoError):  # the line is said, and the code is worse news already
                self.write(json.dumps({"error": {**data, "exit_code": failure.exit_code}}, ensure_ascii=True))
        return failure.exit_code

    def write(self, text: str) -> None:
        """Text on stdout; `DiskError` where it cannot be written, quiet where its reader went away."""
        try:
            try:
                typer.echo(text)
            except UnicodeEncodeError:  # a name that is no valid text, or a console without these characters
                typer.echo(text.encode("utf-8", "surrogateescape"))
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            from .._wire.upload import disk_error  # not before: it loads httpx

            raise disk_error(error, Path("stdout")) from error

    def _print_line(self, text: str) -> None:
        self.console.print(strip_controls(text), soft_wrap=True)


class _Bar(Bars):
    """One line that is drawn ten times a second: the newest progress, moved on by the time since it came."""

    def __init__(self, console: Console, clock: Callable[[], float], lang: str) -> None:
        self._now, self._lang = clock, lang
        self._newest: Progress | None = None
        self._came = 0.0
        text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        super().__init__(SpinnerColumn(), text, BarColumn(24), console=console, transient=True)

    def show(self, progress: Progress) -> None:
        """Draw this from now on."""
        with self._lock:
            before, self._newest, self._came = self._newest, progress, self._now()
            if before is None or before.stage != progress.stage:  # a bar with a length stays one, so a new one begins
                for task in self.task_ids:
                    self.remove_task(task)
                self.add_task(strip_controls(progress.text(self._lang)), total=None)

    def get_renderables(self) -> Iterable[RenderableType]:
        with self._lock:
            if self._newest is not None and self.task_ids:
                now = advance_progress(self._newest, self._now() - self._came)
                known = now.fraction is not None and now.stage in _BARRED
                total, completed = (1.0, now.fraction) if known else (None, None)
                words = strip_controls(now.text(self._lang))
                self.update(self.task_ids[-1], description=words, total=total, completed=completed)
        yield from super().get_renderables()


def advance_progress(progress: Progress, seconds: float) -> Progress:
    """What `progress` has become `seconds` later, by its own estimate; never finished."""
    if not progress.elapsed and progress.left is None:
        return progress
    later = replace(progress, elapsed=progress.elapsed + seconds)
    if progress.left is None or progress.fraction is None:
        return later
    share = min(seconds / progress.left, 1.0) if progress.left > 0 else 1.0
    fraction = progress.fraction + (max(MOST, progress.fraction) - progress.fraction) * share
    return replace(later, fraction=fraction, left=max(progress.left - seconds, 0.0))


def make_early_failure(error: Exception, lang: str) -> Failure:
    """A defect of ours that was met before the command began."""
    text = f"{messages.say('unexpected', lang, **describe_unexpected(error))} {messages.say('money.no', lang)}"
    return Failure("unexpected", text, "no", NemoError.exit_code)


def describe_unexpected(error: Exception) -> dict[str, str]:
    """What may be told of an unexpected exception."""
    return {"kind": type(error).__name__, "reason": redact(" ".join(str(error).split()))[:300] or "?"}


def strip_controls(text: str) -> str:
    """`text` without control characters: what a backend says must not drive the terminal."""
    return "".join(char for char in text if char in "\n\t" or unicodedata.category(char) != "Cc")

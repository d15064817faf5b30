"""One item of a batch, from plain data to its result line: `carry_out_item` is what any scheduler may call.

In any process and however often it is called: the journal makes a repeated call find what an earlier one made, so that
nothing is paid twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from .._config.profiles import Profile
from .._errors import (
    Charged,
    ClientIdRefused,
    ClusterError,
    DiskError,
    LimitError,
    NemoError,
    NoCredits,
    NothingMade,
    PlanError,
    QuestionAsked,
    RateLimited,
    ResultUnknown,
    SignInError,
)
from .._files.images import Media, from_file, from_url
from .._files.save import Destination
from .._journal.money import FREE, Money
from .._safety.redaction import redact
from .._studio.progress import Caller, Progress
from .._studio.reconcile import answer_command
from .._studio.types import GenerationRequest, Output, Video
from .._text.messages import choose_language, say, what_and_hint
from .._wire.rate_limiter import RateLimiter, asks_for_pause
from .item import BatchItem, parse_item

logger = logging.getLogger("nemo_client")

ItemState = Literal["done", "failed", "unknown", "stopped"]
"""How a result line says that an item ended.

`unknown`: its message was sent, and no result was seen yet. `stopped`: for a reason that is not the item's own (limits,
credits, sign-in, the disk). The next run goes on with both by itself.
"""
_PAID_STAGES: Final = frozenset({"generate", "settle", "render", "download", "check", "done"})


PAID: Final = "paid "
"""Before a step key among the first names: the failed item whose line tells what the request cost."""


class Animator(Protocol):
    """The part of a Studio that an item needs."""

    @property
    def profile(self) -> Profile: ...

    @property
    def limiter(self) -> RateLimiter: ...

    async def animate(
        self,
        media: Sequence[Media],
        wish: GenerationRequest,
        destination: Destination,
        output: Output | None = None,
        *,
        language: str = "auto",
        caller: Caller | None = None,
    ) -> Video: ...

    async def taken_by(self, key: str, run: str) -> Money: ...


async def carry_out_item(
    studio: Animator, data: BatchItem | Mapping[str, Any], folder: Path, *, caller: Caller | None = None
) -> dict[str, Any]:
    """Make one item given as plain data (`BatchItem.to_json`), and return its result line as plain data.

    The video is saved in `folder`. A failed item returns a line as well; only invalid data raises `InputError`.
    """
    item_task = ItemTask(parse_item(data), folder, caller or Caller())
    try:
        line, _ = await studio.limiter.carry_out(lambda: item_task.run(studio))
    except NemoError as error:
        line = item_task.make_failure_line(error)
    return line


def stops_whole_batch(error: NemoError) -> bool:
    """Whether every other item would fail with the same error."""
    limited = isinstance(error, RateLimited) and not asks_for_pause(error)
    fatal = (SignInError, PlanError, ClientIdRefused, NoCredits, LimitError, DiskError, ClusterError)
    return limited or isinstance(error, fatal)


def classify_failure(error: NemoError) -> ItemState:
    """The state of an item that ended with `error`."""
    if stops_whole_batch(error):
        return "stopped"
    return "unknown" if isinstance(error, ResultUnknown) and error.id != "result-lost" else "failed"


class ItemTask:
    """An item in progress: how far it came, and the result line that it ends with."""

    def __init__(
        self,
        item: BatchItem,
        folder: Path,
        caller: Caller,
        *,
        readers: asyncio.Semaphore | None = None,
        first_names: MutableMapping[str, str] | None = None,
    ) -> None:
        """`readers` bounds how many pictures are decoded at once; `first_names` has the first item of each step key.

        `charged` is the worst that is known of all failed attempts: the next one finds in the journal what they paid.
        `taken` is how many credits that was, None where it is not known.
        """
        self.item = item
        self.folder = folder
        self.attempts = 0
        self.key = ""
        self.profile = item.profile
        self.paid_stage = False
        self.charged: Charged = "no"
        self.taken: float | None = None
        self._readers = readers or asyncio.Semaphore()
        self._first_names = first_names if first_names is not None else {}
        self._started = time.monotonic()
        self._progress = caller.on_progress
        self.caller = replace(caller, on_progress=self._follow_progress)

    def _follow_progress(self, progress: Progress) -> None:
        self.paid_stage = self.paid_stage or progress.stage in _PAID_STAGES
        self._progress(progress)

    def start_attempt(self, profile: Profile) -> None:
        """Count another attempt, in this profile."""
        self._started = time.monotonic()
        self.attempts += 1
        self.profile = profile.name

    async def run(self, studio: Animator) -> tuple[dict[str, Any], Money]:
        """Carry out the item: its result line, and what it cost now. Raises the `NemoError` that it failed with."""
        self.start_attempt(studio.profile)
        try:
            return await self._animate(studio)
        except asyncio.CancelledError:
            if self.caller.goes_on:  # its message was sent, and is read on without this caller
                self.charged = pick_worst_charge(self.charged, "maybe")
                raise ResultUnknown() from None
            raise
        except NemoError as error:
            self.note_failure(error)
            await self._read_taken(studio)
            raise
        except Exception as error:
            logger.exception("unexpected %s", type(error).__name__)
            kind, reason = type(error).__name__, redact(str(error))[:300] or "?"
            raise NemoError("unexpected", charged="maybe", kind=kind, reason=reason) from error

    @property
    def paid(self) -> bool:
        """Whether a failed attempt is known to have paid."""
        return self.charged == "yes"

    def note_failure(self, error: NemoError) -> None:
        """Remember the charge of a failed attempt; `NothingMade` is a final answer and replaces an earlier doubt."""
        final = isinstance(error, NothingMade) and not self.paid
        self.charged = error.charged if final else pick_worst_charge(self.charged, error.charged)

    async def _read_taken(self, studio: Animator) -> None:
        """Read from the journal what a failed item took in this batch; not known where that cannot be read now."""
        self.taken = None
        if self.paid and self.key:
            with contextlib.suppress(NemoError):
                self.taken = (await studio.taken_by(self.key, self.caller.run)).sure

    async def _animate(self, studio: Animator) -> tuple[dict[str, Any], Money]:
        item = self.item
        request = await asyncio.to_thread(lambda: item.request)
        async with self._readers:
            media = [await asyncio.to_thread(_open_media, each) for each in item.image]
        self.key = self._compute_key(studio, media)
        output = item.export
        video = await studio.animate(
            media, item.wish, item.destination(self.folder), output, language=item.language, caller=self.caller
        )
        first = self.register_key(self.key)
        told = first or self._first_names.get(PAID + self.key, self.item.name) != self.item.name
        money = FREE if told or (video.reused and not self.paid) else video.money
        line = self._make_line(
            "done", request=request, video=_make_relative(video.path, self.folder), size=video.size,
            sha256=video.sha256, credits=money.sure, charged="no" if money.sure == 0 else "yes", reused=video.reused,
            duplicate_of=first or None,
        )  # fmt: skip
        return line, money

    def _compute_key(self, studio: Animator, media: Sequence[Media]) -> str:
        return self.item.compute_key(studio.profile.id, [each.fingerprint for each in media])

    def register_key(self, key: str) -> str:
        """Note the step key of an item that is done; the name of the first one with the same request, or empty."""
        self.key = key
        first = self._first_names.setdefault(key, self.item.name)
        return "" if first == self.item.name else first

    def make_failure_line(self, error: NemoError) -> dict[str, Any]:
        """The result line of an item that ended with an error."""
        lang = choose_language(error.lang)
        what, hint = what_and_hint(error.text_id, lang, **error.facts)
        if isinstance(error, NothingMade) and (command := answer_command(error)):
            what = say("batch.asked" if isinstance(error, QuestionAsked) else "batch.answered", lang, **error.facts)
            hint = say("batch.answer", lang, command=command)
        first = None
        if self._first_names.get(self.key) == self.item.name:  # no video is a duplicate of one that failed
            del self._first_names[self.key]
        charged = pick_worst_charge(self.charged, error.charged)
        if charged == "yes":
            self._first_names.setdefault(PAID + self.key, self.item.name)
        return self._make_line(
            classify_failure(error), request=self.item.request, error=what, what_to_do=hint or None, error_id=error.id,
            charged=charged, credits={"no": 0.0, "yes": self.taken}.get(charged),
            duplicate_of=first,
        )  # fmt: skip

    def _make_line(self, state: ItemState, **facts: Any) -> dict[str, Any]:
        """A result line, which always has every key."""
        item = self.item
        empty: dict[str, Any] = {
            "item": item.name, "state": state, "video": None, "seconds": round(time.monotonic() - self._started, 2),
            "credits": None, "charged": "no", "error": None, "what_to_do": None, "error_id": None,
            "duplicate_of": None, "reused": False, "profile": self.profile, "image": list(item.image),
            "prompt": item.prompt, "size": None, "sha256": None, "key": self.key, "request": "",
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }  # fmt: skip
        return {**empty, **facts}


def pick_worst_charge(*known: Charged) -> Charged:
    """The worst of several charges that are known of the same item."""
    return max(known, key=("no", "maybe", "yes").index)


def _open_media(text: str) -> Media:
    return from_url(text) if "://" in text else from_file(Path(text).expanduser())


def _make_relative(path: Path, folder: Path) -> str:
    """A path as result lines name it: relative to the folder, with slashes."""
    return Path(os.path.relpath(path, folder.absolute())).as_posix()

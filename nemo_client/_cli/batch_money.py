"""What the runs of a batch cost, by the balances before and after, kept in `runs.jsonl`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from .._batch.results_file import BatchFolder
from .._errors import NemoError
from .._journal.money import Money, Tally
from .._studio.studio import Studio

logger = logging.getLogger("nemo_client")


class Accounts:
    """The accounts of one run: what they held when it began, and what is gone at its end."""

    def __init__(self, folder: BatchFolder, run: str) -> None:
        self._folder = folder
        self._run = run
        self._began: dict[str, tuple[Studio, float, Money]] = {}

    async def open(self, studio: Studio) -> Studio:
        """Note what a profile's account holds, before its first item begins."""
        name = studio.profile.name
        if name not in self._began:
            try:
                moment, money = await studio.begin_spending()
            except NemoError as error:  # the items will meet it, too, and say so
                logger.info("the balance could not be read (%s)", error.id)
                moment, money = 0.0, Money()
            self._began[name] = (studio, moment, money)
            if not studio.profile.free:
                await self._append_line(name, {"started": _format_now(), "held": money.before})
        return studio

    async def close(self) -> Money:
        """What the run took from all accounts."""
        tally = Tally()
        for name, (studio, moment, start) in self._began.items():
            try:
                money = await studio.measure_spending(moment, start, self._run) if moment else Money()
            except NemoError as error:
                logger.info("the balance could not be read (%s)", error.id)
                money = Money()
            tally.add(Money(None, None, money.spent, money.certainty))
            if not studio.profile.free:
                ended = {
                    "ended": _format_now(),
                    "held": money.after,
                    "spent": money.spent,
                    "certainty": money.certainty,
                }
                await self._append_line(name, ended)
        return Money(None, None, None if tally.certainty == "unknown" else tally.spent, tally.certainty)

    @property
    def all_free(self) -> bool:
        """Whether nothing that was used here can charge."""
        return all(studio.profile.free for studio, _, _ in self._began.values())

    async def _append_line(self, profile: str, facts: Mapping[str, Any]) -> None:
        line = {"run": self._run, "profile": profile, **facts}
        await asyncio.to_thread(self._folder.runs.append, line)


def sum_all_runs(lines: Iterable[Mapping[str, Any]]) -> Money:
    """What all runs of a folder took. One that was killed has no end: then the next one's beginning bounds it."""
    tally = Tally()
    begun: dict[str, Mapping[str, Any]] = {}
    for line in lines:
        profile = str(line.get("profile"))
        before = begun.pop(profile, None)
        if "started" in line:
            if before is not None:
                tally.add(_bound_by_balances(before, line))
            begun[profile] = line
        elif "ended" in line:
            tally.add(Money(None, None, line.get("spent"), line.get("certainty", "unknown")))
    return Money(None, None, tally.spent, tally.certainty)


def _bound_by_balances(before: Mapping[str, Any], after: Mapping[str, Any]) -> Money:
    held, left = before.get("held"), after.get("held")
    if held is None or left is None or left > held:
        return Money()
    return Money(None, None, held - left, "at most")


def _format_now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

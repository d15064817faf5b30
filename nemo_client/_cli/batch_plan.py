"""What a batch would do: its items, the problems that can be seen beforehand, and about what it costs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .._batch.item import BatchItem
from .._batch.item_task import ItemTask
from .._batch.manifest import LeftOut
from .._batch.runner import BatchResult
from .._config.paths import find_home
from .._config.profiles import find_profile
from .._errors import InputError, NemoError
from .._journal.journal import Journal
from .._journal.money import estimate_price
from .._studio.progress import Caller
from .._text import prompts
from .._text.messages import Phrase, say
from .._wire.client import encode_message
from .output import Outcome
from .runtime import Run

SHOWN: Final = 10
_KIND: Final = "generate"


@dataclass(frozen=True)
class Problem:
    """An item that cannot be made, and why."""

    item: BatchItem
    error: NemoError

    def text(self, lang: str) -> str:
        """For people: where it stands, what it is called, and what is wrong."""
        where = self.item.image[0] if not self.item.line else f"{self.item.name} ({self.item.line})"
        return say("batch.item-failed", lang, item=where, reason=say(self.error.text_id, lang, **self.error.facts))

    def result(self, folder: Path) -> BatchResult:
        """The result of an item that is left out for it."""
        line = ItemTask(self.item, folder, Caller()).make_failure_line(self.error)
        return BatchResult(self.item, folder, line, self.error)


@dataclass
class Seen:
    """What a look at items found beside problems, by item's name: their step keys, and what people are told."""

    keys: dict[str, list[str]] = field(default_factory=dict)
    notices: dict[str, list[Phrase]] = field(default_factory=dict)

    def describe(self, items: Sequence[BatchItem], lang: str) -> list[str]:
        """The notices in words, each once, in the order of the items."""
        told = [each for item in items for each in self.notices.get(item.name, [])]
        words = list(dict.fromkeys(say(each.id, lang, **each.facts) for each in told))
        more = [say("batch.more-notices", lang, count=len(words) - SHOWN)] if len(words) > SHOWN else []
        return words[:SHOWN] + more


def find_problems(items: Sequence[BatchItem], own: str, seen: Seen | None = None) -> list[Problem]:
    """What is wrong with items, as far as can be seen without sending anything. Blocks.

    `own` is the profile of those that name none. What is found of the sound ones is added to `seen`.
    """
    known: dict[str, NemoError | None] = {}
    for name in {item.profile or own for item in items}:
        try:
            known[name] = None
            find_profile(name)
        except InputError as error:
            known[name] = error

    def problem(item: BatchItem) -> Problem | None:
        try:
            if (unknown := known[item.profile or own]) is not None:
                raise unknown
            text = prompts.compose_prompt(item.prompt, duration=item.wish.duration, aspect_ratio=item.ratio)
            encode_message("session", text)
            files = item.judge_files()
            if seen is not None:
                profile_id = find_profile(item.profile or own).id
                prints = [each.fingerprint for each in files], [each.older or each.fingerprint for each in files]
                seen.keys[item.name] = [item.compute_key(profile_id, each) for each in prints]
                seen.notices[item.name] = [each.notice for each in files if each.notice is not None]
        except NemoError as error:
            return Problem(item, error)
        return None

    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) * 2), "nemo-look") as pool:
        return [found for found in pool.map(problem, items) if found is not None]


@dataclass(frozen=True)
class Plan:
    """The items of a batch, those that are due, and the last lines of all."""

    items: Sequence[BatchItem]
    due: Sequence[BatchItem]
    latest: Mapping[str, Any]
    left_out: Sequence[LeftOut] = ()


async def plan_batch(run: Run, plan: Plan, max_credits: int) -> Outcome:
    """What a run would do, what it would cost, and what is wrong. Nothing is sent, nothing is written."""
    import asyncio

    lang = run.screen.lang
    seen = Seen()
    found = await asyncio.to_thread(find_problems, plan.due, run.profile, seen)
    broken = {problem.item.name for problem in found}
    sound = [item for item in plan.due if item.name not in broken]
    fresh = await _count_new(sound, run.profile, seen.keys)
    counts = Counter(item.profile or run.profile for item in sound)
    prices = [await _estimate_price(name, count, fresh[name]) for name, count in counts.items() if _is_known(name)]
    lines = [say("batch.plan", lang, count=len(plan.due), total=len(plan.items))]
    lines += [_describe_price(price, lang) for price in prices]
    paid = [price for price in prices if price["credits"]]
    if max_credits and paid and max_credits < sum(price["credits"] for price in paid):
        enough = int(max_credits // max(price["each"] for price in paid))
        lines.append(say("batch.price-limit", lang, limit=max_credits, count=enough))
    text_id = "batch.problems" if found else "batch.no-problems"
    notes = [say(text_id, lang, count=len(found)), *(problem.text(lang) for problem in found[:SHOWN])]
    notes += [*seen.describe(plan.due, lang), *describe_left_out(plan.left_out, lang)]
    data = {
        "items": len(plan.items),
        "due": len(plan.due),
        "prices": prices,
        "credits": sum(price["credits"] for price in prices),
        "problems": [
            {"item": each.item.name, "line": each.item.line or None, "error": each.error.text(lang)} for each in found
        ],
    }
    data |= left_out_to_json(plan.left_out)
    return Outcome("\n".join(lines), data, notes=tuple(notes), exit_code=_choose_exit_code(found))


def _choose_exit_code(found: Iterable[Problem]) -> int:
    return max((problem.error.exit_code for problem in found), default=0)


def _is_known(name: str) -> bool:
    try:
        find_profile(name)
    except InputError:
        return False
    return True


async def _count_new(due: Sequence[BatchItem], own: str, keys: Mapping[str, list[str]]) -> Counter[str]:
    """How many items of each profile would be paid: neither known to the journal, nor asked for twice."""
    known: set[str] = set()
    if keys and Journal.exists(find_home()):
        async with Journal.open(find_home()) as journal:
            known = await journal.paid_among(sorted({key for each in keys.values() for key in each}))
    fresh: Counter[str] = Counter()
    for item in due:
        own_keys = keys.get(item.name, [])
        if known.isdisjoint(own_keys):
            fresh[item.profile or own] += 1
        known.update(own_keys[:1])
    return fresh


def describe_left_out(left_out: Sequence[LeftOut], lang: str) -> list[str]:
    """What folders and globs left out, a line for each reason."""
    told = []
    for reason in dict.fromkeys(each.reason for each in left_out):
        names = [str(each.path.name) for each in left_out if each.reason == reason]
        shown = ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
        told.append(say(f"left-out.{reason}", lang, count=len(names), names=shown))
    return told


def left_out_to_json(left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """The same as plain data; nothing where nothing was left out."""
    found = [{"file": str(each.path), "reason": each.reason} for each in left_out]
    return {"left_out": found} if found else {}


async def _estimate_price(name: str, count: int, fresh: int) -> dict[str, Any]:
    """About what so many items cost, of which `fresh` are paid: by what was seen here, where anything was."""
    if find_profile(name).free:
        return {"profile": name, "items": count, "each": 0.0, "credits": 0.0, "seen": True}
    seen: list[float] = []
    if Journal.exists(find_home()):
        async with Journal.open(find_home()) as journal:
            seen = await journal.charges(name, _KIND)
    each = estimate_price(_KIND, seen)
    price = {"profile": name, "items": count, "each": each, "credits": each * fresh, "seen": bool(seen)}
    return price if fresh == count else {**price, "known": count - fresh}


def _describe_price(price: Mapping[str, Any], lang: str) -> str:
    facts = {**price, "count": price["items"], "credits": f"{price['credits']:g}", "each": f"{price['each']:g}"}
    text_id = "batch.price-free" if not price["each"] else "batch.price" if price["seen"] else "batch.price-guess"
    known = " " + say("batch.price-known", lang, count=price["known"]) if price.get("known") else ""
    return say(text_id, lang, **facts) + known

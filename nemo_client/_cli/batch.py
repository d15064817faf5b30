"""`nemo-video batch`: many pictures become many videos in one folder, with a line for each and a page of all."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .._batch.dask import Cluster
from .._batch.item import BatchItem, assign_names
from .._batch.manifest import MANIFESTS, LeftOut, leave_out_delivered, read_items
from .._batch.report import locate_thumbnail, make_thumbnail, write_page
from .._batch.results_file import RESULTS, BatchFolder, correct_duplicates
from .._batch.runner import Batch, BatchResult, Executor, LocalExecutor
from .._config.paths import find_home
from .._errors import InputError, NemoError
from .._journal.journal import Journal
from .._journal.money import Money
from .._studio.progress import Caller
from .._text.messages import say
from .animate import check_writable
from .batch_money import Accounts, sum_all_runs
from .batch_plan import Plan, Seen, describe_left_out, find_problems, left_out_to_json, plan_batch
from .batch_progress import Board, format_duration
from .output import INTERRUPTED, Outcome
from .runtime import Run

MIXED_CODE: Final = NemoError.exit_code
_THUMBNAILS_AT_ONCE: Final = 2


@dataclass(frozen=True)
class Wanted:
    """What `batch` was asked for, as it was typed; `defaults` are what items leave open."""

    sources: Sequence[str]
    output: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    jobs: int = 0
    max_credits: int = 0
    dry_run: bool = False
    retry: str = ""
    skip_broken: bool = False
    scheduler: str = ""

    @property
    def folder(self) -> Path:
        """Where the videos go: as typed, else beside where one works, called like the folder or the manifest."""
        if self.output:
            return Path(self.output)
        first = Path(self.sources[0]).expanduser()
        if len(self.sources) == 1 and "://" not in self.sources[0]:
            if first.suffix.lower() in MANIFESTS:
                return Path(f"{first.stem}-videos")
            if first.is_dir():
                return Path(f"{first.resolve().name or 'all'}-videos")
        return Path("videos")


async def batch(run: Run, wanted: Wanted) -> Outcome:
    """Carry out all that is not done yet."""
    if wanted.retry not in ("", "failed"):
        raise InputError("value", name="--retry", value=wanted.retry, expected="failed")
    defaults = {**wanted.defaults, "profile": run.profile}
    folder = BatchFolder(wanted.folder)
    left_out: list[LeftOut] = []
    found = await asyncio.to_thread(read_items, wanted.sources, defaults, left_out)
    found, ours = leave_out_delivered(found, await _find_delivered(found))
    if ours and not found:
        raise InputError("batch-no-pictures", name=wanted.sources[0])
    left_out += ours
    items = assign_names(found, (await asyncio.to_thread(folder.read_latest)).values())
    if wanted.dry_run:
        due, latest = _select_due(folder, items, wanted.retry)
        if wanted.scheduler and due:
            async with Cluster(wanted.scheduler, folder.path, run.caller.run) as cluster:
                await cluster.validate_workers(due, dry=True)
                run.screen.remark(describe_cluster(cluster, run))
        return await plan_batch(run, Plan(items, due, latest, left_out), wanted.max_credits)
    with folder:
        return await Work(run, wanted, folder, items, left_out).carry_out()


async def _find_delivered(items: Sequence[BatchItem]) -> set[str]:
    """Those pictures of folders and globs that the journal names as videos that were delivered."""
    listed = [item.image[0] for item in items if item.listed]
    if not listed or not Journal.exists(find_home()):
        return set()
    async with Journal.open(find_home()) as journal:
        return await journal.delivered_among(listed)


def _select_due(folder: BatchFolder, items: Sequence[BatchItem], retry: str) -> tuple[list[BatchItem], dict[str, Any]]:
    """The items to carry out, and the last lines of all that have one."""
    latest = folder.read_latest()
    return [item for item in items if _is_due(folder, item, latest.get(item.name), retry)], latest


def _is_due(folder: BatchFolder, item: BatchItem, line: Mapping[str, Any] | None, retry: str) -> bool:
    """Whether an item is to be carried out: it never was, its request or file changed, or it did not come to an end."""
    if line is None or line.get("request") != item.request:
        return True
    if line["state"] == "failed":
        return retry == "failed"
    return not folder.has_video(line)


class Work:
    """One run of a batch in its folder."""

    def __init__(
        self, run: Run, wanted: Wanted, folder: BatchFolder, items: Sequence[BatchItem], left_out: Sequence[LeftOut]
    ) -> None:
        self._run = run
        self._wanted = wanted
        self._folder = folder
        self._items = items
        self._left_out = left_out
        self._began = time.monotonic()
        self._accounts = Accounts(folder, run.caller.run)
        self._thumbnails: set[asyncio.Task[None]] = set()
        self._drawing = asyncio.Semaphore(_THUMBNAILS_AT_ONCE)
        self._cluster: Cluster | None = None
        self._error: NemoError | None = None
        self._codes: set[int] = set()
        self._money = Money()

    async def carry_out(self) -> Outcome:
        """Carry out what is due, and tell of all."""
        run = self._run
        due, self._latest = await asyncio.to_thread(_select_due, self._folder, self._items, self._wanted.retry)
        self._tell_kept(due)
        self._forget_outdated(due)
        due = await self._keep_usable(due)
        async with contextlib.AsyncExitStack() as stack:
            if self._wanted.scheduler and due:
                self._cluster = await stack.enter_async_context(self._open_cluster())
                await self._cluster.validate_workers(due)
                run.screen.remark(describe_cluster(self._cluster, run))
            await self._carry_out_due(due)
        self._money = await self._accounts.close()
        for line in correct_duplicates(self._latest):
            await asyncio.to_thread(self._folder.results.append, line)
            self._latest[str(line["item"])] = line
        return await self._make_outcome()

    def _open_cluster(self) -> Cluster:
        return Cluster(self._wanted.scheduler, self._folder.path, self._run.caller.run, self._wanted.max_credits)

    async def _carry_out_due(self, due: Sequence[BatchItem]) -> None:
        """Carry out what is due, with a line for each item that ends."""
        run = self._run
        caller = Caller(budget=run.caller.budget, run=run.caller.run)
        work = Batch(due, self._find_executor, self._folder.path, jobs=self._wanted.jobs, caller=caller)
        work.first_names.update({str(line["key"]): name for name, line in self._latest.items() if _is_first(line)})
        run.again, run.on_stop = run.screen.command, work.stop
        run.elsewhere = (lambda: work.running) if self._cluster is not None else run.elsewhere
        board = Board(run.screen, work, len(self._items), self._count_kept(due), await self._estimate_seconds(due))
        try:
            async with board.show_while_open(), aclosing(work.results()) as results:
                async for result in results:
                    await self._record_result(result)
                    board.report_result(result)
        except NemoError as error:
            self._error = error
            self._codes.add(error.exit_code)
        if run.presses or self._error is not None:  # a message may be in flight that no item waits for
            await run.wait_for_rest()

    def _tell_kept(self, due: Sequence[BatchItem]) -> None:
        """What earlier runs did, and this one leaves as it is."""
        names = {item.name for item in due}
        kept = [self._latest[item.name]["state"] for item in self._items if item.name not in names]
        for state, text_id in (("done", "batch.found"), ("failed", "batch.kept-failed")):
            if count := kept.count(state):
                self._run.screen.remark(say(text_id, self._run.screen.lang, count=count))

    def _forget_outdated(self, due: Sequence[BatchItem]) -> None:
        """A line of another request, or of a video that is gone, says nothing of the item any more."""
        for item in due:
            line = self._latest.get(item.name)
            if line is not None and (line["state"] == "done" or line.get("request") != item.request):
                del self._latest[item.name]

    def _count_kept(self, due: Sequence[BatchItem]) -> int:
        names = {item.name for item in due}
        return sum(line.get("state") == "done" and line["item"] not in names for line in self._list_lines())

    async def _keep_usable(self, due: list[BatchItem]) -> list[BatchItem]:
        """The items that can be made, before anything is paid; an error where there are others, unless told so."""
        seen = Seen()
        found = await asyncio.to_thread(find_problems, due, self._run.profile, seen)
        if found and not self._wanted.skip_broken:
            total, first = len(self._items), found[0].text(self._run.screen.lang)
            raise InputError("batch-problems", count=len(found), total=total, first=first)
        for told in seen.describe(due, self._run.screen.lang):
            self._run.screen.remark(told)
        broken = {problem.item.name: problem for problem in found}
        for problem in found:
            await self._record_result(problem.result(self._folder.path))
        sound = [item for item in due if item.name not in broken]
        for item in {str(each.destination(self._folder.path).folder): each for each in sound}.values():
            await asyncio.to_thread(check_writable, item.destination(self._folder.path), item.export.format)
        return sound

    async def _find_executor(self, name: str) -> Executor:
        studio = await self._accounts.open(await self._run.studio_of(name))
        return (
            LocalExecutor(studio)
            if self._cluster is None
            else self._cluster.make_executor(studio.profile, studio.estimate_price)
        )

    async def _estimate_seconds(self, due: Sequence[BatchItem]) -> float | None:
        """How many seconds an item takes here, as far as is known."""
        if not due:
            return None
        return await (await self._run.studio()).estimate_seconds()

    async def _record_result(self, result: BatchResult) -> None:
        """An item has ended: its line is on disk when this returns."""
        line = dict(result.line)
        await asyncio.to_thread(self._folder.results.append, line)
        self._latest[result.item.name] = line
        if result.state != "done":
            if result.error is not None:
                self._codes.add(result.error.exit_code)
        elif result.video is not None:
            task = asyncio.ensure_future(self._make_thumbnail(result.item.name, result.video))
            self._thumbnails.add(task)
            task.add_done_callback(self._thumbnails.discard)

    async def _make_thumbnail(self, name: str, video: Path) -> None:
        async with self._drawing:
            await asyncio.to_thread(make_thumbnail, self._folder.path, name, video)

    def _list_lines(self) -> list[Mapping[str, Any]]:
        """The last lines of this run's items; an empty one for each that has none."""
        return [self._latest.get(item.name, {}) for item in self._items]

    def _count_states(self, state: str) -> int:
        return sum(line.get("state") == state for line in self._list_lines())

    async def _make_outcome(self) -> Outcome:
        """All of it in words, as data and as a page."""
        lang, total, folder = self._run.screen.lang, len(self._items), self._folder.path
        seconds = time.monotonic() - self._began
        done, failed, unknown = self._count_states("done"), self._count_states("failed"), self._count_states("unknown")
        page = await self._write_page(say("page.made", lang, done=done, total=total))
        every = sum_all_runs(await asyncio.to_thread(lambda: list(self._folder.runs.read())))
        told = self._make_failure(total, failed, unknown, total - done - failed - unknown)
        data: dict[str, object] = {
            "folder": str(folder), "results": str(folder / RESULTS), "page": str(page), "items": total, "done": done,
            "failed": failed, "unknown": unknown, "left": total - done - failed - unknown,
            "credits": {"spent": self._money.spent, "certainty": self._money.certainty},
            "credits_in_all": {"spent": every.spent, "certainty": every.certainty}, "seconds": round(seconds, 1),
        }  # fmt: skip
        remarks = [say("batch.summary", lang, done=done, total=total, folder=folder, time=format_duration(seconds))]
        remarks += [*self._describe_spending(every), *describe_left_out(self._left_out, lang)]
        data |= left_out_to_json(self._left_out)
        code = self._choose_exit_code()
        if told is not None:
            self._run.screen.warn(f"nemo-video: {told[1]}")
            data["error"] = {"id": told[0], "message": told[1], "charged": told[2], "exit_code": code}
        return Outcome(str(page), data, tuple(remarks), exit_code=code)

    def _describe_spending(self, every: Money) -> list[str]:
        """What this run took, and all of this folder's."""
        lang, money = self._run.screen.lang, self._money
        if self._accounts.all_free and not every.spent:
            return [say("shell.free", lang)]
        told = say(f"batch.spent.{money.certainty}", lang, spent=f"{money.spent or 0:g}")
        return [told, say(f"batch.all.{every.certainty}", lang, spent=f"{every.spent or 0:g}")]

    def _choose_exit_code(self) -> int:
        """0 only if every item is done; else the code that all failures share, or that of the backend."""
        if self._run.presses:
            return INTERRUPTED
        if self._error is not None:
            return self._error.exit_code
        if self._count_states("done") == len(self._items):
            return 0
        return self._codes.pop() if len(self._codes) == 1 else MIXED_CODE

    def _make_failure(self, total: int, failed: int, unknown: int, left: int) -> tuple[str, str, str] | None:
        """What went wrong, in one line: its id, its words, and what is known of money."""
        lang, error = self._run.screen.lang, self._error
        if self._run.presses:
            return self._describe_state("batch-stopped", "stopped", "unknown", left=left + unknown, total=total)
        if error is not None:
            reason = say(error.text_id, lang, **error.facts)
            return self._describe_state(
                "batch-left", "stopped", "unknown", left=left + unknown, total=total, reason=reason
            )
        if failed:
            line = next(found for found in self._list_lines() if found.get("state") == "failed")
            first = f"{line['item']}: {line['error']}"
            return self._describe_state(
                "batch-failed", "failed", failed=failed, total=total, first=first, results=RESULTS
            )
        if unknown:
            return self._describe_state("batch-unknown", "unknown", count=unknown)
        return self._describe_state("batch-left", "stopped", left=left, total=total, reason="") if left else None

    def _describe_state(self, text_id: str, *states: str, **facts: object) -> tuple[str, str, str]:
        """A failure of the items in these states, with what is known of their money."""
        lang = self._run.screen.lang
        known = {str(line.get("charged")) for line in self._list_lines() if line.get("state") in states}
        charged = "yes" if "yes" in known else "maybe" if "maybe" in known else "no"
        text = f"{say(text_id, lang, **facts)} {say(f'batch-money.{charged}', lang)}"
        return text_id, " ".join(text.split()), charged

    async def _write_page(self, note: str) -> Path:
        """The page of all items, in their order, and of what else the results tell of."""
        if self._thumbnails:
            await asyncio.wait(set(self._thumbnails))
        mine = {item.name for item in self._items}
        lines = [self._latest.get(item.name) or _open_line(item) for item in self._items]
        lines += [line for name, line in self._latest.items() if name not in mine]
        await asyncio.gather(*(self._make_missing_thumbnail(line) for line in lines))
        return await asyncio.to_thread(write_page, self._folder.path, lines, note, self._run.screen.lang)

    async def _make_missing_thumbnail(self, line: Mapping[str, Any]) -> None:
        """The thumbnail of a video that an earlier run made, and was killed before it could draw one."""
        name = str(line["item"])
        if self._folder.has_video(line) and not locate_thumbnail(self._folder.path, name).exists():
            await self._make_thumbnail(name, self._folder.path / str(line["video"]))


def describe_cluster(cluster: Cluster, run: Run) -> str:
    return say("batch.cluster", run.screen.lang, workers=cluster.workers, threads=cluster.threads)


def _is_first(line: Mapping[str, Any]) -> bool:
    """Whether others that ask for the same are its duplicates."""
    return line.get("state") == "done" and bool(line.get("key")) and not line.get("duplicate_of")


def _open_line(item: BatchItem) -> dict[str, Any]:
    return {"item": item.name, "state": "open", "prompt": item.prompt}

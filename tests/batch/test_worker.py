"""A worker of a cluster by itself: what it finds, when it takes no part, and how errors travel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nemo_client import (
    BatchItem,
    Budget,
    Caller,
    ClusterError,
    Journal,
    LimitError,
    NemoError,
    Profile,
    RateLimited,
    _errors,
    home,
)
from nemo_client._batch import worker
from nemo_client._batch.dask import DaskExecutor
from nemo_client._batch.dask import inspect_this_machine as inspect_this_machine
from nemo_client._batch.item_task import ItemTask
from nemo_client._batch.worker import (
    Worker,
    collect_terms,
    compute_fingerprint,
    error_from_dict,
    error_to_dict,
    open_own_journal,
    require_same_terms,
)
from nemo_client._config.timings import BatchTimings
from nemo_client._errors import JournalAway
from nemo_client._journal.steps import State
from nemo_client._text.messages import Phrase
from nemo_client._wire.rate_limiter import RateLimiter
from tests.cli.test_animate_and_chat import Shell, shell, start
from tests.support.backend import Cloud, cloud, until
from tests.support.dask_cluster import needs_dask
from tests.support.timings import Shorten

__all__ = ["cloud", "shell", "start"]
Clouds = Callable[..., Cloud]
TERMS = {
    "version": "1", "host": "one", "mark": "/videos/.mark", "picture": "/a.png", "folder": True, "names": ["nemo"],
    "profiles": {"nemo": "nemo https://a:443"}, "accounts": {"nemo": "abc"}, "journal": "j", "shared": True, "run": "r",
}  # fmt: skip
FOUND = {
    "version": "1", "host": "two", "folder": True, "picture": True, "profiles": {"nemo": "nemo https://a:443"},
    "accounts": {"nemo": "abc"}, "journal": "j", "shared": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "found", "text_id"),
    [
        ({}, {}, ""),
        ({}, {"version": "2"}, "cluster-version"),
        ({}, {"error": error_to_dict(JournalAway(path="NEMO_JOURNAL_URL", reason="refused"))}, "cluster-worker"),
        ({}, {"folder": False}, "cluster-folder"),
        ({}, {"picture": False}, "cluster-folder"),
        ({}, {"profiles": {}}, "cluster-profile"),
        ({}, {"profiles": {"nemo": "nemo https://b:443"}}, "cluster-profile"),
        ({}, {"accounts": {"nemo": ""}}, "cluster-worker-account"),
        ({}, {"accounts": {"nemo": "xyz"}}, "cluster-other-account"),
        ({}, {"journal": "k"}, "cluster-journal"),
        ({}, {"shared": False}, "cluster-file-journal"),
        ({"shared": False}, {"shared": False}, "cluster-file-journal"),
        ({"shared": False}, {"shared": False, "host": "one"}, ""),
        ({"profiles": {}}, {"profiles": {}, "journal": "k", "shared": False}, ""),
    ],
)
def test_who_differs_takes_no_part(terms: dict[str, Any], found: dict[str, Any], text_id: str) -> None:
    """By another program, folder, profile, account or journal; a journal that is a file is for one machine. What is
    free needs no journal in common."""
    worker = "tcp://worker:1"
    if not text_id:
        require_same_terms({**TERMS, **terms}, {**FOUND, **found}, worker)
        return
    with pytest.raises(ClusterError) as raised:
        require_same_terms({**TERMS, **terms}, {**FOUND, **found}, worker)

    assert raised.value.id == text_id
    assert worker in raised.value.text("en")
    assert raised.value.charged == "no"


async def test_a_machine_finds_itself_as_it_is(cloud: Clouds, tmp_path: Path) -> None:
    """The journal by a name of its own, the account by a fingerprint that is neither the account nor its token."""
    cloud()
    mark = tmp_path / "mark"
    mark.touch()
    asked = {"mark": str(mark), "picture": str(tmp_path / "none.png"), "names": ["nemo", "local preview"]}
    found = await inspect_this_machine(asked)
    again = await inspect_this_machine(asked)

    assert (found["folder"], found["picture"], found["shared"]) == (True, False, False)
    assert list(found["profiles"]) == ["nemo"]
    assert found["journal"] == again["journal"] != ""
    assert found["accounts"] == again["accounts"]
    assert len(found["accounts"]["nemo"]) == 16
    require_same_terms(collect_terms(found, asked, "run"), {**found, "picture": True}, "w")


async def test_nobody_signs_up_to_find_out(cloud: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a token says so; a free account is not opened for it."""
    backend = cloud(anonymous=True)
    monkeypatch.delenv("NEMO_TOKEN", raising=False)
    asked = {"mark": "", "picture": "", "names": ["nemo"]}
    found = await inspect_this_machine(asked)

    with pytest.raises(ClusterError, match="no token for the profile 'nemo'"):
        collect_terms(found, asked, "run")
    assert not backend.backend.calls


async def test_what_keeps_a_machine_from_looking_is_its_finding() -> None:
    """An unknown profile is told as the reason, not raised in the worker; on the machine that starts it is raised."""
    asked = {"mark": "", "picture": "", "names": ["nowhere"]}
    found = await Worker().inspect(asked)

    with pytest.raises(ClusterError, match="'nowhere'"):
        require_same_terms(TERMS, {**found, "version": "1"}, "tcp://worker:1")
    with pytest.raises(NemoError, match="nowhere"):
        await inspect_this_machine(asked)


@pytest.mark.parametrize(
    "error",
    [
        RateLimited(code=429, status=429, retry_after=7.0),
        LimitError("limit", estimate="100", limit=50, limit_name="max_credits", spent="0"),
        JournalAway(path=Path("/home/x"), reason="gone", unsure=True),
        _errors.BadAnswer("bad-answer", status=502, retry_after=3.0, reason="HTML"),
        _errors.ResultUnknown(),
        _errors.Cancelled("cancelled", charged="maybe"),
        _errors.TooLate(),
    ],
)
def test_errors_travel_as_plain_data(error: NemoError) -> None:
    """Kind, words, money and a wish for a pause come through; a kind that is made inside comes as its root."""
    back = error_from_dict(error_to_dict(error))

    assert type(back) is (NemoError if isinstance(error, _errors.TooLate) else type(error))
    assert (back.text("en"), back.charged) == (error.text("en"), error.charged)
    assert getattr(back, "retry_after", None) == getattr(error, "retry_after", None)


def test_a_reason_of_ours_comes_back_in_every_language() -> None:
    """In the plain data it is its English words, which any program can read."""
    data = json.loads(
        json.dumps(error_to_dict(_errors.DiskError("home-unusable", path="/x", reason=Phrase("why.locked"))))
    )

    assert data["facts"]["reason"] == "it is locked"
    assert "被占用" in error_from_dict(data).text("zh")


def test_no_secret_travels_with_an_error() -> None:
    """Also not in a fact that quotes a server, and never what is no error of ours."""
    error = NemoError("unexpected", kind="X", reason="Bearer nmv_usr_secret1")

    assert "nmv_usr_secret1" not in str(error_to_dict(error))
    assert type(error_from_dict({**error_to_dict(error), "type": "redact"})) is NemoError
    assert compute_fingerprint("") == ""


class Answers:
    """In the place of a cluster: answers in their order, whatever is asked."""

    def __init__(self, *answers: dict[str, Any], limit: int = 0) -> None:
        self.budget, self.running, self.paying_workers = Budget(limit), {}, {}
        self.orders: list[Any] = []
        self._answers = list(answers)

    async def submit_order(self, order: Any) -> dict[str, Any]:
        self.orders.append(order)
        return self._answers.pop(0)

    def make_executor(self) -> DaskExecutor:
        async def estimate_price() -> float:
            return 100.0

        return DaskExecutor(self, Profile("nemo", "https://a"), RateLimiter(4), estimate_price)  # type: ignore[arg-type]


def made(key: str = "generate-1", **line: Any) -> dict[str, Any]:
    """A worker's answer: a video that took 100 credits."""
    money = {"before": 500, "after": 400, "spent": 100, "certainty": "exact"}
    mine = {"item": "elsewhere", "state": "done", "key": key, "image": ["/elsewhere.png"], "request": "theirs"}
    return {"line": {**mine, "charged": "yes", "credits": 100, **line}, "money": money, "worker": "w"}


def failed(error: NemoError, key: str = "generate-1", worker: str = "w") -> dict[str, Any]:
    """A worker's answer: what an item failed with."""
    return {"error": error_to_dict(error), "key": key, "profile": "nemo", "charged": error.charged, "worker": worker}


def make_item_task(name: str, folder: Path, first_names: dict[str, str] | None = None) -> ItemTask:
    item = BatchItem(("~/photo.png",), "push-in", output=name, profile="nemo")
    return ItemTask(item, folder, Caller(), first_names={} if first_names is None else first_names)


LIMIT = LimitError("limit", estimate="100", limit=150, limit_name="max_credits", spent="100")


async def test_lines_are_those_of_the_machine_that_asks(tmp_path: Path) -> None:
    """Names, pictures and the hash of the request as they are here; of two identical items one took something."""
    answers, first_names = Answers(made(), made()), {}
    found = []
    for name in ("one", "two"):
        item_task = make_item_task(name, tmp_path, first_names)
        found.append(await answers.make_executor().carry_out(item_task))
        assert (found[-1][0]["request"], found[-1][0]["item"]) == (item_task.item.request, name)

    assert [line["image"] for line, _ in found] == [["~/photo.png"]] * 2
    assert [line.get("duplicate_of") for line, _ in found] == [None, "one"]
    assert [(line["charged"], money.spent) for line, money in found] == [("yes", 100), ("no", 0)]
    assert all(Path(each["item"]["image"][0]).is_absolute() for each in answers.orders)


async def test_a_twin_that_was_refused_is_not_the_first(tmp_path: Path) -> None:
    """What the other one pays for counts against the limit."""
    answers, first_names = Answers(failed(LIMIT), made(), limit=150), {}
    answers.budget.take("other", 100)
    with pytest.raises(LimitError):
        await answers.make_executor().carry_out(make_item_task("twin", tmp_path, first_names))
    line, money = await answers.make_executor().carry_out(make_item_task("one", tmp_path, first_names))

    assert (line["charged"], money.spent, line.get("duplicate_of")) == ("yes", 100, None)
    assert answers.budget.without("other") == 100


async def test_what_was_perhaps_paid_for_stays_so(tmp_path: Path) -> None:
    """A later try that fails before it looks into the journal knows nothing of it; its share is kept, too."""
    broken = _errors.ResultUnknown("stream-failure", reason="x")
    away = _errors.ConnectError("connect-failed", host="h", reason="r")
    answers, item_task = Answers(failed(broken), failed(away), limit=150), make_item_task("one", tmp_path)
    for kind in (_errors.ResultUnknown, _errors.ConnectError):
        with pytest.raises(kind) as caught:
            await answers.make_executor().carry_out(item_task)

    assert item_task.make_failure_line(caught.value)["charged"] == "maybe"
    assert item_task.make_failure_line(caught.value)["credits"] is None
    assert answers.budget.without("") == 100


@pytest.mark.parametrize(("error", "ends"), [(_errors.Cancelled("cancelled"), "unknown"), (LIMIT, "stopped")])
async def test_what_a_dead_worker_had_sent_is_not_told_as_free(tmp_path: Path, error: NemoError, ends: str) -> None:
    """It told of a message; the one that took the item over failed before it could look."""
    answers, item_task = Answers(failed(error, key="", worker="second")), make_item_task("one", tmp_path)
    answers.paying_workers["one"] = "first"
    with pytest.raises(NemoError) as caught:
        await answers.make_executor().carry_out(item_task)
    line = item_task.make_failure_line(caught.value)

    assert (line["state"], line["charged"]) == (ends, "maybe")


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Makes the order of an item, as `_cluster` sends it."""

    def make(number: int = 0, run: str = "run", limit: int = 0, gone: float = 0.0, **found: Any) -> dict[str, Any]:
        path = tmp_path / f"shot{number}.png"
        Image.new("RGB", (32, 24), (number, 80, 90)).save(path)
        item = BatchItem((str(path),), "push-in", duration=1, output=f"shot{number}", profile="nemo")
        asked = {"mark": "", "picture": "", "names": ["nemo"]}
        terms = {**found, **asked, "run": run}
        return {
            "item": item.to_json(), "folder": str(tmp_path / "videos"), "limit": limit, "gone": gone, "terms": terms
        }  # fmt: skip

    return make


@pytest.fixture
async def found(cloud: Clouds, shorten: Shorten) -> dict[str, Any]:
    """What this machine finds of itself."""
    shorten(studio={"quiet": 0.0})
    cloud()
    return await inspect_this_machine({"mark": "", "picture": "", "names": ["nemo"]})


@contextlib.asynccontextmanager
async def open_worker(kind: type[Worker] = Worker, **options: Any) -> Any:
    worker_here = kind(**options)
    try:
        yield worker_here
    finally:
        await worker_here.close()


def nothing() -> None:
    return None


async def test_what_this_batch_paid_for_is_told_as_paid_by_whoever_finds_it(order: Any, found: Any) -> None:
    """An item whose worker died is begun again: its price is the batch's. What an older one paid for costs nothing."""
    async with open_worker() as worker_here:
        paid = await worker_here.carry_out(order(**found), "w", nothing)
        again = await worker_here.carry_out(order(**found), "w", nothing)
        later = await worker_here.carry_out(order(run="later", **found), "w", nothing)

    assert [each["line"]["charged"] for each in (paid, again, later)] == ["yes", "yes", "no"]
    assert [each["money"]["spent"] for each in (paid, again, later)] == [100, 100, 0]


async def test_a_video_that_is_there_is_told_also_where_the_journal_is_away_by_then(order: Any, found: Any) -> None:
    """Else what was paid for just now would be called free, and its share given away."""

    class ThenAway(Journal):
        away = False

        async def latest(self, *what: Any) -> Any:
            if self.away:
                raise JournalAway(path="NEMO_JOURNAL_URL", reason="gone")
            return await super().latest(*what)

    class WithoutJournal(Worker):
        async def _attribute_to_run(self, *what: Any) -> Any:
            journal.away = True
            return await super()._attribute_to_run(*what)

    journal = ThenAway(home())
    async with open_worker(WithoutJournal, open_journal=lambda: journal) as worker_here:
        answer = await worker_here.carry_out(order(**found), "w", nothing)

    assert (answer["line"]["state"], answer["line"]["charged"], answer["money"]["spent"]) == ("done", "yes", 100)


async def test_the_share_of_all_others_counts(order: Any, found: Any) -> None:
    """What the batch's other items take elsewhere counts against its limit here."""
    async with open_worker() as worker_here:
        refused = await worker_here.carry_out(order(limit=350, gone=300.0, **found), "w", nothing)
        fits = await worker_here.carry_out(order(limit=350, gone=200.0, **found), "w", nothing)

    assert (refused["error"]["type"], refused["error"]["charged"]) == ("LimitError", "no")
    assert fits["line"]["state"] == "done"


async def test_it_says_once_when_an_item_is_paid_for(order: Any, found: Any) -> None:
    """So that a Ctrl-C elsewhere knows what goes on."""
    told_of: list[int] = []
    async with open_worker() as worker_here:
        await worker_here.carry_out(order(**found), "w", lambda: told_of.append(1))

    assert told_of == [1]


async def test_a_batch_that_was_given_up_begins_nothing_more(order: Any, found: Any) -> None:
    """Others go on."""
    async with open_worker() as worker_here:
        worker_here.cancel_unpaid("run")
        stopped = await worker_here.carry_out(order(**found), "w", nothing)
        other = await worker_here.carry_out(order(run="other", **found), "w", nothing)

    assert (stopped["error"]["id"], stopped["error"]["charged"]) == ("cancelled", "no")
    assert other["line"]["state"] == "done"


@pytest.mark.parametrize(("endpoint", "ends"), [("upload", "cancelled"), ("message", "done")])
async def test_giving_up_ends_what_is_not_paid_for_alone(
    cloud: Clouds, order: Any, shorten: Shorten, endpoint: str, ends: str
) -> None:
    """A message in flight comes to its end, and so does its item; before that nothing is sent any more."""
    shorten(studio={"quiet": 0.0})
    backend = cloud()
    backend.fault("stall", endpoint, seconds=0.7, at="request" if endpoint == "upload" else "headers")
    mine = await inspect_this_machine({"mark": "", "picture": "", "names": ["nemo"]})
    async with open_worker() as worker_here:
        working = asyncio.ensure_future(worker_here.carry_out(order(**mine), "w", nothing))
        await until(lambda: backend.ledger.messages if endpoint == "message" else backend.sent("upload"))
        worker_here.cancel_unpaid("run")
        answer = await working

    assert (answer["error"]["id"] if "error" in answer else answer["line"]["state"]) == ends
    assert len(backend.ledger.messages) == (endpoint == "message")


async def test_a_worker_that_is_closed_reads_what_is_paid_for_to_its_end(
    cloud: Clouds, order: Any, shorten: Shorten
) -> None:
    """Dask cancels its items then. Another worker finds the result at once."""
    shorten(studio={"quiet": 0.0})
    backend = cloud()
    backend.fault("stall", "message", seconds=0.7, at="headers")
    mine = await inspect_this_machine({"mark": "", "picture": "", "names": ["nemo"]})
    async with open_worker() as worker_here, open_worker() as other:
        working = asyncio.ensure_future(worker_here.carry_out(order(**mine), "w", nothing))
        await until(lambda: backend.ledger.messages)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert worker_here._journal is not None
        states = [each.state for each in await worker_here._journal.recent() if each.paid]
        answer = await other.carry_out(order(**mine), "w", nothing)

    assert states == [State.DONE]
    assert (answer["line"]["state"], answer["line"]["charged"]) == ("done", "yes")
    assert len(backend.ledger.messages) == 1


async def test_a_message_that_goes_out_while_it_is_given_up_is_read_to_its_end(
    cloud: Clouds, order: Any, shorten: Shorten
) -> None:
    """It is on record, and cannot be called back: told as perhaps paid, and read on when the batch ends."""
    shorten(studio={"quiet": 0.0})
    backend = cloud()
    recorded, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Journal):
        async def commit(self, *arguments: Any, **more: Any) -> Any:
            attempt = await super().commit(*arguments, **more)
            recorded.set()
            await go_on.wait()
            return attempt

    mine = await inspect_this_machine({"mark": "", "picture": "", "names": ["nemo"]})
    async with open_worker(open_journal=lambda: Slow(home())) as worker_here:
        working = asyncio.ensure_future(worker_here.carry_out(order(**mine), "w", nothing))
        await recorded.wait()
        worker_here.cancel_unpaid("run")
        answer = await working
        go_on.set()
        await worker_here.release("run")
    journal = open_own_journal()
    states = [each.state for each in await journal.recent() if each.paid]
    await journal.close()

    assert (answer["error"]["id"], answer["error"]["charged"]) == ("result-unknown", "maybe")
    assert (states, len(backend.ledger.charges)) == ([State.DONE], 1)


async def test_items_that_begin_at_once_share_one_journal(order: Any, found: Any) -> None:
    """One connection to the database, which lets a hundred in, or fewer."""
    opened: list[Journal] = []

    def counted() -> Journal:
        opened.append(open_own_journal())
        return opened[-1]

    async with open_worker(open_journal=counted) as worker_here:
        await asyncio.gather(*(worker_here.carry_out(order(number, **found), "w", nothing) for number in range(6)))

    assert len(opened) == 1


async def test_a_video_that_another_host_delivered_into_the_folder_is_found(
    order: Any, found: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker that died after it had delivered, and one elsewhere that takes the item over: one file."""
    videos = []
    for host in ("one", "two"):
        monkeypatch.setenv("NEMO_HOST_ID", host)
        async with open_worker() as worker_here:
            mine = await worker_here.inspect({"mark": "", "picture": "", "names": ["nemo"]})
            videos.append((await worker_here.carry_out(order(**mine), "w", nothing))["line"]["video"])

    assert videos == ["shot0.mp4"] * 2
    assert [path.name for path in (tmp_path / "videos").iterdir()] == ["shot0.mp4"]


async def test_no_address_travels(found: Any) -> None:
    """Of a backend: two profiles are compared by what cannot be turned back."""
    assert "127.0.0.1" not in str(found)
    assert "http" not in str(found)


async def test_a_copied_home_directory_is_another_journal(
    found: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a file, the id is copied with it; two such files would pay twice."""
    shutil.copytree(home(), tmp_path / "copy")
    monkeypatch.setenv("NEMO_HOME", str(tmp_path / "copy"))
    asked = {"mark": "", "picture": "", "names": ["nemo"]}
    copied = await inspect_this_machine(asked)

    with pytest.raises(ClusterError) as raised:
        require_same_terms(collect_terms(found, asked, "run"), copied, "w")
    assert raised.value.id == "cluster-journal"


async def test_a_worker_without_work_gives_its_connections_back(order: Any, found: Any) -> None:
    """By itself after a while, at once when its batch has ended, and it opens them again for the next item."""
    async with open_worker(timings=BatchTimings(idle=0.05)) as worker_here:
        await worker_here.carry_out(order(**found), "w", nothing)
        assert worker_here._studios
        await until(lambda: (worker_here._studios, worker_here._journal) == ({}, None))

        worker_here.timings = BatchTimings(idle=60.0)
        await worker_here.carry_out(order(1, **found), "w", nothing)
        await worker_here.release("run")
        assert (worker_here._studios, worker_here._journal) == ({}, None)


async def test_what_is_no_error_of_ours_travels_without_its_traceback(
    order: Any, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames can hold what must not leave a machine."""

    def broken(*_: object) -> Iterator[None]:
        raise RuntimeError("token nmv_usr_secret1")

    monkeypatch.setattr(worker, "find_profile", broken)
    async with open_worker() as worker_here:
        answer = await worker_here.carry_out(order(**found), "w", nothing)

    assert answer["error"]["id"] == "unexpected"
    assert "nmv_usr_secret1" not in str(answer)


def test_without_dask_the_command_says_what_to_install(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else works without it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    Image.new("RGB", (32, 24)).save(tmp_path / "shot.png")
    ran = shell("batch", tmp_path / "shot.png", "--local", "--scheduler", "tcp://127.0.0.1:1")

    assert (ran.code, ran.out) == (5, "")
    assert "pip install 'nemo-video[fleet]'" in ran.err


@needs_dask
def test_a_server_that_says_nothing_is_no_scheduler(shell: Shell, tmp_path: Path, shorten: Shorten) -> None:
    """The connection stands, and no answer comes: that has an end, too."""
    shorten(batch={"connect": 0.5})
    Image.new("RGB", (32, 24)).save(tmp_path / "shot.png")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        ran = shell("batch", tmp_path / "shot.png", "--local", "--scheduler", address)

    assert ran.code == 5
    assert f"The scheduler at {address} does not answer" in ran.err


@needs_dask
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "127.0.0.1:1", "nonsense://here", "tls://127.0.0.1:1"])
def test_a_scheduler_that_does_not_answer_is_named(
    shell: Shell, tmp_path: Path, shorten: Shorten, address: str
) -> None:
    """In one line, and nothing is begun or left."""
    shorten(batch={"connect": 0.5})
    Image.new("RGB", (32, 24)).save(tmp_path / "shot.png")
    ran = shell("batch", tmp_path / "shot.png", "--local", "--output", tmp_path / "out", "--scheduler", address)

    assert ran.code == 5
    assert f"The scheduler at {address} does not answer" in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".nemo-batch.lock"}

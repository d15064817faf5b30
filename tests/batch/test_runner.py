"""Many items on the local backend: as they end, one failure alone, nothing twice, limits for all together."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nemo_client import (
    BatchItem,
    BatchResult,
    Budget,
    Caller,
    DiskError,
    InputError,
    LimitError,
    SignInError,
    Studio,
    carry_out,
)
from nemo_client._batch.item_task import ItemTask
from nemo_client._batch.runner import MAX_ATTEMPTS, MAX_BROKEN_CONNECTIONS, Batch, LocalExecutor
from tests.support.backend import Cloud, cloud, until, write_video
from tests.support.disks import small_disk

__all__ = ["cloud"]
Clouds = Callable[..., Cloud]
KEYS = {
    "item", "state", "video", "seconds", "credits", "charged", "error", "what_to_do", "error_id", "duplicate_of",
    "reused", "profile", "image", "prompt", "size", "sha256", "key", "request", "finished",
}  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> Callable[[int], list[BatchItem]]:
    """So many items, each of a picture of its own."""

    def make(count: int) -> list[BatchItem]:
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            pixels = np.full((24, 32, 3), number, np.uint8)
            pixels[4:8, 4:8] = (200, 80, 20)
            Image.fromarray(pixels).save(folder / f"shot{number}.png")
        return [
            BatchItem((str(folder / f"shot{number}.png"),), "slow push-in", duration=1, output=f"shot{number}")
            for number in range(count)
        ]

    return make


async def results(studio: Studio, items: Any, folder: Path, **options: Any) -> list[BatchResult]:
    return [result async for result in studio.batch(items, folder, **options)]


async def collect(found: list[BatchResult], batch: AsyncGenerator[BatchResult, None]) -> None:
    """What a batch gives before it ends with an error is kept."""
    async for result in batch:
        found.append(result)


def spoil(item: BatchItem) -> None:
    """Its picture is none any more."""
    Path(item.image[0]).write_bytes(b"no picture")


def states(found: list[BatchResult]) -> dict[str, str]:
    return {result.item.name: result.state for result in found}


async def test_every_item_becomes_a_video_and_a_plain_line(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """One message and one charge each; the line is JSON with every key, the video named from the folder."""
    backend = cloud()
    async with backend.studio() as studio:
        found = await results(studio, photos(3), tmp_path / "out")

    assert states(found) == dict.fromkeys(("shot0", "shot1", "shot2"), "done")
    assert all(result.video is not None and result.video.is_file() for result in found)
    assert set(json.loads(json.dumps(dict(found[0].line)))) == KEYS
    assert found[0].line["video"] == f"{found[0].item.name}.mp4"
    assert len(backend.ledger.messages) == len(backend.ledger.charges) == 3


async def test_plain_data_is_an_item_too(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """As a manifest's line says it; one without a name is named after its picture."""
    (item,) = photos(1)
    async with cloud().studio() as studio:
        (found,) = await results(studio, [{"image": item.image[0], "prompt": "rain"}], tmp_path / "out")

    assert found.item.name == "shot0"
    assert found.line["prompt"] == "rain"


async def test_the_same_batch_again_pays_and_delivers_nothing_again(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """By the journal: the same files, found where they are."""
    backend, items = cloud(), photos(3)
    async with backend.studio() as studio:
        await results(studio, items, tmp_path / "out")
        again = await results(studio, items, tmp_path / "out")

    assert all(result.line["reused"] and result.line["credits"] == 0 for result in again)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["shot0.mp4", "shot1.mp4", "shot2.mp4"]
    assert len(backend.ledger.messages) == len(backend.ledger.renders) == 3


@pytest.mark.parametrize("failed", [1, 2, 3])
def test_no_item_is_a_duplicate_of_one_that_failed(failed: int, tmp_path: Path) -> None:
    """The first that comes to its end is the one that the others are duplicates of."""
    names: dict[str, str] = {}
    tasks = [
        ItemTask(BatchItem(("a.png",), "x", output=f"take{number}"), tmp_path, Caller(), first_names=names)
        for number in range(5)
    ]
    for task in tasks[:failed]:
        assert task.register_key("generate-1") == ""
        assert task.make_failure_line(InputError("not-an-image", name="a.png"))["duplicate_of"] is None

    assert tasks[failed].register_key("generate-1") == ""
    assert tasks[failed + 1].register_key("generate-1") == f"take{failed}"


async def test_a_failure_costs_its_item_alone(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """The line says what failed, whether it was charged, and what to do; the others are made."""
    items = photos(3)
    spoil(items[1])
    async with cloud().studio() as studio:
        found = await results(studio, items, tmp_path / "out")

    assert states(found) == {"shot0": "done", "shot1": "failed", "shot2": "done"}
    (failed,) = (result for result in found if result.state == "failed")
    assert failed.line["error_id"] == "not-an-image"
    assert (failed.line["charged"], failed.line["credits"], failed.video) == ("no", 0, None)
    assert isinstance(failed.error, InputError)


async def test_no_more_than_jobs_are_under_way(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """Pictures of those that wait are not even read."""
    backend = cloud()
    async with backend.studio() as studio:
        most = 0
        real = studio.animate

        async def watched(*given: Any, **named: Any) -> Any:
            nonlocal most
            most = max(most, studio.limiter.running)
            return await real(*given, **named)

        studio.animate = watched  # type: ignore[method-assign]
        await results(studio, photos(6), tmp_path / "out", jobs=2)

    assert most == 2


async def test_identical_items_are_one_job(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """Each has its file and says of which other it is; the credits stand with the first alone."""
    backend, (item,) = cloud(), photos(1)
    twins = [BatchItem(item.image, item.prompt, 1, output=f"twin{number}") for number in range(3)]
    async with backend.studio() as studio:
        found = await results(studio, twins, tmp_path / "out", jobs=3)

    lines = {result.item.name: result.line for result in found}
    first = {line["duplicate_of"] for line in lines.values() if line["duplicate_of"]}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["twin0.mp4", "twin1.mp4", "twin2.mp4"]
    assert len(first) == 1
    assert sum(line["credits"] for line in lines.values()) == 100
    assert len(backend.ledger.messages) == 1


async def test_max_credits_is_for_the_whole_batch(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """What fits is made; the rest is not begun, and the limit is raised at the end."""
    backend, items = cloud(), photos(5)
    found: list[BatchResult] = []
    async with backend.studio() as studio:
        with pytest.raises(LimitError, match="max_credits"):
            await collect(found, studio.batch(items, tmp_path / "out", max_credits=250))

        assert len(found) == len(backend.ledger.messages) == 2
        rest = await results(studio, items, tmp_path / "out")
    assert set(states(rest).values()) == {"done"}
    assert len(backend.ledger.messages) == 5


async def test_an_item_that_does_not_fit_waits_for_those_before_it(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """Under way they count with an estimate, which can be too high: once the price is known, the others fit."""
    backend, items = cloud(pace=1, generation_seconds=0.5), photos(4)
    backend.fault("other_spender", "message", amount=100)  # so that the first one seems to take twice its price
    async with backend.studio() as studio:
        (dear,) = await results(studio, items[:1], tmp_path / "out")
        found = await results(studio, items[1:], tmp_path / "out", jobs=3, max_credits=300)

    assert dear.line["credits"] == 200
    assert set(states(found).values()) == {"done"}
    assert len(backend.ledger.messages) == 4


async def test_without_credits_nothing_new_begins(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """What the account can pay is made; the error says how to get more."""
    backend, found = cloud(credits=200), list[BatchResult]()
    async with backend.studio() as studio:
        with pytest.raises(Exception, match="Not enough credits"):
            await collect(found, studio.batch(photos(6), tmp_path / "out"))

    assert set(states(found).values()) == {"done"}
    assert backend.ledger.credits_taken == 200


async def test_a_refused_token_ends_the_batch_and_the_next_run_goes_on(
    cloud: Clouds, photos: Any, tmp_path: Path
) -> None:
    """What met it is `stopped`, not failed: it is no fault of the items."""
    backend, found = cloud(), list[BatchResult]()
    backend.fault("expired_token", count=None)
    async with backend.studio() as studio:
        with pytest.raises(SignInError):
            await collect(found, studio.batch(photos(6), tmp_path / "out", jobs=2))

    assert set(states(found).values()) <= {"stopped"}
    assert len(found) <= 2
    assert backend.ledger.credits_taken == 0


@pytest.mark.parametrize(
    ("kind", "endpoint", "count"),
    [
        ("close_before_headers", "session", 5),
        ("close_before_headers", "upload", 2),
        ("close_before_headers", "render", 2),
        ("close_before_headers", "render", 9),
        ("http_429", "render", 2),
        ("http_429", "render", 9),
    ],
)
async def test_a_broken_connection_or_a_rate_limit_is_tried_again_later(
    cloud: Clouds, photos: Any, tmp_path: Path, kind: str, endpoint: str, count: int
) -> None:
    """Even where the client's own tries were used up; never with another charge."""
    backend = cloud()
    backend.fault(kind, endpoint, count=count, accepted=False)
    async with backend.studio() as studio:
        found = await results(studio, photos(1), tmp_path / "out")

    assert states(found) == {"shot0": "done"}
    assert (found[0].line["charged"], found[0].line["credits"]) == ("yes", 100)
    assert len(backend.ledger.charges) == 1


async def test_a_failure_after_the_paid_step_says_that_it_was_charged(
    cloud: Clouds, photos: Any, tmp_path: Path
) -> None:
    """However often its free part was tried again afterwards; the next run delivers without paying."""
    backend = cloud()
    backend.fault("http_500", "render", count=None)
    async with backend.studio() as studio:
        (failed,) = await results(studio, photos(1), tmp_path / "out")
        backend.faults.clear()
        (found,) = await results(studio, photos(1), tmp_path / "out")

    assert (failed.state, failed.line["charged"], failed.line["credits"]) == ("failed", "yes", 100)
    assert (found.state, found.line["charged"], found.line["credits"]) == ("done", "no", 0)
    assert len(backend.ledger.charges) == 1


async def test_tries_are_bounded(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """An item that never works ends with its error."""
    backend = cloud()
    backend.fault("http_500", "session", count=None)
    async with backend.studio() as studio:
        (failed,) = await results(studio, photos(1), tmp_path / "out")

    assert failed.line["error_id"] == "api-server"
    assert backend.sent("session") == 4 * MAX_ATTEMPTS


async def test_a_backend_that_is_away_does_not_cost_every_item(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """After some in a row nothing new begins: the rest is left for the next run."""
    backend, found = cloud(), list[BatchResult]()
    backend.fault("refuse", count=None)
    async with backend.studio() as studio:
        with pytest.raises(Exception, match="broke"):
            await collect(found, studio.batch(photos(40), tmp_path / "out", jobs=2))

    assert len(found) <= MAX_BROKEN_CONNECTIONS + 2


@pytest.mark.long
async def test_it_follows_rate_limits_and_loses_no_item(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """429 with Retry-After, at free calls and at the message itself: fewer at once, all made, one charge each."""
    backend = cloud(credits=10_000)
    backend.fault("http_429", "message", nth=4, count=6, retry_after=9)
    backend.fault("http_429", "session", nth=6, count=3, retry_after=4)
    async with backend.studio() as studio:
        found = await results(studio, photos(16), tmp_path / "out", jobs=16)
        assert studio.limiter.most == 64

    assert set(states(found).values()) == {"done"}
    assert len(backend.ledger.charges) == 16
    assert any(seconds == pytest.approx(9, abs=0.5) for seconds in backend.clock.slept)


async def test_a_rate_limit_of_a_free_call_narrows_the_lane(cloud: Clouds) -> None:
    """Also where the call itself gets through after its pause: all that goes on here slows down."""
    backend = cloud()
    backend.fault("http_429", "credits", retry_after=1)
    async with backend.studio() as studio:
        studio.limiter.running = 8
        await studio.credits()
        width = studio.limiter.width
        studio.limiter.running = 0

    assert width == 4


async def test_a_full_disk_ends_the_batch(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """For every profile: what is paid for is kept, and nothing new is sent that could not be delivered."""

    def draw_much(draft: Any, assets: Any, target: Path, *, format: str, **_: Any) -> None:
        with write_video(target, format).open("ab") as file:
            file.write((100_008).to_bytes(4, "big") + b"free" + bytes(100_000))

    backend, found = cloud(renderer=draw_much), list[BatchResult]()
    with small_disk(tmp_path / "out", "8k") as out:
        async with backend.studio() as studio:
            with pytest.raises(DiskError) as caught:
                await collect(found, studio.batch(photos(6), out, jobs=1))

    assert caught.value.id == "disk-full"
    assert [result.state for result in found] == ["stopped"]
    assert found[0].line["charged"] == "yes"
    assert len(backend.ledger.messages) == 1


async def test_a_question_of_the_backend_is_an_error_with_its_words(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """Nothing was made, and the same request again asks nothing."""
    backend = cloud()
    backend.fault("ask_back", "message")
    async with backend.studio() as studio:
        (asked,) = await results(studio, photos(1), tmp_path / "out")
        (again,) = await results(studio, photos(1), tmp_path / "out")

    assert asked.line["error_id"] == again.line["error_id"] == "nothing-made"
    assert len(backend.ledger.messages) == 1


async def test_a_question_comes_with_the_command_that_answers(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """A batch has no node to put another one in the place of: its line names the shell's command."""
    backend = cloud()
    backend.fault("ask_question", "message")
    async with backend.studio() as studio:
        (asked,) = await results(studio, photos(1), tmp_path / "out")

    assert asked.line["error"] == "NemoVideo asks: Mood: Which mood? [Calm / Lively]"
    assert "`nemo-video chat Calm --session " in asked.line["what_to_do"]
    assert (asked.line["error_id"], asked.line["charged"]) == ("question-asked", "no")


async def test_an_unknown_result_is_not_called_failed(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """The message is in flight; the next run looks for what it made, and pays nothing again."""
    backend = cloud()
    backend.fault("close_before_headers", "message", accepted=True)
    backend.fault("http_500", "state", nth=3, count=40)
    async with backend.studio() as studio:
        (unknown,) = await results(studio, photos(1), tmp_path / "out")
        backend.faults.clear()
        (found,) = await results(studio, photos(1), tmp_path / "out")

    assert (unknown.state, unknown.line["charged"], unknown.line["credits"]) == ("unknown", "maybe", None)
    assert found.state == "done"
    assert len(backend.ledger.messages) == 1


async def test_stopping_gives_up_what_is_not_paid_and_ends_what_is(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """The first Ctrl-C: items whose message is out come to their end, even before a word of the answer came; others
    leave no line and no charge, whether they wait or are on their way."""
    backend, items = cloud(pace=1, generation_seconds=0.6), photos(6)
    backend.fault("stall", "message", count=None, seconds=0.8, at="headers")
    backend.fault("stall", "upload", nth=3, seconds=1.5, at="request")
    found: list[BatchResult] = []
    async with backend.studio() as studio:

        async def mine(_: str) -> LocalExecutor:
            return LocalExecutor(studio)

        work = Batch(items, mine, tmp_path / "out", jobs=3, caller=Caller(budget=Budget()))

        collecting = asyncio.ensure_future(collect(found, work.results()))
        await until(lambda: len(backend.ledger.messages) == 2)
        going_on = work.stop()
        await collecting
        await asyncio.sleep(0.5)  # the stalled request ends, and is not followed by a message

    assert going_on == 2
    assert list(states(found).values()) == ["done", "done"]
    assert len(backend.ledger.messages) == len(backend.ledger.charges) == 2


async def test_who_stops_listening_stops_the_work(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """A `break` out of the loop leaves nothing running that is not paid for."""
    backend = cloud()
    async with backend.studio() as studio:
        batch = studio.batch(photos(6), tmp_path / "out", jobs=1)
        async for result in batch:
            assert result.state == "done"
            break
        await batch.aclose()

        assert studio.limiter.running == 0
    assert len(backend.ledger.messages) <= 2


async def test_items_of_other_profiles_are_refused_before_anything_is_sent(cloud: Clouds, photos: Any) -> None:
    """One Studio works for one profile; the shell has one for each."""
    (item,) = photos(1)
    async with cloud().studio() as studio:
        with pytest.raises(InputError, match="'nemo', or none"):
            await results(studio, [{**item.to_json(), "profile": "other"}], Path("out"))


async def test_one_item_is_carried_out_from_plain_data(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """What a scheduler on another machine calls; a failure is a line as well."""
    backend, (item,) = cloud(), photos(1)
    async with backend.studio() as studio:
        line = await carry_out(studio, json.loads(json.dumps(item.to_json())), tmp_path / "out")
        broken = await carry_out(studio, {**item.to_json(), "image": [str(tmp_path / "none.png")]}, tmp_path / "out")

    assert set(line) == set(broken) == KEYS
    assert (line["state"], line["video"]) == ("done", "shot0.mp4")
    assert (broken["state"], broken["error_id"]) == ("failed", "file-missing")
    assert json.loads(json.dumps([line, broken])) == [line, broken]


async def test_a_line_says_whether_the_others_would_meet_the_same(cloud: Clouds, photos: Any, tmp_path: Path) -> None:
    """`stopped` tells a scheduler to begin no more, and that the item is none of the failed ones."""
    backend, (item,) = cloud(credits=0), photos(1)
    async with backend.studio() as studio:
        line = await carry_out(studio, item.to_json(), tmp_path / "out")

    assert (line["state"], line["error_id"], line["charged"]) == ("stopped", "no-credits", "no")

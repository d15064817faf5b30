"""Lists: one bad item costs only itself, from its picture on; progress and retries of the others."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nemo_client import Budget, InputError, JobError, Progress, local
from tests.nodes._arrays import picture, tensor
from tests.nodes._host import Blocker, Context, Host
from tests.support.ledger import read_ledger

Nodes = dict[str, type[Any]]

QUICK = {"prompt": "slow push-in", "aspect_ratio": "auto", "duration": 1, "seed": 0}
SMALL = {"format": "mp4", "quality": "low", "resolution": "480p"}
EACH = {"batch_mode": "one video per image"}
ANIMATE = {**QUICK, **SMALL, **EACH, "filename_prefix": "video/NemoVideo", "profile": "local preview"}


def pictures(*, bad: int) -> list[Any]:
    """Three pictures of different sizes, of which one holds no numbers."""
    made = [picture(96, 72, seed=1), picture(72, 96, seed=2), picture(80, 80, seed=3)]
    made[bad] = tensor(np.full((1, 8, 8, 3), np.nan))
    return made


def uploaded(nodes: Nodes, host: Host, image: Any, profile: str = "local preview", **more: Any) -> list[Any]:
    auth, _ = host.run(nodes["NemoAuth"], profile=profile, language="auto")
    (sessions,) = host.run(nodes["NemoUploadImage"], auth=auth, image=image, **{**EACH, **more})
    found: list[Any] = sessions
    return found


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_picture_that_cannot_be_read_costs_only_itself(bad: int, nodes: Nodes, host: Host) -> None:
    """The others become videos, and the reason stands under the node with the item's number."""
    answer = host.run(nodes["NemoImageToVideo"], image=pictures(bad=bad), **ANIMATE, on_item_error="skip")

    made = [not isinstance(path, Blocker) for path in answer["result"][1]]
    assert made == [number != bad for number in range(3)]
    assert f"Item {bad + 1} failed: The image has invalid values" in host.texts[-1][1]


def test_on_stop_the_others_finish_before_the_error(nodes: Nodes, host: Host) -> None:
    """What they made is there, so that the next run finds it."""
    with pytest.raises(JobError) as caught:
        host.run(nodes["NemoImageToVideo"], image=pictures(bad=1), **ANIMATE, on_item_error="stop")

    assert caught.value.id == "items-failed"
    assert len(list(Path(host.folder("output")).rglob("*.mp4"))) == 2


def test_an_error_of_a_list_speaks_of_the_money_of_all_its_items(
    nodes: Nodes, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bad picture took nothing, but two others were paid for; run again, they are found, and nothing is."""
    with local.open(tmp_path / "backend", credits=1000, pace=0) as backend:
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        monkeypatch.setenv("NEMO_TOKEN", backend.token)
        told = []
        for _ in range(2):
            with pytest.raises(JobError) as caught:
                host.run(nodes["NemoImageToVideo"], image=pictures(bad=1), **{**ANIMATE, "profile": "nemo"})
            told.append((caught.value.charged, str(caught.value)))

    assert [charged for charged, _ in told] == ["yes", "no"]
    assert "200 credits were paid" in told[0][1]
    assert "Nothing was charged" not in told[0][1]
    assert told[1][1].count("Nothing was charged.") == 1


def test_an_odd_batch_end_image_or_mask_of_a_list_is_one_item_s(nodes: Nodes, host: Host) -> None:
    """An empty batch, a batch of another shape, an end image or a mask without numbers."""
    ends = [picture(96, 72, seed=7), tensor(np.full((1, 8, 8, 3), np.inf)), picture(96, 72, seed=8)]
    images = [tensor(np.zeros((0, 8, 8, 3))), picture(96, 72, seed=5), picture(96, 72, seed=6)]
    masks = [tensor(np.zeros((96, 72))), tensor(np.zeros((0, 8, 8))), tensor(np.full((8, 8), 0.5))]

    answer = host.run(nodes["NemoImageToVideo"], image=images, end_image=ends, **ANIMATE, on_item_error="skip")
    sessions = uploaded(nodes, host, picture(96, 72, batch=3), mask=masks)

    assert [isinstance(path, Blocker) for path in answer["result"][1]] == [True, True, False]
    assert [bool(session.error) for session in sessions] == [False, True, False]


def test_an_upload_that_failed_travels_as_a_marked_session(nodes: Nodes, host: Host) -> None:
    """The paying nodes behind decide: `skip` goes on without it, `stop` is an error after the others."""
    sessions = uploaded(nodes, host, pictures(bad=2))
    skipped = host.run(nodes["NemoGenerateVideo"], session=sessions, **QUICK, on_item_error="skip")
    with pytest.raises(JobError) as caught:
        host.run(nodes["NemoGenerateVideo"], session=sessions, **QUICK)

    assert [bool(session.error) for session in sessions] == [False, False, True]
    assert [bool(session.error) for session in skipped[0]] == [False, False, True]
    assert "invalid values" in str(caught.value)
    assert str(caught.value).count("charged") == 1, "the money of the node that stops, once"


def test_where_every_item_fails_there_is_nothing_to_go_on_with(nodes: Nodes, host: Host) -> None:
    """An error also on `skip`: a run that made nothing must not look like one that did."""
    bad = tensor(np.full((2, 8, 8, 3), np.nan))
    with pytest.raises(JobError):
        host.run(nodes["NemoImageToVideo"], image=bad, **ANIMATE, on_item_error="skip")
    with pytest.raises(JobError):
        uploaded(nodes, host, bad)
    with pytest.raises(InputError):
        uploaded(nodes, host, bad, batch_mode="all images in one video")


@pytest.mark.parametrize("node", ["NemoUploadImage", "NemoImageToVideo"])
def test_what_was_skipped_runs_again_and_then_rests(node: str, nodes: Nodes, host: Host) -> None:
    """IS_CHANGED moves on after a run that skipped, and stays at the value of the run that made all."""
    constants = {"filename_prefix": "video/NemoVideo"} if node == "NemoImageToVideo" else {}

    def stamp() -> Any:
        return host.is_changed(nodes[node], "5", **constants)

    def run(image: Any) -> None:
        if node == "NemoImageToVideo":
            host.run(nodes[node], "5", image=image, **ANIMATE, on_item_error="skip")
        else:
            auth, _ = host.run(nodes["NemoAuth"], profile="local preview", language="auto")
            host.run(nodes[node], "5", auth=auth, image=image, **EACH)

    stamps = [stamp()]
    for image in (pictures(bad=0), pictures(bad=0), picture(96, 72, batch=2)):
        run(image)
        stamps.append(stamp())

    assert len({*stamps[:3]}) == 3, "skipped twice: tried again twice"
    assert stamps[3] == stamps[2], "the value that it ran under, so that ComfyUI finds it in its cache"


@pytest.mark.parametrize("told", [(None,), None])
def test_a_deleted_file_is_delivered_again_where_its_prefix_comes_by_a_link(
    told: Any, nodes: Nodes, host: Host
) -> None:
    """ComfyUI does not tell IS_CHANGED what a link brings."""
    node = nodes["NemoImageToVideo"]

    def stamp() -> Any:
        host._context.set(Context("prompt", "9", None))
        return contextvars.copy_context().run(node.IS_CHANGED, filename_prefix=told)

    stamps = [stamp()]
    for _ in range(2):
        answer = host.run(node, "9", image=picture(96, 72), **{**ANIMATE, "filename_prefix": "video/linked"})
        stamps.append(stamp())
        Path(answer["result"][1][0]).unlink()
        stamps.append(stamp())

    first, there, gone, again, _ = stamps
    assert first == there != gone == again


def test_a_list_of_several_profiles_is_carried_out_at_each_one_s_own(
    nodes: Nodes, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What belongs to the free preview must not be paid for at the cloud, whichever comes first."""
    with local.open(tmp_path / "backend", credits=1000, pace=0) as backend:
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        monkeypatch.setenv("NEMO_TOKEN", backend.token)
        sessions = [*uploaded(nodes, host, picture(96, 72), "nemo"), *uploaded(nodes, host, picture(96, 72))]

        after, _, _ = host.run(nodes["NemoGenerateVideo"], session=sessions, **QUICK)
        export = host.run(nodes["NemoExportRender"], session=after, filename_prefix="a", **SMALL)

        assert [each.profile for each in after] == ["nemo", "local preview"]
        assert [each.session_id for each in after] == [each.session_id for each in sessions]
        assert len(set(export["result"][1])) == 2
        assert len(read_ledger(backend.directory).messages) == 1


def test_the_line_tells_of_items_that_still_run(pack: Any, host: Host) -> None:
    """Not of one that failed at its beginning; and its share of the bar is full, as it will not move again."""
    run = importlib.import_module(".nodes._comfy.run", pack.__name__)
    display = importlib.import_module(".nodes._comfy.host", pack.__name__).Display("1")
    items = [run.Item("", Budget()) for _ in range(2)]
    items[0].latest, items[0].fraction = Progress("upload"), 0.02
    items[1].latest, items[1].fraction = Progress("render", 0.5), 0.75

    async def watched() -> None:
        over: Future[None] = Future()
        over.set_exception(ValueError("failed"))
        going: Future[None] = Future()
        asyncio.get_running_loop().call_later(0.3, going.set_result, None)
        waiting = dict(zip(map(asyncio.wrap_future, (over, going)), items, strict=True))
        await run._watch_items(waiting, items, display, 0.0, "en")

    asyncio.run(watched())

    assert host.texts[0][1].startswith("1/2 · Rendering 88%"), "as the bar of the node"
    assert host.bars[0] == ("1", 875)

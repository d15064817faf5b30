"""Tags in a finished video: whatever happens while they are written, the video itself is delivered once."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nemo_client import Caller, Destination, DiskError, Output, Wish
from nemo_client._files import metadata
from nemo_client._files.save import check_video
from tests.support.backend import Cloud, cloud, picture, until, write_video
from tests.support.processes import Request, service
from tests.support.waiting import PATIENT_SECONDS

__all__ = ["cloud"]
WISH = Wish("slow push-in", duration=2)
TAGS = {"workflow": '{"nodes": []}', "prompt": '{"1": "é"}'}
Clouds = Callable[..., Cloud]


def into(folder: Path) -> Destination:
    return Destination(folder, "film", tags=TAGS)


def tags_of(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return {name.lower(): value for name, value in container.metadata.items()}


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".nemo-")]


def full_disk(*_: Any) -> Any:
    raise DiskError("disk-full", path="somewhere")


def broken(error: type[Exception]) -> Any:
    def fail(*_: Any) -> Any:
        raise error("broken")

    return fail


@pytest.mark.parametrize(
    ("place", "instead"),
    [
        ("open_temporary_file", full_disk),
        ("_copy_with_tags", broken(OSError)),
        ("_copy_with_tags", broken(AttributeError)),
        ("_copy_with_tags", lambda source, target, *_: write_video(target, frames=2)),
        ("_copy_with_tags", lambda source, target, *_: target.write_bytes(b"half")),
    ],
    ids=["no place for a copy", "disk full", "another release", "shorter", "broken"],
)
def test_a_video_that_cannot_be_tagged_is_a_video_all_the_same(
    place: str, instead: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning; and what was begun is gone before the video lands, since it may need the room."""
    video = write_video(tmp_path / "video.mp4")
    checked = check_video(video)
    monkeypatch.setattr(metadata, place, instead)

    with (
        caplog.at_level(logging.WARNING, "nemo_client"),
        metadata.write_tags(video, checked, into(tmp_path), "mp4") as ready,
    ):
        assert ready == (video, checked)
        assert left_in(tmp_path) == []
    assert "keeps no workflow" in caplog.text


def test_tags_that_a_container_cannot_take_are_left_out(tmp_path: Path) -> None:
    """A lone surrogate, as a file name in a workflow can hold it, is no text that could be written."""
    video = write_video(tmp_path / "video.mp4")
    checked = check_video(video)
    odd = Destination(tmp_path, "film", tags={"prompt": "\ud800"})

    with metadata.write_tags(video, checked, odd, "mp4") as (ready, _):
        assert check_video(ready).duration == checked.duration


@pytest.mark.parametrize("format", ["mp4", "mov", "webm", "mkv", "gif"])
async def test_each_delivery_of_a_render_carries_its_own_graph(format: str, tmp_path: Path, cloud: Clouds) -> None:
    """Under another name, from another graph, without any (the shell, --disable-metadata), and back again."""
    made = cloud()
    own = [TAGS, {"workflow": '{"nodes": [2]}', "extra": '"é"'}, {}, {"prompt": "[]"}]
    found = []
    async with made.studio() as studio:
        session = await studio.upload([picture()])
        turned = await studio.generate(session, WISH)
        for number, tags in enumerate(own):
            place = Destination(tmp_path / "out", f"film{number}", tags=tags)
            video = await studio.export(turned.session, place, Output(format))
            found.append({name: value for name, value in tags_of(video.path).items() if value[:1] in '{["'})
            assert check_video(video.path).sha256 == video.sha256

    assert found == ([{}] * 4 if format == "gif" else own)
    assert made.sent("render") == 1
    assert left_in(tmp_path / "out") == []


async def test_a_cancel_while_tags_are_written_leaves_nothing(
    cloud: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that writes is waited for, then both files go; asked again, the video is delivered."""
    folder, copy = tmp_path / "out", metadata._copy_with_tags
    writing, go = threading.Event(), threading.Event()

    def slowly(source: Path, *rest: Any) -> None:
        writing.set()
        go.wait(PATIENT_SECONDS)
        assert source.exists(), "the source is there until the copy is written"
        copy(source, *rest)

    monkeypatch.setattr(metadata, "_copy_with_tags", slowly)
    async with cloud().studio() as studio:
        caller = Caller()
        task = asyncio.ensure_future(studio.animate([picture()], WISH, into(folder), caller=caller))
        await until(writing.is_set)
        caller.gave_up = True
        task.cancel()
        await asyncio.wait({task})
        await asyncio.sleep(0.1)
        go.set()
        await until(lambda: not studio._context.in_flight._requests)

        assert left_in(folder) == []
        video = await studio.animate([picture()], WISH, into(folder))

    assert tags_of(video.path)["prompt"] == TAGS["prompt"]
    assert [path.name for path in folder.iterdir()] == ["film_00001_.mp4"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="these clients are forked")
@pytest.mark.long
def test_killed_while_tags_are_written_it_is_delivered_once(tmp_path: Path) -> None:
    """The next run sweeps both files, fetches the same render, and lands one file with its tags."""
    with service(tmp_path / "worker") as served:
        request = Request(served, tmp_path / "request")

        assert request.run(tags=TAGS, kill_tagging=True) == {"signal": 9}
        assert len(left_in(request.folder)) == 2
        told = request.run(tags=TAGS)

        assert [str(path) for path in request.videos()] == [told["video"]]
        assert request.leftovers() == []
        assert tags_of(Path(told["video"]))["prompt"] == TAGS["prompt"]
        assert len(request.ledger.messages) == 1
        assert len(request.ledger.renders) == 1


@pytest.mark.long
def test_a_long_video_is_copied_a_packet_at_a_time(tmp_path: Path) -> None:
    """Never held in memory as a whole."""
    video = tmp_path / "long.mkv"
    with av.open(str(video), "w", format="matroska") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        noise = np.random.default_rng(1).integers(0, 256, (1080, 1280), np.uint8)
        frame = av.VideoFrame.from_ndarray(noise, format="yuv420p")
        for number in range(60):
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    size = video.stat().st_size
    checked = check_video(video)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with metadata.write_tags(video, checked, into(tmp_path), "mkv") as (ready, also):
        assert ready != video
        assert also.size > size
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024

    assert size > 70_000_000
    assert grown < size / 2

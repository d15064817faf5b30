"""What is delivered is what its name says: put into the container that was asked for, or named truthfully."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, features

from nemo_client import Destination, Output, RenderFailed, Wish, last_frame
from nemo_client._files.containers import as_asked, container_of
from nemo_client._files.save import check_video
from tests.support.backend import Cloud, cloud, picture, write_video

__all__ = ["cloud"]
Clouds = Callable[..., Cloud]

FORMATS = ("mp4", "mov", "webm", "mkv", "avi", "gif")
LOSSLESS = {("mp4", "mov"), ("mov", "mp4"), ("mkv", "mp4"), ("mkv", "mov"), ("mp4", "mkv"), ("mov", "mkv")}
LOSSLESS |= {("webm", "mkv"), ("webm", "mp4"), ("avi", "mkv"), ("avi", "mp4"), ("avi", "mov"), ("ts", "mp4")}
LOSSLESS |= {("ts", "mov"), ("ts", "mkv"), ("flv", "mp4"), ("flv", "mov"), ("flv", "mkv")}


def write_sounding(path: Path, muxer: str) -> Path:
    """A second of H.264 that gets brighter, with AAC beside it."""
    with av.open(str(path), "w", format=muxer) as container:
        video: Any = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 96, "yuv420p"
        audio: Any = container.add_stream("aac", rate=48000, layout="stereo")
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((96, 64, 3), 25 * number, np.uint8), format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 48000), np.float32), format="fltp", layout="stereo")
        sound.sample_rate, sound.pts = 48000, 0
        container.mux(audio.encode(sound))
        container.mux(audio.encode())
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    made = {each: write_video(folder / f"film.{each}", each) for each in FORMATS}
    sounding = {"ts": "mpegts", "flv": "flv"}
    return made | {each: write_sounding(folder / f"film.{each}", muxer) for each, muxer in sounding.items()}


@pytest.mark.parametrize("came", [*FORMATS, "ts", "flv"])
def test_a_container_is_known_by_its_bytes(came: str, films: dict[str, Path]) -> None:
    """Whatever the file is called."""
    assert container_of(films[came]) == came


@pytest.mark.parametrize("asked", FORMATS)
@pytest.mark.parametrize("came", [*FORMATS, "ts", "flv"])
def test_a_video_in_another_container_becomes_the_one_asked_for(
    came: str, asked: str, films: dict[str, Path], tmp_path: Path
) -> None:
    """Its packets are copied where that loses nothing, else it is encoded again, with a word; never only renamed."""
    checked = check_video(films[came])
    with as_asked(films[came], checked, Destination(tmp_path, "film"), asked) as ready:
        found = check_video(ready.path)
        with av.open(str(ready.path)) as container:
            sounds = len(container.streams.audio)
        bright = last_frame(ready.path).mean()

    assert container_of(films[came]) == came
    assert (ready.suffix, found) == (asked, ready.checked)
    assert (found.width, found.height) == (64, 96)
    assert found.duration >= checked.duration - 0.25
    assert bright > 200
    assert sounds == (1 if came in ("ts", "flv") and asked != "gif" else 0)
    untouched = came == asked or (came, asked) in LOSSLESS
    assert ready.word == ("" if untouched else "container-converted")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_changed_is_named_as_what_it_is(films: dict[str, Path], tmp_path: Path) -> None:
    """No suffix that is not its own, and a word about it."""
    checked = check_video(films["webm"])
    with as_asked(films["webm"], checked, Destination(tmp_path, "film"), "nut") as ready:
        assert (ready.path, ready.suffix, ready.was) == (films["webm"], "webm", "webm")
        assert ready.word == "container-named"


@pytest.mark.parametrize("way", ["m2ts", "in its middle"])
def test_a_stream_of_packets_is_told_however_it_begins(way: str, films: dict[str, Path], tmp_path: Path) -> None:
    """Four bytes of time before each packet, or a start within one: what no first byte tells, its reader does."""
    data = films["ts"].read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    film = tmp_path / "film"
    film.write_bytes(b"".join(b"\0\0\0\0" + each for each in packets) if way == "m2ts" else b"\0" * 50 + data)
    with as_asked(film, check_video(film), Destination(tmp_path, "film"), "mp4") as ready:
        assert (ready.suffix, container_of(ready.path)) == ("mp4", "mp4")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
def test_a_picture_in_the_place_of_the_video_is_no_video(tmp_path: Path) -> None:
    """An AVIF begins like an mp4."""
    film = tmp_path / "film.mp4"
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(film, format="AVIF")

    with pytest.raises(RenderFailed):
        check_video(film)


@pytest.mark.parametrize(("asked", "sent"), [("mp4", "mov"), ("mp4", "webm"), ("webm", "mp4"), ("gif", "mp4")])
async def test_a_backend_that_renders_another_format_is_put_right(
    asked: str, sent: str, cloud: Clouds, tmp_path: Path
) -> None:
    """The delivered file is what was asked for; the same request finds it again."""

    def render(draft: Any, assets: Any, target: Path, **_: Any) -> None:
        write_video(target, sent)

    backend = cloud(renderer=render)
    place = Destination(tmp_path / "out", "film")
    async with backend.studio() as studio:
        session = (await studio.generate(await studio.upload([picture()]), Wish("push-in", duration=2))).session
        video = await studio.export(session, place, Output(asked))
        again = await studio.export(session, place, Output(asked))

    assert container_of(video.path) == asked
    assert (video.format, video.path.suffix) == (asked, f".{asked}")
    assert ("converted to" in video.note) == ((sent, asked) not in LOSSLESS)
    assert (again.path, again.sha256) == (video.path, video.sha256)
    assert len(backend.ledger.renders) == 1
    assert list(place.folder.iterdir()) == [video.path]

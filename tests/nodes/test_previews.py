"""What the page shows of delivered videos: something that browsers play, never in the place of the file itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import av
import pytest

from tests.nodes._arrays import picture
from tests.nodes._host import Host

Nodes = dict[str, type[Any]]
ANIMATE = {
    "prompt": "slow push in, 1 second",
    "aspect_ratio": "auto",
    "duration": 1,
    "seed": 0,
    "filename_prefix": "video/NemoVideo",
    "profile": "local preview",
    "quality": "low",
    "resolution": "480p",
}


def animate(nodes: Nodes, host: Host, *formats: str) -> Any:
    """One video of each format."""
    images = [picture(96, 72, seed=number) for number, _ in enumerate(formats)]
    settings = {**ANIMATE, "format": list(formats), "batch_mode": "one video per image"}
    return host.run(nodes["NemoImageToVideo"], image=images, **settings)


def test_an_avi_is_shown_as_a_small_mp4_and_delivered_as_it_is(nodes: Nodes, host: Host) -> None:
    """In the temp folder, of type temp; the outputs name the avi alone."""
    answer = animate(nodes, host, "avi")

    (shown,), (path,) = answer["ui"]["images"], answer["result"][1]
    preview = Path(host.folder("temp")) / shown["filename"]
    with av.open(str(preview)) as film:
        codec, frames = film.streams.video[0].codec_context.name, sum(1 for _ in film.decode(video=0))
    with av.open(path) as film:
        own = sum(1 for _ in film.decode(video=0))
    assert shown == {"filename": preview.name, "subfolder": "", "type": "temp"}
    assert preview.suffix == ".mp4"
    assert (codec, frames) == ("h264", own)
    assert answer["ui"]["animated"] == (True,)
    assert path.endswith(".avi")
    assert answer["result"][0][0].path == path
    assert preview.name not in json.dumps(answer["result"][3])
    (statement,) = answer["ui"]["nemo"]
    (file,) = statement["videos"]
    assert (file["filename"], file["type"], file["preview"]) == (Path(path).name, "output", shown)
    assert file["bytes"].endswith("B")
    assert list(Path(host.folder("output")).rglob("*.mp4")) == []


def test_an_mkv_is_shown_itself_with_a_small_mp4_for_browsers_that_cannot_play_it(nodes: Nodes, host: Host) -> None:
    """Chromium plays Matroska, others do not: the page decides."""
    answer = animate(nodes, host, "mkv")

    (shown,), (statement,) = answer["ui"]["images"], answer["ui"]["nemo"]
    (file,) = statement["videos"]
    assert shown["type"] == "output"
    assert "preview" not in file
    assert (file["stand_in"]["type"], Path(file["stand_in"]["filename"]).suffix) == ("temp", ".mp4")
    assert (Path(host.folder("temp")) / file["stand_in"]["filename"]).is_file()


@pytest.mark.parametrize("format", ["avi", "mkv"])
def test_a_prompt_without_a_page_names_its_files(format: str, nodes: Nodes, host: Host, monkeypatch: Any) -> None:
    """Scripts fetch what `images` names; nothing is made for a page that is not there."""
    monkeypatch.setattr(sys.modules["server"].PromptServer.instance, "client_id", None)
    answer = animate(nodes, host, format)

    (shown,) = answer["ui"]["images"]
    assert (shown["type"], Path(shown["filename"]).suffix) == ("output", f".{format}")
    assert not list(Path(host.folder("temp")).iterdir())


def test_a_preview_is_made_once(nodes: Nodes, host: Host) -> None:
    """The same file again has the same preview; nothing half written is left."""
    first = animate(nodes, host, "avi")["ui"]["images"]
    written = {path: path.stat().st_mtime_ns for path in Path(host.folder("temp")).iterdir()}
    again = animate(nodes, host, "avi")["ui"]["images"]

    assert first == again
    assert {path: path.stat().st_mtime_ns for path in Path(host.folder("temp")).iterdir()} == written
    assert len(written) == 1


def test_a_preview_that_cannot_be_made_costs_nothing(nodes: Nodes, host: Host) -> None:
    """The file is delivered and shown by its own name."""
    (host.base / "output").mkdir(parents=True, exist_ok=True)
    (host.base / "temp").write_text("a file in the place of the folder", encoding="utf-8")
    host.folder = lambda name: str(host.base / name)  # type: ignore[method-assign]

    answer = animate(nodes, host, "avi")

    assert Path(answer["result"][1][0]).is_file()
    assert answer["ui"]["images"][0]["type"] == "output"


@pytest.mark.parametrize("format_name", ["mp4", "mov", "webm", "gif"])
def test_what_browsers_play_is_shown_itself(nodes: Nodes, host: Host, format_name: str) -> None:
    """No second file."""
    answer = animate(nodes, host, format_name)

    assert answer["ui"]["images"][0]["filename"] == Path(answer["result"][1][0]).name
    assert "preview" not in answer["ui"]["nemo"][0]["videos"][0]
    assert list(Path(host.folder("temp")).iterdir()) == []


def test_a_gif_among_videos_is_shown_as_a_video(nodes: Nodes, host: Host) -> None:
    """The page shows all previews of a node as pictures, or all as videos."""
    answer = animate(nodes, host, "mp4", "gif", "avi")

    assert answer["ui"]["animated"] == (True,)
    assert [each["type"] for each in answer["ui"]["images"]] == ["output", "temp", "temp"]
    assert [Path(path).suffix for path in answer["result"][1]] == [".mp4", ".gif", ".avi"]


def test_save_video_takes_a_gif(nodes: Nodes, host: Host) -> None:
    """With its defaults it would copy the stream into an mp4, which holds no GIF: it is encoded then."""
    answer = animate(nodes, host, "gif")
    (video,) = answer["result"][0]
    saved = Path(host.folder("output")) / "ComfyUI_00001_.mp4"

    video.save_to(str(saved), format="auto", codec="auto", metadata={"prompt": 1})

    assert saved.read_bytes() == b"mp4 auto {'prompt': 1}"

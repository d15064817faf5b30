"""How a video reaches its place: checked, numbered, never in place of another file, nothing half-written behind."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nemo_client import Destination, DiskError, RenderFailed, last_frame
from nemo_client._files.save import check_video, open_temporary_file, save_copy, save_video
from tests.support.backend import write_video

ROOT = Path(__file__).parent.parent.parent
FORMATS = ("mp4", "mov", "webm", "mkv", "avi", "gif")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small real video of each format."""
    folder = tmp_path_factory.mktemp("films")
    return {format: write_video(folder / f"film.{format}", format) for format in FORMATS}


def landed(destination: Destination, content: bytes = b"film", suffix: str = "mp4") -> Path:
    with open_temporary_file(destination, suffix) as temporary:
        temporary.write_bytes(content)
        return save_video(temporary, destination, suffix)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_numbered_as_comfyui_numbers_them(tmp_path: Path) -> None:
    """One more than the highest number in use, of any kind of file, as `get_save_image_path` counts."""
    for name in (
        "Film_00001_.mp4",
        "Film_00007_.png",
        "Film_00009_audio.wav",
        "Film_notes_00050_.mp4",
        "Other_00099_.mp4",
    ):
        (tmp_path / name).touch()

    assert landed(Destination(tmp_path, "Film")).name == "Film_00010_.mp4"
    assert landed(Destination(tmp_path, "Film"), suffix="gif").name == "Film_00011_.gif"
    assert landed(Destination(tmp_path, "New")).name == "New_00001_.mp4"


def test_numbers_grow_beyond_five_digits(tmp_path: Path) -> None:
    """No output folder ends at 99999."""
    (tmp_path / "Film_123456_.png").touch()

    assert landed(Destination(tmp_path, "Film")).name == "Film_123457_.mp4"


def test_the_shell_numbers_on_collision_only(tmp_path: Path) -> None:
    """`cat.mp4`, then `cat-2.mp4`."""
    destination = Destination(tmp_path, "cat", numbering="on collision")

    assert [landed(destination).name for _ in range(3)] == ["cat.mp4", "cat-2.mp4", "cat-3.mp4"]


@pytest.mark.parametrize("stem", ["a[b]*", "a.b", "日本 語", "_", "x_00003_"])
def test_odd_names_are_names(stem: str, tmp_path: Path) -> None:
    """Nothing in a stem is a pattern."""
    destination = Destination(tmp_path, stem)
    first, second = landed(destination), landed(destination)

    assert [first.name, second.name] == [f"{stem}_00001_.mp4", f"{stem}_00002_.mp4"]
    assert destination.owns(first, "mp4")
    assert not destination.owns(first, "gif")
    assert not destination.owns(tmp_path / f"{stem}-1_00001_.mp4", "mp4")


def test_a_relative_folder_is_the_same_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path that comes back is absolute, and known again."""
    monkeypatch.chdir(tmp_path)
    destination = Destination(Path("out"), "cat", numbering="on collision")
    path = landed(destination)

    assert path == tmp_path / "out" / "cat.mp4"
    assert destination.owns(path, "mp4")


def test_nothing_is_ever_replaced(tmp_path: Path) -> None:
    """Not a file, a folder, nor a link that leads nowhere."""
    (tmp_path / "cat.mp4").write_bytes(b"precious")
    (tmp_path / "cat-2.mp4").mkdir()
    (tmp_path / "cat-3.mp4").symlink_to(tmp_path / "nowhere")

    path = landed(Destination(tmp_path, "cat", numbering="on collision"), b"new")

    assert path.name == "cat-4.mp4"
    assert (tmp_path / "cat.mp4").read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture(params=["links", "no links"])
def _links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems with and without hard links."""
    if request.param == "no links":

        def link(*_: Any) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)


@pytest.mark.usefixtures("_links")
@pytest.mark.parametrize("numbering", ["always", "on collision"])
def test_many_who_land_at_once_get_a_name_each(numbering: Any, tmp_path: Path) -> None:
    """Branches of a graph, the items of a batch."""
    destination = Destination(tmp_path, "cat", numbering=numbering)
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda number: landed(destination, str(number).encode()), range(24)))

    assert names(tmp_path) == sorted({path.name for path in paths})
    assert sorted(int(path.read_bytes()) for path in paths) == list(range(24))


def test_processes_that_land_at_once_get_a_name_each(tmp_path: Path) -> None:
    """ComfyUI and the shell share a folder."""
    code = (
        "import sys; from pathlib import Path; from nemo_client import Destination\n"
        "from nemo_client._files.save import open_temporary_file, save_video\n"
        "for _ in range(12):\n"
        "    with open_temporary_file(Destination(Path(sys.argv[1]), 'cat'), 'mp4') as file:\n"
        "        save_video(file, Destination(Path(sys.argv[1]), 'cat'), 'mp4')"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(3)]

    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert names(tmp_path) == [f"cat_{number:05}_.mp4" for number in range(1, 37)]


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither a temporary file nor a name."""
    leave = contextlib.ExitStack()
    leave.enter_context(open_temporary_file(Destination(tmp_path, "cat"), "mp4")).write_bytes(b"half")
    assert len(names(tmp_path)) == 1
    leave.close()

    assert names(tmp_path) == []


def test_a_reserved_name_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no links and the rename fails, too."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(os, "replace", fail)

    with pytest.raises(DiskError, match="Input/output error"):
        landed(Destination(tmp_path, "cat"))
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """One clear sentence with the folder's name, exit code 6."""
    (tmp_path / "taken").write_text("")

    with pytest.raises(DiskError, match="taken") as caught:
        landed(Destination(tmp_path / "taken", "cat"))
    assert caught.value.exit_code == 6


def test_a_copy_has_a_name_of_its_own(tmp_path: Path) -> None:
    """A second delivery of the same video needs no second render."""
    source = landed(Destination(tmp_path / "a", "cat"), b"film")
    copy = save_copy(source, Destination(tmp_path / "b", "dog"), "mp4")

    assert copy.read_bytes() == source.read_bytes()
    assert (copy.name, names(tmp_path / "b")) == ("dog_00001_.mp4", ["dog_00001_.mp4"])
    with pytest.raises(DiskError):
        save_copy(tmp_path / "nope", Destination(tmp_path / "b", "dog"), "mp4")


# --- Checking -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_a_whole_video_passes_and_is_described(format: str, films: dict[str, Path]) -> None:
    """Size, pixels, seconds, rate."""
    checked = check_video(films[format])

    assert (checked.width, checked.height) == (64, 96)
    assert checked.size == films[format].stat().st_size
    assert checked.duration == pytest.approx(1.0, abs=0.15)
    assert checked.fps == pytest.approx(10, abs=0.1)
    assert len(checked.sha256) == 64


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.7])
@pytest.mark.parametrize("format", FORMATS)
def test_a_cut_video_is_refused(format: str, share: float, films: dict[str, Path], tmp_path: Path) -> None:
    """Empty, cut early, cut late: damaged, in words, and free to repeat."""
    data = films[format].read_bytes()
    (tmp_path / "cut").write_bytes(data[: int(len(data) * share)])

    with pytest.raises(RenderFailed, match="damaged"):
        check_video(tmp_path / "cut")


@pytest.fixture(
    params=[b"<html>no</html>", b"\0" * 5000, b'{"code": 1001}', b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n"]
)
def nonsense(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "nonsense.mp4").write_bytes(request.param)
    return tmp_path / "nonsense.mp4"


def test_what_is_no_video_is_refused(nonsense: Path) -> None:
    """A page, zeros, an error as data, a play list that would reach out."""
    with pytest.raises(RenderFailed, match="damaged"):
        check_video(nonsense)
    with pytest.raises(RenderFailed, match="damaged"):
        last_frame(nonsense)


def test_a_video_whose_index_stands_first_is_checked_to_its_end(tmp_path: Path) -> None:
    """Such a file opens fine when half of it is missing."""
    import av

    whole = write_video(tmp_path / "whole.mp4", frames=30)
    with (
        av.open(str(whole)) as source,
        av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"}) as copy,
    ):
        stream = copy.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    data = (tmp_path / "fast.mp4").read_bytes()
    assert check_video(tmp_path / "fast.mp4").duration == pytest.approx(3.0)

    for share in (0.6, 0.9, 0.97):
        (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(RenderFailed, match=r"its end is missing|cannot be decoded"):
            check_video(tmp_path / "cut.mp4")


@pytest.mark.parametrize("format", FORMATS)
def test_the_last_frame_is_the_last(format: str, films: dict[str, Path]) -> None:
    """The film gets brighter; its end is nearly white. uint8 [H, W, 3]."""
    frame = last_frame(films[format])

    assert frame.shape == (96, 64, 3)
    assert str(frame.dtype) == "uint8"
    assert frame.mean() > 225

"""What is read and written lies in its folder, whatever is put in the way between the look and the use."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from nemo_client import Destination, DiskError, InputError, RenderFailed, from_file, last_frame
from nemo_client._files.images import UploadStore
from nemo_client._files.save import check_video, open_temporary_file, save_video, save_video_as
from nemo_client._files.temp_files import create_part_file
from nemo_client._safety import safe_open as confined
from tests.support.backend import write_video
from tests.support.waiting import wait_until

links = pytest.mark.skipif(not confined.STEPS, reason="no steps from an opened folder here")
SECRET = b"secret" * 100


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A folder with a video and a picture, below and in it; beside it what no one shall get."""
    folder = Path(os.path.realpath(tmp_path)) / "inside"
    (folder / "sub").mkdir(parents=True)
    write_video(folder / "sub" / "a.mp4")
    Image.new("RGB", (8, 8), "red").save(folder / "a.png")
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "a.mp4").write_bytes(SECRET)
    Image.new("RGB", (8, 8), "blue").save(outside / "a.png")
    return folder


def swap_file(inside: Path) -> None:
    """The file is now a link out."""
    (inside / "sub" / "a.mp4").unlink()
    (inside / "sub" / "a.mp4").symlink_to(inside.parent / "outside" / "a.mp4")


def swap_folder(inside: Path) -> None:
    """The folder is now a link out."""
    (inside / "sub").rename(inside.parent / "before")
    (inside / "sub").symlink_to(inside.parent / "outside", target_is_directory=True)


# --- reading ----------------------------------------------------------------------------------------------------------


@links
@pytest.mark.parametrize("swap", [swap_file, swap_folder], ids=["a file", "a folder"])
def test_a_link_that_was_put_there_meanwhile_is_not_followed(swap: object, inside: Path) -> None:
    """The name was judged before; the file is opened step by step, and links are no steps."""
    assert from_file(inside / "sub" / "a.mp4", inside).fingerprint.startswith("file:")
    swap(inside)  # type: ignore[operator]

    with pytest.raises(InputError) as caught:
        from_file(inside / "sub" / "a.mp4", inside)
    assert caught.value.id == "file-unreadable"


@pytest.mark.parametrize("swap", [swap_file, swap_folder], ids=["a file", "a folder"])
def test_without_such_steps_the_system_is_asked_where_the_opened_file_lies(
    swap: object, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    monkeypatch.setattr(confined, "STEPS", False)
    assert from_file(inside / "sub" / "a.mp4", inside).fingerprint.startswith("file:")
    swap(inside)  # type: ignore[operator]

    with pytest.raises(InputError, match="another folder"):
        from_file(inside / "sub" / "a.mp4", inside)


@links
def test_a_pipe_that_was_put_there_meanwhile_is_not_waited_for(inside: Path) -> None:
    """Opening one for reading waits for its other end; and a device may have none."""
    path = inside / "sub" / "pipe.mp4"
    os.mkfifo(path)

    with pytest.raises(OSError, match="not a regular file"):
        confined.open_file(path, inside)
    with pytest.raises(OSError, match="not a regular file"):
        confined.open_file(Path("/dev/null"))


@links
def test_a_hard_link_is_a_file_like_any_other(inside: Path) -> None:
    """A user who may make one may read the file; and there is no telling which of its names came first."""
    os.link(inside / "sub" / "a.mp4", inside / "b.mp4")

    assert from_file(inside / "b.mp4", inside).fingerprint == from_file(inside / "sub" / "a.mp4", inside).fingerprint


@pytest.mark.parametrize("name", ["sub/a.mp4", "a.png"])
def test_what_is_uploaded_is_what_was_looked_at(name: str, inside: Path, tmp_path: Path) -> None:
    """The kept copy is compared with the bytes that were judged, pictures too; nothing of another file stays."""
    store = UploadStore(tmp_path / "home")
    media = from_file(inside / name, inside)
    (inside / name).unlink()
    (inside / name).symlink_to(inside.parent / "outside" / name.rpartition("/")[2])

    with pytest.raises(InputError, match="changed while being read"):
        store.keep(media)
    assert list((tmp_path / "home" / "uploads").iterdir()) == []


@links
def test_no_race_gets_another_folder_s_file(inside: Path, tmp_path: Path) -> None:
    """Somebody swaps the file as fast as can be, by names that are swapped at once; it is never the wrong one."""
    target, spare = inside / "sub" / "a.mp4", inside / "sub" / "spare"
    good = from_file(target, inside).fingerprint
    os.link(target, inside / "good")
    stopped = threading.Event()

    def swapping() -> None:
        while not stopped.is_set():
            spare.symlink_to(inside.parent / "outside" / "a.mp4")
            os.replace(spare, target)
            os.link(inside / "good", spare)
            os.replace(spare, target)

    swapper = threading.Thread(target=swapping)
    swapper.start()
    seen = {"read": 0, "refused": 0}

    def look() -> bool:
        """Whether both have happened, and that often enough."""
        try:
            assert from_file(target, inside).fingerprint == good
            seen["read"] += 1
        except InputError:
            seen["refused"] += 1
        return min(seen.values()) > 0 and sum(seen.values()) >= 400

    try:
        wait_until(look, pause=0.0)
    finally:
        stopped.set()
        swapper.join()


# --- writing ----------------------------------------------------------------------------------------------------------


def place(inside: Path, folder: str = "sub") -> Destination:
    return Destination(inside / folder, "clip", root=inside)


@pytest.mark.parametrize("steps", [pytest.param(True, marks=links), False])
def test_no_folder_is_made_through_a_link_that_leads_out(
    steps: bool, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a file nor a folder appears behind it."""
    monkeypatch.setattr("nemo_client._files.save.STEPS", steps)
    (inside / "link").symlink_to(inside.parent / "outside", target_is_directory=True)

    for folder in ("link", "link/new", "sub/../../outside/new"):
        with pytest.raises(DiskError, match="points outside"), open_temporary_file(place(inside, folder), "mp4"):
            pass
    assert sorted(path.name for path in (inside.parent / "outside").iterdir()) == ["a.mp4", "a.png"]


@pytest.mark.parametrize("steps", [pytest.param(True, marks=links), False])
@pytest.mark.parametrize("hard_links", [True, False])
def test_a_folder_that_became_a_link_takes_no_video(
    steps: bool, hard_links: bool, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generation takes minutes; where the video goes is judged when it goes there."""
    monkeypatch.setattr("nemo_client._files.save.STEPS", steps)
    if not hard_links:
        monkeypatch.setattr("nemo_client._files.save._link_file", refused)
    with open_temporary_file(place(inside), "mp4") as temporary:
        write_video(temporary, "mp4")
        content = temporary.read_bytes()
        swap_folder(inside)
        (inside / "sub" / temporary.name).write_bytes(content)

        with pytest.raises(DiskError, match="points outside"):
            save_video(temporary, place(inside), "mp4")
    assert sorted(path.name for path in (inside.parent / "outside").iterdir()) == ["a.mp4", "a.png"]


def refused(*_: object) -> None:
    raise OSError(errno.EPERM, "no hard links here")


@links
def test_a_link_in_the_place_of_the_video_lands_nothing_of_what_it_means(inside: Path) -> None:
    """A hard link to another folder's file would be that file."""
    with open_temporary_file(place(inside), "mp4") as temporary:
        temporary.unlink()
        temporary.symlink_to(inside.parent / "outside" / "a.mp4")
        target = inside / "sub" / "clip.mp4"

        assert save_video_as(temporary, target, inside)
    assert target.is_symlink()
    assert (inside.parent / "outside" / "a.mp4").stat().st_nlink == 1


@links
def test_the_temporary_file_is_made_in_the_opened_folder(inside: Path) -> None:
    """Whatever stands under the folder's name by then."""
    with confined.open_folder(inside / "sub", inside) as descriptor:
        swap_folder(inside)
        with create_part_file(inside / "sub", "mp4", descriptor=descriptor) as path:
            assert (inside.parent / "before" / path.name).exists()


def test_links_that_stay_inside_are_as_good_as_folders(inside: Path) -> None:
    """People put their folders onto other disks, and ComfyUI's own one, too."""
    (inside / "link").symlink_to(inside / "sub", target_is_directory=True)
    (inside.parent / "output").symlink_to(inside, target_is_directory=True)

    for destination in (
        place(inside, "link"),
        Destination(inside.parent / "output" / "new", "clip", root=inside.parent / "output"),
    ):
        with open_temporary_file(destination, "mp4") as temporary:
            write_video(temporary, "mp4")
            landed = save_video(temporary, destination, "mp4")
        assert landed.parent == destination.folder
        assert landed.is_file()


def test_where_a_video_may_go_outlives_a_restart(inside: Path) -> None:
    """A job that is resumed goes nowhere else; the shell's user writes where he likes."""
    assert Destination.from_json(place(inside).to_json()).root == inside
    free = Destination(inside, "clip", "on collision")
    assert Destination.from_json(free.to_json()) == free
    assert "root" not in free.to_json()


@pytest.mark.parametrize(
    "listed", ["ffconcat version 1.0\nfile a.mp4\n", "#EXTM3U\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n"]
)
def test_a_list_of_files_is_no_video(listed: str, inside: Path) -> None:
    """The backend's answer would else show the files of this machine that it names."""
    path = inside / "sub" / "video.mp4"
    path.write_text(listed)

    for look in (check_video, last_frame):
        with pytest.raises(RenderFailed):
            look(path)

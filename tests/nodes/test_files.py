"""Files that a workflow names, to read and to write: nothing but ComfyUI's folders, in every spelling."""

from __future__ import annotations

import importlib
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nemo_client import DiskError, InputError, clean_file_name, home, profile
from nemo_client._safety import safe_open as confined
from tests.nodes._arrays import picture
from tests.nodes._host import Host
from tests.support.backend import write_video
from tests.support.disks import SHARES, mounted, refuse_on_share

Nodes = dict[str, type[Any]]

ANIMATE = {
    "prompt": "slow push-in", "aspect_ratio": "auto", "duration": 1, "seed": 0, "format": "mp4", "quality": "low",
    "resolution": "480p", "profile": "local preview",
}  # fmt: skip
links = pytest.mark.skipif(not confined.STEPS, reason="no steps from an opened folder here")


def upload(nodes: Nodes, host: Host, source: str) -> Any:
    auth, _ = host.run(nodes["NemoAuth"], profile="local preview", language="auto")
    return host.run(nodes["NemoUploadMedia"], auth=auth, source=source)[0]


def kept() -> list[bytes]:
    return [path.read_bytes() for path in (home() / "uploads").glob("*")]


@pytest.fixture
def footage(host: Host) -> Path:
    """A video in ComfyUI's input folder, and one beside it."""
    write_video(Path(host.folder("elsewhere")) / "secret.mp4")
    (Path(host.folder("input")) / "sub").mkdir()
    return write_video(Path(host.folder("input")) / "sub" / "a b.mp4")


@pytest.mark.parametrize(
    "spelling",
    [
        "sub/a b.mp4",
        "sub\\a b.mp4",
        "./sub/../sub/a b.mp4",
        '"sub/a b.mp4"',
        "'{path}'",
        "“{path}”",
        "«{path}» ",
        "`{path}`",
        "{path}\n",
        "{url}",
        "FILE://localhost{quoted}",
        "sub/a b.mp4 [input]",
    ],
)
def test_a_file_of_comfyui_s_folders_is_read_however_it_is_pasted(
    spelling: str, footage: Path, nodes: Nodes, host: Host
) -> None:
    """With quotes of any keyboard, backslashes, as a file: address, or as ComfyUI's own widgets say it."""
    url = footage.resolve().as_uri()
    source = spelling.format(path=footage, url=url, quoted=url.removeprefix("file://"))

    assert upload(nodes, host, source).session_id
    assert kept() == [footage.read_bytes()]
    assert host.is_changed(nodes["NemoUploadMedia"], source=source)


@pytest.mark.parametrize(
    "spelling",
    [
        "{secret}",
        "../elsewhere/secret.mp4",
        "..\\elsewhere\\secret.mp4",
        "sub/../../elsewhere/secret.mp4",
        "%2e%2e/elsewhere/secret.mp4",
        "..%2felsewhere%2fsecret.mp4",
        "%252e%252e%252felsewhere/secret.mp4",
        "..\u2215elsewhere\u2215secret.mp4",
        "..\uff0felsewhere\uff0fsecret.mp4",
        "\uff0e\uff0e/elsewhere/secret.mp4",
        "..\u2044elsewhere\u29f8secret.mp4",
        "'{secret}'",
        '"../elsewhere/secret.mp4"',
        "{url}",
        "file:{secret}",
        "file://evil.test{secret}",
        "file://localhost/%2e%2e{secret}",
        "file:///{root}/sub/%2e%2e/%2e%2e/elsewhere/secret.mp4",
        "sub/a b.mp4\0/../../../elsewhere/secret.mp4",
        "../elsewhere/secret.mp4\0.png",
        "\n../elsewhere/secret.mp4",
        "~/secret.mp4",
        "$HOME/secret.mp4",
        "\\\\?\\{secret}",
        "\\\\localhost\\share\\secret.mp4",
        "//localhost/share/secret.mp4",
        "../elsewhere/secret.mp4 [input]",
        "{secret} [output]",
        "/proc/self/root{secret}",
        "/dev/fd/0",
        "concat:{secret}",
        "a" * 5000,
        "../" * 3000 + "etc/passwd",
    ],
    ids=lambda spelling: ascii(spelling)[:50],
)
def test_a_file_of_any_other_folder_is_not_there(spelling: str, footage: Path, nodes: Nodes, host: Host) -> None:
    """One error, in one line, that shows no folder; nothing is kept, sent, or looked at by IS_CHANGED."""
    secret = Path(host.folder("elsewhere")) / "secret.mp4"
    source = spelling.format(secret=secret, url=secret.resolve().as_uri(), root=footage.parent.parent)

    with pytest.raises(InputError) as caught:
        upload(nodes, host, source)

    assert caught.value.id == "source-outside"
    assert "\n" not in str(caught.value)
    assert "elsewhere/" not in str(caught.value)
    assert kept() == []
    assert host.is_changed(nodes["NemoUploadMedia"], source=source) == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_an_odd_name_that_is_a_file_is_a_file(nodes: Nodes, host: Host) -> None:
    """Where the system allows it: a line break, a colon, the name of a device, a slash that looks like one."""
    for number, name in enumerate(("a\nb.mp4", "12:30.mp4", "CON.mp4", "..\u2215x.mp4", "%2e%2e.mp4", "a. .mp4")):
        write_video(Path(host.folder("input")) / name, frames=number + 3)

        assert upload(nodes, host, name).session_id


@pytest.mark.parametrize(
    ("spelling", "odd"),
    [
        ("video/a.mp4", False),
        ("C:\\comfy\\input\\a.mp4", False),
        ("..\\input\\a.mp4", False),
        ("console.mp4", False),
        ("COM10.mp4", False),
        ("NUL", True),
        ("nul.mp4", True),
        ("video/Con.mp4", True),
        ("AUX .mp4", True),
        ("COM1.txt", True),
        ("lpt\u00b9.mp4", True),
        ("CONOUT$", True),
        ("a.mp4:stream", True),
        ("a.mp4::$DATA", True),
        ("C:\\comfy\\input\\a.mp4:b.mp4", True),
        ("video./a.mp4", True),
        ("video /a.mp4", True),
        (".. /a.mp4", True),
        ("a.mp4.", True),
        ("a\x01.mp4", True),
        ("a?.mp4", True),
    ],
)
def test_names_that_windows_takes_for_something_else(spelling: str, odd: bool, pack: Any) -> None:
    """Devices, streams, and names whose end it drops: there they are refused before the disk is looked at."""
    assert importlib.import_module(".nodes._comfy.paths", pack.__name__).means_no_file(spelling) is odd


def test_a_file_address_of_another_machine_is_no_path_here(footage: Path, nodes: Nodes, host: Host) -> None:
    """Its path may be that of a file of ours all the same."""
    with pytest.raises(InputError):
        upload(nodes, host, footage.resolve().as_uri().replace("file://", "file://evil.test"))


def test_a_name_is_shown_in_one_line_as_its_letters_stand(pack: Any) -> None:
    """Whatever is in it, and no folder's name."""
    shown = importlib.import_module(".nodes._comfy.paths", pack.__name__).display_file_name

    assert shown("/home/me/a\nb\u202e4pm.exe") == "a?b?4pm.exe"
    assert shown("..\\secret\\x\x00\ud800") == "x??"
    assert shown("") == "?"
    assert len(shown("x" * 5000)) == 120


def test_on_windows_such_names_are_not_looked_at(
    footage: Path, nodes: Nodes, host: Host, pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look alone can wait for a device, or talk to it."""
    module = importlib.import_module(".nodes._comfy.host", pack.__name__)
    folders = [Path(host.folder("input"))]
    assert len(list(module._candidates("sub/NUL.mp4", folders))) == 1
    monkeypatch.setattr(module.sys, "platform", "win32")

    assert list(module._candidates("sub/NUL.mp4", folders)) == []
    assert list(module._candidates("sub/a b.mp4", folders)) == [footage]


@links
def test_a_file_that_is_swapped_after_the_look_is_not_read(
    footage: Path, nodes: Nodes, host: Host, pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a link to a file of another folder, at the worst moment: what is judged is the opened file."""
    module = importlib.import_module(".nodes._comfy.host", pack.__name__)
    look = module.find_readable_file

    def looked(source: str) -> Any:
        found = look(source)
        footage.unlink()
        footage.symlink_to(Path(host.folder("elsewhere")) / "secret.mp4")
        return found

    monkeypatch.setattr(module, "find_readable_file", looked)

    with pytest.raises(InputError) as caught:
        upload(nodes, host, "sub/a b.mp4")
    assert caught.value.id == "file-unreadable"
    assert kept() == []


# --- writing ----------------------------------------------------------------------------------------------------------


def outside(host: Host) -> set[Path]:
    """What lies in the host's folder, but not in the output folder."""
    for name in ("input", "temp", "user"):
        host.folder(name)
    return {path for path in host.base.rglob("*") if not path.is_relative_to(host.folder("output"))}


@pytest.mark.parametrize(
    ("prefix", "text_id"),
    [
        ("../outside", "prefix-outside"),
        ("video/../../outside", "prefix-outside"),
        ("..\\outside", "prefix-outside"),
        ("/etc/outside", "prefix-outside"),
        ('"../outside"', "prefix-outside"),
        ("%date:../../x%", "prefix-outside"),
        ("%date:/etc/x%", "prefix-outside"),
        ("file:///etc/outside", "prefix-odd"),
        ("C:\\outside", "prefix-odd"),
        ("\\\\?\\C:\\outside", "prefix-odd"),
        ("\\\\evil.test\\share\\x", "prefix-outside"),
        (".. /x", "prefix-odd"),
        ("... /x", "prefix-odd"),
        ("../outside\0", "prefix-outside"),
        ("C:/outside", "prefix-odd"),
        (".../x", "prefix-odd"),
        ("\ud800", "prefix-odd"),
        ("x" * 300, "prefix-odd"),
        ("x" * 300 + "/a", "prefix-odd"),
        ("片" * 100, "prefix-odd"),
        ("x/" * 2000 + "a", "prefix-odd"),
        ("", "prefix-odd"),
        ("/", "prefix-odd"),
        ("video/..", "prefix-odd"),
    ],
    ids=lambda value: ascii(value)[:40],
)
@pytest.mark.parametrize("node", ["NemoImageToVideo", "NemoExportRender"])
def test_a_prefix_that_is_no_name_in_the_output_folder_is_refused(
    node: str, prefix: str, text_id: str, nodes: Nodes, host: Host
) -> None:
    """Before anything is sent, with words, and without a trace on the disk."""
    given: dict[str, Any] = {**ANIMATE, "image": picture(96, 72), "filename_prefix": prefix}
    if node == "NemoExportRender":
        given = {"session": upload_of(nodes, host), "filename_prefix": prefix, "format": "mp4", "quality": "low"}
    before = outside(host)

    with pytest.raises(InputError) as caught:
        host.run(nodes[node], **given)

    assert caught.value.id == text_id
    assert "\n" not in str(caught.value)
    assert list(Path(host.folder("output")).iterdir()) == []
    assert outside(host) == before


def upload_of(nodes: Nodes, host: Host) -> Any:
    auth, _ = host.run(nodes["NemoAuth"], profile="local preview", language="auto")
    (sessions,) = host.run(
        nodes["NemoUploadImage"], auth=auth, image=picture(96, 72), batch_mode="all images in one video"
    )
    return sessions[0] if isinstance(sessions, list) else sessions


@pytest.mark.parametrize(
    "prefix",
    [
        "..\u2215..\u2215x",
        "..\uff0fx",
        "\uff0e\uff0e/x",
        "%2e%2e%2fx",
        "video//x",
        "./x/./y",
        "a/../b/x",
        "'x'",
        "影片/片",
        "x" * 200,
    ],
    ids=ascii,
)
def test_a_prefix_that_only_looks_odd_stays_inside(prefix: str, nodes: Nodes, host: Host) -> None:
    """Characters that look like slashes and dots are characters."""
    before = outside(host)

    (path,) = host.run(nodes["NemoImageToVideo"], image=picture(96, 72), filename_prefix=prefix, **ANIMATE)["result"][1]

    assert Path(os.path.realpath(path)).is_relative_to(os.path.realpath(host.folder("output")))
    assert outside(host) == before


CLEANED = {
    "a:stream": "a_stream", "C:outside": "C_outside", "take 10:30?": "take 10_30_", "NUL": "_NUL", "con/x": "_con/x",
    "video/aux.x": "video/_aux.x", "COM1": "_COM1", "video./x": "video/x", "video /x": "video/x", "shot.": "shot",
    "a\0b": "a_b", "a\nb": "a_b", "a\x7fb": "a_b", "a\u2028b": "a_b", "a\u202e4pm.exe": "a4pm.exe",
    'the "best" one': "the _best_ one", "<a>|b*": "_a_b_", "cafe\u0301": "caf\u00e9", "\u200b": "video",
}  # fmt: skip
"""Names that Windows or shares cannot hold, as shell and batches clean them."""


@pytest.mark.parametrize(("prefix", "cleaned"), CLEANED.items(), ids=ascii)
def test_a_prefix_is_cleaned_as_names_of_shell_and_batches_are(
    prefix: str, cleaned: str, nodes: Nodes, host: Host, pack: Any
) -> None:
    """Before anything is sent; a graph that is queued is not refused for it, and what was cleaned stays as it is."""
    module = importlib.import_module(".nodes._comfy.host", pack.__name__)
    output = Path(os.path.abspath(host.folder("output")))

    for each in (prefix, cleaned):
        place = module.make_destination(each)
        assert (place.folder / place.stem).relative_to(output).as_posix() == cleaned
        assert module.judge_prefix(each) is True
    if "/" not in cleaned:
        assert clean_file_name(prefix) in (cleaned, "")


def test_a_video_is_delivered_under_its_cleaned_name(nodes: Nodes, host: Host) -> None:
    """And its number goes on where another one with the same name in another case is."""
    (Path(host.folder("output")) / "Take 10_30__00004_.MP4").touch()
    given = {**ANIMATE, "image": picture(96, 72), "filename_prefix": "take 10:30?"}

    (path,) = host.run(nodes["NemoImageToVideo"], **given)["result"][1]

    assert Path(path).name == "take 10_30__00005_.mp4"


@links
@pytest.mark.parametrize("prefix", ["nas/clip", "nas/2026/clip", "nas\\\\clip"])
def test_a_link_in_the_output_folder_leads_where_the_server_allows(
    prefix: str, nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another drive that its owner linked there; without the setting it is refused, and the words name the setting."""
    drive = Path(host.folder("drive"))
    (Path(host.folder("output")) / "nas").symlink_to(drive, target_is_directory=True)
    given = {**ANIMATE, "image": picture(96, 72), "filename_prefix": prefix}

    with pytest.raises(InputError, match="NEMO_OUTPUT_ROOTS"):
        host.run(nodes["NemoImageToVideo"], **given)
    monkeypatch.setenv("NEMO_OUTPUT_ROOTS", os.pathsep.join([host.folder("other"), str(drive)]))
    ran = host.run(nodes["NemoImageToVideo"], **given)

    (made,) = drive.rglob("clip_00001_.mp4")
    assert made.samefile(ran["result"][1][0])
    assert ran["ui"]["images"][0]["subfolder"].startswith("nas")


@pytest.mark.skipif(sys.platform != "linux", reason="an open file's path is read as Linux tells it")
def test_an_output_folder_on_a_share_takes_videos(nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that refuses modes, hard links, syncing and locks."""
    refused = refuse_on_share(monkeypatch, Path(host.folder("output")), SHARES["NFS"])
    given = {**ANIMATE, "image": picture(96, 72), "filename_prefix": "clip"}
    del given["seed"]

    paths = [host.run(nodes["NemoImageToVideo"], **given, seed=seed)["result"][1][0] for seed in (1, 2)]

    assert [Path(path).name for path in paths] == ["clip_00001_.mp4", "clip_00002_.mp4"]
    assert {"link", "fsync", "flock"} <= set(refused)


@links
@pytest.mark.drawn
@pytest.mark.parametrize("when", ["Preparing", "Rendering"])
def test_a_folder_that_becomes_a_link_on_the_way_takes_no_video(when: str, nodes: Nodes, host: Host) -> None:
    """Whenever that happens, nothing appears behind the link; what was made is kept, and delivered where it may go."""
    folder, elsewhere = Path(host.folder("output")) / "video", Path(host.folder("elsewhere"))

    def swap(text: str) -> None:
        if not folder.is_symlink():
            if folder.exists():
                folder.rename(folder.with_name("before"))
            folder.symlink_to(elsewhere, target_is_directory=True)

    host.on_text = swap
    given = {**ANIMATE, "prompt": f"slow push-in {when}"}

    with pytest.raises((DiskError, InputError)) as caught:
        host.run(nodes["NemoImageToVideo"], image=picture(96, 72), filename_prefix="video/NemoVideo", **given)
    host.on_text = None
    folder.unlink()
    (path,) = host.run(nodes["NemoImageToVideo"], image=picture(96, 72), filename_prefix="video/x", **given)["result"][
        1
    ]

    assert caught.value.id in ("disk-unwritable", "prefix-outside")
    assert list(elsewhere.iterdir()) == []
    assert Path(path).is_file()


# --- the home directory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["output/home", "input/home", "temp/home", "user/default/home", "user", "output"])
@pytest.mark.parametrize("spelled", ["plain", "by a link"])
def test_a_home_that_comfyui_serves_is_refused(
    spelled: str, place: str, nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Browsers could read the token; told by every node, in both languages, and nothing is written there."""
    path = Path(host.folder(place))
    if spelled == "by a link":
        (host.base / "link").symlink_to(path, target_is_directory=True)
        path = host.base / "link"
    monkeypatch.setenv("NEMO_HOME", str(path))

    with pytest.raises(DiskError) as caught:
        host.run(nodes["NemoImageToVideo"], image=picture(96, 72), filename_prefix="x", **ANIMATE)

    assert caught.value.id == "home-served"
    assert "NEMO_HOME" in caught.value.text("en")
    assert "NEMO_HOME" in caught.value.text("zh")
    assert list(Path(os.path.realpath(path)).iterdir()) in ([], [Path(os.path.realpath(path)) / "default"])


def test_a_home_below_a_served_folder_s_other_name_is_refused(
    nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount of it, or its name in another case: the folder itself is compared, not how it is spelled."""
    place = host.base / "mounted"
    place.mkdir(parents=True)
    with mounted(["--bind", host.folder("output"), str(place)], place):
        monkeypatch.setenv("NEMO_HOME", str(place / "home"))
        with pytest.raises(DiskError) as caught:
            host.run(nodes["NemoImageToVideo"], image=picture(96, 72), filename_prefix="x", **ANIMATE)

    assert caught.value.id == "home-served"
    assert list(Path(host.folder("output")).iterdir()) == []


def test_a_home_among_the_pages_of_a_pack_is_refused(nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """ComfyUI serves the `web` folder of each."""
    web = types.ModuleType("nodes")
    web.EXTENSION_WEB_DIRS = {"some-pack": host.folder("custom_nodes/some-pack/web")}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nodes", web)
    monkeypatch.setenv("NEMO_HOME", host.folder("custom_nodes/some-pack/web/home"))

    with pytest.raises(DiskError) as caught:
        host.run(nodes["NemoImageToVideo"], image=picture(96, 72), filename_prefix="x", **ANIMATE)
    assert caught.value.id == "home-served"


def test_comfyui_s_own_private_folder_is_a_home(nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """`user/__nemovideo`: ComfyUI serves nothing that begins like that."""
    monkeypatch.setenv("NEMO_HOME", f"{host.folder('user')}/__nemovideo")

    assert upload_of(nodes, host).session_id
    assert profile("local preview").free
    assert (Path(host.folder("user")) / "__nemovideo" / "journal.sqlite3").is_file()


def test_an_image_is_read_by_nobody_s_name(nodes: Nodes, host: Host) -> None:
    """A picture under a video's name, and the other way round, is what it is."""
    Image.new("RGB", (16, 16), "red").save(Path(host.folder("input")) / "a.mp4", format="PNG")

    with pytest.raises(Exception, match=r"mp4|kind") as caught:
        upload(nodes, host, "a.mp4")
    assert "NemoError" in [each.__name__ for each in type(caught.value).__mro__]

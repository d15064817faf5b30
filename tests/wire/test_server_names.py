"""Names that come from a server never decide where anything lies on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nemo_client import Destination, Output, Wish, from_url, home
from nemo_client._batch.item import derive_stem
from nemo_client._cli.animate import Delivery
from tests.support import backend
from tests.support.backend import Cloud, always, answer, bytes_of, serving, write_video

cloud = backend.cloud

EVIL = "../../../evil"
NAMES = [EVIL, "/etc/evil", "..\\..\\evil", "C:\\evil", "evil\0.mp4", "~/evil", "CON", "a/../../evil"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_whatever_a_server_calls_things_they_lie_where_they_were_asked_for(
    name: str, cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    """Task, upload, render, title, the address of the file, and the name that its answer gives."""
    made = cloud()
    film = bytes_of(write_video(tmp_path / "film.mp4"))
    (tmp_path / "film.mp4").unlink()
    headers: dict[str, object] = {"content_type": "video/mp4", "content_disposition": disposition(name)}
    async with serving(always(answer(film, **headers))) as server:
        made.fault("wrong_types", "session", field="data.task_id", value=name)
        made.fault("wrong_types", "upload", field="data.files.0.filename", value=name)
        made.fault("wrong_types", "state", count=None, field="data.task_name", value=name)
        made.fault("wrong_types", "state", count=None, field="data.state.draft.m.title", value=name)
        made.fault("wrong_types", "render", field="data.id", value=name)
        made.fault(
            "wrong_types", "render-status", count=None, field="output.url", value=f"{server.url}/x/..%2F..%2Fevil.mp4"
        )
        before = everything(tmp_path)
        async with made.studio() as studio:
            destination = Destination(tmp_path / "out", "clip")
            video = await studio.animate([backend.picture()], Wish("a", duration=1), destination, Output())

    assert video.path == tmp_path / "out" / "clip_00001_.mp4"
    assert bytes_of(video.path) == film
    assert len(server.asked) == 1
    assert {endpoint for _, endpoint in made.faults.fired} >= {"session", "upload", "state", "render", "render-status"}
    strange = {path for path in everything(tmp_path) - before if not is_ours(path, tmp_path)}
    assert strange == set()


def disposition(name: str) -> str:
    plain = name.replace("\0", "%00")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{plain}"


def everything(folder: Path) -> set[Path]:
    """All files and folders, and what stands beside them."""
    return {*folder.rglob("*"), *folder.parent.iterdir(), *Path("/etc").glob("evil*"), *Path.cwd().glob("*evil*")}


def is_ours(path: Path, base: Path) -> bool:
    """The delivered video, the home directory's own names, and what the backend's folder holds."""
    if path.is_relative_to(base / "backend"):
        return True
    if path.is_relative_to(home()):
        return "evil" not in path.name and path.name != "CON"
    return path in (base / "out", base / "out" / "clip_00001_.mp4")


@pytest.mark.parametrize(
    ("image", "stem"),
    [
        ("https://a.test/cat.png", "cat"),
        ("https://a.test/../../evil.png", "evil"),
        ("https://a.test/%2e%2e%2f%2e%2e%2fevil.png", "evil"),
        ("https://a.test/..%5c..%5cevil.png", "evil"),
        ("https://a.test/..", "video"),
        ("https://a.test/", "video"),
        ("https://a.test/%00", "video"),
        ("https://a.test/CON.png", "video"),
        ("https://a.test/nul", "video"),
        ("https://a.test/com1.x.png", "video"),
        ("https://a.test/" + "x" * 500 + ".png", "x" * 80),
        ("https://a.test/a%3Astream.png", "a_stream"),
        ("https://a.test/%E2%80%AEevil.png", "evil"),
    ],
)
def test_the_address_of_a_picture_names_a_plain_file(image: str, stem: str) -> None:
    """The shell calls a video like its first picture: a name in the folder where one stands, on every system."""
    assert derive_stem([image]) == stem
    _, destination = Delivery().plan([image])
    target = Path(os.path.abspath(destination.folder / destination.name(1, "mp4")))
    assert target.parent == Path.cwd()


@pytest.mark.parametrize("address", ["https://a.test/../../evil.png", "https://a.test/..%2f..%2fevil.png"])
def test_an_address_is_no_file_of_ours(address: str) -> None:
    """The backend fetches it; nothing is kept under its name."""
    media: Any = from_url(address)

    assert media.content == b""
    assert "/" not in media.name

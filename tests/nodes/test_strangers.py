"""What a stranger's workflow may name or hold: files, hidden inputs, odd values."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path, PureWindowsPath
from typing import Any

import av
import pytest

from nemo_client import InputError
from tests.nodes._arrays import picture
from tests.nodes._host import Host
from tests.support.backend import write_video

Nodes = dict[str, type[Any]]

QUICK = {"prompt": "slow push-in", "aspect_ratio": "auto", "duration": 1, "seed": 0}
SMALL = {"format": "mp4", "quality": "low", "resolution": "480p"}
ANIMATE = {**QUICK, **SMALL, "filename_prefix": "video/NemoVideo", "profile": "local preview"}


def refused(nodes: Nodes, host: Host, source: str) -> str:
    auth, _ = host.run(nodes["NemoAuth"], profile="local preview", language="auto")
    with pytest.raises(InputError) as caught:
        host.run(nodes["NemoUploadMedia"], auth=auth, source=source)
    assert host.is_changed(nodes["NemoUploadMedia"], source=source) == ""
    return caught.value.id


@pytest.mark.parametrize(
    "source",
    ["x" * 5000 + ".mp4", "\ud800.mp4", "file:///etc/passwd", "ftp://x.test/a.mp4", "a/../../secret.mp4", "."],
    ids=lambda source: repr(source)[:20],
)
def test_a_name_that_no_file_can_have_is_one_error(source: str, nodes: Nodes, host: Host) -> None:
    """In words, whatever the file system says of such a name."""
    assert refused(nodes, host, source) == "source-outside"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_or_a_device_is_no_file(nodes: Nodes, host: Host) -> None:
    """Reading one could wait for ever."""
    folder = Path(host.folder("input"))
    os.mkfifo(folder / "pipe.mp4")
    (folder / "zero.mp4").symlink_to("/dev/zero")

    assert refused(nodes, host, "pipe.mp4") == "source-outside"
    assert refused(nodes, host, "zero.mp4") == "source-outside"


def test_links_and_annotations_lead_nowhere_else(nodes: Nodes, host: Host) -> None:
    """A folder that is a link out, a name annotated with another folder, and another case of a folder's name."""
    outside = write_video(Path(host.folder("footage")) / "a.mp4")
    (Path(host.folder("input")) / "linked").symlink_to(outside.parent)
    whole = str(outside)

    for source in ("linked/a.mp4", "linked/a.mp4 [output]", "a.mp4 [temp]", f"{whole} [input]", whole.upper()):
        assert refused(nodes, host, source) == "source-outside"


def test_another_machine_is_not_looked_at(pack: Any) -> None:
    """On Windows the look alone would sign in at the machine that the workflow names."""
    is_share = importlib.import_module(".nodes._comfy.paths", pack.__name__).is_share

    assert is_share(PureWindowsPath(r"\\evil.test\share\a.mp4"))
    assert is_share(PureWindowsPath("//evil.test/share/a.mp4"))
    assert not is_share(PureWindowsPath(r"C:\comfy\input\a.mp4"))
    assert not is_share(PureWindowsPath("a.mp4"))


def test_what_other_nodes_left_in_the_workflow_costs_no_video(nodes: Nodes, host: Host) -> None:
    """Values that JSON does not hold are left out, NaN (of an IS_CHANGED) becomes null, keys become text."""
    host.hidden = {
        "PROMPT": {"1": {"is_changed": [float("nan")]}},
        "EXTRA_PNGINFO": {"workflow": {"nodes": []}, 7: "seven", "array": {1, 2}, "keys": {(1, 2): 3}},
    }

    (path,) = host.run(nodes["NemoImageToVideo"], image=picture(96, 72), **ANIMATE)["result"][1]

    with av.open(path) as container:
        tags = dict(container.metadata)
    assert json.loads(tags["prompt"], parse_constant=pytest.fail) == {"1": {"is_changed": [None]}}
    assert json.loads(tags["workflow"]) == {"nodes": []}
    assert json.loads(tags["7"]) == "seven"
    assert not {"array", "keys"} & set(tags)


def test_the_journal_holds_no_workflow(nodes: Nodes, host: Host) -> None:
    """It would outlive the file, and a workflow may name anything."""
    from nemo_client import home

    host.hidden = {"PROMPT": {"1": "marked-prompt"}, "EXTRA_PNGINFO": {"workflow": "marked-workflow"}}

    host.run(nodes["NemoImageToVideo"], image=picture(96, 72), **ANIMATE)

    kept = b"".join(path.read_bytes() for path in home().glob("journal.sqlite3*"))
    assert b"NemoVideo" in kept
    assert b"marked-" not in kept

"""NemoVideo Recover: what was interrupted is collected, by time or by id, and nothing is sent again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from nemo_client import InputError, local
from nemo_client._steps import kind_of

from ._arrays import picture
from ._host import Host, Interrupted

Nodes = dict[str, type[Any]]

WISH = {"prompt": "slow push-in", "aspect_ratio": "auto", "duration": 1, "seed": 0}
SMALL = {"format": "mp4", "quality": "low", "resolution": "480p"}


def generated(nodes: Nodes, host: Host, profile: str, seed: int = 0) -> Any:
    auth, _ = host.run(nodes["NemoAuth"], profile=profile, language="auto")
    (sessions,) = host.run(
        nodes["NemoUploadImage"], auth=auth, image=picture(160, 120), batch_mode="all images in one video"
    )
    (after,), _, _ = host.run(nodes["NemoGenerateVideo"], session=sessions, **{**WISH, "seed": seed})
    return after


def test_the_newest_unfinished_job_is_collected(nodes: Nodes, host: Host, cloud: Any) -> None:
    """Generated and paid for, never exported: one click brings the file, without another message."""
    generated(nodes, host, "nemo")

    answer = host.run(nodes["NemoRecover"], job="latest unfinished")

    (path,) = answer["result"][1]
    assert Path(path).is_file()
    assert json.loads(answer["result"][3][0])["money"]["spent"] == 100
    assert len(local.read_ledger(cloud.directory).messages) == 1


def test_a_cancelled_export_lands_where_it_was_wanted(nodes: Nodes, host: Host, cloud: Any) -> None:
    """The destination and the format of the interrupted export are remembered."""
    after = generated(nodes, host, "nemo")
    host.on_text = lambda text: setattr(host, "flag", True) if "Rendering" in text else None
    with pytest.raises(Interrupted):
        host.run(
            nodes["NemoExportRender"], session=[after], filename_prefix="wanted/clip", **{**SMALL, "format": "mov"}
        )
    host.on_text = None

    answer = host.run(nodes["NemoRecover"], job="latest unfinished")

    path = Path(answer["result"][1][0])
    assert (path.parent.name, path.name) == ("wanted", "clip_00001_.mov")


def test_jobs_are_offered_by_time_without_their_prompts(nodes: Nodes, host: Host, cloud: Any) -> None:
    """Prompts do not belong into a workflow that somebody shares."""
    after = generated(nodes, host, "nemo")
    wanted = after.key.split("-")[1][:8]
    deadline = time.monotonic() + 10
    labels: list[str] = []
    while time.monotonic() < deadline and not any(wanted in label for label in labels):
        time.sleep(0.1)
        labels = nodes["NemoRecover"].INPUT_TYPES()["required"]["job"][0]

    (label,) = [label for label in labels if wanted in label]
    assert kind_of(after.key) == "generate"
    assert labels[0] == "latest unfinished"
    assert "push-in" not in " ".join(labels)
    assert host.run(nodes["NemoRecover"], job=label)["result"][1]
    assert host.run(nodes["NemoRecover"], job=wanted)["result"][1], "any id is accepted in headless runs"


def test_no_such_job_is_one_clear_error(nodes: Nodes, host: Host) -> None:
    """Nothing to recover, or an id that is not there."""
    for job in ("latest unfinished", "0badc0de"):
        with pytest.raises(InputError) as caught:
            host.run(nodes["NemoRecover"], job=job)
        assert caught.value.id == "job-unknown"

"""NemoVideo Recover: what was interrupted is collected, by time or by id, and nothing is sent again."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nemo_client import InputError, Journal, home
from nemo_client._journal.steps import parse_kind
from tests.nodes._arrays import picture
from tests.nodes._host import Host, Interrupted
from tests.support.journal_jobs import counted, fill, made
from tests.support.ledger import read_ledger
from tests.support.waiting import wait_until

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
    assert len(read_ledger(cloud.directory).messages) == 1


@pytest.mark.drawn
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

    def offered() -> list[str]:
        return list(nodes["NemoRecover"].INPUT_TYPES()["required"]["job"][0])

    wait_until(lambda: any(wanted in label for label in offered()))
    labels = offered()
    (label,) = [label for label in labels if wanted in label]
    assert parse_kind(after.key) == "generate"
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


def on_network(pack: Any, work: Callable[[Journal], Awaitable[Any]]) -> Any:
    """Do `work` with the journal of the pack's own thread."""
    network = sys.modules[f"{pack.__name__}.nodes._comfy.run"].get_network()

    async def there() -> Any:
        return await work(network.journal())

    return network.submit(there()).result(60)


def test_any_job_is_found_however_many_came_after_it(pack: Any, nodes: Nodes, host: Host, cloud: Any) -> None:
    """By its id; offered on top as long as it owes its video; and the result of it is seen by IS_CHANGED."""
    wanted = generated(nodes, host, "nemo").key.split("-")[1][:8]
    network = sys.modules[f"{pack.__name__}.nodes._comfy.run"].get_network()
    on_network(pack, lambda journal: fill(journal, 1200))
    network.submit(network.look()).result(60)

    labels = nodes["NemoRecover"].INPUT_TYPES()["required"]["job"][0]
    before = host.is_changed(nodes["NemoRecover"], job=wanted)
    answer = host.run(nodes["NemoRecover"], job=wanted)
    network.submit(network.look()).result(60)
    after = host.is_changed(nodes["NemoRecover"], job=wanted)

    assert labels[0] == "latest unfinished"
    assert labels[1].startswith(wanted)
    assert 50 <= len(labels) <= 52
    assert Path(answer["result"][1][0]).is_file()
    assert before.startswith(f"{wanted} done False")
    assert after.startswith(f"{wanted} done True")
    assert host.is_changed(nodes["NemoRecover"], job="0badc0de") == ""
    assert len(read_ledger(cloud.directory).messages) == 1


def test_nothing_is_read_while_nothing_changes(pack: Any, nodes: Nodes, host: Host) -> None:
    """Looking again costs one look at the change counter; a change is seen at the next look, by any process."""
    network = sys.modules[f"{pack.__name__}.nodes._comfy.run"].get_network()
    on_network(pack, lambda journal: fill(journal, 60))
    for _ in range(2):  # the first look also writes what an older program left out
        network.submit(network.look()).result(60)
    with counted() as read:
        for _ in range(5):
            network.submit(network.look()).result(60)
    quiet = list(read.statements)
    other = asyncio.run(one_more())
    with counted() as read:
        network.submit(network.look()).result(60)

    assert quiet == []
    assert read.statements
    assert network.jobs[0].key == other


async def one_more() -> str:
    """Another process's job, which owes its video."""
    journal = Journal(home())
    try:
        return await made(journal, 0xEE000001)
    finally:
        await journal.close()


def test_profiles_are_read_again_when_their_file_or_the_environment_changes(
    pack: Any, nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only then; a broken file keeps the last good state, and what follows it is read."""
    network = sys.modules[f"{pack.__name__}.nodes._comfy.run"].get_network()
    path = home() / "profiles.json"
    home().mkdir(parents=True, exist_ok=True)

    def seen() -> tuple[str, ...]:
        network.submit(network.look()).result(60)
        return tuple(network.profiles)

    first = seen()
    path.write_text('{"profiles": {"mine": {"api_url": "https://mine.test"}}}', encoding="utf-8")
    second = seen()
    path.write_text("{", encoding="utf-8")
    third = seen()
    path.write_text('{"profiles": {"yours": {"api_url": "https://yours.test"}}}', encoding="utf-8")

    assert first == ("nemo", "local preview")
    assert second == third == (*first, "mine")
    assert seen() == (*first, "yours")

"""What nodes remember from run to run belongs to their workflow, and what they say is of their own work."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from nemo_client import NoCredits, Progress, Wish, local
from nemo_client._studio.progress import Stage
from tests.nodes._arrays import picture
from tests.nodes._host import Host, Interrupted
from tests.nodes.test_items import ANIMATE, EACH, Nodes, pictures
from tests.support import backend as support
from tests.support.faults import Fault, Faults
from tests.support.ledger import read_ledger
from tests.support.waiting import wait_until

ONE = {**ANIMATE, "batch_mode": "all images in one video"}


def show(host: Host, workflow: str | None, **inputs: Any) -> None:
    """Another workflow is opened: its node of id 5, after a picture of its own."""
    host.drawn = None if workflow is None else {"workflow": {"id": f"{workflow} of {host.base}"}}
    host.graph = {
        "3": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "5": {"class_type": "NemoImageToVideo", "inputs": {"image": ["3", 0], **inputs}},
        "9": {"class_type": "Other", "inputs": {"x": ["5", 0]}},
    }


OTHERS = {
    "another id": ("two", {"prompt": "a"}),
    "no id, other words": (None, {"prompt": "b"}),
    "the same id, other words": ("one", {"prompt": "b"}),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_deleted_file_of_one_workflow_is_none_of_another(other: str, nodes: Nodes, host: Host) -> None:
    """Both have a node of this id with this prefix; the file that is gone is delivered again where it was delivered."""
    node = nodes["NemoImageToVideo"]
    mine: tuple[str | None, dict[str, str]] = (None if OTHERS[other][0] is None else "one", {"prompt": "a"})

    def stamp(workflow: tuple[str | None, dict[str, str]]) -> Any:
        show(host, workflow[0], **workflow[1])
        return host.is_changed(node, "5", filename_prefix=ONE["filename_prefix"])

    paths = []
    for seed, workflow in enumerate((mine, OTHERS[other])):
        show(host, workflow[0], **workflow[1])
        answer = host.run(node, "5", image=picture(96, 72), **{**ONE, "seed": seed})
        paths.append(Path(answer["result"][1][0]))
    before = [stamp(mine), stamp(OTHERS[other])]
    paths[0].unlink()
    after = [stamp(mine), stamp(OTHERS[other])]

    assert before[0] == before[1]
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_what_lies_behind_a_node_changes_nothing_for_it(nodes: Nodes, host: Host) -> None:
    """A node that is added after it, or an edit in another branch, leaves what was delivered in its place."""
    node = nodes["NemoImageToVideo"]
    show(host, "one", prompt="a")
    path = Path(host.run(node, "5", image=picture(96, 72), **ONE)["result"][1][0])
    assert host.graph is not None
    host.graph["12"] = {"class_type": "Other", "inputs": {"x": ["5", 1], "y": 3}}
    path.unlink()

    assert host.is_changed(node, "5", filename_prefix=ONE["filename_prefix"]).startswith("1")


def test_what_one_workflow_skipped_is_not_tried_again_in_another(nodes: Nodes, host: Host) -> None:
    """By the workflow as well as the node's id."""
    node = nodes["NemoUploadImage"]
    auth, _ = host.run(nodes["NemoAuth"], profile="local preview", language="auto")
    show(host, "one")
    host.run(node, "5", auth=auth, image=pictures(bad=0), **EACH)
    mine = host.is_changed(node, "5")
    show(host, "two")

    assert (mine, host.is_changed(node, "5")) == (1, 0)


def test_memory_of_workflows_is_bounded(pack: Any, host: Host) -> None:
    """A new take is another request: thousands of them are no reason to keep thousands of paths."""
    memory = sys.modules[f"{pack.__name__}.nodes._comfy.memory"]
    kept = memory.Memory(list)
    for number in range(memory.MOST + 100):
        kept.here(str(number))

    assert len(list(kept.known())) == memory.MOST


@pytest.fixture
def thinking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[local.LocalBackend]:
    """A cloud whose messages stay out until the test lets them go on."""
    with local.open(tmp_path / "backend", credits=1000, pace=0, faults=Faults()) as backend:
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        monkeypatch.setenv("NEMO_TOKEN", backend.token)
        backend.faults.add(Fault("stall", "message", at=1, seconds=STALLS, count=2))
        yield backend


def test_a_node_that_only_uploads_does_not_speak_of_paid_work(
    pack: Any, nodes: Nodes, host: Host, thinking: local.LocalBackend
) -> None:
    """Another one's message is in flight meanwhile; a cancelled upload is free, and says nothing else."""
    run = sys.modules[f"{pack.__name__}.nodes._comfy.run"]

    async def generate() -> Any:
        studio = await run.get_network().studio("nemo")
        return await studio.generate(await studio.upload([support.picture()]), Wish("slow push-in"))

    paid = run.get_network().submit(generate())
    wait_until(lambda: len(read_ledger(thinking.directory).messages) == 1)
    thinking.faults.add(Fault("stall", "upload", at="request", seconds=STALLS))
    texts = cancelled(nodes["NemoUploadImage"], host, thinking, "upload", auth=auth_of(nodes, host), **UPLOAD)
    own = cancelled(nodes["NemoImageToVideo"], host, thinking, "message", image=picture(80, 60), **PAID)
    paid.result(60)
    run.get_network().submit(drained(run)).result(60)

    assert texts[-1] == "Cancelled."
    assert "already paid for" in own[-1]


async def drained(run: Any) -> None:
    await (await run.get_network().studio("nemo")).drain(only_committed=False)


STALLS = 6.0
UPLOAD = {"image": picture(64, 48), "batch_mode": "all images in one video"}
PAID = {**ONE, "profile": "nemo", "seed": 9}


def auth_of(nodes: Nodes, host: Host) -> Any:
    return host.run(nodes["NemoAuth"], profile="nemo", language="auto")[0]


def cancelled(node: Any, host: Host, backend: local.LocalBackend, endpoint: str, **inputs: Any) -> list[str]:
    """What a node says that the user cancels once its request has come to the backend."""
    before = count(backend, endpoint)

    class Press:
        FUNCTION = "press"

        async def press(self) -> None:
            await support.until(lambda: count(backend, endpoint) > before)
            host.flag = True

    with pytest.raises(Interrupted):
        host.prompt({"1": (node, inputs), "2": (Press, {})})
    return [text for _, text in host.texts]


def count(backend: local.LocalBackend, endpoint: str) -> int:
    return sum(call["endpoint"] == endpoint for call in backend.calls)


def test_an_expected_error_is_short_in_the_log(nodes: Nodes, host: Host, cloud: local.LocalBackend) -> None:
    """ComfyUI logs an error with all that it is chained to; that credits are missing needs no two pages."""
    local_faults = cloud.faults
    local_faults.add(Fault("answer", "message", status=200, code=2001, message="no credits", count=None))
    with pytest.raises(NoCredits) as caught:
        host.run(nodes["NemoImageToVideo"], image=picture(64, 48), **PAID)
    logged = traceback.format_exception(caught.value)

    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "Traceback" not in "".join(logged[1:])
    assert "The above exception" not in "".join(logged)


@pytest.mark.parametrize("stage", [*get_args(Stage), "a stage of tomorrow"])
def test_every_stage_has_its_span_and_its_words(stage: Any, pack: Any, host: Host) -> None:
    """One that the table does not know moves no bar, and breaks no run that is paid for."""
    spans = sys.modules[f"{pack.__name__}.nodes._comfy.status"]
    item = sys.modules[f"{pack.__name__}.nodes._comfy.run"].Item("", None)
    item.caller.take(Progress("render", 0.5))
    reached = item.fraction
    item.caller.take(Progress(stage))

    assert (stage in spans._SPANS) == (stage in get_args(Stage))
    assert item.fraction >= reached > 0
    assert 0.0 <= spans.compute_fraction(Progress(stage)) <= 1.0
    assert Progress(stage).text("en")
    assert Progress(stage).text("zh")

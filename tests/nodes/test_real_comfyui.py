"""The nodes in a real ComfyUI, when `COMFYUI_PATH` names a checkout (and `COMFYUI_PYTHON` its interpreter)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import av
import pytest

from nemo_client import local
from tests.support.comfyui_process import ComfyUI, checkout
from tests.support.ledger import read_ledger

pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.skipif(checkout() is None, reason="COMFYUI_PATH names no ComfyUI checkout"),
]

ROOT = Path(__file__).parent.parent.parent
GRAPH = json.loads((ROOT / "workflows" / "api" / "image_to_video.json").read_text())


def short(**changes: dict[str, Any]) -> dict[str, Any]:
    """The workflow of the repository, one second long and small; `changes` by node id (`n4={...}`)."""
    graph: dict[str, Any] = json.loads(json.dumps(GRAPH))
    graph["4"]["inputs"].update(duration=1)
    graph["5"]["inputs"].update(quality="low", resolution="480p")
    for node, inputs in changes.items():
        graph[node.removeprefix("n")]["inputs"].update(inputs)
    return graph


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyUI]:
    """One server for all tests of this module, with a home directory of its own."""
    base = tmp_path_factory.mktemp("comfyui")
    keep = {name: value for name, value in os.environ.items() if not name.startswith("NEMO_")}
    with ComfyUI(base / "base", {**keep, "NEMO_HOME": str(base / "home")}) as server:
        yield server


def test_the_nodes_are_known(comfyui: ComfyUI) -> None:
    """/object_info lists every node under its display name, none as a partner node."""
    info = comfyui.get("/object_info")

    ours = {name: info[name]["display_name"] for name in info if name.startswith("Nemo")}
    assert ours["NemoImageToVideo"] == "NemoVideo Image to Video"
    assert len(ours) >= 6
    assert not any(info[name].get("api_node") for name in ours)
    assert "IMPORT FAILED" not in comfyui.log.read_text()


def test_the_workflow_makes_a_playable_file(comfyui: ComfyUI) -> None:
    """`POST /prompt` to the file on disk: progress on the websocket, the video in the history, /view serves it."""
    run = comfyui.run(short())

    shown = run.history["outputs"]["5"]
    path = comfyui.base / "output" / shown["images"][0]["subfolder"] / shown["images"][0]["filename"]
    assert run.history["status"]["status_str"] == "success"
    assert shown["animated"] == [True]
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 30
    assert run.texts, "progress as text under the node"
    bars = [message["value"] / message["max"] for message in run.of_type("progress")]
    assert bars, "progress as a bar"
    name = shown["images"][0]["filename"]
    assert comfyui.get(f"/view?filename={name}&subfolder=video&type=output") == path.read_bytes()


def test_a_forged_handle_is_one_clear_error(comfyui: ComfyUI) -> None:
    """ComfyUI hands on whatever stands in the place of a link; the node says what is wrong with it."""
    forged = {"profile": "nemo", "language": "en", "api_url": "https://evil.test"}
    for value in (forged, "nemo", {"__value__": forged}):
        run = comfyui.run({"1": {"class_type": "NemoCredits", "inputs": {"auth": value}}})

        (error,) = run.of_type("execution_error")
        assert error["exception_type"] == "nemo_client.InputError"
        assert error["exception_message"].startswith("The input auth is a ")


def test_the_second_run_is_the_cache_s_or_the_journal_s(comfyui: ComfyUI) -> None:
    """Queued again nothing runs; from another workflow in between, the same file is found again."""
    first = comfyui.run(short(n4={"prompt": "pan left"}))
    again = comfyui.run(short(n4={"prompt": "pan left"}))
    comfyui.run({"1": {"class_type": "TestBlockingSampler", "inputs": {"seconds": 0.01}}})
    later = comfyui.run(short(n4={"prompt": "pan left"}))

    names = [run.history["outputs"]["5"]["images"][0]["filename"] for run in (first, again, later)]
    assert len(set(names)) == 1


def test_an_interrupt_takes_less_than_a_second(comfyui: ComfyUI) -> None:
    """Cancel ends as `execution_interrupted`, not as an error, and the worker lives on."""
    pressed: list[float] = []

    def press(message: dict[str, Any]) -> str | None:
        if message["type"] == "progress" and message["data"]["node"] == "5" and not pressed:
            pressed.append(time.monotonic())
            return "/interrupt"
        return None

    graph = short(n4={"duration": 120}, n5={"quality": "high", "resolution": "1080p"})
    run = comfyui.run(graph, on_message=press)

    assert run.messages[-1]["type"] == "execution_interrupted"
    assert run.messages[-1]["at"] - pressed[0] < 1.0
    assert comfyui.run(short()).history["status"]["status_str"] == "success"


def test_a_blocking_sampler_beside_it_does_no_harm(comfyui: ComfyUI) -> None:
    """An ordinary node that blocks ComfyUI's loop for seconds runs beside ours."""
    graph = short(n4={"prompt": "zoom out"})
    graph["9"] = {"class_type": "TestBlockingSampler", "inputs": {"seconds": 4.0}}

    run = comfyui.run(graph)

    assert run.history["status"]["status_str"] == "success"
    assert run.history["outputs"]["9"] == {"slept": [4.0]}


def test_a_failure_speaks_to_people_and_names_no_secret(comfyui: ComfyUI) -> None:
    """The error names its class, says what to do, and carries no inputs."""
    run = comfyui.run(short(n1={"profile": "no such profile"}))

    error = run.of_type("execution_error")[0]
    assert error["exception_type"] == "nemo_client.InputError"
    assert "There is no profile" in error["exception_message"]
    assert "Nothing was charged." in error["exception_message"]


def test_a_core_node_takes_the_video_without_encoding_it_anew(comfyui: ComfyUI) -> None:
    """Save Video remuxes: the packets of the video stream are the same bytes."""
    graph = short()
    graph["6"] = {
        "class_type": "SaveVideo",
        "inputs": {"video": ["5", 0], "filename_prefix": "video/Saved", "format": "auto", "codec": "auto"},
    }

    run = comfyui.run(graph)

    saved, ours = (run.history["outputs"][node]["images"][0]["filename"] for node in ("6", "5"))
    assert _packets(comfyui.base / "output" / "video" / saved) == _packets(comfyui.base / "output" / "video" / ours)


def _packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_killed_and_started_again_it_pays_once(tmp_path: Path) -> None:
    """ComfyUI dies while a paid message is in flight; the same graph, queued again, collects its video."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith("NEMO_")}
    with local.open(tmp_path / "backend", credits=1000, generation_seconds=2) as backend:
        own = {"NEMO_API_URL": backend.url, "NEMO_TOKEN": backend.token, "NEMO_HOME": str(tmp_path / "home")}
        graph = short(n1={"profile": "nemo"})
        with ComfyUI(tmp_path / "base", {**keep, **own}) as first, pytest.raises(aiohttp.ClientError):
            first.run(graph, on_message=lambda _: _kill_once(first, backend))
        with ComfyUI(tmp_path / "base", {**keep, **own}) as second:
            run = second.run(graph)

        ledger = read_ledger(backend.directory)
    assert run.history["status"]["status_str"] == "success"
    assert (len(ledger.messages), ledger.credits_taken) == (1, 100)
    shown = run.history["outputs"]["5"]["images"][0]
    assert _packets(tmp_path / "base" / "output" / shown["subfolder"] / shown["filename"])


def _kill_once(server: ComfyUI, backend: local.LocalBackend) -> None:
    if read_ledger(backend.directory).messages:
        server.kill()


@pytest.mark.parametrize("language", ["sh", "python"])
def test_the_documents_headless_examples_run_as_written(language: str, comfyui: ComfyUI, tmp_path: Path) -> None:
    """From POST /prompt to the file, with `curl` and with Python's own library."""
    page = (ROOT / "docs" / "headless.md").read_text(encoding="utf-8")
    (block,) = [
        each for each in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL) if re.search(r"COMFY(:-|\")", each)
    ]
    (tmp_path / "workflows").symlink_to(ROOT / "workflows", target_is_directory=True)
    program = ["bash", "-euo", "pipefail"] if language == "sh" else [sys.executable]

    done = subprocess.run(
        [*program, "-c", block], cwd=tmp_path, env={**os.environ, "COMFY": comfyui.url}, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    (video,) = tmp_path.glob("*.mp4")
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 90

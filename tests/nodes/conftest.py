"""Fixtures for the nodes: the stand-in for ComfyUI, the pack loaded into it, and images."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_client import NemoError, local
from tests.nodes._arrays import HAS_TORCH, torch_module
from tests.nodes._host import Host, load_pack
from tests.support.faults import Faults
from tests.support.timings import Shorten


@pytest.fixture(scope="session")
def pack() -> Any:
    """The pack, loaded once as ComfyUI loads it."""
    return load_pack()


@pytest.fixture(scope="module", autouse=True)
def _network_rests(pack: Any) -> Iterator[None]:
    """Between the files of tests the pack's thread holds nothing, and looks for no jobs in whatever home comes next."""
    run = sys.modules[f"{pack.__name__}.nodes._comfy.run"]
    if run._network is not None:
        run._network.submit(_watching(run._network)).result(30)
    yield
    if run._network is not None:
        run._network.submit(_resting(run._network)).result(60)


async def _watching(network: Any) -> None:
    network._watching = asyncio.ensure_future(network._watch())


async def _resting(network: Any) -> None:
    network._watching.cancel()
    retiring = list(network._retiring)
    for task in retiring:  # it may wait for a backend that the test has closed, and does so for 45 s
        task.cancel()
    await asyncio.gather(*retiring, return_exceptions=True)
    for each in (
        *(studio.aclose for studio in network.list_open_studios()),
        *(j.close for j in network._journals.values()),
    ):
        with contextlib.suppress(NemoError):  # its home directory has gone
            await each()
    network._studios.clear()
    network._journals.clear()


@pytest.fixture(autouse=True)
def _tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch is not installed, a small array type stands in for its tensors."""
    if not HAS_TORCH:
        monkeypatch.setitem(sys.modules, "torch", torch_module())


@pytest.fixture(autouse=True)
def _quick_backend(shorten: Shorten) -> None:
    """The built-in backend takes a tenth of its usual time to think, a paid draft is soon called quiet, a first paid
    render is looked at as soon as a free one, and what failed is tried again at once."""
    shorten(preview={"pace": 0.1}, studio={"quiet": 0.1, "poll_scale": 0.2}, wire={"first_pause": 0.05})


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """ComfyUI's stand-in, fresh for each test."""
    made = Host(tmp_path / "comfyui")
    for name, module in made.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


@pytest.fixture
def nodes(pack: Any, host: Host) -> dict[str, type[Any]]:
    """The node classes by id."""
    classes: dict[str, type[Any]] = pack.NODE_CLASS_MAPPINGS
    return classes


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[local.LocalBackend]:
    """The local backend in the place of the cloud, with credits that go down."""
    with local.open(tmp_path / "backend", credits=1000, pace=0, faults=Faults()) as backend:
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        monkeypatch.setenv("NEMO_TOKEN", backend.token)
        yield backend

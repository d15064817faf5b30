"""Nodes take what an earlier version began of a picture in other colours; what failed is requested again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nemo_client import NothingMade, Studio, Wish, local
from tests.nodes._arrays import tensor
from tests.nodes._host import Host
from tests.support.backend import draw
from tests.support.faults import Faults
from tests.support.old_keys import SHORT, STATES, adder_of, count_messages, make_earlier, save_in_p3
from tests.support.timings import Shorten

Nodes = dict[str, type[Any]]
PROMPT = "x"


@pytest.fixture
def faults() -> Faults:
    """The backend's script."""
    return Faults()


@pytest.fixture
def charging(tmp_path: Path, faults: Faults, shorten: Shorten, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The local backend in the place of the cloud; what is unknown is looked at without waiting."""
    shorten(**SHORT)
    with local.open(tmp_path / "cloud", pace=0, credits=1000, faults=faults, renderer=draw) as backend:
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        monkeypatch.setenv("NEMO_TOKEN", backend.token)
        yield backend


def begin(path: Path, state: str, faults: Faults) -> None:
    async def make() -> None:
        async with await Studio.open("nemo") as studio:
            await make_earlier(studio, path, Wish(PROMPT), state, adder_of(faults))

    asyncio.run(make())
    faults.clear()


@pytest.mark.parametrize("state", STATES)
def test_single_nodes_take_it_by_the_file(state: str, nodes: Nodes, host: Host, charging: Any, faults: Faults) -> None:
    """Upload File, Generate and Export; queued twice."""
    begin(save_in_p3(Path(host.folder("input")) / "phone.png"), state, faults)
    auth, _ = host.run(nodes["NemoAuth"], profile="nemo", language="auto")
    for number in (1, 2):
        session = host.run(nodes["NemoUploadMedia"], auth=auth, source="phone.png")[0]
        (made,), _, _ = host.run(
            nodes["NemoGenerateVideo"], session=session, prompt=PROMPT, aspect_ratio="auto", duration=0, seed=0
        )
        export = {"session": made, "filename_prefix": f"clip{number}", "format": "mp4", "quality": "low"}
        assert Path(host.run(nodes["NemoExportRender"], **export)["result"][1][0]).is_file()

    assert count_messages(charging) == (2 if state == "failed" else 1)


@pytest.mark.parametrize("state", STATES)
def test_the_all_in_one_node_takes_it_by_its_pixels(
    state: str, nodes: Nodes, host: Host, charging: Any, faults: Faults
) -> None:
    """Load Image drops the profile: its pixels are the request of the earlier version itself, a failure of it too."""
    path = save_in_p3(Path(host.folder("input")) / "phone.png")
    begin(path, state, faults)
    with Image.open(path) as image:
        pixels = tensor(np.asarray(image.convert("RGB"))[None] / 255)
    given = {"image": pixels, "prompt": PROMPT, "aspect_ratio": "auto", "duration": 0, "seed": 0, "profile": "nemo"}
    for _ in range(2):
        if state == "failed":
            with pytest.raises(NothingMade):
                host.run(nodes["NemoImageToVideo"], filename_prefix="clip", **given)
        else:
            host.run(nodes["NemoImageToVideo"], filename_prefix="clip", **given)

    assert count_messages(charging) == 1

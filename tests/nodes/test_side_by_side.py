"""Lists go through their profile's rate limiter, as the items of a batch do: bounded, and slower where asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemo_client import home, local
from nemo_client._wire.rate_limiter import RateLimiter
from tests.nodes._arrays import picture
from tests.nodes._host import Host
from tests.nodes.test_items import ANIMATE, Nodes
from tests.support.faults import Fault, Faults
from tests.support.ledger import read_ledger
from tests.support.timings import Shorten

STREAMS = 2
COUNT = 5


@pytest.fixture
def backend(tmp_path: Path, shorten: Shorten, monkeypatch: pytest.MonkeyPatch) -> Iterator[local.LocalBackend]:
    """A backend that charges, as a profile that takes two messages at once."""
    shorten(studio={"quiet": 0.0})
    home().mkdir(parents=True, exist_ok=True)
    (home() / "profiles.json").write_text(json.dumps({"profiles": {"nemo": {"streams": STREAMS}}}))
    with local.open(tmp_path / "backend", credits=1000, pace=0, faults=Faults()) as opened:
        monkeypatch.setenv("NEMO_API_URL", opened.url)
        monkeypatch.setenv("NEMO_TOKEN", opened.token)
        yield opened


@pytest.fixture
def widths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pieces of work were under way each time that one began."""
    seen: list[int] = []
    real = RateLimiter.turn

    def turn(limiter: RateLimiter) -> Any:
        seen.append(limiter.running)
        return real(limiter)

    monkeypatch.setattr(RateLimiter, "turn", turn)
    return seen


def test_a_list_is_as_wide_as_its_profile(
    nodes: Nodes, host: Host, backend: local.LocalBackend, widths: list[int]
) -> None:
    """No more items than the profile allows are under way; all of them are made, each paid for once."""
    images = picture(48, 32, batch=COUNT)
    answer = host.run(nodes["NemoImageToVideo"], image=images, **{**ANIMATE, "profile": "nemo"})

    assert all(Path(path).is_file() for path in answer["result"][1])
    assert len(widths) == COUNT
    assert max(widths) <= STREAMS
    assert len(read_ledger(backend.directory).charges) == COUNT


def test_an_item_that_met_a_rate_limit_is_begun_again(nodes: Nodes, host: Host, backend: local.LocalBackend) -> None:
    """The refusal proves that nothing was worked on: the list loses no item, and none is paid twice."""
    backend.faults.add(Fault("http_429", "message", nth=2, retry_after=1))
    images = picture(48, 32, batch=3)
    answer = host.run(nodes["NemoImageToVideo"], image=images, **{**ANIMATE, "profile": "nemo"})

    assert all(Path(path).is_file() for path in answer["result"][1])
    assert len(read_ledger(backend.directory).charges) == 3

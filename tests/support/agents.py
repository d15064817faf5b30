"""The fixture `agent_server`, and the client's side of it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nemo_client import Studio
from tests.support.backend import TOKEN, Clock
from tests.support.script import Step

ROOT = Path(__file__).parents[2]
MISSING = "no google-adk here: pip install -e '.[agent-server]'"


class AgentServer:
    """A running agent server: its address, its script, and what it has seen."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock(real=0.005)

    def script(self, *turns: list[Step]) -> None:
        """What the agent does in the turns to come; see `tests.support.script`."""
        httpx.post(f"{self.url}/_agent/scripts", json=turns, trust_env=False).raise_for_status()

    def go(self) -> None:
        """Let the tools that are held go on."""
        httpx.post(f"{self.url}/_agent/go", trust_env=False).raise_for_status()

    def put(self, session: str, draft: dict[str, Any], charge: float = 0) -> None:
        """Put a draft into a session's state, and take credits, behind the agent's back."""
        given = {"session": session, "draft": draft, "charge": charge}
        httpx.post(f"{self.url}/_agent/state", json=given, trust_env=False).raise_for_status()

    @property
    def seen(self) -> dict[str, Any]:
        """`messages`, `charges`, `available`, `stopped` (tools whose client hung up), `ended` (turns), `reads` …"""
        answer: dict[str, Any] = httpx.get(f"{self.url}/_agent/seen", trust_env=False).json()
        return answer

    @contextlib.asynccontextmanager
    async def studio(self, **options: Any) -> AsyncIterator[Studio]:
        """A Studio at this server, in virtual time; `sleep`, `clock` and `wall` may be given for real time."""
        clock = self.clock
        given = {"sleep": clock.sleep, "clock": clock.time, "wall": clock.time, **options}
        async with await Studio.open("nemo", **given) as opened:
            yield opened


@contextlib.contextmanager
def running(credits: float = 1000) -> Iterator[AgentServer]:
    """An agent server of its own, for as long as this is open; skips where it is not installed."""
    if importlib.util.find_spec("google") is None or importlib.util.find_spec("google.adk") is None:
        pytest.skip(MISSING)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.agent_server", str(credits)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the agent server did not start"
            yield AgentServer(json.loads(line)["url"])
        finally:
            process.terminate()


_shared: list[AgentServer] = []  # its modules take seconds to load: one process serves all tests of this one


def shared(config: pytest.Config) -> AgentServer:
    """The agent server of this test process, as fresh as if it had just been started."""
    if not _shared:
        stack = contextlib.ExitStack()
        _shared.append(stack.enter_context(running()))
        config.add_cleanup(stack.close)
    server = AgentServer(_shared[0].url)
    httpx.post(f"{server.url}/_agent/reset", json={"credits": 1000}, trust_env=False).raise_for_status()
    return server


@pytest.fixture
def agent_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AgentServer:
    """An agent server with 1000 credits and nothing scripted, as the profile `nemo` sees it."""
    server = shared(request.config)
    monkeypatch.setenv("NEMO_API_URL", server.url)
    monkeypatch.setenv("NEMO_WEB_URL", "https://web.test")
    monkeypatch.setenv("NEMO_TOKEN", TOKEN)
    return server

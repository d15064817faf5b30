"""A real ComfyUI as a subprocess, and a small client of its HTTP API and websocket, for tests."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.waiting import PATIENT_SECONDS

PACK = Path(__file__).parent.parent.parent
START_SECONDS = PATIENT_SECONDS

SAMPLER_PACK = '''
import time

class BlockingSampler:
    """Blocks the event loop like a sampler does."""
    CATEGORY = "tests"
    RETURN_TYPES = ("INT",)
    FUNCTION = "sample"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seconds": ("FLOAT", {"default": 1.0})}}

    def sample(self, seconds):
        time.sleep(seconds)
        return {"ui": {"slept": [seconds]}, "result": (1,)}

NODE_CLASS_MAPPINGS = {"TestBlockingSampler": BlockingSampler}
'''


def checkout() -> Path | None:
    """The ComfyUI checkout that `COMFYUI_PATH` names, if any."""
    named = os.environ.get("COMFYUI_PATH")
    return Path(named) if named and (Path(named) / "main.py").is_file() else None


@dataclass
class Run:
    """What came of a prompt: websocket messages in order, and its entry in the history."""

    prompt_id: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message["data"] for message in self.messages if message["type"] == kind]


class ComfyUI:
    """A ComfyUI server on this machine with our pack in its `custom_nodes`."""

    def __init__(self, base: Path, environment: dict[str, str], options: tuple[str, ...] = ()) -> None:
        """`options` are arguments of ComfyUI's beside those that every test needs."""
        self.base = base
        self._options = options
        nodes = base / "custom_nodes"
        (nodes / "test_sampler").mkdir(parents=True, exist_ok=True)
        (base / "user").mkdir(exist_ok=True)
        if not (nodes / "nemo-video").exists():
            (nodes / "nemo-video").symlink_to(PACK, target_is_directory=True)
        (nodes / "test_sampler" / "__init__.py").write_text(SAMPLER_PACK)
        path = checkout()
        for pack in (path / "custom_nodes").glob("*VideoHelperSuite*") if path else ():
            if not (nodes / pack.name).exists():
                (nodes / pack.name).symlink_to(pack, target_is_directory=True)
        self._environment = environment
        self.log = base / "comfyui.log"

    def __enter__(self) -> ComfyUI:
        path = checkout()
        assert path is not None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        python = os.environ.get("COMFYUI_PYTHON", sys.executable)
        command = [python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port), "--disable-auto-launch"]
        command += ["--base-directory", str(self.base), "--disable-api-nodes", *self._options]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=path, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        self.url = f"http://127.0.0.1:{port}"
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AssertionError(f"ComfyUI ended at its start:\n{self.log.read_text()[-4000:]}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(self.url.rsplit(":", 1)[1]))) == 0:
                    return
            time.sleep(0.25)
        raise AssertionError(f"ComfyUI did not start:\n{self.log.read_text()[-4000:]}")

    def get(self, path: str) -> Any:
        """GET a JSON answer, or bytes."""
        return self._ask(urllib.request.Request(self.url + path))  # noqa: S310 - our own server

    def post(self, path: str, data: dict[str, Any]) -> Any:
        """POST JSON."""
        headers = {"Content-Type": "application/json", "X-NemoVideo": "1"}
        body = json.dumps(data).encode()
        return self._ask(urllib.request.Request(self.url + path, body, headers))  # noqa: S310 - our own server

    def _ask(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=PATIENT_SECONDS) as answer:  # noqa: S310 - our own server
            content = answer.read()
            return json.loads(content) if content and "json" in answer.headers["Content-Type"] else content

    def run(
        self,
        graph: dict[str, Any],
        *,
        on_message: Callable[[dict[str, Any]], str | None] | None = None,
        seconds: float = 120,
    ) -> Run:
        """Queue a graph and follow it to its end. `on_message` may answer with a path to POST to (an interrupt)."""

        def follow() -> Run:
            return asyncio.run(asyncio.wait_for(self._run(graph, on_message), seconds))

        with ThreadPoolExecutor(1) as thread:  # a browser's driver may keep a loop in this one
            return thread.submit(follow).result()

    async def _run(self, graph: dict[str, Any], on_message: Callable[[dict[str, Any]], str | None] | None) -> Run:
        client = uuid.uuid4().hex
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{self.url}/ws?clientId={client}") as socket_,
        ):
            async with session.post(self.url + "/prompt", json={"prompt": graph, "client_id": client}) as response:
                answer = await response.json()
                assert response.status == 200, json.dumps(answer)[:2000]
            run = Run(answer["prompt_id"])
            async for message in socket_:
                if message.type is aiohttp.WSMsgType.BINARY:
                    run.texts += _text_of(message.data)
                    continue
                data = json.loads(message.data)
                data["at"] = time.monotonic()
                run.messages.append(data)
                if on_message and (path := on_message(data)):
                    async with session.post(self.url + path, json={}) as response:
                        assert response.status == 200
                if data["type"] in ("execution_success", "execution_error", "execution_interrupted"):
                    break
            while not run.history:  # written a moment after the last message
                await asyncio.sleep(0.05)
                async with session.get(f"{self.url}/history/{run.prompt_id}") as response:
                    run.history = (await response.json()).get(run.prompt_id, {})
        return run


def _text_of(frame: bytes) -> list[str]:
    """The text of a binary websocket frame of ComfyUI's kind 3: `>I kind | >I length | node id | text`."""
    if int.from_bytes(frame[:4], "big") != 3:
        return []
    length = int.from_bytes(frame[4:8], "big")
    return [frame[8 + length :].decode()]

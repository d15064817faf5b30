"""The agent server as a process of its own: `python -m tests.support.agent_server`; its first line is its address.

`/run_sse` is google-adk's own, on its own uvicorn, with nothing between it and the client. The other endpoints of the
backend stand before ADK's sessions as thin handlers; a control endpoint takes the script and tells what was seen.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import tempfile
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse
from google.adk.agents import LlmAgent
from google.adk.agents.callback_context import CallbackContext
from google.adk.cli.fast_api import get_fast_api_app
from google.adk.cli.utils.base_agent_loader import BaseAgentLoader
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.tools import BaseTool, ToolContext
from google.genai import types

from tests.support.backend import write_video
from tests.support.script import Step, script_for

APP = "nemo_agent"
TOOLS = ("generate_video", "edit_multitrack", "search_music", "get_status")


class Stage:
    """What is scripted for the next turns, and what was seen."""

    def __init__(self, credits: float) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.begin(credits)

    def begin(self, credits: float) -> None:
        """As if nothing had been yet."""
        self.granted = credits
        self.scripts: list[list[Step]] = []
        self.turns: dict[str, list[Step]] = {}  # what is left to do, by invocation
        self.works: dict[str, Step] = {}  # by the id of its call
        self.let_go = asyncio.Event()
        self.seen: dict[str, Any] = {
            "messages": [], "charges": [], "uploads": [], "languages": [],
            "running": 0, "stopped": 0, "ended": 0, "reads": 0, "balances": 0,
        }  # fmt: skip
        self.after: list[tuple[str, Step]] = []  # what reaches the state after a turn: session and step

    @property
    def available(self) -> float:
        return self.granted - sum(self.seen["charges"])

    def soon(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class ScriptedModel(BaseLlm):
    """Says and calls what the turn's script has up to its next call."""

    stage: Any = None

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        left = self.stage.turns.get((llm_request.config.labels or {}).get("turn", ""), [])
        while left:
            step = left.pop(0)
            if "linger" in step:
                left.insert(0, step)  # the agent's own business, when all is said
                return
            if "fail" in step:
                raise RuntimeError(step["fail"])
            yield _response(step, self.stage)
            if "call" in step or "ask" in step or "finish" in step:
                return


def _response(step: Step, stage: Stage) -> LlmResponse:
    if "finish" in step:
        content = types.Content(role="model", parts=[types.Part(text=step["text"])]) if step.get("text") else None
        return LlmResponse(error_code=step["finish"], error_message=step.get("message"), content=content)
    if "say" in step:
        part = types.Part(text=step["say"], thought=step.get("thought") or None)
        content = types.Content(role="model", parts=[part])
        return LlmResponse(content=content, partial=step.get("partial") or None, turn_complete=step.get("last") or None)
    own = f"call_{uuid.uuid4().hex[:8]}"
    stage.works[own] = step
    name, args = ("ask_question", step["ask"]) if "ask" in step else (step["call"], step.get("args") or {})
    call = types.FunctionCall(id=own, name=name, args=args)
    return LlmResponse(content=types.Content(role="model", parts=[types.Part(function_call=call)]))


class ScriptedTool(BaseTool):
    """Does what the step of its call says; a question has no answer yet."""

    def __init__(self, name: str, stage: Stage) -> None:
        super().__init__(name=name, description=name, is_long_running=True)
        self._stage = stage

    def _get_declaration(self) -> types.FunctionDeclaration:
        return types.FunctionDeclaration(name=self.name, description=self.description)

    async def run_async(self, *, args: dict[str, Any], tool_context: ToolContext) -> Any:
        stage, step = self._stage, self._stage.works[str(tool_context.function_call_id)]
        if "ask" in step:
            return None
        if step.get("charge"):
            stage.seen["charges"].append(step["charge"])
        try:
            if step.get("hold"):
                await stage.let_go.wait()
            await asyncio.sleep(step.get("seconds") or 0)
        except asyncio.CancelledError:
            stage.seen["stopped"] += 1
            raise
        if step.get("late") is not None:
            stage.after.append((tool_context.session.id, step))
        else:
            for name, value in _changes(step, dict(tool_context.state.to_dict())).items():
                tool_context.state[name] = value
        return {"ok": True} if step.get("result") is None else step["result"]


def _changes(step: Step, state: dict[str, Any]) -> dict[str, Any]:
    """What a step puts into the state."""
    changes: dict[str, Any] = {} if step.get("draft") is None else {"draft": step["draft"]}
    if step.get("media"):
        made = [{"id": each, "type": "video", "url": f"https://cdn.test/{each}.mp4"} for each in step["media"]]
        changes["generated_media"] = [*(state.get("generated_media") or []), *made]
    return changes


def agent_of(stage: Stage) -> LlmAgent:
    """ADK's own agent, with a model and tools that follow the script."""

    def begin(callback_context: CallbackContext) -> None:
        content = callback_context.user_content
        text = "".join(part.text or "" for part in (content.parts if content else None) or [])
        steps = stage.scripts.pop(0) if stage.scripts else script_for(text)
        stage.turns[callback_context.invocation_id] = list(steps)
        stage.seen["messages"].append({"session": callback_context.session.id, "text": text})
        stage.seen["running"] += 1

    def label(callback_context: CallbackContext, llm_request: LlmRequest) -> None:
        llm_request.config.labels = {"turn": callback_context.invocation_id}

    async def end(callback_context: CallbackContext) -> None:
        for step in stage.turns.pop(callback_context.invocation_id, []):
            await asyncio.sleep(step.get("linger") or 0)
        stage.seen["ended"] += 1

    return LlmAgent(
        name=APP, model=ScriptedModel(model="scripted", stage=stage), instruction="",
        tools=[ScriptedTool(name, stage) for name in (*TOOLS, "ask_question")],
        before_agent_callback=begin, before_model_callback=label, after_agent_callback=end,
    )  # fmt: skip


class Loader(BaseAgentLoader):
    """Gives the server the one agent that there is."""

    def __init__(self, agent: LlmAgent) -> None:
        self._agent = agent

    def load_agent(self, agent_name: str) -> LlmAgent:
        if agent_name != APP:
            raise ValueError(agent_name)
        return self._agent

    def list_agents(self) -> list[str]:
        return [APP]


class Proxy:
    """The backend's other endpoints, before ADK's sessions."""

    def __init__(self, app: FastAPI, stage: Stage, directory: Path) -> None:
        self._stage = stage
        self._directory = directory
        self._adk = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1")
        self._tasks: dict[str, str] = {}
        for method, path, handler in (
            ("POST", "/api/auth/anonymous-token", self.sign_up),
            ("POST", f"/api/tasks/me/with-session/{APP}", self.session),
            ("POST", "/api/auth/claim-token", self.claim),
            ("POST", f"/api/upload-video/{APP}/me/{{sid}}", self.upload),
            ("GET", f"/api/state/{APP}/me/{{sid}}/latest", self.state),
            ("GET", "/api/credits/balance/simple", self.balance),
            ("POST", "/api/render/proxy/lambda", self.render),
            ("GET", "/api/render/proxy/lambda/{rid}", self.render_status),
            ("GET", "/api/render/proxy/{rid}/download", self.file),
            ("GET", "/files/{rid}", self.file),
            ("POST", "/_agent/scripts", self.script),
            ("POST", "/_agent/go", self.go),
            ("POST", "/_agent/state", self.put),
            ("POST", "/_agent/reset", self.reset),
            ("GET", "/_agent/seen", self.seen),
        ):
            app.add_api_route(path, handler, methods=[method])

    async def sign_up(self) -> Any:
        """A free account."""
        return _good({"token": "nmv_usr_test", "user_id": "anon_test", "credits": 100})

    async def session(self, request: Request) -> Any:
        """A session of ADK's, and a task around it."""
        self._stage.seen["languages"].append((await request.json())["language"])
        made = (await self._adk.post(f"/apps/{APP}/users/me/sessions", json={})).json()
        self._tasks[made["id"]] = task = f"task-{made['id'][:8]}"
        return _good({"task_id": task, "session_id": made["id"], "user_id": "user_test"})

    async def claim(self) -> Any:
        """A token that opens the project."""
        return _good({"claim_token": "clm_test", "expires_in": 604800})

    async def upload(self, sid: str, request: Request) -> Any:
        """Files are named in the state, as `video_infos`."""
        if request.headers.get("content-type", "").startswith("application/json"):
            names = [str(url).rsplit("/", 1)[-1] for url in (await request.json())["urls"]]
        else:
            form = await request.form()
            names = [str(getattr(part, "filename", "")) for part in form.getlist("files")]
        known = (await self._state(sid)) or {}
        added = [{"filename": name, "file_type": "image", "cdn_url": f"https://cdn.test/{name}"} for name in names]
        self._stage.seen["uploads"].extend(names)
        await self._put(sid, {"video_infos": [*(known.get("video_infos") or []), *added]})
        return _good({"files": added, "session_state_applied": True})

    async def state(self, sid: str) -> Any:
        """ADK's state of the session."""
        self._stage.seen["reads"] += 1
        while self._stage.after:
            session, step = self._stage.after.pop()
            self._stage.soon(self._later(session, step))
        state = await self._state(sid)
        if state is None:
            return JSONResponse({"code": 1002, "message": "no such session", "data": None}, 404)
        return _good({"session_id": sid, "task_id": self._tasks.get(sid, ""), "task_name": "project", "state": state})

    async def _later(self, sid: str, step: Step) -> None:
        await asyncio.sleep(step["late"])
        await self._put(sid, _changes(step, await self._state(sid) or {}))

    async def _state(self, sid: str) -> dict[str, Any] | None:
        answer = await self._adk.get(f"/apps/{APP}/users/me/sessions/{sid}")
        return answer.json().get("state") or {} if answer.status_code == 200 else None

    async def _put(self, sid: str, changes: dict[str, Any]) -> None:
        await self._adk.patch(f"/apps/{APP}/users/me/sessions/{sid}", json={"stateDelta": changes})

    async def balance(self) -> Any:
        """What the script's calls have left."""
        self._stage.seen["balances"] += 1
        left = self._stage.available
        return _good({"available": left, "frozen": 0, "total": left})

    async def render(self, request: Request) -> Any:
        """A small real video, at once."""
        asked = await request.json()
        path = self._directory / asked["id"]
        kind = (asked.get("output") or {}).get("format") or "mp4"
        await asyncio.to_thread(write_video, path, kind)
        return {"success": True, "data": {"id": asked["id"], "status": "processing", "progress": 0}, "error": None}

    async def render_status(self, rid: str, request: Request) -> Any:
        """It is there."""
        data = {"id": rid, "status": "completed", "progress": 100, "outputUrl": f"{request.base_url}files/{rid}"}
        return {"success": True, "data": data, "error": None}

    async def file(self, rid: str) -> Any:
        """A rendered file."""
        return FileResponse(self._directory / Path(rid).name, media_type="video/mp4")

    async def script(self, request: Request) -> Any:
        """Steps for the turns to come, one list a turn."""
        self._stage.scripts.extend(await request.json())
        self._stage.let_go.clear()
        return {}

    async def reset(self, request: Request) -> Any:
        """Begin again, with so many credits, for the next test; what still runs is let go."""
        self._stage.let_go.set()
        self._stage.begin(float((await request.json())["credits"]))
        return {}

    async def go(self) -> Any:
        """Let the tools that are held go on."""
        self._stage.let_go.set()
        return {}

    async def put(self, request: Request) -> Any:
        """A draft that appears in a session's state, and what it costs."""
        given = await request.json()
        if given["charge"]:
            self._stage.seen["charges"].append(given["charge"])
        await self._put(given["session"], {"draft": given["draft"]})
        return {}

    async def seen(self) -> Any:
        """What was seen so far."""
        return {**self._stage.seen, "available": self._stage.available}


def _good(data: Any) -> dict[str, Any]:
    return {"code": 0, "message": "ok", "data": data}


def main() -> None:
    """Serve on a free port of loopback until the process is ended."""
    logging.getLogger("google_adk").setLevel(logging.CRITICAL)  # scripted errors are no news
    stage = Stage(float(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    with tempfile.TemporaryDirectory() as directory:
        app = get_fast_api_app(
            agents_dir=directory, agent_loader=Loader(agent_of(stage)), session_service_uri="memory://",
            artifact_service_uri="memory://", memory_service_uri="memory://", use_local_storage=False, web=False,
        )  # fmt: skip
        Proxy(app, stage, Path(directory))
        listener = socket.create_server(("127.0.0.1", 0))
        print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)  # noqa: T201 - its address
        uvicorn.Server(uvicorn.Config(app, log_level="critical")).run([listener])


if __name__ == "__main__":
    main()

"""One whole run against a server without any HTTP library, and every request of it, byte for byte.

What is random (a render's id, a part's boundary, a free port) is named in its place.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

from nemo_client import Destination, Output, Studio, Wish, from_file
from tests.support.backend import Asked, Clock, answer, serving, write_video

KEPT = Path(__file__).with_name("requests.json")
_PHOTO = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAIUlEQVR4nGOMiopiwAaYsIoSJ5H3bRd2iUlcbtSyAw0AABfoBB4q"
    "iuiLAAAAAElFTkSuQmCC"
)
"""A PNG of eight by eight pixels; an encoder of another version would write other bytes."""
_DRAFT = {"t": [{"tt": 0, "sg": [{"d": 5000, "m": {"title": "cabin"}}]}], "m": {"width": 1080, "height": 1920}}
_EDITED = {
    "t": [{"tt": 0, "sg": [{"d": 4000, "m": {"title": "cabin, shorter"}}]}],
    "m": {"width": 1080, "height": 1920},
}


class _Backend:
    """Answers like the backend, for one session; a message changes its draft."""

    def __init__(self, video: bytes) -> None:
        self.drafts: list[dict[str, Any]] = [{}, _DRAFT, _EDITED]
        self.available = 900
        self.video = video
        self.url = ""

    async def reply(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(self._answer(asked))

    def _answer(self, asked: Asked) -> bytes:
        path = asked.path
        if path == "/run_sse":
            self.drafts.pop(0)
            self.available -= 100
            said = {"content": {"parts": [{"text": "Your video is ready."}], "role": "model"}, "turnComplete": True}
            return answer(f"data: {json.dumps(said)}\n\n".encode(), content_type="text/event-stream")
        if path.startswith("/api/state/"):
            state = {"draft": self.drafts[0], "generated_media": [], "video_infos": []}
            return answer({"code": 0, "data": {"state": state, "session_id": "s-1", "task_id": "t-1"}})
        if path.startswith("/api/tasks/"):
            return answer({"code": 0, "data": {"task_id": "t-1", "session_id": "s-1", "user_id": "u-1"}})
        if path.startswith("/api/upload-video/"):
            return answer({"code": 0, "data": {"files": [], "session_state_applied": True}})
        if path.startswith("/api/credits/"):
            return answer({"code": 0, "data": {"available": self.available, "frozen": 0, "total": 1000}})
        if path == "/film":
            return answer(self.video, content_type="video/mp4")
        done = {"id": "r", "status": "completed", "progress": 100, "outputUrl": f"{self.url}/film"}
        return answer({"success": True, "data": done if asked.method == "GET" else {"status": "pending"}})


async def record_requests(folder: Path, environment: Any) -> list[dict[str, Any]]:
    """Upload, generate, edit, export, credits; each request as it came over the socket, in order; a read only once."""
    backend = _Backend(await asyncio.to_thread(lambda: write_video(folder / "answer.mp4").read_bytes()))
    clock = Clock()
    photo = folder / "photo.png"
    photo.write_bytes(_PHOTO)
    async with serving(backend.reply) as server:
        backend.url = server.url
        for name, value in {"API_URL": server.url, "TOKEN": "nmv_usr_test", "CLIENT_ID": "client-1"}.items():
            environment.setenv(f"NEMO_{name}", value)
        async with await Studio.open("nemo", sleep=clock.sleep, clock=clock.time, wall=clock.time) as studio:
            session = await studio.upload([from_file(photo)])
            made = await studio.generate(session, Wish("slow push-in", "9:16", 5, seed=7))
            edited = await studio.edit(made.session, "make it shorter")
            await studio.export(edited.session, Destination(folder, "film"), Output("mp4", resolution="720p"))
            await studio.credits()
        return _without_repeats([_plain(asked, server.port) for asked in server.asked])


def _without_repeats(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How often a free read is repeated is no promise; every request that changes something is kept."""
    return [
        each for number, each in enumerate(requests) if each["request"][:4] == "POST" or each not in requests[:number]
    ]


def _plain(asked: Asked, port: int) -> dict[str, Any]:
    boundary = re.search(r"boundary=(\S+)", asked.headers.get("content-type", ""))

    def plain(text: str) -> str:
        if boundary:
            text = text.replace(boundary[1], "BOUNDARY")
        text = re.sub(r"render_[0-9A-Za-z-]+", "render_ID", text)
        return text.replace(f"127.0.0.1:{port}", "HOST")

    headers = {name: plain(value) for name, value in asked.headers.items()}
    headers["user-agent"] = re.sub(r"[\d.]+", "N", headers.get("user-agent", ""))
    return {
        "request": f"{asked.method} {plain(asked.path)}",
        "headers": headers,
        "body": plain(asked.body.decode("latin-1")),
    }

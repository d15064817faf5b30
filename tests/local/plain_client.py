"""A plain client that knows only the API's paths, and small files to send."""

from __future__ import annotations

import io
import json
import ssl
import uuid
import wave

import httpx
from PIL import Image

from tests.support.waiting import PATIENT_SECONDS, wait_until

# No proxy, and no certificates, which httpx would load again for each client though nothing here is encrypted.
PLAIN = {"trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
ATTRIBUTION = {"X-Skill-Source": "tests", "X-Skill-Version": "1", "X-Skill-Platform": "unknown"}


class Api:
    """One user of a backend, through httpx alone."""

    def __init__(self, backend, token=None, **headers):
        self.backend = backend
        self.http = httpx.Client(
            base_url=backend.url,
            headers={"Authorization": f"Bearer {token or backend.token}", **ATTRIBUTION, **headers},
            timeout=PATIENT_SECONDS,
            **PLAIN,
        )

    def session(self, language="en"):
        answer = self.http.post(
            "/api/tasks/me/with-session/nemo_agent", json={"task_name": "project", "language": language}
        )
        return answer.json()["data"]["session_id"]

    def upload(self, session, *files):
        parts = [("files", file) for file in files]
        return self.http.post(f"/api/upload-video/nemo_agent/me/{session}", files=parts)

    def ready(self, *sizes, language="en"):
        """A session with a picture of each size in it."""
        session = self.session(language)
        names = [f"picture{number}.png" for number in range(len(sizes or (1,)))]
        pictures = [(name, png(size)) for name, size in zip(names, sizes or [(90, 160)], strict=True)]
        assert self.upload(session, *pictures).json()["code"] == 0
        return session

    @staticmethod
    def message(session, text):
        parts = [{"text": text}]
        return {"app_name": "nemo_agent", "user_id": "me", "session_id": session, "new_message": {"parts": parts}}

    def send(self, session, text, **options):
        return self.http.post("/run_sse", json=self.message(session, text), **options)

    def stream(self, session, text):
        return self.http.stream("POST", "/run_sse", json=self.message(session, text))

    def say(self, session, text):
        """The stream's events, read to its end."""
        answer = self.send(session, text)
        assert answer.headers["content-type"] == "text/event-stream", answer.text
        return events(answer.text)

    def state(self, session):
        return self.http.get(f"/api/state/nemo_agent/me/{session}/latest").json()["data"]["state"]

    def balance(self):
        return self.http.get("/api/credits/balance/simple").json()["data"]

    def render(self, session, draft=None, render=None, **output):
        body = {
            "id": render or f"render_{uuid.uuid4().hex}",
            "sessionId": session,
            "draft": self.state(session)["draft"] if draft is None else draft,
            "output": {"format": "mp4", "quality": "high", **output},
        }
        return self.http.post("/api/render/proxy/lambda", json=body)

    def status(self, render):
        return self.http.get(f"/api/render/proxy/lambda/{render}").json()

    def finished(self, render):
        """The status once it is final."""
        return wait_until(lambda: (found := self.status(render))["status"] in ("completed", "failed") and found)

    def finished_file(self, session, **output):
        """The address of a finished render of the session's draft."""
        return self.finished(self.render(session, **output).json()["data"]["id"])["output"]["url"]

    def get(self, url, **headers):
        """Fetch an address as somebody who has no token."""
        return httpx.get(url, headers=headers, **PLAIN)


def events(text):
    """The JSON of each data line that has some, heartbeats left out."""
    lines = [line[5:].strip() for line in text.split("\n") if line.startswith("data:")]
    return [event for line in lines if line and (event := json.loads(line)) != {"type": "heartbeat"}]


def texts(found):
    """What the user is told: whole texts of agent events."""
    parts = [part for event in found if not event.get("partial") for part in event.get("content", {}).get("parts", ())]
    return [part["text"] for part in parts if "text" in part and not part.get("thought")]


def png(size=(90, 160), kind="PNG", **options):
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


def wav(seconds=0.5):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\1" * int(8000 * seconds))
    return buffer.getvalue()


def draw_nothing(draft, assets, target, *, progress, cancelled, **options):
    """A renderer that needs no time: the file holds what it was asked for."""
    progress(0.5)
    asked = {"draft": draft, "assets": sorted(assets), **options}
    target.write_bytes(json.dumps(asked).encode() + b"\n" * 5000)
    progress(1.0)

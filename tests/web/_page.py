"""A stand-in for ComfyUI's page and server: its public extension API, and the /nemo routes with made-up answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

WEB = Path(__file__).parent.parent.parent / "web"

APP = """
export const app = (window.app = {
  canvas: { selected_nodes: {} },
  graph: { nodes: [] },
  collectNodeMenuItems() {},
  async loadGraphData(graph, ...rest) {
    window.loaded = [graph, ...rest];
    app.graph.nodes = graph.nodes;
  },
  ui: { settings: new EventTarget() },
  registerExtension(extension) { window.extension = extension; },
  extensionManager: {
    setting: { get: () => window.chosenLocale ?? "en" },
    toast: { add: (message) => window.toasts.push(message) },
    dialog: { confirm: async (question) => (window.questions.push(question), true) },
    registerSidebarTab(tab) { window.tab = tab; },
  },
});
"""
BARE_APP = "export const app = (window.app = { registerExtension(extension) { window.extension = extension; } });"
API = """
export const api = (window.api = Object.assign(new EventTarget(), {
  fetchApi: (route, options) => fetch(`/api${route}`, options),
  apiURL: (route) => `/api${route}`,
}));
"""
PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<style id="icons">.pi::before { content: "*"; }</style>
<div id="side" style="width: 300px; height: 700px"></div>
<script type="module">
  window.toasts = []; window.questions = [];
  window.chosenLocale = new URLSearchParams(location.search).get("lang") ?? "en";
  await import("/extensions/nemo-video/nemo.js");
  await window.extension.setup();
  window.ready = true;
</script>"""


def profile(name: str = "nemo", **changes: Any) -> dict[str, Any]:
    """A profile as GET /nemo/profiles has it."""
    usual = {
        "name": name,
        "builtin": True,
        "free": False,
        "address": "https://backend.example",
        "account": "new",
        "source": "none",
        "ending": "",
        "expires": None,
        "run_limit": 0,
        "day_limit": 0,
        "token_env": "",
        "problem": "",
    }
    return {**usual, **changes}


def job(number: int, **changes: Any) -> dict[str, Any]:
    """A job as GET /nemo/jobs has it."""
    usual = {
        "id": f"{number:08x}",
        "kind": "generate",
        "state": "done",
        "profile": "nemo",
        "prompt": "a lake at dawn",
        "created": 1_760_000_000,
        "changed": 1_760_000_000,
        "label": f"{number:08x} 2025-10-09 08:53",
        "spent": 12,
        "certainty": "exact",
        "free": False,
        "asks": False,
        "stops": "",
        "folder": False,
        "error": "",
        "delivered": True,
        "unfinished": False,
        "video": None,
        "path": "",
        "picture": False,
        "running": None,
        "resumable": False,
        "page": False,
    }
    return {**usual, **changes}


def running(fraction: float, text: str = "Rendering") -> dict[str, Any]:
    """What a job at work tells."""
    return {"text": text, "fraction": fraction, "elapsed": 3, "left": 9}


@dataclass
class Server:
    """What the routes answer, and what they were asked."""

    profiles: list[dict[str, Any]] = field(default_factory=lambda: [profile()])
    jobs: list[dict[str, Any]] = field(default_factory=list)
    statements: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    lister: Callable[[dict[str, str]], dict[str, Any]] | None = None
    """What answers for jobs instead, by what was asked of it."""
    app: str = APP
    added: dict[str, str] = field(default_factory=dict)
    """Code that was added to files of the extension by an update, by their names."""
    asked: list[str] = field(default_factory=list)
    film: bytes = b""
    """What ComfyUI answers for any file, a WebM."""
    queries: list[dict[str, str]] = field(default_factory=list)
    """What was asked of the list of jobs."""
    posted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        """The answer of a /nemo route."""
        if path in self.answers:
            return self.answers[path]
        if path == "/nemo/jobs" and self.lister is not None:
            return 200, self.lister(self.queries[-1])
        if path == "/nemo/jobs":
            return 200, {"jobs": self.jobs, "now": 1_760_000_000}
        if path == "/nemo/profiles/token" and body is not None:
            mine = next(each for each in self.profiles if each["name"] == body["name"])
            mine.update(source="file", account="registered", ending=body["token"][-4:])
        if path.startswith("/nemo/profiles"):
            return 200, {"default": self.profiles[0]["name"], "profiles": self.profiles}
        if path == "/nemo/prices":
            prices = {"generate": 100, "edit": 50, "chat": 50}
            return 200, {"default": "nemo", "profiles": {each["name"]: {**each, **prices} for each in self.profiles}}
        if path == "/nemo/statements":
            return 200, {"statements": self.statements}
        if path == "/nemo/credits":
            return 200, {"available": 88, "frozen": 0, "total": 88, "register": ""}
        return 404, {"error": "There is nothing here.", "hint": "", "id": "none", "charged": "no"}


def serve(server: Server) -> tuple[ThreadingHTTPServer, str]:
    """Serve the page on a free port; returns the server to shut down, and the page's address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            files = {"/": ("text/html", PAGE), "/scripts/app.js": (_JS, server.app), "/scripts/api.js": (_JS, API)}
            if path in files:
                self._send(200, *files[path])
            elif path.startswith("/extensions/nemo-video/"):
                file = WEB / path.rpartition("/")[2]
                code = file.read_text(encoding="utf-8") + server.added.get(file.name, "")
                self._send(200, _CSS if file.suffix == ".css" else _JS, code)
            elif path == "/api/view" and server.film:
                self._send(200, "video/webm", server.film)
            else:
                if path.endswith("/nemo/jobs"):
                    server.queries.append(dict(parse_qsl(urlsplit(self.path).query)))
                self._answer(path, None)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path = urlsplit(self.path).path.removeprefix("/api")
            server.posted.append((path, body))
            self._answer(path, body)

        def _answer(self, path: str, body: dict[str, Any] | None) -> None:
            route = path.removeprefix("/api")
            server.asked.append(route)
            status, data = server.answer(route, body)
            self._send(status, "application/json", json.dumps(data))

        def _send(self, status: int, kind: str, text: str | bytes) -> None:
            data = text.encode() if isinstance(text, str) else text
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if ".mjs" in self.path:  # as ComfyUI serves them: without a word on keeping them, which lets browsers guess
                self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
            else:
                self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
    return listening, f"http://127.0.0.1:{listening.server_address[1]}/"


_JS = "text/javascript"
_CSS = "text/css"

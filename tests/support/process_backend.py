"""The local backend as a process of its own: it charges, keeps its ledger on disk, and is scripted over a socket."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from nemo_client import local
from tests.support.backend import write_video
from tests.support.faults import Fault, Faults


def serve(order: dict[str, Any]) -> None:
    """Serve in the order's directory until the process is ended; `report` is told the address and the token."""
    directory = Path(order["directory"])
    directory.mkdir(parents=True, exist_ok=True)
    made = write_video(directory.with_suffix(".mp4"))

    def draw(draft: Any, assets: Any, target: Path, *, progress: Any, **_: Any) -> None:
        progress(0.5)
        shutil.copyfile(made, target)

    options: dict[str, Any] = {"pace": 0, "generation_seconds": order["generation_seconds"]}
    faults = Faults()
    given = {"renderer": draw, "missing_glyphs": lambda text: "", "faults": faults, **options}
    with local.open(directory, credits=1_000_000, **given) as backend:
        control = listen_for_faults(faults)
        report = Path(order["report"])
        waiting = report.with_suffix(".new")
        waiting.write_text(json.dumps({"url": backend.url, "token": backend.token, "control": control}))
        waiting.replace(report)
        threading.Event().wait()


def make_fault(data: dict[str, Any]) -> Fault:
    """The fault that is described by `kind`, `endpoint`, `nth`, `count` and `parameters`."""
    parameters = data.pop("parameters", {})
    return Fault(**data, **parameters)


def listen_for_faults(faults: Faults) -> int:
    """The port at which other processes script the backend.

    POST adds a JSON list of faults, DELETE clears all; PUT true holds the agent's work, PUT false lets it go on.
    """
    held = contextlib.ExitStack()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            listed = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            faults.add(*map(make_fault, listed))
            self._confirm()

        def do_PUT(self) -> None:
            held.close()
            if json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
                held.enter_context(faults.hold())
            self._confirm()

        def do_DELETE(self) -> None:
            faults.clear()
            self._confirm()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _confirm(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, name="nemo-control", daemon=True).start()
    return server.server_port

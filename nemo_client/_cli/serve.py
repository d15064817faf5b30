"""`nemo-video serve`: the local preview backend for any client."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from .. import local
from .._config.paths import ensure_home, find_home
from .._errors import Cancelled, InputError
from .._text.messages import say
from .runtime import Run


@dataclass(frozen=True)
class Service:
    """What `serve` was asked for, as it was typed."""

    host: str = "127.0.0.1"
    port: int = 0
    credits: int | None = None
    anonymous: bool = False
    directory: str = ""


def serve(run: Run, asked: Service) -> None:
    """Serve until Ctrl-C, after printing what a client needs."""
    directory = Path(asked.directory).expanduser() if asked.directory else find_home() / "local"
    try:
        backend = local.open(
            ensure_home(directory), host=asked.host, port=asked.port, credits=asked.credits, anonymous=asked.anonymous
        )
    except OSError as error:
        number = error.errno or 0  # negative where a name is unknown, and without words of the system then
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise InputError("serve-failed", host=asked.host, port=asked.port, reason=reason) from error
    with backend:
        run.screen.write(f"NEMO_API_URL={backend.url}\nNEMO_TOKEN={backend.token}")
        run.screen.remark(say("shell.serving", run.screen.lang))
        try:
            run.do(_until_stopped())
        except Cancelled:
            return


async def _until_stopped() -> None:
    await asyncio.Event().wait()

"""Starting and stopping a local backend: a thread with an event loop of its own, listening on loopback."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..sessions.accounts import Accounts, new_token
from ..sessions.ledger import Ledger
from ..sessions.runs import Runs
from ..sessions.store import Store
from ..sessions.upkeep import tidy
from ..shared.behaviour import Behaviour
from ..shared.disk import Owner, private_directory
from ..shared.settings import MAX_UPLOAD_BYTES, USUAL_LIMITS, Limits, Renderer, Settings, render_threads
from .gate import LOOPBACK, WILDCARDS, is_loopback

if TYPE_CHECKING:
    from ..agent.agent import Agent
    from ..render.queue import Renders
    from .app import Api

CLOSE_SECONDS = 10.0
HANDLER_SECONDS = 0.2
BACKLOG = 1024
FILE_THREADS = 8
MAX_HEADER_BYTES = 8190

_SERVING: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,  # a few kilobytes could be gigabytes; the gate refuses what is compressed
    "max_line_size": MAX_HEADER_BYTES,
    "max_field_size": MAX_HEADER_BYTES,
}

_log = logging.getLogger("nemo_client.local")


def open(
    directory: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    credits: int | None = None,
    anonymous: bool = False,
    pace: float = 1.0,
    faults: Behaviour | None = None,
    dialect: str = "agent",
    render_answers: str = "bare",
    private_urls: bool = False,
    max_upload: int = MAX_UPLOAD_BYTES,
    generation_seconds: float | None = None,
    edit_seconds: float | None = None,
    render_seconds: float = 0.0,
    render_progress: str = "linear",
    threads: int | None = None,
    renderer: Renderer | None = None,
    missing_glyphs: Callable[[str], str] | None = None,
    clock: Callable[[], float] = time.time,
    limits: Limits = USUAL_LIMITS,
) -> LocalBackend:
    """Start a local preview backend on `directory`; returns when it listens. OSError when the port is taken.

    host, port      where it listens; anything but loopback only when it is asked for here. Port 0: any free one
    token           the bearer token of its user; random when not given
    credits         None: nothing is ever charged. N: that is all the user ever has in this directory; what the
                    ledger shows as taken is gone, restarts included. A generation costs 100, an edit 50
    anonymous       anonymous sign-up as on the cloud: 100 credits, a token a client in 7 days
    pace            factor on every artificial delay (0: none)
    faults          how calls are answered, where not as the API says: tests script faults with it
    dialect         of the event stream: "agent" or "typed"
    render_answers  shape of the render status: "bare" or "data"
    private_urls    whether uploads by URL may name loopback and private addresses
    max_upload      bytes a file
    generation_seconds, edit_seconds
                    how long such work takes in all, pace not counted; None: a second or less, times `pace`
    render_seconds  how long a render takes at the least; render_progress: "linear", "stepped" or "stuck_at_99"
    threads         renders at a time; one a core when not given
    renderer, missing_glyphs
                    instead of the built-in ones
    clock           seconds since 1970: expiries and times in the ledger
    limits          what it takes in and keeps, at the most
    """
    settings = Settings(
        directory=private_directory(Path(directory)),
        host=host or LOOPBACK,  # an empty one would be every interface
        token=token or new_token(),
        credits=credits,
        anonymous=anonymous,
        pace=pace,
        faults=faults or Behaviour(),
        dialect=dialect,
        render_answers=render_answers,
        private_urls=private_urls,
        max_upload=max_upload,
        generation_seconds=generation_seconds,
        edit_seconds=edit_seconds,
        render_seconds=render_seconds,
        render_progress=render_progress,
        render_threads=threads or render_threads(),
        renderer=renderer,
        missing_glyphs=missing_glyphs,
        clock=clock,
        limits=limits,
    )
    return LocalBackend(settings, port)


class LocalBackend:
    """A running backend: `url`, `token`, `close()`; also a context manager."""

    def __init__(self, settings: Settings, port: int) -> None:
        self.url = ""
        listener = _open_listener(settings.host, port)
        self.url = _make_url(settings.host, listener)
        self.token = settings.token
        self.faults = settings.faults
        self.directory = settings.directory
        self._settings = settings
        self._calls: Iterable[Mapping[str, Any]] = ()
        self._stop: Callable[[], object] = lambda: None
        self._closed = False
        started: Future[None] = Future()
        # A daemon, so that a program which forgets to close still ends; `close` at exit settles what runs.
        self._thread = threading.Thread(
            target=self._run_loop, args=(listener, started), name="nemo-local-backend", daemon=True
        )
        self._thread.start()
        started.result()
        atexit.register(self.close)
        if not is_loopback(settings.host):
            _log.warning("The local preview listens on %s: other machines can reach it", settings.host)

    def __repr__(self) -> str:
        return f"LocalBackend(url={self.url!r})"

    @property
    def calls(self) -> tuple[Mapping[str, Any], ...]:
        """The last 1000 requests: endpoint, method, path and headers, without the token."""
        return tuple(self._calls)

    def close(self) -> None:
        """Stop listening; running messages and renders end, unfinished, and are not charged."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._stop()
        self._thread.join(timeout=CLOSE_SECONDS)

    def __enter__(self) -> LocalBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- on the backend's thread ----------------------------------------------------------------------------------

    def _run_loop(self, listener: socket.socket, started: Future[None]) -> None:
        loop = asyncio.new_event_loop()
        executor = ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="nemo-local-files")
        loop.set_default_executor(executor)
        try:
            loop.run_until_complete(self._serve_requests(listener, started))
        except BaseException as error:  # noqa: BLE001 - whatever kept it from starting is raised by `open`
            if started.done():
                _log.exception("The local preview has failed")
            else:
                started.set_exception(error)
        finally:
            listener.close()
            executor.shutdown(wait=True, cancel_futures=True)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _serve_requests(self, listener: socket.socket, started: Future[None]) -> None:
        from aiohttp import web

        settings = self._settings
        owner = Owner(settings.directory / "owners")
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(owner.release)
            ledger = Ledger(settings.directory, settings.clock)
            api, agent, renders = _make_services(settings, owner, ledger)
            self._calls = api.calls
            runner = web.AppRunner(api.application(), shutdown_timeout=HANDLER_SECONDS, **_SERVING)
            stack.callback(renders.close)
            stack.push_async_callback(runner.cleanup)
            stack.push_async_callback(agent.close)
            await runner.setup()
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            self._stop = lambda: loop.call_soon_threadsafe(stop.set)
            loop.run_in_executor(None, _tidy_folder, settings, owner)
            started.set_result(None)
            await stop.wait()


def _make_services(settings: Settings, owner: Owner, ledger: Ledger) -> tuple[Api, Agent, Renders]:
    from ..agent.agent import Agent
    from ..render.queue import Renders
    from ..sessions.uploads import Uploads
    from .app import Api, Services

    store = Store(settings.directory, settings.clock)
    runs = Runs(settings.directory, owner, ledger)
    accounts = Accounts(
        settings.directory,
        settings.token,
        credits=settings.credits,
        anonymous=settings.anonymous,
        clock=settings.clock,
        most=settings.limits.accounts,
    )
    agent = Agent(settings, store, runs, ledger)
    renders = Renders(settings, store, owner, ledger)
    uploads = Uploads(settings, store, ledger)
    api = Api(Services(settings, accounts, store, ledger, runs, agent, renders, uploads))
    return api, agent, renders


def _tidy_folder(settings: Settings, owner: Owner) -> None:
    try:
        tidy(settings.directory, owner, render_bytes=settings.limits.render_bytes)
    except OSError as error:
        _log.warning("The local preview's folder could not be tidied: %s", error.strerror)


def _open_listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def _make_url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    shown = {"::": "[::1]"}.get(host, "127.0.0.1") if host in WILDCARDS else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"

"""Registers the panel's routes when the pack is loaded; what answers them is imported when the first one is asked for.

ComfyUI ignores routes that come after its start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from .._comfy import host

if TYPE_CHECKING:
    from aiohttp import web

PATHS: Final = (
    ("GET", "/nemo/profiles"),
    ("POST", "/nemo/profiles/save"),
    ("POST", "/nemo/profiles/delete"),
    ("POST", "/nemo/profiles/default"),
    ("POST", "/nemo/profiles/token"),
    ("POST", "/nemo/credits"),
    ("GET", "/nemo/prices"),
    ("GET", "/nemo/statements"),
    ("GET", "/nemo/jobs"),
    ("GET", "/nemo/jobs/{id}/picture"),
    ("POST", "/nemo/jobs/{id}/resume"),
    ("POST", "/nemo/jobs/{id}/cancel"),
    ("POST", "/nemo/jobs/{id}/forget"),
    ("POST", "/nemo/jobs/{id}/open-folder"),
    ("POST", "/nemo/jobs/{id}/project-page"),
    ("GET", "/nemo/jobs/{id}/workflow"),
)
"""Method and path of each of `routes.ROUTES`, then of `routes.FILE_ROUTES`."""


def register() -> None:
    """Add the routes to ComfyUI's server; nothing where there is none."""
    server = host.get_prompt_server()
    if server is None:
        return
    for method, path in PATHS:
        server.routes.route(method, path)(_make_answer(method, path))


def _make_answer(method: str, path: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        from . import routes

        return await routes.answer(method, path, request)

    return answer

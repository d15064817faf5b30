"""The HTTP side: routes, who may come in, and each endpoint's answer."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aiohttp import web

from ..agent.agent import Agent
from ..render.formats import MIME_TYPES
from ..render.queue import Renders
from ..sessions.accounts import Account, Accounts
from ..sessions.ledger import Ledger
from ..sessions.runs import Runs
from ..sessions.store import Store
from ..sessions.uploads import Uploads, plain_name
from ..sessions.views import Addresses, file_view, state_view
from ..shared.behaviour import CallBehaviour
from ..shared.replies import (
    MAX_JSON_BYTES,
    ApiError,
    FileReply,
    JsonReply,
    RawReply,
    failure,
    json_body,
    success,
    text_field,
)
from ..shared.settings import Settings
from ..shared.writer import cut_connection
from .gate import is_allowed
from .sending import Reply, StreamReply, send

ATTRIBUTION = ("X-Skill-Source", "X-Skill-Version", "X-Skill-Platform")
CLAIM_SECONDS = 604_800
CALLS_KEPT = 1000
HEADERS_KEPT = 64
CHARACTERS_KEPT = 512

_log = logging.getLogger("nemo_client.local")


@dataclass(frozen=True)
class Call:
    """One request on its way through an endpoint. `account` is NO_ACCOUNT where no token is asked for."""

    request: web.Request
    account: Account
    behaviour: CallBehaviour
    addresses: Addresses

    def part(self, name: str) -> str:
        return self.request.match_info[name]


Handler = Callable[[Call], Awaitable[Reply]]
NO_ACCOUNT = Account("", 0)


@dataclass(frozen=True)
class Services:
    """What the endpoints work with."""

    settings: Settings
    accounts: Accounts
    store: Store
    ledger: Ledger
    runs: Runs
    agent: Agent
    renders: Renders
    uploads: Uploads


class Api:
    """The endpoints of the API on one set of services; `calls` is what was asked, without secrets."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.calls: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard_request], client_max_size=MAX_JSON_BYTES)
        session = "/{session}"
        for method, path, endpoint, handler in (
            ("POST", "/api/auth/anonymous-token", "anonymous-token", self._sign_up),
            ("POST", "/api/tasks/me/with-session/nemo_agent", "session", self._open_session),
            ("POST", "/api/auth/claim-token", "claim-token", self._claim_token),
            ("POST", f"/api/upload-video/nemo_agent/me{session}", "upload", self._take_upload),
            ("POST", "/run_sse", "message", self._take_message),
            ("GET", f"/api/state/nemo_agent/me{session}/latest", "state", self._show_state),
            ("GET", "/api/credits/balance/simple", "credits", self._show_credits),
            ("POST", "/api/render/proxy/lambda", "render", self._take_render),
            ("GET", "/api/render/proxy/lambda/{render}", "render-status", self._render_status),
            ("POST", "/api/render/proxy/lambda/{render}/cancel", "render-cancel", self._render_cancel),
            ("GET", "/api/render/proxy/{render}/download", "download", self._send_output),
            ("GET", "/files/{signature}/{name}", "files", self._send_stored),
            ("GET", "/files/{signature}/{name}/{label}", "files", self._send_stored),
        ):
            app.router.add_route(method, path, self._make_endpoint(endpoint, handler))
            if endpoint == "files":
                app.router.add_route("HEAD", path, self._make_endpoint(endpoint, handler))
        return app

    @web.middleware
    async def _guard_request(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse other sites' requests, and let no error out but as an envelope."""
        if not is_allowed(request.headers, self._services.settings.host):
            return _make_refusal(request, 403, "This host or origin may not use the local preview")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return _make_refusal(request, 415, "A compressed body is not read")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _make_refusal(request, error.status, error.reason)
        except ConnectionError:
            cut_connection(request, reset=False)
            return web.Response()
        except Exception:  # noqa: BLE001 - the last line of defence: a traceback goes to the log, never to the client
            # Not the path: that of a file is a secret of its own.
            _log.exception("The local preview failed to answer a %s request", request.method)
            return _make_refusal(request, 500, "Internal error of the local preview")

    def _make_endpoint(self, endpoint: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self._note_call(request, endpoint)
            behaviour = self._services.settings.faults.begin_call(endpoint)
            if (closed := await behaviour.meet(request)) is not None:
                return closed
            try:
                reply = await self._make_reply(request, endpoint, handler, behaviour)
            except ApiError as error:
                reply = failure(error, render=_is_render(request))
            return await send(request, reply, behaviour)

        return handle

    def _note_call(self, request: web.Request, endpoint: str) -> None:
        headers = {
            name: value[:CHARACTERS_KEPT]
            for name, value in islice(request.headers.items(), HEADERS_KEPT)
            if name.lower() != "authorization"
        }
        headers["Authorized"] = str("Authorization" in request.headers)
        path, query = request.path[:CHARACTERS_KEPT], request.query_string[:CHARACTERS_KEPT]
        asked = {"endpoint": endpoint, "method": request.method, "path": path, "query": query}
        self.calls.append({**asked, "headers": headers})

    async def _make_reply(
        self, request: web.Request, endpoint: str, handler: Handler, behaviour: CallBehaviour
    ) -> Reply:
        services = self._services
        account = NO_ACCOUNT
        if endpoint not in ("anonymous-token", "files"):
            account = await asyncio.to_thread(services.accounts.resolve, request.headers.get("Authorization"))
        base = f"{request.scheme}://{request.host}"
        addresses = Addresses(services.store, base, behaviour.sign_address)
        call = Call(request, account, behaviour, addresses)
        await behaviour.prepare(services, call)
        if behaviour.answer is not None and not behaviour.carries_out:
            return behaviour.answer
        reply = await handler(call)
        if behaviour.answer is None:
            return reply
        if isinstance(reply, StreamReply):
            reply.source.hung_up()
        return behaviour.answer

    async def _read_json(self, call: Call) -> dict[str, Any]:
        return await json_body(call.request, self._services.settings.limits.body_seconds)

    # --- the endpoints --------------------------------------------------------------------------------------------

    async def _sign_up(self, call: Call) -> Reply:
        client = call.request.headers.get("X-Client-Id")
        return success(await asyncio.to_thread(self._services.accounts.sign_up, client))

    async def _open_session(self, call: Call) -> Reply:
        body = await self._read_json(call)
        name, language = text_field(body, "task_name"), text_field(body, "language", limit=35)
        record = await asyncio.to_thread(self._services.store.create, call.account, name, language)
        facts = {"session": record["id"], "task": record["task_id"], "account": call.account.user_id}
        await asyncio.to_thread(lambda: self._services.ledger.append("session", **facts))
        return success({"task_id": record["task_id"], "session_id": record["id"], "user_id": call.account.user_id})

    async def _claim_token(self, call: Call) -> Reply:
        body = await self._read_json(call)
        task, session = text_field(body, "task_id"), text_field(body, "session_id")
        record = await asyncio.to_thread(self._services.store.load, session, call.account)
        if record["task_id"] != task:
            raise ApiError(400, "The task does not belong to the session")
        return success({"claim_token": f"clm_{secrets.token_urlsafe(18)}", "expires_in": CLAIM_SECONDS})

    async def _take_upload(self, call: Call) -> Reply:
        assets = await self._services.uploads.receive(call.request, call.part("session"), call.account)
        files = [file_view(asset, call.addresses) for asset in assets]
        return success({"files": files, "session_state_applied": True})

    async def _take_message(self, call: Call) -> Reply:
        accept = call.request.headers.get("Accept", "*/*")
        if not any(kind in accept for kind in ("text/event-stream", "text/*", "*/*")):
            raise ApiError(406, "/run_sse answers text/event-stream")
        body = await self._read_json(call)
        return StreamReply(await self._services.agent.accept(body, call.account, call.behaviour, call.addresses))

    async def _show_state(self, call: Call) -> Reply:
        record = await asyncio.to_thread(self._services.store.load, call.part("session"), call.account)
        call.behaviour.change_record(record, call.addresses)
        return success(state_view(record, call.addresses))

    async def _show_credits(self, call: Call) -> Reply:
        balance = await asyncio.to_thread(self._services.runs.balance, call.account)
        available, frozen = balance.available, balance.frozen
        return success({"available": available, "frozen": frozen, "total": available + frozen})

    async def _take_render(self, call: Call) -> Reply:
        if not all(call.request.headers.get(name) for name in ATTRIBUTION):
            raise ApiError(402, "Export is not in the free plan")
        body = await self._read_json(call)
        record = await asyncio.to_thread(self._services.renders.submit, body, call.account)
        return JsonReply({"success": True, "data": _describe_render(record)})

    async def _render_status(self, call: Call) -> Reply:
        record = await asyncio.to_thread(self._services.renders.status, call.part("render"), call.account)
        url = call.addresses.of(record["name"]) if record["status"] == "completed" else None
        failed = {"error": record["error"]} if record["error"] else {}
        if self._services.settings.render_answers == "data":
            ready = {"outputUrl": url} if url else {}
            return JsonReply({"success": not failed, "data": _describe_render(record) | ready, **failed})
        return JsonReply({**_describe_render(record), **({"output": {"url": url}} if url else {}), **failed})

    async def _render_cancel(self, call: Call) -> Reply:
        record = await asyncio.to_thread(self._services.renders.cancel, call.part("render"), call.account)
        return JsonReply({"success": True, "data": _describe_render(record)})

    async def _send_output(self, call: Call) -> Reply:
        renders = self._services.renders
        record = await asyncio.to_thread(renders.status, call.part("render"), call.account)
        if record["status"] != "completed":
            raise ApiError(409, f"The render is {record['status']}")
        name = plain_name(f"{record['title']}.{record['format']}")
        return FileReply(renders.output(record), MIME_TYPES[record["format"]], name)

    async def _send_stored(self, call: Call) -> Reply:
        path = self._services.store.find_signed_file(call.part("signature"), call.part("name"))
        return FileReply(path, mimetypes.guess_type(path.name)[0] or "application/octet-stream")


def _is_render(request: web.Request) -> bool:
    """The render endpoints have an envelope of their own."""
    return request.path.startswith("/api/render/")


def _make_refusal(request: web.Request, status: int, message: str) -> web.Response:
    return _make_response(failure(ApiError(status, message), render=_is_render(request)))


def _describe_render(record: dict[str, Any]) -> dict[str, Any]:
    return {"id": record["id"], "status": record["status"], "progress": record["progress"]}


def _make_response(reply: JsonReply | RawReply) -> web.Response:
    content_type = reply.content_type if isinstance(reply, RawReply) else "application/json"
    return web.Response(body=reply.body, status=reply.status, headers=reply.headers, content_type=content_type)

"""The /nemo routes for the browser: JSON in and out, same-origin, no secret in an answer.

`register` puts them up when the pack is loaded, and imports this when the first one is asked for. Handlers run on
ComfyUI's own loop: what blocks goes to a thread, what is networked or reads the journal to the network thread. ComfyUI
itself checks the origin on loopback only, and no names: `request_guard` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .._comfy import duplicates, host, packages, run, statements
from . import folders, jobs_view, request_guard

if TYPE_CHECKING:
    from aiohttp import web

    from ...nemo_client import NemoError

_T = TypeVar("_T")

MAX_BODY_BYTES: Final = 64 * 1024
BODY_SECONDS: Final = 10.0
MAX_JOBS: Final = 200
_JOBS: Final = 50


@dataclass(frozen=True)
class Call:
    """One request: its body (a JSON object, `{}` for GET) and the language of its texts."""

    request: web.Request
    body: Mapping[str, Any]
    lang: str

    def text(self, name: str) -> str:
        """A field that must be text; `InputError` where it is not."""
        found = self.body.get(name)
        if not isinstance(found, str) or not found.strip() or len(found) > MAX_BODY_BYTES:
            raise _make_value_error(name, found, "text")
        return found.strip()

    @property
    def job(self) -> str:
        """The id in the path."""
        return str(self.request.match_info["id"])


Handler = Callable[[Call], Awaitable[Mapping[str, Any]]]


async def answer(method: str, path: str, request: web.Request) -> web.Response:
    """The answer of a route by its method and path, as `register.PATHS` names them."""
    handler = next(each for known, where, each in (*ROUTES, *FILE_ROUTES) if (known, where) == (method, path))
    return await _make_route(handler, acts=method == "POST")(request)


async def _list_profiles(call: Call) -> Mapping[str, Any]:
    return await asyncio.to_thread(_profiles_view, call.lang)


def _profiles_view(lang: str) -> Mapping[str, Any]:
    from dataclasses import asdict

    from ...nemo_client import default_profile, described

    profiles = [asdict(each) for each in described(None, lang)]
    return {"default": default_profile(), "profiles": profiles, "notice": _word_notice(lang)}


def _word_notice(lang: str) -> str:
    """What the panel says of the installation as long as it is so; empty where nothing is wrong with it."""
    from ...nemo_client import say

    copies = duplicates.copies()
    return say("pack-twice", lang, running=copies[0], aside=", ".join(copies[1:])) if len(copies) > 1 else ""


async def _save_profile(call: Call) -> Mapping[str, Any]:
    from ...nemo_client import save_profile

    address = call.body.get("address")
    if address is not None and not isinstance(address, str):
        raise _make_value_error("address", address, "text")
    limits = {name: call.body.get(name) for name in ("run_limit", "day_limit")}
    for name, limit in limits.items():
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise _make_value_error(name, limit, "a whole number, 0 for no limit")
    name = call.text("name")
    await asyncio.to_thread(
        save_profile, name, address=address, run_limit=limits["run_limit"], day_limit=limits["day_limit"]
    )
    return await _list_profiles(call)


async def _delete_profile(call: Call) -> Mapping[str, Any]:
    from ...nemo_client import CLOUD, LOCAL, check_given_up, delete_profile

    name = call.text("name")
    if call.body.get("force") is not True and name not in (CLOUD, LOCAL):  # those are not deleted
        await run.run_on_network(lambda: check_given_up(name, run.get_network().journal()))
    await asyncio.to_thread(delete_profile, name)
    return await _list_profiles(call)


async def _choose_default(call: Call) -> Mapping[str, Any]:
    from ...nemo_client import set_default

    await asyncio.to_thread(set_default, call.text("name"))
    return await _list_profiles(call)


async def _keep_token(call: Call) -> Mapping[str, Any]:
    from ...nemo_client import InputError, Secret, redact, replace_token

    name, token, force = call.text("name"), call.body.get("token"), call.body.get("force") is True
    if not isinstance(token, Secret):
        raise InputError("token-odd")

    async def replace() -> str:  # the journal is opened on the network thread
        return await replace_token(name, token, run.get_network().journal(), force=force, lang=call.lang)

    untried = await run.run_on_network(replace)
    return {**await _list_profiles(call), "untried": redact(untried)}


async def _tell_prices(call: Call) -> Mapping[str, Any]:
    """What paid steps are expected to take, in credits, by profile and what was charged here before; sends nothing."""
    from ...nemo_client import default_profile, estimate_prices, profile, profiles

    names = await asyncio.to_thread(profiles)
    free = {name for name in names if (await asyncio.to_thread(profile, name)).free}
    journal = run.get_network().journal if await asyncio.to_thread(run.is_journal) else None

    async def read() -> Mapping[str, Any]:
        known = None if journal is None else journal()
        return {name: {"free": name in free, **await estimate_prices(known, name)} for name in names}

    return {"default": await asyncio.to_thread(default_profile), "profiles": await run.run_on_network(read)}


async def _tell_credits(call: Call) -> Mapping[str, Any]:
    name = call.text("profile")

    async def ask() -> Mapping[str, Any]:
        studio = await run.get_network().studio(name)
        balance = await studio.credits()
        register = await studio.registration_link()
        return {
            "available": balance.available,
            "frozen": balance.frozen,
            "total": balance.total,
            "register": register,
        }

    return await run.run_on_network(ask)


async def _list_jobs(call: Call) -> Mapping[str, Any]:
    wanted = call.request.query.get("limit", str(_JOBS))
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 10 and 0 < int(wanted) <= MAX_JOBS):
        raise _make_value_error("limit", wanted, f"1 to {MAX_JOBS}")
    query = call.request.query
    after, search = query.get("after", ""), query.get("search", "")
    if after and not jobs_view.is_id(after):
        raise _make_value_error("after", after, "the id of a job")
    page = jobs_view.Page(int(wanted), search, query.get("filter", "all"), after, query.get("seen", ""))
    answer = await run.run_on_network(lambda: board.jobs(page, call.lang))
    return {**answer, "jobs": _offer_folders(call, answer["jobs"])} if "jobs" in answer else answer


def _offer_folders(call: Call, jobs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Jobs with `folder`: whether who asks can have the folder of the video opened."""
    can_open = folders.can_open(call.request.remote, call.request.headers)
    return [{**job, "folder": can_open and job["video"] is not None} for job in jobs]


async def _send_picture(call: Call) -> Mapping[str, Any]:
    return {"image": await run.run_on_network(lambda: board.picture(call.job))}


async def _send_workflow(call: Call) -> Mapping[str, Any]:
    return await run.run_on_network(lambda: board.workflow(call.job))


async def _resume_job(call: Call) -> Mapping[str, Any]:
    answer = await run.run_on_network(lambda: board.resume(call.job, call.lang))
    return {**answer, "job": _offer_folders(call, [answer["job"]])[0]}


async def _cancel_job(call: Call) -> Mapping[str, Any]:
    answer = await run.run_on_network(lambda: board.cancel(call.job, call.lang))
    return {**answer, "job": _offer_folders(call, [answer["job"]])[0]}


async def _forget_job(call: Call) -> Mapping[str, Any]:
    await run.run_on_network(lambda: board.forget(call.job))
    return {"forgotten": True}


async def _open_folder(call: Call) -> Mapping[str, Any]:
    from ...nemo_client import InputError

    video = Path((await run.run_on_network(lambda: board.find(call.job))).video)
    if await asyncio.to_thread(host.find_view, video) is None:
        raise InputError("folder-none", job=call.job)
    if not folders.is_here(call.request.remote, call.request.headers):
        raise InputError("folder-remote", path=video)
    await asyncio.to_thread(folders.open_folder, video)
    return {"opened": True}


async def _project_page(call: Call) -> Mapping[str, Any]:
    return {"url": await run.run_on_network(lambda: board.project_page(call.job))}


async def _tell_statements(call: Call) -> Mapping[str, Any]:
    return {"statements": statements.find_kept(call.request.query.get("graph", ""))}


ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/nemo/profiles", _list_profiles),
    ("POST", "/nemo/profiles/save", _save_profile),
    ("POST", "/nemo/profiles/delete", _delete_profile),
    ("POST", "/nemo/profiles/default", _choose_default),
    ("POST", "/nemo/profiles/token", _keep_token),
    ("POST", "/nemo/credits", _tell_credits),
    ("GET", "/nemo/prices", _tell_prices),
    ("GET", "/nemo/statements", _tell_statements),
    ("GET", "/nemo/jobs", _list_jobs),
    ("GET", "/nemo/jobs/{id}/picture", _send_picture),
    ("POST", "/nemo/jobs/{id}/resume", _resume_job),
    ("POST", "/nemo/jobs/{id}/cancel", _cancel_job),
    ("POST", "/nemo/jobs/{id}/forget", _forget_job),
    ("POST", "/nemo/jobs/{id}/open-folder", _open_folder),
    ("POST", "/nemo/jobs/{id}/project-page", _project_page),
)

FILE_ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (("GET", "/nemo/jobs/{id}/workflow", _send_workflow),)
"""Routes that read a delivered file."""

board: Final = jobs_view.Board()


def _make_route(handler: Handler, *, acts: bool) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler as aiohttp wants it; whatever happens becomes an answer in JSON."""

    async def answer(request: web.Request) -> web.Response:
        lang = "zh" if request.query.get("lang", "").lower().startswith("zh") else "en"
        task = asyncio.ensure_future(_handle_request(handler, request, lang, acts))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()  # the browser went away
        error = task.exception() if not task.cancelled() else asyncio.CancelledError()
        if error is None:
            return _make_json(200, task.result())
        told = jobs_view.translate_error(error)
        return _make_json(_choose_status(told), _describe_refusal(told, lang))

    return answer


async def _handle_request(handler: Handler, request: web.Request, lang: str, acts: bool) -> Mapping[str, Any]:
    body: Mapping[str, Any] = {}
    _check_caller(request, acts)
    host.note_page_language(request.headers.get("X-NemoVideo-Page", ""))
    missing = packages.find_missing()
    if missing:
        raise packages.make_missing_error(missing)
    if acts:
        body = await _read_body(request)
        await asyncio.to_thread(host.check_home)
    return await handler(Call(request, body, lang))


def _check_caller(request: web.Request, acts: bool) -> None:
    """`InputError` for a request that another site's page made, or that came by a name which may be a stranger's."""
    from ...nemo_client import InputError

    hosts = [name for name in os.environ.get("NEMO_HOSTS", "").replace(",", " ").split() if name]
    found = request_guard.check_request(request.headers, acts=acts, listens=host.read_listen_setting(), hosts=hosts)
    if found:
        raise InputError(found, host=request.headers.get("Host", "")[:80], header=request_guard.HEADER)


async def _read_body(request: web.Request) -> Mapping[str, Any]:
    """The JSON object that was sent, of which no more than MAX_BODY_BYTES are read.

    A token in it is a `Secret` from here on, and no error that leaves holds what was read.
    """
    from ...nemo_client import InputError, Secret

    if request.content_type != "application/json" or request.headers.get("Content-Encoding", "identity") != "identity":
        raise InputError("body-not-json")
    body = io.BytesIO()  # in something whose `repr` does not show it
    if not await _read_into(request, body):
        raise InputError("body-too-large", limit=MAX_BODY_BYTES)
    found = _parse_object(body)
    if found is None:
        raise InputError("body-not-json")
    if isinstance(found.get("token"), str):
        found["token"] = Secret(found["token"])
    return found


async def _read_into(request: web.Request, body: io.BytesIO) -> bool:
    """Read what was sent into `body`, as far as it comes in BODY_SECONDS; False where it is too large."""

    async def all_of_it() -> bool:
        while body.write(await request.content.readany()):
            if body.tell() > MAX_BODY_BYTES:
                return False
        return True

    if (request.content_length or 0) > MAX_BODY_BYTES:
        return False
    with contextlib.suppress(asyncio.TimeoutError):
        return await asyncio.wait_for(all_of_it(), BODY_SECONDS)
    body.truncate(0)  # half of it might be an object, too
    return True


def _parse_object(body: io.BytesIO) -> dict[str, Any] | None:
    """The JSON object in it, if it is one."""
    try:
        found = json.loads(body.getvalue())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _make_value_error(name: str, value: object, expected: str) -> NemoError:
    from ...nemo_client import InputError

    return InputError("value", name=name, value=value if isinstance(value, int) else str(value)[:80], expected=expected)


_STATUS: Final = {
    "origin-foreign": 403,
    "host-foreign": 403,
    "header-missing": 403,
    "folder-remote": 403,
    "body-too-large": 413,
    "body-not-json": 415,
    "job-unknown": 404,
    "profile-unknown": 404,
    "picture-none": 404,
    "workflow-none": 404,
    "page-none": 404,
    "folder-none": 404,
    "folder-no-program": 501,
    "packages-missing": 503,
    "resume-unsent": 409,
    "token-gives-up": 409,
    "token-changing": 409,
    "login-refused": 400,
}


def _choose_status(error: NemoError) -> int:
    """By the text, else by the kind: what was asked wrongly, what does not fit now, what the backend or network did."""
    from ...nemo_client import ApiError, InputError, JobError, LimitError, TransportError

    if error.id in _STATUS:
        return _STATUS[error.id]
    kinds = ((InputError, 400), (JobError, 409), (LimitError, 409), (ApiError, 502), (TransportError, 502))
    return next((status for kind, status in kinds if isinstance(error, kind)), 500)


def _describe_refusal(error: NemoError, lang: str) -> Mapping[str, Any]:
    from ...nemo_client import redact

    error.on_page = True
    what, hint, _ = error.parts(lang)
    return {"error": redact(what), "hint": redact(hint), "id": error.id, "charged": error.charged}


def _make_json(status: int, data: Mapping[str, Any]) -> web.Response:
    from aiohttp import web

    return web.json_response(data, status=status, headers={"Cache-Control": "no-store"})

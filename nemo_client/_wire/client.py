"""NemoClient: one method per endpoint of the backend's HTTP API, with typed results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from .._config.client_id import read_client_id
from .._errors import BadAnswer, ConnectionBroken, InputError, NemoError
from .._safety.redaction import scrub_data
from .._text.messages import Phrase
from .decompression import Decoder, Undecodable
from .download import Download
from .envelope import name_call, open_envelope
from .http import Http, quote_segment
from .schemas import (
    AnonymousToken,
    Asset,
    Claim,
    Credits,
    RenderJob,
    Session,
    State,
    Uploaded,
    Wire,
    is_false,
    is_true,
    says_failed,
)
from .sse import MAX_EVENT_BYTES, AgentEvent, EventTooLarge, Heartbeat, SseDecoder, Unknown, parse_event
from .upload import Multipart, OnBytes, UploadPart

AGENT: Final = "nemo_agent"
MAX_MESSAGE_CHARACTERS: Final = 100_000

_W = TypeVar("_W", bound=Wire)


class NemoClient:
    """The endpoints of the backend. Give it an `Http` for a profile; `aclose()` it in the event loop that used it."""

    def __init__(self, http: Http) -> None:
        self.http = http

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def anonymous_token(self) -> AnonymousToken:
        """Sign up without an account: one token a client in 7 days, then `RateLimited`."""
        path = "/api/auth/anonymous-token"
        call = self.http.call("sign-up", "POST", path, signed_in=False, repeatable=False)
        return self._parse_model(AnonymousToken, await call, "sign-up")

    async def create_session(self, language: str) -> Session:
        """Open a session. `language` is an ISO code (en, zh-CN, ja …)."""
        payload = {"task_name": "project", "language": language}
        data = await self.http.call("session", "POST", f"/api/tasks/me/with-session/{AGENT}", json=payload)
        session = self._parse_model(Session, data, "session")
        self.http.note_user(await self.http.tokens.token(), session.user_id)
        return session

    async def claim_token(self, task_id: str, session_id: str) -> Claim:
        """A claim token, which opens the project in a browser. Only for a person who asks for the page."""
        payload = {"task_id": task_id, "session_id": session_id}
        call = self.http.call("project-page", "POST", "/api/auth/claim-token", json=payload)
        return self._parse_model(Claim, await call, "project-page")

    async def project_page(self, task_id: str, session_id: str) -> str:
        """The address that opens a project in a browser; it holds a claim token."""
        claim = await self.claim_token(task_id, session_id)
        return f"{self.http.profile.web_url}/workspace/claim?ct={quote(claim.claim_token.reveal(), safe='')}"

    async def upload_files(
        self, session_id: str, parts: Sequence[UploadPart], on_bytes: OnBytes | None = None
    ) -> Uploaded:
        """Send files as one streaming multipart body; never repeated by itself once bytes were written.

        The answer need not tell of them.
        """
        body = Multipart(parts, on_bytes)
        data = await self.http.call(
            "upload",
            "POST",
            self._upload_path(session_id),
            body=body.stream,
            headers=body.headers,
            repeatable=False,
        )
        return self._read_uploaded(data)

    async def upload_urls(self, session_id: str, urls: Sequence[str]) -> Uploaded:
        """Let the backend fetch files by their addresses."""
        payload = {"urls": list(urls), "source_type": "url"}
        data = await self.http.call("upload", "POST", self._upload_path(session_id), json=payload, repeatable=False)
        return self._read_uploaded(data)

    @asynccontextmanager
    async def run(
        self, session_id: str, message: str, may_go: Callable[[], bool] | None = None
    ) -> AsyncIterator[AsyncIterator[AgentEvent]]:
        """Send a message that may charge, once, and yield its events.

        Raises `ConnectError` if nothing was written (`TooLate` where `may_go` held it back at the last moment), a
        typed refusal for a whole non-stream answer, and `ConnectionBroken` when the stream breaks: then the message
        may have been worked on.
        """
        payload = encode_message(session_id, message)
        async with self.http.stream("message", "/run_sse", payload, may_go) as response:
            if not (response.is_success and _is_stream(response)):
                raise await self._no_stream(response)
            async with aclosing(self._read_events(response)) as events:
                yield events

    async def _no_stream(self, response: httpx.Response) -> NemoError:
        """What a whole answer in the place of a stream says; a stream under another status proves no refusal."""
        if _is_stream(response):
            return self._make_shape_error("message", f"HTTP {response.status_code}")
        try:
            open_envelope(await self.http.read_whole("message", response), strict=True)
        except NemoError as error:
            self.http.limiter.note(error)
            return self.http.explain_for_account(error, await self.http.tokens.token())
        return self._make_shape_error("message", Phrase("why.no-event-stream"))

    async def _read_events(self, response: httpx.Response) -> AsyncGenerator[AgentEvent, None]:
        """The events; what cannot be read ends them, but not the reading, which keeps the run going."""
        reader = _EventReader(response.headers.get("content-encoding", ""))
        try:
            async for chunk in response.aiter_raw():
                yield Heartbeat()
                for event in reader.feed(chunk):
                    yield event
        except httpx.HTTPError:
            for event in reader.cut():
                yield event
            raise
        for event in reader.close():
            yield event
        if reader.trouble:
            raise ConnectionBroken(
                reader.trouble, host=self.http.host, call=Phrase("call.message"), limit=MAX_EVENT_BYTES
            )

    async def state(self, session_id: str) -> State:
        """The newest state of a session: draft, media, analyses."""
        data = await self.http.call("state", "GET", f"/api/state/{AGENT}/me/{quote_segment(session_id)}/latest")
        return self._parse_model(State, data, "state")

    async def balance(self) -> Credits:
        """The account's credits."""
        data = await self.http.call("balance", "GET", "/api/credits/balance/simple")
        return self._parse_model(Credits, data, "balance")

    async def submit_render(
        self, render_id: str, session_id: str, draft: Mapping[str, Any], output: Mapping[str, Any]
    ) -> RenderJob:
        """Start a render under an id of our own; a repeated id is refused. `draft` goes out untouched."""
        payload = {"id": render_id, "sessionId": session_id, "draft": draft, "output": dict(output)}
        data = await self.http.call(
            "render", "POST", "/api/render/proxy/lambda", json=payload, repeatable=False, whole=True
        )
        return self._parse_model(RenderJob, data, "render")

    async def render(self, render_id: str) -> RenderJob:
        """How a render stands."""
        path = f"/api/render/proxy/lambda/{quote_segment(render_id)}"
        return self._parse_model(RenderJob, await self.http.call("render", "GET", path, whole=True), "render")

    async def cancel_render(self, render_id: str) -> None:
        """Stop a render."""
        await self.http.call(
            "cancel", "POST", f"/api/render/proxy/lambda/{quote_segment(render_id)}/cancel", whole=True
        )

    async def download(self, url: str, target: Path, on_bytes: OnBytes | None = None) -> int:
        """Fetch a finished file from its output address (without the token) into `target`; bytes."""
        near = self.http.profile.api_url
        return await Download(
            url, target, near=near, on_bytes=on_bytes, sleep=self.http.sleep, timings=self.http.timings
        ).run()

    async def download_render(self, render_id: str, target: Path, on_bytes: OnBytes | None = None) -> int:
        """Fetch a finished file from the API's own endpoint, for when its output address fails; bytes."""
        url = f"{self.http.profile.api_url}/api/render/proxy/{quote_segment(render_id)}/download"

        async def headers() -> httpx.Headers:
            found = self.http.headers(await self.http.tokens.token())
            found["Accept-Encoding"] = "identity"
            return found

        return await Download(
            url,
            target,
            near=url,
            headers=headers,
            on_bytes=on_bytes,
            sleep=self.http.sleep,
            timings=self.http.timings,
        ).run()

    def _upload_path(self, session_id: str) -> str:
        return f"/api/upload-video/{AGENT}/me/{quote_segment(session_id)}"

    def _read_uploaded(self, data: Any) -> Uploaded:
        """What the backend says of the files, which it does not promise to."""
        said = data if isinstance(data, Mapping) else {"files": data}
        files = said.get("files")
        entries = files if isinstance(files, list) else []
        told = [each for name in _REFUSED_LISTS for each in _list_entries(said.get(name))]
        failed = [_name_of(each) for each in [*(each for each in entries if says_failed(each)), *told]]
        applied = not any(is_false(_read_field(each, name)) for each in [said, *entries] for name in _APPLIED)
        if not failed and (is_true(said.get("failed")) or is_false(said.get("success"))):
            applied = False  # some were not taken, and it is not told which
        return Uploaded(
            [self._parse_model(Asset, entry, "upload") for entry in entries], applied=applied, failed=failed
        )

    def _parse_model(self, kind: type[_W], data: Any, call: str) -> _W:
        try:
            return kind.model_validate(data)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or Phrase("call.answer")
        del data  # nor from the other error: it holds what was said, too
        raise self._make_shape_error(call, Phrase("why.field-wrong", field=where))

    def _make_shape_error(self, call: str, reason: str) -> BadAnswer:
        return BadAnswer("answer-wrong-shape", host=self.http.host, call=name_call(call), reason=reason)


class _EventReader:
    """Bytes of a stream to events, until there is `trouble`: then nothing more is read into them.

    It is told by the id of its text: an error would hold what was read, in the variables of its frames.
    """

    def __init__(self, encoding: str) -> None:
        self.trouble = ""
        self._decoder = SseDecoder()
        try:
            self._plain = Decoder(encoding)
        except Undecodable:
            self.trouble = "answer-broken"

    def feed(self, chunk: bytes) -> Iterator[AgentEvent]:
        if self.trouble:
            return
        try:
            for piece in self._plain.feed(chunk):
                for data in self._decoder.feed(piece):
                    yield from parse_event(scrub_data(data))
        except EventTooLarge:
            self.trouble = "answer-too-large"
        except Undecodable:
            self.trouble = "answer-broken"

    def cut(self) -> Iterator[AgentEvent]:
        """After a break: the last event where it lacks only its end, `Unknown` where the break was within one."""
        pending, found = self._decoder.pending and not self.trouble, False
        for event in self.close():
            found = True
            yield event
        if pending and not found:
            yield Unknown("")

    def close(self) -> Iterator[AgentEvent]:
        if self.trouble:
            return
        try:
            for data in self._decoder.close():
                yield from parse_event(scrub_data(data))
        except EventTooLarge:
            self.trouble = "answer-too-large"


_REFUSED_LISTS: Final = ("failed", "failed_files", "failedFiles", "errors", "rejected", "rejected_files")
_APPLIED: Final = ("session_state_applied", "sessionStateApplied")


def _list_entries(value: object) -> list[object]:
    """What a list holds; of an object, whose names are those of files, its names."""
    return value if isinstance(value, list) else list(value) if isinstance(value, Mapping) else []


def _read_field(entry: object, name: str) -> object:
    return entry.get(name) if isinstance(entry, Mapping) else None


def _name_of(entry: object) -> str:
    """How an entry names its file: by a name or an address."""
    named = (_read_field(entry, name) for name in ("filename", "name", "file", "url"))
    return entry if isinstance(entry, str) else next((each for each in named if isinstance(each, str)), "")


def _is_stream(response: httpx.Response) -> bool:
    return bool(response.headers.get("content-type", "").lower().startswith("text/event-stream"))


def encode_message(session_id: str, message: str) -> bytes:
    """The body of `/run_sse`, snake_case as the agent server wants it."""
    if len(message) > MAX_MESSAGE_CHARACTERS:
        raise InputError("prompt-too-long", length=len(message), limit=MAX_MESSAGE_CHARACTERS)
    payload = {
        "app_name": AGENT,
        "user_id": "me",
        "session_id": session_id,
        "new_message": {"parts": [{"text": message}]},
    }
    return json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")


async def renew_client_id(client: NemoClient, directory: Path) -> bool:
    """Use another client id from now on; False where it is given, so that there is none."""
    fresh = await asyncio.to_thread(read_client_id, directory, renew=True)
    changed, client.http.client_id = fresh != client.http.client_id, fresh
    return changed

"""The wire: what goes out, byte for byte where it matters, held against the API description."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nemo_client import BadAnswer, ConnectionBroken, InputError, NemoClient, NemoError, NoCredits, SignInError
from nemo_client._wire.sse import MAX_EVENT_BYTES, Heartbeat, Text, ToolCall
from nemo_client._wire.upload import UploadPart
from tests.support.backend import TOKEN, Asked, Clock, always, answer, client_of, serving

SID = "s 1/ü"
QUOTED = "s%201%2F%C3%BC"
DRAFT = {"t": [{"tt": 0, "sg": [{"d": 5000, "x": 1.0, "emoji": "\ud83d", "z": None}]}], "m": {"title": "日本"}}
WIRE = Path(__file__).parent / "recordings"


async def drained(client: NemoClient, message: str) -> list[Any]:
    async with client.run(SID, message) as events:
        return [event async for event in events]


# The endpoints as the API description has them: method, path, body as JSON (None: no body), and an answer.
ENDPOINTS: list[tuple[str, str, str, object, object, Callable[[NemoClient, Path], Awaitable[Any]]]] = [
    ("session", "POST", "/api/tasks/me/with-session/nemo_agent", {"task_name": "project", "language": "zh-CN"},
     {"code": 0, "data": {"session_id": SID, "task_id": "t"}}, lambda client, _: client.create_session("zh-CN")),
    ("claim", "POST", "/api/auth/claim-token", {"task_id": "t", "session_id": SID},
     {"code": 0, "data": {"claim_token": "clm_x", "expires_in": 604800}},
     lambda client, _: client.claim_token("t", SID)),
    ("upload by URL", "POST", f"/api/upload-video/nemo_agent/me/{QUOTED}",
     {"urls": ["https://x.test/a.png"], "source_type": "url"}, {"code": 0, "data": {"files": [{"filename": "a.png"}]}},
     lambda client, _: client.upload_urls(SID, ["https://x.test/a.png"])),
    ("message", "POST", "/run_sse",
     {"app_name": "nemo_agent", "user_id": "me", "session_id": SID, "new_message": {"parts": [{"text": "动起来 🎬"}]}},
     b'data: {"type":"text","content":"hi"}\n\n', lambda client, _: drained(client, "动起来 🎬")),
    ("state", "GET", f"/api/state/nemo_agent/me/{QUOTED}/latest", None,
     {"code": 0, "data": {"state": {"draft": DRAFT}, "session_id": SID}}, lambda client, _: client.state(SID)),
    ("credits", "GET", "/api/credits/balance/simple", None,
     {"code": 0, "data": {"available": 80, "frozen": 20, "total": 100}}, lambda client, _: client.balance()),
    ("render", "POST", "/api/render/proxy/lambda",
     {"id": "render_1", "sessionId": SID, "draft": DRAFT, "output": {"format": "mp4", "quality": "high"}},
     {"success": True, "data": {"id": "render_1", "status": "pending", "progress": 0}},
     lambda client, _: client.submit_render("render_1", SID, DRAFT, {"format": "mp4", "quality": "high"})),
    ("render status", "GET", "/api/render/proxy/lambda/render_1", None,
     {"status": "completed", "output": {"url": "https://x.test/v.mp4"}}, lambda client, _: client.render("render_1")),
    ("render cancel", "POST", "/api/render/proxy/lambda/render_1/cancel", None, {"success": True},
     lambda client, _: client.cancel_render("render_1")),
    ("download", "GET", "/api/render/proxy/render_1/download", None, b"film",
     lambda client, path: client.download_render("render_1", path)),
]  # fmt: skip


def stream(body: bytes, status: int = 200, **rest: object) -> bytes:
    return answer(body, status, content_type="text/event-stream; charset=utf-8", **rest)


def reply_of(said: object) -> bytes:
    if isinstance(said, bytes):
        return stream(said) if said.startswith(b"data:") else answer(said, content_type="video/mp4")
    return answer(said)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path", "body", "said", "call"), [row[1:] for row in ENDPOINTS], ids=[row[0] for row in ENDPOINTS]
)
async def test_every_endpoint_is_called_as_it_is_described(
    method: str, path: str, body: object, said: object, call: Any, tmp_path: Path
) -> None:
    """Method, path, body, and all headers on every request, each once; ids cannot change the path."""
    async with serving(always(reply_of(said))) as server, client_of(server.url) as client:
        await call(client, tmp_path / "file")

    (asked,) = server.asked
    assert sorted(asked.names) == sorted(asked.headers)
    assert (asked.method, asked.path) == (method, path)
    assert (asked.json if body is not None else asked.body) == (body if body is not None else b"")
    expected = {
        "authorization": f"Bearer {TOKEN}",
        "x-client-id": "client-1",
        "x-skill-source": "image-to-video-model-ai",
        "x-skill-version": "0.1.0",
        "x-skill-platform": "unknown",
    }
    assert {name: asked.headers.get(name) for name in expected} == expected
    if body is not None:
        assert asked.headers["content-type"] == "application/json"
    if path == "/run_sse":
        assert asked.headers["accept"] == "text/event-stream"


async def test_the_sign_up_sends_the_client_id_and_no_token_and_no_body() -> None:
    """`POST /api/auth/anonymous-token`, header `X-Client-Id`."""
    data = {"token": "nmv_usr_x", "user_id": "anon_1", "expires_at": "2026-08-01T00:00:00Z", "credits": 100}
    async with serving(always(answer({"code": 0, "data": data}))) as server, client_of(server.url) as client:
        token = await client.anonymous_token()

    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/api/auth/anonymous-token", b"")
    assert asked.headers["x-client-id"] == "client-1"
    assert asked.headers["x-skill-source"] == "image-to-video-model-ai"
    assert "authorization" not in asked.headers
    assert (token.token, token.user_id) == ("nmv_usr_x", "anon_1")


async def test_files_go_as_multipart_parts_named_files(tmp_path: Path) -> None:
    """One or more parts, with a length that is known beforehand; odd names cannot break out of their header."""
    (tmp_path / "b.mp4").write_bytes(b"film")
    parts = [UploadPart('a"\r\n.png', "image/png", b"pixels"), UploadPart("影片.mp4", "video/mp4", tmp_path / "b.mp4")]
    said = answer({"code": 0, "data": {"files": [{"filename": "a"}, {}]}})
    async with serving(always(said)) as server, client_of(server.url) as client:
        assets = await client.upload_files(SID, parts)

    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", f"/api/upload-video/nemo_agent/me/{QUOTED}")
    assert int(asked.headers["content-length"]) == len(asked.body)
    boundary = re.fullmatch(r"multipart/form-data; boundary=(\S+)", asked.headers["content-type"])
    assert boundary is not None
    pieces = asked.body.split(b"--" + boundary[1].encode())
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    heads = [piece.split(b"\r\n\r\n")[0].decode().strip().split("\r\n") for piece in pieces[1:-1]]
    assert heads == [
        ['Content-Disposition: form-data; name="files"; filename="a___.png"', "Content-Type: image/png"],
        ['Content-Disposition: form-data; name="files"; filename="影片.mp4"', "Content-Type: video/mp4"],
    ]
    assert [piece.split(b"\r\n\r\n")[1] for piece in pieces[1:-1]] == [b"pixels\r\n", b"film\r\n"]
    assert len(assets) == 2


@pytest.mark.parametrize("data", [{}, None, {"files": None}, {"session_state_applied": True}, []])
async def test_an_upload_need_not_be_told_of(data: object) -> None:
    """Only the vendor's documents mention `files`: a client must not depend on it."""
    async with serving(always(answer({"code": 0, "data": data}))) as server, client_of(server.url) as client:
        assert await client.upload_urls("s", ["https://x.test"]) == []


async def test_the_draft_goes_back_as_it_came() -> None:
    """Unknown keys, nulls, numbers and even halves of characters survive both ways."""
    async with (
        serving(
            always(answer({"data": {"state": {"draft": DRAFT}}, "code": 0}), answer({"status": "pending"}))
        ) as server,
        client_of(server.url) as client,
    ):
        draft = (await client.state("s")).draft
        assert draft is not None
        await client.submit_render("r", "s", draft, {})

    assert server.asked[1].json["draft"] == DRAFT
    assert b'"x":1.0' in server.asked[1].body


async def test_the_platform_is_told_when_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """SKILL_SOURCE on every request."""
    monkeypatch.setenv("SKILL_SOURCE", "comfyui")
    async with (
        serving(always(answer({"code": 0, "data": {"available": 1}}))) as server,
        client_of(server.url) as client,
    ):
        await client.balance()

    assert server.asked[0].headers["x-skill-platform"] == "comfyui"


@pytest.mark.parametrize("value", ["", ".", "..", "x" * 513])
async def test_ids_that_would_change_a_path_are_refused(value: str) -> None:
    """Nothing is sent for them."""
    async with client_of("http://127.0.0.1:9") as client:
        with pytest.raises(InputError):
            await client.render(value)


WRONG: list[tuple[str, object, Callable[[NemoClient], Awaitable[Any]]]] = [
    ("session", {"code": 0, "data": {"session_id": ["s"]}}, lambda client: client.create_session("en")),
    ("session", {"code": 0, "data": None}, lambda client: client.create_session("en")),
    ("state", {"code": 0, "data": {"state": 7}}, lambda client: client.state("s")),
    ("state", {"code": 0, "data": 7}, lambda client: client.state("s")),
    ("balance", {"code": 0, "data": {"available": "SECRET"}}, lambda client: client.balance()),
    ("render", [1], lambda client: client.render("r")),
    ("claim", {"code": 0, "data": {"claim_token": 7.5}}, lambda client: client.claim_token("t", "s")),
    ("upload", {"code": 0, "data": {"files": [7]}}, lambda client: client.upload_urls("s", ["https://x.test"])),
]


@pytest.mark.parametrize(("said", "call"), [row[1:] for row in WRONG if row[0] != "claim"], ids=range(7))
async def test_wrong_types_are_one_clear_error(said: object, call: Any) -> None:
    """The message names the call and the field, not the value."""
    async with serving(always(answer(said))) as server, client_of(server.url) as client:  # type: ignore[arg-type]
        with pytest.raises(BadAnswer, match="that this version does not know") as caught:
            await call(client)
    assert "SECRET" not in str(caught.value)


# --- The stream -----------------------------------------------------------------------------------------------------


async def test_a_stream_is_read_event_by_event() -> None:
    """Every piece that arrives is a sign of life; a last event without its end counts; the close is the end."""
    recorded = (WIRE / "generate.sse").read_bytes()
    async with serving(always(stream(recorded.rstrip(b"\n")))) as server, client_of(server.url) as client:
        events = await drained(client, "go")

    assert isinstance(events[0], Heartbeat)
    assert [event.name for event in events if isinstance(event, ToolCall)] == [
        "generate_video_with_seedance",
        "edit_multitrack",
    ]
    assert [event for event in events if isinstance(event, Text)][-1].text.endswith("click Export to save it.")


async def test_a_message_goes_out_on_a_connection_of_its_own() -> None:
    """A pooled one may be stale, which would make a harmless failure a message that may be out."""
    said = [answer({"code": 0, "data": {"available": 1}}), stream(b"data: \n\n"), stream(b"data: \n\n")]
    async with serving(always(*said)) as server, client_of(server.url) as client:
        await client.balance()
        await drained(client, "one")
        await drained(client, "two")

    assert server.connections == 3


FAULTS = {
    "1001": answer({"code": 1001}), "401": answer({"detail": "no"}, 401), "429": answer({}, 429),
    "503": answer({}, 503),
    "redirect": answer(b"", 307, location="/run_sse"), "html": answer(b"<html>", 502, content_type="text/html"),
    "cut json": answer(b'{"code"', content_type="application/json"), "no stream": answer({"code": 0, "data": {}}),
    "nothing": b"", "cut head": b"HTTP/1.1 200 OK\r\nContent-", "garbage": b"\x00\xff\r\n\r\n",
    "cut stream": stream(b"data: x\n\n", content_length=99),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_message_is_never_sent_twice(fault: str) -> None:
    """Whatever is wrong with the answer: one POST, no redirect, no new token, no pause and again."""
    clock = Clock()

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(FAULTS[fault])
        if FAULTS[fault][-4:] != b"\r\n\r\n":
            writer.close()

    async with serving(reply) as server, client_of(server.url, clock) as client:
        with pytest.raises(NemoError) as caught:
            await drained(client, "go")

    assert [asked.path for asked in server.asked] == ["/run_sse"]
    assert clock.slept == []
    assert not caught.value.id.startswith("connect-")


async def test_a_refused_token_names_its_profile() -> None:
    """Also where the message itself was refused."""
    async with serving(always(answer({"code": 1001}))) as server, client_of(server.url) as client:
        with pytest.raises(SignInError, match="The token of profile 'nemo'"):
            await drained(client, "go")


async def test_a_refusal_in_the_place_of_a_stream_is_typed() -> None:
    """HTTP 200 and an envelope."""
    async with serving(always(answer({"code": 2001, "message": "no"}))) as server, client_of(server.url) as client:
        with pytest.raises(NoCredits):
            await drained(client, "go")


async def test_an_event_that_is_too_large_does_not_hang_up() -> None:
    """The run goes on only as its events are taken: the rest is read, then told as broken."""
    written = asyncio.Event()

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(40):
            chunk = b"data: " + b"x" * MAX_EVENT_BYTES if number == 0 else b"x" * 50_000
            writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        written.set()

    async with serving(reply) as server, client_of(server.url) as client:
        with pytest.raises(ConnectionBroken, match="more than"):
            await drained(client, "go")
        assert written.is_set()


async def test_a_prompt_that_is_too_long_is_not_sent() -> None:
    """The message names the limit and the length."""
    async with client_of("http://127.0.0.1:9") as client:
        with pytest.raises(InputError, match="100001 characters, but at most 100000"):
            await drained(client, "x" * 100_001)


async def test_halves_of_characters_in_a_prompt_do_not_break_the_message() -> None:
    """They cannot be written as UTF-8."""
    async with serving(always(stream(b"data: \n\n"))) as server, client_of(server.url) as client:
        await drained(client, "a\ud83db")

    assert json.loads(server.asked[0].body)["new_message"] == {"parts": [{"text": "a?b"}]}


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 226])
async def test_an_event_stream_under_any_2xx_is_read(status: int) -> None:
    """Gateways answer 201 or 202 to a POST; what is in the stream is what counts."""
    body = b'data: {"type": "text", "content": "Hello"}\n\n'
    async with (
        serving(always(stream(body, status, connection="close"))) as server,
        client_of(server.url) as client,
        client.run("s", "go") as events,
    ):
        heard = [event async for event in events]

    assert [event.text for event in heard if isinstance(event, Text)] == ["Hello"]

"""What a hostile or broken backend can send: bounded memory and time, and a typed error."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nemo_client import (
    BadAnswer,
    Caller,
    ConnectionBroken,
    InputError,
    NemoError,
    RenderFailed,
    ResultUnknown,
    TransportError,
    Wish,
)
from nemo_client._config.credentials import Token
from nemo_client._safety.json_limits import MAX_VALUES
from nemo_client._safety.redaction import redact
from nemo_client._wire.decompression import PIECE, Decoder, Undecodable, run_within
from nemo_client._wire.download import Download
from nemo_client._wire.schemas import AnonymousToken, State
from nemo_client._wire.sse import MAX_EVENT_BYTES, Heartbeat, Text, ToolCall, ToolResult, Unknown, parse_event
from nemo_client._wire.turn import MAX_CALLS, MAX_REPLY_CHARACTERS, Turn
from tests.support.backend import Asked, Cloud, Seen, always, answer, client_of, cloud, picture, serving
from tests.support.timings import Shorten
from tests.support.waiting import measure_growth

__all__ = ["cloud"]
Clouds = Callable[..., Cloud]

MEGABYTE = 1024 * 1024
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def at_most(megabytes: float) -> Iterator[None]:
    """The block allocates no more than that at any moment, the test's own server included."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * MEGABYTE, f"{peak / MEGABYTE:.0f} MB"


@asynccontextmanager
async def sending(head: bytes, *chunks: bytes, times: int = 1, pause: float = 0.0) -> AsyncIterator[Any]:
    """A client of a server that answers everything with `head`, then `chunks` as often as `times` says."""

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for _ in range(times):
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(pause)
        writer.close()

    async with serving(reply) as server, client_of(server.url) as client:
        yield client


async def events_of(client: Any) -> list[Any]:
    async with client.run("s", "go") as events:
        return [event async for event in events if not isinstance(event, Heartbeat)]


# --- Event streams ------------------------------------------------------------------------------------------------


async def test_an_event_of_a_hundred_megabytes_is_not_kept() -> None:
    """16 MB are; the stream is read to its end all the same, and told as broken: the state decides."""
    async with sending(STREAM + b"data: ", b"x" * MEGABYTE, times=100) as client:
        with at_most(5 * MAX_EVENT_BYTES / MEGABYTE), pytest.raises(ConnectionBroken, match="16777216 bytes"):
            await events_of(client)


async def test_a_line_without_an_end_is_not_kept() -> None:
    """Whatever kind of line it is."""
    async with sending(STREAM + b": ", b"x" * MEGABYTE, times=60) as client:
        with at_most(5 * MAX_EVENT_BYTES / MEGABYTE), pytest.raises(ConnectionBroken) as caught:
            await events_of(client)
    assert caught.value.id == "answer-too-large"


async def test_an_endless_stream_ends(cloud: Clouds, shorten: Shorten) -> None:
    """Heartbeats alone keep no message alive beyond the cap of a stream; it is then looked for in the state."""
    shorten(studio={"stream": 0.5})
    backend = cloud(generation_seconds=3600, pace=0.001)
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(ResultUnknown):
            await studio.generate(session, Wish("slow push-in"), caller=Caller(Seen()))

    assert backend.sent("message") == 1


HOSTILE_EVENTS = {
    "nested 10,000 deep": '{"content":' + '{"a":' * 10_000 + "1" + "}" * 10_001,
    "lists nested 100,000 deep": "[" * 100_000 + "]" * 100_000,
    "a million values and more": "[" + "[]," * MAX_VALUES + "0]",
    "a number of a million digits": '{"type":"text","content":' + "9" * 1_000_000 + "}",
}


@pytest.mark.parametrize("payload", HOSTILE_EVENTS.values(), ids=HOSTILE_EVENTS)
def test_hostile_json_in_an_event_is_unknown(payload: str) -> None:
    """No RecursionError gets out, and no hundred bytes in memory for every three on the wire."""
    with at_most(30):
        assert isinstance(parse_event(payload)[0], Unknown)


def test_a_turn_keeps_a_bounded_part_of_an_endless_answer() -> None:
    """Text, names of tools, open calls, and nothing of calls' arguments."""
    turn = Turn()
    with at_most(40):
        for number in range(MAX_CALLS + 100):
            turn.add(Text("x" * 100_000 + str(number), partial=number % 2 == 0))
            turn.add(Text("", partial=True))
            turn.add(ToolCall(str(number), "n" * 5000, {"prompt": "y" * 50_000 + str(number)}))
        reply = turn.reply

    assert MAX_REPLY_CHARACTERS * 0.9 < len(reply) <= MAX_REPLY_CHARACTERS
    assert len(turn.tools) == MAX_CALLS
    assert len(turn.open_calls) == MAX_CALLS + 1


def test_too_many_open_calls_never_pass_for_closed_ones() -> None:
    """Which of them still work is not known any more: the turn stays open, and the state decides."""
    turn = Turn()
    for number in range(MAX_CALLS + 5):
        turn.add(ToolCall(str(number), "cut"))
    for number in range(MAX_CALLS + 5):
        turn.add(ToolResult(str(number), "cut"))

    assert len(turn.open_calls) == 1


def test_a_reply_cannot_command_a_terminal() -> None:
    """Escape sequences are taken out, line ends and tabs stay."""
    turn = Turn()
    turn.add(Text("a\x1b]0;title\x07\r\n\tb\x00\x9b31mc"))

    assert turn.reply == "a]0;title\n\tb31mc"


async def test_a_stream_under_another_status_proves_no_refusal() -> None:
    """Only a whole answer that is no stream does: the work of this one may be under way."""
    body = b'data: {"type":"text","content":"Working"}\n\n'
    for status in (400, 401, 404, 429):
        said = answer(body, status, content_type="text/event-stream")
        async with serving(always(said)) as server, client_of(server.url) as client:
            with pytest.raises(BadAnswer, match=f"HTTP {status}"):
                await events_of(client)


# --- Encoded answers ----------------------------------------------------------------------------------------------


@cache
def bomb(encoding: str) -> bytes:
    """A body that is 64 MB of nothing once its encodings are undone."""
    if encoding == "deflate":
        return zlib.compress(bytes(64 * MEGABYTE), 9)
    return gzip.compress(bomb("gzip"), 9) if encoding == "gzip, gzip" else gzip.compress(bytes(64 * MEGABYTE), 9)


@pytest.mark.parametrize(
    ("encoding", "body", "text_id"),
    [
        ("gzip", None, "answer-too-large"),
        pytest.param("x-gzip", None, "answer-too-large", marks=pytest.mark.long),
        pytest.param("deflate", None, "answer-too-large", marks=pytest.mark.long),
        ("gzip, gzip", None, "answer-wrong-shape"),
        ("br", b"\x1b\xff\xff", "answer-wrong-shape"),
        ("zstd", b"\x28\xb5\x2f\xfd", "answer-wrong-shape"),
        ("gzip", b"no gzip at all", "answer-broken"),
    ],
    ids=["gzip", "x-gzip", "deflate", "gzip in gzip", "br", "zstd", "not gzip"],
)
async def test_a_compressed_bomb_is_bounded(encoding: str, body: bytes | None, text_id: str) -> None:
    """httpx undoes a chunk at a time, whatever comes of it, and any number of encodings on top of each other."""
    said = answer(body or bomb(encoding), content_encoding=encoding, content_type="application/json")
    async with serving(always(said)) as server, client_of(server.url) as client:
        with at_most(130), pytest.raises(TransportError) as caught:
            await client.balance()

    assert caught.value.id == text_id


async def test_a_compressed_bomb_in_a_stream_is_bounded() -> None:
    """A stream is asked for as it is; one that is encoded all the same is read with the same bounds."""
    head = STREAM.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    async with sending(head, bomb("gzip")) as client:
        with at_most(6 * MAX_EVENT_BYTES / MEGABYTE), pytest.raises(ConnectionBroken) as caught:
            await events_of(client)
    assert caught.value.id == "answer-too-large"

    small = gzip.compress(b'data: {"type":"text","content":"hi"}\n\n')
    async with sending(head, small) as client:
        assert await events_of(client) == [Text("hi", partial=True)]

    async with sending(head.replace(b"gzip", b"br"), small, times=3) as client:
        with pytest.raises(ConnectionBroken) as broken:
            await events_of(client)
    assert broken.value.id == "answer-broken"


async def test_a_compressed_refusal_of_a_download_is_bounded(tmp_path: Path) -> None:
    """A film itself is never undone: it lands as it came, and is judged as a video."""

    async def headers() -> dict[str, str]:
        return {}

    said = answer(bomb("gzip"), content_encoding="gzip", content_type="application/json")
    async with serving(always(said)) as server:
        download = Download(f"{server.url}/x", tmp_path / "film", near=server.url, headers=headers)
        with at_most(40), pytest.raises(BadAnswer):
            await download.run()
        size = await Download(f"{server.url}/x", tmp_path / "film", near=server.url).run()

    assert size == len(bomb("gzip"))


@pytest.mark.parametrize("cut", [1, 7, 1000, MEGABYTE])
@pytest.mark.parametrize("kind", ["gzip", "deflate", "raw deflate", "two members", ""])
def test_encodings_are_undone_whatever_their_cut(kind: str, cut: int) -> None:
    """Also without the wrapping that `deflate` promises, and with several members; never more than PIECE at a time."""
    plain = b"".join(b'{"number": %d}' % number for number in range(60_000)) + bytes(3 * PIECE)
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    encoded = {
        "gzip": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "raw deflate": raw.compress(plain) + raw.flush(),
        "two members": gzip.compress(plain[:1000]) + gzip.compress(plain[1000:]) + b"\0\0",
        "": plain,
    }[kind]
    decoder = Decoder({"raw deflate": "Deflate ", "two members": "gzip"}.get(kind, kind))

    pieces = [piece for at in range(0, len(encoded), cut) for piece in decoder.feed(encoded[at : at + cut])]

    assert b"".join(pieces) == plain
    assert kind == "" or max(map(len, pieces)) <= PIECE


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_bytes_that_are_not_encoded_so_are_told(encoding: str) -> None:
    """From the first byte on, or at the end by its checksum."""
    packed = gzip.compress(b"words" * 1000) if encoding == "gzip" else zlib.compress(b"words" * 1000)

    for damaged in (b"\xff" * 20, packed[:-4] + b"\0\1\2\3"):
        with pytest.raises(Undecodable):
            list(Decoder(encoding).feed(damaged))


# --- Answers that do not end --------------------------------------------------------------------------------------

TRICKLES = {
    "a body, byte by byte": (JSON + b"Content-Length: 100000\r\n\r\n", b"x"),
    "headers, byte by byte": (JSON + b"X-Odd: ", b"x"),
    "go on, go on, go on": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
}


@pytest.mark.parametrize(("head", "chunk"), TRICKLES.values(), ids=TRICKLES)
async def test_an_answer_that_never_ends_is_given_up(head: bytes, chunk: bytes, shorten: Shorten) -> None:
    """A byte now and then keeps no call alive: each has its time in all."""
    shorten(wire={"answer": 0.3, "attempts": 1})
    async with sending(head, chunk, times=10_000, pause=0.02) as client:
        with pytest.raises(ConnectionBroken) as caught:
            await client.balance()

    assert caught.value.id == "answer-timeout"


async def test_an_upload_has_time_for_its_bytes(shorten: Shorten) -> None:
    """A slow line is no answer that never ends: a body is allowed a second for each SLOWEST_UPLOAD bytes."""
    shorten(wire={"answer": 0.1})

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.4)
        writer.write(answer({"code": 0, "data": {"files": []}}))

    async with serving(reply) as server, client_of(server.url) as client:
        assert await client.upload_files("s", [picture(height=400, width=400).part]) == []


async def test_a_download_that_trickles_is_given_up(tmp_path: Path, shorten: Shorten) -> None:
    """However many pieces it is cut into; one that moves has all the time it needs."""
    shorten(wire={"download": 0.4})

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 1000000\r\n\r\n')
        for _ in range(10_000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.close()

    async with serving(reply) as server:
        with pytest.raises(TransportError) as caught:
            await Download(server.url, tmp_path / "film", near=server.url, sleep=_at_once).run()
    assert caught.value.id == "answer-timeout"

    late = iter([0.0, *[100.0 * step for step in range(1, 1000)]])
    async with serving(always(answer(bytes(8 * MEGABYTE), etag='"1"'))) as server:
        shorten(wire={"slowest_download": 1})
        moving = Download(server.url, tmp_path / "film", near=server.url, clock=lambda: next(late))
        assert await moving.run() == 8 * MEGABYTE


async def _at_once(_: float) -> None:
    await asyncio.sleep(0)


async def test_a_wait_that_ends_leaves_nothing_running() -> None:
    """Also where the caller is cancelled in the moment in which the work ends: the cancel is not lost."""
    ended: list[str] = []

    async def work(seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        finally:
            ended.append("ended")
        return "done"

    assert await run_within(5, work(0)) == "done"
    with pytest.raises(asyncio.TimeoutError):
        await run_within(0.01, work(60))
    waiting = asyncio.ensure_future(run_within(5, work(0.01)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == ["ended"] * 3


# --- Whole answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":0,"data":{"available":' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
        b'{"code":0,"data":' + b'{"state":' * 900 + b"1" + b"}" * 901,
        b'{"code":0,"data":[' + b"[]," * (4 * MAX_VALUES) + b"0]}",
        b'{"code":0,"data":{"available":' + b"9" * 10_000 + b"}}",
    ],
    ids=["10,000 lists", "900 objects", "four million values", "a number of 10,000 digits"],
)
async def test_hostile_json_is_no_answer(body: bytes) -> None:
    """900 levels pass Python's own limit in some places, and break it in others: one limit for all."""
    said = answer(body, content_type="application/json")
    async with serving(always(said)) as server, client_of(server.url) as client:
        with at_most(100), pytest.raises(BadAnswer) as caught:
            await client.balance()

    assert caught.value.id == "answer-not-json"


def test_reasons_of_a_megabyte_are_looked_at_in_linear_time() -> None:
    """One long run of addresses took the square of its length."""
    for piece in ("https://", "bearer ", "https://u:"):
        assert measure_growth(redact, piece * 12_500, piece * 50_000) < 10


@pytest.mark.parametrize("expires", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_a_token_of_the_first_or_the_last_day_can_be_judged(expires: str) -> None:
    """There is no minute before the first one."""
    token = AnonymousToken.model_validate({"token": "t", "expires_at": expires})

    assert Token("t", "anonymous", "", token.expires_at).expired(datetime.now(timezone.utc)) is expires.startswith("0")


@pytest.mark.parametrize("user", ["\ud800", "x" * 5000, ["u"], True, {}, "a\nb"])
def test_an_odd_user_costs_no_token(user: object) -> None:
    """There is one a week, and the name is only for a link."""
    assert AnonymousToken.model_validate({"token": "t", "user_id": user}).user_id == ""


def test_a_field_called_raw_hides_no_state() -> None:
    """Read as an empty one, a finished generation would count as nothing made."""
    draft = {"t": [{"tt": 0, "sg": [{"d": 1}]}]}

    assert State.model_validate({"raw": {}, "state": {"draft": draft}}).draft == draft


@pytest.mark.parametrize("session", ["\ud800", "a\nb", "..", "x" * 513, ""])
async def test_an_odd_session_is_one_error(session: str) -> None:
    """It would change the path, or cannot be written."""
    async with client_of("http://127.0.0.1:9") as client:
        with pytest.raises(InputError):
            await client.state(session)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "half \ud83d", 10**400, [[]] * 50])
async def test_an_odd_value_in_a_draft_costs_no_video(cloud: Clouds, value: object, tmp_path: Path) -> None:
    """The draft is opaque: what the journal keeps of it, the database and JSON must take, after the message is paid."""
    backend = cloud()
    backend.fault("wrong_types", "state", count=None, field="data.state.draft.m.odd", value=value)
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        turned = await studio.generate(session, Wish("slow push-in"))
        again = await studio.generate(session, Wish("slow push-in"))

    assert again.session == turned.session
    assert json.dumps(turned.timeline)
    assert (backend.sent("message"), len(backend.ledger.charges)) == (1, 1)


async def test_a_prompt_of_a_megabyte_costs_nothing(cloud: Clouds) -> None:
    """It is refused before anything is planned, and nothing of it is kept."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(InputError, match="1000000 characters, but at most 100000"):
            await studio.generate(session, Wish("x" * 1_000_000))
        kept = await studio._context.journal.recent()

    assert {each.kind for each in kept} <= {"upload"}
    assert backend.sent("message") == 0


@pytest.mark.parametrize(
    "prompt", ["push in \ud83d", "\0push\0 in", "push\x1b[31m in\x07", "\u202epush in\ufeff", "push \udc00\ud800"]
)
async def test_any_character_of_a_prompt_can_be_sent_and_kept(cloud: Clouds, prompt: str) -> None:
    """Halves of characters (a box that cuts a text makes them), NUL and controls: one message, found again."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        turned = await studio.generate(session, Wish(prompt))
        again = await studio.generate(session, Wish(prompt))

    assert (again.session, again.reused) == (turned.session, True)
    assert backend.sent("message") == 1


async def test_a_video_of_gigantic_pictures_is_not_decoded(tmp_path: Path) -> None:
    """A GIF of a few bytes can say that it has four gigapixels."""
    from nemo_client._files.save import check_video

    screen = (65535).to_bytes(2, "little") * 2
    film = tmp_path / "film.gif"
    film.write_bytes(b"GIF89a" + screen + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + screen + b"\0\x02\x02D\x01\0;")

    with pytest.raises(RenderFailed) as caught:
        check_video(film)
    assert caught.value.id == "video-broken"


async def test_errors_of_limits_have_words_in_both_languages() -> None:
    """Each ends in what it cost."""
    for error in (
        ConnectionBroken("answer-too-large", host="h", call="the state", limit=5),
        BadAnswer("answer-wrong-shape", host="h", call="the state", reason="it is encoded as br"),
        InputError("tensor-kind", given="uint8"),
        InputError("no-handle", name="auth", given="dict"),
        InputError("no-tensor", given="list"),
    ):
        assert isinstance(error, NemoError)
        assert error.text("en").endswith("Nothing was charged.")
        assert error.text("zh") != error.text("en")
        assert "?" not in error.text("zh") + error.text("en")

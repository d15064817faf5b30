"""Files over the wire: uploads in constant memory, downloads that resume, bounded and without the token."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore
import pytest

from nemo_client import (
    BadAnswer,
    ConnectionBroken,
    DiskError,
    InputError,
    NemoError,
    PlanError,
    RenderFailed,
    SignInError,
)
from nemo_client._wire import download as download_module
from nemo_client._wire import upload as upload_module
from nemo_client._wire.download import Download, check_url, resolve_address
from nemo_client._wire.net.streams import SocketStream, WholeWrites, is_readable
from nemo_client._wire.upload import CHUNK, Multipart, UploadPart
from tests.support.backend import TOKEN, Asked, Clock, always, answer, bytes_of, client_of, serving

FILM = bytes(range(256)) * 4000
TAG = '"v1"'


class FileServer:
    """Serves `film` with ranges; `plan` gives, for each request, after how many bytes of the body it hangs up."""

    def __init__(self, film: bytes = FILM, plan: tuple[int | None, ...] = (), tag: str = TAG, **rest: object) -> None:
        self.film = film
        self.tag = tag
        self.plan = list(plan)
        self.heeds_if_range = True
        self.ranges = True
        self.headers = rest
        self.before: Callable[[int], None] = lambda number: None
        self.count = 0

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        self.before(self.count)
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("range", ""))
        fresh = not self.heeds_if_range or asked.headers.get("if-range") == self.tag
        if wanted and fresh and self.ranges:
            start = int(wanted[1])
            if start >= len(self.film):
                writer.write(answer(b"", 416, content_range=f"bytes */{len(self.film)}"))
                return
        body = self.film[start:]
        more = {"content_range": f"bytes {start}-{len(self.film) - 1}/{len(self.film)}"} if start else {}
        whole = answer(body, 206 if start else 200, etag=self.tag, **more, **self.headers)  # type: ignore[arg-type]
        cut = self.plan.pop(0) if self.plan else None
        if cut is None:
            writer.write(whole)
            return
        writer.write(whole[: len(whole) - len(body) + cut])
        await writer.drain()
        writer.close()


@asynccontextmanager
async def fetched(
    server: Callable[[Asked, asyncio.StreamWriter], object], path: Path, **options: object
) -> AsyncIterator[tuple[Download, list[Asked], Clock]]:
    clock = Clock()
    async with serving(server) as raw:  # type: ignore[arg-type]
        url = f"{raw.url}/film.mp4?sig=x"
        yield Download(url, path, near=raw.url, sleep=clock.sleep, **options), raw.asked, clock  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "film.part"


async def test_a_file_comes_whole_and_without_a_token(path: Path) -> None:
    """Output addresses are signed by themselves; progress is told in bytes."""
    seen: list[tuple[int, int | None]] = []
    server = FileServer()
    async with fetched(server, path, on_bytes=lambda have, total: seen.append((have, total))) as (download, asked, _):
        assert await download.run() == len(FILM)

    assert bytes_of(path) == FILM
    assert seen[-1] == (len(FILM), len(FILM))
    assert not {"authorization", "x-client-id"} & asked[0].headers.keys()
    assert asked[0].headers["accept-encoding"] == "identity"


async def test_a_large_file_comes_in_large_pieces(path: Path) -> None:
    """More than the 64 KiB that httpcore asks for: each piece costs a round through its layers."""
    seen = [0]
    server = FileServer(FILM * 4)
    async with fetched(server, path, on_bytes=lambda have, _: seen.append(have)) as (download, _, __):
        await download.run()

    assert bytes_of(path) == FILM * 4
    assert max(have - before for before, have in pairwise(seen)) > 64 * 1024


async def test_a_broken_download_goes_on_where_it_broke(path: Path) -> None:
    """Range with If-Range and a strong validator: nothing is fetched twice."""
    server = FileServer(plan=(300_000, 200_000, None))
    async with fetched(server, path) as (download, asked, clock):
        await download.run()

    assert bytes_of(path) == FILM
    assert [(each.headers.get("range"), each.headers.get("if-range")) for each in asked] == [
        (None, None),
        ("bytes=300000-", TAG),
        ("bytes=500000-", TAG),
    ]
    assert len(clock.slept) == 2


@pytest.mark.parametrize("tag", ['W/"v1"', ""], ids=["weak", "none"])
async def test_without_a_strong_validator_it_starts_over(tag: str, path: Path) -> None:
    """Two halves of two files would make a broken video."""
    server = FileServer(plan=(300_000, None), tag=tag)
    async with fetched(server, path) as (download, asked, _):
        await download.run()

    assert bytes_of(path) == FILM
    assert "range" not in asked[1].headers


@pytest.mark.parametrize("heeds", [True, False], ids=["server heeds If-Range", "server ignores If-Range"])
@pytest.mark.parametrize("size", [100_000, 2_000_000], ids=["shorter", "longer"])
async def test_a_file_that_changed_meanwhile_starts_over(heeds: bool, size: int, path: Path) -> None:
    """A 200 replaces what was there, and a 206 of another version is not taken."""
    server = FileServer(plan=(300_000, None, None))
    server.heeds_if_range = heeds

    def change(number: int) -> None:
        if number == 2:
            server.film, server.tag = b"n" * size, '"v2"'

    server.before = change
    async with fetched(server, path) as (download, _, __):
        assert await download.run() == size

    assert bytes_of(path) == b"n" * size


async def test_a_server_without_ranges_starts_over(path: Path) -> None:
    """Its 200 is the whole file."""
    server = FileServer(plan=(300_000, None))
    server.ranges = False
    async with fetched(server, path) as (download, _, __):
        await download.run()

    assert bytes_of(path) == FILM


async def test_a_range_that_is_not_the_one_asked_for_is_not_taken(path: Path) -> None:
    """Bytes at the wrong place would go unnoticed."""
    first = answer(FILM[:1000], etag=TAG, content_length=len(FILM))
    wrong = answer(FILM[500:], 206, etag=TAG, content_range=f"bytes 500-{len(FILM) - 1}/{len(FILM)}")
    left = [first, wrong, answer(FILM, etag=TAG)]

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    async with fetched(reply, path) as (download, asked, _):
        await download.run()

    assert bytes_of(path) == FILM
    assert "range" not in asked[2].headers


async def test_a_file_that_was_whole_already_is_done(path: Path) -> None:
    """416 with the size we have: only the end of the connection was lost."""
    server = FileServer(plan=(len(FILM),))
    server.headers = {"content_length": None, "transfer_encoding": None}
    left = [
        answer(FILM, etag=TAG, content_length=len(FILM) + 1),
        answer(b"", 416, content_range=f"bytes */{len(FILM)}"),
    ]

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    async with fetched(reply, path) as (download, _, __):
        assert await download.run() == len(FILM)
    assert bytes_of(path) == FILM


async def test_a_416_for_another_size_starts_over(path: Path) -> None:
    """The file shrank."""
    left = [
        answer(FILM, etag=TAG, content_length=len(FILM) + 9),
        answer(b"", 416, content_range="bytes */5"),
        answer(b"small"),
    ]

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    async with fetched(reply, path) as (download, _, __):
        assert await download.run() == 5
    assert bytes_of(path) == b"small"


async def test_it_gives_up_when_no_more_bytes_come(path: Path) -> None:
    """The count of tries begins again only when there was progress; pauses are bounded."""
    async with fetched(FileServer(plan=(0,) * 50), path) as (download, asked, clock):
        with pytest.raises(ConnectionBroken, match="download"):
            await download.run()
    assert len(asked) == 6
    assert max(clock.slept) <= 10
    assert sum(clock.slept) >= 30

    async with fetched(FileServer(plan=(50_000,) * 50), path) as (download, asked, _):
        await download.run()
    assert len(asked) == -(-len(FILM) // 50_000)


async def test_a_stalled_server_is_not_waited_for_for_ever(path: Path) -> None:
    """Without a byte for a while the connection counts as broken."""
    stalled = 0

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal stalled
        stalled += 1
        if stalled > 1:
            await FileServer()(asked, writer)
            return
        writer.write(answer(FILM[:5000], etag=TAG, content_length=len(FILM)))
        await writer.drain()
        await asyncio.sleep(30)

    async with fetched(reply, path, idle_seconds=0.2) as (download, asked, _):
        await download.run()

    assert bytes_of(path) == FILM
    assert asked[1].headers["range"] == "bytes=5000-"


@pytest.mark.parametrize("told", [True, False], ids=["length told", "length not told"])
async def test_a_body_without_end_is_bounded(told: bool, path: Path) -> None:
    """What is more than any video fills no disk."""

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        head = "Content-Length: 90000000000" if told else "Transfer-Encoding: chunked"
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        for _ in range(200):
            writer.write((b"" if told else b"10000\r\n") + b"x" * 0x10000 + (b"" if told else b"\r\n"))
            await writer.drain()

    async with fetched(reply, path, limit=3_000_000) as (download, _, __):
        with pytest.raises(RenderFailed, match="more than 3000000 bytes"):
            await download.run()
    assert told or len(bytes_of(path)) <= 3_000_000 + CHUNK


@pytest.mark.parametrize("status", [401, 403, 404, 410, 302])
async def test_a_refused_address_is_told_at_once(status: int, path: Path) -> None:
    """Expired signatures do not come back; a redirect to nowhere neither."""
    async with fetched(always(answer(b"<Error/>", status, content_type="application/xml")), path) as (
        download,
        asked,
        _,
    ):
        with pytest.raises(RenderFailed, match=f"HTTP {status}"):
            await download.run()
    assert len(asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_in_trouble_is_asked_again(status: int, path: Path) -> None:
    """The file is there."""
    async with fetched(always(answer(b"", status), answer(FILM)), path) as (download, _, clock):
        await download.run()
    assert bytes_of(path) == FILM
    assert clock.slept == [0.5]


@pytest.mark.parametrize("status", [408, 425, 502, 521, 530])
async def test_storage_that_is_away_is_waited_for(status: int, path: Path) -> None:
    """Half a minute, as for other free calls; no pause where it asks for none."""
    async with fetched(always(*[answer(b"", status)] * 5, answer(FILM)), path) as (download, asked, clock):
        await download.run()
    assert (len(asked), sum(clock.slept)) == (6, 33.0)
    async with fetched(always(answer(b"", status, retry_after=0), answer(FILM)), path) as (download, _, clock):
        await download.run()
    assert clock.slept == [0.0]


@pytest.mark.parametrize("packed", ["gzip", "x-gzip", "deflate", "gzip without a word"])
@pytest.mark.parametrize("cut", [None, 2, 3000])
async def test_a_body_that_is_packed_unasked_is_unpacked(packed: str, cut: int | None, path: Path) -> None:
    """Some gateways pack whatever passes, and some storage keeps it so; after a break such a body starts over."""
    body = zlib.compress(FILM) if packed == "deflate" else gzip.compress(FILM)
    told = {} if packed.endswith("word") else {"content_encoding": packed}
    whole = answer(body, **told, etag=TAG)
    left = [whole[: len(whole) - len(body) + cut]] if cut else []

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop() if left else whole)
        await writer.drain()
        writer.close()

    async with fetched(reply, path) as (download, asked, _):
        await download.run()

    assert bytes_of(path) == FILM
    assert all("range" not in each.headers for each in asked)


async def test_an_encoding_that_is_none_is_a_mistake_of_the_server(path: Path) -> None:
    """Storage says `aws-chunked` of files that are not encoded at all."""
    async with fetched(always(answer(FILM, content_encoding="aws-chunked")), path) as (download, _, __):
        await download.run()
    assert bytes_of(path) == FILM


async def test_a_page_in_place_of_a_video_is_told_with_its_address(path: Path) -> None:
    """Host and path, without the signature."""
    page = answer(b"<html>Sign in</html>", content_type="text/html; charset=utf-8")
    async with fetched(always(page), path) as (download, _, __):
        with pytest.raises(RenderFailed, match=r"127\.0\.0\.1:\d+/film\.mp4 answered with a web page") as caught:
            await download.run()
    assert "sig" not in str(caught.value)


@pytest.mark.parametrize("failing", [answer(b"", 403), answer(b"", 503), answer(b"x", content_length=9)])
async def test_the_error_names_the_address_that_failed(failing: bytes, path: Path) -> None:
    """Which of the two it was is half of the answer."""

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(failing)
        await writer.drain()
        writer.close()

    async with fetched(reply, path) as (download, _, __):
        with pytest.raises(NemoError, match=r"127\.0\.0\.1:\d+/film\.mp4") as caught:
            await download.run()
    assert "sig" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("/files/a.mp4", "https://api.test/files/a.mp4"),
        ("files/a.mp4?x=1", "https://api.test/v1/files/a.mp4?x=1"),
        ("./a.mp4", "https://api.test/v1/a.mp4"),
        ("//cdn.test/a.mp4", "https://cdn.test/a.mp4"),
        (" https://cdn.test/a.mp4\n", "https://cdn.test/a.mp4"),
        ("\u200bhttps://cdn.test/a b.mp4?s=1\t2 ", "https://cdn.test/a%20b.mp4?s=12"),
        ('"https://cdn.test/a.mp4"', "https://cdn.test/a.mp4"),
        ("HTTPS://cdn.test/a.mp4", "HTTPS://cdn.test/a.mp4"),
        ("  //cdn.test/a b.mp4", "https://cdn.test/a%20b.mp4"),
        ("ftp://cdn.test/a", "ftp://cdn.test/a"),
    ],
)
def test_an_output_address_is_taken_as_it_is_meant(said: str, meant: str) -> None:
    """Relative to the API, without a scheme, with blanks."""
    assert resolve_address(said, "https://api.test/v1") == meant


async def test_a_redirect_is_followed_without_the_token(path: Path) -> None:
    """The API's own endpoint gets it; the host that it points to does not."""
    async with (
        serving(always(answer(FILM))) as cdn,
        serving(always(answer(b"", 302, location=f"{cdn.url}/film"))) as api,
        client_of(api.url) as client,
    ):
        await client.download_render("render_1", path)

    assert bytes_of(path) == FILM
    assert api.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert not {"authorization", "x-client-id", "x-skill-source"} & cdn.asked[0].headers.keys()


async def test_a_resumed_download_of_the_apis_endpoint_stays_signed_in(path: Path) -> None:
    """Each try asks for the headers again."""
    server = FileServer(plan=(300_000, None))
    async with serving(server) as api, client_of(api.url) as client:
        await client.download_render("render_1", path)

    assert bytes_of(path) == FILM
    assert [asked.headers.get("authorization") for asked in api.asked] == [f"Bearer {TOKEN}"] * 2
    assert api.asked[1].headers["range"] == "bytes=300000-"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer({"code": 1001, "message": "expired"}), SignInError),
        (answer({"success": False, "error": "plan"}, 402), PlanError),
        (answer({"status": "processing"}), BadAnswer),
    ],
    ids=["1001 with HTTP 200", "402", "data"],
)
async def test_a_refusal_of_the_apis_endpoint_is_typed(said: bytes, error: type[Exception], path: Path) -> None:
    """Saved as a video it would only be a damaged one."""
    async with serving(always(said)) as api, client_of(api.url) as client:
        with pytest.raises(error):
            await client.download_render("render_1", path)


async def test_redirects_end(path: Path) -> None:
    """In a circle, too."""
    async with fetched(always(answer(b"", 302, location="/again")), path) as (download, asked, _):
        with pytest.raises(RenderFailed, match="too many redirects"):
            await download.run()
    assert len(asked) == 6


API = "https://api.test"


@pytest.mark.parametrize(
    ("url", "near", "reason"),
    [
        ("http://cdn.test/v", API, "not encrypted"),
        ("ftp://cdn.test/v", API, "plain http"),
        ("file:///etc/passwd", API, "plain http"),
        ("https://me:pw@cdn.test/v", API, "plain http"),
        ("https://127.0.0.1/v", API, "this machine"),
        ("https://localhost/v", API, "this machine"),
        ("https://[::1]/v", API, "this machine"),
        ("https://[::1", API, "not an address"),
        ("https://cdn.test:99999/", API, "not an address"),
        ("https://cdn.test/\x01", API, "not an address"),
        ("", API, "plain http"),
        ("//cdn.test/v", API, "plain http"),
    ],
)
def test_a_download_goes_only_where_it_may(url: str, near: str, reason: str) -> None:
    """A backend must not make this machine open its own services, nor lead off TLS."""
    with pytest.raises(RenderFailed, match=reason):
        check_url(url, near)


def test_a_download_may_go_to_other_hosts() -> None:
    """Clouds keep files elsewhere; a backend on this machine may keep them here, without TLS."""
    for url, near in (("https://cdn.test/v?s=1", API), ("http://127.0.0.1:9/v", "http://localhost:8")):
        assert check_url(url, near) == url


async def test_a_redirect_off_tls_or_to_this_machine_is_not_followed(path: Path) -> None:
    """Checked at every hop."""
    async with fetched(always(answer(b"", 302, location="ftp://x.test/v")), path) as (download, asked, _):
        with pytest.raises(RenderFailed, match="not allowed"):
            await download.run()
    assert len(asked) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
async def test_a_full_disk_is_told_as_one() -> None:
    """Whether the file is larger than a buffer or not."""
    for film in (FILM, b"small"):
        async with fetched(always(answer(film)), Path("/dev/full")) as (download, asked, _):
            with pytest.raises(DiskError, match="disk is full") as caught:
                await download.run()
        assert (caught.value.exit_code, len(asked)) == (6, 1)


async def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    """Removed while the render ran."""
    async with fetched(always(answer(FILM)), tmp_path / "gone" / "f") as (download, _, __):
        with pytest.raises(DiskError, match="cannot be written"):
            await download.run()


# --- Uploads --------------------------------------------------------------------------------------------------------


async def test_an_upload_streams_in_constant_memory(tmp_path: Path) -> None:
    """150 MB pass through a few chunks of one."""
    size = 150 * 1024 * 1024
    with (tmp_path / "big.mp4").open("wb") as file:
        file.truncate(size)
    body = Multipart([UploadPart("big.mp4", "video/mp4", tmp_path / "big.mp4")])
    tracemalloc.start()
    sent = 0
    async for chunk in body.stream():
        sent += len(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sent == body.length
    assert peak < 8 * CHUNK


async def test_progress_of_an_upload_counts_bytes(tmp_path: Path) -> None:
    """Up to the whole, within the few bytes of the envelope."""
    seen: list[tuple[int, int | None]] = []
    body = Multipart([UploadPart("a", "x", b"x" * (CHUNK + 1))], lambda sent, total: seen.append((sent, total)))
    _ = [chunk async for chunk in body.stream()]

    assert [sent for sent, _ in seen] == [CHUNK, CHUNK + 1]
    assert seen[-1][1] == body.length


@pytest.mark.parametrize("change", [b"", b"x" * 20], ids=["shrinks", "grows"])
async def test_a_file_that_changes_while_it_is_sent_is_an_error(change: bytes, tmp_path: Path) -> None:
    """Its length was announced, its pixels are in the step's key."""
    (tmp_path / "a.mp4").write_bytes(b"x" * 10)
    body = Multipart([UploadPart("a.mp4", "video/mp4", tmp_path / "a.mp4")])
    (tmp_path / "a.mp4").write_bytes(change)

    with pytest.raises(InputError, match="changed while being sent"):
        _ = [chunk async for chunk in body.stream()]


async def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """Before it is sent, and while."""
    part = UploadPart("a.mp4", "video/mp4", tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a\.mp4 cannot be read: No such file"):
        Multipart([part])

    (tmp_path / "a.mp4").write_bytes(b"x")
    body = Multipart([part])
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(InputError, match=r"a\.mp4 cannot be read"):
        _ = [chunk async for chunk in body.stream()]


async def test_a_large_download_goes_to_the_disk_in_few_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hop to another thread a batch, however small the pieces are that come; and no byte is lost or moved."""
    batches: list[int] = []
    put = download_module._write_chunk

    def counting(file: Any, chunk: memoryview, target: Path) -> None:
        batches.append(len(chunk))
        put(file, chunk, target)

    monkeypatch.setattr(download_module, "_write_chunk", counting)
    film = os.urandom(3 * download_module.BATCH + 12345)

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n' % len(film))
        for start in range(0, len(film), 50_000):
            writer.write(film[start : start + 50_000])
            await writer.drain()
        writer.close()

    async with serving(reply) as server:
        size = await Download(server.url, tmp_path / "film", near=server.url).run()

    assert (tmp_path / "film").read_bytes() == film
    assert size == len(film)
    assert batches == [*[download_module.BATCH] * 3, 12345]


async def test_a_large_body_is_read_into_the_files_own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an answer of known length only the first piece comes by httpcore, which copies each; the rest does not."""
    copied: list[int] = []
    write = download_module.BatchedFile.write

    async def counting(self: Any, data: bytes) -> None:
        copied.append(len(data))
        await write(self, data)

    monkeypatch.setattr(download_module.BatchedFile, "write", counting)
    film = os.urandom(2_000_000)
    async with serving(always(answer(film))) as server:
        await Download(server.url, tmp_path / "film", near=server.url).run()

    assert (tmp_path / "film").read_bytes() == film
    assert len(copied) == 1
    assert copied[0] <= 64 * 1024


@pytest.mark.parametrize(
    ("held", "hops"),
    [((), [2, 2, 2]), ((True,) * 6, []), ((False, True, True, False), [2, 2]), ((True, False, False, True), [2, 2])],
    ids=["on disk", "in memory", "its middle in memory", "its ends in memory"],
)
async def test_a_file_is_read_by_few_hops_to_another_thread(
    held: tuple[bool, ...], hops: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None for what the system holds in memory; else several chunks each, ahead of the sending. It is the file."""
    seen: list[int] = []
    looks = iter(held)
    read = upload_module._read_chunks

    def counting(file: Any, most: int) -> list[bytes]:
        found = read(file, most)
        seen.append(len(found))
        return found

    monkeypatch.setattr(upload_module, "_read_chunks", counting)
    monkeypatch.setattr(upload_module, "_is_in_memory", lambda file, count: next(looks, False))
    film = os.urandom(5 * CHUNK + 3)
    (tmp_path / "film").write_bytes(film)
    body = b"".join([piece async for piece in Multipart([UploadPart("a", "x", tmp_path / "film")]).stream()])

    assert film in body
    assert seen == hops


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="this system does not tell whether a read has to wait")
def test_what_a_read_would_wait_for_is_told_by_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written a moment ago is in memory; what lies behind the end, or cannot be told, is not."""
    (tmp_path / "film").write_bytes(b"x" * 10_000)
    with (tmp_path / "film").open("rb", buffering=0) as file:
        in_memory = upload_module._is_in_memory(file, 10_000)
        monkeypatch.setattr(upload_module, "_IN_MEMORY", 1 << 20)  # a flag that no system knows
        assert not upload_module._is_in_memory(file, 10_000)
        monkeypatch.undo()
        assert not upload_module._is_in_memory(file, 10_001)
        monkeypatch.setattr(upload_module, "_IN_MEMORY", None)
        assert not upload_module._is_in_memory(file, 10_000)
        monkeypatch.undo()
        assert file.tell() == 0
        assert in_memory or not _tells_what_is_in_memory(file)


def _tells_what_is_in_memory(file: Any) -> bool:
    try:
        return bool(os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT))
    except OSError:
        return False


async def test_others_come_to_their_turn_while_a_file_in_memory_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However quickly its chunks are taken: the event loop is that of all streams and nodes."""
    monkeypatch.setattr(upload_module, "_is_in_memory", lambda file, count: True)
    (tmp_path / "film").write_bytes(b"x" * (5 * CHUNK))
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.ensure_future(take_turns())
    async for _ in Multipart([UploadPart("a", "x", tmp_path / "film")]).stream():
        pass
    other.cancel()

    assert turns >= 5


async def test_a_large_plain_write_is_one_call_where_the_system_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out of a plain connection counts the silence between its sends, so nothing is cut into pieces for it."""
    written: list[int] = []

    async def counting(self: SocketStream, buffer: bytes, timeout: float | None = None) -> None:
        written.append(len(buffer))

    monkeypatch.setattr(SocketStream, "write", counting)
    ours, theirs = socket.socketpair()
    try:
        await WholeWrites(SocketStream(ours), hold=True).write(b"x" * CHUNK, 5.0)
    finally:
        ours.close()
        theirs.close()

    assert written == [CHUNK]


async def test_a_requests_headers_and_its_small_body_go_out_together() -> None:
    """One call of the operating system, not two; a paid message's go out each for itself, headers first."""
    sent: list[int] = []

    class Counting(socket.socket):
        def send(self, *given: Any) -> int:
            sent.append(len(given[0]))
            return super().send(*given)

    async with serving(always(answer(b"{}"))) as server:
        for hold, pieces in ((True, 1), (False, 2)):
            sent.clear()
            address = urlsplit(server.url)
            made = Counting(socket.AF_INET, socket.SOCK_STREAM)
            made.connect((address.hostname, address.port))
            made.setblocking(False)
            stream = WholeWrites(SocketStream(made), hold=hold)
            await stream.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
            await stream.write(b"body")
            await stream.write(b"")
            assert b"200" in await stream.read(1000, 5.0)
            await stream.aclose()

            assert len(sent) == pieces


async def test_closing_a_connection_ends_whoever_waits_for_it() -> None:
    """A stream of a paid message waits without any time-out of its own."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = SocketStream(ours)
    waiting = asyncio.ensure_future(stream.read(100))
    await asyncio.sleep(0.01)
    await stream.aclose()

    with pytest.raises(httpcore.ReadError):
        await waiting
    theirs.close()


async def test_what_a_plain_connection_cannot_do_is_told_as_httpcore_tells_it() -> None:
    """A read that takes too long, one behind the end, and a write to the closed end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = SocketStream(ours)
    with pytest.raises(httpcore.ReadTimeout):
        await stream.read(100, 0.0)
    theirs.send(b"last")
    theirs.close()
    assert is_readable(ours)
    room = bytearray(10)
    assert await stream.read_into(memoryview(room)) == 4
    assert bytes(room[:4]) == b"last"
    assert await stream.read(100) == b""
    with pytest.raises(httpcore.WriteError):
        await stream.write(b"x" * 100)
    await stream.aclose()
    for late in (stream.read(1), stream.write(b"x")):
        with pytest.raises((httpcore.ReadError, httpcore.WriteError)):
            await late

"""A token goes to the origin of its own profile, whatever a backend, a workflow or an environment says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from nemo_client import (
    BadAnswer,
    ConnectError,
    Destination,
    InputError,
    Profile,
    RenderFailed,
    Studio,
    Wish,
    home,
    list_jobs,
    profile,
)
from nemo_client._config.paths import ensure_home
from nemo_client._config.profiles import list_profiles
from nemo_client._wire.client import NemoClient
from nemo_client._wire.upload import UploadPart
from tests.support.backend import (
    TOKEN,
    Asked,
    Clock,
    Cloud,
    always,
    answer,
    bytes_of,
    client_of,
    cloud,
    memory_journal,
    picture,
    serving,
)
from tests.support.connections import ProxyServer, http_proxy, listening, served, socks_proxy, trusted

__all__ = ["cloud"]

OURS = {"authorization", "x-client-id", "x-skill-source", "x-skill-version", "x-skill-platform", "cookie"}
MOVES = [301, 302, 303, 307, 308]
ODD = [
    "https://me:pw@127.0.0.1:9/v", "http://good.test@127.0.0.1:9/v",  "http://:@127.0.0.1:9/v",
    "http://good.test\\@127.0.0.1:9/v", "http://[::1", "http://127.0.0.1:99999/", "http://a..b/v", "http:///v", "http://",
    "file:///etc/passwd", "ftp://127.0.0.1/v", "javascript:alert(1)", "data:video/mp4;base64,AAAA", "http://a%2eb/v",
    "//[", "http://127.0.0.1:9/\x01", "http://1.2.3.999/v", "http://" + "a" * 64 + ".test/v",
]  # fmt: skip


async def called(name: str, client: NemoClient) -> object:
    """One call of each kind: read, write, upload, charge, sign-up."""
    if name == "message":
        async with client.run("s", "go"):
            return None
    calls: dict[str, Callable[[], Any]] = {
        "balance": client.balance,
        "session": lambda: client.create_session("en"),
        "upload": lambda: client.upload_files("s", [UploadPart("a.png", "image/png", b"png")]),
        "render": lambda: client.submit_render("r", "s", {}, {}),
        "sign-up": client.anonymous_token,
    }
    return await calls[name]()


@pytest.mark.parametrize("status", MOVES)
@pytest.mark.parametrize("name", ["balance", "session", "upload", "render", "message", "sign-up"])
async def test_a_call_follows_no_redirect(name: str, status: int) -> None:
    """Neither with the token nor without: 307 and 308 would repeat a POST, and with it what is paid for."""
    async with serving(always(answer({"code": 0, "data": {}}))) as evil:
        moved = answer(b"", status, location=f"{evil.url}/taken")
        async with serving(always(moved)) as api, client_of(api.url) as client:
            with pytest.raises(BadAnswer, match=f"redirects to another address .*HTTP {status}") as caught:
                await called(name, client)

    assert caught.value.id == "answer-moved"
    assert len(api.asked) == 1
    assert evil.connections == 0


@pytest.mark.parametrize("location", ODD)
async def test_an_odd_redirect_of_a_message_is_one_error(location: str) -> None:
    """It is not even read."""
    moved = answer(b"", 307, location=location.replace("\x01", "\x7f"))
    async with serving(always(moved)) as api, client_of(api.url) as client:
        with pytest.raises(BadAnswer, match="redirects to another address"):
            await called("message", client)


@pytest.mark.parametrize("location", ["//{}/x", "https://{}/x", "http://api.test@{}/x", "http://api.test\\@{}/x"])
async def test_a_redirect_may_be_written_in_any_way(location: str) -> None:
    """None of them leads anywhere."""
    async with serving(always(answer({"code": 0, "data": {}}))) as evil:
        moved = answer(b"<html>", 307, location=location.format(evil.url[7:]), content_type="text/html")
        async with serving(always(moved)) as api, client_of(api.url) as client:
            with pytest.raises(BadAnswer):
                await client.balance()
    assert evil.connections == 0


@pytest.mark.parametrize("status", MOVES)
async def test_a_download_that_is_moved_goes_on_without_the_token(status: int, tmp_path: Path) -> None:
    """The API's own endpoint gets it, those it points to do not; nor does the API when it comes back from there."""
    api_url = ""

    async def back(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"", status, location=f"{api_url}/film"))

    async with serving(back) as evil:

        async def moved(asked: Asked, writer: asyncio.StreamWriter) -> None:
            elsewhere = answer(b"", status, location=f"{evil.url}/v", set_cookie="sign=in")
            writer.write(answer(b"film") if asked.path == "/film" else elsewhere)

        async with serving(moved) as api, client_of(api.url) as client:
            api_url = api.url
            await client.download_render("render_1", tmp_path / "f")

    assert bytes_of(tmp_path / "f") == b"film"
    assert [asked.headers.get("authorization") for asked in api.asked] == [f"Bearer {TOKEN}", None]
    assert [asked.method for asked in (*api.asked, *evil.asked)] == ["GET"] * 3
    assert not OURS & evil.asked[0].headers.keys()


async def test_an_output_address_gets_no_token_even_at_the_api(tmp_path: Path) -> None:
    """It is signed by itself; and any page of a host may be the one that writes its log for all to read."""
    async with serving(always(answer(b"film"))) as api, client_of(api.url) as client:
        await client.download(f"{api.url}/v?sig=1", tmp_path / "f")

    assert not OURS & api.asked[0].headers.keys()


@contextlib.asynccontextmanager
async def encrypted(
    monkeypatch: pytest.MonkeyPatch, folder: Path, reply: Any
) -> AsyncIterator[tuple[str, list[Asked]]]:
    """An API with TLS that is reached through a proxy, as a cloud is; its address."""
    authority = trustme.CA()
    trusted(monkeypatch, authority, folder / "authority.pem")
    tls = served(authority.issue_cert("api.test", "cdn.test"))
    async with serving(reply, tls=tls) as api, http_proxy(api__test=api.port, cdn__test=api.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        yield "https://api.test", api.asked


@pytest.mark.parametrize("by", ["output address", "redirect", "redirect of the API"])
async def test_a_download_never_leaves_tls(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by its address, nor by a redirect; a listener would see, and could change, the video."""
    async with serving(always(answer(b"film"))) as plain:
        moved = answer(b"", 302, location=f"{plain.url}/v")
        async with encrypted(monkeypatch, tmp_path, always(moved)) as (url, asked), client_of(url) as client:
            ways = {
                "output address": client.download(f"{plain.url}/v", tmp_path / "f"),
                "redirect": client.download(f"{url}/v", tmp_path / "f"),
                "redirect of the API": client.download_render("r", tmp_path / "f"),
            }
            chosen = ways.pop(by)
            for unused in ways.values():
                unused.close()
            with pytest.raises(RenderFailed, match="it is not encrypted"):
                await chosen
    assert len(asked) == (by != "output address")
    assert plain.connections == 0


async def test_a_profile_on_this_machine_may_do_without_tls(tmp_path: Path) -> None:
    """There is no one in between; a redirect from one port to another is fine."""
    async with serving(always(answer(b"film"))) as cdn:
        moved = answer(b"", 307, location=f"{cdn.url}/v")
        async with serving(always(moved)) as api, client_of(api.url) as client:
            await client.download(f"{api.url}/v", tmp_path / "f")
    assert bytes_of(tmp_path / "f") == b"film"


async def test_what_was_encrypted_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a profile on this machine: https goes on to https alone."""
    authority = trustme.CA()
    trusted(monkeypatch, authority, tmp_path / "authority.pem")
    async with serving(always(answer(b"film"))) as plain:
        moved = answer(b"", 302, location=f"{plain.url}/v")
        tls = served(authority.issue_cert("127.0.0.1"))
        async with serving(always(moved), tls=tls) as cdn, client_of("http://127.0.0.1:9") as client:
            with pytest.raises(RenderFailed, match="it is not encrypted"):
                await client.download(f"{cdn.url}/v", tmp_path / "f")
    assert (len(cdn.asked), plain.connections) == (1, 0)


@pytest.mark.parametrize("url", ODD)
@pytest.mark.parametrize("moved", [False, True], ids=["output address", "redirect"])
async def test_an_odd_address_is_refused_as_one(url: str, moved: bool, tmp_path: Path) -> None:
    """User-info, other schemes, hosts that two programs would read in two ways: never an exception of another kind."""
    async with (
        serving(always(answer(b"", 302, location=url.replace("\x01", "\x7f")))) as api,
        client_of(api.url) as client,
    ):
        with pytest.raises(RenderFailed, match="not allowed"):
            await client.download(f"{api.url}/v" if moved else url, tmp_path / "f")
    assert moved or not api.asked


# --- Profiles and the environment -----------------------------------------------------------------------------------

HOSTILE_NAMES = [
    "", " nemo", "nemo ", "NEMO", "nеmo", "nemo\x00", "nemo\n", "ne\u200bmo", "\u202enemo", "ｎｅｍｏ", "nemo/../evil",
    "../nemo", "..\\nemo", "C:\\nemo", "\\\\evil\\share", "nemo\r\nAuthorization: x", "https://evil.test", "x" * 5000,
    "${NEMO_TOKEN}", "{name!r}", "%s", "nemo\ud800", "'nemo'",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
async def test_a_profile_is_found_by_its_very_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else is one error in one line, with nothing in it that a terminal would obey; and nothing is made."""
    monkeypatch.setenv("NEMO_TOKEN", TOKEN)
    before = sorted(str(path) for path in home().rglob("*")) if home().exists() else []
    with pytest.raises(InputError, match="There is no profile") as caught:
        await Studio.open(name)

    told = str(caught.value)
    assert told.isprintable()
    assert len(told) < 400
    assert TOKEN not in told
    assert (sorted(str(path) for path in home().rglob("*")) if home().exists() else []) == before


@pytest.mark.parametrize("name", [None, 7, ["nemo"], {"nemo": 1}, ("nemo",), b"nemo", True])
def test_what_is_no_name_is_no_profile(name: Any) -> None:
    """JSON holds anything."""
    with pytest.raises(InputError, match="There is no profile"):
        profile(name)


def given(name: str, **entry: object) -> None:
    path = ensure_home(home()) / "profiles.json"
    path.write_text(json.dumps({"profiles": {name: {"api_url": "https://mine.test", **entry}}}), encoding="utf-8")


@pytest.mark.parametrize("name", [*HOSTILE_NAMES[:20], "Local Preview", "lосal preview"], ids=range(22))
def test_a_profile_s_own_name_is_plain_and_like_no_built_in_one(name: str) -> None:
    """In a list of profiles, `nemo` is the cloud, to the eye as well."""
    given(name)

    with pytest.raises(InputError, match=r"odd characters|looks like") as caught:
        list_profiles()
    assert str(caught.value).isprintable()


HOSTILE_ADDRESSES = [
    "http://evil.test", "https://me:pw@evil.test", "https://api.test@evil.test", "https://api.test\\@evil.test",
    "https://api.test#@evil.test", "https://evil.test?x=https://api.test", "https://api.test\t.evil.test",
    "https://api.test\nX-Evil: 1", "https://аpi.test", "https://api。test", "https://[::1", "https://api.test:99999",
    "ftp://evil.test", "file:///etc/passwd", "javascript:alert(1)", "evil.test", "//evil.test", "https://",
    "http://127.0.0.1.evil.test", "http://localhost.evil.test", "http://0.0.0.0:80", "http://127.0.0.1@evil.test",
    "http://10.0.0.1", "https://api.test/a b",
]  # fmt: skip


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES, ids=range(len(HOSTILE_ADDRESSES)))
@pytest.mark.parametrize("variable", ["NEMO_API_URL", "NEMO_WEB_URL"])
async def test_a_hostile_address_in_the_environment_is_refused(
    address: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent: the API's, which gets the token, and the web pages', which get claim tokens."""
    monkeypatch.setenv("NEMO_TOKEN", TOKEN)
    monkeypatch.setenv(variable, address)

    with pytest.raises(InputError, match=variable) as caught:
        await Studio.open("nemo", journal=memory_journal())
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES, ids=range(len(HOSTILE_ADDRESSES)))
@pytest.mark.parametrize("key", ["api_url", "web_url"])
def test_a_hostile_address_in_a_file_is_refused(address: str, key: str) -> None:
    """As in the environment."""
    given("mine", **{key: address})

    with pytest.raises(InputError, match="'mine'"):
        profile("mine")


def test_every_parser_reads_a_profile_s_address_alike() -> None:
    """What is judged here is what httpx connects to."""
    for address in ("https://A.test:8443/base", "http://[::1]:9", "http://127.0.0.1:9/", "https://x.a.test."):
        given("mine", api_url=address)
        found = profile("mine")
        parsed = httpx.URL(found.api_url + "/api")

        assert f"{parsed.scheme}://{parsed.netloc.decode()}" in (found.origin, found.origin.removesuffix(":443"))


# --- The whole way --------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def in_front_of(backend: Cloud, certificate: list[Any]) -> AsyncIterator[int]:
    """TLS before a backend, with whatever certificate is the first one now; its port."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    writer.write(data.replace(b"Host: api.test\r\n", b"Host: 127.0.0.1\r\n"))
                    await writer.drain()
        finally:
            writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = httpx.URL(backend.backend.url).port
        there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer))

    tls = served(certificate[0])

    def choose(connection: Any, _: str | None, __: object) -> None:
        connection.context = served(certificate[0])

    tls.sni_callback = choose
    async with listening(talk, tls) as port:
        yield port


PROXIES: dict[str, Callable[..., Any]] = {"http": http_proxy, "socks5": socks_proxy}


@pytest.mark.parametrize("kind", [*PROXIES])
async def test_a_whole_video_is_made_through_a_proxy(
    kind: str, cloud: Callable[..., Cloud], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upload, message, render and download, by the name of the cloud; and the proxy sees nothing but that."""
    authority, made = trustme.CA(), cloud()
    trusted(monkeypatch, authority, tmp_path / "authority.pem")
    async with (
        in_front_of(made, [authority.issue_cert("api.test")]) as port,
        PROXIES[kind](api__test=port) as proxy,
    ):
        monkeypatch.setenv("NEMO_API_URL", "https://api.test")
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with made.studio() as studio:
            turned = await studio.generate(await studio.upload([picture()]), Wish("go"))
            video = await studio.export(turned.session, destination=Destination(tmp_path / "out", "clip"))

    assert video.path.stat().st_size > 0
    assert set(proxy.targets) == {"api.test:443"}
    assert len(made.ledger.charges) == 1
    assert made.backend.token.encode() not in bytes(proxy.passed) + b"".join(proxy.heads)


@pytest.mark.parametrize("trouble", ["expired", "another host", "proxy"])
async def test_a_message_that_meets_a_wrong_certificate_is_refused_not_unknown(
    trouble: str, cloud: Callable[..., Cloud], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was never sent, so nothing is charged; asked for again, the same request goes out once."""
    authority, made = trustme.CA(), cloud()
    trusted(monkeypatch, authority, tmp_path / "authority.pem")
    good = authority.issue_cert("api.test")
    wrong = {"another host": authority.issue_cert("other.test"), "expired": _expired(authority), "proxy": good}[trouble]
    now = [good]
    async with in_front_of(made, now) as port, http_proxy(api__test=port) as proxy:
        monkeypatch.setenv("NEMO_API_URL", "https://api.test")
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        journal = memory_journal()
        async with made.studio(journal=journal) as studio:
            session = await studio.upload([picture()])
            _from_the_message_on(studio, lambda: _break(trouble, now, wrong, proxy))
            with pytest.raises(ConnectError, match="Nothing was charged") as caught:
                await studio.generate(session, Wish("go"))
            (job,) = await list_jobs(journal)
            now[0], proxy.says = good, None
            await studio.generate(session, Wish("go"))

    assert caught.value.id == ("connect-proxy" if trouble == "proxy" else "connect-tls")
    assert job.state == "refused"
    assert made.sent("message") == 1
    assert len(made.ledger.charges) == 1


def _expired(authority: trustme.CA) -> trustme.LeafCert:
    begin = datetime(2020, 1, 1, tzinfo=timezone.utc)
    return authority.issue_cert("api.test", not_before=begin, not_after=begin.replace(year=2021))


def _break(trouble: str, now: list[Any], wrong: Any, proxy: ProxyServer) -> None:
    now[0] = wrong
    if trouble == "proxy":
        proxy.says = b"HTTP/1.1 503 No\r\n\r\n"


def _from_the_message_on(studio: Studio, break_it: Callable[[], None]) -> None:
    """Break it when the next message's own connection is about to be opened, and not before."""
    http = studio._context.client.http
    usual = http.stream

    def stream(*arguments: Any) -> Any:
        break_it()
        http.stream = usual  # type: ignore[method-assign]
        return usual(*arguments)

    http.stream = stream  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [("HTTPS_PROXY", "nonsense://x", "proxy-setting"), ("ALL_PROXY", "socks4://x:1", "proxy-setting"),
     ("ALL_PROXY", "http://x:port", "proxy-setting"), ("SSL_CERT_FILE", "/nowhere.pem", "certificates-broken")],
)  # fmt: skip
async def test_a_broken_setting_stops_the_cloud_and_not_the_preview(
    variable: str, value: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clear error, at the first call, of which nothing was sent; the free preview makes its video."""
    monkeypatch.setenv(variable, value)
    clock = Clock()
    monkeypatch.setenv("NEMO_TOKEN", TOKEN)
    async with await Studio.open("nemo", journal=memory_journal(), sleep=clock.sleep, clock=clock.time) as studio:
        with pytest.raises(ConnectError) as caught:
            await studio.credits()
    assert (caught.value.id, caught.value.charged, clock.slept) == (error, "no", [])
    assert variable in str(caught.value)
    assert variable in caught.value.text("zh")

    async with await Studio.open("local preview", journal=memory_journal()) as studio:
        assert (await studio.credits()).available > 0


async def test_a_hostile_output_address_costs_no_video(
    cloud: Callable[..., Cloud], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is then fetched from the API itself."""
    made = cloud()
    async with serving(always(answer(b"evil"))) as evil, made.studio() as studio:
        http = studio._context.client.http
        usual = http.call

        async def call(name: str, *rest: Any, **options: Any) -> Any:
            found = await usual(name, *rest, **options)
            if isinstance(found, dict) and "output" in found:
                found = {**found, "output": {"url": f"http://me:pw@{evil.url[7:]}/v"}}
            return found

        monkeypatch.setattr(http, "call", call)
        turned = await studio.generate(await studio.upload([picture()]), Wish("go"))
        video = await studio.export(turned.session, destination=Destination(tmp_path / "out", "clip"))

    assert video.path.stat().st_size > 0
    assert evil.connections == 0
    assert made.sent("download") == 1


def test_a_profile_shows_no_secret() -> None:
    """Of the things that stand in a log or a traceback."""
    assert TOKEN not in repr(Profile("mine", "https://a.test"))

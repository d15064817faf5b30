"""Connections on real sockets: judged by the address they go to, encrypted, through the proxies of the environment."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpcore
import pytest
import trustme

from nemo_client import ConnectError, NemoClient, NemoError, RenderFailed
from nemo_client._wire.download import Download
from nemo_client._wire.net.transport import ConnectionBackend
from tests.support.backend import TOKEN, Asked, Clock, RawServer, always, answer, bytes_of, client_of, serving
from tests.support.connections import Names, ProxyServer, has_ipv6, http_proxy, listening, served, socks_proxy, trusted
from tests.support.timings import Shorten

GOOD = answer({"code": 0, "data": {"available": 7}})
FILM = answer(b"film")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Certificates for names of our own, trusted by the environment."""
    trusted(monkeypatch, authority, tmp_path / "authority.pem")
    return served(authority.issue_cert("api.test", "cdn.test", "other.test", "127.0.0.1", "::1", "proxy.test"))


async def fetched(url: str, near: str, path: Path, **options: Any) -> bytes:
    await Download(url, path, near=near, sleep=Clock().sleep, **options).run()
    return bytes_of(path)


# --- Where a download may go ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "reason"),
    [("127.0.0.1", "this machine"), ("::1", "this machine"), ("0.0.0.0", "this machine"),  # noqa: S104
     ("10.1.2.3", "private network"), ("192.168.1.1", "private network"), ("169.254.169.254", "private network"),
     ("100.64.0.1", "private network"), ("fd00::1", "private network"), ("fe80::1", "private network"),
     ("224.0.0.1", "to a public"), ("::ffff:127.0.0.1", "this machine"), ("64:ff9b::7f00:1", "this machine"),
     ("64:ff9b:1::a00:1", "private network"), ("2002:7f00:1::", "this machine"), ("203.0.113.9", "to a public")],
)  # fmt: skip
async def test_a_name_that_leads_into_a_private_network_is_not_connected_to(
    address: str, reason: str, names: Names, tls: Any, tmp_path: Path
) -> None:
    """Whatever the name says: the address is judged, once it is known, and before a packet goes there."""
    names.set("api.test", ["93.184.216.34"])
    names.set("cdn.test", [address])
    async with serving(always(FILM), tls=tls) as server:
        with pytest.raises(RenderFailed, match=reason) as caught:
            await fetched(f"https://cdn.test:{server.port}/v", "https://api.test", tmp_path / "f")

    assert caught.value.id == "download-foreign"
    assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    ["https://{}/v", "https://2130706433/v", "https://0x7f.1/v", "https://127.1/v", "https://[::ffff:127.0.0.1]/v",
     "https://localhost/v", "https://a.localhost./v", "https://0/v", "https://[::]/v", "https://169.254.169.254/v",
     "https://10.0.0.1/v", "https://[fe80::1]/v", "https://224.0.0.1/v"],
)  # fmt: skip
async def test_an_address_in_a_url_is_judged_in_every_way_it_can_be_written(url: str, tmp_path: Path) -> None:
    """By the text alone, before anything is asked."""
    with pytest.raises(RenderFailed, match="not allowed"):
        await fetched(url.format("127.0.0.1"), "https://93.184.216.34", tmp_path / "f")


async def test_a_redirect_is_judged_as_its_first_address_was(names: Names, tls: Any, tmp_path: Path) -> None:
    """By the address behind its name."""
    names.set("api.test", ["127.0.0.1"], ["93.184.216.34"])
    names.set("cdn.test", ["127.0.0.1"])
    names.set("other.test", ["10.1.2.3"])
    async with serving(lambda asked, writer: move(asked, writer, "https://other.test/v"), tls=tls) as server:
        with pytest.raises(RenderFailed, match="private network"):
            await fetched(f"https://cdn.test:{server.port}/v", "https://api.test", tmp_path / "f")

    assert len(server.asked) == 1


async def move(_: Asked, writer: asyncio.StreamWriter, location: str) -> None:
    writer.write(answer(b"", 302, location=location))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
async def test_the_address_that_was_judged_is_the_one_connected_to(names: Names, tls: Any, tmp_path: Path) -> None:
    """A name that is answered differently the second time (DNS rebinding) is asked for once only."""
    names.set("api.test", ["127.0.0.1"])
    names.set("cdn.test", ["127.0.0.2"], ["127.0.0.1"])
    async with (
        serving(always(FILM), host="127.0.0.2", tls=tls) as first,
        serving(always(FILM), host="127.0.0.1", port=first.port, tls=tls) as second,
    ):
        assert await fetched(f"https://cdn.test:{first.port}/v", "https://api.test", tmp_path / "f") == b"film"

    assert (first.connections, second.connections) == (1, 0)
    assert names.asked.count("cdn.test") == 1


class Recorded(httpcore.AsyncNetworkBackend):
    """In the place of the network: what is connected to; only what is in `alive` ever answers."""

    def __init__(self) -> None:
        self.alive: tuple[str, ...] = ()
        self.slow: tuple[str, ...] = ()
        self.connected: list[str] = []

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, *_: Any, **__: Any) -> Any:
        self.connected.append(host)
        if host in self.slow:
            await asyncio.sleep(60)
        if host not in self.alive:
            raise httpcore.ConnectError
        return httpcore.AsyncMockStream([])


def road_to(names: Names, found: list[str], near: str = "93.184.216.34") -> tuple[ConnectionBackend, Recorded]:
    names.set("cdn.test", found)
    road, recorded = ConnectionBackend(near, judged=True), Recorded()
    road._plain = recorded  # type: ignore[assignment]
    return road, recorded


@pytest.mark.parametrize(
    ("found", "connected"),
    [
        (["93.184.216.34"], ["93.184.216.34"]),
        (["198.18.0.7"], ["198.18.0.7"]),
        (["10.0.0.1", "198.19.255.1"], ["198.19.255.1"]),
        (["127.0.0.1", "::1", "2606:4700::1"], ["2606:4700::1"]),
        (["64:ff9b::5db8:d822", "10.0.0.1"], ["64:ff9b::5db8:d822"]),
        (["2606:4700::1", "2606:4700::2", "93.184.216.34"], ["2606:4700::1", "93.184.216.34", "2606:4700::2"]),
    ],
    ids=["public", "answered by the network itself", "mixed", "both families", "NAT64", "in turn"],
)
async def test_only_judged_addresses_are_tried_each_family_in_turn(
    found: list[str], connected: list[str], names: Names
) -> None:
    """A literal address goes to the network, never the name; the range that some networks answer from is allowed."""
    road, recorded = road_to(names, found)

    with pytest.raises(httpcore.ConnectError):
        await road.connect_tcp("cdn.test", 443, 1.0)
    assert recorded.connected == connected


async def test_an_address_that_does_not_answer_holds_up_no_other(names: Names) -> None:
    """The next is tried beside it after a moment, and the first that is there counts."""
    road, recorded = road_to(names, ["2606:4700::1", "93.184.216.34"])
    recorded.alive, recorded.slow = ("93.184.216.34",), ("2606:4700::1",)

    await road.connect_tcp("cdn.test", 443, 10.0)

    assert recorded.connected == ["2606:4700::1", "93.184.216.34"]


@pytest.mark.parametrize(
    ("near", "target", "connected"),
    [("10.0.0.5", "10.9.9.9", True), ("10.0.0.5", "192.168.1.1", True), ("10.0.0.5", "127.0.0.1", False),
     ("10.0.0.5", "169.254.169.254", False), ("10.0.0.5", "100.64.0.1", False), ("100.64.0.1", "100.127.0.1", True),
     ("127.0.0.1", "127.0.0.2", True), ("localhost", "::1", True), ("127.0.0.1", "10.0.0.1", False),
     ("169.254.1.1", "169.254.1.2", True), ("fd00::1", "fd00::2", True), ("::1", "0.0.0.0", False),  # noqa: S104
     ("0.0.0.0", "0.0.0.0", False),  # noqa: S104
     ("224.0.0.1", "224.0.0.1", False), ("127.0.0.1", "93.184.216.34", True)],
)  # fmt: skip
@pytest.mark.parametrize("named", [False, True], ids=["by address", "by name"])
async def test_a_profile_may_name_addresses_of_the_kind_it_lives_at(
    near: str, target: str, connected: bool, named: bool, names: Names
) -> None:
    """A company's own backend keeps its files beside it; no backend reaches this machine but one that is on it."""
    road, recorded = road_to(names, [target], near=near)
    if named and near != "localhost":
        names.set("api.test", [near])
        road = ConnectionBackend("api.test", judged=True)
        road._plain = recorded  # type: ignore[assignment]

    with pytest.raises(httpcore.ConnectError if connected else RenderFailed):
        await road.connect_tcp("cdn.test", 443, 1.0)
    assert recorded.connected == ([target] if connected else [])


async def test_a_profile_with_a_public_address_lives_in_no_private_network(names: Names) -> None:
    """A name that leads to both is at home in public."""
    names.set("api.test", ["10.0.0.5", "93.184.216.34"])
    road, recorded = road_to(names, ["10.9.9.9"], near="api.test")

    with pytest.raises(RenderFailed):
        await road.connect_tcp("cdn.test", 443, 1.0)
    assert recorded.connected == []


async def test_a_profile_on_this_machine_never_leaves_it(names: Names) -> None:
    """`x.localhost` is not asked for: a resolver that says otherwise would be given the token, in the clear."""
    names.set("api.localhost", ["93.184.216.34"])
    async with serving(always(GOOD)) as server, client_of(f"http://api.localhost:{server.port}") as client:
        assert (await client.balance()).available == 7

    assert names.asked == []


async def test_a_name_that_is_not_found_is_told(names: Names, tmp_path: Path) -> None:
    """After the usual tries."""
    with pytest.raises(ConnectError, match=r"cdn\.test could not be found"):
        await fetched("https://cdn.test/v", "https://93.184.216.34", tmp_path / "f")


# --- TLS ------------------------------------------------------------------------------------------------------------


async def test_a_certificate_of_the_system_is_trusted_and_the_name_is_asked_for(
    names: Names, tls: Any, tmp_path: Path
) -> None:
    """The server sees the name, though the connection goes to an address; calls and downloads alike."""
    seen: list[str | None] = []
    tls.sni_callback = lambda _, name, __: seen.append(name)
    names.set("api.test", ["127.0.0.1"])
    names.set("cdn.test", ["127.0.0.1"])
    async with (
        serving(always(GOOD), tls=tls) as api,
        serving(always(FILM), tls=tls) as cdn,
        client_of(f"https://api.test:{api.port}") as client,
    ):
        assert (await client.balance()).available == 7
        await client.download(f"https://cdn.test:{cdn.port}/v", tmp_path / "f")

    assert seen == ["api.test", "cdn.test"]
    assert api.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert not {"authorization", "x-client-id", "x-skill-source"} & cdn.asked[0].headers.keys()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_both_ways_to_name_certificates_count(
    variable: str, authority: trustme.CA, names: Names, tls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder holds them under hashes of their subjects."""
    monkeypatch.delenv("SSL_CERT_FILE")
    place = tmp_path / "authority.pem"
    if variable == "SSL_CERT_DIR":
        command = ["openssl", "x509", "-hash", "-noout", "-in", str(place)]
        hashed = (await asyncio.to_thread(subprocess.check_output, command, text=True)).strip()
        (tmp_path / "certificates").mkdir()
        place = place.rename(tmp_path / "certificates" / f"{hashed}.0").parent
    names.set("api.test", ["127.0.0.1"])
    async with serving(always(GOOD), tls=tls) as server, client_of(f"https://api.test:{server.port}") as client:
        with pytest.raises(ConnectError, match="TLS"):
            await client.balance()
    monkeypatch.setenv(variable, str(place))
    async with serving(always(GOOD), tls=tls) as server, client_of(f"https://api.test:{server.port}") as client:
        assert (await client.balance()).available == 7


LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("fault", "words"),
    [("expired", "certificate has expired"), ("self-signed", "self.signed certificate|unable to get local issuer"),
     ("another host", "not valid for 'api.test'"), ("not yet valid", "not yet valid")],
)  # fmt: skip
@pytest.mark.parametrize("by", ["call", "message", "download"])
async def test_a_wrong_certificate_is_refused_before_anything_is_sent(
    fault: str, words: str, by: str, authority: trustme.CA, names: Names, tls: Any, tmp_path: Path
) -> None:
    """One clear sentence, at once, and nothing charged: no byte of the request was written."""
    certificates = {
        "expired": lambda: authority.issue_cert("api.test", not_before=LONG_AGO, not_after=LONG_AGO.replace(year=2021)),
        "self-signed": lambda: trustme.CA().issue_cert("api.test"),
        "another host": lambda: authority.issue_cert("other.test"),
        "not yet valid": lambda: authority.issue_cert(
            "api.test", not_before=LONG_AGO.replace(year=2090), not_after=LONG_AGO.replace(year=2091)
        ),
    }
    names.set("api.test", ["127.0.0.1"])
    async with serving(always(GOOD), tls=served(certificates[fault]())) as server:
        url = f"https://api.test:{server.port}"
        clock = Clock()
        async with client_of(url, clock) as client:
            with pytest.raises(ConnectError, match=words) as caught:
                await asked_by(by, client, url, tmp_path)

    assert (caught.value.id, caught.value.charged) == ("connect-tls", "no")
    assert "Nothing was charged" in str(caught.value)
    assert (server.asked, clock.slept) == ([], [])


async def asked_by(by: str, client: NemoClient, url: str, folder: Path) -> None:
    """Something of each kind that goes over the wire."""
    if by == "call":
        await client.balance()
    elif by == "download":
        await client.download(f"{url}/v", folder / "f")
    else:
        async with client.run("s", "go"):
            pass


async def test_nothing_in_the_environment_turns_verification_off(
    names: Names, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As some variables do for other tools."""
    for name in ("PYTHONHTTPSVERIFY", "NODE_TLS_REJECT_UNAUTHORIZED", "CURL_INSECURE", "GIT_SSL_NO_VERIFY"):
        monkeypatch.setenv(name, "0" if name != "GIT_SSL_NO_VERIFY" else "1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    monkeypatch.setenv("CURL_CA_BUNDLE", "")
    names.set("api.test", ["127.0.0.1"])
    false = served(trustme.CA().issue_cert("api.test"))
    async with serving(always(GOOD), tls=false) as server, client_of(f"https://api.test:{server.port}") as client:
        with pytest.raises(ConnectError, match="TLS"):
            await client.balance()
    assert server.asked == []


async def test_a_connection_that_is_cut_while_tls_begins_is_told(names: Names, tls: Any) -> None:
    """Some networks cut by the name that is asked for."""

    async def cut(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(100)

    names.set("api.test", ["127.0.0.1"])
    async with listening(cut) as port, client_of(f"https://api.test:{port}") as client:
        with pytest.raises(ConnectError, match=r"No connection to api\.test: it closed the connection"):
            async with client.run("s", "go"):
                pass


@pytest.mark.parametrize(
    ("variable", "content", "words"),
    [("SSL_CERT_FILE", None, "there is no such file"), ("SSL_CERT_FILE", "nonsense", "it holds no certificates"),
     ("SSL_CERT_FILE", "", "it holds no certificates"), ("SSL_CERT_DIR", None, "there is no such folder")],
)  # fmt: skip
async def test_a_broken_setting_of_certificates_is_one_clear_error(
    variable: str, content: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On cloud profiles only; it says which variable, what is wrong, and that nothing was charged."""
    place = tmp_path / "certificates"
    if content is not None:
        place.write_text(content)
    monkeypatch.setenv(variable, str(place))
    async with client_of("https://api.test", Clock()) as client:
        with pytest.raises(ConnectError, match=f"in {variable} cannot be used: .*{words}") as caught:
            async with client.run("s", "go"):
                pass
    assert caught.value.charged == "no"
    async with serving(always(GOOD)) as server, client_of(server.url) as client:
        assert (await client.balance()).available == 7


# --- Proxies --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def behind(
    kind: str, tls: Any, monkeypatch: pytest.MonkeyPatch, reply: Any = None, variable: str = "HTTPS_PROXY"
) -> AsyncIterator[tuple[ProxyServer, RawServer]]:
    """An API `api.test` (and its `cdn.test`) that only a proxy of that kind finds."""
    async with serving(reply or always(GOOD), tls=tls) as server:
        routes = {"api__test": server.port, "cdn__test": server.port}
        made = (
            socks_proxy(**routes)
            if kind.startswith("socks")
            else http_proxy(tls if kind == "https" else None, **routes)
        )
        async with made as proxy:
            monkeypatch.setenv(variable, f"{kind}://127.0.0.1:{proxy.port}")
            yield proxy, server


@pytest.mark.parametrize("kind", ["http", "https", "socks5", "socks5h", "socks"])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
async def test_calls_messages_and_downloads_go_through_the_proxy(
    kind: str, variable: str, names: Names, tls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which finds the names, and sees nothing but them: the token is inside of TLS."""
    stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: {}\n\n"
    answers = {"/api/credits/balance/simple": GOOD, "/run_sse": stream, "/v": FILM}

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[asked.path])
        if asked.path == "/run_sse":
            await writer.drain()
            writer.close()

    async with (
        behind(kind, tls, monkeypatch, reply, variable) as (proxy, server),
        client_of("https://api.test:8443") as client,
    ):
        assert (await client.balance()).available == 7
        async with client.run("s", "go") as events:
            assert [event async for event in events]
        await client.download("https://cdn.test/v", tmp_path / "f")

    assert proxy.targets == ["api.test:8443", "api.test:8443", "cdn.test:443"]
    assert bytes_of(tmp_path / "f") == b"film"
    assert [asked.headers.get("authorization") for asked in server.asked] == [f"Bearer {TOKEN}"] * 2 + [None]
    assert TOKEN.encode() not in b"".join(proxy.heads) + bytes(proxy.passed)
    assert names.asked == []


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
async def test_a_certificate_behind_a_proxy_is_verified_too(
    kind: str, names: Names, authority: trustme.CA, tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy is just where somebody would listen."""
    async with (
        behind(kind, tls, monkeypatch) as (proxy, _),
        serving(always(GOOD), tls=served(trustme.CA().issue_cert("api.test"))) as false,
        client_of("https://api.test") as client,
    ):
        proxy.routes = {"api.test": false.port}
        with pytest.raises(ConnectError, match=r"No secure connection .TLS. to api\.test"):
            await client.balance()
    assert false.asked == []


async def test_the_certificate_of_a_proxy_is_verified(names: Names, tls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its password would go to any server that answers."""
    async with http_proxy(served(trustme.CA().issue_cert("127.0.0.1"))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"https://me:secret@127.0.0.1:{proxy.port}")
        async with client_of("https://api.test") as client:
            with pytest.raises(ConnectError, match=r"through the proxy https://127\.0\.0\.1:.*certificate") as caught:
                await client.balance()
    assert (proxy.heads, caught.value.id) == ([], "connect-proxy")


async def test_a_user_name_goes_to_the_proxy_that_asks_for_one(
    names: Names, tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Percent-encoded in the setting; to the proxy alone."""
    async with behind("http", tls, monkeypatch) as (proxy, server):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
        async with client_of("https://api.test") as client:
            await client.balance()
    assert b"\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n" in proxy.heads[0]
    assert "proxy-authorization" not in server.asked[0].headers

    async with behind("socks5", tls, monkeypatch) as (proxy, server):
        proxy.user = (b"me", b"p@ss")
        monkeypatch.setenv("HTTPS_PROXY", f"socks5h://me:p%40ss@127.0.0.1:{proxy.port}")
        async with client_of("https://api.test") as client:
            await client.balance()
    assert proxy.targets == ["api.test:443"]


@pytest.mark.parametrize(
    ("says", "words"),
    [(b"HTTP/1.1 407 Sign in\r\n\r\n", "it asks for a user name"), (b"HTTP/1.1 403 No\r\n\r\n", "it answered HTTP 403"),
     (b"HTTP/1.0 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno.", "it answered HTTP 502"),
     (b"HTTP/1.1 302 Moved\r\nLocation: https://evil.test/\r\n\r\n", "it answered HTTP 302"),
     (b"SSH-2.0-x\r\n\r\n", "it does not speak HTTP"), (b"HTTP/1.1 200 OK\r\n\r\nmore", "it does not speak HTTP"),
     (b"x" * 100_000, "it does not speak HTTP"), (b"HTTP/1.1 20", "it closed the connection")],
    ids=["407", "403", "502", "302", "SSH", "more", "endless", "cut"],
)  # fmt: skip
async def test_an_http_proxy_that_refuses_is_told_in_its_own_words(
    says: bytes, words: str, names: Names, tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent: the message is refused, not unknown."""
    async with behind("http", tls, monkeypatch) as (proxy, server):
        proxy.says = says
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
        clock = Clock()
        async with client_of("https://api.test", clock) as client:
            with pytest.raises(ConnectError, match=f"through the proxy {proxy.url}: {words}") as caught:
                async with client.run("s", "go"):
                    pass
            with pytest.raises(ConnectError):
                await client.balance()

    assert (server.connections, clock.slept) == (0, [])
    assert "secret" not in str(caught.value)
    assert caught.value.charged == "no"


@pytest.mark.parametrize(
    ("says", "words"),
    [(b"\x05\x02\x00\x01" + bytes(6), "it does not allow"), (b"\x05\x05\x00\x01" + bytes(6), "the host refused"),
     (b"\x05\x04\x00\x01" + bytes(6), "it cannot reach the host"),
     (b"\x05\x63\x00\x01" + bytes(6), "it could not make"),
     (b"\x04\x00\x00\x01", "it does not speak SOCKS5"), (b"\x05\x00\x00\x09\x01", "it does not speak SOCKS5"),
     (b"\x05\x00", "it closed the connection")],
    ids=["rules", "refused", "unreachable", "another", "SOCKS4", "odd address", "cut"],
)  # fmt: skip
async def test_a_socks_proxy_that_refuses_is_told_in_its_own_words(
    says: bytes, words: str, names: Names, tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent, and no connection is left open."""
    async with behind("socks5", tls, monkeypatch) as (proxy, server):
        proxy.says = says
        async with client_of("https://api.test") as client:
            with pytest.raises(ConnectError, match=f"through the proxy {proxy.url}: {words}") as caught:
                async with client.run("s", "go"):
                    pass

    assert server.connections == 0
    assert caught.value.charged == "no"


@pytest.mark.parametrize(
    ("user", "given", "words"),
    [((b"me", b"pw"), "", "it asks for a user name"), ((b"me", b"pw"), "me:wrong@", "it refused the user name")],
)
async def test_a_socks_proxy_that_wants_another_user_name_is_told(
    user: tuple[bytes, bytes], given: str, words: str, names: Names, tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing or wrong."""
    async with behind("socks5", tls, monkeypatch) as (proxy, _):
        proxy.user = user
        monkeypatch.setenv("HTTPS_PROXY", f"socks5://{given}127.0.0.1:{proxy.port}")
        async with client_of("https://api.test") as client:
            with pytest.raises(ConnectError, match=words):
                await client.balance()


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_a_proxy_that_says_nothing_is_not_waited_for_for_ever(
    kind: str, names: Names, tls: Any, shorten: Shorten, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way to the host has the time of one connection."""
    shorten(wire={"connect": 0.2})
    async with behind(kind, tls, monkeypatch) as (proxy, _):
        proxy.silent = True
        async with client_of("https://api.test") as client:
            with pytest.raises(ConnectError, match="it does not answer"):
                async with client.run("s", "go"):
                    pass


async def test_a_proxy_that_is_not_there_is_told(names: Names, tls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It, and not the backend, is what cannot be reached."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{taken.getsockname()[1]}")
        async with client_of("https://api.test") as client:
            with pytest.raises(ConnectError, match=r"No connection to api\.test through the proxy .* refused"):
                await client.balance()
            monkeypatch.setenv("ALL_PROXY", "http://nowhere.test:1")
            with pytest.raises(ConnectError, match=r"through the proxy http://nowhere\.test:1: Name or service"):
                await client.balance()


async def test_no_proxy_is_heeded(names: Names, tls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that it names is gone to straight."""
    names.set("api.test", ["127.0.0.1"])
    monkeypatch.setenv("NO_PROXY", "other.test,.test")
    async with (
        behind("http", tls, monkeypatch) as (proxy, server),
        client_of(f"https://api.test:{server.port}") as client,
    ):
        await client.balance()
    assert (proxy.heads, len(server.asked)) == ([], 1)


@pytest.mark.parametrize(
    "no_proxy", ["", "example.test", "[::1", "127.0.0.1:1", ":::", "10.0.0.0/99", "http://", "-", "localhost:1"]
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "x.localhost", "LOCALHOST", "localhost.", "127.1", "[::1]"])
async def test_a_profile_on_this_machine_never_uses_a_proxy(
    host: str, no_proxy: str, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be given the token. Whatever the environment says, broken or not, and however the machine is named."""
    if "::" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    async with http_proxy() as proxy:
        for variable in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        at = "::1" if "::" in host else "127.0.0.1"
        async with serving(always(GOOD, FILM), host=at) as server, client_of(f"http://{host}:{server.port}") as client:
            assert (await client.balance()).available == 7
            await client.download(f"http://{host}:{server.port}/v", tmp_path / "f")
            monkeypatch.setenv("ALL_PROXY", "nonsense://x")
            monkeypatch.setenv("HTTPS_PROXY", "nonsense://x")
            await client.download(f"http://{host}:{server.port}/v", tmp_path / "f")

    assert proxy.heads == []
    assert len(server.asked) == 3


async def test_a_profile_on_this_machine_fetches_files_of_other_hosts_straight(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address of a file is signed, so the proxy is not told of it either."""
    async with http_proxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        road, recorded = road_to(names, ["93.184.216.34"], near="localhost")
        with pytest.raises(httpcore.ConnectError):
            await road.connect_tcp("cdn.test", 443, 1.0)
    assert (proxy.heads, recorded.connected) == ([], ["93.184.216.34"])


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "2130706433", "0x7f.1", "localhost"],
)
@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_a_proxy_is_not_asked_for_a_private_address(
    host: str, kind: str, names: Names, tls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may stand where such addresses lead somewhere. Names it finds by itself, so they cannot be judged here."""
    names.set("api.test", ["93.184.216.34"])
    async with behind(kind, tls, monkeypatch) as (proxy, _):
        for near in ("https://api.test", "https://93.184.216.34"):
            with pytest.raises(RenderFailed, match="not allowed"):
                await fetched(f"https://{host}/v", near, tmp_path / "f")
            with pytest.raises(RenderFailed):
                await ConnectionBackend(near[8:], judged=True).connect_tcp(host.strip("[]"), 443, 1.0)
    assert proxy.heads == []


async def test_nothing_leaves_this_machine_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even for a profile that was made by hand, past the check of its address."""
    async with http_proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with client_of("http://93.184.216.34") as client:
            with pytest.raises(ConnectError, match="it is not encrypted") as caught:
                await client.balance()
    assert isinstance(caught.value, NemoError)
    assert proxy.heads == []


# --- Keep-alive -----------------------------------------------------------------------------------------------------

_PROBES = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 10}
OPEN_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: {}\n\n"


def assert_kept_alive(connection: socket.socket) -> None:
    """By what the operating system says of the socket."""
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    for name, value in _PROBES.items():
        if hasattr(socket, name):
            assert connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value, name


async def open_then_close(_: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(OPEN_STREAM)
    await writer.drain()
    writer.close()


async def stream_socket(client: NemoClient) -> None:
    async with client.http.stream("message", "/run_sse", b"{}") as response:
        assert_kept_alive(response.extensions["network_stream"].get_extra_info("socket"))
        assert await response.aread()


async def test_a_stream_has_keep_alive_straight_to_this_machine() -> None:
    """A dead peer is found by probes, never by a silence that is too long."""
    async with serving(open_then_close) as server, client_of(server.url) as client:
        await stream_socket(client)


async def test_a_stream_has_keep_alive_straight_to_a_name(names: Names, tls: Any) -> None:
    """Found by the resolver, encrypted."""
    names.set("api.test", ["127.0.0.1"])
    async with serving(open_then_close, tls=tls) as server, client_of(f"https://api.test:{server.port}") as client:
        await stream_socket(client)


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
async def test_a_stream_has_keep_alive_through_every_proxy(
    kind: str, names: Names, tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the proxy: that is where the connection ends, TLS in TLS included."""
    async with behind(kind, tls, monkeypatch, open_then_close) as _, client_of("https://api.test") as client:
        await stream_socket(client)


async def test_calls_and_downloads_have_keep_alive_too(names: Names, tls: Any) -> None:
    """There is one way in which connections are made."""
    names.set("cdn.test", ["127.0.0.1"])
    async with serving(always(FILM), tls=tls) as server:
        for judged in (True, False):
            road = ConnectionBackend("127.0.0.1" if judged else "cdn.test", judged=judged)
            stream = await road.connect_tcp("127.0.0.1" if judged else "cdn.test", server.port, 5)
            assert_kept_alive(stream.get_extra_info("socket"))
            await stream.aclose()

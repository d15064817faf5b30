"""Calls: retries where they are harmless, tokens renewed where they may be, errors that say what it was, quiet logs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import json
import logging
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from nemo_client import ApiError, BadAnswer, ConnectError, ConnectionBroken, NemoClient, RateLimited, SignInError
from nemo_client._config.credentials import FixedToken, Token
from nemo_client._config.profiles import Profile
from nemo_client._safety.redaction import isolate_secrets
from nemo_client._wire.http import Http, translate_transport_error
from tests.support.backend import TOKEN, Asked, Clock, Reply, always, answer, client_of, serving

GOOD = answer({"code": 0, "data": {"available": 7}})
REFUSED = answer({"code": 1001, "message": "expired"}, 401)


class Tokens:
    """A token source that gives the next token when one is refused, as long as it has some."""

    def __init__(self, *values: str) -> None:
        self._left = list(values)
        self.refused: list[str] = []

    async def token(self) -> Token:
        return Token(self._left[0], "anonymous")

    async def renew(self, refused: Token) -> Token | None:
        self.refused.append(refused.value)
        if len(self._left) == 1:
            return None
        self._left.pop(0)
        return await self.token()

    async def finish_sign_up(self) -> None:
        return None


@contextlib.asynccontextmanager
async def said(*answers: bytes, tokens: Tokens | None = None) -> AsyncIterator[tuple[NemoClient, list[Asked], Clock]]:
    clock = Clock()
    async with serving(always(*answers)) as server, client_of(server.url, clock, tokens) as client:
        yield client, server.asked, clock


async def test_a_refused_token_is_renewed_once_and_the_call_repeated() -> None:
    """1001: new token, once more."""
    tokens = Tokens("one", "two")
    async with said(REFUSED, GOOD, tokens=tokens) as (client, asked, clock):
        assert (await client.balance()).available == 7

    assert [each.headers["authorization"] for each in asked] == ["Bearer one", "Bearer two"]
    assert clock.slept == []


async def test_a_second_refusal_is_final() -> None:
    """Never in circles."""
    tokens = Tokens("one", "two", "three")
    async with said(REFUSED, tokens=tokens) as (client, asked, _):
        with pytest.raises(SignInError, match="profile 'nemo'"):
            await client.balance()

    assert len(asked) == 2
    assert tokens.refused == ["one"]


async def test_a_refused_message_renews_no_token() -> None:
    """`/run_sse` is never repeated, so a new token would only strand the session of the old one."""
    tokens = Tokens("one", "two")
    async with said(REFUSED, tokens=tokens) as (client, asked, _):
        with pytest.raises(SignInError):
            async with client.run("s", "go"):
                pass

    assert (len(asked), tokens.refused) == (1, [])


async def test_a_token_that_may_not_be_replaced_is_told() -> None:
    """The user's own: said so, not replaced silently."""
    async with said(REFUSED, tokens=Tokens("mine")) as (client, asked, _):
        with pytest.raises(SignInError):
            await client.balance()

    assert len(asked) == 1


async def test_a_rate_limit_is_waited_out_once() -> None:
    """429: once more after 30 s; after what the server asks for, where it does."""
    async with said(answer({}, 429), GOOD) as (client, asked, clock):
        await client.balance()
        assert (len(asked), clock.slept) == (2, [30.0])
    async with said(answer({"code": 429}, retry_after=4), answer({}, 429)) as (client, asked, clock):
        with pytest.raises(RateLimited):
            await client.balance()
        assert (len(asked), clock.slept) == (2, [4.0])


async def test_a_server_in_trouble_is_asked_again_a_few_times() -> None:
    """For calls that do no harm; 500 is an answer, which a few tries do not change."""
    async with said(answer({}, 500), answer(b"<html>", 502, content_type="text/html"), GOOD) as (client, asked, clock):
        assert (await client.balance()).available == 7
        assert (len(asked), clock.slept) == (3, [0.5, 1.0])
    async with said(answer({}, 500)) as (client, asked, clock):
        with pytest.raises(BadAnswer, match="NemoVideo is unavailable"):
            await client.balance()
        assert (len(asked), clock.slept) == (4, [0.5, 1.0, 2.0])


AWAY = (408, 425, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530)


def away_for(seconds: float, clock: Clock, *, then: bytes = GOOD, during: bytes | None) -> Reply:
    """A server that is away for so long by `clock`: it answers `during`, or hangs up without a word."""
    back = clock.now + seconds

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        if clock.now >= back:
            writer.write(then)
        elif during is None:
            writer.close()
        else:
            writer.write(during)

    return reply


@pytest.mark.parametrize("status", [*AWAY, None], ids=lambda status: str(status or "dropped"))
async def test_half_a_minute_of_a_server_that_is_away_costs_half_a_minute(status: int | None) -> None:
    """A deployment, a gateway that restarts: by time, not by a count of tries."""
    clock = Clock()
    during = None if status is None else answer({"message": "away"}, status)
    async with serving(away_for(30, clock, during=during)) as server, client_of(server.url, clock) as client:
        assert (await client.balance()).available == 7

    assert 30 <= sum(clock.slept) <= 36
    assert len(server.asked) < 15


@pytest.mark.parametrize("status", [503, 521, None], ids=lambda status: str(status or "dropped"))
async def test_a_server_that_stays_away_is_told_within_a_minute(status: int | None) -> None:
    """Patience ends."""
    clock = Clock()
    during = None if status is None else answer({}, status)
    async with serving(away_for(1e9, clock, during=during)) as server, client_of(server.url, clock) as client:
        with pytest.raises((BadAnswer, ConnectionBroken)):
            await client.balance()

    assert 40 <= sum(clock.slept) <= 60


@pytest.mark.parametrize("wish", ["0", "-3", "Sat, 01 Aug 2026 00:00:00 GMT", "Sat, 01 Aug 2026 00:00:00"])
@pytest.mark.parametrize("status", [429, 503])
async def test_no_pause_is_none(wish: str, status: int) -> None:
    """`Retry-After: 0`, or a moment that has passed, is now."""
    busy = answer({}, status, retry_after=wish, date="Sat, 01 Aug 2026 00:00:09 GMT")
    async with said(busy, GOOD) as (client, _, clock):
        await client.balance()

    assert clock.slept == [0.0]


async def test_a_server_that_asks_for_no_pause_is_not_asked_without_end() -> None:
    """Taken at its word a few times, then with pauses that grow."""
    async with said(answer({}, 503, retry_after=0)) as (client, asked, clock):
        with pytest.raises(BadAnswer):
            await client.balance()

    assert clock.slept[:3] == [0.0, 0.0, 0.0]
    assert len(asked) < 20


async def test_one_401_in_the_middle_of_a_job_is_asked_once_more() -> None:
    """It can come from anything on the way: with the same token, before anybody is told that it expired."""
    for kind in ("user", "anonymous"):
        tokens = FixedToken(Token("mine", kind))  # type: ignore[arg-type]
        async with said(GOOD, answer({}, 401), GOOD, tokens=tokens) as (client, asked, clock):
            await client.balance()
            assert (await client.balance()).available == 7

        assert [each.headers["authorization"] for each in asked] == ["Bearer mine"] * 3
        assert clock.slept == [1.0]


async def test_a_token_that_worked_is_replaced_only_after_its_second_401() -> None:
    """A free one comes once in a week."""
    tokens = Tokens("one", "two")
    async with said(GOOD, REFUSED, REFUSED, GOOD, tokens=tokens) as (client, asked, _):
        await client.balance()
        await client.balance()

    assert [each.headers["authorization"][-3:] for each in asked] == ["one", "one", "one", "two"]


async def test_json_is_escaped_whatever_others_made_of_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other node packs change what `json.dumps` does by itself."""
    monkeypatch.setattr(json.JSONEncoder, "ensure_ascii", False, raising=False)
    plain = json.dumps
    monkeypatch.setattr(json, "dumps", functools.partial(plain, ensure_ascii=False))
    async with said(answer({"code": 0, "data": {"id": "r"}})) as (client, asked, _):
        await client.submit_render("r", "s", {"t": "\u732b\ud83d"}, {})

    assert b"\\u732b\\ud83d" in asked[0].body


FREE_SESSION = answer({"code": 0, "data": {"session_id": "s", "task_id": "t", "user_id": "anon_7"}})


async def asked_for(client: NemoClient, call: str) -> None:
    if call == "balance":
        await client.balance()
    elif call == "render":
        await client.submit_render("r", "s", {}, {})
    else:
        async with client.run("s", "go"):
            pass


@pytest.mark.parametrize(
    ("said_first", "refusal", "call", "words"),
    [
        (FREE_SESSION, answer({"code": 1001}, 401), "balance", r"Unset NEMO_TOKEN.*web\.test/register\?bind=anon_7"),
        (FREE_SESSION, answer({"code": 402}), "render", r"no export.*web\.test/register\?bind=anon_7"),
        (FREE_SESSION, answer({}, 403), "render", r"no export.*web\.test/register\?bind=anon_7"),
        (FREE_SESSION, answer({"code": 402}), "message", r"does not include this .request..*bind=anon_7"),
        (FREE_SESSION, answer({"code": 2001}), "message", r"Not enough credits.*bind=anon_7"),
        (GOOD, answer({"code": 1001}, 401), "balance", r"wrong or has expired.*unset it.*free account"),
        (GOOD, answer({"code": 402}), "render", r"Register or upgrade your plan to unlock export"),
        (GOOD, answer({}, 403), "render", r"Register or upgrade your plan to unlock export"),
        (GOOD, answer({"code": 402}), "message", r"plan does not include this .request."),
    ],
)
async def test_the_remedy_is_that_of_the_account(
    said_first: bytes, refusal: bytes, call: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A free account's token in NEMO_TOKEN is still a free account's."""
    monkeypatch.setenv("NEMO_TOKEN", TOKEN)
    # Tokens of other tests can be pieces of a link.
    with isolate_secrets():
        await _check_remedy(said_first, refusal, call, words)


async def _check_remedy(said_first: bytes, refusal: bytes, call: str, words: str) -> None:
    async with said(said_first, refusal) as (client, _, __):
        if said_first == FREE_SESSION:
            await client.create_session("en")
        else:
            await client.balance()
        client.http.profile = replace(client.http.profile, token_env="NEMO_TOKEN")
        with pytest.raises(ApiError, match=words) as caught:
            await asked_for(client, call)

    assert "?" not in str(caught.value).replace("?bind", "").replace("(? left)", "")
    assert ("unlock export" in str(caught.value)) == (call == "render")


async def test_calls_with_an_effect_are_not_repeated() -> None:
    """An upload, a sign-up and a render may have had theirs."""
    async with said(answer({}, 503)) as (client, asked, clock):
        for call in (
            client.upload_urls("s", ["https://x.test"]),
            client.anonymous_token(),
            client.submit_render("r", "s", {}, {}),
        ):
            with pytest.raises(BadAnswer):
                await call
        assert (len(asked), clock.slept) == (3, [])


@pytest.mark.parametrize(
    "cut", [b"", b"HTTP/1.1 200 OK\r\n", answer(b"x", content_length=50), b"nonsense\r\n\r\n"], ids=range(4)
)
async def test_a_broken_answer_is_asked_for_again_and_then_told(cut: bytes) -> None:
    """Cut before, in or after its headers; the text names host and call."""
    clock = Clock()

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(cut)
        writer.close()

    async with serving(reply) as server, client_of(server.url, clock) as client:
        with pytest.raises(ConnectionBroken, match=r"The connection to 127\.0\.0\.1 broke .balance."):
            await client.balance()

    assert len(server.asked) > 4


async def test_an_answer_without_end_is_not_kept_in_memory() -> None:
    """Bounded, and told."""
    async with serving(always(answer(b"x" * 200_000))) as server:
        clock = Clock()
        http = Http(
            Profile("nemo", server.url), "c", Tokens("t"), sleep=clock.sleep, clock=clock.time, max_answer_bytes=100_000
        )
        with pytest.raises(ConnectionBroken, match="more than 100000 bytes"):
            await NemoClient(http).balance()
        await http.aclose()


async def test_no_connection_is_told_by_its_cause() -> None:
    """Refused: not one byte was written, whatever the call, so it may be tried again."""
    clock = Clock()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with client_of(f"http://127.0.0.1:{taken.getsockname()[1]}", clock) as client:
            with pytest.raises(ConnectError, match="No connection to 127") as caught:
                await client.upload_urls("s", ["https://x.test"])

    assert (caught.value.charged, len(clock.slept)) == ("no", 3)


def caused(error: httpx.HTTPError, cause: BaseException) -> httpx.HTTPError:
    error.__cause__ = cause
    return error


CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate verify failed")
CERTIFICATE.verify_message = "self-signed certificate"


@pytest.mark.parametrize(
    ("error", "started", "text_id", "words"),
    [
        (
            caused(httpx.ConnectError("x"), socket.gaierror(-2, "Name or service not known")),
            True,
            "connect-dns",
            "api.test",
        ),
        (caused(httpx.ConnectError("x"), CERTIFICATE), True, "connect-tls", "self-signed certificate"),
        (
            caused(httpx.ConnectError("x"), ConnectionRefusedError(111, "Connection refused")),
            True,
            "connect-refused",
            "refused",
        ),
        (httpx.ConnectTimeout("x"), True, "connect-timeout", "does not answer"),
        (httpx.ReadTimeout("x"), True, "answer-timeout", "stopped answering"),
        (httpx.ReadError("x"), True, "answer-broken", "broke"),
        (httpx.RemoteProtocolError("x"), True, "answer-broken", "broke"),
        (httpx.WriteError("x"), False, "connect-refused", "No connection"),
        (httpx.ReadError("x"), False, "connect-refused", "No connection"),
    ],
)
def test_connection_errors_say_which_of_dns_proxy_tls_and_server_it_was(
    error: httpx.HTTPError, started: bool, text_id: str, words: str
) -> None:
    """People in offices and in China ask for just this; before the body was begun, nothing can be out."""
    told = translate_transport_error(error, "the call", "api.test", body_started=started)

    assert told.id == text_id
    assert words in str(told)
    assert isinstance(told, ConnectError) == text_id.startswith("connect-")


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH])
def test_why_a_host_is_not_reached_is_said_in_the_user_s_language(number: int) -> None:
    """The operating system's own words are English."""
    told = translate_transport_error(
        caused(httpx.ConnectError("x"), OSError(number, os.strerror(number))), "credits", "主机", body_started=False
    )

    assert not re.search("[a-z]", told.text("zh"))
    assert "主机: the " in told.text("en")


@pytest.mark.parametrize("token", ["two words", "tail\n", "naïve", ""])
async def test_a_token_that_cannot_be_a_header_is_not_sent(token: str) -> None:
    """A pasted line break must not become a header of its own, nor a stack trace with the token in it."""
    async with client_of("http://127.0.0.1:9", tokens=Tokens(token)) as client:
        if not token:
            return
        with pytest.raises(SignInError) as caught:
            await client.balance()
    assert token not in str(caught.value)


async def test_a_proxy_address_that_makes_no_sense_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear sentence instead of a stack trace at the first call."""
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://x")
    http = Http(Profile("nemo", "https://api.test"), "c", Tokens("t"), sleep=Clock().sleep)

    with pytest.raises(ConnectError, match="HTTPS_PROXY"):
        await NemoClient(http).balance()


async def test_logs_show_no_address_and_no_token(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """httpx writes every URL at INFO, httpcore every header at DEBUG; URLs can be signed."""
    caplog.set_level(logging.DEBUG)
    moved = answer(b"", 302, location="/v.mp4?sig=SECRET2")
    async with said(GOOD, moved, answer(b"film"), tokens=Tokens("SECRET1")) as (client, asked, _):
        await client.balance()
        host = asked[0].headers["host"]
        await client.download(f"http://{host}/film?sig=SECRET3", tmp_path / "f")

    assert len(asked) == 3
    assert "SECRET" not in caplog.text
    assert "HTTP Request" not in caplog.text


async def test_other_users_of_httpx_keep_their_log(caplog: pytest.LogCaptureFixture) -> None:
    """The filter is for our own requests."""
    caplog.set_level(logging.INFO)
    async with said(GOOD, GOOD) as (client, _, __), httpx.AsyncClient(trust_env=False) as other:
        await client.balance()
        assert "HTTP Request" not in caplog.text
        await other.get(client.http.profile.api_url)

    assert "HTTP Request" in caplog.text


async def test_the_servers_clock_is_noted() -> None:
    """Its own times are what its answers go by."""
    dated = answer({"code": 0, "data": {"available": 1}}, date="Sat, 01 Aug 2026 00:00:00 GMT")
    async with said(dated, answer({"code": 0, "data": {"available": 1}}, date="yesterday")) as (client, _, __):
        await client.balance()
        await client.balance()

    assert client.http.server_date == 1785542400.0


async def test_retry_after_can_be_a_date() -> None:
    """By the server's own clock."""
    busy = answer({}, 503, retry_after="Sat, 01 Aug 2026 00:00:09 GMT", date="Sat, 01 Aug 2026 00:00:02 GMT")
    async with said(busy, GOOD) as (client, _, clock):
        await client.balance()

    assert clock.slept == [7.0]


async def test_connections_are_used_again() -> None:
    """One handshake for many calls."""
    async with serving(always(GOOD)) as server, client_of(server.url) as client:
        for _ in range(5):
            await client.balance()
    assert server.connections == 1

"""No secret leaves: a marked token goes through success and every failure, and is searched in all that comes out."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import errno
import json
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from nemo_client import (
    AuthHandle,
    Destination,
    DiskError,
    InputError,
    NemoError,
    Secret,
    SessionHandle,
    SignInError,
    Wish,
    home,
    list_jobs,
    local,
    profile,
    redact,
    set_token,
)
from nemo_client._config.credentials import CredentialStore, FixedToken, Token
from nemo_client._config.paths import ensure_home
from nemo_client._errors import BadAnswer
from nemo_client._safety import redaction
from nemo_client._safety.redaction import BEGINNING, FOR_PEOPLE, KNOWN, register_secret, scrub, scrub_data
from nemo_client._wire.client import NemoClient
from nemo_client._wire.envelope import Answer
from nemo_client._wire.upload import UploadPart
from tests.support import backend
from tests.support.backend import Cloud, always, answer, client_of, picture, serving
from tests.support.marked_token import ATTRIBUTES, CLAIM, MARK, Logs, clean, files, requests, spelled, told_by, traces
from tests.support.samples import mark_all_but_every

cloud = backend.cloud

ALL_SPELLINGS = " | ".join(spelled().values())
PAGE = f"<html><body><h1>Bad Gateway</h1><pre>Authorization: Bearer {MARK}\n{ALL_SPELLINGS}</pre></body></html>"
TEXT = "text/html"
HEADERS = {"X-Echo": f"Bearer {MARK}", "Set-Cookie": f"token={MARK}; Path=/"}
# What a server may say the token back in.
ECHOES: dict[str, dict[str, Any]] = {
    "401": {"status": 401, "code": 1001, "message": f"Bad token: {ALL_SPELLINGS}"},
    "401 page": {"status": 401, "body": PAGE, "content_type": TEXT},
    "403": {"status": 403, "code": 403, "message": f"Not for {ALL_SPELLINGS}"},
    "403 page": {"status": 403, "body": PAGE, "content_type": TEXT},
    "500": {"status": 500, "code": 500, "message": f"Internal error with {ALL_SPELLINGS}"},
    "502 page": {"status": 502, "body": PAGE, "content_type": TEXT, "headers": HEADERS},
    "a page in the place of an answer": {"body": PAGE, "content_type": TEXT},
    "a type of its own": {"status": 400, "body": PAGE, "content_type": "application/x-echo"},
    "half an answer": {"body": f'{{"code": 0, "data": {{"seen": "{MARK}", "session_id": "'},
    "an answer of another shape": {"body": json.dumps({"code": 0, "data": ["Bearer " + MARK]})},
    "another code": {"code": 9999, "message": f"What is {ALL_SPELLINGS}?"},
    "a redirect": {"status": 307, "headers": {"Location": f"http://127.0.0.1:9/?token={MARK}"}, "body": PAGE},
}
FAULTS = ("refuse", "close_before_headers", "close_after_headers", "http_503", "truncated_json", "expired_token")
ENDPOINTS = ("session", "upload", "state", "credits", "message", "render", "render-status", "files", "download")
# Each of them at one endpoint, and those that tell most at all.
SAID = [("session", echo) for echo in ECHOES] + [
    (endpoint, echo) for endpoint in ENDPOINTS[1:] for echo in ("403", "502 page", "half an answer")
]
BROKEN = [("session", kind) for kind in FAULTS] + [
    (endpoint, kind) for endpoint in ENDPOINTS[1:] for kind in ("refuse", "close_after_headers")
]


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    """As in a process that begins."""
    with redaction.isolate_secrets():
        yield


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is only temporary is written where the search looks, too."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def logs() -> Iterator[Logs]:
    with Logs() as kept:
        yield kept


class Trial:
    """The whole way with the marked token, and all that came out of it."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        self.folder = folder
        self.shown: dict[str, str] = {}
        self.errors: list[NemoError] = []

    async def run(self) -> None:
        """Upload, generate, edit, export, look at everything; an error is kept with all that it tells."""
        try:
            await self._way()
        except NemoError as error:
            self.errors.append(error)
            self.shown |= {f"error {len(self.errors)}, {name}": text for name, text in told_by(error).items()}

    async def go_on(self, endpoint: str) -> None:
        """The same again an hour later, without the fault, where a paid message may have been out meanwhile."""
        if endpoint == "message":
            self.cloud.faults.clear()
            self.cloud.clock.now += 3600
            await self.run()

    async def _way(self) -> None:
        async with self.cloud.studio() as studio:
            self._show(studio, vars(studio), vars(studio._context), vars(studio._context.client.http))
            session = await studio.upload([picture()])
            turned = await studio.generate(session, Wish("slow push-in", duration=2))
            self._show(session, turned, await studio.credits(), await studio.view(turned.session))
            self._show(await studio.registration_link())
            video = await studio.export(turned.session, Destination(self.folder, "clip"))
            edited = await studio.edit(turned.session, "make it 4 seconds")
            self._show(
                video, asdict(video), edited, [job.to_json() for job in await list_jobs(studio._context.journal)]
            )

    def _show(self, *values: object) -> None:
        self.shown |= {f"value {len(self.shown)} {type(each).__name__}": repr(each) for each in values}

    def judge(self, logs: Logs, tmp_path: Path, *, kept: bool = False) -> None:
        """The mark is nowhere but in `Authorization`, and in the credentials file (0600) where it is `kept` there."""
        clean({**self.shown, "logs": logs.text})
        clean(requests(self.cloud.backend.calls))
        clean(files(tmp_path, but=["credentials.json"] if kept else []))
        if kept:
            assert traces((home() / "credentials.json").read_bytes())
            assert (home() / "credentials.json").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def trial(cloud: Callable[..., Cloud], tmp_path: Path) -> Trial:
    return Trial(cloud(token=MARK, private_urls=True), tmp_path / "videos")


# --- The search itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", spelled())
def test_the_search_finds_each_spelling(name: str) -> None:
    """Amid other text and bytes; else all that follows would prove nothing."""
    assert traces(f"before {spelled()[name]} after")
    assert traces(b"\xff\x00" + spelled()[name].encode() + b"\x00")
    assert not traces("nmv_usr_other1, and nothing else")


def test_the_search_sees_the_variables_of_an_error(tmp_path: Path) -> None:
    """In a frame that is not of the tests, in an attribute, in a cause that is not shown."""
    space: dict[str, Any] = {}
    program = "def f(token):\n try:\n  int(token)\n except ValueError:\n  raise KeyError from None"
    exec(compile(program, "/none.py", "exec"), space)  # noqa: S102 - frames of a file that is not the tests'

    with pytest.raises(KeyError) as caught:
        space["f"](MARK)

    told = told_by(caught.value)
    assert traces(told["its traceback"])
    assert traces(told["as rich shows it"])
    assert traces(told["cause 1"])


# --- The whole way ----------------------------------------------------------------------------------------------------


async def test_nothing_holds_the_token_when_all_goes_well(trial: Trial, logs: Logs, tmp_path: Path) -> None:
    """Also with the loop's own debugging, which logs each callback with its arguments."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0

    await trial.run()

    assert not trial.errors
    assert any(line.startswith("asyncio: Executing") for line in logs.lines)
    trial.judge(logs, tmp_path)


@pytest.mark.parametrize(("endpoint", "echo"), mark_all_but_every(3, SAID, "nightly"))
async def test_a_server_that_says_the_token_back_is_not_repeated(
    endpoint: str, echo: str, trial: Trial, logs: Logs, tmp_path: Path
) -> None:
    """Not in an error, its variables, a log, the journal, a file or another request; afterwards it goes on."""
    trial.cloud.fault("answer", endpoint, count=None, **ECHOES[echo])
    if endpoint == "download":
        trial.cloud.fault("expired_url", "files", count=None)
    await trial.run()
    await trial.go_on(endpoint)

    assert ("answer", endpoint) in trial.cloud.faults.fired
    assert trial.errors or (endpoint, echo) in (("files", echo), ("message", "403"))
    trial.judge(logs, tmp_path)


@pytest.mark.parametrize(("endpoint", "kind"), mark_all_but_every(3, BROKEN, "nightly"))
async def test_a_broken_connection_shows_no_token(
    endpoint: str, kind: str, trial: Trial, logs: Logs, tmp_path: Path
) -> None:
    """The libraries below hold the bytes that were being sent: their frames do not come along."""
    trial.cloud.fault(kind, endpoint, count=None)
    await trial.run()
    trial.cloud.faults.clear()
    trial.cloud.clock.now += 3600
    await trial.run()

    # What a half of a spelling leaves in an attribute of an object is no secret yet.
    trial.shown = {place: text for place, text in trial.shown.items() if " at " not in place}
    trial.judge(logs, tmp_path)


@pytest.mark.parametrize("name", spelled())
async def test_an_agent_that_says_the_token_back_is_not_quoted(
    name: str, trial: Trial, logs: Logs, tmp_path: Path
) -> None:
    """Neither in the reply, which goes to a graph, nor in the journal, nor where pieces of it make it whole."""
    said = f"You are {spelled()[name]}, I see."
    pieces = [{"type": "text", "content": part} for part in (said[:18], said[18:])]
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in [*pieces, {"type": "text", "content": said}])
    trial.cloud.fault("answer", "message", body=body, content_type="text/event-stream")

    await trial.run()

    # What a half of a spelling leaves in an attribute of an object is no secret yet.
    trial.shown = {place: text for place, text in trial.shown.items() if " at " not in place}
    trial.judge(logs, tmp_path)


async def test_events_hold_no_token_whatever_they_are() -> None:
    """Names of tools become progress under a node, what tools say can be looked at by the user of the client."""
    said: list[dict[str, Any]] = [
        {"type": "tool_call", "name": f"use {MARK}", "args": {"key": MARK}},
        {"type": "tool_result", "name": "look", "result": [f"Bearer {MARK}"]},
        {"content": {"parts": [{"text": MARK}], "role": "model"}, "actions": {"stateDelta": {"seen": MARK}}},
        {"error": "failed", "error_details": {"message": MARK}},
        {"unheard": MARK},
    ]
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in said).encode()
    stream = always(answer(body, content_type="text/event-stream"))
    found = []
    token = FixedToken(Token(MARK, "user"))
    async with (
        serving(stream) as server,
        client_of(server.url, tokens=token) as client,
        client.run("s", "hello") as events,
    ):
        async for event in events:
            found.append(repr(event))

    assert len(found) > len(said)
    clean({f"event {number}": event for number, event in enumerate(found)})


def test_an_answer_shows_nothing_of_what_was_written() -> None:
    """Neither its body nor its type."""
    shown = repr(Answer("state", "api.test", 200, f"text/{MARK}", MARK.encode()))

    assert "state" in shown
    assert not traces(shown)


# --- Signing up and signing in ----------------------------------------------------------------------------------------


def signed_up(**changes: Any) -> dict[str, Any]:
    """A fault that answers a sign-up with the marked token."""
    return {"body": json.dumps({"code": 0, "data": {"token": MARK, "user_id": "anon_1", **changes}})}


@pytest.fixture
def free(cloud: Callable[..., Cloud], tmp_path: Path) -> Trial:
    """A cloud that gives the marked token to each sign-up."""
    return Trial(cloud(token=MARK, anonymous=True), tmp_path / "videos")


@pytest.mark.parametrize("known", [False, True])
async def test_a_free_account_s_token_is_kept_in_its_file_alone(
    known: bool, free: Trial, logs: Logs, tmp_path: Path
) -> None:
    """From the sign-up's answer into the file, and from there into the headers of the next program.

    Also one that was known here before: it is not taken out of the answer that brings it.
    """
    free.cloud.fault("answer", "anonymous-token", count=None, **signed_up())
    if known:
        register_secret(Secret(MARK))

    await free.run()
    await free.run()

    assert not free.errors
    assert free.cloud.sent("anonymous-token") == 1
    free.judge(logs, tmp_path, kept=True)


@pytest.mark.parametrize(
    "answered",
    [
        pytest.param({"body": json.dumps({"code": 0, "data": {"token": {"is": MARK}}})}, id="a token of another type"),
        pytest.param({"body": json.dumps({"token": [MARK]})}, id="bare, and of another type"),
        pytest.param({**signed_up(), "status": 500}, id="with a token, and refused"),
        pytest.param({"body": signed_up()["body"][:-9]}, id="half of it"),
        pytest.param({"body": json.dumps({"code": 0, "data": {"token": MARK * 300}})}, id="too long"),
        pytest.param({"body": json.dumps({"code": 0, "data": [MARK]})}, id="in a list"),
        pytest.param({"body": json.dumps({"code": 429, "data": {"token": MARK}, "message": MARK})}, id="a refusal"),
    ],
)
async def test_a_sign_up_that_goes_wrong_shows_no_token(
    answered: dict[str, Any], free: Trial, logs: Logs, tmp_path: Path
) -> None:
    """No one keeps it, and the error's variables do not hold it either."""
    free.cloud.fault("answer", "anonymous-token", count=None, **answered)

    await free.run()

    assert free.errors
    free.judge(logs, tmp_path)


@pytest.mark.parametrize("full", ["os.fsync", "pathlib.Path.replace"])
async def test_a_full_disk_does_not_show_what_it_did_not_take(
    full: str, free: Trial, logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a sign-up it is a warning; of a token that was typed an error."""
    ensure_home(home())
    free.cloud.fault("answer", "anonymous-token", count=None, **signed_up())
    await free.run()  # before the disk is full: the client id, the journal

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (home() / "credentials.json").unlink()
    monkeypatch.setattr(full, no_space)
    with pytest.raises(DiskError) as caught:
        set_token("nemo", MARK)
    clean(told_by(caught.value))
    await free.run()
    monkeypatch.undo()

    assert any("lasts for this run only" in line for line in logs.lines)
    free.judge(logs, tmp_path)


@pytest.mark.parametrize("odd", ["{} x", "{}\x7f", "{}\u00e9", "{}\nHost: elsewhere.test"])
async def test_a_token_that_is_none_is_not_quoted(
    odd: str, trial: Trial, logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither as it stands in the environment, nor where it is pasted."""
    monkeypatch.setenv("NEMO_TOKEN", odd.format(MARK))
    await trial.run()
    monkeypatch.delenv("NEMO_TOKEN")
    with pytest.raises(InputError, match="token") as caught:
        set_token("nemo", odd.format(MARK))

    assert isinstance(trial.errors[0], SignInError)
    clean(told_by(caught.value))
    trial.judge(logs, tmp_path)


BROKEN_FILES = {
    "cut": f'{{"version": 1, "tokens": {{"nemo": {{"token": "{MARK}"',
    "no text": f'{{"tokens": {{"nemo": "{MARK}\\udcff"}}}}',
    "a list": json.dumps([MARK]),
    "tokens as a list": json.dumps({"tokens": [MARK]}),
    "deep": "[" * 100_000 + MARK,
}


@pytest.mark.parametrize("name", BROKEN_FILES)
async def test_a_broken_credentials_file_is_not_quoted(
    name: str, trial: Trial, logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parser's error holds the whole text; ours names the file alone."""
    monkeypatch.delenv("NEMO_TOKEN")
    path = ensure_home(home()) / "credentials.json"
    path.write_bytes(BROKEN_FILES[name].encode().replace(b"\\udcff", b"\xff"))
    path.chmod(0o600)

    await trial.run()
    with pytest.raises(DiskError) as caught:
        set_token("nemo", "nmv_usr_another1")

    assert isinstance(trial.errors[0], DiskError)
    clean(told_by(caught.value))
    trial.judge(logs, tmp_path, kept=True)


async def test_entries_of_other_profiles_stay_secret_while_one_is_written(tmp_path: Path) -> None:
    """Whatever they are; and they stay as they were."""
    place = ensure_home(tmp_path)
    entries = {"mine": {"token": MARK, "origin": "https://mine.test:443"}, "odd": MARK, "new": {"token": 7}}
    (place / "credentials.json").write_text(json.dumps({"tokens": entries}))
    set_token("nemo", "nmv_usr_another1", place)

    written = json.loads((place / "credentials.json").read_text())["tokens"]
    assert {name: written[name] for name in entries} == entries
    clean({"entries": repr(CredentialStore(place)._load())})


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_credentials_file_that_others_can_read_is_closed_and_said(tmp_path: Path, logs: Logs) -> None:
    """Such as one from a backup."""
    set_token("nemo", MARK, tmp_path)
    path = tmp_path / "credentials.json"
    path.chmod(0o644)

    found = CredentialStore(tmp_path).read(profile("nemo", tmp_path))

    assert found is not None
    assert found.value == MARK
    assert path.stat().st_mode & 0o777 == 0o600
    assert sum("others on this machine" in line for line in logs.lines) == 1


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    """The next change of the file, under its lock, takes away the token's copies."""
    set_token("nemo", "nmv_usr_another1", tmp_path)
    (tmp_path / ".credentials.json.x1y2").write_text(MARK)

    set_token("nemo", "", tmp_path)

    clean(files(tmp_path))


# --- The network ------------------------------------------------------------------------------------------------------


SAID_RAW = {
    "no TLS": f"HTTP/1.1 400 {MARK}\r\n\r\n".encode(),
    "no HTTP": f"Bearer {MARK}\r\n\r\n".encode(),
    "an odd header": f"HTTP/1.1 200 OK\r\nBearer {MARK}\r\n\r\n".encode(),
    "a reason": f"HTTP/1.1 500 {MARK}\r\nX-Echo: {MARK}\r\nContent-Length: 0\r\n\r\n".encode(),
    "half a body": f'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{{"seen": "{MARK}'.encode(),
    "odd chunks": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{MARK}\r\n".encode(),
    "no gzip": answer(MARK.encode(), content_encoding="gzip"),
}


async def elsewhere(kind: str, stack: contextlib.AsyncExitStack) -> str:
    """The address of something that is no backend."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(SAID_RAW[kind])
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    if kind == "refused":
        server.close()
    else:
        await stack.enter_async_context(server)
    return f"https://{url}" if kind == "no TLS" else f"http://{url}"


@pytest.mark.parametrize("kind", ["refused", *SAID_RAW])
async def test_whatever_is_at_the_other_end_no_error_shows_the_token(kind: str, logs: Logs, tmp_path: Path) -> None:
    """For calls, uploads, streams and downloads: httpx quotes what it could not read, and holds what it was sending."""
    token = FixedToken(Token(MARK, "user"))
    async with contextlib.AsyncExitStack() as stack:
        url = await elsewhere(kind, stack)
        client = await stack.enter_async_context(client_of(url, tokens=token))
        ways: list[Callable[[], Any]] = [
            client.balance,
            lambda: client.upload_files("s", [UploadPart("a.png", "image/png", b"x" * 100)]),
            lambda: _told(client),
            lambda: client.download_render("r", tmp_path / "video"),
        ]
        for way in ways:
            try:
                await way()
            except NemoError as error:
                clean(told_by(error))
            else:
                assert kind == "no gzip"  # a download takes the bytes as they come
    assert logs.lines
    clean({"logs": logs.text})


async def _told(client: NemoClient) -> None:
    async with client.run("s", "hello") as events:
        async for _ in events:
            pass


async def test_a_cancelled_request_leaves_no_token_in_its_frames(logs: Logs) -> None:
    """A task that was cancelled amid sending keeps the frames of the code that was sending."""
    started = asyncio.Event()

    async def reply(_: backend.Asked, __: asyncio.StreamWriter) -> None:
        started.set()
        await asyncio.sleep(60)

    async with serving(reply) as server, client_of(server.url, tokens=FixedToken(Token(MARK, "user"))) as client:
        task = asyncio.ensure_future(client.balance())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task

    clean({**told_by(caught.value), "logs": logs.text})


async def test_a_cookie_brings_no_token_back() -> None:
    """What a server sets is not sent again."""
    said = answer({"code": 0, "data": {"available": 1}}, set_cookie=f"token={MARK}; Path=/")
    token = FixedToken(Token(MARK, "user"))
    async with serving(always(said)) as server, client_of(server.url, tokens=token) as client:
        await client.balance()
        await client.balance()

    assert [("cookie" in asked.headers, asked.headers["authorization"]) for asked in server.asked] == [
        (False, f"Bearer {MARK}")
    ] * 2


# --- Claim tokens -----------------------------------------------------------------------------------------------------


async def test_a_claim_token_is_made_for_whoever_asks_and_stands_in_that_answer_alone(
    trial: Trial, logs: Logs, tmp_path: Path
) -> None:
    """Nothing else on the whole way makes one."""
    trial.cloud.fault("answer", "claim-token", count=None, body=json.dumps({"code": 0, "data": {"claim_token": CLAIM}}))
    await trial.run()
    before = trial.cloud.sent("claim-token")
    async with trial.cloud.studio() as studio:
        jobs = await list_jobs(studio._context.journal)
        page = await studio.project_page(jobs[0])

    assert (before, page) == (0, f"https://web.test/workspace/claim?ct={CLAIM}")
    assert redact(f"see {page} and {CLAIM}") == "see https://web.test/workspace/claim… and clm_…"
    clean({**trial.shown, "logs": logs.text, **requests(trial.cloud.backend.calls)}, CLAIM)
    clean(files(tmp_path), CLAIM)


@pytest.mark.parametrize(
    "data",
    [{"claim_token": CLAIM, "expires_in": "soon"}, {"claim_token": [CLAIM]}, {"claim_token": CLAIM * 300}, [CLAIM]],
    ids=["a field of another type", "a list", "too long", "no object"],
)
async def test_a_claim_that_goes_wrong_shows_no_claim_token(data: Any, logs: Logs) -> None:
    """Its error holds nothing of what was said."""
    async with serving(always(answer({"code": 0, "data": data}))) as server, client_of(server.url) as client:
        with pytest.raises(BadAnswer) as caught:
            await client.project_page("task", "session")

    clean({**told_by(caught.value), "logs": logs.text}, CLAIM)


# --- What holds a secret ----------------------------------------------------------------------------------------------


async def test_nothing_that_travels_or_is_looked_at_holds_the_token(trial: Trial) -> None:
    """Handles and profiles survive JSON and pickles, without secrets; what holds one does not let it out."""
    handles = [AuthHandle("nemo"), SessionHandle("nemo", "en", "key", "s"), profile("nemo")]
    async with trial.cloud.studio() as studio:
        token = await studio._context.token()
        account = studio._context.client.http.tokens
        holders = [
            studio,
            account,
            token,
            token.value,
            studio._context,
            studio._context.client.http,
            trial.cloud.backend,
        ]
        shown = [f"{each!r} {each!s} {vars(each) if hasattr(each, '__dict__') else ''}" for each in holders[:-1]]
        for each in (token, token.value, copy.copy(token), copy.deepcopy([token])):
            with pytest.raises(TypeError, match="not written down"):
                pickle.dumps(each)
            with pytest.raises(TypeError, match="not JSON serializable"):
                json.dumps(each)

    shown += [pickle.dumps(each).decode("latin-1") + json.dumps(asdict(each)) for each in handles]
    shown += [repr(holders[-1]), repr(asdict(token)), format(token.value), repr([token])]
    clean({f"object {number}": text for number, text in enumerate(shown)})
    assert copy.deepcopy(token).value is token.value


def test_a_preview_that_does_not_start_shows_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its port is taken; what it was told holds the token that it made."""
    monkeypatch.setattr("nemo_client.local.server.server.new_token", lambda: MARK)
    with local.open(tmp_path / "first") as first, pytest.raises(OSError, match="in use") as caught:
        local.open(tmp_path / "second", port=int(first.url.rsplit(":", 1)[1]))

    clean({place: text for place, text in told_by(caught.value).items() if not place.endswith(ATTRIBUTES)})


def test_a_secret_is_compared_and_measured_without_being_shown() -> None:
    """With texts and with its like; anything else is another thing."""
    assert Secret(MARK) == MARK == Secret(MARK)
    assert Secret(MARK) != "other"
    assert Secret(MARK) != 7
    assert (len(Secret(MARK)), bool(Secret(""))) == (18, False)
    assert {Secret(MARK)} == {MARK}
    assert (str(Secret(MARK)), repr(Secret(MARK))) == ("…", "Secret('…')")


@pytest.mark.parametrize("name", spelled())
def test_a_known_token_is_taken_out_of_a_text_in_each_spelling(name: str) -> None:
    """Whatever it looks like: a server of the user's own has tokens of its own kind."""
    odd = "sk/Own+Token=~x9%"
    register_secret(Secret(odd))
    register_secret(Secret(MARK))

    assert not traces(redact(f"seen: {spelled()[name]}!"))
    assert spelled(odd)[name] not in scrub(f"seen: {spelled(odd)[name]}!")
    assert scrub("seen: nothing!") == "seen: nothing!"


def test_long_data_is_freed_of_what_was_sent_and_nothing_else() -> None:
    """Bytes and long texts by the token's beginning, in a time that does not matter; short values are no secrets."""
    register_secret(Secret(MARK))
    register_secret(Secret("short"))
    data = json.dumps({"draft": "x" * FOR_PEOPLE, "seen": f"Bearer {MARK}", "short": "short"}).encode()

    freed = scrub_data(data)

    assert json.loads(freed)["seen"] == "Bearer …"
    assert json.loads(freed)["short"] == "short"
    assert scrub(data.decode()) == freed.decode()
    assert not traces(freed)


def test_only_the_newest_tokens_are_remembered() -> None:
    """A program that runs for months renews its token each week."""
    register_secret(Secret("my-own-first-token"))
    for number in range(KNOWN):
        register_secret(Secret(f"{number:04}-token-number"))

    assert scrub("my-own-first-token") == "my-own-first-token"
    assert scrub("0000-token-number") == "…"
    register_secret(Secret("my-own-first-token"))
    assert scrub("my-own-first-token"[:BEGINNING]) == "…"


def test_an_error_that_quotes_what_was_typed_quotes_no_token() -> None:
    """Somebody pastes it into the wrong field."""
    register_secret(Secret(MARK))
    error = InputError("profile-unknown", name=MARK, names="'nemo'")

    assert not traces(str(error) + error.text("zh"))
    assert "nmv_usr_another" not in str(InputError("profile-unknown", name="nmv_usr_another", names="'nemo'"))

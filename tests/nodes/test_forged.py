"""A workflow in API format can hold anything in the place of a link or a profile's name: no token goes anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from nemo_client import InputError, NemoError, local
from nemo_client._studio.handles import AuthHandle, SessionHandle
from tests.nodes._arrays import picture
from tests.nodes._host import Host

Nodes = dict[str, type[Any]]

QUICK = {"prompt": "slow push-in", "aspect_ratio": "auto", "duration": 1, "seed": 0}
EXPORT = {"filename_prefix": "video/NemoVideo", "format": "mp4", "quality": "low"}
TAKES: dict[str, dict[str, Any]] = {
    "NemoUploadImage": {"auth": ..., "image": picture(8, 8), "batch_mode": "all images in one video"},
    "NemoUploadMedia": {"auth": ..., "source": "https://x.test/a.png"},
    "NemoCredits": {"auth": ...},
    "NemoGenerateVideo": {"session": ..., **QUICK},
    "NemoEditVideo": {"session": ..., "instruction": "slower", "when_changed": "stop", "seed": 0},
    "NemoExportRender": {"session": ..., **EXPORT},
    "NemoChat": {"session": ..., "message": "status", "seed": 0},
    "NemoTimeline": {"session": ...},
}


@pytest.fixture
def evil() -> Iterator[tuple[str, list[str]]]:
    """A server of somebody else's, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path}\n{self.headers}")
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def forged(kind: str, url: str) -> Any:
    """What a workflow can write where a handle belongs."""
    fields = {"profile": "nemo", "language": "en", "api_url": url, "NEMO_API_URL": url, "web_url": url, "origin": url}
    return {
        "a dict": {**fields, "key": "k", "session_id": "s"},
        "text": json.dumps(fields),
        "a name": "nemo",
        "an address": url,
        "a wrapped value": {"__value__": fields},
        "a list": [fields],
        "a number": 7,
    }[kind]


@pytest.mark.parametrize("kind", ["a dict", "text", "a name", "an address", "a wrapped value", "a list", "a number"])
@pytest.mark.parametrize("node", [*TAKES])
def test_what_no_node_made_is_no_handle(
    node: str, kind: str, nodes: Nodes, host: Host, cloud: local.LocalBackend, evil: tuple[str, list[str]]
) -> None:
    """One clear error, before anything is sent to anybody."""
    inputs = {name: forged(kind, evil[0]) if value is ... else value for name, value in TAKES[node].items()}

    with pytest.raises(InputError, match="Connect the output of a NemoVideo node") as caught:
        host.run(nodes[node], **inputs)
    assert cloud.token not in str(caught.value)
    assert (evil[1], list(cloud.calls)) == ([], [])


def test_the_fields_that_a_forged_handle_adds_are_left_out(evil: tuple[str, list[str]]) -> None:
    """A handle has a profile's name, and no room for an address or a token."""
    fields = {"profile": "nemo", "api_url": evil[0], "token": "x", "token_env": "HOME", "session_id": "s", "key": "k"}

    assert AuthHandle.from_json(fields).to_json() == {"profile": "nemo", "language": "auto"}
    assert (
        not {"api_url", "token", "token_env"} & SessionHandle.from_json({"language": "en", **fields}).to_json().keys()
    )


@pytest.mark.parametrize(
    "name",
    ["https://evil.test", "nеmo", "nemo\x00", "../nemo", "NEMO", "nemo ", "", "x" * 5000, {"nemo": 1}, 7],
    ids=range(10),
)
@pytest.mark.parametrize("node", ["NemoAuth", "NemoImageToVideo"])
def test_a_profile_that_is_not_there_is_one_error(
    node: str, name: Any, nodes: Nodes, host: Host, cloud: local.LocalBackend
) -> None:
    """Whatever the workflow names."""
    whole = {"image": picture(8, 8), **QUICK, **EXPORT, "profile": name}

    with pytest.raises(InputError, match="There is no profile") as caught:
        host.run(nodes[node], **({"profile": name, "language": "auto"} if node == "NemoAuth" else whole))
    assert str(caught.value).isprintable()
    assert cloud.token not in str(caught.value)
    assert list(cloud.calls) == []


@pytest.mark.parametrize("session_id", ["../../auth", "//evil.test/x", "s?x=1#y", "..", "s\r\nX-Evil: 1", "@evil.test"])
def test_a_session_that_is_made_up_reaches_no_other_address(
    session_id: str, nodes: Nodes, host: Host, cloud: local.LocalBackend, evil: tuple[str, list[str]]
) -> None:
    """The journal does not know it; and as an id it is one segment of a path of the profile's own API."""
    session = SessionHandle("nemo", "en", "k", session_id.replace("evil.test", evil[0][7:]), "t", "a")
    for node in ("NemoGenerateVideo", "NemoExportRender", "NemoTimeline", "NemoChat"):
        inputs = {name: session if value is ... else value for name, value in TAKES[node].items()}
        with pytest.raises(NemoError):
            host.run(nodes[node], **inputs)

    assert evil[1] == []
    assert {call["path"].split("/")[1] for call in cloud.calls} <= {"api", "run_sse"}


def test_a_workflow_cannot_set_the_environment(
    nodes: Nodes, host: Host, cloud: local.LocalBackend, evil: tuple[str, list[str]]
) -> None:
    """Hidden inputs and what else a workflow carries are data."""
    host.hidden = {
        "PROMPT": {"1": {"inputs": {"NEMO_API_URL": evil[0]}}, "NEMO_API_URL": evil[0]},
        "EXTRA_PNGINFO": {"NEMO_API_URL": evil[0], "workflow": {"extra": {"NEMO_API_URL": evil[0]}}},
    }
    auth, _ = host.run(nodes["NemoAuth"], profile="nemo", language="auto")

    host.run(nodes["NemoCredits"], auth=auth)
    with contextlib.suppress(TypeError):
        host.run(nodes["NemoCredits"], auth=auth, NEMO_API_URL=evil[0])

    assert evil[1] == []
    assert len(cloud.calls) == 1


def test_the_stand_in_of_somebody_else_is_reached_when_it_is_asked(evil: tuple[str, list[str]]) -> None:
    """So that its silence above says something."""

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(evil[0].rpartition(":")[2]))
        writer.write(b"GET /x HTTP/1.0\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()

    asyncio.run(ask())
    assert len(evil[1]) == 1

"""Who may come in, and what a malformed request gets."""

from __future__ import annotations

import json
import logging
import stat

import httpx
import pytest

from nemo_client import local
from nemo_client.local.shared.behaviour import Behaviour, CallBehaviour
from tests.local.plain_client import PLAIN

ENDPOINTS = [
    ("POST", "/api/tasks/me/with-session/nemo_agent"),
    ("POST", "/api/auth/claim-token"),
    ("POST", "/api/upload-video/nemo_agent/me/x"),
    ("POST", "/run_sse"),
    ("GET", "/api/state/nemo_agent/me/x/latest"),
    ("GET", "/api/credits/balance/simple"),
    ("POST", "/api/render/proxy/lambda"),
    ("GET", "/api/render/proxy/lambda/x"),
    ("POST", "/api/render/proxy/lambda/x/cancel"),
    ("GET", "/api/render/proxy/x/download"),
]
SESSION = "/api/tasks/me/with-session/nemo_agent"
BALANCE = "/api/credits/balance/simple"


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic x", "Bearer"])
def test_every_endpoint_asks_for_the_token(api, authorization):
    """Code 1001 as HTTP 401 and in the envelope, whatever else the request says."""
    headers = {"Authorization": authorization} if authorization else {}
    answers = {}
    for method, path in ENDPOINTS:
        answer = httpx.request(method, api.backend.url + path, headers=headers, **PLAIN)
        answers[path] = answer.status_code, answer.json()["code"]

    assert answers == {path: (401, 1001) for _, path in ENDPOINTS}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "192.168.0.7"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
    ids=str,
)
def test_other_sites_are_kept_out(api, headers, status):
    """A page of another site, or one that rebinds its name to this machine, gets 403 even with the token."""
    answer = api.http.get(BALANCE, headers=headers)

    assert answer.status_code == status
    assert answer.json()["code"] == (0 if status == 200 else 403)


def test_its_own_origin_may_come_in(api):
    """A page that the same server gave out has the server's own origin."""
    assert api.http.get(BALANCE, headers={"Origin": api.backend.url}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"task_name": NaN, "language": "en"}', 400),
        (b'{"task_name": "x"}', 400),
        (b'{"task_name": 5, "language": "en"}', 400),
        (b'{"task_name": "' + b"x" * 300 + b'", "language": "en"}', 400),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
        (b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", 400),
        (b'{"a":' + b"9" * 5000 + b"}", 400),
        (b'{"a":"' + b"x" * (9 * 1024 * 1024) + b'"}', 413),
    ],
    ids=["empty", "half", "list", "no utf-8", "nan", "field", "type", "long", "deep", "lists", "digits", "large"],
)
def test_a_malformed_body_gets_an_envelope(api, body, status):
    """Broken, deep or large JSON is refused with a code and a sentence."""
    answer = api.http.post(SESSION, content=body, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["code"]) == (status, status)
    assert answer.json()["message"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/run_sse", 405)])
def test_an_unknown_path_gets_an_envelope(api, method, path, status):
    """No HTML page where a client expects JSON."""
    answer = api.http.request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (status, status)


def test_an_error_of_the_server_shows_no_traceback(start, connect, caplog):
    """The client gets an envelope, the log what happened."""

    class Broken(CallBehaviour):
        def change_record(self, record, addresses):
            raise RuntimeError("secret detail")

    class Breaks(Behaviour):
        def begin_call(self, endpoint):
            return Broken()

    api = connect(start(faults=Breaks()))
    session = api.session()
    answer = api.http.get(f"/api/state/nemo_agent/me/{session}/latest")

    assert (answer.status_code, answer.json()["code"]) == (500, 500)
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text


def test_a_session_is_opened_and_read(api):
    """The answer names task, session and user; the state of a new session is empty."""
    body = {"task_name": "project", "language": "zh-CN"}
    opened = api.http.post(SESSION, json=body).json()["data"]
    state = api.http.get(f"/api/state/nemo_agent/me/{opened['session_id']}/latest").json()["data"]

    assert set(opened) == {"task_id", "session_id", "user_id"}
    assert (state["session_id"], state["task_id"], state["task_name"]) == (
        opened["session_id"],
        opened["task_id"],
        "project",
    )
    assert state["state"] == {
        "draft": {},
        "video_infos": [],
        "generated_media": [],
        "canvas_config": {},
        "video_analyses": [],
    }


@pytest.mark.parametrize("session", ["00000000-0000-0000-0000-000000000000", "..%2F..%2Fkey", "x", "%00"])
def test_an_unknown_session_is_1002(api, session):
    """Also for ids that would be paths."""
    answer = api.http.get(f"/api/state/nemo_agent/me/{session}/latest")

    assert (answer.status_code, answer.json()["code"]) == (404, 1002)


def test_a_claim_token_needs_its_task(api):
    """`clm_…` for a session and its task; 400 for another task."""
    opened = api.http.post(SESSION, json={"task_name": "project", "language": "en"}).json()["data"]
    asked = {"task_id": opened["task_id"], "session_id": opened["session_id"]}
    answer = api.http.post("/api/auth/claim-token", json=asked).json()
    wrong = api.http.post("/api/auth/claim-token", json={**asked, "task_id": "other"})

    assert answer["data"]["claim_token"].startswith("clm_")
    assert answer["data"]["expires_in"] == 604800
    assert wrong.status_code == 400


# --- accounts ---------------------------------------------------------------------------------------------------------


def sign_up(backend, **headers):
    return httpx.post(backend.url + "/api/auth/anonymous-token", headers=headers, **PLAIN)


def test_anonymous_sign_up_is_off_unless_asked_for(api):
    """A clear envelope, so that a client can say what to do."""
    answer = sign_up(api.backend, **{"X-Client-Id": "a"})

    assert (answer.status_code, answer.json()["code"]) == (403, 403)
    assert "anonymous" in answer.json()["message"]


def test_an_anonymous_user_has_an_account_of_its_own(start, connect):
    """100 credits, a user id, an expiry; its sessions are no one else's."""
    backend = start(anonymous=True)
    first, second = (sign_up(backend, **{"X-Client-Id": name}).json()["data"] for name in "ab")
    one, two = connect(backend, first["token"]), connect(backend, second["token"])
    session = one.session()

    assert first["user_id"].startswith("anon_")
    assert first["token"].startswith("nmv_usr_")
    assert first["credits"] == one.balance()["available"] == 100
    assert first["expires_at"].endswith("+00:00")
    assert one.state(session)["draft"] == {}
    for stranger in (two, connect(backend)):
        answer = stranger.http.get(f"/api/state/nemo_agent/me/{session}/latest")
        assert answer.json()["code"] == 1002


def test_a_client_gets_one_token_in_seven_days(start, connect):
    """400 without the client id, 429 for a second token; after expiry the token is 1001 and a new one is given."""
    now = [1_000_000.0]
    backend = start(anonymous=True, clock=lambda: now[0])
    token = sign_up(backend, **{"X-Client-Id": "a"}).json()["data"]["token"]

    assert sign_up(backend).status_code == 400
    assert sign_up(backend, **{"X-Client-Id": "x" * 65}).status_code == 400
    assert sign_up(backend, **{"X-Client-Id": "a"}).json()["code"] == 429
    now[0] += 7 * 24 * 3600
    assert connect(backend, token).http.get(BALANCE).json()["code"] == 1001
    again = sign_up(backend, **{"X-Client-Id": "a"}).json()["data"]["token"]
    assert connect(backend, again).balance()["available"] == 100


def test_an_anonymous_token_survives_a_restart(start, connect):
    """It is kept on disk, as a digest only."""
    backend = start(anonymous=True)
    token = sign_up(backend, **{"X-Client-Id": "a"}).json()["data"]["token"]
    backend.close()

    assert connect(start(anonymous=True), token).balance()["available"] == 100
    assert token not in (backend.directory / "accounts.json").read_text()


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_the_token_is_nowhere_but_in_its_attribute(start, connect, caplog):
    """Neither in `repr`, in the log, in the requests kept for tests, nor in any file of the directory."""
    caplog.set_level(logging.DEBUG)
    backend = start(token="nmv_usr_marked")
    api = connect(backend)
    session = api.ready()
    api.say(session, "turn this into a video")
    api.finished_file(session)
    api.http.get("/nothing")

    assert "marked" not in repr(backend)
    assert "marked" not in caplog.text
    assert "marked" not in json.dumps(backend.calls)
    files = [path for path in backend.directory.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"marked" in path.read_bytes()]


def test_everything_on_disk_is_private(start, connect):
    """Directories 0700, files 0600."""
    api = connect(start(anonymous=True))
    sign_up(api.backend, **{"X-Client-Id": "a"})
    session = api.ready()
    api.say(session, "turn this into a video")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in api.backend.directory.rglob("*")}
    kinds = {path.name: path.is_dir() for path in api.backend.directory.rglob("*")}
    assert {name: mode for name, mode in modes.items() if mode != (0o700 if kinds[name] else 0o600)} == {}


def test_requests_are_kept_for_contract_tests(api):
    """Endpoint, method, path and headers of each call."""
    api.balance()

    (call,) = api.backend.calls
    assert (call["endpoint"], call["method"], call["path"]) == ("credits", "GET", BALANCE)
    assert call["headers"]["X-Skill-Source"] == "tests"
    assert call["headers"]["Authorized"] == "True"


def test_a_random_token_differs_each_time(start):
    """No one can guess the next one from the last."""
    assert start().token != start().token
    assert start().token.startswith("nmv_usr_")


def test_the_package_exports_what_it_says():
    """`__all__` is sorted, and each name of it is there."""
    assert local.__all__ == sorted(local.__all__)
    assert all(hasattr(local, name) for name in local.__all__)

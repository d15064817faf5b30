"""Every scripted fault, once, as a plain client meets it."""

from __future__ import annotations

import email.utils
import json
import sys
import time

import httpx
import pytest

from nemo_client import local
from tests.local.plain_client import PLAIN, Api, texts
from tests.support.faults import ENDPOINTS, KINDS, Fault, Faults
from tests.support.ledger import read_ledger
from tests.support.waiting import wait_until

ANIMATE = "turn this image into a 5-second animated video clip with smooth motion"
BALANCE = "/api/credits/balance/simple"


@pytest.fixture
def scripted(start, connect):
    """A client of a backend with one fault, and a session with a picture."""

    def scripted(*faults, **options) -> tuple[Api, str]:
        api = connect(start(**options))
        session = api.ready()
        api.backend.faults.add(*faults)
        return api, session

    return scripted


def bytes_until_cut(answer):
    """What arrives before the connection breaks."""
    received = bytearray()
    try:
        for chunk in answer.iter_raw():
            received += chunk
    except httpx.RemoteProtocolError:
        return bytes(received)
    return pytest.fail("the answer came whole")


# --- the script -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "nonsense"},
        {"kind": "refuse", "endpoint": "nonsense"},
        {"kind": "refuse", "seconds": 5},
        {"kind": "stall"},
        {"kind": "redirect"},
    ],
    ids=str,
)
def test_a_fault_that_does_not_exist_is_an_error(arguments):
    """A typing mistake must not become a test that passes."""
    with pytest.raises(ValueError, match=r"nonsense|parameter|needs"):
        Fault(**arguments)


@pytest.mark.parametrize(
    ("nth", "count", "hit"), [(1, 1, "100000"), (3, 1, "001000"), (2, 3, "011100"), (4, None, "000111")]
)
def test_a_fault_hits_the_calls_it_is_told_to(nth, count, hit):
    """From the nth on, count of them, only those of its endpoint."""
    faults = Faults(Fault("http_500", "state", nth=nth, count=count))
    seen = ""
    for _ in range(6):
        faults.begin_call("credits")
        seen += "0" if faults.begin_call("state").answer is None else "1"

    assert seen == hit
    assert faults.fired == (("http_500", "state"),) * hit.count("1")


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["credits", "message", "session"])
def test_refuse_resets_the_connection_before_anything_is_done(scripted, endpoint):
    """The request is not carried out."""
    api, session = scripted(Fault("refuse", endpoint))
    call = {"credits": api.balance, "message": lambda: api.say(session, ANIMATE), "session": api.session}[endpoint]
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError)):
        call()

    ledger = read_ledger(api.backend.directory)
    assert (len(ledger.messages), len(ledger.sessions)) == (0, 1)
    call()


@pytest.mark.parametrize("accepted", [True, False])
def test_closed_before_the_headers(scripted, accepted):
    """The client cannot tell whether its message was taken; the ledger can."""
    faults = [Fault("close_before_headers", "message")] if accepted else [Fault("refuse", "message")]
    api, session = scripted(*faults)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        api.say(session, ANIMATE)

    assert len(read_ledger(api.backend.directory).messages) == accepted
    if accepted:
        wait_until(lambda: len(api.state(session)["draft"].get("t", ())) == 2)


@pytest.mark.parametrize("endpoint", ["state", "message"])
def test_closed_after_the_headers(scripted, endpoint):
    """A status line, headers, and no body."""
    api, session = scripted(Fault("close_after_headers", endpoint))
    path = f"/api/state/nemo_agent/me/{session}/latest"
    asked = api.http.stream("GET", path) if endpoint == "state" else api.stream(session, ANIMATE)
    with asked as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


@pytest.mark.parametrize("at", [0, 1, 700, 2000])
def test_a_stream_is_cut_at_any_byte(scripted, at):
    """Exactly so many bytes of the body arrive; the work goes on."""
    api, session = scripted(Fault("close_at", "message", at=at))
    with api.stream(session, ANIMATE) as answer:
        received = bytes_until_cut(answer)

    assert len(received) == at
    wait_until(lambda: len(api.state(session)["draft"].get("t", ())) == 2)


def test_json_and_files_are_cut_at_any_byte(scripted):
    """A download resumes with a range where it broke."""
    api, session = scripted(Fault("close_at", "state", at=10), Fault("close_at", "files", at=1234))
    with pytest.raises(httpx.RemoteProtocolError):
        api.state(session)
    api.say(session, ANIMATE)
    url = api.finished_file(session)
    with httpx.stream("GET", url, **PLAIN) as answer:
        received = bytes_until_cut(answer)
    rest = api.get(url, Range="bytes=1234-", **{"If-Range": answer.headers["etag"]})

    assert len(received) == 1234
    assert rest.status_code == 206
    assert received + rest.content == api.get(url).content


def test_a_cut_can_be_a_reset(scripted):
    """As when a machine goes down."""
    api, _ = scripted(Fault("close_at", "credits", at=5, reset=True))
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        api.balance()


@pytest.mark.parametrize("at", ["request", "headers", 20])
def test_a_stall_keeps_the_client_waiting(scripted, at):
    """Before anything is done, before the headers, or in the middle of the body; then all arrives."""
    api, _ = scripted(Fault("stall", "credits", seconds=0.3, at=at))
    with pytest.raises(httpx.ReadTimeout):
        api.http.get(BALANCE, timeout=0.1)
    api.backend.faults.add(Fault("stall", "credits", seconds=0.1, at=at))
    began = time.monotonic()

    assert api.balance()["available"] == 1000
    assert time.monotonic() - began >= 0.1


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "content"),
    [
        ("http_500", 500, "application/json"),
        ("html_502", 502, "text/html"),
        ("http_503", 503, "application/json"),
        ("http_503_accepted", 503, "application/json"),
        ("http_429", 429, "application/json"),
        ("http_504", 504, "text/plain"),
    ],
)
def test_an_error_answers_instead(scripted, kind, status, content):
    """Only `http_503_accepted` has taken the message, and works on."""
    api, session = scripted(Fault(kind, "message", retry_after=30))
    answer = api.send(session, ANIMATE)

    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (status, content)
    assert answer.headers["retry-after"] == "30"
    taken = kind == "http_503_accepted"
    assert len(read_ledger(api.backend.directory).messages) == taken
    if taken:
        wait_until(lambda: len(api.state(session)["draft"].get("t", ())) == 2)


@pytest.mark.parametrize("code", [1001, 1002, 2001, 4001, 4002, 402, 429, 777])
@pytest.mark.parametrize("status", [200, 400])
def test_any_code_can_be_answered_with_any_status(scripted, code, status):
    """In the envelope, as the HTTP status, or both."""
    api, _ = scripted(Fault("answer", "credits", status=status, code=code, message="words", headers={"X-Extra": "1"}))
    answer = api.http.get(BALANCE)

    assert (answer.status_code, answer.headers["x-extra"]) == (status, "1")
    assert answer.json() == {"code": code, "message": "words", "data": None, "success": False, "error": "words"}


def test_any_body_can_be_answered(scripted):
    """Bytes that are no JSON at all, or JSON that is no envelope."""
    api, _ = scripted(Fault("answer", "credits", body="\ufeff[1,2", content_type="text/plain"))

    assert api.http.get(BALANCE).text == "\ufeff[1,2"


def test_a_redirect_leads_elsewhere(scripted):
    """307, so that a client which followed it would post the message again."""
    api, session = scripted(Fault("redirect", "message", location="http://127.0.0.1:1/run_sse"))
    answer = api.send(session, ANIMATE)

    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:1/run_sse")
    assert read_ledger(api.backend.directory).messages == ()


def test_truncated_json(scripted):
    """Half of an answer with a right length; in a stream one event is half, and the rest is whole."""
    api, session = scripted(Fault("truncated_json", "credits"), Fault("truncated_json", "message", event=2))
    with pytest.raises(json.JSONDecodeError):
        api.http.get(BALANCE).json()
    lines = [line for line in api.send(session, ANIMATE).text.split("\n") if line.startswith("data: {")]

    json.loads(lines[0][6:])
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines[1][6:])
    assert json.loads(lines[-1][6:])["turnComplete"] is True


def test_wrong_types(scripted):
    """A field holds what it must not, whether it was there or not."""
    api, session = scripted(
        Fault("wrong_types", "credits"),
        Fault("wrong_types", "credits", nth=2, field="data.available", value="many"),
        Fault("wrong_types", "state", field="data.state.draft.t", value={"a": 1}),
        Fault("wrong_types", "message", value=[]),
    )

    assert api.http.get(BALANCE).json()["data"] == 7
    assert api.balance()["available"] == "many"
    assert api.state(session)["draft"] == {"t": {"a": 1}}
    assert api.say(session, ANIMATE)[0]["content"] == []


def test_the_servers_clock_can_be_an_hour_off(scripted):
    """The `Date` header of JSON, streams and files."""
    api, session = scripted(Fault("clock", count=None, seconds=-3600))
    for answer in (api.http.get(BALANCE), api.send(session, ANIMATE)):
        date = email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp()
        assert date == pytest.approx(time.time() - 3600, abs=5)


# --- the stream -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("charged", "made"), [(False, False), (True, False), (True, True), (False, True)])
def test_an_error_inside_the_stream(scripted, charged, made):
    """After HTTP 200 and the first call; charged or not, made or not, as told."""
    api, session = scripted(Fault("error_in_stream", "message", charged=charged, made=made), credits=100)
    found = api.say(session, ANIMATE)

    assert found[-1]["error"] == "RuntimeError: upstream model overloaded"
    assert found[-1]["error_details"]["error_type"] == "RuntimeError"
    assert "functionCall" in found[-2]["content"]["parts"][0]
    assert api.balance() == {"available": 0 if charged else 100, "frozen": 0, "total": 0 if charged else 100}
    assert (len(api.state(session)["generated_media"]), bool(api.state(session)["draft"])) == (made, made)


def test_an_error_inside_the_stream_of_an_answer(scripted):
    """Also where there was nothing to do."""
    api, session = scripted(Fault("error_in_stream", "message", message="ValueError"))

    assert api.say(session, "hello")[-1]["error_details"]["error_type"] == "ValueError"


@pytest.mark.parametrize("works_on", [True, False])
def test_a_stream_can_end_cleanly_in_the_middle_of_the_work(scripted, works_on):
    """No broken connection tells the client; the work goes on behind it, or stops."""
    api, session = scripted(
        Fault("clean_end", "message", after=6, works_on=works_on), credits=100, generation_seconds=0.3
    )
    found = api.say(session, ANIMATE)

    assert len(found) == 6
    wait_until(lambda: api.balance()["frozen"] == 0)
    assert api.balance()["available"] == (0 if works_on else 100)
    if works_on:
        wait_until(lambda: len(api.state(session)["draft"]["t"]) == 2)


def test_the_agent_can_ask_back(scripted):
    """A clean answer, nothing made, nothing charged."""
    api, session = scripted(Fault("ask_back", "message"), credits=100)

    assert texts(api.say(session, ANIMATE)) == ["Should the camera move slowly or quickly? Tell me, and I will start."]
    assert api.balance()["available"] == 100
    assert api.state(session)["draft"] == {}


def test_the_second_stage_can_come_late(scripted):
    """The stream ends with the raw clip; music and title appear in the state afterwards."""
    api, session = scripted(Fault("late_second_stage", "message", seconds=0.2))
    found = api.say(session, ANIMATE)
    early = [track["tt"] for track in api.state(session)["draft"]["t"]]
    wait_until(lambda: [track["tt"] for track in api.state(session)["draft"]["t"]] == [0, 1])

    assert found[-1]["turnComplete"] is True
    assert early == [0]


@pytest.mark.parametrize("at", [0, 500, 1500])
def test_work_can_depend_on_its_listener(scripted, at):
    """Work that stops with the hang-up moves on only as its events are taken, however fast it is."""
    api, session = scripted(Fault("close_at", "message", at=at), Fault("stop_on_hangup", "message"), credits=100)
    with api.stream(session, ANIMATE) as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()

    wait_until(lambda: api.balance()["frozen"] == 0)
    assert api.balance()["available"] == 100
    assert api.state(session)["draft"] == {}


@pytest.mark.parametrize(("kind", "spoken"), [("silent", False), ("spoken", True)])
def test_an_edit_can_be_made_silent_or_spoken(scripted, kind, spoken):
    """Whatever the hash of its message says."""
    api, session = scripted(Fault(kind, "message", count=None))
    api.say(session, ANIMATE)

    assert {bool(texts(api.say(session, f"make it {seconds} seconds"))) for seconds in range(6, 14)} == {spoken}


# --- state, money, identity -------------------------------------------------------------------------------------------


def test_addresses_can_be_signed_anew_each_time(scripted):
    """The same path with another query; it can be fetched all the same. With `draft` the draft changes, too."""
    api, session = scripted(
        Fault("resigned_urls", "state", count=2), Fault("resigned_urls", "state", nth=3, draft=True)
    )
    api.say(session, ANIMATE)
    first, second = (api.state(session)["generated_media"][0]["url"] for _ in range(2))
    segment = api.state(session)["draft"]["t"][0]["sg"][0]

    assert first != second
    assert first.partition("?")[0] == second.partition("?")[0]
    assert api.get(first).status_code == 200
    assert "Signature=" in segment["m"]["url"]
    assert "url" not in api.state(session)["draft"]["t"][0]["sg"][0]["m"]


def test_analyses_can_come_late(scripted):
    """One more on each read; the draft stays as it is."""
    api, session = scripted(Fault("late_analyses", "state", count=2))

    assert [len(api.state(session)["video_analyses"]) for _ in range(3)] == [2, 3, 3]


def test_another_program_can_spend_from_the_account(scripted):
    """The balance drops by more than this client's messages cost; the ledger tells them apart."""
    api, session = scripted(Fault("other_spender", "message", amount=30), credits=200)
    api.say(session, ANIMATE)

    assert api.balance()["available"] == 70
    assert read_ledger(api.backend.directory).credits_taken == 100


def test_a_token_can_expire(scripted, start, connect):
    """The backend's own for this call; an anonymous one for good, and its client may sign up again."""
    api, _ = scripted(Fault("expired_token", "credits"), anonymous=True)
    assert (api.http.get(BALANCE).status_code, api.http.get(BALANCE).status_code) == (401, 200)

    def sign_up():
        url = api.backend.url + "/api/auth/anonymous-token"
        return httpx.post(url, headers={"X-Client-Id": "a"}, **PLAIN).json()

    user = connect(api.backend, sign_up()["data"]["token"])
    api.backend.faults.add(Fault("expired_token", "credits"))
    assert [user.http.get(BALANCE).json()["code"] for _ in range(2)] == [1001, 1001]
    assert sign_up()["code"] == 0


@pytest.mark.parametrize("endpoint", ["state", "message", "render"])
def test_a_session_can_be_lost(scripted, endpoint):
    """1002 for this call and for every one after it."""
    api, session = scripted(Fault("lost_session", endpoint))
    path = f"/api/state/nemo_agent/me/{session}/latest"
    answer = {
        "state": lambda: api.http.get(path),
        "message": lambda: api.send(session, ANIMATE),
        "render": lambda: api.render(session, {"t": [{"tt": 0, "sg": [{"d": 1}]}]}),
    }[endpoint]()

    assert answer.json()["code"] == 1002
    assert api.http.get(path).json()["code"] == 1002


def test_a_fresh_render_id_can_be_refused(scripted):
    """As if it were known already; nothing is rendered."""
    api, session = scripted(Fault("duplicate_id", "render"))
    api.say(session, ANIMATE)
    answer = api.render(session)

    assert (answer.status_code, answer.json()["success"]) == (409, False)
    assert read_ledger(api.backend.directory).renders == ()
    assert api.render(session).status_code == 200


def test_an_output_address_can_expire(scripted):
    """403 from the address; the download endpoint still has the file."""
    api, session = scripted(Fault("expired_url", "files", count=None))
    api.say(session, ANIMATE)
    render = api.render(session).json()["data"]["id"]
    url = api.finished(render)["output"]["url"]

    assert api.get(url).status_code == 403
    assert api.http.get(f"/api/render/proxy/{render}/download").status_code == 200


def test_every_kind_and_every_endpoint_is_tested_here_or_documented():
    """The table in the module's docstring names each kind."""
    from tests.support import faults as _faults

    assert [kind for kind in KINDS if kind not in (_faults.__doc__ or "")] == []
    assert len(ENDPOINTS) == len(set(ENDPOINTS)) == 12


def every_endpoint(api):
    """A call of each endpoint that is answered when nothing goes wrong."""
    session = api.ready()
    api.say(session, ANIMATE)
    render = api.render(session).json()["data"]["id"]
    url = api.finished(render)["output"]["url"]
    task = {"task_name": "project", "language": "en"}
    return {
        "anonymous-token": lambda: api.http.post("/api/auth/anonymous-token", headers={"X-Client-Id": "a"}),
        "session": lambda: api.http.post("/api/tasks/me/with-session/nemo_agent", json=task),
        "claim-token": lambda: api.http.post("/api/auth/claim-token", json={"task_id": "x", "session_id": session}),
        "upload": lambda: api.upload(session, ("a.png", b"")),
        "message": lambda: api.send(session, "hello"),
        "state": lambda: api.http.get(f"/api/state/nemo_agent/me/{session}/latest"),
        "credits": lambda: api.http.get(BALANCE),
        "render": lambda: api.render(session),
        "render-status": lambda: api.http.get(f"/api/render/proxy/lambda/{render}"),
        "render-cancel": lambda: api.http.post(f"/api/render/proxy/lambda/{render}/cancel"),
        "download": lambda: api.http.get(f"/api/render/proxy/{render}/download"),
        "files": lambda: api.get(url),
    }


def outcome(call):
    """What a plain client makes of an answer: its status, "cut", or "no json"."""
    try:
        answer = call()
        if answer.headers["content-type"] == "application/json":
            answer.json()
    except (httpx.ReadError, httpx.RemoteProtocolError):
        return "cut"
    except json.JSONDecodeError:
        return "no json"
    return answer.status_code


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "http_500"}, 500),
        ({"kind": "html_502"}, 502),
        ({"kind": "close_before_headers"}, "cut"),
        ({"kind": "close_after_headers"}, "cut"),
        ({"kind": "close_at", "at": 3}, "cut"),
        ({"kind": "truncated_json"}, "no json"),
    ],
    ids=lambda value: str(value["kind"]) if isinstance(value, dict) else "",
)
def test_a_fault_works_at_every_endpoint(start, connect, fault, expected):
    """Once; the next call of each is as it should be."""
    api = connect(start(anonymous=True))
    calls = every_endpoint(api)
    seen, after = {}, {}
    for endpoint, call in calls.items():
        api.backend.faults.add(Fault(endpoint=endpoint, **fault))
        seen[endpoint] = outcome(call)
        after[endpoint] = outcome(call)

    binary = ("message", "download", "files") if fault["kind"] == "truncated_json" else ()
    assert seen == {endpoint: 200 if endpoint in binary else expected for endpoint in ENDPOINTS}
    assert set(after.values()) <= {200, 400, 429}
    assert api.backend.faults.fired == tuple((fault["kind"], endpoint) for endpoint in calls)


def test_without_the_tests_their_names_are_absent(monkeypatch):
    """As in a wheel: `hasattr` says so, and nothing else is imported in their place."""
    monkeypatch.setitem(sys.modules, "tests.support.faults", None)

    assert not hasattr(local, "Faults")

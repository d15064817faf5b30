"""Answers: envelopes in all their forms, refusals as typed exceptions, and what is no answer at all."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_client import (
    ApiError,
    BadAnswer,
    FileTooLarge,
    NemoError,
    NoCredits,
    PlanError,
    RateLimited,
    SignInError,
    UnsupportedFile,
)
from nemo_client._errors import CODES
from nemo_client._studio.reconcile import is_refusal
from nemo_client._wire.envelope import Answer, open_envelope

HTML = b"<html><body>502 Bad Gateway</body></html>"


def said(body: object = None, status: int = 200, kind: str = "application/json", **rest: Any) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer("the call", "api.test", status, kind, raw, **rest)


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ({"code": 0, "message": "success", "data": {"a": 1}}, {"a": 1}),
        ({"code": 200, "data": {"a": 1}}, {"a": 1}),
        ({"code": "0", "data": {"a": 1}}, {"a": 1}),
        ({"success": True, "data": {"a": 1}, "error": ""}, {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ({"data": {"a": 1}}, {"data": {"a": 1}}),
        ([1, 2], [1, 2]),
        ({"code": 0, "data": None}, None),
    ],
    ids=["envelope", "code 200", "code as text", "render envelope", "bare", "bare with data", "list", "no data"],
)
def test_envelopes_are_opened_and_bare_answers_are_themselves(body: object, data: object) -> None:
    """Some answers come bare, with no envelope."""
    assert open_envelope(said(body)) == data


def test_the_render_endpoints_keep_their_envelope() -> None:
    """Their two shapes differ in where the status stands."""
    body = {"success": True, "data": {"id": "r"}, "status": "completed"}

    assert open_envelope(said(body), whole=True) == body


@pytest.mark.parametrize("body", [b"", b" "], ids=["empty", "blank"])
def test_an_empty_success_is_nothing(body: bytes) -> None:
    """Some calls answer without a body."""
    if not body:
        assert open_envelope(said(body, 204)) is None
        assert open_envelope(said(body, 200)) is None
    else:
        with pytest.raises(BadAnswer):
            open_envelope(said(body))


# The error table as the API description has it: the code in the envelope, the HTTP status that means it.
@pytest.mark.parametrize(
    ("code", "status"), [(1001, 401), (1002, 404), (2001, 400), (4001, 415), (4002, 413), (402, 402), (429, 429)]
)
@pytest.mark.parametrize("way", ["envelope", "status", "both", "text"])
def test_codes_arrive_in_the_envelope_or_as_the_status_or_both(code: int, status: int, way: str) -> None:
    """Each is the same typed exception, with its code."""
    words = "session not found" if code == 1002 else "no"
    answers = {
        "envelope": said({"code": code, "message": words, "data": None}),
        "status": said({"detail": words}, status),
        "both": said({"code": code, "message": words}, status),
        "text": said({"code": str(code), "message": words}),
    }
    if code == 2001 and way == "status":  # it has no HTTP status of its own
        return

    with pytest.raises(CODES[code]) as caught:
        open_envelope(answers[way])
    assert isinstance(caught.value, ApiError)
    assert caught.value.code == code
    assert "?" not in str(caught.value).replace("(? left)", "").replace("profile '?'", "")


@pytest.mark.parametrize("said_code", [1003, 5001, "4100", "0", 7, 40101, None])
@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, SignInError), (402, PlanError), (403, ApiError), (404, ApiError), (409, ApiError), (413, FileTooLarge),
     (415, UnsupportedFile), (422, ApiError), (429, RateLimited), (408, BadAnswer), (425, BadAnswer), (500, BadAnswer),
     (503, BadAnswer), (529, BadAnswer)],
)  # fmt: skip
def test_a_code_outside_the_table_counts_as_its_status(said_code: object, status: int, kind: type[NemoError]) -> None:
    """The vendor's own client decides by the status, too."""
    with pytest.raises(kind) as caught:
        open_envelope(said({"code": said_code, "message": "no"}, status))
    assert type(caught.value) is kind


@pytest.mark.parametrize("said_code", [1003, "9999", -1, 3.0])
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_code_outside_the_table_is_an_error_with_any_success(said_code: object, status: int) -> None:
    """HTTP 200 does not make it one."""
    with pytest.raises(ApiError) as caught:
        open_envelope(said({"code": said_code, "data": {"a": 1}}, status))
    assert type(caught.value) is ApiError
    assert not is_refusal(caught.value)


@pytest.mark.parametrize("said_code", [1010, "1011"])
@pytest.mark.parametrize(("status", "proof"), [(200, False), (202, False), (401, True), (403, True), (500, False)])
def test_1010_and_1011_are_sign_in_and_prove_nothing_by_themselves(said_code: object, status: int, proof: bool) -> None:
    """The vendor's client signs in again for them; only the journal's list says that a message was not worked on."""
    with pytest.raises(SignInError) as caught:
        open_envelope(said({"code": said_code, "message": "no"}, status), strict=True)
    assert is_refusal(caught.value) is proof


@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 413, 422, 429, 1001, 1002, 2001])
@pytest.mark.parametrize("way", ["code", "status", "text"])
def test_the_journals_list_is_a_refusal_of_a_message(code: int, way: str) -> None:
    """A whole answer that says so, as status or as code."""
    if way == "status" and code >= 1000:
        return
    answer = said({"detail": "no"}, code) if way == "status" else said({"code": str(code) if way == "text" else code})
    with pytest.raises(ApiError) as caught:
        open_envelope(answer, strict=True)
    assert is_refusal(caught.value)


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 521, 530])
@pytest.mark.parametrize("code", [None, 0, 400, 408, 500, 1010, 1001, 2001, 9999])
def test_a_server_in_trouble_refuses_no_message(status: int, code: int | None) -> None:
    """Whatever code it brings: it may have been at work."""
    with pytest.raises(NemoError) as caught:
        open_envelope(said({"code": code, "message": "no"}, status), strict=True)
    assert not is_refusal(caught.value)


@pytest.mark.parametrize("code", [408, 4001, 4002, 405, 409, 1003])
def test_what_is_not_in_the_journals_list_refuses_no_message(code: int) -> None:
    """HTTP 200 with another code."""
    with pytest.raises(NemoError) as caught:
        open_envelope(said({"code": code, "message": "no"}), strict=True)
    assert not is_refusal(caught.value)


@pytest.mark.parametrize("call", ["render", "download"])
def test_403_on_a_render_is_the_plan(call: str) -> None:
    """Anonymous tokens may lack the right to render."""
    for body, status in (({"detail": "forbidden"}, 403), ({"code": 403, "message": "no"}, 200), ({"code": 7}, 403)):
        with pytest.raises(PlanError, match="unlock export"):
            open_envelope(Answer(call, "api.test", status, "application/json", json.dumps(body).encode()))
    with pytest.raises(ApiError) as caught:
        open_envelope(said({"detail": "forbidden"}, 403))
    assert not isinstance(caught.value, PlanError)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"detail": [{"loc": ["body", "output", "fps"], "msg": "not an integer", "type": "int"}]},
            "output.fps: not",
        ),
        ({"detail": [{"loc": ["query", "x"], "msg": "missing"}, {"msg": "too long"}]}, "x: missing; too long"),
        ({"detail": [{"loc": ["body", 0], "msg": "no object"}]}, "0: no object"),
        ({"detail": ["first", "second"]}, "first; second"),
        ({"detail": {"message": "why"}}, "why"),
        ({"detail": {"error": {"reason": "why"}}}, "why"),
        ({"errors": [{"message": "why"}]}, "why"),
        ({"error": {"code": 7, "message": "why"}}, "why"),
        ({"detail": [{"loc": 7, "msg": ["why"]}]}, "why"),
        ({"detail": [], "message": " "}, "HTTP 422"),
        ({"message": "Validation error", "detail": [{"loc": ["body", "fps"], "msg": "odd"}]}, "error: fps: odd"),
        ({"code": 422, "message": "odd", "errors": [{"msg": "odd"}]}, ": odd (code 422). N"),
    ],
)
def test_422_tells_its_reason(body: object, words: str) -> None:
    """FastAPI lists what is wrong where."""
    with pytest.raises(ApiError, match=r"\(code 422\)") as caught:
        open_envelope(said(body, 422))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"detail": {"code": 2001, "message": "no credits"}}, 400, 2001),
        ({"error": {"code": "1002", "message": "gone"}}, 404, 1002),
        ({"success": False, "error": {"code": 402}}, 200, 402),
        ({"success": False, "error_code": "1001"}, 200, 1001),
        ({"status": 401, "message": "no"}, 200, 1001),
        ({"statusCode": 404, "message": "no", "success": False}, 200, 404),
        ({"success": False, "error": "render not found"}, 200, 404),
    ],
)
def test_a_code_can_stand_inside_of_the_error(body: object, status: int, code: int) -> None:
    """As frameworks put it there."""
    with pytest.raises(ApiError) as caught:
        open_envelope(said(body, status), whole=True)
    assert caught.value.code == code


def test_a_render_that_failed_is_an_answer() -> None:
    """`success: false` with a status tells how it stands; that is not a refusal to tell."""
    body = {"success": False, "data": {"status": "failed"}, "error": "no clip"}

    assert open_envelope(said(body), whole=True) == body
    with pytest.raises(ApiError):
        open_envelope(said(body))


def test_a_missing_client_id_is_told_from_other_bad_requests() -> None:
    """400 means two things; a new client id helps against one of them only."""
    with pytest.raises(CODES[400]):
        open_envelope(said({"detail": "X-Client-Id header is required"}, 400))
    with pytest.raises(ApiError) as caught:
        open_envelope(said({"detail": "the client sent a bad draft"}, 400))
    assert type(caught.value) is ApiError
    assert str(caught.value).startswith("NemoVideo refused this (the call): the client sent a bad draft (code 400).")


def test_refused_files_are_told_without_gaps() -> None:
    """The backend's refusal names no sizes; the limits are known here."""
    with pytest.raises(FileTooLarge, match="larger than 200 MB"):
        open_envelope(said({"code": 4002, "message": "too large"}))
    with pytest.raises(UnsupportedFile, match="mp4 mov avi"):
        open_envelope(said({"code": 4001, "message": "what is this"}))


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("way", ["envelope", "status", "empty"])
def test_a_server_in_trouble_is_no_refusal(status: int, way: str) -> None:
    """It may have done the work all the same; harmless calls are repeated."""
    answers = {
        "envelope": said({"code": status, "message": "boom"}),
        "status": said({"message": "boom"}, status),
        "empty": said(b"", status, "text/plain"),
    }

    with pytest.raises(BadAnswer) as caught:
        open_envelope(answers[way])
    assert (caught.value.id, caught.value.status) == ("api-server", status)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_gateway_s_page_says_that_the_server_is_unavailable(status: int) -> None:
    """Nothing to log in to: try again in a minute."""
    with pytest.raises(BadAnswer, match=rf"NemoVideo is unavailable \(.+, HTTP {status}\). Try again in a minute"):
        open_envelope(said(HTML, status, "text/html"))


@pytest.mark.parametrize("status", [200, 301, 403, 404])
def test_a_web_page_is_no_answer(status: int) -> None:
    """A proxy, a log-in page of the network: said in words, with the host."""
    with pytest.raises(BadAnswer, match=r"api.test answered with a web page") as caught:
        open_envelope(said(HTML, status, "text/html"))
    assert caught.value.status == status


def test_a_web_page_with_a_telling_status_is_a_refusal_where_that_is_harmless() -> None:
    """nginx refuses large uploads itself; for a paid message a page proves nothing."""
    answer = said(HTML, 413, "text/html")

    with pytest.raises(FileTooLarge):
        open_envelope(answer)
    with pytest.raises(BadAnswer):
        open_envelope(answer, strict=True)


@pytest.mark.parametrize(
    ("body", "kind", "refusal"),
    [(b"", "text/plain", True), (b"Not Found", "text/plain", True), (b"", "application/json", True),
     (b'{"code": 100', "application/json", False), (HTML, "text/html", False), (HTML, "", False)],
)  # fmt: skip
def test_a_refusal_without_json_counts_by_its_status(body: bytes, kind: str, refusal: bool) -> None:
    """A whole answer in plain words is the backend's; half an answer and a page are not."""
    with pytest.raises(ApiError if refusal else BadAnswer):
        open_envelope(said(body, 404, kind), strict=True)


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"code": 0, "data": {"a"', b"nope", b"\xff\xfe", b"[" * 100_000], ids=range(6)
)
def test_cut_and_broken_json_is_no_answer(body: bytes) -> None:
    """It is not known what the backend wanted to say."""
    with pytest.raises(BadAnswer, match="cannot be read"):
        open_envelope(said(body or b"\n"))


def test_a_redirect_is_not_followed() -> None:
    """It could lead a token elsewhere."""
    with pytest.raises(BadAnswer):
        open_envelope(said({}, 307))


def test_a_refusal_is_shown_without_secrets_and_clipped() -> None:
    """What the backend says goes into messages, logs and graphs."""
    secret = "bad https://cdn.test/x?sig=SECRET Bearer SECRET nmv_usr_SECRET " + "long " * 200

    with pytest.raises(ApiError) as caught:
        open_envelope(said({"code": 9999, "message": secret}))
    assert "SECRET" not in str(caught.value)
    assert len(str(caught.value)) < 450


def test_the_kind_of_money_trouble_is_told_apart() -> None:
    """2001 is about credits, 402 about the plan."""
    with pytest.raises(NoCredits):
        open_envelope(said({"code": 2001, "message": "insufficient"}, 402))
    with pytest.raises(CODES[402], match="Register or upgrade your plan to unlock export"):
        open_envelope(said({"success": False, "error": "plan"}, 402))


def test_retry_after_is_kept() -> None:
    """The retry decision reads it from the exception."""
    with pytest.raises(ApiError) as caught:
        open_envelope(said({}, 429, retry_after=7.0))
    assert caught.value.retry_after == 7.0
    with pytest.raises(BadAnswer) as bad:
        open_envelope(said({}, 503, retry_after=7.0))
    assert bad.value.retry_after == 7.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "data", "success", "error", "message", "detail", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from([200, 204, 301, 400, 401, 404, 429, 500, 599]), st.booleans())
def test_any_json_is_an_answer_or_one_of_our_exceptions(body: object, status: int, strict: bool) -> None:
    """Wrong types anywhere in an envelope never crash the client."""
    with contextlib.suppress(NemoError):
        open_envelope(said(body, status), strict=strict)


def test_a_refused_token_names_no_profile_yet() -> None:
    """Who asked knows its name; `_http` fills it in."""
    with pytest.raises(SignInError) as caught:
        open_envelope(said({"code": 1001}))
    assert "profile" not in caught.value.facts

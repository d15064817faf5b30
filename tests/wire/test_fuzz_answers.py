"""Any bytes as an answer: data, a model, or a typed error; money that is a number, or an error."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nemo_client import ApiError, BadAnswer, NemoError
from nemo_client._config.profiles import Profile
from nemo_client._journal.money import covers_estimate, measure_charge
from nemo_client._safety.json_limits import MAX_DEPTH, BadJson, parse_json
from nemo_client._safety.redaction import sanitize_for_display
from nemo_client._wire.client import NemoClient
from nemo_client._wire.envelope import Answer, open_envelope
from nemo_client._wire.http import Http, quote_segment
from nemo_client._wire.schemas import (
    MAX_CREDITS,
    AnonymousToken,
    Asset,
    Claim,
    Credits,
    RenderJob,
    Session,
    State,
    Wire,
)
from tests.support.fuzz import damaged, examples, json_of, odd_texts, scalars

KEYS = st.sampled_from(
    [
        "code", "data", "success", "error", "message", "detail", "msg", "error_code", "state", "draft", "raw",
        "status", "output", "url", "outputUrl", "output_url", "progress", "id", "session_id", "task_id", "user_id",
        "token", "expires_at", "available", "frozen", "total", "files", "width", "duration", "claim_token",
        "expires_in",
    ]
)  # fmt: skip
STATUSES = st.sampled_from([100, 200, 201, 204, 206, 301, 304, 400, 401, 402, 403, 404, 409, 413, 415, 418, 422, 429])
KINDS = st.sampled_from(["application/json", "text/html", "text/plain", "", "application/problem+json; charset=x"])
MODELS: tuple[type[Wire], ...] = (AnonymousToken, Asset, Claim, Credits, RenderJob, Session, State)

envelopes = st.fixed_dictionaries(
    {"code": scalars | st.sampled_from([0, "0", 0.0, 200, 1001, 1001.0, "2001"]), "data": json_of(KEYS)},
    optional={"message": odd_texts | st.text(max_size=20), "success": scalars},
)
bodies = envelopes | st.dictionaries(KEYS, json_of(KEYS), max_size=6) | json_of(KEYS)


def spelled(value: Any) -> bytes:
    return json.dumps(value).encode()


@given(bodies.map(spelled).flatmap(damaged) | st.binary(max_size=60), STATUSES | st.integers(100, 599), KINDS,
       st.booleans(), st.booleans())  # fmt: skip
@examples(30)
@example(b'{"code": "\\u00b2"}', 200, "application/json", False, False)  # a digit to isdigit(), none to int()
@example(b'{"code": "--5"}', 200, "application/json", False, False)
@example(b'{"code": 1001.0}', 200, "application/json", False, False)
def test_any_bytes_are_an_answer_or_a_typed_error(
    body: bytes, status: int, kind: str, whole: bool, strict: bool
) -> None:
    """And the error can be told to people, in both languages, on one line."""
    refused: list[NemoError] = []
    try:
        open_envelope(Answer("state", "api.test", status, kind, body), whole=whole, strict=strict)
    except (ApiError, BadAnswer) as error:
        refused.append(error)
    for text in (error.text(lang) for error in refused for lang in ("en", "zh")):
        assert "\n" not in text
        text.encode("utf-8")


@given(bodies, st.sampled_from(MODELS))
@examples(30)
def test_any_data_is_a_model_or_a_typed_error(data: Any, kind: type[Wire]) -> None:
    """Wrong types, missing fields and null lists never crash, and never pass for money."""
    client = NemoClient(Http(Profile("nemo", "https://api.test"), "client", None))  # type: ignore[arg-type]

    for given_data in (data, data.get("data") if isinstance(data, dict) else None):
        try:
            made = client._parse_model(kind, given_data, "state")
        except BadAnswer as error:
            str(error).encode("utf-8")
            continue
        repr(made)
        if isinstance(made, RenderJob):
            assert made.progress is None or 0 <= made.progress <= 100
        if isinstance(made, Session):
            _segmented(made.session_id)


def _segmented(session_id: str) -> None:
    try:
        assert quote_segment(session_id).isascii()
    except NemoError:
        assert not session_id.isprintable() or session_id in (".", "..")


credits = st.fixed_dictionaries({"available": scalars}, optional={"frozen": scalars, "total": scalars})


@given(credits, credits)
@examples(25)
@example({"available": 1e308, "frozen": 1e308}, {"available": 1})  # together infinite, and a charge of no number
@example({"available": True}, {"available": "12.5"})
@example({"available": 5, "frozen": -10}, {"available": 5})
def test_a_balance_is_a_number_or_an_error(before: Any, after: Any) -> None:
    """Strings of numbers are numbers; true, NaN, the infinite and the astronomical are errors, no charge."""
    client = NemoClient(Http(Profile("nemo", "https://api.test"), "client", None))  # type: ignore[arg-type]
    read = []
    for each in (before, after):
        try:
            read.append(client._parse_model(Credits, each, "balance"))
        except BadAnswer:
            read.append(None)
        else:
            assert not isinstance(each["available"], bool)
            assert abs(read[-1].held) <= 2 * MAX_CREDITS

    money = measure_charge(*read, alone=True)
    assert money.spent is None or (money.spent >= 0 and math.isfinite(money.spent))
    if read[0] is not None:
        assert covers_estimate(read[0], 100, [], seen=True) in (True, False)
        assert all("e" not in text for text in read[0].shown.values())


@given(json_of(KEYS).map(spelled).flatmap(damaged) | st.binary(max_size=40) | st.text(max_size=40))
@examples(25)
def test_any_text_is_json_within_the_limits_or_none(text: bytes | str) -> None:
    """One exception for all that is wrong with it."""
    try:
        value = parse_json(text)
    except BadJson:
        return
    assert repr(json.loads(text)) == repr(value)


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH + 1, 900, 10_000, 1_000_000])
@pytest.mark.parametrize("around", ["[]", "{}"])
def test_the_depth_of_json_is_bounded(depth: int, around: str) -> None:
    """By one limit, not by what is left of Python's stack."""
    opening = "[" if around == "[]" else '{"a":'
    text = opening * depth + "1" + around[1] * depth

    if depth < MAX_DEPTH:
        assert parse_json(text)
    else:
        with pytest.raises(BadJson, match="nested more deeply than 200 levels"):
            parse_json(text)


SECRETS = st.sampled_from(
    [
        "https://", "a.test/", "?sig=S3CRET", " ", "Bearer S3CRET", "x", "nmv_usr_S3CRET", '"', "\n", "\x1b",
        "\ud800", "bearer ",
    ]
)  # fmt: skip


@given(st.lists(SECRETS, max_size=12))
@examples(30)
def test_what_is_shown_is_one_clipped_line(parts: list[str]) -> None:
    """Whatever the backend puts into its words."""
    line = sanitize_for_display("".join(parts), 50)

    assert len(line) <= 50
    assert line.isprintable()

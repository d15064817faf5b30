"""What the wire says, as models: the documented forms, and all the ways they can be off."""

from __future__ import annotations

import copy
from datetime import datetime, timezone

import pytest
from pydantic import ValidationError

from nemo_client._wire.render_status import ProgressScale
from nemo_client._wire.schemas import AnonymousToken, Asset, Claim, Credits, RenderJob, Session, State, Wire

MIDNIGHT = datetime(2026, 8, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("given", "expiry"),
    [("2026-08-01T00:00:00Z", MIDNIGHT), ("2026-08-01T02:00:00+02:00", MIDNIGHT), ("2026-08-01T00:00:00", MIDNIGHT),
     ("2026-08-01", MIDNIGHT), ("soon", None), ("", None), (None, None), ([], None), (True, None)],
)  # fmt: skip
def test_an_odd_expiry_does_not_cost_the_token(given: object, expiry: datetime | None) -> None:
    """The server gives one token a week: an answer whose other fields cannot be read is still one."""
    token = AnonymousToken.model_validate({"token": "t", "user_id": None, "expires_at": given, "credits": "lots"})

    assert (token.token, token.user_id, token.expires_at) == ("t", "", expiry)


@pytest.mark.parametrize("data", [{}, {"token": ""}, {"token": None}, {"token": ["t"]}, None, 7, "t", []])
def test_an_answer_without_a_token_is_none(data: object) -> None:
    """What is promised has to be there."""
    with pytest.raises(ValidationError):
        AnonymousToken.model_validate(data)


def test_secrets_stay_out_of_repr() -> None:
    """A model in a log line or a traceback shows no token, no address that can be signed, and nothing unknown."""
    models: list[Wire] = [
        AnonymousToken.model_validate({"token": "SECRET", "refresh": "SECRET"}),
        Claim.model_validate({"claim_token": "SECRET"}),
        Asset.model_validate({"cdn_url": "SECRET", "thumb": "SECRET"}),
        RenderJob.model_validate({"status": "completed", "output": {"url": "SECRET"}}),
        State.model_validate({"state": {"x": "SECRET"}}),
    ]

    assert "SECRET" not in repr(models)
    assert models[0].model_extra == {"refresh": "SECRET"}


def test_what_only_the_vendor_documents_may_be_missing_null_or_a_number() -> None:
    """A client must tolerate such fields and not depend on them."""
    assert Session.model_validate({"session_id": "s", "task_id": None, "user_id": 17}).user_id == "17"
    assert Claim.model_validate({"claim_token": "c", "expires_in": None}).expires_in == 0
    assert Asset.model_validate({"width": None, "filename": None}) == Asset()


def test_unknown_fields_survive() -> None:
    """Newer backends say more."""
    assert Session.model_validate({"session_id": "s", "new": [1]}).model_extra == {"new": [1]}


DRAFT = {"t": [{"tt": 99, "sg": [{"odd": {"deep": None}}]}], "unknown": 1.50, "m": {}}


def test_the_draft_is_not_touched() -> None:
    """It goes back to the renderer as it came, unknown keys, nulls and track types included."""
    state = State.model_validate({"state": {"draft": copy.deepcopy(DRAFT), "canvas_config": 1}, "session_id": "s"})

    assert state.draft == DRAFT
    assert state.raw == {"draft": DRAFT, "canvas_config": 1}
    assert state.session_id == "s"


@pytest.mark.parametrize("data", [{}, {"state": None}, {"state": {}}, {"state": {"draft": None}}])
def test_a_new_session_has_no_draft(data: object) -> None:
    """Nothing is there before the first generation."""
    assert State.model_validate(data).draft is None


@pytest.mark.parametrize(
    "data", [None, 7, [], {"state": 7}, {"state": []}, {"state": {"draft": 7}}, {"state": {"draft": "{}"}}]
)
def test_a_state_that_is_not_understood_is_not_an_empty_one(data: object) -> None:
    """Taken for empty before a message, everything afterwards would look like new work of that message."""
    with pytest.raises(ValidationError):
        State.model_validate(data)


@pytest.mark.parametrize(
    "data", [{}, {"available": None}, {"available": "x"}, {"available": float("nan")}, {"available": float("inf")}, 7]
)
def test_a_balance_needs_its_number(data: object) -> None:
    """Money is never guessed."""
    with pytest.raises(ValidationError):
        Credits.model_validate(data)


def test_a_balance_can_be_overdrawn() -> None:
    """Below zero there are too few credits, which is no reason to understand nothing."""
    assert Credits.model_validate({"available": -5, "frozen": None}).held == -5
    assert Credits.model_validate({"available": "30", "frozen": 20}).held == 50


TOP = {"status": "completed", "output": {"url": "u"}}
INNER = {"success": True, "data": {"id": "r", "status": "completed", "outputUrl": "u", "progress": 100}, "error": ""}


@pytest.mark.parametrize("data", [TOP, INNER, {"data": TOP}, {"status": "SUCCEEDED", "url": "u"}])
def test_both_render_answers_are_read(data: object) -> None:
    """Top-level `status` and `output.url`, or `data.status` and `data.outputUrl`."""
    job = RenderJob.model_validate(data)

    assert (job.status, job.url) == ("completed", "u")


@pytest.mark.parametrize(
    ("said", "understood"),
    [("pending", "pending"), ("queued", "pending"), ("processing", "processing"), ("failed", "failed"),
     ("canceled", "cancelled"), ("on_hold", "unknown"), (7, "unknown"), (None, "unknown"), ({}, "unknown")],
)  # fmt: skip
def test_an_unknown_status_is_a_case_of_its_own(said: object, understood: str) -> None:
    """Not a crash, and neither done nor failed."""
    assert RenderJob.model_validate({"status": said}).status == understood


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("completed", "completed complete succeed succeeded SUCCESS done DONE finished RenderStatus.COMPLETED ready "
                      "STATUS_SUCCEEDED JobState.Success render-complete rendered successful 已完成"),
        ("failed", "failed FAILURE expired timeout TIMED_OUT timed-out rejected aborted error RenderStatus.FAILED "
                   "render_error JOB_STATE_FAILED ERRORED 失败"),
        ("cancelled", "cancelled CANCELED RenderStatus.CANCELLED"),
        ("pending", "pending QUEUED waiting not_started NOT-STARTED JobStatus.PENDING scheduled submitted"),
        ("processing", "processing RUNNING in_progress IN-PROGRESS InProgress rendering RenderStatus.PROCESSING "
                       "started"),
        ("unknown", "on_hold compositing incomplete partially_completed not_completed uncompleted xyz ???"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "place", ["status", "state", "data.status", "data.state", "data.data.state", "data.render.status"]
)
def test_a_status_is_read_in_every_spelling(status: str, words: str, place: str) -> None:
    """Under each name and at each place that it was seen at, with blanks."""
    for word in words.split():
        for written in (word, f"  {word}\n"):
            answer: object = written
            for name in reversed(place.split(".")):
                answer = {name: answer}
            job = RenderJob.model_validate(answer)

            assert (job.status, job.said) == (status, word), word


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"output": {"url": "https://x.test/v"}}, "completed"),
        ({"data": {"outputUrl": "https://x.test/v", "status": None}}, "completed"),
        ({"data": {"output": "https://x.test/v", "status": ""}}, "completed"),
        ({"data": {"outputs": [{"url": "/v.mp4"}], "status": 2}}, "completed"),
        ({"data": {"status": None, "error": "no clip"}}, "failed"),
        ({"success": False, "error": {"message": "no clip"}}, "failed"),
        ({"data": {"status": 3, "errorMessage": "no clip"}}, "failed"),
        ({"status": "<RenderStatus.COMPLETED: 'completed'>"}, "completed"),
        ({"data": {"status": "Succeeded."}}, "completed"),
        ({"data": {"renderState": "Exported!"}}, "completed"),
        ({"data": {"resultUrl": "https://x.test/a.mp4"}}, "completed"),
        ({"data": {"job_state": "INTERRUPTED"}}, "failed"),
        ({"data": {"status": "abandoned"}}, "failed"),
        ({"status": {"state": "done"}}, "completed"),
        ({"status": 1}, "unknown"),
        ({"status": "2"}, "unknown"),
        ({"data": {"error": None, "status": None}}, "unknown"),
        ({"data": {"error": "", "progress": 30}}, "unknown"),
        ({"status": "success", "data": {"id": "r", "progress": 40}}, "unknown"),
        ({"status": "success", "data": {"id": "r", "status": "processing"}}, "processing"),
        ({"status": "success", "data": {"url": "https://x.test/v"}}, "completed"),
        ({"data": {"status": "processing", "error": "will be tried again"}}, "processing"),
        ({"data": {"status": "on_hold", "url": "https://x.test/v"}}, "unknown"),
        ({"output": {"format": "mp4", "quality": "high"}, "data": {}}, "unknown"),
    ],
)
def test_what_stands_beside_tells_where_there_is_no_word(said: object, status: str) -> None:
    """The output there, or an error; a number decides nothing by itself."""
    assert RenderJob.model_validate(said).status == status


@pytest.mark.parametrize(
    ("told", "percents"),
    [([0, 0.25, 0.5, 1], [0, 25, 50, 100]), ([0.1, 1.0], [10, 100]), ([0, 1, 2, 50], [0, 1, 2, 50]),
     ([1, 1.5, 99.5], [1, 1.5, 99.5]), ([None, 0.5, None], [None, 50, None]), ([0.5, 12.5, 0.5], [50, 12.5, 0.5])],
)  # fmt: skip
def test_progress_is_told_in_percent_or_as_a_fraction(told: list[float | None], percents: list[float | None]) -> None:
    """The first that shows which it is decides for the render."""
    scale = ProgressScale()

    assert [scale.clamp_percent(each) for each in told] == percents


@pytest.mark.parametrize(
    ("said", "percent"),
    [(0, 0.0), (42, 42.0), (120, 100.0), (-3, 0.0), ("42", None), (True, None), (None, None), (float("nan"), None)],
)
def test_progress_is_a_percentage_or_nothing(said: object, percent: float | None) -> None:
    """The bar shows what was said, never an error."""
    assert RenderJob.model_validate({"status": "processing", "progress": said}).progress == percent


@pytest.mark.parametrize(
    "said", [{"error": "no clip"}, {"error": {"message": "no clip"}}, {"data": {"error": "no clip"}}]
)
def test_a_failed_render_says_why(said: dict[str, object]) -> None:
    """The reason stands at several places."""
    assert RenderJob.model_validate({"status": "failed", **said}).error == "no clip"


@pytest.mark.parametrize("data", [None, 7, "done", []])
def test_a_render_answer_is_an_object(data: object) -> None:
    """Anything else is no answer."""
    with pytest.raises(ValidationError):
        RenderJob.model_validate(data)


def test_a_balance_is_shown_whole() -> None:
    """A million credits and more are not rounded to six digits, and whole numbers have no fraction."""
    shown = Credits(available=1234567, frozen=0, total=1234567.5).shown

    assert shown == {"available": "1234567", "frozen": "0", "total": "1234567.5"}

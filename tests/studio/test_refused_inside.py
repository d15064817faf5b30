"""2001 inside of a stream, and other ends of a message whose words have to fit: refused only where that is proved."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from nemo_client import NoCredits, ResultUnknown, Wish
from nemo_client._journal.records import Attempt
from nemo_client._journal.steps import State
from nemo_client._studio.reconcile import make_end_error, says_no_credits
from nemo_client._wire.sse import StreamFailure, parse_event
from tests.support.backend import Cloud, cloud, picture

__all__ = ["cloud"]
Clouds = Callable[..., Cloud]
WISH = Wish("slow push-in", duration=2)
NO_CREDITS = "Error 2001: not enough credits"


def failure_in(event: object) -> StreamFailure | None:
    found = [each for each in parse_event(json.dumps(event)) if isinstance(each, StreamFailure)]
    return found[0] if found else None


@pytest.mark.parametrize(
    "event",
    [
        {"code": 2001, "message": "insufficient credits"},
        {"error": "no credits", "error_details": {"code": 2001}},
        {"error": "no credits", "error_details": {"error": {"code": "2001"}}},
        {"error": "no credits", "error_details": {"errors": [{"error_code": 2001}]}},
        {"error": {"code": 2001, "message": "no credits"}},
        {"error": {"code": "2001", "message": "no credits"}},
        {"errorCode": "2001", "errorMessage": "no credits"},
        {"type": "error", "code": 2001, "message": "no credits"},
        {"type": "error", "error": {"code": 2001, "message": "no credits"}},
        {"error": "RuntimeError: [2001] not enough credits"},
        {"error": "upstream said code=2001"},
    ],
)
def test_2001_is_seen_wherever_it_stands(event: object) -> None:
    """As the code of the event, in its details, as text, in the words."""
    assert says_no_credits(failure_in(event))


@pytest.mark.parametrize(
    "event",
    [
        {"error": "upstream model overloaded"},
        {"error": "task 12001 failed"},
        {"error": "took 20010 ms"},
        {"error": "no", "error_details": {"code": 5001, "ids": [20011]}},
        {"code": 1001, "message": "expired"},
    ],
)
def test_other_failures_are_not_2001(event: object) -> None:
    """Nor longer numbers that hold these digits."""
    assert not says_no_credits(failure_in(event))
    assert not says_no_credits(None)


async def test_2001_inside_of_a_stream_is_a_refusal_where_nothing_was_done(cloud: Clouds) -> None:
    """No tool made anything, nothing new is in the state, and two reads show the balance as before."""
    backend = cloud()
    backend.fault("error_in_stream", "message", message=NO_CREDITS)
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(NoCredits, match=r"Not enough credits.*Nothing was charged") as caught:
            await studio.generate(session, WISH)
        assert backend.ledger.credits_taken == 0
        turned = await studio.generate(session, WISH)

    assert caught.value.charged == "no"
    assert turned.timeline
    assert (len(backend.ledger.messages), backend.ledger.credits_taken) == (2, 100)


@pytest.mark.parametrize("rest", [{"charged": True}, {"made": True, "charged": True}, {"made": True}], ids=str)
async def test_2001_inside_of_a_stream_proves_nothing_where_something_was_done(rest: Any, cloud: Clouds) -> None:
    """A balance that fell, or work in the state: then the result is looked for, and nothing is sent again."""
    backend = cloud()
    backend.fault("error_in_stream", "message", message=NO_CREDITS, **rest)
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        if rest.get("made"):
            assert (await studio.generate(session, WISH)).timeline
        else:
            with pytest.raises(ResultUnknown) as caught:
                await studio.generate(session, WISH)
            assert caught.value.charged != "no"

    assert len(backend.ledger.messages) == 1


async def test_2001_inside_of_a_stream_proves_nothing_where_the_balance_cannot_be_read(cloud: Clouds) -> None:
    """What was not seen is not said."""
    backend = cloud()
    backend.fault("error_in_stream", "message", message=NO_CREDITS)
    backend.fault("http_500", "credits", nth=2, count=None)
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(ResultUnknown):
            await studio.generate(session, WISH)

    assert len(backend.ledger.messages) == 1


@pytest.mark.parametrize(
    ("reply", "kept", "gone"),
    [
        ("I need a longer prompt. Click the 'Generate' button in the top right corner.", "longer prompt", "lick"),
        ("请写得更详细一些。请点击右上角的“生成”按钮。", "更详细", "点击"),
    ],
)
def test_an_answer_that_made_nothing_is_told_without_orders_for_a_page(reply: str, kept: str, gone: str) -> None:
    """Its reader sees no such button."""
    money = {"before": 100.0, "after": 100.0, "spent": 0.0, "certainty": "exact"}
    attempt = Attempt(
        "generate-1", 1, State.FAILED, "nemo", free=False, facts={"reply": reply, "money": money, "text": "go"}
    )
    told = str(make_end_error(attempt))

    assert kept in told
    assert gone not in told

"""Files of the home directory as no one wrote them: nested, huge, damaged; one clear error each."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from nemo_client import (
    DiskError,
    InputError,
    Journal,
    Studio,
    Wish,
    account_text,
    default_profile,
    described,
    home,
    list_jobs,
    profile,
)
from nemo_client._safety.json_limits import MAX_VALUES
from tests.support.backend import Cloud, cloud, picture

__all__ = ["cloud"]
Clouds = Callable[..., Cloud]

HOSTILE = {
    "lists nested 10,000 deep": "[" * 10_000 + "]" * 10_000,
    "objects nested 10,000 deep": '{"profiles":' * 10_000 + "1" + "}" * 10_000,
    "nested 900 deep": '{"profiles":{"a":' + "[" * 900 + "]" * 900 + "}}",
    "a million values and more": '{"profiles":[' + "1," * MAX_VALUES + "1]}",
    "a number of 10,000 digits": '{"profiles":{"a":{"run_limit":' + "9" * 10_000 + "}}}",
    "not UTF-8": b"\xff\xfe\x00",
    "empty": "",
    "another type": "7",
}


def put(name: str, content: str | bytes) -> Path:
    home().mkdir(parents=True, exist_ok=True)
    path = home() / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_profiles_are_one_error(content: str | bytes) -> None:
    """No RecursionError; the settings page tells it, and nodes still load."""
    put("profiles.json", content)

    with pytest.raises(InputError) as caught:
        profile("nemo")
    assert caught.value.id == "profile-broken"
    assert default_profile() == "local preview"
    assert any(each.problem for each in described())


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_credentials_are_one_error(content: str | bytes) -> None:
    """Nothing is signed up over them, for they may hold the week's token."""
    put("credentials.json", content)

    with pytest.raises(DiskError) as caught:
        account_text(profile("nemo"))
    assert caught.value.id == "credentials-broken"


async def damaged(facts: str) -> None:
    """A journal with a finished generation, whose rows hold `facts` now."""
    with sqlite3.connect(home() / "journal.sqlite3") as database:
        database.execute("UPDATE attempts SET facts = ?", (facts,))
    database.close()


@pytest.mark.parametrize(
    "facts",
    ["[" * 10_000, '{"draft":' * 5000 + "1" + "}" * 5000, "{", "", "7", "null", "[]", '{"draft": {"t": 1'],
    ids=lambda facts: repr(facts)[:20],
)
async def test_a_damaged_row_of_the_journal_stops_what_is_paid(cloud: Clouds, facts: str) -> None:
    """It says what was paid for: taken for empty, the same request would be paid again."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        await studio.generate(session, Wish("slow push-in"))
    await damaged(facts)

    async with backend.studio() as studio:
        with pytest.raises(DiskError) as caught:
            await studio.generate(session, Wish("slow push-in"))
    assert caught.value.id == "journal-unusable"
    assert "a row of it is damaged" in str(caught.value)
    journal = Journal(home())
    try:
        (job,) = await list_jobs(journal)  # the list is read from rows of its own, so it still names what was paid for
    finally:
        await journal.close()
    assert job.prompt == "slow push-in"
    assert backend.sent("message") == 1


async def test_a_deep_draft_goes_into_the_journal_and_comes_back(cloud: Clouds) -> None:
    """What the wire may hold, the journal holds: twice, with what is around it."""
    value: object = 1
    for _ in range(190):
        value = [value]
    backend = cloud()
    backend.fault("wrong_types", "state", count=None, field="data.state.draft.deep", value=value)
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        turned = await studio.generate(session, Wish("slow push-in"))
        view = await studio.view(turned.session)

    assert json.loads(view.draft)["deep"] == value
    assert isinstance(studio, Studio)

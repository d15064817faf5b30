"""Steps: what makes two requests the same, which way a step may go, and the record of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_client import SessionBusy
from nemo_client._journal.records import Attempt
from nemo_client._journal.steps import (
    DEFAULTS,
    MOVES,
    PAID,
    Event,
    IllegalMove,
    Kind,
    State,
    advance,
    make_step_key,
    normalize_text,
    parse_kind,
)
from tests.support.backend import memory_journal

# Keys are what paid work is found by, on the machines of everybody who ever used the pack. If one of these changes,
# so has everybody's: raise KEY_VERSION and look older versions up, too.
FROZEN: list[tuple[Kind, dict[str, object], str]] = [
    ("upload", {"media": ["pixels:2x2x3:ab"], "language": "en"}, "upload-67c17beaabf9faf9a0c2e24f59f383f69865d012"),
    (
        "generate",
        {"prompt": "a cat", "aspect_ratio": "9:16", "duration": 5, "seed": 7},
        "generate-58b15d4e27564430497406150f457e3346eef726",
    ),
    ("edit", {"instruction": "add music", "seed": 0}, "edit-daffdf740d8312d7d7d298009a0d557b87e191c3"),
    ("chat", {"message": "hello", "seed": 0}, "chat-62651c0a5d8f042a2abe848e3188ccb001265298"),
    (
        "export",
        {"format": "webm", "quality": "high", "resolution": "auto"},
        "export-02f4ffb7144b9fed3ff30aaea8b1a19509afea4e",
    ),
]


@pytest.mark.parametrize(("kind", "inputs", "key"), FROZEN, ids=[kind for kind, _, _ in FROZEN])
def test_keys_do_not_change_by_accident(kind: Kind, inputs: dict[str, object], key: str) -> None:
    """One literal key of each kind."""
    assert make_step_key("nemo https://api.test:443", "upload-before", kind, inputs) == key


def test_a_key_is_the_hash_of_its_canonical_json() -> None:
    """Anybody can compute it from the description in the journal's contract."""
    canonical = '[1,"local","","generate",{"duration":5,"prompt":"é"}]'

    key = make_step_key("local", "", "generate", {"prompt": "e\u0301", "duration": 5.0, "seed": 0})

    assert key == f"generate-{hashlib.sha256(canonical.encode()).hexdigest()[:40]}"
    assert parse_kind(key) == "generate"


def key_of(**inputs: object) -> str:
    return make_step_key("local", "", "generate", {"prompt": "a", **inputs})


def test_equal_requests_have_equal_keys() -> None:
    """Text in NFC with LF, `5` equals `5.0`, defaults left out, order without meaning."""
    assert key_of(prompt="caf\u00e9\r\nx\ry") == key_of(prompt="cafe\u0301\nx\ny")
    assert key_of(duration=5) == key_of(duration=5.0)
    assert key_of(duration=0, seed=0, aspect_ratio="auto") == key_of(duration=0.0) == key_of()
    assert make_step_key("local", "", "chat", {"a": 1, "b": 2}) == make_step_key("local", "", "chat", {"b": 2, "a": 1})


def test_different_requests_have_different_keys() -> None:
    """Profile, the key before, the kind and every input count."""
    keys = [
        key_of(),
        key_of(seed=1),
        key_of(duration=5),
        key_of(duration=5.5),
        key_of(prompt="a "),
        key_of(prompt="A"),
        make_step_key("local", "x", "generate", {"prompt": "a"}),
        make_step_key("nemo https://a.test:443", "", "generate", {"prompt": "a"}),
        make_step_key("local", "", "chat", {"prompt": "a"}),
        make_step_key("local", "", "upload", {"media": ["a", "b"]}),
        make_step_key("local", "", "upload", {"media": ["b", "a"]}),
    ]

    assert len(set(keys)) == len(keys)


@given(st.text())
def test_any_text_has_a_key(text: str) -> None:
    """Lone surrogates and control characters included; normalising twice changes nothing."""
    assert key_of(prompt=text) == key_of(prompt=normalize_text(text))
    assert normalize_text(normalize_text(text)) == normalize_text(text)


def test_a_new_input_does_not_change_old_keys() -> None:
    """That is why defaults are left out: every input of every kind has one, but those that make the request."""
    for kind, defaults in DEFAULTS.items():
        assert make_step_key("local", "", kind, {"x": 1, **defaults}) == make_step_key("local", "", kind, {"x": 1})


# --- The table of moves, against the contract written out once more -------------------------------------------------

CONTRACT = {
    ("planned", "take over"): "planned", ("planned", "release"): "planned", ("planned", "send"): "sent",
    ("sent", "refuse"): "refused", ("sent", "finish"): "done", ("sent", "decline"): "failed",
    ("sent", "break"): "unknown", ("sent", "owner died"): "unknown",
    ("unknown", "refuse"): "refused", ("unknown", "evidence"): "done", ("unknown", "clear"): "failed",
    ("unknown", "expire"): "lost",
    ("lost", "evidence"): "done", ("refused", "ask again"): "planned",
    ("failed", "evidence"): "done",
    ("failed", "ask again"): "failed", ("lost", "ask again"): "lost",
    ("failed", "resend"): "planned", ("lost", "resend"): "planned",
}  # fmt: skip


def test_the_table_is_the_contracts() -> None:
    """Every move that is allowed, and no other, is in the journal's contract."""
    assert {(state.value, event.value): after.value for (state, event), after in MOVES.items()} == CONTRACT


@given(st.lists(st.sampled_from(Event), max_size=40))
@settings(max_examples=80)
def test_no_path_pays_twice(events: list[Event]) -> None:
    """Whatever happens in whatever order: done stays, and between two sends lies a refusal or the user's word."""
    state = State.PLANNED
    sends, excuses = 0, 1
    for event in events:
        try:
            after = advance(state, event)
        except IllegalMove:
            continue
        assert state is not State.DONE
        sends += event is Event.SEND
        excuses += event in (Event.REFUSE, Event.RESEND)
        state = after

        assert sends <= excuses


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_a_done_paid_step_takes_no_event_at_all(events: list[Event]) -> None:
    """Its result stands for ever."""
    for event in events:
        with pytest.raises(IllegalMove, match="done"):
            advance(State.DONE, event)


@pytest.mark.parametrize("state", State)
def test_free_steps_can_always_be_repeated(state: State) -> None:
    """Uploads, exports and the local preview cost nothing."""
    event = Event.TAKE_OVER if state is State.PLANNED else Event.ASK_AGAIN

    assert advance(state, event, free=True) is State.PLANNED


# --- The journal ----------------------------------------------------------------------------------------------------


def planned(kind: Kind = "generate", **rest: Any) -> Attempt:
    given: dict[str, Any] = {"account": "me", "session_id": "s", **rest}
    return Attempt(f"{kind}-1", 1, State.PLANNED, "nemo", **given)


async def test_one_of_two_who_plan_the_same_step_comes_first() -> None:
    """(key, attempt) is unique."""
    journal = memory_journal()
    await journal.begin(planned())

    with pytest.raises(SessionBusy):
        await journal.begin(planned())


async def test_a_move_from_an_old_version_is_refused() -> None:
    """Compare-and-set: of two who saw the same record, one goes on."""
    journal = memory_journal()
    seen = await journal.begin(planned())
    sent = await journal.move(seen, Event.SEND, facts={"a": 1})

    with pytest.raises(SessionBusy):
        await journal.move(seen, Event.SEND)
    done = await journal.move(sent, Event.FINISH, facts={"b": 2})
    assert (done.state, done.facts) == (State.DONE, {"a": 1, "b": 2})
    assert await journal.latest(seen.key) == done


@pytest.mark.parametrize("ending", [Event.REFUSE, Event.DECLINE])
async def test_a_paid_step_has_one_next_attempt(ending: Event) -> None:
    """Two who ask again at once must not plan two messages."""
    journal = memory_journal()
    ended = await journal.move(await journal.move(await journal.begin(planned()), Event.SEND), ending)
    again = Event.ASK_AGAIN if ending is Event.REFUSE else Event.RESEND

    second = await journal.move(ended, again, facts={"fresh": True})
    with pytest.raises(SessionBusy):
        await journal.move(ended, again)
    assert (second.number, second.state, second.epoch, second.facts) == (2, State.PLANNED, 0, {"fresh": True})


async def test_free_steps_may_be_repeated_side_by_side() -> None:
    """Two branches that fork at once both upload again."""
    journal = memory_journal()
    upload = await journal.begin(planned("upload", free=True))
    done = await journal.move(await journal.move(upload, Event.SEND), Event.FINISH)

    numbers = [(await journal.move(done, Event.ASK_AGAIN, session_id=f"s{n}")).number for n in range(3)]
    assert numbers == [2, 3, 4]
    found = await journal.latest("upload-1", "s1")
    assert found is not None
    assert found.number == 3


async def test_a_session_has_one_writer() -> None:
    """A claim moves the head from where the writer stands; the second one that comes does not get it."""
    journal = memory_journal()

    assert await journal.claim("s", "upload-1", "generate-a")
    assert not await journal.claim("s", "upload-1", "generate-b")
    assert await journal.claim("s", "upload-1", "generate-a")
    await journal.yield_claim("s", "upload-1", "generate-b")  # not its own: nothing happens
    assert not await journal.claim("s", "upload-1", "generate-b")
    await journal.yield_claim("s", "upload-1", "generate-a")
    assert await journal.claim("s", "upload-1", "generate-b")


async def test_open_attempts_are_those_whose_outcome_is_owed() -> None:
    """They hold credits, and keep an anonymous token from being replaced."""
    journal = memory_journal()
    attempt = await journal.begin(planned())
    for event, owed in ((Event.SEND, 1), (Event.BREAK, 1), (Event.EVIDENCE, 0)):
        assert len(await journal.open_attempts("me")) == 1
        attempt = await journal.move(attempt, event)
        assert len(await journal.open_attempts("me")) == owed
    assert await journal.open_attempts("other") == []


async def test_a_finished_paid_step_is_owed_until_a_file_shows_it() -> None:
    """An export delivers what lies behind it, however many steps."""
    journal = memory_journal()

    async def done(key: str, before: str = "") -> None:
        attempt = await journal.begin(Attempt(key, 1, State.PLANNED, "nemo", before=before, account="me"))
        await journal.move(await journal.move(attempt, Event.SEND), Event.FINISH)

    async def owed() -> list[str]:
        return [each.key for each in await journal.undelivered("me")]

    await done("upload-1")
    await done("generate-1", "upload-1")
    await done("edit-1", "generate-1")
    await done("edit-2", "generate-1")
    assert await owed() == ["generate-1", "edit-1", "edit-2"]
    await done("export-1", "edit-1")
    assert await owed() == ["edit-2"]
    await done("upload-2", "edit-2")
    await done("chat-1", "upload-2")
    assert await owed() == ["edit-2", "chat-1"]
    failed = await journal.begin(Attempt("export-2", 1, State.PLANNED, "nemo", before="chat-1", account="me"))
    await journal.move(await journal.move(failed, Event.SEND), Event.DECLINE)
    assert await owed() == ["edit-2", "chat-1"]
    await done("export-3", "chat-1")
    assert await owed() == []


async def test_limits_see_what_was_sent_and_not_refused() -> None:
    """For a run and for the last 24 hours."""
    journal = memory_journal()

    async def sent(key: str, at: float, ending: Event, **rest: Any) -> None:
        attempt = await journal.begin(Attempt(key, 1, State.PLANNED, "nemo", **rest))
        await journal.move(await journal.move(attempt, Event.SEND, sent=at), ending)

    await sent("generate-old", 10, Event.FINISH)
    await sent("generate-new", 100, Event.FINISH)
    await sent("edit-lost", 100, Event.BREAK)
    await sent("edit-refused", 100, Event.REFUSE)
    await sent("edit-free", 100, Event.FINISH, free=True)
    await journal.begin(Attempt("edit-planned", 1, State.PLANNED, "nemo"))

    assert {each.key for each in await journal.paid_since("nemo", 50)} == {"generate-new", "edit-lost"}
    assert await journal.paid_since("other", 50) == []


@given(st.lists(st.tuples(st.sampled_from(Event), st.booleans()), max_size=25))
@settings(max_examples=25)
def test_the_journal_keeps_the_contract_under_any_events(events: list[tuple[Event, bool]]) -> None:
    """Also with stale versions in between, a paid key is sent once for each refusal or word of the user."""

    async def run() -> None:
        journal = memory_journal()
        versions = [await journal.begin(planned())]
        sends, excuses = 0, 1
        for event, stale in events:
            at = versions[0 if stale else -1]
            try:
                moved = await journal.move(at, event)
            except (SessionBusy, IllegalMove):
                continue
            versions.append(moved)
            sends += event is Event.SEND
            excuses += event in (Event.REFUSE, Event.RESEND)
            assert sends <= excuses

    asyncio.run(run())


def test_kinds_that_charge_are_these() -> None:
    """Uploads and exports are free."""
    assert {"generate", "edit", "chat"} == PAID
    assert json.dumps(sorted(DEFAULTS)) == '["chat", "edit", "export", "generate", "upload"]'

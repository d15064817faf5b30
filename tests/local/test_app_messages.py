"""`/run_sse`: events in both dialects, the work behind them, and the money."""

from __future__ import annotations

import threading

import pytest

from tests.local.plain_client import events, texts
from tests.support.faults import Fault, Faults
from tests.support.ledger import read_ledger
from tests.support.waiting import wait_until

ANIMATE = "turn this image into a 5-second animated video clip with smooth motion"


def test_a_generation_tells_its_stages_as_the_recordings_do(api):
    """Thought, pieces and the whole text, a call and its result for each stage, the text that ends the turn."""
    session = api.ready()
    found = api.say(session, ANIMATE)
    parts = [event["content"]["parts"][0] for event in found]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]

    assert parts[0]["thought"] is True
    assert [call["name"] for call in calls] == ["generate_video_with_seedance", "edit_multitrack"]
    assert [result["id"] for result in results] == [call["id"] for call in calls]
    assert [event["longRunningToolIds"] for event in found if "longRunningToolIds" in event] == [
        [call["id"]] for call in calls
    ]
    assert found[-1]["turnComplete"] is True
    assert texts(found)[-1].endswith("Preview it in the timeline panel, or click Export to save it.")
    assert all({"invocationId", "author", "actions", "id", "timestamp", "nodeInfo"} <= set(event) for event in found)


def test_pieces_add_up_to_the_whole_text(api):
    """`partial` events are exactly what the event without it repeats."""
    found = api.say(api.ready(), ANIMATE)
    pieces, whole = "", []
    for event in found:
        part = event["content"]["parts"][0]
        if event.get("partial"):
            pieces += part["text"]
        elif "text" in part and not part.get("thought"):
            assert part["text"] == pieces
            whole.append(pieces)
            pieces = ""

    assert len(whole) == 2


def test_the_second_stage_adds_to_the_raw_clip(api):
    """First the clip and its media, then the draft with music and title."""
    session = api.ready()
    found = api.say(session, ANIMATE + ', add title "Urban Dreams"')
    deltas = [delta for event in found if (delta := event["actions"]["stateDelta"])]
    state = api.state(session)

    assert [track["tt"] for track in deltas[0]["draft"]["t"]] == [0]
    assert [track["tt"] for track in deltas[1]["draft"]["t"]] == [0, 1, 7]
    assert deltas[1]["draft"] == state["draft"]
    assert [clip["id"] for clip in deltas[0]["generated_media"]] == [clip["id"] for clip in state["generated_media"]]


def test_the_typed_dialect_says_the_same(start, connect):
    """Text, tool_call and tool_result, nothing else."""
    api = connect(start(dialect="typed"))
    session = api.ready()
    found = api.say(session, ANIMATE)

    assert [event["type"] for event in found] == [
        "text", "tool_call", "tool_result", "tool_call", "tool_result", "text",
    ]  # fmt: skip
    assert found[1]["name"] == "generate_video_with_seedance"
    assert found[-1]["content"].startswith("Your video is ready!")


def test_heartbeats_of_every_kind_fill_the_silence(start, connect):
    """Comment lines, empty data lines and heartbeat events while the work takes its time."""
    api = connect(start(generation_seconds=0.6))
    session = api.ready()
    raw = api.send(session, ANIMATE).text

    assert ": ping\n" in raw
    assert "data:\n" in raw
    assert 'data: {"type":"heartbeat"}\n' in raw


def test_it_answers_in_the_language_of_the_message(api):
    """Chinese words, or a Chinese session."""
    session = api.ready()

    assert texts(api.say(session, "把这张图片做成5秒的视频，缓慢推进"))[-1].endswith("点击导出按钮即可下载。")
    assert "Export" in texts(api.say(session, "turn it into a video again, please animate"))[-1]


def test_about_a_third_of_all_edits_are_silent(api):
    """Always the same third: a result, and no text at all."""
    session = api.ready()
    api.say(session, ANIMATE)
    silent = {}
    for seconds in range(6, 30):
        text = f"make it {seconds} seconds"
        found = api.say(session, text)
        silent[text] = not texts(found)
        assert api.state(session)["draft"]["d"] == seconds * 1000
    assert 3 <= sum(silent.values()) <= 14

    text = next(text for text, is_silent in silent.items() if is_silent)
    api.say(session, "make it 40 seconds")
    assert texts(api.say(session, text)) == []


def test_a_question_is_answered_for_free(start, connect):
    """A text answer costs nothing and leaves the draft alone."""
    api = connect(start(credits=0))
    session = api.ready()

    assert "local preview" in texts(api.say(session, "What can you do?"))[-1]
    assert api.state(session)["draft"] == {}


def test_without_a_picture_it_asks_for_one(start, connect):
    """An answer that asks back is no error, and costs nothing."""
    api = connect(start(credits=100))
    found = api.say(api.session(), ANIMATE)

    assert "add an image first" in texts(found)[-1]
    assert api.balance()["available"] == 100


def test_a_title_that_no_font_can_draw_is_said(start, connect):
    """The reply names the characters, so no one waits for a title that cannot come."""
    api = connect(start(missing_glyphs=lambda text: "".join(c for c in text if c == "☃")))
    session = api.ready()
    api.say(session, ANIMATE)
    found = api.say(session, 'add title "Winter ☃"')

    assert "☃" in texts(found)[-1].split("No font")[1]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"app_name": "other"}, 400),
        ({"user_id": "somebody"}, 400),
        ({"session_id": 5}, 400),
        ({"new_message": "hello"}, 400),
        ({"new_message": {"parts": []}}, 400),
        ({"new_message": {"parts": [{"text": "  "}]}}, 400),
        ({"new_message": {"parts": [{"text": "x" * 20_001}]}}, 400),
        ({"session_id": "00000000-0000-0000-0000-000000000000"}, 1002),
    ],
    ids=["app", "user", "session", "message", "parts", "blank", "long", "unknown"],
)
def test_a_wrong_request_is_refused_before_any_work(api, change, code):
    """JSON instead of a stream, and nothing in the ledger."""
    answer = api.http.post("/run_sse", json={**api.message(api.ready(), ANIMATE), **change})

    assert answer.json()["code"] == code
    assert read_ledger(api.backend.directory).messages == ()


def test_a_client_that_wants_no_stream_is_told(api):
    """`Accept` has to allow an event stream."""
    assert api.send(api.ready(), ANIMATE, headers={"Accept": "application/json"}).status_code == 406


def test_a_session_works_on_one_message_at_a_time(start, connect):
    """409 while it does; the ledger keeps both, told apart."""
    api = connect(start(generation_seconds=60, faults=Faults(Fault("stop_on_hangup", "message"))))
    session = api.ready()
    with api.stream(session, ANIMATE):
        answer = api.send(session, "make it 7 seconds")

    assert (answer.status_code, answer.json()["code"]) == (409, 409)
    ledger = read_ledger(api.backend.directory)
    assert [entry["text"] for entry in ledger.messages] == [ANIMATE]
    assert [entry["code"] for entry in ledger.refused] == [409]
    wait_until(lambda: api.send(session, "hello").status_code == 200)


# --- money ------------------------------------------------------------------------------------------------------------


def test_a_free_backend_never_charges(api):
    """The balance stands still, and no charge is in the ledger."""
    session = api.ready()
    before = api.balance()
    api.say(session, ANIMATE)

    assert api.balance() == before == {"available": 1000, "frozen": 0, "total": 1000}
    assert read_ledger(api.backend.directory).charges == ()


def test_generations_and_edits_cost(start, connect):
    """100 and 50, and the ledger says for what; an answer costs nothing."""
    api = connect(start(credits=170))
    session = api.ready()
    api.say(session, ANIMATE)
    assert api.balance()["available"] == 70
    api.say(session, "make it 8 seconds")
    api.say(session, "thanks!")

    assert api.balance() == {"available": 20, "frozen": 0, "total": 20}
    ledger = read_ledger(api.backend.directory)
    assert [(charge["amount"], charge["reason"]) for charge in ledger.charges] == [(100, "generation"), (50, "edit")]
    assert ledger.credits_taken == 150
    assert [entry["text"] for entry in ledger.messages] == [ANIMATE, "make it 8 seconds", "thanks!"]
    assert {entry["session"] for entry in ledger.messages} == {session}


def test_credits_are_frozen_while_the_work_runs(start, connect):
    """Reserved at once, so that two messages cannot spend the same credits."""
    api = connect(start(credits=150, generation_seconds=60))
    first, second = api.ready(), api.ready()
    with api.stream(first, ANIMATE):
        assert api.balance() == {"available": 50, "frozen": 100, "total": 150}
        refused = api.send(second, ANIMATE)

    assert (refused.status_code, refused.json()["code"]) == (200, 2001)
    assert [entry["code"] for entry in read_ledger(api.backend.directory).refused] == [2001]


def test_what_was_taken_stays_taken_after_a_restart(start, connect):
    """The ledger is the balance."""
    api = connect(start(credits=150))
    api.say(api.ready(), ANIMATE)
    api.backend.close()

    assert connect(start(credits=150)).balance()["available"] == 50


def test_many_messages_at_once_are_each_charged_once(start, connect):
    """Side by side in as many sessions; the money adds up."""
    api = connect(start(credits=1000))
    sessions = [api.ready() for _ in range(8)]
    threads = [threading.Thread(target=api.say, args=(session, ANIMATE)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert api.balance() == {"available": 200, "frozen": 0, "total": 200}
    assert len(read_ledger(api.backend.directory).messages) == 8


# --- hanging up -------------------------------------------------------------------------------------------------------


def test_the_work_goes_on_when_the_client_hangs_up(start, connect):
    """One charge, and the whole draft, though no one listened."""
    api = connect(start(credits=100, generation_seconds=0.3))
    session = api.ready()
    with api.stream(session, ANIMATE) as answer:
        next(answer.iter_raw())

    wait_until(lambda: len(api.state(session)["draft"].get("t", ())) == 2)
    assert api.balance() == {"available": 0, "frozen": 0, "total": 0}


def test_the_work_can_be_made_to_stop_when_the_client_hangs_up(start, connect):
    """As the agent server of the cloud does: nothing made, nothing charged, the session is free again."""
    api = connect(start(credits=100, generation_seconds=0.5, faults=Faults(Fault("stop_on_hangup", "message"))))
    session = api.ready()
    with api.stream(session, ANIMATE) as answer:
        next(answer.iter_raw())

    wait_until(lambda: api.balance()["frozen"] == 0)
    assert api.state(session)["draft"] == {}
    assert api.balance()["available"] == 100
    assert events(api.send(session, ANIMATE).text)[-1]["turnComplete"] is True


def test_closing_the_backend_stops_the_work_uncharged(start, connect):
    """A restart finds the session free and the credits whole."""
    api = connect(start(credits=100, generation_seconds=30))
    session = api.ready()
    with api.stream(session, ANIMATE) as answer:
        next(answer.iter_raw())
        api.backend.close()
    again = connect(start(credits=100))

    assert again.balance() == {"available": 100, "frozen": 0, "total": 100}
    assert texts(again.say(session, ANIMATE))

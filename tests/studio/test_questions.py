"""A question that the agent asks through its tool reaches the user, and the answer goes where it was asked."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from nemo_client import InputError, NothingMade, QuestionAsked, SessionBusy, SessionGone, SessionHandle, Studio, Wish
from nemo_client._text.questions import Inquiry, Option, Question, is_question, is_ticket, read_inquiry
from nemo_client._wire.sse import parse_event
from nemo_client._wire.turn import Turn
from tests.support.backend import Cloud, cloud, picture

__all__ = ["cloud"]

WISH = Wish("slow push-in", duration=2)
Clouds = Callable[..., Cloud]
MOOD = Inquiry("Mood", (Question("mood", "Which mood?", (Option("a", "Calm"), Option("b", "Lively"))),))


async def asked_by(studio: Studio, session: SessionHandle, wish: Wish = WISH) -> QuestionAsked:
    with pytest.raises(QuestionAsked) as caught:
        await studio.generate(session, wish)
    return caught.value


# --- Reading --------------------------------------------------------------------------------------------------------

ARGUMENTS: dict[str, tuple[object, str]] = {
    "as documented": (MOOD.to_json(), "Mood: Which mood? [Calm / Lively]"),
    "JSON text": ('{"questions": [{"prompt": "Which mood?"}]}', "Which mood?"),
    "bare text": ("Which mood?", "Which mood?"),
    "no title": ({"questions": [{"id": "q", "prompt": "Which mood?", "options": []}]}, "Which mood?"),
    "one question as an object": ({"questions": {"q": {"prompt": "Which mood?"}}}, "Which mood?"),
    "one question at the top": (
        {"question": "Which mood?", "options": ["Calm", "Lively"]},
        "Which mood? [Calm / Lively]",
    ),
    "options by id": (
        {"questions": [{"prompt": "Which mood?", "options": {"a": "Calm", "b": "Lively"}}]},
        "Which mood? [Calm / Lively]",
    ),
    "options of numbers": ({"questions": [{"prompt": "How long?", "options": [5, 10]}]}, "How long? [5 / 10]"),
    "two questions": (
        {"title": "Before I start", "questions": [{"prompt": "Mood?"}, {"prompt": "Length?", "options": ["5 s"]}]},
        "Before I start: (1) Mood? (2) Length? [5 s]",
    ),
    "a title alone": ({"title": "Anything else?", "questions": []}, "Anything else?"),
    "nothing": ({}, ""),
    "wrong types": ({"title": 7.5, "questions": [None, 3, {"options": [None]}, {"prompt": {"x": 1}}]}, "7.5: 3"),
    "control characters": ({"title": "a\x1b[31mb\nc", "questions": None}, "a [31mb c"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_are_read_as_they_come(name: str) -> None:
    """Models write the arguments of a call in many ways; what can be read is asked, and nothing raises."""
    given, line = ARGUMENTS[name]

    assert read_inquiry(given).line == line


def test_what_was_read_is_read_again_from_the_journal() -> None:
    """The question is kept as plain JSON data."""
    assert read_inquiry(MOOD.to_json()) == MOOD


def test_a_question_is_bounded() -> None:
    """However much the agent writes, the error stays one that people can read."""
    many = {"questions": [{"prompt": "x" * 10_000, "options": ["y" * 10_000] * 1000}] + [{"prompt": "z"}] * 1000}

    assert len(read_inquiry(many).questions) == 20
    assert max(len(option.label) for option in read_inquiry(many).options) == 500


@pytest.mark.parametrize(
    "name", ["ask_question", "ask_questions", "askQuestion", "ask_user_question", "ui.ask_question"]
)
def test_the_tool_is_known_by_its_name(name: str) -> None:
    """Also where a server puts a name before it."""
    assert is_question(name)
    assert not is_question("answer_question")


@pytest.mark.parametrize("response", [None, {}, "", "pending", {"status": "pending"}, {"status": "awaiting_input"}])
def test_a_ticket_is_no_answer(response: Any) -> None:
    """What the tool returns at once only says that the question is out."""
    assert is_ticket(response)
    assert not is_ticket({"status": "success", "answers": {"mood": "Calm"}})


def turn_of(*events: str) -> Turn:
    turn = Turn()
    for payload in events:
        for event in parse_event(payload):
            turn.add(event)
    return turn


def part(content: dict[str, Any], **more: Any) -> str:
    return json.dumps({"content": {"parts": [content]}, **more})


def result(response: dict[str, Any]) -> str:
    return part({"functionResponse": {"id": "c1", "name": "ask_question", "response": response}})


CALL = part(
    {"functionCall": {"id": "c1", "name": "ask_question", "args": {"title": "Mood"}}}, longRunningToolIds=["c1"]
)
TICKET, ANSWER = result({"status": "pending"}), result({"answers": ["Calm"]})
MAKE = '{"content":{"parts":[{"functionCall":{"id":"c2","name":"generate","args":{}}}]}}'
TYPED = '{"type":"tool_call","name":"ask_question","args":{"title":"Mood"}}'


@pytest.mark.parametrize("events", [(CALL,), (CALL, TICKET), (TYPED,), (MAKE, CALL)], ids=str)
def test_the_call_is_not_open_and_its_question_is_kept(events: tuple[str, ...]) -> None:
    """In both dialects, with or without a ticket; a call before it that is open stays open."""
    turn = turn_of(*events)

    assert turn.question == Inquiry("Mood")
    assert [call.name for call in turn.open_calls] == (["generate"] if MAKE in events else [])


def test_a_question_that_was_answered_within_the_turn_is_over() -> None:
    """The agent got its answer and went on: that question is not for the user any more."""
    assert turn_of(CALL, ANSWER, MAKE).question is None


# --- To the user ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["agent", "typed"])
@pytest.mark.parametrize("ticket", [None, {"status": "pending"}], ids=["no ticket", "ticket"])
async def test_a_question_ends_the_turn_at_once(dialect: str, ticket: Any, cloud: Clouds) -> None:
    """Title, questions and options are in the error, with where the answer goes; no break, no waiting, no charge."""
    backend = cloud(dialect=dialect)
    backend.fault("ask_question", "message", text="Let me ask first.", ticket=ticket)
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        began = backend.clock.now
        error = await asked_by(studio, session)

    assert (error.title, error.questions, error.options) == (MOOD.title, MOOD.questions, MOOD.options)
    assert error.session is not None
    assert error.session.session_id == session.session_id
    assert error.job
    assert "Let me ask first. Mood: Which mood? [Calm / Lively]" in str(error)
    assert (error.charged, error.exit_code) == ("no", 5)
    assert isinstance(error, NothingMade)
    assert backend.clock.now - began < 60
    assert pickle.loads(pickle.dumps(error)).questions == error.questions  # noqa: S301 - our own bytes


async def test_the_same_request_shows_the_question_again_for_free(cloud: Clouds) -> None:
    """Nothing is sent a second time, in this process or in another one."""
    backend = cloud()
    backend.fault("ask_question", "message")
    async with backend.studio() as studio:
        first = await asked_by(studio, await studio.upload([picture()]))
    async with backend.studio() as studio:
        again = await asked_by(studio, await studio.upload([picture()]))

    assert str(again) == str(first)
    assert again.session == first.session
    assert backend.sent("message") == 1


# --- The answer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["the error's session", "the handle of the failed item", "the session before"])
async def test_the_answer_goes_on_in_the_session_that_asked(way: str, cloud: Clouds) -> None:
    """With its pictures: no other session is opened, and the video is made from what was uploaded there."""
    backend = cloud()
    backend.fault("ask_question", "message")
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        error = await asked_by(studio, session)
        assert error.session is not None
        marked = SessionHandle.from_json({**error.session.to_json(), "error": str(error)})
        at = {"the error's session": error.session, "the session before": session}.get(way, marked)
        turned = await studio.chat(at, "Calm")
        again = await studio.chat(at, "Calm")

    assert "Video" in turned.timeline
    assert turned.session.session_id == session.session_id
    assert (again.session, again.reused) == (turned.session, True)
    assert [message["text"].splitlines()[0] for message in backend.ledger.messages] == ["slow push-in", "Calm"]
    assert len(backend.ledger.sessions) == 1


async def test_the_answer_goes_to_the_fork_that_asked(cloud: Clouds) -> None:
    """Two takes of one picture: the second was made in a session of its own, and that one asks."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        await studio.generate(session, WISH)
        backend.fault("ask_question", "message")
        error = await asked_by(studio, session, Wish(WISH.prompt, duration=2, seed=1))
        turned = await studio.chat(session, "Calm")

    assert error.session is not None
    assert error.session.session_id != session.session_id
    assert turned.session.session_id == error.session.session_id
    assert len(backend.ledger.sessions) == 2


async def test_a_question_after_the_answer_is_asked_and_answered_too(cloud: Clouds) -> None:
    """An agent may ask twice: the answer to the first is an ordinary answer of the chat, and so is the second."""
    backend = cloud()
    backend.fault("ask_question", "message", count=2)
    async with backend.studio() as studio:
        error = await asked_by(studio, await studio.upload([picture()]))
        assert error.session is not None
        first = await studio.chat(error.session, "Calm")
        second = await studio.chat(first.session, "Lively")

    assert "Which mood? [Calm / Lively]" in first.reply
    assert "Video" in second.timeline
    assert len(backend.ledger.sessions) == 1


async def test_an_answer_that_comes_too_late_is_refused_never_forked(cloud: Clouds) -> None:
    """The question was answered already, with other words: another session would not know what is meant."""
    backend = cloud()
    backend.fault("ask_question", "message")
    async with backend.studio() as studio:
        error = await asked_by(studio, await studio.upload([picture()]))
        assert error.session is not None
        await studio.chat(error.session, "Calm")
        with pytest.raises(SessionBusy, match="already sent another message here"):
            await studio.chat(error.session, "Lively")

    assert len(backend.ledger.sessions) == 1
    assert backend.sent("message") == 2


@pytest.mark.parametrize("way", ["the error's session", "the session before"])
async def test_an_answer_to_a_lost_session_is_refused_never_forked(way: str, cloud: Clouds) -> None:
    """A new session has the pictures, but no one there has asked."""
    backend = cloud()
    backend.fault("ask_question", "message")
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        error = await asked_by(studio, session)
        backend.fault("lost_session", "*", count=None)
        with pytest.raises(SessionGone):
            await studio.chat(error.session if way == "the error's session" and error.session else session, "Calm")

    assert len(backend.ledger.sessions) == 1
    assert backend.sent("message") == 1


async def test_another_seed_asks_again_in_the_same_session(cloud: Clouds) -> None:
    """A failed message gives the session back: other words or another take go on there."""
    backend = cloud()
    backend.fault("ask_question", "message")
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        await asked_by(studio, session)
        turned = await studio.generate(session, Wish(WISH.prompt, duration=2, seed=1))

    assert turned.session.session_id == session.session_id
    assert len(backend.ledger.sessions) == 1


async def test_only_a_chat_goes_on_from_a_failed_item(cloud: Clouds) -> None:
    """An export or an edit of it is still the item's failure."""
    backend = cloud()
    backend.fault("ask_question", "message")
    async with backend.studio() as studio:
        error = await asked_by(studio, await studio.upload([picture()]))
        assert error.session is not None
        marked = SessionHandle.from_json({**error.session.to_json(), "error": "it asked"})
        with pytest.raises(InputError, match="failed before: it asked"):
            await studio.edit(marked, "make it 4 seconds")
        with pytest.raises(InputError, match="failed before: other"):
            await studio.chat(SessionHandle("nemo", "auto", "generate-none", "s", error="other"), "Calm")


async def test_an_edit_that_asks_is_answered_on_its_draft(cloud: Clouds) -> None:
    """The answer changes what was there before the question."""
    backend = cloud()
    async with backend.studio() as studio:
        made = await studio.generate(await studio.upload([picture()]), WISH)
        backend.fault("ask_question", "message")
        with pytest.raises(QuestionAsked) as caught:
            await studio.edit(made.session, "make it longer")
        assert caught.value.session is not None
        turned = await studio.chat(caught.value.session, "make it 4 seconds")

    assert "0-4s" in turned.timeline
    assert turned.session.session_id == made.session.session_id


@pytest.mark.parametrize("way", ["the error's session", "the session before"])
async def test_an_answer_in_another_language_stays_in_the_session_that_asked(way: str, cloud: Clouds) -> None:
    """A session is opened in the prompt's language; the answer to its question never opens another one."""
    backend = cloud()
    backend.fault("ask_question", "message")
    async with backend.studio() as studio:
        session = await studio.upload([picture()], prompt="slow push-in of the harbour in the evening")
        error = await asked_by(studio, session)
        assert error.session is not None
        at = error.session if way == "the error's session" else session
        turned = await studio.chat(at, "请做得平静一些，不要太快，谢谢")

    assert turned.session.session_id == session.session_id
    assert len(backend.ledger.sessions) == 1

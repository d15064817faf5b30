"""The agent's question on the real agent server: a pending call of `ask_question` ends its turn."""

from __future__ import annotations

import pytest

from nemo_client import QuestionAsked, Wish
from tests.support.agents import AgentServer, agent_server
from tests.support.backend import picture
from tests.support.script import draft

__all__ = ["agent_server"]


async def test_the_question_is_told_and_answered_in_its_session(agent_server: AgentServer) -> None:
    """ADK's own events of a long-running tool; the answer is the next message, and makes the video."""
    async with agent_server.studio() as studio:
        session = await studio.upload([picture()])
        began = len(agent_server.clock.slept)
        for _ in range(2):
            with pytest.raises(QuestionAsked) as caught:
                await studio.generate(session, Wish("ask me first"))
        took = agent_server.clock.count_waits(began)
        error = caught.value
        assert error.session is not None
        turned = await studio.chat(error.session, error.options[0].label)

    assert (error.title, [option.label for option in error.options]) == ("The camera", ["Slow", "Fast"])
    assert "One moment. The camera: How fast shall the camera move? [Slow / Fast]" in str(error)
    assert took < 60
    assert "clip 1" in turned.timeline
    assert turned.session.session_id == session.session_id
    assert len(agent_server.seen["messages"]) == 2


async def test_a_sentence_before_silent_work_does_not_hide_what_changed(agent_server: AgentServer) -> None:
    """The agent says what it will do, works, and ends without a word."""
    async with agent_server.studio() as studio:
        made = await studio.generate(await studio.upload([picture()]), Wish("slow push-in"))
        edit = {"call": "edit_multitrack", "charge": 50, "draft": draft(1, music=True, title="Morning")}
        agent_server.script([{"say": "I will add the title now."}, edit])
        turned = await studio.chat(made.session, "a title please")

    assert turned.spoken == "I will add the title now."
    assert "Morning" in turned.changes
    assert turned.reply == f"{turned.spoken}\n\n{turned.changes}"

"""The client before a real agent server: google-adk's own, with a scripted agent."""

from __future__ import annotations

from nemo_client import Studio, Turned, Wish
from tests._backend import picture
from tests.support.agents import AgentServer, agent_server

__all__ = ["agent_server"]


async def generated(studio: Studio, prompt: str = "slow push-in") -> Turned:
    return await studio.generate(await studio.upload([picture()]), Wish(prompt, duration=2))


async def test_a_generation_on_the_real_agent_server(agent_server: AgentServer) -> None:
    """Upload, message, stream, state, money: all of it against ADK's own bytes."""
    async with agent_server.studio() as studio:
        turned = await generated(studio)

    assert "Your video is ready!" in turned.reply
    assert turned.money.spent == 100
    assert "clip 1" in turned.timeline
    assert len(agent_server.seen["messages"]) == 1

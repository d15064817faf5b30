"""Nodes before a real agent server: google-adk's own, with a scripted agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.nodes._host import Host
from tests.nodes.test_nodes import ANIMATE, picture
from tests.support.agents import AgentServer, agent_server
from tests.support.script import draft, generation
from tests.support.timings import Shorten

__all__ = ["agent_server"]
Nodes = dict[str, type[Any]]

PAID = {**ANIMATE, "profile": "nemo"}


def test_a_picture_becomes_a_video_on_the_real_agent_server(
    nodes: Nodes, host: Host, agent_server: AgentServer
) -> None:
    """The whole way in one node, with its price."""
    answer = host.run(nodes["NemoImageToVideo"], image=picture(160, 120), **PAID)

    (path,) = answer["result"][1]
    assert Path(path).is_file()
    assert agent_server.seen["charges"] == [100]
    assert len(agent_server.seen["messages"]) == 1


def test_a_node_tells_that_nothing_was_answered_and_its_next_run_collects(
    nodes: Nodes, host: Host, agent_server: AgentServer, shorten: Shorten
) -> None:
    """Its error never speaks of a broken connection."""
    shorten(studio={"nothing_pauses": (0.1,), "confirm": 0.1})
    agent_server.script([])
    image = picture(160, 120)

    with pytest.raises(Exception, match="sent no answer") as caught:
        host.run(nodes["NemoImageToVideo"], image=image, **PAID)
    assert "connection" not in str(caught.value)

    agent_server.put(agent_server.seen["messages"][0]["session"], draft(1), 100)
    answer = host.run(nodes["NemoImageToVideo"], image=image, **PAID)

    assert Path(answer["result"][1][0]).is_file()
    assert len(agent_server.seen["messages"]) == 1


def test_a_node_ends_where_the_server_keeps_the_connection_open(
    nodes: Nodes, host: Host, agent_server: AgentServer, shorten: Shorten
) -> None:
    """With the waits shortened; the stream is read on by the pack's network thread."""
    shorten(studio={"over": 0.1, "over_read": 0.1, "alike": 0.3, "look": 0.1})
    agent_server.script([*generation(), {"linger": 30}])

    answer = host.run(nodes["NemoImageToVideo"], image=picture(160, 120), **PAID)

    assert Path(answer["result"][1][0]).is_file()
    seen = agent_server.seen
    assert (seen["running"], seen["ended"], seen["stopped"]) == (1, 0, 0)

"""In the shell: the agent's question with the command that answers it, and words after an unsettled message."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_jobs import Opened, Ran, Shell, accepted, cloud, picture, shell
from tests.support.faults import Fault, Faults
from tests.support.ledger import read_ledger
from tests.support.timings import Shorten

__all__ = ["cloud", "picture", "shell"]

Asked = Callable[..., Ran]


def command_in(ran: Ran) -> list[str]:
    """The command that a failure names, as a shell would take it, without the program."""
    (command,) = re.findall(r"`(nemo-video [^`]*)`", ran.err)
    return shlex.split(command)[1:]


def test_the_question_is_printed_with_the_command_that_answers(shell: Shell, cloud: Opened, picture: Path) -> None:
    """Exit code 5; the command works as it stands, in the session that asked, and the video can be exported."""
    backend = cloud(faults=Faults(Fault("ask_question", "message")))
    asked = shell("animate", picture, "--prompt", "slow push-in")
    again = shell("animate", picture, "--prompt", "slow push-in", "--json")
    command = command_in(asked)
    answered = shell(*command, "--json")
    exported = shell("chat", "export", "--session", answered.data["session_id"], "--json")

    assert (asked.code, again.code, answered.code, exported.code) == (5, 5, 0, 0)
    assert "Mood: Which mood? [Calm / Lively]" in asked.err
    assert "Nothing was charged" in asked.err
    assert command[:2] == ["chat", "Calm"]
    assert command[command.index("--session") + 1] == answered.data["session_id"]
    assert again.data["error"]["id"] == "question-asked"
    assert "Video" in str(answered.data["timeline"])
    assert Path(str(exported.data["video"])).is_file()
    assert accepted(backend) == 2
    assert len(read_ledger(backend.directory).sessions) == 1


def test_a_question_without_options_leaves_the_words_to_the_user(shell: Shell, cloud: Opened, picture: Path) -> None:
    """The command has a place for them; an answer in words of the agent is answered the same way."""
    cloud(
        faults=Faults(
            Fault("ask_question", "message", title="", questions=({"id": "q", "prompt": "For whom?"},)),
            Fault("ask_back", "message", nth=2),
        )
    )
    asked = shell("animate", picture, "--prompt", "slow push-in")
    in_words = shell("animate", picture, "--prompt", "slow push-in", "--seed", "2")

    assert "For whom?" in asked.err
    assert command_in(asked)[:2] == ["chat", "ANSWER"]
    assert "slowly or quickly" in in_words.err
    assert command_in(in_words)[:2] == ["chat", "ANSWER"]


def test_a_question_in_a_chat_is_its_answer(shell: Shell, cloud: Opened, picture: Path) -> None:
    """A conversation goes on: the question is the reply, and the command to go on is told as always."""
    cloud(faults=Faults(Fault("ask_question", "message", text="Let me ask.")))
    asked = shell("chat", "make it nice", "--image", picture, "--json")

    assert asked.code == 0
    assert asked.data["reply"] == "Let me ask.\n\nMood: Which mood? [Calm / Lively]"
    assert "--session" in asked.err


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_after_an_unsettled_message_the_next_one_is_told_so(
    lang: str, shell: Shell, cloud: Opened, picture: Path, shorten: Shorten, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not another session, and not "at work": when to try again, and the command that looks now, which works."""
    monkeypatch.setenv("NEMO_LANG", lang)
    faults = Faults(Fault("close_at", "message", at=200, count=1))
    backend = cloud(faults=faults, generation_seconds=3.0)
    faults.add(Fault("stop_on_hangup", "message"))
    shorten(studio={"first_read": 0.1})
    broken = shell("animate", picture, "--prompt", "slow push-in", "--json")
    assert broken.code == 5, broken.err
    session = next(iter(read_ledger(backend.directory).sessions))
    told = shell("chat", "make it 4 seconds", "--session", session["session"])

    assert told.code == 5
    assert re.search(r"20 min|20 分钟", told.err)
    assert command_in(told)[:2] == ["jobs", "resume"]
    assert shell(*command_in(told), "--json").data["error"]["id"] == "result-unknown"
    assert accepted(backend) == 1
    assert len(read_ledger(backend.directory).sessions) == 1
    json.dumps(broken.data)

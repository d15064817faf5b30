"""The client before a real agent server: google-adk's own, with a scripted agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nemo_client import Caller, Destination, NothingMade, RenderFailed, ResultUnknown, Studio, Turned, Wish
from nemo_client._cli.main import main
from nemo_client._journal.records import Attempt
from nemo_client._journal.steps import State
from tests.support.agents import AgentServer, agent_server
from tests.support.backend import Seen, picture, until
from tests.support.script import draft, generation

__all__ = ["agent_server"]


async def generated(studio: Studio, prompt: str = "slow push-in", caller: Caller | None = None) -> Turned:
    return await studio.generate(await studio.upload([picture()]), Wish(prompt, duration=2), caller=caller)


async def newest(studio: Studio) -> Attempt:
    return (await studio._context.journal.recent())[0]


async def seen(server: AgentServer) -> dict[str, Any]:
    return await asyncio.to_thread(lambda: server.seen)


async def run_to(server: AgentServer, moment: float) -> None:
    """Wait until this server's virtual clock says so."""
    await until(lambda: server.clock.time() >= moment)


async def test_a_generation_on_the_real_agent_server(agent_server: AgentServer) -> None:
    """Upload, message, stream, state, money: all of it against ADK's own bytes."""
    async with agent_server.studio() as studio:
        turned = await generated(studio)

    assert "Your video is ready!" in turned.reply
    assert turned.money.spent == 100
    assert "clip 1" in turned.timeline
    assert len(agent_server.seen["messages"]) == 1


@pytest.mark.parametrize(
    ("prompt", "spoken"), [("让图片慢慢动起来", "zh-CN"), ("ゆっくりズームイン", "ja"), ("4K", "en")]
)
async def test_the_session_speaks_the_language_of_the_prompt(
    prompt: str, spoken: str, agent_server: AgentServer
) -> None:
    """The picture came first, in the page's language: it goes up again, free, and the paid message once, there."""
    async with agent_server.studio() as studio:
        handle = await studio.upload([picture()], page="en")
        turned = await studio.generate(handle, Wish(prompt, duration=2))
        edited = await studio.edit(turned.session, 'set the title "Urban Dreams"')

    facts, opened = agent_server.seen, list(dict.fromkeys(["en", spoken]))
    assert (facts["languages"], len(facts["uploads"])) == (opened, len(opened))
    assert {message["session"] for message in facts["messages"]} == {turned.session.session_id}
    assert (handle.language, turned.session.language, edited.money.spent) == ("auto", "auto", 50)
    assert facts["charges"] == [100, 50]


# --- Silence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("silence", [200, 400, 800])
async def test_a_tool_that_says_nothing_for_minutes_is_waited_for(agent_server: AgentServer, silence: int) -> None:
    """In virtual time. The state is read beside the stream from two minutes on; the run is never hung up on."""
    agent_server.script(generation(hold=True))
    caller = Seen()
    async with agent_server.studio() as studio:
        began = agent_server.clock.time()
        task = asyncio.ensure_future(generated(studio, caller=Caller(caller)))
        await until(lambda: any(report.tool == "generate_video" for report in caller.reports))
        reads = (await seen(agent_server))["reads"]
        await run_to(agent_server, began + silence)
        await asyncio.to_thread(agent_server.go)
        turned = await task

    facts = await seen(agent_server)
    assert (facts["stopped"], facts["ended"], len(facts["messages"])) == (0, 1, 1)
    assert turned.money.spent == 100
    assert "Your video is ready!" in turned.reply
    assert facts["reads"] - reads >= (silence - 120) // 60
    assert any("Still working" in report.text() for report in caller.reports)


@pytest.mark.long
async def test_two_hundred_seconds_of_silence_in_real_time(agent_server: AgentServer) -> None:
    """What ended at 180 s before, with the credits gone and no video made."""
    agent_server.script(generation(seconds=200))
    seen_by_us, real = Seen(), {"sleep": asyncio.sleep, "clock": time.monotonic, "wall": time.time}
    async with agent_server.studio(**real) as studio:
        turned = await generated(studio, caller=Caller(seen_by_us))

    facts = await seen(agent_server)
    assert (facts["stopped"], facts["ended"]) == (0, 1)
    assert turned.money.spent == 100
    assert any("Still working" in report.text() for report in seen_by_us.reports)


# --- Ends that are not the connection's end -------------------------------------------------------------------------


async def test_a_result_is_taken_while_the_server_keeps_the_connection_open(agent_server: AgentServer) -> None:
    """Within 90 s of turnComplete; the stream is read on to its end, and a later message is not spoiled by that."""
    agent_server.script([*generation(), {"linger": 4}])
    async with agent_server.studio() as studio:
        began = agent_server.clock.time()
        turned = await generated(studio)
        took = agent_server.clock.time() - began
        facts = await seen(agent_server)
        assert (facts["ended"], facts["stopped"]) == (0, 0)
        assert studio.committed == 0

        edited = await studio.edit(turned.session, 'set the title "Urban Dreams"')
        await studio.drain()

    assert took <= 90
    assert (turned.money.spent, "ready" in turned.reply) == (100, True)
    assert (edited.money.spent, "Urban Dreams" in edited.timeline) == (50, True)
    facts = await seen(agent_server)
    assert (facts["ended"], facts["stopped"]) == (2, 0)


async def test_a_raw_clip_is_not_the_end(agent_server: AgentServer) -> None:
    """The draft is ready and alike for minutes, while the second stage's call is open."""
    first, raw, music, last = generation()
    agent_server.script([first, raw, {**music, "hold": True}, last])
    async with agent_server.studio() as studio:
        began = agent_server.clock.time()
        task = asyncio.ensure_future(generated(studio))
        await run_to(agent_server, began + 400)
        assert not task.done()
        await asyncio.to_thread(agent_server.go)
        turned = await task

    assert "Lo-fi" in turned.timeline


async def test_a_chat_answer_is_given_while_the_server_keeps_the_connection_open(agent_server: AgentServer) -> None:
    """It changes no draft; turnComplete says that it is whole."""
    agent_server.script(generation(), [{"say": "A push-in is a slow zoom.", "last": True}, {"linger": 4}])
    async with agent_server.studio() as studio:
        made = await generated(studio)
        began = agent_server.clock.time()
        turned = await studio.chat(made.session, "what is a push-in?")
        took = agent_server.clock.time() - began
        assert (await newest(studio)).state is State.DONE

    assert turned.reply == "A push-in is a slow zoom."
    assert took <= 90


@pytest.mark.parametrize("code", ["STOP", "MAX_TOKENS", "NO_CONTENT", "FinishReason.STOP", "no content", "SAFETY"])
async def test_a_finish_reason_after_the_work_is_no_failure(agent_server: AgentServer, code: str) -> None:
    """ADK puts it into `errorCode` where an event has no content."""
    agent_server.script([*generation()[:3], {"finish": code}])
    async with agent_server.studio() as studio:
        turned = await generated(studio)

    assert turned.money.spent == 100
    assert "Lo-fi" in turned.timeline


async def test_an_error_before_any_work_is_still_one(agent_server: AgentServer) -> None:
    """A block for safety is told with its reason."""
    agent_server.script([{"finish": "SAFETY", "message": "blocked"}])
    async with agent_server.studio() as studio:
        with pytest.raises(ResultUnknown, match="blocked"):
            await generated(studio)


# --- A clean end without a word -------------------------------------------------------------------------------------


async def test_a_clean_end_without_a_word_is_told_within_a_minute(agent_server: AgentServer) -> None:
    """It may be a gateway that ends an idle stream: unknown, settled on, and collected by the next run."""
    agent_server.script([])
    async with agent_server.studio() as studio:
        began = len(agent_server.clock.slept)
        with pytest.raises(ResultUnknown, match=r"sent no answer.*Run again later") as caught:
            await generated(studio)
        took = agent_server.clock.count_waits(began)
        attempt = await newest(studio)
        assert attempt.state is State.UNKNOWN

        await put(agent_server, attempt.session_id, draft(1, music=True), charge=100)
        turned = await generated(studio)

    assert took <= 60
    assert (caught.value.id, caught.value.charged) == ("answered-nothing", "maybe")
    assert "connection" not in str(caught.value)
    assert ("Lo-fi" in turned.timeline, turned.money.spent) == (True, 100)
    assert len(agent_server.seen["messages"]) == 1


async def put(server: AgentServer, session: str, made: dict[str, Any], charge: float = 0) -> None:
    """What the backend's workers do behind the agent's back."""
    await asyncio.to_thread(server.put, session, made, charge)


def put_at(server: AgentServer, pause: float, made: dict[str, Any]) -> Callable[[float], Awaitable[None]]:
    """A sleep in virtual time, after whose first pause of so many seconds the newest session has got this draft."""
    left = [made]

    async def sleep(seconds: float) -> None:
        await server.clock.sleep(seconds)
        if seconds == pause and left:
            await put(server, (await seen(server))["messages"][-1]["session"], left.pop())

    return sleep


# --- Late evidence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["generate", "edit", "chat"])
async def test_a_draft_that_shows_after_the_stream_is_waited_for(agent_server: AgentServer, kind: str) -> None:
    """The tool told of success, the stream ended cleanly, and the state shows it three reads later: never a failure."""
    work = {"call": "generate_video", "charge": 100, "draft": draft(2, title="late"), "late": 0.05}
    late = [work, {"say": "Your video is ready!", "last": True}]
    agent_server.script(*([] if kind == "generate" else [generation()]), late)
    async with agent_server.studio() as studio:
        turned = await generated(studio)
        if kind != "generate":
            said = {"edit": studio.edit, "chat": studio.chat}[kind]
            turned = await said(turned.session, "add a second clip")

        assert "late" in turned.timeline
        assert (await studio._sessions.find_attempt(turned.session)).facts["draft"] == draft(2, title="late")
    assert turned.money.spent == 100


async def test_the_second_stage_may_come_seconds_after_the_stream(agent_server: AgentServer) -> None:
    """Two tools made something: the raw clip of the first is not the end, though it looks like a result."""
    stages = [
        {"call": "generate_video", "charge": 100, "draft": draft(1), "media": ["m1"]},
        {"call": "edit_multitrack"},
        {"say": "Your video is ready!", "last": True},
    ]
    agent_server.script(stages)
    async with agent_server.studio(sleep=put_at(agent_server, 5.0, draft(1, music=True))) as studio:
        turned = await generated(studio)

    assert "Lo-fi" in turned.timeline


@pytest.mark.parametrize(
    "words", ["Your video is ready! Click it.", "视频已经为你生成好了。", "I am on it."], ids=["en", "zh", "charged"]
)
async def test_a_chat_that_promises_a_video_is_looked_at_again(agent_server: AgentServer, words: str) -> None:
    """No tool told of it, but a sentence or the balance: the state is read on for a few looks."""
    agent_server.script([{"call": "get_status", "charge": 100}, {"say": words, "last": True}])
    async with agent_server.studio(sleep=put_at(agent_server, 5.0, draft(2, title="late"))) as studio:
        turned = await studio.chat(await studio.upload([picture()]), "make a video")

    assert "late" in turned.timeline


async def test_an_export_finds_the_video_that_a_chat_got_afterwards(agent_server: AgentServer, tmp_path: Path) -> None:
    """It was paid for; only where another message went out in that session it is not this one's."""
    agent_server.script([{"say": "It takes some minutes.", "last": True}])
    place = Destination(tmp_path, "late")
    async with agent_server.studio() as studio:
        turned = await studio.chat(await studio.upload([picture()]), "make a video")
        with pytest.raises(RenderFailed, match="nothing to export"):
            await studio.export(turned.session, place)
        await put(agent_server, turned.session.session_id, draft(2, title="late"), charge=100)
        video = await studio.export(turned.session, place)
        again = await studio.export(turned.session, place)

    assert "late" in video.timeline
    assert (again.path, again.reused) == (video.path, True)
    assert len(agent_server.seen["messages"]) == 1


@pytest.mark.parametrize(
    "steps",
    [
        [{"call": "generate_video"}, {"say": "Let me know.", "last": True}],
        [{"say": "Your video is ready!", "last": True}],
        [{"call": "get_status", "media": ["m1"]}, {"say": "Hm.", "last": True}],
        [{"call": "get_status", "charge": 100}, {"say": "Hm.", "last": True}],
    ],
    ids=["a tool's success", "a sentence", "new media", "credits"],
)
async def test_what_tells_of_work_is_never_called_a_failure(agent_server: AgentServer, steps: list[Any]) -> None:
    """Unknown, told within two minutes, and collected once the state shows it."""
    agent_server.script(steps)
    async with agent_server.studio() as studio:
        began = len(agent_server.clock.slept)
        with pytest.raises(ResultUnknown, match="the project does not show the video yet") as caught:
            await generated(studio)
        took, attempt = agent_server.clock.count_waits(began), await newest(studio)
        assert (attempt.state, caught.value.charged) == (State.UNKNOWN, "maybe")

        await put(agent_server, attempt.session_id, draft(1))
        turned = await generated(studio)

    assert took <= 120
    assert "clip 1" in turned.timeline
    assert len(agent_server.seen["messages"]) == 1


async def test_a_failure_is_never_told_twice_without_a_look(agent_server: AgentServer) -> None:
    """What shows later, while no other message went out in that session, is the result after all."""
    agent_server.script([{"say": "Which picture do you mean?", "last": True}])
    async with agent_server.studio() as studio:
        with pytest.raises(NothingMade):
            await generated(studio)
        attempt = await newest(studio)
        assert attempt.state is State.FAILED
        with pytest.raises(NothingMade):
            await generated(studio)

        await put(agent_server, attempt.session_id, draft(1))
        turned = await generated(studio)
        edited = await studio.edit(turned.session, 'set the title "Late"')

    assert "clip 1" in turned.timeline
    assert "Late" in edited.timeline
    assert len(agent_server.seen["messages"]) == 2


async def test_what_a_later_message_made_is_no_evidence_for_an_earlier_one(agent_server: AgentServer) -> None:
    """The state counts only while no later message went out in that session."""
    agent_server.script([{"say": "Which picture do you mean?", "last": True}])
    async with agent_server.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(NothingMade):
            await studio.generate(session, Wish("first", duration=2))
        await studio.generate(session, Wish("second", duration=2))
        with pytest.raises(NothingMade):
            await studio.generate(session, Wish("first", duration=2))

    assert len(agent_server.seen["messages"]) == 2


# --- In the shell, in real time -------------------------------------------------------------------------------------


def animate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, float]:
    """`nemo-video animate` in this process; its exit code and how long it took."""
    monkeypatch.chdir(folder)
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(folder / "harbour.png")
    began = time.monotonic()
    code = main(["animate", "harbour.png", "--prompt", "slow push-in", "--duration", "2", "--profile", "nemo"])
    return code, time.monotonic() - began


def test_the_shell_makes_a_video_on_the_real_agent_server(
    agent_server: AgentServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a picture to a file."""
    code, _ = animate(tmp_path, monkeypatch)

    assert code == 0
    assert [path.suffix for path in tmp_path.glob("*.mp4")] == [".mp4"]


@pytest.mark.long
def test_the_shell_ends_within_90_seconds_where_the_connection_stays_open(
    agent_server: AgentServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took 17 minutes."""
    agent_server.script([*generation(), {"linger": 200}])

    code, took = animate(tmp_path, monkeypatch)

    assert (code, len(list(tmp_path.glob("*.mp4")))) == (0, 1)
    assert took < 200, "it does not wait for the connection to end"


@pytest.mark.long
def test_the_shell_tells_within_a_minute_that_nothing_was_answered(
    agent_server: AgentServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that looks for its result; the connection did not break, and no one says so."""
    agent_server.script([])

    code, took = animate(tmp_path, monkeypatch)

    told = capsys.readouterr().err
    assert (code, took < 150) == (5, True)  # a minute, and what the machine needs beside other tests
    assert "NemoVideo sent no answer" in told
    assert "jobs resume" in told
    assert "connection" not in told

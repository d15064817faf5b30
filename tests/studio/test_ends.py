"""Ends of a stream that are not the connection's end, in both dialects: kept open, pinged, reset after the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from nemo_client import Caller, NothingMade, ResultUnknown, Wish
from nemo_client._journal.steps import State
from nemo_client._wire.sse import Finish, StreamFailure, Text, parse_event
from nemo_client._wire.turn import Turn, says_it_is_done
from tests.studio.test_paid_message import generated, only_attempt
from tests.support.backend import Cloud, Seen, cloud, picture
from tests.support.timings import Shorten

__all__ = ["cloud"]
Clouds = Callable[..., Cloud]

DIALECTS = ["agent", "typed"]


@pytest.mark.parametrize("ping", [0.0, 0.1], ids=["silent", "with pings"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_result_is_handed_over_while_the_connection_stays_open(
    dialect: str, ping: float, cloud: Clouds
) -> None:
    """Within 90 s of the last word, in virtual time; the session takes the next message meanwhile."""
    backend = cloud(dialect=dialect)
    backend.fault("keep_open", "message", seconds=30, ping=ping)
    async with backend.studio() as studio:
        began = backend.clock.time()
        turned = await generated(studio)
        took = backend.clock.time() - began
        edited = await studio.edit(turned.session, "make it 4 seconds")

    assert took <= 90
    assert (turned.money.spent, edited.money.spent) == (100, 50)
    assert turned.reply
    assert "0-4s" in edited.timeline
    assert backend.sent("message") == 2


@pytest.mark.parametrize("kind", ["generate", "edit"])
async def test_an_answer_in_words_is_handed_over_while_the_connection_stays_open(kind: str, cloud: Clouds) -> None:
    """The agent asked back and said that its turn is complete: no one waits for the cap to read it."""
    backend = cloud(dialect="agent")
    for fault, how in (("ask_back", {}), ("keep_open", {"seconds": 30, "ping": 0.1})):
        backend.fault(fault, "message", nth=1 if kind == "generate" else 2, **how)
    async with backend.studio() as studio:
        at = await studio.upload([picture()]) if kind == "generate" else (await generated(studio)).session
        began = backend.clock.time()
        with pytest.raises(NothingMade) as caught:
            await (studio.generate(at, Wish("slow push-in")) if kind == "generate" else studio.edit(at, "louder"))
        took = backend.clock.time() - began
        answered = await studio.chat(at, "make it 4 seconds", when_changed="edit the newest state")

    assert took <= 90
    assert caught.value.id == "nothing-made"
    assert answered.session.session_id == at.session_id


async def test_a_result_without_a_last_word_is_handed_over_after_five_minutes(cloud: Clouds) -> None:
    """The connection stays open and says nothing: the draft shows the edit, and the stream is read on."""
    backend = cloud(dialect="typed")
    backend.fault("silent", "message", nth=2)
    backend.fault("keep_open", "message", nth=2, seconds=30)
    async with backend.studio() as studio:
        at = (await generated(studio)).session
        began = backend.clock.time()
        turned = await studio.edit(at, "make it 4 seconds")
        took = backend.clock.time() - began

    assert 300 <= took <= 420
    assert "0-4s" in turned.timeline
    assert (turned.money.spent, backend.sent("message")) == (50, 2)


@pytest.mark.parametrize("kind", ["generate", "chat"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_reset_after_the_whole_answer_loses_nothing(dialect: str, kind: str, cloud: Clouds) -> None:
    """The reply is kept, no one waits 30 s for it, and the session is free for the next message."""
    backend = cloud(dialect=dialect)
    backend.fault("reset_at_end", "message", nth=1 if kind == "generate" else 2)
    async with backend.studio() as studio:
        turned = await generated(studio)
        if kind == "chat":
            began = backend.clock.time()
            turned = await studio.chat(turned.session, "what is a slow zoom called?")
            assert backend.clock.time() - began < 30
        assert (await studio.edit(turned.session, "make it 4 seconds")).money.spent is not None
        attempts = await studio._context.journal.recent()

    assert turned.reply
    assert {each.state for each in attempts} == {State.DONE}
    assert 30.0 not in backend.clock.slept


@pytest.mark.parametrize("ping", [0.0, 0.05], ids=["silent", "with pings"])
async def test_silence_and_mere_heartbeats_are_still_work(ping: float, cloud: Clouds) -> None:
    """ "Still working" comes with both, and neither ends the stream."""
    backend, seen = cloud(), Seen()
    backend.fault("silence", "message", seconds=3, event=2, ping=ping)
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        turned = await studio.generate(session, Wish("slow push-in", duration=2), caller=Caller(seen))

    assert turned.money.spent == 100
    assert any("Still working" in report.text() for report in seen.reports)


async def test_the_cap_ends_a_stream_without_a_word_about_a_broken_connection(cloud: Clouds, shorten: Shorten) -> None:
    """We closed it: the words say so, in both languages."""
    shorten(studio={"stream": 0.5})
    backend = cloud()
    backend.fault("stall", "message", seconds=30, at=0)
    backend.fault("stop_on_hangup", "message")
    async with backend.studio() as studio:
        with pytest.raises(ResultUnknown) as caught:
            await generated(studio)
        assert (await only_attempt(studio)).state in (State.UNKNOWN, State.FAILED)

    assert caught.value.id == "stream-capped"
    assert "after 15 minutes" in caught.value.text("en")
    assert "broke" not in caught.value.text("en")
    assert "中断" not in caught.value.text("zh")


def turn_of(*payloads: str) -> Turn:
    turn = Turn()
    for payload in payloads:
        for event in parse_event(payload):
            turn.add(event)
    return turn


@pytest.mark.parametrize(
    "payload",
    ['{"type":"text","text":"Hello"}', '{"type":"text","content":"Hello"}', '{"text":"Hello"}',
     '{"type":"text","content":"","text":"Hello"}', '{"content":"Hello"}',
     '{"type":"text","content":null,"text":"Hello"}'],
)  # fmt: skip
def test_typed_text_is_read_wherever_it_stands(payload: str) -> None:
    """In `content`, in `text`, and bare."""
    assert parse_event(payload) == [Text("Hello", partial=True)]
    assert turn_of(payload).reply == "Hello"


@pytest.mark.parametrize(
    "end",
    ["[DONE]", '{"type":"done"}', '{"type":"message_stop"}', '{"type":"final","content":"It is."}',
     '{"turn_complete":true}', '{"turnComplete":true}'],
)  # fmt: skip
def test_an_end_of_the_turn_is_known_in_many_spellings(end: str) -> None:
    """The words before it are whole, a call that is open stays open, and alone it is no answer."""
    said, call = '{"type":"text","content":"It is there"}', '{"type":"tool_call","name":"generate_video","args":{}}'

    assert (turn_of(said).whole, turn_of(said, end).whole) == (False, True)
    assert not turn_of(call, end).over
    assert turn_of(end).silent == ("content" not in end)


def test_an_agent_event_is_read_as_the_servers_own_models_spell_it() -> None:
    """With underscores, where it does not translate its keys."""
    call = '{"content":{"parts":[{"function_call":{"id":"1","name":"generate_video"}}]},"long_running_tool_ids":["1"]}'
    result = '{"content":{"parts":[{"function_response":{"id":"1","name":"generate_video","response":{"ok":true}}}]}}'

    assert [each.long_running for each in turn_of(call).open_calls] == [True]
    assert (turn_of(call, result).succeeded, turn_of(call, result).open_calls) == (["generate_video"], ())
    assert isinstance(parse_event('{"error_code":"STOP"}')[0], Finish)


@pytest.mark.parametrize("code", ["STOP", "MAX_TOKENS", "NO_CONTENT", "no content", "FinishReason.STOP", "stop"])
def test_a_finish_reason_is_no_failure(code: str) -> None:
    """Beside a text, or alone."""
    alone, beside = f'{{"errorCode":"{code}"}}', f'{{"errorCode":"{code}","content":{{"parts":[{{"text":"Hi"}}]}}}}'

    assert isinstance(parse_event(alone)[0], Finish)
    assert (turn_of(alone).failure, turn_of(beside).failure, turn_of(beside).reply) == (None, None, "Hi")


def test_an_error_code_with_the_words_no_content_is_a_finish_reason() -> None:
    """Whatever stands for the reason beside it."""
    assert turn_of('{"errorCode":"UNKNOWN_ERROR","errorMessage":"The model returned no content."}').failure is None
    assert isinstance(turn_of('{"errorCode":"RESOURCE_EXHAUSTED"}').failure, StreamFailure)


def test_a_block_is_a_failure_only_where_nothing_was_done() -> None:
    """After a tool's success, what the model would have said is not worth the result."""
    result = (
        '{"content":{"role":"user","parts":[{"functionResponse":{"name":"generate_video","response":{"ok":true}}}]}}'
    )

    assert turn_of('{"errorCode":"SAFETY"}').failure is not None
    assert turn_of(result, '{"errorCode":"SAFETY"}').failure is None


@pytest.mark.parametrize(
    "reply",
    ["Your video is ready!", "I've added the music.", "Done! Preview it in the timeline.", "视频已生成。",
     "音乐添加好了，请查看。", "The title has been updated.", "Here is your video."],
)  # fmt: skip
def test_a_sentence_tells_that_it_is_done(reply: str) -> None:
    """In both languages; such an answer is never followed by a verdict of failure."""
    assert says_it_is_done(reply)


@pytest.mark.parametrize(
    "reply",
    ["Which picture do you mean?", "I can't do that.", "Your video is not ready yet.",
     "Once it is ready, you can export it.", "I need a picture first.", "请问要哪一张图片？", "没有生成视频。",
     "生成完成后即可导出。", "Is the video ready?", ""],
)  # fmt: skip
def test_other_sentences_do_not(reply: str) -> None:
    """Questions, refusals, what is still to come."""
    assert not says_it_is_done(reply)


@pytest.mark.parametrize(
    ("response", "succeeded"),
    [({"ok": True}, True), ({"status": "success"}, True), ({"clip": "c1"}, True), ("done", True),
     ({"ok": False}, False), ({"error": "no"}, False), ({"status": "FAILED"}, False), ({"status": "pending"}, False),
     (None, False), ({"isError": True, "content": []}, False), ({"success": False}, False)],
)  # fmt: skip
def test_a_tools_answer_tells_of_success(response: Any, succeeded: bool) -> None:
    """No error, no word of failure, and not the ticket of work to come."""
    turn = turn_of(json.dumps({"type": "tool_result", "name": "generate_video", "result": response}))

    assert bool(turn.succeeded) == succeeded
    assert turn.tells_of_success == succeeded


async def test_a_reader_that_goes_on_ends_with_the_studio(cloud: Clouds) -> None:
    """A program that ends drops the stream; `drain` waits for it, unless told not to."""
    backend = cloud()
    backend.fault("keep_open", "message", seconds=30)
    async with backend.studio() as studio:
        await generated(studio)
        assert studio.committed == 0
        await studio.drain(read_on=False)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(studio.drain(), 0.2)

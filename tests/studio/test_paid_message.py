"""Paid messages: sent at most once, whatever breaks; cancels that detach; credits that are counted, not hoped for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from nemo_client import (
    Budget,
    Caller,
    Cancelled,
    DiskError,
    Journal,
    LimitError,
    NemoError,
    NoCredits,
    NothingMade,
    ResultUnknown,
    SignInError,
    Studio,
    Turned,
    Wish,
    home,
)
from nemo_client._config.timings import StudioTimings
from nemo_client._journal.records import Attempt
from nemo_client._journal.steps import Event, State
from nemo_client._studio.paid_message import release_attempt
from nemo_client._studio.reconcile import UNCHANGED_READS, Baseline
from nemo_client._wire.schemas import Credits
from tests.support.backend import Clock, Cloud, Seen, cloud, draw, picture, until
from tests.support.faults import Fault, Faults
from tests.support.ledger import read_ledger
from tests.support.timings import Shorten

__all__ = ["cloud"]
WISH = Wish("slow push-in", duration=2)
Clouds = Callable[..., Cloud]


async def generated(studio: Studio, wish: Wish = WISH, caller: Caller | None = None) -> Turned:
    return await studio.generate(await studio.upload([picture()]), wish, caller=caller)


async def only_attempt(studio: Studio) -> Attempt:
    newest = {each.key: each for each in sorted(await studio._context.journal.recent(), key=lambda each: each.number)}
    (attempt,) = newest.values()
    return attempt


# --- In order -------------------------------------------------------------------------------------------------------


async def test_the_journal_is_written_before_the_wire(cloud: Clouds) -> None:
    """When the message arrives, it is recorded as sent, with what things were like before."""
    backend = cloud()
    async with backend.studio() as studio:
        http, seen = studio._context.client.http, []
        stream = http.stream

        def watch(*args: Any) -> Any:
            seen.append(asyncio.ensure_future(only_attempt(studio)))
            return stream(*args)

        http.stream = watch  # type: ignore[method-assign]
        await generated(studio)
        recorded = await seen[0]

    assert recorded.state is State.SENT
    assert Baseline.from_json(recorded.facts["baseline"]).credits == Credits(available=1000, frozen=0, total=1000)


async def test_what_was_made_is_told_with_its_price(cloud: Clouds) -> None:
    """Reply, timeline, credits before and after, and how sure; the seed was not sent, the widgets were."""
    backend, seen = cloud(), Seen()
    async with backend.studio() as studio:
        turned = await generated(studio, Wish("slow push-in", "9:16", 2, seed=7), Caller(seen))
        await asyncio.sleep(0)

    assert (turned.money.before, turned.money.after, turned.money.spent, turned.money.certainty) == (
        1000,
        900,
        100,
        "exact",
    )
    assert turned.reply
    assert "0-2s" in turned.timeline
    (message,) = backend.ledger.messages
    assert message["text"].startswith("slow push-in\n")
    assert "9:16" in message["text"]
    assert "7" not in message["text"]
    assert seen.stages[:2] == ["plan", "generate"]
    assert {report.tool for report in seen.reports} - {""}


async def test_a_silent_edit_is_told_by_what_changed(cloud: Clouds) -> None:
    """About 30 % of edits end without a word: the state is compared with the one before."""
    backend = cloud()
    backend.fault("silent", "message", nth=2)
    async with backend.studio() as studio:
        made = await generated(studio)
        turned = await studio.edit(made.session, "make it 4 seconds")

    assert "4s" in turned.reply
    assert turned.money.spent == 50


async def test_a_late_second_stage_is_waited_for(cloud: Clouds) -> None:
    """Music and titles come after the clip, also after the stream's end: the draft is taken when it is quiet."""
    backend = cloud()
    backend.clock.real = 0.4
    backend.fault("late_second_stage", "message", seconds=0.2)
    async with backend.studio() as studio:
        turned = await generated(studio, Wish("slow push-in with music and a title", duration=2))
        state = await studio._context.client.state(turned.session.session_id)
        recorded = await only_attempt(studio)

    assert recorded.facts["draft"] == state.draft


async def test_a_stream_in_the_other_dialect_is_the_same(cloud: Clouds) -> None:
    """Two are documented."""
    async with cloud(dialect="typed").studio() as studio:
        turned = await generated(studio)

    assert turned.reply
    assert turned.money.spent == 100


# --- Clean answers that made nothing --------------------------------------------------------------------------------


async def test_an_answer_that_made_nothing_fails_and_stays_failed(cloud: Clouds) -> None:
    """It asked back: its words are in the error; asked again nothing is sent, another seed asks again."""
    backend = cloud()
    backend.fault("ask_back", "message")
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        for _ in range(2):
            with pytest.raises(NothingMade, match=r"but made no video: .*another seed.*Nothing was charged") as caught:
                await studio.generate(session, WISH)
            assert caught.value.facts["reply"]
        assert len(backend.ledger.messages) == 1

        await studio.generate(session, Wish(WISH.prompt, duration=2, seed=1))
    assert len(backend.ledger.messages) == 2
    assert len(backend.ledger.sessions) == 1


@pytest.mark.parametrize("events", [1, 2, 3])
async def test_a_stream_that_ends_early_but_cleanly_is_no_answer(events: int, cloud: Clouds) -> None:
    """There is no end marker: while credits are reserved, or nothing was said, the work is looked for, not given up."""
    backend = cloud(generation_seconds=0.5)
    backend.clock.real = 0.2
    backend.fault("clean_end", "message", after=events, works_on=True)
    async with backend.studio() as studio:
        turned = await generated(studio)

    assert turned.money.spent == 100
    assert backend.sent("message") == 1


# --- Breaks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("close_before_headers", {}),
        ("close_after_headers", {}),
        ("close_at", {"at": 200}),
        ("close_at", {"at": 900}),
        ("close_at", {"at": 200, "reset": True}),
        ("http_503_accepted", {}),
        ("truncated_json", {"event": 2}),
        ("html_502", {"accepted": True}),
        ("answer", {"accepted": True, "status": 200, "code": 0}),
        ("answer", {"accepted": True, "status": 413, "body": "<html>", "content_type": "text/html"}),
        ("redirect", {"accepted": True, "location": "/run_sse"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
async def test_a_message_that_may_be_out_is_never_sent_again(
    kind: str, parameters: dict[str, Any], cloud: Clouds
) -> None:
    """The state is read after 30 s, then each 60 s; the result is found, paid once."""
    backend = cloud()
    backend.fault(kind, "message", **parameters)
    async with backend.studio() as studio:
        turned = await generated(studio)
        again = await generated(studio)

    assert backend.sent("message") == 1
    assert backend.ledger.credits_taken == 100
    assert "0-2s" in turned.timeline
    assert (turned.money.spent, again.reused) == (100, True)


async def test_a_result_is_taken_only_when_two_reads_agree(cloud: Clouds) -> None:
    """After a break: 30 s, then another read 10 s later."""
    backend = cloud()
    backend.fault("close_at", "message", at=200)
    async with backend.studio() as studio:
        await generated(studio)

    assert backend.clock.slept[:2] == [30.0, 10.0]


@pytest.mark.parametrize("kind", ["refuse", "http_503"])
async def test_a_message_whose_end_is_not_known_is_handed_back(kind: str, cloud: Clouds) -> None:
    """Five unchanged reads; the error says that it may be charged and how to collect; nothing is sent twice."""
    backend = cloud()
    backend.fault(kind, "message")
    async with backend.studio() as studio:
        with pytest.raises(ResultUnknown, match=r"Run again later.*Credits may have been charged"):
            await generated(studio)
        assert [pause for pause in backend.clock.slept if pause >= 30][:5] == [30.0, 60.0, 60.0, 60.0, 60.0]
        assert (await only_attempt(studio)).state is State.UNKNOWN

        with pytest.raises(ResultUnknown):
            await generated(studio)
    assert backend.sent("message") == 1


async def test_what_was_reported_early_is_settled_late(cloud: Clouds) -> None:
    """No one waits 20 minutes for an answer, but the state is read on while the program lives."""
    backend = cloud()
    backend.fault("refuse", "message")
    async with backend.studio() as studio:
        with pytest.raises(ResultUnknown):
            await generated(studio)
        while (attempt := await only_attempt(studio)).state is State.UNKNOWN:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert (attempt.state, attempt.facts["error"]) == (State.FAILED, "result-none")
    assert backend.sent("message") == 1


async def test_a_session_with_an_unknown_message_takes_no_other(cloud: Clouds) -> None:
    """What shows up there later must be that message's; a branch from the upload gets a session of its own."""
    backend = cloud()
    backend.fault("refuse", "message")
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(ResultUnknown):
            await studio.generate(session, WISH)
        other = await studio.generate(session, Wish("pan left", duration=2))

    assert other.session.session_id != session.session_id


async def test_an_unknown_message_is_settled_at_the_horizon(cloud: Clouds) -> None:
    """20 min after sending, nothing changed, nothing taken: failed, not charged, and the session is free again."""
    backend = cloud()
    backend.fault("refuse", "message")
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(ResultUnknown):
            await studio.generate(session, WISH)
        backend.clock.now += StudioTimings.horizon
        for _ in range(2):
            with pytest.raises(NothingMade, match=r"No video was produced. Use another seed.*Nothing was charged"):
                await studio.generate(session, WISH)
        await studio.generate(session, Wish("pan left", duration=2))

    assert len(backend.ledger.sessions) == 1
    assert backend.sent("message") == 2


async def test_a_message_that_is_lost_may_still_show_up(cloud: Clouds) -> None:
    """Credits went, nothing came: lost, never resent by itself; a later read that shows it collects it."""
    backend = cloud()
    backend.fault("refuse", "message")
    backend.fault("other_spender", "credits", nth=2, amount=10)
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(ResultUnknown):
            await studio.generate(session, WISH)
        backend.clock.now += StudioTimings.horizon
        with pytest.raises(ResultUnknown, match=r"no video came.*may have been charged"):
            await studio.generate(session, WISH)
        assert (await only_attempt(studio)).state is State.LOST
        with pytest.raises(ResultUnknown, match="no video came"):
            await studio.generate(session, WISH)

        client = studio._context.client
        async with client.run(session.session_id, "pan left, 2 seconds") as events:  # it comes late, from elsewhere
            _ = [event async for event in events]
        turned = await studio.generate(session, WISH)

    assert turned.timeline
    assert backend.sent("message") == 2


@pytest.mark.parametrize("kind", ["late_analyses", "resigned_urls"])
async def test_a_state_that_merely_changes_is_no_evidence(kind: str, cloud: Clouds) -> None:
    """Addresses that are signed again and late analyses change it, too."""
    backend = cloud()
    async with backend.studio() as studio:
        made = await generated(studio)
        backend.fault(kind, "state", count=None, **({"draft": True} if kind == "resigned_urls" else {}))
        backend.fault("refuse", "message")
        with pytest.raises(ResultUnknown):
            await studio.edit(made.session, "make it 4 seconds")


async def test_reads_that_fail_meanwhile_say_nothing(cloud: Clouds) -> None:
    """Trouble with the state is not the end of the message."""
    backend = cloud()
    backend.fault("close_at", "message", at=200)
    backend.fault("http_500", "state", nth=3, count=8)
    async with backend.studio() as studio:
        assert (await generated(studio)).money.spent == 100


async def test_a_token_that_expires_meanwhile_is_told_without_a_promise(cloud: Clouds) -> None:
    """The message may be charged, and says so."""
    backend = cloud()
    backend.fault("close_at", "message", at=200)
    backend.fault("answer", "state", nth=3, count=None, status=401, code=1001)
    async with backend.studio() as studio:
        with pytest.raises(SignInError, match="may have been charged"):
            await generated(studio)
        assert (await only_attempt(studio)).state is State.UNKNOWN


@pytest.mark.parametrize(("made", "charged"), [(False, False), (True, True), (False, True)])
async def test_an_error_inside_the_stream_is_looked_into_once(made: bool, charged: bool, cloud: Clouds) -> None:
    """After HTTP 200: the state and the balance tell; nothing is sent again."""
    backend = cloud()
    backend.fault("error_in_stream", "message", made=made, charged=charged)
    async with backend.studio() as studio:
        if made:
            assert (await generated(studio)).money.spent == 100
        else:
            with pytest.raises(ResultUnknown, match="model overloaded") as caught:
                await generated(studio)
            assert caught.value.charged == ("yes" if charged else "maybe")
        assert (await only_attempt(studio)).state is (State.DONE if made else State.UNKNOWN)
    assert backend.sent("message") == 1


async def test_an_error_inside_the_stream_with_no_state_to_read_promises_nothing(cloud: Clouds) -> None:
    """One trouble does not hide the other."""
    backend = cloud()
    backend.fault("error_in_stream", "message")
    backend.fault("http_500", "state", nth=3, count=None)
    async with backend.studio() as studio:
        with pytest.raises(ResultUnknown, match="may have been charged"):
            await generated(studio)


# --- Refusals -------------------------------------------------------------------------------------------------------

REFUSALS = [400, 402, 403, 404, 413, 422, 429, 1001]


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refused_message_cost_nothing_and_can_be_sent_again(code: int, cloud: Clouds) -> None:
    """A whole answer that says no: nothing charged, and the same request is sent when it is asked for again."""
    backend = cloud()
    backend.fault("answer", "message", status=200 if code > 1000 else code, code=code, message="no")
    async with backend.studio() as studio:
        with pytest.raises(NemoError, match="Nothing was charged"):
            await generated(studio)
        assert (await only_attempt(studio)).state is State.REFUSED
        assert backend.clock.slept == []

        turned = await generated(studio)
    assert turned.money.spent == 100
    assert backend.sent("message") == 2
    assert len(backend.ledger.sessions) == 1


@pytest.mark.parametrize("answer", [{"code": 9999}, {"status": 409, "code": 409}, {"status": 500, "code": 1}])
async def test_another_code_proves_nothing(answer: dict[str, Any], cloud: Clouds) -> None:
    """Only the codes of the contract are refusals."""
    backend = cloud()
    backend.fault("answer", "message", accepted=True, **answer)
    async with backend.studio() as studio:
        assert (await generated(studio)).money.spent == 100
    assert backend.sent("message") == 1


async def test_no_connection_for_the_message_is_a_refusal(cloud: Clouds) -> None:
    """Not one byte was written."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        profile = studio._context.client.http.profile
        stream = studio._context.client.http.stream

        def nowhere(*args: Any) -> Any:
            studio._context.client.http._streams = None
            object.__setattr__(profile, "api_url", "http://127.0.0.1:9")
            return stream(*args)

        studio._context.client.http.stream = nowhere  # type: ignore[method-assign]
        with pytest.raises(NemoError, match=r"No connection.*Nothing was charged"):
            await studio.generate(session, WISH)
        assert (await only_attempt(studio)).state is State.REFUSED


# --- Credits --------------------------------------------------------------------------------------------------------


async def test_too_few_credits_are_told_before_anything_is_sent(cloud: Clouds) -> None:
    """With the number, and what to do; the user's own account is sent to its top-up."""
    backend = cloud(credits=0)
    async with backend.studio() as studio:
        with pytest.raises(NoCredits, match=r"\(0 left\)\. Top up your account") as caught:
            await generated(studio)
    assert (caught.value.code, caught.value.exit_code) == (2001, 4)
    assert backend.sent("message") == 0


async def test_too_few_credits_at_the_backend_are_told_the_same_way(cloud: Clouds) -> None:
    """2001 from the message itself; a guess of the price refuses no one."""
    backend = cloud(credits=99)
    async with backend.studio() as studio:
        with pytest.raises(NoCredits, match=r"\(99 left\)"):
            await generated(studio)
    assert len(backend.ledger.refused) == 1
    assert backend.ledger.credits_taken == 0


class SlowJournal(Journal):
    """A journal whose every answer takes a moment, as one on a disk does: others come in between."""

    async def latest(self, key: str, session_id: str | None = None) -> Attempt | None:
        await asyncio.sleep(0.005)
        return await super().latest(key, session_id)

    async def move(self, attempt: Attempt, event: Event, **changes: Any) -> Attempt:
        await asyncio.sleep(0.005)
        return await super().move(attempt, event, **changes)

    async def commit(self, attempt: Attempt, *arguments: Any, **changes: Any) -> Attempt:
        await asyncio.sleep(0.005)
        return await super().commit(attempt, *arguments, **changes)


@pytest.mark.parametrize("journal", [Journal, SlowJournal])
async def test_eight_branches_on_the_credits_of_one_let_one_pass(journal: type[Journal], cloud: Clouds) -> None:
    """Admission is one transaction: each sees what the others have out."""
    backend = cloud(credits=100, generation_seconds=0.3)
    async with backend.studio(journal=journal(home())) as studio:
        session = await studio.upload([picture()])
        turns = [studio.generate(session, Wish("pan left", duration=2, seed=seed)) for seed in range(8)]
        results = await asyncio.gather(*turns, return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["MessageResult"] + ["NoCredits"] * 7
    assert backend.sent("message") == 1
    assert backend.ledger.credits_taken == 100


async def test_branches_side_by_side_do_not_claim_to_know_their_price(cloud: Clouds) -> None:
    """The balance of an account is shared: what each took is an upper bound."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with backend.faults.hold():
            wishes = [Wish("pan left", duration=2, seed=seed) for seed in range(3)]
            turns = [asyncio.ensure_future(studio.generate(session, wish)) for wish in wishes]
            await until(lambda: backend.sent("message") == 3)
        money = [turned.money for turned in await asyncio.gather(*turns)]

    assert {each.certainty for each in money} == {"at most"}
    assert all(each.spent is not None and each.spent >= 100 for each in money)


@pytest.mark.parametrize(("limit", "passes"), [(99, False), (100, True), (0, True)])
async def test_a_limit_of_ones_own_is_kept(limit: int, passes: bool, cloud: Clouds) -> None:
    """`max_credits` of the node: about 100 a generation."""
    backend = cloud()
    async with backend.studio() as studio:
        call = generated(studio, caller=Caller(budget=Budget(limit)))
        if passes:
            await call
            return
        with pytest.raises(LimitError, match=r"only 99 of your limit of 99 \(max_credits\)") as caught:
            await call
    assert caught.value.exit_code == 4
    assert backend.sent("message") == 0


@pytest.mark.parametrize(
    ("name", "run", "later", "passes"),
    [
        ("run_limit", "one", 0, False),
        ("run_limit", "other", 0, True),
        ("day_limit", "other", 0, False),
        ("day_limit", "other", 25, True),
    ],
)
async def test_the_limits_of_a_profile_are_sums(name: str, run: str, later: int, passes: bool, cloud: Clouds) -> None:
    """A run is one prompt, one command or one batch; a day the last 24 hours."""
    backend = cloud()
    home().mkdir(parents=True, exist_ok=True)
    (home() / "profiles.json").write_text(json.dumps({"profiles": {"nemo": {name: 150}}}))
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        await studio.generate(session, WISH, caller=Caller(run="one"))
        backend.clock.now += later * 3600
        second = studio.generate(session, Wish("pan left", duration=2), caller=Caller(run=run))
        if passes:
            await second
            return
        with pytest.raises(LimitError, match=rf"only 50 of your limit of 150 \({name}\)"):
            await second
    assert backend.sent("message") == 1


# --- Cancel ---------------------------------------------------------------------------------------------------------


async def cancelled(task: asyncio.Task[Any], caller: Caller) -> None:
    caller.gave_up = True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("endpoint", ["session", "upload", "state", "credits"])
async def test_a_cancel_before_the_message_sends_nothing(endpoint: str, cloud: Clouds) -> None:
    """At any await point up to there; queued again it goes through as if nothing had been."""
    backend, caller = cloud(), Caller()
    backend.fault("stall", endpoint, seconds=30)
    async with backend.studio() as studio:
        task = asyncio.ensure_future(generated(studio, caller=caller))
        await until(lambda: backend.faults.fired)
        if endpoint in ("session", "upload"):  # the upload has no caller of ours here: it goes on alone
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert backend.sent("message") == 0
            return
        await cancelled(task, caller)
        await asyncio.sleep(0.05)
        assert backend.sent("message") == 0
        assert studio.committed == 0

        assert (await generated(studio)).money.spent == 100
    assert len(backend.ledger.sessions) == 1


async def test_nothing_is_spent_for_nobody(cloud: Clouds) -> None:
    """A sibling failed before the message went out: no one waits, so it does not go out."""
    backend = cloud()
    backend.fault("stall", "state", seconds=0.2)
    async with backend.studio() as studio:
        task = asyncio.ensure_future(generated(studio))
        await until(lambda: backend.faults.fired)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.4)
        assert backend.sent("message") == 0

        assert (await generated(studio)).money.spent == 100
    assert backend.sent("message") == 1


async def test_a_cancel_after_the_message_went_out_detaches(cloud: Clouds) -> None:
    """The stream is read on (the backend stops a run when its client hangs up); next time the result is there."""
    backend, caller = cloud(), Caller()
    backend.fault("stop_on_hangup", "message")
    async with backend.studio() as studio:
        with backend.faults.hold():
            task = asyncio.ensure_future(generated(studio, caller=caller))
            await until(lambda: backend.ledger.messages)
            await cancelled(task, caller)
            assert studio.committed == 1

        await studio.drain()
        turned = await generated(studio)

    assert (turned.money.spent, turned.reused) == (100, True)
    assert backend.sent("message") == 1


async def test_who_queues_again_while_it_runs_joins_it(cloud: Clouds) -> None:
    """Cancel, then Queue: the same message, not another one."""
    backend, caller, seen = cloud(), Caller(), Seen()
    async with backend.studio() as studio:
        with backend.faults.hold():
            task = asyncio.ensure_future(generated(studio, caller=caller))
            await until(lambda: backend.ledger.messages)
            await cancelled(task, caller)
            again = asyncio.ensure_future(generated(studio, caller=Caller(seen)))
            await until(lambda: "generate" in seen.stages)
        turned = await again

    assert turned.money.spent == 100
    assert "generate" in seen.stages
    assert backend.sent("message") == 1


async def test_a_program_that_ends_during_a_message_does_not_forget_it(cloud: Clouds) -> None:
    """Closing without draining drops the stream; the next Studio looks for the result first."""
    backend = cloud()
    backend.clock.real = 0.2
    async with backend.studio() as studio:
        with backend.faults.hold():
            task = asyncio.ensure_future(generated(studio))
            await until(lambda: backend.ledger.messages)
            await studio.aclose()
            with pytest.raises(NemoError, match="Cancelled"):
                await task
    async with backend.studio() as studio:
        assert (await only_attempt(studio)).state is State.UNKNOWN
        assert (await generated(studio)).money.spent == 100
    assert backend.sent("message") == 1


async def test_a_fault_in_our_own_code_leaves_no_message_open(cloud: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised while the stream is read: the step is unknown then, to be looked for, never sent again."""
    backend = cloud()

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    from nemo_client._wire.turn import Turn

    async with backend.studio() as studio:
        with monkeypatch.context() as patched:
            patched.setattr(Turn, "add", broken)
            with pytest.raises(ZeroDivisionError):
                await generated(studio)
        assert (await only_attempt(studio)).state is State.UNKNOWN
        assert (await generated(studio)).money.spent == 100
    assert backend.sent("message") == 1


async def test_a_caller_whose_progress_fails_does_not_lose_the_message(cloud: Clouds) -> None:
    """The stream is read to its end all the same."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    def fail(_: object) -> None:
        raise ValueError

    async with cloud().studio() as studio:
        assert (await generated(studio, caller=Caller(fail))).money.spent == 100


# --- Free -----------------------------------------------------------------------------------------------------------


async def test_a_free_backend_is_simply_asked_again(shorten: Shorten) -> None:
    """A break there costs nothing and says so; the same request is sent again."""
    faults = Faults(Fault("error_in_stream", "message"), Fault("refuse", "message", nth=2))
    shorten(preview={"pace": 0, "renderer": draw, "faults": faults})
    clock = Clock(real=0.02)
    async with await Studio.open(sleep=clock.sleep) as studio:
        for words in ("reported a failure", "connection .* broke"):
            with pytest.raises(NemoError, match=f"{words}.*Nothing was charged"):
                await generated(studio)
        turned = await generated(studio)

    assert (turned.money.spent, turned.money.certainty) == (0, "exact")
    assert len(read_ledger(home() / "local").messages) == 2


@pytest.mark.parametrize("seconds", [0.0, 0.4], ids=["made already", "busy with another request"])
async def test_free_work_that_was_done_is_found_all_the_same(seconds: float, shorten: Shorten) -> None:
    """Asked again, the backend would only say that the video is like that already."""
    faults = Faults(Fault("close_at", "message", at=200))
    shorten(preview={"pace": 0, "generation_seconds": seconds, "faults": faults, "renderer": draw})
    clock = Clock(real=0.1)
    async with await Studio.open(sleep=clock.sleep) as studio:
        if seconds:
            with pytest.raises(NemoError, match="Nothing was charged"):
                await generated(studio)
            await asyncio.sleep(2 * seconds)
        turned = await generated(studio)

    assert "0-2s" in turned.timeline
    assert len(read_ledger(home() / "local").messages) == 1


def test_the_reads_are_the_contracts() -> None:
    """5 reads, a stream of at most 16 minutes, a horizon of 20."""
    assert (UNCHANGED_READS, StudioTimings.stream, StudioTimings.horizon) == (5, 960, 1200)
    assert Event.BREAK.value == "break"


async def test_what_another_studio_sent_is_never_called_refused(cloud: Clouds) -> None:
    """Two Studios of one process have one owner: one whose plan fails must not take back the other's message."""
    backend = cloud()
    async with backend.studio() as studio:
        journal = studio._context.journal
        planned = await journal.begin(Attempt("generate-x", 1, State.PLANNED, "nemo", session_id="s", account="a"))
        sent = await journal.move(await journal.move(planned, Event.TAKE_OVER), Event.SEND)

        await release_attempt(studio._context, planned)
        kept = await journal.latest("generate-x")
        own = await journal.begin(Attempt("generate-y", 1, State.PLANNED, "nemo", session_id="s", account="a"))
        await journal.move(own, Event.SEND)
        await release_attempt(studio._context, own)
        taken_back = await journal.latest("generate-y")

    assert kept == sent
    assert taken_back is not None
    assert taken_back.state is State.REFUSED


# --- The journal fails after the message ----------------------------------------------------------------------------


async def test_a_journal_that_cannot_be_written_calls_no_message_free(cloud: Clouds, shorten: Shorten) -> None:
    """Another program holds SQLite's lock while the answer comes: perhaps charged, and collected by the next run."""
    shorten(journal={"busy": 0.1})
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with contextlib.closing(sqlite3.connect(home() / "journal.sqlite3", isolation_level=None)) as other:
            with backend.faults.hold():
                task = asyncio.ensure_future(studio.generate(session, Wish("slow push-in", duration=2)))
                await until(lambda: backend.sent("message"))
                other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DiskError) as caught:
                await task
            other.execute("ROLLBACK")
        again = await studio.generate(session, Wish("slow push-in", duration=2))

    assert (caught.value.id, caught.value.charged) == ("journal-unwritable", "maybe")
    assert again.timeline
    assert (backend.sent("message"), backend.ledger.credits_taken) == (1, 100)


@pytest.mark.parametrize(
    "change",
    ["DELETE FROM attempts WHERE {}", "UPDATE attempts SET state='planned', epoch=epoch-1, sent=NULL WHERE {}"],
    ids=["no row", "an older row"],
)
async def test_a_message_whose_record_vanished_is_not_sent_again(change: str, cloud: Clouds) -> None:
    """As after a failover to a replica that lacks the last commits."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with backend.faults.hold(), contextlib.closing(sqlite3.connect(home() / "journal.sqlite3")) as other:
            task = asyncio.ensure_future(studio.generate(session, Wish("slow push-in", duration=2)))
            await until(lambda: backend.sent("message"))
            other.execute(change.format("key LIKE 'generate%'"))
            other.commit()
        with pytest.raises(ResultUnknown) as caught:
            await task

    assert (caught.value.id, caught.value.charged) == ("record-gone", "maybe")
    assert backend.sent("message") == 1


async def test_closing_calls_no_sent_message_free(cloud: Clouds) -> None:
    """A Python caller who leaves `async with` while a message is with the backend."""
    backend = cloud()
    with backend.faults.hold():
        async with backend.studio() as studio:
            session = await studio.upload([picture()])
            task = asyncio.ensure_future(studio.generate(session, Wish("slow push-in", duration=2)))
            await until(lambda: backend.ledger.messages)
    with pytest.raises(Cancelled) as caught:
        await task
    await until(lambda: backend.ledger.credits_taken)
    backend.clock.real = 0.2
    async with backend.studio() as studio:
        turned = await generated(studio)

    assert (caught.value.id, caught.value.charged) == ("closed-detached", "maybe")
    assert "finished anyway" not in str(caught.value)
    assert turned.timeline
    assert (backend.sent("message"), backend.ledger.credits_taken) == (1, 100)

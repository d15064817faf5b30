"""Every error text that gives advice is provoked, its advice is followed, and that works; or says here why not.

A text that is new stands in none of the three tables, and fails the first test.
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nemo_client import (
    Budget,
    Caller,
    Destination,
    LimitError,
    NemoError,
    RenderFailed,
    SessionHandle,
    Studio,
    Wish,
)
from tests.support.backend import Cloud, cloud, picture
from tests.support.sources import parse_source

__all__ = ["cloud"]

Clouds = Callable[..., Cloud]
Faults = list[tuple[str, str, dict[str, Any]]]

TESTS = Path(__file__).parent.parent
TEXTS = TESTS.parent / "nemo_client" / "_text" / "en.json"
WISH = Wish("slow push-in", duration=1)

ALWAYS = {"count": None}
NO_FILM = {**ALWAYS, "body": "no", "content_type": "video/mp4"}
PAGE = {**ALWAYS, "body": "<html>Sign in</html>", "content_type": "text/html"}


def told(**data: Any) -> dict[str, Any]:
    return {**ALWAYS, "body": json.dumps({"code": 0, "data": data})}


def refused(status: int = 200, code: int | None = None) -> dict[str, Any]:
    return {**ALWAYS, "status": status, "code": code, "message": "no"}


# --- Provoked and followed here: the cause goes, and the same request is made again ---------------------------------

AGAIN: dict[str, Faults] = {
    "answer-broken": [("close_before_headers", "session", {**ALWAYS, "accepted": False})],
    "answer-html": [("answer", "session", PAGE)],
    "answer-not-json": [("answer", "session", {**ALWAYS, "body": '{"code": 0, '})],
    "api-server": [("http_500", "session", ALWAYS)],
    "rate-limit": [("http_429", "session", {**ALWAYS, "retry_after": 0})],
    "session-gone": [("answer", "upload", refused(code=1002))],
    "no-credits": [("answer", "message", refused(code=2001))],
    "unsupported-file-there": [("answer", "upload", refused(code=4001))],
    "file-too-large-there": [("answer", "upload", refused(code=4002))],
    "plan": [("answer", "render", refused(402, 402))],
    "plan-other": [("answer", "session", refused(402, 402))],
    "render-failed": [("answer", "render-status", told(status="failed", error="out of memory"))],
    "render-timeout": [("answer", "render-status", told(status="processing"))],
    "render-word": [("answer", "render-status", told(status="pondering"))],
    "video-broken": [("answer", "files", NO_FILM), ("answer", "download", NO_FILM)],
    "download-refused": [("answer", "files", refused(403)), ("answer", "download", refused(404))],
    "download-page": [("answer", kind, PAGE) for kind in ("files", "download")],
}  # fmt: skip


# --- Followed by a test of its own ----------------------------------------------------------------------------------

AWAY = "journal/test_fleet_away.py"
FOLLOWED: dict[str, str] = {
    "proxy-setting": "wire/test_origins.py::test_a_broken_setting_stops_the_cloud_and_not_the_preview",
    "certificates-broken": "wire/test_origins.py::test_a_broken_setting_stops_the_cloud_and_not_the_preview",
    "session-gone-paid": "THIS::test_what_was_lost_with_its_session_is_made_again",
    "nothing-made": "studio/test_advice.py::test_a_question_that_no_option_fits_is_answered_in_other_words",
    "question-asked": "nodes/test_given.py::test_a_failed_item_is_answered_by_its_own_session",
    "result-none": "studio/test_advice.py::test_another_seed_sends_a_vanished_edit_again",
    "result-lost": "studio/test_advice.py::test_another_seed_sends_a_vanished_edit_again",
    "result-unknown": "studio/test_killed.py::test_killed_between_the_commit_and_the_message_nothing_is_sent_by_itself",
    "answered-nothing": "studio/test_agent_server.py::test_a_clean_end_without_a_word_is_told_within_a_minute",
    "session-unsettled": "studio/test_advice.py::test_while_an_edit_is_unsettled_the_next_one_is_told_how_long",
    "journal-damaged": "journal/test_database.py::test_a_damaged_journal_is_set_aside_and_told",
    "journal-away": f"{AWAY}::test_an_open_stream_is_read_to_its_end_and_recorded_when_the_database_is_back",
    "journal-unwritten": f"{AWAY}::test_a_database_that_stays_away_is_told_and_the_result_is_found_later",
    "journal-unwritable": "studio/test_paid_message.py::test_a_journal_that_cannot_be_written_calls_no_message_free",
    "record-gone": "studio/test_paid_message.py::test_a_message_whose_record_vanished_is_not_sent_again",
    "job-ambiguous": "studio/test_jobs.py::test_two_jobs_whose_short_ids_are_one_are_told_apart_by_more_of_it",
    "home-moved": "config/test_home.py::test_an_empty_journal_is_never_begun_beside_one_of_the_old_reading",
    "jobs-yes": "cli/test_jobs.py::test_without_a_terminal_it_takes_a_word",
    "login-gives-up": "cli/test_jobs.py::test_the_credits_of_a_free_account_are_not_given_up_in_passing",
    "token-gives-up": "nodes/test_routes.py::test_a_pasted_token_counts_at_once",
    "token-untried": "cli/test_jobs.py::test_a_token_that_cannot_be_tried_out_replaces_nothing",
    "resume-unsent": "nodes/test_routes.py::test_who_wants_it_sent_is_not_stopped_by_one_who_only_collects",
    "batch-problems": "cli/test_batch.py::test_broken_items_are_left_out_on_the_user_s_word",
    "batch-failed": "cli/test_batch.py::test_failed_items_are_tried_again_only_when_that_is_asked_for",
    "batch-left": "cli/test_batch.py::test_max_credits_leaves_the_rest_for_the_next_run",
    "batch-stopped": "cli/test_batch.py::test_once_finishes_what_is_paid_for_and_the_same_command_goes_on",
    "cluster-lost": "batch/test_dask.py::test_workers_and_a_scheduler_that_go_away_are_told_and_the_next_run_goes_on",
    "worker-lost": "batch/test_dask.py::test_workers_and_a_scheduler_that_go_away_are_told_and_the_next_run_goes_on",
    "fork-refused": "THIS::test_a_second_branch_goes_on_where_its_text_says",
    "edit-changed": "THIS::test_a_changed_edit_goes_on_where_its_text_says",
    "chat-changed": "THIS::test_a_changed_chat_goes_on_where_its_text_says",
    "not-ready": "THIS::test_an_export_follows_a_generation",
    "limit": "THIS::test_a_raised_limit_sends_it",
    "disk-full": "config/test_home.py::test_a_full_one_is_told_and_nothing_is_sent",
    "closed-detached": "studio/test_paid_message.py::test_closing_calls_no_sent_message_free",
    "cancelled-detached": "studio/test_paid_message.py::test_a_cancel_after_the_message_went_out_detaches",
}  # fmt: skip

# --- Not followed by a test, for a reason ---------------------------------------------------------------------------

REASONS: dict[str, str] = {
    "it tells a fact, and no advice": """answer-moved answer-too-large api-error download-foreign container-converted
        container-named image-shrunk cancelled job-not-lost item-failed items-failed unexpected login-free profile-free
        profile-built-in picture-none workflow-none page-none batch-line cluster-worker folder-remote
        folder-no-program credits language""",
    "it is mended at the network, then as answer-broken": """connect-dns connect-proxy connect-tls connect-refused
        connect-timeout answer-timeout""",
    "it names an account, a token or a plan, which are made on a web page": """token-refused token-refused-anonymous
        token-refused-env-free sign-up-refused
        token-refused-free token-missing sign-up-limit plan-other-free plan-free no-credits-anonymous""",
    "it names another version or a package to install": """answer-wrong-shape journal-too-new heic-extra extra-cli
        decoder-missing
        packages-missing pack-twice comfyui-too-old cluster-extra cluster-missing cluster-version cluster-failed""",
    "it names a setting, a process or a machine to be put right": """client-id-refused client-id-refused-there
        owner-stuck journal-unusable home-unusable home-none home-none-journal home-served credentials-broken
        disk-unwritable origin-foreign host-foreign header-missing serve-failed login-own login-variable
        profile-broken profile-pinned token-changing batch-busy cluster-away cluster-empty cluster-deserted
        cluster-folder cluster-profile cluster-no-account cluster-worker-account cluster-other-account cluster-journal
        cluster-file-journal""",
    "it names the input that is right, which the tests of that input give": """unsupported-file file-too-large
        upload-refused file-missing file-missing-meant name-no-text file-unreadable not-an-image media-unreadable
        media-cut media-broken media-no-picture media-no-sound image-damaged image-too-large image-not-finite
        input-missing no-handle no-tensor tensor-kind image-shape one-source source-outside audio-shape
        audio-not-finite image-empty mask-shape mask-not-finite video-unusable mask-jpeg prompt-empty prompt-too-long
        value profile-unknown url prefix-outside prefix-odd sessions-and-images handle-unknown lists-differ usage
        either output-format chat-no-session chat-output-format chat-upload login-refused token-odd body-not-json
        body-too-large folder-none batch-no-image batch-no-pictures batch-empty batch-kind batch-encoding batch-json
        batch-cells batch-cell-error batch-csv batch-column-twice batch-no-image-column batch-column batch-column-meant
        batch-same-name job-unknown job-none-waiting uploads-elsewhere""",
    "the same advice as of another text, whose test follows it": """nothing-made-image question-asked-image
        stream-capped cancelled-beside answer-refused result-late stream-failure job-open session-busy batch-unknown""",
}


def test_every_error_text_is_followed_or_has_a_reason() -> None:
    """A text that is added has to say where its advice is followed; one that is gone stands in no table."""
    groups = json.loads(TEXTS.read_text(encoding="utf-8"))
    inside = [name for name in groups if name.startswith("Words inside")]
    texts = {each for name, texts in groups.items() if name not in inside for each in texts if "." not in each}
    placed = [*AGAIN, *FOLLOWED, *(each for some in REASONS.values() for each in some.split())]

    assert sorted(texts - set(placed)) == []
    assert sorted(set(placed) - texts) == []
    assert sorted(each for each in set(placed) if placed.count(each) > 1) == []


def test_what_says_run_again_is_followed() -> None:
    """The advice that is given most is never left to a reason alone, but where the cause lies elsewhere."""
    apart = set(REASONS["it is mended at the network, then as answer-broken"].split())
    apart |= set(REASONS["the same advice as of another text, whose test follows it"].split())
    apart |= set(REASONS["it names an account, a token or a plan, which are made on a web page"].split())
    apart |= {"client-id-refused-there", "owner-stuck", "upload-refused", "handle-unknown", "uploads-elsewhere"}
    apart |= {"answer-too-large", "download-foreign", "credentials-broken", "journal-unusable"}
    groups = json.loads(TEXTS.read_text(encoding="utf-8"))
    again = {name for texts in groups.values() for name, text in texts.items() if "un again" in text}

    assert {each for each in again if "." not in each} - apart <= {*AGAIN, *FOLLOWED}


@functools.cache
def list_tests(file: Path) -> set[str]:
    nodes = ast.walk(parse_source(file.read_text(encoding="utf-8")))
    return {each.name for each in nodes if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("text_id", FOLLOWED)
def test_the_test_that_follows_it_is_there(text_id: str) -> None:
    """By its name: a test that is renamed or taken away leaves no promise behind."""
    file, _, name = FOLLOWED[text_id].partition("::")

    assert name in list_tests(Path(__file__) if file == "THIS" else TESTS / file)


SLOW = ("render-timeout",)


@pytest.mark.parametrize(
    "text_id", [pytest.param(each, marks=pytest.mark.long) if each in SLOW else each for each in AGAIN]
)
async def test_queueing_again_works_and_pays_once(text_id: str, cloud: Clouds, tmp_path: Path) -> None:
    """What the text says; the video comes, and no second message goes out."""
    backend = cloud()
    for kind, endpoint, how in AGAIN[text_id]:
        backend.fault(kind, endpoint, **how)
    async with backend.studio() as studio:
        with pytest.raises(NemoError) as caught:
            await studio.animate([picture()], WISH, Destination(tmp_path, "clip"))
        backend.faults.clear()
        video = await studio.animate([picture()], WISH, Destination(tmp_path, "clip"))

    assert caught.value.id == text_id
    assert video.path.is_file()
    assert len(backend.ledger.charges) == 1


# --- Followed here, each in its own way -----------------------------------------------------------------------------


async def generated(studio: Studio) -> SessionHandle:
    return (await studio.generate(await studio.upload([picture()]), WISH)).session


def check(caught: pytest.ExceptionInfo[NemoError], text_id: str, *words: str) -> None:
    assert caught.value.id == text_id
    assert all(each in str(caught.value) for each in words), str(caught.value)


@pytest.mark.parametrize("way", ["behind that branch", "another seed"])
async def test_a_second_branch_goes_on_where_its_text_says(way: str, cloud: Clouds) -> None:
    """Pictures that are added to a point that another branch went on from."""
    async with cloud().studio() as studio:
        at = await generated(studio)
        behind = (await studio.edit(at, "make it 4 seconds")).session
        with pytest.raises(NemoError) as caught:
            await studio.upload([picture(120)], onto=at)
        check(caught, "fork-refused", way)
        if way == "another seed":
            start = await studio.upload([picture()])
            behind = (await studio.generate(start, Wish("slow push-in", duration=1, seed=1))).session
        added = await studio.upload([picture(120)], onto=behind)

    assert added.session_id == behind.session_id


@pytest.mark.parametrize("way", ["edit the newest state", "generate again (pays)", "behind that edit"])
async def test_a_changed_edit_goes_on_where_its_text_says(way: str, cloud: Clouds) -> None:
    """Each of its three ways out."""
    async with cloud().studio() as studio:
        at = await generated(studio)
        behind = (await studio.edit(at, "make it 4 seconds")).session
        with pytest.raises(NemoError) as caught:
            await studio.edit(at, "make it 3 seconds")
        check(caught, "edit-changed", way)
        if way == "behind that edit":
            turned = await studio.edit(behind, "make it 3 seconds")
        else:
            turned = await studio.edit(at, "make it 3 seconds", when_changed=way)

    assert "0-3s" in turned.timeline


@pytest.mark.parametrize("way", ["edit the newest state", "behind that one"])
async def test_a_changed_chat_goes_on_where_its_text_says(way: str, cloud: Clouds) -> None:
    """Both of its ways out."""
    async with cloud().studio() as studio:
        at = await generated(studio)
        behind = (await studio.chat(at, "make it 4 seconds")).session
        with pytest.raises(NemoError) as caught:
            await studio.chat(at, "make it 3 seconds")
        check(caught, "chat-changed", way)
        if way == "behind that one":
            turned = await studio.chat(behind, "make it 3 seconds")
        else:
            turned = await studio.chat(at, "make it 3 seconds", when_changed=way)

    assert "0-3s" in turned.timeline


async def test_an_export_follows_a_generation(cloud: Clouds, tmp_path: Path) -> None:
    """There is nothing to export of an upload; after a generation there is."""
    async with cloud().studio() as studio:
        with pytest.raises(RenderFailed) as caught:
            await studio.export(await studio.upload([picture()]), Destination(tmp_path, "clip"))
        check(caught, "not-ready", "Generate a video first")
        video = await studio.export(await generated(studio), Destination(tmp_path, "clip"))

    assert video.path.is_file()


async def test_a_raised_limit_sends_it(cloud: Clouds) -> None:
    """Nothing was sent before; after that it is sent once."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        with pytest.raises(LimitError) as caught:
            await studio.generate(session, WISH, caller=Caller(budget=Budget(50)))
        check(caught, "limit", "Raise the limit")
        assert backend.sent("message") == 0
        await studio.generate(session, WISH, caller=Caller(budget=Budget(150)))

    assert backend.sent("message") == 1


async def test_what_was_lost_with_its_session_is_made_again(cloud: Clouds) -> None:
    """By another seed, which pays again: in a session of its own."""
    backend = cloud()
    async with backend.studio() as studio:
        at = await generated(studio)
        backend.fault("lost_session", "*", count=1)
        with pytest.raises(NemoError) as caught:
            await studio.edit(at, "make it 4 seconds")
        check(caught, "session-gone-paid", "another seed")
        session = await studio.upload([picture()])
        turned = await studio.generate(session, Wish("slow push-in", duration=1, seed=1))
        edited = await studio.edit(turned.session, "make it 4 seconds")

    assert edited.session.session_id != at.session_id
    assert "0-4s" in edited.timeline

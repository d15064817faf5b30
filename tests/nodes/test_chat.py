"""Chat: what it does with an answer's proposals and actions, and that an answer that is paid for always comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nemo_client import LimitError, NemoError
from tests.nodes._arrays import picture
from tests.nodes._host import Blocker, Host
from tests.support.faults import Fault
from tests.support.ledger import read_ledger

Nodes = dict[str, type[Any]]

QUICK = {"prompt": "slow push-in", "aspect_ratio": "auto", "duration": 1, "seed": 0}
EDIT = "make it 2 seconds"
TWO, THREE, FOUR = 'Click "make it 3 seconds".', 'Click "make it 4 seconds".', 'Click "make it 5 seconds".'


@pytest.fixture
def answers(cloud: Any) -> list[str]:
    """What the backend's agent answers to edits from now on, one after the other; then plainly."""
    left: list[str] = []
    cloud.faults.add(Fault("says", "message", count=None, replies=left))
    return left


def session(nodes: Nodes, host: Host, *, generated: bool = True) -> Any:
    auth, _ = host.run(nodes["NemoAuth"], profile="nemo", language="en")
    (sessions,) = host.run(
        nodes["NemoUploadImage"], auth=auth, image=picture(96, 72), batch_mode="all images in one video"
    )
    return host.run(nodes["NemoGenerateVideo"], session=sessions, **QUICK)[0][0] if generated else sessions[0]


def sent(cloud: Any) -> list[str]:
    """The chat's messages that the backend took."""
    return [each["text"] for each in read_ledger(cloud.directory).messages][1:]


def test_off_paid_proposals_are_told(nodes: Nodes, host: Host, cloud: Any, answers: list[str]) -> None:
    """And nothing but the message goes out."""
    at = session(nodes, host)
    answers += ["Fine. " + TWO]

    reply = host.run(nodes["NemoChat"], session=at, message=EDIT, seed=0)["result"][1]

    assert reply.startswith("Fine.")
    assert "NemoVideo suggests (costs credits): make it 3 seconds" in reply
    assert sent(cloud) == [EDIT]


def test_on_three_messages_at_the_most_are_sent_and_the_rest_is_told(
    nodes: Nodes, host: Host, cloud: Any, answers: list[str]
) -> None:
    """The user's own among them: an agent full of ideas must not spend for ever, nor be cut short in silence."""
    at = session(nodes, host)
    answers += [f"One. {TWO} {THREE} {FOUR}", "Two.", "Three."]

    reply = host.run(nodes["NemoChat"], session=at, message=EDIT, seed=0, follow=True)["result"][1]

    assert sent(cloud) == [EDIT, "make it 3 seconds", "make it 4 seconds"]
    assert told(reply) == ["make it 5 seconds"]
    assert reply.splitlines()[:3] == ["One.", "Two.", "Three."]


def test_on_proposals_in_answers_to_proposals_are_told(
    nodes: Nodes, host: Host, cloud: Any, answers: list[str]
) -> None:
    """An agent that always has one more idea must not spend on and on."""
    at = session(nodes, host)
    answers += ["One. " + TWO, "Two. " + THREE + " " + THREE]

    reply = host.run(nodes["NemoChat"], session=at, message=EDIT, seed=0, follow=True)["result"][1]

    assert sent(cloud) == [EDIT, "make it 3 seconds"]
    assert told(reply) == ["make it 4 seconds"]


@pytest.mark.parametrize(
    "again",
    [
        'Click "make it 3 seconds".',
        'Click "Make it 3 seconds!"',
        'Click "MAKE IT  3 SECONDS".',
        'Click "make it 2 seconds".',
        'Click "ｍake it 3 seconds…".',
    ],
)
def test_on_a_proposal_is_sent_once_however_it_is_written(
    nodes: Nodes, host: Host, cloud: Any, answers: list[str], again: str
) -> None:
    """In the same answer or in a later one, and what the user has said already is none."""
    at = session(nodes, host)
    answers += [f"One. {TWO} {again}", f"Two. {again} {TWO}"]

    reply = host.run(nodes["NemoChat"], session=at, message=EDIT, seed=0, follow=True)["result"][1]

    assert sent(cloud) == [EDIT, "make it 3 seconds"]
    assert told(reply) == []


def test_on_uploads_and_explanations_are_not_sent(nodes: Nodes, host: Host, cloud: Any, answers: list[str]) -> None:
    """No message can upload a file, and how something is done is nothing to do."""
    at = session(nodes, host)
    answers += ["好的。把图片拖入上传区域。To trim a clip, drag its edge. Drag your image into the upload area."]

    reply = host.run(nodes["NemoChat"], session=at, message=EDIT, seed=0, follow=True)["result"][1]

    assert sent(cloud) == [EDIT]
    assert told(reply) == []


def told(reply: str) -> list[str]:
    """The proposals that were told and not sent."""
    begin = "NemoVideo suggests (costs credits): "
    return [line.removeprefix(begin) for line in reply.splitlines() if line.startswith(begin)]


@pytest.mark.parametrize(
    ("message", "suffix", "said"),
    [
        ("Export 1080p MP4", ".mp4", ""),
        ("export as gif", ".gif", ""),
        ("导出480p的webm", ".webm", ""),
        ("render it out in 4k as mov", ".mov", "1080p is the largest size"),
    ],
)
def test_an_export_in_words_has_the_format_and_size_that_was_asked_for(
    nodes: Nodes, host: Host, cloud: Any, message: str, suffix: str, said: str
) -> None:
    """Free, and where there is no such size the words say so."""
    at = session(nodes, host)

    ran = host.run(nodes["NemoChat"], session=at, message=message, seed=0)
    _, reply, path = ran["result"]

    assert Path(path).is_file()
    assert Path(path).suffix == suffix
    assert said in reply
    assert ("animated" in ran["ui"]) == (suffix != ".gif")
    assert sent(cloud) == []


def test_an_edit_that_ends_in_an_export_is_done_and_exported(
    nodes: Nodes, host: Host, cloud: Any, answers: list[str]
) -> None:
    """Once, also where the answer asks for the export, too; in the format of the words."""
    at = session(nodes, host)
    answers += ["Done. Click Export."]

    _, reply, path = host.run(nodes["NemoChat"], session=at, message=EDIT + " and export as gif", seed=0)["result"]

    assert sent(cloud) == [EDIT + " and export as gif"]
    assert Path(path).suffix == ".gif"
    assert reply.count(path) == 1


@pytest.mark.parametrize("message", ["Is exporting free?", "导出要积分吗"])
def test_what_an_export_costs_is_answered_without_the_agent(nodes: Nodes, host: Host, cloud: Any, message: str) -> None:
    """Asking must not cost what it asks about."""
    at = session(nodes, host, generated=False)

    reply = host.run(nodes["NemoChat"], session=at, message=message, seed=0)["result"][1]

    assert "Exporting is free" in reply
    assert sent(cloud) == []


def test_an_answer_that_is_paid_for_comes_out_where_following_it_fails(
    nodes: Nodes, host: Host, cloud: Any, answers: list[str]
) -> None:
    """max_credits is for all of it: the answer, the reason, what was not sent, and the session after the answer."""
    at = session(nodes, host)
    answers += ["One. " + TWO]

    after, reply, path = host.run(
        nodes["NemoChat"], session=at, message=EDIT, seed=0, follow=True, max_credits=60
    )["result"]  # fmt: skip

    assert sent(cloud) == [EDIT]
    assert after != at
    assert reply.splitlines()[0] == "One."
    assert "max_credits" in reply
    assert "NemoVideo suggests (costs credits): make it 3 seconds" in reply
    assert isinstance(path, Blocker)


def test_a_message_above_its_own_limit_is_an_error(nodes: Nodes, host: Host, cloud: Any) -> None:
    """Nothing was answered, so there is nothing to tell."""
    at = session(nodes, host)
    with pytest.raises(LimitError):
        host.run(nodes["NemoChat"], session=at, message=EDIT, seed=0, follow=True, max_credits=10)
    assert sent(cloud) == []


def test_what_an_answer_asked_for_is_done_after_what_it_proposed(
    nodes: Nodes, host: Host, cloud: Any, answers: list[str]
) -> None:
    """The export of the first answer is of the newest state, also where the next answer does not ask for it again."""
    at = session(nodes, host)
    answers += ["One. " + TWO + " Click Export.", "Two."]

    after, reply, path = host.run(nodes["NemoChat"], session=at, message=EDIT, seed=0, follow=True)["result"]

    assert sent(cloud) == [EDIT, "make it 3 seconds"]
    assert Path(path).is_file()
    assert reply.splitlines()[:2] == ["One.", "Two."]
    assert path in reply
    assert after != at


def test_an_answer_comes_out_where_its_export_fails(nodes: Nodes, host: Host, cloud: Any, answers: list[str]) -> None:
    """The reason stands beside it, and nothing behind video_path runs."""
    at = session(nodes, host)
    answers += ["One. Click Export."]

    cloud.faults.add(Fault("answer", "render", status=400, code=400, message="no room", count=None))
    after, reply, path = host.run(nodes["NemoChat"], session=at, message=EDIT, seed=0)["result"]

    assert after != at
    assert reply.splitlines()[0] == "One."
    assert "no room" in reply
    assert isinstance(path, Blocker)


def test_an_export_before_there_is_a_draft_is_an_error(nodes: Nodes, host: Host, cloud: Any) -> None:
    """One that says that nothing was charged."""
    at = session(nodes, host, generated=False)

    with pytest.raises(NemoError) as caught:
        host.run(nodes["NemoChat"], session=at, message="export", seed=0)

    assert caught.value.id == "not-ready"
    assert "Nothing was charged." in str(caught.value)

"""The whole way on the local backend: steps are found again, shared, forked, and told."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from nemo_client import (
    CLOUD,
    Caller,
    Destination,
    InputError,
    NemoError,
    Output,
    RenderFailed,
    SessionBusy,
    SessionGone,
    SessionHandle,
    Studio,
    Wish,
    from_file,
    from_url,
    home,
    read_pixels,
)
from nemo_client._config.credentials import Token
from nemo_client._studio.sessions import FILES_A_REQUEST
from tests.support.backend import Cloud, Seen, cloud, draw, picture
from tests.support.ledger import LedgerReport, read_ledger
from tests.support.timings import Shorten

__all__ = ["cloud"]
WISH = Wish("slow push-in", duration=2)


@pytest.fixture
def place(tmp_path: Path) -> Destination:
    return Destination(tmp_path / "out", "film")


@pytest.fixture
async def free(shorten: Shorten) -> AsyncIterator[Studio]:
    """A Studio on the built-in backend, as anybody gets it, but with a quick renderer and no artificial delays."""
    shorten(preview={"pace": 0, "renderer": draw})
    async with await Studio.open() as studio:
        yield studio


def ledger() -> LedgerReport:
    return read_ledger(home() / "local")


async def test_a_picture_becomes_a_video(free: Studio, place: Destination) -> None:
    """Upload, generate, export: a checked file under a name of its own, described; nothing was charged."""
    seen = Seen()
    video = await free.animate([picture()], WISH, place, caller=Caller(seen))

    assert video.path == place.folder / "film_00001_.mp4"
    assert (video.width, video.height, video.format) == (64, 96, "mp4")
    assert video.path.stat().st_size == video.size
    assert (video.money.spent, video.money.certainty, video.reused) == (0, "exact", False)
    assert "Timeline" in video.timeline
    assert video.to_json()["path"] == str(video.path)
    assert [stage for stage in seen.stages if stage != "plan"] == [
        "session", "upload", "generate", "render", "download", "check",
    ]  # fmt: skip


async def test_the_same_request_again_sends_nothing(free: Studio, place: Destination) -> None:
    """Every step is found again, and so is the file, if it is unchanged."""
    first = await free.animate([picture()], WISH, place)
    before, seen = ledger(), Seen()
    again = await free.animate([picture()], WISH, place, caller=Caller(seen))

    assert ledger() == before
    assert dataclasses.replace(again, reused=False) == first
    assert again.reused
    assert all(report.reused for report in seen.reports)


async def test_single_steps_share_their_keys_with_the_whole_way(free: Studio, place: Destination) -> None:
    """The all-in-one node, the single nodes, shell and batch build keys by one function."""
    whole = await free.animate([picture()], WISH, place)
    before = ledger()
    session = await free.upload([picture()])
    turned = await free.generate(session, WISH)
    video = await free.export(turned.session, place)

    assert ledger() == before
    assert (video.path, turned.reused) == (whole.path, True)


async def test_a_picture_from_a_file_is_the_picture_of_a_graph(free: Studio, tmp_path: Path) -> None:
    """A JPEG in the shell and its pixels in a graph are one upload."""
    from nemo_client import from_pixels

    (tmp_path / "a.jpg").write_bytes(picture().content)  # type: ignore[arg-type]
    await free.upload([from_file(tmp_path / "a.jpg")])
    await free.upload([from_pixels(read_pixels(tmp_path / "a.jpg"))])

    assert len(ledger().uploads) == 1


@pytest.mark.parametrize("change", ["seed", "prompt", "picture", "order"])
async def test_another_request_is_another_job(change: str, free: Studio, place: Destination) -> None:
    """`seed` is the re-roll; it is never sent."""
    media = [picture(1), picture(2)]
    await free.animate(media, WISH, place)
    wish, others = WISH, media
    if change in ("seed", "prompt"):
        wish = dataclasses.replace(WISH, **{change: 5 if change == "seed" else "pan left"})
    else:
        others = media[::-1] if change == "order" else [picture(3), picture(2)]
    video = await free.animate(others, wish, place)

    assert video.path.name == "film_00002_.mp4"
    assert len(ledger().messages) == 2
    assert not any("seed" in message["text"] for message in ledger().messages)


async def test_the_same_request_twice_at_once_is_one_job(free: Studio, place: Destination) -> None:
    """ComfyUI runs two identical async nodes twice."""
    first, second = await asyncio.gather(*(free.animate([picture()], WISH, place) for _ in range(2)))

    assert first.path == second.path
    assert [len(each) for each in (ledger().uploads, ledger().messages, ledger().renders)] == [1, 1, 1]


async def test_one_render_can_go_to_several_places_at_once(cloud: Callable[..., Cloud], tmp_path: Path) -> None:
    """Export nodes behind one Generate: one render, a file each."""
    backend = cloud()
    backend.fault("stall", "render", seconds=0.2)
    async with backend.studio() as studio:
        session = (await studio.generate(await studio.upload([picture()]), WISH)).session
        places = [Destination(tmp_path / "out", name) for name in ("a", "b", "c")]
        videos = await asyncio.gather(*(studio.export(session, place) for place in places))

    assert [video.path.name for video in videos] == ["a_00001_.mp4", "b_00001_.mp4", "c_00001_.mp4"]
    assert len({video.sha256 for video in videos}) == 1
    assert len(backend.ledger.renders) == backend.sent("render") == 1


@pytest.mark.parametrize("damage", ["deleted", "changed", "same size"])
async def test_a_file_that_is_gone_or_changed_is_delivered_anew(damage: str, free: Studio, place: Destination) -> None:
    """Without another generation, and never over the user's version."""
    first = await free.animate([picture()], WISH, place)
    if damage == "deleted":
        first.path.unlink()
    else:
        first.path.write_bytes(b"mine" if damage == "changed" else b"x" * first.size)
    again = await free.animate([picture()], WISH, place)

    assert len(ledger().messages) == 1
    assert again.sha256 == first.sha256
    assert again.path.name == ("film_00001_.mp4" if damage == "deleted" else "film_00002_.mp4")
    assert again.reused


@pytest.mark.parametrize("format", ["mp4", "mov", "webm", "mkv", "avi", "gif"])
async def test_every_format_arrives(format: str, free: Studio, place: Destination) -> None:
    """One generation, a render a format."""
    session = (await free.generate(await free.upload([picture()]), WISH)).session
    video = await free.export(session, place, Output(format))

    assert video.path.name == f"film_00001_.{format}"
    assert video.format == format


async def test_an_edit_changes_what_is_exported_and_the_steps_before_stay(free: Studio, place: Destination) -> None:
    """A handle names a point in a session's history: exports of older points use the draft stored there."""
    made = await free.generate(await free.upload([picture()]), WISH)
    longer = await free.edit(made.session, "make it 4 seconds")

    assert "0-2s" in made.timeline
    assert "0-4s" in longer.timeline
    assert longer.reply
    assert await free.timeline(made.session) == made.timeline
    assert (await free.export(made.session, place)).timeline == made.timeline
    assert (await free.export(longer.session, place)).timeline == longer.timeline


async def test_a_chat_keeps_its_reply(free: Studio) -> None:
    """A question is an answer, too: nothing has to be made."""
    session = await free.upload([picture()])
    turned = await free.chat(session, "what can you do?")
    again = await free.chat(session, "what can you do?")

    assert turned.reply
    assert (again.reply, again.reused) == (turned.reply, True)
    with pytest.raises(RenderFailed, match="nothing to export yet"):
        await free.export(turned.session, Destination(Path("out"), "x"))


# --- Sessions and branches ------------------------------------------------------------------------------------------


async def test_two_branches_from_one_upload_get_a_session_each(free: Studio) -> None:
    """Only free uploads lie behind: they are repeated at once from the kept bytes."""
    session = await free.upload([picture(1), picture(2)])
    turns = await asyncio.gather(
        *(free.generate(session, Wish(f"pan {way}", seed=1)) for way in ("left", "right", "up"))
    )

    assert len({turned.session.session_id for turned in turns}) == 3
    assert sorted(message["session"] for message in ledger().messages) == sorted(
        turned.session.session_id for turned in turns
    )
    assert len(ledger().uploads) == 6
    assert len({upload["filename"] for upload in ledger().uploads}) == 2


async def test_a_branch_behind_a_paid_step_is_refused_with_the_ways_out(free: Studio) -> None:
    """Repeating it would pay again; both branches in one session would mix."""
    made = await free.generate(await free.upload([picture()]), WISH)
    await free.edit(made.session, "make it 4 seconds")

    with pytest.raises(SessionBusy, match=r"generate again \(pays\)', or connect"):
        await free.edit(made.session, "add music")
    assert len(ledger().messages) == 2


async def test_more_pictures_can_be_added_to_a_session(free: Studio) -> None:
    """An upload is a writing step of its own, with the session's language."""
    first = await free.upload([picture(1)], language="zh-CN")
    second = await free.upload([picture(2)], onto=first)

    assert second.session_id == first.session_id
    assert second.language == "zh-CN"
    assert await free.upload([picture(2)], onto=first) == second
    branch = await free.upload([picture(3)], onto=first)
    assert branch.session_id != first.session_id
    assert len(ledger().uploads) == 4  # the branch repeated the first one


async def test_a_branch_repeats_all_uploads_behind_it_in_their_order(free: Studio) -> None:
    """From the first to the last; the session is what it would have been."""
    first = await free.upload([picture(1)])
    second = await free.upload([picture(2)], onto=first)
    turns = [await free.generate(second, Wish(f"pan {way}")) for way in ("left", "right")]

    uploads = [(upload["session"], upload["filename"]) for upload in ledger().uploads]
    names = [picture(1).name, picture(2).name]
    assert uploads == [(turned.session.session_id, name) for turned in turns for name in names]


@pytest.mark.parametrize("kind", ["close_before_headers", "http_503_accepted", "html_502", "close_after_headers"])
async def test_an_upload_that_may_have_arrived_is_looked_for_first(kind: str, cloud: Callable[..., Cloud]) -> None:
    """Names on the wire carry the content's hash; what is missing in the state is sent once more."""
    backend = cloud()
    backend.fault(kind, "upload")
    async with backend.studio() as studio:
        await studio.upload([picture(1), picture(2)])

    assert [upload["filename"] for upload in backend.ledger.uploads] == [picture(1).name, picture(2).name]
    assert backend.sent("upload") == (2 if kind == "html_502" else 1)


async def test_an_upload_that_fails_leaves_its_session_free(cloud: Callable[..., Cloud]) -> None:
    """Without the added picture the branch goes on where it stood."""
    backend = cloud()
    async with backend.studio() as studio:
        made = await studio.generate(await studio.upload([picture()]), WISH)
        backend.fault("answer", "upload", code=4001)
        with pytest.raises(NemoError, match="kinds of file: mp4"):
            await studio.upload([picture(2)], onto=made.session)
        turned = await studio.edit(made.session, "make it 4 seconds")
        assert turned.session.session_id == made.session.session_id


async def test_addresses_and_files_keep_their_order(cloud: Callable[..., Cloud]) -> None:
    """The backend fetches the ones, the others are sent."""
    backend = cloud(private_urls=True)
    async with backend.studio() as studio:
        await studio.upload([picture(1), from_url(f"{backend.backend.url}/nope.png"), picture(2)][:1])
        with pytest.raises(NemoError):
            await studio.upload([picture(1), from_url(f"{backend.backend.url}/nope.png"), picture(2)])

    assert [upload["filename"] for upload in backend.ledger.uploads] == [picture(1).name, picture(1).name]
    assert backend.sent("upload") == 3


async def test_many_files_go_in_several_requests(free: Studio) -> None:
    """In their order."""
    media = [picture(shade) for shade in range(FILES_A_REQUEST * 2 + 3)]
    await free.upload(media)

    assert [upload["filename"] for upload in ledger().uploads] == [each.name for each in media]


async def test_a_session_that_the_backend_lost_is_opened_anew(cloud: Callable[..., Cloud]) -> None:
    """1002, where only uploads lie behind; else it is told."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        backend.fault("lost_session", "state")
        made = await studio.generate(session, WISH)
        assert made.session.session_id != session.session_id

        backend.fault("lost_session", "state")
        with pytest.raises(SessionGone, match="no longer exists at NemoVideo"):
            await studio.edit(made.session, "add music")
        with pytest.raises(SessionGone):
            await studio.upload([picture(5)], onto=made.session)
    assert len(backend.ledger.messages) == 1


async def test_a_fork_without_the_kept_bytes_is_told(free: Studio) -> None:
    """Queue again from the upload."""
    session = await free.upload([picture()])
    await free.generate(session, WISH)
    for path in (home() / "uploads").iterdir():
        path.unlink()

    with pytest.raises(InputError, match=r"this machine has no copy of it\. Run again"):
        await free.generate(session, Wish("pan left"))


async def test_a_handle_from_elsewhere_is_told(free: Studio, place: Destination) -> None:
    """Another machine's, or one from before the journal was lost; and an item of a list that failed."""
    foreign = SessionHandle("local preview", "en", "generate-" + "0" * 40, "s", "t")
    for call in (free.export(foreign, place), free.generate(foreign, WISH), free.timeline(foreign)):
        with pytest.raises(InputError, match="does not know this project"):
            await call
    with pytest.raises(InputError, match="This item failed before: no credits"):
        await free.generate(dataclasses.replace(foreign, error="no credits"), WISH)


# --- Language -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "prompt", "spoken"),
    [
        ("auto", "", "en"),
        ("auto", "make it move", "en"),
        ("auto", "让图片动起来", "zh-CN"),
        ("ja", "make it move", "ja"),
    ],
)
async def test_the_session_speaks_the_language_of_the_prompt(
    language: str, prompt: str, spoken: str, cloud: Callable[..., Cloud]
) -> None:
    """Given; at `auto` detected where the prompt is known when the session is opened."""
    backend = cloud()
    asked: list[str] = []
    async with backend.studio() as studio:
        create = studio._context.client.create_session

        async def watch(code: str) -> Any:
            asked.append(code)
            return await create(code)

        studio._context.client.create_session = watch  # type: ignore[method-assign]
        await studio.upload([picture()], language=language, prompt=prompt)
    assert asked == [spoken]


# --- Bad input ------------------------------------------------------------------------------------------------------


async def test_bad_input_is_told_before_anything_is_sent(free: Studio, place: Destination) -> None:
    """Each in one clear sentence, of the class that has exit code 2."""
    session = await free.upload([picture()])
    before = ledger()
    calls: list[Callable[[], Any]] = [
        lambda: free.upload([]),
        lambda: free.upload([picture()], language="klingon"),
        lambda: free.edit(session, " \n"),
        lambda: free.chat(session, ""),
        lambda: free.generate(session, Wish("x" * 100_001)),
    ]
    for call in calls:
        with pytest.raises(InputError) as caught:
            await call()
        assert (caught.value.exit_code, caught.value.charged) == (2, "no")
    assert ledger() == before


@pytest.mark.parametrize(
    "make",
    [lambda: Wish(""), lambda: Wish(" \t"), lambda: Wish("a", "3:2"), lambda: Wish("a", duration=-1),
     lambda: Wish("a", duration=601), lambda: Wish("a", duration=float("nan")), lambda: Output("flv"),
     lambda: Output(quality="best"), lambda: Output(resolution="4k")],
)  # fmt: skip
def test_a_wish_and_an_output_are_checked_when_they_are_made(make: Callable[[], object]) -> None:
    """The message names the value and what was expected."""
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize("name", ["nope", ""])
async def test_an_unknown_profile_is_told(name: str) -> None:
    """With those that there are."""
    with pytest.raises(InputError, match="'local preview'"):
        await Studio.open(name)


async def test_a_bad_client_id_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No backend is left running behind the error."""
    monkeypatch.setenv("NEMO_CLIENT_ID", "two words")

    with pytest.raises(InputError, match="NEMO_CLIENT_ID"):
        await Studio.open()
    assert not (home() / "local").exists()


async def test_no_network_is_told_by_what_it_was(cloud: Callable[..., Cloud]) -> None:
    """No connection: nothing was charged, exit code 5; nothing is left behind."""
    backend = cloud()
    backend.backend.close()
    async with backend.studio() as studio:
        with pytest.raises(NemoError, match=r"No connection to 127\.0\.0\.1.*Nothing was charged") as caught:
            await studio.animate([picture()], WISH, Destination(home() / "out", "x"))
    assert caught.value.exit_code == 5
    assert not (home() / "out").exists()


async def test_a_wrong_token_is_told(monkeypatch: pytest.MonkeyPatch, cloud: Callable[..., Cloud]) -> None:
    """The user's own: named, not replaced; exit code 3."""
    backend = cloud()
    monkeypatch.setenv("NEMO_TOKEN", "nmv_usr_wrong")
    async with backend.studio() as studio:
        with pytest.raises(NemoError, match="NEMO_TOKEN") as caught:
            await studio.credits()
    assert caught.value.exit_code == 3
    assert "nmv_usr_wrong" not in str(caught.value)


async def test_an_unwritable_output_folder_is_told_and_costs_nothing_more(
    cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    """The generation is kept; queueing again with another folder only exports."""
    backend = cloud()
    (tmp_path / "taken").write_text("")
    async with backend.studio() as studio:
        with pytest.raises(NemoError, match="taken") as caught:
            await studio.animate([picture()], WISH, Destination(tmp_path / "taken", "film"))
        assert caught.value.exit_code == 6
        video = await studio.animate([picture()], WISH, Destination(tmp_path / "fine", "film"))

    assert video.path.is_file()
    assert backend.ledger.credits_taken == 100
    assert len(backend.ledger.renders) == 1


# --- Accounts and secrets -------------------------------------------------------------------------------------------


async def test_it_works_without_any_key(cloud: Callable[..., Cloud], place: Destination) -> None:
    """Anonymous sign-up at the first call; 100 credits are one clip; then the registration link."""
    backend = cloud(anonymous=True)
    async with backend.studio() as studio:
        video = await studio.animate([picture()], WISH, place)
        link = await studio.registration_link()
        with pytest.raises(NemoError, match=r"Not enough credits \(0 left\)\. Register at .*\?bind=anon_") as caught:
            await studio.animate([picture()], Wish("pan left"), place)

    assert (video.money.before, video.money.after, video.money.spent, video.money.certainty) == (100, 0, 100, "exact")
    assert link.startswith("https://web.test/register?bind=anon_")
    assert link in str(caught.value)
    assert caught.value.exit_code == 4


async def test_an_expired_anonymous_token_is_replaced_where_nothing_is_owed(cloud: Callable[..., Cloud]) -> None:
    """The upload is repeated under the new account; with paid work undelivered it is told instead."""
    backend = cloud(anonymous=True)
    async with backend.studio() as studio:
        session = await studio.upload([picture()])
        backend.fault("expired_token", "state")
        made = await studio.generate(session, WISH)
        assert made.session.account != session.account

        backend.fault("expired_token", "state")
        with pytest.raises(NemoError, match="nemo-video login --new-anonymous") as caught:
            await studio.edit(made.session, "add music")
    assert caught.value.exit_code == 3
    assert backend.sent("anonymous-token") == 2


async def test_another_token_of_the_same_user_keeps_the_sessions(
    cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of NEMO_TOKEN a free read of the state decides whether a session is still ours."""
    backend = cloud()
    async with backend.studio() as studio:
        made = await studio.generate(await studio.upload([picture()]), WISH)
    monkeypatch.setattr(Token, "account", property(lambda token: "another token"))
    async with backend.studio() as studio:
        turned = await studio.edit(made.session, "make it 4 seconds")
        assert (turned.session.session_id, turned.session.account) == (made.session.session_id, "another token")

        backend.fault("answer", "state", status=403, code=403)
        with pytest.raises(SessionGone):
            await studio.edit(turned.session, "add music")


async def test_a_new_client_id_is_made_when_the_old_one_is_refused(cloud: Callable[..., Cloud]) -> None:
    """400 at sign-up; it is used for every request from then on, and kept."""
    backend = cloud(anonymous=True)
    backend.fault("answer", "anonymous-token", status=400, code=400, message="X-Client-Id missing")
    async with backend.studio() as studio:
        await studio.credits()

    ids = [call["headers"].get("X-Client-Id") for call in backend.backend.calls]
    assert len(set(ids)) == 2
    assert ids[1:] == [(home() / "client_id").read_text().strip()] * (len(ids) - 1)


async def test_no_secret_reaches_a_log_a_repr_or_a_handle(
    cloud: Callable[..., Cloud], place: Destination, caplog: pytest.LogCaptureFixture
) -> None:
    """Tokens and signatures stay between the client and its backend, at any log level."""
    caplog.set_level(logging.DEBUG)
    backend = cloud()
    async with backend.studio() as studio:
        video = await studio.animate([picture()], WISH, place)
        session = await studio.upload([picture()])
        seen = f"{caplog.text}{video!r}{video.to_json()}{session!r}{session.to_json()}{studio.profile!r}"
        seen += repr(vars(studio._context)) + repr(studio._context.journal.__dict__)

    assert backend.backend.token not in seen
    assert backend.backend.url not in caplog.text
    assert "X-Amz" not in caplog.text
    assert not [line for line in caplog.text.splitlines() if "?" in line and "http" in line]


async def test_the_journal_outlives_the_program(cloud: Callable[..., Cloud], place: Destination) -> None:
    """One Studio ends, the next goes on from what the first one did."""
    backend = cloud()
    async with backend.studio() as studio:
        first = await studio.animate([picture()], WISH, place)
    async with backend.studio() as studio:
        again = await studio.animate([picture()], WISH, place)

    assert (again.path, again.reused) == (first.path, True)
    assert backend.ledger.credits_taken == 100


async def test_closing_leaves_nothing_running(place: Destination, shorten: Shorten) -> None:
    """No task and no connection survives a Studio, whatever it was at."""
    shorten(preview={"renderer": draw})
    before = asyncio.all_tasks()
    studio = await Studio.open()
    waiting = [asyncio.ensure_future(studio.animate([picture(shade)], WISH, place)) for shade in range(3)]
    await asyncio.sleep(0.3)
    await studio.aclose()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.sleep(0)

    assert all(isinstance(result, NemoError) for result in results), results
    assert asyncio.all_tasks() == before


def test_the_default_is_free() -> None:
    """No one pays by leaving an argument out."""
    assert Studio.open.__kwdefaults__.get("name") is None
    assert Studio.open.__defaults__ == ("local preview",)
    assert Studio.open.__defaults__[0] != CLOUD

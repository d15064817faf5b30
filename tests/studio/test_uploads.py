"""Uploads: what files are called on the wire, how they are found again, what the session speaks, and lost sessions."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from benchmarks._paying import counted
from nemo_client import (
    ApiError,
    Destination,
    Media,
    NemoError,
    SessionGone,
    SessionHandle,
    Wish,
    from_file,
    from_pixels,
    from_samples,
    from_url,
    home,
)
from nemo_client._files.images import wire_name
from nemo_client._studio.listed_uploads import find_listed, lists_uploads
from nemo_client._text.prompts import certain_language, choose_spoken_language, page_language
from nemo_client._wire import draft as drafts
from tests.support.backend import Asked, Cloud, always, answer, client_of, cloud, picture, serving, write_video

__all__ = ["cloud"]

Clouds = Callable[..., Cloud]
WISH = Wish("make the picture move slowly", duration=2)


@pytest.fixture
def place(tmp_path: Path) -> Destination:
    return Destination(tmp_path / "out", "film")


def saved(folder: Path, name: str, shade: int = 90) -> Path:
    """A picture as a file; the same shade is the same pixels."""
    pixels = np.full((48, 32, 3), shade, np.uint8)
    pixels[8:24, 8:20] = (200, 80, 20)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def names(backend: Cloud) -> list[str]:
    return [str(upload["filename"]) for upload in backend.ledger.uploads]


def records(backend: Cloud) -> list[dict[str, Any]]:
    """The backend's sessions, oldest first."""
    found = [json.loads(path.read_text()) for path in (backend.directory / "sessions").glob("*/session.json")]
    return sorted(found, key=lambda each: [entry["session"] for entry in backend.ledger.sessions].index(each["id"]))


def languages(backend: Cloud) -> list[str]:
    return [each["language"] for each in records(backend)]


# --- Names on the wire ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "shown"),
    [
        ("cat", "cat"),
        ("My Cat (2)", "My Cat (2)"),
        ("海边的猫", "海边的猫"),
        ("Ко́шка", "Ко́шка"),
        ("cafe\u0301", "café"),
        ('a/b\\c:d*e?f"g<h>i|j;k%l', "abcdefghijkl"),
        ("line\nbreak\ttab\x00nul\u202eturn", "line break tabnulturn"),
        ("..  hidden.. ", "hidden"),
        ("archive.tar", "archive.tar"),
        ("", "image"),
        ("???", "image"),
        ("bytes \udcff\udcfe here", "bytes here"),
    ],
)
def test_a_name_on_the_wire_is_the_files_own_cleaned(stem: str, shown: str) -> None:
    """Letters of every script stay, so that a prompt can say them; what headers or paths would misread goes."""
    assert wire_name(stem, "pixels:1x1x3:0123456789abcdef", "jpg") == f"{shown}-01234567.jpg"


@pytest.mark.parametrize("letter", ["a", "é", "猫", "😀", "각"])
def test_a_name_on_the_wire_has_at_most_80_bytes(letter: str) -> None:
    """Cut between letters, with its hash and suffix whole."""
    name = wire_name(letter * 200, "file:0123456789abcdef", "webm")

    assert 75 < len(name.encode()) <= 80
    assert name.endswith("-01234567.webm")
    assert set(name.removesuffix("-01234567.webm")) == {letter}


def test_what_has_no_name_is_called_by_its_kind(tmp_path: Path) -> None:
    """Pixels and sound out of a graph."""
    tensor = picture()
    sound = from_samples(np.zeros((1, 8), np.float32), 8000)
    film = from_file(write_video(tmp_path / "???.mp4"))

    assert tensor.name == f"image-{tensor.fingerprint.rsplit(':')[-1][:8]}.jpg"
    assert sound.name == f"audio-{sound.fingerprint.rsplit(':')[-1][:8]}.wav"
    assert film.name == f"video-{film.fingerprint.rsplit(':')[-1][:8]}.mp4"


def test_a_converted_picture_keeps_its_name_with_the_suffix_of_what_is_sent(tmp_path: Path) -> None:
    """TIFF goes out as JPEG."""
    media = from_file(saved(tmp_path, "Hafen.tiff"))

    assert media.name == f"Hafen-{media.fingerprint.rsplit(':')[-1][:8]}.jpg"
    assert media.fingerprint == from_file(saved(tmp_path, "other.png")).fingerprint


async def test_names_go_out_and_keys_do_not_count_them(cloud: Clouds, tmp_path: Path) -> None:
    """Names of other scripts arrive whole; the kept bytes are named by their hash alone."""
    backend = cloud()
    media = [from_file(saved(tmp_path, f"{stem}.png", shade)) for shade, stem in enumerate(("海边的猫", "mein Hund"))]
    async with backend.studio() as studio:
        handle = await studio.upload(media)
        again = await studio.upload([from_pixels(np.asarray(Image.open(each.content))) for each in media])  # type: ignore[arg-type]

    assert names(backend) == [media[0].name, media[1].name]
    assert media[0].name.startswith("海边的猫-")
    assert again == handle
    assert {path.name for path in (home() / "uploads").iterdir()} >= {f"{each.sha256}.png" for each in media}


# --- An ambiguous upload --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", ["cat", "海边的猫", "Ко́шка 2", "😀 smile", "a & b 'c'"])
@pytest.mark.parametrize("kind", ["close_before_headers", "http_503_accepted", "close_after_headers", "truncated_json"])
async def test_an_upload_that_may_have_arrived_is_found_by_its_hash(
    kind: str, stem: str, cloud: Clouds, tmp_path: Path
) -> None:
    """In the parsed state: in its text a name in Chinese is escaped."""
    backend = cloud()
    backend.fault(kind, "upload")
    async with backend.studio() as studio:
        await studio.upload([from_file(saved(tmp_path, f"{stem}.png")), picture()])

    assert len(names(backend)) == 2
    assert backend.sent("upload") == 1


@pytest.mark.parametrize(
    "listed",
    [
        {"video_infos": [{"filename": "海边的猫-01234567.png"}]},
        {"video_infos": [{"filename": "01234567.png"}]},
        {"video_infos": [{"filename": "upload_3_____-01234567.png"}]},
        {"assets": {"x": [{"cdn_url": "https://cdn.test/%E7%8C%AB-01234567.png?sign=1"}]}},
        {"video_infos": [{"hash": "ab" * 32}]},
        {"video_infos": [{"filename": "IMG_0123ABCD.PNG"}]},
    ],
)
def test_a_file_is_found_however_the_state_names_it(listed: dict[str, Any]) -> None:
    """By its whole name, by the hash in a name that the server changed, or by the hash of its bytes."""
    media = Media("pixels:1:0123456789", "海边的猫-01234567.png", "image/png", kept="ab" * 32 + ".png")
    other = Media("pixels:1:0123abcd89", "Hund-0123abcd.png", "image/png", kept="ad" * 32 + ".png")

    assert len(find_listed(listed, [media, other])) == 1
    assert find_listed({"video_infos": [{"filename": "cat-a01234567b.png", "hash": "ac" * 32}]}, [media]) == set()


@pytest.mark.parametrize("listed", [False, True], ids=["not there", "there"])
async def test_an_address_whose_upload_broke_is_sent_once_more_unless_the_state_names_it(
    listed: bool, cloud: Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway answered in the place of the backend: the upload is free, and no one has to begin again for it."""
    url = "https://cdn.test/films/My%20cat.mp4?sign=1"
    infos = [{"filename": "other.mp4"}, *([{"source_url": url}] if listed else [])]
    sent: list[list[str]] = []

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        data: dict[str, Any] = {"task_id": "t-1", "session_id": "s-1", "state": {"video_infos": infos}}
        if "/upload-video/" in asked.path:
            sent.append(asked.json["urls"])
            if len(sent) == 1:
                writer.write(answer(b"<html>", 502, content_type="text/html"))
                return
        writer.write(answer({"code": 0, "data": data}))

    backend = cloud()
    async with serving(reply) as server:
        monkeypatch.setenv("NEMO_API_URL", server.url)
        async with backend.studio() as studio:
            await studio.upload([from_url(url)])

    assert sent == ([[url]] if listed else [[url], [url]])


# --- A known upload under another name ------------------------------------------------------------------------------


async def test_a_renamed_file_is_uploaded_again_only_for_a_new_step(
    cloud: Clouds, tmp_path: Path, place: Destination
) -> None:
    """What is known is found, whatever the file is called by now; a new prompt may say the new name."""
    backend = cloud()
    cat = saved(tmp_path, "cat.png")
    async with backend.studio() as studio:
        await studio.animate([from_file(cat)], WISH, place)
        dog = from_file(cat.rename(tmp_path / "dog.png"))
        again = await studio.animate([dog], WISH, place)
        assert (again.reused, len(names(backend)), backend.sent("message")) == (True, 1, 1)

        await studio.animate([dog], Wish("make dog.png dance"), place)
    assert [name.split("-")[0] for name in names(backend)] == ["cat", "dog"]
    assert [len(each["assets"]) for each in records(backend)] == [1, 1]
    assert backend.sent("message") == 2


async def test_a_renamed_file_that_nothing_followed_is_another_placement_at_once(cloud: Clouds, tmp_path: Path) -> None:
    """The key stays; both placements are found again by their names."""
    backend = cloud()
    path = saved(tmp_path, "cat.png")
    async with backend.studio() as studio:
        first = await studio.upload([from_file(path)])
        path = path.rename(tmp_path / "dog.png")
        second = await studio.upload([from_file(path)])
        third = await studio.upload([from_file(path.rename(tmp_path / "cat.png"))])
        nameless = await studio.upload([from_pixels(np.asarray(Image.open(tmp_path / "cat.png")))])

    assert first.key == second.key == third.key == nameless.key
    assert first.session_id != second.session_id
    assert third == first
    assert nameless in (first, second)
    assert [name.split("-")[0] for name in names(backend)] == ["cat", "dog"]


async def test_bytes_that_older_versions_kept_are_found(cloud: Clouds, tmp_path: Path) -> None:
    """Their names are in the journal: a fork repeats them."""
    backend = cloud()
    media = picture()
    async with backend.studio() as studio:
        handle = await studio.upload([media])
        attempt = await studio._context.journal.latest(handle.key)
        assert attempt is not None
        old = f"image-{media.fingerprint.rsplit(':')[-1][:20]}.jpg"
        facts = {**attempt.facts, "media": [(media.fingerprint, old, media.mime)], "names": []}
        await studio._context.journal.finished(attempt, facts, session_id=handle.session_id)
        (home() / "uploads" / media.kept_name).rename(home() / "uploads" / old)
    async with backend.studio() as studio:
        turns = [await studio.generate(handle, Wish(words)) for words in ("make it move", "make it turn")]

    assert turns[0].session.session_id != turns[1].session.session_id
    assert len(names(backend)) == 2


# --- What the backend says of files ---------------------------------------------------------------------------------

FAILED = {
    "status": ("data.files.0.status", "failed"),
    "another word": ("data.files.0.state", "ERROR"),
    "a reason": ("data.files.0.error", "cannot be read"),
    "a flag": ("data.files.0.success", False),
    "a list": ("data.failed", [{"filename": "?"}]),
    "not applied": ("data.session_state_applied", False),
}
FURTHER = {
    "a sentence": {"files": [{"filename": "a.png", "status": "error: unsupported"}]},
    "two words": {"files": [{"filename": "a.png", "status": "upload_failed"}]},
    "an enum": {"files": [{"filename": "a.png", "status": "UploadStatus.FAILED"}]},
    "in Chinese": {"files": [{"filename": "a.png", "status": "失败"}]},
    "an HTTP status": {"files": [{"filename": "a.png", "status_code": 415}]},
    "another flag": {"files": [{"filename": "a.png", "uploaded": False}]},
    "names with reasons": {"files": [], "failed": {"a.png": "cannot be read"}},
    "camel case": {"files": [], "failedFiles": ["a.png"]},
    "rejected": {"files": [], "rejected": [{"name": "a.png"}]},
}
NOT_APPLIED = [
    {"session_state_applied": 0},
    {"sessionStateApplied": False},
    {"files": [{"filename": "a.png", "session_state_applied": "false"}]},
    {"files": [{"filename": "a.png"}], "success": False},
    {"files": [{"filename": "a.png"}], "failed": True},
]


async def test_a_refused_file_is_told_in_many_ways() -> None:
    """Words, numbers, flags and lists, under the names that servers give them; what says nothing refuses nothing."""

    async def read(said: dict[str, Any]) -> Any:
        async with (
            serving(always(answer({"code": 0, "data": said}))) as server,
            client_of(server.url) as client,
        ):
            return await client.upload_urls("s", ["https://web.test/a.png"])

    for said in FURTHER.values():
        assert (await read(said)).failed == ("a.png",), said
    for said in NOT_APPLIED:
        assert not (await read(said)).applied, said
    for quiet in ({"failed": 0}, {"failed": []}, {"files": [{"filename": "a.png", "status": "processing"}]}):
        assert ((await read(quiet)).failed, (await read(quiet)).applied) == ((), True), quiet


@pytest.mark.parametrize(("field", "value"), FAILED.values(), ids=FAILED)
async def test_a_file_that_was_not_taken_is_sent_once_more(field: str, value: Any, cloud: Clouds) -> None:
    """Only that one, where the answer tells which; then work goes on."""
    backend = cloud()
    backend.fault("wrong_types", "upload", field=field, value=value)
    media = [picture(1), picture(2)]
    async with backend.studio() as studio:
        await studio.generate(await studio.upload(media), WISH)

    whole = field in ("data.failed", "data.session_state_applied")
    assert names(backend) == [media[0].name, media[1].name, media[0].name, *([media[1].name] if whole else [])]
    assert backend.sent("message") == 1


@pytest.mark.parametrize(("field", "value"), FAILED.values(), ids=FAILED)
async def test_a_file_that_is_never_taken_ends_before_any_message(
    field: str, value: Any, cloud: Clouds, place: Destination
) -> None:
    """Nothing is paid for without its pictures; the words name the file, and the next try begins with the upload."""
    backend = cloud()
    backend.fault("wrong_types", "upload", field=field, value=value, count=2)
    async with backend.studio() as studio:
        with pytest.raises(ApiError, match=r"image-.*jpg is still missing.*Nothing was charged") as caught:
            await studio.animate([picture()], WISH, place)
        assert (caught.value.exit_code, backend.sent("message")) == (5, 0)

        video = await studio.animate([picture()], WISH, place)
    assert video.money.spent == 100


@pytest.mark.parametrize("value", [None, 7, "later", []])
async def test_what_proves_nothing_refuses_nothing(value: Any, cloud: Clouds, place: Destination) -> None:
    """An answer need not tell of the files, nor a state list any."""
    backend = cloud()
    backend.fault("wrong_types", "upload", field="data.session_state_applied", value=value)
    backend.fault("wrong_types", "state", field="data.state.video_infos", value=[], count=None)
    async with backend.studio() as studio:
        video = await studio.animate([picture()], WISH, place)

    assert video.money.spent == 100
    assert len(names(backend)) == 1


def drop(backend: Cloud, *, keep: int = 0) -> None:
    """The backend forgets the uploads of its sessions but for the first few."""
    for path in (backend.directory / "sessions").glob("*/session.json"):
        record = json.loads(path.read_text())
        record["assets"] = record["assets"][:keep]
        path.write_text(json.dumps(record))


async def test_a_file_that_the_state_no_longer_lists_is_sent_again_before_a_message(cloud: Clouds) -> None:
    """It listed it before the message before this one; so the pictures are there when this one is worked on."""
    backend = cloud()
    media = [picture(1), picture(2)]
    async with backend.studio() as studio:
        made = await studio.generate(await studio.upload(media), WISH)
    drop(backend, keep=1)
    async with backend.studio() as studio:
        turned = await studio.edit(made.session, "make it 4 seconds")

    assert turned.session.session_id == made.session.session_id
    assert names(backend) == [media[0].name, media[1].name, media[1].name]


async def test_no_message_goes_out_where_the_state_stays_without_a_file(cloud: Clouds) -> None:
    """It is told, nothing is charged, and the session is free for the next try."""
    backend = cloud()
    async with backend.studio() as studio:
        made = await studio.generate(await studio.upload([picture(1), picture(2)]), WISH)
        listed = records(backend)[0]["assets"][:1]
        shown = [{"filename": each["filename"], "hash": each["hash"]} for each in listed]
        backend.fault("wrong_types", "state", field="data.state", value=state_of(backend, shown), count=3)
        before = backend.sent("message")
        with pytest.raises(ApiError, match=r"image-.* is still missing.*Nothing was charged"):
            await studio.edit(made.session, "make it 4 seconds")
        assert backend.sent("message") == before

        await studio.edit(made.session, "make it 4 seconds")
    assert backend.sent("message") == before + 1


def state_of(backend: Cloud, infos: list[dict[str, Any]]) -> dict[str, Any]:
    """The session's state, with these files alone."""
    return {"draft": records(backend)[0]["draft"], "video_infos": infos, "generated_media": []}


def test_a_state_without_a_list_lists_nothing() -> None:
    """Absent, null, empty or of another type."""
    assert not any(lists_uploads({"video_infos": value}) for value in (None, [], {}, 0, "x"))
    assert not lists_uploads({})
    assert lists_uploads({"video_infos": [{}]})


# --- Sessions that are lost before anything was paid ----------------------------------------------------------------

LOST = {
    "upload": ("answer", "upload", 1, {"code": 1002}),
    "message": ("answer", "message", 1, {"code": 1002}),
    "message, for good": ("lost_session", "message", 1, {}),
    "baseline": ("answer", "state", 1, {"code": 1002}),
    "baseline, for good": ("lost_session", "state", 1, {}),
}


@pytest.mark.parametrize(("kind", "endpoint", "nth", "more"), LOST.values(), ids=LOST)
async def test_a_session_that_is_lost_before_anything_was_paid_is_opened_again(
    kind: str, endpoint: str, nth: int, more: dict[str, Any], cloud: Clouds, place: Destination
) -> None:
    """1002, once: a new session, the same uploads, one message; the very run goes on."""
    backend = cloud()
    backend.fault(kind, endpoint, nth=nth, **more)
    async with backend.studio() as studio:
        video = await studio.animate([picture(1), picture(2)], WISH, place)

    assert video.money.spent == 100
    assert len(backend.ledger.sessions) == 2
    assert [upload["session"] for upload in backend.ledger.uploads].count(video.session_id) == 2
    assert len(backend.ledger.charges) == 1


@pytest.mark.parametrize("code", [403, 404])
async def test_a_session_of_another_account_is_left_where_only_the_baseline_tells(
    code: int, cloud: Clouds, place: Destination
) -> None:
    """A session that just took an upload is claimed without a look; what its state says then counts the same."""
    backend = cloud()
    backend.fault("answer", "state", code=code, count=2)
    async with backend.studio() as studio:
        video = await studio.animate([picture(1), picture(2)], WISH, place)

    assert [len(backend.ledger.sessions), len(backend.ledger.charges)] == [2, 1]
    assert [upload["session"] for upload in backend.ledger.uploads].count(video.session_id) == 2


@pytest.mark.parametrize("age", [0.0, 61.0])
async def test_a_session_that_just_took_an_upload_is_not_looked_at_before_its_baseline(
    age: float, cloud: Clouds
) -> None:
    """Its state is read once before the message, and twice behind it; a minute later it is looked at first."""
    backend = cloud()
    async with backend.studio() as studio:
        session = await studio.upload([picture(1)])
        backend.clock.now += age
        await studio.generate(session, WISH)

    assert backend.sent("state") == (3 if age == 0 else 4)


@pytest.mark.parametrize("endpoint", ["upload", "message"])
async def test_a_backend_that_loses_every_session_is_told(endpoint: str, cloud: Clouds, place: Destination) -> None:
    """One more session, not one after another."""
    backend = cloud()
    backend.fault("answer", endpoint, code=1002, count=None)
    async with backend.studio() as studio:
        with pytest.raises(SessionGone, match="Nothing was charged"):
            await studio.animate([picture()], WISH, place)

    assert len(backend.ledger.sessions) == 2
    assert backend.sent(endpoint) == 2
    assert not backend.ledger.charges


@pytest.mark.parametrize("code", [403, 404, 4001, 2001])
@pytest.mark.parametrize("endpoint", ["upload", "message"])
async def test_another_code_opens_no_other_session(endpoint: str, code: int, cloud: Clouds, place: Destination) -> None:
    """Only 1002 says that a session is gone."""
    backend = cloud()
    backend.fault("answer", endpoint, code=code)
    async with backend.studio() as studio:
        with pytest.raises(NemoError):
            await studio.animate([picture()], WISH, place)

    assert (len(backend.ledger.sessions), len(backend.ledger.charges)) == (1, 0)


async def test_a_lost_session_with_paid_work_is_told_not_repeated(cloud: Clouds) -> None:
    """What was paid for there cannot be made again for nothing."""
    backend = cloud()
    async with backend.studio() as studio:
        made = await studio.generate(await studio.upload([picture()]), WISH)
        backend.fault("lost_session", "message")
        with pytest.raises(SessionGone):
            await studio.edit(made.session, "make it 4 seconds")

    assert (len(backend.ledger.sessions), len(names(backend)), len(backend.ledger.charges)) == (1, 1, 1)


async def test_an_addition_to_a_lost_session_repeats_what_lies_there(cloud: Clouds) -> None:
    """Onto a session with uploads alone, the whole chain goes into a new one."""
    backend = cloud()
    async with backend.studio() as studio:
        first = await studio.upload([picture(1)])
        backend.fault("answer", "upload", code=1002)
        second = await studio.upload([picture(2)], onto=first)
        await studio.generate(second, WISH)

    assert second.session_id != first.session_id
    assert names(backend) == [picture(1).name, picture(1).name, picture(2).name]


# --- What the session speaks ----------------------------------------------------------------------------------------

CERTAIN = {
    "en": [
        "make it move",
        "turn this image into a 5-second animated video clip with smooth motion",
        "Slow zoom in on the cat",
        "add the title 你好 to the video",
        "the camera slowly moves to the left",
        "Make Anna smile in Paris",
    ],
    "zh-CN": [
        "让图片动起来",
        "让它动",
        "慢慢推近",
        "镜头拉远",
        "城市夜景延时摄影",
        "請讓這張圖片動起來",
        "把标题改成“Hello World”",
    ],
    "ja": ["ゆっくりズームイン", "この画像を動かして", "桜を追加", "音楽を付けてください"],
    "ko": ["천천히 확대해 줘", "이 이미지를 움직이게 해주세요", "확대해줘"],
    "ru": ["Медленное приближение", "сделай видео из этой картинки", "Добавь музыку"],
    "es": ["haz que se mueva la imagen lentamente", "convierte esta foto en un video", "añade música"],
    "fr": ["transforme cette photo en vidéo", "ajoute de la musique", "je veux une vidéo de 5 secondes"],
    "de": ["mach ein Video aus dem Bild", "füge Musik hinzu", "Der Hund rennt über die Wiese"],
    "pt": ["transforme esta foto em vídeo", "faça um vídeo com música", "adicione um título maior"],
}
UNCERTAIN = [
    "", "OK", "4K", "1080p, 16:9", "Anna", "NemoVideo", "Los Angeles", "El Niño", "La La Land", "Rio de Janeiro",
    "The Lord of the Rings", "Vincent van Gogh", "東京", "北京", "东方明珠", "加拿大", "さくら", "トヨタ", "東京タワー",
    "김연아", "Москва", "Лев Толстой", "the-way-of-it.jpg", "https://x.test/make/it/move", "“make it move”", "music",
    "haz", "fai un video con questa immagine", "maak een video van deze foto", "зроби це відео повільно", "😀 😀",
    "make 让图片动起来 it move to the left",
]  # fmt: skip


@pytest.mark.parametrize(("language", "text"), [(lang, text) for lang, texts in CERTAIN.items() for text in texts])
def test_a_sentence_tells_its_language(language: str, text: str) -> None:
    """By its script or by the words that hold it together."""
    assert certain_language(text) == language


@pytest.mark.parametrize("text", UNCERTAIN)
def test_names_numbers_and_mixtures_tell_none(text: str) -> None:
    """A session is opened again only where no one could doubt."""
    assert certain_language(text) == ""


@pytest.mark.parametrize(
    ("setting", "prompt", "page", "spoken"),
    [
        ("auto", "make it move", "zh", "en"),
        ("auto", "让图片动起来", "en", "zh-CN"),
        ("auto", "OK", "zh-TW", "zh-CN"),
        ("auto", "", "pt-BR", "pt"),
        ("auto", "", "ja", "ja"),
        ("auto", "4K", "ar", "en"),
        ("auto", "", "", "en"),
        ("ja", "make it move", "zh", "ja"),
    ],
)
def test_a_new_session_speaks_the_prompts_language_then_the_pages_then_english(
    setting: str, prompt: str, page: str, spoken: str
) -> None:
    """At `auto`, in this order."""
    assert choose_spoken_language(setting, prompt, page) == spoken
    assert page_language("klingon") == ""


async def test_a_prompt_in_another_language_gets_a_session_that_speaks_it(cloud: Clouds) -> None:
    """Only uploads lie behind: they are repeated, free; the key and the handle keep `auto`."""
    backend = cloud()
    async with backend.studio() as studio:
        handle = await studio.upload([picture(1), picture(2)])
        turned = await studio.generate(handle, Wish("让图片慢慢动起来", duration=2))
        again = await studio.generate(handle, Wish("让图片慢慢动起来", duration=2))

    assert languages(backend) == ["en", "zh-CN"]
    assert [upload["session"] for upload in backend.ledger.uploads].count(turned.session.session_id) == 2
    assert (handle.language, turned.session.language) == ("auto", "auto")
    assert (again.session, again.reused) == (turned.session, True)
    assert len(backend.ledger.charges) == 1


@pytest.mark.parametrize("texts", [texts[:1] for texts in CERTAIN.values()], ids=CERTAIN)
async def test_every_language_is_spoken_where_it_is_certain(texts: list[str], cloud: Clouds) -> None:
    """The same picture, one prompt after another."""
    backend = cloud(credits=10_000)
    async with backend.studio() as studio:
        handle = await studio.upload([picture()], page="en" if certain_language(texts[0]) != "en" else "ja")
        await studio.generate(handle, Wish(texts[0]))

    assert languages(backend)[-1] == certain_language(texts[0])


@pytest.mark.parametrize(
    ("setting", "text"), [("auto", "4K"), ("auto", "Anna"), ("en", "让图片慢慢动起来"), ("ja", "make it move slowly")]
)
async def test_a_session_stays_where_the_language_is_set_or_uncertain(setting: str, text: str, cloud: Clouds) -> None:
    """What was chosen is what counts."""
    backend = cloud()
    async with backend.studio() as studio:
        handle = await studio.upload([picture()], language=setting)
        await studio.generate(handle, Wish(text))

    assert len(languages(backend)) == 1


async def test_a_session_stays_where_paid_work_lies_behind_or_bytes_are_gone(cloud: Clouds) -> None:
    """Nothing is paid twice, and no one is stopped, for a language."""
    backend = cloud()
    async with backend.studio() as studio:
        made = await studio.generate(await studio.upload([picture()]), WISH)
        edited = await studio.edit(made.session, "把时长改为4秒")
        assert edited.session.session_id == made.session.session_id

        handle = await studio.upload([picture(2)])
        for path in (home() / "uploads").iterdir():
            path.unlink()
        turned = await studio.generate(handle, Wish("让图片慢慢动起来"))
        assert turned.session.session_id == handle.session_id
    assert languages(backend) == ["en", "en"]


async def test_a_known_step_opens_no_session_for_its_language(cloud: Clouds, place: Destination) -> None:
    """Made in a session that spoke another language, by an earlier version: it is found."""
    backend = cloud()
    async with backend.studio() as studio:
        handle = await studio.upload([picture()], prompt="让图片慢慢动起来")
        await studio.generate(SessionHandle(**{**handle.to_json(), "language": "zh-CN"}), WISH)
        before = backend.ledger
        again = await studio.generate(handle, WISH)

    assert again.reused
    assert backend.ledger == before
    assert languages(backend) == ["zh-CN"]


async def test_the_whole_way_opens_one_session_in_the_prompts_language(cloud: Clouds, place: Destination) -> None:
    """The prompt is known before the session is opened: nothing is uploaded twice."""
    backend = cloud()
    async with backend.studio() as studio:
        await studio.animate([picture()], Wish("Медленное приближение"), place, page="zh")

    assert (languages(backend), len(names(backend))) == (["ru"], 1)


async def test_one_video_takes_no_more_requests_and_transactions_than_it_needs(
    cloud: Clouds, place: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known is not asked for again: each of these is evidence, a record before the wire, or the work itself."""
    backend, forms = cloud(), Counter[str]()
    canonicalize = drafts.canonicalize

    def count_forms(draft: Any) -> str:
        forms["made"] += 1
        return canonicalize(draft)

    async with backend.studio() as studio:
        await studio.animate([picture(1)], WISH, Destination(place.folder, "first"))
        monkeypatch.setattr(drafts, "canonicalize", count_forms)
        before = Counter({name: backend.sent(name) for name in ("session", "upload", "state", "message", "credits")})
        with counted() as seen:
            await studio.animate([picture(2)], WISH, Destination(place.folder, "second"))

    asked = {name: backend.sent(name) - count for name, count in before.items()}
    assert asked == {"session": 1, "upload": 1, "state": 3, "message": 1, "credits": 2}
    assert seen["requests"] == 10  # beside those: the render and its file
    assert seen["reading"] <= 11
    assert seen["writing"] <= 8
    assert forms["made"] == 0  # drafts are compared as they are


async def test_a_video_makes_no_statement_of_the_journal_again(cloud: Clouds, place: Destination) -> None:
    """What is the same for each video is made once: building and naming a statement takes longer than SQLite does."""
    asked: list[Any] = []

    def note(_: Any, statement: Any, *__: Any) -> None:
        asked.append(statement)  # kept, so that no other one has its id

    backend = cloud()
    async with backend.studio() as studio:
        sa.event.listen(sa.Engine, "before_execute", note)
        try:
            for number in range(3):
                before = {id(each) for each in asked}
                first = len(asked)
                await studio.animate([picture(number)], WISH, Destination(place.folder, f"film {number}"))
        finally:
            sa.event.remove(sa.Engine, "before_execute", note)

    assert [str(each) for each in asked[first:] if id(each) not in before] == []
    assert len(asked) - first <= 40

"""Upload File or URL, Chat, Credits and Timeline, on the local backend; limits and tags of nodes that take lists."""

from __future__ import annotations

import io
import json
import os
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nemo_client import InputError, JobError, LimitError, home
from tests.nodes._arrays import picture, tensor
from tests.nodes._host import Blocker, FileVideo, Host
from tests.support.backend import write_video
from tests.support.faults import Fault
from tests.support.ledger import read_ledger

Nodes = dict[str, type[Any]]

QUICK = {"prompt": "slow push-in", "aspect_ratio": "auto", "duration": 1, "seed": 0}
SMALL = {"format": "mp4", "quality": "low", "resolution": "480p"}


def auth(nodes: Nodes, host: Host, profile: str = "local preview", language: str = "auto") -> Any:
    return host.run(nodes["NemoAuth"], profile=profile, language=language)[0]


def generated(nodes: Nodes, host: Host, profile: str = "local preview", language: str = "auto") -> Any:
    chosen = auth(nodes, host, profile, language)
    (sessions,) = host.run(
        nodes["NemoUploadImage"], auth=chosen, image=picture(96, 72), batch_mode="all images in one video"
    )
    return host.run(nodes["NemoGenerateVideo"], session=sessions, **QUICK)[0][0]


def said(host: Host) -> str:
    """The last line of text that stood under the node."""
    return host.texts[-1][1]


# --- Upload File or URL -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["clip.mp4", "clip.mp4 [input]", '"clip.mp4"', "whole", "sub\\clip.mp4"])
def test_a_file_of_comfyui_s_folders_is_uploaded(source: str, nodes: Nodes, host: Host) -> None:
    """By its name, annotated as ComfyUI does, as a whole path, with quotes or backslashes; and it is in the film."""
    folder = Path(host.folder("input"))
    place = folder / "sub" / "clip.mp4" if "\\" in source else folder / "clip.mp4"
    place.parent.mkdir(exist_ok=True)
    write_video(place)
    given = str(place) if source == "whole" else source

    (session,) = host.run(nodes["NemoUploadMedia"], auth=auth(nodes, host), source=given)
    (after,), _, (timeline,) = host.run(nodes["NemoGenerateVideo"], session=[session], **QUICK)

    assert after.session_id == session.session_id
    assert "Video" in timeline


@pytest.mark.parametrize("source", ["../secret.mp4", "/etc/passwd", "link.mp4", "secret.mp4", "C:\\secret.mp4", "a\0b"])
def test_nothing_outside_comfyui_s_folders_is_read(source: str, nodes: Nodes, host: Host) -> None:
    """A workflow comes from a stranger: neither by dots, whole paths nor links; the same words for all."""
    outside = write_video(Path(host.folder(".")) / "secret.mp4")
    (Path(host.folder("input")) / "link.mp4").symlink_to(outside)

    with pytest.raises(InputError) as caught:
        host.run(nodes["NemoUploadMedia"], auth=auth(nodes, host), source=source)

    assert caught.value.id == "source-outside"
    assert str(host.base) not in str(caught.value)


def test_other_folders_are_named_on_the_server(nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """NEMO_ALLOWED_DIRS adds some."""
    footage = Path(host.folder("footage"))
    write_video(footage / "a.mp4")
    monkeypatch.setenv("NEMO_ALLOWED_DIRS", os.pathsep.join([host.folder("other"), str(footage)]))

    assert host.run(nodes["NemoUploadMedia"], auth=auth(nodes, host), source=str(footage / "a.mp4"))[0].session_id


def test_a_changed_file_runs_the_node_again(nodes: Nodes, host: Host) -> None:
    """By its time and size; an address and a missing file say nothing."""
    node, path = nodes["NemoUploadMedia"], write_video(Path(host.folder("input")) / "a.mp4")
    first = host.is_changed(node, source="a.mp4")
    path.write_bytes(path.read_bytes() + b"more")

    assert first
    assert host.is_changed(node, source="a.mp4") not in ("", first)
    assert host.is_changed(node, source="https://x.test/a.mp4") == ""
    assert host.is_changed(node, source="nothing.mp4") == ""
    assert host.is_changed(node, source=None) == ""


def test_sound_becomes_the_music(nodes: Nodes, host: Host) -> None:
    """AUDIO: shape [1, channels, samples]."""
    tone = np.sin(np.linspace(0, 440, 16000))[None, None].repeat(2, 1)
    audio = {"waveform": tensor(tone.astype(np.float32)), "sample_rate": 16000}
    (sessions,) = host.run(
        nodes["NemoUploadImage"], auth=auth(nodes, host), image=picture(96, 72), batch_mode="all images in one video"
    )
    (session,) = host.run(nodes["NemoUploadMedia"], auth=auth(nodes, host), audio=audio, session=sessions[0])
    _, _, (timeline,) = host.run(nodes["NemoGenerateVideo"], session=[session], **QUICK)

    assert session.session_id == sessions[0].session_id
    assert ".wav" in timeline


@pytest.mark.parametrize("waveform", [np.zeros((2, 8)), np.zeros((1, 0, 0)), np.full((1, 1, 8), np.nan)])
def test_odd_sound_is_refused(waveform: Any, nodes: Nodes, host: Host) -> None:
    """Before anything is sent."""
    audio = {"waveform": tensor(waveform.astype(np.float32)), "sample_rate": 8000}

    with pytest.raises(InputError) as caught:
        host.run(nodes["NemoUploadMedia"], auth=auth(nodes, host), audio=audio)

    assert caught.value.id in ("audio-shape", "audio-not-finite")


@pytest.mark.parametrize(("trimmed", "place"), [(False, "input"), (True, "input"), (False, "elsewhere")])
def test_a_video_is_sent_as_it_is_used(trimmed: bool, place: str, nodes: Nodes, host: Host) -> None:
    """Its own file where it is used whole; written out where it was trimmed, so that the trims are kept.

    And where another node took it from elsewhere: then a video gets out, never the bytes of any file by that name.
    """
    path = write_video(Path(host.folder(place)) / "a.mp4")

    class Clip(FileVideo):
        written: Path | None = None

        def get_stream_source(self) -> str:
            return self.path

        def get_active_trim_window(self) -> tuple[float, float]:
            return (0.2, 0.5) if trimmed else (0.0, 0.0)

        def save_to(self, target: str, **_: Any) -> None:
            self.written = write_video(Path(target), frames=5)

    clip = Clip(str(path))
    (session,) = host.run(nodes["NemoUploadMedia"], auth=auth(nodes, host), video=clip)

    assert session.session_id
    assert (clip.written is not None) is (trimmed or place == "elsewhere")
    assert clip.written is None or not clip.written.exists(), "what was written out is gone again"


def test_exactly_one_thing_is_given(nodes: Nodes, host: Host) -> None:
    """None, or two, is an error that names them."""
    chosen = auth(nodes, host)
    for given in ({}, {"source": " "}, {"source": "a.mp4", "video": FileVideo("x")}):
        with pytest.raises(InputError) as caught:
            host.run(nodes["NemoUploadMedia"], auth=chosen, **given)
        assert caught.value.id == "one-source"


# --- Chat, Credits, Timeline --------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["export", "导出", "Please download the video"])
def test_an_export_is_not_for_the_agent(message: str, nodes: Nodes, host: Host, cloud: Any) -> None:
    """It is free, brings a file, and shows it in the node."""
    session = generated(nodes, host, "nemo")

    answer = host.run(nodes["NemoChat"], session=session, message=message, seed=0)

    after, reply, path = answer["result"]
    assert after == session
    assert Path(path).is_file()
    assert path in reply
    assert answer["ui"]["images"][0]["filename"] == Path(path).name
    assert answer["ui"]["animated"] == (True,)
    assert len(read_ledger(cloud.directory).messages) == 1


@pytest.mark.parametrize(
    ("message", "words"), [("credits", "available"), ("余额", "可用"), ("show tracks", "Timeline")]
)
def test_questions_about_the_account_and_the_draft_are_free(
    message: str, words: str, nodes: Nodes, host: Host, cloud: Any
) -> None:
    """Answered from the free endpoints, in the language of the handle; nothing behind video_path runs."""
    session = generated(nodes, host, "nemo", "zh-CN" if words == "可用" else "en")

    answer = host.run(nodes["NemoChat"], session=session, message=message, seed=0)

    assert words in answer["result"][1]
    assert answer["ui"]["text"] == [answer["result"][1]]
    assert answer["ui"]["nemo"][0]["text"] == answer["result"][1]
    assert isinstance(answer["result"][2], Blocker)
    assert len(read_ledger(cloud.directory).messages) == 1


def test_a_file_name_in_a_chat_says_which_node_uploads(nodes: Nodes, host: Host) -> None:
    """A chat has no pictures of its own."""
    answer = host.run(nodes["NemoChat"], session=generated(nodes, host), message="holiday.jpg", seed=0)

    assert "NemoVideo Upload" in answer["result"][1]


def test_everything_else_goes_to_the_agent_once(nodes: Nodes, host: Host, cloud: Any) -> None:
    """The draft changes; the same message again finds its answer."""
    session = generated(nodes, host, "nemo")
    first = host.run(nodes["NemoChat"], session=session, message="make it 2 seconds", seed=0)
    again = host.run(nodes["NemoChat"], session=session, message="make it 2 seconds", seed=0)

    assert first["result"][0] != session
    assert again["result"][:2] == first["result"][:2]
    assert len(read_ledger(cloud.directory).messages) == 2
    assert said(host) == again["result"][1], "the answer stands under the node"
    assert "nothing charged" in host.texts[-2][1]


def test_the_balance_is_read_anew_each_time(nodes: Nodes, host: Host, cloud: Any) -> None:
    """Whole numbers for other nodes, and a line of text in the node."""
    chosen = auth(nodes, host, "nemo")
    before = host.run(nodes["NemoCredits"], auth=chosen)
    session = generated(nodes, host, "nemo")
    after = host.run(nodes["NemoCredits"], auth=chosen, session=session)

    assert before["result"][:3] == (1000, 0, 1000)
    assert after["result"][0] == 900
    assert after["ui"]["text"] == [after["result"][3]]
    assert after["ui"]["nemo"][0]["text"] == after["result"][3]
    assert "900" in after["result"][3]
    stamp = host.is_changed(nodes["NemoCredits"])
    assert stamp != stamp, "not equal even to itself"


def test_the_timeline_is_a_picture_to_scale(nodes: Nodes, host: Host) -> None:
    """Words, a picture with the photograph in it, and the draft as JSON."""
    session = generated(nodes, host)

    answer = host.run(nodes["NemoTimeline"], session=session)

    summary, image, draft = answer["result"]
    assert summary.startswith("Timeline (")
    assert answer["ui"]["text"] == [summary]
    assert answer["ui"]["nemo"][0]["text"] == summary
    assert (image.shape[0], *image.shape[2:]) == (1, 1280, 3)
    assert json.loads(draft)["t"]


# --- Lists, limits, words under the node ------------------------------------------------------------------------------


def test_max_credits_is_for_the_whole_list(nodes: Nodes, host: Host, cloud: Any) -> None:
    """Three items of about 100 each with 250: two are made, one says why not; run again, it is made, too."""
    inputs = {
        "image": picture(96, 72, batch=3), "batch_mode": "one video per image", "profile": "nemo",
        "filename_prefix": "video/NemoVideo", "on_item_error": "skip", **QUICK, **SMALL,
    }  # fmt: skip

    first = host.run(nodes["NemoImageToVideo"], **inputs, max_credits=250)
    told = said(host)
    second = host.run(nodes["NemoImageToVideo"], **inputs, max_credits=250)

    made = [path for path in first["result"][1] if not isinstance(path, Blocker)]
    assert len(made) == 2
    assert "2 of 3 finished" in told
    assert "max_credits" in told
    assert "200 credits, 800 left" in told  # "≤" where they overlapped
    assert set(made) < set(second["result"][1])
    assert "100 credits, 700 left" in said(host)
    assert len(read_ledger(cloud.directory).messages) == 3


def test_a_limit_of_one_item_is_an_error(nodes: Nodes, host: Host, cloud: Any) -> None:
    """Nothing is sent."""
    inputs = {"image": picture(96, 72), "profile": "nemo", "filename_prefix": "a", **QUICK}
    with pytest.raises(LimitError):
        host.run(nodes["NemoImageToVideo"], **inputs, max_credits=50)
    assert read_ledger(cloud.directory).messages == ()


def test_failed_items_are_listed_under_the_node(nodes: Nodes, host: Host) -> None:
    """With their number and the reason, whether they are skipped or stop the run."""
    inputs = {
        "image": picture(96, 72, batch=2), "batch_mode": "one video per image", "profile": "local preview",
        "filename_prefix": "video/NemoVideo", **QUICK, **SMALL, "prompt": ["slow push-in", ""],
    }  # fmt: skip
    with pytest.raises(JobError):
        host.run(nodes["NemoImageToVideo"], **inputs, on_item_error="stop")

    assert said(host).splitlines()[0].startswith("1 of 2 finished · Done")
    assert said(host).splitlines()[1].startswith("Item 2 failed: ")


def test_what_it_takes_and_how_long_stands_under_the_node(nodes: Nodes, host: Host, cloud: Any) -> None:
    """The price while it is at work, what was paid and what is left after it."""
    cloud.faults.add(Fault("stall", "message", seconds=1.5))
    generated(nodes, host, "nemo")

    assert any("about 100 credits" in text for _, text in host.texts)
    assert "Done" in said(host)
    assert "100 credits, 900 left" in said(host)


# --- What made it stands in the file -------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["mp4", "mov", "webm", "mkv"])
def test_the_file_carries_prompt_and_workflow(format: str, nodes: Nodes, host: Host) -> None:
    """As ComfyUI's own Save Video writes them, so that dropping the video on the graph restores it."""
    host.hidden = {"PROMPT": {"1": {"class_type": "NemoExportRender"}}, "EXTRA_PNGINFO": {"workflow": {"nodes": ["é"]}}}
    export = host.run(
        nodes["NemoExportRender"], session=[generated(nodes, host)], filename_prefix="a", **{**SMALL, "format": format}
    )
    with av.open(export["result"][1][0]) as container:
        tags = {name.lower(): value for name, value in container.metadata.items()}
        frames = sum(1 for _ in container.decode(video=0))

    assert json.loads(tags["prompt"]) == host.hidden["PROMPT"]
    assert json.loads(tags["workflow"]) == {"nodes": ["é"]}
    assert frames == 30
    info = json.loads(export["result"][3][0])
    assert "class_type" not in json.dumps(info)


def test_the_host_can_switch_that_off(nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """ComfyUI's --disable-metadata."""
    import sys

    monkeypatch.setattr(sys.modules["comfy.cli_args"].args, "disable_metadata", True)
    host.hidden = {"PROMPT": {"1": "marked"}, "EXTRA_PNGINFO": {"workflow": "marked"}}
    export = host.run(nodes["NemoExportRender"], session=[generated(nodes, host)], filename_prefix="a", **SMALL)

    assert b"marked" not in Path(export["result"][1][0]).read_bytes()


def test_a_format_without_a_place_for_it_is_delivered_all_the_same(nodes: Nodes, host: Host) -> None:
    """GIF holds none."""
    host.hidden = {"PROMPT": {"1": "marked"}}
    export = host.run(
        nodes["NemoExportRender"], session=[generated(nodes, host)], filename_prefix="a", **{**SMALL, "format": "gif"}
    )

    assert Path(export["result"][1][0]).read_bytes().startswith(b"GIF8")


# --- The language of the page -----------------------------------------------------------------------------------------


def test_words_are_in_the_language_of_the_page(nodes: Nodes, host: Host) -> None:
    """Where neither NEMO_LANG nor the handle names one: errors from anywhere in a node, and the text under it."""
    settings = Path(host.folder("user")) / "default" / "comfy.settings.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps({"Comfy.Locale": "zh"}))
    chosen = auth(nodes, host)

    with pytest.raises(InputError, match=r"[\u4e00-\u9fff]"):
        host.run(nodes["NemoUploadMedia"], auth=chosen)
    with pytest.raises(InputError, match=r"[\u4e00-\u9fff]"):
        host.run(nodes["NemoExportRender"], session=[generated(nodes, host)], filename_prefix="../x", **SMALL)
    host.run(nodes["NemoTimeline"], session=generated(nodes, host))
    assert "时间线" in said(host)
    with pytest.raises(InputError, match="exactly one"):
        host.run(nodes["NemoUploadMedia"], auth=auth(nodes, host, language="en"))


def test_words_are_in_the_language_of_the_browser_that_queued(pack: Any, nodes: Nodes, host: Host) -> None:
    """ComfyUI's settings name no language where the page speaks the browser's own; each page has its own."""
    note = sys.modules[f"{pack.__name__}.nodes._comfy.host"].note_page_language
    made = generated(nodes, host)
    for page in (f"{host.client_id} zh", "another en", "", f"{'c' * 80} en"):
        note(page)
    host.run(nodes["NemoTimeline"], session=made)
    assert "时间线" in said(host)
    note(f"{host.client_id} <b>")
    with pytest.raises(InputError, match="exactly one"):
        host.run(nodes["NemoUploadMedia"], auth=auth(nodes, host))


def spoken_by(host: Host) -> list[str]:
    """What the sessions of the built-in backend speak, in no order."""
    found = (home() / "local" / "sessions").glob("*/session.json")
    return sorted(json.loads(path.read_text())["language"] for path in found)


def page_in(host: Host, locale: str) -> None:
    """Set the language of ComfyUI's page."""
    settings = Path(host.folder("user")) / "default" / "comfy.settings.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps({"Comfy.Locale": locale}))


@pytest.mark.parametrize(("locale", "spoken"), [("zh", "zh-CN"), ("pt-BR", "pt"), ("ar", "en"), ("ru", "ru")])
def test_an_upload_without_a_prompt_speaks_the_language_of_the_page(
    locale: str, spoken: str, nodes: Nodes, host: Host
) -> None:
    """The prompt comes later, in another node."""
    page_in(host, locale)
    host.run(
        nodes["NemoUploadImage"], auth=auth(nodes, host), image=picture(96, 72), batch_mode="all images in one video"
    )

    assert spoken_by(host) == [spoken]


@pytest.mark.parametrize(
    ("prompt", "spoken"),
    [
        ("让图片慢慢动起来，1 秒", ["en", "zh-CN"]),
        ("ゆっくりズームイン、1秒", ["en", "ja"]),
        ("천천히 확대해 줘, 1초", ["en", "ko"]),
        ("сделай видео из картинки, 1 сек", ["en", "ru"]),
        ("haz que se mueva la imagen, 1 segundo", ["en", "es"]),
        ("4K, 1 s", ["en"]),
        ("make it move, 1 second", ["en"]),
    ],
)
def test_a_prompt_in_another_language_is_said_in_a_session_that_speaks_it(
    prompt: str, spoken: list[str], nodes: Nodes, host: Host
) -> None:
    """In a graph of single nodes: the uploads are repeated once, and Queue finds all of it again."""
    chosen = auth(nodes, host)
    (sessions,) = host.run(
        nodes["NemoUploadImage"], auth=chosen, image=picture(96, 72), batch_mode="all images in one video"
    )
    first = host.run(nodes["NemoGenerateVideo"], session=sessions, **{**QUICK, "prompt": prompt})[0][0]
    again = host.run(nodes["NemoGenerateVideo"], session=sessions, **{**QUICK, "prompt": prompt})[0][0]

    assert spoken_by(host) == spoken
    assert (again, first.language) == (first, "auto")


def test_the_whole_way_in_one_node_speaks_the_prompts_language_at_once(nodes: Nodes, host: Host) -> None:
    """Before the page's."""
    page_in(host, "fr")
    host.run(
        nodes["NemoImageToVideo"], image=picture(96, 72), filename_prefix="a", profile="local preview",
        **{**QUICK, "prompt": "让图片慢慢动起来，1 秒"}, **SMALL,
    )  # fmt: skip

    assert spoken_by(host) == ["zh-CN"]


class AbstractVideo(ABC):
    """As ComfyUI's: a VIDEO that was put together of frames tells its source by encoding them into memory."""

    def get_stream_source(self) -> Any:
        self.save_to(io.BytesIO())

    @abstractmethod
    def save_to(self, target: Any, **_: Any) -> None: ...


@pytest.mark.parametrize(
    "error",
    [ValueError("Unexpected numpy array shape `(48, 64, 4)`"), av.error.ExternalError(542398533, "x"), OSError("no")],
)
def test_a_video_that_cannot_be_written_is_told_in_words(error: Exception, nodes: Nodes, host: Host) -> None:
    """From frames with transparency, of one pixel or of odd sizes; nothing is charged."""

    class Created(AbstractVideo):
        def save_to(self, target: Any, **_: Any) -> None:
            raise error

    with pytest.raises(InputError, match=r"cannot be saved as a file.*Nothing was charged"):
        host.run(nodes["NemoUploadMedia"], auth=auth(nodes, host), video=Created())


def test_a_mask_without_numbers_is_called_a_mask(nodes: Nodes, host: Host) -> None:
    """Not an image."""
    mask = tensor(np.full((1, 72, 96), np.nan, np.float32))

    with pytest.raises(InputError, match="The mask has invalid values"):
        host.run(
            nodes["NemoUploadImage"], auth=auth(nodes, host), image=picture(96, 72), mask=[mask],
            batch_mode="all images in one video",
        )  # fmt: skip

"""The renderer end to end: drafts become files, and the files are decoded and looked at."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from nemo_client.local.render import frames
from nemo_client.local.render.render import FRAMES_AHEAD, RenderCancelled, RenderError, ahead, render
from nemo_client.local.shared.fonts import missing_glyphs
from tests.local._render_helpers import (
    clip,
    draft,
    edge_of,
    edge_picture,
    picture,
    read,
    segment,
    sound,
    title,
    tone_file,
)

CODECS = {
    "mp4": {"video": "h264", "audio": "aac"},
    "mov": {"video": "h264", "audio": "aac"},
    "mkv": {"video": "h264", "audio": "aac"},
    "avi": {"video": "h264", "audio": "aac"},
    "webm": {"video": "vp9", "audio": "opus"},
    "gif": {"video": "gif"},
}
BT709, LIMITED = 1, 1


@pytest.fixture
def make(tmp_path):
    """Renders a draft and decodes the file; the assets default to one picture."""

    def make(given, assets=None, **options):
        assets = assets or {"photo": picture(tmp_path / "photo.png")}
        target = tmp_path / "video.part"
        render(given, assets, target, **options)
        return read(target)

    return make


@pytest.mark.parametrize("format", CODECS)
def test_every_format_decodes_as_promised(make, format):
    """Codecs, size, frame count, frame times and duration are those of the draft."""
    given = draft(segment(motion="push_in"), audio=[sound()], size=(160, 90), fps=25, length=1000)

    video = make(given, format=format, fps=25)

    assert video.codecs == CODECS[format]
    assert {(frame.width, frame.height) for frame in video.frames} == {(160, 90)}
    assert len(video.frames) == 25
    assert np.allclose(np.diff(video.times), 0.04, atol=0.0011)
    assert video.seconds == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("format", [format for format in CODECS if format != "gif"])
def test_video_is_tagged_and_says_that_it_is_a_preview(make, format):
    """BT.709, limited range, 4:2:0, a comment in the metadata, and a title."""
    video = make(draft(segment(length=200)), format=format)

    assert video.frames[0].format.name == "yuv420p"
    assert video.colours == (BT709, BT709, BT709, LIMITED) or format == "avi"
    assert video.frames[0].colorspace == BT709
    assert "local preview" in video.metadata["comment"]
    assert video.metadata["title"] == "project"


def test_the_badge_is_drawn_into_the_frames(make, tmp_path):
    """The lower right corner differs from a plain picture, the rest does not."""
    video = make(
        draft(segment(length=200), size=(640, 360)), {"photo": picture(tmp_path / "p.png", colour=(90, 90, 90))}
    )

    luma = video.luma(3).astype(int)
    differs = np.abs(luma - np.median(luma)) > 8
    rows, columns = np.nonzero(differs)
    assert differs.sum() > 100
    assert rows.min() > 300
    assert columns.min() > 480


@pytest.mark.parametrize(
    "colour", [(200, 30, 40), (20, 180, 60), (30, 60, 210), (250, 250, 250), (128, 128, 128), (5, 5, 5)]
)
@pytest.mark.parametrize("format", ["mp4", "webm", "gif"])
def test_a_colour_survives(make, tmp_path, colour, format):
    """A patch comes back within a few levels; GIF's palette and WebM's encoder may add a little."""
    video = make(
        draft(segment(length=200, motion="push_in"), size=(160, 90)),
        {"photo": picture(tmp_path / "p.png", colour=colour)},
        format=format,
    )

    patch = video.rgb(2)[20:50, 20:90].astype(int).mean(axis=(0, 1))
    assert np.abs(patch - colour).max() <= (3 if format == "mp4" else 5)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_pictures_are_upright_after_exif(make, tmp_path, turn):
    """A photograph stored on its side shows its top at the top."""
    image = Image.new("RGB", (400, 220), (40, 40, 200))
    image.paste((220, 40, 40), (0, 0, 400, 60))
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    (image.transpose(back[turn]) if turn in back else image).save(tmp_path / "p.jpg", exif=exif, quality=95)

    shown = make(draft(segment(length=100), size=(200, 110)), {"photo": tmp_path / "p.jpg"}).rgb(0).astype(int)

    assert shown[8, 20:180].mean(axis=0)[0] > 200
    assert shown[80, 20:100].mean(axis=0)[2] > 180


def test_the_motion_ends_where_the_draft_says(make, tmp_path):
    """A push-in by a quarter puts an edge a quarter farther from the centre, and gets there steadily."""
    path = edge_picture(tmp_path / "p.png", size=(1280, 720))

    video = make(draft(segment(motion="push_in")), {"photo": path})

    edges = [edge_of(video.luma(index)[:140]) for index in range(30)]
    assert edges[0] == pytest.approx(80, abs=0.3)
    assert edges[-1] == pytest.approx(160 - 80 * 1.25, abs=0.3)
    assert np.allclose(edges, 160 - 80 * np.linspace(1, 1.25, 30), atol=0.2)


def test_a_cross_fade_is_a_mix_in_the_middle(make, tmp_path):
    """Before it the first picture, halfway the mean of both, after it the second."""
    assets = {
        "a": picture(tmp_path / "a.png", colour=(200, 60, 60)),
        "b": picture(tmp_path / "b.png", colour=(60, 60, 200)),
    }
    given = draft(segment("a", 0, 1000), segment("b", 600, 1000, fade=400))

    video = make(given, assets)

    first, middle, last = (video.rgb(index)[30:90, 30:200].mean(axis=(0, 1)) for index in (16, 23, 32))
    assert np.allclose(first, (200, 60, 60), atol=4)
    assert np.allclose(middle, (130, 60, 130), atol=6)
    assert np.allclose(last, (60, 60, 200), atol=4)


def test_a_fade_without_overlap_holds_the_picture_before(make, tmp_path):
    """The first picture stays below the second until that one is opaque."""
    assets = {
        "a": picture(tmp_path / "a.png", colour=(200, 200, 200)),
        "b": picture(tmp_path / "b.png", colour=(200, 200, 200)),
    }

    video = make(draft(segment("a", 0, 500), segment("b", 500, 500, fade=300)), assets)

    assert all(video.luma(index)[30:90, 30:200].min() > 150 for index in range(len(video.frames)))


def test_where_no_shot_is_the_frame_is_dark(make):
    """A gap between two shots shows a dark ground, not the shot before."""
    video = make(draft(segment(start=0, length=300), segment(start=600, length=300)))

    assert [round(float(np.median(video.luma(index)))) for index in (4, 13, 22)] == [
        pytest.approx(103, abs=3), pytest.approx(20, abs=2), pytest.approx(103, abs=3)
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(1200, 200), (100, 900), (3, 400), (1, 1), (2000, 1)])
@pytest.mark.parametrize("motion", ["static", "push_in", "pan_left", "pan_down"])
def test_pictures_of_any_shape_fill_the_frame(make, tmp_path, size, motion):
    """Cropped, panned over, or shown whole before a darkened enlargement: never a bare ground."""
    path = picture(tmp_path / "p.png", size=size, colour=(230, 230, 230))

    video = make(draft(segment(length=100, motion=motion), size=(160, 90)), {"photo": path})

    assert min(video.luma(index)[:70].min() for index in range(3)) > 60
    assert np.median(video.luma(1)) > 100


def test_a_picture_much_narrower_than_the_frame_is_shown_whole(make, tmp_path):
    """A portrait in a wide frame keeps its top and bottom."""
    image = Image.new("RGB", (200, 400), (120, 120, 120))
    image.paste((250, 250, 250), (0, 0, 200, 40))
    image.paste((250, 250, 250), (0, 360, 200, 400))
    image.save(tmp_path / "p.png")

    shown = make(draft(segment(length=100), size=(320, 180)), {"photo": tmp_path / "p.png"}).luma(0)

    assert shown[4, 150:170].mean() > 200
    assert shown[175, 150:170].mean() > 200
    assert 40 < shown[90, 20] < 100


@pytest.mark.parametrize(("level", "ground"), [(20, 244), (230, 24)], ids=["dark drawing", "light drawing"])
def test_see_through_parts_get_a_ground_that_shows_the_drawing(make, tmp_path, level, ground):
    """A dark cut-out stands before light grey, a light one before dark grey."""
    image = Image.new("RGBA", (320, 180), (0, 0, 0, 0))
    image.paste((level, level, level, 255), (100, 50, 220, 130))
    image.save(tmp_path / "p.png")

    shown = make(draft(segment(length=100)), {"photo": tmp_path / "p.png"}).rgb(0).astype(int)

    assert shown[20, 20].mean() == pytest.approx(ground, abs=4)
    assert shown[90, 160].mean() == pytest.approx(level, abs=4)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16", "LA"])
def test_pictures_of_every_kind_of_pixels_are_read(make, tmp_path, mode):
    """Grey, bilevel, palette, print colours and 16 bits a channel."""
    suffix = "jpg" if mode == "CMYK" else "png"
    if mode == "I;16":
        Image.fromarray(np.full((180, 320), 200 * 257, np.uint16)).save(tmp_path / f"p.{suffix}")
    else:
        Image.new("L", (320, 180), 200 if mode != "1" else 255).convert(mode).save(tmp_path / f"p.{suffix}")

    shown = make(draft(segment(length=100)), {"photo": tmp_path / f"p.{suffix}"}).rgb(0)

    assert shown[40, 40].mean() == pytest.approx(255 if mode == "1" else 200, abs=6)


def test_the_first_frame_of_an_animated_gif_is_a_picture(make, tmp_path):
    """Animation in an image file is not played."""
    frames = [Image.new("RGB", (160, 90), (level, level, level)) for level in (200, 20)]
    frames[0].save(tmp_path / "p.gif", save_all=True, append_images=frames[1:], duration=50)

    video = make(draft(segment(length=300), size=(160, 90)), {"photo": tmp_path / "p.gif"})

    assert np.median(video.luma(8)) > 150


def test_a_title_is_drawn_while_it_lasts(make):
    """White letters in the lower half in its time, none after it."""
    video = make(draft(segment(), text=[title("Urban Dreams", 600)], size=(640, 360)))

    assert (video.luma(9)[180:330] > 215).sum() > 400
    assert (video.luma(25)[180:330] > 215).sum() == 0


@pytest.mark.skipif(bool(missing_glyphs("城市之梦")), reason="this machine has no font for Chinese")
def test_a_chinese_title_is_drawn(make):
    """With a font on the machine, Chinese letters are on the frame."""
    video = make(draft(segment(length=600), text=[title("城市之梦", 600)], size=(640, 360)))

    assert (video.luma(9)[180:330] > 215).sum() > 400


def test_a_bed_is_heard_and_fades_at_both_ends(make):
    """Quiet music in the middle, near silence at the very ends."""
    samples = make(draft(segment(length=3000, motion="static"), audio=[sound(3000)], size=(32, 18), fps=5)).samples

    loud = [float(np.abs(samples[:, at : at + 2400]).max()) for at in (0, 70_000, 141_000)]
    assert 0.02 < loud[1] < 0.5
    assert loud[0] < loud[1] / 3
    assert loud[2] < loud[1] / 3


def test_without_sound_the_track_is_there_and_silent(make):
    """Players and editors expect a sound track; it holds zeros."""
    video = make(draft(segment(length=500)))

    assert video.codecs["audio"] == "aac"
    assert np.abs(video.samples).max() < 1e-4


def test_an_uploaded_sound_is_played_at_its_volume(make, tmp_path):
    """A tone of half scale at half volume is a quarter; after its end there is silence."""
    assets = {"photo": picture(tmp_path / "p.png"), "song": tone_file(tmp_path / "song.mp3")}

    samples = make(draft(segment(length=2000), audio=[sound(2000, asset="song", volume=0.5)], fps=10), assets).samples

    assert np.abs(samples[:, 10_000:40_000]).max() == pytest.approx(0.25, abs=0.08)
    assert np.abs(samples[:, 60_000:]).max() < 0.01


def test_a_clip_is_played_with_its_sound_and_holds_its_last_frame(make, tmp_path):
    """Two seconds of clip in a shot of three: brighter frame by frame, then still and silent."""
    assets = {"v": clip(tmp_path / "v.mp4")}

    video = make(draft(segment("v", length=3000, kind="video"), size=(160, 90), fps=10), assets)

    levels = [float(np.median(video.luma(index))) for index in range(30)]
    assert all(np.diff(levels[:20]) > 3)
    assert np.allclose(levels[20:], levels[19], atol=2)
    assert np.abs(video.samples[:, 20_000:80_000]).max() > 0.3
    assert np.abs(video.samples[:, 110_000:]).max() < 0.01


def test_a_clip_keeps_its_own_time_in_another_frame_rate(make, tmp_path):
    """Ten frames a second shown at thirty: each stays for three."""
    assets = {"v": clip(tmp_path / "v.mp4", tone=False)}

    video = make(draft(segment("v", length=1000, kind="video"), size=(160, 90), fps=30), assets)

    levels = [float(np.median(video.luma(index))) for index in range(30)]
    assert [index for index in range(1, 30) if levels[index] - levels[index - 1] > 3] == list(range(3, 30, 3))


def test_a_clip_without_a_kind_is_known_by_its_file(make, tmp_path):
    """What the draft leaves open, the asset's file says; motion works on clips as well."""
    assets = {"v": clip(tmp_path / "v.mov", tone=False, luma=lambda index: 150)}

    video = make(draft(segment("v", length=300, kind=None, motion="push_in"), size=(160, 90)), assets)

    assert np.median(video.luma(5)) == pytest.approx(16 + 150 * 219 / 255, abs=3)


def test_progress_only_rises_and_ends_at_one(make):
    """Shares between 0 and 1."""
    heard = []

    make(draft(segment(length=500)), progress=heard.append)

    assert heard == sorted(heard)
    assert heard[0] > 0
    assert heard[-1] == 1.0


@pytest.mark.parametrize("format", ["mp4", "gif"])
def test_a_cancelled_render_leaves_nothing(tmp_path, format):
    """It stops within a frame of the wish, with RenderCancelled and without a file."""
    asked = []

    def cancelled():
        asked.append(True)
        return len(asked) > 5

    with pytest.raises(RenderCancelled):
        render(
            draft(segment(length=5000)),
            {"photo": picture(tmp_path / "p.png")},
            tmp_path / "video.part",
            format=format,
            cancelled=cancelled,
        )

    assert not (tmp_path / "video.part").exists()
    assert len(asked) == 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nemo-preview")]


def _broken(path):
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"not a picture" * 9)
    return path


def _text(path):
    path.write_text("no clip at all, only words " * 40)
    return path


def _playlist(path):
    clip(path.with_name("secret.mp4"))
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.mp4\n#EXT-X-ENDLIST\n")
    return path


def _postscript(path):
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\nshowpage\n")
    return path


def _cut(path):
    picture(path, size=(600, 400), quality=95)
    path.write_bytes(path.read_bytes()[:900])
    return path


BAD_ASSETS = {
    "an unknown id": (segment("other"), "photo.png", picture, "not here any more"),
    "bytes that are no picture": (segment("photo"), "photo.png", _broken, "cannot be decoded"),
    "half a picture": (segment("photo"), "photo.jpg", _cut, "cannot be decoded"),
    "words called a clip": (segment("photo", kind="video"), "photo.mp4", _text, "cannot be opened"),
    "a playlist of other files": (segment("photo", kind="video"), "photo.m3u8", _playlist, "cannot be opened"),
    "a program for a printer": (segment("photo"), "photo.png", _postscript, "cannot be decoded"),
    "a clip called a picture": (segment("photo"), "photo.mp4", clip, "cannot be decoded"),
    "a file name for an id": (segment("/etc/hostname"), "photo.png", picture, "not here any more"),
}


@pytest.mark.parametrize(("shot", "name", "build", "words"), BAD_ASSETS.values(), ids=BAD_ASSETS)
def test_bad_assets_fail_with_words_and_leave_nothing(tmp_path, shot, name, build, words):
    """The reason says what is wrong and names no file of the server."""
    assets = {"photo": build(tmp_path / name)}

    with pytest.raises(RenderError, match=words) as caught:
        render(draft(shot), assets, tmp_path / "video.part")

    assert str(tmp_path) not in caught.value.reason
    assert not (tmp_path / "video.part").exists()


def test_a_picture_with_too_many_pixels_is_refused(tmp_path):
    """A small file can claim a huge picture; it is refused before it is decoded."""
    path = tmp_path / "bomb.png"
    Image.new("1", (12_000, 9_000)).save(path)

    with pytest.raises(RenderError, match=r"too (large|many pixels)"):
        render(draft(segment()), {"photo": path}, tmp_path / "video.part")


def test_a_sound_without_sound_is_refused(tmp_path):
    """A music track that names a silent clip says so."""
    assets = {"photo": picture(tmp_path / "p.png"), "song": clip(tmp_path / "v.mp4", tone=False)}

    with pytest.raises(RenderError, match="no sound"):
        render(draft(segment(), audio=[sound(asset="song")]), assets, tmp_path / "video.part")


def test_a_folder_that_is_not_there_is_said(tmp_path):
    """The reason is the operating system's, without the path."""
    with pytest.raises(RenderError, match="could not be written: no such file") as caught:
        render(draft(segment()), {"photo": picture(tmp_path / "p.png")}, tmp_path / "none" / "video.part")

    assert str(tmp_path) not in caught.value.reason


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_said(tmp_path):
    """The reason is the operating system's."""
    (tmp_path / "video.part").symlink_to("/dev/full")

    with pytest.raises(RenderError, match="no space left on device"):
        render(draft(segment()), {"photo": picture(tmp_path / "p.png")}, tmp_path / "video.part")


def test_frames_held_are_bounded():
    """However slowly they are taken, only a few are begun ahead, and they come in order."""
    begun, most = 0, 0

    def source():
        nonlocal begun
        for index in range(40):
            begun += 1
            yield index

    with ThreadPoolExecutor(2) as pool:
        taken = 0
        for index, value in enumerate(ahead(pool, lambda given: given * 2, source(), FRAMES_AHEAD)):
            most = max(most, begun - taken)
            taken += 1
            assert value == index * 2

    assert taken == 40
    assert most <= FRAMES_AHEAD


def test_pictures_held_are_bounded(tmp_path, monkeypatch):
    """Of twenty pictures in a row, each is loaded once, shortly before its shot."""
    loaded = []
    real = frames.load_picture

    def counting(path, frame, motion):
        loaded.append((path.name, stages[0]))
        return real(path, frame, motion)

    stages = [0.0]
    monkeypatch.setattr(frames, "load_picture", counting)
    assets = {f"p{n}": picture(tmp_path / f"p{n}.png", size=(32, 18)) for n in range(20)}
    given = draft(*[segment(f"p{n}", length=1000) for n in range(20)], size=(32, 18), fps=10)

    render(given, assets, tmp_path / "video.part", progress=lambda share: stages.__setitem__(0, share))

    assert sorted(name for name, _ in loaded) == sorted(f"p{n}.png" for n in range(20))
    assert all(share >= (int(name[1:-4]) - 4) / 20 for name, share in loaded)

"""Words become drafts, drafts are changed by words: pure functions."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_client.local.agent.director import Scene, plan
from nemo_client.local.agent.phrases import LAST, read
from nemo_client.local.agent.timeline import RATIOS, from_draft, nearest_ratio, size_of
from tests.support.waiting import measure_growth

ANIMATE = "turn this image into a 5-second animated video clip with smooth motion"


def asset(number=1, kind="image", size=(1080, 1920), duration=None):
    return {
        "id": f"asset_{number}",
        "filename": f"file{number}.png",
        "kind": kind,
        "stored": "",
        "hash": "",
        "width": size[0],
        "height": size[1],
        "duration": duration,
        "fps": None,
    }


def scene(*assets, draft=None, language="en", missing=lambda text: ""):
    return Scene(assets or (asset(),), draft or {}, language, "project", missing)


def made(message, *assets, draft=None):
    """The draft that a message ends in."""
    found = plan(message, scene(*assets, draft=draft))
    assert found.stages, found.reply
    return found.stages[-1].draft


def changed(message, *assets, first=ANIMATE):
    """The draft after a first message and this one."""
    return made(message, *assets, draft=made(first, *assets))


def video(draft):
    return draft["t"][0]["sg"]


def track(draft, kind):
    return [segment for entry in draft["t"] if entry["tt"] == kind for segment in entry["sg"]]


# --- duration ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        (ANIMATE, 5),
        ("animate it, 8 seconds", 8),
        ("animate it for 7s", 7),
        ("animate it for 2.5 sec", 2.5),
        ("a five-second video", 5),
        ("ten seconds of slow push-in", 10),
        ("half-day trip, 1 minute", 60),
        ("5秒视频", 5),
        ("做成十秒的视频", 10),
        ("十二秒", 12),
        ("时长改成8秒", 8),
        ("二十五秒钟的短片", 25),
        ("make it 500 seconds", 60),
        ("0 seconds", 1),
        ("10 seconds, no, 6 seconds", 6),
        ("an 80s style portrait", None),
        ("like in the 80s", None),
        ("shot in 1980s style with 35mm", None),
        ("with a 2-second cross-fade", None),
        ("title for 3 seconds", None),
        ("3 seconds each", None),
    ],
)
def test_durations(message, seconds):
    """Digits and words, both languages, bounded; of several the last; never a fade's, a title's or a decade."""
    assert read(message).seconds == seconds


@pytest.mark.parametrize("message", ["3 seconds each", "each picture for 3 seconds", "每张3秒", "3 seconds per image"])
def test_durations_of_each_picture(message):
    """Multiplied by their number."""
    assert read(message).seconds_each == 3
    assert made(message, asset(1), asset(2), asset(3))["d"] == 9000


# --- ratio ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "ratio"),
    [
        ("make a 9:16 video", "9:16"),
        ("Aspect ratio: 21:9.", "21:9"),
        ("画幅16：9", "16:9"),
        ("4x5 please", "4:5"),
        ("vertical video", "9:16"),
        ("make it vertical", "9:16"),
        ("make it a landscape video", "16:9"),
        ("landscape, 5 seconds", "16:9"),
        ("turn it square", "1:1"),
        ("make it square", "1:1"),
        ("change the format to square", "1:1"),
        ("竖屏视频", "9:16"),
        ("改成横屏", "16:9"),
        ("正方形", "1:1"),
        ("a portrait of my mother", None),
        ("a landscape with mountains", None),
        ("the market square at night", None),
        ("at 10:30 in the morning", None),
        ("16:10", None),
        ("5 seconds, 2026-11:16", None),
        ("landscape video, 9:16", "9:16"),
    ],
)
def test_ratios(message, ratio):
    """Numbers before words; words only where they speak of the format, not of the picture."""
    assert read(message).ratio == ratio


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        ("9:16", (1080, 1920)),
        ("16:9", (1920, 1080)),
        ("1:1", (1080, 1080)),
        ("4:5", (1080, 1350)),
        ("3:4", (1080, 1440)),
        ("4:3", (1440, 1080)),
        ("21:9", (1920, 822)),
    ],
)
def test_sizes(ratio, size):
    """Even, at most 1920 by 1080, and recognised again."""
    assert size_of(ratio) == size
    assert nearest_ratio(size[0] / size[1]) == ratio


@pytest.mark.parametrize(
    ("size", "ratio"),
    [((4000, 3000), "4:3"), ((1080, 1920), "9:16"), ((3000, 1000), "21:9"), ((512, 512), "1:1"), ((2, 3), "3:4")],
)
def test_without_a_ratio_the_picture_decides(size, ratio):
    """The nearest supported one of the first picture, upright."""
    draft = made(ANIMATE, asset(size=size))

    assert (draft["m"]["width"], draft["m"]["height"]) == size_of(ratio)


# --- motion -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "motions"),
    [
        ("slow zoom in", ("push_in",)),
        ("a gentle push-in", ("push_in",)),
        ("dolly in on the face", ("push_in",)),
        ("缓慢推进的镜头", ("push_in",)),
        ("zoom out slowly", ("pull_out",)),
        ("pull back to reveal", ("pull_out",)),
        ("镜头拉远", ("pull_out",)),
        ("pan left", ("pan_left",)),
        ("pan the camera slowly to the left", ("pan_left",)),
        ("the camera slides right", ("pan_right",)),
        ("a left-to-right move", ("pan_right",)),
        ("tilt up", ("pan_up",)),
        ("从右到左平移", ("pan_left",)),
        ("镜头向右移动", ("pan_right",)),
        ("上移", ("pan_up",)),
        ("往下", ("pan_down",)),
        ("static shot", ("static",)),
        ("keep the camera still", ("static",)),
        ("without any motion", ("static",)),
        ("静止镜头", ("static",)),
        ("don't zoom in, keep it static", ("static",)),
        ("no zooming", ("static",)),
        ("do not pan left", ("static",)),
        ("zoom in then pan right", ("push_in", "pan_right")),
        ("first pan left, then zoom out", ("pan_left", "pull_out")),
        ("turn this still image into a video", ()),
        ("trees moving in the wind", ()),
        ("smooth motion", ()),
        ("the left side of the house", ()),
    ],
)
def test_motions(message, motions):
    """The camera's, in the order they are named; negated ones do not count."""
    assert read(message).motions == motions


@pytest.mark.parametrize(
    ("message", "motion"),
    [
        (ANIMATE, {"type": "push_in", "amount": 0.12}),
        ("animate, pan left", {"type": "pan_left", "amount": 0.25}),
        ("animate, slow zoom out", {"type": "pull_out", "amount": 0.12}),
        ("animate with a dramatic zoom in", {"type": "push_in", "amount": 0.4}),
    ],
)
def test_motion_amounts(message, motion):
    """Gentle unless a motion is named; slow and dramatic say how far."""
    assert video(made(message))[0]["m"]["motion"] == motion


def test_one_picture_with_motions_in_turn_becomes_a_sequence():
    """Only when the words say that one follows the other."""
    draft = made("zoom in then pan right, 6 seconds")

    assert [segment["m"]["motion"]["type"] for segment in video(draft)] == ["push_in", "pan_right"]
    assert draft["d"] == 6000
    assert len(video(made("zoom in and pan right"))) == 1


# --- sequences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1, 2, 3, 5, 7.3, 10, 60])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_sequence_lasts_exactly_as_long_as_asked(count, seconds):
    """Overlaps counted; each segment begins where the one before it begins to fade."""
    draft = made(f"animate for {seconds} seconds", *(asset(number) for number in range(count)))
    segments = video(draft)
    expected = max(round(seconds * 1000), 500 * count)

    assert draft["d"] == segments[-1]["st"] + segments[-1]["d"] == expected
    assert segments[0]["st"] == 0
    assert "transition" not in segments[0]["m"]
    for before, segment in pairwise(segments):
        fade = segment["m"]["transition"]
        assert fade["type"] == "cross_fade"
        assert 0 < fade["d"] <= min(600, before["d"] // 2)
        assert segment["st"] == before["st"] + before["d"] - fade["d"]


def test_several_pictures_keep_their_order_and_take_turns_in_motion():
    """One motion for each, around again when there are fewer."""
    draft = made("pan left, then pan right, 9 seconds", asset(1), asset(2), asset(3))

    assert [segment["m"]["asset"] for segment in video(draft)] == ["asset_1", "asset_2", "asset_3"]
    assert [segment["m"]["motion"]["type"] for segment in video(draft)] == ["pan_left", "pan_right", "pan_left"]


def test_hard_cuts_and_longer_fades():
    """By the words for them."""
    assert all("transition" not in segment["m"] for segment in video(made("hard cuts", asset(1), asset(2))))
    assert video(made("10 seconds with a 1-second cross-fade", asset(1), asset(2)))[1]["m"]["transition"]["d"] == 1000


def test_clips_and_sounds_of_the_session_are_used():
    """A clip keeps its length and stands still; a sound is the music instead of the quiet bed."""
    draft = made(ANIMATE.replace("5-second ", ""), asset(1, "video", duration=4.2), asset(2, "audio", (None, None)))
    (clip,) = video(draft)
    (music,) = track(draft, 1)

    assert (clip["d"], clip["m"]["kind"], "motion" in clip["m"]) == (4200, "video", False)
    assert music["m"] == {"title": "file2.png", "volume": 0.8, "source": "upload", "asset": "asset_2"}


# --- titles and music -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ('add title "Urban Dreams"', "Urban Dreams"),
        ("add the title “Urban Dreams” please", "Urban Dreams"),
        ("add a title 'Urban Dreams'", "Urban Dreams"),
        ("add a title: Urban Dreams", "Urban Dreams"),
        ("add a title that says Summer at last, 5 seconds", "Summer at last"),
        ("change the title to Winter", "Winter"),
        ("add a title Bread and Roses and make it 9 seconds", "Bread and Roses"),
        ('with "Hello" as the caption', "Hello"),
        ('titled "Don\'t stop"', "Don't stop"),
        ("添加标题“城市之梦”", "城市之梦"),
        ("标题改成夏天，5秒", "夏天"),
        ("加标题：你好", "你好"),
        ("加上文字「再见」", "再见"),
        ('add title "Pan left in 9 seconds, 16:9"', "Pan left in 9 seconds, 16:9"),
        ('title "' + "x" * 300 + '"', "x" * 200),
        ('title "a\tb\u202ec"', "a b c"),
        ("remove the title", None),
        ('remove the title "Urban Dreams"', None),
        ("删除标题“夏天”", None),
        ("add a title for me", None),
        ("make the title screen", None),
        ('she said "hello" to me', None),
    ],
)
def test_titles(message, title):
    """In quotes of every kind or after a colon; printable and bounded."""
    assert read(message).title == title


def test_the_words_of_a_title_are_no_wishes():
    """A title may say anything."""
    wishes = read('add title "Pan left in 9 seconds, 16:9, remove music"')

    assert (wishes.seconds, wishes.ratio, wishes.motions, wishes.remove) == (None, None, (), frozenset())
    assert read("add a title Bread and Roses and make it 9 seconds").seconds == 9


@pytest.mark.parametrize(
    ("message", "music"),
    [
        ("add music", True),
        ("with some quiet music", True),
        ("lo-fi please", True),
        ("加音乐", True),
        ("配上轻音乐", True),
        ("no music", False),
        ("without music", False),
        ("不要音乐", False),
        ("a music box on a table", False),
        ("a musician plays", False),
        ("a photo with a music stand", False),
    ],
)
def test_music(message, music):
    """Asked for, refused, or only a word in the picture's description."""
    assert read(message).music is music


def test_a_generation_has_quiet_music_unless_it_is_refused():
    """The second stage adds it, as on the cloud."""
    (music,) = track(made(ANIMATE), 1)

    assert music["m"] == {"title": "Lo-fi", "volume": 0.35, "source": "bed"}
    assert track(made(ANIMATE + ", no music"), 1) == []
    assert track(made(ANIMATE + ", music at 20%"), 1)[0]["m"]["volume"] == 0.2


def test_a_title_spans_at_most_three_seconds():
    """And no more than the video."""
    assert track(made('animate, 5 seconds, title "A"'), 7)[0]["d"] == 3000
    assert track(made('animate, 2 seconds, title "A"'), 7)[0]["d"] == 2000


# --- edits ------------------------------------------------------------------------------------------------------------


def test_an_edit_changes_only_what_it_names():
    """The rest of the draft stays as it was."""
    before = made(ANIMATE)
    after = made("make it 10 seconds", draft=before)

    assert after["d"] == 10_000
    assert video(after)[0]["m"] == video(before)[0]["m"]
    assert after["m"] == before["m"]
    assert track(after, 1)[0]["d"] == 10_000


@pytest.mark.parametrize(
    ("message", "check"),
    [
        ("change it to 16:9", lambda draft: draft["m"]["width"] == 1920),
        ("pan left instead", lambda draft: video(draft)[0]["m"]["motion"]["type"] == "pan_left"),
        ("slower", lambda draft: video(draft)[0]["m"]["motion"]["amount"] < 0.12),
        ("more motion", lambda draft: video(draft)[0]["m"]["motion"]["amount"] > 0.12),
        ("删除音乐", lambda draft: track(draft, 1) == []),
        ("把音乐去掉", lambda draft: track(draft, 1) == []),
        ("music at 60%", lambda draft: track(draft, 1)[0]["m"]["volume"] == 0.6),
        ("make the music louder", lambda draft: track(draft, 1)[0]["m"]["volume"] == 0.5),
        ("音乐小一点", lambda draft: track(draft, 1)[0]["m"]["volume"] == 0.2),
        ("添加标题“夏天”", lambda draft: track(draft, 7)[0]["m"]["text"] == "夏天"),
        ("10秒，竖屏，静止", lambda draft: (draft["d"], draft["m"]["width"]) == (10_000, 1080)),
    ],
)
def test_edits(message, check):
    """One wish each, or several at once."""
    assert check(changed(message, asset(size=(4000, 3000))))


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("remove the second clip", [1, 3]),
        ("delete the last image", [1, 2]),
        ("remove image 1", [2, 3]),
        ("删除第二张图片", [1, 3]),
        ("删掉最后一张", [1, 2]),
        ("去掉第一个片段", [2, 3]),
    ],
)
def test_clips_are_removed(message, left):
    """The video gets shorter; the first clip that is left fades from nothing."""
    draft = changed(message, asset(1), asset(2), asset(3))

    assert [segment["m"]["asset"] for segment in video(draft)] == [f"asset_{number}" for number in left]
    assert "transition" not in video(draft)[0]["m"]
    assert draft["d"] == video(draft)[-1]["st"] + video(draft)[-1]["d"] < 5000


def test_one_clip_of_several_is_moved():
    """The one that is named."""
    draft = changed("the second picture should pan left", asset(1), asset(2))

    assert [segment["m"]["motion"]["type"] for segment in video(draft)] == ["push_in", "pan_left"]


def test_new_pictures_are_added_to_the_end():
    """Those of the session that the draft does not show yet."""
    before = made(ANIMATE, asset(1))
    after = made("add this image at the end", asset(1), asset(2), draft=before)

    assert [segment["m"]["asset"] for segment in video(after)] == ["asset_1", "asset_2"]
    assert video(after)[1]["m"]["transition"]["d"] == 600


def test_a_title_is_removed():
    """And one that was never there is no edit."""
    assert track(changed("remove the title", first='animate, title "A"'), 7) == []
    assert plan("remove the title", scene(draft=made(ANIMATE))).kind == "answer"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("remove the first clip", "the only clip"),
        ("make it 5 seconds", "already like that"),
        ("make it more beautiful", "I left the video as it is"),
        ("thank you!", "I am the local preview"),
        ("What can you do?", "I am the local preview"),
        ("你好", "本地预览"),
    ],
)
def test_a_message_with_nothing_to_do_gets_an_answer(message, words):
    """Free, and the draft stays."""
    found = plan(message, scene(draft=made(ANIMATE)))

    assert (found.kind, found.stages) == ("answer", ())
    assert words in found.reply


@pytest.mark.parametrize(
    "message", ["animate it again", "generate a new video, pan left", "重新生成", "turn this image into a video clip"]
)
def test_a_draft_can_be_made_anew(message):
    """Words for a generation make one, also where there is a draft."""
    assert plan(message, scene(draft=made(ANIMATE))).kind == "generation"


@pytest.mark.parametrize("message", ["make the video 10 seconds", "make it vertical", "把视频改成8秒"])
def test_make_it_is_an_edit(message):
    """Not a new generation, which would cost twice as much."""
    assert plan(message, scene(asset(size=(4, 3)), draft=made(ANIMATE, asset(size=(4, 3))))).kind == "edit"


@pytest.mark.parametrize("message", ["a calm sunrise over the lake", "make it 8 seconds", "缓慢推进", "我的猫"])
def test_the_first_description_makes_a_video(message):
    """Without a draft anything that is no small talk is a generation."""
    assert plan(message, scene()).kind == "generation"


@pytest.mark.parametrize("message", ["hello", "Hi there!", "what can you do?", "谢谢", "你能做什么？"])
def test_small_talk_makes_nothing(message):
    """Also where a picture waits."""
    assert plan(message, scene()).kind == "answer"


def test_without_a_picture_it_asks():
    """In the language of the message."""
    empty = Scene((asset(1, "audio"),), {}, "en", "project", lambda text: "")

    assert plan(ANIMATE, empty).kind == "answer"
    assert "Upload" in plan(ANIMATE, empty).reply
    assert "上传" in plan("生成视频", empty).reply


def test_missing_glyphs_are_told_and_never_silent():
    """In the reply of a generation and of an edit."""
    missing = Scene((asset(),), {}, "en", "project", lambda text: "☃")
    found = plan('animate, title "☃"', missing)

    assert "☃" in found.reply
    edit = plan('add title "☃"', Scene((asset(),), made(ANIMATE), "en", "project", lambda text: "☃"))
    assert edit.must_speak
    assert "☃" in edit.reply


# --- nothing but numbers and text -------------------------------------------------------------------------------------


KEYS = {"t", "tt", "sg", "st", "d", "m", "title", "asset", "kind", "motion", "type", "amount", "transition"} | {
    "volume",
    "source",
    "text",
    "width",
    "height",
    "fps",
}


def keys(value):
    if isinstance(value, dict):
        return set(value).union(*(keys(item) for item in value.values()))
    return set().union(*(keys(item) for item in value)) if isinstance(value, list) else set()


WORDS = st.sampled_from(
    [
        "add title",
        "remove",
        "the second clip",
        '"asset": "/etc/passwd"',
        "5 seconds",
        "9:16",
        "pan left",
        "then",
        "music",
        "no",
        '"',
        "“",
        "第二张",
        "删除",
        "秒",
        "十",
        "../../key",
        "animate",
        "\n",
        "each",
        "%",
        "\x00",
        "volume",
        "add image",
    ]
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(WORDS, st.text(max_size=8)), max_size=12).map(" ".join))
def test_no_message_can_put_anything_but_text_and_numbers_into_a_draft(message):
    """Only known keys, only assets of the session, a draft that reads back as it was written."""
    first = made(ANIMATE, asset(1), asset(2))
    for draft in ({}, first):
        found = plan(message, scene(asset(1), asset(2), draft=draft))
        for stage in found.stages:
            json.dumps(stage.draft)
            assert keys(stage.draft) <= KEYS
            assert {segment["m"]["asset"] for segment in video(stage.draft)} <= {"asset_1", "asset_2"}
            assert {entry["tt"] for entry in stage.draft["t"]} <= {0, 1, 7}
            assert stage.draft["m"]["title"] == "project"
            timeline = from_draft(stage.draft)
            assert timeline is not None
            assert timeline.to_draft() == stage.draft
            assert timeline.ratio in RATIOS
            assert sum(len(entry["sg"]) for entry in stage.draft["t"]) < 60


@pytest.mark.parametrize(
    "unit",
    [
        "turn ",
        "add title ",
        '"',
        "第",
        "十",
        "5",
        "remove the ",
        "make it ",
        " ",
        "music ",
        "9:",
        "什么",
        "title",
        "pan ",
    ],
)
def test_a_hostile_message_cannot_keep_the_machine_busy(unit):
    """The longest message of one repeated piece is read in a moment."""
    assert measure_growth(read, (unit * 5_000)[:5_000], (unit * 20_000)[:20_000]) < 10


@pytest.mark.parametrize(
    ("message", "clip"), [("the 3rd image", 3), ("最后一张", LAST), ("clip 12", 12), ("第十一个", 11)]
)
def test_clips_are_counted(message, clip):
    """From one; the last by name."""
    assert read(message).clip == clip

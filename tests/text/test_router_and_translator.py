"""Routing and translating: both mistakes of the router, both languages, every kind of instruction."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_client._text.gui_translator import Action, Translated, read_request, route, translate
from nemo_client._text.prompts import compose_prompt, detect_language
from tests.support.waiting import measure_growth

# --- Routing ------------------------------------------------------------------------------------------------------

EXPORT = [
    "export",
    "Export!",
    "EXPORT",
    "ｅｘｐｏｒｔ",
    "please export it",
    "Please export the video.",
    "can you send me the video?",
    "download",
    "Download the video as mp4",
    "download it in 1080p",
    "export the final video",
    "export in high quality",
    "save the video",
    "send me the video",
    "Send me the final mp4 please",
    "could you export this as a gif?",
    "I want to download my video",
    "how do I download it?",
    "where can I download the video",
    "Looks great! Please export it.",
    "Thanks! Now export the video",
    "export the video to my computer",
    "export the video for instagram",
    "render the final video",
    "export without watermark",
    "give me the download link",
    "give me the video file",
    "export when it's ready",
    "download it so I can post it on instagram",
    "ok, export it 🎬",
    "video export",
    "export as mov",
    "导出",
    "导出！",
    "请导出",
    "导出视频",
    "帮我导出视频",
    "請匯出影片",
    "下載影片",
    "把视频导出来",
    "把视频发给我",
    "发给我视频",
    "导出成mp4",
    "导出为 MP4 格式",
    "下载到本地",
    "下载视频",
    "可以导出了吗",
    "怎么导出视频？",
    "视频在哪里下载",
    "好的，导出吧",
    "帮我 export 一下",
    "导出 video",
    "导出高清视频",
    "导出1080p",
    "把最终视频下载到电脑",
    "我想下载视频",
    "请把做好的视频发送给我",
    "下载链接",
    "保存视频",
    "start export",
    "export now",
    "Export the video, please",
    "Can I export it?",
    "“export”",
    "export it, thanks",
]
CREDITS = [
    "credits",
    "balance",
    "my credits",
    "check my balance",
    "how many credits do I have left?",
    "How many credits do I have",
    "what's my balance?",
    "show credits",
    "show my credits",
    "credits left",
    "remaining credits",
    "credit balance",
    "do I have enough credits?",
    "how much credit is left",
    "check account",
    "check billing",
    "积分",
    "余额",
    "余额？",
    "我还有多少积分",
    "查看余额",
    "积分还剩多少",
    "查一下积分",
    "還有多少積分",
    "我的余额是多少",
    "剩余积分",
    "账户余额",
    "积分够吗",
    "how many credits will this cost?",
    "balance please",
    "top up credits",
    "充值",
]
STATE = [
    "status",
    "Status?",
    "what's the status",
    "show tracks",
    "show me the tracks",
    "list tracks",
    "show the timeline",
    "show timeline",
    "what's in the timeline?",
    "current status",
    "is it done yet?",
    "is the video ready?",
    "progress",
    "how is it going",
    "project status",
    "video status",
    "状态",
    "狀態",
    "查看状态",
    "进度怎么样了",
    "显示轨道",
    "看看时间线",
    "视频好了吗",
    "做好了吗？",
    "生成进度",
    "现在到哪一步了",
    "当前状态",
    "列出轨道",
    "show the draft",
    "what tracks are there?",
    "任务状态",
    "完成了吗",
    "好了吗",
]
UPLOAD = [
    "upload",
    "upload a file",
    "upload this image",
    "upload my photo",
    "Upload an image please",
    "https://example.com/a.jpg",
    "upload https://example.com/a.jpg",
    "here is my photo: https://example.com/a.jpg",
    "上传",
    "上传图片",
    "我要上传一张照片",
    "上传一个视频",
    "帮我上传文件",
    "上传 https://example.com/a.png",
    "C:\\Users\\me\\a b.png",
    "/home/me/pic.jpeg",
    "photo.png",
    "怎么上传图片",
    "how do I upload a photo?",
    "https://a.example/1.jpg https://a.example/2.jpg",
    '"C:\\a\\b.png"',
]
AGENT = [
    "make a video about exporting coffee",
    "add a title saying 'Download now'",
    "status bar animation",
    "credits roll at the end",
    "把余额宝广告做成视频",
    "",
    "   ",
    "hi",
    "thanks!",
    "turn this image into a 5-second animated video clip with smooth motion",
    "export coffee documentary",
    "download button animation",
    "upload animation loader",
    "make the balance between music and voice better",
    "balance the colors",
    "white balance",
    "add end credits",
    "show credits at the end",
    "roll the credits",
    "show tracks of a train in the snow",
    "show a timeline of world war two",
    "state of the art car commercial",
    "status update video for my team",
    "send me to the moon",
    "send me a video of a cat",
    "download a video of cats and make it funny",
    "export the video and add music",
    "add music and export",
    "Export business explainer, 30 seconds",
    "a progress bar filling up",
    "upload my photo and make it move",
    "give me a video of a sunset",
    "render this image as a watercolor painting",
    "render a castle at night",
    "save the whales campaign video",
    "save water campaign",
    "balance beam gymnast",
    "credits: directed by Ann",
    "导出咖啡的纪录片",
    "做一个下载按钮动画",
    "加字幕“立即下载”",
    "积分商城宣传片",
    "状态栏动画",
    "积分兑换广告视频",
    "上传进度条动画",
    "给我发一个关于猫的视频",
    "火车轨道上的日出",
    "加个标题，然后导出",
    "把图片做成视频并导出",
    "下载中的进度条动画",
    "出口贸易宣传片",
    "时间线从左到右展开的动画",
    "生成视频",
    "让图片动起来",
    "添加音乐",
    "把标题改成“导出”",
    "余额不足的搞笑短片",
    "制作一个视频，展示积分增长",
    "make it longer",
    "add a title 'Export'",
    "change the title to Download",
    "Make a video: status",
    "the track is too loud",
    "remove the second track",
    "make the music track louder",
    "upload speed comparison video",
    "show the credits of the movie in star wars style",
    "a man downloads a file",
]


@pytest.mark.parametrize("message", EXPORT)
def test_a_request_for_the_file_is_an_export(message: str) -> None:
    """It must never reach the agent: the file is free, a message is not."""
    assert route(message) == "export"


@pytest.mark.parametrize("message", CREDITS)
def test_a_question_about_credits_is_answered_from_the_account(message: str) -> None:
    """Asking what is left must not cost anything."""
    assert route(message) == "credits"


@pytest.mark.parametrize("message", STATE)
def test_a_question_about_the_state_is_answered_from_the_state(message: str) -> None:
    """Reading is free."""
    assert route(message) == "state"


@pytest.mark.parametrize("message", UPLOAD)
def test_a_given_file_is_an_upload(message: str) -> None:
    """By word, or by a message that is nothing but files and links."""
    assert route(message) == "upload"


@pytest.mark.parametrize("message", AGENT)
def test_everything_else_is_for_the_agent(message: str) -> None:
    """The words of the table inside a creative request make no film if they are taken for the request."""
    assert route(message) == "agent"


def requests_of(language: str) -> Iterator[tuple[str, str]]:
    """The growing list of requests as people write them: who answers, and the words."""
    who = ""
    for line in (Path(__file__).parent / "intents" / f"{language}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            who = line.strip("[]")
        elif line and not line.startswith("#"):
            yield who, line


@pytest.mark.parametrize("language", ["en", "zh"])
def test_requests_as_people_write_them_are_answered_by_who_has_to(language: str) -> None:
    """Polite, curt, joined, with reasons and particles; and everything that only sounds like one of them."""
    asked = list(requests_of(language))

    assert sum(who == "agent" for who, _ in asked) > 190
    assert sum(who != "agent" for who, _ in asked) > 240
    assert [(who, route(text), text) for who, text in asked if route(text) != who] == []


FRAMES = ["{}", "{}!!", "{}。", "{} 🙏", "OK {}", "{}\n", "“{}”"]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_stands_around_a_request_does_not_take_it_from_the_agent(language: str, frame: str) -> None:
    """Punctuation, emoji and quotes make no export of a wish for the agent, nor the other way round.

    Each of them around every seventh request, not around the same ones.
    """
    for who, text in [*requests_of(language)][FRAMES.index(frame) :: len(FRAMES)]:
        if "://" not in text and "\\" not in text and "." not in text:
            assert route(frame.format(text)) == who, text


WISHES = {
    "Export 1080p MP4": ("mp4", "", "1080p", ""),
    "export as gif": ("gif", "", "", ""),
    "导出720p的webm": ("webm", "", "720p", ""),
    "download it as a mov file in 480p": ("mov", "", "480p", ""),
    "Please save the video as an MKV, 720 p, thanks": ("mkv", "", "720p", ""),
    "export at 1280x720": ("", "", "720p", ""),
    "export in 1920×1080 as .avi": ("avi", "", "1080p", ""),
    "full hd mp4 export please": ("mp4", "", "1080p", ""),
    "render it out in 4k": ("", "", "1080p", "4k"),
    "EXPORT IN 8K!": ("", "", "1080p", "8k"),
    "export in 2k as mp4": ("mp4", "", "1080p", "2k"),
    "export at 3840x2160": ("", "", "1080p", "3840x2160"),
    "export it in 1440p": ("", "", "1080p", "1440p"),
    "export it in 360p": ("", "", "480p", "360p"),
    "export it in 540p": ("", "", "720p", "540p"),
    "用4k导出": ("", "", "1080p", "4k"),
    "导出4K视频": ("", "", "1080p", "4k"),
    "导出全高清mp4": ("mp4", "", "1080p", ""),
    "导出标清的就行": ("", "", "480p", ""),
    "导成gif": ("gif", "", "", ""),
    "导出成动图": ("gif", "", "", ""),
    "export in the best quality": ("", "high", "", ""),
    "export low quality, small file": ("", "low", "", ""),
    "用中等画质导出": ("", "medium", "", ""),
    "导出低画质的": ("", "low", "", ""),
    "export": ("", "", "", ""),
}


@pytest.mark.parametrize(("message", "wish"), WISHES.items(), ids=WISHES)
def test_format_size_and_quality_of_an_export_are_taken_from_its_words(
    message: str, wish: tuple[str, str, str, str]
) -> None:
    """Sizes that there are not become the nearest one, and it is known what was asked for."""
    request = read_request(message)

    assert request.intent == "export"
    assert request.export is not None
    found = request.export
    assert (found.format, found.quality if not found.resolution else "", found.resolution, found.asked) == wish


@pytest.mark.parametrize("message", ["export in the highest resolution", "export the largest version", "导出最大尺寸"])
def test_the_largest_size_is_the_largest_there_is(message: str) -> None:
    """And the words say which one that is."""
    wish = read_request(message).export

    assert wish is not None
    assert wish.resolution == "1080p"
    assert wish.asked


@pytest.mark.parametrize(
    ("message", "format"),
    [
        ("make it warmer and export as gif", "gif"),
        ("export as gif and add subtitles", "gif"),
        ("Export it as a webm, and make it warmer", "webm"),
        ("导出成gif并加字幕", "gif"),
        ("Add music. Then export it as webm, please!", "webm"),
        ("trim it to 5 seconds and give me the mp4", "mp4"),
        ("把标题去掉再导出成mov", "mov"),
        ("加上字幕，导出gif", "gif"),
        ("remove the title, export", ""),
    ],
)
def test_an_edit_that_ends_in_an_export_is_for_the_agent_and_then_exported(message: str, format: str) -> None:
    """Both are done: the edit is paid, the export behind it is free."""
    request = read_request(message)

    assert request.intent == "agent"
    assert request.export is not None
    assert request.export.format == format


@pytest.mark.parametrize(
    "message",
    [
        "make the title say “buy and export”",
        "don't export it and add subtitles",
        "save water, add a tap",
        "export a cargo ship leaving the harbor, and add music",
        "不要导出，加字幕",
        '标题写"再见，导出"',
        "make it warmer",
        "export business explainer",
        "",
    ],
)
def test_an_export_in_quotes_or_in_a_title_is_none(message: str) -> None:
    """What stands in quotes is content."""
    assert read_request(message).export is None


@pytest.mark.parametrize(
    ("message", "files"),
    [
        ("here is my photo: https://x.example/a.jpg", ("https://x.example/a.jpg",)),
        ("https://a.example/1.jpg  https://a.example/2.jpg", ("https://a.example/1.jpg", "https://a.example/2.jpg")),
        ("这是我的照片 https://x.example/a.jpg", ("https://x.example/a.jpg",)),
        ('"C:\\a b.png"', ("C:\\a b.png",)),
        ("https://x.example/图片.png", ("https://x.example/图片.png",)),
        ("upload a photo", ()),
    ],
)
def test_an_upload_knows_the_files_that_it_names(message: str, files: tuple[str, ...]) -> None:
    """The words around an address are no file."""
    request = read_request(message)

    assert request.intent == "upload"
    assert request.files == files


@pytest.mark.parametrize(
    ("message", "intents", "price"),
    [
        ("export and show me my credits", ("credits", "export"), False),
        ("导出，顺便看一下积分", ("credits", "export"), False),
        ("show the status and my credits", ("state", "credits"), False),
        ("Is exporting free?", ("credits",), True),
        ("导出要积分吗", ("credits",), True),
        ("credits", ("credits",), False),
    ],
)
def test_free_requests_that_are_joined_are_all_answered(message: str, intents: tuple[str, ...], price: bool) -> None:
    """None of them needs the agent; the video comes last."""
    request = read_request(message)

    assert (*request.also, request.intent) == intents
    assert request.price is price


@pytest.mark.parametrize(
    "frame",
    ["{}", "  {}  ", "{}!", "{}。", "Please {}", "{} please", "OK, {}.", "{} 🎬", "Great! {}", "“{}”", "{}\n"],
)
@pytest.mark.parametrize("message", ["export the video", "check my balance", "show tracks", "upload a photo"])
def test_politeness_case_and_width_change_no_route(message: str, frame: str) -> None:
    """Full width, upper case, decomposed accents, punctuation, emoji."""
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in message)

    expected = route(message)
    assert expected != "agent"
    for variant in (message, message.upper(), message.title(), wide):
        assert route(frame.format(variant)) == expected
        assert route(unicodedata.normalize("NFD", frame.format(variant))) == expected


POLITE = ["{}", "请{}", "请帮我{}一下", "{}吧", "好的，{}！", "麻烦您{}，谢谢", "现在可以{}吗？", " {} "]


@pytest.mark.parametrize("frame", POLITE)
@pytest.mark.parametrize("message", ["导出视频", "查看余额", "显示轨道", "上传图片"])
def test_chinese_politeness_changes_no_route(message: str, frame: str) -> None:
    """Before the request, after it, and both."""
    expected = route(message)

    assert expected != "agent"
    assert route(frame.format(message)) == expected


@pytest.mark.parametrize("word", ["export", "导出", "credits", "余额", "status", "状态", "upload", "上传"])
@pytest.mark.parametrize("wish", ["and make the sky look like an oil painting ", "做成一个关于海边日落的温馨短片，"])
def test_long_creative_messages_are_never_kept_from_the_agent(word: str, wish: str) -> None:
    """A paragraph is no command, whatever it begins or ends with."""
    for message in (f"{word} {wish}", f"{wish} {word}", f"{word} {wish * 9}"):
        assert route(message) == "agent"


@given(st.text(max_size=80))
@settings(max_examples=50, deadline=None)
def test_no_message_raises(message: str) -> None:
    """Any text has a route, and the same one in any normal form."""
    assert route(message) == route(unicodedata.normalize("NFC", message))


LONG = [
    *(
        "把" + "这个" * 98,
        "导出" + "高" * 190 + "猫",
        "导出" + "文件视频" * 45 + "猫",
        "还有" * 98,
        "export " + "to my a " * 8,
    ),
    *("a" * 1_000_000, " " * 1_000_000 + "x", "https://a.example " * 60_000, "/" + "a." * 3000),
]


def steps(work: Callable[[], object]) -> int:
    """How many functions are called: the same on every machine."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("message", LONG, ids=lambda message: message[:12])
def test_no_message_takes_many_steps(message: str) -> None:
    """Neither repeated words nor a megabyte of text."""
    assert route("export") == route("导出") == "export"  # the rules are read

    assert route(message) in ("agent", "credits")
    assert steps(lambda: route(message)) < 30_000


@pytest.mark.parametrize(
    "piece", ["export it ", "the final video ", "make it warmer, and ", "好的视频", "我要", "积分"]
)
def test_steps_grow_with_the_words_of_a_message_not_with_the_ways_to_read_them(piece: str) -> None:
    """Four times the words take less than sixteen times the steps: nothing is tried again from the same place."""
    route(piece)
    once, more = (steps(lambda n=n: route(piece * n)) for n in (3, 12))

    assert more < 16 * once


# --- Translating --------------------------------------------------------------------------------------------------

UNTOUCHED = [
    "A man clicks a pen and opens a door.",
    "Scene 2: open the door slowly, then she drops the cup. Click the pen twice.",
    "Scene 1: open the settings panel on a phone.",
    "一个男人打开门，女孩点击手机屏幕。",
    'The title reads "Click Export now" in bold.',
    'I added a call to action: "Tap the link below!"',
    "已添加字幕“点击购买”，持续3秒。",
    "The woman opens the app and taps the Buy button.",
    "The camera drops into the canyon, the beat drops. Water drops fall.",
    "Your timeline has three tracks.",
    'Timeline (3 tracks): 1. Video: city timelapse (0-10s) 2. BGM: Lo-fi (0-10s, 35%) 3. Title: "Urban Dreams" (0-3s)',
    "You can see three tracks on the timeline: video, music and a title.",
    "Export complete: https://x.example/v.mp4",
    "视频已导出：https://x.example/v.mp4",
    "You could go for a slower intro section.",
    "Save the planet with this video idea.",
    "Open on a wide shot of the project site.",
    "Let me know what to change!",
    "I'll animate your photo with a slow push-in.",
    "The music was too loud, so I balanced it. Credits roll at the end.",
    "她打开项目计划书，镜头缓慢推进。",
    "女孩醒来后点击按钮，灯亮了。",
    "请问您想要什么风格？A. 复古 B. 未来 C. 点击播放的复古收音机",
    "Please select a style: cinematic, cartoon or retro.",
    "The final shot shows a hand opening the timeline app on a phone.",
    "You can download the app from the App Store — that's the CTA I wrote.",
    "Use warm colors and set the mood with soft light.",
    "First, a sunrise. Then pick up the pace. Finally, choose a bold title.",
    "Please upload a photo first. 请上传您的图片。",
    "Step 1: the seed. Step 2: the plant. Step 3: the tree.",
    "I moved the title up and lowered the music to 30%.",
    "Set the scene at dawn. Turn the lights down slowly, then lift the camera.",
    "Take a look at the new intro: it is 2 seconds shorter.",
    "The hero presses the Delete key and the screen goes black.",
    "Select a mood: calm, bold, or playful.",
    "Change the title to something shorter?",
    "He selects the second photo and presses delete.",
    "The music starts at 0:02 and the title at 0:03.",
    "1. A slow zoom on the harbor\n2. The title fades in\n3. Use of warm light throughout",
    "Scene 1: select the brightest star and press it to the sky.",
    "A hand moves the slider on the mixer while the crowd cheers.",
    "使用暖色调，营造温馨氛围。",
    "按照您的要求，已把音量调到30%。",
    "调整了滑块动画的速度，移动镜头更平稳。",
    "用空格把标题分成两行了。",
    "镜头一：主角选中照片，按下删除键，屏幕变黑。",
    "画面中，手指拖动滑块，灯光渐暗。",
    "已选择一首轻快的歌，从第2秒开始播放。",
    "Which of these would you like?\n\n1. A slow zoom\n2. A pan\n\n```\ncode\n```",
    "已为您把字号改为48。",
    "我已在时间线上添加了三段素材，并把音乐音量调到30%。",
    "镜头从窗口缓缓推进，男孩在界面前停下。",
    "在画面右侧添加了一只猫。",
    "如何处理背景音乐：我保留了原声，并降低了音量。",
    "您想在画面中填写什么标题？",
    "您可以告诉我把标题改为什么。",
    "要改成竖屏吗？请告诉我。",
    "关闭背景音乐后，整体更安静。",
    "网页设计师的一天：她在界面上修改文字。",
    "Do you want to make it longer? Let me know!",
    "",
]


@pytest.mark.parametrize("reply", UNTOUCHED)
def test_content_stays_word_for_word(reply: str) -> None:
    """Descriptions of films, facts about the project, questions, quoted words."""
    assert translate(reply) == Translated(reply)


TRANSLATED = [
    (
        "Your video is ready! Preview it in the timeline panel, or click Export to save it.",
        "Your video is ready!", ("timeline", "export"), (),
    ),
    (
        "好的，已为图片添加缓慢推进的镜头 🎬。点击导出按钮即可下载。",
        "好的，已为图片添加缓慢推进的镜头 🎬。", ("export",), (),
    ),
    ("I've added a slow zoom, click Export to download it.", "I've added a slow zoom.", ("export",), ()),
    ("I've added music and you can click the Export button.", "I've added music.", ("export",), ()),
    ("视频已准备好，点击右上角的“导出”按钮下载。", "视频已准备好。", ("export",), ()),
    ("Done! Open the Media panel to see your clips.", "Done!", ("state",), ()),
    ("完成。请打开左侧面板查看素材。", "完成。", ("state",), ()),
    ("Done! You can drag the title to the left if you prefer.", "Done!", (), ("Move the title to the left",)),
    ("Hi! Drag and drop your image into the canvas.", "Hi!", (), ("Move your image into the canvas",)),
    ("完成。把标题拖拽到左侧即可。", "完成。", (), ("把标题移动到左侧",)),
    ("Click Generate to create your video. It takes 2 minutes.", "It takes 2 minutes.", (), ("Generate the video",)),
    ('All set. Click "Add transition" to smooth the cut.', "All set.", (), ("Add transition",)),
    ("You have 3 credits. Please check your billing page.", "You have 3 credits.", ("credits",), ()),
    ("积分不足。请查看账户余额或前往账单页面充值。", "积分不足。", ("credits",), ()),
    ("Nice. Would you like me to export it?", "Nice.", ("export",), ()),
    ("好的。需要我导出视频吗？", "好的。", ("export",), ()),
    ("Great! Your clip (click Export) is 5 seconds long.", "Great! Your clip is 5 seconds long.", ("export",), ()),
    ("If you like it, your film is finished: click Export.", "your film is finished.", ("export",), ()),
    (
        "All done:\n- A slow zoom\n\nNext steps:\n- Click the Export button\n- Drag clips on the timeline\n\nEnjoy! 🎉",
        "All done:\n- A slow zoom\n\nEnjoy! 🎉", ("export",), ("Move clips on the timeline",),
    ),
    (
        "Ready 🎬 Click here to download: https://x.example/a.mp4?s=1.",
        "Ready 🎬 https://x.example/a.mp4?s=1", ("export",), (),
    ),
    ("Ready (click the link https://x.example/a).", "Ready https://x.example/a.", (), ()),
    (
        "视频已生成！您可以点击左侧的「预览」按钮查看效果，满意的话点击右上角「导出」即可下载高清视频。",
        "视频已生成！", ("timeline", "export"), (),
    ),
    ("您的积分不足，请前往账户页面充值后再试。", "您的积分不足。", ("credits",), ()),
    (
        "It is on your timeline. Simply drag the clips around or click on a clip to open the settings panel.",
        "It is on your timeline.", ("state",), ("Move the clips around",),
    ),
    (
        "Which image? You can upload one by clicking the + button or dragging it into the chat.",
        "Which image?", (), (),
    ),
    ('You\'re all set! Just click "Export" → choose MP4 → download.', "You're all set!", ("export",), ()),
]  # fmt: skip


TRANSLATED += [
    (
        "Your clip is ready. Preview it in the timeline and click 'Export'.",
        "Your clip is ready.", ("timeline", "export"), (),
    ),
    ("好了。在时间线中预览，然后点击‘导出’按钮。", "好了。", ("timeline", "export"), ()),
    ("Done. Go to Settings > Export.", "Done.", ("state", "export"), ()),
    ("Done. Go to File → Export → MP4 to save.", "Done.", ("export",), ()),
    ("完成。进入设置 > 导出。", "完成。", ("export",), ()),
    ("Check the timeline: the music starts at 0:02.", "the music starts at 0:02.", ("timeline",), ()),
    ("Look at the timeline: both titles end at 0:05.", "both titles end at 0:05.", ("timeline",), ()),
    ("Preview the timeline — the new song fades in at 0:02.", "the new song fades in at 0:02.", ("timeline",), ()),
    ("查看时间线：音乐从0:02开始。", "音乐从0:02开始。", ("timeline",), ()),
    ("Fine. Select the second clip and press Delete.", "Fine.", (), ("Delete the second clip",)),
    ("Fine. You can click on the title, then hit the Backspace key.", "Fine.", (), ("Delete the title",)),
    ("Fine. Right-click the first clip and choose Split.", "Fine.", (), ("Split the first clip",)),
    ("Fine. Hover over the clip and click the trash icon.", "Fine.", (), ("Delete the clip",)),
    ("Fine. Select the title and drag it to the left.", "Fine.", (), ("Move the title to the left",)),
    ("好的。选中第二个片段，按 Delete 键。", "好的。", (), ("删除第二个片段",)),
    ("好的。右键点击第二个片段，选择“删除”。", "好的。", (), ("删除第二个片段",)),
    ("好的。选中标题，然后把它拖到左侧。", "好的。", (), ("把标题移动到左侧",)),
    ("Fine. Drag the opacity slider to 80%.", "Fine.", (), ("Set the opacity to 80%",)),
    ("好的。将音量滑块拖到50%。", "好的。", (), ("把音量调到50%",)),
    ("Fine. Use the slider to lower the volume.", "Fine.", (), ()),
    ("好的。拖动滑块调整音量。", "好的。", (), ()),
    ("Done. Press Ctrl+S to save your project.", "Done.", (), ()),
    ("Done. Hit Cmd+E to export.", "Done.", ("export",), ()),
    ("Done. Press the space bar to play.", "Done.", ("timeline",), ()),
    ("完成。按空格键播放。", "完成。", ("timeline",), ()),
    ("完成。使用快捷键 Ctrl+E 导出。", "完成。", ("export",), ()),
    ("完成。在素材库中选择一首歌。", "完成。", (), ()),
    ("Done. Double-click the title to edit the text.", "Done.", (), ()),
    ("好的。把图片拖入上传区域。", "好的。", (), ()),
    ("好的。请将照片拖拽到对话框。", "好的。", (), ()),
    ("Fine. To shorten it, drag its right edge.", "Fine.", (), ()),
    ("Fine. You can trim a clip by dragging its edges.", "Fine.", (), ()),
    ("Fine. If you want to change the order, drag the clips around.", "Fine.", (), ()),
    ("好的。如果想调整顺序，拖动片段即可。", "好的。", (), ()),
    (
        "Done! 1. Select the second clip. 2. Press Delete. 3. Click Export.",
        "Done!", ("export",), ("Delete the second clip",),
    ),
    (
        "Done!\n\nHere's how:\n1. Click the clip on the timeline.\n2. Drag its edge to 5 s.\n3. Wait.",
        "Done!", ("timeline",), (),
    ),
    (
        "Done!\nFollow these steps:\n1. Open the media library\n2. Choose your song\n3. Click Export",
        "Done!", ("state", "export"), (),
    ),
    ("完成。\n步骤如下：\n1. 打开左侧面板\n2. 选择字幕\n3. 拖动到左侧", "完成。", ("state",), ()),
    ("Click 'Generate' to start, it costs 100 credits.", "A further edit is proposed.", (), ("Generate the video",)),
    (
        "All set! Next steps:\n1. Open the timeline\n2. Select the clip\n3. Adjust the speed slider\n4. Click Apply",
        "All set!", ("state",), (),
    ),
    (
        "It is done. First, click on Preview. Then choose the format. Finally, press Export.",
        "It is done.", ("timeline", "export"), (),
    ),
    ("Done. Step 1: Open the editor. Step 2: Choose a song. Step 3: Click Export.", "Done.", ("state", "export"), ()),
    ("Done. **Tip:** use the keyboard shortcut Ctrl + E to export.", "Done.", ("export",), ()),
    ("Fine. Click the three dots next to the clip and choose 'Remove'.", "Fine.", (), ("Delete the clip",)),
    ("Fine. Simply upload your logo by dragging it into the chat.", "Fine.", (), ()),
    ("完成。\n导出方法：\n① 点击导出按钮\n② 选择1080p\n③ 点击下载", "完成。", ("export",), ()),
    ("已添加音乐。您可以通过滑块调节音量。", "已添加音乐。", (), ()),
    ("好的。在时间线上选中音乐，右键选择删除。", "好的。", (), ("删除音乐",)),
    ("好的。请在左侧的素材库里上传您的图片。", "好的。", (), ()),
    ("好的。第一步：打开编辑器。第二步：选择片段。第三步：点击导出。", "好的。", ("state", "export"), ()),
    ("您可以在时间线查看：标题在第1秒淡入。", "标题在第1秒淡入。", ("timeline",), ()),
    ("好的。您可以在右侧面板中调整音量。", "好的。", (), ()),
    ("好的。在属性面板中把字号改为48。", "好的。", (), ("把字号改为48",)),
    ("好的。要修改标题，请点击标题文字并输入新的内容。", "好的。", (), ()),
    ("好的。双击字幕即可修改文字。", "好的。", (), ()),
    ("完成。您可以通过界面右侧的“导出”来保存视频。", "完成。", ("export",), ()),
    ("完成。滚动到页面底部，点击“下载”。", "完成。", ("state", "export"), ()),
    ("完成。您可以随时在网页上查看进度。", "完成。", ("state",), ()),
    ("完成。可在个人中心查看剩余积分。", "完成。", ("credits",), ()),
    ("好的。点击“+”号添加更多素材。", "好的。", (), ()),
    ("好的。将图片拖入画布即可添加。", "好的。", (), ("将图片移动到画布",)),
    ("好的。如何更换背景音乐：在左侧选择音频，点击替换。", "好的。", (), ()),
    ("好的。\n如何更换背景音乐：\n1. 在左侧选择音频\n2. 点击替换", "好的。", (), ()),
    ("好的。怎么修改字幕？双击字幕，输入新的文字。", "好的。", (), ()),
    ("视频已生成，导出方法：点击导出。", "视频已生成。", ("export",), ()),
    ("Done. How do I export? Click Export.", "Done.", ("export",), ()),
    ("Fine. How to remove it: select the track and press Delete.", "Fine.", (), ()),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "text", "actions", "proposals"), TRANSLATED, ids=[t[0][:40] for t in TRANSLATED])
def test_page_instructions_become_actions_and_proposals(
    reply: str, text: str, actions: tuple[Action, ...], proposals: tuple[str, ...]
) -> None:
    """What is free is an action; what costs is a proposal; links and emoji stay; the rest is as written."""
    assert translate(reply) == Translated(text, actions, proposals)


@pytest.mark.parametrize(
    ("reply", "lang", "text"),
    [
        ("Click Export.", "en", "The video can be exported."),
        ("Click Export.", "zh-CN", "视频已可导出。"),
        ("您可以在时间线中预览视频，也可以点击导出按钮。", "zh", "视频已可导出。"),
        ("Drag the title to the left.", "en", "A further edit is proposed."),
        ("请打开左侧面板。", "zh-CN", "无需在网页上操作。"),
        ("Open the timeline panel.", "de", "Nothing needs to be done on a page."),
    ],
)
def test_an_answer_of_instructions_only_still_says_something(reply: str, lang: str, text: str) -> None:
    """One plain sentence in the user's language instead of nothing."""
    assert translate(reply, lang).text == text


def test_proposals_are_in_the_language_of_the_user() -> None:
    """A button has no words of its own to repeat."""
    assert translate("点击生成按钮。", "zh-CN").proposals == ("生成视频",)
    assert translate("点击生成按钮。", "en").proposals == ("Generate the video",)


URL = "https://x.example/a?b=1"
FRAGMENTS = (
    "Click|click|Export|the|button|open|panel|you can|Drag|drop|and|or|then|it|your video|to|timeline|preview|. |! |? "
    """|, |: |; | — |(|)|“|”|"|'|🎬| |点击|导出|按钮|。|，|您可以|打开|面板|在时间线中|预览|把|标题|拖到|左侧|即可|**"""
    "|Step 1: |Then |select the clip|press Delete|Settings > Export|the slider|to 50%|use|①"
    "|第一步：|选中片段|按 Delete 键|滑块|通过|上传"
    "|I've added music|Your clip is ready|a man|he|if you like it|Next:|接下来：|[|]|…|account|check|save|generate"
)
fragments = st.lists(st.sampled_from([*FRAGMENTS.split("|"), "\n", "\n- ", "\n1. ", URL]), max_size=20)


@given(fragments | st.text(max_size=60).map(lambda text: [text]), st.sampled_from(["en", "zh-CN", ""]))
@settings(max_examples=80, deadline=None)
def test_translating_again_changes_nothing(parts: list[str], lang: str) -> None:
    """No instruction survives, no link is lost, no text becomes empty, and nothing raises."""
    reply = " ".join(parts)

    once = translate(reply, lang)
    assert translate(once.text, lang) == Translated(once.text)
    assert bool(once.text) == bool(reply.strip())
    assert (URL in once.text) == (URL in reply)
    assert len(set(once.actions)) == len(once.actions)
    assert all(len(proposal) <= 200 for proposal in once.proposals)


PIECES = [
    *(
        ".",
        "click ",
        '"',
        "“",
        " ",
        "Click Export. ",
        "点击导出按钮。",
        "点击",
        "(click ",
        "🎬 ",
        "- click Export\n",
        "a, ",
    ),
    *(
        "\n",
        "drag the x ",
        "! ",
        "*",
        "you can open ",
        "a:\n",
        "在",
        "go to ",
        "https://",
        "“点击” ",
        "请把标题拖到左侧，",
    ),
]


@pytest.mark.parametrize("piece", PIECES, ids=repr)
def test_no_text_makes_a_pattern_explode(piece: str) -> None:
    """The same piece over and over, then something that fits nowhere: four times the text is not 16 times the work."""
    short, long = (piece * (size // len(piece)) + "x" for size in (12_500, 50_000))

    assert measure_growth(translate, short, long) < 10


def test_long_answers_take_linear_time() -> None:
    """Four times the text takes about four times as long."""
    text = "".join(piece * 50 for piece in PIECES)
    short, long = ((text * (size // len(text) + 1))[:size] for size in (50_000, 200_000))

    assert measure_growth(translate, short, long) < 10


# --- Languages ----------------------------------------------------------------------------------------------------

SPOKEN = {
    "en": [
        "turn this image into a 5-second animated video clip with smooth motion",
        "make it longer", "slow zoom", "dance", "do it", "", "123 ???", "😀",
        "make a video of 北京 at night with slow motion", "Make a ラーメン video", "add title “你好”",
        "add a title '新年快乐' to the end", "die hard style explosion in the city", "https://x.example/视频.mp4",
    ],
    "zh-CN": [
        "把这张图片变成5秒的动画", "add 标题", "缓慢推进", "标题“Hello”", "把这张图做成 slow motion cinematic video",
        "讓圖片動起來", "「你好」", "鲜の每日推荐广告视频",
    ],
    "ja": ["この画像を5秒の動画にして", "ゆっくりズーム", "画像を動画に変換してください", "add タイトル"],
    "ko": ["이 이미지를 5초 동영상으로 만들어 줘", "add 제목", "천천히 확대"],
    "es": [
        "convierte esta imagen en un vídeo de 5 segundos con movimiento suave", "añade música",
        "haz que la foto se mueva lentamente",
    ],
    "fr": [
        "transforme cette image en une vidéo animée de 5 secondes avec un mouvement fluide", "ajoute de la musique",
        "fais bouger la photo",
    ],
    "de": [
        "verwandle dieses Bild in ein 5-Sekunden-Video mit sanfter Bewegung", "füge Musik hinzu",
        "mach das Bild lebendig",
    ],
    "pt": [
        "transforme esta imagem em um vídeo de 5 segundos com movimento suave", "adicione música",
        "faça um vídeo com esta foto",
    ],
    "ru": ["сделай из этой картинки видео", "медленный зум", "добавь музыку lo-fi"],
}  # fmt: skip


@pytest.mark.parametrize(("language", "text"), [(lang, text) for lang, texts in SPOKEN.items() for text in texts])
def test_the_language_of_a_prompt_is_known(language: str, text: str) -> None:
    """By script, weighed against Latin words; by common words among Latin languages; English when in doubt."""
    assert detect_language(text) == language
    assert detect_language(unicodedata.normalize("NFD", text)) == language


@given(st.text(max_size=60))
@settings(max_examples=40, deadline=None)
def test_every_text_has_a_language(text: str) -> None:
    """One of those that a session knows."""
    assert detect_language(text) in SPOKEN


LINES = {
    "slow zoom": "Duration: 5 seconds. Aspect ratio: 9:16.",
    "缓慢推进": "时长：5 秒。画面比例：9:16。",
    "ゆっくりズーム": "長さ：5秒。アスペクト比：9:16。",
    "천천히 확대": "길이: 5초. 화면 비율: 9:16.",
    "añade música": "Duración: 5 s. Relación de aspecto: 9:16.",
    "fais bouger la photo": "Durée : 5 s. Format d’image : 9:16.",
    "mach das Bild lebendig": "Dauer: 5 s. Seitenverhältnis: 9:16.",
    "faça um vídeo com esta foto": "Duração: 5 s. Proporção da tela: 9:16.",
    "медленный зум": "Длительность: 5 сек. Соотношение сторон: 9:16.",
}


@pytest.mark.parametrize(("prompt", "line"), LINES.items(), ids=[detect_language(prompt) for prompt in LINES])
def test_the_widgets_add_one_line_in_the_language_of_the_prompt(prompt: str, line: str) -> None:
    """The prompt as written, then duration and ratio; every language of the widget has its words."""
    assert compose_prompt(prompt, duration=5, aspect_ratio="9:16") == f"{prompt}\n{line}"
    assert {detect_language(known) for known in LINES} == SPOKEN.keys()


def test_nothing_is_added_where_the_widgets_leave_it_to_the_backend() -> None:
    """Duration 0 and ratio auto; one of them alone is said alone."""
    assert compose_prompt("slow zoom") == "slow zoom"
    assert compose_prompt("slow zoom", duration=1) == "slow zoom\nDuration: 1 second."
    assert compose_prompt("slow zoom", duration=2.5) == "slow zoom\nDuration: 2.5 seconds."
    assert compose_prompt("slow zoom", aspect_ratio="1:1") == "slow zoom\nAspect ratio: 1:1."


def test_a_prompt_goes_out_in_one_form() -> None:
    """NFC and LF, so that the same words are the same message; otherwise it is as written."""
    assert compose_prompt("e\u0301\r\nb\rc \n") == "é\nb\nc \n"
    assert compose_prompt("b \n", duration=5) == "b\nDuration: 5 seconds."
    assert re.fullmatch(r" {2}indented", compose_prompt("  indented"))


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("Scroll through the timeline to review your edit.", "timeline"),
        ("请到导出面板选择MP4格式。", "export"),
        ("您可以在账单页查看余额。", "credits"),
        ("打开个人中心即可看到积分。", "credits"),
        ("请在预览窗口播放看看。", "timeline"),
        ("滚动时间轴检查剪辑。", "timeline"),
    ],
)
def test_pages_and_windows_of_the_editor_are_known(reply: str, action: Action) -> None:
    """What is said of them is done here, free, and not left for a page that is not open."""
    found = translate(reply, detect_language(reply))

    assert found.actions == (action,)
    assert reply not in found.text
    assert not found.proposals

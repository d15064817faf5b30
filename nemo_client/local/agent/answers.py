"""What the agent says: like a web page's assistant, in English and in Chinese.

The cloud's agent speaks as if its user sat before the page ("click Export"), and so does this one: a client has to
cope with it. It also says that it is a preview, so that its pictures are not taken for the cloud's.
"""

from __future__ import annotations

from .timeline import Timeline

_MOTION = {
    "push_in": ("push-in", "推进"),
    "pull_out": ("pull-out", "拉远"),
    "pan_left": ("pan to the left", "向左平移"),
    "pan_right": ("pan to the right", "向右平移"),
    "pan_up": ("pan upwards", "向上平移"),
    "pan_down": ("pan downwards", "向下平移"),
    "static": ("still shot", "静止镜头"),
}

_DONE = {
    "duration": ("set the length to {seconds} s", "把时长改成{seconds}秒"),
    "ratio": ("changed the aspect ratio to {ratio}", "把画幅改成{ratio}"),
    "motion": ("changed the camera to a {motion}", "把镜头改成{motion}"),
    "pace": ("adjusted the camera's pace", "调整了镜头的快慢"),
    "title": ("added the title “{title}”", "添加了标题“{title}”"),
    "music": ("added quiet background music", "添加了轻柔的背景音乐"),
    "volume": ("set the music to {volume} %", "把音乐音量调到{volume}%"),
    "fades": ("set the transitions", "设置了转场"),
    "append": ("added {count} pictures to the end", "在结尾加入了{count}张图片"),
    "remove_title": ("removed the title", "删除了标题"),
    "remove_music": ("removed the music", "删除了音乐"),
    "remove_fades": ("removed the transitions", "删除了转场"),
    "remove_clip": ("removed clip {clip}", "删除了第{clip}个片段"),
}

_WORDS = {
    "ready": (
        "Your video is ready! It is a local preview: {seconds} s, {ratio}, {motion}. "
        "Preview it in the timeline panel, or click Export to save it.",
        "视频已生成！这是本地预览：{seconds}秒，{ratio}，{motion}。点击导出按钮即可下载。",
    ),
    "edited": (
        "Done! I {done}. Preview it in the timeline panel, or click Export to save it.",
        "好的，已{done}。点击导出按钮即可下载。",
    ),
    "intro": ("I'll animate your {what} with a {motion}.", "好的，我来为{what}添加{motion}的镜头。"),
    "need_image": (
        "Which picture should I animate? Please click Upload and add an image first.",
        "请问要让哪张图片动起来？请先点击上传按钮添加图片。",
    ),
    "chat": (
        "Hi! I am the local preview of the video agent. Upload pictures and tell me about length, aspect ratio, camera "
        "motion (pan, push-in, pull-out, still), a title or music, and I will make a preview video.",
        "你好！我是视频助手的本地预览。上传图片，并告诉我时长、画幅、镜头运动（推进、拉远、平移、静止）、标题或音乐，我就会生成预览视频。",
    ),
    "nothing": (
        "I left the video as it is: the local preview can change length, aspect ratio, camera motion, title, music, "
        "transitions, and remove clips.",
        "视频没有改动：本地预览可以修改时长、画幅、镜头运动、标题、音乐和转场，也可以删除片段。",
    ),
    "unchanged": ("The video is already like that, so I left it as it is.", "视频已经是这样了，没有改动。"),
    "only_clip": ("This is the only clip, so I kept it.", "只有这一个片段，所以保留了它。"),
    "glyphs": (
        " No font on this machine can draw {glyphs} of the title, so it will be missing. Install a font that has it.",
        "注意：本机没有字体能显示标题中的{glyphs}，导出后会缺失，请安装相应的字体。",
    ),
}


def motion_name(motion: str, *, chinese: bool) -> str:
    return _MOTION[motion][chinese]


def say(key: str, *, chinese: bool, **facts: object) -> str:
    return _WORDS[key][chinese].format(**facts)


def word_done(key: str, *, chinese: bool, **facts: object) -> str:
    """One thing that was done, as a part of a sentence."""
    return _DONE[key][chinese].format(**facts)


def join_parts(parts: list[str], *, chinese: bool) -> str:
    if chinese:
        return "，".join(parts)
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def seconds_text(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f}".removesuffix(".0")


def ready(timeline: Timeline, *, chinese: bool) -> str:
    motions = list(dict.fromkeys(clip.motion for clip in timeline.clips if clip.kind == "image"))
    names = [motion_name(motion, chinese=chinese) for motion in motions] or ["—"]
    facts = {"seconds": seconds_text(timeline.length), "ratio": timeline.ratio}
    return say("ready", chinese=chinese, motion=join_parts(names, chinese=chinese), **facts)

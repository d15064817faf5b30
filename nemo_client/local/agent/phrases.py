"""What the words of a message ask for, in English and Chinese: tables and pure functions.

Only numbers, names from fixed lists and the text of a title come out of a message: nothing in it can name a file or
a key of the draft. Every pattern is bounded, so that a long message cannot keep the machine busy.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from .timeline import RATIOS

MAX_TITLE = 200
MIN_SECONDS = 1.0
MAX_SECONDS = 60.0

LAST = -1  # "the last clip"
QUIETER, LOUDER = -1.0, 2.0  # "the music quieter", in the place of a volume from 0 to 1

GENTLE, NORMAL, STRONG = 0.12, 0.25, 0.4


@dataclass(frozen=True)
class Wishes:
    """What a message asks for; None and empty where it says nothing."""

    seconds: float | None = None
    seconds_each: float | None = None
    ratio: str | None = None
    motions: tuple[str, ...] = ()
    in_turn: bool = False  # the motions follow each other
    amount: float | None = None
    pace: str = ""  # "slower" or "faster"
    title: str | None = None
    music: bool = False
    volume: float | None = None
    fade: float | None = None  # seconds of cross-fade; 0 is a cut
    clip: int | None = None  # which clip is meant, from 1, or LAST
    remove: frozenset[str] = frozenset()  # title, music, fades, clip
    append: bool = False
    generate: bool = False
    chat: bool = False

    @property
    def edits(self) -> bool:
        """Whether anything is asked for that can be done to a draft."""
        numbers = (self.seconds, self.seconds_each, self.volume, self.fade)
        words = (self.ratio, self.motions, self.pace, self.title, self.music, self.remove, self.append)
        return any(number is not None for number in numbers) or any(words)


_DIGITS = {"一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10}
_COUNTED = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {word: number for number, word in enumerate(_COUNTED, 1)} | {"fifteen": 15, "twenty": 20, "thirty": 30}
_PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_ORDINALS = {word: place for place, word in enumerate(_PLACES, 1)} | {"last": LAST}

_NUMBER = rf"(?<![\d.])(\d{{1,3}}(?:\.\d{{1,3}})?|{'|'.join(_NUMBERS)}|[一二两三四五六七八九十]{{1,3}})"
_SECONDS = re.compile(
    rf"{_NUMBER}\s?-?\s?(seconds?|secs?|s|秒钟?|minutes?|mins?|分钟)(?![a-z])(?!(?<=\ds) "
    r"(?:style|look|vibe|fashion|film|movie|retro))"
    r"(\s(?:each|apiece|per (?:image|picture|photo|clip))|的?(?:转场|淡入淡出|叠化)"
    r"|\s(?:long )?(?:cross-?\s?fades?|fades?|transitions?|dissolves?))?",
    re.I,
)
_EACH_BEFORE = re.compile(r"(?:\beach\b[^.;\n]{0,25}|每[张段个幅][^。；\n]{0,8})$", re.I)
_TITLE_BEFORE = re.compile(r"(?:\btitle\b[^.;,\n]{0,20}\bfor\b[^.;,\n]{0,8})$", re.I)

_RATIO = re.compile(r"(?<![\d:.])(9|16|1|4|3|21)\s?[:：/x×]\s?(16|9|1|5|4|3)(?![\d:])", re.I)
_SHAPES = {
    "vertical": "9:16",
    "portrait": "9:16",
    "landscape": "16:9",
    "horizontal": "16:9",
    "widescreen": "16:9",
    "square": "1:1",
    "ultrawide": "21:9",
}
_SHAPE_WORDS = "|".join(_SHAPES)
# "landscape", "portrait" and "square" also describe pictures: they count only where they speak of the format.
_SHAPE_PATTERNS = [
    re.compile(pattern, re.I)
    for pattern in (
        rf"\b({_SHAPE_WORDS})[\s-](?:videos?|clips?|formats?|modes?|orientation|aspect|ratio|version|screen|frame"
        r"|shape|canvas|crop|reels?|shorts?|output)\b",
        rf"\b(?:make|turn|be|keep|have) (?:it|this|the video|the clip) (?:an? |in |into )?({_SHAPE_WORDS})\b",
        rf"\b(?:switch|change|convert|crop|set)\b[^.;\n]{{0,25}} (?:to|as|into) (?:an? )?({_SHAPE_WORDS})\b",
        rf"(?:^|[,;.，。；]\s?)(?:in )?({_SHAPE_WORDS})\s?(?=$|[,;.，。；])",
    )
]
_SHAPES_ZH = (("竖屏|竖版|纵向|竖着", "9:16"), ("横屏|横版|宽屏|横向画面", "16:9"), ("正方形|方形画面|方屏", "1:1"))

_SLOWLY = r"(?:slowly |gently |smoothly |softly |slightly |quickly |steadily |the camera |camera |across |over ){0,2}"
_TOWARDS = r"(?:to the |towards? the |to |toward |towards )?"
_MOTIONS = [
    (motion, re.compile(pattern, re.I))
    for motion, pattern in (
        ("pan_right", r"from left to right|left[- ]to[- ]right|从左[到往向至]右"),
        ("pan_left", r"from right to left|right[- ]to[- ]left|从右[到往向至]左"),
        ("pan_up", r"from (?:the )?bottom to (?:the )?top|bottom[- ]to[- ]top|从下[到往向至]上"),
        ("pan_down", r"from (?:the )?top to (?:the )?bottom|top[- ]to[- ]bottom|从上[到往向至]下"),
        *(
            (
                f"pan_{way}",
                rf"\b(?:pan|pans|panning|panned|move|moves|moving|slide|slides|sliding|track|tracks|tracking|truck"
                r"|drift|drifts|drifting|scroll|scrolls|scrolling|tilt|tilts|tilting|sweep|sweeping) "
                rf"{_SLOWLY}{_TOWARDS}{way}\b"
                rf"|\b{way}(?:wards?)?[ -](?:pan|slide|tilt|drift|tracking)\b|[向往朝]{zh}|{zh}[移摇平]",
            )
            for way, zh in (("left", "左"), ("right", "右"), ("up", "上"), ("down", "下"))
        ),
        (
            "pull_out",
            rf"\b(?:zoom|zooms|zooming|pull|pulls|pulling|dolly|dollies|dollying) {_SLOWLY}(?:out|back|away)\b"
            r"|\b(?:zoom|pull|dolly)-(?:out|back)\b|\bmov(?:e|es|ing) (?:back|away)\b|拉远|拉开|后退|后拉|缩小|推远",
        ),
        (
            "push_in",
            r"\b(?:zoom|zooms|zooming|push|pushes|pushing|dolly|dollies|dollying) "
            rf"{_SLOWLY}(?:in|into|closer|towards?)\b|\b(?:zoom|push|dolly)-in\b|\bken burns\b"
            r"|\bmov(?:e|es|ing) (?:closer|in on|in close)\b|推进|推近|拉近|放大|前推|变焦",
        ),
        (
            "static",
            r"\b(?:static|stationary|motionless|locked[- ]off|freeze[- ]?frame)\b|\b(?:no|without(?: any)?) "
            r"(?:camera )?(?:motion|movement)\b|\b(?:keep|keeps|hold|holds|stay|stays|stand|make) (?:it |perfectly "
            r"|completely |the (?:camera|shot|picture|image|photo|clip|frame) )?still\b|\bstill (?:shot|camera|frame)\b"
            r"|\b(?:fixed|locked) (?:camera|shot|frame)\b|静止|固定镜头|镜头不动|不要动|保持不动|不要运动",
        ),
    )
]
_NEGATED = re.compile(r"(?:\b(?:don'?t|do not|no|not|without|never|stop|avoid)(?: any| the)? |不要|别|不|无需)$", re.I)
_IN_TURN = re.compile(r"\b(?:then|followed by|afterwards?|and finally)\b|然后|接着|随后|之后", re.I)
_AMOUNTS = (
    (
        STRONG,
        re.compile(
            r"\b(?:fast|quick|quickly|strong|strongly|dramatic|dramatically|deep|big)\b|快速|迅速|强烈|大幅", re.I
        ),
    ),
    (
        GENTLE,
        re.compile(
            r"\b(?:slow|slowly|gentle|gently|subtle|subtly|slight|slightly|soft|softly)\b|缓慢|慢慢|缓缓|轻微|轻轻|柔和",
            re.I,
        ),
    ),
)
_PACES = (
    ("slower", re.compile(r"\bslow(?:er| (?:it|this|that) down)\b|\bless (?:motion|movement)\b|慢一?[点些]", re.I)),
    ("faster", re.compile(r"\bfaster\b|\bspeed (?:it|this|that) up\b|\bmore (?:motion|movement)\b|快一?[点些]", re.I)),
)

_QUOTED = (
    r"(?:\"([^\"\n]{1,500})\"|“([^”\n]{1,500})”|「([^」\n]{1,500})」|『([^』\n]{1,500})』|《([^》\n]{1,500})》"
    r"|(?<![\w])'([^'\n]{1,500})'(?!\w)|‘([^’\n]{1,500})’)"
)
_TITLE_WORDS = r"\b(?:(?:sub)?title[ds]?|captions?|captioned|headline|heading|text|words)\b|标题|字幕|文字|文案|片名"
_TITLES = [
    re.compile(pattern, re.I)
    for pattern in (
        rf"(?:{_TITLE_WORDS})[^\"“「『《'‘\n]{{0,30}}{_QUOTED}",
        rf"{_QUOTED} as (?:the |a |its )?(?:title|caption|headline|text)\b",
        rf"{_QUOTED}(?:作为|做|为)?(?:标题|字幕|片名)",
        r"\badd (?:an? |the )?(?:title|caption|headline|text)(?: that says| saying| reading)?[ :]+([^\n.;,\"“]{1,200})",
        r"\b(?:title|caption|headline)(?: text)? ?(?:to|:|says|reading|saying) ?([^\n.;,\"“]{1,200})",
        r"(?:标题|字幕|片名)(?:改成|改为|换成|设为|写成|写|为|是|叫|：|:)\s?([^\n，。；,.;“\"]{1,200})",
        r"(?:添加|加上|加入|加个|加一个|加)(?:一个|个)?(?:标题|字幕|片名)[\s：:]?([^\n，。；,.;“\"]{1,200})",
    )
]
# Where a title without quotes ends and the next wish begins.
_AND_THEN = re.compile(r" (?:and|then|but) (?:make|set|add|change|remove|pan|zoom|turn|use|keep|put|let)\b", re.I)
_NOT_A_TITLE = re.compile(
    r"(?:(?:for|in|at|on|to|with|and|of|about|screen|card|please|me|us|it|this|the|my|video|clip|吧|。) ?)*$", re.I
)

_REMOVE = (
    r"\b(?:remove|delete|drop|without|no|clear|get rid of|take out|take away|cut|omit|skip)"
    r"(?: the| any| all| that| this| my| background)*"
)
_REMOVE_ZH = r"(?:删除|删掉|删去|去掉|去除|移除|取消|不要|不加|不需要|没有|无)(?:掉|这个|那个|所有|背景|的)*"
_REMOVED = "(?:都|全)?(?:删除|删掉|去掉|移除|去除|取消)"
_CLIPS = r"(?:clips?|images?|pictures?|photos?|shots?|segments?|scenes?)"
_THINGS = (
    ("title", r"(?:title|captions?|texts?|headline|subtitles?)", "(?:标题|字幕|文字|片名)"),
    ("music", r"(?:music|bgm|soundtrack|audio|sound|song)", "(?:音乐|配乐|背景音乐|声音|音频)"),
    ("fades", r"(?:transitions?|cross-?\s?fades?|fades?)", "(?:转场|淡入淡出|叠化|过渡)"),
)
_REMOVES = [
    (thing, re.compile(rf"{_REMOVE} {english}\b|{_REMOVE_ZH}{chinese}|{chinese}{_REMOVED}", re.I))
    for thing, english, chinese in _THINGS
]
_WHICH = (
    rf"(?:(?:the )?({'|'.join(_ORDINALS)}|\d{{1,2}}(?:st|nd|rd|th)) {_CLIPS}"
    rf"|{_CLIPS} (?:number |no\. ?|#)?(\d{{1,2}})\b"
    r"|(?:第([一二两三四五六七八九十]{1,3}|\d{1,2})|(最后一))[个段张幅](?:片段|图片|照片|镜头|视频|图)?)"
)
_CLIP = re.compile(_WHICH, re.I)
_REMOVE_CLIP = re.compile(rf"(?:{_REMOVE}|{_REMOVE_ZH})\s?{_WHICH}|{_WHICH}{_REMOVED}", re.I)

_MUSIC = re.compile(
    r"\b(?:add|with|put|play|include|set|use|give|want|need|some)\b[^.;\n]{0,30}\b(?:music|song|tune|beat)\b"
    r"(?! (?:box|stand|video|note|sheet|room|hall|festival))"
    r"|\b(?:background|soft|calm|quiet|gentle|relaxing|upbeat|happy) music\b|\bbgm\b"
    r"|\bsoundtrack\b|\blo-?fi\b|加[^。；\n]{0,8}(?:音乐|配乐|曲)|配[上个]?[^。；\n]{0,4}音乐|配乐|背景音乐",
    re.I,
)
_VOLUME = re.compile(
    r"(?:\b(?:volume|music|bgm|soundtrack)\b|音量|音乐)[^\d.;\n]{0,20}(\d{1,3})\s?%|(\d{1,3})\s?% (?:volume|music)",
    re.I,
)
_QUIETER = re.compile(
    r"\b(?:quieter|lower|softer)\b[^.;\n]{0,20}\b(?:music|volume)|\b(?:music|volume)\b[^.;\n]{0,15}"
    r"\b(?:quieter|lower|softer|down)\b|(?:音乐|音量|声音)[^。；\n]{0,4}(?:小|低|轻)",
    re.I,
)
_LOUDER = re.compile(
    r"\blouder\b|\b(?:music|volume)\b[^.;\n]{0,15}\b(?:higher|up)\b|(?:音乐|音量|声音)[^。；\n]{0,4}(?:大|高)", re.I
)
_FADE = re.compile(r"\bcross-?\s?fades?\b|\bdissolves?\b|\b(?:smooth|soft) transitions?\b|淡入淡出|叠化|转场", re.I)
_CUT = re.compile(r"\b(?:hard|straight|jump) cuts?\b|直接切换|硬切", re.I)
_FADE_SECONDS = 0.6

_APPEND = re.compile(
    r"\b(?:add|append|include|insert|use|put)\b[^.;\n]{0,30}\b(?:images?|pictures?|photos?|clips?)\b"
    r"|(?:添加|加上|加入|插入)[^。；\n]{0,10}(?:图片|照片|图|片段)",
    re.I,
)
_GENERATE = re.compile(
    r"\b(?:animate|regenerate|start over|try again|new take)\b|\b(?:generate|create|produce|render)\b[^.;\n]{0,60}"
    r"\b(?:video|clip|animation|film|movie|it again|again)\b|\b(?:turn|convert|transform|bring)\b[^.;\n]{0,60}"
    r"\b(?:in|to) ?(?:an? |to )?[^.;\n]{0,40}\b(?:video|clip|animation|film|movie|life)\b"
    r"|生成|重新来|重做|做成[^。；\n]{0,12}(?:视频|动画|短片)|变成[^。；\n]{0,12}(?:视频|动画|短片)|转[成为换][^。；\n]{0,12}(?:视频|动画|短片)"
    r"|动起来|制作[^。；\n]{0,12}(?:视频|动画|短片)",
    re.I,
)
_CHAT = re.compile(
    r"^\W{0,3}(?:(?:hi|hello|hey|good (?:morning|evening|afternoon)|thanks|thank you|thx|ok|okay|great|cool|bye)\b"
    r"[^\n]{0,20}"
    r"|(?:what|who|how|why|when|where|which|can|could|do|does|is|are|will)\b[^\n]{0,300}\?|help"
    r"|你好[^\n]{0,10}|您好[^\n]{0,10}|谢谢[^\n]{0,10}|再见|帮助|[^\n]{0,60}(?:吗|呢|什么|怎么|如何)[？?]?)\W{0,3}$",
    re.I,
)


def is_chinese(text: str) -> bool:
    """Han characters without Japanese kana or Korean."""
    has_han = any("\u4e00" <= letter <= "\u9fff" for letter in text)
    return has_han and not any("\u3040" <= letter <= "\u30ff" or "\uac00" <= letter <= "\ud7a3" for letter in text)


def read(message: str) -> Wishes:
    """Everything that `message` asks for."""
    text = unicodedata.normalize("NFC", message).replace("\r\n", "\n").replace("’", "'")
    title, rest = _read_title(text)
    remove = {thing for thing, pattern in _REMOVES if pattern.search(rest)}
    if "title" in remove:
        title = None
    clip_to_remove = _REMOVE_CLIP.search(rest)
    which = clip_to_remove or _CLIP.search(rest)
    if clip_to_remove:
        remove.add("clip")
    seconds, each, fade = _read_durations(rest)
    motions = _read_motions(rest)
    return Wishes(
        seconds=seconds,
        seconds_each=each,
        ratio=_read_ratio(rest),
        motions=motions,
        in_turn=bool(_IN_TURN.search(rest)),
        amount=next((amount for amount, pattern in _AMOUNTS if pattern.search(rest)), None) if motions else None,
        pace=next((pace for pace, pattern in _PACES if pattern.search(rest)), ""),
        title=title,
        music="music" not in remove and bool(_MUSIC.search(rest)),
        volume=_read_volume(rest),
        fade=_read_fade(rest, fade, removed="fades" in remove),
        clip=_read_ordinal(which) if which else None,
        remove=frozenset(remove),
        append=bool(_APPEND.search(rest)),
        generate=bool(_GENERATE.search(rest)),
        chat=bool(_CHAT.match(rest.strip())),
    )


def _read_title(text: str) -> tuple[str | None, str]:
    """The title asked for, and the message without it (its words are no wishes)."""
    for pattern in _TITLES:
        if match := pattern.search(text):
            number = next(number for number, group in enumerate(match.groups(), 1) if group is not None)
            given, end = match[number], match.end()
            if match.end(number) == end and (more := _AND_THEN.search(given)):
                given, end = given[: more.start()], match.start(number) + more.start()
            title = _keep_printable(given)
            if title and not _NOT_A_TITLE.fullmatch(title):
                word = re.search(_TITLE_WORDS, match[0], re.I)
                return title, f"{text[: match.start()]}{word[0] if word else ''} {text[end:]}"
    return None, text


def _keep_printable(text: str) -> str:
    kept = "".join(letter if unicodedata.category(letter)[0] != "C" else " " for letter in text)
    return " ".join(kept.split())[:MAX_TITLE]


def _read_durations(text: str) -> tuple[float | None, float | None, float | None]:
    """Seconds in all, of each clip, of a cross-fade; of several that are named the last counts."""
    total = each = fade = None
    for match in _SECONDS.finditer(text):
        value = _read_number(match[1]) * (60 if match[2][0] in "mM分" else 1)
        if match[2] == "s" and re.search(r"\bthe $", text[: match.start()]):
            continue  # "the 80s" are years
        after, before = (match[3] or "").lower(), text[max(0, match.start() - 40) : match.start()]
        if _EACH_BEFORE.search(before) or "each" in after or "per " in after or "apiece" in after:
            each = value
        elif after:
            fade = value
        elif not _TITLE_BEFORE.search(before):
            total = value
    return _bound_seconds(total), _bound_seconds(each), fade


def _bound_seconds(seconds: float | None) -> float | None:
    return None if seconds is None else min(MAX_SECONDS, max(MIN_SECONDS, seconds))


def _read_number(text: str) -> float:
    if text[0].isdigit():
        return float(text)
    if text.lower() in _NUMBERS:
        return float(_NUMBERS[text.lower()])
    tens, ten, ones = text.rpartition("十")
    if not ten:
        return float(_DIGITS[text[-1]])
    return float(_DIGITS.get(tens[-1:], 1) * 10 + _DIGITS.get(ones[-1:], 0))


def _read_ratio(text: str) -> str | None:
    for match in reversed(list(_RATIO.finditer(text))):
        if (ratio := f"{match[1]}:{match[2]}") in RATIOS:
            return ratio
    for pattern in _SHAPE_PATTERNS:
        if named := pattern.search(text):
            return _SHAPES[named[1].lower()]
    return next((ratio for words, ratio in _SHAPES_ZH if re.search(words, text)), None)


def _read_motions(text: str) -> tuple[str, ...]:
    """The motions in the order in which they are named; only negated ones ("no zoom") mean a static shot."""
    found: list[tuple[int, int, str]] = []
    negated = False
    for motion, pattern in _MOTIONS:
        for match in pattern.finditer(text):
            if motion != "static" and _NEGATED.search(text[max(0, match.start() - 16) : match.start()]):
                negated = True
            elif not any(start < match.end() and match.start() < end for start, end, _ in found):
                found.append((match.start(), match.end(), motion))
    if not found and (negated or re.search(r"\bno (?:zoom|pan)(?:n?ing|s)?\b", text, re.I)):
        return ("static",)
    return tuple(motion for _, _, motion in sorted(found)[:8])


def _read_volume(text: str) -> float | None:
    """From 0 to 1, or QUIETER, or LOUDER."""
    if match := _VOLUME.search(text):
        return min(100, int(match[1] or match[2])) / 100
    if _QUIETER.search(text):
        return QUIETER
    return LOUDER if _LOUDER.search(text) else None


def _read_fade(text: str, seconds: float | None, *, removed: bool) -> float | None:
    if removed or _CUT.search(text):
        return 0.0
    if seconds is not None:
        return min(5.0, seconds)
    return _FADE_SECONDS if _FADE.search(text) else None


def _read_ordinal(match: re.Match[str]) -> int | None:
    for group in match.groups():
        if group:
            word = group.lower()
            if word in _ORDINALS or group == "最后一":
                return _ORDINALS.get(word, LAST)
            return int(_read_number(re.sub(r"(?<=\d)[a-z]+", "", word)))
    return None

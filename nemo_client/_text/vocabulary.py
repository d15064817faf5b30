"""Words that the translator, prompts, turns and drafts know, English and Chinese: tables only, no decisions."""

from __future__ import annotations

import re


def _split_words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# --- The trailing noise of the agent's answers ------------------------------------------------------------------

NOISE = re.compile(
    r"\W*(?:(?:sorry|apologies|oops|unfortunately|抱歉|对不起|不好意思)\W+)?"
    r"(?:(?:it (?:looks|seems) like )?(?:i|we)(?:['’]ve| have)? (?:just )?(?:encountered|hit|ran into)"
    r" (?:a|some) temporary"
    r"|(?:我|系统)?(?:刚才|刚刚)?(?:遇到|出现)了?(?:一个|一些|点)?(?:临时|暂时)(?:性)?的?(?:问题|错误|故障))",
    re.IGNORECASE,
)
AFTER_NOISE = re.compile(
    r"\W*(?:please|sorry|try|you can try|let me know|i apologi[sz]e|apologies|thank"
    r"|请|抱歉|对不起|稍后|您可以)",
    re.IGNORECASE,
)

# --- What a stream tells of the work -------------------------------------------------------------------------------

READING_TOOL = re.compile(
    r"^(?:(?:get|list|search|find|query|read|fetch|look|lookup|check|inspect|describe|analy[sz]e|view|show|ask|think|plan"
    r"|estimate|calculate|count|load|recall|retrieve|transfer|exit|browse|preview|validate|verify)(?:_|-|$|(?=[A-Z]))"
    r"|.*(?:_|-)(?:status|state|info|balance|credits|question|search|analysis)$)",
    re.IGNORECASE,
)
"""Tools that only look: their success makes nothing."""

MAKING_TOOL = re.compile(
    r"generat|creat|make|render|edit|compos|animat|synthes|produc|assembl|insert|add|apply|build|extend|merge|stitch"
    r"|trim|crop|cut|replace|remove|update|set|save|draft|video|clip|track|music|title|subtitle",
    re.IGNORECASE,
)
"""Tools that make or change something, by their names."""

WORK_IS_DONE = re.compile(
    r"\b(?:is|are|['’]s) (?:now |all |already )?(?:ready|done|finished|complete|set|there)\b"
    r"|\b(?:has|have|['’]ve|['’]s) (?:now |just |already |all )?(?:been )?(?:successfully )?"
    r"(?:generated|created|made|added|rendered|edited|updated|changed|animated|produced|finished|completed|applied|put"
    r"|set|replaced|removed|trimmed|done|turned)\b"
    r"|\bi (?:just |successfully )?(?:generated|created|made|added|animated|updated|changed|put|set|finished)\b"
    r"|\bsuccessfully\b|^\W*(?:all )?(?:done|finished|ready)\b|\bhere(?:'s| is| are) (?:the|your)\b"
    r"|(?:已经?|成功)(?:为你|为您|帮你|帮您|将|把|给)?.{0,24}(?:生成|制作|创建|添加|加上|完成|做好|更新|修改|剪辑|合成|调整|替换|删除|准备)"
    r"|(?:生成|制作|创建|添加|修改|剪辑|合成|更新|调整)(?:完成|成功|完毕|好了|完了)|(?:做|弄|改|加|剪|准备|添加|生成|制作|处理|调整|设置|更新)好了|已完成|大功告成|搞定",
    re.IGNORECASE,
)
"""A sentence that says that the work is done."""

UNDONE = re.compile(
    r"\?\s*$|？\s*$|\b(?:not|n['’]t|cannot|never|nothing|unable|fail(?:ed|s)?|once|when|after|before|until|if|will|would"
    r"|could|should|shall|may|might|soon|almost|still|yet|please|need|sorry|without)\b"
    r"|没有?|未能?|无法|不能|失败|一旦|之后|以后|如果|将会|即将|正在|^\W*请|请(?:先|问|提供|上传|选择|告诉|确认|稍)|[成好完毕]后|后[即就再才]|抱歉|吗|尚",
    re.IGNORECASE,
)
"""What makes such a sentence say something else: that it is not done, or not yet, or a question."""

FILE_TYPES = "mp4|mov|avi|webm|mkv|jpe?g|png|gif|webp|heic|heif|mp3|wav|m4a|aac"

# --- The translator: a web page's words -------------------------------------------------------------------------

# Before the verb of an instruction nothing else stands, or "you" is addressed.
LEADS = _split_words(
    "please just simply then and or now next first finally lastly also either to can could may might should must need"
    " want will if when once ready you you'll you'd your feel free go ahead let's by in order would like it's time"
    " alternatively otherwise don't forget remember try for me so that where tip hint note"
)
YOU = _split_words("you you'll you'd")
OTHERS = _split_words(
    "he she they man woman boy girl child person character camera cat dog robot who i i'll i've we we've we'll"
)

CLICKS = _split_words(
    "click tap press hit select choose pick highlight double-click right-click clicking"
    " tapping pressing hitting selecting choosing"
)
HANDLES = _split_words(
    "use using move moving slide sliding adjust adjusting set setting toggle toggling increase decrease lower raise"
    " turn pull change"
)
"""Verbs that work a control, and say something else of anything but one."""
CONTROLS = _split_words(
    "slider sliders dropdown checkbox toolbar sidebar inspector knob shortcut shortcuts hotkey hotkeys keyboard toggle"
    " spinner stepper scrubber playhead"
)
KEYS = re.compile(
    r"\s*(?:on )?(?:the )?[\"“'‘`*\[(]*(?:(?:ctrl|cmd|command|control|shift|alt|option|[⌘⇧⌥⌃])\s?[+-]?\s?\S|space ?bar"
    r"|space\b|spacebar|delete\b|del\b|backspace|enter\b|return\b|esc\b|escape\b"
    r"|tab key|arrow key|f\d{1,2}\b|\w key\b)",
    re.IGNORECASE,
)
"""A key of the keyboard, behind "press"."""
OPENS = _split_words("open go head navigate switch visit scroll hover opening going navigating visiting")
DRAGS = _split_words("drag drag-and-drop dragging drag-n-drop")
DROPS = _split_words("drop dropping")
LOOKS = _split_words(
    "preview look take view watch review see check play find previewing viewing watching reviewing checking"
)
SAVES = _split_words("export download save exporting downloading saving")
MOUSES = _split_words("upload right-click double-click hover hovering right-clicking double-clicking")
INSTRUCTION_VERBS = CLICKS | OPENS | DRAGS | DROPS | LOOKS | SAVES | HANDLES | MOUSES
STEP_VERBS = INSTRUCTION_VERBS | _split_words(
    "pick enter type wait confirm locate name trim hold release make ensure scroll"
)
"""Verbs that begin a step of a list about a page."""

PAGE_PARTS = _split_words(
    "button buttons panel panels tab tabs menu menus icon icons sidebar toolbar timeline canvas workspace"
    " editor library inspector settings dropdown dialog popup checkbox slider dashboard corner"
)
PAGE_PLACES = PAGE_PARTS | _split_words(
    "project draft page website browser app account billing link section preview player subscription site"
)
VIEWERS = _split_words("timeline panel canvas player workspace editor preview-window dashboard")
ACCOUNT = _split_words("account billing subscription")
UPLOAD_PLACES = _split_words("chat here window area zone box upload")
DROP_PLACES = PAGE_PARTS | UPLOAD_PLACES | {"track"}
FILM_NOUNS = _split_words(
    "video videos clip clips file files mp4 mov gif webm it result results film movie project version draft export"
    " animation footage final reel"
)

BUTTON_ACTIONS: dict[str, str] = {
    **dict.fromkeys(_split_words("export download save render"), "export"),
    **dict.fromkeys(_split_words("preview play timeline"), "timeline"),
    **dict.fromkeys(_split_words("account billing credits balance subscription"), "credits"),
    **dict.fromkeys(_split_words("generate regenerate create animate"), "generate"),
    **dict.fromkeys(
        _split_words("panel panels tab tabs menu menus sidebar settings library workspace project"), "state"
    ),
}
"""What a click on a thing of this name means; "generate" costs, so it becomes a proposal."""

KEY_PURPOSES = _split_words("export download render play preview")

BUTTONS = frozenset(BUTTON_ACTIONS) | _split_words(
    "share apply next continue done confirm publish upload edit add here below link split undo replace"
)
CHOOSES = _split_words("pick highlight select choose press hit selecting choosing pressing hitting")
AFTER_SAVE = _split_words("as in to now when once if whenever button at from here directly anytime and or")
OWN = _split_words("the your my this")

PREPOSITIONS = _split_words("with for to in on of from as by at about")
SEEN = _split_words("it them this your the")

EXPLAINS = re.compile(
    r"\b(?:here(?:['’]s| is) how|how to|how you can|follow (?:these|the) (?:\w+ )?steps|steps to|these steps|as follows"
    r"|step[- ]by[- ]step)\b|^\s*(?:to (?!the\b|my\b|your\b)\w+ [^,]{1,60},"
    r"|if you(?:['’]d| would)? (?:want|like|need|wish|prefer) to\b)"
    r"|\bby (?:\w+ ){0,2}(?:click|drag|press|select|us|mov|adjust|choos|tapp|hover|right-click|double-click)\w*ing\b"
    r"|(?:步骤|方法|操作)(?:如下|是)|按(?:照)?(?:以下|下面|下列)|具体(?:步骤|操作)|如何"
    r"|^\s*(?:如果|若|如|要是)?(?:您|你)?(?:想要?|要|需要|希望)[^，]{1,30}(?:，|的话)|通过[^，。]{1,20}(?:来|可以|即可)",
    re.IGNORECASE,
)
"""Words that explain how something is done: nothing that should be done now."""
HOW_LABEL = re.compile(
    r"(?:\bsteps?|\bhere['’]s how|\bhow to [^:]{1,40}|(?:步骤|方法|方式|操作|教程)(?:如下|是)?|如下)\**\s*[:：]\s*$",
    re.IGNORECASE,
)
"""A label that leads to steps, in their own sentence."""
HOW_ASKED = re.compile(
    r"\s*(?:(?:how (?:do|can|to)|(?:do you )?want to|need to)\b|怎么|怎样|如何|想|要|需要)"
    r"(?![^?？]*(?:什么|哪|我|which|what))[^.!?。！？]{1,60}[?？]\s*$",
    re.IGNORECASE,
)
"""A question that the next sentence answers with steps."""

_PICKED = r"(?P<what>(?:the|your|a|an|any|each|both|all|that|this)\s[\w' -]{1,60}?)"
_DEED = (
    r"(?P<deed>delete|backspace|del|remove|trash|bin|split|cut|duplicate|copy|mute|trim|crop|rotate|flip|reverse|detach"
    r"|hide|lock|loop|replace)"
)
PICK_AND_DO = re.compile(
    r"(?:(?:please|just|simply|first|then|now|you can|you could|you may)\s){0,3}"
    r"(?<![\w-])(?:right-click|double-click|select|choose|pick|highlight|click|tap|hover over)(?:\s(?:on|over))?\s"
    rf"{_PICKED}(?:\s(?:on|in) the (?:timeline|canvas|track|panel|editor))?"
    r"\s?(?:,|\band\b|\bthen\b|→|->|\.)(?:\s?(?:and|then|now|just|simply|,|→|\d{1,2}[.)])){0,3}\s?"
    r"(?:press|hit|click|tap|choose|select|use|pick)(?:\s(?:on|the|your)){0,2}\s[\"“'‘`*\[]*"
    rf"{_DEED}\b[\"”'’`*\]]*"
    r"(?:\s(?:key|button|icon|option|command|tool|clip)|\s(?:in|from|on|of) (?:the|your) [\w ]{1,30}){0,2}",
    re.IGNORECASE,
)
"""Something is chosen and a key or a command pressed for it: together an edit."""
DEEDS = {
    **dict.fromkeys(_split_words("delete backspace del remove trash bin"), ("Delete", "删除")),
    **dict.fromkeys(_split_words("duplicate copy"), ("Duplicate", "复制")),
    **dict.fromkeys(_split_words("split cut"), ("Split", "拆分")),
}
PICK_AND_DRAG = re.compile(
    rf"\b(?:select|choose|click(?: and hold)?(?: on)?|tap|grab|hold|pick) {_PICKED}"
    r"(?:,? and|, then|,)(?: then)? drag it\b",
    re.IGNORECASE,
)
ZH_PICK_AND_DRAG = re.compile(
    r"(?:选中|选择|点击|按住|长按)(?P<what>[^，。；、\n“”「」按点选]{1,20}?)[，,\s]?(?:然后|并|再|后){0,2}(?:把它|将其|将它)?(?:拖拽|拖动|拖)到"
)
ZH_PICK_AND_DO = re.compile(
    r"(?:请|您|你|可以|只需|先|首先|然后|在?时间[线轴][上中里]){0,5}(?:选中|选择|右键点击|右键单击|右击|点击|单击|双击|点选)"
    r"(?P<what>[^，。；、\n“”「」按点选]{1,20}?)[，；。\s]?(?:然后|并且?|再|接着|后|之后|，|\d[.、)]|\s){0,4}"
    r"(?:按下?|点击|选择|单击|点选|右键(?:选择|点击|单击)?)(?:键盘上?的?|菜单中的?|右键菜单中的?)?[\s“\"「『【]*(?P<deed>delete|del|backspace|删除|移除|拆分|分割|剪切|复制|静音|替换|隐藏|旋转|裁剪|倒放)"
    r"[”\"」』】\s]*(?:键|按钮|图标|选项|命令)?(?:即可|就可以了?|就行了?|吧)?",
    re.IGNORECASE,
)

CONTENT_LABEL = re.compile(
    r"\W*(?:scene|shot|frame|clip|act|visuals?|prompt|narrat(?:or|ion)|voice-?over|captions?|title|text"
    r"|subtitles?|cta|script|镜头|场景|画面|旁白|字幕|标题|文案|提示词|脚本)\s*[\d一二三四五六七八九十]*\W{0,3}[:：]",
    re.IGNORECASE,
)
"""A line of a storyboard: content from end to end."""

# A clause that begins so is no statement: it goes with the instruction that it leads to.
SUBORDINATE = _split_words(
    "to if when once after before for from in on at by then next now finally please simply just and or"
    " while whenever as with alternatively otherwise meanwhile also feel first so step tip note hint"
)
STATEMENT = re.compile(
    r"(?:i|i've|we|we've|your|the|there|this|it's)\b(?!.{0,40}\b(?:will|can|'ll|should|then)\b).{0,80}"
    r"\b(?:is|are|has|have|was|were|added|made|changed|\w+'ve|now)\b|i(?:'ve| have)? \w+ed\b",
    re.IGNORECASE | re.DOTALL,
)

ZH_LEADS = sorted(
    _split_words(
        "需要我 要我 是否 要不要 您 你 请 可以 可 只需 只要 需要 需 就 直接 然后 接着 随后 之后 最后 首先 其次"
        " 先 再 并且 并 和 也 还 或者 或 以及 现在 即可 便可 如果 若 如 要 想 通过 用 使用 去 来 记得 不妨 试试 尝试"
        " 欢迎 随时 都 能 能够 希望 接下来 下一步 另外 此时 完成后 鼠标"
    ),
    key=lambda word: (-len(word), word),
)
ZH_CLICKS = _split_words("点击 单击 双击 点选 点一下 点按 轻点 轻触 按下 选择 选中 右击 右键点击 右键单击 点开 勾选")
ZH_MOUSES = _split_words("点击 单击 双击 点一下 点按 轻点 右击 右键点击 右键单击 长按 悬停在")
ZH_PRESSES = _split_words("按 按下 按住 使用 用 长按")
ZH_KEYS = re.compile(
    r"[\s“\"「『【‘]*(?:键盘上?的?)?[\s“\"「『【‘]*(?:(?:ctrl|cmd|command|control|shift|alt|option|[⌘⇧⌥⌃])|空格|回车|delete"
    r"|del(?![a-z])|backspace|esc|enter|退格|删除键|方向键|快捷键|f\d|鼠标|右键|[a-z]\s?键)",
    re.IGNORECASE,
)
ZH_SHORTCUT = re.compile(r"\s*(?:键盘)?快捷键|\s*(?:ctrl|cmd|command|shift|alt|⌘)", re.IGNORECASE)
ZH_CONTROLS = re.compile("滑块|滑杆|滑动条|拉杆|旋钮|下拉框|下拉菜单|复选框|工具栏|开关按钮")
ZH_HANDLES = _split_words("拖 移动 调节 调整 滑动 拖动 拉动 使用 用 设置")
ZH_OPENS = _split_words(
    "打开 进入 前往 切换到 切换至 转到 跳转到 跳转至 展开 滚动 滚动到 滚动至 返回 返回到 回到 关闭 刷新 登录"
)
ZH_EDITS = _split_words(
    "调整 调节 修改 更改 编辑 重命名 框选 更换 微调 填写 输入 设置 改为 改成 设为 设置为 调整为 调到 调成"
)
"""What a person does in a panel, a window or a form; of a page only where the clause names one."""
ZH_SETS = _split_words("改为 改成 设为 设置为 调整为 调到 调成")
ZH_DRAGS = _split_words("拖拽 拖动 拖放 拖曳 拖入 拖到 拖至 拖进 拖放到 拖拽到")
ZH_CHECKS = _split_words("查看 检查 查询")
ZH_LOOKS = ZH_CHECKS | _split_words("预览 观看 播放")
ZH_SAVES = _split_words("导出 下载 保存")
ZH_INSTRUCTION_VERB = re.compile(
    "|".join(
        sorted(
            ZH_CLICKS
            | ZH_OPENS
            | ZH_DRAGS
            | ZH_LOOKS
            | ZH_SAVES
            | ZH_PRESSES
            | ZH_HANDLES
            | ZH_EDITS
            | ZH_MOUSES
            | {"上传"},
            key=lambda word: (-len(word), word),
        )
    )
)
ZH_UPLOADS = re.compile("上传|聊天|对话框|输入框|这里|此处|文件区|拖放区")
ZH_STEP = re.compile(
    r"\s*(?:请|先|再|然后|接着|最后)*(?:在[^，。：]{1,12}?[中里上内处侧方栏角])?(?:选|点|按|拖|打开|进入|设置|调整|调节|输入|等待|等|确认|找到|勾选|单击|双击|导出|下载|保存|查看|预览|松开|移动|使用|用)"
)
ZH_PAGE_PARTS = re.compile(
    "按钮|图标|菜单|面板|选项|标签|链接|这里|此处|右上角|左上角|右下角|左下角|左侧|右侧|上方|下方|顶部|底部|时间线|时间轴|编辑器"
    '|工作区|工作台|素材库|媒体库|画布|设置|侧边栏|(?:导出|下载|生成|渲染|预览|播放|保存|分享|确认|确定|应用|发布)(?!的)|[“"「『【]'
)
ZH_PLACES = re.compile(
    "面板|菜单|选项卡|标签|页面|编辑器|工作区|工作台|时间线|时间轴|素材库|媒体库|画布|设置|项目|草稿|预览|侧边栏|浏览器|网页"
    "|官网|账户|账号|账单|个人中心|用户中心|充值|链接|网站"
)
ZH_SHELVES = re.compile("素材库|媒体库|音乐库|面板|菜单|工具栏|侧边栏|工作区|弹出的?窗口|弹窗|对话框|设置")
ZH_COMMANDS = re.compile(
    '\\s*[“"「『【]?(?:替换|更换|删除|裁剪|拆分|分割|复制|旋转|静音|添加|应用|确定|确认|完成)[”"」』】]?\\s*(?:[，。；,.;！!]|$)'
)
"""A command of a menu, where nothing follows: 点击替换。"""
ZH_PAGES = re.compile(
    "面板|菜单|工具栏|侧边栏|素材库|媒体库|弹出的?窗口|弹窗|对话框|输入框|选项卡|标签页|网页|页面|界面|编辑器|工作区|画布"
    "|个人中心|用户中心|项目名称|导出设置"
)
"""Where a person works on the page; not a place in a picture (画面右侧)."""
ZH_CLIPS = re.compile("[^，。：]{0,4}?(?:片段|字幕|标题|文字|文本|轨道|素材|音频|缩略图)")
"""What is clicked in an editor and cannot be clicked in a film."""
ZH_KEY_PURPOSES = (
    (re.compile("导出|下载"), "export"),
    (re.compile("播放|预览"), "timeline"),
)
ZH_VIEWERS = re.compile("时间线|时间轴|面板|画布|预览窗|播放器|编辑器|工作区|工作台")
ZH_ACCOUNT = re.compile("账户|账号|账单|余额|订阅|充值|个人中心|用户中心|剩余积分")
ZH_SAVE_REST = re.compile(
    r"(?:出来|下来|一下)?(?:(?:您|你|这个?|该|最终|完整|成品|的)*(?:视频|影片|成片|文件|作品|片子|它)|按钮|即可"
    r"|就|[了吧啦]|[为成到至]|mp4|后即可|功能|[”\"」』】]|$)"
)
ZH_BUTTON_ACTIONS = (
    (re.compile("导出|下载|保存|渲染"), "export"),
    (re.compile("生成|创建|制作"), "generate"),
    (re.compile("预览|播放|时间线|时间轴"), "timeline"),
    (re.compile("账户|账号|账单|充值|积分|余额|升级|订阅"), "credits"),
    (re.compile("面板|菜单|选项|标签|设置|工作区|工作台|素材库|媒体库|侧边栏|项目"), "state"),
)
ZH_SUBORDINATE = re.compile(
    "如|若|要|想|需|满意|[您你](?!的)|请|可|然后|接着|之后|随后|即|就|再|当|也|或|完成后|满意|通过|在|为了|现在|最后|首先|先|下一步|接下来"
)

ONLY_PAGE_WORDS = {
    "en": {
        "export": "The video can be exported.",
        "proposal": "A further edit is proposed.",
        "": "Nothing needs to be done on a page.",
    },
    "zh": {"export": "视频已可导出。", "proposal": "有一项编辑建议。", "": "无需在网页上操作。"},
}
"""The text of an answer of which nothing but page instructions was left."""

GENERATE_PROPOSAL = {"en": "Generate the video", "zh": "生成视频"}

# --- Languages --------------------------------------------------------------------------------------------------

# Words that tell the languages of Latin script apart; those of two languages count for both.
COMMON_WORDS: dict[str, frozenset[str]] = {
    "en": _split_words(
        "the a an and with for of this that into turn make create add video image photo picture slow to in on is it my"
        " from animate animated clip music title remove please show as at by me have please smooth motion seconds"
    ),
    "es": _split_words(
        "el la los las un una unos de que y con para por en del al esta este mi tu imagen foto vídeo haz hacer"
        " crea crear convierte anima añade música más lento lenta segundos quiero hola suave movimiento sin como pon"
        " quita"
    ),
    "fr": _split_words(
        "le la les un une des du de et avec pour dans sur cette ce mon ma mes image photo vidéo fais faire crée créer"
        " transforme anime ajoute musique plus lent lente secondes je veux bonjour est en au mouvement sans titre"
    ),
    "de": _split_words(
        "der die das ein eine einen und mit für von im ist dieses diesem diese mein meine meinem bild foto"
        " video mach mache erstelle füge hinzu musik langsam langsame sekunden ich will möchte aus zu den dem bitte"
        " bewegung ohne titel animiere verwandle"
    ),
    "pt": _split_words(
        "o a os as um uma de que e com para por em do da dos no na esta este meu minha imagem foto vídeo faça"
        " fazer crie criar transforme anime adicione música mais lento lenta segundos quero olá não você suave"
        " movimento sem título coloque"
    ),
}
# Words that hold sentences together, and the verbs of wishes. Of the first kind names may consist, too ("La La Land").
TELLING_WORDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "en": (
        _split_words(
            "the a an and or with for of this that these those into to in on at by from over under through across"
            " while then than as is are was it its my your his her their our there"
        ),
        _split_words(
            "make makes making turn create add put use let give show want need would should could please remove delete"
            " change replace keep start end move moves moving slowly gently slow slower fast faster smooth bigger"
            " smaller larger longer shorter animate animated seconds second picture pictures image images photo"
            " music video i me we you he she they him them everything something more less not do does don't can what"
            " how why when where have has be so very too all some"
        ),
    ),
    "es": (
        _split_words(
            "el la los las un una unos unas de del que y o con para por en al sin sobre desde hasta como entre"
        ),
        _split_words(
            "esta este esto estos estas mi mis tu su haz hacer hazlo crea crear convierte anima añade pon ponle quita"
            " quiero quisiera cambia agrega agregar imagen imágenes vídeo música más menos muy lento lenta lentamente"
            " despacio segundos segundo suave suavemente movimiento mueva muevan mueve se lo le está son es hay pero"
            " cámara fondo favor gracias hola también"
        ),
    ),
    "fr": (
        _split_words("le la les un une des du de et ou avec pour dans sur en au aux sans sous vers par chez entre"),
        _split_words(
            "cette ce cet ces mon ma mes votre vos que qui fais faites faire crée créer transforme animer anime ajoute"
            " ajoutez ajouter mets mettez enlève je tu il elle nous vous veux voudrais image vidéo musique plus moins"
            " très lent lente lentement doucement secondes seconde est sont ne pas bonjour mouvement caméra arrière"
            " plait plaît soit être se"
        ),
    ),
    "de": (
        _split_words(
            "der die das dem den des ein eine einen einem einer und oder mit für von vom im in auf aus zu zum zur bei"
            " über unter nach durch ohne"
        ),
        _split_words(
            "dieses diesem diese diesen dieser mein meine meinem meinen ich du er sie wir ihr es will möchte mach mache"
            " machen erstelle füge hinzu setze lass lasse zeige ändere entferne ersetze bitte ist sind wird werden soll"
            " sollen nicht kein keine sich langsam langsame langsamer schnell sekunden sekunde bild bilder musik größer"
            " kleiner bewegung animiere verwandle auch noch mehr wie was"
        ),
    ),
    "pt": (
        _split_words(
            "o a os as um uma uns umas de do da dos das e ou que com para por em no na nos nas ao à sem sobre até"
        ),
        _split_words(
            "esta este essa esse isso meu minha meus seu sua faça faz fazer crie criar transforme anime adicione"
            " coloque remova mude quero gostaria imagem imagens vídeo música mais menos muito lento lenta lentamente"
            " devagar segundos segundo suave suavemente movimento se não você está são é também câmera fundo favor"
            " obrigado olá mova"
        ),
    ),
}
"""By language: articles, prepositions and the like; what only a sentence has."""

OTHER_WORDS: dict[str, frozenset[str]] = {
    "it": _split_words(
        "il lo la i gli le un una di del della dei che e con per in nel nella su da al questa questo questi mia mio fai"
        " crea aggiungi voglio immagine foto più lento lentamente secondi non è sono si musica"
    ),
    "nl": _split_words(
        "de het een en van in op met voor deze dit die dat mijn maak voeg ik wil graag niet is zijn naar uit langzaam"
        " seconden foto afbeelding muziek toe aan bij er"
    ),
    "sv": _split_words("och en ett det den som på med av för är inte jag vill gör lägg till bilden från i att denna"),
    "da": _split_words("og en et det den som på med af for er ikke jeg vil gør tilføj til billede fra i at dette"),
    "pl": _split_words("i w na z do się nie jest to ten ta zrób dodaj obraz wideo proszę żeby jak powoli"),
    "id": _split_words("dan yang di ke dari ini itu dengan untuk buat tambahkan gambar video saya tidak ada perlahan"),
    "tr": _split_words("bir ve bu için ile yap ekle resim video müzik lütfen yavaş yavaşça daha olsun"),
    "vi": _split_words("và của cho một này là không có thêm làm ảnh hình nhạc trong với được"),
    "ca": _split_words("el la els les un una de del que i amb per en aquesta aquest meva fes afegeix vull imatge més"),
    "ro": _split_words("și un o de la cu pentru din în pe această acest fă adaugă imagine mai încet nu este"),
}
"""Languages that no session speaks, so that their texts do not pass for a neighbour's."""

CHINESE_WISHES = frozenset("让讓请請这這那您你我她它们們吗嗎吧呢把给給和的了着著得地要在到用")
CHINESE_VERBS = (
    "加", "换", "換", "改", "变", "變", "动", "動", "放大", "放慢", "缩小", "縮小", "拉远", "拉近", "推近", "推进",
    "慢慢", "缓慢", "緩慢", "旋转", "旋轉", "生成", "制作", "做成", "去掉", "删", "一点", "一點", "更", "请", "再",
    "不要",
)  # fmt: skip
JAPANESE_PARTICLES = re.compile(r"[をはがにでもへと]|して|ください|ます|です|たい")
KOREAN_ENDS = re.compile(r"(?:을|를|은|는|에|에서|으로|로|게|히|고|며|면|도|처럼|까지|부터|해|줘|요|다|세요|주세요)$")
KOREAN_WISHES = re.compile(r"(?:줘|요|다|자|해라|하기)[.!?]*$")
RUSSIAN_WORDS = _split_words(
    "и в во на с со из для не что это как к ко у за от до по при под над без или а но же бы чтобы пожалуйста сделай"
    " сделайте добавь добавьте убери измени покажи пусть я мы он она они мне мой моя моё этот эта эту очень более"
    " медленно плавно быстро видео музыку картинку фото секунд"
)
NO_RUSSIAN = re.compile(r"[іїєґўјљњћђџѓќѕ]")

ACCENTS: dict[str, str] = {"es": "ñ¿¡", "fr": "œèùâîûç", "de": "ßäöü", "pt": "ãõç"}

PROMPT_LINES: dict[str, tuple[str, str, str, str, str]] = {
    "en": ("Duration: {} second.", "Duration: {} seconds.", "Aspect ratio: {}.", "End on the last image.", " "),
    "zh-CN": ("时长：{} 秒。", "时长：{} 秒。", "画面比例：{}。", "以最后一张图片结束。", ""),
    "ja": ("長さ：{}秒。", "長さ：{}秒。", "アスペクト比：{}。", "最後の画像で終わる。", ""),
    "ko": ("길이: {}초.", "길이: {}초.", "화면 비율: {}.", "마지막 이미지로 끝납니다.", " "),
    "es": ("Duración: {} s.", "Duración: {} s.", "Relación de aspecto: {}.", "Termina con la última imagen.", " "),
    "fr": ("Durée : {} s.", "Durée : {} s.", "Format d’image : {}.", "Terminer sur la dernière image.", " "),
    "de": ("Dauer: {} s.", "Dauer: {} s.", "Seitenverhältnis: {}.", "Mit dem letzten Bild enden.", " "),
    "pt": ("Duração: {} s.", "Duração: {} s.", "Proporção da tela: {}.", "Terminar com a última imagem.", " "),
    "ru": (
        "Длительность: {} сек.",
        "Длительность: {} сек.",
        "Соотношение сторон: {}.",
        "Закончить последним изображением.",
        " ",
    ),
}
"""By language: one second, more seconds, the ratio, the last picture, and what stands between two sentences."""

CJK = re.compile(r"[\u4e00-\u9fff]")
QUOTED = re.compile(r"“[^“”]*”|「[^「」]*」|『[^『』]*』|(?<![^\s(（:：，。、])\"[^\"]{1,120}\"")

# --- Drafts -------------------------------------------------------------------------------------------------------

TIMELINE_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "video": "Video",
        "audio": "BGM",
        "text": "Title",
        "other": "Track",
        "track": "Timeline ({n} track):",
        "tracks": "Timeline ({n} tracks):",
        "named": "{kind}: {list}",
        "unnamed": "{kind} {list}",
        "empty": "{kind}: empty",
        "quoted": '"{title}"',
        "span": "{start}-{end}s",
        "times": " ({facts})",
        "comma": ", ",
        "more": "{n} more",
        "seconds": "{s}s",
        "sentence": "{words}.",
        "space": " ",
        "added": "Added {what}",
        "removed": "Removed {what}",
        "renamed": "{kind}: {a} is now {b}",
        "longer": "{what} is longer: {b} (was {a})",
        "shorter": "{what} is shorter: {b} (was {a})",
        "moved": "{what} starts at {b} (was {a})",
        "volume": "{what}: volume {b} (was {a})",
        "settings": "{what}: other settings changed",
        "order": "{kind}: the order changed",
        "size": "The picture is {b} (was {a})",
        "size-new": "The picture is {b}",
        "total": "The video is {b} long (was {a})",
        "track-added": "Added an empty track: {kind}",
        "track-removed": "Removed an empty track: {kind}",
        "others": "Other settings changed",
        "changes": "{n} more changes",
    },
    "zh": {
        "video": "视频",
        "audio": "背景音乐",
        "text": "标题",
        "other": "轨道",
        "track": "时间线（{n} 条轨道）：",
        "tracks": "时间线（{n} 条轨道）：",
        "named": "{kind}：{list}",
        "unnamed": "{kind}{list}",
        "empty": "{kind}：空",
        "quoted": "“{title}”",
        "span": "{start}-{end}秒",
        "times": "（{facts}）",
        "comma": "，",
        "more": "另有 {n} 段",
        "seconds": "{s}秒",
        "sentence": "{words}。",
        "space": "",
        "added": "添加了{what}",
        "removed": "移除了{what}",
        "renamed": "{kind}：{a}改为{b}",
        "longer": "{what}变长：{b}（原为{a}）",
        "shorter": "{what}变短：{b}（原为{a}）",
        "moved": "{what}从{b}开始（原为{a}）",
        "volume": "{what}：音量{b}（原为{a}）",
        "settings": "{what}：其他设置有变化",
        "order": "{kind}：顺序有变化",
        "size": "画面为 {b}（原为 {a}）",
        "size-new": "画面为 {b}",
        "total": "视频时长{b}（原为{a}）",
        "track-added": "添加了一条空轨道：{kind}",
        "track-removed": "移除了一条空轨道：{kind}",
        "others": "其他设置有变化",
        "changes": "另有 {n} 处变化",
    },
}

"""Turns the agent's instructions about its web page into actions and proposals: no page is open here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, pairwise, takewhile
from typing import Literal

from . import vocabulary as ph
from .router import URL as _URL
from .router import Intent, Request, read_request, route

__all__ = ["Action", "Intent", "Request", "Translated", "normalize", "read_request", "route", "translate"]

Action = Literal["export", "state", "timeline", "credits"]
"""What a page instruction means here; each is free."""

_MAX_PROPOSAL = 200
_MAX_PASSES = 8
_Pattern = re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Translated:
    """An answer of the agent without the words about its web page.

    Attributes:
        text: what is left for the user. Where nothing was left, one plain sentence; `""` only for an empty answer.
        actions: what the page instructions mean here, in their order, each once. All are free.
        proposals: messages that would carry out instructions that cost. They are told, never sent by themselves.
    """

    text: str
    actions: tuple[Action, ...] = ()
    proposals: tuple[str, ...] = ()


def translate(reply: str, lang: str = "en") -> Translated:
    """Turn instructions about the backend's web page into actions and proposals; everything else stays as written.

    `lang` decides the language of the sentences that are ours (`zh...`, else English); instructions are understood in
    both languages. An instruction is a verb in the imperative, or one said of "you", together with a part of a page:
    "a man clicks a pen" and "open the door slowly" are content. Links stay even where their sentence goes.
    Translating the result again changes nothing.
    """
    ours = "zh" if lang.casefold().startswith("zh") else "en"
    orders = _Orders(ours)
    text = reply.replace("\r\n", "\n").strip()
    for _ in range(_MAX_PASSES):
        before, text = text, _without_instructions(text, orders)
        if text == before:
            break
    if not text and (orders.actions or orders.proposals or orders.dropped):
        left = "export" if "export" in orders.actions else "proposal" if orders.proposals else ""
        text = ph.ONLY_PAGE_WORDS[ours][left]
    return Translated(text, tuple(orders.actions), tuple(orders.proposals))


def normalize(message: str) -> str:
    """The letters and digits of a message, to compare two proposals."""
    plain = unicodedata.normalize("NFKC", message).casefold()
    return "".join(letter for letter in plain if letter.isalnum()) or plain


class _Orders:
    """What the instructions found so far mean."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self.actions: list[Action] = []
        self.proposals: list[str] = []
        self.dropped = False
        self.explains = False

    def do(self, what: str) -> None:
        """Note an action by its name; a button that charges becomes a proposal."""
        self.dropped = True
        if what == "generate":
            self.propose(ph.GENERATE_PROPOSAL[self.lang])
        for action in _ACTIONS:
            if action == what and action not in self.actions:
                self.actions.append(action)

    def propose(self, message: str) -> None:
        self.dropped = True
        if self.explains:
            return
        message = _ASIDE_END.sub("", message.strip(_PUNCTUATION))[:_MAX_PROPOSAL].strip(_PUNCTUATION)
        if re.search(r"\w", message) and normalize(message) not in map(normalize, self.proposals):
            self.proposals.append(message)


_PUNCTUATION = " \t\n.,;:!?。，；：！？*_`"
_ASIDE_END = re.compile(
    r"\s(?:if|when|whenever|once|to) (?:you|needed|necessary)\b.*|(?:即可.{0,6}|就可以了?|就行了?|吧)$", re.DOTALL
)
_JOINTS = " \t,;:，、；：—–-"
_AFTER_URL = ".,;!?*_"
_ACTIONS: tuple[Action, ...] = ("export", "state", "timeline", "credits")
_ITEM = re.compile(r"\s*(?:(?:[-*•>#]+|\d{1,3}[.)、]|\(\d{1,3}\))\s+|[①-⑳]\s*)")
_EMOJI = "\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d"
# A run of terminators is entered at its first character only, so that a megabyte of dots stays linear.
_SENTENCE_END = re.compile(
    rf"(?<![.!?…])[.!?…]+[\"'”’)\]*_]*(?=\s|$|[{_EMOJI}])(?: ?[{_EMOJI}])*|[。！？；]+[”’」』）】*]*(?: ?[{_EMOJI}])*"
    rf"|(?<![{_EMOJI}])[{_EMOJI}]+(?=\s+[A-Z])"
)


def _without_instructions(text: str, orders: _Orders) -> str:
    kept: list[str] = []
    header: int | None = None  # a line such as "Next:", kept only if something of its list is kept
    lines = text.split("\n")
    steps = _find_steps(lines, orders.lang)
    for at, line in enumerate(lines):
        marker = _ITEM.match(line)
        body = line[marker.end() :] if marker else line
        orders.explains = at in steps and steps[at]
        rest = body if ph.CONTENT_LABEL.match(body) else "".join(_keep_sentences(body, orders))
        orders.explains = False
        if rest == body and at in steps and _is_step(body):
            rest = ""
            orders.dropped = True
        if rest == body:
            header = len(kept) if body.rstrip().endswith((":", "：")) and not _URL.search(body) else None
            kept.append(line)
        elif rest.strip():
            header = None
            kept.append((marker.group() if marker else "") + rest.rstrip())
        elif header is not None and not "".join(kept[header + 1 :]).strip():
            kept[header:] = [said] if (said := _without_last_sentence(kept[header])) else []
            header = None
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _without_last_sentence(header: str) -> str:
    """What a header says before it leads to its list: "All set! Next steps:"."""
    return "".join(_cut_after(header, _SENTENCE_END)[:-1]).rstrip()


def _find_steps(lines: list[str], lang: str) -> dict[int, bool]:
    """The lines of lists in which a step is about the page, and whether the list explains how something is done."""
    found: dict[int, bool] = {}
    header, at = "", 0
    while at < len(lines):
        end = at
        while end < len(lines) and _ITEM.match(lines[end]):
            end += 1
        block = range(at, end)
        if any(_is_about_page(lines[each], lang) for each in block):
            found.update(dict.fromkeys(block, ph.EXPLAINS.search(header) is not None))
        header, at = lines[max(at, end - 1)] or header, max(at + 1, end)
    return found


def _is_about_page(line: str, lang: str) -> bool:
    body = _ITEM.sub("", line, count=1)
    return not ph.CONTENT_LABEL.match(body) and "".join(_keep_sentences(body, _Orders(lang))) != body


def _is_step(body: str) -> bool:
    """Whether a line begins as a step does: with a verb in the imperative."""
    first = _WORD.search(body[:40].replace("*", ""))
    begins = first is not None and not body[: first.start()].strip(" *\"“'`")
    if begins and first is not None and first.group().lower() in ph.STEP_VERBS:
        return True
    return ph.ZH_STEP.match(body) is not None


_NUMBER = re.compile(r"\s*\(?\d{1,2}[.)、]\s*$")
_STEP_LABEL = re.compile(
    r"\s*\**(?:step \d{1,2}|第[一二三四五六七八九十\d]{1,2}步|[①-⑳])\**\s?[:：.、,，]?\**\s?"
    r"|\s*(?:first|then|next|finally|lastly|after that|now|and then|首先|然后|接着|最后|再|接下来)\b[,，]?\s?",
    re.IGNORECASE,
)
"""What numbers a sentence: "Step 2:", 第二步：, "Then"."""


def _keep_sentences(line: str, orders: _Orders) -> Iterator[str]:
    """The sentences that stay, each with the number before it ("1. Click Export. 2. …")."""
    line = _without_deeds(line, orders)
    number, asked, gone = "", "", False
    for sentence in _cut_after(line, _SENTENCE_END):
        if ph.HOW_ASKED.match(sentence):  # stays unless steps follow
            number, asked = "", asked + number + sentence
            continue
        if _NUMBER.match(sentence):
            number += sentence
            continue
        label = _STEP_LABEL.match(sentence)
        if label and not sentence[label.end() :].strip():
            label = None
        step = sentence[label.end() :] if label else sentence
        kept = _keep_content(step, orders)
        if label and kept.strip():
            kept = label.group() + kept.lstrip()
        if (number or label) and gone and kept == sentence and _is_step(step.strip()):
            kept = ""
        gone = gone or kept != sentence
        yield ("" if asked and not kept.strip() else asked) + (number if kept.strip() else "") + kept
        number = asked = ""
    yield asked + number


def _without_deeds(line: str, orders: _Orders) -> str:
    """The line without "select the clip and press Delete", which together is an edit."""

    def take(found: re.Match[str]) -> str:
        before = line[: found.start()]
        start = max(map(before.rfind, ".!?:\n。！？"), default=-1) + 1
        lead = before[start:]
        if any(left < found.start() < right for left, right in quoted) or not _is_lead(lead):
            return found.group()
        orders.dropped = True
        deed = found["deed"].lower()
        chinese = ph.CJK.search(found.group()) is not None
        what = re.sub(r"^.*(?:dots|icon|menu|button)\b.*?\b(?=(?:the|your|this|that) )", "", found["what"].strip())
        words = ph.DEEDS.get(deed, (deed.capitalize(), deed))
        told = before[max(map(before.rfind, ".!?\n。！？")) + 1 :]
        if not ph.EXPLAINS.search(told + found.group()):
            orders.propose(f"{words[1]}{what}" if chinese else f"{words[0]} {what}")
        return _DONE

    line = ph.PICK_AND_DRAG.sub(r"drag \g<what>", line)
    line = ph.ZH_PICK_AND_DRAG.sub(r"把\g<what>拖动到", line)
    quoted = [found.span() for found in ph.QUOTED.finditer(line)]
    if ph.CJK.search(line):
        line = ph.ZH_PICK_AND_DO.sub(take, line)
    cleaned = ph.PICK_AND_DO.sub(take, line)
    if _DONE not in cleaned:
        return cleaned
    # What led to it goes with it: "To shorten it, …", "1. ….".
    return _AROUND_DONE.sub("", cleaned)


_DONE = "\ue000"
_AROUND_DONE = re.compile(
    rf"(?:(?<=[.!?。！？])|^)(?:\s*(?:how to|to|如何|怎样|怎么|要|想要)[^.!?。！？:：,，]{{1,40}}[:：])?"
    rf"[^.!?。！？:：]{{0,80}}{_DONE}[^.!?。！？;；,，\n]{{0,80}}[.!?。！？;；,，]?"
    rf"|(?<=[:：])[^.!?。！？:：]{{0,80}}{_DONE}[^.!?。！？;；,，\n]{{0,80}}[.!?。！？;；,，]?",
    re.IGNORECASE,
)


def _is_lead(lead: str) -> bool:
    """Whether what stands before an instruction only leads to it: nothing, "you can", "to shorten it,"."""
    words = re.findall(r"[a-z']+", lead.lower())
    if ph.CJK.search(lead):
        return _check_lead_zh(lead)[0] or ph.EXPLAINS.match(lead) is not None
    if not words or lead.rstrip().endswith(","):
        return not words or words[0] in ph.SUBORDINATE | ph.YOU
    return all(word in ph.LEADS | ph.YOU for word in words)


# What stands in quotes is content: it is never cut, and a verb in it is no instruction.


def _cut_after(text: str, ends: _Pattern) -> list[str]:
    """`text` cut after each match of `ends` that is not inside quotes."""
    quoted = [m.span() for m in ph.QUOTED.finditer(text)] + [(len(text) + 1, 0)]
    cuts, at = [0], 0
    for end in (m.end() for m in ends.finditer(text)):
        while quoted[at][1] < end and quoted[at][0] < len(text):
            at += 1
        if quoted[at][0] >= end:
            cuts.append(end)
    cuts.append(len(text))
    return [text[a:b] for a, b in pairwise(cuts) if b > a]


_BREAK = re.compile(
    r"[,;:](?=\s)|[，、；：]|(?<=\s)[—–-](?=\s)"
    r"|(?<!drag)\s(?:and|or|then)(?=\s(?:(?:then|also|you|please|just|simply|can|may) ){0,3}"
    rf"(?:{'|'.join(sorted(ph.INSTRUCTION_VERBS))})\b)",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\s?[(（][^()（）]{1,300}[)）]")


def _keep_content(sentence: str, orders: _Orders) -> str:
    """What stays of a sentence: all of it, if it instructs nothing; else its statements and its links."""
    if not _VERB.search(sentence):
        return sentence
    sentence = _ASIDE.sub(lambda m: _keep_aside(m.group(), orders), sentence)
    clauses = _cut_after(sentence, _BREAK)
    explained, orders.explains = orders.explains, orders.explains or ph.EXPLAINS.search(sentence) is not None
    marks = [_is_instruction(clause, orders) for clause in clauses]
    orders.explains = explained
    if True not in marks:
        return sentence
    first = marks.index(True)
    lead = _find_lead(clauses[:first])
    rest = [*zip(clauses, marks, strict=True)][first:]
    after: list[str] = []
    told = False  # a clause behind a colon, and those that go on from it
    for (before, _), (clause, mark) in pairwise(rest):
        told = not mark and (_is_told(before, clause) or (told and not _is_subordinate(clause)))
        if told or (not mark and ph.STATEMENT.match(clause.lstrip())):
            after.append(clause)
    kept = _rewrite_sentence(lead, after, sentence)
    return sentence[: len(sentence) - len(sentence.lstrip())] + kept if kept else ""


_TELLS = re.compile(r"[:：—–-]\s*$")


def _is_told(before: str, clause: str) -> bool:
    """Whether a clause tells of the content behind a colon: "Check the timeline: the music starts at 0:02"."""
    return (
        _TELLS.search(before) is not None
        and not _is_step(clause.strip())
        and not _is_subordinate(clause)
        and len(clause.split()) + (2 if ph.CJK.search(clause) else 0) > 2
    )


def _keep_aside(aside: str, orders: _Orders) -> str:
    if not _is_instruction(aside.strip()[1:-1], orders):
        return aside
    return "".join(f" {link}" for link in _URL.findall(aside))


def _find_lead(clauses: list[str]) -> str:
    """The statements before an instruction; "if you like it," and "to save it," lead to it and go with it."""
    if clauses and ph.HOW_LABEL.search(clauses[-1]):
        clauses = clauses[:-1]
    if clauses and _is_subordinate(clauses[0]):
        clauses = list(dropwhile(lambda clause: not ph.STATEMENT.match(clause.lstrip()), clauses))
    return "".join(takewhile(lambda clause: not _is_subordinate(clause), clauses))


def _rewrite_sentence(lead: str, after: list[str], whole: str) -> str:
    """The statements as sentences again, then the links that would be lost."""
    parts = [part for part in map(_trim_joint, [lead, *after]) if part]
    ends = ["" if part[-1] in ".!?。！？" else "。" if ph.CJK.search(part) else "." for part in parts]
    kept = " ".join(part + end for part, end in zip(parts, ends, strict=True))
    said = dict.fromkeys(url.rstrip(_AFTER_URL) for url in _URL.findall(kept))
    links = dict.fromkeys(url.rstrip(_AFTER_URL) for url in _URL.findall(whole))
    return " ".join([*([kept] if kept else []), *(link for link in links if link not in said)])


def _trim_joint(clause: str) -> str:
    """A clause without what joined it to the next one."""
    clause = clause.strip(_JOINTS)
    head, _, last = clause.rpartition(" ")
    return head.rstrip(_JOINTS) if last.lower() in ("and", "or", "then", "but", "so") else clause


def _is_subordinate(clause: str) -> bool:
    words = re.findall(r"[a-z']+", clause[:40].lower()) or [""]
    asked = words[0] in ph.YOU and words[1:2] != [] and words[1] in ph.LEADS
    return asked or words[0] in ph.SUBORDINATE or ph.ZH_SUBORDINATE.match(clause.lstrip()) is not None


_VERB = re.compile(rf"\b(?:{'|'.join(sorted(ph.INSTRUCTION_VERBS))})\b|{ph.ZH_INSTRUCTION_VERB.pattern}", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z](?:[A-Za-z'’-]*[A-Za-z])?")
_OFFERS = (["shall", "i"], ["should", "i"])
_WINDOW = 12  # words after a verb
_MAX_REST = 400  # characters after a verb


def _is_instruction(clause: str, orders: _Orders) -> bool:
    """Whether a clause instructs; what it means goes to `orders`."""
    if not _VERB.search(clause):
        return False
    quoted = ph.QUOTED.sub(lambda m: "\0" * len(m.group()), clause)
    return (ph.CJK.search(clause) is not None and _instructs_zh(clause, quoted, orders)) or _instructs_en(
        clause, quoted, orders
    )


def _instructs_en(clause: str, quoted: str, orders: _Orders) -> bool:
    found = list(_WORD.finditer(clause))
    words = [m.group().lower().replace("’", "'") for m in found]
    led, you = True, False
    for i, word in enumerate(words):
        begun = led or you or words[i - 1] in ("please", "simply") or (i == 2 and words[:2] in _OFFERS)
        imperative = begun and word in ph.INSTRUCTION_VERBS and quoted[found[i].start()] != "\0"
        end = found[i].end()
        if imperative and _order_en(words, i, clause[end : end + _MAX_REST], orders):
            return True
        you = (you or (led and word in ph.YOU)) and word not in ph.OTHERS
        led = led and word in ph.LEADS
    return False


def _order_en(words: list[str], at: int, rest: str, orders: _Orders) -> bool:
    """Whether the verb at `words[at]` is said of a part of the page; `rest` is the text after it."""
    verb, window = words[at], words[at + 1 : at + 1 + _WINDOW]
    near = set(window)
    if verb in ph.CLICKS | ph.HANDLES and ph.KEYS.match(rest):
        orders.do(next((ph.BUTTON_ACTIONS[word] for word in window[1:] if word in ph.KEY_PURPOSES), ""))
        return True
    if verb in ph.HANDLES | ph.DRAGS and near & ph.CONTROLS:
        value = re.search(r"\bto\s(-?\d+(?:\.\d+)?\s?(?:%|percent|dB|s\b|seconds)?)", rest)
        name = re.search(r"(?:the|your)\s((?:[\w-]+\s){1,3}?)slider", rest)
        if value and name:
            orders.propose(f"Set the {name[1].strip()} to {value[1].strip()}")
        orders.do(next((ph.BUTTON_ACTIONS[word] for word in window[1:] if word in ph.KEY_PURPOSES), ""))
        return True
    if verb == "upload" and not near & (ph.UPLOAD_PLACES | ph.PAGE_PARTS | {"dragging", "clicking"}):
        return False
    if verb in ph.MOUSES and verb not in ph.CLICKS:
        orders.do("")
        return True
    if verb in ph.CLICKS:
        if not _click_en(verb, window, rest, orders) and verb not in ph.MOUSES:
            return False
        orders.do("")
        return True
    if verb in ph.DRAGS or (verb in ph.DROPS and near & ph.DROP_PLACES):
        what = _trim_joint(re.sub(r"^(?:[\s-]*and[\s-]+drop\b)?\s*", "", rest, flags=re.IGNORECASE))
        if what.strip(" .!?"):
            # Files dragged into the chat are an upload, which no message can make.
            orders.propose("" if near & ph.UPLOAD_PLACES else f"Move {what}")
            return True
    elif verb in ph.OPENS:
        return _open_en(verb, window, rest, orders)
    elif verb in ("look", "take") and (verb, *window[:1]) not in (("look", "at"), ("take", "a")):
        return False
    elif verb in ph.LOOKS and near & ph.VIEWERS and (verb not in ("see", "find") or window[0] in ph.SEEN):
        orders.do("timeline")
        return True
    elif verb in ph.LOOKS and (near & ph.ACCOUNT or window[:2] in (["your", "credits"], ["your", "balance"])):
        orders.do("credits")
        return True
    elif verb in ph.SAVES and _saves_film(window):
        orders.do("export")
        return True
    return False


def _click_en(verb: str, window: list[str], rest: str, orders: _Orders) -> bool:
    name = re.match(r"\s*(?:on |the |your |a )*[\"“‘'「『【\[*`]+\s*([^\"”’'」』】\]*`\n]{1,60})", rest)
    words = [word for word in window if word not in ("on", "the", "your", "a", "this")]
    first = words[0] if words else ""
    titled = verb in ("click", "tap") and re.match(r"\s*(?:on |the )*[A-Z]", rest) is not None
    if not (ph.PAGE_PARTS & set(window) or first in ph.BUTTONS or (name and verb not in ph.CHOOSES) or titled):
        return False
    meanings = [ph.BUTTON_ACTIONS[word] for word in window if word in ph.BUTTON_ACTIONS]
    what = next((m for m in meanings if m != "state"), meanings[0] if meanings else "")
    if name and not what:
        orders.propose(name.group(1))
    orders.do(what)
    return True


_MENU = re.compile(r"^[^.!?\n]{1,60}?(?:>|→|›|»|->)\s*[\"“'*]*(\w+)")


def _open_en(verb: str, window: list[str], rest: str, orders: _Orders) -> bool:
    near = set(window[:10])
    if _MENU.match(rest):  # Settings > Export
        orders.do(next((ph.BUTTON_ACTIONS[word] for word in window if word in ph.BUTTON_ACTIONS), "state"))
        if "export" in map(str.lower, _WORD.findall(rest)):
            orders.do("export")
        return True
    opens = verb in ("open", "opening") and window[:1] not in (["with"], ["on"], ["up"], ["by"])
    goes = verb not in ("open", "opening") and (verb in ("visit", "visiting", "hover") or "to" in window[:2])
    goes = goes or (verb == "scroll" and window[:1] in (["through"], ["along"]))
    if not (opens or goes) or not near & (ph.PAGE_PLACES | ph.ACCOUNT):
        return False
    place = "timeline" if goes and "timeline" in near else "export" if near & {"export", "download"} else "state"
    orders.do("credits" if near & ph.ACCOUNT else place)
    return True


def _saves_film(window: list[str]) -> bool:
    if not window or window[0] in ph.FILM_NOUNS or window[0] in ph.AFTER_SAVE:
        return True
    words = takewhile(lambda word: word not in ph.PREPOSITIONS, window[1:5])
    return window[0] in ph.OWN and not ph.FILM_NOUNS.isdisjoint(words)


def _instructs_zh(clause: str, quoted: str, orders: _Orders) -> bool:
    for found in ph.ZH_INSTRUCTION_VERB.finditer(quoted):
        before = clause[: found.start()]
        if len(before.strip()) > 60:
            break
        led, place = _check_lead_zh(before)
        if led and _order_zh(found.group(), place, clause[found.end() : found.end() + _MAX_REST], orders):
            return True
    return False


_ZH_PLACE = re.compile(
    "[在到从](?:个人|用户|账户)中心|[在到从].{1,14}?[中里上内处侧方栏角](?:的.{1,8}?[中里上内处侧方栏角])?"
    f"(?=$|[把将]|{'|'.join(ph.ZH_LEADS)})"
    "|[在到从去](?:(?:导出|下载|设置|预览)?(?:面板|窗口|页面?)|时间[线轴]|画布|编辑器|素材库|媒体库|工作区|播放器)"
    "|[在到从去](?:我的|您的|你的)?(?:账户|账号|账单|充值|订阅|积分)(?:页面?|中心|设置)|(?:输入框|对话框|聊天框)[中里内]"
    f"|(?:通过|用|使用|利用)[^，。]{{0,6}}?(?:{ph.ZH_CONTROLS.pattern})"
    "|(?:通过|利用)[^，。]{0,8}?(?:界面|页面|网页|面板|按钮|菜单)(?:[左右上下][侧方边角]{1,2}的?)?(?:导出|下载)?(?:按钮|功能)?"
)
_ZH_CONDITION = re.compile("[^把将他她它人孩男女我]{1,8}?(?:的话|以后|之后|后|时候|时)")


def _check_lead_zh(before: str) -> tuple[bool, str]:
    """Whether only words that lead to an instruction stand before its verb; and the place or object among them."""
    text = "".join(c for c in before if c.isalpha())
    place = ""
    while text:
        if found := _ZH_PLACE.match(text):
            place, text = found.group(), text[found.end() :]
        elif lead := next((word for word in ph.ZH_LEADS if text.startswith(word)), ""):
            text = text[len(lead) :]
        elif found := _ZH_CONDITION.match(text):
            text = text[found.end() :]
        elif text[0] in "把将":
            return len(text) <= 20, place + text
        else:
            return False, ""
    return True, place


_KEY_DELETES = re.compile(
    r"[^，。]{0,12}(?:delete|del|backspace|退格|删除)\s?键?(?:删除|移除)([^，。]{1,30})", re.IGNORECASE
)
_MENU_ZH = re.compile(r"[^。]{1,30}?(?:>|→|›|»|->)\s*[“\"]?(?:导出|下载|export)", re.IGNORECASE)


def _order_zh(verb: str, place: str, rest: str, orders: _Orders) -> bool:
    near = rest[:20]
    thing = re.search("[把将].*", place)
    if rest.startswith(("了", "过")):  # it is done
        return False
    if verb in ph.ZH_MOUSES and ph.ZH_CLIPS.match(rest):
        orders.do("")
        return True
    if verb in ph.ZH_PRESSES and (ph.ZH_SHORTCUT if verb in ("用", "使用") else ph.ZH_KEYS).match(rest):
        orders.do(next((what for pattern, what in ph.ZH_KEY_PURPOSES if pattern.search(rest)), ""))
        if made := _KEY_DELETES.match(rest):
            orders.propose("删除" + made[1])
        return True
    if verb in ph.ZH_HANDLES | ph.ZH_DRAGS and ph.ZH_CONTROLS.search(place + rest[:16]):
        value = re.search(r"[到至为成]\s?(-?\d+(?:\.\d+)?\s?(?:%|％|秒|dB)?)", verb + rest[:30])
        name = re.search(r"(?:[把将]|^)([^，。把将的]{1,6}?)的?(?:滑块|滑杆|滑动条)", place or rest)
        if value and name:
            orders.propose(f"把{name[1]}调到{value[1]}")
        orders.do("")
        return True
    if verb == "上传":
        if not ph.ZH_SHELVES.search(place) and not ph.ZH_UPLOADS.search(place):
            return False
        orders.do("")
        return True
    if verb in ph.ZH_CLICKS:
        return _click_zh(place, rest[:40], orders)
    if verb in ph.ZH_DRAGS:
        if ph.ZH_UPLOADS.search(rest[:16]):  # no message can upload a file
            orders.do("")
            return True
        target = "到" if verb[-1] in "入到至" else ""
        orders.propose(f"{thing.group() if thing else ''}移动{target}{rest}")
        return True
    if verb in ph.ZH_EDITS and ph.ZH_PAGES.search(place):
        orders.propose(f"{thing.group()}{verb}{rest}" if thing and verb in ph.ZH_SETS else "")
        return True
    if verb in ph.ZH_OPENS and _MENU_ZH.match(rest):
        orders.do("export")
        return True
    if verb in ph.ZH_OPENS and ph.ZH_PLACES.search(near):
        lines = verb != "打开" and re.search("时间[线轴]", near)
        orders.do("credits" if ph.ZH_ACCOUNT.search(near) else "timeline" if lines else "state")
        return True
    if verb in ph.ZH_LOOKS and ph.ZH_VIEWERS.search(place + near):
        orders.do("timeline")
        return True
    if verb in ph.ZH_CHECKS and (ph.ZH_ACCOUNT.search(rest[:12]) or ph.ZH_ACCOUNT.search(place)):
        orders.do("credits")
        return True
    if verb in ph.ZH_LOOKS and ph.ZH_PAGES.search(place):
        orders.do("state")
        return True
    if verb in ph.ZH_SAVES and ph.ZH_SAVE_REST.match(rest.lstrip()):
        orders.do("export")
        return True
    return False


def _click_zh(place: str, rest: str, orders: _Orders) -> bool:
    named = [word for word in map(str.lower, _WORD.findall(rest)) if word in ph.BUTTONS]
    is_part = ph.ZH_PAGE_PARTS.search(rest[:30]) or ph.ZH_COMMANDS.match(rest)
    if not is_part and not named and not ph.ZH_SHELVES.search(place):
        return False
    found = [(m.start(), what) for pattern, what in ph.ZH_BUTTON_ACTIONS if (m := pattern.search(rest))]
    meanings = [what for _, what in sorted(found)] + [ph.BUTTON_ACTIONS.get(word, "") for word in named]
    if not any(meanings) and re.search("导出|下载", place):
        meanings = ["export"]
    what = next((m for m in meanings if m and m != "state"), meanings[0] if meanings else "")
    name = re.match(r"\s*[“\"「『【]([^”\"」』】\n]{1,60})", rest)
    if name and not what:
        orders.propose(name.group(1))
    orders.do(what)
    return True

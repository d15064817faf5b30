"""A message that may charge, what things were like before it, and how its end is told. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import _drafts, _prompts
from ._attempts import Attempt
from ._config import CLOUD, LOCAL, shown
from ._errors import ApiError, Charged, ConnectError, LocalError, NemoError, NothingMade, QuestionAsked, ResultUnknown
from ._events import StreamFailure
from ._handles import SessionHandle
from ._intents import translate
from ._jobs import Job, id_of
from ._journal import Journal
from ._models import Credits
from ._models import State as SessionState
from ._money import Money
from ._questions import read_inquiry
from ._steps import REFUSALS, Kind, State


@dataclass(frozen=True)
class Message:
    """A message to a session: its step key, its kind, where it follows on, and its text as it goes out.

    `words` are the user's own of it, by which its language is told; empty where `text` is all of them.
    """

    key: str
    kind: Kind
    after: SessionHandle
    text: str
    words: str = ""


@dataclass(frozen=True)
class Baseline:
    """What the session and the account were like before a message was sent; `files` are the uploads it listed."""

    segments: str
    media: frozenset[str]
    draft: Mapping[str, Any] | None
    credits: Credits | None
    files: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data, for the journal."""
        return {
            "segments": self.segments,
            "media": sorted(self.media),
            "draft": self.draft,
            "credits": self.credits.model_dump(mode="json") if self.credits else None,
            "files": sorted(self.files),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Baseline:
        """The baseline that `to_json` wrote."""
        credits = Credits.model_validate(data["credits"]) if data.get("credits") else None
        files = frozenset(data.get("files", ()))
        return cls(data["segments"], frozenset(data["media"]), data.get("draft"), credits, files)

    def shows_work(self, state: SessionState) -> bool:
        """Whether `state` holds new media or other segments, in a draft that can be exported.

        "Changed" alone is no evidence: re-signed addresses and late analyses change a state, too.
        """
        if not _drafts.is_ready(state.draft or {}):
            return False
        return self.has_new_media(state) or _drafts.segments_digest(state.draft or {}) != self.segments

    def has_new_media(self, state: SessionState) -> bool:
        """Whether `state` lists generated media that were not there before, in a draft or not."""
        return bool(_drafts.media_ids(state.raw) - self.media)

    def left_by(self, later: Baseline) -> bool:
        """As `shows_work`, by what things were like before a later message of the session."""
        if not _drafts.is_ready(later.draft or {}):
            return False
        return bool(later.media - self.media) or later.segments != self.segments


def not_known(attempt: Attempt) -> ResultUnknown:
    """What an attempt whose result is not known is reported as, by why that is so."""
    why = str(attempt.facts.get("error") or "")
    text_id = {"stream-too-long": "stream-capped"}.get(why, why)
    told = text_id if text_id in ("answered-nothing", "result-late", "stream-capped") else "result-unknown"
    return ResultUnknown(told, charged="maybe" if attempt.paid else "no", why=why)


def refused(error: NemoError) -> bool:
    """Whether an error proves that the message was not worked on (a web page or half an answer does not).

    Nor does any answer of a server in trouble, whatever code it brings.
    """
    if isinstance(error, (ConnectError, LocalError)):
        return True
    if not isinstance(error, ApiError) or error.status in (408, 425) or error.status >= 500:
        return False
    return error.code in REFUSALS or error.status in REFUSALS


def says_no_credits(failure: StreamFailure | None) -> bool:
    """Whether a failure inside of a stream is 2001: as its code, wherever that stands, or in its words."""
    if failure is None:
        return False
    places: list[Any] = [failure.details]
    while places:
        place = places.pop()
        if isinstance(place, Mapping):
            codes = [place.get(name) for name in _CODE_NAMES]
            if any(str(code).strip() == "2001" for code in codes if not isinstance(code, bool)):
                return True
            places += [each for each in place.values() if isinstance(each, (Mapping, list))]
        else:
            places += [each for each in place if isinstance(each, (Mapping, list))]
    return bool(_SAID_2001.search(failure.message))


_CODE_NAMES: Final = ("code", "error_code", "errorCode", "status")
_SAID_2001: Final = re.compile(r"(?<![\d.])2001(?![\d.]\d|\d)")


def _plain(reply: str) -> str:
    """An answer without orders to click on a page that its reader does not see."""
    return translate(reply, _prompts.language_of(reply)).text


def ended(attempt: Attempt) -> NemoError:
    """What a finished attempt that made nothing is reported as, now and whenever it is asked for again."""
    money = Money.from_json(attempt.facts.get("money"))
    if attempt.state is State.LOST:
        return ResultUnknown("result-lost")
    job = id_of(attempt.key)
    if not is_answered(attempt):
        nothing = NothingMade("result-none")
        nothing.job = job
        return nothing
    sure = money.spent == 0 or money.certainty == "exact"
    reply = shown(_plain(str(attempt.facts.get("reply") or "")), 500)
    taken: Charged = "maybe" if money.spent is None or not sure else "yes" if money.spent else "no"
    error = _asked(attempt, reply, taken) or NothingMade("nothing-made", charged=taken, reply=reply or "…")
    error.session, error.job = handle_of(attempt, "auto"), job
    return error


def _asked(attempt: Attempt, reply: str, charged: Charged) -> NothingMade | None:
    """The question that a message ended with, as an error; None where it asked none."""
    if "question" not in attempt.facts:
        return None
    inquiry = read_inquiry(attempt.facts["question"])
    question = " ".join(filter(None, [reply, inquiry.line])) or "…"
    error = QuestionAsked("question-asked", charged=charged, question=question, reply=reply)
    error.title, error.questions = inquiry.title, inquiry.questions
    error.options, error.example = inquiry.options, inquiry.example
    return error


def reply_of(attempt: Attempt, language: str) -> tuple[str, str]:
    """What a finished message answered, with what it asks, and what it changed in the draft, in words.

    A turn that changed a draft and ended without a word tells what changed, also where a sentence stood before the
    work.
    """
    reply = str(attempt.facts.get("reply") or "")
    if attempt.facts.get("question"):
        asked = read_inquiry(attempt.facts["question"]).line
        reply = "\n\n".join(filter(None, [reply, asked]))
    baseline, draft = attempt.facts.get("baseline"), attempt.facts.get("draft")
    if not baseline or not draft or attempt.facts.get("spoke_last", bool(reply)):
        return reply, ""
    if language == "auto":
        language = _prompts.language_of(str(attempt.facts.get("text") or ""))
    changes = _drafts.what_changed(baseline.get("draft") or {}, draft, language)
    return reply, "" if changes in reply else changes


async def outcome_of(journal: Journal, job: Job) -> NemoError | None:
    """What a job that made nothing ended with, as an error; None for any other job."""
    attempt = await journal.latest(job.key)
    return ended(attempt) if attempt is not None and attempt.state in (State.FAILED, State.LOST) else None


def chat_command(profile: str, session_id: str, message: str = "") -> str:
    """The shell command that says `message` in a session (or asks for one), to be typed as it stands."""
    where = {CLOUD: [], LOCAL: ["--local"]}.get(profile, ["--profile", profile])
    return shlex.join(["nemo-video", "chat", *filter(None, [message]), "--session", session_id, *where])


def answer_command(error: NothingMade) -> str:
    """The shell command that answers the backend in the session that asked; empty where nothing was asked.

    It begins with the first of the options that were offered, else with a word to be replaced.
    """
    if error.session is None:
        return ""
    example = error.example if isinstance(error, QuestionAsked) else ""
    return chat_command(error.session.profile, error.session.session_id, example or "ANSWER")


def is_answered(attempt: Attempt) -> bool:
    """Whether the backend answered this message and made nothing: it asked something, or declined.

    Its answer lies in the session, so what is said next is said there and nowhere else.
    """
    return attempt.state is State.FAILED and "reply" in attempt.facts and attempt.facts.get("error") != "result-none"


def handle_of(attempt: Attempt, language: str) -> SessionHandle:
    """The handle of a finished step."""
    return SessionHandle(attempt.profile, language, attempt.key, attempt.session_id, attempt.task_id, attempt.account)

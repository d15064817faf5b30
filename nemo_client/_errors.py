"""The exceptions of nemo_client.

    NemoError
    ├── TransportError         no whole answer arrived
    │   ├── ConnectError       not one byte of the request was written (DNS, proxy, TLS, refused)
    │   │   └── TooLate        held back here, since its record had become too old
    │   ├── ConnectionBroken   it broke, stalled or ended early on the way
    │   └── BadAnswer          an answer arrived, but not what the API promises (HTML, cut JSON, wrong types)
    ├── ApiError               the backend said no, with a code
    │   ├── SignInError        1001, 1010, 1011
    │   ├── SessionGone        1002
    │   ├── NoCredits          2001
    │   ├── UnsupportedFile    4001
    │   ├── FileTooLarge       4002
    │   ├── ClientIdRefused    400
    │   ├── PlanError          402
    │   └── RateLimited        429
    ├── JobError               the result of a piece of work
    │   ├── NothingMade        the backend answered and made nothing
    │   │   └── QuestionAsked  it asks the user something first; the answer goes on in the same session
    │   ├── ResultUnknown      sent, and not known (yet) whether it was done
    │   ├── RenderFailed       the export did not work out; free to repeat
    │   ├── SessionBusy        another message or another branch holds the session
    │   │   └── LostRace       another process was quicker at the journal; look again
    │   └── Cancelled          the user gave up waiting
    └── LocalError             nothing was sent
        ├── InputError         wrong input
        ├── LimitError         a limit on credits, set here
        ├── DiskError          the local disk or the home directory
        │   └── JournalAway    the journal's database cannot be reached at the moment
        └── ClusterError       the workers that a batch shall run on cannot be used

An exception carries an id and facts; its words come from `_text.messages`. `charged` is what is known about money.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from ._safety.redaction import scrub
from ._text import messages

if TYPE_CHECKING:
    from ._studio.handles import SessionHandle
    from ._text.questions import Option, Question

Charged = Literal["no", "maybe", "yes"]


@dataclass(frozen=True)
class Kept:
    """What a run paid for before one of its steps failed: credits, the jobs that hold it, and whether that is exact."""

    spent: str
    jobs: tuple[str, ...]
    sure: bool = True


class NemoError(Exception):
    """Base class of every error that this package raises on purpose.

    `id` names the text in `_text.messages`, `facts` fill it in, `exit_code` is the shell's, `lang` the language of
    `str()`. With `on_page` the text names places in ComfyUI's page, if there is such a text (`on-page.ID`).
    `text_id` names another text for an id with two causes. `first` is the first error of several that this one stands
    for.
    """

    exit_code = 5

    def __init__(self, text_id: str, /, *, charged: Charged = "no", **facts: Any) -> None:
        super().__init__(text_id)
        self.id = self.text_id = text_id
        self.facts = facts
        self.charged: Charged = charged
        self.lang: str | None = None
        self.kept: Kept | None = None
        self.on_page = False
        self.first: Exception | None = None

    def reword(self, text_id: str, **facts: Any) -> None:
        """Let another text say it, where more is known by now than when it was raised."""
        self.id = self.text_id = text_id
        self.args = (text_id,)
        self.facts.update(facts)

    def text(self, lang: str | None = None) -> str:
        """What failed, whether it was charged, and what to do next, in one line."""
        chosen = messages.choose_language(lang or self.lang)
        return scrub(f"{self.describe(chosen)} {self.word_money(chosen, self.charged)}")

    def describe(self, lang: str | None = None) -> str:
        """What failed and what to do next, without the money, in one line."""
        return scrub(messages.say(self._text_id(), messages.choose_language(lang or self.lang), **self.facts))

    def parts(self, lang: str | None = None) -> tuple[str, str, str]:
        """The same in three: what happened, what to do about it (may be empty), and the money."""
        chosen = messages.choose_language(lang or self.lang)
        what, hint = messages.what_and_hint(self._text_id(), chosen, **self.facts)
        return scrub(what), scrub(hint), self.word_money(chosen, self.charged)

    def _text_id(self) -> str:
        there = f"on-page.{self.text_id}"
        return there if self.on_page and messages.is_text(there) else self.text_id

    def tells_way_on(self) -> bool:
        """Whether its text says by itself that going on costs nothing more; of several errors, that of the first."""
        told = self.first if isinstance(self.first, NemoError) else self
        return messages.tells_way_on(told._text_id())

    def word_money(self, lang: str, charged: Charged) -> str:
        """What is known of money, `charged` without what the same run paid before; that is named where it is known.

        It is said once: how to collect it only where the text does not say so.
        """
        if self.kept is None:
            own = f"money.{self.text_id}"  # with the amount that was charged
            is_own = charged == "yes" and messages.has_text(own)
            return messages.say(own, lang, **self.facts) if is_own else messages.say(f"money.{charged}", lang)
        told = "-told" if self.tells_way_on() else ""
        facts = {"spent": self.kept.spent, "jobs": ", ".join(self.kept.jobs)}
        return messages.say(f"money.kept{told}{'' if self.kept.sure else '-maybe'}", lang, **facts)

    def __str__(self) -> str:
        return self.text()


class TransportError(NemoError):
    """No complete answer arrived."""


class ConnectError(TransportError):
    """Not one byte of the request's body was written, so the request cannot have had an effect."""


class TooLate(ConnectError):
    """Held back at the last moment: its record is too old for others to count on it. Handled inside."""

    def __init__(self) -> None:
        super().__init__("session-busy")


class ConnectionBroken(TransportError):
    """The connection broke, stalled or ended early. The request may have had its effect."""


class BadAnswer(TransportError):
    """An answer that does not follow the API description. `status` is its HTTP status."""

    def __init__(self, text_id: str, /, *, status: int = 0, retry_after: float | None = None, **facts: Any) -> None:
        super().__init__(text_id, status=status, **facts)
        self.status = status
        self.retry_after = retry_after


class ApiError(NemoError):
    """The backend refused a request. `code` is its own code, `status` the HTTP status, `retry_after` in seconds."""

    default_id = "api-error"

    def __init__(
        self,
        text_id: str | None = None,
        /,
        *,
        code: int = 0,
        status: int = 0,
        retry_after: float | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(text_id or self.default_id, code=code, status=status, **facts)
        self.code = code
        self.status = status
        self.retry_after = retry_after


class SignInError(ApiError):
    """1001, 1010 or 1011: the token is wrong or has expired."""

    exit_code = 3
    default_id = "token-refused"

    def __init__(
        self,
        text_id: str | None = None,
        /,
        *,
        code: int = 0,
        status: int = 0,
        retry_after: float | None = None,
        **facts: Any,
    ) -> None:
        """Among the facts, `variable` is the environment variable that the profile takes its token from."""
        facts["variable"] = facts.get("variable") or "NEMO_TOKEN"
        super().__init__(text_id, code=code, status=status, retry_after=retry_after, **facts)


class SessionGone(ApiError):
    """1002: the project no longer exists at the backend."""

    default_id = "session-gone"


class NoCredits(ApiError):
    """2001: the account has too few credits. Nothing is sent."""

    exit_code = 4
    default_id = "no-credits"


class UnsupportedFile(ApiError):
    """4001: the backend does not accept this kind of file."""

    exit_code = 2
    default_id = "unsupported-file"


class FileTooLarge(ApiError):
    """4002: a file is larger than the backend accepts."""

    exit_code = 2
    default_id = "file-too-large"


class ClientIdRefused(ApiError):
    """400 at sign-up: the client id is missing or not accepted."""

    default_id = "client-id-refused-there"


class PlanError(ApiError):
    """402, and 403 for a render: the account's plan does not include this. Credits do not help."""

    exit_code = 4
    default_id = "plan"


class RateLimited(ApiError):
    """429: too many requests, or a second sign-up within 7 days."""

    default_id = "rate-limit"


class JobError(NemoError):
    """A job did not deliver a video: nothing was made, the result is not known, or the user cancelled."""


class NothingMade(JobError):
    """The backend answered without making a video (it asked back, or declined). `facts["reply"]` is its answer.

    `session` is the project to reply in: pass it to `Studio.chat`. `job` is the id in the list of jobs. `holds` says
    whether the project has a video: one from `before` this message, or from it (`now`).
    """

    session: SessionHandle | None = None
    job: str = ""
    holds: Literal["", "before", "now"] = ""


class QuestionAsked(NothingMade):
    """The backend asks something first: `title`, and `questions` with their `options`.

    Reply with the next message in the same project: `studio.chat(error.session, answer)`.
    """

    title: str = ""
    questions: tuple[Question, ...] = ()
    options: tuple[Option, ...] = ()
    example: str = ""
    """An answer in the words of the options; empty where none are offered."""


class ResultUnknown(JobError):
    """A request that costs credits was sent, and its result is not known."""

    def __init__(self, text_id: str = "result-unknown", /, *, charged: Charged = "maybe", **facts: Any) -> None:
        super().__init__(text_id, charged=charged, **facts)


class RenderFailed(JobError):
    """The export failed. Exports are free: repeat it."""


class SessionBusy(JobError):
    """Another message or another branch is using the project."""


class LostRace(SessionBusy):
    """Another process changed the attempt first. Handled inside: the record is read again."""

    def __init__(self) -> None:
        super().__init__("session-busy")


class Cancelled(JobError):
    """The user cancelled. `charged` and the text say whether the video is finished anyway."""

    exit_code = 130


class LocalError(NemoError):
    """An error on this machine: wrong input, a limit, the disk, the database."""

    exit_code = 2


class InputError(LocalError):
    """Wrong input. The message names the value and what to use instead."""


class LimitError(LocalError):
    """The request would exceed a limit on credits that the user set. Nothing is sent."""

    exit_code = 4


class DiskError(LocalError):
    """The local disk or the home directory cannot be used."""

    exit_code = 6


class JournalAway(DiskError):
    """The journal's database cannot be reached, or cannot be used at the moment. `unsure`: it went as it committed."""

    def __init__(self, text_id: str = "journal-away", /, *, unsure: bool = False, **facts: Any) -> None:
        super().__init__(text_id, **facts)
        self.unsure = unsure


class ClusterError(LocalError):
    """The scheduler or the workers of a batch cannot be used, or differ from this machine."""

    exit_code = 5


for _each in list(globals().values()):  # ComfyUI shows people the full type of an exception, so it is a short one
    if isinstance(_each, type) and issubclass(_each, NemoError):
        _each.__module__ = "nemo_client"

CODES: Final[dict[int, type[ApiError]]] = {
    1001: SignInError,
    1002: SessionGone,
    2001: NoCredits,
    4001: UnsupportedFile,
    4002: FileTooLarge,
    400: ClientIdRefused,
    402: PlanError,
    429: RateLimited,
}
"""The backend's error table (the API description, "Errors"); any other code counts as its HTTP status."""

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
    """What was paid for in a run before something of it failed: credits, the jobs that hold it, and how sure it is."""

    spent: str
    jobs: tuple[str, ...]
    sure: bool = True


class NemoError(Exception):
    """Root of everything this package raises on purpose.

    `id` names the text in `_text.messages`, `facts` fills it, `exit_code` is the shell's, `lang` the language of
    `str()`. With `on_page` a remedy is named by its place in ComfyUI's page, where there is such a text (`on-page.ID`).
    `text_id` names another text where one id has two causes that are worded differently.
    `first` is the first error of several that this one stands for.
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
        return scrub(f"{self.describe(chosen)} {self._money(chosen)}")

    def describe(self, lang: str | None = None) -> str:
        """What failed and what to do next, without the money, in one line."""
        return scrub(messages.say(self._text_id(), messages.choose_language(lang or self.lang), **self.facts))

    def parts(self, lang: str | None = None) -> tuple[str, str, str]:
        """The same in three: what happened, what to do about it (may be empty), and the money."""
        chosen = messages.choose_language(lang or self.lang)
        what, hint = messages.what_and_hint(self._text_id(), chosen, **self.facts)
        return scrub(what), scrub(hint), self._money(chosen)

    def _text_id(self) -> str:
        there = f"on-page.{self.text_id}"
        return there if self.on_page and messages.is_text(there) else self.text_id

    def _money(self, lang: str) -> str:
        """What is known of money; what the same run paid before is named, with how to collect it."""
        if self.kept is None:
            return messages.say(f"money.{self.charged}", lang)
        facts = {"spent": self.kept.spent, "jobs": ", ".join(self.kept.jobs)}
        return messages.say("money.kept" if self.kept.sure else "money.kept-maybe", lang, **facts)

    def __str__(self) -> str:
        return self.text()


class TransportError(NemoError):
    """No whole answer arrived."""


class ConnectError(TransportError):
    """Not one byte of the request's body was written, so the request cannot have had an effect."""


class TooLate(ConnectError):
    """Held back at the last moment: its record is too old for others to count on it. Handled inside."""

    def __init__(self) -> None:
        super().__init__("session-busy")


class ConnectionBroken(TransportError):
    """The connection broke, stalled or ended early; the request may have had its effect."""


class BadAnswer(TransportError):
    """An answer that is not what the API promises. `status` is its HTTP status."""

    def __init__(self, text_id: str, /, *, status: int = 0, retry_after: float | None = None, **facts: Any) -> None:
        super().__init__(text_id, status=status, **facts)
        self.status = status
        self.retry_after = retry_after


class ApiError(NemoError):
    """The backend said no. `code` is its own code, `status` the HTTP status, `retry_after` in seconds."""

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
    """1001: the token is wrong or has expired; 1010 and 1011 mean the same."""

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
    """1002: the backend does not know the session."""

    default_id = "session-gone"


class NoCredits(ApiError):
    """2001: the account has too few credits."""

    exit_code = 4
    default_id = "no-credits"


class UnsupportedFile(ApiError):
    """4001: a kind of file that the backend does not take."""

    exit_code = 2
    default_id = "unsupported-file"


class FileTooLarge(ApiError):
    """4002: a file above the backend's limit."""

    exit_code = 2
    default_id = "file-too-large"


class ClientIdRefused(ApiError):
    """400 at sign-up: the client id is missing or not accepted."""

    default_id = "client-id-refused-there"


class PlanError(ApiError):
    """402, and 403 for a render: the account's plan has no export. Not a matter of credits."""

    exit_code = 4
    default_id = "plan"


class RateLimited(ApiError):
    """429: too many requests, or a second sign-up within 7 days."""

    default_id = "rate-limit"


class JobError(NemoError):
    """The result of a piece of work."""


class NothingMade(JobError):
    """The backend answered, and made nothing (it asked back, or declined). `facts["reply"]` is its answer.

    `session` is where an answer goes on: `Studio.chat` with it stays in the session that answered. `job` is the id of
    the message in the list of jobs. `holds` says whether the project holds a video all the same: one that was made
    `before` this message, or by it (`now`).
    """

    session: SessionHandle | None = None
    job: str = ""
    holds: Literal["", "before", "now"] = ""


class QuestionAsked(NothingMade):
    """The backend asks something before it goes on: `title`, and `questions` with their `options`.

    The answer is the next message in the same session: `studio.chat(error.session, answer)`.
    """

    title: str = ""
    questions: tuple[Question, ...] = ()
    options: tuple[Option, ...] = ()
    example: str = ""
    """An answer in the words of the options; empty where none are offered."""


class ResultUnknown(JobError):
    """A paid message went out, and its result is not known."""

    def __init__(self, text_id: str = "result-unknown", /, *, charged: Charged = "maybe", **facts: Any) -> None:
        super().__init__(text_id, charged=charged, **facts)


class RenderFailed(JobError):
    """The export did not work out. Exports are free, so it can simply be repeated."""


class SessionBusy(JobError):
    """Another message or another branch holds the session."""


class LostRace(SessionBusy):
    """Another process moved an attempt first. Handled inside: the record is read again."""

    def __init__(self) -> None:
        super().__init__("session-busy")


class Cancelled(JobError):
    """The user gave up waiting; `charged` and the text say what goes on at the backend."""

    exit_code = 130


class LocalError(NemoError):
    """Nothing was sent."""

    exit_code = 2


class InputError(LocalError):
    """Wrong input; the message names the value and what was expected."""


class LimitError(LocalError):
    """A limit on credits that was set here would be passed."""

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
    """The scheduler or the workers that a batch shall run on cannot be used, or do not agree with each other."""

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

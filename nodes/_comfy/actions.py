"""The one action that helps after each error: decided in one table, by the id of the error's text, else by its class.

What an action does is the page's business (`web/errors.mjs`); what costs nothing is offered before what does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

Action = Literal[
    "top-up", "register", "upgrade", "token", "profiles", "retry", "retry-free", "panel", "take", "show", "reload"
]

_IDS: Final[dict[Action, str]] = {
    "top-up": "no-credits",
    "register": "no-credits-anonymous sign-up-limit token-refused-env-free",
    "upgrade": "plan plan-free plan-other plan-other-free",
    "token": "token-missing token-refused token-refused-free token-odd login-refused sign-up-refused",
    "profiles": "limit profile-unknown profile-broken client-id-refused client-id-refused-there answer-moved"
    " token-untried token-changing token-gives-up login-own login-variable login-free profile-free profile-built-in"
    " profile-pinned",
    "retry": "connect-dns connect-proxy connect-tls connect-refused connect-timeout answer-timeout answer-broken"
    " answer-html answer-not-json answer-too-large api-error api-server rate-limit session-gone upload-refused"
    " owner-stuck journal-away session-busy disk-full disk-unwritable resume-unsent",
    "retry-free": "render-failed render-timeout render-word video-broken download-refused download-page"
    " download-foreign",
    "panel": "token-refused-anonymous result-unknown answered-nothing result-late stream-capped stream-failure"
    " session-unsettled journal-unwritten cancelled-detached closed-detached job-unknown job-ambiguous job-open"
    " job-not-lost picture-none page-none folder-none folder-remote folder-no-program",
    "take": "result-none result-lost nothing-made session-gone-paid fork-refused answer-refused",
    "reload": "answer-wrong-shape packages-missing comfyui-too-old pack-twice origin-foreign host-foreign"
    " header-missing body-not-json body-too-large",
}
BY_ID: Final[Mapping[str, Action]] = {each: action for action, ids in _IDS.items() for each in ids.split()}

BY_CLASS: Final[Mapping[str, Action]] = {
    "NemoError": "show",
    "TransportError": "retry",
    "ApiError": "retry",
    "SignInError": "token",
    "SessionGone": "retry",
    "NoCredits": "top-up",
    "UnsupportedFile": "show",
    "FileTooLarge": "show",
    "ClientIdRefused": "profiles",
    "PlanError": "upgrade",
    "RateLimited": "retry",
    "JobError": "panel",
    "NothingMade": "take",
    "QuestionAsked": "show",
    "ResultUnknown": "panel",
    "RenderFailed": "retry-free",
    "SessionBusy": "retry",
    "Cancelled": "retry",
    "LocalError": "show",
    "InputError": "show",
    "LimitError": "profiles",
    "DiskError": "retry",
    "JournalAway": "retry",
    "ClusterError": "retry",
}
"""By the nearest class in an error's ancestry; `show` leads to the node whose input is to be changed."""


FORBIDDEN: Final = 403


def choose_action(error: Exception) -> Action:
    """What to offer after an error: of a list whose items failed, what helps the first of them."""
    first = getattr(error, "first", None)
    if isinstance(first, Exception):
        return choose_action(first)
    known = BY_ID.get(getattr(error, "id", ""))
    if known == "retry" and getattr(error, "code", 0) == FORBIDDEN:
        return "token"  # running again changes nothing: this account may not
    if known == "profiles" and getattr(error, "facts", {}).get("limit_name") == "max_credits":
        return "show"  # that limit stands on the node
    named: Iterator[Action] = (BY_CLASS[each.__name__] for each in type(error).__mro__ if each.__name__ in BY_CLASS)
    return known if known is not None else next(named, "show")


def describe_error(error: Exception, lang: str | None) -> dict[str, Any]:
    """An error for the page: its id, what happened, what to do, the money, the action and the address it leads to.

    Words of our own errors come in the error's language, without anything secret; of another's error the class only.
    """
    from ...nemo_client import NemoError, redact, say

    if not isinstance(error, NemoError):
        what = say("unexpected", lang, kind=type(error).__name__, reason=redact(str(error))[:300])
        return {"id": "unexpected", "what": what, "hint": "", "money": "", "charged": "maybe", "action": "show"}
    what, hint, money = error.parts(lang)
    link = (error.first if isinstance(error.first, NemoError) else error).facts.get("link")
    return {
        "id": error.id,
        "what": what,
        "hint": hint,
        "money": money,
        "charged": error.charged,
        "action": choose_action(error),
        "link": link if isinstance(link, str) and link.startswith("https://") else "",
    }

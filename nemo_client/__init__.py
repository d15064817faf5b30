"""Turn images into videos on the NemoVideo backend or on a free local preview; never pay twice.

Start with `Studio`: upload, generate, export, as steps that are carried out once and found again.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._accounts import account_text
    from ._batch import BatchResult
    from ._choices import FORMATS, LANGUAGES, QUALITIES, RATIOS, RESOLUTIONS, WHEN_CHANGED
    from ._client import NemoClient
    from ._config import CLOUD, LOCAL, VERSION, Profile, home, profile, profiles, redact, traceback_of
    from ._errands import carry_out
    from ._errors import (
        ApiError,
        BadAnswer,
        Cancelled,
        ClientIdRefused,
        ClusterError,
        ConnectError,
        ConnectionBroken,
        DiskError,
        FileTooLarge,
        InputError,
        JobError,
        Kept,
        LimitError,
        LocalError,
        LostRace,
        NemoError,
        NoCredits,
        NothingMade,
        PlanError,
        QuestionAsked,
        RateLimited,
        RenderFailed,
        ResultUnknown,
        SessionBusy,
        SessionGone,
        SignInError,
        TransportError,
        UnsupportedFile,
    )
    from ._handles import AuthHandle, SessionHandle
    from ._intents import normalize, translate
    from ._items import BatchItem
    from ._jobs import LATEST, Job, count_jobs, find_job, list_jobs, list_owed, pick_job
    from ._journal import Journal
    from ._kept import forget_job, pictures_of, thumbnail
    from ._landing import Destination, last_frame
    from ._media import Media, from_file, from_pixels, from_url, read_pixels
    from ._models import Credits
    from ._money import FREE, Money, Tally, together
    from ._outcomes import outcome_of
    from ._pasted import pasted
    from ._profiles import (
        Described,
        check_given_up,
        default_profile,
        delete_profile,
        described,
        save_profile,
        set_default,
        set_token,
        tokenless_environment,
    )
    from ._progress import Budget, Caller, Progress
    from ._results import Output, Turned, Video, Wish
    from ._router import ExportWish, Request, read_request, route
    from ._secret import Secret
    from ._sound import from_samples
    from ._studio import Studio
    from ._tokens import replace_token
    from ._views import TimelineView
    from ._words import say, what_and_hint

_MODULES: dict[str, tuple[str, ...]] = {
    "_accounts": ("account_text",),
    "_batch": ("BatchResult",),
    "_choices": ("FORMATS", "LANGUAGES", "QUALITIES", "RATIOS", "RESOLUTIONS", "WHEN_CHANGED"),
    "_client": ("NemoClient",),
    "_config": ("CLOUD", "LOCAL", "Profile", "VERSION", "home", "profile", "profiles", "redact", "traceback_of"),
    "_errands": ("carry_out",),
    "_errors": (
        "ApiError",
        "BadAnswer",
        "Cancelled",
        "ClientIdRefused",
        "ClusterError",
        "ConnectError",
        "ConnectionBroken",
        "DiskError",
        "FileTooLarge",
        "InputError",
        "Job",
        "JobError",
        "Kept",
        "LimitError",
        "LocalError",
        "LostRace",
        "NemoError",
        "NoCredits",
        "NothingMade",
        "PlanError",
        "QuestionAsked",
        "RateLimited",
        "RenderFailed",
        "ResultUnknown",
        "SessionBusy",
        "SessionGone",
        "SignInError",
        "TransportError",
        "UnsupportedFile",
    ),
    "_handles": ("AuthHandle", "SessionHandle"),
    "_intents": ("normalize", "translate"),
    "_items": ("BatchItem",),
    "_jobs": ("Job", "LATEST", "count_jobs", "find_job", "list_jobs", "list_owed", "pick_job"),
    "_journal": ("Journal",),
    "_kept": ("forget_job", "pictures_of", "thumbnail"),
    "_landing": ("Destination", "last_frame"),
    "_media": ("Media", "from_file", "from_pixels", "from_url", "read_pixels"),
    "_models": ("Credits",),
    "_money": ("FREE", "Money", "Tally", "together"),
    "_outcomes": ("outcome_of",),
    "_pasted": ("pasted",),
    "_profiles": (
        "Described",
        "check_given_up",
        "default_profile",
        "delete_profile",
        "described",
        "save_profile",
        "set_default",
        "set_token",
        "tokenless_environment",
    ),
    "_progress": ("Budget", "Caller", "Progress"),
    "_results": ("Output", "Turned", "Video", "Wish"),
    "_router": ("ExportWish", "Request", "read_request", "route"),
    "_secret": ("Secret",),
    "_sound": ("from_samples",),
    "_studio": ("Studio",),
    "_tokens": ("replace_token",),
    "_views": ("TimelineView",),
    "_words": ("say", "what_and_hint"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "CLOUD",
    "FORMATS",
    "FREE",
    "LANGUAGES",
    "LATEST",
    "LOCAL",
    "QUALITIES",
    "RATIOS",
    "RESOLUTIONS",
    "VERSION",
    "WHEN_CHANGED",
    "ApiError",
    "AuthHandle",
    "BadAnswer",
    "BatchItem",
    "BatchResult",
    "Budget",
    "Caller",
    "Cancelled",
    "ClientIdRefused",
    "ClusterError",
    "ConnectError",
    "ConnectionBroken",
    "Credits",
    "Described",
    "Destination",
    "DiskError",
    "ExportWish",
    "FileTooLarge",
    "InputError",
    "Job",
    "JobError",
    "Journal",
    "Kept",
    "LimitError",
    "LocalError",
    "LostRace",
    "Media",
    "Money",
    "NemoClient",
    "NemoError",
    "NoCredits",
    "NothingMade",
    "Output",
    "PlanError",
    "Profile",
    "Progress",
    "QuestionAsked",
    "RateLimited",
    "RenderFailed",
    "Request",
    "ResultUnknown",
    "Secret",
    "SessionBusy",
    "SessionGone",
    "SessionHandle",
    "SignInError",
    "Studio",
    "Tally",
    "TimelineView",
    "TransportError",
    "Turned",
    "UnsupportedFile",
    "Video",
    "Wish",
    "account_text",
    "carry_out",
    "check_given_up",
    "count_jobs",
    "default_profile",
    "delete_profile",
    "described",
    "find_job",
    "forget_job",
    "from_file",
    "from_pixels",
    "from_samples",
    "from_url",
    "home",
    "last_frame",
    "list_jobs",
    "list_owed",
    "normalize",
    "outcome_of",
    "pasted",
    "pick_job",
    "pictures_of",
    "profile",
    "profiles",
    "read_pixels",
    "read_request",
    "redact",
    "replace_token",
    "route",
    "save_profile",
    "say",
    "set_default",
    "set_token",
    "thumbnail",
    "together",
    "tokenless_environment",
    "traceback_of",
    "translate",
    "what_and_hint",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for: httpx, pydantic and SQLAlchemy cost ComfyUI's start 270 ms."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nemo_client' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    if isinstance(value, type):
        value.__module__ = "nemo_client"
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

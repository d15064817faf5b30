"""Turn images into videos on the NemoVideo backend or on a free local preview; never pay twice.

Start with `Studio`: upload, generate, export, as steps that are carried out once and found again.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._batch.item import BatchItem as BatchItem
    from ._batch.item_task import carry_out_item as carry_out_item
    from ._batch.runner import BatchResult as BatchResult
    from ._config.client_id import VERSION as VERSION
    from ._config.credentials import account_text as account_text
    from ._config.paths import find_home as find_home
    from ._config.profile_store import ProfileInfo as ProfileInfo
    from ._config.profile_store import default_profile as default_profile
    from ._config.profile_store import delete_profile as delete_profile
    from ._config.profile_store import describe_profiles as describe_profiles
    from ._config.profile_store import save_profile as save_profile
    from ._config.profile_store import set_default as set_default
    from ._config.profile_store import set_token as set_token
    from ._config.profile_store import tokenless_environment as tokenless_environment
    from ._config.profiles import CLOUD as CLOUD
    from ._config.profiles import LOCAL as LOCAL
    from ._config.profiles import Profile as Profile
    from ._config.profiles import find_profile as find_profile
    from ._config.profiles import list_profiles as list_profiles
    from ._errors import ApiError as ApiError
    from ._errors import BadAnswer as BadAnswer
    from ._errors import Cancelled as Cancelled
    from ._errors import ClientIdRefused as ClientIdRefused
    from ._errors import ClusterError as ClusterError
    from ._errors import ConnectError as ConnectError
    from ._errors import ConnectionBroken as ConnectionBroken
    from ._errors import DiskError as DiskError
    from ._errors import FileTooLarge as FileTooLarge
    from ._errors import InputError as InputError
    from ._errors import JobError as JobError
    from ._errors import Kept as Kept
    from ._errors import LimitError as LimitError
    from ._errors import LocalError as LocalError
    from ._errors import LostRace as LostRace
    from ._errors import NemoError as NemoError
    from ._errors import NoCredits as NoCredits
    from ._errors import NothingMade as NothingMade
    from ._errors import PlanError as PlanError
    from ._errors import QuestionAsked as QuestionAsked
    from ._errors import RateLimited as RateLimited
    from ._errors import RenderFailed as RenderFailed
    from ._errors import ResultUnknown as ResultUnknown
    from ._errors import SessionBusy as SessionBusy
    from ._errors import SessionGone as SessionGone
    from ._errors import SignInError as SignInError
    from ._errors import TransportError as TransportError
    from ._errors import UnsupportedFile as UnsupportedFile
    from ._files.audio import from_samples as from_samples
    from ._files.images import Media as Media
    from ._files.images import from_file as from_file
    from ._files.images import from_pixels as from_pixels
    from ._files.images import from_url as from_url
    from ._files.images import read_pixels as read_pixels
    from ._files.metadata import read_graph_tags as read_graph_tags
    from ._files.save import Destination as Destination
    from ._files.save import read_last_frame as read_last_frame
    from ._files.thumbnails import make_picture_thumbnail as make_picture_thumbnail
    from ._files.thumbnails import make_video_thumbnail as make_video_thumbnail
    from ._journal.journal import Journal as Journal
    from ._journal.money import FREE as FREE
    from ._journal.money import Money as Money
    from ._journal.money import Tally as Tally
    from ._journal.money import sum_money as sum_money
    from ._safety.file_names import clean_file_name as clean_file_name
    from ._safety.pasted_paths import clean_pasted_path as clean_pasted_path
    from ._safety.redaction import Secret as Secret
    from ._safety.redaction import format_redacted_traceback as format_redacted_traceback
    from ._safety.redaction import redact as redact
    from ._studio.conversation import Answer as Answer
    from ._studio.conversation import Conversation as Conversation
    from ._studio.handles import AuthHandle as AuthHandle
    from ._studio.handles import SessionHandle as SessionHandle
    from ._studio.jobs import LATEST as LATEST
    from ._studio.jobs import Job as Job
    from ._studio.jobs import count_jobs as count_jobs
    from ._studio.jobs import estimate_prices as estimate_prices
    from ._studio.jobs import find_job as find_job
    from ._studio.jobs import find_pictures as find_pictures
    from ._studio.jobs import forget_job as forget_job
    from ._studio.jobs import list_jobs as list_jobs
    from ._studio.jobs import list_owed as list_owed
    from ._studio.jobs import pick_job as pick_job
    from ._studio.progress import Budget as Budget
    from ._studio.progress import Caller as Caller
    from ._studio.progress import Progress as Progress
    from ._studio.reconcile import outcome_of as outcome_of
    from ._studio.studio import Studio as Studio
    from ._studio.timeline import TimelineView as TimelineView
    from ._studio.token_change import check_given_up as check_given_up
    from ._studio.token_change import replace_token as replace_token
    from ._studio.types import GenerationRequest as GenerationRequest
    from ._studio.types import MessageResult as MessageResult
    from ._studio.types import Output as Output
    from ._studio.types import Video as Video
    from ._text.choices import FORMATS as FORMATS
    from ._text.choices import LANGUAGES as LANGUAGES
    from ._text.choices import QUALITIES as QUALITIES
    from ._text.choices import RATIOS as RATIOS
    from ._text.choices import RESOLUTIONS as RESOLUTIONS
    from ._text.choices import WHEN_CHANGED as WHEN_CHANGED
    from ._text.gui_translator import normalize as normalize
    from ._text.gui_translator import translate as translate
    from ._text.messages import Phrase as Phrase
    from ._text.messages import say as say
    from ._text.messages import what_and_hint as what_and_hint
    from ._text.router import ExportWish as ExportWish
    from ._text.router import Request as Request
    from ._text.router import read_request as read_request
    from ._text.router import route as route
    from ._wire.client import NemoClient as NemoClient
    from ._wire.schemas import Credits as Credits

    carry_out = carry_out_item
    home = find_home
    Described = ProfileInfo
    described = describe_profiles
    profile = find_profile
    profiles = list_profiles
    last_frame = read_last_frame
    together = sum_money
    pasted = clean_pasted_path
    traceback_of = format_redacted_traceback
    pictures_of = find_pictures
    thumbnail = make_picture_thumbnail
    Turned = MessageResult
    Wish = GenerationRequest

_EXPORTS = {
    "CLOUD": "_config.profiles",
    "FORMATS": "_text.choices",
    "FREE": "_journal.money",
    "LANGUAGES": "_text.choices",
    "LATEST": "_studio.jobs",
    "LOCAL": "_config.profiles",
    "QUALITIES": "_text.choices",
    "RATIOS": "_text.choices",
    "RESOLUTIONS": "_text.choices",
    "VERSION": "_config.client_id",
    "WHEN_CHANGED": "_text.choices",
    "Answer": "_studio.conversation",
    "ApiError": "_errors",
    "AuthHandle": "_studio.handles",
    "BadAnswer": "_errors",
    "BatchItem": "_batch.item",
    "BatchResult": "_batch.runner",
    "Budget": "_studio.progress",
    "Caller": "_studio.progress",
    "Cancelled": "_errors",
    "ClientIdRefused": "_errors",
    "ClusterError": "_errors",
    "ConnectError": "_errors",
    "ConnectionBroken": "_errors",
    "Conversation": "_studio.conversation",
    "Credits": "_wire.schemas",
    "Described": "_config.profile_store:ProfileInfo",
    "Destination": "_files.save",
    "DiskError": "_errors",
    "ExportWish": "_text.router",
    "FileTooLarge": "_errors",
    "GenerationRequest": "_studio.types",
    "InputError": "_errors",
    "Job": "_studio.jobs",
    "JobError": "_errors",
    "Journal": "_journal.journal",
    "Kept": "_errors",
    "LimitError": "_errors",
    "LocalError": "_errors",
    "LostRace": "_errors",
    "Media": "_files.images",
    "MessageResult": "_studio.types",
    "Money": "_journal.money",
    "NemoClient": "_wire.client",
    "NemoError": "_errors",
    "NoCredits": "_errors",
    "NothingMade": "_errors",
    "Output": "_studio.types",
    "Phrase": "_text.messages",
    "PlanError": "_errors",
    "Profile": "_config.profiles",
    "ProfileInfo": "_config.profile_store",
    "Progress": "_studio.progress",
    "QuestionAsked": "_errors",
    "RateLimited": "_errors",
    "RenderFailed": "_errors",
    "Request": "_text.router",
    "ResultUnknown": "_errors",
    "Secret": "_safety.redaction",
    "SessionBusy": "_errors",
    "SessionGone": "_errors",
    "SessionHandle": "_studio.handles",
    "SignInError": "_errors",
    "Studio": "_studio.studio",
    "Tally": "_journal.money",
    "TimelineView": "_studio.timeline",
    "TransportError": "_errors",
    "Turned": "_studio.types:MessageResult",
    "UnsupportedFile": "_errors",
    "Video": "_studio.types",
    "Wish": "_studio.types:GenerationRequest",
    "account_text": "_config.credentials",
    "carry_out": "_batch.item_task:carry_out_item",
    "carry_out_item": "_batch.item_task",
    "check_given_up": "_studio.token_change",
    "clean_file_name": "_safety.file_names",
    "clean_pasted_path": "_safety.pasted_paths",
    "count_jobs": "_studio.jobs",
    "estimate_prices": "_studio.jobs",
    "default_profile": "_config.profile_store",
    "delete_profile": "_config.profile_store",
    "describe_profiles": "_config.profile_store",
    "described": "_config.profile_store:describe_profiles",
    "find_home": "_config.paths",
    "find_job": "_studio.jobs",
    "find_pictures": "_studio.jobs",
    "find_profile": "_config.profiles",
    "forget_job": "_studio.jobs",
    "format_redacted_traceback": "_safety.redaction",
    "from_file": "_files.images",
    "from_pixels": "_files.images",
    "from_samples": "_files.audio",
    "from_url": "_files.images",
    "home": "_config.paths:find_home",
    "last_frame": "_files.save:read_last_frame",
    "list_jobs": "_studio.jobs",
    "list_owed": "_studio.jobs",
    "list_profiles": "_config.profiles",
    "make_picture_thumbnail": "_files.thumbnails",
    "make_video_thumbnail": "_files.thumbnails",
    "normalize": "_text.gui_translator",
    "outcome_of": "_studio.reconcile",
    "pasted": "_safety.pasted_paths:clean_pasted_path",
    "pick_job": "_studio.jobs",
    "pictures_of": "_studio.jobs:find_pictures",
    "profile": "_config.profiles:find_profile",
    "profiles": "_config.profiles:list_profiles",
    "read_graph_tags": "_files.metadata",
    "read_last_frame": "_files.save",
    "read_pixels": "_files.images",
    "read_request": "_text.router",
    "redact": "_safety.redaction",
    "replace_token": "_studio.token_change",
    "route": "_text.router",
    "save_profile": "_config.profile_store",
    "say": "_text.messages",
    "set_default": "_config.profile_store",
    "set_token": "_config.profile_store",
    "sum_money": "_journal.money",
    "thumbnail": "_files.thumbnails:make_picture_thumbnail",
    "together": "_journal.money:sum_money",
    "tokenless_environment": "_config.profile_store",
    "traceback_of": "_safety.redaction:format_redacted_traceback",
    "translate": "_text.gui_translator",
    "what_and_hint": "_text.messages",
}
"""Where each public name lives: `module`, or `module:name` for one that has another name there by now."""

__all__ = sorted(_EXPORTS)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for: httpx, pydantic and SQLAlchemy cost ComfyUI's start 270 ms."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'nemo_client' has no attribute {name!r}")
    module, _, other = _EXPORTS[name].partition(":")
    value = getattr(importlib.import_module(f".{module}", __name__), other or name)
    if isinstance(value, type):
        value.__module__ = "nemo_client"
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

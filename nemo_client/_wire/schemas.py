"""What the wire says, as frozen models. Unknown fields survive; known ones are checked and may be absent.

Shapes follow the API description; where its sources differ, a validator accepts each documented form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from .._safety.redaction import MAX_SECRET_CHARACTERS, Secret
from .render_status import (
    ProgressScale,
    RenderStatus,
    meaning_of,
    read_error,
    read_id,
    read_progress,
    read_reason,
    read_status,
    read_url,
)

MAX_CREDITS: Final = 1e12
"""No balance has more, and sums of such numbers stay exact to the credit."""

MAX_ID_CHARACTERS: Final = 512


class Wire(BaseModel):
    """Base: immutable, keeps fields it does not know (and out of `repr`); null means absent."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        populate_by_name=True,
        hide_input_in_errors=True,
        coerce_numbers_to_str=True,
        arbitrary_types_allowed=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if value is not None}

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [(name, value) for name, value in super().__repr_args__() if name in type(self).model_fields]


def _check_secret(value: object) -> object:
    """What the wire says as a `Secret`; `ValueError` for nothing and for what is too long."""
    secret = Secret(value) if isinstance(value, str) else value
    if isinstance(secret, Secret) and not 0 < len(secret) <= MAX_SECRET_CHARACTERS:
        raise ValueError("a token of odd length")
    return secret


Sealed = Annotated[Secret, BeforeValidator(_check_secret)]


class AnonymousToken(Wire):
    """A fresh anonymous sign-up. `token` is a secret and stays out of `repr`."""

    token: Sealed = Field(repr=False)
    user_id: str = ""
    expires_at: AwareDatetime | None = None

    @field_validator("user_id", mode="before")
    @classmethod
    def _plain_id(cls, value: object) -> object:
        """An odd one must not cost the token either."""
        fits = isinstance(value, str) and len(value) <= MAX_ID_CHARACTERS and value.isprintable()
        return value if fits or (isinstance(value, int) and not isinstance(value, bool)) else ""

    @field_validator("expires_at", mode="before")
    @classmethod
    def _make_aware(cls, value: object) -> datetime | None:
        """ISO 8601, taken as UTC where the zone is left out; None for anything else, which must not cost the token."""
        if not isinstance(value, str):
            return None
        try:
            parsed = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return None
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


class Session(Wire):
    """A session: one project at the backend."""

    session_id: str = Field(min_length=1, max_length=MAX_ID_CHARACTERS)
    task_id: str = ""
    user_id: str = ""


class Claim(Wire):
    """A claim token: opens the project in a browser, calls no API. A secret."""

    claim_token: Sealed = Field(repr=False)
    expires_in: int = 0


class Asset(Wire):
    """An uploaded file as the backend sees it."""

    filename: str = ""
    file_type: str = ""
    cdn_url: str = Field(default="", repr=False)
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    fps: float | None = None
    hash: str = ""


_REFUSED: Final = frozenset({"failed", "failure", "error", "rejected", "refused"})


class Uploaded(list[Asset]):
    """What the answer to an upload says of the files, which it need not do.

    `applied` is False where the session was told not to know of them; `failed` names those that were not taken.
    """

    def __init__(self, files: Iterable[Asset] = (), *, applied: bool = True, failed: Sequence[str] = ()) -> None:
        super().__init__(files)
        self.applied = applied
        self.failed = tuple(failed)


def says_failed(entry: object) -> bool:
    """Whether an entry of an upload's answer says, in any spelling, that its file was not taken."""
    if not isinstance(entry, Mapping):
        return False
    told = any(_means_refused(entry.get(name)) for name in ("status", "state", "upload_status", "status_code", "code"))
    flags = any(is_false(entry.get(name)) for name in ("success", "ok", "uploaded", "applied"))
    return told or flags or is_true(entry.get("failed")) or bool(read_error(entry))


def _means_refused(word: object) -> bool:
    """Whether a word, or an HTTP status, says that something failed, however it is written."""
    if isinstance(word, int):
        return 400 <= word < 600
    return isinstance(word, str) and (word.strip().lower() in _REFUSED or meaning_of(word) == "failed")


def is_true(value: object) -> bool:
    """Whether a value of the wire is a plain yes."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def is_false(value: object) -> bool:
    """Whether a value of the wire is a plain no."""
    return (
        value is False
        or (isinstance(value, int) and value == 0)
        or (isinstance(value, str) and value.strip().lower() == "false")
    )


class State(Wire):
    """The state of a session. `draft` is opaque and goes to the renderer as it came."""

    draft: dict[str, Any] | None = None
    video_infos: Any = None
    generated_media: Any = None
    session_id: str = ""
    task_id: str = ""
    task_name: str = ""
    raw: dict[str, Any] = Field(default_factory=dict, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _lift_nested(cls, data: object) -> object:
        """`data.state.…` beside `data.session_id` become one flat model; `raw` keeps the inner state whole."""
        if not isinstance(data, Mapping):
            return data
        state = data.get("state")
        outer = {key: data[key] for key in ("session_id", "task_id", "task_name") if isinstance(data.get(key), str)}
        if state is not None and not isinstance(state, Mapping):
            return {**outer, "raw": state}  # fails: a state that is not understood must not pass for an empty one
        known = {key: (state or {}).get(key) for key in ("draft", "video_infos", "generated_media")}
        return {**known, **outer, "raw": dict(state or {})}


def _no_truth(value: object) -> object:
    """JSON's true is no number of credits."""
    if isinstance(value, bool):
        raise ValueError("no number")
    return value


_Amount = Annotated[float, BeforeValidator(_no_truth)]


class Credits(Wire):
    """The balance of an account, in credits, negative if it is overdrawn; `frozen` is held for running jobs.

    A number may come as a string. Anything else makes the whole answer invalid: money is never guessed.
    """

    available: _Amount = Field(ge=-MAX_CREDITS, le=MAX_CREDITS, allow_inf_nan=False)
    frozen: _Amount = Field(default=0, ge=0, le=MAX_CREDITS, allow_inf_nan=False)
    total: _Amount = Field(default=0, ge=-MAX_CREDITS, le=MAX_CREDITS, allow_inf_nan=False)

    @property
    def held(self) -> float:
        """`available + frozen`: what a charge takes away; `frozen` alone is only a reservation."""
        return self.available + self.frozen

    @property
    def shown(self) -> dict[str, str]:
        """The numbers as people read them: whole where they are, never in powers of ten."""
        numbers = {"available": self.available, "frozen": self.frozen, "total": self.total}
        return {name: f"{value:.2f}".rstrip("0").rstrip(".") for name, value in numbers.items()}


class RenderJob(Wire):
    """A render. `progress` in 0..100, and `told_progress` as it was told, which can be a fraction; `said` is the word
    that the backend has for the status. `url` is where the finished file is, a secret while it is signed.
    """

    id: str = ""
    status: RenderStatus = "unknown"
    said: str = ""
    progress: float | None = None
    told_progress: float | None = None
    url: str = Field(default="", repr=False)
    error: str = ""

    @model_validator(mode="before")
    @classmethod
    def _any_answer(cls, data: object) -> object:
        """Both documented answers, and what else tells the same (`_wire.render_status`)."""
        if not isinstance(data, Mapping):
            return data
        status, said = read_status(data)
        told = read_progress(data)
        return {
            "id": read_id(data),
            "status": status,
            "said": said,
            "progress": ProgressScale().clamp_percent(told),
            "told_progress": told,
            "url": read_url(data),
            "error": read_reason(data) if status == "failed" else read_error(data),
        }

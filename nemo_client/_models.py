"""What the wire says, as frozen models. Unknown fields survive; known ones are checked and may be absent.

Shapes follow the API description; where its sources differ, a validator accepts each documented form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ._secret import Secret

MAX_CREDITS: Final = 1e12
"""No balance has more, and sums of such numbers stay exact to the credit."""

MAX_ID_CHARACTERS: Final = 512
MAX_SECRET_CHARACTERS: Final = 4096


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


def _secret(value: object) -> object:
    """What the wire says as a `Secret`; `ValueError` for nothing and for what is too long."""
    secret = Secret(value) if isinstance(value, str) else value
    if isinstance(secret, Secret) and not 0 < len(secret) <= MAX_SECRET_CHARACTERS:
        raise ValueError("a token of odd length")
    return secret


Sealed = Annotated[Secret, BeforeValidator(_secret)]


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
    def _aware(cls, value: object) -> datetime | None:
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
    def _lift(cls, data: object) -> object:
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
    """The balance of an account, in credits, below zero where it is overdrawn; `frozen` is reserved by running work.

    A number in a string is one; what is none, or none that a balance can be, makes the whole answer invalid: money is
    never guessed.
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


RenderStatus = Literal["pending", "processing", "completed", "failed", "cancelled", "unknown"]
_STATUS: dict[str, RenderStatus] = {
    "pending": "pending",
    "queued": "pending",
    "processing": "processing",
    "running": "processing",
    "completed": "completed",
    "succeeded": "completed",
    "success": "completed",
    "done": "completed",
    "failed": "failed",
    "error": "failed",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}


class RenderJob(Wire):
    """A render. `progress` in 0..100; `url` is where the finished file is, a secret while it is signed."""

    id: str = ""
    status: RenderStatus = "unknown"
    progress: float | None = None
    url: str = Field(default="", repr=False)
    error: str = ""

    @model_validator(mode="before")
    @classmethod
    def _either_answer(cls, data: object) -> object:
        """Both documented answers: top-level `status` and `output.url`, or `data.status`, `data.outputUrl`."""
        if not isinstance(data, Mapping):
            return data
        inner = data.get("data")
        merged = {**data, **inner} if isinstance(inner, Mapping) else dict(data)
        output = merged.get("output")
        url = merged.get("url") or merged.get("outputUrl") or merged.get("output_url")
        if not url and isinstance(output, Mapping):
            url = output.get("url")
        progress = merged.get("progress")
        status = merged.get("status")
        return {
            "id": merged.get("id") if isinstance(merged.get("id"), str) else "",
            "status": _STATUS.get(status.lower(), "unknown") if isinstance(status, str) else "unknown",
            "progress": _percent(progress),
            "url": url if isinstance(url, str) else "",
            "error": _reason(merged.get("error")),
        }


def _percent(value: object) -> float | None:
    """0..100, or None for what is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return None
    return float(min(max(value, 0), 100))


def _reason(value: object) -> str:
    if isinstance(value, Mapping):
        value = value.get("message") or value.get("error")
    return value if isinstance(value, str) else ""

"""The values of a graph's links: frozen, survive JSON, without secrets and connections.

ComfyUI keeps node outputs across prompts, each of which runs in an event loop of its own; so a handle only says
where things stand; the node or command that uses it looks the rest up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TypeVar

_H = TypeVar("_H", bound="_Handle")


@dataclass(frozen=True)
class _Handle:
    def to_json(self) -> dict[str, str]:
        """The handle as plain JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls: type[_H], data: Mapping[str, object]) -> _H:
        """The handle again; unknown keys are left out, so that newer versions can add some."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: str(value) for name, value in data.items() if name in known})


@dataclass(frozen=True)
class AuthHandle(_Handle):
    """The NEMO_AUTH value: the name of a profile and a language (`auto` = the prompt's). Holds no token."""

    profile: str
    language: str = "auto"


@dataclass(frozen=True)
class SessionHandle(_Handle):
    """The NEMO_SESSION value: a point in a project's history.

    `key` is the step that leads to it; `session_id`, `task_id` and `account` say where that step was carried out.
    `error` marks a failed item of a list. It travels as a value, because ComfyUI does not run a list node if
    one of its items is blocked.
    """

    profile: str
    language: str
    key: str
    session_id: str
    task_id: str = ""
    account: str = ""
    error: str = ""

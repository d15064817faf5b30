"""What came in: whether an input that has to be one of our handles is one, and the language among the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_PARTS: Final = {
    "auth": ("profile", "language"),
    "session": ("profile", "language", "key", "session_id", "error"),
}


def check_handles(inputs: Mapping[str, Any]) -> None:
    """A headless workflow can hold any JSON where a wire belongs; ComfyUI does not look at inputs of our kinds."""
    from ..nemo_client import InputError

    for name, parts in _PARTS.items():
        value = inputs.get(name)
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if each is not None and not all(isinstance(getattr(each, part, None), str) for part in parts):
                raise InputError("no-handle", name=name, given=type(each).__name__)


def language_of(inputs: Mapping[str, Any]) -> str:
    """The language among a node's inputs: its own, else that of a handle."""
    for name in ("language", "session", "auth"):
        value = inputs.get(name)
        value = value[0] if isinstance(value, (list, tuple)) and value else value
        language = value if isinstance(value, str) else getattr(value, "language", None)
        if isinstance(language, str) and language != "auto":
            return language
    return "auto"

"""Inputs as clients and links really give them: checked handles, and the language in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ...nemo_client import InputError

_PARTS: Final = {
    "auth": ("profile", "language"),
    "session": ("profile", "language", "key", "session_id", "error"),
}


def check_handles(inputs: Mapping[str, Any]) -> None:
    """A headless workflow can hold any JSON where a wire belongs; ComfyUI does not look at inputs of our kinds."""
    from ...nemo_client import InputError

    for name, parts in _PARTS.items():
        value = inputs.get(name)
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if each is not None and not all(isinstance(getattr(each, part, None), str) for part in parts):
                raise InputError("no-handle", name=name, given=type(each).__name__)


def fill_in(node: type[Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A node's inputs as its function takes them, whatever a client or a link gave.

    ComfyUI turns a client's `null` into the text "None", and a link can carry None: into an optional input that is as
    if nothing were connected, into a required one it is an `InputError`.
    """
    kinds = node.INPUT_TYPES()
    listed = getattr(node, "INPUT_IS_LIST", False)
    given = dict(inputs)
    for part in ("required", "optional"):
        for name, definition in kinds.get(part, {}).items():
            if name in given:
                given[name] = _fill_input(name, definition, given[name], part == "required", listed)
                if given[name] is _ABSENT:
                    del given[name]
            elif part == "required":
                raise _make_missing_error(name)
    return given


_ABSENT: Final = object()


def _fill_input(name: str, definition: tuple[Any, ...], value: Any, required: bool, listed: bool) -> Any:
    """An input with its values as they count, or `_ABSENT` where an optional one holds nothing."""
    values = list(value) if listed and isinstance(value, (list, tuple)) else [value]
    if None in [each if each is None else True for each in values]:
        if required:
            raise _make_missing_error(name)
        default = definition[1].get("default") if len(definition) > 1 else None
        held = [default if each is None else each for each in values if each is not None or default is not None]
        if not held or all(each is None for each in values):
            return _ABSENT
        values = held
    counted = [_count_items(name, definition[0], each) for each in values]
    return counted if listed else counted[0]


def _count_items(name: str, kind: Any, value: Any) -> Any:
    """A text "None" is empty; a whole number is an integer, however large and of whichever library."""
    if kind == "STRING" and isinstance(value, str):
        return "" if value.strip() == "None" else value
    if kind == "INT" and type(value) is not int:
        try:
            return value.__index__() if hasattr(value, "__index__") else _require_whole(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise _odd_number(name, value) from error
    return value


def _require_whole(value: Any) -> int:
    number = float(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(value)


def judge_seed(seed: Any, language: str | None) -> bool | str:
    """Whether a client's seed can be used, or what is wrong with it: many clients send 64 bits.

    The widget's own range is smaller, since a page counts in floating point; a seed counts whole and is never sent.
    """
    values = seed if isinstance(seed, (list, tuple)) else [seed]
    for value in values:
        if value is not None and not (isinstance(value, int) and 0 <= value < 2**64):  # a link comes as None
            return _odd_number("seed", value).text(language)
    return True


def _make_missing_error(name: str) -> InputError:
    from ...nemo_client import InputError

    return InputError("input-missing", name=name)


def _odd_number(name: str, value: Any) -> InputError:
    from ...nemo_client import InputError, Phrase

    expected = Phrase("expected.seed") if name == "seed" else Phrase("expected.whole-number")
    return InputError("value", name=name, value=str(value)[:40], expected=expected)


def find_language(inputs: Mapping[str, Any]) -> str:
    """The language among a node's inputs: its own, else that of a handle."""
    for name in ("language", "session", "auth"):
        value = inputs.get(name)
        value = value[0] if isinstance(value, (list, tuple)) and value else value
        language = value if isinstance(value, str) else getattr(value, "language", None)
        if isinstance(language, str) and language != "auto":
            return language
    return "auto"

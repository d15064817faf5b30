"""JSON from elsewhere in bounded memory: how deeply it is nested and how many values it holds. Pure."""

from __future__ import annotations

import json
from typing import Any, Final

MAX_DEPTH: Final = 200
"""How deeply JSON may be nested. Python's own limit depends on its version and on who calls."""

MAX_VALUES: Final = 1_000_000
"""How many values JSON may hold: three bytes of text can take a hundred in memory."""


class BadJson(ValueError):
    """Text that is no JSON, or JSON beyond the limits. `reason_id` and `facts` name the text that says why."""

    def __init__(self, words: str, reason_id: str, **facts: int) -> None:
        super().__init__(words)
        self.reason_id = reason_id
        self.facts = facts


def parse_json(text: str | bytes, *, depth: int = MAX_DEPTH, values: int = MAX_VALUES) -> Any:
    """The value that `text` (as bytes: UTF-8, -16 or -32) stands for; `BadJson` for anything else."""
    try:
        plain = text if isinstance(text, str) else text.decode(json.detect_encoding(text), "surrogatepass")
        brackets = plain.count("{") + plain.count("[")
        if brackets + plain.count(",") > values:
            raise BadJson(f"more than {values} values", "why.json-many", limit=values)
        value = json.loads(plain)
    except RecursionError as error:
        raise BadJson(f"nested more deeply than {depth} levels", "why.json-deep", depth=depth) from error
    except ValueError as error:
        raise error if isinstance(error, BadJson) else BadJson("no JSON", "why.not-json") from error
    # Brackets bound the depth from above, so the walk is rare.
    if brackets > depth and _too_deep(value, depth):
        raise BadJson(f"nested more deeply than {depth} levels", "why.json-deep", depth=depth)
    return value


def _too_deep(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return False
        level = below
    return True

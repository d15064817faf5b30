"""What stands for something in a file name prefix: dates, times, and widgets of the graph's nodes. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

_DATE: Final = re.compile(r"%date(?::([^%]*))?%")
_DATE_FORM: Final = re.compile(r"yyyy|yy|MM|M|dd|d|hh|h|mm|m|ss|s")
_DATE_PARTS: Final[dict[str, Callable[[time.struct_time], str]]] = {
    "yyyy": lambda now: f"{now.tm_year:04}",
    "yy": lambda now: f"{now.tm_year % 100:02}",
    "MM": lambda now: f"{now.tm_mon:02}",
    "M": lambda now: str(now.tm_mon),
    "dd": lambda now: f"{now.tm_mday:02}",
    "d": lambda now: str(now.tm_mday),
    "hh": lambda now: f"{now.tm_hour:02}",
    "h": lambda now: str(now.tm_hour),
    "mm": lambda now: f"{now.tm_min:02}",
    "m": lambda now: str(now.tm_min),
    "ss": lambda now: f"{now.tm_sec:02}",
    "s": lambda now: str(now.tm_sec),
}
_TOKENS: Final = {"year": "yyyy", "month": "MM", "day": "dd", "hour": "hh", "minute": "mm", "second": "ss"}


def fill_tokens(text: str, now: time.struct_time) -> str:
    """ComfyUI's tokens for dates and times, those of its front end (`%date:yyyy-MM-dd%`) included."""

    def dated(match: re.Match[str]) -> str:
        told = _DATE_FORM.sub(lambda part: _DATE_PARTS[part[0]](now), match[1] or "yyyyMMddhhmmss")
        return _NO_DATE.sub("_", told)  # a time with colons

    text = _DATE.sub(dated, text)
    for token, form in _TOKENS.items():
        text = text.replace(f"%{token}%", _DATE_PARTS[form](now))
    return text


NODE_TOKEN: Final = re.compile(r"%([^%.]+)\.([^%.]+)%")
_FORBIDDEN: Final = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
_NO_DATE: Final = re.compile(r'[?<>\\:*|"\x00-\x1f\x7f]')
_MAX_VALUE: Final = 80


def fill_node_tokens(text: str, graph: Any) -> str:
    """`%Node.widget%` filled in from the prompt, as ComfyUI's page does for its own save nodes; others stay.

    A node goes by its class, else by its title, else by its id. What no file name may hold becomes `_`.
    """
    nodes = (
        [(str(key), node) for key, node in graph.items() if isinstance(node, dict)] if isinstance(graph, dict) else []
    )

    def value_of(match: re.Match[str]) -> str:
        for name_of in (_class_of, _title_of, lambda key, _: key):
            for key, node in nodes:
                value = _inputs_of(node).get(match[2]) if name_of(key, node) == match[1] else None
                if isinstance(value, (str, int, float)):
                    return _FORBIDDEN.sub("_", str(value))[:_MAX_VALUE].strip()
        return match[0]

    return NODE_TOKEN.sub(value_of, text)


def _inputs_of(node: Mapping[str, Any]) -> Mapping[str, Any]:
    found = node.get("inputs")
    return found if isinstance(found, dict) else {}


def _class_of(_: str, node: Mapping[str, Any]) -> Any:
    return node.get("class_type")


def _title_of(_: str, node: Mapping[str, Any]) -> Any:
    about = node.get("_meta")
    return about.get("title") if isinstance(about, dict) else None

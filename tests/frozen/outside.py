"""Describes the outside of the project as plain data. `python -m tests.frozen.outside` writes it.

Add to it freely; a line that changes or goes away breaks somebody's workflow, script or journal.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import nemo_client

ROOT = Path(__file__).parent.parent.parent
KEPT = Path(__file__).with_name("outside.json")


def describe_outside(pack: Any) -> dict[str, Any]:
    """All sections; `pack` is the node pack as ComfyUI loads it."""
    return {
        "api": {name: _member(getattr(nemo_client, name)) for name in nemo_client.__all__},
        "nodes": {name: _node(node) for name, node in sorted(pack.NODE_CLASS_MAPPINGS.items())},
        "display_names": dict(sorted(pack.NODE_DISPLAY_NAME_MAPPINGS.items())),
        "web_directory": pack.WEB_DIRECTORY,
        "shell": describe_shell(),
        "variables": sorted(_named_variables()),
    }


def _member(value: Any) -> Any:
    if inspect.isclass(value):
        return _class(value)
    if callable(value):
        return {"function": _signature(value)}
    return {"value": repr(value) if isinstance(value, (str, int, float, tuple)) else type(value).__name__}


def _class(value: type) -> dict[str, Any]:
    members = {}
    for name, member in inspect.getmembers_static(value):
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            members[name] = "property"
        elif isinstance(member, (classmethod, staticmethod)) or inspect.isfunction(member):
            members[name] = _signature(getattr(value, name))
    described: dict[str, Any] = {"module": value.__module__, "members": members}
    if issubclass(value, Exception):
        described["bases"] = [base.__name__ for base in value.__mro__[1:-2]]
    described["made by"] = _signature(value)
    return described


def _signature(function: Any) -> list[list[str]]:
    """Names, kinds and defaults of the parameters."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [[each.name, each.kind.name.lower(), _default(each.default)] for each in parameters]


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return ""
    if inspect.isfunction(value) or inspect.isbuiltin(value) or inspect.isclass(value):
        return value.__name__
    if isinstance(value, Enum):
        return str(value.value)
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _node(node: Any) -> dict[str, Any]:
    inputs = node.INPUT_TYPES()
    return {
        "inputs": {
            group: [[name, _kind_of_input(kind), _plain_options(kind)] for name, kind in inputs[group].items()]
            for group in ("required", "optional", "hidden")
            if group in inputs
        },
        "outputs": [list(node.RETURN_TYPES), list(getattr(node, "RETURN_NAMES", ()))],
        "lists": [getattr(node, "INPUT_IS_LIST", False), list(getattr(node, "OUTPUT_IS_LIST", ()))],
        "output_node": getattr(node, "OUTPUT_NODE", False),
        "category": node.CATEGORY,
    }


def _kind_of_input(kind: Any) -> Any:
    if not isinstance(kind, tuple):
        return kind
    return list(kind[0]) if isinstance(kind[0], (list, tuple)) else kind[0]


def _plain_options(kind: Any) -> dict[str, Any]:
    options = kind[1] if isinstance(kind, tuple) and len(kind) > 1 else {}
    return {name: options[name] for name in ("default", "min", "max", "step", "multiline") if name in options}


def describe_shell() -> dict[str, Any]:
    """Commands, arguments and options of `nemo-video`."""
    from typer.main import get_command

    cli = importlib.import_module("nemo_client._cli.main")
    app = getattr(cli, "app", None) or importlib.import_module("nemo_client._cli.app").app
    return _command(get_command(app))


def _command(command: Any) -> dict[str, Any]:
    described: dict[str, Any] = {
        "parameters": [
            [each.name, *sorted([*each.opts, *each.secondary_opts]), each.required, each.nargs, repr(each.default)]
            for each in command.params
            if each.name != "help"
        ]
    }
    if hasattr(command, "commands"):
        described["commands"] = {name: _command(each) for name, each in sorted(command.commands.items())}
    return described


def _named_variables() -> set[str]:
    sources = [*ROOT.glob("nemo_client/**/*.py"), *ROOT.glob("nodes/**/*.py"), ROOT / "__init__.py"]
    found: set[str] = set()
    for path in sources:
        found |= set(re.findall(r"\b(?:NEMO_[A-Z_]+|SKILL_SOURCE)\b", path.read_text(encoding="utf-8")))
    return {name for name in found if not name.endswith("_")}


def missing(kept: Any, now: Any, where: str = "") -> list[str]:
    """What of `kept` is not in `now` any more, each as a line. Additions are fine, but not in the middle of lists."""
    if isinstance(kept, Mapping) and isinstance(now, Mapping):
        return [
            line
            for name, value in kept.items()
            for line in (
                missing(value, now[name], f"{where}/{name}")
                if name in now
                else [f"{where}/{name}: gone, was {value!r}"]
            )
        ]
    if isinstance(kept, list) and isinstance(now, list) and (where.endswith(_GROWING) or "/members/" in where):
        return [] if now[: len(kept)] == kept else [f"{where}: {kept!r} -> {now!r}"]
    if where == "/variables":
        return [f"{where}: {name}" for name in kept if name not in now]
    return [] if kept == now else [f"{where}: {kept!r} -> {now!r}"]


_GROWING = ("/required", "/optional", "/hidden", "/parameters", "/made by", "/function")


def main() -> None:
    """Write the description as it is now, or print it (`--print`)."""
    from tests.nodes._host import load_pack

    os.environ.setdefault("NEMO_HOME", tempfile.mkdtemp())  # the jobs of this machine's user are choices of a widget
    text = json.dumps(describe_outside(load_pack()), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if "--print" in sys.argv:
        sys.stdout.write(text)
    else:
        KEPT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

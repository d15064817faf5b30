"""Checks that the packages the pack needs are installed; if not, names the command that installs them.

At ComfyUI's start they are only looked for, since importing them takes a third of a second; they are imported for
good before the first step that could be paid for. Where one is missing the nodes stay in the list, so that workflows
keep them, and each says what to do.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ...nemo_client import NemoError

logger = logging.getLogger("nemo_client")

PACKAGES: Final = ("aiohttp", "av", "filelock", "httpcore", "httpx", "numpy", "PIL", "pydantic", "sqlalchemy")
"""The import names of what requirements.txt lists."""

OPTION: Final = "nemo_problem"
"""What an input of every node has among its options where the pack cannot work: the page reads it and tells."""

_HOSTS: Final = ("comfy", "comfy_api", "comfy_execution", "folder_paths", "server", "nodes", "torch")
_complete = False


def find_missing() -> list[str]:
    """The needed packages that are not installed; nothing is imported."""
    return [name for name in PACKAGES if not _is_there(name)]


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return sys.modules.get(name) is not None


def check_packages() -> None:
    """Import all of them, once; the error in words where one is missing or broken. Blocks."""
    global _complete
    if _complete:
        return
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise describe(error) or error from error
    _complete = True


def describe(error: BaseException | None) -> NemoError | None:
    """The words for an import that failed, where it is a package's that can be installed."""
    if not isinstance(error, ImportError):
        return None
    name = (error.name or "").split(".")[0]
    if name in _HOSTS or name in sys.stdlib_module_names or not (name or error.msg) or "/" in name or "\\" in name:
        return None  # ComfyUI's own, Python's own, or ours
    return make_missing_error([name or str(error)[:80]])


def make_missing_error(missing: list[str]) -> NemoError:
    """What is missing, and the command for this very Python."""
    from ...nemo_client import InputError

    return InputError("packages-missing", missing=", ".join(missing), command=install_command())


def install_command() -> str:
    """The command that installs what is missing into the Python that runs now, to be pasted into a shell."""
    requirements = str(Path(__file__).parent.parent.parent / "requirements.txt")
    if importlib.util.find_spec("pip") is None:  # environments that uv made have none
        words = ["uv", "pip", "install", "--python", sys.executable, "-r", requirements]
    else:
        apart = ["-s"] if sys.flags.no_user_site else []  # as ComfyUI's portable version starts its own Python
        words = [sys.executable, *apart, "-m", "pip", "install", "-r", requirements]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def refuse(classes: Mapping[str, type[Any]], missing: list[str]) -> dict[str, type[Any]]:
    """The node classes as they are seen, each of which only says what is missing."""
    error = make_missing_error(missing)
    logger.error("NemoVideo: %s", error.text("en"))
    problem = {lang: error.text(lang) for lang in ("en", "zh")}
    return {name: _make_refusing_class(each, missing, problem) for name, each in classes.items()}


def _make_refusing_class(base: type[Any], missing: list[str], problem: Mapping[str, str]) -> type[Any]:
    def inputs(_: type[Any]) -> dict[str, Any]:
        return {
            kind: {name: _mark_input(each, problem) for name, each in group.items()} if kind != "hidden" else group
            for kind, group in base.INPUT_TYPES().items()
        }

    def fail(_: Any, **__: Any) -> Any:
        raise make_missing_error(missing)

    members = {"INPUT_TYPES": classmethod(inputs), "FUNCTION": "fail", "fail": fail}
    return type(base.__name__, (base,), members)


def _mark_input(given: tuple[Any, ...], problem: Mapping[str, str]) -> tuple[Any, ...]:
    options = given[1] if len(given) > 1 else {}
    return (given[0], {**options, OPTION: dict(problem)})

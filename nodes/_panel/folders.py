"""Opens a folder in the file manager of the machine that ComfyUI runs on."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from . import request_guard

_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


def is_here(remote: str | None, headers: Mapping[str, str]) -> bool:
    """Whether the browser runs on this machine: a loopback address, by a loopback name, no proxy in between."""
    if not request_guard.is_loopback(request_guard.parse_host_name(headers.get("Host", "localhost"))):
        return False
    try:
        address = ipaddress.ip_address((remote or "").split("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback and not any(name in headers for name in _FORWARDED)


def can_open(remote: str | None, headers: Mapping[str, str]) -> bool:
    """Whether a folder can be opened for the browser: it runs on this machine, and there is a file manager."""
    return is_here(remote, headers) and (sys.platform == "win32" or _find_program() is not None)


def open_folder(file: Path) -> None:
    """Show the folder of a file; `InputError` that names the path where no file manager can be started. Blocks."""
    from ...nemo_client import InputError

    folder = file.parent
    try:
        if sys.platform == "win32":
            # "explore" shows folders only: by itself Windows may start a program of that name that lies beside it.
            os.startfile(folder, "explore")  # noqa: S606 - a folder of ours, which the user asked to see
            return
        program = _find_program()
        if program:
            _start_program(program, folder)
            return
    except OSError as error:
        raise InputError("folder-no-program", path=file) from error
    raise InputError("folder-no-program", path=file)


def _find_program() -> str | None:
    """What shows folders here; nothing does without a screen."""
    if sys.platform == "darwin":
        return shutil.which("open")
    return shutil.which("xdg-open") if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") else None


def _start_program(program: str, folder: Path) -> None:
    """Start it on its own, without our tokens; a thread waits for its end, so that it leaves no zombie."""
    from ...nemo_client import tokenless_environment

    quiet = subprocess.DEVNULL
    process = subprocess.Popen(  # noqa: S603 - a program by its absolute path, no shell, a folder of ours
        [program, str(folder)],
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
        env=tokenless_environment(),
    )
    threading.Thread(target=process.wait, name="nemo-folder", daemon=True).start()

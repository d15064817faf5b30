"""The lowest versions that pyproject.toml allows: what they are, and an environment with just these.

    python tools/lowest.py                       print them, one `name==version` a line
    python tools/lowest.py FOLDER [--python P]   make FOLDER an environment of the interpreter P with them

The environment has the extras of its users (cli, fleet, heic), the package itself, editable, and pytest with what our
tests need of its plugins, in any version. A bound that cannot be installed ends this with pip's own words.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("cli", "fleet", "heic")
TESTING = ("hypothesis", "pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist")
_BOUND = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)(?P<extras>\[[\w,-]+\])?>=(?P<version>[\w.]+)")


class NoBound(ValueError):
    """A requirement that names no lower bound, or more than that."""


def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def lowest(requirements: Sequence[str]) -> list[str]:
    """Each requirement pinned to its lower bound; `NoBound` for one that has another form than `name>=version`."""
    pinned = []
    for requirement in requirements:
        found = _BOUND.fullmatch(requirement)
        if found is None:
            raise NoBound(f"{requirement!r} is not of the form name>=version")
        pinned.append(f"{found['name']}{found['extras'] or ''}=={found['version']}")
    return pinned


def for_users(table: dict[str, Any]) -> list[str]:
    """What is installed for people: the dependencies, and the extras that are not for work on this repository."""
    extras = table["optional-dependencies"]
    return [*table["dependencies"], *(each for name in EXTRAS for each in extras[name])]


def for_tests(table: dict[str, Any]) -> list[str]:
    """What the tests need beside that."""
    names = {re.split(r"[\[><=;]", each)[0]: each for each in table["optional-dependencies"]["dev"]}
    return [names[each] for each in TESTING]


def install(folder: Path, python: str) -> None:
    """An environment in `folder` with the lowest versions."""
    table = project()
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile"]
    # All in one go, so that pip says so where two bounds exclude each other, or pytest needs more than one of them.
    subprocess.run([*pip, *lowest(for_users(table)), *for_tests(table), "setuptools"], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", str(ROOT)], check=True)


def main() -> int:
    """Print, or install."""
    parser = argparse.ArgumentParser(prog="python tools/lowest.py", description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--python", default=sys.executable)
    args = parser.parse_args()
    try:
        if args.folder is None:
            sys.stdout.write("\n".join(lowest(for_users(project()))) + "\n")
        else:
            install(args.folder, args.python)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A marked token, and the search for it in all that leaves a process: in files, logs, errors with their variables."""

from __future__ import annotations

import base64
import json
import logging
import pprint
import re
import sqlite3
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from rich.traceback import Traceback

MARK = "nmv_usr_Mark7Qz3Wk"
CLAIM = "clm_Claim9Xv5Tn"
TESTS = str(Path(__file__).parent.parent)
ATTRIBUTES = "attributes of its variables"
LOGGERS = ("", "nemo_client", "httpx", "httpcore", "asyncio", "aiohttp", "sqlalchemy", "filelock", "concurrent")


def spelled(secret: str = MARK) -> dict[str, str]:
    """A secret as servers, tools and logs spell it, by what that is called."""
    wrapped = "\n".join(re.findall(".{1,7}", secret))
    return {
        "plain": secret,
        "its beginning": secret[:12],
        "percent-encoded": "".join(f"%{each:02X}" for each in secret.encode()),
        "in a query": quote(f"Bearer {secret}", safe=""),
        "base64": base64.b64encode(f"Bearer {secret}".encode()).decode(),
        "base64 as a user": base64.b64encode(f":{secret}".encode()).decode(),
        "base64 as a name": base64.urlsafe_b64encode(secret.encode()).decode(),
        "JSON-escaped": "".join(f"\\u{ord(each):04x}" for each in secret),
        "hexadecimal": secret.encode().hex(),
        "wrapped": wrapped,
    }


def _patterns(secret: str) -> dict[str, re.Pattern[bytes]]:
    """What finds each spelling, whatever stands around it."""
    gap = rb"(?:[\s\x00'\"\\+|>]|\\n)*"  # lines, and how programs quote their ends; NUL: in two bytes a character
    wrapped = gap.join(re.escape(each.encode()) for each in secret[:12])
    found = {"plain, or wrapped": wrapped}
    for name, each in (("percent-encoded", "%%%02x"), ("JSON-escaped", r"\\u%04x"), ("hexadecimal", "%02x")):
        found[name] = "".join(each % ord(char) for char in secret[:12]).encode()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + secret[:12].encode()).decode()
        core = whole[(before * 8 + 5) // 6 : (before + 12) * 8 // 6]
        found[f"base64, {before} behind"] = re.escape(core).replace(r"\+", "[+-]").replace("/", "[/_]").encode()
    flags = {"plain, or wrapped": 0}
    return {
        name: re.compile(each, flags.get(name, re.IGNORECASE if "64" not in name else 0))
        for name, each in found.items()
    }


SEARCHED = {secret: _patterns(secret) for secret in (MARK, CLAIM)}


def traces(content: str | bytes, secret: str = MARK) -> list[str]:
    """Where the secret stands in `content`, in whatever spelling."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    found = []
    for name, pattern in SEARCHED[secret].items():
        if match := pattern.search(data):
            around = data[max(match.start() - 160, 0) : match.end() + 40]
            found.append(f"{name}: …{around.decode('utf-8', 'replace')}…")
    return found


def clean(places: Mapping[str, str | bytes], secret: str = MARK) -> None:
    """Fail where the secret stands in one of the places."""
    found = {place: traces(content, secret) for place, content in places.items() if not place.endswith(ATTRIBUTES)}
    # What no report shows by itself, and a debugger can open: our own token there, not how a server spelt it.
    found |= {place: ["plain"] for place, content in places.items() if secret[:12] in str(content)}

    told = "\n".join(f"{place}: {trace}" for place, each in found.items() for trace in each)
    assert not told, told


class Logs(logging.Handler):
    """Everything that is logged anywhere, as a careless handler would show it: arguments, errors, their variables."""

    def __init__(self) -> None:
        super().__init__(0)
        self.lines: list[str] = []
        self._levels: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()} {record.args!r}")
        if record.exc_info and record.exc_info[1] is not None:
            self.lines.extend(told_by(record.exc_info[1]).values())

    def __enter__(self) -> Logs:
        for name in LOGGERS:
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            logger.setLevel(logging.DEBUG)
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def told_by(error: BaseException) -> dict[str, str]:
    """All that a report of an error can show: its words, attributes, causes, and each frame's variables."""
    shown = {"its words": f"{error} {error!r} {error.args!r}"}
    report = traceback.TracebackException.from_exception(_ours(error), capture_locals=True)
    shown["its traceback"] = "".join(report.format())
    trace = Traceback.extract(
        type(error), error, _trace(error), show_locals=True, locals_max_length=None, locals_max_string=None
    )
    variables = [(each.locals or {}).values() for stack in trace.stacks for each in stack.frames]
    shown["as rich shows it"] = "\n".join(node.render() for each in variables for node in each)
    for number, each in enumerate(_chain(error)):
        shown[f"cause {number}"] = f"{each} {each!r} {each.args!r} {vars(each)!r}"
        for value in vars(each).values():
            shown[f"cause {number}"] += _opened(value)
        for place, variables in _frames(each):
            shown[f"cause {number} at {place}"] = "\n".join(f"{name} = {it!r}" for name, it in variables.items())
            shown[f"cause {number} at {place}, {ATTRIBUTES}"] = " ".join(map(_opened, variables.values()))
    return shown


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that hangs on it, told or suppressed."""
    left, seen = [error], set()
    while left:
        each = left.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            left += [other for other in (each.__cause__, each.__context__) if other is not None]


def _trace(error: BaseException) -> TracebackType | None:
    """The error's traceback from where it left the tests on: their own variables hold the mark."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(TESTS):
        trace = trace.tb_next
    return trace


def _ours(error: BaseException) -> BaseException:
    for each in _chain(error):
        each.__traceback__ = _trace(each)
    return error


def _frames(error: BaseException) -> Iterator[tuple[str, Mapping[str, Any]]]:
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(TESTS):
            yield f"{code.co_filename}:{trace.tb_lineno}", trace.tb_frame.f_locals
        trace = trace.tb_next


def _opened(value: object) -> str:
    """A value as debuggers show it: its repr, and those of its attributes."""
    try:
        inside = vars(value)
    except TypeError:
        inside = {}
    return f"{value!r} {pprint.pformat(inside)}"


def files(*folders: Path, but: Iterable[str] = ()) -> dict[str, bytes]:
    """Every file below the folders as it lies on the disk, journals also row by row; without those named `but`."""
    found: dict[str, bytes] = {}
    for path in (each for folder in folders for each in folder.rglob("*") if each.is_file()):
        if path.name not in but:
            found[str(path)] = path.name.encode() + b"\n" + path.read_bytes()
        if path.suffix == ".sqlite3":
            with sqlite3.connect(path) as journal:
                found[f"{path}, row by row"] = "\n".join(journal.iterdump()).encode("utf-8", "surrogatepass")
            journal.close()
    return found


def requests(calls: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What a local backend was asked, without the one header that may hold the token."""
    return {f"request {number}": json.dumps(call) for number, call in enumerate(calls)}

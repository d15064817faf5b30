"""The sources of a batch: folders, globs, single pictures, addresses, and manifests (CSV or JSON Lines).

A manifest's paths are relative to its own folder. Its faults are told with their line, before anything is sent.
"""

from __future__ import annotations

import contextlib
import csv
import difflib
import glob
import io
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from .._errors import InputError, NemoError
from .._safety.pasted_paths import find_path, is_address
from .._text.messages import Phrase, describe_os_error
from .item import BatchItem, is_picture, make_missing_file_error
from .report import PAGE, PAGE_BESIDE_FOREIGN, THUMBNAILS
from .results_file import LOCK, RESULTS, RUNS, JsonLinesFile

COLUMNS: Final = ("image", "prompt", "duration", "ratio", "seed", "output", "profile")
"""The columns that a manifest may have; only `image` is required."""
MANIFESTS: Final = (".csv", ".tsv", ".jsonl", ".ndjson")
_SYNONYMS: Final = {
    "images": "image", "file": "image", "path": "image", "picture": "image", "url": "image", "text": "prompt",
    "length": "duration", "seconds": "duration", "aspect_ratio": "ratio", "aspect ratio": "ratio", "name": "output",
    "output name": "output", "output_name": "output", "filename": "output", "file name": "output", "video": "output",
}  # fmt: skip
_OTHER_TABLES: Final = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers", ".json", ".txt", ".xml", ".yaml", ".yml", ".docx")
"""Formats in which people keep lists, and which are no manifests."""
_OWN_FILES: Final = (RESULTS, RUNS, LOCK, PAGE, PAGE_BESIDE_FOREIGN)
_SYSTEM_FILES: Final = (".DS_Store", "Thumbs.db", "desktop.ini", ".directory")
_INVISIBLE: Final = "\ufeff\u200b\u200c\u200d\u2060"
_SHEET_ERRORS: Final = frozenset(
    {"#NAME?", "#REF!", "#VALUE!", "#N/A", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!", "#GETTING_DATA"}
)
"""What a spreadsheet puts in a cell whose text it took for a formula: a prompt that begins with `=` or `-`."""
_SEP_LINE: Final = re.compile(r'[ \t]*"?sep=(.)"?[ \t,;]*(?:\r\n|\r|\n)', re.IGNORECASE)
_FIRST_BYTES: Final = 64
_NUMBER: Final = re.compile(r"(\d+)")


@dataclass(frozen=True)
class LeftOut:
    """A file of a folder or glob that is no item, and why: a key of the texts `left-out.*`."""

    path: Path
    reason: Literal["link", "kind", "hidden", "ours"]


def read_items(
    sources: Sequence[str], defaults: Mapping[str, Any], left_out: list[LeftOut] | None = None
) -> list[BatchItem]:
    """The items that `sources` mean, in their order; `defaults` fill what they leave open. Blocks.

    A folder gives its pictures in natural order, a glob (`**` too) those that match, a manifest its lines; anything
    else is a picture or an address. What a folder or a glob leaves out is added to `left_out`. Raises `InputError` for
    what is not there and for every fault of a manifest.
    """
    lister = _Lister(defaults, [] if left_out is None else left_out)
    return [item for source in sources for item in _expand_source(source, defaults, lister)]


def _expand_source(source: str, defaults: Mapping[str, Any], lister: _Lister) -> Iterable[BatchItem]:
    if is_address(source):
        return [_make_item({"image": (source,)}, defaults)]
    path = find_path(source)
    if path.is_dir():
        return lister.list_pictures(source, path.iterdir())
    if path.suffix.lower() in MANIFESTS:
        return list(read_manifest(path, defaults))
    if path.suffix.lower() in _OTHER_TABLES:
        raise InputError("batch-kind", name=path.name, manifests=" ".join(MANIFESTS))
    if not path.exists() and glob.has_magic(source):
        found = (Path(each) for each in glob.iglob(_escape_folders(os.path.expanduser(source)), recursive=True))
        return lister.list_pictures(source, found)
    if not path.exists():
        raise make_missing_file_error(path, source)
    return [_make_item({"image": (str(path.absolute()),)}, defaults)]


def _escape_folders(source: str) -> str:
    """The glob with each existing folder escaped, so that brackets in a folder's name are no pattern."""
    parts = Path(source).parts
    made = ""
    for part in parts:
        literal = os.path.join(made, glob.escape(part))
        there = glob.has_magic(part) and bool(glob.glob(literal))
        made = literal if there else os.path.join(made, part)
    return made


class _Lister:
    """Finds the pictures of folders and globs, and notes what is left out."""

    def __init__(self, defaults: Mapping[str, Any], left_out: list[LeftOut]) -> None:
        self._defaults = defaults
        self._left_out = left_out
        self._own_videos = _OwnVideos()

    def list_pictures(self, source: str, paths: Iterable[Path]) -> list[BatchItem]:
        """The items of these files, in natural order; an `InputError` where none is a picture."""
        found = [each for each in sorted(paths, key=lambda each: natural_sort_key(str(each))) if self._takes(each)]
        if not found:
            raise InputError("batch-no-pictures", name=source)
        return [_make_item({"image": (str(each.absolute()),), "listed": True}, self._defaults) for each in found]

    def _takes(self, path: Path) -> bool:
        if path.is_dir() or path.name in _OWN_FILES or _is_thumbnail(path):
            return False
        reason = self._find_reason(path)
        if reason is not None and path.name not in _SYSTEM_FILES:
            self._left_out.append(LeftOut(path, reason))
        return reason is None

    def _find_reason(self, path: Path) -> Literal["link", "kind", "hidden", "ours"] | None:
        if not path.exists():
            return "link"
        if path.name.startswith("."):
            return "hidden"
        if not is_picture(path) or not path.is_file():
            return "kind"
        return "ours" if path in self._own_videos else None


def leave_out_delivered(
    items: Sequence[BatchItem], delivered: Collection[str]
) -> tuple[list[BatchItem], list[LeftOut]]:
    """The items without those of folders and globs that the journal names as our own videos, and these."""
    kept = [item for item in items if not (item.listed and item.image[0] in delivered)]
    ours = [item.image[0] for item in items if item.listed and item.image[0] in delivered]
    return kept, [LeftOut(Path(each), "ours") for each in ours]


class _OwnVideos:
    """The videos of earlier batches, by the results beside or above them: a GIF that a batch made is no new picture."""

    def __init__(self) -> None:
        self._videos: dict[Path, frozenset[str]] = {}

    def __contains__(self, path: Path) -> bool:
        whole = Path(os.path.abspath(path))
        return any(str(whole.relative_to(folder)) in self._list_videos(folder) for folder in whole.parents)

    def _list_videos(self, folder: Path) -> frozenset[str]:
        if folder not in self._videos:
            self._videos[folder] = frozenset()
            with contextlib.suppress(NemoError):  # a parent folder that this user may not read
                lines = list(JsonLinesFile(folder / RESULTS).read())
                names = (os.path.normpath(str(line["video"])) for line in lines if line.get("video"))
                self._videos[folder] = frozenset(names)
        return self._videos[folder]


def _is_thumbnail(path: Path) -> bool:
    """Whether a picture belongs to the page of an earlier batch."""
    return any(folder.name == THUMBNAILS and (folder.parent / RESULTS).exists() for folder in path.parents)


def natural_sort_key(text: str) -> list[tuple[bool, int, str]]:
    """A key that sorts numbers by value: `shot2` before `shot10`."""
    return [
        (part.isdigit(), int(part) if part.isdecimal() else 0, part.casefold()) for part in _NUMBER.split(text) if part
    ]


def _make_item(data: Mapping[str, Any], defaults: Mapping[str, Any]) -> BatchItem:
    return BatchItem(**{**defaults, **data})


def read_manifest(path: Path, defaults: Mapping[str, Any]) -> Iterator[BatchItem]:
    """The items of a manifest, in its order."""
    text = _read_text(path)
    rows = _read_json_lines(path, text) if path.suffix.lower() in (".jsonl", ".ndjson") else _read_csv_rows(path, text)
    empty = True
    for line, row in rows:
        empty = False
        try:
            data = {name: _parse_value(name, value) for name, value in row.items() if value not in (None, "")}
            if "image" not in data:
                raise InputError("batch-no-image")
            data["image"] = tuple(_resolve_path(each, path.parent) for each in data["image"])
            if "output" in data:
                data["output"] = data["output"].replace("\\", "/")
            yield _make_item({**data, "line": line}, defaults)
        except NemoError as error:
            raise _locate_fault(path, line, error) from error
    if empty:
        raise InputError("batch-empty", file=path.name)


def _locate_fault(path: Path, line: int, error: NemoError) -> InputError:
    """An error that names the line of a fault."""
    from .._text.messages import choose_language as language
    from .._text.messages import say

    facts = dict(error.facts)
    if facts.get("name") == "aspect_ratio":  # what the column is called
        facts["name"] = "ratio"
    what = say(error.text_id, language(), **facts)
    return InputError("batch-line", file=path.name, line=line, what=what)


def _read_text(path: Path) -> str:
    """A manifest's text: UTF-8, or UTF-16 as spreadsheets save it, each with or without a byte order mark."""
    try:
        data = path.read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise InputError("file-missing", name=str(path)) from error
        raise InputError("file-unreadable", name=path.name, reason=describe_os_error(error)) from error
    encoding = _detect_encoding(data)
    try:
        return data.decode(encoding).lstrip(_INVISIBLE)  # the mark may stand there twice
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError("batch-encoding", file=path.name, line=line) from error


def _detect_encoding(data: bytes) -> str:
    """UTF-16 by its byte order mark, or by the zero bytes of ASCII letters in it; else UTF-8."""
    if data[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return "utf-32"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    first = data[:_FIRST_BYTES]
    if first[1::2].count(0) * 2 > len(first[1::2]) > 0:
        return "utf-16-le"
    return "utf-16-be" if first[::2].count(0) * 2 > len(first[::2]) > 0 else "utf-8-sig"


def _read_json_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError("batch-json", file=path.name, line=number, what=str(error)[:200]) from error
        if not isinstance(row, dict):
            raise InputError("batch-json", file=path.name, line=number, what=Phrase("why.not-object"))
        for name in row:
            if name not in COLUMNS:
                raise _make_column_error(path, number, str(name))
        yield number, row


def _read_csv_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    sep_line = _SEP_LINE.match(text)  # as Excel writes it: not a line of the table
    delimiter = sep_line[1] if sep_line else _detect_delimiter(text)
    reader = csv.reader(
        io.StringIO(text[sep_line.end() :] if sep_line else text, newline=""), delimiter=delimiter, strict=True
    )
    header: list[str] = []
    before = 1 if sep_line else 0
    begin = 1 + before
    try:
        for row in reader:
            line, begin = begin, reader.line_num + 1 + before
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = _parse_header(path, line, row)
                continue
            if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
                raise InputError("batch-cells", file=path.name, line=line, cells=len(row), columns=len(header))
            cells = dict(zip(header, map(_clean_cell, row), strict=False))
            for column, cell in cells.items():
                if cell in _SHEET_ERRORS:
                    raise InputError("batch-cell-error", file=path.name, line=line, column=column, value=cell)
            yield line, cells
    except csv.Error as error:
        raise InputError("batch-csv", file=path.name, line=begin, what=str(error)) from error


def _clean_cell(text: str) -> str:
    """A cell's text without white space and invisible characters around it."""
    return text.strip().strip(_INVISIBLE).strip()


def _detect_delimiter(text: str) -> str:
    """The delimiter that gives the most known columns in the first line with a text."""
    first = next((line for line in text.splitlines() if line.strip(" \t,;")), "")

    def count_columns(delimiter: str) -> int:
        cells = next(csv.reader([first], delimiter=delimiter), [])
        return sum(_clean_cell(cell).lower() in COLUMNS for cell in cells)

    return max((",", ";", "\t"), key=count_columns)


def _parse_header(path: Path, line: int, row: Sequence[str]) -> list[str]:
    """The names of the columns, all of them known, none twice."""
    header = [_clean_cell(cell).lower() for cell in row]
    while header and not header[-1]:
        header.pop()
    for name in header:
        if name not in COLUMNS:
            raise _make_column_error(path, line, name)
        if header.count(name) > 1:
            raise InputError("batch-column-twice", file=path.name, column=name)
    if "image" not in header:
        raise InputError("batch-no-image-column", file=path.name, columns=", ".join(COLUMNS))
    return header


def _make_column_error(path: Path, line: int, name: str) -> InputError:
    """An error for an unknown column, with the one that may be meant."""
    near = next(iter(difflib.get_close_matches(name.lower(), [*COLUMNS, *_SYNONYMS], 1)), "")
    meant = _SYNONYMS.get(near, near)
    columns, column = ", ".join(COLUMNS), name[:80]
    if meant:
        return InputError("batch-column-meant", file=path.name, line=line, column=column, columns=columns, meant=meant)
    return InputError("batch-column", file=path.name, line=line, column=column, columns=columns)


def _parse_value(name: str, value: Any) -> Any:
    """A cell's or a key's value as the item takes it; `InputError` where it has another type."""
    if name == "image":
        return _parse_images(value)
    if name in ("duration", "seed"):
        return _parse_number(name, value)
    if not isinstance(value, str):
        raise InputError("value", name=name, value=value, expected="text")
    return value


def _parse_images(value: Any) -> tuple[str, ...]:
    """One picture or several: a list, or text with `|` or line ends between them."""
    parts = re.split(r"[|\n]", value) if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(each, str) for each in parts):
        raise InputError("value", name="image", value=value, expected=Phrase("expected.paths"))
    found = tuple(each.strip() for each in parts if each.strip())
    if not found:
        raise InputError("batch-no-image")
    return found


def _parse_number(name: str, value: Any) -> float | int:
    """A number; text may have a decimal comma, as spreadsheets of some languages write it."""
    expected = Phrase("expected.whole-number") if name == "seed" else Phrase("expected.seconds")
    try:
        number = float(value.replace(",", ".")) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, (int, float)) or number != number:
            raise ValueError
        if isinstance(number, float) and number.is_integer():
            return int(number)
        if name == "seed" and isinstance(number, float):
            raise ValueError
        return number
    except (ValueError, OverflowError) as error:
        raise InputError("value", name=name, value=value, expected=expected) from error


def _resolve_path(image: str, folder: Path) -> str:
    """A path that is relative to the manifest's folder, resolved; an address stays as it is."""
    return image if is_address(image) else str(find_path(image, folder))

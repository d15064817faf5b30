"""The items of a batch: the request for one video as plain data, and the names of the items' files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from .._errors import InputError
from .._files.images import Judged, from_url, is_picture_file, judge_file
from .._files.save import Destination
from .._journal.steps import make_step_key, make_upload_key
from .._safety.file_names import clean_file_name
from .._safety.pasted_paths import find_meant
from .._studio.types import GenerationRequest, Output, check_choice
from .._text.choices import FORMATS, LANGUAGES
from .._text.messages import Phrase

DEFAULT_STEM: Final = "video"
_DEVICE_NAME: Final = re.compile(
    r"CON|PRN|AUX|NUL|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3]", re.IGNORECASE
)  # no files on Windows
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_LONE_SURROGATE: Final = re.compile(
    "[\\ud800-\\udfff]"
)  # a byte of a name that is no text: the journal cannot store it


@dataclass(frozen=True)
class BatchItem:
    """One video of a batch: its pictures (files or http(s) addresses) and how to make the video.

    `output` is the name of its file in the batch's folder, with or without the suffix; by default the name of the first
    picture. `profile` is empty for the batch's own. `line` is its line in a manifest, `entry` its name in results if
    another item has the same name in another format. `listed` items come from a folder or a glob.
    Raises `InputError` for mistakes that can be found without opening files.
    """

    image: tuple[str, ...]
    prompt: str
    duration: float = 0
    ratio: str = "auto"
    seed: int = 0
    output: str = ""
    profile: str = ""
    format: str = "mp4"
    quality: str = "high"
    resolution: str = "auto"
    language: str = "auto"
    line: int = field(default=0, compare=False)
    entry: str = field(default="", compare=False)
    listed: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        given = (self.image,) if isinstance(self.image, (str, os.PathLike)) else self.image
        object.__setattr__(self, "image", tuple(os.fspath(each) for each in given))
        if not self.image:
            raise InputError("batch-no-image")
        _ = self.wish, self.export
        check_choice("language", self.language, LANGUAGES)
        if not 0 <= self.seed < 2**31:
            raise InputError("value", name="seed", value=self.seed, expected=Phrase("expected.range", limit=2**31 - 1))
        if self.output:
            _check_name(self.output)

    @property
    def wish(self) -> GenerationRequest:
        """The request for its generation."""
        seconds = int(self.duration) if self.duration == self.duration // 1 else self.duration
        return GenerationRequest(self.prompt, self.ratio, seconds, self.seed)

    @property
    def export(self) -> Output:
        """How the video is exported; a suffix of `output` decides."""
        suffix = PurePosixPath(self.output).suffix.lower().lstrip(".")
        return Output(suffix if suffix in FORMATS else self.format, self.quality, self.resolution)

    @property
    def name(self) -> str:
        """The item's name in results: its file's name without the suffix."""
        return self.entry or self.file_name

    @property
    def file_name(self) -> str:
        """The name of its file, without the suffix."""
        if not self.output:
            return derive_stem(self.image)
        path = PurePosixPath(self.output)
        plain = path.with_suffix("") if path.suffix.lower().lstrip(".") in FORMATS else path
        return "/".join(clean_file_name(part) or DEFAULT_STEM for part in plain.parts)

    def destination(self, folder: Path) -> Destination:
        """Where its video goes."""
        path = folder.absolute() / self.file_name
        return Destination(path.parent, path.name, numbering="on collision")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data."""
        data = {**asdict(self), "image": list(self.image)}
        if not self.entry:
            del data["entry"]
        del data["listed"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BatchItem:
        """The item that `to_json` wrote, or that a manifest's line means; an `InputError` for an unknown name."""
        known = {each.name for each in fields(cls)}
        for name in data:
            if name not in known:
                raise InputError(
                    "value", name="item", value=name, expected=", ".join(sorted(known - {"line", "listed"}))
                )
        given = data.get("image", ())
        image = (given,) if isinstance(given, (str, os.PathLike)) else tuple(given)
        return cls(**{**data, "image": image, "prompt": data.get("prompt", "")})

    @property
    def request(self) -> str:
        """A hash of the request and of its files' sizes and times; where it differs, the item is carried out again."""
        asked = {**self.to_json(), "line": 0, "output": self.name}
        asked.pop("entry", None)
        seen: list[object] = [asked]
        for each in self.image:
            if "://" not in each:
                try:
                    info = os.stat(os.path.expanduser(each))
                    seen.append([info.st_size, info.st_mtime_ns])
                except (OSError, ValueError):
                    seen.append(None)
        return hashlib.sha256(json.dumps(seen, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:32]

    def compute_key(self, profile_id: str, fingerprints: Sequence[str]) -> str:
        """The key of its paid step, from what its files count as."""
        uploaded = make_upload_key(profile_id, "", fingerprints, self.language)
        return make_step_key(profile_id, uploaded, "generate", self.wish.inputs)

    def check_files(self) -> list[str]:
        """The files' fingerprints, as they count in step keys: pictures are decoded, films and sound read. Blocks.

        Raises an `InputError` for files that cannot be used.
        """
        return [each.fingerprint for each in self.judge_files()]

    def judge_files(self) -> list[Judged]:
        """As `check_files`, with what the files counted as in earlier versions, and what people are told. Blocks."""
        found = []
        for each in self.image:
            if "://" in each:
                found.append(Judged(from_url(each).fingerprint))
                continue
            path = Path(each).expanduser()
            if not path.exists():
                raise make_missing_file_error(path, str(path))
            found.append(judge_file(path))
        return found


def make_missing_file_error(path: Path, name: str) -> InputError:
    """An error for a missing file; it names the file that may be meant, where the names differ only in case."""
    meant = find_meant(path)
    if meant is not None:
        return InputError("file-missing-meant", name=name, meant=meant.name)
    return InputError("file-missing", name=name)


def derive_stem(images: Sequence[str]) -> str:
    """The default name of a video: that of its first picture, as every system can hold it."""
    if not images:
        return DEFAULT_STEM
    if "://" not in images[0]:
        return clean_file_name(_LONE_SURROGATE.sub("_", Path(images[0]).stem)) or DEFAULT_STEM
    name = re.split(r"[/\\]", unquote(urlsplit(images[0]).path))[-1].rsplit(".", 1)[0]
    plain = re.sub(r"[^\w.-]+", "_", name).strip("._")[:80]
    return DEFAULT_STEM if not plain or _DEVICE_NAME.fullmatch(plain.split(".")[0]) else plain


def assign_names(items: Iterable[BatchItem], known: Iterable[Mapping[str, Any]] = ()) -> list[BatchItem]:
    """The items with unique names: of two with the same name the second gets `_2`.

    `known` are the result lines of earlier runs: an item that has one keeps its name, whatever items are added, and a
    new item takes no name that belongs to a picture which still exists. An `InputError` where two items were given the
    same `output`.
    """
    items = _distinguish_by_format(items)
    taken = {_fold_case(item.name) for item in items if item.output}
    earlier = _collect_earlier_names(known, taken)
    kept = {
        id(item): name for item in items if not item.output and (name := _take_earlier_name(item, earlier, same=True))
    }
    for item in items:
        if not item.output and id(item) not in kept and (name := _take_earlier_name(item, earlier, same=False)):
            kept[id(item)] = name
    taken |= {_fold_case(name) for name in kept.values()}
    left = [(image, name) for image, lines in earlier.items() for name, _ in lines]
    taken |= {_fold_case(name) for image, name in left if os.path.exists(image[0])}
    gone = {_fold_case(name): name for image, name in left if not os.path.exists(image[0])}
    return [
        item if item.output else replace(item, output=kept.get(id(item)) or _find_free_name(item.name, taken, gone))
        for item in items
    ]


def _distinguish_by_format(items: Iterable[BatchItem]) -> list[BatchItem]:
    """The items; of two with the same `output` in other formats, the second is named with its format in results."""
    given: dict[str, BatchItem] = {}
    apart = []
    for item in items:
        other = given.setdefault(_fold_case(item.name), item) if item.output else item
        if other is not item and item.export.format != other.export.format and not item.entry:
            item = replace(item, entry=f"{item.file_name}.{item.export.format}")
            other = given.setdefault(_fold_case(item.name), item)
        if other is not item:
            raise InputError("batch-same-name", name=item.name, first=other.line or "?", line=item.line or "?")
        apart.append(item)
    return apart


Earlier = dict[tuple[str, ...], list[tuple[str, str]]]
"""By an item's pictures: the names that result lines of earlier runs have for them, each with its request."""


def _collect_earlier_names(known: Iterable[Mapping[str, Any]], given: Collection[str]) -> Earlier:
    """The earlier names of all pictures, without those that are given to items now."""
    found: Earlier = {}
    for line in known:
        image, name = line.get("image"), str(line.get("item") or "")
        if isinstance(image, list) and image and name and _fold_case(name) not in given:
            found.setdefault(tuple(map(str, image)), []).append((name, str(line.get("request") or "")))
    return found


def _take_earlier_name(item: BatchItem, earlier: Earlier, *, same: bool) -> str:
    """Take out the earlier name of the same request, or (not `same`) of any request with these pictures."""
    names = earlier.get(item.image, [])
    for each in names:
        if not same or replace(item, output=each[0]).request == each[1]:
            names.remove(each)
            return each[0]
    return ""


def _find_free_name(stem: str, taken: set[str], gone: Mapping[str, str]) -> str:
    """A name that is not taken; that of a picture which is gone only as it was spelled, since its line is replaced."""
    number, name = 1, stem
    while _fold_case(name) in taken or gone.get(_fold_case(name), name) != name:
        number += 1
        name = f"{stem}_{number}"
    taken.add(_fold_case(name))
    return name


def _fold_case(name: str) -> str:
    """A name as file systems that ignore case compare it."""
    return unicodedata.normalize("NFC", name).casefold()


def _check_name(name: str) -> None:
    """Raise `InputError` for a name that leads out of the batch's folder, or is no file name."""
    path = PurePosixPath(name)
    odd = any(unicodedata.category(char) == "Cc" for char in name) or "\\" in name or _DRIVE.match(name)
    if odd or path.is_absolute() or ".." in path.parts or not path.name or name.endswith("/"):
        expected = Phrase("expected.file-name")
        raise InputError("value", name="output", value=name[:120], expected=expected)


def parse_item(data: BatchItem | Mapping[str, Any]) -> BatchItem:
    """An item given as such, or as plain data."""
    return data if isinstance(data, BatchItem) else BatchItem.from_json(data)


PICTURES: Final = (
    "jpg", "jpeg", "jpe", "jfif", "pjpeg", "png", "webp", "gif", "heic", "heif", "avif", "jxl", "bmp", "tif", "tiff",
)  # fmt: skip


def is_picture(path: Path) -> bool:
    """Whether a file has the suffix of a picture, or the first bytes of one."""
    return path.suffix.lower().lstrip(".") in PICTURES or is_picture_file(path)

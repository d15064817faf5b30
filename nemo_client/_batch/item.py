"""The items of a batch: what one video is asked for, as plain data, and the names of their files."""

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
from .._files.images import from_file, from_url, inspect_file
from .._files.save import Destination
from .._safety.pasted_paths import find_meant
from .._studio.types import FORMATS, GenerationRequest, Output, check_choice
from .._text.prompts import LANGUAGES

DEFAULT_STEM: Final = "video"
_DEVICE: Final = re.compile(r"CON|PRN|AUX|NUL|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3]", re.IGNORECASE)  # no files on Windows
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_HALF: Final = re.compile("[\\ud800-\\udfff]")  # a byte of a name that is no text: no journal holds it
_ODD: Final = re.compile(r"[\\/:\x00-\x1f\x7f]+")


@dataclass(frozen=True)
class BatchItem:
    """One video of a batch: its pictures (files or http(s) addresses) and what shall come of them.

    `output` is the name of its file in the batch's folder, with or without its format's suffix; where nobody gives one
    it is named after its first picture. `profile` is empty for the batch's own. `line` says where a manifest has it,
    `entry` what it is called in results where another item has its name, in another format.
    Raises `InputError` for what can be seen to be wrong without looking at files.
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

    def __post_init__(self) -> None:
        given = (self.image,) if isinstance(self.image, (str, os.PathLike)) else self.image
        object.__setattr__(self, "image", tuple(os.fspath(each) for each in given))
        if not self.image:
            raise InputError("batch-no-image")
        _ = self.wish, self.export
        check_choice("language", self.language, LANGUAGES)
        if not 0 <= self.seed < 2**31:
            raise InputError("value", name="seed", value=self.seed, expected=f"0 to {2**31 - 1}")
        if self.output:
            _check_name(self.output)

    @property
    def wish(self) -> GenerationRequest:
        """What the generation is asked for."""
        seconds = int(self.duration) if self.duration == self.duration // 1 else self.duration
        return GenerationRequest(self.prompt, self.ratio, seconds, self.seed)

    @property
    def export(self) -> Output:
        """How the video is exported; a suffix of `output` decides."""
        suffix = PurePosixPath(self.output).suffix.lower().lstrip(".")
        return Output(suffix if suffix in FORMATS else self.format, self.quality, self.resolution)

    @property
    def name(self) -> str:
        """What the item is called in results: its file's name without the suffix."""
        return self.entry or self.file_name

    @property
    def file_name(self) -> str:
        """What its file is called, without the suffix."""
        path = PurePosixPath(self.output or _ODD.sub("_", derive_stem(self.image)))
        return str(path.with_suffix("") if path.suffix.lower().lstrip(".") in FORMATS else path)

    def destination(self, folder: Path) -> Destination:
        """Where its video goes."""
        path = folder.absolute() / self.file_name
        return Destination(path.parent, path.name, numbering="on collision")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data."""
        data = {**asdict(self), "image": list(self.image)}
        if not self.entry:
            del data["entry"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BatchItem:
        """The item that `to_json` wrote, or that a manifest's line means; an `InputError` for an unknown name."""
        known = {each.name for each in fields(cls)}
        for name in data:
            if name not in known:
                raise InputError("value", name="item", value=name, expected=", ".join(sorted(known - {"line"})))
        given = data.get("image", ())
        image = (given,) if isinstance(given, (str, os.PathLike)) else tuple(given)
        return cls(**{**data, "image": image, "prompt": data.get("prompt", "")})

    @property
    def request(self) -> str:
        """A hash of what is asked for and of how its files look from outside: another one means to look again."""
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

    def check_files(self) -> None:
        """Raise what is wrong with its pictures, which are decoded for it: half a file is found before it is paid for.

        Blocks.
        """
        for each in self.image:
            if "://" in each:
                from_url(each)
            else:
                path = Path(each).expanduser()
                if not path.exists():
                    raise missing_file(path, str(path))
                inspect_file(path)
                _decode_picture(path)


def _decode_picture(path: Path) -> None:
    """Decode a still picture as an upload would, and the first picture of a GIF; `InputError` where that fails."""
    if not is_picture(path):
        return
    from_file(path)
    if path.suffix.lower() != ".gif":
        return
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, IndexError, EOFError) as error:
        raise InputError("not-an-image", name=path.name) from error


def missing_file(path: Path, name: str) -> InputError:
    """A file that is not there; with the one that may be meant, where its name differs in case alone."""
    meant = find_meant(path)
    if meant is not None:
        return InputError("file-missing-meant", name=name, meant=meant.name)
    return InputError("file-missing", name=name)


def derive_stem(images: Sequence[str]) -> str:
    """What a video is called where nobody said so: like its first picture."""
    if not images:
        return DEFAULT_STEM
    if "://" not in images[0]:
        return _HALF.sub("_", Path(images[0]).stem) or DEFAULT_STEM
    name = re.split(r"[/\\]", unquote(urlsplit(images[0]).path))[-1].rsplit(".", 1)[0]
    plain = re.sub(r"[^\w.-]+", "_", name).strip("._")[:80]
    return DEFAULT_STEM if not plain or _DEVICE.fullmatch(plain.split(".")[0]) else plain


def assign_names(items: Iterable[BatchItem], known: Iterable[Mapping[str, Any]] = ()) -> list[BatchItem]:
    """The items, each with a name of its own: of two with one name the second gets `_2`.

    `known` are the lines of earlier runs: an item that has one keeps its name, whatever is added beside it, and a new
    one takes none that belongs to a picture which is still there. An `InputError` where two were given the same one.
    """
    items = _apart(items)
    taken = {_folded(item.name) for item in items if item.output}
    earlier = _earlier_names(known, taken)
    kept = {id(item): name for item in items if not item.output and (name := _name_before(item, earlier, same=True))}
    for item in items:
        if not item.output and id(item) not in kept and (name := _name_before(item, earlier, same=False)):
            kept[id(item)] = name
    taken |= {_folded(name) for name in kept.values()}
    taken |= {_folded(name) for image, lines in earlier.items() for name, _ in lines if os.path.exists(image[0])}
    return [
        item if item.output else replace(item, output=kept.get(id(item)) or _free_name(item.name, taken))
        for item in items
    ]


def _apart(items: Iterable[BatchItem]) -> list[BatchItem]:
    """The items, of which two with one name are told apart by their formats, if they can be."""
    given: dict[str, BatchItem] = {}
    apart = []
    for item in items:
        other = given.setdefault(_folded(item.name), item) if item.output else item
        if other is not item and item.export.format != other.export.format and not item.entry:
            item = replace(item, entry=f"{item.file_name}.{item.export.format}")
            other = given.setdefault(_folded(item.name), item)
        if other is not item:
            raise InputError("batch-same-name", name=item.name, first=other.line or "?", line=item.line or "?")
        apart.append(item)
    return apart


Earlier = dict[tuple[str, ...], list[tuple[str, str]]]
"""By an item's pictures: the names that lines of earlier runs have for them, each with its request."""


def _earlier_names(known: Iterable[Mapping[str, Any]], given: Collection[str]) -> Earlier:
    """What is known of pictures, without the names that are given to items now."""
    found: Earlier = {}
    for line in known:
        image, name = line.get("image"), str(line.get("item") or "")
        if isinstance(image, list) and image and name and _folded(name) not in given:
            found.setdefault(tuple(map(str, image)), []).append((name, str(line.get("request") or "")))
    return found


def _name_before(item: BatchItem, earlier: Earlier, *, same: bool) -> str:
    """The name of the same request earlier, or of another one with these pictures; it is used up by that."""
    names = earlier.get(item.image, [])
    for each in names:
        if not same or replace(item, output=each[0]).request == each[1]:
            names.remove(each)
            return each[0]
    return ""


def _free_name(stem: str, taken: set[str]) -> str:
    number, name = 1, stem
    while _folded(name) in taken:
        number += 1
        name = f"{stem}_{number}"
    taken.add(_folded(name))
    return name


def _folded(name: str) -> str:
    """As file systems that ignore case compare names."""
    return unicodedata.normalize("NFC", name).casefold()


def _check_name(name: str) -> None:
    """`InputError` for a name that leads out of the batch's folder, or is none."""
    path = PurePosixPath(name)
    odd = any(unicodedata.category(char) == "Cc" for char in name) or "\\" in name or _DRIVE.match(name)
    if odd or path.is_absolute() or ".." in path.parts or not path.name or name.endswith("/"):
        expected = "a file name inside the batch's folder"
        raise InputError("value", name="output", value=name[:120], expected=expected)


def parse_item(data: BatchItem | Mapping[str, Any]) -> BatchItem:
    """An item given as such, or as plain data."""
    return data if isinstance(data, BatchItem) else BatchItem.from_json(data)


PICTURES: Final = ("jpg", "jpeg", "png", "webp", "gif", "heic", "heif", "bmp", "tif", "tiff")


def is_picture(path: Path) -> bool:
    """Whether a file is called like a picture."""
    return path.suffix.lower().lstrip(".") in PICTURES and not path.name.startswith(".")

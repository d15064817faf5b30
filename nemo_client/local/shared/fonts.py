"""Which font can draw a text: the bundled one for Latin, the system's for everything else.

No font ships with this package beyond Pillow's own (Latin only), so Chinese, Japanese and Korean need a font of the
system. `missing_glyphs` says beforehand what could not be drawn; nothing is ever drawn as empty boxes.
"""

from __future__ import annotations

import functools
import os
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageFont

from ..render.errors import RenderError

# File names without case, spaces and hyphens; the first that covers a text wins, so bold cuts and CJK come first.
_PREFERRED = (
    "notosanscjk-bold", "notosanscjk", "notosanssc", "notosanscjksc", "notosansjp", "notosanskr", "sourcehansans",
    "pingfang", "hiraginosans", "applesdgothicneo", "stheiti", "msyhbd", "msyh", "yugothb", "yugoth", "malgunbd",
    "malgun", "simhei", "wqy-microhei", "wqy-zenhei", "droidsansfallback", "nanumgothic", "ipagothic", "takaogothic",
    "notoserifcjk", "dejavusans-bold", "dejavusans", "arialunicode", "arialuni", "arial", "segoeui", "liberationsans",
    "notosans-bold", "notosans-regular", "notosans",
)  # fmt: skip
_SUFFIXES = (".ttc", ".otf", ".ttf")
_MAX_FACES = 16
# No font has a glyph for a noncharacter, so it shows what this font draws for what it lacks.
_NONCHARACTER = "\uffff"
_PROBE_SIZE = 24
_INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp", "Mn", "Me")
# What a script's face is called inside a collection of faces.
_REGIONS = (("\u3040", "\u30ff", " JP"), ("\uac00", "\ud7a3", " KR"))
_DEFAULT_REGION = " SC"


@dataclass(frozen=True)
class Face:
    """One face of a font file; without a path the font that Pillow carries in itself."""

    path: str | None = None
    index: int = 0
    name: str = "bundled"

    def at(self, size: int) -> ImageFont.FreeTypeFont:
        """The face at `size` pixels."""
        if self.path is None:
            font = ImageFont.load_default(size)
            if not isinstance(font, ImageFont.FreeTypeFont):
                raise RenderError("this Pillow was built without FreeType, so it cannot draw text")
            return font
        return ImageFont.truetype(self.path, size, index=self.index)


def choose_face(text: str) -> tuple[Face, str]:
    """The first face that has every character of `text`; else the one that lacks least, and what it lacks."""
    best, lacking = Face(), _find_lacking(Face(), text)
    if not lacking:
        return best, ""
    for face in _order_faces(_system_faces(), text):
        missing = _find_lacking(face, text)
        if not missing:
            return face, ""
        if len(missing) < len(lacking):
            best, lacking = face, missing
    return best, lacking


def missing_glyphs(text: str) -> str:
    """The characters of `text` that no single font on this machine can draw; empty when all is well."""
    return choose_face(text)[1]


def _find_lacking(face: Face, text: str) -> str:
    font = _open_probe(face)
    blank = _read_shape(font, _NONCHARACTER)
    wanted = dict.fromkeys(c for c in text if unicodedata.category(c) not in _INVISIBLE)
    return "".join(c for c in wanted if _read_shape(font, c) == blank)


@functools.lru_cache(maxsize=64)
def _open_probe(face: Face) -> ImageFont.FreeTypeFont:
    return face.at(_PROBE_SIZE)


def _read_shape(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


def _order_faces(faces: tuple[Face, ...], text: str) -> list[Face]:
    """Faces of the text's own region first: Chinese and Japanese draw many characters differently."""
    region = next((name for low, high, name in _REGIONS if any(low <= c <= high for c in text)), _DEFAULT_REGION)
    return sorted(faces, key=lambda face: not face.name.endswith(region) and face.name[-3:-2] == " ")


@functools.lru_cache(maxsize=1)
def _system_faces() -> tuple[Face, ...]:
    """Faces of the preferred font files on this machine, best first."""
    found: dict[int, list[Path]] = {}
    for path in _font_files():
        stem = path.stem.lower().replace(" ", "")
        rank = next((rank for rank, name in enumerate(_PREFERRED) if stem.startswith(name)), None)
        if rank is not None:
            found.setdefault(rank, []).append(path)
    ordered = [path for rank in sorted(found) for path in sorted(found[rank])]
    return tuple(face for path in ordered for face in _faces_of(path))


def _faces_of(path: Path) -> Iterator[Face]:
    for index in range(_MAX_FACES if path.suffix.lower() == ".ttc" else 1):
        try:
            family, _ = ImageFont.truetype(str(path), _PROBE_SIZE, index=index).getname()
        except OSError:
            return
        yield Face(str(path), index, family or path.stem)


def _font_files() -> Iterator[Path]:
    for directory in _font_directories():
        for parent, _, names in os.walk(directory):
            yield from (Path(parent, name) for name in names if name.lower().endswith(_SUFFIXES))


def _font_directories() -> list[Path]:
    home = Path.home()
    if sys.platform == "win32":
        roots = [Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")]
        return [*roots, Path(os.environ.get("LOCALAPPDATA", home), "Microsoft", "Windows", "Fonts")]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library" / "Fonts"]
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts", home / ".fonts"]

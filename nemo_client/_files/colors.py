"""Colours of pictures: what a profile of another colour space says becomes sRGB, before the profile is dropped. Blocks.

Phones tag their pictures Display P3, cameras Adobe RGB: the same numbers, read as sRGB, look dull.
"""

from __future__ import annotations

import functools
import io
from typing import Final

import numpy as np
from PIL import Image, ImageCms

SAME_LEVELS: Final = 2
"""Levels of 255 by which a profile may differ from sRGB everywhere and still be called sRGB."""

_SPACES: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_TRANSPARENT: Final = ("RGBA", "LA", "PA", "La", "RGBa")


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image | None:
    """The picture in sRGB, RGB or RGBA; None where it is as it is: without a profile, or with one of sRGB or no use."""
    if not profile or image.mode == "1":
        return None
    space = _space_of(profile)
    if not space or (space == "RGB" and is_srgb(profile)):
        return None
    alpha = None
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A")
    colours = _in_space(image, space)
    if colours is None:
        return None
    try:
        given, wanted = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(colours, given, wanted, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if converted is not None and alpha is not None:
        converted.putalpha(alpha)
    return converted


def _in_space(image: Image.Image, space: str) -> Image.Image | None:
    """The numbers that a profile of this space speaks of; None where the picture has others."""
    if space == "CMYK":
        return image if image.mode == "CMYK" else None
    if image.mode == "CMYK":
        return None
    grey = image.mode in ("L", "LA", "La")
    if grey != (space == "L"):
        return None
    return image.convert(space) if image.mode != space else image


@functools.lru_cache(maxsize=32)
def _space_of(profile: bytes) -> str:
    """The kind of numbers that a profile is for; empty for one that cannot be read, or for another kind."""
    try:
        return _SPACES.get(ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.ljust(4), "")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return ""


@functools.lru_cache(maxsize=32)
def is_srgb(profile: bytes) -> bool:
    """Whether a profile leaves colours where sRGB has them, whatever it calls itself."""
    levels = np.linspace(0, 255, 7).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(7, 49, 3)
    try:
        given, wanted = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        shown = ImageCms.profileToProfile(Image.fromarray(lattice), given, wanted, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False
    difference = np.abs(np.asarray(shown).astype(int) - lattice.astype(int)).max()
    return bool(difference <= SAME_LEVELS) or ("sRGB" in _name_of(profile) and bool(difference <= 10 * SAME_LEVELS))


def _name_of(profile: bytes) -> str:
    try:
        return str(ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return ""

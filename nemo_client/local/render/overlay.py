"""Grey-scale artwork (titles, the badge) laid over a frame's planes, with whole positions and any opacity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .motion import Size
from .sampler import Bytes

_Levels = npt.NDArray[np.uint16]
# Limited-range luma of white is 16 + 219; grey has its chroma at 128.
_BLACK, _WHITE, _GREY = 16, 219, 128


@dataclass(frozen=True)
class Overlay:
    """Luma and opacity of a rectangle whose corner and sides are even; opacities run 0..256."""

    left: int
    top: int
    luma: _Levels
    opacity: _Levels
    chroma_opacity: _Levels

    @property
    def size(self) -> Size:
        """(width, height) in pixels."""
        return self.luma.shape[1], self.luma.shape[0]

    def blend(self, planes: tuple[Bytes, Bytes, Bytes], strength: float = 1.0) -> None:
        """Lay it over a frame's Y, Cb and Cr planes; `strength` 0..1 fades it."""
        level = round(max(0.0, min(1.0, strength)) * 256)
        if level == 0:
            return
        width, height = self.size
        rows, columns = slice(self.top, self.top + height), slice(self.left, self.left + width)
        _mix_into(planes[0][rows, columns], self.luma, _scale_opacity(self.opacity, level))
        rows = slice(self.top // 2, (self.top + height) // 2)
        columns = slice(self.left // 2, (self.left + width) // 2)
        weights = _scale_opacity(self.chroma_opacity, level)
        for plane in planes[1:]:
            _mix_into(plane[rows, columns], np.uint16(_GREY), weights)


def overlay(grey: Bytes, alpha: Bytes, left: int, top: int) -> Overlay:
    """Artwork of `grey` levels with `alpha`, both (height, width) of even sides, at an even corner."""
    luma = (_BLACK + (grey.astype(np.uint32) * _WHITE + 127) // 255).astype(np.uint16)
    opacity = ((alpha.astype(np.uint32) * 256 + 127) // 255).astype(np.uint16)
    height, width = opacity.shape
    blocks = opacity.astype(np.uint32).reshape(height // 2, 2, width // 2, 2).sum(axis=(1, 3))
    return Overlay(left, top, luma, opacity, ((blocks + 2) // 4).astype(np.uint16))


def crossfade(below: tuple[Bytes, ...], above: tuple[Bytes, ...], share: float) -> None:
    """Mix `above` into `below` by `share` 0..1, plane by plane, a few rows at a time (they stay in the cache)."""
    weight = np.uint16(round(max(0.0, min(1.0, share)) * 256))
    for low, high in zip(below, above, strict=True):
        for row in range(0, low.shape[0], 64):
            _mix_into(low[row : row + 64], high[row : row + 64].astype(np.uint16), weight)


def _mix_into(target: Bytes, value: _Levels | np.uint16, weight: _Levels | np.uint16) -> None:
    """target += (value - target) * weight / 256, rounded; products stay below 2^16."""
    # The type is named because NumPy 1 would compute bytes times a small number in bytes.
    mixed = np.multiply(target, np.uint16(256) - weight, dtype=np.uint16)
    mixed += np.multiply(value, weight, dtype=np.uint16)
    mixed += np.uint16(128)
    mixed >>= np.uint16(8)
    target[:] = mixed


def _scale_opacity(opacity: _Levels, level: int) -> _Levels:
    return opacity if level == 256 else ((opacity.astype(np.uint32) * level) >> 8).astype(np.uint16)

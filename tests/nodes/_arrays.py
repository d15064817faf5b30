"""Tensors for tests: real torch where it is there, else a small array with the same few methods."""

from __future__ import annotations

import importlib.util
import types
from typing import Any

import numpy as np
import numpy.typing as npt

HAS_TORCH = importlib.util.find_spec("torch") is not None


class Array:
    """The part of a tensor's interface that the nodes use."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self._values = values

    @property
    def shape(self) -> tuple[int, ...]:
        return self._values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._values.dtype

    def is_floating_point(self) -> bool:
        return bool(np.issubdtype(self._values.dtype, np.floating))

    def detach(self) -> Array:
        return self

    def cpu(self) -> Array:
        return self

    def float(self) -> Array:
        return Array(self._values.astype(np.float32))

    def numpy(self) -> npt.NDArray[Any]:
        return self._values


def torch_module() -> types.ModuleType:
    """A module `torch` with what the nodes call."""
    made = types.ModuleType("torch")
    made.from_numpy = Array  # type: ignore[attr-defined]
    return made


def tensor(values: npt.NDArray[Any], half: bool = False) -> Any:
    """`values` as IMAGE or MASK."""
    if not HAS_TORCH:
        return Array(values.astype(np.float16 if half else np.float32))
    import torch

    made = torch.from_numpy(values.astype(np.float32))
    return made.half() if half else made


def picture(width: int = 64, height: int = 48, *, seed: int = 0, batch: int = 1, channels: int = 3) -> Any:
    """A batch of random but smooth pictures, IMAGE [batch, height, width, channels]."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((batch, 4, 4, channels))
    rows = np.linspace(0, 3.999, height).astype(int)
    columns = np.linspace(0, 3.999, width).astype(int)
    return tensor(coarse[:, rows][:, :, columns])

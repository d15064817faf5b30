"""From IMAGE to the bytes that go over the wire, against what ComfyUI's partner nodes do; and tensor to 8 bits alone.

    python -m benchmarks.images [--smoke] [--json FILE]

The partner nodes turn each picture to 8 bits by truncation and save it as PNG with Pillow's defaults, one after
another, in the event loop. Ours rounds, looks for values that are no numbers, takes the SHA-256 of the pixels (by which
a picture counts in step keys), and encodes; all of that is in the time. Pictures are a photograph scaled to the size.

The loss is measured on photographs and on noise, which is the worst that a codec can meet. "Longest stop" is how late
at worst a task in the event loop woke that asked for a millisecond, while the node's own call prepared a batch.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import io
import math
import os
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks._figures import Curve, Figure, main, median_of
from benchmarks.local_preview import photograph
from nemo_client import from_pixels

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "workflows" / "sample_photo.jpg"
SIZES = {"1024 x 1024": (1024, 1024), "1080p": (1920, 1080), "4K": (3840, 2160)}
SMOKE_SIZES = {"128 x 96": (128, 96)}


class Tensor:
    """What stands for a tensor where torch is not installed."""

    def __init__(self, values: Any) -> None:
        self.values, self.dtype, self.shape, self.ndim = values, values.dtype, values.shape, values.ndim

    def is_floating_point(self) -> bool:
        return True

    def detach(self) -> Tensor:
        return self

    cpu = float = detach

    def numpy(self) -> Any:
        return self.values


def run(smoke: bool) -> list[Figure]:
    """Encoding of single pictures and of a batch, what it loses, and the conversion alone."""
    sizes, runs = (SMOKE_SIZES, 1) if smoke else (SIZES, 5)
    figures = [figure for name, size in sizes.items() for figure in single(name, size, runs)]
    largest = list(sizes.values())[-1]
    lost = loss(largest, 1 if smoke else 3)
    return [*figures, *batch(sizes, min(runs, 3)), *lost, *eight_bits(largest, 1 if smoke else 25)]


def curve(smoke: bool) -> list[Curve]:
    """Seconds by the number of pictures in a batch."""
    counts, size = ([1, 2], (64, 64)) if smoke else ([1, 2, 4, 8, 16, 32, 64], (768, 512))
    upload = node("upload")
    times = []
    for count in counts:
        image = tensor(np.repeat(photo(size)[None], count, axis=0))
        times += median_of(1 if smoke else 5, lambda image=image: upload.read_pictures([image], (), "auto"))
    return [Curve("images in a batch", "images", counts, times, "s")]


def single(name: str, size: tuple[int, int], runs: int) -> list[Figure]:
    """One picture in each encoding."""
    image, upload = tensor(photo(size)[None]), node("upload")
    works = [lambda kind=kind: upload.read_pictures([image], (), kind) for kind in ("auto", "png", "webp")]
    rival, *mine = median_of(runs, lambda: partner(image), *works)
    names = ("opaque (jpeg)", "lossless (png)", "lossless (webp)")
    return [
        _faster(f"IMAGE to bytes, {name}, {kind}", seconds, rival, times, "rival: Pillow PNG, as the partner nodes")
        for kind, seconds, times in zip(names, mine, (10, 2, 2), strict=True)
    ]


def batch(sizes: dict[str, tuple[int, int]], runs: int) -> list[Figure]:
    """Sixteen pictures, and how long the event loop stood still meanwhile."""
    name, size = list(sizes.items())[min(1, len(sizes) - 1)]
    count = 16
    image = tensor(np.stack([np.roll(photo(size), 7 * index, axis=1) for index in range(count)]))
    upload = node("upload")
    works = {kind: lambda kind=kind: upload.read_pictures([image], (), kind) for kind in ("auto", "png")}
    rival, mine, lossless = median_of(runs, lambda: partner(image), *works.values())
    label, note = f"batch of {count}, {name}", f"side by side over {os.cpu_count()} cores"
    worst = {
        kind: statistics.median(asyncio.run(_stop(work)) for _ in range(2 * runs + 1)) * 1000
        for kind, work in works.items()
    }
    return [
        _faster(f"{label}, opaque (jpeg)", mine, rival, 10, note),
        _faster(f"{label}, lossless (png)", lossless, rival, 2, note),
        Figure(f"{label}, longest stop, jpeg", worst["auto"], None, "ms", "<= 20", worst["auto"] <= 20),
        Figure(f"{label}, longest stop, png", worst["png"], None, "ms", "<= 20", worst["png"] <= 20),
    ]


def loss(size: tuple[int, int], made: int) -> list[Figure]:
    """PSNR of what goes out, the lowest of all pictures of a kind, and the bytes it takes."""
    kinds = {"photographs": photographs(size, made), "noise": noise(size)}
    figures = []
    for kind, pictures in kinds.items():
        media = [from_pixels(pixels).content for pixels in pictures]
        lowest = min(psnr(pixels, content) for pixels, content in zip(pictures, media, strict=True))
        bits = statistics.mean(len(content) * 8 / (size[0] * size[1]) for content in media)  # type: ignore[arg-type]
        note = f"{bits:.1f} bits a pixel on average, 4:4:4"
        figures.append(Figure(f"PSNR of opaque pictures, {kind}", lowest, None, "dB", ">= 42", lowest >= 42, note))
    return figures


def eight_bits(size: tuple[int, int], runs: int) -> list[Figure]:
    """Tensor to uint8 alone."""
    name = f"tensor to uint8, {size[0]} x {size[1]}"
    images, image = node("_comfy.images"), tensor(photo(size)[None])
    if isinstance(image, Tensor):
        (mine,) = median_of(runs, lambda: images.to_pixels([image]))
        return [Figure(name, mine * 1000, None, "ms", ">= 1.5 x faster", None, "torch is not installed")]
    mine, rival = median_of(runs, lambda: images.to_pixels([image]), lambda: (image * 255).clamp(0, 255).byte().numpy())
    return [
        _faster(name, mine, rival, 1.5, "rival: (t * 255).clamp(0, 255).byte().numpy(); ours also rounds and checks")
    ]


# --- What is measured, and with what ----------------------------------------------------------------------------------


def partner(image: Any) -> list[bytes]:
    """What the partner nodes send: truncated, Pillow's default PNG, one after another."""
    return [saved((picture * 255).astype(np.uint8)) for picture in image.numpy()]


def saved(pixels: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def psnr(pixels: Any, content: Any) -> float:
    """Peak signal to noise in dB, over all channels."""
    with Image.open(io.BytesIO(content)) as image:
        error = np.square(np.asarray(image, np.float32) - pixels).mean(dtype=np.float64)
    return 10 * math.log10(255**2 / max(float(error), 1e-9))


@lru_cache
def photo(size: tuple[int, int]) -> Any:
    """The bundled photograph at `size`: float32 [H, W, 3] in 0..1."""
    with Image.open(PHOTO) as image:
        scaled = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    return np.asarray(scaled, np.float32) / np.float32(255)


def photographs(size: tuple[int, int], count: int) -> list[Any]:
    """Photographs as uint8: the bundled one scaled and cut out, and `count` made up, as they are and with grain."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [photograph(Path(folder) / f"{seed}.jpg", size, seed) for seed in range(count)]
        made = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    grain = np.random.default_rng(1).normal(0, 2.5, (size[1], size[0], 1))
    with Image.open(PHOTO) as image:
        cut = np.asarray(image.convert("RGB"))[: size[1], : size[0]]
    scaled = (photo(size) * 255).round().astype(np.uint8)
    return [scaled, *made, *[np.clip(each + grain, 0, 255).astype(np.uint8) for each in made], _filled(cut, size)]


def noise(size: tuple[int, int]) -> list[Any]:
    """Colour noise on the photograph, from little to nothing else."""
    chance = np.random.default_rng(1)
    base = photo(size) * 255
    pictures = [np.clip(base + chance.normal(0, sigma, base.shape), 0, 255).astype(np.uint8) for sigma in (2, 5, 20)]
    return [*pictures, chance.integers(0, 256, base.shape, np.uint8)]


def _filled(pixels: Any, size: tuple[int, int]) -> Any:
    """`pixels` repeated up to `size`."""
    height, width = pixels.shape[:2]
    repeated = np.tile(pixels, (-(-size[1] // height), -(-size[0] // width), 1))
    return repeated[: size[1], : size[0]]


def tensor(values: Any) -> Any:
    """IMAGE: torch's own tensor where it is installed."""
    if importlib.util.find_spec("torch") is None:
        return Tensor(values)
    import torch

    return torch.from_numpy(values)


@lru_cache
def node(name: str) -> Any:
    """A module of the nodes, which are no package by themselves: ComfyUI loads them inside one."""
    if "benchmarked_pack" not in sys.modules:
        pack = types.ModuleType("benchmarked_pack")
        pack.__path__ = [str(ROOT)]
        sys.modules["benchmarked_pack"] = pack
    return importlib.import_module(f"benchmarked_pack.nodes.{name}")


async def _stop(work: Callable[[], object]) -> float:
    """How late at worst a task woke in this loop while `work` ran in a thread, in seconds."""
    done = asyncio.ensure_future(asyncio.to_thread(work))
    worst = 0.0
    while not done.done():
        begin = time.perf_counter()
        await asyncio.sleep(0.001)
        worst = max(worst, time.perf_counter() - begin - 0.001)
    await done
    return worst


def _faster(name: str, mine: float, rival: float, times: float, note: str) -> Figure:
    return Figure(name, mine * 1000, rival * 1000, "ms", f">= {times} x faster", rival / mine >= times, note)


if __name__ == "__main__":
    sys.exit(main(run, __doc__))

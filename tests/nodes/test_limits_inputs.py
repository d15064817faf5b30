"""Inputs of nodes as no node of ours makes them: tensors of any shape and kind, JSON where a wire belongs."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from nemo_client import InputError, NemoError
from tests.nodes._arrays import HAS_TORCH, Array, picture, tensor
from tests.nodes._host import Host

Nodes = dict[str, type[Any]]

needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="only torch has such tensors")


@pytest.fixture
def images(pack: Any) -> Any:
    return importlib.import_module(".nodes._comfy.images", pack.__name__)


def given(values: Any) -> Any:
    """`values` with their own kind of numbers, as a tensor."""
    if not HAS_TORCH:
        return Array(np.asarray(values))
    import torch

    return torch.from_numpy(np.ascontiguousarray(values))


def refused(images: Any, image: Any, masks: tuple[Any, ...] = ()) -> str:
    with pytest.raises(InputError) as caught:
        images.to_pixels([image], masks)
    str(caught.value).encode()
    return caught.value.id


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, -1, 70_000])
def test_values_that_are_no_numbers_are_refused(images: Any, value: float, at: int) -> None:
    """One of them anywhere in the picture; in a mask, too."""
    values = np.full((1, 160, 160, 3), 0.5, np.float32)
    values.reshape(-1)[at] = value
    mask = np.zeros((160, 160), np.float32)
    mask[3, 4] = value

    assert refused(images, tensor(values)) == "image-not-finite"
    assert refused(images, picture(160, 160), (tensor(mask),)) == "mask-not-finite"


@pytest.mark.parametrize(
    "shape", [(1,), (2, 2), (1, 4, 4, 2), (1, 4, 4, 5), (1, 3, 4, 4, 4), (4, 4, 7), (1, 1, 1, 1, 1, 1), ()], ids=str
)
def test_odd_shapes_are_refused(images: Any, shape: tuple[int, ...]) -> None:
    """The message names the shape."""
    assert refused(images, tensor(np.zeros(shape, np.float32))) == "image-shape"


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (1, 0, 4, 3), (1, 4, 0, 3), (0, 0, 0, 3)], ids=str)
def test_an_empty_batch_is_refused(images: Any, shape: tuple[int, ...]) -> None:
    """A filter that kept nothing gives one."""
    assert refused(images, tensor(np.zeros(shape, np.float32))) == "image-empty"


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.int64, np.complex64])
def test_whole_numbers_are_no_brightness(images: Any, kind: type[Any]) -> None:
    """0 to 255 taken for 0 to 1 is a white picture, which would be paid for."""
    levels = np.full((1, 4, 4, 3), 128).astype(kind)

    assert refused(images, given(levels)) == "tensor-kind"
    assert refused(images, picture(4, 4), (given(levels[0, :, :, 0]),)) == "tensor-kind"


def test_yes_and_no_are_one_and_zero(images: Any) -> None:
    """A comparison gives such a mask."""
    values = np.zeros((1, 2, 2, 3), bool)
    values[0, 0] = True

    (pixels,) = images.to_pixels([given(values)])

    assert pixels[0].min() == 255
    assert pixels[1].max() == 0


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_every_kind_of_fraction_is_read(images: Any, kind: type[Any]) -> None:
    """One in double precision that no single one holds is infinite, and told so."""
    assert images.to_pixels([given(np.full((1, 2, 2, 3), 0.5).astype(kind))])[0].max() == 128
    if kind is np.float64:
        with np.errstate(over="ignore"):
            assert refused(images, given(np.full((1, 2, 2, 3), 1e300))) == "image-not-finite"


@needs_torch
def test_tensors_without_values_are_refused(images: Any) -> None:
    """On no device, or laid out in another way."""
    import torch

    assert refused(images, torch.zeros((1, 4, 4, 3), device="meta")) == "no-tensor"
    assert refused(images, torch.zeros((1, 4, 4, 3)).to_sparse()) == "no-tensor"
    assert images.to_pixels([torch.zeros((1, 4, 4, 3), requires_grad=True)])[0].max() == 0


@pytest.mark.parametrize(
    "image", [None, 7, "image.png", [[0.5]], {"samples": 1}, np.zeros((1, 4, 4, 3), np.float32)], ids=repr
)
def test_what_is_no_tensor_is_refused(images: Any, image: Any) -> None:
    """A headless workflow can hold anything in the place of a wire."""
    assert refused(images, image) == "no-tensor"


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (20_000, 20)], ids=str)
def test_thin_and_tiny_tensors_are_pictures(images: Any, size: tuple[int, int]) -> None:
    """And come back as they were."""
    width, height = size
    levels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)

    assert np.array_equal(images.to_pixels([images.to_image(levels)])[0], levels)


@pytest.mark.parametrize(
    "audio",
    [
        7,
        "a.wav",
        [],
        {},
        {"waveform": None, "sample_rate": 44100},
        {"waveform": "x", "sample_rate": 1},
        {"sample_rate": 44100},
        {"waveform": 1, "sample_rate": "fast"},
        {"waveform": 1, "sample_rate": float("nan")},
        {"waveform": 1, "sample_rate": float("inf")},
    ],
    ids=str,
)
def test_what_is_no_sound_is_refused(images: Any, audio: Any) -> None:
    """Missing parts, and a rate that is none."""
    with pytest.raises(InputError):
        images.to_samples(audio)


def test_sound_in_whole_numbers_is_refused(images: Any) -> None:
    """-32768 to 32767 taken for -1 to 1 is noise at full volume."""
    with pytest.raises(InputError) as caught:
        images.to_samples({"waveform": given(np.full((1, 1, 100), 1000, np.int16)), "sample_rate": 44100})
    assert caught.value.id == "tensor-kind"


ODD = [7, "nemo", {"profile": "nemo"}, {"profile": {"a": {}}, "language": "en"}, [1], True, 0.5]
SMALL = {"format": "mp4", "quality": "low", "resolution": "480p"}
READERS: dict[str, dict[str, Any]] = {
    "NemoGenerateVideo": {"prompt": "go", "aspect_ratio": "auto", "duration": 1, "seed": 0},
    "NemoEditVideo": {"instruction": "go", "when_changed": "stop", "seed": 0},
    "NemoExportRender": {"filename_prefix": "video/a", **SMALL},
    "NemoChat": {"message": "status", "seed": 0},
    "NemoTimeline": {},
}
OPENERS: dict[str, dict[str, Any]] = {
    "NemoUploadImage": {"image": None, "batch_mode": "all images in one video"},
    "NemoUploadMedia": {"source": "a.mp4"},
    "NemoCredits": {},
}


@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.parametrize("node", [*READERS, *OPENERS])
def test_json_in_the_place_of_a_handle_is_one_typed_error(node: str, odd: Any, nodes: Nodes, host: Host) -> None:
    """ComfyUI checks no inputs of kinds that it does not know: in a headless workflow any JSON comes through."""
    name = "session" if node in READERS else "auth"
    others = {**READERS, **OPENERS}[node]
    inputs = {**others, name: odd, **({"image": picture(8, 8)} if "image" in others else {})}

    with pytest.raises(InputError) as caught:
        host.run(nodes[node], **inputs)

    assert caught.value.id == "no-handle"
    assert f"The input {name} is a " in str(caught.value)


def deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize("node", [*READERS, *OPENERS])
def test_an_input_nested_10000_deep_is_one_typed_error(node: str, nodes: Nodes, host: Host) -> None:
    """In the place of a handle; as a hidden input it only costs the file its tag."""
    others = {**READERS, **OPENERS}[node]
    name = "session" if node in READERS else "auth"
    value = deep(5000)
    inputs = {**others, name: value, **({"image": picture(8, 8)} if "image" in others else {})}

    with pytest.raises(NemoError) as caught:
        host.run(nodes[node], **inputs)
    assert caught.value.id == "no-handle"
    while isinstance(value, dict):  # taken apart by hand: Python's own way recurses
        value = value.pop("a").pop()

"""IMAGE and MASK to 8-bit pixels and back."""

from __future__ import annotations

import importlib
import os
import threading
from typing import Any

import numpy as np
import pytest

from nemo_client import InputError
from tests.nodes._arrays import picture, tensor
from tests.support.waiting import PATIENT_SECONDS


@pytest.fixture
def images(pack: Any) -> Any:
    return importlib.import_module(".nodes._comfy.images", pack.__name__)


def test_values_are_rounded_and_clipped(images: Any) -> None:
    """0.5 is level 128 (127.5 rounded up); what lies outside 0..1 is clipped, not wrapped around."""
    image = tensor(np.array([[[[-0.5, 0.0, 0.5], [1.0, 1.01, 7.0]]]]))

    (pixels,) = images.to_pixels([image])

    assert pixels.tolist() == [[[0, 0, 128], [255, 255, 255]]]


def test_every_level_survives_the_way_there_and_back(images: Any) -> None:
    """uint8 -> IMAGE -> uint8 is exact for all 256 levels, so the graph and the shell name the same request."""
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)

    (pixels,) = images.to_pixels([images.to_image(levels)])

    assert np.array_equal(pixels, levels)


def test_large_pictures_are_converted_as_small_ones(images: Any) -> None:
    """They go piece by piece, each clipped by itself; the last piece may be short."""
    values = np.random.default_rng(5).random((1, 190, 210, 3), np.float32)
    assert values.size > 1.5 * images.PIECE
    values[0, -1, -1] = (-3, 0.999, 3)

    (pixels,) = images.to_pixels([tensor(values)])

    assert np.array_equal(pixels, (values[0] * np.float32(255) + np.float32(0.5)).clip(0, 255.5).astype(np.uint8))


def test_pictures_may_lie_in_memory_in_any_order(images: Any) -> None:
    """Crops, flips and channels-first batches are views."""
    values = np.random.default_rng(6).random((2, 3, 9, 8)).astype(np.float32)
    view = np.moveaxis(values, 1, 3)[:, ::2, 1:]

    straight = images.to_pixels([tensor(np.ascontiguousarray(view))])
    viewed = images.to_pixels([tensor(view)])

    assert all(np.array_equal(one, other) for one, other in zip(straight, viewed, strict=True))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_batches_and_lists_become_one_list_of_pictures(images: Any, channels: int, half: bool) -> None:
    """A batch of 2 and a list of one more, also of another size, are three pictures in that order."""
    first = tensor(np.random.default_rng(1).random((2, 5, 7, channels)), half)
    second = tensor(np.random.default_rng(2).random((1, 6, 4, channels)), half)

    pixels = images.to_pixels([first, second])

    assert [each.shape for each in pixels] == [(5, 7, channels), (5, 7, channels), (6, 4, channels)]


@pytest.mark.parametrize("size", [4, 200], ids=["small", "large"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=["nan", "inf", "-inf"])
def test_values_that_are_no_numbers_are_refused(images: Any, bad: float, size: int) -> None:
    """A black frame from a failed decode must not be paid for, wherever in it they are."""
    values = np.zeros((1, size, size, 3))
    values[0, size // 2, 1, 1] = bad

    with pytest.raises(InputError) as caught:
        images.to_pixels([tensor(values)])

    assert caught.value.id == "image-not-finite"


@pytest.mark.parametrize(
    ("shape", "text_id"),
    [
        ((0, 4, 4, 3), "image-empty"),
        ((1, 0, 4, 3), "image-empty"),
        ((1, 4, 4, 2), "image-shape"),
        ((4, 4), "image-shape"),
    ],
    ids=str,
)
def test_other_shapes_are_refused(images: Any, shape: tuple[int, ...], text_id: str) -> None:
    """The message names the shape."""
    with pytest.raises(InputError) as caught:
        images.to_pixels([tensor(np.zeros(shape))])

    assert caught.value.id == text_id


def test_a_mask_becomes_transparency(images: Any) -> None:
    """1 in a MASK is transparent; it is resized to the picture."""
    mask = np.zeros((1, 2, 2))
    mask[0, 0, 0] = 1

    (pixels,) = images.to_pixels([picture(8, 8)], [tensor(mask)])

    assert pixels.shape == (8, 8, 4)
    assert pixels[0, 0, 3] == 0
    assert pixels[7, 7, 3] == 255


def test_an_empty_mask_means_opaque(images: Any) -> None:
    """Load Image gives a 64x64 mask of zeros for pictures without transparency."""
    (pixels,) = images.to_pixels([picture(8, 8)], [tensor(np.zeros((1, 64, 64)))])

    assert pixels.shape == (8, 8, 3)


def test_masks_must_be_one_or_one_a_picture(images: Any) -> None:
    """Two masks for three pictures are a mistake, not something to guess about."""
    with pytest.raises(InputError) as caught:
        images.to_pixels([picture(batch=3)], [tensor(np.ones((2, 4, 4)))])

    assert caught.value.id == "mask-shape"


@pytest.fixture
def upload(pack: Any) -> Any:
    return importlib.import_module(".nodes.upload", pack.__name__)


def test_a_batch_is_encoded_side_by_side(upload: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures are worked on at once where there are two cores: each waits here until the other has begun."""
    both = threading.Barrier(2, timeout=PATIENT_SECONDS)

    def picture(read: Any, encoding: str) -> Any:
        both.wait()
        return read(), encoding

    monkeypatch.setattr(upload, "_encode_picture", picture)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    assert len(upload.read_pictures([picture_batch(4)], (), "auto")) == 4


def test_a_batch_keeps_its_order_and_its_failures_in_place(upload: Any) -> None:
    """The pictures come as they were given, and one that cannot be read costs only itself."""
    batch = np.stack([np.full((8, 8, 3), level / 20, np.float32) for level in range(20)])
    batch[7, 3, 3, 0] = np.nan

    made = upload.read_pictures([tensor(batch)], (), "png")
    alone = [upload.read_pictures([tensor(each[None])], (), "png")[0] for each in batch]

    assert isinstance(made[7], InputError)
    assert [each.fingerprint for each in made if each is not made[7]] == [
        each.fingerprint for each in alone if each is not alone[7]
    ]


def picture_batch(count: int) -> Any:
    return tensor(np.zeros((count, 4, 4, 3)))

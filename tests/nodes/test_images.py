"""IMAGE and MASK to 8-bit pixels and back."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from nemo_client import InputError

from ._arrays import picture, tensor


@pytest.fixture
def images(pack: Any) -> Any:
    return importlib.import_module(".nodes._images", pack.__name__)


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


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_batches_and_lists_become_one_list_of_pictures(images: Any, channels: int, half: bool) -> None:
    """A batch of 2 and a list of one more, also of another size, are three pictures in that order."""
    first = tensor(np.random.default_rng(1).random((2, 5, 7, channels)), half)
    second = tensor(np.random.default_rng(2).random((1, 6, 4, channels)), half)

    pixels = images.to_pixels([first, second])

    assert [each.shape for each in pixels] == [(5, 7, channels), (5, 7, channels), (6, 4, channels)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=["nan", "inf", "-inf"])
def test_values_that_are_no_numbers_are_refused(images: Any, bad: float) -> None:
    """A black frame from a failed decode must not be paid for."""
    values = np.zeros((1, 4, 4, 3))
    values[0, 2, 1, 1] = bad

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

"""NemoVideo Sample Image: the bundled photograph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._comfy import images as tensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PHOTO = Path(__file__).parent.parent / "workflows" / "sample_photo.jpg"
DETAILS: Final = ((0.0, 0.5), (0.5, 0.5), (0.25, 0.1))
"""The upper left corners of the details, as shares of width and height; each is half as wide and half as high."""


class NemoSampleImage:
    """The bundled photograph, so that templates run at once."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = "A sample photograph, to try a workflow without your own."
    SEARCH_ALIASES = ("example", "demo", "test image", "photo", "placeholder", "示例")
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The photograph, then details of it if you ask for more than one.",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        images = {
            "default": 1,
            "min": 1,
            "max": 1 + len(DETAILS),
            "tooltip": "How many pictures: the photograph, then details of it, as one batch.",
        }
        return {"required": {}, "optional": {"images": ("INT", images)}}

    def load(self, images: int = 1) -> tuple[Any]:
        """The photograph as IMAGE, a batch of `images`."""
        from ..nemo_client import read_pixels

        pixels = read_pixels(PHOTO)
        wanted = min(max(images, 1) - 1, len(DETAILS))
        return (tensors.to_batch([pixels, *(_detail(pixels, *DETAILS[number]) for number in range(wanted))]),)


def _detail(pixels: npt.NDArray[np.uint8], left: float, top: float) -> npt.NDArray[np.uint8]:
    """A quarter of the picture, as large as the whole."""
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    x, y = round(left * width), round(top * height)
    part = Image.fromarray(pixels[y : y + height // 2, x : x + width // 2])
    return np.asarray(part.resize((width, height), Image.Resampling.LANCZOS))

"""NemoVideo Sample Image: a picture that is there at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import _images

PHOTO = Path(__file__).parent.parent / "workflows" / "sample_photo.jpg"


class NemoSampleImage:
    """The bundled photograph, so that templates run at once."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = "The bundled sample photograph, to try a workflow without a picture of one's own."
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The photograph.",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {}}

    def load(self) -> tuple[Any]:
        """The photograph as IMAGE."""
        from ..nemo_client import read_pixels

        return (_images.to_image(read_pixels(PHOTO)),)

"""The nodes. Thin: inputs in, one call to nemo_client, outputs out. Ids are frozen: workflows depend on them."""

from __future__ import annotations

from typing import Any

from . import _host
from .auth import NemoAuth
from .edit import NemoEditVideo
from .export import NemoExportRender
from .generate import NemoGenerateVideo
from .image_to_video import NemoImageToVideo
from .recover import NemoRecover
from .sample import NemoSampleImage
from .upload import NemoUploadImage

_host.require()

NODE_CLASS_MAPPINGS: dict[str, type[Any]] = {
    "NemoAuth": NemoAuth,
    "NemoEditVideo": NemoEditVideo,
    "NemoExportRender": NemoExportRender,
    "NemoGenerateVideo": NemoGenerateVideo,
    "NemoImageToVideo": NemoImageToVideo,
    "NemoRecover": NemoRecover,
    "NemoSampleImage": NemoSampleImage,
    "NemoUploadImage": NemoUploadImage,
}

NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "NemoAuth": "NemoVideo Auth",
    "NemoEditVideo": "NemoVideo Edit Video",
    "NemoExportRender": "NemoVideo Export Render",
    "NemoGenerateVideo": "NemoVideo Generate Video",
    "NemoImageToVideo": "NemoVideo Image to Video",
    "NemoRecover": "NemoVideo Recover",
    "NemoSampleImage": "NemoVideo Sample Image",
    "NemoUploadImage": "NemoVideo Upload Image",
}

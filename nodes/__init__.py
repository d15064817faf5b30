"""The nodes. Thin: inputs in, one call to nemo_client, outputs out. Ids are frozen: workflows depend on them."""

from __future__ import annotations

from typing import Any

from ._comfy import duplicates, host, packages
from .auth import NemoAuth
from .chat import NemoChat
from .credits import NemoCredits
from .edit import NemoEditVideo
from .export import NemoExportRender
from .generate import NemoGenerateVideo
from .image_to_video import NemoImageToVideo
from .recover import NemoRecover
from .sample import NemoSampleImage
from .timeline import NemoTimeline
from .upload import NemoUploadImage
from .upload_media import NemoUploadMedia

host.require_comfyui()

NODE_CLASS_MAPPINGS: dict[str, type[Any]] = {
    "NemoAuth": NemoAuth,
    "NemoChat": NemoChat,
    "NemoCredits": NemoCredits,
    "NemoEditVideo": NemoEditVideo,
    "NemoExportRender": NemoExportRender,
    "NemoGenerateVideo": NemoGenerateVideo,
    "NemoImageToVideo": NemoImageToVideo,
    "NemoRecover": NemoRecover,
    "NemoSampleImage": NemoSampleImage,
    "NemoTimeline": NemoTimeline,
    "NemoUploadImage": NemoUploadImage,
    "NemoUploadMedia": NemoUploadMedia,
}

NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "NemoAuth": "NemoVideo Auth",
    "NemoChat": "NemoVideo Chat",
    "NemoCredits": "NemoVideo Credits",
    "NemoEditVideo": "NemoVideo Edit Video",
    "NemoExportRender": "NemoVideo Export Render",
    "NemoGenerateVideo": "NemoVideo Generate Video",
    "NemoImageToVideo": "NemoVideo Image to Video",
    "NemoRecover": "NemoVideo Recover",
    "NemoSampleImage": "NemoVideo Sample Image",
    "NemoTimeline": "NemoVideo Timeline",
    "NemoUploadImage": "NemoVideo Upload Image",
    "NemoUploadMedia": "NemoVideo Upload File or URL",
}

RUNS = not duplicates.stand_aside()
"""Whether this copy of the pack is the one that runs; another has no nodes and no page."""

if not RUNS:
    NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS = {}, {}
elif missing := packages.find_missing():
    NODE_CLASS_MAPPINGS = packages.refuse(NODE_CLASS_MAPPINGS, missing)

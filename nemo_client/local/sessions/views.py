"""Records of the store in the API's shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..agent.timeline import from_draft
from .store import Asset, SessionRecord, Store


class Addresses:
    """Absolute addresses of stored files, as the client sees this server."""

    def __init__(self, store: Store, base: str, sign: Callable[[str], str]) -> None:
        self._store = store
        self._base = base
        self._sign = sign

    def of(self, stored: str, label: str = "") -> str:
        """`label` makes two addresses of one file differ; the server does not look at it, nor at the query."""
        tail = f"/{label}" if label else ""
        return self._sign(self._base + self._store.file_path(stored) + tail)


def file_view(asset: Asset, addresses: Addresses) -> dict[str, Any]:
    """An uploaded file, as the upload's answer and the state's `video_infos` have it."""
    return {
        "id": asset["id"],
        "filename": asset["filename"],
        "file_type": asset["kind"],
        "cdn_url": addresses.of(asset["stored"]),
        "width": asset["width"],
        "height": asset["height"],
        "duration": asset["duration"],
        "fps": asset["fps"],
        "hash": asset["hash"],
    }


def media_view(record: SessionRecord, addresses: Addresses) -> list[dict[str, Any]]:
    """Generated clips. A preview clip is its source under a camera: the address shows the source."""
    stored = {asset["id"]: asset["stored"] for asset in record["assets"]}
    return [
        {"id": clip["id"], "type": "video", "url": addresses.of(stored[clip["asset"]], clip["id"]), "preview": True}
        for clip in record["generated"]
        if clip["asset"] in stored
    ]


def state_view(record: SessionRecord, addresses: Addresses) -> dict[str, Any]:
    """The answer of the state endpoint."""
    timeline = from_draft(record["draft"])
    canvas = {}
    if timeline:
        canvas = {"width": timeline.width, "height": timeline.height, "aspect_ratio": timeline.ratio}
    return {
        "session_id": record["id"],
        "task_id": record["task_id"],
        "task_name": record["task_name"],
        "state": {
            "draft": record["draft"],
            "video_infos": [file_view(asset, addresses) for asset in record["assets"]],
            "generated_media": media_view(record, addresses),
            "canvas_config": canvas,
            "video_analyses": record["analyses"],
        },
    }

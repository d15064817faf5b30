"""The pack more than once in custom_nodes (by git and by ComfyUI-Manager): the first that is loaded runs alone.

Two would answer for the same nodes and the same addresses, each with its own network thread, so that the panel showed
what the other one's nodes are at as standing still.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, Final

from . import host

logger = logging.getLogger("nemo_client")

PACK: Final = Path(__file__).parent.parent.parent
_MARK: Final = "nemo_video_packs"
_NODE: Final = "NemoImageToVideo"


def stand_aside() -> bool:
    """Whether another copy of the pack runs in this ComfyUI already; both are named then, in the log and the panel."""
    server = host.get_prompt_server()
    if server is None:
        return False
    packs = getattr(server, _MARK, None)
    loaded = getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {}).get(_NODE)
    if packs is None and loaded is None:
        setattr(server, _MARK, [folder_here()])
        return False
    running = packs[0] if packs else _folder_of(loaded)
    if packs is not None:
        packs.append(folder_here())
    from ...nemo_client import say

    logger.error("NemoVideo: %s", say("pack-twice", "en", running=running, aside=folder_here()))
    return True


def folder_here() -> str:
    """This copy's folder, as ComfyUI found it: a link keeps its own name."""
    return str(PACK)


def _folder_of(node: type[Any] | None) -> str:
    """The folder that an older copy's nodes come from."""
    module = sys.modules.get(getattr(node, "__module__", "").split(".nodes.")[0])
    return str(Path(getattr(module, "__file__", None) or "?").parent)


def copies() -> list[str]:
    """The folders of all copies, the running one first; fewer than two where all is well."""
    return list(getattr(host.get_prompt_server(), _MARK, None) or [])

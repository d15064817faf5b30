"""NemoVideo Timeline: shows what is in the video, in words and as a picture."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._comfy import images as tensors
from ._comfy import inputs, run

if TYPE_CHECKING:
    from ..nemo_client import Studio, TimelineView


class NemoTimeline:
    """Shows the draft of a session's step."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = "Shows what is in the video, to scale: clips, titles, music. Free."
    SEARCH_ALIASES = ("draft", "tracks", "storyboard", "preview", "clips", "时间线")
    RETURN_TYPES = ("STRING", "IMAGE", "STRING")
    RETURN_NAMES = ("summary", "picture", "draft")
    OUTPUT_TOOLTIPS = ("The tracks in words.", "The tracks as bars with thumbnails, to scale.", "The tracks as JSON.")
    FUNCTION = "show"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"session": inputs.SESSION}}

    @run.word_errors
    async def show(self, session: Any) -> dict[str, Any]:
        """Summary, picture and draft of the handle's step."""

        async def work(studio: Studio, _: run.Item) -> TimelineView:
            return await studio.view(session, run.find_text_language(session.language) or "auto")

        view = await run.run_one(session.profile, work, language=session.language)
        picture = await asyncio.to_thread(tensors.to_image, view.picture)
        run.show_answer(view.summary)
        return {"ui": {"text": [view.summary]}, "result": (view.summary, picture, view.draft)}

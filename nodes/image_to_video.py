"""NemoVideo Image to Video: from a picture to a video file in one node."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._comfy import host, inputs, lists, run, statements
from .export import OUTPUT_TOOLTIPS, RETURN_NAMES, RETURN_TYPES, WIDTH, is_changed, present_videos, read_output
from .upload import read_pictures, require_all_readable

if TYPE_CHECKING:
    from ..nemo_client import Studio, Video
    from .upload import Picture


class NemoImageToVideo:
    """Uploads, generates and exports."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = (
        "Turns a picture into a video file, all in one node. Costs credits on the cloud; the same request is paid "
        "only once."
    )
    SEARCH_ALIASES = (
        "image to video",
        "i2v",
        "img2vid",
        "video",
        "animate",
        "animation",
        "mp4",
        "photo to video",
        "picture to video",
        "movie",
        "clip",
        "gif",
        "图生视频",
    )
    RETURN_TYPES = RETURN_TYPES
    RETURN_NAMES = RETURN_NAMES
    OUTPUT_TOOLTIPS = OUTPUT_TOOLTIPS
    FUNCTION = "animate"
    OUTPUT_NODE = True
    INPUT_IS_LIST = True
    OUTPUT_IS_LIST = (True,) * WIDTH

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "image": inputs.IMAGE,
                "prompt": inputs.PROMPT,
                "aspect_ratio": inputs.ASPECT_RATIO,
                "duration": inputs.DURATION,
                "seed": inputs.SEED,
                "filename_prefix": inputs.PREFIX,
                "profile": inputs.profile_combo(),
            },
            "optional": {
                "end_image": ("IMAGE", {"tooltip": "Optional. The picture to end on: one, or one for each picture."}),
                "batch_mode": inputs.fold(inputs.BATCH_MODE),
                "format": inputs.FORMAT,
                "quality": inputs.QUALITY,
                "resolution": inputs.RESOLUTION,
                "language": inputs.LANGUAGE,
                "max_credits": inputs.MAX_CREDITS,
                "on_item_error": lists.ON_ITEM_ERROR,
            },
            "hidden": inputs.HIDDEN,
        }

    @classmethod
    def VALIDATE_INPUTS(cls, profile: Any = None, seed: Any = None) -> bool | str:
        """The profile is judged at run time, with words that help; the seed here, not by the widget's range."""
        return inputs.judge_seed(seed)

    @classmethod
    def IS_CHANGED(cls, filename_prefix: Any = None, **_: Any) -> str:
        return is_changed(filename_prefix)

    @run.word_errors
    async def animate(
        self,
        image: list[Any],
        profile: list[str],
        end_image: Sequence[Any] = (),
        graph: Sequence[Any] = (None,),
        workflow: Sequence[Any] = (None,),
        **widgets: list[Any],
    ) -> dict[str, Any]:
        """Video, path, last frame and info of each item, and their previews."""
        await asyncio.sleep(0)  # from here on ComfyUI reports an error without the inputs
        tags = host.read_workflow_tags(graph[0], workflow[0])
        settings = {**_OPTIONAL, **widgets}
        one_each = settings.pop("batch_mode")[0] == inputs.ONE_EACH
        max_credits, on_item_error = settings.pop("max_credits")[0], settings.pop("on_item_error")[0]
        groups = await asyncio.to_thread(_groups, image, end_image, one_each)
        statements.current().note_media(each for group in groups for each in group)
        items = lists.spread_inputs(settings, len(groups))
        works = [
            _work(pictures, item, bool(end_image), tags, graph[0]) for pictures, item in zip(groups, items, strict=True)
        ]
        language = settings["language"][0]
        outcomes = await run.run_all(profile[0], works, language=language, max_credits=max_credits)
        return await present_videos(outcomes, on_item_error, settings["filename_prefix"][0])


_OPTIONAL: dict[str, list[Any]] = {
    "batch_mode": [inputs.ALL_IN_ONE],
    "format": ["mp4"],
    "quality": ["high"],
    "resolution": ["auto"],
    "language": ["auto"],
    "max_credits": [0],
    "on_item_error": [lists.STOP],
}


def _groups(images: Sequence[Any], end_images: Sequence[Any], one_each: bool) -> list[list[Picture]]:
    """The pictures of each video: all images or one, then the end image if there is one. Blocks."""
    from ..nemo_client import InputError

    pictures = read_pictures(images, (), "auto")
    ends = read_pictures(end_images, (), "auto") if end_images else []
    groups = [[picture] for picture in pictures] if one_each else [pictures]
    if not ends:
        return groups
    if len(ends) not in (1, len(groups)):
        raise InputError("lists-differ", name="end_image", length=len(ends), expected=len(groups))
    return [[*group, ends[index if len(ends) > 1 else 0]] for index, group in enumerate(groups)]


def _work(pictures: list[Picture], item: dict[str, Any], ends: bool, tags: Mapping[str, str], graph: Any) -> Any:
    destination, page = host.make_destination(item["filename_prefix"], tags, graph), host.find_page_language()

    async def work(studio: Studio, waiting: run.Item) -> Video:
        from ..nemo_client import GenerationRequest

        wish = GenerationRequest(item["prompt"], item["aspect_ratio"], item["duration"], item["seed"], ends)
        language = item["language"]
        output, caller, media = read_output(item), waiting.caller, require_all_readable(pictures)
        with run.without_session():
            video = await studio.animate(media, wish, destination, output, language=language, page=page, caller=caller)
        waiting.note_result(video)
        return video

    return work

"""NemoVideo Export Render: renders the video and saves the file; free."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._comfy import deliveries, host, inputs, lists, previews, run, statements
from ._comfy import images as tensors

if TYPE_CHECKING:
    from ..nemo_client import Studio, Video

RETURN_TYPES = ("VIDEO", "STRING", "IMAGE", "STRING")
RETURN_NAMES = ("video", "video_path", "last_frame", "info")
OUTPUT_TOOLTIPS = (
    "The video, for Save Video or Get Video Components.",
    "The file's absolute path.",
    "The last frame. Connect it to the next clip's image.",
    "JSON: project, render, credits, checksum.",
)
WIDTH = len(RETURN_TYPES)


class NemoExportRender:
    """Renders a session's draft and delivers the file."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = "Renders the video and saves it in ComfyUI's output folder. Free."
    SEARCH_ALIASES = ("save video", "render", "download", "export video", "gif", "webm", "mov", "导出")
    RETURN_TYPES = RETURN_TYPES
    RETURN_NAMES = RETURN_NAMES
    OUTPUT_TOOLTIPS = OUTPUT_TOOLTIPS
    FUNCTION = "export"
    OUTPUT_NODE = True
    INPUT_IS_LIST = True
    OUTPUT_IS_LIST = (True,) * WIDTH

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "session": inputs.SESSION,
                "filename_prefix": inputs.PREFIX,
                "format": inputs.FORMAT,
                "quality": inputs.QUALITY,
            },
            "optional": {"resolution": inputs.RESOLUTION, "on_item_error": lists.ON_ITEM_ERROR},
            "hidden": inputs.HIDDEN,
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: Any = None) -> bool | str:
        """A prefix that cannot be used is told when the prompt is queued, before a step in front of it is paid."""
        return host.judge_prefix(filename_prefix)

    @classmethod
    def IS_CHANGED(cls, filename_prefix: Any = None, **_: Any) -> str:
        return is_changed(filename_prefix)

    @run.word_errors
    async def export(
        self,
        session: list[Any],
        filename_prefix: list[str],
        format: list[str],
        quality: list[str],
        resolution: Sequence[str] = ("auto",),
        on_item_error: Sequence[str] = (lists.STOP,),
        graph: Sequence[Any] = (None,),
        workflow: Sequence[Any] = (None,),
    ) -> dict[str, Any]:
        """Video, path, last frame and info of each item, and their previews."""
        await asyncio.sleep(0)  # from here on ComfyUI reports an error without the inputs
        tags = host.read_workflow_tags(graph[0], workflow[0])
        items = lists.spread_inputs(
            {
                "session": session,
                "filename_prefix": filename_prefix,
                "format": format,
                "quality": quality,
                "resolution": resolution,
            }
        )
        first = session[0]
        works = [_work(item, tags, graph[0]) for item in items]
        profiles = [item["session"].profile for item in items]  # sessions of a list may be of several
        outcomes = await run.run_all(profiles, works, language=first.language)
        return await present_videos(outcomes, on_item_error[0], filename_prefix[0])


def is_changed(filename_prefix: Any) -> str:
    """The number of repeated deliveries of this node and prefix, and of runs that left items out."""
    given = isinstance(filename_prefix, (list, tuple)) and filename_prefix
    prefix = filename_prefix[0] if given else filename_prefix
    return f"{deliveries.count_repeats(prefix if isinstance(prefix, str) else None)}.{lists.count_reruns()}"


def read_output(item: dict[str, Any]) -> Any:
    """The export settings among an item's inputs."""
    from ..nemo_client import Output

    return Output(item["format"], item["quality"], item["resolution"])


async def present_videos(outcomes: run.Outcomes[Any], on_item_error: str, prefix: str) -> dict[str, Any]:
    """Delivered videos as outputs and previews."""
    rows = lists.settle_items(outcomes, on_item_error, lambda _: {}, WIDTH)
    videos: list[Video] = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    shown = await asyncio.to_thread(_outputs, videos)
    deliveries.record_delivery(prefix, [video.path for video in videos])
    statements.current().videos += videos
    filled = iter(shown)
    full = [row if isinstance(row, tuple) else next(filled) for row in rows]
    ui = await asyncio.to_thread(previews.build_ui, videos)
    statements.current().previews += await asyncio.to_thread(previews.list_shown, videos, ui["images"])
    return {"ui": ui, "result": lists.rows_to_columns(full, WIDTH)}


def _outputs(videos: Sequence[Video]) -> list[tuple[Any, str, Any, str]]:
    from ..nemo_client import last_frame

    return [
        (host.make_video(each.path), str(each.path), tensors.to_image(last_frame(each.path)), build_info(each))
        for each in videos
    ]


def build_info(video: Video) -> str:
    """What is known of a delivered video, as JSON: nothing secret, no claim link."""
    return json.dumps(video.to_json(), ensure_ascii=False, indent=1)


def _work(item: dict[str, Any], tags: Mapping[str, str], graph: Any) -> Any:
    destination = host.make_destination(item["filename_prefix"], tags, graph)

    async def work(studio: Studio, waiting: run.Item) -> Video:
        return await studio.export(item["session"], destination, read_output(item), caller=waiting.caller)

    return work

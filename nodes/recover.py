"""NemoVideo Recover: collects the video of an interrupted job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._comfy import host, inputs, run
from .export import OUTPUT_TOOLTIPS, RETURN_NAMES, RETURN_TYPES, WIDTH, present_videos

if TYPE_CHECKING:
    from ..nemo_client import Job, Studio, Video


class NemoRecover:
    """Collects the video of a job of the journal, and delivers it."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = "Collects the video of an interrupted job. You don't pay twice."
    SEARCH_ALIASES = ("resume", "restore", "interrupted", "lost video", "continue", "collect", "找回")
    RETURN_TYPES = RETURN_TYPES
    RETURN_NAMES = RETURN_NAMES
    OUTPUT_TOOLTIPS = OUTPUT_TOOLTIPS
    FUNCTION = "recover"
    OUTPUT_NODE = True
    OUTPUT_IS_LIST = (True,) * WIDTH

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        tooltip = "Which job: the newest that has no video yet, or one by its id and time. By API: any id."
        return {"required": {"job": (run.get_network().job_labels(), {"tooltip": tooltip})}, "hidden": inputs.HIDDEN}

    @classmethod
    def VALIDATE_INPUTS(cls, job: Any = None) -> bool:
        """Judged at run time, with words that help."""
        return True

    @classmethod
    def IS_CHANGED(cls, job: Any = None, **_: Any) -> str:
        return run.get_network().job_state(str(job))

    @run.word_errors
    async def recover(self, job: str, graph: Any = None, workflow: Any = None) -> dict[str, Any]:
        """Video, path, last frame and info, and the preview."""
        found = await run.run_on_network(lambda: run.get_network().find_listed_job(job))
        tags = host.read_workflow_tags(graph, workflow)
        outcomes = await run.run_all(found.profile, [_work(found, tags)])
        return await present_videos(outcomes, "stop", inputs.PREFIX[1]["default"])


def _work(job: Job, tags: Mapping[str, str]) -> Any:
    destination = host.make_destination(inputs.PREFIX[1]["default"], tags)

    async def work(studio: Studio, item: run.Item) -> Video:
        return await studio.collect(job, destination, caller=item.caller)

    return work

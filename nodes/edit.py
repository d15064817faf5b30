"""NemoVideo Edit Video: changes a video in words; costs credits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..nemo_client import WHEN_CHANGED
from ._comfy import inputs, lists, run
from .generate import make_row, run_messages

if TYPE_CHECKING:
    from ..nemo_client import Studio


class NemoEditVideo:
    """Changes the draft of a session."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = (
        "Changes a video in words: length, titles, music, order. Costs credits on the cloud; the same edit is paid "
        "only once."
    )
    SEARCH_ALIASES = (
        "edit video",
        "change video",
        "add title",
        "add music",
        "subtitles",
        "caption",
        "trim",
        "cut",
        "video to video",
        "v2v",
        "视频编辑",
    )
    RETURN_TYPES = ("NEMO_SESSION", "STRING", "STRING")
    RETURN_NAMES = ("session", "reply", "timeline")
    OUTPUT_TOOLTIPS = (
        "The changed project, for the next NemoVideo node.",
        "What NemoVideo answered.",
        "What is in the video, in words.",
    )
    FUNCTION = "edit"
    INPUT_IS_LIST = True
    OUTPUT_IS_LIST = (True, True, True)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        instruction = {
            "multiline": True,
            "default": "add soft background music",
            "tooltip": "What to change, for example: make it 8 seconds; add title “Morning”; remove the music.",
        }
        changed = {
            "default": WHEN_CHANGED[0],
            "tooltip": "When this edit was already made with other words. stop: an error. edit the newest state: both "
            "edits count. generate again: start a new project, paid again.",
        }
        return {
            "required": {
                "session": inputs.SESSION,
                "instruction": ("STRING", instruction),
                "when_changed": (list(WHEN_CHANGED), changed),
                "seed": inputs.SEED,
            },
            "optional": {"max_credits": inputs.MAX_CREDITS, "on_item_error": lists.ON_ITEM_ERROR},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, seed: Any = None) -> bool | str:
        """Judged here, not by the widget's range."""
        return inputs.judge_seed(seed)

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> int:
        return lists.count_reruns()

    @run.word_errors
    async def edit(
        self,
        session: list[Any],
        instruction: list[str],
        when_changed: list[str],
        seed: list[int],
        max_credits: Sequence[int] = (0,),
        on_item_error: Sequence[str] = (lists.STOP,),
    ) -> tuple[list[Any], ...]:
        """Session, reply and timeline of each item."""
        items = lists.spread_inputs(
            {"session": session, "instruction": instruction, "when_changed": when_changed, "seed": seed}
        )
        return await run_messages(items, _work, max_credits[0], on_item_error[0])


def _work(item: dict[str, Any]) -> Any:
    async def work(studio: Studio, waiting: run.Item) -> tuple[Any, str, str]:
        turned = await studio.edit(
            item["session"],
            item["instruction"],
            seed=item["seed"],
            when_changed=item["when_changed"],
            caller=waiting.caller,
        )
        waiting.note_result(turned)
        return make_row(turned, item["session"].language)

    return work

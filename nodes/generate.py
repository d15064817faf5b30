"""NemoVideo Generate Video: makes the video; costs credits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._comfy import inputs, lists, run

if TYPE_CHECKING:
    from ..nemo_client import MessageResult, SessionHandle, Studio


class NemoGenerateVideo:
    """Generates a video from what is in a session."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = (
        "Makes a video from the uploaded pictures. Costs credits on the cloud; the same request is paid only once."
    )
    SEARCH_ALIASES = (
        "text to video",
        "t2v",
        "create video",
        "make video",
        "movie",
        "生成视频",
    )
    RETURN_TYPES = ("NEMO_SESSION", "STRING", "STRING")
    RETURN_NAMES = ("session", "reply", "timeline")
    OUTPUT_TOOLTIPS = (
        "The project with the video, for the next NemoVideo node.",
        "What NemoVideo answered.",
        "What is in the video, in words.",
    )
    FUNCTION = "generate"
    INPUT_IS_LIST = True
    OUTPUT_IS_LIST = (True, True, True)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "session": inputs.SESSION,
                "prompt": inputs.PROMPT,
                "aspect_ratio": inputs.ASPECT_RATIO,
                "duration": inputs.DURATION,
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
    async def generate(
        self,
        session: list[Any],
        prompt: list[str],
        aspect_ratio: list[str],
        duration: list[int],
        seed: list[int],
        max_credits: Sequence[int] = (0,),
        on_item_error: Sequence[str] = (lists.STOP,),
    ) -> tuple[list[Any], ...]:
        """Session, reply and timeline of each item."""
        items = lists.spread_inputs(
            {"session": session, "prompt": prompt, "aspect_ratio": aspect_ratio, "duration": duration, "seed": seed}
        )
        return await run_messages(items, _work, max_credits[0], on_item_error[0])


async def run_messages(
    items: list[dict[str, Any]], work: Callable[[dict[str, Any]], Any], max_credits: int, on_item_error: str
) -> tuple[list[Any], ...]:
    """The outputs of a node that sends a message for each item of its lists."""
    first = items[0]["session"]
    profiles = [item["session"].profile for item in items]  # sessions of a list may be of several
    works = [work(item) for item in items]
    outcomes = await run.run_all(profiles, works, language=first.language, max_credits=max_credits)
    rows = lists.settle_items(outcomes, on_item_error, lambda error: {0: mark_failed(first, error)}, 3)
    return lists.rows_to_columns(rows, 3)


def mark_failed(session: SessionHandle, error: Exception) -> SessionHandle:
    """A session marked failed, which stands for a skipped item.

    Where the backend asked something, it is the session that asked: NemoVideo Chat can answer there.
    """
    return replace(
        getattr(error, "session", None) or session, language=session.language, error=lists.word_failure(error)
    )


def make_row(turned: MessageResult, language: str) -> tuple[Any, str, str]:
    """The outputs of a message: the session, the reply without talk of the web page, the timeline."""
    from ..nemo_client import translate

    spoken = translate(turned.spoken, run.find_text_language(language) or "auto").text
    return turned.session, "\n\n".join(filter(None, [spoken, turned.changes])), turned.timeline


def _work(item: dict[str, Any]) -> Any:
    async def work(studio: Studio, waiting: run.Item) -> tuple[Any, str, str]:
        from ..nemo_client import GenerationRequest

        wish = GenerationRequest(item["prompt"], item["aspect_ratio"], item["duration"], item["seed"])
        turned = await studio.generate(item["session"], wish, caller=waiting.caller)
        waiting.note_result(turned)
        return make_row(turned, item["session"].language)

    return work

"""NemoVideo Credits: shows the balance of the account."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ._comfy import inputs, run

if TYPE_CHECKING:
    from ..nemo_client import Credits, Studio


class NemoCredits:
    """Reads the balance of a profile's account."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = "Shows how many credits the account has. Free."
    SEARCH_ALIASES = ("balance", "price", "cost", "account", "money", "积分")
    RETURN_TYPES = ("INT", "INT", "INT", "STRING")
    RETURN_NAMES = ("available", "frozen", "total", "text")
    OUTPUT_TOOLTIPS = (
        "Credits you can spend, rounded down.",
        "Credits held for running jobs.",
        "All credits of the account.",
        "The balance in words.",
    )
    FUNCTION = "read"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"auth": inputs.AUTH},
            "optional": {
                "session": (
                    "NEMO_SESSION",
                    {"tooltip": "Optional. Connect it to read the balance after that node has run."},
                )
            },
        }

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> float:
        return float("nan")  # never equal to itself: a balance is always read again

    @run.word_errors
    async def read(self, auth: Any, session: Any = None) -> dict[str, Any]:
        """Available, frozen and total credits, and a line of text."""
        profile = session.profile if session is not None else auth.profile
        credits = await run.run_one(profile, _balance, language=auth.language)
        text = run.say_for_handle("credits", auth.language, **credits.shown)
        numbers = tuple(math.floor(each) for each in (credits.available, credits.frozen, credits.total))
        run.show_answer(text)
        return {"ui": {"text": [text]}, "result": (*numbers, text)}


async def _balance(studio: Studio, _: run.Item) -> Credits:
    return await studio.credits()

"""Inputs that several nodes have in common, each with its tooltip."""

from __future__ import annotations

from typing import Any, Final

from ...nemo_client import FORMATS, LANGUAGES, QUALITIES, RATIOS, RESOLUTIONS
from . import handles, run

Input = tuple[Any, dict[str, Any]]

DEFAULT_PROMPT: Final = "turn this image into a 5-second animated video clip with smooth motion"

AUTH: Final[Input] = ("NEMO_AUTH", {"tooltip": "The profile to work with, from NemoVideo Auth. Holds no token."})
SESSION: Final[Input] = ("NEMO_SESSION", {"tooltip": "A session, at the point where the node before left it."})
IMAGE: Final[Input] = (
    "IMAGE",
    {"tooltip": "One image, a batch or a list. A clear subject with high contrast works best."},
)
PROMPT: Final[Input] = (
    "STRING",
    {
        "multiline": True,
        "default": DEFAULT_PROMPT,
        "tooltip": "What to show and how it moves. Concrete wishes work best: length, kind of motion, mood.",
    },
)
ASPECT_RATIO: Final[Input] = (
    list(RATIOS),
    {"default": "auto", "tooltip": "Width to height. auto: as the prompt says, or as suits the picture."},
)
DURATION: Final[Input] = (
    "INT",
    {"default": 0, "min": 0, "max": 600, "tooltip": "Seconds. 0: as the prompt says, or the backend decides."},
)
SEED: Final[Input] = (
    "INT",
    {
        "default": 0,
        "min": 0,
        "max": 2147483647,
        "control_after_generate": False,
        "tooltip": "Only decides whether the node runs again: the same seed finds the result that is paid for, "
        "another seed makes (and charges) a new take. It is not sent.",
    },
)
MAX_CREDITS: Final[Input] = (
    "INT",
    {
        "default": 0,
        "min": 0,
        "max": 1000000,
        "tooltip": "Send nothing that is likely to cost more credits than this. 0: no limit.",
    },
)
PREFIX: Final[Input] = (
    "STRING",
    {
        "default": "video/NemoVideo",
        "tooltip": "Name of the file in ComfyUI's output folder; subfolders and tokens like %date:yyyy-MM-dd% work.",
    },
)
FORMAT: Final[Input] = (
    list(FORMATS),
    {"default": "mp4", "tooltip": "mp4 plays nearly everywhere. gif has no sound and is large."},
)
QUALITY: Final[Input] = (list(QUALITIES), {"default": "high", "tooltip": "Higher quality makes larger files."})
RESOLUTION: Final[Input] = (
    list(RESOLUTIONS),
    {"default": "auto", "tooltip": "The shorter side. auto: as the draft has it."},
)
LANGUAGE: Final[Input] = (
    list(LANGUAGES),
    {"default": "auto", "tooltip": "The language of the session and its answers. auto: the prompt's."},
)
ALL_IN_ONE: Final = "all images in one video"
ONE_EACH: Final = "one video per image"
BATCH_MODE: Final[Input] = (
    [ALL_IN_ONE, ONE_EACH],
    {
        "default": ALL_IN_ONE,
        "tooltip": "What several images mean: a sequence in one video, or a video of its own for each "
        "(side by side, each paid for).",
    },
)
HIDDEN: Final = {"graph": "PROMPT", "workflow": "EXTRA_PNGINFO"}
"""What is written into delivered files, as ComfyUI's own Save Video does."""


def judge_seed(seed: Any) -> bool | str:
    """For VALIDATE_INPUTS of nodes with a seed: 64 bits are taken, although the widget's range is smaller."""
    return handles.judge_seed(seed, run.find_text_language("auto"))


def profile_combo() -> Input:
    """The combo of profile names, from the snapshot that the network thread keeps fresh."""
    return (
        run.get_network().profile_names(),
        {
            "default": run.get_network().default_profile(),
            "tooltip": "Where to work: nemo is the cloud (paid in credits; starts with a free account), local preview "
            "renders a plain preview on this machine, free and offline. Tokens stay on the server.",
        },
    )

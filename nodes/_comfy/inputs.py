"""Inputs that several nodes have in common, each with its tooltip."""

from __future__ import annotations

from typing import Any, Final

from ...nemo_client import FORMATS, LANGUAGES, QUALITIES, RATIOS, RESOLUTIONS
from . import handles, run

Input = tuple[Any, dict[str, Any]]

DEFAULT_PROMPT: Final = "turn this image into a 5-second animated video clip with smooth motion"

AUTH: Final[Input] = ("NEMO_AUTH", {"tooltip": "The account, from NemoVideo Auth. Holds no token."})
SESSION: Final[Input] = ("NEMO_SESSION", {"tooltip": "The project, as the node before left it."})
IMAGE: Final[Input] = (
    "IMAGE",
    {"tooltip": "One picture, a batch or a list. A clear subject with high contrast works best."},
)
PROMPT: Final[Input] = (
    "STRING",
    {
        "multiline": True,
        "default": DEFAULT_PROMPT,
        "tooltip": "What to show and how it moves. Say the length, the kind of motion and the mood.",
    },
)
ASPECT_RATIO: Final[Input] = (
    list(RATIOS),
    {"default": "auto", "tooltip": "Width to height. auto: as the prompt says, else to fit the picture."},
)
DURATION: Final[Input] = (
    "INT",
    {"default": 0, "min": 0, "max": 600, "tooltip": "0 = automatic: as the prompt says. Else the length in seconds."},
)
SEED: Final[Input] = (
    "INT",
    {
        "default": 0,
        "min": 0,
        "max": 2147483647,
        "control_after_generate": False,
        "tooltip": "Same seed: same video, no new charge. New seed: a new version, paid again.",
    },
)
MAX_CREDITS: Final[Input] = (
    "INT",
    {
        "default": 0,
        "min": 0,
        "max": 1000000,
        "advanced": True,
        "tooltip": "0 = no limit. If the estimate is higher than this, nothing is sent and nothing is charged.",
    },
)
PREFIX: Final[Input] = (
    "STRING",
    {
        "default": "video/NemoVideo",
        "tooltip": "File name in ComfyUI's output folder. Subfolders and %date:yyyy-MM-dd% work.",
    },
)
FORMAT: Final[Input] = (
    list(FORMATS),
    {"default": "mp4", "advanced": True, "tooltip": "mp4 plays nearly everywhere. gif has no sound and is large."},
)
QUALITY: Final[Input] = (
    list(QUALITIES),
    {"default": "high", "advanced": True, "tooltip": "Higher quality makes larger files."},
)
RESOLUTION: Final[Input] = (
    list(RESOLUTIONS),
    {"default": "auto", "advanced": True, "tooltip": "The shorter side in pixels. auto: as the video was made."},
)
LANGUAGE: Final[Input] = (
    list(LANGUAGES),
    {"default": "auto", "advanced": True, "tooltip": "Language of the project and its replies. auto: the prompt's."},
)
ALL_IN_ONE: Final = "all images in one video"
ONE_EACH: Final = "one video per image"
BATCH_MODE: Final[Input] = (
    [ALL_IN_ONE, ONE_EACH],
    {
        "default": ALL_IN_ONE,
        "tooltip": "For several pictures: all in one video, or one video each (made side by side, each paid for).",
    },
)
HIDDEN: Final = {"graph": "PROMPT", "workflow": "EXTRA_PNGINFO"}
"""What is written into delivered files, as ComfyUI's own Save Video does."""


def fold(given: Input) -> Input:
    """The input behind "Show advanced inputs", for a node where few need it."""
    kind, options = given
    return kind, {**options, "advanced": True}


def judge_seed(seed: Any) -> bool | str:
    """For VALIDATE_INPUTS of nodes with a seed: 64 bits are taken, although the widget's range is smaller."""
    return handles.judge_seed(seed, run.find_text_language("auto"))


def profile_combo() -> Input:
    """The combo of profile names, from the snapshot that the network thread keeps fresh."""
    return (
        run.get_network().profile_names(),
        {
            "default": run.get_network().default_profile(),
            "tooltip": "Where the video is made. nemo: NemoVideo cloud, costs credits, starts with a free account. "
            "local preview: a plain preview made on this machine, free and offline.",
        },
    )

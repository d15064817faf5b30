"""Progress that one can believe: one fraction a node, moving and monotone, and an estimate that does not jump."""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import pytest

from nemo_client import Progress
from nemo_client._studio.progress import FIRST_GUESS, word_tool


@pytest.fixture
def status(pack: Any) -> Any:
    return importlib.import_module(f"{pack.__name__}.nodes._comfy.status")


@pytest.mark.parametrize(
    ("kind", "progress", "least", "most"),
    [
        ("NemoGenerateVideo", Progress("plan"), 0.0, 0.03),
        ("NemoGenerateVideo", Progress("generate", elapsed=75, left=75), 0.45, 0.55),
        ("NemoExportRender", Progress("render", 0.0), 0.0, 0.01),
        ("NemoExportRender", Progress("render", 1.0), 0.85, 0.95),
        ("NemoUploadImage", Progress("upload", 1.0), 1.0, 1.0),
        ("NemoImageToVideo", Progress("render", 0.0), 0.5, 0.6),
    ],
)
def test_a_fraction_is_that_of_the_node_s_own_work(
    kind: str, progress: Progress, least: float, most: float, status: Any
) -> None:
    """A render begins at nothing in Export, and past the middle in the node that does the whole way."""
    assert least <= status.compute_own_fraction(kind, progress) <= most


@pytest.mark.parametrize("told", [Progress("render", 0.2, left=40), Progress("generate", elapsed=20, left=80)])
def test_a_fraction_moves_between_looks_and_never_reaches_the_end_by_itself(told: Progress, status: Any) -> None:
    """Also long after the estimate has run down."""
    seen = [status.compute_fraction(status.advance(told, seconds)) for seconds in range(0, 40, 2)]

    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen)
    assert (status.advance(told, 1000).fraction or 0) < 1


def test_an_estimate_runs_down_and_never_jumps_up_within_a_stage(status: Any) -> None:
    """As a renderer's own percentage jitters: each look says something else."""
    countdown = status.Countdown()
    told = [60, 40, 75, 58, 30, 66, 50, 20, 41, 25, 12, 30, 8, 4]
    shown = [countdown.show("render", left, 2.0 * look) for look, left in enumerate(told)]

    assert all(after <= before for before, after in itertools.pairwise(shown)), shown
    assert all(before - after < 20 for before, after in itertools.pairwise(shown)), shown
    assert countdown.show("download", 90, 40.0) == 90, "another stage begins again"


def test_an_estimate_that_is_far_too_short_does_not_stand_for_long(status: Any) -> None:
    """A long render where short ones were seen: "about 1 s left" goes, and a better estimate runs down."""
    countdown = status.Countdown()
    shown = [countdown.show("render", 1 if look == 0 else 30 - look, float(look)) for look in range(29)]
    told = [each for each in shown if each is not None]

    assert shown.count(1) <= 6
    assert 2 <= shown.count(None) <= 4
    assert told[-1] == pytest.approx(2, abs=1)
    assert sum(after > before for before, after in itertools.pairwise(told)) == 1, "once, after a silence"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("generate_video_with_seedance", "making the clips"),
        ("add_background_music", "adding sound"),
        ("edit_multitrack", "editing the video"),
        ("get_state", "looking at the material"),
        ("veo3_kling_x", ""),
        ("", ""),
    ],
)
def test_names_of_the_backend_s_tools_never_reach_people(name: str, words: str) -> None:
    """Plain words by what they do; nothing for one that is not known."""
    line = Progress("generate", tool=name).text("en")

    assert word_tool(name, "en") == words
    assert line == (f"Generating: {words}" if words else "Generating")
    assert not name or name.replace("_", " ") not in Progress("generate", tool=name).text("zh")


def test_there_is_a_first_guess_where_nothing_was_seen() -> None:
    """150 s for a generation and 60 s for a render on the cloud."""
    assert (FIRST_GUESS["generate"], FIRST_GUESS["export"]) == (150.0, 60.0)

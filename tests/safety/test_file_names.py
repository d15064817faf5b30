"""Names for files that every system can hold, the same for the shell and batches."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemo_client import BatchItem
from nemo_client._batch.item import assign_names, derive_stem
from nemo_client._cli.animate import Delivery
from nemo_client._safety.file_names import MAX_NAME_BYTES, clean_file_name

NAMES = {
    "10:30 Uhr": "10_30 Uhr", "what?": "what_", "shot.": "shot", "shot ": "shot", "aux": "_aux",
    "Com1.take": "_Com1.take",
    "a<b>c|d*e": "a_b_c_d_e", 'say "hi"': "say _hi_", "tab\there": "tab_here", "cafe\u0301": "caf\u00e9",
    "a\u202egpj": "agpj", "\u732b": "\u732b", "auxiliary": "auxiliary", "v1.2": "v1.2",
}  # fmt: skip


@pytest.mark.parametrize(("given", "clean"), NAMES.items())
def test_a_name_is_cleaned_alike_by_shell_and_batch(given: str, clean: str) -> None:
    """Whether it comes from a picture, was typed or stands in a manifest; once cleaned it stays."""
    picture = f"/pictures/{given}.png"

    assert clean_file_name(given) == clean_file_name(clean) == derive_stem([picture]) == clean
    assert BatchItem((picture,), "x").name == clean
    assert Delivery().plan([picture])[1].stem == clean
    assert Delivery(output=f"videos/{given}.mp4").plan([picture])[1].stem == clean
    if given.isprintable():
        assert BatchItem((picture,), "x", output=f"red/{given}.mp4").name == f"red/{clean}"


@pytest.mark.parametrize("given", ["...", " . ", "\u200b", "\u202e."])
def test_a_name_of_which_nothing_is_left_is_the_usual_one(given: str) -> None:
    """No file is called like nothing."""
    assert clean_file_name(given) == ""
    assert derive_stem([f"/pictures/{given}x/{given}.png"]) == "video"


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u732b", "\U0001f40e"])
def test_a_long_name_is_cut_between_letters(letter: str) -> None:
    """Room is left for the number and the format."""
    cut = clean_file_name(letter * 300)

    assert set(cut) == {letter}
    assert MAX_NAME_BYTES - 4 < len(cut.encode()) <= MAX_NAME_BYTES


def test_names_that_are_one_on_a_share_are_told_apart() -> None:
    """In case, in how letters are composed, and once they are cleaned."""
    given = ["Shot.png", "shot.png", "what?.png", "what*.png", "cafe\u0301.png", "caf\u00e9.png"]

    found = [item.name for item in assign_names(BatchItem((str(Path("/p", name)),), "x") for name in given)]

    assert found == ["Shot", "shot_2", "what_", "what__2", "caf\u00e9", "caf\u00e9_2"]

"""The lines that a batch leaves: whole after any crash, on disk at once, one writer at a time."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_client import DiskError, InputError
from nemo_client._batch.results_file import BatchFolder, JsonLinesFile


def line(name: str, state: str = "done", **more: Any) -> dict[str, Any]:
    return {"item": name, "state": state, "video": f"{name}.mp4", "size": 3, **more}


def test_lines_are_appended_and_the_last_of_an_item_counts(tmp_path: Path) -> None:
    """Nothing is ever rewritten; the order is that of the first lines."""
    folder = BatchFolder(tmp_path)
    for each in (line("a", "failed"), line("b"), line("a")):
        folder.results.append(each)

    assert list(folder.read_latest()) == ["a", "b"]
    assert folder.read_latest()["a"]["state"] == "done"
    assert len((tmp_path / "results.jsonl").read_bytes().splitlines()) == 3


@given(st.integers(0, 400), st.sampled_from([1, 7, 64 * 1024]))
def test_what_a_crash_tore_off_is_cut_away_before_more_is_added(cut: int, tail: int) -> None:
    """At any byte of the last line: what was whole before it stays, and what is added is whole."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        file = JsonLinesFile(Path(name) / "results.jsonl", tail_bytes=tail)
        for number in range(3):
            file.append(line(f"item {number}", text="ä" * 40))
        data = file.path.read_bytes()
        torn = max(len(data) - cut, data[:-1].rfind(b"\n") + 1)
        file.path.write_bytes(data[:torn])
        file.append(line("next"))

        raw = file.path.read_bytes()
        found = [json.loads(each)["item"] for each in raw.splitlines()]
        whole = torn >= len(data) - 1
        assert found == ["item 0", "item 1", *(["item 2"] if whole else []), "next"]
        assert raw.endswith(b"\n")


def test_damage_in_the_middle_costs_its_line_alone(tmp_path: Path) -> None:
    """Such as somebody's edit: the other lines are read."""
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"item": "a"}\n\xff\n[1]\nnot json\n{"item": "b"}\n')

    assert [each["item"] for each in JsonLinesFile(path).read()] == ["a", "b"]


def test_a_disk_that_fills_up_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a line is taken back, and the error says what to do."""
    file = JsonLinesFile(tmp_path / "results.jsonl")
    file.append(line("a"))
    before, real = file.path.read_bytes(), os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) < 60:
            raise OSError(28, "No space left on device")
        return real(handle, data[:20])

    monkeypatch.setattr("os.write", full)
    with pytest.raises(DiskError, match="disk is full"):
        file.append(line("b"))
    monkeypatch.undo()

    assert file.path.read_bytes() == before


@pytest.mark.parametrize("number", ["EPERM", "EINVAL", "ENOTSUP", "ENOSYS"])
def test_a_share_that_refuses_to_sync_is_taken_as_it_is(
    number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has what was written; a disk that fails is told."""
    file = JsonLinesFile(tmp_path / "results.jsonl")

    def refuse(_: int) -> None:
        raise OSError(getattr(errno, number), "refused")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", refuse)
    file.append(line("a"))
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DiskError):
        file.append(line("b"))

    assert [each["item"] for each in file.read()][:1] == ["a"]


def test_each_line_is_on_disk_when_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Synced one by one: a power cut costs no line that was told."""
    synced = []
    real: Callable[[int], None] = os.fsync
    monkeypatch.setattr("os.fsync", lambda handle: (synced.append(handle), real(handle))[1])
    file = JsonLinesFile(tmp_path / "results.jsonl")
    for name in "abc":
        file.append(line(name))

    assert len(synced) == 3


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    """Two would deliver the same items; the second one is told where the first is at work."""
    with BatchFolder(tmp_path), pytest.raises(InputError, match="Another batch is running"), BatchFolder(tmp_path):
        pass
    with BatchFolder(tmp_path) as folder:
        folder.results.append(line("a"))


def test_a_name_that_is_no_text_is_kept(tmp_path: Path) -> None:
    """A file's name may hold bytes that no encoding knows."""
    file = JsonLinesFile(tmp_path / "results.jsonl")
    file.append(line("bad \udcff name"))
    file.append(line("日本"))

    assert [each["item"] for each in file.read()] == ["bad \udcff name", "日本"]
    assert "日本".encode() in file.path.read_bytes()


@pytest.mark.parametrize(
    ("content", "state", "there"),
    [(b"abc", "done", True), (b"ab", "done", False), (None, "done", False), (b"abc", "failed", False)],
    ids=["whole", "changed", "gone", "failed"],
)
def test_a_video_is_there_if_it_has_its_size(tmp_path: Path, content: bytes | None, state: str, there: bool) -> None:
    """One that was deleted or cut is delivered again."""
    if content is not None:
        (tmp_path / "a.mp4").write_bytes(content)

    assert BatchFolder(tmp_path).has_video(line("a", state)) is there

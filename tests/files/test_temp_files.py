"""Temporary files beside a destination: those of living processes stay, those of dead ones are swept."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from nemo_client._files.temp_files import ABANDONED_SECONDS, create_part_file, remove_abandoned_parts


@pytest.mark.skipif(sys.platform == "win32", reason="there age alone decides")
def test_what_a_dead_process_left_is_swept_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    """The lock ends with the process, so no one waits for it and nothing in use is lost."""
    with create_part_file(tmp_path, "mp4") as dead:
        pass
    dead.write_bytes(b"half")  # as after SIGKILL: the file is there, its lock is not

    with create_part_file(tmp_path, "mp4") as alive:
        remove_abandoned_parts(tmp_path)
        assert list(tmp_path.iterdir()) == [alive]
    assert list(tmp_path.iterdir()) == []


def test_files_of_other_hosts_go_by_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock over there need not be seen here."""
    monkeypatch.setenv("NEMO_HOST_ID", "there")
    with create_part_file(tmp_path, "mp4") as path:
        pass
    path.write_bytes(b"half")
    monkeypatch.setenv("NEMO_HOST_ID", "here")
    remove_abandoned_parts(tmp_path)
    assert path.exists()

    old = time.time() - ABANDONED_SECONDS - 60
    os.utime(path, (old, old))
    remove_abandoned_parts(tmp_path)
    assert not path.exists()


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    """However old."""
    other = tmp_path / "clip.mp4"
    other.write_bytes(b"mine")
    os.utime(other, (0, 0))
    remove_abandoned_parts(tmp_path)

    assert other.read_bytes() == b"mine"

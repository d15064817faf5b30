"""Two items with the same picture: names, files and `duplicate_of`, whatever is added, removed, reordered or fails."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from nemo_client import BatchItem, Caller, InputError
from nemo_client._batch.item import assign_names
from nemo_client._batch.item_task import ItemTask
from nemo_client._batch.results_file import correct_duplicates

NAMES = ("a.png", "a.jpg", "A.PNG", "b.png", "c.webp")
Run = tuple[dict[str, int], list[int], list[int], set[int]]

runs = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2), min_size=1),
        st.permutations(range(len(NAMES))),
        st.permutations(range(len(NAMES))),
        st.sets(st.integers(0, len(NAMES) - 1)),
    ),
    min_size=2,
    max_size=5,
)
"""Runs of a batch: pictures with their content, the order they are listed in, the order they end in, which fail."""


class Folder:
    """A batch's folder, its results and its source, as `nemo-video batch` goes about them."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.latest: dict[str, dict[str, Any]] = {}
        self.files: dict[str, int] = {}

    def change_source(self, wanted: Mapping[str, int]) -> None:
        """Put these pictures there; what is as it was is not touched."""
        for name in NAMES:
            path = self.source / name
            if name not in wanted:
                path.unlink(missing_ok=True)
            elif not path.exists() or path.stat().st_size != wanted[name]:
                path.write_bytes(b"x" * wanted[name])

    def run(self, order: list[int], ends: list[int], fails: set[int]) -> dict[str, str]:
        """Carry out what is due; the item's name of each picture."""
        paths = [self.source / NAMES[each] for each in order if (self.source / NAMES[each]).exists()]
        items = assign_names([BatchItem((str(path),), "x") for path in paths], list(self.latest.values()))
        due = [item for item in items if not self._is_done(item)]
        for item in due:
            self.latest.pop(item.name, None)
        firsts = {
            str(line["key"]): name
            for name, line in self.latest.items()
            if line["state"] == "done" and not line["duplicate_of"]
        }
        tasks = [ItemTask(item, self.source, Caller(), first_names=firsts) for item in due]
        tasks.sort(key=lambda task: ends[NAMES.index(Path(task.item.image[0]).name)])
        for task in tasks:
            self._end(task, NAMES.index(Path(task.item.image[0]).name) in fails)
        for line in correct_duplicates(self.latest):
            self.latest[str(line["item"])] = line
        return {Path(item.image[0]).name: item.name for item in items}

    def _is_done(self, item: BatchItem) -> bool:
        line = self.latest.get(item.name)
        return line is not None and line["state"] == "done" and line["request"] == item.request

    def _end(self, task: ItemTask, fails: bool) -> None:
        content = Path(task.item.image[0]).stat().st_size
        task.key = f"generate-{content}"
        if fails:
            line = task.make_failure_line(InputError("not-an-image", name="x"))
        else:
            number, video = 1, task.item.name
            while video in self.files:
                number += 1
                video = f"{task.item.name}-{number}"
            self.files[video] = content
            first = task.register_key(task.key) or None
            line = task._make_line("done", request=task.item.request, video=video, duplicate_of=first)
        self.latest[task.item.name] = line


FIRST: Run = ({"a.png": 1, "b.png": 1}, [0, 3, 1, 2, 4], [0, 1, 2, 3, 4], set())
"""The original of the twins is removed, fails as another picture, or its name goes to another one."""


@settings(max_examples=40)
@given(runs)
@example([FIRST, ({"b.png": 1}, [3, 0, 1, 2, 4], [0] * 5, set())])
@example([FIRST, ({"a.png": 2, "b.png": 1}, [0, 3, 1, 2, 4], [0] * 5, {0})])
@example([FIRST, ({"a.jpg": 2, "b.png": 1}, [1, 3, 0, 2, 4], [0] * 5, set())])
def test_names_files_and_twins_hold_whatever_happens_to_the_pictures(given_runs: list[Run]) -> None:
    """A finished item keeps its name and its file; a duplicate is one of a finished item with the same request."""
    with tempfile.TemporaryDirectory() as place:
        folder = Folder(Path(place))
        for wanted, order, ends, fails in given_runs:
            before = {
                line["image"][0]: (line, Path(line["image"][0]).stat())
                for line in folder.latest.values()
                if line["state"] == "done" and Path(line["image"][0]).exists()
            }
            folder.change_source(wanted)
            names = folder.run(order, ends, fails)

            assert len({name.casefold() for name in names.values()}) == len(names)
            for image, (line, seen) in before.items():
                path = Path(image)
                if path.exists() and path.stat().st_mtime_ns == seen.st_mtime_ns:
                    assert names[path.name] == line["item"]
                    assert folder.latest[line["item"]]["video"] == line["video"]
            for line in folder.latest.values():
                if line["duplicate_of"]:
                    first = folder.latest[line["duplicate_of"]]
                    assert (first["state"], first["key"], first["duplicate_of"]) == ("done", line["key"], None)

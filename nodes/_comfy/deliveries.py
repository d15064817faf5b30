"""Which files a node delivered, so that a cached output whose file was deleted is delivered again.

ComfyUI calls IS_CHANGED with links as None, so the file cannot be derived there; and a value that flipped back would
rerun everything behind the node. So it is a count that only grows: 0 before and after the first delivery, one more
for each repeated one, counting one that is due because the file is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .memory import Memory


@dataclass
class _Delivery:
    paths: list[Path] = field(default_factory=list)
    repeats: int = 0
    due: bool = False


_deliveries: Memory[_Delivery] = Memory(_Delivery)


def count_repeats(prefix: str | None) -> int:
    """How many deliveries of the running node under `prefix` were repeats, counting one that is due.

    None is a prefix that comes by a link, which IS_CHANGED is not told: then all of the node's count.
    """
    found = [each for known, each in _deliveries.known() if prefix in (None, known)]
    for each in found:
        each.due = not all(path.is_file() for path in each.paths)
    return sum(each.repeats + each.due for each in found)


def record_delivery(prefix: str, paths: Sequence[Path]) -> None:
    """The running node has delivered `paths`."""
    known = _deliveries.here(prefix)
    known.repeats += known.due
    known.due = False
    known.paths = list(paths)

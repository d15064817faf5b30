"""What nodes remember from run to run, for IS_CHANGED: by workflow, node, and what else tells two runs apart."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from . import host

_T = TypeVar("_T")

MOST: Final = 4096
"""Places that are remembered; those that were not asked for longest are forgotten first."""


class Memory(Generic[_T]):
    """One value for each place of the running node: two workflows may have nodes of the same id."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._values: OrderedDict[tuple[str, str, str], _T] = OrderedDict()

    def here(self, name: str = "") -> _T:
        """The value of the running node under `name`, made now if there is none."""
        place = (host.workflow(), host.find_running_node()[1], name)
        value = self._values.get(place)
        if value is None:
            value = self._values[place] = self._make()
            if len(self._values) > MOST:
                self._values.popitem(last=False)
        self._values.move_to_end(place)
        return value

    def known(self) -> Iterator[tuple[str, _T]]:
        """The values of the running node that there are, with their names."""
        workflow, node_id = host.workflow(), host.find_running_node()[1]
        for (at, node, name), value in list(self._values.items()):
            if (at, node) == (workflow, node_id):
                yield name, value

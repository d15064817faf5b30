"""Lists: nodes that take lists run all their items side by side, and a failed item costs only itself.

ComfyUI keeps a node that takes lists from running at all when one of its items is blocked. So between our nodes a
failed item is a NEMO_SESSION marked failed, and blockers stand only on other outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from ..nemo_client import InputError, JobError
from . import _host

_T = TypeVar("_T")

STOP: Final = "stop"
SKIP: Final = "skip"

ON_ITEM_ERROR: Final[tuple[list[str], dict[str, Any]]] = (
    [STOP, SKIP],
    {
        "default": STOP,
        "tooltip": "When an item of a list fails. stop: an error, after all other items have finished. "
        "skip: go on without it; it is tried again at the next run.",
    },
)

_skipped: dict[str, int] = {}


def spread(inputs: Mapping[str, Sequence[Any]], length: int | None = None) -> list[dict[str, Any]]:
    """One mapping an item: lists of `length` (the longest, if not given) item by item, single values for all.

    Raises `InputError` for a list of another length; ComfyUI itself would repeat its last value in silence.
    """
    wanted = length if length is not None else max((len(values) for values in inputs.values()), default=0)
    for name, values in inputs.items():
        if len(values) not in (1, wanted):
            raise InputError("lists-differ", name=name, length=len(values), expected=wanted)
    return [
        {name: values[index if len(values) > 1 else 0] for name, values in inputs.items()} for index in range(wanted)
    ]


def settle(
    outcomes: Sequence[_T | Exception], on_item_error: str, failed: Callable[[Exception], Mapping[int, Any]], width: int
) -> list[tuple[Any, ...] | _T]:
    """The outcomes as rows of outputs; raises if an item failed and that is to stop.

    A skipped item's row is made of blockers, but for the outputs (by position) that `failed` gives. Remembers for
    `rerun_count` that this node skipped something.
    """
    errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if errors and (on_item_error == STOP or len(outcomes) == 1):
        raise errors[0] if len(outcomes) == 1 else _items_failed(errors, len(outcomes))
    _, node_id = _host.place()
    if errors:
        _skipped[node_id] = abs(_skipped.get(node_id, 0)) + 1
    elif node_id in _skipped:
        _skipped[node_id] = -abs(_skipped[node_id])
    rows: list[tuple[Any, ...] | _T] = []
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            given = failed(outcome)
            rows.append(tuple(given[index] if index in given else _host.blocker() for index in range(width)))
        else:
            rows.append(outcome)
    return rows


def rerun_count() -> int:
    """For IS_CHANGED: a new value each time this node's last run skipped items, so that they are tried again."""
    _, node_id = _host.place()
    count = _skipped.get(node_id, 0)
    if count > 0:
        _skipped[node_id] = count + 1
    return abs(count)


def columns(rows: Sequence[Sequence[Any]], width: int) -> tuple[list[Any], ...]:
    """Rows of outputs as one list an output."""
    return tuple([row[index] for row in rows] for index in range(width))


def _items_failed(errors: Sequence[Exception], total: int) -> JobError:
    first = errors[0]
    known = {getattr(error, "charged", "no") for error in errors}
    error = JobError("items-failed", failed=len(errors), total=total, first=str(first))
    error.charged = "yes" if "yes" in known else "maybe" if "maybe" in known else "no"
    error.lang = getattr(first, "lang", None)
    return error

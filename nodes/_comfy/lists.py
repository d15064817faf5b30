"""Lists: nodes that take lists run all their items side by side, and a failed item costs only itself.

ComfyUI keeps a node that takes lists from running at all when one of its items is blocked. So between our nodes a
failed item is a NEMO_SESSION marked failed, and blockers stand only on other outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ... import nemo_client
from . import host
from .memory import Memory
from .run import Outcomes

_T = TypeVar("_T")

STOP: Final = "stop"
SKIP: Final = "skip"

ON_ITEM_ERROR: Final[tuple[list[str], dict[str, Any]]] = (
    [STOP, SKIP],
    {
        "default": STOP,
        "advanced": True,
        "tooltip": "When one picture of several fails. stop: an error after the others have finished. "
        "skip: continue without it; the next run tries it again.",
    },
)


@dataclass
class _Reruns:
    """How often a node ran again for items that it had skipped, and whether such a run is due."""

    count: int = 0
    due: bool = False


_reruns: Memory[_Reruns] = Memory(_Reruns)


def spread_inputs(inputs: Mapping[str, Sequence[Any]], length: int | None = None) -> list[dict[str, Any]]:
    """One mapping an item: lists of `length` (the longest, if not given) item by item, single values for all.

    Raises `InputError` for a list of another length; ComfyUI itself would repeat its last value in silence.
    """
    wanted = length if length is not None else max((len(values) for values in inputs.values()), default=0)
    for name, values in inputs.items():
        if len(values) not in (1, wanted):
            raise nemo_client.InputError("lists-differ", name=name, length=len(values), expected=wanted)
    return [
        {name: values[index if len(values) > 1 else 0] for name, values in inputs.items()} for index in range(wanted)
    ]


def settle_items(
    outcomes: Outcomes[_T], on_item_error: str, failed: Callable[[Exception], Mapping[int, Any]], width: int
) -> list[tuple[Any, ...] | _T]:
    """The outcomes as rows of outputs; raises if an item failed and that is to stop, or if all did.

    A skipped item's row is made of blockers, but for the outputs (by position) that `failed` gives. Remembers for
    `rerun_count` that this node skipped something.
    """
    errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if errors and (on_item_error == STOP or len(errors) == len(outcomes)):
        raise errors[0] if len(outcomes) == 1 else _items_failed(errors, outcomes)
    reruns = _reruns.here()
    reruns.count += reruns.due
    reruns.due = bool(errors)
    rows: list[tuple[Any, ...] | _T] = []
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            given = failed(outcome)
            rows.append(tuple(given[index] if index in given else host.make_blocker() for index in range(width)))
        else:
            rows.append(outcome)
    return rows


def count_reruns() -> int:
    """For IS_CHANGED: a new value where this node's last run skipped items, so that they are tried again.

    As with deliveries the count only grows: once all items are there, it stays what it was for that run.
    """
    return sum(reruns.count + reruns.due for _, reruns in _reruns.known())


def rows_to_columns(rows: Sequence[Sequence[Any]], width: int) -> tuple[list[Any], ...]:
    """Rows of outputs as one list an output."""
    return tuple([row[index] for row in rows] for index in range(width))


def word_failure(error: Exception) -> str:
    """What failed and what to do, without the money: where it stands inside of another sentence, that has its own."""
    return error.describe() if isinstance(error, nemo_client.NemoError) else str(error)


def _items_failed(errors: Sequence[Exception], outcomes: Outcomes[Any]) -> nemo_client.JobError:
    """One error for all; what it says of money is for the whole list, the items that were made included."""
    first = errors[0]
    lang = getattr(first, "lang", None)
    known = {getattr(error, "charged", "no") for error in errors} | {"yes" if outcomes.paid else "no"}
    error = nemo_client.JobError("items-failed", failed=len(errors), total=len(outcomes), first=word_failure(first))
    error.charged = "yes" if "yes" in known else "maybe" if "maybe" in known else "no"
    error.kept = next((kept for each in errors if (kept := getattr(each, "kept", None)) is not None), None)
    error.lang = lang
    error.on_page = True
    error.first = first
    return error

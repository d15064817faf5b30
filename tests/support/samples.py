"""A long table of like cases: some of them in every run, all of them among the long tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def mark_all_but_every(step: int, cases: Sequence[Any]) -> list[Any]:
    """The cases as pytest's params, each but every `step`-th one marked `long`."""
    return [case if index % step == 0 else _mark_long(case) for index, case in enumerate(cases)]


def _mark_long(case: Any) -> Any:
    if hasattr(case, "marks"):
        return pytest.param(*case.values, id=case.id, marks=(*case.marks, pytest.mark.long))
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.long)

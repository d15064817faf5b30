"""A long table of like cases: some of them in every run, more among the long tests, all of them in a night."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def mark_all_but_every(step: int, cases: Sequence[Any], marker: str = "nightly") -> list[Any]:
    """The cases as pytest's params, each but every `step`-th one with that marker."""
    return [case if index % step == 0 else _mark(case, marker) for index, case in enumerate(cases)]


def _mark(case: Any, marker: str) -> Any:
    if hasattr(case, "marks"):
        return pytest.param(*case.values, id=case.id, marks=(*case.marks, getattr(pytest.mark, marker)))
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=getattr(pytest.mark, marker))

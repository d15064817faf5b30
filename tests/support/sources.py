"""Source files as syntax trees."""

from __future__ import annotations

import ast
import gc


def parse_source(source: str) -> ast.Module:
    """The syntax tree of a source text.

    The garbage collector rests meanwhile: in CPython 3.11 what it calls while a tree is built (Hypothesis has a
    callback there) can make that fail with "AST constructor recursion depth mismatch" (gh-106905).
    """
    on = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if on:
            gc.enable()

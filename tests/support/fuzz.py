"""What the fuzz tests share: how many examples, and values as no one means them.

`NEMO_FUZZ=nightly` runs `NIGHTLY` examples of each property, `NEMO_FUZZ=500` that many, else a few run: see
CONTRIBUTING.md.
"""

from __future__ import annotations

import os
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

NIGHTLY: Final = 10_000
PROFILE: Final = os.environ.get("NEMO_FUZZ", "ci")


def usually(few: int, all_of_them: int) -> int:
    """How many of a long row of moments or examples a run tries: a few, unless `NEMO_FUZZ` asks for more."""
    if PROFILE.isdecimal():
        return max(few, min(int(PROFILE), all_of_them))
    return all_of_them if PROFILE == "nightly" else few


def examples(ci: int, nightly: int = NIGHTLY) -> settings:
    """The settings of a property: `ci` examples usually, `nightly` in the nightly profile."""
    return settings(
        max_examples=int(PROFILE) if PROFILE.isdecimal() else nightly if PROFILE == "nightly" else ci,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )


# Numbers, texts and shapes that code which was written for the usual ones trips over.
odd_numbers = st.sampled_from(
    [
        0, -0.0, 1, 1.0, True, False, -1, 7, 7.0, 0.5, 1e9, -1e9, 1e308, 1e-308, 2**31, 2**63, 10**400, -(10**4000),
        float("nan"), float("inf"), float("-inf"),
    ]
)  # fmt: skip
odd_texts = st.sampled_from(
    [
        "", " ", "\n", "0", "1001", "-5", "--5", "²", "١٢", "1e3", "NaN", "null", "true", "ok", "\0", "\x1b[31m",
        "\ud800", "\udfff\ud800", "\u202eabc", "\u2028", "\ufeff", "👩\u200d🚀", "ß", "ﬁ", "İ",
        "https://a.test/b?sig=1", "x" * 5000, "../../etc/passwd", "%s%n{0}{x}", "{", "[", "data: x\n\n", "completed",
        "FAILED", "中文" * 50,
    ]
)  # fmt: skip
scalars = st.none() | odd_numbers | odd_texts | st.integers() | st.floats() | st.text(max_size=12)


def json_of(keys: st.SearchStrategy[str], leaves: int = 20) -> st.SearchStrategy[Any]:
    """Any JSON with those keys in its objects."""
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=leaves,
    )


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes with a few flips, cuts, doubles and strangers in them."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.sampled_from([1, 1, 2, 7, 50]))
        kind = draw(st.sampled_from(["flip", "drop", "double", "put", "cut"]))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "drop":
            del data[at : at + length]
        elif kind == "double":
            data[at:at] = data[at : at + length]
        elif kind == "put":
            data[at:at] = draw(st.binary(min_size=1, max_size=8) | st.sampled_from([b"\r", b"\n\n", b"\0", b"\xff"]))
        elif kind == "cut" and draw(st.booleans()):
            del data[at:]
    return bytes(data)

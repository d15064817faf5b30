"""Exceptions and their words."""

from __future__ import annotations

import copy
import pickle

import pytest

import nemo_client
from nemo_client import (
    ApiError,
    BadAnswer,
    Cancelled,
    ConnectError,
    DiskError,
    InputError,
    LimitError,
    LocalError,
    NemoError,
    NoCredits,
    NothingMade,
    PlanError,
    ResultUnknown,
    SignInError,
    UnsupportedFile,
    say,
)
from nemo_client._errors import CODES

TABLE = {1001: "SignInError", 1002: "SessionGone", 2001: "NoCredits", 4001: "UnsupportedFile", 4002: "FileTooLarge"}
TABLE |= {400: "ClientIdRefused", 402: "PlanError", 429: "RateLimited"}

EXIT_CODES = [
    (InputError, 2), (UnsupportedFile, 2), (SignInError, 3), (NoCredits, 4), (PlanError, 4), (LimitError, 4),
    (ApiError, 5), (ConnectError, 5), (BadAnswer, 5), (NothingMade, 5), (ResultUnknown, 5), (DiskError, 6),
    (Cancelled, 130),
]  # fmt: skip


def test_the_table_of_codes_is_the_backends() -> None:
    """Every code of the API description's error table has its class, and no other code has one."""
    assert {code: kind.__name__ for code, kind in CODES.items()} == TABLE


@pytest.mark.parametrize(("kind", "code"), EXIT_CODES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_exit_codes_are_the_shells(kind: type[NemoError], code: int) -> None:
    """0 done, 2 wrong input, 3 sign-in, 4 credits or plan, 5 backend or network, 6 the local disk, 130 interrupted."""
    assert kind.exit_code == code


def test_the_tree_is_the_one_that_is_drawn() -> None:
    """What is drawn in the docstring is what `except` clauses rely on."""
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (nemo_client._errors.__doc__ or "").splitlines():
        name = line.strip("│├└─ ").split(" ")[0]
        depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
        if name in nemo_client.__all__:
            above[max(depth - 1, 0) :] = [name]
            drawn[name] = above[-2] if len(above) > 1 else "Exception"

    errors = [found for name in nemo_client.__all__ if isinstance(found := getattr(nemo_client, name), type)]
    real = {kind.__name__: kind.__bases__[0].__name__ for kind in errors if issubclass(kind, NemoError)}
    assert drawn == real


def test_an_error_says_what_whether_charged_and_what_next() -> None:
    """The text of an exception is whole: what failed, what to do, and the money."""
    error = NoCredits("no-credits-anonymous", code=2001, available="5", link="https://web.test/register?bind=anon_1")

    assert str(error) == (
        "Not enough credits (5 left). Register at https://web.test/register?bind=anon_1 to get more, "
        "then run again. Nothing was charged."
    )


@pytest.mark.parametrize("charged", ["no", "maybe", "yes"])
def test_the_sentence_about_money_follows_what_is_known(charged: nemo_client._errors.Charged) -> None:
    """A message that may be out never says that nothing was charged."""
    assert str(ResultUnknown(charged=charged)).endswith(say(f"money.{charged}"))


def test_a_missing_fact_does_not_hide_the_error() -> None:
    """A failure to word an error must not become another error."""
    assert str(InputError("value")) == "? can't be '?'. Use ?. Nothing was charged."
    assert say("no-such-text") == "no-such-text"
    assert str(LocalError("image-too-large", width=object(), limit="{x!q}")).startswith("The image has <object")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301 - our own bytes
def test_exceptions_can_be_copied(again: object) -> None:
    """ComfyUI and process pools copy exceptions; id and facts survive."""
    error = NoCredits(code=2001, status=402, available=3)
    copied = again(error)  # type: ignore[operator]

    assert type(copied) is NoCredits
    assert (str(copied), copied.code, copied.facts) == (str(error), 2001, error.facts)

"""What a run paid before one of its nodes failed; read when one does."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import host
from .run import get_network, run_on_network

if TYPE_CHECKING:
    from ...nemo_client import Kept

logger = logging.getLogger("nemo_client")


async def name_what_is_kept(errors: list[Exception | None], profiles: Sequence[Any], run: str) -> None:
    """Errors of a run that paid for something before say so, by the journal, and how it is collected.

    An error about a message of its own says what that one took; it is left as it is.
    """
    from ...nemo_client import NemoError, NothingMade, ResultUnknown, SessionGone

    kept: dict[str, Kept | None] = {}
    for error, profile in zip(errors, profiles, strict=True):
        own = isinstance(error, (NothingMade, ResultUnknown, SessionGone))
        if not isinstance(error, NemoError) or error.charged == "maybe" or (own and error.charged != "no"):
            continue
        if not isinstance(profile, str):  # a forged one: nothing can have been paid there
            continue
        if profile not in kept:
            kept[profile] = await run_on_network(functools.partial(_read_paid, profile, run))
        error.kept = kept[profile]
        if error.kept is not None:
            error.charged = "yes" if error.kept.sure else "maybe"


async def _read_paid(profile: str, run: str) -> Kept | None:
    """What the run paid for and got; None as well where the journal cannot be read."""
    from ...nemo_client import NemoError

    try:
        return await (await get_network().studio(profile)).paid_in(run) if run else None
    except NemoError as error:
        logger.debug("what the run paid could not be read: %s", error.id)
        return None


async def name_what_the_run_paid(error: Exception) -> None:
    """The error of a node that comes before its work, about an input say, also names what nodes before it paid."""
    from ...nemo_client import NemoError

    if not isinstance(error, NemoError) or error.kept is not None or error.charged != "no":
        return
    prompt_id, _ = host.find_running_node()
    paid = await run_on_network(functools.partial(_find_paid, prompt_id)) if prompt_id else None
    if paid is not None:
        error.kept, error.charged = paid, "yes" if paid.sure else "maybe"


async def _find_paid(run: str) -> Kept | None:
    """What the run paid for and got, by the first profile in use that knows of it."""
    from ...nemo_client import NemoError

    for studio in get_network().list_open_studios():  # none is opened for it: the home may be what was refused
        with suppress(NemoError):
            found = await studio.paid_in(run)
            if found is not None:
                return found
    return None

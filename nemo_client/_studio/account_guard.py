"""Guards a stored free account: its open and unsaved jobs, which cannot be collected without its token."""

from __future__ import annotations

from .._journal.job_rows import make_job_id
from .._journal.journal import Journal
from .._journal.steps import State


class MayReplace:
    """Whether an anonymous token may be replaced: no step of its account is open or undelivered."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def __call__(self, account: str) -> bool:
        opened = await self._journal.open_attempts(account)
        if any(each.state is not State.PLANNED for each in opened):  # a planned one was never sent
            return False
        return not await self._journal.undelivered(account)


async def find_owed(journal: Journal, account: str) -> list[str]:
    """Ids of the paid jobs of an account that are open or not delivered."""
    opened = [each for each in await journal.open_attempts(account) if each.state is not State.PLANNED]
    made = await journal.undelivered(account)
    return sorted({make_job_id(each.key) for each in (*opened, *made) if each.paid})

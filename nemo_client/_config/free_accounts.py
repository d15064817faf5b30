"""Which tokens in environment variables belong to free accounts: the backend says so when it opens a session.

It is kept beside the other files of the home directory, by the keyed hash of the token, so that a later run, or one
whose token has expired since, still names the remedy that fits.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Final

from .._errors import DiskError
from .._safety.json_limits import parse_json
from .paths import write_private_file

logger = logging.getLogger("nemo_client")

FREE_USER: Final = "anon_"
"""How the user ids of free accounts begin."""
_MOST: Final = 50
_LONGEST: Final = 512


class FreeUsers:
    """User ids by account; in memory alone where no `directory` is given."""

    def __init__(self, directory: Path | None = None) -> None:
        self._path = directory / "free_accounts.json" if directory else None
        self._known: dict[str, str] | None = None

    def find_user_id(self, account: str) -> str | None:
        """The user id of a free account, None for any other."""
        return self._read().get(account)

    def note(self, account: str, user_id: str) -> None:
        """Keep what a new session says of the account."""
        known = self._read()
        if not user_id.startswith(FREE_USER) or len(user_id) > _LONGEST or known.get(account) == user_id:
            return
        known[account] = user_id
        self._known = known = dict(list(known.items())[-_MOST:])
        if self._path is not None:
            try:
                write_private_file(self._path, json.dumps(known, ensure_ascii=True, indent=1) + "\n")
            except (DiskError, OSError) as error:
                logger.debug("%s could not be written (%s)", self._path.name, type(error).__name__)

    def _read(self) -> dict[str, str]:
        if self._known is None:
            self._known = {}
            if self._path is not None:
                try:
                    found = parse_json(self._path.read_bytes())
                except (OSError, ValueError):
                    found = {}
                if isinstance(found, dict):
                    self._known = {name: user for name, user in found.items() if isinstance(user, str)}
        return self._known

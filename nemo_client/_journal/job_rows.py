"""The rows that lists of jobs read: what they show of each message, kept in step with its newest attempt.

An attempt's facts hold whole drafts. A list that read them would parse megabytes to show a prompt and a price; so what
it shows of them is written into a row of its own, in the transaction that writes the attempt. Rows that another program
wrote (an older one, or before there were such rows) are added by `note_missing` when a list is read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from .._wire import draft as drafts
from .queries import split_into_portions
from .records import IN_FLIGHT_STATES, Attempt, attempt_from_row
from .schema import ATTEMPTS, JOBS, NOTED, UPLOADED
from .steps import PAID, State, parse_kind

ID_CHARACTERS: Final = 8
MISSING_AT_ONCE: Final = 200
"""Attempts that one transaction adds: their facts are read, and paid steps must not wait long for it."""
LOOKED_AT_ONCE: Final = 5_000
"""Attempts that one transaction looks through for missing rows."""
FAR_BEHIND: Final = 2_000
"""So many attempts are looked through again by a new process before that is written down."""

_UNFIT: Final = re.compile("[\x00\ud800-\udfff]")
"""Characters that no database takes as text."""

_PUT: Final = sa.text("""
INSERT INTO jobs ("key", attempt, epoch, short, state, hidden, created, listed, delivered, made, owes, spent, error,
    text, words)
VALUES (:key, :attempt, :epoch, :short, :state, :hidden, :created, :listed, :delivered, :made, :owes, :spent, :error,
    :text, :words)
ON CONFLICT ("key") DO UPDATE SET attempt = excluded.attempt, epoch = excluded.epoch, state = excluded.state,
    hidden = excluded.hidden, created = excluded.created, listed = excluded.listed, made = excluded.made,
    owes = excluded.owes AND NOT jobs.delivered, spent = excluded.spent, error = excluded.error, text = excluded.text,
    words = excluded.words
WHERE excluded.attempt > jobs.attempt OR (excluded.attempt = jobs.attempt AND excluded.epoch >= jobs.epoch)
""")
_SHOWN: Final = sa.text("""
UPDATE jobs SET delivered = :yes, owes = :no WHERE delivered = :no AND "key" IN (
    WITH RECURSIVE behind ("key") AS (
        SELECT CAST(:key AS VARCHAR(64))
        UNION SELECT attempts."before" FROM attempts JOIN behind ON attempts."key" = behind."key"
    ) SELECT "key" FROM behind
)
""")
_ADD_UPLOAD: Final = sa.text('INSERT INTO uploaded (name, "key") VALUES (:name, :key) ON CONFLICT DO NOTHING')


def make_job_id(key: str) -> str:
    """The short id of a step."""
    return key.split("-", 1)[-1][:ID_CHARACTERS]


def fold_text(text: str) -> str:
    """Text as searches compare it: without regard to case and to how characters are composed."""
    return unicodedata.normalize("NFC", _UNFIT.sub("\ufffd", text).casefold())


def write_row(connection: Connection, attempt: Attempt) -> None:
    """Bring what lists show of an attempt that was just written up to date, in its own transaction."""
    if attempt.kind in PAID:
        connection.execute(_PUT, _make_row(attempt))
    elif attempt.kind == "upload":
        _write_files(connection, attempt)
    elif attempt.kind == "export" and attempt.state is State.DONE:
        _write_delivered(connection, attempt.before)


def _make_row(attempt: Attempt) -> dict[str, Any]:
    facts = attempt.facts
    text = _UNFIT.sub("\ufffd", str(facts.get("text") or ""))
    made = attempt.state is State.DONE and "text" in facts and has_new_draft(facts)
    return {
        "key": attempt.key,
        "attempt": attempt.id,
        "epoch": attempt.epoch,
        "short": make_job_id(attempt.key),
        "state": attempt.state.value,
        "hidden": attempt.hidden,
        "created": attempt.created,
        "listed": "text" in facts,  # else it was attached from elsewhere, never sent
        "delivered": False,
        "made": made,
        "owes": "text" in facts and (made or attempt.state.value in IN_FLIGHT_STATES),
        "spent": _read_number((facts.get("money") or {}).get("spent")),
        "error": _UNFIT.sub("\ufffd", str(facts.get("error") or "")),
        "text": text,
        "words": fold_text(text),
    }


def has_new_draft(facts: Mapping[str, Any]) -> bool:
    """Whether a finished message left a draft that can be exported and was not there before."""
    draft, baseline = facts.get("draft") or {}, facts.get("baseline") or {}
    return drafts.is_ready(draft) and not drafts.is_same(draft, baseline.get("draft"))


def _read_number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def list_kept_names(facts: Mapping[str, Any]) -> list[str]:
    """The names of the kept files that an upload sent; addresses are fetched by the backend, and not kept."""
    return [str(name) for fingerprint, name, _ in facts.get("media", ()) if not str(fingerprint).startswith("url:")]


def _write_files(connection: Connection, upload: Attempt) -> None:
    names = list_kept_names(upload.facts)
    if names:
        connection.execute(_ADD_UPLOAD, [{"name": name, "key": upload.key} for name in sorted(set(names))])


def _write_delivered(connection: Connection, key: str) -> None:
    """The message behind a finished export, and those that it follows on, owe no video any more."""
    connection.execute(_SHOWN, {"key": key, "yes": True, "no": False})


def hide_job(connection: Connection, key: str) -> None:
    """A forgotten job is in no list."""
    connection.execute(JOBS.update().where(JOBS.c.key == key).values(hidden=True))


def select_last_number(connection: Connection) -> int:
    """The number of the newest attempt there is."""
    return int(connection.execute(sa.select(sa.func.max(ATTEMPTS.c.id))).scalar() or 0)


def read_noted(connection: Connection) -> int:
    """The attempt up to which nothing is missing."""
    return int(connection.execute(sa.select(NOTED.c.attempt)).scalar() or 0)


def find_missing(connection: Connection, after: int, until: int) -> list[int]:
    """Numbers of the attempts in between whose rows are missing, the oldest first. Reads no facts."""
    within = (ATTEMPTS.c.id > after, ATTEMPTS.c.id <= until)
    paid = sa.or_(*(ATTEMPTS.c.key.startswith(f"{kind}-") for kind in sorted(PAID)))
    jobs = (
        sa.select(ATTEMPTS.c.id)
        .outerjoin(JOBS, JOBS.c.key == ATTEMPTS.c.key)
        .where(*within, paid, sa.func.coalesce(JOBS.c.attempt, 0) < ATTEMPTS.c.id)
    )
    uploads = (
        sa.select(ATTEMPTS.c.id)
        .outerjoin(UPLOADED, UPLOADED.c.key == ATTEMPTS.c.key)
        .where(*within, ATTEMPTS.c.key.startswith("upload-"), UPLOADED.c.key.is_(None))
    )
    return sorted({*connection.execute(jobs).scalars(), *connection.execute(uploads).scalars()})


def write_missing_rows(connection: Connection, numbers: Sequence[int]) -> None:
    """Make the missing rows of these attempts."""
    query = sa.select(ATTEMPTS).where(ATTEMPTS.c.id.in_(numbers)).order_by(ATTEMPTS.c.id)
    attempts = [attempt_from_row(row) for row in connection.execute(query)]
    for attempt in attempts:
        write_row(connection, attempt)
    shown = _select_delivered(connection, {each.key for each in attempts if each.kind in PAID})
    if shown:
        change = JOBS.update().where(JOBS.c.key.in_(sorted(shown)))
        connection.execute(change.values(delivered=True, owes=False))


def write_noted(connection: Connection, until: int) -> None:
    """Remember that nothing is missing up to this attempt."""
    connection.execute(NOTED.update().where(NOTED.c.attempt < until).values(attempt=until))


def _select_delivered(connection: Connection, keys: set[str]) -> set[str]:
    """Those of these steps that a finished export follows, directly or behind later steps."""
    found: set[str] = set()
    ahead = {key: {key} for key in keys}  # a step, and those of `keys` that it follows
    seen = dict(ahead)
    while ahead:
        after: dict[str, set[str]] = {}
        for some in split_into_portions(sorted(ahead)):
            query = sa.select(ATTEMPTS.c.before, ATTEMPTS.c.key, ATTEMPTS.c.state).where(ATTEMPTS.c.before.in_(some))
            for row in connection.execute(query):
                if parse_kind(row.key) != "export":
                    after.setdefault(row.key, set()).update(ahead[row.before])
                elif row.state == State.DONE.value:
                    found |= ahead[row.before]
        ahead = {key: new for key, these in after.items() if (new := these - found - seen.get(key, set()))}
        for key, new in ahead.items():
            seen[key] = seen.get(key, set()) | new
    return found


def is_used_by_others(connection: Connection, name: str, but: str) -> bool:
    """Whether a kept file was uploaded for a job other than `but` that is shown or still open.

    Goes from the uploads that sent it to what follows them, one step after the other, and stops at the first such job.
    """
    ahead = set(connection.execute(sa.select(UPLOADED.c.key).where(UPLOADED.c.name == name)).scalars())
    seen: set[str] = set()
    while ahead := ahead - seen:
        seen |= ahead
        further: set[str] = set()
        for some in split_into_portions(sorted(ahead)):
            follows = sa.select(ATTEMPTS.c.key).where(ATTEMPTS.c.before.in_(some))
            if connection.execute(_select_needing(some, but)).first() is not None:
                return True
            further.update(key for key in connection.execute(follows).scalars() if parse_kind(key) != "export")
        ahead = further
    return False


def _select_needing(before: Sequence[str], but: str) -> sa.Select[Any]:
    """A job right behind one of these steps that is in the lists, or whose message may yet have to be sent again."""
    newest = sa.select(JOBS.c.key).join(ATTEMPTS, ATTEMPTS.c.id == JOBS.c.attempt)
    needs = sa.or_(ATTEMPTS.c.hidden.is_(False), ATTEMPTS.c.state.in_((State.PLANNED.value, *IN_FLIGHT_STATES)))
    return newest.where(ATTEMPTS.c.before.in_(before), JOBS.c.key != but, JOBS.c.listed, needs).limit(1)

"""Jobs of one Studio, how each of them ended, and what the backend's ledger says to that."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nemo_client import Destination, Media, NemoError, Studio, Video, Wish, from_pixels
from tests.support.ledger import LedgerReport

PRICE = 100
_NAMED = re.compile(r"take (\d+-\d+):")


@dataclass(frozen=True)
class End:
    """How a job ended: with a video, or with an error of ours; `wrong` holds any other exception's type."""

    error: str = ""
    text: str = ""
    charged: str = ""
    certainty: str = ""
    spent: float | None = None
    video: Path | None = None
    sha256: str = ""
    wrong: str = ""


@dataclass
class Job:
    """One request, by the round and its number in it; the same one whenever it is asked for again."""

    round: int
    number: int
    ends: list[End] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.round}-{self.number}"

    @property
    def last(self) -> End:
        return self.ends[-1]

    async def run(self, studio: Studio, folder: Path) -> None:
        """Ask for it: upload, generate, export."""
        try:
            video = await studio.animate(
                [self._picture()],
                Wish(f"take {self.name}: a slow push-in", duration=1),
                Destination(folder, f"video-{self.name}"),
            )
        except NemoError as error:
            self.ends.append(End(f"{type(error).__name__} {error.id}", str(error), error.charged))
        except Exception as error:  # noqa: BLE001 - what must never come out is what is looked for here
            self.ends.append(End(wrong=f"{type(error).__name__}: {error}"))
        else:
            self.ends.append(_end_of(video))

    def _picture(self) -> Media:
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[0, 0], pixels[1, 1] = (self.round, self.number >> 8, self.number & 255), (250, 20, 99)
        return from_pixels(pixels)


def _end_of(video: Video) -> End:
    return End(certainty=video.money.certainty, spent=video.money.spent, video=video.path, sha256=video.sha256)


@dataclass(frozen=True)
class Taken:
    """What the backend's ledger says of one job: messages that it accepted, and credits that it took."""

    messages: int = 0
    credits: tuple[int, ...] = ()


def by_job(ledger: LedgerReport) -> dict[str, Taken]:
    """The ledger by job, which each message names."""
    runs: dict[str, list[str]] = defaultdict(list)
    for message in ledger.messages:
        found = _NAMED.search(str(message["text"]))
        runs[found[1] if found else "?"].append(message["id"])
    charges: dict[str, list[int]] = defaultdict(list)
    for charge in ledger.charges:
        charges[charge["run"]].append(charge["amount"])
    return {
        name: Taken(len(ids), tuple(amount for each in ids for amount in charges[each])) for name, ids in runs.items()
    }


def judge(jobs: Iterable[Job], ledger: Mapping[str, Taken]) -> list[str]:
    """Everything that breaks a promise, in words; empty when all is well."""
    return [f"{job.name}: {fault} ({job.last})" for job in jobs for fault in _faults(job, ledger)]


def _faults(job: Job, ledger: Mapping[str, Taken]) -> list[str]:
    taken, last = ledger.get(job.name, Taken()), job.last
    wrong = {
        "ended in neither a video nor an error of ours": bool(last.wrong),
        "sent more than once": taken.messages > 1,
        "charged more than once": len(taken.credits) > 1 or any(each != PRICE for each in taken.credits),
        "a video that nobody paid for": last.video is not None and not taken.credits,
        "the video is not the one that was told": last.video is not None and not _is_whole(last),
        "charged, and denied": last.charged == "no" and bool(taken.credits),
        "not charged, and claimed": last.charged == "yes" and not taken.credits,
        "a sum that is not the ledger's": last.certainty == "exact" and last.spent != sum(taken.credits),
    }
    return [name for name, is_so in wrong.items() if is_so]


def _is_whole(end: End) -> bool:
    assert end.video is not None  # noqa: S101 - asked before
    return end.video.is_file() and hashlib.sha256(end.video.read_bytes()).hexdigest() == end.sha256


def files_of(jobs: Iterable[Job]) -> set[str]:
    """The names of the files that the jobs told of."""
    return {end.video.name for job in jobs for end in job.ends if end.video is not None}


def strays(folder: Path, told: set[str]) -> list[str]:
    """Files in the folder of the videos that no job told of."""
    return sorted(each.name for each in folder.iterdir() if each.name not in told)


def tally(jobs: Sequence[Job]) -> dict[str, int]:
    """How many jobs ended how."""
    return dict(Counter("video" if job.last.video else job.last.error or job.last.wrong for job in jobs).most_common())

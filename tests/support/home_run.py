"""A program for tests: makes a video with the local preview and one with the cloud, and says how that went.

    python _home_run.py FOLDER [UMASK [USER]]

The home directory is FOLDER/above/home unless NEMO_HOME says otherwise. Everything is imported before the umask and
the user change, since another user may not read the interpreter's files.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from nemo_client import Destination, NemoError, Output, Studio, Wish, from_pixels, home, local, save_profile, set_token
from nemo_client._config.client_id import read_client_id
from nemo_client._config.paths import ensure_home
from nemo_client._config.timings import use_timings
from tests.support.ledger import read_ledger
from tests.support.timings import make_timings

SHADES = iter(range(20, 250, 20))


async def video(profile: str, out: Path) -> None:
    async with await Studio.open(profile) as studio:
        picture = from_pixels(np.full((64, 96, 3), next(SHADES), np.uint8))
        wish = Wish("1 second slow push-in")
        await studio.animate([picture], wish, Destination(out, "clip"), Output("mp4", "low", "480p"))


def attempt(profile: str, out: Path) -> dict[str, str]:
    """What came of a video: nothing to tell, or the error in both languages."""
    try:
        asyncio.run(video(profile, out))
    except NemoError as error:
        kind = type(error).__name__
        return {"id": error.id, "kind": kind, "en": error.text("en"), "zh": error.text("zh"), "charged": error.charged}
    return {}


def settings() -> None:
    """What the settings page and the shell keep."""
    read_client_id(ensure_home(home()))
    save_profile("mine", address="https://mine.test")
    set_token("mine", "nmv_usr_mark")


def main(base: Path, mask: str = "022", user: str = "") -> None:
    with use_timings(make_timings(studio={"quiet": 0.02, "poll_scale": 0.2})):  # the backend here is quiet at once
        run(base, mask, user)


def run(base: Path, mask: str, user: str) -> None:
    """As `main`, with the timings in use."""
    scratch = tempfile.mkdtemp(dir=base)
    with local.open(base / "cloud", pace=0, credits=10_000) as cloud:
        given = os.environ.get("NEMO_HOME", str(base / "above" / "home"))
        os.environ.update(NEMO_API_URL=cloud.url, NEMO_TOKEN=cloud.token, NEMO_HOME=scratch, HOME=str(base))
        for profile in ("local preview", "nemo"):
            attempt(profile, Path(scratch))
        settings()
        out = base / "out"
        out.mkdir()
        out.chmod(0o777)
        os.environ["NEMO_HOME"] = given
        before = len(read_ledger(base / "cloud").messages)
        if user:
            for path in (base / "cloud", *(base / "cloud").rglob("*")):  # whose server goes on as that user, too
                os.chown(path, int(user), int(user))
            os.setgid(int(user))
            os.setuid(int(user))
        os.umask(int(mask, 8))
        told = {profile: attempt(profile, out) for profile in ("local preview", "nemo")}
        with contextlib.suppress(NemoError):
            settings()
        videos, messages = len(list(out.glob("*.mp4"))), len(read_ledger(base / "cloud").messages) - before
        sys.stdout.write(json.dumps({"told": told, "videos": videos, "messages": messages}))
        sys.stdout.flush()
        os._exit(0)  # what another user made cannot be tidied by this one, nor the other way round


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

"""Opening audio and video files that strangers made.

Some formats are lists of other files or addresses (playlists, image sequences). Only formats that hold their own data
are opened, and nothing but the file itself is read.
"""

from __future__ import annotations

from pathlib import Path

import av

_FORMATS = "mov,matroska,webm,avi,mp3,wav,aac,ogg,flac,gif"
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}

# What PyAV raises for bytes that are no media, or not all of it.
DAMAGE = (av.error.FFmpegError, OSError, ValueError)


def open_media(path: Path) -> av.container.InputContainer:
    """The container in `path`; raises one of `DAMAGE`."""
    return av.open(str(path), "r", options=dict(_OPTIONS))

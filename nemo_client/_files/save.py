"""Saving a finished video: checked first, under a free name, never over another file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from .._errors import DiskError, RenderFailed
from .._safety.private_files import sync_to_disk
from .._safety.safe_open import STEPS, is_below, open_folder
from .._text.messages import Phrase
from .._wire.upload import disk_error
from .temp_files import create_part_file, remove_abandoned_parts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from av.container import InputContainer
    from av.video.stream import VideoStream

Numbering = Literal["always", "on collision"]
_MAX_TRIES: Final = 100_000
_FIRST_PACKETS: Final = 64
MAX_FRAME_PIXELS: Final = 8192 * 4352
"""The largest picture of a video that is decoded; larger ones take a gigabyte each."""
_ROUNDING_SECONDS: Final = 0.25
# A play list in the place of a video must neither reach out nor name other files here.
LOCAL_ONLY: Final = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,webm,avi,gif,mpegts,flv,ogg",
}


@dataclass(frozen=True)
class Destination:
    """Where to save a video: `folder`/`stem`, numbered like ComfyUI's own files (`stem_00001_.mp4`), or, in the
    shell, only if the name is taken (`stem-2.mp4`).

    `tags` are written into a new file as far as its format can hold them. With `root`, nothing is written outside that
    folder, whatever links are in it.
    """

    folder: Path
    stem: str
    numbering: Numbering = "always"
    tags: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    root: Path | None = field(default=None, compare=False)

    def name(self, number: int, suffix: str) -> str:
        """The file name with that number, from 1."""
        if self.numbering == "always":
            return f"{self.stem}_{number:05}_.{suffix}"
        return f"{self.stem}.{suffix}" if number == 1 else f"{self.stem}-{number}.{suffix}"

    def to_json(self) -> dict[str, str]:
        """As plain JSON data, for the journal; the tags stay out, they hold the workflow."""
        root = {"root": str(self.root)} if self.root else {}
        return {"folder": str(self.folder), "stem": self.stem, "numbering": self.numbering, **root}

    @classmethod
    def from_json(cls, data: Mapping[str, str]) -> Destination:
        """The destination that `to_json` wrote."""
        numbering: Numbering = "always" if data["numbering"] == "always" else "on collision"
        root = Path(data["root"]) if data.get("root") else None
        return cls(Path(data["folder"]), data["stem"], numbering, root=root)

    def sized(self, width: int, height: int) -> Destination:
        """This destination with `%width%` and `%height%` in its name filled in, in pixels of the finished video."""
        stem = self.stem.replace("%width%", str(width)).replace("%height%", str(height))
        return replace(self, stem=stem)

    def owns(self, path: Path, suffix: str) -> bool:
        """Whether `path` is a name that this destination could have given."""
        pattern = r"_\d{5,}_" if self.numbering == "always" else r"(-\d+)?"
        return path.parent == self.folder.absolute() and bool(
            re.fullmatch(re.escape(self.stem) + pattern + re.escape(f".{suffix}"), path.name)
        )


@contextmanager
def open_temporary_file(destination: Destination, suffix: str) -> Iterator[Path]:
    """A temporary file in the destination's folder, gone afterwards unless it was landed.

    What dead processes left there is swept first.
    """
    with contextlib.ExitStack() as stack:
        try:
            with _pin_folder(destination.folder, destination.root, make=True) as descriptor:
                remove_abandoned_parts(destination.folder)
                path = stack.enter_context(create_part_file(destination.folder, suffix, descriptor=descriptor))
        except OSError as error:
            raise disk_error(error, destination.folder) from error
        yield path


@contextmanager
def _pin_folder(folder: Path, root: Path | None, *, make: bool = False) -> Iterator[int | None]:
    """The folder's descriptor, where it has to lie in `root` and the system has such; an `OSError` if it does not."""
    if root is None:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        yield None
        return
    real, top = Path(os.path.realpath(folder)), Path(os.path.realpath(root))
    if not is_below(real, top):
        raise PermissionError(errno.EPERM, Phrase("why.outside-folder"))
    if not STEPS:
        if make:
            real.mkdir(parents=True, exist_ok=True)
        yield None
        return
    if make:
        top.mkdir(parents=True, exist_ok=True)
    with open_folder(real, top, make=make) as descriptor:
        yield descriptor


def save_video(temporary: Path, destination: Destination, suffix: str) -> Path:
    """Give a finished temporary file the first free name; the absolute path. Never replaces a file."""
    for target in iterate_free_names(destination, suffix):
        if save_video_as(temporary, target, destination.root):
            return target
    raise no_free_name(destination)


def iterate_free_names(destination: Destination, suffix: str) -> Iterator[Path]:
    """The names to try, in order, as absolute paths: those that are free at the moment."""
    first = _first_number(destination)
    for number in range(first, first + _MAX_TRIES):
        target = (destination.folder / destination.name(number, suffix)).absolute()
        if not os.path.lexists(target):
            yield target


def save_video_as(temporary: Path, target: Path, root: Path | None = None) -> bool:
    """Give a finished temporary file of the same folder that very name; False if it is taken.

    The name is taken by a hard link (atomic, fails if it exists); file systems without links get an exclusive
    create first and a rename onto that empty file. Given `root`, the folder has to lie in it now.
    """
    _sync_content(temporary)
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(_pin_folder(target.parent, root))
        except OSError as error:
            raise disk_error(error, target) from error
        try:
            _link_file(temporary, target, folder)
        except FileExistsError:
            return False
        except OSError:
            if not _reserve_name(target, folder):
                return False
            _rename_onto(temporary, target, folder)
    return True


def _link_file(temporary: Path, target: Path, folder: int | None) -> None:
    if folder is None:
        os.link(temporary, target)
    else:
        os.link(temporary.name, target.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)


def no_free_name(destination: Destination) -> DiskError:
    """No number is free any more."""
    return DiskError("disk-unwritable", path=destination.folder, reason=Phrase("why.no-free-name"))


def save_copy(source: Path, destination: Destination, suffix: str) -> Path:
    """Deliver a file that lies here already once more, under another name."""
    with open_temporary_file(destination, suffix) as temporary:
        try:
            shutil.copyfile(source, temporary)
        except OSError as error:
            raise disk_error(error, temporary) from error
        return save_video(temporary, destination, suffix)


def _sync_content(temporary: Path) -> None:
    """The content on disk before its name appears."""
    try:
        with temporary.open("rb+") as file:
            sync_to_disk(file.fileno())
    except OSError as error:
        raise disk_error(error, temporary) from error


def _first_number(destination: Destination) -> int:
    """One more than the highest number in use, as ComfyUI counts: whatever stands after `stem_00001`, of any kind.

    Names that differ in case alone are one, as they are on shares and disks of other systems. Collisions after that are
    caught by the link.
    """
    if destination.numbering != "always":
        return 1
    pattern = re.compile(re.escape(destination.stem.casefold()) + r"_(\d{1,9})(?:_.*)?", re.DOTALL)
    try:
        names = [name.casefold() for name in os.listdir(destination.folder)]
    except OSError as error:
        raise disk_error(error, destination.folder) from error
    return max((int(match[1]) for name in names if (match := pattern.fullmatch(name))), default=0) + 1


def _reserve_name(target: Path, folder: int | None) -> bool:
    name = target if folder is None else target.name
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder))
    except FileExistsError:
        return False
    except OSError as error:
        raise disk_error(error, target) from error
    return True


def _rename_onto(temporary: Path, reserved: Path, folder: int | None) -> None:
    """Put the file in the place of the empty one that reserves its name; that one goes if this fails."""
    names = (temporary, reserved) if folder is None else (temporary.name, reserved.name)
    try:
        os.replace(*names, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(names[1], dir_fd=folder)
        raise disk_error(error, reserved) from error


@dataclass(frozen=True)
class Checked:
    """What a finished file turned out to be. `duration` in seconds, sizes in pixels and bytes."""

    sha256: str
    size: int
    width: int
    height: int
    duration: float
    fps: float


def check_video(path: Path) -> Checked:
    """Decode the first frame and walk through all packets; `RenderFailed` if it is no whole, playable video."""
    import av

    size = path.stat().st_size
    try:
        if _is_photograph(path):
            raise ValueError("a picture")
        with av.open(str(path), options=LOCAL_ONLY) as container:
            stream = container.streams.video[0]
            _bound_decoder(stream)
            seen = _walk_frames(container, stream)
            gap = _count_missing_seconds(container, stream, seen)
            length = container.duration / av.time_base if container.duration else 0.0
            rate = float(stream.average_rate or stream.base_rate or 0)
            (width, height), kind = compute_shown_size(stream, seen.turned), container.format.name
    except (av.FFmpegError, IndexError, ValueError, OSError) as error:
        reason = Phrase("why.empty") if size == 0 else Phrase("why.undecodable")
        raise RenderFailed("video-broken", reason=reason) from error
    if not seen.frames:
        raise RenderFailed("video-broken", reason=Phrase("why.no-picture"))
    if gap > 0 or not _whole_by_its_frame(path, kind, size):
        raise RenderFailed("video-broken", reason=Phrase("why.end-missing"))
    return Checked(hash_file(path), size, width, height, length, rate)


_PHOTOGRAPHS: Final = frozenset({b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1"})


def _is_photograph(path: Path) -> bool:
    """Whether it is a HEIC or AVIF picture, which the demuxer of mp4 reads as a video of one frame."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:] in _PHOTOGRAPHS


def _bound_decoder(stream: VideoStream) -> None:
    """Judge the size that the file tells, and let the decoder refuse what turns out larger."""
    if getattr(stream, "codec_context", None) is None:  # some releases of PyAV crash on decoding without one
        raise ValueError("no decoder")
    if stream.width * stream.height > MAX_FRAME_PIXELS:
        raise ValueError("too large")
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}


@dataclass
class _Seen:
    """What a walk through a file met: packets of the video, first frames that were decoded, ends in seconds.

    `turned` says that the video is shown on its side.
    """

    turned: bool = False
    packets: int = 0
    frames: int = 0
    end: float = 0.0
    video_end: float = 0.0


def _walk_frames(container: InputContainer, video: VideoStream) -> _Seen:
    """Through all packets, one at a time; the first ones are decoded until a frame comes out."""
    seen = _Seen()
    for packet in container.demux():
        is_video = packet.stream.index == video.index
        if is_video and not seen.frames and seen.packets < _FIRST_PACKETS:
            frames = packet.decode()
            seen.frames += len(frames)
            seen.turned = seen.turned or any(round(getattr(each, "rotation", 0) / 90) % 2 for each in frames)
        if not packet.size:  # the end of a stream
            continue
        seen.packets += is_video
        if packet.pts is not None and packet.time_base is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            seen.end = max(seen.end, end)
            seen.video_end = max(seen.video_end, end if is_video else 0.0)
    return seen


def compute_shown_size(stream: VideoStream, turned: bool) -> tuple[int, int]:
    """Width and height as people see them: the shape of the pixels counts, and the way the film is held."""
    shape = stream.sample_aspect_ratio
    width, height = max(1, round(stream.width * shape)) if shape else stream.width, stream.height
    return (height, width) if turned else (width, height)


def _count_missing_seconds(container: InputContainer, video: VideoStream, seen: _Seen) -> float:
    """By how much more than rounding the file ends before it says; 0 if it is whole.

    Not by counting frames alone: a file with an edit list holds more than it plays.
    """
    start = (container.start_time or 0) / 1_000_000
    gap = start + (container.duration or 0) / 1_000_000 - seen.end - _ROUNDING_SECONDS
    if video.frames > seen.packets and video.duration and video.time_base:
        first = (video.start_time or 0) * video.time_base
        gap = max(gap, float(first + video.duration * video.time_base) - seen.video_end - 0.001)
    return max(gap, 0.0)


def _whole_by_its_frame(path: Path, kind: str, size: int) -> bool:
    """For the formats that tell no length in time: a GIF ends with its trailer, an AVI tells its size in bytes."""
    with path.open("rb") as file:
        if kind == "gif":
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b";"
        head = file.read(8)
    return kind != "avi" or int.from_bytes(head[4:], "little") + 8 <= size


def read_last_frame(path: Path) -> npt.NDArray[np.uint8]:
    """The last frame of a video: uint8 [H, W, 3], RGB. Raises `RenderFailed` if it has none."""
    import av

    try:
        with av.open(str(path), options=LOCAL_ONLY) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            _bound_decoder(stream)
            if stream.duration and stream.duration > 0:
                with contextlib.suppress(av.FFmpegError):
                    container.seek((stream.start_time or 0) + stream.duration, stream=stream, backward=True)
            newest = deque(container.decode(stream), maxlen=1)
            if not newest:
                container.seek(0)
                newest = deque(container.decode(stream), maxlen=1)
            pixels = newest[0].to_ndarray(format="rgb24") if newest else None
    except (av.FFmpegError, IndexError, ValueError, OSError) as error:
        raise RenderFailed("video-broken", reason=Phrase("why.undecodable")) from error
    if pixels is None:
        raise RenderFailed("video-broken", reason=Phrase("why.no-picture"))
    return cast("npt.NDArray[np.uint8]", pixels)


def hash_file(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1024 * 1024):
            digest.update(chunk)
    return digest.hexdigest()

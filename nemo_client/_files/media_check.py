"""Checks that a video or sound is complete before anything is sent or paid. Blocks.

All packets are read, few are decoded: key frames at even places, the end of the film, the last sounds. So the work is
bounded by the upload limit, not by the length. Only what is known to be damaged is refused: where a decoder is missing
here, or a format tells no length, the file is taken.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from .._errors import InputError

if TYPE_CHECKING:
    from av.container import InputContainer

KEY_FRAMES: Final = 16
"""How many key frames are decoded, at even places of the file."""
END_PIXELS: Final = 300_000_000
"""How many pixels of the last frames are decoded."""
END_SOUNDS: Final = 32
_MAX_PIXELS: Final = 8192 * 4352
_MAX_HELD_BYTES: Final = 64 * 1024 * 1024
_ROUNDING_SECONDS: Final = 0.25
_OPTIONS: Final = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,webm,avi,wav,mp3,aac"}
_FORMATS: Final = {"mkv": "matroska", "webm": "matroska", "m4a": "mp4"}
_UNKNOWN_SIZES: Final = (0, 0xFFFFFFFF, 0x7FFFFFFF)
_WAV_SPARE: Final = 0x7FFF0000
"""From here on the size in a WAV stands for one that was not known when its head was written."""
_CLUSTER: Final = 0x1F43B675
_SEGMENT: Final = 0x18538067
_MP3_HEAD_BYTES: Final = 4096


def check_media(file: BinaryIO, name: str, suffix: str, kind: str) -> None:
    """Raise an `InputError` with the true reason for a film (`kind` `video`) or sound (`audio`) that is damaged.

    `file` is open for reading; `suffix` is what its content goes as, `name` what people call it.
    """
    import av

    try:
        container = _open(file, suffix)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise InputError("media-unreadable", name=name) from error
    with container:
        if not _find_streams(container, kind):
            if not container.streams:
                raise InputError("media-unreadable", name=name)
            raise InputError("media-no-picture" if kind == "video" else "media-no-sound", name=name)
        walk = _Walk(container, os.fstat(file.fileno()).st_size, name)
        try:
            walk.read_packets()
        except (av.FFmpegError, ValueError, OSError) as error:
            if not _ends_with_tag(file):
                raise InputError("media-cut", name=name) from error
        walk.judge()
    if not _is_whole(file, suffix, walk):
        raise InputError("media-cut", name=name)


def _open(file: BinaryIO, suffix: str) -> InputContainer:
    """By its content, else as what it is called: short sounds are not always known by their content."""
    import av

    try:
        file.seek(0)
        return av.open(file, "r", options=_OPTIONS)
    except (av.FFmpegError, ValueError):
        file.seek(0)
        return av.open(file, "r", format=_FORMATS.get(suffix, suffix), options=_OPTIONS)


def _find_streams(container: InputContainer, kind: str) -> list[Any]:
    """The streams of that kind; the cover of a sound is no film."""
    return [each for each in container.streams if each.type == kind and not _is_cover(each)]


def _is_cover(stream: Any) -> bool:
    disposition = getattr(stream, "disposition", None)
    flag = getattr(type(disposition), "attached_pic", None)
    return bool(flag is not None and disposition is not None and flag & disposition)


@dataclass
class _Track:
    """One stream: how many packets it has, when the last one ends (seconds), and what is decoded at the end."""

    stream: Any
    kind: str
    packets: int = 0
    end: float = 0.0
    last: deque[Any] = field(default_factory=deque)
    held: int = 0
    following: bool = True

    def hold(self, packet: Any) -> None:
        """Keep the packets that the end is decoded from: those since the last key frame, or the last sounds."""
        if self.kind == "audio":
            self.last.append(packet)
            if len(self.last) > END_SOUNDS:
                self.last.popleft()
            return
        if packet.is_keyframe:
            self.last.clear()
            self.held, self.following = 0, True
        pixels = max(self.stream.width * self.stream.height, 1)
        self.following = self.following and len(self.last) < max(END_PIXELS // pixels, 1)
        self.following = self.following and self.held + packet.size <= _MAX_HELD_BYTES
        if self.following:
            self.last.append(packet)
            self.held += packet.size


class _Walk:
    """A walk through all packets of a container; raises `InputError` for what it finds."""

    def __init__(self, container: InputContainer, size: int, name: str) -> None:
        self._container = container
        self._size = size
        self._name = name
        self._format = container.format.name.split(",")[0]
        streams = [each for each in container.streams if each.type in ("video", "audio") and not _is_cover(each)]
        self.tracks = {each.index: _Track(each, each.type) for each in streams if getattr(each, "codec_context", None)}
        self._decoded = 0
        for track in self.tracks.values():
            context = track.stream.codec_context
            context.thread_count = 1  # an error belongs to its own packet
            if track.kind == "video":
                context.options = {"max_pixels": str(_MAX_PIXELS)}

    def read_packets(self) -> None:
        """Read every packet, and decode key frames at even places and the end of each stream."""
        for packet in self._container.demux():
            track = self.tracks.get(packet.stream.index)
            if track is None or not packet.size:
                continue
            track.packets += 1
            if packet.pts is not None and packet.time_base is not None:
                track.end = max(track.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.is_corrupt and self._format in ("mov", "avi"):
                raise InputError("media-cut", name=self._name)
            if track.kind == "video" and (packet.is_keyframe or track.packets == 1) and self._is_due(packet):
                self._decode(track, [packet])
            track.hold(packet)
        for track in self.tracks.values():
            self._decode(track, track.last)

    def _is_due(self, packet: Any) -> bool:
        """Whether a key frame stands at a place that is looked at."""
        place = packet.pos if packet.pos is not None and packet.pos > 0 else 0
        if place * KEY_FRAMES < self._size * self._decoded:
            return False
        self._decoded += 1
        return True

    def _decode(self, track: _Track, packets: list[Any] | deque[Any]) -> None:
        """Decode packets from a key frame on; an `InputError` where the decoder says that they hold no such thing."""
        import av

        context = track.stream.codec_context
        if track.kind == "video" and track.stream.width * track.stream.height > _MAX_PIXELS:
            return
        number = 0
        try:
            context.flush_buffers()
            for packet in packets:
                number += 1
                context.decode(packet)
            context.flush_buffers()
        except av.InvalidDataError as error:
            if track.kind == "audio" and number < len(packets):
                return  # a sound that goes on after it is one that players play
            raise InputError("media-broken", name=self._name) from error
        except (av.FFmpegError, ValueError):
            return  # what this decoder does not know may still be whole

    def judge(self) -> None:
        """Raise `InputError` where fewer packets came than the file tells."""
        if not any(track.packets for track in self.tracks.values()) and self.tracks:
            raise InputError("media-cut", name=self._name)
        for track in self.tracks.values():
            counted = self._format == "mov" or (self._format == "avi" and track.kind == "video")
            if counted and track.stream.frames > track.packets:
                raise InputError("media-cut", name=self._name)
        if self._format in ("mov", "matroska"):
            start = (self._container.start_time or 0) / 1_000_000
            told = start + (self._container.duration or 0) / 1_000_000
            if told - max((track.end for track in self.tracks.values()), default=0.0) > _ROUNDING_SECONDS:
                raise InputError("media-cut", name=self._name)

    @property
    def sounds(self) -> int:
        """How many packets the first stream of sound has."""
        return next((track.packets for track in self.tracks.values() if track.kind == "audio"), 0)


def _is_whole(file: BinaryIO, suffix: str, walk: _Walk) -> bool:
    """By what the formats tell of their own length in bytes or frames, where packets do not show it."""
    file.seek(0)
    head = file.read(12)
    if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
        return _is_wav_whole(file)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _is_matroska_whole(file)
    if suffix == "mp3":
        return _count_mp3_frames(file) <= walk.sounds + 1  # some count the frame with the count
    return True


def _is_wav_whole(file: BinaryIO) -> bool:
    """Whether the samples are there as its head says; a byte may be missing that only fills up."""
    size = os.fstat(file.fileno()).st_size
    place = 12
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return True  # no samples at all, which is found elsewhere
        name, length = struct.unpack("<4sI", head)
        if name == b"data":
            return length in _UNKNOWN_SIZES or length >= _WAV_SPARE or place + 8 + length <= size
        place += 8 + length + length % 2


def _is_matroska_whole(file: BinaryIO) -> bool:
    """Whether no cluster (pictures and sound of some seconds) ends behind the file's end. Index and tags may."""
    size = os.fstat(file.fileno()).st_size
    return all(end <= size for name, end in _list_elements(file, size) if name == _CLUSTER)


def _list_elements(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """The elements of a Matroska file and of its segment: name, and where each ends; none behind one of no size."""
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(16)
        name, behind_name = _read_number(head, 0, marked=True)
        length, start = _read_number(head, behind_name)
        if not behind_name or not start:
            return
        unknown = length == (1 << 7 * (start - behind_name)) - 1
        if name == _SEGMENT:
            place += start
            continue
        if unknown:
            return
        yield name, place + start + length
        place += start + length


def _read_number(head: bytes, start: int, *, marked: bool = False) -> tuple[int, int]:
    """A number of EBML and where it ends; an end of 0 where there is none. `marked` keeps the bit of its length."""
    if start >= len(head) or not head[start]:
        return 0, 0
    length = 9 - head[start].bit_length()
    if start + length > len(head):
        return 0, 0
    value = int.from_bytes(head[start : start + length], "big")
    return (value if marked else value & ((1 << 7 * length) - 1)), start + length


def _count_mp3_frames(file: BinaryIO) -> int:
    """How many frames an MP3 tells that it has (in its Xing or Info frame); 0 where it tells none."""
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(head[6:10]))
    file.seek(start)
    data = file.read(_MP3_HEAD_BYTES)
    found = max(data.find(b"Xing"), data.find(b"Info"))
    if found < 0 or len(data) < found + 12 or not data[found + 7] & 1:
        return 0
    return int.from_bytes(data[found + 8 : found + 12], "big")


def _ends_with_tag(file: BinaryIO) -> bool:
    """Whether a sound ends with a tag that is no sound (ID3v1 or APE)."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(size - 160, 0))
    end = file.read(160)
    return end[-128:-125] == b"TAG" or b"APETAGEX" in end[-32:]

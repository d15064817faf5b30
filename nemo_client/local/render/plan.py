"""A draft, judged once and completely: JSON in, an immutable render plan out, or a `RenderError`.

Nothing behind this module sees the draft again, so every bound on work and memory stands here: how long, how many
pieces, how much text, how large, how fast. A draft names assets only by id, never a file. Keys and track types that
are not known are left alone: drafts of other makers carry more than this renderer draws.

Times are milliseconds from the start of the video, as on the wire.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from .errors import RenderError
from .formats import FORMATS, QUALITIES

MAX_DURATION_MS = 600_000
MAX_TRACKS = 64
MAX_SEGMENTS = 200
MAX_TEXT = 200
MAX_LONG_SIDE = 1920
MIN_SIDE = 16
MAX_FPS = 60
MAX_AMOUNT = 1.5
MAX_VOLUME = 2.0
DEFAULT_SIZE = (1920, 1080)
DEFAULT_FPS = 30
DEFAULT_SEGMENT_MS = 5000.0
DEFAULT_AMOUNT = 0.25
DEFAULT_FADE_MS = 600.0
DEFAULT_VOLUME = 1.0
# A GIF in full HD at 30 frames a second is hundreds of megabytes: what was not asked for explicitly stays small.
GIF_SHORT_SIDE = 480
GIF_FPS = 15
GIF_MAX_FPS = 50

RESOLUTIONS = {"1080p": 1080, "720p": 720, "480p": 480}
MOTIONS = ("static", "push_in", "pull_out", "pan_left", "pan_right", "pan_up", "pan_down")
POSITIONS = ("top", "center", "bottom")

_VIDEO, _AUDIO, _TEXT = 0, 1, 7


@dataclass(frozen=True)
class Motion:
    """How the camera moves over a picture; `amount` is the gain in size from the first to the last frame."""

    kind: str = "static"
    amount: float = 0.0


@dataclass(frozen=True)
class Shot:
    """One picture or clip on screen from `start` to `end`; it fades in during its first `fade` milliseconds.

    It stays visible, holding its last frame, until `until`: a successor that fades in without overlapping needs that.
    """

    asset: str
    kind: str
    title: str
    start: float
    end: float
    fade: float = 0.0
    until: float = 0.0
    motion: Motion = Motion()
    volume: float = DEFAULT_VOLUME


@dataclass(frozen=True)
class Sound:
    """Music or speech from `start` to `end`: an uploaded file, or the synthesized bed when there is no asset."""

    asset: str | None
    title: str
    start: float
    end: float
    volume: float


@dataclass(frozen=True)
class Caption:
    """A line of text on screen from `start` to `end`."""

    text: str
    start: float
    end: float
    position: str = "bottom"


@dataclass(frozen=True)
class Output:
    """What kind of file comes out; both sides are even."""

    width: int
    height: int
    fps: Fraction
    format: str
    quality: str


@dataclass(frozen=True)
class Plan:
    """Everything the renderer does; shots are in drawing order, the last on top."""

    output: Output
    duration: float
    title: str
    shots: tuple[Shot, ...]
    sounds: tuple[Sound, ...]
    captions: tuple[Caption, ...]

    @property
    def frames(self) -> int:
        """How many frames the video has; never none."""
        return max(1, round(self.duration / 1000 * self.output.fps))


def plan(
    draft: Mapping[str, object],
    *,
    format: str = "mp4",
    quality: str = "high",
    resolution: str | None = None,
    fps: float | None = None,
) -> Plan:
    """Judge `draft` and the wishes for the file; raises RenderError for what cannot or must not be rendered."""
    meta = _require_mapping(draft.get("m"), "the draft's metadata")
    output = _plan_output(
        meta, _one_of(format, FORMATS, "format"), _one_of(quality, QUALITIES, "quality"), resolution, fps
    )
    total = _require_number(draft.get("d"), "the draft's duration", low=0, high=MAX_DURATION_MS, default=0.0)
    tracks = _list_tracks(draft)
    shots: list[Shot] = []
    sounds: list[Sound] = []
    captions: list[Caption] = []
    for kind, segments in tracks:
        placed = _place_segments(segments, total)
        if kind == _VIDEO:
            shots += _hold_shots(sorted((_plan_shot(*at) for at in placed), key=lambda shot: shot.start))
        elif kind == _AUDIO:
            sounds += [_plan_sound(*at) for at in placed]
        elif kind == _TEXT:
            captions += [caption for at in placed if (caption := _plan_caption(*at))]
    ends = [*(shot.end for shot in shots), *(one.end for one in sounds), *(one.end for one in captions)]
    if not ends:
        raise RenderError("the draft has nothing to render yet: no track has a segment with a duration")
    duration = total or max(ends)
    return Plan(output, duration, _read_words(meta.get("title")), tuple(shots), tuple(sounds), tuple(captions))


# --- what the file shall be ---------------------------------------------------------------------------------------


def _plan_output(
    meta: Mapping[str, object], format: str, quality: str, resolution: str | None, fps: float | None
) -> Output:
    width = _require_number(meta.get("width"), "the draft's width", low=1, high=100_000, default=DEFAULT_SIZE[0])
    height = _require_number(meta.get("height"), "the draft's height", low=1, high=100_000, default=DEFAULT_SIZE[1])
    short = min(width, height)
    if resolution not in (None, "", "auto"):
        short = RESOLUTIONS[_one_of(resolution, tuple(RESOLUTIONS), "resolution")]
    elif format == "gif":
        short = min(short, GIF_SHORT_SIDE)
    scale = min(short / min(width, height), MAX_LONG_SIDE / max(width, height))
    size = [max(MIN_SIDE, round(side * scale / 2) * 2) for side in (width, height)]
    return Output(size[0], size[1], _choose_rate(meta, format, fps), format, quality)


def _choose_rate(meta: Mapping[str, object], format: str, asked: float | None) -> Fraction:
    fastest = GIF_MAX_FPS if format == "gif" else MAX_FPS
    if asked is not None:
        return _make_fraction(_require_number(asked, "the frame rate", low=1, high=fastest))
    rate = _require_number(meta.get("fps"), "the draft's frame rate", low=1, high=MAX_FPS, default=DEFAULT_FPS)
    return _make_fraction(min(rate, GIF_FPS) if format == "gif" else rate)


def _make_fraction(rate: float) -> Fraction:
    """29.97 becomes 30000/1001, as broadcast rates are meant; whole rates stay whole."""
    broadcast = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    if abs(float(broadcast) - rate) < 0.005 and rate != round(rate):
        return broadcast
    return Fraction(rate).limit_denominator(1000)


# --- tracks and segments ------------------------------------------------------------------------------------------

_Placed = tuple[Mapping[str, object], float, float]


def _list_tracks(draft: Mapping[str, object]) -> list[tuple[int, list[Mapping[str, object]]]]:
    """The tracks this renderer draws, with their segments; bounds their number."""
    listed = _require_list(draft.get("t"), "the draft's tracks")
    if len(listed) > MAX_TRACKS:
        raise RenderError(f"the draft has {len(listed)} tracks; the local preview renders up to {MAX_TRACKS}")
    tracks = []
    for entry in listed:
        track = _require_mapping(entry, "a track")
        kind = track.get("tt")
        if isinstance(kind, bool) or kind not in (_VIDEO, _AUDIO, _TEXT):
            continue
        segments = [
            _require_mapping(segment, "a segment") for segment in _require_list(track.get("sg"), "a track's segments")
        ]
        tracks.append((next(known for known in (_VIDEO, _AUDIO, _TEXT) if known == kind), segments))
    count = sum(len(segments) for _, segments in tracks)
    if count > MAX_SEGMENTS:
        raise RenderError(f"the draft has {count} segments; the local preview renders up to {MAX_SEGMENTS}")
    return tracks


def _place_segments(segments: Sequence[Mapping[str, object]], total: float) -> list[_Placed]:
    """(metadata, start, end) of each segment; without a start it follows the one before, overlapped by its fade."""
    placed: list[_Placed] = []
    clock = 0.0
    for segment in segments:
        meta = _require_mapping(segment.get("m"), "a segment's metadata")
        follows = max(0.0, clock - _read_fade(meta))
        start = _require_number(segment.get("st"), "a segment's start", low=0, high=MAX_DURATION_MS, default=follows)
        rest = total - start if total > start else DEFAULT_SEGMENT_MS
        length = _require_number(segment.get("d"), "a segment's duration", low=0, high=MAX_DURATION_MS, default=rest)
        clock = start + length
        if clock > MAX_DURATION_MS:
            raise RenderError(f"the video would be longer than {MAX_DURATION_MS // 60_000} minutes")
        if length > 0:
            placed.append((meta, start, clock))
    return placed


def _plan_shot(meta: Mapping[str, object], start: float, end: float) -> Shot:
    title = _read_words(meta.get("title"))
    asset = meta.get("asset")
    if not isinstance(asset, str) or not asset:
        raise RenderError(f"the segment {title or 'without a title'} has no picture or clip")
    kind = meta.get("kind", "")
    return Shot(
        asset,
        kind if isinstance(kind, str) else "",
        title,
        start,
        end,
        min(_read_fade(meta), end - start),
        end,
        _read_motion(meta),
        _read_volume(meta),
    )


def _hold_shots(shots: list[Shot]) -> list[Shot]:
    """Let each shot hold until its successor on the track has faded in."""
    held = []
    for index, shot in enumerate(shots):
        after = shots[index + 1] if index + 1 < len(shots) else None
        needed = after.start + after.fade if after and after.fade and after.start <= shot.end + 1 else 0.0
        held.append(replace(shot, until=max(shot.end, needed)))
    return held


def _plan_sound(meta: Mapping[str, object], start: float, end: float) -> Sound:
    asset = meta.get("asset")
    if asset is not None and not (isinstance(asset, str) and asset):
        raise RenderError("an audio segment names its asset by something else than an id")
    return Sound(asset, _read_words(meta.get("title")), start, end, _read_volume(meta))


def _plan_caption(meta: Mapping[str, object], start: float, end: float) -> Caption | None:
    given = meta.get("text", meta.get("title"))
    if isinstance(given, str) and len(given) > MAX_TEXT:
        raise RenderError(f"a title has {len(given)} characters; the local preview draws up to {MAX_TEXT}")
    text = _read_words(given)
    position = meta.get("position")
    return Caption(text, start, end, position if position in POSITIONS else "bottom") if text else None


def _read_motion(meta: Mapping[str, object]) -> Motion:
    given = _require_mapping(meta.get("motion"), "a segment's motion")
    kind = _one_of(given.get("type", "static"), MOTIONS, "camera motion")
    amount = _require_number(given.get("amount"), "a motion's amount", low=0, high=MAX_AMOUNT, default=DEFAULT_AMOUNT)
    return Motion() if kind == "static" or not amount else Motion(kind, amount)


def _read_fade(meta: Mapping[str, object]) -> float:
    given = _require_mapping(meta.get("transition"), "a segment's transition")
    if not given or given.get("type", "cross_fade") == "cut":
        return 0.0
    _one_of(given.get("type", "cross_fade"), ("cross_fade",), "transition")
    return _require_number(
        given.get("d"), "a transition's duration", low=0, high=MAX_DURATION_MS, default=DEFAULT_FADE_MS
    )


def _read_volume(meta: Mapping[str, object]) -> float:
    return _require_number(meta.get("volume"), "a volume", low=0, high=MAX_VOLUME, default=DEFAULT_VOLUME)


# --- values from a stranger ---------------------------------------------------------------------------------------


def _require_mapping(value: object, what: str) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RenderError(f"{what} is not an object")
    return value


def _require_list(value: object, what: str) -> Sequence[object]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise RenderError(f"{what} are not a list")
    return value


def _require_number(value: object, what: str, *, low: float, high: float, default: float | None = None) -> float:
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise RenderError(f"{what} is not a number")
    if not low <= value <= high:
        long = isinstance(value, int) and value.bit_length() > 10_000  # Python refuses to write these
        given = "far too large" if long else str(value)[:20]
        raise RenderError(f"{what} is {given}; the local preview renders {low:g} to {high:g}")
    return float(value)


def _one_of(value: object, known: tuple[str, ...], what: str) -> str:
    if isinstance(value, str) and value in known:
        return value
    raise RenderError(f"the local preview knows no {what} {str(value)[:40]!r}; it knows {', '.join(known)}")


def _read_words(value: object) -> str:
    """Text without control characters; line breaks stay, anything else than a string is no text."""
    if not isinstance(value, str):
        return ""
    return "".join(c for c in value[:MAX_TEXT] if c == "\n" or unicodedata.category(c)[0] != "C").strip()

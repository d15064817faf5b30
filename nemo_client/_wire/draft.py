"""What a draft says: readiness, identity, a summary for people, and what changed between two; pure functions.

A draft is the backend's own JSON (`t` tracks, `tt` type, `sg` segments, `d` milliseconds, `m` metadata) and goes back
to the renderer as it came. So everything here only reads: unknown keys and track types are tolerated, values of wrong
types count as missing, nothing raises and nothing is changed.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import Any, Final

from .._text.vocabulary import TIMELINE_WORDS

Draft = Mapping[str, Any]

MAX_TITLE = 60
"""The characters of a title that summaries show."""

_MAX_TRACKS = 30
_MAX_SEGMENTS = 6
_MAX_CHANGES = 8
_MAX_MS = 10**10

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://\S*")
_URL_KEYS = ("url", "cdn_url", "video_url", "image_url", "audio_url", "src")


def is_ready(draft: Draft | None) -> bool:
    """Whether the draft can be exported: some track has a segment."""
    return any(_encode_sequence(track.get("sg")) for track in _list_tracks(draft))


def measure_duration_ms(draft: Draft | None) -> int:
    """The length of the draft in milliseconds: its own `d`, else the end of its last segment, else 0."""
    own = _read_number(_encode_mapping(draft).get("d"))
    if own is not None and own > 0:
        return round(own)
    return round(max((segment.end for track in _read(draft) for segment in track.segments), default=0))


def read_size(draft: Draft | None) -> tuple[int, int] | None:
    """Width and height of the picture in pixels, or None where the draft does not say."""
    meta = _encode_mapping(_encode_mapping(draft).get("m"))
    width, height = _read_number(meta.get("width")), _read_number(meta.get("height"))
    if not width or not height or width < 1 or height < 1:
        return None
    return round(width), round(height)


def canonicalize(draft: Draft | None) -> str:
    """The draft as JSON of one form: sorted keys, `5.0` as `5`, addresses without their query, ASCII only.

    A draft whose links were only signed again is thereby the same. No draft is the empty draft.
    """
    return _encode_canonical(_encode_mapping(draft))


def is_same(one: Draft | None, other: Draft | None) -> bool:
    """Whether two drafts, as JSON gave them, have one canonical form; it is not made to tell that."""
    pairs: list[tuple[Any, Any]] = [(_encode_mapping(one), _encode_mapping(other))]
    while pairs:
        first, second = pairs.pop()
        kind = type(first)
        if first is second:
            continue
        if kind is dict and type(second) is dict:
            if first.keys() != second.keys():
                return False
            pairs += [(value, second[name]) for name, value in first.items()]
        elif kind is list and type(second) is list:
            if len(first) != len(second):
                return False
            pairs += zip(first, second, strict=True)
        elif kind is str and type(second) is str:
            if first != second and _without_query(first) != _without_query(second):
                return False
        elif _encode_canonical(first) != _encode_canonical(second):
            return False
    return True


def digest_draft(draft: Draft | None) -> str:
    """SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonicalize(draft).encode()).hexdigest()


def digest_segments(draft: Draft | None) -> str:
    """SHA-256 of the canonical tracks and their segments alone, in hex: what is on the timeline."""
    return hashlib.sha256(_encode_canonical(_encode_sequence(_encode_mapping(draft).get("t"))).encode()).hexdigest()


def list_media_ids(state: Mapping[str, Any] | None) -> frozenset[str]:
    """What names the entries of `generated_media` in a session's state.

    Of each entry its `id`, else its `hash`, else its address without query and fragment, so that a link that was
    signed again is not new media. An entry with none of these is no evidence and is left out.
    """
    media = _encode_mapping(state).get("generated_media")
    entries = media.values() if isinstance(media, Mapping) else _encode_sequence(media)
    return frozenset(name for name in map(_media_id, entries) if name)


def _media_id(entry: Any) -> str:
    if isinstance(entry, str):
        return _strip_signature(entry)
    values = _encode_mapping(entry)
    for key in ("id", "hash"):
        if isinstance(values.get(key), str) and values[key]:
            return str(values[key])
        if isinstance(values.get(key), int) and not isinstance(values[key], bool):
            return _encode_integer(values[key])
    others = sorted(key for key in values if isinstance(key, str))
    urls = (_strip_signature(values.get(key)) for key in (*_URL_KEYS, *others))
    return next((url for url in urls if _URL.fullmatch(url)), "")


def _strip_signature(value: Any) -> str:
    return re.split(r"[?#]", value, maxsplit=1)[0] if isinstance(value, str) else ""


def _encode_canonical(value: Any) -> str:
    """Canonical JSON, without recursion: a draft may be nested more deeply than Python likes."""
    out: list[str] = []
    stack: list[tuple[str, Any]] = [("", value)]  # what stands before a value, and the value
    while stack:
        before, item = stack.pop()
        kind = type(item)
        if kind in _PLAIN:  # most values, known without a look at what else they might be
            out.append(before + _encode_scalar(item))
        elif kind is _End:
            out.append(item.bracket)
        elif isinstance(item, Mapping):
            out.append(before + "{")
            stack.append(_OBJECT_END)
            names = sorted(((str(key), key) for key in item), key=lambda pair: pair[0])
            for i in range(len(names) - 1, -1, -1):
                name, key = names[i]
                stack.append((f"{',' if i else ''}{encode_basestring_ascii(name)}:", item[key]))
        elif isinstance(item, Sequence) and not isinstance(item, str | bytes | bytearray):
            out.append(before + "[")
            stack.append(_ARRAY_END)
            stack += [("," if i else "", item[i]) for i in range(len(item) - 1, -1, -1)]
        else:
            out.append(before + _encode_scalar(item))
    return "".join(out)


@dataclass(frozen=True, slots=True)
class _End:
    bracket: str


_PLAIN: Final = frozenset((str, int, float, bool, type(None)))
_OBJECT_END, _ARRAY_END = ("", _End("}")), ("", _End("]"))


def _without_query(text: str) -> str:
    if "?" not in text or not _URL.fullmatch(text):
        return text
    head, _, fragment = text.partition("#")  # a fragment says which part is meant; it is no signature
    return head.split("?", 1)[0] + ("#" + fragment if fragment else "")


def _encode_scalar(value: Any) -> str:
    if isinstance(value, str):
        return encode_basestring_ascii(_without_query(value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return _encode_integer(int(value)) if math.isfinite(value) and value.is_integer() else repr(float(value))
    if isinstance(value, int):
        return _encode_integer(int(value))
    return encode_basestring_ascii(f"<{type(value).__name__}>")


def _encode_integer(value: int) -> str:
    return str(value) if value.bit_length() < 10_000 else hex(value)  # Python refuses to write longer ones


# --- Reading tracks and segments ----------------------------------------------------------------------------------


def _encode_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _encode_sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray) else ()


def _read_number(value: Any) -> float | None:
    """A finite, plausible number; JSON's true is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_MAX_MS <= value <= _MAX_MS:
        return None
    return float(value)


def _list_tracks(draft: Draft | None) -> list[Mapping[str, Any]]:
    return [track for track in _encode_sequence(_encode_mapping(draft).get("t")) if isinstance(track, Mapping)]


@dataclass(frozen=True)
class _Segment:
    """One segment and its place in ms; the rest is read when it is asked for, as most of a long draft never is."""

    source: Mapping[str, Any]
    kind: str
    start: float
    placed: bool  # the start is its own, not the end of the segment before
    end: float  # the start where the length is not known

    @property
    def length(self) -> float:
        return self.end - self.start

    @cached_property
    def id(self) -> str:
        found = self.source.get("id")
        return found if isinstance(found, str) else ""

    @cached_property
    def title(self) -> str:
        names = _TEXT_NAMES if self.kind == "text" else _NAMES
        places = (_encode_mapping(self.source.get("m")), self.source)
        return next((text for place in places for key in names if (text := _to_plain(place.get(key)))), "")

    @cached_property
    def volume(self) -> float | None:
        volume = _read_number(_encode_mapping(self.source.get("m")).get("volume"))
        return volume if volume is not None and 0 <= volume <= 10 else None

    @cached_property
    def raw(self) -> str:
        return _encode_canonical(self.source)


@dataclass(frozen=True, slots=True)
class _Track:
    kind: str  # a key of the word tables
    segments: tuple[_Segment, ...]


_KINDS = {0: "video", 1: "audio", 7: "text"}
_NAMES = ("title", "name", "text", "content")
_TEXT_NAMES = ("text", "content", "title", "name")


def _read(draft: Draft | None) -> list[_Track]:
    tracks = []
    for track in _list_tracks(draft):
        kind = _find_kind(track)
        tracks.append(_Track(kind, tuple(_list_segments(track, kind))))
    return tracks


def _find_kind(track: Mapping[str, Any]) -> str:
    kind = _read_number(track.get("tt"))
    return _KINDS.get(int(kind), "other") if kind is not None and kind.is_integer() else "other"


def _list_segments(track: Mapping[str, Any], kind: str) -> Iterator[_Segment]:
    """The segments in their order; one without a start begins where the one before it ended."""
    end = 0.0
    for value in _encode_sequence(track.get("sg")):
        source = _encode_mapping(value)
        own, length = _read_number(source.get("st")), _read_number(source.get("d"))
        start = end if own is None else own
        end = start + max(length or 0.0, 0.0)
        yield _Segment(source, kind, start, own is not None, end)


_JOINER = "\u200d"  # joins emoji to one
_UNSHOWN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def _to_plain(value: Any) -> str:
    """A title on one line: no control or direction characters, bounded."""
    if not isinstance(value, str):
        return ""
    text = value[: MAX_TITLE * 8]
    if not text.isprintable():
        text = "".join(
            c if c == _JOINER or unicodedata.category(c) not in _UNSHOWN else " " * c.isspace() for c in text
        )
    text = " ".join(text.split()).strip(_JOINER)
    return text if len(text) <= MAX_TITLE else text[: MAX_TITLE - 1].rstrip(f" {_JOINER}") + "…"


# --- Words --------------------------------------------------------------------------------------------------------


def _load_words(lang: str) -> dict[str, str]:
    return TIMELINE_WORDS["zh" if lang.casefold().startswith("zh") else "en"]


def summarize_timeline(draft: Draft | None, lang: str = "en") -> str:
    """The timeline in one line, for people; Chinese for `zh...`, else English.

    `Timeline (2 tracks): 1. Video: city timelapse (0-10s) 2. BGM: Lo-fi (0-10s, 35%)`. Several segments of a track
    stand in their order; long titles and long lists are cut, so the line is bounded.
    """
    words = _load_words(lang)
    tracks = _read(draft)
    parts = [words["track" if len(tracks) == 1 else "tracks"].format(n=len(tracks))]
    for number, track in enumerate(tracks[:_MAX_TRACKS], 1):
        shown = [_describe_segment(segment, track.kind, words) for segment in track.segments[:_MAX_SEGMENTS]]
        if len(track.segments) > _MAX_SEGMENTS:
            shown.append(words["more"].format(n=len(track.segments) - _MAX_SEGMENTS))
        form = "empty" if not shown else "unnamed" if shown[0][0] in "(（" else "named"
        parts.append(f"{number}. " + words[form].format(kind=words[track.kind], list=words["comma"].join(shown)))
    if len(tracks) > _MAX_TRACKS:
        parts.append("…")
    return parts[0] + words["space"] + " ".join(parts[1:]) if tracks else parts[0].rstrip(":：")


def _describe_segment(segment: _Segment, kind: str, words: Mapping[str, str]) -> str:
    """`city timelapse (0-10s)`, `"Urban Dreams" (0-3s)`: what is known of a segment."""
    title = words["quoted"].format(title=segment.title) if segment.title and kind == "text" else segment.title
    facts = []
    if segment.length > 0:
        facts.append(words["span"].format(start=_format_seconds(segment.start), end=_format_seconds(segment.end)))
    if segment.volume is not None:
        facts.append(_format_percent(segment.volume))
    if not facts:
        return title or "?"
    times = words["times"].format(facts=words["comma"].join(facts))
    return (title + times).strip()


def _format_seconds(ms: float) -> str:
    text = f"{ms / 1000:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _format_percent(volume: float) -> str:
    return f"{round(volume * 100)}%"


def _format_size(value: tuple[int, int]) -> str:
    return f"{value[0]}x{value[1]}"


@dataclass(frozen=True)
class Bar:
    """A segment as it is drawn: its place in ms, its title (`""` if it has none), its times and loudness in words."""

    start: float
    end: float
    title: str
    times: str


@dataclass(frozen=True)
class BarTrack:
    """A track as it is drawn; `kind` is `video`, `audio`, `text` or `other`."""

    kind: str
    bars: tuple[Bar, ...]

    def name(self, lang: str = "en") -> str:
        """What people call such a track."""
        return _load_words(lang)[self.kind]


def list_bars(draft: Draft | None, most: int = 200) -> Iterator[BarTrack]:
    """Tracks and their first `most` segments in their order, for drawing; read as they are asked for."""
    for track in _list_tracks(draft):
        kind = _find_kind(track)
        yield BarTrack(kind, tuple(map(_bar, islice(_list_segments(track, kind), most))))


def format_track_count(draft: Draft | None, lang: str = "en") -> str:
    """`Timeline (3 tracks)`."""
    count = len(_list_tracks(draft))
    return _load_words(lang)["track" if count == 1 else "tracks"].format(n=count).rstrip(":：")


def _bar(segment: _Segment) -> Bar:
    loud = "" if segment.volume is None else f", {_format_percent(segment.volume)}"
    return Bar(
        segment.start,
        segment.end,
        segment.title,
        f"{_format_seconds(segment.start)}-{_format_seconds(segment.end)}s{loud}",
    )


# --- What changed -------------------------------------------------------------------------------------------------


def describe_changes(before: Draft | None, after: Draft | None, lang: str = "en") -> str:
    """What an edit did, in plain sentences for people; `""` exactly when the canonical drafts are equal.

    Meant for edits that answer nothing. At most eight changes are named. Tracks are paired by type and order, segments
    by id, then likeness, title and order; a change that has no words of its own is told as "other settings".
    """
    if is_same(before, after):
        return ""
    words = _load_words(lang)
    changes = list(_list_changes(before, after, words)) or [words["others"]]
    if len(changes) > _MAX_CHANGES:
        changes[_MAX_CHANGES - 1 :] = [words["changes"].format(n=len(changes) - _MAX_CHANGES + 1)]
    return words["space"].join(words["sentence"].format(words=change) for change in changes)


def _list_changes(before: Draft | None, after: Draft | None, words: Mapping[str, str]) -> Iterator[str]:
    for old, new in _pair_tracks(_read(before), _read(after)):
        yield from _track_changes(old, new, words)
    was, now = read_size(before), read_size(after)
    if now is not None and was != now:
        yield words["size" if was else "size-new"].format(a=_format_size(was) if was else "", b=_format_size(now))
    old_ms, new_ms = measure_duration_ms(before), measure_duration_ms(after)
    if 0 < old_ms != new_ms:
        yield words["total"].format(a=_long(old_ms, words), b=_long(new_ms, words))


def _long(ms: float, words: Mapping[str, str]) -> str:
    return words["seconds"].format(s=_format_seconds(ms))


def _pair_tracks(before: list[_Track], after: list[_Track]) -> Iterator[tuple[_Track | None, _Track | None]]:
    """Tracks of one type, in their order: the first of one draft with the first of the other, and so on."""
    for kind in dict.fromkeys(track.kind for track in [*before, *after]):
        old = [track for track in before if track.kind == kind]
        new = [track for track in after if track.kind == kind]
        for i in range(max(len(old), len(new))):
            yield (old[i] if i < len(old) else None), (new[i] if i < len(new) else None)


def _track_changes(old: _Track | None, new: _Track | None, words: Mapping[str, str]) -> Iterator[str]:
    track = new or old
    if track is None:
        return
    kind = track.kind
    before, after = (old.segments if old else ()), (new.segments if new else ())
    if not before and not after and (old is None or new is None):
        yield words["track-removed" if new is None else "track-added"].format(kind=words[kind])
    pairs = _pair_segments(before, after)
    changes: list[str] = []
    moves: list[str] = []
    for a, b in ((before[i], after[j]) for i, j in pairs if i is not None and j is not None):
        if a.raw == b.raw:
            continue
        if said := list(_segment_changes(a, b, kind, words)):
            changes += said
        elif a.start != b.start and (a.placed or b.placed):
            moves.append(_describe_change("moved", b, kind, words, _long(a.start, words), _long(b.start, words)))
        else:
            changes.append(words["settings"].format(what=_describe_subject(b, kind, words)))
    added = [after[j] for i, j in pairs if i is None and j is not None]
    removed = [before[i] for i, j in pairs if j is None and i is not None]
    changes += [words["added"].format(what=_describe_subject(segment, kind, words, full=True)) for segment in added]
    changes += [words["removed"].format(what=_describe_subject(segment, kind, words, full=True)) for segment in removed]
    order = [j for i, j in pairs if i is not None and j is not None]
    if order != sorted(order):
        changes.append(words["order"].format(kind=words[kind]))
    # A segment that grew or went moves all that follow it: that goes without saying.
    yield from changes or moves


def _pair_segments(before: Sequence[_Segment], after: Sequence[_Segment]) -> list[tuple[int | None, int | None]]:
    """Positions of what is the same segment in both: by id, else alike, else of one title, else by order."""
    old, new = list(range(len(before))), list(range(len(after)))
    pairs: list[tuple[int | None, int | None]] = []
    for name in map(attrgetter, ("id", "raw", "title")):
        waiting: dict[str, list[int]] = {}
        for j in reversed(new):
            waiting.setdefault(name(after[j]), []).append(j)
        left = []
        for i in old:
            same = waiting.get(name(before[i])) if name(before[i]) else None
            if same:
                pairs.append((i, same.pop()))
            else:
                left.append(i)
        taken = {j for _, j in pairs}
        old, new = left, [j for j in new if j not in taken]
    both = min(len(old), len(new))
    pairs += zip(old[:both], new[:both], strict=True)
    pairs.sort(key=lambda pair: pair[0] or 0)
    return pairs + [(i, None) for i in old[both:]] + [(None, j) for j in new[both:]]


def _segment_changes(a: _Segment, b: _Segment, kind: str, words: Mapping[str, str]) -> Iterator[str]:
    if a.title != b.title and a.title and b.title:
        was, now = (words["quoted"].format(title=segment.title) for segment in (a, b))
        yield words["renamed"].format(kind=words[kind], a=was, b=now)
    if a.length != b.length and a.length and b.length:
        which = "longer" if b.length > a.length else "shorter"
        yield _describe_change(which, b, kind, words, _long(a.length, words), _long(b.length, words))
    if a.volume != b.volume and b.volume is not None:
        was = "?" if a.volume is None else _format_percent(a.volume)
        yield _describe_change("volume", b, kind, words, was, _format_percent(b.volume))


def _describe_change(what: str, segment: _Segment, kind: str, words: Mapping[str, str], was: str, now: str) -> str:
    return words[what].format(what=_describe_subject(segment, kind, words), a=was, b=now)


def _describe_subject(segment: _Segment, kind: str, words: Mapping[str, str], *, full: bool = False) -> str:
    """`Title "Urban Dreams"`, and in full also when: `Title "Urban Dreams" (0-3s)`."""
    title = words["quoted"].format(title=segment.title) if segment.title else ""
    name = f"{words[kind]}{words['space'] if title else ''}{title}"
    if not full or segment.length <= 0:
        return name
    span = words["span"].format(start=_format_seconds(segment.start), end=_format_seconds(segment.end))
    return name + words["times"].format(facts=span)

"""The lasting statement of a node: one per run, as JSON, for the browser extension and for headless readers.

Front ends since 1.54 delete progress text when a job ends, so nothing lasting is left to it. A statement goes out in
the node's `ui` (key `nemo`, beside ComfyUI's own `text`) where the node has one, else as the event `nemo.node`, to the
client of the prompt alone. Each node's run has one that says it began and one end: done, failed or cancelled.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from . import actions, host

if TYPE_CHECKING:
    from ...nemo_client import Money, Phrase, Tally, Video

EVENT: Final = "nemo.node"
HEIGHTS: Final = (480, 540, 720, 1080, 1440, 2160)
MEGABYTE: Final = 1_000_000
MOST: Final = 500
"""So many ends of nodes are kept for pages that are loaded again."""

State = Literal["running", "done", "failed", "cancelled"]


@dataclass
class Statement:
    """One node's run: what is known of it so far. `language` is the texts' (None where none was chosen).

    `facts` go out as they are: JSON only, and nothing secret. `skipped` are (number from 1, error) of items left out.
    `previews` are what the page shows of each of the videos, in their order. `notices` stand behind the line.
    """

    kind: str
    node: str = ""
    prompt: str = ""
    graph: str = ""
    state: State = "running"
    language: str | None = None
    seconds: float | None = None
    money: list[Money] = field(default_factory=list)
    videos: list[Video] = field(default_factory=list)
    previews: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    line: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    skipped: list[tuple[int, Exception]] = field(default_factory=list)
    notices: list[Phrase] = field(default_factory=list)
    count: int = 1

    def to_json(self) -> dict[str, Any]:
        """As it goes out: where it belongs, how the run stands, its words, and the facts behind them."""
        return {
            "node": self.node,
            "prompt": self.prompt,
            "graph": self.graph,
            "class": self.kind,
            "state": self.state,
            "line": self.line,
            "text": self.text,
            **self.facts,
        }

    def send(self) -> None:
        """Send it as an event, to the prompt's client; to no one where the prompt has none."""
        told = self.to_json()
        keep(told)
        host.send_to_client(EVENT, told)

    def finish(self) -> None:
        """The run went well: word what is known of it."""
        from ...nemo_client import NemoError

        self.state = "done"
        self.line = " · ".join(filter(None, [*describe_videos(self.videos, self.language), self._word_money()]))
        if self.seconds is not None:
            self.facts["seconds"] = round(self.seconds, 1)
        self.facts["items"] = self.count
        if self.videos:
            shown = [*self.previews, *[{}] * len(self.videos)]
            self.facts["videos"] = [
                _describe_file(video, preview, self.language)
                for video, preview in zip(self.videos, shown, strict=False)
            ]
        if self.skipped:
            self.facts["skipped"] = [
                {
                    "number": number,
                    "id": error.id if isinstance(error, NemoError) else "",
                    "text": self._say("progress.failed", number=number, reason=str(error)),
                }
                for number, error in self.skipped
            ]
            some = self._say("progress.some", done=self.count - len(self.skipped), total=self.count)
            self.line = " · ".join(filter(None, [some, self.line]))
        if not self.line and not self.text and self.seconds is not None:
            self.line = self._say("result.done", seconds=f"{max(self.seconds, 1):.0f}")
        if self.notices:
            self.facts["notices"] = [self._say(each.id, **each.facts) for each in self.notices]
            self.line = " · ".join([self.line, *self.facts["notices"]] if self.line else self.facts["notices"])

    def note_media(self, media: Iterable[object]) -> None:
        """Note what people are told of media that were read; errors among them are passed over."""
        found = [notice for each in media if (notice := getattr(each, "notice", None)) is not None]
        self.notices = list(dict.fromkeys([*self.notices, *found]))

    def _word_money(self) -> str:
        """What the run took, and what is left; nothing where no step of it can cost anything."""
        from ...nemo_client import Tally

        if not self.money:
            return ""
        tally = Tally(self.money)
        self.facts["money"] = {"spent": tally.total, "certainty": tally.certainty, "left": tally.left}
        return word_tally(tally, self.language)

    def cancel(self, text: str) -> None:
        """The run was stopped; `text` says what goes on."""
        self.state, self.line, self.text = "cancelled", text, ""

    def fail(self, error: Exception) -> None:
        """The run failed: what happened, what to do about it, the money, and the one action that helps."""
        self.state = "failed"
        self.facts["error"] = actions.describe_error(error, self.language)
        self.line = str(self.facts["error"]["what"])

    def _say(self, text_id: str, **facts: Any) -> str:
        from ...nemo_client import say

        return say(text_id, self.language, **facts)


_kept: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
_keeping = threading.Lock()


def keep(told: dict[str, Any]) -> None:
    """Keep a statement, in memory, in the place of what its node said before; of prompts from a page only."""
    place = (told["graph"], told["node"])
    if not told["graph"].strip("0-") or host.find_client() is None:  # zeros name no workflow
        return
    with _keeping:
        _kept.pop(place, None)
        _kept[place] = told
        while len(_kept) > MOST:
            _kept.popitem(last=False)


def find_kept(graph: str) -> list[dict[str, Any]]:
    """What the nodes of a workflow said last, the oldest first: a page that is loaded again shows it again."""
    with _keeping:
        return [told for (place, _), told in _kept.items() if place == graph]


_current: ContextVar[Statement | None] = ContextVar("nemo_statement", default=None)


def current() -> Statement:
    """The statement of the node that runs in this context; one that goes nowhere outside of any."""
    return _current.get() or Statement("")


@contextmanager
def open_statement(kind: str, language: str | None) -> Iterator[Statement]:
    """The statement of a node's run, from its start to its one end; failures and cancels are sent from here."""
    prompt, node = host.find_running_node()
    statement = Statement(kind, node, prompt, host.find_graph_id(), language=language)
    token = _current.set(statement)
    statement.send()
    try:
        yield statement
    except asyncio.CancelledError:
        if statement.state == "running":
            statement.cancel(statement._say("cancelled-beside"))
        statement.send()
        raise
    except host.get_interrupt_type():
        if statement.state == "running":
            statement.cancel(statement._say("cancelled"))
        statement.send()
        raise
    except Exception as error:
        statement.fail(error)
        statement.send()
        raise
    finally:
        _current.reset(token)


def attach(result: Any, statement: Statement) -> Any:
    """A node's result with its statement: in `ui` where there is one, else sent as an event."""
    statement.finish()
    if isinstance(result, dict) and isinstance(result.get("ui"), dict):
        told = statement.to_json()
        keep(told)
        return {**result, "ui": {**result["ui"], "nemo": [told]}}
    statement.send()
    return result


def word_tally(tally: Tally, lang: str | None) -> str:
    """What items took together, and what is left, in one sentence."""
    from ...nemo_client import say

    told = "progress.free" if tally.free else "progress.spent" if tally.left is None else "progress.spent-left"
    return say(told, lang, credits=tally.shown, left="?" if tally.left is None else f"{tally.left:g}")


def describe_videos(videos: Sequence[Video], lang: str | None) -> list[str]:
    """Length, size in pixels and bytes of what was delivered: `5 s`, `1080p`, `3.1 MB`; together, where several."""
    from ...nemo_client import say

    if not videos:
        return []
    names = list(dict.fromkeys(name_resolution(video.width, video.height) for video in videos))
    parts = [say("result.videos", lang, count=len(videos))] if len(videos) > 1 else []
    parts.append(say("progress.elapsed", lang, seconds=f"{sum(video.duration for video in videos):.3g}"))
    parts += names if len(names) == 1 else []
    parts.append(format_bytes(sum(video.size for video in videos)))
    return parts


def name_resolution(width: int, height: int) -> str:
    """A size in pixels as people call it: by its shorter side where that is a usual one."""
    shorter = min(width, height)
    return f"{shorter}p" if shorter in HEIGHTS else f"{width}×{height}"


def format_bytes(size: int) -> str:
    """So many bytes, to two figures: `3.1 MB`, `840 kB`."""
    return f"{size / MEGABYTE:.1f} MB" if size >= MEGABYTE else f"{max(round(size / 1000), 1)} kB"


def _describe_file(video: Video, shown: dict[str, Any], lang: str | None) -> dict[str, Any]:
    """A file for the page: where it is, its size, and its preview where that is another file."""
    from ...nemo_client import say

    own = host.make_view(video.path)
    preview = {name: value for name, value in shown.items() if name != "stand_in"}
    return {
        **own,
        **({"stand_in": shown["stand_in"]} if shown.get("stand_in") else {}),
        **({"preview": preview} if preview and preview != own else {}),
        "format": video.format,
        "size": video.size,
        "about": " · ".join(
            [
                say("progress.elapsed", lang, seconds=f"{video.duration:.3g}"),
                name_resolution(video.width, video.height),
            ]
        ),
        "bytes": format_bytes(video.size),
        **({"note": video.note} if video.note else {}),
    }

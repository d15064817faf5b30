"""How fast an event stream is decoded, against httpx-sse on the same bytes in the same pieces.

    python -m benchmarks.events [--smoke] [--json FILE]

The stream is made up like the backend's: short texts of an agent, tool calls, heartbeats, and now and then a state of
some kilobytes. It is cut into pieces as a socket gives them, from a fraction of an event to 64 KiB. Both sides take
bytes and give the payloads as text; reading the JSON in them is no part of it. httpx-sse gets its pieces from a
response without a network, as it is used: `EventSource.iter_sse`. Time is the processor's, not the clock's.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sys
import time
from collections.abc import Callable, Iterator

import httpx

from benchmarks._figures import Curve, Figure, main, median_of
from nemo_client._wire.sse import SseDecoder

PIECES = (64, 256, 1024, 4096, 65536)


def run(smoke: bool) -> list[Figure]:
    """Megabytes a second for each size of pieces."""
    data, runs = stream(20 if smoke else 4000), 1 if smoke else 9
    figures = []
    for size in PIECES:
        pieces = cut(data, size)
        name = f"event stream in pieces of {size} bytes"
        megabytes = len(data) / 1e6
        if importlib.util.find_spec("httpx_sse") is None:
            (seconds,) = median_of(runs, lambda pieces=pieces: busy(ours, pieces))
            note = "httpx-sse is not installed"
            figures.append(Figure(name, megabytes / seconds, None, "MB/s", ">= 1.5 x", None, note))
            continue
        if ours(pieces) != theirs(pieces):
            raise RuntimeError("the two decoders read different events")
        mine, rival = median_of(
            runs, lambda pieces=pieces: busy(ours, pieces), lambda pieces=pieces: busy(theirs, pieces)
        )
        met = rival / mine >= 1.5
        figures.append(Figure(name, megabytes / mine, megabytes / rival, "MB/s", ">= 1.5 x", met, "rival: httpx-sse"))
    return figures


def curve(smoke: bool) -> list[Curve]:
    """Seconds by the length of the stream, in pieces of 256 bytes."""
    counts = [20, 40] if smoke else [250, 500, 1000, 2000, 4000, 8000]
    times = []
    for count in counts:
        pieces = cut(stream(count), 256)
        times += median_of(1 if smoke else 5, lambda pieces=pieces: busy(ours, pieces))
    return [Curve("event stream", "events", counts, times, "s")]


def busy(decode: Callable[[list[bytes]], object], pieces: list[bytes]) -> float:
    """The processor seconds of this process that `decode` takes: there is nothing in it to wait for."""
    begin = time.process_time()
    decode(pieces)
    return time.process_time() - begin


def ours(pieces: list[bytes]) -> list[str]:
    """The payloads, by our decoder."""
    decoder = SseDecoder()
    payloads: list[str] = []
    for piece in pieces:
        payloads += decoder.feed(piece)
    return payloads


def theirs(pieces: list[bytes]) -> list[str]:
    """The payloads, by httpx-sse."""
    from httpx_sse import EventSource

    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=iter(pieces))
    return [event.data for event in EventSource(response).iter_sse()]


def stream(count: int) -> bytes:
    """`count` events, always the same."""
    chance = random.Random(1)  # noqa: S311 - the same words each time
    return b"".join(f"data: {json.dumps(event(chance), ensure_ascii=False)}\n\n".encode() for _ in range(count))


def event(chance: random.Random) -> dict[str, object]:
    """One event of the agent: mostly a few words, sometimes a tool, seldom a whole draft."""
    words = " ".join(
        chance.choices(["slow", "push-in", "towards", "the", "harbour", "at", "dawn", "镜头缓慢推进"], k=12)
    )
    kind = chance.random()
    if kind < 0.15:
        return {"type": "heartbeat"}
    if kind < 0.75:
        return {"content": {"parts": [{"text": words}], "role": "model"}, "partial": True, "author": "agent"}
    if kind < 0.97:
        call = {"id": f"call-{chance.randrange(10**9)}", "name": "add_clip", "args": {"prompt": words, "seconds": 5}}
        return {"content": {"parts": [{"functionCall": call}], "role": "model"}, "author": "agent"}
    segments = [{"start": index * 5, "text": words} for index in range(60)]
    return {"content": {"parts": []}, "actions": {"stateDelta": {"draft": {"segments": segments}}}}


def cut(data: bytes, size: int) -> list[bytes]:
    """`data` in pieces of `size` bytes."""
    return list(_pieces(data, size))


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


if __name__ == "__main__":
    sys.exit(main(run, __doc__))

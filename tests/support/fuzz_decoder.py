"""Coverage-guided fuzzing of what reads the event stream: `python -m tests.fuzz_decoder [-max_total_time=60] [CORPUS]`.

It needs atheris (`pip install atheris`), which is no dependency of the tests; without it this says so and ends.
What it finds is written to a file `crash-…`, which `python -m tests.fuzz_decoder crash-…` tries again; a find becomes
an `@example` in test_fuzz_events.py. `check` is the same property as there, for bytes alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

WIRE = Path(__file__).parent.parent / "wire" / "recordings"
DICTIONARY = (
    b"data:", b"data: ", b"\n\n", b"\r\n", b"\r", b": ", b"\xef\xbb\xbf", b'{"type":"text","content":"',
    b'"partial":true', b'{"content":{"parts":[', b'"functionCall":{"name":"a","id":"b"}',
    b'"functionResponse":{"name":"a","id":"b"}',
    b'"actions":{"stateDelta":{', b'"turnComplete":true', b'"error":"', b'"longRunningToolIds":["b"]', b"\\ud800",
)  # fmt: skip


def check(data: bytes) -> None:
    """The first byte says how the rest is cut; every cut gives the same payloads, and none of them raises."""
    from nemo_client._wire.sse import EventTooLarge, SseDecoder, parse_event
    from nemo_client._wire.turn import Turn

    step, stream = (data[0] % 31 or 1, data[1:]) if data else (1, b"")

    def decoded(width: int, limit: int) -> tuple[list[str], bool]:
        decoder, payloads = SseDecoder(limit=limit), []
        try:
            for at in range(0, len(stream), width):
                payloads += decoder.feed(stream[at : at + width])
            return payloads + decoder.close(), False
        except EventTooLarge:
            return payloads, True

    for limit in (64, 1 << 20):
        whole = decoded(len(stream) or 1, limit)
        if decoded(step, limit) != whole:
            raise AssertionError(f"cut every {step} bytes, limit {limit}: another result")
    turn = Turn()
    for payload in whole[0]:
        events = parse_event(payload)
        if not events:
            raise AssertionError("a payload without an event")
        for event in events:
            turn.add(event)
    turn.reply.encode("utf-8")


def seeds() -> list[bytes]:
    """The recorded streams, as inputs."""
    return [bytes([7]) + path.read_bytes() for path in sorted(WIRE.glob("*.sse"))]


def _quoted(word: bytes) -> str:
    """A word as libFuzzer's dictionaries hold it."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def main(arguments: list[str]) -> int:
    """Fuzz until libFuzzer's own options say to stop."""
    try:
        import atheris
    except ImportError:
        sys.stderr.write("This needs atheris: pip install atheris\n")
        return 2
    import tempfile

    with atheris.instrument_imports(include=["nemo_client"]):
        import nemo_client._safety.json_limits
        import nemo_client._wire.sse
        import nemo_client._wire.turn  # noqa: F401 - imported here to be instrumented
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "words.txt"
        words.write_text("".join(map(_quoted, DICTIONARY)))
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(seeds()):
            (corpus / f"recording-{number}").write_bytes(seed)
        own = [each for each in arguments[1:] if not each.startswith("-")]
        given = [*arguments, f"-dict={words}", *([] if any(Path(each).is_file() for each in own) else [str(corpus)])]
        atheris.Setup(given, check)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

"""How calls are answered: as the API says. Tests hand another `Behaviour` to `open`, and script faults with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .writer import Writer

if TYPE_CHECKING:
    from aiohttp import web

    from .replies import RawReply


class CallBehaviour:
    """One call, carried out and answered as the API says; a subclass says what is different about it."""

    answer: RawReply | None = None
    """Goes out in place of the endpoint's own answer."""
    carries_out: bool = False
    """Whether the endpoint does its work although `answer` replaces what it says."""
    failure: str | None = None
    """The agent's stream ends with an error event of these words, in place of the first tool's result."""
    late_stage_seconds: float | None = None
    """A generation's second stage reaches the draft so long after the end of the stream."""
    stops_unheard: bool = False
    """The agent works only as its events are taken, and stops when the client hangs up."""
    ends_whole: bool = True
    """Whether the work goes on behind a stream that `ends_after` ended."""

    async def meet(self, request: web.Request) -> web.StreamResponse | None:
        """Called before anything is done; a response is all that happens then."""
        return None

    async def prepare(self, services: Any, call: Any) -> None:
        """Called when the account is known, before the endpoint's own work."""

    def plan(self, text: str) -> Any:
        """A plan of `agent.director` for the message `text`; None leaves it to the director."""
        return None

    async def work(self, seconds: float) -> None:
        """Let the agent work for so many seconds."""
        await asyncio.sleep(seconds)

    def choose_reply(self, planned: str) -> str:
        """What the agent says behind its work, where it would say `planned`."""
        return planned

    def is_silent(self, usual: bool) -> bool:
        """Whether an edit answers without a text, where it `usual`ly would or would not."""
        return usual

    def fail(self, write: Callable[[], None], charge: Callable[[], None]) -> None:
        """What a `failure` leaves behind: `write` puts the work into the state, `charge` takes its price."""

    def sign_address(self, address: str) -> str:
        """The address of a stored file as this call tells it."""
        return address

    def change_record(self, record: Any, addresses: Any) -> None:
        """Called with the session that the state endpoint is about to show."""

    async def before_headers(self, request: web.Request, reply: Any) -> web.StreamResponse | None:
        """Called when the answer is known; a response says that it is sent, or never will be."""
        return None

    def change_response(self, response: web.StreamResponse) -> None:
        """Called before the headers go out."""

    def change_body(self, body: bytes) -> bytes:
        """The body of a JSON answer as it goes out."""
        return body

    def make_writer(self, request: web.Request, response: web.StreamResponse) -> Writer:
        """What sends the body."""
        return Writer(request, response)

    async def before_event(self, writer: Writer, number: int) -> None:
        """Called before event `number` of a stream, counted from 1."""

    def change_event(self, frame: bytes, number: int) -> bytes:
        """Event `number` of a stream as it goes out."""
        return frame

    def ends_after(self, number: int) -> bool:
        """Whether the stream ends, properly, behind event `number`."""
        return False

    async def after_events(self, writer: Writer) -> bool:
        """Called behind a stream's last event; True where the connection was closed instead of its end."""
        return False


class Behaviour:
    """How each call of one backend is answered; asked from any thread."""

    def begin_call(self, endpoint: str) -> CallBehaviour:
        """Called once for each request that reaches `endpoint`."""
        return AS_DESCRIBED


AS_DESCRIBED = CallBehaviour()

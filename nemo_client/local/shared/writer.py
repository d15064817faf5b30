"""Sending a response's body over its connection."""

from __future__ import annotations

from aiohttp import web


class Writer:
    """A response's body on its way out. Raises `ConnectionError` where the client has gone."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self.request = request
        self._response = response

    async def start(self) -> None:
        """Send the headers."""
        await self._response.prepare(self.request)

    async def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        await self._response.write(data)

    async def end(self) -> None:
        """Say that the body is complete."""
        await self._response.write_eof()

    @property
    def hung_up(self) -> bool:
        """Whether the connection has gone."""
        transport = self.request.transport
        return transport is None or transport.is_closing()


def cut_connection(request: web.Request, *, reset: bool) -> None:
    """Close the socket: in order after what was sent, or (`reset`) at once."""
    if request.transport is not None:
        request.transport.abort() if reset else request.transport.close()

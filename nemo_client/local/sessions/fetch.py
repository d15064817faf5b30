"""Fetching an upload that was given as a URL: bounded in size, time and hops, and never from a private address.

The preview fetches on behalf of the author of the workflow, so an address inside this machine or network is refused;
judged on the address that is connected to, not only on the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ..shared.replies import ApiError

FETCH_SECONDS = 60.0
FETCH_IDLE_SECONDS = 15.0
MAX_REDIRECTS = 5
MAX_URL = 4096

_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")

# Some networks answer every name with an address of this range and route it themselves.
_FAKE_IP = ipaddress.ip_network("198.18.0.0/15")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_GIVEN_OUT = ipaddress.ip_network("2000::/3")
# What one Python or another calls global: the host of a cloud's machines, relays and documentation.
_NOT_PUBLIC = [ipaddress.ip_network(each) for each in ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")]
_NOT_PUBLIC += [ipaddress.ip_network(each) for each in ("2001::/23", "3fff::/20")]


def is_public(address: str) -> bool:
    """Whether a connection to `address` (an IP literal) leaves this machine and its network."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64 or ip in _LOCAL_NAT64:  # with a shorter prefix of its own, a network leaves the end empty
            embedded = ipaddress.IPv4Address(ip.packed[12:] if any(ip.packed[13:]) else 0)
        if embedded is not None:
            return is_public(str(embedded))
        return ip in _GIVEN_OUT and ip.is_global and not any(ip in network for network in _NOT_PUBLIC)
    if ip in _FAKE_IP:
        return True
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_PUBLIC)


class _PublicResolver(AbstractResolver):
    """Resolves names, and refuses those that lead to a private address; only a configured proxy may be there."""

    def __init__(self) -> None:
        urls = [URL(proxy) for proxy in getproxies().values() if "//" in proxy]
        self._proxies = {((url.host or "").lower(), url.port) for url in urls}
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if (host.lower(), port) not in self._proxies:
            found = [result for result in found if is_public(result["host"])]
            if not found:
                raise OSError(None, "the address is not a public one")
        return found

    async def close(self) -> None:
        await self._resolver.close()


@asynccontextmanager
async def fetch(url: str, *, private_allowed: bool) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer to a GET of `url` (ApiError 400 when it cannot be fetched, or must not be)."""
    target = _check_address(url, private_allowed)
    for _ in range(MAX_REDIRECTS + 1):
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS, sock_read=FETCH_IDLE_SECONDS)
        resolver = None if private_allowed else _PublicResolver()
        connector = aiohttp.TCPConnector(resolver=resolver)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            try:
                async with session.get(target, allow_redirects=False, proxy=_proxy_of(target)) as response:
                    if response.status not in (301, 302, 303, 307, 308):
                        if response.status != 200:
                            raise ApiError(400, f"The URL answered with HTTP {response.status}")
                        yield response
                        return
                    location = response.headers.get("Location", "")
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
                raise ApiError(400, f"The URL could not be fetched ({type(error).__name__})") from None
        target = _check_address(str(target.join(URL(location))), private_allowed)
    raise ApiError(400, "The URL redirects too often")


def _proxy_of(target: URL) -> str | None:
    """The system's proxy for `target`. Not by `trust_env`: that would also sign in with what ~/.netrc holds."""
    proxy = getproxies().get(target.scheme)
    return proxy if proxy and not proxy_bypass(f"{target.host}:{target.port}") else None


def _check_address(url: str, private_allowed: bool) -> URL:
    try:
        target = URL(url)
        host = target.host
    except ValueError:
        raise ApiError(400, "This is not a URL") from None
    if len(url) > MAX_URL or target.scheme not in ("http", "https") or not host:
        raise ApiError(400, "Only http and https URLs can be uploaded")
    if target.user or target.password:
        raise ApiError(400, "A URL with a user name or password in it is not fetched")
    if private_allowed:
        return target
    name = host.lower().removesuffix(".")
    literal = ":" in name or _NUMBER.fullmatch(name.rpartition(".")[2])
    if name == "localhost" or name.endswith(".localhost") or (literal and not is_public(name)):
        raise ApiError(400, "The URL names a private address")
    return target

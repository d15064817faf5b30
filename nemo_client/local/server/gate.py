"""Who may talk to a server on this machine: not a web page of somebody else. Pure.

A page that a browser shows can reach loopback addresses: by a form or script of another site (cross-site post), or
through a name of its own that it lets point here (DNS rebinding). Both give themselves away in `Origin` or `Host`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Protocol

LOOPBACK = "127.0.0.1"
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/?#@\\\s]+))(?::\d{1,5})?")


class Headers(Protocol):
    """What aiohttp's headers can do: all values of a name, whatever its case."""

    def getall(self, key: str, default: Sequence[str]) -> Sequence[str]: ...


def is_allowed(headers: Headers, configured: str) -> bool:
    """Whether a request with these headers may be answered by a server told to listen on `configured`."""
    hosts = headers.getall("Host", [])
    if len(hosts) != 1 or not _is_known_host(_without_port(hosts[0]), configured.lower()):
        return False
    if any(site.strip().lower() not in ("same-origin", "none") for site in headers.getall("Sec-Fetch-Site", [])):
        return False
    return all(origin.lower() == f"http://{hosts[0]}".lower() for origin in headers.getall("Origin", []))


def _without_port(host: str) -> str:
    """The name or address in a Host header, lower case; empty where it is none."""
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]).lower() if match else ""


def _is_known_host(name: str, configured: str) -> bool:
    if name == "localhost" or (name and name == configured):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    # A rebinding page has a name; who writes an address has typed it.
    return address.is_loopback or configured in WILDCARDS


def is_loopback(host: str) -> bool:
    """Whether `host`, as given to the server, is this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

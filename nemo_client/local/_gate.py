"""Who may talk to a server on this machine: not a web page of somebody else. Pure.

A page that a browser shows can reach loopback addresses: by a form or script of another site (cross-site post), or
through a name of its own that it lets point here (DNS rebinding). Both give themselves away in `Origin` or `Host`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

WILDCARDS = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened on


def allowed(headers: Mapping[str, str], configured: str) -> bool:
    """Whether a request with these headers may be answered by a server told to listen on `configured`."""
    host = headers.get("Host", "")
    if not _known_host(_without_port(host), configured.lower()):
        return False
    if headers.get("Sec-Fetch-Site", "same-origin") in ("cross-site", "same-site"):
        return False
    origin = headers.get("Origin")
    return origin is None or origin.lower() == f"http://{host}".lower()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _known_host(name: str, configured: str) -> bool:
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

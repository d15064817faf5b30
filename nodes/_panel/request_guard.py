"""Who may call the /nemo routes: not a web page of somebody else. Pure.

Any page that a browser shows can reach this machine: by a request to another site (which its headers tell), or under
a name of its own that it lets point here (DNS rebinding). The second looks like the same site in every header but
`Host`, so a server that listens on this machine alone answers only to names that a stranger cannot own: those of
loopback, addresses (no DNS answers for them), and names whose page came over TLS, which a proxy with that name's
certificate must have ended. Who listens for others is reached under names that cannot be known here; NEMO_HOSTS names
them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

HEADER: Final = "X-NemoVideo"
"""Sent with whatever acts: no form can send it, and no page of another site without being asked about it first."""

_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/?#@\\\s]+))(?::(\d{1,5}))?")


class Headers(Protocol):
    """What aiohttp's headers can do: all values of a name, whatever its case."""

    def getall(self, key: str, default: Sequence[str]) -> Sequence[str]: ...


def check_request(headers: Headers, *, acts: bool, listens: str, hosts: Collection[str] = ()) -> str:
    """The id of what is wrong with a request, empty where nothing is.

    `listens` is what the server was told to listen on, addresses with commas between them; `hosts` are the names
    that it may be reached by.
    """
    sites = [site.strip().lower() for site in headers.getall("Sec-Fetch-Site", [])]
    origins = headers.getall("Origin", [])
    given = headers.getall("Host", [])
    host = given[0] if len(given) == 1 else ""
    if any(site not in ("same-origin", "none") for site in sites):
        return "origin-foreign"
    if not all(_is_origin_of(origin, host) for origin in origins):
        return "origin-foreign"
    over_tls = "same-origin" in sites or any(urlsplit(origin).scheme == "https" for origin in origins)
    if not _is_ours(host, only_here=_only_here(listens), hosts=hosts, over_tls=over_tls):
        return "host-foreign"
    return "header-missing" if acts and not headers.getall(HEADER, []) else ""


def _is_ours(host: str, *, only_here: bool, hosts: Collection[str], over_tls: bool) -> bool:
    """Whether a Host header is a name that may be ours (see the module)."""
    name = parse_host_name(host)
    if not name or is_loopback(name) or _is_address(name) or name in {each.strip().lower() for each in hosts}:
        return bool(name)
    if over_tls:  # browsers send Sec-Fetch-Site over TLS and to loopback only, and no page can make up an Origin
        return True
    return not only_here and not hosts


def _only_here(listens: str) -> bool:
    """Whether no other machine can reach a server that listens there."""
    return all(is_loopback(each.strip().strip("[]").lower()) for each in listens.split(",") if each.strip())


def is_loopback(name: str) -> bool:
    """Whether a host's name or address means the machine that asks."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def parse_host_name(host: str) -> str:
    """The name or address in a Host header, lower case; empty where it is none."""
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]).lower() if match else ""


def _is_origin_of(origin: str, host: str) -> bool:
    """Whether host and port agree, where a port that is not written is the scheme's own."""
    try:
        page, here = urlsplit(origin), urlsplit(f"//{host}")
        usual = {"http": 80, "https": 443}.get(page.scheme)
        return (
            bool(page.hostname)
            and usual is not None
            and ((page.hostname, page.port or usual) == (here.hostname, here.port or usual))
        )
    except ValueError:
        return False

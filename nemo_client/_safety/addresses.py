"""Addresses: which network one belongs to, and which host a URL names. Pure.

The kinds follow the IANA registries of special-purpose addresses (RFC 6890, updated by RFC 8190), written out here
because `ipaddress` answers differently from one Python to the next. An IPv6 address that carries an IPv4 one is of the
kind of that one: IPv4-mapped (RFC 4291), translated (RFC 2765), 6to4 (RFC 3056) and NAT64 (RFC 6052, RFC 8215).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, Literal, NamedTuple

Kind = Literal["public", "loopback", "private", "shared", "link-local", "unspecified", "multicast", "reserved"]
Address = IPv4Address | IPv6Address

LIVABLE: Final = frozenset({"loopback", "private", "shared", "link-local"})
"""Kinds that a backend of the user's own can live at; nothing is ever fetched from the others but `public`."""

_V4: Final[tuple[tuple[str, Kind], ...]] = (
    ("198.18.0.0/15", "public"),  # RFC 2544, for benchmarks: some networks answer every name from it, and route it
    ("0.0.0.0/8", "unspecified"),  # RFC 791; on Linux it is this machine
    ("10.0.0.0/8", "private"),  # RFC 1918
    ("100.64.0.0/10", "shared"),  # RFC 6598, carrier-grade NAT
    ("127.0.0.0/8", "loopback"),  # RFC 1122
    ("168.63.129.16/32", "link-local"),  # the host of a virtual machine in one vendor's cloud
    ("169.254.0.0/16", "link-local"),  # RFC 3927; clouds keep their metadata there
    ("172.16.0.0/12", "private"),  # RFC 1918
    ("192.0.0.0/24", "reserved"),  # RFC 6890
    ("192.0.2.0/24", "reserved"),  # RFC 5737, documentation
    ("192.88.99.0/24", "reserved"),  # RFC 7526, 6to4 relays of old
    ("192.168.0.0/16", "private"),  # RFC 1918
    ("198.51.100.0/24", "reserved"),  # RFC 5737
    ("203.0.113.0/24", "reserved"),  # RFC 5737
    ("224.0.0.0/4", "multicast"),  # RFC 5771
    ("240.0.0.0/4", "reserved"),  # RFC 1112, and RFC 919 for its last one
)
_V6: Final[tuple[tuple[str, Kind], ...]] = (
    ("::/128", "unspecified"),  # RFC 4291
    ("::1/128", "loopback"),  # RFC 4291
    ("fc00::/7", "private"),  # RFC 4193
    ("fe80::/10", "link-local"),  # RFC 4291
    ("fec0::/10", "private"),  # RFC 3879, site-local of old
    ("ff00::/8", "multicast"),  # RFC 4291
    ("2001::/23", "reserved"),  # RFC 2928: Teredo (RFC 4380), benchmarks, ORCHID
    ("2001:db8::/32", "reserved"),  # RFC 3849, documentation
    ("3fff::/20", "reserved"),  # RFC 9637, documentation
    ("2000::/3", "public"),  # RFC 4291: all that was ever given out
)

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
# RFC 6052, by the length of the prefix: where the four bytes stand, and from where on the rest is zero.
_SPREAD: Final = (((6, 7, 9, 10), 11), ((7, 9, 10, 11), 12), ((9, 10, 11, 12), 13), ((12, 13, 14, 15), 16))


def classify_address(address: Address | str) -> Kind:
    """The kind of an IP address; of several that it may carry, the first that is not public."""
    found = parse_literal_address(address) if isinstance(address, str) else address
    if found is None:
        return "reserved"
    if isinstance(found, IPv4Address):
        return next((kind for network, kind in _classify_v4() if found in network), "public")
    carried = list(_list_carried_addresses(found))
    if carried:
        return next((kind for kind in map(classify_address, carried) if kind != "public"), "public")
    return next((kind for network, kind in _classify_v6() if found in network), "reserved")


@cache
def _classify_v4() -> list[tuple[IPv4Network, Kind]]:
    return [(IPv4Network(text), kind) for text, kind in _V4]


@cache
def _classify_v6() -> list[tuple[IPv6Network, Kind]]:
    return [(IPv6Network(text), kind) for text, kind in _V6]


def _list_carried_addresses(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address may stand for; none for an ordinary one."""
    packed = address.packed
    if address in _MAPPED or address in _TRANSLATED or address in _NAT64:
        yield IPv4Address(packed[12:])
    elif address in _SIX_TO_FOUR:
        yield IPv4Address(packed[2:6])
    elif address in _LOCAL_NAT64:  # each network chooses the length of its prefix: every one that is possible counts
        readings = [bytes(packed[at] for at in places) for places, end in _SPREAD if not any(packed[end:])]
        yield from map(IPv4Address, [each for each in readings if any(each)] or [bytes(4)])


def parse_literal_address(host: str) -> Address | None:
    """The address that a host in a URL spells out, in any way that systems accept (`127.1`, `0x7f000001`), or None."""
    text = host.strip("[]").partition("%")[0]
    try:
        return IPv6Address(text) if ":" in text else _old_style(text.removesuffix("."))
    except ValueError:
        return None


def _old_style(text: str) -> IPv4Address | None:
    """As inet_aton reads it: one to four numbers, decimal, octal or hexadecimal, the last one filling the rest."""
    parts = text.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    numbers = [int(part, 16 if part[:2] in ("0x", "0X") else 8 if part[:1] == "0" else 10) for part in parts]
    *firsts, last = numbers
    if any(number > 255 for number in firsts) or last >= 256 ** (5 - len(parts)):
        return None
    return IPv4Address(sum(number << (24 - 8 * at) for at, number in enumerate(firsts)) + last)


_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}\.?")
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-~]*)?"
)


def is_host(host: str) -> bool:
    """Whether a host in a URL (without brackets) is an address, or a name that every parser reads in one way."""
    if parse_literal_address(host) is not None:
        return "%" not in host
    last = host.removesuffix(".").rpartition(".")[2]
    return len(host) < 255 and _NAME.fullmatch(host) is not None and _NUMBER.fullmatch(last) is None


class UrlTarget(NamedTuple):
    """What an address of an API or of a web page names; `host` in lower case and without brackets."""

    scheme: str
    host: str


def parse_url_target(url: str) -> UrlTarget | None:
    """The place that `url` names, or None for all but `scheme://host:port/path` in ASCII: no user, query or fragment.

    Strict, because two parsers that read one address in two ways would send a token to an address that was not judged.
    """
    match = _URL.fullmatch(url)
    if match is None or int(match["port"] or 0) > 65535 or re.search(r"[\\?#@]", url):
        return None
    host = match["host"].strip("[]").lower()
    return UrlTarget(match["scheme"].lower(), host) if is_host(host) else None


def is_loopback(host: str | None) -> bool:
    """Whether a host in a URL is this machine, by its name (RFC 6761) or its address."""
    if not host:
        return False
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = parse_literal_address(host)
    return address is not None and classify_address(address) == "loopback"

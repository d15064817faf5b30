"""Which proxy a connection takes: `HTTPS_PROXY`, else `ALL_PROXY`, unless `NO_PROXY` names the host; or the system's.

Read as curl and Go read them, so that one setting means the same in every tool of a machine: `NO_PROXY` holds names
(which count for what is below them, too), addresses, networks (10.0.0.0/8), ports (host:8443) and `*`. A setting that
cannot be understood is one clear error, at the first connection that needs it.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import getproxies

from ..._errors import ConnectError
from ..._safety.addresses import is_host, parse_literal_address
from ..._text.messages import Phrase

SCHEMES: Final = {"http": "http", "https": "https", "socks": "socks5", "socks5": "socks5", "socks5h": "socks5"}
"""What a setting may say, and how it is spoken; through SOCKS the proxy always finds the name."""

_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080}
_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_MAX_SIGN_IN_BYTES: Final = 255  # RFC 1929


@dataclass(frozen=True)
class Proxy:
    """A proxy: how it is spoken to (`http`, `https`, `socks5`), where it is, and who signs in there."""

    scheme: str
    host: str
    port: int
    user: bytes = field(default=b"", repr=False)
    password: bytes = field(default=b"", repr=False)

    @property
    def shown(self) -> str:
        """Its address for people, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def basic(self) -> bytes:
        """User and password as HTTP's Basic scheme has them; empty where there are none."""
        return base64.b64encode(self.user + b":" + self.password) if self.user or self.password else b""


def choose_proxy(host: str, port: int) -> Proxy | None:
    """The proxy for a TLS connection to `host`, or None to go straight; a `ConnectError` where it makes no sense."""
    settings = getproxies()
    url = settings.get("https") or settings.get("all") or ""
    if not url.strip() or _is_exempt(host, port, settings.get("no", "")):
        return None
    return _parse_proxy(url.strip())


def _parse_proxy(url: str) -> Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _make_setting_error(Phrase("why.no-address")) from None
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None:
        raise _make_setting_error(Phrase("why.proxy-scheme"))
    if not is_host(host) or not url.isprintable() or port == 0 or parts.path not in ("", "/"):
        raise _make_setting_error(Phrase("why.no-address"))
    user, password = unquote_to_bytes(parts.username or ""), unquote_to_bytes(parts.password or "")
    if max(len(user), len(password)) > _MAX_SIGN_IN_BYTES:
        raise _make_setting_error(Phrase("why.sign-in-long"))
    return Proxy(scheme, host, port or _PORTS[scheme], user, password)


def _make_setting_error(reason: str) -> ConnectError:
    """Never with the setting itself, which can hold a password."""
    variable = next((name for name in _VARIABLES if os.environ.get(name)), "HTTPS_PROXY")
    return ConnectError("proxy-setting", variable=variable, reason=reason)


def _is_exempt(host: str, port: int, listed: str) -> bool:
    name = host.lower().removesuffix(".")
    return any(_matches_name(name, port, entry) for entry in re.split(r"[,\s]+", listed.lower()) if entry)


def _matches_name(name: str, port: int, entry: str) -> bool:
    entry = entry.partition("://")[2] or entry
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*):(\d+)", entry)
    if found:
        if int(found[2]) != port:
            return False
        entry = found[1]
    entry = entry.strip("[]")
    if entry == "*":
        return True
    address = parse_literal_address(name)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    domain = entry.removeprefix("*").strip(".")
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))

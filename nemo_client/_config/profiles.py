"""Profiles: where to work, with which token and which limits; the built-in ones and those of `profiles.json`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from .._errors import InputError
from .._safety.addresses import is_loopback, parse_url_target
from .._safety.confusables import looks_like
from .._safety.json_limits import BadJson, parse_json
from .._text.messages import Phrase
from .paths import clean_setting, find_home

API_URL: Final = "https://mega-api-prod.nemovideo.ai"
WEB_URL: Final = "https://nemovideo.com"

PROFILES_FILE: Final = "profiles.json"

CLOUD: Final = "nemo"
LOCAL: Final = "local preview"

STREAMS: Final = 64

_NAME: Final = re.compile(r"[\w][\w .@+-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True)
class Profile:
    """Where requests are sent, and with which token. Kept on this machine, never in a graph.

    `token_env` names the environment variable that holds the token. Only the built-in local preview is `free`, whatever
    other profiles are called. Limits are in credits, 0 = none. `streams` is how many requests are open at once; the
    others wait. `machine` is where a free profile keeps its sessions, if several machines share the journal.
    """

    name: str
    api_url: str = ""
    web_url: str = WEB_URL
    token_env: str = ""
    free: bool = False
    run_limit: int = 0
    day_limit: int = 0
    streams: int = STREAMS
    machine: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port that this profile's token may go to."""
        return parse_origin(self.api_url)

    @property
    def id(self) -> str:
        """What step keys count as this profile: name and API origin, a loopback one without its port."""
        if self.free:
            return f"local {self.machine}".rstrip()
        parts = urlsplit(self.api_url)
        place = f"{parts.scheme}://{parts.hostname}" if is_loopback(parts.hostname) else self.origin
        return f"{self.name} {place}"


def parse_origin(url: str) -> str:
    """`https://host:port` of a URL, lower case, with the default port written out."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def find_profile(name: str, directory: Path | None = None) -> Profile:
    """The profile of this name. Raises `InputError` with the known names if there is none."""
    known = list_profiles(directory)
    if not isinstance(name, str) or name not in known:  # a workflow can hold anything
        raise InputError("profile-unknown", name=str(name)[:64], names=", ".join(repr(each) for each in known))
    found = known[name]
    if not found.free:
        _check_address(found.name, found.api_url)
        _check_page(found.name, found.web_url)
    return found


def list_profiles(directory: Path | None = None) -> dict[str, Profile]:
    """All profiles by name: the cloud, the local preview, and those of `profiles.json` in the home directory."""
    known = list_built_in_profiles()
    for name, entry in read_profiles_file(find_home(directory) / PROFILES_FILE)["profiles"].items():
        if name != LOCAL and isinstance(entry, dict):
            known[name] = parse_profile(name, entry)
    return known


def list_built_in_profiles() -> dict[str, Profile]:
    """The profiles that are always there."""
    return {CLOUD: _make_cloud_profile(), LOCAL: Profile(LOCAL, free=True)}


def parse_profile(name: str, entry: Mapping[str, object]) -> Profile:
    """The profile that an entry of `profiles.json` describes; the cloud's has limits only."""
    return _with_limits(_make_cloud_profile(), entry) if name == CLOUD else _user_profile(name, entry)


def _make_cloud_profile() -> Profile:
    api = clean_setting(os.environ.get("NEMO_API_URL", "")).rstrip("/") or API_URL
    web = clean_setting(os.environ.get("NEMO_WEB_URL", "")).rstrip("/") or WEB_URL
    return Profile(CLOUD, api, web, token_env="NEMO_TOKEN")  # noqa: S106 - the variable's name, not a token


def read_profiles_file(path: Path) -> dict[str, Any]:
    """What `profiles.json` holds: `profiles` by name, and `default`, a name; an `InputError` where it is broken."""
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"profiles": {}}
    except BadJson as error:
        raise InputError(
            "profile-broken", name="*", file=path.name, reason=Phrase(error.reason_id, **error.facts)
        ) from error
    except (OSError, ValueError) as error:
        raise InputError("profile-broken", name="*", file=path.name, reason=type(error).__name__) from error
    if not isinstance(data, dict) or not isinstance(data.get("profiles"), dict):
        raise InputError("profile-broken", name="*", file=path.name, reason=Phrase("why.profiles-shape"))
    return data


def _user_profile(name: str, entry: Mapping[str, object]) -> Profile:
    if not _NAME.fullmatch(name):
        raise InputError("profile-broken", name=name[:64], file="profiles.json", reason=Phrase("why.name-characters"))
    if looks_like(name, (CLOUD, LOCAL)):
        reason = Phrase("why.name-built-in")
        raise InputError("profile-broken", name=name, file="profiles.json", reason=reason)
    api = str(entry.get("api_url", "")).strip().rstrip("/")
    _check_address(name, api)
    variable = str(entry.get("token_env", ""))
    if variable and not _VARIABLE.fullmatch(variable):
        raise InputError("profile-broken", name=name, file="profiles.json", reason=Phrase("why.token-env"))
    web = str(entry.get("web_url", "")).strip().rstrip("/") or WEB_URL
    return _with_limits(Profile(name, api, web, token_env=variable), entry)


def _with_limits(base: Profile, entry: Mapping[str, object]) -> Profile:
    limits: dict[str, Any] = {}
    for key, least in (("run_limit", 0), ("day_limit", 0), ("streams", 1)):
        value = entry.get(key, getattr(base, key))
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            text_id = "why.no-whole-number-from" if least else "why.no-whole-number"
            reason = Phrase(text_id, field=Phrase(f"limit-name.{key}") if "limit" in key else key, least=least)
            raise InputError("profile-broken", name=base.name, file="profiles.json", reason=reason)
        limits[key] = value
    return replace(base, **limits)


def _check_address(name: str, url: str) -> None:
    """https, or http on loopback only; no user-info, query or fragment."""
    if not _is_safe(url):
        raise InputError(
            "profile-broken",
            name=name,
            file=Phrase("profiles-or-api-url"),
            reason=Phrase("why.api-address"),
        )


def _check_page(name: str, url: str) -> None:
    """The web pages' address: as the API's, since a claim token goes into it."""
    if not _is_safe(url):
        raise InputError(
            "profile-broken",
            name=name,
            file=Phrase("profiles-or-web-url"),
            reason=Phrase("why.web-address"),
        )


def _is_safe(url: str) -> bool:
    place = parse_url_target(url)
    return place is not None and (place.scheme == "https" or (place.scheme == "http" and is_loopback(place.host)))

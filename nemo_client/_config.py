"""Where things are and who we are: the home directory, profiles, the client id, and redaction.

What counts: arguments, then the environment, then files, then defaults. Nothing here touches the network.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import tempfile
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ._addresses import is_loopback, place_of
from ._errors import DiskError, InputError
from ._json import BadJson, parse
from ._lookalikes import looks_like
from ._private import another_users, private_folder, private_handle
from ._secret import SHOWN, Secret, scrub

if TYPE_CHECKING:
    from filelock import FileLock

VERSION: Final = "0.1.0"
API_URL: Final = "https://mega-api-prod.nemovideo.ai"
WEB_URL: Final = "https://nemovideo.com"
SKILL: Final = "image-to-video-model-ai"

PROFILES_FILE: Final = "profiles.json"
JOURNAL_FILE: Final = "journal.sqlite3"
_DEFAULT_HOME: Final = "~/.config/nemovideo"
_AROUND_SETTINGS: Final = " \t\r\n\v\f\xa0\ufeff\u200b\"'“”‘’"

CLOUD: Final = "nemo"
LOCAL: Final = "local preview"

STREAMS: Final = 64

LOCK_SECONDS: Final = 240.0
"""Longer than a sign-up with its pauses, which another process may be at."""

_NAME: Final = re.compile(r"[\w][\w .@+-]{0,63}")
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def home(directory: str | os.PathLike[str] | None = None) -> Path:
    """The home directory (`directory`, else `NEMO_HOME`, else `~/.config/nemovideo`); not created here.

    A `DiskError` where the system knows no home of this user (a container's user that no table lists): a folder called
    `~` below the working directory would be another one from each place, and the same request be paid again there.
    """
    if directory:
        return _expand_home(os.fspath(directory))
    place = _expand_home(clean_setting(os.environ.get("NEMO_HOME", "")) or _DEFAULT_HOME)
    _check_former_home(place)
    return place


def clean_setting(text: str) -> str:
    """The value of an environment variable without what env files leave around it: quotes, blanks, line ends."""
    return text.strip(_AROUND_SETTINGS)


def _expand_home(text: str) -> Path:
    """`text` as an absolute path, with the user's home in the place of `~`; a `DiskError` where there is none."""
    expanded = os.path.expanduser(text)
    if not text.startswith("~") or os.path.isabs(expanded):
        return Path(expanded).absolute()
    left = Path(expanded).absolute()
    if (left / JOURNAL_FILE).is_file():
        raise DiskError("home-none-journal", path=text, old=left)
    raise DiskError("home-none", path=text)


def _check_former_home(place: Path) -> None:
    """A `DiskError` where earlier versions read the same settings as another folder, and the journal is there.

    They took quotes and line ends as part of `NEMO_HOME`, and `~` as a folder's name for a user without a home. An
    empty journal beside that one would pay for the same requests again.
    """
    former = {Path(os.path.expanduser(os.environ.get("NEMO_HOME") or _DEFAULT_HOME)).absolute()}
    if not os.path.isabs(os.path.expanduser("~")) or not os.environ.get("NEMO_HOME"):
        former.add(Path(_DEFAULT_HOME).absolute())
    for old in sorted(former - {place}):
        if (old / JOURNAL_FILE).is_file() and not (place / JOURNAL_FILE).exists():
            raise DiskError("home-moved", path=place, old=old, command=_moving_command(old, place))


def _moving_command(old: Path, new: Path) -> str:
    """The shell's command that moves what lies in one folder into another."""
    if os.name == "nt":
        return f'move "{old}" "{new}"' if not new.exists() else f'robocopy "{old}" "{new}" /E /MOVE /XC /XN /XO'
    if new.exists():  # then `mv` would put the folder itself into it
        return f"mv -n {_quote_for_shell(old)}/* {_quote_for_shell(new)}/"
    return f"mkdir -p {_quote_for_shell(new.parent)} && mv {_quote_for_shell(old)} {_quote_for_shell(new)}"


def _quote_for_shell(path: Path) -> str:
    """A path as a shell reads it, also one with a line end in it, which would not survive being copied."""
    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_quote_letter, text)) + "'"


def _quote_letter(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    return letter if letter.isprintable() else "".join(f"\\{byte:03o}" for byte in os.fsencode(letter))


def ensure_home(path: Path) -> Path:
    """Create the home directory, private to its owner (0700); a `DiskError` where that does not work.

    One of another user is refused: what lies in it could be replaced, and so decide where a token goes.
    """
    try:
        private_folder(path)
        with tempfile.TemporaryFile(dir=path) as file:
            foreign = another_users(path.stat(), os.fstat(file.fileno()))
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)):
            raise DiskError("disk-full", path=path) from error
        raise DiskError("home-unusable", path=path, reason=error.strerror or str(error)) from error
    if foreign:
        raise DiskError("home-unusable", path=path, reason="it belongs to another user")
    return path


def write_private(path: Path, text: str | Secret) -> None:
    """Replace `path` by a file that only its owner can read (0600), on disk before it appears."""
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            private_handle(handle)
            file.write(text.reveal() if isinstance(text, Secret) else text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)):
            raise DiskError("disk-full", path=path) from error
        raise DiskError("disk-unwritable", path=path, reason=error.strerror or str(error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def lock_of(path: Path) -> FileLock:
    """The lock that every change of `path` holds, also between processes; not acquired here."""
    from filelock import FileLock  # takes 50 ms, which ComfyUI's start does not pay

    ensure_home(path.parent)
    return FileLock(f"{path}.lock", timeout=LOCK_SECONDS, mode=0o600, thread_local=False)


def lock_failed(error: OSError, directory: Path) -> DiskError:
    """A lock that could not be had, in words."""
    reason = "it is locked" if isinstance(error, TimeoutError) else error.strerror or str(error)
    return DiskError("home-unusable", path=directory, reason=reason)


@dataclass(frozen=True)
class Profile:
    """A place to send work to. Lives on this machine's disk and in its environment, never in a graph.

    `token_env` names the environment variable that holds its token; `free` is a property of the built-in local
    backend alone, not of a name or an address. Limits are in credits, 0 = none. `streams` is how many messages are
    out at once; the others wait for their turn, planned. `machine` is where a free one keeps its sessions, if that
    is not the only place that its journal knows.
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
        return origin_of(self.api_url)

    @property
    def id(self) -> str:
        """What step keys count as this profile: name and API origin, a loopback one without its port."""
        if self.free:
            return f"local {self.machine}".rstrip()
        parts = urlsplit(self.api_url)
        place = f"{parts.scheme}://{parts.hostname}" if is_loopback(parts.hostname) else self.origin
        return f"{self.name} {place}"


def origin_of(url: str) -> str:
    """`https://host:port` of a URL, lower case, with the default port written out."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def profile(name: str, directory: Path | None = None) -> Profile:
    """The profile of that name; an `InputError` that lists the names where there is none."""
    known = profiles(directory)
    if not isinstance(name, str) or name not in known:  # a workflow can hold anything
        raise InputError("profile-unknown", name=str(name)[:64], names=", ".join(repr(each) for each in known))
    found = known[name]
    if not found.free:
        _check_address(found.name, found.api_url)
        _check_page(found.name, found.web_url)
    return found


def profiles(directory: Path | None = None) -> dict[str, Profile]:
    """All profiles by name: the cloud, the local preview, and those of `profiles.json` in the home directory."""
    known = built_in()
    for name, entry in profiles_file(home(directory) / PROFILES_FILE)["profiles"].items():
        if name != LOCAL and isinstance(entry, dict):
            known[name] = profile_of(name, entry)
    return known


def built_in() -> dict[str, Profile]:
    """The profiles that are always there."""
    return {CLOUD: _cloud(), LOCAL: Profile(LOCAL, free=True)}


def profile_of(name: str, entry: Mapping[str, object]) -> Profile:
    """The profile that an entry of `profiles.json` describes; the cloud's has limits only."""
    return _with_limits(_cloud(), entry) if name == CLOUD else _user_profile(name, entry)


def _cloud() -> Profile:
    api = clean_setting(os.environ.get("NEMO_API_URL", "")).rstrip("/") or API_URL
    web = clean_setting(os.environ.get("NEMO_WEB_URL", "")).rstrip("/") or WEB_URL
    return Profile(CLOUD, api, web, token_env="NEMO_TOKEN")  # noqa: S106 - the variable's name, not a token


def profiles_file(path: Path) -> dict[str, Any]:
    """What `profiles.json` holds: `profiles` by name, and `default`, a name; an `InputError` where it is broken."""
    try:
        data = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"profiles": {}}
    except BadJson as error:
        raise InputError("profile-broken", name="*", file=path.name, reason=str(error)) from error
    except (OSError, ValueError) as error:
        raise InputError("profile-broken", name="*", file=path.name, reason=type(error).__name__) from error
    if not isinstance(data, dict) or not isinstance(data.get("profiles"), dict):
        raise InputError("profile-broken", name="*", file=path.name, reason='expected {"profiles": {NAME: {...}}}')
    return data


def _user_profile(name: str, entry: Mapping[str, object]) -> Profile:
    if not _NAME.fullmatch(name):
        raise InputError("profile-broken", name=name[:64], file="profiles.json", reason="the name has odd characters")
    if looks_like(name, (CLOUD, LOCAL)):
        reason = "the name looks like that of a built-in profile"
        raise InputError("profile-broken", name=name, file="profiles.json", reason=reason)
    api = str(entry.get("api_url", "")).strip().rstrip("/")
    _check_address(name, api)
    variable = str(entry.get("token_env", ""))
    if variable and not _VARIABLE.fullmatch(variable):
        raise InputError("profile-broken", name=name, file="profiles.json", reason="token_env is no variable's name")
    web = str(entry.get("web_url", "")).strip().rstrip("/") or WEB_URL
    return _with_limits(Profile(name, api, web, token_env=variable), entry)


def _with_limits(base: Profile, entry: Mapping[str, object]) -> Profile:
    limits: dict[str, Any] = {}
    for key, least in (("run_limit", 0), ("day_limit", 0), ("streams", 1)):
        value = entry.get(key, getattr(base, key))
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            reason = f"{key} is no whole number" + (f" of at least {least}" if least else "")
            raise InputError("profile-broken", name=base.name, file="profiles.json", reason=reason)
        limits[key] = value
    return replace(base, **limits)


def _check_address(name: str, url: str) -> None:
    """https, or http on loopback only; no user-info, query or fragment."""
    if not _is_safe(url):
        raise InputError(
            "profile-broken",
            name=name,
            file="profiles.json or NEMO_API_URL",
            reason="its API address must be https://host (http only on this machine), without user, query or fragment",
        )


def _check_page(name: str, url: str) -> None:
    """The web pages' address: as the API's, since a claim token goes into it."""
    if not _is_safe(url):
        raise InputError(
            "profile-broken",
            name=name,
            file="profiles.json or NEMO_WEB_URL",
            reason="its web address must be https://host (http only on this machine), without user, query or fragment",
        )


def _is_safe(url: str) -> bool:
    place = place_of(url)
    return place is not None and (place.scheme == "https" or (place.scheme == "http" and is_loopback(place.host)))


def client_id(directory: Path, *, renew: bool = False) -> str:
    """This installation's id: `NEMO_CLIENT_ID`, else the kept one, else a new UUID that is kept. Not a secret."""
    given = clean_setting(os.environ.get("NEMO_CLIENT_ID", ""))
    if given:
        if not _CLIENT_ID.fullmatch(given):
            raise InputError(
                "value", name="NEMO_CLIENT_ID", value=given[:80], expected="at most 64 letters, digits, ._:-"
            )
        return given
    path = directory / "client_id"
    kept = _kept_id(path)
    if kept and not renew:
        return kept
    try:
        with lock_of(path):
            newer = _kept_id(path)
            if newer and newer != kept:  # another process was here in the meantime
                return newer
            fresh = str(uuid.uuid4())
            write_private(path, fresh + "\n")
            return fresh
    except OSError as error:
        raise lock_failed(error, directory) from error


def _kept_id(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = path.read_text(encoding="ascii").strip()
        if _CLIENT_ID.fullmatch(kept):
            return kept
    return ""


def platform(installed: Path | None = None) -> str:
    """The value of X-Skill-Platform: `SKILL_SOURCE`, else by install path, else `unknown`."""
    given = os.environ.get("SKILL_SOURCE", "").strip()
    if given:
        return re.sub(r"[^\x21-\x7e]", "", given)[:64] or "unknown"
    here = (installed or Path(__file__)).absolute()
    for folder, name in (("~/.clawhub", "clawhub"), ("~/.cursor/skills", "cursor")):
        if here.is_relative_to(os.path.expanduser(folder)):
            return name
    return "unknown"


_SECRETS: Final = (
    re.compile(r"(?i)\b(bearer\s+)[^\s\"',;]+"),
    re.compile(r"(https?://)[^\s/@\"'<>]+@"),
)
# Matches addresses without a query, too, so that a text which is one long run of addresses stays linear.
_ADDRESS: Final = re.compile(r"(https?://[^\s\"'<>?#]+)([?#][^\s\"'<>]*)?")


def redact(text: str) -> str:
    """`text` without tokens, claim tokens, user-info and the query strings of URLs (which can be signatures)."""
    text = _ADDRESS.sub(lambda found: f"{found[1]}{SHOWN}" if found[2] else found[1], scrub(text))
    for pattern in _SECRETS:
        text = pattern.sub(rf"\1{SHOWN}", text)
    return text


SENTENCE_CHARACTERS: Final = 300
_SHOWN_FROM: Final = 10_000


def shown(text: str, most: int = SENTENCE_CHARACTERS) -> str:
    """Words of the backend's as they stand in a sentence of ours: redacted, printable, on one line, clipped."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:_SHOWN_FROM]).split())
    return redact(line)[:most]


def traceback_of(error: BaseException) -> str:
    """The traceback of an error that nobody expected, for a log: redacted, since its words are somebody else's."""
    return redact("".join(traceback.format_exception(error)))

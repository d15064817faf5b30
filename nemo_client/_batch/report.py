"""The HTML page of a batch: all its videos with thumbnails, prompts and states.

One file that loads nothing from the network and works from the disk. Thumbnails are small files beside it, loaded as
they come into view, so that thousands of videos do not slow it down; a video plays in place when it is clicked.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import io
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from .._config.client_id import VERSION
from .._text.messages import say
from .._wire.upload import disk_error

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger("nemo_client")

PAGE: Final = "index.html"
PAGE_BESIDE_FOREIGN: Final = "index-videos.html"
THUMBNAILS: Final = "thumbnails"
_MAX_NAME_BYTES: Final = 200
THUMBNAIL_SIDE: Final = 320
_QUALITY: Final = 78
_EARLY_SECONDS: Final = 1.0
_MOST_PICTURES: Final = 60
_MARK: Final = f'<meta name="generator" content="nemo-video {VERSION}">'
_OURS: Final = b'<meta name="generator" content="nemo-video'
STATES: Final = ("done", "failed", "unknown", "stopped", "open")

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--good:#1a7f37;--bad:#c62828;--odd:#b26a00}
*{box-sizing:border-box}
body{margin:0;font:15px/1.45 system-ui,sans-serif}
header{padding:1.2rem 1.5rem .4rem}
h1{margin:0;font-size:1.3rem}
header p{margin:.2rem 0 0;opacity:.75}
.bar{position:sticky;top:0;z-index:1;display:flex;flex-wrap:wrap;gap:.5rem;align-items:center;padding:.6rem 1.5rem;
background:Canvas;border-bottom:1px solid var(--line)}
.pick{position:absolute;opacity:0;pointer-events:none}
.bar label{padding:.25rem .8rem;border:1px solid var(--line);border-radius:99px;cursor:pointer}
.bar input[type=search]{flex:1 1 14rem;max-width:26rem;padding:.35rem .8rem;border:1px solid var(--line);
border-radius:99px;background:Field;color:FieldText;font:inherit}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1rem;padding:1rem 1.5rem 3rem}
article{display:flex;flex-direction:column;border:1px solid var(--line);border-radius:.6rem;overflow:hidden;
content-visibility:auto;contain-intrinsic-size:15rem 19rem}
.frame{display:flex;align-items:center;justify-content:center;aspect-ratio:4/3;background:var(--soft);color:inherit;
text-decoration:none;position:relative}
.frame img,.frame video{width:100%;height:100%;object-fit:contain;display:block}
a.frame::before,a.frame::after{content:"";position:absolute;left:50%;top:50%;translate:-50% -50%}
a.frame::before{width:2.8rem;height:2.8rem;border-radius:50%;background:#0009;border:2px solid #fffc}
a.frame::after{width:.9rem;height:1.1rem;margin-left:.12rem;background:#fff;clip-path:polygon(0 0,100% 50%,0 100%)}
a.frame:focus-visible,label:focus-visible{outline:3px solid Highlight}
.pick:focus-visible+.x{outline:2px solid}
.text{padding:.6rem .8rem .8rem}
h2{margin:0;font-size:.95rem;overflow-wrap:anywhere}
.text p{margin:.25rem 0 0;overflow-wrap:anywhere}
.prompt{opacity:.8;max-height:6.2em;overflow:auto}
.state{font-size:.85rem}
.done .state b{color:var(--good)}.failed .state b{color:var(--bad)}.unknown .state b,.stopped .state b{color:var(--odd)}
.error{font-size:.85rem}
"""
_SCRIPT: Final = """
const find=document.querySelector('input[type=search]');
const cards=[...document.querySelectorAll('article')];
find.hidden=false;
find.addEventListener('input',()=>{const word=find.value.trim().toLowerCase();
for(const card of cards)card.hidden=!card.textContent.toLowerCase().includes(word)});
document.addEventListener('click',event=>{
const link=event.target.closest('a.frame');
if(!link||event.ctrlKey||event.metaKey||event.shiftKey||event.button)return;
event.preventDefault();
const box=document.createElement('div');box.className='frame';
const still=/\\.gif$/i.test(link.pathname);
const shown=document.createElement(still?'img':'video');
shown.src=link.href;
if(!still){shown.controls=true;shown.autoplay=true;shown.loop=true;shown.playsInline=true;
shown.addEventListener('error',()=>{location.href=link.href})}
box.append(shown);link.replaceWith(box)});
"""


def write_page(folder: Path, lines: Iterable[Mapping[str, Any]], note: str, lang: str) -> Path:
    """Write the page of these result lines, in their order, into `folder`; its path. Blocks.

    A file of that name that a batch did not write stays, and the page gets another name.
    """
    path = folder / PAGE
    if path.exists() and not _is_ours(path):
        path = folder / PAGE_BESIDE_FOREIGN
    handle, name = -1, ""
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".nemo-page.")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.writelines(render_page(folder, list(lines), note, lang))
        with contextlib.suppress(OSError):  # shares and disks of other systems have no such modes
            os.chmod(name, 0o666 & ~_read_umask())
        os.replace(name, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise disk_error(error, path) from error
    return path


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _OURS in file.read(2048)
    except OSError:
        return False


def render_page(folder: Path, lines: list[Mapping[str, Any]], note: str, lang: str) -> Iterable[str]:
    """The page's text, piece by piece."""
    title = html.escape(f"{say('page.title', lang)} · {folder.name}")
    yield f'<!doctype html>\n<html lang="{lang}"><head><meta charset="utf-8">{_MARK}\n'
    yield '<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
    yield f'content="{_build_policy()}">\n'
    yield f"<title>{title}</title><style>{_STYLE}{_build_filters()}</style></head>\n"
    yield f"<body><header><h1>{title}</h1><p>{html.escape(note)}</p></header>\n"
    yield from _render_choices(lines, lang)
    yield "<main>\n"
    for line in lines:
        yield _render_card(folder, line, lang)
    yield f"</main><script>{_SCRIPT}</script></body></html>\n"


def _build_policy() -> str:
    """The content security policy: only files beside the page, and the page's own script."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    here = "'self' file:"
    return (
        f"default-src 'none'; img-src {here}; media-src {here}; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def _build_filters() -> str:
    """The style rules by which each choice hides the other states; works without a script."""
    hidden = [f"#show-{state}:checked~main article:not(.{state}){{display:none}}" for state in STATES]
    chosen = [
        f'#show-{state}:checked~.bar label[for="show-{state}"]{{background:CanvasText;color:Canvas}}'
        f'#show-{state}:focus-visible~.bar label[for="show-{state}"]{{outline:3px solid Highlight}}'
        for state in ("all", *STATES)
    ]
    return "\n".join([*hidden, *chosen]) + "\n[hidden]{display:none!important}\n"


def _render_choices(lines: list[Mapping[str, Any]], lang: str) -> Iterable[str]:
    """One choice for each state that occurs, with its number of items."""
    counts = {state: sum(_find_state(line) == state for line in lines) for state in STATES}
    shown = [("all", say("page.all", lang), len(lines))]
    shown += [(state, say(f"page.state.{state}", lang), count) for state, count in counts.items() if count]
    for state, _, _ in shown:
        checked = " checked" if state == "all" else ""
        yield f'<input class="pick" type="radio" name="show" id="show-{state}"{checked}>'
    labels = "".join(f'<label for="show-{state}">{html.escape(text)} {count}</label>' for state, text, count in shown)
    find = html.escape(say("page.search", lang))
    yield f'\n<div class="bar">{labels}<input type="search" hidden placeholder="{find}" aria-label="{find}"></div>\n'


def _find_state(line: Mapping[str, Any]) -> str:
    state = str(line.get("state"))
    return state if state in STATES else "open"


def _render_card(folder: Path, line: Mapping[str, Any], lang: str) -> str:
    state, name = _find_state(line), str(line.get("item", ""))
    facts = [f"<b>{html.escape(say(f'page.state.{state}', lang))}</b>"]
    if line.get("duplicate_of"):
        facts.append(html.escape(say("page.duplicate", lang, item=line["duplicate_of"])))
    if isinstance(line.get("credits"), (int, float)) and line["credits"]:
        facts.append(html.escape(say("page.credits", lang, credits=f"{line['credits']:g}")))
    if isinstance(line.get("seconds"), (int, float)) and state != "open":
        facts.append(html.escape(say("page.seconds", lang, seconds=f"{line['seconds']:.0f}")))
    words = " ".join(str(line[key]) for key in ("error", "what_to_do") if line.get(key))
    error = f'<p class="error">{html.escape(words)}</p>' if words else ""
    return (
        f'<article class="{state}">{_render_frame(folder, line, name)}<div class="text"><h2>{html.escape(name)}</h2>'
        f'<p class="prompt">{html.escape(str(line.get("prompt") or ""))}</p>'
        f'<p class="state">{" · ".join(facts)}</p>{error}</div></article>\n'
    )


def _render_frame(folder: Path, line: Mapping[str, Any], name: str) -> str:
    """The thumbnail as a link to the video; an empty frame where there is none."""
    picture = locate_thumbnail(folder, name)
    image = ""
    if picture.is_file():
        image = f'<img loading="lazy" src="{_make_link(picture.relative_to(folder).as_posix())}" alt="">'
    if not line.get("video"):
        return f'<div class="frame">{image}</div>'
    label = html.escape(name, quote=True)
    return f'<a class="frame" href="{_make_link(str(line["video"]))}" title="{label}" aria-label="{label}">{image}</a>'


def _make_link(path: str) -> str:
    """A path relative to the page as a link, which never leads to another host, whatever the file's name is."""
    return html.escape("./" + quote(path, errors="surrogateescape"), quote=True)


def locate_thumbnail(folder: Path, name: str) -> Path:
    """The path of an item's thumbnail."""
    path = PurePosixPath(name)
    if len(path.name.encode("utf-8", "replace")) > _MAX_NAME_BYTES:  # of any length, and what is added to it
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        short = path.name.encode("utf-8", "replace")[: _MAX_NAME_BYTES - 20].decode("utf-8", "ignore")
        path = path.with_name(f"{short}-{digest}")
    return folder / THUMBNAILS / f"{path}.jpg"


def make_thumbnail(folder: Path, name: str, video: Path) -> bool:
    """Make the thumbnail of an item from an early frame of its video; whether that worked. Blocks."""
    import av

    target = locate_thumbnail(folder, name)
    try:
        with av.open(str(video), options={"protocol_whitelist": "file"}) as container:
            image = _pick_early_picture(container).to_image()
        image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        out = io.BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=_QUALITY)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        part.write_bytes(out.getvalue())
        part.replace(target)
    except (av.FFmpegError, OSError, StopIteration, IndexError, ValueError) as error:
        logger.debug("no thumbnail of %s (%s)", name, type(error).__name__)
        return False
    return True


def _pick_early_picture(container: InputContainer) -> Any:  # PyAV's frames are typed in parts only
    """The frame after a third of the video or one second, whichever comes first: many videos fade in from black."""
    until = min(_EARLY_SECONDS, (container.duration or 0) / 3_000_000)
    frames = container.decode(container.streams.video[0])
    picture = next(frames)
    for _, frame in zip(range(_MOST_PICTURES), frames, strict=False):
        if (picture.time or 0.0) >= until:
            break
        picture = frame
    return picture

"""The only module that imports ComfyUI: interrupts, progress, directories, VIDEO.

Everything is imported inside functions, so that the pack loads, and its nodes run in tests, without ComfyUI.
Call the progress functions from the node's own coroutine only: each looks at the interrupt flag and clears it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import logging
import os
import re
import sys
import time
from abc import ABC
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ... import nemo_client

if TYPE_CHECKING:
    from ...nemo_client import Destination

logger = logging.getLogger("nemo_client")

BAR_STEPS: Final = 1000


def require_comfyui() -> None:
    """Refuse, with words, a ComfyUI that is older than async nodes and the VIDEO type."""
    if "folder_paths" not in sys.modules:  # not inside ComfyUI
        return
    for module in ("comfy_execution.utils", "comfy_api.input_impl"):
        try:
            found = importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):
            found = module in sys.modules
        if not found:
            raise nemo_client.InputError("comfyui-too-old", missing=module)


def is_interrupted() -> bool:
    """Whether the user cancelled; only looks, so that every node of the prompt can see it."""
    from comfy import model_management

    return bool(model_management.processing_interrupted())


def get_interrupt_type() -> type[BaseException]:
    """ComfyUI's own interrupt: a BaseException in new versions, an Exception in old ones."""
    from comfy import model_management

    kind: type[BaseException] = model_management.InterruptProcessingException
    return kind


def find_running_node() -> tuple[str, str]:
    """(prompt id, node id) of the node that runs in this context; empty where ComfyUI does not say."""
    from comfy_execution.utils import get_executing_context

    context = get_executing_context()
    return ("", "") if context is None else (str(context.prompt_id), str(context.node_id))


def workflow() -> str:
    """What tells the running workflow, as far as this node depends on it, from others that have a node of that id.

    A digest of the workflow's own id and of all inputs of the node and of those before it: with other inputs the node
    runs anyway, and what was delivered then is not what it would deliver now. Empty where ComfyUI does not say.
    """
    prompt_id, node_id = find_running_node()
    item = _find_queued(prompt_id)
    if item is None or not isinstance(item[2], Mapping):
        return ""
    name = _read_graph_id(item)
    found = json.dumps([name, _before(item[2], node_id)], sort_keys=True, default=repr)
    return hashlib.sha256(found.encode("utf-8", "surrogatepass")).hexdigest()


def find_graph_id() -> str:
    """The id of the workflow that the running prompt was drawn as; empty where it came without one (headless)."""
    prompt_id, _ = find_running_node()
    running: dict[Any, Any] = (
        getattr(getattr(get_prompt_server(), "prompt_queue", None), "currently_running", None) or {}
    )
    item = next((each for each in list(running.values()) if len(each) > 3 and str(each[1]) == prompt_id), None)
    found = None if item is None else _read_graph_id(item)
    return found if isinstance(found, str) else ""


def _find_queued(prompt_id: str) -> Any:
    """A running prompt as ComfyUI's queue has it, (number, id, graph, extra data, …); None where it does not say."""
    queue = getattr(get_prompt_server(), "prompt_queue", None)
    running: dict[Any, Any] = getattr(queue, "currently_running", None) or {}
    return next((each for each in list(running.values()) if len(each) > 3 and str(each[1]) == prompt_id), None)


def _read_graph_id(item: Any) -> Any:
    """The id that the page gave to its workflow, of a prompt in ComfyUI's queue."""
    extra = item[3].get("extra_pnginfo") if isinstance(item[3], Mapping) else None
    drawn = extra.get("workflow") if isinstance(extra, Mapping) else None
    return drawn.get("id") if isinstance(drawn, Mapping) else None


def _before(graph: Mapping[str, Any], node_id: str) -> dict[str, Any]:
    """Class and inputs of a node and of all that it depends on, by their ids."""
    found: dict[str, Any] = {}
    todo = [node_id]
    while todo:
        each = todo.pop()
        node = graph.get(each)
        if each in found or not isinstance(node, Mapping):
            continue
        inputs = node.get("inputs") or {}
        found[each] = [node.get("class_type"), inputs]
        values = inputs.values() if isinstance(inputs, Mapping) else ()
        todo += [str(value[0]) for value in values if isinstance(value, (list, tuple)) and len(value) == 2]
    return found


class Display:
    """The bar and the line of text under one node."""

    def __init__(self, node_id: str) -> None:
        from comfy.utils import ProgressBar

        self._node_id = node_id
        self._bar = ProgressBar(BAR_STEPS, node_id=node_id or None)
        self._shown = 0
        self._text = ""

    def show(self, text: str, fraction: float) -> None:
        """Show `text` and move the bar forward to `fraction` (0..1); may raise ComfyUI's interrupt."""
        if find_client() is None:
            return
        steps = min(int(fraction * BAR_STEPS), BAR_STEPS)
        if text != self._text:
            self._text = text
            send_text(text, self._node_id)
        if steps > self._shown:
            self._shown = steps
            self._bar.update_absolute(steps)


def get_prompt_server() -> Any:
    """ComfyUI's server; None where there is none."""
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


def read_listen_setting() -> str:
    """What ComfyUI was told to listen on: addresses with commas between them; its default where it does not say."""
    from comfy.cli_args import args

    return str(getattr(args, "listen", None) or "127.0.0.1")


def send_event(name: str) -> None:
    """Tell all browsers that something happened, from any thread."""
    server = get_prompt_server()
    if server is not None:
        server.send_sync(name, {}, None)


def find_client() -> str | None:
    """The client that queued the running prompt; None for one that named none, which is sent to no client.

    What ComfyUI sends to None goes to every browser, and would land on nodes of the same number in any open graph.
    """
    found = getattr(get_prompt_server(), "client_id", None)
    return found if isinstance(found, str) and found else None


def send_text(text: str, node_id: str) -> None:
    """A line of text under the node, for the client that queued the prompt."""
    client = find_client()
    if client is not None and node_id:
        get_prompt_server().send_progress_text(text, node_id, client)


def send_to_client(name: str, data: Mapping[str, Any]) -> None:
    """Send an event to the client that queued the prompt, and to no other."""
    client = find_client()
    if client is not None:
        get_prompt_server().send_sync(name, dict(data), client)


_locale: tuple[float, str] = (0.0, "")
_PAGES_NOTED: Final = 200
_page_languages: dict[str, str] = {}


def note_page_language(page: str) -> None:
    """Remember the language of a browser's page: `CLIENT LOCALE`, as its requests name them; what is odd forgets it."""
    client, _, locale = page.partition(" ")
    _page_languages.pop(client, None)
    if not 0 < len(client) <= 64 or not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z]{2,8}){0,2}", locale):
        return
    _page_languages[client] = locale
    if len(_page_languages) > _PAGES_NOTED:
        del _page_languages[next(iter(_page_languages))]


def find_page_language() -> str:
    """The language chosen in ComfyUI's settings, else that of the page which queued the prompt; empty if unknown.

    The front end stores its language only where it is not the browser's own.
    """
    return _read_chosen_language() or _page_languages.get(find_client() or "", "")


def _read_chosen_language() -> str:
    import folder_paths

    global _locale
    path = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
    try:
        changed = path.stat().st_mtime
        if changed != _locale[0]:
            chosen = json.loads(path.read_text(encoding="utf-8")).get("Comfy.Locale")
            _locale = (changed, chosen if isinstance(chosen, str) else "")
    except (OSError, ValueError, AttributeError):
        return ""
    return _locale[1]


def make_blocker() -> Any:
    """What keeps everything behind an output from running, silently."""
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(None)


def make_video(path: Path) -> Any:
    """A native VIDEO that reads from the file, and that Save Video can save."""
    from comfy_api.input_impl import VideoFromFile

    kind: Any = _subclass_for_gif(VideoFromFile) if path.suffix.lower() == ".gif" else VideoFromFile
    return kind(str(path))


@functools.cache
def _subclass_for_gif(base: Any) -> Any:
    """ComfyUI's VideoFromFile for a GIF: with format "auto" Save Video copies the stream into mp4, which takes none."""
    from comfy_api.util import VideoContainer

    class VideoFromGif(base):  # type: ignore[misc]
        """A GIF that is encoded where no container is asked for."""

        def save_to(self, path: Any, format: Any = VideoContainer.AUTO, *rest: Any, **more: Any) -> Any:
            """Save it: as mp4 for "auto"."""
            chosen = VideoContainer.MP4 if format == VideoContainer.AUTO else format
            return super().save_to(path, chosen, *rest, **more)

    return VideoFromGif


_SENT_AS_IS: Final = (".mp4", ".mov", ".webm", ".mkv", ".avi")


def find_video_file(video: Any, folder: Path) -> tuple[Path, Path]:
    """A VIDEO as a file, and the folder it lies in: its own, if it is used whole and lies where a workflow may read.

    Else it is written into `folder`, so that from anywhere else only a video gets out, never a file's bytes. Blocks.
    """
    from comfy_api.util import VideoCodec, VideoContainer

    window = getattr(video, "get_active_trim_window", lambda: (0.0, 0.0))()
    source = video.get_stream_source() if _has_source(video) else None
    if isinstance(source, str) and source.lower().endswith(_SENT_AS_IS) and not any(window):
        found = _inside(Path(source), _folders(""))
        if found is not None:
            return found
    path = Path(os.path.realpath(folder)) / "video.mp4"
    try:
        video.save_to(str(path), format=VideoContainer.MP4, codec=VideoCodec.H264)
    except (ValueError, OSError, RuntimeError, LookupError, TypeError, find_encoder_error()) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise nemo_client.InputError("video-unusable", reason=reason) from error
    return path, path.parent


def _has_source(video: Any) -> bool:
    """Whether a VIDEO tells where it comes from; ComfyUI's abstract one would encode all of it into memory instead."""
    own = next((kind for kind in type(video).__mro__ if "get_stream_source" in vars(kind)), None)
    return own is not None and ABC not in own.__bases__


def find_encoder_error() -> type[Exception]:
    """What PyAV raises where an encoder refuses frames (an odd size, a single pixel)."""
    import av

    return av.FFmpegError


def is_address(source: str) -> bool:
    """Whether a source is a web address, not a file."""
    return re.match(r"\s*https?://", source, re.IGNORECASE) is not None


def find_readable_file(source: str) -> tuple[Path, Path]:
    """A file that a workflow may name, and the folder it lies in: ComfyUI's input, output, temp, a NEMO_ALLOWED_DIRS.

    `name.mp4`, `name.mp4 [output]` and whole paths are understood, with quotes or backslashes around and in them. An
    `InputError` for everything else, links that lead out of these folders included: a workflow comes from a stranger.
    Both are real paths; open the file below the folder only (`from_file`), as a link may be put there meanwhile.
    """
    from . import paths

    text = paths.pasted(source)
    annotated = _ANNOTATED.fullmatch(text)
    name, kind = (annotated[1], annotated[2]) if annotated else (text, "")
    folders = _folders(kind)
    for candidate in _candidates(name, folders):
        found = _inside(candidate, folders)
        if found is not None:
            return found
    raise nemo_client.InputError("source-outside", name=paths.display_file_name(name))


def _inside(candidate: Path, folders: list[Path]) -> tuple[Path, Path] | None:
    """The real file, and the one of the folders that it lies in."""
    with contextlib.suppress(OSError, ValueError):  # a name that no file can have
        real = Path(os.path.realpath(candidate))
        for folder in folders:
            if real.is_relative_to(folder) and real.is_file():
                return real, folder
    return None


def stamp_file(source: str) -> str:
    """Time and size of the file behind a source, for IS_CHANGED; empty where there is none."""
    if not source.strip() or is_address(source):
        return ""
    try:
        info = find_readable_file(source)[0].lstat()
    except (nemo_client.InputError, OSError, ValueError):
        return ""
    return f"{info.st_mtime_ns} {info.st_size}"


_ANNOTATED: Final = re.compile(r"(.*?)\s*\[(input|output|temp)\]")


def _folders(kind: str) -> list[Path]:
    """The real folders that files may come from: one of ComfyUI's by its name, else all."""
    import folder_paths

    found = {
        "input": folder_paths.get_input_directory(),
        "output": folder_paths.get_output_directory(),
        "temp": folder_paths.get_temp_directory(),
    }
    if kind:
        return [Path(os.path.realpath(found[kind]))]
    allowed = [part for part in os.environ.get("NEMO_ALLOWED_DIRS", "").split(os.pathsep) if part.strip()]
    return [Path(os.path.realpath(os.path.expanduser(folder.strip()))) for folder in [*found.values(), *allowed]]


def _candidates(name: str, folders: list[Path]) -> Iterator[Path]:
    """Where a name may lie: as it stands, and with the backslashes of Windows read as folders."""
    from . import paths

    for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
        if "\0" in spelling or (sys.platform == "win32" and paths.means_no_file(spelling)):
            continue
        for folder in folders:
            found = folder / spelling  # an absolute spelling stands for itself
            if not paths.is_share(found) or found.drive in (each.drive for each in folders):
                yield found


def check_home() -> None:
    """Refuse a home directory that browsers could read through ComfyUI."""
    import folder_paths

    from ...nemo_client import home

    here = Path(os.path.realpath(home()))
    served = [
        folder_paths.get_input_directory(),
        folder_paths.get_output_directory(),
        folder_paths.get_temp_directory(),
        *getattr(sys.modules.get("nodes"), "EXTENSION_WEB_DIRS", {}).values(),
    ]
    inside = any(_below(here, folder) is not None for folder in served)
    users = _below(here, folder_paths.get_user_directory())
    if inside or (users is not None and not (users and users[0].startswith("__"))):
        raise nemo_client.DiskError("home-served", path=home())


def _below(path: Path, folder: str) -> tuple[str, ...] | None:
    """The parts of a real path below a folder, None where it is not; by the folder itself, not by how it is spelled.

    A name in another case, or a mount of it elsewhere, is the same folder.
    """
    for depth, each in enumerate((path, *path.parents)):
        with contextlib.suppress(OSError):
            if os.path.samefile(each, folder):
                return path.parts[len(path.parts) - depth :]
    real = Path(os.path.realpath(folder))  # one that is not there yet
    return path.relative_to(real).parts if path.is_relative_to(real) else None


def read_workflow_tags(graph: Any, extra: Any) -> dict[str, str]:
    """What ComfyUI's own Save Video writes into a file: the prompt and the workflow; nothing if that is disabled.

    `graph` and `extra` are the hidden inputs PROMPT and EXTRA_PNGINFO.
    """
    from comfy.cli_args import args

    if getattr(args, "disable_metadata", False):
        return {}
    found = {**(extra if isinstance(extra, dict) else {}), "prompt": graph}
    tags = {str(name): _tag(value) for name, value in found.items() if value is not None}
    return {name: tag for name, tag in tags.items() if tag}


def _tag(value: object) -> str:
    """A value as JSON that browsers can read, too: NaN (an IS_CHANGED that never rests) becomes null.

    Empty where another node put something there that JSON does not hold: a tag is no reason to fail.
    """
    try:
        return json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None), ensure_ascii=True)
    except (TypeError, ValueError, RecursionError) as error:
        logger.warning("a part of the workflow is not written into the video (%s)", type(error).__name__)
        return ""


def make_destination(
    prefix: str, tags: Mapping[str, str] | None = None, graph: Any = None, *, judged: bool = False
) -> Destination:
    """Where files of that prefix go: inside ComfyUI's output folder, its tokens filled in, cleaned as names are.

    `graph` is the hidden input PROMPT, from which `%Node.widget%` is filled in; `judged` before it is known. `%width%`
    and `%height%` are left for the time when the video is there.
    """
    import folder_paths

    from ...nemo_client import Destination
    from . import paths, tokens

    output = Path(os.path.abspath(folder_paths.get_output_directory()))
    plain = prefix.strip().strip("\"'").replace("\\", "/")
    given = tokens.NODE_TOKEN.sub("x", plain) if judged else tokens.fill_node_tokens(plain, graph)
    filled = paths.clean_prefix(tokens.fill_tokens(given, time.localtime()))
    if paths.is_odd_prefix(filled):
        raise nemo_client.InputError("prefix-odd", prefix=prefix[:120])
    relative = os.path.normpath(filled)
    folder = Path(os.path.abspath(output / os.path.dirname(relative)))
    stem = os.path.basename(relative)
    root = find_output_root(folder, output) if folder.is_relative_to(output) else None
    if root is None:
        setting = OUTPUT_ROOTS
        raise nemo_client.InputError("prefix-outside", prefix=prefix[:120], setting=setting)
    if "%width%" in str(folder) or "%height%" in str(folder):  # known only when the folder holds the video already
        raise nemo_client.InputError("prefix-odd", prefix=prefix[:120])
    return Destination(folder, stem, tags=tags or {}, root=root)


OUTPUT_ROOTS: Final = "NEMO_OUTPUT_ROOTS"
"""Folders on the server, separated as in PATH, into which a link that stands in the output folder may lead."""


def find_output_root(folder: Path, output: Path) -> Path | None:
    """The folder that a folder below the output folder really lies in: the output folder, or one of NEMO_OUTPUT_ROOTS.

    None where a link leads elsewhere. Only links that are there already count: no name of a graph makes one.
    """
    real = Path(os.path.realpath(folder))
    allowed = [part.strip() for part in os.environ.get("NEMO_OUTPUT_ROOTS", "").split(os.pathsep) if part.strip()]
    roots = [output, *(Path(os.path.abspath(os.path.expanduser(each))) for each in allowed)]
    return next((root for root in roots if real.is_relative_to(os.path.realpath(root))), None)


def judge_prefix(prefix: Any) -> bool | str:
    """Whether a prefix can be one of a file of ours, else why not: before any node of the prompt runs, and so is paid.

    What its tokens stand for is not known yet; a linked prefix comes as None.
    """
    if not isinstance(prefix, str):
        return True
    try:
        make_destination(prefix, judged=True)
    except nemo_client.InputError as error:
        return error.text(find_page_language() or None)
    return True


def find_temp_folder() -> Path:
    """ComfyUI's folder for files that are only shown; it is emptied when ComfyUI starts."""
    import folder_paths

    return Path(os.path.abspath(folder_paths.get_temp_directory()))


def find_view(path: Path) -> dict[str, str] | None:
    """How ComfyUI's browser names a file, if it lies in the output folder. Blocks."""
    import folder_paths

    output = os.path.abspath(folder_paths.get_output_directory())
    inside = path.is_relative_to(output) and find_output_root(path, Path(output)) is not None
    return make_view(path) if inside and path.is_file() else None


def make_view(path: Path) -> dict[str, str]:
    """How ComfyUI's browser names a file of the output folder."""
    import folder_paths

    relative = path.relative_to(os.path.abspath(folder_paths.get_output_directory()))
    return {"filename": path.name, "subfolder": relative.parent.as_posix().strip("."), "type": "output"}

"""A stand-in for the few parts of ComfyUI that the nodes touch, written by hand from what ComfyUI 0.28 does.

It runs nodes as ComfyUI does: each prompt in an event loop of its own, each node in a task with its context, list
nodes with lists. What only the real thing can show is in test_real_comfyui.py.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib.util
import inspect
import sys
import types
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

PACK = Path(__file__).parent.parent.parent


class Context(NamedTuple):
    prompt_id: str
    node_id: str
    list_index: int | None


class Interrupted(BaseException):
    """ComfyUI's InterruptProcessingException (a BaseException since 2026)."""


class Blocker:
    """ComfyUI's ExecutionBlocker."""

    def __init__(self, message: str | None) -> None:
        self.message = message


class FileVideo:
    """ComfyUI's VideoFromFile."""

    def __init__(self, path: str) -> None:
        self.path = path

    def save_to(self, path: str, format: str = "auto", codec: str = "auto", metadata: Any = None) -> None:
        """As ComfyUI does it: streams are copied where no format is named, and mp4 takes none of a GIF."""
        if format == "auto" and self.path.endswith(".gif"):
            raise ValueError("'mp4' format does not support 'gif' codec")
        Path(path).write_bytes(f"{format} {codec} {metadata}".encode())


@dataclass
class Host:
    """The stand-in's state: folders, the interrupt flag, what was shown."""

    base: Path
    flag: bool = False
    texts: list[tuple[str, str]] = field(default_factory=list)
    bars: list[tuple[str | None, int]] = field(default_factory=list)
    on_text: Any = None
    client_id: str = "client"
    disable_metadata: bool = False
    listen: str = "127.0.0.1"
    routes: web.RouteTableDef = field(default_factory=web.RouteTableDef)
    events: list[tuple[str, Any, Any]] = field(default_factory=list)
    hidden: dict[str, Any] = field(default_factory=dict)  # by their kind: PROMPT, EXTRA_PNGINFO
    graph: dict[str, Any] | None = None  # the prompt that runs, as ComfyUI's queue has it; None: it does not say
    drawn: Any = None  # the workflow it was made from, EXTRA_PNGINFO
    running: dict[int, Any] = field(default_factory=dict)
    _context: contextvars.ContextVar[Context | None] = field(
        default_factory=lambda: contextvars.ContextVar("context", default=None)
    )

    @property
    def args(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(disable_metadata=self.disable_metadata, listen=self.listen)

    def folder(self, name: str) -> str:
        path = self.base / name
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def modules(self) -> dict[str, types.ModuleType]:
        """The modules that `nodes/_comfy/host.py` imports, by name."""
        host = self

        def throw() -> None:
            if host.flag:
                host.flag = False
                raise Interrupted

        class ProgressBar:
            def __init__(self, total: int, node_id: str | None = None) -> None:
                self.node_id = node_id

            def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
                throw()
                host.bars.append((self.node_id, value))

        def send_progress_text(text: str, node_id: str, sid: str | None = None) -> None:
            assert sid == host.client_id, "text must go to the client of the prompt, not to all"
            host.texts.append((node_id, text))
            if host.on_text:
                host.on_text(text)

        def module(name: str, **members: Any) -> types.ModuleType:
            made = types.ModuleType(name)
            made.__spec__ = importlib.util.spec_from_loader(name, None)
            vars(made).update(members)
            return made

        management = module(
            "comfy.model_management",
            processing_interrupted=lambda: host.flag,
            throw_exception_if_processing_interrupted=throw,
            InterruptProcessingException=Interrupted,
        )
        utils = module("comfy.utils", ProgressBar=ProgressBar)
        instance = types.SimpleNamespace(
            send_progress_text=send_progress_text,
            client_id=host.client_id,
            routes=host.routes,
            send_sync=lambda event, data, sid=None: host.events.append((event, data, sid)),
            prompt_queue=types.SimpleNamespace(currently_running=host.running),
        )
        server = types.SimpleNamespace(instance=instance)
        execution_utils = module("comfy_execution.utils", get_executing_context=lambda: host._context.get())
        graph_utils = module("comfy_execution.graph_utils", ExecutionBlocker=Blocker)
        cli_args = module("comfy.cli_args", args=host.args)
        input_impl = module("comfy_api.input_impl", VideoFromFile=FileVideo)
        util = module(
            "comfy_api.util",
            VideoCodec=types.SimpleNamespace(H264="h264"),
            VideoContainer=types.SimpleNamespace(AUTO="auto", MP4="mp4"),
        )
        return {
            "folder_paths": module(
                "folder_paths",
                get_input_directory=lambda: host.folder("input"),
                get_output_directory=lambda: host.folder("output"),
                get_temp_directory=lambda: host.folder("temp"),
                get_user_directory=lambda: host.folder("user"),
            ),
            "comfy": module("comfy", model_management=management, utils=utils, cli_args=cli_args),
            "comfy.cli_args": cli_args,
            "comfy.model_management": management,
            "comfy.utils": utils,
            "server": module("server", PromptServer=server),
            "comfy_execution": module("comfy_execution", utils=execution_utils, graph_utils=graph_utils),
            "comfy_execution.utils": execution_utils,
            "comfy_execution.graph_utils": graph_utils,
            "comfy_api": module("comfy_api", input_impl=input_impl, util=util),
            "comfy_api.util": util,
            "comfy_api.input_impl": input_impl,
        }

    def run(self, node: type[Any], node_id: str = "1", /, **inputs: Any) -> Any:
        """Run one node in a prompt of its own; what its function returns."""
        return self.prompt({node_id: (node, inputs)})[node_id]

    def run_in(self, prompt_id: str, node: type[Any], /, **inputs: Any) -> Any:
        """Run one node as a part of the prompt of that id."""
        return self.prompt({"1": (node, inputs)}, prompt_id)["1"]

    def prompt(self, nodes: dict[str, tuple[type[Any], dict[str, Any]]], prompt_id: str = "") -> dict[str, Any]:
        """Run independent nodes in one prompt, side by side; results by id. The first failure cancels the others."""
        self.flag = False
        prompt_id = prompt_id or str(uuid.uuid4())
        self._queue(prompt_id)

        async def one(node_id: str, node: type[Any], inputs: dict[str, Any]) -> Any:
            self._context.set(Context(prompt_id, node_id, None))
            wanted = node.INPUT_TYPES().get("hidden", {}) if hasattr(node, "INPUT_TYPES") else {}
            inputs = {**inputs, **{name: self.hidden.get(kind) for name, kind in wanted.items()}}
            given = {name: value if isinstance(value, list) else [value] for name, value in inputs.items()}
            result = getattr(node(), node.FUNCTION)(**(given if getattr(node, "INPUT_IS_LIST", False) else inputs))
            return await result if inspect.isawaitable(result) else result

        async def all_of_them() -> dict[str, Any]:
            tasks = {node_id: asyncio.ensure_future(one(node_id, *what)) for node_id, what in nodes.items()}
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks.values():
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error
            return {node_id: task.result() for node_id, task in tasks.items()}

        return asyncio.run(all_of_them())

    def is_changed(self, node: type[Any], node_id: str = "1", /, **constants: Any) -> Any:
        """What IS_CHANGED says: constants only, links as None, in the node's context."""

        self._queue("prompt")

        def ask() -> Any:
            self._context.set(Context("prompt", node_id, None))
            as_list = getattr(node, "INPUT_IS_LIST", False)
            return node.IS_CHANGED(**{name: [value] if as_list else value for name, value in constants.items()})

        return contextvars.copy_context().run(ask)

    def _queue(self, prompt_id: str) -> None:
        self.running.clear()
        if self.graph is not None:
            self.running[7] = (7, prompt_id, self.graph, {"extra_pnginfo": self.drawn, "client_id": "client"}, [])


def load_pack() -> types.ModuleType:
    """The pack as ComfyUI loads it: from its file, under a name that is a path with `.` replaced.

    `nemo_client` is registered under both its own name and the pack's, so that tests and nodes see one set of
    exception classes.
    """
    import nemo_client

    name = str(PACK).replace(".", "_x_")
    for known in [key for key in sys.modules if key == "nemo_client" or key.startswith("nemo_client.")]:
        sys.modules[f"{name}.{known}"] = sys.modules[known]
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py", submodule_search_locations=[str(PACK)])
    assert spec is not None
    assert spec.loader is not None
    pack = importlib.util.module_from_spec(spec)
    sys.modules[name] = pack
    spec.loader.exec_module(pack)
    pack.__dict__["nemo_client"] = nemo_client
    importlib.import_module(f"{name}.nodes._panel.routes")  # ComfyUI's first question to the panel does that
    return pack

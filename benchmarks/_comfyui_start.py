"""What `start` runs in ComfyUI's interpreter: load packs as ComfyUI does, each in a forked child, and say what it took.

    python _comfyui_start.py PACK EMPTY_PACK BASE_FOLDER RUNS CHECKOUT

The parent imports what ComfyUI has imported when it comes to its packs (CHECKOUT is empty where there is no ComfyUI:
then the packages that it imports, as far as they are installed). Every child begins with exactly that, so that packs
take turns at nothing but the parent's price. Prints JSON. Runs without this repository on its path.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGES = ("asyncio", "json", "logging", "numpy", "torch", "PIL.Image", "PIL.ImageOps", "aiohttp.web", "av")

Load = Callable[[str], None]


def comfyui(checkout: str, base: str) -> Load:
    """ComfyUI as far as it is when it comes to its packs; returns how it loads one."""
    sys.path[0] = checkout
    os.chdir(checkout)
    sys.argv = ["main.py", "--cpu", "--base-directory", base]
    options = importlib.import_module("comfy.options")
    options.enable_args_parsing()
    nodes, server = importlib.import_module("nodes"), importlib.import_module("server")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server.PromptServer(loop)
    loop.run_until_complete(nodes.init_builtin_extra_nodes())

    def load(pack: str) -> None:
        if not loop.run_until_complete(nodes.load_custom_node(pack)):
            raise ImportError(f"{pack} did not load")

    return load


def lookalike() -> Load:
    """The packages that ComfyUI imports, and its way to import a pack."""
    del sys.path[0]  # this folder: its modules have names like `journal`
    for name in PACKAGES:
        if importlib.util.find_spec(name.split(".", 1)[0]) is not None:
            importlib.import_module(name)

    def load(pack: str) -> None:
        spec = importlib.util.spec_from_file_location(pack.replace(".", "_x_"), Path(pack, "__init__.py"))
        if spec is None or spec.loader is None:
            raise ImportError(pack)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)

    return load


def forked(work: Callable[[], object]) -> Any:
    """What `work` returns in a child of its own."""
    out, back = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        os.write(back, json.dumps(work()).encode())
        os._exit(0)
    os.close(back)
    with os.fdopen(out, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def milliseconds(load: Load, pack: str) -> list[float]:
    """How long it takes to load the pack: wall and processor time."""
    gc.collect()
    begin, cpu = time.perf_counter(), time.process_time()
    load(pack)
    return [(time.perf_counter() - begin) * 1000, (time.process_time() - cpu) * 1000]


def deeds(load: Load, pack: str) -> dict[str, list[str]]:
    """What loading the pack does beside computing: files written, network, programs, threads; and what it imports.

    Python's own cache of bytecode is no deed of a pack.
    """
    seen: dict[str, list[str]] = {"written": [], "network": [], "programs": []}

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            if "__pycache__" not in str(arguments[0]):
                seen["written"].append(str(arguments[0]))
        elif event in ("os.mkdir", "os.rename", "os.remove", "os.symlink", "shutil.copyfile", "sqlite3.connect"):
            if not any(".pyc" in str(each) or "__pycache__" in str(each) for each in arguments):
                seen["written"].append(f"{event} {arguments[0]}")
        elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
            seen["network"].append(event)
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
            seen["programs"].append(f"{event} {arguments[0]}")

    modules, threads = set(sys.modules), threading.active_count()
    sys.addaudithook(hook)
    load(pack)
    found = dict(seen)
    found["threads"] = [each.name for each in threading.enumerate()[threads:]]
    found["imported"] = sorted(each for each in set(sys.modules) - modules if not each.startswith(pack[:4]))
    return found


def main() -> int:
    """Take turns: the pack, the empty pack."""
    pack, empty, base, runs, checkout = sys.argv[1:6]
    logging.disable(logging.WARNING)
    load = comfyui(checkout, base) if checkout else lookalike()
    load(empty)  # what ComfyUI imports for the first pack of all
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(base, "bytecode"))
    gc.collect()
    gc.freeze()  # else the collector copies the parent's memory into each child, which is the price of forking
    first = forked(lambda: milliseconds(load, pack))  # leaves the bytecode in BASE_FOLDER
    forked(lambda: milliseconds(load, empty))
    pairs = [
        [forked(lambda: milliseconds(load, pack)), forked(lambda: milliseconds(load, empty))] for _ in range(int(runs))
    ]
    report = {"first": first, "pairs": pairs, "deeds": forked(lambda: deeds(load, pack))}
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How the pack was installed: without its packages, or twice. Each is told in words, at the start and in the page."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nemo_client import InputError
from tests.nodes._host import PACK, Host
from tests.support.waiting import PATIENT_SECONDS

RENAMED = {"Pillow": "PIL", "SQLAlchemy": "sqlalchemy"}

START = """
import importlib.util, json, logging, sys, time
from pathlib import Path
import tests.nodes._host as stand_in
logging.basicConfig(stream=sys.stderr, format="%(message)s")
host = stand_in.Host(Path(sys.argv[1]))
sys.modules.update(host.modules())
import types
comfy_nodes = types.SimpleNamespace(NODE_CLASS_MAPPINGS={}, EXTENSION_WEB_DIRS={})
sys.modules["nodes"] = comfy_nodes
packs = []
for place in sys.argv[2:]:
    name = place.replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, place + "/__init__.py", submodule_search_locations=[place])
    pack = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)
    comfy_nodes.NODE_CLASS_MAPPINGS.update(pack.NODE_CLASS_MAPPINGS)
    packs.append(pack)
"""


def start(tmp_path: Path, code: str, *places: Path, hide: str = "", path: str = "") -> subprocess.CompletedProcess[str]:
    """Load the pack from these places into one process, as ComfyUI does at its start; the package `hide` is not there.

    `hide` is hidden by a finder that refuses it, as a sitecustomize would.
    """
    blocked = f"""
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hide.split()!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""
    command = [sys.executable, "-c", blocked + START + code, str(tmp_path / "comfyui"), *map(str, places or (PACK,))]
    environment = {**os.environ, "PYTHONPATH": str(PACK)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENT_SECONDS
    )


# --- Without its packages ---------------------------------------------------------------------------------------------


def test_what_is_looked_for_is_what_requirements_txt_lists(pack: Any) -> None:
    """By their import names."""
    lines = (PACK / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [line.split(">")[0].split("[")[0] for line in lines if line and not line.startswith("#")]
    packages = sys.modules[f"{pack.__name__}.nodes._comfy.packages"]

    assert sorted(packages.PACKAGES) == sorted(RENAMED.get(name, name) for name in names)
    assert packages.find_missing() == []


@pytest.mark.parametrize("hide", ["httpx", "sqlalchemy pydantic", "httpcore"])
def test_a_missing_package_is_one_clear_line_at_the_start(hide: str, tmp_path: Path) -> None:
    """With the command for the Python that runs, which can be pasted as it stands; the nodes stay in the list."""
    done = start(tmp_path, "print(len(packs[0].NODE_CLASS_MAPPINGS))", hide=hide)

    lines = [line for line in done.stderr.splitlines() if "NemoVideo" in line]
    assert done.stdout.strip() == "12"
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert ", ".join(sorted(hide.split())) in lines[0]
    command = lines[0].split("`")[1]
    assert shlex.split(command)[:1] == [sys.executable] or shlex.split(command)[0] == "uv"
    assert shlex.split(command)[-2:] == ["-r", str(PACK / "requirements.txt")]


NODE = """
import asyncio
from pathlib import Path
kind = packs[0].NODE_CLASS_MAPPINGS[{node!r}]
told = []
inputs = {{**kind.INPUT_TYPES().get("required", {{}}), **kind.INPUT_TYPES().get("optional", {{}})}}
told.append(all("requirements.txt" in each[1]["nemo_problem"]["zh"] for each in inputs.values()))
try:
    getattr(kind(), kind.FUNCTION)(anything=1)
except Exception as error:
    told.append([type(error).__name__, str(error)])
print(json.dumps(told))
"""


@pytest.mark.parametrize("node", ["NemoImageToVideo", "NemoAuth", "NemoSampleImage", "NemoRecover"])
def test_a_node_then_says_what_to_install_and_that_nothing_was_charged(node: str, tmp_path: Path) -> None:
    """Never "it may have been charged"; the page finds the same words among its inputs' options."""
    done = start(tmp_path, NODE.format(node=node), hide="httpx")

    assert done.returncode == 0, done.stderr
    marked, (kind, text) = json.loads(done.stdout)
    assert (marked, kind) == (True, "InputError")
    assert "not installed: httpx" in text
    assert "pip install" in text
    assert text.endswith("Nothing was charged.")


ROUTE = """
import asyncio, httpx
sys.modules["httpx"] = None
from aiohttp import ClientSession, web

async def main():
    app = web.Application()
    app.add_routes(host.routes)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with ClientSession(headers={"X-NemoVideo": "1"}) as browser:
        for method, path in (("GET", "profiles"), ("POST", "credits"), ("GET", "jobs")):
            options = {"json": {"profile": "nemo"}} if method == "POST" else {}
            async with browser.request(method, f"{address}/nemo/{path}", **options) as answer:
                print(json.dumps([answer.status, await answer.json()]))
    await runner.cleanup()

asyncio.run(main())
"""


def test_the_panel_says_what_to_install(tmp_path: Path) -> None:
    """Each of its requests is refused in the same words, also where a package went away after the start."""
    done = start(tmp_path, ROUTE)

    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 3, done.stderr
    for status, told in answers:
        assert (status, told["id"], told["charged"]) == (503, "packages-missing", "no")
        assert "pip install" in told["hint"]


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("No module named 'h11'", name="h11"), ImportError("bad DLL", name="av._core")]
)
async def test_a_package_that_is_there_and_does_not_load_is_told_alike(error: ImportError, pack: Any) -> None:
    """What a package itself needs can be missing, too; it is found out before anything is sent."""
    told = sys.modules[f"{pack.__name__}.nodes._panel.jobs_view"].translate_error(error)

    assert (told.id, told.charged, told.facts["missing"]) == ("packages-missing", "no", error.name.split(".")[0])
    assert "pip install" in told.text("en")


def test_what_is_no_package_stays_what_it_is(pack: Any) -> None:
    """A defect of ours, or a part of ComfyUI that is missing, is not mended by pip."""
    describe = sys.modules[f"{pack.__name__}.nodes._comfy.packages"].describe

    assert describe(ImportError("cannot import name 'x'", name=f"{pack.__name__}.nodes")) is None
    assert describe(ModuleNotFoundError("No module named 'comfy_api.util'", name="comfy_api.util")) is None
    assert describe(ValueError("no")) is None
    assert describe(InputError("url")) is None


# --- Twice ------------------------------------------------------------------------------------------------------------

TWICE = """
print(json.dumps([
    [len(pack.NODE_CLASS_MAPPINGS), hasattr(pack, "WEB_DIRECTORY")] for pack in packs
] + [len(host.routes)]))
"""


@pytest.mark.parametrize("names", [("nemo-video", "ComfyUI-NemoVideo"), ("b.git", "a"), ("one", "two", "three")])
def test_of_two_copies_one_runs_and_the_others_stand_aside(names: tuple[str, ...], tmp_path: Path) -> None:
    """The first that is loaded has the nodes, the page and the routes; the log names both folders."""
    places = [tmp_path / "custom_nodes" / name for name in names]
    for place in places:
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(PACK, target_is_directory=True)

    done = start(tmp_path, TWICE, *places)

    assert done.returncode == 0, done.stderr
    *packs, routes = json.loads(done.stdout)
    assert packs == [[12, True], *[[0, False]] * (len(names) - 1)]
    assert routes == 16
    told = [line for line in done.stderr.splitlines() if "installed twice" in line]
    assert len(told) == len(names) - 1
    assert all(str(places[0]) in line for line in told)
    assert str(places[-1]) in told[-1]


OLD = """
import types
sys.modules["nodes"].NODE_CLASS_MAPPINGS["NemoImageToVideo"] = type("Old", (), {"__module__": "old-pack.nodes.image"})
sys.modules["old-pack"] = types.SimpleNamespace(__file__="/custom_nodes/old-pack/__init__.py")
"""


def test_a_copy_of_an_older_version_is_found_by_its_nodes(tmp_path: Path) -> None:
    """It leaves no mark, but its nodes are in ComfyUI's list."""
    code = START.replace("packs = []", f"packs = []\n{OLD}")
    command = [sys.executable, "-c", code + TWICE, str(tmp_path / "comfyui"), str(PACK)]
    environment = {**os.environ, "PYTHONPATH": str(PACK)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENT_SECONDS
    )

    assert json.loads(done.stdout) == [[0, False], 0], done.stderr
    assert "/custom_nodes/old-pack" in done.stderr


async def test_the_panel_is_told_of_the_other_copy(pack: Any, host: Host) -> None:
    """As long as it is there."""
    routes = sys.modules[f"{pack.__name__}.nodes._panel.routes"]
    instance = sys.modules["server"].PromptServer.instance  # type: ignore[attr-defined]

    before = await asyncio.to_thread(routes._profiles_view, "en")
    instance.nemo_video_packs = ["/a/nemo", "/a/other"]
    after = await asyncio.to_thread(routes._profiles_view, "zh")

    assert before["notice"] == ""
    assert "/a/nemo" in after["notice"]
    assert "两份" in after["notice"]

"""What ComfyUI's start pays for the pack: counted in modules and bytes, which are the same on a busy machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
MAX_MODULES = 40
MAX_BYTES = 170_000
LATER = (
    "nemo_client._errors", "nemo_client._text.messages", "nemo_client._text.vocabulary", "nemo_client._journal",
    "nemo_client._wire", "nemo_client._config", "nemo_client._files", "nemo_client._studio.studio",
    "nodes._panel.routes", "nodes._panel.jobs_view",
)  # fmt: skip

LOAD = """
import importlib.util, json, os, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
root = sys.argv[1]
spec = importlib.util.spec_from_file_location("pack", root + "/__init__.py", submodule_search_locations=[root])
pack = importlib.util.module_from_spec(spec)
sys.modules["pack"] = pack
spec.loader.exec_module(pack)
own = {name: os.path.getsize(module.__file__) for name, module in sys.modules.items() if name.split(".")[0] == "pack"}
foreign = [name for name in ("httpx", "httpcore", "pydantic", "sqlalchemy", "av", "numpy", "PIL", "aiohttp", "torch")
           if name in sys.modules]
print(json.dumps({"own": own, "foreign": foreign, "nodes": sorted(pack.NODE_CLASS_MAPPINGS)}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is there after the pack was loaded as ComfyUI loads it, in a process that has nothing else."""
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, "-I", "-c", LOAD, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"NEMO_HOME": str(home)}, cwd=home)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_pack_s_start_reads_few_modules_and_bytes(loaded: dict[str, Any]) -> None:
    """All nodes are declared by then; a module more is a file that every start of ComfyUI reads."""
    assert len(loaded["nodes"]) == 12
    assert len(loaded["own"]) <= MAX_MODULES, sorted(loaded["own"])
    assert sum(loaded["own"].values()) <= MAX_BYTES


def test_what_works_with_videos_comes_at_the_first_use(loaded: dict[str, Any]) -> None:
    """Texts, errors, the journal, the wire and the panel's answers are not read at the start, nor is any package."""
    early = [name for name in loaded["own"] if name.removeprefix("pack.").startswith(LATER)]

    assert early == []
    assert loaded["foreign"] == []

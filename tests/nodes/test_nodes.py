"""The node classes, loaded as ComfyUI loads them, on the local preview backend over its real socket."""

from __future__ import annotations

import copy
import fnmatch
import inspect
import json
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nemo_client import AuthHandle, DiskError, InputError, JobError, NemoError, SessionHandle
from tests.nodes._arrays import picture, tensor
from tests.nodes._host import Blocker, Host, Interrupted
from tests.support.waiting import PATIENT_SECONDS, wait_until

Nodes = dict[str, type[Any]]

QUICK = {"prompt": "slow push-in", "aspect_ratio": "auto", "duration": 1, "seed": 0}
SMALL = {"format": "mp4", "quality": "low", "resolution": "480p"}
ANIMATE = {
    **QUICK,
    "filename_prefix": "video/NemoVideo",
    "profile": "local preview",
    "quality": "low",
    "resolution": "480p",
}


def frames_of(path: str) -> list[np.ndarray[Any, Any]]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_the_pack_offers_its_nodes(pack: Any) -> None:
    """Ids are frozen: workflows depend on them."""
    assert set(pack.NODE_CLASS_MAPPINGS) == {
        "NemoAuth",
        "NemoChat",
        "NemoCredits",
        "NemoEditVideo",
        "NemoExportRender",
        "NemoGenerateVideo",
        "NemoImageToVideo",
        "NemoRecover",
        "NemoSampleImage",
        "NemoTimeline",
        "NemoUploadImage",
        "NemoUploadMedia",
    }
    assert set(pack.NODE_DISPLAY_NAME_MAPPINGS) == set(pack.NODE_CLASS_MAPPINGS)


def test_every_node_keeps_the_host_s_contract(nodes: Nodes) -> None:
    """What ComfyUI reads: names as many as types, a tooltip for every input and output, inputs that the function
    takes; never API_NODE, which would turn the Run button into "Sign in to run"."""
    for name, node in nodes.items():
        inputs = node.INPUT_TYPES()
        assert json.dumps(inputs), name
        assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) == len(node.OUTPUT_TOOLTIPS), name
        assert node.CATEGORY == "NemoVideo"
        assert not getattr(node, "API_NODE", False)
        takes = inspect.signature(getattr(node, node.FUNCTION)).parameters
        open_ended = any(each.kind is each.VAR_KEYWORD for each in takes.values())
        for section in ("required", "optional"):
            for key, (_, options) in inputs.get(section, {}).items():
                assert options["tooltip"], (name, key)
                assert open_ended or key in takes, (name, key)
        if hasattr(node, "IS_CHANGED"):
            assert any(p.kind is p.VAR_KEYWORD for p in inspect.signature(node.IS_CHANGED).parameters.values()), name


def test_an_image_becomes_a_playable_video(nodes: Nodes, host: Host) -> None:
    """The whole way in one node: VIDEO, absolute path, last frame, info, and the preview for the browser."""
    image = picture(160, 120)

    answer = host.run(nodes["NemoImageToVideo"], image=image, **ANIMATE)

    (video,), (path,), (last,), (info,) = answer["result"]
    frames = frames_of(path)
    assert Path(path).is_absolute()
    assert Path(path) == Path(host.folder("output")) / "video" / "NemoVideo_00001_.mp4"
    assert video.path == path
    assert len(frames) == 30
    assert tuple(last.shape) == (1, *frames[-1].shape)
    assert json.loads(info)["path"] == path
    assert answer["ui"]["images"] == [{"filename": "NemoVideo_00001_.mp4", "subfolder": "video", "type": "output"}]
    assert answer["ui"]["animated"] == (True,)
    (statement,) = answer["ui"]["nemo"]
    assert statement["state"] == "done"
    assert statement["videos"][0].items() > answer["ui"]["images"][0].items()
    assert re.fullmatch(r"1 s · 480p · [\d.]+ [kM]B( · .+)?", statement["line"]), statement["line"]
    json.dumps(answer["ui"])


def test_single_nodes_and_the_all_in_one_share_their_work(nodes: Nodes, host: Host) -> None:
    """Keys are built by one function, so the second way finds what the first one made."""
    image = picture(160, 120)
    whole = host.run(nodes["NemoImageToVideo"], image=image, **ANIMATE)

    auth, account = host.run(nodes["NemoAuth"], profile="local preview", language="auto")
    (sessions,) = host.run(nodes["NemoUploadImage"], auth=auth, image=image, batch_mode="all images in one video")
    (after,), (reply,), (timeline,) = host.run(nodes["NemoGenerateVideo"], session=sessions, **QUICK)
    export = host.run(nodes["NemoExportRender"], session=[after], filename_prefix="video/NemoVideo", **SMALL)

    assert export["result"][1] == whole["result"][1], "the same file, not a second one"
    assert json.loads(export["result"][3][0])["reused"] is True
    assert "local preview" in account
    assert timeline.startswith("Timeline (")
    assert reply


def test_handles_survive_copies_and_json(nodes: Nodes, host: Host) -> None:
    """ComfyUI keeps outputs across prompts; what travels is data, without a token."""
    auth, _ = host.run(nodes["NemoAuth"], profile="local preview", language="en")
    ((session,),) = host.run(nodes["NemoUploadImage"], auth=auth, image=picture(), batch_mode="all images in one video")

    assert AuthHandle.from_json(json.loads(json.dumps(auth.to_json()))) == auth == copy.deepcopy(auth)
    assert SessionHandle.from_json(json.loads(json.dumps(session.to_json()))) == session == copy.deepcopy(session)
    assert "nmv_" not in repr(session)


def test_a_batch_can_mean_one_video_or_many(nodes: Nodes, host: Host) -> None:
    """A batch of two: one sequence, or two videos side by side with a file each."""
    one = host.run(nodes["NemoImageToVideo"], image=picture(160, 120, batch=2), **ANIMATE)
    two = host.run(
        nodes["NemoImageToVideo"], image=picture(160, 120, batch=2), batch_mode="one video per image", **ANIMATE
    )

    assert len(one["result"][1]) == 1
    assert len(set(two["result"][1])) == 2
    assert len(two["ui"]["images"]) == 2


def test_pictures_of_different_sizes_come_as_a_list(nodes: Nodes, host: Host) -> None:
    """Pictures of different sizes reach a node only as a list."""
    images = [picture(160, 120), picture(120, 160, seed=3)]

    answer = host.run(nodes["NemoImageToVideo"], image=images, batch_mode="one video per image", **ANIMATE)

    sizes = {frames_of(path)[0].shape for path in answer["result"][1]}
    assert len(sizes) == 2


def test_the_same_request_twice_in_one_graph_is_one_job(nodes: Nodes, host: Host) -> None:
    """ComfyUI runs two identical async nodes twice; here they share one job and one file."""
    inputs = {"image": picture(160, 120), **ANIMATE}

    answers = host.prompt({"1": (nodes["NemoImageToVideo"], inputs), "2": (nodes["NemoImageToVideo"], inputs)})

    assert answers["1"]["result"][1] == answers["2"]["result"][1]
    assert len(list(Path(host.folder("output")).rglob("*.mp4"))) == 1


def test_another_prefix_gets_a_file_of_its_own(nodes: Nodes, host: Host) -> None:
    """The prefix is not part of the request: the same video is delivered once more, without another render."""
    first = host.run(nodes["NemoImageToVideo"], image=picture(160, 120), **ANIMATE)
    second = host.run(
        nodes["NemoImageToVideo"], image=picture(160, 120), **{**ANIMATE, "filename_prefix": "other/%year%/clip"}
    )

    one, two = json.loads(first["result"][3][0]), json.loads(second["result"][3][0])
    assert Path(two["path"]).name == "clip_00001_.mp4"
    assert Path(two["path"]).parent.name == time.strftime("%Y")
    assert one["sha256"] == two["sha256"]
    assert one["render_id"] == two["render_id"]


def test_tokens_are_filled_in(nodes: Nodes, host: Host) -> None:
    """ComfyUI's tokens, those of its front end included; the size is the finished video's."""
    prefix = "%date:yyyy-MM%/NemoVideo %width%x%height%"

    answer = host.run(nodes["NemoImageToVideo"], image=picture(160, 120), **{**ANIMATE, "filename_prefix": prefix})

    path = Path(answer["result"][1][0])
    height, width, _ = frames_of(str(path))[0].shape
    assert path.name == f"NemoVideo {width}x{height}_00001_.mp4"
    assert path.parent.name == time.strftime("%Y-%m")


GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "a:b/c.png"}, "_meta": {"title": "My picture"}},
    "2": {
        "class_type": "KSampler",
        "inputs": {"seed": 7, "cfg": 1.5, "model": ["1", 0], "text": "../..\n" + "x" * 300},
    },
}


@pytest.mark.parametrize(
    ("prefix", "stem"),
    [
        ("video/%KSampler.seed%", "7"),
        ("%My picture.image%_%KSampler.cfg%", "a_b_c.png_1.5"),
        ("%2.seed%", "7"),
        ("%KSampler.model%", "%KSampler.model%"),
        ("50%_%None.seed%_100%", "50%_%None.seed%_100%"),
        ("%KSampler.text%", ".._.._" + "x" * 74),
        ("%date:yyyy%-%date:hh:mm%", time.strftime("%Y-") + "*_*"),
    ],
)
def test_the_tokens_of_nodes_are_filled_in_from_the_prompt(prefix: str, stem: str, pack: Any, host: Host) -> None:
    """As ComfyUI's page does for its own save nodes, also for prompts that come without a page; names stay safe."""
    made = sys.modules[f"{pack.__name__}.nodes._comfy.host"].make_destination(prefix, None, GRAPH)

    assert fnmatch.fnmatchcase(made.stem, stem)
    assert ":" not in made.stem
    assert made.folder.is_relative_to(host.folder("output"))


@pytest.mark.parametrize(
    ("prefix", "fine"),
    [
        ("../x", False),
        ("/etc/x", False),
        ("a|b", True),
        ("video/aux", True),
        ("video/%KSampler.seed%", True),
        ("%date:hh:mm%", True),
        (None, True),
    ],
)
def test_a_prefix_is_judged_when_the_prompt_is_queued(prefix: str | None, fine: bool, nodes: Nodes, host: Host) -> None:
    """Export stands behind a step that is paid: what can be told of its prefix is told before that one runs."""
    told = nodes["NemoExportRender"].VALIDATE_INPUTS(filename_prefix=prefix)

    assert (told is True) == fine
    assert fine or str(told).endswith("Nothing was charged.")


def test_a_deleted_file_is_delivered_again(nodes: Nodes, host: Host) -> None:
    """IS_CHANGED is 0 before and after the first delivery, and moves on once when the file is gone."""
    node = nodes["NemoImageToVideo"]
    image = picture(160, 120)
    before = host.is_changed(node, filename_prefix="video/NemoVideo")
    first = host.run(node, image=image, **ANIMATE)
    after = host.is_changed(node, filename_prefix="video/NemoVideo")
    Path(first["result"][1][0]).unlink()
    due = host.is_changed(node, filename_prefix="video/NemoVideo")
    again = host.run(node, image=image, **ANIMATE)
    settled = host.is_changed(node, filename_prefix="video/NemoVideo")

    assert before == after != due == settled
    assert Path(again["result"][1][0]).is_file()


@pytest.mark.parametrize(("format_name", "animated"), [("gif", False), ("webm", True)])
def test_other_formats_are_previewed_as_what_they_are(
    nodes: Nodes, host: Host, format_name: str, animated: bool
) -> None:
    """A GIF is previewed as an image, without `animated`."""
    answer = host.run(nodes["NemoImageToVideo"], image=picture(96, 72), format=format_name, **ANIMATE)

    assert answer["ui"]["images"][0]["filename"].endswith(f".{format_name}")
    assert ("animated" in answer["ui"]) is animated


def test_progress_is_shown_under_the_node(nodes: Nodes, host: Host) -> None:
    """A line of text and a bar that only moves forward and ends full."""
    host.run(nodes["NemoImageToVideo"], "7", image=picture(160, 120), **ANIMATE)

    values = [value for _, value in host.bars]
    assert {node for node, _ in host.texts} == {"7"} == {node for node, _ in host.bars}
    assert any("Rendering" in text for _, text in host.texts) or values
    assert values == sorted(values)
    assert values[-1] == 1000


@pytest.mark.drawn
def test_cancel_does_not_wait_for_the_render(nodes: Nodes, host: Host) -> None:
    """ComfyUI's flag is seen, the render is stopped, ComfyUI's own interrupt is raised, nothing half-written stays."""
    inputs = {"image": picture(640, 480), **ANIMATE, "duration": 120, "quality": "high", "resolution": "1080p"}

    def press(text: str) -> None:
        host.flag = host.flag or "Rendering" in text

    host.on_text = press
    with pytest.raises(Interrupted):
        host.run(nodes["NemoImageToVideo"], **inputs)

    assert not _landed(Path(host.folder("output"))), "minutes of drawing were not waited for"
    wait_until(lambda: list(Path(host.folder("output")).rglob(".nemo-*")) == [])


@pytest.mark.drawn
def test_a_failing_sibling_costs_nothing(nodes: Nodes, host: Host) -> None:
    """ComfyUI cancels running siblings of a failed node; the next run goes on where this one stood."""

    class Failing:
        FUNCTION = "fail"

        async def fail(self) -> None:
            while not any("Rendering" in text for _, text in host.texts):
                await _short()
            raise RuntimeError("sampler out of memory")

    image = picture(640, 480)
    inputs = {"image": image, **ANIMATE, "duration": 8}
    with pytest.raises(RuntimeError):
        host.prompt({"1": (nodes["NemoImageToVideo"], inputs), "2": (Failing, {})})
    answer = host.run(nodes["NemoImageToVideo"], **inputs)

    assert Path(answer["result"][1][0]).is_file()


def _landed(folder: Path) -> bool:
    return any(path.stat().st_size for path in folder.rglob("NemoVideo_*.mp4"))


async def _short() -> None:
    import asyncio

    await asyncio.sleep(0.02)


def test_a_blocking_node_beside_ours_does_not_starve_it(nodes: Nodes, host: Host) -> None:
    """A sampler blocks ComfyUI's loop for seconds; the network lives on another thread."""

    output = Path(host.folder("output"))

    class Sampler:
        FUNCTION = "sample"

        async def sample(self) -> bool:
            while not host.texts:
                await _short()
            deadline = time.monotonic() + PATIENT_SECONDS
            while not (landed := _landed(output)) and time.monotonic() < deadline:
                time.sleep(0.02)  # noqa: ASYNC251 - blocking is what is tested
            return landed

    answer = host.prompt({"1": (nodes["NemoImageToVideo"], {"image": picture(96, 72), **ANIMATE}), "2": (Sampler, {})})

    assert answer["2"], "the file was there while the loop was still blocked"
    assert Path(answer["1"]["result"][1][0]).is_file()


def test_on_skip_a_bad_item_costs_only_itself(nodes: Nodes, host: Host) -> None:
    """A failed item is blocked on ordinary outputs and tried again on the next run."""
    node = nodes["NemoImageToVideo"]
    prompts = ["slow push-in", " "]
    inputs = {**ANIMATE, "prompt": prompts, "image": picture(96, 72, batch=2), "batch_mode": "one video per image"}
    before = host.is_changed(node, filename_prefix="video/NemoVideo")

    answer = host.run(node, **inputs, on_item_error="skip")

    good, bad = answer["result"][1]
    assert Path(good).is_file()
    assert isinstance(bad, Blocker)
    assert host.is_changed(node, filename_prefix="video/NemoVideo") != before
    with pytest.raises(JobError) as caught:
        host.run(node, **inputs, on_item_error="stop")
    assert caught.value.id == "items-failed"


def test_between_nodes_a_failed_item_is_a_marked_session(nodes: Nodes, host: Host) -> None:
    """ComfyUI would not run a list node at all with a blocked item, so the failure travels as a value."""
    auth, _ = host.run(nodes["NemoAuth"], profile="local preview", language="auto")
    (sessions,) = host.run(
        nodes["NemoUploadImage"], auth=auth, image=picture(96, 72, batch=2), batch_mode="one video per image"
    )
    quick = {**QUICK, "prompt": ["", "slow push-in"]}
    marked, _, _ = host.run(nodes["NemoGenerateVideo"], session=sessions, **quick, on_item_error="skip")
    export = host.run(
        nodes["NemoExportRender"], session=marked, filename_prefix="video/NemoVideo", **SMALL, on_item_error="skip"
    )

    assert marked[0].error
    assert not marked[1].error
    assert isinstance(export["result"][1][0], Blocker)
    assert Path(export["result"][1][1]).is_file()
    assert len(export["ui"]["images"]) == 1


def test_an_edit_changes_the_draft(nodes: Nodes, host: Host) -> None:
    """Generate, edit, export: the file is as long as the edit says."""
    auth, _ = host.run(nodes["NemoAuth"], profile="local preview", language="auto")
    (sessions,) = host.run(
        nodes["NemoUploadImage"], auth=auth, image=picture(96, 72), batch_mode="all images in one video"
    )
    (after,), _, _ = host.run(nodes["NemoGenerateVideo"], session=sessions, **QUICK)
    (edited,), (reply,), (timeline,) = host.run(
        nodes["NemoEditVideo"], session=[after], instruction="make it 2 seconds", when_changed="stop", seed=0
    )
    export = host.run(nodes["NemoExportRender"], session=[edited], filename_prefix="video/NemoVideo", **SMALL)

    assert reply
    assert "0-2s" in timeline
    assert len(frames_of(export["result"][1][0])) == 60


@pytest.mark.drawn
def test_an_end_image_is_the_last_picture(nodes: Nodes, host: Host) -> None:
    """First and last frame: the clip ends on the second picture."""
    red, blue = np.zeros((1, 72, 96, 3)), np.zeros((1, 72, 96, 3))
    red[..., 0] = blue[..., 2] = 0.8

    answer = host.run(
        nodes["NemoImageToVideo"], image=tensor(red), end_image=tensor(blue), **{**ANIMATE, "duration": 2}
    )

    frames = frames_of(answer["result"][1][0])
    assert frames[0][..., 0].mean() > 150 > frames[0][..., 2].mean()
    assert frames[-1][..., 2].mean() > 150 > frames[-1][..., 0].mean()


def test_the_sample_image_is_there_at_once(nodes: Nodes, host: Host) -> None:
    """Templates run on the bundled photograph."""
    (image,) = host.run(nodes["NemoSampleImage"])
    (several,) = host.run(nodes["NemoSampleImage"], images=3)

    assert tuple(image.shape) == (1, 1600, 2400, 3)
    assert tuple(several.shape) == (3, 1600, 2400, 3)
    assert (several.numpy()[0] == image.numpy()[0]).all(), "then details, each another picture"
    assert len({each.tobytes() for each in several.numpy()}) == 3


@pytest.mark.parametrize(
    ("changes", "text_id"),
    [
        ({"prompt": "  \n"}, "prompt-empty"),
        ({"profile": "no such profile"}, "profile-unknown"),
        ({"filename_prefix": "../../outside"}, "prefix-outside"),
        ({"filename_prefix": "/etc/outside"}, "prefix-outside"),
        ({"filename_prefix": "video/"}, None),
        ({"filename_prefix": "CON|x"}, None),
        ({"image": tensor(np.zeros((0, 4, 4, 3)))}, "image-empty"),
        ({"image": tensor(np.full((1, 4, 4, 3), np.nan))}, "image-not-finite"),
        ({"aspect_ratio": "5:7"}, "value"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_input_is_one_clear_error(nodes: Nodes, host: Host, changes: dict[str, Any], text_id: str | None) -> None:
    """One sentence that names the value; nothing is written."""
    inputs = {"image": picture(96, 72), **ANIMATE, **changes}
    if text_id is None:
        assert host.run(nodes["NemoImageToVideo"], **inputs)["result"][1]
        return

    with pytest.raises(InputError) as caught:
        host.run(nodes["NemoImageToVideo"], **inputs)

    assert caught.value.id == text_id
    assert "Nothing was charged." in str(caught.value)
    assert not list(Path(host.folder("output")).rglob("*.*"))


def test_a_home_that_browsers_could_read_is_refused(nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """ComfyUI serves input, output, temp and public user folders without a password."""
    for folder in ("output/nemo", "input", "user/default/nemo"):
        monkeypatch.setenv("NEMO_HOME", str(Path(host.folder("output")).parent / folder))
        with pytest.raises(DiskError) as caught:
            host.run(nodes["NemoImageToVideo"], image=picture(), **ANIMATE)
        assert caught.value.id == "home-served"


def test_an_old_comfyui_is_refused_with_words(pack: Any, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ComfyUI without async nodes cannot run these; its log says so in one sentence."""
    import sys

    monkeypatch.delitem(sys.modules, "comfy_execution.utils")
    sys.modules["comfy_execution"].__dict__.pop("utils")
    module = sys.modules[f"{pack.__name__}.nodes._comfy.host"]

    with pytest.raises(NemoError) as caught:
        module.require_comfyui()

    assert "Update ComfyUI" in str(caught.value)


def test_profiles_from_disk_appear_in_the_combo(nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The combo is a snapshot in memory; INPUT_TYPES itself reads no file."""
    from nemo_client import home

    home().mkdir(parents=True, exist_ok=True)
    (home() / "profiles.json").write_text('{"profiles": {"studio b": {"api_url": "https://example.com"}}}')

    def offered() -> list[str]:
        return list(nodes["NemoAuth"].INPUT_TYPES()["required"]["profile"][0])

    wait_until(lambda: "studio b" in offered())
    assert offered() == ["nemo", "local preview", "studio b"]


def test_the_network_thread_is_one(nodes: Nodes, host: Host) -> None:
    """However many nodes run, one thread carries the network."""

    def find_threads() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "nemo-network"}

    before = find_threads()  # another copy of the pack in this process has a thread of its own
    host.run(nodes["NemoImageToVideo"], image=picture(96, 72), **ANIMATE)
    first = find_threads()
    host.run(nodes["NemoImageToVideo"], image=picture(96, 72), **{**ANIMATE, "seed": 5})

    assert len(first - before) <= 1
    assert find_threads() == first


def test_a_home_directory_is_made_by_work_alone(
    nodes: Nodes, host: Host, pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that keeps jobs fresh looks every other second, and must leave no trace where nothing was done."""
    host.run(nodes["NemoImageToVideo"], image=picture(96, 72), **ANIMATE)
    monkeypatch.setenv("NEMO_HOME", str(tmp_path / "another"))
    network = sys.modules[f"{pack.__name__}.nodes._comfy.run"].get_network()
    network.submit(network.look()).result(PATIENT_SECONDS)

    assert not (tmp_path / "another").exists()

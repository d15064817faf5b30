"""What clients and links really give a node: 64-bit seeds, inputs left out, null, None; and a whole conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nemo_client import InputError, NemoError, QuestionAsked, SessionBusy, local
from tests.nodes._arrays import picture
from tests.nodes._host import Host
from tests.support.backend import draw
from tests.support.faults import Fault, Faults

Nodes = dict[str, type[Any]]
SEEDED = ("NemoGenerateVideo", "NemoEditVideo", "NemoChat", "NemoImageToVideo")


@pytest.fixture
def charging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The local backend in the place of the cloud, with a script of faults."""
    with local.open(tmp_path / "cloud", pace=0, credits=1000, faults=Faults(), renderer=draw) as backend:
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        monkeypatch.setenv("NEMO_TOKEN", backend.token)
        yield backend


def sent(backend: Any) -> int:
    return sum(call["endpoint"] == "message" for call in backend.calls)


def uploaded(nodes: Nodes, host: Host, profile: str = "local preview") -> Any:
    auth, _ = nodes["NemoAuth"]().choose(profile, "auto")
    ((at,),) = host.run(
        nodes["NemoUploadImage"], auth=auth, image=picture(64, 96), batch_mode="all images in one video"
    )
    return at


GENERATE: dict[str, Any] = {"prompt": "slow push-in", "aspect_ratio": "auto", "duration": 1, "seed": 0}


# --- Seeds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_of_64_bits_is_judged_by_the_node(name: str, nodes: Nodes) -> None:
    """ComfyUI's own check of the widget's range would refuse it; the widget keeps that range."""
    kind, options = nodes[name].INPUT_TYPES()["required"]["seed"]
    judge = nodes[name].VALIDATE_INPUTS

    assert (kind, options["max"]) == ("INT", 2147483647)
    assert judge(seed=2**64 - 1) is True
    assert judge(seed=[2**63]) is True
    assert judge() is True
    assert judge(seed=None) is True
    for wrong in (-1, 2**64):
        assert f"seed can't be '{wrong}'. Use a whole number from 0 to 2^64 - 1" in str(judge(seed=wrong))


def test_a_seed_counts_whole(nodes: Nodes, host: Host) -> None:
    """Two seeds that a float cannot tell apart are two takes."""
    at = uploaded(nodes, host)
    keys = set()
    for seed in (2**63, 2**63 + 1, 2**64 - 1):
        (after,), _, _ = host.run(nodes["NemoGenerateVideo"], session=at, **{**GENERATE, "seed": seed})
        keys.add(after.key)

    assert len(keys) == 3


# --- Left out, null and None ----------------------------------------------------------------------------------------


def test_a_profile_that_was_left_out_is_said_in_words(nodes: Nodes) -> None:
    """ComfyUI names the missing input itself; our check must not fail before it with Python's words."""
    for name, values in (("NemoAuth", {}), ("NemoImageToVideo", {}), ("NemoRecover", {})):
        assert nodes[name].VALIDATE_INPUTS(**values) is True
    with pytest.raises(InputError, match="The input profile is empty"):
        nodes["NemoAuth"]().choose(language="auto")


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("NemoGenerateVideo", {**GENERATE, "prompt": "None"}),
        ("NemoEditVideo", {"instruction": "None", "when_changed": "stop", "seed": 0}),
        ("NemoChat", {"message": " None ", "seed": 0}),
    ],
)
def test_null_counts_as_an_empty_text(name: str, inputs: dict[str, Any], nodes: Nodes, host: Host) -> None:
    """ComfyUI turns a client's null into the text "None", which was sent and paid for."""
    at = uploaded(nodes, host)

    with pytest.raises(InputError, match="The prompt is empty") as caught:
        host.run(nodes[name], session=at, **inputs)
    assert caught.value.charged == "no"


def test_a_null_prefix_is_an_empty_one(nodes: Nodes, host: Host) -> None:
    """No file is called None."""
    at = uploaded(nodes, host)
    (made,), _, _ = host.run(nodes["NemoGenerateVideo"], session=at, **GENERATE)

    with pytest.raises(InputError, match="cannot be a file name"):
        host.run(nodes["NemoExportRender"], session=made, filename_prefix="None", format="mp4", quality="high")


@pytest.mark.parametrize("name", ["prompt", "session", "seed", "aspect_ratio"])
def test_none_over_a_link_into_a_required_input_is_named(name: str, nodes: Nodes, host: Host) -> None:
    """Never something unexpected that may have been charged."""
    at = uploaded(nodes, host)

    with pytest.raises(InputError, match=f"The input {name} is empty") as caught:
        host.run(nodes["NemoGenerateVideo"], **{"session": at, **GENERATE, name: None})
    assert "Nothing was charged" in str(caught.value)


def test_none_over_a_link_into_an_optional_input_is_as_if_nothing_were_connected(nodes: Nodes, host: Host) -> None:
    """On nodes that take lists, and on others."""
    auth, _ = nodes["NemoAuth"]().choose("local preview", "auto")
    ((at,),) = host.run(
        nodes["NemoUploadImage"],
        auth=auth, image=picture(64, 96), batch_mode="all images in one video", session=None, mask=None, encoding=None,
    )  # fmt: skip
    (made,), _, _ = host.run(nodes["NemoGenerateVideo"], session=at, **GENERATE, max_credits=None, on_item_error=None)
    out = host.run(
        nodes["NemoChat"], session=made, message="credits", seed=0, follow=None, max_credits=None, when_changed=None
    )

    assert out["result"][1]


@pytest.mark.parametrize("optional", ["end_image", "batch_mode", "format", "resolution", "language", "max_credits"])
def test_none_into_the_all_in_one_node(optional: str, nodes: Nodes, host: Host) -> None:
    """A switch that gives no end image gives None."""
    inputs = {**GENERATE, "filename_prefix": "video/x", "profile": "local preview", "image": picture(64, 96)}
    out = host.run(nodes["NemoImageToVideo"], **inputs, **{optional: None})

    assert Path(out["result"][1][0]).is_file()


def test_numbers_of_other_libraries_are_numbers(nodes: Nodes, host: Host) -> None:
    """Math nodes give numpy's."""
    import numpy as np

    at = uploaded(nodes, host)
    (after,), _, _ = host.run(nodes["NemoGenerateVideo"], session=at, **{**GENERATE, "seed": np.int64(7)})
    (same,), _, _ = host.run(nodes["NemoGenerateVideo"], session=at, **{**GENERATE, "seed": 7})

    assert after == same
    with pytest.raises(InputError, match="seed can't be 'seven'"):
        host.run(nodes["NemoGenerateVideo"], session=at, **{**GENERATE, "seed": "seven"})


# --- A conversation in one node -------------------------------------------------------------------------------------


def test_one_node_carries_a_conversation(nodes: Nodes, host: Host, charging: Any) -> None:
    """Another message goes on from the newest state; queued again, each is found; a request exports the newest."""
    (made,), _, _ = host.run(nodes["NemoGenerateVideo"], session=uploaded(nodes, host, "nemo"), **GENERATE)
    talk = {"session": made, "seed": 0, "when_changed": "edit the newest state"}
    first = host.run(nodes["NemoChat"], message='add title "Morning"', **talk)["result"][0]
    second = host.run(nodes["NemoChat"], message="make it 3 seconds", **talk)["result"][0]
    again = host.run(nodes["NemoChat"], message="make it 3 seconds", **talk)["result"][0]
    earlier = host.run(nodes["NemoChat"], message='add title "Morning"', **talk)["result"][0]
    exported, _, path = host.run(nodes["NemoChat"], message="export", **talk)["result"]

    assert (again, earlier) == (second, first)
    assert exported == second
    assert Path(path).is_file()
    assert sent(charging) == 3


def test_without_it_another_message_stops_with_the_way_out(nodes: Nodes, host: Host, charging: Any) -> None:
    """The default leaves everything as it was: what was said is found, and what would go beside it is refused."""
    (made,), _, _ = host.run(nodes["NemoGenerateVideo"], session=uploaded(nodes, host, "nemo"), **GENERATE)
    first = host.run(nodes["NemoChat"], session=made, message='add title "Morning"', seed=0)["result"][0]
    with pytest.raises(SessionBusy, match="edit the newest state"):
        host.run(nodes["NemoChat"], session=made, message="make it 3 seconds", seed=0)
    again = host.run(nodes["NemoChat"], session=made, message='add title "Morning"', seed=0)["result"][0]

    assert again == first
    assert sent(charging) == 2


# --- A question, answered in a graph --------------------------------------------------------------------------------


def test_a_question_is_answered_as_its_error_says(nodes: Nodes, host: Host, charging: Any) -> None:
    """NemoVideo Chat in the place of the node, on the same session; what it makes can be exported."""
    charging.faults.add(Fault("ask_question", "message"))
    at = uploaded(nodes, host, "nemo")
    for _ in range(2):
        with pytest.raises(QuestionAsked, match=r"Which mood\? \[Calm / Lively\].*NemoVideo Chat") as caught:
            host.run(nodes["NemoGenerateVideo"], session=at, **GENERATE)
        assert "Nothing was charged" in str(caught.value)
    answered = host.run(nodes["NemoChat"], session=at, message="Calm", seed=0)["result"][0]
    out = host.run(nodes["NemoExportRender"], session=answered, filename_prefix="video/x", format="mp4", quality="high")

    assert Path(out["result"][1][0]).is_file()
    assert answered.session_id == at.session_id
    assert sent(charging) == 2


def test_the_all_in_one_nodes_question_is_answered_from_its_picture(nodes: Nodes, host: Host, charging: Any) -> None:
    """It has no session of its own: the same picture leads to the session that asked."""
    charging.faults.add(Fault("ask_question", "message"))
    with pytest.raises(QuestionAsked, match="NemoVideo Upload Image with the same pictures"):
        host.run(
            nodes["NemoImageToVideo"],
            image=picture(64, 96), filename_prefix="video/x", profile="nemo", **GENERATE,
        )  # fmt: skip
    answered = host.run(nodes["NemoChat"], session=uploaded(nodes, host, "nemo"), message="Calm", seed=0)["result"][0]

    assert answered.key.startswith("chat-")
    assert sent(charging) == 2


def test_a_failed_item_is_answered_by_its_own_session(nodes: Nodes, host: Host, charging: Any) -> None:
    """Of a list, the item that asked is marked failed, and Chat answers it; a node that is no Chat refuses it."""
    at = uploaded(nodes, host, "nemo")
    charging.faults.add(Fault("ask_question", "message", nth=2))
    (made, asked), _, _ = host.run(
        nodes["NemoGenerateVideo"],
        session=[at, at], prompt=["slow push-in", "slow pan"], aspect_ratio=["auto"], duration=[1], seed=[0],
        on_item_error=["skip"],
    )  # fmt: skip
    made, asked = (made, asked) if asked.error else (asked, made)
    assert "Which mood?" in asked.error
    with pytest.raises(NemoError, match="Which mood"):
        host.run(nodes["NemoEditVideo"], session=asked, instruction="x", when_changed="stop", seed=0)
    answered = host.run(nodes["NemoChat"], session=asked, message="Calm", seed=0)["result"][0]

    assert answered.session_id == asked.session_id != made.session_id
    assert not answered.error


# --- What a run paid before something failed -------------------------------------------------------------------------


def test_an_export_that_fails_says_what_the_run_paid_and_that_it_is_kept(
    nodes: Nodes, host: Host, charging: Any
) -> None:
    """Not "nothing was charged" right after 100 credits; queued again, it is found and nothing is paid."""
    at = uploaded(nodes, host, "nemo")
    charging.faults.add(Fault("answer", "render", status=402, code=402, message="plan", count=1))

    def node(name: str, **inputs: Any) -> Any:
        return host.run_in("run-1", nodes[name], **inputs)

    (made,), _, _ = node("NemoGenerateVideo", session=at, **GENERATE)
    export = {"session": made, "filename_prefix": "video/x", "format": "mp4", "quality": "high"}
    with pytest.raises(NemoError) as caught:
        node("NemoExportRender", **export)
    text = str(caught.value)
    out = node("NemoExportRender", **export)

    assert "100 credits were paid before that" in text
    assert "kept" in text
    assert made.key.split("-")[1][:8] in text
    assert "Nothing was charged" not in text
    assert Path(out["result"][1][0]).is_file()
    assert sent(charging) == 1


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("NemoExportRender", {"filename_prefix": "../../x", "format": "mp4", "quality": "high"}),
        ("NemoExportRender", {"filename_prefix": "video/x", "format": "exe", "quality": "high"}),
        ("NemoEditVideo", {"instruction": " ", "when_changed": "stop", "seed": 0}),
        ("NemoChat", {"message": "", "seed": 0}),
    ],
    ids=["prefix", "format", "instruction", "message"],
)
def test_a_later_node_with_a_wrong_input_says_what_the_run_paid(
    name: str, inputs: dict[str, Any], nodes: Nodes, host: Host, charging: Any
) -> None:
    """What comes over a link is judged when the node runs: by then another one has paid."""
    (made,), _, _ = host.run_in("run-1", nodes["NemoGenerateVideo"], session=uploaded(nodes, host, "nemo"), **GENERATE)
    with pytest.raises(NemoError, match="100 credits were paid before that"):
        host.run_in("run-1", nodes[name], session=made, **inputs)
    with pytest.raises(NemoError, match="Nothing was charged"):
        host.run_in("run-2", nodes[name], session=made, **inputs)


def test_a_run_that_paid_nothing_says_so(nodes: Nodes, host: Host, charging: Any) -> None:
    """The generation is of an earlier run: this one was free."""
    (made,), _, _ = host.run_in("run-1", nodes["NemoGenerateVideo"], session=uploaded(nodes, host, "nemo"), **GENERATE)
    charging.faults.add(Fault("answer", "render", status=402, code=402, message="plan", count=1))
    with pytest.raises(NemoError, match=r"Nothing was charged\.$"):
        host.run_in(
            "run-2", nodes["NemoExportRender"],
            session=made, filename_prefix="video/x", format="mp4", quality="high",
        )  # fmt: skip


def test_the_all_in_one_node_says_the_same(nodes: Nodes, host: Host, charging: Any) -> None:
    """Also where the export had to begin again: what the run paid is not called reused, hence free."""
    charging.faults.add(Fault("answer", "render", status=402, code=402, message="plan", count=1))
    inputs = {**GENERATE, "filename_prefix": "video/x", "profile": "nemo", "image": picture(64, 96)}
    with pytest.raises(NemoError, match="100 credits were paid before that"):
        host.run(nodes["NemoImageToVideo"], **inputs)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "count"), [("http_429", 2), ("close_before_headers", 2)])
def test_a_node_that_had_to_begin_again_tells_what_it_paid(
    kind: str, count: int, nodes: Nodes, host: Host, charging: Any
) -> None:
    """The export is not taken at once: the generation is found the second time, and was paid in this run."""
    how = {"retry_after": 0} if kind == "http_429" else {"accepted": False}
    charging.faults.add(Fault(kind, "render", count=count, **how))
    inputs = {**GENERATE, "filename_prefix": "video/x", "profile": "nemo", "image": picture(64, 96)}
    host.run(nodes["NemoImageToVideo"], **inputs)
    told = [text for _, text in host.texts]

    assert charging.faults.fired.count((kind, "render")) == count
    assert "100 credits, 900 left" in told[-1]
    assert sent(charging) == 1

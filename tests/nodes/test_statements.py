"""What a node says for good: one statement with one end a run, to the prompt's client alone, and an action an error."""

from __future__ import annotations

import ast
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import nemo_client
from nemo_client import ApiError, InputError, NemoError, NoCredits
from nemo_client._text import messages
from tests.nodes._arrays import picture
from tests.nodes._host import PACK, Host, Interrupted
from tests.support.ledger import read_ledger
from tests.support.sources import parse_source

Nodes = dict[str, type[Any]]
ELSEWHERE = ("batch-", "cluster-", "login-", "home-", "worker-", "jobs-")
"""Errors of the shell and of batches, which no node raises; `InputError`s are covered by their class."""


def statements(host: Host) -> list[dict[str, Any]]:
    """The events of nodes, in order."""
    return [data for name, data, _ in host.events if name == "nemo.node"]


def prepare(nodes: Nodes, host: Host, profile: str = "nemo", count: int = 1) -> Any:
    auth = host.run(nodes["NemoAuth"], profile=profile, language="auto")[0]
    image = nodes["NemoSampleImage"]().load(count)[0]
    mode = "one video per image" if count > 1 else "all images in one video"
    return host.run(nodes["NemoUploadImage"], auth=auth, image=image, batch_mode=mode)[0]


def generate(nodes: Nodes, host: Host, session: Any, **changes: Any) -> Any:
    usual = {"prompt": "a slow pan, 1 second", "aspect_ratio": "auto", "duration": 0, "seed": 0}
    return host.run(nodes["NemoGenerateVideo"], "4", **{"session": session, **usual, **changes})


def test_a_paid_node_says_what_it_took_and_what_is_left(nodes: Nodes, host: Host, cloud: Any) -> None:
    """As an event to the prompt's client, since a node without a preview has no `ui`; facts stand beside the words."""
    session = prepare(nodes, host)
    host.events.clear()
    generate(nodes, host, session)

    begun, done = statements(host)
    assert (begun["state"], done["state"]) == ("running", "done")
    assert done["line"] == "100 credits, 900 left"
    assert done["money"] == {"spent": 100, "certainty": "exact", "left": 900}
    assert (done["node"], done["class"]) == ("4", "NemoGenerateVideo")
    assert {sid for name, _, sid in host.events if name == "nemo.node"} == {"client"}
    json.dumps(done)


@pytest.mark.parametrize(
    ("limit", "action", "place"),
    [
        ("max_credits", "show", "Raise it at max_credits on this node,"),
        ("run_limit", "profiles", "Raise it in NemoVideo → Profiles,"),
        ("day_limit", "profiles", "Raise it in NemoVideo → Profiles,"),
    ],
)
def test_a_failed_node_ends_once_with_words_money_and_an_action(
    limit: str, action: str, place: str, nodes: Nodes, host: Host, cloud: Any
) -> None:
    """The remedy is named by its place in the page, and the action leads there: to the node or to the profiles."""
    if limit != "max_credits":
        nemo_client.save_profile("nemo", **{limit: 5})
    session = prepare(nodes, host)
    host.events.clear()
    with pytest.raises(NemoError, match=place):
        generate(nodes, host, session, max_credits=[5 if limit == "max_credits" else 0])

    begun, failed = statements(host)
    assert (begun["state"], failed["state"]) == ("running", "failed")
    assert failed["error"]["id"] == "limit"
    assert failed["error"]["action"] == action
    assert failed["error"]["money"] == "Nothing was charged."
    assert failed["error"]["hint"].startswith(place)


def test_a_cancelled_node_ends_once_and_says_what_goes_on(nodes: Nodes, host: Host, cloud: Any) -> None:
    """The words stay after the run, when the text of the progress is gone."""
    session = prepare(nodes, host)
    host.events.clear()

    def cancel(_: str) -> None:
        host.flag = True

    host.on_text = cancel
    with pytest.raises(Interrupted):
        generate(nodes, host, session)

    ends = [each for each in statements(host) if each["state"] != "running"]
    assert [each["state"] for each in ends] == ["cancelled"]
    assert ends[0]["line"].startswith("Cancelled")


def test_skipped_items_are_named_with_their_reasons(nodes: Nodes, host: Host, cloud: Any) -> None:
    """A list whose second item has no prompt."""
    session = prepare(nodes, host, count=2)
    host.events.clear()
    generate(nodes, host, session, prompt=["a slow pan, 1 second", " "], on_item_error=["skip"])

    done = statements(host)[-1]
    assert done["line"].startswith("1 of 2 finished · 100 credits")
    (skipped,) = done["skipped"]
    assert (skipped["number"], skipped["id"]) == (2, "prompt-empty")
    assert "The prompt is empty" in skipped["text"]


def test_a_prompt_without_a_client_writes_into_nobody_s_page(nodes: Nodes, host: Host, monkeypatch: Any) -> None:
    """What goes to no client in particular goes to all, and lands on nodes of the same number there."""
    import sys

    monkeypatch.setattr(sys.modules["server"].PromptServer.instance, "client_id", None)
    host.bars.clear()
    generate(nodes, host, prepare(nodes, host, "local preview"))

    assert host.texts == host.bars == statements(host) == []


def test_what_a_node_said_last_is_there_for_a_page_that_is_loaded_again(
    pack: Any, nodes: Nodes, host: Host, cloud: Any
) -> None:
    """By its workflow, one statement a node; headless prompts, and those of no workflow, leave nothing."""
    statements_of = load(pack, "statements").find_kept
    host.graph, host.drawn = {"4": {"class_type": "NemoGenerateVideo"}}, {"workflow": {"id": "w-1"}}
    session = prepare(nodes, host, "local preview")
    for words in (" ", "a slow pan, 1 second"):
        with contextlib.suppress(NemoError):
            generate(nodes, host, session, prompt=words)
    kept = [(each["class"], each["state"]) for each in statements_of("w-1")]
    host.graph = None
    generate(nodes, host, session, prompt="a slow pan, 2 seconds")

    assert kept.count(("NemoGenerateVideo", "done")) == 1
    assert ("NemoGenerateVideo", "failed") not in kept
    assert statements_of("") == []
    json.dumps(statements_of("w-1"))


def test_every_public_error_has_an_action(pack: Any) -> None:
    """By its own class, not only by an ancestor's; handled inside are the two that no one sees."""
    actions = load(pack, "actions")
    public = {
        name
        for name in nemo_client.__all__
        if isinstance(each := getattr(nemo_client, name), type) and issubclass(each, NemoError)
    }
    inside = {"ConnectError", "ConnectionBroken", "BadAnswer", "LostRace", "TooLate"}

    assert public - set(actions.BY_CLASS) - inside == set()


def test_every_error_of_the_backend_the_connection_and_a_job_has_an_action_of_its_own(pack: Any) -> None:
    """Decided in one table, by the text's id; none stands there that does not exist."""
    groups = json.loads((PACK / "nemo_client" / "_text" / "en.json").read_text(encoding="utf-8"))
    actions = load(pack, "actions")
    decided = {"The connection", "What the backend refuses"}
    errors = {text_id for name in decided for text_id in groups[name] if "." not in text_id}
    by_class = {"proxy-setting", "certificates-broken", "file-too-large", "file-too-large-there"}
    by_class |= {"unsupported-file", "unsupported-file-there"}

    assert errors - set(actions.BY_ID) - by_class == set()
    assert {each for each in actions.BY_ID if not messages.is_text(each)} == set()


def test_the_page_knows_each_action() -> None:
    """Names in the table of the server, functions and words in the page's."""
    tree = parse_source((PACK / "nodes" / "_comfy" / "actions.py").read_text(encoding="utf-8"))
    (named,) = [node for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "Action"]  # type: ignore[attr-defined]
    names = {each.value for each in ast.walk(named) if isinstance(each, ast.Constant)}
    page = (PACK / "web" / "errors.mjs").read_text(encoding="utf-8")
    words = (PACK / "web" / "words.js").read_text(encoding="utf-8")

    for name in names:
        assert f"    {name}: (" in page or f'    "{name}": (' in page, name
        assert words.count(f'"act.{name}"') == 2, name


def test_a_missing_plan_says_that_the_video_is_kept() -> None:
    """And where to upgrade."""
    assert "made and kept" in nemo_client.PlanError().text("en")
    assert "已生成并保留" in nemo_client.PlanError().text("zh")


def test_what_is_free_to_repeat_is_offered_as_free(pack: Any) -> None:
    """The button says what its text says; what may not be done at all is not offered again."""
    actions = load(pack, "actions")

    for text_id, action in actions.BY_ID.items():
        text = messages.say(text_id, "en")
        assert (action == "retry-free") == ("Run again" in text and "free." in text.lower()), text_id
    assert actions.choose_action(ApiError(code=403, status=403)) == "token"
    assert actions.choose_action(ApiError(code=404, status=404)) == "retry"


def test_a_remedy_that_the_page_has_is_named_by_its_place_there() -> None:
    """No error of a node or the panel sends to the shell for a token, a job or a list."""
    told = {each: NemoError(each) for each in load_ids()}
    for error in told.values():
        error.on_page = True

    assert [each for each, error in told.items() if "nemo-video " in error.describe("en")] == []
    assert [each for each, error in told.items() if "NEMO_TOKEN" in error.describe("en")] == []


def load_ids() -> list[str]:
    """The ids of what a node or the panel can tell."""
    elsewhere = (*ELSEWHERE, "usage", "extra-cli", "serve-failed")
    groups = json.loads((PACK / "nemo_client" / "_text" / "en.json").read_text(encoding="utf-8"))
    shown = [each for name, texts in groups.items() if not name.startswith(("Words", "Batches")) for each in texts]
    return [each for each in shown if "." not in each and not each.startswith(elsewhere)]


def test_an_address_of_the_action_is_of_the_web_only(pack: Any) -> None:
    """A link comes from the backend's words: nothing but https leaves."""
    actions = load(pack, "actions")

    assert actions.describe_error(NoCredits(link="https://web.test/x", available=0), "en")["link"]
    assert actions.describe_error(NoCredits(link="javascript:x", available=0), "en")["link"] == ""
    assert actions.describe_error(InputError("prompt-empty"), "en")["action"] == "show"
    assert actions.describe_error(OSError("no"), "en")["charged"] == "maybe"


def load(pack: Any, name: str) -> Any:
    import importlib

    return importlib.import_module(f"{pack.__name__}.nodes._comfy.{name}")


def test_an_export_says_its_length_size_and_bytes(nodes: Nodes, host: Host, cloud: Any) -> None:
    """In the `ui`, which ComfyUI keeps with a cached output; and each file has its name and size there."""
    session = generate(nodes, host, prepare(nodes, host))[0]
    answer = host.run(
        nodes["NemoExportRender"], session=session, filename_prefix="x", format="mp4", quality="low", resolution="480p"
    )

    (done,) = answer["ui"]["nemo"]
    (video,) = done["videos"]
    assert done["line"].startswith("1 s · 480p · ")
    assert Path(host.folder("output"), video["filename"]).stat().st_size == video["size"]
    assert len(read_ledger(cloud.directory).messages) == 1


def test_a_node_says_that_a_picture_is_sent_smaller(nodes: Nodes, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of a graph or a file: in its line, and as a fact."""
    monkeypatch.setattr("nemo_client._files.large_pictures.MAX_PIXELS", 3000)
    monkeypatch.setattr("nemo_client._files.large_pictures.SHRUNK_PIXELS", 1000)
    auth = host.run(nodes["NemoAuth"], profile="local preview", language="auto")[0]
    Image.new("RGB", (64, 48)).save(Path(host.folder("input")) / "scan.tif")
    host.events.clear()
    host.run(nodes["NemoUploadMedia"], auth=auth, source="scan.tif")
    image = picture(64, 48)
    host.run(nodes["NemoUploadImage"], auth=auth, image=image, batch_mode="all images in one video")

    lines = [each["line"] for each in statements(host) if each["state"] == "done"]
    assert ["smaller: 32 x 24" in line for line in lines] == [True, True]
    assert all(each["notices"] for each in statements(host) if each["state"] == "done")

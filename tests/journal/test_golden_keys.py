"""Keys through the public requests, as journals have them: where one changes, everything known would be paid again.

`tests/journals/keys.json` was written by the version before this test. A key in it is never changed; a request that is
new is added to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

import pytest

from nemo_client import Caller, Destination, Output, SessionHandle, Studio, Wish
from nemo_client._journal.steps import DEFAULTS, State
from tests.support.backend import Cloud, cloud, picture

__all__ = ["cloud"]

Clouds = Callable[..., Cloud]
KEYS = Path(__file__).parent / "journals" / "keys.json"
WISHES = {
    "as it comes": Wish("a café\r\nat dawn"),
    "wide": Wish("a café\r\nat dawn", aspect_ratio="16:9"),
    "long": Wish("a café\r\nat dawn", duration=7.0),
    "longer": Wish("a café\r\nat dawn", duration=7.5),
    "another seed": Wish("a café\r\nat dawn", seed=3),
    "ends": Wish("a café\r\nat dawn", ends=True),
}
OUTPUTS = {
    "as it comes": Output(),
    "webm": Output("webm"),
    "low": Output(quality="low"),
    "small": Output(resolution="720p"),
}


async def asked(studio: Studio, folder: Path) -> dict[str, str]:
    """The key of every kind of request, by what was asked for."""
    found: dict[str, str] = {}

    def note(name: str, handle: SessionHandle) -> SessionHandle:
        found[name] = handle.key
        return handle

    at = note("upload", await studio.upload([picture()]))
    note("upload two", await studio.upload([picture(), picture(30)]))
    note("upload in Chinese", await studio.upload([picture()], language="zh-CN"))
    note("upload onto", await studio.upload([picture(60)], onto=await studio.upload([picture(61)])))
    for name, wish in WISHES.items():
        note(f"generate {name}", (await studio.generate(at, wish)).session)
    made = (await studio.generate(at, WISHES["as it comes"])).session
    note("edit", (await studio.edit(made, "make it 4 seconds")).session)
    newest = (await studio.edit(made, "make it 6 seconds", seed=2, when_changed="edit the newest state")).session
    note("edit the newest state, another seed", newest)
    again = (await studio.edit(made, "make it 9 seconds", when_changed="generate again (pays)")).session
    note("generate again", again)
    talk = note("chat", (await studio.chat(newest, "make it 8 seconds")).session)
    note("chat, another seed", (await studio.chat(talk, "make it 8 seconds", seed=1)).session)
    for name, output in OUTPUTS.items():
        await studio.export(made, Destination(folder, name), output)
    exports = await studio._context.journal.exports_of(made.key)
    wanted = {each.facts["wanted"]["destination"]["stem"]: each.key for each in exports}
    return {**found, **{f"export {name}": wanted[name] for name in OUTPUTS}}


async def test_every_request_has_the_key_that_journals_know(cloud: Clouds, tmp_path: Path) -> None:
    """An input that was added to a request without staying out of its key at its default would change one."""
    backend = cloud(credits=10_000)
    async with backend.studio() as studio:
        assert await asked(studio, tmp_path) == json.loads(KEYS.read_text(encoding="utf-8"))


async def test_the_all_in_one_way_has_the_keys_of_the_single_steps(cloud: Clouds, tmp_path: Path) -> None:
    """What one of them has done, the other one finds."""
    known = json.loads(KEYS.read_text(encoding="utf-8"))
    backend = cloud()
    async with backend.studio() as studio:
        video = await studio.animate([picture()], WISHES["as it comes"], Destination(tmp_path, "one"), caller=Caller())
        journal = studio._context.journal
        for name in ("upload", "generate as it comes", "export as it comes"):
            step = await journal.latest(known[name])
            assert step is not None, name
            assert step.state is State.DONE
    assert video.path.exists()


@pytest.mark.parametrize(
    ("kind", "inputs", "names"),
    [
        ("generate", Wish("a").inputs, {each.name for each in fields(Wish)}),
        ("export", {each.name: getattr(Output(), each.name) for each in fields(Output)}, set()),
    ],
)
def test_an_input_at_its_default_stays_out_of_the_key(
    kind: str, inputs: dict[str, object], names: Iterable[str]
) -> None:
    """Whatever is added later: what is not asked for leaves the key as it was."""
    defaults = DEFAULTS[kind]  # type: ignore[index]
    assert {name: value for name, value in inputs.items() if name not in ("prompt", *defaults)} == {}
    assert all(inputs[name] == value for name, value in defaults.items())
    assert set(names) <= {"prompt", *defaults}

"""The page of a batch: everything in it is text, everything it shows lies beside it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image

from nemo_client._batch.report import THUMBNAIL_SIDE, locate_thumbnail, make_thumbnail, write_page
from tests.support.backend import write_video

EVIL = """<script>alert("x")</script>'"><img src=x onerror=alert(1)>"""


class Seen(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def line(name: str, state: str = "done", **more: Any) -> dict[str, Any]:
    video = f"{name}.mp4" if state == "done" else None
    return {"item": name, "state": state, "video": video, "prompt": "slow push-in", "seconds": 12.4, **more}


def seen(folder: Path, *lines: dict[str, Any], lang: str = "en") -> Seen:
    return Seen(write_page(folder, lines, "2 of 3 videos", lang).read_text(encoding="utf-8"))


def test_every_item_has_a_card_with_its_prompt_and_state(tmp_path: Path) -> None:
    """What failed says why and what to do; what was not begun is there, too."""
    page = seen(
        tmp_path, line("a", credits=100.0), line("b", "failed", error="It broke.", what_to_do="Mend it."),
        line("c", duplicate_of="a"), {"item": "d", "state": "open", "prompt": "p"},
    )  # fmt: skip

    assert [card["class"] for card in page.of("article")] == ["done", "failed", "done", "open"]
    for words in ("slow push-in", "100 credits", "12 s", "It broke. Mend it.", "the same as a", "not started"):
        assert words in page.text


def test_names_and_prompts_are_text(tmp_path: Path) -> None:
    """Whatever a manifest says: no tag, no attribute and no address of its own."""
    page = seen(tmp_path, line(EVIL, prompt=EVIL), line("b", "failed", prompt="p", error=EVIL, what_to_do=EVIL))

    assert len(page.of("script")) == 1
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert EVIL in page.text


@pytest.mark.parametrize("name", ["a b", "50% #1?", "sets/one", "javascript:alert(1)", "日本", "//evil.test/x"])
def test_links_lead_to_the_file_beside_it(tmp_path: Path, name: str) -> None:
    """Whatever it is called; never to a script or another place."""
    (link,) = seen(tmp_path, line(name)).of("a")
    address = link["href"] or ""

    assert address.startswith("./")
    assert unquote(address) == f"./{name}.mp4"
    assert not re.search(r"[?#\s]", address)


def test_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    """No address of another host, and a policy that would refuse any; the one script is allowed by its hash."""
    text = write_page(tmp_path, [line("a")], "", "en").read_text(encoding="utf-8")

    assert not re.search(r"(src|href)=\"(?!\./)|https?://|@import|url\(", text)
    assert "default-src 'none'" in text
    assert re.search(r"script-src 'sha256-[\w+/=]{44}'", text)


def test_states_are_filtered_without_any_script(tmp_path: Path) -> None:
    """One choice for each state that there is, with how many."""
    page = seen(tmp_path, line("a"), line("b", "failed"), line("c"))

    assert [each["id"] for each in page.of("input") if each.get("type") == "radio"] == [
        "show-all", "show-done", "show-failed",
    ]  # fmt: skip
    assert "done 2" in page.text
    assert "#show-failed:checked~main article:not(.failed){display:none}" in page.text


def test_a_thumbnail_is_small_and_loaded_late(tmp_path: Path) -> None:
    """A file beside the page, from an early picture, not the first, which is often dark; a name may hold a folder."""
    video = write_video(tmp_path / "a.mp4", size=(640, 480))

    assert make_thumbnail(tmp_path, "sets/a", video)
    with Image.open(locate_thumbnail(tmp_path, "sets/a")) as image:
        assert max(image.size) == THUMBNAIL_SIDE
        assert image.convert("L").getpixel((100, 100)) > 40
    (picture,) = seen(tmp_path, line("sets/a")).of("img")
    assert picture == {"loading": "lazy", "src": "./thumbnails/sets/a.jpg", "alt": ""}
    assert list((tmp_path / "thumbnails").rglob(".*")) == []


@pytest.mark.parametrize("name", ["x" * 251, "sets/" + "\u732b" * 83, "a." + "b" * 247])
def test_a_name_of_any_length_has_a_thumbnail(name: str, tmp_path: Path) -> None:
    """A video's name has four letters less behind it than a thumbnail's; two long ones are not one."""
    video = write_video(tmp_path / "a.mp4")

    assert make_thumbnail(tmp_path, name, video)
    assert locate_thumbnail(tmp_path, name).is_file()
    assert locate_thumbnail(tmp_path, name) != locate_thumbnail(tmp_path, name[:-1] + "z")


@pytest.mark.parametrize("format", ["gif", "webm"])
def test_every_format_has_a_thumbnail(tmp_path: Path, format: str) -> None:
    """Whatever the videos are."""
    assert make_thumbnail(tmp_path, "a", write_video(tmp_path / f"a.{format}", format))


def test_a_video_that_cannot_be_read_has_no_thumbnail(tmp_path: Path) -> None:
    """The page is made all the same."""
    (tmp_path / "a.mp4").write_bytes(b"no video")

    assert not make_thumbnail(tmp_path, "a", tmp_path / "a.mp4")
    assert seen(tmp_path, line("a")).of("img") == []


def test_a_page_of_somebody_else_stays(tmp_path: Path) -> None:
    """Ours is written over again and again; what was there before is never lost."""
    (tmp_path / "index.html").write_text("<h1>mine</h1>")
    first = write_page(tmp_path, [line("a")], "", "en")
    again = write_page(tmp_path, [line("b")], "", "en")

    assert first == again == tmp_path / "index-videos.html"
    assert (tmp_path / "index.html").read_text() == "<h1>mine</h1>"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index-videos.html", "index.html"]


def test_it_speaks_the_user_s_language(tmp_path: Path) -> None:
    """As everything else that people read."""
    page = seen(tmp_path, line("a"), lang="zh")

    assert page.of("html")[0]["lang"] == "zh"
    assert "已完成" in page.text

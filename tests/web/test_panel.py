"""The extension in a browser, on a stand-in for ComfyUI's page: what it shows, sends, keeps and leaves behind."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend import write_video
from tests.support.waiting import PATIENT_SECONDS
from tests.web._page import BARE_APP, Server, job, profile, running, serve

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"), pytest.mark.long]

OPEN = "tab.render(document.getElementById('side'))"
EVIL = "<img src=x onerror='window.hacked=1'><b>bold</b>"
TOKEN = "nmv_usr_" + "pasted4321"
MOVED = "api.dispatchEvent(new Event('nemo.jobs'))"
KEPT = "JSON.stringify([{...localStorage}, {...sessionStorage}, location.href, document.cookie])"
Page = Any
Load = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture(scope="module")
def tabs(browser: Any) -> list[Page]:
    """Tabs of one browser profile that no test uses now: a new one costs more than most tests."""
    context = browser.new_context()
    return [context.new_page()]


@pytest.fixture
def load(tabs: list[Page], server: Server) -> Iterator[Load]:
    """Opens the page; at the end, the console must have stayed silent (browsers themselves note refused requests)."""
    listening, address = serve(server)
    context = tabs[0].context
    said: list[str] = []
    used: list[Page] = []

    def hear(message: Any) -> None:
        said.append(message.text)

    def hear_error(error: Any) -> None:
        said.append(str(error))

    def opened(lang: str = "en") -> Page:
        page = tabs.pop() if tabs else context.new_page()
        page.set_default_timeout(PATIENT_SECONDS * 1000)
        page.on("console", hear)
        page.on("pageerror", hear_error)
        used.append(page)
        page.goto(f"{address}?lang={lang}")
        page.wait_for_function("window.ready")
        return page

    yield opened
    for page in used:
        page.evaluate("localStorage.clear(); sessionStorage.clear()")
        page.goto("about:blank")
        page.remove_listener("console", hear)
        page.remove_listener("pageerror", hear_error)
    context.clear_cookies()
    tabs.extend(used)
    listening.shutdown()
    listening.server_close()
    refused = any(status >= 400 for status, _ in server.answers.values())
    assert [text for text in said if not (refused and text.startswith("Failed to load resource"))] == []


def open_panel(page: Page) -> Any:
    """The panel, when it has read profiles and jobs."""
    page.evaluate(OPEN)
    panel = page.locator("nemo-video-panel")
    panel.locator("[data-what=account]").filter(has_text=re.compile(".")).wait_for()
    panel.locator(".nv-job, [role=status]:visible").first.wait_for()
    return panel


def test_the_page_s_start_asks_the_server_nothing(load: Load, server: Server) -> None:
    """Routes are asked when the tab is opened, not before."""
    page = load()
    before = list(server.asked)
    open_panel(page)

    assert before == []
    assert {"/nemo/profiles", "/nemo/jobs"} <= set(server.asked)


def test_an_update_of_the_pack_is_seen(load: Load, server: Server) -> None:
    """Modules that the browser has kept are checked with the server before they are used."""
    open_panel(load())
    server.added = {"dom.mjs": "window.updated = true;"}
    page = load()
    open_panel(page)

    assert page.evaluate("window.updated")


def test_a_front_end_without_the_apis_is_left_alone(load: Load, server: Server) -> None:
    """Where ComfyUI lacks the sidebar, toasts and settings, loading and setting up do nothing."""
    server.app = BARE_APP

    assert load().evaluate("extension.name") == "nemo.video"


def test_hostile_text_is_text(load: Load, server: Server) -> None:
    """Prompts, errors and names are shown as they are, and never become elements."""
    server.profiles = [profile(EVIL, problem=EVIL)]
    server.jobs = [job(1, prompt=EVIL, error=EVIL, running=running(0.5, EVIL), profile=EVIL)]
    page = load()
    card = open_panel(page).locator(".nv-job")

    assert EVIL in card.locator(".nv-prompt").inner_text()
    assert card.locator("> .nv-trouble").inner_text() == EVIL
    assert page.locator("b").count() == 0
    assert page.evaluate("window.hacked") is None


def test_a_picture_that_is_not_one_is_not_shown(load: Load, server: Server) -> None:
    """Only a data address of an image becomes a thumbnail."""
    server.jobs = [job(1, picture=True), job(2, picture=True)]
    server.answers["/nemo/jobs/00000001/picture"] = (200, {"image": "javascript:alert(1)"})
    server.answers["/nemo/jobs/00000002/picture"] = (200, {"image": "data:image/png;base64,iVBORw0KGgo="})
    panel = open_panel(load())
    panel.locator("[data-job='00000002'] img[src]").wait_for(state="attached")

    assert panel.locator("[data-job='00000001'] img").get_attribute("src") is None


def test_a_pasted_token_is_sent_once_and_kept_nowhere(load: Load, server: Server) -> None:
    """The field is empty as soon as it was sent; the page then knows the last four characters."""
    page = load()
    page.evaluate("document.body.append(extension.settings.find((each) => each.id === 'NemoVideo.Token').type())")
    field = page.locator("nemo-video-setting input[type=password]")
    field.fill(TOKEN)
    field.press("Enter")
    page.locator("[data-what=token]", has_text="ends in 4321").wait_for()

    assert server.posted == [("/nemo/profiles/token", {"name": "nemo", "token": TOKEN})]
    assert field.input_value() == ""
    assert TOKEN not in page.evaluate(KEPT) + page.content() + str(page.evaluate("toasts"))


def test_no_setting_is_given_to_comfyui_s_settings_file(load: Load, server: Server) -> None:
    """The entries draw themselves and never call ComfyUI's setter."""
    page = load()
    page.evaluate(
        "extension.settings.forEach((each) => document.body.append(each.type('', () => { window.set = 1 }, '')))"
    )
    limit = page.locator("nemo-video-setting input[type=number]").last
    limit.wait_for()
    limit.fill("25")
    limit.press("Tab")
    page.wait_for_function("toasts.length")

    assert server.posted == [("/nemo/profiles/save", {"name": "nemo", "run_limit": 25})]
    assert page.evaluate("window.set") is None


def test_a_token_of_the_environment_cannot_be_changed_here(load: Load, server: Server) -> None:
    """Then there is no field, only where it comes from."""
    server.profiles = [profile(source="environment", ending="wxyz", token_env="NEMO_TOKEN")]
    page = load()
    page.evaluate("document.body.append(extension.settings.find((each) => each.id === 'NemoVideo.Token').type())")
    page.locator("[data-what=token]", has_text="NEMO_TOKEN").wait_for()

    assert not page.locator("nemo-video-setting form input").is_visible()


def test_a_profile_that_holds_credits_is_deleted_after_a_second_yes(load: Load, server: Server) -> None:
    """The second question names what goes with it."""
    server.profiles.append(profile("mine", builtin=False))
    refused = {"error": "100 credits would be given up.", "hint": "", "id": "token-gives-up", "charged": "no"}
    server.answers["/nemo/profiles/delete"] = (409, refused)
    page = load()
    row = open_panel(page).locator("[data-profile=mine]")
    row.evaluate(
        "row => { for (let at = row; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true; }"
    )
    row.get_by_role("button", name="Delete profile").click()
    page.wait_for_function("toasts.length")  # this server refuses always

    assert page.evaluate("questions.length") == 2
    assert "100 credits" in page.evaluate("questions[1].message")
    sent = [body for path, body in server.posted if path == "/nemo/profiles/delete"]
    assert sent == [{"name": "mine"}, {"name": "mine", "force": True}]


@pytest.mark.parametrize("yes", [True, False], ids=["yes", "no"])
def test_a_token_that_gives_up_jobs_is_stored_only_after_a_yes(load: Load, server: Server, yes: bool) -> None:
    """The server refuses it at first; the question tells why."""
    refused = {"error": "Job 1 would be given up.", "hint": "Resume it first.", "id": "token-gives-up", "charged": "no"}
    server.answers["/nemo/profiles/token"] = (409, refused)
    page = load()
    if not yes:
        page.evaluate("app.extensionManager.dialog.confirm = async (asked) => (questions.push(asked), false), null")
    page.evaluate("document.body.append(extension.settings.find((each) => each.id === 'NemoVideo.Token').type())")
    page.locator("nemo-video-setting form input").fill(TOKEN)
    page.locator("nemo-video-setting form input").press("Enter")
    page.wait_for_function("toasts.length")
    first = {"name": "nemo", "token": TOKEN}

    assert [body for _, body in server.posted] == ([first, {**first, "force": True}] if yes else [first])
    assert "Job 1 would be given up." in page.evaluate("questions.map((each) => each.message).join()")


def test_a_job_moves(load: Load, server: Server) -> None:
    """The server's event makes the panel read again; the card changes in place."""
    server.jobs = [job(1, state="sent", delivered=False, unfinished=True, running=running(0.2))]
    page = load()
    panel = open_panel(page)
    bar = panel.get_by_role("progressbar")
    first = bar.get_attribute("aria-valuenow")
    page.evaluate("document.querySelector('.nv-job').mine = true")
    server.jobs = [job(1, state="sent", delivered=False, unfinished=True, running=running(0.7))]
    page.evaluate(MOVED)
    page.wait_for_function("document.querySelector('[role=progressbar]').ariaValueNow === '70'")
    server.jobs = [job(1)]
    page.evaluate(MOVED)
    panel.locator("[data-state=delivered]").wait_for()

    assert first == "20"
    assert page.evaluate("document.querySelector('.nv-job').mine")
    assert not bar.is_visible()


def test_a_hidden_page_is_not_polled(load: Load, server: Server) -> None:
    """While the page is hidden nothing is read, whatever the server says; when it is seen again, it is."""
    page = load()
    open_panel(page)
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.evaluate(f"document.dispatchEvent(new Event('visibilitychange')), {MOVED}")
    before = server.asked.count("/nemo/jobs")
    page.wait_for_timeout(300)
    hidden = server.asked.count("/nemo/jobs") - before
    page.evaluate("delete document.hidden, document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(300)

    assert hidden == 0
    assert server.asked.count("/nemo/jobs") > before


def test_closing_the_tab_ends_everything(load: Load, server: Server) -> None:
    """No element, style, listener or request stays; the tab opens again."""
    server.jobs = [job(1, running=running(0.5))]
    page = load()
    open_panel(page)
    page.evaluate("tab.destroy()")
    before = len(server.asked)
    page.evaluate(f"{MOVED}, document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(1300)
    left = page.evaluate("document.querySelectorAll('nemo-video-panel, .nemo-video, link[rel=stylesheet]').length")

    assert len(server.asked) == before
    assert left == 0
    assert open_panel(page).count() == 1


def test_another_tab_in_the_same_place_makes_it_leave(load: Load) -> None:
    """ComfyUI hands one container from one tab to the next without telling the first."""
    page = load()
    open_panel(page)
    page.evaluate("document.getElementById('side').append('another tab')")
    page.wait_for_function("!document.querySelector('nemo-video-panel')")

    assert page.locator("#side").inner_text() == "another tab"


def test_the_project_page_is_opened_without_ties_and_only_on_the_web(load: Load, server: Server) -> None:
    """The link goes to a new tab that cannot reach back; anything but https is not opened."""
    server.jobs = [job(1, page=True), job(2, page=True)]
    server.answers["/nemo/jobs/00000001/project-page"] = (200, {"url": "https://backend.example/claim?c=once"})
    server.answers["/nemo/jobs/00000002/project-page"] = (200, {"url": "javascript:alert(1)"})
    page = load()
    page.evaluate("window.opened = [], window.open = (...all) => void opened.push(all), null")
    panel = open_panel(page)
    for number in (1, 2):
        panel.locator(f"[data-job='0000000{number}'] button", has_text="Project page").click()
    page.wait_for_function("toasts.length")

    assert page.evaluate("opened") == [["https://backend.example/claim?c=once", "_blank", "noopener,noreferrer"]]
    assert "claim" not in page.evaluate(KEPT) + page.content()


SHOWN = {"filename": "a.webm", "subfolder": "video", "type": "output"}


def test_buttons_are_those_that_can_do_something(load: Load, server: Server) -> None:
    """What a job cannot do is not offered."""
    server.jobs = [
        job(1, state="sent", delivered=False, unfinished=True, running=running(0.5)),
        job(2, video=SHOWN, path="/output/video/a.webm", page=True, folder=True),
        job(3, state="lost", delivered=False, resumable=True, spent=None),
        job(4, video=SHOWN, path="/output/video/a.webm"),
    ]
    panel = open_panel(load())
    offered = [
        [each.inner_text() for each in card.locator("> .nv-actions > :visible").all()]
        for card in panel.locator(".nv-job").all()
    ]

    shown = [
        "Download",
        "Open folder",
        "Copy prompt",
        "Open this workflow",
        "New take (≈ 12 credits)",
        "Project page",
        "Forget",
    ]
    assert offered[:3] == [["Copy prompt"], shown, ["Resume", "Copy prompt", "New take", "Forget"]]
    assert offered[3] == [each for each in shown if each not in ("Open folder", "Project page")], "asked from elsewhere"


@pytest.mark.parametrize(
    ("stops", "word"),
    [
        ("render", "Stop rendering"),
        ("waiting", "Stop waiting (the video is made anyway)"),
        ("start", "Cancel"),
        ("", ""),
    ],
)
def test_a_cancel_is_offered_as_what_it_does(stops: str, word: str, load: Load, server: Server) -> None:
    """A message that is out goes on and is charged: there is no Cancel for it."""
    server.jobs = [job(1, state="sent", delivered=False, unfinished=True, running=running(0.5), stops=stops)]
    words = open_panel(load()).locator(".nv-job > .nv-actions > :visible").all_inner_texts()

    assert [each for each in words if each != "Copy prompt"] == ([word] if word else [])


def test_each_button_has_a_name_of_its_own_also_in_an_opened_card(load: Load, server: Server) -> None:
    """What unfolds a reason, and what stands under a player, name their jobs as well."""
    server.film = film()
    server.jobs = [job(number, prompt=f"lake {number}", error="It failed. " * 30, video=SHOWN) for number in (1, 2)]
    panel = open_panel(load())
    for card in panel.locator(".nv-job").all():
        card.locator(".nv-thumb").click()
    buttons = panel.locator(".nv-job :is(button, a):visible")
    names = buttons.evaluate_all("all => all.map((each) => each.getAttribute('aria-label'))")
    titles = buttons.evaluate_all("all => all.map((each) => each.title)")

    assert len(set(names)) == len(names) >= 12
    assert [name for name in names if "lake" not in name] == []
    assert [title for title in titles if not title] == []
    assert {"Show more", "Close", "Open file"} <= set(titles)


def test_each_button_has_a_name_of_its_own(load: Load, server: Server) -> None:
    """Those who hear the page can tell which job a button is for, also where two were asked for alike."""
    rest = {"video": SHOWN, "folder": True, "page": True, "resumable": True}
    server.jobs = [job(1, **rest), job(2, **rest), job(3, prompt="a heron " * 9, **rest), job(4, prompt="", **rest)]
    panel = open_panel(load())
    names = panel.locator(".nv-job :is(button, a):visible").evaluate_all(
        "all => all.map(e => e.ariaLabel ?? e.innerText)"
    )

    assert len(set(names)) == len(names) == 4 * 9 - 1  # nothing to copy where there is no prompt
    assert sum(name.startswith("Play: a lake at dawn, ") for name in names) == 2
    assert any(name.startswith("Forget: a heron a heron a heron a heron a heron…, ") for name in names)
    assert max(map(len, names)) < 90


def test_a_card_says_in_words_how_its_job_stands(load: Load, server: Server) -> None:
    """No state is a dot alone; what failed says why, and the money says how sure it is."""
    ends = {"delivered": False, "error": "It was not made."}
    server.jobs = [
        job(1, state="planned", delivered=False),
        job(2, state="done", delivered=False, unfinished=True, spent=300, certainty="at most"),
        job(3, state="failed", spent=None, certainty="unknown", **ends),
        job(4, state="refused", **ends, spent=None, certainty="unknown"),
        job(5, state="unknown", **ends, spent=None, certainty="unknown"),
        job(6, state="lost", **ends, spent=7, certainty="unknown"),
        job(7, free=True, spent=0),
        job(8, spent=None, certainty="unknown"),
        job(9, state="failed", delivered=False, asks=True, error="Which mood? [Calm / Lively]"),
    ]
    panel = open_panel(load())
    cards = panel.locator(".nv-job").all()
    told = {
        int(card.get_attribute("data-job"), 16): (
            card.locator(".nv-state").inner_text(), card.locator(".nv-facts").inner_text().split(" · ")[0],
            card.locator(".nv-trouble").inner_text() if card.locator(".nv-trouble:visible").count() else "",
        )
        for card in cards
    }  # fmt: skip

    assert told[1][0] == "not started (free)"
    assert told[2][:2] == ("ready to collect", "at most 300 credits")
    assert told[3] == ("failed: no video", "may have been charged", "It was not made.")
    assert (told[4][0], told[4][2]) == ("refused (free)", "It was not made.")
    assert told[5][1] == "may have been charged"
    assert told[6][1] == "at least 7 credits"
    assert told[7][:2] == ("saved", "free")
    assert told[8][1] == "credits not known yet"
    assert told[9][0::2] == ("asks a question", "Which mood? [Calm / Lively]")


def test_a_long_reason_is_two_lines_until_it_is_asked_for(load: Load, server: Server) -> None:
    """A question is shown whole at once."""
    words = "The backend answered without making a video, and said a good deal about it. " * 4
    server.jobs = [job(1, state="failed", error=words), job(2, state="failed", error=words, asks=True)]
    panel = open_panel(load())
    told = [panel.locator(f"[data-job='0000000{number}'] .nv-trouble") for number in (1, 2)]
    before = [each.bounding_box()["height"] for each in told]
    panel.get_by_role("button", name="Show more").click()
    after = told[0].bounding_box()["height"]

    assert before[0] < 40 < before[1] == after
    assert panel.get_by_role("button", name="Show less").get_attribute("aria-expanded") == "true"


def test_buttons_show_their_words_where_the_page_has_no_icons(load: Load, server: Server) -> None:
    """A front end without these icons must not leave empty buttons."""
    server.jobs = [job(1)]
    page = load()
    page.evaluate("document.getElementById('icons').remove()")
    width = open_panel(page).get_by_role("button", name="Copy prompt").bounding_box()["width"]
    word = page.locator(".nv-job .nv-word:visible").first.bounding_box()["width"]

    assert width > 50
    assert word > 40


def test_the_words_of_resume_are_whole_in_the_narrowest_sidebar(load: Load, server: Server) -> None:
    """Icons give way first."""
    server.jobs = [job(1, state="done", delivered=False, unfinished=True, resumable=True, page=True)]
    page = load()
    page.evaluate("document.getElementById('side').style.width = '236px'")
    resume = open_panel(page).get_by_role("button", name="Resume")

    assert resume.evaluate("(each) => each.scrollWidth <= each.clientWidth")
    assert page.locator(".nv-job").bounding_box()["height"] <= 100
    page.evaluate("document.getElementById('side').style.width = '193px'")
    assert resume.evaluate("(each) => each.scrollWidth <= each.clientWidth")
    assert page.locator(".nv-job .nv-actions").evaluate("(row) => row.scrollWidth <= row.clientWidth")


@pytest.mark.parametrize("width", [300, 420])
def test_cards_are_compact(width: int, load: Load, server: Server) -> None:
    """About 90 pixels for a job with everything that can be done with it, in a narrow sidebar, too."""
    rest = {"prompt": "a long prompt about a lake " * 9, "profile": "a name of a profile"}
    server.jobs = [
        job(1, video=SHOWN, folder=True, page=True, **rest),
        job(2, state="done", delivered=False, unfinished=True, resumable=True, page=True, **rest),
        job(3, state="sent", delivered=False, unfinished=True, running=running(0.5), stops="waiting", **rest),
    ]
    page = load()
    page.evaluate(f"document.getElementById('side').style.width = '{width}px'")
    cards = open_panel(page).locator(".nv-job").all()

    assert [80 <= card.bounding_box()["height"] <= 100 for card in cards] == [True] * 3


def film() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_video(Path(folder) / "a.webm", "webm").read_bytes()


def test_the_picture_plays_its_video_while_the_pointer_is_on_it(load: Load, server: Server) -> None:
    """Silent and looping; a job without a video has none; the keyboard's focus does the same."""
    server.film = film()
    server.jobs = [job(1, video=SHOWN), job(2)]
    page = load()
    panel = open_panel(page)
    thumb = panel.locator("[data-job='00000001'] .nv-thumb")
    playing = (
        "() => { const v = document.querySelector('.nv-thumb video'); return v && v.currentTime > 0 && !v.paused }"
    )
    thumb.hover()
    page.wait_for_function(playing)
    kind = page.evaluate("(({ muted, loop, src }) => [muted, loop, src])(document.querySelector('.nv-thumb video'))")
    panel.locator("[data-job='00000002'] .nv-prompt").hover()
    gone = page.locator(".nv-thumb video").count()
    thumb.focus()
    page.wait_for_function(playing)

    assert kind[:2] == [True, True]
    assert kind[2].endswith("/api/view?filename=a.webm&subfolder=video&type=output")
    assert gone == 0


def test_a_job_that_is_delivered_shows_a_picture_of_its_result(load: Load, server: Server) -> None:
    """It is asked for again when the video is there, and only then."""
    server.jobs = [job(1, picture=True, delivered=False, unfinished=True)]
    server.answers["/nemo/jobs/00000001/picture"] = (200, {"image": "data:image/png;base64,AAAA"})
    page = load()
    panel = open_panel(page)
    panel.locator("img[src='data:image/png;base64,AAAA']").wait_for(state="attached")
    server.answers["/nemo/jobs/00000001/picture"] = (200, {"image": "data:image/png;base64,BBBB"})
    server.jobs = [job(1, picture=True, video=SHOWN)]
    page.evaluate(MOVED)
    panel.locator("img[src='data:image/png;base64,BBBB']").wait_for(state="attached")
    page.evaluate(MOVED)
    page.wait_for_timeout(300)

    assert server.asked.count("/nemo/jobs/00000001/picture") == 2


def test_the_filters_are_the_server_s(load: Load, server: Server) -> None:
    """Each says how many it has; one that has none says so, and the way back stays."""
    server.lister = lambda query: {
        "jobs": [] if query.get("filter") == "failed" else [job(1)], "pinned": [], "next": "", "search": "", "now": 1,
        "mark": str(query.get("filter")), "counts": {"all": 121, "working": 0, "ready": 1, "failed": 0},
    }  # fmt: skip
    page = load()
    panel = open_panel(page)
    buttons = panel.locator(".nv-filters button")
    told = buttons.all_inner_texts()
    panel.get_by_role("button", name="Failed").click()
    panel.get_by_text("No job here.").wait_for()
    pressed = buttons.evaluate_all("all => all.map(each => each.ariaPressed)")
    panel.get_by_role("button", name="All", exact=False).first.click()
    panel.locator("[data-job='00000001']").wait_for()

    assert told == ["All 121", "Working 0", "Ready to collect 1", "Failed 0"]
    assert pressed == ["false", "false", "false", "true"]
    assert [query.get("filter") for query in server.queries[:3]] == [None, "failed", None]


def test_a_prompt_is_copied(load: Load, server: Server) -> None:
    """Whole, also where browsers forbid the clipboard's own interface."""
    server.jobs = [job(1, prompt="a lake\nat dawn")]
    page = load()
    page.evaluate(
        """() => {
          Object.defineProperty(navigator, "clipboard", { value: undefined });
          document.execCommand = () => (window.copied = document.activeElement.value, true);
        }"""
    )
    panel = open_panel(page)
    panel.get_by_role("button", name="Copy prompt").click()
    page.wait_for_function("toasts.length")

    assert page.evaluate("copied") == "a lake\nat dawn"
    assert page.evaluate("toasts[0].detail") == "Prompt copied"
    assert page.locator("textarea").count() == 0


def test_a_video_is_downloaded_under_its_name(load: Load, server: Server) -> None:
    """From where ComfyUI serves it."""
    server.film = film()
    server.jobs = [job(1, video=SHOWN)]
    panel = open_panel(load())
    with panel.page.expect_download() as started:
        panel.get_by_role("link", name="Download").click()

    assert started.value.suggested_filename == "a.webm"


NODES = [
    {"type": "NemoGenerateVideo", "comfyClass": "NemoGenerateVideo", "widgets": [
        {"name": "prompt", "value": "another"}, {"name": "seed", "value": 7}]},
    {"type": "NemoGenerateVideo", "comfyClass": "NemoGenerateVideo", "widgets": [
        {"name": "prompt", "value": "a lake at dawn "}, {"name": "seed", "value": 7}]},
    {"type": "NemoEditVideo", "comfyClass": "NemoEditVideo", "widgets": [
        {"name": "instruction", "value": "a lake at dawn"}, {"name": "seed", "value": 7}]},
]  # fmt: skip
SEEDS = "app.graph.nodes.map((node) => node.widgets[1].value === 7)"


def test_a_workflow_is_opened_from_the_delivered_file(load: Load, server: Server) -> None:
    """As it was drawn, under the file's name; nothing in it is changed and nothing is run."""
    server.jobs = [job(1, video=SHOWN)]
    server.answers["/nemo/jobs/00000001/workflow"] = (200, {"workflow": {"nodes": NODES}, "prompt": None})
    page = load()
    open_panel(page).get_by_role("button", name="Open this workflow").click()
    page.wait_for_function("window.loaded")

    assert page.evaluate("loaded") == [{"nodes": NODES}, True, True, "a"]
    assert page.evaluate(SEEDS) == [True, True, True]


@pytest.mark.parametrize(
    "added", ["", "\nDuration: 6 seconds."], ids=["its words", "its words and a line for the widgets"]
)
@pytest.mark.parametrize("spent", [None, 100, 0], ids=["price not known", "price known", "free"])
def test_a_new_take_makes_the_node_of_the_job_ready(spent: int | None, added: str, load: Load, server: Server) -> None:
    """Another seed on the node that made it, and on no other; Run alone pays, and the message says what."""
    sure = "unknown" if spent is None else "exact"
    prompt = f"a lake at dawn{added}"
    server.jobs = [job(1, video=SHOWN, prompt=prompt, spent=spent, certainty=sure, free=spent == 0)]
    server.answers["/nemo/jobs/00000001/workflow"] = (200, {"workflow": {"nodes": NODES}, "prompt": None})
    page = load()
    open_panel(page).get_by_role("button", name="New take").click()
    page.wait_for_function("toasts.length")
    told = page.evaluate("toasts[0].detail")

    assert page.evaluate(SEEDS) == [True, False, True]
    assert told.startswith("The node has a new seed. Press Run to make the video")
    assert told.endswith({None: "(costs credits).", 100: "(about 100 credits).", 0: "(free)."}[spent])


def test_a_new_take_that_could_be_of_several_nodes_changes_none(load: Load, server: Server) -> None:
    """Each seed that is changed without need would be paid for."""
    server.jobs = [job(1, state="failed", error="It was not made.")]
    page = load()
    panel = open_panel(page)
    take = panel.get_by_role("button", name="New take")
    take.click()
    page.wait_for_function("toasts.length === 1")
    page.evaluate("(nodes) => void (app.graph.nodes = nodes)", [NODES[1], NODES[1]])
    take.click()
    page.wait_for_function("toasts.length === 2")
    page.evaluate("(nodes) => void (app.graph.nodes = nodes)", NODES)
    take.click()
    page.wait_for_function("toasts.length === 3")

    assert "No node in the open workflow made this job" in page.evaluate("toasts[0].detail")
    assert "Several nodes" in page.evaluate("toasts[1].detail")
    assert page.evaluate(SEEDS) == [True, False, True], "without a file the open graph is asked"


def test_searching_looks_in_the_prompts(load: Load, server: Server) -> None:
    """Case does not count; nothing found is said."""
    server.jobs = [job(1, prompt="A heron lifts off"), job(2, prompt="a lake")]
    panel = open_panel(load())
    search = panel.get_by_role("searchbox")
    search.fill("HERON")
    found = [each.get_attribute("data-job") for each in panel.locator(".nv-job:visible").all()]
    search.fill("nothing like it")

    assert found == ["00000001"]
    assert panel.get_by_text("No job matches").is_visible()


def listing(jobs: list[dict[str, Any]], size: int = 50) -> Callable[[dict[str, str]], dict[str, Any]]:
    """The server's list of all these jobs: what owes a video first, pages, a search, and a mark of what was read."""

    def answer(query: dict[str, str]) -> dict[str, Any]:
        words = query.get("search", "")
        found = [each for each in jobs if words.lower() in each["prompt"].lower() + each["id"]]
        mark = hashlib.sha256(json.dumps([jobs, words]).encode()).hexdigest()
        if query.get("seen") == mark:
            return {"unchanged": True, "running": {}, "mark": mark, "now": 0}
        start = next((at + 1 for at, each in enumerate(found) if each["id"] == query.get("after")), 0)
        owed = [] if start or words else [each for each in found if each["unfinished"]]
        rest = [each for each in found if each not in owed][start : start + size - len(owed)]
        more = bool(rest) and rest[-1] is not found[-1]
        pinned = {"pinned": [each["id"] for each in owed], "search": words}
        return {"jobs": [*owed, *rest], "next": rest[-1]["id"] if more else "", "mark": mark, "now": 0, **pinned}

    return answer


def shown(panel: Any) -> list[int]:
    return [int(each.get_attribute("data-job"), 16) for each in panel.locator(".nv-job:visible").all()]


def test_what_owes_a_video_stands_on_top_and_older_ones_come_page_by_page(load: Load, server: Server) -> None:
    """However many came after it; the last page has no button."""
    owed = {"state": "done", "delivered": False, "unfinished": True, "resumable": True}
    jobs = [*(job(number) for number in range(1, 121)), job(999, **owed)]
    server.lister = listing(jobs)
    panel = open_panel(load())
    first = shown(panel)
    more = panel.get_by_role("button", name="Show older jobs")
    for _ in range(2):
        before = len(shown(panel))
        more.click()
        panel.page.wait_for_function("(n) => document.querySelectorAll('.nv-job').length > n", arg=before)
    panel.locator("[data-job='00000078']").wait_for()

    assert first == [999, *range(1, 50)]
    assert panel.locator("[data-what=pinned] .nv-job button:visible", has_text="Resume").count() == 1
    assert shown(panel) == [999, *range(1, 121)]
    assert not more.is_visible()


def test_a_search_finds_what_no_page_shows_yet(load: Load, server: Server) -> None:
    """The server looks through all jobs; an id is found as well; without the search the list is as before."""
    server.lister = listing([*(job(number) for number in range(1, 81)), job(500, prompt="A heron lifts off")])
    panel = open_panel(load())
    search = panel.get_by_role("searchbox")
    search.fill("HERON")
    panel.locator("[data-job='000001f4']").wait_for()
    by_word = shown(panel)
    search.fill("000001f4")
    panel.locator("[data-job='000001f4']").wait_for()
    by_id = shown(panel)
    search.fill("nothing like it")
    panel.get_by_text("No job matches").wait_for()
    search.fill("")
    panel.locator("[data-job='00000001']").wait_for()

    assert by_word == by_id == [500]
    assert len(shown(panel)) == 50


def test_a_list_that_has_not_changed_is_not_sent_again(load: Load, server: Server) -> None:
    """The panel names what it has; the server then tells only what runs."""
    server.jobs = [job(1)]
    server.lister = listing(server.jobs)
    page = load()
    panel = open_panel(page)
    page.evaluate(MOVED)
    page.wait_for_function(
        "performance.getEntriesByType('resource').filter((e) => /nemo.jobs.*seen=/.test(e.name)).length"
    )
    server.jobs[0]["prompt"] = "another lake"
    page.evaluate(MOVED)
    panel.get_by_text("another lake").wait_for()

    assert "seen" not in server.queries[0]
    assert "seen" in server.queries[1]


def test_the_balance_is_read_again_when_a_job_ends(load: Load, server: Server) -> None:
    """Where it was shown before; a job that goes on changes nothing."""
    server.profiles = [profile(account="registered")]
    server.jobs = [job(1, state="sent", delivered=False, unfinished=True, running=running(0.2))]
    page = load()
    panel = open_panel(page)
    panel.locator("[data-what=credits]", has_text="88").first.wait_for()
    page.evaluate(MOVED)
    page.wait_for_timeout(300)
    before = server.asked.count("/nemo/credits")
    server.answers["/nemo/credits"] = (200, {"available": 12, "frozen": 0, "total": 12, "register": ""})
    server.jobs = [job(1)]
    page.evaluate(MOVED)
    panel.locator("[data-what=credits]", has_text="12").first.wait_for()

    assert before == 1
    assert server.asked.count("/nemo/credits") == 2


def test_the_balance_is_read_again_after_a_job_that_no_look_saw_running(load: Load, server: Server) -> None:
    """It began and ended between two looks, or its charge came late; and the button reads all again."""
    server.profiles = [profile(account="registered")]
    server.jobs = [job(1, changed=5, spent=None, certainty="unknown")]
    page = load()
    panel = open_panel(page)
    credits = panel.locator("[data-what=credits]")
    credits.filter(has_text="88").first.wait_for()

    def left(available: int) -> None:
        server.answers["/nemo/credits"] = (200, {"available": available, "frozen": 0, "total": 88, "register": ""})

    left(70)
    server.jobs = [job(2, changed=1_760_000_001), *server.jobs]
    page.evaluate(MOVED)
    credits.filter(has_text="70").first.wait_for()
    left(60)
    server.jobs[1] = job(1, changed=5, spent=10)
    page.evaluate(MOVED)
    credits.filter(has_text="60").first.wait_for()
    left(50)
    panel.get_by_role("button", name="Refresh").click()
    credits.filter(has_text="50").first.wait_for()

    assert server.asked.count("/nemo/credits") == 4


def test_a_server_that_goes_and_comes_back_is_noticed(load: Load, server: Server) -> None:
    """Since when it is away is said, the jobs that were shown stay; everything is read again when it is back."""
    server.jobs = [job(1)]
    page = load()
    panel = open_panel(page)
    page.evaluate("window.reach = api.fetchApi, api.fetchApi = async () => { throw new TypeError('gone') }, null")
    page.evaluate("api.dispatchEvent(new Event('reconnecting'))")
    told = panel.get_by_role("alert")
    told.filter(has_text="does not answer (since").wait_for()
    shown = panel.locator(".nv-job").count()
    before = list(server.asked)
    server.profiles.append(profile("mine", builtin=False))
    server.jobs = [job(2), job(1)]
    page.evaluate("api.fetchApi = reach, api.dispatchEvent(new Event('reconnected'))")
    panel.locator("[data-job='00000002']").wait_for()
    page.wait_for_function("document.querySelectorAll('[data-profile]').length === 2")

    assert shown == 1
    assert "/nemo/profiles" in server.asked[len(before) :]
    assert not told.is_visible()


COMBO = """(type, name, value, values) => {
  const node = { comfyClass: type, type, widgets: [{ name, value, type: "combo", options: { values } }] };
  app.graph.nodes.push(node);
  extension.nodeCreated(node);
  return node;
}"""


def test_profiles_and_the_default_reach_the_nodes_at_once(load: Load, server: Server) -> None:
    """The combos of nodes there are and of new ones; a value that was chosen stays, other packs' nodes too."""
    page = load()
    page.evaluate(f"window.make = {COMBO}, null")
    page.evaluate("window.first = make('NemoAuth', 'profile', 'nemo', ['nemo']), null")
    page.evaluate("window.other = make('KSampler', 'profile', 'nemo', ['nemo']), null")
    server.profiles = [profile("mine", builtin=False), profile()]
    open_panel(page)
    page.evaluate("window.second = make('NemoImageToVideo', 'profile', 'nemo', ['nemo']), null")
    found = page.evaluate("[first, other, second].map((n) => [n.widgets[0].value, n.widgets[0].options.values])")

    assert found == [["nemo", ["mine", "nemo"]], ["nemo", ["nemo"]], ["mine", ["mine", "nemo"]]]


def test_recover_offers_jobs_by_time_and_prompt_in_the_page_only(load: Load, server: Server) -> None:
    """The value stays id and time, so that no prompt gets into a graph; jobs that come later are offered at once."""
    server.jobs = [job(1, prompt="a heron " * 20, unfinished=True, delivered=False)]
    page = load()
    page.evaluate(f"window.make = {COMBO}, null")
    page.evaluate("window.node = make('NemoRecover', 'job', 'latest unfinished', ['latest unfinished']), null")
    values = "() => node.widgets[0].options.values.length"
    page.wait_for_function(f"({values})() === 2")
    server.jobs = [job(2), *server.jobs]
    page.evaluate(MOVED)
    page.wait_for_function(f"({values})() === 3")
    found = page.evaluate("node.widgets[0].options.values")
    names = page.evaluate(
        "node.widgets[0].options.values.map((value) => node.widgets[0].options.getOptionLabel(value))"
    )

    assert found == ["latest unfinished", "00000002 2025-10-09 08:53", "00000001 2025-10-09 08:53"]
    assert re.fullmatch(r"a lake at dawn, Oct 9, 2025, [\d:]+.[AP]M \(saved\)", names[1])
    assert re.fullmatch(r"(a heron ?){5}…, Oct 9, 2025, [\d:]+.[AP]M \(ready to collect\)", names[2])
    assert page.evaluate("node.widgets[0].value") == "latest unfinished"


# What ComfyUI's own palettes set, as its front ends have them, and what a person's own may.
THEMES = {
    "solarized": ("#93a1a1", "#073642", "#002b36", "#586e75", "#dc322f", "#657b83", "#60a5fa"),
    "grey on grey": ("#777", "#808080", "#707070", "#999", "#888", "#4e4e4e", "#777"),
    "half transparent": ("rgb(200 200 200 / 50%)", "#ffe", "#fef", "#999", "#ff0", "#4e4e4e", "oklch(0.9 0.1 200)"),
    "dark": ("#ddd", "#353535", "#222", "#999", "#ff4444", "#4e4e4e", "#60a5fa"),
    "light": ("#222", "#F5F5F5", "#C9C9C9", "#444", "#e44c4c", "#888", "#3b82f6"),
}
NAMES = (
    "input-text",
    "comfy-menu-bg",
    "comfy-input-bg",
    "descrip-text",
    "error-text",
    "border-color",
    "p-primary-color",
)


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_can_be_read(theme: str, load: Load, server: Server) -> None:
    """A contrast of 4.5 to 1 at least between each text or icon and what lies behind it, whatever the palette."""
    owed = {"state": "done", "delivered": False, "unfinished": True, "resumable": True}
    server.profiles = [profile(account="anonymous"), profile("mine", builtin=False, problem="It is broken.")]
    server.answers["/nemo/credits"] = (200, {"available": 1, "frozen": 0, "total": 1, "register": "https://web.test/"})
    server.jobs = [
        job(1, **owed),
        job(2, state="failed", delivered=False, error="It was not made. " * 20),
        job(3, state="sent", delivered=False, running=running(0.5), stops="render"),
        job(4, video=SHOWN, page=True, folder=True),
    ]
    page = load()
    panel = open_panel(page)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    page.evaluate(IN_THE_GRAPH)
    colors = ";".join(f"--{name}:{color}" for name, color in zip(NAMES, THEMES[theme], strict=True))
    page.evaluate("(colors) => (document.body.style.cssText = `${colors};background:var(--comfy-menu-bg)`)", colors)
    panel.get_by_role("link", name="Register to keep this account").first.wait_for()
    page.evaluate("new Promise((done) => setTimeout(() => requestAnimationFrame(done)))")
    found = page.evaluate(CONTRASTS)

    assert len(found) > 20
    assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}


# A message of a node that failed, and what stands in a node, under their own style sheet.
IN_THE_GRAPH = """async () => {
  const load = (name) => import(`/extensions/nemo-video/${name}.mjs`);
  const [errors, words] = await Promise.all(["errors", "node_words"].map(load));
  words.beginNodeWords();
  await new Promise((done) => (document.head.lastElementChild.onload = done));
  const error = { what: "It failed.", hint: "Do this.", money: "Nothing was charged.", action: "retry" };
  errors.showError(error, null, "Node", () => {});
  const add = (html) => document.body.insertAdjacentHTML("beforeend", html);
  add(`<div class="nemo-video-result" data-state="failed"><div class="nemo-line">It failed.</div>
    <div class="nemo-quiet">Quiet <a href="#">file</a></div><ul class="nemo-skipped"><li>Item 1</li></ul></div>`);
}"""
CONTRASTS = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const parse = (text) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = text;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const color = parse(getComputedStyle(element).backgroundColor);
    if (color[3] > 0.99) return color;
    return over(color, element.parentElement ? ground(element.parentElement) : [255, 255, 255, 1]);
  };
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = {};
  for (const element of document.querySelectorAll(":is(.nemo-video, .nemo-video-error, .nemo-video-result) *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!(own || element.matches("input, select, i")) || !element.checkVisibility()) continue;
    const behind = ground(element);
    const lights = [light(over(parse(getComputedStyle(element).color), behind)), light(behind)].sort();
    const ratio = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
    const name = `${element.tagName} ${element.className}`;
    found[name] = Math.min(found[name] ?? 99, Math.round(ratio * 100) / 100);
  }
  for (const input of document.querySelectorAll(".nemo-video input[placeholder]")) {
    const behind = ground(input);
    const lights = [light(over(parse(getComputedStyle(input, "::placeholder").color), behind)), light(behind)];
    found.placeholder = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
  }
  return found;
}"""


def test_the_panel_fits_a_narrow_sidebar(load: Load, server: Server) -> None:
    """Long words wrap; nothing is wider than 300 pixels."""
    server.jobs = [job(1, prompt="x" * 300, error="y" * 300, page=True, path="/a", running=running(0.1, "z" * 200))]
    server.profiles = [profile("n" * 60, address="https://" + "a" * 100 + ".example", problem="p" * 200)]
    page = load()
    open_panel(page)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")

    assert page.evaluate("document.querySelector('.nv-panel').scrollWidth") <= 300


def test_the_chinese_panel_shows_no_english(load: Load, server: Server) -> None:
    """All that is not data of the user is Chinese, names of products apart."""
    server.profiles = [profile("配置", builtin=False), profile(), profile("local preview", account="local", address="")]
    server.jobs = [
        job(1, prompt="湖边", profile="nemo"),
        job(2, prompt="", profile="配置", resumable=True),
        job(3, prompt="山", profile="local preview"),
    ]
    page = load("zh")
    panel = open_panel(page)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    hints = page.evaluate(
        "[...document.querySelectorAll('#side *')].flatMap((each) => "
        "[each.getAttribute('aria-label'), each.title, each.placeholder]).filter(Boolean).join(' ')"
    )
    words = re.sub(r"NemoVideo|https://[\w.]*|option>", "", f"{panel.inner_text()} {hints}")

    assert re.findall("[A-Za-z]+", words) == []
    assert "本地预览" in words


def test_the_language_changes_without_a_reload(load: Load) -> None:
    """ComfyUI's change of Comfy.Locale is followed by the open panel."""
    page = load()
    panel = open_panel(page)
    page.evaluate("chosenLocale = 'zh', app.ui.settings.dispatchEvent(new Event('Comfy.Locale.change'))")

    panel.get_by_role("heading", name="任务").wait_for()


@pytest.fixture(scope="module")
def quiet(browser: Any) -> Iterator[Page]:
    """One page for what needs no server."""
    listening, address = serve(Server())
    page = browser.new_page()
    page.set_default_timeout(PATIENT_SECONDS * 1000)
    page.goto(address)
    page.wait_for_function("window.ready")
    yield page
    page.close()
    listening.shutdown()
    listening.server_close()


def test_a_page_that_is_loaded_again_shows_what_its_nodes_said(load: Load, server: Server) -> None:
    """Asked for with the first node of ours, by the workflow's id; each word as text."""
    server.statements = [
        {
            "node": "7",
            "prompt": "p",
            "graph": "g-1",
            "class": "NemoUploadImage",
            "state": "done",
            "line": EVIL,
            "text": "",
        },
        {"node": "8", "prompt": "p", "graph": "g-1", "class": "NemoChat", "state": "done", "line": "other", "text": ""},
    ]
    page = load()
    page.evaluate(
        """() => {
          const node = { id: 7, comfyClass: "NemoUploadImage", widgets: [], size: [200, 100],
            addDOMWidget(name, type, element) { document.body.append((this.element = element)); return {}; } };
          Object.assign(app.graph, { id: "g-1", nodes: [node] });
          extension.nodeCreated(node);
        }"""
    )
    page.locator(".nemo-video-result .nemo-line").wait_for()

    assert page.locator(".nemo-video-result").all_inner_texts() == [EVIL]
    assert server.asked.count("/nemo/statements") == 1


def test_a_result_that_comfyui_kept_from_another_workflow_stands_in_the_node_of_this_one(load: Load) -> None:
    """It comes with the prompt, node and workflow that made it; here it is unchanged and cost nothing."""
    page = load()
    page.evaluate(
        """async () => {
          const node = { id: 7, comfyClass: "NemoExportRender", widgets: [], size: [200, 100],
            addDOMWidget(name, type, element) { document.body.append(element); return {}; } };
          Object.assign(app.graph, { id: "g-2", nodes: [node] });
          (await import("/extensions/nemo-video/node_words.mjs")).beginNodeWords();
          const said = { node: "3", prompt: "before", graph: "g-1", class: "NemoExportRender", state: "done" };
          const detail = { node: "7", prompt_id: "now", output: { nemo: [{ ...said, line: "5 s" }] } };
          api.dispatchEvent(new CustomEvent("executed", { detail }));
        }"""
    )

    assert page.locator(".nemo-video-result").inner_text() == "5 s · unchanged, no new charge"


OUTER = """async () => {
  globalThis.LGraphBadge = function (given) { this.text = given.text; };
  const widgets = [];
  const made = (name, kind, element) => {
    document.body.append(element);
    widgets.push({ name, element });
    return widgets.at(-1);
  };
  const inner = ["1", "2"].map((id) => ({ id, comfyClass: "NemoImageToVideo", widgets: [], addDOMWidget: () => ({}) }));
  const badges = [];
  window.outer = { id: 2, badges, widgets, subgraph: { nodes: inner } };
  if (window.able) outer.addDOMWidget = made;
  Object.assign(app.graph, { id: "g-3", nodes: [outer] });
  (await import("/extensions/nemo-video/node_words.mjs")).beginNodeWords();
  const said = { prompt: "p", graph: "g-3", class: "NemoImageToVideo" };
  window.tell = (node, state, facts) => {
    const detail = { ...said, node: `2:${node}`, state, line: "", ...facts };
    api.dispatchEvent(new CustomEvent("nemo.node", { detail }));
    const shown = [...document.querySelectorAll(".nemo-video-result")].filter((each) => !each.hidden);
    const films = document.querySelectorAll(".nemo-video-result video").length;
    return [badges.map((each) => each().text).join(), shown.map((each) => each.textContent).join(), films];
  };
}"""


def test_a_subgraph_shows_what_a_node_inside_said_with_its_video(load: Load, server: Server) -> None:
    """In a widget of its own, which is neither kept nor sent: the nodes inside are not seen until it is opened."""
    server.film = b"no film"
    page = load()
    page.evaluate("window.able = true")
    page.evaluate(OUTER)
    film = (
        '{ line: "5 s", videos: [{ filename: "a.mp4", subfolder: "", type: "output", about: "5 s", bytes: "9 kB" }] }'
    )
    running = page.evaluate('tell(1, "running")')
    done = page.evaluate(f'tell(1, "done", {film})')
    again = page.evaluate('tell(1, "running")')
    both = page.evaluate(f'(tell(1, "done", {film}), tell(2, "done", {{ line: "uploaded" }}))')
    failed = page.evaluate('tell(2, "failed", { line: "It failed.", error: { hint: "Retry.", money: "Free." } })')

    assert running == ["", "", 0]
    assert done == ["", "5 sa.mp4", 1]
    assert again == ["", "", 0]
    assert both == ["", "5 sa.mp4", 1]
    assert failed == ["", "It failed.Retry.Free.", 0]
    assert page.evaluate("outer.widgets.map(each => [each.name, each.serialize])") == [["nemo_result", False]]


def test_a_subgraph_says_on_its_badge_what_a_node_inside_said_where_no_widget_can_be_added(load: Load) -> None:
    page = load()
    page.evaluate(OUTER)
    told = [
        page.evaluate(f'tell(1, "{state}", {{ line: "5 s · free" }})')[0] for state in ("running", "done", "running")
    ]

    assert told == ["", "5 s · free", ""]


def test_what_a_result_takes_of_a_node_is_no_part_of_its_kept_size(load: Load) -> None:
    """Else a workflow that is opened again, and run again, would be higher each time."""
    page = load()
    sizes = page.evaluate(
        """async () => {
          const make = (size) => ({ id: 7, comfyClass: "NemoCredits", size, widgets: [{ type: "customtext" }],
            setSize(next) { this.size = next; },
            addDOMWidget(name, type, element) { document.body.append(element); return {}; } });
          (await import("/extensions/nemo-video/node_words.mjs")).beginNodeWords();
          const said = { node: "7", prompt: "p", graph: "g-5", class: "NemoCredits", line: "a result" };
          const tell = (state) => api.dispatchEvent(new CustomEvent("nemo.node", { detail: { ...said, state } }));
          const keep = (node) => {
            const kept = { size: node.size };
            node.onSerialize?.(kept);
            return kept.size[1];
          };
          const heights = [];
          for (let height = 300, run = 0; run < 3; run += 1) {
            const node = make([200, height]);
            Object.assign(app.graph, { id: "g-5", nodes: [node] });
            tell("running");
            tell("done");
            height = keep(node);
            heights.push([node.size[1] > 330, height]);
          }
          const [node] = app.graph.nodes;
          const [before] = [node.size[1], tell("running")];
          node.setSize([200, node.size[1] + 42]); // the page's, for the text of the progress
          tell("done");
          return [...heights, node.size[1] - before];
        }"""
    )

    assert sizes == [[True, 300], [True, 300], [True, 300], 0]


def test_an_error_s_button_says_what_a_new_take_costs_and_show_unfolds_the_input_it_speaks_of(load: Load) -> None:
    """As the button on the node; a limit that stands on the node is in sight then."""
    seen = load().evaluate(
        """async () => {
          const errors = await import("/extensions/nemo-video/errors.mjs");
          const button = { type: "button", name: "New take", label: "New take (≈ 100 credits)" };
          const folded = (name) => ({ name, options: { advanced: true } });
          const node = { widgets: [button, folded("max_credits"), folded("quality")] };
          const press = (error, shown) => errors.showError(error, shown, "Node", () => {}).querySelector(".nemo-act");
          const take = [press({ what: "None.", action: "take" }, node).textContent];
          take.push(press({ what: "None.", action: "take" }, { widgets: [] }).textContent);
          press({ what: "The prompt is empty.", hint: "", action: "show" }, node).click();
          const before = node.showAdvanced;
          press({ what: "Too little.", hint: "Raise it at max_credits.", action: "show" }, node).click();
          return [...take, before ?? false, node.showAdvanced];
        }"""
    )

    assert seen == ["New take (≈ 100 credits)", "New take", False, True]


PRICED = """async (change) => {
  globalThis.LGraphBadge = function (given) { this.text = given.text; };
  const widget = (name, value) => ({ name, value, options: {} });
  const add = (id, comfyClass, widgets, ...links) => ({
    id, comfyClass, mode: 0, badges: [], widgets,
    inputs: links.map(([name, link]) => ({ name, link })),
    addWidget(type, name, value, callback, options) {
      const made = { type, name, value, callback, options };
      this.widgets.push(made);
      return made;
    },
  });
  const all = {
    auth: add(1, "NemoAuth", [widget("profile", "nemo")]),
    upload: add(2, "NemoUploadImage", [widget("batch_mode", "all images in one video")], ["auth", 1]),
    node: add(3, "NemoGenerateVideo", [widget("prompt", "a"), widget("seed", 1)], ["session", 2]),
    chat: add(4, "NemoChat", [widget("message", "a"), widget("seed", 1)], ["session", 2]),
    reroute: { ...add(5, "", [], ["", 2]), comfyClass: undefined, type: "Reroute" },
    after: add(6, "NemoChat", [widget("message", "a"), widget("seed", 1)], ["session", 3]),
  };
  const from = { 1: 1, 2: 2, 3: 3, 5: 5, 9: -10 };
  const links = Object.fromEntries(Object.entries(from).map(([id, origin_id]) => [id, { origin_id }]));
  const nodes = Object.values(all);
  Object.assign(app.graph, { id: "g-4", nodes, links, getNodeById: (id) => nodes.find((each) => each.id === id) });
  for (const node of nodes) extension.nodeCreated(node);
  const shown = (node) => node.badges.map((each) => each().text);
  const named = (node) => node.widgets.find((each) => each.type === "button").label;
  while (!shown(all.node)[0]) await new Promise((done) => setTimeout(done, 10));
  new Function("all", change)(all);
  const told = [all.node, all.chat, all.after].map((node) => shown(node)[0]);
  await new Promise((done) => setTimeout(done));
  return [...told, named(all.node)];
}"""


PRICES = {  # what is changed -> the badges of Generate, Chat behind an upload and Chat behind Generate; the button
    "": ["≈ 100 credits", "≈ 100 credits", "≈ 50 credits", "New take (≈ 100 credits)"],
    "all.auth.widgets[0].value = 'local preview'": ["free", "free", "free", "New take (free)"],
    "all.node.mode = 4  // bypassed": ["", "≈ 100 credits", "≈ 50 credits", "New take"],
    "all.node.mode = 2  // muted": ["", "≈ 100 credits", "≈ 50 credits", "New take"],
    "all.auth.widgets[0].value = 'gone'": ["", "", "", "New take"],
    "all.auth.widgets[0].value = 'odd'": ["", "", "≈ 50 credits", "New take"],
    "all.auth.inputs = [{ name: 'profile', link: 3 }]": ["", "", "", "New take"],
    "all.node.inputs[0].link = 9  // out of a subgraph": ["", "≈ 100 credits", "", "New take"],
    "all.node.inputs[0].link = 5  // a reroute": [
        "≈ 100 credits",
        "≈ 100 credits",
        "≈ 50 credits",
        "New take (≈ 100 credits)",
    ],
}


def test_badge_and_button_say_the_same_price_whatever_changes_it(load: Load, server: Server) -> None:
    """The profile may be another node's; what is not known is not said, and what does not run costs nothing."""
    profiles = {"nemo": {"free": False, "generate": 100, "edit": 50, "chat": 50}, "local preview": {"free": True}}
    profiles["odd"] = {"free": False, "generate": -1, "chat": 50}
    server.answers["/nemo/prices"] = (200, {"default": "local preview", "profiles": profiles})
    page = load()

    assert {change: page.evaluate(PRICED, change) for change in PRICES} == PRICES


def test_a_profile_that_is_added_has_its_price_at_once(load: Load, server: Server) -> None:
    """Prices are read again when profiles change in the page, and not at each look at them."""
    page = load()
    page.evaluate(PRICED, "")
    open_panel(page)
    page.wait_for_timeout(100)
    before = server.asked.count("/nemo/prices")
    server.profiles.append(profile("studio"))
    page.evaluate(
        "import('/extensions/nemo-video/accounts.mjs').then((each) => each.change('save', { name: 'studio' }))"
    )
    with_it = "import('/extensions/nemo-video/badge.mjs').then((each) => each.priceOf(app.graph.nodes[2]))"
    page.evaluate("app.graph.nodes[0].widgets[0].value = 'studio'")
    page.wait_for_function(f"(async () => (await {with_it}) === '≈ 100 credits')()")

    assert before == 1
    assert server.asked.count("/nemo/prices") == 2


def test_the_price_inside_a_subgraph_is_that_of_the_profile_outside(load: Load, server: Server) -> None:
    server.profiles = [profile(), profile("local preview", free=True)]
    page = load()
    prices = page.evaluate(
        """async () => {
          const badge = await import("/extensions/nemo-video/badge.mjs");
          const field = { name: "profile", value: "nemo" };
          const inner = { id: 1, comfyClass: "NemoImageToVideo", widgets: [{ ...field }] };
          inner.inputs = [{ name: "profile", link: 3 }];
          const link = { origin_id: -10, origin_slot: 0 };
          inner.graph = { nodes: [inner], inputs: [{ name: "profile" }], links: new Map([[3, link]]) };
          app.graph.nodes = [{ id: 2, widgets: [field], subgraph: inner.graph, graph: app.graph }];
          await badge.beginPrices();
          return ["nemo", "local preview"].map((name) => {
            field.value = name;
            return badge.priceOf(inner);
          });
        }"""
    )

    assert prices == ["≈ 100 credits", "free"]


def test_a_workflow_that_was_cleared_shows_results_too(load: Load) -> None:
    """Its id is zeros, in the page and in what the server tells."""
    page = load()
    page.evaluate(
        """async () => {
          const node = { id: 7, comfyClass: "NemoCredits", widgets: [], size: [200, 100],
            addDOMWidget(name, type, element) { document.body.append(element); return {}; } };
          Object.assign(app.graph, { id: "00000000-0000-0000-0000-000000000000", nodes: [node] });
          (await import("/extensions/nemo-video/node_words.mjs")).beginNodeWords();
          const detail = { node: "7", prompt: "p", graph: app.graph.id, class: "NemoCredits", state: "done" };
          api.dispatchEvent(new CustomEvent("nemo.node", { detail: { ...detail, line: "900" } }));
        }"""
    )

    assert page.locator(".nemo-video-result").inner_text() == "900"


BARS = """async () => {
  const add = (tag, style) => {
    const made = Object.assign(document.createElement(tag), { className: "bar" });
    made.style.cssText = `position: fixed; ${style}`;
    document.body.append(made);
    return made;
  };
  app.canvas.canvas = add("canvas", "inset: 0; width: 100%; height: 100%");
  add("div", "inset: 0 0 auto auto; width: 500px; height: 90px");
  const popup = add("div", "inset: 110px 10px auto auto; width: 450px; height: 120px");
  const load = (name) => import(`/extensions/nemo-video/${name}.mjs`);
  const [errors, words] = await Promise.all(["errors", "node_words"].map(load));
  words.beginNodeWords();
  await new Promise((done) => (document.head.lastElementChild.onload = done));
  errors.showError({ what: "It failed.", action: "retry" }, null, "Node", () => {});
  window.popup = popup;
}"""
TOP = "document.querySelector('.nemo-video-errors').getBoundingClientRect().top"


def test_a_message_covers_neither_the_run_button_nor_a_message_of_the_page(load: Load) -> None:
    """It stands where only the graph is, below what is there; once that has gone, it moves up."""
    page = load()
    page.evaluate(BARS)
    page.wait_for_function(f"{TOP} >= 230")
    page.evaluate("popup.remove()")
    page.wait_for_function(f"{TOP} >= 90 && {TOP} < 160")


DIALOG = """width => {
  const mask = Object.assign(document.createElement("div"), { className: "p-dialog-mask bar" });
  mask.style.cssText = "position: fixed; inset: 0; z-index: 1103";
  const dialog = document.createElement("div");
  dialog.setAttribute("role", "dialog");
  const left = `calc(50% - ${width / 2}px)`;
  dialog.style.cssText = `position: absolute; top: 200px; left: ${left}; width: ${width}px; height: 200px`;
  mask.append(dialog);
  document.body.append(mask);
  window.mask = mask;
}"""
LEVEL = "getComputedStyle(document.querySelector('.nemo-video-errors')).zIndex"
CLEAR = """() => {
  const [own, dialog] = [document.querySelector(".nemo-video-errors"), document.querySelector("[role=dialog]")]
    .map((each) => each.getBoundingClientRect());
  const act = document.querySelector(".nemo-video-error .nemo-act");
  const { x, y } = act.getBoundingClientRect();
  return document.elementFromPoint(x + 5, y + 5) === act
    && (own.left >= dialog.right || own.top >= dialog.bottom || own.bottom <= dialog.top);
}"""


@pytest.mark.parametrize("width", [300, 700], ids=["beside it", "below it"])
def test_a_message_stands_beside_a_dialog_of_the_page_until_that_closes(width: int, load: Load) -> None:
    """Older front ends tell a failed node in a dialog that dims all the rest; ours can be pressed meanwhile."""
    page = load()
    page.evaluate(BARS)
    page.evaluate(DIALOG, width)
    page.wait_for_function(f"{LEVEL} === '1104'")
    clear = page.evaluate(CLEAR)
    page.evaluate("window.mask.remove()")
    page.wait_for_function(f"{LEVEL} === '1000'")

    assert clear


def test_a_message_stays_below_a_dialog_that_leaves_no_room(load: Load) -> None:
    page = load()
    page.evaluate(BARS)
    found = page.evaluate(
        f"""async () => {{
          ({DIALOG})(100_000);
          document.querySelector("[role=dialog]").style.cssText += "; top: 0; height: 100%";
          const host = await import("/extensions/nemo-video/host.mjs");
          return host.findPlaceAtDialog(document.querySelector(".nemo-video-errors"));
        }}"""
    )

    assert found is None


@pytest.mark.parametrize(("file", "kind"), [("a.mp4", "video"), ("a.gif", "image")])
def test_the_page_is_told_what_a_node_shows(file: str, kind: str, load: Load) -> None:
    """The first Vue nodes take it for an image else; and where Vue draws nodes, a result is as high as its text."""
    page = load()
    told = page.evaluate(
        """async file => {
          globalThis.LiteGraph = { vueNodesMode: true };
          const widget = { computeLayoutSize: () => ({}) };
          const node = { id: 7, comfyClass: "NemoExportRender", widgets: [], addDOMWidget: () => widget };
          Object.assign(app.graph, { id: "g-4", nodes: [node] });
          (await import("/extensions/nemo-video/node_words.mjs")).beginNodeWords();
          const videos = [{ filename: file, subfolder: "", type: "output" }];
          const said = { node: "7", prompt: "p", graph: "g-4", class: "NemoExportRender", state: "done", line: "5 s" };
          api.dispatchEvent(new CustomEvent("nemo.node", { detail: { ...said, videos } }));
          const inVue = widget.computeLayoutSize === undefined;
          LiteGraph.vueNodesMode = false;
          return [node.previewMediaType, inVue, widget.computeLayoutSize().minHeight > 0];
        }""",
        file,
    )

    assert told == [kind, True, True]


def test_profiles_that_were_read_before_a_change_do_not_undo_it(load: Load, server: Server) -> None:
    """The older answer comes last."""
    server.answers["/nemo/profiles/default"] = (200, {"default": "mine", "profiles": [profile("mine")]})
    page = load()
    shown = page.evaluate(
        """async () => {
          const { change, follow, load } = await import("/extensions/nemo-video/accounts.mjs");
          const fetchNow = api.fetchApi;
          let release = null;
          api.fetchApi = async (route, options) => {
            if (options?.method !== "POST") await new Promise((done) => (release = done));
            return fetchNow(route, options);
          };
          const shown = [];
          follow((answer) => shown.push(answer.default));
          const reading = load();
          await change("default", { name: "mine" });
          release();
          await reading;
          return shown;
        }"""
    )

    assert shown == ["mine"]


def test_a_message_goes_when_its_node_runs_again(load: Load) -> None:
    """Of that node alone."""
    page = load()
    left = page.evaluate(
        """async () => {
          (await import("/extensions/nemo-video/errors.mjs")).beginErrors(() => {});
          const tell = (node, prompt, state) => {
            const detail = { node, prompt, graph: "", class: "NemoChat", state, error: { what: `${node} failed` } };
            api.dispatchEvent(new CustomEvent("nemo.node", { detail }));
          };
          tell("7", "a", "failed");
          tell("8", "a", "failed");
          tell("7", "b", "running");
          return [...document.querySelectorAll(".nemo-video-error p")].map((each) => each.textContent);
        }"""
    )

    assert left == ["8 failed"]


def test_what_this_browser_cannot_play_is_shown_as_its_small_copy(quiet: Page) -> None:
    """A Matroska film by what the browser says of it; several stand as a grid either way."""
    shown = quiet.evaluate(
        """async () => {
          const { drawGrid, isCopy } = await import("/extensions/nemo-video/previews.mjs");
          const film = { filename: "a.mkv", stand_in: { filename: "a.mp4", subfolder: "", type: "temp" } };
          const draw = () => [isCopy(film), drawGrid([film], () => "")?.querySelector("video").src ?? ""];
          const found = [draw()];
          HTMLMediaElement.prototype.canPlayType = () => "";
          return [...found, draw()];
        }"""
    )

    assert shown[0] == [False, ""]
    assert shown[1][0]
    assert "filename=a.mp4" in shown[1][1]


NODE = """() => {
  const made = { comfyClass: "NemoGenerateVideo", widgets: [{ name: "seed", value: 7 }], inputs: [],
    addWidget(type, name, value, callback, options) {
      this.widgets.push({ type, name, value, callback, options });
      return this.widgets.at(-1);
    } };
  extension.nodeCreated(made);
  return made;
}"""


def test_new_take_changes_the_seed_and_is_no_part_of_the_graph(quiet: Page) -> None:
    """The button stands last, out of the workflow's values and of the prompt, and draws another seed."""
    node = quiet.evaluate_handle(NODE)
    button = quiet.evaluate(
        "(node) => { const b = node.widgets.at(-1); return [b.type, b.label, b.serialize, b.options] }", node
    )
    seeds = quiet.evaluate(
        "(node) => [1, 2, 3].map(() => (node.widgets.at(-1).callback(), node.widgets[0].value))", node
    )

    assert button == ["button", "New take", False, {"serialize": False}]
    assert len({7, *seeds}) == 4
    assert all(isinstance(seed, int) and 0 <= seed <= 2147483647 for seed in seeds)


def test_a_linked_seed_is_left_alone(quiet: Page) -> None:
    """A seed that another node gives is changed there; the button says so."""
    node = quiet.evaluate_handle(NODE)
    quiet.evaluate(
        "(node) => { node.inputs = [{ widget: { name: 'seed' }, link: 3 }]; node.widgets.at(-1).callback() }", node
    )

    assert quiet.evaluate("(node) => node.widgets[0].value", node) == 7
    assert "another node" in quiet.evaluate("toasts[0].detail")


def test_only_nodes_that_pay_get_the_button(quiet: Page) -> None:
    """Other nodes, other packs' too, are not touched."""
    touched = quiet.evaluate(
        """() => ["NemoExportRender", "NemoAuth", "KSampler"].map((name) => {
          const node = { comfyClass: name, widgets: [{ name: "seed" }], addWidget() { this.added = true; } };
          extension.nodeCreated(node);
          return node.added ?? false;
        })"""
    )

    assert touched == [False, False, False]


@pytest.mark.parametrize(
    ("prefix", "sent"),
    [
        ("video/NemoVideo", "video/NemoVideo"),
        ("%Shot.seed%", "12"),
        ("%NemoAuth.profile%", "a_b_c"),
        ("%Inner.text%_x", "deep_x"),
        ("%date:yyyy-MM-dd%_%width%x%height%", "%date:yyyy-MM-dd%_%width%x%height%"),
        ("%Nobody.seed%", "%Nobody.seed%"),
        ("%Shot.nothing%", "%Shot.nothing%"),
        ("%a.b.c%", "%a.b.c%"),
        ("100%", "100%"),
    ],
)
def test_node_values_are_filled_into_the_prefix_when_it_is_sent(quiet: Page, prefix: str, sent: str) -> None:
    """As ComfyUI does for its own Save nodes: by the node's name for it, else by title; the server's tokens stay."""
    found = quiet.evaluate(
        """async (prefix) => {
          const widget = { name: "filename_prefix", value: prefix };
          const inner = { nodes: [{ title: "Inner", widgets: [{ name: "text", value: "deep" }] }] };
          app.graph.nodes = [
            { title: "Shot", widgets: [{ name: "seed", value: 12 }] },
            { title: "NemoAuth", widgets: [{ name: "profile", value: "wrong" }] },
            { properties: { "Node name for S&R": "NemoAuth" }, widgets: [{ name: "profile", value: "a/b:c" }] },
            { title: "Sub", subgraph: inner },
          ];
          extension.nodeCreated({ comfyClass: "NemoExportRender", widgets: [widget] });
          return [await widget.serializeValue(), widget.value];
        }""",
        prefix,
    )

    assert found == [sent, prefix]

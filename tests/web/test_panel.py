"""The extension in a browser, on a stand-in for ComfyUI's page: what it shows, sends, keeps and leaves behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.web._page import BARE_APP, Server, job, profile, running, serve

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

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


@pytest.fixture
def load(browser: Any, server: Server) -> Iterator[Load]:
    """Opens the page; at the end, the console must have stayed silent (browsers themselves note refused requests)."""
    listening, address = serve(server)
    context = browser.new_context()
    said: list[str] = []

    def opened(lang: str = "en") -> Page:
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{address}?lang={lang}")
        page.wait_for_function("window.ready")
        return page

    yield opened
    context.close()
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


def test_buttons_are_those_that_can_do_something(load: Load, server: Server) -> None:
    """What a job cannot do is not offered."""
    shown = {"filename": "a.mp4", "subfolder": "video", "type": "output"}
    server.jobs = [
        job(1, state="sent", delivered=False, unfinished=True, running=running(0.5)),
        job(2, video=shown, path="/output/video/a.mp4", page=True),
        job(3, state="lost", delivered=False, resumable=True),
    ]
    panel = open_panel(load())
    offered = [
        [each.inner_text() for each in card.locator("> .nv-actions button:visible").all()]
        for card in panel.locator(".nv-job").all()
    ]

    assert offered == [["Cancel"], ["Play", "Open folder", "Project page", "Forget"], ["Resume", "Forget"]]


def test_searching_looks_in_the_prompts(load: Load, server: Server) -> None:
    """Case does not count; nothing found is said."""
    server.jobs = [job(1, prompt="A heron lifts off"), job(2, prompt="a lake")]
    panel = open_panel(load())
    search = panel.get_by_role("searchbox")
    search.fill("HERON")
    found = [each.get_attribute("data-job") for each in panel.locator(".nv-job:visible").all()]
    search.fill("nothing like it")

    assert found == ["00000001"]
    assert panel.get_by_text("No job has this").is_visible()


def listing(jobs: list[dict[str, Any]], size: int = 50) -> Callable[[dict[str, str]], dict[str, Any]]:
    """The server's list of all these jobs: what owes a video first, pages, a search, and a mark of what was read."""

    def answer(query: dict[str, str]) -> dict[str, Any]:
        words = query.get("search", "")
        found = [each for each in jobs if words.lower() in each["prompt"].lower() + each["id"]]
        mark = json.dumps([jobs, words])
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
        more.click()
        panel.page.wait_for_function("(n) => document.querySelectorAll('.nv-job').length > n", arg=len(shown(panel)))
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
    panel.get_by_text("No job has this").wait_for()
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
    server.profiles = [profile("配置", builtin=False), profile("本地", account="local", address="")]
    server.jobs = [job(1, prompt="湖边", profile="配置"), job(2, prompt="", profile="配置", resumable=True)]
    page = load("zh")
    panel = open_panel(page)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    hints = page.evaluate(
        "[...document.querySelectorAll('#side *')].flatMap((each) => "
        "[each.getAttribute('aria-label'), each.title, each.placeholder]).filter(Boolean).join(' ')"
    )
    words = re.sub(r"NemoVideo|https://[\w.]*|option>", "", f"{panel.inner_text()} {hints}")

    assert re.findall("[A-Za-z]+", words) == []


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
    page.goto(address)
    page.wait_for_function("window.ready")
    yield page
    page.close()
    listening.shutdown()
    listening.server_close()


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

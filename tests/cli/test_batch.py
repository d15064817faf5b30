"""`nemo-video batch`: the whole command, on the local preview and on a backend that charges; killed and continued."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from nemo_client import Studio, Wish, local
from nemo_client._batch.results_file import BatchFolder
from nemo_client._batch.runner import Batch
from nemo_client._cli.batch_money import sum_all_runs
from nemo_client._cli.batch_progress import Board, format_duration
from nemo_client._cli.output import Screen
from nemo_client._studio.progress import Caller
from tests.cli.test_animate_and_chat import TOKEN, Ran, Shell, Start, left_behind, sent, shell, start
from tests.files.test_pictures import card
from tests.support.backend import draw
from tests.support.disks import SHARES, refuse_on_share
from tests.support.faults import Fault, Faults
from tests.support.ledger import read_ledger
from tests.support.old_keys import SHORT, STATES, count_messages, make_earlier, save_in_p3
from tests.support.timings import Shorten
from tests.support.waiting import wait_until

__all__ = ["shell", "start"]
Opened = Callable[..., local.LocalBackend]
ACCOUNT = {
    "folder", "results", "page", "items", "done", "failed", "unknown", "left", "credits", "credits_in_all", "seconds",
}  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder for pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def fill(folder: Path, count: int, begin: int = 0) -> None:
    """So many pictures, each another one."""
    for number in range(begin, count):
        Image.new("RGB", (32, 24), (number % 256, 7, 90)).save(folder / f"shot{number}.png")


@pytest.fixture
def cloud(tmp_path: Path, shorten: Shorten, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Opens a backend that charges, as profile `nemo`, with a renderer that takes no time."""
    shorten(studio={"quiet": 0.0}, wire={"grow": 0.05})
    opened = []

    def begin(**options: Any) -> local.LocalBackend:
        given = {
            "credits": 10_000,
            "pace": 0,
            "faults": Faults(),
            "renderer": draw,
            "missing_glyphs": lambda text: "",
            **options,
        }
        backend = local.open(tmp_path / "cloud", token=TOKEN, **given)
        opened.append(backend)
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        monkeypatch.setenv("NEMO_TOKEN", TOKEN)
        return backend

    yield begin
    for backend in opened:
        backend.close()


def lines(folder: str = "photos-videos") -> dict[str, dict[str, Any]]:
    """The last line of each item."""
    text = Path(folder, "results.jsonl").read_text(encoding="utf-8")
    return {line["item"]: line for line in map(json.loads, text.splitlines())}


def states(folder: str = "photos-videos") -> dict[str, str]:
    return {name: line["state"] for name, line in lines(folder).items()}


def test_a_folder_becomes_videos_lines_and_a_page(shell: Shell, photos: Path) -> None:
    """On the local preview, free; stdout is the page's path and nothing else."""
    fill(photos, 2)
    ran = shell("batch", photos, "--local", "--duration", 1)

    assert (ran.code, ran.out) == (0, f"{Path.cwd() / 'photos-videos' / 'index.html'}\n")
    assert left_behind(Path("photos-videos")) == [
        ".nemo-batch.lock", "index.html", "results.jsonl", "shot0.mp4", "shot1.mp4", "thumbnails",
        "thumbnails/shot0.jpg", "thumbnails/shot1.jpg",
    ]  # fmt: skip
    assert "2 of 2 videos are in" in ran.err
    assert "Free: made on this machine." in ran.err


def test_json_is_one_object_with_the_documented_keys(shell: Shell, photos: Path, cloud: Opened) -> None:
    """What it came to, what it took in this run and in all; each item has its one charge."""
    backend = cloud()
    fill(photos, 3)
    data = shell("batch", photos, "--duration", 1, "--json").data
    again = shell("batch", photos, "--duration", 1, "--json").data

    assert set(data) == ACCOUNT
    assert (data["items"], data["done"], data["left"]) == (3, 3, 0)
    assert data["credits"] == data["credits_in_all"] == {"spent": 300, "certainty": "exact"}
    assert again["credits"] == {"spent": 0, "certainty": "exact"}
    assert again["credits_in_all"]["spent"] == 300
    assert len(read_ledger(backend.directory).charges) == 3


def test_the_same_command_again_sends_and_reads_nothing(shell: Shell, photos: Path, cloud: Opened) -> None:
    """Items that are done are passed over by their lines; a video that was deleted is delivered again, for free."""
    backend = cloud()
    fill(photos, 3)
    shell("batch", photos, "--duration", 1)
    before = Path("photos-videos/results.jsonl").read_bytes()
    asked = sent(backend, "state")
    again = shell("batch", photos, "--duration", 1)
    unchanged = Path("photos-videos/results.jsonl").read_bytes()
    Path("photos-videos/shot1.mp4").unlink()
    third = shell("batch", photos, "--duration", 1)

    assert (again.code, unchanged, sent(backend, "state")) == (0, before, asked)
    assert "Already made, unchanged: 3." in again.err
    assert third.code == 0
    assert Path("photos-videos/shot1.mp4").is_file()
    assert len(read_ledger(backend.directory).messages) == 3


def test_a_changed_request_is_made_anew_beside_the_old_video(shell: Shell, photos: Path, cloud: Opened) -> None:
    """Another prompt is another video; no file is replaced."""
    cloud()
    fill(photos, 1)
    shell("batch", photos, "--duration", 1)
    ran = shell("batch", photos, "--duration", 1, "--prompt", "rain")

    assert ran.code == 0
    assert lines()["shot0"]["video"] == "shot0-2.mp4"
    assert Path("photos-videos/shot0.mp4").is_file()


def test_what_was_previewed_is_made_for_real_in_the_same_folder(shell: Shell, photos: Path, cloud: Opened) -> None:
    """Another profile is another request: planning for free first must not look like being done."""
    backend = cloud()
    fill(photos, 1)
    shell("batch", photos, "--duration", 1, "--local")
    ran = shell("batch", photos, "--duration", 1)

    assert ran.code == 0
    assert (lines()["shot0"]["profile"], lines()["shot0"]["video"]) == ("nemo", "shot0-2.mp4")
    assert len(read_ledger(backend.directory).charges) == 1


def test_a_line_of_another_request_is_not_called_done(shell: Shell, photos: Path, cloud: Opened) -> None:
    """Where the run ends before its item was begun, the item is left, not done."""
    cloud()
    fill(photos, 3)
    shell("batch", photos, "--duration", 1)
    ran = shell("batch", photos, "--duration", 1, "--prompt", "rain", "--max-credits", 150, "--json")

    assert (ran.code, ran.data["done"], ran.data["left"]) == (4, 1, 2)


def test_a_duplicate_is_told_in_a_later_run_too(shell: Shell, photos: Path, cloud: Opened) -> None:
    """A copy of a picture whose video is there: its own file, no charge, and whose it is."""
    backend = cloud()
    fill(photos, 1)
    shell("batch", photos, "--duration", 1)
    (photos / "twin.png").write_bytes((photos / "shot0.png").read_bytes())
    shell("batch", photos, "--duration", 1)

    assert (lines()["twin"]["duplicate_of"], lines()["twin"]["video"]) == ("shot0", "twin.mp4")
    assert len(read_ledger(backend.directory).charges) == 1


def test_a_manifest_says_each_item_s_own(shell: Shell, photos: Path, cloud: Opened) -> None:
    """Prompt, output name with a folder and a format, and profile; options fill what it leaves open."""
    cloud()
    fill(photos, 2)
    manifest = photos / "list.csv"
    manifest.write_text(
        "image;prompt;output;profile\nshot0.png;rain;sets/one.webm;\nshot1.png;;;local preview\n", encoding="utf-8-sig"
    )
    ran = shell("batch", manifest, "--duration", 1, "--prompt", "slow push-in", "-o", "out")

    found = lines("out")
    assert ran.code == 0, ran.err
    assert found["sets/one"]["video"] == "sets/one.webm"
    assert (found["sets/one"]["prompt"], found["shot1"]["prompt"]) == ("rain", "slow push-in")
    assert (found["sets/one"]["profile"], found["shot1"]["profile"]) == ("nemo", "local preview")
    assert 'href="./sets/one.webm"' in Path("out/index.html").read_text(encoding="utf-8")


def test_problems_are_found_before_anything_is_paid(shell: Shell, photos: Path, cloud: Opened) -> None:
    """Missing and broken pictures and unknown profiles are told with the manifest's line; nothing is sent."""
    backend = cloud()
    fill(photos, 1)
    (photos / "broken.png").write_bytes(b"no picture")
    manifest = photos / "list.csv"
    manifest.write_text("image,profile\nshot0.png,\nnone.png,\nbroken.png,\nshot0.png,nowhere\n")
    ran = shell("batch", manifest, "--json")
    dry = shell("batch", manifest, "--dry-run", "--json")

    assert (ran.code, ran.data["error"]["id"], ran.data["error"]["charged"]) == (2, "batch-problems", "no")
    assert "3 of 4 items cannot be made" in ran.error_line
    assert "none.png" in ran.error_line
    assert "--skip-broken" in ran.error_line
    assert (dry.code, [each["line"] for each in dry.data["problems"]]) == (2, [3, 4, 5])
    assert backend.calls == ()


def test_broken_items_are_left_out_on_the_user_s_word(shell: Shell, photos: Path, cloud: Opened) -> None:
    """They are failed lines; the others are made."""
    cloud()
    fill(photos, 2)
    (photos / "broken.png").write_bytes(b"no picture")
    ran = shell("batch", photos, "--duration", 1, "--skip-broken", "--json")

    assert ran.code == 2
    assert states() == {"broken": "failed", "shot0": "done", "shot1": "done"}
    assert ran.data["error"]["id"] == "batch-failed"
    assert "Nothing was charged for these." in ran.error_line


def test_videos_that_any_run_made_are_no_pictures(shell: Shell, photos: Path, cloud: Opened) -> None:
    """A GIF in another folder, or one of `animate`, is known by the journal, with no results beside it."""
    cloud()
    fill(photos, 1)
    shell("animate", photos / "shot0.png", "--prompt", "x", "--output", photos / "moving.gif")
    shell("batch", photos / "shot0.png", "--prompt", "y", "--format", "gif", "-o", "elsewhere")
    Path("elsewhere/results.jsonl").unlink()
    Path("elsewhere/shot0.gif").rename(photos / "own.gif")
    Image.new("RGB", (8, 8)).save(photos / "mine.gif")

    dry = shell("batch", photos, "--prompt", "z", "--dry-run", "--json")
    ran = shell("batch", photos, "--prompt", "z", "--json")

    assert (dry.data["items"], [Path(each["file"]).name for each in dry.data["left_out"]]) == (3, ["moving.gif"])
    assert (ran.data["done"], [each["reason"] for each in ran.data["left_out"]]) == (3, ["ours"])


def test_a_dry_run_prices_what_is_new(shell: Shell, photos: Path, cloud: Opened) -> None:
    """What the journal knows from another folder, and what is asked for twice, is not paid again."""
    cloud()
    fill(photos, 2)
    shell("batch", photos, "--prompt", "x", "-o", "first")
    fill(photos, 4)
    (photos / "twin.png").write_bytes((photos / "shot3.png").read_bytes())

    dry = shell("batch", photos, "--prompt", "x", "-o", "second", "--dry-run", "--json")
    said = shell("batch", photos, "--prompt", "x", "-o", "second", "--dry-run")

    (price,) = dry.data["prices"]
    assert (price["items"], price["known"], dry.data["credits"]) == (5, 3, 2 * price["each"])
    assert "3 of them were made or requested before" in said.out


def test_a_dry_run_tells_the_price_and_writes_nothing(shell: Shell, photos: Path, cloud: Opened) -> None:
    """A guess where nothing was made here yet, the median of what was seen afterwards; and how far a limit goes."""
    backend = cloud()
    fill(photos, 1)
    first = shell("batch", photos, "--dry-run", "--duration", 1)
    nothing = left_behind(Path.cwd())
    calls = len(backend.calls)
    shell("batch", photos, "--duration", 1)
    fill(photos, 5, 1)
    second = shell("batch", photos, "--dry-run", "--duration", 1, "--max-credits", 250)

    assert "about 100 credits (a guess of 100 each" in first.out
    assert (first.code, nothing, calls) == (0, [], 0)
    assert "4 of 5 items to make" in second.out
    assert "about 400 credits (100 each, from earlier runs)" in second.out
    assert "--max-credits 250 is enough for about 2" in second.out


def test_max_credits_leaves_the_rest_for_the_next_run(shell: Shell, photos: Path, cloud: Opened) -> None:
    """Exit code 4, what was made is kept, and the same command with a higher limit goes on."""
    backend = cloud()
    fill(photos, 4)
    ran = shell("batch", photos, "--duration", 1, "--max-credits", 250, "--json")
    rest = shell("batch", photos, "--duration", 1, "--max-credits", 250, "--json")

    assert (ran.code, ran.data["done"], ran.data["left"]) == (4, 2, 2)
    assert "2 of 4 items are left" in ran.error_line
    assert (rest.code, rest.data["done"], rest.data["credits_in_all"]["spent"]) == (0, 4, 400)
    assert len(read_ledger(backend.directory).charges) == 4


@pytest.mark.long
def test_failed_items_are_tried_again_only_when_that_is_asked_for(shell: Shell, photos: Path, cloud: Opened) -> None:
    """What the backend declined would be declined again; a request that was paid for is never paid again."""
    backend = cloud()
    fill(photos, 1)
    backend.faults.add(Fault("answer", "session", count=None, status=403, code=403, message="no"))
    failed = shell("batch", photos, "--duration", 1)
    backend.faults.clear()
    left = shell("batch", photos, "--duration", 1)
    retried = shell("batch", photos, "--duration", 1, "--retry", "failed")
    wrong = shell("batch", photos, "--retry", "all")

    assert (failed.code, left.code, retried.code, wrong.code) == (5, 5, 0, 2)
    assert "add --retry failed to try them again" in left.err
    assert len(read_ledger(backend.directory).charges) == 1


def test_a_full_account_is_told_with_what_is_left(shell: Shell, photos: Path, cloud: Opened) -> None:
    """Credits are not the items' fault: they are not called failed."""
    cloud(credits=100)
    fill(photos, 3)
    ran = shell("batch", photos, "--duration", 1, "--json")

    assert (ran.code, ran.data["done"], ran.data["failed"], ran.data["left"]) == (4, 1, 0, 2)
    assert "Not enough credits" in ran.error_line


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.long
class TestCtrlC:
    def test_once_finishes_what_is_paid_for_and_the_same_command_goes_on(
        self, start: Start, photos: Path, cloud: Opened
    ) -> None:
        """It says so, begins nothing new, ends with 130; nothing is paid twice."""
        backend = cloud()
        fill(photos, 6)
        with backend.faults.hold():
            child = start("batch", str(photos), "--duration", "1", "--jobs", "2", "--json")
            wait_until(lambda: sent(backend, "message") == 2)
            time.sleep(0.2)
            child.press()
            child.until("2 items that are already paid for")
        ran = child.end()
        made = states()
        rest = start("batch", str(photos), "--duration", "1", "--json").end()

        assert (ran.code, ran.data["error"]["id"]) == (130, "batch-stopped")
        assert list(made.values()) == ["done", "done"]
        assert (rest.code, rest.data["done"]) == (0, 6)
        assert len(read_ledger(backend.directory).charges) == 6

    def test_twice_leaves_at_once_and_names_the_command(self, start: Start, photos: Path, cloud: Opened) -> None:
        """Whose next run looks for the result of it."""
        backend = cloud(generation_seconds=30.0)
        fill(photos, 2)
        child = start("batch", str(photos), "--duration", "1")
        wait_until(lambda: sent(backend, "message") == 2)
        time.sleep(0.2)
        child.press()
        child.until("items that are already paid for")
        child.press()
        ran = child.end()

        assert ran.code == 130
        assert f"`nemo-video batch {photos} --duration 1`" in ran.error_line
        assert "Traceback" not in ran.err


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.long
def test_killed_twice_it_ends_with_one_charge_and_one_line_an_item(start: Start, photos: Path, cloud: Opened) -> None:
    """By SIGKILL at any moment, continued by the same command; a torn last line is mended."""
    backend = cloud(generation_seconds=0.1)
    fill(photos, 20)
    command = ("batch", str(photos), "--duration", "1", "--jobs", "4", "--json")
    results = Path("photos-videos/results.jsonl")
    for many in (4, 10):
        child = start(*command)
        wait_until(lambda many=many: results.exists() and results.read_bytes().count(b"\n") >= many)
        child.process.send_signal(signal.SIGKILL)
        child.process.communicate()
        with results.open("ab") as file:
            file.write(b'{"item": "shot')
    backend.faults.clear()
    ran: Ran = start(*command).end()

    ledger = read_ledger(backend.directory)
    whole = [json.loads(line) for line in results.read_bytes().splitlines()]
    unknown = [line for line in lines().values() if line["state"] == "unknown"]
    assert len(lines()) == 20
    assert {line["state"] for line in lines().values()} <= {"done", "unknown"}
    assert len(unknown) <= 8, ran.err
    assert len(ledger.charges) <= len(ledger.messages) <= 20
    assert len([line for line in whole if line["state"] == "done"]) == len(list(Path("photos-videos").glob("*.mp4")))
    assert not list(Path("photos-videos").glob(".nemo-*.part"))


async def test_a_terminal_sees_one_line_that_moves(tmp_path: Path) -> None:
    """Items done, running, failed, credits and time left."""

    async def nobody(_: str) -> Any:
        raise AssertionError

    moments = [0.0]
    screen = Screen(clock=lambda: moments[-1])
    out = io.StringIO()
    screen.console = Console(file=out, force_terminal=True, width=120)
    work = Batch([], nobody, tmp_path, caller=Caller())
    work.counts.update(done=3, failed=1)
    work.items = [None] * 10  # type: ignore[list-item]
    work.tally.spent = 300.0
    work.tally._known = True
    board = Board(screen, work, 12, 2, 60.0)
    moments.append(40.0)
    async with board.show_while_open():
        line = board.line()

    assert line == "5 of 12 done · 0 running · 1 failed · 300 credits · about 1:00 left"
    assert "5 of 12 done" in out.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(42, "0:42"), (725, "12:05"), (12_000, "3:20:00")])
def test_times_are_short(seconds: float, text: str) -> None:
    """Minutes and seconds, hours where there are some."""
    assert format_duration(seconds) == text


def test_what_a_killed_run_took_is_bounded_by_the_next_one() -> None:
    """It has no end of its own; its beginning and the next one's are balances all the same."""
    begun = {"run": "1", "profile": "nemo", "started": "x", "held": 1000.0}
    next_one = {"run": "2", "profile": "nemo", "started": "x", "held": 700.0}
    ended = {"run": "2", "profile": "nemo", "ended": "x", "held": 600.0, "spent": 100.0, "certainty": "exact"}
    other = {"run": "2", "profile": "b", "ended": "x", "held": 6.0, "spent": 1.0, "certainty": "exact"}

    assert (sum_all_runs([next_one, ended]).spent, sum_all_runs([next_one, ended]).certainty) == (100, "exact")
    money = sum_all_runs([begun, next_one, other, ended])
    assert (money.spent, money.certainty) == (401, "at most")


def test_a_picture_that_is_sent_smaller_is_told(shell: Shell, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the dry run, by the batch before it begins, and by `animate`, in the user's language."""
    monkeypatch.setattr("nemo_client._files.large_pictures.MAX_PIXELS", 3000)
    monkeypatch.setattr("nemo_client._files.large_pictures.SHRUNK_PIXELS", 1000)
    card().save(photos / "scan.tif")
    said = "scan.tif has 64 x 48 pixels and is uploaded smaller: 32 x 24."

    dry = shell("batch", photos, "--prompt", "static", "--local", "--resolution", "480p", "--dry-run")
    made = shell("batch", photos, "--prompt", "static", "--local", "--resolution", "480p")
    monkeypatch.setenv("NEMO_LANG", "zh")
    one = shell("animate", photos / "scan.tif", "--prompt", "static", "--local", "--resolution", "480p")

    assert (dry.code, made.code, one.code) == (0, 0, 0)
    assert said in dry.err
    assert said in made.err
    assert "64 x 48 像素" in one.err


@pytest.mark.skipif(sys.platform != "linux", reason="an open file's path is read as Linux tells it")
@pytest.mark.parametrize("number", SHARES.values(), ids=SHARES)
def test_videos_come_to_a_share_that_refuses_modes_links_and_locks(
    number: int, shell: Shell, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the shell, a batch and its next run write there; still, two batches do not hold one folder."""
    share = Path("share").absolute()
    share.mkdir()
    refused = refuse_on_share(monkeypatch, share, number)
    fill(photos, 1)
    options = ("--prompt", "static, 1 second", "--local", "--resolution", "480p")

    one = shell("animate", photos / "shot0.png", *options, "--output", "share/one.mp4")
    made = shell("batch", photos, *options, "-o", "share/all")
    again = shell("batch", photos, *options, "-o", "share/all")
    with BatchFolder(share / "all"):
        busy = shell("batch", photos, *options, "-o", "share/all")

    assert (one.code, made.code, again.code, busy.code) == (0, 0, 0, 2), one.err + made.err + again.err
    assert {each.name for each in (share / "all").glob("*.*")} >= {"shot0.mp4", "index.html", "results.jsonl"}
    assert {"chmod", "link", "fsync", "flock"} <= set(refused)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", ["animate", "batch"])
def test_the_shell_takes_what_an_earlier_version_began_of_a_picture_in_other_colours(
    command: str, state: str, shell: Shell, photos: Path, cloud: Opened, shorten: Shorten
) -> None:
    """Done or open it is taken, at no further charge; failed it is requested again."""
    shorten(**SHORT)
    faults = Faults()
    backend, path = cloud(faults=faults), save_in_p3(photos / "phone.png")

    async def make() -> None:
        async with await Studio.open("nemo") as studio:
            await make_earlier(studio, path, Wish("x"), state, lambda *what, **more: faults.add(Fault(*what, **more)))

    asyncio.run(make())
    faults.clear()
    options = ("--prompt", "x", "--json", *(("-o", "out") if command == "batch" else ()))
    dry = shell("batch", path, *options, "--dry-run") if command == "batch" else None
    ran = shell(command, path, *options)
    again = shell(command, path, *options)

    assert (ran.code, again.code) == (0, 0), ran.err + again.err
    assert (count_messages(backend), len(read_ledger(Path(backend.directory)).charges)) == (
        1 + (state == "failed"),
        1,
    )
    assert dry is None or dry.data["credits"] == (100 if state == "failed" else 0)


def test_a_twin_stays_when_its_original_fails(shell: Shell, photos: Path, cloud: Opened) -> None:
    """It keeps its name and its file, and is called a duplicate of nothing that failed."""
    backend = cloud()
    fill(photos, 1)
    (photos / "twin.png").write_bytes((photos / "shot0.png").read_bytes())
    shell("batch", photos, "--prompt", "x", "--jobs", 1)
    before = lines()["twin"]
    (photos / "shot0.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    shell("batch", photos, "--prompt", "x", "--skip-broken")

    assert before["duplicate_of"] == "shot0"
    assert (lines()["shot0"]["state"], lines()["twin"]) == ("failed", {**before, "duplicate_of": None})
    assert sent(backend, "message") == 1

"""`nemo-video jobs` and `nemo-video login`, against the local backend over a real socket as a cloud that charges."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from nemo_client import Journal, home, local, profile
from nemo_client._cli.main import main
from nemo_client._config.credentials import CredentialStore, Token
from nemo_client._config.paths import ensure_home
from nemo_client._journal.records import Attempt
from nemo_client._journal.steps import Event, State
from tests.cli.test_animate_and_chat import Child
from tests.support.backend import draw
from tests.support.faults import Fault, Faults
from tests.support.ledger import read_ledger
from tests.support.timings import Shorten
from tests.support.waiting import wait_until

TOKEN = "nmv_usr_jobs"


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


Shell = Callable[..., Ran]
Opened = Callable[..., local.LocalBackend]


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, shorten: Shorten, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """`nemo-video` in this process, in an empty current folder, with pauses that are short."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    shorten(studio={"quiet": 0.1, "next_read": 0.1, "confirm": 0.1})

    def run(*argv: object) -> Ran:
        code = main([str(each) for each in argv])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Opens a backend that charges, as profile `nemo`, with 1000 credits and quick renders unless told otherwise."""
    opened: list[local.LocalBackend] = []

    def open_(**options: Any) -> local.LocalBackend:
        quick = {
            "pace": 0,
            "faults": Faults(),
            "renderer": draw,
            "missing_glyphs": lambda text: "",
            "token": TOKEN,
            "credits": 1000,
        }
        backend = local.open(tmp_path / "cloud", **{**quick, **options})
        opened.append(backend)
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        if not options.get("anonymous"):
            monkeypatch.setenv("NEMO_TOKEN", TOKEN)
        return backend

    yield open_
    for each in opened:
        each.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small picture."""
    path = tmp_path / "harbour.png"
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(path)
    return path


@pytest.fixture
def child(picture: Path) -> Iterator[Callable[..., Child]]:
    """`nemo-video animate` as a process that can be killed."""
    children: list[Child] = []

    def begin(*argv: str) -> Child:
        children.append(Child(("animate", str(picture), *argv)))
        return children[-1]

    yield begin
    for each in children:
        each.process.kill()
        each.process.communicate()


def sent(backend: local.LocalBackend, endpoint: str) -> int:
    """How often an endpoint was called."""
    return sum(call["endpoint"] == endpoint for call in backend.calls)


def accepted(backend: local.LocalBackend) -> int:
    """How many messages the backend took on, by its ledger."""
    return len(read_ledger(backend.directory).messages)


def plays(video: object) -> bool:
    with av.open(str(video)) as container:
        return len(list(container.decode(video=0))) > 1


def refuse_renders(backend: local.LocalBackend) -> None:
    backend.faults.add(Fault("answer", "render", status=402, code=402, message="plan", count=1))


def kept_uploads() -> list[str]:
    return sorted(path.name for path in (home() / "uploads").glob("*"))


class TestList:
    def test_there_may_be_none(self, shell: Shell) -> None:
        """An empty list is no failure, and needs neither network nor account."""
        ran, as_json = shell("jobs"), shell("jobs", "--json")

        assert (ran.code, ran.out, ran.err) == (0, "", "There are no jobs yet.\n")
        assert as_json.data == {"jobs": []}

    def test_the_newest_come_first_and_unfinished_ones_are_marked(
        self, shell: Shell, picture: Path, cloud: Opened
    ) -> None:
        """Id, time, state, credits, the prompt's beginning, and where the video is."""
        backend = cloud()
        done = shell("animate", picture, "--prompt", "slow pan over the quay", "--json")
        refuse_renders(backend)
        shell("animate", picture, "--prompt", "让画面慢慢动起来,一直推到远处的灯塔那里去,然后停在那里不动了,再加上标题")

        ran, as_json = shell("jobs"), shell("jobs", "list", "--limit", 1, "--json")

        head, newest, oldest = ran.out.splitlines()
        assert ran.code == 0
        assert head.split() == ["id", "time", "state", "credits", "prompt", "video"]
        assert re.match(r"\* [0-9a-f]{8}  \d{4}-\d\d-\d\d \d\d:\d\d  ready to collect  100 ", newest)
        assert "…" in newest
        assert re.search(r"^  [0-9a-f]{8} .* saved .* 100 .*slow pan over the quay", oldest)
        assert oldest.endswith(done.data["video"])
        assert "jobs resume" in ran.err
        (job,) = as_json.data["jobs"]
        assert (job["state"], job["unfinished"], job["spent"], job["video"]) == ("done", True, 100.0, "")
        assert TOKEN not in ran.out + as_json.out

    def test_a_talk_that_made_nothing_owes_no_video(self, shell: Shell, picture: Path, cloud: Opened) -> None:
        """Only what can be delivered is marked; a session that was merely looked at is no job."""
        cloud()
        made = shell("animate", picture, "--json")
        shell("chat", "status", "--session", made.data["session_id"])

        (job,) = shell("jobs", "--json").data["jobs"]

        assert job["kind"] == "generate"
        assert not job["unfinished"]

    @pytest.mark.parametrize("seen_by", ["jobs", "credits"])
    def test_a_charge_that_came_late_is_told(self, seen_by: str, shell: Shell, picture: Path, cloud: Opened) -> None:
        """The balance had not fallen when the video was there: the next look at it tells what the job took."""
        backend = cloud()
        untouched = {"available": 1000, "frozen": 0, "total": 1000}
        backend.faults.add(Fault("answer", "credits", nth=2, body=json.dumps({"code": 0, "data": untouched})))
        made = shell("animate", picture, "--duration", 1, "--json")
        if seen_by == "credits":
            shell("credits")
            backend.faults.add(Fault("refuse", "credits", count=None))
        asked = sent(backend, "credits")
        listed = shell("jobs", "list", "--json")
        again = shell("jobs", "list", "--json")

        assert made.data["credits"]["spent"] is None
        assert "The balance shows no charge yet; 1000 credits left" in made.err
        assert [(job["spent"], job["certainty"]) for job in listed.data["jobs"]] == [(100, "exact")]
        assert again.data == listed.data
        assert sent(backend, "credits") == asked + (seen_by == "jobs"), "only while one is owed is the balance read"

    @pytest.mark.long
    def test_without_a_network_the_list_is_as_it_was(self, shell: Shell, picture: Path, cloud: Opened) -> None:
        """A charge that is owed is asked for in passing only."""
        backend = cloud()
        untouched = json.dumps({"code": 0, "data": {"available": 1000}})
        backend.faults.add(Fault("answer", "credits", nth=2, body=untouched))
        shell("animate", picture, "--duration", 1)
        backend.close()
        listed = shell("jobs", "list", "--json")

        assert (listed.code, [job["spent"] for job in listed.data["jobs"]]) == (0, [None])

    def test_a_file_that_is_gone_is_said(self, shell: Shell, picture: Path, cloud: Opened) -> None:
        """A path that leads nowhere is not shown as if it did; `resume` brings the video back, free."""
        backend = cloud()
        video = Path(shell("animate", picture).out.strip())
        video.unlink()

        ran = shell("jobs")
        again = shell("jobs", "resume", ran.out.splitlines()[1].split()[0])

        assert ran.out.endswith("harbour.mp4 (no longer there)\n")
        assert (again.code, plays(again.out.strip())) == (0, True)
        assert sent(backend, "message") == 1


class TestChat:
    def test_a_session_goes_on_in_command_after_command(self, shell: Shell, picture: Path, cloud: Opened) -> None:
        """Each message follows on the one before, and what is shown or exported is the newest state."""
        backend = cloud()
        made = shell("chat", "make a 2 second video", "--image", picture, "--json")
        session = ("--session", made.data["session_id"])

        shell("chat", "status", *session)
        longer = shell("chat", "make it 4 seconds", *session, "--json")
        status = shell("chat", "status", *session)
        again = shell("chat", "make it 3 seconds", *session, "--json")
        export = shell("chat", "export", *session, "--json")

        assert (longer.code, again.code, export.code) == (0, 0, 0)
        assert "(0-4s)" in status.out
        assert "(0-3s)" in export.data["timeline"]
        assert sent(backend, "message") == 3
        assert [job["unfinished"] for job in shell("jobs", "--json").data["jobs"]] == [False] * 3

    def test_the_same_message_again_is_not_paid_again(self, shell: Shell, picture: Path, cloud: Opened) -> None:
        """The very command that came last finds its answer; so a script may repeat it after any failure."""
        backend = cloud()
        made = shell("chat", "make a 2 second video", "--image", picture, "--json")
        said = ("chat", "make it 4 seconds", "--session", made.data["session_id"], "--json")

        first, second = shell(*said), shell(*said)

        assert (first.data["reused"], second.data["reused"]) == (False, True)
        assert first.data["reply"] == second.data["reply"]
        assert sent(backend, "message") == 2


class TestResume:
    def test_it_delivers_where_the_video_was_wanted(self, shell: Shell, picture: Path, cloud: Opened) -> None:
        """Paid and not delivered: nothing is sent again, and destination and format are remembered."""
        backend = cloud()
        refuse_renders(backend)
        failed = shell("animate", picture, "--output", "out/clip.mov", "--json")

        ran = shell("jobs", "resume", "--json")

        assert (failed.code, failed.data["error"]["charged"]) == (4, "yes")
        assert (ran.code, ran.data["reused"]) == (0, True)
        assert Path(ran.data["video"]) == Path.cwd() / "out" / "clip.mov"
        assert plays(ran.data["video"])
        assert sent(backend, "message") == 1
        assert not shell("jobs", "--json").data["jobs"][0]["unfinished"]

    def test_an_output_of_ones_own_goes_before(self, shell: Shell, picture: Path, cloud: Opened) -> None:
        """By a word of the prompt, as another file: rendering is free."""
        backend = cloud()
        shell("animate", picture, "--prompt", "slow pan over the quay")

        ran = shell("jobs", "resume", "quay", "--output", "small.gif", "--json")

        assert ran.code == 0
        with Image.open(ran.data["video"]) as moving:
            assert (Path(ran.data["video"]).name, moving.format) == ("small.gif", "GIF")
        assert sent(backend, "message") == 1

    def test_a_job_of_another_profile_is_found_by_itself(self, shell: Shell, picture: Path) -> None:
        """The job's own profile counts, here the local preview's."""
        shell("animate", picture, "--local", "--duration", 1)
        job = shell("jobs", "--json").data["jobs"][0]

        ran = shell("jobs", "resume", job["id"][:5], "--json")

        assert (ran.code, ran.data["video"]) == (0, job["video"])

    @pytest.mark.parametrize("verb", ["resume", "cancel", "forget", "resend"])
    def test_a_job_that_is_not_there_is_said(self, shell: Shell, verb: str) -> None:
        """One line, exit code 2."""
        ran = shell("jobs", verb, "0badc0de", "--json")

        assert (ran.code, ran.data["error"]["id"], ran.data["error"]["charged"]) == (2, "job-unknown", "no")

    def test_one_that_was_never_sent_says_that_it_pays(self, shell: Shell, picture: Path, cloud: Opened) -> None:
        """A limit kept it from being sent; it counts here, too, and without it the message goes out once."""
        backend = cloud()
        shell("animate", picture, "--max-credits", 20)

        limited = shell("jobs", "resume", "--max-credits", 30, "--json")
        unsent = sent(backend, "message")
        ran = shell("jobs", "resume", "--json")

        assert (limited.code, limited.data["error"]["id"], unsent) == (4, "limit", 0)
        assert (ran.code, sent(backend, "message")) == (0, 1)
        assert "was not sent yet. It is sent now and costs credits." in ran.err
        assert Path(ran.data["video"]).name.startswith("video-")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.long
class TestKilled:
    @pytest.mark.parametrize("how", ["again", "resume"])
    def test_while_its_message_was_out(
        self,
        shell: Shell,
        picture: Path,
        cloud: Opened,
        child: Callable[..., Child],
        how: str,
        shorten: Shorten,
    ) -> None:
        """After SIGKILL the same command, or `jobs resume`, gives the video: one message, one charge."""
        shorten(studio={"next_read": 1.5})
        backend = cloud()
        with backend.faults.hold():
            killed = child("--duration", "1")
            wait_until(lambda: accepted(backend) == 1)
            killed.process.kill()
            killed.end()

        (job,) = shell("jobs", "--json").data["jobs"]
        again = ("animate", picture, "--duration", 1) if how == "again" else ("jobs", "resume")
        ran = shell(*again, "--json")

        assert (job["state"], job["unfinished"]) == ("sent", True)
        assert ran.code == 0, ran.out
        assert (ran.code, plays(ran.data["video"])) == (0, True)
        assert ran.data["credits"]["spent"] == 100
        assert sent(backend, "message") == 1

    def test_a_message_that_is_out_cannot_be_called_back(
        self, shell: Shell, cloud: Opened, child: Callable[..., Child]
    ) -> None:
        """`cancel` says what goes on and what it costs, `resend` that it is too early, `forget` that it stays known."""
        backend = cloud(generation_seconds=60.0)
        killed = child()
        wait_until(lambda: accepted(backend) == 1)
        killed.process.kill()
        killed.end()

        cancelled = shell("jobs", "cancel", "turn this image")
        early = shell("jobs", "resend", "turn this image", "--yes", "--json")
        forgotten = shell("jobs", "forget", "turn this image", "--json")

        assert cancelled.code == 0
        assert re.search(r"can't be cancelled\. Run `nemo-video jobs resume [0-9a-f]{8}`", cancelled.out)
        assert (early.code, early.data["error"]["id"]) == (2, "job-open")
        assert "in 20 minutes" in early.data["error"]["message"]
        assert (forgotten.code, forgotten.data["uploads_deleted"], len(kept_uploads())) == (0, 0, 1)
        assert sent(backend, "message") == 1

    def test_cancel_stops_a_render_that_nobody_waits_for(
        self, shell: Shell, cloud: Opened, child: Callable[..., Child]
    ) -> None:
        """Free; what was paid for is kept, and rendered again on request."""
        backend = cloud(render_seconds=60.0)
        killed = child()
        killed.until("Rendering")
        killed.process.kill()
        killed.end()

        ran = shell("jobs", "cancel", "latest", "--json")
        text = shell("jobs", "cancel", "latest").out

        assert (ran.code, ran.data["stopped"], ran.data["state"]) == (0, True, "done")
        assert sent(backend, "render-cancel") == 1
        assert "is not running" in text
        assert "`nemo-video jobs resume " in text


class TestForget:
    def test_it_is_gone_from_the_list_and_still_not_paid_again(
        self, shell: Shell, picture: Path, cloud: Opened
    ) -> None:
        """A tombstone: the same request finds its result, and another seed uploads the picture again."""
        backend = cloud()
        shell("animate", picture)

        ran = shell("jobs", "forget", "turn this image")
        listed = shell("jobs", "--json").data["jobs"]
        (hidden,) = shell("jobs", "list", "--all", "--json").data["jobs"]
        left = kept_uploads()
        again, other = shell("animate", picture, "--json"), shell("animate", picture, "--seed", 2, "--json")

        assert ran.code == 0
        assert "off the list" in ran.out
        assert "1 stored uploads were deleted." in ran.err
        assert (listed, left, hidden["hidden"]) == ([], [], True)
        assert (again.code, again.data["reused"]) == (0, True)
        assert (other.code, other.data["reused"]) == (0, False)
        assert sent(backend, "message") == 2
        assert "forgotten" in shell("jobs", "--all").out

    def test_what_another_job_needs_is_kept(self, shell: Shell, picture: Path, cloud: Opened) -> None:
        """Two jobs of one picture: its bytes go with the second."""
        cloud()
        shell("animate", picture, "--prompt", "over the quay")
        shell("animate", picture, "--prompt", "over the lighthouse")

        first = shell("jobs", "forget", "quay", "--json").data
        between = kept_uploads()
        second = shell("jobs", "forget", "lighthouse", "--json").data

        assert (first["uploads_deleted"], len(between)) == (0, 1)
        assert (second["uploads_deleted"], kept_uploads()) == (1, [])


class _Keyboard(io.StringIO):
    """A terminal at which this was typed."""

    def isatty(self) -> bool:
        return True


class TestResend:
    @pytest.fixture
    def lost(self, shell: Shell, picture: Path, cloud: Opened, shorten: Shorten) -> local.LocalBackend:
        """A backend with one message that made nothing, long ago."""
        backend = cloud()
        backend.faults.add(Fault("error_in_stream", "message"))
        shorten(studio={"horizon": 0.0})
        assert shell("animate", picture).code == 5
        return backend

    def test_it_asks_first_and_no_is_no(
        self, shell: Shell, lost: local.LocalBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At a terminal it says that it pays again; whatever is not a yes sends nothing."""
        monkeypatch.setattr("sys.stdin", _Keyboard("\n"))

        ran = shell("jobs", "resend", "turn this image", "--json")

        assert (ran.code, ran.data["error"]["id"], ran.data["error"]["charged"]) == (130, "cancelled", "no")
        assert "costs credits again" in ran.err
        assert sent(lost, "message") == 1

    def test_a_yes_sends_it_and_delivers(
        self, shell: Shell, lost: local.LocalBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One more message, and its video."""
        monkeypatch.setattr("sys.stdin", _Keyboard("y\n"))

        ran = shell("jobs", "resend", "turn this image", "--output", "clip.mp4", "--json")

        assert (ran.code, sent(lost, "message")) == (0, 2)
        assert plays(ran.data["video"])
        assert Path(ran.data["video"]) == Path.cwd() / "clip.mp4"

    def test_without_a_terminal_it_takes_a_word(self, shell: Shell, lost: local.LocalBackend) -> None:
        """A script has to say --yes; then a job that is done is not sent again."""
        refused = shell("jobs", "resend", "turn this image", "--json")
        ran = shell("jobs", "resend", "turn this image", "--yes", "--json")
        done = shell("jobs", "resend", "turn this image", "--yes", "--json")

        assert (refused.code, refused.data["error"]["id"]) == (2, "jobs-yes")
        assert (ran.code, sent(lost, "message")) == (0, 2)
        assert (done.code, done.data["error"]["id"]) == (2, "job-not-lost")

    def test_the_same_command_still_does_not_pay(self, shell: Shell, lost: local.LocalBackend, picture: Path) -> None:
        """Only `resend` pays again: the plain command looks for the result, and reports what there is."""
        ran = shell("animate", picture, "--json")

        assert ran.code == 5
        assert sent(lost, "message") == 1


class TestLogin:
    def _typed(self, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
        monkeypatch.delenv("NEMO_TOKEN", raising=False)
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))

    def test_a_token_is_kept_privately_and_used(
        self, shell: Shell, cloud: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From a pipe; in a file that only its owner can read, for the origin that it is for; never shown."""
        backend = cloud()
        self._typed(monkeypatch, TOKEN)

        ran = shell("login", "--json")
        credits = shell("credits")
        monkeypatch.setenv("NEMO_API_URL", backend.url.replace("127.0.0.1", "localhost"))

        kept = home() / "credentials.json"
        assert (ran.code, ran.data["profile"], ran.data["account"]) == (0, "nemo", "user")
        assert credits.out.startswith("1000 credits available")
        assert os.name == "nt" or kept.stat().st_mode & 0o777 == 0o600
        assert TOKEN not in ran.out + ran.err
        assert CredentialStore(home()).read(profile("nemo")) is None, "another origin"

    def test_a_refused_token_is_not_kept(self, shell: Shell, cloud: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tried out first: exit code 3, and the token before stays."""
        cloud()
        self._typed(monkeypatch, TOKEN)
        shell("login")
        self._typed(monkeypatch, "nmv_usr_wrong")

        ran = shell("login", "--json")

        stored = CredentialStore(home()).read(profile("nemo"))
        assert (ran.code, ran.data["error"]["id"]) == (3, "login-refused")
        assert "nmv_usr_wrong" not in ran.out + ran.err
        assert stored is not None
        assert stored.value == TOKEN

    @pytest.mark.parametrize("typed", ["", "two words", "tökén"])
    def test_what_is_no_token_is_said(self, shell: Shell, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
        """Before anything is sent or kept, and without repeating it."""
        self._typed(monkeypatch, typed)

        ran = shell("login", "--json")

        assert (ran.code, ran.data["error"]["id"]) == (2, "token-odd")
        assert not typed or typed not in ran.out + ran.err

    def test_the_local_preview_needs_none(self, shell: Shell) -> None:
        """A profile without an account."""
        ran = shell("login", "--profile", "local preview", "--json")

        assert (ran.code, ran.data["error"]["id"]) == (2, "login-free")

    def test_a_new_free_account_says_what_is_given_up(self, shell: Shell, cloud: Opened) -> None:
        """The stored one goes on the user's word, once there is another; open jobs are named."""
        cloud(anonymous=True)
        cloud_profile = profile("nemo")
        CredentialStore(ensure_home(home())).write(cloud_profile, Token("nmv_usr_old", "anonymous", "anon_old"))
        job = asyncio.run(_open_job("anon_old"))

        ran = shell("login", "--new-anonymous", "--json")

        stored = CredentialStore(home()).read(cloud_profile)
        assert stored is not None
        assert (ran.code, ran.data["account"], ran.data["given_up"]) == (0, "anonymous", [job])
        assert (stored.kind, stored.value != "nmv_usr_old") == ("anonymous", True)
        assert stored.value.reveal() not in ran.out + ran.err
        assert f"Lost with the earlier free account: jobs {job}." in ran.err
        assert shell("credits").out.startswith("100 credits available")

    def test_a_free_account_with_open_jobs_is_not_replaced_in_passing(
        self, shell: Shell, cloud: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A token of one's own would put open jobs out of reach: it takes --yes."""
        cloud()
        self._typed(monkeypatch, TOKEN)
        CredentialStore(ensure_home(home())).write(profile("nemo"), Token("nmv_usr_old", "anonymous", "anon_old"))
        job = asyncio.run(_open_job("anon_old"))

        refused = shell("login", "--json")
        self._typed(monkeypatch, TOKEN)
        ran = shell("login", "--yes", "--json")

        assert (refused.code, refused.data["error"]["id"]) == (2, "login-gives-up")
        assert job in refused.data["error"]["message"]
        assert (ran.code, ran.data["given_up"]) == (0, [job])

    @pytest.mark.parametrize("again", [("login",), ("login", "--new-anonymous")], ids=["own", "free"])
    def test_the_credits_of_a_free_account_are_not_given_up_in_passing(
        self, again: tuple[str, ...], shell: Shell, cloud: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are named; it takes --yes where no one can be asked."""
        cloud(anonymous=True)
        monkeypatch.delenv("NEMO_TOKEN", raising=False)
        assert shell("credits").out.startswith("100 credits available")
        before = (home() / "credentials.json").read_bytes()
        self._typed(monkeypatch, TOKEN)

        refused = shell(*again, "--json")

        assert (refused.code, refused.data["error"]["id"]) == (2, "login-gives-up")
        assert "100 credits" in refused.data["error"]["message"]
        assert (home() / "credentials.json").read_bytes() == before
        if "--new-anonymous" not in again:
            self._typed(monkeypatch, TOKEN)
            ran = shell(*again, "--yes", "--json")
            assert (ran.code, ran.data["given_up"], ran.data["given_up_credits"]) == (0, [], 100)
            assert "Lost with the earlier free account: 100 credits." in ran.err

    @pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 130), ("no", 130)])
    def test_at_a_terminal_it_is_asked(
        self, answer: str, code: int, shell: Shell, cloud: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is given up stands before the question; anything but a yes leaves the old token."""
        cloud(anonymous=True)
        monkeypatch.delenv("NEMO_TOKEN", raising=False)
        shell("credits")
        before = (home() / "credentials.json").read_bytes()
        terminal = io.StringIO(f"{answer}\n")
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr("sys.stdin", terminal)
        monkeypatch.setattr("getpass.getpass", lambda *_: TOKEN)

        ran = shell("login")

        assert ran.code == code
        assert "100 credits" in ran.err
        assert ((home() / "credentials.json").read_bytes() == before) == bool(code)

    def test_a_token_that_cannot_be_tried_out_replaces_nothing(
        self, shell: Shell, cloud: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Exit code 5; where none is stored it is kept, with a word."""
        cloud()
        self._typed(monkeypatch, TOKEN)
        shell("login")
        before = (home() / "credentials.json").read_bytes()
        monkeypatch.setenv("NEMO_API_URL", "http://127.0.0.1:9")
        self._typed(monkeypatch, "nmv_usr_other")
        first = shell("login", "--json")
        second_origin = (home() / "credentials.json").read_bytes()
        self._typed(monkeypatch, "nmv_usr_third")

        ran = shell("login", "--json")

        assert (first.code, second_origin != before) == (0, True)
        assert "could not be checked" in first.err
        assert (ran.code, ran.data["error"]["id"]) == (5, "token-untried")
        assert (home() / "credentials.json").read_bytes() == second_origin

    def test_one_s_own_token_is_not_replaced_by_a_free_account(
        self, shell: Shell, cloud: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither the one in the environment nor the kept one."""
        cloud()
        in_environment = shell("login", "--new-anonymous", "--json")
        self._typed(monkeypatch, TOKEN)
        shell("login")
        kept = shell("login", "--new-anonymous", "--json")

        assert (in_environment.code, in_environment.data["error"]["id"]) == (2, "login-variable")
        assert (kept.code, kept.data["error"]["id"]) == (2, "login-own")


async def _open_job(account: str) -> str:
    """A message in flight under `account`; its job's id."""
    journal = Journal(ensure_home(home()))
    planned = await journal.begin(
        Attempt("generate-" + "ab" * 20, 1, State.PLANNED, "nemo", account=account, facts={"text": "pan"})
    )
    await journal.move(planned, Event.SEND)
    await journal.close()
    return "abababab"

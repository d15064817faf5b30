"""The shell command, against the local backend over a real socket: results, exit codes, bad input."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

import nemo_client
from nemo_client import local
from nemo_client._cli.main import main
from tests.support.faults import Fault, Faults
from tests.support.films import animation, film
from tests.support.ledger import read_ledger
from tests.support.timings import Shorten
from tests.support.waiting import PATIENT_SECONDS, wait_until

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "nmv_usr_shell"
KEYS = {"video", "session_id", "task_id", "render_id", "reply", "timeline", "credits", "reused"}
FREE = {"before": None, "after": None, "spent": 0.0, "certainty": "exact"}


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """stdout as the one JSON object that it has to be."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    @property
    def error_line(self) -> str:
        """The line that says what failed; there is exactly one."""
        (line,) = (line for line in self.err.splitlines() if line.startswith("nemo-video: "))
        return line


Shell = Callable[..., Ran]


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, shorten: Shorten, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """`nemo-video` in this process, in an empty current folder; the built-in backend hurries."""
    shorten(preview={"pace": 0.1})
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*argv: str | Path) -> Ran:
        code = main([str(each) for each in argv])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small picture."""
    path = tmp_path / "harbour.png"
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(path)
    return path


@pytest.fixture
def cloud(tmp_path: Path, shorten: Shorten, monkeypatch: pytest.MonkeyPatch) -> Iterator[local.LocalBackend]:
    """A backend that charges, as profile `nemo`; with 300 credits and without artificial delays."""
    shorten(studio={"quiet": 0.0})
    with local.open(tmp_path / "cloud", token=TOKEN, credits=300, pace=0, faults=Faults()) as backend:
        monkeypatch.setenv("NEMO_API_URL", backend.url)
        monkeypatch.setenv("NEMO_TOKEN", TOKEN)
        yield backend


@pytest.fixture
def made_session(shell: Shell, picture: Path) -> str:
    """The id of a session of the local preview, with a video of a second."""
    return str(shell("chat", "make a 1 second video", "--image", picture, "--local", "--json").data["session_id"])


def shorter_side(video: Path) -> int:
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        return min(stream.width, stream.height)


def sent(backend: local.LocalBackend, endpoint: str) -> int:
    """How often an endpoint was called."""
    return sum(call["endpoint"] == endpoint for call in backend.calls)


def left_behind(folder: Path) -> list[str]:
    """Everything in a folder, hidden files and those below it too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def seconds_of(video: Path) -> float:
    """Decode a video to its end; its length."""
    with av.open(str(video)) as container:
        frames = list(container.decode(video=0))
        return len(frames) / float(container.streams.video[0].average_rate or 1)


class TestAnimate:
    def test_a_picture_becomes_a_video_on_the_local_preview(self, shell: Shell, picture: Path) -> None:
        """stdout is the absolute path and nothing else; the video lies in the current folder and plays."""
        ran = shell("animate", picture, "--local", "--duration", 1)

        video = Path(ran.out.removesuffix("\n"))
        assert (ran.code, video) == (0, Path.cwd() / "harbour.mp4")
        assert seconds_of(video) == pytest.approx(1, abs=0.1)
        assert left_behind(Path.cwd()) == ["harbour.mp4"]
        assert "Timeline" in ran.err
        assert "Free" in ran.err

    def test_json_is_one_object_with_the_documented_keys(self, shell: Shell, picture: Path) -> None:
        """--json prints one object on stdout, whatever is said on stderr; a free run says that it was."""
        ran = shell("animate", picture, "--local", "--duration", 1, "--output", "clip.gif", "--json")

        data = ran.data
        assert ran.code == 0
        assert set(data) == KEYS
        assert Path(data["video"]) == Path.cwd() / "clip.gif"
        with Image.open(data["video"]) as moving:
            assert moving.format == "GIF"
        assert data["credits"] == FREE
        assert data["reused"] is False
        assert all(data[key] for key in ("session_id", "render_id", "timeline"))

    def test_it_is_charged_once_and_never_replaces_a_file(
        self, shell: Shell, picture: Path, cloud: local.LocalBackend
    ) -> None:
        """Credits before and after are told with how sure they are; an existing file keeps its name and content."""
        Path("harbour.mp4").write_bytes(b"mine")

        ran = shell("animate", picture, "--duration", 1, "--json")

        assert ran.code == 0
        assert ran.data["credits"] == {"before": 300.0, "after": 200.0, "spent": 100.0, "certainty": "exact"}
        assert Path(ran.data["video"]).name == "harbour-2.mp4"
        assert Path("harbour.mp4").read_bytes() == b"mine"
        assert sent(cloud, "message") == 1
        assert "100 credits spent, 200 left" in ran.err
        assert TOKEN not in ran.out + ran.err

        again = shell("animate", picture, "--duration", 1)

        assert "Already made: nothing was sent or charged." in again.err
        assert "credits spent" not in again.err

    def test_several_pictures_go_into_one_video(self, shell: Shell, picture: Path, cloud: local.LocalBackend) -> None:
        """All images of a command are one session's, one video's."""
        other = picture.with_name("quay.jpg")
        Image.new("RGB", (64, 96), "teal").save(other)

        ran = shell("animate", picture, other, "--duration", 2, "--resolution", "480p", "--quiet")

        assert (ran.code, ran.err) == (0, "")
        assert (sent(cloud, "session"), sent(cloud, "message")) == (1, 1)
        assert seconds_of(Path(ran.out.strip())) == pytest.approx(2, abs=0.2)

    def test_a_url_is_handed_to_the_backend(self, shell: Shell) -> None:
        """An address is not opened here; the local preview refuses private ones, in one line."""
        ran = shell("animate", "http://127.0.0.1:9/quay.png", "--local")

        assert ran.code != 0
        assert ran.error_line.endswith("Nothing was charged.")

    def test_progress_on_a_pipe_is_sparse_lines(self, shell: Shell, picture: Path, cloud: local.LocalBackend) -> None:
        """Where stderr is no terminal, each stage is a line once, without control characters."""
        ran = shell("animate", picture, "--duration", 1)

        stages = [line.split(" ")[0].rstrip(":") for line in ran.err.splitlines()]
        assert [stage for stage in stages if stage in ("Uploading", "Generating", "Rendering")] == [
            "Uploading",
            "Generating",
            "Rendering",
        ]
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", ran.err)


def _sparse_file(folder: Path) -> Path:
    path = folder / "huge.mp4"
    with path.open("wb") as file:
        file.truncate(201 * 1024 * 1024)
    return path


def _cut_film(folder: Path) -> Path:
    data = film("mkv")
    (folder / "cut.mkv").write_bytes(data[: len(data) * 7 // 10])
    return folder / "cut.mkv"


def _cut_animation(folder: Path) -> Path:
    data = animation("GIF")
    (folder / "cut.gif").write_bytes(data[: len(data) * 7 // 10])
    return folder / "cut.gif"


def _text_file(folder: Path) -> Path:
    path = folder / "words.png"
    path.write_text("no picture")
    return path


@pytest.mark.parametrize(
    ("argv", "code", "error_id", "words"),
    [
        pytest.param(["missing.png"], 2, "file-missing", "missing.png", id="no such file"),
        pytest.param([_text_file], 2, "not-an-image", "words.png", id="not an image"),
        pytest.param([_cut_film], 2, "media-cut", "cut.mkv", id="half a film"),
        pytest.param([_cut_animation], 2, "image-damaged", "cut.gif", id="half an animation"),
        pytest.param([_sparse_file], 2, "file-too-large", "201 MB", id="201 MB"),
        pytest.param(["notes.txt"], 2, "file-missing", "notes.txt", id="no such text"),
        pytest.param(["", "--prompt", "x"], 2, "file-missing", "no file", id="empty name"),
        pytest.param(["PICTURE", "--prompt", " \n"], 2, "prompt-empty", "prompt is empty", id="empty prompt"),
        pytest.param(["PICTURE", "--output", "a.mp3"], 2, "value", "mp4, mov, webm", id="unsupported suffix"),
        pytest.param(["PICTURE", "--output", "a.mp4", "--format", "gif"], 2, "output-format", "same", id="formats"),
        pytest.param(["PICTURE", "--ratio", "7:5"], 2, "value", "9:16", id="unknown ratio"),
        pytest.param(["PICTURE", "--duration", "601"], 2, "value", "600", id="too long"),
        pytest.param(["PICTURE", "--language", "tlh"], 2, "value", "zh-CN", id="unknown language"),
        pytest.param(["PICTURE", "--output", "PICTURE/x/a.mp4"], 6, "disk-unwritable", "Not a dir", id="below a file"),
        pytest.param(["PICTURE", "--output", "/proc/x/a.mp4"], 6, "disk-unwritable", "/proc/x", id="unwritable system"),
        pytest.param(["PICTURE", "--output", "a" * 254 + ".mp4"], 6, "disk-unwritable", "too long", id="long name"),
        pytest.param(["PICTURE", "--profile", "moon"], 2, "profile-unknown", "'local preview'", id="unknown profile"),
        pytest.param(["PICTURE", "--local", "--profile", "moon"], 2, "usage", "not both", id="two profiles"),
        pytest.param(["PICTURE", "--seed", "-1"], 2, "usage", "--seed", id="usage"),
        pytest.param([], 2, "usage", "IMAGE", id="no image"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_leaves_nothing(
    shell: Shell, picture: Path, argv: list[Any], code: int, error_id: str, words: str
) -> None:
    """Wrong input ends before anything is sent: one line, the right code, nothing written."""
    given = [each(picture.parent) if callable(each) else each.replace("PICTURE", str(picture)) for each in argv]

    ran = shell("animate", *given, "--json")

    error = ran.data["error"]
    assert (ran.code, error["id"], error["exit_code"], error["charged"]) == (code, error_id, code, "no")
    assert words in error["message"]
    assert ran.error_line == f"nemo-video: {error['message']}"
    assert error["message"].endswith("Nothing was charged.")
    assert left_behind(Path.cwd()) == []


class TestTheBackendSaysNo:
    def test_no_network(self, shell: Shell, picture: Path, shorten: Shorten, monkeypatch: pytest.MonkeyPatch) -> None:
        """A refused connection is exit code 5, and nothing was charged."""
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        monkeypatch.setenv("NEMO_API_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NEMO_TOKEN", TOKEN)
        shorten(wire={"first_pause": 0.0})

        ran = shell("animate", picture, "--json")

        assert (ran.code, ran.data["error"]["id"], ran.data["error"]["charged"]) == (5, "connect-refused", "no")
        assert left_behind(Path.cwd()) == []

    def test_a_wrong_token(
        self, shell: Shell, picture: Path, cloud: local.LocalBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The user's own token is never replaced: exit code 3, with where to set another."""
        monkeypatch.setenv("NEMO_TOKEN", "nmv_usr_wrong")

        ran = shell("animate", picture, "--json")

        assert (ran.code, ran.data["error"]["id"]) == (3, "token-refused")
        assert "NEMO_TOKEN" in ran.error_line
        assert "nmv_usr_wrong" not in ran.out + ran.err
        assert sent(cloud, "message") == 0

    def test_a_paid_session_that_is_gone(self, shell: Shell, picture: Path, cloud: local.LocalBackend) -> None:
        """What was paid in it is named; nothing says that it is kept, or that it was free."""
        cloud.faults.add(Fault("lost_session", "render"))

        ran = shell("animate", picture, "--json")

        assert (ran.data["error"]["id"], ran.data["error"]["charged"]) == ("session-gone-paid", "yes")
        assert "100 credits were paid" in ran.error_line
        assert "is kept" not in ran.error_line
        assert "Nothing was charged" not in ran.error_line

    def test_a_web_page_instead_of_data(self, shell: Shell, picture: Path, cloud: local.LocalBackend) -> None:
        """A proxy's page is told as such."""
        page = {"body": "<html>Sign in</html>", "content_type": "text/html"}
        cloud.faults.add(Fault("answer", "session", count=None, **page))

        ran = shell("animate", picture, "--json")

        assert (ran.code, ran.data["error"]["id"], ran.data["error"]["charged"]) == (5, "answer-html", "no")

    def test_too_few_credits(self, shell: Shell, picture: Path, cloud: local.LocalBackend) -> None:
        """A limit that the estimate passes keeps the message from being sent: exit code 4."""
        ran = shell("animate", picture, "--max-credits", 20, "--json")

        assert (ran.code, ran.data["error"]["id"]) == (4, "limit")
        assert sent(cloud, "message") == 0

    def test_a_failure_after_the_paid_step_says_so_and_how_to_collect(
        self, shell: Shell, picture: Path, cloud: local.LocalBackend
    ) -> None:
        """An export that the plan does not allow comes after the charge; the command it names delivers for free."""
        refusal = Fault("answer", "render", status=402, code=402, message="plan", count=1)
        cloud.faults.add(refusal)
        failed = shell("animate", picture, "--duration", 1, "--json")
        error = failed.data["error"]

        command = re.search(r"`nemo-video (jobs resume \w+)`", error["message"])
        assert command is not None
        ran = shell(*command[1].split(), "--json")

        assert (failed.code, error["id"], error["charged"]) == (4, "plan", "yes")
        assert "100 credits were paid." in error["message"]
        assert "charged" not in error["message"], "the money is said once"
        assert error["message"].count("pay twice") == 1
        assert ran.code == 0
        assert seconds_of(Path(ran.data["video"])) == pytest.approx(1, abs=0.1)
        assert ran.data["reused"] is True
        assert sent(cloud, "message") == 1

    @pytest.mark.parametrize(
        ("kind", "count"),
        [
            ("http_429", 1),
            ("http_429", 4),
            pytest.param("http_429", None, marks=pytest.mark.long),
            pytest.param("close_before_headers", 2, marks=pytest.mark.long),
        ],
    )
    def test_an_export_that_is_not_taken_at_once_leaves_the_generation_paid(
        self, kind: str, count: int | None, shell: Shell, picture: Path, cloud: local.LocalBackend
    ) -> None:
        """A rate limit or a broken connection at the export: what the run paid is told, with a video and without."""
        how = {"retry_after": 0} if kind == "http_429" else {"accepted": False}
        cloud.faults.add(Fault(kind, "render", count=count, **how))
        ran = shell("animate", picture, "--duration", 1, "--json")

        assert sent(cloud, "message") == 1
        if count is None:
            assert (ran.code, ran.data["error"]["charged"]) == (5, "yes")
            assert "100 credits were paid" in ran.data["error"]["message"]
            cloud.faults.clear()
            later = shell("animate", picture, "--duration", 1, "--json")
            assert (later.code, later.data["reused"], sent(cloud, "message")) == (0, True, 1)
        else:
            assert (ran.code, ran.data["credits"]["spent"], ran.data["reused"]) == (0, 100, False)

    def test_an_unknown_result_names_the_command_that_looks_for_it(
        self, shell: Shell, picture: Path, cloud: local.LocalBackend
    ) -> None:
        """What is not known yet is looked up later; nothing is sent twice, and the message says so."""
        cloud.faults.add(Fault("error_in_stream", "message"))

        ran = shell("animate", picture, "--json")

        error = ran.data["error"]
        assert (ran.code, error["charged"]) == (5, "maybe")
        assert "you won't pay twice" in error["message"]
        assert "`nemo-video jobs resume`" in error["message"]
        assert sent(cloud, "message") == 1

    def test_a_truncated_stream_is_settled_by_the_state(
        self, shell: Shell, picture: Path, cloud: local.LocalBackend, shorten: Shorten
    ) -> None:
        """Where the stream ends early, the state shows the work: the video comes, and nothing is sent twice."""
        shorten(studio={"first_read": 0.05, "next_read": 0.05, "confirm": 0.05})
        cloud.faults.add(Fault("close_at", "message", at=300))

        ran = shell("animate", picture, "--duration", 1, "--json")

        assert (ran.code, ran.data["credits"]["spent"]) == (0, 100.0)
        assert "Looking for the result" in ran.err
        assert sent(cloud, "message") == 1


class TestChat:
    def test_credits_need_no_session(self, shell: Shell, cloud: local.LocalBackend) -> None:
        """A question for the balance is answered for free, without opening a session."""
        ran = shell("chat", "积分", "--json")

        assert (ran.code, ran.data["credits"]["after"], ran.data["credits"]["spent"]) == (0, 300.0, 0.0)
        assert ran.data["session_id"] is None
        assert sent(cloud, "session") == 0

    @pytest.mark.parametrize("message", ["export", "导出", "status"])
    def test_nothing_to_look_at_is_said_before_anything_is_sent(
        self, shell: Shell, cloud: local.LocalBackend, message: str
    ) -> None:
        """An export or a status without a session names the ways to give one."""
        ran = shell("chat", message, "--json")

        assert (ran.code, ran.data["error"]["id"]) == (2, "chat-no-session")
        assert cloud.calls == ()

    def test_an_export_of_a_fresh_upload_says_that_there_is_nothing(self, shell: Shell, picture: Path) -> None:
        """A session without a draft has nothing to export."""
        ran = shell("chat", "export", "--image", picture, "--local", "--json")

        assert (ran.code, ran.data["error"]["id"]) == (5, "not-ready")

    def test_a_session_goes_on_in_the_next_command(self, shell: Shell, picture: Path) -> None:
        """A generation by chat, the status and the export in a command each, by the session's id."""
        made = shell("chat", "make", "a", "1", "second", "video", "--image", picture, "--local", "--json")
        session = made.data["session_id"]

        status = shell("chat", "status", "--session", session, "--local")
        export = shell("chat", "export it please", "--session", session, "--local", "--output", "out/")

        assert (made.code, status.code, export.code) == (0, 0, 0)
        assert made.data["reply"]
        assert status.out.strip() == made.data["timeline"]
        assert Path(export.out.strip()) == Path.cwd() / "out" / "video.mp4"
        assert session in export.err

    @pytest.mark.parametrize("with_picture", [True, False])
    @pytest.mark.parametrize(
        ("message", "spoken"),
        [
            ("让图片慢慢动起来", "zh-CN"),
            ("сделай видео с музыкой", "ru"),
            ("fais une vidéo de 2 secondes", "fr"),
            ("4K", "en"),
        ],
    )
    def test_the_session_speaks_the_language_of_the_message(
        self, shell: Shell, picture: Path, cloud: local.LocalBackend, tmp_path: Path,
        message: str, spoken: str, with_picture: bool,
    ) -> None:  # fmt: skip
        """Also where there is no picture."""
        shell("chat", message, *(("--image", picture) if with_picture else ()), "--json")

        found = [json.loads(path.read_text()) for path in tmp_path.glob("**/sessions/*/session.json")]
        assert [each["language"] for each in found] == [spoken]

    def test_a_lost_session_without_a_picture_is_opened_again(self, shell: Shell, cloud: local.LocalBackend) -> None:
        """1002 on its first message: nothing was paid for there."""
        cloud.faults.add(Fault("answer", "message", code=1002))
        ran = shell("chat", "make a video of a cat", "--json")

        assert (ran.code, sent(cloud, "session"), sent(cloud, "message")) == (0, 2, 2)

    def test_what_is_not_for_the_agent_never_goes_there(
        self, shell: Shell, picture: Path, cloud: local.LocalBackend
    ) -> None:
        """Only a message that is for the agent is sent, and charged."""
        made = shell("chat", "make it pan slowly, 1 second", "--image", picture, "--json")
        session = made.data["session_id"]
        for message in ("status", "credits", "export"):
            assert shell("chat", message, "--session", session, "--json").data["credits"]["spent"] == 0

        assert made.data["credits"]["spent"] > 0
        assert sent(cloud, "message") == 1

    @pytest.mark.parametrize(
        ("message", "name", "side", "said"),
        [
            ("Export 1080p MP4", "video.mp4", 1080, ""),
            ("export as gif", "video.gif", 0, ""),
            ("导出720p的webm", "video.webm", 720, ""),
            ("download it as a mov file in 480p", "video.mov", 480, ""),
            ("render it out in 4k", "video.mp4", 1080, "1080p is the largest size"),
            ("export it in 360p", "video.mp4", 480, "360p is not available"),
        ],
    )
    def test_an_export_in_words_has_the_format_and_size_that_was_asked_for(
        self, shell: Shell, made_session: str, message: str, name: str, side: int, said: str
    ) -> None:
        """The words count for this export; where there is no such size the nearest one is taken, and said."""
        ran = shell("chat", message, "--session", made_session, "--local", "--output", "out/")

        assert ran.code == 0
        assert Path(ran.out.strip()) == Path.cwd() / "out" / name
        assert said in ran.err
        assert side in (0, shorter_side(Path(ran.out.strip())))

    def test_a_file_of_another_format_than_the_words_say_is_refused(self, shell: Shell, made_session: str) -> None:
        """Neither is given up in silence; nothing is rendered."""
        ran = shell("chat", "export as gif", "--session", made_session, "--local", "--output", "a.mp4", "--json")

        assert (ran.code, ran.data["error"]["id"]) == (2, "chat-output-format")

    @pytest.mark.parametrize("message", ["Is exporting free?", "导出要积分吗"])
    def test_what_an_export_costs_is_answered_without_the_agent(
        self, shell: Shell, cloud: local.LocalBackend, message: str
    ) -> None:
        """Asking must not cost what it asks about."""
        ran = shell("chat", message)

        assert ran.code == 0
        assert "Exporting is free" in ran.out
        assert sent(cloud, "message") == 0

    def test_requests_that_are_joined_are_all_carried_out(self, shell: Shell, made_session: str) -> None:
        """An edit goes to the agent, and the export behind it is made in the format of the words."""
        both = shell("chat", "make it 2 seconds and export as gif", "--session", made_session, "--local", "--json")
        free = shell("chat", "export and show me the timeline", "--session", made_session, "--local", "--json")

        assert (both.code, Path(both.data["video"]).suffix) == (0, ".gif")
        assert both.data["reply"]
        assert (free.code, Path(free.data["video"]).suffix) == (0, ".mp4")
        assert free.data["timeline"]

    def test_an_unknown_session_is_said(self, shell: Shell) -> None:
        """A session that the backend does not know is an error, not a new session."""
        ran = shell("chat", "status", "--session", "nowhere", "--local", "--json")

        assert (ran.code, ran.data["error"]["id"]) == (5, "session-gone")

    def test_a_message_can_come_through_a_pipe(
        self, shell: Shell, cloud: local.LocalBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a message, stdin is read where it is no terminal; an empty one is an empty prompt."""
        monkeypatch.setattr("sys.stdin", io.StringIO("credits\n"))
        ran = shell("chat")
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        empty = shell("chat")

        assert (ran.code, ran.out) == (0, "300 credits available, 0 reserved, 300 in total.\n")
        assert empty.code == 2


class TestCredits:
    def test_the_balance_of_a_profile(self, shell: Shell, cloud: local.LocalBackend) -> None:
        """One line, or one object with the three numbers."""
        ran, as_json = shell("credits"), shell("credits", "--json")

        assert (ran.code, ran.out) == (0, "300 credits available, 0 reserved, 300 in total.\n")
        assert as_json.data == {
            "profile": "nemo",
            "available": 300.0,
            "frozen": 0.0,
            "total": 300.0,
            "register": None,
        }

    def test_the_local_preview_never_runs_out(self, shell: Shell) -> None:
        """The local preview has a balance too."""
        assert shell("credits", "--local").code == 0

    def test_an_anonymous_account_is_told_where_to_register(
        self, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a token the shell signs up by itself, and names the page that makes the account one's own."""
        with local.open(tmp_path / "cloud", anonymous=True) as backend:
            monkeypatch.setenv("NEMO_API_URL", backend.url)
            ran = shell("credits")

        assert (ran.code, ran.out) == (0, "100 credits available, 0 reserved, 100 in total.\n")
        assert "/register?bind=anon_" in ran.err


class TestTheProgram:
    def test_its_version(self, shell: Shell) -> None:
        """The version of the package."""
        ran = shell("--version")

        assert (ran.code, ran.out) == (0, f"nemo-video {nemo_client.VERSION}\n")

    def test_without_a_command_it_helps(self, shell: Shell) -> None:
        """The help, on stderr, as wrong usage."""
        ran = shell()

        assert (ran.code, ran.out) == (2, "")
        assert all(name in ran.err for name in ("animate", "chat", "credits", "serve"))

    @pytest.mark.parametrize("missing", ["typer", "rich"])
    def test_without_its_extra_it_names_it(self, shell: Shell, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        """Where typer or rich is missing, one line says what to install."""
        for name in list(sys.modules):
            if name.startswith("nemo_client._cli.") or name.split(".")[0] == missing:
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, missing, None)
        monkeypatch.delattr("nemo_client._cli.app", raising=False)

        ran = shell("credits")

        assert (ran.code, ran.out) == (2, "")
        assert ran.err == "The shell command needs an extra. Install it: pip install 'nemo-video[cli]'.\n"

    def test_a_defect_is_one_line_too(self, shell: Shell, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An exception that no one raised on purpose is told without a traceback and without secrets."""

        def broken(*_: object) -> None:
            raise KeyError(f"https://x.invalid/a?sign=1 {TOKEN}")

        monkeypatch.setattr("nemo_client._cli.animate.from_file", broken)

        ran = shell("animate", picture, "--local", "--json")

        assert (ran.code, ran.data["error"]["id"]) == (5, "unexpected")
        assert "Traceback" not in ran.err
        assert TOKEN not in ran.err + ran.out
        assert "sign=1" not in ran.err + ran.out

    def test_ctrl_c_before_the_command_began_is_said_too(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        """While modules are still being loaded, Ctrl-C is an exception; it ends in one line as well."""

        def pressed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("nemo_client._cli.runtime.run_command", pressed)

        ran = shell("credits", "--json")

        assert (ran.code, ran.data["error"]["id"]) == (130, "cancelled")
        assert ran.error_line == "nemo-video: Cancelled. Nothing was charged."

    def test_debugging_shows_the_traceback(self, shell: Shell, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """NEMO_DEBUG=1 adds it on stderr; stdout stays one object."""
        monkeypatch.setattr("nemo_client._cli.animate.from_file", None)
        monkeypatch.setenv("NEMO_DEBUG", "1")

        ran = shell("animate", picture, "--local", "--json")

        assert ran.data["error"]["id"] == "unexpected"
        assert "Traceback" in ran.err


class Child:
    """`nemo-video` as a process of its own, whose Ctrl-C is a signal."""

    def __init__(self, argv: tuple[str, ...], *, limit: int = 0) -> None:
        code = (
            "import resource, signal, sys\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            f"if {limit}: resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
            "from nemo_client._config.timings import use_timings\n"
            "from tests.support.timings import make_timings\n"
            "from nemo_client._cli.main import main\n"
            "with use_timings(make_timings(studio={'quiet': 0.0})): sys.exit(main())\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.said = ""

    def until(self, words: str) -> None:
        """Read stderr up to the line that holds `words`."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            if words in line:
                return
        raise AssertionError(f"{words!r} never came; it said {self.said!r}")

    def press(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> Ran:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=PATIENT_SECONDS)
        return Ran(self.process.returncode, out, self.said + err)


Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start `nemo-video` as a process, in an empty current folder."""
    folder = tmp_path / "there"
    folder.mkdir()
    monkeypatch.chdir(folder)
    children: list[Child] = []

    def begin(*argv: str | Path, limit: int = 0) -> Child:
        children.append(Child(tuple(str(each) for each in argv), limit=limit))
        return children[-1]

    yield begin
    for child in children:
        child.process.kill()
        child.process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")
class TestCtrlC:
    def test_once_while_paid_work_is_out(
        self, start: Start, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It says at once what was sent, reads it to its end, starts nothing new, and says how to collect."""
        faults = Faults()
        with local.open(tmp_path / "cloud", token=TOKEN, credits=300, pace=0, faults=faults) as backend:
            _use(backend, monkeypatch)
            with faults.hold():
                child = start("animate", picture, "--duration", 1, "--json")
                child.until("Generating")
                wait_until(lambda: sent(backend, "message") == 1)
                child.press()
                child.until("already paid for")
                charged = read_ledger(backend.directory).charges
            ran = child.end()

            error = ran.data["error"]
            assert not charged, "it is told before the message's work has ended"
            assert (ran.code, error["id"], error["charged"], error["exit_code"]) == (130, "cancelled", "yes", 130)
            assert "`nemo-video jobs resume " in error["message"]
            assert sent(backend, "message") == 1
            assert sent(backend, "render") == 0
            assert left_behind(Path.cwd()) == []

    def test_twice_leaves_at_once(
        self, start: Start, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second press does not wait for the stream, and says that the money may be gone."""
        with local.open(tmp_path / "cloud", token=TOKEN, credits=300, generation_seconds=30.0) as backend:
            _use(backend, monkeypatch)
            child = start("animate", picture, "--duration", 1, "--json")
            child.until("Generating")
            wait_until(lambda: sent(backend, "message") == 1)
            child.press()
            child.until("already paid for")
            child.press()
            ran = child.end()
            charged = read_ledger(backend.directory).charges

        assert not charged, "it leaves before the message's work has ended"
        assert (ran.code, ran.data["error"]["id"], ran.data["error"]["charged"]) == (130, "shell.left", "maybe")
        assert "`nemo-video jobs resume`" in ran.error_line
        assert "Traceback" not in ran.err
        assert left_behind(Path.cwd()) == []

    def test_while_rendering_stops_the_render_too(
        self, start: Start, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A render is free: it is cancelled at the backend, and no half-written file stays."""
        with local.open(tmp_path / "cloud", token=TOKEN, credits=300, pace=0, render_seconds=30.0) as backend:
            _use(backend, monkeypatch)
            child = start("animate", picture, "--duration", 1)
            child.until("Rendering")
            child.press()
            ran = child.end()

            assert ran.code == 130
            assert "100 credits were paid" in ran.error_line
            assert "charged" not in ran.error_line, "the money is said once"
            assert sent(backend, "render-cancel") == 1
            assert left_behind(Path.cwd()) == []

    @pytest.mark.long
    def test_on_the_free_preview_is_simply_the_end(self, start: Start, picture: Path) -> None:
        """Nothing paid is out there, so nothing is waited for."""
        child = start("animate", picture, "--local", "--duration", 60)
        child.until("Rendering")
        child.press()
        ran = child.end()

        assert ran.code == 130
        assert ran.error_line == "nemo-video: Cancelled. Nothing was charged."
        assert left_behind(Path.cwd()) == []


@pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(start: Start, picture: Path, cloud: local.LocalBackend) -> None:
    """A file that cannot grow any more is exit code 6; the half-written file goes."""
    ran = start("animate", picture, "--duration", 1, "--json", limit=4096).end()

    error = ran.data["error"]
    assert (ran.code, error["exit_code"]) == (6, 6)
    assert ran.error_line == f"nemo-video: {error['message']}"
    assert left_behind(Path.cwd()) == []


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")
class TestServe:
    def test_it_serves_any_client_until_ctrl_c(
        self, start: Start, shell: Shell, picture: Path, shorten: Shorten, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The two lines that it prints are all a client needs; Ctrl-C ends it as it should end."""
        server = start("serve", "--credits", 150)
        server.until("Ctrl-C")
        assert server.process.stdout is not None
        for _ in range(2):
            name, value = server.process.stdout.readline().strip().split("=", 1)
            monkeypatch.setenv(name, value)
        shorten(studio={"quiet": 0.0})

        ran = shell("animate", picture, "--duration", 1, "--json")
        server.press()
        ended = server.end()

        assert (ran.code, ran.data["credits"]["after"]) == (0, 50.0)
        assert seconds_of(Path(ran.data["video"])) == pytest.approx(1, abs=0.1)
        assert (ended.code, ended.out) == (0, "")
        assert "Traceback" not in ended.err

    def test_a_port_in_use_is_said(self, shell: Shell) -> None:
        """A port that another program has is wrong input."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ran = shell("serve", "--port", taken.getsockname()[1])

        assert ran.code == 2
        assert "cannot start" in ran.error_line


def _use(backend: local.LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEMO_API_URL", backend.url)
    monkeypatch.setenv("NEMO_TOKEN", TOKEN)

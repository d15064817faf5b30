"""The directory: shared by processes, whole after every crash, and not growing for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nemo_client import local
from nemo_client.local.sessions.accounts import Account
from nemo_client.local.sessions.ledger import Ledger
from nemo_client.local.sessions.runs import NotEnoughCredits, Runs, SessionBusy
from nemo_client.local.sessions.store import Store
from nemo_client.local.sessions.upkeep import DAY_SECONDS, tidy
from nemo_client.local.shared.disk import Lock, Owner, private_directory, read_json, write_json
from nemo_client.local.shared.replies import ApiError
from tests.local.plain_client import draw_nothing
from tests.support.ledger import read_ledger
from tests.support.waiting import wait_until

ANIMATE = "turn this image into a 5-second animated video clip with smooth motion"
ROOT = Path(__file__).parents[2]
ME = Account("local", None)

BACKEND = """
import sys, time
from pathlib import Path
from nemo_client import local

def slow(draft, assets, target, *, progress, cancelled, **options):
    while not cancelled():
        progress(0.5)
        time.sleep(0.01)

backend = local.open(Path(sys.argv[1]), token=sys.argv[2], credits=300, pace=0, generation_seconds=60, renderer=slow)
sys.stdout.write(backend.url + "\\n")
sys.stdout.flush()
sys.stdin.read()
"""


class Process:
    """A backend in a process of its own, on the given directory."""

    def __init__(self, directory):
        self.directory = directory
        self.token = "nmv_usr_x"
        command = [sys.executable, "-c", BACKEND, str(directory), self.token]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self._process.stdout.readline().strip()

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        self.end()

    def end(self):
        """Let it go, if it has not been killed."""
        self._process.communicate()


@pytest.fixture
def process(tmp_path):
    """Another process with a backend on the directory of `start`."""
    process = Process(tmp_path / "local")
    yield process
    process.end()


@pytest.fixture
def folder(tmp_path):
    return private_directory(tmp_path / "local")


# --- two backends, one directory --------------------------------------------------------------------------------------


def test_any_backend_serves_any_session(start, connect):
    """Opened here, filled there, rendered here."""
    one, two = connect(start()), connect(start())
    session = one.ready()
    two.say(session, ANIMATE)
    url = one.finished_file(session)
    render = one.backend.calls[-1]["path"].rpartition("/")[2]

    assert two.get(url.replace(one.backend.url, two.backend.url)).status_code == 200
    assert two.status(render)["status"] == "completed"


def test_two_backends_never_lose_each_others_changes(start, connect, tmp_path):
    """Each change is read, made and written under one lock."""
    stores = [Store(private_directory(tmp_path / "local"), time.time) for _ in range(2)]
    session = stores[0].create(ME, "project", "en")["id"]

    def add(store, number):
        for _ in range(25):
            store.update(session, ME, lambda record: record["analyses"].append({"id": str(number)}))

    threads = [threading.Thread(target=add, args=(stores[number % 2], number)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(stores[0].load(session, ME)["analyses"]) == 100


def test_a_killed_backends_work_reads_as_failed(process, start, connect):
    """Its session is free again, its reservation released, its render failed; nothing was charged."""
    there, here = connect(process), connect(start(credits=300))
    session = here.ready()
    here.say(here.ready(), ANIMATE)
    with there.stream(session, ANIMATE) as answer:
        next(answer.iter_raw())
        draft = {"t": [{"tt": 0, "sg": [{"d": 1000}]}]}
        there.render(session, draft, "render_1")
        wait_until(lambda: here.status("render_1")["progress"] == 50)
        assert here.status("render_1")["status"] == "processing"
        assert here.balance() == {"available": 100, "frozen": 100, "total": 200}
        assert here.send(session, ANIMATE).json()["code"] == 409
        process.kill()

    assert here.status("render_1")["status"] == "failed"
    assert "render again" in here.status("render_1")["error"]
    assert here.balance() == {"available": 200, "frozen": 0, "total": 200}
    assert here.say(session, ANIMATE)[-1]["turnComplete"] is True
    assert read_ledger(process.directory).credits_taken == 200


def test_a_render_of_another_process_can_be_cancelled(process, start, connect):
    """By a file beside its record."""
    there, here = connect(process), connect(start())
    session = here.session()
    there.render(session, {"t": [{"tt": 0, "sg": [{"d": 1000}]}]}, "render_1")
    wait_until(lambda: here.status("render_1")["status"] == "processing")
    here.http.post("/api/render/proxy/lambda/render_1/cancel")

    assert here.finished("render_1")["error"] == "The render was cancelled"


def test_an_owner_is_alive_as_long_as_it_holds_its_lock(folder):
    """Seen from another owner, and from itself; a name that is a path is no owner."""
    one, two = Owner(folder), Owner(folder)
    assert (one.alive(two.id), two.alive(two.id), one.alive("../x"), one.alive("0" * 32)) == (True, True, False, False)
    two.release()

    assert (one.alive(two.id), two.alive(two.id)) == (False, False)
    assert [path.stem for path in folder.iterdir()] == [one.id]
    one.release()


# --- money ------------------------------------------------------------------------------------------------------------


def test_a_run_reserves_is_charged_once_and_ends(folder):
    """Frozen credits are not available to another run; ending without a charge gives them back."""
    owner = Owner(folder / "owners")
    runs = Runs(folder, owner, Ledger(folder, time.time))
    account = Account("a", 150)
    one, two = runs.begin("s1", account), runs.begin("s2", account)
    runs.reserve(one, 100)
    with pytest.raises(SessionBusy):
        runs.begin("s1", account)
    with pytest.raises(NotEnoughCredits, match="100 credits are needed, 50 are available"):
        runs.reserve(two, 100)
    runs.charge(one, 100, "generation")
    runs.end(one)
    runs.reserve(two, 50)
    runs.end(two)

    assert (runs.balance(account).available, runs.balance(account).frozen) == (50, 0)
    owner.release()


def test_the_ledger_survives_a_torn_line(folder):
    """A crash in the middle of a line costs that line, and no other."""
    ledger = Ledger(folder, lambda: 1.0)
    ledger.append("charge", account="a", amount=100, reason="generation")
    with open(folder / "ledger.jsonl", "ab") as file:
        file.write(b'{"kind": "charge", "acc')
    assert ledger.sum_spent("a") == 100
    ledger.append("charge", account="a", amount=50, reason="edit")

    assert ledger.sum_spent("a") == 150
    assert Ledger(folder, time.time).sum_spent("a") == 150
    assert [entry["amount"] for entry in read_ledger(folder).charges] == [100, 50]


def test_the_ledger_of_a_new_directory_is_empty(tmp_path):
    """No file, no entries."""
    report = read_ledger(tmp_path / "nothing")

    assert (report.entries, report.messages, report.credits_taken) == ((), (), 0)


# --- files ------------------------------------------------------------------------------------------------------------


def test_json_is_replaced_whole_or_not_at_all(folder):
    """A value that cannot be written leaves the old one, and no part of the new one."""
    write_json(folder / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(folder / "a.json", {"a": object()})

    assert read_json(folder / "a.json") == {"a": 1}
    assert [path.name for path in folder.iterdir()] == ["a.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_session_is_unknown(api, content):
    """1002, as on the cloud for one that is gone."""
    session = api.session()
    (api.backend.directory / "sessions" / session / "session.json").write_bytes(content)

    assert api.http.get(f"/api/state/nemo_agent/me/{session}/latest").json()["code"] == 1002


def test_a_lock_is_held_by_one_thread_at_a_time(folder):
    """Through different lock objects, too, as in different processes."""
    locks = [Lock(folder / "x.lock"), Lock(folder / "x.lock")]
    inside, most = [], []

    def work(lock):
        for _ in range(20):
            with lock.hold():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work, args=(locks[number % 2],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(most) == {1}


def test_a_foreign_directory_is_an_error_at_once(tmp_path):
    """Not a backend that fails at the first request."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        local.open(tmp_path / "file")


def test_the_signing_key_is_checked(tmp_path):
    """A damaged key is said, instead of addresses that anybody can guess."""
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(OSError, match="damaged"):
        local.open(tmp_path)


def test_a_stranger_cannot_load_a_session(folder):
    """The owner is compared in the store itself."""
    store = Store(folder, time.time)
    session = store.create(ME, "project", "en")["id"]
    with pytest.raises(ApiError):
        store.load(session, Account("other", None))


# --- upkeep -----------------------------------------------------------------------------------------------------------


def test_what_nobody_touched_for_long_is_removed(start, connect):
    """Sessions after 90 days with their uploads, renders after 7; never what is in use."""
    api = connect(start())
    old, young = api.ready((30, 40)), api.ready((40, 30))
    for session in (old, young):
        api.say(session, ANIMATE)
        api.finished_file(session)
    folder = api.backend.directory
    (folder / "incoming" / "x.part").write_bytes(b"x")
    age(folder, 91)
    age(folder / "sessions" / young, 1)
    newest = sorted((folder / "renders").iterdir())[0]
    os.utime(newest)
    owner = Owner(folder / "owners")
    tidy(folder, owner)
    owner.release()

    assert [path.name for path in (folder / "sessions").iterdir()] == [young]
    assert len(list((folder / "uploads").iterdir())) == 1
    assert list((folder / "renders").iterdir()) == [newest]
    assert list((folder / "incoming").iterdir()) == []
    assert api.state(young)["draft"]["d"] == 5000


def age(folder, days):
    """Let everything in the folder be that old."""
    moment = time.time() - days * DAY_SECONDS
    for path in folder.rglob("*"):
        if path.parent.name != "owners":
            os.utime(path, (moment, moment))


def test_renders_are_bounded_in_size(folder):
    """The oldest go first."""
    Store(folder, time.time)
    for number in range(4):
        path = folder / "renders" / f"render-{number}.mp4"
        path.write_bytes(b"x" * 1000)
        os.utime(path, (time.time() - 100 + number,) * 2)
    owner = Owner(folder / "owners")
    tidy(folder, owner, render_bytes=2500)
    owner.release()

    assert sorted(path.name for path in (folder / "renders").iterdir()) == ["render-2.mp4", "render-3.mp4"]


def test_marks_of_dead_owners_are_swept(folder):
    """And the runs they left."""
    (folder / "owners").mkdir()
    (folder / "runs").mkdir()
    (folder / "owners" / f"{'a' * 32}.lock").touch()
    write_json(folder / "runs" / "s.json", {"id": "x", "account": "a", "amount": 100, "owner": "a" * 32})
    with local.open(folder, renderer=draw_nothing):
        wait_until(lambda: not (folder / "runs" / "s.json").exists())
        assert len(list((folder / "owners").iterdir())) == 1

    assert list((folder / "owners").iterdir()) == []

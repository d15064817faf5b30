"""Uploads: what is taken, what is refused, and that nothing is left behind."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest

from nemo_client.local.sessions import fetch as fetching
from nemo_client.local.sessions.fetch import is_public
from nemo_client.local.sessions.probe import sniff
from nemo_client.local.sessions.uploads import plain_name
from tests.local.plain_client import png, wav
from tests.support.ledger import read_ledger


def clip(path, frames=5):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frames):
            picture = np.zeros((48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def left_over(backend):
    return list((backend.directory / "incoming").iterdir())


def test_a_picture_is_measured_and_part_of_the_session(api):
    """Name, type, size, hash and an address that needs no token; the state lists it."""
    session = api.session()
    data = png((120, 80))
    answer = api.upload(session, ("a b.png", data)).json()["data"]
    (file,) = answer["files"]

    assert answer["session_state_applied"] is True
    assert (file["filename"], file["file_type"], file["width"], file["height"]) == ("a b.png", "image", 120, 80)
    assert (file["duration"], file["fps"], file["hash"]) == (None, None, hashlib.sha256(data).hexdigest())
    assert api.get(file["cdn_url"]).content == data
    assert api.state(session)["video_infos"] == [file]
    assert api.state(session)["video_analyses"] == [{"id": file["id"], "summary": "image, 120 x 80"}]


def test_a_photo_taken_sideways_is_measured_upright(api):
    """The EXIF orientation swaps the sides."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (file,) = api.upload(api.session(), ("a.jpg", png((120, 80), "JPEG", exif=exif))).json()["data"]["files"]

    assert (file["width"], file["height"]) == (80, 120)


def test_clips_and_sounds_are_measured(api, tmp_path):
    """Duration in seconds, frames a second."""
    session = api.session()
    files = api.upload(session, ("c.mp4", clip(tmp_path / "c.mp4")), ("s.wav", wav(0.5))).json()["data"]["files"]
    video, sound = files

    assert (video["file_type"], video["width"], video["height"], video["fps"]) == ("video", 64, 48, 25.0)
    assert video["duration"] == pytest.approx(0.2)
    assert (sound["file_type"], sound["duration"]) == ("audio", pytest.approx(0.5))


def test_several_files_come_in_their_order(api):
    """One request, several parts."""
    names = [f"{number}.png" for number in range(5)]
    files = api.upload(api.session(), *[(name, png()) for name in names]).json()["data"]["files"]

    assert [file["filename"] for file in files] == names
    assert len({file["id"] for file in files}) == 5


def test_too_many_files_in_one_request_are_refused(api):
    """50 at the most; nothing is kept."""
    answer = api.upload(api.session(), *[(f"{number}.png", b"x") for number in range(51)])

    assert (answer.status_code, left_over(api.backend)) == (400, [])


def test_the_same_bytes_are_stored_once(api):
    """Whatever their name and session; each is an upload of its own all the same."""
    first, second = api.session(), api.session()
    api.upload(first, ("a.png", png()), ("b.png", png()))
    api.upload(second, ("c.png", png()))

    assert len(list((api.backend.directory / "uploads").iterdir())) == 1
    assert len(read_ledger(api.backend.directory).uploads) == 3


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.heic", png()),
        ("a.txt", b"hello"),
        ("a", png()),
        ("a.png", b"hello"),
        ("a.png", b""),
        ("a.png", png()[:200]),
        ("a.png", png()[:40]),
        ("a.mp4", png()),
        ("a.png", wav()),
        ("a.mp4", b"\0\0\0\x18ftypisom" + b"\0" * 50),
        ("a.mp4", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"),
        ("a.mp3", b"ID3" + b"\0" * 100),
    ],
    ids=["heic", "txt", "no suffix", "lie", "empty", "cut", "header", "png", "wav", "box", "playlist", "mp3"],
)
def test_an_unsupported_file_is_4001(api, name, data):
    """Judged by name and content; the message lists what is supported, and nothing is kept."""
    session = api.session()
    answer = api.upload(session, ("good.png", png()), (name, data))

    assert answer.json()["code"] == 4001
    assert "mp4 mov avi webm mkv · jpg png gif webp · mp3 wav m4a aac" in answer.json()["message"]
    assert api.state(session)["video_infos"] == []
    assert left_over(api.backend) == []


def test_a_sound_in_a_video_file_is_no_video(api, tmp_path):
    """A container without a picture is 4001."""
    with av.open(str(tmp_path / "s.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    answer = api.upload(api.session(), ("s.mp4", (tmp_path / "s.mp4").read_bytes()))

    assert "there is no video in it" in answer.json()["message"]


def test_a_picture_bomb_is_refused_by_its_header(api):
    """A few bytes that would become gigabytes are 4001 before a pixel is decoded."""
    data = bytearray(png())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    answer = api.upload(api.session(), ("a.png", bytes(data)))

    assert answer.json()["code"] == 4001


def test_a_file_above_the_limit_is_4002(start, connect):
    """Counted while it streams to disk; nothing is left."""
    api = connect(start(max_upload=100_000))
    session = api.session()
    answer = api.upload(session, ("a.png", png()), ("big.png", b"x" * 100_001))

    assert (answer.status_code, answer.json()["code"]) == (413, 4002)
    assert left_over(api.backend) == []
    assert api.upload(session, ("a.png", png())).json()["code"] == 0


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {"Content-Type": "multipart/form-data; boundary=x"}),
        (b"--x\r\nbroken", {"Content-Type": "multipart/form-data; boundary=x"}),
        (b"nonsense", {"Content-Type": "multipart/form-data"}),
        (b"nonsense", {"Content-Type": "text/plain"}),
        (
            b'--x\r\nContent-Disposition: form-data; name="other"; filename="a.png"\r\n\r\nabc\r\n--x--\r\n',
            {"Content-Type": "multipart/form-data; boundary=x"},
        ),
    ],
    ids=["empty", "cut", "no boundary", "text", "wrong name"],
)
def test_a_broken_multipart_body_is_400(api, content, headers):
    """With an envelope."""
    answer = api.http.post(f"/api/upload-video/nemo_agent/me/{api.session()}", content=content, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert left_over(api.backend) == []


def test_an_upload_to_an_unknown_session_is_1002(api):
    """Refused before a byte of it is kept."""
    answer = api.upload("00000000-0000-0000-0000-000000000000", ("a.png", png()))

    assert answer.json()["code"] == 1002
    assert list((api.backend.directory / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\Users\\me\\a.png", "a.png"),
        ("a\x00\n<b>.png", "ab.png"),
        ("..", "file"),
        ("图片.png", "图片.png"),
        ("x" * 300 + ".png", "x" * 116 + ".png"),
        ("x" * 300, "x" * 120),
    ],
)
def test_a_file_name_is_only_a_name(given, kept):
    """No folders, no control characters, bounded."""
    assert plain_name(given) == kept


@pytest.mark.parametrize(
    ("head", "family"),
    [
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"\x1a\x45\xdf\xa3", "matroska"),
        (b"\xff\xfb\x90\0", "mp3"),
        (b"\xff\xf1\x50\x80", "aac"),
        (b"GIF89a", "gif"),
        (b"#EXTM3U", ""),
        (b"ffconcat version 1.0", ""),
        (b"", ""),
    ],
)
def test_the_first_bytes_decide(head, family):
    """Formats of ours, and nothing that names other files."""
    assert sniff(head) == family


# --- by URL -----------------------------------------------------------------------------------------------------------


class _Site(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/hop"):
            self.send_response(302)
            self.send_header("Location", self.path if "ever" in self.path else "/photo")
            self.end_headers()
            return
        status = 404 if self.path == "/missing.png" else 200
        body = png((30, 20)) if status == 200 and "large" not in self.path else b"x" * 200_000
        self.send_response(status)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture
def site():
    """A web site on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(api, *urls, session=None):
    body = {"urls": list(urls), "source_type": "url"}
    return api.http.post(f"/api/upload-video/nemo_agent/me/{session or api.session()}", json=body)


def test_a_url_is_fetched_and_measured(start, connect, site):
    """The name comes from its path, the suffix from its type where the path has none; redirects are followed."""
    api = connect(start(private_urls=True))
    files = fetch(api, site + "/a%20b.png?x=1", site + "/photo", site + "/hop").json()["data"]["files"]

    assert [file["filename"] for file in files] == ["a b.png", "photo.png", "photo.png"]
    assert (files[0]["width"], files[0]["height"]) == (30, 20)


@pytest.mark.parametrize(
    ("path", "code"),
    [("/missing.png", 400), ("/hop-for-ever", 400), ("/large.png", 4002)],
)
def test_a_url_that_gives_no_file_is_refused(start, connect, site, path, code):
    """Not found, endless redirects, too large."""
    api = connect(start(private_urls=True, max_upload=100_000))

    assert fetch(api, site + path).json()["code"] == code
    assert left_over(api.backend) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/a.png",
        "http://127.1:1/a.png",
        "http://2130706433:1/a.png",
        "http://0x7f000001:1/a.png",
        "http://localhost:1/a.png",
        "http://[::1]:1/a.png",
        "http://[::ffff:127.0.0.1]:1/a.png",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/a.png",
        "file:///etc/passwd",
        "ftp://example.org/a.png",
        "http://user:pass@example.org/a.png",
        "http://",
        "nonsense",
        "https://example.org/" + "x" * 5000,
    ],
)
def test_a_private_or_strange_url_is_refused(api, url):
    """What a stranger's workflow could reach on this machine is not fetched."""
    assert fetch(api, url).json()["code"] == 400


def test_a_url_is_judged_again_after_each_redirect(start, connect, site, monkeypatch):
    """A public address that leads to a private one is refused there."""
    monkeypatch.setattr(fetching, "_check_address", checked_but_the_first(fetching._check_address))
    monkeypatch.setattr(fetching._PublicResolver, "resolve", lambda *args: pytest.fail("nothing to resolve"))
    answer = fetch(connect(start()), site + "/hop").json()

    assert (answer["code"], answer["message"]) == (400, "The URL names a private address")


def checked_but_the_first(check):
    seen = []

    def checked(url, private_allowed):
        seen.append(url)
        return check(url, private_allowed or len(seen) == 1)

    return checked


@pytest.mark.parametrize(
    "body",
    [{}, {"urls": []}, {"urls": "x", "source_type": "url"}, {"urls": [5], "source_type": "url"}, {"urls": ["x"]}],
    ids=str,
)
def test_a_wrong_list_of_urls_is_400(api, body):
    """Both fields have to be there and right."""
    answer = api.http.post(f"/api/upload-video/nemo_agent/me/{api.session()}", json=body)

    assert answer.json()["code"] == 400


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("198.18.3.4", True),
        ("2606:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("64:ff9b::7f00:1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
        ("fe80::1%eth0", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - judged, not listened on
        ("::", False),
        ("name", False),
    ],
)
def test_public_addresses_are_told_from_private_ones(address, public):
    """Embedded IPv4 addresses count; fake addresses of some networks are allowed."""
    assert is_public(address) is public

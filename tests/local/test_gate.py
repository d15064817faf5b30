"""What comes in over the socket: from whom, how much, and that words stay words."""

from __future__ import annotations

import gzip
import http.client
import http.server
import json
import socket
import threading

import httpx
import pytest
from multidict import CIMultiDict

from nemo_client.local.render.plan import plan
from nemo_client.local.server import app
from nemo_client.local.server.gate import is_allowed, is_loopback
from nemo_client.local.sessions import accounts, uploads
from nemo_client.local.sessions import fetch as fetching
from nemo_client.local.shared.settings import Limits
from tests.local.plain_client import PLAIN, png
from tests.support.waiting import PATIENT_SECONDS

BALANCE = "/api/credits/balance/simple"
SESSION = "/api/tasks/me/with-session/nemo_agent"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested is that it has to be asked for


def raw(backend, *lines, body=b"", path=BALANCE, method="GET"):
    """One request of exactly these header lines; status and envelope."""
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "Connection: close", "", ""])
    address = backend.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=PATIENT_SECONDS) as connection:
        connection.sendall(head.encode("latin-1") + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        content = answer.read()
    return answer.status, json.loads(content) if content.startswith(b"{") else {}


# --- from whom --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Host: 127.0.0.1:1",), 200),
        (("Host: evil.test",), 403),
        (("Host: evil.test:80", "Origin: http://evil.test:80"), 403),
        (("Host: 127.0.0.1", "Host: evil.test"), 403),
        (("Host: evil.test", "Host: 127.0.0.1"), 403),
        (("Host: 127.0.0.1:1:evil.test",), 403),
        (("Host: [::1]evil.test",), 403),
        (("Host: evil.test@127.0.0.1",), 403),
        (("Host: 127.0.0.1/evil.test",), 403),
        (("Host: 127.0.0.1.nip.test",), 403),
        (("Host: localhost.",), 403),
        ((), 403),
        (("Host: localhost", "Origin: http://localhost"), 200),
        (("Host: localhost", "Origin: http://localhost", "Origin: http://evil.test"), 403),
        (("Host: localhost", "Origin: https://localhost"), 403),
        (("Host: localhost", "Sec-Fetch-Site: same-site"), 403),
        (("Host: localhost", "Sec-Fetch-Site: Cross-Site"), 403),
        (("Host: localhost", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"), 403),
        (("Host: localhost", "Sec-Fetch-Site: none"), 200),
    ],
    ids=str,
)
def test_a_page_of_another_site_is_kept_out_even_with_the_token(api, lines, status):
    """By every header that it cannot help sending; two of one kind are both judged, and none is one too few."""
    got, told = raw(api.backend, *lines, f"Authorization: Bearer {api.backend.token}")

    assert got in ((status, 400) if status == 403 else (200,)), "the HTTP library refuses some of these by itself"
    assert told.get("code", got) == got if got != 200 else told["code"] == 0


@pytest.mark.parametrize("host", ["", "127.0.0.1", "localhost"])
def test_other_machines_reach_it_only_where_that_is_said(start, host):
    """An empty host (a variable that is not set) would be every interface."""
    with start(host=host) as backend:
        assert is_loopback(backend._settings.host)
        assert backend.url.startswith(("http://127.0.0.1:", "http://localhost:"))


def test_every_form_of_a_name_is_read_the_same():
    """Upper case, ports and brackets change nothing; more than a name is none."""
    for host in ("LOCALHOST:1", "[::1]:65535", "127.9.9.9"):
        assert is_allowed(CIMultiDict(Host=host), "127.0.0.1")
    for host in ("localhost:123456", "localhost:x", "::1", "[::1", "local host", "localhost#", " "):
        assert not is_allowed(CIMultiDict(Host=host), "127.0.0.1")
    for two in (("localhost", "evil.test"), ("evil.test", "localhost"), ("localhost", "localhost")):
        assert not is_allowed(CIMultiDict([("Host", host) for host in two]), "127.0.0.1")
    assert not is_allowed(CIMultiDict(Host=""), "")
    assert not is_allowed(CIMultiDict(Host="evil.test"), EVERYWHERE)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_json_counts_only_as_json(api, kind):
    """What a form can send, or a script without asking first, is 415."""
    body = json.dumps({"task_name": "p", "language": "en"})
    answer = api.http.post(SESSION, content=body, headers={"Content-Type": kind} if kind else {})

    assert (answer.status_code, answer.json()["code"]) == (415, 415)


def test_the_token_is_compared_in_constant_time(api, monkeypatch):
    """By digests of one length, through the one function that does not stop at the first difference."""
    compared = []
    compare = accounts.hmac.compare_digest

    def noted(ours, theirs):
        compared.append((len(ours), len(theirs)))
        return compare(ours, theirs)

    monkeypatch.setattr(accounts.hmac, "compare_digest", noted)
    for wrong in ("x", api.backend.token[:-1], api.backend.token + "x"):
        assert api.http.get(BALANCE, headers={"Authorization": f"Bearer {wrong}"}).status_code == 401

    assert compared == [(64, 64)] * 3


@pytest.mark.parametrize("signature", ["%ff", "%ed%a0%80", "%00", "x" * 32, "ä" * 32])
def test_an_odd_signature_is_404(api, signature):
    """Whatever bytes it is made of."""
    answer = api.get(f"{api.backend.url}/files/{signature}/upload-{'0' * 64}.png")

    assert (answer.status_code, answer.json()["code"]) == (404, 404)


# --- how much ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP"])
@pytest.mark.parametrize("path", [SESSION, "/api/upload-video/nemo_agent/me/x", "/run_sse"])
def test_a_compressed_body_is_refused_unread(api, path, encoding):
    """Ten kilobytes could be ten megabytes."""
    bomb = gzip.compress(b" " * 10_000_000)
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = api.http.post(path, content=bomb, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (415, 415)


def test_a_header_without_end_is_refused(api):
    """One of 10 kB, and ten thousand of them."""
    for lines in (["X-A: " + "a" * 10_000], [f"X-{number}: a" for number in range(10_000)]):
        try:
            status, _ = raw(api.backend, "Host: localhost", *lines)
        except (ConnectionError, http.client.HTTPException):
            status = 400
        assert status in (400, 401), "older releases of aiohttp bound the one, not the number"


def test_what_is_noted_of_a_request_is_bounded(api):
    """A thousand requests are kept, from any sender."""
    long = {f"X-{number}": "v" * 2000 for number in range(100)}
    httpx.get(f"{api.backend.url}/api/credits/balance/simple?{'q' * 4000}", headers=long, **PLAIN)

    (call,) = (call for call in api.backend.calls if "X-1" in call["headers"] or "x-1" in call["headers"])
    assert len(call["headers"]) <= app.HEADERS_KEPT + 1
    assert max(map(len, [call["path"], *call["headers"].values()])) <= app.CHARACTERS_KEPT


def multipart(*parts):
    head = '--x\r\nContent-Disposition: form-data; name="{}"; filename="a.png"\r\n\r\n'
    body = b"".join(head.format(name).encode() + content + b"\r\n" for name, content in parts)
    return {"content": body + b"--x--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}


def test_other_fields_of_a_form_are_bounded(api):
    """In size and in number; a few small ones are passed over."""
    path = f"/api/upload-video/nemo_agent/me/{api.session()}"
    file = ("files", png())

    assert api.http.post(path, **multipart(("note", b"x"), file)).json()["code"] == 0
    large = [("note", b"x" * (uploads.MAX_FIELD_BYTES + 1)), file]
    many = [("note", b"x")] * (uploads.MAX_FIELDS + 1) + [file]
    for parts in (large, many):
        assert api.http.post(path, **multipart(*parts)).json()["code"] == 413


def test_a_request_is_bounded_as_a_whole(start, connect):
    """Fifty files of the largest size would be ten gigabytes; nothing of it is kept."""
    api = connect(start(limits=Limits(request_bytes=3 * len(png()) // 2)))
    session = api.session()

    assert api.upload(session, ("a.png", png()), ("b.png", png())).json()["code"] == 4002
    assert list((api.backend.directory / "incoming").iterdir()) == []
    assert api.upload(session, ("a.png", png())).json()["code"] == 0


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_a_body_that_does_not_come_is_not_waited_for(start, connect, kind):
    """408, so that no connection is held for ever."""
    api = connect(start(limits=Limits(body_seconds=0.05)))
    path = f"/api/upload-video/nemo_agent/me/{api.session()}"
    lines = (
        "Host: localhost",
        f"Content-Type: {kind}",
        "Content-Length: 1000",
        f"Authorization: Bearer {api.backend.token}",
    )

    status, told = raw(api.backend, *lines, body=b"\r\n", path=path, method="POST")

    assert (status, told["code"]) == (408, 408)


def test_messages_at_work_are_bounded(start, connect):
    """429 for more, before anything is claimed or charged; free again when one has ended."""
    api = connect(start(generation_seconds=30, credits=1000, limits=Limits(messages=1)))
    first, second = api.ready(), api.ready()
    with api.stream(first, "make a 2-second video") as answer:
        next(answer.iter_raw())
        refused = api.send(second, "hello")
        assert (refused.status_code, refused.json()["code"]) == (429, 429)
        assert api.balance() == {"available": 900, "frozen": 100, "total": 1000}


def test_anonymous_users_are_bounded_and_old_ones_are_forgotten(start):
    """Signing up needs no token, so any program that reaches the socket could fill the disk."""
    now = [1_000_000.0]
    backend = start(anonymous=True, clock=lambda: now[0], limits=Limits(accounts=2))

    def sign_up(client):
        return httpx.post(f"{backend.url}/api/auth/anonymous-token", headers={"X-Client-Id": client}, **PLAIN).json()[
            "code"
        ]

    assert [sign_up(client) for client in "abc"] == [0, 0, 429]
    now[0] += accounts.ANONYMOUS_SECONDS + 1
    assert sign_up("c") == 0
    assert len(json.loads((backend.directory / "accounts.json").read_text())) == 1


def test_a_draft_is_bounded(start, connect):
    """Two hundred renders may wait, each with its draft; one that is too large leaves its id free."""
    api = connect(start(limits=Limits(draft_characters=2000)))
    session = api.ready()
    api.say(session, "2 seconds")
    draft = api.state(session)["draft"]

    refused = api.render(session, {**draft, "note": "x" * 2000}, "r")
    assert (refused.status_code, refused.json()["code"]) == (413, 413)
    assert api.render(session, draft, "r").json()["success"]


# --- addresses and words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "concat:http://example.org/a.png|file:///etc/passwd",
        "concat:/etc/passwd",
        "file:/etc/passwd",
        "FILE:///etc/passwd",
        "data:image/png;base64,iVBORw0KGgo=",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "pipe:0",
        "tcp://127.0.0.1:1",
        "rtmp://example.org/a",
        "\\\\evil.test\\share\\a.png",
        "//evil.test/a.png",
        "/etc/passwd",
        "http://１２７.0.0.1:1/a.png",
        "http://0177.0.0.1:1/a.png",
        "http://localhost.:1/a.png",
        "http://[::127.0.0.1]:1/a.png",
        "http://[fec0::1]:1/a.png",
        "http://[64:ff9b::7f00:1]:1/a.png",
        "http://example.org\n.evil.test/a.png",
    ],
)
def test_an_address_of_any_other_kind_is_not_fetched(api, url):
    """Protocols of FFmpeg's, files, and every spelling of this machine: 400, and nothing is opened."""
    body = {"urls": [url], "source_type": "url"}
    answer = api.http.post(f"/api/upload-video/nemo_agent/me/{api.session()}", json=body)

    assert answer.json()["code"] == 400
    assert list((api.backend.directory / "incoming").iterdir()) == []


@pytest.mark.parametrize("address", ["::127.0.0.1", "::10.0.0.1", "fec0::1", "64:ff9b:1::1", "2001:db8::1", "fc00::1"])
def test_an_address_of_no_public_range_is_private(address):
    """Those that the standard library counts as global, too."""
    assert not fetching.is_public(address)


@pytest.fixture
def listener():
    """A web server that gives a picture; the headers it was asked with."""
    asked = []

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(dict(self.headers))
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            self.wfile.write(png())

        def log_message(self, *args):
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_stranger_s_address_is_fetched_without_anybody_s_password(start, connect, listener, tmp_path, monkeypatch):
    """`~/.netrc` may hold one for that host; the author of a workflow shall not use it."""
    url, asked = listener
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password marked\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    api = connect(start(private_urls=True))

    body = {"urls": [f"{url}/a.png"], "source_type": "url"}
    answer = api.http.post(f"/api/upload-video/nemo_agent/me/{api.session()}", json=body)

    assert answer.json()["code"] == 0
    assert [name for headers in asked for name in headers if name.lower() == "authorization"] == []


def test_the_system_s_proxy_is_used_but_where_it_shall_not_be(monkeypatch):
    """As for every other program: by scheme, and not for the names that are left out."""
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", "plain.test")

    assert fetching._proxy_of(fetching.URL("http://example.org/a.png")) == "http://proxy.test:3128"
    assert fetching._proxy_of(fetching.URL("https://example.org/a.png")) is None
    assert fetching._proxy_of(fetching.URL("http://plain.test/a.png")) is None


LISTS = {
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
    "concat": b"ffconcat version 1.0\nfile '{url}/a.mp4'\n",
    "sdp": b"v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "dash": b'<?xml version="1.0"?><MPD><Period><BaseURL>{url}/</BaseURL></Period></MPD>',
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}/a.png"/></svg>',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n({url}) run\n",
    "a whole mp4's head before it": b"\0\0\0\x18ftypisom\0\0\0\0isom#EXTM3U\n{url}/a.ts\n",
}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mp3", "a.png", "a.gif"])
@pytest.mark.parametrize("content", LISTS.values(), ids=LISTS)
def test_an_upload_that_names_other_files_is_no_media(api, listener, content, name):
    """4001, and whatever it names is not fetched."""
    url, asked = listener

    answer = api.upload(api.session(), (name, content.replace(b"{url}", url.encode())))

    assert answer.json()["code"] == 4001
    assert asked == []


WORDS = [
    "'; movie=/etc/passwd [x]; [x]",
    "concat:/etc/passwd|file:///etc/passwd",
    "file:///etc/passwd",
    "%{localtime} %n %d %s {asset} ${HOME} `id` $(id)",
    '", "asset": "../../key", "x": "',
    "../../key.png",
    "fontfile=/etc/passwd:textfile=/etc/passwd",
    "\\N\\h{\\fn/etc/passwd}<font face=/etc/passwd>",
]


def places(value, text, path=()):
    """Where in JSON a text stands."""
    if isinstance(value, dict):
        for key, below in value.items():
            assert text not in key
            yield from places(below, text, (*path, key))
    elif isinstance(value, list):
        for below in value:
            yield from places(below, text, path)
    elif isinstance(value, str) and text in value:
        yield path


@pytest.mark.drawn
@pytest.mark.parametrize("words", WORDS)
def test_words_of_a_prompt_are_drawn_and_nothing_else(start, connect, words):
    """A title stands as text in the draft and in the plan, names no file, and the real renderer draws it."""
    api = connect(start(renderer=None))
    session = api.ready()
    api.say(session, f'1 second, 16:9, title "{words}"')
    draft = api.state(session)["draft"]
    draft["m"]["title"] = words
    text = {"st": 0, "d": 500, "m": {"title": words, "text": words, "font": words, "asset": words, "position": words}}
    draft["t"] = [*(track for track in draft["t"] if track["tt"] != 7), {"tt": 7, "sg": [text], "font": words}]
    assets = {segment["m"].get("asset") for track in draft["t"] if track["tt"] == 0 for segment in track["sg"]}

    judged = plan(draft)
    done = api.finished(api.render(session, draft, quality="low", resolution="480p").json()["data"]["id"])

    assert done["status"] == "completed", done
    assert [caption.text for caption in judged.captions] == [words]
    assert judged.captions[0].position == "bottom"
    assert {shot.asset for shot in judged.shots} == assets
    assert all(path[-1] in ("text", "title") for path in places(api.state(session), words))


@pytest.mark.parametrize("asset", WORDS)
@pytest.mark.parametrize("track", [0, 1])
def test_a_draft_names_only_files_of_its_own_session(start, connect, asset, track):
    """By their ids; anything else is not there, whatever lies on the disk."""
    api = connect(start(renderer=None))
    session = api.ready()
    about = {"title": "x", "asset": asset, "kind": "video", "source": asset, "url": asset, "path": asset}
    given = {"t": [{"tt": track, "sg": [{"st": 0, "d": 500, "m": about}]}], "d": 500, "m": {}}

    done = api.finished(api.render(session, given).json()["data"]["id"])

    assert (done["status"], "is not here any more" in done["error"]) == ("failed", True)

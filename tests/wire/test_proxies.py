"""Which proxy a connection takes, read from the environment as other tools read it."""

from __future__ import annotations

import pytest

from nemo_client import ConnectError, NemoError
from nemo_client._wire.net.proxies import Proxy, choose_proxy


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_each_variable_counts(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In either case of letters."""
    monkeypatch.setenv(variable, "http://proxy.test:3128")

    assert choose_proxy("api.test", 443) == Proxy("http", "proxy.test", 3128)


def test_the_narrower_variable_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """`HTTP_PROXY` is for what is not encrypted, of which nothing leaves this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://plain.test")
    assert choose_proxy("api.test", 443) is None
    monkeypatch.setenv("ALL_PROXY", "socks5://all.test")
    assert choose_proxy("api.test", 443) == Proxy("socks5", "all.test", 1080)
    monkeypatch.setenv("HTTPS_PROXY", "https://secure.test")
    assert choose_proxy("api.test", 443) == Proxy("https", "secure.test", 443)


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_is_none_at_all(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts switch a proxy off like this."""
    monkeypatch.setenv("HTTPS_PROXY", empty)

    assert choose_proxy("api.test", 443) is None


@pytest.mark.parametrize(
    ("setting", "proxy"),
    [
        ("proxy.test:3128", Proxy("http", "proxy.test", 3128)),
        ("http://proxy.test", Proxy("http", "proxy.test", 80)),
        ("HTTP://Proxy.test/", Proxy("http", "proxy.test", 80)),
        ("http://[::1]:3128", Proxy("http", "::1", 3128)),
        ("socks5h://127.0.0.1:7890", Proxy("socks5", "127.0.0.1", 7890)),
        ("socks://127.0.0.1:1080/", Proxy("socks5", "127.0.0.1", 1080)),
        ("http://me:p%40ss%3A@proxy.test:1", Proxy("http", "proxy.test", 1, b"me", b"p@ss:")),
        ("http://me@proxy.test:1", Proxy("http", "proxy.test", 1, b"me", b"")),
    ],
)
def test_a_setting_is_read(setting: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a scheme it is HTTP; desktops write `socks:`; user names and passwords are percent-encoded."""
    monkeypatch.setenv("ALL_PROXY", setting)

    assert choose_proxy("api.test", 443) == proxy


@pytest.mark.parametrize(
    ("setting", "reason"),
    [("nonsense://x", "only http"), ("socks4://x", "only http"), ("file:///etc/passwd", "only http"),
     ("http://", "not an address"), ("http://:3128", "not an address"), ("http://x:99999", "not an address"),
     ("http://x:port", "not an address"), ("http://x:0", "not an address"), ("http://[::1", "not an address"),
     ("http://a b:1", "not an address"), ("http://x:1\x01", "not an address"), ("http://x:1/path", "not an address"),
     ("http://me:se#cret@x:1", "not an address"), (f"http://{'u' * 300}@x", "too long")],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_one_clear_error(
    setting: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the variable, never what is in it: that can be a password."""
    monkeypatch.setenv("ALL_PROXY", setting)

    with pytest.raises(ConnectError, match=f"The proxy in ALL_PROXY cannot be used: .*{reason}") as caught:
        choose_proxy("api.test", 443)
    assert "cret" not in str(caught.value)
    assert "Nothing was charged" in str(caught.value)
    assert "ALL_PROXY 中的代理" in caught.value.text("zh")


@pytest.mark.parametrize(
    ("listed", "host", "port"),
    [("*", "api.test", 443), ("api.test", "api.test", 443), ("API.Test", "api.test", 443), ("test", "api.test", 443),
     (".test", "api.test", 443), ("*.test", "api.test", 443), ("a.test, api.test", "api.test", 443),
     ("a.test api.test", "api.test", 443), ("api.test:443", "api.test", 443), ("https://api.test", "api.test", 443),
     ("api.test", "api.test.", 443), ("10.0.0.0/8", "10.1.2.3", 443), ("10.1.2.3", "10.1.2.3", 443),
     ("192.168.0.0/16", "192.168.1.1", 443), ("fd00::/8", "fd00::1", 443), ("[::1]", "::1", 443),
     ("::1", "::1", 443), ("[fd00::1]:443", "fd00::1", 443), ("10.0.0.0/8:443", "10.1.2.3", 443)],
)  # fmt: skip
def test_what_no_proxy_names_goes_straight(listed: str, host: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names with what is below them, addresses, networks and ports; even where the proxy's setting makes no sense."""
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://x")
    monkeypatch.setenv("NO_PROXY", listed)

    assert choose_proxy(host, port) is None


@pytest.mark.parametrize(
    ("listed", "host", "port"),
    [("", "api.test", 443), ("pi.test", "api.test", 443), ("api.test:8443", "api.test", 443), (",", "api.test", 443),
     ("10.0.0.0/8", "11.1.2.3", 443), ("10.0.0.0/8", "a10.test", 443), ("api.test.evil", "api.test", 443),
     ("10.1", "10.1.2.3", 443), (".", "api.test", 443), ("[", "api.test", 443), ("10.0.0.0/99", "10.1.2.3", 443),
     ("1.2.3.4", "api.test", 443)],
)  # fmt: skip
def test_what_no_proxy_does_not_name_takes_the_proxy(
    listed: str, host: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an entry that makes no sense names nothing."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", listed)

    assert choose_proxy(host, port) == Proxy("http", "proxy.test", 3128)


def test_a_proxy_shows_no_password() -> None:
    """Neither in errors nor in a traceback with locals."""
    proxy = Proxy("http", "::1", 3128, b"me", b"secret")

    assert proxy.shown == "http://[::1]:3128"
    assert "secret" not in repr(proxy)
    assert proxy.basic == b"bWU6c2VjcmV0"
    assert issubclass(ConnectError, NemoError)

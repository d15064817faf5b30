"""Which network an address belongs to, and which host a URL names; names that look like those of built-in profiles."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_client._safety.addresses import (
    LIVABLE,
    classify_address,
    is_host,
    is_loopback,
    parse_literal_address,
    parse_url_target,
)
from nemo_client._safety.confusables import looks_like
from nemo_client.local.sessions.fetch import _check_address, is_public
from nemo_client.local.shared.replies import ApiError

KINDS = {
    "public": "8.8.8.8 1.1.1.1 93.184.216.34 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1 192.0.1.1 223.255.255.1 "
    "198.18.0.1 198.19.255.254 2606:4700::1111 2a00:1450::1 2400:cb00::1",
    "loopback": "127.0.0.1 127.255.255.254 ::1",
    "private": "10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 fc00::1 fd12:3456::1 fec0::1",
    "shared": "100.64.0.1 100.100.100.200 100.127.255.255",
    "link-local": "169.254.0.1 169.254.169.254 168.63.129.16 fe80::1 febf::1",
    "unspecified": "0.0.0.0 0.1.2.3 ::",
    "multicast": "224.0.0.1 239.255.255.250 ff02::1 ff0e::1",
    "reserved": "192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.255 "
    "::7f00:1 ::2 100::1 2001::1 2001:2::1 2001:10::1 2001:db8::1 3fff::1 5f00::1 4000::1 64:ff9a::1",
}


@pytest.mark.parametrize(
    ("kind", "address"), [(kind, each) for kind, listed in KINDS.items() for each in listed.split()]
)
def test_each_address_is_of_the_kind_that_the_registries_say(kind: str, address: str) -> None:
    """RFC 6890 and its updates, the same in every Python."""
    assert classify_address(address) == kind


@pytest.mark.parametrize(
    "form",
    ["::ffff:{}", "::ffff:0:{}", "64:ff9b::{}", "64:ff9b:1::{}", "64:ff9b:1:fffe::{}"],
    ids=["mapped", "translated", "NAT64", "local NAT64", "local NAT64 with a subnet"],
)
@pytest.mark.parametrize("kind", [*KINDS])
def test_an_address_that_carries_another_is_of_that_one_s_kind(form: str, kind: str) -> None:
    """Otherwise each of them would be a way into this machine's network."""
    carried = [each for each in KINDS[kind].split() if "." in each][-1]

    assert classify_address(form.format(carried)) == kind
    packed = ipaddress.IPv4Address(carried).packed
    assert classify_address(f"2002:{packed[0]:02x}{packed[1]:02x}:{packed[2]:02x}{packed[3]:02x}::1") == kind


@pytest.mark.parametrize("length", [48, 56, 64, 96])
def test_a_nat64_prefix_of_a_network_s_own_may_have_any_length(length: int) -> None:
    """RFC 6052 spreads the four bytes around the eighth one; every way that is possible is looked at."""
    places = {48: (6, 7, 9, 10), 56: (7, 9, 10, 11), 64: (9, 10, 11, 12), 96: (12, 13, 14, 15)}[length]

    def carrying(address: str) -> str:
        whole = bytearray(bytes.fromhex("0064ff9b0001") + bytes(10))
        for place, byte in zip(places, ipaddress.IPv4Address(address).packed, strict=True):
            whole[place] = byte
        return str(ipaddress.IPv6Address(bytes(whole)))

    for inside in ("127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254"):
        assert classify_address(carrying(inside)) != "public"
    assert classify_address(carrying("93.184.216.34")) == "public"


@pytest.mark.parametrize("kind", [*KINDS])
def test_the_local_preview_fetches_from_public_addresses_only(kind: str) -> None:
    """It judges by code of its own, and comes to the same."""
    for address in KINDS[kind].split():
        assert is_public(address) is (kind == "public"), address
        if "." in address:
            for form in ("::ffff:{}", "64:ff9b::{}", "64:ff9b:1::{}"):
                assert is_public(form.format(address)) is (kind == "public"), form.format(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::1]", "localhost.", "A.LOCALHOST", "10.0.0.1.", "0x", "0"]
)
def test_the_local_preview_reads_a_host_as_a_proxy_would(host: str) -> None:
    """Which it may be behind, and which would take these for addresses."""
    with pytest.raises(ApiError, match="private address"):
        _check_address(f"http://{host}/a.png", private_allowed=False)


@given(st.ip_addresses())
def test_every_address_has_a_kind(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What no table knows is not public; what Python calls private never is, but for the one range that is allowed."""
    kind = classify_address(address)

    assert kind in KINDS
    assert parse_literal_address(str(address)) == address
    allowed = address.version == 4 and address in ipaddress.IPv4Network("198.18.0.0/15")
    if address.is_loopback or address.is_link_local or address.is_multicast or (address.is_private and not allowed):
        assert kind != "public" or address.version == 6


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("127.1", "127.0.0.1"), ("127.0.1", "127.0.0.1"), ("2130706433", "127.0.0.1"),
     ("0x7f000001", "127.0.0.1"), ("0X7F.1", "127.0.0.1"), ("017700000001", "127.0.0.1"), ("0177.0.0.01", "127.0.0.1"),
     ("0", "0.0.0.0"),  # noqa: S104
     ("127.0.0.1.", "127.0.0.1"), ("[::1]", "::1"), ("::1%lo", "::1"),
     ("::FFFF:7f00:1", "::ffff:7f00:1"),
     ("256.0.0.1", None), ("1.2.3.4.5", None), ("127.0.0.256", None), ("4294967296", None), ("08.0.0.1", None),
     ("0x", None), ("a.test", None), ("", None), ("1.2.3.4.test", None), ("::g", None), ("1..2", None)],
)  # fmt: skip
def test_an_address_is_recognised_in_every_way_it_can_be_written(host: str, address: str | None) -> None:
    """As the system's own inet_aton reads it: a proxy, or a resolver, would understand it so."""
    assert parse_literal_address(host) == (ipaddress.ip_address(address) if address else None)


@pytest.mark.parametrize(
    ("host", "good"),
    [("a.test", True), ("A-1.test.", True), ("_x.test", True), ("xn--bcher-kva.test", True), ("127.1", True),
     ("::1", True), ("a" * 63 + ".test", True), ("a" * 64 + ".test", False), ("a..test", False), (".test", False),
     ("-a.test", False), ("a b", False), ("a%2etest", False), ("::1%lo", False), ("1.2.3.999", False),
     ("a.0x7f", False), ("bücher.test", False), ("a/b", False), ("a@b", False), ("", False),
     (".".join("a" * 130), False)],
)  # fmt: skip
def test_a_host_is_one_that_every_parser_reads_in_one_way(host: str, good: bool) -> None:
    """What two programs read in two ways could be judged as one host and connected to as another."""
    assert is_host(host) is good


@pytest.mark.parametrize(
    "url",
    ["https://good.test@evil.test", "https://good.test\\@evil.test", "https://good.test#@evil.test",
     "https://good.test?@evil.test", "https://good.test:pw@evil.test:443/", "https://good.test\t.evil.test",
     "https://good.test\r\nX-A: b", "https:// good.test", "https://good.test:", "https://good.test:65536",
     "https://good.test:-1", "https://ｇood.test", "https://good。test", "https://good.test/é", "https:good.test",
     "https:///good.test", "//good.test", "good.test", "https://[::1", "https://::1", "https://[::1%25lo]",
     "https://[good.test]", "https://good.test/a b", "https://good.test/\x7f", "", "https://0x7f.0x", "javascript:1"],
)  # fmt: skip
def test_an_address_that_could_be_read_in_two_ways_is_none(url: str) -> None:
    """User-info, backslashes, control characters, other alphabets: a token would go where no one looked."""
    assert parse_url_target(url) is None


@pytest.mark.parametrize(
    ("url", "scheme", "host"),
    [("https://A.test", "https", "a.test"), ("http://[::1]:8188/x", "http", "::1"),
     ("HTTPS://a.test:443", "https", "a.test"),
     ("https://a.test/api/v1/", "https", "a.test"), ("http://127.0.0.1:9", "http", "127.0.0.1")],
)  # fmt: skip
def test_a_plain_address_is_read(url: str, scheme: str, host: str) -> None:
    """Scheme and host in lower case."""
    assert parse_url_target(url) == (scheme, host)


@pytest.mark.parametrize(
    ("host", "here"),
    [("LOCALHOST", True), ("localhost.", True), ("a.localhost.", True), ("127.1", True), ("2130706433", True),
     ("::ffff:127.0.0.1", True), ("[::1]", True), ("::1%lo", True), ("localhost.test", False),
     ("0.0.0.0", False),  # noqa: S104
     ("notlocalhost", False), ("127.0.0.1.test", False), ("ip6-localhost", False)],
)  # fmt: skip
def test_this_machine_is_recognised_by_name_and_address(host: str, here: bool) -> None:
    """RFC 6761's names, and every way to write its addresses; other names are found out when they are resolved."""
    assert is_loopback(host) is here


def test_nothing_that_is_no_network_can_be_lived_at() -> None:
    """The unspecified address is this machine, on some systems; it is no home."""
    assert set(KINDS) - LIVABLE == {"public", "unspecified", "multicast", "reserved"}


@pytest.mark.parametrize(
    "name",
    ["Nemo", "NEMO", "nеmo", "nemо", "ΝEMO", "ｎｅｍｏ", "nem0", "nerno", "némo", "nemo ", "nemo.", "𝐧𝐞𝐦𝐨", "ꓠꓰꓟꓳ",
     "Local Preview", "local-preview", "1ocal preview", "lосal preview", "local  preview", "iocal prev1ew"],
)  # fmt: skip
def test_a_name_that_looks_like_a_built_in_one_is_recognised(name: str) -> None:
    """Other alphabets, widths, digits and accents."""
    assert looks_like(name, ("nemo", "local preview"))


@pytest.mark.parametrize(
    "name", ["mine", "nemo 2", "my nemo", "nemo@work", "мой", "我的", "dev", "local", "memo", "neo"]
)
def test_other_names_are_free(name: str) -> None:
    """In any language."""
    assert looks_like(name, ("nemo", "local preview")) is None

"""Where a webhook may go, address by address."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor.outbound.egress import EgressRefused, ResolveFailed, judge, refusal

FORBIDDEN = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "100::1",
    "4000::1",
]


def answers(*addresses: str):
    async def resolver(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolver


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_an_address_that_is_not_public_is_refused(address):
    with pytest.raises(EgressRefused):
        await judge("https://hook.test/", allow_private=False, resolver=answers(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"]
)
async def test_a_public_address_is_accepted_and_kept(address):
    target = await judge("https://hook.test/a?b=c", allow_private=False, resolver=answers(address))
    assert target.addresses == (address,)
    assert (target.host, target.port, target.path) == ("hook.test", 443, "/a?b=c")


async def test_one_private_address_among_public_ones_refuses_the_name():
    with pytest.raises(EgressRefused):
        await judge("https://hook.test/", allow_private=False, resolver=answers("8.8.8.8", "10.0.0.1"))


@pytest.mark.parametrize(
    "url",
    ["https://2130706433/", "https://0x7f000001/", "https://127.1/", "https://0177.0.0.1/", "https://[::1]/"],
)
async def test_other_spellings_of_loopback_are_what_the_system_resolves_them_to(url):
    with pytest.raises((EgressRefused, ResolveFailed)):
        await judge(url, allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://hook.test/",
        "ftp://hook.test/",
        "file:///etc/passwd",
        "https:///nohost",
        "https://user@hook.test/",
        "https://user:secret@hook.test/",
        "https://hook.test:99999/",
        "https://[::1",
        "https://hook.test/\r\nX: y",
        "https://hook.test/a b",
        "",
    ],
)
async def test_a_url_of_another_shape_is_refused(url):
    with pytest.raises(EgressRefused) as refused:
        await judge(url, allow_private=False, resolver=answers("8.8.8.8"))
    assert "secret" not in str(refused.value)


async def test_where_private_is_allowed_http_and_loopback_are():
    target = await judge("http://localhost:8080/x", allow_private=True, resolver=answers("127.0.0.1"))
    assert target.authority == "localhost:8080"


async def test_a_name_without_an_address_may_have_one_later():
    async def nowhere(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    with pytest.raises(ResolveFailed):
        await judge("https://hook.test/", allow_private=False, resolver=nowhere)
    with pytest.raises(ResolveFailed):
        await judge("https://hook.test/", allow_private=False, resolver=answers())


@given(st.ip_addresses(v=4))
def test_whatever_wraps_an_ipv4_address_in_ipv6_is_refused(inner):
    number = int(inner)
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert refusal(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | number)) is not None
    assert refusal(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))) is not None


@given(st.ip_addresses())
def test_no_address_passes_that_python_calls_private(address):
    if refusal(address) is None:
        assert address.is_global
        assert not any((address.is_private, address.is_loopback, address.is_link_local, address.is_multicast))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://ex\u00e4mple.test/in", "xn--exmple-cua.test"),
        ("https://exa\u0308mple.test/in", "xn--exmple-cua.test"),
        ("https://fa\u00df.test/in", "xn--fa-hia.test"),
        ("https://hook\u3002test/in", "hook.test"),
    ],
)
async def test_a_name_of_other_letters_is_judged_and_asked_for_as_dns_knows_it(url, host):
    asked = []

    async def resolver(name: str, port: int) -> list[str]:
        asked.append(name)
        return ["8.8.8.8"]

    target = await judge(url, allow_private=False, resolver=resolver)
    assert (asked, target.host, target.authority) == ([host], host, host)
    with pytest.raises(EgressRefused):
        await judge(url, allow_private=False, resolver=answers("10.0.0.1"))


@pytest.mark.parametrize(
    "host", ["①②⑦.⓪.⓪.①", "ｌｏｃａｌｈｏｓｔ", "a\u00e4" * 40, "-\u00e4-", "\u00e4\u200b.test"]
)
async def test_letters_that_only_look_like_a_name_are_refused(host):
    with pytest.raises(EgressRefused):
        await judge(f"https://{host}/", allow_private=True, resolver=answers("8.8.8.8"))


async def test_loopback_in_other_full_stops_is_refused():
    with pytest.raises((EgressRefused, ResolveFailed)):
        await judge("https://127\u30020\u30020\u30021/", allow_private=False)

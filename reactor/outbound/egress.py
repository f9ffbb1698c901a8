"""Where a request to an address that a tenant typed in may go.

A tenant's webhook URL is input from outside: without this check it could be
aimed at the database, a cloud's metadata service or anything else that trusts
our network. Checking the name is not enough, because a name can resolve to
one address when it is checked and to another when it is used. So we resolve
it ourselves, judge every address it has, and connect to the very address
that was judged (see webhook.py, which keeps the name for TLS and Host).
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlsplit

import anyio.to_thread
import httpx2

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

# Python's is_global differs between patch releases, and a few addresses that
# it calls global are answered inside a cloud: so the ranges stand here too.
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
# Ordinary addresses of the Internet are in 2000::/3, less what is listed here.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


class EgressRefused(Exception):
    """The URL may not be requested. Trying again changes nothing; another URL does."""

    def __init__(self, host: str, why: str) -> None:
        self.host = host
        self.why = why
        super().__init__(f"{host}: {why}")


class ResolveFailed(Exception):
    """The host has no address now. It may have one later."""

    def __init__(self, host: str, why: str) -> None:
        self.host = host
        super().__init__(f"{host} does not resolve: {why}")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be requested, and the addresses that were judged, in order of preference."""

    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]

    @property
    def authority(self) -> str:
        """What belongs into the Host header: the name, and the port when it is not the scheme's own."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.scheme == "https" else 80
        return name if self.port == usual else f"{name}:{self.port}"

    def url_at(self, address: str) -> str:
        """The same URL with the address in the place of the name."""
        literal = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{literal}:{self.port}{self.path}"


def refusal(address: Address) -> str | None:
    """Why no request may go to this address, or None when one may."""
    if isinstance(address, ipaddress.IPv4Address):
        if any(address in net for net in _REFUSED_V4) or not address.is_global:
            return f"{address} is not a public address"
        return None
    inner = _embedded_v4(address)
    if inner is not None:
        return f"{address} hides the IPv4 address {inner}"
    if address not in _GLOBAL_V6 or any(address in net for net in _REFUSED_V6):
        return f"{address} is not a public address"
    return None


def _embedded_v4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    # Even when the inner address is public: nobody has a reason to write it so.
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in net for net in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, by the system's resolver.

    Not in the loop's own threads, which are few and look up the database too: a name that a tenant typed in
    may have a server that never answers, and a look-up cannot be ended.
    """
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await anyio.to_thread.run_sync(look_up, abandon_on_cancel=True)
    return [str(entry[4][0]) for entry in found]


def split_url(url: str, *, allow_private: bool) -> tuple[str, str, int, str]:
    """Scheme, host, port and path with query of a URL that has the right shape; else EgressRefused."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        # Never with the parser's words: what it takes for the port may be a piece of a password.
        raise EgressRefused("(url)", "this is not a URL: look at its port and at brackets") from None
    if not host or any(ch <= " " or ch == "\x7f" for ch in url):
        raise EgressRefused("(url)", "this is not a URL with a host")
    if parts.username is not None or parts.password is not None:
        raise EgressRefused(host, "a user name or password in the URL is not accepted")
    if parts.scheme not in ("https", "http"):
        raise EgressRefused(host, "the URL must start with https://")
    if parts.scheme == "http" and not allow_private:
        raise EgressRefused(host, "the URL must start with https://, so that nobody reads it on the way")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, _on_the_wire(host), port or (443 if parts.scheme == "https" else 80), path


def refused_as_written(url: str) -> str | None:
    """Why a request would be refused whatever its host's name leads to, or None."""
    try:
        _, host, _, _ = split_url(url, allow_private=False)
    except EgressRefused as error:
        return error.why
    try:
        return refusal(ipaddress.ip_address(host))
    except ValueError:
        return None  # a name, which is judged when it is asked


def as_ascii(url: str) -> str:
    """A URL of the right shape as it may stand in a header, in angle brackets; else EgressRefused."""
    scheme, host, port, path = split_url(url, allow_private=True)
    # "=?" begins an encoded word.
    path = quote(path, safe="!#$%&'()*+,/:;=?@[]~").replace("=?", "=%3F")
    return f"{scheme}://{Target(scheme, host, port, path, ()).authority}{path}"


def _on_the_wire(host: str) -> str:
    """The name as DNS, TLS and the Host header know it: what is judged is what is asked for.

    IDNA of 2008, by the HTTP client's own rules. Python's codec is that of 2003, in which faß.example is
    somebody else's name.
    """
    if host.isascii():
        return host
    try:
        return httpx2.URL(scheme="https", host=unicodedata.normalize("NFC", host)).raw_host.decode("ascii")
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise EgressRefused(host, "this is not the name of a host") from error


async def judge(url: str, *, allow_private: bool, resolver: Resolver = resolve) -> Target:
    """The target of a URL; EgressRefused when it may not be requested, ResolveFailed when it has no address.

    One forbidden address among several refuses the whole name: an honest name has none.
    """
    scheme, host, port, path = split_url(url, allow_private=allow_private)
    try:
        found = await resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise ResolveFailed(host, str(error)) from error
    if not found:
        raise ResolveFailed(host, "no addresses")
    addresses: list[str] = []
    for text in found:
        try:
            address = ipaddress.ip_address(text)
        except ValueError as error:
            raise EgressRefused(host, "its address cannot be read") from error
        why = None if allow_private else refusal(address)
        if why is not None:
            raise EgressRefused(host, why)
        if text not in addresses:
            addresses.append(text)
    return Target(scheme, host, port, path, tuple(addresses))

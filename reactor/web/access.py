"""Who may see the dashboard and its API: whoever has REACTOR_DASHBOARD_TOKEN; and this machine, where none is
set or loopback is trusted all the same.

On this machine are also its other users, the neighbours in a pod, and proxies that say nothing of
themselves: so a token that is set is asked of everybody, unless somebody said otherwise.

A request comes from this machine when its connection does, it asks for this machine by a name of its own,
and no proxy says that it asks for somebody else. The name is looked at because of DNS rebinding: a page of a
stranger's, in a browser of this machine, may let its own name point to 127.0.0.1, and would then be believed
as we are.
"""

import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.requests import Request

COOKIE = "reactor_session"
#: How long a login lasts.
SESSION = timedelta(hours=12)

_LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
#: Headers that proxies add. Whoever comes through one is at its other end, wherever the proxy runs.
_FORWARDED = ("forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto")

#: Why somebody is not let in: no token is set and they are elsewhere; … and what says that they are here is
#: not to be believed; they should log in; what they gave is wrong.
Refusal = Literal["elsewhere", "disguised", "login", "wrong"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may see, and do, everything here."""

    who: str
    #: the cookie, of one who logged in
    session: str = ""
    #: nothing that a browser adds by itself let them in
    by_header: bool = False


class Access:
    """Everything that is derived from the token; without one, from a secret of this process."""

    def __init__(self, token: SecretStr | None, *, trusts_loopback: bool = False) -> None:
        self.trusts_loopback = token is None or trusts_loopback
        self._token = token.get_secret_value().encode() if token is not None else None
        self._key = hmac.digest(self._token or os.urandom(32), b"reactor dashboard", "sha256")

    @property
    def has_token(self) -> bool:
        return self._token is not None

    def of(self, request: Request) -> Caller | Refusal:
        """Who asks, or why they are not answered."""
        given = request.headers.get("authorization")
        if given is not None and self._token is not None:
            if self.is_bearer(given):
                return Caller("somebody who has the token", by_header=True)
            return "wrong"
        session = request.cookies.get(COOKIE, "")
        if self._token is not None and self._is_session(session):
            return Caller("somebody who logged in with the token", session)
        if self.trusts_loopback and comes_from_here(request):
            if _is_straight(request):
                return Caller("somebody on this machine")
            return "login" if self._token is not None else "disguised"
        return "login" if self._token is not None else "elsewhere"

    def is_bearer(self, given: str) -> bool:
        """Whether this header Authorization has the token."""
        scheme, _, token = given.partition(" ")
        # As bytes: what is compared as text must be ASCII, and whoever asks may send anything.
        return scheme.lower() == "bearer" and self.is_token(token.strip().encode("latin-1"))

    def is_token(self, given: bytes) -> bool:
        return self._token is not None and hmac.compare_digest(given, self._token)

    def new_session(self) -> str:
        """For the cookie: when it ends, and a proof that we said so. The token cannot be found from it."""
        until = str(int(time.time() + SESSION.total_seconds()))
        return f"{until}.{self._sign('session', until)}"

    def _is_session(self, value: str) -> bool:
        until, _, proof = value.partition(".")
        if not hmac.compare_digest(proof.encode(), self._sign("session", until).encode()):
            return False
        return int(until) > time.time()

    def form_token(self, caller: Caller) -> str:
        """What a form of ours carries, and a stranger's page cannot know."""
        return self._sign("form", caller.session)

    def is_form_token(self, caller: Caller, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.form_token(caller).encode())

    def _sign(self, what: str, text: str) -> str:
        return hmac.new(self._key, f"{what} {text}".encode(), hashlib.sha256).hexdigest()


def is_of_another_site(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a page of somebody else's made it send this request.

    It says so in Sec-Fetch-Site, which no page can set, or, to an address without TLS, in Origin alone.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site != "same-origin"
    origin = headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:
        return True  # no browser writes one like that


def comes_from_here(request: Request) -> bool:
    return request.client is not None and request.client.host in _LOOPBACK


def _is_straight(request: Request) -> bool:
    """Nobody stands between: no proxy says that it does, and this machine was asked for by a name of its own.

    HTTP/1.0 is what some proxies speak that say nothing of themselves, and no browser does.
    """
    return (
        request.scope.get("http_version") != "1.0"
        and not any(name in request.headers for name in _FORWARDED)
        and _is_name_of_loopback(request.headers.get("host", ""))
    )


def _is_name_of_loopback(host: str) -> bool:
    if "@" in host:
        return False
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False

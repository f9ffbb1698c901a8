"""The probes and the metrics: /livez, /readyz, /startupz, /metrics.

The probes say one word and why, so they are open to whoever can reach the port. The metrics are
for this machine, and for whoever sends REACTOR_DASHBOARD_TOKEN as a Bearer token.
"""

import hmac
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from reactor.telemetry import metrics
from reactor.web.access import LOOPBACK


class Health(Protocol):
    """What a replica says of itself, for one database."""

    @property
    def started(self) -> bool: ...
    @property
    def connected(self) -> bool: ...
    @property
    def listening(self) -> bool: ...
    @property
    def draining(self) -> bool: ...
    @property
    def silence(self) -> timedelta | None: ...


def routes(health: Callable[[], Iterable[Health]], *, listens: bool, token: SecretStr | None) -> list[Route]:
    """``listens``: whether replicas are to hear notifications (not with REACTOR_NOTIFY=off)."""

    async def livez(_: Request) -> Response:
        # That it answers is the answer: the loop turns. A database that is away is no reason to restart.
        return PlainTextResponse("live\n")

    async def startupz(_: Request) -> Response:
        return _answer([] if all(h.started for h in health()) and any(health()) else ["not started yet"])

    async def readyz(_: Request) -> Response:
        return _answer(list(_reasons(health(), listens=listens)))

    async def metrics_(request: Request) -> Response:
        if not _may_see(request, token):
            return PlainTextResponse(
                "metrics are shown to this machine, or with the bearer token of REACTOR_DASHBOARD_TOKEN\n",
                403 if token is None else 401,
                {} if token is None else {"WWW-Authenticate": "Bearer"},
            )
        return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/livez", livez),
        Route("/startupz", startupz),
        Route("/readyz", readyz),
        Route("/metrics", metrics_),
    ]


def _reasons(replicas: Iterable[Health], *, listens: bool) -> Iterable[str]:
    found = list(replicas)
    if not found or not all(h.started for h in found):
        yield "not started yet"
        return
    if any(h.draining for h in found):
        yield "draining"
    if not all(h.connected for h in found):
        yield "the database does not answer"
    if listens and not all(h.listening for h in found):
        yield "notifications do not arrive"
    for silence in (h.silence for h in found):
        if silence is not None:
            yield f"no canary event came through for {silence.total_seconds():.0f} s, though slots are free"


def _answer(reasons: list[str]) -> Response:
    if reasons:
        return PlainTextResponse("; ".join(reasons) + "\n", 503)
    return PlainTextResponse("ok\n")


def _may_see(request: Request, token: SecretStr | None) -> bool:
    if request.client is not None and request.client.host in LOOPBACK:
        return True
    # As bytes: what is compared as text must be ASCII, and whoever asks may send anything.
    given = request.headers.get("authorization", "").encode("latin-1")
    return token is not None and hmac.compare_digest(given, f"Bearer {token.get_secret_value()}".encode())

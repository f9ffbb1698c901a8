"""The probes and the metrics: /livez, /readyz, /startupz, /metrics.

The probes say one word and why, so they are open to whoever can reach the port. The metrics are
for whoever sends REACTOR_DASHBOARD_TOKEN as a Bearer token; where none is set, or loopback is trusted all
the same, for this machine.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from reactor.telemetry import metrics
from reactor.web.access import Access, comes_from_here


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
    def starved(self) -> bool: ...
    @property
    def silence(self) -> timedelta | None: ...


def routes(health: Callable[[], Iterable[Health]], *, listens: bool, access: Access) -> list[Route]:
    """``listens``: whether replicas are to hear notifications (not with REACTOR_NOTIFY=off)."""

    async def livez(_: Request) -> Response:
        # That it answers is the answer: the loop turns. A database that is away is no reason to restart.
        return PlainTextResponse("live\n")

    async def startupz(_: Request) -> Response:
        return _answer([] if all(h.started for h in health()) and any(health()) else ["not started yet"])

    async def readyz(_: Request) -> Response:
        return _answer(list(_reasons(health(), listens=listens)))

    async def metrics_(request: Request) -> Response:
        if not _may_see(request, access):
            if access.has_token:
                why = "metrics are shown with REACTOR_DASHBOARD_TOKEN as bearer token\n"
                return PlainTextResponse(why, 401, {"WWW-Authenticate": "Bearer"})
            why = "metrics are shown to this machine only, because REACTOR_DASHBOARD_TOKEN is not set\n"
            return PlainTextResponse(why, 403)
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
    if any(h.starved for h in found):
        yield "handlers get no connection to the database"
    for silence in (h.silence for h in found):
        if silence is not None:
            yield f"no canary event came through for {silence.total_seconds():.0f} s, though slots are free"


def _answer(reasons: list[str]) -> Response:
    if reasons:
        return PlainTextResponse("; ".join(reasons) + "\n", 503)
    return PlainTextResponse("ok\n")


def _may_see(request: Request, access: Access) -> bool:
    """They show nothing that a page of a stranger's could use, so names and proxies are not looked at."""
    if access.trusts_loopback and comes_from_here(request):
        return True
    return access.is_bearer(request.headers.get("authorization", ""))

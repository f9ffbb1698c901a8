"""The probes and the metrics: /livez, /readyz, /startupz, /metrics.

The probes say one word and why, so they are open to whoever can reach the port. The metrics, and where a
database is, are for whoever sends REACTOR_DASHBOARD_TOKEN as a Bearer token; where none is set, or loopback
is trusted all the same, for this machine.
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
    def database(self) -> str: ...
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

    async def readyz(request: Request) -> Response:
        named = _may_see(request, access)
        return _answer(list(_reasons(list(health()), listens=listens, named=named)))

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


def _reasons(replicas: list[Health], *, listens: bool, named: bool) -> Iterable[str]:
    """One of several databases is called by its place in REACTOR_DATABASES; ``named``: and by what it is."""
    if not replicas:
        yield "not started yet"
    if any(each.draining for each in replicas):
        yield "draining"
    for number, each in enumerate(replicas, 1):
        about = ""
        if len(replicas) > 1:
            about = f"database {number} ({each.database}): " if named else f"database {number}: "
        for reason in _reasons_of(each, listens=listens):
            yield about + reason


def _reasons_of(replica: Health, *, listens: bool) -> Iterable[str]:
    if not replica.started:
        yield "not started yet"
        return
    if not replica.connected:
        yield "the database does not answer"
    if listens and not replica.listening:
        yield "notifications do not arrive"
    if replica.starved:
        yield "handlers get no connection to the database"
    if replica.silence is not None:
        seconds = replica.silence.total_seconds()
        yield f"no canary event came through for {seconds:.0f} s, though slots are free"


def _answer(reasons: list[str]) -> Response:
    if reasons:
        return PlainTextResponse("; ".join(reasons) + "\n", 503)
    return PlainTextResponse("ok\n")


def _may_see(request: Request, access: Access) -> bool:
    """They show nothing that a page of a stranger's could use, so names and proxies are not looked at."""
    if access.trusts_loopback and comes_from_here(request):
        return True
    return access.is_bearer(request.headers.get("authorization", ""))

"""The dashboard: pages at ``/``, JSON at ``/api``, behind one door; and the whole site with its probes."""

import socket
from collections.abc import Callable, Iterable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from reactor.settings import Settings
from reactor.web.api import Api
from reactor.web.door import Door
from reactor.web.health import Health, routes
from reactor.web.pages import Pages
from reactor.web.refusal import Refused
from reactor.web.server import serve
from reactor.web.site import Site


async def serve_site(
    listening: socket.socket, settings: Settings, health: Callable[[], Iterable[Health]]
) -> None:
    """Probes, metrics and the dashboard, until cancelled."""
    site = Site(settings)
    probes = routes(health, listens=settings.notify != "off", token=settings.dashboard_token)
    try:
        await serve(
            listening,
            [*probes, mounted(site)],
            dashboard="with REACTOR_DASHBOARD_TOKEN" if site.access.has_token else "for this machine only",
        )
    finally:
        site.close()


def mounted(site: Site) -> Mount:
    """Everything that is not a probe."""
    app = Starlette(
        routes=[Mount("/api", routes=Api(site).routes()), *Pages(site).routes()],
        exception_handlers={404: _unknown, 405: _no_such_method},
    )
    return Mount("/", app=Door(app, site))


async def _unknown(request: Request, _: Exception) -> Response:
    # For the door, which knows whether a person or a program asks.
    raise Refused(404, f"there is no {request.url.path[:200]}")


async def _no_such_method(request: Request, _: Exception) -> Response:
    raise Refused(405, f"{request.method} is not for {request.url.path[:200]}")

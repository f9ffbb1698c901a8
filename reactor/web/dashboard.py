"""The dashboard: pages at ``/``, JSON at ``/api``, behind one door; and the whole site with its probes."""

import socket
from collections.abc import Callable, Iterable

from starlette.routing import Mount, Router

from reactor.settings import Settings
from reactor.web.api import Api
from reactor.web.door import Door
from reactor.web.health import Health, routes
from reactor.web.pages import Pages
from reactor.web.server import serve
from reactor.web.site import Site

_OTHERS_TOO = "for this machine, and whoever has REACTOR_DASHBOARD_TOKEN"


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
            dashboard=_OTHERS_TOO if site.access.has_token else "for this machine only",
        )
    finally:
        site.close()


def mounted(site: Site) -> Mount:
    """Everything that is not a probe."""
    router = Router([Mount("/api", routes=Api(site).routes()), *Pages(site).routes()])
    return Mount("/", app=Door(router, site))

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

_ALONE = "for this machine only"
_HOLDERS = "for whoever has REACTOR_DASHBOARD_TOKEN"
_BOTH = "for this machine, and whoever has REACTOR_DASHBOARD_TOKEN"


async def serve_site(
    listening: socket.socket, settings: Settings, health: Callable[[], Iterable[Health]]
) -> None:
    """Probes, metrics and the dashboard, until cancelled."""
    site = Site(settings)
    access = site.access
    probes = routes(health, listens=settings.notify != "off", access=access)
    told = _ALONE if not access.has_token else _BOTH if access.trusts_loopback else _HOLDERS
    try:
        await serve(listening, [*probes, mounted(site)], dashboard=told)
    finally:
        site.close()


def mounted(site: Site) -> Mount:
    """Everything that is not a probe."""
    router = Router([Mount("/api", routes=Api(site).routes()), *Pages(site).routes()])
    return Mount("/", app=Door(router, site))

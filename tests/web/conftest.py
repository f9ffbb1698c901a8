"""A dashboard on a real port."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx2

from reactor import Settings
from reactor.web.dashboard import mounted
from reactor.web.server import address_of, bind, serve
from reactor.web.site import Site

TOKEN = "a-token-of-24-characters"


@dataclass(frozen=True)
class Served:
    """A dashboard, and somebody on its machine who asks it."""

    site: Site
    client: httpx2.AsyncClient
    address: str

    async def get(self, path: str, **more) -> httpx2.Response:
        return await self.client.get(path, **more)

    async def page(self, path: str) -> str:
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def do(self, path: str, form: dict[str, object], *, on: str = "/kill-switch") -> httpx2.Response:
        """Sends a form of a page of ours, and gives the page that follows."""
        fields = {"form_token": form_token(await self.page(on)), "back": on} | form
        return await self.client.post(path, data=fields, follow_redirects=True)

    async def act(self, path: str, **document: object) -> httpx2.Response:
        """As a program does it."""
        return await self.client.post(path, json=document, headers={"X-Reactor-Action": "yes"})


def form_token(page: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
    assert found is not None, page
    return found[1]


@asynccontextmanager
async def served(
    *urls: str, token: str | None = None, trusted: bool = False, host: str = "127.0.0.1"
) -> AsyncIterator[Served]:
    """Until the end of the block. trusted: this machine needs no token."""
    settings = Settings(
        databases=",".join(urls),
        http_host=host,
        http_port=0,
        dashboard_token=token,
        dashboard_trust_loopback=trusted,
    )
    listening = bind(settings)
    assert listening is not None
    listening.listen()  # whoever comes before the server is ready waits
    site, address = Site(settings), address_of(listening)
    async with anyio.create_task_group() as group:
        group.start_soon(serve, listening, [mounted(site)])
        try:
            async with httpx2.AsyncClient(base_url=address, timeout=30) as client:
                yield Served(site, client, address)
        finally:
            site.close()
            group.cancel_scope.cancel()


def elsewhere(address: str) -> httpx2.AsyncClient:
    """Somebody on another machine: any address but those of loopback that count as this one."""
    transport = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
    return httpx2.AsyncClient(transport=transport, base_url=address)

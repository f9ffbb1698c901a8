"""``/api/…``: JSON for programs, of the shapes that the commands write with ``--json``.

Where a list has a next page, the header Link names it.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reactor.db import operations
from reactor.db.json_text import to_json
from reactor.db.named import event_number, no_event, not_dead
from reactor.errors import ReactorError, redact
from reactor.telemetry.story import sentence
from reactor.web import listings
from reactor.web.actions import ACTIONS, do, kill_switch
from reactor.web.asked import Asked
from reactor.web.bodies import read_document
from reactor.web.live import Look
from reactor.web.parts import parts_of
from reactor.web.refusal import Refused, status_of
from reactor.web.site import Site
from reactor.web.stream import event

#: A page of another site cannot send it without asking first, and is never answered when it asks.
HEADER = "x-reactor-action"


def answer(document: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(document, indented=True) + "\n", status, headers, "application/json")


def refusal(error: ReactorError) -> Response:
    said = {"error": redact(error.message), "hint": error.hint, "detail": redact(error.detail or "") or None}
    return answer(said, status_of(error))


class Api:
    """The routes, all below /api."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        return [
            Route("/status", self._status),
            Route("/stream", self._stream),
            Route("/events", self._events),
            Route("/events/{event}", self._event),
            Route("/events/{event}/explain", self._explain),
            Route("/dead", self._dead),
            Route("/dead/{event}", self._dead_event),
            Route("/tenants", self._tenants),
            Route("/locks", self._locks),
            Route("/alerts", self._alerts),
            Route("/replicas", self._replicas),
            Route("/kill-switch", self._kill_switch),
            *(Route(f"/{name}", self._act, methods=["POST"], name=name) for name in ACTIONS),
        ]

    async def _found(self, request: Request) -> dict[str, Any]:
        look = await self._site.live(request).latest()
        if look.status is None:
            raise look.error or Refused(503, "the database does not answer")
        return look.status

    async def _status(self, request: Request) -> Response:
        return answer(await self._found(request))

    async def _replicas(self, request: Request) -> Response:
        return answer((await self._found(request))["replicas"])

    async def _kill_switch(self, request: Request) -> Response:
        return answer(kill_switch(await self._found(request)))

    async def _stream(self, request: Request) -> Response:
        """For a program each look as /api/status; with ``parts`` pieces of the page, for its script."""
        named = [part for part in request.query_params.get("parts", "").split(",") if part]
        render, database = self._site.render, self._site.database(request)

        def told(look: Look) -> str:
            if named:
                at = look.status["at"] if look.status is not None else None
                return event("parts", {"at": at, **parts_of(look, named, render, database.number)})
            if look.status is not None:
                return event("status", look.status)
            return event("away", {"error": redact(look.error)})

        return self._site.streams.answer(self._site.live(request), told)

    async def _events(self, request: Request) -> Response:
        async with self._site.database(request).look() as connection:
            return answer(await listings.events(connection, Asked(request.query_params)))

    async def _event(self, request: Request) -> Response:
        name = request.path_params["event"]
        async with self._site.database(request).look() as connection:
            found = await operations.trace_event(connection, await event_number(connection, name))
        if found is None:
            raise no_event(name)
        return answer(found)

    async def _explain(self, request: Request) -> Response:
        name = request.path_params["event"]
        async with self._site.database(request).look() as connection:
            found = await operations.explain_event(connection, await event_number(connection, name))
        if found is None:
            raise no_event(name)
        return answer(found | {"sentence": sentence(found)})

    async def _dead_event(self, request: Request) -> Response:
        name = request.path_params["event"]
        async with self._site.database(request).look() as connection:
            number = await event_number(connection, name)
            found = await operations.read_event(connection, number)
        if found is None:
            raise no_event(name)
        if found["state"] != "dead":
            raise not_dead([number])
        return answer(found)

    async def _dead(self, request: Request) -> Response:
        async with self._site.database(request).look() as connection:
            return self._list(request, await listings.dead(connection, Asked(request.query_params)))

    async def _tenants(self, request: Request) -> Response:
        async with self._site.database(request).look() as connection:
            return self._list(request, await listings.tenants(connection, Asked(request.query_params)))

    async def _locks(self, request: Request) -> Response:
        async with self._site.database(request).look() as connection:
            return self._list(request, await listings.locks(connection, Asked(request.query_params)))

    async def _alerts(self, request: Request) -> Response:
        async with self._site.database(request).look() as connection:
            return self._list(request, await listings.alerts(connection, Asked(request.query_params)))

    def _list(self, request: Request, page: listings.Page) -> Response:
        if page.next is None:
            return answer(page.rows)
        following = request.url.include_query_params(after=page.next)
        return answer(page.rows, headers={"Link": f'<{following.path}?{following.query}>; rel="next"'})

    async def _act(self, request: Request) -> Response:
        if HEADER not in request.headers:
            raise Refused(
                403,
                "the header X-Reactor-Action is missing",
                hint="send it with any value: X-Reactor-Action: yes",
            )
        name = request.url.path.removeprefix("/api/")
        done = await do(self._site, request, name, Asked(await read_document(request)))
        return answer(done.document)

"""The pages: HTML that says everything without a script, and with one keeps itself up to date."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from reactor.db import operations
from reactor.db.named import event_number, no_event, tenant_label
from reactor.telemetry.story import outcome, sentence, tries
from reactor.telemetry.words import moment
from reactor.web import listings
from reactor.web.actions import ACTIONS, do
from reactor.web.asked import Asked
from reactor.web.bodies import read_form
from reactor.web.parts import seen
from reactor.web.refusal import Refused
from reactor.web.site import Site, caller_of


class Pages:
    """The routes that answer people."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        return [
            Route("/", self._overview),
            Route("/events", self._events),
            Route("/events/{event}", self._event),
            Route("/dead", self._dead),
            Route("/tenants", self._tenants),
            Route("/locks", self._locks),
            Route("/alerts", self._alerts),
            Route("/replicas", self._replicas),
            Route("/kill-switch", self._kill_switch),
            *(Route(f"/{name}", self._act, methods=["POST"], name=f"do {name}") for name in ACTIONS),
        ]

    async def _live(self, request: Request, template: str) -> Response:
        """A page of nothing but the latest look."""
        look = await self._site.live(request).latest()
        if look.status is None:
            raise look.error or Refused(503, "the database does not answer")
        return await self._site.page(request, template, seen(look, self._site.database(request).number))

    async def _overview(self, request: Request) -> Response:
        return await self._live(request, "overview.html")

    async def _replicas(self, request: Request) -> Response:
        return await self._live(request, "replicas.html")

    async def _kill_switch(self, request: Request) -> Response:
        return await self._live(request, "kill_switch.html")

    async def _events(self, request: Request) -> Response:
        asked = Asked(request.query_params)
        event = asked.text("event")
        if event is not None:
            return RedirectResponse(self._site.address(request, f"/events/{event}"), 303)
        async with self._site.database(request).look() as connection:
            found = await listings.events(connection, asked)
        return await self._site.page(
            request,
            "events.html",
            {
                "found": found,
                "now": moment(found["at"]),
                "filters": _filters(request, "state", "type", "tenant"),
                "states": listings.STATES,
                "is_first": asked.text("after") is None,
            },
        )

    async def _event(self, request: Request) -> Response:
        name = request.path_params["event"]
        async with self._site.database(request).look() as connection:
            number = await event_number(connection, name)
            trace = await operations.trace_event(connection, number)
            explained = await operations.explain_event(connection, number)
            if trace is None or explained is None:
                raise no_event(name)
            tenant = await tenant_label(connection, trace["event"]["tenant_id"])
        now = moment(explained["at"])
        event = trace["event"]
        return await self._site.page(
            request,
            "event.html",
            {
                "event": event,
                "trace": trace,
                "explained": explained,
                "sentence": sentence(explained),
                "outcome": outcome,
                "tenant": tenant,
                "tries": tries(event["errors"], now),
                "last_error": event["errors"][-1] if event["errors"] else None,
                "now": now,
            },
        )

    async def _dead(self, request: Request) -> Response:
        asked = Asked(request.query_params)
        async with self._site.database(request).look() as connection:
            page = await listings.dead(connection, asked)
        return await self._list(request, "dead.html", page, "type", "tenant", "since")

    async def _tenants(self, request: Request) -> Response:
        async with self._site.database(request).look() as connection:
            page = await listings.tenants(connection, Asked(request.query_params))
        return await self._list(request, "tenants.html", page, "name", "enabled")

    async def _locks(self, request: Request) -> Response:
        async with self._site.database(request).look() as connection:
            page = await listings.locks(connection, Asked(request.query_params))
        return await self._list(request, "locks.html", page)

    async def _alerts(self, request: Request) -> Response:
        async with self._site.database(request).look() as connection:
            page = await listings.alerts(connection, Asked(request.query_params))
        return await self._list(request, "alerts.html", page, "severity", "tenant", "all")

    async def _list(self, request: Request, template: str, page: listings.Page, *filters: str) -> Response:
        facts: Mapping[str, Any] = {
            "rows": page.rows,
            "next": page.next,
            "now": page.now,
            "filters": _filters(request, *filters),
            "severities": listings.SEVERITIES,
            "is_first": not request.query_params.get("after"),
        }
        return await self._site.page(request, template, facts)

    async def _act(self, request: Request) -> Response:
        form = await read_form(request)
        given = form.pop("form_token", [""])[-1]
        if not self._site.access.is_form_token(caller_of(request), given):
            raise Refused(
                403,
                "this form is of another time, or of another page",
                hint="load the page anew and do it again",
            )
        back = local_path(form.pop("back", ["/"])[-1])
        fields = {name: values[0] if len(values) == 1 else values for name, values in form.items()}
        done = await do(self._site, request, request.url.path.lstrip("/"), Asked(fields))
        return self._site.back(request, back, done.says)


def _filters(request: Request, *names: str) -> dict[str, str]:
    return {name: request.query_params.get(name, "") for name in names}


def local_path(text: str) -> str:
    """A path of this site, whatever somebody wrote into a form or a link; else the first page."""
    parts = urlsplit(text)
    is_local = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    if not is_local or parts.netloc or parts.scheme:
        return "/"
    return f"{parts.path}?{parts.query}" if parts.query else parts.path

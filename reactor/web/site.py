"""What the parts of the dashboard share, made once a process."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from reactor.settings import Settings
from reactor.web.access import Access, Caller
from reactor.web.databases import Database, databases
from reactor.web.live import Live
from reactor.web.notes import left_note, with_note
from reactor.web.refusal import Refused
from reactor.web.render import Renderer, address
from reactor.web.stream import Streams


class Site:
    """The databases, who may see them, and how pages are made."""

    def __init__(self, settings: Settings) -> None:
        self.access = Access(settings.dashboard_token, trusts_loopback=settings.dashboard_trust_loopback)
        self.render = Renderer()
        self.streams = Streams()
        self.databases = databases(settings)
        self._lives = {database.number: Live(database) for database in self.databases}

    def database(self, request: Request) -> Database:
        """The one that the request chose: ``?database=2``. Raises Refused."""
        chosen = request.query_params.get("database") or "1"
        for database in self.databases:
            if chosen == str(database.number):
                return database
        raise Refused(404, f"there is no database {chosen[:20]}", hint=f"1 to {len(self.databases)}")

    def live(self, request: Request) -> Live:
        return self._lives[self.database(request).number]

    def address(self, request: Request, path: str, **parameters: object) -> str:
        """A link that stays with the database of this page."""
        number = self.database(request).number
        return address(path, {**parameters, "database": number if number > 1 else None})

    async def page(
        self, request: Request, template: str, facts: Mapping[str, Any], *, status: int = 200
    ) -> Response:
        """A page with the bar above it."""
        look = await self.live(request).latest()
        caller = caller_of(request)
        return left_note(
            self.render.page(
                template,
                {
                    "look": look,
                    "status": look.status,
                    "here": here(request),
                    "current": request.url.path,
                    "link": lambda path, **more: self.address(request, path, **more),
                    "databases": self.databases,
                    "database": self.database(request),
                    "caller": caller,
                    "form_token": self.access.form_token(caller),
                    "note": request.state.note,
                    **facts,
                },
                status,
            ),
            request,
        )

    def back(self, request: Request, path: str, note: str) -> Response:
        """To a page that says what was done."""
        self.live(request).forget()
        return with_note(RedirectResponse(path, 303), note, request)

    def close(self) -> None:
        """Streams end, connections are cut."""
        self.streams.end()
        for database in self.databases:
            database.close()


def here(request: Request) -> str:
    """The page that was asked for, with what it was asked."""
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def caller_of(request: Request) -> Caller:
    """Who asks; the door has let them in."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller

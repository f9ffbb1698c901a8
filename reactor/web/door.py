"""What every request to the dashboard passes: who asks, whether another site sent it, and what went wrong
inside."""

from collections.abc import Mapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from reactor.errors import ReactorError, redact
from reactor.telemetry import names
from reactor.web import api
from reactor.web.access import COOKIE, SESSION, Caller, is_of_another_site
from reactor.web.access import Refusal as NotLetIn
from reactor.web.bodies import read_form
from reactor.web.headers import adding_headers
from reactor.web.notes import is_secure, note_of
from reactor.web.pages import local_path
from reactor.web.refusal import Refused, as_refusal, status_of
from reactor.web.render import address
from reactor.web.site import Site, here

log = structlog.get_logger("reactor.web")

_WHY: Mapping[NotLetIn, str] = {
    "elsewhere": "the dashboard answers on its own machine only, because REACTOR_DASHBOARD_TOKEN is not set",
    "disguised": "the dashboard answers on its own machine only, and this request came through a proxy, or "
    "asked for a name that is not this machine's: open http://127.0.0.1 with its port, or set "
    "REACTOR_DASHBOARD_TOKEN",
    "login": "log in, or send REACTOR_DASHBOARD_TOKEN as Bearer token",
    "wrong": "the token is wrong",
}


_ONCE_MORE = '<!doctype html><meta http-equiv="refresh" content="0"><title>reactor</title>'


class Door:
    """Wraps the dashboard."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        send = adding_headers(send)
        began = False

        async def noting(message: Any) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            response = await self._before(request)
            if response is None:
                # What is raised inside is answered here: a person gets a page, a program JSON.
                inside = {**scope, "starlette.exception_handlers": ({}, {})}
                await self._app(inside, receive, noting)
                return
        except Exception as error:
            if began:
                raise
            response = self._failed(request, error)
        await response(scope, receive, send)

    async def _before(self, request: Request) -> Response | None:
        """The answer, where it is not the dashboard's; ``None``: let them in."""
        path = request.url.path
        if path.startswith("/static/"):
            try:
                return self._site.render.file(path.removeprefix("/static/"))
            except KeyError:
                raise Refused(404, "there is no such file") from None
        if request.method not in ("GET", "HEAD") and is_of_another_site(request.headers):
            raise Refused(403, "another site sent this", hint="do it on the dashboard itself")
        caller = self._site.access.of(request)
        if path == "/login" and self._site.access.has_token:
            return await self._login(request, caller)
        if path == "/logout" and request.method == "POST":
            return _without_session(request)
        if not isinstance(caller, Caller):
            return self._not_let_in(request, caller)
        request.state.caller = caller
        request.state.note = note_of(request)
        return None

    async def _login(self, request: Request, caller: Caller | NotLetIn) -> Response:
        if request.method == "POST":
            form = await read_form(request)
            back = local_path(form.get("back", ["/"])[-1])
            if self._site.access.is_token(form.get("token", [""])[-1].strip().encode()):
                return self._with_session(request, back)
            log.warning(names.DASHBOARD_REFUSED, client=request.client.host if request.client else None)
            return self._login_page(back, 401, "That is not the token.")
        back = local_path(request.query_params.get("back", "/"))
        return RedirectResponse(back, 303) if isinstance(caller, Caller) else self._login_page(back)

    def _with_session(self, request: Request, back: str) -> Response:
        response = RedirectResponse(back, 303)
        response.set_cookie(
            COOKIE,
            self._site.access.new_session(),
            max_age=int(SESSION.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=is_secure(request),
        )
        return response

    def _login_page(self, back: str, status: int = 200, wrong: str = "") -> Response:
        return self._site.render.page("login.html", {"back": back, "wrong": wrong}, status)

    def _not_let_in(self, request: Request, why: NotLetIn) -> Response:
        status = 401 if why in ("login", "wrong") else 403
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        if _is_api(request):
            return api.answer({"error": _WHY[why], "hint": None, "detail": None}, status, headers)
        if why == "login" and request.method in ("GET", "HEAD"):
            if request.headers.get("sec-fetch-site") == "cross-site":
                # A link from elsewhere comes without our cookie, which is strict. From here it goes with it.
                return HTMLResponse(_ONCE_MORE)
            back = here(request)
            return RedirectResponse(address("/login", {"back": "" if back == "/" else back}), 303)
        return self._page_of(_WHY[why], None, status, headers)

    def _failed(self, request: Request, error: Exception) -> Response:
        known = _as_refusal(request, error)
        if known is None:
            log.error(names.DASHBOARD_FAILED, what=request.url.path, exc_info=error)
            known = Refused(
                500, "something went wrong in the dashboard", hint="the log of the replica says what"
            )
        if _is_api(request):
            return api.refusal(known)
        status = status_of(known)
        again = status == 503 and request.method == "GET"
        return self._page_of(known.message, known.hint, status, detail=known.detail, again=again)

    def _page_of(
        self,
        message: str,
        hint: str | None,
        status: int,
        headers: dict[str, str] | None = None,
        *,
        detail: str | None = None,
        again: bool = False,
    ) -> Response:
        """``again``: the page asks again by itself, which helps where only time does."""
        facts = {"message": redact(message), "hint": hint, "detail": redact(detail or "")}
        response = self._site.render.page("refused.html", {**facts, "status": status, "again": again}, status)
        response.headers.update(headers or {})
        return response


def _without_session(request: Request) -> Response:
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=is_secure(request))
    return response


def _as_refusal(request: Request, error: Exception) -> ReactorError | None:
    if not isinstance(error, HTTPException):
        return as_refusal(error)
    path = request.url.path[:200]
    is_unknown = error.status_code == 404
    return Refused(
        error.status_code, f"there is no {path}" if is_unknown else f"{request.method} is not for {path}"
    )


def _is_api(request: Request) -> bool:
    return request.url.path == "/api" or request.url.path.startswith("/api/")

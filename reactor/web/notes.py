"""What was done, said once on the next page: carried there by a cookie, since any replica may answer next."""

from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

_COOKIE = "reactor_note"
#: A browser drops a cookie of more than 4096 bytes.
_LONGEST = 3500


def note_of(request: Request) -> str:
    """What the action before this page came to; empty if there was none."""
    return unquote(request.cookies.get(_COOKIE, ""))[:_LONGEST]


def with_note(response: Response, note: str, request: Request) -> Response:
    """The next page says this."""
    text = quote(note)
    while len(text) > _LONGEST:
        note = note[: len(note) * 9 // 10]
        text = quote(f"{note}…")
    response.set_cookie(
        _COOKIE, text, max_age=60, httponly=True, samesite="strict", secure=is_secure(request)
    )
    return response


def left_note(response: Response, request: Request) -> Response:
    """The page has said it."""
    if _COOKIE in request.cookies:
        response.delete_cookie(_COOKIE, httponly=True, samesite="strict", secure=is_secure(request))
    return response


def is_secure(request: Request) -> bool:
    """Whether the browser came by https. Behind a proxy elsewhere only the browser itself says so."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")

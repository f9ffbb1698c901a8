"""What a request carries: read as long as it is short and comes soon."""

from urllib.parse import parse_qs

import anyio
import orjson
from starlette.requests import ClientDisconnect, Request

from reactor.web.refusal import Refused

MOST_BYTES = 64 * 1024
_SECONDS = 10.0


async def read_form(request: Request) -> dict[str, list[str]]:
    """The fields of a form of ours. Raises Refused."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Refused(415, "a form is expected here")
    try:
        return parse_qs((await _read(request)).decode(), keep_blank_values=True, max_num_fields=2000)
    except ValueError:  # also what is no UTF-8
        raise Refused(400, "the form cannot be read") from None


async def read_document(request: Request) -> dict[str, object]:
    """A JSON object; of nothing at all an empty one. Raises Refused."""
    body = await _read(request)
    try:
        found = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Refused(400, "the body is no JSON object", hint='write it as {"ids": [4711]}')
    return found


async def _read(request: Request) -> bytes:
    announced = request.headers.get("content-length", "0")
    body = bytearray()
    try:
        with anyio.fail_after(_SECONDS):
            if announced.isdecimal() and int(announced) <= MOST_BYTES:
                async for piece in request.stream():
                    body += piece
                    if len(body) > MOST_BYTES:
                        break
                else:
                    return bytes(body)
    except TimeoutError:
        raise Refused(408, "the request did not end") from None
    except ClientDisconnect:
        raise Refused(400, "the request was cut off") from None
    raise Refused(413, f"more than {MOST_BYTES // 1024} KiB are not read here")

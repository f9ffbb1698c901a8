"""``reactor health``: for a container's HEALTHCHECK, which knows healthy (0) and unhealthy (1) only."""

import asyncio
import http.client
import socket
from typing import Literal

from reactor import settings
from reactor.cli.output import print_json, say
from reactor.db import operations, pool
from reactor.db.borrow import LOST
from reactor.db.migrate import check_migrated
from reactor.errors import ReactorError, text_of
from reactor.settings import Settings

_SECONDS = 4.0


async def health(
    *,
    probe: Literal["ready", "live", "startup"] = "ready",
    via: Literal["auto", "http", "database"] = "auto",
    json: bool = False,
) -> int:
    """Asks the replica of this machine how it is. Exits 0 when it is well, otherwise 1, and nothing else.

    It asks http://REACTOR_HTTP_HOST:REACTOR_HTTP_PORT; where nobody answers there (and the port is not
    set), it asks the database whether a replica of this host, or the one named by REACTOR_REPLICA, lives.

    Example: ``HEALTHCHECK CMD ["reactor", "health", "--probe", "live"]``

    Parameters
    ----------
    probe
        ready: it can work. live: it is not stuck. startup: it has begun.
    via
        Whom to ask.
    json
        Write JSON to stdout.
    """
    try:
        well, said, asked = await _ask(settings.load(), probe, via)
    except ReactorError as error:
        well, said, asked = False, error.message, "nobody"
    except LOST as error:
        well, said, asked = False, text_of(error) or "the database does not answer", "database"
    if json:
        print_json({"healthy": well, "asked": asked, "said": said})
    else:
        say(("healthy: " if well else "unhealthy: ") + said)
    return 0 if well else 1


async def _ask(chosen: Settings, probe: str, via: str) -> tuple[bool, str, str]:
    if via != "database":
        answer = await asyncio.to_thread(_ask_http, chosen, f"/{_PATHS[probe]}")
        if answer is not None:
            return *answer, "http"
        if via == "http" or "http_port" in chosen.model_fields_set:
            return False, f"nobody answers on {chosen.http_host}:{chosen.http_port}", "http"
    async with asyncio.timeout(_SECONDS * 2):
        return *await _ask_database(chosen), "database"


_PATHS = {"ready": "readyz", "live": "livez", "startup": "startupz"}


def _ask_http(chosen: Settings, path: str) -> tuple[bool, str] | None:
    """None when nobody listens there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(chosen.http_host, chosen.http_host)  # noqa: S104
    connection = http.client.HTTPConnection(host, chosen.http_port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException) as error:
        return False, f"{path} does not answer: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return response.status == http.HTTPStatus.OK, f"{path} says {response.status} {response.reason}"


async def _ask_database(chosen: Settings) -> tuple[bool, str]:
    async with pool.connected(chosen.dsn, name="reactor health", pooler="transaction") as connection:
        await check_migrated(connection)
        replicas = await operations.list_replicas(connection)
    if "replica" in chosen.model_fields_set:
        # One that found its name taken has another, and says whose it was to be.
        mine = [one for one in replicas if chosen.replica in (one["replica"], one["info"].get("name"))]
        name = f"replica {chosen.replica}"
    else:
        mine = [one for one in replicas if one["replica"].startswith(f"{socket.gethostname()}-")]
        name = f"a replica of {socket.gethostname()}"
    if any(one["alive"] for one in mine):
        return True, f"{name} lives"
    return False, f"{name} has fallen silent" if mine else f"there is no {name.removeprefix('a ')}"

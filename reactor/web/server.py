"""The HTTP server: uvicorn in our own task group; it ends when the app does and takes no signals."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from reactor.errors import SettingError
from reactor.settings import Settings
from reactor.telemetry import names
from reactor.web.connections import HttpConnection

log = structlog.get_logger("reactor.web")


def bind(settings: Settings) -> socket.socket | None:
    """The listening socket; ``None`` when the default port is taken and nobody asked for it.

    Raises SettingError when a port that was set cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.http_host, settings.http_port))
    except OSError as error:
        listening.close()
        where = f"{settings.http_host}:{settings.http_port}"
        if "http_port" in settings.model_fields_set or "http_host" in settings.model_fields_set:
            raise SettingError(
                f"REACTOR_HTTP_HOST and REACTOR_HTTP_PORT: {where} cannot be listened on: {error.strerror}",
                hint="choose an address of this machine and a free port, or 0 for any free one",
            ) from None
        log.warning(
            names.HTTP_UNAVAILABLE,
            address=where,
            error=error.strerror,
            hint="it has no probes, metrics and dashboard now: set REACTOR_HTTP_PORT=0 for any free port",
        )
        return None
    return listening


def is_free(settings: Settings) -> bool:
    """Whether the address can be listened on."""
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((settings.http_host, settings.http_port))
        except OSError:
            return False
    return True


class _Server(uvicorn.Server):
    """Leaves the signals to the app."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def address_of(listening: socket.socket) -> str:
    """Where a browser of this machine finds it."""
    host, port = listening.getsockname()[:2]
    return _url({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(listening: socket.socket, routes: Sequence[BaseRoute], **also: str) -> None:
    """Serve until cancelled. ``also`` goes into the line of the log that says where."""
    server = _Server(
        uvicorn.Config(
            Starlette(routes=list(routes)),
            http=HttpConnection,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            # By default the environment says whom to believe, and a name in a header would be this machine's.
            forwarded_allow_ips=["127.0.0.1", "::1"],
            timeout_graceful_shutdown=2,
        )
    )
    log.info(names.HTTP_LISTENING, address=_url(*listening.getsockname()[:2]), **also)
    try:
        await server.serve([listening])
    finally:
        # Its own end waits for whoever reads slowly. A server that is only left stays in the event loop,
        # which takes the next one, with the same file number, for it: that one would never hear of a
        # connection.
        for each in getattr(server, "servers", ()):
            each.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        listening.close()

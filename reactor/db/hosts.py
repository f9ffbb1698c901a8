"""One connection to whichever of several servers answers.

The driver asks them one after the other, and its limit is for all of them together: the first, when it is
gone without a word (a machine that lost its power, a network that drops packets), would use it up, and the
one that took over would never be asked.
"""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import anyio
import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

#: Seconds of silence after which the next one is asked as well; whoever answers first is taken.
_HEAD_START = 1.0
#: What says that another server may do better; any other error is about the URL, and the same everywhere.
_ELSEWHERE = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.TargetServerAttributeNotMatched,
)


class Hosts:
    """Those of a URL. The one that answered last is asked first."""

    def __init__(self, url: str) -> None:
        self._hosts = hosts_of(url)

    async def connect(self, url: str, **options: Any) -> Connection:
        """As the driver's, which is asked where there is one host only."""
        if len(self._hosts) < 2:
            alone: Connection = await asyncpg.connect(url, **options)
            return alone
        found: list[Connection] = []
        errors: list[Exception] = []

        async def ask(host: str, port: int | None, failed: anyio.Event) -> None:
            try:
                answered: Connection = await asyncpg.connect(url, host=host, port=port, **options)
            except Exception as error:
                errors.append(error)
                if not isinstance(error, _ELSEWHERE):
                    group.cancel_scope.cancel()
                failed.set()
            else:
                if found:
                    answered.terminate()
                    return
                found.append(answered)
                self._hosts.sort(key=(host, port).__ne__)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for host, port in list(self._hosts):
                failed = anyio.Event()
                group.start_soon(ask, host, port, failed, name=f"connect to {host}")
                with anyio.move_on_after(_HEAD_START):
                    await failed.wait()
        if found:
            return found[0]
        # What is wrong everywhere, else why one does not answer: it says more than that another is a standby.
        raise min(errors, key=lambda error: _ELSEWHERE.index(kind) if (kind := _kind(error)) else -1)


def _kind(error: Exception) -> type[Exception] | None:
    return next((kind for kind in _ELSEWHERE if isinstance(error, kind)), None)


def hosts_of(url: str) -> list[tuple[str, int | None]]:
    """Host and port of each server that a URL names, if it is more than one, else nothing.

    What cannot be read is left to the driver, which says what is wrong with it. So is ``prefer-standby``, for
    which all must have been asked.
    """
    try:
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if query.get("target_session_attrs") == "prefer-standby":
            return []
        # As the driver has it: a port in the query goes with hosts in the query, and there before their own.
        ports: list[int | None] = [None]
        hosts = [unquote(host) for host in parts.netloc.rpartition("@")[2].split(",")]
        if hosts == [""]:
            hosts = query.get("host", "").split(",")
            ports = [int(port) for port in query["port"].split(",")] if "port" in query else ports
        if len(hosts) < 2 or len(ports) not in (1, len(hosts)):
            return []
        if len(ports) == 1:
            ports *= len(hosts)
        return [_host_and_port(host, port) for host, port in zip(hosts, ports, strict=True)]
    except ValueError:
        return []


def _host_and_port(written: str, port: int | None) -> tuple[str, int | None]:
    """Raises ValueError where it is neither a name, nor an address, nor a directory."""
    if written.startswith("/"):
        return written, port
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::([0-9]+))?", written)
    if found is None:
        raise ValueError(written)
    return found[1] or found[2], port or (int(found[3]) if found[3] else None)

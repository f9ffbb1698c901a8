"""Servers that are not durable, for tests: in memory where there is room for them.

A test's database is six hundred small files. A disk's file system takes a tenth of a second or more to copy
them, memory takes a few milliseconds, and there are more than a thousand tests. What has to outlive a crash
(tests/failure) has durable servers of its own, on a disk.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from reactor.db import embedded
from reactor.db.binaries import find_binaries, server_account
from reactor.errors import ReactorError

_MEMORY = Path("/dev/shm")
_PREFIX = "reactor-test-"
#: Bytes. A container has 64 MB there as a rule, which is too little.
_ROOM = 4 << 30


@contextlib.contextmanager
def running(
    *, tcp_port: int | None = None, bin_dir: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[embedded.EmbeddedServer]:
    """A server that forgets everything in a crash. Raises ReactorError where none can be started."""
    chosen = {**embedded.FAST, "max_connections": "200", **(settings or {})}
    base = None
    if (memory := room()) is not None:
        _sweep()
        base = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=memory))
        chosen["max_wal_size"] = "512MB"
    try:
        own = embedded.start(base, tcp_port=tcp_port, settings=chosen, bin_dir=bin_dir)
        try:
            yield own
        finally:
            own.stop()
    finally:
        if base is not None:
            shutil.rmtree(base, ignore_errors=True)


def room() -> Path | None:
    """A directory in memory, where there is room for a server."""
    fit = os.access(_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM
    return _MEMORY if fit else None


def _sweep() -> None:
    """Removes what was left by test runs that were killed."""
    account = server_account()
    for base in _MEMORY.glob(f"{_PREFIX}*"):
        # Somebody's who lives is locked; one that is just being made has no lock yet.
        if (base / "owner.lock").exists():
            with contextlib.suppress(OSError, ReactorError):
                left = embedded.EmbeddedServer(
                    base, find_binaries(None, account), account, None, {}, temporary=True
                )
                left.clean_up()

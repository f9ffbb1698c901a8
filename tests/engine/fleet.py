"""Replicas as processes, which can be stopped, continued and killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.patience import patience

ROOT = Path(__file__).parents[2]


class Ended(AssertionError):
    """A replica ended before it said what was waited for."""


class ReplicaProcess:
    """One replica of tests.engine.fleet_app."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.ended = False
        self._more = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())
            self._more.set()
        self.ended = True
        self._more.set()

    async def says(self, text: str, within: float = 20.0) -> None:
        """Wait until it said this on a line of its own. Raises Ended when it cannot any more."""
        try:
            async with patience(within):
                while text not in self.lines:
                    if self.ended:
                        raise Ended(f"it ended without saying {text!r}, but: {self.lines}")
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"it did not say {text!r} within {within} s, but: {self.lines}") from None

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    async def ends(self, within: float = 20.0) -> int:
        """Wait for its end; its exit code."""
        async with patience(within):
            return await self.process.wait()


@asynccontextmanager
async def replica(url: str, **settings: object) -> AsyncIterator[ReplicaProcess]:
    """A replica, ready; killed at the end of the block if it still lives. FLEET_… go to the app."""
    environment = {
        **os.environ,
        "REACTOR_DATABASE_URL": url,
        "REACTOR_LOG_LEVEL": "warning",
        "REACTOR_CANARY_SECONDS": "0",
        **{
            (name if name.startswith("FLEET_") else f"REACTOR_{name.upper()}"): str(value)
            for name, value in settings.items()
        },
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.engine.fleet_app",
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    started = ReplicaProcess(process)
    try:
        await started.says("ready")
        yield started
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await started._reader

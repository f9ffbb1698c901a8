"""Worker processes that begin when they are told to, so that starting Python is not measured."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

HERE = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK")


def environment() -> dict[str, str]:
    """Ours, in which the programs find the benchmarks and the package."""
    return {**os.environ, "PYTHONPATH": str(HERE.parent)}


class Held:
    """A process that prints lines of JSON, begins at its first line of input and ends with its input."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def said(self, key: str, limit: float = 120) -> dict[str, float]:
        """The next line that has this key."""
        assert self.process.stdout is not None
        async with asyncio.timeout(limit):
            while line := await self.process.stdout.readline():
                if line.startswith(b"{") and key in (found := json.loads(line)):
                    return found
        raise RuntimeError(f"the worker ended without a word of {key}: {await self._complaint()}")

    async def _complaint(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode().strip()[-400:]

    def begin(self) -> int:
        """Let it begin; the time of that, which all processes share."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        return time.monotonic_ns()

    async def end(self) -> dict[str, list[float]]:
        """Let it end; what it says last."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return await self.said("count", 60)

    def peak_mb(self) -> float:
        """The most memory it ever had resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


@asynccontextmanager
async def held(*command: str) -> AsyncIterator[Held]:
    """A worker that is ready to begin; it is killed in the end if it is still there."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        limit=1 << 26,
    )
    try:
        worker = Held(process)
        await worker.said("ready", 30)
        yield worker
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def replica(url: str, report: int = 0, *rest: str) -> tuple[str, ...]:
    """The command of one replica of ours."""
    return (sys.executable, "-m", "benchmarks.replica", url, str(report), *rest)


def consumer(url: str) -> tuple[str, ...]:
    """The command of the least consumer of a plain outbox."""
    return (sys.executable, "-m", "benchmarks.consumer", url)


def cpu_seconds(*pids: int) -> float:
    """Processor time that the processes have used; one that is gone counts as nothing."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS

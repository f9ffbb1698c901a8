"""One server for a whole run, a fresh database for each measurement, contenders as processes."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg

from benchmarks import install
from reactor.db import embedded

HERE = Path(__file__).parent
_numbers = count(1)

#: Name and program of every contender; ours is first.
CONTENDERS: dict[str, str] = {
    "reactor": "reactor_.py",
    "floor": "floor.py",
    "graphile-worker": "graphile.mjs",
    "pg-boss": "pgboss.mjs",
    "pgqueuer": "pgqueuer_.py",
    "awa-pg": "awa_.py",
    "chancy": "chancy_.py",
    "procrastinate": "procrastinate_.py",
}

#: Below a few thousand jobs a second: they drain a quarter as many, and only in the first turn, so that a
#: whole run ends within half an hour.
SLOW = ("chancy", "procrastinate")


class Arena:
    """The server, and what runs against it."""

    def __init__(self, server: embedded.EmbeddedServer) -> None:
        self.server = server

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """A database of its own, on a server that has nothing else to do."""
        name = f"bench_{next(_numbers)}"
        admin = await asyncpg.connect(self.server.url())
        await admin.execute(f"create database {name}")
        await admin.execute("checkpoint")
        try:
            yield self.server.url(name, tcp=True)
        finally:
            await admin.execute(f"drop database {name} with (force)")
            await admin.close()

    def command(self, contender: str, *arguments: str) -> list[str]:
        program = CONTENDERS[contender]
        if program.endswith(".mjs"):
            binary = install.node()
            assert binary is not None
            return [str(binary), str(install.NODE_HOME / program), *arguments]
        python = sys.executable if contender == "reactor" else str(install.PYTHON)
        return [python, str(HERE / "contenders" / program), *arguments]

    async def start(self, contender: str, *arguments: str) -> asyncio.subprocess.Process:
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        return await asyncio.create_subprocess_exec(
            *self.command(contender, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )

    async def call(self, contender: str, *arguments: str, limit: float = 120) -> dict[str, float]:
        """Run a command to its end; its last line of JSON."""
        process = await self.start(contender, *arguments)
        try:
            out, err = await asyncio.wait_for(process.communicate(), limit)
        except TimeoutError:
            process.kill()
            raise RuntimeError(f"{contender} {arguments[0]}: not done within {limit:g} s") from None
        if process.returncode:
            raise RuntimeError(f"{contender} {arguments[0]}: {err.decode().strip()[-400:]}")
        lines = [line for line in out.decode().splitlines() if line.startswith("{")]
        return json.loads(lines[-1]) if lines else {}

    async def drain(self, contender: str, jobs: int, tenants: int) -> float:
        """Jobs a second, from the start of the worker to the last job's handler."""
        if contender in SLOW and jobs >= 20_000:
            jobs //= 4
        async with self.database() as url:
            await self.call(contender, "setup", url)
            await self.call(contender, "fill", url, str(jobs), str(tenants))
            result = await self.call(contender, "drain", url, str(jobs))
            return jobs / result["seconds"]

    async def latencies(self, contender: str, jobs: int, pause: float) -> list[float]:
        """Milliseconds from just before the enqueueing call to the handler's first line."""
        warm = max(5, jobs // 20)
        async with self.database() as url:
            await self.call(contender, "setup", url)
            worker = await self.start(contender, "serve", url, str(jobs + warm))
            try:
                assert worker.stdout is not None
                await asyncio.wait_for(worker.stdout.readline(), 30)
                await asyncio.sleep(1.5)
                await self.call(contender, "send", url, str(jobs + warm), str(pause), limit=120)
                out, err = await asyncio.wait_for(worker.communicate(), 60)
            except TimeoutError:
                raise RuntimeError(f"{contender} serve: jobs are missing") from None
            finally:
                if worker.returncode is None:
                    worker.kill()
                    await worker.wait()
            lines = [line for line in out.decode().splitlines() if line.startswith("{")]
            if not lines:
                raise RuntimeError(f"{contender} serve ended early: {err.decode().strip()[-400:]}")
            found: list[float] = json.loads(lines[-1])["latencies_ms"]
            return found[warm:]


@asynccontextmanager
async def arena() -> AsyncIterator[Arena]:
    """A server with fsync and synchronous_commit on, as it is installed but for its memory."""
    server = embedded.start(
        tcp_port=0,
        settings={"shared_buffers": "512MB", "max_wal_size": "4GB", "max_connections": "200"},
    )
    try:
        yield Arena(server)
    finally:
        server.stop()

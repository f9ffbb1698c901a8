"""``reactor run`` as a process of its own, and what it logs."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def is_setting(name: str) -> bool:
    """Whether a variable of the environment may decide what the reactor does."""
    return name.startswith(("REACTOR_", "PG")) or name == "DATABASE_URL"


def without_settings() -> dict[str, str]:
    """The environment, of which no setting of the machine decides a test."""
    return {name: value for name, value in os.environ.items() if not is_setting(name)}


@dataclass
class Running:
    """A `reactor run` and what it has logged."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    @property
    def told(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.told]

    def about(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log about this."""
        return [line for line in self.told if line["event"] == event]

    async def says(self, event: str, times: int = 1) -> None:
        """Wait until it has logged this event so often."""
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            while self.events.count(event) < times:
                line = await self.process.stderr.readline()
                assert line, f"it ended without {event}: {self.lines}"
                self.lines.append(line.decode())

    async def end(self, with_signal: int) -> int:
        self.process.send_signal(with_signal)
        async with asyncio.timeout(60):
            _, err = await self.process.communicate()
        self.lines += err.decode().splitlines()
        return self.process.returncode or 0


@asynccontextmanager
async def replica(folder: Path, url: str, *words: str, **settings: str) -> AsyncIterator[Running]:
    """`reactor run` in a folder of the user's, from start to whatever end."""
    chosen = {"REACTOR_DATABASE_URL": url, "REACTOR_HTTP_PORT": "0", "REACTOR_CANARY_SECONDS": "0"}
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("reactor"), "run", *words),
        cwd=folder,
        env=without_settings() | chosen | settings,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

"""The processes outside the database that handlers' effects arrive at, and what they wrote down."""

import asyncio
import json
import random
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from uuid import UUID

import asyncpg

from tests.failure.sending import HTTP_PORT, SMTP_PORT

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Receiver:
    """One of them. It keeps its port and its file when it is killed and started again."""

    kind: str
    port: int
    book: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.failure.outside", self.kind, str(self.port), str(self.book)),
            cwd=ROOT,
        )

    async def answers(self, within: float = 30) -> None:
        until = monotonic() + within
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            except OSError:
                if monotonic() > until:
                    raise
                await asyncio.sleep(0.05)

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self.process is not None:
            await self.process.wait()


@dataclass(slots=True)
class Receivers:
    """A web server and a mail server."""

    directory: Path
    all: list[Receiver] = field(default_factory=list)

    async def start(self) -> dict[str, str]:
        """Start both; the environment that tells replicas where they are."""
        kinds = ("http", "smtp")
        self.all = [
            Receiver(kind, port, self.directory / f"{kind}.jsonl")
            for kind, port in zip(kinds, _free_ports(len(kinds)), strict=True)
        ]
        for receiver in self.all:
            await receiver.start()
        for receiver in self.all:
            await receiver.answers()
        http, smtp = self.all
        return {HTTP_PORT: str(http.port), SMTP_PORT: str(smtp.port)}

    async def stop(self) -> None:
        for receiver in self.all:
            await receiver.kill()

    async def load(self, connection: asyncpg.Connection) -> None:
        """Their books, into the table that the ledger reads."""
        for receiver in self.all:
            if not receiver.book.exists():
                continue
            lines = [json.loads(line) for line in receiver.book.read_text().splitlines()]
            await connection.copy_records_to_table(
                "proof_arrivals",
                schema_name="public",
                columns=["channel", "subject", "key", "answer"],
                records=[(x["channel"], UUID(x["subject"]), x["key"], x["answer"]) for x in lines],
            )


def _free_ports(count: int) -> list[int]:
    # Below the range that outgoing connections take theirs from: nobody may have one while we restart.
    found: list[int] = []
    for port in random.sample(range(20001, 30000), 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free port")

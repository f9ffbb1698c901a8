"""The examples do what they say."""

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio

from reactor.testing import DatabaseClock, running
from tests.engine.conftest import World

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested_here() -> None:
    text = Path(__file__).read_text()
    assert all(f'example("{path.stem}")' in text for path in EXAMPLES.glob("*.py"))


async def test_invoices_are_reminded_of_when_they_are_due_and_not_paid(world: World) -> None:
    module = example("invoice_reminder")
    lines = (EXAMPLES / "invoice_reminder.py").read_text().splitlines()
    assert len(lines) < 60
    await world.conn.execute(module.SCHEMA)
    clock = DatabaseClock(world.conn)
    tenant = await world.tenant()
    await world.conn.execute(
        "insert into invoices (tenant_id, total, paid_at) "
        "values ($1, 10, null), ($1, 20, now()), ($1, 5000, null)",
        tenant,
    )
    assert (await world.drain(module.app)).delayed == 3
    reminded = "select array_agg(total::int order by total) from invoices where reminders > 0"
    assert await world.conn.fetchval(reminded) is None
    await clock.advance(timedelta(days=8))
    await world.drain(module.app)
    assert await world.conn.fetchval(reminded) == [5000]
    await clock.advance(timedelta(days=8))
    await world.drain(module.app)
    assert await world.conn.fetchval(reminded) == [10, 5000]


class Receiver:
    """A small web server that answers as it is told, and remembers what came."""

    def __init__(self) -> None:
        self.answers: dict[str, list[int]] = {}
        self.requests: list[tuple[str, str]] = []

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            head, _, body = data.partition(b"\r\n\r\n")
            headers = {
                line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip()
                for line in head.decode().splitlines()[1:]
            }
            while len(body) < int(headers.get("content-length", 0)):
                body += await stream.receive()
            path = head.split()[1].decode()
            self.requests.append((path, headers["idempotency-key"]))
            answers = self.answers.get(path, [])
            status = answers.pop(0) if answers else 200
            await stream.send(
                f"HTTP/1.1 {status} X\r\nRetry-After: 0.05\r\nContent-Length: 0\r\n\r\n".encode()
            )


async def test_a_webhook_goes_to_every_subscriber_and_is_repeated_where_it_failed(world: World) -> None:
    module = example("webhook_fanout")
    await world.conn.execute(module.SCHEMA)
    tenant = await world.tenant()
    receiver = Receiver()
    receiver.answers = {"/flaky": [429, 200], "/gone": [410]}
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, receiver.serve)
        await world.conn.execute(
            "insert into subscribers (tenant_id, url) select $1, $2 || p from unnest($3::text[]) p",
            tenant,
            f"http://127.0.0.1:{port}",
            ["/fine", "/flaky", "/gone"],
        )
        async with running(module.app, world.url):
            shipment = await world.conn.fetchval(
                "insert into shipments (tenant_id) values ($1) returning id", tenant
            )
            await world.conn.execute("update shipments set status = 'left' where id = $1", shipment)
            await world.conn.execute("update shipments set status = 'left' where id = $1", shipment)
            await world.until("select count(*) = 3 from reactor.history where event_type = 'webhook.deliver'")
        group.cancel_scope.cancel()
    await listener.aclose()
    assert sorted(path for path, _ in receiver.requests) == ["/fine", "/flaky", "/flaky", "/gone"]
    keys = {path: {key for other, key in receiver.requests if other == path} for path, _ in receiver.requests}
    assert len(keys["/flaky"]) == 1
    assert len(set.union(*keys.values())) == 3
    assert await world.count("reactor.history where reason = 'the subscriber is gone'") == 1


async def test_readings_are_added_up_by_the_hour_and_the_day_is_closed_once(world: World) -> None:
    module = example("tenant_batch")
    await world.conn.execute(module.SCHEMA)
    clock = DatabaseClock(world.conn)
    first, second = await world.tenant(), await world.tenant()
    await world.drain(module.app)
    now = await clock.now()
    hour = datetime(now.year, now.month, now.day, now.hour, tzinfo=UTC)
    for tenant in (first, second):
        await world.conn.execute(
            "insert into readings (tenant_id, taken_at, kwh) "
            "select $1, $2::timestamptz + make_interval(mins => n % 120), 0.5 "
            "from generate_series(1, 1000) n",
            tenant,
            hour,
        )
    await world.drain(module.app)
    rows = await world.conn.fetch("select tenant_id, count(*) as n, sum(kwh) as kwh from hours group by 1")
    assert {(row["tenant_id"], row["n"], row["kwh"]) for row in rows} == {(first, 2, 500), (second, 2, 500)}

    await clock.advance(timedelta(hours=24, minutes=1))
    await world.drain(module.app)
    assert await world.dead() == []
    reports: list[Any] = await world.conn.fetch("select tenant_id, kwh from reports")
    assert sorted(row["tenant_id"] for row in reports) == sorted([first, second])

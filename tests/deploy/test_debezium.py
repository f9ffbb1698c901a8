"""docs/debezium.md: its statements are run, and what a reader of the slot is sent is what its table says."""

import json
import re
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from reactor import Context, Discard, Event, Reactor
from reactor.cli import checks_replication
from reactor.db import migrate, pool
from reactor.errors import ReactorError
from reactor.testing import drain
from tests import servers
from tests.conftest import Server, run_async

PAGE = (Path(__file__).parents[2] / "docs" / "debezium.md").read_text()
SQL = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
(ROLE, PUBLICATION, WITHOUT_CANARY, BOUND, LOOK, GOODBYE) = SQL
CONFIG: dict[str, str] = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])["config"]
#: The router's options, as its documentation lists them.
ROUTER = {
    "table.op.invalid.behavior",
    "table.field.event.id",
    "table.field.event.key",
    "table.field.event.timestamp",
    "table.field.event.payload",
    "table.expand.json.payload",
    "table.fields.additional.placement",
    "table.field.event.schema.version",
    "route.by.field",
    "route.topic.regex",
    "route.topic.replacement",
    "route.tombstone.on.empty.payload",
    "tracing.span.context.field",
    "tracing.operation.name",
    "tracing.with.context.field.only",
}

#: A dead event raises an alert, which is an event of its own.
HANDLED = "select count(*) from reactor.history where event_type like 'invoice.%'"

app = Reactor()
failing = True


@app.on("invoice.paid")
async def paid(event: Event[Any], ctx: Context) -> None: ...


@app.on("invoice.odd")
async def odd(event: Event[Any], ctx: Context) -> None:
    raise Discard("odd")


@app.on("invoice.fails", max_attempts=1)
async def fails(event: Event[Any], ctx: Context) -> None:
    if failing:
        raise RuntimeError("not yet")


@pytest.fixture(scope="module")
def logical() -> Iterator[Server]:
    """A server that decodes its log, with a database prepared as the page says, to be copied."""
    settings = {"wal_level": "logical", "max_wal_size": "64MB", "min_wal_size": "32MB"}
    with ExitStack() as stack:
        try:
            own = stack.enter_context(servers.running(tcp_port=0, settings=settings))
        except ReactorError as error:
            pytest.skip(f"no embedded server: {error}")
        server = Server(own.url(), own)
        server.admin(
            "create role crm_owner login password 'for-tests' createrole",
            "create database prepared owner crm_owner",
            ROLE.replace("…", "for-tests"),
        )

        async def prepare() -> None:
            url = as_role(server, "crm_owner", "prepared")
            await migrate.migrate(lambda: pool.connect(url, name="reactor migrate"))
            async with pool.connected(url) as owner:
                await owner.execute(PUBLICATION)

        run_async(prepare())
        yield server


def as_role(server: Server, role: str, database: str) -> str:
    assert server.own is not None
    return f"postgresql://{role}:for-tests@127.0.0.1:{server.own.tcp_port}/{database}"


@pytest.fixture
async def streamed(logical: Server) -> AsyncIterator[dict[str, str]]:
    """Such a database; its URLs by role."""
    logical.admin("create database crm template prepared owner crm_owner")
    urls = {role: as_role(logical, role, "crm") for role in ("crm_owner", "debezium")}
    yield {**urls, "admin": logical.url("crm")}
    async with pool.connected(logical.admin_url) as admin:
        await admin.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = 'crm'"
        )
    logical.admin("drop database crm with (force)")


def inserted(messages: list[bytes]) -> list[dict[str, str | None]]:
    """The rows of pgoutput's Insert messages. Nothing else may change anything."""
    columns: list[str] = []
    rows = []
    for message in messages:
        kind = message[:1]
        if kind == b"R":
            rest = message[5:].split(b"\0", 2)[2][1:]
            (number,), rest = struct.unpack("!H", rest[:2]), rest[2:]
            columns = []
            for _ in range(number):
                name, rest = rest[1:].split(b"\0", 1)
                columns.append(name.decode())
                rest = rest[8:]
        elif kind == b"I":
            rest, row = message[8:], {}
            for name in columns:
                if rest[:1] == b"n":
                    row[name], rest = None, rest[1:]
                else:
                    (length,) = struct.unpack("!i", rest[1:5])
                    row[name], rest = rest[5 : 5 + length].decode(), rest[5 + length :]
            rows.append(row)
        else:
            assert kind in (b"B", b"C"), f"{kind!r} is no insert"
    return rows


async def read(connection: pool.Connection) -> list[dict[str, str | None]]:
    found = await connection.fetch(
        "select data from pg_logical_slot_get_binary_changes("
        "$1, null, null, 'proto_version', '1', 'publication_names', $2)",
        CONFIG["slot.name"],
        CONFIG["publication.name"],
    )
    rows = inserted([row["data"] for row in found])
    return [row for row in rows if row["event_type"] != "alert.created"]


async def test_the_stream_has_each_event_once_at_its_commit_and_nothing_of_what_became_of_it(
    streamed: dict[str, str],
) -> None:
    global failing
    async with (
        pool.connected(streamed["debezium"]) as reader,
        pool.connected(streamed["admin"]) as conn,
    ):
        await reader.execute(
            f"select pg_create_logical_replication_slot('{CONFIG['slot.name']}', 'pgoutput')"
        )
        tenant = await conn.fetchval("insert into public.tenants (name) values ('Acme') returning id")

        async def emit(event_type: str, **options: Any) -> None:
            named = "".join(f", {name} => {value}" for name, value in options.items())
            await conn.execute(f"select reactor.emit('{tenant}', '{event_type}', '{{\"n\": 1}}'{named})")

        failing = True
        await emit("invoice.paid")
        await emit("invoice.odd")
        await emit("invoice.fails")
        await emit("invoice.later", delay="interval '1 hour'")
        transaction = conn.transaction()
        await transaction.start()
        await emit("invoice.never")
        await transaction.rollback()
        await drain(app, streamed["admin"], canary_seconds=0)
        assert await conn.fetchval(HANDLED) == 2
        dead = await conn.fetchrow("select id, event_id from reactor.dead_events")
        assert dead is not None

        rows = await read(reader)
        assert [row["event_type"] for row in rows] == [
            "invoice.paid",
            "invoice.odd",
            "invoice.fails",
            "invoice.later",
        ]
        assert {row["tenant_id"] for row in rows} == {str(tenant)}
        assert [row["payload"] for row in rows] == ['{"n": 1}'] * 4

        failing = False
        await conn.execute("select reactor.replay(array[$1::bigint])", dead["id"])
        await drain(app, streamed["admin"], canary_seconds=0)
        assert await conn.fetchval(HANDLED) == 3
        again = await read(reader)
        assert [(row["event_type"], row["event_id"]) for row in again] == [
            ("invoice.fails", str(dead["event_id"]))
        ]


async def test_the_readers_role_may_read_the_outbox_and_nothing_else(streamed: dict[str, str]) -> None:
    async with pool.connected(streamed["debezium"]) as reader:
        assert await reader.fetchval("select count(*) from reactor.events") == 0
        for statement in (
            "delete from reactor.events",
            "select count(*) from reactor.history",
            "select count(*) from public.tenants",
            "select reactor.emit(gen_random_uuid(), 'x')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.execute(statement)


async def test_the_canary_is_in_the_stream_until_it_is_filtered(streamed: dict[str, str]) -> None:
    async with (
        pool.connected(streamed["debezium"]) as reader,
        pool.connected(streamed["crm_owner"]) as owner,
        pool.connected(streamed["admin"]) as conn,
    ):
        await reader.execute(
            f"select pg_create_logical_replication_slot('{CONFIG['slot.name']}', 'pgoutput')"
        )
        tenant = await conn.fetchval("insert into public.tenants (name) values ('Acme') returning id")
        for step in ("with it", "without it"):
            for event_type in ("reactor.canary", "invoice.paid"):
                await conn.execute("select reactor.emit($1, $2)", tenant, event_type)
            found = [row["event_type"] for row in await read(reader)]
            assert found == (["reactor.canary"] if step == "with it" else []) + ["invoice.paid"], step
            await owner.execute(WITHOUT_CANARY)


async def test_the_configuration_names_what_exists(streamed: dict[str, str]) -> None:
    prefix = "transforms.outbox."
    options = {name.removeprefix(prefix): value for name, value in CONFIG.items() if name.startswith(prefix)}
    assert options.pop("type") == "io.debezium.transforms.outbox.EventRouter"
    assert set(options) <= ROUTER
    # A timestamptz comes as text, and the router reads a number.
    assert "table.field.event.timestamp" not in options
    async with pool.connected(streamed["admin"]) as conn:
        columns = {
            row["attname"]
            for row in await conn.fetch(
                "select attname from pg_attribute where attrelid = 'reactor.events'::regclass and attnum > 0"
            )
        }
        placed = [pair.split(":") for pair in options["table.fields.additional.placement"].split(",")]
        named = [options[name] for name in options if name.startswith("table.field.event.")]
        assert {*named, options["route.by.field"], *(column for column, _ in placed)} <= columns
        assert {where for _, where in placed} == {"header"}
        published = await conn.fetchval(
            "select pubname from pg_publication_tables where schemaname || '.' || tablename = $1",
            CONFIG["table.include.list"],
        )
        assert published == CONFIG["publication.name"]
        assert CONFIG["publication.autocreate.mode"] == "disabled"


async def test_doctor_tells_of_a_slot_that_keeps_the_log_and_of_one_that_is_lost(
    streamed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = CONFIG["slot.name"]
    async with (
        pool.connected(streamed["debezium"]) as reader,
        pool.connected(streamed["admin"]) as conn,
    ):

        async def write() -> None:
            # A file of the log is the least that can be removed.
            for _ in range(4):
                await conn.execute("select pg_logical_emit_message(false, 'test', repeat('x', 8000))")
                await conn.execute("select pg_switch_wal()")

        async def look() -> list[tuple[str, str]]:
            found = await checks_replication.replication(conn)
            return [(one.level, one.finding) for one in found if one.check == "replication"]

        assert await look() == []
        await reader.execute(f"select pg_create_logical_replication_slot('{slot}', 'pgoutput')")
        await write()
        assert await look() == [("ok", "1 slot, none far behind")]
        monkeypatch.setattr(checks_replication, "_KEPT", 1 << 20)
        ((level, finding),) = await look()
        assert level == "remark"
        assert re.fullmatch(rf"slot {slot} keeps \d+ MB of WAL, and nobody reads it", finding)
        assert {row["slot_name"] for row in await conn.fetch(LOOK)} == {slot}

        for statement in BOUND.replace("20GB", "1MB").split(";")[:2]:
            await conn.execute(statement)
        try:
            while not await conn.fetchval("select current_setting('max_slot_wal_keep_size') = '1MB'"):
                pass
            await write()
            await conn.execute("checkpoint")
            assert await look() == [
                ("wrong", f"slot {slot} is lost: the server removed what its reader had not read yet")
            ]
        finally:
            await conn.execute("alter system reset max_slot_wal_keep_size")
            await conn.execute("select pg_reload_conf()")
        assert ("outbox", "ok") in [
            (one.check, one.level) for one in await checks_replication.replication(conn)
        ]
        for statement in GOODBYE.split(";")[:2]:
            await conn.execute(statement)
        assert await checks_replication.replication(conn) == []


async def test_doctor_says_that_a_publication_alone_streams_nothing(conn: pool.Connection) -> None:
    if await conn.fetchval("show wal_level") == "logical":
        pytest.skip("this server's wal_level is logical")
    await conn.execute("create publication outbox_here for table reactor.events")
    (finding,) = [one for one in await checks_replication.replication(conn) if one.check == "outbox"]
    assert finding.level == "remark"
    assert "outbox_here" in finding.finding
    assert "wal_level is replica" in finding.finding

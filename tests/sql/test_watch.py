"""reactor.watch: any table becomes an event source, whatever its names are, without harm to its writers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from reactor.db.pool import Connection

TABLE = """
    create table public.invoices (
        id uuid primary key default gen_random_uuid(),
        tenant_id uuid,
        number int,
        total numeric(12, 2) not null default 0,
        status text not null default 'new',
        notes json
    )
"""


@pytest.fixture
def conn(rolled_back: Connection) -> Connection:
    """A transaction that leaves nothing behind, instead of a database for each test."""
    return rolled_back


@asynccontextmanager
async def refused(conn: Connection, told: str, sqlstate: str = "RX003") -> AsyncIterator[None]:
    with pytest.raises(asyncpg.PostgresError, match=told) as error:
        async with conn.transaction():
            yield
    assert error.value.sqlstate == sqlstate


@pytest.fixture
async def tenant(conn: Connection) -> UUID:
    await conn.execute(TABLE)
    return await conn.fetchval("insert into public.tenants (name) values ('a') returning id")


async def insert(conn: Connection, tenant: UUID | None, **columns: Any) -> UUID:
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", ${n}" for n in range(2, 2 + len(columns)))
    return await conn.fetchval(
        f"insert into public.invoices (tenant_id{names}) values ($1{values}) returning id",
        tenant,
        *columns.values(),
    )


async def emitted(conn: Connection) -> list[asyncpg.Record]:
    return await conn.fetch("delete from reactor.events returning *")


async def types(conn: Connection) -> list[str]:
    return sorted(row["event_type"] for row in await emitted(conn))


async def test_inserts_updates_and_deletes_emit_with_the_row_as_subject(
    conn: Connection, tenant: UUID
) -> None:
    await conn.execute(
        "select reactor.watch('public.invoices', 'invoice.' || o, array[o]) "
        "from unnest(array['insert', 'update', 'delete']) o"
    )
    row = await insert(conn, tenant)
    (event,) = await emitted(conn)
    assert (event["event_type"], event["subject_id"], event["tenant_id"]) == ("invoice.insert", row, tenant)
    assert event["payload"] == {}
    await conn.execute("update public.invoices set total = 5")
    await conn.execute("delete from public.invoices")
    assert [(e["event_type"], e["subject_id"]) for e in await emitted(conn)] == [
        ("invoice.update", row),
        ("invoice.delete", row),
    ]


@pytest.mark.parametrize(
    "write", ["insert into public.invoices (tenant_id) values ($1)", "select reactor.emit($1, 'x')"]
)
async def test_an_event_carries_the_trace_of_its_transaction_and_what_caused_it(
    conn: Connection, tenant: UUID, write: str
) -> None:
    await conn.execute("select reactor.watch('public.invoices', 'x')")

    async def written(
        trace: str | None, cause: str = "", depth: str = ""
    ) -> tuple[str | None, int | None, int]:
        if trace is not None:
            await conn.execute(
                "select set_config('reactor.traceparent', $1, true), "
                "set_config('reactor.cause_id', $2, true), set_config('reactor.depth', $3, true)",
                *(trace, cause, depth),
            )
        await conn.execute(write, tenant)
        (event,) = await emitted(conn)
        return event["traceparent"], event["cause_id"], event["depth"]

    # A new session does not know the settings; after a transaction that set them they are empty.
    assert await written(None) == (None, None, 0)
    assert await written("00-aa-bb-01") == ("00-aa-bb-01", None, 0)
    assert await written("", "7", "2") == (None, 7, 3)
    assert await written("") == (None, None, 0)


async def test_update_of_columns_emits_only_when_one_of_them_really_changed(
    conn: Connection, tenant: UUID
) -> None:
    await conn.execute("select reactor.watch('public.invoices', 'changed', '{\"update of total, status\"}')")
    await insert(conn, tenant)
    for change in ("number = 1", "total = total", "status = 'new'"):
        await conn.execute(f"update public.invoices set {change}")
    assert await emitted(conn) == []
    await conn.execute("update public.invoices set total = 7")
    await conn.execute("update public.invoices set status = 'sent', number = 3")
    assert len(await emitted(conn)) == 2


async def test_many_updated_rows_are_paired_by_their_keys_at_once_also_after_a_single_one(
    conn: Connection, tenant: UUID
) -> None:
    """A session keeps the plan of its first update: a nested loop would compare each row with each."""
    await conn.execute("select reactor.watch('public.invoices', 'changed', '{update of total}')")
    await insert(conn, tenant)
    await conn.execute("update public.invoices set total = 1")
    await conn.execute(
        "insert into public.invoices (tenant_id, number) select $1, g from generate_series(1, 300) g", tenant
    )
    await conn.execute("load 'auto_explain'; set local auto_explain.log_min_duration = 0")
    await conn.execute(
        "set local auto_explain.log_nested_statements = on; set local client_min_messages = log"
    )
    plans: list[str] = []
    conn.add_log_listener(lambda _, message: plans.append(str(message.message)))
    await conn.execute("update public.invoices set total = 2")
    await conn.execute("set local auto_explain.log_min_duration = -1; reset client_min_messages")
    (plan,) = (plan for plan in plans if "insert into reactor.events" in plan)
    assert "Full Join" in plan
    assert "Nested Loop" not in plan
    assert len(await emitted(conn)) == 302


async def test_a_row_whose_key_is_changed_has_no_past_and_is_not_lost(conn: Connection, tenant: UUID) -> None:
    await conn.execute("select reactor.watch('public.invoices', 'changed', '{update of total}')")
    await conn.execute(
        "select reactor.watch('public.invoices', 'raised', '{update}', condition => 'NEW.total > OLD.total')"
    )
    await insert(conn, tenant)
    await conn.execute("update public.invoices set id = gen_random_uuid(), total = 1")
    assert await types(conn) == ["changed"]


async def test_update_of_a_json_column_can_be_watched(conn: Connection, tenant: UUID) -> None:
    """json has no equality."""
    await conn.execute("select reactor.watch('public.invoices', 'noted', '{\"update of notes\"}')")
    await insert(conn, tenant)
    await conn.execute("update public.invoices set notes = '[1]'")
    await conn.execute("update public.invoices set notes = '[1]'")
    assert len(await emitted(conn)) == 1


async def test_a_condition_chooses_by_the_new_row(conn: Connection, tenant: UUID) -> None:
    await conn.execute("select reactor.watch('public.invoices', 'big', condition => 'new.total > 100')")
    await conn.execute("select reactor.watch('public.invoices', 'big2', condition => 'total > 100 -- euros')")
    await insert(conn, tenant, total=100)
    await insert(conn, tenant, total=101)
    assert await types(conn) == ["big", "big2"]


async def test_a_transition_condition_compares_old_and_new(conn: Connection, tenant: UUID) -> None:
    await conn.execute(
        "select reactor.watch('public.invoices', 'paid', '{insert,update}', "
        "condition => $$NEW.status = 'paid' and OLD.status is distinct from 'paid'$$)"
    )
    await insert(conn, tenant, status="paid")
    await insert(conn, tenant)
    assert await types(conn) == ["paid"]
    await conn.execute("update public.invoices set status = 'paid'")
    await conn.execute("update public.invoices set status = 'paid'")
    assert await types(conn) == ["paid"]


async def test_a_condition_on_a_delete_may_name_new(conn: Connection, tenant: UUID) -> None:
    await conn.execute(
        "select reactor.watch('public.invoices', 'closed', '{update,delete}', "
        "condition => $$OLD.status = 'open' and NEW.status is distinct from 'open'$$)"
    )
    await insert(conn, tenant, status="open")
    await insert(conn, tenant, status="open")
    await conn.execute(
        "update public.invoices set status = 'x' where id = (select id from public.invoices limit 1)"
    )
    await conn.execute("delete from public.invoices where status = 'open'")
    assert await types(conn) == ["closed", "closed"]


async def test_payload_columns_and_subjects_that_are_no_uuid(conn: Connection, tenant: UUID) -> None:
    await conn.execute(
        "select reactor.watch('public.invoices', 'made', subject_column => 'number', "
        "payload_columns => '{total,status}')"
    )
    await insert(conn, tenant, number=7, total=12)
    (event,) = await emitted(conn)
    assert event["subject_id"] is None
    assert event["payload"] == {"total": "12.00", "status": "new", "number": 7}


async def test_numeric_columns_are_written_as_text_and_other_numbers_as_numbers(
    conn: Connection, tenant: UUID
) -> None:
    await conn.execute("""
        create domain public.amount as numeric(20, 2);
        create domain public.price as public.amount check (value >= 0);
        create table public.prices (
            id bigint primary key, tenant_id uuid, exact numeric, cut numeric(16, 2), domain public.price,
            many numeric[], rough double precision, whole bigint, nothing numeric, odd numeric
        );
        select reactor.watch('public.prices', 'priced', '{insert,update,delete}',
            payload_columns => '{exact,cut,domain,many,rough,whole,nothing,odd}');
    """)
    await conn.execute(
        "insert into public.prices values (1, $1, 1.123456789012345678, 99999999999999.99, 20, '{0.10,null}',"
        " 0.5, 9007199254740993, null, 'NaN')",
        tenant,
    )
    await conn.execute("update public.prices set cut = 20.00")
    await conn.execute("delete from public.prices")
    payloads = [event["payload"] for event in sorted(await emitted(conn), key=lambda event: event["id"])]
    first = {
        "exact": "1.123456789012345678",
        "cut": "99999999999999.99",
        "domain": "20.00",
        "many": ["0.10", None],
        "rough": 0.5,
        "whole": 9007199254740993,
        "nothing": None,
        "odd": "NaN",
        "id": 1,
    }
    assert payloads == [first, first | {"cut": "20.00"}, first | {"cut": "20.00"}]


async def test_a_payload_may_have_more_columns_than_a_function_takes_arguments(
    conn: Connection, tenant: UUID
) -> None:
    columns = [f"c{n}" for n in range(130)]
    await conn.execute(
        f"create table public.wide (id uuid default gen_random_uuid(), tenant_id uuid, "
        f"{', '.join(f'{c} int default 1' for c in columns)})"
    )
    await conn.execute("select reactor.watch('public.wide', 'wide', payload_columns => $1)", columns)
    await conn.execute("insert into public.wide (tenant_id) values ($1)", tenant)
    (event,) = await emitted(conn)
    assert event["payload"] == dict.fromkeys(columns, 1)


HOSTILE = [
    "Quote \" and ' tick",
    "UPPER lower",
    "dollar $watch$ $create$ $body$ $$",
    "percent %s %I %%",
    "semi; drop table public.tenants; --",
    "back\\slash",
    "naïve ütf 表 🚀",
    "x" * 63,
    "new",
    "order",
    "new_rows",
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_of_tables_columns_and_types_are_only_names(
    conn: Connection, tenant: UUID, name: str
) -> None:
    table, ident = await conn.fetchrow(
        "select format('%I.%I', $1::text, $1::text), quote_ident($1)", name[:63]
    )
    await conn.execute(f"create schema {ident}")
    await conn.execute(
        f"create table {table} (id uuid primary key default gen_random_uuid(), {ident} text, tenant_id uuid)"
    )
    await conn.execute(
        "select reactor.watch($1::regclass, $2, array['insert', 'update of ' || $3, 'delete'], "
        "payload_columns => array[$4]::name[], condition => $5)",
        table,
        name,
        ident,
        name,
        f"new.{ident} is distinct from old.{ident}",
    )
    await conn.execute(f"insert into {table} (tenant_id, {ident}) values ($1, 'v')", tenant)
    await conn.execute(f"update {table} set {ident} = 'w'")
    await conn.execute(f"delete from {table}")
    events = await emitted(conn)
    assert [event["event_type"] for event in events] == [name] * 3
    assert [event["payload"] for event in events] == [{name: "v"}, {name: "w"}, {name: "w"}]
    assert await conn.fetchval("select count(*) from public.tenants") == 1
    await conn.execute("select reactor.unwatch($1::regclass, $2)", table, name)
    await conn.execute(f"insert into {table} (tenant_id, {ident}) values ($1, 'v')", tenant)
    assert await emitted(conn) == []


async def test_a_tenant_column_of_another_name_chooses_the_tenant(conn: Connection, tenant: UUID) -> None:
    await conn.execute('create table public.deals (id uuid default gen_random_uuid(), "Owner" uuid)')
    await conn.execute("select reactor.watch('public.deals', 'deal', tenant_column => 'Owner')")
    await conn.execute('insert into public.deals ("Owner") values ($1), (null)', tenant)
    (event,) = await emitted(conn)
    assert event["tenant_id"] == tenant


async def test_rows_of_no_tenant_emit_nothing(conn: Connection, tenant: UUID) -> None:
    await conn.execute("select reactor.watch('public.invoices', 'made')")
    await conn.execute("insert into public.invoices (tenant_id) values (null), ($1), (null)", tenant)
    assert len(await emitted(conn)) == 1


async def test_a_partitioned_table_emits_for_rows_of_all_partitions(conn: Connection, tenant: UUID) -> None:
    await conn.execute(
        "create table public.readings (id uuid default gen_random_uuid(), tenant_id uuid, at int) "
        "partition by range (at); "
        "create table public.readings_1 partition of public.readings for values from (0) to (10); "
        "select reactor.watch('public.readings', 'read', payload_columns => '{at}'); "
        "create table public.readings_2 partition of public.readings for values from (10) to (20)"
    )
    await conn.execute("insert into public.readings (tenant_id, at) values ($1, 1), ($1, 11)", tenant)
    assert sorted(event["payload"]["at"] for event in await emitted(conn)) == [1, 11]


async def test_a_bulk_insert_of_ten_thousand_rows_emits_through_one_statement(
    conn: Connection, tenant: UUID
) -> None:
    await conn.execute("select reactor.watch('public.invoices', 'made')")
    await conn.execute("create table public.calls (n int)")
    await conn.execute(
        "create function public.count_call() returns trigger language plpgsql as "
        "$$ begin insert into public.calls values (1); return null; end $$; "
        "create trigger counted after insert on reactor.events for each statement "
        "execute function public.count_call(); "
        "alter function public.count_call() security definer"
    )
    await conn.execute(
        "insert into public.invoices (tenant_id) select $1 from generate_series(1, 10000)", tenant
    )
    assert await conn.fetchval("select count(*) from reactor.events") == 10_000
    assert await conn.fetchval("select count(*) from public.calls") == 1


async def test_a_role_that_may_write_the_table_needs_no_right_on_the_outbox(
    conn: Connection, tenant: UUID
) -> None:
    await conn.execute(
        "create schema private; create table private.jobs (id uuid primary key default gen_random_uuid(), "
        "tenant_id uuid, state text default 'new'); "
        "create role watch_writer; grant usage on schema private to watch_writer; "
        "grant select, insert, update, delete on private.jobs to watch_writer"
    )
    await conn.execute(
        "select reactor.watch('private.jobs', 'job', '{insert,\"update of state\",delete}', "
        "condition => 'new.state is distinct from old.state')"
    )
    await conn.execute("set local role watch_writer")
    await conn.execute("insert into private.jobs (tenant_id) values ($1)", tenant)
    await conn.execute("update private.jobs set state = 'done'")
    await conn.execute("delete from private.jobs")
    await conn.execute("reset role")
    assert await types(conn) == ["job"] * 3


async def test_a_condition_that_would_break_the_writers_later_is_refused_now(
    conn: Connection, tenant: UUID
) -> None:
    """The trigger runs as reactor_owner, which may not use what the caller may."""
    await conn.execute(
        "create schema hidden; create function hidden.fits(text) returns bool language sql as 'select true'; "
    )
    async with refused(conn, "hidden"):
        await conn.execute(
            "select reactor.watch('public.invoices', 'made', condition => 'hidden.fits(new.status)')"
        )
    await insert(conn, tenant)
    assert await emitted(conn) == []


async def test_watching_again_replaces_what_was_installed(conn: Connection, tenant: UUID) -> None:
    await conn.execute("select reactor.watch('public.invoices', 'made', '{insert,delete}')")
    await conn.execute(
        "select reactor.watch('public.invoices', 'made', '{update}', payload_columns => '{total}')"
    )
    await insert(conn, tenant)
    assert await emitted(conn) == []
    await conn.execute("update public.invoices set total = 3")
    (event,) = await emitted(conn)
    assert event["payload"] == {"total": "3.00"}
    assert await conn.fetchval("select count(*) from reactor.watches where event_type = 'made'") == 1


async def test_a_renamed_table_is_still_watched_once_and_can_be_unwatched(
    conn: Connection, tenant: UUID
) -> None:
    await conn.execute("select reactor.watch('public.invoices', 'made')")
    await conn.execute("alter table public.invoices rename to old_invoices")
    await conn.execute(TABLE)
    await conn.execute("select reactor.watch('public.invoices', 'made')")
    await conn.execute("select reactor.watch('public.old_invoices', 'made')")
    await conn.execute("insert into public.old_invoices (tenant_id) values ($1)", tenant)
    await insert(conn, tenant)
    assert await types(conn) == ["made", "made"]
    await conn.execute("select reactor.unwatch('public.old_invoices', 'made')")
    await conn.execute("insert into public.old_invoices (tenant_id) values ($1)", tenant)
    await insert(conn, tenant)
    assert await types(conn) == ["made"]


async def test_a_dropped_table_leaves_nothing_in_the_way_of_its_successor(
    conn: Connection, tenant: UUID
) -> None:
    await conn.execute("select reactor.watch('public.invoices', 'made')")
    await conn.execute("drop table public.invoices")
    await conn.execute(TABLE)
    await conn.execute("select reactor.watch('public.invoices', 'made')")
    await insert(conn, tenant)
    assert await types(conn) == ["made"]


@pytest.mark.parametrize(
    "change",
    ["rename tenant_id to owner", "drop number", "rename status to state", "rename total to amount"],
)
async def test_a_watch_that_reads_a_column_that_is_gone_is_listed_as_such(
    conn: Connection, tenant: UUID, change: str
) -> None:
    await conn.execute(
        "select reactor.watch('public.invoices', 'changed', '{insert,\"update of number, status\"}', "
        "payload_columns => '{total}');"
        "select reactor.watch('public.invoices', 'gone', '{delete}', subject_column => null)"
    )
    listed = "select state from reactor.list_watches() where event_type = $1"
    assert await conn.fetchval(listed, "changed") == "ok"
    await conn.execute(f"alter table public.invoices {change}")
    assert await conn.fetchval(listed, "changed") == "no column"
    assert await conn.fetchval(listed, "gone") == ("no column" if "tenant_id" in change else "ok")


async def test_a_table_of_a_schema_that_the_owner_may_not_use_is_listed_like_any_other(
    conn: Connection, tenant: UUID
) -> None:
    await conn.execute(
        "create schema closed; create table closed.notes (id uuid primary key, tenant_id uuid);"
        "create table closed.dropped (like closed.notes including all);"
        "select reactor.watch('closed.notes', 'noted'), reactor.watch('closed.dropped', 'noted');"
        "drop table closed.dropped"
    )
    await conn.execute("set local role reactor")
    listed = "select table_name, state from reactor.list_watches() where event_type = 'noted'"
    assert [tuple(row) for row in await conn.fetch(listed)] == [
        ("closed.dropped", "no table"),
        ("closed.notes", "ok"),
    ]
    await conn.execute("set local role reactor_owner")
    forgotten = [
        await conn.fetchval("select reactor.forget_watch('closed', $1, 'noted')", name)
        for name in ("notes", "dropped")
    ]
    assert forgotten == [False, True]


async def test_unwatch_removes_the_trigger_and_is_content_with_nothing_to_remove(
    conn: Connection, tenant: UUID
) -> None:
    await conn.execute("select reactor.watch('public.invoices', 'made', '{insert,update}')")
    await conn.execute("select reactor.unwatch('public.invoices', 'made')")
    await conn.execute("select reactor.unwatch('public.invoices', 'made')")
    await insert(conn, tenant)
    assert await emitted(conn) == []
    left = "select count(*) from pg_trigger where tgrelid = 'public.invoices'::regclass and not tgisinternal"
    assert await conn.fetchval(left) == 0


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("null, 'x'", "is not a table"),
        ("'pg_catalog.pg_views', 'x'", "is not a table"),
        ("'public.invoices', ''", "1 to 200 characters"),
        ("'public.invoices', null", "1 to 200 characters"),
        ("'public.invoices', 'x', '{}'", "operations is empty"),
        ("'public.invoices', 'x', null", "operations is empty"),
        ("'public.invoices', 'x', '{truncate}'", "'truncate' is no operation"),
        ("'public.invoices', 'x', array[null]::text[]", "is no operation"),
        ("'public.invoices', 'x', '{\"insert of total\"}'", "is no operation"),
        ("'public.invoices', 'x', '{\"update of nothing\"}'", "lacks one of the columns"),
        ("'public.invoices', 'x', '{\"update of total, total, nothing\"}'", "lacks one of the columns"),
        ("'public.invoices', 'x', '{\"update of \\\"\"}'", "columns"),
        ("'public.invoices', 'x', tenant_column => 'total'", "must be a uuid"),
        ("'public.invoices', 'x', tenant_column => null", "tenant_column"),
        ("'public.invoices', 'x', tenant_column => 'owner'", "has no column owner"),
        ("'public.invoices', 'x', subject_column => 'key'", "has no column key"),
        ("'public.invoices', 'x', payload_columns => '{nope}'", "has no column nope"),
        ("'public.invoices', 'x', payload_columns => array[null]::name[]", "payload_columns"),
        ("'public.invoices', 'x', condition => 'new.nope > 1'", "nope"),
        ("'public.invoices', 'x', condition => 'new.total >'", "does not fit"),
        ("'public.invoices', 'x', condition => '1) or (1'", "does not fit"),
        ("'public.invoices', 'x', condition => 'old.total > 1 /* '", "does not fit"),
        ("'public.keyless', 'x', '{update}', condition => 'old.a > new.a'", "no primary key"),
        ("'pg_temp.passing', 'x'", "is a temporary table"),
        ("'reactor.history', 'x'", "the reactor itself writes reactor.history"),
        ("'public.agent_tenant_locks', 'x'", "the reactor itself writes public.agent_tenant_locks"),
    ],
)
async def test_bad_arguments_are_refused_with_the_reason_and_change_nothing(
    conn: Connection, tenant: UUID, call: str, told: str
) -> None:
    await conn.execute("create table public.keyless (id uuid, tenant_id uuid, a int)")
    await conn.execute("create temporary table passing (id uuid, tenant_id uuid)")
    async with refused(conn, told):
        await conn.execute(f"select reactor.watch({call})")
    assert await conn.fetchval("select count(*) from reactor.watches where event_type = 'x'") == 0
    await insert(conn, tenant)


async def test_only_a_member_of_the_owner_may_watch(conn: Connection, tenant: UUID) -> None:
    await conn.execute("create role watch_stranger; set local role watch_stranger")
    async with refused(conn, "permission denied", asyncpg.InsufficientPrivilegeError.sqlstate):
        await conn.execute("select reactor.watch('public.invoices', 'x')")


async def test_copy_upsert_and_truncate_free_writes_emit_too(conn: Connection, tenant: UUID) -> None:
    await conn.execute("select reactor.watch('public.invoices', 'made', '{insert}')")
    await conn.execute("select reactor.watch('public.invoices', 'changed', '{update}')")
    row = await insert(conn, tenant)
    await conn.copy_records_to_table(
        "invoices", records=[(tenant, 1), (tenant, 2)], columns=["tenant_id", "number"]
    )
    await conn.execute(
        "insert into public.invoices (id, tenant_id) values ($1, $2), (gen_random_uuid(), $2) "
        "on conflict (id) do update set number = 9",
        row,
        tenant,
    )
    assert await types(conn) == ["changed", "made", "made", "made", "made"]


async def test_the_bell_rings_only_when_somebody_sleeps(database_url: str) -> None:
    heard: list[str] = []
    conn, other = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    await conn.execute(TABLE)
    tenant = await conn.fetchval("insert into public.tenants (name) values ('a') returning id")
    await other.add_listener("reactor", lambda *args: heard.append(args[3]))
    await conn.execute("select reactor.watch('public.invoices', 'made')")
    made = "insert into public.invoices (tenant_id) select $1 from generate_series(1, 50)"
    await conn.execute(made, tenant)
    await other.execute("select 1")
    assert heard == []
    await conn.execute("select reactor.arm(3, true)")
    await conn.execute(made, tenant)
    await other.execute("select 1")
    assert heard == [""]
    await conn.execute("select reactor.arm(3, false)")
    await conn.execute(made, tenant)
    await other.execute("select 1")
    assert heard == [""]
    await conn.close()
    await other.close()

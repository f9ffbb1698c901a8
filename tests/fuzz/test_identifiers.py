"""Tables and columns of any name, event types and conditions of any text: watched, protected, unwatched."""

from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.fuzz.conftest import Desk, examples
from tests.fuzz.strategies import words


def _as_name(text: str) -> str:
    """As the server would cut it: 63 bytes."""
    return text.encode()[:63].decode("utf-8", "ignore")


_names = (
    (
        words
        | st.sampled_from(
            ["a b", 'q"q', "q'q", "a.b", "select", "ü" * 31 + "x", "%I", "NEW", "old_rows", "tg_op"]
        )
    )
    .map(_as_name)
    .filter(bool)
)


def _quoted(*names: str) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


@examples(60)
@given(schema=_names, table=_names, columns=st.lists(_names, min_size=4, max_size=4, unique=True), kind=words)
@example(schema="a.b", table='"', columns=["tenant", "id", 'x"y', "a, b"], kind="'; select 1; --")
@example(
    schema="s" * 63, table="t" * 63, columns=["c" * 63, "d" * 63, "e" * 63, "f" * 63], kind="$body$ %s %1$I"
)
def test_a_table_of_any_name_is_protected_watched_and_unwatched(
    desk: Desk, schema: str, table: str, columns: list[str], kind: str
) -> None:
    assume(not schema.lower().startswith("pg_") and schema not in ("public", "reactor"))
    kind = kind[:200] or "x"
    tenant_column, subject_column, first, second = columns
    relation = _quoted(schema, table)

    async def run() -> None:
        transaction = desk.conn.transaction()
        await transaction.start()
        try:
            await desk.conn.execute(
                f"create schema {_quoted(schema)}; create table {relation} ("
                f"{_quoted(tenant_column)} uuid not null, {_quoted(subject_column)} uuid primary key, "
                f"{_quoted(first)} text, {_quoted(second)} text)"
            )
            await desk.conn.execute("select reactor.protect($1::text::regclass, $2)", relation, tenant_column)
            update = f"update of {_quoted(first)}, {_quoted(second)}"
            for _ in range(2):  # the second replaces the first
                await desk.conn.execute(
                    "select reactor.watch($1::text::regclass, $2, $3, $4, $5, $6)",
                    relation,
                    kind,
                    ["insert", update, "delete"],
                    tenant_column,
                    subject_column,
                    [first, second],
                )
            subject = uuid4()
            await desk.conn.execute(
                f"insert into {relation} values ($1, $2, $3, $4)", desk.tenant, subject, schema, table
            )
            await desk.conn.execute(f"update {relation} set {_quoted(second)} = 'other'")
            await desk.conn.execute(f"delete from {relation}")
            rows = await desk.conn.fetch(
                "select tenant_id, event_type, subject_id, payload from reactor.events order by id"
            )
            assert [row["payload"] for row in rows] == [
                {first: schema, second: table},
                {first: schema, second: "other"},
                {first: schema, second: "other"},
            ]
            assert {(row["tenant_id"], row["event_type"], row["subject_id"]) for row in rows} == {
                (desk.tenant, kind, subject)
            }
            await _sees_its_own_rows_only(desk, relation, tenant_column)
            await desk.conn.execute("select reactor.unwatch($1::text::regclass, $2)", relation, kind)
            assert not await desk.conn.fetchval(
                "select exists (select from pg_trigger where tgrelid = $1::text::regclass)", relation
            )
        finally:
            await transaction.rollback()

    desk.do(run())


async def _sees_its_own_rows_only(desk: Desk, relation: str, tenant_column: str) -> None:
    # The columns' order is that of the table: tenant, subject.
    await desk.conn.execute(f"insert into {relation} values ($1, $2)", desk.tenant, uuid4())
    await desk.conn.execute(f"insert into {relation} values ($1, $2)", uuid4(), uuid4())
    await desk.conn.execute(
        "select set_config('role', 'reactor_handler', true), set_config('reactor.tenant_id', $1, true)",
        str(desk.tenant),
    )
    seen: list[UUID] = [
        row[0] for row in await desk.conn.fetch(f"select {_quoted(tenant_column)} from {relation}")
    ]
    await desk.conn.execute("reset role")
    assert seen == [desk.tenant]


_conditions = words | st.sampled_from(
    [
        *(
            "true",
            "new.note = 'x'",
            "old.note is null",
            "note = 'x' -- why",
            "true) or (true",
            "true)) or ((true",
        ),
        *(
            "'",
            "/*",
            "$$",
            "E'\\x00'",
            "U&'\\zzzz'",
            "1/0 = 1",
            "new",
            "$1 = 1",
            "exists (select from new_rows)",
        ),
        *(
            "true); drop table public.noted; select (true",
            "(select count(*) from reactor.events) >= 0",
            "NULL",
        ),
    ]
)


@pytest.fixture(scope="module")
def noted(desk: Desk) -> None:
    desk.do(
        desk.conn.execute(
            "create table public.noted (id uuid primary key default gen_random_uuid(), "
            "tenant_id uuid not null, note text)"
        )
    )


@examples(120)
@given(
    condition=_conditions, operation=words | st.sampled_from(["insert", "delete", "update", "update of note"])
)
def test_a_condition_of_any_text_works_or_is_refused_before_it_can_break_a_write(
    desk: Desk, noted: None, condition: str, operation: str
) -> None:
    async def run() -> str | None:
        transaction = desk.conn.transaction()
        await transaction.start()
        try:
            await desk.conn.execute(
                "select reactor.watch('public.noted', 'noted', $1, condition => $2)", [operation], condition
            )
        except asyncpg.PostgresError as error:
            return error.sqlstate
        else:
            # What was accepted does not break the application's writes, but for values it computes with.
            await desk.conn.execute(
                "insert into public.noted (tenant_id, note) values ($1, 'x'), ($1, null)", desk.tenant
            )
            await desk.conn.execute("update public.noted set note = 'y'; delete from public.noted")
        finally:
            await transaction.rollback()
        return None

    state = desk.do(run())
    assert state in (None, "RX003"), state

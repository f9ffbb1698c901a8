"""The eleven tables, as other programs know them: columns, constraints, indexes."""

import asyncpg
import pytest

from reactor.db import pool
from tests.sql import people
from tests.sql.catalogue import CONTRACT_TABLES, HOST_TABLES, TENANT_TABLES

_COLUMNS = {
    "agent_autonomous_runs": (
        "id uuid, tenant_id uuid, cycle_number integer, started_at timestamptz, completed_at timestamptz,"
        " phase text,"
        " status text = 'running', actions_planned integer = 0, actions_executed integer = 0,"
        " actions_blocked integer = 0,"
        " emails_sent integer = 0, cards_created integer = 0, trigger text, error_message text,"
        " duration_ms integer,"
        " created_at timestamptz = now()"
    ),
    "agent_tenant_locks": (
        "id uuid, tenant_id uuid, run_id uuid, locked_at timestamptz, expires_at timestamptz!,"
        " lock_holder text"
    ),
    "engagement_clocks": (
        "id uuid, tenant_id uuid, client_id uuid, contact_id uuid, last_touch_at timestamptz,"
        " last_touch_type text,"
        " last_touch_by uuid, next_touch_due timestamptz, engagement_interval_days integer = 21,"
        " is_compliant boolean,"
        " days_overdue integer, evaluated_at timestamptz! = now(), priority_score numeric(5,2) = 0,"
        " created_at timestamptz = now(), updated_at timestamptz = now()"
    ),
    "agent_policy_violations": (
        "id uuid, tenant_id uuid, run_id uuid, violation_type text, action_type text, action_data jsonb,"
        " reason text!,"
        " blocked boolean = true, created_at timestamptz = now()"
    ),
    "order_processing_queue": (
        "id uuid, tenant_id uuid, order_id uuid, status text = 'pending', queued_at timestamptz,"
        " processed_at timestamptz,"
        " pricing_valid boolean, credit_valid boolean, requirements_valid boolean, auto_fixes jsonb = '[]'"
    ),
    "order_processing_exceptions": (
        "id uuid, tenant_id uuid, order_id uuid, queue_id uuid, exception_type text, severity text ="
        " 'warning', message text,"
        " details jsonb, resolved boolean = false, resolved_at timestamptz, resolved_by uuid, created_at"
        " timestamptz = now()"
    ),
    "agent_hourly_reflections": (
        "id uuid, tenant_id uuid, run_id uuid, summary jsonb, changes jsonb, metrics_delta jsonb, blockers"
        " jsonb,"
        " insights jsonb, next_hour_priorities jsonb, created_at timestamptz = now()"
    ),
    "agent_rate_limits": (
        "id uuid, tenant_id uuid, action_type text, window_start timestamptz, window_end timestamptz,"
        " action_count integer = 0"
    ),
    "agent_alerts": (
        "id uuid, tenant_id uuid, alert_type text, severity text, message text, metadata jsonb = '{}',"
        " acknowledged boolean = false, acknowledged_at timestamptz, acknowledged_by uuid, created_at"
        " timestamptz = now()"
    ),
    "email_provider_failures": (
        "id uuid, tenant_id uuid, error_type text, error_message text, provider text = 'resend',"
        " created_at timestamptz = now()"
    ),
    "system_config": "key text, value jsonb!, updated_at timestamptz",
}

_REFERENCES = {
    ("agent_tenant_locks", "run_id"): ("agent_autonomous_runs", "SET NULL"),
    ("engagement_clocks", "client_id"): ("clients", "CASCADE"),
    ("engagement_clocks", "contact_id"): ("contacts", "CASCADE"),
    ("engagement_clocks", "last_touch_by"): ("profiles", "SET NULL"),
    ("agent_policy_violations", "run_id"): ("agent_autonomous_runs", "SET NULL"),
    ("order_processing_queue", "order_id"): ("orders", "CASCADE"),
    ("order_processing_exceptions", "order_id"): ("orders", "CASCADE"),
    ("order_processing_exceptions", "queue_id"): ("order_processing_queue", "CASCADE"),
    ("order_processing_exceptions", "resolved_by"): ("profiles", "SET NULL"),
    ("agent_hourly_reflections", "run_id"): ("agent_autonomous_runs", "CASCADE"),
    ("agent_alerts", "acknowledged_by"): ("profiles", "SET NULL"),
} | {(table, "tenant_id"): ("tenants", "CASCADE") for table in TENANT_TABLES}

_INDEXES = {
    "idx_autonomous_runs_tenant_started": "(tenant_id, started_at DESC)",
    "idx_autonomous_runs_tenant_status": "(tenant_id, status)",
    "idx_autonomous_runs_running": "WHERE (status = 'running'::text)",
    "idx_tenant_locks_expires": "(expires_at)",
    "idx_engagement_clocks_client": "UNIQUE (tenant_id, client_id) WHERE (client_id IS NOT NULL)",
    "idx_engagement_clocks_contact": "UNIQUE (tenant_id, contact_id) WHERE (contact_id IS NOT NULL)",
    "idx_engagement_clocks_tenant_overdue": "(tenant_id, is_compliant, days_overdue DESC)",
    "idx_engagement_clocks_tenant_due": "(tenant_id, next_touch_due)",
    "idx_engagement_clocks_priority": "(tenant_id, is_compliant, priority_score DESC)",
    "idx_engagement_clocks_due": "(next_touch_due) WHERE is_compliant",
    "idx_engagement_clocks_evaluated": "(evaluated_at) WHERE (NOT is_compliant)",
    "idx_policy_violations_tenant": "(tenant_id, created_at DESC)",
    "idx_policy_violations_type": "(tenant_id, violation_type, created_at DESC)",
    "idx_order_processing_pending": "WHERE (status = 'pending'::text)",
    "idx_order_exceptions_unresolved": "WHERE (resolved = false)",
    "idx_hourly_reflections_tenant": "(tenant_id, created_at DESC)",
    "idx_rate_limits_tenant_type": "(tenant_id, action_type, window_start DESC)",
    "idx_rate_limits_cleanup": "(window_start)",
    "idx_agent_alerts_unacked": "WHERE (acknowledged = false)",
    "idx_email_failures_recent": "(tenant_id, created_at DESC)",
}

_UNIQUE = {
    "agent_tenant_locks": "UNIQUE (tenant_id)",
    "order_processing_queue": "UNIQUE (tenant_id, order_id)",
    "agent_rate_limits": "UNIQUE (tenant_id, action_type, window_start)",
}

_VALUES = {
    ("agent_autonomous_runs", "phase"): ("plan", "act", "react", "reflect", "completed", "failed"),
    ("agent_autonomous_runs", "status"): ("running", "completed", "failed", "timeout"),
    ("agent_autonomous_runs", "trigger"): ("scheduled", "manual", "event"),
    ("order_processing_queue", "status"): ("pending", "processing", "validated", "exception", "skipped"),
    ("order_processing_exceptions", "exception_type"): ("pricing", "credit", "requirements", "other"),
    ("order_processing_exceptions", "severity"): ("info", "warning", "error", "critical"),
    ("agent_alerts", "severity"): ("info", "warning", "critical"),
}


@pytest.mark.parametrize("table", CONTRACT_TABLES)
async def test_a_table_has_the_columns_of_the_contract_and_no_others(
    rolled_back: pool.Connection, table: str
) -> None:
    found = await rolled_back.fetch(
        "select attname::text as name, format_type(atttypid, atttypmod) as type, attnotnull, attgenerated"
        " = 's' as generated,"
        " pg_get_expr(adbin, adrelid) as default from pg_attribute left join pg_attrdef on adrelid ="
        " attrelid and adnum = attnum"
        " where attrelid = $1::text::regclass and attnum > 0 and not attisdropped",
        table,
    )
    columns = {row["name"]: row for row in found}
    wanted = _COLUMNS[table].split(", ")
    assert set(columns) == {line.split()[0] for line in wanted}
    for line in wanted:
        name, _, rest = line.partition(" ")
        type_, _, default = rest.partition(" = ")
        row = columns[name]
        assert row["type"].replace("timestamp with time zone", "timestamptz") == type_.rstrip("!"), name
        if type_.endswith("!") or name in ("id", "tenant_id", "key"):
            assert row["attnotnull"], name
        if default and not row["generated"]:
            assert row["default"].split("::")[0].strip("'") == default.strip("'"), name
    assert {name for name, row in columns.items() if row["generated"]} == (
        {"is_compliant", "days_overdue"} if table == "engagement_clocks" else set()
    )


@pytest.mark.parametrize("table", CONTRACT_TABLES)
async def test_a_table_has_its_primary_key_and_unique_key(rolled_back: pool.Connection, table: str) -> None:
    found = await rolled_back.fetch(
        "select pg_get_constraintdef(oid) as rule from pg_constraint where conrelid = $1::text::regclass"
        " and contype in ('p', 'u')",
        table,
    )
    wanted = {"PRIMARY KEY (key)" if table == "system_config" else "PRIMARY KEY (id)"}
    assert {row["rule"] for row in found} == wanted | ({_UNIQUE[table]} if table in _UNIQUE else set())


async def test_the_foreign_keys_are_those_of_the_contract(rolled_back: pool.Connection) -> None:
    found = await rolled_back.fetch(
        "select c.conrelid::regclass::text as source, a.attname::text as link, c.confrelid::regclass::text"
        " as target,"
        " case c.confdeltype when 'c' then 'CASCADE' when 'n' then 'SET NULL' else c.confdeltype::text end"
        " as action"
        " from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]"
        " where c.contype = 'f' and c.conparentid = 0 and c.conrelid::regclass::text = any ($1)",
        list(CONTRACT_TABLES),
    )
    assert {(row["source"], row["link"]): (row["target"], row["action"]) for row in found} == _REFERENCES


async def test_every_foreign_key_is_found_by_an_index_when_its_target_is_deleted(
    rolled_back: pool.Connection,
) -> None:
    bare = await rolled_back.fetch(
        "select c.conrelid::regclass::text, c.conname::text from pg_constraint c"
        " where c.contype = 'f' and c.conparentid = 0 and c.conrelid::regclass::text = any ($1)"
        " and not exists (select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1]"
        "   and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) ~ '^\\(\\w+ IS NOT NULL\\)$'))",
        [*CONTRACT_TABLES, *HOST_TABLES],
    )
    assert [tuple(row) for row in bare] == []


@pytest.mark.parametrize("name", _INDEXES)
async def test_an_index_of_the_contract_is_there(rolled_back: pool.Connection, name: str) -> None:
    definition = await rolled_back.fetchval("select pg_get_indexdef($1::text::regclass)", name)
    wanted = _INDEXES[name]
    assert definition.startswith("CREATE UNIQUE") == wanted.startswith("UNIQUE ")
    assert wanted.removeprefix("UNIQUE ") in definition


@pytest.mark.parametrize(("table", "column"), _VALUES)
async def test_a_column_takes_the_values_of_the_contract_and_no_others(
    rolled_back: pool.Connection, table: str, column: str
) -> None:
    t = await people.tenant(rolled_back)
    await people.agent_data(rolled_back, t)
    for value in _VALUES[table, column]:
        assert await rolled_back.execute(f"update {table} set {column} = $1", value) == "UPDATE 1"
    with pytest.raises(asyncpg.CheckViolationError):
        await rolled_back.execute(f"update {table} set {column} = 'something else'")


async def test_a_clock_is_of_a_client_or_of_a_contact(rolled_back: pool.Connection) -> None:
    t = await people.tenant(rolled_back)
    with pytest.raises(asyncpg.CheckViolationError):
        await rolled_back.execute("insert into engagement_clocks (tenant_id) values ($1)", t.id)


async def test_deleting_a_tenant_removes_all_its_agent_data_and_nothing_else(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant]
) -> None:
    await rolled_back.execute("delete from tenants where id = $1", two[0].id)
    for table in (*TENANT_TABLES, *HOST_TABLES):
        column = "id" if table == "tenants" else "tenant_id"
        left = await rolled_back.fetch(f"select {column} from {table}")
        assert [row[0] for row in left] == [two[1].id], table


async def test_deleting_an_order_removes_its_queue_row_and_exceptions(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant]
) -> None:
    await rolled_back.execute("delete from orders where id = $1", two[0].order)
    for table in ("order_processing_queue", "order_processing_exceptions"):
        assert [row[0] for row in await rolled_back.fetch(f"select order_id from {table}")] == [two[1].order]


async def test_deleting_a_run_frees_what_may_outlive_it_and_takes_its_reflections_along(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant]
) -> None:
    await rolled_back.execute("delete from agent_autonomous_runs where tenant_id = $1", two[0].id)
    for table in ("agent_tenant_locks", "agent_policy_violations"):
        assert (
            await rolled_back.fetchval(f"select run_id from {table} where tenant_id = $1", two[0].id) is None
        )
        assert await rolled_back.fetchval(f"select count(*) from {table}") == 2
    assert await rolled_back.fetchval("select tenant_id from agent_hourly_reflections") == two[1].id


async def test_deleting_a_person_frees_what_the_person_did(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant]
) -> None:
    await rolled_back.execute("update agent_alerts set acknowledged_by = $1", two[0].user)
    await rolled_back.execute("delete from profiles where id = $1", two[0].user)
    assert await rolled_back.fetchval("select count(*) from agent_alerts where acknowledged_by is null") == 2


async def test_the_agent_is_off_until_somebody_switches_it_on(rolled_back: pool.Connection) -> None:
    config = await rolled_back.fetchval("select value from system_config where key = 'agent_config'")
    assert config == {"global_enabled": False, "kill_switch_reason": None}
    t = await people.tenant(rolled_back)
    row = await rolled_back.fetchrow(
        "select is_active, agent_enabled, agent_settings from tenants where id = $1", t.id
    )
    assert tuple(row) == (True, False, {})

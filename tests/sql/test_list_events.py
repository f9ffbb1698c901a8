"""reactor.list_events(): pages of the outbox, by state, type and tenant."""

import asyncpg
import pytest


@pytest.fixture
async def company(conn):
    """Two tenants with an event of each kind in each state; returns the ids by state."""
    await conn.execute("insert into public.tenants (name) values ('Acme'), ('Borealis')")
    await conn.execute(
        "insert into reactor.events (tenant_id, event_type, available_at, attempts) "
        "select t.id, k.kind, s.at, s.attempts from public.tenants t "
        "cross join (values ('a'), ('b')) k (kind) "
        "cross join (values (null::timestamptz, 0), (now() + interval '1 h', 1), ('infinity', 0), (null, 2)) "
        "s (at, attempts) order by t.name, k.kind"
    )
    acme = await conn.fetchval("select id from public.tenants where name = 'Acme'")
    flying = await conn.fetchval(
        "select min(id) from reactor.events where tenant_id = $1 and available_at is null", acme
    )
    run = await conn.fetchval("select public.acquire_tenant_lock($1, 'worker')", acme)
    await conn.execute(
        "insert into reactor.in_flight (tenant_id, run_id, ids) values ($1, $2, array[$3::bigint]) "
        "on conflict (tenant_id) do update set run_id = excluded.run_id, ids = excluded.ids",
        acme,
        run,
        flying,
    )
    return acme


STATES = """
select id from reactor.events e
where ($1::text is null
    or $1 = 'in_flight' and id in (select unnest(ids) from reactor.in_flight)
    or $1 = 'ready' and available_at is null and id not in (select unnest(ids) from reactor.in_flight)
    or $1 = 'delayed' and available_at < 'infinity'
    or $1 = 'parked' and available_at = 'infinity'
    or $1 = 'retrying' and attempts > 0)
  and ($2::text is null or event_type = $2) and ($3::uuid is null or tenant_id = $3)
order by id
"""


async def walked(conn, state, kind, tenant, limit=2):
    ids, after = [], None
    while True:
        found = await conn.fetchval(
            "select reactor.list_events($1, $2, $3, $4, $5)", state, kind, tenant, after, limit
        )
        assert len(found["events"]) <= limit
        assert found["complete"]
        ids += [event["id"] for event in found["events"]]
        after = found["next"]
        if after is None:
            return ids


@pytest.mark.parametrize("state", [None, "ready", "in_flight", "delayed", "parked", "retrying"])
async def test_each_page_has_what_fits_and_together_they_have_all(conn, company, state):
    for kind in (None, "a", "none"):
        for tenant in (None, company):
            want = [row["id"] for row in await conn.fetch(STATES, state, kind, tenant)]
            assert await walked(conn, state, kind, tenant) == want, (kind, tenant)
            assert await walked(conn, state, kind, tenant, limit=1000) == want


async def test_an_event_is_listed_without_its_payload_and_with_its_last_error(conn, company):
    await conn.execute(
        """update reactor.events
        set payload = '{"secret": 1}', errors = '[{"error": "one"}, {"error": "two"}]'"""
    )
    found = await conn.fetchval("select reactor.list_events()")
    assert {event["last_error"] for event in found["events"]} == {"two"}
    assert {event["tenant_name"] for event in found["events"]} == {"Acme", "Borealis"}
    assert "secret" not in str(found)


async def test_an_unknown_state_is_refused(conn):
    with pytest.raises(asyncpg.PostgresError, match="no event is 'flying'"):
        await conn.fetchval("select reactor.list_events('flying')")

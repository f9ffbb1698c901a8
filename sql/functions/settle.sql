--! requires: now, is_open, acknowledge, note_runs
-- Acknowledges: finished events go to the history, failed ones are rescheduled or die, the runs are
-- finished and their leases released, or kept with the next batch noted in flight. Called by the
-- settler: as the last statement of a handler's transaction (one tenant, with p_scope), or by itself
-- for any number of tenants whose handlers wrote nothing.
--
-- The fence comes last, because a row lock on the lease taken first would block its own heartbeat:
-- every run must still hold an unexpired lease, or the whole transaction, business rows included,
-- fails with RX001 and the lost runs in DETAIL.
--
-- p_more       per tenant: whether its backlog may continue under the same lease
-- p_done       ids of handled events
-- p_verdicts   [{id, verdict: retry | interrupted | dead | discard, counts, delay (seconds), reason, error}]
-- p_counts     [{run, planned, executed, blocked, emails_sent, cards_created, phase, error}]
-- p_scope      the tenant whose scope this transaction must still be in
-- p_ahead      events in flight that the kept runs have still in hand: they stay noted, and are not returned again
-- Returns the next events of the kept tenants, as reactor.claim does.
create or replace function reactor.settle(
    p_tenants uuid[],
    p_runs uuid[],
    p_more boolean[],
    p_done bigint[],
    p_verdicts jsonb,
    p_counts jsonb,
    p_batch int,
    p_lease interval,
    p_gated text[],
    p_scope uuid default null,
    p_ahead bigint[] default '{}'
) returns table (
    tenant_id uuid,
    run_id uuid,
    id bigint,
    event_id uuid,
    event_type text,
    subject_id uuid,
    payload text,
    priority int,
    attempts int,
    interruptions int,
    created_at timestamptz,
    traceparent text,
    cause_id bigint,
    depth int
)
language plpgsql security definer set search_path = ''
set enable_seqscan = off
-- As in reactor.claim(): suspects are asked for in the order of the index that has them.
set enable_sort = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    -- Types are qualified: temporary ones of a handler's, which may run code, come first on an empty search_path.
    v_shut pg_catalog.uuid[] := '{}';
    v_now constant pg_catalog.timestamptz := reactor.now();
    v_kept pg_catalog.uuid[] := '{}';
    v_released pg_catalog.uuid[] := '{}';
    v_said pg_catalog.text;
    -- Payloads of the next events, of each tenant one at least: see reactor.claim().
    c_bytes constant int := 4000000;
    c_compressed constant int := 16;
begin
    if p_scope is not null and current_setting('reactor.tenant_id', true) is distinct from p_scope::pg_catalog.text then
        raise exception 'the handler ended its transaction itself (COMMIT, ROLLBACK or SET): nothing is acknowledged'
            using errcode = 'RX004';
    end if;

    if p_scope is null then
        -- Shorter than its caller's patience: one tenant's rows, which somebody holds, must not keep the server waiting
        -- with the others' rows locked when nobody waits for it any more.
        v_said := set_config('lock_timeout', '2s', true);
    end if;
    perform reactor.acknowledge(p_tenants, p_runs, p_done, p_verdicts);

    -- The fence, on the runs that go on: their next events are noted in flight.
    if true = any (p_more) then
        if cardinality(p_gated) > 0 then
            v_shut := array(
                select m.tenant_id from unnest(p_tenants, p_more) as m (tenant_id, more)
                where m.more and not reactor.is_open(m.tenant_id));
        end if;
        -- The runs that still hold their lease. What this statement extended may be kept; it returns
        -- the ids itself, because in a handler's transaction a savepoint may be open, so
        -- that the rows cannot be told by the transaction that wrote them.
        with extended as (
            update public.agent_tenant_locks l
            set expires_at = v_now + p_lease
            from (
                select c.tenant_id, c.run_id
                from unnest(p_tenants, p_runs, p_more) as c (tenant_id, run_id, more)
                where c.more
                order by c.tenant_id) n
            where l.tenant_id = n.tenant_id and l.run_id = n.run_id and l.expires_at > reactor.now()
            returning l.run_id
        )
        select coalesce(array_agg(x.run_id), '{}') into v_kept from extended x;

        return query
        with picked as materialized (
            select c.tenant_id, c.run_id, e.*
            from unnest(p_tenants, p_runs) as c (tenant_id, run_id)
            cross join lateral (
                select w.id, w.event_id, w.event_type, w.subject_id, w.payload, w.priority, w.attempts,
                    w.interruptions, w.created_at, w.traceparent, w.cause_id, w.depth,
                    least(pg_catalog.pg_column_size(w.payload), c_bytes)
                        * case when pg_catalog.pg_column_compression(w.payload) is null then 1 else c_compressed end as size
                from reactor.events w
                where w.tenant_id = c.tenant_id and w.available_at is null
                    and (c.tenant_id <> all (v_shut) or w.event_type <> all (p_gated))
                    and w.id not in (select a.id from unnest(p_ahead) as a (id))
                order by w.tenant_id, w.priority, w.id
                limit case when (
                    select true from reactor.events s
                    where s.tenant_id = c.tenant_id and s.interruptions > 0 and s.available_at is null
                    order by s.available_at limit 1) then 1 else p_batch end
            ) e
            where c.run_id = any (v_kept)
        ),
        -- Null: all of them.
        light as materialized (
            select case when sum(p.size) > c_bytes then (
                select array_agg(x.id)
                from (
                    select q.id, q.size, sum(q.size) over (
                        partition by q.tenant_id order by q.priority, q.id rows unbounded preceding) as bytes
                    from picked q) x
                where x.bytes - x.size < c_bytes / cardinality(v_kept)) end as ids
            from picked p
        ),
        noted as (
            insert into reactor.in_flight as f (tenant_id, run_id, ids)
            select k.tenant_id, k.run_id, coalesce(p.ids, '{}')
            from unnest(p_tenants, p_runs) as k (tenant_id, run_id)
            left join (
                select g.run_id, array_agg(g.id) as ids
                from light h join picked g on h.ids is null or g.id = any (h.ids)
                group by g.run_id) p on p.run_id = k.run_id
            where k.run_id = any (v_kept)
            on conflict (tenant_id) do update set
                run_id = excluded.run_id, noted_at = excluded.noted_at,
                ids = excluded.ids || array(
                    select i.id from unnest(f.ids) as i (id)
                    where f.run_id = excluded.run_id and i.id in (select a.id from unnest(p_ahead) as a (id)))
        )
        select p.tenant_id, p.run_id, p.id, p.event_id, p.event_type, p.subject_id, p.payload::pg_catalog.text, p.priority,
            p.attempts, p.interruptions, p.created_at, p.traceparent, p.cause_id, p.depth
        from light h join picked p on h.ids is null or p.id = any (h.ids);
        -- What has nothing more in flight ends here.
        v_kept := array(
            select f.run_id from reactor.in_flight f
            where f.tenant_id = any (p_tenants) and f.run_id = any (v_kept) and cardinality(f.ids) > 0);
    end if;

    -- The fence, on the runs that end here: deleting the lease is the check.
    with released as (
        delete from public.agent_tenant_locks l
        where l.tenant_id = any (p_tenants) and l.run_id = any (p_runs) and l.run_id <> all (v_kept)
            and l.expires_at > reactor.now()
        returning l.run_id
    )
    select coalesce(array_agg(r.run_id), '{}') into v_released from released r;

    if cardinality(v_kept) + cardinality(v_released) <> cardinality(p_runs) then
        raise exception 'the lease was lost: nothing is committed'
            using errcode = 'RX001', detail = (
                select string_agg(r.id::pg_catalog.text, ',') from unnest(p_runs) as r (id)
                where r.id <> all (v_kept) and r.id <> all (v_released));
    end if;
    if p_counts is not null then
        perform reactor.note_runs(p_runs, v_released, p_counts);
        return;
    end if;
    update public.agent_autonomous_runs r
    set
        status = case when r.error_message is null then 'completed' else 'failed' end,
        phase = case when r.error_message is null then 'completed' else 'failed' end,
        completed_at = v_now,
        -- It may have begun at any time: a tenant's users may write their own runs.
        duration_ms = case when isfinite(r.started_at) then
            least(extract(epoch from greatest(v_now - r.started_at, interval '0')) * 1000, 2147483647)::int end
    where r.id = any (v_released) and r.completed_at is null;
end;
$$;

revoke all on function reactor.settle(
    uuid[], uuid[], boolean[], bigint[], jsonb, jsonb, int, interval, text[], uuid, bigint[]) from public;
grant execute on function reactor.settle(
    uuid[], uuid[], boolean[], bigint[], jsonb, jsonb, int, interval, text[], uuid, bigint[]) to reactor;

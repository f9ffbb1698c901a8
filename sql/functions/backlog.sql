--! requires: now
-- How much waits, by what it waits for, and for how long: the gauges of docs/telemetry.md, measured by the leader
-- (upkeep/backlog.py). It costs the same with a million events as with ten thousand, and counts as reactor.status()
-- does as far as it counts.
--
-- p_most    so many events of a state are counted one by one. More are an estimate, and never less than this: what the
--           server's own count of the outbox leaves, divided as a sample of its pages is where several states have more
-- p_groups  so many groups (a tenant's events of one priority) are looked at for the oldest event and for tenants
--
-- oldest_seconds    since when the first of the events waits that are ready or in flight; null: there is none. Where
--                   more than p_most are ready the first of each group stands for those behind it
-- tenants_waiting   tenants with ready events that nobody holds, p_groups at most: what more replicas could take
--
-- Events of a tenant that somebody holds are ready and wait. Those of a switched-off one are parked when a claim
-- meets them, and then neither ready nor old.
create or replace function reactor.backlog(
    p_most int default 5000,
    p_groups int default 1000,
    out ready bigint,
    out in_flight bigint,
    out delayed bigint,
    out parked bigint,
    out dead bigint,
    out oldest_seconds float8,
    out tenants_waiting bigint
)
-- Volatile, as all that read the outbox are. Each state has its index, and is read in its order.
language plpgsql volatile security definer set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set max_parallel_workers_per_gather = 0
set plan_cache_mode = force_custom_plan
set jit = off
as $$
declare
    -- A sample's pages: those of a few thousand small events.
    c_pages constant float8 := 200;
    v_now constant timestamptz := reactor.now();
    v_until timestamptz;
    v_groups bigint;
    v_is_long boolean;
    v_flying bigint[];
    v_held uuid[];
    v_all bigint;
    v_oldest timestamptz;
    v_first timestamptz;
    -- Of which states there are more than were counted (ready, delayed, parked), and their parts of the rest.
    v_many boolean[];
    v_parts bigint[];
    v_sum bigint;
    v_rest bigint;
    -- The outbox as the server counts it, and as a sample finds it.
    v_live bigint;
    v_share float8;
    v_sample record;
begin
    v_held := array(select l.tenant_id from public.agent_tenant_locks l where l.expires_at > v_now);
    v_flying := array(
        select i.id
        from public.agent_tenant_locks l
        join reactor.in_flight f on f.tenant_id = l.tenant_id and f.run_id = l.run_id
        cross join unnest(f.ids) as i (id)
        where l.expires_at > v_now);

    -- Steps from group to group, as a claim does. Between two of them may lie what was settled lately and no vacuum has
    -- removed, so it ends by the clock, too.
    v_until := clock_timestamp() + interval '0.3 seconds';
    with recursive step as (
        (select w.tenant_id, w.priority, coalesce(w.ready_at, w.created_at) as since
         from reactor.events w
         where w.available_at is null
         order by w.tenant_id, w.priority, w.id limit 1)
        union all
        select n.tenant_id, n.priority, n.since
        from step s
        cross join lateral (
            select w.tenant_id, w.priority, coalesce(w.ready_at, w.created_at) as since
            from reactor.events w
            where w.available_at is null and (w.tenant_id, w.priority) > (s.tenant_id, s.priority)
            order by w.tenant_id, w.priority, w.id limit 1) n
        where clock_timestamp() < v_until
    )
    select count(*), count(distinct g.tenant_id) filter (where g.tenant_id <> all (v_held)), min(g.since)
    into v_groups, tenants_waiting, v_first
    from (select s.tenant_id, s.since from step s limit p_groups) g;
    v_is_long := v_groups >= p_groups or clock_timestamp() > v_until;

    select count(*) into delayed
    from (
        select from reactor.events w where w.available_at < 'infinity' order by w.available_at limit p_most + 1) e;
    select count(*) into parked
    from (
        select from reactor.events w where w.available_at = 'infinity' order by w.available_at limit p_most + 1) e;
    v_live := pg_stat_get_live_tuples('reactor.events'::regclass);
    -- Many groups, and many events: to count those of the first would be in vain.
    if v_is_long and greatest(delayed, parked) <= p_most and v_live - delayed - parked > 2 * p_most then
        v_all := v_live - delayed - parked;
    else
        select count(*), count(*) filter (where e.id = any (v_flying)), min(e.since)
        into v_all, in_flight, v_oldest
        from (
            select w.id, coalesce(w.ready_at, w.created_at) as since
            from reactor.events w
            where w.available_at is null
            order by w.tenant_id, w.priority, w.id
            limit p_most + 1) e;
    end if;
    select count(*) into dead from (select from reactor.dead_events d order by d.id limit p_most + 1) e;

    v_oldest := least(v_oldest, v_first);
    oldest_seconds := case when v_oldest is not null then greatest(0, extract(epoch from v_now - v_oldest)) end;

    if dead > p_most then
        dead := greatest(dead, pg_stat_get_live_tuples('reactor.dead_events'::regclass));
    end if;
    if v_all > p_most then
        in_flight := cardinality(v_flying);
    end if;
    v_many := array[v_all > p_most, delayed > p_most, parked > p_most];
    v_parts := array[v_many[1]::int, v_many[2]::int, v_many[3]::int];
    if true = any (v_many) then
        -- (A crash takes the server's count away; it begins anew then.)
        if v_live < v_all + delayed + parked or cardinality(array_positions(v_many, true)) > 1 then
            v_share := least(1, c_pages * current_setting('block_size')::int
                / greatest(1, pg_relation_size('reactor.events')));
            select count(*) filter (where v_many[1] and e.available_at is null) as ready,
                count(*) filter (where v_many[2] and e.available_at < 'infinity') as delayed,
                count(*) filter (where v_many[3] and e.available_at = 'infinity') as parked,
                count(*) as total
            into v_sample
            from reactor.events e tablesample system (100 * v_share);
            if v_live < v_all + delayed + parked then
                v_live := v_sample.total / v_share;
            end if;
            v_parts := array[v_sample.ready, v_sample.delayed, v_sample.parked];
        end if;
        v_rest := v_live - case when v_many[1] then 0 else v_all end
            - case when v_many[2] then 0 else delayed end - case when v_many[3] then 0 else parked end;
        -- Nothing of them in the sample, in an outbox of which little is left: what was counted is all that is known.
        v_sum := nullif((select sum(p.part) from unnest(v_parts) as p (part)), 0);
        if v_many[1] then
            v_all := greatest(v_all, v_rest * v_parts[1] / v_sum);
        end if;
        if v_many[2] then
            delayed := greatest(delayed, v_rest * v_parts[2] / v_sum);
        end if;
        if v_many[3] then
            parked := greatest(parked, v_rest * v_parts[3] / v_sum);
        end if;
    end if;
    ready := greatest(0, v_all - in_flight);
end;
$$;

revoke all on function reactor.backlog(int, int) from public;
grant execute on function reactor.backlog(int, int) to reactor;

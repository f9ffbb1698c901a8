--! requires: now, skipped
-- Ends leases that ran out: the run becomes 'timeout', and the events that were in flight are
-- marked, so that the next holder tries them alone and finds the one that kills. Called by
-- reactor.claim() for the tenants it is about to take, and by the deadline timer for all.
--
-- A group in flight: nobody knows which of them did it, so each is interrupted once (not its
-- fault, counted apart). One event that was tried alone in its tenant: interrupted once more, since a replica
-- tries events of several tenants. One with two such marks was the only one of its kind in the replica
-- (see reactor.claim): it did it, an attempt failed.
--
-- Rows that a settling transaction holds are skipped: that commit wins or loses by itself. (An event that it has
-- acknowledged and whose lease it has not come to is as it was: the settlement will be refused, and its handler lived.)
-- So is a lease whose run somebody updates in a transaction that goes on: a timer that waited for it would serve nobody
-- meanwhile.
--
-- A tenant's users may write their own lease and runs: a lease may name the run of another tenant, which is left as it
-- is, and a run may have begun at any time.
create or replace function reactor.rescue(p_tenants uuid[] default null, p_limit int default 1000)
returns table (tenant_id uuid, run_id uuid, lock_holder text)
language plpgsql security definer set search_path = ''
-- A claim calls it without: there a sort would be worse than reading the leases of all tenants.
set enable_sort = on
as $$
#variable_conflict use_column
declare
    -- Types are qualified: temporary ones of the caller's, which may run code, come first on an empty search_path.
    v_tenants pg_catalog.uuid[];
    v_runs pg_catalog.uuid[];
    v_alone bigint[];
    v_group bigint[];
    v_holders pg_catalog.text[];
    v_gone bigint;
    v_now pg_catalog.timestamptz := reactor.now();
begin
    -- A handler may take its own tenant's lease (acquire_tenant_lock), and is told of no other's.
    if current_setting('role', true) = 'reactor_handler'
        and p_tenants is distinct from array[nullif(current_setting('reactor.tenant_id', true), '')::pg_catalog.uuid] then
        raise exception 'reactor.rescue: a handler may end a lease of its own tenant only'
            using errcode = 'insufficient_privilege';
    end if;
    select array_agg(x.tenant_id), array_agg(x.run_id), array_agg(x.lock_holder)
    into v_tenants, v_runs, v_holders
    from (
        select l.tenant_id, l.run_id, l.lock_holder
        from public.agent_tenant_locks l
        where l.expires_at <= v_now and (p_tenants is null or l.tenant_id = any (p_tenants))
            and (l.run_id is null
                or exists (
                    select from public.agent_autonomous_runs r
                    where r.id = l.run_id and r.tenant_id = l.tenant_id for no key update skip locked)
                or exists (
                    select from public.agent_autonomous_runs r where r.id = l.run_id and r.tenant_id <> l.tenant_id))
        order by l.tenant_id
        limit p_limit
        for update skip locked
    ) x;
    if v_tenants is null then
        return;
    end if;

    with gone as (
        delete from public.agent_tenant_locks l where l.tenant_id = any (v_tenants)
        returning l.tenant_id, l.run_id
    ),
    flying as (
        select f.ids from gone g join reactor.in_flight f on f.tenant_id = g.tenant_id and f.run_id = g.run_id
    )
    select
        array_agg(f.ids[1]) filter (where cardinality(f.ids) = 1),
        (select array_agg(i.id) from flying f2, unnest(f2.ids) as i (id) where cardinality(f2.ids) > 1),
        (select count(*) from gone)
    into v_alone, v_group, v_gone
    from flying f;
    -- One that is still there would be ended again and again.
    if v_gone < cardinality(v_tenants) then
        raise exception using errcode = 'RX006', message = reactor.skipped('public.agent_tenant_locks', 'delete');
    end if;

    update reactor.events e
    set
        attempts = e.attempts + (e.interruptions > 1)::int,
        interruptions = e.interruptions + (e.interruptions <= 1)::int,
        errors = case when e.interruptions <= 1 then e.errors else case when jsonb_array_length(e.errors) < 20
            then e.errors else e.errors - 0 end || jsonb_build_object(
            'at', reactor.now(), 'kind', 'killed', 'run_id', v_runs[array_position(v_tenants, e.tenant_id)],
            'error', 'the replica died while it handled this event alone') end
    where e.id = any (array(
        select w.id from reactor.events w where w.id = any (v_alone) for update skip locked));

    update reactor.events e
    set interruptions = e.interruptions + 1
    where e.id = any (array(
        select w.id from reactor.events w where w.id = any (v_group) for update skip locked));

    update public.agent_autonomous_runs r
    set
        status = 'timeout', completed_at = reactor.now(), phase = 'failed',
        duration_ms = case when isfinite(r.started_at) then
            least(extract(epoch from greatest(reactor.now() - r.started_at, interval '0')) * 1000, 2147483647)::int end,
        error_message = 'the lease ran out'
    where r.id = any (v_runs) and r.status = 'running' and exists (
        select from unnest(v_tenants, v_runs) as t (tenant_id, run_id)
        where t.tenant_id = r.tenant_id and t.run_id = r.id
        offset 0);

    return query select t.tenant_id, t.run_id, t.lock_holder
    from unnest(v_tenants, v_runs, v_holders) as t (tenant_id, run_id, lock_holder);
end;
$$;

revoke all on function reactor.rescue(uuid[], int) from public;
grant execute on function reactor.rescue(uuid[], int) to reactor;

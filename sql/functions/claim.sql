--! requires: now, ring, rescue, park, bury_orphans
-- Takes the leases of up to p_tenants tenants that have ready events, and reads up to p_batch of
-- each one's events, in one round trip. Called by the claimer whenever it has free slots.
--
-- p_after      where the last claim ended (null: nowhere yet): tenants are found by skipping through the index
--              (tenant_id, …) from there, round robin, whatever their backlogs are
-- p_gated      event types that wait while the tenant, or everything, is switched off
-- p_peers      live replicas; when given, only tenants whose rendezvous hash names p_replica
-- p_capped     event types that only so many tenants more may begin with here, and p_free how many; a tenant
--              whose turn is another one of these waits, and takes no slot meanwhile
-- p_held       tenants that the caller has in hand with an event that was interrupted before. The replica says so itself,
--              because a tenant's users may write any name into their own lease
-- Returns the events ordered by tenant, then priority, then id; payload as text, for the handler's
-- side to parse when it needs it. No row: nothing to do. A first row without a run: there may be more, and nobody will
-- ring for it. A transaction of the application holds a tenant, which was passed over, or gated events of a switched-off
-- tenant were set aside, of which there may be more than one claim does. Its tenant_id is where a look ended that met too
-- many held tenants: others may wait behind it.
--
-- A lease needs no durability of its own (a crash of the server ends it, and the settling commit
-- flushes all before it), so this commits without waiting for the disk.
create or replace function reactor.claim(
    p_replica text,
    p_tenants int,
    p_batch int,
    p_lease interval,
    p_after uuid,
    p_gated text[],
    p_peers text[],
    p_capped text[],
    p_free int[],
    p_held uuid[]
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
set enable_hashjoin = off
set enable_mergejoin = off
-- Suspects are asked for in the order of the index that has them: with another one, all ready events would be read.
set enable_sort = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    -- Payloads of a claim, of each tenant one at least: they must arrive while the caller waits, and find room in its memory.
    -- As they are stored, and a compressed one for sixteen times as much: how long it is, nobody knows who has not read it.
    c_bytes constant int := 4000000;
    c_compressed constant int := 16;
    v_id text;
    v_on boolean;
    v_first uuid;
    v_last uuid;
    v_is_lone boolean := false;
    v_is_free boolean;
    v_run uuid;
    -- What was leased, and under which runs.
    v_tenants uuid[];
    v_runs uuid[];
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'reactor.claim needs isolation level read committed'
            using errcode = 'RX003', hint = 'the role or database sets default_transaction_isolation; set it back for the reactor';
    end if;
    -- (An assignment is evaluated without a query of its own.)
    v_id := set_config('synchronous_commit', 'off', true);
    if cardinality(p_gated) > 0 then
        v_on := coalesce((
            select c.value ->> 'global_enabled' = 'true' from public.system_config c where c.key = 'agent_config'), false);
    end if;

    -- 0. A replica that was woken (it looks from the first tenant on, or for its own only) finds one tenant with events,
    -- most often. Then it needs neither a search nor lists of tenants, which are most of what a claim costs a server that
    -- was idle. Whatever is out of the ordinary about that tenant is left to what follows. (Who is in the middle of a
    -- backlog does not ask: before the first tenant that is left lie the index entries of all that were settled.)
    if p_after is null or p_peers is not null then
        select
            (select e.tenant_id from reactor.events e where e.available_at is null order by e.tenant_id limit 1),
            (select e.tenant_id from reactor.events e where e.available_at is null order by e.tenant_id desc limit 1)
        into v_first, v_last;
        if v_first is null then
            return;
        end if;
        v_is_lone := v_first = v_last and cardinality(p_capped) = 0;
    elsif (
        select e.tenant_id from reactor.events e
        where e.available_at is null and e.tenant_id > p_after
        order by e.tenant_id limit 1) is null then
        -- Nothing behind the last one; mostly there is nothing at all, which no search need find out.
        if not exists (select from reactor.events e where e.available_at is null) then
            return;
        end if;
    end if;
    if v_is_lone and p_peers is not null then
        if p_replica <> (
            select p.name from unnest(p_peers) as p (name)
            order by hashtextextended(v_first::text || p.name, 0) desc limit 1) then
            return;
        end if;
    end if;
    if v_is_lone then
        select pg_try_advisory_xact_lock_shared(hashtextextended('reactor.lease ' || t.id::text, 0)) into v_is_free
        from public.tenants t
        where t.id = v_first
            and (cardinality(p_gated) = 0 or (v_on and t.is_active and t.agent_enabled))
            and not exists (select from public.agent_tenant_locks l where l.tenant_id = t.id)
            and (
                select true from reactor.events e
                where e.tenant_id = t.id and e.interruptions > 0 and e.available_at is null
                order by e.available_at limit 1) is null
        for key share skip locked;
        if v_is_free then
            v_run := reactor.uuid7();
            with taken as (
                insert into public.agent_tenant_locks as l (id, tenant_id, run_id, locked_at, expires_at, lock_holder)
                values (v_run, v_first, v_run, reactor.now(), reactor.now() + p_lease, p_replica)
                on conflict do nothing
                returning l.run_id
            )
            insert into public.agent_autonomous_runs (id, tenant_id, started_at, phase, status, trigger)
            select k.run_id, v_first, reactor.now(), 'act', 'running', 'event' from taken k;
            if not found then
                return;
            end if;
            -- As below.
            if extract(epoch from reactor.now() + p_lease) * 1000000
                < pg_catalog.pg_sequence_last_value('reactor.timer'::pg_catalog.regclass) then
                perform pg_catalog.pg_notify('reactor', 'timer');
            end if;
            return query
            with picked as materialized (
                select w.id, w.event_id, w.event_type, w.subject_id, w.payload, w.priority, w.attempts,
                    w.interruptions, w.created_at, w.traceparent, w.cause_id, w.depth
                from reactor.events w
                where w.tenant_id = v_first and w.available_at is null
                order by w.tenant_id, w.priority, w.id
                limit p_batch
            ),
            noted as (
                insert into reactor.in_flight as f (tenant_id, run_id, ids)
                select v_first, v_run, array_agg(p.id) from picked p
                having max(p.interruptions) = 0 and c_bytes >= sum(least(pg_column_size(p.payload), c_bytes)
                    * case when pg_column_compression(p.payload) is null then 1 else c_compressed end)
                on conflict (tenant_id) do update set run_id = excluded.run_id, ids = excluded.ids, noted_at = excluded.noted_at
                returning true
            )
            select v_first, v_run, p.id, p.event_id, p.event_type, p.subject_id, p.payload::text, p.priority, p.attempts,
                p.interruptions, p.created_at, p.traceparent, p.cause_id, p.depth
            from picked p
            where (select true from noted);
            if found then
                return;
            end if;
            -- Together they are too heavy, which the end of this function knows how to divide, or somebody else finished
            -- or interrupted them between the look and the lease. No search follows: a lease that this transaction took,
            -- also one that it gave back, makes others wait who may have what the search would want.
            v_tenants := array[v_first];
            v_runs := array[v_run];
        end if;
    end if;

    -- What only a search needs is made for it: each initial value would cost the others a microsecond or two.
    declare
        c_nil constant uuid := '00000000-0000-0000-0000-000000000000';
        -- Places in a tenant's part of the index that no priority has: before its first event, behind its last one.
        c_before constant bigint := -3000000000;
        c_behind constant bigint := 3000000000;
        c_last constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
        -- So many held tenants are stepped over one by one: a claim seldom meets more, and a step needs no preparation.
        c_patience constant int := 8;
        -- So many gated events are set aside by a claim: it must end in time whatever the backlog, or it would be for nothing.
        c_to_park constant int := 5000;
        v_now constant timestamptz := reactor.now();
        v_after uuid := coalesce(p_after, c_nil);
        v_place bigint := case when p_after is null then c_before else c_behind end;
        v_wrapped boolean := p_after is null;
        v_chunk int := p_tenants;
        v_to_park int := c_to_park;
        v_found uuid[];
        v_stuck uuid;
        v_end uuid;
        v_closed uuid[];
        v_marked uuid[];
        v_has_expired boolean;
        v_may_kill boolean;
        v_has_marked boolean;
        v_held_back boolean := false;
        v_fit uuid[];
        v_passed_over boolean := false;
        v_is_through boolean := false;
        v_orphans uuid[];
        v_shut uuid[] := '{}';
        v_wanted uuid[] := '{}';
        v_empty uuid[];
    begin
        if v_tenants is null then
            -- 1. Tenants with ready events that nobody holds. The recursion is lazy: it stops skipping
            -- when enough were found, so a claim costs what it takes, not what waits.
            <<look>>
            for v_round in 1 .. 50 loop
                with recursive skip as (
                    (select e.tenant_id, 0 as steps, coalesce((
                        select true from public.agent_tenant_locks l
                        where l.tenant_id = e.tenant_id and l.expires_at > v_now), false) as is_held
                     from reactor.events e
                     where e.available_at is null and (e.tenant_id, e.priority) > (v_after, v_place)
                     order by e.tenant_id limit 1)
                    union all
                    select n.tenant_id, s.steps + s.is_held::int, coalesce((
                        select true from public.agent_tenant_locks l
                        where l.tenant_id = n.tenant_id and l.expires_at > v_now), false)
                    from skip s
                    cross join lateral (
                        select e.tenant_id from reactor.events e
                        where e.available_at is null and e.tenant_id > s.tenant_id order by e.tenant_id limit 1) n
                    -- Not beyond where it began: what follows was looked through before the wrap.
                    where (s.steps < c_patience or not s.is_held) and (not v_wrapped or p_after is null or s.tenant_id < p_after)
                )
                select array_agg(f.tenant_id) filter (where not f.is_held),
                    (array_agg(f.tenant_id) filter (where f.is_held))[1]
                into v_found, v_stuck
                from (
                    select s.tenant_id, s.is_held from skip s
                    where (not v_wrapped or p_after is null or s.tenant_id <= p_after)
                        and case when s.is_held then s.steps = c_patience else p_peers is null or p_replica = (
                            select p.name from unnest(p_peers) as p (name)
                            order by hashtextextended(s.tenant_id::text || p.name, 0) desc limit 1) end
                    limit v_chunk
                ) f;
                -- Many are held. What is left is looked for between one lease and the next: a third of the way.
                if v_stuck is not null then
                    v_end := coalesce(case when v_wrapped then p_after end, c_last);
                    with held as materialized (
                        select array(
                            select l.tenant_id from public.agent_tenant_locks l
                            where l.expires_at > v_now and l.tenant_id > v_stuck and l.tenant_id < v_end
                            order by l.tenant_id) as ids
                    )
                    select v_found || array_agg(f.tenant_id) into v_found
                    from (
                        select o.tenant_id
                        from (
                            select s.tenant_id
                            from held h
                            cross join lateral unnest(v_stuck || h.ids, h.ids || v_end) as g (low, high)
                            cross join lateral (
                                select e.tenant_id from reactor.events e
                                where e.available_at is null and e.tenant_id > g.low and e.tenant_id < g.high
                                order by e.tenant_id limit 1) b
                            cross join lateral (
                                with recursive skip as (
                                    select b.tenant_id
                                    union all
                                    select n.tenant_id
                                    from skip s
                                    cross join lateral (
                                        select e.tenant_id from reactor.events e
                                        where e.available_at is null and e.tenant_id > s.tenant_id and e.tenant_id < g.high
                                        order by e.tenant_id limit 1) n
                                )
                                select k.tenant_id from skip k) s
                            union all
                            select v_end
                            where exists (select from reactor.events e where e.available_at is null and e.tenant_id = v_end)
                                and not exists (
                                    select from public.agent_tenant_locks l where l.tenant_id = v_end and l.expires_at > v_now)
                        ) o
                        where p_peers is null or p_replica = (
                            select p.name from unnest(p_peers) as p (name)
                            order by hashtextextended(o.tenant_id::text || p.name, 0) desc limit 1)
                        limit v_chunk - coalesce(cardinality(v_found), 0)
                    ) f;
                end if;

                if v_found is not null then
                    v_after := v_found[cardinality(v_found)];
                    v_place := c_behind;
                    -- 2. Switched-off tenants: their gated events are set aside; what is not gated goes on.
                    select array_agg(f.tenant_id) filter (where t.id is null),
                        array_agg(f.tenant_id) filter (
                            where t.id is not null and not coalesce(v_on and t.is_active and t.agent_enabled, false)),
                        bool_or(exists (select from public.agent_tenant_locks l where l.tenant_id = f.tenant_id)),
                        bool_or((
                            select true from reactor.events e
                            where e.tenant_id = f.tenant_id and e.interruptions > 1 and e.available_at is null
                            order by e.available_at limit 1))
                    into v_orphans, v_closed, v_has_expired, v_may_kill
                    from unnest(v_found) as f (tenant_id)
                    left join public.tenants t on t.id = f.tenant_id;

                    if v_orphans is not null then
                        perform reactor.bury_orphans(v_orphans);
                        v_found := array(select f.t from unnest(v_found) as f (t) where f.t <> all (v_orphans));
                    end if;
                    if v_closed is not null and cardinality(p_gated) > 0 then
                        if v_to_park > 0 then
                            v_to_park := v_to_park - reactor.park(v_closed, p_gated, v_to_park);
                        end if;
                        v_shut := v_shut || v_closed;
                        -- What is not gated is looked for where park() has looked. (No EXISTS: it may be carried out for all
                        -- tenants at once.)
                        v_found := array(
                            select f.t from unnest(v_found) as f (t)
                            where f.t <> all (v_closed) or (
                                select true
                                from (
                                    select e.event_type from reactor.events e
                                    where e.tenant_id = f.t and e.available_at is null
                                    order by e.tenant_id, e.priority, e.id
                                    limit greatest(100, c_to_park / cardinality(v_closed))) h
                                where h.event_type <> all (p_gated) limit 1));
                        v_chunk := 500;
                    end if;
                    -- Leases that ran out are ended, which marks what was in flight. (Those that did not were left out above.)
                    if v_has_expired then
                        perform reactor.rescue(v_found);
                        if found then
                            perform reactor.ring();
                        end if;
                    end if;
                    -- An event that was already tried alone when a lease ran out (two marks) may end this process too.
                    -- A replica has one such tenant at a time, so that it is not other tenants' that are blamed for it.
                    v_marked := '{}';
                    if v_has_expired or v_may_kill then
                        v_marked := array(
                            select f.t from unnest(v_found) with ordinality as f (t, n)
                            where (
                                select true from reactor.events e
                                where e.tenant_id = f.t and e.interruptions > 1 and e.available_at is null
                                order by e.available_at limit 1)
                            order by f.n);
                    end if;
                    if cardinality(v_marked) > 0 then
                        v_chunk := 500;
                        v_has_marked := coalesce(v_has_marked, exists (
                            select from unnest(p_held) as h (t)
                            where (
                                select true from reactor.events e
                                where e.tenant_id = h.t and e.interruptions > 1 and e.available_at is null
                                order by e.available_at limit 1)));
                        if v_has_marked then
                            v_found := array(select f.t from unnest(v_found) as f (t) where f.t <> all (v_marked));
                        else
                            v_found := array(select f.t from unnest(v_found) as f (t) where f.t <> all (v_marked[2:]));
                            v_has_marked := true;
                        end if;
                    end if;
                    -- Only a tenant's first event is looked at: its events go in order.
                    if cardinality(p_capped) > 0 and cardinality(v_found) > 0 then
                        v_fit := array(
                            select x.t
                            from (
                                select f.t, f.n, k.kind, row_number() over (partition by k.kind order by f.n) as nth
                                from unnest(v_wanted || v_found) with ordinality as f (t, n)
                                cross join lateral (
                                    select e.event_type as kind from reactor.events e
                                    where e.tenant_id = f.t and e.available_at is null
                                        and (f.t <> all (v_shut) or e.event_type <> all (p_gated))
                                    order by e.tenant_id, e.priority, e.id limit 1) k) x
                            where x.n > cardinality(v_wanted)
                                and coalesce(x.nth <= p_free[array_position(p_capped, x.kind)], true)
                            order by x.n);
                        v_held_back := cardinality(v_fit) < cardinality(v_found);
                        v_found := v_fit;
                        if v_held_back then
                            v_chunk := 500;
                        end if;
                    end if;
                    -- Of the application's transactions none is waited for: neither one that locked the tenant's row, nor
                    -- one that took the lease (public.acquire_tenant_lock) and goes on, nor one that holds a lease that ran
                    -- out, so that it could not be ended. Those tenants are for a later look.
                    v_fit := array(
                        select t.id
                        from (select c.id from public.tenants c where c.id = any (v_found) order by c.id for key share skip locked) t
                        where pg_try_advisory_xact_lock_shared(hashtextextended('reactor.lease ' || t.id::text, 0))
                            and (not v_has_expired or not exists (
                                select from public.agent_tenant_locks l where l.tenant_id = t.id))
                        limit p_tenants - cardinality(v_wanted));
                    v_wanted := v_wanted || v_fit;
                    v_is_through := cardinality(v_wanted) >= p_tenants;
                    exit look when v_is_through;
                    if cardinality(v_fit) < cardinality(v_found) then
                        v_passed_over := true;
                        v_chunk := 500;
                        continue look;
                    end if;
                    continue look when v_orphans is not null or (v_closed is not null and cardinality(p_gated) > 0)
                        or cardinality(v_marked) > 0 or v_held_back;
                end if;
                v_is_through := v_wrapped;
                exit look when v_is_through;
                v_wrapped := true;
                -- Before the first tenant, whose id may be nil.
                v_after := c_nil;
                v_place := c_before;
            end loop;
            if v_passed_over or not v_is_through or v_to_park < c_to_park then
                tenant_id := case when not v_is_through then v_after end;
                return next;
            end if;
            if cardinality(v_wanted) = 0 then
                return;
            end if;

            -- 3. Their leases, in one order for everybody, so that two claims cannot deadlock. Whoever
            -- comes second gets nothing for that tenant. An id is for both rows, and in six of its digits it says which of this
            -- claim's it is: the rest is made once, because that is a system call.
            v_id := reactor.uuid7()::text;
            with taken as (
                insert into public.agent_tenant_locks as l (id, tenant_id, run_id, locked_at, expires_at, lock_holder)
                select w.run_id, w.t, w.run_id, reactor.now(), reactor.now() + p_lease, p_replica
                from (
                    select d.t, overlay(v_id placing lpad(to_hex(d.n), 6, '0') from 25)::uuid as run_id
                    from (select x.t, min(x.n) as n from unnest(v_wanted) with ordinality as x (t, n) group by x.t) d
                    -- A lease that is still there belongs to a transaction that is about to settle, and may have
                    -- been about to for a long time: nobody waits for that.
                    where not exists (select from public.agent_tenant_locks h where h.tenant_id = d.t)
                    order by d.t
                ) w
                on conflict (tenant_id) do nothing
                returning l.tenant_id, l.run_id
            ),
            started as (
                insert into public.agent_autonomous_runs (id, tenant_id, started_at, phase, status, trigger)
                select k.run_id, k.tenant_id, reactor.now(), 'act', 'running', 'event' from taken k
            )
            select array_agg(k.tenant_id), array_agg(k.run_id) into v_tenants, v_runs from taken k;
            if v_tenants is null then
                return;
            end if;
            -- If we die, the leader is to end these leases in time: reactor.ring_timer(), without the cost of a call.
            if extract(epoch from reactor.now() + p_lease) * 1000000
                < pg_catalog.pg_sequence_last_value('reactor.timer'::pg_catalog.regclass) then
                perform pg_catalog.pg_notify('reactor', 'timer');
            end if;
        end if;

        -- 4. Their events. This is a statement of its own because it must see what the previous holder
        -- of the lease settled. What is in flight is noted on the lease. A tenant with suspects (events
        -- that were in flight when a lease ran out) gets one event at a time until they are gone.
        return query
        with picked as materialized (
            select c.tenant_id, c.run_id, e.*
            from unnest(v_tenants, v_runs) as c (tenant_id, run_id)
            cross join lateral (
                select w.id, w.event_id, w.event_type, w.subject_id, w.payload, w.priority, w.attempts,
                    w.interruptions, w.created_at, w.traceparent, w.cause_id, w.depth,
                    least(pg_column_size(w.payload), c_bytes)
                        * case when pg_column_compression(w.payload) is null then 1 else c_compressed end as size
                from reactor.events w
                where w.tenant_id = c.tenant_id and w.available_at is null
                    and (c.tenant_id <> all (v_shut) or w.event_type <> all (p_gated))
                order by w.tenant_id, w.priority, w.id
                limit case when (
                    select true from reactor.events s
                    where s.tenant_id = c.tenant_id and s.interruptions > 0 and s.available_at is null
                    order by s.available_at limit 1) then 1 else p_batch end
            ) e
        ),
        -- Null: all of them.
        light as materialized (
            select case when sum(p.size) > c_bytes then (
                select array_agg(x.id)
                from (
                    select q.id, q.size, sum(q.size) over (
                        partition by q.tenant_id order by q.priority, q.id rows unbounded preceding) as bytes
                    from picked q) x
                where x.bytes - x.size < c_bytes / cardinality(v_tenants)) end as ids
            from picked p
        ),
        noted as (
            insert into reactor.in_flight as f (tenant_id, run_id, ids)
            select p.tenant_id, p.run_id, array_agg(p.id)
            from light h join picked p on h.ids is null or p.id = any (h.ids)
            group by p.tenant_id, p.run_id
            on conflict (tenant_id) do update set run_id = excluded.run_id, ids = excluded.ids, noted_at = excluded.noted_at
        )
        select p.tenant_id, p.run_id, p.id, p.event_id, p.event_type, p.subject_id, p.payload::text, p.priority, p.attempts,
            p.interruptions, p.created_at, p.traceparent, p.cause_id, p.depth
        from light h join picked p on h.ids is null or p.id = any (h.ids);

        -- Somebody else finished a tenant's events between the look and the lease: give it back.
        if found and cardinality(v_tenants) = 1 then
            return;
        end if;
        v_empty := array(
            select c.run_id from unnest(v_tenants, v_runs) as c (tenant_id, run_id)
            where not exists (
                select from reactor.in_flight f where f.tenant_id = c.tenant_id and f.run_id = c.run_id));
        if cardinality(v_empty) > 0 then
            delete from public.agent_tenant_locks l where l.tenant_id = any (v_tenants) and l.run_id = any (v_empty);
            delete from public.agent_autonomous_runs r where r.id = any (v_empty);
        end if;
    end;
end;
$$;

revoke all on function reactor.claim(text, int, int, interval, uuid, text[], text[], text[], int[], uuid[]) from public;
grant execute on function reactor.claim(text, int, int, interval, uuid, text[], text[], text[], int[], uuid[]) to reactor;

-- As replicas call it that do not say what they have in hand: their leases are believed.
create or replace function reactor.claim(
    p_replica text,
    p_tenants int,
    p_batch int,
    p_lease interval,
    p_after uuid,
    p_gated text[],
    p_peers text[] default null,
    p_capped text[] default '{}',
    p_free int[] default '{}'
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
as $$
begin
    return query
    select c.*
    from reactor.claim(
        p_replica, p_tenants, p_batch, p_lease, p_after, p_gated, p_peers, p_capped, p_free, array(
            select l.tenant_id from public.agent_tenant_locks l
            where l.lock_holder = p_replica and l.expires_at > reactor.now())) c;
end;
$$;

revoke all on function reactor.claim(text, int, int, interval, uuid, text[], text[], text[], int[]) from public;
grant execute on function reactor.claim(text, int, int, interval, uuid, text[], text[], text[], int[]) to reactor;

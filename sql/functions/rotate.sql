--! requires: require_leader, ring, rotate_leases, walk_outbox
-- Rewrites the outbox when finished events lie in it that vacuum may not remove, because somebody's old snapshot
-- might still see them: every claim passes them. The live events are put into new, empty files; the old files go,
-- dead rows and all; the leases' as well. Called by the leader's rotation (upkeep/rotation) when claims are slow.
--
-- p_dead    so many dead rows that cannot be removed make it worth it
-- p_live    with more live events than that the outbox is left alone: everybody waits while they are written again
-- p_wait    everybody who comes to the outbox while this waits for it waits as well, so that is not for longer
--           than this, or than a claim takes by now, and never longer than a second
-- Returns what it did: 'rotated'; 'nothing': too few dead rows, or vacuum may have them; 'backlog': too many live
-- events; 'held': somebody holds the outbox for longer than that; 'published': it is replicated, and its events
-- would be sent a second time. With the numbers of live events and dead rows that it found.
--
-- TRUNCATE empties a table for older snapshots too. So a transaction of isolation level REPEATABLE READ that began
-- earlier and reads the outbox later for the first time finds nothing there, which is of no account to a statement
-- in READ COMMITTED: those take their snapshot when they have their lock. A dump would be of account: while one
-- runs, nothing is done.
create or replace function reactor.rotate(
    p_term bigint,
    p_dead int,
    p_live int,
    p_wait interval default '50 milliseconds',
    out outcome text,
    out live bigint,
    out dead bigint
)
language plpgsql security definer set search_path = ''
-- The live rows are picked up past the dead ones, fastest in the order in which they lie.
set enable_indexscan = off
set enable_indexonlyscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    v_weight bigint;
    v_began timestamptz;
    v_wait interval;
    v_holders text[];
    v_rows reactor.events[];
    v_timeout constant text := current_setting('lock_timeout');
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'reactor.rotate needs isolation level read committed' using errcode = 'RX003';
    end if;
    -- Decided before anything is locked, the leadership included: a walk may take its time.
    outcome := 'nothing';
    live := pg_stat_get_live_tuples('reactor.events'::regclass);
    dead := pg_stat_get_dead_tuples('reactor.events'::regclass);
    if dead < p_dead then
        return;
    end if;
    select w.live, w.dead into live, dead from reactor.walk_outbox() w;
    if dead < p_dead then
        return;
    end if;
    v_began := clock_timestamp();
    select w.live, w.weight, w.dead into live, v_weight, dead from reactor.walk_outbox() w;
    if dead < p_dead then
        return;
    end if;
    v_wait := greatest(p_wait, least((clock_timestamp() - v_began) * 3, interval '1 second'));
    if v_weight > p_live then
        outcome := 'backlog';
        return;
    end if;
    if exists (
        select from pg_catalog.pg_publication_tables p where p.schemaname = 'reactor' and p.tablename = 'events') then
        outcome := 'published';
        return;
    end if;

    -- Somebody who stays is found out by looking twice, so that nobody has to wait in vain behind this.
    outcome := 'held';
    v_holders := array(
        select l.virtualtransaction from pg_catalog.pg_locks l
        where l.relation = 'reactor.events'::regclass and l.granted and l.pid is distinct from pg_backend_pid()
            and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database()));
    if cardinality(v_holders) > 0 then
        perform pg_sleep_for(v_wait);
        if exists (
            select from pg_catalog.pg_locks l
            where l.relation = 'reactor.events'::regclass and l.granted and l.virtualtransaction = any (v_holders)) then
            return;
        end if;
    end if;

    perform reactor.require_leader(p_term);
    perform set_config('synchronous_commit', 'off', true);
    begin
        -- The new files' locks included: vacuum may have the part of the table where large values are.
        perform set_config('lock_timeout', ceil(extract(epoch from v_wait) * 1000)::text, true);
        lock table reactor.events in access exclusive mode;
        v_rows := array(select e from reactor.events e order by e.id limit p_live + 1);
        live := cardinality(v_rows);
        if live > p_live then
            outcome := 'backlog';
            return;
        end if;
        truncate reactor.events;
        insert into reactor.events overriding system value select r.* from unnest(v_rows) as r;
        begin
            perform reactor.rotate_leases(p_live);
        exception
            -- Somebody holds a lease, or a tenant; or an adopted table has something about it that rows which
            -- are there already need not fulfil. The outbox does not depend on it.
            when others then
                null;
        end;
        -- Last, because a dump that begins now has its snapshot already, and waits for its locks.
        perform pg_stat_clear_snapshot();
        if exists (
            select from pg_catalog.pg_stat_activity a
            where a.datname = current_database() and starts_with(a.application_name, 'pg_dump')) then
            raise lock_not_available;
        end if;
    exception
        when lock_not_available or deadlock_detected then
            return;
    end;
    perform set_config('lock_timeout', v_timeout, true);
    update reactor.rotation r
    set rotations = r.rotations + 1, kept = r.kept + cardinality(v_rows), rotated_at = clock_timestamp();
    perform reactor.ring();
    outcome := 'rotated';
end;
$$;

revoke all on function reactor.rotate(bigint, int, int, interval) from public;
grant execute on function reactor.rotate(bigint, int, int, interval) to reactor;

-- Reads the indexes of the outbox from end to end, as claims and the deadline timer do, and says what is there:
-- live events, the same with large ones counted as several, and entries of dead rows. Called by reactor.rotate().
--
-- A scan that meets a row that nobody can see any more marks its index entry, and the next scan does not
-- read it: of two walks the second one counts the dead rows that nothing may remove. It counts by the
-- server's own figures of this transaction, since no query can see a dead row.
create or replace function reactor.walk_outbox(out live bigint, out weight bigint, out dead bigint)
language plpgsql security definer set search_path = ''
-- Each row is in one of two indexes, and each is asked for in its own order: no other way is left.
set enable_indexscan = on
set enable_indexonlyscan = on
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
-- A parallel worker's figures are not this transaction's.
set max_parallel_workers_per_gather = 0
set jit = off
as $$
declare
    v_entries bigint := (
        select sum(pg_stat_get_xact_tuples_returned(i.indexrelid))
        from pg_catalog.pg_index i where i.indrelid = 'reactor.events'::regclass);
begin
    select count(*), coalesce(sum(1 + (pg_column_size(x.payload) + pg_column_size(x.errors)) / 2048), 0)
    into live, weight
    from (
        (select e.payload, e.errors from reactor.events e
        where e.available_at is null order by e.tenant_id, e.priority, e.id)
        union all
        (select e.payload, e.errors from reactor.events e
        where e.available_at is not null order by e.available_at)) x;
    dead := (
        select sum(pg_stat_get_xact_tuples_returned(i.indexrelid))
        from pg_catalog.pg_index i where i.indrelid = 'reactor.events'::regclass) - v_entries - live;
end;
$$;

revoke all on function reactor.walk_outbox() from public;

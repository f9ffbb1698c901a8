--! requires: now
-- Makes a replica known to the fleet and gives it its bit in the doorbell. Called once when a
-- replica starts, and again when its row was cleaned away while it was cut off.
create or replace function reactor.enlist(p_replica text, p_patience interval, p_version text, p_info jsonb)
returns int
language plpgsql security definer set search_path = ''
as $$
declare
    v_slot int;
    v_last bigint;
begin
    -- Replicas take slots one after the other; a fleet starts rarely.
    perform pg_advisory_xact_lock(hashtextextended('reactor.enlist', 0));
    delete from reactor.replicas r where r.seen_at < reactor.now() - interval '1 day';
    select coalesce(min(s.slot), 62) into v_slot
    from generate_series(1, 61) as s (slot)
    where not exists (
        select from reactor.replicas r
        where r.slot = s.slot and r.replica <> p_replica and r.seen_at > reactor.now() - r.patience);
    insert into reactor.replicas as r (replica, slot, started_at, seen_at, patience, version, info)
    values (p_replica, v_slot, reactor.now(), reactor.now(), p_patience, p_version, p_info)
    on conflict (replica) do update
    set slot = excluded.slot, started_at = excluded.started_at, seen_at = excluded.seen_at,
        patience = excluded.patience, version = excluded.version, info = excluded.info;
    -- A database that was replicated logically has the rows of its origin, and its sequences begin anew.
    v_last := greatest(
        (select max(e.id) from reactor.events e), (select max(d.id) from reactor.dead_events d),
        (select max(h.id) from reactor.history h));
    if v_last > coalesce(pg_sequence_last_value('reactor.events_id_seq'::regclass), 0) then
        perform setval('reactor.events_id_seq'::regclass, v_last);
    end if;
    -- A former process of this name may have led and left a job unfinished: it is begun again in a new term only.
    update reactor.leadership l set expires_at = '-infinity' where l.leader = p_replica;
    return v_slot;
end;
$$;

revoke all on function reactor.enlist(text, interval, text, jsonb) from public;
grant execute on function reactor.enlist(text, interval, text, jsonb) to reactor;

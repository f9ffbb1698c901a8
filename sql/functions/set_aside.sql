--! requires: now, place_of
-- What is due up to a place is left alone for p_pause, because the application refuses some of it. While there is more
-- behind it that time begins anew, so that all of that is reached; else it goes on. Called by sweep and
-- reevaluate_clocks.
create or replace function reactor.set_aside(
    p_kind text, p_due timestamptz, p_id uuid, p_more boolean, p_pause interval default '1 minute'
) returns void
language sql volatile security definer set search_path = ''
begin atomic
    insert into reactor.set_aside as s (kind, due, id, again_at)
    values (
        p_kind, p_due, p_id,
        coalesce((select a.again_at from reactor.place_of(p_kind) a where not p_more), reactor.now() + p_pause))
    on conflict (kind) do update set due = excluded.due, id = excluded.id, again_at = excluded.again_at;
end;

revoke all on function reactor.set_aside(text, timestamptz, uuid, boolean, interval) from public;

--! requires: now
-- The place up to which rows of a kind are set aside just now, and until when: null, and a place before all rows, when
-- none are. Called by whoever looks for what is due.
create or replace function reactor.place_of(p_kind text) returns table (due timestamptz, id uuid, again_at timestamptz)
language sql volatile security definer set search_path = ''
begin atomic
    select coalesce(a.due, '-infinity'), coalesce(a.id, '00000000-0000-0000-0000-000000000000'), a.again_at
    from (select p_kind as kind) k
    left join reactor.set_aside a
        -- Not one from before the server's clock was set back.
        on a.kind = k.kind and a.again_at > reactor.now() and a.again_at <= reactor.now() + interval '1 hour';
end;

revoke all on function reactor.place_of(text) from public;

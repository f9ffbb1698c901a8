--! requires: ring_timer
-- Trigger function: tells the deadline timer of a nearer deadline of a clock. Statement-level, one
-- comparison a statement.
create or replace function reactor.announce_clock() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    perform reactor.ring_timer(min(n.next_touch_due)) from new_rows n where n.is_compliant;
    return null;
end;
$$;

revoke all on function reactor.announce_clock() from public;

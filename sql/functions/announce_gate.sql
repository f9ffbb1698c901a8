-- Trigger function: tells every replica that a gate (the kill switch, a tenant's enablement) was
-- moved, so that it takes effect at once in the middle of a backlog, and parked events go on.
create or replace function reactor.announce_gate() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    perform pg_catalog.pg_notify('reactor', 'gate');
    return null;
end;
$$;

revoke all on function reactor.announce_gate() from public;

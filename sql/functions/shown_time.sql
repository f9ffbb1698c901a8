-- A time as programs can read it: a tenant's users may write any into rows of their own, and that of the year 20000, or
-- 'infinity', would fail a list of all tenants' rows. Called by lists, and by the queries of the command line and the
-- dashboard.
create or replace function reactor.shown_time(p_at timestamptz) returns timestamptz
language sql immutable parallel safe
return case when p_at is not null then least(greatest(p_at, '0001-01-02 00:00+00'), '9999-12-30 00:00+00') end;

revoke all on function reactor.shown_time(timestamptz) from public;
grant execute on function reactor.shown_time(timestamptz) to reactor;

-- A time as programs can reckon with: a tenant's users may write any into their lease, and from one of the year 20000, or
-- 'infinity', no time can be taken away. Called by reactor.explain_event().
create or replace function reactor.shown_time(p_at timestamptz) returns timestamptz
language sql immutable parallel safe
return case when p_at is not null then least(greatest(p_at, '0001-01-02 00:00+00'), '9999-12-30 00:00+00') end;

revoke all on function reactor.shown_time(timestamptz) from public;
grant execute on function reactor.shown_time(timestamptz) to reactor;

-- The clock seam: every decision about time in schema reactor asks this function, never a
-- replica. Test databases replace it with one that adds an offset (reactor.testing).
create or replace function reactor.now() returns timestamptz
language sql volatile parallel safe
return clock_timestamp();

comment on function reactor.now() is 'the server''s clock, clock_timestamp(); the only clock that decides';
grant execute on function reactor.now() to public;

-- Whether commits stand in a queue because they notify. From NOTIFY's own entry in the queue of notifications until
-- the commit is flushed (and confirmed by a synchronous standby), a transaction holds a lock that is global to the
-- server: PreCommit_Notify in async.c. Where a flush takes milliseconds that is as many commits a second as there are
-- flushes, however many write. Called by a replica that is asleep between events that come closely one after the other.
create or replace function reactor.notifiers_wait() returns boolean
language sql volatile set search_path = ''
begin atomic
    select exists (
        select from pg_catalog.pg_locks l
        where l.locktype = 'object' and not l.granted
            and l.database = 0 and l.classid = 'pg_catalog.pg_database'::regclass and l.objid = 0);
end;

revoke all on function reactor.notifiers_wait() from public;
grant execute on function reactor.notifiers_wait() to reactor;

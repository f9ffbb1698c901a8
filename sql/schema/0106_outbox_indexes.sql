-- A writer pays for each index of the outbox, also for one that its row does not enter. What is not ready, and
-- what is ready but to be tried alone, are read by their times or by tenant: one index for them instead of three.
--
-- Not concurrently, which would wait for every old snapshot in the application's database: the outbox is short, and
-- in a new database empty. Dropped first, so that the strongest lock is the first one taken.
-- squawk-ignore require-concurrent-index-deletion
drop index if exists reactor.events_delayed, reactor.events_parked, reactor.events_suspect;

create index if not exists events_aside on reactor.events (available_at, tenant_id)
where available_at is not null or interruptions > 0;

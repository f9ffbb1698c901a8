--! no-transaction
-- A writer pays for each index of the outbox, also for one that its row does not enter. What is not ready, and
-- what is ready but to be tried alone, are read by their times or by tenant: one index for them instead of three.
drop index concurrently if exists reactor.events_aside;
-- squawk-ignore ban-concurrent-index-creation-in-transaction
create index concurrently if not exists events_aside on reactor.events (available_at, tenant_id)
where available_at is not null or interruptions > 0;

drop index concurrently if exists reactor.events_delayed;
drop index concurrently if exists reactor.events_parked;
drop index concurrently if exists reactor.events_suspect;

-- Dead events are listed page by page, the latest death first, also when an outage made a million of them.
create index if not exists dead_events_died on reactor.dead_events (died_at desc, id desc);

-- It takes where the last page ended, too.
drop function if exists reactor.list_dead(text, uuid, interval, int);

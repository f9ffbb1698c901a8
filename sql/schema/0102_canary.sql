-- The canary: an event of our own that goes the whole way every minute, so that silence is noticed. One row.
create table if not exists reactor.canary (
    only_row boolean primary key default true check (only_row),
    -- the one that was sent last, and for whom
    event_id bigint,
    tenant_id uuid,
    sent_at timestamptz,
    -- when the first one was sent of those that nobody handled; null: the last one came through
    unheard_since timestamptz,
    -- the last one that came through: when it was acknowledged, and how long that took from its emission
    heard_at timestamptz,
    took interval
) with (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_cost_delay = 0);

insert into reactor.canary default values on conflict do nothing;

revoke all on reactor.canary from public;

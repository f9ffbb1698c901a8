-- The outbox: events that are not finished. Written by triggers and reactor.emit() inside the
-- application's transactions, read by reactor.claim(), emptied by reactor.settle().
--
-- A claim does not touch these rows (the tenant's lease owns them), so an event costs one
-- insert, one delete and its history row.
create table if not exists reactor.events (
    id bigint generated always as identity primary key,
    event_id uuid not null default gen_random_uuid(),
    tenant_id uuid not null,
    event_type text not null,
    subject_id uuid,
    payload jsonb not null default '{}',
    priority int not null default 0,
    attempts int not null default 0,
    interruptions int not null default 0,
    -- null: ready. A time: delayed until then. 'infinity': parked, because the tenant or the whole
    -- system is switched off; reactor.unpark() makes it ready again.
    available_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    errors jsonb not null default '[]',
    traceparent text,
    cause_id bigint,
    depth int not null default 0,
    dedup_key text
) with (
    -- A queue is vacuumed by what it deletes, not by a share of what it holds.
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_threshold = 5000
);

comment on table reactor.events is 'events that are not finished: ready, delayed, parked or in flight';

-- What a claim reads: tenants by skipping, then one tenant's events in order.
create index if not exists events_ready on reactor.events (tenant_id, priority, id)
where available_at is null;

-- What the deadline timer reads.
create index if not exists events_delayed on reactor.events (available_at)
where available_at is not null;

-- What unparking reads.
create index if not exists events_parked on reactor.events (tenant_id)
where available_at = 'infinity';

-- Events that were in flight when a lease ran out: they are tried alone (see reactor.claim).
create index if not exists events_suspect on reactor.events (tenant_id)
where interruptions > 0 and available_at is null;

create unique index if not exists events_dedup on reactor.events (tenant_id, dedup_key)
where dedup_key is not null;

-- Finished events, so that a person can ask what happened to one. Partitions are made and
-- dropped by reactor.keep_history().
create table if not exists reactor.history (
    id bigint not null,
    event_id uuid not null,
    tenant_id uuid not null,
    event_type text not null,
    subject_id uuid,
    payload jsonb not null,
    priority int not null,
    attempts int not null,
    interruptions int not null,
    created_at timestamptz not null,
    finished_at timestamptz not null default clock_timestamp(),
    outcome text not null check (outcome in ('handled', 'discarded')),
    reason text,
    run_id uuid,
    errors jsonb not null default '[]',
    traceparent text,
    cause_id bigint,
    depth int not null default 0
) partition by range (finished_at);

create index if not exists history_id on reactor.history (id);
create index if not exists history_cause on reactor.history (cause_id) where cause_id is not null;

create table if not exists reactor.history_default partition of reactor.history default;

-- Events that will not be tried again by themselves, whole and with every error.
create table if not exists reactor.dead_events (
    id bigint primary key,
    event_id uuid not null,
    tenant_id uuid not null,
    event_type text not null,
    subject_id uuid,
    payload jsonb not null,
    priority int not null,
    attempts int not null,
    interruptions int not null,
    created_at timestamptz not null,
    died_at timestamptz not null default clock_timestamp(),
    reason text not null,
    run_id uuid,
    errors jsonb not null default '[]',
    traceparent text,
    cause_id bigint,
    depth int not null default 0,
    dedup_key text
);

create index if not exists dead_events_tenant on reactor.dead_events (tenant_id, died_at desc);
create index if not exists dead_events_type on reactor.dead_events (event_type, died_at desc);
create index if not exists dead_events_cause on reactor.dead_events (cause_id)
where cause_id is not null;

-- Nobody reads or writes these but the functions of schema reactor.
revoke all on reactor.events, reactor.history, reactor.history_default, reactor.dead_events from public;

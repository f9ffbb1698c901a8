-- What a lease has in flight, noted when it is claimed, so that the next holder of one that ran out knows
-- which events were interrupted. A table of its own: the lease's row has foreign keys that an update in
-- the transaction of its insert would check again. One row a tenant, matched to the lease by the run,
-- overwritten by the next claim; ids is not indexed, so that is a HOT update.
create table if not exists reactor.in_flight (
    tenant_id uuid primary key,
    run_id uuid not null,
    ids bigint[] not null,
    noted_at timestamptz not null default clock_timestamp()
) with (
    fillfactor = 50,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.1,
    autovacuum_vacuum_cost_delay = 0
);

-- Who is alive, who leads, who sleeps, and what was asked to be watched.

create table if not exists reactor.replicas (
    replica text primary key,
    -- its bit in the doorbell, 1 to 61; replicas beyond that share bit 62 and are always rung
    slot int not null,
    started_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp(),
    -- how long a silence means death: a few heartbeats
    patience interval not null default '30 seconds',
    version text,
    info jsonb not null default '{}'
) with (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_cost_delay = 0);

-- One row. The term grows with every change of leader, and is what housekeeping is fenced by.
create table if not exists reactor.leadership (
    only_row boolean primary key default true check (only_row),
    term bigint not null default 0,
    leader text,
    expires_at timestamptz not null default '-infinity'
) with (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_cost_delay = 0);

insert into reactor.leadership default values on conflict do nothing;

-- The doorbell: a set of bits, one for each replica that sleeps and wants to be rung. It is an
-- unlogged sequence because a sequence is not versioned: a bit is visible the instant it is set,
-- leaves no dead row behind however long some snapshot pins vacuum, and costs no WAL. A crash
-- of the server resets it, which is right: every listener reconnects and arms again.
create unlogged sequence if not exists reactor.doorbell minvalue 1 start 1 cache 1;

-- When the leader's deadline timer will look next, in microseconds since 1970; writers of a
-- nearer deadline wake it. The start value means: nobody sleeps.
create unlogged sequence if not exists reactor.timer minvalue 1 start 1 cache 1;

-- What @app.every has run, so that a job runs once in the fleet.
create table if not exists reactor.schedules (
    name text primary key,
    every interval not null,
    due_at timestamptz not null,
    -- the run that was started last: what it was for, under which term, and when it ended; one that
    -- an earlier term left unfinished is started again
    slot_at timestamptz,
    term bigint,
    started_at timestamptz,
    finished_at timestamptz,
    replica text,
    failures int not null default 0,
    last_error text
);

-- What reactor.watch() installed, so that it can be listed, removed and re-installed.
create table if not exists reactor.watches (
    table_schema text not null,
    table_name text not null,
    event_type text not null,
    operations text[] not null,
    tenant_column text not null,
    subject_column text,
    payload_columns text[],
    condition text,
    function_name text not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (table_schema, table_name, event_type)
);

revoke all on reactor.in_flight, reactor.replicas, reactor.leadership, reactor.schedules, reactor.watches from public;

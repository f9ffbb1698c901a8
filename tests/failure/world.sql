-- What the proof counts by. `proof_source` is the truth: a row for every event that must be handled. Handlers
-- write `proof_effects`; everything that must never happen ends up in `proof_violations`.
create table public.proof_source (
    subject uuid primary key,
    tenant_id uuid not null references public.tenants (id),
    writer int not null,
    n bigint not null,
    kind text not null,
    -- emitted by hand, not by the trigger; and the partner that must be handled before this one
    emitted boolean not null default false,
    after_subject uuid,
    delayed boolean not null default false,
    unique (writer, n)
);

create table public.proof_effects (
    subject uuid not null,
    tenant_id uuid not null,
    kind text not null,
    event_id bigint not null,
    run_id uuid not null,
    replica text not null,
    attempts int not null,
    interruptions int not null,
    -- the order in which they were made; a tenant has one run at a time, so within a tenant it is exact
    position bigint generated always as identity,
    primary key (subject, kind)
);

-- Committed by ctx.checkpoint() before the effect; several for one event are right, stale ones are not.
create table public.proof_intents (
    subject uuid not null,
    tenant_id uuid not null,
    event_id bigint not null,
    run_id uuid not null
);

create table public.proof_violations (
    at timestamptz not null default clock_timestamp(),
    kind text not null,
    tenant_id uuid not null,
    subject uuid,
    run_id uuid,
    detail text
);

-- Every change of a lease, by the transaction that made it; commit timestamps give the exact order.
create table public.proof_leases (
    tenant_id uuid not null,
    run_id uuid not null,
    holder text,
    -- 'taken' or 'ended'; and for an end, when the lease would have run out and what the clock said
    what text not null,
    expires_at timestamptz not null,
    at timestamptz not null default clock_timestamp()
);
create index on public.proof_leases (run_id);

create function public.proof_note_lease() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        insert into public.proof_leases (tenant_id, run_id, holder, what, expires_at)
        values (new.tenant_id, new.run_id, new.lock_holder, 'taken', new.expires_at);
    else
        insert into public.proof_leases (tenant_id, run_id, holder, what, expires_at)
        values (old.tenant_id, old.run_id, old.lock_holder, 'ended', old.expires_at);
    end if;
    return null;
end $$;
create trigger proof_note_lease after insert or delete on public.agent_tenant_locks
for each row execute function public.proof_note_lease();

select reactor.protect('public.proof_source'), reactor.protect('public.proof_effects'),
    reactor.protect('public.proof_intents'), reactor.protect('public.proof_violations');
-- Two event types from one table: one handled singly, one in batches.
select reactor.watch('public.proof_source', 'proof.row', subject_column => 'subject',
        payload_columns => '{kind}', condition => 'kind <> ''batch'' and not emitted'),
    reactor.watch('public.proof_source', 'proof.batch', subject_column => 'subject',
        payload_columns => '{kind}', condition => 'kind = ''batch'' and not emitted');

create role proof_replica login in role reactor;
create role proof_writer login in role service_role;
grant insert, select on public.proof_source to proof_writer;

-- What arrived outside the database, from the receivers' books, when all is over.
create table public.proof_arrivals (
    position bigint generated always as identity,
    channel text not null,
    subject uuid not null,
    key text not null,
    answer text not null
);

-- What the agent did in an hour, and what it makes of it.
create table reactor_blueprint.agent_hourly_reflections (
  id uuid primary key default reactor.uuid7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  run_id uuid references public.agent_autonomous_runs (id) on delete cascade,
  summary jsonb,
  changes jsonb,
  metrics_delta jsonb,
  blockers jsonb,
  insights jsonb,
  next_hour_priorities jsonb,
  created_at timestamptz not null default now()
);

create index idx_hourly_reflections_tenant on reactor_blueprint.agent_hourly_reflections (tenant_id, created_at desc);
-- Ours: the end of a run (retention) must find its reflections, and retention the oldest rows.
create index idx_hourly_reflections_run on reactor_blueprint.agent_hourly_reflections (run_id) where run_id is not null;
create index idx_hourly_reflections_age on reactor_blueprint.agent_hourly_reflections using brin (created_at) with (autosummarize = on);

select reactor.adopt_table('agent_hourly_reflections');
select reactor.isolate('public.agent_hourly_reflections');

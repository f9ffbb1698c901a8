-- One holding of a tenant's lease. Partitioned by the time in the id; kept by reactor.apply_retention().
create table reactor_blueprint.agent_autonomous_runs (
  id uuid primary key default reactor.uuid7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  cycle_number integer not null default 1,
  started_at timestamptz not null default now(),
  completed_at timestamptz,
  phase text check (phase in ('plan', 'act', 'react', 'reflect', 'completed', 'failed')),
  status text not null default 'running' check (status in ('running', 'completed', 'failed', 'timeout')),
  actions_planned integer not null default 0,
  actions_executed integer not null default 0,
  actions_blocked integer not null default 0,
  emails_sent integer not null default 0,
  cards_created integer not null default 0,
  trigger text check (trigger in ('scheduled', 'manual', 'event')),
  error_message text,
  duration_ms integer,
  created_at timestamptz not null default now()
) partition by range (id);

create index idx_autonomous_runs_tenant_started on reactor_blueprint.agent_autonomous_runs (tenant_id, started_at desc);
create index idx_autonomous_runs_tenant_status on reactor_blueprint.agent_autonomous_runs (tenant_id, status);
create index idx_autonomous_runs_running on reactor_blueprint.agent_autonomous_runs (tenant_id, started_at) where status = 'running';
-- Ours: acquire_tenant_lock() counts on. Runs of the engine are no cycles and cost this index nothing.
create index idx_autonomous_runs_cycles on reactor_blueprint.agent_autonomous_runs (tenant_id, cycle_number) where trigger <> 'event';

select reactor.adopt_table('agent_autonomous_runs', 'month', 3, '{
  "status": {"success": "completed", "succeeded": "completed", "done": "completed", "finished": "completed",
             "error": "failed", "aborted": "failed", "cancelled": "failed", "expired": "timeout", "timed_out": "timeout"},
  "phase": {"planning": "plan", "acting": "act", "reacting": "react", "reflecting": "reflect", "done": "completed", "error": "failed"},
  "trigger": {"cron": "scheduled", "schedule": "scheduled", "hourly": "scheduled", "user": "manual", "api": "manual", "webhook": "event"}
}');
select reactor.isolate('public.agent_autonomous_runs');
select reactor.take_ownership('public.agent_autonomous_runs');
